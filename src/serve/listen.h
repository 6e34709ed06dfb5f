/* The listening socket and new connections. */
#ifndef SERVE_LISTEN_H
#define SERVE_LISTEN_H

#include "serve/loop.h"

/* Listen as the configuration says: server->listener, address, port. False with a message on
 * standard error. */
bool srv_listen_open(struct srv_server *);
/* Take what connects. */
void srv_listen_accept(struct srv_loop *);

#endif
