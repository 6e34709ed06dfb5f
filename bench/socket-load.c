/* Asks a server on this machine over many connections, one message under way on each: the load of
 * sockets.py. Usage: socket-load echo|http PORT CONNECTIONS MESSAGES. Not a measurement of itself:
 * the server's CPU time is what counts. */
#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MAX 1024

int main(int argc, char **argv)
{
    static const char request[] =
        "GET / HTTP/1.1\r\nHost: localhost\r\nUser-Agent: socket-load\r\nAccept: */*\r\n\r\n";
    static char message[64] = "a message of sixty-four bytes";
    static struct pollfd fds[MAX];
    static size_t got[MAX];
    int http = argc > 1 && strcmp(argv[1], "http") == 0;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    unsigned long sent = 0, left;
    size_t size = 0;
    unsigned n;

    if (argc != 5)
        return 2;
    to.sin_port = htons((uint16_t)atoi(argv[2]));
    n = (unsigned)atoi(argv[3]);
    left = strtoul(argv[4], NULL, 10);
    if (n > MAX || n > left)
        return 2;
    for (unsigned i = 0; i < n; i++) {
        fds[i] = (struct pollfd){.fd = socket(AF_INET, SOCK_STREAM, 0), .events = POLLIN};
        if (fds[i].fd < 0 || connect(fds[i].fd, (struct sockaddr *)&to, sizeof to) != 0) {
            perror("connect");
            return 1;
        }
    }
    const char *out = http ? request : message;
    size_t out_len = http ? sizeof request - 1 : sizeof message;
    for (unsigned i = 0; i < n; i++, sent++)
        if (send(fds[i].fd, out, out_len, MSG_NOSIGNAL) != (ssize_t)out_len)
            return 1;
    while (left > 0) {
        char in[4096];

        if (poll(fds, n, -1) < 0)
            return 1;
        for (unsigned i = 0; i < n; i++) {
            if (!fds[i].revents)
                continue;
            ssize_t r = recv(fds[i].fd, in, sizeof in, 0);
            if (r <= 0)
                return 1;
            if (!size) /* of an answer: all are alike, and small ones come whole */
                size = http ? (size_t)r : sizeof message;
            got[i] += (size_t)r;
            if (got[i] < size)
                continue;
            got[i] = 0;
            left--;
            if (sent < strtoul(argv[4], NULL, 10)) {
                sent++;
                if (send(fds[i].fd, out, out_len, MSG_NOSIGNAL) != (ssize_t)out_len)
                    return 1;
            }
        }
    }
    return 0;
}
