/* Processes that make the parts, and the one that waits for them. */
#include "aot/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/write.h"

#define JOBS_MAX 64
/* LLVM recurses over deep expressions. */
#define STACK_BYTES ((size_t)64 << 20)
/* Beyond the limit of CPU time, until the kernel kills. */
#define GRACE_SECONDS 5
#define PART_BYTES_MAX ((size_t)1 << 31)
#define LOST 1 /* and to be tried with less */

struct worker {
    pid_t pid; /* 0: none */
    int fd;    /* an error, and if that has no code the part's bytes */
    uint32_t part;
    struct sv_buf got;
};

struct pool {
    const struct sv_workers *w;
    struct sv_err *err;
    unsigned jobs;
    uint32_t next;
    bool confined; /* by limits that are not ours */
    struct worker workers[JOBS_MAX];
};

/* ---- In a worker ---- */

struct making {
    const struct sv_workers *w;
    struct sv_err err;
    uint32_t part;
    const uint8_t *bytes;
    size_t len;
};

static void *make(void *arg)
{
    struct making *m = arg;

    m->w->make(&m->err, m->w->arg, m->part, &m->bytes, &m->len);
    return NULL;
}

/* No limit is made wider. */
static void limit(int resource, uint64_t soft, uint64_t hard)
{
    struct rlimit l;

    if (getrlimit(resource, &l) < 0)
        return;
    l.rlim_cur = l.rlim_cur < soft ? l.rlim_cur : soft;
    l.rlim_max = l.rlim_max < hard ? l.rlim_max : hard;
    setrlimit(resource, &l);
}

static void confine(const struct sv_workers *w, uint32_t part, pid_t parent)
{
    uint64_t seconds = w->seconds(w->arg, part);
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    limit(RLIMIT_CPU, seconds, seconds + GRACE_SECONDS);
    limit(RLIMIT_CORE, 0, 0);
#ifndef SSVM_SANITIZED /* they want address space */
    limit(RLIMIT_AS, w->memory, w->memory);
#endif
    /* A limit of time that is reached, an abort: not the business of handlers that were set. */
    signal(SIGXCPU, SIG_DFL);
    signal(SIGABRT, SIG_DFL);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGBUS, SIG_DFL);
    dup2(null, STDERR_FILENO); /* LLVM's last words */
}

static bool send_all(int fd, const void *bytes, size_t len)
{
    return sv_write_all(fd, bytes, len) == len;
}

static void work(const struct sv_workers *w, uint32_t part, int fd, pid_t parent)
    __attribute__((noreturn));
static void work(const struct sv_workers *w, uint32_t part, int fd, pid_t parent)
{
    struct making m = {.w = w, .part = part};
    pthread_attr_t attr;
    pthread_t thread;

    confine(w, part, parent);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (pthread_create(&thread, &attr, make, &m) == 0)
        pthread_join(thread, NULL);
    else
        sv_fail_nomem(&m.err, "the compiler");
    if (m.err.code)
        m.len = 0;
    _exit(send_all(fd, &m.err, sizeof m.err) && send_all(fd, m.bytes, m.len) ? 0 : 1);
}

/* ---- In the process that waits ---- */

static int start(struct pool *p, struct worker *w, uint32_t part)
{
    pid_t parent = getpid();
    int fds[2];

    if (pipe2(fds, O_CLOEXEC) < 0)
        return sv_fail(p->err, SV_EIO, SV_NO_OFFSET, "cannot start a compiler: %s",
                       strerror(errno));
    w->pid = fork();
    if (w->pid == 0)
        work(p->w, part, fds[1], parent);
    close(fds[1]);
    if (w->pid < 0) {
        w->pid = 0;
        close(fds[0]);
        return sv_fail(p->err, SV_EIO, SV_NO_OFFSET, "cannot start a compiler: %s",
                       strerror(errno));
    }
    w->fd = fds[0];
    w->part = part;
    sv_buf_init(&w->got, PART_BYTES_MAX);
    return 0;
}

static int stop(struct worker *w, bool force)
{
    int status = -1;

    if (force)
        kill(w->pid, SIGKILL);
    while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    close(w->fd);
    w->pid = 0;
    return status;
}

