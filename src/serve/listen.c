/* The listening sockets and new connections; also the fast refusal when there are too many. Reads
 * no requests. */
#include "serve/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "serve/isolated.h"
#include "serve/tls.h"

#define BACKLOG 4096
#define BIND_TRIES 300

static const char refusal[] =
    "HTTP/1.1 503 Service Unavailable\r\nServer: ssvm\r\nContent-Type: application/json\r\n"
    "Content-Length: 72\r\nRetry-After: 1\r\nConnection: close\r\n\r\n"
    "{\"error\":{\"code\":\"too_many_connections\",\"message\":\"try again shortly\"}}\n";

static void note_address(struct srv_listener *listener)
{
    struct sockaddr_storage addr;
    socklen_t len = sizeof addr;
    char host[64] = "?", port[8] = "0";

    if (getsockname(listener->fd, (struct sockaddr *)&addr, &len) == 0)
        getnameinfo((struct sockaddr *)&addr, len, host, sizeof host, port, sizeof port,
                    NI_NUMERICHOST | NI_NUMERICSERV);
    snprintf(listener->address, sizeof listener->address, strchr(host, ':') ? "[%s]:%s" : "%s:%s",
             host, port);
    listener->port = (uint16_t)strtoul(port, NULL, 10);
}

/* The processes of a server that was killed may need a moment to end, and to let its address go. */
static bool bind_soon(int fd, const struct addrinfo *info)
{
    static const struct timespec pause = {.tv_nsec = 10000000};

    for (int tries = 0; bind(fd, info->ai_addr, info->ai_addrlen) < 0; tries++) {
        if (errno != EADDRINUSE || tries == BIND_TRIES)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* What to do about it, beside what the system says. */
static const char *advice(int error)
{
    switch (error) {
    case EACCES:
        return " (ports below 1024 are for root and for who has CAP_NET_BIND_SERVICE)";
    case EADDRINUSE:
        return " (another program listens there: end it, or name another port)";
    case EADDRNOTAVAIL:
        return " (no interface of this machine has the address; 0.0.0.0 and [::] are all of them)";
    default:
        return "";
    }
}

static void tell_failure(const char *where)
{
    fprintf(stderr, "ssvm-serve: cannot listen on '%s': %s%s\n", where, strerror(errno),
            advice(errno));
}

static own struct addrinfo *find_address(const char *where)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV | AI_PASSIVE};
    char host[SRV_HOST_SIZE], port[SRV_PORT_SIZE];
    struct addrinfo *info = NULL;

    if (!srv_config_address(where, host, port)) {
        fprintf(stderr, "ssvm-serve: '%s' is not ADDR:PORT (IPv6: [ADDR]:PORT)\n", where);
        return NULL;
    }
    if (getaddrinfo(strcmp(host, "localhost") == 0 ? "127.0.0.1" : host, port, &hints, &info) !=
        0) {
        fprintf(stderr, "ssvm-serve: '%s' is not an address of a machine\n", host);
        return NULL;
    }
    return info;
}

static int new_socket(const struct addrinfo *info)
{
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    if (fd < 0 || (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
                   setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0))
        return fd;
    close(fd);
    return -1;
}

/* A socket that listens, or -1 with a message. */
static int open_socket(const struct srv_server *server, const char *where)
{
    struct addrinfo *info = find_address(where);
    int fd;

    (void)server;
    if (!info)
        return -1;
    fd = new_socket(info);
    if (fd < 0 || !bind_soon(fd, info) || listen(fd, BACKLOG) < 0) {
        tell_failure(where);
        if (fd >= 0)
            close(fd);
        fd = -1;
    }
    freeaddrinfo(info);
    return fd;
}

/* One that another process or generation has opened, or -1. */
static int find_inherited(struct srv_server *server, const char *where)
{
    for (unsigned i = 0; i < server->ninherited; i++) {
        struct srv_listener *l = &server->inherited[i];
        int fd = l->fd;

        if (fd >= 0 && (!l->where[0] || strcmp(l->where, where) == 0)) {
            l->fd = -1;
            return fd;
        }
    }
    return -1;
}

/* An address of the list without how it is spoken to. */
static const char *skip_scheme(const char *where)
{
    return where + (strncmp(where, "https://", 8) == 0  ? 8
                    : strncmp(where, "http://", 7) == 0 ? 7
                                                        : 0);
}

/* How the socket of an address is made: -1 with a message. */
typedef int opener(const struct srv_server *, const char *where);

