/* Runs `_initialize` in an engine of its own, which interprets: the module that comes out is
 * compiled, not the one that goes in. What a snapshot holds is the library's business. */
#include "serve/snapshot.h"

#include "serve/grant.h"

#include <stdio.h>
#include <string.h>

struct maker {
    ssvm_engine *engine;
    ssvm_module *module;
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_instance *instance;
};

bool srv_snapshot_wanted(const ssvm_module *m)
{
    static const char name[] = "_initialize";
    size_t n = ssvm_module_nexports(m);

    for (size_t i = 0; i < n; i++) {
        ssvm_extern_kind kind;
        size_t len;
        const char *s = ssvm_module_export(m, i, &len, &kind, NULL);

        if (kind == SSVM_EXTERN_FUNC && len == sizeof name - 1 && memcmp(s, name, len) == 0)
            return true;
    }
    return false;
}

static ssvm_error *initialise(struct maker *m, const char *bytes, size_t len,
                              const ssvm_limits *limits, const struct srv_grant *grant)
{
    ssvm_config config = SSVM_CONFIG_INIT;
    ssvm_wasi nothing = SSVM_WASI_INIT;
    ssvm_error *error;

    config.tier = "interp";
    error = ssvm_engine_new(&config, &m->engine);
    if (!error)
        error = ssvm_module_new(m->engine, bytes, len, &m->module);
    if (!error)
        error = ssvm_store_new(m->engine, limits, &m->store);
    if (!error)
        error = ssvm_linker_new(m->store, &m->linker);
    if (!error)
        error = ssvm_linker_define_wasi(m->linker, &nothing);
    if (!error)
        error = ssvm_linker_define_bindgen(m->linker);
    if (!error)
        error = srv_grant_define(grant, SRV_GRANT_ALL, m->linker);
    if (!error)
        error = ssvm_linker_instantiate(m->linker, m->module, &m->instance);
    return error ? error : ssvm_instance_initialize(m->instance);
}

own char *srv_snapshot_make(const char *bytes, size_t len, size_t max, const ssvm_limits *limits,
                            const struct srv_grant *grant, size_t *ret_len, char *why, size_t size)
{
    ssvm_stats stats = SSVM_STATS_INIT;
    struct maker m = {0};
    char *snapshot = NULL;
    ssvm_error *error = initialise(&m, bytes, len, limits, grant);

    if (!error)
        ssvm_store_stats(m.store, &stats);
    /* What it was told, a clock's time or random bytes, would be the same in all instances; what it
     * said would be said once. */
    if (stats.host_calls)
        snprintf(why, size, "its _initialize calls the host");
    else if (!error)
        error = ssvm_instance_snapshot(m.instance, NULL, 0, &snapshot, ret_len);
    if (error)
        snprintf(why, size, "%s", ssvm_error_message(error));
    if (snapshot && *ret_len > max) {
        snprintf(why, size, "the snapshot is larger than --max-module");
        ssvm_string_delete(snapshot);
        snapshot = NULL;
    }
    ssvm_error_delete(error);
    ssvm_linker_delete(m.linker);
    ssvm_store_delete(m.store);
    ssvm_module_delete(m.module);
    ssvm_engine_delete(m.engine);
    return snapshot;
}
