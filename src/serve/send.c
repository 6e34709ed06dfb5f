/* The stage that sends a reply: head and body from memory, or a file. Makes no replies. */
#include <errno.h>
#include <string.h>

#include "serve/loop.h"
#include "serve/route.h"

#define FILE_PIECE (1 << 20) /* bytes of a file sent by one system call */

bool srv_conn_finish_reply(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    bool head_only = work->http.method == SRV_METHOD_HEAD || srv_reply_bodiless(work->reply.status);

    if (work->request.route == SRV_ROUTE_FUNCTION && !work->request.own_cors)
        srv_route_cors(conn);
    work->body_at = head_only ? work->reply.len : 0;
    work->request.sent = head_only ? 0 : work->reply.len;
    return head_only;
}

static void prepare(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_reply *reply = &work->reply;
    bool head_only;

    if (!work->http.keep_alive || work->http.phase != SRV_HTTP_COMPLETE || conn->loop->draining)
        reply->close = true;
    head_only = srv_conn_finish_reply(conn);
    work->out_len = srv_reply_head(reply, &conn->loop->date, conn->loop->wall,
                                   work->http.minor == 0, work->out);
    if (!head_only && reply->file < 0 && reply->len <= SRV_OUT_MAX - work->out_len) {
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
    if (work->out_len == 0)
        prepare(conn);
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
