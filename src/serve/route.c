/* The stage that decides what a request asks for. It looks at names, never into files or functions.
 */
#include "serve/route.h"

#include <string.h>

#include "serve/call.h"
#include "serve/loop.h"

#define MAX_AGE "86400" /* seconds that a browser may keep the answer to a preflight */

void srv_route_cors(struct srv_conn *conn)
{
    const char *allowed = conn->loop->server->config.cors_origin, *origin;
    struct srv_reply *reply = &conn->work->reply;
    size_t len = 0;

    if (strcmp(allowed, "none") == 0)
        return;
    if (strcmp(allowed, "*") != 0) {
        srv_reply_field_str(reply, "Vary", "Origin");
        origin = srv_http_known(&conn->work->http, conn->work->in, SRV_KNOWN_ORIGIN, &len);
        if (!origin || len != strlen(allowed) || memcmp(origin, allowed, len) != 0)
            return;
    }
    srv_reply_field_str(reply, "Access-Control-Allow-Origin", allowed);
    srv_reply_field_str(reply, "Access-Control-Expose-Headers", "Server-Timing, X-Request-Id");
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

/* /f/NAME[/...] */
static enum srv_step route_function(struct srv_conn *conn)
{
    struct srv_request *request = &conn->work->request;
    const char *name = request->path + sizeof SRV_ROUTE_PREFIX - 1,
               *end = request->path + request->path_len;
    const char *slash = memchr(name, '/', (size_t)(end - name));
    enum srv_find found;

    request->name = slash ? slash : end;
    request->name_len = (size_t)(end - request->name);
    found = srv_functions_find(&conn->loop->server->functions, name, (size_t)(request->name - name),
                               conn->loop->now_ns, &request->function, &request->version);
    if (found == SRV_FIND_NONE)
        return srv_conn_fail(conn, 404, "no_function", "there is no such function");
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

static enum srv_step route_site(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;

    work->request.site = "site";
    work->request.site_base = conn->loop->server->root;
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
    if (work->http.has_length && work->http.length > srv_forward_body_max(conn))
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
    const struct srv_config *config = &conn->loop->server->config;
    const char *why;
    bool function;

    if (work->in[work->http.path.at] == '*')
        return answer_options(conn, true);
    if (srv_forward_wants(conn))
        return route_forward(conn);
    why = srv_path_normalise(work->in + work->http.path.at, work->http.path.len, request->path,
                             &request->path_len);
    if (why)
        return srv_conn_fail(conn, work->http.path.len >= SRV_PATH_MAX ? 414 : 400, "bad_path",
                             why);
    request->query = work->in + work->http.query.at;
    request->query_len = work->http.query.len;
    function = strncmp(request->path, SRV_ROUTE_PREFIX, sizeof SRV_ROUTE_PREFIX - 1) == 0;
    request->route = function ? SRV_ROUTE_FUNCTION : SRV_ROUTE_SITE;
    if (work->http.has_length && work->http.length > config->body)
        return srv_conn_fail(conn, 413, "body_too_large",
                             "the body is larger than this server accepts");
    if (work->http.method == SRV_METHOD_OPTIONS)
        return answer_options(conn, function);
    return function ? route_function(conn) : route_site(conn);
}
