/* Sockets for guests: the host module `sockets` (doc/format/sockets.md) asks a back end for what a
 * guest must be granted: a socket, its address, a connection, names. The library has one that does
 * it here, by the lists of struct ssvm_sockets (ssvm.h); the server brings its own, whose workers
 * may open no sockets. What is sent and received on a socket that is there is nobody's to ask. */
#ifndef SSVM_SOCKET_H
#define SSVM_SOCKET_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SSVM_SOCKET_ABI 1

/* One call of a guest. */
typedef struct ssvm_socket_op {
    uint64_t deadline_ns; /* CLOCK_MONOTONIC: give up then. UINT64_MAX: none */
    /* Wait for `events` (poll) of fd, or until the deadline: 0; ETIMEDOUT; EINTR: the guest is to
     * end at once, whatever is then returned is not seen. On the guest's thread. */
    int (*wait)(const struct ssvm_socket_op *, int fd, short events);
} ssvm_socket_op;

/* What a name is asked for. */
typedef struct ssvm_socket_query {
    const char *node, *service; /* NULL: none */
    int family;                 /* AF_UNSPEC, AF_INET, AF_INET6 */
    int type;                   /* SOCK_STREAM, SOCK_DGRAM, 0 */
    int flags;                  /* AI_* */
} ssvm_socket_query;

/* Each returns what it says, or -errno of the host: -EACCES for what was not granted. Threads: one
 * call a session at a time; sessions may be anywhere. In a guest with threads another call may
 * come while one is in op->wait. */
typedef struct ssvm_socket_backend {
    uint32_t abi; /* SSVM_SOCKET_ABI */
    /* A store's first call. `data`: of the grant; `store_data`: ssvm_store_data. May be NULL: the
     * session is `data`. */
    int (*open)(void *data, void *store_data, void **ret_session);
    void (*close)(void *session); /* with the store; may be NULL */
    /* A descriptor, the caller's, close-on-exec and non-blocking. */
    int (*socket)(void *session, const ssvm_socket_op *, int family, int type);
    /* 0, or at once -EINPROGRESS. */
    int (*connect)(void *session, const ssvm_socket_op *, int fd, const struct sockaddr *,
                   socklen_t);
    int (*bind)(void *session, const ssvm_socket_op *, int fd, const struct sockaddr *, socklen_t);
    int (*listen)(void *session, const ssvm_socket_op *, int fd, int backlog);
    /* Bytes sent to an address, at once or -EAGAIN. */
    int64_t (*send_to)(void *session, const ssvm_socket_op *, int fd, const void *bytes, size_t len,
                       const struct sockaddr *, socklen_t);
    /* The number of addresses, at most `max`. -ENOENT: no such name; -ENODATA: it has no address;
     * -EPROTONOSUPPORT: no such service; -EAGAIN: perhaps later. */
    int (*resolve)(void *session, const ssvm_socket_op *, const ssvm_socket_query *,
                   struct sockaddr_storage *ret, unsigned max);
} ssvm_socket_backend;

#ifdef __cplusplus
}
#endif

#endif
