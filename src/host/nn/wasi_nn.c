/* wasi-nn (wasi_ephemeral_nn): how its guests say what session.c does. A graph is a model, an
 * execution context a session. */
#include "host/nn/session.h"

#define STATE(c) ((struct sv_nn_state *)(c)->data)

/* As guests give them. */
struct builder {
    uint32_t ptr, len;
};
struct tensor {
    uint32_t dims, ndims; /* u32 each */
    uint32_t type;        /* only the low byte */
    uint32_t data, len;
};

/* sniffed: whatever the bytes are, of what we read */
enum { ENCODING_UNREAD = -2, ENCODING_SNIFFED = -1 };
static const struct {
    const char *text;
    int format;
} encodings[] = {
    {"openvino", ENCODING_SNIFFED},     {"onnx", SSVM_NN_ONNX},
    {"tensorflow", SSVM_NN_TENSORFLOW}, {"pytorch", ENCODING_UNREAD},
    {"tensorflowlite", SSVM_NN_TFLITE}, {"autodetect", ENCODING_SNIFFED},
    {"ggml", ENCODING_UNREAD},
};
static const char *const targets[] = {"cpu", "gpu", "tpu", "auto"};

/* The device is the host's to choose; one that is wanted and not there is never replaced. */
static int check_target(struct sv_nn_state *s, uint32_t target)
{
    const char *device = s->nn->config.device;

    if (target >= SV_COUNT(targets))
        return sv_nn_fail(s, SV_NN_EINVAL, "there is no target %u", target);
    if ((target == 1 || target == 2) && strncmp(device, targets[target], 3) != 0)
        return sv_nn_fail(s, SV_NN_ENOTSUP, "the guest wants a %s, the host gives it '%s'",
                          targets[target], device);
    return 0;
}

static int check_encoding(struct sv_nn_state *s, uint32_t encoding, int *ret)
{
    if (encoding >= SV_COUNT(encodings) || encodings[encoding].format == ENCODING_UNREAD)
        return sv_nn_fail(s, SV_NN_EENCODING, "models of the encoding %s (%u) are not read",
                          encoding < SV_COUNT(encodings) ? encodings[encoding].text : "unknown",
                          encoding);
    *ret = encodings[encoding].format;
    return 0;
}

/* Give the graph a handle, written to the guest, where a zero was written before. */
static int add_graph(struct sv_call *c, own struct sv_nn_model *m, uint32_t at)
{
    uint32_t handle;
    int r = sv_nn_graph_new(STATE(c), m, &handle);

    return r ? r : sv_nn_put_u32(STATE(c), c, at, handle);
}

static int load(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_nn_state *s = STATE(c);
    struct sv_nn_model *m;
    struct builder b;
    const void *p;
    int format = 0, r = check_encoding(s, arg[2].i32, &format);

    if (r == 0)
        r = check_target(s, arg[3].i32);
    if (r == 0 && arg[1].i32 != 1)
        r = sv_nn_fail(s, SV_NN_EINVAL,
                       "a model of %u parts: frozen TensorFlow graphs, TensorFlow Lite and ONNX "
                       "models have one",
                       arg[1].i32);
    if (r == 0)
        r = sv_nn_slice(s, c, arg[0].i32, sizeof b, &p);
    if (r == 0) {
        memcpy(&b, p, sizeof b);
        r = sv_nn_put_u32(s, c, arg[4].i32, 0);
    }
    if (r == 0)
        r = sv_nn_model_read(s, c, b.ptr, b.len, format, &m);
    if (r == 0)
        r = add_graph(c, m, arg[4].i32);
    SV_NN_RETURN(r, ret);
}

static int load_named(struct sv_call *c, uint32_t ptr, uint32_t len, uint32_t at,
                      union sv_slot *ret)
{
    struct sv_nn_model *m;
    int r = sv_nn_put_u32(STATE(c), c, at, 0);

