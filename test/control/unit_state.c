/* Functions' state, on each back end: keys and values, what forgets, secrets; and the node's key.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cluster.h"
#include "control/key.h"
#include "control/secret.h"
#include "control/state.h"

static char folder[32];
static struct ctl_server server;

/* ---- Asking ---- */

struct ask {
    struct plat_message request, ret;
    struct sv_err err;
    int result;
};

static struct ask *begin(const char *tenant, const char *op, const char *key)
{
    struct ask *a = calloc(1, sizeof *a);

    assert_non_null(a);
    plat_message_init(&a->request, PLAT_KV);
    plat_message_init(&a->ret, PLAT_KV);
    plat_put_str(&a->request, PLAT_TAG_TENANT, tenant);
    plat_put_str(&a->request, PLAT_TAG_OP, op);
    if (key)
        plat_put_str(&a->request, PLAT_TAG_KEY, key);
    return a;
}

static void end(struct ask *a)
{
    plat_message_release(&a->request);
    plat_message_release(&a->ret);
    free(a);
}

static unsigned status(const struct ask *a)
{
    uint64_t n = 0;

    return plat_get_u64(&a->ret, PLAT_TAG_STATUS, &n) ? (unsigned)n : 0;
}

static uint64_t number(const struct ask *a)
{
    uint64_t n = 0;

    return plat_get_u64(&a->ret, PLAT_TAG_NUMBER, &n) ? n : UINT64_MAX;
}

static bool has_value(const struct ask *a, const char *value)
{
    return sv_str_eq(plat_get(&a->ret, PLAT_TAG_VALUE), sv_str_of(value));
}

/* What a request gives: its status, or its error's code. */
static int kv(struct ask *a)
{
    a->result = ctl_state_kv(&server, &a->err, &a->request, &a->ret);
    return a->result < 0 ? a->result : (int)status(a);
}

static int set_of(const char *tenant, const char *key, const char *value, uint64_t ttl_ms,
                  uint64_t *version)
{
    struct ask *a = begin(tenant, "set", key);
    int r;

    plat_put_str(&a->request, PLAT_TAG_VALUE, value);
    if (ttl_ms)
        plat_put_u64(&a->request, PLAT_TAG_TTL_MS, ttl_ms);
    r = kv(a);
    if (version)
        *version = number(a);
    end(a);
    return r;
}

static int set(const char *key, const char *value)
{
    return set_of("t", key, value, 0, NULL);
}

/* The status; 0: it has another value. */
static int has(const char *tenant, const char *key, const char *value)
{
    struct ask *a = begin(tenant, "get", key);
    int r = kv(a);

    if (r == 200 && !has_value(a, value))
        r = 0;
    end(a);
    return r;
}

static int is(const char *tenant, const char *key, const char *value)
{
    int r = has(tenant, key, value);

    assert_int_not_equal(r, 0);
    return r;
}

/* ---- Keys and values ---- */

static void sets_and_gets(void **state)
{
    uint64_t first, second;
    struct ask *a;

    (void)state;
    assert_int_equal(is("t", "a", ""), 404);
    assert_int_equal(set_of("t", "a", "1", 0, &first), 200);
    assert_int_equal(is("t", "a", "1"), 200);
    assert_int_equal(set_of("t", "a", "", 0, &second), 200);
    assert_true(second > first);
    assert_int_equal(is("t", "a", ""), 200);
    assert_int_equal(is("other", "a", ""), 404); /* tenants do not see each other */
    a = begin("t", "delete", "a");
    assert_int_equal(kv(a), 200);
    end(a);
    a = begin("t", "delete", "a");
    assert_int_equal(kv(a), 404);
    end(a);
    assert_int_equal(set_of("t", "a", "3", 0, &first), 200);
    assert_true(first > second); /* no version comes back */
}

static int cas(const char *key, const char *value, uint64_t version, uint64_t *ret)
{
    struct ask *a = begin("t", "cas", key);
    int r;

    plat_put_str(&a->request, PLAT_TAG_VALUE, value);
    plat_put_u64(&a->request, PLAT_TAG_NUMBER, version);
    r = kv(a);
    *ret = number(a);
    end(a);
    return r;
}

