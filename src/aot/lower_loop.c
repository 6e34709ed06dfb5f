/* Counted loops of metered code. A loop whose cost and whose addresses are known before it begins
 * is made twice: where the gas suffices for all of it and no access can fail it runs without
 * charges, all having been charged at once; else as any other. What is known is seen in the guest's
 * code, before LLVM sees anything: all its passes find a loop as it is in code that counts nothing
 * (doc/decisions/010). It is found by playing the loop, or one turn of it, on sums of locals: every
 * branch must be known then. Of what is played by the turn the number of turns is computed. */
#include <stdlib.h>
#include <string.h>

#include "aot/lower.h"
#include "aot/unit.h"

#define TERMS_MAX 4
#define STACK_MAX 32
#define LOCALS_MAX 32
#define ACCESSES_MAX 16
/* Instructions that are played through, and labels open at a time. */
#define PLAYED_MAX 8192
#define LABELS_MAX 16
/* A pointer that moves by more in a turn is none of a vector loop: there the charges cost less than
 * what would be computed instead. */
#define STEP_MAX 32

/* c + the sum of k * what the local holds when a turn begins, modulo 2^32. */
struct linear {
    uint32_t c, n;
    struct {
        uint32_t local, k;
    } t[TERMS_MAX];
};

enum kind { ANY, LINEAR, CONDITION };
struct value {
    enum kind kind;
    enum sv_op op; /* of a CONDITION: a comparison of a and b */
    struct linear a, b;
};

/* Addresses from `at` on, up to `end` above it; each turn adds `step`. */
struct access {
    struct linear at;
    uint64_t end;
    int32_t step;
};

/* Where a branch goes, of what is played. */
struct label {
    const uint8_t *head; /* of a loop; NULL: behind the block */
    unsigned height, arity;
};

struct scan {
    struct lower *l;
    bool whole;             /* all turns are played; else one */
    const uint8_t *p, *end; /* end: the instruction `end` */
    uint64_t cost;          /* of a turn */
    struct value stack[STACK_MAX];
    unsigned depth;
    struct {
        uint32_t local;
        struct value v;
    } sets[LOCALS_MAX]; /* locals that the body sets, and what they hold now */
    unsigned nsets;
    struct access accesses[ACCESSES_MAX];
    unsigned naccesses;
    struct value cond; /* the loop goes on while it holds */
    struct label labels[LABELS_MAX];
    unsigned nlabels, played;
};

/* How many turns: while a != b or, `less`, a < b (or_equal: a <= b), where each turn adds `step` to
 * a, or to b. */
struct count {
    struct linear a, b;
    int64_t step;
    bool less, or_equal, is_signed, b_moves;
};

/* Instructions that cannot trap and know nothing but their operands. */
static const bool pure[OP_COUNT] = {
#define NUM1(op, ...) [OP_##op] = true,
#define NUM2(op, ...) [OP_##op] = true,
#define NUM3(op, ...) [OP_##op] = true,
#define EXTRACT(op, ...) [OP_##op] = true,
#define REPLACE(op, ...) [OP_##op] = true,
#include "wasm/numeric.def"
    [OP_I64_CONST] = true,  [OP_F32_CONST] = true,     [OP_F64_CONST] = true,
    [OP_V128_CONST] = true, [OP_I8X16_SHUFFLE] = true, [OP_NOP] = true,
};

/* ---- Sums ---- */

/* a += k * b; false: too many terms. */
static bool add(struct linear *a, const struct linear *b, uint32_t k)
{
    a->c += k * b->c;
    for (unsigned i = 0; i < b->n; i++) {
        unsigned j = 0;

        while (j < a->n && a->t[j].local != b->t[i].local)
            j++;
        if (j == TERMS_MAX)
            return false;
        if (j == a->n) {
            a->t[a->n].local = b->t[i].local;
            a->t[a->n++].k = 0;
        }
        a->t[j].k += k * b->t[i].k;
        if (a->t[j].k == 0)
            a->t[j] = a->t[--a->n];
    }
    return true;
}

