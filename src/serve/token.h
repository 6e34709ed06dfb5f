/* The token of a connection between a worker and a tenant's process (isolated.h): one place that
 * either of them can put something into and take it out of. A word in memory that both map, because
 * each of them may be in its guest's hands: of a descriptor that both have, one can change how the
 * other's reads and writes behave, and so make it wait for ever. */
#ifndef SERVE_TOKEN_H
#define SERVE_TOKEN_H

#include <stdbool.h>

#include "base/alloc.h"

struct srv_token;

/* A descriptor of one, without anything in it, for both to open; -1: errno. */
own int srv_token_new(void);
/* Takes the descriptor. NULL: no memory, or it is of none. */
own struct srv_token *srv_token_open(own int fd);
void srv_token_close(own struct srv_token *);
void srv_token_put(struct srv_token *);
/* False: it is not there (any more). Never waits. */
bool srv_token_take(struct srv_token *);

#endif
