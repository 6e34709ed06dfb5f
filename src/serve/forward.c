/* Forwarding to the control process: a request as a message, and its answer as a reply. */
#include "serve/forward.h"

#include <stdlib.h>
#include <string.h>

#include "serve/link.h"
#include "serve/loop.h"
#include "serve/relay.h"
#include "serve/route.h"

#define NS_PER_S 1000000000U
#define STACK_BYTES (1U << 20)
#define MESSAGE_SLACK (64U << 10) /* of a deployment beside the module: manifest, boundaries */

/* Of literals: each request is compared with all of them. */
#define BEGINS(path, len, with)                                                                    \
    ((len) >= sizeof(with) - 1 && memcmp((path), (with), sizeof(with) - 1) == 0)
#define IS(path, len, other)                                                                       \
    ((len) == sizeof(other) - 1 && memcmp((path), (other), sizeof(other) - 1) == 0)

static const char *path_of(const struct srv_conn *conn, size_t *ret_len)
{
    *ret_len = conn->work->http.path.len;
    return conn->work->in + conn->work->http.path.at;
}

bool srv_forward_is_open(const struct srv_conn *conn)
{
    size_t len;
    const char *path = path_of(conn, &len);

    return BEGINS(path, len, "/api/");
}

/* What only becomes such a path when it is decoded is not one. Requests without a client (of the
 * queue, of other functions) never come here: who may call functions is not an operator. */
bool srv_forward_wants(const struct srv_conn *conn)
{
    size_t len;
    const char *path = path_of(conn, &len);

    if (!conn->listener || conn->loop->server->tenant || !srv_link_has_control(conn->loop->server))
        return false;
    if (BEGINS(path, len, "/api/"))
        return !BEGINS(path, len, "/api/run/") && !BEGINS(path, len, "/api/multipart/");
    if (IS(path, len, "/readyz") || IS(path, len, "/livez"))
        return true;
    /* Where they have an address of their own, they are nowhere else. */
    if (!conn->listener->admin && strcmp(conn->loop->server->config.admin, "same") != 0)
        return false;
    return BEGINS(path, len, "/v1/") || IS(path, len, "/dashboard") ||
           BEGINS(path, len, "/dashboard/") || IS(path, len, "/metrics");
}

/* A module may be larger than what clients of functions may send, from whoever says who he is. */
uint64_t srv_forward_body_max(const struct srv_conn *conn)
{
    const struct srv_config *config = &conn->loop->server->config;
    const struct srv_work *work = conn->work;
    uint64_t module = config->module + MESSAGE_SLACK;
    size_t len;

    if (!srv_http_field(&work->http, work->in, "Authorization", &len) &&
        !srv_http_field(&work->http, work->in, "SSVM-Admin-Key", &len))
        return config->body;
    return module > config->body ? module : config->body;
}

/* ---- Asking ---- */

static void put_span(struct plat_message *m, enum plat_tag tag, const struct srv_work *work,
                     struct srv_span span)
{
    plat_put(m, tag, work->in + span.at, span.len);
}

static void put_fields(struct plat_message *m, const struct srv_work *work)
{
    struct sv_buf lines;

    sv_buf_init(&lines, 2 * SRV_HTTP_HEAD_MAX);
    for (unsigned i = 0; i < work->http.nfields; i++) {
        const struct srv_field *f = &work->http.fields[i];

        sv_buf_append(&lines, work->in + f->name.at, f->name.len);
        sv_buf_append(&lines, ": ", 2);
        sv_buf_append(&lines, work->in + f->value.at, f->value.len);
        sv_buf_append(&lines, "\r\n", 2);
    }
    plat_put(m, PLAT_TAG_FIELDS, lines.data, lines.len);
    m->values.failed |= lines.failed;
    sv_buf_release(&lines);
}

static void put_request(struct plat_message *m, const struct srv_conn *conn)
{
    const struct srv_work *work = conn->work;
    const struct srv_request *request = &work->request;
    char peer[INET6_ADDRSTRLEN];
    size_t len = 0;
    const char *host = srv_http_known(&work->http, work->in, SRV_KNOWN_HOST, &len);

    srv_conn_peer(conn, peer);
    plat_put_str(m, PLAT_TAG_METHOD, srv_method_name(work->http.method));
    put_span(m, PLAT_TAG_PATH, work, work->http.path);
    put_span(m, PLAT_TAG_QUERY, work, work->http.query);
    put_fields(m, work);
    plat_put(m, PLAT_TAG_BODY, request->body, request->body_len);
    plat_put_str(m, PLAT_TAG_PEER, peer);
    plat_put_str(m, PLAT_TAG_SCHEME, srv_conn_scheme(conn));
    plat_put(m, PLAT_TAG_HOST, host, len);
    plat_put(m, PLAT_TAG_REQUEST_ID, request->id, SRV_ID_LEN);
}

/* ---- Answering ---- */

static void release_message(own char *held)
{
    struct plat_message *m = (struct plat_message *)(void *)held;

    plat_message_release(m);
    free(m);
}

/* The reply lies in the message: it is kept until the reply is sent. */
static bool take_answer(struct srv_conn *conn, own struct plat_message *m)
{
    struct srv_reply *reply = &conn->work->reply;
    struct sv_str body = plat_get(m, PLAT_TAG_BODY), fields = plat_get(m, PLAT_TAG_FIELDS),
                  type = plat_get(m, PLAT_TAG_TEXT);
    uint64_t status;

    if (!plat_get_u64(m, PLAT_TAG_STATUS, &status) || status < 100 || status > 599 ||
        fields.len > SRV_REPLY_FIELDS_MAX / 2)
        return false;
    reply->status = (int)status;
    srv_reply_hold(reply, NULL, (char *)(void *)m, 0, release_message);
    reply->body = body.len > 0 ? body.ptr : "";
    reply->len = body.len;
    if (type.ptr)
        srv_reply_field(reply, "Content-Type", type.ptr, type.len);
    if (fields.len > 0)
        memcpy(reply->fields + reply->nfields, fields.ptr, fields.len);
    reply->nfields += (uint32_t)fields.len;
    return true;
}