static void compares_and_sets(void **state)
{
    uint64_t version, other;
    struct ask *a;

    (void)state;
    assert_int_equal(cas("c", "1", 7, &version), 409);
    assert_int_equal(version, 0);
    assert_int_equal(cas("c", "1", 0, &version), 200);
    assert_int_equal(cas("c", "2", 0, &other), 409);
    assert_int_equal(other, version);
    assert_int_equal(is("t", "c", "1"), 200);
    assert_int_equal(cas("c", "2", version, &version), 200);
    assert_int_equal(is("t", "c", "2"), 200);
    a = begin("t", "cas", "c");
    plat_put_str(&a->request, PLAT_TAG_VALUE, "3");
    plat_put_str(&a->request, PLAT_TAG_OLD, "1");
    assert_int_equal(kv(a), 409);
    assert_int_equal(number(a), version);
    end(a);
    a = begin("t", "cas", "c");
    plat_put_str(&a->request, PLAT_TAG_VALUE, "3");
    plat_put_str(&a->request, PLAT_TAG_OLD, "2");
    assert_int_equal(kv(a), 200);
    end(a);
    a = begin("t", "delete", "c");
    plat_put_u64(&a->request, PLAT_TAG_NUMBER, version);
    assert_int_equal(kv(a), 409);
    end(a);
    assert_int_equal(is("t", "c", "3"), 200);
}

static int increment(const char *tenant, const char *key, int64_t by, int64_t *sum)
{
    struct ask *a = begin(tenant, "increment", key);
    int r;

    plat_put_u64(&a->request, PLAT_TAG_NUMBER, (uint64_t)by);
    r = kv(a);
    *sum = (int64_t)number(a);
    end(a);
    return r;
}

static void increments(void **state)
{
    int64_t sum;

    (void)state;
    assert_int_equal(increment("t", "n", 5, &sum), 200);
    assert_int_equal(sum, 5);
    assert_int_equal(increment("t", "n", -7, &sum), 200);
    assert_int_equal(sum, -2);
    assert_int_equal(is("t", "n", "-2"), 200);
    assert_int_equal(set("n", "9223372036854775807"), 200);
    assert_int_equal(increment("t", "n", 1, &sum), SV_EUSAGE);
    assert_int_equal(is("t", "n", "9223372036854775807"), 200);
    assert_int_equal(set("n", "9223372036854775808"), 200);
    assert_int_equal(increment("t", "n", 0, &sum), SV_EUSAGE);
    assert_int_equal(set("n", "1x"), 200);
    assert_int_equal(increment("t", "n", 1, &sum), SV_EUSAGE);
    assert_int_equal(set("n", " 1"), 200);
    assert_int_equal(increment("t", "n", 1, &sum), SV_EUSAGE);
    assert_int_equal(set("n", ""), 200);
    assert_int_equal(increment("t", "n", 1, &sum), SV_EUSAGE);
}

static void *increment_many(void *data)
{
    int64_t sum;

    (void)data;
    for (int i = 0; i < 50; i++)
        assert_int_equal(increment("many", "n", 1, &sum), 200);
    return NULL;
}

static void increments_of_many_add_up(void **state)
{
    pthread_t threads[8];
    int64_t sum;

    (void)state;
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, increment_many, NULL), 0);
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(increment("many", "n", 0, &sum), 200);
    assert_int_equal(sum, 400);
}

/* Was it done before a value that is kept for ttl_ms is forgotten? If not, the machine was slow,
 * and nothing is known. */
static bool was_in_time(uint64_t began_ns, uint64_t ttl_ms)
{
    return sv_clock_ns() - began_ns < (ttl_ms - 1) * 1000000;
}

static void await_gone(const char *tenant, const char *key)
{
    for (int i = 0; i < 12000 && has(tenant, key, "") != 404; i++)
        usleep(10000);
}

