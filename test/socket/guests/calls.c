/* A guest that makes one call of sockets and says what it gave. Usage: calls NAME [ARG]; see
 * sockets.py. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sock.h"

SOCK(sock_accept) int sock_accept_v1(uint32_t fd, uint32_t *ret);
SOCK(sock_accept_v2) int sock_accept_v2(uint32_t fd, uint32_t flags, uint32_t *ret);
SOCK(sock_open_v2) int sock_open_v2(int family, int type, uint32_t *fd);
SOCK(sock_bind_v2) int sock_bind_v2(uint32_t fd, const struct sock_address *, uint32_t port);
SOCK(sock_listen_v2) int sock_listen_v2(uint32_t fd, uint32_t backlog);
SOCK(sock_connect) int sock_connect(uint32_t fd, const struct sock_address *, uint32_t port);
SOCK(sock_connect_v2) int sock_connect_v2(uint32_t fd, const struct sock_address *, uint32_t port);
SOCK(sock_getlocaladdr_v2)
int sock_getlocaladdr_v2(uint32_t fd, const struct sock_address *, uint32_t *port);
SOCK(sock_getpeeraddr_v2)
int sock_getpeeraddr_v2(uint32_t fd, const struct sock_address *, uint32_t *port);
SOCK(sock_recv_from_v2)
int sock_recv_from_v2(uint32_t fd, void *, uint32_t n, struct sock_address *, uint32_t flags,
                      uint16_t *port, uint32_t *len, uint16_t *ro_flags);
SOCK(epoll_oneoff) int epoll_oneoff(const void *in, void *out, uint32_t n, uint32_t *ret);

/* An address with its family in front. */
static struct sock_address tagged(uint8_t room[128], unsigned family, const void *bytes, size_t len)
{
    memset(room, 0, 128);
    room[0] = (uint8_t)family;
    memcpy(room + 2, bytes, len);
    return (struct sock_address){room, 128};
}

/* FAMILY:HEX:PORT: what connecting there gives. */
static int connect_hex(const char *text)
{
    uint8_t bytes[16], room[128];
    unsigned family, port, byte;
    char hex[40];
    uint32_t fd;

    if (sscanf(text, "%u:%39[0-9a-f]:%u", &family, hex, &port) != 3)
        return 1;
    size_t len = strlen(hex) / 2;
    for (size_t i = 0; i < len; i++) {
        sscanf(hex + 2 * i, "%2x", &byte);
        bytes[i] = (uint8_t)byte;
    }
    struct sock_address a = tagged(room, family, bytes, len);
    int r = sock_open_v2((int)family, 2, &fd);
    printf("%d\n", r ? r : sock_connect_v2(fd, &a, port));
    return 0;
}

/* A server and a client of it, at a path, in one guest. */
static int paths(const char *path)
{
    uint8_t room[128], mine[128];
    struct sock_address a = tagged(room, 3, path, strlen(path) + 1), me = {mine, 128};
    uint32_t server = 0, client = 0, peer = 0, port;
    char got[16] = "";
    int r = sock_open_v2(3, 2, &server);

    if (r == 0)
        r = sock_bind_v2(server, &a, 0);
    if (r == 0)
        r = sock_listen_v2(server, 4);
    if (r == 0)
        r = sock_open_v2(3, 2, &client);
    if (r == 0)
        r = sock_connect_v2(client, &a, 0);
    if (r == 0)
        r = sock_accept_v1(server, &peer);
    if (r == 0 && send((int)client, "through", 7, 0) != 7)
        r = errno;
    if (r == 0 && recv((int)peer, got, sizeof got, 0) != 7)
        r = errno;
    if (r == 0)
        r = sock_getlocaladdr_v2(server, &me, &port);
    printf("%d %s %u %s\n", r, got, mine[0], (char *)mine + 2);
    return 0;
}

/* Stay in a call, which the tester ends. The listener's backlog is filled first for `connect`. */
static int stay(const char *how)
{
    uint8_t byte;
    uint16_t port;
    uint32_t fd, peer;
    int datagram = strcmp(how, "recv_from") == 0;
    int s = sock_serve(datagram, 0, &port);

    printf("port %u\n", port);
    fflush(stdout);
    if (strcmp(how, "accept") == 0)
        return sock_accept_v1((uint32_t)s, &peer);
    if (strcmp(how, "accept_flags") == 0)
        return sock_accept_v2((uint32_t)s, 0, &peer);
    if (datagram) {
        uint8_t from[128];
        struct sock_address a = {from, sizeof from};
        struct {
            void *bytes;
            uint32_t len;
        } v = {&byte, 1};
        return sock_recv_from_v2((uint32_t)s, &v, 1, &a, 0, &port, &fd, &port);
    }
    if (strcmp(how, "poll") == 0) {
        struct pollfd p = {.fd = s, .events = POLLIN};
        return poll(&p, 1, -1);
    }
    if (strcmp(how, "recv") == 0) {
        if (sock_accept_v1((uint32_t)s, &peer) != 0)
            return 1;
        return (int)recv((int)peer, &byte, 1, 0);
    }
    if (strcmp(how, "send") == 0) {
        static char bytes[1 << 20];

        if (sock_accept_v1((uint32_t)s, &peer) != 0)
            return 1;
        while (send((int)peer, bytes, sizeof bytes, 0) > 0)
            ;
        return 1;
    }
    if (strcmp(how, "connect") == 0) {
        static const uint8_t home[4] = {127, 0, 0, 1};
        const struct sock_address a = {home, 4};

        /* One more than may wait. */
        sock_listen((uint32_t)s, 0);
        for (int i = 0; i < 64; i++)
            if (sock_open(1, 2, &fd) != 0 || sock_connect(fd, &a, port) != 0)
                return 1;
    }
    return 1;
}