/* a - b where that is a number. */
static bool difference(const struct linear *a, const struct linear *b, uint32_t *ret)
{
    struct linear d = *a;

    if (!add(&d, b, UINT32_MAX) || d.n)
        return false;
    *ret = d.c;
    return true;
}

static bool same(const struct linear *a, const struct linear *b)
{
    uint32_t d;

    return difference(a, b, &d) && d == 0;
}

static struct value sum(const struct value *a, const struct value *b, uint32_t k)
{
    struct value v = {.kind = LINEAR, .a = a->a};

    if (a->kind != LINEAR || b->kind != LINEAR || !add(&v.a, &b->a, k))
        v.kind = ANY;
    return v;
}

static struct value times(const struct value *a, uint32_t k)
{
    struct value zero = {.kind = LINEAR};

    return sum(&zero, a, k);
}

/* ---- Its instructions, without control ---- */

static bool push(struct scan *s, struct value v)
{
    if (s->depth == STACK_MAX)
        return false;
    s->stack[s->depth++] = v;
    return true;
}

/* Operands below the loop are nobody's business. */
static bool pop(struct scan *s, struct value *ret)
{
    if (s->depth == 0)
        return false;
    *ret = s->stack[--s->depth];
    return true;
}

static struct value *find_set(struct scan *s, uint32_t local)
{
    for (unsigned i = 0; i < s->nsets; i++) {
        if (s->sets[i].local == local)
            return &s->sets[i].v;
    }
    return NULL;
}

static struct value number(uint32_t c)
{
    return (struct value){.kind = LINEAR, .a = {.c = c}};
}

static struct value initial(const struct scan *s, uint32_t local)
{
    const struct lower_local *held = &s->l->locals[local];
    struct value v = {.kind = ANY};

    if (held->type != s->l->t->i32)
        return v;
    if (s->whole && held->root && held->epoch == s->l->epoch && held->constant)
        v = number((uint32_t)LLVMConstIntGetZExtValue(held->constant));
    else
        v = (struct value){.kind = LINEAR, .a = {.n = 1, .t = {{local, 1}}}};
    return v;
}

static bool set_local(struct scan *s, uint32_t local, struct value v)
{
    struct value *held = find_set(s, local);

    if (s->l->locals[local].type != s->l->t->i32)
        return true;
    if (held) {
        *held = v;
        return true;
    }
    if (s->nsets == LOCALS_MAX)
        return false;
    s->sets[s->nsets].local = local;
    s->sets[s->nsets++].v = v;
    return true;
}

static bool scan_local(struct scan *s, enum sv_op op)
{
    uint32_t local = sv_code_u32(&s->p);
    struct value v, *held = find_set(s, local);

    if (op == OP_LOCAL_GET)
        return push(s, held ? *held : initial(s, local));
    return pop(s, &v) && set_local(s, local, v) && (op == OP_LOCAL_SET || push(s, v));
}

/* As the signature says; of the results nothing is known. */
static bool scan_pure(struct scan *s, enum sv_op op)
{
    const char *sig = sv_op_info[op].sig;
    struct value v;

    sv_code_skip(&s->p, op);
    for (; *sig != ':'; sig++) {
        if (!pop(s, &v))
            return false;
    }
    for (sig++; *sig; sig++) {
        if (!push(s, (struct value){.kind = ANY}))
            return false;
    }
    return true;
}

/* What lies at a constant distance is checked as one: from the lowest address, to the highest. */
static bool add_access(struct scan *s, const struct linear *at, uint64_t end)
{
    struct access *a = s->accesses;
    uint32_t d = 0;

    while (a < s->accesses + s->naccesses && !difference(at, &a->at, &d))
        a++;
    if (a == s->accesses + ACCESSES_MAX)
        return false;
    if (a == s->accesses + s->naccesses) {
        *a = (struct access){.at = *at, .end = end};
        s->naccesses++;
        return true;
    }
    if ((int32_t)d < 0) {
        a->at = *at;
        a->end += -(int64_t)(int32_t)d;
        d = 0;
    }
    if (a->end < d + end)
        a->end = d + end;
    return true;
}

