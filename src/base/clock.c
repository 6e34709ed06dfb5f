/* Clocks of the system in nanoseconds. Knows no deadlines. */
#include "base/clock.h"

#include <time.h>

static uint64_t read_clock(clockid_t id)
{
    struct timespec t = {0};

    clock_gettime(id, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t sv_clock_ns(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t sv_clock_wall_ns(void)
{
    return read_clock(CLOCK_REALTIME);
}

uint64_t sv_clock_thread_ns(void)
{
    return read_clock(CLOCK_THREAD_CPUTIME_ID);
}
