/* The router of the admin interfaces: from a forwarded request to a route's handler, by api.def. */
#include "control/api.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "control/dispatch.h"
#include "control/faas.h"
#include "control/log.h"
#include "control/part.h"
#include "control/route.h"
#include "control/shape.h"
#include "control/token.h"

#define REPLY_MAX (1U << 29) /* bytes */
#define FIELDS_MAX 4096

static const struct ctl_route routes[] = {
#define ROUTE(method, path, scope, handler, status, request, reply, summary)                       \
    {#method, path, CTL_SCOPE_##scope, handler, #handler, status, #request, #reply, summary},
#define QUERY(handler, name, type, doc)
#include "control/api.def"
#undef ROUTE
#undef QUERY
};

static const struct ctl_query queries[] = {
#define ROUTE(method, path, scope, handler, status, request, reply, summary)
#define QUERY(handler, name, type, doc) {handler, name, type, doc},
#include "control/api.def"
#undef ROUTE
#undef QUERY
};

const struct ctl_route *ctl_routes(size_t *ret_count)
{
    *ret_count = SV_COUNT(routes);
    return routes;
}

const struct ctl_query *ctl_route_query(const struct ctl_route *route, unsigned n)
{
    for (size_t i = 0; i < SV_COUNT(queries); i++) {
        if (queries[i].handler == route->handler && n-- == 0)
            return &queries[i];
    }
    return NULL;
}

/* ---- The request ---- */

static bool is_name_char(char a, char b)
{
    if (a == '_')
        a = '-';
    if (b == '_')
        b = '-';
    return a == b || ((a | 32) == (b | 32) && (a | 32) >= 'a' && (a | 32) <= 'z');
}

struct sv_str ctl_request_field(const struct ctl_request *request, const char *name)
{
    const char *p = request->fields.ptr, *end = p + request->fields.len;
    size_t len = strlen(name);

    while (p < end) {
        const char *eol = memchr(p, '\r', (size_t)(end - p)), *next;
        size_t i = 0;

        if (!eol)
            eol = end;
        next = eol + 2 < end ? eol + 2 : end;
        while (i < len && p + i < eol && is_name_char(p[i], name[i]))
            i++;
        if (i == len && p + i < eol && p[i] == ':') {
            for (p += i + 1; p < eol && (*p == ' ' || *p == '\t'); p++)
                ;
            return (struct sv_str){p, (size_t)(eol - p)};
        }
        p = next;
    }
    return (struct sv_str){NULL, 0};
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 32;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Percent signs, and '+' if `plus`. A NUL, or a bad encoding: false. */
static bool decode(struct ctl_request *request, struct sv_str in, bool plus, struct sv_str *ret)
{
    char *out = sv_arena_alloc(&request->arena, in.len + 1), *p = out;

    if (!out)
        return false;
    for (size_t i = 0; i < in.len; i++) {
        char c = in.ptr[i];

        if (c == '%') {
            int high = i + 2 < in.len ? hex_digit(in.ptr[i + 1]) : -1;
            int low = i + 2 < in.len ? hex_digit(in.ptr[i + 2]) : -1;

            if (i + 2 >= in.len)
                return false;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high << 4 | low);
            i += 2;
        } else if (c == '+' && plus) {
            c = ' ';
        }
        if (c == '\0')
            return false;
        *p++ = c;
    }
    *p = '\0';
    *ret = (struct sv_str){out, (size_t)(p - out)};
    return true;
}

/* The next `name=value` of a query, still encoded. */
static bool next_pair(struct sv_str *query, struct sv_str *name, struct sv_str *value)
{
    const char *end, *equals;
    size_t len;

    if (query->len == 0)
        return false;
    end = memchr(query->ptr, '&', query->len);
    len = end ? (size_t)(end - query->ptr) : query->len;
    equals = memchr(query->ptr, '=', len);
    *name = (struct sv_str){query->ptr, equals ? (size_t)(equals - query->ptr) : len};
    *value = equals ? (struct sv_str){equals + 1, len - name->len - 1} : (struct sv_str){"", 0};
    len += end != NULL;
    query->ptr += len;
    query->len -= len;
    return true;
}

const char *ctl_request_query(struct ctl_request *request, const char *name)
{
    struct sv_str rest = request->query, key, value;

    while (next_pair(&rest, &key, &value)) {
        if (sv_str_eq(key, sv_str_of(name)))
            return decode(request, value, true, &value) ? value.ptr : NULL;
    }
    return NULL;
}

uint64_t ctl_request_number(struct ctl_request *request, const char *name, uint64_t or)
{
    const char *text = ctl_request_query(request, name);

    return text ? strtoull(text, NULL, 10) : or;
}

bool ctl_request_may(const struct ctl_request *request, enum ctl_scope scope)
{
    return request->scopes & (1U << scope | 1U << CTL_SCOPE_ADMIN);
}

/* ---- The reply ---- */

int ctl_reply_json(struct ctl_reply *reply, int status, own json_t *json)
{
    char *text =
        json ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_REAL_PRECISION(15)) : NULL;

    json_decref(json);
    sv_buf_clear(&reply->body);
    if (!text || !sv_buf_puts(&reply->body, text) || !sv_buf_putc(&reply->body, '\n')) {
        sv_buf_clear(&reply->body);
        sv_buf_puts(&reply->body, "{\"error\":{\"code\":\"out_of_memory\",\"message\":\"out of "
                                  "memory\",\"request_id\":\"\"}}\n");
        status = 503;
    }
    free(text);
    reply->status = status;
    reply->type = "application/json";
    return 0;
}

