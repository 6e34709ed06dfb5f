/* Event loops. What is done with a connection that is ready is conn.c's. */
#include "serve/loop.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "serve/h2.h"
#include "serve/listen.h"
#include "serve/relay.h"
#include "serve/stream.h"

#define NS_PER_MS 1000000U
#define NS_PER_S 1000000000U
#define RETIRE_ACCEPTS 16  /* of what waits at the door when others take what comes */
#define DRAIN_ACCEPTS 4096 /* and when nobody will */
#define DRAIN_POLL_MS 50   /* while draining: how often to look whether all is done */

uint64_t srv_clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

int srv_loop_init(struct srv_loop *loop, struct srv_server *server)
{
    struct epoll_event wake = {.events = EPOLLIN, .data.ptr = loop};

    memset(loop, 0, sizeof *loop);
    loop->server = server;
    loop->date.second = loop->log_second = -1;
    pthread_mutex_init(&loop->lock, NULL);
    loop->epoll = epoll_create1(EPOLL_CLOEXEC);
    loop->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (loop->epoll < 0 || loop->wake < 0 ||
        epoll_ctl(loop->epoll, EPOLL_CTL_ADD, loop->wake, &wake) < 0)
        return -1;
    for (unsigned i = 0; i < server->nlisteners; i++) {
        if (!srv_listen_wait(loop, &server->listeners[i]))
            return -1;
    }
    return 0;
}

void srv_loop_release(struct srv_loop *loop)
{
    for (int timer = SRV_TIMER_NONE + 1; timer < SRV_TIMER_COUNT; timer++) {
        while (loop->timers[timer].first)
            srv_conn_delete(loop->timers[timer].first);
    }
    while (loop->works) {
        struct srv_work *work = loop->works;

        loop->works = work->next;
        free(work);
    }
    while (loop->conns) {
        struct srv_conn *conn = loop->conns;

        loop->conns = conn->next;
        free(conn);
    }
    srv_site_delete_all(&loop->sites);
    if (loop->epoll > 0)
        close(loop->epoll);
    if (loop->wake > 0)
        close(loop->wake);
    pthread_mutex_destroy(&loop->lock);
}

struct srv_work *srv_loop_take_work(struct srv_loop *loop)
{
    struct srv_work *work = loop->works;

    if (work) {
        loop->works = work->next;
        loop->nworks--;
        return work;
    }
    return malloc(sizeof *work);
}

void srv_loop_put_work(struct srv_loop *loop, own struct srv_work *work)
{
    if (loop->nworks >= SRV_LOOP_SPARE_WORKS) {
        free(work);
        return;
    }
    work->next = loop->works;
    loop->works = work;
    loop->nworks++;
}

void srv_loop_wake(struct srv_loop *loop)
{
    uint64_t one = 1;

    (void)!write(loop->wake, &one, sizeof one);
}

void srv_loop_give(struct srv_loop *loop, struct srv_conn *conn)
{
    bool first;

    pthread_mutex_lock(&loop->lock);
    first = !loop->done;
    conn->behind = loop->done;
    loop->done = conn;
    pthread_mutex_unlock(&loop->lock);
    if (first)
        srv_loop_wake(loop);
}

/* A loop whose thread makes a call may be anywhere: the watch takes it away from there. */
bool srv_loops_beat(struct srv_server *server)
{
    uint64_t asked;
    bool all = true;

    if (!atomic_load(&server->running)) /* there are none yet */
        return false;
    asked = atomic_load(&server->beat);
    for (unsigned i = 0; i < server->nloops; i++)
        all = all && (atomic_load(&server->loops[i].beat) == asked ||
                      atomic_load(&server->loops[i].guest) != 0);
    atomic_store(&server->beat, asked + 1);
    for (unsigned i = 0; i < server->nloops; i++)
        srv_loop_wake(&server->loops[i]);
    return all;
}

/* ---- Timers ---- */

static uint64_t patience_ms(const struct srv_config *config, enum srv_timer timer)
{
    switch (timer) {
    case SRV_TIMER_IDLE:
        return config->idle_ms;
    case SRV_TIMER_HEAD:
        return config->head_ms;
    case SRV_TIMER_BODY:
        return config->body_ms;
    case SRV_TIMER_WRITE:
        return config->write_ms;
    case SRV_TIMER_PARKED:
        return config->isolated_ms;
    default:
        return SRV_LINGER_MS;
    }
}

void srv_loop_set_timer(struct srv_loop *loop, struct srv_conn *conn, enum srv_timer timer)
{
    struct srv_timers *list;

    if (conn->timer != SRV_TIMER_NONE) {
        list = &loop->timers[conn->timer];
        *(conn->prev ? &conn->prev->next : &list->first) = conn->next;
        *(conn->next ? &conn->next->prev : &list->last) = conn->prev;
    }
    conn->timer = timer;
    conn->prev = conn->next = NULL;
    conn->progress = 0;
    if (timer == SRV_TIMER_NONE)
        return;
    list = &loop->timers[timer];
    conn->due_ms = loop->now_ns / NS_PER_MS + patience_ms(&loop->server->config, timer);
    conn->unsent = 0;
    if (timer == SRV_TIMER_WRITE)
        conn->unsent = conn->transport->unsent(conn);
    conn->prev = list->last;
    *(list->last ? &list->last->next : &list->first) = conn;
    list->last = conn;
}

