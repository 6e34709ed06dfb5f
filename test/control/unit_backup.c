/* Backups: written while others write, of one back end and into another, and refused when damaged.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster.h"
#include "control/backup.h"
#include "control/backup_file.h"
#include "control/key.h"
#include "control/secret.h"
#include "control/state.h"
#include "control/state_sql.h"

static char root[32];
static bool postgres;

/* A server in a folder of this name below root; with a database of its own. */
static void open_server(struct ctl_server *server, const char *name, const char *url)
{
    static char folders[24][64];
    static unsigned count;
    char path[96];
    struct sv_err err = {0};

    snprintf(folders[count], sizeof folders[0], "%s/%s", root, name);
    mkdir(folders[count], 0700);
    *server = (struct ctl_server){.data = folders[count++]};
    server->data_fd = open(server->data, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(server->data_fd >= 0);
    snprintf(path, sizeof path, "sqlite:%s/ssvm.db", server->data);
    if (ctl_db_open(&err, url ? url : path, &server->db) < 0)
        fail_msg("%s", err.text);
}

static void close_server(struct ctl_server *server)
{
    ctl_db_close(server->db);
    close(server->data_fd);
}

/* PostgreSQL has a database for each name. */
static const char *fresh_database(const char *name)
{
    static char url[256];
    char command[512];

    snprintf(command, sizeof command, "psql -q '%s' -c 'create database %s' >/dev/null",
             cluster_url(""), name);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "&dbname=%s", name);
    snprintf(url, sizeof url, "%s", cluster_url(command));
    return url;
}

static void set(struct ctl_server *server, const char *key, const char *value)
{
    struct plat_message request, ret;
    struct sv_err err = {0};

    plat_message_init(&request, PLAT_KV);
    plat_message_init(&ret, PLAT_KV);
    plat_put_str(&request, PLAT_TAG_TENANT, "t");
    plat_put_str(&request, PLAT_TAG_OP, "set");
    plat_put_str(&request, PLAT_TAG_KEY, key);
    plat_put_str(&request, PLAT_TAG_VALUE, value);
    assert_int_equal(ctl_state_kv(server, &err, &request, &ret), 0);
    plat_message_release(&request);
    plat_message_release(&ret);
}

static bool has(struct ctl_server *server, const char *key, const char *value)
{
    struct plat_message request, ret;
    struct sv_err err = {0};
    bool same;

    plat_message_init(&request, PLAT_KV);
    plat_message_init(&ret, PLAT_KV);
    plat_put_str(&request, PLAT_TAG_TENANT, "t");
    plat_put_str(&request, PLAT_TAG_OP, "get");
    plat_put_str(&request, PLAT_TAG_KEY, key);
    assert_int_equal(ctl_state_kv(server, &err, &request, &ret), 0);
    same = sv_str_eq(plat_get(&ret, PLAT_TAG_VALUE), sv_str_of(value));
    plat_message_release(&request);
    plat_message_release(&ret);
    return same;
}

