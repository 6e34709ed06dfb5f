/* One picture's worth of inference by a library's own C interface, as a native program would do it:
 * nn NAME FILE MODEL THREADS RUNS [PLUGIN FOLDER]. NAME: openvino, litert, onnxruntime, tensorflow;
 * FILE: its shared object. With PLUGIN, ssvm's nn-NAME.so does the same in turn with it, on a model
 * of its own, so that both see the same machine. The model has `input`, 1x224x224x3 floats, and
 * `MobilenetV2/Predictions/Softmax`. Prints one line of JSON: milliseconds and KiB. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "ssvm_nn.h"

#define INPUT "input"
#define OUTPUT "MobilenetV2/Predictions/Softmax"
#define COUNT (224 * 224 * 3)
#define LEN (COUNT * sizeof(float))
#define RUNS_MAX 10000

static void *library;
static const char *model_path;
static const void *model;
static size_t model_len;
static int threads;
static float *input;
static const int64_t dims[4] = {1, 224, 224, 3};

static void die(const char *what)
{
    fprintf(stderr, "nn: %s\n", what);
    exit(1);
}

static void *sym(const char *name)
{
    void *p = dlsym(library, name);

    if (!p)
        die(name);
    return p;
}
/* A function of the library, declared where it is used. */
#define F(ret, name, ...) ret (*name)(__VA_ARGS__) = (ret (*)(__VA_ARGS__))sym(#name)

static double now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* ---- OpenVINO ---- */

struct ov_shape {
    int64_t rank, *dims;
};
static void *ov_request;
static int (*ov_infer)(void *);
static int (*ov_set)(void *, size_t, const void *);
static int (*ov_get)(const void *, size_t, void **);
static int (*ov_make)(int, struct ov_shape, void *, void **);
static int (*ov_data)(const void *, void **);
static void (*ov_drop)(void *);

static void openvino_ready(void)
{
    F(int, ov_core_create, void **);
    F(int, ov_core_read_model, const void *, const char *, const char *, void **);
    F(int, ov_core_compile_model, const void *, const void *, const char *, size_t, void **, ...);
    F(int, ov_compiled_model_create_infer_request, const void *, void **);
    void *core, *graph, *compiled;
    char n[16], streams[16];
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int s = cores > threads ? (int)cores / threads : 1;

    snprintf(n, sizeof n, "%d", threads * s);
    snprintf(streams, sizeof streams, "%d", s);
    if (ov_core_create(&core) || ov_core_read_model(core, model_path, NULL, &graph) ||
        ov_core_compile_model(core, graph, "CPU", 8, &compiled, "INFERENCE_NUM_THREADS", n,
                              "NUM_STREAMS", streams, "ENABLE_CPU_PINNING", "NO",
                              "INFERENCE_PRECISION_HINT", "f32") ||
        ov_compiled_model_create_infer_request(compiled, &ov_request))
        die("openvino");
    ov_infer = (int (*)(void *))sym("ov_infer_request_infer");
    ov_set =
        (int (*)(void *, size_t, const void *))sym("ov_infer_request_set_input_tensor_by_index");
    ov_get =
        (int (*)(const void *, size_t, void **))sym("ov_infer_request_get_output_tensor_by_index");
    ov_make = (int (*)(int, struct ov_shape, void *, void **))sym("ov_tensor_create_from_host_ptr");
    ov_data = (int (*)(const void *, void **))sym("ov_tensor_data");
    ov_drop = (void (*)(void *))sym("ov_tensor_free");
}

static float openvino_run(void)
{
    int64_t d[4] = {1, 224, 224, 3};
    struct ov_shape shape = {4, d};
    void *in, *out = NULL, *data = NULL;
    float p;

    if (ov_make(4, shape, input, &in) || ov_set(ov_request, 0, in) || ov_infer(ov_request) ||
        ov_get(ov_request, 0, &out) || ov_data(out, &data))
        die("openvino run");
    p = ((float *)data)[0];
    ov_drop(in);
    ov_drop(out);
    return p;
}

/* ---- LiteRT ---- */

struct rt_type {
    int element;
    unsigned int rank : 7;
    bool strided : 1;
    int32_t dims[8];
    uint32_t strides[8];
};
static void *rt_compiled, *rt_out, *rt_memory;
static int (*rt_invoke)(void *, size_t, size_t, void **, size_t, void **);
static int (*rt_wrap)(const struct rt_type *, void *, size_t, void (*)(void *), void **);
static void (*rt_drop)(void *);

