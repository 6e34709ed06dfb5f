/* Options of sockets: the host's, under the guest's numbers. */
#include <sys/time.h>

#include "host/socket/guest.h"

enum kind { KIND_INT, KIND_TIME, KIND_LINGER };

/* By the guest's numbers. Its last one, SO_BINDTODEVICE, is not here: what it may reach is said in
 * addresses, which another interface would turn into other machines. */
static const struct {
    int name;
    enum kind kind;
    bool fixed; /* may not be set */
} options[] = {
    {SO_REUSEADDR, KIND_INT, false}, {SO_TYPE, KIND_INT, true},
    {SO_ERROR, KIND_INT, true},      {SO_DONTROUTE, KIND_INT, false},
    {SO_BROADCAST, KIND_INT, false}, {SO_SNDBUF, KIND_INT, false},
    {SO_RCVBUF, KIND_INT, false},    {SO_KEEPALIVE, KIND_INT, false},
    {SO_OOBINLINE, KIND_INT, false}, {SO_LINGER, KIND_LINGER, false},
    {SO_RCVLOWAT, KIND_INT, false},  {SO_RCVTIMEO, KIND_TIME, false},
    {SO_SNDTIMEO, KIND_TIME, false}, {SO_ACCEPTCONN, KIND_INT, true},
};

struct guest_time {
    int64_t seconds, us;
};
struct guest_linger {
    int32_t on, seconds;
};

/* An option's value on the host. */
union value {
    int i;
    struct timeval time;
    struct linger linger;
};
static const socklen_t sizes[] = {
    [KIND_INT] = sizeof(int),
    [KIND_TIME] = sizeof(struct timeval),
    [KIND_LINGER] = sizeof(struct linger),
};

/* The guest's form of a value: its bytes. */
static uint32_t encode(uint32_t option, const union value *v, uint8_t to[16])
{
    int32_t number = v->i;
    struct guest_time time = {v->time.tv_sec, v->time.tv_usec};
    struct guest_linger linger = {v->linger.l_onoff, v->linger.l_linger};

    switch (options[option].kind) {
    case KIND_TIME:
        memcpy(to, &time, sizeof time);
        return sizeof time;
    case KIND_LINGER:
        memcpy(to, &linger, sizeof linger);
        return sizeof linger;
    default:
        if (options[option].name == SO_ERROR)
            number = VFS->error(number);
        else if (options[option].name == SO_TYPE)
            number = number == SOCK_DGRAM ? TYPE_DATAGRAM : TYPE_STREAM;
        memcpy(to, &number, sizeof number);
        return sizeof number;
    }
}

/* (fd, level, name, value, inout length) */
int get_option(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    uint32_t option = arg[2].i32, room, need;
    struct sv_vfs_file *f;
    uint8_t bytes[16], *to_len, *to;
    union value v = {0};
    socklen_t len;
    int r = socket_find(s, arg[0].i32, 0, &f);

    if (r != 0)
        return r;
    if (arg[1].i32 != 0 || option >= SV_COUNT(options))
        return SV_WASI_ENOPROTOOPT;
    if (!sv_call_slice(c, arg[4].i32, 4, &to_len))
        return SV_WASI_EFAULT;
    sv_wasi_take(&room, to_len, 4);
    if (!sv_call_slice(c, arg[3].i32, room, &to))
        return SV_WASI_EFAULT;
    len = sizes[options[option].kind];
    if (getsockopt(f->fd, SOL_SOCKET, options[option].name, &v, &len) != 0)
        return VFS->error(errno);
    need = encode(option, &v, bytes);
    if (room < need)
        return SV_WASI_EINVAL;
    memcpy(to, bytes, need);
    memcpy(to_len, &need, 4);
    return 0;
}

/* A guest's value; false: of a wrong size, or no time. */
static bool decode(enum kind kind, const uint8_t *from, uint32_t len, union value *ret)
{
    struct guest_time time;
    struct guest_linger linger;

    memset(ret, 0, sizeof *ret);
    switch (kind) {
    case KIND_TIME:
        if (len != sizeof time)
            return false;
        sv_wasi_take(&time, from, sizeof time);
        if (time.seconds < 0 || time.us < 0 || time.us >= 1000000)
            return false;
        ret->time.tv_sec = time.seconds < INT32_MAX ? time.seconds : INT32_MAX;
        ret->time.tv_usec = time.us;
        return true;
    case KIND_LINGER:
        if (len != sizeof linger)
            return false;
        sv_wasi_take(&linger, from, sizeof linger);
        /* Without the time: who closes would wait as long as the guest says, and that may be the
         * host's own thread. What was written goes out all the same. */
        ret->linger.l_onoff = linger.on && linger.seconds == 0;
        return true;
    default:
        if (len != sizeof ret->i)
            return false;
        sv_wasi_take(&ret->i, from, sizeof ret->i);
        return true;
    }
}

/* (fd, level, name, value, length) */
int set_option(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    uint32_t option = arg[2].i32;
    struct sv_vfs_file *f;
    const uint8_t *from;
    union value v;
    int r = socket_find(s, arg[0].i32, 0, &f);

    if (r != 0)
        return r;
    if (arg[1].i32 != 0 || option >= SV_COUNT(options) || options[option].fixed)
        return SV_WASI_ENOPROTOOPT;
    if (!sv_call_slice(c, arg[3].i32, arg[4].i32, &from))
        return SV_WASI_EFAULT;
    if (!decode(options[option].kind, from, arg[4].i32, &v))
        return SV_WASI_EINVAL;
    if (setsockopt(f->fd, SOL_SOCKET, options[option].name, &v, sizes[options[option].kind]) != 0)
        return VFS->error(errno);
    if (options[option].kind == KIND_TIME)
        f->timed = true;
    return 0;
}
