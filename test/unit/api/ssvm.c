/* ssvm.h from the embedder's side: calls, host functions, limits, errors, and every function with
 * NULL and with what belongs elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "guests.h"
#include "ssvm.h"

#include "../tsan.h"

#if TSAN
#define NEEDS_SIGNALS() skip()
#else
#define NEEDS_SIGNALS() (void)0
#endif

struct world {
    ssvm_engine *engine;
    ssvm_module *module;
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_instance *instance;
};

static void ok(ssvm_error *e)
{
    if (e)
        fail_msg("%s", ssvm_error_message(e));
}

/* The error must be of this kind and say something that contains `text`. */
static void want(ssvm_error *e, ssvm_error_kind kind, const char *text)
{
    assert_non_null(e);
    if (ssvm_error_kind_of(e) != kind || !strstr(ssvm_error_message(e), text))
        fail_msg("wanted kind %d with '%s', got kind %d: %s", kind, text, ssvm_error_kind_of(e),
                 ssvm_error_message(e));
    ssvm_error_delete(e);
}

/* cmocka takes SIGSEGV for each test; the library installed its handler once, with the first
 * engine. */
static struct sigaction fault_handler;

static int set_up(void **state)
{
    ssvm_engine *engine;

    (void)state;
    signal(SIGSEGV, SIG_DFL);
    ok(ssvm_engine_new(NULL, &engine));
    ssvm_engine_delete(engine);
    return sigaction(SIGSEGV, NULL, &fault_handler);
}

static void open_world(struct world *w, const unsigned char *guest, size_t len,
                       const ssvm_limits *limits)
{
    memset(w, 0, sizeof *w);
    sigaction(SIGSEGV, &fault_handler, NULL);
    ok(ssvm_engine_new(NULL, &w->engine));
    ok(ssvm_module_new(w->engine, guest, len, &w->module));
    ok(ssvm_store_new(w->engine, limits, &w->store));
    ok(ssvm_linker_new(w->store, &w->linker));
}

static void close_world(struct world *w)
{
    ssvm_linker_delete(w->linker);
    ssvm_store_delete(w->store);
    ssvm_module_delete(w->module);
    ssvm_engine_delete(w->engine);
}

static void open_kitchen(struct world *w, const ssvm_limits *limits)
{
    open_world(w, guest_kitchen, sizeof guest_kitchen, limits);
    ok(ssvm_linker_instantiate(w->linker, w->module, &w->instance));
}

static ssvm_error *call(struct world *w, const char *name, const ssvm_val *args, size_t nargs,
                        ssvm_val *rets, size_t nrets)
{
    return ssvm_func_call(w->store, ssvm_instance_func(w->instance, name), args, nargs, rets,
                          nrets);
}

/* ---- Values ---- */

static void test_values(void **state)
{
    struct world w;
    ssvm_val in = {0}, out = {0}, three[3], back[3];
    ssvm_func *add;

    (void)state;
    open_kitchen(&w, NULL);
    add = ssvm_instance_func(w.instance, "add");
    in = (ssvm_val){.kind = SSVM_I64, .of.i64 = INT64_MIN + 5};
    ok(call(&w, "i64", &in, 1, &out, 1));
    assert_true(out.kind == SSVM_I64 && out.of.i64 == INT64_MIN + 5);
    in = (ssvm_val){.kind = SSVM_F32, .of.f32 = -0.5f};
    ok(call(&w, "f32", &in, 1, &out, 1));
    assert_true(out.kind == SSVM_F32 && out.of.f32 == -0.5f);
    in = (ssvm_val){.kind = SSVM_F64, .of.f64 = 1e300};
    ok(call(&w, "f64", &in, 1, &out, 1));
    assert_true(out.kind == SSVM_F64 && out.of.f64 == 1e300);
    in = (ssvm_val){.kind = SSVM_V128,
                    .of.v128 = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};
    ok(call(&w, "v128", &in, 1, &out, 1));
    assert_true(out.kind == SSVM_V128);
    assert_memory_equal(out.of.v128, in.of.v128, 16);
    in = (ssvm_val){.kind = SSVM_FUNCREF, .of.func = add};
    ok(call(&w, "funcref", &in, 1, &out, 1));
    assert_true(out.kind == SSVM_FUNCREF && out.of.func == add);
    in.of.func = NULL;
    ok(call(&w, "funcref", &in, 1, &out, 1));
    assert_null(out.of.func);
    three[0] = (ssvm_val){.kind = SSVM_I32, .of.i32 = -3};
    three[1] = (ssvm_val){.kind = SSVM_V128, .of.v128 = {9, 8, 7}};
    three[2] = (ssvm_val){.kind = SSVM_I64, .of.i64 = 1234567890123};
    ok(call(&w, "swap", three, 3, back, 3));
    assert_true(back[0].of.i64 == 1234567890123 && back[2].of.i32 == -3 && back[1].of.v128[0] == 9);
    close_world(&w);
}

static void test_references(void **state)
{
    struct world w;
    ssvm_val in = {.kind = SSVM_EXTERNREF}, out = {0};
    uint64_t payload = 0;

    (void)state;
    open_kitchen(&w, NULL);
    in.of.ref = ssvm_ref_new_host(w.store, (UINT64_C(1) << 62) - 1);
    ok(call(&w, "externref", &in, 1, &out, 1));
    assert_true(ssvm_ref_payload(w.store, out.of.ref, &payload) &&
                payload == (UINT64_C(1) << 62) - 1);
    assert_true(ssvm_ref_new_host(w.store, UINT64_C(1) << 62) == 0);
    in.of.ref = 0;
    ok(call(&w, "externref", &in, 1, &out, 1));
    assert_true(out.of.ref == 0);
    assert_false(ssvm_ref_payload(w.store, 0, &payload));
    /* handles that nobody gave out */
    for (unsigned i = 3; i < 64; i++) {
        in.of.ref = UINT64_C(1) << i;
        want(call(&w, "externref", &in, 1, &out, 1), SSVM_EUSAGE, "argument 0");
        ssvm_ref_delete(w.store, in.of.ref);
        assert_true(ssvm_ref_copy(w.store, in.of.ref) == 0);
    }
    close_world(&w);
}

