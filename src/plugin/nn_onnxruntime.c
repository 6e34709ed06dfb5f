/* ONNX Runtime as a backend: reads ONNX. Its C interface is a table of functions that only grows at
 * its end; the positions used here are those of version 17 (onnxruntime 1.17). */
#include "plugin/nn.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE "ONNX Runtime"
#define OLDEST_TEXT "1.17"
#define TABLE_VERSION 17

/* F(position, ret, name, args). Those that can fail return a status, NULL when good. */
/* clang-format off */
#define FUNCTIONS(F)                                                                                        \
    F(2, const char *, get_error_message, (const void *status))                                             \
    F(3, void *, create_env, (int level, const char *id, void **ret))                                       \
    F(8, void *, create_session_from_array, (const void *env, const void *, size_t, const void *, void **)) \
    F(9, void *, run, (void *session, const void *options, const char *const *names, const void *const *in, size_t nin, const char *const *wanted, size_t nout, void **out)) \
    F(10, void *, create_session_options, (void **ret))                                                     \
    F(24, void *, set_intra_op_num_threads, (void *options, int))                                           \
    F(25, void *, set_inter_op_num_threads, (void *options, int))                                           \
    F(30, void *, session_get_input_count, (const void *session, size_t *))                                 \
    F(31, void *, session_get_output_count, (const void *session, size_t *))                                \
    F(33, void *, session_get_input_type_info, (const void *session, size_t, void **))                      \
    F(34, void *, session_get_output_type_info, (const void *session, size_t, void **))                     \
    F(36, void *, session_get_input_name, (const void *session, size_t, void *allocator, char **))          \
    F(37, void *, session_get_output_name, (const void *session, size_t, void *allocator, char **))         \
    F(39, void *, create_run_options, (void **ret))                                                         \
    F(46, void *, run_options_set_terminate, (void *options))                                               \
    F(47, void *, run_options_unset_terminate, (void *options))                                             \
    F(49, void *, create_tensor_with_data, (const void *memory, void *data, size_t len, const int64_t *dims, size_t rank, int type, void **ret)) \
    F(50, void *, is_tensor, (const void *value, int *ret))                                                 \
    F(51, void *, get_tensor_mutable_data, (void *value, void **ret))                                       \
    F(55, void *, cast_type_info_to_tensor_info, (const void *info, const void **ret))                      \
    F(60, void *, get_tensor_element_type, (const void *info, int *))                                       \
    F(61, void *, get_dimensions_count, (const void *info, size_t *))                                       \
    F(62, void *, get_dimensions, (const void *info, int64_t *, size_t))                                    \
    F(65, void *, get_tensor_type_and_shape, (const void *value, void **ret))                               \
    F(69, void *, create_cpu_memory_info, (int allocator, int memory, void **ret))                          \
    F(76, void *, allocator_free, (void *allocator, void *))                                                \
    F(78, void *, get_allocator_with_default_options, (void **ret))                                         \
    F(92, void, release_env, (void *))                                                                      \
    F(93, void, release_status, (void *))                                                                   \
    F(94, void, release_memory_info, (void *))                                                              \
    F(95, void, release_session, (void *))                                                                  \
    F(96, void, release_value, (void *))                                                                    \
    F(97, void, release_run_options, (void *))                                                              \
    F(98, void, release_type_info, (void *))                                                                \
    F(99, void, release_tensor_type_and_shape_info, (void *))                                               \
    F(100, void, release_session_options, (void *))                                                         \
    F(125, void *, get_available_providers, (char ***, int *))                                              \
    F(126, void *, release_available_providers, (char **, int))                                             \
    F(130, void *, add_session_config_entry, (void *options, const char *key, const char *value))           \
    F(204, void *, append_cuda, (void *options, const void *cuda))                                          \
    F(205, void *, create_cuda_options, (void **ret))                                                       \
    F(206, void *, update_cuda_options, (void *cuda, const char *const *keys, const char *const *values, size_t n)) \
    F(208, void, release_cuda_options, (void *))
/* clang-format on */

#define POINTER(position, ret, name, args) ret(*name) args;
struct api {
    FUNCTIONS(POINTER)
};
#define ROW(position, ret, name, args) {position, offsetof(struct api, name)},
static const struct {
    unsigned position;
    size_t offset;
} rows[] = {FUNCTIONS(ROW)};

