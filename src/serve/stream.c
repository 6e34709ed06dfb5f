/* Requests and replies that move while their function runs. What is sent, and how, is send.c's and
 * h2.c's. */
#include "serve/stream.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/loop.h"
#include "serve/relay.h"

#define NS_PER_MS 1000000
#define NS_PER_S 1000000000

/* ---- Rings ---- */

static size_t ring_room(const struct srv_ring *ring)
{
    return ring->cap - ring->len;
}

static void ring_put(struct srv_ring *ring, const char *bytes, size_t len)
{
    size_t at = (ring->at + ring->len) % ring->cap, first = ring->cap - at;

    if (first > len)
        first = len;
    memcpy(ring->bytes + at, bytes, first);
    memcpy(ring->bytes, bytes + first, len - first);
    ring->len += len;
}

/* The first bytes that lie together. */
static size_t ring_peek(const struct srv_ring *ring, const char **ret)
{
    size_t first = ring->cap - ring->at;

    *ret = ring->bytes + ring->at;
    return ring->len < first ? ring->len : first;
}

static void ring_drop(struct srv_ring *ring, size_t len)
{
    ring->at = (ring->at + len) % ring->cap;
    ring->len -= len;
}

/* ---- Both ---- */

own struct srv_stream *srv_stream_new(struct srv_conn *conn, size_t in_cap)
{
    struct srv_server *server = conn->loop->server;
    struct srv_stream *stream = calloc(1, sizeof *stream);
    size_t need = SRV_STREAM_BYTES + in_cap;
    pthread_condattr_t clock;

    if (!stream)
        return NULL;
    if (atomic_fetch_add(&server->bodies, need) + need > server->config.bodies)
        goto fail;
    stream->out.bytes = malloc(SRV_STREAM_BYTES);
    stream->in.bytes = malloc(in_cap + 1);
    if (!stream->out.bytes || !stream->in.bytes)
        goto fail;
    stream->conn = conn;
    stream->out.cap = SRV_STREAM_BYTES;
    stream->in.cap = in_cap;
    stream->in.end = in_cap == 0;
    pthread_mutex_init(&stream->lock, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&stream->changed, &clock);
    pthread_condattr_destroy(&clock);
    return stream;
fail:
    atomic_fetch_sub(&server->bodies, need);
    free(stream->out.bytes);
    free(stream->in.bytes);
    free(stream);
    return NULL;
}

void srv_stream_delete(own struct srv_stream *stream, struct srv_loop *loop)
{
    if (!stream)
        return;
    pthread_mutex_lock(&loop->lock);
    for (struct srv_stream **p = &loop->streams; stream->told && *p; p = &(*p)->next) {
        if (*p == stream) {
            *p = stream->next;
            break;
        }
    }
    pthread_mutex_unlock(&loop->lock);
    atomic_fetch_sub(&loop->server->bodies, stream->in.cap + stream->out.cap);
    pthread_mutex_destroy(&stream->lock);
    pthread_cond_destroy(&stream->changed);
    free(stream->in.bytes);
    free(stream->out.bytes);
    free(stream);
}

/* ---- The function's thread ---- */

/* Something has changed that the loop should look at. */
static void tell(struct srv_stream *stream)
{
    struct srv_loop *loop = stream->conn->loop;
    bool first = false;

    pthread_mutex_lock(&loop->lock);
    if (!stream->told) {
        first = !loop->streams;
        stream->told = true;
        stream->next = loop->streams;
        loop->streams = stream;
    }
    pthread_mutex_unlock(&loop->lock);
    if (first)
        srv_loop_wake(loop);
}

/* Wait until the loop has done something, a moment at most. False: there is nothing to wait for any
 * more. With the lock held. */
static bool wait_for_loop(struct srv_stream *stream)
{
    struct timespec until;

    if (stream->broken || srv_pool_guest_ended(stream->conn->work->request.guest))
        return false;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)SRV_STREAM_WAIT_MS * NS_PER_MS;
    if (until.tv_nsec >= NS_PER_S) {
        until.tv_nsec -= NS_PER_S;
        until.tv_sec++;
    }
    pthread_cond_timedwait(&stream->changed, &stream->lock, &until);
    return true;
}

long srv_stream_read(struct srv_stream *stream, void *to, size_t len)
{
    const char *bytes;
    bool news = false;
    long n = -1;

    pthread_mutex_lock(&stream->lock);
    while (stream->in.len == 0 && !stream->in.end && !stream->status && wait_for_loop(stream))
        ;
    if (stream->in.len > 0) {
        size_t some = ring_peek(&stream->in, &bytes);

        some = some < len ? some : len;
        memcpy(to, bytes, some);
        ring_drop(&stream->in, some);
        /* Not for every byte: what is left keeps us busy meanwhile. */
        news = stream->taken < stream->in.cap / 4 &&
               (stream->taken + some >= stream->in.cap / 4 || stream->in.len == 0);
        stream->taken += some;
        n = (long)some;
    } else if (stream->in.end && !stream->status) {
        n = 0;
    }
    pthread_mutex_unlock(&stream->lock);
    if (news)
        tell(stream);
    return n;
}

void srv_stream_start(struct srv_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->started = true;
    pthread_mutex_unlock(&stream->lock);
    tell(stream);
}

long srv_stream_write(struct srv_stream *stream, const void *bytes, size_t len)
{
    const char *from = bytes;
    size_t done = 0;
    bool news;

    pthread_mutex_lock(&stream->lock);
    while (done < len && !stream->broken) {
        size_t n = ring_room(&stream->out);

        if (n == 0) {
            if (!wait_for_loop(stream))
                break;
            continue;
        }
        n = n < len - done ? n : len - done;
        news = stream->out.len == 0;
        ring_put(&stream->out, from + done, n);
        done += n;
        if (!news)
            continue;
        pthread_mutex_unlock(&stream->lock);
        tell(stream);
        pthread_mutex_lock(&stream->lock);
    }
    pthread_mutex_unlock(&stream->lock);
    return done == len ? (long)len : -1;
}

