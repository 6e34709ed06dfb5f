/* The symbolic stack, the accumulators, and emitting: what all parts of the lowering stand on.
 * Knows single wasm instructions only as numbers. */
#include "interp/lower.h"

/* Aliases further than this below the top are settled, so that looking for those of a local is
 * bounded. */
#define ALIAS_REACH 64
/* Longest instruction that lower_emit is asked for at once (br_table reserves more). */
#define CODE_MAX (UINT32_MAX / 4)

static void grow_code(struct lower *l, uint32_t size)
{
    uint64_t cap = (uint64_t)l->cap * 2 + size;
    uint8_t *code = cap > CODE_MAX ? NULL : sv_realloc(l->code, cap);

    if (!code) {
        /* Go on in what we have; the result is thrown away. */
        l->nomem = true;
        l->len = 0;
        return;
    }
    l->code = code;
    l->cap = (uint32_t)cap;
}

bool lower_room(struct lower *l, uint32_t size)
{
    if (l->cap - l->len < size)
        grow_code(l, size);
    return !l->nomem;
}

/* Of what is emitted now: where it may trap. */
static uint32_t origin(const struct lower *l)
{
    return l->origin ? l->origin : (uint32_t)(l->op_start - l->m->bytes);
}

void lower_origin(struct lower *l, uint32_t at, uint32_t offset)
{
    if (l->map && !SV_VEC_PUSH(&l->origins, UINT32_MAX, (uint64_t)at << 32 | offset))
        l->nomem = true;
}

static uint8_t *emit(struct lower *l, uint32_t iop, uint32_t size)
{
    uint8_t *p;

    if (l->cap - l->len < size)
        grow_code(l, size);
    p = l->code + l->len;
    lower_origin(l, l->len, origin(l));
    lower_put32(p, 0, l->offsets[iop]);
    l->len += size;
    return p;
}

uint8_t *lower_emit(struct lower *l, uint32_t iop, uint32_t size)
{
    lower_forget_last(l);
    return emit(l, iop, size);
}

/* ---- Accumulators ---- */

