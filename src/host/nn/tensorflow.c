/* The modules tensorflow and tensorflowlite of SSVM and WasmEdge, in both of their forms: how
 * guests say what session.c does. */
#include "host/nn/session.h"

/* Bits of sv_host_func.names: positions in the modules' lists of names. */
enum { SSVM = 1 << 0, WASMEDGE = 1 << 1, ERRNO = 1 << 2, HANDLES = SSVM | WASMEDGE };

#define STATE(c) ((struct sv_nn_state *)(c)->data)
/* The end of a function that returns an errno, of which these guests know the first five. */
static int told(int r, union sv_slot *ret)
{
    SV_NN_RETURN(r > SV_NN_ERUN ? SV_NN_ERUN : r, ret);
}

/* Functions with handles have no way to tell that a pointer is wrong: the guest traps, as it does
 * when it follows one itself. */
static int reach(struct sv_call *c, uint32_t ptr, uint64_t len)
{
    void *p;

    if (sv_call_slice(c, ptr, len, &p))
        return 0;
    return sv_call_trap(c, "%s: 0x%llx bytes at 0x%x are not in the guest's memory", STATE(c)->who,
                        (unsigned long long)len, ptr);
}

/* ---- Both modules ---- */

static int open_session(struct sv_call *c, uint32_t ptr, uint32_t len, uint32_t *ret)
{
    struct sv_nn_model *m;
    int r = sv_nn_model_read(STATE(c), c, ptr, len, -1, &m);

    return r ? r : sv_nn_session_new(STATE(c), m, ret);
}

static int create_session(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    uint32_t handle = 0;
    int r = reach(c, arg[0].i32, arg[1].i32);

    if (r == 0)
        r = open_session(c, arg[0].i32, arg[1].i32, &handle);
    ret->i64 = r == 0 ? handle : 0;
    return r < 0 ? r : 0;
}

static int create_session_errno(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    uint32_t at = arg[2].i32, handle;
    int r = sv_nn_put_u32(STATE(c), c, at, 0);

    if (r == 0)
        r = open_session(c, arg[0].i32, arg[1].i32, &handle);
    if (r == 0)
        r = sv_nn_put_u32(STATE(c), c, at, handle);
    return told(r, ret);
}

static int create_session_saved_model_errno(struct sv_call *c, const union sv_slot *arg,
                                            union sv_slot *ret)
{
    (void)arg;
    return told(sv_nn_fail(STATE(c), SV_NN_ERUN,
                           "saved models are folders of files, which guests cannot give: freeze "
                           "the graph and pass its bytes to create_session"),
                ret);
}

static int delete_session(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)ret;
    sv_nn_item_delete(STATE(c), arg[0].i64, SV_NN_SESSION);
    return 0;
}

/* Of the functions that return an errno. */
static int find(struct sv_call *c, uint32_t handle, struct sv_nn_session **ret)
{
    *ret = sv_nn_session_find(STATE(c), handle);
    return *ret ? 0 : sv_nn_fail(STATE(c), SV_NN_EINVAL, "there is no session %u", handle);
}

static int delete_session_errno(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_nn_session *session;
    int r = find(c, arg[0].i32, &session);

    if (r == 0)
        sv_nn_item_delete(STATE(c), arg[0].i32, SV_NN_SESSION);
    return told(r, ret);
}

/* Handle of the output `port`; 0 in *ret where there is none. */
static int output(struct sv_call *c, struct sv_nn_session *session, const struct ssvm_nn_port *port,
                  uint32_t *ret)
{
    uint32_t index;

    *ret = 0;
    if (!sv_nn_session_output(session, port, &index))
        return 0;
    return sv_nn_tensor_new(STATE(c), session, index, ret);
}

/* `index`: NULL, the name has it. */
static int get_output(struct sv_call *c, const union sv_slot *arg, const uint32_t *index,
                      union sv_slot *ret)
{
    struct sv_nn_session *session = sv_nn_session_find(STATE(c), arg[0].i64);
    struct ssvm_nn_port port;
    uint32_t handle = 0;
    int r = reach(c, arg[1].i32, arg[2].i32);

    if (r == 0 && session) {
        r = sv_nn_port_read(STATE(c), c, arg[1].i32, arg[2].i32, index, &port);
        if (r == 0)
            r = output(c, session, &port, &handle);
    }
    ret->i64 = r == 0 ? handle : 0;
    return r < 0 ? r : 0;
}

