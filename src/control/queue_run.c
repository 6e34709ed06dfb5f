/* Running jobs: a thread claims what is due, as much as there is room for, and each is asked of a
 * worker on a thread of the pool. A claim is a lease: it ends when the node that has it is not seen
 * any more, and the job is tried again. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/clock.h"
#include "control/key.h"
#include "control/part.h"
#include "control/queue.h"

#define RUNNING_MAX 24     /* jobs at a time, on this node: the pool has more threads */
#define PER_FUNCTION_MAX 8 /* of them, of one function */
#define GROUPS_MAX 128     /* functions looked at in one claim */
#define IDLE_MS 1000       /* between two looks, when nobody says that there is something */
#define CALL_MAX_MS 300000 /* an attempt */
#define LEASE_MS 360000
#define END_TRIES 40 /* to write how a job ended, */
#define END_PAUSE_NS 250000000
#define NODE_GONE_MS 30000 /* not seen for so long: its leases are over */
#define BACKOFF_FIRST_MS 1000
#define BACKOFF_MAX_MS 3600000
#define NO_WORKER_MS 500 /* there was nobody to ask */
#define ERROR_MAX_BYTES 400

struct running {
    struct running *next;
    struct ctl_queue *queue;
    int64_t id;
    unsigned attempts, attempts_max, trigger;
    char *tenant, *function, *path, *type, *trace;
    struct sv_buf body;
};

struct ctl_queue {
    struct ctl_server *server;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake, idle;
    bool stop, changed;
    struct running *running; /* list */
    unsigned nrunning;
};

static void delete_running(struct running *j)
{
    sv_free(j->tenant);
    sv_free(j->function);
    sv_free(j->path);
    sv_free(j->type);
    sv_free(j->trace);
    sv_buf_release(&j->body);
    sv_free(j);
}

/* ---- Claiming ---- */

struct group {
    char *tenant, *function;
    unsigned room; /* jobs that it may begin */
};

struct claim {
    struct ctl_queue *queue;
    unsigned room;
    bool first; /* since this process started: what the one before had is free */
    struct group groups[GROUPS_MAX];
    unsigned ngroups;
    struct running *jobs;
    int64_t next_ms; /* when there is something to do again; INT64_MAX */
};

static void clear_claim(struct claim *c)
{
    for (unsigned i = 0; i < c->ngroups; i++) {
        sv_free(c->groups[i].tenant);
        sv_free(c->groups[i].function);
    }
    c->ngroups = 0;
    while (c->jobs) {
        struct running *j = c->jobs;

        c->jobs = j->next;
        delete_running(j);
    }
}

static unsigned count_running(struct ctl_queue *q, const char *tenant, const char *function)
{
    unsigned n = 0;

    pthread_mutex_lock(&q->lock);
    for (const struct running *j = q->running; j; j = j->next)
        n += strcmp(j->tenant, tenant) == 0 && strcmp(j->function, function) == 0;
    pthread_mutex_unlock(&q->lock);
    return n;
}

/* Leases that nobody holds any more. An attempt that did not end was one. */
static int free_leases(struct ctl_sql *sql, struct sv_err *err, const struct claim *c, int64_t now)
{
    int r = ctl_sql_run(
        sql, err,
        "update queue set state = case when attempts >= attempts_max then 'dead' else 'waiting' "
        "end, next_ms = $1, error = 'the attempt was interrupted' where state = 'running' and "
        "(lease_ms < $1 or (node = $2 and $3 = 1) or (node <> $2 and not exists (select 1 from "
        "nodes where nodes.id = queue.node and seen_ms > $1 - $4)))",
        CTL_PARAMS(CTL_INT(now), CTL_TEXT(c->queue->server->node), CTL_INT(c->first),
                   CTL_INT(NODE_GONE_MS)));

    return r;
}

static int read_groups(struct ctl_sql *sql, struct sv_err *err, struct claim *c, int64_t now)
{
    int r = ctl_sql_run(sql, err,
                        "select tenant, function, min(next_ms) as due from queue where state = "
                        "'waiting' and next_ms <= $1 group by tenant, function order by due limit "
                        "128",
                        CTL_PARAMS(CTL_INT(now)));

    while (r == 0 && c->ngroups < GROUPS_MAX && (r = ctl_sql_next(sql, err)) > 0) {
        struct group *g = &c->groups[c->ngroups++];

        g->tenant = ctl_sql_text(sql, 0);
        g->function = ctl_sql_text(sql, 1);
        r = g->tenant && g->function ? 0 : sv_fail_nomem(err, "jobs");
    }
    for (unsigned i = 0; i < c->ngroups && r == 0; i++) {
        unsigned running = count_running(c->queue, c->groups[i].tenant, c->groups[i].function);

        c->groups[i].room = running < PER_FUNCTION_MAX ? PER_FUNCTION_MAX - running : 0;
    }
    return r < 0 ? r : 0;
}

