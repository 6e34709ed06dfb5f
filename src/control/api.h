/* The admin interfaces over HTTP: /v1 (openapi), /api (that of 2020), the dashboard. A worker
 * forwards the request whole (PLAT_FORWARD); the routes are one table, api.def, from which the
 * router and the OpenAPI document are made. */
#ifndef CONTROL_API_H
#define CONTROL_API_H

#include <jansson.h>

#include "base/arena.h"
#include "control/control.h"

#define CTL_API_PARAMS_MAX 4
#define CTL_API_JSON_MAX (1U << 20) /* bytes of a JSON body */
#define CTL_ALL_TENANTS "*"         /* of a token: the server's operator */
#define CTL_DEFAULT_TENANT "default"

enum ctl_scope {                 /* what a route asks of a token */
                 CTL_SCOPE_NONE, /* anybody may, the handler itself looks */
                 CTL_SCOPE_ANY,  /* any token */
                 /* One of the token's own scopes. Where a path or a query names a tenant, the token
                  * must be for it, or for all. ADMIN includes the others. */
                 CTL_SCOPE_READ,
                 CTL_SCOPE_INVOKE,
                 CTL_SCOPE_DEPLOY,
                 CTL_SCOPE_STATE,
                 CTL_SCOPE_ADMIN,
                 CTL_SCOPE_OPERATOR, /* ADMIN, of all tenants */
                 CTL_SCOPE_COUNT
};

struct ctl_route;

struct ctl_request {
    struct ctl_server *server;
    const struct ctl_route *route;
    struct sv_str method, path, query, fields, body; /* path and query still encoded */
    const char *peer;
    char id[24];
    /* Whose request it is: of the path, of the query's `tenant`, or the token's; NULL: of all. */
    const char *tenant;
    const char *token;                        /* the id of the token, "" without one */
    const char *token_tenant;                 /* that it is for; NULL: there is none */
    unsigned scopes;                          /* bits 1 << enum ctl_scope of the token */
    struct sv_str params[CTL_API_PARAMS_MAX]; /* of the path's template, decoded, NUL-terminated */
    json_t *json;          /* the body, checked, where the route takes JSON; else NULL */
    struct sv_arena arena; /* lives as long as the request */
};

struct ctl_reply {
    int status;
    const char *type; /* "application/json" unless said; lives as long as the request */
    struct sv_buf body;
    struct sv_buf fields; /* further lines "name: value\r\n" */
};

/* Fills the reply in and gives 0, or fails: api.c makes an error of that, with the status that fits
 * the code (ctl_api_status). */
typedef int (*ctl_route_fn)(struct ctl_request *, struct ctl_reply *, struct sv_err *);
#define ROUTE(method, path, scope, handler, status, request, reply, summary)                       \
    int handler(struct ctl_request *, struct ctl_reply *, struct sv_err *);
#define QUERY(handler, name, type, doc)
#include "control/api.def"
#undef ROUTE
#undef QUERY

/* A field of the head, `_` and `-` alike; {NULL, 0}: absent. */
struct sv_str ctl_request_field(const struct ctl_request *, const char *name);
/* A value of the query, decoded, of the request's arena; NULL: absent, or badly encoded. */
const char *ctl_request_query(struct ctl_request *, const char *name);
/* The same as a number, which it is: the route was checked. `or`: absent. */
uint64_t ctl_request_number(struct ctl_request *, const char *name, uint64_t or);
bool ctl_request_may(const struct ctl_request *, enum ctl_scope); /* beyond the route's scope */

/* The answers; they return 0. */
int ctl_reply_json(struct ctl_reply *, int status, own json_t *); /* NULL: out of memory */
/* `{"error":{"code","message","request_id"}}`; under /api "error" is the message. */
int ctl_reply_error(struct ctl_reply *, const struct ctl_request *, int status, const char *code,
                    const char *fmt, ...) __attribute__((format(printf, 5, 6)));
void ctl_reply_field(struct ctl_reply *, const char *name, const char *value);

/* The status of HTTP for an SV_E* code, and its word. */
int ctl_api_status(int code, const char **ret_word);
/* The OpenAPI document (openapi.c). */
own json_t *ctl_openapi_new(void);
/* A new usage key for a function: as text, once (v1_function.c). */
int ctl_usage_key_new(struct ctl_server *, struct sv_err *, const char *tenant,
                      const char *function, char ret[37]);
/* Make the default tenant, if it is not there (v1.c). */
int ctl_tenant_default(struct ctl_server *, struct sv_err *);
/* 1: there is one of this name; 0: there is none. */
int ctl_tenant_exists(struct ctl_server *, struct sv_err *, const char *name);

#endif
