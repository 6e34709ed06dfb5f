/* getaddrinfo on a thread of its own. */
#include "outbound/resolve.h"

#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"

#define ASKERS 256 /* those that share a place share their part */
#define STACK_BYTES (256 * 1024)
#define RESULTS_MAX 64
#define NS_PER_MS 1000000U
#define LOOK_MS 100 /* between two looks at whether anybody still waits */

/* Resolvers of the whole process: a guest that ends does not end its question. */
static _Atomic unsigned running, running_of[ASKERS];

/* Of the thread that waits and of the one that asks: the last one lets go of it. */
struct question {
    _Atomic unsigned refs;
    int done; /* eventfd */
    uint64_t asker;
    struct addrinfo hints;
    const char *node, *service; /* behind the struct */
    int result;
    unsigned n;
    struct sockaddr_storage found[RESULTS_MAX];
};

static void unref(struct question *q)
{
    if (atomic_fetch_sub(&q->refs, 1) > 1)
        return;
    close(q->done);
    sv_free(q);
}

static int code_of(int eai)
{
    switch (eai) {
    case EAI_NONAME:
        return -ENOENT;
    case EAI_NODATA:
        return -ENODATA;
    case EAI_AGAIN:
        return -EAGAIN;
    case EAI_SERVICE:
    case EAI_SOCKTYPE:
        return -EPROTONOSUPPORT;
    case EAI_FAMILY:
    case EAI_ADDRFAMILY:
        return -EAFNOSUPPORT;
    case EAI_MEMORY:
        return -ENOMEM;
    default:
        return -EIO;
    }
}

static void look_up(struct question *q)
{
    struct addrinfo *list = NULL;
    int r = getaddrinfo(q->node, q->service, &q->hints, &list);

    q->result = r == 0 ? 0 : code_of(r);
    for (const struct addrinfo *a = list; a && q->n < RESULTS_MAX; a = a->ai_next)
        if ((a->ai_family == AF_INET || a->ai_family == AF_INET6) &&
            a->ai_addrlen <= sizeof q->found[0])
            memcpy(&q->found[q->n++], a->ai_addr, a->ai_addrlen);
    if (list)
        freeaddrinfo(list);
}

/* ---- How many are under way ---- */

static void leave(uint64_t asker)
{
    atomic_fetch_sub(&running, 1);
    if (asker)
        atomic_fetch_sub(&running_of[asker % ASKERS], 1);
}

static bool enter(uint64_t asker)
{
    bool fits = atomic_fetch_add(&running, 1) < OUT_QUESTIONS_MAX;

    if (asker)
        fits &= atomic_fetch_add(&running_of[asker % ASKERS], 1) < OUT_QUESTIONS_OF_ASKER_MAX;
    if (!fits)
        leave(asker);
    return fits;
}

static void *ask(void *arg)
{
    struct question *q = arg;
    uint64_t one = 1, asker = q->asker;

    look_up(q);
    (void)!write(q->done, &one, sizeof one);
    unref(q);
    leave(asker);
    return NULL;
}

static int start(struct question *q)
{
    sigset_t all, old;
    pthread_attr_t attr;
    pthread_t thread;
    int r;

    if (!enter(q->asker))
        return -EAGAIN;
    q->refs = 2;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK_BYTES);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    r = pthread_create(&thread, &attr, ask, q);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    if (r != 0) {
        leave(q->asker);
        q->refs = 1;
        return -EAGAIN;
    }
    return 0;
}

static int wait_here(int fd, const struct out_wait *wait)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    for (;;) {
        uint64_t now = sv_clock_ns(), ms = wait->stopped ? LOOK_MS : 1000;

        if (now >= wait->deadline_ns || (wait->stopped && wait->stopped(wait->arg)))
            return ETIMEDOUT;
        if ((wait->deadline_ns - now) / NS_PER_MS < ms)
            ms = (wait->deadline_ns - now) / NS_PER_MS + 1;
        if (poll(&p, 1, (int)ms) > 0)
            return 0;
    }
}

/* Numbers need no resolver. */
static bool is_number(const struct out_query *query)
{
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST}, *list = NULL;
    bool is = !query->node || getaddrinfo(query->node, NULL, &hints, &list) == 0;

    if (list)
        freeaddrinfo(list);
    return is;
}

int out_resolve(const struct out_wait *wait, const struct out_query *query,
                struct sockaddr_storage *ret, unsigned max)
{
    size_t node_len = query->node ? strlen(query->node) + 1 : 0;
    size_t service_len = query->service ? strlen(query->service) + 1 : 0;
    struct question *q = sv_alloc_zero(sizeof *q + node_len + service_len);
    char *text;
    int r = 0;

    if (!q)
        return -ENOMEM;
    text = (char *)(q + 1);
    q->refs = 1;
    q->asker = wait->asker;
    q->hints.ai_family = query->family;
    q->hints.ai_socktype = query->type ? query->type : SOCK_STREAM; /* each address once */
    q->hints.ai_flags = query->flags & ~AI_CANONNAME;
    if (node_len > 0)
        q->node = memcpy(text, query->node, node_len);
    if (service_len > 0)
        q->service = memcpy(text + node_len, query->service, service_len);
    q->done = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (q->done < 0)
        r = -errno;
    if (r == 0 && is_number(query)) {
        look_up(q);
    } else if (r == 0) {
        r = start(q);
        if (r == 0)
            r = -(wait->fn ? wait->fn(wait->arg, q->done) : wait_here(q->done, wait));
    }
    if (r == 0)
        r = q->result;
    if (r == 0) {
        r = (int)(q->n < max ? q->n : max);
        memcpy(ret, q->found, (size_t)r * sizeof *ret);
        if (r == 0)
            r = -ENODATA;
    }
    unref(q);
    return r;
}
