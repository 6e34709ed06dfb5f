/* Sockets for guests: the grant. The module is host-socket.so. */
#ifndef SV_HOST_SOCKET_SOCKET_H
#define SV_HOST_SOCKET_SOCKET_H

#include "host/host.h"
#include "ssvm_socket.h"

/* What may be opened: by a back end, or by these lists. All of it lives as long as the store. */
struct sv_socket_grant {
    const struct ssvm_socket_backend *backend; /* NULL: our own, with the lists */
    void *data;
    const char *const *connect; /* "HOST:PORT", "*.HOST:PORT", an address, a network; PORT may be
                                   `*` */
    size_t nconnect;
    const char *const *listen; /* "ADDR:PORT" */
    size_t nlisten;
    bool af_unix;                                 /* in the guest's folders */
    void *(*store_data)(const struct sv_store *); /* the embedder's */
};

#endif
