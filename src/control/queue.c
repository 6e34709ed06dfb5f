/* Jobs in the database: pushed, listed, tried again. Running them is queue_run.c's. */
#include "control/queue.h"

#include <stdio.h>

#include "base/clock.h"
#include "control/state_tenant.h"
#include "platform/record.h"

#define JOBS_MAX 10000 /* of a tenant */
#define NAME_MAX_BYTES 256
#define PATH_MAX_BYTES 4096
#define TURN_BYTES 80 /* who is cut off shares it */

static const char *const state_names[CTL_JOB_STATE_COUNT] = {"waiting", "running", "dead"};

const char *ctl_job_state_name(enum ctl_job_state state)
{
    return state < CTL_JOB_STATE_COUNT ? state_names[state] : "";
}

static const char *text(const char *s)
{
    return s ? s : "";
}

/* ---- Pushing ---- */

int ctl_queue_insert(struct ctl_sql *sql, struct sv_err *err, const struct ctl_job *job,
                     int64_t due_ms, int64_t *ret_id)
{
    int r;

    if (job->body.len > CTL_JOB_BODY_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "a job's body of more than %u bytes",
                       CTL_JOB_BODY_MAX);
    r = ctl_sql_run(sql, err,
                    "select count(*) from (select 1 from queue where state = 'waiting' and tenant "
                    "= $1 limit 10000) as jobs",
                    CTL_PARAMS(CTL_TEXT(job->tenant)));
    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r < 0)
        return r;
    if (ctl_sql_int(sql, 0) >= JOBS_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "%d jobs wait already", JOBS_MAX);
    r = ctl_sql_run(sql, err,
                    "insert into queue (tenant, function, path, content_type, body, trace, origin, "
                    "state, attempts_max, next_ms, created_ms) values ($1, $2, $3, $4, $5, $6, $7, "
                    "'waiting', $8, $9, $10) returning id",
                    CTL_PARAMS(CTL_TEXT(job->tenant), CTL_TEXT(job->function),
                               CTL_TEXT(text(job->path)), CTL_TEXT(text(job->type)),
                               CTL_BLOB(job->body.ptr ? job->body.ptr : "", job->body.len),
                               CTL_TEXT(text(job->trace)), CTL_INT(job->trigger),
                               CTL_INT(job->attempts_max ? job->attempts_max : CTL_JOB_ATTEMPTS),
                               CTL_INT(due_ms), CTL_INT(sv_clock_wall_ms())));
    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r < 0)
        return r;
    *ret_id = ctl_sql_int(sql, 0);
    ctl_sql_notify(sql, CTL_QUEUE_CHANGED);
    return 0;
}

struct push {
    const struct ctl_job *job;
    int64_t due_ms, id;
};

static int push(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct push *p = data;

    return ctl_queue_insert(sql, err, p->job, p->due_ms, &p->id);
}

int ctl_queue_add(struct ctl_server *server, struct sv_err *err, const struct ctl_job *job,
                  int64_t delay_ms, int64_t *ret_id)
{
    struct push p = {job, sv_clock_wall_ms() + delay_ms, 0};
    char turn[TURN_BYTES];
    int r;

    if (delay_ms < 0 || delay_ms > CTL_JOB_DELAY_MAX_MS)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "a job may wait for a year at most");
    snprintf(turn, sizeof turn, "jobs %s", job->tenant); /* which count as one */
    r = ctl_db_write_in_turn(server->db, err, turn, push, &p);
    if (r == 0)
        *ret_id = p.id;
    return r;
}

