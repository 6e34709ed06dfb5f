/* Deadlines, CPU limits, cancellation, waiting. Times are bounds so wide that only a missed shot
 * breaks them, not a busy machine. */
#include "fake.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <time.h>
#include <unistd.h>

#include "../tsan.h"

#define MS UINT64_C(1000000)
#define LATE_MS 60000 /* "never" for a test; the bar of 10 ms is bench's */

/* Loops for ever in guest code. */
GUEST int guest_spin(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    (void)th;
    (void)f;
    (void)args;
#if TSAN
    /* It delivers signals at its own points only: loop there, and look at the flag. */
    while (sv_thread_ok(th))
        nanosleep(&(struct timespec){0, 1000}, NULL);
    return sv_thread_interrupted(th);
#else
    for (;;)
        __asm__ volatile("" ::: "memory");
    return 0;
#endif
}

static int spin(struct sv_store *s)
{
    union sv_slot none[1];

    return sv_func_call(&s->thread, fake_func(s, guest_spin), none);
}

static void expect_late(uint64_t start, uint64_t at_least_ms)
{
    uint64_t ms = (sv_clock_ns() - start) / MS;

    assert_true(ms + 1 >= at_least_ms);
    assert_true(ms < at_least_ms + LATE_MS);
}

static void test_deadline_in_guest(void **state)
{
    struct sv_engine *e = fake_engine();

    (void)state;
    for (int i = 0; i < 20; i++) {
        struct sv_store *s = fake_store(e, NULL);
        uint64_t start = sv_clock_ns();

        sv_store_set_deadline(s, start + 5 * MS);
        assert_int_equal(spin(s), SV_ETRAP);
        assert_int_equal(s->thread.trap.code, SV_TRAP_DEADLINE);
        assert_string_equal(s->thread.trap.text, "deadline exceeded");
        expect_late(start, 5);
        /* It is over: nothing runs any more, until a new one is set. */
        assert_int_equal(spin(s), SV_ETRAP);
        start = sv_clock_ns();
        sv_store_set_deadline(s, start + 2 * MS);
        assert_int_equal(spin(s), SV_ETRAP);
        expect_late(start, 2);
        sv_store_delete(s);
    }
    sv_engine_unref(e);
}

/* A shot that was armed for an earlier call must not stop a later one, and an early shot must arm
 * the later deadline. */
static void test_stale_shots(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);
    struct timespec nap = {0, 6 * (long)MS};
    uint64_t start = sv_clock_ns();

    (void)state;
    sv_store_set_deadline(s, start + 3 * MS);
    assert_int_equal(spin(s), SV_ETRAP);
    for (int i = 0; i < 10; i++) {
        start = sv_clock_ns();
        sv_store_set_deadline(s, start + (i % 2 ? 40 : 4) * MS);
        assert_int_equal(spin(s), SV_ETRAP);
        assert_int_equal(s->thread.trap.code, SV_TRAP_DEADLINE);
        expect_late(start, i % 2 ? 40 : 4);
        if (i == 5)
            nanosleep(&nap, NULL);
    }
    sv_store_delete(s);
    sv_engine_unref(e);
}

static void test_cpu_limit(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);
    uint64_t start = sv_clock_thread_ns();

    (void)state;
    sv_store_set_cpu_limit(s, 20 * MS);
    assert_int_equal(spin(s), SV_ETRAP);
    assert_int_equal(s->thread.trap.code, SV_TRAP_CPU_LIMIT);
    assert_true(sv_clock_thread_ns() - start >= 19 * MS);
    assert_true(sv_clock_thread_ns() - start < LATE_MS * MS);
    assert_int_equal(spin(s), SV_ETRAP);
    assert_int_equal(s->thread.trap.code, SV_TRAP_CPU_LIMIT);
    sv_store_delete(s);
    sv_engine_unref(e);
}

static void *cancel_later(void *arg)
{
    struct timespec nap = {0, 5 * (long)MS};

    nanosleep(&nap, NULL);
    sv_store_cancel(arg);
    return NULL;
}

