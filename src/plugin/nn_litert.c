/* LiteRT (once TensorFlow Lite) as a backend: reads .tflite. Through the C interface of libLiteRt,
 * which has no promise yet: bound name by name, and tried out when it is opened. */
#include "plugin/nn.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TITLE "LiteRT"
#define OLDEST_TEXT "2.3" /* the one that this was written for */

struct layout {
    unsigned int rank : 7;
    bool has_strides : 1;
    int32_t dims[8];
    uint32_t strides[8];
};
struct ranked_type {
    int element;
    struct layout layout;
};
/* LiteRtEnvOption: a tag, and a value with its type. */
struct env_option {
    int tag, type;
    union {
        int64_t number;
        const char *text;
    };
};
enum env_tag { RUNTIME_FOLDER = 22, MIN_SEVERITY = 25 };
enum env_type { NUMBER = 2, TEXT = 8 };
#define SILENT 4

_Static_assert(sizeof(struct ranked_type) == 72, "as the library's");

/* clang-format off */
#define FUNCTIONS(F)                                                                                        \
    F(int, LiteRtCreateEnvironment, (int noptions, const struct env_option *, void **ret))                        \
    F(void, LiteRtDestroyEnvironment, (void *))                                                             \
    F(int, LiteRtGetNumAccelerators, (void *env, size_t *))                                                 \
    F(int, LiteRtGetAccelerator, (void *env, size_t, void **ret))                                           \
    F(int, LiteRtGetAcceleratorHardwareSupport, (void *accelerator, int *ret))                              \
    F(int, LiteRtCreateModelFromBuffer, (void *env, const void *, size_t, void **ret))                      \
    F(void, LiteRtDestroyModel, (void *))                                                                   \
    F(int, LiteRtGetNumModelSignatures, (void *model, size_t *))                                            \
    F(int, LiteRtGetModelSignature, (void *model, size_t, void **ret))                                      \
    F(int, LiteRtGetNumSignatureInputs, (void *signature, size_t *))                                        \
    F(int, LiteRtGetNumSignatureOutputs, (void *signature, size_t *))                                       \
    F(int, LiteRtGetSignatureInputName, (void *signature, size_t, const char **))                           \
    F(int, LiteRtGetSignatureOutputName, (void *signature, size_t, const char **))                          \
    F(int, LiteRtGetSignatureInputTensorByIndex, (void *signature, size_t, void **))                        \
    F(int, LiteRtGetSignatureOutputTensorByIndex, (void *signature, size_t, void **))                       \
    F(int, LiteRtGetTensorName, (void *tensor, const char **))                                              \
    F(int, LiteRtGetRankedTensorType, (void *tensor, struct ranked_type *))                                 \
    F(int, LiteRtCreateOptions, (void **ret))                                                               \
    F(void, LiteRtDestroyOptions, (void *))                                                                 \
    F(int, LiteRtSetOptionsHardwareAccelerators, (void *options, int))                                      \
    F(int, LiteRtCreateOpaqueOptions, (const char *id, void *text, void (*)(void *), void **ret))           \
    F(int, LiteRtAddOpaqueOptions, (void *options, void *opaque))                                           \
    F(int, LiteRtCreateCompiledModel, (void *env, void *model, void *options, void **ret))                  \
    F(void, LiteRtDestroyCompiledModel, (void *))                                                           \
    F(int, LiteRtCompiledModelResizeInputTensor, (void *compiled, size_t signature, size_t, const int *, size_t)) \
    F(int, LiteRtGetCompiledModelOutputTensorLayouts, (void *compiled, size_t signature, size_t, struct layout *, bool)) \
    F(int, LiteRtSetCompiledModelCancellationFunction, (void *compiled, void *, bool (*)(void *)))          \
    F(int, LiteRtCompiledModelGetErrorMessages, (void *compiled, char **ret))                               \
    F(int, LiteRtCompiledModelClearErrors, (void *compiled))                                                \
    F(int, LiteRtRunCompiledModel, (void *compiled, size_t signature, size_t, void **in, size_t, void **out)) \
    F(int, LiteRtCreateTensorBufferFromHostMemory, (const struct ranked_type *, void *, size_t, void (*)(void *), void **ret)) \
    F(int, LiteRtGetTensorBufferPackedSize, (void *buffer, size_t *))                                       \
    F(void, LiteRtDestroyTensorBuffer, (void *))
