/* The database when things go wrong: killed processes, full and read-only disks, torn files, a
 * server that is gone and comes back, programs of other versions. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "cluster.h"
#include "control/db.h"
#include "control/schema.h"

#define ROUNDS 12
#define WRITERS 4
#define PATIENCE_MS 60000 /* with what only a busy machine keeps waiting */

static char root[32];
static bool postgres;

static struct ctl_db *open_url(const char *url)
{
    struct sv_err err = {0};
    struct ctl_db *db = NULL;

    if (ctl_db_open(&err, url, &db) < 0)
        fail_msg("%s: %s", url, err.text);
    return db;
}

static const char *sqlite_url(const char *name)
{
    static char url[96];

    snprintf(url, sizeof url, "sqlite:%s/%s.db", root, name);
    return url;
}

static int put(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    return ctl_sql_run(sql, err,
                       "insert into kv (tenant, key, value, version) values ('t', $1, $1, 1) on "
                       "conflict (tenant, key) do nothing",
                       CTL_PARAMS(CTL_BLOB(data, strlen(data))));
}

static int has(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    int r = ctl_sql_run(sql, err, "select 1 from kv where tenant = 't' and key = $1",
                        CTL_PARAMS(CTL_BLOB(data, strlen(data))));

    return r < 0 ? r : ctl_sql_next(sql, err);
}

static int count(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    int r = ctl_sql_run(sql, err, "select count(*) from kv where tenant = 't'", CTL_NO_PARAMS);

    (void)data;
    if (r == 0)
        r = ctl_sql_next(sql, err);
    return r <= 0 ? r : (int)ctl_sql_int(sql, 0);
}

static int write_key(struct ctl_db *db, struct sv_err *err, const char *key)
{
    char copy[64];

    snprintf(copy, sizeof copy, "%s", key);
    *err = (struct sv_err){0};
    return ctl_db_write(db, err, put, copy);
}

/* ---- Killed ---- */

struct writer {
    struct ctl_db *db;
    int round, number, fd;
};

/* Write keys; tell of each when it is acknowledged. */
static void *write_on(void *data)
{
    struct writer *w = data;
    struct sv_err err;
    char key[32] = "";

    for (int i = 0;; i++) {
        memset(key, 0, sizeof key);
        snprintf(key, sizeof key, "%d-%d-%d", w->round, w->number, i);
        if (write_key(w->db, &err, key) == 0 && write(w->fd, key, sizeof key) != sizeof key)
            return NULL;
    }
}

static void write_until_killed(const char *url, int round, int fd)
{
    struct writer writers[WRITERS];
    struct sv_err err = {0};
    struct ctl_db *db = NULL;
    pthread_t thread;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (ctl_db_open(&err, url, &db) < 0) {
        fprintf(stderr, "%s: %s\n", url, err.text);
        _exit(1);
    }
    for (int i = 0; i < WRITERS; i++) {
        writers[i] = (struct writer){db, round, i, fd};
        pthread_create(&thread, NULL, write_on, &writers[i]);
    }
    for (;;)
        pause();
}

/* Kills `server` too, when it is not NULL. */
static void kill_and_look(const char *url, int round, bool server)
{
    char key[32];
    struct sv_err err = {0};
    struct ctl_db *db;
    int fds[2], told = 0;
    pid_t pid;

    assert_int_equal(pipe(fds), 0);
    pid = fork();
    if (pid == 0) {
        close(fds[0]);
        write_until_killed(url, round, fds[1]);
    }
    close(fds[1]);
    assert_int_equal(poll(&(struct pollfd){.fd = fds[0], .events = POLLIN}, 1, PATIENCE_MS), 1);
    usleep((useconds_t)(sv_clock_ns() % 80000));
    if (server)
        cluster_kill();
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    if (server)
        cluster_restart();
    db = open_url(url);
    while (read(fds[0], key, sizeof key) == sizeof key) {
        if (ctl_db_read(db, &err, has, key) != 1)
            fail_msg("%s: '%s' is lost (%s)", url, key, err.text);
        told++;
    }
    assert_true(told > 0);
    close(fds[0]);
    ctl_db_close(db);
}

static void a_killed_writer_loses_nothing(void **state)
{
    (void)state;
    for (int round = 0; round < ROUNDS; round++)
        kill_and_look(sqlite_url("killed"), round, false);
    for (int round = 0; postgres && round < ROUNDS / 2; round++)
        kill_and_look(cluster_url(""), round, false);
}

static void a_killed_server_loses_nothing(void **state)
{
    (void)state;
    if (!postgres)
        skip();
    for (int round = 100; round < 103; round++)
        kill_and_look(cluster_url(""), round, true);
}

