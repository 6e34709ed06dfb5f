/* Requests that a call of /api makes elsewhere. See faas_outbound.h. */
#include "serve/faas_outbound.h"

#include <stdio.h>
#include <strings.h>

#include "serve/link.h"
#include "serve/loop.h"
#include "serve/registry.h"

#define NS_PER_MS 1000000U
#define URL_MAX 4096
#define FIELDS_MAX 16384
#define SLACK_MS 1000 /* control's answer that the time is over comes before ours */
#define HOPS "ssvm-hops"

/* ---- What is asked ---- */

struct asked {
    char url[URL_MAX];
    const char *method, *body;
    struct sv_buf fields;
    bool typed; /* the fields have a Content-Type */
};

static bool is_host_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("-._:[]", c));
}

static bool is_host(const char *s)
{
    size_t len = strlen(s);

    if (len == 0 || len > 255)
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!is_host_char(s[i]))
            return false;
    }
    return true;
}

/* Printable ASCII without blanks. */
static bool is_path(const char *s)
{
    if (*s != '/')
        return false;
    for (; *s; s++) {
        if (*s <= ' ' || *s >= 0x7f)
            return false;
    }
    return true;
}

/* Fields that are for who makes the connection to say. */
static bool is_own_field(const char *name)
{
    static const char *const names[] = {
        "host", "content-length", "transfer-encoding",   "connection", "expect", "upgrade",
        "te",   "keep-alive",     "proxy-authorization", HOPS};

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcasecmp(name, names[i]) == 0)
            return true;
    }
    return false;
}

static const char *read_headers(const json_t *headers, struct asked *asked)
{
    const char *name;
    json_t *value;

    if (headers && !json_is_object(headers))
        return "'headers' is an object";
    json_object_foreach((json_t *)headers, name, value)
    {
        const char *text = json_string_value(value);

        if (!text || !srv_http_is_token(name, strlen(name)) ||
            !srv_http_is_value(text, strlen(text)))
            return "'headers' has a name or a value that cannot be sent";
        if (is_own_field(name))
            continue;
        asked->typed |= strcasecmp(name, "content-type") == 0;
        sv_buf_printf(&asked->fields, "%s: %s\r\n", name, text);
    }
    return asked->fields.failed ? "'headers' is too large" : NULL;
}

/* A string of the object; `or`: it has none. NULL: it is no string. */
static const char *get(const json_t *object, const char *key, const char *or)
{
    const json_t *value = json_object_get(object, key);

    return value ? json_string_value(value) : or;
}

/* {hostname, path, method, port, headers, protocol, body}. NULL, or what is wrong. */
static const char *read_object(const json_t *object, struct asked *asked)
{
    const char *host = get(object, "hostname", NULL), *path = get(object, "path", "/"),
               *protocol = get(object, "protocol", "https:");
    const json_t *port = json_object_get(object, "port");
    char port_text[16] = "";
    int n;

    asked->method = get(object, "method", "POST");
    asked->body = get(object, "body", "");
    if (!host || !is_host(host))
        return "'hostname' is not one";
    if (!path || !is_path(path))
        return "'path' is not one";
    if (!protocol || (strcmp(protocol, "https:") != 0 && strcmp(protocol, "http:") != 0))
        return "'protocol' is https: or http:";
    if (!asked->method || !srv_http_is_token(asked->method, strlen(asked->method)) ||
        strlen(asked->method) > 16)
        return "'method' is not one";
    if (!asked->body)
        return "'body' is a string";
    if (json_is_integer(port) && json_integer_value(port) > 0 && json_integer_value(port) < 65536)
        snprintf(port_text, sizeof port_text, ":%d", (int)json_integer_value(port));
    else if (port)
        return "'port' is a number from 1 to 65535";
    n = snprintf(asked->url, URL_MAX, "%s//%s%s%s", protocol, host, port_text, path);
    if (n >= URL_MAX)
        return "its URL is too long";
    return read_headers(json_object_get(object, "headers"), asked);
}

static const char *read_asked(const json_t *what, struct asked *asked)
{
    const char *url = json_string_value(what);

    if (json_is_object(what))
        return read_object(what, asked);
    asked->method = "GET";
    asked->body = "";
    if (!url || strlen(url) >= URL_MAX || strlen(url) != json_string_length(what))
        return "it is neither a URL nor an object";
    memcpy(asked->url, url, strlen(url) + 1);
    return NULL;
}

/* ---- Asking ---- */

static void put_allowed(void *data, const char *rule)
{
    plat_put_str(data, PLAT_TAG_ALLOW, rule);
}

static bool refuse(struct srv_conn *conn, int status, const char *code, const char *message)
{
    srv_conn_fail(conn, status, code, message);
    return false;
}

