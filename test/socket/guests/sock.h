/* What a C program needs to be a server, natively and as a guest: a socket at an address of this
 * machine. Accepting, receiving, sending and polling are the C library's in both. */
#ifndef TEST_SOCK_H
#define TEST_SOCK_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef __wasm__
#define SOCK(name) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name)))

struct sock_address {
    const void *bytes;
    uint32_t len;
};
SOCK(sock_open) int sock_open(int family, int type, uint32_t *fd);
SOCK(sock_bind) int sock_bind(uint32_t fd, const struct sock_address *, uint32_t port);
SOCK(sock_listen) int sock_listen(uint32_t fd, uint32_t backlog);
SOCK(sock_getlocaladdr)
int sock_getlocaladdr(uint32_t fd, const struct sock_address *, uint32_t *type, uint32_t *port);
SOCK(sock_setsockopt)
int sock_setsockopt(uint32_t fd, int level, int name, const void *value, uint32_t len);

/* Datagram: bound; stream: listening. The descriptor, or -1. */
__attribute__((unused)) static int sock_serve(int datagram, uint16_t port, uint16_t *ret_port)
{
    static const uint8_t home[4] = {127, 0, 0, 1};
    uint8_t room[4];
    const struct sock_address address = {home, sizeof home}, mine = {room, sizeof room};
    uint32_t fd, type, got;
    int one = 1;

    if (sock_open(1, datagram ? 1 : 2, &fd) != 0 ||
        sock_setsockopt(fd, 0, 0, &one, sizeof one) != 0 || sock_bind(fd, &address, port) != 0 ||
        (!datagram && sock_listen(fd, 1024) != 0) || sock_getlocaladdr(fd, &mine, &type, &got) != 0)
        return -1;
    *ret_port = (uint16_t)got;
    return (int)fd;
}
#else
static int sock_serve(int datagram, uint16_t port, uint16_t *ret_port)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, datagram ? SOCK_DGRAM : SOCK_STREAM, 0), one = 1;
    socklen_t len = sizeof address;

    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&address, len) != 0 || (!datagram && listen(fd, 1024) != 0) ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0)
        return -1;
    *ret_port = ntohs(address.sin_port);
    return fd;
}
#endif

#endif
