/* wasm.h from the embedder's side: what the public example programs do not reach. Ownership, orders
 * of deletion, NULL, wrong kinds and wrong stores. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "guests.h"
#include "wasm.h"

static wasm_engine_t *engine;

static int set_up(void **state)
{
    (void)state;
    engine = wasm_engine_new_with_config(wasm_config_new());
    return engine ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    wasm_engine_delete(engine);
    return 0;
}

static wasm_module_t *module_of(wasm_store_t *s, const unsigned char *bytes, size_t len)
{
    wasm_byte_vec_t binary = {len, (char *)(uintptr_t)bytes};

    return wasm_module_new(s, &binary);
}

static wasm_instance_t *kitchen(wasm_store_t *s)
{
    wasm_module_t *m = module_of(s, guest_kitchen, sizeof guest_kitchen);
    wasm_instance_t *i = wasm_instance_new(s, m, NULL, NULL);

    assert_non_null(i);
    wasm_module_delete(m);
    return i;
}

/* Export by name: an own reference. */
static wasm_extern_t *export_of(wasm_store_t *s, wasm_instance_t *i, const char *name)
{
    wasm_module_t *m = module_of(s, guest_kitchen, sizeof guest_kitchen);
    wasm_exporttype_vec_t types;
    wasm_extern_vec_t externs;
    wasm_extern_t *found = NULL;

    wasm_module_exports(m, &types);
    wasm_instance_exports(i, &externs);
    assert_int_equal(types.size, externs.size);
    for (size_t k = 0; k < types.size; k++) {
        const wasm_name_t *n = wasm_exporttype_name(types.data[k]);

        assert_int_equal(wasm_externtype_kind(wasm_exporttype_type(types.data[k])),
                         wasm_extern_kind(externs.data[k]));
        if (n->size == strlen(name) && memcmp(n->data, name, n->size) == 0)
            found = wasm_extern_copy(externs.data[k]);
    }
    wasm_exporttype_vec_delete(&types);
    wasm_extern_vec_delete(&externs);
    wasm_module_delete(m);
    return found;
}

static void want_trap(wasm_trap_t *t, const char *text)
{
    wasm_message_t message;

    assert_non_null(t);
    wasm_trap_message(t, &message);
    assert_true(message.size > 0 && message.data[message.size - 1] == '\0');
    if (!strstr(message.data, text))
        fail_msg("wanted '%s', got '%s'", text, message.data);
    wasm_byte_vec_delete(&message);
    wasm_trap_delete(t);
}

static unsigned finalized;

static void finalize(void *info)
{
    finalized += (unsigned)(uintptr_t)info;
}

/* ---- Types ---- */

static void test_types(void **state)
{
    const wasm_valkind_t kinds[] = {WASM_I32, WASM_I64,       WASM_F32,
                                    WASM_F64, WASM_EXTERNREF, WASM_FUNCREF};
    wasm_limits_t limits = {3, 7};
    wasm_valtype_vec_t params, results, copy;
    wasm_functype_t *f, *f2;
    wasm_externtype_t *x;

    (void)state;
    wasm_valtype_vec_new_uninitialized(&params, 6);
    for (size_t i = 0; i < 6; i++) {
        params.data[i] = wasm_valtype_new(kinds[i]);
        assert_int_equal(wasm_valtype_kind(params.data[i]), kinds[i]);
        assert_int_equal(wasm_valtype_is_ref(params.data[i]), i >= 4);
    }
    wasm_valtype_vec_copy(&copy, &params);
    assert_int_equal(copy.size, 6);
    wasm_valtype_vec_delete(&copy);
    wasm_valtype_vec_new_empty(&results);
    f = wasm_functype_new(&params, &results);
    f2 = wasm_functype_copy(f);
    wasm_functype_delete(f);
    assert_int_equal(wasm_functype_params(f2)->size, 6);
    x = wasm_functype_as_externtype(f2);
    assert_ptr_equal(wasm_externtype_as_functype(x), f2);
    assert_null(wasm_externtype_as_tagtype(x));
    assert_null(wasm_externtype_as_globaltype_const(x));
    wasm_externtype_delete(x);
    x = wasm_tagtype_as_externtype(wasm_tagtype_new(wasm_functype_new_2_1(
        wasm_valtype_new_i32(), wasm_valtype_new_i64(), wasm_valtype_new_f32())));
    assert_int_equal(wasm_externtype_kind(x), WASM_EXTERN_TAG);
    assert_int_equal(
        wasm_functype_params(wasm_tagtype_functype(wasm_externtype_as_tagtype(x)))->size, 2);
    {
        wasm_externtype_t *x2 = wasm_externtype_copy(x);
        wasm_name_t a, b;
        wasm_importtype_t *i, *i2;

        wasm_externtype_delete(x);
        wasm_name_new_from_string(&a, "module");
        wasm_name_new_from_string_nt(&b, "name");
        assert_int_equal(b.size, 5);
        i = wasm_importtype_new(&a, &b, x2);
        i2 = wasm_importtype_copy(i);
        wasm_importtype_delete(i);
        assert_int_equal(wasm_importtype_module(i2)->size, 6);
        assert_memory_equal(wasm_importtype_name(i2)->data, "name", 5);
        wasm_importtype_delete(i2);
    }
    x = wasm_tabletype_as_externtype(wasm_tabletype_new(wasm_valtype_new_funcref(), &limits));
    assert_int_equal(wasm_tabletype_limits(wasm_externtype_as_tabletype(x))->max, 7);
    wasm_externtype_delete(x);
    assert_null(wasm_valtype_new(77));
    assert_null(wasm_globaltype_new(wasm_valtype_new_i32(), 2));
    assert_null(wasm_memorytype_new(NULL));
    assert_null(wasm_tabletype_new(NULL, &limits));
    assert_null(wasm_tagtype_new(NULL));
}