static bool scan_access(struct scan *s, enum sv_op op)
{
    const uint8_t *p = s->p;
    struct sv_memarg arg = sv_code_memarg(&p);
    unsigned operands = (unsigned)strcspn(sv_op_info[op].sig, ":");
    uint64_t end = arg.offset + ((uint64_t)1 << sv_op_access_log2(op));
    const struct value *at;

    if (arg.memory != 0 || arg.offset > UINT32_MAX || s->depth < operands)
        return false;
    at = &s->stack[s->depth - operands];
    return at->kind == LINEAR && add_access(s, &at->a, end) && scan_pure(s, op);
}

/* The comparison that holds where this one does not; OP_COUNT: none is known. */
static enum sv_op opposite(enum sv_op op)
{
    static const uint16_t pairs[][2] = {
        {OP_I32_EQ, OP_I32_NE},     {OP_I32_LT_S, OP_I32_GE_S}, {OP_I32_LT_U, OP_I32_GE_U},
        {OP_I32_GT_S, OP_I32_LE_S}, {OP_I32_GT_U, OP_I32_LE_U},
    };

    for (size_t i = 0; i < SV_COUNT(pairs); i++) {
        if (op == pairs[i][0] || op == pairs[i][1])
            return pairs[i][op == pairs[i][0]];
    }
    return OP_COUNT;
}

/* A number as a condition: not 0. */
static struct value condition(struct value v)
{
    if (v.kind == LINEAR)
        v = (struct value){.kind = CONDITION, .op = OP_I32_NE, .a = v.a};
    return v;
}

static bool holds(enum sv_op op, uint32_t a, uint32_t b)
{
    int32_t c = (int32_t)a, d = (int32_t)b;

    switch (op) {
    case OP_I32_LT_S:
        return c < d;
    case OP_I32_GE_S:
        return c >= d;
    case OP_I32_GT_S:
        return c > d;
    case OP_I32_LE_S:
        return c <= d;
    case OP_I32_LT_U:
        return a < b;
    case OP_I32_GE_U:
        return a >= b;
    case OP_I32_GT_U:
        return a > b;
    default:
        return a <= b;
    }
}

/* Is it known whether it holds? */
static bool decide(struct value v, bool *ret)
{
    uint32_t d;

    v = condition(v);
    if (v.kind != CONDITION || v.op == OP_COUNT)
        return false;
    if (v.op == OP_I32_EQ || v.op == OP_I32_NE) {
        *ret = difference(&v.a, &v.b, &d) && (d == 0) == (v.op == OP_I32_EQ);
        return difference(&v.a, &v.b, &d);
    }
    *ret = holds(v.op, v.a.c, v.b.c);
    return v.a.n == 0 && v.b.n == 0;
}

static bool scan_i32(struct scan *s, enum sv_op op)
{
    struct value a, b, v = {.kind = ANY};

    if (op == OP_I32_EQZ) {
        if (!pop(s, &a))
            return false;
        a = condition(a);
        a.op = a.kind == CONDITION ? opposite(a.op) : OP_COUNT;
        return push(s, a);
    }
    if (!pop(s, &b) || !pop(s, &a))
        return false;
    if (op == OP_I32_ADD || op == OP_I32_SUB)
        v = sum(&a, &b, op == OP_I32_ADD ? 1 : UINT32_MAX);
    else if (op == OP_I32_MUL && b.kind == LINEAR && b.a.n == 0)
        v = times(&a, b.a.c);
    else if (op == OP_I32_SHL && b.kind == LINEAR && b.a.n == 0)
        v = times(&a, (uint32_t)1 << (b.a.c & 31));
    else if (opposite(op) != OP_COUNT && a.kind == LINEAR && b.kind == LINEAR)
        v = (struct value){.kind = CONDITION, .op = op, .a = a.a, .b = b.a};
    return push(s, v);
}

