/* Asks for a name and connects to what it is said to mean. Arguments, or the words of the body:
 * NAME PORT. A line for each address: ADDRESS ERRNO TEXT, what came from there. First the error of
 * asking, or the number of addresses. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sock.h"

SOCK(sock_connect) int sock_connect(uint32_t fd, const struct sock_address *, uint32_t port);

struct data {
    uint8_t port[2], rest[24];
};
struct node_address {
    uint8_t family, pad[3];
    uint32_t len;
    struct data *bytes;
};
struct node {
    uint16_t flags;
    uint8_t family, type, protocol, pad[3];
    uint32_t address_len;
    struct node_address *address;
    char *name;
    uint32_t name_len;
    struct node *next;
};
SOCK(sock_getaddrinfo)
int sock_getaddrinfo(const char *name, uint32_t name_len, const char *service, uint32_t service_len,
                     const struct node *hints, struct node **first, uint32_t nodes, uint32_t *n);

#define NODES 64

static void visit(const struct node *node, unsigned port)
{
    const uint8_t *p = node->address->bytes->rest;
    struct sock_address to = {p, 4};
    char text[64] = "";
    uint32_t fd;
    int r;

    if (node->family == 1) {
        printf("%u.%u.%u.%u ", p[0], p[1], p[2], p[3]);
    } else {
        to = (struct sock_address){p + 4, 16};
        for (int i = 0; i < 16; i += 2)
            printf("%x%s", p[4 + i] << 8 | p[5 + i], i < 14 ? ":" : " ");
    }
    r = sock_open(node->family, 2, &fd);
    if (r == 0)
        r = sock_connect(fd, &to, port);
    if (r == 0 && recv((int)fd, text, sizeof text - 1, 0) < 0)
        text[0] = '!';
    if (r == 0)
        close((int)fd);
    printf("%d %s\n", r, text);
}

int main(int argc, char **argv)
{
    static struct node nodes[NODES], hints;
    static struct node_address addresses[NODES];
    static struct data bytes[NODES];
    char name[256] = "";
    struct node *first = nodes;
    unsigned port = 0;
    uint32_t n = 0;
    int r;

#ifdef SERVED
    (void)argc, (void)argv;
    printf("Content-Type: text/plain\r\n\r\n");
    if (scanf("%255s %u", name, &port) != 2)
        return 0;
#else
    snprintf(name, sizeof name, "%s", argc > 1 ? argv[1] : "");
    port = argc > 2 ? (unsigned)atoi(argv[2]) : 0;
#endif
    for (int i = 0; i < NODES; i++) {
        addresses[i].bytes = &bytes[i];
        nodes[i].address = &addresses[i];
        nodes[i].next = i + 1 < NODES ? &nodes[i + 1] : NULL;
    }
    r = sock_getaddrinfo(name, (uint32_t)strlen(name), "", 0, &hints, &first, NODES, &n);
    printf("%s %u\n", r ? "error" : "found", r ? (unsigned)r : n);
    for (uint32_t i = 0; i < n; i++)
        visit(&nodes[i], port);
    return 0;
}
