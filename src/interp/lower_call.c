/* Lowering of calls, tail calls and exceptions. */
#include "interp/lower.h"

/* ---- Calls ---- */

/* Arguments are settled in consecutive slots, which become the callee's first; everything else
 * leaves the accumulators. Returns the first slot. */
static uint32_t arguments(struct lower *l, const struct sv_type *type)
{
    uint32_t n = type->func.nparams, base, slots;

    if (l->nomem)
        return 0;
    lower_settle_top(l, n);
    lower_spill(l);
    base = n ? l->st.data[l->st.len - n].slot : l->next_slot;
    slots = type->func.param_slots > type->func.result_slots ? type->func.param_slots
                                                             : type->func.result_slots;
    lower_reserve(l, base + slots);
    return base;
}

static void results(struct lower *l, const struct sv_type *type)
{
    lower_drop(l, type->func.nparams);
    lower_forget_mirrors(l);
    for (uint32_t i = 0; i < type->func.nresults; i++)
        lower_push(l, ENT_SLOT, lower_class(type->func.results[i]), 0);
    /* One result comes in its accumulator as well; vectors of host functions do not. */
    if (type->func.nresults == 1 && !l->nomem) {
        unsigned cls = lower_class(type->func.results[0]);

        if (cls != CLASS_V)
            lower_mirror(l, cls, l->st.data[l->st.len - 1].slot);
    }
}

static void call(struct lower *l)
{
    uint32_t f = sv_code_u32(&l->p);
    const struct sv_type *type = l->m->funcs[f].type;
    uint32_t base = arguments(l, type);
    uint8_t *p = lower_emit(l, I_CALL, 16);

    lower_put16(p, 4, base);
    lower_put32(p, 8, f);
    lower_put32(p, 12, l->index);
    results(l, type);
}

static uint32_t table_mask(const struct lower *l, uint32_t table)
{
    return l->m->tables[table].type.limits.is64 ? UINT32_MAX : 0;
}

static void call_indirect(struct lower *l)
{
    const struct sv_type *type = l->m->types[sv_code_u32(&l->p)];
    uint32_t table = sv_code_u32(&l->p), base;
    struct opnd o = lower_pop(l);
    uint8_t *p;

    if (o.kind == KIND_K)
        lower_to_slot(l, &o);
    lower_reserve(l, o.home + 1);
    base = arguments(l, type);
    /* The arguments may be patched or moved, the index stays where it is: its own slot lies above
     * them. */
    p = lower_emit(l, o.kind == KIND_R ? I_CALL_INDIRECT_R : I_CALL_INDIRECT_S, 28);
    lower_put16(p, 4, base);
    lower_put16(p, 6, o.slot);
    lower_put32(p, 8, table);
    lower_put32(p, 12, table_mask(l, table));
    lower_put64(p, 16, (uintptr_t)type);
    lower_put32(p, 24, l->index);
    results(l, type);
}

static void call_ref(struct lower *l)
{
    const struct sv_type *type = l->m->types[sv_code_u32(&l->p)];
    struct opnd o = lower_pop(l);
    uint32_t base;
    uint8_t *p;

    lower_to_slot(l, &o);
    base = arguments(l, type);
    p = lower_emit(l, I_CALL_REF, 12);
    lower_put16(p, 4, base);
    lower_put16(p, 6, o.slot);
    lower_put32(p, 8, l->index);
    results(l, type);
}

static void return_call(struct lower *l, uint32_t op)
{
    uint32_t f = 0, table = 0, base;
    const struct sv_type *type;
    struct opnd o = {0};
    uint8_t *p;

    lower_gas_end(l);
    if (op == OP_RETURN_CALL) {
        f = sv_code_u32(&l->p);
        type = l->m->funcs[f].type;
    } else {
        type = l->m->types[sv_code_u32(&l->p)];
        if (op == OP_RETURN_CALL_INDIRECT)
            table = sv_code_u32(&l->p);
        o = lower_pop(l);
        lower_to_slot(l, &o);
    }
    lower_reserve(l, o.home + 1);
    base = arguments(l, type);
    /* The new frame begins where ours does; its arguments must not reach what is still to be read.
     */
    p = lower_emit(l,
                   op == OP_RETURN_CALL       ? I_RETURN_CALL
                   : op == OP_RETURN_CALL_REF ? I_RETURN_CALL_REF
                                              : I_RETURN_CALL_INDIRECT,
                   op == OP_RETURN_CALL ? 16 : 28);
    lower_put16(p, 4, base);
    lower_put16(p, 6, type->func.param_slots);
    if (op == OP_RETURN_CALL) {
        lower_put32(p, 8, f);
        lower_put16(p, 12, l->locals);
    } else {
        lower_put16(p, 8, l->locals);
        lower_put16(p, 10, o.slot);
        lower_put32(p, 12, table);
        lower_put32(p, 16, op == OP_RETURN_CALL_INDIRECT ? table_mask(l, table) : 0);
        lower_put64(p, 20, (uintptr_t)type);
    }
    lower_set_unreachable(l);
}

