/* Lowering of loads, stores, atomics and bulk instructions: address modes of the guarded form, and
 * the checked forms. */
#include "interp/lower.h"

static bool memory_is64(const struct lower *l, uint32_t memory)
{
    return l->m->memories[memory].limits.is64;
}
static bool table_is64(const struct lower *l, uint32_t table)
{
    return l->m->tables[table].type.limits.is64;
}

/* An address resolved: mode, operands and offset. */
struct address {
    uint32_t am;
    struct opnd a, b;
    uint32_t offset;
    struct sv_memarg arg;
};

/* Absorb the addition that made the address. */
static bool fuse_address(struct lower *l, struct address *ad, const struct opnd *o)
{
    uint32_t op = l->last->op;
    struct opnd a = l->last->a, b = l->last->b;
    bool lea = op >= REC_LEA1 && op <= REC_LEA3;

    if (!l->optimise || !lower_is_last(l, o) || (op != OP_I32_ADD && !lea) || a.kind == KIND_K)
        return false;
    if (b.kind == KIND_K) {
        if (a.kind != KIND_S && a.acc)
            return false;
        lower_undo(l);
        a.kind = KIND_S;
        *ad = (struct address){.am = AM_SK, .a = a, .b = b, .offset = ad->offset, .arg = ad->arg};
        return true;
    }
    if (ad->offset > UINT16_MAX)
        return false;
    lower_undo(l);
    ad->a = a;
    ad->b = b;
    if (lea)
        ad->am = (a.kind == KIND_R   ? AM_LRS1
                  : b.kind == KIND_R ? AM_LSR1
                                     : AM_LSS1) +
                 (op - REC_LEA1);
    else
        ad->am = a.kind == KIND_R || b.kind == KIND_R ? AM_SR : AM_SS;
    if (ad->am == AM_SR && a.kind == KIND_R) {
        ad->a = b;
        ad->b = a;
    }
    return true;
}

/* Which modes each family of handlers has. */
static bool vector_mode(uint32_t op, uint32_t am)
{
    if (sv_lower_info[op].family == FAM_STORE)
        return am == AM_S || am == AM_R || am == AM_SS || am == AM_SR;
    return am == AM_S || am == AM_R || am == AM_SS || am == AM_SR || am == AM_LSS1 + 2;
}
static bool vector_op(uint32_t op)
{
    return sv_lower_info[op].cr == CLASS_V || sv_lower_info[op].cb == CLASS_V;
}

static bool may_fuse(const struct lower *l, uint32_t op)
{
    uint32_t rec = l->last->op;

    if (!vector_op(op))
        return true;
    /* Vectors have no constant and few scaled modes. */
    if (rec == OP_I32_ADD)
        return l->last->b.kind != KIND_K;
    return rec == REC_LEA3 && vector_mode(op, AM_LSS1 + 2) && l->last->a.kind == KIND_S &&
           l->last->b.kind == KIND_S;
}

/* Pop and resolve the address operand. */
static struct address pop_address(struct lower *l, uint32_t op, struct sv_memarg arg)
{
    struct address ad = {.arg = arg, .offset = (uint32_t)arg.offset};
    struct opnd o = lower_pop(l);
    bool plain = arg.memory == 0 && !memory_is64(l, 0);

    if (!plain || l->checked) {
        if (o.kind == KIND_K)
            lower_to_slot(l, &o);
        ad.a = o;
        ad.am = (plain ? AM_C_S : AM_X_S) + (o.kind == KIND_R);
        return ad;
    }
    if (o.kind == KIND_K && ((uint32_t)o.k + (uint64_t)ad.offset > UINT32_MAX || vector_op(op)))
        lower_to_slot(l, &o);
    if (o.kind == KIND_K) {
        ad.am = AM_K;
        ad.offset += (uint32_t)o.k;
        return ad;
    }
    if (may_fuse(l, op) && fuse_address(l, &ad, &o))
        return ad;
    ad.a = o;
    ad.am = o.kind == KIND_R ? AM_R : AM_S;
    return ad;
}

