/* The modules tensorflow and tensorflowlite in both of their forms, over the fake backend: whose
 * arithmetic is done here again. */
#include "nn.h"
#include "manual.h"

static struct log logged;

static void tables(void **state)
{
    static const struct sv_host_module *const modules[] = {&sv_host_tensorflow,
                                                           &sv_host_tensorflowlite};
    /* Of host ABI documents: module, name, the same in the later form. */
    static const struct {
        const char *module, *name;
    } imports[] = {
        {"ssvm_tensorflow", "ssvm_tensorflow_create_session"},
        {"ssvm_tensorflow", "ssvm_tensorflow_delete_session"},
        {"ssvm_tensorflow", "ssvm_tensorflow_run_session"},
        {"ssvm_tensorflow", "ssvm_tensorflow_get_output_tensor"},
        {"ssvm_tensorflow", "ssvm_tensorflow_get_tensor_len"},
        {"ssvm_tensorflow", "ssvm_tensorflow_get_tensor_data"},
        {"ssvm_tensorflow", "ssvm_tensorflow_append_input"},
        {"ssvm_tensorflow", "ssvm_tensorflow_append_output"},
        {"ssvm_tensorflow", "ssvm_tensorflow_clear_input"},
        {"ssvm_tensorflow", "ssvm_tensorflow_clear_output"},
        {"wasmedge_tensorflow", "wasmedge_tensorflow_create_session"},
        {"wasmedge_tensorflow", "wasmedge_tensorflow_clear_output"},
        {"wasmedge_tensorflow", "create_session"},
        {"wasmedge_tensorflow", "create_session_saved_model"},
        {"wasmedge_tensorflow", "get_tensor_data"},
        {"ssvm_tensorflowlite", "ssvm_tensorflowlite_create_session"},
        {"ssvm_tensorflowlite", "ssvm_tensorflowlite_delete_session"},
        {"ssvm_tensorflowlite", "ssvm_tensorflowlite_run_session"},
        {"ssvm_tensorflowlite", "ssvm_tensorflowlite_get_output_tensor"},
        {"ssvm_tensorflowlite", "ssvm_tensorflowlite_get_tensor_len"},
        {"ssvm_tensorflowlite", "ssvm_tensorflowlite_get_tensor_data"},
        {"ssvm_tensorflowlite", "ssvm_tensorflowlite_append_input"},
        {"wasmedge_tensorflowlite", "wasmedge_tensorflowlite_run_session"},
        {"wasmedge_tensorflowlite", "run_session"},
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(imports); i++)
        if (!sv_host_find(sv_str_of(imports[i].module), sv_str_of(imports[i].name), NULL))
            fail_msg("%s.%s is not found", imports[i].module, imports[i].name);
    assert_null(sv_host_find(sv_str_of("ssvm_tensorflow"), sv_str_of("create_session"), NULL));
    assert_null(sv_host_find(sv_str_of("ssvm_tensorflow"),
                             sv_str_of("ssvm_tensorflow_create_session_saved_model"), NULL));
    assert_null(sv_host_find(sv_str_of("ssvm_tensorflowlite"),
                             sv_str_of("ssvm_tensorflowlite_append_output"), NULL));
    for (size_t i = 0; i < SV_COUNT(modules); i++)
        for (unsigned k = 0; k < modules[i]->nfuncs; k++) {
            const struct sv_host_func *f = &modules[i]->funcs[k];

            assert_true(k == 0 || strcmp(f[-1].name, f->name) <= 0);
            assert_int_equal(strspn(f->sig, "iI:"), strlen(f->sig));
            assert_true(f->cost > 0 && f->names && f->doc[0] >= 'a');
        }
}

static void session(void **state)
{
    struct sv_nn *nn = fake_grant(NULL, &logged);
    struct guest g;
    uint64_t s, t;

    (void)state;
    guest_open(&g, &sv_host_tensorflow, nn);
    assert_null(g.module->holds(g.state));
    assert_int_equal(run_words(&g, "", &s), 0);
    assert_string_equal(g.module->holds(g.state), "an inference session");
    t = output_of(&g, s, "output");
    assert_true(t != 0 && t != s);
    assert_int_equal(output_of(&g, s, "output"), t);
    assert_int_equal(output_of(&g, s, "sum"), 0); /* was not asked for */
    assert_int_equal(CALL(&g, "get_tensor_len", t), 32);
    assert_int_equal(CALL(&g, "get_tensor_len", t + 1), 0);
    memset(g.memory.base + AT_OUT, 0x5a, 64);
    HANDLE(&g, "get_tensor_data", t, AT_OUT + 0);
    for (uint32_t i = 0; i < 8; i++)
        assert_float_equal(out_f32(&g, i), 2 * (float)i + 1, 0);
    assert_int_equal(g.memory.base[AT_OUT + 32], 0x5a);

    /* Another run ends the handles of the first; inputs and outputs stay. */
    want(&g, s, "sum");
    assert_int_equal(CALL(&g, "run_session", s), 0);
    assert_int_equal(CALL(&g, "get_tensor_len", t), 0);
    t = output_of(&g, s, "sum");
    HANDLE(&g, "get_tensor_data", t, AT_OUT);
    assert_float_equal(out_f32(&g, 0), 28, 0);

    /* What is cleared is gone. */
    HANDLE(&g, "clear_input", s);
    assert_int_equal(CALL(&g, "run_session", s), 1);
    give_input(&g, s, "input", 4);
    assert_int_equal(CALL(&g, "run_session", s), 0);
    HANDLE(&g, "clear_output", s);
    assert_int_equal(output_of(&g, s, "sum"), 0);
    want(&g, s, "nothing such");
    assert_int_equal(CALL(&g, "run_session", s), 1);
    log_has(&logged, "there is no such output");

    HANDLE(&g, "delete_session", s);
    HANDLE(&g, "delete_session", s);
    assert_int_equal(CALL(&g, "run_session", s), 1);
    assert_null(g.module->holds(g.state));
    assert_int_equal(g.store.memory_used, 0);
    guest_close(&g);
    sv_nn_unref(nn);
    assert_int_equal(fake_count("fake_models"), 0);
    assert_int_equal(fake_count("fake_sessions"), 0);
}

