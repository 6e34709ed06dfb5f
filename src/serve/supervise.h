/* The supervisor: the process that people start, which holds the addresses and starts all others.
 * Reads no request, and nothing else that comes from outside. */
#ifndef SERVE_SUPERVISE_H
#define SERVE_SUPERVISE_H

#include "serve/server.h"

/* An exit status. argv is read again when the settings are. */
int srv_supervise(struct srv_server *, int argc, char **argv);

#endif
