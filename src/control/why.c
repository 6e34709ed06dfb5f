/* Failures: gathered in memory, written together, pruned as they are written. Who may see them is
 * for the interface to decide, by the tenant that it asks for. */
#include "control/why.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "control/log.h"
#include "control/part.h"
#include "platform/record.h"

#define PENDING_MAX 256 /* that wait to be written; further ones are counted and dropped */
#define WRITE_MS 200
#define PRUNE_MS 600000
#define LIST_MAX 500
#define FRAMES_MAX 256

struct failure {
    struct plat_record record;
    own char *detail; /* JSON */
};

struct ctl_why {
    pthread_mutex_t lock;
    struct failure pending[PENDING_MAX], writing[PENDING_MAX];
    unsigned npending, nwriting; /* writing: those that a transaction writes now */
    uint64_t dropped;            /* since the last time it was told */
    pthread_mutex_t write_lock;  /* of who writes; taken before the other */
    bool stopped;
};

/* ---- What a failure says ---- */

static void put(json_t *object, const char *name, own json_t *value)
{
    if (value)
        json_object_set_new(object, name, value);
}

/* A worker that was taken over may say more than any other does. */
static struct sv_str cut(struct sv_str s)
{
    s.len = s.len < CTL_WHY_TEXT_MAX ? s.len : CTL_WHY_TEXT_MAX;
    return s;
}

static json_t *text_of(struct sv_str s)
{
    size_t len = cut(s).len;
    struct sv_buf clean;
    json_t *ret = NULL;

    /* What a guest says may be no UTF-8: the bytes that are none become U+FFFD on the way. */
    sv_buf_init(&clean, 6 * CTL_WHY_TEXT_MAX + 8);
    if (sv_buf_json_string(&clean, s.ptr ? s.ptr : "", s.ptr ? len : 0))
        ret =
            json_loadb((const char *)clean.data, clean.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    sv_buf_release(&clean);
    return ret ? ret : json_string("");
}

/* "2: middle at 0x2f3 (./deep.h:3 in divide, inlined at g.c:9)" as members; what is not so is text
 * alone. */
static json_t *frame_of(struct sv_str line)
{
    json_t *frame = json_object();
    const char *end = line.ptr + line.len, *name, *at, *open, *colon, *stop;

    put(frame, "text", text_of(line));
    name = memchr(line.ptr, ':', line.len);
    if (!name || end - name < 3)
        return frame;
    name += 2;
    at = memmem(name, (size_t)(end - name), " at 0x", 6);
    if (!at)
        return frame;
    put(frame, "function", text_of((struct sv_str){name, (size_t)(at - name)}));
    open = memchr(at, '(', (size_t)(end - at));
    if (!open)
        return frame;
    stop = open + 1 + strcspn(open + 1, " ,)");
    colon = memrchr(open, ':', (size_t)(stop - open));
    if (!colon)
        return frame;
    put(frame, "file", text_of((struct sv_str){open + 1, (size_t)(colon - open - 1)}));
    put(frame, "line", json_integer(strtoll(colon + 1, NULL, 10)));
    return frame;
}

static json_t *backtrace_of(const char *text)
{
    json_t *frames = json_array();

    while (*text && json_array_size(frames) < FRAMES_MAX) {
        size_t len = strcspn(text, "\n");

        if (len > 0)
            json_array_append_new(frames, frame_of((struct sv_str){text, len}));
        text += len + (text[len] == '\n');
    }
    return frames;
}

/* Lines "name value". */
static json_t *limits_of(const char *text)
{
    json_t *limits = json_object();

    while (*text) {
        size_t len = strcspn(text, "\n");
        const char *space = memchr(text, ' ', len);
        size_t name = space ? (size_t)(space - text) : len;
        char key[40];

        if (space && name < sizeof key) {
            memcpy(key, text, name);
            key[name] = '\0';
            put(limits, key, json_integer(strtoll(text + name + 1, NULL, 10)));
        }
        text += len + (text[len] == '\n');
    }
    return limits;
}

/* Lines "name calls gas". */
static json_t *host_calls_of(const char *text)
{
    json_t *list = json_array();
    char name[PLAT_HOST_NAME_MAX + 1];
    unsigned long long calls, gas;

    for (const char *line = text; *line; line += strcspn(line, "\n") + 1) {
        if (sscanf(line, "%55s %llu %llu", name, &calls, &gas) == 3)
            json_array_append_new(list, json_pack("{s:s, s:I, s:I}", "name", name, "calls",
                                                  (json_int_t)calls, "gas", (json_int_t)gas));
        if (!strchr(line, '\n'))
            break;
    }
    return list;
}

static json_t *ms_of(uint64_t ns)
{
    return json_real((double)(ns / 1000) / 1000);
}

static void put_text(json_t *object, const char *name, const struct plat_message *m,
                     enum plat_tag tag)
{
    put(object, name, text_of(plat_get(m, tag)));
}

static own char *take_lines(const struct plat_message *m, enum plat_tag tag)
{
    struct sv_str s = cut(plat_get(m, tag));

    return sv_strndup(s.ptr, s.len);
}

static own char *detail_of(const struct plat_record *r, const struct plat_message *m)
{
    char *backtrace = take_lines(m, PLAT_TAG_BACKTRACE);
    char *limits = take_lines(m, PLAT_TAG_LIMITS), *hosts = take_lines(m, PLAT_TAG_HOSTS);
    json_t *detail = json_object();
    char *ret;

    put_text(detail, "message", m, PLAT_TAG_TEXT);
    put(detail, "trap", json_integer(r->trap));
    put(detail, "backtrace", backtrace_of(backtrace ? backtrace : ""));
    put_text(detail, "stderr", m, PLAT_TAG_ERRORS);
    put(detail, "limits", limits_of(limits ? limits : ""));
    put(detail, "gas", json_integer((json_int_t)r->gas));
    put(detail, "host_calls", host_calls_of(hosts ? hosts : ""));
    put(detail, "memory_peak", json_integer((json_int_t)r->memory_peak));
    put(detail, "wall_ms", ms_of(r->wall_ns));
    put(detail, "wait_ms", ms_of(r->wait_ns));
    put(detail, "run_ms", ms_of(r->run_ns));
    put(detail, "cpu_ms", ms_of(r->cpu_ns));
    put(detail, "bytes_in", json_integer((json_int_t)r->bytes_in));
    put(detail, "bytes_out", json_integer((json_int_t)r->bytes_out));
    put(detail, "method", json_string(r->method));
    put_text(detail, "path", m, PLAT_TAG_PATH);
    put_text(detail, "input_sha256", m, PLAT_TAG_HASH);
    put(detail, "trace", json_string(r->trace));
    ret = json_dumps(detail, JSON_COMPACT);
    json_decref(detail);
    sv_free(backtrace);
    sv_free(limits);
    sv_free(hosts);
    return ret;
}

int ctl_why_note(struct ctl_server *server, struct sv_err *err, struct plat_message *m,
                 struct plat_message *ret)
{
    struct ctl_why *why = server->why;
    struct sv_str bytes = plat_get(m, PLAT_TAG_RECORD);
    struct failure failure;

    (void)ret;
    if (bytes.len != sizeof failure.record)
        return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET, "a failure without its record");
    plat_record_read(&failure.record, bytes.ptr);
    failure.detail = detail_of(&failure.record, m);
    pthread_mutex_lock(&why->lock);
    if (failure.detail && why->npending < PENDING_MAX) {
        why->pending[why->npending++] = failure;
        failure.detail = NULL;
    } else {
        why->dropped++;
    }
    pthread_mutex_unlock(&why->lock);
    free(failure.detail); /* jansson's */
    return 0;
}