void lower_kill_slot(struct lower *l, uint32_t slot, unsigned n)
{
    for (unsigned c = 0; c < CLASS_V; c++) {
        for (unsigned i = 0; i < 2; i++) {
            if (l->acc[c].mirror[i] - slot < n)
                l->acc[c].mirror[i] = NONE;
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        uint32_t m = l->acc[CLASS_V].mirror[i];

        if (m != NONE && m < slot + n && slot < m + 2)
            l->acc[CLASS_V].mirror[i] = NONE;
    }
}

void lower_mirror(struct lower *l, unsigned cls, uint32_t slot)
{
    struct acc *a = &l->acc[cls];

    if (!l->accs || a->mirror[0] == slot)
        return;
    a->mirror[1] = a->mirror[0];
    a->mirror[0] = slot;
}

void lower_forget_mirrors(struct lower *l)
{
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        l->acc[c].mirror[0] = l->acc[c].mirror[1] = l->acc[c].pos = NONE;
}

void lower_reserve(struct lower *l, uint32_t slot)
{
    if (slot > l->max_slot)
        l->max_slot = slot;
}

/* Turn the producer of the accumulator's value into the form that stores it as well. */
void lower_patch(struct lower *l, unsigned cls, uint32_t slot)
{
    struct acc *a = &l->acc[cls];
    uint8_t *p = l->code + a->pos;

    if (l->nomem || a->pos == NONE)
        return;
    lower_put32(p, 0, l->offsets[a->iop + 1]);
    lower_put16(p, 4, slot);
    lower_kill_slot(l, slot, cls == CLASS_V ? 2 : 1);
    lower_mirror(l, cls, slot);
    if (l->last->pos == a->pos)
        l->last->d = slot;
    a->pos = NONE; /* a store to one slot only */
}

static void spill_class(struct lower *l, unsigned cls)
{
    struct acc *a = &l->acc[cls];

    if (a->ent == NONE)
        return;
    lower_patch(l, cls, l->st.data[a->ent].slot);
    l->st.data[a->ent].kind = ENT_SLOT;
    a->ent = NONE;
}

void lower_spill(struct lower *l)
{
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        spill_class(l, c);
}

uint8_t *lower_begin(struct lower *l, unsigned cls, uint32_t iop, uint32_t size, uint32_t op)
{
    struct acc *a = &l->acc[cls];
    struct rec *r = l->prev;
    uint8_t *p;

    spill_class(l, cls);
    l->prev = l->last;
    l->last = r;
    p = emit(l, iop, size);
    r->pos = l->len - size;
    r->op = op;
    r->cls = (uint8_t)cls;
    r->d = NONE;
    r->origin = origin(l);
    r->before = *a;
    *a = (struct acc){.ent = NONE, .pos = r->pos, .iop = iop, .mirror = {NONE, NONE}};
    return p;
}

/* ---- The symbolic stack ---- */

enum sv_class lower_class(sv_valtype t)
{
    switch (sv_valtype_kind(t)) {
    case SV_VAL_F64:
        return CLASS_F;
    case SV_VAL_F32:
        return CLASS_G;
    case SV_VAL_V128:
        return CLASS_V;
    default:
        return CLASS_R;
    }
}

void lower_push(struct lower *l, unsigned kind, unsigned cls, uint64_t v)
{
    struct ent e = {.kind = (uint8_t)kind, .cls = (uint8_t)cls, .slot = l->next_slot, .k = v};

    if (kind == ENT_LOCAL) {
        e.k = 0;
        e.local = (uint32_t)v;
        l->naliases[e.local]++;
    }
    if (!SV_VEC_PUSH(&l->st, UINT32_MAX, e)) {
        l->nomem = true;
        return;
    }
    l->next_slot += cls == CLASS_V ? 2 : 1;
    lower_reserve(l, l->next_slot);
    if (l->st.len - l->floor > ALIAS_REACH)
        lower_settle_all(l, l->floor + 1);
}

void lower_push_const(struct lower *l, unsigned cls, uint64_t k)
{
    lower_push(l, ENT_CONST, cls, k);
    if (!l->optimise && !l->nomem)
        lower_settle_top(l, 1);
}

void lower_push_acc(struct lower *l, unsigned cls)
{
    lower_push(l, ENT_ACC, cls, 0);
    if (l->nomem)
        return;
    l->acc[cls].ent = (uint32_t)l->st.len - 1;
    if (!l->accs)
        spill_class(l, cls);
    if (!l->optimise)
        lower_forget_last(l);
}

static void popped(struct lower *l, const struct ent *e)
{
    if (e->kind == ENT_LOCAL)
        l->naliases[e->local]--;
    l->next_slot = e->slot;
    if (l->floor > l->st.len)
        l->floor = (uint32_t)l->st.len;
}

struct opnd lower_pop(struct lower *l)
{
    struct opnd o = {0};
    struct ent e;

    if (l->nomem || l->st.len == 0)
        return o;
    e = l->st.data[--l->st.len];
    popped(l, &e);
    o.cls = e.cls;
    o.home = o.slot = e.slot;
    switch (e.kind) {
    case ENT_CONST:
        o.kind = KIND_K;
        o.k = e.k;
        return o;
    case ENT_ACC:
        o.kind = KIND_R;
        o.acc = true;
        l->acc[e.cls].ent = NONE;
        return o;
    case ENT_LOCAL:
        o.slot = e.local;
        break;
    default:
        break;
    }
    o.kind = lower_mirrors(l, e.cls, o.slot) ? KIND_R : KIND_S;
    return o;
}

void lower_drop(struct lower *l, uint32_t n)
{
    while (n-- > 0 && !l->nomem)
        (void)lower_pop(l);
}

void lower_to_slot(struct lower *l, struct opnd *o)
{
    if (o->kind == KIND_K) {
        lower_set_const(l, o->home, o->cls, o->k);
        o->slot = o->home;
    } else if (o->kind == KIND_R && o->acc) {
        lower_patch(l, o->cls, o->home);
        o->slot = o->home;
    }
    o->kind = KIND_S;
    o->acc = false;
}

void lower_separate(struct lower *l, struct opnd *a, struct opnd *b)
{
    struct opnd *other = a->acc ? b : a;

    if (a->kind == KIND_R && b->kind == KIND_R && a->cls == b->cls)
        lower_to_slot(l, other);
}

void lower_reresolve(struct lower *l, struct opnd *o)
{
    if (o->kind == KIND_S && lower_mirrors(l, o->cls, o->slot))
        o->kind = KIND_R;
}

static void cut(struct lower *l, uint32_t pos)
{
    l->len = pos;
    while (l->map && l->origins.len > 0 && l->origins.data[l->origins.len - 1] >> 32 >= pos)
        l->origins.len--;
}

void lower_undo(struct lower *l)
{
    struct rec *r = l->last;

    cut(l, r->pos);
    if (r->op == REC_F64_ADD_LOAD || (r->op < OP_COUNT && sv_lower_info[r->op].family == FAM_LOAD))
        l->origin = r->origin;
    l->acc[r->cls] = r->before;
    r->pos = NONE;
    l->last = l->prev;
    l->prev = r;
}

/* ---- Moving values ---- */

/* Make the MOV just emitted a longer instruction that does more. */
static uint8_t *append_to_move(struct lower *l, uint32_t iop, uint32_t size)
{
    uint32_t at = l->last->pos;

    lower_forget_last(l);
    if (!lower_room(l, size))
        at = l->len; /* out of memory: anywhere */
    else
        l->len = at + size;
    lower_put32(l->code + at, 0, l->offsets[iop]);
    return l->code + at;
}

void lower_set_const(struct lower *l, uint32_t slot, unsigned cls, uint64_t k)
{
    bool wide = cls != CLASS_G && !lower_fits(k);
    uint8_t *p;

    lower_kill_slot(l, slot, 1);
    if (!wide && l->optimise && l->last->pos != NONE && l->last->op == REC_MOV) {
        p = append_to_move(l, I_MOV_SET, 16);
        lower_put16(p, 8, slot);
        lower_put32(p, 12, (uint32_t)k);
        return;
    }
    p = lower_emit(l, wide ? I_SET64 : I_SET32, wide ? 16 : 12);
    lower_put16(p, 4, slot);
    if (wide)
        lower_put64(p, 8, k);
    else
        lower_put32(p, 8, (uint32_t)k);
}

static void store_acc(struct lower *l, uint32_t slot, unsigned cls)
{
    uint8_t *p = lower_emit(l, I_ST_R + cls, 8);

    lower_kill_slot(l, slot, cls == CLASS_V ? 2 : 1);
    lower_mirror(l, cls, slot);
    lower_put16(p, 4, slot);
}

void lower_move(struct lower *l, uint32_t to, uint32_t from, unsigned cls)
{
    static const uint16_t moves[CLASS_COUNT] = {I_MOV, I_MOV, I_MOV32, I_MOV128};
    uint8_t *p;

    if (to == from)
        return;
    if (lower_mirrors(l, cls, from)) {
        store_acc(l, to, cls);
        return;
    }
    lower_kill_slot(l, to, cls == CLASS_V ? 2 : 1);
    if (l->optimise && moves[cls] == I_MOV && l->last->pos != NONE && l->last->op == REC_MOV &&
        !l->nomem) {
        p = append_to_move(l, I_MOV2, 12);
        lower_put16(p, 8, to);
        lower_put16(p, 10, from);
        return;
    }
    p = lower_emit(l, moves[cls], 8);
    if (moves[cls] == I_MOV) {
        l->last->pos = l->len - 8;
        l->last->op = REC_MOV;
        l->last->d = NONE;
    }
    lower_put16(p, 4, to);
    lower_put16(p, 6, from);
}

void lower_settle(struct lower *l, uint32_t i)
{
    struct ent *e;

    if (l->nomem)
        return;
    e = &l->st.data[i];
    switch (e->kind) {
    case ENT_ACC:
        spill_class(l, e->cls);
        break;
    case ENT_LOCAL:
        l->naliases[e->local]--;
        e->kind = ENT_SLOT;
        lower_move(l, e->slot, e->local, e->cls);
        break;
    case ENT_CONST:
        e->kind = ENT_SLOT;
        lower_set_const(l, e->slot, e->cls, e->k);
        break;
    default:
        break;
    }
}

void lower_settle_top(struct lower *l, uint32_t n)
{
    for (size_t i = l->st.len - n; i < l->st.len && !l->nomem; i++)
        lower_settle(l, (uint32_t)i);
}

void lower_settle_all(struct lower *l, uint32_t below)
{
    for (; l->floor < below && !l->nomem; l->floor++) {
        if (l->st.data[l->floor].kind != ENT_CONST)
            lower_settle(l, l->floor);
    }
}

/* Entries that alias the local get copies before it changes. */
static void settle_aliases(struct lower *l, uint32_t slot)
{
    for (size_t i = l->st.len; i > l->floor && l->naliases[slot] > 0 && !l->nomem; i--) {
        const struct ent *e = &l->st.data[i - 1];

        if (e->kind == ENT_LOCAL && e->local == slot)
            lower_settle(l, (uint32_t)i - 1);
    }
}

/* x += K and then y += K: one instruction. */
static bool increment_two(struct lower *l, uint32_t slot)
{
    struct rec *a = l->prev, *b = l->last;
    uint32_t x;
    uint64_t kx, ky;
    uint8_t *p;

    if (!l->accs || a->pos == NONE || b->pos == NONE || a->op != OP_I32_ADD ||
        b->op != OP_I32_ADD || b->d != slot)
        return false;
    x = a->d;
    if (x == NONE || x == slot || a->b.kind != KIND_K || b->b.kind != KIND_K)
        return false;
    if (a->a.kind == KIND_K || a->a.acc || a->a.slot != x || b->a.kind == KIND_K || b->a.acc ||
        b->a.slot != slot)
        return false;
    kx = a->b.k;
    ky = b->b.k;
    if ((int64_t)kx != (int16_t)kx || (int64_t)ky != (int16_t)ky)
        return false;
    cut(l, a->pos);
    p = lower_emit(l, I_INC2, 12);
    lower_put16(p, 4, x);
    lower_put16(p, 6, slot);
    lower_put16(p, 8, (uint32_t)kx);
    lower_put16(p, 10, (uint32_t)ky);
    return true;
}

void lower_local_set(struct lower *l, uint32_t local, bool tee)
{
    uint32_t slot = l->local_slot[local];
    unsigned cls = l->local_cls[local], width = cls == CLASS_V ? 2 : 1;
    struct opnd o;

    o = lower_pop(l);
    if (l->nomem)
        return;
    if (l->naliases[slot] > 0 && !(o.kind != KIND_K && !o.acc && o.slot == slot)) {
        /* The value stays what and where it is while copies are made: they use no accumulator. */
        settle_aliases(l, slot);
    }
    if (o.kind == KIND_K) {
        lower_set_const(l, slot, cls, o.k);
        if (tee) {
            lower_push_const(l, cls, o.k);
            return;
        }
    } else if (o.kind == KIND_R && o.acc && l->acc[cls].pos == l->last->pos &&
               l->last->pos != NONE) {
        lower_patch(l, cls, slot);
        if (l->optimise)
            increment_two(l, slot);
    } else if (o.kind == KIND_R && o.acc) {
        store_acc(l, slot, cls);
    } else if (o.slot != slot) {
        /* Without accumulators a producer's store can still be turned to the local. */
        if (l->optimise && !l->accs && o.home == o.slot && l->last->pos != NONE &&
            l->last->d == o.slot && !l->nomem) {
            lower_put16(l->code + l->last->pos, 4, slot);
            l->last->d = slot;
            lower_kill_slot(l, slot, width);
        } else {
            lower_move(l, slot, o.slot, cls);
        }
    }
    if (!tee)
        return;
    lower_push(l, ENT_LOCAL, cls, slot);
    if (!l->optimise && !l->nomem)
        lower_settle_top(l, 1);
}
