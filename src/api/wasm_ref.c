/* Engines, stores and references of wasm.h: who owns what, host info, and values on their way in
 * and out. */
#include "api/wasm_api.h"
#include "api/wasm_vec.h"

struct wasm_config_t {
    char unused;
};

own wasm_config_t *wasm_config_new(void)
{
    return sv_alloc_zero(sizeof(wasm_config_t));
}

void wasm_config_delete(own wasm_config_t *c)
{
    sv_free(c);
}

own wasm_engine_t *wasm_engine_new(void)
{
    wasm_engine_t *e = sv_alloc_zero(sizeof *e);
    ssvm_error *error = e ? ssvm_engine_new(NULL, &e->engine) : NULL;

    if (error) {
        ssvm_error_delete(error);
        sv_free(e);
        return NULL;
    }
    return e;
}

own wasm_engine_t *wasm_engine_new_with_config(own wasm_config_t *c)
{
    wasm_config_delete(c);
    return wasm_engine_new();
}

void wasm_engine_delete(own wasm_engine_t *e)
{
    if (!e)
        return;
    ssvm_engine_delete(e->engine);
    sv_free(e);
}

/* ---- Stores ---- */

own wasm_store_t *wasm_store_new(wasm_engine_t *e)
{
    /* The standard knows no limits on numbers: programs make instances by the hundred thousand in
     * one store. */
    ssvm_limits limits = {.size = sizeof limits, .instances = UINT32_MAX};
    wasm_store_t *s = e ? sv_alloc_zero(sizeof *s) : NULL;
    ssvm_error *error = s ? ssvm_store_new(e->engine, &limits, &s->store) : NULL;

    if (!s || error) {
        ssvm_error_delete(error);
        sv_free(s);
        return NULL;
    }
    s->store->store->limits.memories = UINT32_MAX;
    s->store->store->limits.tables = UINT32_MAX;
    s->refs = 1;
    sv_map_init(&s->map);
    s->nomem = sv_wasm_trap_of(s, sv_code_text(SV_ENOMEM));
    if (!s->nomem) {
        wasm_store_delete(s);
        return NULL;
    }
    return s;
}

static void shell_unref(wasm_store_t *s)
{
    if (--s->refs == 0)
        sv_free(s);
}

/* Run the finalizer, once. */
static bool finalize(struct wasm_ref_t *r)
{
    void (*finalizer)(void *) = r->finalizer;

    r->finalizer = NULL;
    if (finalizer)
        finalizer(r->host_info);
    return finalizer != NULL;
}

static void unlink_object(struct wasm_ref_t *r)
{
    if (!r->prev)
        return;
    *r->prev = r->next;
    if (r->next)
        r->next->prev = r->prev;
    r->prev = NULL;
    r->next = NULL;
}

/* Without owners and out of reach of the runtime. */
static void free_object(struct wasm_ref_t *r)
{
    unlink_object(r);
    if (r->kind == SV_WASM_TRAP)
        sv_wasm_trap_release(r->trap);
    else if (r->kind == SV_WASM_MODULE)
        ssvm_module_delete(r->module);
    else if (r->kind == SV_WASM_VALUE && r->store->store)
        sv_store_handle_delete(sv_wasm_store(r->store), r->handle);
    sv_free(r);
}

static void finalize_all(wasm_store_t *s)
{
    bool again;

    do { /* finalizers may make objects */
        again = false;
        for (struct wasm_ref_t *r = s->objects; r; r = r->next)
            again |= finalize(r);
    } while (again);
}

void wasm_store_delete(own wasm_store_t *s)
{
    ssvm_store *guests;

    if (!s || !s->store || s->ending)
        return;
    s->ending = true;
    wasm_trap_delete(s->pending);
    s->pending = NULL;
    wasm_trap_delete(s->nomem);
    s->nomem = NULL;
    finalize_all(s);
    guests = s->store;
    s->store = NULL;
    ssvm_store_delete(guests); /* runs the finalizers of callbacks' environments */
    finalize_all(s);
    s->ending = false;
    for (struct wasm_ref_t *r = s->objects, *next; r; r = next) {
        next = r->next;
        if (r->refs == 0)
            free_object(r);
    }
    sv_map_release(&s->map);
    shell_unref(s);
}