static int add_function(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    int r = ctl_sql_run(sql, err,
                        "insert into functions (tenant, name, admin_key, created_ms) values ('t', "
                        "$1, $2, 1) returning id",
                        CTL_PARAMS(CTL_TEXT((const char *)data), CTL_BLOB("\0\1\377", 3)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    return r <= 0 ? r : (int)ctl_sql_int(sql, 0);
}

static int read_function(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct sv_str key;
    int r = ctl_sql_run(sql, err, "select id, admin_key, usage_key from functions where name = $1",
                        CTL_PARAMS(CTL_TEXT((const char *)data)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0)
        return r;
    key = ctl_sql_str(sql, 1);
    assert_true(ctl_sql_null(sql, 2));
    assert_int_equal(key.len, 3);
    assert_memory_equal(key.ptr, "\0\1\377", 3);
    return (int)ctl_sql_int(sql, 0);
}

static void write_file(struct ctl_server *server, const char *path, const char *text)
{
    int fd = openat(server->data_fd, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static bool file_is(struct ctl_server *server, const char *path, const char *text)
{
    char got[64] = "";
    int fd = openat(server->data_fd, path, O_RDONLY);
    ssize_t n = fd < 0 ? -1 : read(fd, got, sizeof got - 1);

    if (fd >= 0)
        close(fd);
    return n >= 0 && strcmp(got, text) == 0;
}

static void fill(struct ctl_server *server)
{
    char name[] = "hello", key[16];
    struct sv_err err = {0};

    assert_int_equal(ctl_key_load(&err, server->data_fd, "key", true, server->key), 0);
    assert_int_equal(ctl_secret_check(server, &err), 0);
    assert_int_equal(ctl_db_write(server->db, &err, add_function, name), 1);
    assert_int_equal(ctl_secret_set(server, &err, "t", sv_str_of("s"), sv_str_of("secret")), 0);
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "k%d", i);
        set(server, key, key);
    }
    mkdirat(server->data_fd, "blobs", 0700);
    mkdirat(server->data_fd, "cache", 0700);
    write_file(server, "blobs/aa.wasm", "module");
    write_file(server, "cache/native", "not saved");
}

static void check(struct ctl_server *server)
{
    char name[] = "hello", other[] = "other", key[16];
    struct sv_err err = {0};
    struct sv_buf value;

    assert_int_equal(ctl_key_load(&err, server->data_fd, "key", false, server->key), 0);
    assert_int_equal(ctl_secret_check(server, &err), 0);
    for (int i = 0; i < 200; i++) {
        snprintf(key, sizeof key, "k%d", i);
        assert_true(has(server, key, key));
    }
    assert_int_equal(ctl_db_read(server->db, &err, read_function, name), 1);
    assert_int_equal(ctl_db_write(server->db, &err, add_function, other), 2); /* goes on behind */
    sv_buf_init(&value, 1000);
    assert_int_equal(ctl_secret_get(server, &err, "t", sv_str_of("s"), &value), 0);
    assert_string_equal(sv_buf_cstr(&value), "secret");
    sv_buf_release(&value);
    assert_true(file_is(server, "blobs/aa.wasm", "module"));
    assert_false(file_is(server, "cache/native", "not saved"));
}

static void there_and_back(const char *name, const char *from_url, const char *to_url)
{
    struct ctl_server from, to;
    struct sv_err err = {0};
    char path[64], from_name[32], to_name[32];

    snprintf(path, sizeof path, "%s/%s.backup", root, name);
    snprintf(from_name, sizeof from_name, "%s-from", name);
    snprintf(to_name, sizeof to_name, "%s-to", name);
    open_server(&from, from_name, from_url);
    fill(&from);
    assert_int_equal(ctl_backup_write(&from, &err, path, true, false), 0);
    assert_int_equal(ctl_backup_verify(&err, path), 0);
    open_server(&to, to_name, to_url);
    if (ctl_backup_restore(&to, &err, path, false) < 0)
        fail_msg("%s", err.text);
    check(&to);
    assert_int_equal(ctl_backup_restore(&to, &err, path, false),
                     SV_EUSAGE); /* not over what is there */
    close_server(&from);
    close_server(&to);
}

static void of_sqlite(void **state)
{
    (void)state;
    there_and_back("sqlite", NULL, NULL);
}

static void from_sqlite_to_postgresql(void **state)
{
    (void)state;
    if (!postgres)
        skip();
    there_and_back("mixed", NULL, fresh_database("one"));
}

static void from_postgresql_to_sqlite(void **state)
{
    (void)state;
    if (!postgres)
        skip();
    there_and_back("back", fresh_database("two"), NULL);
}

struct busy {
    struct ctl_server *server;
    _Atomic bool stop;
    _Atomic unsigned written;
};

static void *write_on(void *data)
{
    struct busy *busy = data;
    char key[32];

    for (; !busy->stop; busy->written++) {
        snprintf(key, sizeof key, "b%u", busy->written);
        set(busy->server, key, "1");
    }
    return NULL;
}

/* What is saved is one moment: as many keys as the tenant's account of them tells. */
static int accounts(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    int r = ctl_sql_run(sql, err,
                        "select (select count(*) from kv), (select entries from kv_usage where "
                        "tenant = 't')",
                        CTL_NO_PARAMS);

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0)
        return r;
    *(int64_t *)data = ctl_sql_int(sql, 0);
    return ctl_sql_int(sql, 0) == ctl_sql_int(sql, 1);
}

static void while_others_write(void **state)
{
    struct ctl_server from, to;
    struct busy busy = {.server = &from};
    struct sv_err err = {0};
    char path[64];
    pthread_t thread;
    int64_t count = 0;

    (void)state;
    open_server(&from, "busy-from", NULL);
    open_server(&to, "busy-to", NULL);
    fill(&from);
    assert_int_equal(pthread_create(&thread, NULL, write_on, &busy), 0);
    while (busy.written == 0)
        usleep(1000);
    snprintf(path, sizeof path, "%s/busy/../busy.backup", root);
    assert_int_equal(ctl_backup_write(&from, &err, path, true, false), SV_EIO); /* no such folder */
    err = (struct sv_err){0};
    snprintf(path, sizeof path, "%s/busy-from/own.backup", root); /* does not save itself */
    assert_int_equal(ctl_backup_write(&from, &err, path, true, false), 0);
    busy.stop = true;
    pthread_join(thread, NULL);
    assert_int_equal(ctl_backup_restore(&to, &err, path, false), 0);
    assert_int_equal(ctl_db_read(to.db, &err, accounts, &count), 1);
    assert_true(count >= 200 && count <= 200 + (int64_t)busy.written);
    close_server(&from);
    close_server(&to);
}

static void damage_is_found(void **state)
{
    char path[64], bad[64], *bytes;
    struct sv_err err = {0};
    FILE *f;
    size_t len;

    (void)state;
    snprintf(path, sizeof path, "%s/sqlite.backup", root);
    snprintf(bad, sizeof bad, "%s/bad.backup", root);
    f = fopen(path, "r");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    len = (size_t)ftell(f);
    rewind(f);
    bytes = malloc(len);
    assert_int_equal(fread(bytes, len, 1, f), 1);
    fclose(f);
    for (size_t at = 0; at < len; at += at < 100 || at > len - 100 ? 1 : 97) {
        f = fopen(bad, "w");
        fwrite(bytes, at, 1, f); /* torn here */
        fclose(f);
        assert_int_equal(ctl_backup_verify(NULL, bad), SV_EMALFORMED);
        bytes[at] ^= 4;
        f = fopen(bad, "w");
        fwrite(bytes, len, 1, f);
        fclose(f);
        bytes[at] ^= 4;
        assert_int_equal(ctl_backup_verify(NULL, bad), SV_EMALFORMED);
    }
    f = fopen(bad, "w");
    fwrite(bytes, len, 1, f);
    fputc('x', f);
    fclose(f);
    assert_int_equal(ctl_backup_verify(&err, bad), SV_EMALFORMED);
    assert_non_null(strstr(err.text, "damaged"));
    free(bytes);
}

/* ---- Tenants' SQL in PostgreSQL ---- */

/* Their databases stay open: sessions wait for the next request of a tenant. */

static int add_tenant(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    return ctl_sql_run(sql, err, "insert into tenants (name, created_ms) values ($1, 1)",
                       CTL_PARAMS(CTL_TEXT((const char *)data)));
}

/* As a function of the tenant says it. */
static int say(struct ctl_server *server, struct sv_err *err, const char *tenant, const char *text)
{
    struct plat_message request, ret;
    int r;

    plat_message_init(&request, PLAT_SQL);
    plat_message_init(&ret, PLAT_SQL);
    plat_put_str(&request, PLAT_TAG_TENANT, tenant);
    plat_put_str(&request, PLAT_TAG_TEXT, text);
    plat_put_u64(&request, PLAT_TAG_TIMEOUT_MS, 20000);
    r = ctl_state_sql(server, err, &request, &ret);
    plat_message_release(&request);
    plat_message_release(&ret);
    return r;
}

static void sql(struct ctl_server *server, const char *tenant, const char *text)
{
    struct sv_err err = {0};

    if (say(server, &err, tenant, text) < 0)
        fail_msg("%s: %s", text, err.text);
}

/* Of all that a backup knows, in an order that its statements cannot keep. */
static const char *const things[] = {
    "create type mood as enum ('sad', 'it''s \\ok', 'happy')",
    "create type point3 as (x integer, \"Y z\" numeric(8,2))",
    "create function is_good(t text) returns boolean language plpgsql immutable as $f$ begin "
    "return "
    "t <> ''; end; $f$",
    "create domain word as text default 'none' not null constraint good check (is_good(value))",
    "create sequence tickets start 5 increment 2 maxvalue 1000 cycle",
    "select setval('tickets', 41, false)",
    "create function next_ticket() returns bigint language sql as 'select nextval(''tickets'')'",
    "create table everything (id bigint generated always as identity (start 7) primary key, gone "
    "int, "
    "s serial, w word, m mood default 'happy', p point3, n numeric, f double precision, r real, "
    "b bytea, c char(5), v varchar(9) collate \"C\", j jsonb, a text[], t timestamptz, d date, "
    "i interval, u uuid, o boolean, ticket bigint default next_ticket(), twice bigint generated "
    "always as (s * 2) stored, \"Strange \"\"name\" text, everything text)",
    "alter table everything drop column gone",
    "insert into everything (w, m, p, n, f, r, b, c, v, j, a, t, d, i, u, o, \"Strange \"\"name\", "
    "everything) values ('x', 'it''s \\ok', row(1, 2.5), 'NaN', 0.1, 'infinity', '\\x00ff5c0a', "
    "'ab', E'tab\\t', '{\"a\": [1, null]}', array['', null, 'a\"b,{}', '\\'], '2001-02-03 "
    "04:05:06.789+09', '-infinity', '1 month -2 days 03:04:05.6', "
    "'12345678-1234-1234-1234-123456789abc', true, E'line\\nline', '()'), ('y', null, null, null, "
    "'-0', '1e-40', '', '', '', 'null', '{}', null, '2024-02-29', null, null, false, '', null)",
    "insert into everything (w) select 'w' || g from generate_series(1, 321) g",
    "create index on everything (lower(w)) where o",
    "alter table everything add constraint unusual check (n is null or n <> 5) not valid",
    "create table nothing ()",
    "create table parted (k int, at date not null, note text) partition by range (at)",
    "create table parted_a partition of parted for values from ('2020-01-01') to ('2021-01-01')",
    "create table parted_b partition of parted default partition by hash (k)",
    "create table parted_b0 partition of parted_b for values with (modulus 1, remainder 0)",
    "alter table parted add primary key (k, at)",
    "alter table parted add check (k > 0)",
    "create index on parted (note)",
    "insert into parted select g, date '2020-11-01' + g, 'n' || g from generate_series(1, 100) g",
    "create table parent (a int check (a < 1000), b text not null)",
    "create table child (extra int) inherits (parent)",
    "alter table child alter column b set default 'inherited'",
    "insert into child values (1, 'x', 2)",
    "insert into parent values (3, 'y')",
    "create table one (id int primary key, two int)",
    "create table two (id int primary key, one int references one on delete cascade)",
    "alter table one add foreign key (two) references two deferrable initially deferred",
    "create unlogged table fast (x int unique nulls not distinct) with (fillfactor = 70)",
    "create view first as select id, w from everything where o",
    "create view second (number, n) as select f.id, count(*) from first f group by f.id",
    "create view by_key as select id, w from everything group by id",
    "create function of_view() returns setof second language sql as 'select * from second'",
    "create materialized view kept as select count(*) as n from parted",
    "create unique index on kept (n)",
    "create function stamp() returns trigger language plpgsql as $$ begin new.b := new.b || '!'; "
    "return new; end; $$",
    "create trigger stamps before insert on parent for each row when (new.a > 0) execute function "
    "stamp()",
    "alter table parent disable trigger stamps",
    "create rule quiet as on delete to fast do instead nothing",
    "create procedure p(inout x int) language plpgsql as $$ begin x := x + 1; end $$",
};

static void fill_accounts(struct ctl_server *server, const char *tenant)
{
    struct sv_err err = {0};

    assert_int_equal(ctl_db_write(server->db, &err, add_tenant, (void *)tenant), 0);
    sql(server, tenant, "create table accounts (id int primary key, money int)");
    sql(server, tenant, "insert into accounts select g, 100 from generate_series(1, 10) g");
}

static void fill_sql(struct ctl_server *server)
{
    static char names[2][8] = {"t", "without"};
    struct sv_err err = {0};
    char text[80], wide[8192] = "create table wide (c0 int";

    for (int i = 0; i < 2; i++)
        assert_int_equal(ctl_db_write(server->db, &err, add_tenant, names[i]), 0);
    for (size_t i = 0; i < SV_COUNT(things); i++)
        sql(server, "t", things[i]);
    for (int i = 1; i < 200; i++) {
        snprintf(text, sizeof text, ", c%d int default %d", i, i);
        strcat(wide, text);
    }
    sql(server, "t", strcat(wide, ")"));
    sql(server, "t", "insert into wide (c0) values (1)");
    fill_accounts(server, "u");
}

/* What PostgreSQL's own program prints of both is the same: of tables that were made in another
 * order, too. */
static void check_sql(const char *from_name, const char *to_name)
{
    char command[2048], role[CTL_SQL_ROLE_TEXT], urls[2][256];
    const char *names[] = {from_name, to_name}, *tenants[] = {"t", "u"};

    for (int i = 0; i < 2; i++) {
        snprintf(command, sizeof command, "&dbname=%s", names[i]);
        snprintf(urls[i], sizeof urls[i], "%s", cluster_url(command));
    }
    for (int t = 0; t < 2; t++) {
        ctl_sql_name_role(tenants[t], role);
        for (int i = 0; i < 2; i++) {
            /* Its data and its statements, without the tokens that it makes up, sorted by blocks.
             */
            snprintf(
                command, sizeof command,
                "pg_dump '%s' --schema=%s --inserts >'%s/dump%d' && python3 -c \"import sys; "
                "print(chr(10).join(sorted(b for b in open(sys.argv[1]).read().replace(chr(10) "
                "+ chr(10), chr(0)).split(chr(0)) if 'restrict ' not in b)))\" '%s/dump%d' "
                ">'%s/sorted%d'",
                urls[i], role, root, i, root, i, root, i);
            assert_int_equal(system(command), 0);
        }
        snprintf(command, sizeof command, "diff '%s/sorted0' '%s/sorted1'", root, root);
        if (system(command) != 0)
            fail_msg("tenant %s differs", tenants[t]);
    }
}

static const char *with_sql(struct ctl_server *from)
{
    static char path[64];
    struct sv_err err = {0};

    open_server(from, "sql-from", fresh_database("sqlfrom"));
    fill(from);
    fill_sql(from);
    snprintf(path, sizeof path, "%s/sql.backup", root);
    if (ctl_backup_write(from, &err, path, true, false) < 0)
        fail_msg("%s", err.text);
    return path;
}

static void sql_of_postgresql(void **state)
{
    static struct ctl_server from, to;
    struct ctl_server lite;
    struct sv_err err = {0};
    const char *path;

    (void)state;
    if (!postgres || system("pg_dump --version >/dev/null 2>&1") != 0)
        skip();
    path = with_sql(&from);
    open_server(&to, "sql-to", fresh_database("sqlto"));
    if (ctl_backup_restore(&to, &err, path, false) < 0)
        fail_msg("%s", err.text);
    check(&to);
    check_sql("sqlfrom", "sqlto");
    /* It goes on from there, as the functions' own. */
    sql(&to, "t", "insert into everything (w) values ('more')");
    sql(&to, "t",
        "do $$ begin if (select ticket from everything where w = 'more') <> nextval("
        "'tickets') - 2 or (select count(*) from of_view()) <> 1 then raise 'no'; end if; "
        "end $$");
    assert_int_equal(say(&to, &err, "t", "insert into everything (w) values ('')"), SV_EGUEST);
    assert_int_equal(say(&to, &err, "u", "select * from everything"), SV_EGUEST);
    /* Another kind of database has no place for it, and says so before anything is done. */
    err = (struct sv_err){0};
    open_server(&lite, "sql-lite", NULL);
    assert_int_equal(ctl_backup_restore(&lite, &err, path, false), SV_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "--without-sql"));
    assert_int_equal(ctl_backup_restore(&lite, &err, path, true), 0);
    check(&lite);
    close_server(&lite);
}

/* Functions move money meanwhile: there is never more or less of it. */
static void *move_money(void *data)
{
    struct busy *busy = data;
    struct sv_err err = {0};

    for (; !busy->stop; busy->written++)
        assert_int_equal(
            say(busy->server, &err, "busy",
                "update accounts set money = money + case id when 1 then -1 else 1 end "
                "where id in (1, 10)"),
            0);
    return NULL;
}

static void sql_while_functions_write(void **state)
{
    static struct ctl_server from, to;
    struct busy busy = {.server = &from};
    struct sv_err err = {0};
    pthread_t thread;
    char path[64];

    (void)state;
    if (!postgres)
        skip();
    open_server(&from, "sqlbusy-from", fresh_database("sqlbusyfrom"));
    fill(&from);
    fill_accounts(&from, "busy");
    assert_int_equal(pthread_create(&thread, NULL, move_money, &busy), 0);
    while (busy.written == 0)
        usleep(1000);
    snprintf(path, sizeof path, "%s/sqlbusy.backup", root);
    assert_int_equal(ctl_backup_write(&from, &err, path, true, false), 0);
    for (unsigned n = busy.written; busy.written == n;)
        usleep(1000);
    busy.stop = true;
    pthread_join(thread, NULL);
    open_server(&to, "sqlbusy-to", fresh_database("sqlbusyto"));
    if (ctl_backup_restore(&to, &err, path, false) < 0)
        fail_msg("%s", err.text);
    sql(&to, "busy",
        "do $$ begin if (select sum(money) from accounts) <> 1000 or (select money from accounts "
        "where id = 1) = 100 then raise 'no'; end if; end $$");
}

static bool is_told(const char *path, const char *text)
{
    char got[1000] = "";
    FILE *f = fopen(path, "r");
    size_t n = f ? fread(got, 1, sizeof got - 1, f) : 0;

    if (f)
        fclose(f);
    return n > 0 && strstr(got, text);
}

/* What there is no statement for is told; what cannot be read keeps nobody from the rest. */
static void sql_that_is_not_saved(void **state)
{
    static struct ctl_server from;
    struct sv_err err = {0};
    char path[64], told[64];
    int before = dup(2), fd;

    (void)state;
    if (!postgres)
        skip();
    open_server(&from, "sqlodd-from", fresh_database("sqlodd"));
    fill(&from);
    fill_accounts(&from, "odd");
    sql(&from, "odd", "create aggregate total(int) (sfunc = int4pl, stype = int)");
    sql(&from, "odd", "create policy mine on accounts using (money > 0)");
    snprintf(path, sizeof path, "%s/sqlodd.backup", root);
    snprintf(told, sizeof told, "%s/told", root);
    fd = open(told, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, 2);
    assert_int_equal(ctl_backup_write(&from, &err, path, true, false), 0);
    dup2(before, 2);
    close(before);
    close(fd);
    assert_true(is_told(told, "of tenant 'odd' in SQL: aggregates, policies\n"));
    sql(&from, "odd", "alter table accounts enable row level security");
    sql(&from, "odd", "alter table accounts force row level security");
    sql(&from, "odd", "alter role current_user set row_security = on");
    assert_true(ctl_backup_write(&from, &err, path, true, false) < 0);
    assert_non_null(strstr(err.text, "SQL of tenant 'odd': "));
    assert_int_equal(ctl_backup_write(&from, &err, path, true, true), 0);
}

/* Killed anywhere, it is done again; who may not make roles has done nothing. */
static void sql_again_and_without_rights(void **state)
{
    struct ctl_server to;
    struct sv_err err = {0};
    char url[256], command[512];
    const char *path;
    int r = -1;

    (void)state;
    if (!postgres || system("pg_dump --version >/dev/null 2>&1") != 0)
        skip();
    snprintf(url, sizeof url, "%s", fresh_database("sqlagain"));
    snprintf(command, sizeof command,
             "psql -q '%s' -c 'create role weak login' -c 'alter database sqlagain owner to weak'",
             url);
    assert_int_equal(system(command), 0);
    snprintf(command, sizeof command, "%s", url);
    path = strstr(command, "user=ssvm");
    assert_non_null(path);
    memcpy(command + (path - command), "user=weak", 9);
    snprintf(command + 256, 64, "%s/sql.backup", root);
    path = command + 256;
    open_server(&to, "sqlweak-to", command);
    assert_int_equal(ctl_backup_restore(&to, &err, path, false), SV_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "createrole"));
    close_server(&to);
    for (unsigned n = 0; n < 8 && r != 0; n++) {
        int status = 0;
        pid_t pid = fork();

        if (pid == 0) {
            open_server(&to, "sqlagain-to", url);
            r = ctl_backup_restore(&to, &err, path, false);
            /* SV_EUSAGE: the one before was whole, and killed before it could say so. */
            _exit(r < 0 && r != SV_EUSAGE);
        }
        usleep(20000U << n);
        kill(pid, SIGKILL);
        waitpid(pid, &status, 0);
        r = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        assert_true(r <= 0);
    }
    open_server(&to, "sqlagain-to", url);
    r = ctl_backup_restore(&to, &err, path, false);
    if (r < 0 && r != SV_EUSAGE) /* the last child's was whole */
        fail_msg("%s", err.text);
    check(&to);
    check_sql("sqlfrom", "sqlagain");
    close_server(&to);
}