/* The form of WasmEdge 0.12: errno, 32-bit handles, results through pointers. */
static void session_errno(void **state)
{
    struct sv_nn *nn = fake_grant(NULL, &logged);
    int64_t dims[2] = {2, 4};
    struct guest g;
    uint32_t s, t;

    (void)state;
    guest_open(&g, &sv_host_tensorflow, nn);
    g.era = ERA_ERRNO;
    assert_int_equal(CALL(&g, "create_session", AT_MODEL, put_model(&g, "in=2"), AT_RET), 0);
    s = guest_u32(&g, AT_RET);
    assert_true(s > 0);
    for (uint32_t i = 0; i < 8; i++)
        guest_put(&g, AT_IN + 4 * i, &(float){(float)i}, 4);
    guest_put(&g, AT_DIMS, dims, sizeof dims);
    assert_int_equal(
        CALL(&g, "append_input", s, AT_NAME, put_name(&g, "input:0"), AT_DIMS, 2, 1, AT_IN, 32), 0);
    assert_int_equal(
        CALL(&g, "append_input", s, AT_NAME, put_name(&g, "input1"), AT_DIMS, 2, 1, AT_IN, 31), 1);
    assert_int_equal(
        CALL(&g, "append_input", s, AT_NAME, put_name(&g, "input1"), AT_DIMS, 2, 1, AT_IN, 32), 0);
    assert_int_equal(CALL(&g, "append_output", s, AT_NAME, put_name(&g, "sum")), 0);
    assert_int_equal(CALL(&g, "get_output_tensor", s, AT_NAME, 3, AT_RET), 1);
    assert_int_equal(CALL(&g, "run_session", s), 0);
    assert_int_equal(CALL(&g, "get_output_tensor", s, AT_NAME, put_name(&g, "sum:0"), AT_RET), 0);
    t = guest_u32(&g, AT_RET);
    assert_int_equal(CALL(&g, "get_tensor_len", s, t, AT_RET), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 4);
    assert_int_equal(CALL(&g, "get_tensor_data", s, t, AT_OUT, 3, AT_RET), 1);
    assert_int_equal(CALL(&g, "get_tensor_data", s, t, AT_OUT, 4, AT_RET), 0);
    assert_float_equal(out_f32(&g, 0), 56, 0);
    assert_int_equal(CALL(&g, "get_tensor_data", s + 9, t, AT_OUT, 4, AT_RET), 1);
    assert_int_equal(CALL(&g, "clear_input", s), 0);
    assert_int_equal(CALL(&g, "run_session", s), 5);
    assert_int_equal(CALL(&g, "clear_output", s), 0);
    assert_int_equal(CALL(&g, "delete_session", s), 0);
    assert_int_equal(CALL(&g, "delete_session", s), 1);
    assert_int_equal(CALL(&g, "create_session_saved_model", 0, 0, 0, 0, AT_RET), 5);
    guest_put(&g, AT_MODEL, "GIF89a..........", 16);
    assert_int_equal(CALL(&g, "create_session", AT_MODEL, 16, AT_RET), 2);
    assert_int_equal(CALL(&g, "create_session", AT_MODEL, 0, AT_RET), 2);
    assert_int_equal(CALL(&g, "create_session", AT_MODEL, GUEST_SIZE, AT_RET), 1);
    guest_close(&g);
    sv_nn_unref(nn);
}

