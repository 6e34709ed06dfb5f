/* HTTP/2 as it comes from the network: any bytes behind the preface, in pieces, with a socket that
 * takes little. Streams become requests. Most are answered by a stage of this file; those for /s...
 * and /l... by a function that goes on beside the loop, reads its body as it comes and writes its
 * reply piece by piece, as the input says; those for /r... are handed on to a process that has the
 * input's say too (relay.c). What is checked is that all of them end, that no memory is touched or
 * kept that should not be, and that what a stage sees is one request. Meanwhile the worker may be
 * retired and the server end: the input's last byte says when. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "input.h"
#include "serve/faas.h"
#include "serve/forward.h"
#include "serve/h2.h"
#include "serve/isolated.h"
#include "serve/limit.h"
#include "serve/link.h"
#include "serve/listen.h"
#include "serve/loop.h"
#include "serve/pool.h"
#include "serve/record.h"
#include "serve/registry.h"
#include "serve/relay.h"
#include "serve/route.h"
#include "serve/stream.h"
#include "serve/token.h"
#include "serve/trace.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define BODY_BYTES 40000
#define PIECE 16384
#define PROCESSES_MAX 8

static struct srv_server server;
static struct srv_loop loop;
static struct input input;
static unsigned nconns, patience, npieces, nrequests, when;
static char body[BODY_BYTES];
static bool gone; /* the client's connection */

/* Requests, by srv_conn.behind: whose functions run, that wait for a process, that are the loop's
 * again. */
static struct srv_conn *running, *asking;

/* The other ends of relays. */
static struct process {
    int fd; /* -1: none */
    own struct srv_token *token;
} processes[PROCESSES_MAX];

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
    (void)own_limits;
    memset(ret, 0, sizeof *ret);
    ret->body = config->body;
    ret->output = config->output;
}

bool srv_pool_guest_ended(struct srv_guest *guest)
{
    (void)guest;
    return true;
}

/* This is no process of one tenant. */
void srv_isolated_tell(struct srv_conn *conn)
{
    (void)conn;
    abort();
}

static void push(struct srv_conn **list, struct srv_conn *conn)
{
    conn->behind = *list;
    *list = conn;
}

static struct srv_conn *pop(struct srv_conn **list)
{
    struct srv_conn *conn = *list;

    if (conn) {
        *list = conn->behind;
        conn->behind = NULL;
    }
    return conn;
}

void srv_loop_give(struct srv_loop *l, struct srv_conn *conn)
{
    push(&l->done, conn);
}

enum srv_step srv_forward_ask(struct srv_conn *conn)
{
    srv_loop_set_timer(conn->loop, conn, SRV_TIMER_NONE);
    conn->away = true;
    push(&asking, conn);
    return SRV_STEP_AWAY;
}

struct sv_str plat_table_text(const struct plat_table *table, struct plat_text text)
{
    (void)table;
    (void)text;
    return sv_str_of("alone");
}

own int srv_link_isolated(struct srv_server *s, struct sv_err *err, const char *tenant,
                          own int *ret_token)
{
    struct process *p = processes;
    int ends[2];

    (void)s;
    check(strcmp(tenant, "alone") == 0);
    while (p < processes + PROCESSES_MAX && p->fd >= 0)
        p++;
    if (input.len == 0 || p == processes + PROCESSES_MAX) {
        sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "too many");
        return -1;
    }
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    *ret_token = srv_token_new();
    p->token = srv_token_open(dup(*ret_token));
    check(*ret_token >= 0 && p->token);
    p->fd = ends[1];
    return ends[0];
}

/* ---- Stages ---- */

static struct srv_version command = {.command = true};
static struct plat_function registered;

static bool is_function(const struct srv_request *request)
{
    return request->path[1] == 's' || request->path[1] == 'l';
}

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
    if (is_function(&work->request)) {
        work->request.route = SRV_ROUTE_FUNCTION;
        work->request.version = &command;
    } else if (work->request.path[1] == 'r') {
        work->request.route = SRV_ROUTE_RELAY;
        work->request.registered = &registered;
    }
    return SRV_STEP_NEXT;
}

enum srv_step srv_pool_stage(struct srv_conn *conn)
{
    struct srv_request *request = &conn->work->request;

