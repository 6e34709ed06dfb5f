/* Every allocation fails once: each scenario is run with its first allocation failing, then its
 * second, until one run needs none that fails. It must come back with an error or succeed without
 * what it could not have; ASan watches for what is lost. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "guests.h"
#include "ssvm.h"
#include "wasm.h"

/* Above this a scenario is taken to be endless. */
#define ALLOCATIONS_MAX 20000

struct world {
    ssvm_engine *engine;
    ssvm_module *module;
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_instance *instance;
};

static void close_world(struct world *w)
{
    ssvm_linker_delete(w->linker);
    ssvm_store_delete(w->store);
    ssvm_module_delete(w->module);
    ssvm_engine_delete(w->engine);
}

static ssvm_error *open_world(struct world *w, const unsigned char *bytes, size_t len)
{
    ssvm_error *e = ssvm_engine_new(NULL, &w->engine);

    if (!e)
        e = ssvm_module_new(w->engine, bytes, len, &w->module);
    if (!e)
        e = ssvm_store_new(w->engine, NULL, &w->store);
    if (!e)
        e = ssvm_linker_new(w->store, &w->linker);
    return e;
}

static ssvm_error *call(struct world *w, const char *name, const ssvm_val *args, size_t nargs,
                        ssvm_val *ret, size_t nrets)
{
    ssvm_func *f = ssvm_instance_func(w->instance, name);

    if (!f) /* functions are made when they are asked for */
        return ssvm_error_new("no memory for the function");
    return ssvm_func_call(w->store, f, args, nargs, ret, nrets);
}

static ssvm_error *kitchen(struct world *w)
{
    ssvm_val args[3] = {{.kind = SSVM_I32, .of = {.i32 = 1}}, {.kind = SSVM_I32, .of = {.i32 = 2}}},
             out[3];
    ssvm_error *e = open_world(w, guest_kitchen, sizeof guest_kitchen);
    ssvm_error *trap;
    char *text = NULL;

    if (!e)
        e = ssvm_linker_instantiate(w->linker, w->module, &w->instance);
    if (!e)
        e = call(w, "add", args, 2, out, 1);
    if (!e && out[0].of.i32 != 3)
        abort();
    if (!e) {
        args[1].of.i32 = 0;
        trap = call(w, "divide", args, 2, out, 1);
        if (!trap)
            abort();
        ssvm_error_delete(trap);
        ssvm_memory_grow(ssvm_instance_memory(w->instance, "memory"), 1);
        e = ssvm_instance_initialize(w->instance);
    }
    if (!e)
        e = ssvm_module_inspect(w->module, true, &text);
    if (!e)
        ssvm_string_delete(text);
    return e;
}

static ssvm_error *again(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    ssvm_func *f = ssvm_instance_func(ssvm_caller_instance(c), data);

    return f ? ssvm_func_call(ssvm_caller_store(c), f, args, 1, ret, strcmp(data, "throw") != 0)
             : ssvm_error_new("no function");
}

static ssvm_error *define(struct world *w, const char *name, const ssvm_kind *kinds, size_t np,
                          size_t nr, const char *target)
{
    ssvm_functype *t = ssvm_functype_new(kinds, np, kinds + np, nr);
    ssvm_error *e;

    if (!t)
        return ssvm_error_new("no type");
    e = ssvm_linker_define_func(w->linker, "host", name, t, again, (void *)(uintptr_t)target, NULL);
    ssvm_functype_delete(t);
    return e;
}

static ssvm_error *host(struct world *w)
{
    static const ssvm_kind sum[] = {SSVM_I32, SSVM_I64, SSVM_F32, SSVM_F64, SSVM_F64};
    static const ssvm_kind ref[] = {SSVM_EXTERNREF, SSVM_FUNCREF, SSVM_EXTERNREF},
                           i[] = {SSVM_I32, SSVM_I32};
    ssvm_val arg = {.kind = SSVM_I32, .of = {.i32 = 4}}, out;
    ssvm_template *t = NULL;
    ssvm_error *e = open_world(w, guest_host, sizeof guest_host);

    if (!e)
        e = define(w, "sum", sum, 4, 1, "");
    if (!e)
        e = define(w, "ref", ref, 2, 1, "");
    if (!e)
        e = define(w, "fail", i, 1, 0, "");
    if (!e)
        e = define(w, "again", i, 1, 1, "down");
    if (!e)
        e = ssvm_linker_instantiate(w->linker, w->module, &w->instance);
    if (!e)
        e = call(w, "down", &arg, 1, &out, 1);
    if (!e)
        e = ssvm_template_new(w->linker, w->module, &t);
    if (!e)
        e = ssvm_template_instantiate(t, w->store, NULL, &w->instance);
    ssvm_template_delete(t);
    if (!e)
        e = call(w, "down", &arg, 1, &out, 1);
    return e;
}

static ssvm_error *exceptions(struct world *w)
{
    static const ssvm_kind i[] = {SSVM_I32, SSVM_I32};
    ssvm_val arg = {.kind = SSVM_I32, .of = {.i32 = 42}}, out;
    ssvm_error *e = open_world(w, guest_exn, sizeof guest_exn);

    if (!e)
        e = define(w, "pass", i, 1, 1, "throw");
    if (!e)
        e = ssvm_linker_instantiate(w->linker, w->module, &w->instance);
    if (!e)
        e = call(w, "catch", &arg, 1, &out, 1);
    return e;
}

