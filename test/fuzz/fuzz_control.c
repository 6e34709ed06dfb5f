/* The admin interfaces of the control process: an input is a few requests, made from the tables of
 * routes and shapes and bent, by nobody, by a tenant, and by the operator. What is checked beside
 * memory: each answer is of the form that the OpenAPI document promises; no failure is the server's
 * own; what another tenant keeps, or is called, is in no answer to who may not see it; and of a
 * tenant that is deleted nothing is left. */
#include <fcntl.h>
#include <jansson.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "control.h"
#include "control/blob.h"
#include "control/dispatch.h"
#include "control/key.h"
#include "control/ledger.h"
#include "control/route.h"
#include "control/shape.h"
#include "control/state.h"
#include "control/token.h"
#include "control/workers.h"
#include "input.h"
#include "platform/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define REQUESTS_MAX 24
#define TEXT_MAX 256   /* of one value that is made */
#define BODY_MAX 65536 /* bytes; of answers that are looked at as JSON, too */
#define LEARNED_MAX 16 /* values of answers, for requests to come */
#define REQUEST_ID "0123456789abcdef"
#define FOE "beta" /* the tenant whose tokens the requests have */

static struct ctl_server *server;
static struct input in;
static unsigned inputs;

/* ---- Who asks ---- */

enum who {
    NOBODY,
    FOE_ADMIN,
    FOE_READ,
    FOE_INVOKE,
    FOE_DEPLOY,
    FOE_STATE,
    OPERATOR,
    OWNER,
    WHO_COUNT
};

static char tokens[WHO_COUNT][CTL_TOKEN_TEXT];
/* What no answer to the foe has: the tenant's name; what it keeps and has called its things. */
static char friend_name[20], secret[40];

/* What the foe has from the beginning, by the parameters of paths. */
static struct {
    const char *name;
    char value[80];
} known[] = {
    {"{tenant}", FOE}, {"{function}", "f"}, {"{key}", "a"},  {"{secret}", "a"}, {"{alias}", "a"},
    {"{id}", ""},      {"{job}", ""},       {"{entry}", ""}, {"{token}", ""},   {"{request}", "a"},
};
static char ephemeral[80], admin_key[80];

/* What the foe's answers had. */
static struct {
    char text[TEXT_MAX];
    size_t len;
} learned[LEARNED_MAX];
static unsigned nlearned;

/* ---- A request and its answer ---- */

struct request {
    const struct ctl_route *route; /* NULL: a path of its own */
    enum who who;
    struct sv_buf method, path, query, fields, body;
    const char *type; /* of the body */
};

static void request_init(struct request *r)
{
    *r = (struct request){.type = NULL};
    sv_buf_init(&r->method, BODY_MAX);
    sv_buf_init(&r->path, BODY_MAX);
    sv_buf_init(&r->query, BODY_MAX);
    sv_buf_init(&r->fields, BODY_MAX);
    sv_buf_init(&r->body, 2 * BODY_MAX);
}

static void request_release(struct request *r)
{
    sv_buf_release(&r->method);
    sv_buf_release(&r->path);
    sv_buf_release(&r->query);
    sv_buf_release(&r->fields);
    sv_buf_release(&r->body);
}

static void put_buf(struct plat_message *m, enum plat_tag tag, const struct sv_buf *b)
{
    plat_put(m, tag, b->data, b->len);
}

/* The answer is the caller's to release. */
static unsigned ask(struct request *r, struct plat_message *answer)
{
    struct plat_message m;
    struct sv_err err = {0};
    uint64_t status;
    char peer[32];

    plat_message_init(&m, PLAT_FORWARD);
    plat_message_init(answer, PLAT_FORWARD);
    put_buf(&m, PLAT_TAG_METHOD, &r->method);
    put_buf(&m, PLAT_TAG_PATH, &r->path);
    put_buf(&m, PLAT_TAG_QUERY, &r->query);
    put_buf(&m, PLAT_TAG_FIELDS, &r->fields);
    put_buf(&m, PLAT_TAG_BODY, &r->body);
    /* Who guesses, or keeps much, is made to wait: each has an address, in each input another. */
    snprintf(peer, sizeof peer, "10.%u.%u.%u", inputs >> 8 & 255, inputs & 255, (unsigned)r->who);
    plat_put_str(&m, PLAT_TAG_PEER, peer);
    plat_put_str(&m, PLAT_TAG_REQUEST_ID, REQUEST_ID);
    fuzz_check(ctl_api_forward(server, &err, &m, answer) == 0, err.text);
    fuzz_check(plat_get_u64(answer, PLAT_TAG_STATUS, &status), "no status");
    fuzz_control_run(server);
    plat_message_release(&m);
    return (unsigned)status;
}

/* The harness's own requests; what the last one was answered, for what goes wrong. */
static char last_answer[TEXT_MAX];

static unsigned ask_text(enum who who, const char *method, const char *path, const char *fields,
                         struct sv_str body, own json_t **ret)
{
    struct request r;
    struct plat_message answer;
    struct sv_str text;
    unsigned status;