struct base {
    const void *(*get_api)(uint32_t version);
    const char *(*version)(void);
};
struct lib {
    struct nn_lib about;
    struct api api;
    void *env, *memory; /* owned */
    void *allocator;    /* the library's */
    void *cuda;         /* owned; NULL: runs on the CPU */
    uint32_t threads;
};
struct model {
    struct nn_model ends;
    struct lib *lib;
    void *session; /* owned; any number of runs at once */
    char **names;  /* owned, the library's names: of in, then of out */
};
struct session {
    struct model *model;
    void *options;  /* owned */
    void **results; /* owned values of the last run */
    uint32_t nresults;
    pthread_mutex_t lock;
    bool running; /* guarded: only then may it be ended early */
};

/* ONNXTensorElementDataType */
static const struct nn_type types[] = {{SSVM_NN_F32, 1},  {SSVM_NN_U8, 2},   {SSVM_NN_I8, 3},
                                       {SSVM_NN_U16, 4},  {SSVM_NN_I16, 5},  {SSVM_NN_I32, 6},
                                       {SSVM_NN_I64, 7},  {SSVM_NN_BOOL, 9}, {SSVM_NN_F16, 10},
                                       {SSVM_NN_F64, 11}, {SSVM_NN_U32, 12}, {SSVM_NN_U64, 13}};

/* 0 when `status` is good; else its text to `error`. */
static int check(const struct lib *lib, own void *status, const char *what, char *error)
{
    if (!status)
        return 0;
    nn_fail(error, TITLE " could not %s: %.300s", what, lib->api.get_error_message(status));
    lib->api.release_status(status);
    return -1;
}

/* ---- The library ---- */

/* Has this machine a device of CUDA's? The driver says; it comes with the machine, not with the
 * library. */
static bool has_cuda(void)
{
    void *driver = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    void *start = driver ? dlsym(driver, "cuInit") : NULL;
    void *count = driver ? dlsym(driver, "cuDeviceGetCount") : NULL;
    int (*cu_init)(unsigned flags), (*cu_device_get_count)(int *ret), n = 0;

    if (!start || !count)
        return false;
    memcpy(&cu_init, &start, sizeof cu_init);
    memcpy(&cu_device_get_count, &count, sizeof cu_device_get_count);
    return cu_init(0) == 0 && cu_device_get_count(&n) == 0 && n > 0;
}

/* Asked for when somebody wants to know: the driver takes its time. */
static int lib_devices(void *arg, char *error, char *ret, size_t size)
{
    struct lib *lib = arg;
    char **names = NULL;
    bool built = false;
    int n = 0;

    if (check(lib, lib->api.get_available_providers(&names, &n), "list its devices", error) < 0)
        return -1;
    for (int i = 0; i < n; i++)
        built = built || strcmp(names[i], "CUDAExecutionProvider") == 0;
    ret[0] = '\0';
    nn_device_add(ret, size, "cpu");
    if (built && has_cuda())
        nn_device_add(ret, size, "gpu");
    return check(lib, lib->api.release_available_providers(names, n), "list its devices", error);
}

/* What sessions on the GPU are made with. Opens the library's part for it, and CUDA's own
 * libraries. */
static int cuda_init(struct lib *lib, char *error)
{
    /* The numbers of the CPU, not of 10 bits of mantissa; and a first run that tries nothing out.
     */
    static const char *const keys[] = {"use_tf32", "cudnn_conv_algo_search"};
    static const char *const values[] = {"0", "HEURISTIC"};

    if (check(lib, lib->api.create_cuda_options(&lib->cuda), "use the gpu", error) < 0)
        return -1;
    return check(lib, lib->api.update_cuda_options(lib->cuda, keys, values, NN_COUNT(keys)),
                 "use the gpu", error);
}

static int bind(struct lib *lib, void *handle, char *error)
{
    const struct base *(*get_base)(void);
    const struct base *base;
    const void *const *table;
    void *p = dlsym(handle, "OrtGetApiBase");

    if (!p)
        return nn_fail(error, "this is not the library of " TITLE ": no 'OrtGetApiBase'");
    memcpy(&get_base, &p, sizeof p);
    base = get_base();
    snprintf(lib->about.version, sizeof lib->about.version, TITLE " %.100s", base->version());
    table = base->get_api(TABLE_VERSION);
    if (!table)
        return nn_fail(error, "%s is too old: " OLDEST_TEXT " or newer is needed",
                       lib->about.version);
    for (size_t i = 0; i < NN_COUNT(rows); i++)
        memcpy((char *)&lib->api + rows[i].offset, &table[rows[i].position], sizeof table[0]);
    return 0;
}

