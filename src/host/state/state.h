/* State for guests (`ssvm_state`): the grant, and how the module comes from host-state.so, a shared
 * object of its own: who grants no state has no need of it. */
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

/* What host-state.so has: its one symbol. */
struct sv_state_library {
    uint32_t version;  /* of this struct and what it uses */
    const char *build; /* sv_native_build_text of what it was built with */
    const struct sv_host_module *module;
};
#define SV_STATE_LIBRARY_VERSION 1
#define SV_STATE_LIBRARY_SYMBOL "sv_state_library"

/* The module; the library stays loaded. SV_ENOTFOUND. Any thread. */
int sv_state_module(struct sv_err *err, const struct sv_host_module **ret);

#endif