static int take_job(struct ctl_sql *sql, struct sv_err *err, struct claim *c, const struct group *g)
{
    struct running *j = sv_alloc_zero(sizeof *j);
    struct sv_str body = ctl_sql_str(sql, 3);

    if (!j)
        return sv_fail_nomem(err, "a job");
    j->next = c->jobs;
    c->jobs = j;
    j->queue = c->queue;
    j->id = ctl_sql_int(sql, 0);
    j->tenant = sv_strdup(g->tenant);
    j->function = sv_strdup(g->function);
    j->path = ctl_sql_text(sql, 1);
    j->type = ctl_sql_text(sql, 2);
    sv_buf_init(&j->body, CTL_JOB_BODY_MAX);
    sv_buf_append(&j->body, body.ptr, body.len);
    j->trace = ctl_sql_text(sql, 4);
    j->trigger = (unsigned)ctl_sql_int(sql, 5);
    j->attempts = (unsigned)ctl_sql_int(sql, 6);
    j->attempts_max = (unsigned)ctl_sql_int(sql, 7);
    return j->tenant && j->function && j->path && j->type && j->trace && !j->body.failed
               ? 0
               : sv_fail_nomem(err, "a job");
}

static int claim_group(struct ctl_sql *sql, struct sv_err *err, struct claim *c,
                       const struct group *g, int64_t now, unsigned *room)
{
    unsigned n = g->room < *room ? g->room : *room;
    int r;

    if (n == 0)
        return 0;
    r = ctl_sql_run(
        sql, err,
        "update queue set state = 'running', attempts = attempts + 1, node = $1, lease_ms = $2 "
        "where id in (select id from queue where state = 'waiting' and tenant = $3 and function = "
        "$4 and next_ms <= $5 order by next_ms, id limit $6 {skip_locked}) returning id, path, "
        "content_type, body, trace, origin, attempts, attempts_max",
        CTL_PARAMS(CTL_TEXT(c->queue->server->node), CTL_INT(now + LEASE_MS), CTL_TEXT(g->tenant),
                   CTL_TEXT(g->function), CTL_INT(now), CTL_INT(n)));
    while (r == 0 && (r = ctl_sql_next(sql, err)) > 0) {
        r = take_job(sql, err, c, g);
        --*room;
    }
    return r < 0 ? r : 0;
}

