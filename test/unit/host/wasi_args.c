/* WASI: arguments, variables, clocks, random bytes, ending. */
#include "guest.h"

static const char *const args[] = {"prog", "", "two words", "\xc3\xa9"};
static const char *const env[] = {"A=1", "EMPTY=", "B=x=y"};
static const struct sv_wasi_grant grant = {
    .args = args, .nargs = 4, .env = env, .nenv = 3, .coarse_clock = false};

static void arguments(void **state)
{
    struct guest g;
    uint32_t i;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(CALL(&g, "args_sizes_get", 0, 4), 0);
    assert_int_equal(guest_u32(&g, 0), 4);
    assert_int_equal(guest_u32(&g, 4), 5 + 1 + 10 + 3);
    assert_int_equal(CALL(&g, "args_get", 100, 201), 0);
    for (i = 0; i < 4; i++)
        assert_string_equal((char *)g.memory.base + guest_u32(&g, 100 + 4 * i), args[i]);
    assert_int_equal(CALL(&g, "environ_sizes_get", 0, 4), 0);
    assert_int_equal(guest_u32(&g, 0), 3);
    assert_int_equal(guest_u32(&g, 4), 4 + 7 + 6);
    assert_int_equal(CALL(&g, "environ_get", GUEST_SIZE - 12, GUEST_SIZE - 12 - 17), 0);
    for (i = 0; i < 3; i++)
        assert_string_equal((char *)g.memory.base + guest_u32(&g, GUEST_SIZE - 12 + 4 * i), env[i]);
    /* one byte less is not enough */
    assert_int_equal(CALL(&g, "environ_get", GUEST_SIZE - 11, 0), SV_WASI_EFAULT);
    assert_int_equal(CALL(&g, "environ_get", 0, GUEST_SIZE - 16), SV_WASI_EFAULT);
    assert_int_equal(CALL(&g, "args_sizes_get", GUEST_SIZE - 3, 0), SV_WASI_EFAULT);
    assert_int_equal(CALL(&g, "args_sizes_get", 0, UINT32_MAX), SV_WASI_EFAULT);
    guest_close(&g);
}

/* must-pass 37. */
static void nothing_granted(void **state)
{
    static const struct sv_wasi_grant none;
    struct guest g;

    (void)state;
    guest_open(&g, &sv_host_wasi, &none);
    assert_int_equal(CALL(&g, "args_sizes_get", 0, 4), 0);
    assert_int_equal(guest_u64(&g, 0), 0);
    assert_int_equal(CALL(&g, "args_get", 0, 0), 0);
    assert_int_equal(CALL(&g, "fd_prestat_get", 3, 0), SV_WASI_EBADF);
    assert_int_equal(guest_read(&g, 0, 10), 0);
    assert_int_equal(guest_write(&g, 1, "vanishes", 8), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 8);
    assert_int_equal(guest_open_at(&g, 3, "x", 0, SV_WASI_RIGHT_READ, 0), -SV_WASI_EBADF);
    guest_close(&g);
}

static void no_memory(void **state)
{
    struct guest g;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    g.inst.memory0 = NULL;
    assert_int_equal(CALL(&g, "args_sizes_get", 0, 4), SV_WASI_EFAULT);
    assert_int_equal(CALL(&g, "random_get", 0, 0), SV_WASI_EFAULT);
    guest_close(&g);
}

