/* Keys and values in a table of SQLite. What has expired is not there, and goes when the file is
 * opened. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "plugin/state.h"

#define ALIVE "(expires is null or expires > ?2)"
#define NUMBER_MAX 24 /* bytes of a decimal number */

int state_kv_open(struct state_db *db, const char *path, char *error)
{
    sqlite3_stmt *stmt = NULL;
    int r = state_db_open(db, path, error);

    if (r < 0)
        return r;
    r = sqlite3_exec(db->db,
                     "create table if not exists kv (key blob primary key, value blob not null, "
                     "expires integer) without rowid",
                     NULL, NULL, NULL);
    if (r == SQLITE_OK)
        r = sqlite3_prepare_v2(db->db, "delete from kv where expires <= ?1", -1, &stmt, NULL);
    if (r == SQLITE_OK) {
        sqlite3_bind_int64(stmt, 1, (int64_t)state_now_ms());
        r = sqlite3_step(stmt);
    }
    sqlite3_finalize(stmt);
    if (r == SQLITE_DONE)
        return 0;
    snprintf(error, SSVM_STATE_ERROR_MAX, "'%.150s': %.80s", path, sqlite3_errmsg(db->db));
    state_db_close(db);
    return -1;
}

/* NULL would be SQL's null. */
static void bind_bytes(sqlite3_stmt *stmt, int at, ssvm_state_bytes b)
{
    sqlite3_bind_blob64(stmt, at, b.len > 0 ? b.ptr : "", b.len, SQLITE_STATIC);
}

/* A statement with ?1 the key and ?2 now. */
static int prepare(struct state_db *db, const char *text, ssvm_state_bytes key, sqlite3_stmt **ret)
{
    int r = sqlite3_prepare_v2(db->db, text, -1, ret, NULL);

    if (r == SQLITE_OK) {
        bind_bytes(*ret, 1, key);
        sqlite3_bind_int64(*ret, 2, (int64_t)state_now_ms());
    }
    return r;
}

static void bind_ttl(sqlite3_stmt *stmt, int at, uint64_t ttl_ms)
{
    if (ttl_ms > 0)
        sqlite3_bind_int64(stmt, at, (int64_t)(state_now_ms() + ttl_ms));
}

/* Run to its end. 0 or SQLite's code. */
static int finish(sqlite3_stmt *stmt, int r)
{
    if (r == SQLITE_OK)
        r = sqlite3_step(stmt);
    sqlite3_finalize(stmt);
    return r == SQLITE_DONE || r == SQLITE_ROW ? 0 : r;
}

int state_kv_get(void *data, ssvm_state_op *op, ssvm_state_bytes key)
{
    struct state_files *f = data;
    sqlite3_stmt *stmt = NULL;
    int r;

    state_db_enter(&f->kv, op);
    r = prepare(&f->kv, "select value from kv where key = ?1 and " ALIVE, key, &stmt);
    if (r == SQLITE_OK)
        r = sqlite3_step(stmt);
    if (r == SQLITE_ROW)
        r = ssvm_state_put(op, SSVM_STATE_BODY, sqlite3_column_blob(stmt, 0),
                           (size_t)sqlite3_column_bytes(stmt, 0))
                ? SSVM_STATE_OK
                : SSVM_STATE_ELIMIT;
    else if (r == SQLITE_DONE)
        r = SSVM_STATE_ENOENT;
    sqlite3_finalize(stmt);
    return state_db_leave(&f->kv, op, r);
}

static int set(struct state_db *db, ssvm_state_bytes key, ssvm_state_bytes value, uint64_t ttl_ms)
{
    sqlite3_stmt *stmt = NULL;
    int r = prepare(db,
                    "insert into kv (key, value, expires) values (?1, ?3, ?4) on conflict (key) "
                    "do update set value = excluded.value, expires = excluded.expires",
                    key, &stmt);

    if (r == SQLITE_OK) {
        bind_bytes(stmt, 3, value);
        bind_ttl(stmt, 4, ttl_ms);
    }
    return finish(stmt, r);
}

int state_kv_set(void *data, ssvm_state_op *op, ssvm_state_bytes key, ssvm_state_bytes value,
                 uint64_t ttl_ms)
{
    struct state_files *f = data;

    state_db_enter(&f->kv, op);
    return state_db_leave(&f->kv, op, set(&f->kv, key, value, ttl_ms));
}

int state_kv_cas(void *data, ssvm_state_op *op, ssvm_state_bytes key, const ssvm_state_bytes *old,
                 ssvm_state_bytes value, uint64_t ttl_ms)
{
    struct state_files *f = data;
    sqlite3_stmt *stmt = NULL;
    int r;

    state_db_enter(&f->kv, op);
    r = prepare(&f->kv,
                old ? "update kv set value = ?3, expires = ?4 where key = ?1 and value = ?5 "
                      "and " ALIVE
                    : "insert into kv (key, value, expires) values (?1, ?3, ?4) on conflict (key) "
                      "do update set value = excluded.value, expires = excluded.expires "
                      "where not (kv.expires is null or kv.expires > ?2)",
                key, &stmt);
    if (r == SQLITE_OK) {
        bind_bytes(stmt, 3, value);
        bind_ttl(stmt, 4, ttl_ms);
        if (old)
            bind_bytes(stmt, 5, *old);
    }
    r = finish(stmt, r);
    if (r == 0 && sqlite3_changes(f->kv.db) == 0)
        r = SSVM_STATE_ECONFLICT;
    return state_db_leave(&f->kv, op, r);
}