int ctl_reply_error(struct ctl_reply *reply, const struct ctl_request *request, int status,
                    const char *code, const char *fmt, ...)
{
    char message[512];
    va_list ap;
    json_t *text;

    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    text = ctl_json_str(sv_str_of(message));
    if (ctl_faas_is(request->path)) /* as in 2020 */
        return ctl_reply_json(reply, status, json_pack("{s:o}", "error", text));
    return ctl_reply_json(reply, status,
                          json_pack("{s:{s:s,s:o,s:s}}", "error", "code", code, "message", text,
                                    "request_id", request->id));
}

void ctl_reply_field(struct ctl_reply *reply, const char *name, const char *value)
{
    sv_buf_printf(&reply->fields, "%s: %s\r\n", name, value);
}

int ctl_api_status(int code, const char **ret_word)
{
    static const struct {
        int code, status;
        const char *word;
    } rows[] = {
        {SV_EMALFORMED, 422, "malformed"},
        {SV_EINVALID, 422, "invalid"},
        {SV_EUNSUPPORTED, 422, "unsupported"},
        {SV_ELINK, 422, "link"},
        {SV_ETYPE, 422, "type"},
        {SV_ETRAP, 422, "trap"},
        {SV_EGUEST, 422, "guest"},
        {SV_EUSAGE, 400, "bad_request"},
        {SV_ENOTFOUND, 404, "not_found"},
        {SV_ELIMIT, 409, "limit"},
        {SV_ENOMEM, 503, "out_of_memory"},
        {SV_EIO, 503, "unavailable"},
    };

    for (size_t i = 0; i < SV_COUNT(rows); i++) {
        if (rows[i].code == code) {
            *ret_word = rows[i].word;
            return rows[i].status;
        }
    }
    *ret_word = "internal";
    return 500;
}

/* ---- Routing ---- */

/* A segment of a path, up to the next '/'. */
static struct sv_str cut(const char **p, const char *end)
{
    const char *slash = memchr(*p, '/', (size_t)(end - *p));
    struct sv_str s = {*p, (size_t)((slash ? slash : end) - *p)};

    *p = slash ? slash + 1 : end + 1; /* behind the end: no segment is left */
    return s;
}

/* Whether the path is of the template; the parameters are cut out then, still encoded. */
static bool matches(const char *template, struct sv_str path, struct sv_str *params)
{
    const char *t = template + 1, *tend = template + strlen(template), *p = path.ptr + 1,
               *end = path.ptr + path.len;
    unsigned n = 0;

    while (t <= tend && p <= end) {
        struct sv_str want = cut(&t, tend), have = cut(&p, end);

        if (want.len > 0 && want.ptr[0] == '{') {
            if (have.len == 0)
                return false;
            params[n++] = have;
        } else if (!sv_str_eq(want, have)) {
            return false;
        }
    }
    return t > tend && p > end;
}