static void lite(void **state)
{
    struct sv_nn *nn = fake_grant(NULL, &logged);
    struct guest g;
    uint64_t s, t;
    float v = 3;

    (void)state;
    guest_open(&g, &sv_host_tensorflowlite, nn);
    s = open_session(&g, "");
    for (uint32_t i = 0; i < 12; i++)
        guest_put(&g, AT_IN + 4 * i, &v, 4);
    HANDLE(&g, "append_input", s, AT_NAME, put_name(&g, "none"), AT_IN, 48); /* passed over */
    HANDLE(&g, "append_input", s, AT_NAME, put_name(&g, "input:0"), AT_IN, 48);
    assert_int_equal(CALL(&g, "run_session", s), 0);
    t = HANDLE(&g, "get_output_tensor", s, AT_NAME, put_name(&g, "output"));
    assert_int_equal(CALL(&g, "get_tensor_len", t), 48);
    t = HANDLE(&g, "get_output_tensor", s, AT_NAME, put_name(&g, "sum"));
    HANDLE(&g, "get_tensor_data", t, AT_OUT);
    assert_float_equal(out_f32(&g, 0), 36, 0);
    assert_int_equal(HANDLE(&g, "get_output_tensor", s, AT_NAME, put_name(&g, "none")), 0);
    HANDLE(&g, "append_input", s, AT_NAME, put_name(&g, "input"), AT_IN, 47);
    assert_int_equal(CALL(&g, "run_session", s), 1);

    g.era = ERA_ERRNO;
    assert_int_equal(CALL(&g, "create_session", AT_MODEL, put_model(&g, "scalar"), AT_RET), 0);
    s = guest_u32(&g, AT_RET);
    assert_int_equal(CALL(&g, "append_input", s, AT_NAME, put_name(&g, "none"), AT_IN, 4), 1);
    assert_int_equal(CALL(&g, "append_input", s, AT_NAME, put_name(&g, "input"), AT_IN, 4), 0);
    assert_int_equal(CALL(&g, "run_session", s), 0);
    assert_int_equal(CALL(&g, "get_output_tensor", s, AT_NAME, put_name(&g, "output"), AT_RET), 0);
    t = guest_u32(&g, AT_RET);
    assert_int_equal(CALL(&g, "get_tensor_data", s, t, AT_OUT, 100, AT_RET), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 4);
    assert_float_equal(out_f32(&g, 0), 7, 0);
    guest_close(&g);
    sv_nn_unref(nn);
}

/* What libraries do wrong is a failure of that run, with their words in the log. */
static void faults(void **state)
{
    static const struct {
        const char *words, *says;
    } cases[] = {
        {"run-fail", "Fake: told to fail"},
        {"odd-shape", "does not fit its bytes"},
        {"odd-data", "does not fit its bytes"},
        {"huge=2000000000", "over the memory limit"},
    };
    struct sv_nn *nn = fake_grant(NULL, &logged);
    struct guest g;
    uint64_t s;

    (void)state;
    guest_open(&g, &sv_host_tensorflow, nn);
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        log_clear(&logged);
        assert_int_equal(run_words(&g, cases[i].words, &s), 1);
        log_has(&logged, cases[i].says);
        assert_int_equal(output_of(&g, s, "output"), 0);
        HANDLE(&g, "delete_session", s);
        assert_int_equal(g.store.memory_used, 0);
    }
    log_clear(&logged);
    assert_int_equal(open_session(&g, "load-fail"), 0);
    log_has(&logged, "Fake refuses the TensorFlow graph: told to fail");
    guest_put(&g, AT_MODEL, "GIF89a..........", 16);
    assert_int_equal(HANDLE(&g, "create_session", AT_MODEL, 16), 0);
    log_has(&logged, "neither a TensorFlow graph");
    guest_close(&g);
    sv_nn_unref(nn);
    assert_int_equal(fake_count("fake_models"), 0);
    assert_int_equal(fake_count("fake_sessions"), 0);
}

