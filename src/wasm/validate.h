/* The validator: types of instructions, by the algorithm of the specification's appendix. One
 * struct sv_validator checks many bodies, so that its stacks are allocated once. Not for layers
 * above the decoder. */
#ifndef SV_WASM_VALIDATE_H
#define SV_WASM_VALIDATE_H

#include "wasm/limits.h"
#include "wasm/reader.h"

/* An open block. The first one is the function. */
struct sv_ctrl {
    uint8_t op; /* enum sv_op: BLOCK, LOOP, IF, ELSE, TRY_TABLE, TRY, CATCH, CATCH_ALL */
    bool unreachable;
    uint32_t height;      /* of the operand stack below the block's parameters */
    uint32_t init_height; /* of the list of locals that were set */
    uint32_t visit;       /* the br_table that looked at this label last */
    struct sv_blocktype type;
};

struct sv_local_run {
    uint32_t end; /* first local behind it */
    sv_valtype type;
};

#define SV_EAGER_LOCALS 512u

struct sv_validator {
    struct sv_err *err;
    struct sv_module *m;
    struct sv_reader r;
    const uint8_t *at; /* the instruction */
    uint64_t allowed;  /* features */
    bool is_const, has_data_count;
    sv_valtype memory0; /* address type of memory 0, SV_VAL_BOT when there is none */

    sv_valtype *stack, *top, *base, *end; /* base: the innermost block's */
    SV_VEC(struct sv_ctrl) ctrls;
    uint32_t visits;
    uint64_t matches, max_matches; /* SV_LIMIT_MATCHES_* */

    /* Locals: the first ones in an array, all in runs (a body of ten bytes may have 50,000). */
    const struct sv_type *type;
    uint32_t nlocals, neager;
    uint32_t nshort; /* locals below this have a one-byte index, are in `eager`, and need no
                        initialisation */
    bool any_nondefaultable;
    sv_valtype eager[SV_EAGER_LOCALS];
    SV_VEC(struct sv_local_run) runs;
    /* Non-defaultable locals that are set: a bit each, and the list to undo it at the end of a
     * block. */
    uint8_t *is_set;
    SV_VEC(uint32_t) set_locals;
};

void sv_validator_init(struct sv_validator *, struct sv_err *err, struct sv_module *,
                       uint64_t allowed);
void sv_validator_release(struct sv_validator *);
int sv_validate_body(struct sv_validator *, const struct sv_func_decl *);
/* A constant expression of this type; *r is behind its `end` afterwards. */
int sv_validate_const(struct sv_validator *, struct sv_reader *r, sv_valtype type);

/* ---- between the files of the validator ---- */

/* Fail at the instruction; with the reader's own failure. The code is seen by the compiler, which
 * then knows that nothing was written. */
#define sv_validate_fail(v, code, ...) (sv_validate_note((v), (code), __VA_ARGS__), (code))
void sv_validate_note(struct sv_validator *, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));
void sv_validate_note_read(struct sv_validator *) __attribute__((cold));
static inline int sv_validate_fail_read(struct sv_validator *v)
{
    sv_validate_note_read(v);
    return SV_EMALFORMED;
}
int sv_validate_mismatch(struct sv_validator *, sv_valtype expected, sv_valtype found)
    __attribute__((cold));
int sv_validate_underflow(struct sv_validator *, sv_valtype expected) __attribute__((cold));
int sv_validate_feature(struct sv_validator *, enum sv_feature);
/* The proposal that brought a heap type. */
static inline enum sv_feature sv_heap_feature(uint32_t heap)
{
    if (heap >= SV_HEAP_CONCRETE)
        return SV_FEATURE_FUNCREF;
    if (heap == SV_HEAP_FUNC || heap == SV_HEAP_EXTERN)
        return SV_FEATURE_REF;
    return heap == SV_HEAP_EXN || heap == SV_HEAP_NOEXN ? SV_FEATURE_EXN : SV_FEATURE_GC;
}

