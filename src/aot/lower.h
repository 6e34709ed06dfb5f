/* Lowering of validated functions to LLVM IR: the state of the one pass over a body, and what its
 * files share. One LLVM function for each function of the module; nothing here optimises: that is
 * optimise.c's. The names of LLVM's C API begin with LLVM. */
#ifndef SV_AOT_LOWER_H
#define SV_AOT_LOWER_H

#include <llvm-c/Core.h>
#include <llvm-c/DebugInfo.h>
#include <llvm-c/TargetMachine.h>

#include "aot/aot.h"
#include "runtime/native.h"
#include "runtime/trap.h"
#include "wasm/costs.h"
#include "wasm/reader.h"

/* An operand. `root` and `delta`: an i32 that is (value numbered root) + delta; 0 = nothing known.
 * Two operands of one root differ by the difference of their deltas, modulo 2^32. */
struct lower_value {
    LLVMValueRef v;
    uint32_t root;
    uint32_t delta;
    LLVMValueRef home; /* OSR: the alloca that holds it across loops; NULL: none */
};

/* A local: an alloca, and the value number of what it holds. */
struct lower_local {
    LLVMValueRef slot;
    LLVMTypeRef type;
    uint32_t root, delta;
    uint32_t epoch; /* root is valid when this is the lowering's, and not 0; so is `constant` */
    LLVMValueRef constant; /* that it holds; NULL: another value */
    uint32_t seen;
};

enum lower_ctl_kind {
    CTL_FUNC,
    CTL_BLOCK,
    CTL_LOOP,
    CTL_IF,
    CTL_ELSE,
    CTL_TRY,
    CTL_CATCH,
    CTL_TRY_TABLE
};
struct lower_ctl {
    uint8_t kind;
    uint32_t height; /* operands below the parameters */
    struct sv_blocktype type;
    LLVMBasicBlockRef end;   /* where branches go (loop: `head`) */
    LLVMBasicBlockRef head;  /* of a loop */
    LLVMBasicBlockRef other; /* if: the else part; try: the dispatch block of exceptions */
    LLVMValueRef *phis;      /* values at `end` (loop: parameters at `head`) */
    uint32_t nphis;
    size_t facts, sets;         /* marks in the trails (lower_facts.c) */
    struct lower_value *params; /* if: copies for the else part */
    const uint8_t *catches;     /* try_table: its clauses */
    LLVMValueRef exn;           /* catch: the exception, for rethrow */
    uint32_t ncatches;
};

/* What is known of accessed addresses (native-code facts): lower_facts.c. */
struct lower_fact {
    LLVMValueRef base; /* the i64 of the accessed address, without its offset; NULL: none */
    uint32_t delta;
};

struct lower_types {
    LLVMTypeRef i1, i8, i16, i32, i64, f32, f64, ptr, voidt;
    LLVMTypeRef v16i8, v8i16, v4i32, v2i64, v4f32, v2f64;
};

/* A table that nothing changes (tables.c). */
struct sv_aot_table {
    uint32_t n;
    uint32_t *funcs; /* n times the function's number + 1, 0 = null; NULL: not such a table */
};

/* What the partitions share, read only. */
struct sv_aot_module {
    const struct sv_module *m;
    const struct sv_aot_options *opts;
    const char *triple, *cpu, *features, *layout; /* LLVM's */
    bool exceptions;                              /* code looks for pending exceptions */
    bool tail_calls;                              /* the convention is tailcc */
    struct sv_aot_table *tables;                  /* by table */
};

