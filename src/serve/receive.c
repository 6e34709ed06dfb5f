/* The stages that read: a request's head, then its body. What the bytes mean is http.c's. */
#include <stdlib.h>
#include <string.h>

#include "serve/h2.h"
#include "serve/loop.h"
#include "serve/stream.h"

#define BODY_FIRST (256 << 10) /* bytes of a body that a Content-Length alone makes us allocate */

size_t srv_conn_receive(struct srv_conn *conn, char *to, size_t room)
{
    size_t n;

    if (!conn->readable || conn->ended || conn->lost)
        return 0;
    n = conn->transport->receive(conn, to, room);
    conn->progress += n;
    return n;
}

bool srv_conn_read(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    size_t n = srv_conn_receive(conn, work->in + work->in_len, SRV_IN_MAX - work->in_len);

    work->in_len += n;
    return n > 0;
}

/* Nothing more to read now: wait, with patience of that kind, or give up. */
static enum srv_step wait_for_more(struct srv_conn *conn, enum srv_timer timer)
{
    if (conn->ended || conn->lost)
        return SRV_STEP_CLOSE;
    if (conn->timer != timer)
        srv_loop_set_timer(conn->loop, conn, timer);
    return SRV_STEP_WAIT;
}

enum srv_step srv_http_stage(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    enum srv_http_result r = SRV_HTTP_MORE;

    if (conn->transport->begin)
        return conn->transport->begin(conn);
    if (!work) {
        work = srv_loop_take_work(conn->loop);
        if (!work)
            return SRV_STEP_CLOSE;
        work->in_len = 0;
        srv_http_init(&work->http);
        conn->work = work;
    }
    for (;;) {
        int preface = -1;

        if (work->in_len > 0 && work->in[0] == 'P' && !conn->used)
            preface = srv_h2_is_preface(work->in, work->in_len);
        if (preface > 0)
            return srv_h2_begin(conn);
        if (work->in_len > 0 && preface < 0)
            r = srv_http_read_head(&work->http, work->in, work->in_len);
        if (r != SRV_HTTP_MORE)
            break;
        if (!srv_conn_read(conn))
            return work->in_len == 0 ? srv_conn_rest(conn) : wait_for_more(conn, SRV_TIMER_HEAD);
    }
    srv_request_init(conn);
    if (r == SRV_HTTP_BAD)
        return srv_conn_fail(conn, work->http.status, "bad_request", work->http.why);
    work->consumed = work->http.head_len;
    if (conn->transport->headed && !conn->transport->headed(conn))
        return srv_conn_fail(conn, 400, "bad_request", "the request is none of a worker");
    return SRV_STEP_NEXT;
}

/* ---- Bodies ---- */

/* Room for `want` bytes of body. NEXT, or REPLY with the refusal. */
static enum srv_step reserve_body(struct srv_conn *conn, size_t want)
{
    struct srv_server *server = conn->loop->server;
    struct srv_request *request = &conn->work->request;
    size_t cap = request->body_cap ? request->body_cap : BODY_FIRST;
    char *buf;

    if (request->body_buf && want <= request->body_cap)
        return SRV_STEP_NEXT;
    while (cap < want)
        cap *= 2;
    if (atomic_fetch_add(&server->bodies, cap - request->body_cap) + (cap - request->body_cap) >
            server->config.bodies ||
        !(buf = realloc(request->body_buf, cap))) {
        atomic_fetch_sub(&server->bodies, cap - request->body_cap);
        srv_conn_fail(conn, 503, "overloaded",
                      "the server holds too many large requests; try again shortly");
        srv_reply_field_str(&conn->work->reply, "Retry-After", "1");
        return SRV_STEP_REPLY;
    }
    request->body_buf = buf;
    request->body_cap = cap;
    return SRV_STEP_NEXT;
}

/* A body that fits behind the head stays there. */
static enum srv_step read_small(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    size_t need = work->http.head_len + (size_t)work->http.length;

    while (work->in_len < need) {
        if (!srv_conn_read(conn))
            return wait_for_more(conn, SRV_TIMER_BODY);
    }
    work->http.phase = SRV_HTTP_COMPLETE;
    work->consumed = need;
    work->request.body = work->in + work->http.head_len;
    work->request.body_len = (size_t)work->http.length;
    return SRV_STEP_NEXT;
}

