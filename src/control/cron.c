/* Time tables in the database: what is due becomes a job of the queue, in the transaction that says
 * when it is due again. Two nodes that look at the same time: one has the row, the other goes on.
 */
#include "control/cron.h"

#include <pthread.h>

#include "base/clock.h"
#include "control/part.h"
#include "control/queue.h"
#include "platform/manifest.h"
#include "platform/record.h"

#define TICK_MS 250
#define DUE_MAX 100         /* in one transaction */
#define CHECK_EVERY 240     /* ticks: did the clock go back? */
#define GRACE_MS 60000      /* what is no longer late than this was not missed */
#define CLOCK_BACK_MS 60000 /* the clock has gone back by more than its corrections */
#define ATTEMPTS 3

struct ctl_cron_clock {
    pthread_mutex_t lock; /* held while it works, so that stop waits for it */
    unsigned ticks;
    bool stopped;
};

/* ---- What is due ---- */

struct due {
    int64_t id, next_ms, last_ms;
    enum ctl_cron_missed missed;
    char *schedule, *tenant, *function, *path;
    struct sv_buf body;
};

struct tick {
    int64_t now;
    struct due due[DUE_MAX];
    unsigned n;
    bool changed_only; /* put times right, run nothing */
};

static void release_due(struct tick *t)
{
    for (unsigned i = 0; i < t->n; i++) {
        sv_free(t->due[i].schedule);
        sv_free(t->due[i].tenant);
        sv_free(t->due[i].function);
        sv_free(t->due[i].path);
        sv_buf_release(&t->due[i].body);
    }
    t->n = 0;
}

static bool take_due(struct ctl_sql *sql, struct due *d)
{
    struct sv_str body = ctl_sql_str(sql, 7);

    d->id = ctl_sql_int(sql, 0);
    d->next_ms = ctl_sql_int(sql, 1);
    d->last_ms = ctl_sql_int(sql, 2);
    d->missed = (enum ctl_cron_missed)ctl_sql_int(sql, 3);
    d->schedule = ctl_sql_text(sql, 4);
    d->path = ctl_sql_text(sql, 5);
    d->tenant = d->function = NULL;
    sv_buf_init(&d->body, CTL_JOB_BODY_MAX);
    sv_buf_append(&d->body, body.ptr, body.len);
    return d->schedule && d->path && !d->body.failed;
}

/* Rows alone: a join cannot be locked everywhere. */
static int read_due(struct ctl_sql *sql, struct sv_err *err, struct tick *t)
{
    int r;

    release_due(t);
    r = ctl_sql_run(sql, err,
                    t->changed_only
                        ? "select id, next_ms, last_ms, missed, schedule, path, function_id, body "
                          "from cron where last_ms > $1 order by next_ms limit 100 {skip_locked}"
                        : "select id, next_ms, last_ms, missed, schedule, path, function_id, body "
                          "from cron where next_ms <= $1 order by next_ms limit 100 {skip_locked}",
                    CTL_PARAMS(CTL_INT(t->changed_only ? t->now + CLOCK_BACK_MS : t->now)));
    while (r == 0 && (r = ctl_sql_next(sql, err)) > 0 && t->n < DUE_MAX) {
        r = take_due(sql, &t->due[t->n]) ? 0 : sv_fail_nomem(err, "a time table");
        t->n++;
    }
    return r < 0 ? r : 0;
}

