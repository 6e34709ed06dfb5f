/* The meter through the public API: what it says against what the embedder gave, in linkers and
 * templates, with clocks and without. The gas of guests in every tier is test/cli/meter.sh's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "host/meter/meter.h"
#include "ssvm.h"

static ssvm_engine *engine;
static ssvm_module *module;

static void ok(own ssvm_error *e)
{
    if (e)
        fail_msg("%s", ssvm_error_message(e));
}

static void put(unsigned char **at, size_t n, const void *bytes)
{
    memcpy(*at, bytes, n);
    *at += n;
}

static void put_name(unsigned char **at, const char *name)
{
    *(*at)++ = (unsigned char)strlen(name);
    put(at, strlen(name), name);
}

/* A section of the bytes between `body` and *at, moved to make room for its head. */
static void put_section(unsigned char **at, unsigned char id, unsigned char *body)
{
    size_t len = (size_t)(*at - body);
    unsigned char head[] = {id, (unsigned char)(len % 128 + 128), (unsigned char)(len / 128)};

    memmove(body + sizeof head, body, len);
    memcpy(body, head, sizeof head);
    *at += sizeof head;
}

/* Every function of the meter under its own name, called by one of the guest. */
static size_t make_module(unsigned char *bytes)
{
    unsigned char *at = bytes, *body;
    unsigned char n = (unsigned char)sv_host_meter.nfuncs, i;

    put(&at, 8, "\0asm\1\0\0\0");
    put(&at, 7, "\1\5\1\x60\0\1\x7e"); /* () -> i64 */
    *(body = at++) = n;
    for (i = 0; i < n; i++) {
        put_name(&at, "ssvm_meter");
        put_name(&at, sv_host_meter.funcs[i].name);
        put(&at, 2, "\0\0");
    }
    put_section(&at, 2, body);
    *(body = at++) = n;
    memset(at, 0, n);
    at += n;
    put_section(&at, 3, body);
    put(&at, 5, "\5\3\1\0\1"); /* a page */
    *(body = at++) = n;
    for (i = 0; i < n; i++) {
        put_name(&at, sv_host_meter.funcs[i].name);
        *at++ = 0;
        *at++ = n + i;
    }
    put_section(&at, 7, body);
    *(body = at++) = n;
    for (i = 0; i < n; i++) {
        put(&at, 3, "\4\0\x10");
        *at++ = i;
        *at++ = 0x0b;
    }
    put_section(&at, 10, body);
    return (size_t)(at - bytes);
}

static int set_up(void **state)
{
    unsigned char bytes[1024];

    (void)state;
    ok(ssvm_engine_new(NULL, &engine));
    ok(ssvm_module_new(engine, bytes, make_module(bytes), &module));
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    ssvm_module_delete(module);
    ssvm_engine_delete(engine);
    return 0;
}

struct guest {
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_instance *instance;
};

static void open_guest(struct guest *g, const ssvm_limits *limits, const ssvm_wasi *wasi)
{
    ok(ssvm_store_new(engine, limits, &g->store));
    ok(ssvm_linker_new(g->store, &g->linker));
    if (wasi)
        ok(ssvm_linker_define_wasi(g->linker, wasi));
    ok(ssvm_linker_instantiate(g->linker, module, &g->instance));
}

static void close_guest(struct guest *g)
{
    ssvm_linker_delete(g->linker);
    ssvm_store_delete(g->store);
}

static int64_t ask(struct guest *g, const char *name)
{
    ssvm_val ret;

    ok(ssvm_func_call(g->store, ssvm_instance_func(g->instance, name), NULL, 0, &ret, 1));
    return ret.of.i64;
}

static void nothing_limited(void **state)
{
    struct guest g;

    (void)state;
    open_guest(&g, NULL, NULL);
    assert_int_equal(ask(&g, "gas_used"), -1);
    assert_int_equal(ask(&g, "gas_left"), -1);
    assert_int_equal(ask(&g, "cpu_left"), -1);
    assert_int_equal(ask(&g, "wall_left"), -1);
    assert_int_equal(ask(&g, "memory_used"), 65536);
    assert_int_equal(ask(&g, "memory_peak"), 65536);
    assert_int_equal(ask(&g, "memory_limit"), (int64_t)4 << 30);
    close_guest(&g);
}

