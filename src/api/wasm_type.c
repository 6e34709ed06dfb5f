/* The types of wasm.h and their vectors. Knows no stores and no objects. */
#include "api/wasm_api.h"
#include "api/wasm_vec.h"

static bool copy_byte(const wasm_byte_t *from, wasm_byte_t *to)
{
    *to = *from;
    return true;
}
static void delete_byte(wasm_byte_t *b)
{
    (void)b;
}
SV_WASM_VEC(byte, wasm_byte_t, copy_byte, delete_byte)

/* ---- Value types: one constant each, so copying and deleting cannot fail ---- */

static const wasm_valtype_t valtypes[] = {
    {WASM_I32},       {WASM_I64},       {WASM_F32},     {WASM_F64},
    {WASM_V128_KIND}, {WASM_EXTERNREF}, {WASM_FUNCREF},
};

own wasm_valtype_t *wasm_valtype_new(wasm_valkind_t kind)
{
    for (size_t i = 0; i < SV_COUNT(valtypes); i++) {
        if (valtypes[i].kind == kind)
            return (wasm_valtype_t *)&valtypes[i];
    }
    return NULL;
}

void wasm_valtype_delete(own wasm_valtype_t *t)
{
    (void)t;
}

own wasm_valtype_t *wasm_valtype_copy(const wasm_valtype_t *t)
{
    return (wasm_valtype_t *)t;
}

wasm_valkind_t wasm_valtype_kind(const wasm_valtype_t *t)
{
    return t ? t->kind : WASM_I32;
}

SV_WASM_PTR_VEC(valtype)

own wasm_valtype_t *sv_wasm_valtype(const struct sv_types *types, sv_valtype t)
{
    switch (sv_api_kind(types, t)) {
    case SSVM_I32:
        return wasm_valtype_new(WASM_I32);
    case SSVM_I64:
        return wasm_valtype_new(WASM_I64);
    case SSVM_F32:
        return wasm_valtype_new(WASM_F32);
    case SSVM_F64:
        return wasm_valtype_new(WASM_F64);
    case SSVM_V128:
        return wasm_valtype_new(WASM_V128_KIND);
    case SSVM_FUNCREF:
        return wasm_valtype_new(WASM_FUNCREF);
    default:
        return wasm_valtype_new(WASM_EXTERNREF);
    }
}

bool sv_wasm_valtype_in(wasm_valkind_t kind, sv_valtype *ret)
{
    static const sv_valtype numbers[] = {SV_VAL_I32, SV_VAL_I64, SV_VAL_F32, SV_VAL_F64,
                                         SV_VAL_V128};

    if (kind < SV_COUNT(numbers))
        *ret = numbers[kind];
    else if (kind == WASM_EXTERNREF)
        *ret = SV_EXTERNREF;
    else if (kind == WASM_FUNCREF)
        *ret = SV_FUNCREF;
    else
        return false;
    return true;
}

static wasm_limits_t limits_out(const struct sv_limits *l)
{
    const uint32_t top = wasm_limits_max_default;

    return (wasm_limits_t){
        .min = l->min < top ? (uint32_t)l->min : top,
        .max = l->has_max && l->max < top ? (uint32_t)l->max : top,
    };
}

bool sv_wasm_limits_in(const wasm_limits_t *l, uint64_t top, struct sv_limits *ret)
{
    bool has_max = l->max != wasm_limits_max_default;

    if (l->min > top || (has_max && (l->max < l->min || l->max > top)))
        return false;
    *ret =
        (struct sv_limits){.min = l->min, .max = has_max ? l->max : UINT64_MAX, .has_max = has_max};
    return true;
}

/* ---- Function types ---- */

own wasm_functype_t *wasm_functype_new(own wasm_valtype_vec_t *params,
                                       own wasm_valtype_vec_t *results)
{
    wasm_functype_t *t = sv_alloc_zero(sizeof *t);

    if (!t) {
        wasm_valtype_vec_delete(params);
        wasm_valtype_vec_delete(results);
        return NULL;
    }
    t->head.kind = WASM_EXTERN_FUNC;
    if (params)
        t->params = *params;
    if (results)
        t->results = *results;
    return t;
}

void wasm_functype_delete(own wasm_functype_t *t)
{
    if (!t)
        return;
    wasm_valtype_vec_delete(&t->params);
    wasm_valtype_vec_delete(&t->results);
    sv_free(t);
}

