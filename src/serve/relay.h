/* Requests of tenants with a process of their own: handed on to that process, over a connection
 * between the two, and its reply handed back. Both go on while they come; the loop's thread does
 * all of it. What the other side says is not trusted: it may have been taken over by its guest.
 *
 * A process that ends takes with it what its guest has begun. What it has not begun, by the token
 * of the connection (isolated.h), is handed to the next one: to three processes at most, and not
 * when more of a body that comes while it goes has been sent than is kept here. */
#ifndef SERVE_RELAY_H
#define SERVE_RELAY_H

#include "serve/conn.h"

/* The stage: AWAY, or REPLY with the refusal. */
enum srv_step srv_relay_stage(struct srv_conn *);
/* By a thread that may wait: get a connection for the request, or make the reply that refuses. */
void srv_relay_ask(struct srv_conn *);
/* The other side's connection is ready. Result as srv_conn_drive. */
enum srv_step srv_relay_ready(struct srv_conn *, uint32_t events);
/* Something has happened to a request that is being handed on: its client, or its stream. */
void srv_relay_turn(struct srv_conn *);
/* The other side's connection is being deleted. */
void srv_relay_close(struct srv_conn *);
/* One without a connection. */
void srv_relay_delete(own struct srv_relay *);
/* The server ends without waiting any longer. */
void srv_relay_cancel(struct srv_loop *);

#endif
