/* State for guests (`ssvm_state`): the grant. The module is host-state.so. */
#ifndef SV_HOST_STATE_STATE_H
#define SV_HOST_STATE_STATE_H

#include "host/host.h"
#include "ssvm_state.h"

/* Parts that are granted one by one: bits of sv_state_grant.parts. ANY: works on what another gave.
 */
enum sv_state_part {
    SV_STATE_ANY = 0,
    SV_STATE_KV = 1,
    SV_STATE_SQL = 2,
    SV_STATE_SECRET = 4,
    SV_STATE_QUEUE = 8,
    SV_STATE_HTTP = 16,
    SV_STATE_CALL = 32
};

/* The grant of the module. The back end and its data live as long as the store. */
struct sv_state_grant {
    unsigned parts;
    const struct ssvm_state_backend *backend;
    void *data;
    uint32_t max_handles;                         /* open at a time; 0: 64 */
    uint64_t max_bytes;                           /* of an argument, and of an answer; 0: 16 MiB */
    void *(*store_data)(const struct sv_store *); /* the embedder's */
};

#endif
