/* The store of logs: lines are gathered in memory, written by a thread of the pool, and read from
 * the files. Lines begin with the same members in the same order, so that readers choose without
 * parsing JSON. */
#include "control/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/write.h"
#include "control/part.h"

#define BUFFER_BYTES (4U << 20) /* that may wait to be written */
#define FILE_BYTES (32U << 20)  /* of a file, before the next one is begun */
#define FILES_MAX 16
#define FILE_DAYS 14
#define WRITE_MS 100
#define TEXT_BYTES (64U << 10) /* of a message */
#define NAME_BYTES 128         /* of a tenant, a function, a request */
#define LINE_BYTES (6 * TEXT_BYTES + 4096)
#define SCAN_BYTES (64U << 20) /* looked through for one answer */
#define PIECE_BYTES (256U << 10)
#define LINES_DEFAULT 200
#define LINES_MAX 2000
#define WAIT_MS_MAX 30000
#define WAITERS_MAX 16 /* threads of the pool that may wait for lines */

struct ctl_log {
    int dir;
    pthread_mutex_t lock; /* of what waits, and of `end` */
    pthread_cond_t more;  /* something has been written */
    struct sv_buf waiting, writing;
    uint64_t dropped; /* lines without room */
    uint64_t file;    /* number of the last file */
    uint64_t end;     /* its bytes */
    unsigned waiters;
    uint64_t second; /* that second_text stands for */
    char second_text[40];
    bool closing;
    pthread_mutex_t write_lock; /* of what follows, and of `writing` */
    int fd;                     /* of the last file, -1: none could be made */
    uint64_t lost;              /* lines not in the log, and not yet told there */
    bool torn;                  /* the last line was not written whole */
    time_t begun;               /* the file was */
};

static const char *const levels[CTL_LOG_LEVEL_COUNT] = {"debug", "info", "warn", "error"};

/* ---- Files ---- */

static void file_name(uint64_t number, char ret[32])
{
    snprintf(ret, 32, "%016" PRIu64 ".jsonl", number);
}

static bool file_number(const char *name, uint64_t *ret)
{
    char *end;

    if (strlen(name) != 22 || name[0] < '0' || name[0] > '9')
        return false;
    *ret = strtoull(name, &end, 10);
    return strcmp(end, ".jsonl") == 0;
}

