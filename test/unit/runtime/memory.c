/* Linear memories: limits x forms x access, bulk operations against a naive copy, recycling between
 * tenants. */
#include "fake.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/pages.h"

#define MIB ((uint64_t)1 << 20)

/* What a guest's load and store do in the guarded form: no check. */
static uint8_t *volatile access_at;
GUEST int guest_load(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    (void)th;
    (void)f;
    args[0].i64 = *(volatile uint8_t *)access_at;
    return 0;
}
GUEST int guest_load16(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    (void)th;
    (void)f;
    args[0].i64 = *(volatile uint64_t *)(access_at + 8);
    return 0;
}
GUEST int guest_store(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    (void)th;
    (void)f;
    *(volatile uint8_t *)access_at = args[0].i64 & 0xff;
    return 0;
}

static int run_guest(struct sv_store *s, sv_entry_fn *body, uint8_t *at)
{
    union sv_slot args[1] = {{.i64 = 0x55}};

    access_at = at;
    return sv_func_call(&s->thread, fake_func(s, body), args);
}

static void test_limits_and_access(void **state)
{
    static const uint64_t mins[] = {0, 1, 2, 17};
    struct sv_engine *e = fake_engine();

    (void)state;
    for (int form = 0; form < 2; form++) {
        e->no_guard = form == 1;
        for (unsigned i = 0; i < SV_COUNT(mins); i++) {
            struct sv_store *s = fake_store(e, NULL);
            struct sv_memory *m = fake_memory(s, mins[i], mins[i], false, false);
            uint64_t size = mins[i] << 16;

            assert_int_equal(m->guarded, form == 0);
            assert_non_null(m->base);
            assert_int_equal(sv_memory_size(m), size);
            assert_int_equal(sv_memory_grow(m, 1), -1);
            assert_int_equal(sv_memory_grow(m, 0), mins[i]);
            assert_int_equal(sv_memory_grow(m, UINT64_MAX), -1);
            if (size) {
                assert_int_equal(run_guest(s, guest_load, m->base + size - 1), 0);
                assert_int_equal(run_guest(s, guest_store, m->base), 0);
                assert_int_equal(m->base[0], 0x55);
            }
            /* First byte behind, one access wide behind, last of the guard, the page below. */
            assert_int_equal(run_guest(s, guest_load, m->base + size), SV_ETRAP);
            assert_int_equal(s->thread.trap.code, SV_TRAP_MEMORY_BOUNDS);
            assert_string_equal(s->thread.trap.text, "out of bounds memory access");
            assert_int_equal(run_guest(s, guest_load16, m->base + size - 8), SV_ETRAP);
            assert_int_equal(run_guest(s, guest_store, m->base - 1), SV_ETRAP);
            if (m->guarded) {
                assert_int_equal(run_guest(s, guest_store, m->base + SV_GUARD_RESERVE - 1),
                                 SV_ETRAP);
                assert_int_equal(
                    run_guest(s, guest_load, m->base + UINT32_MAX + (uint64_t)UINT32_MAX),
                    SV_ETRAP);
            }
            sv_store_delete(s);
        }
    }
    sv_engine_unref(e);
}

static void test_growth(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store_limits l = sv_store_limits_default;
    struct sv_store *s;
    struct sv_memory *a, *b;

    (void)state;
    l.memory_bytes = 10 << 16;
    s = fake_store(e, &l);
    a = fake_memory(s, 1, 65536, false, false);
    b = fake_memory(s, 2, UINT64_MAX, true, false);
    assert_false(b->guarded);
    assert_int_equal(s->memory_used, 3 << 16);
    /* Where huge pages begin. */
    assert_true(!a->guarded || (uintptr_t)a->base % (2 * MIB) == 0);
    uint8_t *base = a->base;
    assert_int_equal(sv_memory_grow(a, 3), 1);
    assert_ptr_equal(a->base, base);
    a->base[(4 << 16) - 1] = 7;
    assert_int_equal(run_guest(s, guest_load, a->base + (4 << 16)), SV_ETRAP);
    /* The store's limit holds for all of them together, to the page. */
    assert_int_equal(sv_memory_grow(b, 5), -1);
    assert_int_equal(sv_memory_grow(b, 4), 2);
    assert_int_equal(sv_memory_grow(a, 1), -1);
    assert_int_equal(s->memory_used, 10 << 16);
    assert_int_equal(s->peak_memory, 10 << 16);
    b->base[(6 << 16) - 1] = 1;
    sv_store_delete(s);

    struct sv_memory_type big = {
        .limits = {.min = UINT64_C(1) << 47, .max = UINT64_MAX, .is64 = true}, .page_shift = 16};
    struct sv_err err = {0};
    s = fake_store(e, NULL);
    assert_int_equal(sv_memory_new(&err, s, &big, NULL, NULL, &a), SV_ELIMIT);
    big.limits.min = UINT64_C(1) << 20;
    err.code = 0;
    assert_int_equal(sv_memory_new(&err, s, &big, NULL, NULL, &a), SV_ELIMIT);
    assert_non_null(strstr(err.text, "limit"));
    sv_store_delete(s);
    sv_engine_unref(e);
}

