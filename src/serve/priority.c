/* Priorities of threads. That the kernel refuses one is no error: all is as it was then. */
#include "serve/priority.h"

#include <sys/resource.h>

#define NICE_LONG 10  /* beyond ours: a tenth of a share of the CPU */
#define NICE_URGENT 5 /* before ours */
#define NICE_ZERO 20  /* what RLIMIT_NICE calls 0 */

static int usual; /* of the process; set before there are threads */

void srv_priority_init(void)
{
    usual = getpriority(PRIO_PROCESS, 0);
}

void srv_priority_allow(void)
{
    struct rlimit limit;
    rlim_t wanted = (rlim_t)(NICE_ZERO + NICE_URGENT - getpriority(PRIO_PROCESS, 0));

    if (getrlimit(RLIMIT_NICE, &limit) < 0 || limit.rlim_cur >= wanted)
        return;
    limit.rlim_cur = wanted;
    if (limit.rlim_max < wanted)
        limit.rlim_max = wanted;
    (void)setrlimit(RLIMIT_NICE, &limit);
}

/* On Linux of one thread, whatever POSIX says. */
static bool set(pid_t tid, int nice)
{
    return setpriority(PRIO_PROCESS, (id_t)tid, nice) == 0;
}

void srv_priority_lower(pid_t tid)
{
    (void)set(tid, usual + NICE_LONG);
}

bool srv_priority_reset(pid_t tid)
{
    return set(tid, usual);
}

void srv_priority_raise(pid_t tid)
{
    (void)(set(tid, usual - NICE_URGENT) || set(tid, usual));
}
