/* Handing on. See relay.h. */
#include "serve/relay.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/buf.h"
#include "platform/table.h"
#include "serve/forward.h"
#include "serve/isolated.h"
#include "serve/link.h"
#include "serve/listen.h"
#include "serve/loop.h"
#include "serve/route.h"
#include "serve/stream.h"
#include "serve/token.h"

#define PIECE 16384        /* bytes of a body that are sent at once, and copied behind a head */
#define ANSWER_SLACK 65536 /* beyond what calls may answer: what the server itself says */
#define OUT_BYTES (SRV_HTTP_HEAD_MAX + PIECE + 1024)
#define CHUNK_EXTRA 32 /* at most, around a piece that is sent in chunks */
#define PROCESSES_MAX 3

enum phase { PHASE_HEAD, PHASE_LENGTH, PHASE_CHUNKS, PHASE_DONE };

struct srv_relay {
    struct srv_conn *conn;   /* to the other side */
    struct srv_conn *client; /* whose request it is; NULL: it waits for one */
    struct srv_relay *prev, *next;
    own struct srv_token *token; /* of the connection: isolated.h */
    char tenant[SRV_FUNCTION_NAME_MAX + 1];
    struct sv_buf out; /* to be sent, from `out_at` on */
    size_t out_at, body_at;
    bool kept;       /* all that was sent is in `out`, or the request's body */
    bool body_ended; /* all of the request is in `out` */
    bool deaf;       /* the other side takes no more of it */
    enum phase phase;
    bool close; /* the other side closes after its reply */
    own char *body;
    size_t len, got; /* of the reply's body, where it has a length */
};

/* ---- Connections to the other side ---- */

static void list(struct srv_loop *loop, struct srv_relay *r)
{
    r->prev = NULL;
    r->next = loop->relays;
    if (r->next)
        r->next->prev = r;
    loop->relays = r;
}

/* Of its connection, which is being deleted. */
static void leave(struct srv_relay *r)
{
    *(r->prev ? &r->prev->next : &r->conn->loop->relays) = r->next;
    if (r->next)
        r->next->prev = r->prev;
    if (r->client)
        r->client->upstream = NULL;
    srv_token_close(r->token);
    r->token = NULL;
    r->conn->relay = NULL;
    r->conn = NULL;
    r->client = NULL;
}

void srv_relay_delete(own struct srv_relay *r)
{
    if (!r)
        return;
    sv_buf_release(&r->out);
    free(r->body);
    free(r);
}

void srv_relay_close(struct srv_conn *conn)
{
    struct srv_relay *r = conn->relay;

    leave(r);
    srv_relay_delete(r);
}

static own struct srv_relay *new_relay(const char *tenant)
{
    struct srv_relay *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    snprintf(r->tenant, sizeof r->tenant, "%s", tenant);
    sv_buf_init(&r->out, OUT_BYTES);
    return r;
}

/* A new one, or one that has lost its process. NULL: no memory; the descriptors are closed. */
static struct srv_relay *open_relay(struct srv_loop *loop, own struct srv_relay *r, own int fd,
                                    own int token)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    struct srv_token *its = srv_token_open(token);
    struct srv_conn *conn = r && its ? srv_listen_conn(loop) : NULL;

    if (!conn) {
        srv_relay_delete(r);
        close(fd);
        srv_token_close(its);
        return NULL;
    }
    r->token = its;
    r->conn = conn;
    conn->relay = r;
    conn->transport = &srv_transport_plain;
    conn->fd = fd;
    list(loop, r);
    event.data.ptr = conn;
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) == 0)
        return r;
    srv_conn_delete(conn);
    return NULL;
}

static struct srv_relay *find_parked(const struct srv_loop *loop, const char *tenant)
{
    struct srv_relay *r = loop->relays;

    while (r && (r->client || strcmp(r->tenant, tenant) != 0))
        r = r->next;
    return r;
}

/* It has served a request, and waits for the next. */
static void park(struct srv_relay *r)
{
    struct srv_conn *conn = r->conn;

    srv_loop_put_work(conn->loop, conn->work);
    conn->work = NULL;
    free(r->body);
    r->body = NULL;
    r->client = NULL;
    sv_buf_clear(&r->out);
    srv_loop_set_timer(conn->loop, conn, SRV_TIMER_PARKED);
}

