/* Connections and the stages that a request goes through. Does not wait for events: that is loop.h.
 */
#ifndef SERVE_CONN_H
#define SERVE_CONN_H

#include <netinet/in.h>
#include <stdatomic.h>

#include "platform/limit.h"
#include "platform/record.h"
#include "serve/http.h"
#include "serve/path.h"
#include "serve/reply.h"
#include "serve/trace.h"
#include "serve/transport.h"

#define SRV_IN_MAX (SRV_HTTP_HEAD_MAX + 16384)  /* head, and a window for the body behind it */
#define SRV_OUT_MAX (SRV_REPLY_HEAD_MAX + 4096) /* head, and small bodies copied behind it */
#define SRV_PROGRESS_MIN 16384 /* bytes that must move in body-time and write-time */
#define SRV_LINGER_MS 2000     /* how long a client that has all may wait before it ends its side */
#define SRV_LINGER_MAX (4 << 20) /* and how much of it is thrown away */
#define SRV_NOTE_MAX 400         /* bytes of the reason kept for the log */
#define SRV_ID_LEN 16

struct srv_loop;
struct plat_function;
struct srv_faas;
struct plat_table;
struct plat_version;
struct srv_version;
struct srv_export;
struct srv_function;
struct srv_listener;
struct srv_h2;
struct srv_stream;
struct srv_relay;

/* The path of a request, in order (conn.c has the array). Each stage is one function. */
enum srv_stage {
    SRV_STAGE_HTTP,  /* receive.c: read and parse the head */
    SRV_STAGE_ROUTE, /* route.c: what is asked for, and may it be? */
    SRV_STAGE_BODY,  /* receive.c: read the body */
    SRV_STAGE_POOL,  /* pool.c: call here, or let a thread of the pool do it */
    SRV_STAGE_CALL,  /* call.c: the static file or the function makes the reply */
    SRV_STAGE_SEND,  /* send.c: send it */
    SRV_STAGE_LOG,   /* log.c: one line, then the next request */
    SRV_STAGE_COUNT
};

/* Lists of connections that wait, one for each kind of patience; in each, the first is due first.
 */
enum srv_timer {
    SRV_TIMER_NONE,
    SRV_TIMER_IDLE,
    SRV_TIMER_HEAD,
    SRV_TIMER_BODY,
    SRV_TIMER_WRITE,
    SRV_TIMER_LINGER,
    SRV_TIMER_PARKED, /* a relay's, between two requests */
    SRV_TIMER_COUNT
};

enum srv_route_kind {
    SRV_ROUTE_NONE,
    SRV_ROUTE_SITE,
    SRV_ROUTE_FUNCTION,
    SRV_ROUTE_FORWARD,
    SRV_ROUTE_RELAY
};

