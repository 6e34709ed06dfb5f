/* Writing backups. The file: a head, then sections of u8 type, u32 length of the name, u64 length
 * of the bytes, the name, the bytes; the last is the SHA-256 of all before it. All little-endian.
 *
 *   'V'  schema version, decimal digits
 *   'F'  a file of the data folder; its name is the path there
 *   'C'  columns of the table of this name: names with a NUL behind each
 *   'R'  a row of the table that was named last: cells of u8 type ('n' 'i' 't' 'b'); u64 number, or
 *        u32 length and bytes
 *   'S'  the schema of the tenant of this name, in PostgreSQL; what follows is in it:
 *   'B'  a statement that makes something before there are rows; in any order, so tried again
 *   'T'  a table: its name, its columns, the same of a row `r`, with a NUL behind each
 *   'P'  a row of it, as text of its type
 *   'A'  a statement for when all rows are there, likewise
 *   'E'  the SHA-256
 *
 * With 'S' there may be in it, the head is that of version 2. */
#include "control/backup.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/backup_file.h"
#include "control/schema.h"

#define PATH_TEXT 1024

struct writer {
    struct ctl_server *server;
    bool with_sql;
    FILE *file;
    dev_t device; /* of the backup itself, which may be in the folder */
    ino_t inode;
    struct sv_sha256 sha;
    uint64_t start; /* of the rows, which may be written more than once */
    struct sv_sha256 sha_at_start;
};

static int write_bytes(struct writer *w, struct sv_err *err, const void *bytes, size_t len)
{
    sv_sha256_add(&w->sha, bytes, len);
    if (len && fwrite(bytes, len, 1, w->file) != 1)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot write the backup: %s", strerror(errno));
    return 0;
}

static int begin_section(struct writer *w, struct sv_err *err, char type, const char *name,
                         uint64_t len)
{
    unsigned char head[CTL_SECTION_HEAD];
    size_t nname = strlen(name);
    int r;

    head[0] = (unsigned char)type;
    ctl_backup_put(head + 1, nname, 4);
    ctl_backup_put(head + 5, len, 8);
    r = write_bytes(w, err, head, sizeof head);
    return r < 0 ? r : write_bytes(w, err, name, nname);
}

static int write_section(struct writer *w, struct sv_err *err, char type, const char *name,
                         const void *bytes, size_t len)
{
    int r = begin_section(w, err, type, name, len);

    return r < 0 ? r : write_bytes(w, err, bytes, len);
}

/* ---- Files ---- */

bool ctl_backup_leaves_out(const char *path)
{
    static const char *const out[] = {"ssvm.db", "ssvm.db-wal", "ssvm.db-shm", "ssvm.db-journal",
                                      "cache",   "log",         "key",         "key.new",
                                      "node",    "lock",        "sql",         "admin-token",
                                      "rings"};
    size_t len = strcspn(path, "/");

    for (size_t i = 0; i < SV_COUNT(out); i++)
        if (strlen(out[i]) == len && memcmp(path, out[i], len) == 0)
            return true;
    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (*p == '.') /* half written, or of the folder */
            return true;
    return false;
}

static int copy_bytes(struct writer *w, struct sv_err *err, int fd, const char *path, uint64_t len)
{
    char bytes[65536];
    ssize_t n;

    while (len > 0) {
        n = read(fd, bytes, len < sizeof bytes ? len : sizeof bytes);
        if (n <= 0)
            return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot read '%s': %s", path,
                           n ? strerror(errno) : "it has become shorter");
        if (write_bytes(w, err, bytes, (size_t)n) < 0)
            return SV_EIO;
        len -= (uint64_t)n;
    }
    return 0;
}

