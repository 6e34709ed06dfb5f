/* /api: functions, keys, state, callbacks and logs as in 2020. What forgets is faas_ephemeral.c's;
 * calls are the workers'. */
#include "control/faas.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

#include "base/sha256.h"
#include "control/deploy.h"
#include "control/key.h"
#include "control/ledger.h"
#include "control/log.h"
#include "control/shape.h"
#include "control/throttle.h"
#include "control/token.h"

#define NO_KEY "00000000-0000-0000-0000-000000000000"
#define STATE_MAX 65536
#define LOG_LINES 200

/* ---- Who may ---- */

struct keys {
    uint64_t id;
    bool there, given; /* the row; its admin key */
    uint8_t admin[SV_SHA256_LEN];
    const void *put; /* a digest to write */
};

static int read_admin(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct keys *keys = data;
    struct sv_str digest;
    int r = ctl_sql_run(sql, err, "select admin_key from functions where id = $1 and deleted = 0",
                        CTL_PARAMS(CTL_INT(keys->id)));

    keys->there = keys->given = false;
    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0)
        return r;
    digest = ctl_sql_str(sql, 0);
    keys->there = true;
    keys->given = digest.len == SV_SHA256_LEN;
    if (keys->given)
        memcpy(keys->admin, digest.ptr, SV_SHA256_LEN);
    return 0;
}

static int write_admin(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct keys *keys = data;

    return ctl_sql_run(sql, err, "update functions set admin_key = $2 where id = $1",
                       CTL_PARAMS(CTL_INT(keys->id), CTL_BLOB(keys->put, SV_SHA256_LEN)));
}

static int refuse(struct ctl_reply *reply, const struct ctl_request *request, const char *what)
{
    return ctl_reply_error(reply, request, 401, "wrong_key",
                           "Wrong %s key ... %s can not be accessed.", what,
                           request->params[0].ptr);
}

/* The token may do that with this function. */
static bool has_token(const struct ctl_request *request, const struct ctl_function *function,
                      enum ctl_scope scope)
{
    return request->token_tenant && ctl_request_may(request, scope) &&
           (strcmp(request->token_tenant, CTL_ALL_TENANTS) == 0 ||
            strcmp(request->token_tenant, function->tenant) == 0);
}

/* Whether the request's field is the secret with that digest. 1: yes; 0: no; -1: too many wrong
 * ones came from there: the reply says it. */
static int has_key(struct ctl_request *request, struct ctl_reply *reply, const char *field,
                   const uint8_t *digest)
{
    struct sv_str given = ctl_request_field(request, field);
    uint8_t of[SV_SHA256_LEN];
    bool good;

    if (!given.ptr)
        return 0;
    sv_sha256(given.ptr, given.len, of);
    if (ctl_throttle_must_wait(request->peer, of)) {
        ctl_reply_error(reply, request, 429, "too_many_tries",
                        "too many bad keys came from this address");
        ctl_reply_field(reply, "Retry-After", "60");
        return -1;
    }
    good = sv_secret_eq(of, digest, SV_SHA256_LEN);
    ctl_throttle_note(request->peer, of, good);
    return good;
}

/* A reference to the function of the path; NULL: the reply says why not. */
static own struct ctl_function *find(struct ctl_request *request, struct ctl_reply *reply)
{
    struct ctl_function *function =
        ctl_registry_find_id(request->server, strtoull(request->params[0].ptr, NULL, 10));

    if (!function)
        ctl_reply_error(reply, request, 404, "not_found", "%s does not exist",
                        request->params[0].ptr);
    return function;
}

/* Is it the owner who asks? 1, 0, or negative: it failed, or the reply is ready (err has no code).
 */
static int is_owner(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err,
                    const struct ctl_function *function, enum ctl_scope scope)
{
    struct keys keys = {.id = function->id};
    int r;

    if (has_token(request, function, scope))
        return 1;
    r = ctl_db_read(request->server->db, err, read_admin, &keys);
    if (r < 0)
        return r;
    return keys.given ? has_key(request, reply, "SSVM-Admin-Key", keys.admin) : 0;
}