    request_init(&r);
    r.who = who;
    sv_buf_puts(&r.method, method);
    sv_buf_puts(&r.path, path);
    if (tokens[who][0])
        sv_buf_printf(&r.fields, "Authorization: Bearer %s\r\n", tokens[who]);
    sv_buf_puts(&r.fields, fields);
    sv_buf_append(&r.body, body.ptr, body.len);
    status = ask(&r, &answer);
    text = plat_get(&answer, PLAT_TAG_BODY);
    snprintf(last_answer, sizeof last_answer, "%.*s", (int)text.len, text.len ? text.ptr : "");
    if (ret)
        *ret = text.len ? json_loadb(text.ptr, text.len, JSON_DECODE_ANY, NULL) : NULL;
    plat_message_release(&answer);
    request_release(&r);
    return status;
}

/* ---- What is asked ---- */

static const char *const words[] = {
    "f",
    "g",
    "default",
    FOE,
    "*",
    "1",
    "0",
    "2",
    "v1",
    "999999999",
    "",
    "a",
    "..",
    ".",
    "%2e%2e",
    "a%00b",
    "a/b",
    "a%2fb",
    "admin",
    "read",
    "live",
    "json",
    "csv",
    "all",
    "minute",
    "on",
    "off",
    "9223372036854775807",
    "18446744073709551616",
    "-1",
    "1e9",
    "\xff\xfe",
    "\xc3\xa4",
    "null",
    "1970-01-01T00:00:00Z",
    "2026-11-27",
    "wasm_id",
    "[\"wasm_id\"]",
    "[\"full_usage_report\"]",
    "[\"wasm_as_buffer\"]",
    "[\"log_id\"]",
    "dead",
    "waiting",
    "process",
    "10000",
    "+",
    "%41",
};

/* A text: a word, what was learned, or bytes of the input. */
static struct sv_str make_text(void)
{
    static char own_text[TEXT_MAX];
    unsigned c = (unsigned)take(&in, 1);
    size_t n;

    if (c < 160)
        return sv_str_of(words[c % SV_COUNT(words)]);
    if (c < 210 && nlearned > 0) {
        unsigned k = c % (nlearned < LEARNED_MAX ? nlearned : LEARNED_MAX);

        return (struct sv_str){learned[k].text, learned[k].len};
    }
    n = (size_t)take(&in, 1);
    n = n < in.len ? n : in.len;
    memcpy(own_text, in.p, n);
    in.p += n;
    in.len -= n;
    return (struct sv_str){own_text, n};
}

/* Encoded for a path or a query, or as it is. */
static void put_encoded(struct sv_buf *to, struct sv_str s)
{
    bool raw = take(&in, 1) > 200;

    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (raw || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '_' || c == '.')
            sv_buf_putc(to, c);
        else
            sv_buf_printf(to, "%%%02x", (unsigned char)c);
    }
}

static char *find_known(const char *parameter)
{
    for (size_t i = 0; i < SV_COUNT(known); i++) {
        if (strncmp(known[i].name, parameter, strlen(known[i].name)) == 0)
            return known[i].value;
    }
    return known[0].value;
}

static void put_path(struct request *r)
{
    for (const char *p = r->route->path; *p; p++) {
        unsigned c;

        if (*p != '{') {
            sv_buf_putc(&r->path, *p);
            continue;
        }
        c = (unsigned)take(&in, 1);
        if (c < 160 && strstr(r->route->path, "ephemeral"))
            sv_buf_puts(&r->path, ephemeral);
        else if (c < 180)
            sv_buf_puts(&r->path, find_known(p));
        else if (strncmp(p, "{tenant}", 8) == 0 && c < 220)
            sv_buf_puts(&r->path, friend_name);
        else if (strncmp(p, "{id}", 4) == 0 && c < 220)
            sv_buf_printf(&r->path, "%u", c % 8);
        else
            put_encoded(&r->path, make_text());
        p = strchr(p, '}');
    }
}

/* A value of a type; or any. */
static void put_typed(struct sv_buf *to, const char *type)
{
    static const struct {
        const char *type, *values[4];
    } rows[] = {
        {"switch", {"on", "off", "on", "off"}},
        {"level", {"debug", "info", "warn", "error"}},
        {"step", {"minute", "hour", "day", "all"}},
        {"by", {"tenant", "function", "function", "x"}},
        {"format", {"csv", "json", "csv", "csv"}},
        {"jobstate", {"dead", "waiting", "running", ""}},
        {"name", {"f", "a", "g", FOE}},
    };
    unsigned c = (unsigned)take(&in, 1);

    for (size_t i = 0; c < 170 && i < SV_COUNT(rows); i++) {
        if (strcmp(rows[i].type, type) == 0) {
            sv_buf_puts(to, rows[i].values[c % 4]);
            return;
        }
    }
    if (c < 170 && strcmp(type, "string") != 0)
        sv_buf_printf(to, "%u", c);
    else
        put_encoded(to, make_text());
}

static void put_query(struct request *r)
{
    unsigned c = (unsigned)take(&in, 1), n = c < 128 ? 0 : c % 4;

    for (unsigned i = 0; i < n; i++) {
        const struct ctl_query *q =
            r->route ? ctl_route_query(r->route, (unsigned)take(&in, 1) % 6) : NULL;

        if (q && strcmp(q->type, "wait") == 0) /* nobody has the time */
            continue;
        sv_buf_puts(&r->query, i ? "&" : "");
        if (q)
            sv_buf_puts(&r->query, q->name);
        else
            put_encoded(&r->query, make_text());
        sv_buf_putc(&r->query, '=');
        if (q && strcmp(q->name, "tenant") == 0 && take(&in, 1) > 128)
            sv_buf_puts(&r->query, friend_name);
        else
            put_typed(&r->query, q ? q->type : "string");
    }
}