    check(request->stream || conn->work->http.phase == SRV_HTTP_COMPLETE);
    if (request->route == SRV_ROUTE_RELAY)
        return srv_relay_stage(conn);
    if (!is_function(request))
        return SRV_STEP_NEXT;
    if (!request->stream &&
        request->path[1] == 'l') { /* a reply that goes, of a body that is there */
        request->stream = srv_stream_new(conn, 0);
        conn->stream = request->stream;
    }
    srv_loop_set_timer(conn->loop, conn, SRV_TIMER_NONE);
    conn->away = true;
    push(&running, conn);
    return SRV_STEP_AWAY;
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

/* ---- Functions that run ---- */

/* What it was given is what came, in order. */
static void read_some(struct srv_stream *stream, size_t most)
{
    char bytes[PIECE];
    long n = srv_stream_read(stream, bytes, most < sizeof bytes ? most : sizeof bytes);

    check(n <= (long)sizeof bytes && (n > 0 || n == 0 || n == -1));
}

static void start_reply(struct srv_conn *conn, bool live)
{
    struct srv_reply *reply = &conn->work->reply;

    reply->status = 200;
    srv_reply_field_str(reply, "Content-Type", live ? "text/event-stream" : "text/plain");
    reply->unknown_len = true;
    reply->live = live;
    srv_stream_start(conn->work->request.stream);
}

/* One step of it. False: that was the last. */
static bool run_function(struct srv_conn *conn, unsigned c)
{
    struct srv_stream *stream = conn->work->request.stream;
    size_t n = (size_t)(c >> 3) * 600 + 1, room;
    bool over = input.len == 0 || c % 8 > 6;

    if (!stream || (over && !srv_stream_started(stream))) {
        srv_reply_borrow(&conn->work->reply, "text/plain", body, n);
        return false;
    }
    if (over) {
        srv_stream_finish(stream, c & 16);
        return false;
    }
    if (c % 8 < 3) {
        read_some(stream, n);
    } else if (!srv_stream_started(stream)) {
        start_reply(conn, c & 8);
    } else {
        room = srv_stream_out_room(stream);
        n = n < room ? n : room;
        check(n == 0 || srv_stream_write(stream, body, n) == (long)n || stream->broken);
    }
    return true;
}

static void run_functions(unsigned c)
{
    struct srv_conn *all = running, *conn;

    running = NULL;
    while ((conn = pop(&all))) {
        if (run_function(conn, c)) {
            push(&running, conn);
            continue;
        }
        conn->stage = SRV_STAGE_SEND;
        srv_loop_give(&loop, conn);
    }
}

/* ---- Processes that requests are handed on to ---- */

static const char *const said[] = {
    "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    "HTTP/1.1 404 No\r\nSSVM-Inner: 1 2 3 4 no_function\r\nContent-Length: 0\r\n\r\n",
    "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc",
    "HTTP/1.1 200 OK\r\nX-A: b\r\nContent-Length: 40000\r\n\r\n",
    "5\r\nhello\r\n",
    "0\r\n\r\n",
    "3000\r\n", /* and twelve KiB, when they come */
    "\r\n",
};

static void close_process(struct process *p)
{
    close(p->fd);
    srv_token_close(p->token);
    *p = (struct process){.fd = -1};
}

static void run_process(struct process *p, unsigned c)
{
    char bytes[PIECE];
    size_t n = c % (SV_COUNT(said) + 6);

    if (c & 128) {
        while (recv(p->fd, bytes, sizeof bytes, MSG_DONTWAIT) == (ssize_t)sizeof bytes)
            ;
    }
    if (input.len == 0) {
        close_process(p);
    } else if (n < SV_COUNT(said)) {
        (void)!send(p->fd, said[n], strlen(said[n]), MSG_NOSIGNAL | MSG_DONTWAIT);
    } else if (n == SV_COUNT(said)) {
        (void)!send(p->fd, body, 0x3000, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else if (n == SV_COUNT(said) + 1) {
        n = input.len < 32 ? input.len : 32;
        (void)!send(p->fd, input.p, n, MSG_NOSIGNAL | MSG_DONTWAIT);
    } else if (n == SV_COUNT(said) + 2) { /* the function begins */
        (void)srv_token_take(p->token);
    } else if (n == SV_COUNT(said) + 3) {
        shutdown(p->fd, SHUT_WR);
    } else if (n == SV_COUNT(said) + 4) {
        close_process(p);
    }
}

/* ---- The loop ---- */

static bool is_busy(void)
{
    bool busy = running || asking || loop.done || loop.streams;

    for (unsigned i = 0; i < PROCESSES_MAX; i++)
        busy = busy || processes[i].fd >= 0;
    return busy;
}

/* What comes beside the client: one byte of the input says what all of them do. */
static void run_others(void)
{
    struct epoll_event event;
    struct srv_conn *conn;
    unsigned c;

    if (!is_busy())
        return;
    c = (unsigned)take(&input, 1);
    run_functions(c);
    while ((conn = pop(&asking))) { /* as the thread that may wait does */
        srv_relay_ask(conn);
        srv_loop_give(&loop, conn);
    }
    for (unsigned i = 0; i < PROCESSES_MAX; i++) {
        if (processes[i].fd >= 0)
            run_process(&processes[i], c);
    }
    for (unsigned i = 0; i < 100 && epoll_wait(loop.epoll, &event, 1, 0) == 1; i++)
        (void)srv_relay_ready(event.data.ptr, event.events);
    while ((conn = pop(&loop.done))) {
        conn->away = false;
        if (conn->work && conn->work->request.stream && !conn->work->request.relay_open)
            srv_stream_return(conn);
        (void)srv_conn_drive(conn);
    }
    srv_stream_run(&loop);
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
    conn->readable = input.len > 0 && !is_busy();
    npieces++;
    drain(); /* one run reads all pieces; one, where others have their turn between them */
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

static void note_end(struct srv_conn *conn)
{
    (void)conn;
    gone = true;
}

static const struct srv_transport transport = {
    .receive = receive,
    .send = send_some,
    .unsent = unsent,
    .end = nothing,
    .close = note_end,
};

/* ---- A connection ---- */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    int fd, first_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    struct srv_conn *conn;

    close(first_fd);
    input = (struct input){data, size};
    gone = false;
    for (unsigned i = 0; i < PROCESSES_MAX; i++)
        processes[i].fd = -1;
    patience = nconns = npieces = nrequests = 0;
    when = size > 0 ? data[size - 1] : NEVER << 4 | NEVER;
    memset(&loop, 0, sizeof loop);
    pthread_mutex_init(&loop.lock, NULL);
    loop.server = &server;
    loop.nconns = SRV_LOOP_SPARE_CONNS; /* keep none */
    loop.date.second = -1;
    loop.now_ns = 1;
    loop.epoll = epoll_create1(EPOLL_CLOEXEC);
    server.config.body = 100000;
    server.config.bodies = 500000;
    server.config.output = 100000;
    conn = srv_listen_conn(&loop);
    conn->transport = &transport;
    conn->work = srv_loop_take_work(&loop);
    memcpy(conn->work->in, SRV_H2_PREFACE, SRV_H2_PREFACE_LEN);
    conn->work->in_len = SRV_H2_PREFACE_LEN;
    conn->readable = size > 0;
    check(srv_h2_begin(conn) == SRV_STEP_WAIT);
    for (unsigned i = 0; i < 1000 && !gone && !conn->lingering; i++) {
        loop.now_ns += 1000000;
        drain();
        check(srv_h2_run(&loop));
        run_others();
        if (gone || conn->lingering)
            break;
        if (input.len == 0 && conn->timer != SRV_TIMER_WRITE && !is_busy() && !loop.h2_first)
            break;
        conn->readable = input.len > 0;
        srv_h2_ready(conn);
    }
    /* Who has asked, and has all his answers, is not waited for when the server ends. */
    check(gone || !loop.leaving || nrequests == 0 || atomic_load(&loop.nopen) != 1 ||
          conn->lingering);
    if (!gone)
        srv_conn_delete(conn);
    input.len = 0; /* the others end too */
    for (unsigned i = 0; i < 1000 && is_busy(); i++)
        run_others();
    check(!is_busy());
    close(loop.epoll);
    fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    check(fd == first_fd);
    close(fd);
    check(atomic_load(&loop.nopen) == 0 && atomic_load(&server.connections) == 0 &&
          atomic_load(&server.bodies) == 0);
    pthread_mutex_destroy(&loop.lock);
    return 0;
}
