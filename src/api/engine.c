/* Engines, their configuration, and the rule for structs that grow. Not the tiers themselves. */
#include <stddef.h>

#include "api/api.h"
#include "api/tier.h"
#include "interp/interp.h"
#include "runtime/pool.h"
#include "runtime/store.h"
#include "runtime/trap.h"

const char *ssvm_version(void)
{
    return SSVM_VERSION;
}

void ssvm_string_delete(own char *s)
{
    sv_free(s);
}

bool sv_api_copy_sized(void *ret, size_t size, const void *from, size_t min)
{
    size_t theirs;

    memcpy(&theirs, from, sizeof theirs);
    if (theirs < min)
        return false;
    for (size_t i = size; i < theirs; i++) {
        if (((const unsigned char *)from)[i] != 0)
            return false;
    }
    memcpy(ret, from, theirs < size ? theirs : size);
    memcpy(ret, &size, sizeof size);
    return true;
}

/* Clear the bits of the comma-separated feature names. */
static own ssvm_error *disable(uint64_t *features, const char *names)
{
    while (*names) {
        size_t len = strcspn(names, ",");
        unsigned i = 0;

        while (i < SV_FEATURE_COUNT &&
               (strlen(sv_feature_name((enum sv_feature)i)) != len ||
                memcmp(sv_feature_name((enum sv_feature)i), names, len) != 0))
            i++;
        if (i == SV_FEATURE_COUNT && len > 0)
            return sv_api_error(SSVM_EUSAGE, "unknown feature '%.*s'", (int)(len < 64 ? len : 64),
                                names);
        if (i < SV_FEATURE_COUNT)
            *features &= ~((uint64_t)1 << i);
        names += len;
        if (*names == ',')
            names++;
    }
    return NULL;
}

/* First version of ssvm_config: up to and with `disable`. */
#define CONFIG_MIN offsetof(ssvm_config, cache_dir)

own ssvm_error *ssvm_engine_new(const ssvm_config *config, own ssvm_engine **ret)
{
    ssvm_config c = SSVM_CONFIG_INIT;
    struct sv_err err = {0};
    ssvm_error *error = NULL;
    ssvm_engine *e;

    if (!ret)
        return sv_api_error(SSVM_EUSAGE, "no place for the engine");
    if (config && !sv_api_copy_sized(&c, sizeof c, config, CONFIG_MIN))
        return sv_api_error(SSVM_EUSAGE, "ssvm_config has a size that this library does not know");
    if (c.tier && strcmp(c.tier, "auto") != 0 && strcmp(c.tier, "interp") != 0 &&
        strcmp(c.tier, "aot") != 0)
        return sv_api_error(SSVM_EUSAGE, "unknown tier '%.64s'", c.tier);
    e = sv_alloc_zero(sizeof *e);
    if (!e)
        return sv_api_nomem();
    if (sv_trap_init_process(&err) < 0 || sv_engine_new(&err, &e->engine) < 0) {
        error = sv_api_error_of(&err);
        goto fail;
    }
    error = sv_tier_new(&c, &e->engine->tier);
    if (error)
        goto fail;
    e->engine->find_native = sv_tier_find;
    e->engine->ask_loop = sv_tier_ask_loop;
    e->engine->tier_delete = sv_tier_delete;
    e->engine->exec = &sv_interp_ops;
    e->engine->deterministic = c.deterministic;
    e->engine->no_guard = c.no_guard;
    e->engine->gc_stress = c.gc_stress;
    e->engine->no_optimise = c.no_optimise;
    if (c.module_costs)
        e->engine->features |= SV_FEATURES_COSTS;
    if (c.disable)
        error = disable(&e->engine->features, c.disable);
    if (error)
        goto fail;
    *ret = e;
    return NULL;
fail:
    ssvm_engine_delete(e);
    return error;
}

void ssvm_engine_trim(ssvm_engine *e)
{
    sv_store_delete_pooled(e->engine);
    sv_pool_trim(e->engine->pool);
}

void ssvm_engine_delete(own ssvm_engine *e)
{
    if (!e)
        return;
    if (e->engine) {
        sv_tier_stop(e->engine->tier);
        sv_engine_unref(e->engine);
    }
    sv_free(e);
}
