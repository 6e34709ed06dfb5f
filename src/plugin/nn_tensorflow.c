/* TensorFlow as a backend, through its C interface (tensorflow/c/c_api.h, stable since 1.0): reads
 * frozen GraphDefs, the format of the guest ABI's first days. */
#include "plugin/nn.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TITLE "TensorFlow"
#define OLDEST_TEXT "2.4"

struct output {
    void *op;
    int index;
};
struct buffer {
    const void *data;
    size_t len;
    void (*free)(void *, size_t);
};

/* clang-format off */
#define FUNCTIONS(F)                                                                                    \
    F(const char *, TF_Version, (void))                                                                 \
    F(void *, TF_NewStatus, (void))                                                                     \
    F(void, TF_DeleteStatus, (void *))                                                                  \
    F(int, TF_GetCode, (const void *status))                                                            \
    F(const char *, TF_Message, (const void *status))                                                   \
    F(void *, TF_NewTensor, (int type, const int64_t *dims, int rank, void *, size_t, void (*)(void *, size_t, void *), void *)) \
    F(void, TF_DeleteTensor, (void *))                                                                  \
    F(int, TF_TensorType, (const void *))                                                               \
    F(int, TF_NumDims, (const void *))                                                                  \
    F(int64_t, TF_Dim, (const void *, int))                                                             \
    F(size_t, TF_TensorByteSize, (const void *))                                                        \
    F(void *, TF_TensorData, (const void *))                                                            \
    F(void *, TF_NewGraph, (void))                                                                      \
    F(void, TF_DeleteGraph, (void *))                                                                   \
    F(void *, TF_NewImportGraphDefOptions, (void))                                                      \
    F(void, TF_DeleteImportGraphDefOptions, (void *))                                                   \
    F(void, TF_GraphImportGraphDef, (void *graph, const struct buffer *, const void *options, void *status)) \
    F(void *, TF_NewSessionOptions, (void))                                                             \
    F(void, TF_DeleteSessionOptions, (void *))                                                          \
    F(void, TF_SetConfig, (void *options, const void *proto, size_t, void *status))                     \
    F(void *, TF_NewSession, (void *graph, const void *options, void *status))                          \
    F(void, TF_CloseSession, (void *, void *status))                                                    \
    F(void, TF_DeleteSession, (void *, void *status))                                                   \
    F(void, TF_SessionRun, (void *, const void *options, const struct output *, void *const *in, int nin, const struct output *, void **out, int nout, const void *, int, void *, void *status)) \
    F(void *, TF_GraphOperationByName, (void *graph, const char *))                                     \
    F(void *, TF_GraphNextOperation, (void *graph, size_t *position))                                   \
    F(const char *, TF_OperationName, (void *))                                                         \
    F(const char *, TF_OperationOpType, (void *))                                                       \
    F(int, TF_OperationNumInputs, (void *))                                                             \
    F(int, TF_OperationNumOutputs, (void *))                                                            \
    F(int, TF_OperationOutputNumConsumers, (struct output))                                             \
    F(int, TF_OperationOutputType, (struct output))                                                     \
    F(int, TF_GraphGetTensorNumDims, (void *graph, struct output, void *status))                        \
    F(void, TF_GraphGetTensorShape, (void *graph, struct output, int64_t *, int, void *status))         \
    F(void *, TF_SessionListDevices, (void *, void *status))                                            \
    F(int, TF_DeviceListCount, (const void *))                                                          \
    F(const char *, TF_DeviceListType, (const void *, int, void *status))                               \
    F(void, TF_DeleteDeviceList, (void *))
/* clang-format on */

struct api {
    FUNCTIONS(NN_POINTER)
};
static const struct nn_symbol symbols[] = {FUNCTIONS(NN_SYMBOL)};

struct lib {
    struct nn_lib about;
    struct api api;
    void *options; /* owned: of sessions */
};
struct model {
    struct nn_model ends;
    struct lib *lib;
    void *graph, *session; /* owned; any number of runs at once */
};
struct session {
    struct model *model;
    void **results; /* owned tensors of the last run */
    uint32_t nresults;
};

/* Is the status good? Else its text to `error`. Deletes it. */
static int check(const struct lib *lib, own void *status, const char *what, char *error)
{
    int r = 0;

    if (lib->api.TF_GetCode(status) != 0)
        r = nn_fail(error, TITLE " could not %s: %.300s", what, lib->api.TF_Message(status));
    lib->api.TF_DeleteStatus(status);
    return r;
}

/* ---- The library ---- */

/* ConfigProto: no graphics processor unless asked for; `threads` for one operation; the operations
 * of a run one after the other in the thread that called. (The first session of a process decides
 * for all.) */