/* One partition: an LLVM context and module of its own, on one thread. */
struct lower_unit {
    const struct sv_aot_module *am;
    const struct sv_module *m;
    const struct sv_aot_options *opts;
    LLVMContextRef ctx;
    LLVMModuleRef mod;
    LLVMBuilderRef b;
    LLVMDIBuilderRef di;
    LLVMMetadataRef di_file, di_type;
    struct lower_types t;
    LLVMValueRef *funcs;     /* declarations by function index, made on demand */
    LLVMValueRef trap;       /* the unit's declaration of the trap stub */
    LLVMValueRef pin;        /* of places.c */
    LLVMValueRef copy, fill; /* and of small.c's functions: (to, from or 8 times the byte, bytes) */
    LLVMValueRef md_unlikely, md_likely, md_empty;
    LLVMValueRef scope_guest, scope_host; /* lists for !alias.scope and !noalias */
    unsigned md_invariant, md_scope, md_noalias, md_prof;
    /* Of the first argument, inst: a register that calls preserve. NULL in images with tail calls,
     * whose convention cannot. */
    LLVMAttributeRef self;
    /* Of the last argument of metered functions: the gas counter's way through calls and returns,
     * in a register. NULL: it is in memory there. */
    LLVMAttributeRef gas;
    LLVMAttributeRef nest; /* of the last argument of dispatchers */
    bool exceptions;
    struct sv_instance_layout layout;
    LLVMValueRef osr; /* the function to lower into, of an OSR image */
    unsigned cc;      /* calling convention of guest functions */
    /* Made by lower_type_index: module type index + 1 by hashed canonical id; sv_free. */
    uint32_t *type_map;
    uint32_t type_mask;
};

struct lower {
    struct lower_unit *u;
    const struct sv_module *m;
    const struct sv_func_decl *func;
    uint32_t index;
    LLVMBuilderRef b;
    const struct lower_types *t;
    LLVMValueRef fn, inst, mem0, ret; /* ret: NULL unless several results */
    LLVMBasicBlockRef entry;
    LLVMMetadataRef scope;       /* the function's, of debug locations */
    const uint8_t *p, *op_start; /* in the body */
    bool nomem;
    bool failed; /* an instruction without a lowering: the function stays interpreted */
    bool checked, metered, canon, facts_on, exceptions;
    bool exact; /* after a fault all is as it was at that instruction (doc/internals/tiers.md) */

    SV_VEC(struct lower_value) st;
    SV_VEC(struct lower_ctl) ctls;
    struct lower_local *locals;
    uint32_t nlocals;
    bool unreachable;
    uint32_t skip_depth;

    /* Gas: the counter's alloca, the charge of the open block (its operand is set at the end). */
    LLVMValueRef gas_slot, gas_charge, gas_check, gas_trap;
    LLVMValueRef gas_ref; /* where calls and returns have it; NULL: in th->gas */
    uint64_t gas;
    bool gas_noted; /* inst->gas is up to date in this block */
    bool uncounted; /* loops here are not worth a second form */

    LLVMValueRef slots; /* the array of lower_slots; its size is set at the end */
    uint32_t nslots;
    LLVMBasicBlockRef exn_return; /* leaves the function with the exception pending */

    /* Facts. */
    uint32_t next_root, epoch, walk;
    struct lower_fact *facts; /* by root */
    uint32_t cap_facts;
    SV_VEC(uint32_t) fact_trail; /* roots; what they were is in `fact_saved` */
    SV_VEC(struct lower_fact) fact_saved;
    SV_VEC(uint32_t) set_trail; /* locals set, for forgetting at joins */

    /* OSR: the loop at this offset of the module is entered from outside; 0 = none. */
    uint32_t osr_offset;
    LLVMValueRef osr_slots; /* locals, then operands, each as in slots */
    LLVMBasicBlockRef osr_entry;
};

/* tables.c: is the table one that nothing changes? Such a table beside the code, entries of the
 * function's type and where its code is, counted from the table's beginning; what a type is there.
 */
LLVMValueRef lower_unit_table(struct lower_unit *u, uint32_t table);
uint32_t lower_type_class(const struct sv_type *type);
bool lower_unit_is_fixed(const struct lower_unit *u, uint32_t table);

/* Most bytes that these take. */
#define LOWER_SMALL_MAX 256

/* unit.c */
void lower_unit_attributes(struct lower_unit *u, LLVMValueRef f);
/* Calls of different places do not become one: backtraces name the place. */
void lower_call_stays(struct lower_unit *u, LLVMValueRef call);