static void test_vectors(void **state)
{
    wasm_byte_vec_t v, w;
    wasm_val_vec_t vals;
    const wasm_val_t some[] = {WASM_I32_VAL(1), WASM_F64_VAL(2.5)};

    (void)state;
    wasm_byte_vec_new(&v, 3, "abc");
    wasm_byte_vec_copy(&w, &v);
    wasm_byte_vec_delete(&v);
    assert_true(v.size == 0 && v.data == NULL);
    wasm_byte_vec_delete(&v);
    assert_memory_equal(w.data, "abc", 3);
    wasm_byte_vec_delete(&w);
    wasm_byte_vec_new_uninitialized(&v, SIZE_MAX);
    assert_true(v.size == 0 && v.data == NULL);
    wasm_byte_vec_new(&v, 5, NULL);
    assert_true(v.size == 0 && v.data == NULL);
    wasm_byte_vec_copy(&v, NULL);
    wasm_byte_vec_new(NULL, 0, NULL);
    wasm_byte_vec_new_empty(NULL);
    wasm_byte_vec_delete(NULL);
    wasm_val_vec_new(&vals, 2, some);
    assert_true(vals.size == 2 && vals.data[1].of.f64 == 2.5);
    wasm_val_vec_delete(&vals);
}

/* ---- Objects ---- */

static void test_deletion_orders(void **state)
{
    (void)state;
    for (unsigned order = 0; order < 6; order++) {
        wasm_store_t *s = wasm_store_new(engine);
        wasm_instance_t *i = kitchen(s);
        wasm_extern_t *x = export_of(s, i, "add");

        if (order == 0)
            wasm_store_delete(s);
        if (order & 1)
            wasm_extern_delete(x);
        if (order == 1 || order == 2)
            wasm_store_delete(s);
        wasm_instance_delete(i);
        if (order == 3)
            wasm_store_delete(s);
        if (!(order & 1)) {
            if (order == 0 || order == 2) { /* the store is gone: inert, not dangling */
                assert_null(wasm_func_type(wasm_extern_as_func(x)));
                assert_int_equal(wasm_func_param_arity(wasm_extern_as_func(x)), 0);
                assert_null(wasm_extern_type(x));
            } else {
                assert_int_equal(wasm_func_param_arity(wasm_extern_as_func(x)), 2);
            }
            wasm_extern_delete(x);
        }
        if (order > 3)
            wasm_store_delete(s);
    }
}

