/* Modules that come and go in one engine, each compiled in the background: what compiling held of
 * them goes with them, and those that wait for it are few, or hold nothing, as the kernel counts
 * it.
 */
#include "../../proc.h"
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

/* Of this process: its address space, or what of it is in memory, mapped files too. */
static uint64_t memory(bool resident)
{
    unsigned long pages[2] = {0};
    FILE *f = fopen("/proc/self/statm", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &pages[0], &pages[1]), 2);
    fclose(f);
    return (uint64_t)pages[resident] * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* A custom section of so many bytes, which are all of it. */
static void pad(struct sv_buf *bytes, size_t len)
{
    static const char zeros[1 << 16];
    uint8_t head[] = {0, 0x80, 0x80, 0x80, 0, 3, 'p', 'a', 'd'};
    size_t all = len + 4;

    for (int i = 1; i < 5; i++)
        head[i] |= (uint8_t)(all >> (i - 1) * 7 & 127);
    sv_buf_append(bytes, head, sizeof head);
    for (; len > 0; len -= sizeof zeros)
        sv_buf_append(bytes, zeros, sizeof zeros);
}

/* A module that has been called. `len`: of what is in it for nothing. */
static own ssvm_module *call_one(ssvm_engine *engine, int32_t number, size_t len)
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
    if (len > 0)
        pad(&bytes, len);
    ok(ssvm_module_new(engine, bytes.data, bytes.len, &module));
    ok(ssvm_store_new(engine, NULL, &store));
    ok(ssvm_linker_new(store, &linker));
    ok(ssvm_linker_instantiate(linker, module, &instance));
    ok(ssvm_func_call(store, ssvm_instance_func(instance, "number"), NULL, 0, &ret, 1));
    assert_int_equal(ret.of.i32, number);
    ssvm_linker_delete(linker);
    ssvm_store_delete(store);
    sv_buf_release(&bytes);
    return module;
}

static void turn(ssvm_engine *engine, int32_t number)
{
    ssvm_module_delete(call_one(engine, number, 0));
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
            before = memory(false);
        turn(engine, i);
    }
    after = memory(false);
    assert_true(asked > TURNS / 2); /* they were to be compiled */
    assert_true(after < before + GROWTH_MAX);
    ssvm_engine_delete(engine);
}

/* ---- A compiler that takes its time ---- */

enum { BIG = 4 << 20, VERSIONS = 150, KEPT = 10, AT_ONCE = 4, PATIENCE_S = 180 };
#ifdef SSVM_SANITIZED
#define HELD_MAX (UINT64_C(1) << 46)
#else /* of 150 modules there would be 600 MiB, and as much in files for the compiler */
#define HELD_MAX (UINT64_C(250) << 20)
#endif

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t freed = PTHREAD_COND_INITIALIZER;
static bool held;
static unsigned running, most;

static int slow_compiler(void *data, unsigned form, uint32_t func, uint32_t loop, bool cached,
                         const int fds[3])
{
    int r = no_compiler(data, form, func, loop, cached, fds);

    pthread_mutex_lock(&lock);
    running++;
    most = running > most ? running : most;
    while (held)
        pthread_cond_wait(&freed, &lock);
    running--;
    pthread_mutex_unlock(&lock);
    return r;
}

static void wait_for_asked(unsigned wanted)
{
    for (unsigned i = 0; asked < wanted && i < PATIENCE_S * 100; i++)
        usleep(10000);
    assert_int_equal(asked, wanted);
}

/* Versions replace each other faster than they are compiled. */
static void who_waits_holds_nothing(void **state)
{
    ssvm_config config = SSVM_CONFIG_INIT;
    ssvm_module *kept[KEPT];
    ssvm_engine *engine;
    uint64_t before;
    unsigned files;

    (void)state;
    config.tier = "auto";
    config.compiler_program = "/bin/false";
    config.compiler_run = slow_compiler;
    ok(ssvm_engine_new(&config, &engine));
    asked = 0;
    held = true;
    before = memory(true);
    files = open_descriptors();
    for (int32_t i = 0; i < VERSIONS; i++)
        ssvm_module_delete(call_one(engine, i, BIG));
    for (int32_t i = 0; i < KEPT; i++)
        kept[i] = call_one(engine, i, BIG);
    wait_for_asked(AT_ONCE);
    assert_true(memory(true) < before + HELD_MAX);
    assert_true(open_descriptors() <= files + 3 * AT_ONCE);
    pthread_mutex_lock(&lock);
    held = false;
    pthread_cond_broadcast(&freed);
    pthread_mutex_unlock(&lock);
    wait_for_asked(AT_ONCE + KEPT); /* who is used is compiled in the end, who is not never */
    usleep(100000);
    assert_int_equal(asked, AT_ONCE + KEPT);
    assert_int_equal(most, AT_ONCE);
    for (int32_t i = 0; i < KEPT; i++)
        ssvm_module_delete(kept[i]);
    ssvm_engine_delete(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_left),
                                       cmocka_unit_test(who_waits_holds_nothing)};

    return cmocka_run_group_tests_name("api/left", tests, NULL, NULL);
}
