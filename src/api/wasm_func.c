/* Functions of wasm.h: callbacks of the host, and calls in both directions. */
#include "api/wasm_api.h"

/* Slots of a call that need no allocation. */
#define INLINE_SLOTS 32
#define INLINE_VALS 16
/* Gas of a call to a callback; counted in ssvm.h's stores only, but every function has one. */
#define HOST_CALL_COST 1

/* A callback in a store. */
struct callback {
    wasm_store_t *store;
    wasm_func_callback_t plain;
    wasm_func_callback_with_env_t with_env;
    void *env;
    void (*finalizer)(void *);
};

static void release_callback(void *data)
{
    struct callback *cb = data;

    cb->finalizer(cb->env);
}

/* A callback's trap goes around the guest; the runtime gets as much of its words as it keeps. */
static int fail_guest(struct sv_call *c, wasm_store_t *s, own wasm_trap_t *trap)
{
    struct wasm_ref_t *r = SV_WASM_REF(trap);

    if (r->kind != SV_WASM_TRAP || r->store != s) {
        wasm_trap_delete(trap);
        return sv_call_trap(c, "%s", sv_trap_text(SV_TRAP_HOST));
    }
    wasm_trap_delete(s->pending);
    s->pending = trap;
    return sv_call_trap(c, "%s", r->trap->message);
}

/* The runtime's view of a callback. `arg` and `ret` are the same slots. */
static int enter_callback(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct callback *cb = c->data;
    const struct sv_type *t = c->func->type;
    uint32_t np = t->func.nparams, nr = t->func.nresults, i, made = 0;
    wasm_val_t fixed[INLINE_VALS], *vals = fixed;
    wasm_val_vec_t args, results;
    wasm_trap_t *trap;
    int r = 0;

    if (np + nr > INLINE_VALS) {
        vals = sv_alloc_array(np + nr, sizeof *vals);
        if (!vals)
            return SV_ENOMEM;
    }
    for (i = 0; i < np && r == 0; i++) {
        r = sv_wasm_from_slot(cb->store, t->func.params[i], arg, &vals[i]) ? 0 : SV_ENOMEM;
        arg += sv_valtype_slots(t->func.params[i]);
        made += r == 0;
    }
    for (i = 0; i < nr && r == 0; i++)
        vals[np + i] = (wasm_val_t)WASM_INIT_VAL;
    if (r == 0) {
        args = (wasm_val_vec_t){np, vals};
        results = (wasm_val_vec_t){nr, vals + np};
        trap = cb->plain ? cb->plain(&args, &results) : cb->with_env(cb->env, &args, &results);
        made = np + nr;
        if (trap) {
            made = np; /* the results count only without a trap */
            r = fail_guest(c, cb->store, trap);
        }
    }
    for (i = 0; i < nr && r == 0; i++) {
        if (!sv_wasm_to_slot(cb->store, t->func.results[i], &vals[np + i], ret))
            r = sv_call_trap(c, "callback returned a wrong value");
        ret += sv_valtype_slots(t->func.results[i]);
    }
    for (i = 0; i < made; i++)
        wasm_val_delete(&vals[i]);
    if (vals != fixed)
        sv_free(vals);
    return r;
}

static bool valtypes_in(const wasm_valtype_vec_t *v, sv_valtype *ret)
{
    for (size_t i = 0; i < v->size; i++) {
        if (!v->data[i] || !sv_wasm_valtype_in(v->data[i]->kind, &ret[i]))
            return false;
    }
    return true;
}

/* The canonical type; NULL: a kind that does not exist, or out of memory. */
static const struct sv_type *type_in(wasm_store_t *s, const wasm_functype_t *t)
{
    size_t np = t->params.size, nr = t->results.size, n;
    const struct sv_type *type = NULL;
    sv_valtype *types;

    if (!sv_add_size(np, nr, &n) || n > UINT32_MAX)
        return NULL;
    types = sv_alloc_array(n ? n : 1, sizeof *types);
    if (!types)
        return NULL;
    if (valtypes_in(&t->params, types) && valtypes_in(&t->results, types + np))
        type = sv_types_func(sv_wasm_store(s)->engine->types, types, (uint32_t)np, types + np,
                             (uint32_t)nr);
    sv_free(types);
    return type;
}

static own wasm_func_t *func_new(wasm_store_t *s, const wasm_functype_t *functype,
                                 struct callback from)
{
    const struct sv_type *type = s && s->store && functype ? type_in(s, functype) : NULL;
    struct callback *cb = type ? sv_arena_zero(&sv_wasm_store(s)->arena, sizeof *cb) : NULL;
    struct sv_func *f;
    struct wasm_ref_t *r;