static void test_host_info(void **state)
{
    wasm_store_t *s = wasm_store_new(engine);
    wasm_instance_t *i = kitchen(s);
    wasm_extern_t *a = export_of(s, i, "add"), *b = export_of(s, i, "add"),
                  *c = export_of(s, i, "i64");
    wasm_foreign_t *f = wasm_foreign_new(s);

    (void)state;
    finalized = 0;
    assert_true(wasm_extern_same(a, b));
    assert_false(wasm_extern_same(a, c));
    wasm_func_set_host_info_with_finalizer(wasm_extern_as_func(a), (void *)1, finalize);
    assert_ptr_equal(wasm_extern_get_host_info(b), (void *)1);
    wasm_extern_delete(a);
    wasm_extern_delete(b);
    assert_int_equal(finalized, 0);
    a = export_of(s, i, "add");
    assert_ptr_equal(wasm_extern_get_host_info(a), (void *)1);
    wasm_extern_set_host_info_with_finalizer(a, (void *)2, finalize); /* ends the first */
    assert_int_equal(finalized, 1);
    wasm_foreign_set_host_info_with_finalizer(f, (void *)16, finalize);
    {
        wasm_foreign_t *f2 = wasm_foreign_copy(f);

        wasm_foreign_delete(f);
        assert_int_equal(finalized, 1);
        wasm_foreign_delete(f2); /* the last owner, and no guest has it */
        assert_int_equal(finalized, 17);
    }
    wasm_extern_delete(a);
    wasm_extern_delete(c);
    wasm_instance_set_host_info_with_finalizer(i, (void *)256, finalize);
    wasm_instance_delete(i);
    wasm_store_delete(s);
    assert_int_equal(finalized, 1 + 16 + 2 + 256);
}

static void test_casts(void **state)
{
    wasm_store_t *s = wasm_store_new(engine);
    wasm_instance_t *i = kitchen(s);
    wasm_extern_t *f = export_of(s, i, "add"), *m = export_of(s, i, "memory"),
                  *t = export_of(s, i, "table"), *g = export_of(s, i, "var");
    wasm_ref_t *r = wasm_extern_as_ref(f);

    (void)state;
    assert_non_null(wasm_extern_as_func(f));
    assert_null(wasm_extern_as_memory(f));
    assert_null(wasm_extern_as_table_const(f));
    assert_non_null(wasm_extern_as_memory(m));
    assert_non_null(wasm_extern_as_table(t));
    assert_non_null(wasm_extern_as_global_const(g));
    assert_ptr_equal(wasm_ref_as_func(r), wasm_extern_as_func(f));
    assert_ptr_equal(wasm_ref_as_extern(r), f);
    assert_null(wasm_ref_as_instance(r));
    assert_null(wasm_ref_as_foreign(r));
    assert_null(wasm_ref_as_trap_const(r));
    assert_null(wasm_ref_as_extern(wasm_instance_as_ref(i)));
    assert_ptr_equal(wasm_func_as_extern(wasm_extern_as_func(f)), f);
    wasm_extern_delete(f);
    wasm_extern_delete(m);
    wasm_extern_delete(t);
    wasm_extern_delete(g);
    wasm_instance_delete(i);
    wasm_store_delete(s);
}

static wasm_trap_t *call1(wasm_func_t *f, wasm_val_t arg, wasm_val_t *ret)
{
    wasm_val_vec_t args = {1, &arg}, rets = {1, ret};

    return wasm_func_call(f, &args, &rets);
}

