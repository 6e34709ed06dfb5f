/* The process-wide fault handlers and the way out of guest code. Decides whose a fault is;
 * deadlines are interrupt.c's. */
#include "runtime/signal.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include "base/pages.h"
#include "runtime/exec.h"
#include "runtime/native.h"

#ifndef AT_MINSIGSTKSZ
#define AT_MINSIGSTKSZ 51
#endif
/* Room that our handlers need beyond the kernel's frame. */
#define SIGNAL_STACK_ROOM (32u << 10)

_Thread_local struct sv_os_thread sv_os_self __attribute__((tls_model("initial-exec")));

/* What the handlers need of the process (the exception to "no writable globals"): written once,
 * under pthread_once. */
static struct {
    pthread_once_t once;
    bool failed, avx;
    pthread_key_t key; /* its destructor gives a thread's alternate stack and timer back */
    struct sigaction old_segv, old_bus, old_urg;
} process = {.once = PTHREAD_ONCE_INIT};

int sv_os_tid(void)
{
    if (sv_os_self.tid == 0)
        sv_os_self.tid = (int)syscall(SYS_gettid);
    return sv_os_self.tid;
}

/* Registers of an interrupted thread, for each CPU. */
#if defined(__x86_64__)
const void *sv_context_pc(const void *ucontext)
{
    const ucontext_t *uc = ucontext;
    return (const void *)uc->uc_mcontext.gregs[REG_RIP];
}

__attribute__((unused)) static void land(ucontext_t *uc, const struct sv_landing *l)
{
    uc->uc_mcontext.gregs[REG_RIP] = (greg_t)sv_landing_pad;
    uc->uc_mcontext.gregs[REG_RSP] = (greg_t)l->sp;
    uc->uc_mcontext.gregs[REG_RAX] = SV_ETRAP;
    uc->uc_mcontext.gregs[REG_RCX] = process.avx;
    uc->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)0x400; /* DF: the ABI wants it clear */
}

static bool cpu_has_avx(void)
{
    return __builtin_cpu_supports("avx");
}
#else
const void *sv_context_pc(const void *ucontext)
{
    const ucontext_t *uc = ucontext;
    return (const void *)uc->uc_mcontext.pc;
}

__attribute__((unused)) static void land(ucontext_t *uc, const struct sv_landing *l)
{
    uc->uc_mcontext.pc = (uintptr_t)sv_landing_pad;
    uc->uc_mcontext.sp = (uintptr_t)l->sp;
    uc->uc_mcontext.regs[0] = (uint32_t)SV_ETRAP;
}

static bool cpu_has_avx(void)
{
    return false;
}
#endif

bool sv_context_in_guest(const struct sv_landing *l, const void *ucontext)
{
    const struct sv_exec_ops *exec = l->th->store->engine->exec;
    const void *pc = sv_context_pc(ucontext);

    return (exec && exec->in_guest && exec->in_guest(pc)) || sv_native_in_guest(l->th, pc);
}

void sv_context_leave(struct sv_landing *l, void *ucontext, int code)
{
    const struct sv_exec_ops *exec = l->th->store->engine->exec;

    if (!sv_native_note(l->th, ucontext, code) && exec && exec->note)
        exec->note(l->th, ucontext);
    sv_trap_raise(l->th, code);
#ifdef SSVM_SANITIZED
    /* The sanitizers must hear of frames that are left. */
    siglongjmp(*(sigjmp_buf *)l->jump, 1);
#else
    land(ucontext, l);
#endif
}

/* The trap that an access of the guest to `addr` means; 0: not an address that guests could reach.
 */
static int fault_code(const struct sv_thread *th, uintptr_t addr)
{
    const struct sv_store *s = th->store;
    uintptr_t end = (uintptr_t)th->stack + th->stack_size, page = sv_page_size();
    uintptr_t native = s->native_region ? (uintptr_t)s->native_region->base : 0;

    if (addr - end < page || (native && addr - (native - SV_GUARD_BELOW) < SV_GUARD_BELOW))
        return SV_TRAP_STACK;
    for (uint32_t i = 0; i < s->nmemories; i++) {
        const struct sv_memory *m = s->memories[i];
        uint64_t below = m->guarded ? SV_GUARD_BELOW : page;
        uintptr_t low = (uintptr_t)m->base - below;
        uint64_t span = below + m->reserved + (m->guarded ? 0 : page);

        /* Below too: native code may fold a negative part into the address. */
        if (addr - low < span)
            return SV_TRAP_MEMORY_BOUNDS;
    }
    return 0;
}

void sv_signal_chain(const struct sigaction *old, int sig, siginfo_t *info, void *ucontext)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};

    if (old->sa_flags & SA_SIGINFO) {
        old->sa_sigaction(sig, info, ucontext);
        return;
    }
    if (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN) {
        old->sa_handler(sig);
        return;
    }
    /* The default is to die: for a fault by running into it again, for a sent signal by sending it
     * again. */
    sigemptyset(&dfl.sa_mask);
    sigaction(sig, &dfl, NULL);
    if (info->si_code <= 0)
        raise(sig);
}