static int find_function(struct ctl_sql *sql, struct sv_err *err, struct due *d)
{
    int r = ctl_sql_run(sql, err,
                        "select f.tenant, f.name from functions f join cron c on c.function_id = "
                        "f.id where c.id = $1 and f.deleted = 0",
                        CTL_PARAMS(CTL_INT(d->id)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0)
        return r;
    d->tenant = ctl_sql_text(sql, 0);
    d->function = ctl_sql_text(sql, 1);
    return d->tenant && d->function ? 1 : sv_fail_nomem(err, "a time table");
}

static int run_due(struct ctl_sql *sql, struct sv_err *err, const struct tick *t, struct due *d)
{
    struct ctl_cron c;
    int64_t next = -1, id = 0;
    int r = 0;

    /* A text that this version does not understand waits for one that does. */
    if (ctl_cron_parse(NULL, d->schedule, &c) == 0)
        next = ctl_cron_next(&c, t->now);
    if (next < 0)
        next = t->now + 24LL * 3600 * 1000;
    if (!t->changed_only && (d->missed == CTL_CRON_MISSED_ONCE || t->now - d->next_ms <= GRACE_MS))
        r = find_function(sql, err, d);
    if (r > 0) {
        struct ctl_job job = {.tenant = d->tenant,
                              .function = d->function,
                              .path = d->path,
                              .body = {(const char *)d->body.data, d->body.len},
                              .trigger = PLAT_TRIGGER_CRON,
                              .attempts_max = ATTEMPTS};

        r = ctl_queue_insert(sql, err, &job, t->now, &id);
        d->last_ms = t->now;
    }
    if (t->changed_only)
        d->last_ms = 0;
    if (r == 0)
        r = ctl_sql_run(sql, err, "update cron set next_ms = $2, last_ms = $3 where id = $1",
                        CTL_PARAMS(CTL_INT(d->id), CTL_INT(next), CTL_INT(d->last_ms)));
    return r;
}

static int run_tick(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct tick *t = data;
    int r = read_due(sql, err, t);

    for (unsigned i = 0; i < t->n && r == 0; i++)
        r = run_due(sql, err, t, &t->due[i]);
    return r;
}

static int look(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    int64_t *next = data;
    int r = ctl_sql_run(sql, err, "select min(next_ms) from cron", CTL_NO_PARAMS);

    if (r == 0)
        r = ctl_sql_next(sql, err);
    *next = r > 0 && !ctl_sql_null(sql, 0) ? ctl_sql_int(sql, 0) : INT64_MAX;
    return r < 0 ? r : 0;
}

static void look_at_clock(struct ctl_server *server, bool check)
{
    int64_t next = INT64_MAX;
    struct tick *t;

    if (ctl_db_read(server->db, NULL, look, &next) < 0 || (next > sv_clock_wall_ms() && !check))
        return;
    t = sv_alloc_zero(sizeof *t);
    if (!t)
        return;
    t->now = sv_clock_wall_ms();
    /* A database that does not work now is asked again soon. */
    if (next <= t->now)
        (void)ctl_db_write(server->db, NULL, run_tick, t);
    if (check) {
        t->changed_only = true;
        (void)ctl_db_write(server->db, NULL, run_tick, t);
    }
    release_due(t);
    sv_free(t);
}

static void tick(struct ctl_server *server, void *data)
{
    struct ctl_cron_clock *clock = data;

    pthread_mutex_lock(&clock->lock);
    if (!clock->stopped)
        look_at_clock(server, ++clock->ticks % CHECK_EVERY == 1);
    pthread_mutex_unlock(&clock->lock);
}

/* ---- Entries ---- */

static int function_id(struct ctl_sql *sql, struct sv_err *err, const char *tenant,
                       const char *function, int64_t *ret)
{
    int r = ctl_sql_run(sql, err,
                        "select id from functions where tenant = $1 and name = $2 and deleted = 0",
                        CTL_PARAMS(CTL_TEXT(tenant), CTL_TEXT(function)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r < 0)
        return r;
    if (r == 0)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no function '%s'", function);
    *ret = ctl_sql_int(sql, 0);
    return 0;
}

/* Is this entry among the rows? Then they keep it: its mark goes. */
static int keep(struct ctl_sql *sql, struct sv_err *err, int64_t function,
                const struct ctl_cron_entry *e)
{
    int r = ctl_sql_run(sql, err,
                        "update cron set missed = missed - 10 where id = (select min(id) from cron "
                        "where function_id = $1 and schedule = $2 and path = $3 and body = $4 and "
                        "missed = $5)",
                        CTL_PARAMS(CTL_INT(function), CTL_TEXT(e->schedule),
                                   CTL_TEXT(e->path ? e->path : ""),
                                   CTL_BLOB(e->body.ptr ? e->body.ptr : "", e->body.len),
                                   CTL_INT((int)e->missed + 10)));

    return r < 0 ? r : ctl_sql_changes(sql) > 0;
}

static int set_entries(struct ctl_sql *sql, struct sv_err *err, int64_t id,
                       const struct ctl_cron_entry *entries, unsigned n)
{
    int64_t now = sv_clock_wall_ms();
    struct ctl_cron c;
    int r = 0;

    if (n > CTL_CRON_PER_FUNCTION_MAX)
        r = sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "more than %d time tables",
                    CTL_CRON_PER_FUNCTION_MAX);
    if (r == 0) /* marked: what is not kept below goes */
        r = ctl_sql_run(sql, err, "update cron set missed = missed + 10 where function_id = $1",
                        CTL_PARAMS(CTL_INT(id)));
    for (unsigned i = 0; i < n && r == 0; i++) {
        const struct ctl_cron_entry *e = &entries[i];
        int64_t next;

        r = ctl_cron_parse(err, e->schedule, &c);
        if (r == 0)
            r = keep(sql, err, id, e);
        if (r != 0) {
            r = r > 0 ? 0 : r;
            continue;
        }
        next = ctl_cron_next(&c, now);
        if (next < 0)
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "'%s' never comes", e->schedule);
        r = ctl_sql_run(sql, err,
                        "insert into cron (function_id, schedule, path, body, missed, next_ms) "
                        "values ($1, $2, $3, $4, $5, $6)",
                        CTL_PARAMS(CTL_INT(id), CTL_TEXT(e->schedule),
                                   CTL_TEXT(e->path ? e->path : ""),
                                   CTL_BLOB(e->body.ptr ? e->body.ptr : "", e->body.len),
                                   CTL_INT(e->missed), CTL_INT(next)));
    }
    if (r == 0)
        r = ctl_sql_run(sql, err, "delete from cron where function_id = $1 and missed >= 10",
                        CTL_PARAMS(CTL_INT(id)));
    return r;
}