/* ---- The request ---- */

/* Fields that are of one connection, or that we say ourselves. */
static bool is_handed_on(const char *name, size_t len)
{
    static const char *const others[] = {"host",       "content-length",    "connection", "te",
                                         "expect",     "transfer-encoding", "upgrade",    "trailer",
                                         "keep-alive", "ssvm-inner"};

    return !srv_http_is_of(name, len, others, SV_COUNT(others));
}

static void put_span(struct sv_buf *b, const struct srv_work *work, struct srv_span span)
{
    sv_buf_append(b, work->in + span.at, span.len);
}

static void put_inner(struct sv_buf *b, const struct srv_conn *conn)
{
    const struct srv_http *http = &conn->work->http;
    char peer[INET6_ADDRSTRLEN];
    unsigned flags = 0;

    srv_conn_peer(conn, peer);
    if (conn->listener)
        flags |= SRV_INNER_CLIENT | (conn->listener->tls ? SRV_INNER_TLS : 0U);
    if (conn->transport->whole)
        flags |= SRV_INNER_WHOLE;
    if (conn->transport->protocol && strcmp(conn->transport->protocol, "HTTP/2.0") == 0)
        flags |= SRV_INNER_H2;
    else if (http->minor == 0)
        flags |= SRV_INNER_OLD;
    sv_buf_printf(b, SRV_INNER_FIELD ": %s %s %u %u %u %u %u %" PRIu64 "\r\n\r\n",
                  conn->work->request.id, peer, (unsigned)ntohs(conn->peer.sin6_port),
                  conn->listener ? conn->listener->port : 0U, flags, conn->trigger, conn->depth,
                  conn->deadline_ns);
}

/* Is it sent with the head? */
static bool is_short(const struct srv_request *request)
{
    return !request->stream && request->body_len <= PIECE;
}

/* The head, and a body that is there and short. */
static void put_request(struct srv_relay *r)
{
    const struct srv_conn *client = r->client;
    const struct srv_work *work = client->work;
    const struct srv_request *request = &work->request;
    size_t len = 0;
    const char *host = srv_http_known(&work->http, work->in, SRV_KNOWN_HOST, &len);
    struct sv_buf *b = &r->out;

    sv_buf_printf(b, "%s ", srv_method_name(work->http.method));
    put_span(b, work, work->http.path);
    if (work->http.query.len > 0) {
        sv_buf_putc(b, '?');
        put_span(b, work, work->http.query);
    }
    sv_buf_printf(b, " HTTP/1.1\r\nHost: %.*s\r\n", (int)len, host ? host : "");
    if (!request->stream && (work->http.has_length || work->http.chunked || request->body_len > 0))
        sv_buf_printf(b, "Content-Length: %zu\r\n", request->body_len);
    else if (request->stream && work->http.has_length)
        sv_buf_printf(b, "Content-Length: %" PRIu64 "\r\n", work->http.length);
    else if (request->stream)
        sv_buf_puts(b, "Transfer-Encoding: chunked\r\n");
    for (unsigned i = 0; i < work->http.nfields; i++) {
        const struct srv_field *f = &work->http.fields[i];

        if (!is_handed_on(work->in + f->name.at, f->name.len))
            continue;
        put_span(b, work, f->name);
        sv_buf_puts(b, ": ");
        put_span(b, work, f->value);
        sv_buf_puts(b, "\r\n");
    }
    put_inner(b, client);
    r->kept = true;
    r->body_ended = !request->stream;
    if (is_short(request))
        sv_buf_append(b, request->body, request->body_len);
}

/* The next piece of a body that comes while it is handed on; all before it is sent. False: none
 * now, or the body is wrong. */
static bool put_piece(struct srv_relay *r)
{
    struct srv_conn *client = r->client;
    bool chunked = !client->work->http.has_length, end, bad;
    char piece[PIECE];
    size_t n = srv_stream_take(client->work->request.stream, piece, sizeof piece, &end, &bad);

    if (bad || (n == 0 && !end))
        return false;
    if (r->out.len + n + CHUNK_EXTRA > OUT_BYTES) {
        sv_buf_clear(&r->out);
        r->out_at = 0;
        r->kept = false;
    }
    if (chunked && n > 0)
        sv_buf_printf(&r->out, "%zx\r\n", n);
    sv_buf_append(&r->out, piece, n);
    if (chunked && n > 0)
        sv_buf_puts(&r->out, "\r\n");
    if (chunked && end)
        sv_buf_puts(&r->out, "0\r\n\r\n");
    r->body_ended = end;
    if (n > 0)
        srv_body_pump(client);
    return true;
}