static void test_references(void **state)
{
    wasm_store_t *s = wasm_store_new(engine), *s2 = wasm_store_new(engine);
    wasm_instance_t *i = kitchen(s);
    wasm_extern_t *x = export_of(s, i, "externref"), *c = export_of(s, i, "funcref"),
                  *g = export_of(s, i, "ref"), *t = export_of(s, i, "table");
    wasm_func_t *f = wasm_extern_as_func(x);
    wasm_ref_t *foreign = wasm_foreign_as_ref(wasm_foreign_new(s)),
               *other = wasm_foreign_as_ref(wasm_foreign_new(s2));
    wasm_val_t v = WASM_REF_VAL(foreign), out;

    (void)state;
    assert_null(call1(f, v, &out));
    assert_true(wasm_ref_same(out.of.ref, foreign));
    wasm_val_delete(&out);
    v.of.ref = wasm_instance_as_ref(i); /* any object may be an externref */
    assert_null(call1(f, v, &out));
    assert_ptr_equal(wasm_ref_as_instance(out.of.ref), i);
    wasm_val_delete(&out);
    v.of.ref = other;
    want_trap(call1(f, v, &out), "wrong kind or store");
    v.of.ref = foreign;
    want_trap(call1(wasm_extern_as_func(c), v, &out), "wrong kind or store");
    v.of.ref = wasm_func_as_ref(f);
    assert_null(call1(wasm_extern_as_func(c), v, &out));
    assert_true(wasm_ref_same(out.of.ref, wasm_func_as_ref(f)));
    wasm_val_delete(&out);
    /* The global keeps the foreign object although nobody else has it. */
    finalized = 0;
    wasm_ref_set_host_info_with_finalizer(foreign, (void *)5, finalize);
    v.of.ref = foreign;
    wasm_global_set(wasm_extern_as_global(g), &v);
    wasm_ref_delete(foreign);
    wasm_global_get(wasm_extern_as_global(g), &out);
    assert_ptr_equal(wasm_ref_get_host_info(out.of.ref), (void *)5);
    wasm_val_delete(&out);
    assert_int_equal(finalized, 0);
    assert_false(wasm_table_set(wasm_extern_as_table(t), 0, other));
    assert_false(wasm_table_set(wasm_extern_as_table(t), 4, NULL));
    assert_true(wasm_table_set(wasm_extern_as_table(t), 0, wasm_func_as_ref(f)));
    assert_null(wasm_table_get(wasm_extern_as_table(t), UINT32_MAX));
    out.of.ref = wasm_table_get(wasm_extern_as_table(t), 0);
    assert_true(wasm_ref_same(out.of.ref, wasm_func_as_ref(f)));
    wasm_ref_delete(out.of.ref);
    wasm_extern_delete(x);
    wasm_extern_delete(c);
    wasm_extern_delete(g);
    wasm_extern_delete(t);
    wasm_ref_delete(other);
    wasm_instance_delete(i);
    wasm_store_delete(s2);
    wasm_store_delete(s);
    assert_int_equal(finalized, 5);
}

static void test_wrong_calls(void **state)
{
    wasm_store_t *s = wasm_store_new(engine);
    wasm_instance_t *i = kitchen(s);
    wasm_extern_t *x = export_of(s, i, "add"), *v128 = export_of(s, i, "v128"),
                  *m = export_of(s, i, "memory"), *g = export_of(s, i, "const"),
                  *d = export_of(s, i, "divide");
    wasm_val_t two[] = {WASM_I32_VAL(1), WASM_I64_VAL(2)}, out = WASM_INIT_VAL;
    wasm_val_t zeros[] = {WASM_I32_VAL(0), WASM_I32_VAL(0)};
    wasm_val_vec_t args = WASM_ARRAY_VEC(two), zero = WASM_ARRAY_VEC(zeros), none = WASM_EMPTY_VEC,
                   rets = {1, &out};
    wasm_frame_vec_t frames;
    wasm_frame_t *frame;
    wasm_trap_t *t;

    (void)state;
    want_trap(wasm_func_call(wasm_extern_as_func(x), &none, &rets), "arguments");
    want_trap(wasm_func_call(wasm_extern_as_func(x), NULL, NULL), "arguments");
    want_trap(wasm_func_call(wasm_extern_as_func(d), &zero, NULL), "integer divide by zero");
    zeros[1] = (wasm_val_t)WASM_I32_VAL(1);
    assert_null(wasm_func_call(wasm_extern_as_func(d), &zero, NULL)); /* no room: dropped */
    want_trap(wasm_func_call(wasm_extern_as_func(x), &args, &rets), "wrong kind");
    want_trap(call1(wasm_extern_as_func(v128), two[0], &out), "vectors");
    two[1] = (wasm_val_t)WASM_I32_VAL(0);
    t = wasm_func_call(wasm_extern_as_func(d), &args, &rets);
    frame = wasm_trap_origin(t);
    assert_non_null(frame);
    assert_ptr_equal(wasm_frame_instance(frame), i);
    assert_true(wasm_frame_module_offset(frame) > wasm_frame_func_offset(frame));
    wasm_frame_delete(frame);
    wasm_trap_trace(t, &frames);
    assert_int_equal(frames.size, 1);
    wasm_frame_vec_delete(&frames);
    want_trap(t, "integer divide by zero");
    two[1] = (wasm_val_t)WASM_I32_VAL(41);
    assert_null(wasm_func_call(wasm_extern_as_func(x), &args, &rets));
    assert_int_equal(out.of.i32, 42);
    wasm_global_set(wasm_extern_as_global(g), &two[0]); /* immutable: nothing happens */
    wasm_global_get(wasm_extern_as_global(g), &out);
    assert_true(out.kind == WASM_F32 && out.of.f32 == 1.5f);
    assert_int_equal(wasm_memory_size(wasm_extern_as_memory(m)), 1);
    assert_false(wasm_memory_grow(wasm_extern_as_memory(m), 100));
    assert_true(wasm_memory_grow(wasm_extern_as_memory(m), 1));
    assert_int_equal(wasm_memory_data_size(wasm_extern_as_memory(m)), 2 * MEMORY_PAGE_SIZE);
    wasm_extern_delete(x);
    wasm_extern_delete(v128);
    wasm_extern_delete(m);
    wasm_extern_delete(g);
    wasm_extern_delete(d);
    wasm_instance_delete(i);
    wasm_store_delete(s);
}