static void test_cancel_in_guest(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);

    (void)state;
    for (int i = 0; i < 20; i++) {
        pthread_t t;

        assert_int_equal(pthread_create(&t, NULL, cancel_later, s), 0);
        assert_int_equal(spin(s), SV_ETRAP);
        assert_int_equal(s->thread.trap.code, SV_TRAP_CANCELLED);
        pthread_join(t, NULL);
        assert_int_equal(spin(s), SV_ETRAP); /* a later call is stopped too */
        sv_store_clear_interrupt(s);
    }
    sv_store_delete(s);
    sv_engine_unref(e);
}

/* The guest of one store calls, through a host function, the guest of another: the outer deadline
 * ends both. */
static int call_inner(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_store *inner = c->data;

    (void)arg;
    (void)ret;
    assert_int_equal(spin(inner), SV_ETRAP);
    assert_int_equal(inner->thread.trap.code, SV_TRAP_CANCELLED);
    assert_true(sv_thread_ok(&inner->thread)); /* its own state is clean */
    return 0;
}

static void test_nested_stores(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *outer = fake_store(e, NULL), *inner = fake_store(e, NULL);
    const struct sv_type *t = sv_types_func(e->types, NULL, 0, NULL, 0);
    struct sv_func *f = sv_func_new_host(outer, t, call_inner, inner, "test.inner", 0);
    union sv_slot none[1];

    (void)state;
    sv_store_set_deadline(outer, sv_clock_ns() + 5 * MS);
    assert_int_equal(sv_func_call(&outer->thread, f, none), SV_ETRAP);
    assert_int_equal(outer->thread.trap.code, SV_TRAP_DEADLINE);
    sv_store_delete(inner);
    sv_store_delete(outer);
    sv_engine_unref(e);
}

/* Many short calls with deadlines far away arm the timer once; each deadline is still met. */
static int nothing(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    (void)th;
    (void)f;
    (void)args;
    return 0;
}

static void test_many_short_calls(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);
    struct sv_func *f = fake_func(s, nothing);
    union sv_slot none[1];
    uint64_t start;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        sv_store_set_deadline(s, sv_clock_ns() + LATE_MS * MS);
        assert_int_equal(sv_func_call(&s->thread, f, none), 0);
    }
    start = sv_clock_ns();
    sv_store_set_deadline(s, start + 20 * MS);
    assert_int_equal(spin(s), SV_ETRAP);
    expect_late(start, 20);
    sv_store_delete(s);
    sv_engine_unref(e);
}

/* Host code that blocks in a system call is woken, wherever the signal finds it. */
static int read_pipe(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    int *fds = c->data;
    char byte;

    (void)arg;
    (void)ret;
    while (sv_thread_ok(c->th))
        if (read(fds[0], &byte, 1) < 0)
            assert_int_equal(errno, EINTR);
    return sv_thread_interrupted(c->th);
}

static int poll_wake(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct pollfd p = {.fd = sv_thread_wake_fd(c->th), .events = POLLIN};

    (void)arg;
    (void)ret;
    assert_true(p.fd >= 0);
    while (poll(&p, 1, 1000000) < 0)
        assert_int_equal(errno, EINTR);
    assert_false(sv_thread_ok(c->th));
    return 0; /* the runtime traps on the way back */
}

static void *cancel_soon(void *arg)
{
    struct timespec nap = {0, 3 * (long)MS};

    nanosleep(&nap, NULL);
    sv_store_cancel(arg);
    return NULL;
}

