/* Deadlines, CPU limits and cancellation: a one-shot timer and SIGURG to the thread. No polls, and
 * no system call where a shot is pending already. Faults are signal.c's. */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "runtime/signal.h"
#include "runtime/threads.h"

#define NS_PER_S UINT64_C(1000000000)
/* A shot that found host code comes again after this long. */
#define RETRY_NS UINT64_C(1000000)
/* CPU time is looked at no more often than this. */
#define CPU_TICK_MIN_NS UINT64_C(500000)
#define NEVER UINT64_MAX

/* Raw system calls: glibc's wrappers are not promised to be safe in signal handlers. */
static bool timer_make(struct sv_os_thread *self)
{
    struct sigevent ev;

    if (self->has_timer)
        return true;
    memset(&ev, 0, sizeof ev);
    ev.sigev_notify = SIGEV_THREAD_ID;
    ev.sigev_signo = SIGURG;
    ev.sigev_value.sival_ptr = self; /* how the handler knows our own shots */
    ev._sigev_un._tid = sv_os_tid();
    if (syscall(SYS_timer_create, CLOCK_MONOTONIC, &ev, &self->timer) != 0)
        return false;
    self->has_timer = true;
    return true;
}

/* One shot at `at_ns`, unless an earlier one is pending: that one arms again when it finds nothing
 * to do. */
static void arm(struct sv_os_thread *self, uint64_t at_ns)
{
    uint64_t armed = atomic_load_explicit(&self->armed_ns, memory_order_relaxed);
    struct itimerspec it = {0};

    if (at_ns == NEVER || (armed != 0 && armed <= at_ns))
        return;
    if (!timer_make(self))
        return;
    it.it_value.tv_sec = (time_t)(at_ns / NS_PER_S);
    it.it_value.tv_nsec = (long)(at_ns % NS_PER_S);
    if (at_ns == 0)
        it.it_value.tv_nsec = 1;
    /* First the note: a shot that comes at once must find and clear it. */
    atomic_store_explicit(&self->armed_ns, at_ns ? at_ns : 1, memory_order_relaxed);
    atomic_signal_fence(memory_order_seq_cst);
    if (syscall(SYS_timer_settime, self->timer, TIMER_ABSTIME, &it, NULL) != 0)
        atomic_store_explicit(&self->armed_ns, 0, memory_order_relaxed);
}

uint64_t sv_thread_cpu_left(struct sv_thread *th)
{
    uint64_t now = sv_clock_thread_ns(), used = now - th->cpu_start_ns;
    struct sv_threads *g = th->threads;
    int64_t left;

    if (!g)
        return used < th->cpu_left_ns ? th->cpu_left_ns - used : 0;
    used = now - th->cpu_seen_ns;
    th->cpu_seen_ns = now;
    left = atomic_fetch_sub(&g->cpu_left_ns, (int64_t)used) - (int64_t)used;
    return left > 0 ? (uint64_t)left : 0;
}

/* When to look at the thread next; reasons that are due now are set. */
static uint64_t check(struct sv_thread *th, uint64_t now)
{
    uint64_t next = NEVER;

    if (th->deadline_ns) {
        if (now >= th->deadline_ns)
            atomic_fetch_or(&th->interrupt, SV_INTERRUPT_DEADLINE);
        else
            next = th->deadline_ns;
    }
    if (th->cpu_left_ns != UINT64_MAX) {
        uint64_t left = sv_thread_cpu_left(th);

        /* Threads use it up together. */
        if (th->threads && left)
            left = left / atomic_load(&th->threads->busy) + 1;
        if (left == 0) {
            atomic_fetch_or(&th->interrupt, SV_INTERRUPT_CPU);
        } else {
            /* A thread cannot use more CPU time than time passes. */
            uint64_t at = now + (left > CPU_TICK_MIN_NS ? left : CPU_TICK_MIN_NS);

            if (at > now && at < next)
                next = at;
        }
    }
    return next;
}

static void wake(const struct sv_thread *th)
{
    uint64_t one = 1;

    if (th->wake_fd >= 0 && write(th->wake_fd, &one, sizeof one) < 0)
        return; /* full: it is readable already */
}

void sv_interrupt_signal(int sig, siginfo_t *info, void *ucontext)
{
    struct sv_os_thread *self = &sv_os_self;
    bool ours = info->si_code == SI_TIMER && info->si_value.sival_ptr == self;
    struct sv_landing *top = self->top;
    uint64_t now, next = NEVER;
    bool due = false;
    int saved = errno;

    if (ours)
        atomic_store_explicit(&self->armed_ns, 0, memory_order_relaxed);
    else
        sv_interrupt_chain(sig, info, ucontext);
    if (!top)
        goto out; /* a stale shot */
    now = sv_clock_ns();
    for (struct sv_landing *l = top; l; l = l->outer) {
        /* Nested entries of one store come one after the other: look once. */
        if (l->outer && l->outer->th == l->th)
            continue;
        uint64_t at = NEVER;

        /* Not yet begun: sv_interrupt_begin looks itself, when the clocks are set. */
        if (atomic_load_explicit(&l->th->os_tid, memory_order_relaxed))
            at = check(l->th, now);
        next = at < next ? at : next;
        if (atomic_load(&l->th->interrupt)) {
            due = true;
            wake(l->th);
            /* Who runs on top has to go first, also when it is another store's guest. */
            if (l->th != top->th)
                atomic_fetch_or(&top->th->interrupt, SV_INTERRUPT_OUTER);
        }
    }
    if (due) {
        wake(top->th);
        if (sv_context_in_guest(top, ucontext)) {
            int code = sv_thread_interrupt_code(top->th);

            arm(self, next);
            errno = saved;
            sv_context_leave(top, ucontext, code);
            return;
        }
        next = now + RETRY_NS;
    }
    arm(self, next);
out:
    errno = saved;
}

