/* Functions' SQL in SQLite: DATA/sql/TENANT.db, opened such that a statement reaches that file and
 * nothing else, for a while and for a size. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/state_sql.h"

#define IDLE_MAX 32     /* connections kept open */
#define STEPS 2000      /* of SQLite's machine between two looks at the clock */
#define QUOTA_MIN 65536 /* an empty database needs some of it */
#define PAGE_BYTES 4096
#define DISK_FULL (1U << 20)
#define NAME_TEXT 256

struct file {
    char name[NAME_TEXT]; /* of the file */
    sqlite3 *handle;
    const struct ctl_tenant_sql *now; /* whose request runs */
    uint64_t deadline_ns;
    struct file *next;
};

static struct {
    pthread_mutex_t mutex;
    struct file *first; /* used last */
} idle = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* A tenant's name as a file's: what is not a letter, digit, `-` or `_` as %XX. */
static void name_file(const char *tenant, char ret[NAME_TEXT])
{
    size_t at = 0;

    for (const char *p = tenant; *p && at + 8 < NAME_TEXT; p++) {
        bool plain = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                     (*p >= '0' && *p <= '9') || *p == '-' || *p == '_';

        at +=
            (size_t)snprintf(ret + at, NAME_TEXT - at, plain ? "%c" : "%%%02X", (unsigned char)*p);
    }
    snprintf(ret + at, NAME_TEXT - at, ".db");
}

/* ---- What a statement may do ---- */

static bool pragma_is_harmless(const char *name, const char *argument)
{
    static const char *const readable[] = {"table_info",       "table_xinfo",  "table_list",
                                           "index_list",       "index_info",   "index_xinfo",
                                           "foreign_key_list", "user_version", "data_version"};

    for (size_t i = 0; i < SV_COUNT(readable); i++)
        if (sqlite3_stricmp(name, readable[i]) == 0)
            return true;
    return sqlite3_stricmp(name, "foreign_keys") == 0 && !argument;
}

/* Deny what reaches beyond the file and the transaction; tables that would outlive the request on
 * this connection alone. */
static int authorize(void *data, int action, const char *a, const char *b, const char *c,
                     const char *d)
{
    (void)data;
    (void)c;
    (void)d;
    switch (action) {
    case SQLITE_ATTACH:
    case SQLITE_DETACH:
    case SQLITE_TRANSACTION:
    case SQLITE_SAVEPOINT:
    case SQLITE_CREATE_TEMP_INDEX:
    case SQLITE_CREATE_TEMP_TABLE:
    case SQLITE_CREATE_TEMP_TRIGGER:
    case SQLITE_CREATE_TEMP_VIEW:
        return SQLITE_DENY;
    case SQLITE_PRAGMA:
        return pragma_is_harmless(a, b) ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_CREATE_VTABLE:
    case SQLITE_DROP_VTABLE:
        return sqlite3_stricmp(b, "fts5") == 0 ? SQLITE_OK : SQLITE_DENY;
    case SQLITE_FUNCTION:
        return sqlite3_stricmp(b, "load_extension") == 0 ? SQLITE_DENY : SQLITE_OK;
    default:
        return SQLITE_OK;
    }
}

static int is_late(void *data)
{
    const struct file *file = data;

    return sv_clock_ns() > file->deadline_ns;
}

static int wait_for_lock(void *data, int tries)
{
    const struct timespec pause = {.tv_nsec = tries < 10 ? 200000 : 1000000};

    if (is_late(data))
        return 0;
    nanosleep(&pause, NULL);
    return 1;
}