/* The function of the path, for its owner alone. NULL: the reply is ready, or *ret_r negative. */
static own struct ctl_function *find_owned(struct ctl_request *request, struct ctl_reply *reply,
                                           struct sv_err *err, int *ret_r)
{
    struct ctl_function *function = find(request, reply);
    int owner;

    *ret_r = 0;
    if (!function)
        return NULL;
    owner = is_owner(request, reply, err, function, CTL_SCOPE_DEPLOY);
    if (owner > 0)
        return function;
    if (owner == 0)
        refuse(reply, request, "admin");
    *ret_r = err->code;
    ctl_function_unref(function);
    return NULL;
}

/* May it be called? As is_owner. */
static int is_user(struct ctl_request *request, struct ctl_reply *reply,
                   const struct ctl_function *function)
{
    if (!function->keyed)
        return 1;
    return has_key(request, reply, "SSVM-Usage-Key", function->key);
}

/* ---- Deploying ---- */

static json_t *sha256_json(const uint8_t digest[PLAT_DIGEST_BYTES])
{
    json_t *hex = ctl_json_hex(digest, PLAT_DIGEST_BYTES),
           *text = json_sprintf("0x%s", json_string_value(hex));

    json_decref(hex);
    return text;
}

static json_t *version_sha256(const struct ctl_function *function, const char *which)
{
    const struct ctl_version *version = ctl_function_version(function, which);

    return version ? sha256_json(version->digest) : json_string("");
}

static bool is_true(struct sv_str s)
{
    return s.len == 4 && strncasecmp(s.ptr, "true", 4) == 0;
}

/* A name of its own, and the keys. */
static int answer_new(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err,
                      const struct ctl_function *function)
{
    char admin[CTL_UUID_TEXT], usage[CTL_UUID_TEXT] = NO_KEY;
    uint8_t digest[SV_SHA256_LEN];
    struct keys keys = {.id = function->id, .put = digest};
    int r = ctl_uuid_new(err, admin);

    sv_sha256(admin, CTL_UUID_TEXT - 1, digest);
    if (r == 0)
        r = ctl_db_write(request->server->db, err, write_admin, &keys);
    if (r == 0 && is_true(ctl_request_field(request, "SSVM-Create-Usage-Key")))
        r = ctl_usage_key_new(request->server, err, function->tenant, function->name, usage);
    if (r < 0)
        return r;
    ctl_reply_field(reply, "Cache-Control", "no-store");
    return ctl_reply_json(reply, 200,
                          json_pack("{s:I,s:o,s:s,s:s,s:s,s:s}", "wasm_id",
                                    (json_int_t)function->id, "wasm_sha256",
                                    version_sha256(function, ""), "usage_key", usage, "admin_key",
                                    admin, "SSVM_Usage_Key", usage, "SSVM_Admin_Key", admin));
}

int ctl_faas_new(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct sv_str text = ctl_request_field(request, "SSVM-Description");
    struct ctl_deploy deploy = {.tenant = request->tenant ? request->tenant : CTL_DEFAULT_TENANT,
                                .module = request->body};
    struct ctl_deployed deployed = {0};
    uint64_t random;
    char name[24];
    int r;

    if (request->body.len == 0)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "the body is empty: it is the module");
    deploy.description = text.ptr ? sv_arena_strndup(&request->arena, text.ptr, text.len) : "";
    r = ctl_random(err, &random, sizeof random);
    snprintf(name, sizeof name, "api-%016" PRIx64, random);
    deploy.name = name;
    if (r == 0)
        r = ctl_deploy(request->server, err, &deploy, &deployed);
    if (r < 0)
        return r;
    r = answer_new(request, reply, err, deployed.function);
    ctl_function_unref(deployed.function);
    return r;
}