/* Milliseconds until the next timer is over, -1 = never. */
static int next_timeout(const struct srv_loop *loop)
{
    uint64_t now = loop->now_ns / NS_PER_MS, first = UINT64_MAX;

    for (int timer = SRV_TIMER_NONE + 1; timer < SRV_TIMER_COUNT; timer++) {
        if (loop->timers[timer].first && loop->timers[timer].first->due_ms < first)
            first = loop->timers[timer].first->due_ms;
    }
    if (loop->draining && first > now + DRAIN_POLL_MS)
        return DRAIN_POLL_MS;
    if (first == UINT64_MAX)
        return -1;
    return first <= now ? 0 : (int)(first - now) + 1;
}

/* False: this thread has lost the loop. */
static bool expire(struct srv_loop *loop)
{
    uint64_t now = loop->now_ns / NS_PER_MS;

    for (int timer = SRV_TIMER_NONE + 1; timer < SRV_TIMER_COUNT; timer++) {
        struct srv_conn *conn;

        while ((conn = loop->timers[timer].first) && conn->due_ms <= now) {
            if (srv_conn_expire(conn) == SRV_STEP_GONE)
                return false;
        }
    }
    return true;
}

/* ---- Running ---- */

/* Go on with what other threads gave back. False: this thread has lost the loop. */
static bool take_done(struct srv_loop *loop)
{
    for (;;) {
        struct srv_conn *conn;

        pthread_mutex_lock(&loop->lock);
        conn = loop->done;
        if (conn)
            loop->done = conn->behind;
        pthread_mutex_unlock(&loop->lock);
        if (!conn)
            return true;
        conn->behind = NULL;
        conn->away = false;
        if (conn->work && conn->work->request.stream && !conn->work->request.relay_open)
            srv_stream_return(conn);
        if (srv_conn_drive(conn) == SRV_STEP_GONE)
            return false;
    }
}

/* New connections are no longer taken, by us; those that there are end with their reply. */
static void begin_drain(struct srv_loop *loop)
{
    bool last = atomic_load_explicit(&loop->server->draining, memory_order_relaxed);
    int most = last ? DRAIN_ACCEPTS : RETIRE_ACCEPTS;

    loop->draining = true;
    for (unsigned i = 0; i < loop->server->nlisteners; i++) {
        const struct srv_listener *listener = &loop->server->listeners[i];

        for (int n = 0; n < most && srv_listen_accept(loop, listener); n++)
            ;
        epoll_ctl(loop->epoll, EPOLL_CTL_DEL, listener->fd, NULL);
    }
    srv_h2_leave(loop);
}

/* Draining: connections that wait for a request. Those of one tenant's worker are the other side's,
 * which may be sending one. */
static void end_idle(struct srv_loop *loop)
{
    struct srv_conn *next;

    if (!loop->leaving)
        srv_h2_leave(loop);
    loop->leaving = true;
    for (struct srv_conn *conn = loop->timers[SRV_TIMER_IDLE].first; conn; conn = next) {
        next = conn->next;
        if (!conn->h2 && !loop->server->tenant)
            srv_conn_leave(conn);
    }
    while (loop->timers[SRV_TIMER_PARKED].first)
        srv_conn_delete(loop->timers[SRV_TIMER_PARKED].first);
    if (atomic_load(&loop->server->cancelled))
        srv_relay_cancel(loop);
}

static void tell_time(struct srv_loop *loop)
{
    struct timespec t;

    loop->now_ns = srv_clock_ns();
    clock_gettime(CLOCK_REALTIME_COARSE, &t);
    loop->wall = t.tv_sec;
}

/* False: this thread has lost the loop. */
static bool handle_event(struct srv_loop *loop, const struct epoll_event *event)
{
    const struct srv_listener *listeners = loop->server->listeners;
    uintptr_t at = (uintptr_t)event->data.ptr;
    uint64_t ignored;

    if (at >= (uintptr_t)listeners && at < (uintptr_t)(listeners + SRV_LISTENERS_MAX)) {
        srv_listen_accept(loop, event->data.ptr);
        if (!loop->draining)
            srv_listen_turn(loop, event->data.ptr);
        return true;
    }
    if (event->data.ptr == loop) {
        (void)!read(loop->wake, &ignored, sizeof ignored);
        srv_stream_run(loop);
        return take_done(loop);
    }
    return !event->data.ptr || srv_conn_ready(event->data.ptr, event->events) != SRV_STEP_GONE;
}

bool srv_loop_run(struct srv_loop *loop)
{
    int n;

    tell_time(loop);
    if (loop->calling) /* the loop was taken from a long call, and what came before it is not seen
                          again */
        srv_conn_probe(loop->calling);
    srv_loop_wake(loop); /* the call may have been one of those given back: others wait behind it */
    for (;;) {
        while (loop->at < loop->nevents) {
            struct epoll_event event = loop->events[loop->at++];

            if (!handle_event(loop, &event))
                return true;
        }
        if (!expire(loop) || !srv_h2_run(loop))
            return true;
        if (!loop->draining &&
            (atomic_load_explicit(&loop->server->draining, memory_order_relaxed) ||
             atomic_load_explicit(&loop->server->retiring, memory_order_relaxed)))
            begin_drain(loop);
        if (atomic_load_explicit(&loop->server->draining, memory_order_relaxed)) {
            end_idle(loop);
            if (atomic_load_explicit(&loop->nopen, memory_order_relaxed) == 0)
                return false;
        }
        if (loop->deaf && !loop->draining)
            srv_listen_again(loop);
        atomic_store_explicit(&loop->beat,
                              atomic_load_explicit(&loop->server->beat, memory_order_relaxed),
                              memory_order_relaxed);
        loop->at = 0;
        n = epoll_wait(loop->epoll, loop->events, SRV_LOOP_EVENTS, next_timeout(loop));
        loop->nevents = n > 0 ? (unsigned)n : 0;
        tell_time(loop);
    }
}
