/* Functions' state, but for keys (state_kv.c) and SQL (state_sql.c): secrets, what forgets, and
 * what the handlers share. */
#include "control/state.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "control/key.h"
#include "control/secret.h"
#include "control/state_tenant.h"

#define UUID_TEXT 37
#define EPHEMERAL_TTL_MAX_MS (7ULL * 24 * 3600 * 1000)

own char *ctl_state_tenant(struct sv_err *err, const struct plat_message *request)
{
    struct sv_str s = plat_get(request, PLAT_TAG_TENANT);
    char *tenant = NULL;

    if (s.len > 0 && s.len <= CTL_TENANT_MAX && sv_utf8_valid(s.ptr, s.len) &&
        !memchr(s.ptr, '\0', s.len))
        tenant = sv_strndup(s.ptr, s.len);
    if (!tenant)
        sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "the request names no tenant");
    return tenant;
}

uint64_t ctl_state_quota(struct sv_str limits, const struct plat_message *request)
{
    uint64_t quota = CTL_STORAGE_DEFAULT, of_function;
    json_t *json = limits.len ? json_loadb(limits.ptr, limits.len, 0, NULL) : NULL;
    json_t *storage = json_object_get(json, "storage");

    if (json_is_integer(storage) && json_integer_value(storage) > 0)
        quota = (uint64_t)json_integer_value(storage);
    json_decref(json);
    if (plat_get_u64(request, PLAT_TAG_LIMIT, &of_function) && of_function && of_function < quota)
        quota = of_function;
    return quota;
}

/* ---- Secrets ---- */

int ctl_state_secret(struct ctl_server *server, struct sv_err *err, struct plat_message *request,
                     struct plat_message *ret)
{
    char *tenant = ctl_state_tenant(err, request);
    struct sv_str name = plat_get(request, PLAT_TAG_NAME);
    struct sv_err why = {0};
    struct sv_buf value;
    int r;

    if (!tenant)
        return SV_EUSAGE;
    if (!name.ptr)
        name.ptr = "";
    sv_buf_init(&value, CTL_SECRET_VALUE_MAX + 1);
    r = ctl_secret_get(server, &why, tenant, name, &value);
    if (r == 0)
        plat_put(ret, PLAT_TAG_VALUE, value.data, value.len);
    else if (r != SV_ENOTFOUND && err)
        *err = why;
    if (r == 0 || r == SV_ENOTFOUND)
        plat_put_u64(ret, PLAT_TAG_STATUS, r == 0 ? 200 : 404);
    if (value.data)
        explicit_bzero(value.data, value.cap);
    sv_buf_release(&value);
    sv_free(tenant);
    return r == SV_ENOTFOUND ? 0 : r;
}

/* ---- What forgets ---- */

struct ephemeral {
    struct ctl_server *server;
    const struct plat_message *request;
    struct plat_message *ret;
    own char *tenant;
    struct sv_str key, value;
    int64_t now_ms;
    uint64_t ttl_ms;
    char fresh[UUID_TEXT];
};

static int answer(struct ephemeral *e, bool there)
{
    sv_buf_clear(&e->ret->values);
    plat_put_u64(e->ret, PLAT_TAG_STATUS, there ? 200 : 404);
    if (there)
        plat_put(e->ret, PLAT_TAG_KEY, e->key.ptr, e->key.len);
    return 0;
}

