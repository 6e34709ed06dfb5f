/* Running: calls between instances, tail calls, exceptions through host functions, traps' places,
 * deep recursion, interruption. Results of single instructions are the official scripts' business.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "interp/interp.h"

#include "../tsan.h"

/* clang-format off */
/*
 * (module
 *   (type $t (func (param i32) (result i32)))
 *   (import "h" "host" (func $host (result i32)))
 *   (tag $tag (export "tag") (param i32))
 *   (table (export "table") 4 funcref)
 *   (elem (i32.const 0) $ping $pingd)
 *   (func $ping (export "ping") (param i32) (result i32)
 *     (if (result i32) (local.get 0)
 *       (then (return_call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 2)))
 *       (else (i32.const 7))))
 *   (func $pingd (export "pingd") (param i32) (result i32)
 *     (if (result i32) (local.get 0)
 *       (then (i32.add (i32.const 1) (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 3))))
 *       (else (i32.const 7))))
 *   (func (export "throw") (throw $tag (i32.const 42)))
 *   (func (export "catch") (result i32)
 *     (try (result i32) (do (i32.add (i32.const 100) (call $host))) (catch $tag)))
 *   (func (export "host") (result i32) (call $host)))
 */
static const uint8_t module_a[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x11, 0x04, 0x60, 0x01, 0x7f, 0x01, 0x7f,
    0x60, 0x00, 0x01, 0x7f, 0x60, 0x01, 0x7f, 0x00, 0x60, 0x00, 0x00, 0x02, 0x0a, 0x01, 0x01, 0x68,
    0x04, 0x68, 0x6f, 0x73, 0x74, 0x00, 0x01, 0x03, 0x06, 0x05, 0x00, 0x00, 0x03, 0x01, 0x01, 0x04,
    0x04, 0x01, 0x70, 0x00, 0x04, 0x0d, 0x03, 0x01, 0x00, 0x02, 0x07, 0x35, 0x07, 0x03, 0x74, 0x61,
    0x67, 0x04, 0x00, 0x05, 0x74, 0x61, 0x62, 0x6c, 0x65, 0x01, 0x00, 0x04, 0x70, 0x69, 0x6e, 0x67,
    0x00, 0x01, 0x05, 0x70, 0x69, 0x6e, 0x67, 0x64, 0x00, 0x02, 0x05, 0x74, 0x68, 0x72, 0x6f, 0x77,
    0x00, 0x03, 0x05, 0x63, 0x61, 0x74, 0x63, 0x68, 0x00, 0x04, 0x04, 0x68, 0x6f, 0x73, 0x74, 0x00,
    0x05, 0x09, 0x08, 0x01, 0x00, 0x41, 0x00, 0x0b, 0x02, 0x01, 0x02, 0x0a, 0x48, 0x05, 0x14, 0x00,
    0x20, 0x00, 0x04, 0x7f, 0x20, 0x00, 0x41, 0x01, 0x6b, 0x41, 0x02, 0x13, 0x00, 0x00, 0x05, 0x41,
    0x07, 0x0b, 0x0b, 0x17, 0x00, 0x20, 0x00, 0x04, 0x7f, 0x41, 0x01, 0x20, 0x00, 0x41, 0x01, 0x6b,
    0x41, 0x03, 0x11, 0x00, 0x00, 0x6a, 0x05, 0x41, 0x07, 0x0b, 0x0b, 0x06, 0x00, 0x41, 0x2a, 0x08,
    0x00, 0x0b, 0x0d, 0x00, 0x06, 0x7f, 0x41, 0xe4, 0x00, 0x10, 0x00, 0x6a, 0x07, 0x00, 0x0b, 0x0b,
    0x04, 0x00, 0x10, 0x00, 0x0b};