/* clang-format on */

struct api {
    FUNCTIONS(NN_POINTER)
};
static const struct nn_symbol symbols[] = {FUNCTIONS(NN_SYMBOL)};

enum accelerator { CPU = 1, GPU = 2, NPU = 4 };
#define ALIGN 64

struct lib {
    struct nn_lib about;
    struct api api;
    void *env; /* owned */
    uint32_t threads;
    int accelerator;
    pthread_mutex_t lock; /* preparing changes the environment */
};
struct model {
    struct nn_model ends;
    struct lib *lib;
    void *graph;           /* owned */
    _Atomic(void *) spare; /* owned: prepared by load, for the first session */
    int weights;           /* a file in memory that its sessions share; -1: none */
};
struct output {
    void *memory, *buffer; /* owned */
    size_t size;
    struct ssvm_nn_tensor tensor;
};
struct session {
    struct model *model;
    void *compiled;                    /* owned: used by one thread at a time */
    struct output *out;                /* owned, one for each output of the model */
    int64_t (*dims)[SSVM_NN_RANK_MAX]; /* owned: what the inputs were last resized to */
    atomic_bool stop;
};

/* LiteRtElementType */
static const struct nn_type types[] = {{SSVM_NN_F32, 1},  {SSVM_NN_I32, 2},  {SSVM_NN_U8, 3},
                                       {SSVM_NN_I64, 4},  {SSVM_NN_BOOL, 6}, {SSVM_NN_I16, 7},
                                       {SSVM_NN_I8, 9},   {SSVM_NN_F16, 10}, {SSVM_NN_F64, 11},
                                       {SSVM_NN_U64, 13}, {SSVM_NN_U32, 16}, {SSVM_NN_U16, 17}};

#define CANCELLED 100
/* 0 when `status` is good. */
static int check(int status, const char *what, char *error)
{
    static const struct {
        int status;
        const char *text;
    } texts[] = {{1, "invalid argument"},     {2, "out of memory"},
                 {3, "failed at run time"},   {4, "an input is missing"},
                 {5, "not supported"},        {6, "not found"},
                 {8, "wrong version"},        {CANCELLED, "it was ended"},
                 {501, "not a .tflite file"}, {504, "not compiled"}};
    const char *text = "it does not say why";

    if (status == 0)
        return 0;
    for (size_t i = 0; i < NN_COUNT(texts); i++) {
        if (texts[i].status == status)
            text = texts[i].text;
    }
    return nn_fail(error, TITLE " could not %s: %s (status %d)", what, text, status);
}

static void to_layout(const struct ssvm_nn_tensor *t, struct ranked_type *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->element = nn_type_to(types, NN_COUNT(types), t->type);
    ret->layout.rank = t->rank & 0x7f;
    for (uint32_t i = 0; i < t->rank; i++)
        ret->layout.dims[i] = (int32_t)t->dims[i];
}

static void from_layout(const struct layout *l, struct ssvm_nn_tensor *ret)
{
    ret->rank = l->rank > SSVM_NN_RANK_MAX ? SSVM_NN_RANK_MAX : l->rank;
    for (uint32_t i = 0; i < ret->rank; i++)
        ret->dims[i] = l->dims[i] < 0 ? -1 : l->dims[i];
}

/* ---- The library ---- */

