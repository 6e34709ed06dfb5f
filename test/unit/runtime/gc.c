/* The GC heap against a model: random object graphs, limits, reuse, interruption; reference types;
 * constant expressions. */
#include "fake.h"
#include "modules.h"

enum { T_NODE, T_BIG, T_REFS, T_BYTES, T_VECS, T_EXN };

struct heap {
    struct sv_engine *e;
    struct sv_store *s;
    struct sv_thread *th;
    struct sv_module *m;
    struct sv_instance *inst;
    const struct sv_type *const *t;
    struct sv_global *root;
    struct sv_table *tab;
};

struct node {
    struct sv_object head;
    sv_ref next;
    uint64_t v;
};

static struct sv_global *global(struct sv_instance *inst, const char *name)
{
    struct sv_extern x;

    assert_true(sv_instance_export(inst, sv_str_of(name), &x));
    assert_int_equal(x.kind, SV_EXTERN_GLOBAL);
    return x.global;
}

static struct heap open_heap(uint64_t limit, bool stress)
{
    struct heap h = {.e = fake_engine()};
    struct sv_store_limits l = sv_store_limits_default;
    union sv_val i = {.ref = sv_ref_i31(5)};
    struct sv_extern imports[1], x;

    if (limit)
        l.gc_heap_bytes = limit;
    h.e->gc_stress = stress;
    h.s = fake_store(h.e, &l);
    h.th = &h.s->thread;
    h.m = fake_module(h.e, module_gc, sizeof module_gc);
    imports[0] = (struct sv_extern){
        .kind = SV_EXTERN_GLOBAL,
        .global = sv_global_new(
            h.s, (struct sv_global_type){.type = SV_REFTYPE(SV_HEAP_I31, false)}, &i)};
    h.inst = fake_instance(h.s, h.m, imports);
    h.t = h.m->types;
    h.root = global(h.inst, "root");
    assert_true(sv_instance_export(h.inst, sv_str_of("tab"), &x));
    h.tab = x.table;
    return h;
}

static void close_heap(struct heap *h)
{
    sv_module_unref(h->m);
    sv_store_delete(h->s);
    sv_engine_unref(h->e);
}

static struct node *new_node(struct heap *h, sv_ref next, uint64_t v)
{
    struct node *n;

    h->th->sp[0].ref = next; /* as a tier would: operands on the wasm stack */
    h->th->sp++;
    n = (struct node *)sv_gc_new_struct(h->th, h->t[T_NODE]);
    h->th->sp--;
    if (n) {
        assert_int_equal(n->next, 0);
        assert_int_equal(n->v, 0);
        n->next = next;
        n->v = v;
    }
    return n;
}

static sv_ref ref(const void *p)
{
    return (sv_ref)(uintptr_t)p;
}

static void test_list(void **state)
{
    struct heap h = open_heap(0, false);
    uint64_t base;
    struct node *n;

    (void)state;
    sv_gc_collect(h.s);
    base = sv_gc_used(h.s);
    for (uint64_t i = 0; i < 300000; i++) {
        assert_non_null(new_node(&h, 0, 1)); /* garbage */
        n = new_node(&h, h.root->value.ref, i);
        h.root->value.ref = ref(n);
    }
    /* Deep, so marking does not recurse. */
    sv_gc_collect(h.s);
    assert_int_equal(sv_gc_used(h.s), base + 300000 * 32);
    n = (struct node *)(uintptr_t)h.root->value.ref;
    for (uint64_t i = 300000; i-- > 0; n = (struct node *)(uintptr_t)n->next)
        assert_int_equal(n->v, i);
    assert_null(n);
    h.root->value.ref = 0;
    sv_gc_collect(h.s);
    assert_int_equal(sv_gc_used(h.s), base);
    close_heap(&h);
}