static int get(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct ephemeral *e = data;
    struct sv_str value;
    int r = ctl_sql_run(sql, err,
                        "select value from ephemeral where key = $1 and tenant = $2 and expires_ms "
                        "> $3",
                        CTL_PARAMS(CTL_STR(e->key), CTL_TEXT(e->tenant), CTL_INT(e->now_ms)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r < 0)
        return r;
    answer(e, r);
    value = ctl_sql_str(sql, 0);
    if (r)
        plat_put(e->ret, PLAT_TAG_VALUE, value.ptr, value.len);
    return 0;
}

/* The tenant may keep as much here as it may in keys. */
static int check_quota(struct ctl_sql *sql, struct sv_err *err, const struct ephemeral *e)
{
    uint64_t quota, used;
    int r = ctl_sql_run(
        sql, err,
        "select (select limits from tenants where name = $1), (select coalesce(sum(length(value)), "
        "0) from ephemeral where tenant = $1 and expires_ms > $2 and key <> $3)",
        CTL_PARAMS(CTL_TEXT(e->tenant), CTL_INT(e->now_ms), CTL_STR(e->key)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0)
        return r;
    quota = ctl_state_quota(ctl_sql_str(sql, 0), e->request);
    used = (uint64_t)ctl_sql_int(sql, 1);
    if (used + e->value.len <= quota)
        return 0;
    return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET,
                   "the tenant's ephemeral storage is full: %" PRIu64 " of %" PRIu64
                   " bytes are used (limit 'storage')",
                   used, quota);
}

static int put(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct ephemeral *e = data;
    int64_t expires_ms = e->now_ms + (int64_t)e->ttl_ms;
    int r = check_quota(sql, err, e);

    if (r == 0 && e->fresh[0])
        r = ctl_sql_run(
            sql, err,
            "insert into ephemeral (key, tenant, value, expires_ms) values ($1, $2, $3, "
            "$4)",
            CTL_PARAMS(CTL_STR(e->key), CTL_TEXT(e->tenant), CTL_BLOB(e->value.ptr, e->value.len),
                       CTL_INT(expires_ms)));
    else if (r == 0)
        r = ctl_sql_run(
            sql, err,
            "update ephemeral set value = $3, expires_ms = $4 where key = $1 and tenant "
            "= $2 and expires_ms > $5",
            CTL_PARAMS(CTL_STR(e->key), CTL_TEXT(e->tenant), CTL_BLOB(e->value.ptr, e->value.len),
                       CTL_INT(expires_ms), CTL_INT(e->now_ms)));
    return r < 0 ? r : answer(e, ctl_sql_changes(sql) > 0);
}

static int erase(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct ephemeral *e = data;
    int r = ctl_sql_run(sql, err,
                        "delete from ephemeral where key = $1 and tenant = $2 and expires_ms > $3",
                        CTL_PARAMS(CTL_STR(e->key), CTL_TEXT(e->tenant), CTL_INT(e->now_ms)));

    return r < 0 ? r : answer(e, ctl_sql_changes(sql) > 0);
}

/* As RFC 4122 has random ones. */
static int make_uuid(struct sv_err *err, char ret[UUID_TEXT])
{
    uint8_t b[16];
    int r = ctl_random(err, b, sizeof b);
    size_t at = 0;

    b[6] = (uint8_t)((b[6] & 0x0f) | 0x40);
    b[8] = (uint8_t)((b[8] & 0x3f) | 0x80);
    for (unsigned i = 0; r == 0 && i < sizeof b; i++)
        at += (size_t)snprintf(ret + at, UUID_TEXT - at,
                               i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", b[i]);
    return r;
}

static int put_request(struct sv_err *err, struct ephemeral *e)
{
    int r = 0;

    e->value = plat_get(e->request, PLAT_TAG_VALUE);
    if (!plat_has(e->request, PLAT_TAG_VALUE))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "put: no value");
    if (e->value.len > CTL_EPHEMERAL_VALUE_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "a value has at most %u bytes",
                       CTL_EPHEMERAL_VALUE_MAX);
    e->ttl_ms = CTL_EPHEMERAL_TTL_MS;
    (void)plat_get_u64(e->request, PLAT_TAG_TTL_MS, &e->ttl_ms);
    if (e->ttl_ms > EPHEMERAL_TTL_MAX_MS)
        e->ttl_ms = EPHEMERAL_TTL_MAX_MS;
    if (!plat_has(e->request, PLAT_TAG_KEY)) {
        r = make_uuid(err, e->fresh);
        e->key = sv_str_of(e->fresh);
    }
    return r < 0 ? r : ctl_db_write(e->server->db, err, put, e);
}

int ctl_state_ephemeral(struct ctl_server *server, struct sv_err *err, struct plat_message *request,
                        struct plat_message *ret)
{
    struct ephemeral e = {
        .server = server,
        .request = request,
        .ret = ret,
        .now_ms = sv_clock_wall_ms(),
        .key = plat_get(request, PLAT_TAG_KEY),
        .tenant = ctl_state_tenant(err, request),
    };
    struct sv_str op = plat_get(request, PLAT_TAG_OP);
    int r;

    if (!e.tenant)
        return SV_EUSAGE;
    if (!sv_utf8_valid(e.key.ptr, e.key.len) ||
        memchr(e.key.len ? e.key.ptr : "-", '\0', e.key.len))
        e.key = (struct sv_str){"", 0}; /* which is nowhere */
    if (sv_str_eq(op, sv_str_of("put")))
        r = put_request(err, &e);
    else if (sv_str_eq(op, sv_str_of("get")))
        r = ctl_db_read(server->db, err, get, &e);
    else if (sv_str_eq(op, sv_str_of("delete")))
        r = ctl_db_write(server->db, err, erase, &e);
    else
        r = sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "there is no operation '%.*s' on what forgets",
                    (int)op.len, op.len ? op.ptr : "");
    sv_free(e.tenant);
    return r;
}

static int sweep(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    return ctl_sql_run(sql, err, "delete from ephemeral where expires_ms <= $1",
                       CTL_PARAMS(CTL_INT(*(const int64_t *)data)));
}

void ctl_state_sweep(struct ctl_server *server, void *unused)
{
    int64_t now_ms = sv_clock_wall_ms();
    struct sv_err err = {0};

    (void)unused;
    if (ctl_db_write(server->db, &err, sweep, &now_ms) < 0 || ctl_state_kv_sweep(server, &err) < 0)
        fprintf(stderr, "ssvm-control: what has expired stays for now: %s\n", err.text);
}