static void test_globals_and_memory(void **state)
{
    struct world w;
    ssvm_val v = {0};
    ssvm_global *var;
    ssvm_memory *m;

    (void)state;
    open_kitchen(&w, NULL);
    var = ssvm_instance_global(w.instance, "var");
    ssvm_global_get(w.store, var, &v);
    assert_true(v.kind == SSVM_I64 && v.of.i64 == 7);
    v.of.i64 = -1;
    ok(ssvm_global_set(w.store, var, &v));
    ssvm_global_get(w.store, var, &v);
    assert_true(v.of.i64 == -1);
    v.kind = SSVM_I32;
    want(ssvm_global_set(w.store, var, &v), SSVM_EUSAGE, "wrong kind");
    want(ssvm_global_set(w.store, ssvm_instance_global(w.instance, "const"), &v), SSVM_EUSAGE,
         "immutable");
    m = ssvm_instance_memory(w.instance, "memory");
    assert_int_equal(ssvm_memory_size(m), 65536);
    ssvm_memory_data(m)[100] = 42;
    v = (ssvm_val){.kind = SSVM_I32, .of.i32 = 100};
    ok(call(&w, "load", &v, 1, &v, 1));
    assert_int_equal(v.of.i32, 42);
    assert_int_equal(ssvm_memory_grow(m, 3), 1);
    assert_int_equal(ssvm_memory_grow(m, 1), -1);
    assert_int_equal(ssvm_memory_size(m), 4 * 65536);
    assert_null(ssvm_instance_memory(w.instance, "table"));
    assert_null(ssvm_instance_func(w.instance, "memory"));
    assert_null(ssvm_instance_global(w.instance, "no such"));
    assert_non_null(ssvm_instance_table(w.instance, "table"));
    close_world(&w);
}

/* ---- Errors ---- */

static void test_decode_errors(void **state)
{
    static const unsigned char cut[] = {0, 'a', 's', 'm', 1, 0, 0, 0, 1, 99};
    char path[] = "/tmp/ssvm-api-XXXXXX";
    ssvm_module *m = NULL;
    ssvm_engine *engine;
    ssvm_error *e;
    int fd;

    (void)state;
    ok(ssvm_engine_new(NULL, &engine));
    want(ssvm_module_new(engine, "", 0, &m), SSVM_EMALFORMED, "");
    want(ssvm_module_new(engine, "hello, world", 12, &m), SSVM_EMALFORMED, "magic");
    e = ssvm_module_new(engine, cut, sizeof cut, &m);
    assert_non_null(e);
    assert_true(ssvm_error_offset(e) >= 8 && ssvm_error_offset(e) <= (int64_t)sizeof cut);
    assert_int_equal(ssvm_error_trap_code(e), 0);
    assert_int_equal(ssvm_error_exit_status(e), -1);
    assert_string_equal(ssvm_error_backtrace(e), "");
    ssvm_error_delete(e);
    want(ssvm_module_open(engine, "/no/such/file", &m), SSVM_EIO, "'/no/such/file'");
    want(ssvm_module_open(engine, "/tmp", &m), SSVM_EIO, "directory");
    want(ssvm_module_open(engine, "/dev/null", &m), SSVM_EMALFORMED, "/dev/null");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, guest_kitchen, sizeof guest_kitchen), sizeof guest_kitchen);
    ok(ssvm_module_open(engine, path, &m));
    ssvm_module_delete(m);
    /* Large enough to be mapped: a custom section of nothing. */
    assert_int_equal(write(fd, "\0\x80\x80\x08\1x", 6), 6);
    assert_int_equal(ftruncate(fd, sizeof guest_kitchen + 4 + (8 << 14)), 0);
    ok(ssvm_module_open(engine, path, &m));
    assert_true(ssvm_module_nexports(m) > 0);
    ssvm_module_delete(m);
    close(fd);
    unlink(path);
    ssvm_engine_delete(engine);
}

static void test_traps(void **state)
{
    ssvm_val args[2] = {{.kind = SSVM_I32, .of.i32 = 1}, {.kind = SSVM_I32, .of.i32 = 0}}, out;
    struct world w;
    ssvm_error *e;

    (void)state;
    open_kitchen(&w, NULL);
    e = call(&w, "divide", args, 2, &out, 1);
    assert_non_null(e);
    assert_int_equal(ssvm_error_trap_code(e), SSVM_TRAP_DIVIDE_BY_ZERO);
    assert_non_null(strstr(ssvm_error_backtrace(e), "divide"));
    want(e, SSVM_ETRAP, "integer divide by zero");
    want(call(&w, "unreachable", NULL, 0, NULL, 0), SSVM_ETRAP, "unreachable");
    args[0].of.i32 = -1;
    want(call(&w, "load", args, 1, &out, 1), SSVM_ETRAP, "out of bounds memory access");
    want(call(&w, "recurse", NULL, 0, NULL, 0), SSVM_ETRAP, "call stack exhausted");
    args[1].of.i32 = 2;
    args[0].of.i32 = 84;
    ok(call(&w, "divide", args, 2, &out, 1)); /* the store is as good as new */
    assert_int_equal(out.of.i32, 42);
    close_world(&w);
}

static void test_usage(void **state)
{
    ssvm_val arg = {.kind = SSVM_I32}, out;
    struct world w, other;

    (void)state;
    open_kitchen(&w, NULL);
    open_kitchen(&other, NULL);
    want(call(&w, "i64", &arg, 1, &out, 1), SSVM_EUSAGE, "argument 0");
    want(call(&w, "i64", NULL, 0, &out, 1), SSVM_EUSAGE, "takes 1 arguments");
    arg.kind = SSVM_I64;
    want(call(&w, "i64", &arg, 1, NULL, 0), SSVM_EUSAGE, "room");
    arg.kind = (ssvm_kind)77;
    want(call(&w, "i64", &arg, 1, &out, 1), SSVM_EUSAGE, "argument 0");
    want(ssvm_func_call(other.store, ssvm_instance_func(w.instance, "i64"), &arg, 1, &out, 1),
         SSVM_EUSAGE, "another store");
    arg = (ssvm_val){.kind = SSVM_FUNCREF, .of.func = ssvm_instance_func(w.instance, "add")};
    want(call(&other, "funcref", &arg, 1, &out, 1), SSVM_EUSAGE, "store");
    want(ssvm_linker_define_instance(w.linker, "x", other.instance), SSVM_EUSAGE, "another store");
    want(ssvm_linker_instantiate(w.linker, other.module, &w.instance), SSVM_EUSAGE,
         "another engine");
    want(ssvm_instance_start(NULL), SSVM_EUSAGE, "");
    close_world(&w);
    close_world(&other);
}

