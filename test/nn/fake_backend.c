/* A backend for tests, built as nn-fake.so: arithmetic that a test can do itself, and faults at the
 * model's word. A model is any bytes that have "fake:" in them, words separated by blanks, and a
 * zero or the end after them:
 *   load-fail  refuse     load-sleep=MS     load-crash    cost=BYTES
 *   run-exit   escape (tries what an isolated process may not, and tells what it could)
 *   run-fail   sleep=MS   run-crash         odd-shape     odd-data    huge=BYTES   stubborn
 *   spin=MS    (CPU time)                   gated (waits until fake_gate is set)
 *   session-sleep=MS (when one is made)     slow-cancel=MS (until it takes effect)
 *   same       the output is the input, where that is
 *   behind     the sum has what can be read behind an input's end, too
 *   in=N       inputs "input", "input1", ... (f32 [-1, 4], 1 unless told)
 *   scalar     the input is an f32 without dimensions
 * Outputs: "output" = 2 * input + 1, of its shape; "sum" = the sum of all inputs' elements, f32
 * without dimensions; "runs" = how often this session has run, i64. `sleep` ends early at cancel
 * unless `stubborn`. */
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ssvm_nn.h"

#define WORDS_MAX 512

struct model {
    char words[WORDS_MAX];
    uint32_t ninputs;
};
struct session {
    struct model *model;
    float *output;
    float sum;
    int64_t runs;
    void *huge;
    atomic_bool cancelled;
};

/* What a test may look at, and count. */
__attribute__((visibility("default"))) atomic_int fake_loads, fake_models, fake_sessions, fake_runs;
/* What runs of `gated` models wait for, and the library `gated` when it is opened. */
__attribute__((visibility("default"))) atomic_int fake_gate;
/* Set by the fuzzer, which would find the crashes: what takes the process down or time does not. */
__attribute__((visibility("default"))) atomic_int fake_harmless;

static int fails(char *error, const char *what)
{
    snprintf(error, SSVM_NN_ERROR_MAX, "%s", what);
    return -1;
}

/* The word's value; -1: it is not there. */
static long word(const struct model *m, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = m->words; (at = strstr(at, name)); at += len)
        if ((at == m->words || at[-1] == ' ') &&
            (at[len] == ' ' || at[len] == '\0' || at[len] == '='))
            return at[len] == '=' ? strtol(at + len + 1, NULL, 10) : 0;
    return -1;
}

static void pause_ms(long ms, atomic_bool *until)
{
    struct timespec t = {.tv_nsec = 1000000};

    for (; ms > 0 && !(until && atomic_load(until)); ms--)
        nanosleep(&t, NULL);
}

static void spin_ms(long ms, atomic_bool *until)
{
    struct timespec start, now;

    if (atomic_load(&fake_harmless))
        return;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &start);
    do
        clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < ms &&
           !atomic_load(until));
}

static void do_harm(const struct model *m, const char *sleep_word, const char *crash_word,
                    atomic_bool *until)
{
    if (atomic_load(&fake_harmless))
        return;
    pause_ms(word(m, sleep_word), until);
    if (word(m, crash_word) >= 0)
        raise(SIGSEGV);
}

/* What gets out of here, as words. */
static int escape(char *error)
{
    int could = 0, fd = -1;
    char at[SSVM_NN_ERROR_MAX] = "";

#define COULD(what, condition)                                                                     \
    if (condition) {                                                                               \
        strncat(at, " " what, sizeof at - strlen(at) - 1);                                         \
        could++;                                                                                   \
    }
    COULD("files", (fd = open("/etc/passwd", O_RDONLY)) >= 0)
    COULD("write", (fd = open("/tmp/ssvm-nn-escaped", O_WRONLY | O_CREAT, 0600)) >= 0)
    COULD("network", (fd = socket(AF_INET, SOCK_STREAM, 0)) >= 0)
    COULD("kill", kill(getppid(), 0) == 0)
    COULD("fork", (fd = fork()) >= 0)
    if (could && fd == 0)
        _exit(0);
    COULD("environment", getenv("SSVM_TEST_SECRET") || getenv("HOME"))
    for (int i = 4; i < 64; i++) { /* 3 is its socket */
        char name[32], to[32] = "";

        snprintf(name, sizeof name, "/proc/self/fd/%d", i);
        COULD("descriptor", readlink(name, to, sizeof to - 1) > 0 && !strstr(to, "/memfd:ssvm-nn"))
    }
#undef COULD
    snprintf(error, SSVM_NN_ERROR_MAX, "could:%.200s", could ? at : " nothing");
    return -1;
}

