/* OpenVINO as a backend: reads frozen GraphDefs, ONNX and TensorFlow Lite. Through its C interface
 * (openvino/c, 2026), of which the few declarations needed are here. */
#include "plugin/nn.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define TITLE "OpenVINO"
#define OLDEST 2026 /* the numbers of element types moved before */
#define OLDEST_TEXT "2026.0"

struct ov_shape {
    int64_t rank, *dims;
};
struct ov_dimension {
    int64_t min, max;
};
struct ov_partial_shape {
    struct ov_dimension rank, *dims;
};
struct ov_version {
    const char *build, *description;
};
struct ov_devices {
    char **at;
    size_t n;
};

/* clang-format off */
#define FUNCTIONS(F)                                                                                                   \
    F(int, ov_get_openvino_version, (struct ov_version *))                                                             \
    F(void, ov_version_free, (struct ov_version *))                                                                    \
    F(const char *, ov_get_last_err_msg, (void))                                                                       \
    F(void, ov_free, (const char *))                                                                                   \
    F(int, ov_core_create, (void **ret))                                                                               \
    F(void, ov_core_free, (void *core))                                                                                \
    F(int, ov_core_get_available_devices, (const void *core, struct ov_devices *))                                     \
    F(void, ov_available_devices_free, (struct ov_devices *))                                                          \
    F(int, ov_core_read_model, (const void *core, const char *path, const char *weights, void **ret))                  \
    F(int, ov_core_compile_model, (const void *core, const void *model, const char *device, size_t nargs, void **ret, ...)) \
    F(void, ov_model_free, (void *model))                                                                              \
    F(void, ov_compiled_model_free, (void *compiled))                                                                  \
    F(int, ov_compiled_model_inputs_size, (const void *compiled, size_t *))                                            \
    F(int, ov_compiled_model_outputs_size, (const void *compiled, size_t *))                                           \
    F(int, ov_compiled_model_input_by_index, (const void *compiled, size_t, void **ret_port))                          \
    F(int, ov_compiled_model_output_by_index, (const void *compiled, size_t, void **ret_port))                         \
    F(int, ov_port_get_any_name, (const void *port, char **))                                                          \
    F(int, ov_port_get_partial_shape, (const void *port, struct ov_partial_shape *))                                   \
    F(int, ov_port_get_element_type, (const void *port, int *))                                                        \
    F(void, ov_output_const_port_free, (void *port))                                                                   \
    F(void, ov_partial_shape_free, (struct ov_partial_shape *))                                                        \
    F(int, ov_shape_free, (struct ov_shape *))                                                                         \
    F(int, ov_tensor_create, (int type, struct ov_shape, void **ret))                                                  \
    F(int, ov_tensor_create_from_host_ptr, (int type, struct ov_shape, void *, void **ret))                            \
    F(int, ov_tensor_get_shape, (const void *tensor, struct ov_shape *))                                               \
    F(int, ov_tensor_get_element_type, (const void *tensor, int *))                                                    \
    F(int, ov_tensor_get_byte_size, (const void *tensor, size_t *))                                                    \
    F(int, ov_tensor_data, (const void *tensor, void **))                                                              \
    F(void, ov_tensor_free, (void *tensor))                                                                            \
    F(int, ov_compiled_model_create_infer_request, (const void *compiled, void **ret))                                 \
    F(void, ov_infer_request_free, (void *request))                                                                    \
    F(int, ov_infer_request_set_input_tensor_by_index, (void *request, size_t, const void *tensor))                    \
    F(int, ov_infer_request_get_output_tensor_by_index, (const void *request, size_t, void **ret))                     \
    F(int, ov_infer_request_infer, (void *request))                                                                    \
    F(int, ov_infer_request_cancel, (void *request))
/* clang-format on */

struct api {
    FUNCTIONS(NN_POINTER)
};
static const struct nn_symbol symbols[] = {FUNCTIONS(NN_SYMBOL)};

struct lib {
    struct nn_lib about;
    struct api api;
    void *core; /* owned */
    uint32_t threads;
    char device[SSVM_NN_NAME_MAX];
};
struct model {
    struct nn_model ends;
    struct lib *lib;
    void *compiled; /* owned */
};
struct session {
    struct model *model;
    void *request;  /* owned */
    void **results; /* owned tensors of the last run, one for each output of the model; NULL: not
                       asked for */
};