/* Every function that can report takes NULL; those that cannot answer with nothing. */
static void test_null(void **state)
{
    struct world w;
    void *any = NULL;
    size_t n;

    (void)state;
    open_kitchen(&w, NULL);
    assert_non_null(ssvm_version());
    ssvm_error_delete(NULL);
    assert_int_equal(ssvm_error_kind_of(NULL), 0);
    assert_non_null(ssvm_error_message(NULL));
    assert_non_null(ssvm_error_backtrace(NULL));
    assert_int_equal(ssvm_error_offset(NULL), -1);
    ssvm_error_delete(ssvm_error_new(NULL));
    want(ssvm_engine_new(NULL, NULL), SSVM_EUSAGE, "");
    ssvm_engine_delete(NULL);
    want(ssvm_module_new(NULL, "", 0, (ssvm_module **)&any), SSVM_EUSAGE, "");
    want(ssvm_module_new(w.engine, NULL, 5, (ssvm_module **)&any), SSVM_EUSAGE, "");
    want(ssvm_module_new(w.engine, "", 0, NULL), SSVM_EUSAGE, "");
    want(ssvm_module_open(w.engine, NULL, (ssvm_module **)&any), SSVM_EUSAGE, "");
    ssvm_module_delete(NULL);
    assert_int_equal(ssvm_module_nexports(NULL) + ssvm_module_nimports(NULL), 0);
    assert_null(ssvm_module_export(NULL, 0, &n, NULL, NULL));
    assert_null(ssvm_module_export(w.module, 1000, &n, NULL, NULL));
    assert_non_null(ssvm_module_export(w.module, 0, NULL, NULL, NULL));
    ssvm_module_import(w.module, 1000, NULL, NULL, NULL, NULL, NULL);
    want(ssvm_store_new(NULL, NULL, (ssvm_store **)&any), SSVM_EUSAGE, "");
    want(ssvm_store_new(w.engine, NULL, NULL), SSVM_EUSAGE, "");
    ssvm_store_delete(NULL);
    assert_null(ssvm_store_data(NULL));
    ssvm_store_set_data(NULL, NULL);
    ssvm_store_cancel(NULL);
    ssvm_store_resume(NULL);
    ssvm_store_stats(NULL, NULL);
    ssvm_limits_default(NULL);
    want(ssvm_linker_new(NULL, (ssvm_linker **)&any), SSVM_EUSAGE, "");
    ssvm_linker_delete(NULL);
    want(ssvm_linker_define_func(w.linker, "a", "b", NULL, NULL, NULL, NULL), SSVM_EUSAGE, "");
    want(ssvm_linker_define_instance(NULL, "a", NULL), SSVM_EUSAGE, "");
    want(ssvm_linker_define_wasi(NULL, NULL), SSVM_EUSAGE, "");
    want(ssvm_linker_instantiate(w.linker, NULL, &w.instance), SSVM_EUSAGE, "");
    want(ssvm_template_new(NULL, NULL, NULL), SSVM_EUSAGE, "");
    want(ssvm_template_instantiate(NULL, NULL, NULL, NULL), SSVM_EUSAGE, "");
    ssvm_template_delete(NULL);
    assert_null(ssvm_caller_store(NULL));
    assert_null(ssvm_caller_instance(NULL));
    assert_null(ssvm_caller_slice(NULL, 0, 0));
    assert_null(ssvm_instance_func(NULL, "x"));
    assert_null(ssvm_instance_func(w.instance, NULL));
    assert_null(ssvm_func_type(NULL));
    want(ssvm_func_call(NULL, NULL, NULL, 0, NULL, 0), SSVM_EUSAGE, "");
    want(ssvm_func_call(w.store, ssvm_instance_func(w.instance, "add"), NULL, 2, NULL, 0),
         SSVM_EUSAGE, "");
    assert_null(ssvm_memory_data(NULL));
    assert_int_equal(ssvm_memory_size(NULL), 0);
    assert_int_equal(ssvm_memory_grow(NULL, 1), -1);
    ssvm_global_get(NULL, NULL, NULL);
    want(ssvm_global_set(w.store, NULL, NULL), SSVM_EUSAGE, "");
    want(ssvm_instance_initialize(NULL), SSVM_EUSAGE, "");
    assert_null(ssvm_functype_new(NULL, 3, NULL, 0));
    assert_null(ssvm_functype_new((ssvm_kind[]){(ssvm_kind)-1}, 1, NULL, 0));
    ssvm_functype_delete(NULL);
    assert_int_equal(ssvm_functype_nparams(NULL) + ssvm_functype_nresults(NULL), 0);
    assert_true(ssvm_ref_new_host(NULL, 1) == 0);
    ssvm_ref_delete(NULL, 8);
    ssvm_string_delete(NULL);
    close_world(&w);
}

static void test_sizes(void **state)
{
    struct {
        ssvm_limits limits;
        uint64_t more[4];
    } longer = {.limits = SSVM_LIMITS_INIT};
    ssvm_config config = SSVM_CONFIG_INIT;
    ssvm_engine *engine;
    ssvm_store *store;

    (void)state;
    config.tier = "jit";
    want(ssvm_engine_new(&config, &engine), SSVM_EUSAGE, "'jit'");
    config.tier = "interp";
    config.disable = "simd,nonsense";
    want(ssvm_engine_new(&config, &engine), SSVM_EUSAGE, "'nonsense'");
    config.disable = "simd";
    ok(ssvm_engine_new(&config, &engine));
    {
        ssvm_module *m = NULL;
        ssvm_error *e = ssvm_module_new(engine, guest_kitchen, sizeof guest_kitchen, &m);

        assert_non_null(e); /* it has vectors */
        ssvm_error_delete(e);
    }
    config.size = 3;
    want(ssvm_engine_new(&config, &engine), SSVM_EUSAGE, "size");
    longer.limits.size = sizeof longer; /* a newer program with nothing new in use */
    ok(ssvm_store_new(engine, &longer.limits, &store));
    ssvm_store_delete(store);
    longer.more[3] = 1;
    want(ssvm_store_new(engine, &longer.limits, &store), SSVM_EUSAGE, "size");
    ssvm_engine_delete(engine);
}

