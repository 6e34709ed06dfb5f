/* How late a guest ends after its deadline: the largest and the median of 50, in ms, for an endless
 * loop, memory.fill of 4 GiB, a poll_oneoff of an hour and a read from a silent pipe, a loop that
 * LLVM makes a vector loop, calls, and a recursion 3,000 frames deep; by deadline, and by
 * ssvm_store_cancel from another thread. Not a test.
 *
 *   interrupt [LIBSSVM-AOT.SO]   interpreted; with the compiler's library: native code */
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

/* clang-format off */
/* vector: adds to each word of 1 MB, again and again; calls: of a leaf; deep: down and up. */
static const unsigned char guest_compute[] = {
    0x00,0x61,0x73,0x6d,0x01,0x00,0x00,0x00,0x01,0x09,0x02,0x60,0x01,0x7f,0x01,0x7f,
    0x60,0x00,0x00,0x03,0x06,0x05,0x00,0x01,0x01,0x00,0x01,0x05,0x03,0x01,0x00,0x10,
    0x07,0x19,0x03,0x06,0x76,0x65,0x63,0x74,0x6f,0x72,0x00,0x01,0x05,0x63,0x61,0x6c,
    0x6c,0x73,0x00,0x02,0x04,0x64,0x65,0x65,0x70,0x00,0x04,0x0a,0x6c,0x05,0x0a,0x00,
    0x20,0x00,0x41,0x07,0x6a,0x41,0x1f,0x6c,0x0b,0x2b,0x01,0x01,0x7f,0x03,0x40,0x41,
    0x00,0x21,0x00,0x03,0x40,0x20,0x00,0x20,0x00,0x28,0x02,0x00,0x41,0x03,0x6a,0x36,
    0x02,0x00,0x20,0x00,0x41,0x04,0x6a,0x22,0x00,0x41,0xc0,0x84,0x3d,0x49,0x0d,0x00,
    0x0b,0x0c,0x00,0x0b,0x0b,0x0f,0x01,0x01,0x7f,0x03,0x40,0x20,0x00,0x10,0x00,0x21,
    0x00,0x0c,0x00,0x0b,0x0b,0x15,0x00,0x20,0x00,0x45,0x04,0x7f,0x41,0x00,0x05,0x41,
    0x01,0x20,0x00,0x41,0x01,0x6b,0x10,0x03,0x6a,0x0b,0x0b,0x0d,0x00,0x03,0x40,0x41,
    0xb8,0x17,0x10,0x03,0x1a,0x0c,0x00,0x0b,0x0b,
};
/* clang-format on */

static ssvm_engine *engine;
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
static double once(ssvm_module *module, const char *name, bool by_cancel)
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
    printf("%-6s %-8s largest lateness of %d: %6.3f ms, median %6.3f ms\n", name, how, TIMES,
           ms[TIMES - 1], ms[TIMES / 2]);
}

static void measure(const char *tier, const char *library, const unsigned char *bytes, size_t len,
                    const char *const *names)
{
    ssvm_config config = SSVM_CONFIG_INIT;
    double ms[TIMES], machine[TIMES];
    ssvm_module *module;

    config.tier = tier;
    config.compiler_library = library;
    check(ssvm_engine_new(&config, &engine));
    check(ssvm_module_new(engine, bytes, len, &module));
    for (; *names; names++) {
        for (int by_cancel = 0; by_cancel < 2; by_cancel++) {
            for (int k = 0; k < TIMES; k++) {
                ms[k] = once(module, *names, by_cancel);
                machine[k] = control();
            }
            print(*names, by_cancel ? "cancel" : "deadline", ms);
            print("  C", "signal", machine); /* interleaved with the line above */
        }
    }
    ssvm_module_delete(module);
    ssvm_engine_delete(engine);
}

int main(int argc, char **argv)
{
    static const char *const waits[] = {"loop", "fill", "poll", "read", NULL};
    static const char *const computes[] = {"vector", "calls", "deep", NULL};
    const char *library = argc > 1 ? argv[1] : NULL, *tier = library ? "aot" : "interp";

    if (pipe(silent) != 0)
        return 1;
    signal(SIGALRM, ring);
    measure(tier, library, guest_interrupt, sizeof guest_interrupt, waits);
    measure(tier, library, guest_compute, sizeof guest_compute, computes);
    return 0;
}