/* Every kind of root, and nothing else, keeps an object. */
static void test_roots(void **state)
{
    struct heap h = open_heap(0, false);
    struct sv_thread *th = h.th;
    union sv_slot *sp = th->sp;
    struct node *n[8];
    uint32_t handle;
    uint64_t base;

    (void)state;
    sv_gc_collect(h.s);
    base = sv_gc_used(h.s);
    for (int i = 0; i < 8; i++) {
        n[i] = new_node(&h, 0, 100 + i);
        th->sp[0].ref = ref(n[i]);
        th->sp++;
    }
    sv_gc_collect(h.s);
    assert_int_equal(sv_gc_used(h.s), base + 8 * 32);
    h.root->value.ref = ref(n[0]);
    global(h.inst, "eroot")->value.ref = ref(n[1]);
    h.tab->elems[99] = ref(n[2]);
    handle = sv_store_handle_new(h.s, ref(n[3]));
    th->exn = ref(n[4]);
    th->sp = sp;
    th->sp[0].i64 = ref(n[5]) + 8; /* the inside of an object is no root */
    th->sp[1].ref = ref(n[6]);
    th->sp += 2;
    sv_gc_collect(h.s);
    assert_int_equal(sv_gc_used(h.s), base + 6 * 32);
    for (int i = 0; i < 7; i++)
        if (i != 5)
            assert_int_equal(n[i]->v, 100 + i);
    th->sp = sp;
    th->exn = 0;
    sv_store_handle_delete(h.s, handle);
    h.tab->elems[99] = sv_ref_host(12);
    h.root->value.ref = sv_ref_i31(3);
    sv_gc_collect(h.s);
    assert_int_equal(sv_gc_used(h.s), base + 32);
    close_heap(&h);
}

/* ---- A random graph against a model ---- */

#define OBJECTS 400
struct model {
    unsigned kind; /* 0 none, 1 node, 2 refs, 3 big, 4 exn */
    sv_ref at;
    unsigned len;
    int out[12]; /* object numbers, -1 null */
    unsigned tag;
};

static uint64_t random_state = 0x9e3779b97f4a7c15u;
static unsigned rnd(unsigned n)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (unsigned)(random_state >> 20) % n;
}

static sv_ref *out_slot(const struct model *o, unsigned i)
{
    static const unsigned big[] = {8, 48, 64};
    char *p = (char *)(uintptr_t)o->at;

    switch (o->kind) {
    case 1:
        return (sv_ref *)(void *)(p + 8);
    case 2:
        return (sv_ref *)(void *)(p + SV_GC_ARRAY_BASE) + i;
    case 3:
        return (sv_ref *)(void *)(p + big[i]);
    default:
        return &((struct sv_exn *)(void *)p)->args[3 + i].ref;
    }
}

static unsigned outs(const struct model *o)
{
    return o->kind == 1 ? 1 : o->kind == 2 ? o->len : o->kind == 3 ? 3 : 2;
}

static void make(struct heap *h, struct model *o)
{
    *o = (struct model){.kind = 1 + rnd(4)};
    switch (o->kind) {
    case 1:
        o->at = ref(sv_gc_new_struct(h->th, h->t[T_NODE]));
        break;
    case 2:
        o->len = rnd(12);
        o->at = ref(sv_gc_new_array(h->th, h->t[T_REFS], o->len));
        break;
    case 3:
        o->at = ref(sv_gc_new_struct(h->th, h->t[T_BIG]));
        break;
    default:
        o->at = ref(sv_gc_new_exn(h->th, h->inst->tags[0]));
        break;
    }
    assert_int_not_equal(o->at, 0);
    for (unsigned i = 0; i < outs(o); i++) {
        assert_int_equal(*out_slot(o, i), 0);
        o->out[i] = -1;
    }
}

static bool fits(const struct model *from, unsigned i, const struct model *to)
{
    /* Exceptions are not `any`; node fields hold nodes. */
    if (to->kind == 4)
        return false;
    return from->kind == 1 || (from->kind == 3 && i == 0) || (from->kind == 4 && i == 1)
               ? to->kind == 1 || to->kind == 3
               : true;
}

static void reach(struct model *o, int i, bool *seen)
{
    if (i < 0 || seen[i])
        return;
    seen[i] = true;
    for (unsigned k = 0; k < outs(&o[i]); k++)
        reach(o, o[i].out[k], seen);
}

