/* Native commands for guests of ssvm.h. What they do is host/process's, a shared object of its own.
 */
#include "api/api.h"
#include "host/part.h"

#define CONFIG_MIN sizeof(ssvm_process_config) /* of the first version: all that there is now */

static struct sv_process *inner(ssvm_process *p)
{
    return (struct sv_process *)p;
}

static void *store_data(const struct sv_store *s)
{
    return sv_api_store_of(s)->data;
}

own ssvm_error *ssvm_process_new(const ssvm_process_config *config, own ssvm_process **ret)
{
    ssvm_process_config c = SSVM_PROCESS_CONFIG_INIT;
    const struct sv_host_module *module;
    struct sv_process_config inside;
    struct sv_err err = {0};
    struct sv_process *p;

    if (!config || !ret)
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_process_new needs a configuration and a place for the result");
    if (!sv_api_copy_sized(&c, sizeof c, config, CONFIG_MIN))
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_process_config has a size that this library does not know");
    if (c.ncommands && !c.commands)
        return sv_api_error(SSVM_EUSAGE, "ssvm_process_config counts entries of a missing array");
    if (c.backend && (c.backend->abi != SSVM_PROCESS_ABI || !c.backend->run))
        return sv_api_error(SSVM_EUSAGE, "the back end of ssvm_process_config cannot run commands");
    inside = (struct sv_process_config){.commands = c.commands,
                                        .ncommands = c.ncommands,
                                        .all = c.all,
                                        .path = c.path,
                                        .max_bytes = c.max_bytes,
                                        .backend = c.backend,
                                        .data = c.data,
                                        .store_data = store_data};
    if (sv_host_part_module(&err, "host-process.so", "process", &module) < 0 ||
        ((const struct sv_process_module *)module)->make(&err, &inside, &p) < 0)
        return sv_api_error_of(&err);
    *ret = (ssvm_process *)p;
    return NULL;
}

void ssvm_process_delete(own ssvm_process *p)
{
    sv_process_unref(inner(p));
}

own ssvm_error *ssvm_linker_define_process(ssvm_linker *l, ssvm_process *p)
{
    if (!l || !p)
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_linker_define_process needs a linker and an ssvm_process");
    if (l->grants.process)
        return sv_api_error(SSVM_EUSAGE, "native commands are defined in this linker already");
    l->grants.process = sv_process_ref(inner(p));
    return sv_api_define_host(l, &inner(p)->module->host);
}
