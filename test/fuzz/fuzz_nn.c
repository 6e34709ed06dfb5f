/* libFuzzer: any calls of the inference modules with any arguments over any memory, with the fake
 * backend behind them (nn-fake.so beside this program, its crashes switched off). Aborts when
 * memory of a store does not come back. Not a check of results: the unit tests have those. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/library.h"
#include "host/nn/session.h"
#include "input.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY (2u << 16)
#define CALLS_MAX 64
#define AT_INPUT 4096 /* where the rest of the input lies in the memory */
#define AT_MODEL 1024
#define HANDLES 16

static uint8_t *memory;
static struct sv_nn *nn;

static const uint8_t model[] = "\x0a\x1f\x0a\x10"
                               "fake:in=2 cost=9"
                               "\x12\x0bPlaceholder";

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct sv_nn_choice fake[] = {{"fake", NULL}};
    const struct sv_nn_config config = {
        .backends = fake, .nbackends = 1, .cache_bytes = 1 << 20, .tensor_bytes_max = 1 << 20};
    struct sv_err err = {0};
    void *library, *harmless;

    (void)argc;
    (void)argv;
    if (sv_library_open(&err, "nn-fake.so", NULL, &library) != 0 ||
        sv_nn_new(&err, &config, &nn) != 0) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
    harmless = dlsym(library, "fake_harmless");
    if (!harmless)
        abort();
    *(atomic_int *)harmless = 1;
    memory = mmap(NULL, 2 * MEMORY, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED || mprotect(memory, MEMORY, PROT_READ | PROT_WRITE) != 0)
        abort();
    return 0;
}

/* What earlier calls returned, or wrote where the guest's results go. */
struct known {
    uint64_t list[HANDLES];
    unsigned n;
};

static uint64_t argument(struct input *in, const struct known *known)
{
    uint8_t how = (uint8_t)take(in, 1);

    switch (how & 7) {
    case 0:
        return how >> 3;
    case 1:
    case 2:
        return known->list[(how >> 3) % HANDLES];
    case 3:
        return AT_MODEL;
    case 4:
        return sizeof model - 1;
    case 5:
        return AT_INPUT + (how >> 3) * 8u;
    case 6:
        return take(in, 2);
    default:
        return take(in, 8);
    }
}

static void one_call(struct sv_call *c, const struct sv_host_module *m, struct input *in,
                     struct known *known)
{
    const struct sv_host_func *f = &m->funcs[take(in, 1) % m->nfuncs];
    union sv_slot slots[16];
    size_t n = strcspn(f->sig, ":");
    int r;

    for (size_t i = 0; i < n; i++)
        slots[i].i64 = argument(in, known);
    r = f->fn(c, slots, slots);
    if (r != 0 && r != SV_ETRAP)
        abort();
    sv_trap_clear(&c->th->trap);
    if (f->sig[n + 1] == 'I')
        known->list[known->n++ % HANDLES] = slots[0].i64;
    else
        memcpy(&known->list[known->n++ % HANDLES], memory + AT_INPUT, 4);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct sv_host_module *const modules[] = {
        &sv_host_tensorflow, &sv_host_tensorflowlite, &sv_host_wasi_nn};
    static struct sv_store store;
    struct sv_instance inst = {0};
    struct sv_memory mem = {.base = memory, .size = MEMORY};
    struct input in = {data, size};
    const struct sv_host_module *m = modules[take(&in, 1) % SV_COUNT(modules)];
    uint32_t builder[2] = {AT_MODEL, sizeof model - 1};
    struct known known = {{0}, 0};
    struct sv_call c;
    size_t ncalls = take(&in, 1) % CALLS_MAX;

    memset(&store, 0, sizeof store);
    store.thread.store = &store;
    store.first = &store;
    store.thread.wake_fd = -1;
    store.thread.cpu_left_ns = UINT64_MAX;
    store.limits.memory_bytes = 1 << 20;
    inst.memory0 = &mem;
    c = (struct sv_call){.th = &store.thread, .inst = &inst};
    if (m->open(NULL, &store, nn, &c.data) != 0)
        abort();
    memset(memory, 0, MEMORY);
    memcpy(memory + AT_MODEL, model, sizeof model);
    memcpy(memory + 8, builder, sizeof builder);
    memcpy(memory + AT_INPUT, data, size < MEMORY - AT_INPUT ? size : MEMORY - AT_INPUT);
    for (size_t i = 0; i < ncalls && in.len > 0; i++)
        one_call(&c, m, &in, &known);
    m->close(c.data);
    if (store.memory_used != 0)
        abort();
    return 0;
}
