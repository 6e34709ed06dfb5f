/* Functions' SQL: reads requests and keeps tenants from one another's turns. What SQL means is the
 * database's. */
#include "control/state_sql.h"

#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "control/state_tenant.h"

#define RUNNING_MAX 32       /* of all tenants: control has more threads, for what is quick */
#define TENANT_RUNNING_MAX 8 /* of one, with those that wait for their turn */

void ctl_sql_name_role(const char *tenant, char ret[CTL_SQL_ROLE_TEXT])
{
    uint8_t bytes[SV_SHA256_LEN];

    sv_sha256(tenant, strlen(tenant), bytes);
    snprintf(ret, CTL_SQL_ROLE_TEXT, "ssvm_");
    for (unsigned i = 0; i < 16; i++)
        snprintf(ret + 5 + 2 * i, 3, "%02x", bytes[i]);
}

/* ---- The answer ---- */

void ctl_sql_put_u32(struct ctl_tenant_sql *q, uint32_t n)
{
    unsigned char bytes[4];

    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(n >> (8 * i));
    sv_buf_append(&q->body, bytes, sizeof bytes);
}

void ctl_sql_put_i64(struct ctl_tenant_sql *q, int64_t n)
{
    ctl_sql_put_u32(q, (uint32_t)n);
    ctl_sql_put_u32(q, (uint32_t)((uint64_t)n >> 32));
}

void ctl_sql_put_bytes(struct ctl_tenant_sql *q, const void *bytes, size_t len)
{
    ctl_sql_put_u32(q, (uint32_t)len);
    sv_buf_append(&q->body, bytes, len);
}

size_t ctl_sql_begin_rows(struct ctl_tenant_sql *q)
{
    size_t place = q->body.len;

    ctl_sql_put_u32(q, 0);
    return place;
}

static int check_length(const struct ctl_tenant_sql *q, struct sv_err *err)
{
    return q->body.failed ? sv_fail(err, SV_ELIMIT, SV_NO_OFFSET,
                                    "sql: the result has more than %u bytes", CTL_SQL_RESULT_MAX)
                          : 0;
}

int ctl_sql_add_row(struct ctl_tenant_sql *q, struct sv_err *err, size_t place)
{
    if (check_length(q, err) < 0)
        return SV_ELIMIT;
    if (q->rows_left == 0)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "sql: the result has too many rows");
    q->rows_left--;
    for (unsigned i = 0; i < 4 && ++q->body.data[place + i] == 0; i++) {
    }
    return 0;
}

int ctl_sql_end_rows(struct ctl_tenant_sql *q, struct sv_err *err, int64_t changed, int64_t rowid)
{
    ctl_sql_put_i64(q, changed);
    ctl_sql_put_i64(q, rowid);
    return check_length(q, err);
}

int ctl_sql_refused(struct sv_err *err, const char *text)
{
    return sv_fail(err, SV_EGUEST, SV_NO_OFFSET, "sql: %s", text);
}

int ctl_sql_too_slow(const struct ctl_tenant_sql *q, struct sv_err *err)
{
    return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET,
                   "sql: not done within %llu ms, nothing was written",
                   (unsigned long long)q->timeout_ms);
}

int ctl_sql_too_full(const struct ctl_tenant_sql *q, struct sv_err *err)
{
    return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET,
                   "sql: the tenant's database has its %llu bytes (limit 'storage'), nothing was "
                   "written",
                   (unsigned long long)q->quota);
}

/* ---- The request ---- */

static uint64_t little(const char *p, unsigned bytes)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < bytes; i++)
        n |= (uint64_t)(unsigned char)p[i] << (8 * i);
    return n;
}

static int read_cell(struct sv_err *err, struct sv_str s, struct ctl_cell *ret)
{
    char type = s.len ? s.ptr[0] : '\0';
    uint64_t bits;

    *ret = (struct ctl_cell){.type = type};
    if (type == 'n' && s.len == 1)
        return 0;
    if ((type == 'i' || type == 'f') && s.len == 9) {
        bits = little(s.ptr + 1, 8);
        ret->number = (int64_t)bits;
        memcpy(&ret->real, &bits, sizeof bits);
        return 0;
    }
    ret->bytes = (struct sv_str){s.ptr + 1, s.len - 1};
    if (type == 'b' || (type == 't' && sv_utf8_valid(ret->bytes.ptr, ret->bytes.len)))
        return 0;
    return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "sql: a parameter is malformed");
}

static int read_params(struct sv_err *err, const struct plat_message *request,
                       struct ctl_tenant_sql *q)
{
    unsigned count = 0, used = 0;
    size_t at = 0;
    struct sv_str s;
    int r;

    for (; (s = plat_get_next(request, PLAT_TAG_VALUE, &at)).ptr; count++) {
        if (count == CTL_SQL_PARAMS_MAX)
            return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "sql: more than %d parameters",
                           CTL_SQL_PARAMS_MAX);
        r = read_cell(err, s, &q->params[count]);
        if (r < 0)
            return r;
    }
    at = 0;
    for (unsigned i = 0; i < q->count; i++) {
        s = plat_get_next(request, PLAT_TAG_NUMBER, &at);
        q->statements[i].params = q->params + used;
        if (s.len == 8 && little(s.ptr, 8) <= count - used)
            q->statements[i].count = (unsigned)little(s.ptr, 8);
        else if (!s.ptr && i == 0)
            q->statements[i].count = count;
        else
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                           "sql: which parameters are whose is malformed");
        used += q->statements[i].count;
    }
    return 0;
}

static int read_request(struct sv_err *err, const struct plat_message *request,
                        struct ctl_tenant_sql *q)
{
    struct sv_str s;
    size_t at = 0;

