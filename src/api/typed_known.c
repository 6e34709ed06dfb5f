/* What typed calls know of a module, found out once for all of its instances: signatures of its
 * functions, and which functions are its allocator. */
#include <stdatomic.h>

#include "api/typed.h"

#define NONE UINT32_MAX

struct known {
    uint32_t malloc, free; /* indexes of exports; NONE */
    uint32_t n;
    _Atomic(struct sv_bindgen_sig *) sigs[]; /* by export; NULL: nobody has asked */
};

static void release(void *data)
{
    struct known *k = data;

    for (uint32_t i = 0; i < k->n; i++)
        sv_free(atomic_load_explicit(&k->sigs[i], memory_order_relaxed));
    sv_free(k);
}

static struct known *known_of(struct sv_module *m)
{
    struct known *k = atomic_load_explicit(&m->typed, memory_order_acquire);
    void *none = NULL;

    if (k)
        return k;
    k = sv_alloc_zero(sizeof *k + m->nexports * sizeof k->sigs[0]);
    if (!k)
        return NULL;
    k->n = m->nexports;
    sv_typed_find_allocator(m, &k->malloc, &k->free);
    /* The same value from every thread. */
    __atomic_store_n(&m->typed_release, release, __ATOMIC_RELAXED);
    if (atomic_compare_exchange_strong(&m->typed, &none, k))
        return k;
    release(k);
    return none;
}

static bool find(const struct sv_instance *inst, uint32_t index, struct sv_func **ret)
{
    struct sv_extern x;

    *ret = NULL;
    if (index == NONE)
        return true;
    if (!sv_instance_export_at((struct sv_instance *)inst, index, &x))
        return false;
    *ret = x.func;
    return true;
}

own ssvm_error *sv_typed_know_allocator(struct sv_typed *t)
{
    const struct known *k = known_of(t->inst->module);

    return k && find(t->inst, k->malloc, &t->malloc_func) && find(t->inst, k->free, &t->free_func)
               ? NULL
               : sv_api_nomem();
}

/* The calls of the store's host functions so far, in the list's order; NULL: no memory. */
static own uint64_t *save_calls(const struct sv_store *s)
{
    size_t n = 0;
    uint64_t *calls;

    for (const struct sv_func *f = s->host_funcs; f; f = f->next_host)
        n++;
    calls = sv_alloc_array(n + 1, sizeof *calls);
    n = 0;
    for (const struct sv_func *f = calls ? s->host_funcs : NULL; f; f = f->next_host)
        calls[n++] = f->host.calls;
    return calls;
}

/* The same functions: a descriptor makes none. */
static void restore_calls(struct sv_store *s, own uint64_t *calls)
{
    size_t n = 0;

    for (struct sv_func *f = s->host_funcs; f; f = f->next_host)
        f->host.calls = calls[n++];
    sv_free(calls);
}

own ssvm_error *sv_typed_know_signature(struct sv_typed *t, uint32_t index,
                                        const struct sv_bindgen_sig **ret)
{
    struct known *k = known_of(t->inst->module);
    struct sv_thread *th = &t->store->store->thread;
    struct sv_bindgen_sig *sig, *none = NULL;
    const struct sv_export *descriptor;
    int64_t gas = th->gas;
    uint64_t *calls;
    ssvm_error *e;

    if (!k)
        return sv_api_nomem();
    *ret = atomic_load_explicit(&k->sigs[index], memory_order_acquire);
    if (*ret)
        return NULL;
    descriptor = sv_typed_descriptor(t->inst->module, index);
    if (!descriptor)
        return NULL;
    sig = sv_alloc(sizeof *sig);
    calls = save_calls(th->store);
    if (!sig || !calls) {
        sv_free(sig);
        sv_free(calls);
        return sv_api_nomem();
    }
    e = sv_typed_describe(t->store, t->bindgen, t->inst, descriptor, sig);
    /* A call costs the same whether it was the one that asked or not. */
    restore_calls(th->store, calls);
    if (e) {
        sv_free(sig);
        return e;
    }
    th->gas = gas;
    *ret = sig;
    if (!atomic_compare_exchange_strong(&k->sigs[index], &none, sig)) {
        sv_free(sig);
        *ret = none;
    }
    return NULL;
}
