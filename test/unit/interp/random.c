/* Random programs run by the lowering with all its tricks and by the plain one: results, traps,
 * memory and gas must be equal. Not a test of single instructions: those have the official scripts.
 */
#include "programs.h"

static struct outcome run(struct sv_engine *e, const uint8_t *bytes, size_t n, bool metered)
{
    return run_with(e, bytes, n, metered, NULL);
}

enum { ENGINE_PLAIN, ENGINE_FAST, ENGINE_CHECKED, ENGINES };

static void make_engines(struct sv_engine **e, bool deterministic)
{
    struct sv_err err = {0};

    for (unsigned i = 0; i < ENGINES; i++) {
        assert_int_equal(sv_engine_new(&err, &e[i]), 0);
        e[i]->exec = &sv_interp_ops;
        e[i]->deterministic = deterministic;
        e[i]->no_optimise = i == ENGINE_PLAIN;
        e[i]->no_guard = i == ENGINE_CHECKED;
    }
}

#define PROGRAMS_DEFAULT 400

static void same_outcome(bool deterministic)
{
    const char *programs = getenv("RANDOM_PROGRAMS"), *first = getenv("RANDOM_SEED");
    unsigned n = programs ? (unsigned)strtoul(programs, NULL, 10) : PROGRAMS_DEFAULT;
    uint64_t seed0 = first ? strtoull(first, NULL, 10) : 1;
    struct sv_engine *e[ENGINES];
    uint8_t *bytes = malloc(NFUNCS * BODY_MAX * 10);
    unsigned trapped = 0;

    make_engines(e, deterministic);
    for (uint64_t seed = seed0; seed < seed0 + n; seed++) {
        struct gen g = {.seed = seed * 0x9e3779b97f4a7c15u, .nan_free = !deterministic};
        size_t len = make_module(&g, bytes);
        struct outcome plain = run(e[ENGINE_PLAIN], bytes, len, true), o;

        o = run(e[ENGINE_FAST], bytes, len, true);
        expect_equal(&plain, &o, seed, "metered", true);
        if (plain.trap != SV_TRAP_GAS) {
            o = run(e[ENGINE_FAST], bytes, len, false);
            expect_equal(&plain, &o, seed, "guarded", false);
            o = run(e[ENGINE_CHECKED], bytes, len, false);
            expect_equal(&plain, &o, seed, "checked", false);
        }
        trapped += plain.code != 0;
    }
    /* The generator makes programs that mostly end well. */
    assert_in_range(trapped, 0, n - n / 4);
    free(bytes);
    for (unsigned i = 0; i < ENGINES; i++)
        sv_engine_unref(e[i]);
}

/* One test: between tests cmocka takes the fault handler away from the runtime. */
static void test_tricks_change_nothing(void **state)
{
    (void)state;
    same_outcome(false);
    same_outcome(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tricks_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
