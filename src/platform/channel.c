/* Channels: packets on a socket, and calls that wait for their answer. What is said is
 * message.def's. */
#include "platform/channel.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fds.h"
#include "base/write.h"

#define HEAD_BYTES 12 /* u16 kind, u16 flags, u64 id */
#define ANSWER 1U     /* flags: to the receiver's call of that id */
#define ASIDE 2U      /* flags: the values are in the last descriptor, a memfd */
#define BUCKETS 64
#define FDS_TRAVEL (PLAT_FDS_MAX + 1)
_Static_assert(FDS_TRAVEL <= SV_FDS_MAX, "a message's descriptors travel together");
#define ANSWER_NS                                                                                  \
    (5 * (uint64_t)1000000000) /* a peer that does not read is left without an answer */
#define NS_PER_S 1000000000U
#define NS_PER_MS 1000000U

/* A call that waits, on the stack of the thread that makes it. */
struct waiter {
    struct waiter *next;
    uint64_t id;
    pthread_cond_t changed;
    struct plat_message *ret; /* taken: NULL */
    const void *asker;        /* NULL: nobody's */
    bool lost;                /* the peer is gone or was replaced */
    bool ended;               /* the asker is */
};

struct plat_channel {
    int fd, stop;
    size_t most; /* bytes of a message's values */
    plat_handler handler;
    void *data;
    pthread_mutex_t lock;
    uint64_t next_id; /* begins anywhere, so that answers to our predecessor fit no call of ours */
    struct waiter *waiters[BUCKETS];
    bool gone;
    _Atomic bool stopping; /* `stop` says the same to poll */
    unsigned char in[PLAT_PACKET_MAX];
};

/* ---- Start and end ---- */

own struct plat_channel *plat_channel_new(own int fd, plat_handler handler, void *data)
{
    struct plat_channel *channel = sv_alloc_zero(sizeof *channel);

    if (!channel)
        goto fail;
    channel->fd = fd;
    channel->most = PLAT_MESSAGE_MAX;
    channel->handler = handler;
    channel->data = data;
    channel->stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (channel->stop < 0 ||
        getrandom(&channel->next_id, sizeof channel->next_id, 0) != sizeof channel->next_id)
        goto fail_stop;
    pthread_mutex_init(&channel->lock, NULL);
    return channel;
fail_stop:
    if (channel->stop >= 0)
        close(channel->stop);
fail:
    close(fd);
    sv_free(channel);
    return NULL;
}

void plat_channel_delete(own struct plat_channel *channel)
{
    if (!channel)
        return;
    close(channel->fd);
    close(channel->stop);
    pthread_mutex_destroy(&channel->lock);
    sv_free(channel);
}

int plat_channel_fd(const struct plat_channel *channel)
{
    return channel->fd;
}

void plat_channel_bound(struct plat_channel *channel, size_t most)
{
    channel->most = most;
}

void plat_channel_stop(struct plat_channel *channel)
{
    uint64_t one = 1;

    atomic_store(&channel->stopping, true);
    (void)!write(channel->stop, &one, sizeof one);
}

static void lose_waiters(struct plat_channel *channel, bool gone)
{
    pthread_mutex_lock(&channel->lock);
    channel->gone |= gone;
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct waiter *w = channel->waiters[i]; w; w = w->next) {
            w->lost = true;
            pthread_cond_signal(&w->changed);
        }
    }
    pthread_mutex_unlock(&channel->lock);
}

void plat_channel_reset(struct plat_channel *channel)
{
    lose_waiters(channel, false);
}

/* ---- Sending ---- */

/* A memfd with the values, for a message that does not fit a packet. Negative: failed. */
static int put_aside(struct sv_err *err, const struct sv_buf *values)
{
    int fd = memfd_create("ssvm-message", MFD_CLOEXEC), r;

    if (fd >= 0 && sv_write_all(fd, values->data, values->len) == values->len)
        return fd;
    r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "no memory for a message: %s", strerror(errno));
    if (fd >= 0)
        close(fd);
    return r;
}

