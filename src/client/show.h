/* Showing what a server tells. */
#ifndef CLIENT_SHOW_H
#define CLIENT_SHOW_H

#include "client/server.h"

/* The versions of a Function that get requests. */
void cln_show_targets(json_t *function);
/* Lines of the log as they come, from now on, until the server is gone; not of requests that went
 * well. */
void cln_follow_logs(struct cln_server *);

#endif
