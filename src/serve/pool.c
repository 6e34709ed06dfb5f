/* Threads: loops, long calls, and the watch. See pool.h for the idea,
 * doc/decisions/004-serve-threads.md for its figures. */
#include "serve/pool.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "serve/call.h"
#include "serve/isolated.h"
#include "serve/link.h"
#include "serve/loop.h"
#include "serve/priority.h"
#include "serve/relay.h"
#include "serve/state.h"
#include "serve/tally.h"

#define NS_PER_MS 1000000U
#define STACK_BYTES (1U << 20) /* of a thread; guests have stacks of their own */
#define WATCH_LOG_BYTES                                                                            \
    (128 << 10) /* of waiting log lines, at which they are written without delay */

struct srv_thread {
    struct srv_thread *next;
    struct srv_pool *pool;
    pthread_t id;
    pid_t tid;
    bool low; /* its priority is: with this call it ends */
    struct srv_guest guest;
};

static _Thread_local struct srv_guest *self; /* of the thread that we are */

/* ---- Guests ---- */

void srv_pool_guest_enter(ssvm_store *store, struct srv_conn *conn)
{
    const struct plat_limits *limits = &conn->work->request.limits;

    pthread_mutex_lock(&self->lock);
    self->store = store;
    self->start_ns = conn->work->request.run_began_ns;
    self->deadline_ns = self->start_ns + limits->wall_ms * NS_PER_MS;
    if (conn->deadline_ns && conn->deadline_ns < self->deadline_ns)
        self->deadline_ns = conn->deadline_ns;
    self->cpu_end_ns =
        limits->cpu_ms ? sv_clock_thread_ns() + limits->cpu_ms * NS_PER_MS : UINT64_MAX;
    self->conn = conn;
    self->expired = false;
    pthread_mutex_unlock(&self->lock);
    conn->work->request.guest = self;
}

const struct srv_conn *srv_pool_guest_conn(void)
{
    return self && self->store ? self->conn : NULL; /* set by this thread alone */
}

/* The watch has made it low: with the usual priority again it may go on, if it may have that. */
static void recover(struct srv_guest *guest)
{
    struct srv_thread *thread =
        (struct srv_thread *)(void *)((char *)guest - offsetof(struct srv_thread, guest));

    if (thread->low)
        thread->low = !srv_priority_reset(thread->tid);
}