    if (!cb || (!from.plain && !from.with_env))
        return NULL;
    *cb = from;
    cb->store = s;
    f = sv_func_new_host(sv_wasm_store(s), type, enter_callback, cb, "callback", HOST_CALL_COST);
    r = f ? sv_wasm_ref_of(s, SV_WASM_FUNC, f) : NULL;
    if (r && cb->finalizer)
        f->host.release = release_callback;
    return (wasm_func_t *)r;
}

own wasm_func_t *wasm_func_new(wasm_store_t *s, const wasm_functype_t *type,
                               wasm_func_callback_t callback)
{
    return func_new(s, type, (struct callback){.plain = callback});
}

own wasm_func_t *wasm_func_new_with_env(wasm_store_t *s, const wasm_functype_t *type,
                                        wasm_func_callback_with_env_t callback, void *env,
                                        void (*finalizer)(void *))
{
    return func_new(s, type,
                    (struct callback){.with_env = callback, .env = env, .finalizer = finalizer});
}

/* NULL when the store is deleted. */
static struct sv_func *func_of(const wasm_func_t *func)
{
    struct wasm_ref_t *r = SV_WASM_REF(func);

    return sv_wasm_alive(r) ? r->func : NULL;
}

own wasm_functype_t *wasm_func_type(const wasm_func_t *func)
{
    struct sv_func *f = func_of(func);

    return f ? sv_wasm_functype(f->store->engine->types, f->type) : NULL;
}

size_t wasm_func_param_arity(const wasm_func_t *func)
{
    struct sv_func *f = func_of(func);

    return f ? f->type->func.nparams : 0;
}

size_t wasm_func_result_arity(const wasm_func_t *func)
{
    struct sv_func *f = func_of(func);

    return f ? f->type->func.nresults : 0;
}

static bool has_v128(const sv_valtype *types, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        if (sv_valtype_kind(types[i]) == SV_VAL_V128)
            return true;
    }
    return false;
}

/* What is wrong with a call, or NULL. */
static const char *check_call(const struct sv_type *t, const wasm_val_vec_t *args)
{
    if ((args ? args->size : 0) != t->func.nparams || (t->func.nparams && !args->data))
        return "wrong number of arguments";
    if (has_v128(t->func.params, t->func.nparams) || has_v128(t->func.results, t->func.nresults))
        return "vectors cannot pass through this interface";
    return NULL;
}

static own wasm_trap_t *enter(wasm_store_t *s, struct sv_func *f, union sv_slot *slots)
{
    ssvm_error *error = sv_api_enter(s->store);
    wasm_trap_t *trap = NULL;
    int r;

    if (error) {
        trap = sv_wasm_trap_of(s, ssvm_error_message(error));
        ssvm_error_delete(error);
        return trap;
    }
    r = sv_func_call(&sv_wasm_store(s)->thread, f, slots);
    if (r != 0)
        trap = sv_wasm_trap_call(s, NULL, r);
    sv_api_leave(s->store);
    return trap;
}

own wasm_trap_t *wasm_func_call(const wasm_func_t *func, const wasm_val_vec_t *args,
                                wasm_val_vec_t *results)
{
    struct sv_func *f = func_of(func);
    wasm_store_t *s = f ? SV_WASM_REF(func)->store : NULL;
    union sv_slot fixed[INLINE_SLOTS], *slots = fixed, *slot;
    const struct sv_type *t;
    wasm_trap_t *trap = NULL;
    const char *wrong;
    size_t n, room;

    if (!f) /* there is no store left that a trap could live in */
        return NULL;
    t = f->type;
    wrong = check_call(t, args);
    if (wrong)
        return sv_wasm_trap_of(s, wrong);
    n = t->func.param_slots > t->func.result_slots ? t->func.param_slots : t->func.result_slots;
    if (n > INLINE_SLOTS) {
        slots = sv_alloc_array(n, sizeof *slots);
        if (!slots)
            return sv_wasm_trap_of(s, sv_code_text(SV_ENOMEM));
    }
    slot = slots;
    for (uint32_t i = 0; i < t->func.nparams && !trap; i++) {
        if (!sv_wasm_to_slot(s, t->func.params[i], &args->data[i], slot))
            trap = sv_wasm_trap_of(s, "argument of a wrong kind or store");
        slot += sv_valtype_slots(t->func.params[i]);
    }
    if (!trap)
        trap = enter(s, f, slots);
    slot = slots;
    /* Callers that only expect a trap pass no room: what does not fit is dropped. */
    room = results && results->data ? results->size : 0;
    for (uint32_t i = 0; i < t->func.nresults && i < room && !trap; i++) {
        if (sv_wasm_from_slot(s, t->func.results[i], slot, &results->data[i])) {
            slot += sv_valtype_slots(t->func.results[i]);
            continue;
        }
        trap = sv_wasm_trap_of(s, sv_code_text(SV_ENOMEM));
        while (i > 0)
            wasm_val_delete(&results->data[--i]);
    }
    if (slots != fixed)
        sv_free(slots);
    return trap;
}
