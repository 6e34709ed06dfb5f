/* Lowering of conditional branches: comparisons, bit tests and increments absorbed. Where branches
 * lead is in lower_control.c. */
#include "interp/lower.h"

static bool is_int_compare(uint32_t op)
{
    return (op >= OP_I32_EQ && op <= OP_I32_GE_U) || (op >= OP_I64_EQ && op <= OP_I64_GE_U);
}
static bool is_float_compare(uint32_t op)
{
    return op >= OP_F32_EQ && op <= OP_F64_GE;
}

/* The comparison with operands exchanged, and its opposite. Integers: EQ NE LT_S LT_U GT_S GT_U
 * LE_S LE_U GE_S GE_U; floats: EQ NE LT GT LE GE. */
static uint32_t exchanged(uint32_t op)
{
    static const uint8_t ints[10] = {0, 1, 4, 5, 2, 3, 8, 9, 6, 7}, floats[6] = {0, 1, 3, 2, 5, 4};
    uint32_t base = op >= OP_F64_EQ   ? OP_F64_EQ
                    : op >= OP_F32_EQ ? OP_F32_EQ
                    : op >= OP_I64_EQ ? OP_I64_EQ
                                      : OP_I32_EQ;

    return base + (is_float_compare(op) ? floats[op - base] : ints[op - base]);
}
static uint32_t opposite(uint32_t op)
{
    static const uint8_t ints[10] = {1, 0, 8, 9, 6, 7, 4, 5, 2, 3};
    uint32_t base = op >= OP_I64_EQ ? OP_I64_EQ : OP_I32_EQ;

    return base + ints[op - base];
}

/* The comparison's left operand was just incremented by the instruction before: absorb that too. */
static void absorb_increment(struct lower *l, struct cond *c, const struct rec *before)
{
    int64_t k;

    if (!l->accs || c->op < OP_I32_EQ || c->op > OP_I32_GE_U || before->pos == NONE ||
        before->op != OP_I32_ADD || before->d == NONE)
        return;
    if (before->b.kind != KIND_K || before->a.kind == KIND_K || before->a.acc ||
        before->a.slot != before->d)
        return;
    if (c->a.kind == KIND_K || c->a.acc || c->a.slot != before->d)
        return;
    /* The other side must not be the counter itself, nor only in the accumulator that the increment
     * writes. */
    if (c->b.kind == KIND_R || (c->b.kind == KIND_S && c->b.slot == before->d))
        return;
    /* What still names the counter on the stack is copied between here and the branch. */
    k = (int64_t)before->b.k;
    if (k != (int16_t)k || l->naliases[before->d] > 0)
        return;
    c->inc = true;
    c->inc_slot = before->d;
    c->inc_k = (uint32_t)k;
    lower_undo(l);
}

/* The left operand was just loaded from a slot plus a small offset and is compared with a constant:
 * absorb the load. */
static void absorb_load(struct lower *l, struct cond *c)
{
    struct opnd *x =
        c->op == OP_I32_EQ || c->op == OP_I32_NE || c->op == OP_I32_AND ? &c->a : &c->b;
    uint32_t iop, offset;

    if (!l->accs || c->op == OP_I64_EQZ || x->kind != KIND_R || !x->acc || !lower_is_last(l, x))
        return;
    if (x == &c->a ? c->b.kind != KIND_K : c->op != OP_COUNT && c->op != OP_I32_EQZ)
        return;
    if (sv_lower_info[l->last->op < OP_COUNT ? l->last->op : 0].family != FAM_LOAD ||
        l->last->am != AM_S || l->last->offset > UINT16_MAX)
        return;
    iop = sv_lower_info[l->last->op].iop;
    offset = l->last->offset;
    if (iop != I_LOAD8U_S && iop != I_LOAD32U_S)
        return;
    if (x == &c->b) {
        /* a value against zero */
        c->op = c->op == OP_COUNT ? OP_I32_NE : OP_I32_EQ;
        c->b = (struct opnd){.kind = KIND_K, .cls = CLASS_R};
    }
    c->a = l->last->a;
    c->load = true;
    c->load_iop = iop;
    c->load_offset = offset;
    lower_undo(l);
}

static struct cond pop_cond(struct lower *l)
{
    struct cond c = {.op = OP_COUNT};
    struct opnd o = lower_pop(l);
    uint32_t op;

    c.b = o;
    if (l->accs && !l->nomem && o.kind != KIND_K && !o.acc && l->last->pos != NONE &&
        l->last->op == OP_I32_ADD && l->last->d == o.slot) {
        /* x += K just before: x != 0 is a comparison that takes it along */
        struct rec before = *l->last;
        struct cond inc = {.op = OP_I32_NE, .a = o, .b = {.kind = KIND_K, .cls = CLASS_R}};

        absorb_increment(l, &inc, &before);
        if (inc.inc)
            return inc;
    }
    if (!l->optimise || l->nomem || !lower_is_last(l, &o)) {
        if (o.kind == KIND_K)
            lower_to_slot(l, &c.b);
        return c;
    }
    op = l->last->op;
    if (op == OP_I32_EQZ || op == OP_I64_EQZ) {
        c.op = op;
        c.b = l->last->a;
        lower_undo(l);
        if (op == OP_I32_EQZ && lower_is_last(l, &c.b) &&
            (is_int_compare(l->last->op) || is_float_compare(l->last->op) ||
             l->last->op == OP_I32_AND)) {
            c.op = l->last->op;
            c.a = l->last->a;
            c.b = l->last->b;
            c.negate = true;
            lower_undo(l);
        } else {
            return c;
        }
    } else if (is_int_compare(op) || is_float_compare(op) || op == OP_I32_AND) {
        c.op = op;
        c.a = l->last->a;
        c.b = l->last->b;
        lower_undo(l);
    } else {
        return c;
    }
    if (c.a.kind == KIND_K) {
        struct opnd t = c.a;

        c.a = c.b;
        c.b = t;
        if (c.op != OP_I32_AND)
            c.op = exchanged(c.op);
    }
    if (l->last->pos != NONE && is_int_compare(c.op)) {
        struct rec before = *l->last;

        absorb_increment(l, &c, &before);
    }
    return c;
}

