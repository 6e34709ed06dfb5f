/* Limits of one function: what a call of it may use, and how many calls there may be. The numbers
 * are those of its manifest, at most the server's own; a file of DIR/functions has the server's.
 * Knows no queue: that is fair.h. */
#ifndef SERVE_LIMIT_H
#define SERVE_LIMIT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ssvm.h" /* own */

#include "platform/limit.h"

struct srv_conn;
struct srv_config;
struct srv_place;
struct srv_share;
struct srv_tally;

/* Of one function. */
struct srv_quota {
    _Atomic uint32_t running; /* calls; without those that all workers count together */
    _Atomic uint32_t queued;  /* of this worker, all */
    _Atomic uint64_t next_ns; /* when the next call is due at the function's rate: it may come a
                                 second sooner. Of this worker alone; else: */
    struct srv_place *_Atomic place; /* what all workers count (tally.h); NULL: nothing */
    struct srv_tally *tally;         /* that it is of */
    /* With the pool's lock held: fair.h. */
    struct srv_conn *first, *last;
    struct srv_quota *next;          /* of the same tenant, with calls that wait */
    struct srv_share *_Atomic share; /* NULL: it was never called */
};

/* The limits of this request, 0 where there is none. NULL: of a function without its own. */
void srv_limits_find(const struct srv_config *, const struct plat_limits *,
                     struct plat_limits *ret);
/* A call, counted by all workers (`placed`) or by this one. True: it runs from now on, beside fewer
 * than `most`. */
bool srv_quota_take(struct srv_quota *, bool placed, uint64_t most);
/* The same of one that waits; with the pool's lock held. */
bool srv_quota_take_waiting(struct srv_quota *, bool placed, uint64_t most);
/* One that was ended for a while goes on, whatever the limit is; one ends. */
void srv_quota_go_on(struct srv_quota *, bool placed);
void srv_quota_give(struct srv_quota *, bool placed);
/* A call at this time: 0, or the seconds after which one may try again. `rate`: calls a second. */
unsigned srv_quota_pass(struct srv_quota *, uint64_t rate, uint64_t now_ns);

#endif
