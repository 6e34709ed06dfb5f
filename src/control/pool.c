/* Threads of the control process: as many as there is work that waits, up to a limit, and one that
 * starts what is done every so often. Knows nothing of the work. */
#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "control/part.h"

/* Those that wait for others are limited where they do, for each tenant too, to fewer: what answers
 * at once always finds one. */
#define THREADS_MAX 128
#define QUEUE_MAX 65536 /* pieces of work that wait; beyond, who asks is told so */
#define NS_PER_MS 1000000U
#define NS_PER_S 1000000000U

typedef void (*work_fn)(struct ctl_server *, void *);

struct work {
    struct work *next;
    work_fn fn;
    void *data;
    struct regular *regular; /* NULL: once */
};

/* Work that is done again and again, never twice at a time. */
struct regular {
    struct regular *next;
    struct work work;
    uint64_t every_ns, due_ns;
    bool running;
};

struct ctl_pool {
    struct ctl_server *server;
    pthread_mutex_t lock;
    pthread_cond_t more, tick; /* work; a new regular one, or the end */
    pthread_cond_t done;       /* nothing runs and nothing waits */
    struct work *first, *last;
    struct regular *regulars;
    unsigned nqueued, nidle, nthreads, nrunning;
    bool quiet; /* regular work is no longer begun */
    bool stop;
    pthread_t clock, threads[THREADS_MAX];
};

/* With the lock held. */
static struct work *take_work(struct ctl_pool *pool)
{
    struct work *work = pool->first;

    pool->first = work->next;
    if (!pool->first)
        pool->last = NULL;
    pool->nqueued--;
    return work;
}

static void *run_thread(void *arg)
{
    struct ctl_pool *pool = arg;

    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct work *work;

        while (!pool->first && !pool->stop) {
            pool->nidle++;
            pthread_cond_wait(&pool->more, &pool->lock);
            pool->nidle--;
        }
        if (!pool->first)
            break;
        work = take_work(pool);
        pool->nrunning++;
        pthread_mutex_unlock(&pool->lock);
        work->fn(pool->server, work->data);
        pthread_mutex_lock(&pool->lock);
        if (work->regular)
            work->regular->running = false;
        else
            sv_free(work);
        if (--pool->nrunning == 0 && !pool->first)
            pthread_cond_broadcast(&pool->done);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* With the lock held. False: nobody would ever take it. */
static bool add_work(struct ctl_pool *pool, struct work *work)
{
    if (pool->nqueued >= QUEUE_MAX)
        return false;
    if (pool->nqueued >= pool->nidle && pool->nthreads < THREADS_MAX &&
        pthread_create(&pool->threads[pool->nthreads], NULL, run_thread, pool) == 0)
        pool->nthreads++;
    if (pool->nthreads == 0)
        return false;
    work->next = NULL;
    *(pool->last ? &pool->last->next : &pool->first) = work;
    pool->last = work;
    pool->nqueued++;
    pthread_cond_signal(&pool->more);
    return true;
}

/* Start what is due. When the next is; UINT64_MAX: nothing. With the lock held. */
static uint64_t start_due(struct ctl_pool *pool, uint64_t now)
{
    uint64_t next = UINT64_MAX;

    for (struct regular *r = pool->regulars; r; r = r->next) {
        if (r->due_ns <= now) {
            if (!r->running && !pool->quiet)
                r->running = add_work(pool, &r->work);
            r->due_ns = now + r->every_ns;
        }
        if (r->due_ns < next)
            next = r->due_ns;
    }
    return next;
}

static void *run_clock(void *arg)
{
    struct ctl_pool *pool = arg;

    pthread_mutex_lock(&pool->lock);
    while (!pool->stop) {
        uint64_t next = start_due(pool, sv_clock_ns());
        struct timespec until = {.tv_sec = (time_t)(next / NS_PER_S),
                                 .tv_nsec = (long)(next % NS_PER_S)};

        if (next == UINT64_MAX)
            pthread_cond_wait(&pool->tick, &pool->lock);
        else
            pthread_cond_timedwait(&pool->tick, &pool->lock, &until);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

int ctl_pool_run(struct ctl_server *server, work_fn fn, void *data)
{
    struct ctl_pool *pool = server->pool;
    struct work *work = sv_alloc(sizeof *work);
    bool taken;

    if (!work)
        return sv_fail_nomem(NULL, "work");
    *work = (struct work){.fn = fn, .data = data};
    pthread_mutex_lock(&pool->lock);
    taken = add_work(pool, work);
    pthread_mutex_unlock(&pool->lock);
    if (taken)
        return 0;
    sv_free(work);
    return SV_ELIMIT;
}

int ctl_pool_every(struct ctl_server *server, unsigned every_ms, work_fn fn, void *data)
{
    struct ctl_pool *pool = server->pool;
    struct regular *r;

    if (every_ms == 0)
        return ctl_pool_run(server, fn, data);
    r = sv_alloc_zero(sizeof *r);
    if (!r)
        return sv_fail_nomem(NULL, "work");
    r->work = (struct work){.fn = fn, .data = data, .regular = r};
    r->every_ns = (uint64_t)every_ms * NS_PER_MS;
    r->due_ns = sv_clock_ns() + r->every_ns;
    pthread_mutex_lock(&pool->lock);
    r->next = pool->regulars;
    pool->regulars = r;
    pthread_cond_signal(&pool->tick);
    pthread_mutex_unlock(&pool->lock);
    return 0;
}

int ctl_pool_start(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_pool *pool = sv_alloc_zero(sizeof *pool);
    pthread_condattr_t clock;

    if (!pool)
        return sv_fail_nomem(err, "the threads");
    pool->server = server;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
    pthread_cond_init(&pool->done, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->tick, &clock);
    pthread_condattr_destroy(&clock);
    if (pthread_create(&pool->clock, NULL, run_clock, pool) != 0) {
        sv_free(pool);
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "cannot start a thread");
    }
    server->pool = pool;
    return 0;
}

void ctl_pool_quiet(struct ctl_server *server)
{
    struct ctl_pool *pool = server->pool;

    pthread_mutex_lock(&pool->lock);
    pool->quiet = true;
    while (pool->first || pool->nrunning > 0)
        pthread_cond_wait(&pool->done, &pool->lock);
    pthread_mutex_unlock(&pool->lock);
}

/* What has been taken on is done. */
void ctl_pool_stop(struct ctl_server *server)
{
    struct ctl_pool *pool = server->pool;

    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->more);
    pthread_cond_signal(&pool->tick);
    pthread_mutex_unlock(&pool->lock);
    pthread_join(pool->clock, NULL);
    for (unsigned i = 0; i < pool->nthreads; i++)
        pthread_join(pool->threads[i], NULL);
    while (pool->regulars) {
        struct regular *r = pool->regulars;

        pool->regulars = r->next;
        sv_free(r);
    }
    sv_free(pool);
    server->pool = NULL;
}
