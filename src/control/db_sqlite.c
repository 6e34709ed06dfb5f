/* The database as a file of SQLite: a write-ahead log, flushed at each commit. One thread writes;
 * what callers ask for meanwhile shares its next commit. Readers have connections of their own and
 * wait for nobody. */
#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "control/db_backend.h"

#define READERS_MAX 8
#define BATCH_MAX 256      /* callers that share a commit */
#define STATEMENTS_MAX 256 /* kept prepared by a connection */
#define BUSY_MS 5000       /* for other programs: a backup, the shell of SQLite */

struct statement {
    own char *text;
    own sqlite3_stmt *stmt;
};

struct connection {
    struct ctl_sql sql; /* first: what callers hold */
    sqlite3 *handle;
    sqlite3_stmt *now; /* the statement whose rows are read */
    bool row, fresh;   /* it is at a row; which was not asked for yet */
    struct sv_map statements;
    struct connection *next; /* idle reader */
};

struct job {
    ctl_db_fn fn;
    void *data;
    struct sv_err *err;
    int result;
    bool done;
    pthread_cond_t changed;
    struct ctl_db_notes notes;
    struct job *next;
};

struct sqlite_db {
    struct ctl_db base;
    own char *path;
    own struct connection *writer;
    pthread_t thread;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t asked, freed;
    struct job *first, *last; /* that wait for the writer */
    bool running, stopping;
    struct connection *idle;
    unsigned readers;
};

static const char *const words[][2] = {
    {"int", "integer"},   {"text", "text"},
    {"blob", "blob"},     {"serial", "integer primary key autoincrement"},
    {"strict", "strict"}, {"skip_locked", ""},
    {"least", "min"},     {"greatest", "max"},
    {NULL, NULL},
};

/* What went wrong, for people. */
static int failed(struct connection *c, struct sv_err *err, const char *what)
{
    int code = sqlite3_extended_errcode(c->handle);
    const char *text = sqlite3_errmsg(c->handle);

    switch (code & 0xff) {
    case SQLITE_FULL:
        return sv_fail(err, SV_EIO, SV_NO_OFFSET,
                       "database: the disk is full, nothing was written");
    case SQLITE_READONLY:
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "database: it is read-only, nothing was written");
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return sv_fail(err, SV_EIO, SV_NO_OFFSET,
                       "database: another program keeps it locked, nothing was written");
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "database: %s is damaged (%s): restore a backup",
                       sqlite3_db_filename(c->handle, NULL), text);
    case SQLITE_IOERR:
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "database: %s (%d), errno %d", text, code,
                       sqlite3_system_errno(c->handle));
    case SQLITE_NOMEM:
        return sv_fail_nomem(err, "the database");
    case SQLITE_CONSTRAINT:
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "database: %s", text);
    default:
        return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "database: %s: %s", what, text);
    }
}

static int execute(struct connection *c, struct sv_err *err, const char *text)
{
    return sqlite3_exec(c->handle, text, NULL, NULL, NULL) == SQLITE_OK ? 0 : failed(c, err, text);
}

static void end_statement(struct connection *c)
{
    if (c->now) {
        sqlite3_reset(c->now);
        sqlite3_clear_bindings(c->now);
    }
    c->now = NULL;
    c->row = c->fresh = false;
}

static void forget_statements(struct connection *c)
{
    for (size_t i = 0; i < c->statements.cap; i++) {
        struct statement *s = c->statements.entries[i].value;

        if (s) {
            sqlite3_finalize(s->stmt);
            sv_free(s->text);
            sv_free(s);
        }
    }
    sv_map_release(&c->statements);
    sv_map_init(&c->statements);
}

static void connection_close(struct connection *c)
{
    if (!c)
        return;
    end_statement(c);
    forget_statements(c);
    sv_map_release(&c->statements);
    sv_buf_release(&c->sql.expanded);
    sqlite3_close(c->handle);
    sv_free(c);
}

