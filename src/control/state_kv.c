/* Keys and values of functions: KV of message.def (state.h has its layout). */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "control/state.h"
#include "control/state_tenant.h"

#define ENTRY_BYTES 64 /* that an entry costs beside its key and value */

enum kv_verb { KV_GET, KV_SET, KV_CAS, KV_DELETE, KV_INCREMENT, KV_LIST, KV_VERB_COUNT };

static const char *const verbs[KV_VERB_COUNT] = {
    [KV_GET] = "get",       [KV_SET] = "set",   [KV_CAS] = "cas",
    [KV_DELETE] = "delete", [KV_LIST] = "list", [KV_INCREMENT] = "increment",
};

struct kv {
    enum kv_verb verb;
    const struct plat_message *request;
    own char *tenant;
    struct sv_str key, value;
    bool has_number;
    uint64_t number, ttl_ms;
    int64_t now_ms;
    struct plat_message *ret;
    /* Of the transaction. */
    bool there;
    int64_t version, expires_ms; /* 0: never */
    int64_t old_size, bytes, entries, last_version;
    uint64_t quota;
    char digits[24]; /* what increment makes */
    int64_t sum;
};

/* ---- Reading ---- */

static int get(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct kv *kv = data;
    struct sv_str value;
    int r = ctl_sql_run(
        sql, err,
        "select value, version from kv where tenant = $1 and key = $2 and "
        "(expires_ms is null or expires_ms > $3)",
        CTL_PARAMS(CTL_TEXT(kv->tenant), CTL_BLOB(kv->key.ptr, kv->key.len), CTL_INT(kv->now_ms)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r < 0)
        return r;
    sv_buf_clear(&kv->ret->values);
    plat_put_u64(kv->ret, PLAT_TAG_STATUS, r ? 200 : 404);
    if (r) {
        value = ctl_sql_str(sql, 0);
        plat_put(kv->ret, PLAT_TAG_VALUE, value.ptr, value.len);
        plat_put_u64(kv->ret, PLAT_TAG_NUMBER, (uint64_t)ctl_sql_int(sql, 1));
    }
    return 0;
}

struct range {
    struct kv *kv;
    char low[CTL_KV_KEY_MAX + 1], high[CTL_KV_KEY_MAX + 1];
    size_t nlow, nhigh; /* nhigh 0: no end */
    uint64_t count;
    bool values;
};

static bool less(struct sv_str a, struct sv_str b)
{
    int order = memcmp(a.ptr, b.ptr, a.len < b.len ? a.len : b.len);

    return order < 0 || (order == 0 && a.len < b.len);
}

/* The keys with that prefix, behind the cursor: bytes from `low` on, below `high`. */
static void make_range(struct range *range, struct sv_str prefix, struct sv_str cursor)
{
    bool behind = cursor.len > 0 && !less(cursor, prefix);
    struct sv_str from = behind ? cursor : prefix;

    memcpy(range->low, from.ptr, from.len);
    range->nlow = from.len;
    if (behind)
        range->low[range->nlow++] = '\0'; /* the next key that there can be */
    range->nhigh = prefix.len;
    memcpy(range->high, prefix.ptr, prefix.len);
    while (range->nhigh && (unsigned char)range->high[range->nhigh - 1] == 0xff)
        range->nhigh--;
    if (range->nhigh)
        range->high[range->nhigh - 1]++;
}

static int put_entries(struct ctl_sql *sql, struct sv_err *err, const struct range *range)
{
    struct plat_message *ret = range->kv->ret;
    char last[CTL_KV_KEY_MAX];
    size_t nlast = 0;
    uint64_t n = 0;
    int r;

    sv_buf_clear(&ret->values);
    plat_put_u64(ret, PLAT_TAG_STATUS, 200);
    while ((r = ctl_sql_next(sql, err)) > 0) {
        struct sv_str key = ctl_sql_str(sql, 0), value = {NULL, 0};

        if (range->values)
            value = ctl_sql_str(sql, 2);
        if (n == range->count || (n && ret->values.len + value.len > CTL_KV_LIST_BYTES))
            break;
        nlast = key.len < sizeof last ? key.len : sizeof last;
        memcpy(last, key.ptr, nlast);
        plat_put(ret, PLAT_TAG_KEY, key.ptr, key.len);
        plat_put_u64(ret, PLAT_TAG_NUMBER, (uint64_t)ctl_sql_int(sql, 1));
        if (range->values)
            plat_put(ret, PLAT_TAG_VALUE, value.ptr, value.len);
        n++;
    }
    if (r > 0) /* there are more */
        plat_put(ret, PLAT_TAG_OLD, last, nlast);
    return r < 0 ? r : 0;
}

#define LIST(end)                                                                                  \
    "select key, version, value from kv where tenant = $1 and key >= $2 and (expires_ms is null "  \
    "or expires_ms > $3)" end " order by key limit $4"

static int list(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct range *range = data;
    const struct kv *kv = range->kv;
    int r = ctl_sql_run(sql, err, range->nhigh ? LIST(" and key < $5") : LIST(""),
                        CTL_PARAMS(CTL_TEXT(kv->tenant), CTL_BLOB(range->low, range->nlow),
                                   CTL_INT(kv->now_ms), CTL_INT(range->count + 1),
                                   CTL_BLOB(range->high, range->nhigh)));

    return r < 0 ? r : put_entries(sql, err, range);
}

static int ask_list(struct ctl_server *server, struct sv_err *err, struct kv *kv)
{
    struct sv_str cursor = plat_get(kv->request, PLAT_TAG_OLD);
    struct range range = {.kv = kv, .count = 100, .values = plat_has(kv->request, PLAT_TAG_TEXT)};

    (void)plat_get_u64(kv->request, PLAT_TAG_COUNT, &range.count);
    if (range.count == 0 || range.count > CTL_KV_LIST_MAX)
        range.count = CTL_KV_LIST_MAX;
    if (cursor.len > CTL_KV_KEY_MAX)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "list: this is no cursor");
    make_range(&range, kv->key, cursor);
    return ctl_db_read(server->db, err, list, &range);
}

