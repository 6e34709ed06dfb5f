/* Typed calls through the C API: kinds of arguments and results, errors, lifetimes. What the types
 * mean is tested by test/host/bindgen/run.sh against the Rust sources of the same guests. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../guest.h"

static void open_guest(struct guest *g, const char *name, const ssvm_limits *limits)
{
    char path[1024];
    const char *slash = strrchr(__FILE__, '/');

    snprintf(path, sizeof path, "%.*s/../../host/bindgen/wasm/%s.wasm", (int)(slash - __FILE__),
             __FILE__, name);
    ok(ssvm_engine_new(NULL, &g->engine));
    ok(ssvm_module_open(g->engine, path, &g->module));
    ok(ssvm_store_new(g->engine, limits, &g->store));
    ok(ssvm_linker_new(g->store, &g->linker));
    ok(ssvm_linker_define_bindgen(g->linker));
    ok(ssvm_linker_define_bindgen(g->linker)); /* twice is once */
    ok(ssvm_linker_instantiate(g->linker, g->module, &g->instance));
}

#define STRING(s) {.kind = SSVM_ARG_STRING, .bytes = s, .len = strlen(s)}
#define BYTES(s, n) {.kind = SSVM_ARG_BYTES, .bytes = s, .len = n}
#define JSON(s) {.kind = SSVM_ARG_JSON, .bytes = s, .len = strlen(s)}
#define INT(v) {.kind = SSVM_ARG_INT, .i = v}
#define FLOAT(v) {.kind = SSVM_ARG_FLOAT, .f = v}
#define BOOL(v) {.kind = SSVM_ARG_BOOL, .i = v}
#define NONE {.kind = SSVM_ARG_NULL}
#define ARGS(...)                                                                                  \
    ((const ssvm_arg[]){__VA_ARGS__}), sizeof((const ssvm_arg[]){__VA_ARGS__}) / sizeof(ssvm_arg)

