/* Waiting for descriptors so that a deadline or a cancel ends it at once. Not poll_oneoff. */
#include <signal.h>
#include <unistd.h>

#include "base/clock.h"
#include "host/wasi/vfs.h"
#include "runtime/threads.h"

/* The longest sleep in one piece. */
#define PIECE_NS ((int64_t)3600 * 1000000000)

/* Sleep in ppoll with the runtime's signal let in only there: one that comes between the look at
 * `interrupt` and the sleep ends the sleep. The number ready, 0, or -1 with errno. */
static int sleep_once(struct sv_thread *th, struct pollfd *fds, unsigned n, int64_t ns)
{
    struct timespec ts = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
    sigset_t block, old, open;
    int r = -1, e = EINTR;

    sigemptyset(&block);
    sigaddset(&block, SIGURG);
    pthread_sigmask(SIG_BLOCK, &block, &old);
    if (sv_thread_ok(th)) {
        open = old;
        sigdelset(&open, SIGURG);
        r = ppoll(fds, n, &ts, &open);
        e = errno;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = e;
    return r;
}

int sv_vfs_wait(struct sv_thread *th, struct pollfd *fds, unsigned n, int64_t timeout_ns,
                int *ret_ready)
{
    uint64_t end = 0, woken;
    unsigned nall = n;
    bool held;
    int r;

    /* What is ready already costs one call. */
    r = n > 0 ? poll(fds, n, 0) : 0;
    if (r > 0 || timeout_ns == 0) {
        *ret_ready = r > 0 ? r : 0;
        return sv_thread_ok(th) ? 0 : sv_thread_interrupted(th);
    }
    if (timeout_ns > 0 && __builtin_add_overflow(sv_clock_ns(), (uint64_t)timeout_ns, &end))
        timeout_ns = -1;
    if (th->wake_fd >= 0)
        fds[nall++] = (struct pollfd){.fd = th->wake_fd, .events = POLLIN};
    for (;;) {
        int64_t left = sv_thread_time_left(th), ns = PIECE_NS;

        if (left <= 0 && sv_thread_ok(th)) /* nothing is left of a cancelled call either */
            atomic_fetch_or(&th->interrupt, SV_INTERRUPT_DEADLINE);
        if (!sv_thread_ok(th))
            return sv_thread_interrupted(th);
        if (timeout_ns > 0) {
            uint64_t now = sv_clock_ns();
            if (now >= end) {
                *ret_ready = 0;
                return 0;
            }
            if (end - now < (uint64_t)ns)
                ns = (int64_t)(end - now);
        }
        if (left < ns)
            ns = left;
        held = sv_threads_let(th);
        r = sleep_once(th, fds, nall, ns);
        if (held)
            sv_threads_take(th);
        if (r > 0 && nall > n && fds[n].revents) {
            /* Emptied, so that a stale one does not make us spin; `interrupt` is set before it is
             * filled. */
            if (read(th->wake_fd, &woken, sizeof woken) < 0 && errno != EAGAIN)
                nall = n;
            r--;
        }
        if (r > 0 && sv_thread_ok(th)) {
            *ret_ready = r;
            return 0;
        }
        if (r < 0 && errno != EINTR) {
            *ret_ready = 0;
            return sv_wasi_errno(errno);
        }
    }
}
