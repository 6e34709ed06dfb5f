/* The back end that opens sockets here, by lists (outbound/net.h). */
#include "host/socket/guest.h"
#include "outbound/net.h"

struct session {
    struct out_net net;
    struct out_names *names;
};

static void close_session(void *session)
{
    struct session *s = session;

    sv_free(s->net.connect);
    sv_free(s->net.listen);
    out_names_delete(s->names);
    sv_free(s);
}

static int parse(struct sv_err *err, const char *const *list, size_t n, bool listen,
                 struct out_net_rule **ret, size_t *ret_n)
{
    int r = 0;

    if (n == 0)
        return 0;
    if (n > OUT_RULES_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "more than %d addresses are granted",
                       OUT_RULES_MAX);
    *ret = sv_alloc_array(n, sizeof **ret);
    if (!*ret)
        return sv_fail_nomem(err, "what sockets are granted");
    for (size_t i = 0; i < n && r == 0; i++)
        r = out_net_rule_parse(err, sv_str_of(list[i]), listen, &(*ret)[i]);
    *ret_n = n;
    return r;
}

int local_new(struct sv_err *err, const struct sv_socket_grant *g, void **ret_session)
{
    struct session *s = sv_alloc_zero(sizeof *s);
    int r;

    if (!s)
        return sv_fail_nomem(err, "what sockets are granted");
    s->net.af_unix = g->af_unix;
    s->names = out_names_new();
    r = s->names ? parse(err, g->connect, g->nconnect, false, &s->net.connect, &s->net.nconnect)
                 : sv_fail_nomem(err, "what sockets are granted");
    if (r == 0)
        r = parse(err, g->listen, g->nlisten, true, &s->net.listen, &s->net.nlisten);
    if (r < 0) {
        close_session(s);
        return r;
    }
    *ret_session = s;
    return 0;
}

static int wait_readable(void *arg, int fd)
{
    const struct ssvm_socket_op *op = arg;

    return op->wait(op, fd, POLLIN);
}

static struct out_wait wait_of(const struct ssvm_socket_op *op)
{
    return (struct out_wait){
        .fn = wait_readable, .arg = (void *)op, .deadline_ns = op->deadline_ns};
}

static int make(void *session, const struct ssvm_socket_op *op, int family, int type)
{
    const struct session *s = session;

    (void)op;
    return out_net_socket(&s->net, family, type);
}

static int connect_to(void *session, const struct ssvm_socket_op *op, int fd,
                      const struct sockaddr *sa, socklen_t len)
{
    const struct session *s = session;
    struct out_wait wait = wait_of(op);

    return out_net_connect(&s->net, s->names, &wait, fd, sa, len);
}

static int bind_to(void *session, const struct ssvm_socket_op *op, int fd,
                   const struct sockaddr *sa, socklen_t len)
{
    const struct session *s = session;

    (void)op;
    return out_net_bind(&s->net, fd, sa, len);
}

static int listen_at(void *session, const struct ssvm_socket_op *op, int fd, int backlog)
{
    const struct session *s = session;

    (void)op;
    return out_net_listen(&s->net, fd, backlog);
}

static int64_t send_to(void *session, const struct ssvm_socket_op *op, int fd, const void *bytes,
                       size_t len, const struct sockaddr *sa, socklen_t sa_len)
{
    const struct session *s = session;
    struct out_wait wait = wait_of(op);
    struct sockaddr_storage to;

    return out_net_send_to(&s->net, s->names, &wait, fd, bytes, len, sa, sa_len, &to);
}

static int resolve(void *session, const struct ssvm_socket_op *op,
                   const struct ssvm_socket_query *query, struct sockaddr_storage *ret,
                   unsigned max)
{
    const struct session *s = session;
    struct out_query q = {query->node, query->service, query->family, query->type, query->flags};
    struct out_wait wait = wait_of(op);

    return out_net_resolve(&s->net, s->names, &wait, &q, ret, max);
}

const struct ssvm_socket_backend local_backend = {
    .abi = SSVM_SOCKET_ABI,
    .close = close_session,
    .socket = make,
    .connect = connect_to,
    .bind = bind_to,
    .listen = listen_at,
    .send_to = send_to,
    .resolve = resolve,
};
