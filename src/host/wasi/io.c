/* Moving bytes between guest memory and files, pipes, sockets, terminals and the embedder's
 * streams: bounded, interruptible, no SIGPIPE. Not the functions that guests call. */
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/wasi/vfs.h"

#ifndef RWF_NOSIGNAL
#define RWF_NOSIGNAL 0x00000100 /* Linux 6.18: EPIPE without SIGPIPE */
#endif
#define TTY_PIECE 1024 /* bytes filtered at a time */

int sv_vfs_take_iovs(struct sv_call *c, uint32_t ptr, uint32_t count, struct iovec *v,
                     size_t *ret_total)
{
    const uint8_t *from;
    uint64_t total = 0;
    uint32_t i;

    if (count > SV_WASI_IOVS_MAX)
        return SV_WASI_EINVAL;
    if (!sv_call_slice(c, ptr, (uint64_t)count * sizeof(struct sv_wasi_abi_iovec), &from))
        return SV_WASI_EFAULT;
    for (i = 0; i < count; i++) {
        struct sv_wasi_abi_iovec g;

        sv_wasi_take(&g, from + (size_t)i * sizeof g, sizeof g);
        if (!sv_call_slice(c, g.ptr, g.len, &v[i].iov_base))
            return SV_WASI_EFAULT;
        v[i].iov_len = g.len;
        total += g.len;
    }
    if (total > UINT32_MAX)
        return SV_WASI_EINVAL;
    *ret_total = total;
    return 0;
}

/* How long a call on this socket may wait: what the guest has set, which the kernel keeps. */
static int64_t time_limit(const struct sv_vfs_file *f, short events)
{
    struct timeval t = {0};
    socklen_t len = sizeof t;

    if (!f->timed ||
        getsockopt(f->fd, SOL_SOCKET, events & POLLIN ? SO_RCVTIMEO : SO_SNDTIMEO, &t, &len) != 0)
        return -1;
    if (t.tv_sec >= INT32_MAX || (t.tv_sec == 0 && t.tv_usec == 0))
        return -1;
    return (int64_t)t.tv_sec * 1000000000 + (int64_t)t.tv_usec * 1000;
}

int sv_vfs_again(struct sv_call *c, struct sv_vfs_file *f, int host_errno, short events)
{
    struct pollfd fds[2] = {{.fd = f->fd, .events = events}};
    int64_t limit;
    int ready, r;

    if (!sv_thread_ok(c->th))
        return sv_thread_interrupted(c->th);
    if (host_errno == EINTR)
        return 0;
    if (host_errno != EAGAIN)
        return sv_wasi_errno(host_errno);
    if (f->flags & SV_WASI_FD_NONBLOCK)
        return SV_WASI_EAGAIN;
    limit = time_limit(f, events);
    sv_vfs_hold(f);
    r = sv_vfs_wait(c->th, fds, 1, limit, &ready);
    if (!sv_vfs_drop(f) && r == 0)
        return SV_WASI_EBADF;
    return r == 0 && ready == 0 && limit > 0 ? SV_WASI_EAGAIN : r;
}

/* ---- the system calls ---- */

void sv_vfs_hold_signal(struct sv_vfs_hold *h, int sig)
{
    sigset_t pending;

    sigemptyset(&pending);
    sigpending(&pending);
    h->was_pending = sigismember(&pending, sig);
    sigemptyset(&h->sig);
    sigaddset(&h->sig, sig);
    pthread_sigmask(SIG_BLOCK, &h->sig, &h->old);
}

void sv_vfs_drop_signal(struct sv_vfs_hold *h, bool raised)
{
    static const struct timespec none;
    int e = errno;

    if (raised && !h->was_pending)
        while (sigtimedwait(&h->sig, NULL, &none) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &h->old, NULL);
    errno = e;
}

/* A write that may raise SIGPIPE, on kernels that cannot leave it out. */
static ssize_t write_masked(int fd, const struct iovec *v, int n)
{
    struct sv_vfs_hold hold;
    struct sigaction sa;
    ssize_t r;

    if (sigaction(SIGPIPE, NULL, &sa) == 0 && !(sa.sa_flags & SA_SIGINFO) &&
        sa.sa_handler == SIG_IGN)
        return writev(fd, v, n);
    sv_vfs_hold_signal(&hold, SIGPIPE);
    r = writev(fd, v, n);
    sv_vfs_drop_signal(&hold, r < 0 && errno == EPIPE);
    return r;
}

