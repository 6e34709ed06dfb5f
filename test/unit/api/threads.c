/* Threads of guests by ssvm.h: what ends them, what the embedder's functions see, templates, and
 * calls after each ending. Run under the thread sanitizer as well. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "guests.h"
#include "ssvm.h"

enum { THREADS = 4, NOTES = 50 };

struct guest {
    ssvm_engine *engine;
    ssvm_module *module;
    ssvm_store *store;
    ssvm_linker *linker;
    ssvm_instance *instance;
    unsigned notes;       /* without a lock: one at a time is what is promised */
    _Atomic bool waiting; /* its first thread is going to wait for ever */
};

static void ok(own ssvm_error *e)
{
    if (e)
        fail_msg("%s", ssvm_error_message(e));
}

/* Twice its argument, by the guest itself. */
static own ssvm_error *note(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *ret)
{
    struct guest *g = data;
    ssvm_store *s = ssvm_caller_store(c);

    ret->of.i32 = 0;
    if (args->of.i32 < 0) {
        atomic_store(&g->waiting, true);
        return NULL;
    }
    assert_ptr_equal(ssvm_store_data(s), g);
    g->notes++;
    return ssvm_func_call(s, ssvm_instance_func(ssvm_caller_instance(c), "twice"), args, 1, ret, 1);
}

static void define(struct guest *g, ssvm_linker *l)
{
    static const ssvm_kind i32[] = {SSVM_I32};
    ssvm_threads_config threads = SSVM_THREADS_CONFIG_INIT;
    ssvm_functype *t = ssvm_functype_new(i32, 1, i32, 1);

    threads.max = THREADS;
    ok(ssvm_linker_define_wasi(l, NULL));
    ok(ssvm_linker_define_threads(l, &threads));
    ok(ssvm_linker_define_func(l, "host", "note", t, note, g, NULL));
    ssvm_functype_delete(t);
}

static void open_guest(struct guest *g, const ssvm_limits *limits)
{
    memset(g, 0, sizeof *g);
    ok(ssvm_engine_new(NULL, &g->engine));
    ok(ssvm_module_new(g->engine, guest_threads, sizeof guest_threads, &g->module));
    ok(ssvm_store_new(g->engine, limits, &g->store));
    ssvm_store_set_data(g->store, g);
    ok(ssvm_linker_new(g->store, &g->linker));
    define(g, g->linker);
    ok(ssvm_linker_instantiate(g->linker, g->module, &g->instance));
}

static void close_guest(struct guest *g)
{
    ssvm_linker_delete(g->linker);
    ssvm_store_delete(g->store);
    ssvm_module_delete(g->module);
    ssvm_engine_delete(g->engine);
}

static own ssvm_error *call(struct guest *g, const char *name, int32_t arg, int32_t *ret)
{
    ssvm_val in = {.kind = SSVM_I32, .of.i32 = arg}, out = {0};
    ssvm_error *e =
        ssvm_func_call(g->store, ssvm_instance_func(g->instance, name), &in, 1, &out, ret ? 1 : 0);

    if (ret)
        *ret = out.of.i32;
    return e;
}

static void calls_notes(struct guest *g)
{
    unsigned before = g->notes;
    int32_t n;

    ok(call(g, "notes", THREADS, &n));
    assert_int_equal(n, THREADS);
    assert_int_equal(g->notes - before, THREADS * NOTES);
}

static void embedder_is_called(void **state)
{
    ssvm_stats stats = SSVM_STATS_INIT;
    struct guest g;

    (void)state;
    open_guest(&g, NULL);
    calls_notes(&g);
    calls_notes(&g);
    ssvm_store_stats(g.store, &stats);
    /* And THREADS starts. */
    assert_int_equal(stats.host_calls, 2 * (THREADS * NOTES + THREADS));
    assert_true(stats.threads_cpu_ns > 0);
    close_guest(&g);
}

/* Whatever ended the guest, it can be called again. */
static void endings(void **state)
{
    struct guest g;
    ssvm_error *e;

    (void)state;
    open_guest(&g, NULL);
    e = call(&g, "ended", 1, NULL);
    assert_non_null(e);
    assert_int_equal(ssvm_error_kind_of(e), SSVM_EEXIT);
    assert_int_equal(ssvm_error_exit_status(e), 7);
    ssvm_error_delete(e);
    calls_notes(&g);
    e = call(&g, "ended", 3, NULL);
    assert_non_null(e);
    assert_int_equal(ssvm_error_kind_of(e), SSVM_ETRAP);
    assert_string_equal(ssvm_error_message(e), "unreachable");
    assert_non_null(strstr(ssvm_error_backtrace(e), "0x"));
    ssvm_error_delete(e);
    calls_notes(&g);
    close_guest(&g);
}