static int get_output_errno(struct sv_call *c, const union sv_slot *arg, const uint32_t *index,
                            union sv_slot *ret)
{
    uint32_t at = arg[3].i32, handle = 0;
    struct sv_nn_session *session;
    struct ssvm_nn_port port;
    int r = find(c, arg[0].i32, &session);

    if (r == 0)
        r = sv_nn_port_read(STATE(c), c, arg[1].i32, arg[2].i32, index, &port);
    if (r == 0)
        r = sv_nn_put_u32(STATE(c), c, at, 0);
    if (r == 0)
        r = output(c, session, &port, &handle);
    if (r == 0 && handle == 0)
        r = sv_nn_fail(STATE(c), SV_NN_EINVAL, "there is no output '%s'", port.name);
    if (r == 0)
        r = sv_nn_put_u32(STATE(c), c, at, handle);
    return told(r, ret);
}

static int get_tensor_len(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const struct ssvm_nn_tensor *t = sv_nn_tensor_find(STATE(c), arg[0].i64, NULL);

    ret->i32 = t ? (uint32_t)t->len : 0;
    return 0;
}

static int get_tensor_data(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const struct ssvm_nn_tensor *t = sv_nn_tensor_find(STATE(c), arg[0].i64, NULL);
    int r;

    (void)ret;
    if (!t)
        return 0;
    r = reach(c, arg[1].i32, t->len);
    if (r == 0)
        r = sv_nn_tensor_copy(STATE(c), c, t, arg[1].i32);
    return r < 0 ? r : 0;
}

static int find_tensor(struct sv_call *c, const union sv_slot *arg,
                       const struct ssvm_nn_tensor **ret)
{
    const struct sv_nn_session *of = NULL;
    struct sv_nn_session *session;
    int r = find(c, arg[0].i32, &session);

    if (r != 0)
        return r;
    *ret = sv_nn_tensor_find(STATE(c), arg[1].i32, &of);
    if (*ret && of == session)
        return 0;
    return sv_nn_fail(STATE(c), SV_NN_EINVAL, "session %u has no tensor %u", arg[0].i32,
                      arg[1].i32);
}

static int get_tensor_len_errno(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const struct ssvm_nn_tensor *t;
    int r = find_tensor(c, arg, &t);

    if (r == 0)
        r = sv_nn_put_u32(STATE(c), c, arg[2].i32, (uint32_t)t->len);
    return told(r, ret);
}

static int get_tensor_data_errno(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const struct ssvm_nn_tensor *t;
    int r = find_tensor(c, arg, &t);

    if (r == 0 && arg[3].i32 < t->len)
        r = sv_nn_fail(STATE(c), SV_NN_EINVAL, "the tensor has %zu bytes, the buffer %u", t->len,
                       arg[3].i32);
    if (r == 0)
        r = sv_nn_put_u32(STATE(c), c, arg[4].i32, (uint32_t)t->len);
    if (r == 0)
        r = sv_nn_tensor_copy(STATE(c), c, t, arg[2].i32);
    return told(r, ret);
}

static int run(struct sv_call *c, struct sv_nn_session *session, union sv_slot *ret)
{
    int r = session ? sv_nn_session_run(STATE(c), c, session) : SV_NN_EINVAL;

    ret->i32 = r == 0 ? 0 : 1;
    return r < 0 ? r : 0;
}

/* A problem of an input or output in a function that cannot tell: the run does. */
static int spoil(struct sv_nn_session *session, int r)
{
    if (r > 0)
        sv_nn_session_spoil(session);
    return r < 0 ? r : 0;
}

/* ---- tensorflow ---- */

/* `arg` begins at the dimensions: dims, dim_cnt, type, data, data_len. */
static int input(struct sv_call *c, struct sv_nn_session *session, const struct ssvm_nn_port *port,
                 const union sv_slot *arg)
{
    struct ssvm_nn_tensor t = {.type = (int32_t)arg[2].i32, .len = arg[4].i32};
    const uint8_t *dims;
    int r = sv_nn_slice(STATE(c), c, arg[0].i32, (uint64_t)arg[1].i32 * sizeof t.dims[0], &dims);

    if (r == 0 && arg[1].i32 > SSVM_NN_RANK_MAX)
        r = sv_nn_fail(STATE(c), SV_NN_EINVAL, "input '%s': more than %d dimensions", port->name,
                       SSVM_NN_RANK_MAX);
    if (r == 0)
        r = sv_nn_slice(STATE(c), c, arg[3].i32, t.len, &t.data);
    if (r != 0)
        return r;
    t.rank = arg[1].i32;
    memcpy(t.dims, dims, t.rank * sizeof t.dims[0]);
    return sv_nn_session_input(STATE(c), c, session, port, &t);
}