static uint64_t cell(const struct model *o)
{
    uint64_t size = o->kind == 1   ? 24
                    : o->kind == 2 ? 16 + o->len * 8
                    : o->kind == 3 ? 72
                                   : 24 + 5 * 8;

    return (size + 15) / 16 * 16; /* all below 128: multiples of 16 */
}

static void check_graph(struct heap *h, struct model *o, bool *seen, uint64_t base)
{
    uint64_t live = base;

    memset(seen, 0, OBJECTS);
    for (unsigned r = 0; r < 100; r++)
        for (int i = 0; i < OBJECTS; i++)
            if (o[i].kind && h->tab->elems[r] == o[i].at)
                reach(o, i, seen);
    for (int i = 0; i < OBJECTS; i++)
        live += seen[i] ? cell(&o[i]) : 0;
    sv_gc_collect(h->s);
    assert_int_equal(sv_gc_used(h->s), live);
    for (int i = 0; i < OBJECTS; i++) {
        if (!seen[i]) {
            o[i].kind = 0;
            continue;
        }
        for (unsigned k = 0; k < outs(&o[i]); k++)
            assert_int_equal(*out_slot(&o[i], k), o[i].out[k] < 0 ? 0 : o[o[i].out[k]].at);
    }
}

/* A native frame holds one word: an address in the array, or behind it; or one that is of no
 * object. */
static void test_native_frames(void **state)
{
    static const uint32_t lens[] = {8, 1000, 3000000};
    uint64_t frame[2] = {0, 0};
    struct sv_region region = {.base = (uint8_t *)frame, .committed = sizeof frame};
    struct heap h = open_heap(0, false);

    (void)state;
    for (unsigned i = 0; i < SV_COUNT(lens); i++) {
        struct sv_array *a = sv_gc_new_array(h.th, h.t[T_BYTES], lens[i]);
        uint64_t used = sv_gc_used(h.s);

        assert_non_null(a);
        h.th->native_sp = frame;
        h.s->native_region = &region;
        frame[0] = (uintptr_t)a->data + lens[i] / 2;
        sv_gc_collect(h.s);
        assert_int_equal(sv_gc_used(h.s), used);
        frame[0] = (uintptr_t)a->data + lens[i];
        sv_gc_collect(h.s);
        assert_int_equal(sv_gc_used(h.s), used);
        frame[0] = (uintptr_t)a - 64 * 65536 * 100ull;
        sv_gc_collect(h.s);
        assert_true(sv_gc_used(h.s) < used);
        h.th->native_sp = NULL;
        h.s->native_region = NULL;
    }
    close_heap(&h);
}

static void test_random_graph(void **state)
{
    static struct model o[OBJECTS];
    static bool seen[OBJECTS];
    struct heap h = open_heap(0, false);
    uint64_t base;

    (void)state;
    for (int i = 0; i < 100; i++)
        h.tab->elems[i] = 0;
    sv_gc_collect(h.s);
    base = sv_gc_used(h.s);
    for (unsigned round = 0; round < 300; round++) {
        for (unsigned step = 0; step < 200; step++) {
            unsigned i = rnd(OBJECTS), j = rnd(OBJECTS), k;

            if (!o[i].kind) {
                make(&h, &o[i]);
                h.tab->elems[rnd(100)] = o[i].kind == 4 ? 0 : o[i].at;
                if (rnd(3) == 0)
                    memset(sv_gc_new_array(h.th, h.t[T_BYTES], 100 + rnd(3000))->data, 0xff, 100);
                continue;
            }
            if (!outs(&o[i]))
                continue;
            k = rnd(outs(&o[i]));
            if (o[j].kind && fits(&o[i], k, &o[j])) {
                o[i].out[k] = (int)j;
                *out_slot(&o[i], k) = o[j].at;
            }
        }
        for (unsigned i = 0; i < 30; i++)
            h.tab->elems[rnd(100)] = 0;
        check_graph(&h, o, seen, base);
    }
    close_heap(&h);
}