static void forgets_in_time(void **state)
{
    uint64_t ttl = 75, began;
    int64_t sum, n;

    (void)state;
    assert_int_equal(set_of("t", "late", "1", 600000, NULL), 200);
    do {
        ttl *= 2;
        began = sv_clock_ns();
        assert_int_equal(set_of("t", "soon", "1", ttl, NULL), 200);
        n = increment("t", "soon", 1, &sum); /* keeps its time */
        n = n == 200 ? has("t", "soon", "2") : n;
    } while (!was_in_time(began, ttl));
    assert_int_equal(n, 200);
    await_gone("t", "soon");
    assert_true(sv_clock_ns() - began >= (ttl - 1) * 1000000);
    assert_int_equal(is("t", "soon", ""), 404);
    assert_int_equal(is("t", "late", "1"), 200);
    assert_int_equal(increment("t", "soon", 1, &sum), 200);
    assert_int_equal(sum, 1); /* begins anew, and stays */
    ctl_state_sweep(&server, NULL);
    assert_int_equal(is("t", "soon", "1"), 200);
}

/* Rows of no tenant, as a restored backup may have them: a name that is too long, or has a NUL. */
static int put_foreign(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    static const char insert[] =
        "insert into kv (tenant, key, value, version, expires_ms) values ($1, $2, $2, 1, 1)";
    char name[1000];
    int r;

    (void)data;
    memset(name, 'a', sizeof name);
    r = ctl_sql_run(sql, err, insert,
                    CTL_PARAMS(CTL_STR(((struct sv_str){name, sizeof name})), CTL_BLOB("k", 1)));
    if (r == 0 && !ctl_db_is_shared(server.db)) /* PostgreSQL has no NUL */
        r = ctl_sql_run(sql, err, insert,
                        CTL_PARAMS(CTL_STR(((struct sv_str){"b\0c", 3})), CTL_BLOB("k", 1)));
    return r < 0 ? r : ctl_sql_run(sql, err, insert, CTL_PARAMS(CTL_TEXT("z"), CTL_BLOB("k", 1)));
}

static int count_expired(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    int r = ctl_sql_run(sql, err, "select count(*) from kv where tenant = 'z'", CTL_NO_PARAMS);

    (void)data;
    if (r == 0)
        r = ctl_sql_next(sql, err);
    return r < 0 ? r : (int)ctl_sql_int(sql, 0);
}

static void foreign_names(void **state)
{
    struct sv_err err = {0};

    (void)state;
    assert_int_equal(ctl_db_write(server.db, &err, put_foreign, NULL), 0);
    assert_int_equal(ctl_db_read(server.db, &err, count_expired, NULL), 1);
    ctl_state_sweep(&server, NULL); /* comes to an end, and to whom is behind them */
    assert_int_equal(ctl_db_read(server.db, &err, count_expired, NULL), 0);
}

/* The keys of a list, each followed by a comma; the cursor to `next`. */
static int list(const char *tenant, struct sv_str prefix, struct sv_str cursor, uint64_t count,
                char *keys, char *next)
{
    struct ask *a = begin(tenant, "list", NULL);
    struct sv_str s;
    size_t at = 0;
    int r;

    plat_put(&a->request, PLAT_TAG_KEY, prefix.ptr, prefix.len);
    if (cursor.len)
        plat_put(&a->request, PLAT_TAG_OLD, cursor.ptr, cursor.len);
    plat_put_u64(&a->request, PLAT_TAG_COUNT, count);
    r = kv(a);
    keys[0] = '\0';
    while ((s = plat_get_next(&a->ret, PLAT_TAG_KEY, &at)).ptr)
        sprintf(keys + strlen(keys), "%.*s,", (int)s.len, s.ptr);
    s = plat_get(&a->ret, PLAT_TAG_OLD);
    sprintf(next, "%.*s", (int)s.len, s.len ? s.ptr : "");
    end(a);
    return r;
}