/* A signal that was sent to it rather than earned. */
static bool was_told(int status)
{
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    return sig == SIGKILL || sig == SIGTERM || sig == SIGINT || sig == SIGHUP || sig == SIGQUIT;
}

/* What it has sent is its part? 1; 0: it came to a bad end; or its error. */
static int judge(struct pool *p, const struct worker *w, int status)
{
    struct sv_err theirs;

    if (was_told(status))
        return sv_fail(p->err, SV_EINTERNAL, SV_NO_OFFSET, "a process of the compiler was killed");
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && w->got.len >= sizeof theirs) {
        memcpy(&theirs, w->got.data, sizeof theirs);
        if (theirs.code == 0)
            return 1;
        if (theirs.code != SV_ENOMEM)
            return sv_fail(p->err, theirs.code, theirs.has_offset ? theirs.offset : SV_NO_OFFSET,
                           "%s", theirs.text);
    }
    if (p->confined && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU))
        return sv_fail(p->err, SV_ENOMEM, SV_NO_OFFSET,
                       "out of memory for the compiler: this process may have less than %llu MiB "
                       "of address space",
                       (unsigned long long)(p->w->memory >> 20));
    return 0;
}

static int take(struct pool *p, struct worker *w)
{
    size_t len = w->got.len - sizeof(struct sv_err);
    uint8_t *bytes = sv_alloc(len + 1);

    if (!bytes)
        return sv_fail_nomem(p->err, "an object");
    memcpy(bytes, w->got.data + sizeof(struct sv_err), len);
    if (!p->w->made(p->w->arg, w->part, bytes, len))
        return sv_fail(p->err, SV_EINTERNAL, SV_NO_OFFSET, "cancelled");
    return 0;
}

/* It has closed its end. */
static int finish(struct pool *p, struct worker *w)
{
    int r = judge(p, w, stop(w, false));

    if (r > 0)
        r = take(p, w);
    else if (r == 0)
        r = p->w->lost(p->w->arg, w->part) ? LOST
                                           : sv_fail(p->err, SV_ENOMEM, SV_NO_OFFSET,
                                                     "the compiler ran out of memory or time");
    sv_buf_release(&w->got);
    return r == LOST ? start(p, w, w->part) : r;
}

static int receive(struct pool *p, struct worker *w)
{
    uint8_t bytes[65536];
    ssize_t n = read(w->fd, bytes, sizeof bytes);

    if (n < 0 && errno == EINTR)
        return 0;
    if (n > 0 && !sv_buf_append(&w->got, bytes, (size_t)n))
        return sv_fail_nomem(p->err, "an object");
    return n > 0 ? 0 : finish(p, w);
}

/* One turn: start what may start, wait until something comes. 1: all is done. */
static int turn(struct pool *p)
{
    struct pollfd fds[JOBS_MAX];
    struct worker *of[JOBS_MAX];
    nfds_t n = 0;
    int r = 0;

    for (unsigned i = 0; i < p->jobs && r == 0; i++) {
        struct worker *w = &p->workers[i];

        if (!w->pid && p->next < p->w->nparts)
            r = start(p, w, p->next++);
        if (w->pid) {
            of[n] = w;
            fds[n++] = (struct pollfd){.fd = w->fd, .events = POLLIN};
        }
    }
    if (r < 0 || n == 0)
        return r < 0 ? r : 1;
    while (poll(fds, n, -1) < 0 && errno == EINTR)
        continue;
    for (nfds_t i = 0; i < n && r == 0; i++) {
        if (fds[i].revents)
            r = receive(p, of[i]);
    }
    return r;
}

int sv_workers_run(struct sv_err *err, const struct sv_workers *w)
{
    struct pool p = {.w = w, .err = err, .jobs = w->jobs > JOBS_MAX ? JOBS_MAX : w->jobs};
    struct rlimit l;
    int r;

    p.confined = getrlimit(RLIMIT_AS, &l) == 0 && l.rlim_cur < w->memory;
    do
        r = turn(&p);
    while (r == 0);
    for (unsigned i = 0; i < p.jobs; i++) {
        if (p.workers[i].pid) {
            stop(&p.workers[i], true);
            sv_buf_release(&p.workers[i].got);
        }
    }
    return r < 0 ? r : 0;
}