/* Inputs that cannot be: the run says so, in functions that cannot. */
static void inputs(void **state)
{
    static const struct {
        const char *name;
        int64_t dims[3];
        uint32_t rank, type, len;
    } cases[] = {
        {"input", {2, 4}, 2, 1, 31},
        {"input", {2, 4}, 2, 2, 32},
        {"input", {2, 4}, 2, 0, 32},
        {"input", {2, 4}, 2, 7, 32},
        {"input", {2, 4}, 2, 0xffffffff, 32},
        {"input", {-2, -4}, 2, 1, 32},
        {"input", {-1, 4}, 2, 1, 32},
        {"input", {INT64_MAX, INT64_MAX, 4}, 3, 1, 32},
        {"input", {INT64_C(1) << 31, INT64_C(1) << 31, 1}, 3, 1, 0},
        {"input", {INT64_C(1) << 62, 4, 1}, 3, 1, 0},
        {"input", {2, 4}, 9, 1, 32},
        {"input", {2, 4}, 0, 1, 32},
        {"", {2, 4}, 2, 1, 32},
        {"inp", {2, 4}, 2, 1, 32}, /* the backend's refusal */
    };
    struct sv_nn *nn = fake_grant(NULL, &logged);
    struct guest g;
    uint64_t s;

    (void)state;
    guest_open(&g, &sv_host_tensorflow, nn);
    s = open_session(&g, "");
    want(&g, s, "output");
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        log_clear(&logged);
        HANDLE(&g, "clear_input", s);
        guest_put(&g, AT_DIMS, cases[i].dims, sizeof cases[i].dims);
        HANDLE(&g, "append_input", s, AT_NAME, put_name(&g, cases[i].name), 0, AT_DIMS,
               cases[i].rank, cases[i].type, AT_IN, cases[i].len);
        if (CALL(&g, "run_session", s) != 1)
            fail_msg("case %zu ran", i);
        assert_true(logged.lines > 0);
        guest_close(&g); /* for the limit of lines */
        guest_open(&g, &sv_host_tensorflow, nn);
        s = open_session(&g, "");
        want(&g, s, "output");
    }
    /* A name too long, one with a zero in it. */
    memset(g.memory.base + AT_NAME, 'x', SSVM_NN_NAME_MAX);
    HANDLE(&g, "append_output", s, AT_NAME, SSVM_NN_NAME_MAX, 0);
    give_input(&g, s, "input", 8);
    assert_int_equal(CALL(&g, "run_session", s), 1);
    HANDLE(&g, "clear_output", s);
    guest_put(&g, AT_NAME, "out\0put", 7);
    HANDLE(&g, "append_output", s, AT_NAME, 7, 0);
    assert_int_equal(CALL(&g, "run_session", s), 1);
    HANDLE(&g, "clear_output", s);
    want(&g, s, "output");
    assert_int_equal(CALL(&g, "run_session", s), 0);

    /* Without any input; more of them than there may be; pointers out of the memory. */
    HANDLE(&g, "clear_input", s);
    assert_int_equal(CALL(&g, "run_session", s), 1);
    for (int i = 0; i < SV_NN_PORTS_MAX + 10; i++) {
        char name[16];

        snprintf(name, sizeof name, "i%d", i);
        give_input(&g, s, name, 4);
    }
    assert_int_equal(CALL(&g, "run_session", s), 1);
    log_has(&logged, "more than 256 inputs");
    assert_int_equal(CALL(&g, "append_input", s, AT_NAME, 1, 0, AT_DIMS, 0x20000000, 1, AT_IN, 4),
                     SV_ETRAP);
    assert_int_equal(CALL(&g, "append_input", s, 0xffffffff, 1, 0, AT_DIMS, 0, 1, AT_IN, 4),
                     SV_ETRAP);
    assert_int_equal(CALL(&g, "append_output", s, GUEST_SIZE - 1, 2, 0), SV_ETRAP);
    assert_int_equal(CALL(&g, "create_session", GUEST_SIZE - 7, 8), SV_ETRAP);
    guest_close(&g);
    sv_nn_unref(nn);
}

/* Memory is the store's: a limit holds for models, inputs and outputs, and all of it comes back. */
/* An output that the library leaves in the input's memory stays what it is when the guest gives
 * that input up, large as it may be. */
static void borrowed(void **state)
{
    enum { FLOATS = 24 << 10 }; /* more than what is copied anyway */
    struct sv_nn *nn = fake_grant(NULL, &logged);
    struct guest g;
    uint64_t s, t;

    (void)state;
    guest_open(&g, &sv_host_tensorflow, nn);
    s = open_session(&g, "same");
    want(&g, s, "output");
    give_input(&g, s, "input", FLOATS);
    assert_int_equal(CALL(&g, "run_session", s), 0);
    t = output_of(&g, s, "output");
    assert_int_equal(CALL(&g, "get_tensor_len", t), 4 * FLOATS);
    memset(g.memory.base + AT_IN, 0xee, 4 * FLOATS);
    HANDLE(&g, "append_input", s, AT_NAME, put_name(&g, "input"), 0, AT_DIMS + 1, 2, 1, AT_IN,
           4 * FLOATS);
    HANDLE(&g, "get_tensor_data", t, AT_IN);
    for (uint32_t i = 0; i < FLOATS; i++) {
        float wanted = (float)i;

        if (memcmp(g.memory.base + AT_IN + 4 * i, &wanted, 4) != 0)
            fail_msg("number %u of the output is another input's", i);
    }
    HANDLE(&g, "clear_input", s);
    HANDLE(&g, "get_tensor_data", t, AT_IN);
    assert_int_equal(guest_u64(&g, AT_IN) >> 32, 0x3f800000); /* 1.0 */
    HANDLE(&g, "clear_output", s);
    HANDLE(&g, "delete_session", s);
    assert_int_equal(g.store.memory_used, 0);
    guest_close(&g);
    sv_nn_unref(nn);
}

