/* Templates: the imports of a module resolved once and made again in any store. Resolution itself
 * is runtime/link.c's. */
#include "api/api.h"
#include "host/bindgen/bindgen.h"

/* Imports that need no allocation. */
#define INLINE_IMPORTS 32

/* Whose state a function gets. */
enum origin {
    ORIGIN_NONE,
    ORIGIN_WASI,
    ORIGIN_BINDGEN,
    ORIGIN_EMBEDDER,
    ORIGIN_HOST,
    ORIGIN_MEMORY /* not a function: a shared memory of the threads' */
};

/* How to make one import again. */
struct recipe {
    sv_host_fn *fn;
    const struct sv_type *type; /* lives as long as the engine */
    const char *name;
    uint32_t cost;
    enum origin origin;
    uint32_t host;         /* ORIGIN_HOST: index in hosts[] */
    ssvm_host_fn embedder; /* ORIGIN_EMBEDDER */
    void *data;            /* ORIGIN_EMBEDDER */
};

struct ssvm_template {
    struct sv_engine *engine; /* a reference */
    struct sv_module *module; /* a reference */
    struct sv_arena arena;    /* names */
    bool has_wasi, has_bindgen;
    struct sv_api_grants grants;
    const struct sv_host_module *hosts[SV_API_HOSTS_MAX]; /* those in use, at the linker's places */
    uint32_t n;
    struct recipe recipes[];
};

/* Index of the linker's host module with this state; nhosts: none. */
static uint32_t find_host(const ssvm_linker *l, const void *state)
{
    uint32_t i = 0;

    while (i < l->nhosts && l->hosts[i].state != state)
        i++;
    return i;
}

/* Write down how the linker's store came by `f`. */
static own ssvm_error *take_down(ssvm_template *t, const ssvm_linker *l, const struct sv_func *f,
                                 struct recipe *ret)
{
    const struct sv_api_thunk *thunk = f->host.data;
    uint32_t host = find_host(l, f->host.data);

    ret->fn = f->host.fn;
    ret->type = f->type;
    ret->cost = f->cost;
    ret->name = sv_arena_strndup(&t->arena, f->host.name, strlen(f->host.name));
    if (!ret->name)
        return sv_api_nomem();
    if (f->host.fn == sv_api_enter_host) {
        ret->origin = ORIGIN_EMBEDDER;
        ret->embedder = thunk->fn;
        ret->data = thunk->direct.data;
    } else if (l->has_wasi && f->host.data == l->wasi_state) {
        ret->origin = ORIGIN_WASI;
        t->has_wasi = true;
    } else if (f->host.data && f->host.data == l->store->bindgen) {
        ret->origin = ORIGIN_BINDGEN;
        t->has_bindgen = true;
    } else if (f->host.data && host < l->nhosts) {
        ret->origin = ORIGIN_HOST;
        ret->host = host;
        t->hosts[host] = l->hosts[host].module;
        t->has_wasi = t->has_wasi || t->hosts[host]->on_wasi;
    } else if (f->host.data) {
        return sv_api_error(SSVM_EUSAGE, "import '%s' cannot be part of a template", f->host.name);
    }
    return NULL;
}

own ssvm_error *ssvm_template_new(ssvm_linker *l, const ssvm_module *m, own ssvm_template **ret)
{
    struct sv_extern *imports = NULL;
    ssvm_error *error = NULL;
    struct sv_err err = {0};
    ssvm_template *t;
    uint32_t n;

    if (!l || !m || !ret)
        return sv_api_error(
            SSVM_EUSAGE, "ssvm_template_new needs a linker, a module and a place for the template");
    if (m->engine != l->store->store->engine)
        return sv_api_error(SSVM_EUSAGE, "the module belongs to another engine than the linker");
    n = m->module->nimports;
    t = sv_alloc_zero(sizeof *t + (size_t)n * sizeof t->recipes[0]);
    if (!t)
        return sv_api_nomem();
    sv_arena_init(&t->arena, 0);
    t->engine = sv_engine_ref(m->engine);
    t->module = sv_module_ref(m->module);
    sv_api_grants_copy(&t->grants, &l->grants);
    t->n = n;
    imports = sv_alloc_array_zero(n ? n : 1, sizeof *imports);
    if (!imports)
        error = sv_api_nomem();
    else if (sv_linker_resolve(&err, l->linker, m->module, imports) < 0)
        error = sv_api_error_of(&err);
    for (uint32_t i = 0; i < n && !error; i++) {
        if (imports[i].kind == SV_EXTERN_MEMORY && l->grants.threads.max &&
            imports[i].memory->shared)
            t->recipes[i].origin = ORIGIN_MEMORY;
        else if (imports[i].kind != SV_EXTERN_FUNC || imports[i].func->inst)
            error = sv_api_error(SSVM_EUSAGE,
                                 "import %u is not a host function: it belongs to one store", i);
        else if (sv_extern_check(&err, m->module, &m->module->imports[i], &imports[i]) < 0)
            error = sv_api_error_of(&err);
        else
            error = take_down(t, l, imports[i].func, &t->recipes[i]);
    }
    sv_free(imports);
    if (error)
        ssvm_template_delete(t);
    else
        *ret = t;
    return error;
}

