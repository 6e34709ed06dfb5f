/* Ending, signals, yielding. */
#include <sched.h>

#include "host/wasi/vfs.h"
#include "runtime/threads.h"

int sv_wasi_proc_exit(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    (void)w;
    return sv_call_exit(c, (int)arg[0].i32);
}

/* What each signal does to a program that has no handlers, which is any guest. */
enum effect { IGNORED, ENDS, STOPS };

int sv_wasi_proc_raise(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    static const struct {
        const char *name;
        enum effect effect;
    } signals[] = {
        {"none", IGNORED},    {"SIGHUP", ENDS},     {"SIGINT", ENDS},    {"SIGQUIT", ENDS},
        {"SIGILL", ENDS},     {"SIGTRAP", ENDS},    {"SIGABRT", ENDS},   {"SIGBUS", ENDS},
        {"SIGFPE", ENDS},     {"SIGKILL", ENDS},    {"SIGUSR1", ENDS},   {"SIGSEGV", ENDS},
        {"SIGUSR2", ENDS},    {"SIGPIPE", ENDS},    {"SIGALRM", ENDS},   {"SIGTERM", ENDS},
        {"SIGCHLD", IGNORED}, {"SIGCONT", IGNORED}, {"SIGSTOP", STOPS},  {"SIGTSTP", STOPS},
        {"SIGTTIN", STOPS},   {"SIGTTOU", STOPS},   {"SIGURG", IGNORED}, {"SIGXCPU", ENDS},
        {"SIGXFSZ", ENDS},    {"SIGVTALRM", ENDS},  {"SIGPROF", ENDS},   {"SIGWINCH", IGNORED},
        {"SIGPOLL", ENDS},    {"SIGPWR", ENDS},     {"SIGSYS", ENDS},
    };
    uint32_t n = arg[0].i32;

    (void)w;
    if (n >= SV_COUNT(signals))
        return SV_WASI_EINVAL;
    switch (signals[n].effect) {
    case ENDS:
        return sv_call_trap(c, "the guest raised %s", signals[n].name);
    case STOPS:
        return SV_WASI_ENOTSUP;
    default:
        return 0;
    }
}

int sv_wasi_sched_yield(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    bool held;

    (void)w;
    (void)arg;
    if (!sv_thread_ok(c->th))
        return sv_thread_interrupted(c->th);
    held = sv_threads_let(c->th);
    sched_yield();
    if (held)
        sv_threads_take(c->th);
    return 0;
}