static uint32_t address_size(uint32_t am)
{
    if (am == AM_SK)
        return 16;
    return am >= AM_X_S ? 20 : 12;
}

static void put_address(struct lower *l, uint8_t *p, const struct address *ad)
{
    switch (ad->am) {
    case AM_S:
    case AM_C_S:
        lower_put16(p, 6, ad->a.slot);
        lower_put32(p, 8, ad->offset);
        break;
    case AM_R:
    case AM_K:
    case AM_C_R:
        lower_put32(p, 8, ad->offset);
        break;
    case AM_SK:
        lower_put16(p, 6, ad->a.slot);
        lower_put32(p, 8, (uint32_t)ad->b.k);
        lower_put32(p, 12, ad->offset);
        break;
    case AM_X_S:
    case AM_X_R:
        lower_put16(p, 6, ad->a.slot);
        lower_put16(p, 8, ad->arg.memory);
        lower_put16(p, 10, memory_is64(l, ad->arg.memory));
        lower_put64(p, 12, ad->arg.offset);
        break;
    case AM_SS:
    case AM_LSS1:
    case AM_LSS1 + 1:
    case AM_LSS1 + 2:
        lower_put16(p, 6, ad->a.slot);
        lower_put16(p, 8, ad->b.slot);
        lower_put16(p, 10, ad->offset);
        break;
    default: /* one slot, the other in R */
        lower_put16(p, 6, ad->a.kind == KIND_R ? ad->b.slot : ad->a.slot);
        lower_put16(p, 8, ad->offset);
        break;
    }
}

void lower_load(struct lower *l, uint32_t op)
{
    const struct lower_info *i = &sv_lower_info[op];
    struct address ad = pop_address(l, op, sv_code_memarg(&l->p));
    uint8_t *p = lower_begin(l, i->cr, i->iop + ad.am * 2, address_size(ad.am), op);

    l->last->a = ad.a;
    l->last->b = ad.b;
    l->last->am = ad.am;
    l->last->offset = ad.offset;
    put_address(l, p, &ad);
    lower_push_acc(l, i->cr);
}

/* Does the value operand have a form with this mode? Integers use the accumulator for one thing. */
static bool value_form(const struct lower_info *i, uint32_t am, unsigned kind)
{
    bool address_in_r =
        am == AM_R || am == AM_SR || (am >= AM_LRS1 && am < AM_C_S) || am == AM_C_R || am == AM_X_R;

    if (kind == KIND_K)
        return i->cb == CLASS_R && am < AM_C_S;
    if (kind == KIND_R)
        return !(address_in_r && i->cb == CLASS_R);
    return true;
}

/* The value was just loaded, whole, and goes to an address in a slot: memory to memory. */
static bool try_copy(struct lower *l, uint32_t op, const struct sv_memarg *arg,
                     const struct opnd *v)
{
    uint32_t iop, store = sv_lower_info[op].iop, from, soff;
    struct opnd o;
    uint8_t *p;

    if (!l->accs || l->checked || !v->acc || arg->memory != 0 || memory_is64(l, 0) ||
        arg->offset > UINT16_MAX || !lower_is_last(l, v))
        return false;
    if (l->last->op >= OP_COUNT || sv_lower_info[l->last->op].family != FAM_LOAD ||
        l->last->am != AM_S || l->last->offset > UINT16_MAX)
        return false;
    iop = sv_lower_info[l->last->op].iop;
    if (l->st.len == 0 || l->st.data[l->st.len - 1].kind == ENT_CONST ||
        l->st.data[l->st.len - 1].kind == ENT_ACC)
        return false;
    if (iop == I_LOAD8U_S && store == I_STORE8_S_S)
        iop = I_COPY8;
    else if (iop == I_LOAD32U_S && store == I_STORE32_S_S)
        iop = I_COPY32;
    else if ((iop == I_LOAD64_S && store == I_STORE64_S_S) ||
             (iop == I_LOADF64_S && store == I_STOREF64_S_S))
        iop = I_COPY64;
    else
        return false;
    from = l->last->a.slot;
    soff = l->last->offset;
    lower_undo(l);
    o = lower_pop(l);
    p = lower_emit(l, iop, 12);
    /* The load's place; behind it the store's, of which sv_interp_note knows. */
    lower_origin(l, l->len - 8, (uint32_t)(l->op_start - l->m->bytes));
    lower_put16(p, 4, o.slot);
    lower_put16(p, 6, from);
    lower_put16(p, 8, (uint32_t)arg->offset);
    lower_put16(p, 10, soff);
    return true;
}

