/* Inside of host-socket.so: a store's state, addresses of guests, and the functions' names. */
#ifndef SV_HOST_SOCKET_GUEST_H
#define SV_HOST_SOCKET_GUEST_H

#include <netinet/in.h>
#include <sys/un.h>

#include "host/part.h"
#include "host/socket/socket.h"
#include "host/wasi/vfs.h"

/* Numbers as guests see them. */
enum socket_family { FAMILY_ANY, FAMILY_INET4, FAMILY_INET6, FAMILY_UNIX };
enum socket_type { TYPE_ANY, TYPE_DATAGRAM, TYPE_STREAM };
enum socket_name_error {
    NAME_AGAIN = 78,
    NAME_BADFLAG = 79,
    NAME_FAIL = 80,
    NAME_FAMILY = 81,
    NAME_MEMORY = 82,
    NAME_NODATA = 83,
    NAME_NONAME = 84,
    NAME_SERVICE = 85
};
#define ADDRESS_TAGGED 128    /* bytes of an address with its family */
#define SOCKET_NAME_MAX 1024  /* bytes of a host's name, or a service's */
#define SOCKET_RESULTS_MAX 64 /* addresses of a name */
#define SOCKET_HEARD 256      /* peers that are remembered */
#define SOCKET_BACKLOG_MAX 65535

/* An address of the host, or a path that means one. */
struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in in;
        struct sockaddr_in6 in6;
        struct sockaddr_un un;
        struct sockaddr_storage room;
    };
    socklen_t len;
    int folder; /* AF_UNIX: what holds the path, the caller's to close; -1 */
};

/* Whom a datagram came from, at a socket which answers. */
struct heard {
    int fd;
    struct address from;
};

struct edges;
struct state {
    struct sv_wasi *wasi;
    struct sv_store *store;
    struct sv_socket_grant grant;
    void *session; /* of the back end */
    bool open;
    struct heard *heard; /* SOCKET_HEARD; NULL: none was needed yet */
    struct edges *edges; /* of epoll_oneoff; NULL: likewise */
};

/* What the library does for us. */
extern const struct sv_host_services *services;
#define VFS (services->vfs)

/* One call: what the back end gets. */
struct ask {
    struct ssvm_socket_op op; /* first: it is given back */
    struct sv_call *call;
    int ended; /* negative: the guest is to end */
};
/* The back end's session is there afterwards: 0, or an errno of the guest. */
int ask_begin(struct ask *, struct state *, struct sv_call *);
/* An errno for the guest, or negative, of what the back end returned. */
int ask_result(const struct ask *, int64_t r);

/* The guest's socket: an errno. */
int socket_find(struct state *, uint32_t fd, uint32_t need, struct sv_vfs_file **ret);
/* Where it came from, and may be answered to. */
void heard_note(struct state *, int fd, const struct address *);
bool heard_find(const struct state *, int fd, const struct address *);

/* address.c: a guest's {pointer, length} at `ptr`, with this port. An AF_UNIX path is looked up in
 * the guest's folders; `make`: it is made there. An errno; nothing to close then. */
int address_take(struct state *, struct sv_call *, uint32_t ptr, uint32_t port, bool make,
                 struct address *ret);
void address_release(struct address *);
/* Room for one in guest memory; checked before anything happens, filled in afterwards. */
struct address_room {
    uint8_t *bytes;
    uint32_t len;
};
int address_room(struct sv_call *, uint32_t ptr, struct address_room *ret);
/* Errno: it does not fit. *ret_port in host order. */
int address_put(const struct address_room *, const struct address *, uint16_t *ret_port);

/* local.c: the back end of the lists. */
extern const struct ssvm_socket_backend local_backend;
int local_new(struct sv_err *, const struct sv_socket_grant *, void **ret_session);

/* edges.c */
void edges_delete(own struct edges *);

#define FUNC(name, impl, sig, cost, doc)                                                           \
    int impl(struct state *, struct sv_call *, const union sv_slot *arg);
#include "host/socket/socket.def"
#undef FUNC

#endif