own wasm_functype_t *wasm_functype_copy(const wasm_functype_t *t)
{
    wasm_valtype_vec_t params, results;

    if (!t)
        return NULL;
    wasm_valtype_vec_copy(&params, &t->params);
    wasm_valtype_vec_copy(&results, &t->results);
    if (params.size == t->params.size && results.size == t->results.size)
        return wasm_functype_new(&params, &results);
    wasm_valtype_vec_delete(&params);
    wasm_valtype_vec_delete(&results);
    return NULL;
}

const wasm_valtype_vec_t *wasm_functype_params(const wasm_functype_t *t)
{
    return t ? &t->params : NULL;
}

const wasm_valtype_vec_t *wasm_functype_results(const wasm_functype_t *t)
{
    return t ? &t->results : NULL;
}

SV_WASM_PTR_VEC(functype)

static bool valtypes_of(wasm_valtype_vec_t *out, const struct sv_types *types,
                        const sv_valtype *from, uint32_t n)
{
    wasm_valtype_vec_new_uninitialized(out, n);
    for (uint32_t i = 0; i < out->size; i++)
        out->data[i] = sv_wasm_valtype(types, from[i]);
    return out->size == n;
}

own wasm_functype_t *sv_wasm_functype(const struct sv_types *types, const struct sv_type *type)
{
    wasm_valtype_vec_t params, results;

    if (!valtypes_of(&params, types, type->func.params, type->func.nparams))
        return NULL;
    if (!valtypes_of(&results, types, type->func.results, type->func.nresults)) {
        wasm_valtype_vec_delete(&params);
        return NULL;
    }
    return wasm_functype_new(&params, &results);
}

/* ---- Global types ---- */

own wasm_globaltype_t *wasm_globaltype_new(own wasm_valtype_t *content,
                                           wasm_mutability_t mutability)
{
    wasm_globaltype_t *t = content && mutability <= WASM_VAR ? sv_alloc_zero(sizeof *t) : NULL;

    if (!t) {
        wasm_valtype_delete(content);
        return NULL;
    }
    t->head.kind = WASM_EXTERN_GLOBAL;
    t->content = content;
    t->mutability = mutability;
    return t;
}

void wasm_globaltype_delete(own wasm_globaltype_t *t)
{
    if (!t)
        return;
    wasm_valtype_delete(t->content);
    sv_free(t);
}

own wasm_globaltype_t *wasm_globaltype_copy(const wasm_globaltype_t *t)
{
    return t ? wasm_globaltype_new(wasm_valtype_copy(t->content), t->mutability) : NULL;
}

const wasm_valtype_t *wasm_globaltype_content(const wasm_globaltype_t *t)
{
    return t ? t->content : NULL;
}

wasm_mutability_t wasm_globaltype_mutability(const wasm_globaltype_t *t)
{
    return t ? t->mutability : WASM_CONST;
}

SV_WASM_PTR_VEC(globaltype)

own wasm_globaltype_t *sv_wasm_globaltype(const struct sv_types *types,
                                          const struct sv_global_type *t)
{
    return wasm_globaltype_new(sv_wasm_valtype(types, t->type), t->mut ? WASM_VAR : WASM_CONST);
}

/* ---- Table types ---- */

own wasm_tabletype_t *wasm_tabletype_new(own wasm_valtype_t *element, const wasm_limits_t *limits)
{
    wasm_tabletype_t *t = element && limits ? sv_alloc_zero(sizeof *t) : NULL;

    if (!t) {
        wasm_valtype_delete(element);
        return NULL;
    }
    t->head.kind = WASM_EXTERN_TABLE;
    t->element = element;
    t->limits = *limits;
    return t;
}

void wasm_tabletype_delete(own wasm_tabletype_t *t)
{
    if (!t)
        return;
    wasm_valtype_delete(t->element);
    sv_free(t);
}

own wasm_tabletype_t *wasm_tabletype_copy(const wasm_tabletype_t *t)
{
    return t ? wasm_tabletype_new(wasm_valtype_copy(t->element), &t->limits) : NULL;
}

const wasm_valtype_t *wasm_tabletype_element(const wasm_tabletype_t *t)
{
    return t ? t->element : NULL;
}

const wasm_limits_t *wasm_tabletype_limits(const wasm_tabletype_t *t)
{
    return t ? &t->limits : NULL;
}

SV_WASM_PTR_VEC(tabletype)

own wasm_tabletype_t *sv_wasm_tabletype(const struct sv_types *types, const struct sv_table_type *t)
{
    wasm_limits_t limits = limits_out(&t->limits);

    return wasm_tabletype_new(sv_wasm_valtype(types, t->type), &limits);
}

/* ---- Memory types ---- */