/* One of the list: ADDR:PORT, http://ADDR:PORT or https://ADDR:PORT. */
static bool open_one(struct srv_server *server, const char *where, opener *open_it)
{
    struct srv_listener *listener = &server->listeners[server->nlisteners];

    if (server->nlisteners == SRV_LISTENERS_MAX) {
        fprintf(stderr, "ssvm-serve: there are more than %d addresses to listen on\n",
                SRV_LISTENERS_MAX);
        return false;
    }
    snprintf(listener->where, sizeof listener->where, "%s", where);
    listener->tls = strncmp(where, "https://", 8) == 0;
    listener->fd = find_inherited(server, listener->where);
    if (listener->fd < 0)
        listener->fd = open_it(server, skip_scheme(where));
    if (listener->fd < 0)
        return false;
    note_address(listener);
    server->nlisteners++;
    return true;
}

/* All of a list. */
static bool open_list(struct srv_server *server, const char *at, bool admin, opener *open_it)
{
    char where[128];

    for (;;) {
        size_t n = strcspn(at, ",");

        if (n >= sizeof where) {
            fprintf(stderr, "ssvm-serve: '%s' is not ADDR:PORT (IPv6: [ADDR]:PORT)\n", at);
            return false;
        }
        memcpy(where, at, n);
        where[n] = '\0';
        if (!open_one(server, where, open_it))
            return false;
        server->listeners[server->nlisteners - 1].admin = admin;
        if (at[n] == '\0')
            return true;
        at += n + 1;
    }
}

static bool open_all(struct srv_server *server, opener *open_it)
{
    const char *admin = server->config.admin;

    return open_list(server, server->config.listen, false, open_it) &&
           (strcmp(admin, "same") == 0 || open_list(server, admin, true, open_it));
}

bool srv_listen_open(struct srv_server *server)
{
    if (!open_all(server, open_socket))
        return false;
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return true;
}

/* ---- Looking only ---- */

static in_port_t port_of(const struct sockaddr *a)
{
    return a->sa_family == AF_INET6 ? ((const struct sockaddr_in6 *)a)->sin6_port
                                    : ((const struct sockaddr_in *)a)->sin_port;
}

static bool is_any(const struct sockaddr *a)
{
    return a->sa_family == AF_INET6
               ? IN6_IS_ADDR_UNSPECIFIED(&((const struct sockaddr_in6 *)a)->sin6_addr)
               : ((const struct sockaddr_in *)a)->sin_addr.s_addr == htonl(INADDR_ANY);
}

/* Can only one of the two be listened on? [::] is IPv4's too, unless the system says no: such a
 * pair is left to the start. */
static bool overlap(const struct addrinfo *a, const struct addrinfo *b)
{
    if (a->ai_family != b->ai_family || port_of(a->ai_addr) != port_of(b->ai_addr) ||
        port_of(a->ai_addr) == 0)
        return false;
    return is_any(a->ai_addr) || is_any(b->ai_addr) ||
           memcmp(a->ai_addr, b->ai_addr, a->ai_addrlen) == 0;
}

static bool is_taken_by_us(const struct srv_server *server, const char *where,
                           const struct addrinfo *info)
{
    for (unsigned i = 0; i < server->nlisteners; i++) {
        const char *other = skip_scheme(server->listeners[i].where);
        struct addrinfo *o = find_address(other);
        bool taken = o && overlap(o, info);

        if (o)
            freeaddrinfo(o);
        if (!taken)
            continue;
        fprintf(stderr,
                "ssvm-serve: cannot listen on '%s': the settings have '%s' too, and a port is "
                "listened on once (name another port)\n",
                where, other);
        return true;
    }
    return false;
}

/* Bound and never listened on, so that no connection comes here. What is in use may be so by the
 * server whose settings these are. */
static int try_socket(const struct srv_server *server, const char *where)
{
    struct addrinfo *info = find_address(where);
    int fd = -1;

    if (!info)
        return -1;
    if (is_taken_by_us(server, where, info))
        goto done;
    fd = new_socket(info);
    if (fd >= 0 && bind(fd, info->ai_addr, info->ai_addrlen) == 0)
        goto done;
    if (fd >= 0 && errno == EADDRINUSE) {
        fprintf(stderr,
                "ssvm-serve: note: '%s' is in use, by a server that runs or by another program: a "
                "reload keeps it, a start would fail\n",
                where);
        goto done;
    }
    tell_failure(where);
    if (fd >= 0)
        close(fd);
    fd = -1;
done:
    freeaddrinfo(info);
    return fd;
}

bool srv_listen_try(struct srv_server *server)
{
    bool ok = open_all(server, try_socket);

    for (unsigned i = 0; i < server->nlisteners; i++) {
        close(server->listeners[i].fd);
        server->listeners[i].fd = -1;
    }
    return ok;
}

