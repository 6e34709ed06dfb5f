/* The admin interfaces over HTTP: /v1 (openapi), /api (that of 2020), the dashboard. A worker
 * forwards the request whole (PLAT_FORWARD); the routes are one table, api.def, from which the
 * router and the OpenAPI document are made. */
#ifndef CONTROL_API_H
#define CONTROL_API_H

#include <jansson.h>

#include "control/control.h"

enum ctl_scope {                 /* what a token may do; of one tenant, but for ADMIN */
                 CTL_SCOPE_NONE, /* anybody */
                 CTL_SCOPE_READ,
                 CTL_SCOPE_INVOKE,
                 CTL_SCOPE_DEPLOY,
                 CTL_SCOPE_STATE,
                 CTL_SCOPE_ADMIN,
                 CTL_SCOPE_COUNT
};

struct ctl_request {
    struct ctl_server *server;
    struct sv_str method, path, query, fields, body;
    const char *peer;
    char id[24];
    const char *tenant;      /* that the token is for; "default" without one */
    enum ctl_scope scope;    /* checked already against the route's */
    struct sv_str params[4]; /* of the path's template, percent-decoded */
};

struct ctl_reply {
    int status;
    const char *type; /* "application/json" unless said */
    struct sv_buf body;
    struct sv_buf fields; /* further lines "name: value\r\n" */
};

typedef int (*ctl_route_fn)(struct ctl_request *, struct ctl_reply *, struct sv_err *);

struct sv_str ctl_request_field(const struct ctl_request *,
                                const char *name); /* `_` and `-` alike */
own char *ctl_request_query(const struct ctl_request *,
                            const char *name); /* decoded; NULL: absent */
/* The answers; they return 0. */
int ctl_reply_json(struct ctl_reply *, int status, own json_t *);
int ctl_reply_error(struct ctl_reply *, const struct ctl_request *, int status, const char *code,
                    const char *fmt, ...) __attribute__((format(printf, 5, 6)));

#endif