static int connection_open(struct sqlite_db *db, struct sv_err *err, bool writer,
                           struct connection **ret)
{
    struct connection *c = sv_alloc_zero(sizeof *c);
    int flags = SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE | SQLITE_OPEN_READWRITE;
    int r;

    if (!c)
        return sv_fail_nomem(err, "a connection to the database");
    c->sql.db = &db->base;
    sv_map_init(&c->statements);
    if (sqlite3_open_v2(db->path, &c->handle, flags, NULL) != SQLITE_OK) {
        r = failed(c, err, "open");
        goto fail;
    }
    sqlite3_busy_timeout(c->handle, BUSY_MS);
    sqlite3_db_config(c->handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    r = execute(c, err, "pragma cell_size_check = on; pragma temp_store = memory");
    if (r == 0 && writer)
        r = execute(c, err,
                    "pragma journal_mode = wal; pragma synchronous = full; pragma "
                    "journal_size_limit = 67108864");
    if (r == 0 && !writer)
        r = execute(c, err, "pragma query_only = on");
    if (r < 0)
        goto fail;
    *ret = c;
    return 0;
fail:
    connection_close(c);
    return r;
}

static int find_statement(struct connection *c, struct sv_err *err, const char *text,
                          sqlite3_stmt **ret)
{
    struct statement *s = sv_map_find(&c->statements, sv_str_of(text));

    if (s) {
        *ret = s->stmt;
        return 0;
    }
    if (c->statements.len >= STATEMENTS_MAX)
        forget_statements(c);
    s = sv_alloc_zero(sizeof *s);
    if (!s)
        goto nomem;
    s->text = sv_strdup(text);
    if (!s->text)
        goto nomem;
    if (sqlite3_prepare_v3(c->handle, text, -1, SQLITE_PREPARE_PERSISTENT, &s->stmt, NULL) !=
        SQLITE_OK) {
        sv_free(s->text);
        sv_free(s);
        return failed(c, err, text);
    }
    if (!sv_map_put(&c->statements, sv_str_of(s->text), s))
        goto nomem;
    *ret = s->stmt;
    return 0;
nomem:
    if (s) {
        sqlite3_finalize(s->stmt);
        sv_free(s->text);
    }
    sv_free(s);
    return sv_fail_nomem(err, "a statement");
}

static int bind(sqlite3_stmt *stmt, int place, const struct ctl_param *p)
{
    /* A statement that writes is done at its first step: its bytes need no copy. */
    sqlite3_destructor_type copy = sqlite3_stmt_readonly(stmt) ? SQLITE_TRANSIENT : SQLITE_STATIC;

    switch (p->type) {
    case CTL_P_INT:
        return sqlite3_bind_int64(stmt, place, p->number);
    case CTL_P_TEXT:
        return sqlite3_bind_text64(stmt, place, p->len ? p->ptr : "", p->len, copy, SQLITE_UTF8);
    case CTL_P_BLOB:
        return p->len ? sqlite3_bind_blob64(stmt, place, p->ptr, p->len, copy)
                      : sqlite3_bind_zeroblob(stmt, place, 0);
    default:
        return sqlite3_bind_null(stmt, place);
    }
}

/* SQLite takes `$2` for a name and counts places by appearance. */
static int bind_all(struct connection *c, struct sv_err *err, sqlite3_stmt *stmt, const char *text,
                    const struct ctl_param *params)
{
    int places = sqlite3_bind_parameter_count(stmt);
    long count = 0;

    while (params[count].type != CTL_P_END)
        count++;
    for (int i = 1; i <= places; i++) {
        const char *name = sqlite3_bind_parameter_name(stmt, i);
        long n = name && name[0] == '$' ? strtol(name + 1, NULL, 10) : 0;

        if (n < 1 || n > count)
            return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET,
                           "database: no value for parameter '%s' of: %s", name ? name : "?", text);
        if (bind(stmt, i, &params[n - 1]) != SQLITE_OK)
            return failed(c, err, text);
    }
    return 0;
}

