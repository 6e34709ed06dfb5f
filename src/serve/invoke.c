/* Requests that control asks for. */
#include "serve/invoke.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "platform/pass.h"
#include "platform/record.h"
#include "serve/function.h"
#include "serve/virtual.h"

#define ANSWER_MAX 4096 /* bytes of a body that nobody reads: a queue's, a time table's */
#define FIELDS_MAX 16384

static bool is_name(struct sv_str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.' || c == '@'))
            return false;
    }
    return s.len > 0;
}

bool srv_invoke_target(char ret[SRV_INVOKE_TARGET_MAX], struct sv_str tenant,
                       struct sv_str function, struct sv_str path)
{
    bool is_default = sv_str_eq(tenant, sv_str_of(SRV_TENANT_DEFAULT));
    int n;

    if (!is_name(tenant) || !is_name(function) || (path.len > 0 && path.ptr[0] != '/'))
        return false;
    for (size_t i = 0; i < path.len; i++)
        if ((unsigned char)path.ptr[i] <= 0x20 || (unsigned char)path.ptr[i] >= 0x7f)
            return false;
    n = snprintf(ret, SRV_INVOKE_TARGET_MAX, "%s%.*s/f/%.*s%.*s", is_default ? "" : "/t/",
                 is_default ? 0 : (int)tenant.len, tenant.ptr, (int)function.len, function.ptr,
                 (int)path.len, path.ptr);
    return n > 0 && n < SRV_INVOKE_TARGET_MAX;
}

size_t srv_invoke_fields(struct sv_str fields, char *ret)
{
    static const char *const own_fields[] = {"host",    "content-length", "connection",
                                             "te",      "expect",         "transfer-encoding",
                                             "upgrade", "trailer",        "keep-alive"};
    size_t n = 0;

    while (fields.len > 0) {
        const char *end = memchr(fields.ptr, '\n', fields.len);
        size_t len = end ? (size_t)(end - fields.ptr) + 1 : fields.len, i = 0;
        const char *colon = memchr(fields.ptr, ':', len);
        size_t name = colon ? (size_t)(colon - fields.ptr) : 0;

        while (i < SV_COUNT(own_fields) && !(strlen(own_fields[i]) == name &&
                                             strncasecmp(own_fields[i], fields.ptr, name) == 0))
            i++;
        if (name > 0 && i == SV_COUNT(own_fields)) {
            memcpy(ret + n, fields.ptr, len);
            n += len;
        }
        fields.ptr += len;
        fields.len -= len;
    }
    return n;
}

/* ---- Control's ---- */

/* Who waits for the reply. */
struct asked {
    struct plat_channel *channel;
    uint64_t id;
    size_t max; /* bytes of the body that it gets to see */
};

static void answer(const struct asked *a, struct plat_message *m)
{
    /* The loop does not wait for a control process that does not read: it asks again. */
    (void)plat_channel_answer_now(a->channel, NULL, a->id, m);
    plat_message_release(m);
}

static void done(void *data, int status, const char *fields, size_t nfields, const char *body,
                 size_t body_len)
{
    struct asked *a = data;
    struct plat_message m;

    plat_message_init(&m, PLAT_ASK_INVOKE);
    plat_put_u64(&m, PLAT_TAG_STATUS, (uint64_t)status);
    plat_put(&m, PLAT_TAG_FIELDS, fields, nfields);
    plat_put(&m, PLAT_TAG_BODY, body, body_len < a->max ? body_len : a->max);
    answer(a, &m);
    free(a);
}

static void refuse(const struct asked *a, int code, const char *why)
{
    struct plat_message m;
    struct sv_err err = {0};

    sv_fail(&err, code, SV_NO_OFFSET, "%s", why);
    plat_message_init(&m, PLAT_ASK_INVOKE);
    plat_put_error(&m, &err);
    answer(a, &m);
}

void srv_invoke_ask(struct srv_server *server, struct plat_channel *channel, struct plat_message *m)
{
    struct sv_str fields = plat_get(m, PLAT_TAG_FIELDS), body = plat_get(m, PLAT_TAG_BODY);
    struct sv_str trace = plat_get(m, PLAT_TAG_TRACE), pass = plat_get(m, PLAT_TAG_PASS);
    char target[SRV_INVOKE_TARGET_MAX], lines[FIELDS_MAX + 256];
    struct asked now = {channel, m->id, ANSWER_MAX}, *later = malloc(sizeof *later);
    char *method = plat_get_text(m, PLAT_TAG_METHOD);
    struct srv_virtual v = {.method = method ? method : "POST", .target = target, .fields = lines};
    uint64_t trigger = 0;

    (void)plat_get_u64(m, PLAT_TAG_NUMBER, &trigger);
    if (!later || fields.len > FIELDS_MAX || trace.len > 100 ||
        !srv_invoke_target(target, plat_get(m, PLAT_TAG_TENANT), plat_get(m, PLAT_TAG_FUNCTION),
                           plat_get(m, PLAT_TAG_PATH))) {
        refuse(&now, later ? SV_EUSAGE : SV_ENOMEM, "the call names no function, or is too large");
        goto end;
    }
    if (trigger == PLAT_TRIGGER_HTTP)
        now.max = SIZE_MAX;
    *later = now;
    v.nfields = srv_invoke_fields(fields, lines);
    if (trace.len > 0)
        v.nfields += (size_t)snprintf(lines + v.nfields, sizeof lines - v.nfields,
                                      "traceparent: %.*s\r\n", (int)trace.len, trace.ptr);
    if (pass.len == PLAT_PASS_LEN)
        v.nfields += (size_t)snprintf(lines + v.nfields, sizeof lines - v.nfields,
                                      PLAT_PASS_FIELD ": %.*s\r\n", (int)pass.len, pass.ptr);
    v.trigger = (int)trigger;
    v.body = malloc(body.len + 1);
    v.body_len = body.len;
    if (v.body && body.len > 0)
        memcpy(v.body, body.ptr, body.len);
    v.done = done;
    v.data = later;
    if (v.body && srv_conn_virtual(server, NULL, &v)) {
        later = NULL;
    } else {
        free(v.body);
        refuse(&now, SV_ENOTFOUND, "the worker takes no requests now");
    }
end:
    sv_free(method);
    free(later);
}