/* ---- Callbacks ---- */

static wasm_store_t *env_store;

static wasm_trap_t *sum(void *env, const wasm_val_vec_t *args, wasm_val_vec_t *rets)
{
    assert_ptr_equal(env, &finalized);
    assert_true(args->size == 4 && rets->size == 1);
    rets->data[0] = (wasm_val_t)WASM_F64_VAL(args->data[0].of.i32 + (double)args->data[1].of.i64 +
                                             args->data[2].of.f32 + args->data[3].of.f64);
    return NULL;
}

static wasm_trap_t *ref(const wasm_val_vec_t *args, wasm_val_vec_t *rets)
{
    wasm_val_copy(&rets->data[0], &args->data[0]);
    return NULL;
}

static wasm_trap_t *complain(const wasm_val_vec_t *args, wasm_val_vec_t *rets)
{
    char text[600];
    wasm_message_t message = {sizeof text, text};

    (void)args;
    (void)rets;
    memset(text, 'x', sizeof text);
    memcpy(text, "long words", 10);
    text[sizeof text - 1] = '\0';
    return wasm_trap_new(env_store, &message);
}

static wasm_trap_t *wrong(const wasm_val_vec_t *args, wasm_val_vec_t *rets)
{
    (void)args;
    rets->data[0] = (wasm_val_t)WASM_F32_VAL(1);
    return NULL;
}

static void env_end(void *env)
{
    (*(unsigned *)env)++;
}

static wasm_valtype_t *type(wasm_valkind_t k)
{
    return wasm_valtype_new(k);
}

static void test_callbacks(void **state)
{
    wasm_store_t *s = wasm_store_new(engine);
    wasm_module_t *m = module_of(s, guest_host, sizeof guest_host);
    wasm_valtype_t *four[] = {type(WASM_I32), type(WASM_I64), type(WASM_F32), type(WASM_F64)},
                   *one = type(WASM_F64);
    wasm_valtype_vec_t params, results;
    wasm_functype_t *types[4];
    wasm_func_t *funcs[4];
    wasm_extern_t *externs[4];
    wasm_extern_vec_t imports = {4, externs}, exports;
    wasm_importtype_vec_t wanted;
    wasm_instance_t *i;
    wasm_trap_t *trap;
    wasm_val_t v = WASM_I32_VAL(1), out;
    wasm_val_vec_t none = WASM_EMPTY_VEC, rets = {1, &out}, args = {1, &v};

    (void)state;
    finalized = 0;
    env_store = s;
    wasm_valtype_vec_new(&params, 4, four);
    wasm_valtype_vec_new(&results, 1, &one);
    types[0] = wasm_functype_new(&params, &results);
    types[1] =
        wasm_functype_new_2_1(type(WASM_EXTERNREF), type(WASM_FUNCREF), type(WASM_EXTERNREF));
    types[2] = wasm_functype_new_1_0(type(WASM_I32));
    types[3] = wasm_functype_new_1_1(type(WASM_I32), type(WASM_I32));
    funcs[0] = wasm_func_new_with_env(s, types[0], sum, &finalized, env_end);
    funcs[1] = wasm_func_new(s, types[1], ref);
    funcs[2] = wasm_func_new(s, types[2], complain);
    funcs[3] = wasm_func_new(s, types[3], wrong);
    wasm_module_imports(m, &wanted);
    assert_int_equal(wanted.size, 4);
    wasm_importtype_vec_delete(&wanted);
    for (int k = 0; k < 4; k++) {
        externs[k] = wasm_func_as_extern(funcs[k]);
        wasm_functype_delete(types[k]);
    }
    imports.size = 3;
    assert_null(wasm_instance_new(s, m, &imports, &trap));
    want_trap(trap, "too few imports");
    imports.size = 4;
    externs[1] = externs[0];
    assert_null(wasm_instance_new(s, m, &imports, &trap));
    want_trap(trap, "host.ref");
    assert_null(wasm_instance_new(s, m, &imports, NULL));
    externs[1] = wasm_func_as_extern(funcs[1]);
    i = wasm_instance_new(s, m, &imports, &trap);
    assert_non_null(i);
    assert_null(trap);
    wasm_instance_exports(i, &exports);
    assert_null(wasm_func_call(wasm_extern_as_func(exports.data[1]), &none, &rets)); /* sum */
    assert_true(out.of.f64 == 10.75);
    want_trap(wasm_func_call(wasm_extern_as_func(exports.data[3]), &args, NULL),
              "long words"); /* fail */
    want_trap(wasm_func_call(wasm_extern_as_func(exports.data[4]), &args, &rets),
              "wrong value"); /* down */
    for (int k = 0; k < 4; k++)
        wasm_func_delete(funcs[k]);
    v = (wasm_val_t)WASM_REF_VAL(wasm_instance_as_ref(i));
    assert_null(wasm_func_call(wasm_extern_as_func(exports.data[2]), &args, &rets)); /* ref */
    assert_ptr_equal(wasm_ref_as_instance(out.of.ref), i);
    wasm_val_delete(&out);
    wasm_extern_vec_delete(&exports);
    wasm_instance_delete(i);
    wasm_module_delete(m);
    assert_int_equal(finalized, 0);
    wasm_store_delete(s);
    assert_int_equal(finalized, 1);
}

