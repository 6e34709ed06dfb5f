/* Threads of guests of ssvm.h: the grant, and the embedder's view of a thread's store. The threads
 * are runtime/threads.c's. */
#include "api/api.h"

#define CONFIG_MIN sizeof(ssvm_threads_config) /* of the first version: all that there is now */

/* An ssvm_store for host functions that a thread calls. It is inside already, so that a nested call
 * does not begin the time limit anew. */
static bool attach(struct sv_store *thread, const struct sv_store *first)
{
    const ssvm_store *from = sv_api_store_of(first);
    ssvm_store *s = sv_alloc_zero(sizeof *s);

    if (!s)
        return false;
    s->store = thread;
    s->data = from->data;
    s->limits = from->limits;
    s->depth = 1;
    thread->host_data = s;
    return true;
}

static void detach(struct sv_store *thread)
{
    sv_free(sv_api_store_of(thread));
    thread->host_data = NULL;
}

own ssvm_error *ssvm_linker_define_threads(ssvm_linker *l, const ssvm_threads_config *config)
{
    ssvm_threads_config c = SSVM_THREADS_CONFIG_INIT;
    struct sv_err err = {0};

    if (!l || !config)
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_linker_define_threads needs a linker and a configuration");
    if (!sv_api_copy_sized(&c, sizeof c, config, CONFIG_MIN))
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_threads_config has a size that this library does not know");
    if (c.max == 0 || c.max > SV_THREADS_MAX)
        return sv_api_error(SSVM_EUSAGE, "a guest may have 1 to %d threads beside its first",
                            SV_THREADS_MAX);
    if (l->grants.threads.max)
        return sv_api_error(SSVM_EUSAGE, "threads are defined in this linker already");
    l->grants.threads = (struct sv_threads_grant){.max = c.max, .attach = attach, .detach = detach};
    if (sv_linker_define_lazy(&err, l->linker, sv_threads_define_memory, l->linker) < 0)
        return sv_api_error_of(&err);
    return sv_api_define_host(l, &sv_host_threads);
}