static void test_small_pages(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);
    struct sv_memory_type t = {.limits = {.min = 5, .max = 70000, .has_max = true},
                               .page_shift = 0};
    struct sv_memory *m;
    struct sv_err err = {0};

    (void)state;
    assert_int_equal(sv_memory_new(&err, s, &t, NULL, NULL, &m), 0);
    assert_false(m->guarded);
    assert_int_equal(sv_memory_size(m), 5);
    assert_false(sv_memory_in_bounds(m, 5, 1));
    assert_int_equal(sv_memory_grow(m, 60000), 5);
    m->base[60004] = 1;
    assert_int_equal(sv_memory_pages(m), 60005);
    assert_int_equal(sv_memory_grow(m, 9996), -1);
    assert_int_equal(sv_memory_grow(m, 9995), 60005);
    m->base[69999] = 1;
    sv_store_delete(s);
    sv_engine_unref(e);
}

static void test_bounds_never_wrap(void **state)
{
    static const uint64_t far[] = {
        65536, 65537, UINT32_MAX, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX - 1, UINT64_MAX};
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);
    struct sv_memory *m = fake_memory(s, 1, 1, false, false);
    struct sv_thread *th = &s->thread;

    (void)state;
    for (unsigned i = 0; i < SV_COUNT(far); i++) {
        for (unsigned j = 0; j < SV_COUNT(far); j++) {
            assert_int_equal(sv_memory_fill(th, m, far[i], 1, far[j]), SV_TRAP_MEMORY_BOUNDS);
            assert_int_equal(sv_memory_copy(th, m, far[i], m, 0, far[j]), SV_TRAP_MEMORY_BOUNDS);
            assert_int_equal(sv_memory_copy(th, m, 0, m, far[i], far[j]), SV_TRAP_MEMORY_BOUNDS);
        }
        if (far[i] != 65536) {
            assert_int_equal(sv_memory_fill(th, m, far[i], 1, 0), SV_TRAP_MEMORY_BOUNDS);
            assert_int_equal(sv_memory_fill(th, m, 1, 1, far[i]), SV_TRAP_MEMORY_BOUNDS);
        }
    }
    assert_int_equal(sv_memory_fill(th, m, 65536, 1, 0), 0);
    assert_int_equal(sv_memory_copy(th, m, 65536, m, 65536, 0), 0);
    for (unsigned i = 0; i < 65536; i++)
        assert_int_equal(m->base[i], 0); /* nothing was written */
    sv_store_delete(s);
    sv_engine_unref(e);
}

static void test_copy_like_memmove(void **state)
{
    const uint64_t size = 4 * MIB;
    static const struct {
        uint64_t dst, src, len;
    } cases[] = {
        {0, 1, 3 * 1048576 + 5},
        {1, 0, 3 * 1048576 + 5},
        {100, 100, 2 * 1048576},
        {0, 65536, 3 * 1048576},
        {65536, 0, 3 * 1048576},
        {1048576, 0, 3 * 1048576},
        {0, 1048576, 3 * 1048576},
        {4194303, 0, 1},
        {0, 4194303, 1},
        {1048577, 3, 3 * 1048576 - 3},
        {3, 1048577, 3 * 1048576 - 3},
    };
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);
    struct sv_memory *m = fake_memory(s, size >> 16, size >> 16, false, false);
    uint8_t *model = sv_alloc(size);

    (void)state;
    for (unsigned c = 0; c < SV_COUNT(cases); c++) {
        for (uint64_t i = 0; i < size; i++)
            model[i] = m->base[i] = (uint8_t)(i * 7 + (i >> 8) + c);
        assert_int_equal(sv_memory_copy(&s->thread, m, cases[c].dst, m, cases[c].src, cases[c].len),
                         0);
        memmove(model + cases[c].dst, model + cases[c].src, cases[c].len);
        assert_memory_equal(model, m->base, size);
    }
    assert_int_equal(sv_memory_fill(&s->thread, m, 3, 0xaa, size - 4), 0);
    memset(model + 3, 0xaa, size - 4);
    assert_memory_equal(model, m->base, size);
    sv_free(model);
    sv_store_delete(s);
    sv_engine_unref(e);
}