/* Under a limit on the size of files (ulimit -f) the write that would exceed it raises SIGXFSZ. */
static ssize_t write_file(struct sv_vfs_file *f, const struct iovec *v, int n, int64_t offset)
{
    struct sv_vfs_hold hold;
    struct rlimit limit;
    ssize_t r;

    if (!f->asked_limit) {
        f->asked_limit = true;
        f->limited = getrlimit(RLIMIT_FSIZE, &limit) != 0 || limit.rlim_cur != RLIM_INFINITY;
    }
    if (!f->limited)
        return offset >= 0 ? pwritev(f->fd, v, n, offset) : writev(f->fd, v, n);
    sv_vfs_hold_signal(&hold, SIGXFSZ);
    r = offset >= 0 ? pwritev(f->fd, v, n, offset) : writev(f->fd, v, n);
    sv_vfs_drop_signal(&hold, r < 0 && errno == EFBIG);
    return r;
}

/* One system call where the kernel has the flags. What it lacks is remembered in the file. */
static ssize_t write_pipe(struct sv_vfs_file *f, const struct iovec *v, int n)
{
    for (;;) {
        int flags = (f->no_nowait ? 0 : RWF_NOWAIT) | (f->no_nosignal ? 0 : RWF_NOSIGNAL);
        ssize_t r;

        if (f->no_nosignal)
            return write_masked(f->fd, v, n);
        r = pwritev2(f->fd, v, n, -1, flags);
        if (r >= 0 || (errno != EOPNOTSUPP && errno != EINVAL))
            return r;
        if (!f->no_nowait)
            f->no_nowait = true;
        else
            f->no_nosignal = true;
    }
}

static ssize_t read_pipe(struct sv_vfs_file *f, const struct iovec *v, int n)
{
    struct pollfd ready = {.fd = f->fd, .events = POLLIN};
    ssize_t r;

    if (!f->no_nowait) {
        r = preadv2(f->fd, v, n, -1, RWF_NOWAIT);
        if (r >= 0 || (errno != EOPNOTSUPP && errno != EINVAL))
            return r;
        f->no_nowait = true;
    }
    if (!f->owned && poll(&ready, 1, 0) == 0) {
        errno = EAGAIN;
        return -1;
    }
    return readv(f->fd, v, n);
}

static ssize_t host_read(struct sv_vfs_file *f, const struct iovec *v, int n, int64_t offset)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)v, .msg_iovlen = (size_t)n};

    if (offset >= 0)
        return preadv(f->fd, v, n, offset);
    if (f->kind == SV_VFS_FILE)
        return readv(f->fd, v, n);
    if (f->kind == SV_VFS_SOCKET && n == 1) /* the kernel copies less than with recvmsg */
        return recv(f->fd, v->iov_base, v->iov_len, MSG_DONTWAIT);
    if (f->kind == SV_VFS_SOCKET)
        return recvmsg(f->fd, &msg, MSG_DONTWAIT);
    return read_pipe(f, v, n);
}