/* ---- Bad input ---- */

static void put_section(FILE *f, struct sv_sha256 *sha, char type, const char *name,
                        const void *bytes, size_t len)
{
    unsigned char head[CTL_SECTION_HEAD] = {(unsigned char)type};

    ctl_backup_put(head + 1, strlen(name), 4);
    ctl_backup_put(head + 5, len, 8);
    fwrite(head, sizeof head, 1, f);
    sv_sha256_add(sha, head, sizeof head);
    fwrite(name, strlen(name), 1, f);
    sv_sha256_add(sha, name, strlen(name));
    if (type != 'E') {
        fwrite(bytes, len, 1, f);
        sv_sha256_add(sha, bytes, len);
    }
}

struct foreign {
    FILE *file;
    struct sv_sha256 sha;
};

static struct foreign begin_foreign(const char *path)
{
    struct foreign f = {fopen(path, "w"), {0}};

    assert_non_null(f.file);
    sv_sha256_init(&f.sha);
    fputs(CTL_BACKUP_MAGIC_SQL, f.file);
    sv_sha256_add(&f.sha, CTL_BACKUP_MAGIC_SQL, strlen(CTL_BACKUP_MAGIC_SQL));
    return f;
}

static void end_foreign(struct foreign *f)
{
    uint8_t digest[SV_SHA256_LEN];

    put_section(f->file, &f->sha, 'E', "", NULL, sizeof digest);
    sv_sha256_end(&f->sha, digest);
    fwrite(digest, sizeof digest, 1, f->file);
    fclose(f->file);
}

