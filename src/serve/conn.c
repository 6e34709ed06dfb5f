/* Connections: the array of stages, and what happens between them. What each stage does is in its
 * own file. */
#include "serve/conn.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "serve/faas.h"
#include "serve/h2.h"
#include "serve/loop.h"
#include "serve/registry.h"
#include "serve/relay.h"
#include "serve/stream.h"

static const srv_stage_fn stages[SRV_STAGE_COUNT] = {
    [SRV_STAGE_HTTP] = srv_http_stage, [SRV_STAGE_ROUTE] = srv_route_stage,
    [SRV_STAGE_BODY] = srv_body_stage, [SRV_STAGE_POOL] = srv_pool_stage,
    [SRV_STAGE_CALL] = srv_call_stage, [SRV_STAGE_SEND] = srv_send_stage,
    [SRV_STAGE_LOG] = srv_log_stage,
};

static void drop_work(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;

    if (!work)
        return;
    if (conn->stage != SRV_STAGE_HTTP)
        srv_request_clear(conn);
    conn->work = NULL;
    srv_loop_put_work(conn->loop, work);
}

void srv_conn_delete(own struct srv_conn *conn)
{
    struct srv_loop *loop = conn->loop;

    srv_loop_set_timer(loop, conn, SRV_TIMER_NONE);
    if (conn->h2)
        srv_h2_close(conn);
    if (conn->relay)
        srv_relay_close(conn);
    drop_work(conn);
    /* Events of it that were already taken from the kernel must not find it. */
    for (unsigned i = loop->at; i < loop->nevents; i++) {
        if (loop->events[i].data.ptr == conn)
            loop->events[i].data.ptr = NULL;
    }
    conn->transport->close(conn);
    atomic_fetch_sub(&loop->server->connections, 1);
    atomic_fetch_sub_explicit(&loop->nopen, 1, memory_order_relaxed);
    if (loop->nconns >= SRV_LOOP_SPARE_CONNS) {
        free(conn);
        return;
    }
    conn->next = loop->conns;
    loop->conns = conn;
    loop->nconns++;
}

/* So our close does not become a reset that takes the reply with it. */
enum srv_step srv_conn_linger(struct srv_conn *conn)
{
    char ignored[4096];

    if (!conn->lingering) {
        conn->lingering = true;
        drop_work(conn);
        conn->transport->end(conn);
        srv_loop_set_timer(conn->loop, conn, SRV_TIMER_LINGER);
        conn->unsent = conn->transport->unsent(conn);
        conn->lingered_ms = 0;
    }
    while (conn->progress < SRV_LINGER_MAX) {
        size_t n = srv_conn_receive(conn, ignored, sizeof ignored);

        if (n == 0)
            return conn->ended || conn->lost ? SRV_STEP_CLOSE : SRV_STEP_WAIT;
    }
    return SRV_STEP_CLOSE;
}

/* Time is over for one that lingers. What the client has not taken yet is his for as long as any
 * reply would be; then he has a moment to end his side. False: he has had that. */
static bool linger_on(struct srv_conn *conn)
{
    uint64_t thrown_away = conn->progress;
    int before = conn->unsent, unsent = conn->transport->unsent(conn);

    if (before == 0)
        return false;
    if (unsent == 0 || before - unsent >= SRV_PROGRESS_MIN) {
        before = unsent;
        conn->lingered_ms = 0;
    } else {
        conn->lingered_ms += SRV_LINGER_MS;
        if (conn->lingered_ms >= conn->loop->server->config.write_ms)
            return false;
    }
    srv_loop_set_timer(conn->loop, conn, SRV_TIMER_LINGER);
    conn->unsent = before;
    conn->progress = thrown_away;
    return true;
}

void srv_conn_leave(struct srv_conn *conn)
{
    if (conn->lost || conn->transport->unsent(conn) == 0 || srv_conn_linger(conn) == SRV_STEP_CLOSE)
        srv_conn_delete(conn);
}

enum srv_step srv_conn_rest(struct srv_conn *conn)
{
    drop_work(conn);
    return conn->ended || conn->lost ? SRV_STEP_CLOSE : SRV_STEP_WAIT;
}