static void lists(void **state)
{
    const char *const keys[] = {"b", "a/1", "a/2", "a/3", "a", "a0", "\xff\xff", "\xff"};
    struct sv_str none = {"", 0}, a = sv_str_of("a/");
    char got[256], cursor[64];

    (void)state;
    for (size_t i = 0; i < SV_COUNT(keys); i++)
        assert_int_equal(set_of("l", keys[i], "v", 0, NULL), 200);
    assert_int_equal(set_of("l", "a/gone", "v", 1, NULL), 200);
    await_gone("l", "a/gone");
    assert_int_equal(list("l", none, none, 100, got, cursor), 200);
    assert_string_equal(got, "a,a/1,a/2,a/3,a0,b,\xff,\xff\xff,");
    assert_string_equal(cursor, "");
    assert_int_equal(list("l", a, none, 2, got, cursor), 200);
    assert_string_equal(got, "a/1,a/2,");
    assert_string_equal(cursor, "a/2");
    assert_int_equal(list("l", a, sv_str_of(cursor), 2, got, cursor), 200);
    assert_string_equal(got, "a/3,");
    assert_string_equal(cursor, "");
    assert_int_equal(list("l", sv_str_of("\xff"), none, 2, got, cursor), 200);
    assert_string_equal(got, "\xff,\xff\xff,");
    assert_int_equal(list("l", a, sv_str_of("A"), 1, got, cursor), 200); /* not before the prefix */
    assert_string_equal(got, "a/1,");
    assert_int_equal(list("nobody", none, none, 2, got, cursor), 200);
    assert_string_equal(got, "");
}

static int limit_tenant(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    return ctl_sql_run(sql, err,
                       "insert into tenants (name, limits, created_ms) values ('small', $1, 0) on "
                       "conflict (name) do update set limits = excluded.limits",
                       CTL_PARAMS(CTL_TEXT((const char *)data)));
}