static int read_pragmas(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    int r = ctl_sql_run(sql, err, "pragma synchronous", CTL_NO_PARAMS);

    (void)data;
    if (r == 0)
        r = ctl_sql_next(sql, err);
    return r <= 0 ? r : (int)ctl_sql_int(sql, 0);
}

/* A kill does not show whether a commit is flushed; the setting does. */
static void commits_are_flushed(void **state)
{
    struct ctl_db *db = open_url(sqlite_url("flushed"));
    struct sv_err err = {0};

    (void)state;
    assert_int_equal(ctl_db_write(db, &err, read_pragmas, NULL), 2); /* full */
    ctl_db_close(db);
}

/* ---- Disks ---- */

/* Keys until one does not fit. */
static int fill(struct ctl_db *db, struct sv_err *err, const char *prefix, int most)
{
    char key[64];
    int r = 0;

    for (int i = 0; r == 0 && i < most; i++) {
        snprintf(key, sizeof key, "%s-%d", prefix, i);
        r = write_key(db, err, key);
    }
    return r;
}

/* In a process of its own: what it does to itself stays there. 0: as it should be; 77: cannot be
 * tested here. */
static int in_child(int (*fn)(void))
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        _exit(fn());
    waitpid(pid, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%d: not so: %s (%s)\n", __LINE__, #condition, err.text);              \
            return 1;                                                                              \
        }                                                                                          \
    } while (0)

static int at_a_limit(void)
{
    struct rlimit limit = {.rlim_cur = 600000, .rlim_max = RLIM_INFINITY};
    struct ctl_db *db = open_url(sqlite_url("limited"));
    struct sv_err err = {0};
    char first[] = "a-0";

    signal(SIGXFSZ, SIG_IGN);
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK(fill(db, &err, "a", 100000) == SV_EIO);
    CHECK(strstr(err.text, "database: ") == err.text);
    CHECK(ctl_db_read(db, &err, has, first) == 1); /* goes on reading */
    CHECK(write_key(db, &err, "b") == SV_EIO);
    limit.rlim_cur = RLIM_INFINITY;
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    CHECK(fill(db, &err, "c", 1000) == 0); /* and on writing, when there is room again */
    ctl_db_close(db);
    db = open_url(sqlite_url("limited"));
    CHECK(ctl_db_read(db, &err, has, first) == 1);
    ctl_db_close(db);
    return 0;
}

static void a_file_that_may_not_grow(void **state)
{
    (void)state;
    assert_int_equal(in_child(at_a_limit), 0);
}

/* A disk of our own, of 1 MiB. */
static bool mount_disk(char path[64])
{
    snprintf(path, 64, "%s/disk", root);
    mkdir(path, 0700);
    return unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
           mount("tmpfs", path, "tmpfs", 0, "size=1m") == 0;
}

static int on_small_disk(void)
{
    char path[64], command[160], url[96], first[] = "a-0";
    struct sv_err err = {0};
    struct ctl_db *db;

    if (!mount_disk(path))
        return 77;
    snprintf(url, sizeof url, "sqlite:%s/x.db", path);
    db = open_url(url);
    CHECK(fill(db, &err, "a", 20) == 0);
    snprintf(command, sizeof command, "head -c 10000000 /dev/zero > %s/filler 2>/dev/null", path);
    CHECK(system(command) != 0);
    CHECK(fill(db, &err, "b", 100000) == SV_EIO);
    CHECK(strstr(err.text, "the disk is full") != NULL);
    CHECK(ctl_db_read(db, &err, has, first) == 1);
    snprintf(command, sizeof command, "%s/filler", path);
    CHECK(unlink(command) == 0);
    CHECK(fill(db, &err, "c", 20) == 0);
    ctl_db_close(db);
    return 0;
}

static void a_disk_that_is_full(void **state)
{
    int r = in_child(on_small_disk);

    (void)state;
    if (r == 77)
        skip();
    assert_int_equal(r, 0);
}

static int on_read_only_disk(void)
{
    char path[64], url[96];
    struct sv_err err = {0};
    struct ctl_db *db = NULL;

    if (!mount_disk(path))
        return 77;
    snprintf(url, sizeof url, "sqlite:%s/x.db", path);
    db = open_url(url);
    CHECK(write_key(db, &err, "a") == 0);
    ctl_db_close(db);
    CHECK(mount(NULL, path, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) == 0);
    db = NULL;
    CHECK(ctl_db_open(&err, url, &db) == SV_EIO);
    CHECK(strstr(err.text, "Read-only") != NULL);
    return 0;
}

static void a_disk_that_is_read_only(void **state)
{
    int r = in_child(on_read_only_disk);

    (void)state;
    if (r == 77)
        skip();
    assert_int_equal(r, 0);
}

/* ---- Torn files ---- */

static void copy_part(const char *from, const char *to, off_t most)
{
    char bytes[4096];
    int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ssize_t n;

    assert_true(in >= 0 && out >= 0);
    while (most > 0 &&
           (n = read(in, bytes, most < (off_t)sizeof bytes ? (size_t)most : sizeof bytes)) > 0) {
        assert_int_equal(write(out, bytes, (size_t)n), n);
        most -= n;
    }
    close(in);
    close(out);
}

/* The log cut off anywhere: what opens is a state that there was. */
static void a_torn_log(void **state)
{
    struct ctl_db *db = open_url(sqlite_url("torn"));
    char from[64], to[64];
    struct sv_err err = {0};
    struct stat st;
    int before = 0, now;

    (void)state;
    assert_int_equal(fill(db, &err, "k", 50), 0);
    snprintf(from, sizeof from, "%s/torn.db", root);
    snprintf(to, sizeof to, "%s/torn2.db-wal", root);
    assert_int_equal(stat(strcat(from, "-wal"), &st), 0);
    for (off_t len = st.st_size / 2; len <= st.st_size; len += 3001) {
        struct ctl_db *copy;
        char *dash;

        copy_part(from, to, len);
        dash = strrchr(from, '-');
        *dash = '\0';
        *strrchr(to, '-') = '\0';
        copy_part(from, to, 1 << 30);
        *dash = '-';
        to[strlen(to)] = '-';
        copy = open_url(sqlite_url("torn2"));
        now = ctl_db_read(copy, &err, count, NULL);
        assert_true(now >= before && now <= 50);
        before = now;
        assert_int_equal(write_key(copy, &err, "more"), 0);
        ctl_db_close(copy);
    }
    assert_true(before > 40);
    ctl_db_close(db);
}

static void a_file_that_is_none(void **state)
{
    struct sv_err err = {0};
    struct ctl_db *db = open_url(sqlite_url("garbage"));
    char path[64];
    int fd;

    (void)state;
    ctl_db_close(db);
    snprintf(path, sizeof path, "%s/garbage.db", root);
    fd = open(path, O_WRONLY);
    assert_int_equal(write(fd, "this is not what it was, not at all", 35), 35);
    close(fd);
    assert_int_equal(ctl_db_open(&err, sqlite_url("garbage"), &db), SV_EIO);
    assert_non_null(strstr(err.text, "damaged"));
    assert_non_null(strstr(err.text, "restore a backup"));
}

/* ---- PostgreSQL: gone, back, read-only; two nodes ---- */

static _Atomic unsigned told_all, told_name;

static void note(void *data, const char *what)
{
    (void)data;
    if (!what)
        told_all++;
    else if (strcmp(what, "functions") == 0)
        told_name++;
}

static bool becomes(_Atomic unsigned *n, unsigned value)
{
    for (unsigned waited = 0; *n < value && waited < PATIENCE_MS; waited += 10)
        usleep(10000);
    return *n >= value;
}

static int notify(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    (void)err;
    ctl_sql_notify(sql, data);
    return 0;
}

/* Until who watches is told of what `db` says. */
static void await_listener(struct ctl_db *db)
{
    struct sv_err err = {0};

    told_name = 0;
    for (int i = 0; i < PATIENCE_MS / 50 && !told_name; i++) {
        if (ctl_db_write(db, &err, notify, (char[]){"functions"}) < 0)
            fail_msg("%s", err.text);
        usleep(50000);
    }
    assert_true(told_name > 0);
}

static void gone_and_back(void **state)
{
    struct sv_err err = {0};
    struct ctl_db *db;
    uint64_t start, best = UINT64_MAX;
    char key[] = "before";
    unsigned all;
    int r = -1;

    (void)state;
    if (!postgres)
        skip();
    db = open_url(cluster_url(""));
    told_all = 0;
    ctl_db_watch(db, note, NULL);
    assert_int_equal(write_key(db, &err, key), 0);
    await_listener(db);
    cluster_stop("immediate");
    all = told_all;
    for (int i = 0; i < 20; i++) {
        start = sv_clock_ns();
        if (write_key(db, &err, "gone") != SV_EIO)
            fail_msg("%d: %s", err.code, err.text);
        if (sv_clock_ns() - start < best)
            best = sv_clock_ns() - start;
    }
    assert_true(best < 1000000000); /* who asks is not kept waiting */
    assert_non_null(strstr(err.text, "cannot be reached"));
    cluster_restart();
    for (int i = 0; r < 0 && i < PATIENCE_MS / 10; i++) {
        r = write_key(db, &err, "back");
        usleep(10000);
    }
    assert_int_equal(r, 0);
    err = (struct sv_err){0};
    assert_int_equal(ctl_db_read(db, &err, has, key), 1);
    assert_true(becomes(&told_all, all + 1)); /* look at everything */
    ctl_db_close(db);
}

static int alter(bool read_only)
{
    char command[512];

    snprintf(command, sizeof command,
             "psql -q '%s' -c 'alter system set default_transaction_read_only = %s' -c 'select "
             "pg_reload_conf()' >/dev/null",
             cluster_url(""), read_only ? "on" : "off");
    return system(command);
}

static void a_server_that_is_read_only(void **state)
{
    struct sv_err err = {0};
    struct ctl_db *db;
    char key[] = "readable";
    int r;

    (void)state;
    if (!postgres)
        skip();
    db = open_url(cluster_url(""));
    assert_int_equal(write_key(db, &err, key), 0);
    assert_int_equal(alter(true), 0);
    for (int i = 0; (r = write_key(db, &err, "x")) == 0 && i < PATIENCE_MS / 10; i++)
        usleep(10000); /* its sessions are told by a signal */
    assert_int_equal(r, SV_EIO);
    assert_non_null(strstr(err.text, "read-only"));
    err = (struct sv_err){0};
    assert_int_equal(ctl_db_read(db, &err, has, key), 1);
    setenv("PGOPTIONS", "-c default_transaction_read_only=off", 1);
    assert_int_equal(alter(false), 0);
    unsetenv("PGOPTIONS");
    for (int i = 0; (r = write_key(db, &err, "x")) < 0 && i < PATIENCE_MS / 10; i++)
        usleep(10000);
    assert_int_equal(r, 0);
    ctl_db_close(db);
}

static int add_one(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    int64_t n = 0;
    int r = ctl_sql_run(sql, err, "select version from kv where tenant = 'sum' and key = $1",
                        CTL_PARAMS(CTL_BLOB("n", 1)));

    (void)data;
    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r < 0)
        return r;
    n = r ? ctl_sql_int(sql, 0) : 0;
    ctl_sql_notify(sql, "functions");
    return ctl_sql_run(sql, err,
                       "insert into kv (tenant, key, value, version) values ('sum', $2, $2, $1) "
                       "on conflict (tenant, key) do update set version = excluded.version",
                       CTL_PARAMS(CTL_INT(n + 1), CTL_BLOB("n", 1)));
}

