/* HTTP/2 by libnghttp2, which reads and writes frames and knows their rules; here streams become
 * requests. No stage runs inside one of its callbacks: a call may lose the loop, and with it the
 * right to touch the session. They only note which streams are ready. */
#include "serve/h2.h"

#include <errno.h>
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "serve/listen.h"
#include "serve/loop.h"
#include "serve/relay.h"
#include "serve/stream.h"

#define IN_BYTES 16384
#define OUT_BYTES 32768        /* gathered before they are sent */
#define FRAME_MAX (16384 + 64) /* the largest frame that we write */
#define REPLY_FIELDS_MAX 700   /* more do not fit srv_reply.fields */
#define NS_PER_S 1000000000U
#define LATE_MAX 16
#define LATE_NS                                                                                    \
    500000000U /* there are clients that forget an answer when its stream is reset with it */

struct stream {
    struct srv_h2 *h2; /* NULL: the connection is gone */
    struct srv_conn *conn;
    struct stream *prev, *next; /* of the connection */
    struct stream *next_ready;
    int32_t id;
    bool ready;                         /* on the list */
    bool begun;                         /* the request line is written */
    bool headed;                        /* the head is there */
    bool ended;                         /* the client's side */
    bool submitted;                     /* the reply's head is given to the session */
    bool deferred;                      /* the session waits for more of its body */
    bool all_read;                      /* and all of its body */
    bool closed;                        /* the session knows it no more */
    struct srv_span method, path, host; /* in the work's output buffer, until the head is there */
    uint32_t used;                      /* of it */
    int status;                         /* of a refusal while the head arrives; 0: none */
    const char *why;
};

struct srv_h2 {
    struct srv_conn *conn;
    nghttp2_session *session;
    struct srv_h2 *prev, *next;    /* of the loop's list of those that have something to do */
    struct srv_h2 *before, *after; /* of its list of all */
    bool scheduled, refused /* with GOAWAY */, failed;
    bool used;   /* a request has begun */
    bool warned; /* GOAWAY has said that there is an end, */
    bool last;   /* and which request is the last */
    unsigned nstreams;
    struct stream *streams;
    struct stream *ready_first, *ready_last;
    own char *left; /* what the socket did not take */
    size_t left_len, left_at;
    unsigned noise;
    uint64_t noise_ns;
    unsigned nlate;
    struct late {
        int32_t id;
        uint64_t due_ns;
    } late[LATE_MAX]; /* answered streams whose clients may still send, the oldest first */
};

bool srv_h2_is_built(void)
{
    return true;
}

int srv_h2_is_preface(const char *bytes, size_t len)
{
    size_t n = len < SRV_H2_PREFACE_LEN ? len : SRV_H2_PREFACE_LEN;

    if (memcmp(bytes, SRV_H2_PREFACE, n) != 0)
        return -1;
    return n == SRV_H2_PREFACE_LEN;
}

/* ---- Lists ---- */

static void schedule(struct srv_h2 *h2)
{
    struct srv_loop *loop = h2->conn->loop;

    if (h2->scheduled)
        return;
    h2->scheduled = true;
    h2->prev = loop->h2_last;
    h2->next = NULL;
    *(loop->h2_last ? &loop->h2_last->next : &loop->h2_first) = h2;
    loop->h2_last = h2;
}

static void unschedule(struct srv_h2 *h2)
{
    struct srv_loop *loop = h2->conn->loop;

    if (!h2->scheduled)
        return;
    h2->scheduled = false;
    *(h2->prev ? &h2->prev->next : &loop->h2_first) = h2->next;
    *(h2->next ? &h2->next->prev : &loop->h2_last) = h2->prev;
}

static void push_ready(struct stream *stream)
{
    struct srv_h2 *h2 = stream->h2;

    if (stream->ready || !h2)
        return;
    stream->ready = true;
    stream->next_ready = NULL;
    *(h2->ready_last ? &h2->ready_last->next_ready : &h2->ready_first) = stream;
    h2->ready_last = stream;
    schedule(h2);
}