/* ---- Writing ---- */

static int write_failure(struct ctl_sql *sql, struct sv_err *err, const struct failure *f)
{
    const struct plat_record *r = &f->record;
    char trap[12];

    snprintf(trap, sizeof trap, "%" PRId32, r->trap);
    return ctl_sql_run(sql, err,
                       "insert into requests (request_id, time_ms, tenant, function, digest,"
                       " status, code, trap, text) values ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
                       " on conflict (request_id) do nothing",
                       CTL_PARAMS(CTL_TEXT(r->id), CTL_INT(r->time_ns / 1000000),
                                  CTL_TEXT(r->tenant), CTL_TEXT(r->function), CTL_TEXT(r->digest),
                                  CTL_INT(r->status), CTL_TEXT(r->code), CTL_TEXT(trap),
                                  CTL_TEXT(f->detail)));
}

/* Keep the last ones of the failure's function. */
static int prune(struct ctl_sql *sql, struct sv_err *err, const struct plat_record *r)
{
    char text[320];

    snprintf(text, sizeof text,
             "delete from requests where tenant = $1 and function = $2 and time_ms <"
             " (select time_ms from requests where tenant = $1 and function = $2"
             " order by time_ms desc limit 1 offset %d)",
             CTL_WHY_KEPT - 1);
    return ctl_sql_run(sql, err, text, CTL_PARAMS(CTL_TEXT(r->tenant), CTL_TEXT(r->function)));
}

static bool same_function(const struct plat_record *a, const struct plat_record *b)
{
    return strcmp(a->tenant, b->tenant) == 0 && strcmp(a->function, b->function) == 0;
}