static int read_sum(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    int r = ctl_sql_run(sql, err, "select version from kv where tenant = 'sum'", CTL_NO_PARAMS);

    (void)data;
    if (r == 0)
        r = ctl_sql_next(sql, err);
    return r <= 0 ? r : (int)ctl_sql_int(sql, 0);
}

static void *add_many(void *data)
{
    struct sv_err err = {0};

    for (int i = 0; i < 25; i++)
        if (ctl_db_write(data, &err, add_one, NULL) < 0)
            return sv_strdup(err.text);
    return NULL;
}

/* Read, add, write, on two nodes at once. */
static void two_nodes(void **state)
{
    struct ctl_db *one, *two;
    struct sv_err err = {0};
    pthread_t threads[4];
    void *why;

    (void)state;
    if (!postgres)
        skip();
    one = open_url(cluster_url(""));
    two = open_url(cluster_url(""));
    ctl_db_watch(two, note, NULL);
    await_listener(one);
    told_name = 0;
    for (int i = 0; i < 4; i++)
        pthread_create(&threads[i], NULL, add_many, i % 2 ? one : two);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], &why);
        assert_null(why);
    }
    assert_int_equal(ctl_db_read(one, &err, read_sum, NULL), 100);
    assert_true(becomes(&told_name, 1));
    told_name = 0;
    assert_int_equal(ctl_db_write(one, &err, add_one, NULL), 0);
    assert_true(becomes(&told_name, 1)); /* by the other node */
    ctl_db_close(one);
    ctl_db_close(two);
}