/*
 * (module
 *   (type $t (func (param i32) (result i32)))
 *   (import "a" "table" (table 4 funcref))
 *   (elem (i32.const 2) $pong $pongd)
 *   (func $pong (param i32) (result i32)
 *     (if (result i32) (local.get 0)
 *       (then (return_call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))
 *       (else (i32.const 8))))
 *   (func $pongd (param i32) (result i32)
 *     (if (result i32) (local.get 0)
 *       (then (i32.add (i32.const 1) (call_indirect (type $t) (i32.sub (local.get 0) (i32.const 1)) (i32.const 1))))
 *       (else (i32.const 8)))))
 */
static const uint8_t module_b[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x06, 0x01, 0x60, 0x01, 0x7f, 0x01, 0x7f,
    0x02, 0x0d, 0x01, 0x01, 0x61, 0x05, 0x74, 0x61, 0x62, 0x6c, 0x65, 0x01, 0x70, 0x00, 0x04, 0x03,
    0x03, 0x02, 0x00, 0x00, 0x09, 0x08, 0x01, 0x00, 0x41, 0x02, 0x0b, 0x02, 0x00, 0x01, 0x0a, 0x2e,
    0x02, 0x14, 0x00, 0x20, 0x00, 0x04, 0x7f, 0x20, 0x00, 0x41, 0x01, 0x6b, 0x41, 0x00, 0x13, 0x00,
    0x00, 0x05, 0x41, 0x08, 0x0b, 0x0b, 0x17, 0x00, 0x20, 0x00, 0x04, 0x7f, 0x41, 0x01, 0x20, 0x00,
    0x41, 0x01, 0x6b, 0x41, 0x01, 0x11, 0x00, 0x00, 0x6a, 0x05, 0x41, 0x08, 0x0b, 0x0b};
/*
 * (module (memory 1)
 *   (func (export "spin") (loop $l br $l))
 *   (func $oob (param i32) (result i32) (i32.load offset=4 (i32.add (local.get 0) (i32.const 70000))))
 *   (func $mid (param i32) (result i32) (i32.add (call $oob (local.get 0)) (i32.const 1)))
 *   (func (export "oob") (result i32) (call $mid (i32.const 1)))
 *   (func $deep (export "deep") (param i32) (result i32) (i32.add (call $deep (i32.add (local.get 0) (i32.const 1))) (i32.const 1))))
 */
static const uint8_t module_c[] = {
    0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x0d, 0x03, 0x60, 0x00, 0x00, 0x60, 0x01,
    0x7f, 0x01, 0x7f, 0x60, 0x00, 0x01, 0x7f, 0x03, 0x06, 0x05, 0x00, 0x01, 0x01, 0x02, 0x01, 0x05,
    0x03, 0x01, 0x00, 0x01, 0x07, 0x15, 0x03, 0x04, 0x73, 0x70, 0x69, 0x6e, 0x00, 0x00, 0x03, 0x6f,
    0x6f, 0x62, 0x00, 0x03, 0x04, 0x64, 0x65, 0x65, 0x70, 0x00, 0x04, 0x0a, 0x34, 0x05, 0x07, 0x00,
    0x03, 0x40, 0x0c, 0x00, 0x0b, 0x0b, 0x0c, 0x00, 0x20, 0x00, 0x41, 0xf0, 0xa2, 0x04, 0x6a, 0x28,
    0x02, 0x04, 0x0b, 0x09, 0x00, 0x20, 0x00, 0x10, 0x01, 0x41, 0x01, 0x6a, 0x0b, 0x06, 0x00, 0x41,
    0x01, 0x10, 0x02, 0x0b, 0x0c, 0x00, 0x20, 0x00, 0x41, 0x01, 0x6a, 0x10, 0x04, 0x41, 0x01, 0x6a,
    0x0b};
/* clang-format on */

struct world {
    struct sv_engine *engine;
    struct sv_store *store;
    struct sv_module *modules[3];
    struct sv_instance *a, *b, *c;
    struct sv_func *thrower;
};

static struct sv_module *module_of(struct world *w, const uint8_t *bytes, size_t n)
{
    struct sv_decode_options options = {.features = UINT64_MAX};
    struct sv_err err = {0};
    struct sv_module *m = NULL;

