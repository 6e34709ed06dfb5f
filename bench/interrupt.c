/* How late a guest ends after its deadline: the largest and the median of 50, in ms, for an endless
 * loop, memory.fill of 4 GiB, a poll_oneoff of an hour and a read from a silent pipe; by deadline,
 * and by ssvm_store_cancel from another thread. Not a test. */
#include <pthread.h>
#include <signal.h>
#include <ssvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "../test/unit/api/guests.h"

#define TIMES 50
#define DEADLINE_MS 20

static ssvm_engine *engine;
static ssvm_module *module;
static int silent[2];
static double cancelled_ms;

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void check(ssvm_error *error)
{
    if (!error)
        return;
    fprintf(stderr, "interrupt: %s\n", ssvm_error_message(error));
    exit(1);
}

static void *cancel(void *store)
{
    struct timespec pause = {.tv_nsec = DEADLINE_MS * 1000000L};

    nanosleep(&pause, NULL);
    cancelled_ms = now_ms();
    ssvm_store_cancel(store);
    return NULL;
}

/* ms after the end that was due. */
static double once(const char *name, bool by_cancel)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    ssvm_wasi wasi = SSVM_WASI_INIT;
    ssvm_instance *instance;
    ssvm_linker *linker;
    ssvm_store *store;
    ssvm_error *error;
    pthread_t thread;
    double start, end;

    wasi.in = (ssvm_stream){.kind = SSVM_STREAM_FD, .fd = silent[0]};
    limits.wall_ms = by_cancel ? 0 : DEADLINE_MS;
    check(ssvm_store_new(engine, &limits, &store));
    check(ssvm_linker_new(store, &linker));
    check(ssvm_linker_define_wasi(linker, &wasi));
    check(ssvm_linker_instantiate(linker, module, &instance));
    if (by_cancel)
        pthread_create(&thread, NULL, cancel, store);
    start = now_ms() + DEADLINE_MS;
    error = ssvm_func_call(store, ssvm_instance_func(instance, name), NULL, 0, NULL, 0);
    end = now_ms();
    if (by_cancel) {
        pthread_join(thread, NULL);
        start = cancelled_ms;
    }
    if (ssvm_error_trap_code(error) != (by_cancel ? SSVM_TRAP_CANCELLED : SSVM_TRAP_DEADLINE)) {
        fprintf(stderr, "interrupt: %s ended with: %s\n", name,
                error ? ssvm_error_message(error) : "nothing");
        exit(1);
    }
    ssvm_error_delete(error);
    ssvm_linker_delete(linker);
    ssvm_store_delete(store);
    return end - start;
}

static volatile sig_atomic_t rang;

static void ring(int sig)
{
    (void)sig;
    rang = 1;
}

/* The machine's own share: a C loop that waits for a timer's signal. */
static double control(void)
{
    struct itimerspec at = {.it_value = {.tv_nsec = DEADLINE_MS * 1000000L}};
    double start;
    timer_t timer;

    rang = 0;
    if (timer_create(CLOCK_MONOTONIC, NULL, &timer) != 0)
        exit(1);
    start = now_ms() + DEADLINE_MS;
    timer_settime(timer, 0, &at, NULL);
    while (!rang)
        ;
    start = now_ms() - start;
    timer_delete(timer);
    return start;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void print(const char *name, const char *how, double ms[TIMES])
{
    qsort(ms, TIMES, sizeof ms[0], compare);
    printf("%-5s %-8s largest lateness of %d: %6.3f ms, median %6.3f ms\n", name, how, TIMES,
           ms[TIMES - 1], ms[TIMES / 2]);
}

int main(void)
{
    static const char *const names[] = {"loop", "fill", "poll", "read"};
    double ms[TIMES], machine[TIMES];

    if (pipe(silent) != 0)
        return 1;
    signal(SIGALRM, ring);
    check(ssvm_engine_new(NULL, &engine));
    check(ssvm_module_new(engine, guest_interrupt, sizeof guest_interrupt, &module));
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++) {
        for (int by_cancel = 0; by_cancel < 2; by_cancel++) {
            for (int k = 0; k < TIMES; k++) {
                ms[k] = once(names[i], by_cancel);
                machine[k] = control();
            }
            print(names[i], by_cancel ? "cancel" : "deadline", ms);
            print("  C", "signal", machine); /* interleaved with the line above */
        }
    }
    ssvm_module_delete(module);
    ssvm_engine_delete(engine);
    return 0;
}
