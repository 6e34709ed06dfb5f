/* Lowering a validated function to internal code: the state of the one pass, and what its files
 * share. The pass keeps a symbolic operand stack: an entry is a constant, an alias of a local, a
 * value in its own slot, or one that so far is in an accumulator only. Instructions are emitted
 * when values are consumed; a producer is patched later to store its result where it must live. */
#ifndef SV_INTERP_LOWER_H
#define SV_INTERP_LOWER_H

#include "interp/code.h"
#include "wasm/costs.h"
#include "wasm/reader.h"

#define NONE UINT32_MAX

enum { ENT_SLOT, ENT_LOCAL, ENT_CONST, ENT_ACC };
struct ent {
    uint8_t kind, cls;
    uint32_t slot; /* its own */
    union {
        uint32_t local; /* slot of the local */
        uint64_t k;     /* i32: sign-extended; floats: bits */
    };
};

/* An operand taken from the stack. */
struct opnd {
    uint8_t kind; /* enum sv_kind */
    uint8_t cls;
    bool acc;      /* KIND_R: nowhere else */
    uint32_t slot; /* where it is: KIND_S, or KIND_R and not acc */
    uint32_t home; /* the entry's own slot */
    uint64_t k;
};

/* An accumulator. */
struct acc {
    uint32_t ent;       /* index of the entry that lives here only, or NONE */
    uint32_t pos;       /* of the instruction that wrote it, NONE when that cannot be patched */
    uint32_t iop;       /* its form without D */
    uint32_t mirror[2]; /* slots known to hold the same value */
};

/* The last instruction emitted: what a consumer needs to absorb it. */
struct rec {
    uint32_t pos;        /* NONE: there is none */
    uint32_t op;         /* enum sv_op, or LOWER_LEA1.. */
    uint8_t cls;         /* of its accumulator */
    uint32_t d;          /* slot it also stores to, or NONE */
    uint32_t am, offset; /* of a load */
    struct opnd a, b;
    struct acc before; /* the accumulator before it */
    uint32_t origin;   /* offset in the module */
};
enum {
    REC_LEA1 = OP_COUNT,
    REC_LEA2,
    REC_LEA3,
    REC_LEA4,
    REC_BITS,
    REC_F64_ADD_LOAD,
    REC_MOV,
    REC_GLOBAL_ADD,
    REC_OTHER
};

enum ctl_kind {
    CTL_FUNC,
    CTL_BLOCK,
    CTL_LOOP,
    CTL_IF,
    CTL_ELSE,
    CTL_TRY,
    CTL_CATCH,
    CTL_TRY_TABLE
};
/* In `field`: not a place in the code but the number of a clause, whose target it is. */
#define LOWER_CLAUSE_FIELD 0x80000000u
struct fix {
    uint32_t field, from; /* where to write target - from */
    uint32_t next;
};
struct ctl {
    uint8_t kind;
    bool jumped;           /* somebody branches here */
    uint32_t height, base; /* entries and slot below the parameters */
    struct sv_blocktype type;
    uint32_t loop_pos;
    uint32_t fixes, else_fix; /* heads of lists */
    uint32_t mirror[CLASS_COUNT][2], else_mirror[CLASS_COUNT][2];
    uint32_t try_from, try_to; /* code of a try's body */
    const uint8_t *catches;    /* try_table: its clauses */
};

struct lower {
    const struct sv_flavour *fl;
    const struct sv_module *m;
    const struct sv_func_decl *func;
    uint32_t index;
    const uint32_t *offsets; /* sv_iop_offsets */
    bool nomem, too_big;
    bool accs;     /* accumulators may be used */
    bool optimise; /* constants, aliases, fusion */
    bool checked, metered, canon;

    const uint8_t *p, *op_start; /* in the body */
    uint32_t origin; /* of an access that becomes a part of the current instruction; 0: none */
    uint8_t *code;
    uint32_t len, cap;