/* What a parameter of a template may be: names, numbers, or any text. */
static bool is_param(struct sv_str name, struct sv_str value)
{
    if (sv_str_eq(name, sv_str_of("tenant")) || sv_str_eq(name, sv_str_of("function")) ||
        sv_str_eq(name, sv_str_of("alias")) || sv_str_eq(name, sv_str_of("secret")))
        return ctl_name_is(value);
    if (sv_str_eq(name, sv_str_of("token")) || sv_str_eq(name, sv_str_of("job")) ||
        sv_str_eq(name, sv_str_of("entry")) || sv_str_eq(name, sv_str_of("id")))
        return ctl_shape_text_is(value, "integer");
    return value.len > 0;
}

/* Decode the parameters. False: no such thing can exist. */
static bool read_params(struct ctl_request *request)
{
    const char *t = request->route->path + 1, *end = t + strlen(t);
    unsigned n = 0;

    while (t <= end) {
        struct sv_str segment = cut(&t, end);

        if (segment.len == 0 || segment.ptr[0] != '{')
            continue;
        segment = (struct sv_str){segment.ptr + 1, segment.len - 2};
        if (!decode(request, request->params[n], false, &request->params[n]) ||
            !is_param(segment, request->params[n]))
            return false;
        if (sv_str_eq(segment, sv_str_of("tenant")))
            request->tenant = request->params[n].ptr;
        n++;
    }
    return true;
}

/* The route, or NULL: the reply says why. */
static const struct ctl_route *find_route(struct ctl_request *request, struct ctl_reply *reply)
{
    bool get = sv_str_eq(request->method, sv_str_of("HEAD"));
    struct sv_str method = get ? sv_str_of("GET") : request->method;
    char allow[64] = "";

    for (size_t i = 0; i < SV_COUNT(routes); i++) {
        size_t n = strlen(allow);

        if (!matches(routes[i].path, request->path, request->params))
            continue;
        if (sv_str_eq(method, sv_str_of(routes[i].method)))
            return &routes[i];
        snprintf(allow + n, sizeof allow - n, "%s%s", n ? ", " : "", routes[i].method);
    }
    if (!*allow) {
        ctl_reply_error(reply, request, 404, "not_found", "there is nothing here");
        return NULL;
    }
    if (sv_str_eq(method, sv_str_of("OPTIONS"))) {
        reply->status = 204;
        reply->type = NULL;
    } else {
        ctl_reply_error(reply, request, 405, "method_not_allowed", "this is done with %s", allow);
    }
    ctl_reply_field(reply, "Allow", allow);
    return NULL;
}

/* Names that the route does not know, names that come twice, values that are none. */
static bool check_query(struct ctl_request *request, struct ctl_reply *reply)
{
    struct sv_str rest = request->query, name, value;
    unsigned seen = 0;

    while (next_pair(&rest, &name, &value)) {
        const struct ctl_query *query;
        unsigned n = 0;

        while ((query = ctl_route_query(request->route, n)) &&
               !sv_str_eq(name, sv_str_of(query->name)))
            n++;
        if (!query || seen & 1U << n) {
            ctl_reply_error(reply, request, 400, "bad_request",
                            query ? "the query has '%.*s' twice" : "the query has no '%.*s' here",
                            (int)(name.len < 40 ? name.len : 40), name.ptr);
            return false;
        }
        seen |= 1U << n;
        if (!decode(request, value, true, &value) || !ctl_shape_text_is(value, query->type)) {
            ctl_reply_error(reply, request, 400, "bad_request",
                            "the query's '%s' is not of type %s", query->name, query->type);
            return false;
        }
    }
    return true;
}

/* ---- Who asks ---- */

static bool refuse(struct ctl_reply *reply, const struct ctl_request *request, int status,
                   const char *code, const char *message)
{
    ctl_reply_error(reply, request, status, code, "%s", message);
    if (status == 401)
        ctl_reply_field(reply, "WWW-Authenticate", "Bearer realm=\"ssvm\"");
    if (status == 429)
        ctl_reply_field(reply, "Retry-After", "60");
    return false;
}

