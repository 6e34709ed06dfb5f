/* What all parts of the server share. Made by main.c before the threads start; fields that change
 * later are atomic. */
#ifndef SERVE_SERVER_H
#define SERVE_SERVER_H

#include <limits.h>
#include <stdatomic.h>

#include "serve/config.h"
#include "serve/forward.h"
#include "serve/function.h"
#include "serve/grant.h"
#include "serve/log.h"
#include "serve/pool.h"

#define SRV_LISTENERS_MAX 16

struct srv_loop;
struct srv_registry;
struct srv_tally;
struct srv_tickets;
struct srv_tls;
struct srv_link;
struct plat_ring;

/* An address where we listen. */
struct srv_listener {
    int fd;
    bool tls;
    bool admin; /* for the admin interfaces, and nothing else */
    bool inner; /* for other workers: isolated.h */
    uint16_t port;
    char address[80]; /* as text */
    char where[128];  /* as it was asked for */
};

struct srv_server {
    struct srv_config config;
    ssvm_engine *engine;
    int root;                                         /* DIR, O_PATH */
    struct srv_listener listeners[SRV_LISTENERS_MAX]; /* shared by the loops */
    unsigned nlisteners;
    own struct srv_tls *tls;               /* NULL: no address is served with it */
    own const struct srv_tickets *tickets; /* keys that workers share; NULL: each has its own */
    own struct srv_tally *tally;           /* what all workers count; NULL: each counts alone */
    /* Sockets that listen already, from another process or generation: `where` "" fits anything;
     * fd -1: taken. */
    struct srv_listener inherited[SRV_LISTENERS_MAX];
    unsigned ninherited;
    int spare_fd; /* given up for a moment to refuse a connection when descriptors run out */
    unsigned nloops;
    struct srv_loop *loops;
    struct srv_grant grant;
    struct sv_buf costs; /* table of DIR/functions; costs.h */
    struct srv_functions functions;
    struct srv_registry *registry; /* registry.h */
    struct srv_pool pool;
    struct srv_forward forward;
    struct srv_log log;
    _Atomic uint64_t connections;
    _Atomic unsigned nested;  /* functions that wait for others */
    _Atomic uint64_t bodies;  /* bytes of large request bodies held */
    _Atomic uint64_t next_id; /* request ids */
    _Atomic uint64_t beat;    /* what loops that go round have seen */
    _Atomic bool retiring;    /* another generation takes the new connections */
    _Atomic bool running;     /* the loops are there */
    _Atomic bool draining;
    _Atomic bool cancelled;        /* what still runs is not waited for */
    const char *tenant;            /* whose guests this worker runs, and no others'; NULL: all */
    _Atomic uint64_t trusted[4];   /* isolated.h: what it knows control's passes by */
    char data[PATH_MAX];           /* the data folder; "" = none */
    char cache[PATH_MAX];          /* of native code */
    int data_lock;                 /* the supervisor's */
    struct srv_link *link;         /* to the other processes: link.h */
    own struct plat_ring *records; /* of finished requests, for control; NULL: nobody counts them */
    _Atomic uint64_t records_lost, records_gave_up_ns; /* record.c's: the ring stayed full */
    _Atomic uint64_t failures, failures_second;        /* that were told in that second */
    const char *crash, *hang; /* tests: the path that crashes the worker, or stops a loop; NULL */
};

#endif