static struct stream *pop_ready(struct srv_h2 *h2)
{
    struct stream *stream = h2->ready_first;

    if (!stream)
        return NULL;
    h2->ready_first = stream->next_ready;
    if (!h2->ready_first)
        h2->ready_last = NULL;
    stream->ready = false;
    return stream;
}

static void remove_ready(struct stream *stream)
{
    struct stream **p = &stream->h2->ready_first, *before = NULL;

    if (!stream->ready)
        return;
    for (; *p != stream; p = &(*p)->next_ready)
        before = *p;
    *p = stream->next_ready;
    if (!*p)
        stream->h2->ready_last = before;
    stream->ready = false;
}

/* ---- Streams that are answered before their requests have ended ---- */

static void forget_late(struct srv_h2 *h2, unsigned i)
{
    h2->nlate--;
    memmove(h2->late + i, h2->late + i + 1, (h2->nlate - i) * sizeof h2->late[0]);
}

/* Ask the client to stop sending what nobody reads. */
static void reset_oldest(struct srv_h2 *h2)
{
    nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, h2->late[0].id, NGHTTP2_NO_ERROR);
    forget_late(h2, 0);
}

static void reset_due(struct srv_h2 *h2)
{
    while (h2->nlate > 0 && h2->late[0].due_ns <= h2->conn->loop->now_ns)
        reset_oldest(h2);
}

static void reset_later(struct srv_h2 *h2, int32_t id)
{
    if (h2->nlate == LATE_MAX)
        reset_oldest(h2);
    h2->late[h2->nlate++] = (struct late){id, h2->conn->loop->now_ns + LATE_NS};
}

/* Streams that have nothing to do with the connection any more. */
static void detach(struct stream *stream)
{
    struct srv_h2 *h2 = stream->h2;

    if (!h2)
        return;
    remove_ready(stream);
    *(stream->prev ? &stream->prev->next : &h2->streams) = stream->next;
    if (stream->next)
        stream->next->prev = stream->prev;
    h2->nstreams--;
    stream->h2 = NULL;
    if (stream->closed)
        return;
    nghttp2_session_set_stream_user_data(h2->session, stream->id, NULL);
    if (!stream->all_read)
        nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, stream->id,
                                  NGHTTP2_INTERNAL_ERROR);
    else if (!stream->ended)
        reset_later(h2, stream->id);
    schedule(h2);
}

/* Frames that carry nothing, or take back what others began: some are normal, many are an attack.
 */