static int append_input(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_nn_session *session = sv_nn_session_find(STATE(c), arg[0].i64);
    uint32_t index = arg[3].i32;
    struct ssvm_nn_port port;
    int r = reach(c, arg[1].i32, arg[2].i32);

    (void)ret;
    if (r == 0)
        r = reach(c, arg[4].i32, (uint64_t)arg[5].i32 * sizeof(int64_t));
    if (r == 0)
        r = reach(c, arg[7].i32, arg[8].i32);
    if (r != 0 || !session)
        return r;
    r = sv_nn_port_read(STATE(c), c, arg[1].i32, arg[2].i32, &index, &port);
    if (r == 0)
        r = input(c, session, &port, arg + 4);
    return spoil(session, r);
}

static int append_input_errno(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_nn_session *session;
    struct ssvm_nn_port port;
    int r = find(c, arg[0].i32, &session);

    if (r == 0)
        r = sv_nn_port_read(STATE(c), c, arg[1].i32, arg[2].i32, NULL, &port);
    if (r == 0)
        r = input(c, session, &port, arg + 3);
    return told(r, ret);
}

static int append_output(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_nn_session *session = sv_nn_session_find(STATE(c), arg[0].i64);
    uint32_t index = arg[3].i32;
    struct ssvm_nn_port port;
    int r = reach(c, arg[1].i32, arg[2].i32);

    (void)ret;
    if (r != 0 || !session)
        return r;
    r = sv_nn_port_read(STATE(c), c, arg[1].i32, arg[2].i32, &index, &port);
    if (r == 0)
        r = sv_nn_session_want(STATE(c), session, &port);
    return spoil(session, r);
}

static int append_output_errno(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_nn_session *session;
    struct ssvm_nn_port port;
    int r = find(c, arg[0].i32, &session);

    if (r == 0)
        r = sv_nn_port_read(STATE(c), c, arg[1].i32, arg[2].i32, NULL, &port);
    if (r == 0)
        r = sv_nn_session_want(STATE(c), session, &port);
    return told(r, ret);
}

#define CLEAR(what)                                                                                \
    static int clear_##what(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)       \
    {                                                                                              \
        struct sv_nn_session *session = sv_nn_session_find(STATE(c), arg[0].i64);                  \
                                                                                                   \
        (void)ret;                                                                                 \
        if (session)                                                                               \
            sv_nn_session_clear_##what##s(STATE(c), session);                                      \
        return 0;                                                                                  \
    }                                                                                              \
    static int clear_##what##_errno(struct sv_call *c, const union sv_slot *arg,                   \
                                    union sv_slot *ret)                                            \
    {                                                                                              \
        struct sv_nn_session *session;                                                             \
        int r = find(c, arg[0].i32, &session);                                                     \
                                                                                                   \
        if (r == 0)                                                                                \
            sv_nn_session_clear_##what##s(STATE(c), session);                                      \
        return told(r, ret);                                                                       \
    }
CLEAR(input)
CLEAR(output)

static int run_session(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    return run(c, sv_nn_session_find(STATE(c), arg[0].i64), ret);
}

static int run_session_errno(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_nn_session *session;
    int r = find(c, arg[0].i32, &session);

    if (r == 0)
        r = sv_nn_session_run(STATE(c), c, session);
    return told(r, ret);
}

static int get_output_tensor(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    uint32_t index = arg[3].i32;

    return get_output(c, arg, &index, ret);
}

static int get_output_tensor_errno(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    return get_output_errno(c, arg, NULL, ret);
}

static int tensorflow_open(struct sv_err *err, struct sv_store *store, const void *grant,
                           void **ret)
{
    return sv_nn_state_new(err, "tensorflow", store, grant, (struct sv_nn_state **)ret);
}