static void expect(struct guest *g, const char *name, const ssvm_arg *args, size_t n,
                   ssvm_result_kind kind, const char *text, size_t len)
{
    ssvm_result r = SSVM_RESULT_INIT;

    ok(ssvm_instance_call(g->instance, name, args, n, SSVM_RESULT_AUTO, &r));
    assert_int_equal(r.kind, kind);
    assert_int_equal(r.len, len);
    assert_memory_equal(r.bytes, text, len);
    assert_int_equal(r.bytes[len], 0);
    ssvm_string_delete(r.bytes);
}
#define EXPECT(g, name, kind, text, ...)                                                           \
    expect(g, name, ARGS(__VA_ARGS__), SSVM_RESULT_##kind, text, strlen(text))

static void expect_error(struct guest *g, const char *name, const ssvm_arg *args, size_t n,
                         ssvm_error_kind kind, const char *part)
{
    ssvm_result r = SSVM_RESULT_INIT;
    ssvm_error *e = ssvm_instance_call(g->instance, name, args, n, SSVM_RESULT_AUTO, &r);

    assert_non_null(e);
    if (ssvm_error_kind_of(e) != kind || !strstr(ssvm_error_message(e), part))
        print_error("%s: %d %s\n", name, (int)ssvm_error_kind_of(e), ssvm_error_message(e));
    assert_int_equal(ssvm_error_kind_of(e), kind);
    assert_non_null(strstr(ssvm_error_message(e), part));
    assert_null(r.bytes);
    ssvm_error_delete(e);
}
#define EXPECT_ERROR(g, name, kind, part, ...)                                                     \
    expect_error(g, name, ARGS(__VA_ARGS__), SSVM_##kind, part)

static void kinds(void **state)
{
    struct guest g;

    (void)state;
    open_guest(&g, "raw-100", NULL);
    EXPECT(&g, "say", STRING, "hello Bob", STRING("Bob"));
    EXPECT(&g, "say", STRING, "hello B\nb", JSON("\"B\\nb\""));
    EXPECT(&g, "say", STRING, "hello \xf0\x9f\x98\x80", JSON("\"\\ud83d\\ude00\""));
    EXPECT(&g, "say", STRING, "hello abc", BYTES("abc", 3));
    EXPECT(&g, "reverse", BYTES, "cba", BYTES("abc", 3));
    EXPECT(&g, "reverse", BYTES, "cba", STRING("abc"));
    EXPECT(&g, "reverse", BYTES, "\3\2\1", JSON("[1,2,3]"));
    EXPECT(&g, "add", INT, "-1", INT(-2), FLOAT(1.0));
    EXPECT(&g, "add", INT, "7", JSON(" 3 "), INT(4));
    EXPECT(&g, "half", FLOAT, "1.5", INT(3));
    EXPECT(&g, "not", BOOL, "false", BOOL(1));
    EXPECT(&g, "not", BOOL, "true", JSON("false"));
    EXPECT(&g, "next_char", STRING, "b", INT('a'));
    EXPECT(&g, "opt_u32", JSON, "null", NONE);
    EXPECT(&g, "opt_u32", JSON, "null", JSON("null"));
    EXPECT(&g, "opt_u32", INT, "2", INT(1));
    EXPECT(&g, "opt_string", JSON, "null", NONE);
    EXPECT(&g, "opt_string", STRING, "null", STRING("null"));
    EXPECT(&g, "prefix_sums", JSON, "[1,3]", JSON("[ 1 , 2 ]"));
    EXPECT(&g, "total", FLOAT, "1.5", BYTES("\0\0\0\0\0\0\360?\0\0\0\0\0\0\340?", 16));
    EXPECT(&g, "js_kind", BOOL, "true", NONE);
    EXPECT(&g, "js_number", FLOAT, "1.5", FLOAT(1.5));
    EXPECT(&g, "join", STRING, "a+b\nc", JSON("[\"a\",\"b\\nc\"]"));
    EXPECT(&g, "js_kind", BOOL, "false", FLOAT(1.5));
    guest_close(&g);
}

/* Nothing becomes something else on its way without a word: the argument is named. */
static void nothing_is_bent(void **state)
{
    static const char *const guests[] = {"raw-100", "raw-130"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct guest g;

        open_guest(&g, guests[i], NULL);
        EXPECT_ERROR(&g, "join", EUSAGE,
                     "argument 1 of 'join' is wrong: element 1, '1', is not a string",
                     JSON("[\"a\",1]"));
        EXPECT_ERROR(&g, "join", EUSAGE, "element 0, 'null', is not a string", JSON("[null]"));
        EXPECT_ERROR(&g, "join", EUSAGE, "element 0, 'true', is not a string", JSON("[true]"));
        EXPECT_ERROR(&g, "join", EUSAGE, "element 0, '[\"a\"]', is not a string",
                     JSON("[[\"a\"]]"));
        EXPECT_ERROR(&g, "join", EUSAGE, "element 0, '\"\\ud800\"', has a bad escape",
                     JSON("[\"\\ud800\"]"));
        EXPECT_ERROR(&g, "join", EUSAGE, "is not valid UTF-8", JSON("[\"\xed\xa0\x80\"]"));
        EXPECT_ERROR(&g, "join", EUSAGE, "null where an array is expected", JSON("null"));
        EXPECT_ERROR(&g, "say", EUSAGE,
                     "argument 1 of 'say' is wrong: '1' where a string is expected", JSON("1"));
        EXPECT_ERROR(&g, "say", EUSAGE, "null where a string is expected", JSON("null"));
        EXPECT_ERROR(&g, "say", EUSAGE, "a JSON array where a string is expected", JSON("[\"a\"]"));
        EXPECT_ERROR(&g, "say", EUSAGE, "is not valid UTF-8", JSON("\"\xff\""));
        EXPECT_ERROR(&g, "reverse", EUSAGE, "'12' where an array is expected", JSON("12"));
        EXPECT_ERROR(&g, "reverse", EUSAGE, "element 1, '256', is out of range for u8",
                     JSON("[255,256]"));
        EXPECT_ERROR(&g, "reverse", EUSAGE, "element 0, '[1]', is not a number", JSON("[[1]]"));
        EXPECT_ERROR(&g, "reverse", EUSAGE, "element 0, '1.5', is not a whole number",
                     JSON("[1.5]"));
        EXPECT_ERROR(&g, "prefix_sums", EUSAGE, "element 0, 'null', is not a number",
                     JSON("[null]"));
        EXPECT_ERROR(&g, "prefix_sums", EUSAGE, "is not a JSON array", JSON("[NaN]"));
        EXPECT_ERROR(&g, "not", EUSAGE, "'1' where bool is expected", JSON("1"));
        EXPECT_ERROR(&g, "not", EUSAGE, "null where bool is expected", JSON("null"));
        EXPECT_ERROR(&g, "next_char", EUSAGE, "'5' where char is expected", JSON("5"));
        EXPECT_ERROR(&g, "next_char", EUSAGE, "'ab' is not a character", JSON("\"ab\""));
        EXPECT_ERROR(&g, "add", EUSAGE, "'2147483648' is out of range for i32", JSON("2147483648"),
                     INT(1));
        /* A string of JSON is no number, but for those that JSON does not have. */
        EXPECT_ERROR(&g, "add", EUSAGE,
                     "argument 1 of 'add' is wrong: the string '5' where i32 is expected",
                     JSON("\"5\""), INT(1));
        EXPECT_ERROR(&g, "add", EUSAGE, "argument 2 of 'add' is wrong: the string '5'", INT(1),
                     JSON("\"5\""));
        EXPECT_ERROR(&g, "half", EUSAGE, "the string '1.5' where f64 is expected", JSON("\"1.5\""));
        EXPECT_ERROR(&g, "invert64", EUSAGE, "the string '1' where u64 is expected", JSON("\"1\""));
        EXPECT_ERROR(&g, "opt_u32", EUSAGE, "the string '1' where u32 is expected", JSON("\"1\""));
        EXPECT(&g, "half", FLOAT, "NaN", JSON("\"NaN\""));
        EXPECT(&g, "half32", FLOAT, "-Infinity", JSON("\"-Infinity\""));
        EXPECT(&g, "not", BOOL, "true", JSON("\"false\""));
        EXPECT_ERROR(&g, "add", EUSAGE, "is not JSON", JSON("007"), INT(1));
        EXPECT_ERROR(&g, "add", EUSAGE, "is not JSON", JSON("1."), INT(1));
        EXPECT_ERROR(&g, "add", EUSAGE, "is not JSON", JSON("-"), INT(1));
        EXPECT_ERROR(&g, "add", EUSAGE, "is not JSON", JSON("NaN"), INT(1));
        EXPECT_ERROR(&g, "add", EUSAGE, "is not JSON", JSON("0x10"), INT(1));
        EXPECT_ERROR(&g, "half", EUSAGE, "'1e999' is out of range for f64", JSON("1e999"));
        EXPECT_ERROR(&g, "half32", EUSAGE, "'1e39' is out of range for f32", JSON("1e39"));
        EXPECT_ERROR(&g, "half", EUSAGE, "null where f64 is expected", NONE);
        EXPECT(&g, "half", FLOAT, "-0", JSON("-0"));
        EXPECT(&g, "half", FLOAT, "-0", FLOAT(-0.0));
        EXPECT(&g, "invert64", INT, "18437736874454810622", JSON("9007199254740993"));
        EXPECT(&g, "invert64", INT, "0", JSON("18446744073709551615"));
        EXPECT_ERROR(&g, "invert64", EUSAGE, "is out of range for u64",
                     JSON("18446744073709551616"));
        EXPECT_ERROR(&g, "invert64", EUSAGE, "is too large to be exact",
                     JSON("9007199254740993.0"));
        EXPECT_ERROR(&g, "invert64", EUSAGE, "is too large to be exact", FLOAT(1e17));
        EXPECT_ERROR(&g, "invert64", EUSAGE, "is out of range for u64 (0 to", JSON("-1"));
        EXPECT_ERROR(&g, "invert64", EUSAGE, "is not a whole number", FLOAT(__builtin_nan("")));
        EXPECT(&g, "js_number", FLOAT, "5", JSON("5"));
        EXPECT(&g, "js_number", FLOAT, "9007199254740992", JSON("9007199254740992"));
        EXPECT_ERROR(&g, "js_number", EUSAGE, "is not exact as a number of JavaScript",
                     JSON("9007199254740993"));
        EXPECT_ERROR(&g, "js_number", EUSAGE, "is not exact as a number of JavaScript",
                     JSON("-9007199254740993"));
        EXPECT_ERROR(&g, "js_number", EUSAGE, "is not exact as a number of JavaScript",
                     INT(9007199254740993));
        EXPECT_ERROR(&g, "js_number", EUSAGE, "is not exact as a number of JavaScript",
                     JSON("123456789012345678901234567890"));
        guest_close(&g);
    }
}

static void nothing_takes_nothing(void **state)
{
    struct guest g;

    (void)state;
    open_guest(&g, "raw-100", NULL);
    expect(&g, "nothing", NULL, 0, SSVM_RESULT_NONE, "", 0);
    guest_close(&g);
}

static void errors(void **state)
{
    struct guest g;
    ssvm_arg many[100] = {{.kind = SSVM_ARG_INT}};
    ssvm_result r = SSVM_RESULT_INIT;
    ssvm_error *e;

    (void)state;
    open_guest(&g, "raw-130", NULL);
    EXPECT_ERROR(&g, "res_u32", EGUEST, "negative", INT(-1));
    EXPECT_ERROR(&g, "fail_with", ETRAP, "oops", STRING("oops"));
    EXPECT_ERROR(&g, "boom", ETRAP, "unreachable", INT(9));
    EXPECT_ERROR(&g, "say", EUSAGE, "argument 1 of 'say' is wrong: 5 where a string is expected",
                 INT(5));
    EXPECT_ERROR(&g, "say", EUSAGE, "argument 1 of 'say' is not valid UTF-8", STRING("\xff"));
    EXPECT_ERROR(&g, "add", EUSAGE,
                 "argument 1 of 'add' is wrong: 2147483648 is out of range for i32",
                 INT(2147483648), INT(1));
    EXPECT_ERROR(&g, "add", EUSAGE, "1.5 is not a whole number", INT(1), FLOAT(1.5));
    EXPECT_ERROR(&g, "add", EUSAGE, "argument 2 of 'add' is missing", INT(1));
    EXPECT_ERROR(&g, "add", EUSAGE, "true where i32 is expected", INT(1), BOOL(1));
    EXPECT_ERROR(&g, "add", EUSAGE, "is not JSON", JSON("[1"), INT(1));
    EXPECT_ERROR(&g, "add", EUSAGE, "is not JSON", JSON("1 2"), INT(1));
    EXPECT_ERROR(&g, "add", EUSAGE, "JSON object", JSON("{\"a\":1}"), INT(1));
    EXPECT_ERROR(&g, "say", EUSAGE, "bad escape", JSON("\"\\ud800\""));
    EXPECT_ERROR(&g, "total", EUSAGE, "no whole number of f64", BYTES("1234567", 7));
    EXPECT_ERROR(&g, "prefix_sums", EUSAGE, "element 1, 'true', is not a number", JSON("[1,true]"));
    EXPECT_ERROR(&g, "nosuch", ENOTFOUND, "no exported function 'nosuch'", INT(1));
    EXPECT_ERROR(&g, "memory", ETYPE, "not a function", INT(1));
    e = ssvm_instance_call(g.instance, "add", many, 100, SSVM_RESULT_AUTO, &r);
    assert_int_equal(ssvm_error_kind_of(e), SSVM_EUSAGE);
    ssvm_error_delete(e);
    e = ssvm_instance_call(g.instance, "say", ARGS(STRING("x")), SSVM_RESULT_INT, &r);
    assert_int_equal(ssvm_error_kind_of(e), SSVM_ETYPE);
    ssvm_error_delete(e);
    /* After all of them the instance still works. */
    EXPECT(&g, "say", STRING, "hello again", STRING("again"));
    guest_close(&g);
}

static void signatures(void **state)
{
    static const char *const modules[] = {"raw-89",  "raw-92",  "raw-95",
                                          "raw-100", "raw-106", "raw-130"};
    static const struct {
        const char *name, *text;
    } cases[] = {
        {"say", "say(String) -> String"},
        {"shout", "shout(&str) -> String"},
        {"reverse", "reverse(&[u8]) -> Vec<u8>"},
        {"small", "small(i8, u8, i16, u16) -> i16"},
        {"fill", "fill(&mut [u8], u8)"},
        {"clamp", "clamp(Clamped<Vec<u8>>) -> Clamped<Vec<u8>>"},
        {"opt_i64", "opt_i64(Option<i64>) -> Option<i64>"},
        {"res_unit", "res_unit(bool) -> Result<()>"},
        {"color", "color(Color) -> Color"},
        {"js_text", "js_text(&str) -> JsValue"},
        {"nothing", "nothing()"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof modules / sizeof modules[0]; i++) {
        struct guest g;

        open_guest(&g, modules[i], NULL);
        for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
            char *text = NULL;
            ok(ssvm_module_signature(g.module, cases[k].name, &text));
            assert_string_equal(text, cases[k].text);
            ssvm_string_delete(text);
        }
        guest_close(&g);
    }
}

static void no_signature(void **state)
{
    struct guest g;
    char *text = NULL;
    ssvm_error *e;

    (void)state;
    open_guest(&g, "processed-100", NULL);
    e = ssvm_module_signature(g.module, "say", &text);
    assert_int_equal(ssvm_error_kind_of(e), SSVM_ENOTFOUND);
    ssvm_error_delete(e);
    e = ssvm_module_signature(g.module, "nosuch", &text);
    assert_int_equal(ssvm_error_kind_of(e), SSVM_ENOTFOUND);
    ssvm_error_delete(e);
    guest_close(&g);
}

/* The guest frees its arguments and we free its results: memory stays as it is. */
static void memory_stays(void **state)
{
    static char bytes[65536];
    struct guest g;
    uint64_t before = 0;

    (void)state;
    memset(bytes, 'x', sizeof bytes);
    open_guest(&g, "raw-100", NULL);
    for (int i = 0; i < 200; i++) {
        ssvm_result r = SSVM_RESULT_INIT;
        ok(ssvm_instance_call(g.instance, "opt_bytes", ARGS(BYTES(bytes, sizeof bytes)),
                              SSVM_RESULT_AUTO, &r));
        assert_int_equal(r.len, sizeof bytes);
        ssvm_string_delete(r.bytes);
        EXPECT_ERROR(&g, "res_string", EGUEST, "empty text", STRING(""));
        if (i == 2)
            before = ssvm_memory_size(ssvm_instance_memory(g.instance, "memory"));
    }
    assert_int_equal(ssvm_memory_size(ssvm_instance_memory(g.instance, "memory")), before);
    guest_close(&g);
}

static void two_instances(void **state)
{
    struct guest g;
    ssvm_instance *second;

    (void)state;
    open_guest(&g, "processed-100", NULL);
    ok(ssvm_linker_instantiate(g.linker, g.module, &second));
    EXPECT(&g, "say", STRING, "hello 1", STRING("1"));
    g.instance = second;
    EXPECT(&g, "say", STRING, "hello 2", STRING("2"));
    EXPECT_ERROR(&g, "res_u32", EGUEST, "negative", INT(-1));
    EXPECT_ERROR(&g, "res_null", EGUEST, "null", INT(1));
    guest_close(&g);
}

/* One deadline for the whole call: descriptor, allocator and function. */
static void limits_hold(void **state)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    struct guest g;

    (void)state;
    limits.gas = 2000;
    open_guest(&g, "raw-100", &limits);
    EXPECT_ERROR(&g, "shout", ETRAP, "gas",
                 STRING("a text that takes more than two thousand instructions to turn into upper "
                        "case letters, as Rust does it"));
    guest_close(&g);
}

/* More arguments than there is room for at first. The module, as text:
 * (module (memory (export "memory") 1)
 *  (func (export "__wbindgen_malloc") (param i32 i32) (result i32) i32.const 1024)
 *  (func (export "last") (param, 16 i32) (result i32) local.get 15)
 *  (func (export "lens") (param, 12 i32) (result i32)
 *   local.get 11 local.get 9 i32.sub local.get 1 i32.add)) */
static void many_arguments(void **state)
{
    static const char module[] = "\x00\x61\x73\x6d\x01\x00\x00\x00\x01\x2b\x03\x60\x02\x7f\x7f\x01"
                                 "\x7f\x60\x10\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f"
                                 "\x7f\x7f\x7f\x01\x7f\x60\x0c\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f\x7f"
                                 "\x7f\x7f\x7f\x01\x7f\x03\x04\x03\x00\x01\x02\x05\x03\x01\x00\x01"
                                 "\x07\x2c\x04\x06\x6d\x65\x6d\x6f\x72\x79\x02\x00\x11\x5f\x5f\x77"
                                 "\x62\x69\x6e\x64\x67\x65\x6e\x5f\x6d\x61\x6c\x6c\x6f\x63\x00\x00"
                                 "\x04\x6c\x61\x73\x74\x00\x01\x04\x6c\x65\x6e\x73\x00\x02\x0a\x17"
                                 "\x03\x05\x00\x41\x80\x08\x0b\x04\x00\x20\x0f\x0b\x0a\x00\x20\x0b"
                                 "\x20\x09\x6b\x20\x01\x6a\x0b";
    struct guest g;

    (void)state;
    ok(ssvm_engine_new(NULL, &g.engine));
    ok(ssvm_module_new(g.engine, module, sizeof module - 1, &g.module));
    ok(ssvm_store_new(g.engine, NULL, &g.store));
    ok(ssvm_linker_new(g.store, &g.linker));
    ok(ssvm_linker_instantiate(g.linker, g.module, &g.instance));
    EXPECT(&g, "last", INT, "16", INT(1), INT(2), INT(3), INT(4), INT(5), INT(6), INT(7), INT(8),
           INT(9), INT(10), INT(11), INT(12), INT(13), INT(14), INT(15), INT(16));
    EXPECT(&g, "lens", INT, "3", STRING("a"), STRING("bb"), STRING("c"), STRING("d"),
           STRING("eeee"), STRING("ffffff"));
    guest_close(&g);
}

/* "NAME COUNT" of what was called, as one text. */
static void note_calls(void *data, size_t i, const ssvm_host_calls *f)
{
    char *text = data;
    size_t len = strlen(text);

    (void)i;
    assert_true(f->calls > 0);
    snprintf(text + len, 1000 - len, "%s %llu\n", f->name, (unsigned long long)f->calls);
}

/* The types are told once; who asks first pays no more than who comes later. */
static void same_gas(void **state)
{
    ssvm_limits limits = SSVM_LIMITS_INIT;
    ssvm_stats first = SSVM_STATS_INIT, second = SSVM_STATS_INIT;
    char calls[2][1000] = {"", ""};
    ssvm_instance *instance;
    ssvm_linker *linker;
    ssvm_store *store;
    struct guest g;

    (void)state;
    limits.gas = SSVM_GAS_COUNT;
    open_guest(&g, "raw-100", &limits);
    EXPECT(&g, "say", STRING, "hello Bob", STRING("Bob"));
    ssvm_store_stats(g.store, &first);
    ssvm_store_each_host_calls(g.store, note_calls, calls[0]);
    ok(ssvm_store_new(g.engine, &limits, &store));
    ok(ssvm_linker_new(store, &linker));
    ok(ssvm_linker_define_bindgen(linker));
    ok(ssvm_linker_instantiate(linker, g.module, &instance));
    g.instance = instance;
    EXPECT(&g, "say", STRING, "hello Bob", STRING("Bob"));
    ssvm_store_stats(store, &second);
    assert_true(first.gas_used > 0);
    assert_int_equal(first.gas_used, second.gas_used);
    assert_int_equal(first.host_calls, second.host_calls);
    ssvm_store_each_host_calls(store, note_calls, calls[1]);
    assert_string_equal(calls[0], calls[1]);
    ssvm_linker_delete(linker);
    ssvm_store_delete(store);
    guest_close(&g);
}

static void wasmedge(void **state)
{
    struct guest g;

    (void)state;
    open_guest(&g, "wasmedge", NULL);
    EXPECT(&g, "say", STRING, "hello Bob", STRING("Bob"));
    EXPECT(&g, "reverse", BYTES, "cba", BYTES("abc", 3));
    EXPECT(&g, "add", INT, "-1", INT(-3), INT(2));
    EXPECT(&g, "mul", FLOAT, "7.5", INT(3), FLOAT(2.5));
    EXPECT(&g, "pair", JSON, "[8,\"a!\"]", STRING("a"), INT(7));
    EXPECT(&g, "check", INT, "8", INT(4));
    EXPECT(&g, "add", INT, "-1", JSON("-3"), JSON("2"));
    EXPECT(&g, "mul", FLOAT, "7.5", JSON("3"), JSON("2.5"));
    EXPECT_ERROR(&g, "add", EUSAGE, "argument 2 of 'add' is wrong: null", INT(1), JSON("null"));
    EXPECT_ERROR(&g, "add", EUSAGE, "is out of range for u64", JSON("18446744073709551616"),
                 INT(1));
    EXPECT_ERROR(&g, "check", EGUEST, "negative", INT(-4));
    guest_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kinds),          cmocka_unit_test(nothing_is_bent),
        cmocka_unit_test(errors),         cmocka_unit_test(signatures),
        cmocka_unit_test(no_signature),   cmocka_unit_test(memory_stays),
        cmocka_unit_test(two_instances),  cmocka_unit_test(limits_hold),
        cmocka_unit_test(many_arguments), cmocka_unit_test(same_gas),
        cmocka_unit_test(wasmedge),       cmocka_unit_test(nothing_takes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
