/* sock_getaddrinfo: the addresses of a name, into nodes that the guest has made. Asking for them is
 * the back end's. */
#include <netdb.h>

#include "host/socket/guest.h"

/* Layouts: reference of the guests' crates (doc/format/sockets.md). */
struct guest_info {
    uint16_t flags;
    uint8_t family, type, protocol, pad[3];
    uint32_t address_len, address, name, name_len, next;
};
struct guest_address {
    uint8_t family, pad[3];
    uint32_t len, bytes;
};
_Static_assert(sizeof(struct guest_info) == 28, "the guests' layout");
_Static_assert(sizeof(struct guest_address) == 12, "the guests' layout");

#define INET4_BYTES 14 /* what a node's address is said to hold */
#define INET6_BYTES 26

/* A text of the guest's, which may end with a NUL inside of its length. *ret NULL: it is empty. */
static int take_text(struct sv_call *c, const union sv_slot *arg, char to[SOCKET_NAME_MAX],
                     const char **ret)
{
    uint32_t len = arg[1].i32;
    const void *from;

    *ret = NULL;
    if (!sv_call_slice(c, arg[0].i32, len, &from))
        return SV_WASI_EFAULT;
    if (len >= SOCKET_NAME_MAX)
        return NAME_NONAME;
    sv_wasi_take(to, from, len);
    while (len > 0 && to[len - 1] == '\0')
        len--;
    to[len] = '\0';
    if (memchr(to, '\0', len))
        return NAME_NONAME;
    if (len > 0)
        *ret = to;
    return 0;
}

static int take_hints(struct sv_call *c, uint32_t ptr, struct guest_info *hints,
                      struct ssvm_socket_query *q)
{
    static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6};
    static const int types[] = {0, SOCK_DGRAM, SOCK_STREAM};
    static const int flags[] = {AI_PASSIVE,  AI_CANONNAME, AI_NUMERICHOST, AI_NUMERICSERV,
                                AI_V4MAPPED, AI_ALL,       AI_ADDRCONFIG};
    const void *from;

    if (!sv_call_slice(c, ptr, sizeof *hints, &from))
        return SV_WASI_EFAULT;
    sv_wasi_take(hints, from, sizeof *hints);
    if (hints->flags >> SV_COUNT(flags))
        return NAME_BADFLAG;
    if (hints->family >= SV_COUNT(families))
        return NAME_FAMILY;
    if (hints->type >= SV_COUNT(types) || hints->protocol > 2)
        return SV_WASI_ENOSYS;
    q->family = families[hints->family];
    q->type = types[hints->type];
    for (unsigned i = 0; i < SV_COUNT(flags); i++)
        if (hints->flags & 1u << i)
            q->flags |= flags[i];
    return 0;
}

static int failed(const struct ask *a, int r)
{
    if (a->ended)
        return a->ended;
    switch (-r) {
    case ENOENT:
        return NAME_NONAME;
    case ENODATA:
        return NAME_NODATA;
    case EAGAIN:
    case ETIMEDOUT:
        return NAME_AGAIN;
    case EPROTONOSUPPORT:
        return NAME_SERVICE;
    case EAFNOSUPPORT:
        return NAME_FAMILY;
    case EACCES:
        return SV_WASI_EACCES;
    case ENOMEM:
        return NAME_MEMORY;
    default:
        return NAME_FAIL;
    }
}

/* One node and what hangs on it; *at becomes the next node. */
static int put_node(struct sv_call *c, uint32_t *at, const struct guest_info *hints,
                    const char *name, const struct sockaddr_storage *from)
{
    const struct address *a = (const struct address *)(const void *)from;
    bool six = from->ss_family == AF_INET6;
    uint8_t data[INET6_BYTES] = {0}, *node_at, *address_at, *data_at;
    uint32_t len = six ? INET6_BYTES : INET4_BYTES, use = six ? INET6_BYTES : 6, name_len = 0;
    struct guest_info node;
    struct guest_address address;
    void *name_at;

    if (!sv_call_slice(c, *at, sizeof node, &node_at))
        return SV_WASI_EFAULT;
    sv_wasi_take(&node, node_at, sizeof node);
    if (!sv_call_slice(c, node.address, sizeof address, &address_at))
        return SV_WASI_EFAULT;
    sv_wasi_take(&address, address_at, sizeof address);
    if (!sv_call_slice(c, address.bytes, INET6_BYTES, &data_at))
        return SV_WASI_EFAULT;
    if (hints->flags & 2 && name && node.name_len > 0) {
        name_len = (uint32_t)strlen(name);
        name_len = name_len < node.name_len ? name_len : node.name_len;
        if (!sv_call_slice(c, node.name, name_len, &name_at))
            return SV_WASI_EFAULT;
        memcpy(name_at, name, name_len);
    }
    memcpy(data, six ? (const void *)&a->in6.sin6_port : &a->in.sin_port, 2);
    if (six) {
        memcpy(data + 2, &a->in6.sin6_flowinfo, 4);
        memcpy(data + 6, &a->in6.sin6_addr, 16);
        memcpy(data + 22, &a->in6.sin6_scope_id, 4);
    } else {
        memcpy(data + 2, &a->in.sin_addr, 4);
    }
    memcpy(data_at, data, use);
    address.family = six ? FAMILY_INET6 : FAMILY_INET4;
    address.len = len;
    memcpy(address_at, &address, sizeof address);
    node.flags = hints->flags;
    node.family = address.family;
    node.type = hints->type ? hints->type : TYPE_STREAM;
    node.protocol = hints->protocol ? hints->protocol : node.type == TYPE_STREAM ? 1 : 2;
    node.address_len = six ? sizeof a->in6 : sizeof a->in;
    node.name_len = name_len;
    memcpy(node_at, &node, sizeof node);
    *at = node.next;
    return 0;
}

/* (node, length, service, length, hints, first node's pointer, nodes, number of them) */
int resolve_name(struct state *s, struct sv_call *c, const union sv_slot *arg)
{
    char node[SOCKET_NAME_MAX], service[SOCKET_NAME_MAX];
    struct sockaddr_storage found[SOCKET_RESULTS_MAX];
    uint32_t max = arg[6].i32, at, n = 0;
    struct ssvm_socket_query q = {0};
    struct guest_info hints;
    const uint8_t *first;
    struct ask a;
    void *to;
    int got, r = take_text(c, arg, node, &q.node);

    if (r == 0)
        r = take_text(c, arg + 2, service, &q.service);
    if (r == 0)
        r = take_hints(c, arg[4].i32, &hints, &q);
    if (r != 0)
        return r;
    if (!sv_call_slice(c, arg[5].i32, 4, &first) || !sv_call_slice(c, arg[7].i32, 4, &to))
        return SV_WASI_EFAULT;
    if (!q.node && !q.service)
        return NAME_NONAME;
    if (max < 1)
        return NAME_MEMORY;
    r = ask_begin(&a, s, c);
    if (r != 0)
        return r;
    got = s->grant.backend->resolve(s->session, &a.op, &q, found,
                                    max < SOCKET_RESULTS_MAX ? max : SOCKET_RESULTS_MAX);
    if (got < 0 || a.ended)
        return failed(&a, got);
    sv_wasi_take(&at, first, 4);
    for (; n < (uint32_t)got && r == 0; n++)
        r = put_node(c, &at, &hints, q.node, &found[n]);
    if (r == 0)
        memcpy(to, &n, 4);
    return r;
}
