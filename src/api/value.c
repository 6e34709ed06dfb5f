/* Values, references and function types of ssvm.h, to and from the runtime's slots. Knows no calls.
 */
#include "api/api.h"
#include "runtime/gc.h"

/* A public reference: 0 is null; host values and i31 as the runtime has them; objects as handle <<
 * 3, so that the low three bits tell them apart and the collector may find the object through the
 * store. */
#define HANDLE_SHIFT 3
#define PAYLOAD_MAX (UINT64_MAX >> 2)
/* Parameters and results of a function type: the limits of the JS API specification. */
#define PARAMS_MAX 1000
#define RESULTS_MAX 1000

bool sv_api_kind_ok(ssvm_kind k)
{
    return (unsigned)k <= SSVM_EXNREF;
}

ssvm_kind sv_api_kind(const struct sv_types *types, sv_valtype t)
{
    switch (sv_valtype_kind(t)) {
    case SV_VAL_I64:
        return SSVM_I64;
    case SV_VAL_F32:
        return SSVM_F32;
    case SV_VAL_F64:
        return SSVM_F64;
    case SV_VAL_V128:
        return SSVM_V128;
    case SV_VAL_REF:
        break;
    default:
        return SSVM_I32;
    }
    switch (sv_heap_top(types, sv_valtype_heap(t))) {
    case SV_HEAP_FUNC:
        return SSVM_FUNCREF;
    case SV_HEAP_EXTERN:
        return SSVM_EXTERNREF;
    case SV_HEAP_EXN:
        return SSVM_EXNREF;
    default:
        return SSVM_ANYREF;
    }
}

sv_valtype sv_api_valtype(ssvm_kind k)
{
    switch (k) {
    case SSVM_I64:
        return SV_VALTYPE(SV_VAL_I64);
    case SSVM_F32:
        return SV_VALTYPE(SV_VAL_F32);
    case SSVM_F64:
        return SV_VALTYPE(SV_VAL_F64);
    case SSVM_V128:
        return SV_VALTYPE(SV_VAL_V128);
    case SSVM_FUNCREF:
        return SV_FUNCREF;
    case SSVM_EXTERNREF:
        return SV_EXTERNREF;
    case SSVM_ANYREF:
        return SV_ANYREF;
    case SSVM_EXNREF:
        return SV_EXNREF;
    default:
        return SV_VALTYPE(SV_VAL_I32);
    }
}

/* The runtime's reference behind a public one; false: a handle that is not alive. */
static bool ref_in(const struct sv_store *s, ssvm_ref r, sv_ref *ret)
{
    uint64_t handle = r >> HANDLE_SHIFT;

    if (r == 0 || sv_ref_is_i31(r) || sv_ref_is_host(r)) {
        *ret = r;
        return true;
    }
    if ((r & 7) != 0 || handle >= UINT32_MAX || handle > s->nhandles)
        return false;
    *ret = sv_store_handle_get(s, (uint32_t)handle);
    /* A handle that was deleted holds no object. */
    return sv_ref_is_object(*ret);
}

static bool ref_out(struct sv_store *s, sv_ref r, ssvm_ref *ret)
{
    uint32_t handle;

    if (r == 0 || sv_ref_is_i31(r) || sv_ref_is_host(r)) {
        *ret = r;
        return true;
    }
    handle = sv_store_handle_new(s, r);
    if (handle == 0)
        return false;
    *ret = (ssvm_ref)handle << HANDLE_SHIFT;
    return true;
}

bool sv_api_ref_fits(struct sv_store *s, sv_valtype t, sv_ref r)
{
    uint32_t top = sv_heap_top(s->engine->types, sv_valtype_heap(t));
    bool exn = false;

    /* Inside the guest the hierarchies cannot meet; from outside a handle may come as anything. */
    if (r != SV_REF_NULL && top != SV_HEAP_FUNC) {
        if (sv_ref_is_object(r))
            exn = (((const struct sv_object *)(uintptr_t)r)->flags & SV_OBJECT_EXN) != 0;
        if (exn != (top == SV_HEAP_EXN))
            return false;
    }
    return sv_ref_matches(s, r, t);
}

static bool ref_to_slot(ssvm_store *s, sv_valtype t, const ssvm_val *v, union sv_slot *ret)
{
    sv_ref r;

    if (v->kind == SSVM_FUNCREF)
        r = (sv_ref)(uintptr_t)v->of.func;
    else if (!ref_in(s->store, v->of.ref, &r))
        return false;
    if (v->kind == SSVM_FUNCREF && r != SV_REF_NULL && sv_api_func(v->of.func)->store != s->store)
        return false;
    if (!sv_api_ref_fits(s->store, t, r))
        return false;
    ret->ref = r;
    return true;
}

bool sv_api_to_slot(ssvm_store *s, sv_valtype t, const ssvm_val *v, union sv_slot *ret)
{
    if (v->kind != sv_api_kind(s->store->engine->types, t))
        return false;
    switch (v->kind) {
    case SSVM_I32:
        ret->i64 = (uint32_t)v->of.i32;
        return true;
    case SSVM_I64:
        ret->s64 = v->of.i64;
        return true;
    case SSVM_F32:
        ret->i64 = 0;
        ret->f32 = v->of.f32;
        return true;
    case SSVM_F64:
        ret->f64 = v->of.f64;
        return true;
    case SSVM_V128:
        memcpy(ret, v->of.v128, sizeof v->of.v128);
        return true;
    default:
        return ref_to_slot(s, t, v, ret);
    }
}