    for (; (s = plat_get_next(request, PLAT_TAG_TEXT, &at)).ptr; q->count++) {
        if (q->count == CTL_SQL_STATEMENTS_MAX)
            return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "sql: more than %d statements",
                           CTL_SQL_STATEMENTS_MAX);
        if (s.len > CTL_SQL_TEXT_MAX || !sv_utf8_valid(s.ptr, s.len) || memchr(s.ptr, '\0', s.len))
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                           "sql: a statement is too long, or not UTF-8");
        q->statements[q->count].text = s;
    }
    if (q->count == 0)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "sql: no statement");
    q->timeout_ms = CTL_SQL_TIMEOUT_MS;
    (void)plat_get_u64(request, PLAT_TAG_TIMEOUT_MS, &q->timeout_ms);
    if (q->timeout_ms == 0 || q->timeout_ms > CTL_SQL_TIMEOUT_MAX_MS)
        q->timeout_ms = CTL_SQL_TIMEOUT_MAX_MS;
    q->deadline_ns = sv_clock_ns() + q->timeout_ms * 1000000;
    q->rows_left = CTL_SQL_ROWS_MAX;
    (void)plat_get_u64(request, PLAT_TAG_COUNT, &q->rows_left);
    if (q->rows_left > CTL_SQL_ROWS_MAX)
        q->rows_left = CTL_SQL_ROWS_MAX;
    return read_params(err, request, q);
}

struct quota {
    const struct plat_message *request;
    struct ctl_tenant_sql *q;
};

static int read_quota(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct quota *quota = data;
    int r = ctl_sql_run(sql, err, "select limits from tenants where name = $1",
                        CTL_PARAMS(CTL_TEXT(quota->q->tenant)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    quota->q->quota =
        ctl_state_quota(r > 0 ? ctl_sql_str(sql, 0) : (struct sv_str){NULL, 0}, quota->request);
    return r < 0 ? r : 0;
}

/* ---- Turns ---- */

/* Statements may be slow, and threads are few: each tenant has so many at once. */
static struct {
    pthread_mutex_t mutex;
    unsigned count;
    uint64_t tenants[RUNNING_MAX]; /* hashes, 0 = free */
} running = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static int take_turn(struct sv_err *err, const char *tenant, uint64_t *ret)
{
    uint64_t hash = sv_hash(tenant, strlen(tenant)) | 1;
    unsigned same = 0, place = RUNNING_MAX;

    pthread_mutex_lock(&running.mutex);
    for (unsigned i = 0; i < RUNNING_MAX; i++) {
        same += running.tenants[i] == hash;
        if (!running.tenants[i])
            place = i;
    }
    if (same < TENANT_RUNNING_MAX && place < RUNNING_MAX)
        running.tenants[place] = hash;
    pthread_mutex_unlock(&running.mutex);
    if (same >= TENANT_RUNNING_MAX || place == RUNNING_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET,
                       "sql: %d requests of the tenant, or %d of all, run already: try again",
                       TENANT_RUNNING_MAX, RUNNING_MAX);
    *ret = hash;
    return 0;
}

static void give_turn(uint64_t hash)
{
    pthread_mutex_lock(&running.mutex);
    for (unsigned i = 0; i < RUNNING_MAX; i++) {
        if (running.tenants[i] == hash) {
            running.tenants[i] = 0;
            break;
        }
    }
    pthread_mutex_unlock(&running.mutex);
}

/* As long as all have theirs, wait; who comes too late is told so. */
static int wait_for_turn(struct sv_err *err, const struct ctl_tenant_sql *q, uint64_t *ret)
{
    const struct timespec pause = {.tv_nsec = 1000000};
    struct sv_err why = {0};
    unsigned tries = 0;

    while (take_turn(&why, q->tenant, ret) < 0) {
        if (++tries > 100 || sv_clock_ns() > q->deadline_ns)
            return sv_fail(err, why.code, SV_NO_OFFSET, "%s", why.text);
        nanosleep(&pause, NULL);
    }
    return 0;
}

int ctl_state_sql(struct ctl_server *server, struct sv_err *err, struct plat_message *request,
                  struct plat_message *ret)
{
    struct ctl_tenant_sql *q = sv_alloc_zero(sizeof *q);
    char *tenant = ctl_state_tenant(err, request);
    struct quota quota = {request, q};
    uint64_t turn = 0;
    int r = SV_EUSAGE;

    if (!q || !tenant) {
        r = tenant ? sv_fail_nomem(err, "a request of SQL") : SV_EUSAGE;
        goto done;
    }
    q->tenant = tenant;
    sv_buf_init(&q->body, CTL_SQL_RESULT_MAX);
    r = read_request(err, request, q);
    if (r == 0)
        r = ctl_db_read(server->db, err, read_quota, &quota);
    if (r == 0)
        r = wait_for_turn(err, q, &turn);
    if (r < 0)
        goto done;
#ifdef CTL_HAS_PQ
    if (ctl_db_is_shared(server->db))
        r = ctl_sql_in_schema(server, err, q);
    else
#endif
        r = ctl_sql_in_file(server, err, q);
    give_turn(turn);
    if (r == 0) {
        plat_put_u64(ret, PLAT_TAG_STATUS, 200);
        plat_put(ret, PLAT_TAG_BODY, q->body.data, q->body.len);
    }
done:
    if (q)
        sv_buf_release(&q->body);
    sv_free(q);
    sv_free(tenant);
    return r;
}

int ctl_state_sql_drop(struct ctl_server *server, struct sv_err *err, const char *tenant)
{
#ifdef CTL_HAS_PQ
    if (ctl_db_is_shared(server->db))
        return ctl_sql_drop_schema(server, err, tenant);
#endif
    return ctl_sql_drop_file(server, err, tenant);
}
