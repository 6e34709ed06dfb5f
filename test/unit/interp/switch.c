/* Going over to native code while a program runs: random programs whose functions stay interpreted
 * until a loop of theirs is entered, at the n-th arrival at any; results, traps, memory and gas
 * must be those of the interpreter alone. */
#include "programs.h"

#include "../../switcher.h"

#define PROGRAMS_DEFAULT 10
/* Arrivals let pass before the first entry, at most. */
#define PASS_MAX 40
#define IMAGES_MAX 64

static void program(struct sv_engine *plain, struct sv_engine *e, uint64_t seed, bool metered)
{
    uint8_t *bytes = malloc(NFUNCS * BODY_MAX * 10);
    struct gen g = {.seed = seed * 0x9e3779b97f4a7c15u, .nan_free = true};
    size_t len = make_module(&g, bytes);
    struct outcome expected = run_with(plain, bytes, len, true, NULL), got;

    /* Exhausted at another place, where nothing is counted. */
    for (unsigned pass = 0; (metered || expected.trap != SV_TRAP_GAS) && pass <= PASS_MAX;
         pass = 2 * pass + 1) {
        switcher.pass = pass;
        switcher.asked = 0;
        got = run_with(e, bytes, len, metered, switcher_begin);
        expect_equal(&expected, &got, seed, metered ? "metered" : "not metered", metered);
    }
    switcher_forget();
    free(bytes);
}

static void test_loops_change_nothing(void **state)
{
    const char *programs = getenv("RANDOM_PROGRAMS"), *first = getenv("RANDOM_SEED");
    unsigned n = programs ? (unsigned)strtoul(programs, NULL, 10) : PROGRAMS_DEFAULT;
    uint64_t seed0 = first ? strtoull(first, NULL, 10) : 1;
    static struct switcher_image images[IMAGES_MAX];
    struct sv_engine *plain, *e;
    struct sv_err err = {0};

    (void)state;
    assert_int_equal(sv_engine_new(&err, &plain), 0);
    assert_int_equal(sv_engine_new(&err, &e), 0);
    plain->exec = e->exec = &sv_interp_ops;
    if (!switcher_init(e, 1)) {
        sv_engine_unref(plain);
        sv_engine_unref(e);
        skip();
    }
    switcher.loops = true;
    switcher.images = images;
    switcher.max_images = IMAGES_MAX;
    for (uint64_t seed = seed0; seed < seed0 + n; seed++) {
        program(plain, e, seed, false);
        program(plain, e, seed, true);
    }
    print_message("%u loops entered\n", switcher.opened);
    assert_true(switcher.opened > n);
    sv_engine_unref(plain);
    sv_engine_unref(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loops_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
