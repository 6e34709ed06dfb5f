/* TLS: certificates, and the transport that carries HTTP inside of it. Knows no HTTP. */
#ifndef SERVE_TLS_H
#define SERVE_TLS_H

#include <stdbool.h>

struct srv_conn;
struct srv_server;
struct srv_tls;

/* Read certificate and key as the configuration names them, when an address is to be served with
 * TLS: server->tls. False with a message on standard error. Files that change later are read anew:
 * a jail must allow reading the folders of both. */
bool srv_tls_init(struct srv_server *);
void srv_tls_release(struct srv_server *);
/* A new connection on a socket: from now on it speaks TLS. False: there is no memory. */
bool srv_tls_begin(struct srv_conn *);

#endif