/* ---- Writing ---- */

/* Of an account: other nodes write it too. What we add to it must not go round. */
static bool is_amount(int64_t n)
{
    return n > INT64_MIN / 4 && n < INT64_MAX / 4;
}

/* What there is of the key and of its tenant. */
static int look(struct ctl_sql *sql, struct sv_err *err, struct kv *kv)
{
    int r = ctl_sql_run(
        sql, err,
        "select k.version, k.expires_ms, length(k.value), u.bytes, u.entries, u.version, t.limits, "
        "case when $3 = 1 then k.value end from (select 1 as one) o left join kv k on k.tenant = "
        "$1 and k.key = $2 left join kv_usage u on u.tenant = $1 left join tenants t on t.name = "
        "$1",
        CTL_PARAMS(CTL_TEXT(kv->tenant), CTL_BLOB(kv->key.ptr, kv->key.len),
                   CTL_INT(kv->verb == KV_CAS || kv->verb == KV_INCREMENT)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0)
        return r;
    kv->version = ctl_sql_int(sql, 0);
    kv->expires_ms = ctl_sql_int(sql, 1);
    kv->there = !ctl_sql_null(sql, 0) && (kv->expires_ms == 0 || kv->expires_ms > kv->now_ms);
    kv->old_size =
        ctl_sql_null(sql, 0) ? 0 : (int64_t)kv->key.len + ctl_sql_int(sql, 2) + ENTRY_BYTES;
    kv->bytes = ctl_sql_int(sql, 3);
    kv->entries = ctl_sql_int(sql, 4);
    kv->last_version = ctl_sql_int(sql, 5);
    if (!is_amount(kv->bytes) || !is_amount(kv->entries) || !is_amount(kv->last_version))
        return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET,
                       "database: the tenant's row of the table kv_usage has numbers that no "
                       "account has");
    kv->quota = ctl_state_quota(ctl_sql_str(sql, 6), kv->request);
    return 0;
}