static int step(struct connection *c, struct sv_err *err)
{
    int r = sqlite3_step(c->now);

    c->row = r == SQLITE_ROW;
    if (r == SQLITE_ROW || r == SQLITE_DONE)
        return c->row;
    r = failed(c, err, sqlite3_sql(c->now));
    end_statement(c);
    return r;
}

static int run(struct ctl_sql *sql, struct sv_err *err, const char *text,
               const struct ctl_param *params)
{
    struct connection *c = (struct connection *)sql;
    sqlite3_stmt *stmt = NULL;
    int r;

    end_statement(c);
    r = find_statement(c, err, text, &stmt);
    if (r == 0)
        r = bind_all(c, err, stmt, text, params);
    if (r < 0)
        return r;
    c->now = stmt;
    r = step(c, err);
    c->fresh = true;
    return r < 0 ? r : 0;
}

static int next(struct ctl_sql *sql, struct sv_err *err)
{
    struct connection *c = (struct connection *)sql;

    if (c->fresh || !c->row) {
        c->fresh = false;
        return c->row;
    }
    return step(c, err);
}

static int64_t integer(struct ctl_sql *sql, unsigned column)
{
    struct connection *c = (struct connection *)sql;

    return c->row ? sqlite3_column_int64(c->now, (int)column) : 0;
}

static struct sv_str str(struct ctl_sql *sql, unsigned column)
{
    struct connection *c = (struct connection *)sql;
    struct sv_str s = {NULL, 0};

    if (!c->row || sqlite3_column_type(c->now, (int)column) == SQLITE_NULL)
        return s;
    s.ptr = sqlite3_column_blob(c->now, (int)column); /* of a number: its digits */
    s.len = (size_t)sqlite3_column_bytes(c->now, (int)column);
    if (!s.ptr)
        s.ptr = "";
    return s;
}

static bool null(struct ctl_sql *sql, unsigned column)
{
    struct connection *c = (struct connection *)sql;

    return !c->row || sqlite3_column_type(c->now, (int)column) == SQLITE_NULL;
}

static unsigned columns(struct ctl_sql *sql)
{
    struct connection *c = (struct connection *)sql;

    return c->now ? (unsigned)sqlite3_column_count(c->now) : 0;
}

static const char *name(struct ctl_sql *sql, unsigned column)
{
    const char *text = sqlite3_column_name(((struct connection *)sql)->now, (int)column);

    return text ? text : "";
}

static int type(struct ctl_sql *sql, unsigned column)
{
    if (null(sql, column))
        return CTL_P_NULL;
    switch (sqlite3_column_type(((struct connection *)sql)->now, (int)column)) {
    case SQLITE_INTEGER:
        return CTL_P_INT;
    case SQLITE_BLOB:
        return CTL_P_BLOB;
    default:
        return CTL_P_TEXT;
    }
}

static uint64_t changes(struct ctl_sql *sql)
{
    return (uint64_t)sqlite3_changes64(((struct connection *)sql)->handle);
}

static int lock(struct ctl_sql *sql, struct sv_err *err)
{
    (void)sql; /* a transaction that writes has the whole file */
    (void)err;
    return 0;
}

static int renumber(struct ctl_sql *sql, struct sv_err *err, const char *table)
{
    (void)sql; /* it goes on above the highest by itself */
    (void)err;
    (void)table;
    return 0;
}

/* Undo; when SQLite has done so itself (a full disk), there is nothing left to do. */
static void roll_back(struct connection *c)
{
    end_statement(c);
    if (!sqlite3_get_autocommit(c->handle))
        sqlite3_exec(c->handle, "rollback", NULL, NULL, NULL);
}

/* One of the few statements that end and begin transactions: prepared once. */
static int quick(struct connection *c, struct sv_err *err, const char *text)
{
    int r = run(&c->sql, err, text, CTL_NO_PARAMS);

    end_statement(c);
    return r;
}

