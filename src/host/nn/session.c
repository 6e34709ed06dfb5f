/* A guest's sessions: handles, inputs, runs, outputs, and their bytes counted as the store's. The
 * guest's memory is read and written here; nothing of any one ABI is. */
#include "host/nn/session.h"

#include <pthread.h>
#include <stdio.h>

/* Outputs of a run that are together no larger are copied, so that the backend's session can serve
 * another guest at once. */
#define KEPT_MAX ((size_t)64 << 10)
#define LINE_MAX 768

/* A session's work and all that it needs: it may outlive the guest. */
struct run {
    struct sv_nn_job job;
    struct sv_nn *nn;          /* a reference */
    struct sv_nn_model *model; /* a reference */
    pthread_mutex_t lock;      /* for the next two: a cancel comes from another thread */
    void *live;                /* of the backend; NULL: none now */
    bool cancelled;
    SV_VEC(struct ssvm_nn_port) ports;
    SV_VEC(struct ssvm_nn_tensor) inputs; /* with owned data */
    SV_VEC(struct ssvm_nn_port) wanted;
    struct ssvm_nn_tensor *results;
    uint32_t nresults;
    void *kept;   /* where the results are, if not in `live` */
    bool counted; /* as left, in the model */
    int result;
    char error[SSVM_NN_ERROR_MAX];
};

struct sv_nn_session {
    struct run *run;  /* NULL: it was left while it ran */
    uint64_t charged; /* bytes of the store */
    bool spoiled;
    bool ran;
};

/* ---- Runs ---- */

static void drop_results(struct run *r)
{
    sv_free(r->results);
    sv_nn_data_delete(r->kept);
    r->results = NULL;
    r->kept = NULL;
    r->nresults = 0;
}

static void drop_inputs(struct run *r)
{
    for (size_t i = 0; i < r->inputs.len; i++)
        sv_nn_data_give(r->nn, r->inputs.data[i].data);
    r->inputs.len = r->ports.len = 0;
}

/* The backend's session goes back: nobody's cancel can reach it any more, and one that it has
 * reached serves nobody else. */
static void give_live(struct run *r, bool clean)
{
    void *live;

    pthread_mutex_lock(&r->lock);
    live = r->live;
    r->live = NULL;
    clean = clean && !r->cancelled;
    pthread_mutex_unlock(&r->lock);
    sv_nn_model_give_session(r->model, live, clean);
}

/* -1: there is none, or the run has been cancelled in the meantime. */
static int take_live(struct run *r)
{
    void *live = r->live; /* set by runs alone */
    bool cancelled;

    if (!live && sv_nn_model_take_session(r->model, r->error, &live) != 0)
        return -1;
    pthread_mutex_lock(&r->lock);
    r->live = live;
    cancelled = r->cancelled;
    pthread_mutex_unlock(&r->lock);
    return cancelled ? -1 : 0;
}

static void run_release(struct sv_nn_job *job)
{
    struct run *r = (struct run *)job;

    if (r->counted)
        sv_nn_model_left(r->model, -1);
    /* One that was left may have been asked to end early: who knows what state it is in. */
    give_live(r, r->result == 0 && !r->counted);
    drop_results(r);
    drop_inputs(r);
    sv_free(r->ports.data);
    sv_free(r->inputs.data);
    sv_free(r->wanted.data);
    sv_nn_model_unref(r->model);
    sv_nn_drop(r->nn);
    pthread_mutex_destroy(&r->lock);
    sv_free(r);
}

static void run_cancel(struct sv_nn_job *job)
{
    struct run *r = (struct run *)job;

    pthread_mutex_lock(&r->lock);
    r->cancelled = true;
    if (r->live && r->model->backend->plugin->cancel)
        r->model->backend->plugin->cancel(r->live);
    pthread_mutex_unlock(&r->lock);
}

/* Results move to memory of their own. Each is below 4 GiB. False: there is none. */
static bool keep_results(struct run *r)
{
    size_t sum = 0, at = 0;

    for (uint32_t i = 0; i < r->nresults; i++)
        sum += (r->results[i].len + 63) & ~(size_t)63;
    r->kept = sv_nn_data_new(sum);
    if (!r->kept)
        return false;
    for (uint32_t i = 0; i < r->nresults; i++) {
        struct ssvm_nn_tensor *t = &r->results[i];

        if (t->len)
            memcpy((char *)r->kept + at, t->data, t->len);
        t->data = (char *)r->kept + at;
        at += (t->len + 63) & ~(size_t)63;
    }
    return true;
}

