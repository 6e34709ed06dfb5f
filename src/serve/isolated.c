/* The worker of one tenant. See isolated.h. */
#include "serve/isolated.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fds.h"
#include "platform/pass.h"
#include "platform/record.h"
#include "platform/table.h"
#include "serve/link.h"
#include "serve/loop.h"
#include "serve/token.h"

#define NS_PER_MS ((uint64_t)1000000)
#define NEVER_MS (365 * 86400 * (uint64_t)1000)
#define SLACK_MS 2000 /* the other side's patience ends first: it knows the client */
#define RETRY_US 20000
#define CONTROL_NS (10 * (uint64_t)1000000000)

/* ---- Settings ---- */

void srv_isolated_settle(struct srv_server *server)
{
    struct srv_config *config = &server->config;

    /* Libraries of inference read files, and more: never in this process. */
    config->nn_isolate = true;
    config->idle_ms = NEVER_MS; /* it is the other side that ends a connection */
    config->body_ms += SLACK_MS;
    config->write_ms += SLACK_MS;
}

void srv_isolated_listen(struct srv_server *server, int door)
{
    server->listeners[0] = (struct srv_listener){.fd = door, .inner = true};
    server->nlisteners = 1;
    server->spare_fd = -1;
}

/* ---- Connections ---- */

own int srv_isolated_accept(const struct srv_listener *listener, own int *ret_token)
{
    char byte;
    struct iovec part = {&byte, 1};
    unsigned nfds;
    int fds[2] = {-1, -1};
    ssize_t n = sv_fds_receive(listener->fd, &part, fds, 2, &nfds, MSG_DONTWAIT);

    *ret_token = fds[1];
    if (n > 0 && nfds > 0)
        return fds[0];
    if (n == 0)
        errno = EAGAIN;
    else if (n > 0 || errno == EBADMSG) /* there was no descriptor left for it */
        errno = ECONNABORTED;
    return -1;
}

struct inner {
    struct srv_listener listener; /* what the request says of its client */
    own struct srv_token *token;
};

static void close_inner(struct srv_conn *conn)
{
    struct inner *inner = conn->carrier;

    if (inner)
        srv_token_close(inner->token);
    free(inner);
    srv_transport_plain.close(conn);
}

/* The other side ends a connection only when it wants no reply. */
static int go_on(struct srv_conn *conn)
{
    return conn->ending ? -1 : 1;
}

static size_t receive(struct srv_conn *conn, char *to, size_t room)
{
    return srv_transport_plain.receive(conn, to, room);
}

static ssize_t send_file(struct srv_conn *conn, int file, int64_t offset, size_t len)
{
    return srv_transport_plain.send_file(conn, file, offset, len);
}

static int unsent(const struct srv_conn *conn)
{
    return srv_transport_plain.unsent(conn);
}

static void end(struct srv_conn *conn)
{
    srv_transport_plain.end(conn);
}

static bool take_head(struct srv_conn *conn);

#define INNER(version, must_be_whole)                                                              \
    {.protocol = version,                                                                          \
     .whole = must_be_whole,                                                                       \
     .headed = take_head,                                                                          \
     .receive = receive,                                                                           \
     .send = srv_socket_send,                                                                      \
     .send_file = send_file,                                                                       \
     .go_on = go_on,                                                                               \
     .unsent = unsent,                                                                             \
     .end = end,                                                                                   \
     .close = close_inner}

/* By protocol, and whether replies must be whole. */
static const struct srv_transport transports[][2] = {
    {INNER(NULL, false), INNER(NULL, true)},
    {INNER("HTTP/2.0", false), INNER("HTTP/2.0", true)},
    {INNER("HTTP/1.0", false), INNER("HTTP/1.0", true)},
};

bool srv_isolated_begin(struct srv_conn *conn, own int token)
{
    struct inner *inner = calloc(1, sizeof *inner);
    struct srv_token *its = srv_token_open(token);

    conn->transport = &transports[0][0];
    conn->carrier = inner;
    if (inner)
        inner->token = its;
    else
        srv_token_close(its);
    return inner && its;
}

bool srv_isolated_start(const struct srv_conn *conn)
{
    const struct inner *inner = conn->carrier;

    return conn->transport->headed != take_head || srv_token_take(inner->token);
}

static bool set_peer(struct srv_conn *conn, const char *text, unsigned port)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)&conn->peer;

    memset(&conn->peer, 0, sizeof conn->peer);
    conn->peer.sin6_port = htons((uint16_t)port); /* the same place in both */
    conn->peer.sin6_family = strchr(text, ':') ? AF_INET6 : AF_INET;
    if (conn->peer.sin6_family == AF_INET6)
        return inet_pton(AF_INET6, text, &conn->peer.sin6_addr) == 1;
    return inet_pton(AF_INET, text, &v4->sin_addr) == 1;
}

