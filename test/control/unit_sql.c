/* Functions' SQL: what it gives, and what it does not let through. */
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

#include "cluster.h"
#include "control/state.h"

static char folder[32];
static struct ctl_server server;
static char text[65536]; /* the last answer, or error */
static const char *tenant = "t";
static uint64_t timeout_ms, rows, limit;

static uint64_t take(const char **at, unsigned bytes)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < bytes; i++)
        n |= (uint64_t)(unsigned char)(*at)[i] << (8 * i);
    *at += bytes;
    return n;
}

static const char *show_cell(const char *at, char **to)
{
    char type = *at++;
    uint64_t n;
    double real;

    if (type == 'n') {
        *to += sprintf(*to, "null ");
    } else if (type == 'i') {
        *to += sprintf(*to, "%" PRId64 " ", (int64_t)take(&at, 8));
    } else if (type == 'f') {
        n = take(&at, 8);
        memcpy(&real, &n, sizeof real);
        *to += sprintf(*to, "%g ", real);
    } else {
        n = take(&at, 4);
        *to += sprintf(*to, type == 't' ? "'%.*s' " : "x'%.*s' ", (int)n, at);
        at += n;
    }
    return at;
}

/* The answer as text: `a,b: cell cell; cell cell; =changed|` for each statement. */
static void show(struct sv_str body)
{
    const char *at = body.ptr, *end = body.ptr + body.len;
    char *to = text;

    while (at < end) {
        uint64_t columns = take(&at, 4), nrows;

        for (uint64_t i = 0; i < columns; i++) {
            uint64_t len = take(&at, 4);

            to += sprintf(to, "%s%.*s", i ? "," : "", (int)len, at);
            at += len;
        }
        to += sprintf(to, ": ");
        nrows = take(&at, 4);
        for (uint64_t r = 0; r < nrows; r++) {
            for (uint64_t i = 0; i < columns; i++)
                at = show_cell(at, &to);
            to[-1] = ';';
            *to++ = ' ';
        }
        to += sprintf(to, "=%" PRIu64 "|", take(&at, 8));
        at += 8;
    }
    *to = '\0';
}

static void put_int(struct plat_message *m, int64_t n)
{
    unsigned char bytes[9] = {'i'};

    for (unsigned i = 0; i < 8; i++)
        bytes[i + 1] = (unsigned char)((uint64_t)n >> (8 * i));
    plat_put(m, PLAT_TAG_VALUE, bytes, sizeof bytes);
}

/* Statements up to NULL; `params` as in "i", "t": of the first, from `...` of the caller. */
static int ask(const char *const *statements, const char *params, int64_t number,
               const char *string)
{
    struct plat_message request, ret;
    struct sv_err err = {0};
    char cell[256];
    int r;

    plat_message_init(&request, PLAT_SQL);
    plat_message_init(&ret, PLAT_SQL);
    plat_put_str(&request, PLAT_TAG_TENANT, tenant);
    for (unsigned i = 0; statements[i]; i++) {
        plat_put_str(&request, PLAT_TAG_TEXT, statements[i]);
        plat_put_u64(&request, PLAT_TAG_NUMBER, i == 0 ? strlen(params) : 0);
    }
    for (const char *p = params; *p; p++) {
        if (*p == 'i')
            put_int(&request, number);
        snprintf(cell, sizeof cell, "%c%s", *p, *p == 'n' ? "" : string);
        if (*p != 'i')
            plat_put_str(&request, PLAT_TAG_VALUE, cell);
    }
    if (timeout_ms)
        plat_put_u64(&request, PLAT_TAG_TIMEOUT_MS, timeout_ms);
    if (rows)
        plat_put_u64(&request, PLAT_TAG_COUNT, rows);
    if (limit)
        plat_put_u64(&request, PLAT_TAG_LIMIT, limit);
    r = ctl_state_sql(&server, &err, &request, &ret);
    if (r == 0)
        show(plat_get(&ret, PLAT_TAG_BODY));
    else
        snprintf(text, sizeof text, "%s", err.text);
    plat_message_release(&request);
    plat_message_release(&ret);
    return r;
}

