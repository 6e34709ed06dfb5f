/* Ten thousand instances that live at once under `ulimit -v` 8 GiB: each in a store of its own, and
 * all in one store. */
#include "../must/guest.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

enum { INSTANCES = 10000, STACK_BYTES = 128 << 10 };
#define ADDRESS_SPACE (UINT64_C(8) << 30)

/* A memory of one page, without a maximum unless `max`; set: (i32 v) stores v at its end, get loads
 * it. */
static void make_module(struct sv_buf *ret, bool max)
{
    struct must m;

    must_init(&m);
    must_type(&m, "i:");
    must_type(&m, ":i");
    must_limits(must_entry(&m, MUST_MEMORY), max, 1, 1);
    must_func(&m, 0, "set");
    emit_i32(&m, 65532);
    EMIT(&m, 0x20, 0, 0x36, 2, 0);
    must_end(&m);
    must_func(&m, 1, "get");
    emit_i32(&m, 65532);
    EMIT(&m, 0x28, 2, 0);
    must_end(&m);
    must_bytes(&m, ret);
}

static void set(ssvm_store *s, ssvm_instance *i, int32_t v)
{
    ssvm_val arg = {.kind = SSVM_I32, .of.i32 = v};

    ok(ssvm_func_call(s, ssvm_instance_func(i, "set"), &arg, 1, NULL, 0));
}

static int32_t get(ssvm_store *s, ssvm_instance *i)
{
    ssvm_val ret;

    ok(ssvm_func_call(s, ssvm_instance_func(i, "get"), NULL, 0, &ret, 1));
    return ret.of.i32;
}

/* Stores of `per_store` instances each. */
static void live(unsigned per_store, bool max)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    unsigned nstores = INSTANCES / per_store;
    ssvm_store **stores = calloc(nstores, sizeof *stores);
    ssvm_instance **all = calloc(INSTANCES, sizeof *all);
    struct sv_buf bytes;
    struct guest g;

    make_module(&bytes, max);
    guest_open(&g, &bytes, NULL, NULL);
    limits.stack_bytes = STACK_BYTES;
    limits.memory_bytes = (uint64_t)per_store << 16;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < INSTANCES; i++) {
            unsigned s = i / per_store;
            ssvm_linker *linker;

            if (!stores[s])
                ok(ssvm_store_new(g.engine, &limits, &stores[s]));
            ok(ssvm_linker_new(stores[s], &linker));
            ok(ssvm_linker_instantiate(linker, g.module, &all[i]));
            ssvm_linker_delete(linker);
            assert_int_equal(get(stores[s], all[i]), 0);
            set(stores[s], all[i], (int32_t)i + 1);
        }
        for (unsigned i = 0; i < INSTANCES; i++)
            assert_int_equal(get(stores[i / per_store], all[i]), i + 1);
        for (unsigned s = 0; s < nstores; s++) {
            ssvm_store_delete(stores[s]);
            stores[s] = NULL;
        }
    }
    free(all);
    free(stores);
    guest_close(&g);
}

static void in_child(unsigned per_store, bool max)
{
#ifdef SSVM_SANITIZED
    (void)live;
    (void)per_store;
    (void)max;
    skip(); /* the sanitizers' shadow does not fit */
#else
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct rlimit l = {ADDRESS_SPACE, ADDRESS_SPACE};

        if (setrlimit(RLIMIT_AS, &l))
            _exit(1);
        live(per_store, max);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
#endif
}

static void a_store_each(void **state)
{
    (void)state;
    in_child(1, true);
}

/* No maximum in the module: the store's limit bounds the reservation. */
static void a_store_each_without_maximum(void **state)
{
    (void)state;
    in_child(1, false);
}

static void all_in_one_store(void **state)
{
    (void)state;
    in_child(INSTANCES, true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_store_each),
        cmocka_unit_test(a_store_each_without_maximum),
        cmocka_unit_test(all_in_one_store),
    };

    return cmocka_run_group_tests_name("api/many", tests, NULL, NULL);
}
