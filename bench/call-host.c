/* What a call of the host costs: an empty host function called from a guest, against an empty C
 * function called through a pointer, in ns of CPU time, alternating in one run. Not a test.
 *
 *   call-host [interp|aot]...   none: both
 *
 * Two functions of the host: `module` is one of a host module's table (ssvm_meter.memory_limit,
 * which loads a number), `embedder` one of nothing that was defined with ssvm_linker_define_func.
 * Each also in a store that counts gas. */
#include <ssvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ROUNDS 60
#define CALLS 8       /* in a turn of the guest's loop */
#define TURNS 100000u /* in a round */

static void check(ssvm_error *error)
{
    if (!error)
        return;
    fprintf(stderr, "call-host: %s\n", ssvm_error_message(error));
    exit(1);
}

static double cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* ---- The guest: (n: i32) -> i32, n turns of CALLS calls ---- */

struct bytes {
    unsigned char at[512];
    size_t n;
};

static void put(struct bytes *b, size_t n, const char *s)
{
    memcpy(b->at + b->n, s, n);
    b->n += n;
}

static void put_section(struct bytes *b, char id, const struct bytes *body)
{
    put(b, 3, (char[]){id, (char)(body->n % 128 + 128), (char)(body->n / 128)});
    put(b, body->n, (const char *)body->at);
}

#define PUT(b, ...) put(b, sizeof((char[]){__VA_ARGS__}), (char[]){__VA_ARGS__})

/* A loop around `one`, in which local 0 counts down and local 1 is the result. */
static void put_loop(struct bytes *code, size_t n, const char *one)
{
    struct bytes f = {.n = 0};

    PUT(&f, 1, 1, 0x7f, 0x03, 0x40);
    for (int i = 0; i < CALLS; i++)
        put(&f, n, one);
    PUT(&f, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b, 0x20, 1, 0x0b);
    PUT(code, (char)(f.n % 128 + 128), (char)(f.n / 128));
    put(code, f.n, (const char *)f.at);
}

static void make_guest(struct bytes *b)
{
    struct bytes code = {.n = 0}, imports = {.n = 0}, exports = {.n = 0};

    put(b, 8, "\0asm\1\0\0\0");
    put(b, 15, "\1\x0d\3\x60\0\1\x7e\x60\1\x7f\1\x7f\x60\0\0"); /* () -> i64, (i32) -> i32, () */
    PUT(&imports, 2, 10);
    put(&imports, 10, "ssvm_meter");
    put(&imports, 15, "\14memory_limit\0\0");
    put(&imports, 16, "\5bench\7nothing\0\2");
    put_section(b, 2, &imports);
    put(b, 5, "\3\3\2\1\1");
    put(&exports, 21,
        "\2\6module\0\2\x8"
        "embedder\0\3");
    put_section(b, 7, &exports);
    PUT(&code, 2);
    put_loop(&code, 3, "\x10\0\x1a"); /* call, drop */
    put_loop(&code, 2, "\x10\1");
    put_section(b, 10, &code);
}

/* ---- The host ---- */

static ssvm_error *nothing(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    (void)data;
    (void)c;
    (void)args;
    (void)ret;
    return NULL;
}

/* ---- The same in C ---- */

static uint64_t limit = UINT64_C(1) << 32;

static __attribute__((noinline)) uint64_t native_module(const void *c)
{
    (void)c;
    return limit;
}

static __attribute__((noinline)) void native_embedder(const void *c)
{
    (void)c;
    __asm__ volatile(""); /* so that the call is made */
}

/* Read again at each call, as a table of functions is. */
static uint64_t (*volatile module_pointer)(const void *) = native_module;
static void (*volatile embedder_pointer)(const void *) = native_embedder;
static volatile uint64_t sink;

static void native_round(bool module)
{
    uint64_t y = 0;

    for (uint32_t i = 0; i < TURNS && module; i++) {
#pragma GCC unroll 8
        for (int k = 0; k < CALLS; k++)
            y = module_pointer(&limit);
    }
    for (uint32_t i = 0; i < TURNS && !module; i++) {
#pragma GCC unroll 8
        for (int k = 0; k < CALLS; k++)
            embedder_pointer(&limit);
    }
    sink = y;
}

/* ---- Measuring ---- */

struct side {
    ssvm_store *store;
    ssvm_func *func;
};

static double native_ns(bool module)
{
    double start = cpu_ns();

    native_round(module);
    return (cpu_ns() - start) / TURNS / CALLS;
}

static double guest_ns(const struct side *s)
{
    ssvm_val arg = {.kind = SSVM_I32, .of.i32 = TURNS}, ret;
    double start = cpu_ns();

    check(ssvm_func_call(s->store, s->func, &arg, 1, &ret, 1));
    return (cpu_ns() - start) / TURNS / CALLS;
}

static void least(double *best, double now)
{
    if (now < *best)
        *best = now;
}

static void measure(ssvm_engine *engine, const char *tier, const ssvm_module *module)
{
    static const char *const names[] = {"module", "embedder"};
    ssvm_functype *type = ssvm_functype_new(NULL, 0, NULL, 0);

    for (int gas = 0; gas < 2; gas++) {
        ssvm_limits limits = SSVM_LIMITS_INIT;
        ssvm_instance *instance;
        ssvm_linker *linker;
        ssvm_store *store;

        limits.gas = gas ? SSVM_GAS_COUNT : 0;
        check(ssvm_store_new(engine, &limits, &store));
        check(ssvm_linker_new(store, &linker));
        check(ssvm_linker_define_func(linker, "bench", "nothing", type, nothing, NULL, NULL));
        check(ssvm_linker_instantiate(linker, module, &instance));
        for (int k = 0; k < 2; k++) {
            struct side s = {store, ssvm_instance_func(instance, names[k])};
            double native = 1e9, guest = 1e9;

            for (int i = 0; i < ROUNDS; i++) {
                least(&native, native_ns(k == 0));
                least(&guest, guest_ns(&s));
            }
            printf("%-6s %-8s %-7s %7.2f ns, native %5.2f ns, ratio %5.2f\n", tier, names[k],
                   gas ? "gas" : "no-gas", guest, native, guest / native);
        }
        ssvm_linker_delete(linker);
        ssvm_store_delete(store);
    }
    ssvm_functype_delete(type);
}

int main(int argc, char **argv)
{
    static const char *const tiers[] = {"interp", "aot"};
    struct bytes guest = {.n = 0};

    make_guest(&guest);
    for (size_t i = 0; i < sizeof tiers / sizeof tiers[0]; i++) {
        ssvm_config config = SSVM_CONFIG_INIT;
        ssvm_engine *engine;
        ssvm_module *module;
        bool wanted = argc < 2;

        for (int k = 1; k < argc; k++)
            wanted = wanted || strcmp(argv[k], tiers[i]) == 0;
        if (!wanted)
            continue;
        config.tier = tiers[i];
        check(ssvm_engine_new(&config, &engine));
        check(ssvm_module_new(engine, guest.at, guest.n, &module));
        measure(engine, tiers[i], module);
        ssvm_module_delete(module);
        ssvm_engine_delete(engine);
    }
    return 0;
}
