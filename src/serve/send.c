/* The stage that sends a reply: head and body from memory, from a file, or from a function that
 * still runs. Makes no replies. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "serve/isolated.h"
#include "serve/loop.h"
#include "serve/record.h"
#include "serve/route.h"
#include "serve/stream.h"

#define FILE_PIECE (1 << 20) /* bytes of a file sent by one system call */

bool srv_conn_finish_reply(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    bool head_only = work->http.method == SRV_METHOD_HEAD || srv_reply_bodiless(work->reply.status);

    if (work->request.route == SRV_ROUTE_FUNCTION && !work->request.own_cors)
        srv_route_cors(conn);
    work->body_at = head_only ? work->reply.len : 0;
    work->request.sent = head_only ? 0 : work->reply.len;
    if (!work->reply.unknown_len) /* else its function still runs, and sees to it */
        srv_record_write(conn, work->request.body_len, work->request.sent);
    return head_only;
}

/* ---- Replies that go while their function runs ---- */

/* The next piece of the body is announced in the output buffer, as a chunk (HTTP/1.0: it is only
 * sent). False: there is nothing to send now, or ever. */
static bool next_chunk(struct srv_conn *conn, const char **ret)
{
    struct srv_work *work = conn->work;
    struct srv_stream *stream = work->request.stream;
    bool end, aborted;
    size_t n = srv_stream_peek(stream, ret, &end, &aborted);

    work->out_len = work->out_at = 0;
    if (n == 0) {
        if (!end || stream->tailed)
            return false;
        if (aborted) /* which the client must not take for the end */
            conn->lost = work->request.cut = true;
        else if (work->http.minor > 0)
            work->out_len = (size_t)snprintf(work->out, sizeof work->out, "%s0\r\n\r\n",
                                             stream->framed ? "\r\n" : "");
        stream->tailed = true;
        return work->out_len > 0;
    }
    stream->chunk = n;
    if (work->http.minor > 0)
        work->out_len = (size_t)snprintf(work->out, sizeof work->out, "%s%zx\r\n",
                                         stream->framed ? "\r\n" : "", n);
    stream->framed = true;
    return true;
}

/* As srv_send_stage. WAIT: for the client, or for the function. */
static enum srv_step send_stream(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_stream *stream = work->request.stream;

    while (!conn->lost) {
        struct iovec parts[2];
        const char *bytes = NULL;
        bool end, aborted;
        size_t head = work->out_len - work->out_at;
        ssize_t n;

        if (head == 0 && stream->chunk == 0) {
            if (!next_chunk(conn, &bytes))
                break;
            head = work->out_len;
        } else if (stream->chunk > 0) {
            srv_stream_peek(stream, &bytes, &end, &aborted);
        }
        parts[0] = (struct iovec){work->out + work->out_at, head};
        parts[1] = (struct iovec){(char *)bytes, stream->chunk};
        if (head == 0)
            n = conn->transport->send(conn, parts + 1, 1, false);
        else
            n = conn->transport->send(conn, parts, stream->chunk > 0 ? 2 : 1, false);
        if (n > 0) {
            conn->progress += (uint64_t)n;
            if ((size_t)n < head)
                head = (size_t)n;
            work->out_at += head;
            stream->chunk -= (size_t)n - head;
            work->request.sent += (size_t)n - head;
            srv_stream_drop(stream, (size_t)n - head);
        } else if (errno == EAGAIN) {
            if (conn->timer != SRV_TIMER_WRITE)
                srv_loop_set_timer(conn->loop, conn, SRV_TIMER_WRITE);
            return SRV_STEP_WAIT;
        } else if (errno != EINTR) {
            conn->lost = true;
        }
    }
    if (conn->lost || stream->tailed)
        return SRV_STEP_NEXT;
    if (conn->timer == SRV_TIMER_WRITE)
        srv_loop_set_timer(conn->loop, conn, SRV_TIMER_NONE);
    return SRV_STEP_WAIT;
}

/* ---- All others ---- */

static void prepare(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_reply *reply = &work->reply;
    bool head_only;

    if (!work->http.keep_alive || work->http.phase != SRV_HTTP_COMPLETE || conn->loop->draining)
        reply->close = true;
    if (reply->unknown_len && work->http.minor == 0)
        reply->close = true; /* which is its end */
    head_only = srv_conn_finish_reply(conn);
    if (conn->loop->server->tenant)
        srv_isolated_tell(conn);
    work->out_len = srv_reply_head(reply, &conn->loop->date, conn->loop->wall,
                                   work->http.minor == 0, work->out);
    if (!head_only && reply->file < 0 && !reply->unknown_len &&
        reply->len <= SRV_OUT_MAX - work->out_len) {
        memcpy(work->out + work->out_len, reply->body, (size_t)reply->len);
        work->out_len += (size_t)reply->len;
        work->body_at = reply->len;
    }
}

/* One system call. Bytes sent, 0 when the file has become shorter, or -1. */
static ssize_t send_some(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_reply *reply = &work->reply;
    const struct srv_transport *transport = conn->transport;
    uint64_t left = reply->len - work->body_at;
    struct iovec parts[2] = {{work->out + work->out_at, work->out_len - work->out_at}, {NULL, 0}};

    if (left == 0)
        return transport->send(conn, parts, 1, false);
    if (reply->file >= 0 && parts[0].iov_len > 0)
        return transport->send(conn, parts, 1, true);
    if (reply->file >= 0)
        return transport->send_file(conn, reply->file, reply->offset + (int64_t)work->body_at,
                                    left < FILE_PIECE ? (size_t)left : FILE_PIECE);
    parts[1] = (struct iovec){(char *)reply->body + work->body_at, (size_t)left};
    return transport->send(conn, parts, 2, false);
}

enum srv_step srv_send_stage(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;

    if (conn->transport->reply)
        return conn->transport->reply(conn);
    if (work->reply.unknown_len && !work->request.stream->headed) {
        work->request.stream->headed = true;
        prepare(conn);
    } else if (!work->reply.unknown_len && work->out_len == 0) {
        prepare(conn);
    }
    if (work->reply.unknown_len)
        return send_stream(conn);
    while (!conn->lost && (work->out_at < work->out_len || work->body_at < work->reply.len)) {
        ssize_t n = send_some(conn);
        size_t head = work->out_len - work->out_at;

        if (n > 0) {
            conn->progress += (uint64_t)n;
            if ((size_t)n < head)
                head = (size_t)n;
            work->out_at += head;
            work->body_at += (uint64_t)n - head;
        } else if (n < 0 && errno == EAGAIN) {
            if (conn->timer != SRV_TIMER_WRITE)
                srv_loop_set_timer(conn->loop, conn, SRV_TIMER_WRITE);
            return SRV_STEP_WAIT;
        } else if (n == 0 || errno != EINTR) {
            conn->lost = true;
        }
    }
    return SRV_STEP_NEXT;
}