    if (sv_module_new(&err, w->engine->types, bytes, n, NULL, &options, &m) < 0)
        fail_msg("%s", err.text);
    return m;
}

/* The host function of module a: calls the guest's `throw` and hands the exception on. */
static int call_thrower(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct world *w = c->data;
    union sv_slot none[1];

    (void)arg;
    ret[0].i32 = 5;
    return w->thrower ? sv_func_call(c->th, w->thrower, none) : 0;
}

static struct sv_func *func(struct sv_instance *inst, const char *name)
{
    struct sv_extern e;

    assert_true(sv_instance_export(inst, sv_str_of(name), &e));
    return e.func;
}

static void world_init(struct world *w, bool no_optimise, bool metered)
{
    struct sv_err err = {0};
    const sv_valtype i32 = SV_VALTYPE(SV_VAL_I32);
    struct sv_extern import = {.kind = SV_EXTERN_FUNC};

    *w = (struct world){0};
    assert_int_equal(sv_engine_new(&err, &w->engine), 0);
    w->engine->exec = &sv_interp_ops;
    w->engine->no_optimise = no_optimise;
    assert_int_equal(sv_store_new(&err, w->engine, NULL, &w->store), 0);
    if (metered)
        sv_store_set_gas(w->store, INT64_MAX);
    w->modules[0] = module_of(w, module_a, sizeof module_a);
    w->modules[1] = module_of(w, module_b, sizeof module_b);
    w->modules[2] = module_of(w, module_c, sizeof module_c);
    import.func = sv_func_new_host(w->store, sv_types_func(w->engine->types, NULL, 0, &i32, 1),
                                   call_thrower, w, "h.host", 0);
    assert_int_equal(sv_instance_new(&err, w->store, w->modules[0], &import, &w->a), 0);
    assert_true(sv_instance_export(w->a, sv_str_of("table"), &import));
    assert_int_equal(sv_instance_new(&err, w->store, w->modules[1], &import, &w->b), 0);
    assert_int_equal(sv_instance_new(&err, w->store, w->modules[2], NULL, &w->c), 0);
}

static void world_release(struct world *w)
{
    sv_store_delete(w->store);
    for (unsigned i = 0; i < 3; i++)
        sv_module_unref(w->modules[i]);
    sv_engine_unref(w->engine);
}

static int call1(struct world *w, struct sv_func *f, uint32_t arg, uint32_t *ret)
{
    union sv_slot args[1] = {{.i32 = arg}};
    int r = sv_func_call(&w->store->thread, f, args);

    *ret = args[0].i32;
    return r;
}

static void tail_calls_between_instances(struct world *w)
{
    uint32_t ret;

    /* a million frames would not fit: constant space */
    assert_int_equal(call1(w, func(w->a, "ping"), 1000000, &ret), 0);
    assert_int_equal(ret, 7);
    assert_int_equal(call1(w, func(w->a, "ping"), 999999, &ret), 0);
    assert_int_equal(ret, 8);
}

static void calls_between_instances(struct world *w)
{
    uint32_t ret;

    assert_int_equal(call1(w, func(w->a, "pingd"), 1001, &ret), 0);
    assert_int_equal(ret, 1001 + 8);
    assert_int_equal(call1(w, func(w->a, "pingd"), UINT32_MAX, &ret), SV_ETRAP);
    assert_int_equal(w->store->thread.trap.code, SV_TRAP_STACK);
    assert_int_equal(w->store->thread.trap.nframes, SV_FRAMES_MAX);
    assert_ptr_not_equal(w->store->thread.trap.frames[0].module,
                         w->store->thread.trap.frames[1].module);
}

static void exceptions_through_a_host_function(struct world *w)
{
    uint32_t ret;

    w->thrower = func(w->a, "throw");
    assert_int_equal(call1(w, func(w->a, "catch"), 0, &ret), 0);
    assert_int_equal(ret, 42);
    assert_int_equal(call1(w, func(w->a, "host"), 0, &ret), SV_EEXCEPTION);
    w->thrower = NULL;
    assert_int_equal(call1(w, func(w->a, "catch"), 0, &ret), 0);
    assert_int_equal(ret, 105);
}