/* Milliseconds for poll. */
static int time_left(uint64_t deadline_ns)
{
    uint64_t now = sv_clock_ns();

    if (deadline_ns == UINT64_MAX)
        return -1;
    if (now >= deadline_ns)
        return 0;
    deadline_ns = (deadline_ns - now + NS_PER_MS - 1) / NS_PER_MS;
    return deadline_ns > 60000 ? 60000 : (int)deadline_ns;
}

static int send_packet(struct plat_channel *channel, struct sv_err *err, const struct iovec *parts,
                       size_t nparts, const int *fds, unsigned nfds, bool try, uint64_t deadline_ns)
{
    struct pollfd writable = {.fd = channel->fd, .events = POLLOUT};

    for (;;) {
        int left;

        if (sv_fds_send(channel->fd, parts, nparts, fds, nfds, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0)
            return 0;
        if (errno == EINTR)
            continue;
        if (errno != EAGAIN)
            return sv_fail(err, SV_EIO, SV_NO_OFFSET, "the other process is not there: %s",
                           strerror(errno));
        left = time_left(deadline_ns);
        if (try || left == 0)
            return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "the other process is busy");
        poll(&writable, 1, left);
    }
}

static int send_message(struct plat_channel *channel, struct sv_err *err, struct plat_message *m,
                        unsigned flags, bool try, uint64_t deadline_ns)
{
    unsigned char head[HEAD_BYTES];
    struct iovec parts[2] = {{head, sizeof head}, {m->values.data, m->values.len}};
    int fds[FDS_TRAVEL], aside = -1, r;
    unsigned nfds = m->nfds;

    if (m->values.failed)
        return sv_fail_nomem(err, "a message");
    memcpy(fds, m->fds, sizeof(int) * m->nfds);
    if (m->values.len > PLAT_PACKET_MAX - HEAD_BYTES) {
        aside = put_aside(err, &m->values);
        if (aside < 0)
            return aside;
        fds[nfds++] = aside;
        flags |= ASIDE;
    }
    memcpy(head, &(uint16_t){(uint16_t)m->kind}, 2);
    memcpy(head + 2, &(uint16_t){(uint16_t)flags}, 2);
    memcpy(head + 4, &m->id, 8);
    r = send_packet(channel, err, parts, aside < 0 ? 2 : 1, fds, nfds, try, deadline_ns);
    if (aside >= 0)
        close(aside);
    return r;
}

int plat_channel_send(struct plat_channel *channel, struct sv_err *err, struct plat_message *m,
                      bool try)
{
    m->id = 0;
    return send_message(channel, err, m, 0, try, UINT64_MAX);
}

int plat_channel_answer(struct plat_channel *channel, struct sv_err *err, uint64_t id,
                        struct plat_message *m)
{
    if (id == 0) /* nobody waits for it */
        return 0;
    m->id = id;
    return send_message(channel, err, m, ANSWER, false, sv_clock_ns() + ANSWER_NS);
}

int plat_channel_answer_now(struct plat_channel *channel, struct sv_err *err, uint64_t id,
                            struct plat_message *m)
{
    m->id = id;
    return send_message(channel, err, m, ANSWER, true, 0);
}

/* ---- Calling ---- */

static struct waiter **find_waiter(struct plat_channel *channel, uint64_t id)
{
    struct waiter **p = &channel->waiters[id % BUCKETS];

    while (*p && (*p)->id != id)
        p = &(*p)->next;
    return p;
}

static void add_waiter(struct plat_channel *channel, struct waiter *w)
{
    pthread_condattr_t clock;

    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&w->changed, &clock);
    pthread_condattr_destroy(&clock);
    pthread_mutex_lock(&channel->lock);
    w->id = channel->next_id++;
    if (w->id == 0)
        w->id = channel->next_id++;
    w->lost = channel->gone;
    w->next = channel->waiters[w->id % BUCKETS];
    channel->waiters[w->id % BUCKETS] = w;
    pthread_mutex_unlock(&channel->lock);
}

