/* Sockets for C guests (functions of wasi_snapshot_preview1 beside the standard ones; `ssvm run
 * --allow-connect HOST:PORT --allow-listen ADDR:PORT`). Header only: compile with clang
 * --target=wasm32-wasi. What each function does is in doc/format/sockets.md.
 *
 * Each returns 0 or an errno of WASI, as <errno.h> of wasi-libc has them, or one of enum
 * ssvm_socket_error. A socket is a descriptor: read, write, close, fcntl(F_SETFL) and poll of
 * wasi-libc work on it. */
#ifndef SSVM_SOCKET_GUEST_H
#define SSVM_SOCKET_GUEST_H

#include <stdint.h>
#include <string.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __wasm__
#define SSVM_SOCKET_IMPORT(name)                                                                   \
    __attribute__((import_module("wasi_snapshot_preview1"), import_name(name)))
#else
#define SSVM_SOCKET_IMPORT(name)
#endif

enum ssvm_socket_family {
    SSVM_SOCKET_INET4 = 1,
    SSVM_SOCKET_INET6 = 2,
    SSVM_SOCKET_UNIX = 3 /* --allow-af-unix */
};
enum ssvm_socket_type { SSVM_SOCKET_DATAGRAM = 1, SSVM_SOCKET_STREAM = 2 };
enum ssvm_socket_option {
    SSVM_SOCKET_REUSEADDR = 0,
    SSVM_SOCKET_TYPE = 1,
    SSVM_SOCKET_ERROR = 2,
    SSVM_SOCKET_DONTROUTE = 3,
    SSVM_SOCKET_BROADCAST = 4,
    SSVM_SOCKET_SNDBUF = 5,
    SSVM_SOCKET_RCVBUF = 6,
    SSVM_SOCKET_KEEPALIVE = 7,
    SSVM_SOCKET_OOBINLINE = 8,
    SSVM_SOCKET_LINGER = 9, /* int32_t on or off, int32_t seconds; not in ssvm serve */
    SSVM_SOCKET_RCVLOWAT = 10,
    SSVM_SOCKET_RCVTIMEO = 11, /* struct ssvm_socket_time */
    SSVM_SOCKET_SNDTIMEO = 12,
    SSVM_SOCKET_ACCEPTCONN = 13
};
enum ssvm_socket_error {
    SSVM_SOCKET_EAIADDRFAMILY = 77,
    SSVM_SOCKET_EAIAGAIN = 78,
    SSVM_SOCKET_EAIBADFLAG = 79,
    SSVM_SOCKET_EAIFAIL = 80,
    SSVM_SOCKET_EAIFAMILY = 81,
    SSVM_SOCKET_EAIMEMORY = 82,
    SSVM_SOCKET_EAINODATA = 83,
    SSVM_SOCKET_EAINONAME = 84,
    SSVM_SOCKET_EAISERVICE = 85,
    SSVM_SOCKET_EAISOCKTYPE = 86,
    SSVM_SOCKET_EAISYSTEM = 87
};
#define SSVM_SOCKET_PEEK 1    /* receiving: it will be received again */
#define SSVM_SOCKET_WAITALL 2 /* receiving: all of it, or the end */
#define SSVM_SOCKET_SHUT_RD 1
#define SSVM_SOCKET_SHUT_WR 2
#define SSVM_SOCKET_NONBLOCK 4 /* of an accepted connection */

struct ssvm_socket_time {
    int64_t seconds, microseconds; /* 0 and 0: no limit */
};
/* Bytes of a network's order: 4, 16, or a path of at most 107 and a NUL. */
struct ssvm_socket_tagged {
    uint16_t family; /* enum ssvm_socket_family */
    uint8_t bytes[126];
};
struct ssvm_socket_address {
    struct ssvm_socket_tagged *at;
    uint32_t len; /* sizeof *at */
};
struct ssvm_socket_bytes {
    void *at;
    uint32_t len;
};

SSVM_SOCKET_IMPORT("sock_open_v2")
uint32_t ssvm_socket_open(uint32_t family, uint32_t type, int32_t *ret_fd);
SSVM_SOCKET_IMPORT("sock_bind_v2")
uint32_t ssvm_socket_bind(int32_t fd, const struct ssvm_socket_address *, uint32_t port);
SSVM_SOCKET_IMPORT("sock_listen_v2") uint32_t ssvm_socket_listen(int32_t fd, uint32_t backlog);
SSVM_SOCKET_IMPORT("sock_accept_v2")
uint32_t ssvm_socket_accept(int32_t fd, uint32_t flags, int32_t *ret_fd);
SSVM_SOCKET_IMPORT("sock_connect_v2")
uint32_t ssvm_socket_connect(int32_t fd, const struct ssvm_socket_address *, uint32_t port);
SSVM_SOCKET_IMPORT("sock_recv_v2")
uint32_t ssvm_socket_recv(int32_t fd, const struct ssvm_socket_bytes *to, uint32_t count,
                          uint32_t flags, uint32_t *ret_len, uint32_t *ret_flags);
SSVM_SOCKET_IMPORT("sock_recv_from_v2")
uint32_t ssvm_socket_recv_from(int32_t fd, const struct ssvm_socket_bytes *to, uint32_t count,
                               const struct ssvm_socket_address *, uint32_t flags,
                               uint32_t *ret_port, uint32_t *ret_len, uint32_t *ret_flags);
SSVM_SOCKET_IMPORT("sock_send_v2")
uint32_t ssvm_socket_send(int32_t fd, const struct ssvm_socket_bytes *from, uint32_t count,
                          uint32_t flags, uint32_t *ret_len);
SSVM_SOCKET_IMPORT("sock_send_to_v2")
uint32_t ssvm_socket_send_to(int32_t fd, const struct ssvm_socket_bytes *from, uint32_t count,
                             const struct ssvm_socket_address *, uint32_t port, uint32_t flags,
                             uint32_t *ret_len);
SSVM_SOCKET_IMPORT("sock_shutdown") uint32_t ssvm_socket_shutdown(int32_t fd, uint32_t how);
/* level is 0 */
SSVM_SOCKET_IMPORT("sock_getsockopt")
uint32_t ssvm_socket_get_option(int32_t fd, uint32_t level, uint32_t option, void *ret,
                                uint32_t *inout_len);
SSVM_SOCKET_IMPORT("sock_setsockopt")
uint32_t ssvm_socket_set_option(int32_t fd, uint32_t level, uint32_t option, const void *value,
                                uint32_t len);
SSVM_SOCKET_IMPORT("sock_getlocaladdr_v2")
uint32_t ssvm_socket_local(int32_t fd, const struct ssvm_socket_address *, uint32_t *ret_port);
SSVM_SOCKET_IMPORT("sock_getpeeraddr_v2")
uint32_t ssvm_socket_peer(int32_t fd, const struct ssvm_socket_address *, uint32_t *ret_port);

/* ---- Conveniences ---- */

static inline struct ssvm_socket_address ssvm_socket_address_of(struct ssvm_socket_tagged *at)
{
    struct ssvm_socket_address ret = {at, sizeof *at};

    return ret;
}
/* a.b.c.d */
static inline void ssvm_socket_inet4(struct ssvm_socket_tagged *ret, uint8_t a, uint8_t b,
                                     uint8_t c, uint8_t d)
{
    memset(ret, 0, sizeof *ret);
    ret->family = SSVM_SOCKET_INET4;
    ret->bytes[0] = a;
    ret->bytes[1] = b;
    ret->bytes[2] = c;
    ret->bytes[3] = d;
}

#ifdef __cplusplus
}
#endif

#endif