bool lower_call_op(struct lower *l, uint32_t op)
{
    switch (op) {
    case OP_CALL:
        call(l);
        return true;
    case OP_CALL_INDIRECT:
        call_indirect(l);
        return true;
    case OP_CALL_REF:
        call_ref(l);
        return true;
    case OP_RETURN_CALL:
    case OP_RETURN_CALL_INDIRECT:
    case OP_RETURN_CALL_REF:
        return_call(l, op);
        return true;
    default:
        return false;
    }
}

/* ---- Exceptions ---- */

static void add_clause(struct lower *l, struct sv_clause c)
{
    if (!SV_VEC_PUSH(&l->clauses, UINT32_MAX, c))
        l->nomem = true;
}

static void clause_to_label(struct lower *l, struct ctl *c)
{
    uint32_t i = (uint32_t)l->clauses.len - 1;
    struct sv_clause *clause;

    if (l->nomem)
        return;
    clause = &l->clauses.data[i];
    clause->slot = (uint16_t)c->base;
    if (c->kind == CTL_LOOP) {
        clause->target = c->loop_pos;
    } else if (c->kind == CTL_FUNC) {
        clause->slot = 0;
        if (!SV_VEC_PUSH(&l->stubs, UINT32_MAX, i))
            l->nomem = true;
    } else {
        /* Comes here with nothing known of the accumulators. */
        c->jumped = true;
        for (unsigned k = 0; k < CLASS_COUNT; k++)
            c->mirror[k][0] = c->mirror[k][1] = NONE;
        if (!SV_VEC_PUSH(&l->fixes, UINT32_MAX,
                         (struct fix){.field = LOWER_CLAUSE_FIELD | i, .next = c->fixes}))
            l->nomem = true;
        else
            c->fixes = (uint32_t)l->fixes.len - 1;
    }
}

void lower_try_end(struct lower *l, struct ctl *c)
{
    const uint8_t *p = c->catches;
    uint32_t depth = (uint32_t)l->ctls.len - 1, from = c->try_from;

    if (c->kind != CTL_TRY_TABLE)
        return;
    for (uint32_t n = c->try_to; n > 0 && !l->nomem; n--) {
        struct sv_catch k = sv_code_catch(&p);
        bool all = k.kind == SV_CATCH_ALL || k.kind == SV_CATCH_ALL_REF;

        add_clause(l, (struct sv_clause){.from = from,
                                         .to = l->len,
                                         .tag = k.tag,
                                         .depth = depth,
                                         .kind = all ? SV_CLAUSE_ALL : SV_CLAUSE_TAG,
                                         .ref_last =
                                             k.kind == SV_CATCH_REF || k.kind == SV_CATCH_ALL_REF});
        /* Labels count from outside the try_table. */
        clause_to_label(l, &l->ctls.data[depth - 1 - k.label]);
    }
}

/* Exceptions caught by the function's own label: values lie in the frame's first slots. */
void lower_return_stubs(struct lower *l)
{
    static const uint16_t slots[CLASS_COUNT] = {I_RET_S, I_RET_F_S, I_RET_G_S, I_RET_V_S};
    const struct sv_type *type = l->func->type;

    for (size_t i = 0; i < l->stubs.len && !l->nomem; i++) {
        uint32_t iop = type->func.nresults == 1 ? slots[lower_class(type->func.results[0])] : I_RET;
        uint8_t *p;

        l->clauses.data[l->stubs.data[i]].target = l->len;
        p = lower_emit(l, iop, 8);
        lower_put16(p, 4, l->locals);
        lower_put16(p, 6, 0);
    }
}

/* The legacy catch and catch_all: the body behind begins with the exception in a slot of its own,
 * for rethrow, below its values. */