static void count_noise(struct srv_h2 *h2)
{
    uint64_t now = h2->conn->loop->now_ns, forgiven;

    forgiven = (now - h2->noise_ns) * SRV_H2_NOISE_PER_S / NS_PER_S;
    if (forgiven > 0) {
        h2->noise = h2->noise > forgiven ? h2->noise - (unsigned)forgiven : 0;
        h2->noise_ns = now;
    }
    if (++h2->noise <= SRV_H2_NOISE_MAX || h2->refused)
        return;
    h2->refused = true;
    nghttp2_session_terminate_session(h2->session, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* ---- The streams' transport ---- */

/* Of a function that still runs. */
static ssize_t read_stream(struct stream *stream, uint8_t *to, size_t room, uint32_t *flags)
{
    struct srv_conn *conn = stream->conn;
    struct srv_stream *from = conn->work->request.stream;
    const char *bytes;
    bool end, aborted;
    size_t n = srv_stream_peek(from, &bytes, &end, &aborted);

    if (n > room)
        n = room;
    if (n == 0 && end && aborted) { /* which the client must not take for the end */
        conn->work->request.cut = true;
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    if (n == 0 && end) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        stream->all_read = true;
        push_ready(stream);
        return 0;
    }
    if (n == 0) { /* for the function, which has its own patience */
        stream->deferred = true;
        srv_loop_set_timer(conn->loop, conn, SRV_TIMER_NONE);
        return NGHTTP2_ERR_DEFERRED;
    }
    memcpy(to, bytes, n);
    srv_stream_drop(from, n);
    conn->work->request.sent += n;
    conn->progress += n;
    return (ssize_t)n;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *data)
{
    struct stream *stream = source->ptr;
    struct srv_work *work = stream->conn->work;
    struct srv_reply *reply = &work->reply;
    uint64_t left = reply->len - work->body_at;
    size_t n = left < room ? (size_t)left : room;

    (void)session;
    (void)id;
    (void)data;
    if (reply->unknown_len)
        return read_stream(stream, to, room, flags);
    if (reply->file >= 0 && n > 0) {
        ssize_t got = pread(reply->file, to, n, reply->offset + (off_t)work->body_at);

        if (got <= 0) /* it has become shorter */
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        n = (size_t)got;
    } else {
        memcpy(to, reply->body + work->body_at, n);
    }
    work->body_at += n;
    stream->conn->progress += n;
    if (work->body_at == reply->len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        stream->all_read = true;
        push_ready(stream);
    }
    return (ssize_t)n;
}

static nghttp2_nv pair(const char *name, size_t nname, const char *value, size_t nvalue)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, nname, nvalue, NGHTTP2_NV_FLAG_NONE};
}

#define PAIR(name, value, nvalue) pair((name), sizeof(name) - 1, (value), (nvalue))

/* The reply's own fields, which are lines "name: value". */
static size_t put_fields(const struct srv_reply *reply, nghttp2_nv *nva)
{
    const char *at = reply->fields, *end = at + reply->nfields;
    size_t n = 0;

    while (at < end && n < REPLY_FIELDS_MAX) {
        const char *colon = memchr(at, ':', (size_t)(end - at));
        const char *cr = colon ? memchr(colon, '\r', (size_t)(end - colon)) : NULL;

        if (!cr)
            break;
        nva[n++] = pair(at, (size_t)(colon - at), colon + 2, (size_t)(cr - colon - 2));
        at = cr + 2;
    }
    return n;
}

/* Give the reply's head to the session, which copies it. */
static void submit(struct stream *stream)
{
    struct srv_conn *conn = stream->conn;
    struct srv_loop *loop = conn->loop;
    struct srv_reply *reply = &conn->work->reply;
    bool head_only = srv_conn_finish_reply(conn);
    nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_body};
    nghttp2_nv nva[REPLY_FIELDS_MAX + 5];
    char status[20], length[20];
    size_t n = 0;

    nva[n++] = PAIR(":status", status, srv_format_u64(status, (uint64_t)reply->status));
    nva[n++] = PAIR("server", "ssvm", 4);
    nva[n++] = PAIR("date", srv_reply_date(&loop->date, loop->wall), 29);
    if (reply->type)
        nva[n++] = PAIR("content-type", reply->type, strlen(reply->type));
    if (!srv_reply_bodiless(reply->status) && !reply->unknown_len)
        nva[n++] = PAIR("content-length", length, srv_format_u64(length, reply->len));
    n += put_fields(reply, nva + n);
    stream->submitted = true;
    stream->all_read = head_only || (reply->len == 0 && !reply->unknown_len);
    if (nghttp2_submit_response(stream->h2->session, stream->id, nva, n,
                                stream->all_read ? NULL : &provider) != 0)
        conn->lost = true;
}

static enum srv_step reply(struct srv_conn *conn)
{
    struct stream *stream = conn->carrier;

