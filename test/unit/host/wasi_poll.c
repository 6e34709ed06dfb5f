/* WASI: poll_oneoff, and that a deadline or a cancel ends every wait. */
#include "guest.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include "base/clock.h"

/* An hour, and what is far too long for an interrupted wait on any machine. */
#define HOUR_NS UINT64_C(3600000000000)
#define FAR_NS UINT64_C(20000000000)

static void put_clock(struct guest *g, uint32_t i, uint64_t id, uint32_t clock, uint64_t timeout,
                      uint16_t flags)
{
    struct sv_wasi_abi_subscription s = {.userdata = id, .type = SV_WASI_EVENT_CLOCK};

    s.clock.id = clock;
    s.clock.timeout = timeout;
    s.clock.flags = flags;
    guest_put(g, AT_DATA + i * sizeof s, &s, sizeof s);
}
static void put_fd(struct guest *g, uint32_t i, uint64_t id, uint8_t type, uint32_t fd)
{
    struct sv_wasi_abi_subscription s = {.userdata = id, .type = type};

    s.fd = fd;
    guest_put(g, AT_DATA + i * sizeof s, &s, sizeof s);
}
#define AT_EVENTS (AT_DATA + (1 << 17))

static int poll_n(struct guest *g, uint32_t n)
{
    return CALL(g, "poll_oneoff", AT_DATA, AT_EVENTS, n, AT_RET);
}
static struct sv_wasi_abi_event event(struct guest *g, uint32_t i)
{
    struct sv_wasi_abi_event e;

    memcpy(&e, g->memory.base + AT_EVENTS + i * sizeof e, sizeof e);
    return e;
}

static void times(void **state)
{
    struct sv_wasi_grant grant = {.coarse_clock = true};
    struct guest g;
    uint64_t start;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    start = sv_clock_ns();
    put_clock(&g, 0, 1, SV_WASI_CLOCK_MONOTONIC, HOUR_NS, 0);
    put_clock(&g, 1, 2, SV_WASI_CLOCK_REALTIME, 3000000, 0);
    put_clock(&g, 2, 3, SV_WASI_CLOCK_MONOTONIC, UINT64_MAX, 0);
    assert_int_equal(poll_n(&g, 3), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 1);
    assert_int_equal(event(&g, 0).userdata, 2);
    assert_true(sv_clock_ns() - start >= 3000000);
    put_clock(&g, 0, 4, SV_WASI_CLOCK_REALTIME, sv_clock_wall_ns() + 2000000, 1);
    start = sv_clock_ns();
    assert_int_equal(poll_n(&g, 1), 0);
    assert_true(sv_clock_ns() - start >= 1000000);
    put_clock(&g, 0, 5, SV_WASI_CLOCK_REALTIME, 1, 1);
    put_clock(&g, 1, 6, SV_WASI_CLOCK_PROCESS, HOUR_NS, 0);
    put_clock(&g, 2, 7, 9, HOUR_NS, 0);
    assert_int_equal(poll_n(&g, 3), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 3);
    assert_int_equal(event(&g, 0).error, 0);
    assert_int_equal(event(&g, 1).error, SV_WASI_ENOTSUP);
    assert_int_equal(event(&g, 2).error, SV_WASI_EINVAL);
    guest_close(&g);
}