/* ov_element_type_e of 2026. */
static const struct nn_type types[] = {{SSVM_NN_BOOL, 1}, {SSVM_NN_F16, 3},  {SSVM_NN_F32, 4},
                                       {SSVM_NN_F64, 5},  {SSVM_NN_I8, 7},   {SSVM_NN_I16, 8},
                                       {SSVM_NN_I32, 9},  {SSVM_NN_I64, 10}, {SSVM_NN_U8, 16},
                                       {SSVM_NN_U16, 17}, {SSVM_NN_U32, 18}, {SSVM_NN_U64, 19}};

/* The last line of what the library says is the reason; those before it are its source files. */
static int failed(const struct lib *lib, const char *what, char *error)
{
    const char *text = lib->api.ov_get_last_err_msg();
    const char *line = text ? text : "unknown error", *end;

    end = line + strlen(line);
    while (end > line && (end[-1] == '\n' || end[-1] == ' '))
        end--;
    for (const char *p = end; p > line; p--) {
        if (p[-1] == '\n') {
            line = p;
            break;
        }
    }
    nn_fail(error, TITLE " could not %s: %.*s", what, (int)(end - line > 300 ? 300 : end - line),
            line);
    return -1;
}

/* ---- The library ---- */

/* The type numbers above are those of this library? Then sizes are as expected. */
static int check_types(const struct lib *lib, char *error)
{
    for (size_t i = 0; i < NN_COUNT(types); i++) {
        int64_t dim = 1;
        struct ov_shape shape = {1, &dim};
        void *tensor = NULL;
        size_t size = 0;

        if (lib->api.ov_tensor_create(types[i].foreign, shape, &tensor) == 0)
            lib->api.ov_tensor_get_byte_size(tensor, &size);
        if (tensor)
            lib->api.ov_tensor_free(tensor);
        if (size != nn_type_size(types[i].type))
            return nn_fail(error, "%s numbers element types in a way that is not known here",
                           lib->about.version);
    }
    return 0;
}

static int read_version(struct lib *lib, char *error)
{
    struct ov_version v = {NULL, NULL};

    if (lib->api.ov_get_openvino_version(&v) != 0 || !v.build)
        return failed(lib, "tell its version", error);
    /* 2026.4.1-22982-e213a147257-releases/2026/4 */
    snprintf(lib->about.version, sizeof lib->about.version, TITLE " %.*s",
             (int)strcspn(v.build, "-"), v.build);
    lib->api.ov_version_free(&v);
    if (nn_version_major(lib->about.version) < OLDEST)
        return nn_fail(error, "%s is too old: " OLDEST_TEXT " or newer is needed",
                       lib->about.version);
    return 0;
}

static int read_devices(struct lib *lib, char *error)
{
    struct ov_devices d = {NULL, 0};

    if (lib->api.ov_core_get_available_devices(lib->core, &d) != 0)
        return failed(lib, "list its devices", error);
    /* The processor first: the default. */
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < d.n; i++) {
            if ((strcmp(d.at[i], "CPU") == 0) == (pass == 0))
                nn_device_add(lib->about.devices, sizeof lib->about.devices, d.at[i]);
        }
    }
    lib->api.ov_available_devices_free(&d);
    return 0;
}

static void lib_close(void *arg)
{
    struct lib *lib = arg;

    if (lib && lib->core)
        lib->api.ov_core_free(lib->core);
    free(lib);
}

static int lib_open(const struct ssvm_nn_options *options, char *error, void **ret)
{
    static const char *const names[] = {"libopenvino_c.so*", NULL};
    static const char *const folders[] = {"", "libs/", "openvino/libs/", "lib/", NULL};
    struct lib *lib = calloc(1, sizeof *lib);
    char folder[NN_TEXT_MAX];
    void *handle;

    if (!lib)
        return nn_fail(error, "out of memory");
    lib->threads = options->threads;
    for (size_t i = 0; options->device[i] && i + 1 < sizeof lib->device; i++)
        lib->device[i] = options->device[i];
    handle = nn_open("openvino", options->library, names, folders, 0, error, folder, sizeof folder);
    if (!handle ||
        nn_bind(handle, TITLE, OLDEST_TEXT, symbols, NN_COUNT(symbols), &lib->api, error) < 0)
        goto fail;
    if (read_version(lib, error) < 0 || check_types(lib, error) < 0)
        goto fail;
    if (lib->api.ov_core_create(&lib->core) != 0) {
        failed(lib, "start", error);
        goto fail;
    }
    if (read_devices(lib, error) < 0 || nn_device_check(lib->device, lib->about.devices, error) < 0)
        goto fail;
    *ret = lib;
    return 0;
fail:
    lib_close(lib);
    return -1;
}

