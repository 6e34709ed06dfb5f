/* What the workers of a node count together, of functions with limits of their own: calls that run,
 * calls that wait, and when the next one is due at a function's rate. In memory that they share and
 * the supervisor makes; it takes back what a worker that has ended still had. Knows no requests.
 *
 * A worker changes its own numbers alone (but for the turn, which is a hint), so that clearing them
 * is all there is to do after a kill at any moment; a sum of all workers' decides. */
#ifndef SERVE_TALLY_H
#define SERVE_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "ssvm.h" /* own */

#define SRV_TALLY_PLACES 16384 /* functions; a power of two */
#define SRV_TALLY_NOBODY UINT32_MAX
#define SRV_TALLY_MOST ((1U << 24) - 1) /* calls; more is no limit */

struct srv_tally;
struct srv_place; /* a function's */

/* The supervisor's, for so many workers. *ret_fd: for workers. NULL: there is none, and each worker
 * counts alone. */
own struct srv_tally *srv_tally_new(unsigned workers, own int *ret_fd);
/* The same memory for the worker of that slot, or for another supervisor (SRV_TALLY_NOBODY). The
 * descriptor stays the caller's. NULL: it is none, or has no such slot. */
own struct srv_tally *srv_tally_open(int fd, uint32_t slot);
void srv_tally_close(own struct srv_tally *);
/* The supervisor: a worker is to start with this slot, which has nothing; it has ended. */
void srv_tally_begin(struct srv_tally *, uint32_t slot);
void srv_tally_clear(struct srv_tally *, uint32_t slot);

/* A function's, made when it is new; ids are never used twice, and nothing is taken out. NULL:
 * there is none left. */
struct srv_place *srv_tally_find(struct srv_tally *, uint64_t id);
/* When the next call is due at its rate (srv_quota_pass). */
_Atomic uint64_t *srv_place_due(struct srv_place *);
/* A call may run: there are fewer than `most`, with those that wait, which go first. */
bool srv_place_take(struct srv_tally *, struct srv_place *, uint64_t most);
/* A call may wait: fewer than `most` run or wait. */
bool srv_place_wait(struct srv_tally *, struct srv_place *, uint64_t most);
/* One that waits may run: fewer than `most` do, and it is no other worker's turn. */
bool srv_place_take_waiting(struct srv_tally *, struct srv_place *, uint64_t most);
/* One waits no more, and does not run. */
void srv_place_leave(struct srv_tally *, struct srv_place *);
/* One runs, whatever the limit is: it was in the middle of something. */
void srv_place_go_on(struct srv_tally *, struct srv_place *);
/* One has ended: the next worker whose calls wait has its turn, and hears of it. */
void srv_place_give(struct srv_tally *, struct srv_place *);
/* Wait until this worker hears of a turn that it has not heard of yet; false: that much time is
 * over. */
bool srv_tally_listen(struct srv_tally *, uint32_t *heard, uint64_t ns);

#endif
