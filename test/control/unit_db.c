/* The database: the same tests against each back end. */
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster.h"
#include "control/db.h"

static char folder[] = "/tmp/ssvm-db-XXXXXX";
static struct ctl_db *db;

static int put_key(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    return ctl_sql_run(
        sql, err,
        "insert into kv (tenant, key, value, version) values ($1, $2, $3, $4) on conflict (tenant, "
        "key) do update set value = excluded.value, version = kv.version + 1",
        CTL_PARAMS(CTL_TEXT("t"), CTL_BLOB(data, strlen(data)), CTL_BLOB("a\0b", 3), CTL_INT(1)));
}

static int get_key(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct sv_str value;
    int r = ctl_sql_run(sql, err,
                        "select version, value, expires_ms from kv where key = $2 and tenant = $1",
                        CTL_PARAMS(CTL_TEXT("t"), CTL_BLOB(data, strlen(data))));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0)
        return r;
    value = ctl_sql_str(sql, 1);
    assert_int_equal(value.len, 3);
    assert_memory_equal(value.ptr, "a\0b", 3);
    assert_true(ctl_sql_null(sql, 2));
    assert_int_equal(ctl_sql_int(sql, 2), 0);
    r = (int)ctl_sql_int(sql, 0);
    assert_int_equal(ctl_sql_next(sql, err), 0);
    return r;
}

static void writes_and_reads(void **state)
{
    struct sv_err err = {0};
    char key[] = "k";

    (void)state;
    assert_int_equal(ctl_db_read(db, &err, get_key, key), 0);
    assert_int_equal(ctl_db_write(db, &err, put_key, key), 0);
    assert_int_equal(ctl_db_read(db, &err, get_key, key), 1);
    assert_int_equal(ctl_db_write(db, &err, put_key, key), 0);
    assert_int_equal(ctl_db_read(db, &err, get_key, key), 2);
}

static int put_and_fail(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    assert_int_equal(put_key(sql, err, data), 0);
    return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "no");
}

static void a_failure_undoes(void **state)
{
    struct sv_err err = {0};
    char key[] = "failed";

    (void)state;
    assert_int_equal(ctl_db_write(db, &err, put_and_fail, key), SV_EUSAGE);
    assert_string_equal(err.text, "no");
    err = (struct sv_err){0};
    assert_int_equal(ctl_db_read(db, &err, get_key, key), 0);
}

static int nest(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    (void)sql;
    assert_int_equal(ctl_db_read(db, NULL, get_key, data), SV_EINTERNAL);
    return ctl_db_write(db, err, put_key, data);
}

static void one_in_another_is_refused(void **state)
{
    struct sv_err err = {0};
    char key[] = "nested";

    (void)state;
    assert_int_equal(ctl_db_write(db, &err, nest, key), SV_EINTERNAL);
    err = (struct sv_err){0};
    assert_int_equal(ctl_db_read(db, &err, nest, key), SV_EINTERNAL);
    err = (struct sv_err){0};
    assert_int_equal(ctl_db_write(db, &err, put_key, key), 0);
}

static void *write_many(void *data)
{
    char key[32];

    for (int i = 0; i < 100; i++) {
        struct sv_err err = {0};

        snprintf(key, sizeof key, "%s-%d", (const char *)data, i);
        if (i % 10 == 9)
            assert_int_equal(ctl_db_write(db, &err, put_and_fail, key), SV_EUSAGE);
        else
            assert_int_equal(ctl_db_write(db, &err, put_key, key), 0);
    }
    return NULL;
}

static void many_share_a_commit(void **state)
{
    pthread_t threads[8];
    char names[8][8], key[32];

    (void)state;
    for (int i = 0; i < 8; i++) {
        snprintf(names[i], sizeof names[i], "m%d", i);
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, names[i]), 0);
    }
    for (int i = 0; i < 8; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 8; i++)
        for (int k = 0; k < 100; k++) {
            struct sv_err err = {0};

            snprintf(key, sizeof key, "m%d-%d", i, k);
            assert_int_equal(ctl_db_read(db, &err, get_key, key), k % 10 != 9);
        }
}

/* ---- Turns: a number that all read and write back, from two nodes */

static struct ctl_db *other;

struct adding {
    struct ctl_db *db;
    const char *name;
    unsigned adds, fails;
};

static int64_t counted;

static int read_count(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    int r = ctl_sql_run(sql, err, "select value from meta where key = $1",
                        CTL_PARAMS(CTL_TEXT((const char *)data)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    counted = r > 0 ? strtoll(ctl_sql_str(sql, 0).ptr, NULL, 10) : 0;
    return r < 0 ? r : 0;
}

static int write_count(struct ctl_sql *sql, struct sv_err *err, const char *name, int64_t count)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, count);
    return ctl_sql_run(sql, err,
                       "insert into meta (key, value) values ($1, $2) on conflict (key) do update "
                       "set value = excluded.value",
                       CTL_PARAMS(CTL_TEXT(name), CTL_TEXT(text)));
}