/* ---- Host functions ---- */

static unsigned released;

static void release(void *data)
{
    (void)data;
    released++;
}

static ssvm_error *host_sum(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    assert_ptr_equal(data, &released);
    assert_non_null(ssvm_caller_instance(c));
    assert_true(ret[0].kind == SSVM_F64);
    ret[0].of.f64 = args[0].of.i32 + (double)args[1].of.i64 + args[2].of.f32 + args[3].of.f64;
    return NULL;
}

static ssvm_error *host_ref(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    uint64_t payload;

    (void)data;
    assert_true(args[1].kind == SSVM_FUNCREF && !args[1].of.func);
    assert_true(ssvm_ref_payload(ssvm_caller_store(c), args[0].of.ref, &payload));
    ret[0].of.ref = ssvm_ref_new_host(ssvm_caller_store(c), payload + 1);
    return NULL;
}

static ssvm_error *host_fail(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    (void)data;
    (void)ret;
    assert_null(ssvm_caller_slice(c, 65536, 1));
    assert_null(ssvm_caller_slice(c, UINT64_MAX, 2));
    assert_non_null(ssvm_caller_slice(c, 65536, 0));
    return args[0].of.i32 ? ssvm_error_new_exit(args[0].of.i32) : ssvm_error_new("no luck today");
}

/* Back into the guest. */
static ssvm_error *host_again(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    const char *name = data;

    return ssvm_func_call(ssvm_caller_store(c), ssvm_instance_func(ssvm_caller_instance(c), name),
                          args, 1, ret, 1);
}

static void define(struct world *w, const char *name, const char *sig, ssvm_host_fn fn, void *data)
{
    ssvm_kind kinds[8];
    size_t n = 0, np = 0;
    ssvm_functype *t;

    for (; *sig; sig++) {
        if (*sig == ':')
            np = n;
        else
            kinds[n++] = (ssvm_kind)(strchr("iIfFvcr", *sig) - "iIfFvcr");
    }
    t = ssvm_functype_new(kinds, np, kinds + np, n - np);
    assert_int_equal(ssvm_functype_nparams(t), np);
    assert_int_equal(ssvm_functype_nresults(t), n - np);
    ok(ssvm_linker_define_func(w->linker, "host", name, t, fn, data, release));
    ssvm_functype_delete(t);
}

static void open_host(struct world *w, const char *again)
{
    open_world(w, guest_host, sizeof guest_host, NULL);
    define(w, "sum", "iIfF:F", host_sum, &released);
    define(w, "ref", "rc:r", host_ref, NULL);
    define(w, "fail", "i:", host_fail, NULL);
    define(w, "again", "i:i", host_again, (void *)(uintptr_t)again);
    ok(ssvm_linker_instantiate(w->linker, w->module, &w->instance));
}

struct sum {
    ssvm_store *store;
    uint64_t calls;
};

/* The same as by its number. */
static void check_calls(void *data, size_t i, const ssvm_host_calls *f)
{
    ssvm_host_calls one = SSVM_HOST_CALLS_INIT;
    struct sum *sum = data;

    assert_true(ssvm_store_host_calls(sum->store, i, &one));
    assert_string_equal(one.name, f->name);
    assert_int_equal(one.calls, f->calls);
    assert_int_equal(one.gas, f->gas);
    sum->calls += f->calls;
}

static void test_host_functions(void **state)
{
    ssvm_val arg = {.kind = SSVM_I32}, out;
    ssvm_stats stats = SSVM_STATS_INIT;
    struct sum sum = {0};
    struct world w;
    uint64_t payload;
    ssvm_error *e;

    (void)state;
    released = 0;
    open_host(&w, "down");
    ok(call(&w, "sum", NULL, 0, &out, 1));
    assert_true(out.of.f64 == 1 + 2 + 3.5 + 4.25);
    arg = (ssvm_val){.kind = SSVM_EXTERNREF, .of.ref = ssvm_ref_new_host(w.store, 41)};
    ok(call(&w, "ref", &arg, 1, &out, 1));
    assert_true(ssvm_ref_payload(w.store, out.of.ref, &payload) && payload == 42);
    arg = (ssvm_val){.kind = SSVM_I32};
    e = call(&w, "fail", &arg, 1, NULL, 0);
    assert_int_equal(ssvm_error_trap_code(e), SSVM_TRAP_HOST);
    want(e, SSVM_ETRAP, "no luck today");
    arg.of.i32 = 3;
    e = call(&w, "fail", &arg, 1, NULL, 0);
    assert_int_equal(ssvm_error_exit_status(e), 3);
    want(e, SSVM_EEXIT, "");
    arg.of.i32 = 20;
    ok(call(&w, "down", &arg, 1, &out, 1));
    assert_int_equal(out.of.i32, 20);
    arg.of.i32 = 1 << 30; /* C's stack ends before the guest's patience: a trap, not a crash */
    want(call(&w, "down", &arg, 1, &out, 1), SSVM_ETRAP, "call stack exhausted");
    ssvm_store_stats(w.store, &stats);
    assert_true(stats.host_calls > 20);
    sum.store = w.store;
    ssvm_store_each_host_calls(w.store, check_calls, &sum);
    assert_int_equal(sum.calls, stats.host_calls);
    ssvm_store_each_host_calls(NULL, check_calls, &sum);
    ssvm_store_each_host_calls(w.store, NULL, NULL);
    assert_int_equal(released, 0);
    close_world(&w);
    assert_int_equal(released, 4);
}

/* guest -> host -> guest traps: the trap keeps its code through the host's frame. */
static void test_nested_trap(void **state)
{
    ssvm_val arg = {.kind = SSVM_I32, .of.i32 = 1}, out;
    struct world w;
    ssvm_error *e;

    (void)state;
    open_host(&w, "trap");
    e = call(&w, "down", &arg, 1, &out, 1);
    assert_int_equal(ssvm_error_trap_code(e), SSVM_TRAP_UNREACHABLE);
    want(e, SSVM_ETRAP, "unreachable");
    close_world(&w);
}

