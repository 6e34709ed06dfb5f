/* SQLite under guests: a file, its settings, and the end of what takes too long. */
#include <stdio.h>
#include <time.h>

#include "base/clock.h"
#include "plugin/state.h"

#define BUSY_MS 5000         /* that another process may have the file */
#define STEPS_PER_LOOK 10000 /* of SQLite's machine */

uint64_t state_now_ms(void)
{
    return sv_clock_wall_ns() / 1000000;
}

/* True: stop. */
static int look(void *data)
{
    const struct state_db *db = data;

    return db->op && (db->op->stopped(db->op) || sv_clock_ns() >= db->op->deadline_ns);
}

static int wait_busy(void *data, int times)
{
    struct timespec pause = {.tv_nsec = 5000000};

    if (look(data) || times > BUSY_MS / 5)
        return 0;
    nanosleep(&pause, NULL);
    return 1;
}

/* SQLite does not always ask the busy handler when a file's mode changes, which it does for the
 * first who opens it. */
static int set_modes(struct state_db *db)
{
    int r, times = 0;

    do
        r = sqlite3_exec(db->db, "pragma journal_mode = wal; pragma synchronous = full;", NULL,
                         NULL, NULL);
    while ((r & 0xff) == SQLITE_BUSY && wait_busy(db, times++));
    return r;
}

int state_db_open(struct state_db *db, const char *path, char *error)
{
    pthread_mutex_init(&db->lock, NULL);
    if (sqlite3_open_v2(path, &db->db,
                        SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX |
                            SQLITE_OPEN_EXRESCODE,
                        NULL) != SQLITE_OK ||
        sqlite3_busy_handler(db->db, wait_busy, db) != SQLITE_OK || set_modes(db) != SQLITE_OK) {
        snprintf(error, SSVM_STATE_ERROR_MAX, "'%.150s': %.80s", path,
                 db->db ? sqlite3_errmsg(db->db) : "out of memory");
        state_db_close(db);
        return -1;
    }
    sqlite3_progress_handler(db->db, STEPS_PER_LOOK, look, db);
    return 0;
}

void state_db_close(struct state_db *db)
{
    if (db->db)
        sqlite3_close(db->db);
    db->db = NULL;
}

void state_db_enter(struct state_db *db, const ssvm_state_op *op)
{
    pthread_mutex_lock(&db->lock);
    db->op = op;
}

int state_db_leave(struct state_db *db, ssvm_state_op *op, int result)
{
    int code = result;

    if (result > 0) { /* SQLite's */
        snprintf(op->error, sizeof op->error, "%s", sqlite3_errmsg(db->db));
        switch (result & 0xff) {
        case SQLITE_INTERRUPT:
        case SQLITE_BUSY:
        case SQLITE_LOCKED:
            code = SSVM_STATE_ETIME;
            break;
        case SQLITE_ERROR:
        case SQLITE_MISMATCH:
        case SQLITE_RANGE:
            code = SSVM_STATE_EINVAL;
            break;
        case SQLITE_CONSTRAINT:
            code = SSVM_STATE_ECONFLICT;
            break;
        case SQLITE_AUTH:
            code = SSVM_STATE_EDENIED;
            break;
        case SQLITE_TOOBIG:
        case SQLITE_FULL:
            code = SSVM_STATE_ELIMIT;
            break;
        case SQLITE_NOMEM:
            code = SSVM_STATE_ENOMEM;
            break;
        default:
            code = SSVM_STATE_EIO;
        }
    }
    db->op = NULL;
    pthread_mutex_unlock(&db->lock);
    return code;
}
