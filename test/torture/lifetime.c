/* Random orders of making, copying and deleting what the two C APIs hand out; ASan watches.
 * lifetime [SEED [STEPS]]. At the end everything is deleted, and every finalizer must have run
 * exactly once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "guests.h"
#include "ssvm.h"
#include "wasm.h"

#define STEPS 6000
#define PER_STORE_MAX 24

static uint64_t state_of_random;

static unsigned dice(unsigned n)
{
    state_of_random ^= state_of_random << 13;
    state_of_random ^= state_of_random >> 7;
    state_of_random ^= state_of_random << 17;
    return (unsigned)(state_of_random >> 33) % n;
}

/* ---- wasm.h ---- */

#define REFS 64
#define STORES 4

static wasm_engine_t *engine;
static wasm_store_t *stores[STORES];
static wasm_ref_t *refs[REFS];
static unsigned ages[STORES];
static long live;

static void finalizer(void *info)
{
    long *mine = info;

    if (*mine != 1) {
        fprintf(stderr, "a finalizer ran %s\n", *mine ? "with damaged data" : "twice");
        abort();
    }
    *mine = 0;
    live--;
    free(mine);
}

static void drop(unsigned i)
{
    wasm_ref_delete(refs[i]);
    refs[i] = NULL;
}

/* Put an own reference somewhere. */
static void keep(wasm_ref_t *r)
{
    unsigned i = dice(REFS);

    drop(i);
    refs[i] = r;
}

static wasm_trap_t *callback(void *env, const wasm_val_vec_t *args, wasm_val_vec_t *rets)
{
    (void)env;
    if (dice(4) == 0)
        keep(wasm_ref_copy(refs[dice(REFS)])); /* deletes something while the guest runs */
    if (rets->size && args->size) {
        wasm_val_copy(&rets->data[0], &args->data[0]);
        if (rets->data[0].kind == WASM_EXTERNREF && dice(3) == 0) {
            wasm_val_delete(&rets->data[0]);
            rets->data[0].of.ref = wasm_ref_copy(refs[dice(REFS)]);
        }
    }
    return NULL;
}

static wasm_func_t *new_func(wasm_store_t *s, bool env)
{
    wasm_functype_t *t =
        wasm_functype_new_1_1(wasm_valtype_new_externref(), wasm_valtype_new_externref());
    long *info = NULL;
    wasm_func_t *f;

    if (env) {
        info = malloc(sizeof *info);
        *info = 1;
    }
    f = wasm_func_new_with_env(s, t, callback, info, env ? finalizer : NULL);
    if (env && f)
        live++;
    else
        free(info);
    wasm_functype_delete(t);
    return f;
}

static void instantiate(wasm_store_t *s)
{
    static const struct {
        const unsigned char *bytes;
        size_t size;
    } guests[] = {{guest_kitchen, sizeof guest_kitchen}, {guest_import, sizeof guest_import}};
    unsigned which = dice(2);
    wasm_byte_vec_t binary = {guests[which].size, (char *)(uintptr_t)guests[which].bytes};
    wasm_module_t *m = wasm_module_new(s, &binary);
    wasm_extern_t *imports[4] = {NULL};
    wasm_extern_vec_t vec = {4, imports};
    wasm_trap_t *trap = NULL;
    wasm_instance_t *i;

    for (unsigned k = 0; k < 4; k++)
        imports[k] = wasm_ref_as_extern(refs[dice(REFS)]);
    i = wasm_instance_new(s, m, &vec, dice(2) ? &trap : NULL);
    keep(wasm_instance_as_ref(i));
    keep(wasm_trap_as_ref(trap));
    keep(wasm_module_as_ref(m));
}

static void take_exports(wasm_ref_t *r)
{
    wasm_extern_vec_t exports;

    wasm_instance_exports(wasm_ref_as_instance(r), &exports);
    for (size_t i = 0; i < exports.size; i++) {
        if (dice(3) == 0)
            keep(wasm_extern_as_ref(wasm_extern_copy(exports.data[i])));
    }
    wasm_extern_vec_delete(&exports);
}

static void call(wasm_ref_t *r)
{
    wasm_func_t *f = wasm_ref_as_func(r);
    wasm_val_t args[4], rets[4];
    wasm_val_vec_t a = {wasm_func_param_arity(f), args}, b = {wasm_func_result_arity(f), rets};
    wasm_functype_t *t = wasm_func_type(f);
    const wasm_valtype_vec_t *params = wasm_functype_params(t);
    wasm_trap_t *trap;

    if (t && a.size <= 4 && b.size <= 4 &&
        a.size > 0) {          /* without parameters there are endless loops */
        f = wasm_func_copy(f); /* the callback may delete it */
        for (size_t i = 0; i < a.size; i++) {
            args[i] = (wasm_val_t){.kind = wasm_valtype_kind(params->data[i]), .of = {.i64 = 1}};
            if (wasm_valkind_is_ref(args[i].kind))
                args[i].of.ref = wasm_ref_copy(refs[dice(REFS)]);
        }
        trap = wasm_func_call(f, &a, &b);
        for (size_t i = 0; !trap && i < b.size; i++) {
            if (wasm_valkind_is_ref(rets[i].kind))
                keep(rets[i].of.ref);
        }
        for (size_t i = 0; i < a.size; i++)
            wasm_val_delete(&args[i]);
        keep(wasm_trap_as_ref(trap));
        wasm_func_delete(f);
    }
    wasm_functype_delete(t);
}

