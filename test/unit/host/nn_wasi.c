/* wasi-nn over the fake backend. */
#include "nn.h"

static struct log logged;

enum { AT_BUILDER = 1024, AT_TENSOR = 1100 };

static int load_words(struct guest *g, const char *words, uint32_t encoding, uint32_t target)
{
    uint32_t b[2] = {AT_MODEL, put_model(g, words)};

    guest_put(g, AT_BUILDER, b, sizeof b);
    return CALL(g, "load", AT_BUILDER, 1, encoding, target, AT_RET);
}

static int set_input(struct guest *g, uint32_t context, uint32_t index, uint32_t type,
                     uint32_t rows, uint32_t len)
{
    uint32_t dims[2] = {rows, 4}, t[5] = {AT_DIMS, 2, type, AT_IN, len};

    guest_put(g, AT_DIMS, dims, sizeof dims);
    guest_put(g, AT_TENSOR, t, sizeof t);
    return CALL(g, "set_input", context, index, AT_TENSOR);
}

static void table(void **state)
{
    static const char *const names[] = {
        "load",
        "init_execution_context",
        "set_input",
        "compute",
        "get_output",
        "load_by_name",
        "unload",
        "get_output_single",
        "compute_single",
        "fini_single",
        "load_by_name_with_config",
        "finalize_execution_context",
    };

    (void)state;
    assert_int_equal(SV_COUNT(names), sv_host_wasi_nn.nfuncs);
    for (size_t i = 0; i < SV_COUNT(names); i++)
        assert_non_null(sv_host_find(sv_str_of("wasi_ephemeral_nn"), sv_str_of(names[i]), NULL));
}

static void computes(void **state)
{
    struct sv_nn *nn = fake_grant(NULL, &logged);
    uint32_t graph, c;
    struct guest g;

    (void)state;
    guest_open(&g, &sv_host_wasi_nn, nn);
    assert_int_equal(load_words(&g, "in=2", 2, 0), 0);
    graph = guest_u32(&g, AT_RET);
    assert_int_equal(CALL(&g, "init_execution_context", graph, AT_RET), 0);
    c = guest_u32(&g, AT_RET);
    assert_true(graph > 0 && c > 0 && c != graph);
    for (uint32_t i = 0; i < 8; i++)
        guest_put(&g, AT_IN + 4 * i, &(float){(float)i}, 4);
    assert_int_equal(CALL(&g, "get_output", c, 0, AT_OUT, 64, AT_RET), 1);
    assert_int_equal(set_input(&g, c, 0, 0xabcd01, 2, 32), 0); /* only the low byte is the type */
    assert_int_equal(set_input(&g, c, 1, 1, 1, 16), 0);
    assert_int_equal(set_input(&g, c, 1, 1, 2, 32), 0); /* instead */
    assert_int_equal(CALL(&g, "unload", graph), 0);     /* the context goes on */
    assert_int_equal(CALL(&g, "compute", c), 0);
    assert_int_equal(CALL(&g, "get_output", c, 0, AT_OUT, 31, AT_RET), 7);
    assert_int_equal(CALL(&g, "get_output", c, 0, AT_OUT, 64, AT_RET), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 32);
    for (uint32_t i = 0; i < 8; i++)
        assert_float_equal(out_f32(&g, i), 2 * (float)i + 1, 0);
    assert_int_equal(CALL(&g, "get_output", c, 1, AT_OUT, 4, AT_RET), 0);
    assert_float_equal(out_f32(&g, 0), 56, 0);
    assert_int_equal(CALL(&g, "get_output", c, 3, AT_OUT, 4, AT_RET), 1);
    assert_int_equal(CALL(&g, "compute_single", c), 6);
    assert_int_equal(CALL(&g, "get_output_single", c, 0, 0, 0, 0), 6);
    assert_int_equal(CALL(&g, "fini_single", c + 1), 1);
    assert_int_equal(CALL(&g, "finalize_execution_context", c), 0);
    assert_int_equal(CALL(&g, "finalize_execution_context", c), 1);
    assert_int_equal(CALL(&g, "compute", c), 1);
    assert_int_equal(CALL(&g, "unload", graph), 1);
    assert_int_equal(g.store.memory_used, 0);
    guest_close(&g);
    sv_nn_unref(nn);
    assert_int_equal(fake_count("fake_sessions"), 0);
}

