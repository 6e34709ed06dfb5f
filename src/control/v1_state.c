/* /v1: keys and values, secrets. What functions see of both is state.h's; these are the same
 * operations for the tenant. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "control/api.h"
#include "control/secret.h"
#include "control/shape.h"
#include "control/state.h"

/* ---- Keys and values ---- */

static int run_kv(struct ctl_request *request, struct sv_err *err, struct plat_message *message,
                  struct plat_message *ret, uint64_t *ret_status)
{
    int r;

    plat_put_str(message, PLAT_TAG_TENANT, request->tenant);
    plat_message_init(ret, PLAT_KV);
    r = message->values.failed ? sv_fail_nomem(err, "a request")
                               : ctl_state_kv(request->server, err, message, ret);
    plat_message_release(message);
    if (r == 0 && !plat_get_u64(ret, PLAT_TAG_STATUS, ret_status))
        r = sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "an answer without a status");
    return r;
}

static void begin(struct plat_message *message, const char *op, struct sv_str key)
{
    plat_message_init(message, PLAT_KV);
    plat_put_str(message, PLAT_TAG_OP, op);
    plat_put(message, PLAT_TAG_KEY, key.ptr, key.len);
}

/* Bytes as a path has them: "%00%ff". */
static json_t *encoded_json(struct sv_str bytes)
{
    struct sv_buf text;
    json_t *json;

    sv_buf_init(&text, SIZE_MAX);
    for (size_t i = 0; i < bytes.len; i++)
        sv_buf_printf(&text, "%%%02X", (unsigned char)bytes.ptr[i]);
    json = json_string(sv_buf_cstr(&text));
    sv_buf_release(&text);
    return json;
}

/* The bytes again, over the text. */
static bool decode_bytes(char *text, struct sv_str *ret)
{
    char *out = text;

    *ret = (struct sv_str){text, 0};
    for (const char *p = text; *p; p += 3) {
        char digits[3] = {0}, *end;

        if (p[0] != '%' || !p[1])
            return false;
        memcpy(digits, p + 1, 2);
        *out++ = (char)strtoul(digits, &end, 16);
        if (end != digits + 2)
            return false;
        ret->len++;
    }
    return true;
}

static json_t *key_json(struct sv_str key)
{
    return sv_utf8_valid(key.ptr, key.len) ? ctl_json_str(key) : encoded_json(key);
}

int ctl_v1_kv_list(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    const char *prefix = ctl_request_query(request, "prefix");
    char *cursor = (char *)ctl_request_query(request, "cursor"); /* of the request's arena */
    struct sv_str from = {"", 0};
    struct plat_message message, ret;
    uint64_t limit = ctl_request_number(request, "limit", 100), status, version;
    struct sv_str key;
    json_t *keys;
    int r;

    if (cursor && !decode_bytes(cursor, &from))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "'cursor' is not a cursor of such a list");
    begin(&message, "list", sv_str_of(prefix ? prefix : ""));
    if (cursor)
        plat_put(&message, PLAT_TAG_OLD, from.ptr, from.len);
    plat_put_u64(&message, PLAT_TAG_COUNT, limit ? limit : 1);
    r = run_kv(request, err, &message, &ret, &status);
    if (r == 0) {
        struct sv_str next = plat_get(&ret, PLAT_TAG_OLD);
        size_t key_at = 0, number_at = 0;

        keys = json_array();
        while ((key = plat_get_next(&ret, PLAT_TAG_KEY, &key_at)).ptr) {
            struct sv_str number = plat_get_next(&ret, PLAT_TAG_NUMBER, &number_at);

            version = 0;
            if (number.len == sizeof version) /* little-endian, as we are */
                memcpy(&version, number.ptr, sizeof version);
            json_array_append_new(
                keys, json_pack("{s:o,s:I}", "key", key_json(key), "version", (json_int_t)version));
        }
        ctl_reply_json(reply, 200,
                       json_pack("{s:o,s:o}", "keys", keys, "next",
                                 next.ptr ? encoded_json(next) : json_null()));
    }
    plat_message_release(&ret);
    return r;
}

static void put_etag(struct ctl_reply *reply, const struct plat_message *ret)
{
    uint64_t version;
    char text[32];

    if (!plat_get_u64(ret, PLAT_TAG_NUMBER, &version))
        return;
    snprintf(text, sizeof text, "\"%" PRIu64 "\"", version);
    ctl_reply_field(reply, "ETag", text);
}

