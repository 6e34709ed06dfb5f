/* What the signal handlers and the entry into guest code share: the OS thread's state and the way
 * out. Not for other layers. */
#ifndef SV_RUNTIME_SIGNAL_H
#define SV_RUNTIME_SIGNAL_H

#include <signal.h>

#include "runtime/store.h"

/* A landing pad: one per sv_trap_guard, on the C stack. */
struct sv_landing {
    void *sp; /* of the trampoline; the handler goes back to it. Offset 0: known to the assembly. */
    struct sv_thread *th;
    struct sv_landing *outer; /* of this OS thread, perhaps of another store */
    void *jump;               /* sigjmp_buf of sanitized builds */
};

/* State of an OS thread. Thread-local with the initial-exec model, because signal handlers read it:
 * the one exception (with the previous handlers in signal.c) to "no writable globals". */
struct sv_os_thread {
    struct sv_landing *volatile top; /* innermost landing pad; NULL: no guest runs */
    _Atomic uint64_t
        armed_ns; /* when the pending shot of the timer comes, monotonic; 0 = none pending */
    int tid;      /* kernel's number; 0 = not asked for yet */
    int timer;    /* kernel's number */
    bool has_timer;
    bool ready;                          /* alternate stack is there */
    struct sv_profile *volatile profile; /* profile.h; NULL: not sampled */
    void *alt_stack;                     /* ours to free; NULL: the embedder had one */
    uintptr_t host_low, host_high;       /* of the C stack; 0 = not asked for yet */
    uint64_t faults; /* page faults so far + 1, when last read (region.c); 0 = not to be had */
};
extern _Thread_local struct sv_os_thread sv_os_self __attribute__((tls_model("initial-exec")));

int sv_os_tid(void); /* of this thread, cached */

/* The trampoline (landing.c): saves the callee-saved registers, notes SP in the landing, calls
 * fn(arg). Code at sv_landing_pad, entered with SP = landing->sp and a result in the result
 * register, returns from it. */
int sv_landing_enter(struct sv_landing *, int (*fn)(void *arg), void *arg);
extern const char sv_landing_pad[];

const void *sv_context_pc(const void *ucontext);
/* In a handler: make the guest of the landing return SV_ETRAP with `code`. The tier's note is
 * taken. In sanitized builds this does not return. */
void sv_context_leave(struct sv_landing *, void *ucontext, int code);
/* Hand a signal that is not ours to whoever was there before. */
void sv_signal_chain(const struct sigaction *old, int sig, siginfo_t *info, void *ucontext);
bool sv_context_in_guest(const struct sv_landing *, const void *ucontext);

/* interrupt.c */
void sv_interrupt_signal(int sig, siginfo_t *info, void *ucontext); /* the SIGURG handler */
void sv_interrupt_begin(struct sv_thread *); /* at the outermost entry, landing pad pushed */
void sv_interrupt_end(struct sv_thread *);
void sv_interrupt_chain(int sig, siginfo_t *info,
                        void *ucontext); /* signal.c: the previous SIGURG handler */

/* call.c: is there too little C stack left for another entry? */
bool sv_host_stack_low(struct sv_thread *);
/* Every activation's frames, the innermost one's first. */
void sv_thread_frames(struct sv_thread *, struct sv_backtrace *);

#endif