int ctl_faas_update(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct ctl_deployed deployed = {0};
    struct ctl_function *function;
    struct ctl_deploy deploy;
    int r;

    function = find_owned(request, reply, err, &r);
    if (!function)
        return r;
    deploy = (struct ctl_deploy){.tenant = function->tenant,
                                 .name = function->name,
                                 .module = request->body,
                                 .no_key = true};
    if (request->body.len == 0)
        r = sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "the body is empty: it is the module");
    else
        r = ctl_deploy(request->server, err, &deploy, &deployed);
    if (r == 0) {
        char number[16];

        snprintf(number, sizeof number, "%u", deployed.number);
        ctl_reply_json(reply, 200,
                       json_pack("{s:I,s:o}", "wasm_id", (json_int_t)function->id, "wasm_sha256",
                                 version_sha256(deployed.function, number)));
        ctl_function_unref(deployed.function);
    }
    ctl_function_unref(function);
    return r;
}

int ctl_faas_delete(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct ctl_function *function;
    int r;

    function = find_owned(request, reply, err, &r);
    if (!function)
        return r;
    r = ctl_registry_delete(request->server, err, function->tenant, function->name);
    if (r == 0)
        ctl_reply_json(reply, 200, json_pack("{s:I}", "wasm_id", (json_int_t)function->id));
    ctl_function_unref(function);
    return r;
}

/* In the order of ids: they come by name. */
static bool add_id(void *data, const struct ctl_function *function)
{
    size_t i = json_array_size(data);

    while (i > 0 && json_integer_value(json_object_get(json_array_get(data, i - 1), "wasm_id")) >
                        (json_int_t)function->id)
        i--;
    json_array_insert_new(data, i, json_pack("{s:I}", "wasm_id", (json_int_t)function->id));
    return true;
}

int ctl_faas_list(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    json_t *ids = json_array();
    int r = ctl_registry_list(request->server, err, request->tenant, add_id, ids);

    if (r < 0) {
        json_decref(ids);
        return r;
    }
    return ctl_reply_json(reply, 200, ids);
}

/* ---- Keys, state, callback ---- */

int ctl_faas_key_put(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct ctl_function *function;
    char key[CTL_UUID_TEXT];
    int r;

    function = find_owned(request, reply, err, &r);
    if (!function)
        return r;
    r = ctl_usage_key_new(request->server, err, function->tenant, function->name, key);
    ctl_reply_field(reply, "Cache-Control", "no-store");
    if (r == 0)
        ctl_reply_json(reply, 200, json_pack("{s:s}", "SSVM_Usage_Key", key));
    ctl_function_unref(function);
    return r;
}

int ctl_faas_key_delete(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct ctl_function *function;
    int r;

    function = find_owned(request, reply, err, &r);
    if (!function)
        return r;
    r = ctl_registry_set_key(request->server, err, function->tenant, function->name, NULL);
    if (r == 0)
        ctl_reply_json(reply, 200, json_pack("{s:s}", "SSVM_Usage_Key", NO_KEY));
    ctl_function_unref(function);
    return r;
}

/* Set a text of the function's; the answer is its id. */
static int put_text(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err,
                    enum ctl_function_text which, const char *text)
{
    struct ctl_function *function;
    int r;

    function = find_owned(request, reply, err, &r);
    if (!function)
        return r;
    r = ctl_registry_set_text(request->server, err, function->tenant, function->name, which, text);
    if (r == 0)
        ctl_reply_json(reply, 200, json_integer((json_int_t)function->id));
    ctl_function_unref(function);
    return r;
}

int ctl_faas_state_put(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct sv_str body = request->body;
    const char *text = sv_arena_strndup(&request->arena, body.len ? body.ptr : "", body.len);

    if (!text)
        return sv_fail_nomem(err, "the state");
    if (body.len > STATE_MAX || strlen(text) != body.len || !sv_utf8_valid(text, body.len))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       "the state is text without NUL, of at most %d bytes", STATE_MAX);
    return put_text(request, reply, err, CTL_FUNCTION_STATE, text);
}

