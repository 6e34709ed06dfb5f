/* Type descriptors of every version of wasm-bindgen, and the values that guests hold by number. The
 * streams of 0.2.92, 0.2.100 and 0.2.130 were seen in modules; the others follow from the order of
 * words in the sources of those versions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "host/bindgen/bindgen.h"

/* clang-format off */
static const struct {
    unsigned version;
    uint32_t words[24];
    size_t n;
    const char *text;
} cases[] = {
    /* String -> String */
    {61, {11, 0, 1, 14, 14}, 5, "f(String) -> String"},
    {78, {11, 0, 1, 14, 14}, 5, "f(String) -> String"},
    {92, {11, 0, 1, 15, 14, 14, 14}, 7, "f(&str) -> String"},
    {100, {13, 0, 1, 16, 16, 16}, 6, "f(String) -> String"},
    {118, {13, 0, 1, 16, 16, 16}, 6, "f(String) -> String"},
    {119, {15, 0, 1, 18, 18, 18}, 6, "f(String) -> String"},
    {130, {15, 0, 1, 18, 18, 18}, 6, "f(String) -> String"},
    /* slices and vectors */
    {61, {11, 0, 1, 15, 17, 1, 18, 1}, 8, "f(&[u8]) -> Vec<u8>"},
    {83, {11, 0, 1, 15, 17, 1, 18, 1}, 8, "f(&[u8]) -> Vec<u8>"},
    {84, {11, 0, 1, 15, 18, 1, 19, 1}, 8, "f(&[u8]) -> Vec<u8>"},
    {92, {11, 0, 1, 15, 18, 1, 14, 14}, 8, "f(&[u8]) -> String"},
    {100, {13, 0, 1, 17, 20, 1, 16, 16}, 8, "f(&[u8]) -> String"},
    {120, {15, 0, 1, 19, 22, 1, 18, 18}, 8, "f(&[u8]) -> String"},
    {130, {15, 0, 1, 19, 22, 1, 18, 18}, 8, "f(&[u8]) -> String"},
    /* options, results, units */
    {78, {11, 0, 1, 24, 5, 25}, 6, "f(Option<u32>)"},
    {79, {11, 0, 1, 24, 5, 25, 26}, 7, "f(Option<u32>) -> Result<()>"},
    {91, {11, 0, 1, 25, 5, 26, 27}, 7, "f(Option<u32>) -> Result<()>"},
    {95, {11, 0, 1, 26, 5, 27, 28}, 7, "f(Option<u32>) -> Result<()>"},
    {100, {13, 0, 1, 28, 5, 29, 16, 29, 16}, 9, "f(Option<u32>) -> Result<String>"},
    {120, {15, 0, 1, 30, 5, 31, 32}, 7, "f(Option<u32>) -> Result<()>"},
    {127, {15, 0, 1, 31, 5, 32, 33}, 7, "f(Option<u32>) -> Result<()>"},
    /* floats moved with the 128-bit integers, chars with the enums */
    {95, {11, 0, 3, 8, 9, 25, 10}, 7, "f(f32, f64, char) -> bool"},
    {96, {13, 0, 3, 10, 11, 27, 12}, 7, "f(f32, f64, char) -> bool"},
    {119, {15, 0, 3, 12, 13, 29, 14}, 7, "f(f32, f64, char) -> bool"},
    {121, {15, 0, 3, 12, 13, 30, 14}, 7, "f(f32, f64, char) -> bool"},
    /* classes and enums carry names; newer ones where they come from, too */
    {100, {13, 0, 1, 17, 26, 1, 80, 5}, 8, "f(&P) -> u32"},
    {127, {15, 0, 1, 19, 29, 1, 80, 5}, 8, "f(&P) -> u32"},
    {128, {15, 0, 1, 19, 29, 1, 80, 2, 97, 98, 5}, 11, "f(&P) -> u32"},
    {100, {13, 0, 1, 24, 1, 69, 7, 5}, 8, "f(E) -> u32"},
    {130, {15, 0, 1, 26, 1, 69, 7, 2, 97, 98, 12345, 5}, 12, "f(E) -> u32"},
    {100, {13, 0, 0, 30, 30}, 5, "f()"},
};
/* clang-format on */

static void streams(void **state)
{
    static struct sv_bindgen_sig sig;
    struct sv_err err = {0};
    struct sv_buf out;

    (void)state;
    sv_buf_init(&out, 4096);
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        sv_buf_clear(&out);
        assert_int_equal(
            sv_bindgen_sig_decode(&err, cases[i].words, cases[i].n, cases[i].version, &sig), 0);
        sv_bindgen_sig_print(&out, &sig, sv_str_of("f"));
        assert_string_equal(sv_buf_cstr(&out), cases[i].text);
    }
    sv_buf_release(&out);
}

/* Every beginning of every stream is refused, none is read beyond its end. */
static void cut_off(void **state)
{
    static struct sv_bindgen_sig sig;

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        for (size_t n = 0; n < 4 && n < cases[i].n; n++) {
            uint32_t *words = sv_alloc_array(n + 1, sizeof *words);
            struct sv_err err = {0};

            assert_non_null(words);
            memcpy(words, cases[i].words, n * sizeof *words);
            assert_true(sv_bindgen_sig_decode(&err, words, n, cases[i].version, &sig) < 0);
            sv_free(words);
        }
    }
}