/* The value is the sum of F and what lies at the very address it goes to. */
static bool try_add_to(struct lower *l, uint32_t op, const struct sv_memarg *arg,
                       const struct opnd *v)
{
    const struct rec *r = l->last;
    const struct ent *e;
    uint32_t slot, offset;
    uint8_t *p;

    if (op != OP_F64_STORE || !v->acc || l->checked || arg->memory != 0 || memory_is64(l, 0) ||
        !lower_is_last(l, v) || r->op != REC_F64_ADD_LOAD || r->offset != arg->offset ||
        l->st.len == 0)
        return false;
    e = &l->st.data[l->st.len - 1];
    slot = e->kind == ENT_LOCAL ? e->local : e->slot;
    if (e->kind == ENT_CONST || e->kind == ENT_ACC || slot != r->a.slot)
        return false;
    offset = r->offset;
    lower_undo(l);
    lower_drop(l, 1);
    p = lower_emit(l, I_ADD_TO_F64, 12);
    lower_put16(p, 6, slot);
    lower_put32(p, 8, offset);
    return true;
}

void lower_store(struct lower *l, uint32_t op)
{
    const struct lower_info *i = &sv_lower_info[op];
    struct sv_memarg arg = sv_code_memarg(&l->p);
    struct opnd v = lower_pop(l);
    struct address ad;
    uint32_t size;
    uint8_t *p;

    if (try_copy(l, op, &arg, &v) || try_add_to(l, op, &arg, &v))
        return;

    /* A constant or a value without instruction of its own leaves the address's instruction the
     * last one. */
    if (v.kind == KIND_K && (i->cb != CLASS_R || !lower_fits(v.k) || l->checked ||
                             arg.memory != 0 || memory_is64(l, 0)))
        lower_to_slot(l, &v);
    ad = pop_address(l, op, arg);
    if (v.kind == KIND_R && v.acc && !value_form(i, ad.am, KIND_R)) {
        /* Both the address and the value cannot be in R: the value came last, so the address has a
         * slot. */
        ad.am = ad.am == AM_C_R ? AM_C_S : ad.am == AM_X_R ? AM_X_S : AM_S;
        ad.a.kind = KIND_S;
    } else if (v.kind == KIND_R && !value_form(i, ad.am, KIND_R)) {
        v.kind = KIND_S;
    } else if (v.kind == KIND_S && v.cls != CLASS_R) {
        lower_reresolve(l, &v);
    } else if (v.kind == KIND_S && value_form(i, ad.am, KIND_R)) {
        lower_reresolve(l, &v);
    }
    /* Undoing the address's instruction may have brought back another value. */
    if (v.kind == KIND_R && !v.acc && !lower_mirrors(l, v.cls, v.slot))
        v.kind = KIND_S;
    size = address_size(ad.am);
    p = lower_emit(l, i->iop + ad.am * 3 + v.kind, size + (v.kind == KIND_K ? 4 : 0));
    put_address(l, p, &ad);
    if (v.kind == KIND_K)
        lower_put32(p, size, (uint32_t)v.k);
    else
        lower_put16(p, 4, v.slot);
}

/* ---- Lanes in memory ---- */

