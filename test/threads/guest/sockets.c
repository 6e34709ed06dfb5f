/* Threads that share their descriptors and close them under each other: connections, listeners and
 * datagrams, poll, receiving and sending. Argument: how it ends, in the middle of it: `exit`,
 * `trap`, or `stay`, for a time limit. */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../socket/guests/sock.h"

SOCK(sock_connect) int sock_connect(uint32_t fd, const struct sock_address *, uint32_t port);
SOCK(sock_accept) int sock_accept_v1(uint32_t fd, uint32_t *ret);
SOCK(sock_send_to)
int sock_send_to(uint32_t fd, const void *, uint32_t n, const struct sock_address *, uint32_t port,
                 uint32_t flags, uint32_t *len);

#define THREADS 6
#define SHARED 16 /* descriptors, of all */
#define CALLS 400 /* of a thread, before it may end it all */

static _Atomic int shared[SHARED], done;
static _Atomic uint32_t listening; /* port */
static const char *how;
static const uint8_t home[4] = {127, 0, 0, 1};
static const struct sock_address address = {home, 4};

static uint32_t chance(uint32_t *seed, uint32_t n)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 16) % n;
}

/* Whoever has another descriptor in this place closes it, used or not. */
static void share(uint32_t *seed, int fd)
{
    int old = atomic_exchange(&shared[chance(seed, SHARED)], fd);

    if (old > 2)
        close(old);
}

static void step(uint32_t *seed)
{
    char bytes[256] = "x";
    struct {
        void *bytes;
        uint32_t len;
    } v = {bytes, 8};
    struct pollfd p[3];
    uint32_t fd, got;
    uint16_t port;
    int one = shared[chance(seed, SHARED)], s;

    switch (chance(seed, 8)) {
    case 0:
        s = sock_serve(0, 0, &port);
        if (s >= 0)
            listening = port;
        share(seed, s);
        break;
    case 1:
        if (listening && sock_open(1, 2, &fd) == 0) {
            (void)sock_connect(fd, &address, listening);
            share(seed, (int)fd);
        }
        break;
    case 2:
        share(seed, sock_serve(1, 0, &port));
        break;
    case 3:
        for (int i = 0; i < 3; i++)
            p[i] = (struct pollfd){.fd = shared[chance(seed, SHARED)], .events = POLLIN | POLLOUT};
        (void)poll(p, 3, 5);
        break;
    case 4:
        p[0] = (struct pollfd){.fd = one, .events = POLLIN};
        if (poll(p, 1, 5) == 1 && sock_accept_v1((uint32_t)one, &fd) == 0)
            share(seed, (int)fd);
        break;
    case 5:
        p[0] = (struct pollfd){.fd = one, .events = POLLIN};
        if (poll(p, 1, 5) == 1)
            (void)recv(one, bytes, sizeof bytes, 0);
        break;
    case 6:
        (void)sock_send_to((uint32_t)one, &v, 1, &address, listening, 0, &got);
        break;
    default:
        (void)send(one, bytes, 8, 0);
    }
}

static void *work(void *arg)
{
    uint32_t seed = (uint32_t)(uintptr_t)arg * 2654435761u;

    for (unsigned i = 0;; i++) {
        step(&seed);
        if (i == CALLS && atomic_fetch_add(&done, 1) + 1 == THREADS / 2) {
            printf("in the middle\n");
            fflush(stdout);
            if (strcmp(how, "exit") == 0)
                exit(7);
            if (strcmp(how, "trap") == 0)
                __builtin_trap();
        }
    }
    return NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[THREADS];

    how = argc > 1 ? argv[1] : "stay";
    for (uintptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, work,
                           (void *)(i + (argc > 2 ? (uintptr_t)atoi(argv[2]) : 1))))
            return 1;
    work((void *)99);
    return 0;
}