static int write_file(struct writer *w, struct sv_err *err, int folder_fd, const char *name,
                      const char *path)
{
    int fd = openat(folder_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r = 0;
    struct stat st;

    if (fd < 0 && (errno == ENOENT || errno == ELOOP))
        return 0; /* gone meanwhile */
    if (fd < 0 || fstat(fd, &st) < 0)
        r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot open '%s': %s", path, strerror(errno));
    else if (S_ISREG(st.st_mode) && (st.st_ino != w->inode || st.st_dev != w->device))
        r = begin_section(w, err, 'F', path, (uint64_t)st.st_size) < 0
                ? SV_EIO
                : copy_bytes(w, err, fd, path, (uint64_t)st.st_size);
    if (fd >= 0)
        close(fd);
    return r;
}

static int write_folder(struct writer *w, struct sv_err *err, int at, const char *name,
                        const char *path, unsigned depth)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    char below[PATH_TEXT];
    struct dirent *e;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot read the folder '%s': %s", path,
                       strerror(errno));
    }
    while (r == 0 && (e = readdir(dir))) {
        struct stat st;
        int n = snprintf(below, sizeof below, "%s%s%s", path, path[0] ? "/" : "", e->d_name);

        if (n >= PATH_TEXT || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
            ctl_backup_leaves_out(below) || fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (S_ISDIR(st.st_mode) && depth < 16)
            r = write_folder(w, err, fd, e->d_name, below, depth + 1);
        else if (S_ISREG(st.st_mode))
            r = write_file(w, err, fd, e->d_name, below);
    }
    closedir(dir);
    return r;
}

/* A tenant's database, as of one moment: SQLite makes the copy. */
static int write_tenant(struct writer *w, struct sv_err *err, const char *name)
{
    char from[PATH_TEXT + 256], to[PATH_TEXT + 256], path[512];
    sqlite3 *handle = NULL;
    sqlite3_stmt *stmt = NULL;
    int r = 0;

    snprintf(from, sizeof from, "%s/sql/%s", w->server->data, name);
    snprintf(to, sizeof to, "%s/.backup.%d", w->server->data, (int)getpid());
    snprintf(path, sizeof path, "sql/%s", name);
    unlink(to);
    if (sqlite3_open_v2(from, &handle, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK ||
        sqlite3_busy_timeout(handle, 10000) != SQLITE_OK ||
        sqlite3_prepare_v2(handle, "vacuum into ?", -1, &stmt, NULL) != SQLITE_OK ||
        sqlite3_bind_text(stmt, 1, to, -1, SQLITE_STATIC) != SQLITE_OK ||
        sqlite3_step(stmt) != SQLITE_DONE)
        r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot save '%s': %s", from,
                    sqlite3_errmsg(handle));
    sqlite3_finalize(stmt);
    sqlite3_close(handle);
    if (r == 0)
        r = write_file(w, err, AT_FDCWD, to, path);
    unlink(to);
    return r;
}

