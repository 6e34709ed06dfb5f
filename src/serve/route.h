/* Routes: the stage is in conn.h; here is what replies from elsewhere need. */
#ifndef SERVE_ROUTE_H
#define SERVE_ROUTE_H

#include "serve/conn.h"

#define SRV_ROUTE_PREFIX "/f/"
#define SRV_ROUTE_TENANT "/t/" /* TENANT/f/ */

/* Add the fields that let pages of other origins read the reply. */
void srv_route_cors(struct srv_conn *);

#endif
