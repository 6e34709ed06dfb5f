/* /v1: tenants. */
#include <stdlib.h>

#include "base/clock.h"
#include "control/api.h"
#include "control/deploy.h"
#include "control/registry.h"
#include "control/shape.h"
#include "control/state.h"

#define COLUMNS "select name, limits, created_ms, isolation from tenants"

struct tenants {
    const char *name; /* NULL: all */
    const char *settings;
    const char *isolation; /* NULL: as it is, of a new one: shared */
    bool is_new;           /* it must not be there */
    int64_t now;
    own json_t *array;
};

static json_t *tenant_json(struct ctl_sql *sql)
{
    struct sv_str text = ctl_sql_str(sql, 1);
    json_t *limits = json_loadb(text.ptr ? text.ptr : "", text.len, 0, NULL), *tenant;

    if (!json_is_object(limits)) {
        json_decref(limits);
        limits = json_object();
    }
    tenant = json_pack("{s:o,s:o,s:o,s:o}", "name", ctl_json_str(ctl_sql_str(sql, 0)), "limits",
                       limits, "created", ctl_json_time(ctl_sql_int(sql, 2)), "isolation",
                       ctl_json_str(ctl_sql_str(sql, 3)));
    return tenant;
}

static int read_tenants(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct tenants *tenants = data;
    int r;

    json_decref(tenants->array);
    tenants->array = json_array();
    if (tenants->name)
        r = ctl_sql_run(sql, err, COLUMNS " where name = $1", CTL_PARAMS(CTL_TEXT(tenants->name)));
    else
        r = ctl_sql_run(sql, err, COLUMNS " order by name", CTL_NO_PARAMS);
    while (r == 0 && (r = ctl_sql_next(sql, err)) > 0) {
        json_array_append_new(tenants->array, tenant_json(sql));
        r = 0;
    }
    return r;
}

int ctl_v1_tenants_list(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct tenants tenants = {.name = request->tenant};
    int r = ctl_db_read(request->server->db, err, read_tenants, &tenants);

    if (r < 0) {
        json_decref(tenants.array);
        return r;
    }
    return ctl_reply_json(reply, 200, json_pack("{s:o}", "tenants", tenants.array));
}

static int answer_tenant(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err,
                         const char *name)
{
    struct tenants tenants = {.name = name};
    int r = ctl_db_read(request->server->db, err, read_tenants, &tenants);
    json_t *tenant = r < 0 ? NULL : json_array_get(tenants.array, 0);

    if (tenant)
        ctl_reply_json(reply, reply->status, json_incref(tenant));
    else if (r == 0)
        r = sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no such tenant");
    json_decref(tenants.array);
    return r;
}

int ctl_v1_tenants_get(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    return answer_tenant(request, reply, err, request->tenant);
}

/* Make or change a tenant. */
static int write_tenant(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct tenants *tenants = data;
    struct ctl_param isolation = tenants->isolation ? CTL_TEXT(tenants->isolation) : CTL_NULL;
    int r;

    if (tenants->is_new)
        r = ctl_sql_run(sql, err,
                        "insert into tenants (name, limits, created_ms, isolation) values ($1, $2, "
                        "$3, coalesce($4, 'shared')) on conflict (name) do nothing",
                        CTL_PARAMS(CTL_TEXT(tenants->name), CTL_TEXT(tenants->settings),
                                   CTL_INT(tenants->now), isolation));
    else
        r = ctl_sql_run(
            sql, err,
            "update tenants set limits = $2, isolation = coalesce($3, isolation) where name = $1",
            CTL_PARAMS(CTL_TEXT(tenants->name), CTL_TEXT(tenants->settings), isolation));
    if (r == 0 && ctl_sql_changes(sql) == 0)
        r = tenants->is_new
                ? sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "there is a tenant of this name already")
                : sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no such tenant");
    ctl_sql_notify(sql, "tenants");
    return r;
}

static int put_tenant(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err,
                      const char *name, bool is_new)
{
    struct tenants tenants = {.name = name, .is_new = is_new, .now = sv_clock_wall_ms()};
    json_t *limits = json_deep_copy(json_object_get(request->json, "limits"));
    char *text;
    int r;

    if (!limits)
        limits = json_object();
    text = json_dumps(limits, JSON_COMPACT);
    json_decref(limits);
    if (!text)
        return sv_fail_nomem(err, "a tenant");
    tenants.settings = text;
    tenants.isolation = json_string_value(json_object_get(request->json, "isolation"));
    if (!is_new && tenants.isolation && strcmp(tenants.isolation, "process") == 0)
        ctl_deploy_isolate(request->server, name);
    r = ctl_db_write(request->server->db, err, write_tenant, &tenants);
    free(text);
    return r < 0 ? r : answer_tenant(request, reply, err, name);
}

int ctl_v1_tenants_new(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    const char *name = json_string_value(json_object_get(request->json, "name"));

    return put_tenant(request, reply, err, name, true);
}

int ctl_v1_tenants_put(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    return put_tenant(request, reply, err, request->tenant, false);
}

static bool delete_function(void *data, const struct ctl_function *function)
{
    json_array_append_new(data, json_string(function->name));
    return true;
}

static int delete_functions(struct ctl_server *server, struct sv_err *err, const char *tenant)
{
    json_t *names = json_array();
    int r = ctl_registry_list(server, err, tenant, delete_function, names);

    for (size_t i = 0; r == 0 && i < json_array_size(names); i++)
        r = ctl_registry_delete(server, err, tenant, json_string_value(json_array_get(names, i)));
    json_decref(names);
    return r;
}

/* What a tenant has beside functions, which the registry removes. The tenant goes last. */
static int delete_tenant(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    static const char *const statements[] = {
        "delete from tokens where tenant = $1",
        "delete from kv where tenant = $1",
        "delete from kv_usage where tenant = $1",
        "delete from secrets where tenant = $1",
        "delete from ephemeral where tenant = $1",
        "delete from queue where tenant = $1",
        "delete from requests where tenant = $1",
        "delete from meta where key in ('turn kv ' || $1, 'turn jobs ' || $1)",
        "delete from tenants where name = $1",
    };
    int r = 0;

    for (size_t i = 0; r == 0 && i < SV_COUNT(statements); i++)
        r = ctl_sql_run(sql, err, statements[i], CTL_PARAMS(CTL_TEXT((const char *)data)));
    if (r == 0 && ctl_sql_changes(sql) == 0)
        r = sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no such tenant");
    return r;
}

int ctl_v1_tenants_delete(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    int r;

    if (strcmp(request->tenant, CTL_DEFAULT_TENANT) == 0)
        return ctl_reply_error(reply, request, 409, "default_tenant", "the tenant '%s' always is",
                               CTL_DEFAULT_TENANT);
    r = delete_functions(request->server, err, request->tenant);
    if (r == 0)
        r = ctl_state_sql_drop(request->server, err, request->tenant);
    if (r == 0)
        r = ctl_db_write(request->server->db, err, delete_tenant, (void *)request->tenant);
    return r;
}