/* ---- Models ---- */

static int write_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return -1;
        bytes += n;
        len -= (size_t)n;
    }
    return 0;
}

/* A folder with a link of that name to the open file `fd`; the folder's path to `ret`. */
static int link_folder(int fd, const char *name, char *ret, size_t size)
{
    const char *const places[] = {getenv("TMPDIR"), "/tmp", "/dev/shm", "/run", "."};
    char path[PATH_MAX], target[64];

    snprintf(target, sizeof target, "/proc/self/fd/%d", fd);
    for (size_t i = 0; i < NN_COUNT(places); i++) {
        if (!places[i] || !*places[i])
            continue;
        snprintf(ret, size, "%s/ssvm-nn-XXXXXX", places[i]);
        if (!mkdtemp(ret))
            continue;
        snprintf(path, sizeof path, "%s/%s", ret, name);
        if (symlink(target, path) == 0)
            return 0;
        rmdir(ret);
    }
    return -1;
}

/* The library takes a format from a file's name, and Lite models from files alone. So the bytes go
 * into a file in memory, and a link with the right name shows it to the library while it reads. */
static int read_model(struct lib *lib, enum ssvm_nn_format format, const void *bytes, size_t len,
                      char *error, void **ret)
{
    static const char *const names[SSVM_NN_FORMATS] = {"model.pb", "model.tflite", "model.onnx"};
    char folder[PATH_MAX - 32], path[PATH_MAX];
    int fd, r;

    fd = memfd_create("ssvm-model", MFD_CLOEXEC);
    if (fd < 0 || write_all(fd, bytes, len) < 0) {
        r = nn_fail(error, "no memory for the model: %s", strerror(errno));
        goto done;
    }
    if (link_folder(fd, names[format], folder, sizeof folder) < 0) {
        r = nn_fail(error, "no folder in /tmp for the model: %s", strerror(errno));
        goto done;
    }
    snprintf(path, sizeof path, "%s/%s", folder, names[format]);
    r = lib->api.ov_core_read_model(lib->core, path, NULL, ret);
    unlink(path);
    rmdir(folder);
    if (r != 0)
        r = failed(lib, "read the model", error);
done:
    if (fd >= 0)
        close(fd);
    return r;
}

/* Requests of one model run beside each other, each on `threads`: that is a stream. */
static int compile(struct lib *lib, const void *m, char *error, void **ret)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    uint32_t streams = cores > (long)lib->threads ? (uint32_t)cores / lib->threads : 1;
    char threads[16], nstreams[16], device[SSVM_NN_NAME_MAX];

    if (strcmp(lib->device, "cpu") != 0) {
        for (size_t i = 0; i < sizeof device; i++)
            device[i] = lib->device[i] >= 'a' && lib->device[i] <= 'z'
                            ? (char)(lib->device[i] - 'a' + 'A')
                            : lib->device[i];
        return lib->api.ov_core_compile_model(lib->core, m, device, 0, ret) == 0
                   ? 0
                   : failed(lib, "prepare the model", error);
    }
    snprintf(threads, sizeof threads, "%u", streams * lib->threads);
    snprintf(nstreams, sizeof nstreams, "%u", streams);
    /* The numbers of the reference, not of a faster 16-bit type that some processors have. */
    if (lib->api.ov_core_compile_model(lib->core, m, "CPU", 8, ret, "INFERENCE_NUM_THREADS",
                                       threads, "NUM_STREAMS", nstreams, "ENABLE_CPU_PINNING", "NO",
                                       "INFERENCE_PRECISION_HINT", "f32") != 0)
        return failed(lib, "prepare the model", error);
    return 0;
}

