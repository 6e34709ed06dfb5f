/* Stores: making, taking apart, handles, gas. What lives in them is made elsewhere. */
#include "runtime/store.h"

#include <string.h>
#include <unistd.h>

#include "runtime/gc.h"
#include "runtime/instance.h"
#include "runtime/native.h"
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

static void delete_empty(own struct sv_store *s)
{
    if (!s)
        return;
    sv_region_delete(s->stack_region);
    sv_region_delete(s->native_region);
    sv_arena_release(&s->arena);
    sv_free(s->memories);
    sv_free(s);
}

void sv_store_delete_pooled(struct sv_engine *e)
{
    struct sv_store *s;

    while ((s = sv_pool_take_any_store(e->pool)))
        delete_empty(s);
}

/* A store with nothing but a clean stack and an arena. */
static own struct sv_store *new_empty(uint64_t stack_bytes)
{
    struct sv_store *s = sv_alloc_zero(sizeof *s);

    if (!s)
        return NULL;
    sv_arena_init(&s->arena, 0);
    s->stack_region = sv_region_new_stack(stack_bytes);
    if (s->stack_region)
        return s;
    delete_empty(s);
    return NULL;
}

static void init_thread(struct sv_store *s)
{
    struct sv_region *region = s->stack_region;
    struct sv_thread *th = &s->thread;

    sv_region_start(region);
    if (s->native_region) /* its predecessor ran native code */
        sv_region_start(s->native_region);
    th->store = s;
    th->wake_fd = -1;
    th->cpu_left_ns = UINT64_MAX;
    th->owner_tid = sv_os_tid();
    th->stack = (union sv_slot *)(void *)region->base;
    th->stack_size = region->committed;
    th->stack_end = (union sv_slot *)(void *)(region->base + th->stack_size);
    th->sp = th->stack;
}

int sv_store_new(struct sv_err *err, struct sv_engine *e, const struct sv_store_limits *limits,
                 own struct sv_store **ret)
{
    struct sv_store_limits l = limits ? *limits : sv_store_limits_default;
    struct sv_store *s;

    apply_defaults(&l);
    s = sv_pool_take_store(e->pool, l.stack_bytes);
    if (!s)
        s = new_empty(l.stack_bytes);
    if (!s) { /* address space is short: what waits in the pool goes first */
        sv_store_delete_pooled(e);
        s = new_empty(l.stack_bytes);
    }
    if (!s)
        return sv_fail(err, SV_ENOMEM, SV_NO_OFFSET,
                       "no memory for a store with a wasm stack of %llu bytes",
                       (unsigned long long)l.stack_bytes);
    s->engine = sv_engine_ref(e);
    s->limits = l;
    s->first = s;
    init_thread(s);
    *ret = s;
    return 0;
}

/* What is left when all that it owned is gone, for the next one. */
static void empty(struct sv_store *s)
{
    struct sv_region *stack = s->stack_region, *native = s->native_region;
    struct sv_memory **memories = s->memories;
    uint32_t cap_memories = s->cap_memories;
    struct sv_arena arena;

    sv_region_clean(stack, !s->foreign, SV_REGION_HOT_MAX);
    if (native)
        sv_region_clean(native, !s->foreign, SV_REGION_HOT_MAX);
    sv_arena_clear(&s->arena);
    arena = s->arena;
    memset(s, 0, sizeof *s);
    s->arena = arena;
    s->stack_region = stack;
    s->native_region = native;
    s->memories = memories;
    s->cap_memories = cap_memories;
}

/* What a thread's own memories and tables counted for in the first one's store. */
static void give_back(struct sv_store *s)
{
    if (s->first == s)
        return;
    for (const struct sv_table *t = s->tables; t; t = t->next)
        sv_store_give_table(s, t->size);
    for (uint32_t i = 0; i < s->nmemories; i++)
        if (s->memories[i]->store == s)
            sv_store_give_memory(s, sv_memory_size(s->memories[i]));
}

/* Of its shared memories, which belong to no store. */
static uint64_t shared_growth(const struct sv_store *s)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < s->nmemories; i++) {
        const struct sv_memory *m = s->memories[i];

        if (m->shared)
            sum += sv_memory_size(m) - (m->type.limits.min << m->type.page_shift);
    }
    return sum;
}

uint64_t sv_store_memory_now(const struct sv_store *s)
{
    return sv_store_memory_used(s) + shared_growth(s);
}

uint64_t sv_store_memory_peak(const struct sv_store *s)
{
    return __atomic_load_n(&s->first->peak_memory, __ATOMIC_RELAXED) + shared_growth(s);
}

void sv_store_delete(own struct sv_store *s)
{
    struct sv_engine *e;

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
    give_back(s);
    for (struct sv_table *t = s->tables; t; t = t->next)
        sv_free(t->elems);
    sv_region_note_faults();
    for (uint32_t i = 0; i < s->nmemories; i++)
        sv_memory_unref(s->memories[i]);
    for (struct sv_instance *i = s->instances; i; i = i->next) {
        sv_native_unref((struct sv_native *)i->native);
        sv_module_unref(i->module);
    }
    sv_free(s->handles);
    e = s->engine;
    empty(s);
    delete_empty(sv_pool_give_store(e->pool, s));
    sv_engine_unref(e);
}

uint64_t sv_store_host_calls(const struct sv_store *s)
{
    uint64_t sum = 0;

    for (const struct sv_func *f = s->host_funcs; f; f = f->next_host)
        sum += f->host.calls;
    return sum + s->threads_host_calls;
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

uint64_t sv_store_gas_left(const struct sv_store *s)
{
    const struct sv_thread *th = &s->thread;

    if (!s->metered || th->gas_limit == INT64_MAX)
        return UINT64_MAX;
    return th->gas < 0 ? 0 : (uint64_t)th->gas;
}
