/* POSIX threads of wasi-libc, for compilers whose wasi-libc was built without them: the
 * declarations that our guests use, by the ABI of its wasm32-wasip1-threads build, whose libc.a the
 * Rust target of that name has. */
#ifndef GUEST_PTHREAD_H
#define GUEST_PTHREAD_H

typedef struct __pthread *pthread_t;
typedef struct {
    int words[9];
} pthread_attr_t;
typedef struct {
    int words[6];
} pthread_mutex_t;
typedef struct {
    int words[12];
} pthread_cond_t;
typedef struct {
    int words[5];
} pthread_barrier_t;
typedef struct {
    unsigned word;
} pthread_mutexattr_t, pthread_condattr_t, pthread_barrierattr_t;

#define PTHREAD_MUTEX_INITIALIZER {{0}}
#define PTHREAD_COND_INITIALIZER {{0}}

int pthread_create(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
int pthread_join(pthread_t, void **);
int pthread_detach(pthread_t);
int pthread_mutex_lock(pthread_mutex_t *);
int pthread_mutex_unlock(pthread_mutex_t *);
int pthread_cond_wait(pthread_cond_t *, pthread_mutex_t *);
int pthread_cond_signal(pthread_cond_t *);
int pthread_cond_broadcast(pthread_cond_t *);
int pthread_barrier_init(pthread_barrier_t *, const pthread_barrierattr_t *, unsigned);
int pthread_barrier_wait(pthread_barrier_t *);

#endif