static void lane_access(struct lower *l, uint32_t op, unsigned log2, bool store)
{
    struct sv_memarg arg = sv_code_memarg(&l->p);
    uint32_t lane = *l->p++, base, at = 12;
    bool any = l->checked || arg.memory != 0 || memory_is64(l, arg.memory);
    struct opnd v = lower_pop(l), a = lower_pop(l);
    uint32_t iop = I_V128_LOAD8_LANE + log2 * 6 + (store ? 4 : 0) + (any ? (store ? 1 : 2) : 0);
    uint8_t *p;

    (void)op;
    lower_to_slot(l, &v);
    lower_to_slot(l, &a);
    base = any ? 24 : 16;
    p = store ? lower_emit(l, iop, base) : lower_begin(l, CLASS_V, iop, base, REC_OTHER);
    lower_put16(p, 6, a.slot);
    if (any) {
        lower_put16(p, 8, arg.memory);
        lower_put16(p, 10, memory_is64(l, arg.memory));
        lower_put64(p, 12, arg.offset);
        at = 20;
    } else {
        lower_put32(p, 8, (uint32_t)arg.offset);
    }
    lower_put16(p, at, v.slot);
    lower_put16(p, at + 2, lane);
    if (!store)
        lower_push_acc(l, CLASS_V);
}

/* ---- Atomics: nine groups of seven ---- */

enum { ATOMIC_WIDTHS = 7, ATOMIC_GROUPS = 9, GROUP_STORE = 1, GROUP_CMPXCHG = 8 };
static const uint8_t atomic_log2[ATOMIC_WIDTHS] = {2, 3, 0, 1, 0, 1, 2};

static void atomic_access(struct lower *l, uint32_t op)
{
    uint32_t n = op - OP_I32_ATOMIC_LOAD, group = n / ATOMIC_WIDTHS, width = n % ATOMIC_WIDTHS,
             base;
    uint32_t nargs = group == 0 ? 1 : group == GROUP_CMPXCHG ? 3 : 2;
    struct sv_memarg arg = sv_code_memarg(&l->p);
    uint8_t *p = lower_base_op(l, I_ATOMIC_LOAD8 + atomic_log2[width] * ATOMIC_GROUPS + group, 20,
                               nargs, &base);

    lower_put16(p, 6, base);
    lower_put16(p, 8, arg.memory);
    lower_put16(p, 10, memory_is64(l, arg.memory));
    lower_put64(p, 12, arg.offset);
    if (group == GROUP_STORE)
        lower_drop(l, nargs);
    else
        lower_base_result(l, nargs, CLASS_R, true);
}

static void wait_or_notify(struct lower *l, uint32_t op)
{
    struct sv_memarg arg = sv_code_memarg(&l->p);
    uint32_t iop = op == OP_MEMORY_ATOMIC_NOTIFY   ? I_ATOMIC_NOTIFY
                   : op == OP_MEMORY_ATOMIC_WAIT32 ? I_ATOMIC_WAIT32
                                                   : I_ATOMIC_WAIT64;
    uint32_t nargs = op == OP_MEMORY_ATOMIC_NOTIFY ? 2 : 3;
    uint8_t *p = lower_base_op(l, iop, 24, nargs, NULL);

    lower_put32(p, 8, arg.memory);
    lower_put64(p, 12, arg.offset);
    lower_put32(p, 20, memory_is64(l, arg.memory));
    lower_base_result(l, nargs, CLASS_R, true);
}

/* ---- Bulk ---- */

static void bulk(struct lower *l, uint32_t iop, uint32_t nargs, uint32_t x, uint32_t y,
                 uint32_t flags, bool result)
{
    uint8_t *p = lower_base_op(l, iop, 20, nargs, NULL);

    lower_put32(p, 8, x);
    lower_put32(p, 12, y);
    lower_put32(p, 16, flags);
    if (result)
        lower_base_result(l, nargs, CLASS_R, true);
    else
        lower_drop(l, nargs);
}

/* Flags of a copy: destination, source, length 64 bits wide. */
static uint32_t copy_flags(bool dst64, bool src64)
{
    return (dst64 ? 1u : 0) | (src64 ? 2u : 0) | (dst64 && src64 ? 4u : 0);
}

static void size_op(struct lower *l, uint32_t iop, uint32_t index)
{
    uint8_t *p = lower_base_op(l, iop, 12, 0, NULL);

    lower_put32(p, 8, index);
    lower_base_result(l, 0, CLASS_R, true);
}

