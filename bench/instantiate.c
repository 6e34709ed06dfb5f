/* What a fresh sandbox costs: store + WASI + instance + call + delete of a tiny module, in ns, by a
 * linker and by a template. Prints one line each: the least of the rounds, and the median. Not a
 * test. */
#include <ssvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define ROUNDS 21
#define PER_ROUND 2000

/* Imports fd_write and proc_exit, has a memory of one page, 8 bytes of data, and a `_start` that
 * returns. */
static const unsigned char guest[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, /* magic, version */
    0x01, 0x10, 0x03, 0x60, 0x04, 0x7f, 0x7f, 0x7f, 0x7f, 0x01, 0x7f, 0x60, 0x01, 0x7f, /* types */
    0x00, 0x60, 0x00, 0x00,                                                             /* */
    0x02, 0x46, 0x02, /* imports */
    0x16, 'w',  'a',  's',  'i',  '_',  's',  'n',  'a',  'p',  's',  'h',  'o',  't',
    '_', /* */
    'p',  'r',  'e',  'v',  'i',  'e',  'w',  '1',  0x08, 'f',  'd',  '_',  'w',  'r',
    'i',                    /* */
    't',  'e',  0x00, 0x00, /* */
    0x16, 'w',  'a',  's',  'i',  '_',  's',  'n',  'a',  'p',  's',  'h',  'o',  't',
    '_', /* */
    'p',  'r',  'e',  'v',  'i',  'e',  'w',  '1',  0x09, 'p',  'r',  'o',  'c',  '_',
    'e',                          /* */
    'x',  'i',  't',  0x00, 0x01, /* */
    0x03, 0x02, 0x01, 0x02,       /* functions */
    0x05, 0x03, 0x01, 0x00, 0x01, /* memory */
    0x07, 0x13, 0x02, 0x06, 'm',  'e',  'm',  'o',  'r',  'y',  0x02, 0x00, 0x06, '_',
    's',                                /* exports */
    't',  'a',  'r',  't',  0x00, 0x02, /* */
    0x0a, 0x04, 0x01, 0x02, 0x00, 0x0b, /* code */
    0x0b, 0x0e, 0x01, 0x00, 0x41, 0x08, 0x0b, 0x08, 'd',  'a',  't',  'a',  'd',  'a',
    't', /* data */
    'a',
};

static ssvm_engine *engine;
static ssvm_module *module;
static ssvm_template *template;
static ssvm_limits limits = SSVM_LIMITS_INIT;

static void check(ssvm_error *error)
{
    if (!error)
        return;
    fprintf(stderr, "instantiate: %s\n", ssvm_error_message(error));
    exit(1);
}

static double now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static void by_store(void)
{
    ssvm_store *store;

    check(ssvm_store_new(engine, &limits, &store));
    ssvm_store_delete(store);
}

static void by_linker(void)
{
    ssvm_wasi wasi = SSVM_WASI_INIT;
    ssvm_instance *instance;
    ssvm_linker *linker;
    ssvm_store *store;

    check(ssvm_store_new(engine, &limits, &store));
    check(ssvm_linker_new(store, &linker));
    check(ssvm_linker_define_wasi(linker, &wasi));
    check(ssvm_linker_instantiate(linker, module, &instance));
    check(ssvm_instance_start(instance));
    ssvm_linker_delete(linker);
    ssvm_store_delete(store);
}

static void by_template(void)
{
    ssvm_wasi wasi = SSVM_WASI_INIT;
    ssvm_instance *instance;
    ssvm_store *store;

    check(ssvm_store_new(engine, &limits, &store));
    check(ssvm_template_instantiate(template, store, &wasi, &instance));
    check(ssvm_instance_start(instance));
    ssvm_store_delete(store);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static void measure(const char *name, void (*fn)(void))
{
    double ns[ROUNDS];

    for (int r = 0; r < ROUNDS; r++) {
        double start = now_ns();

        for (int i = 0; i < PER_ROUND; i++)
            fn();
        ns[r] = (now_ns() - start) / PER_ROUND;
    }
    qsort(ns, ROUNDS, sizeof ns[0], compare);
    printf("%-24s least %6.0f ns, median %6.0f ns\n", name, ns[0], ns[ROUNDS / 2]);
}

int main(void)
{
    ssvm_wasi wasi = SSVM_WASI_INIT;
    ssvm_linker *linker;
    ssvm_store *store;

    limits.wall_ms = 10000;
    check(ssvm_engine_new(NULL, &engine));
    check(ssvm_module_new(engine, guest, sizeof guest, &module));
    check(ssvm_store_new(engine, NULL, &store));
    check(ssvm_linker_new(store, &linker));
    check(ssvm_linker_define_wasi(linker, &wasi));
    check(ssvm_template_new(linker, module, &template));
    ssvm_linker_delete(linker);
    ssvm_store_delete(store);

    measure("store", by_store);
    measure("linker, whole request", by_linker);
    measure("template, whole request", by_template);
    ssvm_template_delete(template);
    ssvm_module_delete(module);
    ssvm_engine_delete(engine);
    return 0;
}
