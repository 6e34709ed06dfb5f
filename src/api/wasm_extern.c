/* Globals, tables, memories, externals and instances of wasm.h. */
#include "api/wasm_api.h"

#define TABLE_MAX UINT32_MAX
#define MEMORY_PAGES_MAX 65536
/* Imports that need no allocation. */
#define INLINE_IMPORTS 16

/* ---- Globals ---- */

own wasm_global_t *wasm_global_new(wasm_store_t *s, const wasm_globaltype_t *type,
                                   const wasm_val_t *v)
{
    struct sv_global_type t = {0};
    union sv_val init = {.v128 = {0, 0}};
    struct sv_global *g;

    if (!s || !s->store || !type || !v || !sv_wasm_valtype_in(type->content->kind, &t.type) ||
        !sv_wasm_to_slot(s, t.type, v, init.slot))
        return NULL;
    t.mut = type->mutability == WASM_VAR;
    g = sv_global_new(sv_wasm_store(s), t, &init);
    return g ? (wasm_global_t *)sv_wasm_ref_of(s, SV_WASM_GLOBAL, g) : NULL;
}

own wasm_globaltype_t *wasm_global_type(const wasm_global_t *global)
{
    struct wasm_ref_t *r = SV_WASM_REF(global);

    return sv_wasm_alive(r)
               ? sv_wasm_globaltype(sv_wasm_store(r->store)->engine->types, &r->global->type)
               : NULL;
}

void wasm_global_get(const wasm_global_t *global, own wasm_val_t *out)
{
    struct wasm_ref_t *r = SV_WASM_REF(global);

    if (!out)
        return;
    *out = (wasm_val_t)WASM_INIT_VAL;
    if (sv_wasm_alive(r) &&
        !sv_wasm_from_slot(r->store, r->global->type.type, r->global->value.slot, out))
        *out = (wasm_val_t)WASM_INIT_VAL;
}

void wasm_global_set(wasm_global_t *global, const wasm_val_t *v)
{
    struct wasm_ref_t *r = SV_WASM_REF(global);
    union sv_val value = {.v128 = {0, 0}};

    if (sv_wasm_alive(r) && v && r->global->type.mut &&
        sv_wasm_to_slot(r->store, r->global->type.type, v, value.slot))
        r->global->value = value;
}

/* ---- Tables ---- */

own wasm_table_t *wasm_table_new(wasm_store_t *s, const wasm_tabletype_t *type, wasm_ref_t *init)
{
    struct sv_table_type t = {0};
    struct sv_table *table;
    sv_ref value;

    if (!s || !s->store || !type || wasm_valkind_is_num(type->element->kind) ||
        !sv_wasm_valtype_in(type->element->kind, &t.type) ||
        !sv_wasm_limits_in(&type->limits, TABLE_MAX, &t.limits) ||
        !sv_wasm_ref_in(s, t.type, init, &value) ||
        sv_table_new(NULL, sv_wasm_store(s), &t, value, &table) < 0)
        return NULL;
    return (wasm_table_t *)sv_wasm_ref_of(s, SV_WASM_TABLE, table);
}

own wasm_tabletype_t *wasm_table_type(const wasm_table_t *table)
{
    struct wasm_ref_t *r = SV_WASM_REF(table);

    return sv_wasm_alive(r)
               ? sv_wasm_tabletype(sv_wasm_store(r->store)->engine->types, &r->table->type)
               : NULL;
}

own wasm_ref_t *wasm_table_get(const wasm_table_t *table, wasm_table_size_t index)
{
    struct wasm_ref_t *r = SV_WASM_REF(table), *ret;

    if (!sv_wasm_alive(r) || index >= r->table->size ||
        !sv_wasm_ref_out(r->store, r->table->type.type, r->table->elems[index], &ret))
        return NULL;
    return ret;
}

bool wasm_table_set(wasm_table_t *table, wasm_table_size_t index, wasm_ref_t *ref)
{
    struct wasm_ref_t *r = SV_WASM_REF(table);

    return sv_wasm_alive(r) && index < r->table->size &&
           sv_wasm_ref_in(r->store, r->table->type.type, ref, &r->table->elems[index]);
}

