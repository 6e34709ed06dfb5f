/* /v1: functions, their versions, and calls of them. */
#include <stdlib.h>

#include "base/sha256.h"
#include "control/api.h"
#include "control/claim.h"
#include "control/deploy.h"
#include "control/hostcalls.h"
#include "control/ledger.h"
#include "control/shape.h"
#include "control/token.h"
#include "platform/multipart.h"

#define NOTES_MAX 65536 /* what is told with a deployment */

/* ---- Showing ---- */

/* Where it is called. */
static json_t *url_json(const struct ctl_server *server, const struct ctl_function *function)
{
    struct sv_buf url;
    json_t *json;

    sv_buf_init(&url, SIZE_MAX);
    sv_buf_puts(&url, server->public_url);
    if (strcmp(function->tenant, CTL_DEFAULT_TENANT) != 0)
        sv_buf_printf(&url, "/t/%s", function->tenant);
    sv_buf_printf(&url, "/f/%s", function->name);
    json = json_string(sv_buf_cstr(&url));
    sv_buf_release(&url);
    return json;
}

static json_t *aliases_json(const struct ctl_version *version)
{
    json_t *array = json_array();
    size_t len;

    for (const char *p = version->aliases; *p; p += len) {
        p += strspn(p, " ");
        len = strcspn(p, " ");
        if (len > 0)
            json_array_append_new(array, json_stringn(p, len));
    }
    return array;
}

static json_t *function_json(const struct ctl_server *server, const struct ctl_function *function)
{
    json_t *targets = json_array();

    for (uint32_t i = 0; i < function->nversions; i++) {
        const struct ctl_version *version = &function->versions[i];

        if (version->weight == 0 && !*version->aliases)
            continue;
        json_array_append_new(
            targets, json_pack("{s:I,s:o,s:I,s:o}", "number", (json_int_t)version->number, "digest",
                               ctl_json_hex(version->digest, PLAT_DIGEST_BYTES), "weight",
                               (json_int_t)version->weight, "aliases", aliases_json(version)));
    }
    return json_pack("{s:I,s:s,s:s,s:o,s:o,s:b,s:o,s:o,s:o}", "id", (json_int_t)function->id,
                     "name", function->name, "tenant", function->tenant, "description",
                     ctl_json_str(sv_str_of(function->description ? function->description : "")),
                     "url", url_json(server, function), "keyed", function->keyed, "targets",
                     targets, "created", ctl_json_time((int64_t)function->created_ms), "updated",
                     ctl_json_time((int64_t)function->updated_ms));
}

struct list {
    struct ctl_server *server;
    own json_t *array;
};

static bool add_function(void *data, const struct ctl_function *function)
{
    struct list *list = data;

    json_array_append_new(list->array, function_json(list->server, function));
    return true;
}

int ctl_v1_functions_list(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct list list = {request->server, json_array()};
    int r = ctl_registry_list(request->server, err, request->tenant, add_function, &list);

    if (r < 0) {
        json_decref(list.array);
        return r;
    }
    return ctl_reply_json(reply, 200, json_pack("{s:o}", "functions", list.array));
}

/* A reference, or NULL: err says it. */
static own struct ctl_function *find(struct ctl_request *request, struct sv_err *err)
{
    struct ctl_function *function =
        ctl_registry_find(request->server, request->tenant, request->params[1].ptr);

    if (!function)
        sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no such function");
    return function;
}

/* As it is now: after a change, too. */
int ctl_v1_functions_get(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct ctl_function *function = find(request, err);

    if (!function)
        return err->code;
    ctl_reply_json(reply, 200, function_json(request->server, function));
    ctl_function_unref(function);
    return 0;
}

int ctl_v1_functions_host_calls(struct ctl_request *request, struct ctl_reply *reply,
                                struct sv_err *err)
{
    struct ctl_function *function = find(request, err);
    json_t *json = NULL;
    int r;

    if (!function)
        return err->code;
    /* Every answered call is in it. */
    r = ctl_ledger_drain(request->server, err);
    if (r == 0)
        r = ctl_hostcalls_get(request->server, err, function->tenant, function->name, &json);
    ctl_function_unref(function);
    return r < 0 ? r : ctl_reply_json(reply, 200, json);
}