static int read_port(struct lib *lib, void *port, struct nn_io *io, char *error)
{
    struct ov_partial_shape shape = {{0, 0}, NULL};
    char *name = NULL;
    int type = 0, r = 0;

    if (lib->api.ov_port_get_any_name(port, &name) == 0 && name)
        nn_port_parse(name, &io->port);
    lib->api.ov_free(name);
    if (lib->api.ov_port_get_element_type(port, &type) != 0)
        return failed(lib, "tell a type", error);
    io->tensor.type = nn_type_from(types, NN_COUNT(types), type);
    if (lib->api.ov_port_get_partial_shape(port, &shape) != 0)
        return failed(lib, "tell a shape", error);
    if (shape.rank.min != shape.rank.max || shape.rank.max > SSVM_NN_RANK_MAX)
        r = nn_fail(error, "'%.100s' has no fixed rank, or more than %d dimensions", io->port.name,
                    SSVM_NN_RANK_MAX);
    else
        io->tensor.rank = (uint32_t)shape.rank.max;
    for (uint32_t i = 0; i < io->tensor.rank; i++)
        io->tensor.dims[i] =
            shape.dims[i].min == shape.dims[i].max ? shape.dims[i].max : (int64_t)-1;
    lib->api.ov_partial_shape_free(&shape);
    return r;
}

static int read_ports(struct model *m, bool output, struct nn_ios *ios, char *error)
{
    const struct api *api = &m->lib->api;
    size_t n = 0;

    if ((output ? api->ov_compiled_model_outputs_size
                : api->ov_compiled_model_inputs_size)(m->compiled, &n) != 0 ||
        n > UINT16_MAX)
        return failed(m->lib, "count inputs and outputs", error);
    if (nn_ios_new(ios, (uint32_t)n, error) < 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        void *port = NULL;
        int r;

        if ((output ? api->ov_compiled_model_output_by_index
                    : api->ov_compiled_model_input_by_index)(m->compiled, i, &port) != 0)
            return failed(m->lib, "show its inputs and outputs", error);
        r = read_port(m->lib, port, &ios->at[i], error);
        api->ov_output_const_port_free(port);
        if (r < 0)
            return -1;
    }
    return 0;
}

static void model_unload(void *arg)
{
    struct model *m = arg;

    if (!m)
        return;
    if (m->compiled)
        m->lib->api.ov_compiled_model_free(m->compiled);
    nn_ios_release(&m->ends.in);
    nn_ios_release(&m->ends.out);
    free(m);
}

static int model_load(void *arg, enum ssvm_nn_format format, const void *bytes, size_t len,
                      char *error, void **ret, size_t *ret_cost)
{
    struct lib *lib = arg;
    struct model *m = calloc(1, sizeof *m);
    void *graph = NULL;
    int r = -1;

    if (!m)
        return nn_fail(error, "out of memory");
    m->lib = lib;
    if (read_model(lib, format, bytes, len, error, &graph) < 0)
        goto done;
    if (compile(lib, graph, error, &m->compiled) < 0 ||
        read_ports(m, false, &m->ends.in, error) < 0 ||
        read_ports(m, true, &m->ends.out, error) < 0)
        goto done;
    *ret = m;
    *ret_cost = 4 * len; /* measured, as those of the others are */
    r = 0;
done:
    if (graph)
        lib->api.ov_model_free(graph);
    if (r < 0)
        model_unload(m);
    return r;
}

/* ---- Sessions ---- */

static void drop_results(struct session *s)
{
    for (uint32_t i = 0; i < s->model->ends.out.n; i++) {
        if (s->results[i])
            s->model->lib->api.ov_tensor_free(s->results[i]);
        s->results[i] = NULL;
    }
}

static void session_delete(void *arg)
{
    struct session *s = arg;

    if (!s)
        return;
    if (s->results)
        drop_results(s);
    if (s->request)
        s->model->lib->api.ov_infer_request_free(s->request);
    free(s->results);
    free(s);
}

static int session_new(void *arg, char *error, void **ret)
{
    struct model *m = arg;
    struct session *s = calloc(1, sizeof *s);
    int r = -1;

    if (!s)
        return nn_fail(error, "out of memory");
    s->model = m;
    s->results = calloc(m->ends.out.n + 1, sizeof *s->results);
    if (!s->results)
        nn_fail(error, "out of memory");
    else if (m->lib->api.ov_compiled_model_create_infer_request(m->compiled, &s->request) != 0)
        failed(m->lib, "start a session", error);
    else
        r = 0;
    if (r < 0)
        session_delete(s);
    else
        *ret = s;
    return r;
}

