/* State for guests of ssvm.h: the grant, and the back end over files, which is a plugin. What the
 * functions do is host/state's. */
#include <dlfcn.h>

#include "api/api.h"
#include "base/library.h"
#include "host/part.h"

#define GRANT_MIN sizeof(ssvm_state_grant) /* of the first version: all that there is now */
#define FILES_MIN sizeof(ssvm_state_files)

_Static_assert((int)SSVM_STATE_CALL == (int)SV_STATE_CALL, "public and internal parts agree");

static void *store_data(const struct sv_store *s)
{
    return sv_api_store_of(s)->data;
}

/* Has the back end what the parts need? None at all refuses everything. */
static bool can(const struct ssvm_state_backend *b, unsigned parts)
{
    if (!b || b->abi != SSVM_STATE_ABI)
        return !b;
    return (!(parts & SSVM_STATE_KV) || (b->kv_get && b->kv_set && b->kv_cas && b->kv_delete &&
                                         b->kv_increment && b->kv_list)) &&
           (!(parts & SSVM_STATE_SQL) || b->sql) && (!(parts & SSVM_STATE_SECRET) || b->secret) &&
           (!(parts & SSVM_STATE_QUEUE) || b->queue) && (!(parts & SSVM_STATE_HTTP) || b->http) &&
           (!(parts & SSVM_STATE_CALL) || b->call);
}

/* Read a grant, of these parts (0: its own), to the linker's `ret`, and define the module. */
static own ssvm_error *define(ssvm_linker *l, const ssvm_state_grant *grant, unsigned parts,
                              const char *id, struct sv_state_grant *ret)
{
    ssvm_state_grant g = SSVM_STATE_GRANT_INIT;
    const struct sv_host_module *module;
    struct sv_err err = {0};

    if (!sv_api_copy_sized(&g, sizeof g, grant, GRANT_MIN))
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_state_grant has a size that this library does not know");
    if (!can(g.backend, parts ? parts : g.parts))
        return sv_api_error(SSVM_EUSAGE, "the back end cannot do what ssvm_state_grant grants");
    if (ret->store_data)
        return sv_api_error(SSVM_EUSAGE, "%s is defined in this linker already", id);
    if (sv_host_part_module(&err, "host-state.so", id, &module) < 0)
        return sv_api_error_of(&err);
    *ret = (struct sv_state_grant){.parts = g.parts,
                                   .backend = g.backend,
                                   .data = g.data,
                                   .max_handles = g.max_handles,
                                   .max_bytes = g.max_bytes,
                                   .store_data = store_data};
    return sv_api_define_host(l, module);
}

own ssvm_error *ssvm_linker_define_state(ssvm_linker *l, const ssvm_state_grant *grant)
{
    if (!l || !grant)
        return sv_api_error(SSVM_EUSAGE, "ssvm_linker_define_state needs a linker and a grant");
    return define(l, grant, 0, "state", &l->grants.state);
}

own ssvm_error *ssvm_linker_define_storage(ssvm_linker *l, const ssvm_state_grant *grant)
{
    if (!l || !grant)
        return sv_api_error(SSVM_EUSAGE, "ssvm_linker_define_storage needs a linker and a grant");
    return define(l, grant, SSVM_STATE_KV, "storage", &l->grants.storage);
}

own ssvm_error *ssvm_state_files_open(const ssvm_state_files *files, ssvm_state_grant *ret)
{
    ssvm_state_files f = SSVM_STATE_FILES_INIT;
    ssvm_state_grant g = SSVM_STATE_GRANT_INIT;
    char error[SSVM_STATE_ERROR_MAX] = "state-file.so is of another version";
    const struct ssvm_state_file_library *library;
    struct sv_err err = {0};
    void *handle;

    if (!files || !ret)
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_state_files_open needs files and a place for the grant");
    if (!sv_api_copy_sized(&f, sizeof f, files, FILES_MIN))
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_state_files has a size that this library does not know");
    if ((f.nsecrets && !f.secrets) || (f.nhosts && !f.hosts))
        return sv_api_error(SSVM_EUSAGE, "ssvm_state_files counts entries of a missing array");
    if (sv_library_open(&err, "state-file.so", NULL, &handle) < 0)
        return sv_api_error_of(&err);
    library = dlsym(handle, SSVM_STATE_FILE_SYMBOL);
    if (!library || library->abi != SSVM_STATE_ABI ||
        library->open(f.kv, f.sql, f.secrets, f.nsecrets, f.hosts, f.nhosts, &g.data, error) < 0)
        return sv_api_error(SSVM_EIO, "%s", error);
    g.backend = library->backend;
    g.parts = (f.kv ? SSVM_STATE_KV : 0) | (f.sql ? SSVM_STATE_SQL : 0) |
              (f.nsecrets ? SSVM_STATE_SECRET : 0) | (f.nhosts ? SSVM_STATE_HTTP : 0);
    *ret = g;
    return NULL;
}

void ssvm_state_files_close(ssvm_state_grant *g)
{
    if (!g)
        return;
    if (g->backend && g->backend->release)
        g->backend->release(g->data);
    *g = (ssvm_state_grant)SSVM_STATE_GRANT_INIT;
}