/* As much as the other side takes. */
static void push(struct srv_relay *r)
{
    const struct srv_request *request = &r->client->work->request;

    while (!r->deaf) {
        struct iovec part = {(char *)r->out.data + r->out_at, r->out.len - r->out_at};
        bool body = part.iov_len == 0 && !request->stream && r->body_at < request->body_len;
        ssize_t n;

        if (body)
            part =
                (struct iovec){(char *)request->body + r->body_at, request->body_len - r->body_at};
        if (part.iov_len == 0) {
            if (r->body_ended || !put_piece(r))
                return;
            continue;
        }
        n = srv_socket_send(r->conn, &part, 1, false);
        if (n > 0)
            *(body ? &r->body_at : &r->out_at) += (size_t)n;
        else if (errno == EAGAIN)
            return;
        else if (errno != EINTR)
            r->deaf = true; /* it may have said why */
    }
}

static bool all_sent(const struct srv_relay *r)
{
    return r->body_ended && r->out_at == r->out.len &&
           (r->client->work->request.stream || r->body_at == r->client->work->request.body_len);
}

/* ---- The reply ---- */

/* For the log. */
static void take_inner(struct srv_request *request, const char *value, size_t len)
{
    char text[SRV_INNER_MAX + 1], code[sizeof request->relayed];

    if (len > SRV_INNER_MAX)
        return;
    memcpy(text, value, len);
    text[len] = '\0';
    if (sscanf(text, "%" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %31s", &request->run_ns,
               &request->wait_ns, &request->gas, &request->memory, code) != 5 ||
        strcmp(code, "-") == 0)
        return;
    memcpy(request->relayed, code, sizeof code);
    request->code = request->relayed;
}

/* What the head says of the body. */
struct framing {
    bool chunked, has_length;
    uint64_t length;
};

static bool take_field(struct srv_relay *r, struct framing *f, const char *line, size_t len)
{
    static const char events[] = "text/event-stream";
    struct srv_work *work = r->client->work;
    const char *colon = memchr(line, ':', len), *value, *end = line + len;
    size_t n = colon ? (size_t)(colon - line) : 0;
    char name[256];
    const char *why; /* for clients' eyes: nobody's here */

    if (n == 0 || n >= sizeof name || !srv_http_is_token(line, n))
        return false;
    for (value = colon + 1; value < end && *value == ' '; value++)
        ;
    len = (size_t)(end - value);
    if (!srv_http_is_value(value, len))
        return false;
    memcpy(name, line, n);
    name[n] = '\0';
    if (srv_http_is(name, n, "content-length")) {
        if (f->has_length || srv_http_length(value, len, &f->length, &why) != 0)
            return false;
        return f->has_length = true;
    }
    if (srv_http_is(name, n, "transfer-encoding"))
        return f->chunked = srv_http_is(value, len, "chunked");
    if (srv_http_is(name, n, SRV_INNER_FIELD))
        take_inner(&work->request, value, len);
    else if (srv_http_is(name, n, "connection"))
        r->close |= srv_http_is(value, len, "close");
    else if (!srv_http_is(name, n, "server") && !srv_http_is(name, n, "date"))
        srv_reply_field(&work->reply, name, value, len);
    if (srv_http_is(name, n, "content-type"))
        work->reply.live =
            len >= sizeof events - 1 && strncasecmp(value, events, sizeof events - 1) == 0;
    return !work->reply.failed;
}

static bool take_status(struct srv_reply *reply, const char *line, size_t len)
{
    if (len < 13 || memcmp(line, "HTTP/1.1 ", 9) != 0 || line[12] != ' ')
        return false;
    reply->status = 0;
    for (int i = 9; i < 12; i++) {
        if (line[i] < '0' || line[i] > '9')
            return false;
        reply->status = reply->status * 10 + (line[i] - '0');
    }
    return reply->status >= 200 && reply->status < 600;
}