static int one(const char *statement)
{
    return ask((const char *const[]){statement, NULL}, "", 0, "");
}

#define GIVES(statement, expected)                                                                 \
    do {                                                                                           \
        int r_ = one(statement);                                                                   \
        if (r_)                                                                                    \
            print_error("%s: %s\n", statement, text);                                              \
        assert_int_equal(r_, 0);                                                                   \
        assert_string_equal(text, expected);                                                       \
    } while (0)

static void gives_what_there_is(void **state)
{
    (void)state;
    GIVES("create table a (n integer, s text)", ": =0|");
    GIVES("insert into a values (1, 'x'), (2, null)", ": =2|");
    GIVES("select n, s from a order by n", "n,s: 1 'x'; 2 null; =0|");
    assert_int_equal(
        ask((const char *const[]){"insert into a values ($2, $1)", NULL}, "ti", 7, "it's"), 0);
    GIVES("select s from a where n = 7", "s: 'it's'; =0|");
}

static void a_request_is_all_or_nothing(void **state)
{
    const char *const both[] = {"insert into a values (100, 'a')", "insert into b values (1)",
                                NULL};
    const char *const two[] = {"insert into a values (101, 'a')",
                               "select count(*) as c from a where n > 99", NULL};

    (void)state;
    assert_int_equal(ask(both, "", 0, ""), SV_EGUEST);
    assert_int_equal(one("select count(*) as c from a where n = 100"), 0);
    assert_string_equal(text, "c: 0; =0|");
    assert_int_equal(ask(two, "", 0, ""), 0);
    assert_string_equal(text, ": =1|c: 1; =0|");
}

static void tenants_have_their_own(void **state)
{
    (void)state;
    tenant = "../t/x";
    assert_int_equal(one("select n from a"), SV_EGUEST);
    assert_int_equal(one("create table a (n integer)"), 0);
    assert_int_equal(one("select count(*) as c from a"), 0);
    assert_string_equal(text, "c: 0; =0|");
    tenant = "t";
    assert_int_equal(one("select count(*) as c from a where n < 3"), 0);
    assert_string_equal(text, "c: 2; =0|");
}

static void *insert_many(void *data)
{
    (void)data;
    for (int i = 0; i < 20; i++) {
        struct plat_message request, ret;
        struct sv_err err = {0};

        plat_message_init(&request, PLAT_SQL);
        plat_message_init(&ret, PLAT_SQL);
        plat_put_str(&request, PLAT_TAG_TENANT, "many");
        plat_put_str(&request, PLAT_TAG_TEXT, "update c set n = n + 1");
        assert_int_equal(ctl_state_sql(&server, &err, &request, &ret), 0);
        plat_message_release(&request);
        plat_message_release(&ret);
    }
    return NULL;
}

static void many_take_turns(void **state)
{
    pthread_t threads[6];

    (void)state;
    tenant = "many";
    assert_int_equal(one("create table c (n integer)"), 0);
    assert_int_equal(one("insert into c values (0)"), 0);
    for (size_t i = 0; i < SV_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, insert_many, NULL), 0);
    for (size_t i = 0; i < SV_COUNT(threads); i++)
        pthread_join(threads[i], NULL);
    GIVES("select n from c", "n: 120; =0|");
    tenant = "t";
}

static void it_ends_in_time(void **state)
{
    (void)state;
    timeout_ms = 100;
    /* It would never end. */
    assert_int_equal(one("with recursive r (n) as (select 1 union all select n + 1 from r) select "
                         "count(*) from r"),
                     SV_ELIMIT);
    assert_non_null(strstr(text, "not done within 100 ms"));
    timeout_ms = 0;
    GIVES("select 1 as one", "one: 1; =0|");
}

static void it_keeps_to_its_size(void **state)
{
    (void)state;
    rows = 10;
    assert_int_equal(
        one("with recursive r (n) as (select 1 union all select n + 1 from r where n < "
            "11) select n from r"),
        SV_ELIMIT);
    rows = 0;
    tenant = "small";
    limit = 400000;
    assert_int_equal(one("create table b (s text)"), 0);
    assert_int_equal(
        one("insert into b with recursive r (n) as (select 1 union all select n + 1 from r "
            "where n < 1000) select 'some text that takes its place ' || n from r"),
        0);
    assert_int_equal(
        one("insert into b with recursive r (n) as (select 1 union all select n + 1 from r "
            "where n < 20000) select 'some text that takes its place ' || n from r"),
        SV_ELIMIT);
    assert_non_null(strstr(text, "limit 'storage'"));
    GIVES("select count(*) as c from b", "c: 1000; =0|");
    limit = 0;
    tenant = "t";
}