static void limit(sqlite3 *handle)
{
    static const struct {
        int what, most;
    } limits[] = {
        {SQLITE_LIMIT_ATTACHED, 0},
        {SQLITE_LIMIT_COMPOUND_SELECT, 100},
        {SQLITE_LIMIT_EXPR_DEPTH, 200},
        {SQLITE_LIMIT_FUNCTION_ARG, 32},
        {SQLITE_LIMIT_LENGTH, CTL_SQL_RESULT_MAX},
        {SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000},
        {SQLITE_LIMIT_SQL_LENGTH, CTL_SQL_TEXT_MAX},
        {SQLITE_LIMIT_TRIGGER_DEPTH, 16},
        {SQLITE_LIMIT_VARIABLE_NUMBER, CTL_SQL_PARAMS_MAX},
        {SQLITE_LIMIT_VDBE_OP, 250000},
        {SQLITE_LIMIT_WORKER_THREADS, 0},
    };

    for (size_t i = 0; i < SV_COUNT(limits); i++)
        sqlite3_limit(handle, limits[i].what, limits[i].most);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_FKEY, 1, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    sqlite3_db_config(handle, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
}

/* ---- Connections ---- */

/* SQLite says the same of a full disk and of a file that has its size. */
static bool disk_is_full(int data_fd)
{
    struct statvfs fs;

    return fstatvfs(data_fd, &fs) == 0 && (uint64_t)fs.f_bavail * fs.f_frsize < DISK_FULL;
}

static int failed(struct ctl_server *server, const struct file *file, struct sv_err *err)
{
    const char *text = sqlite3_errmsg(file->handle);

    switch (sqlite3_errcode(file->handle)) {
    case SQLITE_INTERRUPT:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return ctl_sql_too_slow(file->now, err);
    case SQLITE_FULL:
        if (!disk_is_full(server->data_fd))
            return ctl_sql_too_full(file->now, err);
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "sql: the disk is full, nothing was written");
    case SQLITE_READONLY:
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "sql: %s, nothing was written", text);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
        return sv_fail(err, SV_EIO, SV_NO_OFFSET,
                       "sql: the tenant's database is damaged: restore a backup");
    case SQLITE_NOMEM:
        return sv_fail_nomem(err, "a statement of SQL");
    default:
        return ctl_sql_refused(err, text);
    }
}

static void file_close(struct file *file)
{
    if (!file)
        return;
    sqlite3_close(file->handle);
    sv_free(file);
}

static int make_file(struct ctl_server *server, struct sv_err *err, const char *name)
{
    char path[NAME_TEXT + 8];
    int fd;

    if (mkdirat(server->data_fd, "sql", 0700) < 0 && errno != EEXIST)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "sql: cannot make the folder 'sql': %s",
                       strerror(errno));
    snprintf(path, sizeof path, "sql/%s", name);
    fd = openat(server->data_fd, path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "sql: cannot open the tenant's database: %s",
                       strerror(errno));
    close(fd);
    return 0;
}

static int file_open(struct ctl_server *server, struct sv_err *err, const struct ctl_tenant_sql *q,
                     const char *name, struct file **ret)
{
    struct file *file = sv_alloc_zero(sizeof *file);
    char path[4096];
    int r;

    if (!file)
        return sv_fail_nomem(err, "a tenant's database");
    snprintf(file->name, sizeof file->name, "%s", name);
    snprintf(path, sizeof path, "%s/sql/%s", server->data, name);
    file->now = q;
    file->deadline_ns = q->deadline_ns;
    r = make_file(server, err, name);
    if (r < 0)
        goto fail;
    if (sqlite3_open_v2(path, &file->handle, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL) !=
        SQLITE_OK) {
        r = failed(server, file, err);
        goto fail;
    }
    sqlite3_busy_handler(file->handle, wait_for_lock, file);
    sqlite3_progress_handler(file->handle, STEPS, is_late, file);
    limit(file->handle);
    if (sqlite3_exec(file->handle,
                     "pragma journal_mode = wal; pragma synchronous = full; pragma "
                     "journal_size_limit = 4194304; pragma cell_size_check = on",
                     NULL, NULL, NULL) != SQLITE_OK) {
        r = failed(server, file, err);
        goto fail;
    }
    *ret = file;
    return 0;
fail:
    file_close(file);
    return r;
}

static int take(struct ctl_server *server, struct sv_err *err, const struct ctl_tenant_sql *q,
                struct file **ret)
{
    char name[NAME_TEXT], pragma[64];
    struct file **at, *file;
    int r = 0;

    name_file(q->tenant, name);
    pthread_mutex_lock(&idle.mutex);
    for (at = &idle.first; *at && strcmp((*at)->name, name) != 0; at = &(*at)->next) {
    }
    file = *at;
    if (file)
        *at = file->next;
    pthread_mutex_unlock(&idle.mutex);
    if (!file)
        r = file_open(server, err, q, name, &file);
    if (r < 0)
        return r;
    file->now = q;
    file->deadline_ns = q->deadline_ns;
    snprintf(pragma, sizeof pragma, "pragma max_page_count = %llu",
             (unsigned long long)(q->quota < QUOTA_MIN ? QUOTA_MIN : q->quota) / PAGE_BYTES);
    sqlite3_exec(file->handle, pragma, NULL, NULL, NULL);
    sqlite3_set_authorizer(file->handle, authorize, NULL);
    *ret = file;
    return 0;
}

