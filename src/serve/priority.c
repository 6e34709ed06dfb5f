/* Priorities of threads. That the kernel refuses one is no error: all is as it was then. */
#include "serve/priority.h"

#include <sys/resource.h>

#define NICE_LONG 10 /* beyond ours: a tenth of a share of the CPU */

void srv_priority_lower(pid_t tid)
{
    /* On Linux of one thread, whatever POSIX says. */
    (void)setpriority(PRIO_PROCESS, (id_t)tid, getpriority(PRIO_PROCESS, 0) + NICE_LONG);
}
