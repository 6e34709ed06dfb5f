/* Clocks. Coarse ones for tenants that are not trusted: a fine timer is half of a side channel. */
#include "host/wasi/vfs.h"

#define COARSE_NS 1000000u

static const clockid_t host_clocks[SV_WASI_CLOCK_COUNT] = {
    [SV_WASI_CLOCK_REALTIME] = CLOCK_REALTIME,
    [SV_WASI_CLOCK_MONOTONIC] = CLOCK_MONOTONIC,
    [SV_WASI_CLOCK_PROCESS] = CLOCK_PROCESS_CPUTIME_ID,
    [SV_WASI_CLOCK_THREAD] = CLOCK_THREAD_CPUTIME_ID,
};

static uint64_t to_ns(const struct timespec *ts)
{
    return ts->tv_sec < 0 ? 0 : (uint64_t)ts->tv_sec * 1000000000u + (uint64_t)ts->tv_nsec;
}

int sv_wasi_clock_res_get(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct timespec ts;
    uint64_t ns;

    if (arg[0].i32 >= SV_WASI_CLOCK_COUNT)
        return SV_WASI_EINVAL;
    if (clock_getres(host_clocks[arg[0].i32], &ts) != 0)
        return sv_wasi_errno(errno);
    ns = to_ns(&ts);
    if (w->coarse_clock && ns < COARSE_NS)
        ns = COARSE_NS;
    return sv_wasi_put_u64(c, arg[1].i32, ns);
}

int sv_wasi_clock_time_get(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct timespec ts;
    uint64_t ns;

    if (arg[0].i32 >= SV_WASI_CLOCK_COUNT)
        return SV_WASI_EINVAL;
    if (clock_gettime(host_clocks[arg[0].i32], &ts) != 0)
        return sv_wasi_errno(errno);
    ns = to_ns(&ts);
    if (w->coarse_clock)
        ns -= ns % COARSE_NS;
    return sv_wasi_put_u64(c, arg[2].i32, ns);
}
