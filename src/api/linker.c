/* Linkers and host functions of ssvm.h: definitions by name for one store. Resolution is
 * runtime/link.c's. */
#include <stdio.h>

#include "api/api.h"
#include "runtime/native.h"

/* Values of a host call that need no allocation. */
#define INLINE_VALS 16

own ssvm_error *ssvm_linker_new(ssvm_store *s, own ssvm_linker **ret)
{
    ssvm_error *error;
    ssvm_linker *l;

    if (!s || !ret)
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_linker_new needs a store and a place for the linker");
    l = sv_alloc_zero(sizeof *l);
    if (!l)
        return sv_api_nomem();
    l->store = s;
    l->linker = sv_linker_new(s->store);
    if (!l->linker) {
        sv_free(l);
        return sv_api_nomem();
    }
    sv_linker_set_explain(l->linker, sv_host_explain, NULL);
    error = sv_api_define_host(l, &sv_host_meter);
    if (error)
        ssvm_linker_delete(l);
    else
        *ret = l;
    return error;
}

void ssvm_linker_delete(own ssvm_linker *l)
{
    if (!l)
        return;
    sv_linker_delete(l->linker);
    sv_api_grants_release(&l->grants);
    sv_free(l);
}

/* An embedder's error on its way into the guest. */
static int fail_guest(struct sv_call *c, void *error)
{
    ssvm_error *e = error;
    struct sv_thread *th = c->th;
    ssvm_store *s = sv_api_store_of(th->store); /* of the thread that calls */
    int r;

    if (e->kind == SSVM_EEXIT) {
        r = sv_call_exit(c, e->exit_status);
    } else if (e->kind == SSVM_EEXCEPTION && e->exn_serial == s->exn_serial && s->exn_handle) {
        th->exn = sv_store_handle_get(s->store, s->exn_handle);
        r = SV_EEXCEPTION;
    } else if (e->kind == SSVM_ETRAP) {
        r = sv_trap_set(th, e->trap_code ? e->trap_code : SV_TRAP_HOST, "%s", e->message);
    } else {
        r = sv_call_trap(c, "%s", e->message);
    }
    ssvm_error_delete(e);
    return r;
}

static own struct sv_api_thunk *new_thunk(ssvm_store *s, const struct sv_type *type,
                                          ssvm_host_fn fn, void *data)
{
    struct sv_api_thunk *t = sv_arena_zero(&s->store->arena, sizeof *t);
    uint32_t np = type->func.nparams, n = np + type->func.nresults;

    if (!t)
        return NULL;
    *t = (struct sv_api_thunk){
        .direct = {(const void *)fn, data, NULL}, .fn = fn, .plain = n <= SV_API_PLAIN_MAX};
    if (n == 0)
        t->direct.end = fail_guest;
    for (uint32_t i = 0; i < n && t->plain; i++) {
        sv_valtype v = i < np ? type->func.params[i] : type->func.results[i - np];

        t->kinds[i] = (uint8_t)sv_api_kind(s->store->engine->types, v);
        t->plain = t->kinds[i] < SSVM_V128;
    }
    return t;
}

/* Numbers: each is one slot, whose bits are the value's. */
static int enter_plain(struct sv_call *c, const struct sv_api_thunk *t, const union sv_slot *arg,
                       union sv_slot *ret)
{
    uint32_t np = c->func->type->func.nparams, nr = c->func->type->func.nresults;
    ssvm_val vals[SV_API_PLAIN_MAX];
    ssvm_error *error;

    for (uint32_t i = 0; i < np; i++) {
        bool half = t->kinds[i] == SSVM_I32 || t->kinds[i] == SSVM_F32;

        vals[i].kind = t->kinds[i];
        /* A load as wide as the store that it waits for. */
        vals[i].of.i64 = half ? arg[i].i32 : (int64_t)arg[i].i64;
    }
    for (uint32_t i = np; i < np + nr; i++)
        vals[i].kind = t->kinds[i];
    error = t->fn(t->direct.data, (struct ssvm_caller *)c, vals, vals + np);
    if (error)
        return fail_guest(c, error);
    for (uint32_t i = 0; i < nr; i++) {
        const ssvm_val *v = &vals[np + i];

        if (v->kind != t->kinds[np + i])
            return sv_call_trap(c, "host function '%s' returned a wrong value", c->func->host.name);
        if (v->kind == SSVM_I32 || v->kind == SSVM_F32)
            ret[i].i64 = (uint32_t)v->of.i32;
        else
            ret[i].i64 = (uint64_t)v->of.i64;
    }
    return 0;
}

/* Any values: references need handles, vectors two slots. */
static int enter_any(struct sv_call *c, const struct sv_api_thunk *t, const union sv_slot *arg,
                     union sv_slot *ret)
{
    const struct sv_type *type = c->func->type;
    uint32_t np = type->func.nparams, nr = type->func.nresults;
    ssvm_store *s = sv_api_store_of(c->th->store); /* of the thread that calls */
    const struct sv_types *types = c->th->store->engine->types;
    ssvm_val fixed[INLINE_VALS] = {{.kind = SSVM_I32}}, *vals = fixed;
    ssvm_error *error;
    uint32_t i;
    int r = 0;

