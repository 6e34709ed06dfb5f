/* Reading backups (backup.c has their form): checking one, and putting it back. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "control/backup.h"
#include "control/backup_file.h"
#include "control/schema.h"

#define COLUMNS_MAX 60

int ctl_backup_not_whole(struct sv_err *err)
{
    return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET,
                   "this is no backup, or it is damaged: nothing of it is used");
}

int ctl_backup_read_head(struct ctl_reader *in, struct sv_err *err)
{
    unsigned char head[CTL_SECTION_HEAD];
    uint64_t nname;

    if (fread(head, sizeof head, 1, in->file) != 1)
        return ctl_backup_not_whole(err);
    in->type = (char)head[0];
    nname = ctl_backup_get(head + 1, 4);
    in->len = ctl_backup_get(head + 5, 8);
    if (nname > CTL_SECTION_NAME_MAX || (nname && fread(in->name, nname, 1, in->file) != 1))
        return ctl_backup_not_whole(err);
    in->name[nname] = '\0';
    if (in->len > in->end - (uint64_t)ftello(in->file))
        return ctl_backup_not_whole(err);
    return 0;
}

int ctl_backup_read_bytes(struct ctl_reader *in, struct sv_err *err, struct sv_buf *to)
{
    sv_buf_clear(to);
    if (in->len > CTL_SECTION_ROW_MAX || !sv_buf_reserve(to, in->len + 1))
        return sv_fail_nomem(err, "a row of the backup");
    if (in->len && fread(to->data, in->len, 1, in->file) != 1)
        return ctl_backup_not_whole(err);
    to->len = in->len;
    return 0;
}

int ctl_backup_skip(struct ctl_reader *in, struct sv_err *err)
{
    return fseeko(in->file, (off_t)in->len, SEEK_CUR) < 0 ? ctl_backup_not_whole(err) : 0;
}

static int go_to_start(struct ctl_reader *in, struct sv_err *err)
{
    return fseeko(in->file, (off_t)strlen(CTL_BACKUP_MAGIC), SEEK_SET) < 0
               ? ctl_backup_not_whole(err)
               : 0;
}

static int open_backup(struct ctl_reader *in, struct sv_err *err, const char *path)
{
    char magic[sizeof CTL_BACKUP_MAGIC];
    struct stat st;

    in->file = fopen(path, "re");
    if (!in->file || fstat(fileno(in->file), &st) < 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot open '%s': %s", path, strerror(errno));
    in->end = (uint64_t)st.st_size;
    if (fread(magic, sizeof magic - 1, 1, in->file) != 1 ||
        (memcmp(magic, CTL_BACKUP_MAGIC, sizeof magic - 1) != 0 &&
         memcmp(magic, CTL_BACKUP_MAGIC_SQL, sizeof magic - 1) != 0))
        return ctl_backup_not_whole(err);
    return 0;
}

static void close_backup(struct ctl_reader *in)
{
    if (in->file)
        fclose(in->file);
}

/* The digest over all but itself. */
static int check_digest(struct ctl_reader *in, struct sv_err *err)
{
    uint8_t digest[SV_SHA256_LEN], told[SV_SHA256_LEN];
    char bytes[65536];
    struct sv_sha256 sha;
    uint64_t left = in->end - SV_SHA256_LEN;
    size_t n;

    rewind(in->file);
    sv_sha256_init(&sha);
    while (left > 0) {
        n = fread(bytes, 1, left < sizeof bytes ? left : sizeof bytes, in->file);
        if (n == 0)
            return ctl_backup_not_whole(err);
        sv_sha256_add(&sha, bytes, n);
        left -= n;
    }
    sv_sha256_end(&sha, digest);
    if (fread(told, sizeof told, 1, in->file) != 1 || memcmp(told, digest, sizeof told) != 0)
        return ctl_backup_not_whole(err);
    return 0;
}