/* ---- Sizes, limits ---- */

static void test_sizes_and_zeros(void **state)
{
    static const uint32_t lens[] = {0,     1,      15,      16,      17,      2032,  2033,
                                    2704,  4080,   8176,    16368,   32752,   32753, 65520,
                                    65521, 200000, 1048576, 3000000, 20000000};
    struct heap h = open_heap(0, false);
    uint64_t base;

    (void)state;
    sv_gc_collect(h.s);
    base = sv_gc_used(h.s);
    for (unsigned round = 0; round < 4; round++) {
        for (unsigned i = 0; i < SV_COUNT(lens); i++) {
            struct sv_array *a = sv_gc_new_array(h.th, h.t[T_BYTES], lens[i]);

            assert_non_null(a);
            assert_int_equal(a->len, lens[i]);
            assert_int_equal((uintptr_t)a % 16, 0);
            for (uint32_t k = 0; k < lens[i]; k++)
                if (a->data[k])
                    fail_msg("array of %u: byte %u is not zero", lens[i], k);
            memset(a->data, 0xee, lens[i]);
            h.tab->elems[i] = round % 2 ? 0 : ref(a);
        }
        sv_gc_collect(h.s);
    }
    for (unsigned i = 0; i < 100; i++)
        h.tab->elems[i] = 0;
    sv_gc_collect(h.s);
    assert_int_equal(sv_gc_used(h.s), base);
    /* Sizes that do not fit anything. */
    assert_null(sv_gc_new_array(h.th, h.t[T_BYTES], UINT32_MAX));
    assert_null(sv_gc_new_array(h.th, h.t[T_VECS], UINT32_MAX));
    assert_null(sv_gc_new_array(h.th, h.t[T_VECS], 1u << 31));
    assert_null(sv_gc_new_array(h.th, h.t[T_REFS], (1u << 31) - 1));
    assert_null(sv_gc_new_array(h.th, h.t[T_BYTES], (1u << 30) - 15));
    close_heap(&h);
}

static void test_limit(void **state)
{
    static const uint64_t limits[] = {4096, 100000, 3 << 20};

    (void)state;
    for (unsigned i = 0; i < SV_COUNT(limits); i++) {
        struct heap h = open_heap(limits[i], false);
        uint64_t n = 0, base = sv_gc_used(h.s);
        struct node *p;

        while ((p = new_node(&h, h.root->value.ref, n))) {
            h.root->value.ref = ref(p);
            n++;
            assert_true(sv_gc_used(h.s) <= limits[i]);
        }
        assert_int_equal(n, (limits[i] - base) / 32);
        assert_null(sv_gc_new_array(h.th, h.t[T_BYTES], 1));
        h.root->value.ref = 0;
        /* Without roots it all comes back by itself, over and over. */
        for (uint64_t k = 0; k < 5 * n; k++)
            assert_non_null(new_node(&h, 0, k));
        close_heap(&h);
    }
}

/* A wide array overflows the mark stack; the rest is found by going through the heap. */
static void test_mark_overflow(void **state)
{
    struct heap h = open_heap(0, false);
    uint32_t n = 1200000;
    struct sv_array *a = sv_gc_new_array(h.th, h.t[T_REFS], n);
    uint64_t base;

    (void)state;
    h.root->value.ref = ref(a);
    sv_gc_collect(h.s);
    base = sv_gc_used(h.s);
    for (uint32_t i = 0; i < n; i++) {
        struct node *inner = new_node(&h, 0, i);
        struct node *outer = new_node(&h, ref(inner), 2 * (uint64_t)i);

        ((sv_ref *)(void *)a->data)[i] = ref(outer);
    }
    sv_gc_collect(h.s);
    assert_int_equal(sv_gc_used(h.s), base + (uint64_t)n * 64);
    for (uint32_t i = 0; i < n; i++) {
        struct node *outer = (struct node *)(uintptr_t)((sv_ref *)(void *)a->data)[i];

        if (outer->v != 2 * (uint64_t)i || ((struct node *)(uintptr_t)outer->next)->v != i)
            fail_msg("element %u is damaged", i);
    }
    close_heap(&h);
}