/* Are numbers of types and the form of shapes as this file has them? */
static int check_types(const struct lib *lib, char *error)
{
    _Alignas(ALIGN) static char memory[256];

    for (size_t i = 0; i < NN_COUNT(types); i++) {
        const struct ssvm_nn_tensor t = {.type = types[i].type, .rank = 2, .dims = {2, 3}};
        size_t want = 0, have = 0;
        struct ranked_type type;
        void *buffer = NULL;

        to_layout(&t, &type);
        (void)nn_bytes(&t, &want);
        if (lib->api.LiteRtCreateTensorBufferFromHostMemory(&type, memory, sizeof memory, NULL,
                                                            &buffer) == 0)
            lib->api.LiteRtGetTensorBufferPackedSize(buffer, &have);
        if (buffer)
            lib->api.LiteRtDestroyTensorBuffer(buffer);
        if (have != want)
            return nn_fail(error, "this version of " TITLE " is not known here; " OLDEST_TEXT
                                  " is: try 'ssvm nn install litert'");
    }
    return 0;
}

static void read_devices(struct lib *lib)
{
    size_t n = 0;

    nn_device_add(lib->about.devices, sizeof lib->about.devices, "cpu");
    lib->api.LiteRtGetNumAccelerators(lib->env, &n);
    for (size_t i = 0; i < n; i++) {
        void *accelerator = NULL;
        int support = 0;

        if (lib->api.LiteRtGetAccelerator(lib->env, i, &accelerator) != 0 ||
            lib->api.LiteRtGetAcceleratorHardwareSupport(accelerator, &support) != 0)
            continue;
        if (support & GPU)
            nn_device_add(lib->about.devices, sizeof lib->about.devices, "gpu");
        if (support & NPU)
            nn_device_add(lib->about.devices, sizeof lib->about.devices, "npu");
    }
}

/* The library cannot tell its version; the installer left it beside. */
static void read_version(struct lib *lib, const char *folder)
{
    char path[NN_TEXT_MAX + 16], version[64] = OLDEST_TEXT " or alike";
    FILE *f;

    snprintf(path, sizeof path, "%s/VERSION", folder);
    f = folder[0] ? fopen(path, "re") : NULL;
    if (f) {
        size_t n = fread(version, 1, sizeof version - 1, f);

        version[n] = 0;
        version[strcspn(version, "\n")] = 0;
        fclose(f);
    }
    snprintf(lib->about.version, sizeof lib->about.version, TITLE " %s", version);
}

/* Says nothing to the standard streams; finds accelerators beside the library. */
static int start(struct lib *lib, const char *folder, char *error)
{
    const struct env_option options[] = {{MIN_SEVERITY, NUMBER, {.number = SILENT}},
                                         {RUNTIME_FOLDER, TEXT, {.text = folder}}};

    return check(lib->api.LiteRtCreateEnvironment(folder[0] ? 2 : 1, options, &lib->env), "start",
                 error);
}

static void lib_close(void *arg)
{
    struct lib *lib = arg;

    if (!lib)
        return;
    if (lib->env)
        lib->api.LiteRtDestroyEnvironment(lib->env);
    pthread_mutex_destroy(&lib->lock);
    free(lib);
}

static int lib_open(const struct ssvm_nn_options *options, char *error, void **ret)
{
    static const char *const names[] = {"libLiteRt.so", NULL};
    static const char *const folders[] = {"", "ai_edge_litert/", "lib/", NULL};
    struct lib *lib = calloc(1, sizeof *lib);
    char folder[NN_TEXT_MAX];
    void *handle;

    if (!lib)
        return nn_fail(error, "out of memory");
    pthread_mutex_init(&lib->lock, NULL);
    lib->threads = options->threads;
    lib->accelerator = strcmp(options->device, "gpu") == 0   ? GPU
                       : strcmp(options->device, "npu") == 0 ? NPU
                                                             : CPU;
    handle = nn_open("litert", options->library, names, folders, 0, error, folder, sizeof folder);
    if (!handle ||
        nn_bind(handle, TITLE, OLDEST_TEXT, symbols, NN_COUNT(symbols), &lib->api, error) < 0)
        goto fail;
    read_version(lib, folder);
    if (start(lib, folder, error) < 0 || check_types(lib, error) < 0)
        goto fail;
    read_devices(lib);
    if (nn_device_check(options->device, lib->about.devices, error) < 0)
        goto fail;
    *ret = lib;
    return 0;
fail:
    lib_close(lib);
    return -1;
}