static int fake_open(const struct ssvm_nn_options *o, char *error, void **ret)
{
    static int lib;

    if (strcmp(o->device, "cpu") != 0 && strcmp(o->device, "toy") != 0) {
        snprintf(error, SSVM_NN_ERROR_MAX, "there is no device '%s': there are cpu, toy",
                 o->device);
        return -1;
    }
    if (o->library && strstr(o->library, "absent"))
        return fails(error, "the library is absent");
    while (o->library && strcmp(o->library, "gated") == 0 && !atomic_load(&fake_gate))
        pause_ms(1, NULL);
    *ret = &lib;
    return 0;
}

static void fake_close(void *lib)
{
    (void)lib;
}

static const char *fake_version(void *lib)
{
    (void)lib;
    return "Fake 1.0";
}

static int fake_devices(void *lib, char *error, char *ret, size_t size)
{
    (void)lib;
    (void)error;
    snprintf(ret, size, "cpu,toy");
    return 0;
}

static int fake_load(void *lib, enum ssvm_nn_format format, const void *bytes, size_t len,
                     char *error, void **ret, size_t *ret_cost)
{
    const char *at = memmem(bytes, len, "fake:", 5);
    struct model *m;
    size_t n;
    long inputs;

    (void)lib;
    (void)format;
    atomic_fetch_add(&fake_loads, 1);
    if (!at)
        return fails(error, "not a model of the fake");
    m = calloc(1, sizeof *m);
    if (!m)
        return fails(error, "out of memory");
    at += 5;
    n = (size_t)((const char *)bytes + len - at);
    n = n < WORDS_MAX - 1 ? n : WORDS_MAX - 1;
    n = strnlen(at, n);
    while (n > 0 && memchr(at, '\x12', n)) /* the next field of a protobuf */
        n = (size_t)((const char *)memchr(at, '\x12', n) - at);
    memcpy(m->words, at, n);
    inputs = word(m, "in");
    m->ninputs = inputs > 0 ? (uint32_t)inputs : 1;
    do_harm(m, "load-sleep", "load-crash", NULL);
    if (word(m, "load-fail") >= 0) {
        free(m);
        return fails(error, "told to fail");
    }
    atomic_fetch_add(&fake_models, 1);
    *ret_cost = word(m, "cost") > 0 ? (size_t)word(m, "cost") : 0;
    *ret = m;
    return 0;
}

static void fake_unload(void *model)
{
    atomic_fetch_sub(&fake_models, 1);
    free(model);
}

static int fake_describe(void *model, int output, uint32_t position, struct ssvm_nn_port *port,
                         struct ssvm_nn_tensor *t)
{
    static const char *const outputs[] = {"output", "sum", "runs"};
    struct model *m = model;

    if (position >= (output ? 3 : m->ninputs))
        return 1;
    memset(port, 0, sizeof *port);
    memset(t, 0, sizeof *t);
    t->type = SSVM_NN_F32;
    if (output)
        snprintf(port->name, sizeof port->name, "%s", outputs[position]);
    else
        snprintf(port->name, sizeof port->name, position ? "input%u" : "input", position);
    if (output && position == 2)
        t->type = SSVM_NN_I64;
    if (word(m, "scalar") < 0 && !(output && position > 0)) {
        t->rank = 2;
        t->dims[0] = -1;
        t->dims[1] = 4;
    }
    return 0;
}

static int fake_session_new(void *model, char *error, void **ret)
{
    struct session *s = calloc(1, sizeof *s);

    if (!s)
        return fails(error, "out of memory");
    s->model = model;
    if (!atomic_load(&fake_harmless))
        pause_ms(word(model, "session-sleep"), NULL);
    atomic_fetch_add(&fake_sessions, 1);
    *ret = s;
    return 0;
}

static void fake_session_delete(void *session)
{
    struct session *s = session;

    atomic_fetch_sub(&fake_sessions, 1);
    free(s->output);
    free(s->huge);
    free(s);
}

/* Which of n names; -1: none. */
static long position(const struct ssvm_nn_port *p, int output, struct model *m)
{
    struct ssvm_nn_port port;
    struct ssvm_nn_tensor t;

    for (uint32_t i = 0; fake_describe(m, output, i, &port, &t) == 0; i++)
        if (p->name[0] ? strcmp(p->name, port.name) == 0 && p->index == 0 : p->index == i)
            return i;
    return -1;
}