/* A cancelled guest gets no memory; the trap says why; afterwards everything is as it was. */
static void test_interrupted_collection(void **state)
{
    struct heap h = open_heap(8 << 20, false);
    uint64_t n = 0, used, k;
    struct node *p;

    (void)state;
    while ((p = new_node(&h, h.root->value.ref, n))) {
        h.root->value.ref = ref(p);
        n++;
    }
    for (int round = 0; round < 5; round++) {
        used = sv_gc_used(h.s);
        sv_store_cancel(h.s);
        assert_null(new_node(&h, 0, 0));
        assert_null(sv_gc_new_array(h.th, h.t[T_BYTES], 1000000));
        sv_trap_clear(&h.th->trap);
        sv_trap_raise(h.th, SV_TRAP_GC_HEAP);
        assert_int_equal(h.th->trap.code, SV_TRAP_CANCELLED);
        sv_store_clear_interrupt(h.s);
        assert_int_equal(sv_gc_used(h.s), used);
        sv_gc_collect(h.s);
        k = n;
        for (p = (struct node *)(uintptr_t)h.root->value.ref; p;
             p = (struct node *)(uintptr_t)p->next)
            assert_int_equal(p->v, --k);
    }
    sv_trap_clear(&h.th->trap);
    close_heap(&h);
}

/* Collections cut short at any moment: on the way a guest that collects at each allocation, a timer
 * that goes off wherever it likes. */
static int collect_for_ever(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    (void)args;
    while (sv_gc_new_struct(th, f->type))
        ;
    return sv_trap_raise(th, SV_TRAP_GC_HEAP);
}

static void test_collections_cut_short(void **state)
{
    struct heap h = open_heap(0, false);
    union sv_slot none[1];
    struct sv_func *f = sv_arena_zero(&h.s->arena, sizeof *f);
    uint64_t used, k;

    (void)state;
    for (uint64_t i = 0; i < 50000; i++)
        h.root->value.ref = ref(new_node(&h, h.root->value.ref, i));
    sv_gc_collect(h.s);
    used = sv_gc_used(h.s);
    *f = (struct sv_func){.entry = collect_for_ever, .store = h.s, .type = h.t[T_NODE]};
    for (unsigned round = 0; round < 60; round++) {
        h.e->gc_stress = true;
        sv_store_set_deadline(h.s, sv_clock_ns() + 100000 + rnd(2000000));
        assert_int_equal(sv_func_call(h.th, f, none), SV_ETRAP);
        assert_int_equal(h.th->trap.code, SV_TRAP_DEADLINE);
        h.e->gc_stress = false;
        sv_store_set_deadline(h.s, 0);
        if (round % 4 == 0) {
            sv_gc_collect(h.s);
            assert_int_equal(sv_gc_used(h.s), used);
        }
        k = 50000;
        for (struct node *p = (struct node *)(uintptr_t)h.root->value.ref; p;
             p = (struct node *)(uintptr_t)p->next)
            assert_int_equal(p->v, --k);
        assert_int_equal(k, 0);
    }
    close_heap(&h);
}

static void test_stress_mode(void **state)
{
    struct heap h = open_heap(0, true);
    struct node *keep = new_node(&h, 0, 1);

    (void)state;
    h.root->value.ref = ref(keep);
    for (uint64_t i = 2; i < 500; i++) {
        struct node *n = new_node(&h, h.root->value.ref, i);

        new_node(&h, ref(n), 0);
        /* n had no root during the second allocation but as its operand. */
        h.root->value.ref = ref(n);
    }
    for (uint64_t i = 500; i-- > 1;) {
        struct node *n = (struct node *)(uintptr_t)h.root->value.ref;

        assert_int_equal(n->v, i);
        h.root->value.ref = n->next;
    }
    close_heap(&h);
}

/* ---- Types of references ---- */

