/* libFuzzer: any calls of the inference modules with any arguments over any memory, with the fake
 * backend behind them (nn-fake.so beside this program, its crashes switched off) and models, names,
 * shapes and tensors that it knows in the memory. Aborts when memory of a store does not come back.
 * Not a check of results: the unit tests have those. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/library.h"
#include "host/nn/session.h"
#include "input.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEMORY (2u << 16)
#define CALLS_MAX 64
#define AT_INPUT 8192 /* where the rest of the input lies in the memory */
#define AT_NAMES 256  /* a name every 16 bytes */
#define AT_DIMS 512   /* shapes, and wasi-nn's tensors, every 32 bytes */
#define AT_MODELS 1024
#define MODEL_SIZE 576 /* bytes that each has */
#define HANDLES 16

static uint8_t *memory;
static struct sv_nn *nn;
static char named_path[] = "/tmp/ssvm-fuzz-nn-XXXXXX"; /* a model that has a name */

/* A model of TensorFlow Lite with words for the fake behind it. */
static const uint8_t lite[] = {
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wc23-extensions"
#embed "seeds/fuzz_model/1-111"
#pragma clang diagnostic pop
    , 'f', 'a', 'k', 'e', ':', 'i', 'n', '=', '2', 0};

static const char *const names[] = {"input",   "input1",  "output",
                                    "sum",     "runs",    "output:0",
                                    "input:1", "input:x", "input:99999999999"};

/* A frozen graph of one placeholder of this name, to `ret`: its length. */
static uint32_t put_graph(const char *name, uint8_t *ret)
{
    static const char op[] = "\x12\x0bPlaceholder";
    size_t len = strlen(name);

    ret[0] = 0x0a;
    ret[1] = (uint8_t)(len + 2 + sizeof op - 1);
    ret[2] = 0x0a;
    ret[3] = (uint8_t)len;
    memcpy(ret + 4, name, len);
    memcpy(ret + 4 + len, op, sizeof op - 1);
    return (uint32_t)(4 + len + sizeof op - 1);
}

/* The models' lengths, which arguments may be. */
static uint32_t lens[8];

static void put_models(void)
{
    static const char *const words[] = {"fake:in=2 cost=9", "fake:same",     "fake:scalar",
                                        "fake:odd-shape",   "fake:run-fail", "fake:huge=200000"};
    static const uint8_t onnx[] = "\x08\x08\x3a\x18\x0a\x16\x12\x03out\x1a\x09"
                                  "fake:in=3"
                                  "\x22\x04"
                                  "Conv";
    size_t n = sizeof words / sizeof words[0];

    for (size_t i = 0; i < n; i++)
        lens[i] = put_graph(words[i], memory + AT_MODELS + i * MODEL_SIZE);
    memcpy(memory + AT_MODELS + n * MODEL_SIZE, onnx, sizeof onnx - 1);
    lens[n] = sizeof onnx - 1;
    memcpy(memory + AT_MODELS + (n + 1) * MODEL_SIZE, lite, sizeof lite);
    lens[n + 1] = sizeof lite;
}

/* What guests have in their memory: wasi-nn's list of one model from 0 on, names, shapes, and
 * tensors over them. */
static void put_guest(void)
{
    static const int64_t shapes[][4] = {{1, 4}, {0, 4}, {-1, 4}, {INT64_MAX, 4}};
    const size_t nshapes = sizeof shapes / sizeof shapes[0];

    for (uint32_t i = 0; i < 8; i++) {
        uint32_t builder[2] = {AT_MODELS + i * MODEL_SIZE, lens[i]};
        uint32_t dims[2] = {1 + (i & 1), 4};
        uint32_t tensor[5] = {AT_DIMS + 128 + i * 32, 2, i % 4, AT_INPUT, 16 * dims[0]};

        memcpy(memory + i * sizeof builder, builder, sizeof builder);
        memcpy(memory + AT_DIMS + 128 + i * 32, dims, sizeof dims);
        memcpy(memory + AT_DIMS + 136 + i * 32, tensor, sizeof tensor);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        strncpy((char *)memory + AT_NAMES + i * 16, names[i], 16);
    for (size_t i = 0; i < nshapes; i++)
        memcpy(memory + AT_DIMS + i * 32, shapes[i], sizeof shapes[i]);
}

static void forget_named(void)
{
    unlink(named_path);
}

static void write_named(void)
{
    uint8_t bytes[64];
    uint32_t len = put_graph("fake:in=2", bytes);
    int fd = mkstemp(named_path);

    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len)
        abort();
    close(fd);
    atexit(forget_named);
}

static void hear(void *arg, const char *line)
{
    (void)arg;
    for (; *line; line++)
        if (*line < ' ' && *line > 0)
            abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static const struct sv_nn_choice fake[] = {{"fake", NULL}};
    const struct sv_nn_named named[] = {{"sum", named_path}, {"runs", "/nowhere"}};
    const struct sv_nn_config config = {.backends = fake,
                                        .nbackends = 1,
                                        .cache_bytes = 1 << 20,
                                        .tensor_bytes_max = 1 << 20,
                                        .models = named,
                                        .nmodels = 2,
                                        .log = hear};
    struct sv_err err = {0};
    void *library, *harmless;

    (void)argc;
    (void)argv;
    write_named();
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

    switch (how & 15) {
    case 0:
    case 1:
        return how >> 4;
    case 2:
    case 3:
    case 4:
        return known->list[how >> 4];
    case 5:
        return AT_MODELS + (how >> 4) % 8u * MODEL_SIZE;
    case 6:
        return lens[(how >> 4) % 8];
    case 7:
        return AT_NAMES + (how >> 4) % (sizeof names / sizeof names[0]) * 16u;
    case 8:
        return strlen(names[(how >> 4) % (sizeof names / sizeof names[0])]);
    case 9:
        return AT_DIMS + (how >> 4) * 32u;
    case 10:
        return AT_DIMS + 136 + (how >> 4) % 8u * 32u;
    case 11:
        return AT_INPUT + (how >> 4) * 16u;
    case 12:
        return (how >> 4) * 8u; /* in the list of models, too */
    case 13:
        return (how >> 4) * 16u;
    case 14:
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
    unsigned how = (unsigned)take(&in, 1);
    const struct sv_host_module *m = modules[how % SV_COUNT(modules)];
    struct known known = {{0}, 0};
    struct sv_call c;
    size_t ncalls = take(&in, 1) % CALLS_MAX;

    memset(&store, 0, sizeof store);
    store.thread.store = &store;
    store.first = &store;
    store.thread.wake_fd = -1;
    store.thread.cpu_left_ns = UINT64_MAX;
    store.limits.memory_bytes = 1 << 20;
    if (how >= 224) /* on another thread */
        store.thread.deadline_ns = sv_clock_ns() + UINT64_C(60000000000);
    inst.memory0 = &mem;
    c = (struct sv_call){.th = &store.thread, .inst = &inst};
    if (m->open(NULL, &store, nn, &c.data) != 0)
        abort();
    memset(memory, 0, MEMORY);
    put_models();
    put_guest();
    memcpy(memory + AT_INPUT, data, size < MEMORY - AT_INPUT ? size : MEMORY - AT_INPUT);
    for (size_t i = 0; i < ncalls && in.len > 0; i++)
        one_call(&c, m, &in, &known);
    m->close(c.data);
    if (store.thread.wake_fd >= 0)
        close(store.thread.wake_fd);
    if (store.memory_used != 0)
        abort();
    return 0;
}