static ssize_t host_write(struct sv_vfs_file *f, const struct iovec *v, int n, int64_t offset)
{
    struct msghdr msg = {.msg_iov = (struct iovec *)v, .msg_iovlen = (size_t)n};

    if (offset >= 0 || f->kind == SV_VFS_FILE)
        return write_file(f, v, n, offset);
    if (f->kind == SV_VFS_SOCKET && n == 1)
        return send(f->fd, v->iov_base, v->iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (f->kind == SV_VFS_SOCKET)
        return sendmsg(f->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
    return write_pipe(f, v, n);
}

/* ---- in pieces ---- */

/* Where a transfer stands in the guest's buffers. */
struct cursor {
    struct iovec *v;
    int n;
};

/* Advance by `len` bytes, at most what is there. */
static void advance(struct cursor *k, size_t len)
{
    while (k->n > 0 && len >= k->v->iov_len) {
        len -= k->v->iov_len;
        k->v++;
        k->n--;
    }
    if (k->n > 0) {
        k->v->iov_base = (char *)k->v->iov_base + len;
        k->v->iov_len -= len;
    }
}

/* The next buffers with at most SV_WASI_CHUNK bytes: their number; the last one is cut, *ret_cut
 * bytes of it left out. */
static int next_piece(const struct cursor *k, size_t *ret_len, size_t *ret_cut)
{
    size_t room = SV_WASI_CHUNK;
    int i;

    *ret_cut = 0;
    for (i = 0; i < k->n && room > 0; i++) {
        if (k->v[i].iov_len > room) {
            *ret_cut = k->v[i].iov_len - room;
            k->v[i].iov_len = room;
        }
        room -= k->v[i].iov_len;
    }
    *ret_len = SV_WASI_CHUNK - room;
    return i;
}

typedef ssize_t transfer_fn(struct sv_vfs_file *, const struct iovec *, int, int64_t);

/* Transfer through the host's calls until all is done, or (as soon as something is) a call does
 * less than asked. */
static int transfer(struct sv_call *c, struct sv_vfs_file *f, struct iovec *v, int n,
                    int64_t offset, transfer_fn *fn, short events, uint32_t *ret_len)
{
    struct cursor k = {v, n};
    size_t done = 0, len, cut;
    int r, count;
    ssize_t got;

    for (;;) {
        count = next_piece(&k, &len, &cut);
        got = fn(f, k.v, count, offset);
        if (count > 0)
            k.v[count - 1].iov_len += cut;
        if (got < 0) {
            if (done > 0)
                break;
            r = sv_vfs_again(c, f, errno, events);
            if (r != 0)
                return r;
            continue;
        }
        done += (size_t)got;
        advance(&k, (size_t)got);
        if ((size_t)got < len || k.n == 0)
            break;
        if (offset >= 0)
            offset += got;
        if (!sv_thread_ok(c->th))
            return sv_thread_interrupted(c->th);
    }
    *ret_len = (uint32_t)done;
    return 0;
}

/* ---- terminals and the embedder's streams ---- */

static int write_tty(struct sv_call *c, struct sv_vfs_file *f, const struct iovec *v, int n,
                     uint32_t *ret_len)
{
    uint8_t in[TTY_PIECE], out[SV_VFS_TTY_GROWTH * (TTY_PIECE + 4)];
    size_t at, len, made;
    uint32_t done = 0, wrote = 0;
    int i, r;

    for (i = 0; i < n; i++) {
        for (at = 0; at < v[i].iov_len; at += len) {
            struct iovec piece;

            len = v[i].iov_len - at < sizeof in ? v[i].iov_len - at : sizeof in;
            sv_wasi_take(in, (const uint8_t *)v[i].iov_base + at, len);
            made = sv_vfs_tty_filter(&f->tty, in, len, out);
            piece = (struct iovec){out, made};
            while (piece.iov_len > 0) {
                struct iovec one = piece;
                r = transfer(c, f, &one, 1, -1, host_write, POLLOUT, &wrote);
                if (r != 0)
                    return done > 0 && r > 0 ? (*ret_len = done, 0) : r;
                piece.iov_base = (uint8_t *)piece.iov_base + wrote;
                piece.iov_len -= wrote;
            }
            done += (uint32_t)len;
        }
    }
    *ret_len = done;
    return 0;
}

static int write_callback(struct sv_wasi *w, struct sv_call *c, struct sv_vfs_file *f,
                          const struct iovec *v, int n, uint32_t *ret_len)
{
    const struct sv_wasi_stream *s = &w->streams[f->stream];
    uint32_t done = 0;
    int i;

    for (i = 0; i < n; i++) {
        long took;

        if (v[i].iov_len == 0)
            continue;
        took = s->write(s->arg, v[i].iov_base, v[i].iov_len);
        if (took < 0 || (size_t)took > v[i].iov_len) {
            if (done > 0)
                break;
            return SV_WASI_EIO;
        }
        done += (uint32_t)took;
        if ((size_t)took < v[i].iov_len)
            break;
        if (!sv_thread_ok(c->th))
            return sv_thread_interrupted(c->th);
    }
    *ret_len = done;
    return 0;
}

/* What there is for the first buffer that has room: a read need not fill them all. */
static int read_callback(struct sv_wasi *w, struct sv_call *c, const struct sv_vfs_file *f,
                         const struct iovec *v, int n, uint32_t *ret_len)
{
    const struct sv_wasi_stream *s = &w->streams[f->stream];
    long got = 0;

    while (n > 0 && v->iov_len == 0) {
        v++;
        n--;
    }
    if (n > 0)
        got = s->read(s->arg, v->iov_base, v->iov_len);
    if (!sv_thread_ok(c->th))
        return sv_thread_interrupted(c->th);
    if (got < 0 || (n > 0 && (size_t)got > v->iov_len))
        return SV_WASI_EIO;
    *ret_len = (uint32_t)got;
    return 0;
}

static void read_bytes(struct sv_wasi *w, const struct sv_vfs_file *f, const struct iovec *v, int n,
                       uint32_t *ret_len)
{
    const struct sv_wasi_stream *s = &w->streams[f->stream];
    uint32_t done = 0;
    int i;

    for (i = 0; i < n && w->in_pos < s->len; i++) {
        size_t left = s->len - w->in_pos;
        size_t len = v[i].iov_len < left ? v[i].iov_len : left;

        memcpy(v[i].iov_base, (const char *)s->bytes + w->in_pos, len);
        w->in_pos += len;
        done += (uint32_t)len;
    }
    *ret_len = done;
}

int sv_vfs_read(struct sv_wasi *w, struct sv_call *c, struct sv_vfs_file *f, struct iovec *v, int n,
                size_t total, int64_t offset, uint32_t *ret_len)
{
    *ret_len = 0;
    if (offset >= 0 && f->kind != SV_VFS_FILE && !(f->rights & SV_WASI_RIGHT_SEEK))
        return SV_WASI_ESPIPE;
    if (!sv_thread_ok(c->th))
        return sv_thread_interrupted(c->th);
    switch (f->kind) {
    case SV_VFS_NULL:
        return 0;
    case SV_VFS_CALLBACK:
        return f->output ? 0 : read_callback(w, c, f, v, n, ret_len);
    case SV_VFS_BYTES:
        read_bytes(w, f, v, n, ret_len);
        return 0;
    default:
        if (total == 0)
            return 0;
        return transfer(c, f, v, n, offset, host_read, POLLIN, ret_len);
    }
}

/* Cut the buffers to `max` bytes: their new number. */
static int cut_to(struct iovec *v, int n, uint64_t max)
{
    int i;

    for (i = 0; i < n && max > 0; i++) {
        if (v[i].iov_len > max)
            v[i].iov_len = max;
        max -= v[i].iov_len;
    }
    return i;
}

int sv_vfs_write(struct sv_wasi *w, struct sv_call *c, struct sv_vfs_file *f, struct iovec *v,
                 int n, size_t total, int64_t offset, uint32_t *ret_len)
{
    bool counted = f->output && w->output_left != UINT64_MAX;
    int r;

    *ret_len = 0;
    if (offset >= 0 && f->kind != SV_VFS_FILE && !(f->rights & SV_WASI_RIGHT_SEEK))
        return SV_WASI_ESPIPE;
    if (!sv_thread_ok(c->th))
        return sv_thread_interrupted(c->th);
    if (total == 0)
        return 0;
    if (counted && total > w->output_left) {
        if (w->output_left == 0)
            return SV_WASI_EDQUOT;
        n = cut_to(v, n, w->output_left);
        total = w->output_left;
    }
    if (counted) /* now: other threads may write while this one waits */
        w->output_left -= total;
    if (f->kind == SV_VFS_NULL || f->kind == SV_VFS_BYTES) {
        *ret_len = (uint32_t)total;
        r = 0;
    } else if (f->kind == SV_VFS_CALLBACK) {
        r = write_callback(w, c, f, v, n, ret_len);
    } else if (f->is_tty) {
        r = write_tty(c, f, v, n, ret_len);
    } else {
        r = transfer(c, f, v, n, offset, host_write, POLLOUT, ret_len);
    }
    if (counted)
        w->output_left += total - *ret_len;
    return r;
}
