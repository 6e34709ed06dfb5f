/* Calls over /api as in 2020. See faas.h. */
#include "serve/faas.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/sha256.h"
#include "platform/multipart.h"
#include "serve/call.h"
#include "serve/faas_outbound.h"
#include "serve/loop.h"

#define KEY_CALLBACK "SSVM_Callback" /* reserved in bodies; header fields as well */
#define KEY_FETCH "SSVM_Fetch"
#define MULTIPART_PREFIX "multipart/"
#define RUN_PREFIX "run/"
#define BYTES_END "/bytes"
#define ID_DIGITS_MAX 18
#define NS_PER_MS 1000000U

struct srv_faas {
    uint64_t id;
    bool multipart, bytes;
    own json_t *body, *callback; /* callback NULL: the stored one counts */
    own char *text;              /* the body without what is reserved */
    unsigned nfetched;
    struct plat_message fetched[SRV_PARAMS_MAX];
    char wasm_id[32], storage_key[48]; /* variables of the guest's environment */
};

void srv_faas_delete(own struct srv_faas *faas)
{
    if (!faas)
        return;
    for (unsigned i = 0; i < faas->nfetched; i++)
        plat_message_release(&faas->fetched[i]);
    json_decref(faas->body);
    json_decref(faas->callback);
    free(faas->text);
    free(faas);
}

/* ---- Finding ---- */

static bool skip(const char **p, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(*p, word, n) != 0)
        return false;
    *p += n;
    return true;
}

/* [multipart/]run/ID/FUNCTION[/bytes] */
static bool read_path(struct srv_request *request, struct srv_faas *faas)
{
    const char *p = request->path + sizeof SRV_FAAS_PREFIX - 1,
               *end = request->path + request->path_len;
    const size_t n = sizeof BYTES_END - 1;
    unsigned digits = 0;

    faas->multipart = skip(&p, MULTIPART_PREFIX);
    if (!skip(&p, RUN_PREFIX))
        return false;
    for (; *p >= '0' && *p <= '9' && digits < ID_DIGITS_MAX; p++, digits++)
        faas->id = faas->id * 10 + (uint64_t)(*p - '0');
    if (digits == 0 || *p != '/')
        return false;
    faas->bytes = (size_t)(end - p) > n + 1 && memcmp(end - n, BYTES_END, n) == 0;
    request->name = p;
    request->name_len = (size_t)(end - p) - (faas->bytes ? n : 0);
    return true;
}

enum srv_find srv_faas_find(struct srv_conn *conn)
{
    struct srv_request *request = &conn->work->request;
    struct srv_faas *faas = calloc(1, sizeof *faas);

    request->faas = faas;
    if (!faas || !read_path(request, faas))
        return SRV_FIND_NONE;
    return srv_registry_find_id(conn, faas->id);
}

/* ---- Arguments ---- */

static int refuse(struct srv_conn *conn, int status, const char *code, const char *message)
{
    srv_conn_fail(conn, status, code, message);
    return -1;
}

static bool has_prefix(struct sv_str s, const char *word)
{
    size_t n = strlen(word);

    return s.len >= n && strncasecmp(s.ptr, word, n) == 0;
}

static bool is_bytes_type(struct sv_str type)
{
    return has_prefix(type, "image/") || has_prefix(type, "application/octet-stream");
}

static bool is_json_type(struct sv_str type)
{
    return has_prefix(type, "application/json") &&
           (type.len == 16 || type.ptr[16] == ';' || type.ptr[16] == ' ');
}

/* As what the parameter takes; where that is not known, as `bytes` says. */
static ssvm_arg make_arg(const struct srv_export *ex, int index, struct sv_str value, bool bytes)
{
    ssvm_arg arg = {.kind = bytes ? SSVM_ARG_BYTES : SSVM_ARG_STRING,
                    .bytes = value.len ? value.ptr : "",
                    .len = value.len};

    if (!ex->known || index >= ex->nparams)
        return arg;
    arg.kind = ex->params[index] == SRV_PARAM_STRING  ? SSVM_ARG_STRING
               : ex->params[index] == SRV_PARAM_BYTES ? SSVM_ARG_BYTES
                                                      : SSVM_ARG_TEXT;
    return arg;
}