static int set_options(struct lib *lib, const struct ssvm_nn_options *options, char *error)
{
    static const unsigned char no_gpu[] = {0x0a, 7, 0x0a, 3, 'G', 'P', 'U', 0x10, 0};
    static const unsigned char inline_runs[] = {0x28, 0xff, 0xff, 0xff, 0xff, 0xff,
                                                0xff, 0xff, 0xff, 0xff, 1};
    unsigned char proto[64];
    uint32_t threads = options->threads;
    void *status = lib->api.TF_NewStatus();
    size_t n = 0;

    if (strcmp(options->device, "cpu") == 0) {
        memcpy(proto, no_gpu, sizeof no_gpu);
        n = sizeof no_gpu;
    }
    proto[n++] = 0x10;
    for (; threads >= 0x80; threads >>= 7)
        proto[n++] = (unsigned char)(threads | 0x80);
    proto[n++] = (unsigned char)threads;
    memcpy(proto + n, inline_runs, sizeof inline_runs);
    n += sizeof inline_runs;
    lib->options = lib->api.TF_NewSessionOptions();
    lib->api.TF_SetConfig(lib->options, proto, n, status);
    return check(lib, status, "take options", error);
}

static int read_devices(struct lib *lib, char *error)
{
    const struct api *api = &lib->api;
    void *status = api->TF_NewStatus(), *graph = api->TF_NewGraph(), *ignored = api->TF_NewStatus();
    void *session = api->TF_NewSession(graph, lib->options, status), *list = NULL;

    nn_device_add(lib->about.devices, sizeof lib->about.devices, "cpu");
    if (session)
        list = api->TF_SessionListDevices(session, status);
    for (int i = 0; list && i < api->TF_DeviceListCount(list); i++) {
        const char *type = api->TF_DeviceListType(list, i, ignored);

        if (type && strncmp(type, "XLA", 3) != 0)
            nn_device_add(lib->about.devices, sizeof lib->about.devices, type);
    }
    if (list)
        api->TF_DeleteDeviceList(list);
    if (session)
        api->TF_DeleteSession(session, ignored);
    api->TF_DeleteGraph(graph);
    api->TF_DeleteStatus(ignored);
    return check(lib, status, "list its devices", error);
}

static void lib_close(void *arg)
{
    struct lib *lib = arg;

    if (lib && lib->options)
        lib->api.TF_DeleteSessionOptions(lib->options);
    free(lib);
}

static int lib_open(const struct ssvm_nn_options *options, char *error, void **ret)
{
    static const char *const names[] = {"libtensorflow_cc.so*", "libtensorflow.so*", NULL};
    static const char *const folders[] = {"", "tensorflow/", "lib/", NULL};
    static const char *const known[] = {"WARNING: All log messages before absl", "I0000", NULL};
    struct ssvm_nn_options any = *options;
    struct lib *lib = calloc(1, sizeof *lib);
    char folder[NN_TEXT_MAX];
    struct nn_hush hush;
    void *handle;

    if (!lib)
        return nn_fail(error, "out of memory");
    /* It tells the world about itself otherwise, and reads this once, as it is opened. */
    setenv("TF_CPP_MIN_LOG_LEVEL", "3", 0);
    nn_hush_begin(&hush);
    handle =
        nn_open("tensorflow", options->library, names, folders, 0, error, folder, sizeof folder);
    nn_hush_end(&hush, known);
    if (!handle ||
        nn_bind(handle, TITLE, OLDEST_TEXT, symbols, NN_COUNT(symbols), &lib->api, error) < 0)
        goto fail;
    snprintf(lib->about.version, sizeof lib->about.version, TITLE " %.100s", lib->api.TF_Version());
    if (nn_version_major(lib->about.version) < 2) {
        nn_fail(error, "%s is too old: " OLDEST_TEXT " or newer is needed", lib->about.version);
        goto fail;
    }
    if (strcmp(options->device, "cpu") != 0)
        any.device = "gpu";
    if (set_options(lib, &any, error) < 0 || read_devices(lib, error) < 0 ||
        nn_device_check(options->device, lib->about.devices, error) < 0)
        goto fail;
    *ret = lib;
    return 0;
fail:
    lib_close(lib);
    return -1;
}

/* ---- Models ---- */

/* False: a rank that tensors cannot have. An unknown rank is told as -1 in *ret_rank. */
static bool read_shape(struct model *m, struct output o, struct ssvm_nn_tensor *ret, int *ret_rank)
{
    const struct api *api = &m->lib->api;
    void *status = api->TF_NewStatus();
    int rank = api->TF_GraphGetTensorNumDims(m->graph, o, status);
    bool good = rank <= SSVM_NN_RANK_MAX;

    ret->type = api->TF_OperationOutputType(o);
    ret->rank = good && rank > 0 ? (uint32_t)rank : 0;
    if (ret->rank > 0)
        api->TF_GraphGetTensorShape(m->graph, o, ret->dims, rank, status);
    api->TF_DeleteStatus(status);
    *ret_rank = rank;
    return good;
}