int ctl_faas_state_get(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct ctl_function *function = find(request, reply);
    int may;

    if (!function)
        return 0;
    may = is_user(request, reply, function);
    if (may == 0)
        may = is_owner(request, reply, err, function, CTL_SCOPE_READ);
    if (may > 0) {
        reply->type = "text/plain; charset=utf-8";
        sv_buf_puts(&reply->body, function->state ? function->state : "");
    } else if (may == 0) {
        refuse(reply, request, "usage");
    }
    ctl_function_unref(function);
    return err->code;
}

/* {hostname, path, method, protocol, port, headers}, or {}. NULL, or what is wrong. */
static const char *check_callback(const json_t *callback)
{
    static const char *const keys[] = {"hostname", "path", "method", "protocol", "port", "headers"};
    json_t *port = json_object_get(callback, "port"),
           *headers = json_object_get(callback, "headers"), *value;
    const char *key;

    if (!json_is_object(callback))
        return "a callback is a JSON object";
    json_object_foreach((json_t *)callback, key, value)
    {
        size_t i = 0;

        while (i < SV_COUNT(keys) && strcmp(key, keys[i]) != 0)
            i++;
        if (i == SV_COUNT(keys))
            return "a callback has hostname, path, method, protocol, port and headers alone";
        if (i < 4 && !json_is_string(value))
            return "hostname, path, method and protocol are strings";
    }
    if (json_object_size(callback) > 0 && !json_object_get(callback, "hostname"))
        return "a callback needs a hostname";
    if (port && (!json_is_integer(port) || json_integer_value(port) < 1 ||
                 json_integer_value(port) > 65535))
        return "port is a number from 1 to 65535";
    if (headers && !json_is_object(headers))
        return "headers is an object";
    json_object_foreach(headers, key, value)
    {
        if (!json_is_string(value))
            return "the values of headers are strings";
    }
    return NULL;
}

int ctl_faas_callback_put(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    const char *why = check_callback(request->json);
    char *text;
    int r;

    if (why)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "%s", why);
    text =
        json_object_size(request->json) > 0 ? json_dumps(request->json, JSON_COMPACT) : strdup("");
    if (!text)
        return sv_fail_nomem(err, "the callback");
    r = put_text(request, reply, err, CTL_FUNCTION_CALLBACK, text);
    free(text);
    return r;
}

/* ---- Looking ---- */

struct look {
    struct ctl_request *request;
    const struct ctl_function *function;
    const struct ctl_version *version; /* NULL: it has none */
    json_t *lines;                     /* of the log, the last first */
    uint64_t calls, gas, wall_ns;
};

static json_t *buffer_json(struct look *look)
{
    own int fd =
        look->version ? ctl_registry_open_blob(look->request->server, look->version->digest) : -1;
    json_t *bytes = json_array();
    uint8_t buf[4096];
    ssize_t n;

    while (fd >= 0 && (n = read(fd, buf, sizeof buf)) > 0) {
        for (ssize_t i = 0; i < n; i++)
            json_array_append_new(bytes, json_integer(buf[i]));
    }
    if (fd >= 0)
        close(fd);
    return json_pack("{s:s,s:o}", "type", "Buffer", "data", bytes);
}

static json_t *callback_json(struct look *look)
{
    json_t *callback =
        look->function->callback ? json_loads(look->function->callback, 0, NULL) : NULL;

    return callback ? callback : json_object();
}

/* Calls of the log: [{"time", "gas", "execution_time"}], as the lines of 2020's usage files. */
static json_t *report_json(struct look *look)
{
    json_t *report = json_array(), *line;
    size_t i;

    json_array_foreach(look->lines, i, line)
    {
        double ms = json_number_value(json_object_get(line, "run_ms"));

        json_array_append_new(report,
                              json_pack("{s:O?,s:O?,s:I}", "time", json_object_get(line, "time"),
                                        "gas", json_object_get(line, "gas"), "execution_time",
                                        (json_int_t)(ms * 1e6)));
    }
    return report;
}