wasm_table_size_t wasm_table_size(const wasm_table_t *table)
{
    struct wasm_ref_t *r = SV_WASM_REF(table);

    return sv_wasm_alive(r) ? (wasm_table_size_t)r->table->size : 0;
}

bool wasm_table_grow(wasm_table_t *table, wasm_table_size_t delta, wasm_ref_t *init)
{
    struct wasm_ref_t *r = SV_WASM_REF(table);
    sv_ref value;

    return sv_wasm_alive(r) && sv_wasm_ref_in(r->store, r->table->type.type, init, &value) &&
           sv_table_grow(r->table, delta, value) >= 0;
}

/* ---- Memories ---- */

own wasm_memory_t *wasm_memory_new(wasm_store_t *s, const wasm_memorytype_t *type)
{
    struct sv_memory_type t = {.page_shift = SV_PAGE_SHIFT};
    struct sv_memory *m;

    if (!s || !s->store || !type ||
        !sv_wasm_limits_in(&type->limits, MEMORY_PAGES_MAX, &t.limits) ||
        sv_memory_new(NULL, sv_wasm_store(s), &t, NULL, NULL, &m) < 0)
        return NULL;
    return (wasm_memory_t *)sv_wasm_ref_of(s, SV_WASM_MEMORY, m);
}

own wasm_memorytype_t *wasm_memory_type(const wasm_memory_t *memory)
{
    struct wasm_ref_t *r = SV_WASM_REF(memory);

    return sv_wasm_alive(r) ? sv_wasm_memorytype(&r->memory->type) : NULL;
}

byte_t *wasm_memory_data(wasm_memory_t *memory)
{
    struct wasm_ref_t *r = SV_WASM_REF(memory);

    return sv_wasm_alive(r) ? (byte_t *)sv_memory_expose(r->memory) : NULL;
}

size_t wasm_memory_data_size(const wasm_memory_t *memory)
{
    struct wasm_ref_t *r = SV_WASM_REF(memory);

    return sv_wasm_alive(r) ? sv_memory_size(r->memory) : 0;
}

wasm_memory_pages_t wasm_memory_size(const wasm_memory_t *memory)
{
    struct wasm_ref_t *r = SV_WASM_REF(memory);

    return sv_wasm_alive(r) ? (wasm_memory_pages_t)sv_memory_pages(r->memory) : 0;
}

bool wasm_memory_grow(wasm_memory_t *memory, wasm_memory_pages_t delta)
{
    struct wasm_ref_t *r = SV_WASM_REF(memory);

    return sv_wasm_alive(r) && sv_memory_grow(r->memory, delta) >= 0;
}

/* ---- Externals ---- */

wasm_externkind_t wasm_extern_kind(const wasm_extern_t *x)
{
    return x ? (wasm_externkind_t)SV_WASM_REF(x)->kind : WASM_EXTERN_FUNC;
}

own wasm_externtype_t *wasm_extern_type(const wasm_extern_t *x)
{
    struct wasm_ref_t *r = SV_WASM_REF(x);

    if (!sv_wasm_alive(r))
        return NULL;
    switch (r->kind) {
    case SV_WASM_FUNC:
        return wasm_functype_as_externtype(wasm_func_type((const wasm_func_t *)x));
    case SV_WASM_GLOBAL:
        return wasm_globaltype_as_externtype(wasm_global_type((const wasm_global_t *)x));
    case SV_WASM_TABLE:
        return wasm_tabletype_as_externtype(wasm_table_type((const wasm_table_t *)x));
    case SV_WASM_MEMORY:
        return wasm_memorytype_as_externtype(wasm_memory_type((const wasm_memory_t *)x));
    case SV_WASM_TAG:
        return wasm_tagtype_as_externtype(
            sv_wasm_tagtype(sv_wasm_store(r->store)->engine->types, r->tag->type));
    default:
        return NULL;
    }
}