static void test_matches(void **state)
{
    struct heap h = open_heap(0, false);
    struct sv_store *s = h.s;
    sv_ref node = ref(sv_gc_new_struct(h.th, h.t[T_NODE])),
           big = ref(sv_gc_new_struct(h.th, h.t[T_BIG]));
    sv_ref refs = ref(sv_gc_new_array(h.th, h.t[T_REFS], 1)),
           exn = ref(sv_gc_new_exn(h.th, h.inst->tags[0]));
    sv_ref func = ref(sv_instance_func(h.inst, 0)), i31 = sv_ref_i31(UINT32_MAX),
           host = sv_ref_host(7);
#define HEAP(i) (SV_HEAP_CONCRETE + h.t[i]->id)
    const struct {
        uint32_t heap;
        int node, big, refs, i31, host; /* 1 yes, 0 no, -1 another hierarchy */
    } rows[] = {
        {SV_HEAP_ANY, 1, 1, 1, 1, 1},    {SV_HEAP_EQ, 1, 1, 1, 1, 0},
        {SV_HEAP_I31, 0, 0, 0, 1, 0},    {SV_HEAP_STRUCT, 1, 1, 0, 0, 0},
        {SV_HEAP_ARRAY, 0, 0, 1, 0, 0},  {SV_HEAP_NONE, 0, 0, 0, 0, 0},
        {HEAP(T_NODE), 1, 1, 0, 0, 0},   {HEAP(T_BIG), 0, 1, 0, 0, 0},
        {HEAP(T_REFS), 0, 0, 1, 0, 0},   {HEAP(T_BYTES), 0, 0, 0, 0, 0},
        {SV_HEAP_EXTERN, 1, 1, 1, 1, 1}, {SV_HEAP_NOEXTERN, 0, 0, 0, 0, 0},
    };

    (void)state;
    for (unsigned i = 0; i < SV_COUNT(rows); i++) {
        for (unsigned nullable = 0; nullable < 2; nullable++) {
            sv_valtype t = SV_REFTYPE(rows[i].heap, nullable);

            assert_int_equal(sv_ref_matches(s, 0, t), nullable);
            assert_int_equal(sv_ref_matches(s, node, t), rows[i].node);
            assert_int_equal(sv_ref_matches(s, big, t), rows[i].big);
            assert_int_equal(sv_ref_matches(s, refs, t), rows[i].refs);
            assert_int_equal(sv_ref_matches(s, i31, t), rows[i].i31);
            assert_int_equal(sv_ref_matches(s, host, t), rows[i].host);
        }
    }
    assert_true(sv_ref_matches(s, func, SV_FUNCREF));
    assert_true(sv_ref_matches(s, func, SV_REFTYPE(HEAP(T_EXN), false)));
    assert_false(sv_ref_matches(s, func, SV_REFTYPE(SV_HEAP_NOFUNC, true)));
    assert_true(sv_ref_matches(s, exn, SV_EXNREF));
    assert_false(sv_ref_matches(s, exn, SV_REFTYPE(SV_HEAP_NOEXN, true)));
    close_heap(&h);
}

/* ---- Constant expressions: the values of gc.wat, worked out by hand ---- */