static void litert_ready(void)
{
    F(int, LiteRtCreateEnvironment, int, const void *, void **);
    F(int, LiteRtCreateModelFromBuffer, void *, const void *, size_t, void **);
    F(int, LiteRtCreateOptions, void **);
    F(int, LiteRtSetOptionsHardwareAccelerators, void *, int);
    F(int, LiteRtCreateOpaqueOptions, const char *, void *, void (*)(void *), void **);
    F(int, LiteRtAddOpaqueOptions, void *, void *);
    F(int, LiteRtCreateCompiledModel, void *, void *, void *, void **);
    F(int, LiteRtGetModelSignature, void *, size_t, void **);
    F(int, LiteRtGetSignatureOutputTensorByIndex, void *, size_t, void **);
    F(int, LiteRtGetRankedTensorType, void *, struct rt_type *);
    void *env, *graph, *options, *opaque, *signature, *tensor;
    char *text = malloc(64);
    struct rt_type type;

    rt_invoke =
        (int (*)(void *, size_t, size_t, void **, size_t, void **))sym("LiteRtRunCompiledModel");
    rt_wrap = (int (*)(const struct rt_type *, void *, size_t, void (*)(void *), void **))sym(
        "LiteRtCreateTensorBufferFromHostMemory");
    rt_drop = (void (*)(void *))sym("LiteRtDestroyTensorBuffer");
    snprintf(text, 64, "num_threads = %d\n", threads);
    rt_memory = aligned_alloc(64, 64 * 1024);
    if (LiteRtCreateEnvironment(0, NULL, &env) ||
        LiteRtCreateModelFromBuffer(env, model, model_len, &graph) ||
        LiteRtCreateOptions(&options) || LiteRtSetOptionsHardwareAccelerators(options, 1) ||
        LiteRtCreateOpaqueOptions("xnnpack", text, free, &opaque) ||
        LiteRtAddOpaqueOptions(options, opaque) ||
        LiteRtCreateCompiledModel(env, graph, options, &rt_compiled) ||
        LiteRtGetModelSignature(graph, 0, &signature) ||
        LiteRtGetSignatureOutputTensorByIndex(signature, 0, &tensor) ||
        LiteRtGetRankedTensorType(tensor, &type) ||
        rt_wrap(&type, rt_memory, 64 * 1024, NULL, &rt_out))
        die("litert");
}

static float litert_run(void)
{
    struct rt_type type = {1, 4, false, {1, 224, 224, 3}, {0}};
    void *in;

    if (rt_wrap(&type, input, LEN, NULL, &in) || rt_invoke(rt_compiled, 0, 1, &in, 1, &rt_out))
        die("litert run");
    rt_drop(in);
    return *(float *)rt_memory;
}

/* ---- ONNX Runtime ---- */

/* Its functions are places in a table; all but the releases return a status, NULL when good. */
static void **ort;
static void *ort_session, *ort_memory;
#define ORT(position, ret, ...) ((ret (*)(__VA_ARGS__))ort[position])

static void onnxruntime_ready(void)
{
    struct {
        void *(*api)(uint32_t);
        const char *(*version)(void);
    } *(*OrtGetApiBase)(void) = sym("OrtGetApiBase");
    void *env, *options;

    ort = OrtGetApiBase()->api(17);
    if (ORT(3, void *, int, const char *, void **)(4, "bench", &env) ||
        ORT(10, void *, void **)(&options) || ORT(24, void *, void *, int)(options, threads) ||
        ORT(25, void *, void *, int)(options, 1) ||
        ORT(130, void *, void *, const char *,
            const char *)(options, "session.intra_op.allow_spinning", "0") ||
        ORT(8, void *, void *, const void *, size_t, void *, void **)(env, model, model_len,
                                                                      options, &ort_session) ||
        ORT(69, void *, int, int, void **)(1, 0, &ort_memory))
        die("onnxruntime");
}

static float onnxruntime_run(void)
{
    static const char *const in_names[] = {INPUT ":0"}, *const out_names[] = {OUTPUT ":0"};
    void *in, *out = NULL;
    float *data = NULL, p;

    if (ORT(49, void *, void *, void *, size_t, const int64_t *, size_t, int,
            void **)(ort_memory, input, LEN, dims, 4, 1, &in) ||
        ORT(9, void *, void *, void *, const char *const *, void **, size_t, const char *const *,
            size_t, void **)(ort_session, NULL, in_names, &in, 1, out_names, 1, &out) ||
        ORT(51, void *, void *, float **)(out, &data))
        die("onnxruntime run");
    p = data[0];
    ORT(96, void, void *)(in);
    ORT(96, void, void *)(out);
    return p;
}

