/* Threads: loops, long calls, and the watch. See pool.h for the idea,
 * doc/decisions/004-serve-threads.md for its figures. */
#include "serve/pool.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "serve/call.h"
#include "serve/loop.h"

#define NS_PER_MS 1000000U
#define STACK_BYTES (1U << 20) /* of a thread; guests have stacks of their own */
#define WATCH_LOG_BYTES                                                                            \
    (128 << 10) /* of waiting log lines, at which they are written without delay */

struct srv_thread {
    struct srv_thread *next;
    struct srv_pool *pool;
    pthread_t id;
    struct srv_guest guest;
};

static _Thread_local struct srv_guest *self; /* of the thread that we are */

/* ---- Guests ---- */

void srv_pool_guest_enter(ssvm_store *store, uint64_t deadline_ns, const struct srv_conn *conn)
{
    pthread_mutex_lock(&self->lock);
    self->store = store;
    self->deadline_ns = deadline_ns;
    self->conn = conn;
    self->expired = false;
    pthread_mutex_unlock(&self->lock);
}

bool srv_pool_guest_leave(void)
{
    bool expired;

    pthread_mutex_lock(&self->lock);
    self->store = NULL;
    expired = self->expired;
    pthread_mutex_unlock(&self->lock);
    return expired;
}

void srv_pool_each_guest(struct srv_pool *pool, bool (*fn)(void *data, const struct srv_conn *),
                         void *data)
{
    bool more = true;

    pthread_mutex_lock(&pool->lock);
    for (struct srv_thread *t = pool->threads; t && more; t = t->next) {
        pthread_mutex_lock(&t->guest.lock);
        if (t->guest.store)
            more = fn(data, t->guest.conn);
        pthread_mutex_unlock(&t->guest.lock);
    }
    pthread_mutex_unlock(&pool->lock);
}

bool srv_pool_guest_ended(void)
{
    bool expired;

    pthread_mutex_lock(&self->lock);
    expired = self->expired;
    pthread_mutex_unlock(&self->lock);
    return expired;
}

/* End the calls whose deadline is over, or whose client has gone. */
static void check_deadlines(struct srv_pool *pool, uint64_t now)
{
    for (struct srv_thread *t = pool->threads; t; t = t->next) {
        pthread_mutex_lock(&t->guest.lock);
        if (t->guest.store && !t->guest.expired &&
            (now >= t->guest.deadline_ns ||
             atomic_load_explicit(&t->guest.conn->lost, memory_order_relaxed))) {
            t->guest.expired = true;
            ssvm_store_cancel(t->guest.store);
        }
        pthread_mutex_unlock(&t->guest.lock);
    }
}

/* ---- Threads ---- */

static void *run_thread(void *arg);

