/* Processes that make the parts, and the one that waits for them. A process makes part after part,
 * as long as all goes well: what LLVM sets up at its first use, and the pages of its heap, are a
 * twentieth of the time of parts that have a process each. A part that ends a process which made
 * others before is tried once more in a new one, so that what comes of it hangs on nothing else. */
#include "aot/workers.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
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
/* The heap of a process grows by so much, and does not shrink. */
#define HEAP_STEP (8 << 20)
#define HEAP_LARGE (32 << 20) /* a mapping of its own */
#define PART_BYTES_MAX ((size_t)1 << 31)
#define NO_PART UINT32_MAX

/* What a process says of a part; then come the part's bytes. */
struct reply {
    struct sv_err err;
    uint64_t len;
};

struct worker {
    pid_t pid;             /* 0: none */
    int parts[2], replies; /* pipes: numbers of parts to it, and what it makes of them */
    uint32_t part;         /* NO_PART: it waits for one */
    bool used;             /* has made others */
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
    int parts, replies;
    struct rlimit time; /* that it was started with */
};

/* No limit is made wider. */
static void limit(int resource, uint64_t most)
{
    struct rlimit l;

    if (getrlimit(resource, &l) < 0)
        return;
    l.rlim_cur = l.rlim_cur < most ? l.rlim_cur : most;
    l.rlim_max = l.rlim_max < most ? l.rlim_max : most;
    setrlimit(resource, &l);
}

/* CPU time until the end of the next part. The limit is the soft one: it moves from part to part,
 * and its signal kills. */
static void limit_time(const struct making *m, uint32_t part)
{
    struct rlimit l = m->time;
    struct rusage use;
    uint64_t most;

    getrusage(RUSAGE_SELF, &use);
    most = (uint64_t)use.ru_utime.tv_sec + (uint64_t)use.ru_stime.tv_sec + 2 +
           m->w->seconds(m->w->arg, part);
    l.rlim_cur = l.rlim_cur < most ? l.rlim_cur : most;
    setrlimit(RLIMIT_CPU, &l);
}

static void confine(const struct sv_workers *w, pid_t parent)
{
    static const int fatal[] = {SIGXCPU, SIGABRT, SIGSEGV, SIGBUS};
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    sigset_t set;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    limit(RLIMIT_CORE, 0);
#ifndef SSVM_SANITIZED /* they want address space */
    limit(RLIMIT_AS, w->memory);
#else
    (void)w;
#endif
    /* A limit of time that is reached, an abort: not the business of handlers that were set. */
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++) {
        signal(fatal[i], SIG_DFL);
        sigaddset(&set, fatal[i]);
    }
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    dup2(null, STDERR_FILENO); /* LLVM's last words */
    /* One thread works, and what a part frees the next one takes. */
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, HEAP_LARGE);
    mallopt(M_TRIM_THRESHOLD, INT_MAX);
    mallopt(M_TOP_PAD, HEAP_STEP);
}

static bool send_all(int fd, const void *bytes, size_t len)
{
    return sv_write_all(fd, bytes, len) == len;
}

/* NO_PART: nobody wants more. */
static uint32_t next_part(int fd)
{
    uint32_t part;
    ssize_t n;

    do
        n = read(fd, &part, sizeof part);
    while (n < 0 && errno == EINTR);
    return n == (ssize_t)sizeof part ? part : NO_PART;
}

static void *make(void *arg)
{
    const struct making *m = arg;
    uint32_t part;
    bool ok = true;

    while (ok && (part = next_part(m->parts)) != NO_PART) {
        struct reply reply = {0};
        const uint8_t *bytes = NULL;
        size_t len = 0;

        limit_time(m, part);
        if (m->w->make(&reply.err, m->w->arg, part, &bytes, &len) == 0)
            reply.len = len;
        ok = send_all(m->replies, &reply, sizeof reply) && send_all(m->replies, bytes, reply.len);
        m->w->forget(m->w->arg, part);
    }
    return NULL;
}

/* The stack of a process's first thread grows to what the limit is then. With one thread malloc
 * takes no locks. */
static bool grow_stack(void)
{
    struct rlimit l;

    if (getrlimit(RLIMIT_STACK, &l) < 0)
        return false;
    l.rlim_cur = l.rlim_cur > STACK_BYTES ? l.rlim_cur : STACK_BYTES;
    return setrlimit(RLIMIT_STACK, &l) == 0;
}

static void work(const struct sv_workers *w, int parts, int replies, pid_t parent)
    __attribute__((noreturn));
static void work(const struct sv_workers *w, int parts, int replies, pid_t parent)
{
    struct making m = {.w = w, .parts = parts, .replies = replies};
    pthread_attr_t attr;
    pthread_t thread;

    confine(w, parent);
    getrlimit(RLIMIT_CPU, &m.time);
    if (grow_stack()) {
        make(&m);
        _exit(1);
    }
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (pthread_create(&thread, &attr, make, &m) == 0)
        pthread_join(thread, NULL);
    _exit(1);
}

/* ---- In the process that waits ---- */

/* Pipes to it and from it. */
static bool open_pipes(int to[2], int from[2])
{
    if (pipe2(to, O_CLOEXEC) < 0)
        return false;
    if (pipe2(from, O_CLOEXEC) == 0)
        return true;
    close(to[0]);
    close(to[1]);
    return false;
}