static void refusals(void **state)
{
    struct sv_nn *nn = fake_grant(NULL, &logged);
    uint32_t b[4] = {AT_MODEL, 10, AT_MODEL, 10}, c;
    struct guest g;

    (void)state;
    guest_open(&g, &sv_host_wasi_nn, nn);
    assert_int_equal(load_words(&g, "", 1, 0), 2); /* it is not an ONNX model */
    assert_int_equal(load_words(&g, "", 3, 0), 2); /* pytorch */
    assert_int_equal(load_words(&g, "", 6, 0), 2); /* ggml */
    assert_int_equal(load_words(&g, "", 99, 0), 2);
    assert_int_equal(load_words(&g, "", 5, 1), 6); /* a gpu that is not there */
    assert_int_equal(load_words(&g, "", 5, 2), 6);
    assert_int_equal(load_words(&g, "", 5, 4), 1);
    assert_int_equal(load_words(&g, "", 5, 3), 0);
    assert_int_equal(load_words(&g, "load-fail", 5, 3), 1);
    guest_put(&g, AT_BUILDER, b, sizeof b);
    assert_int_equal(CALL(&g, "load", AT_BUILDER, 2, 0, 0, AT_RET), 1);
    assert_int_equal(CALL(&g, "load", AT_BUILDER, 0, 0, 0, AT_RET), 1);
    assert_int_equal(CALL(&g, "load", GUEST_SIZE - 7, 1, 0, 0, AT_RET), 1);
    assert_int_equal(load_words(&g, "", 0, 0), 0);
    assert_int_equal(CALL(&g, "load", AT_BUILDER, 1, 0, 0, GUEST_SIZE - 3), 1);
    assert_int_equal(CALL(&g, "init_execution_context", 77, AT_RET), 1);
    assert_int_equal(load_words(&g, "", 0, 0), 0);
    assert_int_equal(CALL(&g, "init_execution_context", guest_u32(&g, AT_RET), AT_RET), 0);
    c = guest_u32(&g, AT_RET);
    assert_int_equal(CALL(&g, "compute", c), 5); /* without an input */
    assert_int_equal(set_input(&g, c, 1, 1, 2, 32), 1);
    assert_int_equal(set_input(&g, c, 0, 1, 2, 33), 1);
    assert_int_equal(set_input(&g, c, 0, 6, 2, 32), 1);
    assert_int_equal(set_input(&g, c, 0, 1, 0xffffffff, 32), 1);
    assert_int_equal(set_input(&g, c, 0, 1, 0x40000000, 0), 1);
    g.inst.memory0 = NULL;
    assert_int_equal(CALL(&g, "load", 0, 1, 0, 0, 0), 3);
    g.inst.memory0 = &g.memory;
    guest_close(&g);
    sv_nn_unref(nn);
}

/* Numbers 2 and 3 meant other types in the first years. The fake wants f32 and says so, unless the
 * shape does not fit the bytes, which is found before. */
static void type_numbers(void **state)
{
    static const struct {
        enum sv_nn_types types;
        uint32_t number, len;
        int set;
    } cases[] = {
        {SV_NN_TYPES_BY_LENGTH, 1, 32, 0}, {SV_NN_TYPES_BY_LENGTH, 2, 64, 0},
        {SV_NN_TYPES_BY_LENGTH, 2, 8, 0},  {SV_NN_TYPES_BY_LENGTH, 3, 8, 0},
        {SV_NN_TYPES_BY_LENGTH, 3, 32, 0}, {SV_NN_TYPES_BY_LENGTH, 2, 32, 1},
        {SV_NN_TYPES_BY_LENGTH, 4, 32, 0}, {SV_NN_TYPES_BY_LENGTH, 5, 64, 0},
        {SV_NN_TYPES_NEW, 2, 64, 0},       {SV_NN_TYPES_NEW, 2, 8, 1},
        {SV_NN_TYPES_NEW, 3, 8, 0},        {SV_NN_TYPES_OLD, 2, 8, 0},
        {SV_NN_TYPES_OLD, 3, 32, 0},       {SV_NN_TYPES_OLD, 2, 64, 1},
        {SV_NN_TYPES_OLD, 4, 32, 1},       {SV_NN_TYPES_OLD, 0, 16, 0},
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        struct sv_nn_config config = {.types = cases[i].types};
        struct sv_nn *nn = fake_grant(&config, &logged);
        struct guest g;

        guest_open(&g, &sv_host_wasi_nn, nn);
        assert_int_equal(load_words(&g, "", 0, 0), 0);
        assert_int_equal(CALL(&g, "init_execution_context", guest_u32(&g, AT_RET), AT_RET), 0);
        if (set_input(&g, guest_u32(&g, AT_RET), 0, cases[i].number, 2, cases[i].len) !=
            cases[i].set)
            fail_msg("case %zu", i);
        guest_close(&g);
        sv_nn_unref(nn);
    }
}

static void names(void **state)
{
    char folder[256], path[512];
    struct sv_nn_named models[] = {{"food", path}, {"gone", "/nonexistent/model.pb"}};
    struct sv_nn_config config = {.models = models, .nmodels = 2};
    struct sv_nn *nn;
    uint8_t bytes[256];
    struct guest g;
    uint32_t n;
    FILE *f;

    (void)state;
    scratch_make(folder, sizeof folder);
    snprintf(path, sizeof path, "%s/food.pb", folder);
    n = fake_model("", bytes, sizeof bytes);
    f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
    nn = fake_grant(&config, &logged);
    for (int i = 0; i < 2; i++) {
        int loads = fake_count("fake_loads");

        guest_open(&g, &sv_host_wasi_nn, nn);
        assert_int_equal(CALL(&g, "load_by_name", AT_NAME, put_name(&g, "food"), AT_RET), 0);
        assert_true(guest_u32(&g, AT_RET) > 0);
        assert_int_equal(
            CALL(&g, "load_by_name_with_config", AT_NAME, put_name(&g, "food"), 0, 0, AT_RET), 0);
        assert_int_equal(CALL(&g, "load_by_name", AT_NAME, put_name(&g, "foo"), AT_RET), 8);
        log_clear(&logged);
        assert_int_equal(CALL(&g, "load_by_name", AT_NAME, put_name(&g, "gone"), AT_RET), 5);
        log_has(&logged, "/nonexistent/model.pb cannot be read: No such file");
        assert_int_equal(CALL(&g, "load_by_name", AT_NAME, GUEST_SIZE, AT_RET), 1);
        guest_close(&g);
        assert_int_equal(fake_count("fake_loads"), loads + (i == 0));
        assert_int_equal(unlink(path), i == 0 ? 0 : -1); /* read once */
    }
    sv_nn_unref(nn);
    scratch_remove(folder);
    assert_int_equal(fake_count("fake_models"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),        cmocka_unit_test(computes), cmocka_unit_test(refusals),
        cmocka_unit_test(type_numbers), cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