/* ---- Objects ---- */

static struct wasm_ref_t *new_object(wasm_store_t *s, enum sv_wasm_kind kind, void *ptr)
{
    struct wasm_ref_t *r = sv_alloc_zero(sizeof *r);

    if (!r)
        return NULL;
    r->kind = kind;
    r->store = s;
    r->ptr = ptr;
    r->next = s->objects;
    r->prev = &s->objects;
    if (r->next)
        r->next->prev = &r->next;
    s->objects = r;
    return r;
}

static own struct wasm_ref_t *own_object(struct wasm_ref_t *r)
{
    if (r && r->refs++ == 0)
        r->store->refs++;
    return r;
}

wasm_ref_t *sv_wasm_ref_borrow(wasm_store_t *s, enum sv_wasm_kind kind, void *ptr)
{
    struct wasm_ref_t *r = sv_map_find(&s->map, (struct sv_str){(const char *)&ptr, sizeof ptr});

    if (r)
        return r;
    r = new_object(s, kind, ptr);
    if (r && !sv_map_put(&s->map, (struct sv_str){(const char *)&r->ptr, sizeof r->ptr}, r)) {
        free_object(r);
        return NULL;
    }
    if (r)
        r->pinned = true;
    return r;
}

own wasm_ref_t *sv_wasm_ref_of(wasm_store_t *s, enum sv_wasm_kind kind, void *ptr)
{
    return ptr ? own_object(sv_wasm_ref_borrow(s, kind, ptr)) : NULL;
}

own wasm_ref_t *sv_wasm_ref_new(wasm_store_t *s, enum sv_wasm_kind kind, void *ptr)
{
    return own_object(new_object(s, kind, ptr));
}

void wasm_ref_delete(own wasm_ref_t *r)
{
    wasm_store_t *s;

    if (!r || r->refs == 0)
        return;
    s = r->store;
    if (--r->refs > 0)
        return;
    if (!s->ending && (!s->store || !r->pinned)) {
        finalize(r);
        if (r->refs == 0)
            free_object(r);
    }
    shell_unref(s);
}

own wasm_ref_t *wasm_ref_copy(const wasm_ref_t *r)
{
    return own_object(SV_WASM_REF(r));
}

bool wasm_ref_same(const wasm_ref_t *a, const wasm_ref_t *b)
{
    if (a == b)
        return true;
    if (!sv_wasm_alive(a) || !sv_wasm_alive(b) || a->store != b->store ||
        a->kind != SV_WASM_VALUE || b->kind != SV_WASM_VALUE)
        return false;
    return sv_store_handle_get(sv_wasm_store(a->store), a->handle) ==
           sv_store_handle_get(sv_wasm_store(b->store), b->handle);
}

void *wasm_ref_get_host_info(const wasm_ref_t *r)
{
    return r ? r->host_info : NULL;
}

void wasm_ref_set_host_info(wasm_ref_t *r, void *info)
{
    wasm_ref_set_host_info_with_finalizer(r, info, NULL);
}

void wasm_ref_set_host_info_with_finalizer(wasm_ref_t *r, void *info, void (*finalizer)(void *))
{
    if (!r)
        return;
    /* What is replaced by something else is over. */
    if (r->host_info != info)
        finalize(r);
    r->host_info = info;
    r->finalizer = finalizer;
}