static int answer_missing(const struct ctl_request *request, struct ctl_reply *reply)
{
    return ctl_reply_error(reply, request, 404, "not_found", "there is no such key");
}

int ctl_v1_kv_get(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct plat_message message, ret;
    struct sv_str value;
    uint64_t status;
    int r;

    begin(&message, "get", request->params[1]);
    r = run_kv(request, err, &message, &ret, &status);
    if (r == 0 && status == 404) {
        answer_missing(request, reply);
    } else if (r == 0) {
        value = plat_get(&ret, PLAT_TAG_VALUE);
        put_etag(reply, &ret);
        reply->type = "application/octet-stream";
        sv_buf_append(&reply->body, value.ptr, value.len);
    }
    plat_message_release(&ret);
    return r;
}

/* The version that `If-Match: "N"` or `If-None-Match: *` asks for. 1: there is one; 0: none; -1:
 * the fields make no sense. */
static int read_condition(const struct ctl_request *request, uint64_t *ret)
{
    struct sv_str match = ctl_request_field(request, "If-Match"),
                  none = ctl_request_field(request, "If-None-Match");
    char digits[21];

    if (!match.ptr && !none.ptr)
        return 0;
    if (none.ptr) {
        *ret = 0;
        return !match.ptr && sv_str_eq(none, sv_str_of("*")) ? 1 : -1;
    }
    if (match.len < 3 || match.len > sizeof digits + 1 || match.ptr[0] != '"' ||
        match.ptr[match.len - 1] != '"')
        return -1;
    memcpy(digits, match.ptr + 1, match.len - 2);
    digits[match.len - 2] = '\0';
    *ret = strtoull(digits, NULL, 10);
    return *ret > 0 && strspn(digits, "0123456789") == match.len - 2 ? 1 : -1;
}

/* Set or delete, with the request's condition; the answer. */
static int change_kv(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err,
                     struct plat_message *message)
{
    struct plat_message ret;
    uint64_t status;
    int r = run_kv(request, err, message, &ret, &status);

    if (r == 0 && status == 404)
        answer_missing(request, reply);
    else if (r == 0 && status == 409)
        ctl_reply_error(reply, request, 412, "precondition_failed", "its version is another");
    if (r == 0)
        put_etag(reply, &ret);
    plat_message_release(&ret);
    return r;
}

int ctl_v1_kv_put(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct plat_message message;
    uint64_t ttl = ctl_request_number(request, "ttl_s", 0), version;
    int condition = read_condition(request, &version);

    if (condition < 0)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       "If-Match is an ETag of this key, If-None-Match is *");
    begin(&message, condition ? "cas" : "set", request->params[1]);
    plat_put(&message, PLAT_TAG_VALUE, request->body.ptr, request->body.len);
    if (condition)
        plat_put_u64(&message, PLAT_TAG_NUMBER, version);
    if (ttl)
        plat_put_u64(&message, PLAT_TAG_TTL_MS, ttl * 1000);
    return change_kv(request, reply, err, &message);
}

int ctl_v1_kv_delete(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct plat_message message;
    uint64_t version;
    int condition = read_condition(request, &version);

    if (condition < 0 || (condition > 0 && version == 0))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "If-Match is an ETag of this key");
    begin(&message, "delete", request->params[1]);
    if (condition)
        plat_put_u64(&message, PLAT_TAG_NUMBER, version);
    return change_kv(request, reply, err, &message);
}

/* ---- Secrets ---- */

static int add_secret(void *data, struct sv_str name, int64_t created_ms)
{
    json_array_append_new(data, json_pack("{s:o,s:o}", "name", ctl_json_str(name), "updated",
                                          ctl_json_time(created_ms)));
    return 0;
}

int ctl_v1_secrets_list(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    json_t *secrets = json_array();
    int r = ctl_secret_list(request->server, err, request->tenant, add_secret, secrets);

    if (r < 0) {
        json_decref(secrets);
        return r;
    }
    return ctl_reply_json(reply, 200, json_pack("{s:o}", "secrets", secrets));
}

int ctl_v1_secrets_put(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    (void)reply;
    return ctl_secret_set(request->server, err, request->tenant, request->params[1], request->body);
}

int ctl_v1_secrets_delete(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    (void)reply;
    return ctl_secret_delete(request->server, err, request->tenant, request->params[1]);
}