    if (!stream->h2)
        conn->lost = true;
    if (!conn->lost && !stream->submitted) {
        submit(stream);
        schedule(stream->h2);
    }
    if (conn->lost || stream->all_read)
        return SRV_STEP_NEXT;
    if (stream->deferred) {
        stream->deferred = false;
        nghttp2_session_resume_data(stream->h2->session, stream->id);
        schedule(stream->h2);
    }
    if (conn->timer != SRV_TIMER_WRITE)
        srv_loop_set_timer(conn->loop, conn, SRV_TIMER_WRITE);
    return SRV_STEP_WAIT;
}

static enum srv_step begin(struct srv_conn *conn)
{
    (void)conn;
    return SRV_STEP_WAIT; /* for the rest of the head */
}

static int go_on(struct srv_conn *conn)
{
    struct stream *stream = conn->carrier;
    nghttp2_nv status = PAIR(":status", "100", 3);

    if (!stream->h2)
        return -1;
    nghttp2_submit_headers(stream->h2->session, NGHTTP2_FLAG_NONE, stream->id, NULL, &status, 1,
                           NULL);
    schedule(stream->h2);
    return 1;
}

static int unsent(const struct srv_conn *conn)
{
    (void)conn;
    return 0;
}

static void close_stream(struct srv_conn *conn)
{
    struct stream *stream = conn->carrier;

    detach(stream);
    free(stream);
}

static void taken(struct srv_conn *conn, size_t len)
{
    struct stream *stream = conn->carrier;

    if (!stream->h2 || stream->closed)
        return;
    nghttp2_session_consume_stream(stream->h2->session, stream->id, len);
    schedule(stream->h2);
}

static const struct srv_transport transport = {
    .protocol = "HTTP/2.0",
    .taken = taken,
    .window = SRV_H2_WINDOW,
    .begin = begin,
    .reply = reply,
    .go_on = go_on,
    .unsent = unsent,
    .close = close_stream,
};

/* ---- Heads of requests ---- */

static void refuse(struct stream *stream, int status, const char *why)
{
    if (stream->status)
        return;
    stream->status = status;
    stream->why = why;
}

/* Append to the head, which is written as one of HTTP/1.1. */
static void put(struct stream *stream, const char *bytes, size_t len)
{
    struct srv_work *work = stream->conn->work;

    if (len > SRV_HTTP_HEAD_MAX - work->in_len) {
        refuse(stream, 431, "the fields are too long");
        return;
    }
    memcpy(work->in + work->in_len, bytes, len);
    work->in_len += len;
}

static void put_line(struct stream *stream, const char *name, size_t nname, const char *value,
                     size_t nvalue)
{
    put(stream, name, nname);
    put(stream, ": ", 2);
    put(stream, value, nvalue);
    put(stream, "\r\n", 2);
}

/* The request line and the Host field, from the pseudo-fields, which come first. */
static void begin_head(struct stream *stream)
{
    const char *out = stream->conn->work->out;

    if (stream->begun)
        return;
    stream->begun = true;
    if (!srv_http_is_token(out + stream->method.at, stream->method.len))
        refuse(stream, 400, "the request has no valid method");
    else if (stream->path.len == 0 || !strchr("/*", out[stream->path.at]))
        refuse(stream, 400, "the request target is not a path");
    put(stream, out + stream->method.at, stream->method.len);
    put(stream, " ", 1);
    put(stream, out + stream->path.at, stream->path.len);
    put(stream, " HTTP/1.1\r\n", 11);
    if (stream->host.len > 0)
        put_line(stream, "host", 4, out + stream->host.at, stream->host.len);
}

static void note_pseudo(struct stream *stream, struct srv_span *span, const uint8_t *value,
                        size_t len)
{
    if (len > SRV_OUT_MAX - stream->used || len > SRV_HTTP_LINE_MAX) {
        refuse(stream, 414, "the head of the request is too long");
        return;
    }
    memcpy(stream->conn->work->out + stream->used, value, len);
    *span = (struct srv_span){stream->used, (uint32_t)len};
    stream->used += (uint32_t)len;
}

