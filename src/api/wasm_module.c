/* Modules of wasm.h: from bytes, shared between stores, and what they import and export. */
#include "api/wasm_api.h"

static own wasm_module_t *module_ref(wasm_store_t *s, own ssvm_module *m)
{
    struct wasm_ref_t *r = sv_wasm_ref_new(s, SV_WASM_MODULE, m);

    if (!r)
        ssvm_module_delete(m);
    return (wasm_module_t *)r;
}

static own ssvm_module *decode(wasm_store_t *s, const wasm_byte_vec_t *binary)
{
    struct ssvm_engine engine;
    ssvm_module *m = NULL;

    if (!s || !s->store || !binary)
        return NULL;
    engine.engine = sv_wasm_store(s)->engine;
    ssvm_error_delete(ssvm_module_new(&engine, binary->data, binary->size, &m));
    return m;
}

own wasm_module_t *wasm_module_new(wasm_store_t *s, const wasm_byte_vec_t *binary)
{
    ssvm_module *m = decode(s, binary);

    return m ? module_ref(s, m) : NULL;
}

bool wasm_module_validate(wasm_store_t *s, const wasm_byte_vec_t *binary)
{
    ssvm_module *m = decode(s, binary);

    ssvm_module_delete(m);
    return m != NULL;
}

/* The serial form is the binary itself: it is checked again when it is read, so that damage cannot
 * hurt. */
void wasm_module_serialize(const wasm_module_t *module, own wasm_byte_vec_t *out)
{
    const struct sv_module *m = module ? SV_WASM_REF(module)->module->module : NULL;

    if (m)
        wasm_byte_vec_new(out, m->len, (const wasm_byte_t *)m->bytes);
    else
        wasm_byte_vec_new_empty(out);
}

own wasm_module_t *wasm_module_deserialize(wasm_store_t *s, const wasm_byte_vec_t *bytes)
{
    return wasm_module_new(s, bytes);
}

static own ssvm_module *ref_module(ssvm_module *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

own wasm_shared_module_t *wasm_module_share(const wasm_module_t *module)
{
    return module ? (wasm_shared_module_t *)ref_module(SV_WASM_REF(module)->module) : NULL;
}

void wasm_shared_module_delete(own wasm_shared_module_t *shared)
{
    ssvm_module_delete((ssvm_module *)shared);
}

own wasm_module_t *wasm_module_obtain(wasm_store_t *s, const wasm_shared_module_t *shared)
{
    ssvm_module *m = (ssvm_module *)(uintptr_t)shared;

    if (!s || !s->store || !m || m->engine != sv_wasm_store(s)->engine)
        return NULL;
    return module_ref(s, ref_module(m));
}

static own wasm_externtype_t *type_of(const struct sv_types *types, const struct sv_module *m,
                                      enum sv_extern_kind kind, uint32_t index)
{
    switch (kind) {
    case SV_EXTERN_FUNC:
        return (wasm_externtype_t *)sv_wasm_functype(types, m->funcs[index].type);
    case SV_EXTERN_TABLE:
        return (wasm_externtype_t *)sv_wasm_tabletype(types, &m->tables[index].type);
    case SV_EXTERN_MEMORY:
        return (wasm_externtype_t *)sv_wasm_memorytype(&m->memories[index]);
    case SV_EXTERN_GLOBAL:
        return (wasm_externtype_t *)sv_wasm_globaltype(types, &m->globals[index].type);
    default:
        return (wasm_externtype_t *)sv_wasm_tagtype(types, m->tags[index].type);
    }
}

static bool name_of(wasm_name_t *out, struct sv_str name)
{
    wasm_byte_vec_new(out, name.len, name.ptr);
    return out->size == name.len;
}

void wasm_module_imports(const wasm_module_t *module, own wasm_importtype_vec_t *out)
{
    const ssvm_module *mod = module ? SV_WASM_REF(module)->module : NULL;
    const struct sv_module *m = mod ? mod->module : NULL;

    wasm_importtype_vec_new_uninitialized(out, m ? m->nimports : 0);
    for (size_t i = 0; out && i < out->size; i++) {
        const struct sv_import *im = &m->imports[i];
        wasm_name_t from, name;
        bool named = name_of(&from, im->module);

        named = name_of(&name, im->name) && named;
        out->data[i] =
            wasm_importtype_new(&from, &name, type_of(mod->engine->types, m, im->kind, im->index));
        if (!out->data[i] || !named) {
            wasm_importtype_vec_delete(out);
            return;
        }
    }
}

void wasm_module_exports(const wasm_module_t *module, own wasm_exporttype_vec_t *out)
{
    const ssvm_module *mod = module ? SV_WASM_REF(module)->module : NULL;
    const struct sv_module *m = mod ? mod->module : NULL;

    wasm_exporttype_vec_new_uninitialized(out, m ? m->nexports : 0);
    for (size_t i = 0; out && i < out->size; i++) {
        const struct sv_export *x = &m->exports[i];
        wasm_name_t name;
        bool named = name_of(&name, x->name);

        out->data[i] =
            wasm_exporttype_new(&name, type_of(mod->engine->types, m, x->kind, x->index));
        if (!out->data[i] || !named) {
            wasm_exporttype_vec_delete(out);
            return;
        }
    }
}
