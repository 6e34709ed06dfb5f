/* Receiving and sending on sockets that are there. */
#include "host/socket/guest.h"

/* Where a receive puts what it knows, all of it checked before. */
struct places {
    uint32_t len, flags, port; /* in the guest; `port` of a tagged one */
    struct address_room from;  /* bytes NULL: nobody asks */
};

static int receive(struct state *s, struct sv_call *c, const union sv_slot *arg, uint32_t ri_flags,
                   const struct places *to)
{
    struct iovec v[SV_WASI_IOVS_MAX];
    struct address from = {.len = 0};
    struct msghdr msg = {.msg_iov = v, .msg_iovlen = arg[2].i32};
    void *to_len, *to_flags, *to_port = NULL;
    struct sv_vfs_file *f;
    uint16_t ro_flags, port = 0;
    size_t total;
    ssize_t n;
    int r = socket_find(s, arg[0].i32, SV_WASI_RIGHT_READ, &f);

    if (r == 0)
        r = VFS->take_iovs(c, arg[1].i32, arg[2].i32, v, &total);
    if (r != 0)
        return r;
    if (ri_flags & ~(uint32_t)(SV_WASI_RECV_PEEK | SV_WASI_RECV_WAITALL))
        return SV_WASI_EINVAL;
    if (!sv_call_slice(c, to->len, 4, &to_len) || !sv_call_slice(c, to->flags, 2, &to_flags) ||
        (to->port && !sv_call_slice(c, to->port, 2, &to_port)))
        return SV_WASI_EFAULT;
    if (to->from.bytes)
        msg.msg_name = &from.any;
    for (;;) {
        msg.msg_namelen = to->from.bytes ? sizeof from.room : 0;
        n = recvmsg(f->fd, &msg, MSG_DONTWAIT | (ri_flags & SV_WASI_RECV_PEEK ? MSG_PEEK : 0));
        if (n >= 0)
            break;
        r = VFS->again(c, f, errno, POLLIN);
        if (r != 0)
            return r;
    }
    if (to->from.bytes) {
        from.len = msg.msg_namelen;
        if (from.len == 0) /* connected: of whom it is connected with */
            from.len = getpeername(f->fd, &from.any, &(socklen_t){sizeof from.room}) == 0
                           ? (from.any.sa_family == AF_INET ? sizeof from.in : sizeof from.in6)
                           : 0;
        r = address_put(&to->from, &from, &port);
        if (r != 0)
            return r;
        if (f->answers && msg.msg_namelen > 0)
            heard_note(s, f->fd, &from);
    }
    ro_flags = msg.msg_flags & MSG_TRUNC ? SV_WASI_RECV_TRUNCATED : 0;
    memcpy(to_len, &(uint32_t){(uint32_t)n}, 4);
    memcpy(to_flags, &ro_flags, 2);
    if (to_port)
        memcpy(to_port, &port, 2);
    return 0;
}

int receive_bytes(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    struct places to = {.len = arg[4].i32, .flags = arg[5].i32};

    return receive(s, c, arg, arg[3].i32, &to);
}

int receive_plain(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    struct places to = {.len = arg[5].i32, .flags = arg[6].i32};
    int r = address_room(c, arg[3].i32, &to.from);

    return r != 0 ? r : receive(s, c, arg, arg[4].i32, &to);
}

int receive_tagged(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    struct places to = {.port = arg[5].i32, .len = arg[6].i32, .flags = arg[7].i32};
    int r = address_room(c, arg[3].i32, &to.from);

    return r != 0 ? r : receive(s, c, arg, arg[4].i32, &to);
}

/* ---- Sending ---- */

/* As preview1's `sock_send` does. */
int send_bytes(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    return VFS->send(s->wasi, c, arg);
}

#define DATAGRAM_MAX 65536 /* none is larger */

/* To whom it has heard from, or whom the back end allows. */
static int send_one(struct state *s, struct sv_call *c, struct sv_vfs_file *f,
                    const struct msghdr *msg, const struct address *to, int64_t *ret)
{
    const struct ssvm_socket_backend *b = s->grant.backend;
    uint8_t *bytes = NULL;
    struct ask a;
    size_t len = 0;
    int r = 0;

    if (f->answers && heard_find(s, f->fd, to)) {
        *ret = sendmsg(f->fd, msg, MSG_DONTWAIT | MSG_NOSIGNAL);
        return *ret >= 0 ? 0 : VFS->error(errno);
    }
    for (size_t i = 0; i < msg->msg_iovlen; i++) {
        if (msg->msg_iov[i].iov_len > DATAGRAM_MAX - len)
            return SV_WASI_EMSGSIZE;
        len += msg->msg_iov[i].iov_len;
    }
    if (msg->msg_iovlen != 1) {
        bytes = sv_alloc(len ? len : 1);
        if (!bytes)
            return SV_WASI_ENOMEM;
        len = 0;
        for (size_t i = 0; i < msg->msg_iovlen; i++) {
            memcpy(bytes + len, msg->msg_iov[i].iov_base, msg->msg_iov[i].iov_len);
            len += msg->msg_iov[i].iov_len;
        }
    }
    r = ask_begin(&a, s, c);
    VFS->hold(f);
    if (r == 0) {
        *ret = b->send_to(s->session, &a.op, f->fd, bytes ? bytes : msg->msg_iov->iov_base, len,
                          &to->any, to->len);
        r = ask_result(&a, *ret);
    }
    if (!VFS->drop(f) && r >= 0)
        r = SV_WASI_EBADF;
    sv_free(bytes);
    return r;
}

int send_to_address(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    struct iovec v[SV_WASI_IOVS_MAX];
    struct msghdr msg = {.msg_iov = v, .msg_iovlen = arg[2].i32};
    struct address address;
    struct sv_vfs_file *f;
    int64_t n = 0;
    size_t total;
    void *to;
    int r = socket_find(s, arg[0].i32, SV_WASI_RIGHT_WRITE, &f);

    if (r == 0)
        r = VFS->take_iovs(c, arg[1].i32, arg[2].i32, v, &total);
    if (r != 0)
        return r;
    if (arg[5].i32 != 0)
        return SV_WASI_EINVAL;
    if (!sv_call_slice(c, arg[6].i32, 4, &to))
        return SV_WASI_EFAULT;
    r = address_take(s, c, arg[3].i32, arg[4].i32, false, &address);
    if (r != 0)
        return r;
    msg.msg_name = &address.any;
    msg.msg_namelen = address.len;
    do {
        r = send_one(s, c, f, &msg, &address, &n);
        if (r != SV_WASI_EAGAIN)
            break;
        r = VFS->again(c, f, EAGAIN, POLLOUT);
    } while (r == 0);
    address_release(&address);
    if (r == 0)
        memcpy(to, &(uint32_t){(uint32_t)n}, 4);
    return r;
}