/* The request is answered. Begin the next one with what has been read beyond it, or wait for it. */
static enum srv_step begin_next(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    bool last = work->reply.close || conn->loop->draining;
    bool all_read = work->http.phase == SRV_HTTP_COMPLETE && work->in_len == 0 && !conn->readable;

    srv_request_clear(conn);
    conn->stage = SRV_STAGE_HTTP;
    conn->used = true;
    /* What the client has not taken yet would go without us, but for a process that is the last of
     * its network. */
    all_read = all_read && !(conn->loop->draining && conn->transport->unsent(conn) > 0);
    if (conn->lost || (last && all_read) || conn->transport->reply)
        return SRV_STEP_CLOSE;
    if (last)
        return srv_conn_linger(conn);
    srv_loop_set_timer(conn->loop, conn, SRV_TIMER_IDLE);
    if (work->in_len == 0 && !conn->readable)
        return srv_conn_rest(conn);
    srv_http_init(&work->http);
    return SRV_STEP_NEXT;
}

/* Delete the connection when its time has come. */
static enum srv_step finish(struct srv_conn *conn, enum srv_step step)
{
    if (step == SRV_STEP_CLOSE)
        srv_conn_delete(conn);
    return step;
}

enum srv_step srv_conn_drive(struct srv_conn *conn)
{
    for (;;) {
        enum srv_step step = stages[conn->stage](conn);

        if (step == SRV_STEP_AGAIN) {
            step = begin_next(conn);
            if (step != SRV_STEP_NEXT)
                return finish(conn, step);
        } else if (step == SRV_STEP_NEXT) {
            conn->stage++;
        } else if (step == SRV_STEP_REPLY) {
            conn->stage = SRV_STAGE_SEND;
        } else {
            return finish(conn, step);
        }
    }
}

/* Who has closed the whole connection looks like who has only ended his side, until we send: then
 * his system answers with a reset. */
void srv_conn_probe(struct srv_conn *conn)
{
    if (!conn->ending || conn->work->http.minor == 0)
        return;
    if (conn->transport->go_on(conn) < 0)
        conn->lost = true;
}

enum srv_step srv_conn_ready(struct srv_conn *conn, uint32_t events)
{
    bool ends = events & EPOLLRDHUP && !conn->ending;

    if (conn->relay)
        return srv_relay_ready(conn, events);
    if (events & (EPOLLIN | EPOLLRDHUP))
        conn->readable = conn->socket_readable = true;
    if (events & (EPOLLERR | EPOLLHUP))
        conn->lost = true;
    if (ends)
        conn->ending = true;
    if (conn->away) {
        if (ends && !(conn->stream && srv_stream_started(conn->stream)))
            srv_conn_probe(conn);
        if (conn->stream)
            srv_stream_pump(conn);
        else if (conn->upstream && conn->lost)
            srv_relay_turn(conn);
        return SRV_STEP_AWAY;
    }
    if (conn->h2) {
        srv_h2_ready(conn);
        return SRV_STEP_WAIT;
    }
    if (conn->lingering)
        return finish(conn, srv_conn_linger(conn));
    if (conn->lost && conn->stage < SRV_STAGE_SEND)
        return finish(conn, SRV_STEP_CLOSE);
    if (conn->stage == SRV_STAGE_HTTP && !conn->readable)
        return SRV_STEP_WAIT; /* a new connection is writable, and nothing else */
    return srv_conn_drive(conn);
}

/* Whether enough bytes have moved since the timer was set. What a client takes is seen in the
 * socket first: the socket asks for more only when a good part of it is free. */
static bool has_progressed(const struct srv_conn *conn)
{
    if (conn->timer != SRV_TIMER_WRITE)
        return conn->progress >= SRV_PROGRESS_MIN;
    return (int64_t)conn->progress + conn->unsent - conn->transport->unsent(conn) >=
           SRV_PROGRESS_MIN;
}

enum srv_step srv_conn_expire(struct srv_conn *conn)
{
    enum srv_timer timer = conn->timer;

