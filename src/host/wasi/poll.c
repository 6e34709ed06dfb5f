/* poll_oneoff: waiting for clocks and descriptors, in the layouts of both eras. */
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/clock.h"
#include "host/wasi/vfs.h"

/* A subscription, read once from the guest. */
struct sub {
    uint64_t userdata;
    uint64_t end;   /* clocks: when, on that clock */
    uint32_t fd;    /* descriptors */
    uint32_t poll;  /* its place in fds, or NONE */
    uint16_t error; /* known beforehand */
    uint8_t type;   /* enum sv_wasi_event_type */
    uint8_t clock;
    bool ready; /* without asking the host */
};
#define NONE UINT32_MAX
#define SUBS_INLINE 8 /* that need no memory */
/* When a guest waits for a moment of the wall clock we look at it so often: it can be set. */
#define WALL_LOOK_NS ((int64_t)1000000000)

struct wait {
    struct sub *subs;
    uint32_t nsubs;
    struct pollfd *fds; /* one more than nsubs */
    unsigned nfds;
    sv_vfs_wait_fn *wait; /* NULL: sv_vfs_wait */
    void *wait_arg;
};

static uint64_t now_of(uint8_t clock)
{
    return clock == SV_WASI_CLOCK_REALTIME ? sv_clock_wall_ns() : sv_clock_ns();
}

static void take_clock(struct sub *s, uint32_t id, uint64_t timeout, uint16_t flags)
{
    s->clock = (uint8_t)id;
    if (id != SV_WASI_CLOCK_REALTIME && id != SV_WASI_CLOCK_MONOTONIC) {
        s->error = id < SV_WASI_CLOCK_COUNT ? SV_WASI_ENOTSUP : SV_WASI_EINVAL;
    } else if (flags & SV_WASI_SUBCLOCK_ABSTIME) {
        s->end = timeout;
    } else {
        /* A time to wait does not depend on the wall clock being set. */
        s->clock = SV_WASI_CLOCK_MONOTONIC;
        if (__builtin_add_overflow(now_of(s->clock), timeout, &s->end))
            s->end = UINT64_MAX;
    }
}

static int take_sub(const uint8_t *from, bool p0, struct sub *s)
{
    memset(s, 0, sizeof *s);
    s->poll = NONE;
    if (p0) {
        struct sv_wasi_abi_subscription_p0 g;
        sv_wasi_take(&g, from, sizeof g);
        s->userdata = g.userdata;
        s->type = g.type;
        s->fd = g.fd;
        if (g.type == SV_WASI_EVENT_CLOCK)
            take_clock(s, g.clock.id, g.clock.timeout, g.clock.flags);
    } else {
        struct sv_wasi_abi_subscription g;
        sv_wasi_take(&g, from, sizeof g);
        s->userdata = g.userdata;
        s->type = g.type;
        s->fd = g.fd;
        if (g.type == SV_WASI_EVENT_CLOCK)
            take_clock(s, g.clock.id, g.clock.timeout, g.clock.flags);
    }
    return s->type <= SV_WASI_EVENT_WRITE ? 0 : SV_WASI_EINVAL;
}

/* One pollfd a descriptor: ppoll takes no more of them than the process may have files. */
static void add_fd(struct wait *k, struct sub *s, struct sv_vfs_file *f, uint32_t *places)
{
    short events = s->type == SV_WASI_EVENT_READ ? POLLIN : POLLOUT;

    if (places[s->fd] == NONE) {
        places[s->fd] = k->nfds;
        sv_vfs_hold(f);
        k->fds[k->nfds++] = (struct pollfd){.fd = f->fd};
    }
    s->poll = places[s->fd];
    k->fds[s->poll].events |= events;
}

