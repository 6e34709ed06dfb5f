/* The back end of sockets in a worker: every call is a message to control and its answer; the
 * guest's thread waits for it. Where a datagram went, more may go for as long as control says. */
#include "serve/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <unistd.h>

#include "serve/loop.h"
#include "serve/session.h"
#include "ssvm_socket.h"

#define TIME_NS 15000000000U /* for control, which gives up before */
#define NS_PER_MS 1000000U
#define ALLOWED 64 /* addresses that are remembered */

static const struct srv_session_kind codes = {.denied = -EACCES,
                                              .nomem = -ENOMEM,
                                              .late = -EIO,
                                              .other = -EIO,
                                              .most_ns = TIME_NS,
                                              .said = {{SV_EUSAGE, -EINVAL}}};

/* Control's answer about an address: what the guest calls it, and what it is. */
struct allowed {
    uint64_t until_ns;
    socklen_t len;
    union {
        struct sockaddr any;
        struct sockaddr_in6 in6;
    } asked, to;
};

struct session {
    struct srv_session asks; /* first: what is asked by it gets all of it */
    struct allowed *allowed; /* ALLOWED of them; NULL: none was needed yet */
};

static int open_session(void *data, void *store_data, void **ret)
{
    struct session *s = sv_alloc_zero(sizeof *s);

    (void)data;
    if (!s)
        return codes.nomem;
    if (!srv_session_init(&s->asks, &codes, store_data)) {
        sv_free(s);
        return codes.denied;
    }
    *ret = s;
    return 0;
}

static void close_session(void *session)
{
    struct session *s = session;

    sv_free(s->allowed);
    sv_free(s);
}

/* fd -1: the call is about none. */
static void begin(const struct srv_session *s, struct plat_message *m, const char *op, int fd)
{
    plat_message_init(m, PLAT_SOCKET);
    plat_put_str(m, PLAT_TAG_OP, op);
    plat_put_str(m, PLAT_TAG_TENANT, srv_session_request(s)->function->tenant);
    srv_session_put_grants(s, m, "allow-connect", PLAT_TAG_ALLOW);
    srv_session_put_grants(s, m, "allow-listen", PLAT_TAG_LISTEN);
    if (fd >= 0 && (fd = dup(fd)) >= 0)
        (void)plat_put_fd(m, fd);
}

/* Send and wait: the result, or -errno. Releases the message; *ret, if it is wanted, is the
 * caller's when the result is not negative. */
static int64_t ask(const struct srv_session *s, const struct ssvm_socket_op *op,
                   struct plat_message *m, struct plat_message *ret)
{
    struct plat_message answer;
    struct sv_err err = {0};
    uint64_t number = 0;
    int r = srv_session_ask(s, &err, m, op->deadline_ns, &answer);

    if (r < 0)
        return r;
    if (!plat_get_u64(&answer, PLAT_TAG_NUMBER, &number))
        number = (uint64_t)-EIO;
    if (ret && (int64_t)number >= 0)
        *ret = answer;
    else
        plat_message_release(&answer);
    return (int64_t)number;
}

static int make(void *session, const struct ssvm_socket_op *op, int family, int type)
{
    struct plat_message m, answer;
    int64_t r;
    int fd;

    begin(session, &m, "socket", -1);
    plat_put_u64(&m, PLAT_TAG_NUMBER, (uint64_t)family);
    plat_put_u64(&m, PLAT_TAG_COUNT, (uint64_t)type);
    r = ask(session, op, &m, &answer);
    if (r < 0)
        return (int)r;
    fd = answer.nfds > 0 ? answer.fds[--answer.nfds] : -EIO;
    plat_message_release(&answer);
    return fd;
}

static int ask_address(void *session, const struct ssvm_socket_op *op, const char *verb, int fd,
                       const struct sockaddr *sa, socklen_t len)
{
    struct plat_message m;

    begin(session, &m, verb, fd);
    plat_put(&m, PLAT_TAG_VALUE, sa, len);
    return (int)ask(session, op, &m, NULL);
}

static int connect_to(void *session, const struct ssvm_socket_op *op, int fd,
                      const struct sockaddr *sa, socklen_t len)
{
    srv_session_part(session); /* a name may be asked for */
    return ask_address(session, op, "connect", fd, sa, len);
}

static int bind_to(void *session, const struct ssvm_socket_op *op, int fd,
                   const struct sockaddr *sa, socklen_t len)
{
    return ask_address(session, op, "bind", fd, sa, len);
}