/* Look at the token. False: the reply says why not. Without one: true, and no scopes. */
static bool read_token(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct sv_str field = ctl_request_field(request, "Authorization");
    struct ctl_token token;
    char *text;

    request->token = "";
    if (!field.ptr)
        return true;
    if (field.len < 8 || strncasecmp(field.ptr, "Bearer ", 7) != 0)
        return refuse(reply, request, 401, "unauthorized", "this needs 'Authorization: Bearer'");
    field = (struct sv_str){field.ptr + 7, field.len - 7};
    switch (ctl_token_check(request->server, err, field, request->peer, &token)) {
    case CTL_TOKEN_BAD:
        return refuse(reply, request, 401, "unauthorized", "the token is not good (any more)");
    case CTL_TOKEN_WAIT:
        return refuse(reply, request, 429, "too_many_tries",
                      "too many bad tokens came from this address");
    case CTL_TOKEN_FAILED:
        return false;
    case CTL_TOKEN_GOOD:
        break;
    }
    text = sv_arena_alloc(&request->arena, 24);
    if (text)
        snprintf(text, 24, "%lld", (long long)token.id);
    request->token = text ? text : "";
    request->scopes = token.scopes;
    request->token_tenant = sv_arena_strndup(&request->arena, token.tenant, strlen(token.tenant));
    if (!request->token_tenant)
        sv_fail_nomem(err, "a request");
    return request->token_tenant != NULL;
}

/* May the token do this, and whose request is it? False: the reply says why not. */
static bool check_scope(struct ctl_request *request, struct ctl_reply *reply)
{
    enum ctl_scope scope = request->route->scope;
    bool all;

    if (scope == CTL_SCOPE_NONE)
        return true;
    if (!request->token_tenant)
        return refuse(reply, request, 401, "unauthorized", "this needs a token");
    all = strcmp(request->token_tenant, CTL_ALL_TENANTS) == 0;
    if (!request->tenant)
        request->tenant = ctl_request_query(request, "tenant");
    if (!all && request->tenant && strcmp(request->tenant, request->token_tenant) != 0)
        return refuse(reply, request, 403, "forbidden", "the token is for another tenant");
    if (!all)
        request->tenant = request->token_tenant;
    if (scope == CTL_SCOPE_ANY)
        return true;
    if (scope == CTL_SCOPE_OPERATOR ? !all || !ctl_request_may(request, CTL_SCOPE_ADMIN)
                                    : !ctl_request_may(request, scope))
        return refuse(reply, request, 403, "forbidden", "the token may not do this");
    return true;
}

/* ---- Bodies ---- */

/* The body of a route that takes JSON: of a shape, where none is an empty object, or any. False:
 * the reply says what is wrong. */
static bool read_json(struct ctl_request *request, struct ctl_reply *reply)
{
    const char *shape = request->route->request;
    bool any = strcmp(shape, "ANYJSON") == 0;
    struct sv_str body = request->body;
    struct sv_err err = {0};
    json_error_t error;

    if (!any && !ctl_shape_exists(shape))
        return true;
    if (body.len > CTL_API_JSON_MAX) {
        ctl_reply_error(reply, request, 413, "body_too_large", "a JSON body has at most %u bytes",
                        CTL_API_JSON_MAX);
        return false;
    }
    if (!any && body.len == 0)
        body = sv_str_of("{}");
    request->json = json_loadb(body.len ? body.ptr : "", body.len,
                               JSON_REJECT_DUPLICATES | (any ? JSON_DECODE_ANY : 0), &error);
    if (!request->json) {
        ctl_reply_error(reply, request, 400, "bad_json", "the body is not JSON: %s in line %d",
                        error.text, error.line);
        return false;
    }
    if (!any && ctl_shape_check(&err, shape, request->json) < 0) {
        ctl_reply_error(reply, request, 400, "bad_request", "%s", err.text);
        return false;
    }
    return true;
}

static int run(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    const struct ctl_route *route = find_route(request, reply);

    if (!route)
        return 0;
    request->route = route;
    if (!read_params(request))
        return ctl_reply_error(reply, request, 404, "not_found", "there is nothing here");
    if (!read_token(request, reply, err))
        return err->code;
    if (!check_scope(request, reply) || !check_query(request, reply) || !read_json(request, reply))
        return 0;
    /* Who may see all tenants may name one that is not there. */
    if (strstr(route->path, "{tenant}")) {
        int r = ctl_tenant_exists(request->server, err, request->tenant);

        if (r <= 0)
            return r < 0 ? r
                         : ctl_reply_error(reply, request, 404, "not_found",
                                           "there is no such tenant");
    }
    reply->status = route->status;
    return route->handler(request, reply, err);
}

