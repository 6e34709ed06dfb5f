/* Static files. What lies outside the site's folder is not reachable, whatever links there are;
 * what begins with a dot is not served. */
#include "serve/site.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "serve/call.h"
#include "serve/loop.h"

#define NS_PER_MS 1000000U
#define OPEN_TRIES 4   /* of openat2, which gives up when somebody renames beside it */
#define FIELDS_MAX 512 /* bytes of a file's own fields */
#define INDEX "index.html"
#define SUFFIX_MAX 3 /* bytes that a variant's name is longer */
#define HASH_MIN 8   /* characters of a hash in a file's name */
#define FOREVER "public, max-age=31536000, immutable"
#define SOME_TIME                                                                                  \
    2 /* seconds that must lie between a file's change and a Last-Modified that we compare with */

/* Forms of a file that lie beside it, made by whoever built the site; the best first. */
enum coding { CODING_BR, CODING_GZIP, CODING_NONE };
static const struct {
    const char *name, *suffix;
} codings[CODING_NONE] = {[CODING_BR] = {"br", ".br"}, [CODING_GZIP] = {"gzip", ".gz"}};

struct srv_site_file {
    struct srv_site_file *prev, *next; /* by use */
    uint32_t refs;                     /* the table's, and those of replies that are being sent */
    uint32_t place;
    enum coding coding; /* that it is a form of another file in */
    unsigned variants;  /* forms that lie beside it, 1 << enum coding */
    uint64_t checked_ns;
    struct stat st;
    const char *type;
    size_t size; /* of bytes */
    uint32_t netag, nfields;
    char etag[64];
    char fields[FIELDS_MAX]; /* ETag, Last-Modified and the like, as lines */
    char path[SRV_PATH_MAX + sizeof INDEX + SUFFIX_MAX];
    char bytes[];
};

static const struct {
    const char *extension, *type;
} types[] = {
#define MIME(extension, type) {extension, type},
#include "serve/mime.def"
#undef MIME
};

static const char *type_of(const char *path, enum coding coding)
{
    size_t len = strlen(path) - (coding == CODING_NONE ? 0 : strlen(codings[coding].suffix));
    const char *dot = memrchr(path, '.', len), *end = path + len;

    for (size_t i = 0; dot && i < sizeof types / sizeof types[0]; i++) {
        size_t n = strlen(types[i].extension);

        if ((size_t)(end - dot - 1) == n && strncasecmp(dot + 1, types[i].extension, n) == 0)
            return types[i].type;
    }
    return "application/octet-stream";
}

/* Whether a name carries a hash before its extension, as bundlers write it: 8 or more characters
 * behind '.' or '-', hexadecimal with letters and digits, or capital and small letters and digits.
 */
