/* What carries a connection: a socket, TLS on a socket, a stream of HTTP/2, or memory. The stages
 * (conn.h) are the same for all; each kind is one table of functions. Knows nothing of what is
 * carried. */
#ifndef SERVE_TRANSPORT_H
#define SERVE_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "ssvm.h" /* own */

struct srv_conn;

/* What a stage says. */
enum srv_step {
    SRV_STEP_NEXT,
    SRV_STEP_WAIT,  /* the connection must become readable or writable first; the stage is entered
                       again */
    SRV_STEP_REPLY, /* the reply is ready: go to the stage that sends it */
    SRV_STEP_AGAIN, /* this request is over: begin with the next one */
    SRV_STEP_AWAY,  /* another thread works on the request and will give it back */
    SRV_STEP_GONE,  /* this thread has lost its loop and must touch neither it nor the connection */
    SRV_STEP_CLOSE
};

struct srv_transport {
    const char *protocol; /* SERVER_PROTOCOL; NULL: HTTP/1 with the request's minor version */
    /* Instead of reading a head: it is there. As srv_conn_put_head. NULL: read it. */
    enum srv_step (*begin)(struct srv_conn *);
    /* A head was read: take what of it is the transport's. False: it is none of its kind. NULL: it
     * takes nothing. */
    bool (*headed)(struct srv_conn *);
    /* Bytes read without waiting, or 0: nothing more now, or ever. Keeps conn->readable, ended and
     * lost. NULL: bodies are given (srv_body_take). */
    size_t (*receive)(struct srv_conn *, char *to, size_t room);
    /* Send what the socket takes; `more`: more follows at once. Bytes, or -1 with errno. */
    ssize_t (*send)(struct srv_conn *, const struct iovec *parts, unsigned nparts, bool more);
    /* Send from a file: bytes, 0 when it has become shorter, or -1 with errno. */
    ssize_t (*send_file)(struct srv_conn *, int file, int64_t offset, size_t len);
    /* Instead of both: the whole reply is there, or more of its body. NEXT: all of it is taken. */
    enum srv_step (*reply)(struct srv_conn *);
    /* Replies must be complete: none goes while its function runs. */
    bool whole;
    /* A function has taken so many bytes of a body, of which at most `window` may wait. NULL: they
     * are read when there is room. */
    void (*taken)(struct srv_conn *, size_t len);
    size_t window;
    /* `100 Continue`. 1; 0: not now; -1: the client is gone. */
    int (*go_on)(struct srv_conn *);
    /* Bytes given to `send` that the client has not taken yet. */
    int (*unsent)(const struct srv_conn *);
    /* Nothing more will be sent. */
    void (*end)(struct srv_conn *);
    /* The connection is being deleted. */
    void (*close)(struct srv_conn *);
};

extern const struct srv_transport srv_transport_plain;

/* ---- For transports on a socket ---- */

/* As `receive` and `send`, on conn->fd. The first keeps conn->socket_readable, and gives -1 with
 * EAGAIN where it is not set. */
ssize_t srv_socket_receive(struct srv_conn *, void *to, size_t room);
ssize_t srv_socket_send(struct srv_conn *, const struct iovec *parts, unsigned nparts, bool more);

#endif
