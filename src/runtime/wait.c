/* memory.atomic.wait and notify: a list of waiters per shared memory, each asleep on a futex of its
 * own. Not the atomic accesses: those are the tiers'. */
#include "runtime/wait.h"

#include <errno.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime/store.h"

#define NS_PER_S INT64_C(1000000000)

enum wait_result { WAIT_WOKEN = 0, WAIT_NOT_EQUAL = 1, WAIT_TIMED_OUT = 2 };

struct sv_waiter {
    struct sv_waiter *prev, *next;
    uint64_t addr;
    _Atomic uint32_t woken; /* the futex */
};

own struct sv_memory_lock *sv_memory_lock_new(void)
{
    struct sv_memory_lock *l = sv_alloc_zero(sizeof *l);

    if (l)
        pthread_mutex_init(&l->mutex, NULL);
    return l;
}

void sv_memory_lock_delete(own struct sv_memory_lock *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->mutex);
    sv_free(l);
}

static void append(struct sv_memory_lock *l, struct sv_waiter *w)
{
    w->next = NULL;
    w->prev = l->last;
    if (l->last)
        l->last->next = w;
    else
        l->first = w;
    l->last = w;
    l->nwaiters++;
}

static void unlink_waiter(struct sv_memory_lock *l, struct sv_waiter *w)
{
    if (w->prev)
        w->prev->next = w->next;
    else
        l->first = w->next;
    if (w->next)
        w->next->prev = w->prev;
    else
        l->last = w->prev;
    l->nwaiters--;
}

/* Sleep until woken, until `until_ns`, or until a signal comes. */
static void sleep_on(struct sv_waiter *w, uint64_t until_ns)
{
    struct timespec t = {(time_t)(until_ns / NS_PER_S), (long)(until_ns % NS_PER_S)};

    /* The bitset form takes an absolute monotonic time. */
    syscall(SYS_futex, &w->woken, FUTEX_WAIT_BITSET_PRIVATE, 0, until_ns == UINT64_MAX ? NULL : &t,
            NULL, FUTEX_BITSET_MATCH_ANY);
}

/* Wait in the list. 0 (and *ret) or an SV_TRAP_* code. */
static int wait_linked(struct sv_thread *th, struct sv_memory_lock *l, struct sv_waiter *w,
                       uint64_t until_ns, uint32_t *ret)
{
    uint64_t wake_ns = until_ns;
    int code = 0;

    if (th->deadline_ns && th->deadline_ns < wake_ns)
        wake_ns = th->deadline_ns;
    while (!atomic_load(&w->woken) && !code) {
        sleep_on(w, wake_ns);
        code = sv_thread_interrupt_code(th);
        if (!code && until_ns != UINT64_MAX && sv_clock_ns() >= until_ns)
            break;
        if (!code && th->deadline_ns && sv_clock_ns() >= th->deadline_ns)
            code = SV_TRAP_DEADLINE;
    }
    pthread_mutex_lock(&l->mutex);
    if (atomic_load(&w->woken)) {
        *ret = WAIT_WOKEN; /* also when it came in the last moment: the notifier has counted us */
    } else {
        unlink_waiter(l, w);
        *ret = WAIT_TIMED_OUT;
    }
    pthread_mutex_unlock(&l->mutex);
    return code;
}

static int check_address(const struct sv_memory *m, uint64_t addr, unsigned size)
{
    if (!sv_memory_in_bounds(m, addr, size))
        return SV_TRAP_MEMORY_BOUNDS;
    if (addr % size)
        return SV_TRAP_UNALIGNED_ATOMIC;
    return 0;
}

static bool still_equal(const struct sv_memory *m, uint64_t addr, uint64_t expected, unsigned size)
{
    if (size == 4)
        return atomic_load((_Atomic uint32_t *)(m->base + addr)) == (uint32_t)expected;
    return atomic_load((_Atomic uint64_t *)(m->base + addr)) == expected;
}

static int wait_for(struct sv_thread *th, struct sv_memory *m, uint64_t addr, uint64_t expected,
                    unsigned size, int64_t timeout_ns, uint32_t *ret)
{
    struct sv_waiter w = {.addr = addr};
    struct sv_memory_lock *l = m->lock;
    uint64_t until_ns = UINT64_MAX, now;
    int code = check_address(m, addr, size);

    if (code)
        return code;
    if (!m->shared)
        return SV_TRAP_NOT_SHARED;
    if (timeout_ns >= 0) {
        now = sv_clock_ns();
        until_ns =
            (uint64_t)timeout_ns < UINT64_MAX - now ? now + (uint64_t)timeout_ns : UINT64_MAX;
        /* What the kernel's clock can hold; further off is for ever. */
        if (until_ns > INT64_MAX)
            until_ns = UINT64_MAX;
    }
    pthread_mutex_lock(&l->mutex);
    if (!still_equal(m, addr, expected, size)) {
        pthread_mutex_unlock(&l->mutex);
        *ret = WAIT_NOT_EQUAL;
        return 0;
    }
    if (l->nwaiters >= SV_WAITERS_MAX) {
        pthread_mutex_unlock(&l->mutex);
        return SV_TRAP_TOO_MANY_WAITERS;
    }
    append(l, &w);
    pthread_mutex_unlock(&l->mutex);
    return wait_linked(th, l, &w, until_ns, ret);
}

int sv_memory_wait32(struct sv_thread *th, struct sv_memory *m, uint64_t addr, uint32_t expected,
                     int64_t timeout_ns, uint32_t *ret)
{
    return wait_for(th, m, addr, expected, 4, timeout_ns, ret);
}

int sv_memory_wait64(struct sv_thread *th, struct sv_memory *m, uint64_t addr, uint64_t expected,
                     int64_t timeout_ns, uint32_t *ret)
{
    return wait_for(th, m, addr, expected, 8, timeout_ns, ret);
}

int sv_memory_notify(struct sv_thread *th, struct sv_memory *m, uint64_t addr, uint32_t count,
                     uint32_t *ret)
{
    struct sv_memory_lock *l = m->lock;
    struct sv_waiter *next;
    int code = check_address(m, addr, 4);
    uint32_t n = 0;

    (void)th;
    if (code)
        return code;
    *ret = 0;
    if (!m->shared)
        return 0; /* nobody can wait there */
    pthread_mutex_lock(&l->mutex);
    for (struct sv_waiter *w = l->first; w && n < count; w = next) {
        next = w->next;
        if (w->addr != addr)
            continue;
        unlink_waiter(l, w);
        n++;
        /* The waiter cannot leave before it gets the lock, so the futex is there when it is woken.
         */
        atomic_store(&w->woken, 1);
        syscall(SYS_futex, &w->woken, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    }
    pthread_mutex_unlock(&l->mutex);
    *ret = n;
    return 0;
}