static void give(struct file *file)
{
    struct file **at, *last = NULL;
    unsigned count = 0;

    sqlite3_set_authorizer(file->handle, NULL, NULL);
    file->now = NULL;
    pthread_mutex_lock(&idle.mutex);
    file->next = idle.first;
    idle.first = file;
    for (at = &idle.first; *at; at = &(*at)->next) {
        if (++count > IDLE_MAX) {
            last = *at;
            *at = NULL;
            break;
        }
    }
    pthread_mutex_unlock(&idle.mutex);
    file_close(last);
}

/* ---- Statements ---- */

static int bind(sqlite3_stmt *stmt, int place, const struct ctl_cell *cell)
{
    switch (cell->type) {
    case 'i':
        return sqlite3_bind_int64(stmt, place, cell->number);
    case 'f':
        return sqlite3_bind_double(stmt, place, cell->real);
    case 't':
        return sqlite3_bind_text64(stmt, place, cell->bytes.ptr, cell->bytes.len, SQLITE_STATIC,
                                   SQLITE_UTF8);
    case 'b':
        return sqlite3_bind_blob64(stmt, place, cell->bytes.ptr, cell->bytes.len, SQLITE_STATIC);
    default:
        return sqlite3_bind_null(stmt, place);
    }
}

static void put_cell(struct ctl_tenant_sql *q, sqlite3_stmt *stmt, int column)
{
    double real;
    int64_t bits;

    switch (sqlite3_column_type(stmt, column)) {
    case SQLITE_INTEGER:
        sv_buf_putc(&q->body, 'i');
        ctl_sql_put_i64(q, sqlite3_column_int64(stmt, column));
        break;
    case SQLITE_FLOAT:
        real = sqlite3_column_double(stmt, column);
        memcpy(&bits, &real, sizeof bits);
        sv_buf_putc(&q->body, 'f');
        ctl_sql_put_i64(q, bits);
        break;
    case SQLITE_TEXT:
    case SQLITE_BLOB:
        sv_buf_putc(&q->body, sqlite3_column_type(stmt, column) == SQLITE_TEXT ? 't' : 'b');
        ctl_sql_put_bytes(q, sqlite3_column_blob(stmt, column),
                          (size_t)sqlite3_column_bytes(stmt, column));
        break;
    default:
        sv_buf_putc(&q->body, 'n');
    }
}

static int put_rows(struct ctl_server *server, const struct file *file, struct sv_err *err,
                    struct ctl_tenant_sql *q, sqlite3_stmt *stmt)
{
    int columns = sqlite3_column_count(stmt), step, r;
    sqlite3_int64 before = sqlite3_total_changes64(file->handle);
    size_t place;

    ctl_sql_put_u32(q, (uint32_t)columns);
    for (int i = 0; i < columns; i++) {
        const char *name = sqlite3_column_name(stmt, i);

        ctl_sql_put_bytes(q, name, name ? strlen(name) : 0);
    }
    place = ctl_sql_begin_rows(q);
    while ((step = sqlite3_step(stmt)) == SQLITE_ROW) {
        r = ctl_sql_add_row(q, err, place);
        if (r < 0)
            return r;
        for (int i = 0; i < columns; i++)
            put_cell(q, stmt, i);
    }
    if (step != SQLITE_DONE)
        return failed(server, file, err);
    return ctl_sql_end_rows(
        q, err,
        sqlite3_total_changes64(file->handle) > before ? sqlite3_changes64(file->handle) : 0,
        sqlite3_last_insert_rowid(file->handle));
}

static int prepare(struct ctl_server *server, const struct file *file, struct sv_err *err,
                   const struct ctl_statement *s, sqlite3_stmt **ret)
{
    const char *tail = NULL;

    if (sqlite3_prepare_v2(file->handle, s->text.ptr, (int)s->text.len, ret, &tail) != SQLITE_OK)
        return failed(server, file, err);
    if (!*ret)
        return ctl_sql_refused(err, "an empty statement");
    while (tail < s->text.ptr + s->text.len && strchr(" \t\r\n;", *tail))
        tail++;
    if (tail != s->text.ptr + s->text.len) {
        sqlite3_finalize(*ret);
        return ctl_sql_refused(err, "more than one statement in one text");
    }
    return 0;
}