    SV_VEC(struct ent) st;
    uint32_t next_slot, max_slot;
    uint32_t floor; /* entries below are neither aliases nor in accumulators */
    struct acc acc[CLASS_COUNT];
    struct rec recs[2], *last, *prev; /* the last instruction and the one before */
    SV_VEC(struct ctl) ctls;
    SV_VEC(struct fix) fixes;
    SV_VEC(struct sv_clause) clauses;
    SV_VEC(uint32_t) stubs; /* clauses that return */
    bool unreachable;
    uint32_t skip_depth;

    uint32_t nlocals;
    uint32_t *local_slot; /* by local */
    uint8_t *local_cls;
    uint32_t *naliases; /* by slot */
    uint32_t locals;    /* slots before the saved ones */
    uint32_t gas_pos;   /* of the block's GAS instruction, NONE */
    uint64_t gas;

    /* Where instructions came from, when asked for. */
    bool map;
    uint32_t at, at_offset;
    SV_VEC(uint64_t) origins; /* code offset << 32 | module offset */
    bool map_loops;
    SV_VEC(struct sv_loop) loops;
    SV_VEC(struct sv_loop_value) loop_values;
};

/* How a pure or memory instruction is lowered. */
enum lower_family {
    FAM_OTHER,
    FAM_UNARY,
    FAM_BINARY,
    FAM_TERNARY,
    FAM_EXTRACT,
    FAM_REPLACE,
    FAM_LOAD,
    FAM_STORE
};
struct lower_info {
    uint16_t iop;
    uint8_t family, ca, cb, cr; /* classes of operands and result */
};
extern const struct lower_info sv_lower_info[OP_COUNT];

/* ---- lower_emit.c ---- */
/* Append an instruction (up to 64 bytes; more after lower_room). Never NULL. */
uint8_t *lower_emit(struct lower *, uint32_t iop, uint32_t size);
/* The code at `at` comes from the instruction at this offset of the module. */
void lower_origin(struct lower *, uint32_t at, uint32_t offset);
bool lower_room(struct lower *, uint32_t size);
static inline void lower_put16(uint8_t *p, uint32_t at, uint32_t v)
{
    uint16_t x = (uint16_t)v;

    memcpy(p + at, &x, sizeof x);
}
static inline void lower_put32(uint8_t *p, uint32_t at, uint32_t v)
{
    memcpy(p + at, &v, sizeof v);
}
static inline void lower_put64(uint8_t *p, uint32_t at, uint64_t v)
{
    memcpy(p + at, &v, sizeof v);
}
static inline void lower_forget_last(struct lower *l)
{
    l->last->pos = l->prev->pos = NONE;
}
void lower_kill_slot(struct lower *, uint32_t slot, unsigned n);
void lower_mirror(struct lower *, unsigned cls, uint32_t slot);
static inline bool lower_mirrors(const struct lower *l, unsigned cls, uint32_t slot)
{
    return l->acc[cls].mirror[0] == slot || l->acc[cls].mirror[1] == slot;
}
void lower_forget_mirrors(struct lower *);