static void traps_name_their_place(struct world *w)
{
    const struct sv_trap *trap = &w->store->thread.trap;
    uint32_t ret;

    assert_int_equal(call1(w, func(w->c, "oob"), 0, &ret), SV_ETRAP);
    assert_int_equal(trap->code, SV_TRAP_MEMORY_BOUNDS);
    assert_int_equal(trap->nframes, 3);
    /* wasm-objdump's offsets of the load and the two calls */
    assert_int_equal(trap->frames[0].func, 1);
    assert_int_equal(trap->frames[0].offset, 0x4f);
    assert_int_equal(trap->frames[1].func, 2);
    assert_int_equal(trap->frames[1].offset, 0x57);
    assert_int_equal(trap->frames[2].func, 3);
    assert_int_equal(trap->frames[2].offset, 0x61);
}

static void recursion_is_a_trap(struct world *w)
{
    uint32_t ret;

    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(call1(w, func(w->c, "deep"), 0, &ret), SV_ETRAP);
        assert_int_equal(w->store->thread.trap.code, SV_TRAP_STACK);
        assert_int_equal(w->store->thread.trap.frames[0].offset, 0x6b);
        assert_true(w->store->thread.trap.nskipped > 1000);
    }
}

static void endless_loops_end(struct world *w)
{
    uint32_t ret;
    uint64_t from = sv_clock_ns();

    sv_store_set_deadline(w->store, from + 20000000);
    assert_int_equal(call1(w, func(w->c, "spin"), 0, &ret), SV_ETRAP);
    assert_int_equal(w->store->thread.trap.code, SV_TRAP_DEADLINE);
    assert_true(sv_clock_ns() - from >= 20000000);
    sv_store_set_deadline(w->store, 0);
    sv_store_clear_interrupt(w->store);
}

/* ---- One module, several threads with a store each: its code is made and shared while all run
 * ---- */

#define THREADS 4

struct worker {
    pthread_t thread;
    struct sv_engine *engine;
    struct sv_module *module;
    int result, trap;
};

static void *work(void *arg)
{
    struct worker *k = arg;
    struct sv_store *s = NULL;
    struct sv_instance *inst = NULL;
    struct sv_extern e;
    union sv_slot args[1] = {{.i32 = 0}};

    k->result = -1000;
    if (sv_store_new(NULL, k->engine, NULL, &s) < 0)
        return NULL;
    if (sv_instance_new(NULL, s, k->module, NULL, &inst) == 0 &&
        sv_instance_export(inst, sv_str_of("deep"), &e)) {
        k->result = sv_func_call(&s->thread, e.func, args);
        k->trap = s->thread.trap.code;
    }
    sv_store_delete(s);
    return NULL;
}

static void threads_share_code(void)
{
    struct worker workers[THREADS] = {0};
    struct world w;

    for (unsigned round = 0; round < 10; round++) {
        world_init(&w, false, false);
        for (unsigned i = 0; i < THREADS; i++) {
            workers[i].engine = w.engine;
            workers[i].module = w.modules[2];
            assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
        }
        for (unsigned i = 0; i < THREADS; i++) {
            pthread_join(workers[i].thread, NULL);
            assert_int_equal(workers[i].result, SV_ETRAP);
            assert_int_equal(workers[i].trap, SV_TRAP_STACK);
        }
        world_release(&w);
    }
}

/* One test for all: between tests cmocka takes the fault handler away from the runtime. */
static void test_running(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        struct world w;

        world_init(&w, i & 1, i & 2);
        tail_calls_between_instances(&w);
        calls_between_instances(&w);
        exceptions_through_a_host_function(&w);
        traps_name_their_place(&w);
        recursion_is_a_trap(&w);
        if (!TSAN)
            endless_loops_end(&w);
        world_release(&w);
    }
    threads_share_code();
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_running)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
