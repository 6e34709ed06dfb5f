/* Stores: making, taking apart, handles, gas. What lives in them is made elsewhere. */
#include "runtime/store.h"

#include <string.h>
#include <unistd.h>

#include "runtime/gc.h"
#include "runtime/instance.h"
#include "runtime/signal.h"

/* Handles of one store. */
#define HANDLES_MAX (1u << 24)

const struct sv_store_limits sv_store_limits_default = {
    .memory_bytes = UINT64_C(4) << 30,
    .table_elems = 10000000,
    .stack_bytes = 8u << 20,
    .gc_heap_bytes = UINT64_C(1) << 30,
    .instances = 10000,
    .memories = 10000,
    .tables = 10000,
};

static void apply_defaults(struct sv_store_limits *l)
{
    const struct sv_store_limits *d = &sv_store_limits_default;

    l->memory_bytes = l->memory_bytes ? l->memory_bytes : d->memory_bytes;
    l->table_elems = l->table_elems ? l->table_elems : d->table_elems;
    l->stack_bytes = l->stack_bytes ? l->stack_bytes : d->stack_bytes;
    l->gc_heap_bytes = l->gc_heap_bytes ? l->gc_heap_bytes : d->gc_heap_bytes;
    l->instances = l->instances ? l->instances : d->instances;
    l->memories = l->memories ? l->memories : d->memories;
    l->tables = l->tables ? l->tables : d->tables;
}

static int init_thread(struct sv_err *err, struct sv_store *s)
{
    struct sv_thread *th = &s->thread;

    th->store = s;
    th->wake_fd = -1;
    th->cpu_left_ns = UINT64_MAX;
    th->owner_tid = sv_os_tid();
    if (!sv_pool_take_stack(s->engine->pool, s->limits.stack_bytes, &s->stack_region))
        return sv_fail(err, SV_ENOMEM, SV_NO_OFFSET,
                       "no address space for a wasm stack of %llu bytes",
                       (unsigned long long)s->limits.stack_bytes);
    th->stack = (union sv_slot *)(void *)s->stack_region.base;
    th->stack_size = s->stack_region.committed;
    th->stack_end = (union sv_slot *)(void *)(s->stack_region.base + th->stack_size);
    th->sp = th->stack;
    return 0;
}

int sv_store_new(struct sv_err *err, struct sv_engine *e, const struct sv_store_limits *limits,
                 own struct sv_store **ret)
{
    struct sv_store *s = sv_alloc_zero(sizeof *s);
    int r;

    if (!s)
        return sv_fail_nomem(err, "a store");
    s->engine = sv_engine_ref(e);
    s->limits = limits ? *limits : sv_store_limits_default;
    apply_defaults(&s->limits);
    sv_arena_init(&s->arena, 0);
    r = init_thread(err, s);
    if (r < 0) {
        sv_store_delete(s);
        return r;
    }
    *ret = s;
    return 0;
}

void sv_store_delete(own struct sv_store *s)
{
    bool clean;

    if (!s)
        return;
    /* Before anything that they may look at goes. */
    for (struct sv_func *f = s->host_funcs; f; f = f->next_host)
        if (f->host.release)
            f->host.release(f->host.data);
    if (s->host_states_release)
        s->host_states_release(s->host_states);
    sv_trap_clear(&s->thread.trap);
    if (s->thread.wake_fd >= 0)
        close(s->thread.wake_fd);
    sv_gc_release(s);
    for (struct sv_table *t = s->tables; t; t = t->next)
        sv_free(t->elems);
    for (uint32_t i = 0; i < s->nmemories; i++)
        sv_memory_unref(s->memories[i]);
    sv_free(s->memories);
    for (struct sv_instance *i = s->instances; i; i = i->next)
        sv_module_unref(i->module);
    clean = !s->foreign;
    if (s->stack_region.base)
        sv_pool_give_stack(s->engine->pool, &s->stack_region, clean);
    sv_free(s->handles);
    sv_arena_release(&s->arena);
    sv_engine_unref(s->engine);
    sv_free(s);
}

/* A free handle holds the number of the next free one, as a host reference: the collector passes
 * over it. */
uint32_t sv_store_handle_new(struct sv_store *s, sv_ref r)
{
    uint32_t h = s->free_handle;

    if (h) {
        s->free_handle = (uint32_t)sv_ref_host_payload(s->handles[h]);
    } else {
        if (s->nhandles + 1 >= s->cap_handles) {
            uint32_t cap = s->cap_handles ? s->cap_handles * 2 : 16;
            sv_ref *p = cap <= HANDLES_MAX ? sv_realloc(s->handles, cap * sizeof *p) : NULL;

            if (!p)
                return 0;
            p[0] = SV_REF_NULL;
            s->handles = p;
            s->cap_handles = cap;
        }
        h = ++s->nhandles;
    }
    s->handles[h] = r;
    return h;
}

sv_ref sv_store_handle_get(const struct sv_store *s, uint32_t handle)
{
    return handle && handle <= s->nhandles ? s->handles[handle] : SV_REF_NULL;
}

void sv_store_handle_delete(struct sv_store *s, uint32_t handle)
{
    if (!handle || handle > s->nhandles)
        return;
    s->handles[handle] = sv_ref_host(s->free_handle);
    s->free_handle = handle;
}

void sv_store_set_gas(struct sv_store *s, uint64_t limit)
{
    s->metered = true;
    s->thread.gas_limit = limit > INT64_MAX ? INT64_MAX : limit;
    s->thread.gas = (int64_t)s->thread.gas_limit;
}

uint64_t sv_store_gas_used(const struct sv_store *s)
{
    const struct sv_thread *th = &s->thread;

    if (!s->metered)
        return 0;
    return th->gas < 0 ? th->gas_limit : th->gas_limit - (uint64_t)th->gas;
}
