/* epoll_oneoff: poll_oneoff that tells of a descriptor once for each change. The subscriptions of a
 * call are compared with what the kernel watches from the calls before. */
#include <sys/epoll.h>
#include <unistd.h>

#include "host/socket/guest.h"

#define EVENTS_AT_ONCE 64

struct edges {
    int epoll;
    uint32_t installs; /* sv_wasi.installs of the last call: descriptors may be others now */
    uint32_t cap;      /* of watched */
    short *watched;    /* by host descriptor: events, 0: none */
    struct state *state;
};

void edges_delete(own struct edges *e)
{
    if (!e)
        return;
    close(e->epoll);
    sv_free(e->watched);
    sv_free(e);
}

static own struct edges *edges_new(struct state *s)
{
    struct edges *e = sv_alloc_zero(sizeof *e);

    if (!e)
        return NULL;
    e->state = s;
    e->installs = s->wasi->installs;
    e->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (e->epoll >= 0)
        return e;
    sv_free(e);
    return NULL;
}

static bool grow(struct edges *e, uint32_t need)
{
    uint32_t cap = e->cap ? e->cap : 64;
    short *watched;

    while (cap < need)
        cap *= 2;
    if (cap == e->cap)
        return true;
    watched = sv_alloc_array_zero(cap, sizeof *watched);
    if (!watched)
        return false;
    if (e->cap > 0)
        memcpy(watched, e->watched, e->cap * sizeof *watched);
    sv_free(e->watched);
    e->watched = watched;
    e->cap = cap;
    return true;
}

/* Let the kernel watch a descriptor for these events. False: it cannot (a file). */
static bool watch(struct edges *e, const struct pollfd *p)
{
    struct epoll_event event = {.events = (uint32_t)p->events | EPOLLET, .data.fd = p->fd};
    bool same = e->watched[p->fd] == p->events;

    if (same && e->installs == e->state->wasi->installs)
        return true;
    e->watched[p->fd] = p->events;
    /* The number may stand for another file now, of which the kernel knows nothing. */
    if (epoll_ctl(e->epoll, EPOLL_CTL_ADD, p->fd, &event) == 0)
        return true;
    return errno == EEXIST && (same || epoll_ctl(e->epoll, EPOLL_CTL_MOD, p->fd, &event) == 0);
}

/* What is not asked for any more is not watched either. */
static void drop_others(struct edges *e, const struct pollfd *fds, unsigned n)
{
    for (uint32_t fd = 0; fd < e->cap; fd++) {
        unsigned i = 0;

        if (!e->watched[fd])
            continue;
        while (i < n && fds[i].fd != (int)fd)
            i++;
        if (i < n)
            continue;
        (void)epoll_ctl(e->epoll, EPOLL_CTL_DEL, (int)fd, NULL);
        e->watched[fd] = 0;
    }
}

/* Changes since the last call, to the descriptors' revents: their number. */
static int collect(struct edges *e, struct pollfd *fds, unsigned n)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int got, found = 0;

    do {
        got = epoll_wait(e->epoll, events, EVENTS_AT_ONCE, 0);
        for (int i = 0; i < got; i++) {
            unsigned at = 0;

            while (at < n && fds[at].fd != events[i].data.fd)
                at++;
            if (at == n)
                continue;
            fds[at].revents |= (short)events[i].events;
            found++;
        }
    } while (got == EVENTS_AT_ONCE);
    return found;
}

static int wait_edges(void *arg, struct sv_thread *th, struct pollfd *fds, unsigned n,
                      int64_t timeout_ns, int *ret_ready)
{
    struct edges *e = arg;
    struct pollfd any[2] = {{.fd = e->epoll, .events = POLLIN}};
    int r, ready;

    for (unsigned i = 0; i < n; i++) {
        fds[i].revents = 0;
        if (fds[i].fd < 0 || !grow(e, (uint32_t)fds[i].fd + 1))
            return SV_WASI_ENOMEM;
        if (!watch(e, &fds[i])) {
            e->watched[fds[i].fd] = 0;
            fds[i].revents = fds[i].events; /* what cannot be watched is always ready */
        }
    }
    drop_others(e, fds, n);
    e->installs = e->state->wasi->installs;
    *ret_ready = collect(e, fds, n);
    for (unsigned i = 0; i < n; i++)
        if (fds[i].revents)
            timeout_ns = 0;
    r = VFS->wait(th, any, 1, timeout_ns, &ready);
    if (r == 0 && ready > 0)
        *ret_ready += collect(e, fds, n);
    return r;
}

int poll_edges(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    if (!s->edges)
        s->edges = edges_new(s);
    return s->edges ? VFS->poll(s->wasi, c, arg, false, wait_edges, s->edges) : SV_WASI_ENOMEM;
}