static void set_info(wasm_ref_t *r)
{
    long *info;

    if (!r || dice(4) == 0) {
        wasm_ref_set_host_info(r, NULL);
        return;
    }
    info = malloc(sizeof *info);
    *info = 1;
    live++;
    wasm_ref_set_host_info_with_finalizer(r, info, finalizer);
}

static void poke(wasm_ref_t *r)
{
    wasm_val_t v;
    wasm_message_t message;
    wasm_frame_vec_t frames;

    wasm_global_get(wasm_ref_as_global(r), &v);
    wasm_global_set(wasm_ref_as_global(r), &v);
    wasm_val_delete(&v);
    wasm_table_set(wasm_ref_as_table(r), dice(12), refs[dice(REFS)]);
    keep(wasm_table_get(wasm_ref_as_table(r), dice(12)));
    wasm_externtype_delete(wasm_extern_type(wasm_ref_as_extern_const(refs[dice(REFS)])));
    r = refs[dice(REFS)];
    wasm_trap_message(wasm_ref_as_trap(r), &message);
    wasm_byte_vec_delete(&message);
    wasm_trap_trace(wasm_ref_as_trap(r), &frames);
    wasm_frame_vec_delete(&frames);
    wasm_ref_same(r, refs[dice(REFS)]);
}

static void step(void)
{
    unsigned k = dice(STORES);
    wasm_store_t *s = stores[k];
    wasm_ref_t *r = refs[dice(REFS)];

    switch (dice(10)) {
    case 0:
        if (++ages[k] % PER_STORE_MAX == 0) {
            wasm_store_delete(s);
            stores[k] = wasm_store_new(engine);
        }
        break;
    case 1:
        keep(wasm_foreign_as_ref(wasm_foreign_new(s)));
        break;
    case 2:
        keep(wasm_func_as_ref(new_func(s, dice(2))));
        break;
    case 3:
        instantiate(s);
        break;
    case 4:
        take_exports(r);
        break;
    case 5:
        call(r);
        break;
    case 6:
        keep(wasm_ref_copy(r));
        break;
    case 7:
        set_info(r);
        break;
    case 8:
        poke(r);
        break;
    default:
        drop(dice(REFS));
        break;
    }
}

static void standard(unsigned steps)
{
    engine = wasm_engine_new();
    for (unsigned i = 0; i < STORES; i++)
        stores[i] = wasm_store_new(engine);
    for (unsigned i = 0; i < steps; i++)
        step();
    if (dice(2))
        wasm_engine_delete(engine);
    else
        stores[0] = (wasm_store_delete(stores[0]), wasm_engine_delete(engine), NULL);
    for (unsigned i = 0; i < REFS / 2; i++)
        drop(i);
    for (unsigned i = 0; i < STORES; i++)
        wasm_store_delete(stores[i]);
    for (unsigned i = 0; i < REFS; i++)
        drop(i);
    if (live != 0) {
        fprintf(stderr, "%ld finalizers did not run\n", live);
        abort();
    }
}

/* ---- ssvm.h: what the header allows, in random order ---- */

static void embedding(void)
{
    ssvm_engine *e = NULL;
    ssvm_module *m = NULL;
    ssvm_store *s = NULL;
    ssvm_linker *l = NULL;
    ssvm_template *t = NULL;
    ssvm_instance *i = NULL;
    ssvm_val args[2] = {{.kind = SSVM_I32, .of = {.i32 = 40}},
                        {.kind = SSVM_I32, .of = {.i32 = 2}}},
             out;
    ssvm_error *error = ssvm_engine_new(NULL, &e);

    if (!error)
        error = ssvm_module_new(e, guest_kitchen, sizeof guest_kitchen, &m);
    if (!error)
        error = ssvm_store_new(e, NULL, &s);
    if (!error)
        error = ssvm_linker_new(s, &l);
    if (!error && dice(2))
        error = ssvm_template_new(l, m, &t);
    if (!error && t && dice(2)) {
        ssvm_linker_delete(l);
        l = NULL;
    }
    if (dice(2)) {
        ssvm_engine_delete(e);
        e = NULL;
    }
    if (!error)
        error = l ? ssvm_linker_instantiate(l, m, &i) : ssvm_template_instantiate(t, s, NULL, &i);
    if (dice(2)) {
        ssvm_module_delete(m);
        m = NULL;
    }
    if (dice(2)) {
        ssvm_template_delete(t);
        t = NULL;
    }
    if (dice(2)) {
        ssvm_linker_delete(l);
        l = NULL;
    }
    if (!error)
        error = ssvm_func_call(s, ssvm_instance_func(i, "add"), args, 2, &out, 1);
    if (error || out.of.i32 != 42) {
        fprintf(stderr, "%s\n", error ? ssvm_error_message(error) : "wrong result");
        abort();
    }
    error = ssvm_func_call(s, ssvm_instance_func(i, "unreachable"), NULL, 0, NULL, 0);
    ssvm_linker_delete(l);
    ssvm_store_delete(s);
    ssvm_module_delete(m);
    ssvm_template_delete(t);
    ssvm_engine_delete(e);
    if (strcmp(ssvm_error_message(error), "unreachable") != 0) /* an error outlives everything */
        abort();
    ssvm_error_delete(error);
}

int main(int argc, char **argv)
{
    unsigned seed = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 0) : 1;
    unsigned steps = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 0) : STEPS;

    state_of_random = 0x9e3779b97f4a7c15u * (seed + 1);
    standard(steps);
    for (unsigned i = 0; i < steps / 100; i++)
        embedding();
    printf("lifetime: seed %u, %u steps: ok\n", seed, steps);
    return 0;
}