static int write_tenants(struct writer *w, struct sv_err *err)
{
    int fd = openat(w->server->data_fd, "sql", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *e;

    while (dir && r == 0 && (e = readdir(dir))) {
        size_t len = strlen(e->d_name);

        if (len > 3 && strcmp(e->d_name + len - 3, ".db") == 0)
            r = write_tenant(w, err, e->d_name);
    }
    if (dir)
        closedir(dir);
    return r;
}

/* ---- Rows ---- */

static void put_cell(struct sv_buf *row, struct ctl_sql *sql, unsigned column)
{
    static const char letters[] = {
        [CTL_P_NULL] = 'n', [CTL_P_INT] = 'i', [CTL_P_TEXT] = 't', [CTL_P_BLOB] = 'b'};
    int type = ctl_sql_type(sql, column);
    struct sv_str s = ctl_sql_str(sql, column);
    unsigned char number[8];

    sv_buf_putc(row, letters[type]);
    if (type == CTL_P_INT) {
        ctl_backup_put(number, (uint64_t)ctl_sql_int(sql, column), 8);
        sv_buf_append(row, number, 8);
    } else if (type != CTL_P_NULL) {
        ctl_backup_put(number, s.len, 4);
        sv_buf_append(row, number, 4);
        sv_buf_append(row, s.ptr, s.len);
    }
}

static int write_rows(struct writer *w, struct sv_err *err, struct ctl_sql *sql, const char *table)
{
    struct sv_buf row;
    char text[128];
    int r;

    snprintf(text, sizeof text, "select * from %s", table);
    r = ctl_sql_run(sql, err, text, CTL_NO_PARAMS);
    if (r < 0)
        return r;
    sv_buf_init(&row, CTL_SECTION_ROW_MAX);
    for (unsigned i = 0; i < ctl_sql_columns(sql); i++)
        sv_buf_append(&row, ctl_sql_name(sql, i), strlen(ctl_sql_name(sql, i)) + 1);
    r = write_section(w, err, 'C', table, row.data, row.len);
    while (r == 0 && (r = ctl_sql_next(sql, err)) > 0) {
        sv_buf_clear(&row);
        for (unsigned i = 0; i < ctl_sql_columns(sql); i++)
            put_cell(&row, sql, i);
        r = row.failed ? sv_fail_nomem(err, "a row of the backup")
                       : write_section(w, err, 'R', "", row.data, row.len);
    }
    sv_buf_release(&row);
    return r;
}

static int put_section(void *data, struct sv_err *err, char type, const char *name,
                       const void *bytes, size_t len)
{
    return write_section(data, err, type, name, bytes, len);
}

static int write_tables(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct writer *w = data;
    char table[64];
    bool serial;
    int r;

    w->sha = w->sha_at_start;
    if (fseeko(w->file, (off_t)w->start, SEEK_SET) < 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot write the backup: %s", strerror(errno));
    r = write_rows(w, err, sql, "meta");
    for (unsigned n = 0; r == 0 && ctl_schema_table(n, table, &serial); n++)
        if (strcmp(table, "nodes") != 0)
            r = write_rows(w, err, sql, table);
    if (r == 0 && w->with_sql && ctl_db_is_shared(w->server->db))
        r = ctl_backup_write_schemas(sql, err, &(struct ctl_backup_to){put_section, w});
    return r;
}

static int write_all(struct writer *w, struct sv_err *err, bool key)
{
    char version[16];
    uint8_t digest[SV_SHA256_LEN];
    const char *magic = ctl_db_is_shared(w->server->db) ? CTL_BACKUP_MAGIC_SQL : CTL_BACKUP_MAGIC;
    int r = write_bytes(w, err, magic, strlen(magic));

    snprintf(version, sizeof version, "%u", ctl_schema_version());
    if (r == 0)
        r = write_section(w, err, 'V', "", version, strlen(version));
    w->start = (uint64_t)ftello(w->file);
    w->sha_at_start = w->sha;
    /* Rows before files: what a row names is there by then. */
    if (r == 0)
        r = ctl_db_read(w->server->db, err, write_tables, w);
    if (r == 0 && w->with_sql)
        r = write_tenants(w, err);
    if (r == 0)
        r = write_folder(w, err, w->server->data_fd, ".", "", 0);
    if (r == 0 && key)
        r = write_file(w, err, w->server->data_fd, "key", "key");
    if (r < 0)
        return r;
    r = begin_section(w, err, 'E', "", sizeof digest);
    sv_sha256_end(&w->sha, digest);
    if (r == 0 && fwrite(digest, sizeof digest, 1, w->file) != 1)
        r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot write the backup: %s", strerror(errno));
    return r;
}

/* The folder that a path is in, flushed: a rename in it is there after a power cut. */
static void flush_folder(const char *path)
{
    char folder[PATH_TEXT];
    const char *slash = strrchr(path, '/');
    int fd;

    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path + 1) : 1,
             slash ? path : ".");
    fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        (void)fsync(fd);
        close(fd);
    }
}

int ctl_backup_write(struct ctl_server *server, struct sv_err *err, const char *path, bool key,
                     bool without_sql)
{
    struct writer w = {.server = server, .with_sql = !without_sql};
    char temporary[PATH_TEXT];
    struct stat st;
    int fd, r;

    if (snprintf(temporary, sizeof temporary, "%s.part", path) >= PATH_TEXT)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "the backup's name is too long");
    unlink(temporary);
    fd = open(temporary, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    w.file = fd < 0 ? NULL : fdopen(fd, "w+");
    if (!w.file || fstat(fd, &st) < 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot make '%s': %s", temporary,
                       strerror(errno));
    w.device = st.st_dev;
    w.inode = st.st_ino;
    sv_sha256_init(&w.sha);
    r = write_all(&w, err, key);
    if (r == 0 && (fflush(w.file) != 0 || ftruncate(fd, ftello(w.file)) < 0 || fsync(fd) < 0))
        r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot write the backup: %s", strerror(errno));
    fclose(w.file);
    if (r == 0 && rename(temporary, path) < 0)
        r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot make '%s': %s", path, strerror(errno));
    if (r < 0)
        unlink(temporary);
    else
        flush_folder(path);
    return r;
}