static bool name_is(const uint8_t *name, size_t len, const char *wanted)
{
    return strlen(wanted) == len && memcmp(name, wanted, len) == 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t nname, const uint8_t *value, size_t nvalue, uint8_t flags, void *data)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);

    (void)flags;
    (void)data;
    if (!stream || stream->headed || stream->status)
        return 0; /* of a trailer, or of a request that is refused anyway */
    if (name_is(name, nname, ":method")) {
        note_pseudo(stream, &stream->method, value, nvalue);
    } else if (name_is(name, nname, ":path")) {
        note_pseudo(stream, &stream->path, value, nvalue);
    } else if (name_is(name, nname, ":authority")) {
        note_pseudo(stream, &stream->host, value, nvalue);
    } else if (nname > 0 && name[0] != ':') {
        begin_head(stream);
        /* The session has checked this too; a line break here would be a second request there. */
        if (!srv_http_is_token((const char *)name, nname) ||
            !srv_http_is_value((const char *)value, nvalue))
            refuse(stream, 400, "a field is not valid");
        else if (nvalue > SRV_HTTP_LINE_MAX)
            refuse(stream, 431, "the fields are too long");
        else if (!name_is(name, nname, "host") || stream->host.len == 0)
            put_line(stream, (const char *)name, nname, (const char *)value, nvalue);
        else if (nvalue != stream->host.len ||
                 memcmp(value, stream->conn->work->out + stream->host.at, nvalue) != 0)
            refuse(stream, 400, "the Host field is not the authority");
    }
    return 0;
}

static void end_head(struct stream *stream, bool body_follows)
{
    struct srv_conn *conn = stream->conn;
    struct srv_work *work = conn->work;

    begin_head(stream);
    put(stream, "\r\n", 2);
    stream->headed = true;
    if (stream->status) {
        srv_http_init(&work->http);
        srv_request_init(conn);
        conn->stage = SRV_STAGE_SEND;
        srv_conn_fail(conn, stream->status, "bad_request", stream->why);
    } else {
        srv_conn_put_head(conn, work->in_len, body_follows);
    }
    push_ready(stream);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
    struct srv_h2 *h2 = data;
    struct srv_loop *loop = h2->conn->loop;
    struct stream *stream = NULL;
    struct srv_conn *conn = NULL;
    int32_t id = frame->hd.stream_id;

    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    h2->used = true;
    if (h2->nstreams < SRV_H2_STREAMS_MAX)
        stream = calloc(1, sizeof *stream);
    conn = stream ? srv_listen_conn(loop) : NULL;
    if (!conn) {
        free(stream);
        count_noise(h2);
        return nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, id, NGHTTP2_REFUSED_STREAM);
    }
    *stream = (struct stream){.h2 = h2, .conn = conn, .id = id, .next = h2->streams};
    if (h2->streams)
        h2->streams->prev = stream;
    h2->streams = stream;
    h2->nstreams++;
    conn->transport = &transport;
    conn->carrier = stream;
    conn->listener = h2->conn->listener;
    conn->peer = h2->conn->peer;
    conn->fd = -1;
    conn->work = srv_loop_take_work(loop);
    nghttp2_session_set_stream_user_data(session, id, stream);
    if (!conn->work) {
        srv_conn_delete(conn);
        return 0;
    }
    conn->work->in_len = 0;
    srv_loop_set_timer(loop, conn, SRV_TIMER_HEAD);
    return 0;
}

/* ---- Frames ---- */