static void test_exceptions(void **state)
{
    ssvm_val arg = {.kind = SSVM_I32, .of.i32 = 42};
    struct world w;

    (void)state;
    open_world(&w, guest_exn, sizeof guest_exn, NULL);
    define(&w, "pass", "i:i", host_again, (void *)(uintptr_t)"throw");
    ok(ssvm_linker_instantiate(w.linker, w.module, &w.instance));
    want(call(&w, "throw", &arg, 1, NULL, 0), SSVM_EEXCEPTION, "uncaught exception");
    close_world(&w);
}

/* An exception crosses a host frame that hands the error on, with its payload. */
static ssvm_error *host_pass(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    (void)data;
    (void)ret;
    return ssvm_func_call(ssvm_caller_store(c),
                          ssvm_instance_func(ssvm_caller_instance(c), "throw"), args, 1, NULL, 0);
}

static void test_exception_through_host(void **state)
{
    ssvm_val arg = {.kind = SSVM_I32, .of.i32 = 42}, out;
    struct world w;

    (void)state;
    open_world(&w, guest_exn, sizeof guest_exn, NULL);
    define(&w, "pass", "i:i", host_pass, NULL);
    ok(ssvm_linker_instantiate(w.linker, w.module, &w.instance));
    ok(call(&w, "catch", &arg, 1, &out, 1));
    assert_int_equal(out.of.i32, 42);
    close_world(&w);
}

/* ---- Linking ---- */

static void test_linking(void **state)
{
    ssvm_val args[3], out;
    ssvm_instance *lib;
    ssvm_module *m;
    struct world w;

    (void)state;
    open_kitchen(&w, NULL);
    lib = w.instance;
    ok(ssvm_module_new(w.engine, guest_import, sizeof guest_import, &m));
    want(ssvm_linker_instantiate(w.linker, m, &w.instance), SSVM_ELINK, "lib.add");
    ok(ssvm_linker_define_instance(w.linker, "lib", lib));
    ok(ssvm_linker_instantiate(w.linker, m, &w.instance));
    for (int i = 0; i < 3; i++)
        args[i] = (ssvm_val){.kind = SSVM_I32, .of.i32 = 10 * i};
    ok(call(&w, "add3", args, 3, &out, 1));
    assert_int_equal(out.of.i32, 30);
    ok(call(&w, "poke", NULL, 0, NULL, 0));
    assert_int_equal(ssvm_memory_data(ssvm_instance_memory(lib, "memory"))[5], 77);
    ssvm_global_get(w.store, ssvm_instance_global(lib, "var"), &out);
    assert_int_equal(out.of.i64, 99);
    args[0].of.i32 = 1;
    ok(call(&w, "indirect", args, 1, &out, 1));
    assert_int_equal(out.of.i32, 42);
    args[0].of.i32 = 0;
    want(call(&w, "indirect", args, 1, &out, 1), SSVM_ETRAP, "uninitialized element");
    ssvm_module_delete(m); /* the instance keeps it */
    args[0].of.i32 = 1;
    ok(call(&w, "indirect", args, 1, &out, 1));
    close_world(&w);
}

static void test_wrong_import_type(void **state)
{
    struct world w;

    (void)state;
    open_world(&w, guest_host, sizeof guest_host, NULL);
    define(&w, "sum", "i:F", host_sum, NULL);
    define(&w, "ref", "rc:r", host_ref, NULL);
    define(&w, "fail", "i:", host_fail, NULL);
    define(&w, "again", "i:i", host_again, NULL);
    want(ssvm_linker_instantiate(w.linker, w.module, &w.instance), SSVM_ELINK, "host.sum");
    close_world(&w);
}

static void test_wasi(void **state)
{
    static const char *const args[] = {"prog", "a", "b"};
    ssvm_wasi wasi = SSVM_WASI_INIT;
    struct world w;
    ssvm_error *e;

    (void)state;
    for (size_t n = 0; n <= 3; n += 3) {
        open_world(&w, guest_exit, sizeof guest_exit, NULL);
        wasi.args = args;
        wasi.nargs = n;
        ok(ssvm_linker_define_wasi(w.linker, &wasi));
        want(ssvm_linker_define_wasi(w.linker, &wasi), SSVM_EUSAGE, "already");
        ok(ssvm_linker_instantiate(w.linker, w.module, &w.instance));
        e = ssvm_instance_start(w.instance);
        assert_int_equal(ssvm_error_exit_status(e), n ? 3 : -1);
        assert_true(n ? e != NULL : e == NULL);
        ssvm_error_delete(e);
        close_world(&w);
    }
    open_world(&w, guest_exit, sizeof guest_exit, NULL);
    want(ssvm_linker_instantiate(w.linker, w.module, &w.instance), SSVM_ELINK, "proc_exit");
    wasi.out.kind = SSVM_STREAM_CALLBACK;
    want(ssvm_linker_define_wasi(w.linker, &wasi), SSVM_EUSAGE, "stream");
    wasi.out.kind = SSVM_STREAM_BYTES;
    want(ssvm_linker_define_wasi(w.linker, &wasi), SSVM_EUSAGE, "stream");
    wasi.out.kind = SSVM_STREAM_NULL;
    wasi.args = NULL;
    want(ssvm_linker_define_wasi(w.linker, &wasi), SSVM_EUSAGE, "missing array");
    close_world(&w);
}

static void test_initialize_once(void **state)
{
    struct world w;
    ssvm_val v;

    (void)state;
    open_kitchen(&w, NULL);
    for (int i = 0; i < 3; i++)
        ok(ssvm_instance_initialize(w.instance));
    ssvm_global_get(w.store, ssvm_instance_global(w.instance, "inits"), &v);
    assert_int_equal(v.of.i32, 1);
    ok(ssvm_instance_start(w.instance));
    close_world(&w);
}

