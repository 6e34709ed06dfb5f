/* Worker threads and waiting for them. A worker is made when a job finds none idle, and stays until
 * the workers are released. */
#include "host/nn/work.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

/* Threads that exist at once; a job beyond it waits for one. */
#define WORKERS_MAX 64
/* The longest sleep in one piece, and that of a thread without a descriptor to be woken by. */
#define PIECE_MS 3600000
#define BLIND_MS 1
#define NS_PER_MS INT64_C(1000000)

struct sv_nn_worker {
    struct sv_nn_worker *next;
    struct sv_nn_workers *workers;
    pthread_t thread;
};

void sv_nn_workers_init(struct sv_nn_workers *w)
{
    memset(w, 0, sizeof *w);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    w->last = &w->first;
}

void sv_nn_workers_release(struct sv_nn_workers *w)
{
    struct sv_nn_worker *t, *next;

    pthread_mutex_lock(&w->lock);
    w->stop = true;
    pthread_cond_broadcast(&w->more);
    pthread_mutex_unlock(&w->lock);
    for (t = w->threads; t; t = next) {
        next = t->next;
        if (pthread_equal(t->thread, pthread_self())) {
            /* It frees its own struct and does not look at `w` any more. */
            t->workers = NULL;
            pthread_detach(t->thread);
        } else {
            pthread_join(t->thread, NULL);
            sv_free(t);
        }
    }
    pthread_cond_destroy(&w->more);
    pthread_mutex_destroy(&w->lock);
}

void sv_nn_job_init(struct sv_nn_job *j, void (*run)(struct sv_nn_job *),
                    void (*cancel)(struct sv_nn_job *), void (*release)(struct sv_nn_job *))
{
    memset(j, 0, sizeof *j);
    j->run = run;
    j->cancel = cancel;
    j->release = release;
    j->wake_fd = -1;
    atomic_init(&j->refs, 1);
}

void sv_nn_job_unref(own struct sv_nn_job *j)
{
    if (j && atomic_fetch_sub_explicit(&j->refs, 1, memory_order_acq_rel) == 1)
        j->release(j);
}

static void tell(int fd)
{
    uint64_t one = 1;

    if (fd >= 0 && write(fd, &one, sizeof one) < 0)
        return; /* full: it is readable already */
}

static void work(struct sv_nn_workers *w, struct sv_nn_job *j)
{
    if (j->left) { /* before it was begun */
        w->nleft--;
        j->done = true;
        return;
    }
    j->begun = true;
    j->has_clock = pthread_getcpuclockid(pthread_self(), &j->clock) == 0;
    j->cpu_start_ns = sv_clock_thread_ns();
    pthread_mutex_unlock(&w->lock);
    j->run(j);
    pthread_mutex_lock(&w->lock);
    j->cpu_ns = sv_clock_thread_ns() - j->cpu_start_ns;
    j->has_clock = false;
    j->done = true;
    if (j->left)
        w->nleft--;
    else
        tell(j->wake_fd);
}

