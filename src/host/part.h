/* Host modules in shared objects of their own, host-NAME.so, opened with the first store that is
 * granted one: who does not grant them does not carry them. A part is made of one folder under
 * src/host; it knows the runtime's structs and must be of this build. It sees the inline functions
 * of headers and what struct sv_host_services hands it, nothing else of the library. */
#ifndef SV_HOST_PART_H
#define SV_HOST_PART_H

#include "host/host.h"

struct sv_vfs_services;

/* What the library does for its parts. */
struct sv_host_services {
    int (*trap)(struct sv_thread *, int code, const char *format, ...)
        __attribute__((format(printf, 3, 4))); /* sv_trap_set */
    const struct sv_vfs_services *vfs;         /* host/wasi/vfs.h */
};

/* What a part has: its one symbol, SV_HOST_PART_SYMBOL. */
struct sv_host_part {
    uint32_t version;  /* of this struct and of the services */
    const char *build; /* sv_native_build_text of what it was built with */
    const struct sv_host_module *const *modules;
    unsigned nmodules;
    const struct sv_host_services **services; /* set when it is opened; NULL: it needs none */
};
#define SV_HOST_PART_VERSION 2
#define SV_HOST_PART_SYMBOL "sv_host_part"
/* The part's symbol, in one of its files; `modules` is an array; needs sv_build_id.h. */
#define SV_HOST_PART_IS(modules, services)                                                         \
    extern __attribute__((visibility("default"))) const struct sv_host_part sv_host_part;          \
    const struct sv_host_part sv_host_part = {SV_HOST_PART_VERSION, SV_BUILD_ID, (modules),        \
                                              SV_COUNT(modules), (services)}

/* The module `id` of the part in the file `name` ("host-state.so", "state"); it stays loaded.
 * SV_ENOTFOUND. Any thread. */
int sv_host_part_module(struct sv_err *err, const char *name, const char *id,
                        const struct sv_host_module **ret);

/* Every module of this version, those of the parts that are installed included. */
void sv_host_each(void (*fn)(void *arg, const struct sv_host_module *), void *arg);
/* sv_host_find in all of them. */
const struct sv_host_func *sv_host_find_all(struct sv_str module, struct sv_str name,
                                            const struct sv_host_module **ret_module);

#endif