bool sv_api_from_slot(ssvm_store *s, sv_valtype t, const union sv_slot *slot, ssvm_val *ret)
{
    ssvm_val v = {.kind = sv_api_kind(s->store->engine->types, t)};

    switch (v.kind) {
    case SSVM_I32:
        v.of.i32 = slot->s32;
        break;
    case SSVM_I64:
        v.of.i64 = slot->s64;
        break;
    case SSVM_F32:
        v.of.f32 = slot->f32;
        break;
    case SSVM_F64:
        v.of.f64 = slot->f64;
        break;
    case SSVM_V128:
        memcpy(v.of.v128, slot, sizeof v.of.v128);
        break;
    case SSVM_FUNCREF:
        v.of.func = (ssvm_func *)(uintptr_t)slot->ref;
        break;
    default:
        if (!ref_out(s->store, slot->ref, &v.of.ref))
            return false;
        break;
    }
    *ret = v;
    return true;
}

ssvm_ref ssvm_ref_new_host(ssvm_store *s, uint64_t payload)
{
    if (!s || payload > PAYLOAD_MAX)
        return 0;
    return sv_ref_host(payload);
}

bool ssvm_ref_payload(ssvm_store *s, ssvm_ref r, uint64_t *ret)
{
    if (!s || !ret || !sv_ref_is_host(r))
        return false;
    *ret = sv_ref_host_payload(r);
    return true;
}

ssvm_ref ssvm_ref_copy(ssvm_store *s, ssvm_ref r)
{
    sv_ref alive;
    ssvm_ref copy;

    if (!s || !ref_in(s->store, r, &alive) || !ref_out(s->store, alive, &copy))
        return 0;
    return copy;
}

void ssvm_ref_delete(ssvm_store *s, ssvm_ref r)
{
    uint64_t handle = r >> HANDLE_SHIFT;
    sv_ref alive;

    if (!s || r == 0 || (r & 7) != 0 || !ref_in(s->store, r, &alive))
        return;
    sv_store_handle_delete(s->store, (uint32_t)handle);
}

own ssvm_functype *ssvm_functype_new(const ssvm_kind *params, size_t nparams,
                                     const ssvm_kind *results, size_t nresults)
{
    ssvm_functype *t;

    if (nparams > PARAMS_MAX || nresults > RESULTS_MAX || (nparams && !params) ||
        (nresults && !results))
        return NULL;
    t = sv_alloc(sizeof *t + (nparams + nresults) * sizeof t->types[0]);
    if (!t)
        return NULL;
    t->nparams = (uint32_t)nparams;
    t->nresults = (uint32_t)nresults;
    for (size_t i = 0; i < nparams + nresults; i++) {
        ssvm_kind k = i < nparams ? params[i] : results[i - nparams];

        if (!sv_api_kind_ok(k)) {
            sv_free(t);
            return NULL;
        }
        t->types[i] = sv_api_valtype(k);
    }
    return t;
}

own ssvm_functype *sv_api_functype_of(const struct sv_types *types, const struct sv_type *type)
{
    uint32_t np = type->func.nparams, nr = type->func.nresults;
    ssvm_functype *t = sv_alloc(sizeof *t + ((size_t)np + nr) * sizeof t->types[0]);

    if (!t)
        return NULL;
    t->nparams = np;
    t->nresults = nr;
    for (uint32_t i = 0; i < np + nr; i++) {
        sv_valtype v = i < np ? type->func.params[i] : type->func.results[i - np];

        t->types[i] = sv_api_valtype(sv_api_kind(types, v));
    }
    return t;
}

const struct sv_type *sv_api_type(struct sv_engine *engine, const ssvm_functype *t)
{
    return sv_types_func(engine->types, t->types, t->nparams, t->types + t->nparams, t->nresults);
}

void ssvm_functype_delete(own ssvm_functype *t)
{
    sv_free(t);
}

size_t ssvm_functype_nparams(const ssvm_functype *t)
{
    return t ? t->nparams : 0;
}

size_t ssvm_functype_nresults(const ssvm_functype *t)
{
    return t ? t->nresults : 0;
}

/* The types in a functype are those of sv_api_valtype, so no registry is needed to read them back.
 */
static ssvm_kind kind_at(const ssvm_functype *t, size_t i)
{
    ssvm_kind k = SSVM_I32;

    while (k < SSVM_EXNREF && sv_api_valtype(k) != t->types[i])
        k++;
    return k;
}

ssvm_kind ssvm_functype_param(const ssvm_functype *t, size_t i)
{
    return t && i < t->nparams ? kind_at(t, i) : SSVM_I32;
}

ssvm_kind ssvm_functype_result(const ssvm_functype *t, size_t i)
{
    return t && i < t->nresults ? kind_at(t, t->nparams + i) : SSVM_I32;
}