int ctl_queue_push(struct ctl_server *server, struct sv_err *err, struct plat_message *request,
                   struct plat_message *ret)
{
    char *tenant = plat_get_text(request, PLAT_TAG_TENANT);
    char *function = plat_get_text(request, PLAT_TAG_FUNCTION);
    char *path = plat_get_text(request, PLAT_TAG_PATH);
    char *type = plat_get_text(request, PLAT_TAG_TEXT);
    char *trace = plat_get_text(request, PLAT_TAG_TRACE);
    struct ctl_job job = {.tenant = tenant,
                          .function = function,
                          .path = path,
                          .type = type,
                          .trace = trace,
                          .body = plat_get(request, PLAT_TAG_VALUE),
                          .trigger = PLAT_TRIGGER_QUEUE};
    uint64_t delay = 0;
    int64_t id;
    int r;

    (void)plat_get_u64(request, PLAT_TAG_TTL_MS, &delay);
    if (!tenant || strlen(tenant) > CTL_TENANT_MAX || !function || !*function ||
        strlen(function) > NAME_MAX_BYTES || strlen(text(path)) > PATH_MAX_BYTES ||
        strlen(text(type)) > NAME_MAX_BYTES || strlen(text(trace)) > NAME_MAX_BYTES)
        r = sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "a job names no function, or says too much");
    else
        r = ctl_queue_add(server, err, &job, delay > CTL_JOB_DELAY_MAX_MS ? -1 : (int64_t)delay,
                          &id);
    if (r == 0)
        plat_put_u64(ret, PLAT_TAG_NUMBER, (uint64_t)id);
    sv_free(tenant);
    sv_free(function);
    sv_free(path);
    sv_free(type);
    sv_free(trace);
    return r;
}

/* ---- Looking ---- */

#define LIST_MAX 100

struct row {
    struct ctl_job job;
    char *function, *path, *type, *error;
    struct sv_buf body;
};

struct listing {
    const char *tenant, *function, *state;
    int64_t after;
    unsigned max, n;
    struct row rows[LIST_MAX];
};

static void release_rows(struct listing *l)
{
    for (unsigned i = 0; i < l->n; i++) {
        sv_free(l->rows[i].function);
        sv_free(l->rows[i].path);
        sv_free(l->rows[i].type);
        sv_free(l->rows[i].error);
        sv_buf_release(&l->rows[i].body);
    }
    l->n = 0;
}

static enum ctl_job_state state_of(struct sv_str name)
{
    for (unsigned i = 0; i < CTL_JOB_STATE_COUNT; i++)
        if (sv_str_eq(name, sv_str_of(state_names[i])))
            return (enum ctl_job_state)i;
    return CTL_JOB_WAITING;
}

static int take_row(struct ctl_sql *sql, struct sv_err *err, const struct listing *l, struct row *w)
{
    struct sv_str body = ctl_sql_str(sql, 3);

    sv_buf_init(&w->body, CTL_JOB_BODY_MAX);
    sv_buf_append(&w->body, body.ptr, body.len);
    w->function = ctl_sql_text(sql, 1);
    w->path = ctl_sql_text(sql, 2);
    w->type = ctl_sql_text(sql, 4);
    w->error = ctl_sql_text(sql, 5);
    w->job = (struct ctl_job){.id = ctl_sql_int(sql, 0),
                              .tenant = l->tenant,
                              .function = w->function,
                              .path = w->path,
                              .type = w->type,
                              .body = {(const char *)w->body.data, w->body.len},
                              .trigger = (unsigned)ctl_sql_int(sql, 6),
                              .attempts_max = (unsigned)ctl_sql_int(sql, 7),
                              .state = state_of(ctl_sql_str(sql, 8)),
                              .attempts = (unsigned)ctl_sql_int(sql, 9),
                              .created_ms = ctl_sql_int(sql, 10),
                              .due_ms = ctl_sql_int(sql, 11),
                              .error = w->error};
    return w->function && w->path && w->type && w->error && !w->body.failed
               ? 0
               : sv_fail_nomem(err, "a job");
}

