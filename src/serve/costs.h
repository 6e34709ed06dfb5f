/* Tables of costs of the server: all of them are checked when it starts or is reloaded. Functions
 * that are deployed got theirs then; those of DIR/functions have the default tenant's. */
#ifndef SERVE_COSTS_H
#define SERVE_COSTS_H

#include "serve/server.h"

/* Before the jail. False: a table is wrong, or cannot be read; said on standard error. */
bool srv_costs_open(struct srv_server *);

#endif