static int add_one(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct adding *a = data;
    int64_t before;
    int r = ctl_sql_run(sql, err, "select value from meta where key = $1",
                        CTL_PARAMS(CTL_TEXT(a->name)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r < 0)
        return r;
    before = r ? strtoll(ctl_sql_str(sql, 0).ptr, NULL, 10) : 0;
    return write_count(sql, err, a->name, before + 1);
}

static int add_and_fail(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    int r = add_one(sql, err, data);

    return r < 0 ? r : sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "full");
}

static void *add_many(void *data)
{
    struct adding *a = data;

    for (int i = 0; i < 40; i++) {
        struct sv_err err = {0};

        if (i % 8 == 7) {
            a->fails += ctl_db_write_in_turn(a->db, &err, a->name, add_and_fail, a) == SV_ELIMIT &&
                        strcmp(err.text, "full") == 0;
        } else {
            a->adds += ctl_db_write_in_turn(a->db, &err, a->name, add_one, a) == 0;
        }
    }
    return NULL;
}

static void writes_in_turn(void **state)
{
    static char names[2][8] = {"sum 0", "sum 1"};
    struct adding adding[12];
    pthread_t threads[12];

    (void)state;
    for (int i = 0; i < 12; i++) {
        adding[i] = (struct adding){.db = i % 4 < 2 ? db : other, .name = names[i % 2]};
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, &adding[i]), 0);
    }
    for (int i = 0; i < 12; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(adding[i].adds, 35);
        assert_int_equal(adding[i].fails, 5);
    }
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ctl_db_read(db, NULL, read_count, names[i]), 0);
        assert_int_equal(counted, 6 * 35);
    }
}

static _Atomic unsigned noted;

static void note(void *data, const char *what)
{
    noted += what && strcmp(what, data) == 0;
}

static int notify(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    (void)err;
    ctl_sql_notify(sql, data);
    return 0;
}

static void watchers_are_told(void **state)
{
    struct sv_err err = {0};
    static char early[] = "early", what[] = "functions";

    (void)state;
    noted = 0;
    ctl_db_watch(db, note, early);
    for (int i = 0; i < 1200 && !noted; i++) { /* until it listens to other nodes */
        assert_int_equal(ctl_db_write(db, &err, notify, early), 0);
        usleep(50000);
    }
    assert_true(noted > 0);
    noted = 0;
    ctl_db_watch(db, note, what);
    assert_int_equal(ctl_db_write(db, &err, notify, what), 0);
    for (int i = 0; i < 6000 && !noted; i++)
        usleep(10000);
    assert_int_equal(noted, 1);
}

static _Atomic unsigned entered, left;

static void note_slowly(void *data, const char *what)
{
    (void)data, (void)what;
    entered++;
    usleep(200000);
    left++;
}

/* Who watches no more is not in the middle of a call either: what it used may be given back. */
static void watchers_go(void **state)
{
    struct sv_err err = {0};
    static char what[] = "left", last[] = "last";

    (void)state;
    entered = left = 0;
    ctl_db_watch(db, note_slowly, what);
    assert_int_equal(ctl_db_write(db, &err, notify, what), 0);
    for (int i = 0; i < 6000 && !entered; i++)
        usleep(10000);
    assert_int_equal(entered, 1);
    ctl_db_unwatch(db, note_slowly, what);
    assert_int_equal(left, 1);
    entered = left = noted = 0;
    ctl_db_watch(db, note, last); /* in its place */
    assert_int_equal(ctl_db_write(db, &err, notify, last), 0);
    for (int i = 0; i < 6000 && !noted; i++)
        usleep(10000);
    assert_int_equal(noted, 1);
    assert_int_equal(entered, 0);
    ctl_db_unwatch(db, note, last);
}

static int open_url(const char *url)
{
    struct sv_err err = {0};

    if (ctl_db_open(&err, url, &db) < 0) {
        fprintf(stderr, "%s: %s\n", url, err.text);
        return -1;
    }
    other = db;
    return 0;
}

static int open_sqlite(void **state)
{
    char url[64];

    (void)state;
    assert_non_null(mkdtemp(folder));
    snprintf(url, sizeof url, "sqlite:%s/ssvm.db", folder);
    return open_url(url);
}

static int open_postgres(void **state)
{
    struct sv_err err = {0};

    (void)state;
    if (open_url(cluster_url("")) < 0 || ctl_db_open(&err, cluster_url(""), &other) < 0)
        return -1;
    return 0;
}

static int close_db(void **state)
{
    (void)state;
    if (other != db)
        ctl_db_close(other);
    ctl_db_close(db);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_and_reads),
        cmocka_unit_test(a_failure_undoes),
        cmocka_unit_test(one_in_another_is_refused),
        cmocka_unit_test(many_share_a_commit),
        cmocka_unit_test(writes_in_turn),
        cmocka_unit_test(watchers_are_told),
        cmocka_unit_test(watchers_go),
    };
    int r = cmocka_run_group_tests_name("sqlite", tests, open_sqlite, close_db);

    if (cluster_start())
        r |= cmocka_run_group_tests_name("postgresql", tests, open_postgres, close_db);
    cluster_end();
    return r;
}
