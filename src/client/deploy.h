/* Publishing a version. */
#ifndef CLIENT_DEPLOY_H
#define CLIENT_DEPLOY_H

#include "client/server.h"

struct cln_deploy {
    unsigned weight;   /* its share of the requests, of 10000; 0: all of them, unless: */
    bool no_requests;  /* but by alias, number and digest */
    bool no_native;    /* interpreted at first: it is sooner there */
    const char *alias; /* NULL: none */
};
/* The module, ssvm.yaml and the static files to the server. 0 with its answer (NULL where it is no
 * JSON); else the reasons are told, and those of the server put into `why` (NULL is allowed). */
int cln_deploy_send(struct cln_server *, const struct cln_project *, const struct cln_deploy *,
                    json_t **ret_json, struct sv_buf *why);

#endif