static int write_all(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct ctl_why *why = data;
    int r = 0;

    for (unsigned i = 0; r == 0 && i < why->nwriting; i++) {
        const struct failure *f = &why->writing[i];

        r = write_failure(sql, err, f);
        if (r == 0 &&
            (i + 1 == why->nwriting || !same_function(&f->record, &why->writing[i + 1].record)))
            r = prune(sql, err, &f->record);
    }
    return r;
}

static void drop_writing(struct ctl_why *why)
{
    pthread_mutex_lock(&why->lock);
    for (unsigned i = 0; i < why->nwriting; i++)
        free(why->writing[i].detail);
    why->nwriting = 0;
    pthread_mutex_unlock(&why->lock);
}

static void write_pending(struct ctl_server *server, void *data)
{
    struct ctl_why *why = server->why;
    struct sv_err err = {0};
    char note[80];
    uint64_t dropped;

    (void)data;
    pthread_mutex_lock(&why->write_lock);
    pthread_mutex_lock(&why->lock);
    dropped = why->dropped;
    why->dropped = 0;
    memcpy(why->writing, why->pending, why->npending * sizeof *why->pending);
    why->nwriting = why->npending;
    why->npending = 0;
    pthread_mutex_unlock(&why->lock);
    if (why->nwriting > 0 && !why->stopped && ctl_db_write(server->db, &err, write_all, why) < 0) {
        dropped += why->nwriting;
        ctl_log_event(server, CTL_LOG_ERROR, "failures_not_written", NULL, NULL, NULL, err.text);
    }
    drop_writing(why);
    pthread_mutex_unlock(&why->write_lock);
    if (dropped > 0) {
        snprintf(note, sizeof note, "the details of %" PRIu64 " failures were not kept", dropped);
        ctl_log_event(server, CTL_LOG_WARN, "failures_dropped", NULL, NULL, NULL, note);
    }
}

static int delete_old(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const int64_t *before_ms = data;

    return ctl_sql_run(sql, err, "delete from requests where time_ms < $1",
                       CTL_PARAMS(CTL_INT(*before_ms)));
}

static void prune_old(struct ctl_server *server, void *data)
{
    int64_t before_ms = sv_clock_wall_ms() - CTL_WHY_DAYS * 86400000LL;

    (void)data;
    pthread_mutex_lock(&server->why->write_lock);
    if (!server->why->stopped)
        ctl_db_write(server->db, NULL, delete_old, &before_ms);
    pthread_mutex_unlock(&server->why->write_lock);
}

/* ---- Reading ---- */

static json_t *time_of(int64_t ms)
{
    time_t s = (time_t)(ms / 1000);
    char text[96];
    struct tm tm;

    gmtime_r(&s, &tm);
    snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ", tm.tm_year + 1900,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec, (int)(ms % 1000));
    return json_string(text);
}

/* What stands in columns of their own, over what the detail says. */
static void put_columns(json_t *object, const char *id, int64_t time_ms, const char *tenant,
                        const char *function, const char *digest, int64_t status, const char *code)
{
    put(object, "id", json_string(id));
    put(object, "time", time_of(time_ms));
    put(object, "tenant", json_string(tenant));
    put(object, "function", json_string(function));
    put(object, "digest", json_string(digest));
    put(object, "status", json_integer(status));
    put(object, "code", json_string(code));
}

static json_t *find_among(const struct failure *failures, unsigned n, const char *id,
                          const char *tenant)
{
    for (unsigned i = 0; i < n; i++) {
        const struct plat_record *r = &failures[i].record;
        json_t *ret;

        if (strcmp(r->id, id) != 0 || (tenant && strcmp(r->tenant, tenant) != 0))
            continue;
        ret = json_loads(failures[i].detail, 0, NULL);
        if (ret)
            put_columns(ret, r->id, (int64_t)(r->time_ns / 1000000), r->tenant, r->function,
                        r->digest, r->status, r->code);
        return ret;
    }
    return NULL;
}

struct query {
    const char *id, *tenant, *function;
    int64_t before_ms, last_ms; /* last: of the list's last row */
    unsigned max;
    own json_t *ret;
};

/* The columns of a row, and what its text says; `whole`: all of it. */
static json_t *read_row(struct ctl_sql *sql, bool whole)
{
    struct sv_str text = ctl_sql_str(sql, 7);
    json_t *detail = json_loadb(text.ptr ? text.ptr : "{}", text.ptr ? text.len : 2, 0, NULL);
    json_t *ret = whole && detail ? json_incref(detail) : json_object();
    char *columns[5] = {ctl_sql_text(sql, 0), ctl_sql_text(sql, 2), ctl_sql_text(sql, 3),
                        ctl_sql_text(sql, 4), ctl_sql_text(sql, 6)};

    if (columns[0] && columns[1] && columns[2] && columns[3] && columns[4])
        put_columns(ret, columns[0], ctl_sql_int(sql, 1), columns[1], columns[2], columns[3],
                    ctl_sql_int(sql, 5), columns[4]);
    if (!whole && detail)
        json_object_set(ret, "message", json_object_get(detail, "message"));
    for (size_t i = 0; i < SV_COUNT(columns); i++)
        sv_free(columns[i]);
    json_decref(detail);
    return ret;
}

