/* The access log, and the stage that ends a request. Decides nothing about requests. */
#include "serve/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/write.h"
#include "platform/table.h"
#include "serve/loop.h"

#define LINE_MAX_BYTES (6 * (3 * SRV_LOG_TEXT_MAX + SRV_NOTE_MAX) + 1024)
#define ERRORS_MAX_BYTES                                                                           \
    65536 /* of a call's standard error in one line; config.def allows more, the rest is cut */

/* Says why, by errno; false. */
static bool tell_failure(const char *where)
{
    fprintf(stderr,
            "ssvm-serve: cannot open the log '%s': %s (option '--log': a file that the server's "
            "user may write, in a folder that is there)\n",
            where, strerror(errno));
    return false;
}

bool srv_log_try(const char *where)
{
    const char *slash = strrchr(where, '/');
    char folder[PATH_MAX];
    struct stat st;

    if (strcmp(where, "none") == 0 || strcmp(where, "-") == 0)
        return true;
    if (stat(where, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            errno = EISDIR;
        else if (access(where, W_OK) == 0)
            return true;
        return tell_failure(where);
    }
    if (errno != ENOENT)
        return tell_failure(where);
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash + 1 - where) : 1,
             slash ? where : ".");
    return access(folder, W_OK | X_OK) == 0 || tell_failure(where);
}

bool srv_log_open(struct srv_log *log, const char *where)
{
    memset(log, 0, sizeof *log);
    pthread_mutex_init(&log->lock, NULL);
    pthread_mutex_init(&log->write_lock, NULL);
    log->fd = -1;
    if (strcmp(where, "none") == 0)
        return true;
    log->fd = strcmp(where, "-") == 0
                  ? dup(STDERR_FILENO)
                  : open(where, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0640);
    if (log->fd < 0)
        return tell_failure(where);
    log->waiting = malloc(SRV_LOG_BUFFER);
    log->writing = malloc(SRV_LOG_BUFFER);
    return log->waiting && log->writing;
}

void srv_log_close(struct srv_log *log)
{
    srv_log_write(log);
    if (log->fd >= 0)
        close(log->fd);
    free(log->waiting);
    free(log->writing);
    pthread_mutex_destroy(&log->lock);
    pthread_mutex_destroy(&log->write_lock);
}

void srv_log_line(struct srv_log *log, const char *line, size_t len)
{
    if (log->fd < 0)
        return;
    pthread_mutex_lock(&log->lock);
    if (len <= SRV_LOG_BUFFER - log->len) {
        memcpy(log->waiting + log->len, line, len);
        log->len += len;
    } else {
        log->dropped++;
    }
    pthread_mutex_unlock(&log->lock);
}

size_t srv_log_waiting(struct srv_log *log)
{
    size_t len;

    pthread_mutex_lock(&log->lock);
    len = log->len;
    pthread_mutex_unlock(&log->lock);
    return len;
}

/* Whole lines, as far as possible: not on a full disk or into a closed pipe. Serving goes on then.
 * How many were not written whole. */
static uint64_t write_lines(struct srv_log *log, const char *bytes, size_t len)
{
    uint64_t lost = 0;
    size_t at = 0;

    if (len > 0 && (!log->torn || sv_write_all(log->fd, "\n", 1) == 1)) {
        at = sv_write_all(log->fd, bytes, len);
        log->torn = at > 0 && bytes[at - 1] != '\n';
    }
    for (; at < len; at++)
        lost += bytes[at] == '\n';
    return lost;
}

void srv_log_write(struct srv_log *log)
{
    char note[80], *bytes;
    uint64_t dropped;
    size_t len;

    if (log->fd < 0)
        return;
    pthread_mutex_lock(&log->write_lock);
    pthread_mutex_lock(&log->lock);
    bytes = log->waiting;
    len = log->len;
    dropped = log->dropped;
    log->waiting = log->writing;
    log->writing = bytes;
    log->len = 0;
    log->dropped = 0;
    pthread_mutex_unlock(&log->lock);
    log->lost += dropped + write_lines(log, bytes, len);
    if (log->lost > 0 &&
        write_lines(log, note,
                    (size_t)snprintf(note, sizeof note,
                                     "{\"event\":\"log_dropped\",\"lines\":%llu}\n",
                                     (unsigned long long)log->lost)) == 0)
        log->lost = 0;
    pthread_mutex_unlock(&log->write_lock);
}

/* ---- Lines ---- */

static char *put(char *p, const char *s)
{
    return stpcpy(p, s);
}

static char *put_text(char *p, const char *name, const char *s, size_t len)
{
    p = put(p, name);
    p += srv_format_json(p, s, len < SRV_LOG_TEXT_MAX ? len : SRV_LOG_TEXT_MAX, false);
    *p++ = '"';
    return p;
}

static char *put_number(char *p, const char *name, uint64_t n)
{
    p = put(p, name);
    return p + srv_format_u64(p, n);
}

/* Milliseconds with three decimals. */
static char *put_ms(char *p, const char *name, uint64_t ns)
{
    uint64_t us = (ns + 500) / 1000;

    p = put_number(p, name, us / 1000);
    *p++ = '.';
    *p++ = (char)('0' + us / 100 % 10);
    *p++ = (char)('0' + us / 10 % 10);
    *p++ = (char)('0' + us % 10);
    return p;
}

/* "2026-11-22T20:13:10.123Z" */
static char *put_time(char *p, const char *name)
{
    struct timespec now;
    struct tm tm;

    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    p = put(p, name);
    return p + snprintf(p, 40, "%04d-%02d-%02dT%02d:%02d:%02d.%03ldZ\"", tm.tm_year + 1900,
                        tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
                        now.tv_nsec / 1000000);
}

