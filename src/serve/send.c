/* The stage that sends a reply: head and body from memory, or a file. Makes no replies. */
#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "serve/loop.h"
#include "serve/route.h"

#define FILE_PIECE (1 << 20) /* bytes of a file sent by one system call */

static void prepare(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_reply *reply = &work->reply;
    bool head_only = work->http.method == SRV_METHOD_HEAD || srv_reply_bodiless(reply->status);

    if (!work->http.keep_alive || work->http.phase != SRV_HTTP_COMPLETE || conn->loop->draining)
        reply->close = true;
    if (work->request.route == SRV_ROUTE_FUNCTION && !work->request.own_cors)
        srv_route_cors(conn);
    work->out_len = srv_reply_head(reply, &conn->loop->date, conn->loop->wall,
                                   work->http.minor == 0, work->out);
    if (head_only) {
        work->body_at = reply->len;
    } else if (reply->file < 0 && reply->len <= SRV_OUT_MAX - work->out_len) {
        memcpy(work->out + work->out_len, reply->body, (size_t)reply->len);
        work->out_len += (size_t)reply->len;
        work->body_at = reply->len;
    }
    work->request.sent = head_only ? 0 : reply->len;
}

/* One system call. Bytes sent, 0 when the file has become shorter, or -1. */
static ssize_t send_some(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_reply *reply = &work->reply;
    uint64_t left = reply->len - work->body_at;
    struct iovec parts[2] = {{work->out + work->out_at, work->out_len - work->out_at}, {NULL, 0}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 1};
    ssize_t n;

    if (left == 0)
        return send(conn->fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL);
    if (reply->file >= 0 && parts[0].iov_len > 0)
        return send(conn->fd, parts[0].iov_base, parts[0].iov_len, MSG_NOSIGNAL | MSG_MORE);
    if (reply->file >= 0) {
        off_t offset = reply->offset + (off_t)work->body_at;

        n = sendfile(conn->fd, reply->file, &offset, left < FILE_PIECE ? (size_t)left : FILE_PIECE);
        return n;
    }
    parts[1] = (struct iovec){(char *)reply->body + work->body_at, (size_t)left};
    message.msg_iovlen = 2;
    return sendmsg(conn->fd, &message, MSG_NOSIGNAL);
}

enum srv_step srv_send_stage(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;

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