/* ---- lower.c ---- */
int lower_function(struct sv_err *err, struct lower_unit *u, uint32_t index);
/* One result as a phi, call or load: its LLVM type. */
LLVMTypeRef lower_type(const struct lower_unit *u, sv_valtype t);
/* Has it an f64 behind its parameters, of no value? Where a vector is among the arguments on the
 * stack, LLVM 22 for x86 rounds their bytes up to 16 at calls of tailcc functions, but not when it
 * lets the callee pop them. With one more, which lies there too, both numbers are the same. */
bool lower_is_padded(const struct lower_unit *u, const struct sv_type *type);
LLVMTypeRef lower_func_type(const struct lower_unit *u, const struct sv_type *type);
LLVMValueRef lower_func_decl(struct lower_unit *u, uint32_t index);
/* Call native code of this type with all its arguments, the hidden ones first, that of the counter
 * last where there is u->gas; one more, before it, is the `nest` of a dispatcher. */
LLVMValueRef lower_call_native(struct lower_unit *u, const struct sv_type *type,
                               LLVMValueRef callee, LLVMValueRef *args, unsigned n);

static inline void lower_push_value(struct lower *l, struct lower_value v)
{
    if (!SV_VEC_PUSH(&l->st, UINT32_MAX, v))
        l->nomem = true;
}
/* A value of which nothing is known. */
static inline void lower_push(struct lower *l, LLVMValueRef v)
{
    lower_push_value(l, (struct lower_value){.v = v});
}
struct lower_value lower_pop_value(struct lower *l);
static inline LLVMValueRef lower_pop(struct lower *l)
{
    return lower_pop_value(l).v;
}
static inline LLVMValueRef lower_i32(const struct lower *l, uint32_t k)
{
    return LLVMConstInt(l->t->i32, k, false);
}
static inline LLVMValueRef lower_i64(const struct lower *l, uint64_t k)
{
    return LLVMConstInt(l->t->i64, k, false);
}
/* An i32 zero-extended, as helpers take it and addresses are computed; an i64 as it is. */
static inline LLVMValueRef lower_wide(const struct lower *l, LLVMValueRef v)
{
    return LLVMTypeOf(v) == l->t->i32 ? LLVMBuildZExt(l->b, v, l->t->i64, "") : v;
}
/* Push an i64 as an operand of an address type. */
static inline void lower_push_address(struct lower *l, LLVMValueRef v, bool is64)
{
    lower_push(l, is64 ? v : LLVMBuildTrunc(l->b, v, l->t->i32, ""));
}
/* A v128 is <2 x i64> on the stack and in locals. */
static inline LLVMValueRef lower_cast(const struct lower *l, LLVMValueRef v, LLVMTypeRef shape)
{
    return LLVMBuildBitCast(l->b, v, shape, "");
}
static inline LLVMValueRef lower_v128(const struct lower *l, LLVMValueRef v)
{
    return LLVMBuildBitCast(l->b, v, l->t->v2i64, "");
}

LLVMValueRef lower_alloca(struct lower *l, LLVMTypeRef type); /* in the entry block */
void lower_location(struct lower *l); /* what is built next belongs to the current instruction */
/* A new block of the function, at its end. */
LLVMBasicBlockRef lower_block_new(struct lower *l, const char *name);
/* Trap with `code` at the current instruction when the i1 holds; goes on in a new block. */
void lower_trap_if(struct lower *l, LLVMValueRef cond, int code);
/* The first way of this conditional branch is the one that is taken. */
static inline void lower_likely(const struct lower *l, LLVMValueRef branch)
{
    LLVMSetMetadata(branch, l->u->md_prof, l->u->md_likely);
}
/* Trap; the builder is in a finished block afterwards. */
LLVMValueRef lower_trap(struct lower *l, int code); /* the call */
/* The same with a code that is an i32 value. */
LLVMValueRef lower_trap_value(struct lower *l, LLVMValueRef code);

