/* The lists of sockets, and the calls that they decide about. */
#include "outbound/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "base/clock.h"

#define NAMES_MAX 256                             /* known at a time */
#define NAME_TIME_NS (600 * (uint64_t)1000000000) /* that one is known */
#define ADDRESSES_MAX 64

/* ---- Rules ---- */

static int bad_rule(struct sv_err *err, struct sv_str text, bool listen)
{
    return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "'%.*s' is not %s:PORT",
                   (int)(text.len < 100 ? text.len : 100), text.ptr, listen ? "ADDR" : "HOST");
}

static bool parse_port(struct sv_str text, bool listen, struct out_net_rule *r)
{
    unsigned long port = 0;

    if (text.len == 1 && text.ptr[0] == '*') {
        r->any_port = true;
        return true;
    }
    if (text.len == 0 || text.len > 5)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
        port = port * 10 + (unsigned long)(text.ptr[i] - '0');
    }
    r->port = (uint16_t)port;
    return port <= UINT16_MAX && (port > 0 || listen);
}

int out_net_rule_parse(struct sv_err *err, struct sv_str text, bool listen,
                       struct out_net_rule *ret)
{
    const char *colon = text.len ? memrchr(text.ptr, ':', text.len) : NULL;
    struct out_net_rule r = {.port = 0};
    struct sv_str host, port;
    int code;

    if (!colon)
        return bad_rule(err, text, listen);
    host = (struct sv_str){text.ptr, (size_t)(colon - text.ptr)};
    port = (struct sv_str){colon + 1, text.len - host.len - 1};
    /* An IPv6 address must be in brackets, or its last group were a port. */
    if (!parse_port(port, listen, &r) ||
        (memchr(host.ptr, ':', host.len) && (host.ptr[0] != '[' || colon[-1] != ']')))
        return bad_rule(err, text, listen);
    code = out_rule_parse(err, host, &r.rule);
    if (code < 0)
        return code;
    if (listen && (r.rule.subdomains || (r.rule.host[0] && strcmp(r.rule.host, "localhost") != 0)))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       "'%.*s': the address to listen at is a number, localhost or *",
                       (int)host.len, host.ptr);
    *ret = r;
    return 0;
}

static bool port_fits(const struct out_net_rule *r, uint16_t port)
{
    return r->any_port || r->port == port;
}

static uint16_t port_of(const struct sockaddr *sa)
{
    return ntohs(sa->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)sa)->sin6_port
                                           : ((const struct sockaddr_in *)sa)->sin_port);
}

/* ---- What names mean ---- */

struct known {
    uint64_t until_ns;
    char host[OUT_HOST_MAX + 1];
    uint8_t address[16]; /* IPv4: mapped */
};
struct out_names {
    pthread_mutex_t lock;
    unsigned next;
    struct known known[NAMES_MAX];
};

own struct out_names *out_names_new(void)
{
    struct out_names *n = sv_alloc_zero(sizeof *n);

    if (n)
        pthread_mutex_init(&n->lock, NULL);
    return n;
}

void out_names_delete(own struct out_names *n)
{
    if (!n)
        return;
    pthread_mutex_destroy(&n->lock);
    sv_free(n);
}

/* 16 bytes: IPv4 as mapped. */
static void bytes_of(const struct sockaddr *sa, uint8_t ret[16])
{
    static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

    if (sa->sa_family == AF_INET6) {
        memcpy(ret, &((const struct sockaddr_in6 *)sa)->sin6_addr, 16);
        return;
    }
    memcpy(ret, mapped, sizeof mapped);
    memcpy(ret + 12, &((const struct sockaddr_in *)sa)->sin_addr, 4);
}

static void note(struct out_names *n, const char *host, const struct sockaddr *sa)
{
    struct known *k = NULL;
    uint8_t address[16];

    bytes_of(sa, address);
    pthread_mutex_lock(&n->lock);
    for (unsigned i = 0; i < NAMES_MAX && !k; i++)
        if (memcmp(n->known[i].address, address, 16) == 0 && strcmp(n->known[i].host, host) == 0)
            k = &n->known[i];
    if (!k)
        k = &n->known[n->next++ % NAMES_MAX];
    memcpy(k->host, host, strlen(host) + 1);
    memcpy(k->address, address, 16);
    k->until_ns = sv_clock_ns() + NAME_TIME_NS;
    pthread_mutex_unlock(&n->lock);
}