/* One instruction; false: not of the kind. */
static bool scan_op(struct scan *s, enum sv_op op)
{
    struct value v;

    switch (op) {
    case OP_LOCAL_GET:
    case OP_LOCAL_SET:
    case OP_LOCAL_TEE:
        return scan_local(s, op);
    case OP_I32_CONST:
        return push(s, number((uint32_t)sv_code_s32(&s->p)));
    case OP_DROP:
        return pop(s, &v);
    case OP_SELECT:
        return pop(s, &v) && pop(s, &v) && pop(s, &v) && push(s, (struct value){.kind = ANY});
    case OP_I32_ADD:
    case OP_I32_SUB:
    case OP_I32_MUL:
    case OP_I32_SHL:
    case OP_I32_EQZ:
        return scan_i32(s, op);
    default:
        if (opposite(op) != OP_COUNT)
            return scan_i32(s, op);
        if (lower_is_access(op))
            return scan_access(s, op);
        return pure[op] && scan_pure(s, op);
    }
}

/* ---- The body, played ---- */

static bool open_label(struct scan *s, bool loop)
{
    struct sv_blocktype type = sv_code_blocktype(s->l->m, &s->p);

    if (s->nlabels == LABELS_MAX || sv_blocktype_nparams(&type))
        return false;
    s->labels[s->nlabels++] = (struct label){.head = loop ? s->p : NULL,
                                             .height = s->depth,
                                             .arity = loop ? 0 : sv_blocktype_nresults(&type)};
    return true;
}

/* Behind the `end` of that many blocks, the innermost first; or behind the `else` of one. */
static bool skip_blocks(struct scan *s, unsigned n, bool to_else)
{
    unsigned depth = n;

    while (depth > 0 && s->played++ < PLAYED_MAX) {
        enum sv_op op = sv_code_op(&s->p);

        sv_code_skip(&s->p, op);
        if (op == OP_BLOCK || op == OP_LOOP || op == OP_IF)
            depth++;
        else if (op == OP_END || (op == OP_ELSE && to_else && depth == 1))
            depth--;
        else if (op == OP_TRY || op == OP_TRY_TABLE)
            return false;
        if (depth == 0 && op == OP_END)
            s->nlabels -= n;
    }
    return depth == 0;
}

static bool branch(struct scan *s, uint32_t depth)
{
    struct label *to;

    if (depth >= s->nlabels)
        return false;
    to = &s->labels[s->nlabels - 1 - depth];
    if (s->depth < to->height + to->arity)
        return false;
    memmove(&s->stack[to->height], &s->stack[s->depth - to->arity], to->arity * sizeof *s->stack);
    s->depth = to->height + to->arity;
    if (!to->head)
        return skip_blocks(s, depth + 1, false);
    if (to == s->labels && !s->whole)
        return false;
    s->p = to->head;
    s->nlabels -= depth;
    return true;
}

static bool play_if(struct scan *s)
{
    struct value cond;
    bool taken;

    return pop(s, &cond) && decide(cond, &taken) && open_label(s, false) &&
           (taken || skip_blocks(s, 1, true));
}

static bool play_br_if(struct scan *s)
{
    uint32_t depth = sv_code_u32(&s->p);
    struct value cond;
    bool taken;

    return pop(s, &cond) && decide(cond, &taken) && (!taken || branch(s, depth));
}

static bool play_op(struct scan *s, enum sv_op op)
{
    switch (op) {
    case OP_BLOCK:
    case OP_LOOP:
        return open_label(s, op == OP_LOOP);
    case OP_IF:
        return play_if(s);
    case OP_ELSE:
        return skip_blocks(s, 1, false);
    case OP_END:
        s->nlabels--;
        return true;
    case OP_BR:
        return branch(s, sv_code_u32(&s->p));
    case OP_BR_IF:
        return play_br_if(s);
    default:
        return scan_op(s, op);
    }
}

/* A turn ends in a `br_if 0` at the loop's end. */
static bool end_turn(struct scan *s)
{
    s->end = s->p + 1;
    return *s->p == 0 && s->end[0] == 0x0b && pop(s, &s->cond) && s->depth == 0;
}