/* A graph says not what goes in and comes out: placeholders go in, and what nobody uses comes out.
 */
static bool is_end(struct model *m, void *op, bool output)
{
    const struct api *api = &m->lib->api;

    if (!output)
        return strcmp(api->TF_OperationOpType(op), "Placeholder") == 0;
    if (api->TF_OperationNumOutputs(op) == 0 || api->TF_OperationNumInputs(op) == 0)
        return false;
    for (int i = 0; i < api->TF_OperationNumOutputs(op); i++) {
        if (api->TF_OperationOutputNumConsumers((struct output){op, i}) > 0)
            return false;
    }
    return true;
}

static int read_ends(struct model *m, bool output, struct nn_ios *ios, char *error)
{
    const struct api *api = &m->lib->api;
    size_t position = 0;
    uint32_t n = 0;
    void *op;
    int rank;

    while ((op = api->TF_GraphNextOperation(m->graph, &position)))
        n += is_end(m, op, output);
    if (nn_ios_new(ios, n, error) < 0)
        return -1;
    position = n = 0;
    while ((op = api->TF_GraphNextOperation(m->graph, &position))) {
        if (!is_end(m, op, output))
            continue;
        nn_port_parse(api->TF_OperationName(op), &ios->at[n].port);
        (void)read_shape(m, (struct output){op, 0}, &ios->at[n].tensor, &rank);
        n++;
    }
    return 0;
}

static void model_unload(void *arg)
{
    struct model *m = arg;
    void *status;

    if (!m)
        return;
    status = m->lib->api.TF_NewStatus();
    if (m->session) {
        m->lib->api.TF_CloseSession(m->session, status);
        m->lib->api.TF_DeleteSession(m->session, status);
    }
    if (m->graph)
        m->lib->api.TF_DeleteGraph(m->graph);
    m->lib->api.TF_DeleteStatus(status);
    nn_ios_release(&m->ends.in);
    nn_ios_release(&m->ends.out);
    free(m);
}

static int import(struct model *m, const void *bytes, size_t len, char *error)
{
    const struct api *api = &m->lib->api;
    struct buffer buffer = {bytes, len, NULL};
    void *options = api->TF_NewImportGraphDefOptions(), *status = api->TF_NewStatus();

    m->graph = api->TF_NewGraph();
    api->TF_GraphImportGraphDef(m->graph, &buffer, options, status);
    api->TF_DeleteImportGraphDefOptions(options);
    if (check(m->lib, status, "read the model", error) < 0)
        return -1;
    status = api->TF_NewStatus();
    m->session = api->TF_NewSession(m->graph, m->lib->options, status);
    return check(m->lib, status, "start a session", error);
}

static int model_load(void *arg, enum ssvm_nn_format format, const void *bytes, size_t len,
                      char *error, void **ret, size_t *ret_cost)
{
    struct model *m = calloc(1, sizeof *m);

    (void)format; /* there is one */
    if (!m)
        return nn_fail(error, "out of memory");
    m->lib = arg;
    if (import(m, bytes, len, error) < 0 || read_ends(m, false, &m->ends.in, error) < 0 ||
        read_ends(m, true, &m->ends.out, error) < 0) {
        model_unload(m);
        return -1;
    }
    *ret = m;
    *ret_cost = 3 * len; /* measured */
    return 0;
}

/* ---- Sessions ---- */

static void drop_results(struct session *s)
{
    for (uint32_t i = 0; i < s->nresults; i++) {
        if (s->results[i])
            s->model->lib->api.TF_DeleteTensor(s->results[i]);
    }
    free(s->results);
    s->results = NULL;
    s->nresults = 0;
}

static void session_delete(void *arg)
{
    struct session *s = arg;

    if (s)
        drop_results(s);
    free(s);
}

static int session_new(void *arg, char *error, void **ret)
{
    struct session *s = calloc(1, sizeof *s);

    if (!s)
        return nn_fail(error, "out of memory");
    s->model = arg;
    *ret = s;
    return 0;
}

/* Any operation's output can be fed and fetched. */
static int find(struct model *m, const struct ssvm_nn_port *port, bool output, struct output *ret,
                char *error)
{
    const struct nn_ios *ios = output ? &m->ends.out : &m->ends.in;
    const char *what = output ? "output" : "input";
    struct ssvm_nn_port wanted = *port;
    int at;

    if (!port->name[0]) {
        at = nn_ios_find(ios, port, what, error);
        if (at < 0)
            return -1;
        wanted = ios->at[at].port;
    } else if (port->index == 0) {
        nn_port_parse(port->name, &wanted);
    }
    ret->op = m->lib->api.TF_GraphOperationByName(m->graph, wanted.name);
    ret->index = (int)wanted.index;
    if (ret->op && wanted.index < (uint32_t)m->lib->api.TF_OperationNumOutputs(ret->op))
        return 0;
    return nn_ios_find(ios, &wanted, what, error) < 0 ? -1 : nn_fail(error, "no %s", what);
}