struct srv_request {
    enum srv_route_kind route;
    size_t path_len, query_len;
    char *query;      /* in the input buffer, still encoded */
    const char *body; /* in the input buffer, or body_buf */
    size_t body_len;
    own char *body_buf;
    size_t body_cap;
    struct srv_function *function;
    own struct srv_version *version; /* a reference */
    const char *site; /* folder of static files beneath site_base, for those routes */
    int site_base;
    bool spa;     /* its index.html answers navigations that find no file */
    size_t mount; /* bytes of the path that are not the site's, or the function's */
    /* Of the registry; NULL: it has no part in this. srv_registry_leave gives them back. */
    own struct plat_table *table;
    const struct plat_function *registered;
    const struct plat_version *chosen;
    own struct srv_faas *faas; /* of a call over /api; NULL: of another */
    const char *handler;       /* the export that its route calls; NULL: the path names it */
    struct plat_limits limits; /* of this request: limit.h */
    bool placed;               /* all workers count its call: tally.h */
    const struct srv_export *export;
    const char
        *name; /* FUNCTION of /f/NAME/FUNCTION, or the path behind a command's name; in `path` */
    size_t name_len;
    bool relay_open; /* a connection to hand the request on over has been got, and its token */
    own int relay_fd, relay_token;
    unsigned relays;                    /* processes that it was handed to */
    own struct srv_relay *relayed_once; /* to be handed on again as it was; NULL: it was not */
    bool slow;                          /* let the pool do it */
    bool load;                          /* and look at the function's file first */
    own struct srv_stream *stream;      /* what moves while the function runs; NULL: nothing */
    uint64_t ticket;         /* of the call, while it runs on the loop's thread; else 0 */
    struct srv_guest *guest; /* while the function runs (pool.h) */
    bool cut;                /* its reply was broken off, since the function failed */
    bool own_cors;           /* the function itself says who may read the reply */
    bool recorded;           /* its record is written */
    int trap;                /* ssvm_trap_code, 0 = none */
    uint64_t start_ns, wait_ns, run_ns, cpu_ns;
    uint64_t run_began_ns, cpu_began_ns; /* of the clock, of the thread */
    uint64_t gas, memory, sent;
    unsigned nhosts;                   /* of `hosts` */
    const char *code;                  /* of the error, for the log; NULL = none */
    char note[SRV_NOTE_MAX];           /* what the operator should know, "" = nothing */
    uint64_t hosts[PLAT_RECORD_HOSTS]; /* calls of host functions, as in its record */
    own char *errors; /* what the function wrote to standard error, NULL = nothing */
    size_t errors_len;
    own char *backtrace; /* of the trap that ended it, NULL = none */
    char relayed[32];    /* what `code` is then, of a request that was handed on */
    char id[SRV_ID_LEN + 1];
    char trace[SRV_TRACE_LEN + 1]; /* traceparent of what the request begins, "" = none */
    char path[SRV_PATH_MAX + 1];
};

/* All that a connection needs while it has a request; pooled by the loop. */
struct srv_work {
    struct srv_work *next;
    size_t in_len, out_len, out_at;
    size_t consumed;  /* of `in`, by this request */
    uint64_t body_at; /* of the reply's body: bytes sent */
    struct srv_http http;
    struct srv_request request;
    struct srv_reply reply;
    char in[SRV_IN_MAX];
    char out[SRV_OUT_MAX];
};

struct srv_conn {
    const struct srv_transport *transport;
    int fd;                              /* -1: it has no socket of its own */
    void *carrier;                       /* the transport's */
    const struct srv_listener *listener; /* that took it, or its carrier; NULL: none */
    own struct srv_h2 *h2; /* HTTP/2: its requests are connections of their own; NULL: it is not */
    own struct srv_relay *relay; /* it leads to another process: relay.h; NULL: to a client */
    struct srv_relay *upstream;  /* its request is handed on over that; NULL: it is not */
    enum srv_stage stage;
    struct srv_loop *loop;
    own struct srv_work *work;    /* NULL between requests */
    struct srv_stream *stream;    /* the request's, as far as the loop knows of it */
    struct srv_conn *prev, *next; /* with the same patience; the loop's */
    struct srv_conn *behind;      /* the next, where threads hand it over; while it is away */
    enum srv_timer timer;
    bool readable;        /* reading may give something */
    bool socket_readable; /* the last read did not empty the socket, for transports that hold bytes
                             back */
    bool used;            /* it has had a request */
    bool ending;          /* the client has ended its side: read up to there */
    bool ended;           /* the client sends no more */
    _Atomic bool lost;    /* the connection is broken; the watch reads it too */
    bool away; /* another thread may have it: only `readable`, `ended` and `lost` may be touched */
    bool lingering;       /* replied and shut down; what still comes is thrown away */
    uint8_t trigger;      /* enum plat_trigger: what its requests come from */
    uint8_t depth;        /* of calls inside of calls: its request is so deep */
    uint64_t deadline_ns; /* of whoever waits for the reply inside the server; 0: none */
    uint64_t due_ms;
    uint64_t progress;        /* bytes since the timer was set */
    int unsent;               /* bytes in the socket when it was set, for SRV_TIMER_WRITE; or when
                                 a lingering one was seen to take some */
    uint64_t lingered_ms;     /* since then */
    struct sockaddr_in6 peer; /* or the IPv4 one in its place */
};