/* The sum, and the first input's elements to s->output. */
static int compute(struct session *s, const struct ssvm_nn_port *ports,
                   const struct ssvm_nn_tensor *inputs, uint32_t ninputs, char *error,
                   const struct ssvm_nn_tensor **ret_first)
{
    const size_t behind = word(s->model, "behind") >= 0 ? SSVM_NN_SLACK / sizeof(float) : 0;

    *ret_first = NULL;
    s->sum = 0;
    for (uint32_t i = 0; i < ninputs; i++) {
        const float *in = inputs[i].data;
        size_t n = inputs[i].len / sizeof *in;
        long at = position(&ports[i], 0, s->model);

        if (at < 0 || inputs[i].type != SSVM_NN_F32)
            return fails(error, at < 0 ? "there is no such input" : "the input is of another type");
        if ((uintptr_t)in % 64)
            return fails(error, "the input is not aligned");
        for (size_t k = 0; k < n + behind; k++)
            s->sum += in[k];
        if (at > 0)
            continue;
        *ret_first = &inputs[i];
        free(s->output);
        s->output = calloc(n + 1, sizeof *s->output);
        for (size_t k = 0; s->output && k < n; k++)
            s->output[k] = 2 * in[k] + 1;
    }
    return *ret_first && s->output ? 0 : fails(error, "an input was not given");
}

static int fake_run(void *session, const struct ssvm_nn_port *ports,
                    const struct ssvm_nn_tensor *inputs, uint32_t ninputs,
                    const struct ssvm_nn_port *wanted, struct ssvm_nn_tensor *ret, uint32_t nwanted,
                    char *error)
{
    struct session *s = session;
    const struct ssvm_nn_tensor *first;
    long huge = atomic_load(&fake_harmless) ? -1 : word(s->model, "huge");

    s->runs++;
    atomic_fetch_add(&fake_runs, 1);
    do_harm(s->model, "sleep", "run-crash", word(s->model, "stubborn") < 0 ? &s->cancelled : NULL);
    spin_ms(word(s->model, "spin"), &s->cancelled);
    while (word(s->model, "gated") >= 0 && !atomic_load(&fake_gate) && !atomic_load(&fake_harmless))
        pause_ms(1, NULL);
    if (word(s->model, "run-exit") >= 0 && !atomic_load(&fake_harmless))
        _exit(42);
    if (word(s->model, "escape") >= 0 && !atomic_load(&fake_harmless))
        return escape(error);
    if (word(s->model, "run-fail") >= 0)
        return fails(error, "told to fail");
    if (atomic_load(&s->cancelled))
        return fails(error, "cancelled");
    if (compute(s, ports, inputs, ninputs, error, &first) != 0)
        return -1;
    for (uint32_t i = 0; i < nwanted; i++) {
        long at = position(&wanted[i], 1, s->model);

        if (at < 0)
            return fails(error, "there is no such output");
        memset(&ret[i], 0, sizeof ret[i]);
        if (at == 0) {
            ret[i] = *first;
            ret[i].data = word(s->model, "same") >= 0 ? first->data : s->output;
        } else {
            ret[i].type = at == 1 ? SSVM_NN_F32 : SSVM_NN_I64;
            ret[i].data = at == 1 ? (void *)&s->sum : (void *)&s->runs;
            ret[i].len = at == 1 ? sizeof s->sum : sizeof s->runs;
        }
        if (word(s->model, "odd-shape") >= 0) {
            ret[i].rank = 1;
            ret[i].dims[0] = -5;
        }
        if (word(s->model, "odd-data") >= 0)
            ret[i].data = NULL;
        if (huge > 0 && at == 0) {
            if (!s->huge)
                s->huge = calloc((size_t)huge, 1);
            ret[i] = (struct ssvm_nn_tensor){.type = SSVM_NN_U8,
                                             .rank = 1,
                                             .dims = {huge},
                                             .data = s->huge,
                                             .len = (size_t)huge};
        }
    }
    return 0;
}

static void fake_cancel(void *session)
{
    struct session *s = session;

    pause_ms(word(s->model, "slow-cancel"), NULL);
    atomic_store(&s->cancelled, true);
}

const struct ssvm_nn_backend *ssvm_nn_backend(void)
{
    static const struct ssvm_nn_backend backend = {
        .abi = SSVM_NN_ABI,
        .id = "fake",
        .title = "Fake",
        .formats = (1u << SSVM_NN_FORMATS) - 1,
        .soname = "libfake.so",
        .open = fake_open,
        .close = fake_close,
        .version = fake_version,
        .devices = fake_devices,
        .load = fake_load,
        .unload = fake_unload,
        .describe = fake_describe,
        .session_new = fake_session_new,
        .session_delete = fake_session_delete,
        .run = fake_run,
        .cancel = fake_cancel,
    };

    return &backend;
}