void srv_log_event(struct srv_log *log, const char *event, const char *function,
                   const char *message)
{
    srv_log_guest(log, event, "", function, message);
}

void srv_log_guest(struct srv_log *log, const char *event, const char *tenant, const char *function,
                   const char *message)
{
    char line[LINE_MAX_BYTES], *p = line;

    p = put_time(p, "{\"time\":\"");
    p = put_text(p, ",\"event\":\"", event, strlen(event));
    if (*tenant)
        p = put_text(p, ",\"tenant\":\"", tenant, strlen(tenant));
    p = put_text(p, ",\"function\":\"", function, strlen(function));
    p = put_text(p, ",\"message\":\"", message, strlen(message));
    p = put(p, "}\n");
    srv_log_line(log, line, (size_t)(p - line));
}

/* The time with seconds that are formatted once for all lines of a second. */
static char *put_loop_time(struct srv_loop *loop, char *p)
{
    if (loop->log_second != loop->wall) {
        struct tm tm;

        loop->log_second = loop->wall;
        gmtime_r(&loop->wall, &tm);
        snprintf(loop->log_time, sizeof loop->log_time, "%04u-%02u-%02uT%02u:%02u:%02uZ",
                 (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)(tm.tm_mon + 1) % 100,
                 (unsigned)tm.tm_mday % 100, (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100,
                 (unsigned)tm.tm_sec % 100);
    }
    p = put(p, "{\"time\":\"");
    return put(p, loop->log_time);
}

static char *put_function(char *p, const struct srv_request *request)
{
    struct sv_str name = {NULL, 0};

    if (request->function)
        name = sv_str_of(request->function->name);
    else if (request->route == SRV_ROUTE_RELAY)
        name = plat_table_text(request->table, request->registered->name);
    if (!name.ptr)
        return p;
    p = put_text(p, ",\"function\":\"", name.ptr, name.len);
    if (request->export) {
        p[-1] = '/';
        p += srv_format_json(p, request->export->name,
                             strnlen(request->export->name, SRV_LOG_TEXT_MAX), false);
        *p++ = '"';
    }
    p = put_ms(p, ",\"run_ms\":", request->run_ns);
    if (request->wait_ns > 0)
        p = put_ms(p, ",\"wait_ms\":", request->wait_ns);
    p = put_number(p, ",\"gas\":", request->gas);
    return put_number(p, ",\"memory\":", request->memory);
}

/* A line of its own for a long text of the request. */
static void log_text(struct srv_log *log, const struct srv_request *request, const char *event,
                     const char *text, size_t text_len)
{
    size_t len = text_len < ERRORS_MAX_BYTES ? text_len : ERRORS_MAX_BYTES;
    char *line = malloc(6 * len + 128), *p = line;

    if (!line)
        return;
    p = put(p, "{\"event\":\"");
    p = put(p, event);
    p = put(p, "\",\"id\":\"");
    p = put(p, request->id);
    p = put(p, "\",\"text\":\"");
    p += srv_format_json(p, text, len, false);
    p = put(p, "\"}\n");
    srv_log_line(log, line, (size_t)(p - line));
    free(line);
}

static void log_request(struct srv_conn *conn)
{
    struct srv_loop *loop = conn->loop;
    const struct srv_work *work = conn->work;
    const struct srv_request *request = &work->request;
    bool head = work->http.head_len > 0 && work->http.phase != SRV_HTTP_FAILED;
    char line[LINE_MAX_BYTES], peer[INET6_ADDRSTRLEN], *p;

    srv_conn_peer(conn, peer);
    p = put_loop_time(loop, line);
    p = put(p, "\",\"id\":\"");
    p = put(p, request->id);
    p = put(p, "\",\"client\":\"");
    p = put(p, peer);
    p = put(p, "\",\"method\":\"");
    p = put(p, head ? srv_method_name(work->http.method) : "-");
    p = put_text(p, "\",\"path\":\"", head ? work->in + work->http.path.at : "",
                 head ? work->http.path.len : 0);
    p = put_number(p, ",\"status\":", (uint64_t)work->reply.status);
    p = put_ms(p, ",\"ms\":", srv_clock_ns() - request->start_ns);
    p = put_number(p, ",\"in\":", request->body_len);
    p = put_number(p, ",\"out\":", request->sent);
    p = put_function(p, request);
    if (request->code)
        p = put_text(p, ",\"error\":\"", request->code, strlen(request->code));
    if (request->note[0])
        p = put_text(p, ",\"note\":\"", request->note, strlen(request->note));
    if (conn->lost && !request->cut)
        p = put(p, ",\"lost\":true");
    p = put(p, "}\n");
    srv_log_line(&loop->server->log, line, (size_t)(p - line));
    if (request->backtrace)
        log_text(&loop->server->log, request, "backtrace", request->backtrace,
                 strlen(request->backtrace));
    if (request->errors_len > 0)
        log_text(&loop->server->log, request, "stderr", request->errors, request->errors_len);
}

enum srv_step srv_log_stage(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;

    if (conn->loop->server->log.fd >= 0) {
        log_request(conn);
        srv_pool_note(&conn->loop->server->pool);
    }
    if (work->http.phase == SRV_HTTP_COMPLETE) {
        work->in_len -= work->consumed;
        memmove(work->in, work->in + work->consumed, work->in_len);
    }
    return SRV_STEP_AGAIN;
}