static void legacy_catch(struct lower *l, bool all)
{
    uint32_t tag = all ? 0 : sv_code_u32(&l->p), depth = (uint32_t)l->ctls.len - 1, pos;
    struct ctl *c = &l->ctls.data[depth];

    if (c->kind == CTL_TRY)
        c->try_to = l->len;
    if (!l->unreachable) {
        uint32_t n = sv_blocktype_nresults(&c->type);

        lower_settle_top(l, n);
        if (n && !l->nomem && l->st.data[l->st.len - n].slot != c->base) {
            for (uint32_t i = 0, to = c->base; i < n; i++) {
                const struct ent *e = &l->st.data[l->st.len - n + i];

                lower_move(l, to, e->slot, e->cls);
                to += e->cls == CLASS_V ? 2 : 1;
            }
        }
        lower_gas_end(l);
        lower_emit(l, I_JMP, 8);
        pos = l->len - 8;
        if (!SV_VEC_PUSH(&l->fixes, UINT32_MAX,
                         (struct fix){.field = pos + 4, .from = pos, .next = c->fixes}))
            l->nomem = true;
        else
            c->fixes = (uint32_t)l->fixes.len - 1;
        if (c->kind == CTL_TRY)
            c->try_to = l->len;
    }
    /* Nothing is known at the end: exceptions come from anywhere. */
    c->jumped = true;
    for (unsigned k = 0; k < CLASS_COUNT; k++)
        c->mirror[k][0] = c->mirror[k][1] = NONE;
    if (l->st.len > c->height)
        lower_drop(l, (uint32_t)l->st.len - c->height);
    l->next_slot = c->base;
    l->unreachable = false;
    lower_forget_last(l);
    lower_forget_mirrors(l);
    add_clause(l, (struct sv_clause){.from = c->try_from,
                                     .to = c->try_to,
                                     .target = l->len,
                                     .tag = tag,
                                     .depth = depth,
                                     .slot = (uint16_t)c->base,
                                     .kind = all ? SV_CLAUSE_ALL : SV_CLAUSE_TAG,
                                     .ref_first = true});
    c->kind = CTL_CATCH;
    lower_push(l, ENT_SLOT, CLASS_R, 0);
    for (uint32_t i = 0; !all && i < l->m->tags[tag].type->func.nparams; i++)
        lower_push(l, ENT_SLOT, lower_class(l->m->tags[tag].type->func.params[i]), 0);
    l->floor = (uint32_t)l->st.len;
    lower_gas_begin(l);
}

/* try .. delegate l: exceptions count as thrown inside block l. Ends the block. */
static void legacy_delegate(struct lower *l)
{
    uint32_t label = sv_code_u32(&l->p), depth = (uint32_t)l->ctls.len - 1;

    lower_forget_last(l);
    add_clause(l, (struct sv_clause){.from = l->ctls.data[depth].try_from,
                                     .to = l->len,
                                     .tag = depth - 1 - label,
                                     .depth = depth,
                                     .kind = SV_CLAUSE_DELEGATE});
    l->ctls.data[depth].kind = CTL_BLOCK;
    lower_end(l);
}

static void throw_values(struct lower *l, uint32_t iop, uint32_t nargs, uint32_t tag)
{
    uint8_t *p;

    lower_gas_end(l);
    p = lower_base_op(l, iop, 16, nargs, NULL);
    lower_put32(p, 8, tag);
    lower_put32(p, 12, l->index);
    lower_set_unreachable(l);
}

static void rethrow(struct lower *l)
{
    uint32_t depth = sv_code_u32(&l->p);
    const struct ctl *c = &l->ctls.data[l->ctls.len - 1 - depth];
    uint8_t *p;

    lower_gas_end(l);
    p = lower_emit(l, I_THROW_REF, 16);
    lower_put16(p, 4, c->base);
    lower_put16(p, 6, l->next_slot);
    lower_put32(p, 12, l->index);
    lower_set_unreachable(l);
}

bool lower_exception_op(struct lower *l, uint32_t op)
{
    uint32_t tag;

    switch (op) {
    case OP_THROW:
        tag = sv_code_u32(&l->p);
        throw_values(l, I_THROW, l->m->tags[tag].type->func.nparams, tag);
        return true;
    case OP_THROW_REF:
        throw_values(l, I_THROW_REF, 1, 0);
        return true;
    case OP_RETHROW:
        rethrow(l);
        return true;
    case OP_CATCH:
        legacy_catch(l, false);
        return true;
    case OP_CATCH_ALL:
        legacy_catch(l, true);
        return true;
    case OP_DELEGATE:
        legacy_delegate(l);
        return true;
    default:
        return false;
    }
}