int ctl_v1_versions_list(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct ctl_function *function = find(request, err);
    json_t *versions = json_array(), *exports;

    if (!function) {
        json_decref(versions);
        return err->code;
    }
    for (uint32_t i = 0; i < function->nversions; i++) {
        const struct ctl_version *version = &function->versions[i];

        exports = version->exports ? json_loads(version->exports, 0, NULL) : NULL;
        json_array_append_new(
            versions,
            json_pack("{s:I,s:o,s:I,s:I,s:o,s:o,s:o,s:o}", "number", (json_int_t)version->number,
                      "digest", ctl_json_hex(version->digest, PLAT_DIGEST_BYTES), "bytes",
                      (json_int_t)version->size, "weight", (json_int_t)version->weight, "aliases",
                      aliases_json(version), "created", ctl_json_time((int64_t)version->created_ms),
                      "exports", json_is_array(exports) ? json_incref(exports) : json_array(),
                      "note", ctl_json_str(sv_str_of(version->note ? version->note : ""))));
        json_decref(exports);
    }
    ctl_function_unref(function);
    return ctl_reply_json(reply, 200, json_pack("{s:o}", "versions", versions));
}

/* ---- Deploying ---- */

static int answer_deployed(struct ctl_request *request, struct ctl_reply *reply,
                           struct ctl_deployed *deployed)
{
    struct ctl_function *function = deployed->function;
    struct sv_buf notes;
    json_t *json = NULL;

    sv_buf_init(&notes, NOTES_MAX);
    for (uint32_t i = 0; i < function->nversions; i++) {
        const struct ctl_version *version = &function->versions[i];

        if (version->number != deployed->number)
            continue;
        sv_buf_puts(&notes, version->note ? version->note : "");
        ctl_claim_notes(request->server, function, &notes);
        json = json_pack("{s:s,s:I,s:o,s:o,s:b,s:I,s:o}", "function", function->name, "number",
                         (json_int_t)version->number, "digest",
                         ctl_json_hex(version->digest, PLAT_DIGEST_BYTES), "url",
                         url_json(request->server, function), "is_new", deployed->is_new,
                         "prepared_us", (json_int_t)deployed->prepared_us, "note",
                         ctl_json_str((struct sv_str){(const char *)notes.data, notes.len}));
    }
    if (json && deployed->usage_key[0]) {
        json_object_set_new(json, "usage_key", json_string(deployed->usage_key));
        ctl_reply_field(reply, "Cache-Control", "no-store");
    }
    sv_buf_release(&notes);
    ctl_function_unref(function);
    return ctl_reply_json(reply, reply->status, json);
}

#define SITE_PART "site/"

/* A part `site/PATH` is a static file. */
static int add_file(struct ctl_request *request, struct sv_err *err, const struct plat_part *part,
                    struct ctl_deploy *deploy)
{
    const size_t n = sizeof SITE_PART - 1;

    if (part->name.len < n || memcmp(part->name.ptr, SITE_PART, n) != 0)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       "there is no part '%.*s': wasm, manifest and site/PATH may be there",
                       (int)(part->name.len < 100 ? part->name.len : 100), part->name.ptr);
    if (!deploy->files)
        deploy->files = sv_arena_array_zero(&request->arena, PLAT_PARTS_MAX, sizeof *deploy->files);
    if (!deploy->files)
        return sv_fail_nomem(err, "the static files");
    deploy->files[deploy->nfiles++] =
        (struct ctl_file){{part->name.ptr + n, part->name.len - n}, part->body};
    return 0;
}

/* The parts of a multipart body. */
static int read_parts(struct ctl_request *request, struct sv_err *err, struct sv_str type,
                      struct ctl_deploy *deploy)
{
    struct plat_multipart parts;
    struct plat_part part;
    int r;

    if (!plat_multipart_init(&parts, type, request->body))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "%s", parts.why);
    while ((r = plat_multipart_next(&parts, &part)) > 0) {
        struct sv_str *to = sv_str_eq(part.name, sv_str_of("wasm"))       ? &deploy->module
                            : sv_str_eq(part.name, sv_str_of("manifest")) ? &deploy->manifest
                                                                          : NULL;

        if (!to) {
            r = add_file(request, err, &part, deploy);
            if (r < 0)
                return r;
            continue;
        }
        if (to->ptr)
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "there are two parts '%.*s'",
                           (int)part.name.len, part.name.ptr);
        *to = part.body;
    }
    return r < 0 ? sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "%s", parts.why) : 0;
}