/* Is the address known as one of a name that the rule allows? */
static bool is_known(struct out_names *n, const struct out_rule *rule, const struct sockaddr *sa)
{
    uint16_t port = port_of(sa);
    uint64_t now = sv_clock_ns();
    uint8_t address[16];
    bool found = false;

    bytes_of(sa, address);
    pthread_mutex_lock(&n->lock);
    for (unsigned i = 0; i < NAMES_MAX && !found; i++) {
        const struct known *k = &n->known[i];

        found = k->until_ns > now && memcmp(k->address, address, 16) == 0 &&
                out_rule_allows(rule, k->host, port, port);
    }
    pthread_mutex_unlock(&n->lock);
    return found;
}

/* ---- Names ---- */

/* Lower case, without a dot at its end; false: it is too long. */
static bool plain_name(const char *node, char ret[OUT_HOST_MAX + 1])
{
    size_t len = strlen(node);

    if (len > 1 && node[len - 1] == '.')
        len--;
    if (len == 0 || len > OUT_HOST_MAX)
        return false;
    for (size_t i = 0; i < len; i++)
        ret[i] = (char)(node[i] >= 'A' && node[i] <= 'Z' ? node[i] + 'a' - 'A' : node[i]);
    ret[len] = '\0';
    return true;
}

static bool is_number(const char *node)
{
    uint8_t bytes[16];
    struct in_addr old;

    return inet_pton(AF_INET6, node, bytes) == 1 || inet_aton(node, &old) != 0;
}

int out_net_resolve(const struct out_net *net, struct out_names *names, const struct out_wait *wait,
                    const struct out_query *query, struct sockaddr_storage *ret, unsigned max)
{
    char host[OUT_HOST_MAX + 1];
    bool allowed = false;
    int n;

    if (!query->node || is_number(query->node))
        return out_resolve(wait, query, ret, max);
    if (!plain_name(query->node, host))
        return -ENOENT;
    for (size_t i = 0; i < net->nconnect && !allowed; i++)
        allowed = out_rule_allows(&net->connect[i].rule, host, 1, 1); /* whatever the port */
    if (!allowed)
        return -EACCES;
    n = out_resolve(wait, query, ret, max);
    for (int i = 0; i < n; i++)
        note(names, host, (const struct sockaddr *)&ret[i]);
    return n;
}

/* A name on the list whose addresses are not known yet, or not all of them. */
static void learn(const struct out_net *net, struct out_names *names, const struct out_wait *wait,
                  uint16_t port)
{
    struct sockaddr_storage found[ADDRESSES_MAX];

    for (size_t i = 0; i < net->nconnect; i++) {
        const struct out_net_rule *r = &net->connect[i];
        struct out_query q = {.node = r->rule.host, .family = AF_UNSPEC};

        if (port_fits(r, port) && r->rule.host[0] && !r->rule.subdomains)
            (void)out_net_resolve(net, names, wait, &q, found, ADDRESSES_MAX);
    }
}

/* ---- Addresses ---- */

/* What a connection to "any address" reaches: this machine. */
static void settle(struct sockaddr_storage *to, const struct sockaddr *sa, socklen_t len)
{
    struct sockaddr_in *in = (struct sockaddr_in *)to;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)to;

    memset(to, 0, sizeof *to);
    memcpy(to, sa, len);
    if (sa->sa_family == AF_INET && in->sin_addr.s_addr == htonl(INADDR_ANY))
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    else if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
        in6->sin6_addr = in6addr_loopback;
    else if (sa->sa_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr) &&
             memcmp(&in6->sin6_addr.s6_addr[12], "\0\0\0\0", 4) == 0)
        in6->sin6_addr.s6_addr[12] = 127, in6->sin6_addr.s6_addr[15] = 1;
}

static bool allowed_now(const struct out_net *net, struct out_names *names,
                        const struct sockaddr *sa)
{
    bool private = out_address_private(sa);
    uint16_t port = port_of(sa);

    for (size_t i = 0; i < net->nconnect; i++) {
        const struct out_net_rule *r = &net->connect[i];

        if (!port_fits(r, port))
            continue;
        if (!(private && r->public_only) && out_rule_names(&r->rule, sa, port))
            return true;
        if (!private && (r->rule.any || is_known(names, &r->rule, sa)))
            return true;
    }
    return false;
}