/* ---- TensorFlow ---- */

struct tf_output {
    void *op;
    int index;
};
static void *tf_session, *tf_status;
static struct tf_output tf_in, tf_out;
static void (*tf_run)(void *, const void *, const struct tf_output *, void *const *, int,
                      const struct tf_output *, void **, int, const void *, int, void *, void *);
static void *(*tf_tensor)(int, const int64_t *, int, void *, size_t,
                          void (*)(void *, size_t, void *), void *);
static void *(*tf_data)(const void *);
static void (*tf_drop)(void *);
static int (*tf_code)(const void *);

static void tensorflow_ready(void)
{
    F(void *, TF_NewStatus, void);
    F(void *, TF_NewGraph, void);
    F(void *, TF_NewImportGraphDefOptions, void);
    F(void, TF_GraphImportGraphDef, void *, const void *, const void *, void *);
    F(void *, TF_NewSessionOptions, void);
    F(void, TF_SetConfig, void *, const void *, size_t, void *);
    F(void *, TF_NewSession, void *, const void *, void *);
    F(void *, TF_GraphOperationByName, void *, const char *);
    const unsigned char config[] = {
        0x10, (unsigned char)threads, 0x28, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
        1};
    const struct {
        const void *data;
        size_t len;
        void (*free)(void *, size_t);
    } buffer = {model, model_len, NULL};
    void *graph = TF_NewGraph(), *options = TF_NewSessionOptions();

    tf_run = (void (*)(void *, const void *, const struct tf_output *, void *const *, int,
                       const struct tf_output *, void **, int, const void *, int, void *,
                       void *))sym("TF_SessionRun");
    tf_tensor = (void *(*)(int, const int64_t *, int, void *, size_t,
                           void (*)(void *, size_t, void *), void *))sym("TF_NewTensor");
    tf_data = (void *(*)(const void *))sym("TF_TensorData");
    tf_drop = (void (*)(void *))sym("TF_DeleteTensor");
    tf_code = (int (*)(const void *))sym("TF_GetCode");
    tf_status = TF_NewStatus();
    TF_SetConfig(options, config, sizeof config, tf_status);
    TF_GraphImportGraphDef(graph, &buffer, TF_NewImportGraphDefOptions(), tf_status);
    tf_session = TF_NewSession(graph, options, tf_status);
    tf_in.op = TF_GraphOperationByName(graph, INPUT);
    tf_out.op = TF_GraphOperationByName(graph, OUTPUT);
    if (tf_code(tf_status) || !tf_in.op || !tf_out.op)
        die("tensorflow");
}

static void keep(void *data, size_t len, void *arg)
{
    (void)data, (void)len, (void)arg;
}

static float tensorflow_run(void)
{
    void *in = tf_tensor(1, dims, 4, input, LEN, keep, NULL), *out = NULL;
    float p;

    tf_run(tf_session, NULL, &tf_in, &in, 1, &tf_out, &out, 1, NULL, 0, NULL, tf_status);
    if (tf_code(tf_status))
        die("tensorflow run");
    p = *(float *)tf_data(out);
    tf_drop(in);
    tf_drop(out);
    return p;
}

/* ---- The plugin ---- */

static const struct ssvm_nn_backend *backend;
static void *session;

static void plugin_ready(const char *path, const char *folder)
{
    struct ssvm_nn_options options = {sizeof options, folder, "cpu", (uint32_t)threads};
    void *handle = dlopen(path, RTLD_NOW), *lib, *m;
    ssvm_nn_backend_fn *get = handle ? (ssvm_nn_backend_fn *)dlsym(handle, SSVM_NN_SYMBOL) : NULL;
    const char *dot = strrchr(model_path, '.');
    enum ssvm_nn_format format = strcmp(dot, ".pb") == 0       ? SSVM_NN_TENSORFLOW
                                 : strcmp(dot, ".tflite") == 0 ? SSVM_NN_TFLITE
                                                               : SSVM_NN_ONNX;
    char error[SSVM_NN_ERROR_MAX];
    size_t cost;

    if (!get)
        die(dlerror());
    backend = get();
    if (backend->open(&options, error, &lib) ||
        backend->load(lib, format, model, model_len, error, &m, &cost) ||
        backend->session_new(m, error, &session))
        die(error);
}