static bool is_noise(const nghttp2_frame *frame)
{
    switch (frame->hd.type) {
    case NGHTTP2_RST_STREAM:
    case NGHTTP2_PING:
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PRIORITY:
        return true;
    case NGHTTP2_DATA:
        return frame->hd.length == 0 && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    default:
        return false;
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *data)
{
    struct srv_h2 *h2 = data;
    struct stream *stream;
    bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;

    if (is_noise(frame))
        count_noise(h2);
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
        return 0;
    stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (!stream)
        return 0;
    stream->ended |= ended;
    if (!stream->headed) {
        end_head(stream, !ended);
    } else if (ended && stream->conn->stream) {
        srv_stream_end(stream->conn->stream);
    } else if (ended && stream->conn->stage <= SRV_STAGE_BODY) {
        srv_body_end(stream->conn);
        push_ready(stream);
    }
    return 0;
}

/* Of a body that goes to its function. */
static void put_body(struct srv_conn *conn, const char *bytes, size_t len)
{
    struct srv_stream *stream = conn->stream;

    if (stream->status) /* the function gets nothing of what is behind a hole */
        return;
    if (len > conn->work->request.limits.body - stream->in_total)
        srv_stream_fail(stream, 413, "the body is larger than this server accepts");
    else if (len > srv_stream_room(stream)) /* the session lets no client do that */
        srv_stream_fail(stream, 400, "the body is not what the window allows");
    else
        srv_stream_put(stream, bytes, len);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
                   size_t len, void *data)
{
    struct stream *stream = nghttp2_session_get_stream_user_data(session, id);

    (void)flags;
    (void)data;
    if (stream && stream->conn->stream) {
        nghttp2_session_consume_connection(session, len);
        put_body(stream->conn, (const char *)bytes, len);
        return 0;
    }
    /* Of what nobody reads the stream gets no more. */
    nghttp2_session_consume_connection(session, len);
    if (stream)
        nghttp2_session_consume_stream(session, id, len);
    if (!stream || stream->conn->stage > SRV_STAGE_BODY)
        return 0; /* of a request that is refused or answered */
    if (srv_body_take(stream->conn, (const char *)bytes, len) == SRV_STEP_REPLY) {
        stream->conn->stage = SRV_STAGE_SEND;
        push_ready(stream);
    }
    return 0;
}

static int on_bad_frame(nghttp2_session *session, const nghttp2_frame *frame, int error, void *data)
{
    (void)session;
    (void)frame;
    (void)error;
    count_noise(data);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *data)
{
    struct srv_h2 *h2 = data;
    struct stream *stream = nghttp2_session_get_stream_user_data(session, id);

    for (unsigned i = 0; i < h2->nlate && !stream; i++) {
        if (h2->late[i].id == id)
            forget_late(h2, i);
    }
    if (!stream)
        return 0;
    stream->closed = true;
    if (!stream->all_read || error != NGHTTP2_NO_ERROR)
        stream->conn->lost = true;
    if (!stream->conn->away)
        push_ready(stream);
    else if (stream->conn->stream)
        srv_stream_pump(stream->conn);
    else if (stream->conn->upstream && stream->conn->lost)
        srv_relay_turn(stream->conn);
    return 0;
}

/* ---- Connections ---- */

static int new_session(struct srv_h2 *h2)
{
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, SRV_H2_STREAMS_MAX},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, SRV_H2_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, SRV_HTTP_HEAD_MAX},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
    };
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_option *option = NULL;
    int r = -1;

    if (nghttp2_session_callbacks_new(&callbacks) != 0 || nghttp2_option_new(&option) != 0)
        goto fail;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_bad_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    if (nghttp2_session_server_new2(&h2->session, callbacks, h2, option) != 0)
        goto fail;
    r = nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE, settings,
                                sizeof settings / sizeof settings[0]);
    if (r == 0)
        r = nghttp2_session_set_local_window_size(h2->session, NGHTTP2_FLAG_NONE, 0,
                                                  SRV_H2_CONN_WINDOW);
fail:
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    return r;
}

static void feed(struct srv_h2 *h2, const char *bytes, size_t len)
{
    if (nghttp2_session_mem_recv(h2->session, (const uint8_t *)bytes, len) < 0)
        h2->failed = true;
}

enum srv_step srv_h2_begin(struct srv_conn *conn)
{
    struct srv_h2 *h2 = calloc(1, sizeof *h2);