static void lib_close(void *arg)
{
    struct lib *lib = arg;

    if (!lib)
        return;
    if (lib->cuda)
        lib->api.release_cuda_options(lib->cuda);
    if (lib->memory)
        lib->api.release_memory_info(lib->memory);
    if (lib->env)
        lib->api.release_env(lib->env);
    free(lib);
}

static int lib_open(const struct ssvm_nn_options *options, char *error, void **ret)
{
    static const char *const names[] = {"libonnxruntime.so*", NULL};
    static const char *const folders[] = {"", "capi/", "onnxruntime/capi/", "lib/", NULL};
    enum { FATAL = 4, ARENA = 1, DEFAULT = 0 };
    struct lib *lib = calloc(1, sizeof *lib);
    char folder[NN_TEXT_MAX], devices[NN_TEXT_MAX];
    bool cpu = strcmp(options->device, "cpu") == 0;
    void *handle;

    if (!lib)
        return nn_fail(error, "out of memory");
    lib->threads = options->threads;
    handle =
        nn_open("onnxruntime", options->library, names, folders, 0, error, folder, sizeof folder);
    if (!handle || bind(lib, handle, error) < 0)
        goto fail;
    if (check(lib, lib->api.create_env(FATAL, "ssvm", &lib->env), "start", error) < 0 ||
        check(lib, lib->api.create_cpu_memory_info(ARENA, DEFAULT, &lib->memory), "start", error) <
            0 ||
        check(lib, lib->api.get_allocator_with_default_options(&lib->allocator), "start", error) <
            0)
        goto fail;
    if (!cpu && (lib_devices(lib, error, devices, sizeof devices) < 0 ||
                 nn_device_check(options->device, devices, error) < 0 || cuda_init(lib, error) < 0))
        goto fail;
    *ret = lib;
    return 0;
fail:
    lib_close(lib);
    return -1;
}

/* ---- Models ---- */

static int read_shape(const struct lib *lib, const void *info, struct ssvm_nn_tensor *ret,
                      char *error)
{
    size_t rank = 0;
    int type = 0;

    if (check(lib, lib->api.get_tensor_element_type(info, &type), "tell a type", error) < 0 ||
        check(lib, lib->api.get_dimensions_count(info, &rank), "tell a shape", error) < 0)
        return -1;
    if (rank > SSVM_NN_RANK_MAX)
        return nn_fail(error, "a tensor has %zu dimensions; %d are possible", rank,
                       SSVM_NN_RANK_MAX);
    ret->type = nn_type_from(types, NN_COUNT(types), type);
    ret->rank = (uint32_t)rank;
    return check(lib, lib->api.get_dimensions(info, ret->dims, rank), "tell a shape", error);
}

static int read_io(struct model *m, bool output, size_t i, char *error)
{
    const struct api *api = &m->lib->api;
    struct nn_io *io = output ? &m->ends.out.at[i] : &m->ends.in.at[i];
    char **name = &m->names[output ? m->ends.in.n + i : i];
    const void *tensor = NULL;
    void *info = NULL;
    int r;

    if (check(m->lib,
              (output ? api->session_get_output_name
                      : api->session_get_input_name)(m->session, i, m->lib->allocator, name),
              "name an input or output", error) < 0 ||
        check(m->lib,
              (output ? api->session_get_output_type_info
                      : api->session_get_input_type_info)(m->session, i, &info),
              "tell a type", error) < 0)
        return -1;
    nn_port_parse(*name, &io->port);
    r = check(m->lib, api->cast_type_info_to_tensor_info(info, &tensor), "tell a type", error);
    if (r == 0 && tensor) /* else a sequence or map: it stays of no type, and cannot be used */
        r = read_shape(m->lib, tensor, &io->tensor, error);
    api->release_type_info(info);
    return r;
}

static void model_unload(void *arg)
{
    struct model *m = arg;

    if (!m)
        return;
    for (uint32_t i = 0; m->names && i < m->ends.in.n + m->ends.out.n; i++) {
        if (m->names[i])
            m->lib->api.allocator_free(m->lib->allocator, m->names[i]);
    }
    free(m->names);
    if (m->session)
        m->lib->api.release_session(m->session);
    nn_ios_release(&m->ends.in);
    nn_ios_release(&m->ends.out);
    free(m);
}