/* must-pass 39: subscriptions. */
static void bounds(void **state)
{
    struct sv_wasi_grant grant = {0};
    struct guest g;
    uint32_t i;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(poll_n(&g, 0), SV_WASI_EINVAL);
    assert_int_equal(poll_n(&g, 4097), SV_WASI_EINVAL);
    assert_int_equal(poll_n(&g, 1000000), SV_WASI_EINVAL);
    assert_int_equal(poll_n(&g, UINT32_MAX), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "poll_oneoff", GUEST_SIZE - 47, 0, 1, AT_RET), SV_WASI_EFAULT);
    assert_int_equal(CALL(&g, "poll_oneoff", 0, GUEST_SIZE - 31, 1, AT_RET), SV_WASI_EFAULT);
    assert_int_equal(CALL(&g, "poll_oneoff", 0, 0, 1, GUEST_SIZE - 3), SV_WASI_EFAULT);
    put_fd(&g, 0, 1, 3, 0);
    assert_int_equal(poll_n(&g, 1), SV_WASI_EINVAL);
    /* as many as are allowed, all on one stream; events over subscriptions */
    for (i = 0; i < 2730; i++)
        put_fd(&g, i, i, i % 2 ? SV_WASI_EVENT_READ : SV_WASI_EVENT_WRITE, i % 2 ? 0 : 1);
    assert_int_equal(CALL(&g, "poll_oneoff", AT_DATA, AT_DATA, 2730, AT_RET), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 2730);
    for (i = 0; i < 2730; i++)
        assert_int_equal(guest_u64(&g, AT_DATA + 32 * i), i);
    guest_close(&g);
}

static void descriptors(void **state)
{
    struct sv_wasi_grant grant = {.in = {.kind = SV_WASI_STREAM_FD},
                                  .out = {.kind = SV_WASI_STREAM_FD}};
    int in[2], out[2];
    struct guest g;

    (void)state;
    assert_int_equal(pipe(in), 0);
    assert_int_equal(pipe(out), 0);
    grant.in.fd = in[0];
    grant.out.fd = out[1];
    guest_open(&g, &sv_host_wasi, &grant);
    put_fd(&g, 0, 1, SV_WASI_EVENT_READ, 0);
    put_clock(&g, 1, 2, SV_WASI_CLOCK_MONOTONIC, 1000000, 0);
    assert_int_equal(poll_n(&g, 2), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 1);
    assert_int_equal(event(&g, 0).userdata, 2);
    assert_int_equal(write(in[1], "abc", 3), 3);
    put_fd(&g, 1, 2, SV_WASI_EVENT_WRITE, 1);
    put_fd(&g, 2, 3, SV_WASI_EVENT_READ, 99);
    put_fd(&g, 3, 4, SV_WASI_EVENT_READ, 1);
    put_clock(&g, 4, 5, SV_WASI_CLOCK_MONOTONIC, HOUR_NS, 0);
    assert_int_equal(poll_n(&g, 5), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 4);
    assert_int_equal(event(&g, 0).nbytes, 3);
    assert_int_equal(event(&g, 1).userdata, 2);
    assert_int_equal(event(&g, 2).error, SV_WASI_EBADF);
    assert_int_equal(event(&g, 3).error, SV_WASI_EBADF);
    assert_int_equal(guest_read(&g, 0, 3), 3);
    close(in[1]);
    put_fd(&g, 0, 1, SV_WASI_EVENT_READ, 0);
    assert_int_equal(poll_n(&g, 1), 0);
    assert_int_equal(event(&g, 0).flags, SV_WASI_EVENT_HANGUP);
    assert_int_equal(event(&g, 0).nbytes, 0);
    guest_close(&g);
    close(in[0]);
    close(out[0]);
    close(out[1]);
}

/* Sets the interruption after a while and sends the signal, as the runtime does. */
struct canceller {
    struct sv_thread *th;
    pthread_t target;
};
static void *cancel_later(void *arg)
{
    struct canceller *c = arg;

    usleep(20000);
    atomic_store(&c->th->interrupt, SV_INTERRUPT_CANCEL);
    pthread_kill(c->target, SIGURG);
    return NULL;
}
static void nothing(int sig)
{
    (void)sig;
}

static int block(struct guest *g, int how)
{
    switch (how) {
    case 0:
        put_clock(g, 0, 1, SV_WASI_CLOCK_MONOTONIC, HOUR_NS, 0);
        return poll_n(g, 1);
    case 1:
        put_fd(g, 0, 1, SV_WASI_EVENT_READ, 0);
        return poll_n(g, 1);
    case 2:
        return (int)-guest_read(g, 0, 1);
    default:
        put_clock(g, 0, 1, SV_WASI_CLOCK_REALTIME, UINT64_MAX, 1);
        return poll_n(g, 1);
    }
}

