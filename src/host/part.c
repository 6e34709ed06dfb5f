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

/* The part in the file `name`, with the library's services. */
static int open_part(struct sv_err *err, const char *name, const struct sv_host_part **ret)
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
    if (part->services) /* several threads may say the same */
        __atomic_store_n(part->services, &services, __ATOMIC_RELEASE);
    *ret = part;
    return 0;
}

int sv_host_part_module(struct sv_err *err, const char *name, const char *id,
                        const struct sv_host_module **ret)
{
    const struct sv_host_part *part;
    int r = open_part(err, name, &part);

    if (r < 0)
        return r;
    *ret = find(part, id);
    return *ret ? 0 : sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "%s has no module '%s'", name, id);
}

static const char *const part_files[] = {
#define HOST_MODULE(descriptor)
#define HOST_FILE(name) name,
#define HOST_KNOWN(module, what, then)
#define HOST_PART(module, prefix, what, then)
#include "host/modules.def"
#undef HOST_MODULE
#undef HOST_FILE
#undef HOST_KNOWN
#undef HOST_PART
};

void sv_host_each(void (*fn)(void *arg, const struct sv_host_module *), void *arg)
{
    for (unsigned i = 0; i < sv_host_nmodules; i++)
        fn(arg, sv_host_modules[i]);
    for (unsigned i = 0; i < SV_COUNT(part_files); i++) {
        const struct sv_host_part *part;

        if (open_part(NULL, part_files[i], &part) < 0)
            continue;
        for (unsigned k = 0; k < part->nmodules; k++)
            fn(arg, part->modules[k]);
    }
}

struct wanted {
    struct sv_str module, name;
    const struct sv_host_func *func;
    const struct sv_host_module *of;
};

static void look(void *arg, const struct sv_host_module *m)
{
    struct wanted *w = arg;

    if (w->func)
        return;
    w->func = sv_host_module_find(m, w->module, w->name);
    w->of = m;
}

const struct sv_host_func *sv_host_find_all(struct sv_str module, struct sv_str name,
                                            const struct sv_host_module **ret_module)
{
    struct wanted w = {.module = module, .name = name};

    sv_host_each(look, &w);
    if (w.func)
        *ret_module = w.of;
    return w.func;
}
