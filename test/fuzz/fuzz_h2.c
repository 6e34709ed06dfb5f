/* HTTP/2 as it comes from the network: any bytes behind the preface, in pieces, with a socket that
 * takes little. Streams become requests that are answered by a stage of this file; what is checked
 * is that all of them end, that no memory is touched or kept that should not be, and that what a
 * stage sees is one request. Meanwhile the worker may be retired and the server end: the input's
 * last byte says when. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "input.h"
#include "serve/faas.h"
#include "serve/h2.h"
#include "serve/isolated.h"
#include "serve/limit.h"
#include "serve/listen.h"
#include "serve/loop.h"
#include "serve/pool.h"
#include "serve/record.h"
#include "serve/registry.h"
#include "serve/relay.h"
#include "serve/route.h"
#include "serve/stream.h"
#include "serve/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_BYTES 40000

static struct srv_server server;
static struct srv_loop loop;
static struct input input;
static unsigned nconns, patience, npieces, nrequests, when;
static char body[BODY_BYTES];

static void check(bool good)
{
    if (!good)
        abort();
}

/* ---- What the parts under test need of the rest ---- */

own struct srv_work *srv_loop_take_work(struct srv_loop *l)
{
    (void)l;
    return malloc(sizeof(struct srv_work));
}

void srv_loop_put_work(struct srv_loop *l, own struct srv_work *work)
{
    (void)l;
    free(work);
}

void srv_loop_set_timer(struct srv_loop *l, struct srv_conn *conn, enum srv_timer timer)
{
    (void)l;
    conn->timer = timer;
}

struct srv_conn *srv_listen_conn(struct srv_loop *l)
{
    struct srv_conn *conn = nconns < 50 ? calloc(1, sizeof *conn) : NULL;

    if (!conn)
        return NULL;
    nconns++;
    atomic_fetch_add(&server.connections, 1);
    atomic_fetch_add(&l->nopen, 1);
    conn->loop = l;
    return conn;
}

void srv_loop_wake(struct srv_loop *l)
{
    (void)l;
}

void srv_route_cors(struct srv_conn *conn)
{
    (void)conn;
}

void srv_version_unref(own struct srv_version *version)
{
    (void)version;
}

void srv_registry_leave(struct srv_request *request)
{
    (void)request;
}

void srv_faas_delete(own struct srv_faas *faas)
{
    (void)faas;
}

void srv_trace_begin(struct srv_conn *conn)
{
    (void)conn;
}

void srv_limits_find(const struct srv_config *config, const struct plat_limits *own_limits,
                     struct plat_limits *ret)
{
    (void)config;
    (void)own_limits;
    memset(ret, 0, sizeof *ret);
}

bool srv_pool_guest_ended(struct srv_guest *guest)
{
    (void)guest;
    return true;
}

/* No tenant has a process of its own: nothing is handed on. */

void srv_isolated_tell(struct srv_conn *conn)
{
    (void)conn;
    abort();
}

enum srv_step srv_relay_ready(struct srv_conn *conn, uint32_t events)
{
    (void)conn;
    (void)events;
    abort();
}

void srv_relay_turn(struct srv_conn *conn)
{
    (void)conn;
    abort();
}

void srv_relay_close(struct srv_conn *conn)
{
    (void)conn;
    abort();
}

void srv_relay_delete(own struct srv_relay *relay)
{
    check(!relay);
}

/* ---- Stages ---- */

enum srv_step srv_route_stage(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    const char *why = srv_path_normalise(work->in + work->http.path.at, work->http.path.len,
                                         work->request.path, &work->request.path_len);

    check(work->http.head_len <= SRV_HTTP_HEAD_MAX && work->http.known[SRV_KNOWN_HOST] > 0);
    check(!work->http.chunked);
    nrequests++;
    if (why)
        return srv_conn_fail(conn, 400, "bad_path", why);
    if (work->http.has_length && work->http.length > server.config.body)
        return srv_conn_fail(conn, 413, "body_too_large", "x");
    return SRV_STEP_NEXT;
}

enum srv_step srv_pool_stage(struct srv_conn *conn)
{
    check(conn->work->http.phase == SRV_HTTP_COMPLETE);
    return SRV_STEP_NEXT;
}

enum srv_step srv_call_stage(struct srv_conn *conn)
{
    struct srv_request *request = &conn->work->request;

