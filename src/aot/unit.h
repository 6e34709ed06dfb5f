/* Partitions and what the driver (compile.c) does with them. */
#ifndef SV_AOT_UNIT_H
#define SV_AOT_UNIT_H

#include "aot/lower.h"

#define SV_AOT_TRAP_NAME "trap"
#define SV_AOT_OSR_NAME "osr"

/* False: out of memory. Release in any case. */
bool lower_unit_init(struct lower_unit *u, const struct sv_aot_module *am);
void lower_unit_release(struct lower_unit *u);
/* Before code generation: tail calls become what it gets right. */
void lower_unit_settle_tail_calls(struct lower_unit *u);
void lower_unit_trap(struct lower_unit *u);
void lower_unit_thunk(struct lower_unit *u, const struct sv_type *type, const char *name);
void lower_unit_stub(struct lower_unit *u, uint32_t index);
void lower_unit_osr(struct lower_unit *u);
/* A lowering for a function that is none of the module's. */
struct lower lower_unit_plain(struct lower_unit *u, LLVMValueRef fn);
/* The function's body is the call of a helper with args[0..n) and its arguments in slots, which
 * become args[n]. */
void lower_unit_leave(struct lower *l, const struct sv_type *type, enum sv_native_helper h,
                      LLVMValueRef *args, unsigned n);

/* ---- dispatch.c ---- */
struct lower_pairs {
    struct lower_pair *data;
    size_t len, cap;
};
/* What the indirect calls of functions [from, to) name, each once, in order. *ret begins empty; its
 * data is the caller's, to give to sv_free, in any case. False: out of memory. */
bool sv_aot_find_pairs(const struct sv_module *m, uint32_t from, uint32_t to,
                       struct lower_pairs *ret);
/* The dispatcher, and what it needs. */
void lower_unit_dispatch(struct lower_unit *u, struct lower_pair pair);
/* small.c: the body of u->copy or u->fill. */
void lower_unit_small(struct lower_unit *u, LLVMValueRef fn, bool copy);

/* tables.c: which tables can be beside the code, in am->tables; what they hold. False: out of
 * memory. */
bool sv_aot_tables_init(struct sv_aot_module *am);
void sv_aot_tables_release(struct sv_aot_module *am);
bool lower_unit_tables(struct lower_unit *u);

/* markers.c: bases for the loop vectoriser. And away with them. */
void sv_aot_mark(struct lower_unit *u);
void sv_aot_unmark(struct lower_unit *u);
/* Has the function a loop of 128-bit vectors that could be one of wider ones? The vectoriser passes
 * over loops that hold vectors. */
bool sv_aot_wants_scalars(LLVMValueRef f);

/* bases.c: what the collector must see, after all passes over the IR. */
void sv_aot_keep_bases(struct lower_unit *u);

/* places.c. Every load of the guest's memory stays an instruction of its own, so that its fault is
 * told where it is: a load that became an operand has the place of what it is an operand of. Before
 * code generation. */
void lower_unit_pin_loads(struct lower_unit *u);
/* Around passes that drop loads whose value nobody wants: their traps are wanted. */
void lower_unit_keep_loads(struct lower_unit *u);
void lower_unit_free_loads(struct lower_unit *u);
/* The value by an empty instruction: LLVM knows nothing of it. Of a register's size. */
LLVMValueRef lower_unit_hidden(struct lower_unit *u, LLVMBuilderRef b, LLVMValueRef v);
/* Whoever uses the instruction's value uses it so from now on. */
void lower_unit_hide(struct lower_unit *u, LLVMValueRef v, LLVMMetadataRef place);
/* Here memory is what it is to the interpreter. */
void lower_unit_fence(struct lower_unit *u, LLVMBuilderRef b);

/* counter.c: what code generation must not do with the counter of gas. */
void sv_aot_pin_counter(struct lower_unit *u);

/* optimise.c: passes over a unit's functions. */
int sv_aot_optimise(struct sv_err *err, struct lower_unit *u, LLVMTargetMachineRef tm);

#endif