/* An instruction, and the cost of the call; calls of one store add up. */
static void gas(void **state)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    struct guest g;

    (void)state;
    limits.gas = 1000;
    open_guest(&g, &limits, NULL);
    assert_int_equal(ask(&g, "gas_used"), 11);
    assert_int_equal(ask(&g, "gas_left"), 1000 - 22);
    assert_int_equal(ask(&g, "memory_used"), 65536);
    assert_int_equal(ask(&g, "wall_used") % 1000000, 0);
    assert_int_equal(ask(&g, "gas_used"), 11 + 11 + 11 + 21 + 11);
    close_guest(&g);
    limits.gas = SSVM_GAS_COUNT;
    open_guest(&g, &limits, NULL);
    assert_int_equal(ask(&g, "gas_used"), 11);
    assert_int_equal(ask(&g, "gas_left"), -1);
    close_guest(&g);
}

static void sleep_ms(long ms)
{
    struct timespec ts = {ms / 1000, ms % 1000 * 1000000};

    while (nanosleep(&ts, &ts) != 0)
        ;
}

/* Time is of the call, not of the store; without fine clocks it comes in whole ms. */
static void times(void **state)
{
    static const char *const names[] = {"wall_used", "wall_left", "cpu_used", "cpu_left"};
    ssvm_limits limits = SSVM_LIMITS_INIT;
    ssvm_wasi wasi = SSVM_WASI_INIT;
    unsigned uneven = 0;
    struct guest g;

    (void)state;
    limits.wall_ms = limits.cpu_ms = 3600000;
    open_guest(&g, &limits, &wasi);
    sleep_ms(300);
    for (unsigned i = 0; i < 100; i++)
        uneven += ask(&g, names[i % 4]) % 1000000 != 0;
    assert_true(uneven > 0);
    assert_in_range(ask(&g, "wall_left"), 1, 3600000 * UINT64_C(1000000));
    assert_in_range(ask(&g, "cpu_left"), 1, 3600000 * UINT64_C(1000000));
    close_guest(&g);
    for (unsigned k = 0; k < 2; k++) { /* clocks that are coarse, and none */
        wasi.coarse_clock = true;
        open_guest(&g, &limits, k ? NULL : &wasi);
        for (unsigned i = 0; i < 100; i++)
            assert_int_equal(ask(&g, names[i % 4]) % 1000000, 0);
        assert_in_range(ask(&g, "wall_left"), 1, 3600000 * UINT64_C(1000000));
        close_guest(&g);
    }
}

/* The host sleeps inside of the call: wall time passes, CPU time does not. */
static ssvm_error *slow(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    struct guest *g = data;
    int64_t before = ask(g, "wall_used"), cpu = ask(g, "cpu_used");

    (void)c;
    (void)args;
    sleep_ms(200);
    assert_true(ask(g, "wall_used") - before >= 200 * 1000000);
    assert_true(ask(g, "cpu_used") - cpu < 200 * 1000000);
    ret->kind = SSVM_I64;
    ret->of.i64 = 7;
    return NULL;
}

/* What the host calls inside of a call belongs to it; and a definition of the embedder's goes
 * before ours. */
static void inside(void **state)
{
    static const ssvm_kind kinds[] = {SSVM_I64};
    ssvm_functype *type = ssvm_functype_new(NULL, 0, kinds, 1);
    ssvm_wasi wasi = SSVM_WASI_INIT;
    struct guest g;

    (void)state;
    ok(ssvm_store_new(engine, NULL, &g.store));
    ok(ssvm_linker_new(g.store, &g.linker));
    ok(ssvm_linker_define_wasi(g.linker, &wasi));
    ok(ssvm_linker_define_func(g.linker, "ssvm_meter", "memory_peak", type, slow, &g, NULL));
    ok(ssvm_linker_instantiate(g.linker, module, &g.instance));
    assert_int_equal(ask(&g, "memory_peak"), 7);
    close_guest(&g);
    ssvm_functype_delete(type);
}

static void template(void **state)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    ssvm_template *t;
    struct guest g;

    (void)state;
    open_guest(&g, NULL, NULL);
    ok(ssvm_template_new(g.linker, module, &t));
    close_guest(&g);
    limits.gas = 1000;
    limits.memory_bytes = 1 << 20;
    for (unsigned i = 0; i < 3; i++) {
        ok(ssvm_store_new(engine, &limits, &g.store));
        ok(ssvm_template_instantiate(t, g.store, NULL, &g.instance));
        assert_int_equal(ask(&g, "gas_used"), 11);
        assert_int_equal(ask(&g, "memory_limit"), 1 << 20);
        assert_in_range(ask(&g, "wall_used"), 0, INT64_C(60000000000));
        ssvm_store_delete(g.store);
    }
    ssvm_template_delete(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_limited), cmocka_unit_test(gas),      cmocka_unit_test(times),
        cmocka_unit_test(inside),          cmocka_unit_test(template),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