static void put_fields(struct request *r)
{
    static const char *const names[] = {
        "SSVM-Admin-Key", "SSVM-Usage-Key",        "If-Match",
        "If-None-Match",  "Content-Type",          "traceparent",
        "Accept",         "SSVM-Description",      "Authorization",
        "X-Other",        "SSVM-Create-Usage-Key",
    };
    unsigned n = (unsigned)take(&in, 1) % 4;

    if (r->who != NOBODY)
        sv_buf_printf(&r->fields, "authorization: Bearer %s\r\n", tokens[r->who]);
    if (r->type)
        sv_buf_printf(&r->fields, "Content-Type: %s\r\n", r->type);
    if (r->route && strncmp(r->route->path, "/api/", 5) == 0 && take(&in, 1) < 128)
        sv_buf_printf(&r->fields, "SSVM-Admin-Key: %s\r\n", admin_key);
    for (unsigned i = 0; i < n; i++) {
        struct sv_str value;

        sv_buf_printf(&r->fields, "%s: ", names[take(&in, 1) % SV_COUNT(names)]);
        value = make_text();
        for (size_t k = 0; k < value.len; k++) { /* a worker lets nothing else through */
            if ((unsigned char)value.ptr[k] >= ' ' && value.ptr[k] != 127)
                sv_buf_putc(&r->fields, value.ptr[k]);
        }
        sv_buf_puts(&r->fields, "\r\n");
    }
}

/* ---- Bodies ---- */

static const struct field {
    const char *shape, *name, *type;
    bool required;
} fields[] = {
#define REQUIRED true
#define OPTIONAL false
#define FIELD(shape, name, type, required, doc) {#shape, name, type, required},
#include "control/shape.def"
#undef FIELD
#define LIMIT(field, name, unit, doc) {"Limits", name, "integer", OPTIONAL},
#include "platform/limit.def"
#undef LIMIT
#undef REQUIRED
#undef OPTIONAL
};

static void put_string(struct sv_buf *to)
{
    struct sv_str s = make_text();

    sv_buf_json_string(to, s.ptr, s.len);
}

static void put_shape(struct sv_buf *to, const char *shape, unsigned depth);

/* Something of another type. */
static void put_bent(struct sv_buf *to)
{
    static const char *const values[] = {
        "null",
        "true",
        "[]",
        "{}",
        "-1",
        "0.5",
        "1e308",
        "9223372036854775807",
        "[[[[]]]]",
        "\"\"",
        "99999999999999999999",
        "\"\\u0000\"",
        "\"\\ud800\"",
        "{\"\":0}",
        "[null]",
        "NaN",
    };
    struct sv_str s;

    if (take(&in, 1) < 200) {
        sv_buf_puts(to, values[take(&in, 1) % SV_COUNT(values)]);
        return;
    }
    s = make_text();
    sv_buf_append(to, s.ptr, s.len);
}

static void put_value(struct sv_buf *to, const char *type, unsigned depth)
{
    static const char *const scopes[] = {"read", "invoke", "deploy", "state", "admin"};
    char item[64];
    size_t len = strlen(type);

    if (take(&in, 1) > 248) {
        put_bent(to);
    } else if (type[0] == '[') {
        unsigned n = (unsigned)take(&in, 1) % 4 + 1;

        snprintf(item, sizeof item, "%.*s", (int)(strchr(type, ']') - type - 1), type + 1);
        sv_buf_putc(to, '[');
        for (unsigned i = 0; i < n; i++) {
            sv_buf_puts(to, i ? "," : "");
            put_value(to, item, depth + 1);
        }
        sv_buf_putc(to, ']');
    } else if (ctl_shape_exists(type)) {
        put_shape(to, type, depth + 1);
    } else if (strcmp(type, "scope") == 0) {
        sv_buf_printf(to, "\"%s\"", scopes[take(&in, 1) % SV_COUNT(scopes)]);
    } else if (strcmp(type, "isolation") == 0) {
        sv_buf_puts(to, take(&in, 1) & 1 ? "\"process\"" : "\"shared\"");
    } else if (strcmp(type, "integer") == 0 || strcmp(type, "weight") == 0 ||
               strcmp(type, "seconds") == 0) {
        sv_buf_printf(to, "%llu", (unsigned long long)take(&in, 1 + take(&in, 1) % 8));
    } else if (strcmp(type, "object") == 0 || (len > 0 && strcmp(type, "any") == 0)) {
        put_bent(to);
    } else {
        put_string(to);
    }
}

static void put_shape(struct sv_buf *to, const char *shape, unsigned depth)
{
    bool first = true;

    sv_buf_putc(to, '{');
    for (size_t i = 0; depth < 5 && i < SV_COUNT(fields); i++) {
        if (strcmp(fields[i].shape, shape) != 0 ||
            take(&in, 1) > (fields[i].required ? 245U : 100U))
            continue;
        sv_buf_printf(to, "%s\"%s\":", first ? "" : ",", fields[i].name);
        put_value(to, fields[i].type, depth);
        first = false;
    }
    sv_buf_putc(to, '}');
}