/* Keep the tenant's account: `size` is what the key takes now, 0 = it is gone. */
static int account(struct ctl_sql *sql, struct sv_err *err, const struct kv *kv, int64_t size)
{
    return ctl_sql_run(
        sql, err,
        "insert into kv_usage (tenant, bytes, entries, version) values ($1, $2, $3, $4) on "
        "conflict (tenant) do update set bytes = excluded.bytes, entries = excluded.entries, "
        "version = excluded.version",
        CTL_PARAMS(CTL_TEXT(kv->tenant), CTL_INT(kv->bytes - kv->old_size + size),
                   CTL_INT(kv->entries - (kv->old_size > 0) + (size > 0)),
                   CTL_INT(kv->last_version + (size > 0))));
}

/* What has expired of the tenant, and its account. */
static int forget_expired(struct ctl_sql *sql, struct sv_err *err, const char *tenant,
                          int64_t now_ms)
{
    int r = ctl_sql_run(
        sql, err,
        "update kv_usage set bytes = bytes - (select coalesce(sum(length(key) + length(value) + "
        "$3), 0) from kv where tenant = $2 and expires_ms <= $1), entries = entries - (select "
        "count(*) from kv where tenant = $2 and expires_ms <= $1) where tenant = $2",
        CTL_PARAMS(CTL_INT(now_ms), CTL_TEXT(tenant), CTL_INT(ENTRY_BYTES)));

    if (r == 0)
        r = ctl_sql_run(sql, err, "delete from kv where expires_ms <= $1 and tenant = $2",
                        CTL_PARAMS(CTL_INT(now_ms), CTL_TEXT(tenant)));
    return r;
}

/* Put kv->value, when there is room for it. */
static int store(struct ctl_sql *sql, struct sv_err *err, struct kv *kv)
{
    int64_t size = (int64_t)(kv->key.len + kv->value.len) + ENTRY_BYTES;
    int64_t expires_ms = kv->verb == KV_INCREMENT && kv->there ? kv->expires_ms : 0;
    int r = 0;

    if ((uint64_t)(kv->bytes - kv->old_size + size) > kv->quota && size > kv->old_size) {
        r = forget_expired(sql, err, kv->tenant, kv->now_ms);
        if (r == 0)
            r = look(sql, err, kv);
        if (r < 0)
            return r;
    }
    if ((uint64_t)(kv->bytes - kv->old_size + size) > kv->quota && size > kv->old_size)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET,
                       "the tenant's storage is full: %" PRId64 " of %" PRIu64
                       " bytes are used (limit 'storage')",
                       kv->bytes, kv->quota);
    if (kv->ttl_ms)
        expires_ms = kv->now_ms + (int64_t)kv->ttl_ms;
    r = ctl_sql_run(sql, err,
                    "insert into kv (tenant, key, value, version, expires_ms) values ($1, $2, $3, "
                    "$4, $5) on conflict (tenant, key) do update set value = excluded.value, "
                    "version = excluded.version, expires_ms = excluded.expires_ms",
                    CTL_PARAMS(CTL_TEXT(kv->tenant), CTL_BLOB(kv->key.ptr, kv->key.len),
                               CTL_BLOB(kv->value.ptr, kv->value.len),
                               CTL_INT(kv->last_version + 1),
                               expires_ms ? CTL_INT(expires_ms) : CTL_NULL));
    return r < 0 ? r : account(sql, err, kv, size);
}

/* Is it as the request expects? Called while the row of `look` is there. */
static bool expected(struct ctl_sql *sql, const struct kv *kv)
{
    struct sv_str old = plat_get(kv->request, PLAT_TAG_OLD);

    if (kv->has_number)
        return kv->there ? (uint64_t)kv->version == kv->number : kv->number == 0;
    return kv->there && sv_str_eq(ctl_sql_str(sql, 7), old);
}