static void test_template(void **state)
{
    static const char *const args[] = {"x"};
    ssvm_wasi wasi = SSVM_WASI_INIT;
    ssvm_template *t = NULL, *none = NULL;
    ssvm_module *m;
    struct world w;
    ssvm_error *e;

    (void)state;
    open_world(&w, guest_exit, sizeof guest_exit, NULL);
    want(ssvm_template_new(w.linker, w.module, &t), SSVM_ELINK, "proc_exit");
    ok(ssvm_linker_define_wasi(w.linker, &wasi));
    ok(ssvm_template_new(w.linker, w.module, &t));
    close_world(&w);
    open_kitchen(&w, NULL);
    want(ssvm_template_instantiate(t, w.store, NULL, &w.instance), SSVM_EUSAGE, "another engine");
    ssvm_template_delete(t);
    ok(ssvm_linker_define_instance(w.linker, "lib", w.instance));
    ok(ssvm_module_new(w.engine, guest_import, sizeof guest_import, &m));
    want(ssvm_template_new(w.linker, m, &none), SSVM_EUSAGE, "not a host function");
    ssvm_module_delete(m);
    ok(ssvm_module_new(w.engine, guest_exit, sizeof guest_exit, &m));
    ok(ssvm_linker_define_wasi(w.linker, NULL));
    ok(ssvm_template_new(w.linker, m, &t));
    ssvm_module_delete(m);
    for (size_t n = 0; n < 2; n++) {
        ssvm_store *s;

        wasi.args = args;
        wasi.nargs = n;
        ok(ssvm_store_new(w.engine, NULL, &s));
        ok(ssvm_template_instantiate(t, s, &wasi, &w.instance));
        e = ssvm_instance_start(w.instance);
        assert_int_equal(ssvm_error_exit_status(e), n ? 1 : -1);
        ssvm_error_delete(e);
        ssvm_store_delete(s);
    }
    ssvm_template_delete(t);
    close_world(&w);
    /* host functions */
    open_host(&w, "down");
    ok(ssvm_template_new(w.linker, w.module, &t));
    for (int i = 0; i < 3; i++) {
        ssvm_store *s, *mine = w.store;
        ssvm_val out;

        ok(ssvm_store_new(w.engine, NULL, &s));
        ok(ssvm_template_instantiate(t, s, NULL, &w.instance));
        w.store = s;
        ok(call(&w, "sum", NULL, 0, &out, 1));
        assert_true(out.of.f64 == 10.75);
        w.store = mine;
        ssvm_store_delete(s);
    }
    ssvm_template_delete(t);
    close_world(&w);
}

/* Handles keep objects alive while everything is collected at every allocation. */
static void test_gc(void **state)
{
    ssvm_config config = SSVM_CONFIG_INIT;
    ssvm_val v = {.kind = SSVM_I32, .of.i32 = 5}, a, b, out;
    uint64_t payload;
    struct world w;

    (void)state;
    memset(&w, 0, sizeof w);
    config.gc_stress = true;
    ok(ssvm_engine_new(&config, &w.engine));
    ok(ssvm_module_new(w.engine, guest_gc, sizeof guest_gc, &w.module));
    ok(ssvm_store_new(w.engine, NULL, &w.store));
    ok(ssvm_linker_new(w.store, &w.linker));
    ok(ssvm_linker_instantiate(w.linker, w.module, &w.instance));
    ok(call(&w, "new", &v, 1, &a, 1));
    assert_true(a.kind == SSVM_ANYREF && a.of.ref != 0);
    v.of.i32 = 100;
    ok(call(&w, "churn", &v, 1, NULL, 0));
    ok(call(&w, "get", &a, 1, &out, 1));
    assert_int_equal(out.of.i32, 5);
    b = a;
    b.of.ref = ssvm_ref_copy(w.store, a.of.ref);
    assert_true(b.of.ref != 0 && b.of.ref != a.of.ref);
    ssvm_ref_delete(w.store, a.of.ref);
    ssvm_ref_delete(w.store, a.of.ref); /* twice: nothing */
    ok(call(&w, "churn", &v, 1, NULL, 0));
    ok(call(&w, "get", &b, 1, &out, 1));
    assert_int_equal(out.of.i32, 5);
    ok(call(&w, "out", &b, 1, &out, 1));
    assert_int_equal(out.kind, SSVM_EXTERNREF);
    ssvm_ref_delete(w.store, b.of.ref);
    want(call(&w, "get", &b, 1, &b, 1), SSVM_EUSAGE, "argument 0");
    ok(call(&w, "churn", &v, 1, NULL, 0));
    ok(call(&w, "in", &out, 1, &a, 1));
    ok(call(&w, "get", &a, 1, &b, 1));
    assert_int_equal(b.of.i32, 5);
    ok(call(&w, "i31", &v, 1, &a, 1));
    want(call(&w, "get", &a, 1, &out, 1), SSVM_ETRAP, "cast failure");
    /* The hierarchies of objects and exceptions do not mix, whatever the embedder says they are. */
    v.of.i32 = 5;
    ok(call(&w, "new", &v, 1, &a, 1));
    a.kind = SSVM_EXNREF;
    want(call(&w, "rethrow", &a, 1, NULL, 0), SSVM_EUSAGE, "argument 0");
    a.of.ref = ssvm_ref_new_host(w.store, 8);
    want(call(&w, "rethrow", &a, 1, NULL, 0), SSVM_EUSAGE, "argument 0");
    ok(call(&w, "exn", NULL, 0, &a, 1));
    assert_int_equal(a.kind, SSVM_EXNREF);
    want(call(&w, "rethrow", &a, 1, NULL, 0), SSVM_EEXCEPTION, "uncaught exception");
    a.kind = SSVM_ANYREF;
    want(call(&w, "get", &a, 1, &out, 1), SSVM_EUSAGE, "argument 0");
    a.kind = SSVM_EXTERNREF;
    want(call(&w, "in", &a, 1, &out, 1), SSVM_EUSAGE, "argument 0");
    out = (ssvm_val){.kind = SSVM_EXTERNREF, .of.ref = ssvm_ref_new_host(w.store, 77)};
    ok(call(&w, "in", &out, 1, &a, 1));
    assert_true(a.kind == SSVM_ANYREF && ssvm_ref_payload(w.store, a.of.ref, &payload) &&
                payload == 77);
    close_world(&w);
}

/* ---- Limits and interruption: bounds are generous, timings are bench/interrupt.c's ---- */