static void memory(void **state)
{
    struct sv_nn *nn = fake_grant(NULL, &logged);
    struct guest g;
    uint64_t s, s2, one;
    uint32_t len;

    (void)state;
    guest_open(&g, &sv_host_tensorflow, nn);
    len = put_model(&g, "cost=1000");
    g.store.limits.memory_bytes = 1000 + len - 1;
    assert_int_equal(open_session(&g, "cost=1000"), 0);
    log_has(&logged, "over the memory limit");
    assert_int_equal(g.store.memory_used, 0);
    g.store.limits.memory_bytes = 1000 + len + 40;
    s = open_session(&g, "cost=1000");
    assert_true(s > 0);
    one = g.store.memory_used;
    assert_int_equal(one, 1000 + len);
    s2 = open_session(&g, "cost=1000"); /* counts once */
    assert_int_equal(g.store.memory_used, one);
    give_input(&g, s, "input", 8);
    assert_int_equal(g.store.memory_used, one + 32);
    give_input(&g, s, "input", 8); /* instead of the first */
    assert_int_equal(g.store.memory_used, one + 32);
    want(&g, s, "output");
    assert_int_equal(CALL(&g, "run_session", s), 1); /* its outputs would be over it */
    g.store.limits.memory_bytes += 100;
    assert_int_equal(CALL(&g, "run_session", s), 0);
    assert_int_equal(CALL(&g, "run_session", s), 0);
    assert_int_equal(g.store.memory_used, one + 64);
    HANDLE(&g, "clear_output", s);
    assert_int_equal(g.store.memory_used, one + 32);
    HANDLE(&g, "delete_session", s);
    assert_int_equal(g.store.memory_used, one);
    HANDLE(&g, "delete_session", s2);
    assert_int_equal(g.store.memory_used, 0);
    assert_int_equal(g.store.peak_memory, one + 64);

    /* Thousands of sessions: up to a limit. */
    g.store.limits.memory_bytes = UINT64_C(1) << 30;
    for (int i = 0; i < 3000; i++)
        s2 = open_session(&g, "");
    assert_int_equal(s2, 0);
    log_has(&logged, "more than 256 sessions");
    guest_close(&g);
    assert_int_equal(g.store.memory_used, 0);
    sv_nn_unref(nn);
}

/* Models are kept from store to store, up to so many bytes; sessions wait for the next guest. */
static void cache(void **state)
{
    struct sv_nn_config config = {.cache_bytes = 3000};
    struct sv_nn *nn = fake_grant(&config, &logged);
    int loads = fake_count("fake_loads");
    struct guest g;
    uint64_t s, t;

    (void)state;
    for (int i = 1; i <= 3; i++) {
        guest_open(&g, &sv_host_tensorflow, nn);
        s = open_session(&g, "cost=1000");
        give_input(&g, s, "input", 8);
        want(&g, s, "runs");
        assert_int_equal(CALL(&g, "run_session", s), 0);
        t = output_of(&g, s, "runs");
        HANDLE(&g, "get_tensor_data", t, AT_OUT);
        assert_int_equal(guest_u64(&g, AT_OUT), i); /* the same session of the backend */
        guest_close(&g);
    }
    assert_int_equal(fake_count("fake_loads"), loads + 1);
    assert_int_equal(fake_count("fake_sessions"), 1);

    /* The least recently used one goes: another two fit, with the first that makes three. */
    guest_open(&g, &sv_host_tensorflow, nn);
    HANDLE(&g, "delete_session", open_session(&g, "cost=1001"));
    HANDLE(&g, "delete_session", open_session(&g, "cost=1000"));
    assert_int_equal(fake_count("fake_loads"), loads + 2);
    HANDLE(&g, "delete_session", open_session(&g, "cost=1002"));
    assert_int_equal(fake_count("fake_models"), 2);
    HANDLE(&g, "delete_session", open_session(&g, "cost=1000"));
    assert_int_equal(fake_count("fake_loads"), loads + 3);
    HANDLE(&g, "delete_session", open_session(&g, "cost=1001"));
    assert_int_equal(fake_count("fake_loads"), loads + 4);
    /* One that is in use stays, whatever the limit. */
    s = open_session(&g, "cost=5000");
    assert_int_equal(fake_count("fake_models"), 1);
    HANDLE(&g, "delete_session", s);
    assert_int_equal(fake_count("fake_models"), 0);
    /* So many small ones that their bytes do not matter. */
    g.store.limits.memory_bytes = UINT64_C(1) << 30;
    sv_nn_unref(nn);
    guest_close(&g);
    nn = fake_grant(NULL, &logged);
    guest_open(&g, &sv_host_tensorflow, nn);
    for (int i = 0; i < SV_NN_MODELS_MAX + 20; i++) {
        char words[16];

        snprintf(words, sizeof words, "m%d", i);
        HANDLE(&g, "delete_session", open_session(&g, words));
    }
    assert_int_equal(fake_count("fake_models"), SV_NN_MODELS_MAX);
    /* Two that differ in one byte. */
    s = put_model(&g, "a");
    assert_true(HANDLE(&g, "create_session", AT_MODEL, s) > 0);
    loads = fake_count("fake_loads");
    g.memory.base[AT_MODEL + 9] = 'b';
    assert_true(HANDLE(&g, "create_session", AT_MODEL, s) > 0);
    assert_int_equal(fake_count("fake_loads"), loads + 1);
    guest_close(&g);
    sv_nn_unref(nn);
    assert_int_equal(fake_count("fake_models"), 0);
    assert_int_equal(fake_count("fake_sessions"), 0);
}