/* A job among several: what it does is undone alone. */
static int run_saved(struct connection *c, struct job *job)
{
    int r = quick(c, job->err, "savepoint job");

    c->sql.notes = (struct ctl_db_notes){0};
    if (r == 0)
        r = ctl_db_call(&c->sql, job->err, job->fn, job->data);
    end_statement(c);
    job->notes = c->sql.notes;
    if (sqlite3_get_autocommit(c->handle)) /* all is undone already */
        return r < 0 ? r : SV_EIO;
    job->result = r;
    if (r < 0 && quick(c, NULL, "rollback to job") < 0)
        return SV_EIO;
    return quick(c, r < 0 ? NULL : job->err, "release job");
}

/* One commit for `jobs`. Negative: nothing of it is there, and no result is set. */
static int run_together(struct connection *c, struct job *jobs)
{
    int r = quick(c, jobs->err, "begin immediate");

    for (struct job *j = jobs; j && r == 0; j = j->next)
        r = run_saved(c, j);
    if (r == 0)
        r = quick(c, jobs->err, "commit");
    if (r < 0)
        roll_back(c);
    return r;
}

static int run_alone(struct connection *c, struct job *job)
{
    int r = quick(c, job->err, "begin immediate");

    if (r < 0)
        return r;
    c->sql.notes = (struct ctl_db_notes){0};
    r = ctl_db_call(&c->sql, job->err, job->fn, job->data);
    job->notes = c->sql.notes;
    end_statement(c);
    if (r >= 0 && sqlite3_get_autocommit(c->handle))
        r = sv_fail(job->err, SV_EIO, SV_NO_OFFSET, "database: the transaction was undone");
    if (r >= 0 && quick(c, job->err, "commit") < 0)
        r = job->err && job->err->code ? job->err->code : SV_EIO;
    if (r < 0)
        roll_back(c);
    return r;
}

static void clear_error(struct sv_err *err)
{
    if (err)
        *err = (struct sv_err){0};
}

/* A job that breaks the transaction (a full disk) must not take the others along: they are run
 * again, each by itself. */
static void run_batch(struct connection *c, struct job *jobs)
{
    if (jobs->next && run_together(c, jobs) == 0)
        return;
    for (struct job *j = jobs; j; j = j->next) {
        clear_error(j->err);
        j->result = run_alone(c, j);
    }
}

static struct job *take_jobs(struct sqlite_db *db)
{
    struct job *jobs = db->first, *last = jobs;

    for (unsigned n = 1; n < BATCH_MAX && last && last->next; n++)
        last = last->next;
    db->first = last ? last->next : NULL;
    if (!db->first)
        db->last = NULL;
    if (last)
        last->next = NULL;
    return jobs;
}

static void *write_jobs(void *data)
{
    struct sqlite_db *db = data;

    pthread_mutex_lock(&db->mutex);
    for (;;) {
        struct job *jobs, *following;

        while (!db->first && !db->stopping)
            pthread_cond_wait(&db->asked, &db->mutex);
        jobs = take_jobs(db);
        if (!jobs)
            break;
        pthread_mutex_unlock(&db->mutex);
        run_batch(db->writer, jobs);
        for (struct job *j = jobs; j; j = j->next)
            if (j->result >= 0)
                ctl_db_told(&db->base, &j->notes);
        pthread_mutex_lock(&db->mutex);
        for (struct job *j = jobs; j; j = following) {
            following = j->next; /* the job is gone when its caller wakes */
            j->done = true;
            pthread_cond_signal(&j->changed);
        }
    }
    pthread_mutex_unlock(&db->mutex);
    return NULL;
}

static int write_sqlite(struct ctl_db *base, struct sv_err *err, ctl_db_fn fn, void *data)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    struct job job = {.fn = fn, .data = data, .err = err};

    pthread_cond_init(&job.changed, NULL);
    pthread_mutex_lock(&db->mutex);
    if (db->last)
        db->last->next = &job;
    else
        db->first = &job;
    db->last = &job;
    pthread_cond_signal(&db->asked);
    while (!job.done)
        pthread_cond_wait(&job.changed, &db->mutex);
    pthread_mutex_unlock(&db->mutex);
    pthread_cond_destroy(&job.changed);
    return job.result;
}