/* From behind the loop's type to its end, which nothing but falling out of it reaches. */
static bool play(struct scan *s)
{
    s->labels[s->nlabels++] = (struct label){.head = s->p};
    while (s->played++ < PLAYED_MAX) {
        enum sv_op op;

        s->end = s->p;
        op = sv_code_op(&s->p);
        if (op == OP_END && s->nlabels == 1)
            return s->whole && s->depth == 0;
        s->cost += sv_op_cost(s->l->m, op);
        if (op == OP_BR_IF && s->nlabels == 1 && !s->whole)
            return end_turn(s);
        if (!play_op(s, op))
            return false;
    }
    return false;
}

/* ---- What each turn adds ---- */

static bool step_of_local(struct scan *s, uint32_t local, struct linear *ret)
{
    struct value *v = find_set(s, local), was = initial(s, local);

    *ret = (struct linear){0};
    if (!v)
        return true;
    if (v->kind != LINEAR)
        return false;
    *ret = v->a;
    if (!add(ret, &was.a, UINT32_MAX))
        return false;
    for (unsigned i = 0; i < ret->n; i++) {
        struct value *other = find_set(s, ret->t[i].local), same_as = initial(s, ret->t[i].local);

        if (other && (other->kind != LINEAR || !same(&other->a, &same_as.a)))
            return false;
    }
    return true;
}

static bool step_of(struct scan *s, const struct linear *x, struct linear *ret)
{
    struct linear step;

    *ret = (struct linear){0};
    for (unsigned i = 0; i < x->n; i++) {
        if (!step_of_local(s, x->t[i].local, &step) || !add(ret, &step, x->t[i].k))
            return false;
    }
    return true;
}

static bool find_count(struct scan *s, struct count *ret)
{
    struct value c = condition(s->cond);
    struct linear step_a, step_b;
    bool greater;

    if (c.kind != CONDITION || c.op == OP_COUNT || c.op == OP_I32_EQ ||
        !step_of(s, &c.a, &step_a) || !step_of(s, &c.b, &step_b) || step_a.n || step_b.n)
        return false;
    *ret = (struct count){.a = c.a, .b = c.b};
    if (c.op == OP_I32_NE) {
        ret->step = (int32_t)(step_a.c - step_b.c);
        return ret->step != 0;
    }
    greater =
        c.op == OP_I32_GT_S || c.op == OP_I32_GT_U || c.op == OP_I32_GE_S || c.op == OP_I32_GE_U;
    if (greater) {
        struct linear t = step_a;

        step_a = step_b;
        step_b = t;
        ret->a = c.b;
        ret->b = c.a;
    }
    ret->less = true;
    ret->or_equal =
        c.op == OP_I32_GE_S || c.op == OP_I32_GE_U || c.op == OP_I32_LE_S || c.op == OP_I32_LE_U;
    ret->is_signed =
        c.op == OP_I32_GE_S || c.op == OP_I32_LE_S || c.op == OP_I32_GT_S || c.op == OP_I32_LT_S;
    ret->b_moves = step_b.c != 0;
    ret->step = ret->b_moves ? -(int64_t)(int32_t)step_b.c : (int32_t)step_a.c;
    return (step_a.c == 0 || step_b.c == 0) && ret->step > 0;
}

static bool find_steps(struct scan *s)
{
    for (unsigned i = 0; i < s->naccesses; i++) {
        struct linear step;

        if (!step_of(s, &s->accesses[i].at, &step) || step.n || llabs((int32_t)step.c) > STEP_MAX)
            return false;
        s->accesses[i].step = (int32_t)step.c;
    }
    return true;
}

/* ---- What is computed before the loop ---- */

static LLVMValueRef evaluate(struct lower *l, const struct linear *x)
{
    LLVMValueRef v = lower_i32(l, x->c);

    for (unsigned i = 0; i < x->n; i++) {
        LLVMValueRef t = LLVMBuildLoad2(l->b, l->t->i32, l->locals[x->t[i].local].slot, "");

        t = LLVMBuildMul(l->b, t, lower_i32(l, x->t[i].k), "");
        v = LLVMBuildAdd(l->b, v, t, "");
    }
    return v;
}