bool srv_pool_guest_leave(void)
{
    bool expired;

    pthread_mutex_lock(&self->lock);
    self->store = NULL;
    expired = self->expired;
    recover(self);
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

bool srv_pool_guest_ended(struct srv_guest *guest)
{
    bool expired;

    pthread_mutex_lock(&guest->lock);
    expired = guest->expired;
    pthread_mutex_unlock(&guest->lock);
    return expired;
}

uint64_t srv_pool_guest_deadline(const struct srv_conn *conn)
{
    return conn->work->request.guest->deadline_ns; /* the same for all of the call */
}

/* The CPU time that its limit allows is over. */
static bool is_spent(const struct srv_guest *guest)
{
    struct timespec used;

    return guest->cpu_end_ns != UINT64_MAX && clock_gettime(guest->cpu_clock, &used) == 0 &&
           (uint64_t)used.tv_sec * 1000 * NS_PER_MS + (uint64_t)used.tv_nsec >= guest->cpu_end_ns;
}

/* Its thread runs a loop. With the pool's lock held. */
static bool has_loop(const struct srv_conn *conn)
{
    uint64_t ticket = conn->work->request.ticket;

    return ticket != 0 && atomic_load(&conn->loop->guest) == ticket;
}

/* End the calls whose deadline is over, or whose client has gone. */
static void check_deadlines(struct srv_pool *pool, uint64_t now)
{
    for (struct srv_thread *t = pool->threads; t; t = t->next) {
        pthread_mutex_lock(&t->guest.lock);
        if (t->guest.store && !t->low && now - t->guest.start_ns > SRV_LONG_MS * NS_PER_MS &&
            !has_loop(t->guest.conn)) {
            srv_priority_lower(t->tid);
            t->low = true;
        }
        if (t->guest.store && !t->guest.expired &&
            (now >= t->guest.deadline_ns ||
             atomic_load_explicit(&t->guest.conn->lost, memory_order_relaxed) ||
             is_spent(&t->guest))) {
            t->guest.expired = true;
            ssvm_store_cancel(t->guest.store);
            srv_link_end_calls(pool->server, &t->guest);
            if (t->low) /* or it would hear of it when the others leave it a moment */
                srv_priority_raise(t->tid);
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

/* Calls that a thread may take from the queue now, if their functions' limits allow. With the lock
 * held. */
static unsigned ready_calls(const struct srv_pool *pool)
{
    unsigned room = free_places(pool);

    return pool->fair.queued < room ? pool->fair.queued : room;
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
    srv_fair_end(conn);
    if (ready_calls(pool) > 0)
        pthread_cond_signal(&pool->more);
    pthread_mutex_unlock(&pool->lock);
    srv_loop_give(conn->loop, conn);
}

unsigned srv_pool_waiting_max(const struct srv_server *server)
{
    unsigned half = (unsigned)server->config.calls / 2;

    return half > SRV_CALL_DEPTH_MAX ? half : SRV_CALL_DEPTH_MAX;
}

void srv_pool_wait(struct srv_pool *pool, struct srv_conn *conn)
{
    pthread_mutex_lock(&pool->lock);
    set_away(pool, -1);
    srv_fair_end(conn);
    if (ready_calls(pool) > 0)
        want_thread(pool);
    pthread_mutex_unlock(&pool->lock);
}

/* There may be more than `calls` now, for a while: all are in the middle of something. */
void srv_pool_go_on(struct srv_pool *pool, struct srv_conn *conn)
{
    pthread_mutex_lock(&pool->lock);
    set_away(pool, 1);
    srv_fair_go_on(conn);
    pthread_mutex_unlock(&pool->lock);
}

/* Of all calls beside the loops, those that one tenant may have. */
static unsigned tenant_max(const struct srv_pool *pool)
{
    unsigned calls = (unsigned)pool->server->config.calls;

    return calls - calls / 4;
}

/* NULL: those that wait may not run now. With the lock held. */
static struct srv_conn *take_call(struct srv_pool *pool)
{
    struct srv_conn *conn =
        ready_calls(pool) > 0 ? srv_fair_take(&pool->fair, tenant_max(pool)) : NULL;

    if (conn)
        set_away(pool, 1);
    return conn;
}

/* It ends before the pool does. With the lock held. */
static void drop_thread(struct srv_pool *pool, own struct srv_thread *thread)
{
    struct srv_thread **at = &pool->threads;

    while (*at != thread)
        at = &(*at)->next;
    *at = thread->next;
    pool->nthreads--;
    pthread_detach(thread->id);
    pthread_mutex_destroy(&thread->guest.lock);
    free(thread);
}

static void *run_thread(void *arg)
{
    struct srv_thread *thread = arg;
    struct srv_pool *pool = thread->pool;
    struct srv_conn *conn;

    self = &thread->guest;
    pthread_getcpuclockid(pthread_self(), &self->cpu_clock);
    pthread_mutex_lock(&pool->lock);
    thread->tid = (pid_t)syscall(SYS_gettid);
    srv_priority_reset(thread->tid);
    pool->starting--;
    while (!pool->stop && !thread->low) {
        if (pool->nadrift > 0) {
            struct srv_loop *loop = pool->adrift[--pool->nadrift];

            pool->looping++;
            pthread_mutex_unlock(&pool->lock);
            run_loop(pool, loop);
            pthread_mutex_lock(&pool->lock);
            pool->looping--;
        } else if ((conn = take_call(pool))) {
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
    /* What waits for a thread is the watch's to see: one that we made would be as slow as we are.
     */
    if (!pool->stop)
        drop_thread(pool, thread);
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- The stage ---- */

/* The function's tenant's share of the threads. With the lock held. NULL: no memory. */
static struct srv_share *find_share(struct srv_pool *pool, const struct srv_conn *conn)
{
    struct srv_function *f = conn->work->request.function;

    if (!f->quota.share)
        f->quota.share = srv_fair_share(&pool->fair, f->tenant);
    return f->quota.share;
}

/* Of `room` places, those that are left of `most`. */
static unsigned left(unsigned room, uint64_t most, unsigned used)
{
    return used >= most ? 0 : most - used < room ? (unsigned)(most - used) : room;
}

/* May one more call wait, beside those that a thread will take at once? No function and no tenant
 * fills the queue alone. With the lock held. */
static bool has_room(const struct srv_pool *pool, const struct srv_conn *conn,
                     const struct srv_share *share)
{
    const struct plat_limits *limits = &conn->work->request.limits;
    const struct srv_quota *quota = &conn->work->request.function->quota;
    unsigned most = (unsigned)pool->server->config.queue, room = free_places(pool);
    unsigned of_tenant = left(room, tenant_max(pool), share->running);
    unsigned of_function = left(of_tenant, limits->concurrency, atomic_load(&quota->running));

    if (pool->fair.queued >= most + room || share->queued >= most - most / 4 + of_tenant)
        return false;
    if (conn->work->request.placed) /* it waits from now on */
        return srv_place_wait(quota->tally, quota->place, limits->concurrency + limits->queue);
    return atomic_load(&quota->queued) < limits->queue + of_function;
}

static void wake_watch(struct srv_pool *pool)
{
    atomic_store(&pool->asleep, false);
    pthread_cond_signal(&pool->wake_watch);
}

static bool enqueue(struct srv_pool *pool, struct srv_conn *conn)
{
    struct srv_quota *quota = &conn->work->request.function->quota;
    struct srv_share *share;
    bool taken = false;

    pthread_mutex_lock(&pool->lock);
    share = find_share(pool, conn);
    if (share && has_room(pool, conn, share)) {
        srv_fair_put(&pool->fair, conn);
        if (atomic_load(&pool->asleep))
            wake_watch(pool);
        /* All threads may be busy for now; one that has just ended its call counts too. */
        taken = want_thread(pool) || pool->away > 0 || pool->nthreads > pool->looping;
        if (!taken) { /* nobody is there to take it, now or later */
            srv_fair_remove(&pool->fair, conn);
            if (conn->work->request.placed)
                srv_place_leave(quota->tally, quota->place);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return taken;
}

bool srv_pool_begin(struct srv_pool *pool, struct srv_conn *conn)
{
    struct srv_quota *quota = &conn->work->request.function->quota;
    bool known = quota->share;

    if (!known) {
        pthread_mutex_lock(&pool->lock);
        known = find_share(pool, conn);
        pthread_mutex_unlock(&pool->lock);
    }
    if (!known)
        srv_quota_give(quota, conn->work->request.placed);
    return known;
}

void srv_pool_end(struct srv_pool *pool, struct srv_conn *conn)
{
    struct srv_quota *quota = &conn->work->request.function->quota;

    srv_quota_give(quota, conn->work->request.placed);
    if (atomic_load_explicit(&quota->queued, memory_order_relaxed) == 0)
        return; /* else one of the same function may have been waiting for this */
    pthread_mutex_lock(&pool->lock);
    want_thread(pool);
    pthread_mutex_unlock(&pool->lock);
}

/* For the tests of what a process takes with it that crashes, or hangs: as if a function did so; a
 * request with a query crashes before its function's begin. */
static void fail_as_told(const struct srv_conn *conn)
{
    const struct srv_server *server = conn->loop->server;
    const char *path = conn->work->request.path;
    int *volatile nowhere = NULL;

    if (server->crash && strcmp(path, server->crash) == 0 &&
        (conn->work->request.query_len > 0 || srv_isolated_start(conn)))
        *nowhere = 1;
    if (server->hang && strcmp(path, server->hang) == 0 && srv_isolated_start(conn)) {
        for (;;)
            pause();
    }
}

/* Call here, or let a thread of the pool do it? */
enum srv_step srv_pool_stage(struct srv_conn *conn)
{
    struct srv_server *server = conn->loop->server;
    struct srv_request *request = &conn->work->request;

    if (request->route == SRV_ROUTE_RELAY)
        return srv_relay_stage(conn);
    if (server->crash || server->hang)
        fail_as_told(conn);
    if (request->route == SRV_ROUTE_FORWARD)
        return srv_forward_ask(conn);
    if (request->route != SRV_ROUTE_FUNCTION)
        return SRV_STEP_NEXT;
    if (!request->slow &&
        atomic_load_explicit(&server->pool.busy, memory_order_relaxed) < server->config.calls &&
        srv_quota_take(&request->function->quota, request->placed, request->limits.concurrency))
        return SRV_STEP_NEXT;
    srv_loop_set_timer(conn->loop, conn, SRV_TIMER_NONE);
    conn->away = true;
    conn->stage = SRV_STAGE_CALL;
    srv_conn_probe(conn);
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
    wake_watch(pool);
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
    /* From here on the call is not over before srv_pool_return, which waits for the lock. */
    srv_fair_away(loop->calling);
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

/* One look. Whether anything runs, or is to run: the thread that will take it says nothing to the
 * watch. With the lock held. */
static bool look(struct srv_pool *pool)
{
    struct srv_server *server = pool->server;
    bool active = pool->away > 0 || pool->fair.queued > 0 || pool->nadrift > 0;

    if (pool->nadrift + ready_calls(pool) > pool->waiting + pool->starting)
        (void)want_thread(pool);
    else if (pool->fair.placed > 0) /* another worker may have made room, or ended */
        pthread_cond_signal(&pool->more);
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

/* Nothing has happened for a while: sleep until something does. When that takes long, what calls
 * have left for the next ones goes back to the system. With the lock held. */
static void sleep_watch(struct srv_pool *pool)
{
    struct timespec until;
    int r = 0;

    atomic_store(&pool->asleep, true);
    if (look(pool))
        atomic_store(&pool->asleep, false);
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += SRV_TRIM_S;
    while (atomic_load(&pool->asleep) && !pool->stop && r == 0)
        r = pthread_cond_timedwait(&pool->wake_watch, &pool->lock, &until);
    if (r == ETIMEDOUT) {
        pthread_mutex_unlock(&pool->lock);
        ssvm_engine_trim(pool->server->engine);
        pthread_mutex_lock(&pool->lock);
    }
    while (atomic_load(&pool->asleep) && !pool->stop)
        pthread_cond_wait(&pool->wake_watch, &pool->lock);
    atomic_store(&pool->asleep, false);
}

/* Until the next look. Who is told meanwhile that calls have their turn lets a thread take them.
 * With the lock held. */
static void pause_watch(struct srv_pool *pool)
{
    static const struct timespec pause = {.tv_nsec = SRV_WATCH_MS * NS_PER_MS};
    uint64_t now, until;

    if (pool->fair.placed == 0) {
        pthread_mutex_unlock(&pool->lock);
        nanosleep(&pause, NULL);
        pthread_mutex_lock(&pool->lock);
        return;
    }
    now = sv_clock_ns();
    until = now + SRV_WATCH_MS * NS_PER_MS;
    for (; now < until; now = sv_clock_ns()) {
        bool told;

        pthread_mutex_unlock(&pool->lock);
        told = srv_tally_listen(pool->server->tally, &pool->heard, until - now);
        pthread_mutex_lock(&pool->lock);
        if (told)
            (void)want_thread(pool);
    }
}

static void *run_watch(void *arg)
{
    struct srv_pool *pool = arg;
    uint64_t tickets = 0;
    unsigned idle = 0;

    srv_priority_raise((pid_t)syscall(SYS_gettid));
    pthread_mutex_lock(&pool->lock);
    for (unsigned n = 1; !pool->stop; n++) {
        uint64_t now_tickets = atomic_load_explicit(&pool->tickets, memory_order_relaxed);
        size_t waiting = srv_log_waiting(&pool->server->log);

        idle = look(pool) || now_tickets != tickets ? 0 : idle + 1;
        tickets = now_tickets;
        if (n % SRV_WATCH_LOG == 0 || idle > SRV_WATCH_IDLE || waiting > WATCH_LOG_BYTES) {
            pool->log_due = true;
            pthread_cond_signal(&pool->write_log);
        }
        if (idle > SRV_WATCH_IDLE && waiting == 0) {
            sleep_watch(pool);
            idle = 0;
        } else {
            pause_watch(pool);
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* The log has a thread of its own: a disk may block, and deadlines go on. */
static void *run_log(void *arg)
{
    struct srv_pool *pool = arg;

    pthread_mutex_lock(&pool->lock);
    while (!pool->stop) {
        if (!pool->log_due)
            pthread_cond_wait(&pool->write_log, &pool->lock);
        pool->log_due = false;
        pthread_mutex_unlock(&pool->lock);
        srv_log_write(&pool->server->log);
        pthread_mutex_lock(&pool->lock);
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

/* ---- Start and end ---- */

void srv_pool_init(struct srv_pool *pool, struct srv_server *server)
{
    pthread_condattr_t clock;

    memset(pool, 0, sizeof *pool);
    pool->server = server;
    /* Calls beside the loops, those that wait for others, a loop's own call each, and as many that
     * were found to be long while the pool was full. */
    pool->max_threads =
        (unsigned)server->config.calls + srv_pool_waiting_max(server) + 2 * server->nloops;
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->more, NULL);
    pthread_cond_init(&pool->write_log, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->wake_watch, &clock);
    pthread_cond_init(&pool->changed, &clock);
    pthread_condattr_destroy(&clock);
}

bool srv_pool_start(struct srv_pool *pool)
{
    struct srv_server *server = pool->server;
    unsigned n = server->nloops;
    bool ok = true;

    pool->adrift = calloc(n, sizeof(struct srv_loop *));
    pool->seen = calloc(n, sizeof *pool->seen);
    if (!pool->adrift || !pool->seen || !start_thread(&pool->log_writer, run_log, pool) ||
        !start_thread(&pool->watch, run_watch, pool))
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
    atomic_store(&pool->server->cancelled, true);
    for (unsigned i = 0; i < pool->server->nloops; i++)
        srv_loop_wake(&pool->server->loops[i]);
}

void srv_pool_stop(struct srv_pool *pool)
{
    struct srv_thread *thread;

    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->more);
    pthread_cond_signal(&pool->wake_watch);
    pthread_cond_signal(&pool->write_log);
    pthread_mutex_unlock(&pool->lock);
    pthread_join(pool->watch, NULL);
    pthread_join(pool->log_writer, NULL);
    while ((thread = pool->threads)) {
        pool->threads = thread->next;
        pthread_join(thread->id, NULL);
        pthread_mutex_destroy(&thread->guest.lock);
        free(thread);
    }
    srv_fair_release(&pool->fair);
    free(pool->adrift);
    free(pool->seen);
}