static int read_list(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct listing *l = data;
    int r;

    release_rows(l);
    r = ctl_sql_run(sql, err,
                    "select id, function, path, body, content_type, error, origin, attempts_max, "
                    "state, attempts, created_ms, next_ms from queue where tenant = $1 and id > $2 "
                    "and ($3 = '' or function = $3) and ($4 = '' or state = $4) order by id limit "
                    "$5",
                    CTL_PARAMS(CTL_TEXT(l->tenant), CTL_INT(l->after), CTL_TEXT(text(l->function)),
                               CTL_TEXT(l->state), CTL_INT(l->max)));
    while (r == 0 && (r = ctl_sql_next(sql, err)) > 0 && l->n < LIST_MAX)
        r = take_row(sql, err, l, &l->rows[l->n++]);
    return r < 0 ? r : 0;
}

int ctl_queue_list(struct ctl_server *server, struct sv_err *err, const char *tenant,
                   const char *function, enum ctl_job_state state, int64_t after, unsigned n,
                   void (*each)(void *data, const struct ctl_job *), void *data)
{
    struct listing *l = sv_alloc_zero(sizeof *l);
    int r;

    if (!l)
        return sv_fail_nomem(err, "a list of jobs");
    l->tenant = tenant;
    l->function = function;
    l->state = ctl_job_state_name(state);
    l->after = after;
    l->max = n < LIST_MAX ? n : LIST_MAX;
    r = ctl_db_read(server->db, err, read_list, l);
    for (unsigned i = 0; i < l->n && r == 0; i++)
        each(data, &l->rows[i].job);
    release_rows(l);
    sv_free(l);
    return r;
}

struct counting {
    const char *tenant, *function;
    uint64_t *ret;
};

static int count(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct counting *c = data;
    int r = ctl_sql_run(sql, err,
                        "select state, count(*) from queue where tenant = $1 and ($2 = '' or "
                        "function = $2) group by state",
                        CTL_PARAMS(CTL_TEXT(c->tenant), CTL_TEXT(text(c->function))));

    memset(c->ret, 0, CTL_JOB_STATE_COUNT * sizeof *c->ret);
    while (r == 0 && (r = ctl_sql_next(sql, err)) > 0) {
        c->ret[state_of(ctl_sql_str(sql, 0))] = (uint64_t)ctl_sql_int(sql, 1);
        r = 0;
    }
    return r;
}

int ctl_queue_count(struct ctl_server *server, struct sv_err *err, const char *tenant,
                    const char *function, uint64_t ret[CTL_JOB_STATE_COUNT])
{
    struct counting c = {tenant, function, ret};

    return ctl_db_read(server->db, err, count, &c);
}

/* ---- What people do with jobs ---- */

struct change {
    const char *tenant;
    int64_t id;
    bool retry; /* else: delete */
};

static int change(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct change *c = data;
    int r = ctl_sql_run(sql, err, "select state from queue where id = $1 and tenant = $2",
                        CTL_PARAMS(CTL_INT(c->id), CTL_TEXT(c->tenant)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r == 0)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no such job");
    if (r > 0)
        r = c->retry
                ? ctl_sql_run(sql, err,
                              "update queue set state = 'waiting', attempts = 0, next_ms = $2 "
                              "where id = $1 and state = 'dead'",
                              CTL_PARAMS(CTL_INT(c->id), CTL_INT(sv_clock_wall_ms())))
                : ctl_sql_run(sql, err, "delete from queue where id = $1 and state <> 'running'",
                              CTL_PARAMS(CTL_INT(c->id)));
    if (r == 0 && ctl_sql_changes(sql) == 0)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       c->retry ? "the job is not dead" : "the job runs now");
    ctl_sql_notify(sql, CTL_QUEUE_CHANGED);
    return r;
}

int ctl_queue_retry(struct ctl_server *server, struct sv_err *err, const char *tenant, int64_t id)
{
    struct change c = {tenant, id, true};

    return ctl_db_write(server->db, err, change, &c);
}

int ctl_queue_delete(struct ctl_server *server, struct sv_err *err, const char *tenant, int64_t id)
{
    struct change c = {tenant, id, false};

    return ctl_db_write(server->db, err, change, &c);
}
