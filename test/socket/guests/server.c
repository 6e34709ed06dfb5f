/* A server of many connections in one thread, natively and as a guest: `echo` gives back what
 * comes, `http` answers each request. Prints its port; ends when as many connections have come and
 * gone as it was told. Usage: server echo|http CONNECTIONS */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sock.h"

#define MAX 1024
#define ROOM 16384

struct connection {
    char in[ROOM]; /* of a request that has not come whole */
    size_t len;
};

static struct pollfd fds[MAX + 1];
static struct connection *connections[MAX + 1];
static unsigned n = 1; /* [0] listens */
static unsigned long messages;

static int send_all(int fd, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t sent = send(fd, bytes, len, 0);

        if (sent < 0) {
            struct pollfd room = {.fd = fd, .events = POLLOUT};

            if (errno != EAGAIN || poll(&room, 1, -1) < 0)
                return -1;
            continue;
        }
        bytes += sent;
        len -= (size_t)sent;
    }
    return 0;
}

/* All requests that are there whole. */
static int answer(struct connection *c, int fd)
{
    static const char body[] = "Hello from a guest\n";
    char head[256], path[128];
    char *end;

    for (;;) {
        c->in[c->len] = '\0';
        end = strstr(c->in, "\r\n\r\n");
        if (!end)
            return c->len == ROOM - 1 ? -1 : 0;
        if (sscanf(c->in, "GET %127s HTTP/1.1", path) != 1)
            return -1;
        messages++;
        size_t size = (size_t)snprintf(
            head, sizeof head,
            "HTTP/1.1 %s\r\nContent-Length: %zu\r\nContent-Type: text/plain\r\n\r\n%s",
            strcmp(path, "/") == 0 ? "200 OK" : "404 Not Found", sizeof body - 1, body);
        if (send_all(fd, head, size) < 0)
            return -1;
        c->len -= (size_t)(end + 4 - c->in);
        memmove(c->in, end + 4, c->len);
    }
}

/* 0; -1: it is over. */
static int serve(unsigned i, int http)
{
    struct connection *c = connections[i];
    ssize_t got = recv(fds[i].fd, c->in + c->len, ROOM - 1 - c->len, 0);

    if (got < 0)
        return errno == EAGAIN ? 0 : -1;
    if (got == 0)
        return -1;
    if (http) {
        c->len += (size_t)got;
        return answer(c, fds[i].fd);
    }
    messages++;
    return send_all(fds[i].fd, c->in, (size_t)got);
}

int main(int argc, char **argv)
{
    int http = argc > 1 && strcmp(argv[1], "http") == 0;
    unsigned long left = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    uint16_t port;

    fds[0] = (struct pollfd){.fd = sock_serve(0, 0, &port), .events = POLLIN};
    if (fds[0].fd < 0) {
        perror("listen");
        return 1;
    }
    fcntl(fds[0].fd, F_SETFL, O_NONBLOCK);
    printf("port %u\n", port);
    fflush(stdout);
    while (left > 0) {
        if (poll(fds, n, -1) < 0) {
            perror("poll");
            return 1;
        }
        for (unsigned i = n - 1; i > 0; i--) {
            if (!fds[i].revents || serve(i, http) == 0)
                continue;
            close(fds[i].fd);
            free(connections[i]);
            fds[i] = fds[--n];
            connections[i] = connections[n];
            left--;
        }
        while (fds[0].revents && n <= MAX) {
            int fd = accept(fds[0].fd, NULL, NULL);

            if (fd < 0)
                break;
            fcntl(fd, F_SETFL, O_NONBLOCK);
            fds[n] = (struct pollfd){.fd = fd, .events = POLLIN};
            connections[n] = calloc(1, sizeof *connections[n]);
            if (!connections[n++])
                return 1;
        }
    }
    printf("messages %lu\n", messages);
    return 0;
}
