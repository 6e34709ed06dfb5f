/* A written module run through the public interface, with host functions of the tests. */
#ifndef SV_TEST_MUST_GUEST_H
#define SV_TEST_MUST_GUEST_H

#include "must.h"

#include "../guest.h"

/* Everything but the instance. `bytes` is released; config and limits may be NULL. */
static inline void guest_open(struct guest *g, struct sv_buf *bytes, const ssvm_config *config,
                              const ssvm_limits *limits)
{
    memset(g, 0, sizeof *g);
    must_handle_faults();
    ok(ssvm_engine_new(config, &g->engine));
    ok(ssvm_module_new(g->engine, bytes->data, bytes->len, &g->module));
    ok(ssvm_store_new(g->engine, limits, &g->store));
    ok(ssvm_linker_new(g->store, &g->linker));
    sv_buf_release(bytes);
}

/* A host function without parameters that the module imports from `h`. */
static inline void guest_import(struct guest *g, const char *name, ssvm_host_fn fn, void *data,
                                const ssvm_kind *result)
{
    ssvm_functype *t = ssvm_functype_new(NULL, 0, result, result != NULL);

    ok(ssvm_linker_define_func(g->linker, "h", name, t, fn, data, NULL));
    ssvm_functype_delete(t);
}

static inline void guest_start(struct guest *g)
{
    ok(ssvm_linker_instantiate(g->linker, g->module, &g->instance));
}

/* Call with i32 arguments; `ret` is an i32 or i64 result (NULL: none). */
static inline own ssvm_error *guest_call(struct guest *g, const char *name, const int32_t *args,
                                         size_t n, ssvm_val *ret)
{
    ssvm_val vals[4];

    assert_true(n <= SV_COUNT(vals));
    for (size_t i = 0; i < n; i++)
        vals[i] = (ssvm_val){.kind = SSVM_I32, .of.i32 = args[i]};
    return ssvm_func_call(g->store, ssvm_instance_func(g->instance, name), vals, n, ret,
                          ret != NULL);
}

/* The trap of a call; 0: it returned. */
static inline int guest_trap(struct guest *g, const char *name, int32_t arg, size_t n,
                             ssvm_val *ret)
{
    ssvm_error *e = guest_call(g, name, &arg, n, ret);
    int trap = e ? ssvm_error_trap_code(e) : 0;

    assert_true(!e || trap != 0);
    ssvm_error_delete(e);
    return trap;
}

#endif