void srv_stream_finish(struct srv_stream *stream, bool aborted)
{
    pthread_mutex_lock(&stream->lock);
    stream->out.end = true;
    stream->aborted |= aborted;
    pthread_mutex_unlock(&stream->lock);
}

/* ---- Another process at the other end ---- */

size_t srv_stream_take(struct srv_stream *stream, char *to, size_t len, bool *ret_end,
                       bool *ret_bad)
{
    const char *bytes;
    size_t n;

    pthread_mutex_lock(&stream->lock);
    n = ring_peek(&stream->in, &bytes);
    n = n < len ? n : len;
    memcpy(to, bytes, n);
    ring_drop(&stream->in, n);
    stream->taken += n;
    *ret_end = stream->in.len == 0 && stream->in.end;
    *ret_bad = stream->status != 0;
    pthread_mutex_unlock(&stream->lock);
    return n;
}

size_t srv_stream_out_room(struct srv_stream *stream)
{
    size_t room;

    pthread_mutex_lock(&stream->lock);
    room = ring_room(&stream->out);
    pthread_mutex_unlock(&stream->lock);
    return room;
}

void srv_stream_offer(struct srv_stream *stream, const char *bytes, size_t len)
{
    pthread_mutex_lock(&stream->lock);
    ring_put(&stream->out, bytes, len);
    pthread_mutex_unlock(&stream->lock);
    tell(stream);
}

/* Nobody waits for the stream then: what happens to it is seen by the loop itself. */
static void tell_relay(struct srv_stream *stream)
{
    if (stream->conn->upstream)
        tell(stream);
}

/* ---- The loop's thread ---- */

size_t srv_stream_room(struct srv_stream *stream)
{
    size_t room;

    pthread_mutex_lock(&stream->lock);
    room = ring_room(&stream->in);
    pthread_mutex_unlock(&stream->lock);
    return room;
}

void srv_stream_put(struct srv_stream *stream, const char *bytes, size_t len)
{
    pthread_mutex_lock(&stream->lock);
    ring_put(&stream->in, bytes, len);
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    atomic_fetch_add_explicit(&stream->in_total, len, memory_order_relaxed);
    tell_relay(stream);
}

void srv_stream_end(struct srv_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->in.end = true;
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    tell_relay(stream);
}

void srv_stream_fail(struct srv_stream *stream, int status, const char *why)
{
    pthread_mutex_lock(&stream->lock);
    if (!stream->status) {
        stream->status = status;
        stream->why = why;
    }
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    tell_relay(stream);
}

size_t srv_stream_taken(struct srv_stream *stream)
{
    size_t taken;

    pthread_mutex_lock(&stream->lock);
    taken = stream->taken;
    stream->taken = 0;
    pthread_mutex_unlock(&stream->lock);
    return taken;
}

bool srv_stream_started(struct srv_stream *stream)
{
    bool started;

    pthread_mutex_lock(&stream->lock);
    started = stream->started;
    pthread_mutex_unlock(&stream->lock);
    return started;
}

size_t srv_stream_peek(struct srv_stream *stream, const char **ret, bool *ret_end,
                       bool *ret_aborted)
{
    size_t n;

    pthread_mutex_lock(&stream->lock);
    n = ring_peek(&stream->out, ret);
    *ret_end = n == 0 && stream->out.end;
    *ret_aborted = stream->aborted;
    pthread_mutex_unlock(&stream->lock);
    return n;
}

void srv_stream_drop(struct srv_stream *stream, size_t len)
{
    pthread_mutex_lock(&stream->lock);
    ring_drop(&stream->out, len);
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    tell_relay(stream);
}

void srv_stream_break(struct srv_stream *stream)
{
    pthread_mutex_lock(&stream->lock);
    stream->broken = true;
    pthread_cond_signal(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

void srv_stream_run(struct srv_loop *loop)
{
    for (;;) {
        struct srv_stream *stream;

        pthread_mutex_lock(&loop->lock);
        stream = loop->streams;
        if (stream) {
            loop->streams = stream->next;
            stream->told = false;
        }
        pthread_mutex_unlock(&loop->lock);
        if (!stream)
            return;
        stream->conn->stream = stream;
        srv_stream_pump(stream->conn);
    }
}

static void pump(struct srv_conn *conn)
{
    struct srv_stream *stream = conn->stream;

    if (conn->lost) {
        srv_stream_break(stream);
        return;
    }
    srv_body_pump(conn);
    /* The reply's own stage, as far as it can go; that it is done is seen when the function is. */
    if (!conn->lost && srv_stream_started(stream)) {
        /* Nobody reads events any more who has ended his side. */
        conn->lost |= conn->ending && conn->work->reply.live;
        (void)srv_send_stage(conn);
    }
    if (conn->lost)
        srv_stream_break(stream);
}

void srv_stream_pump(struct srv_conn *conn)
{
    if (conn->away)
        pump(conn);
    if (conn->away && conn->upstream)
        srv_relay_turn(conn);
}

void srv_stream_return(struct srv_conn *conn)
{
    struct srv_request *request = &conn->work->request;

    conn->stream = request->stream;
    request->body_len += request->stream->in_total;
    if (conn->timer == SRV_TIMER_BODY)
        srv_loop_set_timer(conn->loop, conn, SRV_TIMER_NONE);
}
