/* Stores of ssvm.h: limits, cancellation, statistics, and the gate through which every call enters.
 */
#include <pthread.h>

#include "api/api.h"
#include "base/clock.h"
#include "host/bindgen/bindgen.h"
#include "runtime/gc.h"
#include "runtime/profile.h"

#define NS_PER_MS UINT64_C(1000000)
#define OPEN_FILES_DEFAULT 1024

void ssvm_limits_default(ssvm_limits *ret)
{
    const struct sv_store_limits *d = &sv_store_limits_default;

    if (!ret)
        return;
    *ret = (ssvm_limits){
        .size = sizeof *ret,
        .memory_bytes = d->memory_bytes,
        .table_elems = d->table_elems,
        .stack_bytes = d->stack_bytes,
        .gc_heap_bytes = d->gc_heap_bytes,
        .open_files = OPEN_FILES_DEFAULT,
        .instances = d->instances,
    };
}

/* First version of ssvm_limits: all that there is now. */
#define LIMITS_MIN sizeof(ssvm_limits)

/* The caller's limits over the defaults. */
static own ssvm_error *limits_from(const ssvm_limits *limits, ssvm_limits *ret)
{
    ssvm_limits given = SSVM_LIMITS_INIT;

    ssvm_limits_default(ret);
    if (limits && !sv_api_copy_sized(&given, sizeof given, limits, LIMITS_MIN))
        return sv_api_error(SSVM_EUSAGE, "ssvm_limits has a size that this library does not know");
#define TAKE(field)                                                                                \
    if (given.field)                                                                               \
    ret->field = given.field
    TAKE(memory_bytes);
    TAKE(table_elems);
    TAKE(stack_bytes);
    TAKE(gc_heap_bytes);
    TAKE(gas);
    TAKE(wall_ms);
    TAKE(cpu_ms);
    TAKE(output_bytes);
    TAKE(open_files);
    TAKE(instances);
#undef TAKE
    return NULL;
}

own ssvm_error *ssvm_store_new(ssvm_engine *e, const ssvm_limits *limits, own ssvm_store **ret)
{
    struct sv_store_limits l = sv_store_limits_default;
    struct sv_err err;
    ssvm_error *error;
    ssvm_store *s;

    sv_err_init(&err);
    if (!e || !ret)
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_store_new needs an engine and a place for the store");
    s = sv_alloc_zero(sizeof *s);
    if (!s)
        return sv_api_nomem();
    error = limits_from(limits, &s->limits);
    if (error)
        goto fail;
    l.memory_bytes = s->limits.memory_bytes;
    l.table_elems = s->limits.table_elems;
    l.stack_bytes = s->limits.stack_bytes;
    l.gc_heap_bytes = s->limits.gc_heap_bytes;
    l.instances = s->limits.instances;
    if (sv_store_new(&err, e->engine, &l, &s->store) < 0) {
        error = sv_api_error_of(&err);
        goto fail;
    }
    s->store->host_data = s;
    if (s->limits.gas)
        sv_store_set_gas(s->store, s->limits.gas);
    *ret = s;
    return NULL;
fail:
    sv_free(s);
    return error;
}

void ssvm_store_delete(own ssvm_store *s)
{
    if (!s)
        return;
    sv_profile_delete(s->profile);
    sv_store_delete(s->store);
    sv_bindgen_delete(s->bindgen);
    sv_free(s->initialized.data);
    sv_free(s->bindgen_started.data);
    sv_free(s);
}

void *ssvm_store_data(const ssvm_store *s)
{
    return s ? s->data : NULL;
}

void ssvm_store_set_data(ssvm_store *s, void *data)
{
    if (s)
        s->data = data;
}

void ssvm_store_cancel(ssvm_store *s)
{
    if (!s)
        return;
    atomic_store(&s->cancelled, true);
    sv_store_cancel(s->store);
}

void ssvm_store_resume(ssvm_store *s)
{
    if (!s)
        return;
    atomic_store(&s->cancelled, false);
    sv_store_clear_interrupt(s->store);
}