/* ---- Connections ---- */

/* One connection too many: say so and leave, without letting the refusal be lost in a reset. */
static void refuse(int fd, bool tls)
{
    char ignored[2048];

    if (tls) { /* a handshake is what there is no room for */
        close(fd);
        return;
    }
    (void)!recv(fd, ignored, sizeof ignored, MSG_DONTWAIT);
    (void)!send(fd, refusal, sizeof refusal - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    shutdown(fd, SHUT_WR);
    (void)!recv(fd, ignored, sizeof ignored, MSG_DONTWAIT);
    close(fd);
}

/* No descriptor is left: use the spare one to take the connection off the queue. */
static bool refuse_with_spare(struct srv_server *server, const struct srv_listener *listener)
{
    int fd;

    if (server->spare_fd < 0)
        return false;
    close(server->spare_fd);
    fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        refuse(fd, listener->tls);
    server->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return fd >= 0;
}

struct srv_conn *srv_listen_conn(struct srv_loop *loop)
{
    struct srv_conn *conn = loop->conns;

    if (atomic_fetch_add(&loop->server->connections, 1) >= loop->server->config.connections) {
        atomic_fetch_sub(&loop->server->connections, 1);
        return NULL;
    }
    if (conn) {
        loop->conns = conn->next;
        loop->nconns--;
        memset(conn, 0, sizeof *conn);
    } else {
        conn = calloc(1, sizeof *conn);
    }
    if (!conn) {
        atomic_fetch_sub(&loop->server->connections, 1);
        return NULL;
    }
    atomic_fetch_add_explicit(&loop->nopen, 1, memory_order_relaxed);
    conn->loop = loop;
    return conn;
}

/* `token`: of an inner one (isolated.h). */
static void add(struct srv_loop *loop, const struct srv_listener *listener, int fd, own int token,
                const struct sockaddr_in6 *peer)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET};
    struct srv_conn *conn = srv_listen_conn(loop);

    if (!conn) {
        if (token >= 0)
            close(token);
        refuse(fd, listener->tls);
        return;
    }
    conn->transport = &srv_transport_plain;
    conn->listener = listener;
    conn->fd = fd;
    conn->peer = *peer;
    if (listener->inner ? !srv_isolated_begin(conn, token)
                        : listener->tls && !srv_tls_begin(conn)) {
        srv_conn_delete(conn);
        return;
    }
    event.data.ptr = conn;
    srv_loop_set_timer(loop, conn, SRV_TIMER_HEAD);
    if (epoll_ctl(loop->epoll, EPOLL_CTL_ADD, fd, &event) < 0)
        srv_conn_delete(conn);
}

bool srv_listen_wait(struct srv_loop *loop, const struct srv_listener *listener)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLEXCLUSIVE, .data.ptr = (void *)listener};

    return epoll_ctl(loop->epoll, EPOLL_CTL_ADD, listener->fd, &event) == 0;
}

/* Of loops that sleep, the kernel wakes the one that began to wait first. Without this, that is
 * always the same: it gets all connections, and the others' cores have nothing to do. */
void srv_listen_turn(struct srv_loop *loop, const struct srv_listener *listener)
{
    if (epoll_ctl(loop->epoll, EPOLL_CTL_DEL, listener->fd, NULL) == 0 &&
        !srv_listen_wait(loop, listener))
        loop->deaf |= 1U << (listener - loop->server->listeners);
}

void srv_listen_again(struct srv_loop *loop)
{
    const struct srv_listener *listeners = loop->server->listeners;

    for (unsigned i = 0; i < loop->server->nlisteners; i++) {
        if (loop->deaf & 1U << i && srv_listen_wait(loop, &listeners[i]))
            loop->deaf &= ~(1U << i);
    }
}

bool srv_listen_accept(struct srv_loop *loop, const struct srv_listener *listener)
{
    for (int i = 0; i < SRV_ACCEPT_BURST; i++) {
        struct sockaddr_in6 peer = {0};
        socklen_t len = sizeof peer;
        int token = -1;
        int fd = listener->inner ? srv_isolated_accept(listener, &token)
                                 : accept4(listener->fd, (struct sockaddr *)&peer, &len,
                                           SOCK_NONBLOCK | SOCK_CLOEXEC);
        int error = errno;

        if (fd >= 0) {
            add(loop, listener, fd, token, &peer);
        } else if (error == EMFILE || error == ENFILE) {
            if (!refuse_with_spare(loop->server, listener))
                return false;
        } else if (error != EINTR && error != ECONNABORTED) {
            return false;
        }
    }
    return true;
}