static void *cancel(void *arg)
{
    struct guest *g = arg;

    while (!atomic_load(&g->waiting))
        ;
    ssvm_store_cancel(g->store);
    return NULL;
}

static void cancelled(void **state)
{
    struct guest g;
    pthread_t other;
    ssvm_error *e;

    (void)state;
    open_guest(&g, NULL);
    assert_int_equal(pthread_create(&other, NULL, cancel, &g), 0);
    e = call(&g, "ended", 2, NULL);
    pthread_join(other, NULL);
    assert_non_null(e);
    assert_int_equal(ssvm_error_kind_of(e), SSVM_ETRAP);
    assert_string_equal(ssvm_error_message(e), "cancelled");
    ssvm_error_delete(e);
    ssvm_store_resume(g.store);
    calls_notes(&g);
    close_guest(&g);
}

static void deadline(void **state)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    struct guest g;
    ssvm_error *e;

    (void)state;
    limits.wall_ms = 50;
    open_guest(&g, &limits);
    e = call(&g, "ended", 2, NULL);
    assert_non_null(e);
    assert_int_equal(ssvm_error_kind_of(e), SSVM_ETRAP);
    assert_non_null(strstr(ssvm_error_message(e), "deadline"));
    ssvm_error_delete(e);
    close_guest(&g);
}

/* What is counted is the same whoever counts it, and the shares of a limit come back. */
static void gas(void **state)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    ssvm_stats first = SSVM_STATS_INIT, second = SSVM_STATS_INIT;
    struct guest g;

    (void)state;
    limits.gas = 2000000;
    open_guest(&g, &limits);
    calls_notes(&g);
    ssvm_store_stats(g.store, &first);
    /* Starting one costs 5000; so much is used up only where all of them count. */
    assert_true(first.gas_used > THREADS * (5000 + NOTES) && first.gas_used < limits.gas);
    for (int i = 0; i < 20; i++)
        calls_notes(&g);
    ssvm_store_stats(g.store, &second);
    assert_true(second.gas_used > 20 * THREADS * (5000 + NOTES) && second.gas_used < limits.gas);
    close_guest(&g);
}

static void *run_template(void *arg)
{
    struct guest *from = arg, g = {.engine = from->engine};
    ssvm_linker *l;
    ssvm_store *s;
    ssvm_template *t;

    ok(ssvm_store_new(g.engine, NULL, &s));
    ok(ssvm_linker_new(s, &l));
    define(&g, l);
    ok(ssvm_template_new(l, from->module, &t));
    ssvm_linker_delete(l);
    ssvm_store_delete(s);
    for (int i = 0; i < 5; i++) {
        ok(ssvm_store_new(g.engine, NULL, &g.store));
        ssvm_store_set_data(g.store, &g);
        ok(ssvm_template_instantiate(t, g.store, NULL, &g.instance));
        calls_notes(&g);
        ssvm_store_delete(g.store);
    }
    ssvm_template_delete(t);
    return NULL;
}

/* Guests with threads beside each other, their stores from the same pool. */
static void templates(void **state)
{
    pthread_t others[2];
    struct guest g;

    (void)state;
    open_guest(&g, NULL);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&others[i], NULL, run_template, &g), 0);
    for (size_t i = 0; i < 2; i++)
        pthread_join(others[i], NULL);
    close_guest(&g);
}

static void refuses(ssvm_linker *l, const ssvm_threads_config *c)
{
    ssvm_error *e = ssvm_linker_define_threads(l, c);

    assert_non_null(e);
    assert_int_equal(ssvm_error_kind_of(e), SSVM_EUSAGE);
    ssvm_error_delete(e);
}

static void configurations(void **state)
{
    ssvm_threads_config c = SSVM_THREADS_CONFIG_INIT;
    struct guest g;

    (void)state;
    open_guest(&g, NULL);
    c.max = 1;
    refuses(g.linker, &c); /* twice */
    ssvm_linker_delete(g.linker);
    ok(ssvm_linker_new(g.store, &g.linker));
    refuses(g.linker, NULL);
    refuses(NULL, &c);
    c.max = 0;
    refuses(g.linker, &c);
    c.max = 1025;
    refuses(g.linker, &c);
    c.max = 1024;
    c.size = 4;
    refuses(g.linker, &c);
    c.size = sizeof c;
    ok(ssvm_linker_define_threads(g.linker, &c));
    close_guest(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(embedder_is_called),
        cmocka_unit_test(endings),
        cmocka_unit_test(cancelled),
        cmocka_unit_test(deadline),
        cmocka_unit_test(gas),
        cmocka_unit_test(templates),
        cmocka_unit_test(configurations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