void ssvm_store_stats(const ssvm_store *s, ssvm_stats *ret)
{
    ssvm_stats now = SSVM_STATS_INIT;
    size_t size;

    if (!s || !ret || ret->size < sizeof size)
        return;
    now.gas_used = s->store->metered ? sv_store_gas_used(s->store) : 0;
    now.memory_peak_bytes = sv_store_memory_peak(s->store);
    now.gc_heap_bytes = s->store->gc ? sv_gc_used(s->store) : 0;
    now.host_calls = sv_store_host_calls(s->store);
    now.threads_cpu_ns = s->store->threads_cpu_ns;
    size = ret->size;
    now.size = size;
    memcpy(ret, &now, size < sizeof now ? size : sizeof now);
}

static ssvm_host_calls host_calls_of(const ssvm_store *s, const struct sv_func *f)
{
    return (ssvm_host_calls){.size = sizeof(ssvm_host_calls),
                             .name = f->host.name,
                             .calls = f->host.calls,
                             .gas = s->store->metered ? f->host.calls * f->cost : 0};
}

bool ssvm_store_host_calls(const ssvm_store *s, size_t i, ssvm_host_calls *ret)
{
    ssvm_host_calls now;
    const struct sv_func *f;
    size_t size;

    if (!s || !ret || ret->size < sizeof size)
        return false;
    for (f = s->store->host_funcs; f && i > 0; i--)
        f = f->next_host;
    if (!f)
        return false;
    now = host_calls_of(s, f);
    size = ret->size;
    now.size = size;
    memcpy(ret, &now, size < sizeof now ? size : sizeof now);
    return true;
}

void ssvm_store_each_host_calls(const ssvm_store *s,
                                void (*each)(void *data, size_t i, const ssvm_host_calls *),
                                void *data)
{
    size_t i = 0;

    if (!s || !each)
        return;
    for (const struct sv_func *f = s->store->host_funcs; f; f = f->next_host, i++) {
        ssvm_host_calls now;

        if (f->host.calls == 0)
            continue;
        now = host_calls_of(s, f);
        each(data, i, &now);
    }
}

/* Nanoseconds, without wrapping; never the number that means "no limit". */
static uint64_t after(uint64_t now_ns, uint64_t ms)
{
    uint64_t ns = ms > UINT64_MAX / NS_PER_MS ? UINT64_MAX : ms * NS_PER_MS;

    return ns >= UINT64_MAX - 1 - now_ns ? UINT64_MAX - 1 : now_ns + ns;
}

own ssvm_error *sv_api_enter(ssvm_store *s)
{
    uintptr_t self = (uintptr_t)pthread_self(), none = 0;

    if (!atomic_compare_exchange_strong_explicit(&s->user, &none, self, memory_order_acquire,
                                                 memory_order_relaxed) &&
        none != self)
        return sv_api_error(SSVM_EUSAGE, "the store is in use by another thread");
    s->depth++;
    if (atomic_load_explicit(&s->cancelled, memory_order_relaxed)) {
        int r = sv_trap_set(&s->store->thread, SV_TRAP_CANCELLED, "%s",
                            sv_trap_text(SV_TRAP_CANCELLED));
        ssvm_error *error = sv_api_error_call(s, NULL, r);

        sv_api_leave(s);
        return error;
    }
    if (s->depth == 1 && s->limits.wall_ms)
        sv_store_set_deadline(s->store, after(sv_clock_ns(), s->limits.wall_ms));
    if (s->depth == 1 && s->limits.cpu_ms)
        sv_store_set_cpu_limit(s->store, after(0, s->limits.cpu_ms));
    return NULL;
}

void sv_api_leave(ssvm_store *s)
{
    if (--s->depth == 0)
        atomic_store_explicit(&s->user, 0, memory_order_release);
}

own ssvm_error *sv_api_call(ssvm_store *s, struct sv_func *f, union sv_slot *args)
{
    ssvm_error *error = sv_api_enter(s);

    if (error)
        return error;
    error = sv_api_error_call(s, NULL, sv_func_call(&s->store->thread, f, args));
    sv_api_leave(s);
    return error;
}
