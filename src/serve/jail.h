/* The jail of a worker: what it may still ask of the kernel once it runs guests. */
#ifndef SERVE_JAIL_H
#define SERVE_JAIL_H

#include "serve/server.h"

/* For good; all threads that are started later inherit it. Before the first thread, and after
 * everything that needs opening but DIR, the data folder and native code. False with a message on
 * standard error. */
bool srv_jail_enter(const struct srv_server *, const char *cache_dir);
/* The hidden role that tries to get out: prints one line for each attempt, gives an exit status. */
int srv_jail_try(const struct srv_server *);

#endif