static void *worker_main(void *arg)
{
    struct sv_nn_worker *self = arg;
    struct sv_nn_workers *w = self->workers;

    pthread_mutex_lock(&w->lock);
    for (;;) {
        struct sv_nn_job *j;

        while (!w->first && !w->stop)
            pthread_cond_wait(&w->more, &w->lock);
        j = w->first;
        if (!j)
            break;
        w->first = j->next;
        if (!w->first)
            w->last = &w->first;
        w->njobs--;
        w->nidle--;
        work(w, j);
        w->nidle++;
        pthread_mutex_unlock(&w->lock);
        /* May be the last that holds the grant, and so release the workers. */
        sv_nn_job_unref(j);
        if (!self->workers) {
            sv_free(self);
            return NULL;
        }
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

/* With the lock held: there is, or will be, a thread for one more job. */
static bool have_worker(struct sv_nn_workers *w)
{
    struct sv_nn_worker *t;
    sigset_t all, old;
    int r;

    if (w->nidle > w->njobs || w->nthreads >= WORKERS_MAX)
        return true;
    t = sv_alloc_zero(sizeof *t);
    if (!t)
        return w->nthreads > 0;
    t->workers = w;
    /* Signals are for the threads that run guests. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&t->thread, NULL, worker_main, t);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (r != 0) {
        sv_free(t);
        return w->nthreads > 0;
    }
    t->next = w->threads;
    w->threads = t;
    w->nthreads++;
    w->nidle++;
    return true;
}

/* CPU time that the job has used, by its thread's clock. */
static uint64_t cpu_used(struct sv_nn_job *j)
{
    struct timespec t;

    if (!j->has_clock || clock_gettime(j->clock, &t) != 0)
        return j->cpu_ns;
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec - j->cpu_start_ns;
}

/* ns that the guest may go on, by both of its limits. */
static int64_t time_left(struct sv_thread *th, uint64_t job_cpu)
{
    int64_t left = sv_thread_time_left(th);
    uint64_t used;

    if (left <= 0 && sv_thread_ok(th))
        atomic_fetch_or(&th->interrupt, SV_INTERRUPT_DEADLINE);
    if (th->cpu_left_ns == UINT64_MAX)
        return left;
    used = sv_clock_thread_ns() - th->cpu_start_ns + job_cpu;
    if (used >= th->cpu_left_ns) {
        atomic_fetch_or(&th->interrupt, SV_INTERRUPT_CPU);
        return 0;
    }
    return th->cpu_left_ns - used < (uint64_t)left ? (int64_t)(th->cpu_left_ns - used) : left;
}

struct job_wait {
    struct sv_nn_workers *workers;
    struct sv_nn_job *job;
    uint64_t cpu_ns; /* used so far */
};

int sv_nn_wait(struct sv_thread *th, bool (*is_over)(void *arg), void *arg, const uint64_t *cpu_ns)
{
    struct pollfd p = {.fd = sv_thread_wake_fd(th), .events = POLLIN};
    uint64_t count;

    for (;;) {
        int64_t left, ms;

        if (is_over(arg))
            return 0;
        left = time_left(th, cpu_ns ? *cpu_ns : 0);
        if (!sv_thread_ok(th))
            return sv_thread_interrupted(th);
        /* Not a moment too early: that would be a turn more. */
        ms = left / NS_PER_MS + 1;
        ms = ms > PIECE_MS ? PIECE_MS : ms;
        if (p.fd < 0)
            ms = BLIND_MS;
        /* Emptied, so that a stale one does not make us spin; what it tells of is set before it is
         * filled. */
        if (poll(&p, p.fd >= 0, (int)ms) > 0 && read(p.fd, &count, sizeof count) < 0 &&
            errno != EAGAIN)
            p.fd = -1;
    }
}

static bool job_is_over(void *arg)
{
    struct job_wait *w = arg;
    bool done;

    pthread_mutex_lock(&w->workers->lock);
    done = w->job->done;
    w->cpu_ns = w->job->begun ? cpu_used(w->job) : 0;
    pthread_mutex_unlock(&w->workers->lock);
    return done;
}

/* Nobody waits for it any more. False: it has just ended. */
static bool leave(struct sv_nn_workers *w, struct sv_nn_job *j)
{
    bool running;

    pthread_mutex_lock(&w->lock);
    running = !j->done;
    j->left = running;
    j->wake_fd = -1;
    w->nleft += running;
    pthread_mutex_unlock(&w->lock);
    return running;
}

int sv_nn_job_wait(struct sv_err *err, struct sv_nn_workers *w, struct sv_thread *th,
                   struct sv_nn_job *j)
{
    struct job_wait wait = {w, j, 0};
    bool limited = w->always || th->deadline_ns || th->cpu_left_ns != UINT64_MAX, ok;
    int r;

    pthread_mutex_lock(&w->lock);
    ok = w->nleft < SV_NN_LEFT_MAX && (!limited || have_worker(w));
    if (ok && limited) {
        j->wake_fd = sv_thread_wake_fd(th);
        j->begun = j->done = j->left = false;
        j->cpu_ns = 0;
        atomic_fetch_add_explicit(&j->refs, 1, memory_order_relaxed);
        j->next = NULL;
        *w->last = j;
        w->last = &j->next;
        w->njobs++;
        pthread_cond_signal(&w->more);
    }
    pthread_mutex_unlock(&w->lock);
    if (!ok) {
        sv_fail(err, SV_ELIMIT, SV_NO_OFFSET,
                "the host is busy: runs whose time was over have not ended yet");
        return SV_NN_BUSY;
    }
    if (!limited) {
        j->run(j);
        return sv_thread_ok(th) ? 0 : sv_thread_interrupted(th);
    }
    r = sv_nn_wait(th, job_is_over, &wait, &wait.cpu_ns);
    if (r != 0 && leave(w, j) && j->cancel)
        j->cancel(j);
    if (th->cpu_left_ns != UINT64_MAX)
        th->cpu_start_ns -= wait.cpu_ns;
    th->store->threads_cpu_ns += wait.cpu_ns;
    return r;
}