static void test_deadline(void **state)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    struct world w;
    ssvm_error *e;

    (void)state;
    NEEDS_SIGNALS();
    limits.wall_ms = 30;
    open_kitchen(&w, &limits);
    for (int i = 0; i < 3; i++) { /* each call has its own */
        e = call(&w, "spin", NULL, 0, NULL, 0);
        assert_int_equal(ssvm_error_trap_code(e), SSVM_TRAP_DEADLINE);
        want(e, SSVM_ETRAP, "deadline exceeded");
    }
    ok(call(&w, "fill", NULL, 0, NULL, 0));
    close_world(&w);
    limits.wall_ms = 0;
    limits.cpu_ms = 30;
    open_kitchen(&w, &limits);
    e = call(&w, "spin", NULL, 0, NULL, 0);
    assert_int_equal(ssvm_error_trap_code(e), SSVM_TRAP_CPU_LIMIT);
    ssvm_error_delete(e);
    ok(call(&w, "fill", NULL, 0, NULL, 0));
    close_world(&w);
    limits.cpu_ms = UINT64_MAX;
    limits.wall_ms = UINT64_MAX;
    open_kitchen(&w, &limits);
    ok(call(&w, "fill", NULL, 0, NULL, 0));
    close_world(&w);
}

static void *cancel(void *store)
{
    struct timespec pause = {.tv_nsec = 20000000};

    nanosleep(&pause, NULL);
    ssvm_store_cancel(store);
    return NULL;
}

/* Where the guest is in the host, or in one long instruction. */
static void test_interrupted_elsewhere(void **state)
{
    static const char *const names[] = {"loop", "fill", "poll", "read"};
    ssvm_limits limits = SSVM_LIMITS_INIT;
    ssvm_wasi wasi = SSVM_WASI_INIT;
    pthread_t thread;
    int silent[2];

    (void)state;
    NEEDS_SIGNALS();
    assert_int_equal(pipe(silent), 0);
    limits.wall_ms = 30;
    wasi.in = (ssvm_stream){.kind = SSVM_STREAM_FD, .fd = silent[0]};
    for (unsigned i = 0; i < 4; i++) {
        struct world w;

        open_world(&w, guest_interrupt, sizeof guest_interrupt, &limits);
        ok(ssvm_linker_define_wasi(w.linker, &wasi));
        ok(ssvm_linker_instantiate(w.linker, w.module, &w.instance));
        want(call(&w, names[i], NULL, 0, NULL, 0), SSVM_ETRAP, "deadline exceeded");
        close_world(&w);
        open_world(&w, guest_interrupt, sizeof guest_interrupt, NULL);
        ok(ssvm_linker_define_wasi(w.linker, &wasi));
        ok(ssvm_linker_instantiate(w.linker, w.module, &w.instance));
        pthread_create(&thread, NULL, cancel, w.store);
        want(call(&w, names[i], NULL, 0, NULL, 0), SSVM_ETRAP, "cancelled");
        pthread_join(thread, NULL);
        close_world(&w);
    }
    close(silent[0]);
    close(silent[1]);
}

static void test_cancel(void **state)
{
    pthread_t thread;
    struct world w;
    ssvm_error *e;

    (void)state;
    NEEDS_SIGNALS();
    open_kitchen(&w, NULL);
    pthread_create(&thread, NULL, cancel, w.store);
    e = call(&w, "spin", NULL, 0, NULL, 0);
    pthread_join(thread, NULL);
    assert_int_equal(ssvm_error_trap_code(e), SSVM_TRAP_CANCELLED);
    want(e, SSVM_ETRAP, "cancelled");
    want(call(&w, "spin", NULL, 0, NULL, 0), SSVM_ETRAP, "cancelled");
    ssvm_store_resume(w.store);
    ok(call(&w, "fill", NULL, 0, NULL, 0));
    close_world(&w);
}

static void *second_user(void *arg)
{
    struct world *w = arg;
    ssvm_val v = {.kind = SSVM_I32};

    return call(w, "fail", &v, 1, NULL, 0);
}

/* While the guest is in this function, another thread tries the store. */
static ssvm_error *host_thread(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    pthread_t thread;
    void *e;

    (void)c;
    (void)args;
    (void)ret;
    pthread_create(&thread, NULL, second_user, data);
    pthread_join(thread, &e);
    return e;
}

static void test_two_threads(void **state)
{
    ssvm_val v = {.kind = SSVM_I32};
    struct world w;

    (void)state;
    open_world(&w, guest_host, sizeof guest_host, NULL);
    define(&w, "sum", "iIfF:F", host_sum, &released);
    define(&w, "ref", "rc:r", host_ref, NULL);
    define(&w, "fail", "i:", host_thread, &w);
    define(&w, "again", "i:i", host_again, NULL);
    ok(ssvm_linker_instantiate(w.linker, w.module, &w.instance));
    want(call(&w, "fail", &v, 1, NULL, 0), SSVM_ETRAP, "another thread");
    close_world(&w);
}

static void test_gas(void **state)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    ssvm_stats stats = SSVM_STATS_INIT;
    uint64_t once;
    struct world w;
    ssvm_error *e;

    (void)state;
    limits.gas = SSVM_GAS_COUNT;
    open_kitchen(&w, &limits);
    ok(call(&w, "fill", NULL, 0, NULL, 0));
    ssvm_store_stats(w.store, &stats);
    once = stats.gas_used;
    assert_true(once > 1000); /* 65,536 bytes at 64 a unit */
    assert_true(stats.memory_peak_bytes == 65536);
    close_world(&w);
    limits.gas = once;
    open_kitchen(&w, &limits);
    ok(call(&w, "fill", NULL, 0, NULL, 0));
    e = call(&w, "fill", NULL, 0, NULL, 0);
    assert_int_equal(ssvm_error_trap_code(e), SSVM_TRAP_GAS);
    ssvm_error_delete(e);
    close_world(&w);
    limits.gas = 100000;
    open_kitchen(&w, &limits);
    want(call(&w, "spin", NULL, 0, NULL, 0), SSVM_ETRAP, "gas exhausted");
    close_world(&w);
}

static void test_memory_limit(void **state)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    struct world w;

    (void)state;
    limits.memory_bytes = 2 * 65536;
    open_kitchen(&w, &limits);
    assert_int_equal(ssvm_memory_grow(ssvm_instance_memory(w.instance, "memory"), 2), -1);
    assert_int_equal(ssvm_memory_grow(ssvm_instance_memory(w.instance, "memory"), 1), 1);
    want(ssvm_linker_instantiate(w.linker, w.module, &w.instance), SSVM_ELIMIT, "memor");
    close_world(&w);
    limits.memory_bytes = 0;
    limits.instances = 2;
    open_kitchen(&w, &limits);
    ok(ssvm_linker_instantiate(w.linker, w.module, &w.instance));
    want(ssvm_linker_instantiate(w.linker, w.module, &w.instance), SSVM_ELIMIT, "instances");
    close_world(&w);
}