/* Backends that cannot be had are told about when they are wanted, and the next one is taken. */
static void choice(void **state)
{
    static const struct sv_nn_choice both[] = {{"openvino", "/absent"}, {"fake", NULL}},
                                     absent[] = {{"fake", "/absent/libfake.so"}},
                                     twice[] = {{"fake", NULL}, {"fake", NULL}},
                                     odd[] = {{"../fake", NULL}}, unknown[] = {{"nowhere", NULL}};
    struct sv_nn_config config = {.backends = both, .nbackends = 2};
    struct sv_err err = {0};
    struct guest g;
    struct sv_nn *nn;

    (void)state;
    log_clear(&logged);
    nn = fake_grant(&config, &logged);
    assert_int_equal(logged.lines, 0);
    guest_open(&g, &sv_host_tensorflow, nn);
    assert_true(open_session(&g, "") > 0);
    log_has(&logged, "tensorflow: OpenVINO cannot be used: ");
    assert_int_equal(logged.lines, 1);
    assert_true(open_session(&g, "") > 0);
    assert_int_equal(logged.lines, 1); /* once for a model */
    guest_close(&g);
    sv_nn_unref(nn);

    /* None: a guest that asks is told, and whoever does not, runs. */
    log_clear(&logged);
    config = (struct sv_nn_config){.backends = absent, .nbackends = 1};
    nn = fake_grant(&config, &logged);
    guest_open(&g, &sv_host_tensorflow, nn);
    assert_int_equal(open_session(&g, ""), 0);
    log_has(&logged, "Fake cannot be used: the library is absent");
    assert_int_equal(CALL(&g, "run_session", 0), 1);
    assert_int_equal(CALL(&g, "get_tensor_len", 0), 0);
    assert_int_equal(output_of(&g, 0, "output"), 0);
    HANDLE(&g, "delete_session", 0);
    guest_close(&g);
    sv_nn_unref(nn);

    /* A device that is not there is never another one. */
    log_clear(&logged);
    config = (struct sv_nn_config){.device = "gpu"};
    nn = fake_grant(&config, &logged);
    guest_open(&g, &sv_host_tensorflow, nn);
    assert_int_equal(open_session(&g, ""), 0);
    log_has(&logged, "there is no device 'gpu': there are cpu, toy");
    guest_close(&g);
    sv_nn_unref(nn);
    /* Written as OpenVINO and TensorFlow do, it is the same. */
    config = (struct sv_nn_config){.device = "CPU"};
    nn = fake_grant(&config, &logged);
    guest_open(&g, &sv_host_tensorflow, nn);
    assert_true(open_session(&g, "") > 0);
    guest_close(&g);
    sv_nn_unref(nn);
    /* Of more than one that does not take the model, each says why. */
    log_clear(&logged);
    config = (struct sv_nn_config){.backends = both, .nbackends = 2};
    nn = fake_grant(&config, &logged);
    guest_open(&g, &sv_host_tensorflow, nn);
    assert_int_equal(open_session(&g, "load-fail"), 0);
    log_has(&logged, "tensorflow: OpenVINO cannot be used: ");
    log_has(&logged, "\ntensorflow: Fake refuses the TensorFlow graph: told to fail\n");
    assert_int_equal(logged.lines, 2);
    guest_close(&g);
    sv_nn_unref(nn);

    config = (struct sv_nn_config){.backends = twice, .nbackends = 2};
    assert_int_equal(sv_nn_new(&err, &config, &nn), SV_EUSAGE);
    config.backends = odd;
    config.nbackends = 1;
    err.code = 0;
    assert_int_equal(sv_nn_new(&err, &config, &nn), SV_EUSAGE);
    assert_string_equal(err.text, "'../fake' is not the name of a backend");
    config.backends = unknown;
    err.code = 0;
    assert_int_equal(sv_nn_new(&err, &config, &nn), SV_EUSAGE);
    assert_non_null(strstr(err.text, "there is no backend 'nowhere': there are openvino"));
}

static void add_found(void *arg, const struct sv_nn_found *f)
{
    struct log *l = arg;
    char line[2048];

    snprintf(line, sizeof line, "%s|%s|%x|%s|%s|%s|%s", f->id, f->title, f->formats, f->path,
             f->version, f->devices, f->why_not);
    log_add(l, line);
}

static void list(void **state)
{
    static const struct sv_nn_choice two[] = {{"openvino", "/absent"},
                                              {"fake", "/some/libfake.so"}};
    struct sv_nn_config config = {.backends = two, .nbackends = 2};
    struct sv_nn *nn = fake_grant(&config, &logged);
    struct log found;

    (void)state;
    log_clear(&found);
    sv_nn_list(nn, add_found, &found);
    log_has(&found, "openvino|OpenVINO|7|/absent|||OpenVINO cannot be used: ");
    log_has(&found, "fake|Fake|7|/some/libfake.so|Fake 1.0|cpu,toy|\n");
    sv_nn_unref(nn);
}