#define BASE(name)                                                                                 \
    void wasm_##name##_delete(own wasm_##name##_t *p)                                              \
    {                                                                                              \
        wasm_ref_delete(SV_WASM_REF(p));                                                           \
    }                                                                                              \
    own wasm_##name##_t *wasm_##name##_copy(const wasm_##name##_t *p)                              \
    {                                                                                              \
        return (wasm_##name##_t *)wasm_ref_copy(SV_WASM_REF(p));                                   \
    }                                                                                              \
    bool wasm_##name##_same(const wasm_##name##_t *a, const wasm_##name##_t *b)                    \
    {                                                                                              \
        return wasm_ref_same(SV_WASM_REF(a), SV_WASM_REF(b));                                      \
    }                                                                                              \
    void *wasm_##name##_get_host_info(const wasm_##name##_t *p)                                    \
    {                                                                                              \
        return wasm_ref_get_host_info(SV_WASM_REF(p));                                             \
    }                                                                                              \
    void wasm_##name##_set_host_info(wasm_##name##_t *p, void *info)                               \
    {                                                                                              \
        wasm_ref_set_host_info(SV_WASM_REF(p), info);                                              \
    }                                                                                              \
    void wasm_##name##_set_host_info_with_finalizer(wasm_##name##_t *p, void *info,                \
                                                    void (*finalizer)(void *))                     \
    {                                                                                              \
        wasm_ref_set_host_info_with_finalizer(SV_WASM_REF(p), info, finalizer);                    \
    }                                                                                              \
    wasm_ref_t *wasm_##name##_as_ref(wasm_##name##_t *p)                                           \
    {                                                                                              \
        return SV_WASM_REF(p);                                                                     \
    }                                                                                              \
    const wasm_ref_t *wasm_##name##_as_ref_const(const wasm_##name##_t *p)                         \
    {                                                                                              \
        return SV_WASM_REF(p);                                                                     \
    }