static float plugin_run(void)
{
    static const struct ssvm_nn_port in = {INPUT, 0}, out = {OUTPUT, 0};
    struct ssvm_nn_tensor t = {SSVM_NN_F32, 4, {1, 224, 224, 3}, input, LEN}, ret;
    char error[SSVM_NN_ERROR_MAX];

    if (backend->run(session, &in, &t, 1, &out, &ret, 1, error))
        die(error);
    return *(float *)ret.data;
}

/* ---- Measuring ---- */

static int by_value(const void *a, const void *b)
{
    return *(const double *)a < *(const double *)b ? -1 : *(const double *)a > *(const double *)b;
}

static double timed(float (*run)(void))
{
    double start = now_ms();

    (void)run();
    return now_ms() - start;
}

/* The whole of a file, aligned as tensors are. */
static void *read_file(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    void *p;

    if (!f || fseek(f, 0, SEEK_END) != 0)
        die(strerror(errno));
    *ret_len = (size_t)ftell(f);
    rewind(f);
    p = aligned_alloc(64, (*ret_len + 127) / 64 * 64);
    if (!p || fread(p, 1, *ret_len, f) != *ret_len)
        die(path);
    fclose(f);
    return p;
}

static long peak_kb(void)
{
    struct rusage use;

    getrusage(RUSAGE_SELF, &use);
    return use.ru_maxrss;
}

static double opened;

/* Open the library, read the model, prepare it: what runs it. */
static float (*native_ready(const char *name, const char *file, const char *path,
                            const char *threads_text))(void)
{
    static const struct {
        const char *name;
        void (*ready)(void);
        float (*run)(void);
    } all[] = {{"openvino", openvino_ready, openvino_run},
               {"litert", litert_ready, litert_run},
               {"onnxruntime", onnxruntime_ready, onnxruntime_run},
               {"tensorflow", tensorflow_ready, tensorflow_run}};
    double start = now_ms();
    int i = 0;

    while (i < 4 && strcmp(all[i].name, name) != 0)
        i++;
    threads = (int)strtol(threads_text, NULL, 10);
    if (i == 4 || threads < 1 || threads > 64)
        die("an argument is not right");
    setenv("TF_CPP_MIN_LOG_LEVEL", "3", 0);
    library = dlopen(file, RTLD_NOW);
    if (!library)
        die(dlerror());
    opened = now_ms() - start;
    input = aligned_alloc(64, LEN + 128);
    for (uint32_t n = 0; n < COUNT; n++)
        input[n] = (float)(((n * 2654435761u >> 8) & 65535) / 65535.0);
    model_path = path;
    model = read_file(path, &model_len);
    all[i].ready();
    return all[i].run;
}

int main(int argc, char **argv)
{
    static double native[RUNS_MAX], plugin[RUNS_MAX];
    double start = now_ms(), ready, first;
    float (*run)(void);
    int runs;
    long kb;

    if (argc != 6 && argc != 8)
        die("NAME FILE MODEL THREADS RUNS [PLUGIN FOLDER]");
    runs = (int)strtol(argv[5], NULL, 10);
    if (runs < 1 || runs > RUNS_MAX)
        die("an argument is not right");
    run = native_ready(argv[1], argv[2], argv[3], argv[4]);
    ready = now_ms() - start;
    first = timed(run);
    kb = peak_kb();
    if (argc == 8) {
        plugin_ready(argv[6], argv[7]);
        (void)timed(plugin_run);
    }
    for (int n = 0; n < runs; n++) {
        native[n] = timed(run);
        if (argc == 8)
            plugin[n] = timed(plugin_run);
    }
    qsort(native, (size_t)runs, sizeof native[0], by_value);
    qsort(plugin, (size_t)runs, sizeof plugin[0], by_value);
    printf("{\"library\": \"%s\", \"threads\": %d, \"open_ms\": %.1f, \"ready_ms\": %.1f, "
           "\"first_ms\": %.2f, \"median_ms\": %.3f, \"min_ms\": %.3f, \"peak_kb\": %ld",
           argv[1], threads, opened, ready, first, native[runs / 2], native[0], kb);
    if (argc == 8)
        printf(", \"plugin_median_ms\": %.3f, \"plugin_min_ms\": %.3f, \"ratio\": %.3f",
               plugin[runs / 2], plugin[0], plugin[runs / 2] / native[runs / 2]);
    printf("}\n");
    fflush(stdout);
    _exit(0); /* the libraries' threads are theirs */
}
