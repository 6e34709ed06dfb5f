/* Making sockets, giving them addresses, connecting, accepting. What of it is granted is the back
 * end's to say. */
#include <unistd.h>

#include "host/socket/guest.h"

/* Put a new descriptor among the guest's: an errno. */
static int install(struct state *s, int host_fd, uint32_t flags, bool stream, uint32_t *ret_slot)
{
    struct sv_vfs_file like = {.flags = (uint8_t)flags,
                               .is_stream = stream,
                               .rights = SV_WASI_RIGHTS_SOCKET,
                               .inheriting = SV_WASI_RIGHTS_SOCKET};
    int r = VFS->reserve(s->wasi, ret_slot);

    if (r != 0) {
        close(host_fd);
        return r;
    }
    r = VFS->install(s->wasi, *ret_slot, host_fd, &like); /* closes it when it fails */
    if (r == 0 && !stream)
        s->wasi->files[*ret_slot].filetype = SV_WASI_TYPE_DATAGRAM;
    return r;
}

int open_socket(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    static const int families[] = {
        [FAMILY_INET4] = AF_INET, [FAMILY_INET6] = AF_INET6, [FAMILY_UNIX] = AF_UNIX};
    static const int types[] = {SOCK_STREAM, SOCK_DGRAM, SOCK_STREAM};
    uint32_t family = arg[0].i32 & 0xff, type = arg[1].i32 & 0xff, slot;
    struct ask a;
    void *to;
    int fd, r;

    if (family == FAMILY_ANY || family >= SV_COUNT(families) || type >= SV_COUNT(types))
        return SV_WASI_EINVAL;
    if (family == FAMILY_UNIX && !s->grant.af_unix)
        return SV_WASI_EACCES;
    if (!sv_call_slice(c, arg[2].i32, 4, &to))
        return SV_WASI_EFAULT;
    r = VFS->reserve(s->wasi, &slot);
    if (r == 0)
        r = ask_begin(&a, s, c);
    if (r != 0)
        return r;
    fd = s->grant.backend->socket(s->session, &a.op, families[family], types[type]);
    r = ask_result(&a, fd);
    if (r != 0) {
        if (fd >= 0)
            close(fd);
        return r;
    }
    r = install(s, fd, 0, types[type] == SOCK_STREAM, &slot);
    if (r == 0)
        memcpy(to, &slot, 4);
    return r;
}

int bind_address(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    struct address address;
    struct sv_vfs_file *f;
    struct ask a;
    int r = socket_find(s, arg[0].i32, 0, &f);

    if (r == 0)
        r = address_take(s, c, arg[1].i32, arg[2].i32, true, &address);
    if (r != 0)
        return r;
    r = ask_begin(&a, s, c);
    VFS->hold(f);
    if (r == 0)
        r = ask_result(&a,
                       s->grant.backend->bind(s->session, &a.op, f->fd, &address.any, address.len));
    address_release(&address);
    if (!VFS->drop(f))
        return r < 0 ? r : SV_WASI_EBADF;
    f->answers = f->answers || r == 0;
    return r;
}

int listen_backlog(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    uint32_t backlog = arg[1].i32 < SOCKET_BACKLOG_MAX ? arg[1].i32 : SOCKET_BACKLOG_MAX;
    struct sv_vfs_file *f;
    struct ask a;
    int r = socket_find(s, arg[0].i32, SV_WASI_RIGHT_ACCEPT, &f);

    if (r != 0)
        return r;
    if (!f->answers) /* the kernel would give it an address, which nobody has granted */
        return SV_WASI_EACCES;
    r = ask_begin(&a, s, c);
    return r != 0
               ? r
               : ask_result(&a, s->grant.backend->listen(s->session, &a.op, f->fd, (int)backlog));
}

/* Until the connection is there, or is known not to be. */
static int finish_connect(struct sv_call *c, struct sv_vfs_file *f)
{
    struct pollfd done = {.fd = f->fd, .events = POLLOUT};
    int error = 0, r;
    socklen_t len = sizeof error;

    while (poll(&done, 1, 0) == 0) {
        r = VFS->again(c, f, EAGAIN, POLLOUT);
        if (r == SV_WASI_EAGAIN) /* its time is over */
            return SV_WASI_EINPROGRESS;
        if (r != 0)
            return r;
    }
    if (getsockopt(f->fd, SOL_SOCKET, SO_ERROR, &error, &len) != 0)
        error = errno;
    return VFS->error(error);
}