static void interrupted(void **state)
{
    struct sv_wasi_grant grant = {.in = {.kind = SV_WASI_STREAM_FD}};
    struct sigaction sa = {.sa_handler = nothing};
    struct canceller c = {.target = pthread_self()};
    pthread_t thread;
    struct guest g;
    uint64_t start;
    int how, in[2];

    (void)state;
    sigaction(SIGURG, &sa, NULL);
    assert_int_equal(pipe(in), 0);
    grant.in.fd = in[0];
    guest_open(&g, &sv_host_wasi, &grant);
    c.th = &g.store.thread;
    for (how = 0; how < 4; how++) {
        start = sv_clock_ns();
        g.store.thread.deadline_ns = start + 10000000;
        assert_int_equal(block(&g, how), SV_ETRAP);
        assert_true(sv_clock_ns() - start >= 10000000);
        assert_true(sv_clock_ns() - start < FAR_NS);
        assert_int_equal(g.store.thread.interrupt, SV_INTERRUPT_DEADLINE);
        g.store.thread.deadline_ns = 0;
        atomic_store(&g.store.thread.interrupt, 0);
        /* from another thread */
        start = sv_clock_ns();
        assert_int_equal(pthread_create(&thread, NULL, cancel_later, &c), 0);
        assert_int_equal(block(&g, how), SV_ETRAP);
        assert_true(sv_clock_ns() - start < FAR_NS);
        pthread_join(thread, NULL);
        /* already there before the call */
        assert_int_equal(block(&g, how), SV_ETRAP);
        atomic_store(&g.store.thread.interrupt, 0);
    }
    guest_close(&g);
    close(in[0]);
    close(in[1]);
}

/* The runtime's eventfd ends a wait, too; readable without an interruption it ends nothing. */
static void woken(void **state)
{
    struct sv_wasi_grant grant = {.in = {.kind = SV_WASI_STREAM_FD}};
    uint64_t one = 1;
    struct guest g;
    int in[2], fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    (void)state;
    assert_int_equal(pipe(in), 0);
    grant.in.fd = in[0];
    guest_open(&g, &sv_host_wasi, &grant);
    g.store.thread.wake_fd = fd;
    put_clock(&g, 0, 1, SV_WASI_CLOCK_MONOTONIC, 2000000, 0);
    put_fd(&g, 1, 2, SV_WASI_EVENT_READ, 0);
    assert_int_equal(poll_n(&g, 2), 0);
    assert_int_equal(event(&g, 0).userdata, 1);
    assert_int_equal(write(fd, &one, sizeof one), sizeof one);
    assert_int_equal(poll_n(&g, 2), 0);
    assert_int_equal(event(&g, 0).userdata, 1);
    atomic_store(&g.store.thread.interrupt, SV_INTERRUPT_CPU);
    put_clock(&g, 0, 1, SV_WASI_CLOCK_MONOTONIC, HOUR_NS, 0);
    assert_int_equal(poll_n(&g, 2), SV_ETRAP);
    guest_close(&g);
    close(fd);
    close(in[0]);
    close(in[1]);
}

static void old_layout(void **state)
{
    struct sv_wasi_grant grant = {0};
    struct sv_wasi_abi_subscription_p0 s[2] = {{.userdata = 7, .type = SV_WASI_EVENT_CLOCK},
                                               {.userdata = 8, .type = SV_WASI_EVENT_CLOCK}};
    struct guest g;

    (void)state;
    s[0].clock.id = s[1].clock.id = SV_WASI_CLOCK_MONOTONIC;
    s[0].clock.identifier = 99;
    s[0].clock.timeout = HOUR_NS;
    s[1].clock.timeout = 1000;
    guest_open(&g, &sv_host_wasi, &grant);
    g.era = 2;
    guest_put(&g, AT_DATA, s, sizeof s);
    assert_int_equal(poll_n(&g, 2), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 1);
    assert_int_equal(event(&g, 0).userdata, 8);
    guest_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times),       cmocka_unit_test(bounds),     cmocka_unit_test(descriptors),
        cmocka_unit_test(interrupted), cmocka_unit_test(old_layout), cmocka_unit_test(woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