/* ---- Models ---- */

static int read_io(const struct api *api, void *signature, bool output, size_t i, struct nn_io *io,
                   char *error)
{
    const char *tensor_name = NULL, *name = NULL;
    struct ranked_type type;
    void *tensor = NULL;

    if (check((output ? api->LiteRtGetSignatureOutputTensorByIndex
                      : api->LiteRtGetSignatureInputTensorByIndex)(signature, i, &tensor),
              "show its inputs and outputs", error) < 0 ||
        check(api->LiteRtGetTensorName(tensor, &tensor_name), "name a tensor", error) < 0 ||
        check(api->LiteRtGetRankedTensorType(tensor, &type), "tell a shape", error) < 0)
        return -1;
    if (tensor_name)
        nn_port_parse(tensor_name, &io->port);
    if ((output ? api->LiteRtGetSignatureOutputName
                : api->LiteRtGetSignatureInputName)(signature, i, &name) == 0 &&
        name)
        nn_port_parse(name, &io->alias);
    io->tensor.type = nn_type_from(types, NN_COUNT(types), type.element);
    from_layout(&type.layout, &io->tensor);
    return 0;
}

static int read_signature(struct model *m, char *error)
{
    const struct api *api = &m->lib->api;
    size_t n = 0, nin = 0, nout = 0;
    void *signature = NULL;

    if (check(api->LiteRtGetNumModelSignatures(m->graph, &n), "read the model", error) < 0)
        return -1;
    if (n == 0)
        return nn_fail(error, "the model has nothing to run");
    if (check(api->LiteRtGetModelSignature(m->graph, 0, &signature), "read the model", error) < 0 ||
        check(api->LiteRtGetNumSignatureInputs(signature, &nin), "count inputs", error) < 0 ||
        check(api->LiteRtGetNumSignatureOutputs(signature, &nout), "count outputs", error) < 0)
        return -1;
    if (nin > UINT16_MAX || nout > UINT16_MAX)
        return nn_fail(error, "too many inputs or outputs");
    if (nn_ios_new(&m->ends.in, (uint32_t)nin, error) < 0 ||
        nn_ios_new(&m->ends.out, (uint32_t)nout, error) < 0)
        return -1;
    for (size_t i = 0; i < nin; i++) {
        if (read_io(api, signature, false, i, &m->ends.in.at[i], error) < 0)
            return -1;
    }
    for (size_t i = 0; i < nout; i++) {
        if (read_io(api, signature, true, i, &m->ends.out.at[i], error) < 0)
            return -1;
    }
    return 0;
}

/* Options of a part of the library: a text under the part's name. */
static int add_options(struct lib *lib, void *options, const char *id, const char *text,
                       char *error)
{
    char *copy = strdup(text);
    void *opaque = NULL;

    if (!copy)
        return nn_fail(error, "out of memory");
    if (check(lib->api.LiteRtCreateOpaqueOptions(id, copy, free, &opaque), "take options", error) <
        0) {
        free(copy);
        return -1;
    }
    return check(lib->api.LiteRtAddOpaqueOptions(options, opaque), "take options", error);
}

/* Errors are kept rather than printed. Threads; and a file for the weights as the accelerator wants
 * them: the first session writes it, the others map it, so that weights are in memory once. */
static int set_options(struct model *m, bool shared, void *options, char *error)
{
    char text[128];
    int n = snprintf(text, sizeof text, "num_threads = %u\n", m->lib->threads);

    if (shared)
        snprintf(text + n, sizeof text - (size_t)n,
                 "weight_cache_file_path = \"/proc/self/fd/%d\"\n", m->weights);
    if (add_options(m->lib, options, "runtime_options_string", "error_reporter_mode = 2\n", error) <
        0)
        return -1;
    return add_options(m->lib, options, "xnnpack", text, error);
}