static int check(struct ctl_reader *in, struct sv_err *err)
{
    int r;

    do {
        r = ctl_backup_read_head(in, err);
        if (r == 0 && in->type != 'E')
            r = ctl_backup_skip(in, err);
    } while (r == 0 && in->type != 'E');
    if (r == 0 &&
        (in->len != SV_SHA256_LEN || (uint64_t)ftello(in->file) != in->end - SV_SHA256_LEN))
        r = ctl_backup_not_whole(err);
    return r < 0 ? r : check_digest(in, err);
}

int ctl_backup_verify(struct sv_err *err, const char *path)
{
    struct ctl_reader in = {0};
    int r = open_backup(&in, err, path);

    if (r == 0)
        r = check(&in, err);
    close_backup(&in);
    return r;
}

/* ---- Files ---- */

/* A tenant's database in SQLite. */
static bool is_sql_file(const char *path)
{
    return strncmp(path, "sql/", 4) == 0;
}

static bool is_inside(const char *path)
{
    if (path[0] == '/' || path[0] == '\0')
        return false;
    for (const char *p = path; p; p = strchr(p, '/') ? strchr(p, '/') + 1 : NULL)
        if (strncmp(p, "..", 2) == 0 && (p[2] == '/' || p[2] == '\0'))
            return false;
    return true;
}

/* Anybody may have written the backup: native code, a database or a lock of its own is not taken
 * from there. */
static bool is_taken(const char *path, bool without_sql)
{
    if (is_sql_file(path))
        return !without_sql;
    return strcmp(path, "key") == 0 || !is_inside(path) || !ctl_backup_leaves_out(path);
}

static void make_folders(int data_fd, const char *path)
{
    char folder[CTL_SECTION_NAME_MAX + 1];

    for (const char *slash = path; (slash = strchr(slash, '/')); slash++) {
        snprintf(folder, sizeof folder, "%.*s", (int)(slash - path), path);
        (void)mkdirat(data_fd, folder, 0700);
    }
}

static int copy_out(struct ctl_reader *in, struct sv_err *err, int fd)
{
    char bytes[65536];

    for (uint64_t left = in->len; left > 0;) {
        size_t n = fread(bytes, 1, left < sizeof bytes ? left : sizeof bytes, in->file);

        if (n == 0)
            return ctl_backup_not_whole(err);
        if (write(fd, bytes, n) != (ssize_t)n)
            return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot write '%s': %s", in->name,
                           strerror(errno));
        left -= n;
    }
    if (fsync(fd) < 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot write '%s': %s", in->name,
                       strerror(errno));
    return 0;
}

static int restore_file(struct ctl_server *server, struct ctl_reader *in, struct sv_err *err)
{
    char temporary[64];
    int fd, r;

    if (!is_inside(in->name))
        return ctl_backup_not_whole(err);
    make_folders(server->data_fd, in->name);
    snprintf(temporary, sizeof temporary, ".restore.%d", (int)getpid());
    fd = openat(server->data_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot write to '%s': %s", server->data,
                       strerror(errno));
    r = copy_out(in, err, fd);
    close(fd);
    if (r == 0 && renameat(server->data_fd, temporary, server->data_fd, in->name) < 0)
        r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot make '%s': %s", in->name, strerror(errno));
    if (r < 0)
        unlinkat(server->data_fd, temporary, 0);
    return r;
}

/* ---- Rows ---- */

struct rows {
    struct ctl_reader *in;
    struct sv_buf insert, bytes;
    unsigned columns;
    bool is_meta;
};

/* Names of columns become part of a statement: words only. */
static bool is_word(const char *s)
{
    size_t n = strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789_");

    return n > 0 && n < 64 && s[n] == '\0';
}

/* Whatever other tables the database may have. */
static bool is_table(const char *name)
{
    char table[64];
    bool serial;

    for (unsigned n = 0; ctl_schema_table(n, table, &serial); n++)
        if (strcmp(table, name) == 0)
            return true;
    return strcmp(name, "meta") == 0;
}

