/* Threads: who runs which loop, who runs long calls, and the watch that notices them. Runs no guest
 * itself.
 *
 * A loop is run by one thread, which also makes the calls of functions that are known to be short,
 * since handing one to another thread costs more than the call. The watch looks every few
 * milliseconds: a thread that is still in the same call loses its loop to another thread, finishes
 * the call, and gives the connection back. Calls of functions that are known to be long go to a
 * thread of the pool at once. A thread whose call goes on for long gets a lower priority, so that
 * loops, short calls and the watch go first; since it may not have the old one back, it ends with
 * the call. When the call's time is over the thread goes before all others, where the kernel lets
 * it: it has the call to end. */
#ifndef SERVE_POOL_H
#define SERVE_POOL_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "serve/fair.h"
#include "ssvm.h"

#define SRV_WATCH_MS                                                                               \
    3 /* between two looks; a loop is taken from a call that two of them have seen */
#define SRV_LONG_MS 10 /* a call that runs so long goes on at a lower priority */
#define SRV_WATCH_IDLE                                                                             \
    64 /* looks without a request, after which the watch sleeps until there is one */
#define SRV_TRIM_S                                                                                 \
    10 /* of that sleep, after which memory that calls have left goes back to the system */
#define SRV_WATCH_LOG 64 /* looks between two writings of the log */

struct srv_server;
struct srv_loop;
struct srv_conn;

struct srv_thread;

/* A call that the watch can end. One for each thread. */
struct srv_guest {
    pthread_mutex_t lock;
    ssvm_store *store; /* NULL = none runs */
    uint64_t start_ns, deadline_ns;
    uint64_t cpu_end_ns; /* of the thread's CPU time; UINT64_MAX = no limit */
    clockid_t cpu_clock; /* the thread's */
    bool expired;        /* the watch ended it: by its deadline, or since nobody waits for it */
    const struct srv_conn *conn; /* whose call it is; `lost`: nobody waits for it */
};

struct srv_pool {
    struct srv_server *server;
    pthread_mutex_t lock;
    pthread_cond_t more;        /* work, for threads that wait */
    pthread_cond_t changed;     /* for main.c: a loop has drained */
    struct srv_thread *threads; /* all */
    unsigned nthreads, max_threads;
    unsigned waiting;         /* threads without anything to do */
    unsigned starting;        /* threads that will soon be */
    unsigned away;            /* threads in calls, without a loop */
    unsigned looping;         /* threads that took a loop and are not back */
    unsigned drained;         /* loops that are done */
    struct srv_fair fair;     /* calls that wait */
    struct srv_loop **adrift; /* loops without a thread */
    unsigned nadrift;
    uint64_t *seen; /* by loop: ticket at the last look of the watch */
    bool stop;
    pthread_t watch, log_writer;
    pthread_cond_t wake_watch, write_log;
    bool log_due;
    uint32_t heard;      /* the watch: srv_tally_listen */
    _Atomic bool asleep; /* the watch is */
    _Atomic uint64_t tickets;
    _Atomic unsigned busy; /* `away`, for those without the lock */
};

/* Before anybody asks what runs, or has a call made; threads come with srv_pool_start. */
void srv_pool_init(struct srv_pool *, struct srv_server *);
bool srv_pool_start(struct srv_pool *);
/* Wait until all loops have drained, at most so long. False: time is over. */
bool srv_pool_drain(struct srv_pool *, uint64_t timeout_ms);
/* End every call that runs. */
void srv_pool_cancel(struct srv_pool *);
/* After a complete drain: join all threads. */
void srv_pool_stop(struct srv_pool *);

/* The call is made, by a thread without a loop: give the connection back. */
void srv_pool_return(struct srv_pool *, struct srv_conn *);
/* Calls that may wait for others that they have made; these have no place among those that run, of
 * the server, their tenant or their function, so that there is one for what they wait for. */
unsigned srv_pool_waiting_max(const struct srv_server *);
/* Around such a wait, of a call beside the loops (srv_pool_part). */
void srv_pool_wait(struct srv_pool *, struct srv_conn *);
void srv_pool_go_on(struct srv_pool *, struct srv_conn *);
/* Around a call on a loop's own thread, which the stage has counted already. False: no memory, and
 * the count is given back. No `end` after the loop was lost. */
bool srv_pool_begin(struct srv_pool *, struct srv_conn *);
void srv_pool_end(struct srv_pool *, struct srv_conn *);
/* Something happens: the watch must not sleep. */
void srv_pool_note(struct srv_pool *);
/* Around the store of a call, by the thread that makes it; the limits are the request's. `leave`:
 * true when the watch ended it. */
void srv_pool_guest_enter(ssvm_store *, struct srv_conn *);
bool srv_pool_guest_leave(void);
/* Whose call this thread makes; NULL: none. */
const struct srv_conn *srv_pool_guest_conn(void);
/* Call `fn` for each call that runs now, until it gives false. The call does not end meanwhile. */
void srv_pool_each_guest(struct srv_pool *, bool (*fn)(void *data, const struct srv_conn *),
                         void *data);
/* The watch has ended it; when it will. By threads that are in a host call of it: those of the
 * guest's own, too. */
bool srv_pool_guest_ended(struct srv_guest *);
uint64_t srv_pool_guest_deadline(const struct srv_conn *);
/* The call with that ticket, made on the loop's own thread, will wait for what the loop does: let
 * another thread run the loop, as the watch would soon. False: there is none. */
bool srv_pool_part(struct srv_pool *, struct srv_loop *, uint64_t ticket);

#endif
