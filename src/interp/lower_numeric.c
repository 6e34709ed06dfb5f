/* Lowering of the pure instructions: which form of which handler, and what of the instruction
 * before is absorbed. */
#include "interp/lower.h"

/* ---- The table ---- */
#define C_u32 CLASS_R
#define C_s32 CLASS_R
#define C_u64 CLASS_R
#define C_s64 CLASS_R
#define C_f32 CLASS_G
#define C_f64 CLASS_F
#define C_v128 CLASS_V
#define LOAD_ROW(op, n, c)                                                                         \
    [OP_##op] = {.iop = I_##n##_S, .family = FAM_LOAD, .ca = CLASS_R, .cr = c},
#define STORE_ROW(op, n, c)                                                                        \
    [OP_##op] = {.iop = I_##n##_S_S, .family = FAM_STORE, .ca = CLASS_R, .cb = c},
/* clang-format off */
const struct lower_info sv_lower_info[OP_COUNT] = {
#define NUM1(op, R, A, e) [OP_##op] = {.iop = I_##op##_S, .family = FAM_UNARY, .ca = C_##A, .cr = C_##R},
#define TRAP1(op, R, A, t, e) NUM1(op, R, A, e)
#define NUM2(op, R, A, B, e) [OP_##op] = {.iop = I_##op##_SS, .family = FAM_BINARY, .ca = C_##A, .cb = C_##B, .cr = C_##R},
#define TRAP2(op, R, A, B, t, e) NUM2(op, R, A, B, e)
#define NUM3(op, R, A, B, C, e) [OP_##op] = {.iop = I_##op##_SSS, .family = FAM_TERNARY, .ca = C_##A, .cb = C_##B, .cr = C_##R},
#define EXTRACT(op, R, e) [OP_##op] = {.iop = I_##op##_S, .family = FAM_EXTRACT, .ca = CLASS_V, .cr = C_##R},
#define REPLACE(op, B, e) [OP_##op] = {.iop = I_##op##_SS, .family = FAM_REPLACE, .ca = CLASS_V, .cb = C_##B, .cr = CLASS_V},
#include "wasm/numeric.def"
    LOAD_ROW(I32_LOAD, LOAD32U, CLASS_R) LOAD_ROW(I64_LOAD, LOAD64, CLASS_R) LOAD_ROW(F32_LOAD, LOADF32, CLASS_G) LOAD_ROW(F64_LOAD, LOADF64, CLASS_F)
    LOAD_ROW(I32_LOAD8_S, LOAD8S, CLASS_R) LOAD_ROW(I32_LOAD8_U, LOAD8U, CLASS_R) LOAD_ROW(I32_LOAD16_S, LOAD16S, CLASS_R) LOAD_ROW(I32_LOAD16_U, LOAD16U, CLASS_R)
    LOAD_ROW(I64_LOAD8_S, LOAD8S, CLASS_R) LOAD_ROW(I64_LOAD8_U, LOAD8U, CLASS_R) LOAD_ROW(I64_LOAD16_S, LOAD16S, CLASS_R) LOAD_ROW(I64_LOAD16_U, LOAD16U, CLASS_R)
    LOAD_ROW(I64_LOAD32_S, LOAD32S, CLASS_R) LOAD_ROW(I64_LOAD32_U, LOAD32U, CLASS_R)
#define X1(n) LOAD_ROW(n, n, CLASS_V)
    LOADS_V(X1)
#undef X1
    STORE_ROW(I32_STORE, STORE32, CLASS_R) STORE_ROW(I64_STORE, STORE64, CLASS_R) STORE_ROW(F32_STORE, STOREF32, CLASS_G) STORE_ROW(F64_STORE, STOREF64, CLASS_F)
    STORE_ROW(I32_STORE8, STORE8, CLASS_R) STORE_ROW(I32_STORE16, STORE16, CLASS_R) STORE_ROW(I64_STORE8, STORE8, CLASS_R) STORE_ROW(I64_STORE16, STORE16, CLASS_R)
    STORE_ROW(I64_STORE32, STORE32, CLASS_R) STORE_ROW(V128_STORE, V128_STORE, CLASS_V)
};
/* Instruction that makes a result's NaNs canonical: I_CANON_F32 + n - 1. */
#define CANON_f32 1
#define CANON_f64 2
#define CANON_f32x4 3
#define CANON_f64x2 4
static const uint8_t canon_of[OP_COUNT] = {
#define CANON(op, shape) [OP_##op] = CANON_##shape,
#include "wasm/numeric.def"
};
/* clang-format on */

static bool commutes(uint32_t op)
{
    switch (op) {
    case OP_I32_ADD:
    case OP_I32_MUL:
    case OP_I32_AND:
    case OP_I32_OR:
    case OP_I32_XOR:
    case OP_I32_EQ:
    case OP_I32_NE:
    case OP_I64_ADD:
    case OP_I64_MUL:
    case OP_I64_AND:
    case OP_I64_OR:
    case OP_I64_XOR:
    case OP_I64_EQ:
    case OP_I64_NE:
        return true;
    default:
        return false;
    }
}

/* ---- Unary ---- */

void lower_unary(struct lower *l, uint32_t op)
{
    const struct lower_info *i = &sv_lower_info[op];
    struct opnd a = lower_pop(l);
    uint8_t *p;

    if (op == OP_I32_WRAP_I64) {
        /* The low half is what readers of an i32 take: nothing to do. */
        if (l->nomem)
            return;
        l->st.len++;
        l->next_slot++;
        if (a.kind == KIND_R && a.acc)
            l->acc[CLASS_R].ent = (uint32_t)l->st.len - 1;
        if (l->st.data[l->st.len - 1].kind == ENT_LOCAL)
            l->naliases[a.slot]++;
        if (a.kind == KIND_K)
            l->st.data[l->st.len - 1].k = (uint64_t)(int32_t)a.k;
        return;
    }
    if (a.kind == KIND_K || (a.kind == KIND_R && !l->accs))
        lower_to_slot(l, &a);
    p = lower_begin(l, i->cr, i->iop + (a.kind == KIND_R ? 2 : 0), 8, op);
    l->last->a = a;
    lower_put16(p, 6, a.slot);
    lower_push_acc(l, i->cr);
}

/* ---- Binary ---- */

/* A constant that a K form can hold. */
static bool constant_fits(const struct opnd *o)
{
    return o->cls != CLASS_R || lower_fits(o->k);
}

/* i32.add of a shifted index: base + (index << k). */
static bool try_lea(struct lower *l, struct opnd *a, struct opnd *b)
{
    struct opnd *shifted = lower_is_last(l, b) ? b : a, *base = shifted == b ? a : b, index;
    uint32_t form, k;
    uint8_t *p;

    if (!lower_is_last(l, shifted) || l->last->op != OP_I32_SHL || l->last->b.kind != KIND_K ||
        base->kind == KIND_K || l->last->a.kind == KIND_K)
        return false;
    k = (uint32_t)l->last->b.k & 31;
    if (k < 1 || k > 4 || (base->kind == KIND_R && base->acc))
        return false;
    index = l->last->a;
    if (base->kind == KIND_R)
        base->kind = KIND_S;
    lower_undo(l);
    if (index.kind == KIND_S)
        lower_reresolve(l, &index);
    if (index.kind != KIND_R)
        lower_reresolve(l, base);
    form = index.kind == KIND_R ? 2 : base->kind == KIND_R ? 1 : 0;
    p = lower_begin(l, CLASS_R, I_LEA1_SS + (k - 1) * 6 + form * 2, form ? 8 : 12,
                    REC_LEA1 + k - 1);
    l->last->a = *base;
    l->last->b = index;
    lower_put16(p, 6, form == 1 ? index.slot : base->slot);
    if (form == 0)
        lower_put16(p, 8, index.slot);
    lower_push_acc(l, CLASS_R);
    return true;
}

/* Additions and subtractions (f64, f64x2) of a product: two roundings, one instruction. */
static bool try_muladd(struct lower *l, uint32_t op, struct opnd *a, struct opnd *b)
{
    struct opnd *product = lower_is_last(l, b) ? b : a, *c = product == b ? a : b, x, y;
    bool vector = op == OP_F64X2_ADD || op == OP_F64X2_SUB;
    unsigned cls = vector ? CLASS_V : CLASS_F;
    uint32_t iop, form;
    uint8_t *p;

    if (!l->accs || !lower_is_last(l, product) ||
        l->last->op != (vector ? OP_F64X2_MUL : OP_F64_MUL) || c->kind == KIND_K ||
        (c->kind == KIND_R && c->acc))
        return false;
    x = l->last->a;
    y = l->last->b;
    if (x.kind == KIND_K || y.kind == KIND_K)
        return false;
    lower_undo(l);
    c->kind = KIND_S;
    form = x.kind == KIND_R ? 2 : y.kind == KIND_R ? 1 : 0;
    if (op == OP_F64_ADD || op == OP_F64X2_ADD)
        iop = product == a ? I_F64_MULADD_SS : I_F64_ADDMUL_SS;
    else
        iop = product == a ? I_F64_MULSUB_SS : I_F64_SUBMUL_SS;
    if (vector)
        iop += I_F64X2_MULADD_SS - I_F64_MULADD_SS;
    p = lower_begin(l, cls, iop + form * 2, 12, REC_OTHER);
    lower_put16(p, 6, form == 2 ? y.slot : x.slot);
    lower_put16(p, 8, form == 0 ? y.slot : c->slot);
    if (form == 0)
        lower_put16(p, 10, c->slot);
    lower_push_acc(l, cls);
    return true;
}

/* f64.add, sub, mul whose second operand was just loaded. */
static bool try_load_operand(struct lower *l, uint32_t op, struct opnd *a, struct opnd *b)
{
    uint32_t iop = op == OP_F64_ADD   ? I_F64_ADD_LD_S_S
                   : op == OP_F64_SUB ? I_F64_SUB_LD_S_S
                                      : I_F64_MUL_LD_S_S;
    struct opnd x, y;
    uint32_t am, offset, at = 6, size;
    uint8_t *p;

    if (!l->accs || !lower_is_last(l, b) || l->last->op != OP_F64_LOAD || a->kind == KIND_K ||
        (a->kind == KIND_R && a->acc))
        return false;
    am = l->last->am;
    offset = l->last->offset;
    if ((am != AM_S && am != AM_SS && am != AM_SK) || offset > UINT16_MAX)
        return false;
    x = l->last->a;
    y = l->last->b;
    lower_undo(l);
    a->kind = KIND_S;
    lower_reresolve(l, a);
    iop += (a->kind == KIND_R ? 2 : 0) + (am == AM_SS ? 4 : am == AM_SK ? 8 : 0);
    size = am == AM_SK || (a->kind == KIND_S && am == AM_SS) ? 16 : 12;
    p = lower_begin(l, CLASS_F, iop, size, REC_OTHER);
    if (iop == I_F64_ADD_LD_R_S) {
        l->last->op = REC_F64_ADD_LOAD;
        l->last->a = x;
        l->last->offset = offset;
    }
    if (a->kind == KIND_S) {
        lower_put16(p, at, a->slot);
        at += 2;
    }
    lower_put16(p, at, x.slot);
    if (am == AM_SS) {
        lower_put16(p, at + 2, y.slot);
        at += 2;
    }
    lower_put16(p, at + 2, offset);
    if (am == AM_SK)
        lower_put32(p, 12, (uint32_t)y.k);
    lower_push_acc(l, CLASS_F);
    return true;
}

/* (a >> k) & mask, and global + K. */
static bool try_bits(struct lower *l, struct opnd *a, struct opnd *b)
{
    struct opnd *shifted = b->kind == KIND_K ? a : b, *mask = shifted == a ? b : a, x;
    uint32_t shift;
    uint8_t *p;

    if (mask->kind != KIND_K || !lower_is_last(l, shifted) || l->last->op != OP_I32_SHR_U ||
        l->last->b.kind != KIND_K || l->last->a.kind == KIND_K)
        return false;
    x = l->last->a;
    shift = (uint32_t)l->last->b.k & 31;
    lower_undo(l);
    p = lower_begin(l, CLASS_R, I_I32_BITS_S + (x.kind == KIND_R ? 2 : 0), 16, REC_BITS);
    lower_put16(p, 6, x.slot);
    l->last->a = x;
    l->last->am = shift;
    l->last->offset = (uint32_t)mask->k;
    lower_put16(p, 8, shift);
    lower_put32(p, 12, (uint32_t)mask->k);
    lower_push_acc(l, CLASS_R);
    return true;
}
/* A sum whose one side is a field of bits or a product with a constant. */
static bool try_sum(struct lower *l, struct opnd *a, struct opnd *b)
{
    struct opnd *last = lower_is_last(l, b) ? b : a, *other = last == b ? a : b, x;
    struct rec r = *l->last;
    uint8_t *p;

    if (!lower_is_last(l, last) || other->kind == KIND_K || (other->kind == KIND_R && other->acc) ||
        r.a.kind == KIND_K)
        return false;
    if (r.op == OP_I32_MUL ? r.b.kind != KIND_K : r.op != REC_BITS || !l->accs)
        return false;
    x = r.a;
    other->kind = KIND_S;
    lower_undo(l);
    if (r.op == OP_I32_MUL) {
        p = lower_begin(l, CLASS_R, I_I32_MULADD_SS + (x.kind == KIND_R ? 2 : 0), 16, REC_OTHER);
        lower_put16(p, 8, other->slot);
        lower_put32(p, 12, (uint32_t)r.b.k);
    } else {
        p = lower_begin(l, CLASS_R, I_I32_BITS_ADD_S + (x.kind == KIND_R ? 2 : 0), 16, REC_OTHER);
        lower_put16(p, 8, r.am);
        lower_put16(p, 10, other->slot);
        lower_put32(p, 12, r.offset);
    }
    lower_put16(p, 6, x.slot);
    lower_push_acc(l, CLASS_R);
    return true;
}

static bool try_global_add(struct lower *l, struct opnd *a, struct opnd *b)
{
    uint32_t global;
    uint8_t *p;

    if (!l->accs || b->kind != KIND_K || !lower_is_last(l, a) || l->last->op != OP_GLOBAL_GET)
        return false;
    global = l->last->offset;
    lower_undo(l);
    p = lower_begin(l, CLASS_R, I_GLOBAL_ADD, 16, REC_GLOBAL_ADD);
    l->last->offset = global;
    l->last->b = *b;
    lower_put32(p, 8, global);
    lower_put32(p, 12, (uint32_t)b->k);
    lower_push_acc(l, CLASS_R);
    return true;
}

static bool try_fuse(struct lower *l, uint32_t op, struct opnd *a, struct opnd *b)
{
    if (!l->optimise || l->last->pos == NONE)
        return false;
    switch (op) {
    case OP_I32_ADD:
        return try_lea(l, a, b) || try_sum(l, a, b) || try_global_add(l, a, b);
    case OP_I32_AND:
        return try_bits(l, a, b);
    case OP_F64_ADD:
    case OP_F64_SUB:
        return try_muladd(l, op, a, b) || try_load_operand(l, op, a, b);
    case OP_F64X2_ADD:
    case OP_F64X2_SUB:
        return try_muladd(l, op, a, b);
    case OP_F64_MUL:
        return try_load_operand(l, op, a, b);
    default:
        return false;
    }
}

static void put_constant(uint8_t *p, const struct opnd *o)
{
    if (o->cls == CLASS_F)
        lower_put64(p, 8, o->k);
    else
        lower_put32(p, 8, (uint32_t)o->k);
}

void lower_binary(struct lower *l, uint32_t op)
{
    const struct lower_info *i = &sv_lower_info[op];
    struct opnd b = lower_pop(l), a = lower_pop(l);
    bool vector = i->ca == CLASS_V;
    uint32_t size = 8;
    uint8_t *p;

    /* a - K is a + -K: one thing to absorb less. */
    if (l->optimise && b.kind == KIND_K &&
        (op == OP_I32_SUB || (op == OP_I64_SUB && lower_fits(0 - b.k)))) {
        b.k = op == OP_I32_SUB ? (uint64_t)(int32_t)(0 - (uint32_t)b.k) : 0 - b.k;
        op = op == OP_I32_SUB ? OP_I32_ADD : OP_I64_ADD;
        i = &sv_lower_info[op];
    }
    if (try_fuse(l, op, &a, &b))
        return;
    lower_separate(l, &a, &b);
    if (commutes(op) && (a.kind == KIND_K || (b.kind == KIND_R && a.kind == KIND_S))) {
        struct opnd t = a;

        a = b;
        b = t;
    }
    if (a.kind == KIND_K && (vector || b.kind == KIND_K || !constant_fits(&a)))
        lower_to_slot(l, &a);
    if (b.kind == KIND_K && (i->cb == CLASS_V || !constant_fits(&b)))
        lower_to_slot(l, &b);
    if (a.kind == KIND_K || b.kind == KIND_K)
        size += (a.kind == KIND_K ? a : b).cls == CLASS_F ? 8 : 4;
    else if (a.kind == KIND_S && b.kind == KIND_S)
        size += 4;
    p = lower_begin(l, i->cr, i->iop + (a.kind * 3u + b.kind) * 2, size, op);
    l->last->a = a;
    l->last->b = b;
    if (a.kind == KIND_S)
        lower_put16(p, 6, a.slot);
    if (b.kind == KIND_S)
        lower_put16(p, a.kind == KIND_S ? 8 : 6, b.slot);
    if (a.kind == KIND_K)
        put_constant(p, &a);
    if (b.kind == KIND_K)
        put_constant(p, &b);
    lower_push_acc(l, i->cr);
}

/* ---- Vectors ---- */

void lower_ternary(struct lower *l, uint32_t op)
{
    const struct lower_info *i = &sv_lower_info[op];
    struct opnd c = lower_pop(l), b = lower_pop(l), a = lower_pop(l);
    uint32_t form;
    uint8_t *p;

    lower_separate(l, &a, &b);
    lower_separate(l, &a, &c);
    lower_separate(l, &b, &c);
    form = a.kind == KIND_R ? 1 : b.kind == KIND_R ? 2 : c.kind == KIND_R ? 3 : 0;
    p = lower_begin(l, CLASS_V, i->iop + form * 2, 12, op);
    lower_put16(p, 6, a.slot);
    lower_put16(p, 8, b.slot);
    lower_put16(p, 10, c.slot);
    lower_push_acc(l, CLASS_V);
}

void lower_lane(struct lower *l, uint32_t op)
{
    const struct lower_info *i = &sv_lower_info[op];
    uint32_t lane = *l->p++;
    struct opnd a, b;
    uint8_t *p;

    if (i->family == FAM_EXTRACT) {
        a = lower_pop(l);
        if (a.kind == KIND_S && (op == OP_F64X2_EXTRACT_LANE || op == OP_I64X2_EXTRACT_LANE)) {
            /* Half of a vector in slots is a slot. */
            p = lower_begin(l, i->cr, i->cr == CLASS_F ? I_LD_F : I_LD_R, 8, REC_OTHER);
            lower_put16(p, 6, a.slot + lane);
        } else if (a.kind == KIND_R && op == OP_F64X2_EXTRACT_LANE) {
            lower_begin(l, CLASS_F, lane ? I_F64X2_LANE1 : I_F64X2_LANE0, 8, REC_OTHER);
        } else {
            p = lower_begin(l, i->cr, i->iop + (a.kind == KIND_R ? 2 : 0), 12, REC_OTHER);
            lower_put16(p, 6, a.slot);
            lower_put16(p, 8, lane);
        }
        lower_push_acc(l, i->cr);
        return;
    }
    b = lower_pop(l);
    a = lower_pop(l);
    if (b.kind == KIND_K)
        lower_to_slot(l, &b);
    p = lower_begin(l, CLASS_V, i->iop + (a.kind * 2u + b.kind) * 2, 12, REC_OTHER);
    lower_put16(p, 6, a.slot);
    lower_put16(p, 8, b.slot);
    lower_put16(p, 10, lane);
    lower_push_acc(l, CLASS_V);
}

void lower_shuffle(struct lower *l)
{
    struct opnd b = lower_pop(l), a = lower_pop(l);
    uint32_t form;
    uint8_t *p;

    lower_separate(l, &a, &b);
    form = b.kind == KIND_R ? 1 : a.kind == KIND_R ? 2 : 0;
    p = lower_begin(l, CLASS_V, I_I8X16_SHUFFLE_SS + form * 2, 28, REC_OTHER);
    lower_put16(p, 6, a.slot);
    lower_put16(p, 8, b.slot);
    memcpy(p + 12, l->p, 16);
    l->p += 16;
    lower_push_acc(l, CLASS_V);
}

/* ---- select ---- */

static bool try_compare_select(struct lower *l, struct opnd *a, struct opnd *b, struct opnd *c)
{
    uint32_t op, form;
    struct opnd x, y;
    uint8_t *p;

    if (!l->optimise || !lower_is_last(l, c) || a->kind == KIND_K || b->kind == KIND_K || a->acc ||
        b->acc)
        return false;
    op = l->last->op;
    if (!(op >= OP_I32_EQ && op <= OP_I32_GE_U) && !(op >= OP_I64_EQ && op <= OP_I64_GE_U))
        return false;
    x = l->last->a;
    y = l->last->b;
    if (x.kind == KIND_K || y.kind == KIND_R)
        return false;
    lower_undo(l);
    form = (x.kind == KIND_R ? 2 : 0) + (y.kind == KIND_K ? 1 : 0);
    op = op <= OP_I32_GE_U ? op - OP_I32_EQ : op - OP_I64_EQ + 10;
    p = lower_begin(l, CLASS_R, I_CSEL_I32_EQ_SS + op * 8 + form * 2, 16, REC_OTHER);
    lower_put16(p, 6, x.slot);
    lower_put16(p, 8, a->slot);
    lower_put16(p, 10, b->slot);
    lower_put32(p, 12, y.kind == KIND_K ? (uint32_t)y.k : y.slot);
    lower_push_acc(l, CLASS_R);
    return true;
}

static void select_int(struct lower *l, struct opnd *a, struct opnd *b, struct opnd *c)
{
    uint32_t form;
    uint8_t *p;

    if (try_compare_select(l, a, b, c))
        return;
    if (a->kind == KIND_R || (a->kind == KIND_K && !lower_fits(a->k)))
        lower_to_slot(l, a);
    if (b->kind == KIND_R || (b->kind == KIND_K && !lower_fits(b->k)))
        lower_to_slot(l, b);
    if (c->kind == KIND_K)
        lower_to_slot(l, c);
    form = (c->kind == KIND_R ? 4u : 0) + (a->kind == KIND_K ? 2u : 0) + (b->kind == KIND_K);
    p = lower_begin(l, CLASS_R, I_SELECT_SS_S + form * 2,
                    12 + (a->kind == KIND_K) * 4u + (b->kind == KIND_K) * 4u, REC_OTHER);
    lower_put16(p, 6, c->slot);
    lower_put16(p, 8, a->slot);
    lower_put16(p, 10, b->slot);
    if (a->kind == KIND_K)
        lower_put32(p, 12, (uint32_t)a->k);
    if (b->kind == KIND_K)
        lower_put32(p, a->kind == KIND_K ? 16 : 12, (uint32_t)b->k);
    lower_push_acc(l, CLASS_R);
}

void lower_select(struct lower *l)
{
    static const uint16_t selects[CLASS_COUNT] = {0, I_SELECTF_SS_S, I_SELECTG_SS_S,
                                                  I_SELECTV_SS_S};
    struct opnd c = lower_pop(l), b = lower_pop(l), a = lower_pop(l);
    uint32_t form;
    uint8_t *p;

    if (a.cls == CLASS_R) {
        select_int(l, &a, &b, &c);
        return;
    }
    lower_separate(l, &a, &b);
    if (a.kind == KIND_K)
        lower_to_slot(l, &a);
    if (b.kind == KIND_K)
        lower_to_slot(l, &b);
    if (c.kind == KIND_K)
        lower_to_slot(l, &c);
    form = (c.kind == KIND_R ? 3u : 0) + (a.kind == KIND_R ? 1u : b.kind == KIND_R ? 2u : 0);
    p = lower_begin(l, a.cls, selects[a.cls] + form * 2, 12, REC_OTHER);
    lower_put16(p, 6, c.slot);
    lower_put16(p, 8, a.slot);
    lower_put16(p, 10, b.slot);
    lower_push_acc(l, a.cls);
}

void lower_canon(struct lower *l, uint32_t op)
{
    uint32_t slot, cls;
    uint8_t *p;

    if (!canon_of[op] || l->nomem)
        return;
    lower_settle_top(l, 1);
    slot = l->st.data[l->st.len - 1].slot;
    cls = l->st.data[l->st.len - 1].cls;
    p = lower_emit(l, I_CANON_F32 + canon_of[op] - 1u, 8);
    lower_put16(p, 4, slot);
    lower_kill_slot(l, slot, cls == CLASS_V ? 2 : 1);
    l->acc[cls] = (struct acc){.ent = NONE, .pos = NONE, .mirror = {NONE, NONE}};
    lower_mirror(l, cls, slot);
}
