/* Backups that anybody may have written, and databases with what the server
 * never wrote: a file is made of sections with bent names, rows and lengths,
 * mostly with the right digest, and restored into an empty folder. It is
 * refused with a reason, and no row is there; or it is restored, and then the
 * parts of the control process work on these rows. */
#include <fcntl.h>
#include <ftw.h>
#include <jansson.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "control.h"
#include "control/backup.h"
#include "control/backup_file.h"
#include "control/dispatch.h"
#include "control/key.h"
#include "control/part.h"
#include "control/publish.h"
#include "control/registry.h"
#include "control/route.h"
#include "control/schema.h"
#include "input.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

#define SECTIONS_MAX 24
#define TABLES_MAX 40
#define COLUMNS_MAX 24
#define FILE_MAX (1U << 20)

static struct ctl_server *first; /* whose parts are used */
static struct input in;
static unsigned number; /* of rows */
static bool bends;      /* heads of sections tell what is not so */
static unsigned ticks;
static char folder[64], file[80], token[CTL_TOKEN_TEXT];
static char empty[1U << 20]; /* a database without rows */
static size_t empty_len;
static uint8_t token_digest[SV_SHA256_LEN];

/* The tables of the schema. */
static struct {
    char name[64];
    char columns[COLUMNS_MAX][64];
    unsigned ncolumns;
} tables[TABLES_MAX];
static unsigned ntables;

/* ---- A file ---- */

static const char *const words[] = {
    "alpha",
    "beta",
    "default",
    "f",
    "g",
    "1",
    "",
    "shared",
    "process",
    "read,admin",
    "admin",
    "*",
    "{}",
    "{\"memory\":1}",
    "{\"storage\":-1,\"memory\":\"x\"}",
    "[]",
    "[{\"name\":\"a\"}]",
    "null",
    "name: f\nmodule: f.wasm\n",
    "name: f\nstatic:\n  dir: s\nroutes: [/a]\n",
    "name: '",
    "waiting",
    "running",
    "dead",
    "@hourly",
    "every 1s",
    "* * * * x",
    "\xff\xfe",
    "a\0b",
    "\xed\xa0\x80",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
    "-1",
    "../x",
    "a/b",
    "{\"hostname\":\"a\"}",
    "schema",
    "key",
    "value",
    "{\"message\":\"x\",\"backtrace\":[]}",
};

static struct sv_str take_text(void)
{
    return take_word(&in, words, SV_COUNT(words));
}

static void put_number(struct sv_buf *to, uint64_t n, unsigned bytes)
{
    unsigned char le[8];

    ctl_backup_put(le, n, bytes);
    sv_buf_append(to, le, bytes);
}

static void put_section(struct sv_buf *to, char type, struct sv_str name, struct sv_str bytes)
{
    bool bent = bends && take(&in, 1) > 230;

    sv_buf_putc(to, type);
    put_number(to, bent ? take(&in, 4) : name.len, 4);
    put_number(to, bent ? take(&in, 8) : bytes.len, 8);
    sv_buf_append(to, name.ptr, name.len);
    sv_buf_append(to, bytes.ptr, bytes.len);
}

static void put_cell(struct sv_buf *row)
{
    unsigned c = (unsigned)take(&in, 1);
    struct sv_str s;

    if (c < 20) {
        sv_buf_putc(row, 'n');
    } else if (c < 120) {
        sv_buf_putc(row, 'i');
        put_number(row, c < 100 ? c % 8 : take(&in, 1 + c % 8), 8);
    } else if (c < 252) {
        s = take_text();
        sv_buf_putc(row, c < 230 ? 't' : 'b');
        put_number(row, s.len, 4);
        sv_buf_append(row, s.ptr, s.len);
    } else {
        s = take_text();
        sv_buf_append(row, s.ptr, s.len);
    }
}

static bool is_among(const char *name, const char *const *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i], name) == 0)
            return true;
    }
    return false;
}