void sv_interrupt_begin(struct sv_thread *th)
{
    uint64_t next;

    th->host_base = (uintptr_t)__builtin_frame_address(0);
    if (th->cpu_left_ns != UINT64_MAX || th->notes_begin)
        th->cpu_start_ns = th->cpu_seen_ns = sv_clock_thread_ns();
    if (th->notes_begin)
        th->wall_start_ns = sv_clock_ns();
    /* The number first, then the look at the flags: sv_store_cancel does it the other way round, so
     * one of us sees the other. */
    atomic_store(&th->os_tid, sv_os_tid());
    if (th->os_tid != th->owner_tid)
        th->store->foreign = true;
    if (!th->deadline_ns && th->cpu_left_ns == UINT64_MAX)
        return;
    next = check(th, sv_clock_ns());
    arm(&sv_os_self, next);
}

void sv_interrupt_note_begin(struct sv_thread *th)
{
    if (th->notes_begin)
        return;
    th->notes_begin = true;
    if (th->depth == 0)
        return;
    th->wall_start_ns = sv_clock_ns();
    if (th->cpu_left_ns == UINT64_MAX)
        th->cpu_start_ns = sv_clock_thread_ns();
}

void sv_interrupt_end(struct sv_thread *th)
{
    atomic_store_explicit(&th->os_tid, 0, memory_order_release);
    if (!sv_thread_ok(th))
        atomic_fetch_and(&th->interrupt, ~(uint32_t)SV_INTERRUPT_OUTER);
    if (th->cpu_left_ns != UINT64_MAX) {
        uint64_t left = sv_thread_cpu_left(th);

        if (!th->threads) /* else threads.c does, when all have ended */
            th->cpu_left_ns = left;
    }
}

int sv_thread_interrupt_code(const struct sv_thread *th)
{
    uint32_t bits = atomic_load_explicit(&th->interrupt, memory_order_relaxed);

    if (bits & SV_INTERRUPT_DEADLINE)
        return SV_TRAP_DEADLINE;
    if (bits & SV_INTERRUPT_CPU)
        return SV_TRAP_CPU_LIMIT;
    return bits ? SV_TRAP_CANCELLED : 0;
}

int sv_thread_interrupted(struct sv_thread *th)
{
    int code = sv_thread_interrupt_code(th);

    return sv_trap_raise(th, code ? code : SV_TRAP_CANCELLED);
}

int64_t sv_thread_time_left(const struct sv_thread *th)
{
    uint64_t now;

    if (!sv_thread_ok((struct sv_thread *)th))
        return 0;
    if (!th->deadline_ns)
        return INT64_MAX;
    now = sv_clock_ns();
    if (now >= th->deadline_ns)
        return 0;
    return th->deadline_ns - now > INT64_MAX ? INT64_MAX : (int64_t)(th->deadline_ns - now);
}

int sv_thread_wake_fd(struct sv_thread *th)
{
    if (th->wake_fd < 0) {
        th->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (th->wake_fd >= 0 && !sv_thread_ok(th))
            wake(th);
    }
    return th->wake_fd;
}

static void clear(struct sv_thread *th, uint32_t bits)
{
    uint64_t count;

    if (atomic_load(&th->interrupt) & bits)
        atomic_fetch_and(&th->interrupt, ~bits);
    if (th->wake_fd >= 0 && read(th->wake_fd, &count, sizeof count) < 0)
        return; /* was empty */
}

void sv_store_set_deadline(struct sv_store *s, uint64_t deadline_ns)
{
    s->thread.deadline_ns = deadline_ns;
    clear(&s->thread, SV_INTERRUPT_DEADLINE);
}

void sv_store_set_cpu_limit(struct sv_store *s, uint64_t cpu_ns)
{
    s->thread.cpu_left_ns = cpu_ns;
    clear(&s->thread, SV_INTERRUPT_CPU);
}

void sv_thread_interrupt(struct sv_thread *th, enum sv_interrupt reason)
{
    int tid;

    atomic_fetch_or(&th->interrupt, reason);
    tid = atomic_load(&th->os_tid);
    /* Sent once: a handler that finds host code arms the timer to come again. */
    if (tid)
        syscall(SYS_tgkill, getpid(), tid, SIGURG);
}

void sv_store_cancel(struct sv_store *s)
{
    sv_thread_interrupt(&s->thread, SV_INTERRUPT_CANCEL);
}

void sv_store_clear_interrupt(struct sv_store *s)
{
    clear(&s->thread, SV_INTERRUPT_CANCEL | SV_INTERRUPT_DEADLINE | SV_INTERRUPT_CPU);
}