static int take_columns(struct rows *rows, struct sv_err *err)
{
    int r = ctl_backup_read_bytes(rows->in, err, &rows->bytes);

    if (r < 0)
        return r;
    if (!is_table(rows->in->name))
        return ctl_backup_not_whole(err);
    rows->is_meta = strcmp(rows->in->name, "meta") == 0;
    rows->columns = 0;
    sv_buf_clear(&rows->insert);
    sv_buf_printf(&rows->insert, "insert into %s (", rows->in->name);
    for (const char *p = sv_buf_cstr(&rows->bytes);
         (size_t)(p - (char *)rows->bytes.data) < rows->bytes.len; p += strlen(p) + 1) {
        if (!is_word(p) || ++rows->columns > COLUMNS_MAX ||
            (rows->is_meta && rows->columns == 1 && strcmp(p, "key") != 0)) /* see take_row */
            return ctl_backup_not_whole(err);
        sv_buf_printf(&rows->insert, "%s%s", rows->columns > 1 ? ", " : "", p);
    }
    sv_buf_puts(&rows->insert, ") values (");
    for (unsigned i = 1; i <= rows->columns; i++)
        sv_buf_printf(&rows->insert, "%s$%u", i > 1 ? ", " : "", i);
    sv_buf_puts(&rows->insert,
                rows->is_meta ? ") on conflict (key) do update set value = excluded.value" : ")");
    return rows->insert.failed ? sv_fail_nomem(err, "a row of the backup") : 0;
}

static bool take_cell(const unsigned char **at, const unsigned char *end, struct ctl_param *ret)
{
    static const int types[] = {['t'] = CTL_P_TEXT, ['b'] = CTL_P_BLOB};
    unsigned char type;

    if (*at == end)
        return false;
    type = *(*at)++;
    *ret = CTL_NULL;
    if (type == 'n')
        return true;
    if (type == 'i' && end - *at >= 8) {
        *ret = CTL_INT(ctl_backup_get(*at, 8));
        *at += 8;
        return true;
    }
    if ((type != 't' && type != 'b') || end - *at < 4)
        return false;
    *ret = (struct ctl_param){.type = types[type], .len = ctl_backup_get(*at, 4)};
    *at += 4;
    ret->ptr = *at;
    if (ret->len > (size_t)(end - *at))
        return false;
    *at += ret->len;
    return true;
}

static int take_row(struct rows *rows, struct sv_err *err, struct ctl_sql *sql)
{
    struct ctl_param params[COLUMNS_MAX + 1];
    const unsigned char *at, *end;
    int r = ctl_backup_read_bytes(rows->in, err, &rows->bytes);

    if (r < 0)
        return r;
    at = rows->bytes.data;
    end = at + rows->bytes.len;
    for (unsigned i = 0; i < rows->columns; i++)
        if (!take_cell(&at, end, &params[i]))
            return ctl_backup_not_whole(err);
    if (at != end || rows->columns == 0)
        return ctl_backup_not_whole(err);
    params[rows->columns] = (struct ctl_param){.type = CTL_P_END};
    /* The schema's version is the database's own. */
    if (rows->is_meta && params[0].len == 6 && memcmp(params[0].ptr, "schema", 6) == 0)
        return 0;
    return ctl_sql_run(sql, err, sv_buf_cstr(&rows->insert), params);
}

static int check_version(struct rows *rows, struct sv_err *err)
{
    unsigned long version;
    int r = ctl_backup_read_bytes(rows->in, err, &rows->bytes);

    if (r < 0)
        return r;
    version = strtoul(sv_buf_cstr(&rows->bytes), NULL, 10);
    if (version > ctl_schema_version())
        return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                       "the backup is of version %lu of the database, this program knows %u: use a "
                       "newer program",
                       version, ctl_schema_version());
    return 0;
}

/* Of a server that has only been started, whose tenant and token are not missed. */
static int check_empty(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    static const char *const of_a_start[] = {"nodes", "tenants", "tokens"};
    char table[64], text[128];
    bool serial;
    int r = 0;

    (void)data;
    for (unsigned n = 0; r == 0 && ctl_schema_table(n, table, &serial); n++) {
        bool skip = false;

        for (size_t i = 0; i < SV_COUNT(of_a_start); i++)
            skip |= strcmp(table, of_a_start[i]) == 0;
        if (skip)
            continue;
        snprintf(text, sizeof text, "select 1 from %s limit 1", table);
        r = ctl_sql_run(sql, err, text, CTL_NO_PARAMS);
        if (r == 0)
            r = ctl_sql_next(sql, err);
        if (r > 0)
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                           "the database has %s already: a backup goes into an empty one", table);
    }
    return r;
}