void ssvm_template_delete(own ssvm_template *t)
{
    if (!t)
        return;
    sv_api_grants_release(&t->grants);
    sv_module_unref(t->module);
    sv_engine_unref(t->engine);
    sv_arena_release(&t->arena);
    sv_free(t);
}

static own ssvm_error *open_wasi(ssvm_store *s, const ssvm_wasi *wasi, void **ret_state)
{
    struct sv_api_grant grant;
    struct sv_err err = {0};
    ssvm_error *error = sv_api_grant_init(&grant, s, wasi);

    if (!error && sv_host_open(&err, s->store, &sv_host_wasi, &grant.grant, ret_state) < 0)
        error = sv_api_error_of(&err);
    sv_api_grant_release(&grant);
    return error;
}

/* The function in this store; NULL: out of memory. */
static struct sv_func *make(ssvm_store *s, const struct recipe *r, void *wasi_state,
                            void *const *host_states)
{
    void *data = NULL;

    if (r->origin == ORIGIN_WASI) {
        data = wasi_state;
    } else if (r->origin == ORIGIN_BINDGEN) {
        data = s->bindgen;
    } else if (r->origin == ORIGIN_HOST) {
        data = host_states[r->host];
    } else if (r->origin == ORIGIN_EMBEDDER) {
        return sv_api_func_new(s, r->type, r->name, r->embedder, r->data);
    }
    return sv_func_new_host(s->store, r->type, r->fn, data, r->name, r->cost);
}

static own ssvm_error *instantiate(const ssvm_template *t, ssvm_store *s, const ssvm_wasi *wasi,
                                   struct sv_extern *imports, struct sv_instance **ret)
{
    ssvm_error *error = NULL;
    struct sv_err err;
    void *state = NULL, *host_states[SV_API_HOSTS_MAX];
    int r;

    sv_err_init(&err);
    if (t->has_wasi)
        error = open_wasi(s, wasi, &state);
    if (!error && t->has_bindgen && !s->bindgen) {
        s->bindgen = sv_bindgen_new();
        if (!s->bindgen)
            error = sv_api_nomem();
    }
    for (uint32_t i = 0; i < SV_API_HOSTS_MAX && !error; i++) {
        if (t->hosts[i] &&
            sv_host_open(&err, s->store, t->hosts[i], sv_api_host_grant(t->hosts[i], &t->grants),
                         &host_states[i]) < 0)
            error = sv_api_error_of(&err);
    }
    for (uint32_t i = 0; i < t->n && !error; i++) {
        if (t->recipes[i].origin == ORIGIN_MEMORY) {
            imports[i] = (struct sv_extern){.kind = SV_EXTERN_MEMORY};
            if (sv_memory_new(&err, s->store, &t->module->memories[t->module->imports[i].index],
                              NULL, NULL, &imports[i].memory) < 0)
                error = sv_api_error_of(&err);
            continue;
        }
        imports[i] = (struct sv_extern){.kind = SV_EXTERN_FUNC,
                                        .func = make(s, &t->recipes[i], state, host_states)};
        if (!imports[i].func)
            error = sv_api_nomem();
    }
    if (error)
        return error;
    r = sv_instance_new(&err, s->store, t->module, imports, ret);
    return sv_api_error_call(s, &err, r);
}

own ssvm_error *ssvm_template_instantiate(const ssvm_template *t, ssvm_store *s,
                                          const ssvm_wasi *wasi, ssvm_instance **ret)
{
    struct sv_extern fixed[INLINE_IMPORTS], *imports = fixed;
    struct sv_instance *instance = NULL;
    ssvm_error *error;

    if (!t || !s || !ret)
        return sv_api_error(
            SSVM_EUSAGE,
            "ssvm_template_instantiate needs a template, a store and a place for the instance");
    if (t->engine != s->store->engine)
        return sv_api_error(SSVM_EUSAGE, "the template belongs to another engine than the store");
    if (t->n > INLINE_IMPORTS) {
        imports = sv_alloc_array(t->n, sizeof *imports);
        if (!imports)
            return sv_api_nomem();
    }
    error = sv_api_enter(s);
    if (!error) {
        error = instantiate(t, s, wasi, imports, &instance);
        sv_api_leave(s);
    }
    if (imports != fixed)
        sv_free(imports);
    if (!error)
        *ret = (ssvm_instance *)instance;
    return error;
}