static void test_gas(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);
    struct sv_memory *m = fake_memory(s, 1, 100, false, false);
    int64_t old;

    (void)state;
    sv_store_set_gas(s, 1000);
    assert_int_equal(sv_memory_fill(&s->thread, m, 0, 1, 64), 0);
    assert_int_equal(sv_store_gas_used(s), 1);
    assert_int_equal(sv_memory_copy(&s->thread, m, 0, m, 64, 65), 0);
    assert_int_equal(sv_store_gas_used(s), 3);
    assert_int_equal(sv_memory_grow_op(&s->thread, m, 2, &old), 0);
    assert_int_equal(old, 1);
    assert_int_equal(sv_store_gas_used(s), 3 + 128);
    /* A growth that fails costs nothing; one that cannot be paid does not happen. */
    assert_int_equal(sv_memory_grow_op(&s->thread, m, 1000, &old), 0);
    assert_int_equal(old, -1);
    assert_int_equal(sv_store_gas_used(s), 131);
    assert_int_equal(sv_memory_grow_op(&s->thread, m, 50, &old), SV_TRAP_GAS);
    assert_int_equal(sv_memory_pages(m), 3);
    m->base[0] = 9;
    assert_int_equal(sv_memory_fill(&s->thread, m, 0, 1, 65536), SV_TRAP_GAS);
    assert_int_equal(m->base[0], 9);
    assert_int_equal(sv_store_gas_used(s), 131);
    sv_store_delete(s);
    sv_engine_unref(e);
}