static LLVMValueRef compare(struct lower *l, LLVMIntPredicate is, LLVMValueRef a, LLVMValueRef b)
{
    return LLVMBuildICmp(l->b, is, a, b, "");
}

static void require(struct lower *l, LLVMValueRef *io, LLVMValueRef cond)
{
    *io = *io ? LLVMBuildAnd(l->b, *io, cond, "") : cond;
}

/* Turns of `while a != b`: the difference is gone after whole steps. */
static LLVMValueRef turns_unequal(struct lower *l, const struct count *c, LLVMValueRef *io_ok)
{
    LLVMValueRef d, step = lower_i32(l, (uint32_t)(c->step < 0 ? -c->step : c->step));

    d = LLVMBuildSub(l->b, evaluate(l, c->step < 0 ? &c->a : &c->b),
                     evaluate(l, c->step < 0 ? &c->b : &c->a), "");
    require(l, io_ok, compare(l, LLVMIntEQ, LLVMBuildURem(l->b, d, step, ""), lower_i32(l, 0)));
    return LLVMBuildZExt(l->b, LLVMBuildUDiv(l->b, d, step, ""), l->t->i64, "");
}

/* Turns of `while a < b`, one too few. The side that moves must not wrap before it is there. */
static LLVMValueRef turns_less(struct lower *l, const struct count *c, LLVMValueRef *io_ok)
{
    LLVMValueRef a = evaluate(l, &c->a), b = evaluate(l, &c->b), d, n, far, step, zero;

    a = c->is_signed ? LLVMBuildSExt(l->b, a, l->t->i64, "")
                     : LLVMBuildZExt(l->b, a, l->t->i64, "");
    b = c->is_signed ? LLVMBuildSExt(l->b, b, l->t->i64, "")
                     : LLVMBuildZExt(l->b, b, l->t->i64, "");
    step = lower_i64(l, (uint64_t)c->step);
    zero = lower_i64(l, 0);
    d = LLVMBuildSub(l->b, b, a, "");
    /* a + n * step is the first that is not below b (not at or below it). */
    n = LLVMBuildAdd(l->b, d, lower_i64(l, (uint64_t)(c->or_equal ? c->step : c->step - 1)), "");
    n = LLVMBuildSelect(l->b, compare(l, c->or_equal ? LLVMIntSLT : LLVMIntSLE, d, zero), zero,
                        LLVMBuildUDiv(l->b, n, step, ""), "");
    far = LLVMBuildMul(l->b, n, step, "");
    if (c->b_moves) {
        far = LLVMBuildSub(l->b, b, far, "");
        far = compare(l, LLVMIntSGE, far, lower_i64(l, c->is_signed ? (uint64_t)INT32_MIN : 0));
    } else {
        far = LLVMBuildAdd(l->b, a, far, "");
        far = compare(l, LLVMIntSLE, far,
                      lower_i64(l, c->is_signed ? (uint64_t)INT32_MAX : UINT32_MAX));
    }
    require(l, io_ok, far);
    return n;
}

/* Is it a place that every memory of the type has? */
static bool always_there(const struct lower *l, const struct access *a)
{
    const struct sv_memory_type *type = &l->m->memories[0];

    return a->at.n == 0 && a->step == 0 && a->at.c + a->end <= type->limits.min << type->page_shift;
}

/* The first address and the last one; between them it moves one way, if it does not wrap. */
static void require_access(struct lower *l, const struct access *a, LLVMValueRef before_last,
                           LLVMValueRef size, LLVMValueRef *io_ok)
{
    LLVMValueRef first, last, end;

    if (always_there(l, a))
        return;
    first = LLVMBuildZExt(l->b, evaluate(l, &a->at), l->t->i64, "");
    end = LLVMBuildAdd(l->b, first, lower_i64(l, a->end), "");
    require(l, io_ok, compare(l, LLVMIntULE, end, size));
    if (a->step == 0)
        return;
    last = LLVMBuildMul(l->b, before_last, lower_i64(l, (uint64_t)(int64_t)a->step), "");
    last = LLVMBuildAdd(l->b, first, last, "");
    require(l, io_ok, compare(l, LLVMIntSGE, last, lower_i64(l, 0)));
    end = LLVMBuildAdd(l->b, last, lower_i64(l, a->end), "");
    require(l, io_ok, compare(l, LLVMIntULE, end, size));
}