int ctl_cron_set(struct ctl_sql *sql, struct sv_err *err, const char *tenant, const char *function,
                 const struct ctl_cron_entry *entries, unsigned n)
{
    int64_t id = 0;
    int r = function_id(sql, err, tenant, function, &id);

    return r < 0 ? r : set_entries(sql, err, id, entries, n);
}

/* The manifest of the version with most requests. NULL: none has any, or an error. */
static own char *read_manifest(struct ctl_sql *sql, struct sv_err *err, uint64_t id, int *ret)
{
    *ret = ctl_sql_run(sql, err,
                       "select v.manifest from versions v join targets t on t.function_id = "
                       "v.function_id and t.number = v.number where v.function_id = $1 order by "
                       "t.weight desc, t.number desc limit 1",
                       CTL_PARAMS(CTL_INT(id)));
    if (*ret == 0)
        *ret = ctl_sql_next(sql, err);
    return *ret > 0 ? ctl_sql_text(sql, 0) : NULL;
}

int ctl_cron_follow(struct ctl_sql *sql, struct sv_err *err, uint64_t id)
{
    struct ctl_cron_entry entries[CTL_CRON_PER_FUNCTION_MAX + 1];
    struct plat_manifest m = {0};
    struct sv_err bad = {0};
    unsigned n = 0;
    int r;
    char *text = read_manifest(sql, err, id, &r);

    if (r > 0 && !text)
        r = sv_fail_nomem(err, "a manifest");
    if (r < 0)
        return r;
    /* Those in the database were read before; none at all is no manifest. */
    if (text && plat_manifest_read(&bad, PLAT_MANIFEST_FILE, text, strlen(text), &m) == 0) {
        for (; n < m.triggers.ncron && n < SV_COUNT(entries); n++) {
            const struct plat_manifest_cron *c = &m.triggers.cron[n];

            entries[n] = (struct ctl_cron_entry){.schedule = c->schedule,
                                                 .path = c->path,
                                                 .body = sv_str_of(c->body),
                                                 .missed = strcmp(c->missed, "skip") == 0
                                                               ? CTL_CRON_MISSED_SKIP
                                                               : CTL_CRON_MISSED_ONCE};
        }
    }
    r = set_entries(sql, err, (int64_t)id, entries, n);
    plat_manifest_release(&m);
    sv_free(text);
    return r;
}