static int add(struct ctl_sql *sql, struct sv_err *err, struct kv *kv)
{
    struct sv_str text = kv->there ? ctl_sql_str(sql, 7) : sv_str_of("0");
    char digits[24], *end = digits;
    long long old = 0;

    if (text.len > 0 && text.len < sizeof digits) {
        memcpy(digits, text.ptr, text.len);
        digits[text.len] = '\0';
        errno = 0;
        old = digits[0] == '-' || (digits[0] >= '0' && digits[0] <= '9') ? strtoll(digits, &end, 10)
                                                                         : 0;
    }
    if (text.len == 0 || end != digits + text.len || errno)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "increment: the value is not a number");
    if (__builtin_add_overflow((int64_t)old, (int64_t)kv->number, &kv->sum))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "increment: the sum does not fit 64 bits");
    kv->value.len = (size_t)snprintf(kv->digits, sizeof kv->digits, "%" PRId64, kv->sum);
    kv->value.ptr = kv->digits;
    return 0;
}

static int erase(struct ctl_sql *sql, struct sv_err *err, struct kv *kv)
{
    int r = ctl_sql_run(sql, err, "delete from kv where tenant = $1 and key = $2",
                        CTL_PARAMS(CTL_TEXT(kv->tenant), CTL_BLOB(kv->key.ptr, kv->key.len)));

    return r < 0 ? r : account(sql, err, kv, 0);
}

static int answer(struct kv *kv, unsigned status, uint64_t number)
{
    sv_buf_clear(&kv->ret->values);
    plat_put_u64(kv->ret, PLAT_TAG_STATUS, status);
    if (status != 404)
        plat_put_u64(kv->ret, PLAT_TAG_NUMBER, number);
    return 0;
}

static int change(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct kv *kv = data;
    int r = look(sql, err, kv);

    if (r < 0)
        return r;
    if (kv->verb == KV_DELETE && !kv->there)
        return answer(kv, 404, 0);
    if ((kv->verb == KV_CAS || (kv->verb == KV_DELETE && kv->has_number)) && !expected(sql, kv))
        return answer(kv, 409, kv->there ? (uint64_t)kv->version : 0);
    if (kv->verb == KV_DELETE)
        r = erase(sql, err, kv);
    else if (kv->verb == KV_INCREMENT)
        r = add(sql, err, kv);
    if (r == 0 && kv->verb != KV_DELETE)
        r = store(sql, err, kv);
    if (r < 0)
        return r;
    return answer(kv, 200,
                  kv->verb == KV_INCREMENT ? (uint64_t)kv->sum
                                           : (uint64_t)kv->last_version + (kv->verb != KV_DELETE));
}

/* ---- The request ---- */

static int read_request(struct sv_err *err, struct kv *kv)
{
    struct sv_str op = plat_get(kv->request, PLAT_TAG_OP);

    kv->tenant = ctl_state_tenant(err, kv->request);
    if (!kv->tenant)
        return SV_EUSAGE;
    while (kv->verb < KV_VERB_COUNT && !sv_str_eq(op, sv_str_of(verbs[kv->verb])))
        kv->verb++;
    if (kv->verb == KV_VERB_COUNT)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "there is no operation '%.*s' on keys",
                       (int)op.len, op.len ? op.ptr : "");
    kv->key = plat_get(kv->request, PLAT_TAG_KEY);
    if (!kv->key.ptr)
        kv->key.ptr = "";
    kv->value = plat_get(kv->request, PLAT_TAG_VALUE);
    kv->has_number = plat_get_u64(kv->request, PLAT_TAG_NUMBER, &kv->number);
    (void)plat_get_u64(kv->request, PLAT_TAG_TTL_MS, &kv->ttl_ms);
    if (kv->verb == KV_INCREMENT && !kv->has_number)
        kv->number = 1;
    if (kv->key.len > CTL_KV_KEY_MAX || (kv->key.len == 0 && kv->verb != KV_LIST))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "a key has 1 to %d bytes", CTL_KV_KEY_MAX);
    if (kv->value.len > CTL_KV_VALUE_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "a value has at most %u bytes",
                       CTL_KV_VALUE_MAX);
    if ((kv->verb == KV_SET || kv->verb == KV_CAS) && !plat_has(kv->request, PLAT_TAG_VALUE))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "%s: no value", verbs[kv->verb]);
    if (kv->verb == KV_CAS && !kv->has_number && !plat_has(kv->request, PLAT_TAG_OLD))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "cas: neither a version nor an old value");
    if (kv->ttl_ms > INT64_MAX / 2)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "a time to live that is too long");
    return 0;
}