/* 0: *ret is where it goes. */
static int allow(const struct out_net *net, struct out_names *names, const struct out_wait *wait,
                 const struct sockaddr *sa, socklen_t len, struct sockaddr_storage *ret)
{
    if (len > sizeof *ret || len < sizeof(sa_family_t))
        return -EINVAL;
    if (sa->sa_family == AF_UNIX) {
        memset(ret, 0, sizeof *ret);
        memcpy(ret, sa, len);
        return net->af_unix ? 0 : -EACCES;
    }
    if ((sa->sa_family != AF_INET || len != sizeof(struct sockaddr_in)) &&
        (sa->sa_family != AF_INET6 || len != sizeof(struct sockaddr_in6)))
        return -EAFNOSUPPORT;
    settle(ret, sa, len);
    if (allowed_now(net, names, (struct sockaddr *)ret))
        return 0;
    if (out_address_private((struct sockaddr *)ret))
        return -EACCES;
    learn(net, names, wait, port_of(sa));
    return allowed_now(net, names, (struct sockaddr *)ret) ? 0 : -EACCES;
}

int out_net_connect(const struct out_net *net, struct out_names *names, const struct out_wait *wait,
                    int fd, const struct sockaddr *sa, socklen_t len)
{
    struct sockaddr_storage to;
    int r = allow(net, names, wait, sa, len, &to);

    if (r < 0)
        return r;
    return connect(fd, (struct sockaddr *)&to, len) == 0 ? 0 : -errno;
}

int64_t out_net_send_to(const struct out_net *net, struct out_names *names,
                        const struct out_wait *wait, int fd, const void *bytes, size_t len,
                        const struct sockaddr *sa, socklen_t sa_len,
                        struct sockaddr_storage *ret_to)
{
    ssize_t n;
    int r = allow(net, names, wait, sa, sa_len, ret_to);

    if (r < 0)
        return r;
    n = sendto(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL, (struct sockaddr *)ret_to, sa_len);
    return n >= 0 ? n : -errno;
}

static bool may_bind(const struct out_net *net, const struct sockaddr *sa)
{
    uint16_t port = port_of(sa);

    for (size_t i = 0; i < net->nlisten; i++) {
        const struct out_net_rule *r = &net->listen[i];

        if (port_fits(r, port) && (r->rule.any || out_rule_names(&r->rule, sa, port)))
            return true;
    }
    return false;
}

int out_net_bind(const struct out_net *net, int fd, const struct sockaddr *sa, socklen_t len)
{
    bool ok;

    if (len < sizeof(sa_family_t))
        return -EINVAL;
    switch (sa->sa_family) {
    case AF_UNIX:
        ok = net->af_unix;
        break;
    case AF_INET:
        ok = len == sizeof(struct sockaddr_in) && may_bind(net, sa);
        break;
    case AF_INET6:
        ok = len == sizeof(struct sockaddr_in6) && may_bind(net, sa);
        break;
    default:
        return -EAFNOSUPPORT;
    }
    if (!ok)
        return -EACCES;
    return bind(fd, sa, len) == 0 ? 0 : -errno;
}

int out_net_listen(const struct out_net *net, int fd, int backlog)
{
    struct sockaddr_storage sa = {0};
    socklen_t len = sizeof sa;

    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return -errno;
    if (sa.ss_family != AF_UNIX && port_of((struct sockaddr *)&sa) == 0)
        return -EDESTADDRREQ; /* the kernel would give it an address that nobody has granted */
    if (sa.ss_family == AF_UNIX && !net->af_unix)
        return -EACCES;
    return listen(fd, backlog) == 0 ? 0 : -errno;
}

int out_net_socket(const struct out_net *net, int family, int type)
{
    int fd;

    if (type != SOCK_STREAM && type != SOCK_DGRAM)
        return -EPROTONOSUPPORT;
    if (family == AF_UNIX ? !net->af_unix : family != AF_INET && family != AF_INET6)
        return -EACCES;
    fd = socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    return fd >= 0 ? fd : -errno;
}
