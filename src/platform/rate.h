/* Rates of functions, which the workers of a node keep together: in shared memory that control
 * makes and tells with the table of functions. */
#ifndef PLATFORM_RATE_H
#define PLATFORM_RATE_H

#include <stdatomic.h>
#include <stdint.h>

#include "base/alloc.h" /* own */
#include "base/err.h"

/* A function's place; zero-filled: free. */
struct plat_rate {
    _Atomic uint64_t id;
    _Atomic uint64_t next_ns; /* CLOCK_MONOTONIC: when the next call is due (srv_quota_pass) */
};
struct plat_rates; /* all of them */

/* A descriptor of new ones. */
int plat_rates_new(struct sv_err *, own int *ret_fd);
/* NULL: it is none. Stays mapped: whoever has found a place may use it for ever. */
struct plat_rates *plat_rates_open(int fd);
/* The place of a function, taken when it is new; NULL: there is none left. */
struct plat_rate *plat_rates_find(struct plat_rates *, uint64_t id);

#endif