/* ---- Versions ---- */

static const struct ctl_schema_step newer[] = {
    {1000, "create table newer (n {int} not null) {strict}"},
    {1001, "alter table newer add column more {int} not null default 5"},
};

static int write_text(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    return ctl_sql_run(sql, err, data, CTL_NO_PARAMS);
}

static int read_version(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    int r = ctl_sql_run(sql, err, "select value from meta where key = 'schema'", CTL_NO_PARAMS);

    (void)data;
    if (r == 0)
        r = ctl_sql_next(sql, err);
    return r <= 0 ? r : (int)strtol(ctl_sql_str(sql, 0).ptr, NULL, 10);
}

static void versions(const char *url)
{
    struct ctl_db *db = open_url(url), *other = NULL;
    struct sv_err err = {0};
    char node[160], text[] = "insert into newer (n) values (1)", drop[] = "drop table newer",
                    back[96];

    assert_int_equal(ctl_db_read(db, &err, read_version, NULL), (int)ctl_schema_version());
    snprintf(node, sizeof node,
             "insert into nodes (id, started_ms, seen_ms, schema) values ('old', 0, %" PRIu64
             ", 998)",
             sv_clock_wall_ns() / 1000000);
    assert_int_equal(ctl_db_write(db, &err, write_text, node), 0);
    assert_int_equal(ctl_schema_update(db, &err, newer, 1), SV_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "node 'old' still runs"));
    err = (struct sv_err){0};
    assert_int_equal(ctl_db_read(db, &err, read_version, NULL), (int)ctl_schema_version());
    snprintf(node, sizeof node, "update nodes set schema = 999");
    assert_int_equal(ctl_db_write(db, &err, write_text, node), 0);
    assert_int_equal(ctl_schema_update(db, &err, newer, 1), 0);
    assert_int_equal(ctl_db_write(db, &err, write_text, text), 0);
    snprintf(node, sizeof node, "delete from nodes");
    assert_int_equal(ctl_db_write(db, &err, write_text, node), 0);
    assert_int_equal(ctl_schema_update(db, &err, newer, 2), 0);
    assert_int_equal(ctl_db_read(db, &err, read_version, NULL), 1001);
    assert_int_equal(ctl_schema_update(db, &err, newer, 1), 0); /* the version before goes on */
    assert_int_equal(ctl_db_read(db, &err, read_version, NULL), 1001);
    assert_int_equal(ctl_db_open(&err, url, &other), SV_EUNSUPPORTED);
    assert_non_null(strstr(err.text, "use a newer program"));
    err = (struct sv_err){0};
    assert_int_equal(ctl_db_write(db, &err, write_text, drop), 0);
    snprintf(back, sizeof back, "update meta set value = '%u' where key = 'schema'",
             ctl_schema_version());
    assert_int_equal(ctl_db_write(db, &err, write_text, back), 0);
    ctl_db_close(db);
}