/* Small ones, so that the backend's session goes to the next guest. */
static void keep_small(struct run *r)
{
    size_t sum = 0;

    for (uint32_t i = 0; i < r->nresults; i++) {
        if (r->results[i].len > KEPT_MAX)
            return;
        sum += r->results[i].len;
    }
    if (sum <= KEPT_MAX && keep_results(r))
        give_live(r, true);
}

/* A library may give back an input, or a part of it, where it is: an operation that changes nothing
 * costs nothing. But the guest may give up that input before it reads the output. */
static bool has_input(const struct run *r)
{
    for (uint32_t i = 0; i < r->nresults; i++)
        for (size_t k = 0; k < r->inputs.len; k++)
            if ((uintptr_t)r->results[i].data - (uintptr_t)r->inputs.data[k].data <
                r->inputs.data[k].len)
                return true;
    return false;
}

/* The library had better not say what is not so. */
static bool check_results(struct run *r)
{
    size_t len;

    for (uint32_t i = 0; i < r->wanted.len; i++) {
        const struct ssvm_nn_tensor *t = &r->results[i];

        if (!sv_nn_tensor_len(t->type, t->dims, t->rank, &len) || len != t->len ||
            (len && !t->data)) {
            snprintf(r->error, sizeof r->error,
                     "output '%s' has a shape that does not fit its bytes", r->wanted.data[i].name);
            return false;
        }
    }
    return true;
}

static void run_run(struct sv_nn_job *job)
{
    struct run *r = (struct run *)job;
    const struct ssvm_nn_backend *plugin = r->model->backend->plugin;

    r->result = -1;
    r->error[0] = '\0';
    drop_results(r);
    r->results = sv_alloc_array_zero(r->wanted.len + 1, sizeof *r->results);
    if (!r->results) {
        snprintf(r->error, sizeof r->error, "out of memory");
        return;
    }
    if (take_live(r) != 0)
        return;
    r->result = plugin->run(r->live, r->ports.data, r->inputs.data, (uint32_t)r->inputs.len,
                            r->wanted.data, r->results, (uint32_t)r->wanted.len, r->error);
    r->error[sizeof r->error - 1] = '\0';
    if (r->result == 0 && !check_results(r))
        r->result = -1;
    if (r->result != 0) {
        give_live(r, false);
        return;
    }
    r->nresults = (uint32_t)r->wanted.len;
    keep_small(r);
}

/* ---- Handles ---- */

int sv_nn_state_new(struct sv_err *err, const char *who, struct sv_store *store, const void *grant,
                    own struct sv_nn_state **ret)
{
    struct sv_nn_state *s = sv_alloc_zero(sizeof *s);

    if (!s)
        return sv_fail_nomem(err, "inference state");
    /* The grant is the reference's; a store holds one of its own. */
    s->nn = sv_nn_ref((struct sv_nn *)(uintptr_t)grant);
    s->store = store;
    s->who = who;
    s->next = 1;
    *ret = s;
    return 0;
}

