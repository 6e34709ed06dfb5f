/* The plain transport: a TCP socket that does not block. */
#include "serve/transport.h"

#include <errno.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>

#include "serve/conn.h"

ssize_t srv_socket_receive(struct srv_conn *conn, void *to, size_t room)
{
    ssize_t n;

    if (!conn->socket_readable) {
        errno = EAGAIN;
        return -1;
    }
    do
        n = recv(conn->fd, to, room, MSG_DONTWAIT);
    while (n < 0 && errno == EINTR);
    /* Edge-triggered: a read that did not fill the room has emptied the socket (epoll(7)). */
    if (n < (ssize_t)room && (n <= 0 || !conn->ending))
        conn->socket_readable = false;
    return n;
}

ssize_t srv_socket_send(struct srv_conn *conn, const struct iovec *parts, unsigned nparts,
                        bool more)
{
    struct msghdr message = {.msg_iov = (struct iovec *)parts, .msg_iovlen = nparts};
    int flags = MSG_NOSIGNAL | MSG_DONTWAIT | (more ? MSG_MORE : 0);

    if (nparts == 1)
        return send(conn->fd, parts[0].iov_base, parts[0].iov_len, flags);
    return sendmsg(conn->fd, &message, flags);
}

static size_t receive(struct srv_conn *conn, char *to, size_t room)
{
    ssize_t n = srv_socket_receive(conn, to, room);

    conn->readable = conn->socket_readable;
    if (n > 0)
        return (size_t)n;
    if (n == 0)
        conn->ended = true;
    else if (errno != EAGAIN)
        conn->lost = true;
    return 0;
}

static ssize_t send_file(struct srv_conn *conn, int file, int64_t offset, size_t len)
{
    off_t at = offset;

    return sendfile(conn->fd, file, &at, len);
}

static int go_on(struct srv_conn *conn)
{
    static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
    ssize_t n = send(conn->fd, text, sizeof text - 1, MSG_NOSIGNAL | MSG_DONTWAIT);

    if (n < 0 && errno == EAGAIN)
        return 0;
    return n == (ssize_t)sizeof text - 1 ? 1 : -1;
}

static int unsent(const struct srv_conn *conn)
{
    int n = 0;

    return ioctl(conn->fd, SIOCOUTQ, &n) < 0 ? 0 : n;
}

static void end(struct srv_conn *conn)
{
    shutdown(conn->fd, SHUT_WR);
}

static void close_socket(struct srv_conn *conn)
{
    close(conn->fd);
}

const struct srv_transport srv_transport_plain = {
    .receive = receive,
    .send = srv_socket_send,
    .send_file = send_file,
    .go_on = go_on,
    .unsent = unsent,
    .end = end,
    .close = close_socket,
};