/* When the next job is due that is not yet. */
static int read_next(struct ctl_sql *sql, struct sv_err *err, struct claim *c, int64_t now)
{
    int r = ctl_sql_run(sql, err,
                        "select min(next_ms) from queue where state = 'waiting' and next_ms > $1",
                        CTL_PARAMS(CTL_INT(now)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    c->next_ms = r > 0 && !ctl_sql_null(sql, 0) ? ctl_sql_int(sql, 0) : INT64_MAX;
    return r < 0 ? r : 0;
}

static int claim(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct claim *c = data;
    int64_t now = sv_clock_wall_ms();
    unsigned room = c->room;
    int r;

    clear_claim(c);
    r = free_leases(sql, err, c, now);
    if (r == 0)
        r = read_groups(sql, err, c, now);
    for (unsigned i = 0; i < c->ngroups && r == 0; i++)
        r = claim_group(sql, err, c, &c->groups[i], now, &room);
    return r < 0 ? r : read_next(sql, err, c, now);
}

/* Is there anything that a claim would find? Reading costs no commit. */
static int look(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct claim *c = data;
    int64_t now = sv_clock_wall_ms();
    int r = ctl_sql_run(sql, err,
                        "select (select min(next_ms) from queue where state = 'waiting'), (select "
                        "count(*) from queue where state = 'running' and (lease_ms < $1 or node "
                        "<> $2))",
                        CTL_PARAMS(CTL_INT(now), CTL_TEXT(c->queue->server->node)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r < 0)
        return r;
    c->next_ms = ctl_sql_null(sql, 0) ? INT64_MAX : ctl_sql_int(sql, 0);
    if (ctl_sql_int(sql, 1) > 0)
        c->next_ms = now;
    return 0;
}

/* ---- An attempt ---- */

/* Later and later, and not all at once. */
static int64_t backoff(unsigned attempts)
{
    int64_t ms = BACKOFF_FIRST_MS;
    uint32_t random = 0;

    for (unsigned i = 1; i < attempts && ms < BACKOFF_MAX_MS; i++)
        ms *= 2;
    if (ms > BACKOFF_MAX_MS)
        ms = BACKOFF_MAX_MS;
    (void)ctl_random(NULL, &random, sizeof random);
    return ms - ms / 4 + (int64_t)(random % (uint32_t)(ms / 2 + 1));
}

struct end {
    const struct running *job;
    const char *node, *error; /* NULL: it is done */
    bool untried;             /* nobody ran it: the attempt was none */
    int64_t delay_ms;
};

static int end_job(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct end *e = data;
    const struct running *j = e->job;
    bool dead = !e->untried && j->attempts >= j->attempts_max;

    /* Only what is still this node's: the lease may be over, and the job another's. */
    if (!e->error)
        return ctl_sql_run(sql, err,
                           "delete from queue where id = $1 and state = 'running' and node = $2 "
                           "and attempts = $3",
                           CTL_PARAMS(CTL_INT(j->id), CTL_TEXT(e->node), CTL_INT(j->attempts)));
    return ctl_sql_run(sql, err,
                       "update queue set state = $4, attempts = $5, next_ms = $6, error = $7 where "
                       "id = $1 and state = 'running' and node = $2 and attempts = $3",
                       CTL_PARAMS(CTL_INT(j->id), CTL_TEXT(e->node), CTL_INT(j->attempts),
                                  CTL_TEXT(dead ? "dead" : "waiting"),
                                  CTL_INT(e->untried ? j->attempts - 1 : j->attempts),
                                  CTL_INT(sv_clock_wall_ms() + e->delay_ms), CTL_TEXT(e->error)));
}

static void fill_request(const struct running *j, struct plat_message *m)
{
    char fields[512];
    int n =
        snprintf(fields, sizeof fields,
                 "SSVM-Job-Id: %lld\r\nSSVM-Job-Attempt: %u\r\nContent-Type: %.200s\r\n",
                 (long long)j->id, j->attempts, j->type[0] ? j->type : "application/octet-stream");

    plat_message_init(m, PLAT_ASK_INVOKE);
    plat_put_str(m, PLAT_TAG_TENANT, j->tenant);
    plat_put_str(m, PLAT_TAG_FUNCTION, j->function);
    plat_put_str(m, PLAT_TAG_PATH, j->path);
    plat_put_str(m, PLAT_TAG_METHOD, "POST");
    plat_put(m, PLAT_TAG_FIELDS, fields, (size_t)n);
    plat_put(m, PLAT_TAG_BODY, j->body.data, j->body.len);
    plat_put_u64(m, PLAT_TAG_NUMBER, j->trigger);
    if (j->trace[0])
        plat_put_str(m, PLAT_TAG_TRACE, j->trace);
}

/* The first line of what the function answered, for people. */
static void describe(char *ret, size_t size, uint64_t status, struct sv_str body)
{
    size_t n = (size_t)snprintf(ret, size, "%llu", (unsigned long long)status), i = 0;

    if (!sv_utf8_valid(body.ptr, body.len))
        return;
    if (body.len > 0)
        n += (size_t)snprintf(ret + n, size - n, ": ");
    for (; i < body.len && n + 5 < size && (unsigned char)body.ptr[i] >= 0x20; i++)
        ret[n++] = body.ptr[i];
    while (i < body.len && n > 0 && ((unsigned char)body.ptr[i] & 0xc0) == 0x80) {
        n--; /* no half of a character */
        i--;
    }
    ret[n] = '\0';
}

static bool is_stopped(struct ctl_queue *q)
{
    bool stop;

    pthread_mutex_lock(&q->lock);
    stop = q->stop;
    pthread_mutex_unlock(&q->lock);
    return stop;
}

static void attempt(struct ctl_server *server, struct running *j)
{
    struct end e = {.job = j, .node = server->node, .delay_ms = backoff(j->attempts)};
    char why[ERROR_MAX_BYTES];
    struct plat_message request, answer;
    struct sv_err err = {0};
    uint64_t status = 0;
    int r;

    fill_request(j, &request);
    r = request.values.failed
            ? sv_fail_nomem(&err, "a job")
            : ctl_workers_ask(server, &err, &request,
                              sv_clock_ns() + (uint64_t)CALL_MAX_MS * 1000000, &answer);
    plat_message_release(&request);
    if (r == 0) {
        if (!plat_get_u64(&answer, PLAT_TAG_STATUS, &status) || status >= 400) {
            describe(why, sizeof why, status, plat_get(&answer, PLAT_TAG_BODY));
            e.error = why;
        }
        plat_message_release(&answer);
    } else {
        snprintf(why, sizeof why, "%.*s", ERROR_MAX_BYTES - 1, err.text);
        e.error = why;
        e.untried = r == SV_ENOTFOUND;
        if (e.untried)
            e.delay_ms = NO_WORKER_MS;
    }
    /* While the database does not work, its end waits; for longer, the lease ends by itself and it
     * is tried again. Who comes after us frees what we leave. */
    for (unsigned i = 0; ctl_db_write(server->db, NULL, end_job, &e) < 0 && i < END_TRIES; i++) {
        if (is_stopped(j->queue))
            break;
        nanosleep(&(struct timespec){.tv_nsec = END_PAUSE_NS}, NULL);
    }
}

static void run_job(struct ctl_server *server, void *data)
{
    struct running *j = data, **p;
    struct ctl_queue *q = j->queue;

    attempt(server, j);
    pthread_mutex_lock(&q->lock);
    for (p = &q->running; *p != j; p = &(*p)->next)
        ;
    *p = j->next;
    q->nrunning--;
    q->changed = true;
    pthread_cond_signal(&q->wake);
    if (q->nrunning == 0)
        pthread_cond_signal(&q->idle);
    pthread_mutex_unlock(&q->lock);
    delete_running(j);
}

/* ---- The thread ---- */

static void begin(struct ctl_queue *q, struct claim *c)
{
    while (c->jobs) {
        struct running *j = c->jobs;

        c->jobs = j->next;
        pthread_mutex_lock(&q->lock);
        j->next = q->running;
        q->running = j;
        q->nrunning++;
        pthread_mutex_unlock(&q->lock);
        /* Without a thread for it: here. It is claimed, so it is run. */
        if (ctl_pool_run(q->server, run_job, j) < 0)
            run_job(q->server, j);
    }
}

/* Wait for a change or a time, at most IDLE_MS. With the lock held. */
static void wait_for_more(struct ctl_queue *q, int64_t next_ms)
{
    int64_t wait = next_ms - sv_clock_wall_ms();
    struct timespec until;

    if (wait > IDLE_MS)
        wait = IDLE_MS;
    if (wait < 1)
        wait = 1;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += (long)(wait % 1000) * 1000000;
    until.tv_sec += wait / 1000 + until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (!q->stop && !q->changed && pthread_cond_timedwait(&q->wake, &q->lock, &until) == 0)
        ;
    q->changed = false;
}

static void *run_thread(void *data)
{
    struct ctl_queue *q = data;
    struct claim *c = sv_alloc_zero(sizeof *c);

    if (!c)
        return NULL;
    c->queue = q;
    c->first = true;
    pthread_mutex_lock(&q->lock);
    while (!q->stop) {
        int r;

        c->room = RUNNING_MAX - q->nrunning;
        pthread_mutex_unlock(&q->lock);
        c->next_ms = INT64_MAX;
        r = c->first ? 0 : ctl_db_read(q->server->db, NULL, look, c);
        if (r == 0 && c->room > 0 && (c->first || c->next_ms <= sv_clock_wall_ms())) {
            r = ctl_db_write_in_turn(q->server->db, NULL, "claim", claim, c);
            if (r == 0) {
                begin(q, c);
                c->first = false;
            }
        }
        clear_claim(c);
        pthread_mutex_lock(&q->lock);
        /* Without room, the end of a job wakes us; a database that is gone, or functions that have
         * enough to do, are looked at again in a while. */
        wait_for_more(q, r < 0 || q->nrunning > 0 ? sv_clock_wall_ms() + IDLE_MS / 10 : c->next_ms);
    }
    pthread_mutex_unlock(&q->lock);
    sv_free(c);
    return NULL;
}

/* ---- The part ---- */

static void take_notice(void *data, const char *what)
{
    struct ctl_queue *q = data;

    if (what && strcmp(what, CTL_QUEUE_CHANGED) != 0)
        return;
    pthread_mutex_lock(&q->lock);
    q->changed = true;
    pthread_cond_signal(&q->wake);
    pthread_mutex_unlock(&q->lock);
}

int ctl_queue_start(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_queue *q = sv_alloc_zero(sizeof *q);
    pthread_condattr_t attr;

    if (!q)
        return sv_fail_nomem(err, "the queue");
    q->server = server;
    pthread_mutex_init(&q->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&q->wake, &attr);
    pthread_cond_init(&q->idle, &attr);
    pthread_condattr_destroy(&attr);
    server->queue = q; /* as long as the process: notices come until the database is closed */
    ctl_db_watch(server->db, take_notice, q);
    if (pthread_create(&q->thread, NULL, run_thread, q) != 0)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "cannot start a thread");
    return 0;
}

void ctl_queue_stop(struct ctl_server *server)
{
    struct ctl_queue *q = server->queue;

    pthread_mutex_lock(&q->lock);
    q->stop = true;
    pthread_cond_signal(&q->wake);
    pthread_mutex_unlock(&q->lock);
    pthread_join(q->thread, NULL);
    pthread_mutex_lock(&q->lock);
    while (q->nrunning > 0)
        pthread_cond_wait(&q->idle, &q->lock);
    pthread_mutex_unlock(&q->lock);
}