static bool memory_bulk(struct lower *l, uint32_t op)
{
    uint32_t x, y;

    switch (op) {
    case OP_MEMORY_SIZE:
        size_op(l, I_MEMORY_SIZE, sv_code_u32(&l->p));
        return true;
    case OP_MEMORY_GROW:
        x = sv_code_u32(&l->p);
        bulk(l, I_MEMORY_GROW, 1, x, 0, memory_is64(l, x), true);
        return true;
    case OP_MEMORY_FILL:
        x = sv_code_u32(&l->p);
        bulk(l, I_MEMORY_FILL, 3, x, 0, memory_is64(l, x), false);
        return true;
    case OP_MEMORY_COPY:
        x = sv_code_u32(&l->p);
        y = sv_code_u32(&l->p);
        bulk(l, I_MEMORY_COPY, 3, x, y, copy_flags(memory_is64(l, x), memory_is64(l, y)), false);
        return true;
    case OP_MEMORY_INIT:
        y = sv_code_u32(&l->p);
        x = sv_code_u32(&l->p);
        bulk(l, I_MEMORY_INIT, 3, x, y, memory_is64(l, x), false);
        return true;
    case OP_DATA_DROP:
        bulk(l, I_DATA_DROP, 0, sv_code_u32(&l->p), 0, 0, false);
        return true;
    default:
        return false;
    }
}

static bool table_bulk(struct lower *l, uint32_t op)
{
    uint32_t x, y;

    switch (op) {
    case OP_TABLE_SIZE:
        size_op(l, I_TABLE_SIZE, sv_code_u32(&l->p));
        return true;
    case OP_TABLE_GET: {
        uint8_t *p;

        x = sv_code_u32(&l->p);
        p = lower_base_op(l, I_TABLE_GET, 12, 1, NULL);
        lower_put16(p, 6, table_is64(l, x));
        lower_put32(p, 8, x);
        lower_base_result(l, 1, CLASS_R, true);
        return true;
    }
    case OP_TABLE_SET:
        x = sv_code_u32(&l->p);
        bulk(l, I_TABLE_SET, 2, x, 0, table_is64(l, x), false);
        return true;
    case OP_TABLE_GROW:
        x = sv_code_u32(&l->p);
        bulk(l, I_TABLE_GROW, 2, x, 0, table_is64(l, x), true);
        return true;
    case OP_TABLE_FILL:
        x = sv_code_u32(&l->p);
        bulk(l, I_TABLE_FILL, 3, x, 0, table_is64(l, x), false);
        return true;
    case OP_TABLE_COPY:
        x = sv_code_u32(&l->p);
        y = sv_code_u32(&l->p);
        bulk(l, I_TABLE_COPY, 3, x, y, copy_flags(table_is64(l, x), table_is64(l, y)), false);
        return true;
    case OP_TABLE_INIT:
        y = sv_code_u32(&l->p);
        x = sv_code_u32(&l->p);
        bulk(l, I_TABLE_INIT, 3, x, y, table_is64(l, x), false);
        return true;
    case OP_ELEM_DROP:
        bulk(l, I_ELEM_DROP, 0, sv_code_u32(&l->p), 0, 0, false);
        return true;
    default:
        return false;
    }
}

bool lower_memory_op(struct lower *l, uint32_t op)
{
    if (op >= OP_V128_LOAD8_LANE && op <= OP_V128_STORE64_LANE) {
        bool store = op >= OP_V128_STORE8_LANE;

        lane_access(l, op, op - (store ? OP_V128_STORE8_LANE : OP_V128_LOAD8_LANE), store);
        return true;
    }
    if (op >= OP_I32_ATOMIC_LOAD && op <= OP_I64_ATOMIC_RMW32_CMPXCHG_U) {
        atomic_access(l, op);
        return true;
    }
    switch (op) {
    case OP_MEMORY_ATOMIC_NOTIFY:
    case OP_MEMORY_ATOMIC_WAIT32:
    case OP_MEMORY_ATOMIC_WAIT64:
        wait_or_notify(l, op);
        return true;
    case OP_ATOMIC_FENCE:
        l->p++;
        lower_emit(l, I_ATOMIC_FENCE, 4);
        return true;
    default:
        return memory_bulk(l, op) || table_bulk(l, op);
    }
}