static void test_host_calls(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);
    const struct sv_type *t = sv_types_func(e->types, NULL, 0, NULL, 0);
    int fds[2];
    union sv_slot none[1];
    pthread_t thread;

    (void)state;
    assert_int_equal(pipe(fds), 0);
    struct sv_func *blocked = sv_func_new_host(s, t, read_pipe, fds, "test.read", 0);
    struct sv_func *polled = sv_func_new_host(s, t, poll_wake, NULL, "test.poll", 0);
    for (int i = 0; i < 10; i++) {
        uint64_t start = sv_clock_ns();

        sv_store_set_deadline(s, start + 4 * MS);
        assert_int_equal(sv_func_call(&s->thread, i % 2 ? blocked : polled, none), SV_ETRAP);
        assert_int_equal(s->thread.trap.code, SV_TRAP_DEADLINE);
        expect_late(start, 4);
        sv_store_set_deadline(s, 0);
        assert_int_equal(pthread_create(&thread, NULL, cancel_soon, s), 0);
        assert_int_equal(sv_func_call(&s->thread, i % 2 ? polled : blocked, none), SV_ETRAP);
        assert_int_equal(s->thread.trap.code, SV_TRAP_CANCELLED);
        pthread_join(thread, NULL);
        sv_store_clear_interrupt(s);
    }
    close(fds[0]);
    close(fds[1]);
    sv_store_delete(s);
    sv_engine_unref(e);
}

static int fill_all(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    struct sv_memory *m = th->store->memories[0];
    int code = 0;

    (void)f;
    (void)args;
    while (!code)
        code = sv_memory_fill(th, m, 0, 1, sv_memory_size(m));
    return sv_trap_raise(th, code);
}

/* Bulk operations stop between chunks, and what they leave can be used and reused. */
static void test_bulk_operations(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);
    union sv_slot none[1];
    uint64_t start = sv_clock_ns();

    (void)state;
    fake_memory(s, 512, 512, false, false);
    sv_store_set_deadline(s, start + 5 * MS);
    assert_int_equal(sv_func_call(&s->thread, fake_func(s, fill_all), none), SV_ETRAP);
    assert_int_equal(s->thread.trap.code, SV_TRAP_DEADLINE);
    expect_late(start, 5);
    sv_store_set_deadline(s, 0);
    assert_int_equal(sv_memory_fill(&s->thread, s->memories[0], 0, 0, 512 << 16), 0);
    sv_store_delete(s);
    sv_engine_unref(e);
}

static int wait_forever(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    uint32_t ret;
    int code = sv_memory_wait32(th, th->store->memories[0], 0, 0, -1, &ret);

    (void)f;
    (void)args;
    return code ? sv_trap_raise(th, code) : 0;
}

static void test_wait_is_interrupted(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);
    union sv_slot none[1];
    pthread_t thread;
    uint64_t start = sv_clock_ns();
    uint32_t n;

    (void)state;
    fake_memory(s, 1, 1, false, true);
    sv_store_set_deadline(s, start + 5 * MS);
    assert_int_equal(sv_func_call(&s->thread, fake_func(s, wait_forever), none), SV_ETRAP);
    assert_int_equal(s->thread.trap.code, SV_TRAP_DEADLINE);
    expect_late(start, 5);
    sv_store_set_deadline(s, 0);
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, s), 0);
    assert_int_equal(sv_func_call(&s->thread, fake_func(s, wait_forever), none), SV_ETRAP);
    assert_int_equal(s->thread.trap.code, SV_TRAP_CANCELLED);
    pthread_join(thread, NULL);
    assert_int_equal(sv_memory_notify(&s->thread, s->memories[0], 0, 100, &n), 0);
    assert_int_equal(n, 0); /* nobody was left in the list */
    sv_store_delete(s);
    sv_engine_unref(e);
}

/* ---- wait and notify ---- */

struct waiter {
    struct sv_engine *e;
    struct sv_memory *m;
    uint32_t result;
    int code;
};

static void *wait_thread(void *arg)
{
    struct waiter *w = arg;
    struct sv_store *s = fake_store(w->e, NULL);

    w->code = sv_memory_wait32(&s->thread, w->m, 64, 7, -1, &w->result);
    sv_store_delete(s);
    return NULL;
}