/* Wait until the answer is there, and take the waiter out of the list. */
static int await(struct plat_channel *channel, struct sv_err *err, struct waiter *w,
                 uint64_t deadline_ns)
{
    struct timespec until = {.tv_sec = (time_t)(deadline_ns / NS_PER_S),
                             .tv_nsec = (long)(deadline_ns % NS_PER_S)};
    int late = 0, r = 0;

    pthread_mutex_lock(&channel->lock);
    while (w->ret && !w->lost && !w->ended && late != ETIMEDOUT)
        late = deadline_ns == UINT64_MAX
                   ? pthread_cond_wait(&w->changed, &channel->lock)
                   : pthread_cond_timedwait(&w->changed, &channel->lock, &until);
    if (w->ret) {
        *find_waiter(channel, w->id) = w->next;
        r = w->lost    ? sv_fail(err, SV_EIO, SV_NO_OFFSET,
                                 channel->gone ? "the other process is gone"
                                               : "the other process was restarted; whether it was "
                                                 "done is not known")
            : w->ended ? sv_fail(err, SV_EEXIT, SV_NO_OFFSET, "whoever asked was ended")
                       : sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "no answer in time");
    }
    pthread_mutex_unlock(&channel->lock);
    return r;
}

/* Nobody waits for that call any more. */
static void cancel(struct plat_channel *channel, uint64_t id)
{
    struct plat_message m;

    plat_message_init(&m, PLAT_CANCEL);
    plat_put_u64(&m, PLAT_TAG_NUMBER, id);
    (void)plat_channel_send(channel, NULL, &m, true);
    plat_message_release(&m);
}

void plat_channel_end_calls(struct plat_channel *channel, const void *asker)
{
    pthread_mutex_lock(&channel->lock);
    for (unsigned i = 0; i < BUCKETS; i++) {
        for (struct waiter *w = channel->waiters[i]; w; w = w->next) {
            if (w->asker != asker)
                continue;
            w->ended = true;
            pthread_cond_signal(&w->changed);
        }
    }
    pthread_mutex_unlock(&channel->lock);
}

int plat_channel_call(struct plat_channel *channel, struct sv_err *err, struct plat_message *m,
                      uint64_t deadline_ns, struct plat_message *ret)
{
    return plat_channel_call_of(channel, err, m, deadline_ns, NULL, NULL, ret);
}

int plat_channel_call_of(struct plat_channel *channel, struct sv_err *err, struct plat_message *m,
                         uint64_t deadline_ns, void *asker, bool (*ended)(void *asker),
                         struct plat_message *ret)
{
    struct plat_message answer;
    struct waiter w = {.ret = &answer, .asker = asker};
    int r;

    plat_message_init(&answer, PLAT_NONE);
    add_waiter(channel, &w);
    if (asker && ended(asker)) /* before we were in the list */
        plat_channel_end_calls(channel, asker);
    m->id = w.id;
    r = send_message(channel, err, m, 0, false, deadline_ns);
    if (r < 0) {
        pthread_mutex_lock(&channel->lock);
        if (w.ret)
            *find_waiter(channel, w.id) = w.next;
        pthread_mutex_unlock(&channel->lock);
    } else {
        r = await(channel, err, &w, deadline_ns);
        if (asker && (r == SV_EEXIT || r == SV_ELIMIT))
            cancel(channel, w.id);
    }
    pthread_cond_destroy(&w.changed);
    if (r == 0)
        r = plat_take_error(&answer, err);
    if (r < 0)
        plat_message_release(&answer);
    else
        *ret = answer;
    return r;
}

/* ---- Receiving ---- */

/* Give an answer to the call that waits for it. False: none does. */
static bool hand_over(struct plat_channel *channel, struct plat_message *m)
{
    struct waiter **p, *w;

    pthread_mutex_lock(&channel->lock);
    p = find_waiter(channel, m->id);
    w = *p;
    if (w) {
        *p = w->next;
        *w->ret = *m;
        w->ret = NULL;
        pthread_cond_signal(&w->changed);
    }
    pthread_mutex_unlock(&channel->lock);
    return w != NULL;
}