/* ---- Modules, and making things directly ---- */

static void test_modules(void **state)
{
    wasm_store_t *s = wasm_store_new(engine), *s2 = wasm_store_new(engine);
    wasm_byte_vec_t bad = {4, (char *)(uintptr_t)"oops"}, serial;
    wasm_module_t *m = module_of(s, guest_kitchen, sizeof guest_kitchen), *m2;
    wasm_shared_module_t *shared = wasm_module_share(m);
    wasm_instance_t *i;

    (void)state;
    assert_null(wasm_module_new(s, &bad));
    assert_false(wasm_module_validate(s, &bad));
    wasm_module_serialize(m, &serial);
    assert_true(wasm_module_validate(s, &serial));
    wasm_module_delete(m);
    wasm_store_delete(s);
    m2 = wasm_module_deserialize(s2, &serial);
    assert_non_null(m2);
    serial.data[serial.size / 2] ^= 0x55;
    wasm_module_delete(
        wasm_module_deserialize(s2, &serial)); /* whatever comes, it does not crash */
    wasm_byte_vec_delete(&serial);
    m = wasm_module_obtain(s2, shared);
    wasm_shared_module_delete(shared);
    i = wasm_instance_new(s2, m, NULL, NULL);
    assert_non_null(i);
    wasm_instance_delete(i);
    wasm_module_delete(m);
    wasm_module_delete(m2);
    wasm_store_delete(s2);
}

static void test_makers(void **state)
{
    wasm_store_t *s = wasm_store_new(engine);
    wasm_limits_t good = {1, 2}, bad = {3, 2}, huge = {70000, 70000},
                  open = {0, wasm_limits_max_default};
    wasm_globaltype_t *gt = wasm_globaltype_new(type(WASM_I64), WASM_VAR);
    wasm_val_t v = WASM_I64_VAL(INT64_MIN), out;
    wasm_memorytype_t *mt;
    wasm_tabletype_t *tt;
    wasm_global_t *g;
    wasm_memory_t *m;
    wasm_table_t *t;

    (void)state;
    g = wasm_global_new(s, gt, &v);
    wasm_global_get(g, &out);
    assert_true(out.of.i64 == INT64_MIN);
    v.kind = WASM_I32;
    assert_null(wasm_global_new(s, gt, &v));
    wasm_globaltype_delete(gt);
    wasm_global_delete(g);
    for (int k = 0; k < 4; k++) {
        mt = wasm_memorytype_new(k == 0 ? &good : k == 1 ? &bad : k == 2 ? &huge : &open);
        m = wasm_memory_new(s, mt);
        assert_int_equal(m != NULL, k == 0 || k == 3);
        wasm_memorytype_delete(mt);
        wasm_memory_delete(m);
        tt = wasm_tabletype_new(k == 2 ? type(WASM_I32) : type(WASM_EXTERNREF),
                                k == 1 ? &bad : &good);
        t = wasm_table_new(s, tt, NULL);
        assert_int_equal(t != NULL, k == 0 || k == 3);
        wasm_tabletype_delete(tt);
        if (t) {
            assert_int_equal(wasm_table_size(t), 1);
            assert_true(wasm_table_grow(t, 1, NULL));
            assert_false(wasm_table_grow(t, 1, NULL));
        }
        wasm_table_delete(t);
    }
    assert_null(wasm_func_new(s, NULL, complain));
    assert_null(wasm_trap_new(NULL, NULL));
    want_trap(wasm_trap_new(s, NULL), "host function failed");
    wasm_store_delete(s);
}

