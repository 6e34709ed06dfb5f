/* A request whose body comes, or whose reply goes, while its function runs: two bounded buffers
 * between the function's thread and the thread of the loop. Who finds the one empty or the other
 * full waits (the function) or is told when that has changed (the loop). */
#ifndef SERVE_STREAM_H
#define SERVE_STREAM_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ssvm.h" /* own */

#define SRV_STREAM_BYTES (64 << 10) /* of each buffer */
#define SRV_STREAM_WAIT_MS 20 /* the longest wait of a function before it looks at its deadline */

struct srv_conn;
struct srv_loop;

/* A ring. */
struct srv_ring {
    own char *bytes;
    size_t cap, at, len;
    bool end; /* nothing more will be put in */
};

struct srv_stream {
    struct srv_conn *conn;
    pthread_mutex_t lock;   /* of what follows */
    pthread_cond_t changed; /* for the function */
    struct srv_ring in, out;
    bool started; /* the reply's head is made: from now on the reply is the loop's */
    bool aborted; /* it ends here, though it is not complete */
    bool broken;  /* nobody sends or takes anything any more */
    size_t taken; /* of `in`, since the loop last asked */
    int status;   /* of what is wrong with the request's body; 0: nothing */
    const char *why;
    /* Of the loop's list. */
    bool told;
    struct srv_stream *next;
    /* Of the thread that sends. */
    size_t chunk;              /* bytes of `out` that are announced, and not sent yet */
    bool headed;               /* the head is in the output buffer, or sent */
    bool framed;               /* a chunk has been sent */
    bool tailed;               /* the last of all is in the output buffer */
    _Atomic uint64_t in_total; /* received */
};

/* For a connection whose request is being made ready, or runs. NULL: there is no room for it. */
own struct srv_stream *srv_stream_new(struct srv_conn *, size_t in_cap);
void srv_stream_delete(own struct srv_stream *, struct srv_loop *);

/* ---- For the function's thread ---- */

/* Bytes of the request's body, waiting for them; 0: its end, -1: there will be none. */
long srv_stream_read(struct srv_stream *, void *to, size_t len);
/* The reply's head is made: let the loop send it, and what is written from now on. */
void srv_stream_start(struct srv_stream *);
/* All of it, or -1. */
long srv_stream_write(struct srv_stream *, const void *bytes, size_t len);
/* Nothing more is written. */
void srv_stream_finish(struct srv_stream *, bool aborted);

/* ---- For the loop's thread, where no function but another process is at the other end ---- */

/* As srv_stream_read, without waiting: 0 may be its end, or nothing now; *ret_bad: it is wrong. */
size_t srv_stream_take(struct srv_stream *, char *to, size_t len, bool *ret_end, bool *ret_bad);
/* How much of a reply there is room for; put it in. */
size_t srv_stream_out_room(struct srv_stream *);
void srv_stream_offer(struct srv_stream *, const char *bytes, size_t len);

/* ---- For the loop's thread ---- */

/* How much of a body it takes now; put it in. */
size_t srv_stream_room(struct srv_stream *);
void srv_stream_put(struct srv_stream *, const char *bytes, size_t len);
/* The request's body is complete; or something is wrong with it (what the reply says, unless it has
 * begun). */
void srv_stream_end(struct srv_stream *);
void srv_stream_fail(struct srv_stream *, int status, const char *why);
/* What was taken of the body since the last time. */
size_t srv_stream_taken(struct srv_stream *);
bool srv_stream_started(struct srv_stream *);
/* Bytes of the reply, which stay where they are until srv_stream_drop; 0: none now. *ret_end: there
 * will be no more, *ret_aborted: since it was broken off. */
size_t srv_stream_peek(struct srv_stream *, const char **ret, bool *ret_end, bool *ret_aborted);
void srv_stream_drop(struct srv_stream *, size_t len);
/* The client is gone: the function need not wait. */
void srv_stream_break(struct srv_stream *);
/* Go on with what the functions' threads have told. */
void srv_stream_run(struct srv_loop *);
/* The function has ended, and its connection is the loop's again. */
void srv_stream_return(struct srv_conn *);
/* Move what can be moved for a connection whose function runs. */
void srv_stream_pump(struct srv_conn *);

#endif
