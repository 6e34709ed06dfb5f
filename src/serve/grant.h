/* What functions may use beside WASI: inference and pictures, as the settings say, and
 * native commands. */
#ifndef SERVE_GRANT_H
#define SERVE_GRANT_H

#include "ssvm.h"

#include "serve/config.h"

struct srv_server;

struct srv_grant {
    ssvm_nn *nn;                   /* NULL: no inference */
    struct srv_commands *commands; /* command.h */
    bool image;
    struct srv_server *server;
};

/* By the settings of the server; opens the first backend that works, so that no request waits for
 * it. A backend that is missing is told on standard error and in what functions log, and is no
 * error. For one tenant's functions the supervisor starts the processes of libraries, and none
 * before it is needed. NULL: fine, else why not. */
own ssvm_error *srv_grant_init(struct srv_grant *, struct srv_server *);
void srv_grant_release(struct srv_grant *);
/* Whose `_initialize` this thread runs, for no request; NULL: nobody's any more. For the log. */
void srv_grant_name(const char *function);
/* What a function of the registry may be granted by its manifest, of what the server has. */
enum srv_grant_part {
    SRV_GRANT_NN = 1,
    SRV_GRANT_IMAGE = 2,
    SRV_GRANT_ALL = 3, /* of functions of DIR/functions, which have no manifest */
    SRV_GRANT_PROCESS = 4,
    SRV_GRANT_SOCKETS = 8
};
#define SRV_GRANT_STATE 8 /* bits before those of enum ssvm_state_parts: the registry's alone */
#define SRV_GRANT_THREADS                                                                          \
    20 /* bits before the number of threads beside the first; the last part                        \
        */
/* Define these parts in a linker. NULL is an empty grant. */
own ssvm_error *srv_grant_define(const struct srv_grant *, unsigned parts, ssvm_linker *);

#endif
