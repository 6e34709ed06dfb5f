/* What `ssvm dev` puts before its server: pages get a script that reloads them when something new
 * is there, and while a build fails, navigations are answered with its words. All else goes through
 * unchanged. For one developer on this machine. */
#ifndef CLIENT_FRONT_H
#define CLIENT_FRONT_H

#include "client/client.h"

struct cln_front;

/* Listen at ADDR:PORT of this machine; NULL: 127.0.0.1:8000, or a free port where that is taken.
 * NULL is given where it fails, reported. */
own struct cln_front *cln_front_new(const char *listen);
const char *cln_front_url(const struct cln_front *);
/* Answer from now on, from the server at this port of 127.0.0.1, with threads of its own. */
bool cln_front_start(struct cln_front *, unsigned port);
/* Something new is there; open pages reload. error: what is shown instead of pages, NULL: nothing.
 */
void cln_front_set(struct cln_front *, const char *title, const char *error);

#endif
