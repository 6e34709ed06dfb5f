/* A backend plugin against answers that are not ours: golden PLUGIN LIBRARY MODEL TENSORS [ANSWER].
 * TENSORS is a folder that tensors.py made: pictures as tensors, and LIST, what each must give.
 * ANSWER is a file: what another backend said to the fixed input, compared, or written when it is
 * not there. LIBRARY `-`: the loader's search path. */
#include <math.h>
#include <pthread.h>
#include <stdarg.h>

#include "plugin.h"

#define SIDE 224
#define CLASSES 61
#define INPUT_LEN (sizeof(float) * SIDE * SIDE * 3)
/* What tract, a library of its own in Rust, says to the fixed input. */
#define FIXED_P 0.385768

static const struct ssvm_nn_backend *backend;
static struct ssvm_nn_options options = {sizeof options, NULL, "cpu", 1};
static void *lib, *model;
static char error[SSVM_NN_ERROR_MAX];
static int passed, failed;

static void check(int good, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void check(int good, const char *fmt, ...)
{
    va_list ap;

    printf("%s %s: ", good ? "ok" : "FAILED", backend->id);
    va_start(ap, fmt);
    vprintf(fmt, ap);
    va_end(ap);
    putchar('\n');
    good ? passed++ : failed++;
}

static struct ssvm_nn_port port(const char *name, uint32_t index)
{
    struct ssvm_nn_port p = {.index = index};

    snprintf(p.name, sizeof p.name, "%s", name);
    return p;
}

static struct ssvm_nn_tensor picture(void *data)
{
    return (struct ssvm_nn_tensor){
        .type = SSVM_NN_F32, .rank = 4, .dims = {1, SIDE, SIDE, 3}, .data = data, .len = INPUT_LEN};
}

#define INPUT port("input", 0)
#define OUTPUT port("MobilenetV2/Predictions/Softmax", 0)

static int run(void *session, struct ssvm_nn_port in, struct ssvm_nn_tensor t,
               struct ssvm_nn_port out, struct ssvm_nn_tensor *ret)
{
    error[0] = 0;
    return backend->run(session, &in, &t, 1, &out, ret, 1, error);
}

static int top(const struct ssvm_nn_tensor *t)
{
    const float *p = t->data;
    int best = 0;

    for (int i = 1; i < CLASSES; i++) {
        if (p[i] > p[best])
            best = i;
    }
    return best;
}

static void test_describe(void)
{
    struct ssvm_nn_port p;
    struct ssvm_nn_tensor t;
    char devices[256] = "";

    check(backend->devices(lib, error, devices, sizeof devices) == 0 &&
              strncmp(devices, "cpu", 3) == 0,
          "%s, devices %s", backend->version(lib), devices);
    check(backend->describe(model, 0, 0, &p, &t) == 0 && strcmp(p.name, "input") == 0 &&
              p.index == 0 && t.type == SSVM_NN_F32 && t.rank == 4 && t.dims[1] == SIDE &&
              t.dims[2] == SIDE && t.dims[3] == 3 && (t.dims[0] == 1 || t.dims[0] == -1),
          "the input is described");
    check(backend->describe(model, 1, 0, &p, &t) == 0 && strcmp(p.name, OUTPUT.name) == 0 &&
              t.type == SSVM_NN_F32 && t.rank == 2 && t.dims[1] == CLASSES,
          "the output is described");
    check(backend->describe(model, 0, 1, &p, &t) == 1 &&
              backend->describe(model, 1, 9, &p, &t) == 1,
          "there is one input and one output");
}

static void test_samples(void *session, const char *folder)
{
    char path[512], name[128], label[64];
    FILE *list;
    int index;
    float p, tolerance;

    snprintf(path, sizeof path, "%s/LIST", folder);
    list = fopen(path, "r");
    check(list != NULL, "%s", path);
    while (list && fscanf(list, "%127s %d %f %f %63s", name, &index, &p, &tolerance, label) == 5) {
        struct ssvm_nn_tensor t, out = {0};
        size_t len;
        void *data;
        int r;

        snprintf(path, sizeof path, "%s/%s.f32", folder, name);
        data = read_file(path, &len);
        t = picture(data);
        r = run(session, INPUT, t, OUTPUT, &out);
        check(r == 0 && len == INPUT_LEN && out.rank == 2 && out.len == CLASSES * sizeof(float) &&
                  top(&out) == index && fabsf(((float *)out.data)[index] - p) <= tolerance,
              "%s is %s with %f (has %f)%s", name, label, p,
              r == 0 ? ((float *)out.data)[index] : 0.0F, error);
        free(data);
    }
    if (list)
        fclose(list);
}

/* Compared with `path`, or written to it. */
static void compare(const char *path, const float *have)
{
    float want[CLASSES];
    double worst = 0;
    FILE *f = fopen(path, "rb");

    if (!f) {
        f = fopen(path, "wb");
        check(f && fwrite(have, sizeof *have, CLASSES, f) == CLASSES, "answer written");
    } else {
        check(fread(want, sizeof *want, CLASSES, f) == CLASSES, "answer read");
        for (int i = 0; i < CLASSES; i++)
            worst = fmax(worst, fabs((double)want[i] - have[i]));
        check(worst <= 1e-4, "all classes are within 1e-4 of another library's (%.1e)", worst);
    }
    if (f)
        fclose(f);
}

static void test_names(void *session, void *x, const char *answer)
{
    struct ssvm_nn_tensor out = {0}, again = {0};
    float first[CLASSES];

    if (run(session, INPUT, picture(x), OUTPUT, &out) != 0) {
        check(0, "the fixed input: %s", error);
        return;
    }
    memcpy(first, out.data, sizeof first);
    check(fabs((double)first[top(&out)] - FIXED_P) <= 1e-4, "the fixed input gives %f",
          (double)first[top(&out)]);
    if (answer)
        compare(answer, first);
    check(run(session, port("input:0", 0), picture(x), port("MobilenetV2/Predictions/Softmax:0", 0),
              &again) == 0 &&
              memcmp(again.data, first, sizeof first) == 0,
          "names with :0 %s", error);
    check(run(session, port("", 0), picture(x), port("", 0), &again) == 0 &&
              memcmp(again.data, first, sizeof first) == 0,
          "positions %s", error);
}

static void refuse(void *session, const char *what, struct ssvm_nn_port in, struct ssvm_nn_tensor t,
                   struct ssvm_nn_port out, const char *text)
{
    struct ssvm_nn_tensor ret = {0};
    int r = run(session, in, t, out, &ret);

    check(r == -1 && strstr(error, text) && !strchr(error, '\n'), "%s: %s", what, error);
}

static void test_refused(void *session, void *x)
{
    struct ssvm_nn_tensor t = picture(x), out = {0};
    struct ssvm_nn_port none;

    refuse(session, "an input that is not there", port("data", 0), t, OUTPUT, "'input'");
    refuse(session, "an output that is not there", INPUT, t, port("logits", 0), "Softmax'");
    refuse(session, "an output's number", INPUT, t, port("MobilenetV2/Predictions/Softmax", 7),
           "Softmax");
    refuse(session, "an output's position", INPUT, t, port("", 9), "9");
    t.type = SSVM_NN_I32;
    refuse(session, "a type", INPUT, t, OUTPUT, "i32");
    t = picture(x);
    t.dims[1] = 10;
    t.len = sizeof(float) * 10 * SIDE * 3;
    refuse(session, "a shape", INPUT, t, OUTPUT, "10");
    t = picture(x);
    t.rank = 0;
    t.len = sizeof(float);
    refuse(session, "a scalar", INPUT, t, OUTPUT, "[]");
    t = picture(x);
    t.dims[0] = (int64_t)1 << 60;
    refuse(session, "a shape beyond memory", INPUT, t, OUTPUT, "input");
    t = picture(x);
    t.len -= 4;
    refuse(session, "fewer bytes than the shape says", INPUT, t, OUTPUT, "bytes");
    none = OUTPUT;
    check(backend->run(session, NULL, NULL, 0, &none, &out, 1, error) == -1 &&
              strstr(error, "input"),
          "no input: %s", error);
    check(run(session, INPUT, picture(x), OUTPUT, &out) == 0, "the session is good after that %s",
          error);
}

static void test_open(void)
{
    struct ssvm_nn_options o = options;
    void *other = NULL;

    o.device = "warp-core";
    check(backend->open(&o, error, &other) == -1 && strstr(error, "warp-core") &&
              strstr(error, "cpu"),
          "%s", error);
    o = options;
    o.library = "/nowhere/at/all";
    check(backend->open(&o, error, &other) == -1 && strstr(error, "/nowhere"), "%s", error);
    o.library = "/etc/passwd";
    check(backend->open(&o, error, &other) == -1 && strstr(error, "/etc/passwd"), "%s", error);
    o.library = "/etc";
    check(backend->open(&o, error, &other) == -1 && strstr(error, "/etc"), "%s", error);
    o.library = "libc.so.6";
    check(backend->open(&o, error, &other) == -1 && strstr(error, "not the library"), "%s", error);
}

static void test_garbage(const char *bytes, size_t len)
{
    void *m = NULL;
    size_t cost;
    static const char text[64] = "certainly not a model";
    enum ssvm_nn_format format = SSVM_NN_TENSORFLOW;

    while (!(backend->formats & 1U << format))
        format++;
    check(backend->load(lib, format, text, sizeof text, error, &m, &cost) == -1 && error[0],
          "garbage: %s", error);
    check(backend->load(lib, format, bytes, len / 2, error, &m, &cost) == -1 && error[0],
          "half a model: %s", error);
}

struct worker {
    pthread_t thread;
    void *x;
    float p;
    int bad;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    struct ssvm_nn_port in = INPUT, wanted = OUTPUT;
    struct ssvm_nn_tensor t = picture(w->x), out = {0};
    char text[SSVM_NN_ERROR_MAX];
    void *session = NULL;

    if (backend->session_new(model, text, &session) != 0)
        w->bad = 1;
    for (int i = 0; i < 20 && !w->bad; i++) {
        w->bad = backend->run(session, &in, &t, 1, &wanted, &out, 1, text) != 0;
        w->p = w->bad ? 0 : ((float *)out.data)[top(&out)];
        w->bad = w->bad || fabs((double)w->p - FIXED_P) > 1e-4;
    }
    backend->session_delete(session);
    return NULL;
}

/* One model, a session for each thread. */
static void test_threads(void *x)
{
    struct worker w[4] = {0};
    int bad = 0;

    for (int i = 0; i < 4; i++) {
        w[i].x = x;
        if (pthread_create(&w[i].thread, NULL, work, &w[i]) != 0)
            exit(2);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(w[i].thread, NULL);
        bad += w[i].bad;
    }
    check(bad == 0, "four threads, twenty runs each");
}

static volatile int stop;

static void *canceller(void *session)
{
    while (!stop)
        backend->cancel(session);
    return NULL;
}

/* Whatever a cancelled run says, the next one is good. */
static void test_cancel(void *session, void *x)
{
    struct ssvm_nn_tensor out = {0};
    pthread_t thread;
    int ended = 0;

    if (!backend->cancel)
        return;
    if (pthread_create(&thread, NULL, canceller, session) != 0)
        exit(2);
    for (int i = 0; i < 50; i++)
        ended += run(session, INPUT, picture(x), OUTPUT, &out) != 0;
    stop = 1;
    pthread_join(thread, NULL);
    (void)run(session, INPUT, picture(x), OUTPUT, &out);
    check(run(session, INPUT, picture(x), OUTPUT, &out) == 0 &&
              fabs((double)((float *)out.data)[top(&out)] - FIXED_P) <= 1e-4,
          "runs are good again after %d of 50 were ended %s", ended, error);
}

int main(int argc, char **argv)
{
    void *session = NULL, *bytes;
    size_t len, cost;
    float *x;

    if (argc < 5)
        return 2;
    backend = plugin_open(argv[1]);
    options.library = strcmp(argv[2], "-") == 0 ? NULL : argv[2];
    check(backend->abi == SSVM_NN_ABI, "abi %u", backend->abi);
    if (backend->open(&options, error, &lib) != 0) {
        check(0, "%s", error);
        return 1;
    }
    bytes = read_file(argv[3], &len);
    x = tensor_memory(INPUT_LEN);
    fill(x, INPUT_LEN / sizeof(float));
    if (backend->load(lib, format_of(argv[3]), bytes, len, error, &model, &cost) != 0 ||
        backend->session_new(model, error, &session) != 0) {
        check(0, "%s", error);
        return 1;
    }
    check(cost > 0, "it costs %zu bytes", cost);
    test_describe();
    test_samples(session, argv[4]);
    test_names(session, x, argc > 5 ? argv[5] : NULL);
    test_refused(session, x);
    test_threads(x);
    test_cancel(session, x);
    backend->session_delete(session);
    backend->unload(model);
    test_garbage(bytes, len);
    test_open();
    backend->close(lib);
    free(bytes);
    free(x);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