static void other_versions(void **state)
{
    (void)state;
    versions(sqlite_url("versions"));
    if (postgres)
        versions(cluster_url(""));
}

static void *open_and_close(void *data)
{
    ctl_db_close(open_url(data));
    return NULL;
}

/* All of a cluster's nodes start at once, on an empty database. */
static void many_make_the_schema(void **state)
{
    pthread_t threads[4];
    char command[256], url[256];

    (void)state;
    if (!postgres)
        skip();
    for (int round = 0; round < 8; round++) { /* they meet in one place or another */
        snprintf(command, sizeof command, "psql -q '%s' -c 'create database fresh%d' >/dev/null",
                 cluster_url(""), round);
        assert_int_equal(system(command), 0);
        snprintf(url, sizeof url, "%s%d", cluster_url("&dbname=fresh"), round);
        for (int i = 0; i < 4; i++)
            pthread_create(&threads[i], NULL, open_and_close, url);
        for (int i = 0; i < 4; i++)
            pthread_join(threads[i], NULL);
    }
}

static int begin(void **state)
{
    (void)state;
    strcpy(root, "/tmp/ssvm-flt-XXXXXX");
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
        cmocka_unit_test(a_killed_writer_loses_nothing),
        cmocka_unit_test(a_killed_server_loses_nothing),
        cmocka_unit_test(commits_are_flushed),
        cmocka_unit_test(a_file_that_may_not_grow),
        cmocka_unit_test(a_disk_that_is_full),
        cmocka_unit_test(a_disk_that_is_read_only),
        cmocka_unit_test(a_torn_log),
        cmocka_unit_test(a_file_that_is_none),
        cmocka_unit_test(gone_and_back),
        cmocka_unit_test(a_server_that_is_read_only),
        cmocka_unit_test(two_nodes),
        cmocka_unit_test(other_versions),
        cmocka_unit_test(many_make_the_schema),
    };

    return cmocka_run_group_tests_name("faults", tests, begin, finish);
}