/* The first item whose handle is not below `handle`. */
static size_t lower_bound(const struct sv_nn_state *s, uint64_t handle)
{
    size_t low = 0, high = s->items.len;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (s->items.data[middle].handle < handle)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct sv_nn_item *sv_nn_item_find(struct sv_nn_state *s, uint64_t handle, enum sv_nn_kind kind)
{
    size_t at = lower_bound(s, handle);

    if (at == s->items.len || s->items.data[at].handle != handle || s->items.data[at].kind != kind)
        return NULL;
    return &s->items.data[at];
}

struct sv_nn_session *sv_nn_session_find(struct sv_nn_state *s, uint64_t handle)
{
    struct sv_nn_item *item = sv_nn_item_find(s, handle, SV_NN_SESSION);

    return item ? item->session : NULL;
}

static int add_item(struct sv_nn_state *s, struct sv_nn_item item, uint32_t *ret)
{
    if (s->next == UINT32_MAX || !SV_VEC_PUSH(&s->items, SIZE_MAX / sizeof item, item))
        return sv_nn_fail(s, SV_NN_EBUSY, "out of memory");
    s->items.data[s->items.len - 1].handle = s->next;
    *ret = s->next++;
    return 0;
}

/* Remove the tensors of a session. */
static void drop_tensors(struct sv_nn_state *s, const struct sv_nn_session *session)
{
    size_t n = 0;

    for (size_t i = 0; i < s->items.len; i++) {
        const struct sv_nn_item *item = &s->items.data[i];

        if (item->kind != SV_NN_TENSOR || item->session != session)
            s->items.data[n++] = *item;
    }
    s->items.len = n;
}

static void give_back(struct sv_nn_state *s, struct sv_nn_session *session, uint64_t bytes)
{
    session->charged -= bytes;
    sv_host_give_memory(s->store, bytes);
}

/* Is it in use by a graph or session of this store? Its bytes count once. */
static bool has_model(const struct sv_nn_state *s, const struct sv_nn_model *m)
{
    for (size_t i = 0; i < s->items.len; i++) {
        const struct sv_nn_item *item = &s->items.data[i];

        if (item->model == m)
            return true;
    }
    return false;
}

static uint64_t model_bytes(const struct sv_nn_model *m)
{
    return (uint64_t)m->len + m->cost;
}

static void release_item(struct sv_nn_state *s, struct sv_nn_item *item)
{
    struct sv_nn_session *session = item->session;

    if (item->kind == SV_NN_SESSION) {
        give_back(s, session, session->charged);
        if (session->run)
            sv_nn_job_unref(&session->run->job);
        sv_free(session);
    }
    sv_nn_model_unref(item->model);
}

bool sv_nn_item_delete(struct sv_nn_state *s, uint64_t handle, enum sv_nn_kind kind)
{
    struct sv_nn_item *found = sv_nn_item_find(s, handle, kind), item;
    size_t at;

    if (!found)
        return false;
    item = *found;
    at = (size_t)(found - s->items.data);
    memmove(found, found + 1, (s->items.len - at - 1) * sizeof *found);
    s->items.len--;
    if (kind == SV_NN_SESSION)
        drop_tensors(s, item.session);
    if (item.model) {
        s->nlive--;
        if (!has_model(s, item.model))
            sv_host_give_memory(s->store, model_bytes(item.model));
    }
    release_item(s, &item);
    return true;
}

void sv_nn_state_delete(own void *state)
{
    struct sv_nn_state *s = state;

    if (!s)
        return;
    while (s->items.len > 0) {
        const struct sv_nn_item *last = &s->items.data[s->items.len - 1];

        sv_nn_item_delete(s, last->handle, last->kind);
    }
    sv_free(s->items.data);
    sv_nn_unref(s->nn);
    sv_free(s);
}

const char *sv_nn_state_holds(const void *state)
{
    const struct sv_nn_state *s = state;

    return s->items.len > 0 ? "an inference session" : NULL;
}

/* ---- Messages and the guest's memory ---- */

int sv_nn_fail(struct sv_nn_state *s, int code, const char *fmt, ...)
{
    char line[LINE_MAX];
    va_list ap;
    int n;

    if (s->nlines > SV_NN_LINES_MAX)
        return code;
    if (s->nlines++ == SV_NN_LINES_MAX)
        fmt = "more messages of this guest are not shown";
    n = snprintf(line, sizeof line, "%s: ", s->who);
    va_start(ap, fmt);
    vsnprintf(line + n, sizeof line - (size_t)n, fmt, ap);
    va_end(ap);
    sv_nn_log(s->nn, line);
    return code;
}

int sv_nn_slice(struct sv_nn_state *s, struct sv_call *c, uint64_t ptr, uint64_t len, void *ret)
{
    if (sv_call_slice(c, ptr, len, ret))
        return 0;
    if (!c->inst || !c->inst->memory0)
        return sv_nn_fail(s, SV_NN_EMEMORY, "the caller has no memory");
    return sv_nn_fail(s, SV_NN_EINVAL, "0x%llx bytes at 0x%llx are not in the guest's memory",
                      (unsigned long long)len, (unsigned long long)ptr);
}

int sv_nn_put_u32(struct sv_nn_state *s, struct sv_call *c, uint32_t ptr, uint32_t value)
{
    void *to;
    int r = sv_nn_slice(s, c, ptr, sizeof value, &to);

    if (r == 0)
        memcpy(to, &value, sizeof value);
    return r;
}

/* Cut ":index" off. */
static bool split_index(struct ssvm_nn_port *p)
{
    char *colon = strrchr(p->name, ':'), *at;
    uint64_t n = 0;

    p->index = 0;
    if (!colon || colon[1] == '\0')
        return true;
    for (at = colon + 1; *at >= '0' && *at <= '9'; at++) {
        n = n * 10 + (uint64_t)(*at - '0');
        if (n > UINT32_MAX)
            return false;
    }
    if (*at == '\0') {
        *colon = '\0';
        p->index = (uint32_t)n;
    }
    return true;
}

int sv_nn_port_read(struct sv_nn_state *s, struct sv_call *c, uint32_t ptr, uint32_t len,
                    const uint32_t *index, struct ssvm_nn_port *ret)
{
    const char *name;
    int r = sv_nn_slice(s, c, ptr, len, &name);

    if (r != 0)
        return r;
    if (len == 0 || len >= SSVM_NN_NAME_MAX || memchr(name, 0, len))
        return sv_nn_fail(s, SV_NN_EINVAL, "a name of %u bytes is empty, too long or has zeros",
                          len);
    memset(ret, 0, sizeof *ret);
    memcpy(ret->name, name, len);
    if (index)
        ret->index = *index;
    else if (!split_index(ret))
        return sv_nn_fail(s, SV_NN_EINVAL, "the index of '%s' is too large", ret->name);
    return 0;
}

/* Gas for bytes that are read or written. */
static int charge_gas(struct sv_call *c, uint64_t len)
{
    int code = sv_memory_charge(c->th, len);

    return code ? sv_trap_raise(c->th, code) : 0;
}

/* ---- Models and sessions ---- */

static int errno_of(int code)
{
    switch (code) {
    case SV_EMALFORMED:
    case SV_EINVALID:
    case SV_EUNSUPPORTED:
        return SV_NN_EINVAL;
    case SV_ETYPE:
        return SV_NN_EENCODING;
    case SV_ELIMIT:
        return SV_NN_ELARGE;
    case SV_NN_BUSY:
        return SV_NN_EBUSY;
    default:
        return SV_NN_ERUN;
    }
}

/* What finding a model gave, 0 too, with what is to be told. */
static int tell_found(struct sv_nn_state *s, int r, int code, const struct sv_err *err)
{
    if (r == SV_ETRAP)
        return r;
    if (r == 0)
        code = 0;
    for (const char *line = err->text; *line; line += strlen(line) + 1)
        sv_nn_fail(s, code, "%s", line);
    return code;
}

int sv_nn_model_read(struct sv_nn_state *s, struct sv_call *c, uint32_t ptr, uint32_t len,
                     int format, own struct sv_nn_model **ret)
{
    struct sv_nn_bytes b = {.len = len, .at = ptr};
    struct sv_err err = {0};
    int r = sv_nn_slice(s, c, ptr, len, &b.ptr);

    if (r == 0)
        r = charge_gas(c, len);
    if (r != 0)
        return r;
    b.memory = c->inst->memory0;
    r = sv_nn_model_get(&err, s->nn, c->th, &b, format, ret);
    return tell_found(s, r, errno_of(r), &err);
}

int sv_nn_model_named(struct sv_nn_state *s, struct sv_call *c, uint32_t ptr, uint32_t len,
                      own struct sv_nn_model **ret)
{
    struct sv_err err = {0};
    const char *name;
    int r = sv_nn_slice(s, c, ptr, len, &name);

    if (r != 0)
        return r;
    r = sv_nn_model_by_name(&err, s->nn, c->th, name, len, ret);
    return tell_found(s, r, r == SV_ENOTFOUND ? SV_NN_ENOENT : errno_of(r), &err);
}

/* Give the model a handle; it is unreferenced where that fails. */
static int add_model(struct sv_nn_state *s, struct sv_nn_item item, uint32_t *ret)
{
    bool first = !has_model(s, item.model);
    int r;

    if (s->nlive >= SV_NN_SESSIONS_MAX)
        return sv_nn_fail(s, SV_NN_EBUSY, "more than %d sessions", SV_NN_SESSIONS_MAX);
    if (first && !sv_host_take_memory(s->store, model_bytes(item.model)))
        return sv_nn_fail(s, SV_NN_ELARGE, "the model's %llu bytes are over the memory limit",
                          (unsigned long long)model_bytes(item.model));
    r = add_item(s, item, ret);
    if (r == 0)
        s->nlive++;
    else if (first)
        sv_host_give_memory(s->store, model_bytes(item.model));
    return r;
}

int sv_nn_graph_new(struct sv_nn_state *s, own struct sv_nn_model *m, uint32_t *ret)
{
    int r = add_model(s, (struct sv_nn_item){.kind = SV_NN_GRAPH, .model = m}, ret);

    if (r != 0)
        sv_nn_model_unref(m);
    return r;
}

static own struct sv_nn_session *session_new(struct sv_nn_state *s, struct sv_nn_model *m)
{
    struct sv_nn_session *session = sv_alloc_zero(sizeof *session);
    struct run *r = sv_alloc_zero(sizeof *r);

    if (!session || !r) {
        sv_free(session);
        sv_free(r);
        return NULL;
    }
    sv_nn_job_init(&r->job, run_run, run_cancel, run_release);
    pthread_mutex_init(&r->lock, NULL);
    r->nn = sv_nn_keep(s->nn);
    r->model = sv_nn_model_ref(m);
    session->run = r;
    return session;
}

int sv_nn_session_new(struct sv_nn_state *s, own struct sv_nn_model *m, uint32_t *ret)
{
    struct sv_nn_item item = {.kind = SV_NN_SESSION, .model = m, .session = session_new(s, m)};
    int r;

    if (!item.session)
        r = sv_nn_fail(s, SV_NN_ERUN, "out of memory");
    else
        r = add_model(s, item, ret);
    if (r != 0 && item.session)
        release_item(s, &item);
    else if (r != 0)
        sv_nn_model_unref(m);
    return r;
}

struct sv_nn_model *sv_nn_session_model(const struct sv_nn_session *session)
{
    return session->run ? session->run->model : NULL;
}

/* ---- Inputs and outputs ---- */

static bool same_port(const struct ssvm_nn_port *a, const struct ssvm_nn_port *b)
{
    return a->index == b->index && strcmp(a->name, b->name) == 0;
}

/* A place for the input: that of an earlier one of its name, or a new one. */
static struct ssvm_nn_tensor *input_place(struct sv_nn_state *s, struct sv_nn_session *session,
                                          const struct ssvm_nn_port *port)
{
    static const struct ssvm_nn_tensor none = {0};
    struct run *r = session->run;

    for (size_t i = 0; i < r->ports.len; i++)
        if (same_port(&r->ports.data[i], port)) {
            struct ssvm_nn_tensor *t = &r->inputs.data[i];

            give_back(s, session, t->len);
            sv_nn_data_give(r->nn, t->data);
            t->data = NULL;
            t->len = 0;
            return t;
        }
    if (!SV_VEC_PUSH(&r->ports, SV_NN_PORTS_MAX, *port))
        return NULL;
    if (!SV_VEC_PUSH(&r->inputs, SV_NN_PORTS_MAX, none)) {
        r->ports.len--;
        return NULL;
    }
    return &r->inputs.data[r->inputs.len - 1];
}

static int check_tensor(struct sv_nn_state *s, const struct ssvm_nn_port *port,
                        const struct ssvm_nn_tensor *t)
{
    size_t len;

    if (!sv_nn_type_size(t->type))
        return sv_nn_fail(s, SV_NN_EINVAL, "input '%s': there is no type %d", port->name, t->type);
    if (!sv_nn_tensor_len(t->type, t->dims, t->rank, &len))
        return sv_nn_fail(s, SV_NN_EINVAL, "input '%s': a dimension is negative or too large",
                          port->name);
    if (len != t->len)
        return sv_nn_fail(s, SV_NN_EINVAL, "input '%s': the shape takes %zu bytes of %s, not %zu",
                          port->name, len, sv_nn_type_text(t->type), t->len);
    if (len > s->nn->config.tensor_bytes_max)
        return sv_nn_fail(s, SV_NN_ELARGE, "input '%s': %zu bytes, the limit is %llu", port->name,
                          len, (unsigned long long)s->nn->config.tensor_bytes_max);
    return 0;
}

int sv_nn_session_input(struct sv_nn_state *s, struct sv_call *c, struct sv_nn_session *session,
                        const struct ssvm_nn_port *port, const struct ssvm_nn_tensor *t)
{
    struct ssvm_nn_tensor *to;
    void *data;
    int r = check_tensor(s, port, t);

    if (r == 0)
        r = charge_gas(c, t->len);
    if (r != 0)
        return r;
    if (!session->run)
        return sv_nn_fail(s, SV_NN_EBUSY, "the session was left while it ran");
    to = input_place(s, session, port);
    if (!to)
        return sv_nn_fail(s, SV_NN_EBUSY, "more than %d inputs", SV_NN_PORTS_MAX);
    data = sv_nn_data_take(s->nn, t->len);
    if (!data || !sv_host_take_memory(s->store, t->len)) {
        sv_nn_data_give(s->nn, data);
        session->spoiled = true; /* an earlier one of its name is gone */
        return sv_nn_fail(s, SV_NN_ELARGE, "input '%s' is over the memory limit", port->name);
    }
    session->charged += t->len;
    *to = *t;
    to->data = data;
    memcpy(data, t->data, t->len);
    /* What a library reads behind the end is no other guest's. */
    memset((char *)data + t->len, 0, SSVM_NN_SLACK);
    return 0;
}

/* Forget what the last run gave. */
static void drop_outputs(struct sv_nn_state *s, struct sv_nn_session *session)
{
    uint64_t sum = 0;

    drop_tensors(s, session);
    for (uint32_t i = 0; session->ran && i < session->run->nresults; i++)
        sum += session->run->results[i].len;
    give_back(s, session, sum);
    session->ran = false;
}

int sv_nn_session_want(struct sv_nn_state *s, struct sv_nn_session *session,
                       const struct ssvm_nn_port *port)
{
    struct run *r = session->run;

    if (!r)
        return sv_nn_fail(s, SV_NN_EBUSY, "the session was left while it ran");
    for (size_t i = 0; i < r->wanted.len; i++)
        if (same_port(&r->wanted.data[i], port))
            return 0;
    if (!SV_VEC_PUSH(&r->wanted, SV_NN_PORTS_MAX, *port))
        return sv_nn_fail(s, SV_NN_EBUSY, "more than %d outputs", SV_NN_PORTS_MAX);
    return 0;
}

int sv_nn_session_want_all(struct sv_nn_state *s, struct sv_nn_session *session)
{
    struct sv_nn_model *m = sv_nn_session_model(session);
    int r = 0;

    for (uint32_t i = 0; m && r == 0 && i < m->outputs.n; i++)
        r = sv_nn_session_want(s, session, &m->outputs.list[i].port);
    return r;
}

void sv_nn_session_spoil(struct sv_nn_session *session)
{
    session->spoiled = true;
}

void sv_nn_session_clear_inputs(struct sv_nn_state *s, struct sv_nn_session *session)
{
    session->spoiled = false;
    if (!session->run)
        return;
    for (size_t i = 0; i < session->run->inputs.len; i++)
        give_back(s, session, session->run->inputs.data[i].len);
    drop_inputs(session->run);
}

void sv_nn_session_clear_outputs(struct sv_nn_state *s, struct sv_nn_session *session)
{
    session->spoiled = false;
    if (!session->run)
        return;
    drop_outputs(s, session);
    session->run->wanted.len = 0;
}

/* Bytes of the outputs that were asked for, as far as the model tells them. */
static uint64_t declared_bytes(const struct run *r)
{
    const struct sv_nn_ports *outputs = &r->model->outputs;
    uint64_t sum = 0;
    size_t len;

    for (size_t i = 0; i < r->wanted.len; i++)
        for (uint32_t k = 0; k < outputs->n; k++) {
            const struct ssvm_nn_tensor *t = &outputs->list[k].tensor;

            if (same_port(&r->wanted.data[i], &outputs->list[k].port) &&
                sv_nn_tensor_len(t->type, t->dims, t->rank, &len))
                sum += len > UINT32_MAX ? UINT32_MAX : len;
        }
    return sum;
}

static int take_outputs(struct sv_nn_state *s, uint64_t sum)
{
    if (sum > UINT32_MAX || !sv_host_take_memory(s->store, sum))
        return sv_nn_fail(s, SV_NN_ELARGE, "the outputs' %llu bytes are over the memory limit",
                          (unsigned long long)sum);
    return 0;
}

/* What the library holds for the guest, or we, counts. */
static int charge_results(struct sv_nn_state *s, struct sv_nn_session *session)
{
    const struct run *r = session->run;
    uint64_t sum = 0;
    int code;

    for (uint32_t i = 0; i < r->nresults; i++)
        sum += r->results[i].len;
    code = take_outputs(s, sum);
    if (code == 0)
        session->charged += sum;
    return code;
}

int sv_nn_session_run(struct sv_nn_state *s, struct sv_call *c, struct sv_nn_session *session)
{
    struct run *r = session->run;
    struct sv_err err = {0};
    uint64_t declared;
    int code;

    if (!r)
        return sv_nn_fail(s, SV_NN_EBUSY, "the session was left while it ran");
    drop_outputs(s, session);
    if (session->spoiled)
        return sv_nn_fail(s, SV_NN_ERUN, "not run: an input or output was refused");
    if (!sv_nn_model_may_run(r->model))
        return sv_nn_fail(s, SV_NN_EBUSY,
                          "runs of this model whose time was over have not ended yet");
    /* Before the library has them. */
    declared = declared_bytes(r);
    code = take_outputs(s, declared);
    if (code != 0)
        return code;
    code = sv_nn_job_wait(&err, &s->nn->workers, c->th, &r->job);
    sv_host_give_memory(s->store, declared);
    if (code == SV_NN_BUSY)
        return sv_nn_fail(s, SV_NN_EBUSY, "%s", err.text);
    if (code != 0 && r->job.left) {
        session->run = NULL;
        r->counted = true;
        sv_nn_model_left(r->model, 1);
        sv_nn_job_unref(&r->job);
    }
    if (code != 0)
        return code;
    if (r->result != 0)
        return sv_nn_fail(s, SV_NN_ERUN, "%s: %s", r->model->backend->plugin->title,
                          r->error[0] ? r->error : "the run failed");
    code = charge_results(s, session);
    session->ran = code == 0;
    if (code == 0 && !r->kept && has_input(r) && !keep_results(r)) {
        drop_outputs(s, session);
        code = sv_nn_fail(s, SV_NN_ERUN, "out of memory");
    }
    return code;
}

const struct ssvm_nn_tensor *sv_nn_session_output(const struct sv_nn_session *session,
                                                  const struct ssvm_nn_port *port,
                                                  uint32_t *ret_index)
{
    const struct run *r = session->run;

    if (!r || !session->ran)
        return NULL;
    for (uint32_t i = 0; i < r->nresults; i++)
        if (port->name[0] ? same_port(&r->wanted.data[i], port) : i == port->index) {
            if (ret_index)
                *ret_index = i;
            return &r->results[i];
        }
    return NULL;
}

int sv_nn_tensor_new(struct sv_nn_state *s, struct sv_nn_session *session, uint32_t index,
                     uint32_t *ret)
{
    struct sv_nn_item item = {.kind = SV_NN_TENSOR, .session = session, .index = index};

    for (size_t i = 0; i < s->items.len; i++) {
        const struct sv_nn_item *have = &s->items.data[i];

        if (have->kind == SV_NN_TENSOR && have->session == session && have->index == index) {
            *ret = have->handle;
            return 0;
        }
    }
    return add_item(s, item, ret);
}

const struct ssvm_nn_tensor *sv_nn_tensor_find(struct sv_nn_state *s, uint64_t handle,
                                               const struct sv_nn_session **ret_session)
{
    struct sv_nn_item *item = sv_nn_item_find(s, handle, SV_NN_TENSOR);

    if (!item)
        return NULL;
    if (ret_session)
        *ret_session = item->session;
    return &item->session->run->results[item->index];
}

int sv_nn_tensor_copy(struct sv_nn_state *s, struct sv_call *c, const struct ssvm_nn_tensor *t,
                      uint32_t ptr)
{
    void *to;
    int r = sv_nn_slice(s, c, ptr, t->len, &to);

    if (r == 0)
        r = charge_gas(c, t->len);
    if (r == 0 && t->len)
        memcpy(to, t->data, t->len);
    return r;
}