/* Whole, as its digest says, and not ours. */
static void foreign_sections(void **state)
{
    static const struct {
        const char *types, *bytes;
        size_t len;
        int result;
    } cases[] = {
        {"P", "(1)", 3, SV_EMALFORMED},
        {"B", "select 1", 8, SV_EMALFORMED},
        {"SP", "(1)", 3, SV_EMALFORMED},
        {"ST", "a\0b", 3, SV_EMALFORMED},
        {"ST", "", 0, SV_EMALFORMED},
        {"STP", "no\0such\0table\0", 14, SV_EGUEST},
        {"SB", "create nonsense", 15, SV_EGUEST},
        {"SA", "commit", 6, SV_EGUEST},
    };
    struct ctl_server to;
    char path[64];

    (void)state;
    if (!postgres)
        skip();
    open_server(&to, "foreign", fresh_database("foreigners"));
    snprintf(path, sizeof path, "%s/foreign.backup", root);
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        struct foreign f = begin_foreign(path);
        struct sv_err err = {0};

        for (const char *type = cases[i].types; *type; type++)
            put_section(f.file, &f.sha, *type, *type == 'S' ? "x" : "", cases[i].bytes,
                        *type == 'S' ? 0 : cases[i].len);
        end_foreign(&f);
        assert_int_equal(ctl_backup_verify(&err, path), 0);
        assert_int_equal(ctl_backup_restore(&to, &err, path, false), cases[i].result);
    }
    close_server(&to);
}

