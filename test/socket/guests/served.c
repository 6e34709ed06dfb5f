/* A function of a server that uses sockets. The body is words: tcp PORT TEXT: what comes back from
 * there; udp PORT TEXT; bind PORT; accept PORT: waits for a connection that nobody makes; connect
 * A.B.C.D PORT: what that gives; obey PORT: sends where the datagrams say that it gets from there;
 * flood PORT N: that many datagrams. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sock.h"

SOCK(sock_connect) int sock_connect(uint32_t fd, const struct sock_address *, uint32_t port);
SOCK(sock_accept) int sock_accept_v1(uint32_t fd, uint32_t *ret);
SOCK(sock_send_to)
int sock_send_to(uint32_t fd, const void *, uint32_t n, const struct sock_address *, uint32_t port,
                 uint32_t flags, uint32_t *len);

struct vec {
    const void *bytes;
    uint32_t len;
};
SOCK(sock_recv_from_v2)
int sock_recv_from_v2(uint32_t fd, const struct vec *, uint32_t n, const struct sock_address *,
                      uint32_t flags, uint16_t *port, uint32_t *len, uint16_t *ro_flags);

static const uint8_t home[4] = {127, 0, 0, 1};
static const struct sock_address address = {home, 4};

static int send_text(uint32_t fd, const struct sock_address *to, uint32_t port, const char *text)
{
    struct vec v = {text, (uint32_t)strlen(text)};
    uint32_t n;

    return sock_send_to(fd, &v, 1, to, port, 0, &n);
}

/* An order is "A.B.C.D PORT"; the answer what sending there gave. Anything else is the end. */
static int obey(unsigned port)
{
    uint8_t from[128], a[4];
    struct sock_address room = {from, sizeof from}, to = {a, sizeof a};
    char order[64], answer[16];
    struct vec v = {order, sizeof order - 1};
    unsigned b[4], where;
    uint16_t mine, ro_flags, peer;
    uint32_t len;
    int fd = sock_serve(1, 0, &mine), r;

    if (fd < 0)
        return 1;
    for (r = send_text((uint32_t)fd, &address, port, "here"); r == 0;
         r = send_text((uint32_t)fd, &address, port, answer)) {
        r = sock_recv_from_v2((uint32_t)fd, &v, 1, &room, 0, &peer, &len, &ro_flags);
        if (r != 0)
            break;
        order[len] = '\0';
        if (sscanf(order, "%u.%u.%u.%u %u", &b[0], &b[1], &b[2], &b[3], &where) != 5)
            break;
        for (int i = 0; i < 4; i++)
            a[i] = (uint8_t)b[i];
        snprintf(answer, sizeof answer, "%d", send_text((uint32_t)fd, &to, where, "ordered"));
    }
    printf("%d\n", r);
    return 0;
}

static int flood(unsigned port, unsigned n)
{
    uint16_t mine;
    int fd = sock_serve(1, 0, &mine), r = 0;

    for (unsigned i = 0; i < n && r == 0; i++)
        r = send_text((uint32_t)fd, &address, port, "flood");
    printf("%d\n", r);
    return 0;
}

static int go(const char *verb, unsigned port, const char *text)
{
    char got[256] = "";
    uint32_t fd;
    uint16_t mine;

    if (strcmp(verb, "obey") == 0)
        return obey(port);
    if (strcmp(verb, "flood") == 0)
        return flood(port, (unsigned)atoi(text));
    if (strcmp(verb, "bind") == 0 || strcmp(verb, "accept") == 0) {
        int s = sock_serve(0, (uint16_t)port, &mine);

        printf("%s\n", s < 0 ? "refused" : "bound");
        fflush(stdout);
        return s < 0 || verb[0] == 'b' ? 0 : sock_accept_v1((uint32_t)s, &fd);
    }
    if (sock_open(1, strcmp(verb, "udp") == 0 ? 1 : 2, &fd) != 0)
        return 1;
    if (strcmp(verb, "udp") == 0) {
        int r = send_text(fd, &address, port, text);

        if (r != 0)
            return printf("%d\n", r), 0;
    } else {
        int r = sock_connect(fd, &address, port);

        if (r != 0)
            return printf("%d\n", r), 0;
        send((int)fd, text, strlen(text), 0);
    }
    recv((int)fd, got, sizeof got - 1, 0);
    printf("%s\n", got);
    return 0;
}

int main(void)
{
    uint8_t a[4];
    struct sock_address other = {a, 4};
    char verb[16] = "", text[64] = "";
    unsigned b[4], port = 0;
    uint32_t fd;

    printf("Content-Type: text/plain\r\n\r\n");
    if (scanf("%15s", verb) != 1)
        return 0;
    if (strcmp(verb, "connect") != 0)
        return scanf("%u %63s", &port, text) >= 1 ? go(verb, port, text) : 1;
    if (scanf("%u.%u.%u.%u %u", &b[0], &b[1], &b[2], &b[3], &port) != 5)
        return 1;
    for (int i = 0; i < 4; i++)
        a[i] = (uint8_t)b[i];
    if (sock_open(1, 2, &fd) != 0)
        return 1;
    printf("%d\n", sock_connect(fd, &other, port));
    return 0;
}