/* Fields of the host's structs. `invariant`: the same for the whole life of the instance. */
LLVMValueRef lower_field(struct lower *l, LLVMValueRef base, uint64_t offset); /* the address */
LLVMValueRef lower_load_host(struct lower *l, LLVMTypeRef type, LLVMValueRef ptr, bool invariant);
void lower_store_host(struct lower *l, LLVMValueRef value, LLVMValueRef ptr);
/* inst->array[i], an invariant pointer: memories, tables, globals, funcs, types, tags. */
LLVMValueRef lower_inst_ptr(struct lower *l, uint64_t array_offset, uint32_t i);
LLVMValueRef lower_thread_field(struct lower *l, uint64_t offset); /* address in the sv_thread */

/* Call a helper: inst is put before `args` (integers or pointers; at most 5). Gas is stored before
 * and loaded again after. The i64 that it returned (meaningless for INT ones). */
LLVMValueRef lower_helper(struct lower *l, enum sv_native_helper h, LLVMValueRef *args, unsigned n);
/* Call a host function, or one of another instance, with its arguments in slots. */
void lower_call_out(struct lower *l, LLVMValueRef func, LLVMValueRef slots);
/* The function's array of slots on the guest's stack, for one call at a time. */
LLVMValueRef lower_slots(struct lower *l, uint32_t n);
/* Write or read a value of type t as it lies in slots. */
void lower_slot_write(struct lower *l, LLVMValueRef slots, uint32_t at, sv_valtype t,
                      LLVMValueRef v);
LLVMValueRef lower_slot_read(struct lower *l, LLVMValueRef slots, uint32_t at, sv_valtype t);

/* ---- lower_facts.c: value numbers of i32 operands ---- */
uint32_t lower_root_new(struct lower *l);
/* The root of what local i holds, made if there is none. */
uint32_t lower_local_root(struct lower *l, uint32_t i);
/* Local i holds `v` from now on: into its slot, with its root. */
void lower_local_set(struct lower *l, uint32_t i, struct lower_value v);
void lower_facts_mark(struct lower *l, struct lower_ctl *c);          /* a block begins */
void lower_facts_restore(struct lower *l, const struct lower_ctl *c); /* its end, or else */
void lower_facts_forget(struct lower *l);                             /* a loop's head */
/* The i64 address of operand a; *io_offset is the constant to add to it (in: the access's). */
LLVMValueRef lower_fact_address(struct lower *l, struct lower_value a, uint64_t *io_offset);

/* ---- lower_numeric.c, lower_simd.c: rows of numeric.def, and v128.const, i8x16.shuffle ---- */
bool lower_numeric_op(struct lower *l, enum sv_op op);
bool lower_simd_op(struct lower *l, enum sv_op op);
/* ---- lower_memory.c: loads, stores, their lanes ---- */
bool lower_memory_op(struct lower *l, enum sv_op op);
/* Plain loads and stores. */
bool lower_is_access(enum sv_op op);
/* Is it accessed without checks? */
bool lower_is_guarded(const struct lower *l, uint32_t memory);
/* Address of `bytes` bytes at operand + offset of memory arg; trap blocks emitted as the form
 * wants.
 */
LLVMValueRef lower_address(struct lower *l, struct lower_value a, const struct sv_memarg *arg,
                           uint32_t bytes);
/* Give an access of guest memory its alias scopes; alignment 1 unless atomic. */
void lower_guest_access(struct lower *l, LLVMValueRef access);
/* ---- lower_atomic.c: threads ---- */
bool lower_atomic_op(struct lower *l, enum sv_op op);
/* ---- lower_bulk.c: bulk memory and tables, segments, memory.grow ---- */
bool lower_bulk_op(struct lower *l, enum sv_op op);
/* ---- lower_ref.c: references and GC ---- */
bool lower_ref_op(struct lower *l, enum sv_op op);
/* An i1: does reference r match? `target` as in sv_code_heap and the nullable bit. */
LLVMValueRef lower_ref_test(struct lower *l, LLVMValueRef r, uint32_t heap, bool nullable);
/* Index in the module of the type with this canonical id: images know no ids. */
uint32_t lower_type_index(struct lower *l, uint32_t id);
/* ---- lower_variable.c: locals, globals, constants, select, drop, table.get/set/size,
 * memory.size ---- */