static const struct sv_host_func tensorflow_funcs[] = {
#define FUNC(name, impl, eras, sig, cost, doc) {#name, impl, sig, cost, doc, eras},
#include "host/nn/tensorflow.def"
#undef FUNC
};
const struct sv_host_module sv_host_tensorflow = {
    .id = "nn",
    .grant = "--nn auto",
    .names = {{"ssvm_tensorflow", "ssvm_tensorflow_"},
              {"wasmedge_tensorflow", "wasmedge_tensorflow_"},
              {"wasmedge_tensorflow", ""}},
    .funcs = tensorflow_funcs,
    .nfuncs = SV_COUNT(tensorflow_funcs),
    .open = tensorflow_open,
    .close = sv_nn_state_delete,
    .holds = sv_nn_state_holds,
};

/* ---- tensorflowlite: inputs have the model's shape, all outputs are fetched ---- */

static int lite_input(struct sv_call *c, struct sv_nn_session *session, const union sv_slot *arg)
{
    const struct sv_nn_model *m = sv_nn_session_model(session);
    uint32_t len = arg[3].i32;
    struct ssvm_nn_tensor t;
    struct ssvm_nn_port port;
    int r = sv_nn_port_read(STATE(c), c, arg[0].i32, arg[1].i32, NULL, &port);

    if (r == 0 && m && !sv_nn_model_shape(m, &port, len, &t))
        r = sv_nn_fail(STATE(c), SV_NN_ENOENT, "the model has no input '%s'", port.name);
    if (r == 0)
        r = sv_nn_slice(STATE(c), c, arg[2].i32, len, &t.data);
    if (r == 0 && !m)
        r = SV_NN_EBUSY;
    return r ? r : sv_nn_session_input(STATE(c), c, session, &port, &t);
}

static int lite_append_input(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_nn_session *session = sv_nn_session_find(STATE(c), arg[0].i64);
    int r = reach(c, arg[1].i32, arg[2].i32);

    (void)ret;
    if (r == 0)
        r = reach(c, arg[3].i32, arg[4].i32);
    if (r != 0 || !session)
        return r;
    r = lite_input(c, session, arg + 1);
    /* The first implementation passed over names that the model does not have. */
    return r == SV_NN_ENOENT ? 0 : spoil(session, r);
}

static int lite_append_input_errno(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_nn_session *session;
    int r = find(c, arg[0].i32, &session);

    if (r == 0)
        r = lite_input(c, session, arg + 1);
    return told(r == SV_NN_ENOENT ? SV_NN_EINVAL : r, ret);
}

static int lite_run_session(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_nn_session *session = sv_nn_session_find(STATE(c), arg[0].i64);
    int r = session ? sv_nn_session_want_all(STATE(c), session) : 0;

    if (r == 0)
        return run(c, session, ret);
    ret->i32 = 1;
    return 0;
}

static int lite_run_session_errno(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct sv_nn_session *session;
    int r = find(c, arg[0].i32, &session);

    if (r == 0)
        r = sv_nn_session_want_all(STATE(c), session);
    if (r == 0)
        r = sv_nn_session_run(STATE(c), c, session);
    return told(r, ret);
}

static int lite_get_output_tensor(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    return get_output(c, arg, NULL, ret);
}

static int tensorflowlite_open(struct sv_err *err, struct sv_store *store, const void *grant,
                               void **ret)
{
    return sv_nn_state_new(err, "tensorflowlite", store, grant, (struct sv_nn_state **)ret);
}

static const struct sv_host_func tensorflowlite_funcs[] = {
#define FUNC(name, impl, eras, sig, cost, doc) {#name, impl, sig, cost, doc, eras},
#include "host/nn/tensorflowlite.def"
#undef FUNC
};
const struct sv_host_module sv_host_tensorflowlite = {
    .id = "nn",
    .grant = "--nn auto",
    .names = {{"ssvm_tensorflowlite", "ssvm_tensorflowlite_"},
              {"wasmedge_tensorflowlite", "wasmedge_tensorflowlite_"},
              {"wasmedge_tensorflowlite", ""}},
    .funcs = tensorflowlite_funcs,
    .nfuncs = SV_COUNT(tensorflowlite_funcs),
    .open = tensorflowlite_open,
    .close = sv_nn_state_delete,
    .holds = sv_nn_state_holds,
};