    if (!h2)
        return SRV_STEP_CLOSE;
    h2->conn = conn;
    conn->h2 = h2;
    h2->after = conn->loop->h2s;
    if (h2->after)
        h2->after->before = h2;
    conn->loop->h2s = h2;
    if (new_session(h2) != 0)
        return SRV_STEP_CLOSE;
    schedule(h2);
    feed(h2, conn->work->in, conn->work->in_len);
    return srv_conn_rest(conn);
}

void srv_h2_ready(struct srv_conn *conn)
{
    schedule(conn->h2);
}

void srv_h2_leave(struct srv_loop *loop)
{
    for (struct srv_h2 *h2 = loop->h2s; h2; h2 = h2->after)
        schedule(h2);
}

void srv_h2_close(struct srv_conn *conn)
{
    struct srv_h2 *h2 = conn->h2;
    const uint8_t *bytes;
    struct iovec part;
    ssize_t n;

    while (h2->streams) {
        struct srv_conn *stream = h2->streams->conn;

        h2->streams->closed = true;
        stream->lost = true;
        if (stream->away) {
            detach(h2->streams);
            if (stream->stream)
                srv_stream_pump(stream);
            else if (stream->upstream)
                srv_relay_turn(stream);
        } else {
            srv_conn_delete(stream);
        }
    }
    unschedule(h2);
    *(h2->before ? &h2->before->after : &conn->loop->h2s) = h2->after;
    if (h2->after)
        h2->after->before = h2->before;
    /* A farewell, if the socket takes it. */
    if (h2->session && !conn->lost && !h2->failed && h2->left_len == 0) {
        nghttp2_session_terminate_session(h2->session, NGHTTP2_NO_ERROR);
        while ((n = nghttp2_session_mem_send(h2->session, &bytes)) > 0) {
            part = (struct iovec){(void *)bytes, (size_t)n};
            if (conn->transport->send(conn, &part, 1, false) != n)
                break;
        }
    }
    nghttp2_session_del(h2->session);
    free(h2->left);
    free(h2);
    conn->h2 = NULL;
}

/* ---- Running ---- */

static void read_input(struct srv_h2 *h2)
{
    struct srv_conn *conn = h2->conn;
    char in[IN_BYTES];
    size_t n = 0;

    /* Who does not take our answers need not ask more. */
    if (h2->left_len == 0 && !h2->failed)
        n = srv_conn_receive(conn, in, sizeof in);
    if (n > 0)
        feed(h2, in, n);
}

/* Go on with the streams that can. False: this thread has lost its loop. */
static bool drive_streams(struct srv_h2 *h2)
{
    struct stream *stream;

    while ((stream = pop_ready(h2))) {
        struct srv_conn *conn = stream->conn;

        if (conn->away)
            continue;
        if (conn->lost && conn->stage < SRV_STAGE_SEND)
            srv_conn_delete(conn);
        else if (srv_conn_drive(conn) == SRV_STEP_GONE)
            return false;
    }
    return true;
}

/* Frames that the session has for us, at most OUT_BYTES and one more. -1: it has failed. */
static ssize_t gather(struct srv_h2 *h2, char *out)
{
    size_t len = 0;

    while (len < OUT_BYTES) {
        const uint8_t *bytes;
        ssize_t n = nghttp2_session_mem_send(h2->session, &bytes);

        if (n < 0 || n > FRAME_MAX)
            return -1;
        if (n == 0)
            break;
        memcpy(out + len, bytes, (size_t)n);
        len += (size_t)n;
    }
    return (ssize_t)len;
}