static bool start_thread(pthread_t *ret, void *(*run)(void *), void *arg)
{
    pthread_attr_t attr;
    bool ok;

    if (pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    ok = pthread_create(ret, &attr, run, arg) == 0;
    pthread_attr_destroy(&attr);
    return ok;
}

/* With the lock held. */
static bool add_thread(struct srv_pool *pool)
{
    struct srv_thread *thread;

    if (pool->nthreads >= pool->max_threads || pool->stop)
        return false;
    thread = calloc(1, sizeof *thread);
    if (!thread)
        return false;
    thread->pool = pool;
    pthread_mutex_init(&thread->guest.lock, NULL);
    if (!start_thread(&thread->id, run_thread, thread)) {
        pthread_mutex_destroy(&thread->guest.lock);
        free(thread);
        return false;
    }
    thread->next = pool->threads;
    pool->threads = thread;
    pool->nthreads++;
    pool->starting++;
    return true;
}

/* Calls that may begin beside those that run. With the lock held. */
static unsigned free_places(const struct srv_pool *pool)
{
    unsigned limit = (unsigned)pool->server->config.calls;

    return pool->away < limit ? limit - pool->away : 0;
}

/* Calls that a thread may take from the queue now. With the lock held. */
static unsigned ready_calls(const struct srv_pool *pool)
{
    unsigned room = free_places(pool);

    return pool->nqueued < room ? pool->nqueued : room;
}

/* Somebody must take what has been added. False: there is no thread for it now. With the lock held.
 */
static bool want_thread(struct srv_pool *pool)
{
    bool there =
        pool->waiting + pool->starting >= pool->nadrift + ready_calls(pool) || add_thread(pool);

    pthread_cond_signal(&pool->more);
    return there;
}

static void set_away(struct srv_pool *pool, int change)
{
    pool->away = (unsigned)((int)pool->away + change);
    atomic_store_explicit(&pool->busy, pool->away, memory_order_relaxed);
}

static void run_loop(struct srv_pool *pool, struct srv_loop *loop)
{
    if (srv_loop_run(loop))
        return;
    pthread_mutex_lock(&pool->lock);
    pool->drained++;
    pthread_cond_broadcast(&pool->changed);
    pthread_mutex_unlock(&pool->lock);
}

void srv_pool_return(struct srv_pool *pool, struct srv_conn *conn)
{
    pthread_mutex_lock(&pool->lock);
    set_away(pool, -1);
    if (ready_calls(pool) > 0)
        pthread_cond_signal(&pool->more);
    pthread_mutex_unlock(&pool->lock);
    srv_loop_give(conn->loop, conn);
}

static struct srv_conn *take_call(struct srv_pool *pool)
{
    struct srv_conn *conn = pool->first;

    pool->first = conn->next;
    if (!pool->first)
        pool->last = NULL;
    pool->nqueued--;
    set_away(pool, 1);
    return conn;
}

static void *run_thread(void *arg)
{
    struct srv_thread *thread = arg;
    struct srv_pool *pool = thread->pool;

    self = &thread->guest;
    pthread_mutex_lock(&pool->lock);
    pool->starting--;
    while (!pool->stop) {
        if (pool->nadrift > 0) {
            struct srv_loop *loop = pool->adrift[--pool->nadrift];

            pool->looping++;
            pthread_mutex_unlock(&pool->lock);
            run_loop(pool, loop);
            pthread_mutex_lock(&pool->lock);
            pool->looping--;
        } else if (ready_calls(pool) > 0) {
            struct srv_conn *conn = take_call(pool);

            pthread_mutex_unlock(&pool->lock);
            srv_call_queued(conn);
            srv_pool_return(pool, conn);
            pthread_mutex_lock(&pool->lock);
        } else {
            pool->waiting++;
            pthread_cond_wait(&pool->more, &pool->lock);
            pool->waiting--;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- The stage ---- */

static bool enqueue(struct srv_pool *pool, struct srv_conn *conn)
{
    bool taken = false;

    pthread_mutex_lock(&pool->lock);
    if (pool->nqueued < pool->server->config.queue + free_places(pool)) {
        conn->next = NULL;
        *(pool->last ? &pool->last->next : &pool->first) = conn;
        pool->last = conn;
        pool->nqueued++;
        /* All threads may be busy for now; one that has just ended its call counts too. */
        taken = want_thread(pool) || pool->away > 0 || pool->nthreads > pool->looping;
        if (!taken) { /* nobody is there to take it, now or later */
            struct srv_conn **p = &pool->first, *before = NULL;

            for (; *p != conn; p = &(*p)->next)
                before = *p;
            *p = NULL;
            pool->last = before;
            pool->nqueued--;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return taken;
}

/* Call here, or let a thread of the pool do it? */
enum srv_step srv_pool_stage(struct srv_conn *conn)
{
    struct srv_server *server = conn->loop->server;
    struct srv_request *request = &conn->work->request;

    if (request->route == SRV_ROUTE_FORWARD)
        return srv_forward_ask(conn);
    if (request->route != SRV_ROUTE_FUNCTION)
        return SRV_STEP_NEXT;
    if (!request->slow &&
        atomic_load_explicit(&server->pool.busy, memory_order_relaxed) < server->config.calls)
        return SRV_STEP_NEXT;
    srv_loop_set_timer(conn->loop, conn, SRV_TIMER_NONE);
    conn->away = true;
    conn->stage = SRV_STAGE_CALL;
    srv_conn_probe(conn);
    srv_pool_note(&server->pool);
    if (enqueue(&server->pool, conn))
        return SRV_STEP_AWAY;
    conn->away = false;
    srv_conn_fail(conn, 503, "overloaded", "too many calls are waiting; try again shortly");
    srv_reply_field_str(&conn->work->reply, "Retry-After", "1");
    return SRV_STEP_REPLY;
}

/* ---- The watch ---- */

void srv_pool_note(struct srv_pool *pool)
{
    if (!atomic_load(&pool->asleep))
        return;
    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->asleep, false);
    pthread_cond_signal(&pool->wake_watch);
    pthread_mutex_unlock(&pool->lock);
}

/* Take the loop from the thread that makes the call `ticket`, if it still does and another thread
 * is there for the loop. With the lock held. */
static void take_loop(struct srv_pool *pool, struct srv_loop *loop, uint64_t ticket)
{
    if (pool->waiting + pool->starting <= pool->nadrift + ready_calls(pool) && !add_thread(pool))
        return;
    if (!atomic_compare_exchange_strong(&loop->guest, &ticket, 0))
        return;
    set_away(pool, 1);
    pool->adrift[pool->nadrift++] = loop;
    pthread_cond_signal(&pool->more);
}

bool srv_pool_part(struct srv_pool *pool, struct srv_loop *loop, uint64_t ticket)
{
    bool parted;

    pthread_mutex_lock(&pool->lock);
    if (atomic_load(&loop->guest) == ticket)
        take_loop(pool, loop, ticket);
    parted = atomic_load(&loop->guest) != ticket;
    pthread_mutex_unlock(&pool->lock);
    return parted;
}

/* One look. Whether anything runs. With the lock held. */
static bool look(struct srv_pool *pool)
{
    struct srv_server *server = pool->server;
    bool active = pool->away > 0;

    for (unsigned i = 0; i < server->nloops; i++) {
        uint64_t ticket = atomic_load(&server->loops[i].guest);

        if (ticket != 0 && ticket == pool->seen[i])
            take_loop(pool, &server->loops[i], ticket);
        pool->seen[i] = ticket;
        active |= ticket != 0;
    }
    if (active)
        check_deadlines(pool, srv_clock_ns());
    return active;
}

/* Nothing has happened for a while: sleep until something does. With the lock held. */
static void sleep_watch(struct srv_pool *pool)
{
    atomic_store(&pool->asleep, true);
    if (look(pool))
        atomic_store(&pool->asleep, false);
    while (atomic_load(&pool->asleep) && !pool->stop)
        pthread_cond_wait(&pool->wake_watch, &pool->lock);
    atomic_store(&pool->asleep, false);
}

static void *run_watch(void *arg)
{
    static const struct timespec pause = {.tv_nsec = SRV_WATCH_MS * NS_PER_MS};
    struct srv_pool *pool = arg;
    uint64_t tickets = 0;
    unsigned idle = 0;

    pthread_mutex_lock(&pool->lock);
    for (unsigned n = 1; !pool->stop; n++) {
        uint64_t now_tickets = atomic_load_explicit(&pool->tickets, memory_order_relaxed);

        idle = look(pool) || now_tickets != tickets ? 0 : idle + 1;
        tickets = now_tickets;
        pthread_mutex_unlock(&pool->lock);
        if (n % SRV_WATCH_LOG == 0 || idle > SRV_WATCH_IDLE ||
            srv_log_waiting(&pool->server->log) > WATCH_LOG_BYTES)
            srv_log_write(&pool->server->log);
        if (idle <= SRV_WATCH_IDLE)
            nanosleep(&pause, NULL);
        pthread_mutex_lock(&pool->lock);
        if (idle > SRV_WATCH_IDLE && srv_log_waiting(&pool->server->log) == 0) {
            sleep_watch(pool);
            idle = 0;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- Start and end ---- */

bool srv_pool_start(struct srv_pool *pool, struct srv_server *server)
{
    unsigned n = server->nloops;
    bool ok = true;

    memset(pool, 0, sizeof *pool);
    pool->server = server;
    /* Calls beside the loops, a loop's own call each, and as many that were found to be long while
     * the pool was full. */
    pool->max_threads = (unsigned)server->config.calls + 2 * n;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
    pthread_cond_init(&pool->wake_watch, NULL);
    pthread_condattr_t clock;
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->changed, &clock);
    pthread_condattr_destroy(&clock);
    pool->adrift = calloc(n, sizeof(struct srv_loop *));
    pool->seen = calloc(n, sizeof *pool->seen);
    if (!pool->adrift || !pool->seen || !start_thread(&pool->watch, run_watch, pool))
        return false;
    pthread_mutex_lock(&pool->lock);
    for (unsigned i = 0; i < n; i++) {
        pool->adrift[pool->nadrift++] = &server->loops[i];
        ok = ok && add_thread(pool);
    }
    pthread_mutex_unlock(&pool->lock);
    return ok;
}

bool srv_pool_drain(struct srv_pool *pool, uint64_t timeout_ms)
{
    struct timespec until;
    int r = 0;

    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(timeout_ms / 1000);
    until.tv_nsec += (long)(timeout_ms % 1000 * NS_PER_MS);
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    pthread_mutex_lock(&pool->lock);
    while (pool->drained < pool->server->nloops && r != ETIMEDOUT)
        r = pthread_cond_timedwait(&pool->changed, &pool->lock, &until);
    pthread_mutex_unlock(&pool->lock);
    return r != ETIMEDOUT;
}

void srv_pool_cancel(struct srv_pool *pool)
{
    pthread_mutex_lock(&pool->lock);
    check_deadlines(pool, UINT64_MAX);
    pthread_mutex_unlock(&pool->lock);
}

void srv_pool_stop(struct srv_pool *pool)
{
    struct srv_thread *thread;

    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->more);
    pthread_cond_signal(&pool->wake_watch);
    pthread_mutex_unlock(&pool->lock);
    pthread_join(pool->watch, NULL);
    while ((thread = pool->threads)) {
        pool->threads = thread->next;
        pthread_join(thread->id, NULL);
        pthread_mutex_destroy(&thread->guest.lock);
        free(thread);
    }
    free(pool->adrift);
    free(pool->seen);
}