/* The type that the column has, mostly. */
static void put_fitting(struct sv_buf *row, const char *table, const char *column)
{
    static const char *const blobs[] = {"body",  "bytes",     "ciphertext",
                                        "nonce", "admin_key", "usage_key"};
    static const char *const numbers[] = {
        "_ms",    "id",       "number", "weight", "size",     "activated", "deleted", "minute",
        "calls",  "errors",   "gas",    "bytes_", "_ns",      "version",   "entries", "attempts",
        "origin", "position", "ring",   "missed", "rejected", "status",    "schema"};
    static const char *const of_blobs[] = {"kv", "blobs", "ephemeral"};
    bool blob = is_among(column, blobs, SV_COUNT(blobs)) ||
                (strcmp(table, "tokens") == 0 && strcmp(column, "digest") == 0) ||
                (strcmp(table, "kv") == 0 && strcmp(column, "key") == 0) ||
                (is_among(table, of_blobs, SV_COUNT(of_blobs)) && strcmp(column, "value") == 0);
    bool is_number = strcmp(table, "kv_usage") == 0 && strcmp(column, "bytes") == 0;
    unsigned c = (unsigned)take(&in, 1);
    struct sv_str s;

    for (size_t i = 0; !blob && i < SV_COUNT(numbers); i++)
        is_number = is_number || strstr(column, numbers[i]);
    if (strcmp(column, "request_id") == 0)
        is_number = false;
    if (c > 252) {
        put_cell(row);
    } else if (is_number) {
        sv_buf_putc(row, 'i');
        put_number(row, c < 230 ? number++ % 32 : take(&in, 1 + c % 8), 8);
    } else {
        s = take_text();
        sv_buf_putc(row, blob ? 'b' : 't');
        put_number(row, s.len, 4);
        sv_buf_append(row, s.ptr, s.len);
    }
}

static struct sv_str str_of_buf(const struct sv_buf *b)
{
    return (struct sv_str){b->len ? (const char *)b->data : "", b->len};
}

/* A table's columns, and some rows of it. */
static void put_table(struct sv_buf *to)
{
    unsigned t = (unsigned)take(&in, 1) % ntables, n = (unsigned)take(&in, 1), rows;
    struct sv_buf part;

    sv_buf_init(&part, FILE_MAX);
    for (unsigned i = 0; i < tables[t].ncolumns; i++)
        sv_buf_append(&part, tables[t].columns[i], strlen(tables[t].columns[i]) + 1);
    if (n == 255)
        put_cell(&part);
    put_section(to, 'C', sv_str_of(tables[t].name), str_of_buf(&part));
    rows = n % 4 + 1;
    for (unsigned r = 0; r < rows; r++) {
        sv_buf_clear(&part);
        for (unsigned i = 0; i < tables[t].ncolumns; i++)
            put_fitting(&part, tables[t].name, tables[t].columns[i]);
        put_section(to, 'R', sv_str_of(""), str_of_buf(&part));
    }
    sv_buf_release(&part);
}

static void put_file(struct sv_buf *to)
{
    static const char *const names[] = {
        "blobs/a.wasm", "key",  "ssvm.db", "ssvm.db-wal", "cache/a",    "lock",
        "sql/alpha",    "../x", "/x",      "a/../../x",   "rings/a",    "node",
        "log/a",        ".",    "a/",      "admin-token", "static/a/b",
    };
    unsigned c = (unsigned)take(&in, 1);
    struct sv_str name = c < 230   ? sv_str_of(names[c % 2])
                         : c < 250 ? sv_str_of(names[c % SV_COUNT(names)])
                                   : take_text();

    put_section(to, 'F', name, take_text());
}

static void make_file(struct sv_buf *to)
{
    uint8_t digest[SV_SHA256_LEN];
    unsigned c = (unsigned)take(&in, 1), end = (unsigned)take(&in, 1);
    char version[16];
    struct sv_sha256 sha;

    sv_buf_puts(to, c & 1 ? CTL_BACKUP_MAGIC : CTL_BACKUP_MAGIC_SQL);
    bends = c > 200;
    snprintf(version, sizeof version, "%u", c < 250 ? ctl_schema_version() : c);
    put_section(to, 'V', sv_str_of(""), sv_str_of(version));
    for (unsigned i = 0; i < SECTIONS_MAX && in.len > 0; i++) {
        c = (unsigned)take(&in, 1);
        if (c < 220)
            put_table(to);
        else if (c < 253)
            put_file(to);
        else
            put_section(to, "FCRVSBTPAX"[c % 10], take_text(), take_text());
    }
    sv_buf_putc(to, 'E');
    put_number(to, 0, 4);
    put_number(to, SV_SHA256_LEN, 8);
    sv_sha256_init(&sha);
    sv_sha256_add(&sha, to->data, to->len);
    sv_sha256_end(&sha, digest);
    sv_buf_append(to, digest, sizeof digest);
    if (end > 252) /* cut, or turned */
        to->len = to->len * (end & 1) / 2;
}

static void write_file(const char *path, const void *bytes, size_t len)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    fuzz_check(fd >= 0 && write(fd, bytes, len) == (ssize_t)len, "no file");
    close(fd);
}

