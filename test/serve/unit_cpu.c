/* CPU time: what srv_cpu_ns says is what the system says, whatever happens to the thread between.
 */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "serve/cpu.h"

#define ROUNDS_MAX 50

static volatile unsigned sink;
static _Atomic int stop;

static void work(unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++)
        sink += i;
}

static void *compete(void *arg)
{
    while (!stop)
        work(10000);
    return arg;
}

static void on_signal(int number)
{
    (void)number;
}

/* The system's clock is read around ours: ours must lie between, but for what an interruption
 * between the two readings of an anchor can cost (some microseconds), and for what counts for one
 * of the clocks and not for the other: interrupts, and time that a virtual machine was not given.
 */
static bool agrees_once(unsigned kind)
{
    const struct timespec pause = {.tv_nsec = 50000};
    uint64_t system = sv_clock_thread_ns(), ours = srv_cpu_ns(sv_clock_ns()), worst = 0;

    for (unsigned i = 0; i < 2000; i++) {
        uint64_t a, b, c;
        int64_t low, high;

        work((unsigned)(rand() % 20000));
        if (kind == 1 && i % 3 == 0)
            nanosleep(&pause, NULL);
        if (kind == 2)
            sched_yield();
        if (kind == 3 && i % 5 == 0)
            raise(SIGUSR1);
        a = sv_clock_thread_ns() - system;
        b = srv_cpu_ns(sv_clock_ns()) - ours;
        c = sv_clock_thread_ns() - system;
        low = (int64_t)(a - b);
        high = (int64_t)(b - c);
        if (low > 0 && (uint64_t)low > worst)
            worst = (uint64_t)low;
        if (high > 0 && (uint64_t)high > worst)
            worst = (uint64_t)high;
    }
    print_message("kind %u: %llu ns off at worst, of %llu\n", kind, (unsigned long long)worst,
                  (unsigned long long)(sv_clock_thread_ns() - system));
    return worst < (sv_clock_thread_ns() - system) / 50 + 100000;
}

/* The best of many rounds: what happens to the machine is not ours. A word that the kernel does not
 * clear is wrong in every one. */
static void agrees(unsigned kind)
{
    for (unsigned i = 0; i < ROUNDS_MAX; i++)
        if (agrees_once(kind))
            return;
    fail_msg("kind %u: in no round did the clocks agree", kind);
}

/* A second that the clock saw, and the kernel did not count: a host took it. */
static void *lose_a_second(void *arg)
{
    const struct timespec pause = {.tv_nsec = 1000};
    uint64_t *ret = arg;

    (void)srv_cpu_ns(sv_clock_ns());
    ret[0] = srv_cpu_ns(sv_clock_ns() + 1000000000);
    nanosleep(&pause, NULL);
    ret[1] = srv_cpu_ns(sv_clock_ns());
    return NULL;
}

static void goes_forward(void **state)
{
    uint64_t seen[2];
    pthread_t thread;

    (void)state;
    assert_int_equal(pthread_create(&thread, NULL, lose_a_second, seen), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(seen[1] >= seen[0]);
}

static void alone(void **state)
{
    (void)state;
    agrees(0);
}

static void asleep(void **state)
{
    (void)state;
    agrees(1);
}

static void yielding(void **state)
{
    (void)state;
    agrees(2);
}

static void with_signals(void **state)
{
    (void)state;
    signal(SIGUSR1, on_signal);
    agrees(3);
}

/* More threads than processors: we are taken from ours again and again. */
static void crowded(void **state)
{
    pthread_t threads[8];

    (void)state;
    stop = 0;
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, compete, NULL), 0);
    agrees(4);
    stop = 1;
    for (size_t i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(goes_forward), cmocka_unit_test(alone),        cmocka_unit_test(asleep),
        cmocka_unit_test(yielding),     cmocka_unit_test(with_signals), cmocka_unit_test(crowded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
