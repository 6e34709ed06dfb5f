/* HTTP/2: a connection whose requests are streams, each of which is a connection of its own for the
 * stages (conn.h). Knows no routes and no functions. */
#ifndef SERVE_H2_H
#define SERVE_H2_H

#include <stdbool.h>
#include <stddef.h>

#include "serve/transport.h"

#define SRV_H2_STREAMS_MAX 100    /* of a connection at once */
#define SRV_H2_WINDOW (256 << 10) /* bytes of a body that may be on their way */
#define SRV_H2_CONN_WINDOW (1 << 20)
#define SRV_H2_NOISE_MAX                                                                           \
    300 /* frames that carry nothing (resets, pings, settings, ...) in a row                       \
         */
#define SRV_H2_NOISE_PER_S 100 /* and how many are forgiven in a second */
#define SRV_H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define SRV_H2_PREFACE_LEN 24

struct srv_conn;
struct srv_loop;
struct srv_h2;

/* Whether this program was built with it. */
bool srv_h2_is_built(void);
/* The first bytes of a connection, at least one: 1 they are HTTP/2's preface, 0 they may become it,
 * -1 they are not. */
int srv_h2_is_preface(const char *bytes, size_t len);
/* The connection has begun with the preface: from now on it has conn->h2. Result as a stage. */
enum srv_step srv_h2_begin(struct srv_conn *);
/* Its socket is ready. The loop sees to it with the next srv_h2_run. */
void srv_h2_ready(struct srv_conn *);
/* Read, drive the streams, and send, for all connections that are ready. False: this thread has
 * lost its loop. */
bool srv_h2_run(struct srv_loop *);
/* The loop drains, or does so for good: each connection will tell its client (srv_h2_run). */
void srv_h2_leave(struct srv_loop *);
/* The connection is being deleted: its streams are too, but for those that are away. */
void srv_h2_close(struct srv_conn *);

#endif