/* What a value of SSVM_Fetch says: JSON, or a URL as it is. */
static json_t *parse_fetch(struct sv_str value)
{
    json_t *json = value.len > 0 && (value.ptr[0] == '{' || value.ptr[0] == '"')
                       ? json_loadb(value.ptr, value.len, JSON_DECODE_ANY, NULL)
                       : NULL;

    return json ? json : json_stringn(value.len ? value.ptr : "", value.len);
}

static uint64_t patience_ns(const struct srv_request *request)
{
    return request->limits.wall_ms * NS_PER_MS;
}

/* Fetch one argument. False: the reply is ready. */
static bool fetch(struct srv_conn *conn, const json_t *what, int index, ssvm_arg *ret)
{
    const struct srv_request *request = &conn->work->request;
    struct srv_faas *faas = request->faas;
    struct plat_message *answer = &faas->fetched[faas->nfetched];
    uint64_t status;

    /* All that is fetched, in the time of one call. */
    if (!srv_faas_send(conn, what, NULL, NULL, request->run_began_ns + patience_ns(request),
                       answer))
        return false;
    faas->nfetched++;
    if (!plat_get_u64(answer, PLAT_TAG_STATUS, &status) || status >= 400) {
        refuse(conn, 502, "bad_gateway", "what was to be fetched is not there");
        return false;
    }
    *ret = make_arg(request->export, index, plat_get(answer, PLAT_TAG_BODY),
                    is_bytes_type(srv_faas_type(answer)));
    return true;
}

static bool set_callback(struct srv_conn *conn, own json_t *callback)
{
    struct srv_faas *faas = conn->work->request.faas;

    if (json_is_object(callback)) {
        json_decref(faas->callback);
        faas->callback = callback;
        return true;
    }
    json_decref(callback);
    refuse(conn, 400, "bad_request", "a callback is a JSON object");
    return false;
}

/* A header field, `_` and `-` alike. */
static struct sv_str find_field(const struct srv_conn *conn, const char *name)
{
    size_t len = 0;
    const char *value = srv_http_field(&conn->work->http, conn->work->in, name, &len);

    return (struct sv_str){value, len};
}

/* The reserved keys of a JSON body, which are taken out of it. -1: the reply is ready. */
static int read_reserved(struct srv_conn *conn, struct sv_str *body, json_t **ret_fetch)
{
    struct srv_faas *faas = conn->work->request.faas;
    json_t *callback;

    faas->body = json_loadb(body->len ? body->ptr : "", body->len,
                            JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, NULL);
    if (!faas->body)
        return refuse(conn, 400, "bad_request", "the body is not JSON");
    callback = json_object_get(faas->body, KEY_CALLBACK);
    *ret_fetch = json_object_get(faas->body, KEY_FETCH);
    if (!callback && !*ret_fetch)
        return 0;
    json_incref(callback);
    json_incref(*ret_fetch);
    json_object_del(faas->body, KEY_CALLBACK);
    json_object_del(faas->body, KEY_FETCH);
    faas->text = json_dumps(faas->body, JSON_COMPACT);
    if (!faas->text) {
        json_decref(callback);
        srv_call_starve(conn);
        return -1;
    }
    *body = sv_str_of(faas->text);
    if (callback && faas->callback) /* the header's counts */
        json_decref(callback);
    else if (callback && !set_callback(conn, callback))
        return -1;
    return 0;
}

/* The body is the only argument, or what is fetched in its place. */
static int read_single(struct srv_conn *conn, struct sv_str type, ssvm_arg *args)
{
    struct srv_request *request = &conn->work->request;
    struct sv_str body = {request->body, request->body_len}, header = find_field(conn, KEY_FETCH);
    json_t *what = NULL;
    bool good = true;

    if (is_json_type(type))
        good = read_reserved(conn, &body, &what) == 0;
    if (good && header.ptr) {
        json_decref(what);
        what = parse_fetch(header);
    }
    if (good && what)
        good = fetch(conn, what, 0, &args[0]);
    else if (good)
        args[0] = make_arg(request->export, 0, body, is_bytes_type(type));
    json_decref(what);
    if (!good)
        return -1;
    return request->export->known && request->export->nparams == 0 && body.len == 0 ? 0 : 1;
}

