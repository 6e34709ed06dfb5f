/* Sockets of functions: workers may open none, so it is done here and the descriptor is passed.
 * Where they may lead is the function's grant's to say, private addresses are the operator's
 * (`allow-private`), and outbound/net.h looks at both. */
#include "control/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>

#include "base/clock.h"
#include "control/dispatch.h"
#include "control/fetch.h"

#define TIME_NS (10 * (uint64_t)1000000000) /* for a name */
#define NS_PER_MS 1000000
#define ADDRESSES_MAX 64
#define ALLOWED_MS 1000 /* that a worker may send datagrams to an address without asking again */

/* Until the name is known, the time is over, or nobody waits for it any more. */
struct waiting {
    uint64_t deadline_ns;
    int cancel_fd;
};

static int wait_for_name(void *arg, int fd)
{
    const struct waiting *w = arg;
    struct pollfd fds[] = {{.fd = fd, .events = POLLIN}, {.fd = w->cancel_fd, .events = POLLIN}};

    for (;;) {
        uint64_t now = sv_clock_ns();

        if (now >= w->deadline_ns)
            return ETIMEDOUT;
        if (poll(fds, 2, (int)((w->deadline_ns - now) / NS_PER_MS) + 1) <= 0)
            continue;
        return fds[0].revents ? 0 : EINTR;
    }
}

/* The lists of one message. */
struct lists {
    struct out_net net;
    struct out_net_rule connect[OUT_RULES_MAX], listen[OUT_RULES_MAX];
};

static int read_list(struct ctl_server *server, struct sv_err *err, const struct plat_message *m,
                     bool listen, struct out_net_rule *list, size_t *ret_n)
{
    enum plat_tag tag = listen ? PLAT_TAG_LISTEN : PLAT_TAG_ALLOW;
    size_t at = 0;

    for (unsigned i = 0; i < OUT_RULES_MAX; i++) {
        struct sv_str text = plat_get_next(m, tag, &at);
        struct out_net_rule *r = &list[*ret_n];
        struct out_rule whole;
        int code;

        if (!text.ptr)
            break;
        code = out_net_rule_parse(err, text, listen, r);
        if (code < 0)
            return code;
        whole = r->rule;
        whole.port = r->any_port ? 0 : r->port;
        r->public_only = !ctl_fetch_covers(server, &whole);
        /* Every address to listen at is the operator's. */
        if (!listen || !r->public_only)
            ++*ret_n;
    }
    return 0;
}

static int resolve(struct ctl_server *server, const struct out_net *net,
                   const struct out_wait *wait, const struct plat_message *m,
                   struct plat_message *ret)
{
    struct sockaddr_storage found[ADDRESSES_MAX];
    char *node = plat_get_text(m, PLAT_TAG_NAME), *service = plat_get_text(m, PLAT_TAG_TEXT);
    uint64_t family = 0, type = 0, flags = 0;
    struct out_query q = {.node = node, .service = service};
    int n;

    (void)plat_get_u64(m, PLAT_TAG_NUMBER, &family);
    (void)plat_get_u64(m, PLAT_TAG_COUNT, &type);
    (void)plat_get_u64(m, PLAT_TAG_LIMIT, &flags);
    q.family = (int)family;
    q.type = (int)type;
    q.flags = (int)flags;
    /* Without a name that was given it were another question: for any address. */
    if ((!node && plat_has(m, PLAT_TAG_NAME)) || (!service && plat_has(m, PLAT_TAG_TEXT)))
        n = -ENOMEM;
    else
        n = out_net_resolve(net, ctl_fetch_names(server), wait, &q, found, ADDRESSES_MAX);
    for (int i = 0; i < n; i++)
        plat_put(ret, PLAT_TAG_VALUE, &found[i], sizeof found[i]);
    sv_free(node);
    sv_free(service);
    return n;
}