static enum srv_step read_large(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_request *request = &work->request;
    size_t length = (size_t)work->http.length, got = work->in_len - work->http.head_len;

    if (!request->body_buf) {
        if (reserve_body(conn, got > 0 ? got : 1) == SRV_STEP_REPLY || !request->body_buf)
            return SRV_STEP_REPLY;
        memcpy(request->body_buf, work->in + work->http.head_len, got);
        request->body_len = got;
        work->in_len = work->http.head_len;
    }
    while (request->body_len < length) {
        size_t room, n;

        if (request->body_len == request->body_cap &&
            reserve_body(conn, request->body_len + 1) == SRV_STEP_REPLY)
            return SRV_STEP_REPLY;
        room = request->body_cap - request->body_len;
        if (room > length - request->body_len)
            room = length - request->body_len;
        n = srv_conn_receive(conn, request->body_buf + request->body_len, room);
        if (n == 0)
            return wait_for_more(conn, SRV_TIMER_BODY);
        request->body_len += n;
    }
    work->http.phase = SRV_HTTP_COMPLETE;
    request->body = request->body_buf;
    return SRV_STEP_NEXT;
}

/* Decode what is behind the head; what is not decoded yet moves there. NEXT: the body is complete.
 */
static enum srv_step decode_chunks(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_request *request = &work->request;
    size_t at = work->http.head_len;
    enum srv_http_result r = SRV_HTTP_MORE;

    while (r == SRV_HTTP_MORE && at < work->in_len) {
        const char *data;
        size_t used, len;

        r = srv_http_read_body(&work->http, work->in + at, work->in_len - at, &used, &data, &len);
        at += used;
        if (r == SRV_HTTP_BAD)
            return srv_conn_fail(conn, work->http.status, "bad_request", work->http.why);
        if (len > request->limits.body - request->body_len)
            return srv_conn_fail(conn, 413, "body_too_large",
                                 "the body is larger than this server accepts");
        if (len > 0) {
            if (reserve_body(conn, request->body_len + len) == SRV_STEP_REPLY)
                return SRV_STEP_REPLY;
            memcpy(request->body_buf + request->body_len, data, len);
            request->body_len += len;
        }
    }
    memmove(work->in + work->http.head_len, work->in + at, work->in_len - at);
    work->in_len -= at - work->http.head_len;
    request->body = request->body_buf;
    return r == SRV_HTTP_DONE ? SRV_STEP_NEXT : SRV_STEP_WAIT;
}

static enum srv_step read_chunked(struct srv_conn *conn)
{
    enum srv_step step;

    while ((step = decode_chunks(conn)) == SRV_STEP_WAIT) {
        if (!srv_conn_read(conn))
            return wait_for_more(conn, SRV_TIMER_BODY);
    }
    return step;
}

/* ---- Bodies that go to their function as they come ---- */

/* NEXT, or REPLY with the refusal. */
static enum srv_step begin_stream(struct srv_conn *conn)
{
    struct srv_request *request = &conn->work->request;
    /* What came before has been taken, and the client may send as much again. */
    size_t cap =
        conn->transport->taken ? conn->transport->window + request->body_len : SRV_STREAM_BYTES;

    request->stream = conn->stream = srv_stream_new(conn, cap);
    if (!request->stream) {
        srv_conn_fail(conn, 503, "overloaded",
                      "the server holds too many large requests; try again shortly");
        srv_reply_field_str(&conn->work->reply, "Retry-After", "1");
        return SRV_STEP_REPLY;
    }
    request->slow = true;
    if (request->body_len > 0) { /* what had come before we knew */
        srv_stream_put(request->stream, request->body_buf, request->body_len);
        request->body_len = 0;
    }
    srv_body_pump(conn);
    return SRV_STEP_NEXT;
}

/* Decode what is behind the head, as far as there is room for it. */
static void decode_some(struct srv_conn *conn, size_t room)
{
    struct srv_work *work = conn->work;
    struct srv_stream *stream = conn->stream;
    size_t at = work->http.head_len, end = work->in_len;
    enum srv_http_result r = SRV_HTTP_MORE;

    if (end - at > room)
        end = at + room;
    while (r == SRV_HTTP_MORE && at < end) {
        const char *data;
        size_t used, len;

        r = srv_http_read_body(&work->http, work->in + at, end - at, &used, &data, &len);
        at += used;
        if (r == SRV_HTTP_BAD)
            srv_stream_fail(stream, work->http.status, work->http.why);
        else if (len > conn->work->request.limits.body - stream->in_total)
            srv_stream_fail(stream, 413, "the body is larger than this server accepts");
        else if (len > 0)
            srv_stream_put(stream, data, len);
    }
    memmove(work->in + work->http.head_len, work->in + at, work->in_len - at);
    work->in_len -= at - work->http.head_len;
    if (r == SRV_HTTP_DONE)
        srv_stream_end(stream);
}

