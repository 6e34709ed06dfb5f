/* Rows of api.def as data, for those who read the table. */
#ifndef CONTROL_ROUTE_H
#define CONTROL_ROUTE_H

#include "control/api.h"

struct ctl_route {
    const char *method, *path;
    enum ctl_scope scope;
    ctl_route_fn handler;
    const char *name; /* of the handler */
    int status;       /* of success */
    const char *request, *reply, *summary;
};

struct ctl_query {
    ctl_route_fn handler;
    const char *name, *type, *doc;
};

const struct ctl_route *ctl_routes(size_t *ret_count);
/* The n-th of the route's; NULL: there are no more. */
const struct ctl_query *ctl_route_query(const struct ctl_route *, unsigned n);

#endif
