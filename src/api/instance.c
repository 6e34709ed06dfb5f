/* Instances of ssvm.h and what they export: functions, memories, globals, tables; the WASI
 * conventions. */
#include "api/api.h"

/* Slots of a call that need no allocation. */
#define INLINE_SLOTS 32
/* ssvm_instance_initialize calls that a store remembers. */
#define INITIALIZED_MAX (1u << 20)

static bool find(ssvm_instance *i, const char *name, enum sv_extern_kind kind,
                 struct sv_extern *ret)
{
    return i && name && sv_instance_export(sv_api_instance(i), sv_str_of(name), ret) &&
           ret->kind == kind;
}

ssvm_func *ssvm_instance_func(ssvm_instance *i, const char *name)
{
    struct sv_extern x;

    return find(i, name, SV_EXTERN_FUNC, &x) ? (ssvm_func *)x.func : NULL;
}

ssvm_memory *ssvm_instance_memory(ssvm_instance *i, const char *name)
{
    struct sv_extern x;

    return find(i, name, SV_EXTERN_MEMORY, &x) ? (ssvm_memory *)x.memory : NULL;
}

ssvm_global *ssvm_instance_global(ssvm_instance *i, const char *name)
{
    struct sv_extern x;

    return find(i, name, SV_EXTERN_GLOBAL, &x) ? (ssvm_global *)x.global : NULL;
}

ssvm_table *ssvm_instance_table(ssvm_instance *i, const char *name)
{
    struct sv_extern x;

    return find(i, name, SV_EXTERN_TABLE, &x) ? (ssvm_table *)x.table : NULL;
}

own ssvm_functype *ssvm_func_type(const ssvm_func *func)
{
    const struct sv_func *f = sv_api_func(func);

    if (!f)
        return NULL;
    /* Host functions have no instance; their types name no defined types, so no registry is needed.
     */
    return sv_api_functype_of(f->inst ? f->inst->store->engine->types : NULL, f->type);
}

own ssvm_error *ssvm_func_call(ssvm_store *s, ssvm_func *func, const ssvm_val *args, size_t nargs,
                               ssvm_val *rets, size_t nrets)
{
    struct sv_func *f = sv_api_func(func);
    union sv_slot fixed[INLINE_SLOTS], *slots = fixed, *slot;
    const struct sv_type *t;
    ssvm_error *error = NULL;
    size_t nslots;

    if (!s || !f || (nargs && !args) || (nrets && !rets))
        return sv_api_error(SSVM_EUSAGE, "ssvm_func_call needs a store, a function and its values");
    if (f->store != s->store)
        return sv_api_error(SSVM_EUSAGE, "the function lives in another store");
    t = f->type;
    if (nargs != t->func.nparams)
        return sv_api_error(SSVM_EUSAGE, "the function takes %u arguments, not %zu",
                            t->func.nparams, nargs);
    if (nrets < t->func.nresults)
        return sv_api_error(SSVM_EUSAGE, "the function has %u results, and there is room for %zu",
                            t->func.nresults, nrets);
    nslots =
        t->func.param_slots > t->func.result_slots ? t->func.param_slots : t->func.result_slots;
    if (nslots > INLINE_SLOTS) {
        slots = sv_alloc_array(nslots, sizeof *slots);
        if (!slots)
            return sv_api_nomem();
    }
    slot = slots;
    for (size_t i = 0; i < nargs && !error; i++) {
        if (!sv_api_to_slot(s, t->func.params[i], &args[i], slot))
            error = sv_api_error(SSVM_EUSAGE, "argument %zu is of a wrong kind or store", i);
        slot += sv_valtype_slots(t->func.params[i]);
    }
    if (!error)
        error = sv_api_call(s, f, slots);
    slot = slots;
    for (size_t i = 0; i < t->func.nresults && !error; i++) {
        if (!sv_api_from_slot(s, t->func.results[i], slot, &rets[i]))
            error = sv_api_nomem();
        slot += sv_valtype_slots(t->func.results[i]);
    }
    if (slots != fixed)
        sv_free(slots);
    return error;
}

uint8_t *ssvm_memory_data(const ssvm_memory *m)
{
    return m ? sv_memory_expose(sv_api_memory(m)) : NULL;
}

uint64_t ssvm_memory_size(const ssvm_memory *m)
{
    return m ? sv_memory_size(sv_api_memory(m)) : 0;
}

int64_t ssvm_memory_grow(ssvm_memory *m, uint64_t pages)
{
    return m ? sv_memory_grow(sv_api_memory(m), pages) : -1;
}

void ssvm_global_get(ssvm_store *s, const ssvm_global *g, ssvm_val *ret)
{
    const struct sv_global *global = sv_api_global(g);

    if (s && g && ret && !sv_api_from_slot(s, global->type.type, global->value.slot, ret))
        *ret = (ssvm_val){.kind = sv_api_kind(s->store->engine->types, global->type.type)};
}

own ssvm_error *ssvm_global_set(ssvm_store *s, ssvm_global *g, const ssvm_val *v)
{
    struct sv_global *global = sv_api_global(g);
    union sv_slot slots[2] = {{0}, {0}};

    if (!s || !g || !v)
        return sv_api_error(SSVM_EUSAGE, "ssvm_global_set needs a store, a global and a value");
    if (!global->type.mut)
        return sv_api_error(SSVM_EUSAGE, "the global is immutable");
    if (!sv_api_to_slot(s, global->type.type, v, slots))
        return sv_api_error(SSVM_EUSAGE, "the value for the global is of a wrong kind or store");
    memcpy(global->value.slot, slots, sizeof slots);
    return NULL;
}

/* Call export `name` of type () -> (). *ret_found tells whether there is one. */
static own ssvm_error *call_plain(ssvm_instance *i, const char *name, bool *ret_found)
{
    struct sv_extern x;
    union sv_slot none[1] = {{0}};

    *ret_found = find(i, name, SV_EXTERN_FUNC, &x);
    if (!*ret_found)
        return NULL;
    if (x.func->type->func.nparams || x.func->type->func.nresults)
        return sv_api_error(SSVM_ETYPE, "export '%s' is not of type () -> ()", name);
    return sv_api_call(sv_api_store_of(sv_api_instance(i)->store), x.func, none);
}

own ssvm_error *ssvm_instance_start(ssvm_instance *i)
{
    ssvm_error *error;
    bool found;

    if (!i)
        return sv_api_error(SSVM_EUSAGE, "ssvm_instance_start needs an instance");
    error = call_plain(i, "_start", &found);
    if (!found)
        return sv_api_error(SSVM_ENOTFOUND, "no export '_start': not a command");
    if (error && error->kind == SSVM_EEXIT && error->exit_status == 0) {
        ssvm_error_delete(error);
        return NULL;
    }
    return error;
}

own ssvm_error *ssvm_instance_initialize(ssvm_instance *i)
{
    ssvm_store *s;
    ssvm_error *error;
    bool found;

    if (!i)
        return sv_api_error(SSVM_EUSAGE, "ssvm_instance_initialize needs an instance");
    s = sv_api_store_of(sv_api_instance(i)->store);
    for (size_t k = 0; k < s->initialized.len; k++) {
        if (s->initialized.data[k] == sv_api_instance(i))
            return NULL;
    }
    error = call_plain(i, "_initialize", &found);
    if (found && !error && !SV_VEC_PUSH(&s->initialized, INITIALIZED_MAX, sv_api_instance(i)))
        return sv_api_nomem();
    if (error && error->kind == SSVM_EEXIT && error->exit_status == 0) {
        ssvm_error_delete(error);
        return NULL;
    }
    return error;
}