/* What follows the head, by what it said. */
static bool begin_body(struct srv_relay *r, const struct framing *f)
{
    struct srv_conn *client = r->client;
    struct srv_reply *reply = &client->work->reply;
    struct srv_http *http = &r->conn->work->http;

    reply->live = reply->live && f->chunked;
    if (client->work->http.method == SRV_METHOD_HEAD || srv_reply_bodiless(reply->status)) {
        reply->len = f->length;
        r->phase = PHASE_DONE;
        return true;
    }
    if (f->chunked) {
        struct srv_request *request = &client->work->request;

        if (f->has_length || client->transport->whole)
            return false;
        if (!request->stream)
            request->stream = srv_stream_new(client, 0);
        if (!request->stream)
            return false;
        client->stream = request->stream;
        reply->unknown_len = true;
        srv_stream_start(request->stream);
        srv_http_init(http);
        http->phase = SRV_HTTP_CHUNK_SIZE;
        http->chunked = true;
        r->phase = PHASE_CHUNKS;
        return true;
    }
    if (!f->has_length ||
        f->length > client->work->request.limits.output + client->loop->server->config.output +
                        ANSWER_SLACK ||
        !(r->body = malloc((size_t)f->length + 1)))
        return false;
    r->len = (size_t)f->length;
    r->phase = PHASE_LENGTH;
    return true;
}

/* 1: the head is taken from the buffer; 0: it is not complete; -1: it is none. */
static int take_head(struct srv_relay *r)
{
    struct srv_work *in = r->conn->work;
    char *end = memmem(in->in, in->in_len, "\r\n\r\n", 4), *line = in->in, *lf;
    struct framing f = {.chunked = false};
    bool first = true;
    size_t len;

    if (!end)
        return in->in_len >= SRV_HTTP_HEAD_MAX ? -1 : 0;
    for (; line <= end; line = lf + 2) {
        lf = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
        len = (size_t)(lf - line);
        if (!(first ? take_status(&r->client->work->reply, line, len)
                    : take_field(r, &f, line, len)))
            return -1;
        first = false;
    }
    if (!begin_body(r, &f))
        return -1;
    len = (size_t)(end + 4 - in->in);
    in->in_len -= len;
    memmove(in->in, end + 4, in->in_len);
    return 1;
}

/* Hand on what is decoded of the chunks in the buffer: to its end, or until there is no room.
 * False: it is wrong. */
static bool take_chunks(struct srv_relay *r, bool *ret_full)
{
    struct srv_work *in = r->conn->work;
    struct srv_stream *stream = r->client->work->request.stream;
    enum srv_http_result result = SRV_HTTP_MORE;
    size_t at = 0, room = 0;

    *ret_full = false;
    while (result == SRV_HTTP_MORE && at < in->in_len) {
        size_t some = in->in_len - at, used, len;
        const char *data;

        if (room == 0) /* no more is decoded than there are bytes */
            room = srv_stream_out_room(stream);
        *ret_full = room == 0;
        if (*ret_full)
            break;
        result = srv_http_read_body(&in->http, in->in + at, some < room ? some : room, &used, &data,
                                    &len);
        if (result == SRV_HTTP_BAD)
            return false;
        if (len > 0)
            srv_stream_offer(stream, data, len);
        at += used;
        room -= len;
    }
    in->in_len -= at;
    memmove(in->in, in->in + at, in->in_len);
    if (result == SRV_HTTP_DONE)
        r->phase = PHASE_DONE;
    return true;
}

/* Take what there is of the reply. False: it will not be whole. */
static bool pull(struct srv_relay *r)
{
    struct srv_work *in = r->conn->work;
    bool full = false;

    for (;;) {
        char *to;
        size_t room;
        ssize_t n;

        if (r->phase == PHASE_HEAD && in->in_len > 0 && take_head(r) < 0)
            return false;
        if (r->phase == PHASE_CHUNKS && in->in_len > 0 && !take_chunks(r, &full))
            return false;
        to = in->in + in->in_len;
        room = SRV_IN_MAX - in->in_len;
        if (r->phase == PHASE_LENGTH) {
            size_t some = in->in_len < r->len - r->got ? in->in_len : r->len - r->got;

            memcpy(r->body + r->got, in->in, some);
            r->got += some;
            in->in_len -= some;
            to = r->body + r->got;
            room = r->len - r->got;
            if (room == 0)
                r->phase = PHASE_DONE;
        }
        if (r->phase == PHASE_DONE)
            return true;
        if (full)
            return true; /* until the client has taken some */
        n = srv_socket_receive(r->conn, to, room);
        if (n > 0 && r->phase == PHASE_LENGTH)
            r->got += (size_t)n;
        else if (n > 0)
            in->in_len += (size_t)n;
        else if (n == 0 || errno != EAGAIN)
            return false;
        else
            return true;
    }
}