static void keep(void *data, size_t len, void *arg)
{
    (void)data, (void)len, (void)arg; /* the caller's memory */
}

struct call {
    struct output *in, *out;
    void **values; /* owned tensors */
    uint32_t ninputs;
};

static void call_release(struct call *c, const struct api *api)
{
    for (uint32_t i = 0; c->values && i < c->ninputs; i++) {
        if (c->values[i])
            api->TF_DeleteTensor(c->values[i]);
    }
    free(c->in);
    free(c->out);
    free(c->values);
}

static int set_input(struct session *s, struct call *c, uint32_t i, const struct ssvm_nn_port *port,
                     const struct ssvm_nn_tensor *t, char *error)
{
    struct model *m = s->model;
    struct nn_io io = {.port = *port};
    int rank;

    if (find(m, port, false, &c->in[i], error) < 0)
        return -1;
    if (!read_shape(m, c->in[i], &io.tensor, &rank))
        return nn_fail(error, "input '%.100s' has more than %d dimensions", port->name,
                       SSVM_NN_RANK_MAX);
    if (rank < 0) { /* the graph leaves it open */
        memcpy(io.tensor.dims, t->dims, sizeof io.tensor.dims);
        io.tensor.rank = t->rank;
    }
    if (nn_io_check(&io, t, error) < 0)
        return -1;
    c->values[i] =
        m->lib->api.TF_NewTensor(t->type, t->dims, (int)t->rank, t->data, t->len, keep, NULL);
    return c->values[i] ? 0 : nn_fail(error, TITLE " could not take input '%.100s'", port->name);
}

static int get_output(struct session *s, uint32_t i, struct ssvm_nn_tensor *ret, char *error)
{
    const struct api *api = &s->model->lib->api;
    void *t = s->results[i];
    int rank = api->TF_NumDims(t);

    ret->type = api->TF_TensorType(t);
    if (rank > SSVM_NN_RANK_MAX || nn_type_size(ret->type) == 0)
        return nn_fail(error, "an output has a type or rank that tensors cannot have");
    ret->rank = (uint32_t)rank;
    for (int d = 0; d < rank; d++)
        ret->dims[d] = api->TF_Dim(t, d);
    ret->len = api->TF_TensorByteSize(t);
    ret->data = api->TF_TensorData(t);
    return 0;
}

static int session_run(void *arg, const struct ssvm_nn_port *ports,
                       const struct ssvm_nn_tensor *inputs, uint32_t ninputs,
                       const struct ssvm_nn_port *wanted, struct ssvm_nn_tensor *ret,
                       uint32_t nwanted, char *error)
{
    struct session *s = arg;
    const struct lib *lib = s->model->lib;
    struct call c = {.ninputs = ninputs};
    void *status;
    int r = 0;

    drop_results(s);
    c.in = calloc((size_t)ninputs + 1, sizeof *c.in);
    c.out = calloc((size_t)nwanted + 1, sizeof *c.out);
    c.values = calloc((size_t)ninputs + 1, sizeof *c.values);
    s->results = calloc((size_t)nwanted + 1, sizeof *s->results);
    if (!c.in || !c.out || !c.values || !s->results)
        r = nn_fail(error, "out of memory");
    for (uint32_t i = 0; r == 0 && i < ninputs; i++)
        r = set_input(s, &c, i, &ports[i], &inputs[i], error);
    for (uint32_t i = 0; r == 0 && i < nwanted; i++)
        r = find(s->model, &wanted[i], true, &c.out[i], error);
    if (r == 0) {
        s->nresults = nwanted;
        status = lib->api.TF_NewStatus();
        lib->api.TF_SessionRun(s->model->session, NULL, c.in, c.values, (int)ninputs, c.out,
                               s->results, (int)nwanted, NULL, 0, NULL, status);
        r = check(lib, status, "run the model", error);
    }
    call_release(&c, &lib->api);
    for (uint32_t i = 0; r == 0 && i < nwanted; i++)
        r = get_output(s, i, &ret[i], error);
    return r;
}

const struct ssvm_nn_backend *ssvm_nn_backend(void)
{
    static const struct ssvm_nn_backend backend = {
        .abi = SSVM_NN_ABI,
        .id = "tensorflow",
        .title = TITLE,
        .formats = 1 << SSVM_NN_TENSORFLOW,
        .soname = "libtensorflow_cc.so.2",
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
        .cancel = NULL, /* the library has no way to end one run */
    };

    return &backend;
}
