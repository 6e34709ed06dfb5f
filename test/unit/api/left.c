/* Modules that come and go in one engine, each compiled in the background: what compiling held of
 * them goes with them, as the kernel counts it. */
#include "../must/guest.h"

#include <unistd.h>

enum { TURNS = 300, FIRST = 100, TURN_US = 12000 };
#ifdef SSVM_SANITIZED /* they keep what is freed for a while */
#define GROWTH_MAX (UINT64_C(1) << 46)
#else /* of a thread's stack for each there would be 1600 MiB */
#define GROWTH_MAX (UINT64_C(512) << 20)
#endif

static _Atomic unsigned asked;

/* There is no compiler to be had. */
static int no_compiler(void *data, unsigned form, uint32_t func, uint32_t loop, bool cached,
                       const int fds[3])
{
    (void)data, (void)form, (void)func, (void)loop, (void)cached, (void)fds;
    asked++;
    return 1 << 8;
}

static uint64_t address_space(void)
{
    unsigned long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu", &pages), 1);
    fclose(f);
    return (uint64_t)pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void turn(ssvm_engine *engine, int32_t number)
{
    ssvm_instance *instance;
    ssvm_linker *linker;
    ssvm_module *module;
    ssvm_store *store;
    struct sv_buf bytes;
    struct must m;
    ssvm_val ret;

    must_init(&m);
    must_type(&m, ":i");
    must_func(&m, 0, "number");
    emit_i32(&m, number);
    must_end(&m);
    must_bytes(&m, &bytes);
    ok(ssvm_module_new(engine, bytes.data, bytes.len, &module));
    ok(ssvm_store_new(engine, NULL, &store));
    ok(ssvm_linker_new(store, &linker));
    ok(ssvm_linker_instantiate(linker, module, &instance));
    ok(ssvm_func_call(store, ssvm_instance_func(instance, "number"), NULL, 0, &ret, 1));
    assert_int_equal(ret.of.i32, number);
    ssvm_linker_delete(linker);
    ssvm_store_delete(store);
    ssvm_module_delete(module);
    sv_buf_release(&bytes);
    usleep(TURN_US);
}

static void nothing_is_left(void **state)
{
    ssvm_config config = SSVM_CONFIG_INIT;
    ssvm_engine *engine;
    uint64_t before = 0, after;

    (void)state;
    config.tier = "auto";
    config.compiler_program = "/bin/false";
    config.compiler_run = no_compiler;
    ok(ssvm_engine_new(&config, &engine));
    for (int32_t i = 0; i < TURNS; i++) {
        if (i == FIRST)
            before = address_space();
        turn(engine, i);
    }
    after = address_space();
    assert_true(asked > TURNS / 2); /* they were to be compiled */
    assert_true(after < before + GROWTH_MAX);
    ssvm_engine_delete(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_left)};

    return cmocka_run_group_tests_name("api/left", tests, NULL, NULL);
}