/* ---- Both ---- */

static void fail(struct srv_conn *client, int status, const char *code, const char *message)
{
    srv_conn_fail(client, status, code, message);
    if (status == 503)
        srv_reply_field_str(&client->work->reply, "Retry-After", "1");
    srv_reply_field(&client->work->reply, "X-Request-Id", client->work->request.id, SRV_ID_LEN);
    srv_route_cors(client);
}

static void free_body(own char *body)
{
    free(body);
}

/* The reply as it is to be sent, or its end; the client is the loop's again. Whether the connection
 * is good for another request. */
static void settle(struct srv_relay *r, bool whole)
{
    struct srv_conn *client = r->client;
    struct srv_reply *reply = &client->work->reply;
    struct srv_stream *stream = client->work->request.stream;

    if (reply->unknown_len) {
        srv_stream_finish(stream, !whole);
        if (!whole)
            client->work->request.code = "process_ended";
    } else if (!whole && stream && stream->status) {
        fail(client, stream->status, stream->status == 413 ? "body_too_large" : "bad_request",
             stream->why);
    } else if (!whole) {
        fail(client, 502, "process_ended",
             "the process that ran the function ended, or gave no reply");
    } else if (r->body) {
        srv_reply_hold(reply, NULL, r->body, r->len, free_body);
        r->body = NULL;
    }
    client->stage = SRV_STAGE_SEND;
}

/* ---- A process that has ended ---- */

/* The connection is broken. May the request, as it was sent, be another process's? */
static bool may_repeat(const struct srv_relay *r)
{
    const struct srv_conn *client = r->client;
    const struct srv_request *request = &client->work->request;

    return request->relays < PROCESSES_MAX && r->kept && r->phase == PHASE_HEAD &&
           r->conn->work->in_len == 0 && !client->lost &&
           !(request->stream && request->stream->status) &&
           !atomic_load(&client->loop->server->cancelled) && srv_token_take(r->token);
}

/* False: there is no room to ask for a connection; the reply says so. */
static bool repeat(struct srv_relay *r)
{
    struct srv_conn *client = r->client, *conn = r->conn;

    leave(r);
    srv_conn_delete(conn);
    client->work->request.relayed_once = r;
    client->stage = SRV_STAGE_POOL;
    if (srv_forward_ask(client) == SRV_STEP_AWAY)
        return true;
    client->away = true; /* until the caller has it */
    client->stage = SRV_STAGE_SEND;
    return false;
}

enum outcome { GOES_ON, WHOLE, BROKEN };

static enum outcome turn(struct srv_relay *r)
{
    const struct srv_stream *stream;
    bool ok;

    push(r);
    ok = pull(r);
    stream = r->client->work->request.stream;
    if (ok && r->phase == PHASE_DONE)
        return WHOLE;
    /* A body that is wrong is not handed on to its end. */
    return !ok || (stream && stream->status) ? BROKEN : GOES_ON;
}

/* The request is done with; its client is to go on. NULL: it is to be handed on once more. */
static struct srv_conn *finish(struct srv_relay *r, enum outcome outcome)
{
    struct srv_conn *client = r->client;
    /* Of an end that was told of with the reply no other event would tell the next request. */
    bool good = outcome == WHOLE && !r->close && all_sent(r) && r->conn->work->in_len == 0 &&
                !r->conn->ending && !r->conn->loop->draining;

    if (outcome == BROKEN && may_repeat(r))
        return repeat(r) ? NULL : client;
    settle(r, outcome == WHOLE);
    client->upstream = NULL;
    r->client = NULL;
    if (good)
        park(r);
    else
        srv_conn_delete(r->conn);
    return client;
}

