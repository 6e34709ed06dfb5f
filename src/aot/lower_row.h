/* Pure instructions as rows of a table: how each becomes IR. Shared by lower_numeric.c (scalars)
 * and lower_simd.c; knows no operand stack facts, no memory and no control. */
#ifndef SV_AOT_LOWER_ROW_H
#define SV_AOT_LOWER_ROW_H

#include "aot/lower.h"

struct lower_row {
    /* The result from the operands; a vector operand has the type `shape`, and a vector result may
     * have any 128-bit type. NULL: not a row. */
    LLVMValueRef (*build)(struct lower *l, const struct lower_row *row, LLVMValueRef *v);
    const char *name; /* of an intrinsic */
    uint8_t arg;      /* LLVM's opcode or predicate; whatever `build` wants */
    uint8_t high;     /* the upper half of the lanes */
    uint8_t shape;    /* LOWER_TYPE of vector operands */
    uint8_t to;       /* LOWER_TYPE of the result, where it does not follow from the operands */
};
/* A member of struct lower_types in a byte. */
#define LOWER_TYPE(member) (offsetof(struct lower_types, member) / sizeof(LLVMTypeRef))
LLVMTypeRef lower_row_type(const struct lower *l, uint8_t type);

/* Pop the operands of `op`, build, make canonical if asked, push. */
void lower_row_emit(struct lower *l, enum sv_op op, const struct lower_row *row);

/* Code for x86-64 (at least x86-64-v2) or for aarch64? */
bool lower_is_x86(const struct lower *l);
/* An intrinsic overloaded by `over` (NULL: by none), over n operands. */
LLVMValueRef lower_intrinsic(struct lower *l, const char *name, LLVMTypeRef over, LLVMValueRef *v,
                             unsigned n);
/* The same for one overloaded by result and operand. */
LLVMValueRef lower_intrinsic_to(struct lower *l, const char *name, LLVMTypeRef to, LLVMValueRef v);
LLVMValueRef lower_demote(struct lower *l, LLVMValueRef v,
                          LLVMTypeRef type); /* doubles to floats */
/* An integer of the type, or all lanes of a vector. */
LLVMValueRef lower_splat(LLVMTypeRef type, uint64_t k);
/* The type with integers of the same size in place of floats. */
LLVMTypeRef lower_int_type(const struct lower *l, LLVMTypeRef type);

/* Builders for scalars and vectors alike. */
#define LOWER_BUILD(name)                                                                          \
    LLVMValueRef name(struct lower *l, const struct lower_row *row, LLVMValueRef *v)
LOWER_BUILD(lower_build_binary); /* arg: LLVMOpcode */
LOWER_BUILD(lower_build_float);  /* the same for floats */
LOWER_BUILD(lower_build_negate); /* of integers */
LOWER_BUILD(lower_build_float_neg);
LOWER_BUILD(lower_build_shift); /* b is a scalar, masked here */
LOWER_BUILD(lower_build_icmp);  /* arg: predicate */
LOWER_BUILD(lower_build_fcmp);
LOWER_BUILD(lower_build_unary);      /* name(a) */
LOWER_BUILD(lower_build_unary_flag); /* name(a, false): "zero is poison" and its like */
LOWER_BUILD(lower_build_pair);       /* name(a, b) */
LOWER_BUILD(lower_build_minmax);     /* arg: LLVMRealOLT or LLVMRealOGT */
LOWER_BUILD(lower_build_convert);    /* arg: LLVMOpcode of a cast */

#endif