#define COLUMNS                                                                                    \
    "select request_id, time_ms, tenant, function, digest, status, code, text from requests"

static int read_one(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct query *q = data;
    int r;

    json_decref(q->ret);
    q->ret = NULL;
    r = q->tenant
            ? ctl_sql_run(sql, err, COLUMNS " where request_id = $1 and tenant = $2",
                          CTL_PARAMS(CTL_TEXT(q->id), CTL_TEXT(q->tenant)))
            : ctl_sql_run(sql, err, COLUMNS " where request_id = $1", CTL_PARAMS(CTL_TEXT(q->id)));
    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r > 0)
        q->ret = read_row(sql, true);
    return r < 0 ? r : 0;
}

int ctl_why_get(struct ctl_server *server, struct sv_err *err, const char *request_id,
                const char *tenant, own json_t **ret)
{
    struct ctl_why *why = server->why;
    struct query q = {.id = request_id, .tenant = tenant};
    int r;

    pthread_mutex_lock(&why->lock);
    q.ret = find_among(why->pending, why->npending, request_id, tenant);
    if (!q.ret)
        q.ret = find_among(why->writing, why->nwriting, request_id, tenant);
    pthread_mutex_unlock(&why->lock);
    r = q.ret ? 0 : ctl_db_read(server->db, err, read_one, &q);
    if (r < 0) {
        json_decref(q.ret);
        return r;
    }
    if (!q.ret)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET,
                       "no failed request '%s' is kept: it did not fail, was refused before "
                       "the function ran, or is too long ago",
                       request_id);
    *ret = q.ret;
    return 0;
}

static int read_list(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct query *q = data;
    struct ctl_param params[4] = {CTL_INT(q->before_ms)};
    char text[400];
    unsigned n = 1;
    int r;

    json_decref(q->ret);
    q->ret = json_array();
    if (q->tenant)
        params[n++] = CTL_TEXT(q->tenant);
    if (q->function)
        params[n++] = CTL_TEXT(q->function);
    params[n].type = CTL_P_END;
    snprintf(text, sizeof text, COLUMNS " where time_ms < $1%s%s order by time_ms desc limit %u",
             q->tenant ? " and tenant = $2" : "",
             !q->function ? ""
             : q->tenant  ? " and function = $3"
                          : " and function = $2",
             q->max);
    r = ctl_sql_run(sql, err, text, params);
    while (r == 0 && (r = ctl_sql_next(sql, err)) > 0) {
        json_array_append_new(q->ret, read_row(sql, false));
        q->last_ms = ctl_sql_int(sql, 1);
        r = 0;
    }
    return r;
}

int ctl_why_list(struct ctl_server *server, struct sv_err *err, const char *tenant,
                 const char *function, const char *before, unsigned max, own json_t **ret)
{
    struct query q = {.tenant = tenant, .function = function, .before_ms = INT64_MAX};
    char *end = NULL;
    int r;

    q.max = max == 0 ? 50 : max < LIST_MAX ? max : LIST_MAX;
    if (before && *before) {
        q.before_ms = strtoll(before, &end, 10);
        if (*end || q.before_ms <= 0)
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "'before' is no place in the list");
    }
    write_pending(server, NULL);
    r = ctl_db_read(server->db, err, read_list, &q);
    if (r < 0) {
        json_decref(q.ret);
        return r;
    }
    *ret = json_object();
    if (json_array_size(q.ret) == q.max) {
        char next[24];

        snprintf(next, sizeof next, "%" PRId64, q.last_ms);
        put(*ret, "next", json_string(next));
    }
    put(*ret, "failures", q.ret);
    return 0;
}

/* ---- The part ---- */

int ctl_why_start(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_why *why = sv_alloc_zero(sizeof *why);
    int r;

    if (!why)
        return sv_fail_nomem(err, "failures");
    pthread_mutex_init(&why->lock, NULL);
    pthread_mutex_init(&why->write_lock, NULL);
    server->why = why;
    r = ctl_pool_every(server, WRITE_MS, write_pending, NULL);
    return r < 0 ? r : ctl_pool_every(server, PRUNE_MS, prune_old, NULL);
}

/* Threads of the pool may still come by. */
void ctl_why_stop(struct ctl_server *server)
{
    struct ctl_why *why = server->why;

    write_pending(server, NULL);
    pthread_mutex_lock(&why->write_lock);
    why->stopped = true;
    pthread_mutex_unlock(&why->write_lock);
}