static ssvm_error *wasi(struct world *w)
{
    static const char *const args[] = {"prog", "arg"}, *const env[] = {"A=b"};
    static const ssvm_dir dirs[] = {{.guest = "/", .host = "/tmp", .readonly = true}};
    ssvm_wasi grant = SSVM_WASI_INIT;
    ssvm_error *e = open_world(w, guest_exit, sizeof guest_exit);

    grant.args = args;
    grant.nargs = 2;
    grant.env = env;
    grant.nenv = 1;
    grant.dirs = dirs;
    grant.ndirs = 1;
    if (!e)
        e = ssvm_linker_define_wasi(w->linker, &grant);
    if (!e)
        e = ssvm_linker_instantiate(w->linker, w->module, &w->instance);
    if (!e) {
        e = ssvm_instance_start(w->instance);
        if (ssvm_error_exit_status(e) == 2) {
            ssvm_error_delete(e);
            e = NULL;
        }
    }
    return e;
}

static ssvm_error *typed(struct world *w)
{
    ssvm_arg args[] = {{.kind = SSVM_ARG_TEXT, .bytes = "40", .len = 2},
                       {.kind = SSVM_ARG_INT, .i = 2}};
    ssvm_result result = SSVM_RESULT_INIT;
    ssvm_error *e = open_world(w, guest_kitchen, sizeof guest_kitchen);

    if (!e)
        e = ssvm_linker_define_bindgen(w->linker);
    if (!e)
        e = ssvm_linker_instantiate(w->linker, w->module, &w->instance);
    if (!e)
        e = ssvm_instance_call(w->instance, "add", args, 2, SSVM_RESULT_AUTO, &result);
    if (!e)
        ssvm_string_delete(result.bytes);
    return e;
}

static ssvm_error *missing(struct world *w)
{
    ssvm_error *e = open_world(w, guest_exit, sizeof guest_exit);

    if (e)
        return e;
    ssvm_error_delete(ssvm_linker_instantiate(w->linker, w->module, &w->instance));
    return NULL;
}

static wasm_trap_t *callback(void *env, const wasm_val_vec_t *args, wasm_val_vec_t *rets)
{
    wasm_val_t two[2];
    wasm_val_vec_t some = {2, two};
    wasm_extern_vec_t *exports = env;

    if (args->size == 1 && rets->size == 1 && exports && exports->size)
        wasm_val_copy(&rets->data[0], &args->data[0]);
    for (size_t i = 0; i < some.size; i++)
        two[i] = (wasm_val_t)WASM_I32_VAL(1);
    return rets->size == 0 ? wasm_trap_new(NULL, NULL) : NULL;
}

/* The standard API has no errors to look at: it must not crash, and not lose anything. */
static ssvm_error *standard(struct world *w)
{
    wasm_engine_t *engine = wasm_engine_new();
    wasm_store_t *s = wasm_store_new(engine);
    wasm_byte_vec_t binary = {sizeof guest_host, (char *)(uintptr_t)guest_host};
    wasm_module_t *m = wasm_module_new(s, &binary);
    wasm_importtype_vec_t imports;
    wasm_exporttype_vec_t types;
    wasm_extern_vec_t externs, exports;
    wasm_instance_t *i;
    wasm_trap_t *trap = NULL;

    (void)w;
    wasm_module_imports(m, &imports);
    wasm_module_exports(m, &types);
    wasm_extern_vec_new_uninitialized(&externs, imports.size);
    for (size_t k = 0; k < externs.size; k++) {
        const wasm_externtype_t *t = wasm_importtype_type(imports.data[k]);

        externs.data[k] = wasm_func_as_extern(
            wasm_func_new_with_env(s, wasm_externtype_as_functype_const(t), callback, NULL, NULL));
    }
    i = wasm_instance_new(s, m, &externs, &trap);
    wasm_instance_exports(i, &exports);
    for (size_t k = 0; k < exports.size; k++) {
        wasm_val_t arg = WASM_I32_VAL(3), out = WASM_INIT_VAL;
        wasm_val_vec_t args = {1, &arg}, rets = {1, &out};

        wasm_trap_delete(wasm_func_call(wasm_extern_as_func(exports.data[k]), &args, &rets));
        wasm_val_delete(&out);
    }
    wasm_trap_delete(trap);
    wasm_extern_vec_delete(&exports);
    wasm_extern_vec_delete(&externs);
    wasm_importtype_vec_delete(&imports);
    wasm_exporttype_vec_delete(&types);
    wasm_instance_delete(i);
    wasm_module_delete(m);
    wasm_store_delete(s);
    wasm_engine_delete(engine);
    return NULL;
}

static const struct scenario {
    const char *name;
    ssvm_error *(*run)(struct world *);
} scenarios[] = {
    {"kitchen", kitchen}, {"host", host},       {"exceptions", exceptions}, {"wasi", wasi},
    {"typed", typed},     {"missing", missing}, {"standard", standard},
};

static int torture(const struct scenario *s)
{
    for (unsigned long n = 1; n < ALLOCATIONS_MAX; n++) {
        struct world w = {0};
        unsigned long before = sv_alloc_count();
        ssvm_error *e;
        bool fired;

        sv_alloc_fail_at(n);
        e = s->run(&w);
        fired = sv_alloc_count() - before >= n;
        sv_alloc_fail_at(0);
        close_world(&w);
        if (e && !fired) {
            printf("%s: fails without any allocation failing: %s\n", s->name,
                   ssvm_error_message(e));
            ssvm_error_delete(e);
            return 1;
        }
        ssvm_error_delete(e);
        if (!fired) {
            printf("%s: ok, %lu allocations\n", s->name, n - 1);
            return 0;
        }
    }
    printf("%s: endless\n", s->name);
    return 1;
}

int main(int argc, char **argv)
{
    int failed = 0;

    for (size_t i = 0; i < SV_COUNT(scenarios); i++) {
        if (argc < 2 || strcmp(argv[1], scenarios[i].name) == 0)
            failed |= torture(&scenarios[i]);
    }
    return failed;
}
