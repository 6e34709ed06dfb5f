/* Threads on which libraries work for guests whose time is limited: who waits can leave, the work
 * cannot. Knows nothing of models. */
#ifndef SV_HOST_NN_WORK_H
#define SV_HOST_NN_WORK_H

#include <pthread.h>
#include <time.h>

#include "runtime/store.h"

struct sv_nn_worker;

/* One piece of work: the beginning of a struct that has its arguments and results. */
struct sv_nn_job {
    void (*run)(struct sv_nn_job *);     /* on any thread */
    void (*cancel)(struct sv_nn_job *);  /* while it runs elsewhere: end early; NULL: it cannot */
    void (*release)(struct sv_nn_job *); /* at the last unref, on any thread */
    struct sv_nn_job *next;
    _Atomic uint32_t refs;
    /* Under the workers' lock. */
    bool begun, done, left;
    int wake_fd; /* who waits; -1: nobody, or by looking now and then */
    clockid_t clock;
    bool has_clock;
    uint64_t cpu_start_ns, cpu_ns; /* CPU time of its thread */
};

struct sv_nn_workers {
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct sv_nn_job *first, **last; /* to be done */
    struct sv_nn_worker *threads;
    uint32_t nthreads, njobs; /* njobs: in the queue */
    uint32_t nidle;           /* threads that will look at the queue without waiting */
    uint32_t nleft;           /* jobs under way that nobody waits for */
    bool always;              /* guests may be ended although no limit of theirs says so */
    bool stop;
};
void sv_nn_workers_init(struct sv_nn_workers *);
/* No job may be left. May be called by one of the workers, at the end of its job. */
void sv_nn_workers_release(struct sv_nn_workers *);

void sv_nn_job_init(struct sv_nn_job *, void (*run)(struct sv_nn_job *),
                    void (*cancel)(struct sv_nn_job *), void (*release)(struct sv_nn_job *));
void sv_nn_job_unref(own struct sv_nn_job *); /* NULL is allowed */

/* Jobs that were left and are still under way: no more are begun then. */
#define SV_NN_LEFT_MAX 16
#define SV_NN_BUSY 1
/* Have it run, again if it has run before: on this thread if the guest's time is not limited, else
 * (or `always`) on a worker. 0: it has. SV_ETRAP: the guest is to stop; the job goes on alone and
 * nobody but it may touch what it has. SV_ELIMIT, with *err: it was not begun. */
int sv_nn_job_wait(struct sv_err *err, struct sv_nn_workers *, struct sv_thread *,
                   struct sv_nn_job *);

/* A thread's wait for something that another thread tells by a write to its sv_thread_wake_fd.
 * `is_over` is asked before each sleep. 0, or SV_ETRAP with the trap set. *cpu_ns: CPU time that
 * counts as the guest's, as `is_over` finds it (NULL: none). */
int sv_nn_wait(struct sv_thread *, bool (*is_over)(void *arg), void *arg, const uint64_t *cpu_ns);

#endif