    check(request->body_len <= server.config.body);
    check(!conn->work->http.has_length || conn->work->http.length == request->body_len);
    srv_reply_field_str(&conn->work->reply, "X-Field", "value");
    srv_reply_borrow(&conn->work->reply, "text/plain", body,
                     request->path_len > 3 ? BODY_BYTES : 12);
    return SRV_STEP_NEXT;
}

enum srv_step srv_log_stage(struct srv_conn *conn)
{
    (void)conn;
    return SRV_STEP_AGAIN;
}

void srv_record_write(struct srv_conn *conn, uint64_t in, uint64_t out)
{
    (void)conn;
    (void)in;
    (void)out;
}

/* ---- The end of the worker ---- */

#define NEVER 15

/* As the loop does: first the clients are told, for good when the server ends. `when` has the
 * pieces before both, in half a byte each. */
static void drain(void)
{
    bool leaving = when >> 4 != NEVER && npieces >= when >> 4;
    bool draining = leaving || ((when & 15) != NEVER && npieces >= (when & 15));

    if (draining != loop.draining || leaving != loop.leaving)
        srv_h2_leave(&loop);
    loop.draining = draining;
    loop.leaving = leaving;
}

/* ---- The socket ---- */

static size_t receive(struct srv_conn *conn, char *to, size_t room)
{
    size_t n = take(&input, 1) * 8 + 1;

    n = n < room ? n : room;
    n = n < input.len ? n : input.len;
    memcpy(to, input.p, n);
    input.p += n;
    input.len -= n;
    conn->readable = input.len > 0;
    npieces++;
    drain(); /* one run reads all pieces */
    return n;
}

static ssize_t send_some(struct srv_conn *conn, const struct iovec *parts, unsigned nparts,
                         bool more)
{
    size_t n = parts[0].iov_len;

    (void)conn;
    (void)more;
    check(nparts == 1 && n > 0);
    if (patience++ % 3 == 2) {
        errno = EAGAIN;
        return -1;
    }
    return (ssize_t)(n > 5000 ? 5000 : n);
}

static int unsent(const struct srv_conn *conn)
{
    (void)conn;
    return 0;
}

static void nothing(struct srv_conn *conn)
{
    (void)conn;
}

static const struct srv_transport transport = {
    .receive = receive,
    .send = send_some,
    .unsent = unsent,
    .end = nothing,
    .close = nothing,
};

/* ---- A connection ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct srv_conn *conn;

    input = (struct input){data, size};
    patience = nconns = npieces = nrequests = 0;
    when = size > 0 ? data[size - 1] : NEVER << 4 | NEVER;
    memset(&loop, 0, sizeof loop);
    pthread_mutex_init(&loop.lock, NULL);
    loop.server = &server;
    loop.nconns = SRV_LOOP_SPARE_CONNS; /* keep none */
    loop.date.second = -1;
    loop.now_ns = 1;
    server.config.body = 10000;
    server.config.bodies = 100000;
    conn = srv_listen_conn(&loop);
    conn->transport = &transport;
    conn->work = srv_loop_take_work(&loop);
    memcpy(conn->work->in, SRV_H2_PREFACE, SRV_H2_PREFACE_LEN);
    conn->work->in_len = SRV_H2_PREFACE_LEN;
    conn->readable = size > 0;
    check(srv_h2_begin(conn) == SRV_STEP_WAIT);
    for (unsigned i = 0; i < 1000 && atomic_load(&loop.nopen) > 0 && !conn->lingering; i++) {
        loop.now_ns += 1000000;
        drain();
        check(srv_h2_run(&loop));
        if (atomic_load(&loop.nopen) == 0 || conn->lingering)
            break;
        if (!conn->readable && conn->timer != SRV_TIMER_WRITE)
            break;
        srv_h2_ready(conn);
    }
    /* Who has asked, and has all his answers, is not waited for when the server ends. */
    check(!loop.leaving || nrequests == 0 || atomic_load(&loop.nopen) != 1 || conn->lingering);
    if (atomic_load(&loop.nopen) > 0)
        srv_conn_delete(conn);
    check(atomic_load(&loop.nopen) == 0 && atomic_load(&server.connections) == 0 &&
          atomic_load(&server.bodies) == 0);
    pthread_mutex_destroy(&loop.lock);
    return 0;
}
