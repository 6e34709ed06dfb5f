/* Native commands for guests (`ssvm_process`): what is granted. The module is host-process.so. */
#ifndef SV_HOST_PROCESS_PROCESS_H
#define SV_HOST_PROCESS_PROCESS_H

#include "host/host.h"
#include "ssvm_process.h"

struct sv_process_config {
    const char *const *commands; /* names and paths; ignored with a back end */
    size_t ncommands;
    bool all;
    const char *path;   /* where names are looked up; NULL: the usual folders */
    uint64_t max_bytes; /* that a run is made of, and that it writes; 0: 16 MiB */
    const struct ssvm_process_backend *backend; /* NULL: commands run here */
    void *data;
    void *(*store_data)(const struct sv_store *); /* the embedder's */
};

/* The grant of the module, made once: what a name means does not change. Shared by stores. */
struct sv_process {
    const struct sv_process_module *module;
    _Atomic uint32_t refs;
};
struct sv_process_module {
    struct sv_host_module host; /* "process" of host-process.so; its grant is a struct sv_process */
    int (*make)(struct sv_err *, const struct sv_process_config *, own struct sv_process **ret);
    void (*release)(own struct sv_process *);
};

static inline struct sv_process *sv_process_ref(struct sv_process *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}
static inline void sv_process_unref(struct sv_process *p)
{
    if (p && atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) == 1)
        p->module->release(p);
}

#endif