static int set_input(struct session *s, uint32_t position, const struct ssvm_nn_tensor *t,
                     char *error)
{
    const struct api *api = &s->model->lib->api;
    int64_t dims[SSVM_NN_RANK_MAX];
    struct ov_shape shape = {t->rank, dims};
    void *tensor = NULL;
    int r;

    memcpy(dims, t->dims, sizeof dims);
    if (api->ov_tensor_create_from_host_ptr(nn_type_to(types, NN_COUNT(types), t->type), shape,
                                            t->data, &tensor) != 0)
        return failed(s->model->lib, "take an input", error);
    r = api->ov_infer_request_set_input_tensor_by_index(s->request, position, tensor);
    api->ov_tensor_free(tensor);
    return r == 0 ? 0 : failed(s->model->lib, "take an input", error);
}

static int get_output(struct session *s, uint32_t position, struct ssvm_nn_tensor *ret, char *error)
{
    const struct api *api = &s->model->lib->api;
    struct ov_shape shape = {0, NULL};
    int type = 0, r = -1;
    void *tensor;

    if (!s->results[position] && api->ov_infer_request_get_output_tensor_by_index(
                                     s->request, position, &s->results[position]) != 0)
        return failed(s->model->lib, "give an output", error);
    tensor = s->results[position];
    if (api->ov_tensor_get_element_type(tensor, &type) != 0 ||
        api->ov_tensor_get_shape(tensor, &shape) != 0)
        return failed(s->model->lib, "give an output", error);
    ret->type = nn_type_from(types, NN_COUNT(types), type);
    if (ret->type == 0 || shape.rank > SSVM_NN_RANK_MAX) {
        nn_fail(error, "output '%.100s' has a type or rank that tensors cannot have",
                s->model->ends.out.at[position].port.name);
    } else if (api->ov_tensor_get_byte_size(tensor, &ret->len) != 0 ||
               api->ov_tensor_data(tensor, &ret->data) != 0) {
        failed(s->model->lib, "give an output", error);
    } else {
        ret->rank = (uint32_t)shape.rank;
        for (uint32_t i = 0; i < ret->rank; i++)
            ret->dims[i] = shape.dims[i];
        r = 0;
    }
    api->ov_shape_free(&shape);
    return r;
}

static int session_run(void *arg, const struct ssvm_nn_port *ports,
                       const struct ssvm_nn_tensor *inputs, uint32_t ninputs,
                       const struct ssvm_nn_port *wanted, struct ssvm_nn_tensor *ret,
                       uint32_t nwanted, char *error)
{
    struct session *s = arg;
    struct model *m = s->model;
    uint32_t *order = calloc(m->ends.in.n + 1, sizeof *order);
    int r = -1;

    if (!order)
        return nn_fail(error, "out of memory");
    drop_results(s);
    if (nn_ios_match(&m->ends.in, ports, inputs, ninputs, order, error) < 0)
        goto done;
    for (uint32_t i = 0; i < m->ends.in.n; i++) {
        if (set_input(s, i, &inputs[order[i]], error) < 0)
            goto done;
    }
    for (uint32_t i = 0; i < nwanted; i++) {
        if (nn_ios_find(&m->ends.out, &wanted[i], "output", error) < 0)
            goto done;
    }
    if (m->lib->api.ov_infer_request_infer(s->request) != 0) {
        failed(m->lib, "run the model", error);
        goto done;
    }
    for (uint32_t i = 0; i < nwanted; i++) {
        int at = nn_ios_find(&m->ends.out, &wanted[i], "output", error);

        if (get_output(s, (uint32_t)at, &ret[i], error) < 0)
            goto done;
    }
    r = 0;
done:
    free(order);
    return r;
}

static void session_cancel(void *arg)
{
    struct session *s = arg;

    s->model->lib->api.ov_infer_request_cancel(s->request);
}

const struct ssvm_nn_backend *ssvm_nn_backend(void)
{
    static const struct ssvm_nn_backend backend = {
        .abi = SSVM_NN_ABI,
        .id = "openvino",
        .title = TITLE,
        .formats = 1 << SSVM_NN_TENSORFLOW | 1 << SSVM_NN_TFLITE | 1 << SSVM_NN_ONNX,
        .soname = "libopenvino_c.so",
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