static bool is_zero(const uint8_t *p, uint64_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

/* Tenants that write here and there, in the same slot: the next one sees zeros, whatever has been
 * learned. */
static void test_recycling(void **state)
{
    struct sv_engine *e = fake_engine();
    uint64_t random = 88172645463325252u;
    uint8_t *first = NULL;
    unsigned reused = 0;

    (void)state;
    for (unsigned round = 0; round < 300; round++) {
        uint64_t pages = round % 50 == 49 ? 3 : 17, size = pages << 16;
        struct sv_store *s = fake_store(e, NULL);
        struct sv_memory *m = fake_memory(s, pages, 100, false, false);
        unsigned writes = round % 7 == 6 ? 200 : 4;

        reused += m->base == first;
        first = m->base;
        /* Looking makes pages resident without dirtying them: not always. */
        if (round % 3 == 0)
            assert_true(is_zero(m->base, size));
        for (unsigned i = 0; i < 4; i++)
            assert_true(is_zero(m->base + i * 8192, 4096));
        assert_true(is_zero((uint8_t *)s->thread.stack, round % 5 ? 65536 : s->thread.stack_size));
        for (unsigned i = 0; i < writes; i++) {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            m->base[writes == 4 ? i * 8192 + random % 4096 : random % size] = 0xcc;
        }
        memset(s->thread.stack, 0xcc, round % 11 ? 3000 : 100000);
        if (round % 13 == 0) {
            assert_int_equal(sv_memory_grow(m, 5), pages);
            memset(m->base + size, 0xdd, 5 << 16);
        }
        sv_store_delete(s);
        if (round % 13 == 0) {
            /* What was grown is out of reach for the next tenant. */
            s = fake_store(e, NULL);
            m = fake_memory(s, pages, pages, false, false);
            assert_true(is_zero(m->base, size));
            assert_int_equal(run_guest(s, guest_load, m->base + size), SV_ETRAP);
            sv_store_delete(s);
        }
    }
    assert_true(reused > 250);
    sv_engine_unref(e);
}

static void *write_from_here(void *arg)
{
    memset(arg, 0xee, 65536);
    return NULL;
}

/* The embedder has the pointer and writes from another thread, whose page faults we do not see. */
static void test_recycling_after_other_thread(void **state)
{
    struct sv_engine *e = fake_engine();

    (void)state;
    for (unsigned round = 0; round < 40; round++) {
        struct sv_store *s = fake_store(e, NULL);
        struct sv_memory *m = fake_memory(s, 4, 4, false, false);
        pthread_t t;

        m->base[0] = 1;
        /* The first rounds are for learning that one page is all that is touched. */
        if (round >= 20 && round % 4 == 0) {
            assert_int_equal(
                pthread_create(&t, NULL, write_from_here, sv_memory_expose(m) + (2 << 16)), 0);
            pthread_join(t, NULL);
        } else if (round >= 20 && round % 4 == 1) {
            assert_true(is_zero(m->base + 1, (4 << 16) - 1));
        }
        sv_store_delete(s);
    }
    sv_engine_unref(e);
}

/* ---- Tenants that touch much ---- */

#define FEW 4    /* pages that they begin with */
#define MUCH 192 /* 12 MiB: the system may give huge pages for what it grows by */
#define HUGE_PAGE (2 * MIB)
#define LARGEST 640 /* 40 MiB: more than what may stay resident */

static uint64_t next_random(void)
{
    static uint64_t random = 88172645463325252u;

    random ^= random << 13;
    random ^= random >> 7;
    random ^= random << 17;
    return random;
}

static uint64_t resident(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*u %llu", &pages), 1);
    fclose(f);
    return pages * sv_page_size();
}

static void assert_resident_below(uint64_t bytes)
{
#ifdef SSVM_SANITIZED
    bytes += 32 * MIB; /* the shadow of what was touched */
#endif
#ifdef SSVM_SANITIZED_THREADS
    bytes = UINT64_MAX; /* several times as much */
#endif
    assert_true(resident() < bytes);
}

/* Reads as what the system has just given. */
static void assert_fresh(const uint8_t *fresh, const struct sv_memory *m, uint64_t from,
                         uint64_t to)
{
    assert_memory_equal(m->base + from, fresh + from, to - from);
}

/* What the system may do at any time where a memory asked for huge pages. */
static void collapse(struct sv_memory *m)
{
#ifdef MADV_COLLAPSE
    uintptr_t size = sv_memory_size(m), at = (uintptr_t)m->base + next_random() % size;

    at &= ~(uintptr_t)(HUGE_PAGE - 1);
    if (at >= (uintptr_t)m->base && at + HUGE_PAGE <= (uintptr_t)m->base + size)
        madvise((void *)at, HUGE_PAGE, MADV_COLLAPSE);
#else
    (void)m;
#endif
}

/* All of it, pieces, or single bytes. */
static void write_somewhere(struct sv_memory *m, unsigned how)
{
    uint64_t size = sv_memory_size(m);

    if (how % 4 == 0)
        memset(m->base, 0xcc, size);
    for (unsigned i = 0; how % 4 == 1 && i < 40; i++) {
        uint64_t at = next_random() % size, len = next_random() % 300000;

        memset(m->base + at, 0xdd, len < size - at ? len : size - at);
    }
    for (unsigned i = 0; how % 4 > 1 && i < 300; i++)
        m->base[next_random() % size] = 0xee;
    m->base[size - 1] = 1;
}

/* They begin small, grow by much in one step or in several, or not at all, write everywhere or
 * here and there; pages are huge, small, and made huge under their hands: each sees what a fresh
 * mapping has, within its size and wherever it grows to, and nothing beyond. */
static void test_recycling_much(void **state)
{
    static const unsigned sizes[] = {MUCH, MUCH, MUCH, FEW + 1, MUCH + 64, LARGEST, MUCH, FEW};
    struct sv_engine *e = fake_engine();
    const uint8_t *fresh = mmap(NULL, (size_t)LARGEST << 16, PROT_READ,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    unsigned warm = 0;

    (void)state;
    assert_ptr_not_equal(fresh, MAP_FAILED);
    for (unsigned round = 0; round < 240; round++) {
        unsigned pages = round < 40 ? MUCH : sizes[next_random() % SV_COUNT(sizes)];
        unsigned steps = 1 + (unsigned)(next_random() % 3), looks = (unsigned)next_random();
        struct sv_store *s = fake_store(e, NULL);
        struct sv_memory *m = fake_memory(s, FEW, LARGEST, false, false);
        uint64_t size = FEW << 16;

        warm += m->region->nhot >= (MUCH << 16) / sv_page_size() / 2;
        assert_fresh(fresh, m, 0, size);
        for (unsigned i = 1; i <= steps; i++) {
            uint64_t more = (pages - FEW) * i / steps - (size >> 16) + FEW;

            assert_int_equal(run_guest(s, guest_load, m->base + size), SV_ETRAP);
            assert_int_equal(sv_memory_grow(m, more), size >> 16);
            /* Looking makes pages resident: not always. */
            if (looks & 1)
                assert_fresh(fresh, m, size, sv_memory_size(m));
            size = sv_memory_size(m);
            if (looks & 2)
                collapse(m);
        }
        assert_int_equal(size, (uint64_t)pages << 16);
        if (looks & 4)
            assert_fresh(fresh, m, 0, size);
        write_somewhere(m, round < 40 ? 0 : (unsigned)next_random());
        if (looks & 8)
            collapse(m);
        sv_store_delete(s);
    }
    assert_true(warm > 20);
    munmap((void *)(uintptr_t)fresh, (size_t)LARGEST << 16);
    sv_engine_unref(e);
}

/* Of the mapping at this address, as the system tells it. */
static bool has_flag(const uint8_t *at, const char *flag)
{
    unsigned long long from, to;
    char line[512];
    FILE *f = fopen("/proc/self/smaps", "r");
    bool here = false, found = false;

    assert_non_null(f);
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, "%llx-%llx ", &from, &to) == 2)
            here = (uintptr_t)at >= from && (uintptr_t)at < to;
        else if (here && strncmp(line, "VmFlags:", 8) == 0)
            found = strstr(line, flag);
    }
    fclose(f);
    return found;
}