int connect_address(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    struct address address;
    struct sv_vfs_file *f;
    struct ask a;
    int r = socket_find(s, arg[0].i32, 0, &f);

    if (r == 0)
        r = address_take(s, c, arg[1].i32, arg[2].i32, false, &address);
    if (r != 0)
        return r;
    r = ask_begin(&a, s, c);
    VFS->hold(f); /* a name may be asked for */
    if (r == 0)
        r = ask_result(
            &a, s->grant.backend->connect(s->session, &a.op, f->fd, &address.any, address.len));
    address_release(&address);
    if (!VFS->drop(f))
        return r < 0 ? r : SV_WASI_EBADF;
    if (r != SV_WASI_EINPROGRESS || f->flags & SV_WASI_FD_NONBLOCK)
        return r;
    return finish_connect(c, f);
}

static int accept_socket(struct state *s, struct sv_call *c, uint32_t listener, uint32_t flags,
                         uint32_t ret_ptr)
{
    struct sv_vfs_file *f;
    uint32_t slot;
    void *to;
    int fd, r = socket_find(s, listener, SV_WASI_RIGHT_ACCEPT, &f);

    if (r != 0)
        return r;
    if (flags & ~(uint32_t)SV_WASI_FD_NONBLOCK)
        return SV_WASI_EINVAL;
    if (!sv_call_slice(c, ret_ptr, 4, &to))
        return SV_WASI_EFAULT;
    r = VFS->reserve(s->wasi, &slot); /* before a connection is taken that has no place */
    if (r != 0)
        return r;
    f = &s->wasi->files[listener];
    for (;;) {
        struct pollfd ready = {.fd = f->fd, .events = POLLIN};

        /* A listener that was handed to the guest may block. */
        fd = f->owned || poll(&ready, 1, 0) > 0
                 ? accept4(f->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)
                 : -1;
        if (fd >= 0)
            break;
        r = VFS->again(c, f, f->owned || ready.revents ? errno : EAGAIN, POLLIN);
        if (r != 0)
            return r;
    }
    r = install(s, fd, flags, f->is_stream, &slot);
    if (r == 0)
        memcpy(to, &slot, 4);
    return r;
}

int accept_plain(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    return accept_socket(s, c, arg[0].i32, 0, arg[1].i32);
}

int accept_flags(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    return accept_socket(s, c, arg[0].i32, arg[1].i32, arg[2].i32);
}

/* ---- Addresses of a socket ---- */

typedef int name_fn(int, struct sockaddr *, socklen_t *);

/* type_ptr 0: none is wanted. */
static int tell_address(struct state *s, struct sv_call *c, const union sv_slot *arg,
                        bool with_type, name_fn *name)
{
    struct address address = {.len = sizeof address.room};
    uint32_t type, port32;
    struct address_room room;
    void *to_type = NULL, *to_port;
    struct sv_vfs_file *f;
    uint16_t port;
    int r = socket_find(s, arg[0].i32, 0, &f);

    if (r == 0)
        r = address_room(c, arg[1].i32, &room);
    if (r != 0)
        return r;
    if ((with_type && !sv_call_slice(c, arg[2].i32, 4, &to_type)) ||
        !sv_call_slice(c, arg[with_type ? 3 : 2].i32, 4, &to_port))
        return SV_WASI_EFAULT;
    if (name(f->fd, &address.any, &address.len) != 0)
        return VFS->error(errno);
    r = address_put(&room, &address, &port);
    if (r != 0)
        return r;
    type = address.any.sa_family == AF_INET ? 4 : address.any.sa_family == AF_INET6 ? 6 : 3;
    port32 = port;
    if (to_type)
        memcpy(to_type, &type, 4);
    memcpy(to_port, &port32, 4);
    return 0;
}

static int own_name(int fd, struct sockaddr *sa, socklen_t *len)
{
    return getsockname(fd, sa, len);
}

static int peer_name(int fd, struct sockaddr *sa, socklen_t *len)
{
    return getpeername(fd, sa, len);
}

int local_plain(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    return tell_address(s, c, arg, true, own_name);
}

int local_tagged(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    return tell_address(s, c, arg, false, own_name);
}

int peer_plain(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    return tell_address(s, c, arg, true, peer_name);
}

int peer_tagged(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    return tell_address(s, c, arg, false, peer_name);
}