    if (r == 0)
        r = sv_nn_model_named(STATE(c), c, ptr, len, &m);
    if (r == 0)
        r = add_graph(c, m, at);
    SV_NN_RETURN(r, ret);
}

static int load_by_name(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    return load_named(c, arg[0].i32, arg[1].i32, arg[2].i32, ret);
}

static int load_by_name_with_config(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    return load_named(c, arg[0].i32, arg[1].i32, arg[4].i32, ret);
}

static int unload(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    bool is = sv_nn_item_delete(STATE(c), arg[0].i32, SV_NN_GRAPH);

    SV_NN_RETURN(is ? 0 : sv_nn_fail(STATE(c), SV_NN_EINVAL, "there is no graph %u", arg[0].i32),
                 ret);
}

static int init_execution_context(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const struct sv_nn_item *graph = sv_nn_item_find(STATE(c), arg[0].i32, SV_NN_GRAPH);
    uint32_t at = arg[1].i32, handle;
    int r = sv_nn_put_u32(STATE(c), c, at, 0);

    if (r == 0 && !graph)
        r = sv_nn_fail(STATE(c), SV_NN_EINVAL, "there is no graph %u", arg[0].i32);
    if (r == 0)
        r = sv_nn_session_new(STATE(c), sv_nn_model_ref(graph->model), &handle);
    if (r == 0)
        r = sv_nn_put_u32(STATE(c), c, at, handle);
    SV_NN_RETURN(r, ret);
}

static int find(struct sv_call *c, uint32_t handle, struct sv_nn_session **ret)
{
    *ret = sv_nn_session_find(STATE(c), handle);
    return *ret ? 0 : sv_nn_fail(STATE(c), SV_NN_EINVAL, "there is no context %u", handle);
}

static int finalize_execution_context(struct sv_call *c, const union sv_slot *arg,
                                      union sv_slot *ret)
{
    uint32_t handle = arg[0].i32;
    bool is = sv_nn_item_delete(STATE(c), handle, SV_NN_SESSION);

    SV_NN_RETURN(is ? 0 : sv_nn_fail(STATE(c), SV_NN_EINVAL, "there is no context %u", handle),
                 ret);
}

static bool fits(int32_t type, const struct ssvm_nn_tensor *t)
{
    size_t len;

    return sv_nn_tensor_len(type, t->dims, t->rank, &len) && len == t->len;
}

/* The type that a guest's number means: in the first years 2 and 3 were others (enum sv_nn_types).
 * 0: none. */
static int32_t type_of(enum sv_nn_types numbers, uint32_t n, const struct ssvm_nn_tensor *t)
{
    static const int32_t now[] = {SSVM_NN_F16, SSVM_NN_F32, SSVM_NN_F64,
                                  SSVM_NN_U8,  SSVM_NN_I32, SSVM_NN_I64},
                         then[] = {SSVM_NN_F16, SSVM_NN_F32, SSVM_NN_U8, SSVM_NN_I32};
    bool old = numbers == SV_NN_TYPES_OLD;

    if (numbers == SV_NN_TYPES_BY_LENGTH && n < SV_COUNT(then))
        old = !fits(now[n], t) && fits(then[n], t);
    if (old)
        return n < SV_COUNT(then) ? then[n] : 0;
    return n < SV_COUNT(now) ? now[n] : 0;
}