static void sqlite_stays_in_its_file(void **state)
{
    static const char *const refused[] = {
        "attach database '/tmp/x.db' as x",
        "detach database main",
        "vacuum into '/tmp/ssvm-vacuumed.db'",
        "begin",
        "commit",
        "savepoint a",
        "rollback",
        "pragma journal_mode = delete",
        "pragma writable_schema = 1",
        "pragma max_page_count = 100000000",
        "pragma synchronous = off",
        "pragma temp_store_directory = '/tmp'",
        "select load_extension('/tmp/x.so')",
        "create temp table x (n)",
        "create virtual table d using dbstat",
        "select zeroblob(1000000000)",
        "select readfile('/etc/passwd')",
        "select 1; select 2",
        "",
        "-- nothing",
        "select $3",
        "insert into sqlite_master values (1, 2, 3, 4, 5)",
        "update a set n = \"x\"",
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(refused); i++) {
        if (one(refused[i]) != SV_EGUEST)
            print_error("%s: %s\n", refused[i], text);
        assert_int_equal(one(refused[i]), SV_EGUEST);
    }
    assert_int_equal(access("/tmp/ssvm-vacuumed.db", F_OK), -1);
    GIVES("select count(*) as c from a where n < 3", "c: 2; =0|");
    GIVES("select name from pragma_table_info('a')", "name: 'n'; 's'; =0|");
    assert_int_equal(one("create virtual table words using fts5(w)"), 0);
    assert_int_equal(one("insert into words values ('the quick brown fox')"), 0);
    GIVES("select w from words where words match 'quick'", "w: 'the quick brown fox'; =0|");
}