static void test_const(void **state)
{
    for (int stress = 0; stress < 2; stress++) {
        struct heap h = open_heap(0, stress);
        struct node *n = (struct node *)(uintptr_t)global(h.inst, "g0")->value.ref;
        struct sv_array *refs = (struct sv_array *)(uintptr_t)global(h.inst, "g1")->value.ref;
        struct sv_array *vecs = (struct sv_array *)(uintptr_t)global(h.inst, "g2")->value.ref;
        const sv_ref *r = (const sv_ref *)(const void *)refs->data;
        static const uint32_t lanes[4] = {1, 2, 3, 4};

        sv_gc_collect(h.s);
        assert_int_equal(n->v, (uint64_t)-8);
        assert_int_equal(((struct node *)(uintptr_t)n->next)->v, 7);
        assert_int_equal(refs->len, 3);
        assert_int_equal(r[0], sv_ref_i31(5));
        assert_int_equal(r[1], ref(n));
        assert_int_equal(r[2], 0xffffffff);
        assert_int_equal(vecs->len, 5);
        for (int i = 0; i < 5; i++)
            assert_memory_equal(vecs->data + i * 16, lanes, 16);
        assert_int_equal(global(h.inst, "g3")->value.ref, ref(refs));
        assert_int_equal(global(h.inst, "g4")->value.ref, ref(refs));
        assert_int_equal(((struct sv_object *)(uintptr_t)global(h.inst, "g5")->value.ref)->type_id,
                         h.t[T_BIG]->id);
        assert_int_equal(((struct sv_array *)(uintptr_t)global(h.inst, "g6")->value.ref)->len, 100);
        assert_int_equal(global(h.inst, "g7")->value.i32, 1410065407);
        assert_int_equal(global(h.inst, "g8")->value.i64, INT64_MAX - 15);
        assert_true(global(h.inst, "g9")->value.f64 == -0.5);
        assert_true(global(h.inst, "g10")->value.f32 == 1.5f);
        assert_int_equal(global(h.inst, "g11")->value.ref, ref(sv_instance_func(h.inst, 0)));
        assert_int_equal(h.tab->elems[0], sv_ref_i31(9));
        assert_int_equal(h.tab->elems[99], sv_ref_i31(9));
        assert_int_equal(((struct node *)(uintptr_t)h.inst->elem_refs[0][2])->v, 99);
        assert_ptr_equal(h.th->sp, h.th->stack);
        close_heap(&h);
    }
    (void)state;
}

/* ---- Bulk operations on arrays ---- */

static void test_array_operations(void **state)
{
    struct heap h = open_heap(0, false);
    struct sv_thread *th = h.th;
    const struct sv_type *bytes = h.t[T_BYTES], *refs = h.t[T_REFS];
    union sv_slot v[2] = {{.i64 = 0xffffffffffffff41u}};
    sv_ref a, b, r;
    uint8_t model[100];

    (void)state;
    assert_int_equal(sv_array_new(th, bytes, 100, v, &a), 0);
    th->sp++->ref = a;
    memset(model, 0x41, sizeof model);
    assert_memory_equal(((struct sv_array *)(uintptr_t)a)->data, model, 100);
    assert_int_equal(sv_array_new_data(th, h.inst, bytes, 0, 7, 5, &b), 0);
    assert_memory_equal(((struct sv_array *)(uintptr_t)b)->data, "world", 5);
    assert_int_equal(sv_array_new_data(th, h.inst, bytes, 0, 8, 5, &b), SV_TRAP_MEMORY_BOUNDS);
    assert_int_equal(sv_array_new_data(th, h.inst, bytes, 0, UINT32_MAX, 1, &b),
                     SV_TRAP_MEMORY_BOUNDS);
    assert_int_equal(sv_array_new_data(th, h.inst, h.t[T_VECS], 0, 0, 1u << 28, &b),
                     SV_TRAP_MEMORY_BOUNDS);
    assert_int_equal(sv_array_init_data(th, h.inst, bytes, a, 3, 0, 0, 12), 0);
    memcpy(model + 3, "hello, world", 12);
    assert_int_equal(sv_array_init_data(th, h.inst, bytes, a, 95, 0, 0, 6), SV_TRAP_ARRAY_BOUNDS);
    for (unsigned i = 0; i < 200; i++) {
        uint32_t dst = rnd(110), src = rnd(110), len = rnd(60);
        int code = sv_array_copy(th, bytes, a, dst, a, src, len);

        assert_int_equal(code, dst + len > 100 || src + len > 100 ? SV_TRAP_ARRAY_BOUNDS : 0);
        if (!code)
            memmove(model + dst, model + src, len);
        assert_memory_equal(((struct sv_array *)(uintptr_t)a)->data, model, 100);
    }
    assert_int_equal(sv_array_copy(th, bytes, a, UINT32_MAX, a, 0, 2), SV_TRAP_ARRAY_BOUNDS);
    assert_int_equal(sv_array_copy(th, bytes, 0, 0, a, 0, 0), SV_TRAP_NULL_ARRAY);
    assert_int_equal(sv_array_copy(th, bytes, a, 0, 0, 0, 0), SV_TRAP_NULL_ARRAY);
    assert_int_equal(sv_array_fill(th, bytes, a, 100, v, 0), 0);
    assert_int_equal(sv_array_fill(th, bytes, a, 100, v, 1), SV_TRAP_ARRAY_BOUNDS);
    assert_int_equal(sv_array_fill(th, bytes, 0, 0, v, 0), SV_TRAP_NULL_ARRAY);
    assert_int_equal(sv_array_new_elem(th, h.inst, refs, 0, 0, 3, &r), 0);
    assert_int_equal(((sv_ref *)(void *)((struct sv_array *)(uintptr_t)r)->data)[0],
                     global(h.inst, "g0")->value.ref);
    assert_int_equal(sv_array_new_elem(th, h.inst, refs, 0, 1, 3, &r), SV_TRAP_TABLE_BOUNDS);
    sv_elem_drop(h.inst, 0);
    sv_data_drop(h.inst, 0);
    assert_int_equal(sv_array_new_elem(th, h.inst, refs, 0, 0, 1, &r), SV_TRAP_TABLE_BOUNDS);
    assert_int_equal(sv_array_new_elem(th, h.inst, refs, 0, 0, 0, &r), 0);
    assert_int_equal(sv_array_init_data(th, h.inst, bytes, a, 0, 0, 0, 1), SV_TRAP_MEMORY_BOUNDS);
    assert_int_equal(sv_array_init_data(th, h.inst, bytes, a, 0, 0, 0, 0), 0);
    assert_int_equal(sv_array_init_elem(th, h.inst, refs, r, 0, 0, 0, 1), SV_TRAP_ARRAY_BOUNDS);
    assert_int_equal(sv_array_new(th, bytes, UINT32_MAX, v, &r), SV_TRAP_GC_HEAP);
    sv_store_set_gas(h.s, 100);
    assert_int_equal(sv_array_new(th, bytes, 640, NULL, &r), 0);
    assert_int_equal(sv_store_gas_used(h.s), 10);
    assert_int_equal(sv_array_fill(th, bytes, a, 0, v, 65), 0);
    assert_int_equal(sv_store_gas_used(h.s), 12);
    assert_int_equal(sv_array_new(th, bytes, 64000, NULL, &r), SV_TRAP_GAS);
    close_heap(&h);
}

