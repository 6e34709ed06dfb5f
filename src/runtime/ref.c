/* Run-time types of references: ref.test, ref.cast, br_on_cast. Not static typing: that is
 * wasm/types.h. */
#include "runtime/gc.h"
#include "runtime/instance.h"

static bool any_matches(const struct sv_types *types, sv_ref r, uint32_t heap)
{
    const struct sv_type *t;

    if (sv_ref_is_i31(r))
        return heap == SV_HEAP_ANY || heap == SV_HEAP_EQ || heap == SV_HEAP_I31;
    if (sv_ref_is_host(r))
        return heap == SV_HEAP_ANY;
    t = sv_types_get(types, ((const struct sv_object *)(uintptr_t)r)->type_id);
    switch (heap) {
    case SV_HEAP_ANY:
    case SV_HEAP_EQ:
        return true;
    case SV_HEAP_STRUCT:
        return t->form == SV_FORM_STRUCT;
    case SV_HEAP_ARRAY:
        return t->form == SV_FORM_ARRAY;
    default:
        return heap >= SV_HEAP_CONCRETE &&
               sv_type_matches(t, sv_types_get(types, heap - SV_HEAP_CONCRETE));
    }
}

bool sv_ref_matches(struct sv_store *s, sv_ref r, sv_valtype target)
{
    const struct sv_types *types = s->engine->types;
    uint32_t heap = sv_valtype_heap(target);

    if (r == SV_REF_NULL)
        return sv_valtype_nullable(target);
    switch (sv_heap_top(types, heap)) {
    case SV_HEAP_FUNC:
        if (heap < SV_HEAP_CONCRETE)
            return heap == SV_HEAP_FUNC;
        return sv_type_matches(((const struct sv_func *)(uintptr_t)r)->type,
                               sv_types_get(types, heap - SV_HEAP_CONCRETE));
    case SV_HEAP_ANY:
        return any_matches(types, r, heap);
    case SV_HEAP_EXTERN:
        return heap == SV_HEAP_EXTERN;
    case SV_HEAP_EXN:
        return heap == SV_HEAP_EXN;
    default:
        return false;
    }
}
