/* The listening sockets and new connections. */
#ifndef SERVE_LISTEN_H
#define SERVE_LISTEN_H

#include "serve/loop.h"

/* Listen as the configuration says: server->listeners. False with a message on standard error. */
bool srv_listen_open(struct srv_server *);
/* Could it? Takes no connection, from whoever listens there either; an address that is in use is no
 * mistake. server->listeners tells of all, without descriptors. */
bool srv_listen_try(struct srv_server *);
/* The loop is told of connections of that address. False: there is no memory. */
bool srv_listen_wait(struct srv_loop *, const struct srv_listener *);
/* Behind the other loops, of all workers, that wait for its next connection. */
void srv_listen_turn(struct srv_loop *, const struct srv_listener *);
/* For those addresses that a turn found no memory for: loop->deaf. */
void srv_listen_again(struct srv_loop *);
/* Take what connects. False: nobody waits. */
bool srv_listen_accept(struct srv_loop *, const struct srv_listener *);
/* A connection of the loop that is not on any list yet, counted; NULL: there are too many, or there
 * is no memory. */
struct srv_conn *srv_listen_conn(struct srv_loop *);

#endif