own wasm_memorytype_t *wasm_memorytype_new(const wasm_limits_t *limits)
{
    wasm_memorytype_t *t = limits ? sv_alloc_zero(sizeof *t) : NULL;

    if (!t)
        return NULL;
    t->head.kind = WASM_EXTERN_MEMORY;
    t->limits = *limits;
    return t;
}

void wasm_memorytype_delete(own wasm_memorytype_t *t)
{
    sv_free(t);
}

own wasm_memorytype_t *wasm_memorytype_copy(const wasm_memorytype_t *t)
{
    return t ? wasm_memorytype_new(&t->limits) : NULL;
}

const wasm_limits_t *wasm_memorytype_limits(const wasm_memorytype_t *t)
{
    return t ? &t->limits : NULL;
}

SV_WASM_PTR_VEC(memorytype)

own wasm_memorytype_t *sv_wasm_memorytype(const struct sv_memory_type *t)
{
    wasm_limits_t limits = limits_out(&t->limits);

    return wasm_memorytype_new(&limits);
}

/* ---- Tag types ---- */

own wasm_tagtype_t *wasm_tagtype_new(own wasm_functype_t *functype)
{
    wasm_tagtype_t *t = functype ? sv_alloc_zero(sizeof *t) : NULL;

    if (!t) {
        wasm_functype_delete(functype);
        return NULL;
    }
    t->head.kind = WASM_EXTERN_TAG;
    t->functype = functype;
    return t;
}

void wasm_tagtype_delete(own wasm_tagtype_t *t)
{
    if (!t)
        return;
    wasm_functype_delete(t->functype);
    sv_free(t);
}

own wasm_tagtype_t *wasm_tagtype_copy(const wasm_tagtype_t *t)
{
    return t ? wasm_tagtype_new(wasm_functype_copy(t->functype)) : NULL;
}

const wasm_functype_t *wasm_tagtype_functype(const wasm_tagtype_t *t)
{
    return t ? t->functype : NULL;
}

SV_WASM_PTR_VEC(tagtype)

own wasm_tagtype_t *sv_wasm_tagtype(const struct sv_types *types, const struct sv_type *t)
{
    return wasm_tagtype_new(sv_wasm_functype(types, t));
}

/* ---- Extern types ---- */

wasm_externkind_t wasm_externtype_kind(const wasm_externtype_t *t)
{
    return t ? t->kind : WASM_EXTERN_FUNC;
}