static void test_wait_and_notify(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);
    struct sv_memory *m = fake_memory(s, 1, 4, false, true),
                     *plain = fake_memory(s, 1, 1, false, false);
    struct sv_thread *th = &s->thread;
    struct waiter w[4];
    pthread_t t[4];
    uint32_t r = 99, woken = 0;

    (void)state;
    assert_int_equal(sv_memory_wait32(th, m, 64, 1, -1, &r), 0);
    assert_int_equal(r, 1); /* not equal */
    assert_int_equal(sv_memory_wait64(th, m, 64, 0, 1000, &r), 0);
    assert_int_equal(r, 2); /* timed out */
    assert_int_equal(sv_memory_wait32(th, m, 66, 0, 0, &r), SV_TRAP_UNALIGNED_ATOMIC);
    assert_int_equal(sv_memory_wait64(th, m, 68, 0, 0, &r), SV_TRAP_UNALIGNED_ATOMIC);
    assert_int_equal(sv_memory_wait32(th, m, 65536, 0, 0, &r), SV_TRAP_MEMORY_BOUNDS);
    assert_int_equal(sv_memory_wait32(th, m, UINT64_MAX - 3, 0, 0, &r), SV_TRAP_MEMORY_BOUNDS);
    assert_int_equal(sv_memory_wait32(th, plain, 0, 0, 0, &r), SV_TRAP_NOT_SHARED);
    assert_int_equal(sv_memory_notify(th, plain, 0, 1, &r), 0);
    assert_int_equal(r, 0);
    assert_int_equal(sv_memory_notify(th, m, 2, 1, &r), SV_TRAP_UNALIGNED_ATOMIC);
    atomic_store((_Atomic uint32_t *)(void *)(m->base + 64), 7);
    for (int i = 0; i < 4; i++) {
        w[i] = (struct waiter){.e = e, .m = m, .result = 99};
        assert_int_equal(pthread_create(&t[i], NULL, wait_thread, &w[i]), 0);
    }
    assert_int_equal(sv_memory_notify(th, m, 68, UINT32_MAX, &r), 0);
    assert_int_equal(r, 0);
    while (woken < 4) {
        assert_int_equal(sv_memory_notify(th, m, 64, woken < 2 ? 1 : UINT32_MAX, &r), 0);
        assert_true(r <= (woken < 2 ? 1 : 4));
        woken += r;
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        assert_int_equal(w[i].code, 0);
        assert_int_equal(w[i].result, 0);
    }
    sv_store_delete(s);
    sv_engine_unref(e);
}

/* Growing in one thread while others look at the size and use what they saw: the base does not
 * move. */
static void *grow_thread(void *arg)
{
    struct sv_memory *m = arg;

    for (int i = 0; i < 50; i++) {
        int64_t old = sv_memory_grow(m, 1);

        assert_true(old >= 1);
        atomic_fetch_add((_Atomic uint32_t *)(void *)(m->base + ((uint64_t)old << 16)), 1);
    }
    return NULL;
}

static void test_shared_growth(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store *s = fake_store(e, NULL);
    struct sv_memory *m = sv_memory_ref(fake_memory(s, 1, 201, false, true));
    uint8_t *base = m->base;
    pthread_t t[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&t[i], NULL, grow_thread, m), 0);
    sv_store_delete(s); /* the memory and what it needs live on */
    sv_engine_unref(e);
    for (int i = 0; i < 4; i++)
        pthread_join(t[i], NULL);
    assert_ptr_equal(m->base, base);
    assert_int_equal(sv_memory_pages(m), 201);
    for (uint64_t i = 1; i < 201; i++)
        assert_int_equal(*(uint32_t *)(void *)(base + (i << 16)), 1);
    assert_int_equal(sv_memory_grow(m, 1), -1);
    sv_memory_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deadline_in_guest),   cmocka_unit_test(test_stale_shots),
        cmocka_unit_test(test_cpu_limit),           cmocka_unit_test(test_cancel_in_guest),
        cmocka_unit_test(test_nested_stores),       cmocka_unit_test(test_many_short_calls),
        cmocka_unit_test(test_host_calls),          cmocka_unit_test(test_bulk_operations),
        cmocka_unit_test(test_wait_is_interrupted), cmocka_unit_test(test_wait_and_notify),
        cmocka_unit_test(test_shared_growth),
    };

    return cmocka_run_group_tests_name("runtime/interrupt", tests, NULL, NULL);
}