static int session_options(struct lib *lib, char *error, void **ret)
{
    const struct api *api = &lib->api;
    void *o = NULL;

    if (check(lib, api->create_session_options(&o), "prepare options", error) < 0)
        return -1;
    if (check(lib, api->set_intra_op_num_threads(o, (int)lib->threads), "limit threads", error) <
            0 ||
        check(lib, api->set_inter_op_num_threads(o, 1), "limit threads", error) < 0 ||
        /* Threads that wait do not burn the processor of other requests. */
        check(lib, api->add_session_config_entry(o, "session.intra_op.allow_spinning", "0"),
              "limit threads", error) < 0 ||
        /* Values in files beside the model: there are none, and the current folder is not it. */
        check(lib,
              api->add_session_config_entry(
                  o, "session.model_external_initializers_file_folder_path", "/dev/null/none"),
              "keep to the model", error) < 0 ||
        (lib->cuda && check(lib, api->append_cuda(o, lib->cuda), "use the gpu", error) < 0)) {
        api->release_session_options(o);
        return -1;
    }
    *ret = o;
    return 0;
}

static int read_ios(struct model *m, char *error)
{
    const struct api *api = &m->lib->api;
    size_t nin = 0, nout = 0;

    if (check(m->lib, api->session_get_input_count(m->session, &nin), "count inputs", error) < 0 ||
        check(m->lib, api->session_get_output_count(m->session, &nout), "count outputs", error) < 0)
        return -1;
    if (nin > UINT16_MAX || nout > UINT16_MAX)
        return nn_fail(error, "too many inputs or outputs");
    m->names = calloc(nin + nout + 1, sizeof *m->names);
    if (!m->names)
        return nn_fail(error, "out of memory");
    if (nn_ios_new(&m->ends.in, (uint32_t)nin, error) < 0 ||
        nn_ios_new(&m->ends.out, (uint32_t)nout, error) < 0)
        return -1;
    for (size_t i = 0; i < nin; i++) {
        if (read_io(m, false, i, error) < 0)
            return -1;
    }
    for (size_t i = 0; i < nout; i++) {
        if (read_io(m, true, i, error) < 0)
            return -1;
    }
    return 0;
}

static int model_load(void *arg, enum ssvm_nn_format format, const void *bytes, size_t len,
                      char *error, void **ret, size_t *ret_cost)
{
    struct lib *lib = arg;
    struct model *m = calloc(1, sizeof *m);
    void *options = NULL;
    int r = -1;

    (void)format; /* there is one */
    if (!m)
        return nn_fail(error, "out of memory");
    m->lib = lib;
    if (session_options(lib, error, &options) < 0)
        goto done;
    if (check(lib, lib->api.create_session_from_array(lib->env, bytes, len, options, &m->session),
              "read the model", error) < 0 ||
        read_ios(m, error) < 0)
        goto done;
    *ret = m;
    *ret_cost = 2 * len; /* measured */
    r = 0;
done:
    if (options)
        lib->api.release_session_options(options);
    if (r < 0)
        model_unload(m);
    return r;
}

/* ---- Sessions ---- */

static void drop_results(struct session *s)
{
    for (uint32_t i = 0; i < s->nresults; i++) {
        if (s->results[i])
            s->model->lib->api.release_value(s->results[i]);
    }
    free(s->results);
    s->results = NULL;
    s->nresults = 0;
}