/* Bytes of this process's address space. */
static uint64_t address_space(void)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%llu", &pages), 1);
    fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A deleted store leaves its memory's reservation for the next, until somebody wants it back. */
static void test_trim(void **state)
{
    uint64_t before = address_space(), live;
    ssvm_instance *again;
    ssvm_store *second;
    ssvm_linker *linker;
    struct world w;

    (void)state;
    open_kitchen(&w, NULL);
    ok(ssvm_store_new(w.engine, NULL, &second));
    ok(ssvm_linker_new(second, &linker));
    ok(ssvm_linker_instantiate(linker, w.module, &again));
    live = address_space();
    ssvm_linker_delete(linker);
    ssvm_store_delete(second);
    ssvm_engine_trim(w.engine);
    assert_true(live - address_space() >= (uint64_t)4 << 30);
    ssvm_linker_delete(w.linker);
    ssvm_store_delete(w.store);
    ssvm_engine_trim(w.engine);
    assert_true(address_space() < before + ((uint64_t)1 << 30));
    ok(ssvm_store_new(w.engine, NULL, &w.store));
    ok(ssvm_linker_new(w.store, &w.linker));
    ok(ssvm_linker_instantiate(w.linker, w.module, &w.instance));
    close_world(&w);
}

/* Modules and stores outlive the engine that they came from, instances their module. */
static void test_lifetimes(void **state)
{
    struct world w;

    (void)state;
    open_kitchen(&w, NULL);
    ssvm_engine_delete(w.engine);
    ssvm_linker_delete(w.linker);
    ssvm_module_delete(w.module);
    ok(call(&w, "fill", NULL, 0, NULL, 0));
    ssvm_store_set_data(w.store, &w);
    assert_ptr_equal(ssvm_store_data(w.store), &w);
    ssvm_store_delete(w.store);
}

static void test_exports(void **state)
{
    ssvm_extern_kind kind;
    ssvm_functype *t;
    struct world w;
    const char *name;
    size_t len;

    (void)state;
    open_kitchen(&w, NULL);
    name = ssvm_module_export(w.module, 0, &len, &kind, &t);
    assert_true(len == 6 && memcmp(name, "memory", 6) == 0 && kind == SSVM_EXTERN_MEMORY && !t);
    for (size_t i = 0; i < ssvm_module_nexports(w.module); i++) {
        name = ssvm_module_export(w.module, i, &len, &kind, &t);
        if (len == 4 && memcmp(name, "swap", 4) == 0) {
            assert_int_equal(kind, SSVM_EXTERN_FUNC);
            assert_int_equal(ssvm_functype_nparams(t), 3);
            assert_int_equal(ssvm_functype_param(t, 1), SSVM_V128);
            assert_int_equal(ssvm_functype_result(t, 0), SSVM_I64);
            assert_int_equal(ssvm_functype_result(t, 99), SSVM_I32);
        }
        ssvm_functype_delete(t);
    }
    t = ssvm_func_type(ssvm_instance_func(w.instance, "externref"));
    assert_int_equal(ssvm_functype_param(t, 0), SSVM_EXTERNREF);
    ssvm_functype_delete(t);
    close_world(&w);
}

/* Guests that call the host that calls them: every activation is in the samples. */
static void test_profile(void **state)
{
    ssvm_val arg = {.kind = SSVM_I32, .of.i32 = 20}, out;
    clock_t begun = clock();
    struct world w;
    char *text;
    size_t len;

    (void)state;
    open_host(&w, "down");
    want(ssvm_store_profile_start(NULL), SSVM_EUSAGE, "no store");
    want(ssvm_store_profile_end(w.store, SSVM_PROFILE_SVG, &text, &len), SSVM_EUSAGE,
         "not being profiled");
    ok(ssvm_store_profile_start(w.store));
    want(ssvm_store_profile_start(w.store), SSVM_EUSAGE, "already");
    while (clock() - begun < CLOCKS_PER_SEC / 5)
        ok(call(&w, "down", &arg, 1, &out, 1));
    want(ssvm_store_profile_end(w.store, (ssvm_profile_format)7, &text, &len), SSVM_EUSAGE,
         "format");
    ok(ssvm_store_profile_end(w.store, SSVM_PROFILE_FOLDED, &text, &len));
    assert_int_equal(strlen(text), len);
    assert_non_null(strstr(text, "down;down;down;"));
    ssvm_string_delete(text);
    /* Ended with its store, too. */
    ok(ssvm_store_profile_start(w.store));
    close_world(&w);
    open_host(&w, "down");
    ok(ssvm_store_profile_start(w.store));
    ok(ssvm_store_profile_end(w.store, SSVM_PROFILE_SVG, &text, &len));
    assert_non_null(strstr(text, "</svg>"));
    ssvm_string_delete(text);
    close_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_references),
        cmocka_unit_test(test_globals_and_memory),
        cmocka_unit_test(test_decode_errors),
        cmocka_unit_test(test_traps),
        cmocka_unit_test(test_usage),
        cmocka_unit_test(test_null),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_host_functions),
        cmocka_unit_test(test_nested_trap),
        cmocka_unit_test(test_exceptions),
        cmocka_unit_test(test_exception_through_host),
        cmocka_unit_test(test_linking),
        cmocka_unit_test(test_wrong_import_type),
        cmocka_unit_test(test_wasi),
        cmocka_unit_test(test_initialize_once),
        cmocka_unit_test(test_template),
        cmocka_unit_test(test_gc),
        cmocka_unit_test(test_deadline),
        cmocka_unit_test(test_interrupted_elsewhere),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_two_threads),
        cmocka_unit_test(test_gas),
        cmocka_unit_test(test_memory_limit),
        cmocka_unit_test(test_trim),
        cmocka_unit_test(test_lifetimes),
        cmocka_unit_test(test_exports),
        cmocka_unit_test(test_profile),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