/* A page for each MiB of the memory, and the last one. */
static void write_thinly(struct sv_memory *m)
{
    for (uint64_t at = 0; at < sv_memory_size(m); at += MIB)
        m->base[at] = 1;
    m->base[sv_memory_size(m) - 1] = 1;
}

/* Pages that become resident while nobody faults would be written unseen: none may become huge
 * where only few are hot, also not after a tenant that asked for huge ones. */
static void test_none_made_huge_meanwhile(void **state)
{
    struct sv_engine *e = fake_engine();

    (void)state;
    for (unsigned round = 0; round < 48; round++) {
        bool grows = round >= 24;
        struct sv_store *s = fake_store(e, NULL);
        struct sv_memory *m = fake_memory(s, grows ? FEW : MUCH, MUCH, false, false);

        if (grows)
            assert_int_equal(sv_memory_grow(m, MUCH - FEW), FEW);
        write_thinly(m);
        if (round % 4 == 3 && !grows) {
            for (unsigned i = 0; i < 100; i++)
                collapse(m);
            memset(m->base, 0xcc, (size_t)MUCH << 16);
        }
        sv_store_delete(s);
        if (round % 4 != 3)
            continue;
        s = fake_store(e, NULL);
        m = fake_memory(s, grows ? FEW : MUCH, MUCH, false, false);
        if (m->region->nhot)
            assert_true(has_flag(m->base + 11 * MIB, " nh"));
        assert_true(is_zero(m->base, sv_memory_size(m)));
        sv_store_delete(s);
    }
    sv_engine_unref(e);
}

struct writer {
    pthread_t id;
    struct sv_memory *m;
    unsigned part;
};

static void *write_part(void *arg)
{
    const struct writer *w = arg;
    uint64_t size = sv_memory_size(w->m) / 4;

    memset(w->m->base + w->part * size, 0x99, size);
    return NULL;
}