/* ---- A server without anything ---- */

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    (void)remove(path);
    return 0;
}

static void open_server(struct ctl_server *s)
{
    struct sv_err err = {0};
    char url[96];

    memcpy(s, first, sizeof *s);
    fuzz_check(mkdir(folder, 0700) == 0, "no folder");
    snprintf(url, sizeof url, "%s/ssvm.db", folder);
    if (empty_len > 0)
        write_file(url, empty, empty_len);
    s->data = folder;
    s->data_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    s->registry = NULL;
    snprintf(url, sizeof url, "sqlite:%s/ssvm.db", folder);
    fuzz_check(ctl_db_open(&err, url, &s->db) == 0, err.text);
}

/* ---- Refused: nothing of it is there ---- */

static int count_rows(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    char text[128];
    int r = 0;

    (void)data;
    for (unsigned i = 0; r == 0 && i < ntables; i++) {
        if (strcmp(tables[i].name, "meta") == 0)
            continue;
        snprintf(text, sizeof text, "select count(*) from %s", tables[i].name);
        r = ctl_sql_run(sql, err, text, CTL_NO_PARAMS);
        fuzz_check(r == 0 && ctl_sql_next(sql, err) == 1, err->text);
        fuzz_check(ctl_sql_int(sql, 0) == 0, "a row of a backup that was refused");
    }
    return r;
}

/* What a server makes itself is in no backup: code that runs, and what other
 * processes have open.
 */
static void check_folder(struct ctl_server *s, const struct stat *before)
{
    static const char *const others[] = {"cache", "log", "rings", "lock", "node", "admin-token"};
    struct stat st;

    fuzz_check(fstatat(s->data_fd, "ssvm.db", &st, 0) == 0 && st.st_ino == before->st_ino,
               "the database is another file");
    for (size_t i = 0; i < SV_COUNT(others); i++)
        fuzz_check(fstatat(s->data_fd, others[i], &st, AT_SYMLINK_NOFOLLOW) < 0, others[i]);
}

/* ---- Restored: the parts work with it ---- */

static int read_version(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    int r = ctl_sql_run(sql, err, "select cast(value as {int}) from meta where key = 'schema'",
                        CTL_NO_PARAMS);

    (void)data;
    fuzz_check(r == 0 && ctl_sql_next(sql, err) == 1, "no version");
    fuzz_check(ctl_sql_int(sql, 0) == (int64_t)ctl_schema_version(), "another version");
    return 0;
}

static int add_token(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    (void)data;
    return ctl_sql_run(sql, err,
                       "insert into tokens (tenant, name, digest, scopes, "
                       "created_ms) values ('*', "
                       "'fuzz', $1, 'admin', 1) on conflict do nothing",
                       CTL_PARAMS(CTL_BLOB(token_digest, sizeof token_digest)));
}

static void get(struct ctl_server *s, const char *path)
{
    struct plat_message m, answer;
    struct sv_err err = {0};
    struct sv_str body, type;
    json_error_t error;
    char fields[120];
    uint64_t status = 0;
    json_t *json;

    snprintf(fields, sizeof fields, "Authorization: Bearer %s\r\n", token);
    plat_message_init(&m, PLAT_FORWARD);
    plat_message_init(&answer, PLAT_FORWARD);
    plat_put_str(&m, PLAT_TAG_METHOD, "GET");
    plat_put_str(&m, PLAT_TAG_PATH, path);
    plat_put_str(&m, PLAT_TAG_FIELDS, fields);
    plat_put_str(&m, PLAT_TAG_PEER, "127.0.0.1");
    fuzz_check(ctl_api_forward(s, &err, &m, &answer) == 0, err.text);
    plat_get_u64(&answer, PLAT_TAG_STATUS, &status);
    body = plat_get(&answer, PLAT_TAG_BODY);
    type = plat_get(&answer, PLAT_TAG_TEXT);
    if (status >= 500)
        fprintf(stderr, "fuzz: %s: %.*s\n", path, (int)body.len, body.ptr);
    fuzz_check(status < 500, "a failure of the server's own");
    if (sv_str_eq(type, sv_str_of("application/json"))) {
        json = json_loadb(body.ptr, body.len,
                          JSON_ALLOW_NUL | JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL, &error);
        fuzz_check(json != NULL, path);
        json_decref(json);
    }
    plat_message_release(&m);
    plat_message_release(&answer);
}

