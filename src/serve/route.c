/* The stage that decides what a request asks for. It looks at names, never into files or functions.
 */
#include "serve/route.h"

#include <string.h>

#include "base/sha256.h"
#include "platform/record.h"
#include "serve/call.h"
#include "serve/faas.h"
#include "serve/isolated.h"
#include "serve/link.h"
#include "serve/loop.h"
#include "serve/registry.h"

#define MAX_AGE "86400" /* seconds that a browser may keep the answer to a preflight */

void srv_route_cors(struct srv_conn *conn)
{
    const struct srv_request *request = &conn->work->request;
    const char *allowed = conn->loop->server->config.cors_origin, *origin;
    struct srv_reply *reply = &conn->work->reply;
    size_t len = 0;

    if (request->registered && request->registered->cors.len > 0)
        allowed = plat_table_text(request->table, request->registered->cors).ptr;
    if (strcmp(allowed, "none") == 0)
        return;
    if (strcmp(allowed, "*") != 0) {
        srv_reply_field_str(reply, "Vary", "Origin");
        origin = srv_http_known(&conn->work->http, conn->work->in, SRV_KNOWN_ORIGIN, &len);
        if (!origin || len != strlen(allowed) || memcmp(origin, allowed, len) != 0)
            return;
    }
    srv_reply_field_str(reply, "Access-Control-Allow-Origin", allowed);
    SRV_REPLY_LINE(reply, "Access-Control-Expose-Headers: Server-Timing, X-Request-Id");
}

/* OPTIONS: what may be done, and the answer to a browser's preflight. */
static enum srv_step answer_options(struct srv_conn *conn, bool function)
{
    struct srv_work *work = conn->work;
    size_t len = 0;
    const char *method = srv_http_known(&work->http, work->in, SRV_KNOWN_REQUEST_METHOD, &len);
    const char *fields;

    work->reply.status = 204;
    srv_reply_field_str(&work->reply, "Allow",
                        function ? "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
                                 : "GET, HEAD, OPTIONS");
    if (!function || !method)
        return SRV_STEP_REPLY;
    srv_reply_field_str(&work->reply, "Access-Control-Allow-Methods",
                        "GET, HEAD, POST, PUT, PATCH, DELETE");
    fields = srv_http_known(&work->http, work->in, SRV_KNOWN_REQUEST_HEADERS, &len);
    if (fields && len <= SRV_REPLY_FIELDS_MAX / 2)
        srv_reply_field(&work->reply, "Access-Control-Allow-Headers", fields, len);
    srv_reply_field_str(&work->reply, "Access-Control-Max-Age", MAX_AGE);
    return SRV_STEP_REPLY;
}

/* ---- Functions ---- */

/* Takes the same time whatever the client shows. */
static bool has_key(const struct srv_conn *conn)
{
    const struct srv_request *request = &conn->work->request;
    uint8_t digest[SV_SHA256_LEN];
    size_t len = 0;
    const char *key;

    if (!request->registered || !(request->registered->flags & PLAT_FUNCTION_KEYED))
        return true;
    if (!conn->listener) /* not a client's */
        return srv_isolated_may_call(conn,
                                     plat_table_text(request->table, request->registered->name));
    key = srv_http_field(&conn->work->http, conn->work->in, "SSVM-Usage-Key", &len);
    sv_sha256(key ? key : "", len, digest);
    return sv_secret_eq(digest, request->registered->key, sizeof digest);
}

/* May this request be made, of a function that was found? */
static enum srv_step admit(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_request *request = &work->request;
    unsigned wait_s;
    char text[16];

    if (!has_key(conn))
        return srv_conn_fail(conn, 401, "usage_key", "the function's usage key is needed");
    wait_s = srv_quota_pass(&request->function->quota, request->limits.rate, conn->loop->now_ns);
    if (wait_s == 0)
        return SRV_STEP_NEXT;
    srv_conn_fail(conn, 429, "rate_limit", "the function is called too often; try again shortly");
    srv_reply_field(&work->reply, "Retry-After", text, srv_format_u64(text, wait_s));
    return SRV_STEP_REPLY;
}

