/* CPU time without a system call. While a thread stays on its CPU, its CPU time goes on as the
 * clock does, which costs a tenth to read; and the kernel tells when it did not stay: it clears the
 * word rseq_cs of the thread's restartable sequence area (rseq(2)) whenever it takes the thread
 * from its CPU outside of such a sequence. We have none; we put a sequence there that is never run,
 * read both clocks once, and go by the cheap one as long as the word stands. Where the C library or
 * the kernel has no such area, each reading is a system call. */
#include "serve/cpu.h"

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <time.h>

#include "base/clock.h"

#if defined(__has_include) && __has_include(<sys/rseq.h>) && !defined(SSVM_SANITIZED)
#include <sys/rseq.h>

/* What stands before the address that a sequence is restarted at: the kernel looks. */
static const struct {
    uint32_t signature;
    unsigned char never[4];
} landing = {.signature = RSEQ_SIG};

/* An empty sequence: no address lies in it. */
static struct rseq_cs sequence;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static bool works;

static struct rseq *area(void)
{
    return (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
}

static void mark(void)
{
    __atomic_store_n(&area()->rseq_cs, (uint64_t)(uintptr_t)&sequence, __ATOMIC_RELAXED);
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

static bool is_marked(void)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return __atomic_load_n(&area()->rseq_cs, __ATOMIC_RELAXED) == (uint64_t)(uintptr_t)&sequence;
}

/* Does this kernel clear the word when a thread sleeps? */
static void try_it(void)
{
    const struct timespec pause = {.tv_nsec = 1000};

    sequence.start_ip = sequence.abort_ip = (uint64_t)(uintptr_t)landing.never;
    if (__rseq_size == 0)
        return;
    mark();
    nanosleep(&pause, NULL);
    works = !is_marked();
}

uint64_t srv_cpu_ns(uint64_t now_ns)
{
    static _Thread_local uint64_t cpu_ns, clock_ns; /* both, when the word was set */
    static _Thread_local uint64_t told;             /* the last result */
    uint64_t real;

    pthread_once(&once, try_it);
    if (!works)
        return sv_clock_thread_ns();
    if (is_marked()) { /* it stood when the clock was read, too */
        told = cpu_ns + (now_ns - clock_ns);
        return told;
    }
    mark();
    clock_ns = sv_clock_ns();
    real = sv_clock_thread_ns();
    /* Where a machine is a guest itself its host takes CPUs away, which the kernel counts but no
     * word tells: what was told may be more than what is real, and does not become less. */
    cpu_ns = told = real > told ? real : told;
    return told;
}

#else

uint64_t srv_cpu_ns(uint64_t now_ns)
{
    (void)now_ns;
    return sv_clock_thread_ns();
}

#endif