/* n operands are to be compared one by one. */
int sv_validate_spend(struct sv_validator *, uint32_t n);
static inline bool sv_validate_is_bottom(const struct sv_validator *v)
{
    return v->top == v->base && v->ctrls.data[v->ctrls.len - 1].unreachable;
}
int sv_validate_u32(struct sv_validator *, uint32_t *ret);
/* An index below n, or "unknown `what` index". */
int sv_validate_index(struct sv_validator *, const char *what, uint32_t n, uint32_t *ret);
int sv_validate_type_index(struct sv_validator *, enum sv_form form, uint32_t *ret);
int sv_validate_heap(struct sv_validator *, bool nullable, sv_valtype *ret);
int sv_validate_valtype(struct sv_validator *, sv_valtype *ret);
int sv_validate_blocktype(struct sv_validator *, struct sv_blocktype *ret);
sv_valtype sv_validate_local_type(const struct sv_validator *, uint32_t index);

/* Room for n more operands. Every instruction starts with room for a few. */
#define SV_RESERVED_OPERANDS 4u
int sv_validate_reserve(struct sv_validator *, uint32_t n);
/* One operand, into the reserved room. */
static inline void sv_validate_push(struct sv_validator *v, sv_valtype type)
{
    *v->top++ = type;
}
int sv_validate_push_list(struct sv_validator *, const sv_valtype *types, uint32_t n);
int sv_validate_pop(struct sv_validator *, sv_valtype type);
/* Any operand: SV_VAL_BOT in unreachable code. */
int sv_validate_pop_any(struct sv_validator *, sv_valtype *ret);
/* A reference of any type: SV_REFTYPE(SV_HEAP_BOT, false) in unreachable code. */
int sv_validate_pop_ref(struct sv_validator *, sv_valtype *ret);
int sv_validate_pop_list(struct sv_validator *, const sv_valtype *types, uint32_t n);
static inline struct sv_ctrl *sv_validate_ctrl(struct sv_validator *v)
{
    return &v->ctrls.data[v->ctrls.len - 1];
}
int sv_validate_push_ctrl(struct sv_validator *, enum sv_op op, struct sv_blocktype type);
void sv_validate_unreachable(struct sv_validator *);
/* The types that a branch to this label carries. */
const sv_valtype *sv_validate_label(const struct sv_ctrl *, uint32_t *ret_n);
/* A label's block, from its immediate. */
int sv_validate_label_index(struct sv_validator *, struct sv_ctrl **ret);

/* Instructions typed by hand ("*" in opcode.def), by theme. */
typedef int sv_validate_op(struct sv_validator *, enum sv_op);
sv_validate_op sv_validate_unreachable_op, sv_validate_block, sv_validate_if, sv_validate_else,
    sv_validate_end, sv_validate_try_table, sv_validate_try, sv_validate_catch,
    sv_validate_delegate, sv_validate_rethrow, sv_validate_throw, sv_validate_throw_ref,
    sv_validate_br, sv_validate_br_if, sv_validate_br_table, sv_validate_return, sv_validate_call,
    sv_validate_call_indirect, sv_validate_call_ref, sv_validate_br_on_null,
    sv_validate_br_on_cast; /* validate_control.c */
sv_validate_op sv_validate_drop, sv_validate_select, sv_validate_select_t, sv_validate_local,
    sv_validate_global, sv_validate_table_access, sv_validate_table_size, sv_validate_memory_copy,
    sv_validate_table_init, sv_validate_table_copy; /* validate_variable.c */
sv_validate_op sv_validate_ref_null, sv_validate_ref_is_null, sv_validate_ref_func,
    sv_validate_ref_eq, sv_validate_ref_as_non_null, sv_validate_ref_test, sv_validate_ref_cast,
    sv_validate_convert, sv_validate_i31, sv_validate_struct_new, sv_validate_struct_get,
    sv_validate_struct_set, sv_validate_array_new, sv_validate_array_new_fixed,
    sv_validate_array_new_segment, sv_validate_array_get, sv_validate_array_set,
    sv_validate_array_len, sv_validate_array_fill, sv_validate_array_copy,
    sv_validate_array_init_segment; /* validate_ref.c */

#endif