/* The last field of the head, which nobody else sees. */
static bool take_head(struct srv_conn *conn)
{
    struct srv_work *work = conn->work;
    struct srv_request *request = &work->request;
    struct inner *inner = conn->carrier;
    const struct srv_field *f =
        work->http.nfields > 0 ? &work->http.fields[work->http.nfields - 1] : NULL;
    char value[SRV_INNER_MAX + 1], id[SRV_ID_LEN + 1], peer[INET6_ADDRSTRLEN];
    unsigned peer_port, port, flags, trigger, depth;
    uint64_t deadline;

    if (!f || f->value.len > SRV_INNER_MAX ||
        !srv_http_is(work->in + f->name.at, f->name.len, SRV_INNER_FIELD))
        return false;
    memcpy(value, work->in + f->value.at, f->value.len);
    value[f->value.len] = '\0';
    if (sscanf(value, "%16s %45s %u %u %u %u %u %" SCNu64, id, peer, &peer_port, &port, &flags,
               &trigger, &depth, &deadline) != 8 ||
        strlen(id) != SRV_ID_LEN || !set_peer(conn, peer, peer_port) ||
        trigger >= PLAT_TRIGGER_COUNT)
        return false;
    work->http.nfields--;
    memcpy(request->id, id, sizeof id);
    srv_trace_begin(conn); /* of that id */
    inner->listener.port = (uint16_t)port;
    inner->listener.tls = flags & SRV_INNER_TLS;
    conn->listener = flags & SRV_INNER_CLIENT ? &inner->listener : NULL;
    conn->trigger = (uint8_t)trigger;
    conn->depth = (uint8_t)depth;
    conn->deadline_ns = deadline;
    conn->transport = &transports[flags & SRV_INNER_H2    ? 1
                                  : flags & SRV_INNER_OLD ? 2
                                                          : 0][(flags & SRV_INNER_WHOLE) != 0];
    return true;
}

void srv_isolated_trust(struct srv_server *server, struct sv_str secret)
{
    uint64_t words[SV_COUNT(server->trusted)];

    if (secret.len != sizeof words)
        return;
    memcpy(words, secret.ptr, sizeof words);
    for (size_t i = 0; i < SV_COUNT(words); i++)
        atomic_store(&server->trusted[i], words[i]);
}

bool srv_isolated_may_call(const struct srv_conn *conn, struct sv_str function)
{
    const struct srv_server *server = conn->loop->server;
    const struct srv_work *work = conn->work;
    uint64_t secret[SV_COUNT(server->trusted)];
    size_t len = 0;
    const char *pass;

    if (conn->transport->headed != take_head)
        return true;
    for (size_t i = 0; i < SV_COUNT(secret); i++)
        secret[i] = atomic_load(&server->trusted[i]);
    pass = srv_http_field(&work->http, work->in, PLAT_PASS_FIELD, &len);
    return pass && plat_pass_is((const uint8_t *)secret, function, srv_clock_ns(), pass, len);
}

void srv_isolated_tell(struct srv_conn *conn)
{
    const struct srv_request *request = &conn->work->request;
    char value[SRV_INNER_MAX];

    if (conn->transport->headed != take_head)
        return;
    snprintf(value, sizeof value, "%" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %s",
             request->run_ns, request->wait_ns, request->gas, request->memory,
             request->code ? request->code : "-");
    srv_reply_field_str(&conn->work->reply, SRV_INNER_FIELD, value);
}

void srv_isolated_note(struct srv_server *server, const char *function, const char *line)
{
    struct plat_message m;

    plat_message_init(&m, PLAT_LOG);
    plat_put_str(&m, PLAT_TAG_NAME, "function_host");
    plat_put_str(&m, PLAT_TAG_TENANT, server->tenant);
    if (function)
        plat_put_str(&m, PLAT_TAG_FUNCTION, function);
    plat_put_str(&m, PLAT_TAG_TEXT, line);
    (void)srv_link_tell(server, NULL, &m);
    plat_message_release(&m);
}

/* ---- The end ---- */

int srv_isolated_wait(struct srv_server *server, const sigset_t *signals)
{
    uint64_t idle_ms = server->config.isolated_ms, look_ms = idle_ms / 8, since = srv_clock_ns();
    struct timespec pause;
    bool used = false;
    int number;

    look_ms = look_ms < 20 ? 20 : look_ms > 1000 ? 1000 : look_ms;
    pause.tv_sec = (time_t)(look_ms / 1000);
    pause.tv_nsec = (long)(look_ms % 1000 * NS_PER_MS);
    for (;;) {
        number = sigtimedwait(signals, NULL, &pause);
        if (number > 0)
            return number;
        if (atomic_load(&server->connections) > 0) {
            used = true;
            since = srv_clock_ns();
        } else if (srv_clock_ns() - since > (used ? 2 * look_ms : idle_ms) * NS_PER_MS) {
            return 0; /* the other side keeps connections for so long as they are used */
        }
    }
}

/* ---- Modules ---- */

own int srv_isolated_module(struct srv_server *server, const uint8_t *ready, const char **ret_why)
{
    uint64_t until = srv_clock_ns() + CONTROL_NS;
    struct plat_message m, answer;
    int fd = -1, r;

    *ret_why = "control does not give it";
    plat_message_init(&m, PLAT_MODULE);
    plat_put_str(&m, PLAT_TAG_TENANT, server->tenant);
    plat_put(&m, PLAT_TAG_DIGEST, ready, PLAT_DIGEST_BYTES);
    /* A control process that ends meanwhile is followed by another. */
    while ((r = srv_link_call(server, NULL, &m, until, &answer)) == SV_EIO &&
           srv_clock_ns() < until)
        usleep(RETRY_US);
    if (r == 0) {
        if (answer.nfds > 0)
            fd = answer.fds[--answer.nfds];
        plat_message_release(&answer);
    }
    plat_message_release(&m);
    return fd;
}