static int start(struct pool *p, struct worker *w)
{
    pid_t parent = getpid();
    int to[2], from[2];

    if (!open_pipes(to, from))
        return sv_fail(p->err, SV_EIO, SV_NO_OFFSET, "cannot start a compiler: %s",
                       strerror(errno));
    w->pid = fork();
    if (w->pid == 0)
        work(p->w, to[0], from[1], parent);
    close(from[1]);
    if (w->pid < 0) {
        w->pid = 0;
        close(from[0]);
        close(to[0]);
        close(to[1]);
        return sv_fail(p->err, SV_EIO, SV_NO_OFFSET, "cannot start a compiler: %s",
                       strerror(errno));
    }
    /* Both ends: writing to a process that has ended would be a signal. */
    memcpy(w->parts, to, sizeof to);
    w->replies = from[0];
    w->part = NO_PART;
    w->used = false;
    return 0;
}

static int stop(struct worker *w, bool force)
{
    int status = -1;

    if (force)
        kill(w->pid, SIGKILL);
    while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
        continue;
    close(w->parts[0]);
    close(w->parts[1]);
    close(w->replies);
    sv_buf_release(&w->got);
    w->pid = 0;
    return status;
}

static int give(struct pool *p, struct worker *w, uint32_t part)
{
    if (sv_write_all(w->parts[1], &part, sizeof part) != sizeof part)
        return sv_fail(p->err, SV_EIO, SV_NO_OFFSET, "cannot reach a process of the compiler: %s",
                       strerror(errno));
    w->part = part;
    sv_buf_init(&w->got, PART_BYTES_MAX);
    return 0;
}

/* The part in a process that has made nothing else. */
static int again(struct pool *p, struct worker *w)
{
    uint32_t part = w->part;
    int r = start(p, w);

    return r < 0 ? r : give(p, w, part);
}

/* A signal that was sent to it rather than earned. */
static bool was_told(int status)
{
    int sig = WIFSIGNALED(status) ? WTERMSIG(status) : 0;

    return sig == SIGKILL || sig == SIGTERM || sig == SIGINT || sig == SIGHUP || sig == SIGQUIT;
}

/* It has ended with a part in hand, or (status 0) had no memory for it. */
static int lose(struct pool *p, struct worker *w, int status)
{
    if (was_told(status))
        return sv_fail(p->err, SV_EINTERNAL, SV_NO_OFFSET, "a process of the compiler was killed");
    if (w->used)
        return again(p, w);
    if (p->confined && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGXCPU))
        return sv_fail(p->err, SV_ENOMEM, SV_NO_OFFSET,
                       "out of memory for the compiler: this process may have less than %llu MiB "
                       "of address space",
                       (unsigned long long)(p->w->memory >> 20));
    if (!p->w->lost(p->w->arg, w->part))
        return sv_fail(p->err, SV_ENOMEM, SV_NO_OFFSET, "the compiler ran out of memory or time");
    return again(p, w);
}

static int take(struct pool *p, struct worker *w, const struct reply *reply)
{
    uint8_t *bytes = sv_alloc(reply->len + 1);

    if (!bytes)
        return sv_fail_nomem(p->err, "an object");
    memcpy(bytes, w->got.data + sizeof *reply, reply->len);
    sv_buf_release(&w->got);
    if (!p->w->made(p->w->arg, w->part, bytes, reply->len))
        return sv_fail(p->err, SV_EINTERNAL, SV_NO_OFFSET, "cancelled");
    w->part = NO_PART;
    w->used = true;
    return 0;
}

/* The whole of a reply? */
static int look(struct pool *p, struct worker *w)
{
    struct reply reply;

    if (w->got.len < sizeof reply)
        return 0;
    memcpy(&reply, w->got.data, sizeof reply);
    if (reply.err.code == SV_ENOMEM) {
        stop(w, true);
        return lose(p, w, 0);
    }
    if (reply.err.code)
        return sv_fail(p->err, reply.err.code,
                       reply.err.has_offset ? reply.err.offset : SV_NO_OFFSET, "%s",
                       reply.err.text);
    return w->got.len - sizeof reply < reply.len ? 0 : take(p, w, &reply);
}

static int receive(struct pool *p, struct worker *w)
{
    uint8_t bytes[65536];
    ssize_t n = read(w->replies, bytes, sizeof bytes);

    if (n < 0 && errno == EINTR)
        return 0;
    if (n <= 0)
        return lose(p, w, stop(w, false));
    return sv_buf_append(&w->got, bytes, (size_t)n) ? look(p, w)
                                                    : sv_fail_nomem(p->err, "an object");
}

/* Its next part, if there is one. */
static int feed(struct pool *p, struct worker *w)
{
    int r = 0;

    if ((w->pid && w->part != NO_PART) || p->next == p->w->nparts)
        return 0;
    if (!w->pid)
        r = start(p, w);
    return r < 0 ? r : give(p, w, p->next++);
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

        r = feed(p, w);
        if (w->pid && w->part != NO_PART) {
            of[n] = w;
            fds[n++] = (struct pollfd){.fd = w->replies, .events = POLLIN};
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
        if (p.workers[i].pid)
            stop(&p.workers[i], true);
    }
    return r < 0 ? r : 0;
}