/* Each route that only looks, of these names. */
static void look_at_all(struct ctl_server *s)
{
    static const char *const names[][2] = {
        {"{tenant}", "alpha"}, {"{function}", "f"}, {"{id}", "1"},
        {"{request}", "1"},    {"{key}", "key"},
    };
    const struct ctl_route *routes;
    char path[256];
    size_t n;

    routes = ctl_routes(&n);
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;

        if (strcmp(routes[i].method, "GET") != 0 || strstr(routes[i].path, "dashboard"))
            continue;
        for (const char *p = routes[i].path; *p; p++) {
            size_t k = 0;

            while (k < SV_COUNT(names) && strncmp(p, names[k][0], strlen(names[k][0])) != 0)
                k++;
            if (k == SV_COUNT(names)) {
                path[at++] = *p;
                continue;
            }
            at += (size_t)snprintf(path + at, sizeof path - at, "%s", names[k][1]);
            p += strlen(names[k][0]) - 1;
        }
        path[at] = '\0';
        get(s, path);
    }
}

static void work(struct ctl_server *s)
{
    struct sv_err err = {0};

    fuzz_check(ctl_db_read(s->db, &err, read_version, NULL) == 0, err.text);
    fuzz_check(ctl_db_write(s->db, &err, add_token, NULL) == 0, err.text);
    if (ctl_registry_start(s, &err) < 0) {
        fuzz_check(err.text[0] != '\0', "refused without a reason");
        return;
    }
    fuzz_check(ctl_publish_start(s, &err) == 0 && ctl_publisher_start(s, &err) == 0, err.text);
    ctl_publish_wait(s); /* there is a table, whatever is in the rows */
    ctl_publisher_stop(s);
    ctl_publish_stop(s);
    look_at_all(s);
    for (unsigned i = 0; i < ticks; i++)
        fuzz_control_tick(s, i);
    ctl_registry_stop(s);
    fuzz_control_forget(ticks);
}

/* ---- Begin ---- */

static int read_columns(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    bool serial;
    int r = 0;

    (void)data;
    for (ntables = 0;
         ntables < TABLES_MAX && ctl_schema_table(ntables, tables[ntables].name, &serial);
         ntables++) {
        r = ctl_sql_run(sql, err, "select name from pragma_table_info($1)",
                        CTL_PARAMS(CTL_TEXT(tables[ntables].name)));
        while (r == 0 && ctl_sql_next(sql, err) > 0 && tables[ntables].ncolumns < COLUMNS_MAX) {
            struct sv_str s = ctl_sql_str(sql, 0);

            snprintf(tables[ntables].columns[tables[ntables].ncolumns++], 64, "%.*s", (int)s.len,
                     s.ptr);
        }
    }
    return r;
}

/* Its schema is made once. */
static void keep_empty(void)
{
    struct ctl_server s;
    char path[96];
    int fd;

    open_server(&s);
    ctl_db_close(s.db);
    snprintf(path, sizeof path, "%s/ssvm.db", folder);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    empty_len = (size_t)read(fd, empty, sizeof empty);
    fuzz_check(empty_len > 4096 && empty_len < sizeof empty, "no database");
    close(fd);
    close(s.data_fd);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    struct sv_err err = {0};

    (void)argc, (void)argv;
    first = fuzz_control_start();
    ticks = fuzz_control_ticks();
    snprintf(folder, sizeof folder, "%s/to", first->data);
    snprintf(file, sizeof file, "%s/from", first->data);
    fuzz_check(ctl_token_make(&err, token, token_digest) == 0, err.text);
    fuzz_check(ctl_db_read(first->db, &err, read_columns, NULL) == 0, err.text);
    fuzz_check(ntables > 10, "no tables");
    keep_empty();
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ctl_server s;
    struct sv_err err = {0};
    struct stat before;
    struct sv_buf made;
    int r;

    in = (struct input){data, size};
    number = 1;
    sv_buf_init(&made, 8 * FILE_MAX);
    if (take(&in, 1) < 10)
        sv_buf_append(&made, in.p, in.len);
    else
        make_file(&made);
    write_file(file, made.data, made.len);
    sv_buf_release(&made);
    open_server(&s);
    fuzz_check(fstatat(s.data_fd, "ssvm.db", &before, 0) == 0, "no database");
    r = ctl_backup_restore(&s, &err, file, false);
    check_folder(&s, &before);
    if (r < 0) {
        fuzz_check(err.text[0] != '\0', "refused without a reason");
        err = (struct sv_err){0};
        fuzz_check(ctl_db_read(s.db, &err, count_rows, NULL) == 0, err.text);
    } else {
        work(&s);
    }
    ctl_db_close(s.db);
    close(s.data_fd);
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    fuzz_control_count();
    return 0;
}