/* All writes to a tenant's keys change its account. */
static int write_in_turn(struct ctl_server *server, struct sv_err *err, const char *tenant,
                         ctl_db_fn fn, void *data)
{
    char turn[CTL_TENANT_MAX + 4];

    snprintf(turn, sizeof turn, "kv %s", tenant);
    return ctl_db_write_in_turn(server->db, err, turn, fn, data);
}

int ctl_state_kv(struct ctl_server *server, struct sv_err *err, struct plat_message *request,
                 struct plat_message *ret)
{
    struct kv kv = {.request = request, .ret = ret, .now_ms = sv_clock_wall_ms()};
    int r = read_request(err, &kv);

    if (r == 0 && kv.verb == KV_GET)
        r = ctl_db_read(server->db, err, get, &kv);
    else if (r == 0 && kv.verb == KV_LIST)
        r = ask_list(server, err, &kv);
    else if (r == 0)
        r = write_in_turn(server, err, kv.tenant, change, &kv);
    sv_free(kv.tenant);
    return r;
}

struct sweep {
    int64_t now_ms;
    struct sv_buf after; /* whom we have been at, byte by byte as the row has it */
    char tenant[CTL_TENANT_MAX + 1];
};

/* The next tenant that has something to forget. 1: there is one; "" is a row's that is no tenant's
 * name, as a restored backup may have it. */
static int find_expired(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct sweep *s = data;
    struct sv_str tenant;
    int r = ctl_sql_run(
        sql, err, "select min(tenant) from kv where expires_ms <= $1 and tenant > $2",
        CTL_PARAMS(CTL_INT(s->now_ms),
                   ((struct ctl_param){.type = CTL_P_TEXT,
                                       .ptr = s->after.len ? (const void *)s->after.data : "",
                                       .len = s->after.len})));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0 || ctl_sql_null(sql, 0))
        return r < 0 ? r : 0;
    tenant = ctl_sql_str(sql, 0);
    s->tenant[0] = '\0';
    if (tenant.len <= CTL_TENANT_MAX && strnlen(tenant.ptr, tenant.len) == tenant.len)
        snprintf(s->tenant, sizeof s->tenant, "%.*s", (int)tenant.len, tenant.ptr);
    sv_buf_clear(&s->after);
    return sv_buf_append(&s->after, tenant.ptr, tenant.len) ? 1 : sv_fail_nomem(err, "a tenant");
}

static int sweep(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct sweep *s = data;

    return forget_expired(sql, err, s->tenant, s->now_ms);
}

int ctl_state_kv_sweep(struct ctl_server *server, struct sv_err *err)
{
    struct sweep s = {.now_ms = sv_clock_wall_ms()};
    int r;

    sv_buf_init(&s.after, SIZE_MAX);
    while ((r = ctl_db_read(server->db, err, find_expired, &s)) > 0) {
        if (s.tenant[0])
            r = write_in_turn(server, err, s.tenant, sweep, &s);
        if (r < 0)
            break;
    }
    sv_buf_release(&s.after);
    return r;
}