/* The values that came in a memfd. Copied: the sender may go on writing there. */
static bool read_aside(int fd, struct sv_buf *values, size_t most)
{
    struct stat st;
    size_t len;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t)st.st_size > most)
        return false;
    len = (size_t)st.st_size;
    if (!sv_buf_reserve(values, len))
        return false;
    while (values->len < len) {
        ssize_t n = pread(fd, values->data + values->len, len - values->len, (off_t)values->len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        values->len += (size_t)n;
    }
    return true;
}

/* What a packet says; takes the descriptors. Anything malformed gives a message without values or
 * descriptors. */
static void decode(const struct plat_channel *channel, size_t len, const int *fds, unsigned nfds,
                   struct plat_message *m, unsigned *flags)
{
    const unsigned char *in = channel->in;
    uint16_t kind, bits;
    int aside = -1;
    bool ok;

    memcpy(&kind, in, 2);
    memcpy(&bits, in + 2, 2);
    plat_message_init(m, kind < PLAT_KIND_COUNT ? (enum plat_kind)kind : PLAT_NONE);
    memcpy(&m->id, in + 4, 8);
    *flags = bits;
    if (bits & ASIDE && nfds > 0)
        aside = fds[--nfds];
    ok = bits & ASIDE ? aside >= 0 && read_aside(aside, &m->values, channel->most)
                      : sv_buf_append(&m->values, in + HEAD_BYTES, len - HEAD_BYTES);
    if (aside >= 0)
        close(aside);
    for (unsigned i = 0; i < nfds; i++)
        plat_put_fd(m, fds[i]);
    if (!ok || !plat_message_well_formed(m)) {
        sv_buf_clear(&m->values);
        while (m->nfds > 0)
            close(m->fds[--m->nfds]);
    }
}

/* 1: a message; 0: none now, or what came was none; -1: the peer is gone. */
static int receive(struct plat_channel *channel, struct plat_message *m, unsigned *flags)
{
    struct iovec part = {channel->in, sizeof channel->in};
    struct pollfd hangup = {.fd = channel->fd, .events = POLLIN};
    int fds[FDS_TRAVEL];
    unsigned nfds;
    ssize_t n = sv_fds_receive(channel->fd, &part, fds, FDS_TRAVEL, &nfds, MSG_DONTWAIT);

    if (n < 0)
        return errno == EAGAIN || errno == EINTR || errno == EBADMSG ? 0 : -1;
    if (n >= HEAD_BYTES) {
        decode(channel, (size_t)n, fds, nfds, m, flags);
        return 1;
    }
    while (nfds > 0)
        close(fds[--nfds]);
    /* An empty packet looks like the end; it is the end when the peer has hung up. */
    return n == 0 && poll(&hangup, 1, 0) == 1 && hangup.revents & POLLHUP ? -1 : 0;
}

static void take_message(struct plat_channel *channel, struct plat_message *m, unsigned flags)
{
    if (flags & ANSWER) {
        if (hand_over(channel, m))
            return;
    } else {
        if (m->kind == PLAT_HELLO && !plat_has(m, PLAT_TAG_COUNT))
            plat_channel_reset(channel);
        channel->handler(channel->data, channel, m);
    }
    plat_message_release(m);
}

int plat_channel_turn(struct plat_channel *channel)
{
    struct plat_message m;
    unsigned flags;
    int r = receive(channel, &m, &flags);

    if (r > 0)
        take_message(channel, &m, flags);
    else if (r < 0)
        lose_waiters(channel, true);
    return r;
}

int plat_channel_run(struct plat_channel *channel, struct sv_err *err)
{
    struct pollfd ready[2] = {{.fd = channel->fd, .events = POLLIN},
                              {.fd = channel->stop, .events = POLLIN}};

    for (;;) {
        int r = plat_channel_turn(channel);

        if (r < 0)
            return sv_fail(err, SV_EIO, SV_NO_OFFSET, "the other process is gone");
        if (r == 0)
            poll(ready, 2, -1);
        if (atomic_load(&channel->stopping)) {
            lose_waiters(channel, true);
            return 0;
        }
    }
}
