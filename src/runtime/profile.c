/* The sampler: SIGPROF by the thread's CPU clock. The handler walks the frames as backtraces do and
 * counts them in a tree that was allocated before: it calls nothing that is not safe there. */
#include "runtime/profile.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "runtime/exec.h"
#include "runtime/native.h"

#define INTERVAL_NS 1000000

/* Of the process, as in signal.c: written once, under pthread_once. */
static struct {
    pthread_once_t once;
    bool failed;
    struct sigaction old;
} process = {.once = PTHREAD_ONCE_INIT};

/* ---- In the handler ---- */

static void add_pseudo(struct sv_sample *s, enum sv_profile_frame kind)
{
    uint32_t at = s->n < SV_PROFILE_DEPTH ? s->n++ : SV_PROFILE_DEPTH - 1;

    s->frames[at].module = NULL;
    s->frames[at].func = kind;
}

/* The frames of the thread, interrupted at the context. What is noted of it for backtraces is put
 * back: the guest goes on, or is about to tell a trap. */
static void take_sample(struct sv_sample *s, struct sv_landing *l, const void *ucontext)
{
    struct sv_thread *th = l->th;
    const struct sv_exec_ops *exec = th->store->engine->exec;
    struct sv_backtrace b = {.sample = s};
    union sv_slot *fp = th->fp;
    struct sv_instance *inst = th->inst;
    const void *ip = th->ip, *leaf = th->native_leaf;
    uintptr_t native_fp = th->native_fp;
    uint32_t offset = th->native_offset;

    s->n = 0;
    if (!sv_context_in_guest(l, ucontext)) {
        add_pseudo(s, SV_PROFILE_RUNTIME);
        if (sv_native_in_stub(sv_context_pc(ucontext)))
            sv_native_note(th, ucontext, 0);
    } else {
        th->ip = th->native_leaf = NULL;
        th->fp = NULL;
        th->native_offset = 0;
        if (!sv_native_note(th, ucontext, 0) && exec && exec->note)
            exec->note(th, ucontext);
        if (!th->ip && !th->native_leaf)
            add_pseudo(s, SV_PROFILE_UNKNOWN);
    }
    sv_thread_frames(th, &b);
    if (sv_backtrace_full(&b))
        add_pseudo(s, SV_PROFILE_DEEPER);
    th->fp = fp;
    th->inst = inst;
    th->ip = ip;
    th->native_leaf = leaf;
    th->native_fp = native_fp;
    th->native_offset = offset;
}

static uint32_t find_child(struct sv_profile *p, uint32_t parent, const struct sv_module *m,
                           uint32_t func)
{
    uint32_t at = p->nodes[parent].child;

    while (at && (p->nodes[at].module != m || p->nodes[at].func != func))
        at = p->nodes[at].next;
    if (at || p->nnodes == SV_PROFILE_NODES)
        return at;
    at = p->nnodes++;
    p->nodes[at] = (struct sv_profile_node){
        .module = m, .func = func, .parent = parent, .next = p->nodes[parent].child};
    p->nodes[parent].child = at;
    return at;
}

static void count(struct sv_profile *p, uint64_t samples)
{
    const struct sv_sample *s = &p->sample;
    uint32_t at = 0;

    for (uint32_t i = s->n; i > 0; i--) {
        uint32_t child = find_child(p, at, s->frames[i - 1].module, s->frames[i - 1].func);

        if (!child)
            break;
        at = child;
    }
    p->nodes[at].samples += samples;
}

static void on_profile(int sig, siginfo_t *info, void *ucontext)
{
    struct sv_os_thread *self = &sv_os_self;
    struct sv_profile *p = self->profile;
    struct sv_landing *top = self->top;
    int saved = errno;

    if (info->si_code != SI_TIMER || info->si_value.sival_ptr != self) {
        sv_signal_chain(&process.old, sig, info, ucontext);
    } else if (p && top && top->th->store == p->store) {
        take_sample(&p->sample, top, ucontext);
        count(p, 1 + (info->si_overrun > 0 ? (uint64_t)info->si_overrun : 0));
    }
    errno = saved;
}

/* ---- Starting and stopping ---- */

static void init_process(void)
{
    struct sigaction sa = {.sa_sigaction = on_profile,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};

    sigemptyset(&sa.sa_mask);
    sigaddset(&sa.sa_mask, SIGURG);
    process.failed = sigaction(SIGPROF, &sa, &process.old) != 0;
}

/* The timer of this thread, running. */
static bool start_timer(struct sv_os_thread *self, int *ret)
{
    struct itimerspec it = {.it_interval.tv_nsec = INTERVAL_NS, .it_value.tv_nsec = INTERVAL_NS};
    struct sigevent ev;
    int timer;

    memset(&ev, 0, sizeof ev);
    ev.sigev_notify = SIGEV_THREAD_ID;
    ev.sigev_signo = SIGPROF;
    ev.sigev_value.sival_ptr = self; /* how the handler knows our own shots, late ones too */
    ev._sigev_un._tid = sv_os_tid();
    if (syscall(SYS_timer_create, CLOCK_THREAD_CPUTIME_ID, &ev, &timer) != 0)
        return false;
    if (syscall(SYS_timer_settime, timer, 0, &it, NULL) != 0) {
        syscall(SYS_timer_delete, timer);
        return false;
    }
    *ret = timer;
    return true;
}

int sv_profile_new(struct sv_err *err, struct sv_store *s, own struct sv_profile **ret)
{
    struct sv_os_thread *self = &sv_os_self;
    struct sv_profile *p;
    sigset_t set;
    int r;

    if (self->profile)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "the thread is being profiled already");
    r = sv_trap_init_thread(err); /* handlers need its stack */
    if (r < 0)
        return r;
    p = sv_alloc_zero(sizeof *p);
    if (p)
        p->nodes = sv_alloc_array_zero(SV_PROFILE_NODES, sizeof *p->nodes);
    if (!p || !p->nodes) {
        r = sv_fail_nomem(err, "a profile");
        goto fail;
    }
    p->store = s;
    p->nnodes = 1;
    pthread_once(&process.once, init_process);
    sigemptyset(&set);
    sigaddset(&set, SIGPROF);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    self->profile = p;
    if (process.failed || !start_timer(self, &p->timer)) {
        self->profile = NULL;
        r = sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "the timer of a profile cannot be started: %s",
                    strerror(errno));
        goto fail;
    }
    p->thread = self;
    *ret = p;
    return 0;
fail:
    sv_profile_delete(p);
    return r;
}

void sv_profile_stop(struct sv_profile *p)
{
    if (!p->thread)
        return;
    syscall(SYS_timer_delete, p->timer);
    p->thread->profile = NULL;
    p->thread = NULL;
    atomic_signal_fence(memory_order_seq_cst);
}

void sv_profile_delete(own struct sv_profile *p)
{
    if (!p)
        return;
    sv_profile_stop(p);
    sv_free(p->nodes);
    sv_free(p);
}