/* No memory for the collector's own tables: no object, or a slower collection, but never a lost
 * one. */
#ifdef SV_TORTURE
static void test_torture(void **state)
{
    (void)state;
    for (unsigned long n = 1; n < 40; n++) {
        struct heap h = open_heap(0, false);
        struct node *p;

        sv_alloc_fail_at(n);
        for (uint64_t i = 0; i < 3000; i++) {
            p = new_node(&h, h.root->value.ref, i);
            if (p)
                h.root->value.ref = ref(p);
            if (i % 500 == 0)
                sv_gc_collect(h.s);
        }
        sv_alloc_fail_at(0);
        p = (struct node *)(uintptr_t)h.root->value.ref;
        for (uint64_t i = p->v + 1; i-- > 0; p = (struct node *)(uintptr_t)p->next)
            if (p->v != i)
                i = p->v + 1; /* one allocation may have failed */
        sv_gc_collect(h.s);
        close_heap(&h);
    }
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_roots),
        cmocka_unit_test(test_native_frames),
        cmocka_unit_test(test_random_graph),
        cmocka_unit_test(test_sizes_and_zeros),
        cmocka_unit_test(test_limit),
        cmocka_unit_test(test_mark_overflow),
        cmocka_unit_test(test_interrupted_collection),
        cmocka_unit_test(test_collections_cut_short),
        cmocka_unit_test(test_stress_mode),
        cmocka_unit_test(test_matches),
        cmocka_unit_test(test_const),
        cmocka_unit_test(test_array_operations),
#ifdef SV_TORTURE
        cmocka_unit_test(test_torture),
#endif
    };

    return cmocka_run_group_tests_name("runtime/gc", tests, NULL, NULL);
}