    if ((timer == SRV_TIMER_BODY || timer == SRV_TIMER_WRITE) && has_progressed(conn)) {
        srv_loop_set_timer(conn->loop, conn, timer);
        return SRV_STEP_WAIT;
    }
    if (conn->lingering && linger_on(conn))
        return SRV_STEP_WAIT;
    if (conn->h2 && timer == SRV_TIMER_HEAD && !conn->loop->draining) {
        srv_loop_set_timer(conn->loop, conn, SRV_TIMER_IDLE); /* opened to be used later */
        return SRV_STEP_WAIT;
    }
    if (conn->away) { /* a body that does not come, or a reply that is not taken */
        conn->lost = true;
        srv_loop_set_timer(conn->loop, conn, SRV_TIMER_NONE);
        srv_stream_break(conn->stream);
        if (conn->upstream)
            srv_relay_turn(conn);
        return SRV_STEP_AWAY;
    }
    if (conn->work && !(conn->stage == SRV_STAGE_HTTP && conn->transport->begin) &&
        (timer == SRV_TIMER_BODY || (timer == SRV_TIMER_HEAD && conn->work->in_len > 0))) {
        if (conn->stage == SRV_STAGE_HTTP)
            srv_request_init(conn);
        conn->stage = SRV_STAGE_SEND;
        conn->work->http.keep_alive = false;
        srv_conn_fail(conn, 408, "timeout", "the request did not arrive in time");
        return srv_conn_drive(conn);
    }
    return finish(conn, SRV_STEP_CLOSE);
}

/* A number that no two requests share and nobody guesses, as hexadecimal digits. */
static void make_id(struct srv_server *server, char *out)
{
    static const char hex[] = "0123456789abcdef";
    uint64_t n =
        atomic_fetch_add_explicit(&server->next_id, 1, memory_order_relaxed) * 0x9e3779b97f4a7c15U;

    n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9U;
    n = (n ^ n >> 27) * 0x94d049bb133111ebU;
    n ^= n >> 31;
    for (int i = 0; i < SRV_ID_LEN; i++, n >>= 4)
        out[i] = hex[n & 15];
    out[SRV_ID_LEN] = '\0';
}

void srv_request_init(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_request *request = &work->request;

    memset(request, 0, offsetof(struct srv_request, note));
    request->note[0] = '\0';
    request->errors = NULL;
    request->errors_len = 0;
    request->backtrace = NULL;
    request->path[0] = '\0';
    request->start_ns = conn->loop->now_ns;
    srv_limits_find(&conn->loop->server->config, NULL, &request->limits);
    make_id(conn->loop->server, request->id);
    srv_trace_begin(conn);
    srv_reply_init(&work->reply);
    work->out_len = work->out_at = work->consumed = 0;
    work->body_at = 0;
}

void srv_request_clear(struct srv_conn *conn)
{
    struct srv_request *request = &conn->work->request;

    if (request->body_buf)
        atomic_fetch_sub(&conn->loop->server->bodies, request->body_cap);
    free(request->body_buf);
    free(request->errors);
    free(request->backtrace);
    if (request->version)
        srv_version_unref(request->version);
    srv_stream_delete(request->stream, conn->loop);
    conn->stream = request->stream = NULL;
    srv_relay_delete(request->relayed_once);
    request->relayed_once = NULL;
    srv_registry_leave(request);
    srv_faas_delete(request->faas);
    request->faas = NULL;
    srv_reply_clear(&conn->work->reply);
}

enum srv_step srv_conn_fail(struct srv_conn *conn, int status, const char *code,
                            const char *message)
{
    struct srv_request *request = &conn->work->request;

    request->code = code;
    if (request->faas)
        srv_reply_error_text(&conn->work->reply, status, message);
    else
        srv_reply_error(&conn->work->reply, status, code, message, request->id);
    return SRV_STEP_REPLY;
}

void srv_conn_peer(const struct srv_conn *conn, char ret[INET6_ADDRSTRLEN])
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&conn->peer;

    if (conn->peer.sin6_family == AF_INET6)
        inet_ntop(AF_INET6, &conn->peer.sin6_addr, ret, INET6_ADDRSTRLEN);
    else
        inet_ntop(AF_INET, &v4->sin_addr, ret, INET6_ADDRSTRLEN);
}

const char *srv_conn_scheme(const struct srv_conn *conn)
{
    return conn->listener && conn->listener->tls ? "https" : "http";
}