/* ---- The handler of PLAT_FORWARD ---- */

static void read_message(struct ctl_request *request, const struct plat_message *message,
                         own char **ret_peer)
{
    struct sv_str id = plat_get(message, PLAT_TAG_REQUEST_ID);
    size_t n = id.len < sizeof request->id - 1 ? id.len : sizeof request->id - 1;

    if (n > 0)
        memcpy(request->id, id.ptr, n);
    request->id[n] = '\0';
    request->method = plat_get(message, PLAT_TAG_METHOD);
    request->path = plat_get(message, PLAT_TAG_PATH);
    request->query = plat_get(message, PLAT_TAG_QUERY);
    request->fields = plat_get(message, PLAT_TAG_FIELDS);
    request->body = plat_get(message, PLAT_TAG_BODY);
    *ret_peer = plat_get_text(message, PLAT_TAG_PEER);
    request->peer = *ret_peer ? *ret_peer : "";
}

/* METHOD, PATH (as sent, without the query), QUERY, FIELDS, BODY, PEER, REQUEST_ID. Answer: STATUS,
 * TEXT (the Content-Type, absent: none), FIELDS, BODY. */
/* Who has changed what is in the log, for the tenant and for the operator. */
static void log_change(const struct ctl_request *request, const struct ctl_reply *reply)
{
    enum ctl_scope scope = request->route ? request->route->scope : CTL_SCOPE_NONE;
    char text[512];

    if (reply->status >= 400 ||
        strcmp(request->route ? request->route->method : "GET", "GET") == 0 ||
        (scope != CTL_SCOPE_DEPLOY && scope != CTL_SCOPE_ADMIN && scope != CTL_SCOPE_OPERATOR))
        return;
    snprintf(text, sizeof text, "%s %.*s by token %s: %d", request->route->method,
             (int)(request->path.len < 400 ? request->path.len : 400), request->path.ptr,
             request->token, reply->status);
    ctl_log_event(request->server, CTL_LOG_INFO, "changed", request->tenant, NULL, request->id,
                  text);
}

int ctl_api_forward(struct ctl_server *server, struct sv_err *err, struct plat_message *message,
                    struct plat_message *ret)
{
    struct ctl_request request = {.server = server};
    struct ctl_reply reply = {.status = 200, .type = "application/json"};
    struct sv_err failed = {0};
    own char *peer;
    int r = 0;

    sv_arena_init(&request.arena, 0);
    sv_buf_init(&reply.body, REPLY_MAX);
    sv_buf_init(&reply.fields, FIELDS_MAX);
    read_message(&request, message, &peer);
    if (request.path.len == 0 || request.path.ptr[0] != '/')
        ctl_reply_error(&reply, &request, 400, "bad_request", "the path is malformed");
    else
        r = run(&request, &reply, &failed);
    if (r < 0) {
        const char *word;
        int status = ctl_api_status(r, &word);

        sv_buf_clear(&reply.fields);
        ctl_reply_error(&reply, &request, status, word, "%s", failed.text);
        if (status == 503)
            ctl_reply_field(&reply, "Retry-After", "1");
    }
    log_change(&request, &reply);
    if (!strstr(sv_buf_cstr(&reply.fields), "nosniff"))
        ctl_reply_field(&reply, "X-Content-Type-Options", "nosniff");
    plat_put_u64(ret, PLAT_TAG_STATUS, (uint64_t)reply.status);
    if (reply.type && reply.status != 204)
        plat_put_str(ret, PLAT_TAG_TEXT, reply.type);
    plat_put(ret, PLAT_TAG_FIELDS, reply.fields.data, reply.fields.len);
    plat_put(ret, PLAT_TAG_BODY, reply.body.data, reply.status == 204 ? 0 : reply.body.len);
    r = reply.body.failed || ret->values.failed ? sv_fail_nomem(err, "a reply") : 0;
    json_decref(request.json);
    sv_buf_release(&reply.body);
    sv_buf_release(&reply.fields);
    sv_arena_release(&request.arena);
    sv_free(peer);
    return r;
}

int ctl_api_start(struct ctl_server *server, struct sv_err *err)
{
    int r = ctl_tenant_default(server, err);

    return r < 0 ? r : ctl_token_first(server, err);
}

void ctl_api_stop(struct ctl_server *server)
{
    (void)server;
}
