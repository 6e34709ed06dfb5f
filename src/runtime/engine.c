/* Engines: what stores share. Which tier runs the code is put in by api/. */
#include "runtime/pool.h"
#include "runtime/store.h"
#include "wasm/module.h"

int sv_engine_new(struct sv_err *err, own struct sv_engine **ret)
{
    struct sv_engine *e;
    int r = sv_trap_init_process(err);

    if (r < 0)
        return r;
    e = sv_alloc_zero(sizeof *e);
    if (!e)
        return sv_fail_nomem(err, "an engine");
    atomic_init(&e->refs, 1);
    e->features = sv_features_default;
    e->types = sv_types_new();
    e->pool = sv_pool_new();
    if (!e->types || !e->pool) {
        sv_engine_unref(e);
        return sv_fail_nomem(err, "an engine");
    }
    *ret = e;
    return 0;
}

struct sv_engine *sv_engine_ref(struct sv_engine *e)
{
    atomic_fetch_add_explicit(&e->refs, 1, memory_order_relaxed);
    return e;
}

void sv_engine_unref(own struct sv_engine *e)
{
    if (!e || atomic_fetch_sub_explicit(&e->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (e->tier_delete)
        e->tier_delete(e->tier);
    if (e->pool)
        sv_store_delete_pooled(e);
    sv_pool_delete(e->pool);
    if (e->types)
        sv_types_delete(e->types);
    sv_free(e);
}
