/* Going over to native code that threads of this process compile, in several stores at once:
 * functions at their next call, loops at their head, engines that end meanwhile. For the thread
 * sanitizer most of all; the real thing, with compilers in processes, is test/cli/tier.sh's. */
#include "guest.h"

#ifdef SV_TEST_NATIVE

#include <pthread.h>

#include "base/clock.h"

#include "../tsan.h"

enum { THREADS = 3, TURNS = TSAN ? 300000 : 3000000, SECONDS_MAX = 60 };

/* (func $step (param i32) (result i32) x * 5 + 3)
 * (func "loop" (param i32) (result i32) $step's sum, in place, n times)
 * (func "calls" (param i32) (result i32) the same by calls) */
static void make_module(struct sv_buf *ret)
{
    struct must m;
    uint32_t type;

    must_init(&m);
    type = must_type(&m, "i:i");
    must_func(&m, type, NULL);
    emit_get(&m, 0);
    EMIT(&m, 0x41, 5, 0x6c, 0x41, 3, 0x6a);
    must_end(&m);
    for (int calls = 0; calls < 2; calls++) {
        must_func(&m, type, calls ? "calls" : "loop");
        EMIT(&m, 0x03, 0x40);
        emit_get(&m, 1);
        if (calls)
            EMIT(&m, 0x10, 0);
        else
            EMIT(&m, 0x41, 5, 0x6c, 0x41, 3, 0x6a);
        EMIT(&m, 0x21, 1);                                        /* x = ... */
        EMIT(&m, 0x20, 0, 0x41, 1, 0x6b, 0x22, 0, 0x0d, 0, 0x0b); /* while (--n) */
        emit_get(&m, 1);
        must_end_locals(&m, 1, 'i');
    }
    must_bytes(&m, ret);
}

static int32_t expected(uint32_t n)
{
    uint32_t x = 0;

    while (n--)
        x = x * 5 + 3;
    return (int32_t)x;
}

struct runner {
    ssvm_engine *engine;
    ssvm_module *module;
    uint64_t until_ns;
    bool once; /* whatever comes of it */
    bool switched;
    unsigned wrong;
    pthread_t thread;
};

static void *run(void *arg)
{
    struct runner *r = arg;
    struct guest g = {.engine = r->engine, .module = r->module};
    ssvm_tier_stats stats = SSVM_TIER_STATS_INIT;
    const int32_t want = expected(TURNS);

    if (ssvm_store_new(r->engine, NULL, &g.store) || ssvm_linker_new(g.store, &g.linker) ||
        ssvm_linker_instantiate(g.linker, r->module, &g.instance)) {
        r->wrong++;
        return NULL;
    }
    do {
        for (int i = 0; i < 2; i++) {
            ssvm_val in = {.kind = SSVM_I32, .of.i32 = TURNS}, out = {0};
            ssvm_func *f = ssvm_instance_func(g.instance, i ? "calls" : "loop");

            if (ssvm_func_call(g.store, f, &in, 1, &out, 1) || out.of.i32 != want)
                r->wrong++;
        }
        ssvm_instance_tier(g.instance, &stats);
        r->switched = stats.state == SSVM_TIER_SWITCHED;
    } while (!r->once && !r->switched && !r->wrong && sv_clock_ns() < r->until_ns);
    ssvm_linker_delete(g.linker);
    ssvm_store_delete(g.store);
    return NULL;
}

static void play(bool once)
{
    struct runner runners[THREADS];
    ssvm_engine *engine = NULL;
    ssvm_module *module = NULL;
    struct sv_buf bytes;

    must_handle_faults();
    make_module(&bytes);
    ok(ssvm_engine_new(NULL, &engine));
    ok(ssvm_module_new(engine, bytes.data, bytes.len, &module));
    for (unsigned i = 0; i < THREADS; i++) {
        runners[i] =
            (struct runner){.engine = engine,
                            .module = module,
                            .once = once,
                            .until_ns = sv_clock_ns() + SECONDS_MAX * (uint64_t)1000000000};
        assert_int_equal(pthread_create(&runners[i].thread, NULL, run, &runners[i]), 0);
    }
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(runners[i].thread, NULL);
        assert_int_equal(runners[i].wrong, 0);
        assert_true(once || runners[i].switched);
    }
    ssvm_module_delete(module);
    ssvm_engine_delete(engine);
    sv_buf_release(&bytes);
}

static void all_go_over(void **state)
{
    (void)state;
    play(false);
}

static void engines_end(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++)
        play(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_go_over),
        cmocka_unit_test(engines_end),
    };

    return cmocka_run_group_tests_name("must/background", tests, NULL, NULL);
}

#else

int main(void)
{
    return 0; /* no compiler */
}

#endif