/* An i1: may it run without charges? *ret_left: the gas that is left then. `count` is NULL for a
 * loop that was played. */
static LLVMValueRef fast(struct lower *l, const struct scan *s, const struct count *count,
                         LLVMValueRef *ret_left)
{
    LLVMValueRef ok = NULL, n = NULL, total = lower_i64(l, s->cost), size = NULL;

    if (count)
        n = count->less ? turns_less(l, count, &ok) : turns_unequal(l, count, &ok);
    if (s->naccesses)
        size = lower_memory_size(l, 0);
    for (unsigned i = 0; i < s->naccesses; i++)
        require_access(l, &s->accesses[i], n, size, &ok);
    if (n)
        total = LLVMBuildMul(l->b, LLVMBuildAdd(l->b, n, lower_i64(l, 1), ""), total, "");
    *ret_left = LLVMBuildSub(l->b, LLVMBuildLoad2(l->b, l->t->i64, l->gas_slot, ""), total, "");
    require(l, &ok, compare(l, LLVMIntSGE, *ret_left, lower_i64(l, 0)));
    return ok;
}

/* The loop without charges where `ok`, and with them; the builder is behind both. */
static void lower_both(struct lower *l, struct sv_blocktype type, const uint8_t *end,
                       LLVMValueRef ok, LLVMValueRef left)
{
    const uint8_t *begin = l->p, *op = l->op_start;
    LLVMBasicBlockRef quick = lower_block_new(l, "quick"), slow = lower_block_new(l, "slow"),
                      after = lower_block_new(l, "after");
    bool exact = l->exact;

    lower_likely(l, LLVMBuildCondBr(l->b, ok, quick, slow));
    LLVMPositionBuilderAtEnd(l->b, quick);
    LLVMBuildStore(l->b, left, l->gas_slot);
    l->metered = false;
    l->exact = exact && l->canon; /* no access of it faults */
    lower_loop_body(l, type, end, after);
    l->metered = true;
    l->exact = exact;
    l->p = begin;
    l->op_start = op;
    lower_location(l);
    LLVMPositionBuilderAtEnd(l->b, slow);
    l->uncounted = true;
    lower_loop_body(l, type, end, after);
    l->uncounted = false;
    LLVMPositionBuilderAtEnd(l->b, after);
    if (l->exact)
        lower_unit_fence(l->u, l->b);
    l->op_start = end;
    l->p = end + 1;
    lower_location(l);
    lower_gas_begin(l);
}

static void lower_two(struct lower *l, struct sv_blocktype type, const struct scan *s,
                      const struct count *count)
{
    LLVMValueRef ok, left;

    lower_gas_end(l);
    ok = fast(l, s, count, &left);
    lower_both(l, type, s->end, ok, left);
}

static bool played_loop(struct lower *l, struct sv_blocktype type)
{
    struct scan s = {.l = l, .whole = true, .p = l->p};

    if (!l->facts_on || !play(&s) || (s.naccesses && !lower_is_guarded(l, 0)))
        return false;
    lower_two(l, type, &s, NULL);
    return true;
}

static bool counted_loop(struct lower *l, struct sv_blocktype type)
{
    struct scan s = {.l = l, .p = l->p};
    struct count count;

    if (!play(&s) || (s.naccesses && !lower_is_guarded(l, 0)) || !find_steps(&s) ||
        !find_count(&s, &count))
        return false;
    lower_two(l, type, &s, &count);
    return true;
}

bool lower_counted_loop(struct lower *l, struct sv_blocktype type)
{
    if (!l->metered || l->uncounted || l->osr_offset || l->u->opts->opt_level == 0 ||
        sv_blocktype_nparams(&type) || sv_blocktype_nresults(&type))
        return false;
    return played_loop(l, type) || counted_loop(l, type);
}