/* `$2` is the second, wherever it stands (as in PostgreSQL); `?` the next. */
static int bind_all(struct ctl_server *server, const struct file *file, struct sv_err *err,
                    sqlite3_stmt *stmt, const struct ctl_statement *s)
{
    int places = sqlite3_bind_parameter_count(stmt);

    for (int i = 1; i <= places; i++) {
        const char *name = sqlite3_bind_parameter_name(stmt, i);
        long n = name && name[0] == '$' ? strtol(name + 1, NULL, 10) : i;

        if (n < 1 || n > (long)s->count)
            return ctl_sql_refused(err, "the statement has more parameters than were given");
        if (bind(stmt, i, &s->params[n - 1]) != SQLITE_OK)
            return failed(server, file, err);
    }
    return 0;
}

static int run_statement(struct ctl_server *server, const struct file *file, struct sv_err *err,
                         struct ctl_tenant_sql *q, const struct ctl_statement *s)
{
    sqlite3_stmt *stmt = NULL;
    int r = prepare(server, file, err, s, &stmt);

    if (r < 0)
        return r;
    r = bind_all(server, file, err, stmt, s);
    if (r == 0)
        r = put_rows(server, file, err, q, stmt);
    sqlite3_finalize(stmt);
    return r;
}

/* Of ours: not asked whether they may be. */
static int execute(struct ctl_server *server, const struct file *file, struct sv_err *err,
                   const char *text)
{
    int r;

    sqlite3_set_authorizer(file->handle, NULL, NULL);
    r = sqlite3_exec(file->handle, text, NULL, NULL, NULL);
    sqlite3_set_authorizer(file->handle, authorize, NULL);
    return r == SQLITE_OK ? 0 : failed(server, file, err);
}

/* One statement that reads waits for nobody; whoever may write takes the lock first, so that it
 * waits for others and does not find them in its way later. */
static bool only_reads(const struct file *file, const struct ctl_tenant_sql *q)
{
    sqlite3_stmt *stmt = NULL;
    bool reads;

    if (q->count != 1)
        return false;
    if (sqlite3_prepare_v2(file->handle, q->statements[0].text.ptr, (int)q->statements[0].text.len,
                           &stmt, NULL) != SQLITE_OK)
        return true; /* which its turn says */
    reads = !stmt || sqlite3_stmt_readonly(stmt);
    sqlite3_finalize(stmt);
    return reads;
}

int ctl_sql_in_file(struct ctl_server *server, struct sv_err *err, struct ctl_tenant_sql *q)
{
    struct file *file = NULL;
    int r = take(server, err, q, &file);

    if (r < 0)
        return r;
    r = execute(server, file, err, only_reads(file, q) ? "begin" : "begin immediate");
    for (unsigned i = 0; r == 0 && i < q->count; i++)
        r = run_statement(server, file, err, q, &q->statements[i]);
    if (r == 0)
        r = execute(server, file, err, "commit");
    file->deadline_ns = UINT64_MAX; /* undoing has the time that it needs */
    if (!sqlite3_get_autocommit(file->handle) && execute(server, file, NULL, "rollback") < 0)
        file_close(file);
    else
        give(file);
    return r;
}

/* Whoever has it open still writes to a file without a name. */
int ctl_sql_drop_file(struct ctl_server *server, struct sv_err *err, const char *tenant)
{
    static const char *const ends[] = {"-wal", "-shm", ""};
    char name[NAME_TEXT], path[NAME_TEXT + 16];
    struct file *mine = NULL, **at, *file;
    int r = 0;

    name_file(tenant, name);
    pthread_mutex_lock(&idle.mutex);
    for (at = &idle.first; (file = *at);) {
        if (strcmp(file->name, name) == 0) {
            *at = file->next;
            file->next = mine;
            mine = file;
        } else {
            at = &file->next;
        }
    }
    pthread_mutex_unlock(&idle.mutex);
    while ((file = mine)) {
        mine = file->next;
        file_close(file);
    }
    for (size_t i = 0; i < SV_COUNT(ends); i++) {
        snprintf(path, sizeof path, "sql/%s%s", name, ends[i]);
        if (unlinkat(server->data_fd, path, 0) < 0 && errno != ENOENT)
            r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "sql: cannot remove the tenant's database: %s",
                        strerror(errno));
    }
    return r;
}