/* Why there is no answer. */
static bool refuse_for(struct srv_conn *conn, const struct sv_err *err)
{
    snprintf(conn->work->request.note, SRV_NOTE_MAX, "%.*s", SRV_NOTE_MAX - 1, err->text);
    switch (err->code) {
    case SV_EUSAGE:
        return refuse(conn, 400, "bad_request", "there can be no such request elsewhere");
    case SV_EINVALID:
        return refuse(conn, 403, "forbidden", "the function may not send requests there");
    case SV_EEXIT:
        return refuse(conn, 504, "deadline", "the other server did not answer in time");
    default:
        return refuse(conn, 502, "bad_gateway", "the request to another server failed");
    }
}

/* How many calls have sent on to get here: one that sends on to itself must end. */
static unsigned count_hops(const struct srv_conn *conn)
{
    size_t len = 0;
    const char *value = srv_http_field(&conn->work->http, conn->work->in, HOPS, &len);

    return len == 1 && value[0] >= '0' && value[0] <= '9' ? (unsigned)(value[0] - '0')
           : len > 0                                      ? SRV_FAAS_HOPS_MAX
                                                          : 0;
}

static void fill_request(struct srv_conn *conn, struct plat_message *m, const struct asked *asked,
                         const struct sv_str *body)
{
    const struct srv_request *request = &conn->work->request;

    plat_message_init(m, PLAT_FETCH);
    plat_put_str(m, PLAT_TAG_TENANT, request->function->tenant);
    plat_put_str(m, PLAT_TAG_METHOD, asked->method);
    plat_put_str(m, PLAT_TAG_URL, asked->url);
    plat_put(m, PLAT_TAG_FIELDS, asked->fields.data, asked->fields.len);
    if (body)
        plat_put(m, PLAT_TAG_BODY, body->ptr, body->len);
    else
        plat_put_str(m, PLAT_TAG_BODY, asked->body);
    srv_registry_grants(request, "allow-http", put_allowed, m);
}

bool srv_faas_send(struct srv_conn *conn, const json_t *what, const struct sv_str *body,
                   const char *type, uint64_t until_ns, struct plat_message *ret)
{
    struct srv_request *request = &conn->work->request;
    struct asked asked = {.method = ""};
    uint64_t now = srv_clock_ns();
    struct sv_err err = {0};
    struct plat_message m;
    const char *why;
    int r;

    if (count_hops(conn) >= SRV_FAAS_HOPS_MAX)
        return refuse(conn, 508, "loop", "too many calls have sent on to each other");
    if (now >= until_ns)
        return refuse(conn, 504, "deadline", "the other servers did not answer in time");
    if (!request->registered || !(request->registered->flags & PLAT_FUNCTION_FETCH))
        return refuse(conn, 403, "forbidden",
                      "the function's manifest does not allow SSVM_Fetch and SSVM_Callback");
    sv_buf_init(&asked.fields, FIELDS_MAX);
    why = read_asked(what, &asked);
    if (why) {
        sv_buf_release(&asked.fields);
        return refuse(conn, 400, "bad_request", why);
    }
    if (!asked.typed && type)
        sv_buf_printf(&asked.fields, "Content-Type: %s\r\n", type);
    sv_buf_printf(&asked.fields, "SSVM-Hops: %u\r\n", count_hops(conn) + 1);
    fill_request(conn, &m, &asked, body);
    plat_put_u64(&m, PLAT_TAG_TIMEOUT_MS, (until_ns - now) / NS_PER_MS + 1);
    r = m.values.failed || asked.fields.failed
            ? sv_fail_nomem(&err, "a request")
            : srv_link_call(conn->loop->server, &err, &m, until_ns + (uint64_t)SLACK_MS * NS_PER_MS,
                            ret);
    plat_message_release(&m);
    sv_buf_release(&asked.fields);
    return r == 0 || refuse_for(conn, &err);
}

struct sv_str srv_faas_type(const struct plat_message *answer)
{
    static const char name[] = "content-type:";
    struct sv_str fields = plat_get(answer, PLAT_TAG_FIELDS);

    while (fields.len > 0) {
        const char *end = memchr(fields.ptr, '\n', fields.len);
        size_t len = end ? (size_t)(end - fields.ptr) : fields.len, from = sizeof name - 1;

        if (len > from && strncasecmp(fields.ptr, name, from) == 0) {
            while (from < len && fields.ptr[from] == ' ')
                from++;
            while (len > from && (fields.ptr[len - 1] == '\r' || fields.ptr[len - 1] == ' '))
                len--;
            return (struct sv_str){fields.ptr + from, len - from};
        }
        len += end != NULL;
        fields.ptr += len;
        fields.len -= len;
    }
    return (struct sv_str){NULL, 0};
}
