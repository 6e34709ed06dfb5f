/* Backups: written while others write, of one back end and into another, and refused when damaged.
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

#include "cluster.h"
#include "control/backup.h"
#include "control/key.h"
#include "control/secret.h"
#include "control/state.h"

static char root[32];
static bool postgres;

/* A server in a folder of this name below root; with a database of its own. */
static void open_server(struct ctl_server *server, const char *name, const char *url)
{
    static char folders[8][64];
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
    assert_int_equal(ctl_backup_write(&from, &err, path, true), 0);
    assert_int_equal(ctl_backup_verify(&err, path), 0);
    open_server(&to, to_name, to_url);
    if (ctl_backup_restore(&to, &err, path) < 0)
        fail_msg("%s", err.text);
    check(&to);
    assert_int_equal(ctl_backup_restore(&to, &err, path), SV_EUSAGE); /* not over what is there */
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
    assert_int_equal(ctl_backup_write(&from, &err, path, true), SV_EIO); /* no such folder */
    err = (struct sv_err){0};
    snprintf(path, sizeof path, "%s/busy-from/own.backup", root); /* does not save itself */
    assert_int_equal(ctl_backup_write(&from, &err, path, true), 0);
    busy.stop = true;
    pthread_join(thread, NULL);
    assert_int_equal(ctl_backup_restore(&to, &err, path), 0);
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
    };

    return cmocka_run_group_tests_name("backup", tests, begin, finish);
}