/* What epoll_oneoff tells: twice of one state nothing the second time. */
static int edges(void)
{
    struct {
        uint64_t data;
        uint8_t type, pad[7];
        uint32_t a, pad2;
        uint64_t timeout, precision;
        uint16_t flags, pad3[3];
    } in[2] = {{.data = 1, .type = 1}, {.data = 2, .type = 0, .a = 1, .timeout = 20000000}};
    struct {
        uint64_t data;
        uint16_t error;
        uint8_t type, pad[5];
        uint64_t nbytes;
        uint16_t flags, pad2[3];
    } out[2];
    static const uint8_t home[4] = {127, 0, 0, 1};
    const struct sock_address a = {home, 4};
    uint32_t client, peer, n;
    uint16_t port;
    char buf[16];
    int s = sock_serve(0, 0, &port), r;

    if (sock_open(1, 2, &client) != 0 || sock_connect(client, &a, port) != 0 ||
        sock_accept_v1((uint32_t)s, &peer) != 0)
        return 1;
    in[0].a = peer;
    for (int round = 0; round < 5; round++) {
        if (round == 0 || round == 2 || round == 4)
            send((int)client, "xy", 2, 0);
        if (round == 3)
            recv((int)peer, buf, 2, 0);
        r = epoll_oneoff(in, out, 2, &n);
        printf("%d", r);
        for (uint32_t i = 0; i < n; i++)
            printf(":%u(%u)", (unsigned)out[i].data, (unsigned)out[i].nbytes);
        printf(" ");
    }
    printf("\n");
    return 0;
}

/* Standard accept beside that of V1: one name, two types. */
static int accepts(void)
{
    static const uint8_t home[4] = {127, 0, 0, 1};
    const struct sock_address a = {home, 4};
    uint8_t room[128] = {0};
    struct sock_address peer_room = {room, 128};
    uint32_t clients[3], peers[3] = {0}, port32;
    uint16_t port;
    int s = sock_serve(0, 0, &port);

    for (int i = 0; i < 3; i++)
        if (sock_open(1, 2, &clients[i]) != 0 || sock_connect(clients[i], &a, port) != 0)
            return 1;
    peers[0] = (uint32_t)accept(s, NULL, NULL);
    int r1 = sock_accept_v1((uint32_t)s, &peers[1]), r2 = sock_accept_v2((uint32_t)s, 4, &peers[2]);
    int r3 = sock_getpeeraddr_v2(clients[0], &peer_room, &port32);
    printf("%d %d %d %d %u.%u.%u.%u %d\n", (int)peers[0] > 0, r1, r2, r3, room[2], room[3], room[4],
           room[5], port32 == port);
    return recv((int)peers[2], room, 1, 0) == -1 && errno == EAGAIN ? 0 : 1;
}

SOCK(sock_getsockopt)
int sock_getsockopt(uint32_t fd, int level, int name, void *value, uint32_t *len);

/* SO_BINDTODEVICE, 14, by every length that it could have. */
static int device(void)
{
    uint32_t fd, len = 16;
    char name[16] = "lo";

    if (sock_open(1, 2, &fd) != 0)
        return 1;
    for (uint32_t n = 0; n <= sizeof name; n++)
        printf("%d ", sock_setsockopt(fd, 0, 14, name, n));
    printf("%d\n", sock_getsockopt(fd, 0, 14, name, &len));
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "connect") == 0)
        return connect_hex(argv[2]);
    if (argc > 2 && strcmp(argv[1], "paths") == 0)
        return paths(argv[2]);
    if (argc > 2 && strcmp(argv[1], "stay") == 0)
        return stay(argv[2]);
    if (argc > 1 && strcmp(argv[1], "edges") == 0)
        return edges();
    if (argc > 1 && strcmp(argv[1], "device") == 0)
        return device();
    if (argc > 1 && strcmp(argv[1], "accepts") == 0)
        return accepts();
    return 2;
}