static void keeps_to_the_quota(void **state)
{
    char limits[] = "{\"storage\": 1000}", value[901];
    struct sv_err err = {0};
    uint64_t ttl = 30, began;
    struct ask *a;
    int set, refused;

    (void)state;
    memset(value, 'x', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    assert_int_equal(ctl_db_write(server.db, &err, limit_tenant, limits), 0);
    assert_int_equal(set_of("small", "a", value, 0, NULL), 200);
    assert_int_equal(set_of("small", "b", value, 0, NULL), SV_ELIMIT);
    assert_int_equal(is("small", "b", ""), 404);
    assert_int_equal(set_of("small", "a", "", 0, NULL), 200); /* gives its room back */
    assert_int_equal(set_of("small", "b", value, 30, NULL), SV_ELIMIT);
    do {
        ttl *= 2;
        began = sv_clock_ns();
        set = set_of("small", "b", value + 300, ttl, NULL);
        refused = set_of("small", "c", value + 300, 60000 + ttl, NULL);
        if (refused == 200) /* b was gone by then; it goes, too */
            assert_int_equal(set_of("small", "c", "", 1, NULL), 200);
    } while (!was_in_time(began, ttl));
    assert_int_equal(set, 200);
    assert_int_equal(refused, SV_ELIMIT);
    await_gone("small", "b");
    assert_int_equal(set_of("small", "c", value + 300, 0, NULL), 200);
    a = begin("t", "set", "limited");
    plat_put_str(&a->request, PLAT_TAG_VALUE, value);
    plat_put_u64(&a->request, PLAT_TAG_LIMIT, 10); /* the function's own */
    assert_int_equal(kv(a), SV_ELIMIT);
    assert_non_null(strstr(a->err.text, "limit 'storage'"));
    end(a);
}

static void refuses_what_makes_no_sense(void **state)
{
    char *long_key = malloc(CTL_KV_KEY_MAX + 2);
    struct ask *a;

    (void)state;
    memset(long_key, 'k', CTL_KV_KEY_MAX + 1);
    long_key[CTL_KV_KEY_MAX + 1] = '\0';
    assert_int_equal(set("", "v"), SV_EUSAGE);
    assert_int_equal(set(long_key, "v"), SV_EUSAGE);
    assert_int_equal(set(long_key + 1, "v"), 200);
    assert_int_equal(set_of("", "k", "v", 0, NULL), SV_EUSAGE);
    free(long_key);
    a = begin("t", "set", "k");
    assert_int_equal(kv(a), SV_EUSAGE); /* no value */
    end(a);
    a = begin("t", "drop table", "k");
    assert_int_equal(kv(a), SV_EUSAGE);
    end(a);
    assert_int_equal(set("it's'; drop table kv --", "v"), 200);
    assert_int_equal(is("t", "it's'; drop table kv --", "v"), 200);
}

/* ---- What forgets ---- */

static int ephemeral(struct ask *a)
{
    a->result = ctl_state_ephemeral(&server, &a->err, &a->request, &a->ret);
    return a->result < 0 ? a->result : (int)status(a);
}

static void put_ephemeral(uint64_t ttl_ms, char ret_key[static 64])
{
    struct ask *a = begin("t", "put", NULL);
    struct sv_str s;

    plat_put_str(&a->request, PLAT_TAG_VALUE, "one");
    plat_put_u64(&a->request, PLAT_TAG_TTL_MS, ttl_ms);
    assert_int_equal(ephemeral(a), 200);
    s = plat_get(&a->ret, PLAT_TAG_KEY);
    assert_int_equal(s.len, 36);
    snprintf(ret_key, 64, "%.*s", (int)s.len, s.ptr);
    end(a);
}

static void ephemeral_forgets(void **state)
{
    uint64_t ttl = 50, began;
    struct ask *a;
    char key[64], other[64];

    (void)state;
    put_ephemeral(600000, key);
    a = begin("t", "get", key);
    assert_int_equal(ephemeral(a), 200);
    assert_true(has_value(a, "one"));
    end(a);
    a = begin("other", "get", key);
    assert_int_equal(ephemeral(a), 404);
    end(a);
    for (bool in_time = false; !in_time;) {
        ttl *= 2;
        began = sv_clock_ns();
        put_ephemeral(ttl, other);
        put_ephemeral(ttl, key);
        a = begin("t", "put", key); /* lives for another hour */
        plat_put_str(&a->request, PLAT_TAG_VALUE, "two");
        in_time = ephemeral(a) == 200;
        assert_true(in_time || !was_in_time(began, ttl));
        end(a);
    }
    for (int status = 200; status != 404;) {
        a = begin("t", "get", other);
        status = ephemeral(a);
        assert_true(status == 404 || status == 200);
        end(a);
        usleep(10000);
    }
    usleep((useconds_t)ttl * 1000);
    ctl_state_sweep(&server, NULL);
    a = begin("t", "get", key);
    assert_int_equal(ephemeral(a), 200);
    assert_true(has_value(a, "two"));
    end(a);
    a = begin("t", "delete", key);
    assert_int_equal(ephemeral(a), 200);
    end(a);
    a = begin("t", "put", key);
    plat_put_str(&a->request, PLAT_TAG_VALUE, "three");
    assert_int_equal(ephemeral(a), 404);
    end(a);
}

/* ---- Secrets ---- */

static int find_text(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct sv_str *s = data, sealed;
    int r =
        ctl_sql_run(sql, err, "select ciphertext from secrets where tenant = 't'", CTL_NO_PARAMS);

    while (r >= 0 && (r = ctl_sql_next(sql, err)) > 0) {
        sealed = ctl_sql_str(sql, 0);
        if (memmem(sealed.ptr, sealed.len, s->ptr, s->len))
            return 1;
    }
    return r;
}

static int swap_rows(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    (void)data;
    return ctl_sql_run(sql, err,
                       "update secrets set nonce = (select nonce from secrets where tenant = 't' "
                       "and name = 'a'), ciphertext = (select ciphertext from secrets where tenant "
                       "= 't' and name = 'a') where tenant = 'thief'",
                       CTL_NO_PARAMS);
}

static int count_name(void *data, struct sv_str name, int64_t created_ms)
{
    (void)name;
    assert_true(created_ms > 0);
    ++*(int *)data;
    return 0;
}

static bool secret_is(const char *tenant, const char *name, const char *value)
{
    struct sv_err err = {0};
    struct sv_buf buf;
    bool good;

    sv_buf_init(&buf, CTL_SECRET_VALUE_MAX + 1);
    good = ctl_secret_get(&server, &err, tenant, sv_str_of(name), &buf) == 0 &&
           buf.len == strlen(value) && memcmp(buf.data, value, buf.len) == 0;
    sv_buf_release(&buf);
    return good;
}

static void secrets_are_sealed(void **state)
{
    struct sv_str value = sv_str_of("correct horse battery staple");
    struct sv_err err = {0};
    struct ask *a;
    int count = 0;

    (void)state;
    assert_int_equal(ctl_secret_set(&server, &err, "t", sv_str_of("a"), value), 0);
    assert_int_equal(ctl_secret_set(&server, &err, "t", sv_str_of("b"), sv_str_of("")), 0);
    assert_int_equal(ctl_secret_set(&server, &err, "thief", sv_str_of("a"), sv_str_of("x")), 0);
    assert_int_equal(ctl_db_read(server.db, &err, find_text, &value), 0);
    assert_true(secret_is("t", "a", value.ptr));
    assert_true(secret_is("t", "b", ""));
    assert_false(secret_is("u", "a", value.ptr));
    assert_int_equal(ctl_secret_list(&server, &err, "t", count_name, &count), 0);
    assert_int_equal(count, 2);
    assert_int_equal(ctl_db_write(server.db, &err, swap_rows, NULL), 0);
    assert_false(secret_is("thief", "a", value.ptr)); /* a row opens in its own place only */
    a = begin("t", "get", NULL);
    plat_put_str(&a->request, PLAT_TAG_NAME, "a");
    assert_int_equal(ctl_state_secret(&server, &a->err, &a->request, &a->ret), 0);
    assert_int_equal(status(a), 200);
    assert_true(has_value(a, value.ptr));
    end(a);
    a = begin("t", "get", NULL);
    plat_put_str(&a->request, PLAT_TAG_NAME, "none");
    assert_int_equal(ctl_state_secret(&server, &a->err, &a->request, &a->ret), 0);
    assert_int_equal(status(a), 404);
    end(a);
    assert_int_equal(ctl_secret_delete(&server, &err, "thief", sv_str_of("a")), 0);
    assert_int_equal(ctl_secret_delete(&server, &err, "thief", sv_str_of("a")), SV_ENOTFOUND);
}

static void the_key_rotates(void **state)
{
    uint8_t old[CTL_KEY_LEN], other[CTL_KEY_LEN];
    struct sv_err err = {0};

    (void)state;
    memcpy(old, server.key, sizeof old);
    assert_int_equal(ctl_secret_rotate(&server, &err), 0);
    assert_memory_not_equal(old, server.key, sizeof old);
    assert_true(secret_is("t", "a", "correct horse battery staple"));
    assert_int_equal(ctl_key_load(&err, server.data_fd, "key", false, other), 0);
    assert_memory_equal(other, server.key, sizeof other);
    assert_int_equal(faccessat(server.data_fd, "key.new", F_OK, 0), -1);
    assert_int_equal(ctl_secret_check(&server, &err), 0);

    /* Cut off after the transaction: the next start has the old key, and finds the new one. */
    assert_int_equal(renameat(server.data_fd, "key", server.data_fd, "key.new"), 0);
    memcpy(server.key, old, sizeof old);
    assert_int_equal(ctl_secret_check(&server, &err), 0);
    assert_memory_equal(other, server.key, sizeof other);
    assert_true(secret_is("t", "a", "correct horse battery staple"));

    /* Another node's. */
    memcpy(server.key, old, sizeof old);
    assert_int_equal(ctl_secret_check(&server, &err), SV_EUSAGE);
    assert_non_null(strstr(err.text, "another key"));
    assert_false(secret_is("t", "a", "correct horse battery staple"));
    memcpy(server.key, other, sizeof other);
}

static void the_key_is_for_nobody_else(void **state)
{
    uint8_t key[CTL_KEY_LEN];
    struct sv_err err = {0};
    struct stat st;

    (void)state;
    assert_int_equal(fstatat(server.data_fd, "key", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(fchmodat(server.data_fd, "key", 0644, 0), 0);
    assert_int_equal(ctl_key_load(&err, server.data_fd, "key", true, key), SV_EUSAGE);
    assert_non_null(strstr(err.text, "chmod 600"));
    assert_int_equal(fchmodat(server.data_fd, "key", 0600, 0), 0);
    assert_int_equal(symlinkat("key", server.data_fd, "link"), 0);
    assert_true(ctl_key_load(NULL, server.data_fd, "link", true, key) < 0);
    assert_int_equal(unlinkat(server.data_fd, "link", 0), 0);
    assert_true(ctl_key_make(NULL, server.data_fd, "key", key) < 0); /* never over another */
}

static void tokens_are_unlike(void **state)
{
    char one[CTL_TOKEN_TEXT], two[CTL_TOKEN_TEXT];
    uint8_t digest[SV_SHA256_LEN], again[SV_SHA256_LEN];
    struct sv_err err = {0};

    (void)state;
    assert_int_equal(ctl_token_make(&err, one, digest), 0);
    assert_int_equal(strlen(one), CTL_TOKEN_TEXT - 1);
    assert_int_equal(strspn(one + 5, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                     "0123456789-_"),
                     43);
    ctl_token_digest(sv_str_of(one), again);
    assert_memory_equal(digest, again, sizeof digest);
    assert_int_equal(ctl_token_make(&err, two, digest), 0);
    assert_string_not_equal(one, two);
}

/* NULL: a file of SQLite in the folder. */
static int open_server(const char *url)
{
    struct sv_err err = {0};
    char path[64];

    strcpy(folder, "/tmp/ssvm-state-XXXXXX");
    assert_non_null(mkdtemp(folder));
    server = (struct ctl_server){.data = folder};
    server.data_fd = open(folder, O_RDONLY | O_DIRECTORY);
    snprintf(path, sizeof path, "sqlite:%s/ssvm.db", folder);
    url = url ? url : path;
    if (ctl_key_load(&err, server.data_fd, "key", true, server.key) < 0 ||
        ctl_db_open(&err, url, &server.db) < 0 || ctl_secret_check(&server, &err) < 0) {
        fprintf(stderr, "%s: %s\n", url, err.text);
        return -1;
    }
    return 0;
}

static int open_sqlite(void **state)
{
    (void)state;
    return open_server(NULL);
}

static int open_postgres(void **state)
{
    (void)state;
    return open_server(cluster_url(""));
}

static int close_server(void **state)
{
    char command[64];

    (void)state;
    ctl_db_close(server.db);
    close(server.data_fd);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sets_and_gets),      cmocka_unit_test(compares_and_sets),
        cmocka_unit_test(increments),         cmocka_unit_test(increments_of_many_add_up),
        cmocka_unit_test(forgets_in_time),    cmocka_unit_test(lists),
        cmocka_unit_test(keeps_to_the_quota), cmocka_unit_test(refuses_what_makes_no_sense),
        cmocka_unit_test(ephemeral_forgets),  cmocka_unit_test(secrets_are_sealed),
        cmocka_unit_test(the_key_rotates),    cmocka_unit_test(the_key_is_for_nobody_else),
        cmocka_unit_test(tokens_are_unlike),  cmocka_unit_test(foreign_names),
    };
    int r = cmocka_run_group_tests_name("sqlite", tests, open_sqlite, close_server);

    if (cluster_start())
        r |= cmocka_run_group_tests_name("postgresql", tests, open_postgres, close_server);
    cluster_end();
    return r;
}