static int take_reader(struct sqlite_db *db, struct sv_err *err, struct connection **ret)
{
    int r = 0;

    pthread_mutex_lock(&db->mutex);
    while (!db->idle && db->readers == READERS_MAX)
        pthread_cond_wait(&db->freed, &db->mutex);
    *ret = db->idle;
    if (*ret)
        db->idle = (*ret)->next;
    else
        db->readers++;
    pthread_mutex_unlock(&db->mutex);
    if (!*ret)
        r = connection_open(db, err, false, ret);
    if (r < 0) {
        pthread_mutex_lock(&db->mutex);
        db->readers--;
        pthread_cond_signal(&db->freed);
        pthread_mutex_unlock(&db->mutex);
    }
    return r;
}

static int read_sqlite(struct ctl_db *base, struct sv_err *err, ctl_db_fn fn, void *data)
{
    struct sqlite_db *db = (struct sqlite_db *)base;
    struct connection *c = NULL;
    int r = take_reader(db, err, &c);

    if (r < 0)
        return r;
    r = quick(c, err, "begin");
    if (r == 0)
        r = ctl_db_call(&c->sql, err, fn, data);
    roll_back(c);
    pthread_mutex_lock(&db->mutex);
    c->next = db->idle;
    db->idle = c;
    pthread_cond_signal(&db->freed);
    pthread_mutex_unlock(&db->mutex);
    return r;
}

static void close_sqlite(own struct ctl_db *base)
{
    struct sqlite_db *db = (struct sqlite_db *)base;

    pthread_mutex_lock(&db->mutex);
    db->stopping = true;
    pthread_cond_signal(&db->asked);
    pthread_mutex_unlock(&db->mutex);
    if (db->running)
        pthread_join(db->thread, NULL);
    while (db->idle) {
        struct connection *c = db->idle;

        db->idle = c->next;
        connection_close(c);
    }
    connection_close(db->writer); /* last: it empties the log into the file */
    pthread_cond_destroy(&db->asked);
    pthread_cond_destroy(&db->freed);
    pthread_mutex_destroy(&db->mutex);
    sv_free(db->path);
    sv_free(db);
}

/* The file, before SQLite makes it: only for its owner. Its log gets the same rights. */
static int make_file(struct sv_err *err, const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);

    if (fd < 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot open the database '%s': %s", path,
                       strerror(errno));
    close(fd);
    return 0;
}

static int open_sqlite(struct sv_err *err, const char *url, struct ctl_watch *watch,
                       own struct ctl_db **ret)
{
    struct sqlite_db *db = sv_alloc_zero(sizeof *db);
    int r;

    if (!db)
        return sv_fail_nomem(err, "the database");
    db->base.backend = &ctl_backend_sqlite;
    db->base.watch = watch;
    pthread_mutex_init(&db->mutex, NULL);
    pthread_cond_init(&db->asked, NULL);
    pthread_cond_init(&db->freed, NULL);
    db->path = sv_strdup(url + strlen(ctl_backend_sqlite.scheme));
    r = db->path ? make_file(err, db->path) : sv_fail_nomem(err, "the database");
    if (r == 0)
        r = connection_open(db, err, true, &db->writer);
    if (r == 0) {
        db->running = pthread_create(&db->thread, NULL, write_jobs, db) == 0;
        r = db->running ? 0 : sv_fail_nomem(err, "the database's thread");
    }
    if (r < 0) {
        close_sqlite(&db->base);
        return r;
    }
    *ret = &db->base;
    return 0;
}

const struct ctl_backend ctl_backend_sqlite = {
    .scheme = "sqlite:",
    .words = words,
    .open = open_sqlite,
    .close = close_sqlite,
    .write = write_sqlite,
    .read = read_sqlite,
    .run = run,
    .next = next,
    .integer = integer,
    .str = str,
    .null = null,
    .columns = columns,
    .name = name,
    .type = type,
    .changes = changes,
    .renumber = renumber,
    .lock = lock,
    .shared = false,
};