/* The first time in a process, it greets. */
static int create_compiled(struct model *m, void *options, void **ret)
{
    static const char *const known[] = {"INFO: Created TensorFlow Lite XNNPACK delegate", NULL};
    static atomic_bool greeted;
    struct lib *lib = m->lib;
    bool first = !atomic_exchange(&greeted, true);
    struct nn_hush hush;
    int status;

    if (first)
        nn_hush_begin(&hush);
    pthread_mutex_lock(&lib->lock);
    status = lib->api.LiteRtCreateCompiledModel(lib->env, m->graph, options, ret);
    pthread_mutex_unlock(&lib->lock);
    if (first)
        nn_hush_end(&hush, known);
    return status;
}

static int compile(struct model *m, bool shared, char *error, void **ret)
{
    struct lib *lib = m->lib;
    void *options = NULL;
    int r;

    r = check(lib->api.LiteRtCreateOptions(&options), "prepare the model", error);
    if (r == 0)
        r = check(lib->api.LiteRtSetOptionsHardwareAccelerators(options, lib->accelerator),
                  "use the device", error);
    if (r == 0)
        r = set_options(m, shared, options, error);
    if (r == 0)
        r = check(create_compiled(m, options, ret), "prepare the model", error);
    if (options)
        lib->api.LiteRtDestroyOptions(options);
    return r;
}

/* The first time. Where the file of weights cannot be used, without; what is mapped stays as it is.
 */
