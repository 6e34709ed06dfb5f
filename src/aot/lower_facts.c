/* Facts about addresses (doc/internals/aot.md): guest code adds constants to 32-bit addresses,
 * where the sum may wrap; when the address without the constant was accessed on a dominating path,
 * the sum may be taken in 64 bits instead. Safe whatever LLVM does later, because the address stays
 * between the guards; exact because a sum that wraps means that the first access trapped. */
#include "aot/lower.h"

/* A constant below this may be added: no memory reaches the last 64 KiB below 4 GiB, and the guard
 * above holds it with the widest access. */
#define FACT_UP 65520u
/* And above minus this subtracted: the guard below the base. */
#define FACT_DOWN 65536u

uint32_t lower_root_new(struct lower *l)
{
    return ++l->next_root;
}

uint32_t lower_local_root(struct lower *l, uint32_t i)
{
    struct lower_local *local = &l->locals[i];

    if (local->epoch != l->epoch || local->root == 0) {
        local->root = lower_root_new(l);
        local->delta = 0;
        local->constant = NULL;
        local->epoch = l->epoch;
    }
    return local->root;
}

void lower_local_set(struct lower *l, uint32_t i, struct lower_value v)
{
    struct lower_local *local = &l->locals[i];

    LLVMBuildStore(l->b, v.v, local->slot);
    local->root = v.root;
    local->delta = v.delta;
    local->epoch = l->epoch;
    local->constant = LLVMIsAConstantInt(v.v);
    if (l->facts_on && !SV_VEC_PUSH(&l->set_trail, UINT32_MAX, i))
        l->nomem = true;
}

void lower_facts_mark(struct lower *l, struct lower_ctl *c)
{
    c->facts = l->fact_trail.len;
    c->sets = l->set_trail.len;
}

static void undo_facts(struct lower *l, size_t mark)
{
    while (l->fact_trail.len > mark) {
        size_t i = --l->fact_trail.len;

        l->facts[l->fact_trail.data[i]] = l->fact_saved.data[i];
        l->fact_saved.len = i;
    }
}

/* Locals set since: nothing is known of them here. The list stays, each local in it once, for the
 * blocks around. */
static void forget_sets(struct lower *l, size_t mark)
{
    size_t to = mark;

    l->walk++;
    for (size_t i = mark; i < l->set_trail.len; i++) {
        struct lower_local *local = &l->locals[l->set_trail.data[i]];

        if (local->seen == l->walk)
            continue;
        local->seen = l->walk;
        local->root = 0;
        l->set_trail.data[to++] = l->set_trail.data[i];
    }
    l->set_trail.len = to;
}

void lower_facts_restore(struct lower *l, const struct lower_ctl *c)
{
    undo_facts(l, c->facts);
    forget_sets(l, c->sets);
}

void lower_facts_forget(struct lower *l)
{
    l->epoch++;
}

/* Room for a root. */
static bool reserve(struct lower *l, uint32_t root)
{
    uint32_t cap = l->cap_facts;
    struct lower_fact *p;

    if (root < cap)
        return true;
    cap = cap ? cap : 64;
    while (cap <= root)
        cap *= 2;
    p = sv_realloc(l->facts, cap * sizeof *p);
    if (!p) {
        l->nomem = true;
        return false;
    }
    memset(p + l->cap_facts, 0, (cap - l->cap_facts) * sizeof *p);
    l->facts = p;
    l->cap_facts = cap;
    return true;
}

static void remember(struct lower *l, struct lower_value a, LLVMValueRef base)
{
    struct lower_fact *f = &l->facts[a.root];

    if (!SV_VEC_PUSH(&l->fact_trail, UINT32_MAX, a.root) ||
        !SV_VEC_PUSH(&l->fact_saved, UINT32_MAX, *f)) {
        l->nomem = true;
        l->fact_trail.len = l->fact_saved.len;
        return;
    }
    *f = (struct lower_fact){.base = base, .delta = a.delta};
}

LLVMValueRef lower_fact_address(struct lower *l, struct lower_value a, uint64_t *io_offset)
{
    LLVMValueRef base;

    if (l->facts_on && a.root && reserve(l, a.root)) {
        const struct lower_fact *f = &l->facts[a.root];
        int32_t c = (int32_t)(a.delta - f->delta);

        if (f->base && c >= 0 && (uint32_t)c < FACT_UP) {
            *io_offset += (uint32_t)c;
            return f->base;
        }
        if (f->base && c < 0 && c >= -(int32_t)FACT_DOWN && *io_offset == 0) {
            *io_offset = (uint64_t)(int64_t)c;
            return f->base;
        }
        base = LLVMBuildZExt(l->b, a.v, l->t->i64, "");
        remember(l, a, base);
        return base;
    }
    return LLVMBuildZExt(l->b, a.v, l->t->i64, "");
}
