/* Threads of one guest (wasi-threads): each is an OS thread with a store of its own, an instance of
 * the same module, and the shared memory. They begin in a call from outside and do not outlive it;
 * what ends one ends all. Not atomic.wait (wait.h), nor the import that starts them. */
#ifndef SV_RUNTIME_THREADS_H
#define SV_RUNTIME_THREADS_H

#include <pthread.h>

#include "runtime/instance.h"

/* Threads beside the first that a guest may be granted. */
#define SV_THREADS_MAX 1024

struct sv_threads_grant {
    uint32_t max; /* beside the first, at a time */
    /* For the embedder's view of a new thread's store (host_data); NULL: it has none. false: out of
     * memory. */
    bool (*attach)(struct sv_store *thread, const struct sv_store *first);
    void (*detach)(struct sv_store *thread);
};

struct sv_guest; /* a thread that was started */
struct sv_threads {
    pthread_mutex_t host; /* held while a host function runs; taken by sv_threads_take */
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t left;  /* one has left `running` */
    struct sv_threads_grant grant;
    struct sv_thread *first;
    struct sv_guest *running;
    struct sv_guest *dead; /* to be joined */
    uint32_t n, last_id;
    bool ended; /* result is why */
    int result; /* SV_E*, or 0: the first thread returned */
    int exit_code;
    struct sv_trap trap;
    uint64_t gas_used, gas_spare; /* of threads that are gone; of a limit, what they have left */
    _Atomic int64_t cpu_left_ns;  /* of all; valid where the store's CPU time is limited */
    _Atomic uint32_t busy;        /* threads, with the first */
};

/* Start `wasi_thread_start(id, start_arg)` in a new instance of the caller's module. *ret_id: from
 * 1 to 2^29 - 1. SV_ELIMIT: there are as many as granted, or a limit of the store is reached;
 * SV_ENOMEM: the system has no room for one; SV_EUSAGE: the module is not made for it; SV_ETRAP:
 * the calling thread is to end. */
int sv_threads_start(struct sv_err *err, struct sv_call *, const struct sv_threads_grant *,
                     uint32_t start_arg, uint32_t *ret_id);
/* At the end of the first thread's outermost call, whose result is `r`: end and join all. The
 * result of the whole, with trap and exit code in the first thread. */
int sv_threads_end(struct sv_thread *first, int r);

/* Host functions of one guest run one at a time. take: before; let: after, and around what waits
 * (true: take it again). Nothing happens in a guest that has started no threads. */
static inline void sv_threads_take(struct sv_thread *th)
{
    if (!th->threads)
        return;
    pthread_mutex_lock(&th->threads->host);
    th->in_host = true;
}
static inline bool sv_threads_let(struct sv_thread *th)
{
    if (!th->in_host)
        return false;
    th->in_host = false;
    pthread_mutex_unlock(&th->threads->host);
    return true;
}

#endif
