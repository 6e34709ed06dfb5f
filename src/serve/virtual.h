/* Requests without a socket: made in memory by cron, the queue, other functions and forwarders,
 * they go through the same stages as those of clients, and their reply comes to a callback. */
#ifndef SERVE_VIRTUAL_H
#define SERVE_VIRTUAL_H

#include "serve/server.h"

struct srv_virtual {
    const char *method;   /* "POST" */
    const char *target;   /* "/f/hello/say?a=b", as in a request line */
    const char *host;     /* NULL: "localhost" */
    const char *fields;   /* further lines "name: value\r\n"; no Host, Content-Length, Connection */
    size_t nfields;       /* bytes of them */
    const char *peer;     /* the client's address; NULL: 127.0.0.1 */
    int trigger;          /* enum plat_trigger, for the ledger */
    unsigned depth;       /* of calls inside of calls */
    uint64_t deadline_ns; /* the caller's; 0: none */
    own char *body;       /* of malloc, taken when the request is; NULL: none */
    size_t body_len;
    /* The reply: `fields` has Content-Type too. Everything is borrowed for the call, which comes
     * once, from the loop's thread, and must not wait. */
    void (*done)(void *data, int status, const char *fields, size_t nfields, const char *body,
                 size_t body_len);
    void *data;
};

/* Begin a request on `loop`, which must not have drained (a call that runs there sees to it), or on
 * any (NULL). Any thread. False: the server has no room for it or is about to end; `done` is not
 * called then, and the body stays the caller's. Strings are copied. */
bool srv_conn_virtual(struct srv_server *, struct srv_loop *loop, const struct srv_virtual *);

#endif
