/* /v1: calls of functions by their owner, past their routes and keys. A worker runs them, as it
 * runs those of clients. */
#include <stdio.h>
#include <strings.h>

#include "base/clock.h"
#include "base/tchar.h"
#include "control/api.h"
#include "control/blob.h"
#include "control/registry.h"
#include "control/shape.h"
#include "platform/record.h"

#define INVOKE_MAX_S 890 /* less than a worker waits for us (serve/forward.h) */
#define NS_PER_S 1000000000U

/* The operator's token is not for the function. What else is not is left out by the worker. */
static bool is_token(struct sv_str line)
{
    static const char name[] = "authorization:";

    return line.len >= sizeof name - 1 && strncasecmp(line.ptr, name, sizeof name - 1) == 0;
}

static void put_fields(struct plat_message *m, struct sv_str fields)
{
    struct sv_buf lines;

    sv_buf_init(&lines, fields.len);
    while (fields.len > 0) {
        const char *end = memchr(fields.ptr, '\n', fields.len);
        struct sv_str line = {fields.ptr, end ? (size_t)(end + 1 - fields.ptr) : fields.len};

        if (!is_token(line))
            sv_buf_append(&lines, line.ptr, line.len);
        fields.ptr += line.len;
        fields.len -= line.len;
    }
    plat_put(m, PLAT_TAG_FIELDS, lines.data, lines.len);
    sv_buf_release(&lines);
}

#define NAME_SIZE (CTL_NAME_MAX + 1 + CTL_HEX_LEN + 1)

/* The function as a worker knows it: its name and, where one is asked for, `@` and the digest of
 * the version. */
static int find(struct ctl_request *request, struct sv_err *err, const char *which,
                char ret[NAME_SIZE])
{
    struct ctl_function *function =
        ctl_registry_find(request->server, request->tenant, request->params[1].ptr);
    const struct ctl_version *version =
        function ? ctl_function_version(function, which ? which : "") : NULL;
    int n;

    if (!function)
        sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no such function");
    else if (!version)
        sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "it has no such version");
    if (version) {
        n = snprintf(ret, NAME_SIZE, "%.*s%s", CTL_NAME_MAX, request->params[1].ptr,
                     which ? "@" : "");
        if (which)
            ctl_hex(version->digest, ret + n);
    }
    ctl_function_unref(function);
    return version ? 0 : SV_ENOTFOUND;
}

static int ask(struct ctl_request *request, struct sv_err *err, const char *name, const char *path,
               struct plat_message *ret)
{
    struct plat_message m;
    int r;

    plat_message_init(&m, PLAT_ASK_INVOKE);
    plat_put_str(&m, PLAT_TAG_TENANT, request->tenant);
    plat_put_str(&m, PLAT_TAG_FUNCTION, name);
    plat_put_str(&m, PLAT_TAG_PATH, path);
    plat_put_str(&m, PLAT_TAG_METHOD, "POST");
    put_fields(&m, request->fields);
    plat_put(&m, PLAT_TAG_BODY, request->body.ptr, request->body.len);
    plat_put_u64(&m, PLAT_TAG_NUMBER, PLAT_TRIGGER_HTTP);
    r = m.values.failed ? sv_fail_nomem(err, "a call")
                        : ctl_workers_ask(request->server, err, &m,
                                          sv_clock_ns() + (uint64_t)INVOKE_MAX_S * NS_PER_S, ret);
    plat_message_release(&m);
    return r;
}

static bool is_field(struct sv_str line)
{
    size_t n = 0;

    while (n < line.len && sv_is_tchar(line.ptr[n]))
        n++;
    if (n == 0 || n == line.len || line.ptr[n] != ':')
        return false;
    for (; n < line.len; n++) {
        if (((unsigned char)line.ptr[n] < ' ' && line.ptr[n] != '\t') || line.ptr[n] == 127)
            return false;
    }
    return true;
}

/* A worker that was taken over may say anything: what is no field would begin another answer. */
static void take_fields(struct ctl_reply *reply, struct sv_str fields)
{
    while (fields.len > 0) {
        const char *end = memmem(fields.ptr, fields.len, "\r\n", 2);
        struct sv_str line = {fields.ptr, end ? (size_t)(end - fields.ptr) : fields.len};
        size_t len = end ? line.len + 2 : line.len;

        if (is_field(line)) {
            sv_buf_append(&reply->fields, line.ptr, line.len);
            sv_buf_puts(&reply->fields, "\r\n");
        }
        fields.ptr += len;
        fields.len -= len;
    }
}

int ctl_v1_functions_invoke(struct ctl_request *request, struct ctl_reply *reply,
                            struct sv_err *err)
{
    const char *path = ctl_request_query(request, "path"),
               *which = ctl_request_query(request, "version");
    char name[NAME_SIZE];
    struct plat_message answer;
    struct sv_str part;
    uint64_t status;
    int r;

    if (path && *path && *path != '/')
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "'path' begins with '/'");
    r = find(request, err, which, name);
    if (r < 0)
        return r;
    r = ask(request, err, name, path ? path : "", &answer);
    if (r < 0)
        return ctl_reply_error(reply, request, 503, "unavailable", "no worker answered: %s",
                               err->text);
    if (!plat_get_u64(&answer, PLAT_TAG_STATUS, &status) || status < 200 || status > 599)
        status = 502;
    reply->status = (int)status;
    reply->type = NULL; /* among the fields */
    take_fields(reply, plat_get(&answer, PLAT_TAG_FIELDS));
    part = plat_get(&answer, PLAT_TAG_BODY);
    sv_buf_append(&reply->body, part.ptr, part.len);
    plat_message_release(&answer);
    return 0;
}
