/* Event loops: epoll, timers, and the memory that requests use. A loop belongs to one thread at a
 * time, and may change hands while a function runs (pool.h). */
#ifndef SERVE_LOOP_H
#define SERVE_LOOP_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>

#include "serve/conn.h"
#include "serve/server.h"
#include "serve/site.h"

#define SRV_LOOP_EVENTS 64      /* taken from the kernel at once */
#define SRV_LOOP_SPARE_WORKS 64 /* kept for later requests */
#define SRV_LOOP_SPARE_CONNS 1024
#define SRV_ACCEPT_BURST                                                                           \
    1 /* connections taken at once, so that other loops and workers get their share */

struct srv_timers {
    struct srv_conn *first, *last;
};

struct srv_loop {
    struct srv_server *server;
    int epoll, wake;      /* wake: eventfd for what other threads give us */
    unsigned nevents, at; /* of `events`: how many there are, and the next to look at */
    struct epoll_event events[SRV_LOOP_EVENTS];
    struct srv_timers timers[SRV_TIMER_COUNT];
    struct srv_work *works;
    struct srv_conn *conns; /* spare */
    unsigned nworks, nconns;
    unsigned deaf;                     /* addresses that we are not told of: listen.c; bits */
    struct srv_h2 *h2s;                /* connections of HTTP/2 */
    struct srv_h2 *h2_first, *h2_last; /* those that have something to do */
    uint64_t now_ns;
    time_t wall; /* seconds since 1970, for Date and the log */
    struct srv_date date;
    time_t log_second; /* that log_time stands for */
    char log_time[32];
    struct srv_site *sites;   /* the one asked for last first */
    bool draining;            /* we have noticed it, or that we are to retire */
    bool leaving;             /* draining, and not only retiring */
    struct srv_relay *relays; /* connections to other processes */
    struct srv_conn *calling; /* whose call the loop's thread makes; whoever takes the loop from it
                                 looks after the client */
    _Atomic uint64_t nopen;   /* connections of this loop */
    _Atomic uint64_t beat;    /* of the server's, the last that was seen */
    /* Shared with other threads. */
    _Atomic uint64_t
        guest; /* ticket of the call that the owner makes on the loop's thread, 0 = none */
    pthread_mutex_t lock;       /* of what follows, and of the list of streams */
    struct srv_conn *done;      /* connections given back */
    struct srv_stream *streams; /* that something has happened to */
};

int srv_loop_init(struct srv_loop *, struct srv_server *);
void srv_loop_release(struct srv_loop *);
/* Work until the loop is lost (true), or the server has drained (false). */
bool srv_loop_run(struct srv_loop *);
/* Give a connection back to its loop. Any thread. */
void srv_loop_give(struct srv_loop *, struct srv_conn *);
void srv_loop_wake(struct srv_loop *);
/* Have all loops gone round since the last time that this was asked? Any thread, one at a time. */
bool srv_loops_beat(struct srv_server *);

/* Patience with a connection; replaces the timer that is set. */
void srv_loop_set_timer(struct srv_loop *, struct srv_conn *, enum srv_timer);
/* Memory for a request; NULL when there is none. */
struct srv_work *srv_loop_take_work(struct srv_loop *);
void srv_loop_put_work(struct srv_loop *, own struct srv_work *);
/* The clock, read anew. */
uint64_t srv_clock_ns(void);

#endif