    if (np + nr > INLINE_VALS) {
        vals = sv_alloc_array(np + nr, sizeof *vals);
        if (!vals)
            return SV_ENOMEM;
    }
    for (i = 0; i < np && r == 0; i++) {
        if (!sv_api_from_slot(s, type->func.params[i], arg, &vals[i]))
            r = SV_ENOMEM;
        arg += sv_valtype_slots(type->func.params[i]);
    }
    np = r == 0 ? np : i - 1;
    for (i = 0; i < nr && r == 0; i++)
        vals[np + i] = (ssvm_val){.kind = sv_api_kind(types, type->func.results[i])};
    if (r == 0) {
        error = t->fn(t->direct.data, (struct ssvm_caller *)c, vals, vals + np);
        if (error)
            r = fail_guest(c, error);
    }
    for (i = 0; i < nr && r == 0; i++) {
        if (!sv_api_to_slot(s, type->func.results[i], &vals[np + i], ret))
            r = sv_call_trap(c, "host function '%s' returned a wrong value", c->func->host.name);
        ret += sv_valtype_slots(type->func.results[i]);
    }
    for (i = 0; i < np; i++) {
        if (vals[i].kind > SSVM_FUNCREF)
            ssvm_ref_delete(s, vals[i].of.ref);
    }
    if (vals != fixed)
        sv_free(vals);
    return r;
}

/* The runtime's view of an embedder's function. `arg` and `ret` are the same slots. */
int sv_api_enter_host(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    const struct sv_api_thunk *t = c->data;
    void *none = ret; /* no values, but somewhere */
    ssvm_error *error;

    if (t->direct.end) {
        error = t->fn(t->direct.data, (struct ssvm_caller *)c, none, none);
        return error ? fail_guest(c, error) : 0;
    }
    return t->plain ? enter_plain(c, t, arg, ret) : enter_any(c, t, arg, ret);
}

static void release_thunk(void *data)
{
    struct sv_api_thunk *t = data;

    t->release(t->direct.data);
}

struct sv_func *sv_api_func_new(ssvm_store *s, const struct sv_type *type, const char *name,
                                ssvm_host_fn fn, void *data)
{
    struct sv_api_thunk *t = new_thunk(s, type, fn, data);
    struct sv_func *f = NULL;

    if (t)
        f = sv_func_new_host(s->store, type, sv_api_enter_host, t, name, SV_API_HOST_CALL_COST);
    if (f && t->direct.end)
        f->out = sv_native_helpers[SV_NATIVE_CALL_DIRECT];
    return f;
}

/* "module.name" */
static own char *full_name(const char *module, const char *name)
{
    size_t mlen = strlen(module), nlen = strlen(name);
    char *text = sv_alloc(mlen + nlen + 2);

    if (text) {
        memcpy(text, module, mlen);
        text[mlen] = '.';
        memcpy(text + mlen + 1, name, nlen + 1);
    }
    return text;
}

own ssvm_error *ssvm_linker_define_func(ssvm_linker *l, const char *module, const char *name,
                                        const ssvm_functype *functype, ssvm_host_fn fn, void *data,
                                        void (*release)(void *))
{
    struct sv_extern x = {.kind = SV_EXTERN_FUNC, .func = NULL};
    const struct sv_type *type;
    struct sv_err err = {0};
    char *full;

    if (!l || !module || !name || !functype || !fn)
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_linker_define_func needs a linker, names, a type and a function");
    type = sv_api_type(l->store->store->engine, functype);
    full = full_name(module, name);
    if (type && full)
        x.func = sv_api_func_new(l->store, type, full, fn, data);
    sv_free(full);
    if (!x.func)
        return sv_api_nomem();
    if (sv_linker_define(&err, l->linker, sv_str_of(module), sv_str_of(name), x) < 0)
        return sv_api_error_of(&err);
    if (release) {
        /* Only now: on failure the data stay the caller's. */
        ((struct sv_api_thunk *)x.func->host.data)->release = release;
        x.func->host.release = release_thunk;
    }
    return NULL;
}

own ssvm_error *ssvm_linker_define_instance(ssvm_linker *l, const char *module,
                                            ssvm_instance *instance)
{
    struct sv_err err = {0};

    if (!l || !module || !instance)
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_linker_define_instance needs a linker, a name and an instance");
    if (sv_api_instance(instance)->store != l->store->store)
        return sv_api_error(SSVM_EUSAGE, "the instance for '%s' lives in another store", module);
    if (sv_linker_define_instance(&err, l->linker, sv_str_of(module), sv_api_instance(instance)) <
        0)
        return sv_api_error_of(&err);
    return NULL;
}

own ssvm_error *ssvm_linker_instantiate(ssvm_linker *l, const ssvm_module *m, ssvm_instance **ret)
{
    struct sv_instance *instance = NULL;
    struct sv_err err = {0};
    ssvm_error *error;

    if (!l || !m || !ret)
        return sv_api_error(
            SSVM_EUSAGE,
            "ssvm_linker_instantiate needs a linker, a module and a place for the instance");
    if (m->engine != l->store->store->engine)
        return sv_api_error(SSVM_EUSAGE, "the module belongs to another engine than the store");
    error = sv_api_enter(l->store);
    if (error)
        return error;
    error = sv_api_error_call(l->store, &err,
                              sv_linker_instantiate(&err, l->linker, m->module, &instance));
    sv_api_leave(l->store);
    if (!error)
        *ret = (ssvm_instance *)instance;
    return error;
}

ssvm_store *ssvm_caller_store(ssvm_caller *c)
{
    return c ? sv_api_store_of(c->call.th->store) : NULL;
}

ssvm_instance *ssvm_caller_instance(ssvm_caller *c)
{
    return c ? (ssvm_instance *)c->call.inst : NULL;
}

void *ssvm_caller_slice(ssvm_caller *c, uint64_t ptr, uint64_t len)
{
    void *p = NULL;

    return c && sv_call_slice(&c->call, ptr, len, &p) ? p : NULL;
}

bool ssvm_caller_use_gas(ssvm_caller *c, uint64_t gas)
{
    return c && sv_gas_charge(c->call.th, gas);
}
