/* A guest of the inference modules and the fake backend (test/nn/fake_backend.c): for their unit
 * tests. */
#ifndef TEST_UNIT_HOST_NN_H
#define TEST_UNIT_HOST_NN_H

#include <dlfcn.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/library.h"
#include "guest.h"
#include "host/nn/session.h"

/* Places in the guest's memory. */
enum {
    AT_MODEL = 64 << 10,
    AT_NAME = 4 << 10,
    AT_DIMS = 8 << 10,
    AT_IN = 12 << 10,
    AT_OUT = 20 << 10
};

/* Bits of sv_host_func.names. */
enum { ERA_SSVM = 1, ERA_WASMEDGE = 2, ERA_ERRNO = 4 };

/* Lines of the log, behind each other. */
struct log {
    char text[16384];
    size_t len;
    unsigned lines;
};
static inline void log_add(void *arg, const char *line)
{
    struct log *l = arg;

    l->lines++;
    l->len += (size_t)snprintf(l->text + l->len, sizeof l->text - l->len, "%s\n", line);
    if (l->len >= sizeof l->text)
        l->len = sizeof l->text - 1;
}
static inline void log_clear(struct log *l)
{
    memset(l, 0, sizeof *l);
}
static inline void log_has(const struct log *l, const char *text)
{
    if (!strstr(l->text, text))
        fail_msg("the log lacks '%s': %s", text, l->text);
}

/* A grant of the fake alone. */
static inline struct sv_nn *fake_grant(const struct sv_nn_config *more, struct log *log)
{
    static const struct sv_nn_choice fake[] = {{"fake", NULL}};
    struct sv_nn_config config = more ? *more : (struct sv_nn_config){0};
    struct sv_err err = {0};
    struct sv_nn *nn;

    if (!config.nbackends) {
        config.backends = fake;
        config.nbackends = 1;
    }
    config.log = log_add;
    config.arg = log;
    if (sv_nn_new(&err, &config, &nn) != 0)
        fail_msg("%s", err.text);
    return nn;
}

/* A counter or switch of the fake. */
static inline atomic_int *fake_int(const char *name)
{
    struct sv_err err = {0};
    void *library;
    atomic_int *n;

    if (sv_library_open(&err, "nn-fake.so", NULL, &library) != 0)
        fail_msg("%s", err.text);
    n = dlsym(library, name);
    assert_non_null(n);
    return n;
}
static inline int fake_count(const char *name)
{
    return atomic_load(fake_int(name));
}

/* Until all that was left behind has ended. */
static inline void wait_idle(struct sv_nn *nn)
{
    for (int i = 0; i < 60000; i++) {
        uint32_t n;

        pthread_mutex_lock(&nn->workers.lock);
        n = nn->workers.nleft;
        pthread_mutex_unlock(&nn->workers.lock);
        if (n == 0)
            return;
        usleep(1000);
    }
    fail_msg("a run never ends");
}

/* A frozen graph of one placeholder whose name is "fake:WORDS", to `ret`: its length. */
static inline uint32_t fake_model(const char *words, uint8_t *ret, size_t size)
{
    static const char op[] = "Placeholder";
    size_t name = strlen(words) + 5, node = 2 + name + 2 + strlen(op);

    assert_true(node < 128 && size >= node + 2);
    ret[0] = 0x0a;
    ret[1] = (uint8_t)node;
    ret[2] = 0x0a;
    ret[3] = (uint8_t)name;
    memcpy(ret + 4, "fake:", 5);
    memcpy(ret + 9, words, name - 5);
    ret[4 + name] = 0x12;
    ret[5 + name] = (uint8_t)strlen(op);
    memcpy(ret + 6 + name, op, strlen(op));
    return (uint32_t)node + 2;
}
static inline uint32_t put_model(struct guest *g, const char *words)
{
    return fake_model(words, g->memory.base + AT_MODEL, 256);
}
static inline uint64_t put_name(struct guest *g, const char *name)
{
    guest_put(g, AT_NAME, name, strlen(name));
    return strlen(name);
}

/* Of the functions with handles. */
#define HANDLE(g, name, ...)                                                                       \
    guest_handle((g), (name), (const uint64_t[]){__VA_ARGS__},                                     \
                 sizeof((const uint64_t[]){__VA_ARGS__}) / sizeof(uint64_t))
static inline uint64_t open_session(struct guest *g, const char *words)
{
    return HANDLE(g, "create_session", AT_MODEL, put_model(g, words));
}
/* n floats 0, 1, 2... as [n / 4, 4] to the input. */
static inline void give_input(struct guest *g, uint64_t session, const char *name, uint32_t n)
{
    int64_t dims[2] = {n / 4, 4};

    for (uint32_t i = 0; i < n; i++) {
        float v = (float)i;

        guest_put(g, AT_IN + 4 * i, &v, 4);
    }
    /* not aligned, as guests may */
    guest_put(g, AT_DIMS + 1, dims, sizeof dims);
    HANDLE(g, "append_input", session, AT_NAME, put_name(g, name), 0, AT_DIMS + 1, 2, 1, AT_IN,
           4 * n);
}
static inline uint64_t output_of(struct guest *g, uint64_t session, const char *name)
{
    return HANDLE(g, "get_output_tensor", session, AT_NAME, put_name(g, name), 0);
}
static inline void want(struct guest *g, uint64_t session, const char *name)
{
    HANDLE(g, "append_output", session, AT_NAME, put_name(g, name), 0);
}
static inline float out_f32(const struct guest *g, uint32_t i)
{
    float v;

    memcpy(&v, g->memory.base + AT_OUT + 4 * i, 4);
    return v;
}
/* Runs a session of the words with eight numbers: 0, or the status. */
static inline int run_words(struct guest *g, const char *words, uint64_t *ret_session)
{
    uint64_t session = open_session(g, words);

    assert_true(session > 0);
    give_input(g, session, "input", 8);
    want(g, session, "output");
    if (ret_session)
        *ret_session = session;
    return CALL(g, "run_session", session);
}

#endif