int ctl_v1_functions_put(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct sv_str type = ctl_request_field(request, "Content-Type");
    struct ctl_deploy deploy = {.tenant = request->tenant,
                                .name = request->params[1].ptr,
                                .description = ctl_request_query(request, "description"),
                                .alias = ctl_request_query(request, "alias")};
    const char *on = ctl_request_query(request, "switch");
    const char *native = ctl_request_query(request, "native");
    struct ctl_deployed deployed = {0};
    int r = 0;

    deploy.weight = (uint32_t)ctl_request_number(request, "weight", 0);
    deploy.no_switch = on && strcmp(on, "off") == 0;
    deploy.no_native = native && strcmp(native, "off") == 0;
    if (type.ptr && plat_multipart_is(type))
        r = read_parts(request, err, type, &deploy);
    else
        deploy.module = request->body;
    if (r == 0 && !deploy.module.ptr && deploy.nfiles == 0)
        r = sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "there is nothing to deploy");
    if (r == 0)
        r = ctl_deploy(request->server, err, &deploy, &deployed);
    return r < 0 ? r : answer_deployed(request, reply, &deployed);
}

int ctl_v1_functions_delete(struct ctl_request *request, struct ctl_reply *reply,
                            struct sv_err *err)
{
    (void)reply;
    return ctl_registry_delete(request->server, err, request->tenant, request->params[1].ptr);
}

/* ---- Which versions get requests ---- */

int ctl_v1_functions_rollback(struct ctl_request *request, struct ctl_reply *reply,
                              struct sv_err *err)
{
    struct ctl_deployed deployed = {0};
    int r = ctl_rollback(request->server, err, request->tenant, request->params[1].ptr,
                         json_string_value(json_object_get(request->json, "version")), &deployed);

    if (r < 0)
        return r;
    ctl_function_unref(deployed.function);
    return ctl_v1_functions_get(request, reply, err);
}

int ctl_v1_functions_split(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    json_t *targets = json_object_get(request->json, "targets"), *target;
    struct ctl_share shares[PLAT_TARGETS_MAX];
    size_t i;
    int r;

    if (json_array_size(targets) > PLAT_TARGETS_MAX)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "there are 1 to %d versions in a split",
                       PLAT_TARGETS_MAX);
    json_array_foreach(targets, i, target)
    {
        json_int_t number = json_integer_value(json_object_get(target, "version")),
                   weight = json_integer_value(json_object_get(target, "weight"));

        if (number > UINT32_MAX)
            return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no such version");
        shares[i] = (struct ctl_share){(uint32_t)number, (uint32_t)weight};
    }
    r = ctl_registry_split(request->server, err, request->tenant, request->params[1].ptr, shares,
                           (unsigned)i);
    return r < 0 ? r : ctl_v1_functions_get(request, reply, err);
}

int ctl_v1_aliases_put(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    json_int_t number = json_integer_value(json_object_get(request->json, "version"));
    int r;

    if (number < 1 || number > UINT32_MAX)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no such version");
    r = ctl_registry_alias(request->server, err, request->tenant, request->params[1].ptr,
                           request->params[2].ptr, (uint32_t)number);
    return r < 0 ? r : ctl_v1_functions_get(request, reply, err);
}

int ctl_v1_aliases_delete(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    (void)reply;
    return ctl_registry_alias(request->server, err, request->tenant, request->params[1].ptr,
                              request->params[2].ptr, 0);
}

/* ---- Usage keys ---- */

int ctl_usage_key_new(struct ctl_server *server, struct sv_err *err, const char *tenant,
                      const char *function, char ret[37])
{
    uint8_t digest[SV_SHA256_LEN];
    int r = ctl_uuid_new(err, ret);

    if (r < 0)
        return r;
    sv_sha256(ret, CTL_UUID_TEXT - 1, digest);
    return ctl_registry_set_key(server, err, tenant, function, digest);
}

int ctl_v1_key_put(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    char key[CTL_UUID_TEXT];
    int r = ctl_usage_key_new(request->server, err, request->tenant, request->params[1].ptr, key);

    if (r < 0)
        return r;
    ctl_reply_field(reply, "Cache-Control", "no-store");
    return ctl_reply_json(reply, 200, json_pack("{s:s}", "usage_key", key));
}

int ctl_v1_key_delete(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    (void)reply;
    return ctl_registry_set_key(request->server, err, request->tenant, request->params[1].ptr,
                                NULL);
}