static int number_on(struct ctl_sql *sql, struct sv_err *err)
{
    char table[64];
    bool serial;
    int r = 0;

    for (unsigned n = 0; r == 0 && ctl_schema_table(n, table, &serial); n++)
        if (serial)
            r = ctl_sql_renumber(sql, err, table);
    return r;
}

static int restore_rows(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct rows *rows = data;
    int r = check_empty(sql, err, NULL);

    if (r == 0)
        r = ctl_sql_run(sql, err, "delete from tenants", CTL_NO_PARAMS);
    if (r == 0)
        r = ctl_sql_run(sql, err, "delete from tokens", CTL_NO_PARAMS);
    if (r == 0)
        r = go_to_start(rows->in, err);
    rows->columns = 0;
    while (r == 0 && (r = ctl_backup_read_head(rows->in, err)) == 0 && rows->in->type != 'E') {
        if (rows->in->type == 'V')
            r = check_version(rows, err);
        else if (rows->in->type == 'C')
            r = take_columns(rows, err);
        else if (rows->in->type == 'R')
            r = take_row(rows, err, sql);
        else
            r = ctl_backup_skip(rows->in, err);
    }
    return r < 0 ? r : number_on(sql, err);
}

static int restore_files(struct ctl_server *server, struct ctl_reader *in, struct sv_err *err,
                         bool without_sql)
{
    int r;

    while ((r = ctl_backup_read_head(in, err)) == 0 && in->type != 'E') {
        if (in->type == 'F' && is_taken(in->name, without_sql))
            r = restore_file(server, in, err);
        else
            r = ctl_backup_skip(in, err);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : fsync(server->data_fd);
}

/* ---- Tenants' SQL ---- */

/* A database of SQLite is no schema of PostgreSQL: what functions say to it is not the same. */
static int check_kind(struct ctl_server *server, struct ctl_reader *in, struct sv_err *err)
{
    bool shared = ctl_db_is_shared(server->db);
    int r;

    while ((r = ctl_backup_read_head(in, err)) == 0 && in->type != 'E') {
        if (shared ? in->type == 'F' && is_sql_file(in->name) : in->type == CTL_SECTION_SQL)
            return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                           "tenants' SQL in the backup is of %s, which does not go into %s: with "
                           "--without-sql all else is restored",
                           shared ? "SQLite" : "PostgreSQL", shared ? "PostgreSQL" : "SQLite");
        r = ctl_backup_skip(in, err);
        if (r < 0)
            return r;
    }
    return r;
}

/* Files and schemas first: when the rows are there, so is what they name; cut off before, it can be
 * done again. */
int ctl_backup_restore(struct ctl_server *server, struct sv_err *err, const char *path,
                       bool without_sql)
{
    struct ctl_reader in = {0};
    struct rows rows = {.in = &in};
    int r = ctl_backup_verify(err, path);

    sv_buf_init(&rows.insert, 1U << 16);
    sv_buf_init(&rows.bytes, CTL_SECTION_ROW_MAX + 1);
    if (r == 0)
        r = open_backup(&in, err, path);
    if (r == 0)
        r = ctl_db_read(server->db, err, check_empty, NULL);
    if (r == 0 && !without_sql)
        r = check_kind(server, &in, err);
    if (r == 0)
        r = go_to_start(&in, err);
    if (r == 0)
        r = restore_files(server, &in, err, without_sql);
#ifdef CTL_HAS_PQ
    if (r == 0 && !without_sql && ctl_db_is_shared(server->db)) {
        r = go_to_start(&in, err);
        if (r == 0)
            r = ctl_backup_restore_schemas(server, err, &in);
    }
#endif
    if (r == 0)
        r = ctl_db_write(server->db, err, restore_rows, &rows);
    sv_buf_release(&rows.insert);
    sv_buf_release(&rows.bytes);
    close_backup(&in);
    return r;
}