/* What a guest makes the host print: no control characters, no flood. */
static void log_is_safe(void **state)
{
    struct sv_nn *nn = fake_grant(NULL, &logged);
    struct guest g;
    uint64_t s;

    (void)state;
    log_clear(&logged);
    guest_open(&g, &sv_host_tensorflow, nn);
    s = open_session(&g, "");
    HANDLE(&g, "append_input", s, AT_NAME, put_name(&g, "a\x1b[31m\nb"), 0, AT_DIMS, 0, 0, AT_IN,
           0);
    assert_int_equal(logged.lines, 1);
    log_has(&logged, "a\\x1b[31m\\x0ab");
    for (int i = 0; i < 1000; i++)
        CALL(&g, "run_session", s);
    assert_int_equal(logged.lines, SV_NN_LINES_MAX + 1);
    log_has(&logged, "\ntensorflow: more messages of this guest are not shown\n");
    guest_close(&g);
    sv_nn_unref(nn);
}

/* Gas: the table's, and by the bytes. */
static void gas(void **state)
{
    struct sv_nn *nn = fake_grant(NULL, &logged);
    struct guest g;
    uint64_t s;

    (void)state;
    guest_open(&g, &sv_host_tensorflow, nn);
    s = open_session(&g, "");
    g.store.metered = true;
    g.store.thread.gas = 3;
    HANDLE(&g, "append_input", s, AT_NAME, put_name(&g, "input"), 0, AT_DIMS, 0, 1, AT_IN, 4);
    memset(g.memory.base + AT_DIMS, 0, 16);
    g.memory.base[AT_DIMS] = 255;
    g.memory.base[AT_DIMS + 8] = 4;
    assert_int_equal(CALL(&g, "append_input", s, AT_NAME, 5, 0, AT_DIMS, 2, 1, AT_IN, 255 * 16),
                     SV_ETRAP);
    assert_int_equal(g.store.thread.trap.code, SV_TRAP_GAS);
    guest_close(&g);
    sv_nn_unref(nn);
}

/* The tables in doc/host/nn.md are made from ours. */
static void manual(void **state)
{
    static const struct sv_host_module *const modules[] = {
        &sv_host_tensorflow, &sv_host_tensorflowlite, &sv_host_wasi_nn};
    struct sv_buf b;

    (void)state;
    sv_buf_init(&b, 65536);
    for (size_t i = 0; i < SV_COUNT(modules); i++) {
        sv_buf_printf(&b,
                      "%s## `%s`\n\n| Function | Parameters | Result | Form | Gas | Does |\n"
                      "|---|---|---|---|---|---|\n",
                      i ? "\n" : "", modules[i]->names[0].module);
        for (unsigned k = 0; k < modules[i]->nfuncs; k++) {
            const struct sv_host_func *h = &modules[i]->funcs[k];

            sv_buf_printf(&b, "| `%s` | ", h->name);
            manual_types(&b, h->sig);
            sv_buf_puts(&b, " | ");
            manual_types(&b, strchr(h->sig, ':') + 1);
            sv_buf_printf(&b, " | %s | %u | %s |\n",
                          !h->names || h->names == ERA_ERRNO ? "errno" : "handles", h->cost,
                          h->doc);
        }
    }
    manual_check("nn.md", "## `ssvm_tensorflow`", &b, __FILE__, "test/unit/host/nn.c");
    sv_buf_release(&b);
}

static size_t count_spares(const struct sv_nn *nn)
{
    size_t n = 0;

    for (size_t i = 0; i < SV_NN_SPARES_MAX; i++)
        n += nn->spares[i] != NULL;
    return n;
}

/* Give all of them, in this order; afterwards none is there twice. */
static void give_all(struct sv_nn *nn, uint8_t **data, size_t n)
{
    for (size_t i = 0; i < n; i++)
        sv_nn_data_give(nn, data[i]);
    for (size_t i = 0; i < SV_NN_SPARES_MAX; i++)
        for (size_t k = 0; k < i; k++)
            assert_true(!nn->spares[i] || nn->spares[i] != nn->spares[k]);
}

/* Outputs of one shape are counted before a library has them: what is over the limit is not run. */
static void declared(void **state)
{
    struct sv_nn *nn = fake_grant(NULL, &logged);
    struct guest g;
    uint64_t s, used;
    int runs;

    (void)state;
    log_clear(&logged);
    guest_open(&g, &sv_host_tensorflow, nn);
    s = open_session(&g, "run-fail");
    give_input(&g, s, "input", 8);
    want(&g, s, "output"); /* [-1, 4]: nobody knows */
    want(&g, s, "sum");
    want(&g, s, "runs");
    used = g.store.memory_used;
    runs = fake_count("fake_runs");
    g.store.limits.memory_bytes = used + 4 + 8 - 1;
    assert_int_equal(CALL(&g, "run_session", s), 1);
    log_has(&logged, "the outputs' 12 bytes are over the memory limit");
    assert_int_equal(fake_count("fake_runs"), runs);
    assert_int_equal(g.store.memory_used, used);
    /* They come back where a run fails. */
    g.store.limits.memory_bytes++;
    assert_int_equal(CALL(&g, "run_session", s), 1);
    log_has(&logged, "told to fail");
    assert_int_equal(fake_count("fake_runs"), runs + 1);
    assert_int_equal(g.store.memory_used, used);
    guest_close(&g);
    sv_nn_unref(nn);
}

