/* Clocks. */
#ifndef SV_BASE_CLOCK_H
#define SV_BASE_CLOCK_H

#include <stdint.h>

uint64_t sv_clock_ns(void);        /* monotonic */
uint64_t sv_clock_wall_ns(void);   /* since 1970 */
uint64_t sv_clock_thread_ns(void); /* CPU time of this thread */

/* Milliseconds since 1970, as databases keep times. */
static inline int64_t sv_clock_wall_ms(void)
{
    return (int64_t)(sv_clock_wall_ns() / 1000000);
}

#endif