/* The numbers of the first and the last file. False: there is none. */
static bool file_range(const struct ctl_log *log, uint64_t *ret_first, uint64_t *ret_last)
{
    int fd = openat(log->dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    uint64_t n;
    bool any = false;

    if (!dir) {
        if (fd >= 0)
            close(fd);
        return false;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (!file_number(entry->d_name, &n))
            continue;
        *ret_first = any && *ret_first < n ? *ret_first : n;
        *ret_last = any && *ret_last > n ? *ret_last : n;
        any = true;
    }
    closedir(dir);
    return any;
}

static int open_file(const struct ctl_log *log, uint64_t number, int flags)
{
    char name[32];

    file_name(number, name);
    return openat(log->dir, name, flags | O_CLOEXEC | O_NOFOLLOW, 0640);
}

/* Of those that are too many or too old. */
static void remove_files(const struct ctl_log *log)
{
    uint64_t first = 0, last = 0;
    char name[32];
    struct stat st;

    if (!file_range(log, &first, &last))
        return;
    for (; first < last; first++) {
        file_name(first, name);
        if (fstatat(log->dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        if (last - first < FILES_MAX && time(NULL) - st.st_mtime < FILE_DAYS * 86400)
            break;
        unlinkat(log->dir, name, 0);
    }
}

/* Begin the next file. The old one goes on when there can be none. */
static void rotate(struct ctl_log *log)
{
    int fd = open_file(log, log->file + 1, O_WRONLY | O_APPEND | O_CREAT | O_EXCL);

    if (fd < 0)
        return;
    if (log->fd >= 0)
        close(log->fd);
    log->fd = fd;
    log->begun = time(NULL);
    log->torn = false;
    pthread_mutex_lock(&log->lock);
    log->file++;
    log->end = 0;
    pthread_mutex_unlock(&log->lock);
    remove_files(log);
}

/* ---- Writing ---- */

/* Whole lines, as far as possible. How many were not written whole. */
static uint64_t write_lines(struct ctl_log *log, const unsigned char *bytes, size_t len)
{
    uint64_t lost = 0, done = 0;
    size_t at = 0;
    bool ready = len > 0 && log->fd >= 0;

    if (ready && log->torn) {
        ready = write(log->fd, "\n", 1) == 1;
        done += ready;
    }
    if (ready)
        at = sv_write_all(log->fd, bytes, len);
    if (at > 0)
        log->torn = bytes[at - 1] != '\n';
    done += at;
    for (; at < len; at++)
        lost += bytes[at] == '\n';
    pthread_mutex_lock(&log->lock);
    log->end += done;
    if (done > 0)
        pthread_cond_broadcast(&log->more);
    pthread_mutex_unlock(&log->lock);
    return lost;
}

static size_t put_time(char *p, size_t size, uint64_t ns)
{
    time_t second = (time_t)(ns / 1000000000U);
    struct tm tm;

    gmtime_r(&second, &tm);
    return (size_t)snprintf(p, size, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
                            tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                            (int)(ns / 1000000 % 1000));
}

static void write_waiting(struct ctl_server *server, void *data)
{
    struct ctl_log *log = server->log;
    char note[160];
    struct sv_buf swap;
    size_t n;

    (void)data;
    pthread_mutex_lock(&log->write_lock);
    pthread_mutex_lock(&log->lock);
    swap = log->waiting;
    log->waiting = log->writing;
    log->writing = swap;
    log->lost += log->dropped;
    log->dropped = 0;
    pthread_mutex_unlock(&log->lock);
    if (log->fd < 0 || log->end >= FILE_BYTES || time(NULL) - log->begun > 86400)
        rotate(log);
    log->lost += write_lines(log, log->writing.data, log->writing.len);
    sv_buf_clear(&log->writing);
    if (log->lost > 0) {
        n = (size_t)snprintf(note, sizeof note, "{\"time\":\"");
        n += put_time(note + n, sizeof note - n, sv_clock_wall_ns());
        n += (size_t)snprintf(
            note + n, sizeof note - n,
            "\",\"level\":\"error\",\"event\":\"log_lost\",\"lines\":%" PRIu64 "}\n", log->lost);
        if (write_lines(log, (const unsigned char *)note, n) == 0)
            log->lost = 0;
    }
    pthread_mutex_unlock(&log->write_lock);
}

uint64_t ctl_log_lost(struct ctl_server *server)
{
    struct ctl_log *log = server->log;
    uint64_t lost;

    pthread_mutex_lock(&log->write_lock);
    pthread_mutex_lock(&log->lock);
    lost = log->lost + log->dropped;
    pthread_mutex_unlock(&log->lock);
    pthread_mutex_unlock(&log->write_lock);
    return lost;
}

/* ---- Lines ---- */

/* The members that every line begins with. Names have been checked; they are escaped all the same.
 */
static void put_head(struct sv_buf *b, uint64_t ns, enum ctl_log_level level, const char *event,
                     struct sv_str tenant, struct sv_str function, struct sv_str id)
{
    char text[40];

    sv_buf_puts(b, "{\"time\":\"");
    sv_buf_append(b, text, put_time(text, sizeof text, ns));
    sv_buf_puts(b, "\",\"level\":\"");
    sv_buf_puts(b, levels[level]);
    sv_buf_puts(b, "\",\"event\":");
    sv_buf_json_string(b, event, strlen(event));
    sv_buf_puts(b, ",\"tenant\":");
    sv_buf_json_string(b, tenant.ptr, tenant.len);
    sv_buf_puts(b, ",\"function\":");
    sv_buf_json_string(b, function.ptr, function.len);
    sv_buf_puts(b, ",\"id\":");
    sv_buf_json_string(b, id.ptr, id.len);
}

/* Undo a line that found no room; else make it one. Holds the lock. */
static void end_line(struct ctl_log *log, size_t begin)
{
    struct sv_buf *b = &log->waiting;

    sv_buf_puts(b, "}\n");
    if (b->failed) {
        b->failed = false;
        b->len = begin;
        log->dropped++;
    }
}

static void put_line(struct ctl_log *log, enum ctl_log_level level, const char *event,
                     struct sv_str tenant, struct sv_str function, struct sv_str id,
                     struct sv_str message)
{
    size_t begin;

    pthread_mutex_lock(&log->lock);
    begin = log->waiting.len;
    put_head(&log->waiting, sv_clock_wall_ns(), level, event, tenant, function, id);
    if (message.ptr) {
        sv_buf_puts(&log->waiting, ",\"message\":");
        sv_buf_json_string(&log->waiting, message.ptr,
                           message.len < TEXT_BYTES ? message.len : TEXT_BYTES);
    }
    end_line(log, begin);
    pthread_mutex_unlock(&log->lock);
}

static struct sv_str str_of(const char *s)
{
    return s ? sv_str_of(s) : (struct sv_str){"", 0};
}

void ctl_log_event(struct ctl_server *server, enum ctl_log_level level, const char *event,
                   const char *tenant, const char *function, const char *request_id,
                   const char *message)
{
    struct sv_str text = {message, message ? strlen(message) : 0};

    put_line(server->log, level, event, str_of(tenant), str_of(function), str_of(request_id), text);
}

/* A request's line is made by hand: it is made for every request. */
struct line {
    size_t len;
    char bytes[1024]; /* all members at their longest */
};

static void put(struct line *l, const char *s, size_t len)
{
    if (len <= sizeof l->bytes - l->len) {
        memcpy(l->bytes + l->len, s, len);
        l->len += len;
    }
}

#define PUT(l, literal) put(l, literal, sizeof(literal) - 1)

static void put_number(struct line *l, uint64_t n)
{
    char digits[20], *p = digits + sizeof digits;

    do {
        *--p = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    put(l, p, (size_t)(digits + sizeof digits - p));
}

/* Milliseconds with three decimals. */
static void put_ms(struct line *l, uint64_t ns)
{
    uint64_t us = (ns + 500) / 1000;
    const char decimals[] = {'.', (char)('0' + us / 100 % 10), (char)('0' + us / 10 % 10),
                             (char)('0' + us % 10)};

    put_number(l, us / 1000);
    put(l, decimals, sizeof decimals);
}

/* A name; a byte that none has becomes a '?'. */
static void put_name(struct line *l, const char *s)
{
    while (*s) {
        size_t n = 0;

        while (plat_record_in_name(s[n]))
            n++;
        put(l, s, n);
        s += n;
        if (*s) {
            PUT(l, "?");
            s++;
        }
    }
}

/* "2026-11-22T20:13:10.123Z"; the seconds are formatted once for all lines of a second. */
static void put_record_time(struct ctl_log *log, struct line *l, uint64_t ns)
{
    uint64_t ms = ns / 1000000 % 1000;
    const char decimals[] = {(char)('0' + ms / 100), (char)('0' + ms / 10 % 10),
                             (char)('0' + ms % 10), 'Z'};

    if (log->second != ns / 1000000000 || log->second_text[0] == '\0') {
        log->second = ns / 1000000000;
        put_time(log->second_text, sizeof log->second_text, ns);
    }
    put(l, log->second_text, 20);
    put(l, decimals, sizeof decimals);
}

static void put_use(struct line *l, const struct plat_record *r)
{
    PUT(l, ",\"ms\":");
    put_ms(l, r->wall_ns);
    PUT(l, ",\"run_ms\":");
    put_ms(l, r->run_ns);
    if (r->wait_ns > 0) {
        PUT(l, ",\"wait_ms\":");
        put_ms(l, r->wait_ns);
    }
    PUT(l, ",\"cpu_ms\":");
    put_ms(l, r->cpu_ns);
    PUT(l, ",\"gas\":");
    put_number(l, r->gas);
    PUT(l, ",\"host_calls\":");
    put_number(l, plat_record_host_calls(r));
    PUT(l, ",\"memory\":");
    put_number(l, r->memory_peak);
    PUT(l, ",\"in\":");
    put_number(l, r->bytes_in);
    PUT(l, ",\"out\":");
    put_number(l, r->bytes_out);
}

void ctl_log_record(struct ctl_server *server, const struct plat_record *r)
{
    static const char *const triggers[PLAT_TRIGGER_COUNT] = {"http", "cron", "queue", "call"};
    struct ctl_log *log = server->log;
    const char *level = levels[r->status >= 500 ? CTL_LOG_ERROR
                               : r->code[0]     ? CTL_LOG_WARN
                                                : CTL_LOG_INFO];
    struct line l;

    l.len = 0; /* and not all of its bytes */
    pthread_mutex_lock(&log->lock);
    PUT(&l, "{\"time\":\"");
    put_record_time(log, &l, r->time_ns);
    PUT(&l, "\",\"level\":\"");
    put(&l, level, strlen(level));
    PUT(&l, "\",\"event\":\"request\",\"tenant\":\"");
    put_name(&l, r->tenant);
    PUT(&l, "\",\"function\":\"");
    put_name(&l, r->function);
    PUT(&l, "\",\"id\":\"");
    put_name(&l, r->id);
    PUT(&l, "\",\"status\":");
    put_number(&l, r->status);
    PUT(&l, ",\"error\":\"");
    put_name(&l, r->code);
    PUT(&l, "\",\"trigger\":\"");
    put_name(&l, r->trigger < PLAT_TRIGGER_COUNT ? triggers[r->trigger] : "");
    PUT(&l, "\",\"method\":\"");
    put_name(&l, r->method);
    PUT(&l, "\",\"digest\":\"");
    put_name(&l, r->digest);
    PUT(&l, "\",\"trace\":\"");
    put_name(&l, r->trace);
    PUT(&l, "\"");
    put_use(&l, r);
    PUT(&l, "}\n");
    if (!sv_buf_append(&log->waiting, l.bytes, l.len)) {
        log->waiting.failed = false;
        log->dropped++;
    }
    pthread_mutex_unlock(&log->lock);
}

/* Of a message: no name of the server's is longer. */
static struct sv_str name_of(const struct plat_message *m, enum plat_tag tag)
{
    struct sv_str name = plat_get(m, tag);

    name.len = name.len < NAME_BYTES ? name.len : NAME_BYTES;
    return name;
}

int ctl_log_note(struct ctl_server *server, struct sv_err *err, struct plat_message *m,
                 struct plat_message *ret)
{
    char event[32] = "log";
    struct sv_str name = plat_get(m, PLAT_TAG_NAME);

    (void)err;
    (void)ret;
    if (name.ptr && name.len > 0 && name.len < sizeof event) {
        memcpy(event, name.ptr, name.len);
        event[name.len] = '\0';
    }
    put_line(server->log, CTL_LOG_INFO, event, name_of(m, PLAT_TAG_TENANT),
             name_of(m, PLAT_TAG_FUNCTION), name_of(m, PLAT_TAG_REQUEST_ID),
             plat_get(m, PLAT_TAG_TEXT));
    return 0;
}

/* ---- Reading ---- */

/* The value of a member that stands at the line's head: `at` is behind what came before it. Escapes
 * stay as they are: names that are asked for have none. */
static struct sv_str head_value(const char **at, const char *end, const char *key)
{
    struct sv_str none = {"", 0};
    size_t len = strlen(key);
    const char *begin = *at, *p;

    if ((size_t)(end - begin) < len || memcmp(begin, key, len) != 0)
        return none;
    for (p = begin + len; p < end && *p != '"'; p++)
        p += *p == '\\' && p + 1 < end;
    *at = p < end ? p + 1 : end;
    return (struct sv_str){begin + len, (size_t)(p - begin) - len};
}

static bool is_asked(const char *wanted, struct sv_str value)
{
    return !wanted || sv_str_eq(sv_str_of(wanted), value);
}

static bool matches(const struct ctl_log_query *q, const char *line, size_t len)
{
    const char *at = line, *end = line + len;
    struct sv_str level, tenant, function, id;
    unsigned n = 0;

    head_value(&at, end, "{\"time\":\"");
    level = head_value(&at, end, ",\"level\":\"");
    head_value(&at, end, ",\"event\":\"");
    tenant = head_value(&at, end, ",\"tenant\":\"");
    function = head_value(&at, end, ",\"function\":\"");
    id = head_value(&at, end, ",\"id\":\"");
    while (n < CTL_LOG_LEVEL_COUNT && !sv_str_eq(level, sv_str_of(levels[n])))
        n++;
    return n < CTL_LOG_LEVEL_COUNT && n >= (unsigned)q->level && is_asked(q->tenant, tenant) &&
           is_asked(q->function, function) && is_asked(q->request_id, id);
}

/* A place in the log: what a cursor says. */
struct place {
    uint64_t file, at;
};

struct reader {
    const struct ctl_log_query *query;
    struct sv_buf *out;
    own char *piece; /* of a file, and the line that it ends in */
    unsigned lines, max;
    size_t scanned, most; /* bytes that were looked at, that may be */
};

static void put_answer(struct reader *r, const char *line, size_t len)
{
    if (r->lines++ > 0)
        sv_buf_putc(r->out, ',');
    sv_buf_append(r->out, line, len);
}

/* Lines of one file from *at to `end`, which it moves behind the last whole line it has looked at.
 */
static void read_file(struct reader *r, int fd, uint64_t *at, uint64_t end)
{
    while (*at < end && r->lines < r->max && r->scanned < r->most) {
        size_t want =
            end - *at < PIECE_BYTES + LINE_BYTES ? (size_t)(end - *at) : PIECE_BYTES + LINE_BYTES;
        ssize_t n = pread(fd, r->piece, want, (off_t)*at);
        size_t used = 0;

        if (n <= 0)
            return;
        while (r->lines < r->max) {
            const char *line = r->piece + used;
            const char *lf = memchr(line, '\n', (size_t)n - used);

            if (!lf)
                break;
            if (matches(r->query, line, (size_t)(lf - line)))
                put_answer(r, line, (size_t)(lf - line));
            used = (size_t)(lf + 1 - r->piece);
        }
        if (used == 0) { /* no line is so long: the disk was full here */
            if ((uint64_t)n == end - *at)
                return;
            used = (size_t)n;
        }
        *at += used;
        r->scanned += used;
    }
}

static void read_on(struct ctl_log *log, struct reader *r, struct place *place, struct place end)
{
    while (place->file < end.file || (place->file == end.file && place->at < end.at)) {
        uint64_t before = place->at, bytes = end.at;
        int fd = open_file(log, place->file, O_RDONLY);
        struct stat st;
        bool whole;

        if (fd >= 0 && place->file < end.file)
            bytes = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
        if (fd >= 0) {
            read_file(r, fd, &place->at, bytes);
            close(fd);
        }
        whole = fd < 0 || place->at >= bytes ||
                (place->at == before && r->lines < r->max && r->scanned < r->most);
        if (!whole || place->file == end.file)
            return;
        place->file++;
        place->at = 0;
    }
}

/* The offset of the line that begins `lines` matching lines before `end` in a file; *left is how
 * many are still missing. */
static uint64_t read_back(struct reader *r, int fd, uint64_t end, unsigned *left)
{
    uint64_t line_end = end, at = end;

    while (at > 0 && *left > 0 && r->scanned < r->most) {
        size_t want =
            line_end < PIECE_BYTES + LINE_BYTES ? (size_t)line_end : PIECE_BYTES + LINE_BYTES;
        uint64_t from = line_end - want;
        size_t n = want;

        if (pread(fd, r->piece, want, (off_t)from) != (ssize_t)want)
            return at;
        while (n > 0 && *left > 0) {
            const char *lf = n > 1 ? memrchr(r->piece, '\n', n - 1) : NULL;
            size_t begin = lf ? (size_t)(lf + 1 - r->piece) : 0;

            if (!lf && from > 0 && n < want)
                break; /* the line's beginning is in the piece before */
            if (matches(r->query, r->piece + begin, n - begin))
                (*left)--;
            r->scanned += n - begin;
            n = begin;
            at = from + begin;
        }
        line_end = at;
    }
    return at;
}

/* Where the last `max` lines begin. */
static struct place find_tail(struct ctl_log *log, struct reader *r, struct place end)
{
    uint64_t first = end.file, last = end.file;
    struct place place = end;
    unsigned left = r->max;

    file_range(log, &first, &last);
    for (;;) {
        int fd = open_file(log, place.file, O_RDONLY);
        struct stat st;

        if (fd >= 0 && place.file < end.file)
            place.at = fstat(fd, &st) == 0 ? (uint64_t)st.st_size : 0;
        if (fd >= 0) {
            place.at = read_back(r, fd, place.at, &left);
            close(fd);
        }
        if (left == 0 || place.file <= first || r->scanned >= r->most)
            break;
        place.file--;
    }
    /* Reading on from there comes to the end, or the last lines would be missing. */
    r->most = r->scanned < r->most ? r->most : r->scanned + 1;
    r->scanned = 0;
    return place;
}

static bool read_cursor(const char *text, struct place *ret)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    ret->file = strtoull(text, &end, 10);
    if (*end != '-' || end[1] < '0' || end[1] > '9')
        return false;
    ret->at = strtoull(end + 1, &end, 10);
    return *end == '\0';
}

/* Wait until there is something behind `place`. Holds the lock. */
static void wait_more(struct ctl_log *log, struct place place, unsigned wait_ms)
{
    uint64_t due = sv_clock_ns() + (uint64_t)wait_ms * 1000000;
    struct timespec until = {(time_t)(due / 1000000000), (long)(due % 1000000000)};

    if (log->waiters >= WAITERS_MAX)
        return;
    log->waiters++;
    while (!log->closing && place.file == log->file && place.at >= log->end) {
        if (pthread_cond_timedwait(&log->more, &log->lock, &until) != 0)
            break;
    }
    log->waiters--;
}

static struct place log_end(struct ctl_log *log)
{
    struct place end;

    pthread_mutex_lock(&log->lock);
    end = (struct place){log->file, log->end};
    pthread_mutex_unlock(&log->lock);
    return end;
}

int ctl_log_read(struct ctl_server *server, struct sv_err *err, const struct ctl_log_query *q,
                 struct sv_buf *ret)
{
    struct ctl_log *log = server->log;
    bool follow = q->cursor && q->cursor[0];
    unsigned wait_ms = q->wait_ms < WAIT_MS_MAX ? q->wait_ms : WAIT_MS_MAX;
    uint64_t due = sv_clock_ns() + (uint64_t)wait_ms * 1000000, now;
    struct reader r = {
        .query = q, .out = ret, .max = q->max ? q->max : LINES_DEFAULT, .most = SCAN_BYTES};
    struct place place, end;

    if (r.max > LINES_MAX)
        r.max = LINES_MAX;
    if (follow && !read_cursor(q->cursor, &place))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "not a cursor of the log");
    r.piece = sv_alloc(PIECE_BYTES + LINE_BYTES);
    if (!r.piece)
        return sv_fail_nomem(err, "lines of the log");
    write_waiting(server, NULL);
    end = log_end(log);
    if (!follow)
        place = find_tail(log, &r, end);
    else if (place.file > end.file || (place.file == end.file && place.at > end.at))
        place = end; /* the log is another one than it was */
    sv_buf_puts(ret, "{\"lines\":[");
    for (;;) {
        read_on(log, &r, &place, end);
        now = sv_clock_ns();
        if (r.lines > 0 || !follow || now >= due || r.scanned >= r.most)
            break;
        pthread_mutex_lock(&log->lock);
        wait_more(log, place, (unsigned)((due - now) / 1000000));
        follow = !log->closing && log->waiters < WAITERS_MAX;
        end = (struct place){log->file, log->end};
        pthread_mutex_unlock(&log->lock);
    }
    sv_free(r.piece);
    sv_buf_printf(ret, "],\"cursor\":\"%" PRIu64 "-%" PRIu64 "\"}", place.file, place.at);
    return ret->failed ? sv_fail_nomem(err, "lines of the log") : 0;
}

/* ---- The part ---- */

int ctl_log_start(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_log *log = sv_alloc_zero(sizeof *log);
    pthread_condattr_t attr;
    uint64_t first = 0, last = 0;
    struct stat st;

    if (!log)
        return sv_fail_nomem(err, "the log");
    if (mkdirat(server->data_fd, "log", 0700) < 0 && errno != EEXIST) {
        sv_free(log);
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot make '%s/log': %s", server->data,
                       strerror(errno));
    }
    log->dir = openat(server->data_fd, "log", O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (log->dir < 0) {
        sv_free(log);
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot open '%s/log': %s", server->data,
                       strerror(errno));
    }
    pthread_mutex_init(&log->lock, NULL);
    pthread_mutex_init(&log->write_lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&log->more, &attr);
    pthread_condattr_destroy(&attr);
    sv_buf_init(&log->waiting, BUFFER_BYTES);
    sv_buf_init(&log->writing, BUFFER_BYTES);
    log->fd = -1;
    if (file_range(log, &first, &last)) {
        log->file = last;
        log->fd = open_file(log, last, O_RDWR | O_APPEND);
    }
    if (log->fd >= 0 && fstat(log->fd, &st) == 0) {
        char end = '\n';

        log->end = (uint64_t)st.st_size;
        log->begun = st.st_mtime;
        if (st.st_size > 0 && pread(log->fd, &end, 1, st.st_size - 1) == 1)
            log->torn = end != '\n'; /* we were killed in the middle of a line */
    }
    server->log = log;
    return ctl_pool_every(server, WRITE_MS, write_waiting, NULL);
}

/* Threads of the pool may still come by. */
void ctl_log_stop(struct ctl_server *server)
{
    struct ctl_log *log = server->log;

    pthread_mutex_lock(&log->lock);
    log->closing = true;
    pthread_cond_broadcast(&log->more);
    pthread_mutex_unlock(&log->lock);
    write_waiting(server, NULL);
}