static json_t *latest_json(struct look *look)
{
    json_t *last = json_array_get(look->lines, 0);

    return json_integer((json_int_t)(json_number_value(json_object_get(last, "run_ms")) * 1e6));
}

static json_t *id_json(struct look *look)
{
    return json_integer((json_int_t)look->function->id);
}
static json_t *description_json(struct look *look)
{
    const char *text = look->function->description;

    return ctl_json_str(sv_str_of(text ? text : ""));
}
static json_t *digest_json(struct look *look)
{
    return look->version ? sha256_json(look->version->digest) : json_string("");
}
static json_t *state_json(struct look *look)
{
    return ctl_json_str(sv_str_of(look->function->state ? look->function->state : ""));
}
static json_t *gas_json(struct look *look)
{
    return json_integer((json_int_t)look->gas);
}
static json_t *calls_json(struct look *look)
{
    return json_integer((json_int_t)look->calls);
}

static const struct {
    const char *name;
    json_t *(*get)(struct look *);
    bool owner; /* for the owner alone */
    bool large; /* only when it is asked for */
} looks[] = {
    {"wasm_id", id_json, false, false},
    {"wasm_description", description_json, false, false},
    {"wasm_sha256", digest_json, false, false},
    {"wasm_state", state_json, false, false},
    {"wasm_as_buffer", buffer_json, true, true},
    {"wasm_callback_object", callback_json, true, false},
    {"total_gas_consumed", gas_json, true, false},
    {"total_invocations", calls_json, true, false},
    {"full_usage_report", report_json, true, true},
    {"latest_execution_time_in_nanoseconds", latest_json, true, false},
};

/* The query's filter. False: the reply says what is wrong. NULL: all. */
static bool read_filter(struct ctl_request *request, struct ctl_reply *reply,
                        const char *const *valid, size_t nvalid, own json_t **ret)
{
    const char *text = ctl_request_query(request, "filterBy");
    json_t *filter = text ? json_loads(text, 0, NULL) : NULL, *word, *words;
    size_t i, k;

    *ret = NULL;
    if (!text)
        return true;
    json_array_foreach(filter, i, word)
    {
        for (k = 0; k < nvalid; k++) {
            if (json_is_string(word) && strcmp(json_string_value(word), valid[k]) == 0)
                break;
        }
        if (k == nvalid)
            break;
    }
    if (json_is_array(filter) && i == json_array_size(filter)) {
        *ret = filter;
        return true;
    }
    json_decref(filter);
    words = json_array();
    for (k = 0; k < nvalid; k++)
        json_array_append_new(words, json_string(valid[k]));
    ctl_reply_json(reply, 400,
                   json_pack("{s:s,s:o}", "error", "filterBy is an array of valid filters",
                             "valid_filters_include", words));
    return false;
}

static bool is_wanted(const json_t *filter, const char *name)
{
    json_t *word;
    size_t i;

    json_array_foreach(filter, i, word)
    {
        if (strcmp(json_string_value(word), name) == 0)
            return true;
    }
    return false;
}

/* The function's requests in the log, the last first. */
static int read_lines(struct ctl_request *request, struct sv_err *err,
                      const struct ctl_function *function, own json_t **ret)
{
    struct ctl_log_query query = {
        .tenant = function->tenant, .function = function->name, .max = LOG_LINES};
    json_t *page, *line, *lines = json_array();
    struct sv_buf text;
    int r;

    sv_buf_init(&text, SIZE_MAX);
    r = ctl_log_read(request->server, err, &query, &text);
    page = r == 0 ? json_loadb((char *)text.data, text.len, 0, NULL) : NULL;
    sv_buf_release(&text);
    for (size_t i = json_array_size(json_object_get(page, "lines")); i-- > 0;) {
        const char *event;

        line = json_array_get(json_object_get(page, "lines"), i);
        event = json_string_value(json_object_get(line, "event"));
        if (event && strcmp(event, "request") == 0)
            json_array_append(lines, line);
    }
    json_decref(page);
    *ret = lines;
    return r;
}