static void session_delete(void *arg)
{
    struct session *s = arg;

    if (!s)
        return;
    drop_results(s);
    if (s->options)
        s->model->lib->api.release_run_options(s->options);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

static int session_new(void *arg, char *error, void **ret)
{
    struct model *m = arg;
    struct session *s = calloc(1, sizeof *s);

    if (!s)
        return nn_fail(error, "out of memory");
    s->model = m;
    pthread_mutex_init(&s->lock, NULL);
    if (check(m->lib, m->lib->api.create_run_options(&s->options), "start a session", error) < 0) {
        session_delete(s);
        return -1;
    }
    *ret = s;
    return 0;
}

static void set_running(struct session *s, bool running)
{
    const struct lib *lib = s->model->lib;
    char ignored[SSVM_NN_ERROR_MAX];

    pthread_mutex_lock(&s->lock);
    s->running = running;
    (void)check(lib, lib->api.run_options_unset_terminate(s->options), "end a run", ignored);
    pthread_mutex_unlock(&s->lock);
}

static void session_cancel(void *arg)
{
    struct session *s = arg;
    const struct lib *lib = s->model->lib;
    char ignored[SSVM_NN_ERROR_MAX];

    pthread_mutex_lock(&s->lock);
    if (s->running)
        (void)check(lib, lib->api.run_options_set_terminate(s->options), "end a run", ignored);
    pthread_mutex_unlock(&s->lock);
}

static int get_output(struct session *s, uint32_t i, struct ssvm_nn_tensor *ret, char *error)
{
    const struct lib *lib = s->model->lib;
    void *info = NULL;
    int tensor = 0, r;

    if (check(lib, lib->api.is_tensor(s->results[i], &tensor), "give an output", error) < 0)
        return -1;
    if (!tensor)
        return nn_fail(error, "an output is not a tensor");
    if (check(lib, lib->api.get_tensor_type_and_shape(s->results[i], &info), "give an output",
              error) < 0)
        return -1;
    r = read_shape(lib, info, ret, error);
    lib->api.release_tensor_type_and_shape_info(info);
    if (r < 0)
        return -1;
    if (!nn_bytes(ret, &ret->len))
        return nn_fail(error, "an output has a type that tensors cannot have");
    return check(lib, lib->api.get_tensor_mutable_data(s->results[i], &ret->data), "give an output",
                 error);
}

/* What a call of the library wants: names and values, side by side. */
struct call {
    const char **names, **wanted;
    void **values;
    uint32_t *order;
};

static void call_release(struct call *c, const struct model *m)
{
    for (uint32_t i = 0; c->values && i < m->ends.in.n; i++) {
        if (c->values[i])
            m->lib->api.release_value(c->values[i]);
    }
    free(c->names);
    free(c->wanted);
    free(c->values);
    free(c->order);
}

static int call_init(struct call *c, struct session *s, const struct ssvm_nn_port *ports,
                     const struct ssvm_nn_tensor *inputs, uint32_t ninputs,
                     const struct ssvm_nn_port *wanted, uint32_t nwanted, char *error)
{
    struct model *m = s->model;

    memset(c, 0, sizeof *c);
    c->names = calloc(m->ends.in.n + 1, sizeof *c->names);
    c->values = calloc(m->ends.in.n + 1, sizeof *c->values);
    c->order = calloc(m->ends.in.n + 1, sizeof *c->order);
    c->wanted = calloc((size_t)nwanted + 1, sizeof *c->wanted);
    s->results = calloc((size_t)nwanted + 1, sizeof *s->results);
    if (!c->names || !c->values || !c->order || !c->wanted || !s->results)
        return nn_fail(error, "out of memory");
    s->nresults = nwanted;
    if (nn_ios_match(&m->ends.in, ports, inputs, ninputs, c->order, error) < 0)
        return -1;
    for (uint32_t i = 0; i < m->ends.in.n; i++) {
        const struct ssvm_nn_tensor *t = &inputs[c->order[i]];

        c->names[i] = m->names[i];
        if (check(m->lib,
                  m->lib->api.create_tensor_with_data(
                      m->lib->memory, t->data, t->len, t->dims, t->rank,
                      nn_type_to(types, NN_COUNT(types), t->type), &c->values[i]),
                  "take an input", error) < 0)
            return -1;
    }
    for (uint32_t i = 0; i < nwanted; i++) {
        int at = nn_ios_find(&m->ends.out, &wanted[i], "output", error);

        if (at < 0)
            return -1;
        c->wanted[i] = m->names[m->ends.in.n + (uint32_t)at];
    }
    return 0;
}

static int session_run(void *arg, const struct ssvm_nn_port *ports,
                       const struct ssvm_nn_tensor *inputs, uint32_t ninputs,
                       const struct ssvm_nn_port *wanted, struct ssvm_nn_tensor *ret,
                       uint32_t nwanted, char *error)
{
    struct session *s = arg;
    struct model *m = s->model;
    struct call c;
    int r;

    drop_results(s);
    r = call_init(&c, s, ports, inputs, ninputs, wanted, nwanted, error);
    if (r == 0) {
        set_running(s, true);
        r = check(m->lib,
                  m->lib->api.run(m->session, s->options, c.names, (const void *const *)c.values,
                                  m->ends.in.n, c.wanted, nwanted, s->results),
                  "run the model", error);
        set_running(s, false);
    }
    call_release(&c, m);
    for (uint32_t i = 0; r == 0 && i < nwanted; i++)
        r = get_output(s, i, &ret[i], error);
    return r;
}

const struct ssvm_nn_backend *ssvm_nn_backend(void)
{
    static const struct ssvm_nn_backend backend = {
        .abi = SSVM_NN_ABI,
        .id = "onnxruntime",
        .title = TITLE,
        .formats = 1 << SSVM_NN_ONNX,
        .soname = "libonnxruntime.so",
        .open = lib_open,
        .close = lib_close,
        .version = nn_lib_version,
        .devices = lib_devices,
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