static void on_fault(int sig, siginfo_t *info, void *ucontext)
{
    struct sv_landing *l = sv_os_self.top;

    /* si_code > 0: from the kernel, so the address is a true one. */
    if (l && info->si_code > 0) {
        int code = fault_code(l->th, (uintptr_t)info->si_addr);

        if (code && (sv_context_in_guest(l, ucontext) ||
                     (code == SV_TRAP_STACK && sv_native_in_stub(sv_context_pc(ucontext))))) {
            sv_context_leave(l, ucontext, code);
            return;
        }
    }
    sv_signal_chain(sig == SIGBUS ? &process.old_bus : &process.old_segv, sig, info, ucontext);
}

void sv_interrupt_chain(int sig, siginfo_t *info, void *ucontext)
{
    const struct sigaction *old = &process.old_urg;

    /* Its default is to be ignored. */
    if ((old->sa_flags & SA_SIGINFO) || (old->sa_handler != SIG_DFL && old->sa_handler != SIG_IGN))
        sv_signal_chain(old, sig, info, ucontext);
}

static void release_thread(void *arg)
{
    struct sv_os_thread *self = arg;
    stack_t off = {.ss_flags = SS_DISABLE};

    if (self->has_timer) {
        self->has_timer = false;
        syscall(SYS_timer_delete, self->timer);
    }
    if (self->alt_stack) {
        sigaltstack(&off, NULL);
        sv_free(self->alt_stack);
        self->alt_stack = NULL;
    }
    self->ready = false;
}

/* Timers are not inherited; the thread's number is another, its faults are counted anew. */
static void after_fork(void)
{
    sv_os_self.faults = 0;
    sv_os_self.has_timer = false;
    atomic_store_explicit(&sv_os_self.armed_ns, 0, memory_order_relaxed);
    sv_os_self.tid = 0;
}

static void init_process(void)
{
    struct sigaction sa = {.sa_sigaction = on_fault,
                           .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER};

    process.avx = cpu_has_avx();
    process.failed = true;
    if (pthread_key_create(&process.key, release_thread) || pthread_atfork(NULL, NULL, after_fork))
        return;
    sigemptyset(&sa.sa_mask);
    if (sigaction(SIGSEGV, &sa, &process.old_segv) || sigaction(SIGBUS, &sa, &process.old_bus))
        return;
    /* Without SA_RESTART: a blocked system call of a host function has to end. */
    sa.sa_sigaction = sv_interrupt_signal;
    if (sigaction(SIGURG, &sa, &process.old_urg))
        return;
    process.failed = false;
}

int sv_trap_init_process(struct sv_err *err)
{
    pthread_once(&process.once, init_process);
    if (process.failed)
        return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "the fault handlers cannot be installed");
    return 0;
}

int sv_trap_init_thread(struct sv_err *err)
{
    struct sv_os_thread *self = &sv_os_self;
    stack_t old, ours;
    sigset_t set;
    size_t size;

    if (self->ready)
        return 0;
    size = getauxval(AT_MINSIGSTKSZ) + SIGNAL_STACK_ROOM;
    if (sigaltstack(NULL, &old) == 0 && !(old.ss_flags & SS_DISABLE) && old.ss_size >= size / 2) {
        pthread_setspecific(process.key, self);
        goto ready;
    }
    ours = (stack_t){.ss_sp = sv_alloc(size), .ss_size = size};
    if (!ours.ss_sp)
        return sv_fail_nomem(err, "the alternate signal stack");
    if (pthread_setspecific(process.key, self) || sigaltstack(&ours, NULL)) {
        sv_free(ours.ss_sp);
        return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "the alternate signal stack is refused: %s",
                       strerror(errno));
    }
    self->alt_stack = ours.ss_sp;
ready:
    sigemptyset(&set);
    sigaddset(&set, SIGSEGV);
    sigaddset(&set, SIGBUS);
    sigaddset(&set, SIGURG);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    self->ready = true;
    return 0;
}

static int enter(struct sv_landing *l, int (*fn)(void *arg), void *arg)
{
#ifdef SSVM_SANITIZED
    sigjmp_buf jump;

    /* With the mask: TSan blocks all signals while a handler runs. */
    l->jump = &jump;
    if (sigsetjmp(jump, 1))
        return SV_ETRAP;
    return fn(arg);
#else
    return sv_landing_enter(l, fn, arg);
#endif
}

int sv_trap_guard(struct sv_thread *th, int (*fn)(void *arg), void *arg)
{
    struct sv_landing *inner = th->landing;
    struct sv_landing l = {.th = th, .outer = sv_os_self.top};
    int r;

    th->landing = &l;
    sv_os_self.top = &l;
    atomic_signal_fence(memory_order_seq_cst);
    r = enter(&l, fn, arg);
    atomic_signal_fence(memory_order_seq_cst);
    sv_os_self.top = l.outer;
    th->landing = inner;
    return r;
}