/* `kind` is an expression over the reference `r`. */
#define REF(name, is)                                                                              \
    BASE(name)                                                                                     \
    wasm_##name##_t *wasm_ref_as_##name(wasm_ref_t *r)                                             \
    {                                                                                              \
        return r && (is) ? (wasm_##name##_t *)r : NULL;                                            \
    }                                                                                              \
    const wasm_##name##_t *wasm_ref_as_##name##_const(const wasm_ref_t *r)                         \
    {                                                                                              \
        return r && (is) ? (const wasm_##name##_t *)r : NULL;                                      \
    }

REF(func, r->kind == SV_WASM_FUNC)
REF(global, r->kind == SV_WASM_GLOBAL)
REF(table, r->kind == SV_WASM_TABLE)
REF(memory, r->kind == SV_WASM_MEMORY)
REF(extern, r->kind <= SV_WASM_TAG)
REF(instance, r->kind == SV_WASM_INSTANCE)
REF(module, r->kind == SV_WASM_MODULE)
REF(trap, r->kind == SV_WASM_TRAP)
REF(foreign, r->kind == SV_WASM_FOREIGN)

#define EXTERN(name, number)                                                                       \
    wasm_extern_t *wasm_##name##_as_extern(wasm_##name##_t *p)                                     \
    {                                                                                              \
        return (wasm_extern_t *)p;                                                                 \
    }                                                                                              \
    const wasm_extern_t *wasm_##name##_as_extern_const(const wasm_##name##_t *p)                   \
    {                                                                                              \
        return (const wasm_extern_t *)p;                                                           \
    }                                                                                              \
    wasm_##name##_t *wasm_extern_as_##name(wasm_extern_t *p)                                       \
    {                                                                                              \
        return p && SV_WASM_REF(p)->kind == (number) ? (wasm_##name##_t *)p : NULL;                \
    }                                                                                              \
    const wasm_##name##_t *wasm_extern_as_##name##_const(const wasm_extern_t *p)                   \
    {                                                                                              \
        return p && SV_WASM_REF(p)->kind == (number) ? (const wasm_##name##_t *)p : NULL;          \
    }

EXTERN(func, SV_WASM_FUNC)
EXTERN(global, SV_WASM_GLOBAL)
EXTERN(table, SV_WASM_TABLE)
EXTERN(memory, SV_WASM_MEMORY)

SV_WASM_PTR_VEC(extern)

own wasm_foreign_t *wasm_foreign_new(wasm_store_t *s)
{
    return s && s->store ? (wasm_foreign_t *)sv_wasm_ref_new(s, SV_WASM_FOREIGN, NULL) : NULL;
}

/* ---- Values ---- */

void wasm_val_delete(own wasm_val_t *v)
{
    if (!v)
        return;
    if (wasm_valkind_is_ref(v->kind)) {
        wasm_ref_delete(v->of.ref);
        v->of.ref = NULL;
    }
}

void wasm_val_copy(own wasm_val_t *out, const wasm_val_t *v)
{
    if (!out || !v)
        return;
    *out = *v;
    if (wasm_valkind_is_ref(v->kind))
        out->of.ref = wasm_ref_copy(v->of.ref);
}

static bool copy_val(const wasm_val_t *from, wasm_val_t *to)
{
    wasm_val_copy(to, from);
    return true;
}
SV_WASM_VEC(val, wasm_val_t, copy_val, wasm_val_delete)

bool sv_wasm_ref_in(wasm_store_t *s, sv_valtype t, const wasm_ref_t *ref, sv_ref *ret)
{
    struct wasm_ref_t *r = SV_WASM_REF(ref);
    bool func = sv_heap_top(sv_wasm_store(s)->engine->types, sv_valtype_heap(t)) == SV_HEAP_FUNC;
    sv_ref value;

    if (!r) {
        if (!sv_valtype_nullable(t))
            return false;
        *ret = SV_REF_NULL;
        return true;
    }
    if (r->store != s || (func && r->kind != SV_WASM_FUNC))
        return false;
    if (func) {
        value = (sv_ref)(uintptr_t)r->func;
    } else if (r->kind == SV_WASM_VALUE) {
        value = sv_store_handle_get(sv_wasm_store(s), r->handle);
    } else {
        /* The guest holds the object's address as the payload of a host reference. */
        value = sv_ref_host((uintptr_t)r);
    }
    if (!sv_api_ref_fits(sv_wasm_store(s), t, value))
        return false;
    if (!func && r->kind != SV_WASM_VALUE)
        r->pinned = true;
    *ret = value;
    return true;
}

bool sv_wasm_ref_out(wasm_store_t *s, sv_valtype t, sv_ref value, own wasm_ref_t **ret)
{
    struct wasm_ref_t *r;

    if (value == SV_REF_NULL) {
        *ret = NULL;
        return true;
    }
    if (sv_heap_top(sv_wasm_store(s)->engine->types, sv_valtype_heap(t)) == SV_HEAP_FUNC) {
        r = sv_wasm_ref_of(s, SV_WASM_FUNC, (void *)(uintptr_t)value);
    } else if (sv_ref_is_host(value)) {
        r = own_object((struct wasm_ref_t *)(uintptr_t)sv_ref_host_payload(value));
    } else {
        uint32_t handle = sv_store_handle_new(sv_wasm_store(s), value);

        r = handle ? sv_wasm_ref_new(s, SV_WASM_VALUE, NULL) : NULL;
        if (r)
            r->handle = handle;
        else
            sv_store_handle_delete(sv_wasm_store(s), handle);
    }
    *ret = r;
    return r != NULL;
}

bool sv_wasm_to_slot(wasm_store_t *s, sv_valtype t, const wasm_val_t *v, union sv_slot *ret)
{
    switch (sv_valtype_kind(t)) {
    case SV_VAL_I32:
        ret->i64 = (uint32_t)v->of.i32;
        return v->kind == WASM_I32;
    case SV_VAL_I64:
        ret->s64 = v->of.i64;
        return v->kind == WASM_I64;
    case SV_VAL_F32:
        ret->i64 = 0;
        ret->f32 = v->of.f32;
        return v->kind == WASM_F32;
    case SV_VAL_F64:
        ret->f64 = v->of.f64;
        return v->kind == WASM_F64;
    case SV_VAL_REF:
        return wasm_valkind_is_ref(v->kind) && sv_wasm_ref_in(s, t, v->of.ref, &ret->ref);
    default:
        return false;
    }
}

bool sv_wasm_from_slot(wasm_store_t *s, sv_valtype t, const union sv_slot *slot,
                       own wasm_val_t *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->kind = sv_wasm_valtype(sv_wasm_store(s)->engine->types, t)->kind;
    switch (sv_valtype_kind(t)) {
    case SV_VAL_I32:
        ret->of.i32 = slot->s32;
        return true;
    case SV_VAL_I64:
        ret->of.i64 = slot->s64;
        return true;
    case SV_VAL_F32:
        ret->of.f32 = slot->f32;
        return true;
    case SV_VAL_F64:
        ret->of.f64 = slot->f64;
        return true;
    case SV_VAL_REF:
        return sv_wasm_ref_out(s, t, slot->ref, &ret->of.ref);
    default:
        return true; /* v128: there is no member for it */
    }
}
