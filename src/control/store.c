/* The part of control that opens what the others stand on: the data folder's lock, the node's key
 * and name, the database. */
#include "control/store.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/key.h"
#include "control/part.h"
#include "control/schema.h"
#include "control/secret.h"
#include "control/state.h"

#define LOCK_WAIT_MS 10000    /* for the control process before us, which ends */
#define LOCK_PAUSE_MS 5       /* between two looks whether the one before us has ended */
#define DATABASE_WAIT_MS 5000 /* for one that is away while the server runs */
#define DATABASE_PAUSE_MS 20
#define SEEN_EVERY_MS 10000
#define SEEN_LATE_MS 5000
#define NODE_FORGOTTEN_MS (24LL * 3600 * 1000)
#define SWEEP_EVERY_MS 60000

/* Two servers on one folder would count everything twice. The lock ends with this process, and is
 * not its children's. */
int ctl_store_lock(struct ctl_server *server, struct sv_err *err, unsigned wait_ms)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    server->lock_fd = openat(server->data_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (server->lock_fd < 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot write to the data folder '%s': %s",
                       server->data, strerror(errno));
    for (unsigned waited = 0; fcntl(server->lock_fd, F_SETLK, &lock) < 0; waited += LOCK_PAUSE_MS) {
        if (waited >= wait_ms)
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "another server uses the data folder '%s'",
                           server->data);
        usleep(LOCK_PAUSE_MS * 1000);
    }
    return 0;
}

/* A name for good, unlike that of any other node. */
static int read_node(struct ctl_server *server, struct sv_err *err)
{
    uint8_t bytes[CTL_KEY_LEN];
    int r = ctl_key_load(err, server->data_fd, "node", true, bytes);

    for (unsigned i = 0; r == 0 && i < sizeof server->node / 2; i++)
        snprintf(server->node + (size_t)2 * i, 3, "%02x", bytes[i]);
    return r;
}

static int write_seen(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct ctl_server *server = data;
    int64_t now_ms = sv_clock_wall_ms();
    int r = ctl_sql_run(
        sql, err,
        "insert into nodes (id, started_ms, seen_ms, schema) values ($1, $2, $2, "
        "$3) on conflict (id) do update set seen_ms = excluded.seen_ms, schema = "
        "excluded.schema",
        CTL_PARAMS(CTL_TEXT(server->node), CTL_INT(now_ms), CTL_INT(ctl_schema_version())));

    return r < 0 ? r
                 : ctl_sql_run(sql, err, "delete from nodes where seen_ms < $1",
                               CTL_PARAMS(CTL_INT(now_ms - NODE_FORGOTTEN_MS)));
}

/* 1: it was seen a moment ago, before it was killed, by a program of this version. */
static int is_seen(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct ctl_server *server = data;
    int64_t now_ms = sv_clock_wall_ms(), seen_ms;
    int r = ctl_sql_run(sql, err, "select seen_ms, schema from nodes where id = $1",
                        CTL_PARAMS(CTL_TEXT(server->node)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0)
        return r;
    seen_ms = ctl_sql_int(sql, 0);
    return seen_ms <= now_ms && seen_ms > now_ms - SEEN_EVERY_MS - SEEN_LATE_MS &&
           ctl_sql_int(sql, 1) == (int64_t)ctl_schema_version();
}

/* The others have to know us before we take a job: what a node has that they do not is free. */
static int begin_to_be_seen(struct ctl_server *server, struct sv_err *err)
{
    int r = ctl_db_read(server->db, err, is_seen, server);

    if (r == 0)
        r = ctl_db_write(server->db, err, write_seen, server);
    return r < 0 ? r : 0;
}

static void be_seen(struct ctl_server *server, void *unused)
{
    (void)unused;
    /* Whoever needs the database says what is wrong with it. */
    (void)ctl_db_write(server->db, NULL, write_seen, server);
}

int ctl_store_database(struct ctl_server *server, struct sv_err *err, const char *url)
{
    char path[4096];

    snprintf(path, sizeof path, "sqlite:%s/ssvm.db", server->data);
    return ctl_db_open(err, url && url[0] && strcmp(url, "default") != 0 ? url : path, &server->db);
}

/* A server that begins says what is wrong; one that runs, whose control process has died while the
 * database was being started again, only has to wait. */
static int open_database(struct ctl_server *server, struct sv_err *err)
{
    char *url = ctl_setting(server, "database");
    int r = ctl_store_database(server, err, url);

    for (unsigned waited = 0; r == SV_EIO && server->again && waited < DATABASE_WAIT_MS;
         waited += DATABASE_PAUSE_MS) {
        usleep(DATABASE_PAUSE_MS * 1000);
        *err = (struct sv_err){0};
        r = ctl_store_database(server, err, url);
    }
    sv_free(url);
    return r;
}

int ctl_store_start(struct ctl_server *server, struct sv_err *err)
{
    int r = ctl_store_lock(server, err, LOCK_WAIT_MS);

    if (r == 0)
        r = ctl_key_load(err, server->data_fd, "key", true, server->key);
    if (r == 0)
        r = read_node(server, err);
    if (r == 0)
        r = open_database(server, err);
    if (r == 0)
        r = ctl_secret_check(server, err);
    if (r == 0)
        r = begin_to_be_seen(server, err);
    if (r == 0)
        r = ctl_pool_every(server, SEEN_EVERY_MS, be_seen, NULL);
    if (r == 0)
        r = ctl_pool_every(server, SWEEP_EVERY_MS, ctl_state_sweep, NULL);
    return r;
}

/* The pool's threads may use the database to the end, and nothing is lost that was acknowledged:
 * the end of the process closes it. */
void ctl_store_stop(struct ctl_server *server)
{
    (void)server;
}