/* A datagram, and where more of them may go for a while. */
static int64_t send_to(const struct out_net *net, struct out_names *names,
                       const struct out_wait *wait, int fd, struct sv_str body,
                       const struct sockaddr *sa, socklen_t len, struct plat_message *ret)
{
    struct sockaddr_storage to;
    int64_t n = out_net_send_to(net, names, wait, fd, body.ptr, body.len, sa, len, &to);

    if (n >= 0) {
        plat_put(ret, PLAT_TAG_VALUE, &to, len);
        plat_put_u64(ret, PLAT_TAG_TIMEOUT_MS, ALLOWED_MS);
    }
    return n;
}

/* The result of the call, or -errno. */
static int64_t run(struct ctl_server *server, const struct out_net *net,
                   const struct plat_message *m, struct plat_message *ret)
{
    struct sv_str op = plat_get(m, PLAT_TAG_OP), to = plat_get(m, PLAT_TAG_VALUE);
    struct sv_str body = plat_get(m, PLAT_TAG_BODY);
    struct out_names *names = ctl_fetch_names(server);
    struct sv_str tenant = plat_get(m, PLAT_TAG_TENANT);
    struct waiting waiting = {sv_clock_ns() + TIME_NS, ctl_dispatch_cancel_fd(m)};
    struct out_wait wait = {.fn = wait_for_name,
                            .arg = &waiting,
                            .deadline_ns = UINT64_MAX,
                            .asker = ctl_fetch_asker(tenant)};
    struct sockaddr_storage sa = {0};
    socklen_t len = (socklen_t)to.len;
    uint64_t a = 0, b = 0, ms = 0;
    int fd = m->nfds > 0 ? m->fds[0] : -1;

    if (to.len > sizeof sa)
        return -EINVAL;
    if (to.len > 0)
        memcpy(&sa, to.ptr, to.len);
    (void)plat_get_u64(m, PLAT_TAG_NUMBER, &a);
    (void)plat_get_u64(m, PLAT_TAG_COUNT, &b);
    if (plat_get_u64(m, PLAT_TAG_TIMEOUT_MS, &ms) && ms < TIME_NS / NS_PER_MS)
        waiting.deadline_ns = sv_clock_ns() + ms * NS_PER_MS;
    if (sv_str_eq(op, sv_str_of("socket"))) {
        fd = out_net_socket(net, (int)a, (int)b);
        return fd < 0 ? fd : plat_put_fd(ret, fd) ? 0 : -ENFILE;
    }
    if (sv_str_eq(op, sv_str_of("resolve")))
        return resolve(server, net, &wait, m, ret);
    if (fd < 0)
        return -EBADF;
    /* It may be anything, and must not hold us up. */
    if (fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK) < 0)
        return -errno;
    if (sv_str_eq(op, sv_str_of("connect")))
        return out_net_connect(net, names, &wait, fd, (struct sockaddr *)&sa, len);
    if (sv_str_eq(op, sv_str_of("bind")))
        return out_net_bind(net, fd, (struct sockaddr *)&sa, len);
    if (sv_str_eq(op, sv_str_of("listen")))
        return out_net_listen(net, fd, (int)a);
    if (sv_str_eq(op, sv_str_of("send")))
        return send_to(net, names, &wait, fd, body, (struct sockaddr *)&sa, len, ret);
    return -ENOSYS;
}

int ctl_socket(struct ctl_server *server, struct sv_err *err, struct plat_message *m,
               struct plat_message *ret)
{
    struct lists *lists = sv_alloc_zero(sizeof *lists);
    int r;

    if (!lists)
        return sv_fail_nomem(err, "rules");
    lists->net.connect = lists->connect;
    lists->net.listen = lists->listen;
    r = read_list(server, err, m, false, lists->connect, &lists->net.nconnect);
    if (r == 0)
        r = read_list(server, err, m, true, lists->listen, &lists->net.nlisten);
    if (r == 0)
        plat_put_u64(ret, PLAT_TAG_NUMBER, (uint64_t)run(server, &lists->net, m, ret));
    sv_free(lists);
    return r;
}