/* What no server writes into a backup does not come out of one: code that would run, another
 * database, rows of tables that are not the server's, another version of the schema. */
static void foreign_files(void **state)
{
    static const char *const left[] = {"cache/a", "log/a", "rings/a", "lock", "node", ".a", "a/.b"};
    static const struct {
        const char *table, *columns, *row;
        size_t columns_len, row_len;
    } tables[] = {
        {"sqlite_sequence", "name\0seq\0", "t\1\0\0\0ai\1\0\0\0\0\0\0\0", 9, 15},
        {"meta", "value\0key\0", "t\3\0\0\0999t\6\0\0\0schema", 10, 19},
    };
    struct ctl_server to;
    struct stat before, after;
    struct sv_err err = {0};
    struct foreign f;
    char path[64];

    (void)state;
    open_server(&to, "foreign-files", NULL);
    assert_int_equal(fstatat(to.data_fd, "ssvm.db", &before, 0), 0);
    snprintf(path, sizeof path, "%s/foreign-files.backup", root);
    for (size_t i = 0; i < SV_COUNT(tables); i++) {
        f = begin_foreign(path);
        err = (struct sv_err){0};
        put_section(f.file, &f.sha, 'C', tables[i].table, tables[i].columns, tables[i].columns_len);
        put_section(f.file, &f.sha, 'R', "", tables[i].row, tables[i].row_len);
        end_foreign(&f);
        assert_int_equal(ctl_backup_verify(&err, path), 0);
        assert_int_equal(ctl_backup_restore(&to, &err, path, false), SV_EMALFORMED);
    }
    f = begin_foreign(path);
    for (size_t i = 0; i < SV_COUNT(left); i++)
        put_section(f.file, &f.sha, 'F', left[i], "x", 1);
    put_section(f.file, &f.sha, 'F', "ssvm.db", "x", 1);
    put_section(f.file, &f.sha, 'F', "ssvm.db-journal", "x", 1);
    put_section(f.file, &f.sha, 'F', "blobs/a", "x", 1);
    end_foreign(&f);
    err = (struct sv_err){0};
    assert_int_equal(ctl_backup_restore(&to, &err, path, false), 0);
    for (size_t i = 0; i < SV_COUNT(left); i++)
        assert_int_not_equal(faccessat(to.data_fd, left[i], F_OK, 0), 0);
    assert_int_equal(fstatat(to.data_fd, "ssvm.db", &after, 0), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_int_not_equal(faccessat(to.data_fd, "ssvm.db-journal", F_OK, 0), 0);
    assert_true(file_is(&to, "blobs/a", "x"));
    close_server(&to);
}

/* A disk that is full leaves no half of a backup, and the one from before. */
static void full_disk(void **state)
{
    struct ctl_server from;
    struct sv_err err = {0};
    struct stat before, after;
    char path[64], part[80];
    int status;
    pid_t pid;

    (void)state;
    open_server(&from, "sqlite-from", NULL);
    snprintf(path, sizeof path, "%s/full.backup", root);
    snprintf(part, sizeof part, "%s.part", path);
    assert_int_equal(ctl_backup_write(&from, &err, path, true, false), 0);
    assert_int_equal(stat(path, &before), 0);
    close_server(&from);
    pid = fork();
    if (pid == 0) {
        struct rlimit limit = {(rlim_t)before.st_size - 100, (rlim_t)before.st_size - 100};

        signal(SIGXFSZ, SIG_IGN);
        open_server(&from, "sqlite-from", NULL);
        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(ctl_backup_write(&from, &err, path, true, false) != SV_EIO ||
              !strstr(err.text, "write"));
    }
    waitpid(pid, &status, 0);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    assert_int_equal(stat(path, &after), 0);
    assert_int_equal(after.st_ino, before.st_ino);
    assert_int_not_equal(access(part, F_OK), 0);
    assert_int_equal(ctl_backup_verify(&err, path), 0);
}

static int begin(void **state)
{
    (void)state;
    strcpy(root, "/tmp/ssvm-bak-XXXXXX");
    assert_non_null(mkdtemp(root));
    postgres = cluster_start();
    return 0;
}

static int finish(void **state)
{
    char command[64];

    (void)state;
    cluster_end();
    snprintf(command, sizeof command, "rm -rf '%s'", root);
    return system(command);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_sqlite),
        cmocka_unit_test(from_sqlite_to_postgresql),
        cmocka_unit_test(from_postgresql_to_sqlite),
        cmocka_unit_test(while_others_write),
        cmocka_unit_test(damage_is_found),
        cmocka_unit_test(sql_of_postgresql),
        cmocka_unit_test(sql_while_functions_write),
        cmocka_unit_test(sql_that_is_not_saved),
        cmocka_unit_test(sql_again_and_without_rights),
        cmocka_unit_test(foreign_sections),
        cmocka_unit_test(foreign_files),
        cmocka_unit_test(full_disk),
    };

    return cmocka_run_group_tests_name("backup", tests, begin, finish);
}