static bool has_hash(const char *path, size_t len)
{
    const char *slash = memrchr(path, '/', len), *from, *end = memrchr(path, '.', len);
    unsigned digits = 0, small = 0, capital = 0, others = 0;

    if (!slash || !end || end < slash)
        return false;
    for (from = end; from > slash + 1 && from[-1] != '.' && from[-1] != '-'; from--) {
        char c = from[-1];

        digits += c >= '0' && c <= '9';
        small += c >= 'a' && c <= 'z';
        capital += c >= 'A' && c <= 'Z';
        others += !((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'));
    }
    if (end - from < HASH_MIN || from == slash + 1 || digits == 0 || small == 0)
        return false;
    return others == 0 || (capital > 0 && end - from == HASH_MIN);
}

/* ---- Opening ---- */

/* For kernels and jails without openat2: folder by folder, no links at all. */
static int open_stepwise(int dir, const char *path)
{
    char part[NAME_MAX + 1];
    int at = dir, next;

    for (;;) {
        size_t n = strcspn(path, "/");
        bool last = path[n] == '\0';

        if (n > NAME_MAX) {
            errno = ENAMETOOLONG;
            next = -1;
        } else {
            memcpy(part, path, n);
            part[n] = '\0';
            next = openat(at, n == 0 ? "." : part,
                          O_CLOEXEC | O_NOFOLLOW |
                              (last ? O_RDONLY | O_NONBLOCK | O_NOCTTY : O_PATH | O_DIRECTORY));
        }
        if (at != dir) {
            int saved = errno;

            close(at);
            errno = saved;
        }
        if (next < 0 || last)
            return next;
        at = next;
        path += n + 1;
    }
}

/* `path` is relative and canonical. */
static int open_beneath(int dir, const char *path)
{
    struct open_how how = {.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
                           .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS};
    long fd = -1;

    for (int i = 0; i < OPEN_TRIES; i++) {
        fd = syscall(SYS_openat2, dir, *path ? path : ".", &how, sizeof how);
        if (fd >= 0 || errno != EAGAIN)
            break;
    }
    if (fd < 0 && (errno == ENOSYS || errno == EPERM))
        return open_stepwise(dir, path);
    return (int)fd;
}

/* The folder may be replaced as a whole. */
static int site_dir(struct srv_site *site, uint64_t now_ns)
{
    if (site->dir_checked_ns == 0 ||
        now_ns - site->dir_checked_ns >= (uint64_t)SRV_SITE_CHECK_MS * NS_PER_MS) {
        int dir = openat(site->base, site->name, O_PATH | O_DIRECTORY | O_CLOEXEC);

        if (site->dir >= 0)
            close(site->dir);
        site->dir = dir;
        site->dir_checked_ns = now_ns;
    }
    return site->dir;
}

/* A segment that begins with a dot, other than the registered /.well-known/. */
static bool is_hidden(const char *path)
{
    if (strncmp(path, "/.well-known/", 13) == 0)
        path += 12;
    return strstr(path, "/.") != NULL;
}

/* ---- Files in memory ---- */

static void unlink_use(struct srv_site *site, struct srv_site_file *file)
{
    *(file->prev ? &file->prev->next : &site->first) = file->next;
    *(file->next ? &file->next->prev : &site->last) = file->prev;
}

static void link_use(struct srv_site *site, struct srv_site_file *file)
{
    file->prev = NULL;
    file->next = site->first;
    *(site->first ? &site->first->prev : &site->last) = file;
    site->first = file;
}

static void unref(char *held)
{
    struct srv_site_file *file = (struct srv_site_file *)held;

    if (--file->refs == 0)
        free(file);
}

static void forget(struct srv_site *site, struct srv_site_file *file)
{
    site->places[file->place] = NULL;
    unlink_use(site, file);
    site->used -= sizeof *file + file->size;
    unref((char *)file);
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino && a->st_size == b->st_size &&
           a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec &&
           a->st_ctim.tv_sec == b->st_ctim.tv_sec && a->st_ctim.tv_nsec == b->st_ctim.tv_nsec;
}

static uint32_t place_of(const char *path, enum coding coding)
{
    uint32_t h = 2166136261U ^ (uint32_t)coding;

    for (; *path; path++)
        h = (h ^ (unsigned char)*path) * 16777619U;
    return (h ^ h >> 16) % SRV_SITE_PLACES;
}

/* Its own fields, and its type. */
static void describe(const struct srv_site *site, struct srv_site_file *file, const char *path)
{
    const char *coding = file->coding == CODING_NONE ? NULL : codings[file->coding].name;
    size_t len = strlen(path) - (coding ? strlen(codings[file->coding].suffix) : 0);
    char date[32];
    uint64_t mtime =
        (uint64_t)file->st.st_mtim.tv_sec * 1000000000U + (uint64_t)file->st.st_mtim.tv_nsec;

    file->type = type_of(path, file->coding);
    file->netag = (uint32_t)snprintf(
        file->etag, sizeof file->etag, "\"%llx-%llx%s%s\"", (unsigned long long)mtime,
        (unsigned long long)file->st.st_size, coding ? "-" : "", coding ? coding : "");
    srv_date_format(file->st.st_mtim.tv_sec, date);
    file->nfields = (uint32_t)snprintf(
        file->fields, sizeof file->fields,
        "ETag: %s\r\nLast-Modified: %s\r\nCache-Control: %.200s\r\nAccept-Ranges: bytes\r\n"
        "X-Content-Type-Options: nosniff\r\n%s%s%s%s",
        file->etag, date,
        site->options.immutable && has_hash(path, len) ? FOREVER : site->options.caching,
        coding ? "Content-Encoding: " : "", coding ? coding : "", coding ? "\r\n" : "",
        coding || file->variants ? "Vary: Accept-Encoding\r\n" : "");
}

/* Which forms lie beside a file. */
static unsigned find_variants(const struct srv_site *site, const char *path)
{
    char name[SRV_PATH_MAX + sizeof INDEX + SUFFIX_MAX];
    size_t len = strlen(path);
    unsigned variants = 0;
    struct stat st;

    memcpy(name, path, len);
    for (enum coding c = 0; c < CODING_NONE; c++) {
        memcpy(name + len, codings[c].suffix, strlen(codings[c].suffix) + 1);
        if (fstatat(site->dir, name + 1, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode))
            variants |= 1U << c;
    }
    return variants;
}

/* All of a small file. NULL with errno ENOMEM, or EAGAIN: there is less of it than fstat said, as
 * it is being written. */
static struct srv_site_file *read_small(const struct srv_site *site, int fd, const struct stat *st,
                                        const char *path, enum coding coding)
{
    struct srv_site_file *file;
    size_t size = (size_t)st->st_size, n = 0;

    file = malloc(sizeof *file + size);
    if (!file)
        return NULL;
    while (n < size) {
        ssize_t got = pread(fd, file->bytes + n, size - n, (off_t)n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        n += (size_t)got;
    }
    if (n < size) {
        free(file);
        errno = EAGAIN;
        return NULL;
    }
    file->refs = 1;
    file->st = *st;
    file->size = size;
    file->coding = coding;
    file->variants = coding == CODING_NONE ? find_variants(site, path) : 0;
    memcpy(file->path, path, strlen(path) + 1);
    describe(site, file, path);
    return file;
}

static void keep(struct srv_site *site, struct srv_site_file *file, uint32_t place, uint64_t now_ns)
{
    if (site->places[place])
        forget(site, site->places[place]);
    file->place = place;
    file->checked_ns = now_ns;
    file->refs++;
    site->places[place] = file;
    site->used += sizeof *file + file->size;
    link_use(site, file);
    while (site->used > site->options.max_bytes && site->last)
        /* NOLINTNEXTLINE(clang-analyzer-unix.Malloc): unlinked before it is freed */
        forget(site, site->last);
}

/* Look at the disk again. False: it is something else. */
static bool is_current(struct srv_site *site, struct srv_site_file *file, uint64_t now_ns)
{
    int fd = site_dir(site, now_ns) >= 0 ? open_beneath(site->dir, file->path + 1) : -1;
    unsigned variants = file->variants;
    struct stat st;
    bool same = fd >= 0 && fstat(fd, &st) == 0 && same_file(&st, &file->st);

    if (fd >= 0)
        close(fd);
    if (same && file->coding == CODING_NONE)
        variants = find_variants(site, file->path);
    file->checked_ns = now_ns;
    if (variants == file->variants)
        return same;
    file->variants = variants;
    describe(site, file, file->path);
    return same;
}

/* A file in memory that is still what is on the disk, or NULL. */
static struct srv_site_file *find_kept(struct srv_site *site, const char *path, enum coding coding,
                                       uint32_t place, uint64_t now_ns)
{
    struct srv_site_file *file = site->places[place];

    if (!file || file->coding != coding || strcmp(file->path, path) != 0)
        return NULL;
    if (now_ns - file->checked_ns >= (uint64_t)SRV_SITE_CHECK_MS * NS_PER_MS &&
        !is_current(site, file, now_ns)) {
        forget(site, file);
        return NULL;
    }
    if (site->first != file) {
        unlink_use(site, file);
        link_use(site, file);
    }
    return file;
}

/* ---- Replies ---- */

/* Whether a list of entity tags has ours (compared weakly). */
static bool has_etag(const char *list, size_t len, const char *etag, size_t netag)
{
    struct srv_items items = {list, list + len};
    const char *item;
    size_t n;

    if (len == 1 && *list == '*')
        return true;
    while (srv_http_next_item(&items, &item, &n)) {
        if (n > 2 && item[0] == 'W' && item[1] == '/') {
            item += 2;
            n -= 2;
        }
        if (n == netag && memcmp(item, etag, netag) == 0)
            return true;
    }
    return false;
}

static bool is_unmodified(const struct srv_work *work, const struct srv_site_file *file)
{
    size_t len = 0;
    const char *value = srv_http_known(&work->http, work->in, SRV_KNOWN_IF_NONE_MATCH, &len);
    time_t since;

    if (value)
        return has_etag(value, len, file->etag, file->netag);
    value = srv_http_known(&work->http, work->in, SRV_KNOWN_IF_MODIFIED_SINCE, &len);
    since = value ? srv_date_read(value, len) : -1;
    return since >= 0 && file->st.st_mtim.tv_sec <= since;
}

/* If-Match and If-Unmodified-Since: the client speaks of another file (RFC 9110, 13.1.1). */
static bool is_other(const struct srv_work *work, const struct srv_site_file *file)
{
    size_t len = 0;
    const char *value = srv_http_known(&work->http, work->in, SRV_KNOWN_IF_MATCH, &len);
    time_t since;

    if (value)
        return !has_etag(value, len, file->etag, file->netag);
    value = srv_http_known(&work->http, work->in, SRV_KNOWN_IF_UNMODIFIED_SINCE, &len);
    since = value ? srv_date_read(value, len) : -1;
    return since >= 0 && file->st.st_mtim.tv_sec > since;
}

/* Digits up to `stop`; UINT64_MAX when there are none, or too many. */
static uint64_t read_position(const char **s, const char *end)
{
    uint64_t n = 0;
    const char *from = *s;

    for (; *s < end && **s >= '0' && **s <= '9'; (*s)++)
        n = n * 10 + (uint64_t)(**s - '0');
    return *s == from || *s - from > 18 ? UINT64_MAX : n;
}

enum range { RANGE_NONE, RANGE_OK, RANGE_BEYOND };

/* A single range; several, or anything odd, means the whole file (RFC 9110, 14.2). */
static enum range read_range(const struct srv_work *work, const struct srv_site_file *file,
                             uint64_t *ret_first, uint64_t *ret_len)
{
    size_t len = 0;
    const char *s = srv_http_known(&work->http, work->in, SRV_KNOWN_RANGE, &len), *end = s + len,
               *condition;
    uint64_t first, last, size = (uint64_t)file->st.st_size;

    if (!s || work->http.method != SRV_METHOD_GET || len < 8 || strncasecmp(s, "bytes=", 6) != 0)
        return RANGE_NONE;
    condition = srv_http_known(&work->http, work->in, SRV_KNOWN_IF_RANGE, &len);
    if (condition && (len != file->netag || memcmp(condition, file->etag, len) != 0))
        return RANGE_NONE;
    s += 6;
    first = read_position(&s, end);
    if (s == end || *s != '-')
        return RANGE_NONE;
    s++;
    last = read_position(&s, end);
    if (s != end || (first == UINT64_MAX && last == UINT64_MAX))
        return RANGE_NONE;
    if (first == UINT64_MAX) { /* the last bytes */
        if (last == 0 || size == 0)
            return RANGE_BEYOND;
        first = last < size ? size - last : 0;
        last = size - 1;
    }
    if (last != UINT64_MAX && last < first)
        return RANGE_NONE;
    if (first >= size)
        return RANGE_BEYOND;
    *ret_first = first;
    *ret_len = (last < size ? last + 1 : size) - first;
    return RANGE_OK;
}

/* The reply for a file, in memory or open at `fd` (which is taken). */
static void answer_file(struct srv_work *work, struct srv_site_file *file, int fd)
{
    struct srv_reply *reply = &work->reply;
    uint64_t first = 0, len = (uint64_t)file->st.st_size;
    char text[80];

    memcpy(reply->fields + reply->nfields, file->fields, file->nfields);
    reply->nfields += file->nfields;
    reply->file = fd;
    if (is_other(work, file)) {
        reply->status = 412;
        return;
    }
    if (is_unmodified(work, file)) {
        reply->status = 304;
        return;
    }
    switch (read_range(work, file, &first, &len)) {
    case RANGE_OK:
        reply->status = 206;
        snprintf(text, sizeof text, "bytes %llu-%llu/%llu", (unsigned long long)first,
                 (unsigned long long)(first + len - 1), (unsigned long long)file->st.st_size);
        srv_reply_field_str(reply, "Content-Range", text);
        break;
    case RANGE_BEYOND:
        reply->status = 416;
        snprintf(text, sizeof text, "bytes */%llu", (unsigned long long)file->st.st_size);
        srv_reply_field_str(reply, "Content-Range", text);
        return;
    default:
        break;
    }
    reply->type = file->type;
    reply->len = len;
    reply->offset = (int64_t)first;
    if (fd < 0) {
        file->refs++;
        srv_reply_hold(reply, file->type, (char *)file, (size_t)len, unref);
        reply->body = file->bytes + first;
    }
}

/* A large file, or one that there is no memory for: described for this reply alone, and sent from
 * the disk. */
static void answer_large(const struct srv_site *site, struct srv_conn *conn, int fd,
                         const struct stat *st, const char *path, enum coding coding)
{
    struct srv_site_file *file = malloc(sizeof *file);

    if (!file) {
        close(fd);
        srv_call_starve(conn);
        return;
    }
    file->st = *st;
    file->coding = coding;
    file->variants = coding == CODING_NONE ? find_variants(site, path) : 0;
    describe(site, file, path);
    answer_file(conn->work, file, fd);
    free(file);
}

/* A folder without its slash: send the browser there, for its relative links. */
static void redirect(struct srv_conn *conn)
{
    static const char hex[] = "0123456789ABCDEF";
    struct srv_work *work = conn->work;
    char location[3 * SRV_PATH_MAX + 2];
    size_t n = 0;

    for (const char *p = work->request.path; *p; p++) {
        unsigned char c = (unsigned char)*p;

        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
            strchr("/-._~!$&'()*+,;=:@", c)) {
            location[n++] = (char)c;
        } else {
            location[n++] = '%';
            location[n++] = hex[c >> 4];
            location[n++] = hex[c & 15];
        }
    }
    location[n++] = '/';
    work->reply.status = 301;
    srv_reply_field(&work->reply, "Location", location, n);
    if (work->reply.failed)
        srv_conn_fail(conn, 404, "not_found", "there is no such page");
}

static void fail_open(struct srv_conn *conn, int error)
{
    switch (error) {
    case EACCES:
        srv_conn_fail(conn, 403, "forbidden", "the server may not read this file");
        break;
    case EMFILE:
    case ENFILE:
    case ENOMEM:
    case EAGAIN:
        srv_conn_fail(conn, 503, "overloaded",
                      "the server has too many files open; try again shortly");
        srv_reply_field_str(&conn->work->reply, "Retry-After", "1");
        break;
    default:
        srv_conn_fail(conn, 404, "not_found", "there is no such page");
    }
}

/* Whether the client takes that form, by the first item that names it. */
static bool accepts(const char *list, size_t len, const char *coding)
{
    struct srv_items items = {list, list + len};
    const char *item;
    size_t n;

    while (srv_http_next_item(&items, &item, &n)) {
        size_t name = strcspn(item, "; \t,");
        const char *q = memmem(item, n, "q=", 2);

        name = name < n ? name : n;
        if (name != strlen(coding) || strncasecmp(item, coding, name) != 0)
            continue;
        /* "q=0", "q=0.000" */
        return !q || strspn(q + 2, "0.") < (size_t)(item + n - q - 2);
    }
    return false;
}

/* The form to answer with, of those that there are. A range is one of the file itself. */
static enum coding choose(const struct srv_work *work, unsigned variants)
{
    size_t len = 0;
    const char *list = srv_http_known(&work->http, work->in, SRV_KNOWN_ACCEPT_ENCODING, &len);

    if (!list || work->http.known[SRV_KNOWN_RANGE])
        return CODING_NONE;
    for (enum coding c = 0; c < CODING_NONE; c++) {
        if (variants & 1U << c && accepts(list, len, codings[c].name))
            return c;
    }
    return CODING_NONE;
}

static bool answer_as(struct srv_site *site, struct srv_conn *conn, const char *path,
                      enum coding coding, int *ret_error);

/* With a form of it that lies beside it. False: it is not there any more. */
static bool answer_variant(struct srv_site *site, struct srv_conn *conn, const char *path,
                           enum coding coding)
{
    char name[SRV_PATH_MAX + sizeof INDEX + SUFFIX_MAX];
    int ignored;

    snprintf(name, sizeof name, "%s%s", path, codings[coding].suffix);
    return answer_as(site, conn, name, coding, &ignored);
}

/* From the disk; a small file is then kept. */
static bool answer_from_disk(struct srv_site *site, struct srv_conn *conn, const char *path,
                             enum coding coding, uint32_t place, int *ret_error)
{
    struct srv_work *work = conn->work;
    struct srv_site_file *file;
    enum coding better;
    struct stat st;
    bool small;
    int fd = site_dir(site, conn->loop->now_ns) >= 0 ? open_beneath(site->dir, path + 1) : -1;

    *ret_error = site->dir < 0 ? ENOENT : errno;
    if (fd < 0)
        return false;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        *ret_error = S_ISDIR(st.st_mode) ? EISDIR : ENOENT;
        return false;
    }
    small = st.st_size <= SRV_SITE_FILE_MAX &&
            (uint64_t)st.st_size + sizeof *file <= site->options.max_bytes;
    file = small ? read_small(site, fd, &st, path, coding) : NULL;
    if (!file && small && errno != ENOMEM) {
        *ret_error = errno;
        close(fd);
        return false;
    }
    if (!file) {
        better = coding == CODING_NONE ? choose(work, find_variants(site, path)) : CODING_NONE;
        if (better != CODING_NONE && answer_variant(site, conn, path, better))
            close(fd);
        else
            answer_large(site, conn, fd, &st, path, coding);
        return true;
    }
    close(fd);
    /* A file that has just changed may change again without its times showing it. */
    if (conn->loop->wall - st.st_mtim.tv_sec >= SOME_TIME)
        keep(site, file, place, conn->loop->now_ns);
    better = choose(work, file->variants);
    if (better == CODING_NONE || !answer_variant(site, conn, path, better))
        answer_file(work, file, -1); /* NOLINT(clang-analyzer-unix.Malloc): we hold a reference */
    unref((char *)file);
    return true;
}

/* False: there is no such file, for the reason *ret_error. */
static bool answer_as(struct srv_site *site, struct srv_conn *conn, const char *path,
                      enum coding coding, int *ret_error)
{
    uint32_t place = place_of(path, coding);
    struct srv_site_file *file = find_kept(site, path, coding, place, conn->loop->now_ns);
    enum coding better;

    if (!file)
        return answer_from_disk(site, conn, path, coding, place, ret_error);
    better = file->variants ? choose(conn->work, file->variants) : CODING_NONE;
    file->refs++; /* reading the form may drop it */
    if (better == CODING_NONE || !answer_variant(site, conn, path, better))
        answer_file(conn->work, file, -1);
    unref((char *)file);
    return true;
}

/* A page of the site that its script makes: a browser goes there (it wants HTML), and it is no
 * file's name. */
static bool is_navigation(const struct srv_work *work, const char *path)
{
    struct srv_items items;
    const char *item;
    size_t len = 0, n;
    const char *list = srv_http_known(&work->http, work->in, SRV_KNOWN_ACCEPT, &len);

    if (!list || strchr(strrchr(path, '/'), '.'))
        return false;
    items = (struct srv_items){list, list + len};
    while (srv_http_next_item(&items, &item, &n)) {
        if (n >= 9 && strncasecmp(item, "text/html", 9) == 0 && (n == 9 || item[9] == ';'))
            return true;
    }
    return false;
}

void srv_site_answer(struct srv_site *site, struct srv_conn *conn, size_t mount)
{
    struct srv_request *request = &conn->work->request;
    const char *path = request->path + mount, *asked = path;
    size_t len = request->path_len - mount;
    char index[SRV_PATH_MAX + sizeof INDEX];
    int error = ENOENT;

    if (len == 0) { /* the mount itself */
        redirect(conn);
        return;
    }
    if (is_hidden(path)) {
        fail_open(conn, ENOENT);
        return;
    }
    if (path[len - 1] == '/') {
        memcpy(index, path, len);
        memcpy(index + len, INDEX, sizeof INDEX);
        path = index;
    }
    if (answer_as(site, conn, path, CODING_NONE, &error))
        return;
    if (error == EISDIR && path == asked) {
        redirect(conn);
        return;
    }
    if ((error == ENOENT || error == ENOTDIR || error == EISDIR) && site->options.fallback &&
        is_navigation(conn->work, asked)) {
        srv_reply_field_str(&conn->work->reply, "Vary", "Accept");
        if (answer_as(site, conn, site->options.fallback, CODING_NONE, &error))
            return;
    }
    fail_open(conn, error);
}

/* ---- Sites ---- */

static void delete_site(struct srv_site *site)
{
    while (site->first)
        forget(site, site->first); /* NOLINT(clang-analyzer-unix.Malloc): as in keep */
    if (site->dir >= 0)
        close(site->dir);
    free(site);
}

struct srv_site *srv_site_find(struct srv_site **list, int base, const char *name,
                               const struct srv_site_options *options)
{
    struct srv_site *site, **p = list;
    unsigned n = 0;

    for (; *p && ((*p)->base != base || strcmp((*p)->name, name) != 0); n++)
        p = &(*p)->next;
    site = *p;
    if (site) {
        *p = site->next;
    } else if (strlen(name) > SRV_SITE_NAME_MAX || !(site = calloc(1, sizeof *site))) {
        return NULL;
    } else {
        memcpy(site->name, name, strlen(name) + 1);
        site->base = base;
        site->dir = -1;
        site->options = *options;
        if (n == SRV_SITES_MAX) { /* the one that nobody has asked for longest */
            for (p = list; (*p)->next; p = &(*p)->next)
                ;
            delete_site(*p);
            *p = NULL;
        }
    }
    site->next = *list;
    *list = site;
    return site;
}

void srv_site_delete_all(struct srv_site **list)
{
    while (*list) {
        struct srv_site *site = *list;

        *list = site->next;
        delete_site(site);
    }
}