/* The two orders of the kinds. */
static const enum sv_wasm_kind kind_out[SV_EXTERN_COUNT] = {
    [SV_EXTERN_FUNC] = SV_WASM_FUNC,     [SV_EXTERN_TABLE] = SV_WASM_TABLE,
    [SV_EXTERN_MEMORY] = SV_WASM_MEMORY, [SV_EXTERN_GLOBAL] = SV_WASM_GLOBAL,
    [SV_EXTERN_TAG] = SV_WASM_TAG,
};
static const enum sv_extern_kind kind_in[] = {
    [SV_WASM_FUNC] = SV_EXTERN_FUNC,   [SV_WASM_GLOBAL] = SV_EXTERN_GLOBAL,
    [SV_WASM_TABLE] = SV_EXTERN_TABLE, [SV_WASM_MEMORY] = SV_EXTERN_MEMORY,
    [SV_WASM_TAG] = SV_EXTERN_TAG,
};

/* ---- Instances ---- */

/* What is wrong with the imports, or NULL; fills ret[n]. */
static const char *imports_in(wasm_store_t *s, const wasm_extern_vec_t *imports, size_t n,
                              struct sv_extern *ret)
{
    if ((imports ? imports->size : 0) < n || (n && !imports->data))
        return "too few imports";
    for (size_t i = 0; i < n; i++) {
        struct wasm_ref_t *r = SV_WASM_REF(imports->data[i]);

        if (!r || r->kind > SV_WASM_TAG || r->store != s)
            return "an import is missing or of another store";
        ret[i] = (struct sv_extern){.kind = kind_in[r->kind], .ptr = r->ptr};
    }
    return NULL;
}

/* NULL, or what went wrong. */
static own wasm_trap_t *instantiate(wasm_store_t *s, struct sv_module *m,
                                    const struct sv_extern *imports, struct sv_instance **ret)
{
    ssvm_error *error = sv_api_enter(s->store);
    struct sv_err err = {0};
    wasm_trap_t *trap = NULL;
    int r;

    if (error) {
        trap = sv_wasm_trap_of(s, ssvm_error_message(error));
        ssvm_error_delete(error);
        return trap;
    }
    r = sv_instance_new(&err, sv_wasm_store(s), m, imports, ret);
    if (r < 0)
        trap = sv_wasm_trap_call(s, &err, r);
    sv_api_leave(s->store);
    return trap;
}

own wasm_instance_t *wasm_instance_new(wasm_store_t *s, const wasm_module_t *module,
                                       const wasm_extern_vec_t *imports, own wasm_trap_t **ret_trap)
{
    struct sv_extern fixed[INLINE_IMPORTS], *externs = fixed;
    const ssvm_module *m = module ? SV_WASM_REF(module)->module : NULL;
    struct sv_instance *instance = NULL;
    struct wasm_ref_t *r = NULL;
    wasm_trap_t *trap = NULL;
    const char *wrong;

    if (ret_trap)
        *ret_trap = NULL;
    if (!s || !s->store || !m)
        return NULL;
    if (m->module->nimports > INLINE_IMPORTS) {
        externs = sv_alloc_array(m->module->nimports, sizeof *externs);
        if (!externs)
            return NULL;
    }
    wrong = m->engine == sv_wasm_store(s)->engine
                ? imports_in(s, imports, m->module->nimports, externs)
                : "the module belongs to another engine";
    trap = wrong ? sv_wasm_trap_of(s, wrong) : instantiate(s, m->module, externs, &instance);
    if (!trap) {
        r = sv_wasm_ref_of(s, SV_WASM_INSTANCE, instance);
        if (!r)
            trap = sv_wasm_trap_of(s, sv_code_text(SV_ENOMEM));
    }
    if (ret_trap)
        *ret_trap = trap;
    else
        wasm_trap_delete(trap);
    if (externs != fixed)
        sv_free(externs);
    return (wasm_instance_t *)r;
}

void wasm_instance_exports(const wasm_instance_t *instance, own wasm_extern_vec_t *out)
{
    struct wasm_ref_t *r = SV_WASM_REF(instance);
    struct sv_instance *i = sv_wasm_alive(r) ? r->instance : NULL;

    wasm_extern_vec_new_uninitialized(out, i ? i->module->nexports : 0);
    for (uint32_t k = 0; out && k < out->size; k++) {
        struct sv_extern x;

        if (sv_instance_export_at(i, k, &x))
            out->data[k] = (wasm_extern_t *)sv_wasm_ref_of(r->store, kind_out[x.kind], x.ptr);
        if (!out->data[k]) {
            wasm_extern_vec_delete(out);
            return;
        }
    }
}