enum srv_step srv_relay_ready(struct srv_conn *conn, uint32_t events)
{
    struct srv_relay *r = conn->relay;
    struct srv_conn *client;
    enum outcome outcome;

    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP))
        conn->socket_readable = true;
    if (events & EPOLLRDHUP)
        conn->ending = true;
    if (!r->client) {
        if (!conn->socket_readable)
            return SRV_STEP_WAIT;
        srv_conn_delete(conn); /* the other side has ended: it says nothing by itself */
        return SRV_STEP_CLOSE;
    }
    outcome = turn(r);
    if (outcome == GOES_ON)
        return SRV_STEP_WAIT;
    client = finish(r, outcome);
    if (!client)
        return SRV_STEP_AWAY;
    client->away = false;
    if (client->work->request.stream)
        srv_stream_return(client);
    return srv_conn_drive(client);
}

static void give_back(struct srv_relay *r, enum outcome outcome)
{
    struct srv_conn *client = finish(r, outcome);

    if (client)
        srv_loop_give(client->loop, client);
}

void srv_relay_turn(struct srv_conn *client)
{
    struct srv_relay *r = client->upstream;
    enum outcome outcome = client->lost ? BROKEN : turn(r);

    if (outcome != GOES_ON)
        give_back(r, outcome);
}

void srv_relay_cancel(struct srv_loop *loop)
{
    struct srv_relay *r, *next;

    for (r = loop->relays; r; r = next) {
        next = r->next;
        if (r->client)
            give_back(r, BROKEN);
    }
}

/* ---- The stage ---- */

static const char *tenant_of(const struct srv_request *request)
{
    return plat_table_text(request->table, request->registered->tenant).ptr;
}

void srv_relay_ask(struct srv_conn *client)
{
    struct srv_request *request = &client->work->request;
    struct sv_err err = {0};

    request->relay_fd =
        srv_link_isolated(client->loop->server, &err, tenant_of(request), &request->relay_token);
    request->relay_open = request->relay_fd >= 0;
    client->stage = request->relay_open ? SRV_STAGE_POOL : SRV_STAGE_SEND;
    if (!request->relay_open)
        fail(client, 503, "overloaded", err.text);
}

/* False: the connection is of no use. */
static bool begin(struct srv_relay *r, struct srv_conn *client)
{
    const struct srv_request *request = &client->work->request;
    struct srv_conn *conn = r->conn;

    srv_loop_set_timer(conn->loop, conn, SRV_TIMER_NONE);
    if (!conn->work) {
        conn->work = srv_loop_take_work(conn->loop);
        if (!conn->work)
            return false;
    }
    conn->work->in_len = 0;
    r->client = client;
    r->out_at = r->len = r->got = 0;
    r->body_at = is_short(request) ? request->body_len : 0;
    r->phase = PHASE_HEAD;
    r->close = r->deaf = false;
    if (r->out.len == 0) /* else it was sent before, to another process */
        put_request(r);
    srv_token_put(r->token); /* until it is taken, the guest does not begin */
    if (!r->out.failed)
        push(r);
    if (r->out.failed) {
        r->client = NULL;
        return false;
    }
    return true; /* if it is broken already, that is an event */
}

enum srv_step srv_relay_stage(struct srv_conn *client)
{
    struct srv_loop *loop = client->loop;
    struct srv_request *request = &client->work->request;
    struct srv_relay *r;

    if (client->lost) {
        if (request->relay_open) {
            close(request->relay_fd);
            close(request->relay_token);
        }
        request->relay_open = false;
        return srv_conn_fail(client, 503, "client_gone", "nobody waits for the answer");
    }
    if (request->relay_open) {
        r = request->relayed_once ? request->relayed_once : new_relay(tenant_of(request));
        request->relayed_once = NULL;
        request->relay_open = false;
        r = open_relay(loop, r, request->relay_fd, request->relay_token);
    } else {
        r = find_parked(loop, tenant_of(request));
        if (!r)
            return srv_forward_ask(client);
    }
    srv_loop_set_timer(loop, client, SRV_TIMER_NONE);
    client->away = true; /* what is pushed may need it */
    if (r && begin(r, client)) {
        client->upstream = r;
        request->relays++;
        return SRV_STEP_AWAY;
    }
    if (r)
        srv_conn_delete(r->conn);
    client->away = false;
    fail(client, 503, "overloaded", "the server has no room for the request; try again shortly");
    return SRV_STEP_REPLY;
}