static void take_fd(struct sv_wasi *w, struct wait *k, struct sub *s, uint32_t *places)
{
    struct sv_vfs_file *f;
    int e = sv_vfs_find(w, s->fd, SV_WASI_RIGHT_POLL, &f);
    uint32_t need = s->type == SV_WASI_EVENT_READ ? SV_WASI_RIGHT_READ : SV_WASI_RIGHT_WRITE;

    if (e == 0 && !(f->rights & need) && f->kind != SV_VFS_DIR)
        e = SV_WASI_EBADF;
    s->error = (uint16_t)e;
    if (e == 0 && (f->kind == SV_VFS_PIPE || f->kind == SV_VFS_SOCKET))
        add_fd(k, s, f, places);
    else
        s->ready = true;
}

/* ns until the first clock, INT64_MAX when there is none, 0 when something is ready. */
static int64_t first_ns(const struct wait *k)
{
    int64_t first = INT64_MAX;
    uint32_t i;

    for (i = 0; i < k->nsubs; i++) {
        const struct sub *s = &k->subs[i];
        uint64_t now, left;
        int64_t ns;

        if (s->error || s->ready)
            return 0;
        if (s->type != SV_WASI_EVENT_CLOCK)
            continue;
        now = now_of(s->clock);
        left = s->end > now ? s->end - now : 0;
        ns = left > INT64_MAX ? INT64_MAX : (int64_t)left;
        if (s->clock == SV_WASI_CLOCK_REALTIME && ns > WALL_LOOK_NS)
            ns = WALL_LOOK_NS;
        if (ns < first)
            first = ns;
    }
    return first;
}

/* Bytes that can be read without waiting. Of a stream only that there are some: asking for more
 * would cost as much as reading them, and is not what guests want. */
static uint64_t readable(const struct sv_wasi *w, const struct sv_vfs_file *f)
{
    struct stat st;
    off_t at;
    int n;

    switch (f->kind) {
    case SV_VFS_FILE:
        at = lseek(f->fd, 0, SEEK_CUR);
        return fstat(f->fd, &st) == 0 && at >= 0 && st.st_size > at ? (uint64_t)(st.st_size - at)
                                                                    : 0;
    case SV_VFS_BYTES:
        return w->streams[f->stream].len - w->in_pos;
    case SV_VFS_PIPE:
    case SV_VFS_SOCKET:
        if (f->is_stream)
            return 1;
        return ioctl(f->fd, FIONREAD, &n) == 0 && n > 0 ? (uint64_t)n : 0;
    default:
        return 0;
    }
}

/* The event of a subscription, if there is one. */
static bool event_of(const struct sv_wasi *w, const struct wait *k, const struct sub *s,
                     struct sv_wasi_abi_event *ret)
{
    short got = s->poll == NONE ? 0 : k->fds[s->poll].revents;
    short want = s->type == SV_WASI_EVENT_READ ? POLLIN : POLLOUT;

    memset(ret, 0, sizeof *ret);
    ret->userdata = s->userdata;
    ret->type = s->type;
    ret->error = s->error;
    if (s->error)
        return true;
    if (s->type == SV_WASI_EVENT_CLOCK)
        return now_of(s->clock) >= s->end;
    if (!s->ready && !(got & (want | POLLHUP | POLLERR | POLLNVAL)))
        return false;
    if (got & POLLNVAL)
        ret->error = SV_WASI_EBADF;
    if (got & POLLHUP)
        ret->flags = SV_WASI_EVENT_HANGUP;
    /* Closed while we waited. */
    if (s->poll != NONE && w->files[s->fd].kind == SV_VFS_CLOSED)
        ret->error = SV_WASI_EBADF;
    if (s->type == SV_WASI_EVENT_READ)
        ret->nbytes = readable(w, &w->files[s->fd]);
    return true;
}

static uint32_t put_events(const struct sv_wasi *w, const struct wait *k, uint8_t *to)
{
    struct sv_wasi_abi_event e;
    uint32_t i, n = 0;

    for (i = 0; i < k->nsubs; i++) {
        if (!event_of(w, k, &k->subs[i], &e))
            continue;
        memcpy(to + (size_t)n * sizeof e, &e, sizeof e);
        n++;
    }
    return n;
}

