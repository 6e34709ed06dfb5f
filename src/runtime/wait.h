/* What a shared memory has beside its bytes: the lock for growing and the list of waiters. Not for
 * other layers. */
#ifndef SV_RUNTIME_WAIT_H
#define SV_RUNTIME_WAIT_H

#include <pthread.h>

#include "runtime/memory.h"

/* Threads that wait in one memory at a time; one more is a trap. */
#define SV_WAITERS_MAX 65536

struct sv_waiter;
struct sv_memory_lock {
    pthread_mutex_t mutex;
    struct sv_waiter *first, *last; /* in order of arrival */
    uint32_t nwaiters;
};

own struct sv_memory_lock *sv_memory_lock_new(void);
void sv_memory_lock_delete(own struct sv_memory_lock *);

#endif