static void put_module(struct sv_buf *to)
{
    struct sv_str s;

    if (take(&in, 1) < 230)
        sv_buf_append(to, "\0asm\1\0\0\0", 8);
    s = make_text();
    sv_buf_append(to, s.ptr, s.len);
}

static void put_manifest(struct sv_buf *to)
{
    static const char *const lines[] = {
        "usage-key: on\n",
        "handler: run\n",
        "description: x\n",
        "triggers:\n  cron:\n    - schedule: '@hourly'\n      path: /x\n",
        "triggers:\n  cron:\n    - schedule: every 1s\n    - schedule: '1-5/2 * 29 2 *'\n",
        "routes:\n  - /a\n  - path: /b\n    host: '*.example.org'\n    methods: [GET, PUT]\n",
        "static:\n  dir: site\n",
        "static:\n  - dir: site\n    path: /p\n    spa: on\n",
        "grants:\n  kv: on\n  sql: on\n  secret: [a, b]\n  allow-http: ['*']\n  call: '*'\n",
        "grants:\n  env: {A: b}\n  allow-connect: ['*:80']\n  allow-listen: ['127.0.0.1:1']\n",
        "limits:\n  memory: 64M\n  time: 1s\n",
        "limits:\n  storage: 1K\n",
        "cors: '*'\n",
        "init: start\n",
        "smoke:\n  path: /x\n",
        "split:\n  cookie: a\n",
        "fetch: on\n",
    };
    unsigned n = (unsigned)take(&in, 1) % 5;

    sv_buf_puts(to, take(&in, 1) & 1 ? "name: f\nmodule: f.wasm\n" : "name: g\nmodule: f.wasm\n");
    for (unsigned i = 0; i < n; i++) {
        unsigned c = (unsigned)take(&in, 1);
        struct sv_str s;

        if (c < 220) {
            sv_buf_puts(to, lines[c % SV_COUNT(lines)]);
            continue;
        }
        s = make_text();
        sv_buf_append(to, s.ptr, s.len);
        sv_buf_putc(to, '\n');
    }
}

static void put_parts(struct sv_buf *to)
{
    unsigned n = (unsigned)take(&in, 1) % 4 + 1;

    for (unsigned i = 0; i < n; i++) {
        unsigned c = (unsigned)take(&in, 1) % 8;
        struct sv_str s;

        sv_buf_puts(to, "--b\r\nContent-Disposition: form-data; name=\"");
        sv_buf_puts(to, c < 3 ? "manifest" : c < 5 ? "wasm" : "site/");
        if (c >= 5) {
            s = make_text();
            sv_buf_append(to, s.ptr, s.len);
        }
        sv_buf_puts(to, "\"\r\n\r\n");
        if (c < 3)
            put_manifest(to);
        else if (c < 5)
            put_module(to);
        else
            put_bent(to);
        sv_buf_puts(to, "\r\n");
    }
    sv_buf_puts(to, "--b--\r\n");
}

static void put_body(struct request *r)
{
    const char *shape = r->route ? r->route->request : "BINARY";
    unsigned c = (unsigned)take(&in, 1);
    struct sv_str s;

    if (c < 230 && ctl_shape_exists(shape)) {
        put_shape(&r->body, shape, 0);
    } else if (c < 150 && strcmp(shape, "MULTIPART") == 0) {
        r->type = "multipart/form-data; boundary=b";
        put_parts(&r->body);
    } else if (c < 230 && (strcmp(shape, "MULTIPART") == 0 || strcmp(shape, "BINARY") == 0)) {
        put_module(&r->body);
    } else if (c < 230 && strcmp(shape, "ANYJSON") == 0) {
        if (c & 1)
            put_bent(&r->body);
        else
            sv_buf_puts(&r->body, "{\"hostname\":\"a.example\",\"path\":\"/\",\"port\":80,"
                                  "\"headers\":{\"a\":\"b\"}}");
    } else if (strcmp(shape, "NONE") != 0 || c > 240) {
        s = make_text();
        sv_buf_append(&r->body, s.ptr, s.len);
    }
}

/* The row of the same path that the method leads to. */
static const struct ctl_route *with_method(struct request *r)
{
    const struct ctl_route *routes;
    size_t n;

    routes = ctl_routes(&n);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(routes[i].path, r->route->path) == 0 &&
            strcmp(routes[i].method, sv_buf_cstr(&r->method)) == 0)
            return &routes[i];
    }
    return NULL;
}

static unsigned count(const char *text, char c)
{
    unsigned n = 0;

    while ((text = strchr(text, c))) {
        text++;
        n++;
    }
    return n;
}

static void make_request(struct request *r)
{
    static const char *const methods[] = {"GET",  "PUT",     "POST", "DELETE",
                                          "HEAD", "OPTIONS", "BREW", ""};
    const struct ctl_route *routes;
    unsigned c;
    size_t n;

    routes = ctl_routes(&n);
    c = (unsigned)take(&in, 1);
    if (c < 250)
        r->route = &routes[c % n];
    c = (unsigned)take(&in, 1);
    r->who = c < 20 ? NOBODY : c < 150 ? FOE_ADMIN : c % WHO_COUNT;
    c = (unsigned)take(&in, 1);
    sv_buf_puts(&r->method,
                r->route && c < 240 ? r->route->method : methods[c % SV_COUNT(methods)]);
    if (r->route) {
        put_path(r);
        if (count(sv_buf_cstr(&r->path), '/') != count(r->route->path, '/'))
            r->route = NULL; /* it may be of another one */
        else
            r->route = with_method(r);
    } else {
        struct sv_str s = make_text();

        sv_buf_puts(&r->path, c & 1 ? "/v1/" : "/api/");
        sv_buf_append(&r->path, s.ptr, s.len);
    }
    put_query(r);
    put_body(r);
    put_fields(r);
}