enum sv_class lower_class(sv_valtype);
void lower_push(struct lower *, unsigned kind, unsigned cls, uint64_t v);
void lower_push_const(struct lower *, unsigned cls, uint64_t k);
/* Let the producer of the accumulator's value store it to the slot as well. */
void lower_patch(struct lower *, unsigned cls, uint32_t slot);
struct opnd lower_pop(struct lower *);
void lower_drop(struct lower *, uint32_t n); /* entries */
void lower_to_slot(struct lower *, struct opnd *);
/* Both operands may be said to be in one accumulator: leave one there. */
void lower_separate(struct lower *, struct opnd *a, struct opnd *b);
/* Was the operand made by the last instruction, for it alone? */
static inline bool lower_is_last(const struct lower *l, const struct opnd *o)
{
    const struct rec *r = l->last;

    if (r->pos == NONE)
        return false;
    if (o->kind == KIND_R && o->acc)
        return l->acc[o->cls].pos == r->pos;
    /* In a slot of its own that nothing else names. */
    return o->kind != KIND_K && r->d != NONE && r->d == o->slot && o->slot == o->home;
}
void lower_undo(struct lower *);
void lower_reresolve(struct lower *, struct opnd *);
/* Emit a producer for accumulator cls; then push its result. */
uint8_t *lower_begin(struct lower *, unsigned cls, uint32_t iop, uint32_t size, uint32_t op);
void lower_push_acc(struct lower *, unsigned cls);
/* Everything in accumulators only goes to its slot (no instruction). */
void lower_spill(struct lower *);
/* Entry i into its own slot. */
void lower_settle(struct lower *, uint32_t i);
/* The top n entries. */
void lower_settle_top(struct lower *, uint32_t n);
/* Entries below new blocks: no alias, nothing in accumulators only. */
void lower_settle_all(struct lower *, uint32_t below);
void lower_set_const(struct lower *, uint32_t slot, unsigned cls, uint64_t k);
void lower_move(struct lower *, uint32_t to, uint32_t from, unsigned cls);
void lower_local_set(struct lower *, uint32_t local, bool tee);
void lower_reserve(struct lower *, uint32_t slot);
static inline bool lower_fits(uint64_t k)
{
    return (int64_t)k == (int32_t)k;
}

/* ---- lower_numeric.c ---- */
void lower_unary(struct lower *, uint32_t op);
void lower_binary(struct lower *, uint32_t op);
void lower_ternary(struct lower *, uint32_t op);
void lower_lane(struct lower *, uint32_t op);
void lower_shuffle(struct lower *);
void lower_select(struct lower *);
void lower_canon(struct lower *, uint32_t op);
/* ---- lower_memory.c ---- */
void lower_load(struct lower *, uint32_t op);
void lower_store(struct lower *, uint32_t op);
bool lower_memory_op(struct lower *, uint32_t op);
/* ---- lower_control.c ---- */
void lower_block(struct lower *, uint32_t op);
void lower_else(struct lower *);
void lower_end(struct lower *);
void lower_br(struct lower *, uint32_t depth);
void lower_br_if(struct lower *, uint32_t depth);
void lower_br_table(struct lower *);
void lower_return(struct lower *);
void lower_return_values(struct lower *);
bool lower_branch_op(struct lower *, uint32_t op);
void lower_set_unreachable(struct lower *);
void lower_gas_begin(struct lower *);
void lower_gas_end(struct lower *);
/* ---- lower_call.c ---- */
bool lower_call_op(struct lower *, uint32_t op);
bool lower_exception_op(struct lower *, uint32_t op);
void lower_try_end(struct lower *, struct ctl *);
void lower_return_stubs(struct lower *);
/* ---- lower_ref.c ---- */
bool lower_ref_op(struct lower *, uint32_t op);
/* An instruction on consecutive slots: nargs operands settled, base and top written; the caller
 * fills the rest. */
uint8_t *lower_base_op(struct lower *, uint32_t iop, uint32_t size, uint32_t nargs,
                       uint32_t *ret_base);
/* Pop nargs entries and push a result of type t that lies at the base; in_acc: in accumulator R
 * too. */
void lower_base_result(struct lower *, uint32_t nargs, unsigned cls, bool in_acc);
/* ---- lower_branch.c ---- */
/* A condition popped from the stack, the instruction that made it absorbed if that pays. */
struct cond {
    uint32_t op; /* enum sv_op of a comparison, I32_AND, I32_EQZ..; or OP_COUNT: value b != 0 */
    bool negate;
    bool load; /* a was just loaded: from slot a plus offset, the load instruction is absorbed */
    uint32_t load_iop, load_offset;
    bool inc; /* and x += k before it */
    uint32_t inc_slot, inc_k;
    struct opnd a, b;
};
struct cond lower_pop_cond(struct lower *);
/* Emit a branch taken when the condition holds (or does not); returns the position of the
 * instruction, whose offset field is at 4. */
uint32_t lower_cond_branch(struct lower *, struct cond *, bool when);

#endif