void srv_body_pump(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_stream *stream = conn->stream;
    size_t room, taken = srv_stream_taken(stream);

    if (conn->transport->taken) {
        if (taken > 0)
            conn->transport->taken(conn, taken);
        return;
    }
    while (work->http.phase != SRV_HTTP_COMPLETE && work->http.phase != SRV_HTTP_FAILED &&
           !stream->status) {
        room = srv_stream_room(stream);
        if (room == 0) /* the function has its own patience */
            break;
        if (work->in_len == work->http.head_len && !srv_conn_read(conn)) {
            if (conn->ended)
                srv_stream_fail(stream, 400, "the body is shorter than it said");
            else if (conn->timer != SRV_TIMER_BODY && conn->timer != SRV_TIMER_WRITE)
                srv_loop_set_timer(conn->loop, conn, SRV_TIMER_BODY);
            return;
        }
        decode_some(conn, room);
    }
    if (conn->timer == SRV_TIMER_BODY)
        srv_loop_set_timer(conn->loop, conn, SRV_TIMER_NONE);
}

/* Whether to do so: commands read their input when they want it, and what is small is there before
 * another thread would be. */
static bool wants_stream(const struct srv_conn *conn)
{
    const struct srv_work *work = conn->work;
    const struct srv_request *request = &work->request;

    if (conn->transport->whole)
        return false;
    if (request->route != SRV_ROUTE_RELAY &&
        (request->route != SRV_ROUTE_FUNCTION || request->load || !request->version ||
         !request->version->command))
        return false;
    if (work->http.phase == SRV_HTTP_CARRIED)
        return !work->http.has_length || work->http.length > SRV_STREAM_BYTES / 4;
    return work->http.chunked || work->http.length > SRV_IN_MAX - work->http.head_len;
}

/* ---- Requests that were made in memory ---- */

enum srv_step srv_conn_put_head(struct srv_conn *conn, size_t len, bool body_follows)
{
    struct srv_work *work = conn->work;
    enum srv_http_result r;

    work->in_len = len;
    srv_http_init(&work->http);
    r = srv_http_read_head(&work->http, work->in, len);
    srv_request_init(conn);
    conn->stage = SRV_STAGE_ROUTE;
    if (r != SRV_HTTP_DONE) {
        conn->stage = SRV_STAGE_SEND;
        return srv_conn_fail(conn, r == SRV_HTTP_BAD ? work->http.status : 431, "bad_request",
                             r == SRV_HTTP_BAD ? work->http.why
                                               : "the head of the request is too long");
    }
    work->consumed = work->http.head_len;
    work->http.phase = body_follows ? SRV_HTTP_CARRIED : SRV_HTTP_COMPLETE;
    return SRV_STEP_NEXT;
}

enum srv_step srv_body_take(struct srv_conn *conn, const char *data, size_t len)
{
    struct srv_request *request = &conn->work->request;

    if (len > request->limits.body - request->body_len)
        return srv_conn_fail(conn, 413, "body_too_large",
                             "the body is larger than this server accepts");
    if (reserve_body(conn, request->body_len + len) == SRV_STEP_REPLY)
        return SRV_STEP_REPLY;
    if (len > 0)
        memcpy(request->body_buf + request->body_len, data, len);
    request->body_len += len;
    conn->progress += len;
    request->body = request->body_buf;
    return SRV_STEP_NEXT;
}

void srv_body_end(struct srv_conn *conn)
{
    conn->work->http.phase = SRV_HTTP_COMPLETE;
}

/* ---- The stage ---- */

enum srv_step srv_body_stage(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;

    if (work->http.phase == SRV_HTTP_COMPLETE)
        return SRV_STEP_NEXT;
    if (work->http.phase == SRV_HTTP_CARRIED && work->request.code)
        return SRV_STEP_REPLY; /* refused while it arrived */
    if (work->http.want_continue) {
        work->http.want_continue = false;
        /* A full socket can't be: the client has nothing of ours to read. */
        if (work->in_len == work->http.head_len && conn->transport->go_on(conn) <= 0)
            return SRV_STEP_CLOSE;
    }
    if (wants_stream(conn)) {
        /* It may be short after all. */
        enum srv_step step = work->http.chunked ? decode_chunks(conn) : SRV_STEP_WAIT;

        return step == SRV_STEP_WAIT ? begin_stream(conn) : step;
    }
    if (work->http.phase == SRV_HTTP_CARRIED)
        return wait_for_more(conn, SRV_TIMER_BODY);
    if (work->http.chunked)
        return read_chunked(conn);
    if (work->http.length <= SRV_IN_MAX - work->http.head_len)
        return read_small(conn);
    return read_large(conn);
}
