/* A worker: the process that answers requests. Also what is done without one: --check. */
#ifndef SERVE_WORKER_H
#define SERVE_WORKER_H

#include "serve/server.h"

#define SRV_TEST_CRASH                                                                             \
    "SSVM_TEST_CRASH"                  /* environment: the path whose request crashes a worker     \
                                        */
#define SRV_TEST_HANG "SSVM_TEST_HANG" /* likewise, whose request stops an event loop */
#define SRV_TEST_COMPILE "SSVM_TEST_COMPILE" /* the ms that a compiler may take */

/* What the supervisor gives it. */
struct srv_role {
    enum { SRV_ROLE_SUPERVISOR, SRV_ROLE_WORKER, SRV_ROLE_JAIL } kind;
    int link, control, records, tickets, tally; /* descriptors; -1 = none */
    int slot;                                   /* the worker's, in the tally */
    int door;           /* of one tenant's worker: see isolated.h; else -1 */
    const char *tenant; /* that it is of; NULL: of all */
    bool announce;      /* print the functions: the first of all */
    bool test;          /* of the supervisor: the tests' environment is heard */
};

/* The rest of `--role=...`, a hidden argument; listeners go to server->inherited. False:
 * it is none. */
bool srv_role_read(struct srv_role *, struct srv_server *, const char *text);

/* An exit status. */
int srv_worker_run(struct srv_server *, const struct srv_role *);
/* Validate the functions, and the files and addresses that settings name; print functions and
 * settings. */
int srv_worker_check(struct srv_server *);
/* Is DIR a folder that can be served? Opens it. False with a message on standard error. */
bool srv_worker_open_root(struct srv_server *);

#endif
