/* Requests without a socket. */
#include "serve/virtual.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "serve/loop.h"

struct carrier {
    void (*done)(void *data, int status, const char *fields, size_t nfields, const char *body,
                 size_t body_len);
    void *data;
    own char *body;
    size_t body_len, head_len;
};

static void finish(struct srv_conn *conn, int status, const char *fields, size_t nfields,
                   const char *body, size_t len)
{
    struct carrier *carrier = conn->carrier;

    if (carrier->done)
        carrier->done(carrier->data, status, fields, nfields, body, len);
    carrier->done = NULL;
}

/* The head is in the work's buffer since the request was made. */
static enum srv_step begin(struct srv_conn *conn)
{
    struct carrier *carrier = conn->carrier;
    struct srv_request *request = &conn->work->request;

    if (srv_conn_put_head(conn, carrier->head_len, false) == SRV_STEP_REPLY)
        return SRV_STEP_REPLY;
    conn->stage = SRV_STAGE_HTTP; /* the one that is done now */
    request->body = request->body_buf = carrier->body;
    request->body_len = request->body_cap = carrier->body_len;
    carrier->body = NULL;
    return SRV_STEP_NEXT;
}

/* All of a file that is a reply's body. NULL: it is too large, has become shorter, or there is no
 * memory. */
static own char *read_file(const struct srv_reply *reply, uint64_t max)
{
    char *bytes = reply->len <= max ? malloc(reply->len + 1) : NULL;
    uint64_t n = 0;

    while (bytes && n < reply->len) {
        ssize_t got = pread(reply->file, bytes + n, reply->len - n, reply->offset + (off_t)n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += (uint64_t)got;
    }
    if (bytes && n == reply->len)
        return bytes;
    free(bytes);
    return NULL;
}

static enum srv_step reply(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_reply *r = &work->reply;
    char *bytes = NULL;
    size_t len;

    if (srv_conn_finish_reply(conn))
        len = 0;
    else
        len = (size_t)r->len;
    if (r->type)
        srv_reply_field_str(r, "Content-Type", r->type);
    if (r->file >= 0 && len > 0) {
        bytes = read_file(r, conn->loop->server->config.output);
        if (!bytes)
            r->status = 503;
        len = bytes ? len : 0;
    }
    finish(conn, r->status, r->fields, r->nfields, bytes ? bytes : r->body, len);
    free(bytes);
    work->body_at = r->len;
    return SRV_STEP_NEXT;
}

static int go_on(struct srv_conn *conn)
{
    (void)conn;
    return 1;
}

static int unsent(const struct srv_conn *conn)
{
    (void)conn;
    return 0;
}

static void close_virtual(struct srv_conn *conn)
{
    struct carrier *carrier = conn->carrier;

    finish(conn, 503, "", 0, "", 0);
    if (carrier->body)
        atomic_fetch_sub(&conn->loop->server->bodies, carrier->body_len);
    free(carrier->body);
    free(carrier);
}

static const struct srv_transport transport = {
    .protocol = "HTTP/1.1",
    .whole = true,
    .begin = begin,
    .reply = reply,
    .go_on = go_on,
    .unsent = unsent,
    .close = close_virtual,
};

/* The request's head as bytes of HTTP/1.1. Its length, or 0 when it is too long. */
static size_t write_head(const struct srv_virtual *v, char *out)
{
    int n = snprintf(out, SRV_HTTP_HEAD_MAX, "%s %s HTTP/1.1\r\nHost: %s\r\n", v->method, v->target,
                     v->host ? v->host : "localhost");
    size_t at;

    if (n < 0 || (size_t)n >= SRV_HTTP_HEAD_MAX)
        return 0;
    at = (size_t)n;
    if (v->body)
        at += (size_t)snprintf(out + at, SRV_HTTP_HEAD_MAX - at, "Content-Length: %zu\r\n",
                               v->body_len);
    if (at + v->nfields + 2 > SRV_HTTP_HEAD_MAX)
        return 0;
    memcpy(out + at, v->fields, v->nfields);
    memcpy(out + at + v->nfields, "\r\n", 2);
    return at + v->nfields + 2;
}

static void set_peer(struct srv_conn *conn, const char *text)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&conn->peer;

    if (text && inet_pton(AF_INET6, text, &conn->peer.sin6_addr) == 1) {
        conn->peer.sin6_family = AF_INET6;
        return;
    }
    v4->sin_family = AF_INET;
    if (!text || inet_pton(AF_INET, text, &v4->sin_addr) != 1)
        v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

/* Count it as a connection, and its body as a body. */
static bool reserve(struct srv_server *server, size_t body_len)
{
    if (atomic_fetch_add(&server->connections, 1) >= server->config.connections)
        goto fail_connection;
    if (atomic_fetch_add(&server->bodies, body_len) + body_len > server->config.bodies)
        goto fail_body;
    return true;
fail_body:
    atomic_fetch_sub(&server->bodies, body_len);
fail_connection:
    atomic_fetch_sub(&server->connections, 1);
    return false;
}

bool srv_conn_virtual(struct srv_server *server, struct srv_loop *loop, const struct srv_virtual *v)
{
    struct srv_conn *conn = calloc(1, sizeof *conn);
    struct srv_work *work = malloc(sizeof *work);
    struct carrier *carrier = calloc(1, sizeof *carrier);

    /* Control may ask before the loops run. */
    if (!conn || !work || !carrier ||
        (!loop && (!atomic_load(&server->running) || atomic_load(&server->draining))))
        goto fail;
    carrier->head_len = write_head(v, work->in);
    if (carrier->head_len == 0 || v->body_len > server->config.body ||
        !reserve(server, v->body ? v->body_len : 0))
        goto fail;
    work->request.stream = NULL; /* the loop looks at it before there is a request */
    carrier->done = v->done;
    carrier->data = v->data;
    carrier->body = v->body;
    carrier->body_len = v->body_len;
    conn->transport = &transport;
    conn->carrier = carrier;
    conn->fd = -1;
    conn->work = work;
    conn->loop = loop ? loop : &server->loops[atomic_load(&server->next_id) % server->nloops];
    conn->trigger = (uint8_t)v->trigger;
    conn->depth = (uint8_t)v->depth;
    conn->deadline_ns = v->deadline_ns;
    set_peer(conn, v->peer);
    atomic_fetch_add(&conn->loop->nopen, 1);
    srv_loop_give(conn->loop, conn);
    return true;
fail:
    free(conn);
    free(work);
    free(carrier);
    return false;
}