int state_kv_delete(void *data, ssvm_state_op *op, ssvm_state_bytes key)
{
    struct state_files *f = data;
    sqlite3_stmt *stmt = NULL;
    int r;

    state_db_enter(&f->kv, op);
    r = prepare(&f->kv, "delete from kv where key = ?1 and " ALIVE, key, &stmt);
    r = finish(stmt, r);
    if (r == 0 && sqlite3_changes(f->kv.db) == 0)
        r = SSVM_STATE_ENOENT;
    return state_db_leave(&f->kv, op, r);
}

/* The sum of a decimal number and `by`. */
static int add(const char *text, int len, int64_t by, int64_t *ret)
{
    char number[NUMBER_MAX];
    long long n;
    char *end;

    if (len <= 0 || len >= NUMBER_MAX || (text[0] != '-' && (text[0] < '0' || text[0] > '9')))
        return SSVM_STATE_EINVAL;
    memcpy(number, text, (size_t)len);
    number[len] = '\0';
    errno = 0;
    n = strtoll(number, &end, 10);
    if (errno || end != number + len || __builtin_add_overflow((int64_t)n, by, ret))
        return SSVM_STATE_EINVAL;
    return SSVM_STATE_OK;
}

/* In a transaction: the present number, or none; then the sum. */
static int increment(struct state_db *db, ssvm_state_bytes key, int64_t by, uint64_t ttl_ms,
                     int64_t *ret)
{
    char text[NUMBER_MAX];
    sqlite3_stmt *stmt = NULL;
    bool is_new = false;
    int r = prepare(db, "select value from kv where key = ?1 and " ALIVE, key, &stmt);

    if (r == SQLITE_OK)
        r = sqlite3_step(stmt);
    if (r == SQLITE_DONE) {
        is_new = true;
        *ret = by;
        r = 0;
    } else if (r == SQLITE_ROW) {
        r = add(sqlite3_column_blob(stmt, 0), sqlite3_column_bytes(stmt, 0), by, ret);
    }
    sqlite3_finalize(stmt);
    if (r != 0)
        return r;
    snprintf(text, sizeof text, "%lld", (long long)*ret);
    if (is_new)
        return set(db, key, (ssvm_state_bytes){text, strlen(text)}, ttl_ms);
    r = prepare(db, "update kv set value = ?3 where key = ?1", key, &stmt);
    if (r == SQLITE_OK)
        bind_bytes(stmt, 3, (ssvm_state_bytes){text, strlen(text)});
    return finish(stmt, r);
}

int state_kv_increment(void *data, ssvm_state_op *op, ssvm_state_bytes key, int64_t by,
                       uint64_t ttl_ms)
{
    struct state_files *f = data;
    int r;

    state_db_enter(&f->kv, op);
    r = sqlite3_exec(f->kv.db, "begin immediate", NULL, NULL, NULL);
    if (r == 0)
        r = increment(&f->kv, key, by, ttl_ms, &op->number);
    if (r == 0)
        r = sqlite3_exec(f->kv.db, "commit", NULL, NULL, NULL);
    if (!sqlite3_get_autocommit(f->kv.db))
        sqlite3_exec(f->kv.db, "rollback", NULL, NULL, NULL);
    if (r == SSVM_STATE_EINVAL)
        snprintf(op->error, sizeof op->error,
                 "the value is no whole number, or the sum is too large");
    return state_db_leave(&f->kv, op, r);
}

/* The first key behind all that begin with `prefix`; false: there is none. */
static bool bound(ssvm_state_bytes prefix, uint8_t *ret, size_t *ret_len)
{
    size_t n = prefix.len;

    if (n > 0)
        memcpy(ret, prefix.ptr, n);
    while (n > 0 && ret[n - 1] == 0xff)
        n--;
    if (n > 0)
        ret[n - 1]++;
    *ret_len = n;
    return n > 0;
}

int state_kv_list(void *data, ssvm_state_op *op, ssvm_state_bytes prefix, ssvm_state_bytes after,
                  uint32_t limit)
{
    struct state_files *f = data;
    sqlite3_stmt *stmt = NULL;
    uint8_t end[512];
    size_t end_len;
    int r;

    if (prefix.len > sizeof end)
        return SSVM_STATE_EINVAL;
    state_db_enter(&f->kv, op);
    r = prepare(&f->kv,
                "select key from kv where key >= ?1 and key > ?3 and (?4 is null or key < ?4) "
                "and " ALIVE " order by key limit ?5",
                prefix, &stmt);
    if (r == SQLITE_OK) {
        bind_bytes(stmt, 3, after);
        if (bound(prefix, end, &end_len))
            bind_bytes(stmt, 4, (ssvm_state_bytes){end, end_len});
        sqlite3_bind_int64(stmt, 5, limit);
        r = SQLITE_ROW;
    }
    while (r == SQLITE_ROW) {
        r = sqlite3_step(stmt);
        if (r == SQLITE_ROW && !ssvm_state_put_text(op, sqlite3_column_blob(stmt, 0),
                                                    (size_t)sqlite3_column_bytes(stmt, 0)))
            r = SSVM_STATE_ELIMIT;
    }
    /* An empty list is an answer too. */
    if (r == SQLITE_DONE)
        r = op->room(op, SSVM_STATE_BODY, 0) ? SSVM_STATE_OK : SSVM_STATE_ENOMEM;
    sqlite3_finalize(stmt);
    return state_db_leave(&f->kv, op, r);
}