/* ---- Forms ---- */

struct named {
    struct plat_part part;
    uint64_t position;
};

/* The N of a name that ends in _N. */
static bool read_position(struct sv_str name, uint64_t *ret)
{
    size_t n = name.len;

    *ret = 0;
    while (n > 0 && name.ptr[n - 1] >= '0' && name.ptr[n - 1] <= '9')
        n--;
    if (n == 0 || name.ptr[n - 1] != '_' || n == name.len || name.len - n > 9)
        return false;
    for (; n < name.len; n++)
        *ret = *ret * 10 + (uint64_t)(name.ptr[n] - '0');
    return true;
}

/* Put a part where its number says. NULL, or what is wrong. */
static const char *insert(struct named *parts, int *n, const struct plat_part *part)
{
    struct named named = {.part = *part};
    int i = *n;

    if (!read_position(part->name, &named.position))
        return "the name of a part ends in _N, its argument's place";
    if (*n == SRV_PARAMS_MAX)
        return "there are too many arguments";
    for (; i > 0 && parts[i - 1].position >= named.position; i--) {
        if (parts[i - 1].position == named.position)
            return "two parts have the same number";
        parts[i] = parts[i - 1];
    }
    parts[i] = named;
    ++*n;
    return NULL;
}

/* All parts, in order of their numbers; a callback is taken. Their number; -1: the reply is ready.
 */
static int read_parts(struct srv_conn *conn, struct sv_str type, struct named *parts)
{
    struct srv_request *request = &conn->work->request;
    struct sv_str body = {request->body_len ? request->body : "", request->body_len};
    struct plat_multipart form;
    struct plat_part part;
    const char *why = NULL;
    int n = 0, r = -1;

    if (plat_multipart_init(&form, type, body)) {
        while (!why && (r = plat_multipart_next(&form, &part)) > 0) {
            if (!has_prefix(part.name, KEY_CALLBACK))
                why = insert(parts, &n, &part);
            else if (!request->faas->callback &&
                     !set_callback(conn, json_loadb(part.body.ptr, part.body.len, 0, NULL)))
                return -1;
        }
    }
    if (r < 0)
        why = form.why;
    return why ? refuse(conn, 400, "bad_request", why) : n;
}

static int read_form(struct srv_conn *conn, struct sv_str type, ssvm_arg *args)
{
    struct named parts[SRV_PARAMS_MAX];
    int n = read_parts(conn, type, parts);

    for (int i = 0; i < n; i++) {
        const struct plat_part *part = &parts[i].part;

        if (has_prefix(part->name, "fetch")) {
            json_t *what = parse_fetch(part->body);
            bool good = fetch(conn, what, i, &args[i]);

            json_decref(what);
            if (!good)
                return -1;
        } else {
            args[i] = make_arg(conn->work->request.export, i, part->body,
                               part->is_file && is_bytes_type(part->type));
        }
    }
    return n;
}

int srv_faas_args(struct srv_conn *conn, ssvm_arg *args)
{
    struct srv_faas *faas = conn->work->request.faas;
    struct sv_str type = {NULL, 0}, callback = find_field(conn, KEY_CALLBACK);

    if (conn->work->http.method != SRV_METHOD_POST) {
        refuse(conn, 405, "method_not_allowed", "functions are called with POST here");
        srv_reply_field_str(&conn->work->reply, "Allow", "POST, OPTIONS");
        return -1;
    }
    if (callback.ptr && !set_callback(conn, json_loadb(callback.ptr, callback.len, 0, NULL)))
        return -1;
    type.ptr = srv_http_known(&conn->work->http, conn->work->in, SRV_KNOWN_CONTENT_TYPE, &type.len);
    return faas->multipart ? read_form(conn, type, args) : read_single(conn, type, args);
}

/* ---- Surroundings ---- */

/* The state as argument, wasm_id, a key that is the function's own for what it keeps, and an empty
 * folder. */