typedef enum srv_step (*srv_stage_fn)(struct srv_conn *);
enum srv_step srv_http_stage(struct srv_conn *);
enum srv_step srv_route_stage(struct srv_conn *);
enum srv_step srv_body_stage(struct srv_conn *);
enum srv_step srv_pool_stage(struct srv_conn *);
enum srv_step srv_call_stage(struct srv_conn *);
enum srv_step srv_send_stage(struct srv_conn *);
enum srv_step srv_log_stage(struct srv_conn *);

/* Go through the stages as far as possible. WAIT, AWAY, GONE or CLOSE (the connection is deleted
 * then). */
enum srv_step srv_conn_drive(struct srv_conn *);
/* Readiness of the socket (EPOLL* bits), or that a timer is over. Result as srv_conn_drive. */
enum srv_step srv_conn_ready(struct srv_conn *, uint32_t events);
enum srv_step srv_conn_expire(struct srv_conn *);
void srv_conn_delete(own struct srv_conn *);

/* The last reply is sent: end our side, and throw away what the client still sends. Result as a
 * stage. */
enum srv_step srv_conn_linger(struct srv_conn *);
/* Draining, and it waits for a request: end it, as soon as the client has what was sent. */
void srv_conn_leave(struct srv_conn *);
/* Nothing of a request has arrived: give the memory back and wait, or close. Result as
 * srv_conn_drive. */
enum srv_step srv_conn_rest(struct srv_conn *);
/* A new request, once its head is there (or is known to be bad); its end. */
void srv_request_init(struct srv_conn *);
void srv_request_clear(struct srv_conn *);
/* As the transport's `receive`; counts progress. */
size_t srv_conn_receive(struct srv_conn *, char *to, size_t room);
/* The client has perhaps ended its side, and a long call runs for it: find out whether it still
 * waits. It does not when the connection turns out to be `lost`, now or by a later event. */
void srv_conn_probe(struct srv_conn *);
/* Read into the input buffer. False: nothing more now, or ever (`ended`, `lost`). */
bool srv_conn_read(struct srv_conn *);
/* A request whose head was made in memory: parse `len` bytes of HTTP/1.1 in the work's input
 * buffer, and be ready for the stage after SRV_STAGE_HTTP. With `body_follows` (srv_body_take) the
 * body ends when srv_body_end says so. NEXT, or REPLY with the refusal. */
enum srv_step srv_conn_put_head(struct srv_conn *, size_t len, bool body_follows);
/* Bytes of the body of such a request, and its end. The stages go on when somebody drives the
 * connection. NEXT, or REPLY with the refusal. */
enum srv_step srv_body_take(struct srv_conn *, const char *data, size_t len);
void srv_body_end(struct srv_conn *);
/* Move what has come of a body that goes to its function (stream.h). */
void srv_body_pump(struct srv_conn *);
/* The reply is ready to be sent: add the fields that all of its kind have. Whether its head is all
 * of it; body_at is its end then. */
bool srv_conn_finish_reply(struct srv_conn *);
/* "http" or "https": how the client reached us. */
const char *srv_conn_scheme(const struct srv_conn *);
/* The client's address as text. */
void srv_conn_peer(const struct srv_conn *, char ret[INET6_ADDRSTRLEN]);
/* An error reply for the current request; remembers `code` for the log and gives SRV_STEP_REPLY.
 * `message` is for the caller's eyes. */
enum srv_step srv_conn_fail(struct srv_conn *, int status, const char *code, const char *message);

#endif