/* An input's memory serves the next one that fits, and what is kept of it is bounded. */
static void spares(void **state)
{
    struct sv_nn *nn = fake_grant(NULL, &logged);
    uint8_t *first = sv_nn_data_take(nn, 200000), *other, *large[2 * SV_NN_SPARES_MAX];

    (void)state;
    memset(first, 1, 200000);
    sv_nn_data_give(nn, first);
    other = sv_nn_data_take(nn, 200001);
    assert_ptr_not_equal(other, first);
    sv_nn_data_give(nn, other);
    other = sv_nn_data_take(nn, 200000);
    assert_ptr_equal(other, first);
    assert_int_equal((uintptr_t)other % 64, 0);
    memset(other, 2, 200000 + SSVM_NN_SLACK);
    sv_nn_data_give(nn, other);

    for (size_t i = 0; i < SV_COUNT(large); i++)
        large[i] = sv_nn_data_take(nn, (i + 1) << 20);
    give_all(nn, large, SV_COUNT(large));
    assert_in_range(count_spares(nn), 1, 6); /* of 200,000 bytes two, and those of 1 to 4 MiB */
    sv_nn_data_give(nn, NULL);
    sv_nn_data_give(nn, sv_nn_data_take(nn, 0));
    sv_nn_unref(nn);
}

/* Inputs of some size have a huge page, which serves others of any size; there are few. */
static void huge_spares(void **state)
{
    static const size_t lens[] = {300000, 2000000, 700000, 1 << 20, 600000, 1 << 20};
    struct sv_nn *nn = fake_grant(NULL, &logged);
    uint8_t *data[SV_COUNT(lens)], *other, *more[2 * SV_NN_SPARES_MAX];

    (void)state;
    for (size_t i = 0; i < SV_COUNT(lens); i++) {
        data[i] = sv_nn_data_take(nn, lens[i]);
        memset(data[i], (int)i, lens[i] + SSVM_NN_SLACK);
        /* Behind the head, at the beginning of a page of 2 MiB. */
        assert_int_equal((uintptr_t)data[i] % 64, 0);
        assert_int_equal((uintptr_t)data[i] % (2 << 20) == 64, i < SV_NN_HUGE_MAX);
    }
    give_all(nn, data, SV_COUNT(lens));
    /* However many others come behind them, they are not given up. */
    for (size_t i = 0; i < SV_COUNT(more); i++)
        more[i] = sv_nn_data_take(nn, 3 << 20);
    give_all(nn, more, SV_COUNT(more));
    assert_int_equal(count_spares(nn), SV_NN_SPARES_MAX);
    for (size_t i = 0; i < SV_NN_HUGE_MAX; i++) {
        more[i] = sv_nn_data_take(nn, i % 2 ? 64 << 10 : 1900000);
        assert_int_equal((uintptr_t)more[i] % (2 << 20), 64);
    }
    other = sv_nn_data_take(nn, 300000);
    assert_int_not_equal((uintptr_t)other % (2 << 20), 64);
    sv_nn_data_give(nn, other);
    give_all(nn, more, SV_NN_HUGE_MAX);
    sv_nn_unref(nn);
}

/* What a library reads behind an input's end is not what another guest gave. */
static void behind(void **state)
{
    enum { FLOATS = 24 << 10 }; /* so that its memory is used again */
    struct sv_nn *nn = fake_grant(NULL, &logged);
    struct guest g;
    int64_t dims[2] = {FLOATS / 4 - 4, 4};
    uint64_t s;

    (void)state;
    guest_open(&g, &sv_host_tensorflow, nn);
    s = open_session(&g, "");
    give_input(&g, s, "input", FLOATS);
    guest_close(&g);

    guest_open(&g, &sv_host_tensorflow, nn);
    s = open_session(&g, "behind");
    want(&g, s, "sum");
    guest_put(&g, AT_DIMS, dims, sizeof dims);
    memset(g.memory.base + AT_IN, 0, 4 * FLOATS);
    HANDLE(&g, "append_input", s, AT_NAME, put_name(&g, "input"), 0, AT_DIMS, 2, 1, AT_IN,
           4 * FLOATS - 64);
    assert_int_equal(CALL(&g, "run_session", s), 0);
    HANDLE(&g, "get_tensor_data", output_of(&g, s, "sum"), AT_OUT);
    assert_float_equal(out_f32(&g, 0), 0, 0);
    guest_close(&g);
    sv_nn_unref(nn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables),      cmocka_unit_test(session), cmocka_unit_test(session_errno),
        cmocka_unit_test(lite),        cmocka_unit_test(faults),  cmocka_unit_test(inputs),
        cmocka_unit_test(borrowed),    cmocka_unit_test(memory),  cmocka_unit_test(cache),
        cmocka_unit_test(choice),      cmocka_unit_test(list),    cmocka_unit_test(gas),
        cmocka_unit_test(log_is_safe), cmocka_unit_test(manual),  cmocka_unit_test(spares),
        cmocka_unit_test(huge_spares), cmocka_unit_test(behind),  cmocka_unit_test(declared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