static void garbage(void **state)
{
    static struct sv_bindgen_sig sig;
    uint32_t words[64], seed = 1;

    (void)state;
    for (int round = 0; round < 200000; round++) {
        struct sv_err err = {0};
        size_t n;

        seed = seed * 1664525 + 1013904223;
        n = 3 + (seed >> 16) % 60;
        words[0] = 13;
        words[1] = 0;
        words[2] = 1 + (seed >> 8) % 3;
        for (size_t i = 3; i < n; i++) {
            seed = seed * 1664525 + 1013904223;
            words[i] = (seed >> 16) % 34;
        }
        if (sv_bindgen_sig_decode(&err, words, n, 100, &sig) < 0)
            assert_int_not_equal(err.code, 0);
    }
}

static void handles(void **state)
{
    struct sv_bindgen *b = sv_bindgen_new();
    uint32_t a, c;

    (void)state;
    assert_non_null(b);
    a = sv_bindgen_value_new(b, SV_BINDGEN_VALUE_STRING, "text", 4, 0);
    assert_true(a >= SV_BINDGEN_HANDLE_FIRST);
    assert_memory_equal(sv_bindgen_value_get(b, a).bytes, "text", 4);
    sv_bindgen_value_unref(b, a);
    assert_int_equal(sv_bindgen_value_get(b, a).kind, SV_BINDGEN_VALUE_UNDEFINED);
    sv_bindgen_value_unref(b, a); /* twice, as a hostile guest would */
    c = sv_bindgen_value_new(b, SV_BINDGEN_VALUE_NUMBER, NULL, 0, 1.5);
    assert_int_equal(c, a);
    assert_true(sv_bindgen_value_new(b, SV_BINDGEN_VALUE_NUMBER, NULL, 0, 2) != c);
    /* The constants of all eras. */
    assert_int_equal(sv_bindgen_value_get(b, 33).kind, SV_BINDGEN_VALUE_NULL);
    assert_int_equal(sv_bindgen_value_get(b, 128).kind, SV_BINDGEN_VALUE_UNDEFINED);
    assert_int_equal(sv_bindgen_value_get(b, 1026).kind, SV_BINDGEN_VALUE_TRUE);
    assert_int_equal(sv_bindgen_value_get(b, 1027).kind, SV_BINDGEN_VALUE_FALSE);
    assert_int_equal(sv_bindgen_value_get(b, UINT32_MAX).kind, SV_BINDGEN_VALUE_UNDEFINED);
    for (uint32_t h = 0; h < 5000; h++)
        sv_bindgen_value_unref(b, h);
    sv_bindgen_value_unref(b, UINT32_MAX);
    assert_int_equal(sv_bindgen_value_get(b, sv_bindgen_handle_of(SV_REF_NULL)).kind,
                     SV_BINDGEN_VALUE_NULL);
    assert_int_equal(sv_bindgen_handle_of(sv_ref_host(5000)), 5000);
    sv_bindgen_delete(b);
    sv_bindgen_delete(NULL);
}

/* A guest that clones the handle of an array keeps nothing of the call's memory. */
static void kept_array(void **state)
{
    struct sv_bindgen *b = sv_bindgen_new();
    unsigned char bytes[4] = {1, 2, 3, 4};
    uint32_t h;

    (void)state;
    assert_non_null(b);
    h = sv_bindgen_value_new(b, SV_BINDGEN_VALUE_ARRAY, bytes, sizeof bytes, 0);
    b->values.data[h - SV_BINDGEN_HANDLE_FIRST].refs++;
    sv_bindgen_array_end(b, h);
    assert_int_equal(sv_bindgen_value_get(b, h).kind, SV_BINDGEN_VALUE_OBJECT);
    assert_null(sv_bindgen_value_get(b, h).bytes);
    /* A handle that the guest dropped and that means something else by now is left alone. */
    sv_bindgen_value_unref(b, h);
    h = sv_bindgen_value_new(b, SV_BINDGEN_VALUE_STRING, "x", 1, 0);
    b->values.data[h - SV_BINDGEN_HANDLE_FIRST].refs++;
    sv_bindgen_array_end(b, h);
    assert_int_equal(sv_bindgen_value_get(b, h).kind, SV_BINDGEN_VALUE_STRING);
    sv_bindgen_delete(b);
}

/* More bytes than a guest may hold. */
static void too_much(void **state)
{
    struct sv_bindgen *b = sv_bindgen_new();
    static char megabyte[1 << 20];
    uint32_t h = 1;
    int n = 0;

    (void)state;
    assert_non_null(b);
    while (h && n < 100) {
        h = sv_bindgen_value_new(b, SV_BINDGEN_VALUE_STRING, megabyte, sizeof megabyte, 0);
        n += h != 0;
    }
    assert_int_equal(n, SV_BINDGEN_BYTES_MAX / sizeof megabyte);
    sv_bindgen_delete(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams), cmocka_unit_test(cut_off),  cmocka_unit_test(garbage),
        cmocka_unit_test(handles), cmocka_unit_test(too_much), cmocka_unit_test(kept_array),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