/* ---- What is not asked ---- */

static bool has(struct sv_str in_text, const char *what)
{
    return in_text.len > 0 && memmem(in_text.ptr, in_text.len, what, strlen(what)) != NULL;
}

static struct sv_str str_of_buf(const struct sv_buf *b)
{
    return (struct sv_str){(const char *)b->data, b->len};
}

/* The operator changes nothing of the friend, whose owner only looks: what the foe may see stays as
 * it is. Both as they would do it: encoded paths are the foe's. */
static void keep_friend(struct request *r)
{
    bool reads = strcmp(sv_buf_cstr(&r->method), "GET") == 0;

    if (r->who < OPERATOR || reads)
        return;
    if (r->who == OPERATOR && r->route && !has(str_of_buf(&r->path), friend_name) &&
        !has(str_of_buf(&r->path), "%") && strncmp(sv_buf_cstr(&r->path), "/api/", 5) != 0)
        return;
    r->who = FOE_ADMIN;
}

/* ---- What is answered ---- */

static bool is_field_char(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

static void check_fields(struct sv_str s)
{
    while (s.len > 0) {
        const char *end = memmem(s.ptr, s.len, "\r\n", 2), *colon;

        fuzz_check(end != NULL, "a field without an end");
        colon = memchr(s.ptr, ':', (size_t)(end - s.ptr));
        fuzz_check(colon != NULL && colon > s.ptr, "a field without a name");
        for (const char *p = s.ptr; p < colon; p++)
            fuzz_check(is_field_char(*p), "a field's name");
        for (const char *p = colon; p < end; p++)
            fuzz_check((unsigned char)*p >= ' ' && *p != 127, "a field's value");
        s.len -= (size_t)(end + 2 - s.ptr);
        s.ptr = end + 2;
    }
}

/* The document says of arrays in answers no more than their items. */
static void check_shape(const char *shape, const json_t *json)
{
    struct sv_err err = {0};

    fuzz_check(ctl_shape_check(&err, shape, json) == 0 || strstr(err.text, "must be an array"),
               err.text);
}

static void learn(struct request *r, const json_t *json)
{
    const char *key;
    json_t *value;

    if (r->who >= OPERATOR)
        return;
    json_object_foreach((json_t *)json, key, value)
    {
        unsigned k = nlearned % LEARNED_MAX;

        if (json_is_integer(value))
            learned[k].len = (size_t)snprintf(learned[k].text, TEXT_MAX, "%lld",
                                              (long long)json_integer_value(value));
        else if (json_is_string(value) && json_string_length(value) < TEXT_MAX)
            memcpy(learned[k].text, json_string_value(value),
                   learned[k].len = json_string_length(value));
        else
            continue;
        nlearned++;
    }
}

/* A body that the reply's type says is JSON. */
static void check_json(struct request *r, unsigned status, struct sv_str body)
{
    bool faas = strncmp(sv_buf_cstr(&r->path), "/api/", 5) == 0;
    json_error_t error;
    json_t *json = json_loadb(body.len ? body.ptr : "", body.len,
                              JSON_DECODE_ANY | JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);

    fuzz_check(json != NULL, "a body that is no JSON");
    if (status >= 400)
        check_shape(faas ? "FaasError" : "Error", json);
    else if (r->route && ctl_shape_exists(r->route->reply))
        check_shape(r->route->reply, json);
    if (status >= 400 && !faas)
        fuzz_check(
            strcmp(json_string_value(json_object_get(json_object_get(json, "error"), "request_id")),
                   REQUEST_ID) == 0,
            "an error of another request");
    if (status < 300)
        learn(r, json);
    json_decref(json);
}

static bool is_seen(struct request *r, const char *mark)
{
    return has(str_of_buf(&r->path), mark) || has(str_of_buf(&r->query), mark);
}

static void check_answer(struct request *r, unsigned status, const struct plat_message *m)
{
    struct sv_str type = plat_get(m, PLAT_TAG_TEXT), given = plat_get(m, PLAT_TAG_FIELDS),
                  body = plat_get(m, PLAT_TAG_BODY);
    bool invoked = r->route && r->route->handler == ctl_v1_functions_invoke && status == 503;

    if (status >= 500 && !invoked)
        fprintf(stderr, "%u: %.*s\n", status, (int)body.len, body.ptr);
    fuzz_check(status >= 200 && (status < 500 || invoked), "a status that is nobody's fault");
    fuzz_check(status != 304 && (status < 300 || status >= 400), "a redirection");
    check_fields(given);
    if (r->route && status < 300 && strcmp(sv_buf_cstr(&r->method), "OPTIONS") != 0)
        fuzz_check(status == (unsigned)r->route->status, "not the status of the route");
    if (status == 204 || (r->route && status < 300 && strcmp(r->route->reply, "NONE") == 0))
        fuzz_check(body.len == 0, "a body where none is");
    else if (sv_str_eq(type, sv_str_of("application/json")) && body.len < BODY_MAX)
        check_json(r, status, body);
    else if (type.len > 5 && memcmp(type.ptr, "text/", 5) == 0)
        fuzz_check(sv_utf8_valid(body.ptr, body.len), "a text that is none");
    if (r->who >= OPERATOR)
        return;
    fuzz_check(!has(body, secret) && !has(given, secret), "a secret of another tenant");
    fuzz_check(is_seen(r, friend_name) || (!has(body, friend_name) && !has(given, friend_name)),
               "the name of another tenant");
}

/* ---- Two tenants ---- */

static void must(unsigned status, unsigned want, const char *what)
{
    if (status != want)
        fprintf(stderr, "fuzz: status %u: %s\n", status, last_answer);
    fuzz_check(status == want, what);
}

static void keep(const char *name, const json_t *json, const char *key)
{
    json_t *value = json_object_get(json, key);

    if (json_is_integer(value))
        snprintf(find_known(name), sizeof known[0].value, "%lld",
                 (long long)json_integer_value(value));
    else
        snprintf(find_known(name), sizeof known[0].value, "%s", json_string_value(value));
}

static void make_token(enum who who, const char *tenant, const char *scope)
{
    char path[80] = "/v1/tokens", body[80];
    json_t *json;

    if (tenant)
        snprintf(path, sizeof path, "/v1/tenants/%s/tokens", tenant);
    snprintf(body, sizeof body, "{\"name\":\"fuzz\",\"scopes\":[\"%s\"]}", scope);
    must(ask_text(OPERATOR, "POST", path, "", sv_str_of(body), &json), 201, "no token");
    snprintf(tokens[who], CTL_TOKEN_TEXT, "%s", json_string_value(json_object_get(json, "token")));
    keep("{token}", json, "id");
    json_decref(json);
}

static int end_job(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    (void)data;
    return ctl_sql_run(sql, err, "update queue set state = 'dead', error = 'x' where tenant = $1",
                       CTL_PARAMS(CTL_TEXT(FOE)));
}

/* One of each thing. */
static void fill_foe(void)
{
    static const char of_foe[] = "/v1/tenants/" FOE,
                      type[] = "Content-Type: multipart/form-data; boundary=b\r\n";
    static const char parts[] =
        "--b\r\nContent-Disposition: form-data; name=\"manifest\"\r\n\r\nname: f\nmodule: f.wasm\n"
        "triggers:\n  cron:\n    - schedule: '@hourly'\n\r\n--b\r\nContent-Disposition: "
        "form-data; name=\"wasm\"\r\n\r\n";
    struct sv_err err = {0};
    struct sv_buf body;
    json_t *json;
    char path[120];

    sv_buf_init(&body, BODY_MAX);
    for (unsigned i = 0; i < 2; i++) {
        sv_buf_clear(&body);
        sv_buf_puts(&body, parts);
        sv_buf_append(&body, "\0asm\1\0\0\0", 8);
        sv_buf_printf(&body, "%u\r\n--b--\r\n", i);
        snprintf(path, sizeof path, "%s/functions/f", of_foe);
        must(ask_text(FOE_ADMIN, "PUT", path, type, str_of_buf(&body), NULL), 200, "no function");
    }
    snprintf(path, sizeof path, "%s/functions/f/jobs", of_foe);
    must(ask_text(FOE_ADMIN, "POST", path, "", sv_str_of("a"), &json), 202, "no job");
    keep("{job}", json, "id");
    json_decref(json);
    fuzz_check(ctl_db_write(server->db, &err, end_job, NULL) == 0, err.text);
    snprintf(path, sizeof path, "%s/cron", of_foe);
    must(ask_text(FOE_ADMIN, "GET", path, "", sv_str_of(""), &json), 200, "no time table");
    keep("{entry}", json_array_get(json_object_get(json, "entries"), 0), "id");
    json_decref(json);
    snprintf(path, sizeof path, "%s/kv/a", of_foe);
    must(ask_text(FOE_ADMIN, "PUT", path, "", sv_str_of("a"), NULL), 204, "no key");
    snprintf(path, sizeof path, "%s/secrets/a", of_foe);
    must(ask_text(FOE_ADMIN, "PUT", path, "", sv_str_of("a"), NULL), 204, "no secret");
    must(ask_text(FOE_ADMIN, "POST", "/api/executables", "", (struct sv_str){"\0asm\1\0\0\0", 8},
                  &json),
         200, "no function of /api");
    keep("{id}", json, "wasm_id");
    snprintf(admin_key, sizeof admin_key, "%s",
             json_string_value(json_object_get(json, "admin_key")));
    json_decref(json);
    must(ask_text(FOE_ADMIN, "POST", "/api/ephemeral_storage", "", sv_str_of("1"), &json), 200,
         "nothing kept");
    snprintf(ephemeral, sizeof ephemeral, "%s", json_string_value(json_object_get(json, "key")));
    json_decref(json);
    sv_buf_release(&body);
}

static void make_foe(void)
{
    must(ask_text(OPERATOR, "POST", "/v1/tenants", "", sv_str_of("{\"name\":\"" FOE "\"}"), NULL),
         201, "no tenant");
    make_token(FOE_ADMIN, FOE, "admin");
    make_token(FOE_READ, FOE, "read");
    make_token(FOE_INVOKE, FOE, "invoke");
    make_token(FOE_DEPLOY, FOE, "deploy");
    make_token(FOE_STATE, FOE, "state");
    fill_foe();
}

/* By its owner: everything that a tenant may have has the secret. */
static void put_secrets(void)
{
    char path[200], body[600], fields_text[200];
    char *const at = path + snprintf(path, sizeof path, "/v1/tenants/%s", friend_name);
    const size_t room = sizeof path - (size_t)(at - path);
    json_t *json;

    snprintf(at, room, "/kv/%s", secret);
    must(ask_text(OWNER, "PUT", path, "", sv_str_of(secret), NULL), 204, "no key");
    snprintf(at, room, "/secrets/%s", secret);
    must(ask_text(OWNER, "PUT", path, "", sv_str_of(secret), NULL), 204, "no secret");
    snprintf(body, sizeof body,
             "--b\r\nContent-Disposition: form-data; name=\"manifest\"\r\n\r\nname: %s\n"
             "usage-key: on\nstatic:\n  dir: site\ntriggers:\n  cron:\n    - schedule: '@hourly'\n "
             "     path: /%s\r\n"
             "--b\r\nContent-Disposition: form-data; name=\"site/%s\"\r\n\r\n%s\r\n--b--\r\n",
             secret, secret, secret, secret);
    snprintf(at, room, "/functions/%s", secret);
    must(ask_text(OWNER, "PUT", path, "Content-Type: multipart/form-data; boundary=b\r\n",
                  sv_str_of(body), NULL),
         200, "no function");
    snprintf(at, room, "/functions/%s/jobs", secret);
    snprintf(fields_text, sizeof fields_text, "traceparent: %s\r\n", secret);
    must(ask_text(OWNER, "POST", path, fields_text, sv_str_of(secret), NULL), 202, "no job");
    snprintf(fields_text, sizeof fields_text,
             "SSVM-Description: %s\r\nSSVM-Create-Usage-Key: true\r\n", secret);
    snprintf(body, sizeof body, "_asm\1___%s", secret);
    memcpy(body, "\0asm\1\0\0\0", 8);
    must(ask_text(OWNER, "POST", "/api/executables", fields_text,
                  (struct sv_str){body, 8 + strlen(secret)}, &json),
         200, "no function of /api");
    snprintf(path, sizeof path, "/api/state/%lld",
             (long long)json_integer_value(json_object_get(json, "wasm_id")));
    json_decref(json);
    must(ask_text(OWNER, "PUT", path, "", sv_str_of(secret), NULL), 200, "no state");
    snprintf(body, sizeof body, "\"%s\"", secret);
    must(ask_text(OWNER, "POST", "/api/ephemeral_storage", "", sv_str_of(body), NULL), 200,
         "nothing kept");
}

/* What the friend's calls have left: records, a failure, lines of the log. */
static void put_history(void)
{
    struct plat_ring *ring = fuzz_control_ring(server, 0);
    struct plat_record r = {.time_ns = sv_clock_wall_ns(), .wall_ns = 1000000, .status = 500};
    struct plat_message m, ret;
    struct sv_err err = {0};

    snprintf(r.tenant, sizeof r.tenant, "%s", friend_name);
    snprintf(r.function, sizeof r.function, "%s", secret);
    snprintf(r.id, sizeof r.id, "%.20s", secret);
    snprintf(r.code, sizeof r.code, "%.30s", secret);
    r.hosts[0] = (uint64_t)plat_ring_host(ring, secret, 5) << PLAT_HOST_SHIFT | 3;
    fuzz_check(plat_ring_write(ring, &r, 0), "no record");
    fuzz_check(ctl_ledger_drain(server, &err) == 0, err.text);
    plat_message_init(&m, PLAT_FAILURE);
    plat_message_init(&ret, PLAT_FAILURE);
    plat_put(&m, PLAT_TAG_RECORD, &r, sizeof r);
    plat_put_str(&m, PLAT_TAG_TEXT, secret);
    plat_put_str(&m, PLAT_TAG_BACKTRACE, secret);
    plat_put_str(&m, PLAT_TAG_TENANT, friend_name);
    plat_put_str(&m, PLAT_TAG_FUNCTION, secret);
    plat_put_str(&m, PLAT_TAG_REQUEST_ID, r.id);
    fuzz_check(ctl_why_note(server, &err, &m, &ret) == 0, err.text);
    fuzz_check(ctl_log_note(server, &err, &m, &ret) == 0, err.text);
    plat_message_release(&m);
    plat_message_release(&ret);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    uint64_t random[2];
    char body[80];
    int fd;

    (void)argc, (void)argv;
    server = fuzz_control_start();
    fuzz_check(ctl_random(NULL, random, sizeof random) == 0, "no chance");
    snprintf(friend_name, sizeof friend_name, "t%016llx", (unsigned long long)random[0]);
    snprintf(secret, sizeof secret, "s%016llx", (unsigned long long)random[1]);
    fd = openat(server->data_fd, "admin-token", O_RDONLY);
    fuzz_check(read(fd, tokens[OPERATOR], CTL_TOKEN_TEXT - 1) == CTL_TOKEN_TEXT - 1, "no token");
    close(fd);
    snprintf(body, sizeof body, "{\"name\":\"%s\"}", friend_name);
    must(ask_text(OPERATOR, "POST", "/v1/tenants", "", sv_str_of(body), NULL), 201, "no tenant");
    make_token(OWNER, friend_name, "admin");
    make_foe();
    put_secrets();
    put_history();
    return 0;
}

/* ---- Between two inputs ---- */

/* Rows of what a deleted tenant had: none, but in the accounts. */
static int count_left(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    static const char *const counts[] = {
        "select count(*) from tenants where name = $1",
        "select count(*) from tokens where tenant = $1",
        "select count(*) from kv where tenant = $1",
        "select count(*) from kv_usage where tenant = $1",
        "select count(*) from secrets where tenant = $1",
        "select count(*) from ephemeral where tenant = $1",
        "select count(*) from queue where tenant = $1",
        "select count(*) from functions where tenant = $1 and deleted = 0",
        "select count(*) from requests where tenant = $1",
        "select count(*) from cron c join functions f on f.id = c.function_id where f.tenant = $1",
    };
    int r = 0;

    (void)data;
    for (size_t i = 0; r == 0 && i < SV_COUNT(counts); i++) {
        r = ctl_sql_run(sql, err, counts[i], CTL_PARAMS(CTL_TEXT(FOE)));
        fuzz_check(r == 0 && ctl_sql_next(sql, err) == 1, err->text);
        fuzz_check(ctl_sql_int(sql, 0) == 0, counts[i]);
    }
    return r;
}

/* What the operator has made beside the two tenants, and in the default one. */
static int clear_others(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    static const char *const statements[] = {
        "delete from tenants where name not in ($1, 'default')",
        "delete from kv where tenant <> $1",
        "delete from kv_usage where tenant <> $1",
        "delete from secrets where tenant <> $1",
        "delete from ephemeral where tenant <> $1",
        "delete from queue where tenant <> $1",
    };
    int r = 0;

    (void)data;
    for (size_t i = 0; r == 0 && i < SV_COUNT(statements); i++)
        r = ctl_sql_run(sql, err, statements[i], CTL_PARAMS(CTL_TEXT(friend_name)));
    if (r == 0)
        r = ctl_sql_run(sql, err, "delete from tokens where tenant <> $1 and name <> 'first'",
                        CTL_PARAMS(CTL_TEXT(friend_name)));
    return r;
}

static void clear_default(void)
{
    json_t *json, *function;
    char path[200];
    size_t i;

    must(ask_text(OPERATOR, "GET", "/v1/tenants/default/functions", "", sv_str_of(""), &json), 200,
         "no list");
    json_array_foreach(json_object_get(json, "functions"), i, function)
    {
        snprintf(path, sizeof path, "/v1/tenants/default/functions/%s",
                 json_string_value(json_object_get(function, "name")));
        must(ask_text(OPERATOR, "DELETE", path, "", sv_str_of(""), NULL), 204, "not deleted");
    }
    json_decref(json);
}

/* The operator's token may have been replaced, by itself. */
static int renew_operator(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    uint8_t digest[SV_SHA256_LEN];
    int r;

    (void)data;
    ctl_token_digest(sv_str_of(tokens[OPERATOR]), digest);
    r = ctl_sql_run(sql, err, "delete from tokens where tenant = '*'", CTL_NO_PARAMS);
    if (r == 0)
        r = ctl_sql_run(sql, err,
                        "insert into tokens (tenant, name, digest, scopes, created_ms) values "
                        "('*', 'first', $1, 'admin', 1)",
                        CTL_PARAMS(CTL_BLOB(digest, sizeof digest)));
    return r;
}

static void begin_anew(void)
{
    struct sv_err err = {0};
    unsigned status;

    nlearned = 0;
    fuzz_check(ctl_db_write(server->db, &err, renew_operator, NULL) == 0, err.text);
    status = ask_text(OPERATOR, "DELETE", "/v1/tenants/" FOE, "", sv_str_of(""), NULL);
    must(status == 404 ? 204 : status, 204, "a tenant cannot be deleted");
    fuzz_check(ctl_db_read(server->db, &err, count_left, NULL) == 0, err.text);
    clear_default();
    fuzz_check(ctl_db_write(server->db, &err, clear_others, NULL) == 0, err.text);
    make_foe();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool changed = false;

    inputs++;
    in = (struct input){data, size};
    if (has((struct sv_str){(const char *)data, size}, secret) ||
        has((struct sv_str){(const char *)data, size}, friend_name))
        return -1; /* it was seen in our memory */
    for (unsigned i = 0; i < REQUESTS_MAX && in.len > 0; i++) {
        struct request r;
        struct plat_message answer;
        unsigned status, c = (unsigned)take(&in, 1);

        if (c > 250)
            fuzz_control_tick(server, (unsigned)take(&in, 1));
        request_init(&r);
        make_request(&r);
        keep_friend(&r);
        if (!has(str_of_buf(&r.query), "wait")) {
            status = ask(&r, &answer);
            check_answer(&r, status, &answer);
            plat_message_release(&answer);
            changed = changed || (status < 300 && strcmp(sv_buf_cstr(&r.method), "GET") != 0);
        }
        request_release(&r);
    }
    if (changed)
        begin_anew();
    if (inputs % 256 == 0)
        ctl_blob_collect(server, 0);
    fuzz_control_count();
    return 0;
}
