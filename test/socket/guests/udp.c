/* A guest that gives datagrams back, by the functions of V2. Prints its port; ends after as many
 * datagrams as it was told. */
#include <stdio.h>
#include <stdlib.h>

#include "sock.h"

struct vec {
    void *bytes;
    uint32_t len;
};
SOCK(sock_recv_from_v2)
int sock_recv_from_v2(uint32_t fd, struct vec *, uint32_t n, struct sock_address *, uint32_t flags,
                      uint16_t *port, uint32_t *len, uint16_t *ro_flags);
SOCK(sock_send_to_v2)
int sock_send_to_v2(uint32_t fd, struct vec *, uint32_t n, struct sock_address *, uint32_t port,
                    uint32_t flags, uint32_t *len);

int main(int argc, char **argv)
{
    unsigned long left = argc > 1 ? strtoul(argv[1], NULL, 10) : 1;
    uint8_t bytes[2048], from[128];
    struct sock_address address = {from, sizeof from};
    uint16_t port, ro_flags;
    int fd = sock_serve(1, 0, &port), r = 0;

    if (fd < 0)
        return 1;
    printf("port %u\n", port);
    fflush(stdout);
    for (; left > 0 && r == 0; left--) {
        struct vec v = {bytes, sizeof bytes};
        uint32_t len;

        r = sock_recv_from_v2((uint32_t)fd, &v, 1, &address, 0, &port, &len, &ro_flags);
        v.len = len;
        if (r == 0)
            r = sock_send_to_v2((uint32_t)fd, &v, 1, &address, port, 0, &len);
    }
    printf("%s %d\n", r == 0 ? "ok" : "error", r);
    return r != 0;
}