static int compile_first(struct model *m, char *error, void **ret)
{
    m->weights = memfd_create("ssvm-weights", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (m->weights >= 0) {
        if (compile(m, true, error, ret) == 0) {
            (void)fcntl(m->weights, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
            return 0;
        }
        close(m->weights);
        m->weights = -1;
    }
    return compile(m, false, error, ret);
}

static void model_unload(void *arg)
{
    struct model *m = arg;

    if (!m)
        return;
    if (m->spare)
        m->lib->api.LiteRtDestroyCompiledModel(m->spare);
    if (m->graph)
        m->lib->api.LiteRtDestroyModel(m->graph);
    if (m->weights >= 0)
        close(m->weights);
    nn_ios_release(&m->ends.in);
    nn_ios_release(&m->ends.out);
    free(m);
}

static int model_load(void *arg, enum ssvm_nn_format format, const void *bytes, size_t len,
                      char *error, void **ret, size_t *ret_cost)
{
    struct lib *lib = arg;
    struct model *m = calloc(1, sizeof *m);
    void *compiled = NULL;

    (void)format; /* there is one */
    if (!m)
        return nn_fail(error, "out of memory");
    m->lib = lib;
    m->weights = -1;
    if (check(lib->api.LiteRtCreateModelFromBuffer(lib->env, bytes, len, &m->graph),
              "read the model", error) < 0 ||
        read_signature(m, error) < 0 || compile_first(m, error, &compiled) < 0) {
        model_unload(m);
        return -1;
    }
    m->spare = compiled;
    *ret = m;
    *ret_cost = len + len / 2; /* weights in another order; measured */
    return 0;
}

/* ---- Sessions ---- */

static bool is_stopped(void *session)
{
    return atomic_load_explicit(&((struct session *)session)->stop, memory_order_relaxed);
}

static void session_delete(void *arg)
{
    struct session *s = arg;

    if (!s)
        return;
    for (uint32_t i = 0; s->out && i < s->model->ends.out.n; i++) {
        if (s->out[i].buffer)
            s->model->lib->api.LiteRtDestroyTensorBuffer(s->out[i].buffer);
        free(s->out[i].memory);
    }
    if (s->compiled)
        s->model->lib->api.LiteRtDestroyCompiledModel(s->compiled);
    free(s->out);
    free(s->dims);
    free(s);
}

static int session_new(void *arg, char *error, void **ret)
{
    struct model *m = arg;
    struct session *s = calloc(1, sizeof *s);

    if (!s)
        return nn_fail(error, "out of memory");
    s->model = m;
    s->out = calloc(m->ends.out.n + 1, sizeof *s->out);
    s->dims = calloc(m->ends.in.n + 1, sizeof *s->dims);
    s->compiled = atomic_exchange(&m->spare, NULL);
    if (!s->out || !s->dims) {
        nn_fail(error, "out of memory");
        goto fail;
    }
    if (!s->compiled && compile(m, m->weights >= 0, error, &s->compiled) < 0)
        goto fail;
    if (check(m->lib->api.LiteRtSetCompiledModelCancellationFunction(s->compiled, s, is_stopped),
              "start a session", error) < 0)
        goto fail;
    for (uint32_t i = 0; i < m->ends.in.n; i++)
        memcpy(s->dims[i], m->ends.in.at[i].tensor.dims, sizeof s->dims[i]);
    *ret = s;
    return 0;
fail:
    session_delete(s);
    return -1;
}

/* Inputs whose shape is open take the one given. *resized: one has changed. */
static int resize(struct session *s, uint32_t i, const struct ssvm_nn_tensor *t, bool *resized,
                  char *error)
{
    int dims[SSVM_NN_RANK_MAX];

    if (memcmp(s->dims[i], t->dims, t->rank * sizeof t->dims[0]) == 0)
        return 0;
    for (uint32_t d = 0; d < t->rank; d++) {
        if (t->dims[d] > INT32_MAX)
            return nn_fail(error, "input '%.100s' is too large", s->model->ends.in.at[i].port.name);
        dims[d] = (int)t->dims[d];
    }
    if (check(s->model->lib->api.LiteRtCompiledModelResizeInputTensor(s->compiled, 0, i, dims,
                                                                      t->rank),
              "take the shape of an input", error) < 0)
        return -1;
    memcpy(s->dims[i], t->dims, t->rank * sizeof t->dims[0]);
    *resized = true;
    return 0;
}

static int set_output(struct session *s, uint32_t i, const struct layout *layout, char *error)
{
    const struct api *api = &s->model->lib->api;
    struct output *out = &s->out[i];
    struct ssvm_nn_tensor t = {.type = s->model->ends.out.at[i].tensor.type};
    struct ranked_type type;
    size_t len;

    from_layout(layout, &t);
    if (!nn_bytes(&t, &len) || len > SIZE_MAX - 2 * SSVM_NN_SLACK)
        return nn_fail(error, "output '%.100s' has a type or shape that cannot be had",
                       s->model->ends.out.at[i].port.name);
    t.len = len;
    if (out->buffer)
        api->LiteRtDestroyTensorBuffer(out->buffer);
    out->buffer = NULL;
    free(out->memory);
    out->size = (len + SSVM_NN_SLACK + ALIGN - 1) / ALIGN * ALIGN;
    out->memory = aligned_alloc(ALIGN, out->size);
    if (!out->memory)
        return nn_fail(error, "out of memory");
    memset(out->memory, 0, out->size);
    t.data = out->memory;
    to_layout(&t, &type);
    out->tensor = t;
    return check(api->LiteRtCreateTensorBufferFromHostMemory(&type, out->memory, out->size, NULL,
                                                             &out->buffer),
                 "hold an output", error);
}

/* The buffers of all outputs, anew where shapes may have changed. */
static int set_outputs(struct session *s, bool resized, char *error)
{
    struct model *m = s->model;
    struct layout *layouts;
    int r;

    if (!resized && (m->ends.out.n == 0 || s->out[0].buffer))
        return 0;
    layouts = calloc(m->ends.out.n + 1, sizeof *layouts);
    if (!layouts)
        return nn_fail(error, "out of memory");
    r = check(m->lib->api.LiteRtGetCompiledModelOutputTensorLayouts(s->compiled, 0, m->ends.out.n,
                                                                    layouts, true),
              "tell the shape of its outputs", error);
    for (uint32_t i = 0; r == 0 && i < m->ends.out.n; i++)
        r = set_output(s, i, &layouts[i], error);
    free(layouts);
    return r;
}

/* Buffers over the caller's memory, in the model's order. */
static int set_inputs(struct session *s, const struct ssvm_nn_tensor *inputs, const uint32_t *order,
                      void **buffers, char *error)
{
    struct model *m = s->model;
    bool resized = false;

    for (uint32_t i = 0; i < m->ends.in.n; i++) {
        const struct ssvm_nn_tensor *t = &inputs[order[i]];
        struct ranked_type type;

        if (resize(s, i, t, &resized, error) < 0)
            return -1;
        to_layout(t, &type);
        if (check(m->lib->api.LiteRtCreateTensorBufferFromHostMemory(&type, t->data, t->len, NULL,
                                                                     &buffers[i]),
                  "take an input", error) < 0)
            return -1;
    }
    return set_outputs(s, resized, error);
}

/* The run, and on failure what the library kept about it. */
static int invoke(struct session *s, void **in, void **out, char *error)
{
    const struct api *api = &s->model->lib->api;
    int status = api->LiteRtRunCompiledModel(s->compiled, 0, s->model->ends.in.n, in,
                                             s->model->ends.out.n, out);
    char *text = NULL;

    if (status == 0)
        return 0;
    if (status != CANCELLED && api->LiteRtCompiledModelGetErrorMessages(s->compiled, &text) == 0 &&
        text && text[0])
        nn_fail(error, TITLE " could not run the model: %.350s", text);
    else
        (void)check(status, "run the model", error);
    free(text);
    (void)api->LiteRtCompiledModelClearErrors(s->compiled);
    return -1;
}

static int session_run(void *arg, const struct ssvm_nn_port *ports,
                       const struct ssvm_nn_tensor *inputs, uint32_t ninputs,
                       const struct ssvm_nn_port *wanted, struct ssvm_nn_tensor *ret,
                       uint32_t nwanted, char *error)
{
    struct session *s = arg;
    struct model *m = s->model;
    uint32_t *order = calloc(m->ends.in.n + 1, sizeof *order);
    void **in = calloc(m->ends.in.n + 1, sizeof *in),
         **out = calloc(m->ends.out.n + 1, sizeof *out);
    int r = -1, at;

    if (!order || !in || !out) {
        nn_fail(error, "out of memory");
        goto done;
    }
    if (nn_ios_match(&m->ends.in, ports, inputs, ninputs, order, error) < 0 ||
        set_inputs(s, inputs, order, in, error) < 0)
        goto done;
    for (uint32_t i = 0; i < nwanted; i++) {
        at = nn_ios_find(&m->ends.out, &wanted[i], "output", error);
        if (at < 0)
            goto done;
        ret[i] = s->out[at].tensor;
    }
    for (uint32_t i = 0; i < m->ends.out.n; i++)
        out[i] = s->out[i].buffer;
    r = invoke(s, in, out, error);
    atomic_store(&s->stop, false);
done:
    for (uint32_t i = 0; in && i < m->ends.in.n; i++) {
        if (in[i])
            m->lib->api.LiteRtDestroyTensorBuffer(in[i]);
    }
    free(order);
    free(in);
    free(out);
    return r;
}

/* Between two operations; what the accelerator took over is one. */
static void session_cancel(void *arg)
{
    atomic_store(&((struct session *)arg)->stop, true);
}

const struct ssvm_nn_backend *ssvm_nn_backend(void)
{
    static const struct ssvm_nn_backend backend = {
        .abi = SSVM_NN_ABI,
        .id = "litert",
        .title = TITLE,
        .formats = 1 << SSVM_NN_TFLITE,
        .soname = "libLiteRt.so",
        .open = lib_open,
        .close = lib_close,
        .version = nn_lib_version,
        .devices = nn_lib_devices,
        .load = model_load,
        .unload = model_unload,
        .describe = nn_model_describe,
        .session_new = session_new,
        .session_delete = session_delete,
        .run = session_run,
        .cancel = session_cancel,
    };

    return &backend;
}