static int read_tensor(struct sv_call *c, uint32_t ptr, struct ssvm_nn_tensor *ret)
{
    struct sv_nn_state *s = STATE(c);
    const uint8_t *dims;
    struct tensor t;
    const void *p;
    uint32_t dim;
    int r = sv_nn_slice(s, c, ptr, sizeof t, &p);

    if (r != 0)
        return r;
    memcpy(&t, p, sizeof t);
    memset(ret, 0, sizeof *ret);
    if (t.ndims > SSVM_NN_RANK_MAX)
        return sv_nn_fail(s, SV_NN_EINVAL, "a tensor of %u dimensions, the most are %d", t.ndims,
                          SSVM_NN_RANK_MAX);
    r = sv_nn_slice(s, c, t.dims, (uint64_t)t.ndims * sizeof dim, &dims);
    if (r == 0)
        r = sv_nn_slice(s, c, t.data, t.len, &ret->data);
    if (r != 0)
        return r;
    ret->rank = t.ndims;
    ret->len = t.len;
    for (uint32_t i = 0; i < t.ndims; i++) {
        memcpy(&dim, dims + i * sizeof dim, sizeof dim);
        ret->dims[i] = dim;
    }
    ret->type = type_of(s->nn->config.types, t.type & 0xff, ret);
    return 0;
}

static int set_input(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    uint32_t index = arg[1].i32;
    const struct sv_nn_model *m = NULL;
    struct sv_nn_session *session;
    struct ssvm_nn_tensor t;
    int r = find(c, arg[0].i32, &session);

    if (r == 0)
        m = sv_nn_session_model(session);
    if (r == 0 && m && index >= m->inputs.n)
        r = sv_nn_fail(STATE(c), SV_NN_EINVAL, "the model has %u inputs: there is no %u",
                       m->inputs.n, index);
    if (r == 0)
        r = read_tensor(c, arg[2].i32, &t);
    if (r == 0 && !m)
        r = SV_NN_EBUSY;
    if (r == 0)
        r = sv_nn_session_input(STATE(c), c, session, &m->inputs.list[index].port, &t);
    SV_NN_RETURN(r, ret);
}

static int compute(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_nn_session *session;
    int r = find(c, arg[0].i32, &session);

    if (r == 0)
        r = sv_nn_session_want_all(STATE(c), session);
    if (r == 0)
        r = sv_nn_session_run(STATE(c), c, session);
    SV_NN_RETURN(r, ret);
}

static int get_output(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const struct ssvm_nn_port port = {.index = arg[1].i32};
    const struct ssvm_nn_tensor *t = NULL;
    struct sv_nn_session *session;
    int r = find(c, arg[0].i32, &session);

    if (r == 0)
        t = sv_nn_session_output(session, &port, NULL);
    if (r == 0 && !t)
        r = sv_nn_fail(STATE(c), SV_NN_EINVAL, "there is no output %u, or nothing was computed",
                       port.index);
    if (r == 0 && t->len > arg[3].i32)
        r = sv_nn_fail(STATE(c), SV_NN_ELARGE, "output %u has %zu bytes, the buffer %u", port.index,
                       t->len, arg[3].i32);
    if (r == 0)
        r = sv_nn_put_u32(STATE(c), c, arg[4].i32, (uint32_t)t->len);
    if (r == 0)
        r = sv_nn_tensor_copy(STATE(c), c, t, arg[2].i32);
    SV_NN_RETURN(r, ret);
}

/* compute_single, get_output_single and fini_single: of models that speak. */
static int one_by_one(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_nn_session *session;
    int r = find(c, arg[0].i32, &session);

    SV_NN_RETURN(r ? r : SV_NN_ENOTSUP, ret);
}

static int wasi_nn_open(struct sv_err *err, struct sv_store *store, const void *grant, void **ret)
{
    return sv_nn_state_new(err, "wasi-nn", store, grant, (struct sv_nn_state **)ret);
}

static const struct sv_host_func wasi_nn_funcs[] = {
#define FUNC(name, impl, sig, cost, doc) {#name, impl, sig, cost, doc, 0},
#include "host/nn/wasi_nn.def"
#undef FUNC
};
const struct sv_host_module sv_host_wasi_nn = {
    .id = "nn",
    .grant = "--nn auto",
    .names = {{"wasi_ephemeral_nn", ""}},
    .funcs = wasi_nn_funcs,
    .nfuncs = SV_COUNT(wasi_nn_funcs),
    .open = wasi_nn_open,
    .close = sv_nn_state_delete,
    .holds = sv_nn_state_holds,
};