/* Read all subscriptions. places: a scratch word for each descriptor of the guest. */
static int take_subs(struct sv_wasi *w, struct wait *k, const uint8_t *in, bool p0,
                     uint32_t *places)
{
    size_t size =
        p0 ? sizeof(struct sv_wasi_abi_subscription_p0) : sizeof(struct sv_wasi_abi_subscription);
    uint32_t i;
    int r;

    memset(places, 0xff, w->nfiles * sizeof *places);
    for (i = 0; i < k->nsubs; i++) {
        struct sub *s = &k->subs[i];
        r = take_sub(in + i * size, p0, s);
        if (r != 0)
            return r;
        if (s->type != SV_WASI_EVENT_CLOCK)
            take_fd(w, k, s, places);
    }
    return 0;
}

static int wait_events(struct sv_wasi *w, struct sv_call *c, struct wait *k, uint8_t *out,
                       uint32_t *ret_n)
{
    int ready, r;

    for (;;) {
        int64_t ns = first_ns(k);

        ns = ns == INT64_MAX ? -1 : ns;
        r = k->wait ? k->wait(k->wait_arg, c->th, k->fds, k->nfds, ns, &ready)
                    : sv_vfs_wait(c->th, k->fds, k->nfds, ns, &ready);
        if (r != 0)
            return r;
        *ret_n = put_events(w, k, out);
        if (*ret_n > 0)
            return 0;
    }
}

/* Each file was held once, by the first subscription that named it. */
static void drop_fds(struct sv_wasi *w, const struct wait *k)
{
    uint32_t next = 0;

    for (uint32_t i = 0; next < k->nfds; i++) {
        if (k->subs[i].poll != next)
            continue;
        sv_vfs_drop(&w->files[k->subs[i].fd]);
        next++;
    }
}

/* (in, out, nsubscriptions, ret_nevents) */
int sv_vfs_poll(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg, bool p0,
                sv_vfs_wait_fn *wait, void *wait_arg)
{
    struct sub inline_subs[SUBS_INLINE];
    struct pollfd inline_fds[SUBS_INLINE + 1];
    uint32_t inline_places[4 * SUBS_INLINE], *places = inline_places;
    struct wait k = {.subs = inline_subs,
                     .nsubs = arg[2].i32,
                     .fds = inline_fds,
                     .wait = wait,
                     .wait_arg = wait_arg};
    size_t in_size =
        p0 ? sizeof(struct sv_wasi_abi_subscription_p0) : sizeof(struct sv_wasi_abi_subscription);
    bool large = k.nsubs > SUBS_INLINE || w->nfiles > SV_COUNT(inline_places);
    uint8_t *in, *out;
    uint32_t n = 0;
    void *to;
    int r;

    if (k.nsubs == 0 || k.nsubs > SV_WASI_SUBSCRIPTIONS_MAX)
        return SV_WASI_EINVAL;
    if (!sv_call_slice(c, arg[0].i32, k.nsubs * in_size, &in) ||
        !sv_call_slice(c, arg[1].i32, k.nsubs * sizeof(struct sv_wasi_abi_event), &out) ||
        !sv_call_slice(c, arg[3].i32, 4, &to))
        return SV_WASI_EFAULT;
    if (large) {
        k.subs = sv_alloc_array(k.nsubs, sizeof *k.subs);
        k.fds = sv_alloc_array(k.nsubs + 1, sizeof *k.fds);
        places = sv_alloc_array(w->nfiles, sizeof *places);
    }
    r = k.subs && k.fds && places ? take_subs(w, &k, in, p0, places) : SV_WASI_ENOMEM;
    if (r == 0)
        r = wait_events(w, c, &k, out, &n);
    drop_fds(w, &k);
    if (large) {
        sv_free(k.subs);
        sv_free(k.fds);
        sv_free(places);
    }
    if (r == 0)
        memcpy(to, &n, 4);
    return r;
}

int sv_wasi_poll_oneoff(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    return sv_vfs_poll(w, c, arg, false, NULL, NULL);
}

int sv_wasi_poll_oneoff_p0(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    return sv_vfs_poll(w, c, arg, true, NULL, NULL);
}
