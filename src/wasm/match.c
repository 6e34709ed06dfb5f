/* Matching of types (spec 3.3): heap types, references, values. Adds nothing to the registry. */
#include "wasm/types.h"

static uint32_t form_heap(const struct sv_type *type)
{
    static const uint8_t heaps[] = {
        [SV_FORM_FUNC] = SV_HEAP_FUNC,
        [SV_FORM_STRUCT] = SV_HEAP_STRUCT,
        [SV_FORM_ARRAY] = SV_HEAP_ARRAY,
    };

    return heaps[type->form];
}

uint32_t sv_heap_top(const struct sv_types *types, uint32_t heap)
{
    if (heap >= SV_HEAP_CONCRETE)
        heap = form_heap(sv_types_get(types, heap - SV_HEAP_CONCRETE));
    switch (heap) {
    case SV_HEAP_FUNC:
    case SV_HEAP_NOFUNC:
        return SV_HEAP_FUNC;
    case SV_HEAP_EXTERN:
    case SV_HEAP_NOEXTERN:
        return SV_HEAP_EXTERN;
    case SV_HEAP_EXN:
    case SV_HEAP_NOEXN:
        return SV_HEAP_EXN;
    default:
        return SV_HEAP_ANY;
    }
}

/* Both abstract. */
static bool abstract_matches(uint32_t sub, uint32_t super)
{
    switch (super) {
    case SV_HEAP_FUNC:
        return sub == SV_HEAP_NOFUNC;
    case SV_HEAP_EXTERN:
        return sub == SV_HEAP_NOEXTERN;
    case SV_HEAP_EXN:
        return sub == SV_HEAP_NOEXN;
    case SV_HEAP_ANY:
        return sub == SV_HEAP_EQ || sub == SV_HEAP_I31 || sub == SV_HEAP_STRUCT ||
               sub == SV_HEAP_ARRAY || sub == SV_HEAP_NONE;
    case SV_HEAP_EQ:
        return sub == SV_HEAP_I31 || sub == SV_HEAP_STRUCT || sub == SV_HEAP_ARRAY ||
               sub == SV_HEAP_NONE;
    case SV_HEAP_I31:
    case SV_HEAP_STRUCT:
    case SV_HEAP_ARRAY:
        return sub == SV_HEAP_NONE;
    default:
        return false;
    }
}

bool sv_heap_matches(const struct sv_types *types, uint32_t sub, uint32_t super)
{
    if (sub == super || sub == SV_HEAP_BOT)
        return true;
    if (super == SV_HEAP_BOT)
        return false;
    if (super >= SV_HEAP_CONCRETE) {
        const struct sv_type *type = sv_types_get(types, super - SV_HEAP_CONCRETE);

        if (sub >= SV_HEAP_CONCRETE)
            return sv_type_matches(sv_types_get(types, sub - SV_HEAP_CONCRETE), type);
        return sub == (type->form == SV_FORM_FUNC ? SV_HEAP_NOFUNC : SV_HEAP_NONE);
    }
    if (sub >= SV_HEAP_CONCRETE) {
        sub = form_heap(sv_types_get(types, sub - SV_HEAP_CONCRETE));
        if (sub == super)
            return true;
    }
    return abstract_matches(sub, super);
}

bool sv_valtype_matches(const struct sv_types *types, sv_valtype sub, sv_valtype super)
{
    if (sub == super || sv_valtype_kind(sub) == SV_VAL_BOT)
        return true;
    if (!sv_valtype_is_ref(sub) || !sv_valtype_is_ref(super))
        return false;
    if (sv_valtype_nullable(sub) && !sv_valtype_nullable(super))
        return false;
    return sv_heap_matches(types, sv_valtype_heap(sub), sv_valtype_heap(super));
}

bool sv_valtype_is_traced(const struct sv_types *types, sv_valtype t)
{
    return sv_valtype_is_ref(t) && sv_heap_top(types, sv_valtype_heap(t)) != SV_HEAP_FUNC;
}