/* must-pass 43. */
static void clocks(void **state)
{
    struct sv_wasi_grant coarse = {.coarse_clock = true};
    struct guest g;
    uint64_t i, last = 0;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    for (i = 0; i < SV_WASI_CLOCK_COUNT; i++) {
        assert_int_equal(CALL(&g, "clock_res_get", i, AT_RET), 0);
        assert_in_range(guest_u64(&g, AT_RET), 1, 1000000000);
        assert_int_equal(CALL(&g, "clock_time_get", i, 1, AT_RET), 0);
        assert_true(guest_u64(&g, AT_RET) > 0);
    }
    assert_int_equal(CALL(&g, "clock_time_get", 4, 1, AT_RET), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "clock_time_get", UINT32_MAX, 1, AT_RET), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "clock_time_get", 1, 1, GUEST_SIZE - 7), SV_WASI_EFAULT);
    guest_close(&g);

    guest_open(&g, &sv_host_wasi, &coarse);
    for (i = 0; i < 4; i++) {
        assert_int_equal(CALL(&g, "clock_res_get", i, AT_RET), 0);
        assert_int_equal(guest_u64(&g, AT_RET), 1000000);
    }
    for (i = 0; i < 1000; i++) {
        assert_int_equal(CALL(&g, "clock_time_get", SV_WASI_CLOCK_MONOTONIC, 0, AT_RET), 0);
        assert_int_equal(guest_u64(&g, AT_RET) % 1000000, 0);
        assert_true(guest_u64(&g, AT_RET) >= last);
        last = guest_u64(&g, AT_RET);
    }
    guest_close(&g);
}

/* must-pass 43. */
static void random_bytes(void **state)
{
    struct guest g;
    uint32_t i, ones = 0;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(CALL(&g, "random_get", 100, GUEST_SIZE - 200), 0);
    for (i = 0; i < 100; i++)
        assert_int_equal(g.memory.base[i], 0);
    for (i = 0; i < 100; i++)
        assert_int_equal(g.memory.base[GUEST_SIZE - 100 + i], 0);
    for (i = 100; i < GUEST_SIZE - 100; i++)
        ones += (unsigned)__builtin_popcount(g.memory.base[i]);
    /* mean 4 a byte, 40 standard deviations */
    assert_in_range(ones, (GUEST_SIZE - 200) * 4 - 40 * 725, (GUEST_SIZE - 200) * 4 + 40 * 725);
    assert_int_equal(CALL(&g, "random_get", GUEST_SIZE, 0), 0);
    assert_int_equal(CALL(&g, "random_get", GUEST_SIZE, 1), SV_WASI_EFAULT);
    assert_int_equal(CALL(&g, "random_get", 1, UINT32_MAX), SV_WASI_EFAULT);
    atomic_store(&g.store.thread.interrupt, SV_INTERRUPT_CANCEL);
    assert_int_equal(CALL(&g, "random_get", 0, GUEST_SIZE), SV_ETRAP);
    guest_close(&g);
}

static void ending(void **state)
{
    struct guest g;
    uint64_t i;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(CALL(&g, "proc_exit", 42), SV_EEXIT);
    assert_int_equal(g.store.thread.exit_code, 42);
    assert_int_equal(CALL(&g, "proc_exit", UINT32_MAX), SV_EEXIT);
    assert_int_equal(g.store.thread.exit_code, -1);
    assert_int_equal(CALL(&g, "proc_raise", 0), 0);
    assert_int_equal(CALL(&g, "proc_raise", 16), 0); /* SIGCHLD */
    assert_int_equal(CALL(&g, "proc_raise", 18), SV_WASI_ENOTSUP);
    for (i = 31; i < 40; i++)
        assert_int_equal(CALL(&g, "proc_raise", i), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "proc_raise", 6), SV_ETRAP);
    assert_non_null(strstr(g.store.thread.trap.text, "SIGABRT"));
    assert_int_equal(guest_call_n(&g, "sched_yield", NULL, 0), 0);
    guest_close(&g);
}

static void too_much(void **state)
{
    static const struct sv_wasi_dir missing = {"/", "/nonexistent/of/course", false};
    struct sv_wasi_grant bad = {.dirs = &missing, .ndirs = 1};
    struct sv_err err = {0};
    struct sv_store store = {0};
    void *wasi = NULL;

    (void)state;
    assert_int_equal(sv_host_wasi.open(&err, &store, &bad, &wasi), SV_ENOTFOUND);
    assert_non_null(strstr(err.text, "cannot open directory '/nonexistent/of/course'"));
    assert_null(wasi);
    sv_host_wasi.close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments), cmocka_unit_test(nothing_granted), cmocka_unit_test(no_memory),
        cmocka_unit_test(clocks),    cmocka_unit_test(random_bytes),    cmocka_unit_test(ending),
        cmocka_unit_test(too_much),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