#define EXTERNTYPE(name, number)                                                                   \
    wasm_externtype_t *wasm_##name##_as_externtype(wasm_##name##_t *t)                             \
    {                                                                                              \
        return (wasm_externtype_t *)t;                                                             \
    }                                                                                              \
    wasm_##name##_t *wasm_externtype_as_##name(wasm_externtype_t *t)                               \
    {                                                                                              \
        return t && t->kind == (number) ? (wasm_##name##_t *)t : NULL;                             \
    }                                                                                              \
    const wasm_externtype_t *wasm_##name##_as_externtype_const(const wasm_##name##_t *t)           \
    {                                                                                              \
        return (const wasm_externtype_t *)t;                                                       \
    }                                                                                              \
    const wasm_##name##_t *wasm_externtype_as_##name##_const(const wasm_externtype_t *t)           \
    {                                                                                              \
        return t && t->kind == (number) ? (const wasm_##name##_t *)t : NULL;                       \
    }
EXTERNTYPE(functype, WASM_EXTERN_FUNC)
EXTERNTYPE(globaltype, WASM_EXTERN_GLOBAL)
EXTERNTYPE(tabletype, WASM_EXTERN_TABLE)
EXTERNTYPE(memorytype, WASM_EXTERN_MEMORY)
EXTERNTYPE(tagtype, WASM_EXTERN_TAG)

void wasm_externtype_delete(own wasm_externtype_t *t)
{
    if (!t)
        return;
    switch (t->kind) {
    case WASM_EXTERN_FUNC:
        wasm_functype_delete((wasm_functype_t *)t);
        break;
    case WASM_EXTERN_GLOBAL:
        wasm_globaltype_delete((wasm_globaltype_t *)t);
        break;
    case WASM_EXTERN_TABLE:
        wasm_tabletype_delete((wasm_tabletype_t *)t);
        break;
    case WASM_EXTERN_MEMORY:
        wasm_memorytype_delete((wasm_memorytype_t *)t);
        break;
    default:
        wasm_tagtype_delete((wasm_tagtype_t *)t);
        break;
    }
}

own wasm_externtype_t *wasm_externtype_copy(const wasm_externtype_t *t)
{
    if (!t)
        return NULL;
    switch (t->kind) {
    case WASM_EXTERN_FUNC:
        return (wasm_externtype_t *)wasm_functype_copy((const wasm_functype_t *)t);
    case WASM_EXTERN_GLOBAL:
        return (wasm_externtype_t *)wasm_globaltype_copy((const wasm_globaltype_t *)t);
    case WASM_EXTERN_TABLE:
        return (wasm_externtype_t *)wasm_tabletype_copy((const wasm_tabletype_t *)t);
    case WASM_EXTERN_MEMORY:
        return (wasm_externtype_t *)wasm_memorytype_copy((const wasm_memorytype_t *)t);
    default:
        return (wasm_externtype_t *)wasm_tagtype_copy((const wasm_tagtype_t *)t);
    }
}

SV_WASM_PTR_VEC(externtype)

/* ---- Import and export types ---- */

struct wasm_importtype_t {
    wasm_name_t module, name;
    wasm_externtype_t *type;
};
struct wasm_exporttype_t {
    wasm_name_t name;
    wasm_externtype_t *type;
};

/* An empty vector is the caller's empty name, or a copy that failed: `size` tells which. */
static bool name_copied(const wasm_name_t *from, const wasm_name_t *to)
{
    return from->size == to->size;
}

own wasm_importtype_t *wasm_importtype_new(own wasm_name_t *module, own wasm_name_t *name,
                                           own wasm_externtype_t *type)
{
    wasm_importtype_t *t = module && name && type ? sv_alloc_zero(sizeof *t) : NULL;

    if (!t) {
        wasm_name_delete(module);
        wasm_name_delete(name);
        wasm_externtype_delete(type);
        return NULL;
    }
    t->module = *module;
    t->name = *name;
    t->type = type;
    return t;
}

void wasm_importtype_delete(own wasm_importtype_t *t)
{
    if (!t)
        return;
    wasm_name_delete(&t->module);
    wasm_name_delete(&t->name);
    wasm_externtype_delete(t->type);
    sv_free(t);
}

own wasm_importtype_t *wasm_importtype_copy(const wasm_importtype_t *t)
{
    wasm_importtype_t *copy;
    wasm_name_t module, name;

    if (!t)
        return NULL;
    wasm_name_copy(&module, &t->module);
    wasm_name_copy(&name, &t->name);
    copy = wasm_importtype_new(&module, &name, wasm_externtype_copy(t->type));
    if (copy && (!name_copied(&t->module, &copy->module) || !name_copied(&t->name, &copy->name))) {
        wasm_importtype_delete(copy);
        return NULL;
    }
    return copy;
}

const wasm_name_t *wasm_importtype_module(const wasm_importtype_t *t)
{
    return t ? &t->module : NULL;
}

const wasm_name_t *wasm_importtype_name(const wasm_importtype_t *t)
{
    return t ? &t->name : NULL;
}

const wasm_externtype_t *wasm_importtype_type(const wasm_importtype_t *t)
{
    return t ? t->type : NULL;
}

SV_WASM_PTR_VEC(importtype)

own wasm_exporttype_t *wasm_exporttype_new(own wasm_name_t *name, own wasm_externtype_t *type)
{
    wasm_exporttype_t *t = name && type ? sv_alloc_zero(sizeof *t) : NULL;

    if (!t) {
        wasm_name_delete(name);
        wasm_externtype_delete(type);
        return NULL;
    }
    t->name = *name;
    t->type = type;
    return t;
}

void wasm_exporttype_delete(own wasm_exporttype_t *t)
{
    if (!t)
        return;
    wasm_name_delete(&t->name);
    wasm_externtype_delete(t->type);
    sv_free(t);
}

own wasm_exporttype_t *wasm_exporttype_copy(const wasm_exporttype_t *t)
{
    wasm_exporttype_t *copy;
    wasm_name_t name;

    if (!t)
        return NULL;
    wasm_name_copy(&name, &t->name);
    copy = wasm_exporttype_new(&name, wasm_externtype_copy(t->type));
    if (copy && !name_copied(&t->name, &copy->name)) {
        wasm_exporttype_delete(copy);
        return NULL;
    }
    return copy;
}

const wasm_name_t *wasm_exporttype_name(const wasm_exporttype_t *t)
{
    return t ? &t->name : NULL;
}

const wasm_externtype_t *wasm_exporttype_type(const wasm_exporttype_t *t)
{
    return t ? t->type : NULL;
}

SV_WASM_PTR_VEC(exporttype)
