/* Which thread goes first when there are more than cores: those that many wait for, before calls
 * that are known to be long. Giving priority up needs no privilege; having it back needs a limit
 * (RLIMIT_NICE) that who started us set, or the supervisor where it may. */
#ifndef SERVE_PRIORITY_H
#define SERVE_PRIORITY_H

#include <stdbool.h>
#include <sys/types.h>

/* In a worker, before it has threads. */
void srv_priority_init(void);
/* In the supervisor, for its children: let them raise priorities, where we may. */
void srv_priority_allow(void);
/* Below all others, for as long as nothing raises it: that thread makes a long call. */
void srv_priority_lower(pid_t tid);
/* As the process's: threads begin with what their maker has. False: it is not allowed. */
bool srv_priority_reset(pid_t tid);
/* Above all others, where that is allowed: what it has to do is short, and due. */
void srv_priority_raise(pid_t tid);

#endif