struct cond lower_pop_cond(struct lower *l)
{
    struct cond c = pop_cond(l);

    if (!c.inc && !c.negate && !l->nomem)
        absorb_load(l, &c);
    return c;
}

static uint32_t branch_load(struct lower *l, const struct cond *c, bool when)
{
    uint32_t iop = (c->load_iop == I_LOAD8U_S ? I_LBR_8U_EQ : I_LBR_32U_EQ) +
                   (c->op == OP_I32_EQ   ? 0u
                    : c->op == OP_I32_NE ? 2u
                                         : 4u) +
                   !when;
    uint8_t *p = lower_emit(l, iop, 16);

    lower_put16(p, 8, c->a.slot);
    lower_put16(p, 10, c->load_offset);
    lower_put32(p, 12, (uint32_t)c->b.k);
    return l->len - 16;
}

/* The plain value against zero; EQZ turns the sense. */
static uint32_t branch_zero(struct lower *l, const struct cond *c, bool when)
{
    bool wide = c->op == OP_I64_EQZ, nonzero = c->op == OP_COUNT ? when : !when;
    uint32_t iop = (wide ? I_BRNZ64_S : I_BRNZ32_S) + (nonzero ? 0 : 2) + (c->b.kind == KIND_R);
    uint8_t *p = lower_emit(l, iop, c->b.kind == KIND_R ? 8 : 12);

    if (c->b.kind != KIND_R)
        lower_put16(p, 8, c->b.slot);
    return l->len - (c->b.kind == KIND_R ? 8 : 12);
}

static uint32_t branch_increment(struct lower *l, const struct cond *c, bool when)
{
    uint32_t op = when ? c->op : opposite(c->op);
    uint8_t *p = lower_emit(l, I_INCBR_I32_EQ_S + (op - OP_I32_EQ) * 2 + (c->b.kind == KIND_K), 16);

    lower_put16(p, 8, c->inc_slot);
    lower_put16(p, 10, c->inc_k);
    lower_put32(p, 12, c->b.kind == KIND_K ? (uint32_t)c->b.k : c->b.slot);
    lower_kill_slot(l, c->inc_slot, 1);
    l->acc[CLASS_R] = (struct acc){.ent = NONE, .pos = NONE, .mirror = {NONE, NONE}};
    lower_mirror(l, CLASS_R, c->inc_slot);
    return l->len - 16;
}

/* Number of the handler of the comparison in the given sense, form SS. */
static uint32_t compare_iop(uint32_t op, bool when)
{
    if (op == OP_I32_AND)
        return when ? I_BR_I32_AND_SS : I_BRN_I32_AND_SS;
    if (is_float_compare(op))
        return (when ? I_BR_F32_EQ_SS : I_BRN_F32_EQ_SS) + (op - OP_F32_EQ) * 5;
    if (!when)
        op = opposite(op);
    return op <= OP_I32_GE_U ? I_BR_I32_EQ_SS + (op - OP_I32_EQ) * 5
                             : I_BR_I64_EQ_SS + (op - OP_I64_EQ) * 5;
}

uint32_t lower_cond_branch(struct lower *l, struct cond *c, bool when)
{
    static const uint8_t forms[9] = {0, 1, 2, 3, 0, 4, 0, 0, 0}; /* kind of a * 3 + kind of b */
    uint32_t size, ksize;
    uint8_t *p;

    if (c->negate)
        when = !when;
    if (c->load)
        return branch_load(l, c, when);
    if (c->op == OP_COUNT || c->op == OP_I32_EQZ || c->op == OP_I64_EQZ)
        return branch_zero(l, c, when);
    if (c->inc)
        return branch_increment(l, c, when);
    ksize = c->b.cls == CLASS_F ? 8 : 4;
    size = c->b.kind == KIND_K ? (c->a.kind == KIND_S ? 12 : 8) + ksize : 12;
    p = lower_emit(l, compare_iop(c->op, when) + forms[c->a.kind * 3 + c->b.kind], size);
    if (c->a.kind == KIND_S) {
        lower_put16(p, 8, c->a.slot);
        if (c->b.kind == KIND_S)
            lower_put16(p, 10, c->b.slot);
    } else if (c->b.kind == KIND_S) {
        lower_put16(p, 8, c->b.slot);
    }
    if (c->b.kind == KIND_K) {
        if (ksize == 8)
            lower_put64(p, c->a.kind == KIND_S ? 12 : 8, c->b.k);
        else
            lower_put32(p, c->a.kind == KIND_S ? 12 : 8, (uint32_t)c->b.k);
    }
    return l->len - size;
}