/* A function was found, or not; the request's name is behind it. */
static enum srv_step enter_function(struct srv_conn *conn, enum srv_find found)
{
    struct srv_request *request = &conn->work->request;
    enum srv_step step;

    if (found == SRV_FIND_NONE)
        return srv_conn_fail(conn, 404, "no_function", "there is no such function");
    if (found == SRV_FIND_AWAY) { /* the process that runs it decides */
        request->route = SRV_ROUTE_RELAY;
        return SRV_STEP_NEXT;
    }
    step = admit(conn);
    if (step != SRV_STEP_NEXT)
        return step;
    request->load = found == SRV_FIND_LOAD;
    if (request->load) {
        request->slow = true;
        return SRV_STEP_NEXT;
    }
    if (!srv_call_resolve(conn))
        return SRV_STEP_REPLY;
    request->slow =
        atomic_load_explicit(&request->export->mean_us, memory_order_relaxed) > SRV_SLOW_US;
    return SRV_STEP_NEXT;
}

/* NAME[@WHICH][/...] behind /f/ or /t/TENANT/f/. */
static enum srv_find find_named(struct srv_conn *conn, struct sv_str tenant, const char *name)
{
    struct srv_request *request = &conn->work->request;
    const char *end = request->path + request->path_len, *at;
    const char *slash = memchr(name, '/', (size_t)(end - name));
    struct sv_str which = {"", 0};
    enum srv_find found;

    request->name = slash ? slash : end;
    request->name_len = (size_t)(end - request->name);
    at = memchr(name, '@', (size_t)(request->name - name));
    if (at)
        which = (struct sv_str){at + 1, (size_t)(request->name - at) - 1};
    if (at && which.len == 0)
        return SRV_FIND_NONE;
    found = srv_registry_find(
        conn, tenant, (struct sv_str){name, (size_t)((at ? at : request->name) - name)}, which);
    if (found != SRV_FIND_NONE || at || !sv_str_eq(tenant, sv_str_of(SRV_TENANT_DEFAULT)))
        return found;
    return srv_functions_find(&conn->loop->server->functions, name, (size_t)(request->name - name),
                              conn->loop->now_ns, &request->function, &request->version);
}

/* /t/TENANT/f/NAME...; NULL: it is no such path. */
static const char *tenant_path(const struct srv_request *request, struct sv_str *ret_tenant)
{
    const char *tenant = request->path + sizeof SRV_ROUTE_TENANT - 1,
               *end = request->path + request->path_len;
    const char *slash = memchr(tenant, '/', (size_t)(end - tenant));

    if (!slash || (size_t)(end - slash) < sizeof SRV_ROUTE_PREFIX - 1 ||
        memcmp(slash, SRV_ROUTE_PREFIX, sizeof SRV_ROUTE_PREFIX - 1) != 0)
        return NULL;
    *ret_tenant = (struct sv_str){tenant, (size_t)(slash - tenant)};
    return slash + sizeof SRV_ROUTE_PREFIX - 1;
}

/* The Host field without its port. */
static struct sv_str find_host(const struct srv_work *work)
{
    size_t len = 0, n;
    const char *host = srv_http_known(&work->http, work->in, SRV_KNOWN_HOST, &len);

    for (n = len; n > 0 && host[n - 1] >= '0' && host[n - 1] <= '9'; n--)
        ;
    return (struct sv_str){host, n > 1 && host[n - 1] == ':' ? n - 1 : len};
}

/* By a manifest. The path behind the route's own is the function's, or the site's. */
static enum srv_find find_routed(struct srv_conn *conn)
{
    struct srv_request *request = &conn->work->request;
    struct sv_str route;
    enum srv_find found = srv_registry_find_route(
        conn, find_host(conn->work), (struct sv_str){request->path, request->path_len}, &route);

    if (found == SRV_FIND_NONE)
        return found;
    while (route.len > 0 && route.ptr[route.len - 1] == '/')
        route.len--;
    if (route.len > request->path_len)
        route.len = request->path_len;
    request->mount = route.len;
    if (found == SRV_FIND_SITE)
        return found;
    request->name = request->path + route.len;
    request->name_len = request->path_len - route.len;
    if (found != SRV_FIND_AWAY && request->registered->handler.len > 0)
        request->handler = plat_table_text(request->table, request->registered->handler).ptr;
    return found;
}

