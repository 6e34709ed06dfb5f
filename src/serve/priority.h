/* Which thread goes first when there are more than cores: those that many wait for, before calls
 * that are known to be long. Without privileges: priority is only ever given up. */
#ifndef SERVE_PRIORITY_H
#define SERVE_PRIORITY_H

#include <sys/types.h>

/* Below the calling thread, for good: that one makes long calls from now on. */
void srv_priority_lower(pid_t tid);

#endif
