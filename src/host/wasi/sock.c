/* The four socket functions of preview1, on descriptors that were granted and are sockets. Opening
 * sockets is another module's. */
#include <sys/socket.h>
#include <unistd.h>

#include "host/wasi/vfs.h"

int sv_vfs_find_socket(struct sv_wasi *w, uint32_t fd, uint32_t need, struct sv_vfs_file **ret)
{
    int r = sv_vfs_find(w, fd, 0, ret);

    if (r != 0)
        return r;
    if ((*ret)->kind != SV_VFS_SOCKET)
        return SV_WASI_ENOTSOCK;
    return ((*ret)->rights & need) == need ? 0 : sv_vfs_lacking(*ret, need);
}

int sv_wasi_sock_accept(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    uint32_t flags = arg[1].i32, slot;
    struct sv_vfs_file *f, like = {0};
    void *to;
    int fd, r = sv_vfs_find_socket(w, arg[0].i32, SV_WASI_RIGHT_ACCEPT, &f);

    if (r != 0)
        return r;
    if (flags & ~(uint32_t)SV_WASI_FD_NONBLOCK)
        return SV_WASI_EINVAL;
    if (!sv_call_slice(c, arg[2].i32, 4, &to))
        return SV_WASI_EFAULT;
    r = sv_vfs_reserve(w, &slot);
    if (r != 0)
        return r;
    f = &w->files[arg[0].i32];
    for (;;) {
        /* The listener is the embedder's and may block: ask first. */
        struct pollfd ready = {.fd = f->fd, .events = POLLIN};
        bool any = poll(&ready, 1, 0) > 0;
        fd = any ? accept4(f->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK) : -1;
        if (fd >= 0)
            break;
        r = sv_vfs_again(c, f, any ? errno : EAGAIN, POLLIN);
        if (r != 0)
            return r;
    }
    /* Again: other threads may have taken it. */
    r = sv_vfs_reserve(w, &slot);
    if (r != 0) {
        close(fd);
        return r;
    }
    like.flags = (uint8_t)flags;
    like.is_stream = f->is_stream;
    like.rights = SV_WASI_RIGHTS_SOCKET;
    like.inheriting = SV_WASI_RIGHTS_SOCKET;
    r = sv_vfs_install(w, slot, fd, &like);
    if (r != 0)
        return r;
    memcpy(to, &slot, 4);
    return 0;
}

int sv_wasi_sock_recv(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct iovec v[SV_WASI_IOVS_MAX];
    struct msghdr msg = {.msg_iov = v, .msg_iovlen = arg[2].i32};
    uint32_t flags = arg[3].i32;
    uint16_t ro_flags;
    struct sv_vfs_file *f;
    void *to_len, *to_flags;
    size_t total;
    ssize_t n;
    int r = sv_vfs_find_socket(w, arg[0].i32, SV_WASI_RIGHT_READ, &f);

    if (r == 0)
        r = sv_vfs_take_iovs(c, arg[1].i32, arg[2].i32, v, &total);
    if (r != 0)
        return r;
    if (flags & ~(uint32_t)(SV_WASI_RECV_PEEK | SV_WASI_RECV_WAITALL))
        return SV_WASI_EINVAL;
    if (!sv_call_slice(c, arg[4].i32, 4, &to_len) || !sv_call_slice(c, arg[5].i32, 2, &to_flags))
        return SV_WASI_EFAULT;
    /* WAITALL asks to wait as long as it takes; less than all is allowed, and ends when
     * interrupted. */
    for (;;) {
        int how = MSG_DONTWAIT | (flags & SV_WASI_RECV_PEEK ? MSG_PEEK : 0);

        /* The kernel copies less where there is nothing to tell beside the bytes. */
        n = f->is_stream && arg[2].i32 == 1 ? recv(f->fd, v->iov_base, v->iov_len, how)
                                            : recvmsg(f->fd, &msg, how);
        if (n >= 0)
            break;
        r = sv_vfs_again(c, f, errno, POLLIN);
        if (r != 0)
            return r;
    }
    ro_flags = msg.msg_flags & MSG_TRUNC ? SV_WASI_RECV_TRUNCATED : 0;
    memcpy(to_len, &(uint32_t){(uint32_t)n}, 4);
    memcpy(to_flags, &ro_flags, 2);
    return 0;
}

int sv_wasi_sock_send(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct iovec v[SV_WASI_IOVS_MAX];
    struct sv_vfs_file *f;
    size_t total;
    uint32_t len;
    void *to;
    int r = sv_vfs_find_socket(w, arg[0].i32, SV_WASI_RIGHT_WRITE, &f);

    if (r == 0)
        r = sv_vfs_take_iovs(c, arg[1].i32, arg[2].i32, v, &total);
    if (r != 0)
        return r;
    if (arg[3].i32 != 0)
        return SV_WASI_EINVAL;
    if (!sv_call_slice(c, arg[4].i32, 4, &to))
        return SV_WASI_EFAULT;
    r = sv_vfs_write(w, c, f, v, (int)arg[2].i32, total, -1, &len);
    if (r != 0)
        return r;
    memcpy(to, &len, 4);
    return 0;
}

int sv_wasi_sock_shutdown(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    static const int hows[] = {
        [SV_WASI_SHUT_RD] = SHUT_RD,
        [SV_WASI_SHUT_WR] = SHUT_WR,
        [SV_WASI_SHUT_RD | SV_WASI_SHUT_WR] = SHUT_RDWR,
    };
    struct sv_vfs_file *f;
    int r = sv_vfs_find_socket(w, arg[0].i32, SV_WASI_RIGHT_SHUTDOWN, &f);

    (void)c;
    if (r != 0)
        return r;
    if (arg[1].i32 == 0 || arg[1].i32 >= SV_COUNT(hows))
        return SV_WASI_EINVAL;
    return shutdown(f->fd, hows[arg[1].i32]) == 0 ? 0 : sv_wasi_errno(errno);
}