struct listing {
    const char *tenant, *function;
    void (*each)(void *data, const struct ctl_cron_entry *);
    void *data;
    struct tick rows;
};

static int read_list(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct listing *l = data;
    struct tick *t = &l->rows;
    int r;

    release_due(t);
    r = ctl_sql_run(sql, err,
                    "select c.id, c.next_ms, c.last_ms, c.missed, c.schedule, c.path, "
                    "c.function_id, c.body, f.tenant, f.name from cron c join functions f on f.id "
                    "= c.function_id where f.deleted = 0 and (f.tenant = $1 or $2 = 1) and (f.name "
                    "= $3 or $4 = 1) order by c.id limit 100",
                    CTL_PARAMS(CTL_TEXT(l->tenant ? l->tenant : ""), CTL_INT(!l->tenant),
                               CTL_TEXT(l->function ? l->function : ""), CTL_INT(!l->function)));
    while (r == 0 && (r = ctl_sql_next(sql, err)) > 0 && t->n < DUE_MAX) {
        struct due *d = &t->due[t->n++];
        bool ok = take_due(sql, d);

        d->tenant = ctl_sql_text(sql, 8);
        d->function = ctl_sql_text(sql, 9);
        r = ok && d->tenant && d->function ? 0 : sv_fail_nomem(err, "a time table");
    }
    return r < 0 ? r : 0;
}

int ctl_cron_list(struct ctl_server *server, struct sv_err *err, const char *tenant,
                  const char *function, void (*each)(void *data, const struct ctl_cron_entry *),
                  void *data)
{
    struct listing *l = sv_alloc_zero(sizeof *l);
    int r;

    if (!l)
        return sv_fail_nomem(err, "a list of time tables");
    *l = (struct listing){tenant, function, each, data, {0}};
    r = ctl_db_read(server->db, err, read_list, l);
    for (unsigned i = 0; i < l->rows.n && r == 0; i++) {
        const struct due *d = &l->rows.due[i];
        struct ctl_cron_entry e = {.schedule = d->schedule,
                                   .path = d->path,
                                   .body = {(const char *)d->body.data, d->body.len},
                                   .missed = d->missed,
                                   .id = d->id,
                                   .tenant = d->tenant,
                                   .function = d->function,
                                   .next_ms = d->next_ms,
                                   .last_ms = d->last_ms};

        each(data, &e);
    }
    release_due(&l->rows);
    sv_free(l);
    return r;
}

/* ---- The part ---- */

int ctl_cron_start(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_cron_clock *clock = sv_alloc_zero(sizeof *clock);

    if (!clock)
        return sv_fail_nomem(err, "time tables");
    pthread_mutex_init(&clock->lock, NULL);
    server->cron = clock; /* as long as the process: the pool's ticks end after this part */
    return ctl_pool_every(server, TICK_MS, tick, clock);
}

void ctl_cron_stop(struct ctl_server *server)
{
    pthread_mutex_lock(&server->cron->lock);
    server->cron->stopped = true;
    pthread_mutex_unlock(&server->cron->lock);
}
