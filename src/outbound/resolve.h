/* Names to addresses, by the system's resolver, with a wait that can end: the question is asked on
 * a thread of its own, which is left behind when nobody waits any more. Decides nothing. */
#ifndef OUTBOUND_RESOLVE_H
#define OUTBOUND_RESOLVE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct out_wait {
    /* Wait until fd can be read: 0, ETIMEDOUT, EINTR. NULL: by poll, until deadline_ns, or until
     * `stopped` (NULL: never) says that nobody waits any more. */
    int (*fn)(void *arg, int fd);
    bool (*stopped)(void *arg);
    void *arg;
    uint64_t deadline_ns; /* CLOCK_MONOTONIC; UINT64_MAX: none */
    uint64_t asker;       /* a hash of who asks: has no more than its part of the questions that are
                             under way, those that it has given up included. 0: of nobody */
};

#define OUT_QUESTIONS_MAX 256 /* under way in the process: beyond, -EAGAIN */
#define OUT_QUESTIONS_OF_ASKER_MAX 32

struct out_query {
    const char *node, *service; /* NULL: none */
    int family, type, flags;    /* as getaddrinfo has them */
};

/* The number of addresses, or -errno: -ENOENT, -ENODATA, -EPROTONOSUPPORT, -EAGAIN, -EAFNOSUPPORT,
 * -ENOMEM, -EIO, or what the wait said. Addresses that are none of IPv4 or IPv6 are left out. */
int out_resolve(const struct out_wait *, const struct out_query *, struct sockaddr_storage *ret,
                unsigned max);

#endif