static int answer_look(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err,
                       const struct ctl_function *function, bool owner, const json_t *filter)
{
    struct look look = {
        .request = request, .function = function, .version = ctl_function_version(function, "")};
    json_t *json = json_object();
    int r = 0;

    if (owner) {
        r = ctl_ledger_function(request->server, err, function->tenant, function->name, &look.calls,
                                &look.gas, &look.wall_ns);
        if (r == 0)
            r = read_lines(request, err, function, &look.lines);
    }
    for (size_t i = 0; r == 0 && i < SV_COUNT(looks); i++) {
        if ((owner || !looks[i].owner) &&
            (filter ? is_wanted(filter, looks[i].name) : !looks[i].large))
            json_object_set_new(json, looks[i].name, looks[i].get(&look));
    }
    json_decref(look.lines);
    if (r < 0) {
        json_decref(json);
        return r;
    }
    return ctl_reply_json(reply, 200, json);
}

/* Whether the filter wants what the owner alone may see. */
static bool wants_owner(const json_t *filter)
{
    for (size_t i = 0; i < SV_COUNT(looks); i++) {
        if (looks[i].owner && is_wanted(filter, looks[i].name))
            return true;
    }
    return false;
}

int ctl_faas_get(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    const char *valid[SV_COUNT(looks)];
    struct ctl_function *function = find(request, reply);
    json_t *filter = NULL;
    int owner, user = 1;

    if (!function)
        return 0;
    for (size_t i = 0; i < SV_COUNT(looks); i++)
        valid[i] = looks[i].name;
    owner = is_owner(request, reply, err, function, CTL_SCOPE_READ);
    if (owner == 0)
        user = is_user(request, reply, function);
    if (owner < 0 || user < 0 || !read_filter(request, reply, valid, SV_COUNT(valid), &filter)) {
        ctl_function_unref(function);
        return err->code;
    }
    if (user == 0)
        refuse(reply, request, "usage");
    else if (owner == 0 && wants_owner(filter))
        refuse(reply, request, "admin");
    else
        answer_look(request, reply, err, function, owner > 0, filter);
    json_decref(filter);
    ctl_function_unref(function);
    return err->code;
}

int ctl_faas_log(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    static const char *const valid[] = {"log_id", "wasm_executable_id", "wasm_executable_state",
                                        "execution_timestamp", "execution_object"};
    struct ctl_function *function;
    json_t *filter, *lines = NULL, *rows, *line;
    size_t i;
    int r;

    function = find_owned(request, reply, err, &r);
    if (!function)
        return r;
    if (!read_filter(request, reply, valid, SV_COUNT(valid), &filter)) {
        ctl_function_unref(function);
        return 0;
    }
    r = read_lines(request, err, function, &lines);
    rows = json_array();
    json_array_foreach(lines, i, line)
    {
        json_t *row = json_pack("{s:O?,s:I,s:o,s:O?,s:O}", valid[0], json_object_get(line, "id"),
                                valid[1], (json_int_t)function->id, valid[2],
                                ctl_json_str(sv_str_of(function->state ? function->state : "")),
                                valid[3], json_object_get(line, "time"), valid[4], line);

        for (size_t k = 0; filter && k < SV_COUNT(valid); k++) {
            if (!is_wanted(filter, valid[k]))
                json_object_del(row, valid[k]);
        }
        json_array_append_new(rows, row);
    }
    json_decref(lines);
    json_decref(filter);
    ctl_function_unref(function);
    if (r < 0) {
        json_decref(rows);
        return r;
    }
    return ctl_reply_json(reply, 200, rows);
}