/* Memory that several threads write at once, after tenants whose many pages stayed. */
static void test_recycling_much_of_threads(void **state)
{
    struct sv_engine *e = fake_engine();
    const uint8_t *fresh = mmap(NULL, (size_t)MUCH << 16, PROT_READ,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    (void)state;
    assert_ptr_not_equal(fresh, MAP_FAILED);
    for (unsigned round = 0; round < 60; round++) {
        bool shared = round % 6 == 4, exposed = round % 6 == 5;
        struct sv_store *s = fake_store(e, NULL);
        struct sv_memory *m = fake_memory(s, FEW, MUCH, false, shared);
        struct writer w[4];

        assert_int_equal(sv_memory_grow(m, MUCH - FEW), FEW);
        if (round % 2)
            assert_fresh(fresh, m, 0, (uint64_t)MUCH << 16);
        else
            memset(m->base + (round % 3) * MIB, 0xcc, 9 * MIB);
        if (exposed)
            sv_memory_expose(m);
        for (unsigned i = 0; i < SV_COUNT(w) && (shared || exposed); i++) {
            w[i].m = m;
            w[i].part = i;
            assert_int_equal(pthread_create(&w[i].id, NULL, write_part, &w[i]), 0);
        }
        for (unsigned i = 0; i < SV_COUNT(w) && (shared || exposed); i++)
            pthread_join(w[i].id, NULL);
        sv_store_delete(s);
    }
    munmap((void *)(uintptr_t)fresh, (size_t)MUCH << 16);
    sv_engine_unref(e);
}

/* So many tenants at once, each in a memory of its own; then they end. */
static void crowd(struct sv_engine *e, unsigned n)
{
    struct sv_store *s[8];

    assert_true(n <= SV_COUNT(s));
    for (unsigned i = 0; i < n; i++) {
        struct sv_memory *m;

        s[i] = fake_store(e, NULL);
        m = fake_memory(s[i], MUCH, MUCH, false, false);
        memset(m->base, 0xcc, (size_t)MUCH << 16);
    }
    while (n > 0)
        sv_store_delete(s[--n]);
}

/* What stays of all together has a bound; it goes when it is asked for, and where tenants have not
 * touched it for a while. */
static void test_much_is_bounded(void **state)
{
    struct sv_engine *e = fake_engine();
    uint64_t before = resident() + 8 * MIB;

    (void)state;
    for (unsigned round = 0; round < 5; round++)
        crowd(e, 8);
    assert_resident_below(before + SV_POOL_KEPT_MAX);
    sv_pool_trim(e->pool);
    assert_resident_below(before);
    for (unsigned round = 0; round < 5; round++)
        crowd(e, 1);
    for (unsigned round = 0; round < 10; round++) {
        struct sv_store *s = fake_store(e, NULL);
        struct sv_memory *m = fake_memory(s, MUCH, MUCH, false, false);

        if (round == 0)
            assert_true(m->region->nhot > SV_REGION_HOT_MAX);
        m->base[0] = 1;
        sv_store_delete(s);
    }
    assert_resident_below(before);
    sv_engine_unref(e);
}

/* Under `ulimit -v` the guarded form does not fit: the checked one is used, and an impossible one
 * is refused with words. */
static void test_small_address_space(void **state)
{
#ifdef SSVM_SANITIZED
    (void)state;
    skip(); /* the sanitizers' shadow does not fit either */
#else
    int status;
    pid_t pid = fork();

    (void)state;
    if (pid == 0) {
        struct rlimit l = {UINT64_C(512) << 20, UINT64_C(512) << 20};
        struct sv_engine *e = fake_engine();
        struct sv_store *s = fake_store(e, NULL);
        struct sv_memory_type big = {.limits = {.min = 16384, .max = 65536, .has_max = true},
                                     .page_shift = 16};
        struct sv_memory *m, *b;
        struct sv_err err = {0};

        setrlimit(RLIMIT_AS, &l);
        m = fake_memory(s, 16, 65536, false, false);
        if (m->guarded || sv_memory_grow(m, 16) != 16 ||
            run_guest(s, guest_load, m->base + (32 << 16) - 1) != 0)
            _exit(1);
        if (sv_memory_grow(m, 65536 - 32) != -1)
            _exit(2);
        if (sv_memory_new(&err, s, &big, NULL, NULL, &b) != SV_ENOMEM ||
            !strstr(err.text, "address space"))
            _exit(3);
        sv_store_delete(s);
        sv_engine_unref(e);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_limits_and_access),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_small_pages),
        cmocka_unit_test(test_bounds_never_wrap),
        cmocka_unit_test(test_copy_like_memmove),
        cmocka_unit_test(test_gas),
        cmocka_unit_test(test_recycling),
        cmocka_unit_test(test_recycling_after_other_thread),
        cmocka_unit_test(test_recycling_much),
        cmocka_unit_test(test_none_made_huge_meanwhile),
        cmocka_unit_test(test_recycling_much_of_threads),
        cmocka_unit_test(test_much_is_bounded),
        cmocka_unit_test(test_small_address_space),
    };

    return cmocka_run_group_tests_name("runtime/memory", tests, NULL, NULL);
}