bool lower_variable_op(struct lower *l, enum sv_op op);
LLVMValueRef lower_memory_size(struct lower *l, uint32_t memory); /* in bytes, now */
LLVMValueRef lower_memory_base(struct lower *l, uint32_t memory);
/* ---- lower_control.c: blocks, branches, gas ---- */
bool lower_control_op(struct lower *l, enum sv_op op);
void lower_set_unreachable(struct lower *l);
void lower_gas_begin(struct lower *l);
void lower_gas_end(struct lower *l);
void lower_gas_open(struct lower *l, bool outer); /* the function begins; outer: C calls it */
void lower_gas_note(struct lower *l);  /* inst->gas = the counter, where a trap may follow */
void lower_gas_flush(struct lower *l); /* th->gas = the counter, and back, round helpers */
void lower_gas_reload(struct lower *l);
void lower_gas_pass(struct lower *l);  /* to a native callee */
void lower_gas_take(struct lower *l);  /* from it */
void lower_gas_leave(struct lower *l); /* to who called the function */
/* ret of the function with the operands on the stack. */
void lower_return(struct lower *l);
void lower_end_block(struct lower *l);  /* the instruction `end` */
void lower_leave_body(struct lower *l); /* the end of a block's body is reached */
/* OSR: what the operands on the stack are here, where paths join. */
void lower_reload_operands(struct lower *l);
/* The innermost block's control record goes; its memory with it. */
void lower_pop_ctl(struct lower *l);
void lower_body(struct lower *l);
/* Branch to the label with the top operands, which stay. Ends the block. */
void lower_branch(struct lower *l, uint32_t depth);
void lower_branch_if(struct lower *l, LLVMValueRef cond, uint32_t depth);
/* A loop without parameters and results from behind its `loop` to `end`, which is left for `after`.
 */
void lower_loop_body(struct lower *l, struct sv_blocktype type, const uint8_t *end,
                     LLVMBasicBlockRef after);
/* ---- lower_loop.c: the loop that begins, whole, if it can run without charges; else false ---- */
bool lower_counted_loop(struct lower *l, struct sv_blocktype type);
/* ---- dispatch.c: indirect calls ---- */
/* No table but a function itself, its sv_func: of another instance, or the host's. */
#define LOWER_NO_TABLE UINT32_MAX
/* What an indirect call names; tail: some call replaces its frame. */
struct lower_pair {
    uint32_t type, table;
    bool tail;
};
/* Code for such calls, with the index or the sv_func as its `nest`: any table's, and for what is no
 * native function of exactly that type and of this instance. */
LLVMValueRef lower_dispatcher(struct lower *l, struct lower_pair pair, LLVMValueRef index);
LLVMValueRef lower_outside(struct lower_unit *u, struct lower_pair pair);
/* That type with the nest, and the nest's number among n arguments. */
LLVMTypeRef lower_nest_type(const struct lower_unit *u, LLVMTypeRef type);
unsigned lower_nest_index(const struct lower_unit *u, unsigned n);
/* ---- lower_call.c: calls ---- */
bool lower_call_op(struct lower *l, enum sv_op op);
/* ---- lower_exn.c: exceptions ---- */
bool lower_exception_op(struct lower *l, enum sv_op op);
/* After anything that may throw. tail: from a tail position, where no block of the function is
 * around it any more. */
void lower_exn_check(struct lower *l, bool tail);
void lower_try_begin(struct lower *l, struct lower_ctl *c, enum sv_op op);
/* The dispatch of a try block, at its end; the builder is in the block behind afterwards. */
void lower_try_end(struct lower *l, struct lower_ctl *c);

#endif