static void files_are_named_safely(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(fstatat(server.data_fd, "sql/t.db", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(fstatat(server.data_fd, "sql/%2E%2E%2Ft%2Fx.db", &st, 0), 0);
    assert_int_equal(fstatat(server.data_fd, "sql", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
}

/* ---- PostgreSQL ---- */

static void a_role_stays_in_its_schema(void **state)
{
    static const char *const refused[] = {
        "begin",
        "/* */ commit",
        "-- x\n rollback",
        "set role ssvm",
        "/* a /* b */ c */ reset role",
        "select set_config('role', 'ssvm', false)",
        "set session authorization ssvm",
        "select value from public.meta",
        "select * from public.secrets",
        "insert into public.kv (tenant, key, value, version) values ('t', '', '', 1)",
        "create table public.x (n integer)",
        "create role other",
        "create database other",
        "alter role ssvm password 'x'",
        "alter system set fsync = off",
        "copy a to '/tmp/x'",
        "copy a to program 'true'",
        "select pg_read_file('/etc/passwd')",
        "select lo_import('/etc/passwd')",
        "select lo_create(0)",
        "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'ssvm'",
        "create extension dblink",
        "create function f() returns text language c as 'x', 'y'",
        "do $$ begin commit; end $$",
        "select 1; select 2",
        "",
        "-- nothing",
        "notify ssvm",
        "vacuum",
        "select $3",
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(refused); i++) {
        int r = one(refused[i]);

        if (r != SV_EGUEST)
            print_error("%s: %d %s\n", refused[i], r, text);
        assert_int_equal(r, SV_EGUEST);
    }
    assert_int_equal(one("select count(*) as c from pg_stat_activity where usename = 'ssvm' and "
                         "query <> '<insufficient privilege>'"),
                     0);
    assert_string_equal(text, "c: 0; =0|");
    GIVES("select count(*) as c from a where n < 3", "c: 2; =0|");
}

static void a_session_keeps_nothing(void **state)
{
    (void)state;
    assert_int_equal(one("create temp table kept (n integer)"), 0);
    assert_int_equal(one("select n from kept"), SV_EGUEST);
    assert_int_equal(one("select set_config('statement_timeout', '0', false)"), 0);
    timeout_ms = 100;
    assert_int_equal(one("select pg_sleep(5)"), SV_ELIMIT);
    timeout_ms = 0;
    /* A tenant may change its password, and does not get far with it. */
    GIVES("select current_user = session_user as same", "same: 1; =0|");
}

static void values_have_their_types(void **state)
{
    (void)state;
    GIVES(
        "select 1::smallint as a, 2 as b, 3::bigint as c, true as d, 1.5::real as e, 2.25::float8 "
        "as f, 1.10::numeric as g, 'x'::text as h, '\\x6162'::bytea as i, null as j",
        "a,b,c,d,e,f,g,h,i,j: 1 2 3 1 1.5 2.25 '1.10' 'x' x'ab' null; =0|");
    assert_int_equal(
        ask((const char *const[]){"select $1::date + $2::int as day", NULL}, "ti", 1, "2024-02-28"),
        0);
    assert_string_equal(text, "day: '2024-02-29'; =0|");
    assert_int_equal(
        ask((const char *const[]){"select $1::bytea as b, $2::bigint as n", NULL}, "bn", 0, "raw"),
        0);
    assert_string_equal(text, "b,n: x'raw' null; =0|");
}

static void it_goes_with_its_tenant(void **state)
{
    struct sv_err err = {0};

    (void)state;
    tenant = "gone";
    assert_int_equal(one("create table a (n integer)"), 0);
    assert_int_equal(one("insert into a values (5)"), 0);
    assert_int_equal(ctl_state_sql_drop(&server, &err, "gone"), 0);
    assert_int_equal(one("select n from a"), SV_EGUEST);
    assert_int_equal(one("create table a (n integer)"), 0);
    assert_int_equal(ctl_state_sql_drop(&server, &err, "gone"), 0);
    assert_int_equal(ctl_state_sql_drop(&server, &err, "gone"), 0); /* has none */
    tenant = "t";
}

static void the_server_comes_back(void **state)
{
    (void)state;
    cluster_stop("immediate");
    assert_int_equal(one("select 1 as one"), SV_EIO);
    cluster_restart();
    for (int i = 0; i < 1200 && one("select 1 as one") < 0; i++)
        usleep(50000);
    GIVES("select count(*) as c from a where n < 3", "c: 2; =0|");
}

static int open_server(const char *url)
{
    struct sv_err err = {0};
    char path[64];

    strcpy(folder, "/tmp/ssvm-sql-XXXXXX");
    assert_non_null(mkdtemp(folder));
    snprintf(path, sizeof path, "sqlite:%s/ssvm.db", folder);
    server = (struct ctl_server){.data = folder};
    server.data_fd = open(folder, O_RDONLY | O_DIRECTORY);
    return ctl_db_open(&err, url ? url : path, &server.db);
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

#define BOTH                                                                                       \
    cmocka_unit_test(gives_what_there_is), cmocka_unit_test(a_request_is_all_or_nothing),          \
        cmocka_unit_test(tenants_have_their_own), cmocka_unit_test(many_take_turns),               \
        cmocka_unit_test(it_ends_in_time), cmocka_unit_test(it_keeps_to_its_size),                 \
        cmocka_unit_test(it_goes_with_its_tenant)

int main(void)
{
    const struct CMUnitTest sqlite[] = {
        BOTH,
        cmocka_unit_test(sqlite_stays_in_its_file),
        cmocka_unit_test(files_are_named_safely),
    };
    const struct CMUnitTest postgresql[] = {
        BOTH,
        cmocka_unit_test(a_role_stays_in_its_schema),
        cmocka_unit_test(a_session_keeps_nothing),
        cmocka_unit_test(values_have_their_types),
        cmocka_unit_test(the_server_comes_back),
    };
    int r = cmocka_run_group_tests_name("sqlite", sqlite, open_sqlite, close_server);

    if (cluster_start())
        r |= cmocka_run_group_tests_name("postgresql", postgresql, open_postgres, close_server);
    cluster_end();
    return r;
}