/* How much the socket takes. */
static size_t send_bytes(struct srv_conn *conn, const char *bytes, size_t len)
{
    size_t at = 0;

    while (at < len && !conn->lost) {
        struct iovec part = {(char *)bytes + at, len - at};
        ssize_t n = conn->transport->send(conn, &part, 1, false);

        if (n > 0) {
            at += (size_t)n;
            conn->progress += (uint64_t)n;
        } else if (errno == EAGAIN) {
            break;
        } else if (errno != EINTR) {
            conn->lost = true;
        }
    }
    return at;
}

static void keep_left(struct srv_h2 *h2, const char *bytes, size_t len)
{
    h2->left = malloc(len);
    if (!h2->left) {
        h2->conn->lost = true;
        return;
    }
    memcpy(h2->left, bytes, len);
    h2->left_len = len;
    h2->left_at = 0;
}

static void flush(struct srv_h2 *h2)
{
    struct srv_conn *conn = h2->conn;
    char out[OUT_BYTES + FRAME_MAX];
    ssize_t len = 1;

    if (h2->left_len > 0) {
        h2->left_at += send_bytes(conn, h2->left + h2->left_at, h2->left_len - h2->left_at);
        if (h2->left_at < h2->left_len)
            return;
        free(h2->left);
        h2->left = NULL;
        h2->left_len = 0;
    }
    while (!conn->lost && len > 0) {
        len = gather(h2, out);
        if (len < 0) {
            h2->failed = true;
        } else if (len > 0) {
            size_t n = send_bytes(conn, out, (size_t)len);

            if (n < (size_t)len) {
                keep_left(h2, out + n, (size_t)len - n);
                return;
            }
        }
    }
}

/* Draining: first ask the client for no more; what he had sent before he read that is answered.
 * Then say which request is the last: he may send those behind it to somebody else. Who has just
 * connected does so to ask one. */
static void tell_drain(struct srv_h2 *h2)
{
    const struct srv_loop *loop = h2->conn->loop;

    if (loop->draining && !h2->warned) {
        h2->warned = true;
        nghttp2_submit_shutdown_notice(h2->session);
    }
    if (loop->leaving && !h2->last && (h2->used || h2->conn->timer == SRV_TIMER_IDLE)) {
        h2->last = true;
        nghttp2_submit_goaway(h2->session, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(h2->session),
                              NGHTTP2_NO_ERROR, NULL, 0);
    }
}

/* The patience that the connection deserves; its streams have their own. */
static void set_patience(struct srv_h2 *h2)
{
    enum srv_timer timer = SRV_TIMER_IDLE;

    if (h2->left_len > 0)
        timer = SRV_TIMER_WRITE;
    else if (h2->nstreams > 0)
        timer = SRV_TIMER_NONE;
    else if (!h2->used && h2->conn->timer == SRV_TIMER_HEAD)
        return; /* see srv_conn_expire */
    if (h2->conn->timer != timer)
        srv_loop_set_timer(h2->conn->loop, h2->conn, timer);
}

/* After all is done for now: wait, or end the connection. */
static void settle(struct srv_h2 *h2)
{
    struct srv_conn *conn = h2->conn;
    bool done = h2->left_len == 0 && !nghttp2_session_want_write(h2->session) &&
                (!nghttp2_session_want_read(h2->session) || (h2->last && h2->nstreams == 0));

    if (conn->lost || conn->ended || h2->failed) {
        srv_conn_delete(conn);
    } else if (done) {
        srv_h2_close(conn);
        if (srv_conn_linger(conn) == SRV_STEP_CLOSE)
            srv_conn_delete(conn);
    } else {
        if ((!conn->readable || h2->left_len > 0) && !h2->ready_first)
            unschedule(h2);
        set_patience(h2);
    }
}

bool srv_h2_run(struct srv_loop *loop)
{
    struct srv_h2 *h2;

    while ((h2 = loop->h2_first)) {
        read_input(h2);
        if (!drive_streams(h2))
            return false;
        reset_due(h2);
        tell_drain(h2);
        if (!h2->conn->lost)
            flush(h2);
        settle(h2);
    }
    return true;
}