static int listen_at(void *session, const struct ssvm_socket_op *op, int fd, int backlog)
{
    struct plat_message m;

    begin(session, &m, "listen", fd);
    plat_put_u64(&m, PLAT_TAG_NUMBER, (uint64_t)backlog);
    return (int)ask(session, op, &m, NULL);
}

/* ---- Datagrams ---- */

/* The place of an address; NULL: it has none. */
static struct allowed *place_of(struct session *s, const struct sockaddr *sa, socklen_t len)
{
    if (len > sizeof s->allowed->asked || (sa->sa_family != AF_INET && sa->sa_family != AF_INET6))
        return NULL;
    if (!s->allowed)
        s->allowed = sv_alloc_array_zero(ALLOWED, sizeof *s->allowed);
    return s->allowed ? &s->allowed[sv_hash_seeded(sa, len, 0) % ALLOWED] : NULL;
}

static void remember(struct allowed *a, const struct sockaddr *sa, socklen_t len,
                     const struct plat_message *answer)
{
    struct sv_str to = plat_get(answer, PLAT_TAG_VALUE);
    uint64_t ms = 0;

    if (to.len != len || !plat_get_u64(answer, PLAT_TAG_TIMEOUT_MS, &ms))
        return;
    a->until_ns = srv_clock_ns() + ms * NS_PER_MS;
    a->len = len;
    memcpy(&a->asked, sa, len);
    memcpy(&a->to, to.ptr, len);
}

static int64_t send_to(void *session, const struct ssvm_socket_op *op, int fd, const void *bytes,
                       size_t len, const struct sockaddr *sa, socklen_t sa_len)
{
    struct allowed *a = place_of(session, sa, sa_len);
    struct plat_message m, answer;
    int64_t n;

    if (a && a->len == sa_len && memcmp(&a->asked, sa, sa_len) == 0 &&
        srv_clock_ns() < a->until_ns) {
        n = sendto(fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL, &a->to.any, sa_len);
        return n >= 0 ? n : -errno;
    }
    begin(session, &m, "send", fd);
    plat_put(&m, PLAT_TAG_VALUE, sa, sa_len);
    plat_put(&m, PLAT_TAG_BODY, bytes, len);
    n = ask(session, op, &m, &answer);
    if (n < 0)
        return n;
    if (a)
        remember(a, sa, sa_len, &answer);
    plat_message_release(&answer);
    return n;
}

static int resolve(void *session, const struct ssvm_socket_op *op,
                   const struct ssvm_socket_query *query, struct sockaddr_storage *ret,
                   unsigned max)
{
    const struct srv_session *s = session;
    uint64_t now = srv_clock_ns();
    struct plat_message m, answer;
    unsigned n = 0;
    size_t at = 0;
    int64_t r;

    srv_session_part(s);
    begin(s, &m, "resolve", -1);
    if (query->node)
        plat_put_str(&m, PLAT_TAG_NAME, query->node);
    if (query->service)
        plat_put_str(&m, PLAT_TAG_TEXT, query->service);
    plat_put_u64(&m, PLAT_TAG_NUMBER, (uint64_t)query->family);
    plat_put_u64(&m, PLAT_TAG_COUNT, (uint64_t)query->type);
    plat_put_u64(&m, PLAT_TAG_LIMIT, (uint64_t)query->flags);
    if (s->deadline_ns != UINT64_MAX && s->deadline_ns > now)
        plat_put_u64(&m, PLAT_TAG_TIMEOUT_MS, (s->deadline_ns - now) / NS_PER_MS + 1);
    r = ask(s, op, &m, &answer);
    if (r < 0)
        return (int)r;
    while (n < max && n < r) {
        struct sv_str one = plat_get_next(&answer, PLAT_TAG_VALUE, &at);

        if (one.len != sizeof *ret)
            break;
        memcpy(&ret[n++], one.ptr, sizeof *ret);
    }
    plat_message_release(&answer);
    return (int)n;
}

own ssvm_error *srv_socket_define(ssvm_linker *linker)
{
    static const ssvm_socket_backend backend = {
        .abi = SSVM_SOCKET_ABI,
        .open = open_session,
        .close = close_session,
        .socket = make,
        .connect = connect_to,
        .bind = bind_to,
        .listen = listen_at,
        .send_to = send_to,
        .resolve = resolve,
    };
    ssvm_sockets s = SSVM_SOCKETS_INIT;

    s.backend = &backend;
    return ssvm_linker_define_sockets(linker, &s);
}