void srv_faas_surround(const struct srv_conn *conn, struct srv_surroundings *around)
{
    const struct srv_request *request = &conn->work->request;
    static const char digits[] = "0123456789abcdef";
    struct srv_faas *faas = request->faas;
    uint8_t digest[SV_SHA256_LEN];
    char text[256];
    size_t n;

    snprintf(faas->wasm_id, sizeof faas->wasm_id, "wasm_id=%llu", (unsigned long long)faas->id);
    n = (size_t)snprintf(text, sizeof text, "storage_key %s %s %llu", request->function->tenant,
                         request->function->name, (unsigned long long)faas->id);
    sv_sha256(text, n, digest);
    n = (size_t)snprintf(faas->storage_key, sizeof faas->storage_key, "storage_key=");
    for (unsigned i = 0; i < 16; i++) {
        faas->storage_key[n++] = digits[digest[i] >> 4];
        faas->storage_key[n++] = digits[digest[i] & 15];
    }
    faas->storage_key[n] = '\0';
    if (around->nenv + 2 <= SRV_ENV_MAX) {
        around->env[around->nenv++] = faas->wasm_id;
        around->env[around->nenv++] = faas->storage_key;
    }
    if (around->nargs == 1) /* guests look at it without asking whether it is there */
        around->args[around->nargs++] = "";
    snprintf(around->empty, sizeof around->empty, "%s/blobs/empty", conn->loop->server->data);
    around->dirs[around->ndirs++] =
        (ssvm_dir){.guest = "/", .host = around->empty, .readonly = true};
}

ssvm_result_kind srv_faas_wanted(const struct srv_request *request)
{
    if (request->export->known)
        return SSVM_RESULT_AUTO;
    return request->faas->bytes ? SSVM_RESULT_BYTES : SSVM_RESULT_STRING;
}

/* ---- Answers ---- */

static void release_message(own char *held)
{
    struct plat_message *m = (struct plat_message *)(void *)held;

    plat_message_release(m);
    free(m);
}

/* The callback that counts; NULL: none. */
static own json_t *find_callback(const struct srv_request *request)
{
    struct sv_str stored = plat_table_text(request->table, request->registered->callback);
    json_t *callback = request->faas->callback ? json_incref(request->faas->callback)
                       : stored.len > 0        ? json_loadb(stored.ptr, stored.len, 0, NULL)
                                               : NULL;

    if (callback && json_object_size(callback) == 0) { /* an empty one cancels it */
        json_decref(callback);
        callback = NULL;
    }
    return callback;
}

/* Send the result on; the answer to that is ours. */
static void call_back(struct srv_conn *conn, const json_t *callback, const char *type,
                      const ssvm_result *result)
{
    struct plat_message *answer = calloc(1, sizeof *answer);
    struct srv_reply *reply = &conn->work->reply;
    struct sv_str body = {result->bytes, result->len};
    uint64_t status;

    if (!answer || !srv_faas_send(conn, callback, &body, type,
                                  srv_clock_ns() + patience_ns(&conn->work->request), answer)) {
        if (!answer)
            srv_call_starve(conn);
        free(answer);
        return;
    }
    if (!plat_get_u64(answer, PLAT_TAG_STATUS, &status) || status < 200 || status > 599) {
        release_message((char *)(void *)answer);
        refuse(conn, 502, "bad_gateway", "the callback's answer is malformed");
        return;
    }
    reply->status = (int)status;
    srv_reply_hold(reply, NULL, (char *)(void *)answer, 0, release_message);
    body = srv_faas_type(answer);
    if (body.len > 0 && srv_http_is_value(body.ptr, body.len))
        srv_reply_field(reply, "Content-Type", body.ptr, body.len);
    body = plat_get(answer, PLAT_TAG_BODY);
    reply->body = body.len ? body.ptr : "";
    reply->len = body.len;
}

void srv_faas_answer(struct srv_conn *conn, ssvm_result *result)
{
    const struct srv_request *request = &conn->work->request;
    const char *type = request->faas->bytes               ? "application/octet-stream"
                       : result->kind == SSVM_RESULT_JSON ? "application/json"
                                                          : "text/plain; charset=utf-8";
    json_t *callback = find_callback(request);

    if (callback) {
        call_back(conn, callback, type, result);
        json_decref(callback);
        ssvm_string_delete(result->bytes);
    } else if (result->bytes) {
        srv_reply_hold(&conn->work->reply, type, result->bytes, result->len, ssvm_string_delete);
    } else {
        srv_reply_borrow(&conn->work->reply, type, "", 0);
    }
}
