/* Opening host-NAME.so. */
#include "host/part.h"

#include <dlfcn.h>

#include "base/library.h"
#include "host/wasi/vfs.h"
#include "runtime/native.h"

static const struct sv_host_services services = {.trap = sv_trap_set, .vfs = &sv_vfs_services};

static const struct sv_host_module *find(const struct sv_host_part *part, const char *id)
{
    for (unsigned i = 0; i < part->nmodules; i++)
        if (strcmp(part->modules[i]->id, id) == 0)
            return part->modules[i];
    return NULL;
}

int sv_host_part_module(struct sv_err *err, const char *name, const char *id,
                        const struct sv_host_module **ret)
{
    const struct sv_host_part *part;
    void *handle;
    int r = sv_library_open(err, name, NULL, &handle);

    if (r < 0)
        return r;
    part = dlsym(handle, SV_HOST_PART_SYMBOL);
    if (!part || part->version != SV_HOST_PART_VERSION ||
        strcmp(part->build, sv_native_build_text()) != 0)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "%s is of another build", name);
    *ret = find(part, id);
    if (!*ret)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "%s has no module '%s'", name, id);
    if (part->services) /* several threads may say the same */
        __atomic_store_n(part->services, &services, __ATOMIC_RELEASE);
    return 0;
}