static void test_null(void **state)
{
    wasm_extern_vec_t externs;
    wasm_importtype_vec_t imports;
    wasm_frame_vec_t frames;
    wasm_byte_vec_t bytes;
    wasm_val_t v;

    (void)state;
    assert_null(wasm_store_new(NULL));
    wasm_store_delete(NULL);
    wasm_engine_delete(NULL);
    wasm_config_delete(NULL);
    wasm_ref_delete(NULL);
    wasm_val_delete(NULL);
    wasm_val_copy(NULL, NULL);
    assert_null(wasm_ref_copy(NULL));
    assert_true(wasm_ref_same(NULL, NULL));
    assert_null(wasm_func_get_host_info(NULL));
    wasm_func_set_host_info(NULL, NULL);
    assert_null(wasm_ref_as_func(NULL));
    assert_null(wasm_extern_as_func(NULL));
    assert_null(wasm_extern_type(NULL));
    assert_int_equal(wasm_extern_kind(NULL), 0);
    assert_null(wasm_module_new(NULL, NULL));
    assert_false(wasm_module_validate(NULL, NULL));
    wasm_module_imports(NULL, &imports);
    assert_int_equal(imports.size, 0);
    wasm_module_imports(NULL, NULL);
    wasm_module_exports(NULL, NULL);
    wasm_module_serialize(NULL, &bytes);
    assert_null(wasm_module_share(NULL));
    assert_null(wasm_module_obtain(NULL, NULL));
    wasm_shared_module_delete(NULL);
    assert_null(wasm_instance_new(NULL, NULL, NULL, NULL));
    wasm_instance_exports(NULL, &externs);
    assert_int_equal(externs.size, 0);
    wasm_instance_exports(NULL, NULL);
    assert_null(wasm_func_new(NULL, NULL, NULL));
    assert_null(wasm_func_type(NULL));
    assert_null(wasm_func_call(NULL, NULL, NULL));
    wasm_global_get(NULL, &v);
    wasm_global_get(NULL, NULL);
    wasm_global_set(NULL, NULL);
    assert_null(wasm_global_type(NULL));
    assert_null(wasm_table_get(NULL, 0));
    assert_false(wasm_table_set(NULL, 0, NULL));
    assert_int_equal(wasm_table_size(NULL), 0);
    assert_null(wasm_memory_data(NULL));
    assert_int_equal(wasm_memory_data_size(NULL), 0);
    assert_false(wasm_memory_grow(NULL, 1));
    wasm_trap_message(NULL, &bytes);
    assert_null(wasm_trap_origin(NULL));
    wasm_trap_trace(NULL, &frames);
    assert_null(wasm_frame_copy(NULL));
    assert_null(wasm_frame_instance(NULL));
    assert_int_equal(wasm_frame_func_index(NULL) + wasm_frame_func_offset(NULL), 0);
    assert_null(wasm_foreign_new(NULL));
    assert_null(wasm_functype_copy(NULL));
    assert_null(wasm_functype_params(NULL));
    assert_null(wasm_importtype_new(NULL, NULL, NULL));
    assert_null(wasm_exporttype_copy(NULL));
    assert_null(wasm_externtype_copy(NULL));
    wasm_externtype_delete(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_deletion_orders),
        cmocka_unit_test(test_host_info),
        cmocka_unit_test(test_casts),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_wrong_calls),
        cmocka_unit_test(test_callbacks),
        cmocka_unit_test(test_modules),
        cmocka_unit_test(test_makers),
        cmocka_unit_test(test_null),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
