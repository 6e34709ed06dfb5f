/* The worker of one tenant (isolation 'process'): its connections come from the other workers,
 * which have read the requests of clients (relay.h), through a door that the supervisor keeps. What
 * such a request says of its client is a field of its own, the last one:
 *
 *     SSVM-Inner: ID PEER PEER-PORT PORT FLAGS TRIGGER DEPTH DEADLINE
 *
 * and what a reply says of the call is SSVM-Inner: RUN WAIT GAS MEMORY CODE.
 *
 * With a connection comes its token (token.h). The other side puts one there with each request; who
 * takes it may run the request: this process when the function is about to begin, or the other side
 * when the connection breaks, to hand the request to another process. So no function runs twice for
 * one request, and what was not begun is not lost. */
#ifndef SERVE_ISOLATED_H
#define SERVE_ISOLATED_H

#include <signal.h>

#include "base/str.h"
#include "serve/conn.h"
#include "serve/server.h"

#define SRV_INNER_FIELD "SSVM-Inner"
#define SRV_INNER_MAX 256 /* bytes of its value */

enum srv_inner_flag {
    SRV_INNER_CLIENT = 1, /* somebody outside asks: he may need a key */
    SRV_INNER_TLS = 2,
    SRV_INNER_WHOLE = 4, /* the reply must be complete */
    SRV_INNER_H2 = 8,
    SRV_INNER_OLD = 16, /* HTTP/1.0 */
};

/* The settings of such a worker; before all parts. */
void srv_isolated_settle(struct srv_server *);
/* The door as the one address. */
void srv_isolated_listen(struct srv_server *, int door);
/* As accept4, at the door. *ret_token: of the connection; -1: it has none, and is refused. */
own int srv_isolated_accept(const struct srv_listener *, own int *ret_token);
/* A connection from there. False: no memory, or no token; which is closed. */
bool srv_isolated_begin(struct srv_conn *, own int token);
/* The request's function is about to begin. False: the request is not ours any more. */
bool srv_isolated_start(const struct srv_conn *);
/* What passes are known by from now on; of another length: nothing. */
void srv_isolated_trust(struct srv_server *, struct sv_str secret);
/* Is a request that is no client's for this function the tenant's own, or control's? */
bool srv_isolated_may_call(const struct srv_conn *, struct sv_str function);
/* Add what the other side's log tells of the call. */
void srv_isolated_tell(struct srv_conn *);
/* A line about what a host function did for the function (NULL: not known), into control's log:
 * here is no other. */
void srv_isolated_note(struct srv_server *, const char *function, const char *line);
/* Wait for a signal, its number; 0: nobody has asked for anything for a while. */
int srv_isolated_wait(struct srv_server *, const sigset_t *);
/* A module of the tenant. Negative: there is none. */
own int srv_isolated_module(struct srv_server *, const uint8_t *ready, const char **ret_why);

#endif