/* What a path is of: a function (that may not be there), or a file. */
static bool find_function(struct srv_conn *conn, enum srv_find *ret)
{
    struct srv_request *request = &conn->work->request;
    const char *path = request->path, *name;
    struct sv_str tenant = {SRV_TENANT_DEFAULT, sizeof SRV_TENANT_DEFAULT - 1};

    if (strncmp(path, SRV_ROUTE_PREFIX, sizeof SRV_ROUTE_PREFIX - 1) == 0) {
        *ret = find_named(conn, tenant, path + sizeof SRV_ROUTE_PREFIX - 1);
        return true;
    }
    if (strncmp(path, SRV_ROUTE_TENANT, sizeof SRV_ROUTE_TENANT - 1) == 0 &&
        (name = tenant_path(request, &tenant))) {
        *ret = find_named(conn, tenant, name);
        return true;
    }
    if (strncmp(path, SRV_FAAS_PREFIX, sizeof SRV_FAAS_PREFIX - 1) == 0 &&
        srv_link_has_control(conn->loop->server)) {
        *ret = srv_faas_find(conn);
        return true;
    }
    *ret = find_routed(conn);
    return *ret != SRV_FIND_NONE && *ret != SRV_FIND_SITE;
}

static enum srv_step route_site(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;

    if (!work->request.site) {
        work->request.site = "site";
        work->request.site_base = conn->loop->server->root;
    }
    if (work->http.method == SRV_METHOD_GET || work->http.method == SRV_METHOD_HEAD)
        return SRV_STEP_NEXT;
    srv_conn_fail(conn, 405, "method_not_allowed", "files are read with GET");
    srv_reply_field_str(&work->reply, "Allow", "GET, HEAD, OPTIONS");
    return SRV_STEP_REPLY;
}

static bool is_preflight(const struct srv_conn *conn)
{
    size_t len;

    return srv_http_known(&conn->work->http, conn->work->in, SRV_KNOWN_REQUEST_METHOD, &len);
}

/* The admin interfaces: control has their routes. */
static enum srv_step route_forward(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;

    work->request.route = SRV_ROUTE_FORWARD;
    work->request.limits.body = srv_forward_body_max(conn);
    if (work->http.has_length && work->http.length > work->request.limits.body)
        return srv_conn_fail(conn, 413, "body_too_large",
                             "the body is larger than this server accepts");
    if (work->http.method == SRV_METHOD_OPTIONS && srv_forward_is_open(conn) && is_preflight(conn))
        return answer_options(conn, true);
    return SRV_STEP_NEXT;
}

enum srv_step srv_route_stage(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_request *request = &work->request;
    const char *why;
    enum srv_find found = SRV_FIND_NONE;
    bool function;

    if (work->in[work->http.path.at] == '*')
        return answer_options(conn, true);
    if (srv_forward_wants(conn))
        return route_forward(conn);
    if (conn->listener && conn->listener->admin)
        return srv_conn_fail(conn, 404, "not_found", "this address is for the server's operators");
    why = srv_path_normalise(work->in + work->http.path.at, work->http.path.len, request->path,
                             &request->path_len);
    if (why)
        return srv_conn_fail(conn, work->http.path.len >= SRV_PATH_MAX ? 414 : 400, "bad_path",
                             why);
    request->query = work->in + work->http.query.at;
    request->query_len = work->http.query.len;
    function = find_function(conn, &found);
    request->route = function ? SRV_ROUTE_FUNCTION : SRV_ROUTE_SITE;
    if (work->http.has_length && work->http.length > request->limits.body)
        return srv_conn_fail(conn, 413, "body_too_large",
                             "the body is larger than this server accepts");
    if (work->http.method == SRV_METHOD_OPTIONS)
        return answer_options(conn, function);
    return function ? enter_function(conn, found) : route_site(conn);
}