static void fail(struct srv_conn *conn, const struct sv_err *err)
{
    struct srv_work *work = conn->work;
    size_t len;
    const char *path = path_of(conn, &len);

    /* The process runs, whether control does or not: it is being started again. */
    if (IS(path, len, "/livez")) {
        static const char text[] = "{\"status\":\"ok\"}\n";

        srv_reply_borrow(&work->reply, "application/json", text, sizeof text - 1);
        return;
    }
    if (err->code == SV_ENOMEM || err->code == SV_EIO || err->code == SV_ELIMIT) {
        srv_conn_fail(conn, 503, "unavailable",
                      "the control process does not answer; try again shortly");
        srv_reply_field_str(&work->reply, "Retry-After", "1");
    } else {
        srv_conn_fail(conn, 500, "internal", "the control process failed");
    }
}

static void answer(struct srv_conn *conn)
{
    struct srv_request *request = &conn->work->request;
    struct srv_server *server = conn->loop->server;
    struct plat_message m, *ret = calloc(1, sizeof *ret);
    struct sv_err err = {0};
    int r;

    request->wait_ns = srv_clock_ns() - request->start_ns;
    plat_message_init(&m, PLAT_FORWARD);
    put_request(&m, conn);
    r = m.values.failed || !ret
            ? sv_fail_nomem(&err, "a request")
            : srv_link_call(server, &err, &m,
                            srv_clock_ns() + (uint64_t)SRV_FORWARD_TIME_S * NS_PER_S, ret);
    plat_message_release(&m);
    if (r == 0 && !take_answer(conn, ret)) {
        plat_message_release(ret);
        r = sv_fail(&err, SV_EINTERNAL, SV_NO_OFFSET, "the answer is malformed");
    }
    if (r < 0) {
        free(ret);
        fail(conn, &err);
    }
    srv_reply_field(&conn->work->reply, "X-Request-Id", request->id, SRV_ID_LEN);
    if (srv_forward_is_open(conn))
        srv_route_cors(conn);
    conn->stage = SRV_STAGE_SEND;
}

/* ---- Threads ---- */

static void *run_thread(void *data)
{
    struct srv_forward *forward = data;

    pthread_mutex_lock(&forward->lock);
    while (!forward->stop) {
        struct srv_conn *conn = forward->first;

        if (!conn) {
            forward->waiting++;
            pthread_cond_wait(&forward->more, &forward->lock);
            forward->waiting--;
            continue;
        }
        forward->first = conn->behind;
        forward->nqueued--;
        pthread_mutex_unlock(&forward->lock);
        if (conn->work->request.route == SRV_ROUTE_RELAY)
            srv_relay_ask(conn);
        else
            answer(conn);
        srv_loop_give(conn->loop, conn);
        pthread_mutex_lock(&forward->lock);
    }
    pthread_mutex_unlock(&forward->lock);
    return NULL;
}

/* With the lock held. */
static void add_thread(struct srv_forward *forward)
{
    pthread_attr_t attr;

    if (pthread_attr_init(&attr) != 0)
        return;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (pthread_create(&forward->threads[forward->nthreads], &attr, run_thread, forward) == 0)
        forward->nthreads++;
    pthread_attr_destroy(&attr);
}

/* With the lock held. False: nobody can take it. */
static bool enqueue(struct srv_forward *forward, struct srv_conn *conn)
{
    if (forward->nqueued >= SRV_FORWARD_QUEUE)
        return false;
    if (forward->waiting <= forward->nqueued && forward->nthreads < SRV_FORWARD_THREADS)
        add_thread(forward);
    if (forward->nthreads == 0)
        return false;
    conn->behind = NULL;
    *(forward->first ? &forward->last->behind : &forward->first) = conn;
    forward->last = conn;
    forward->nqueued++;
    pthread_cond_signal(&forward->more);
    return true;
}

enum srv_step srv_forward_ask(struct srv_conn *conn)
{
    struct srv_forward *forward = &conn->loop->server->forward;
    bool taken;

    srv_loop_set_timer(conn->loop, conn, SRV_TIMER_NONE);
    conn->away = true;
    pthread_mutex_lock(&forward->lock);
    taken = enqueue(forward, conn);
    pthread_mutex_unlock(&forward->lock);
    if (taken)
        return SRV_STEP_AWAY;
    conn->away = false;
    srv_conn_fail(conn, 503, "overloaded", "too many such requests are waiting; try again shortly");
    srv_reply_field_str(&conn->work->reply, "Retry-After", "1");
    return SRV_STEP_REPLY;
}

void srv_forward_init(struct srv_forward *forward)
{
    pthread_mutex_init(&forward->lock, NULL);
    pthread_cond_init(&forward->more, NULL);
}

void srv_forward_stop(struct srv_forward *forward)
{
    pthread_mutex_lock(&forward->lock);
    forward->stop = true;
    pthread_cond_broadcast(&forward->more);
    pthread_mutex_unlock(&forward->lock);
    while (forward->nthreads > 0)
        pthread_join(forward->threads[--forward->nthreads], NULL);
    pthread_cond_destroy(&forward->more);
    pthread_mutex_destroy(&forward->lock);
}
