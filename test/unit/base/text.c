/* Buffers, vectors, strings, UTF-8 (against the C library), the map, errors, clocks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <locale.h>
#include <wchar.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/str.h"

static void buffer(void **state)
{
    struct sv_buf b;
    size_t len;
    char *data;

    (void)state;
    sv_buf_init(&b, 100);
    assert_string_equal(sv_buf_cstr(&b), "");
    assert_true(sv_buf_puts(&b, "abc") && sv_buf_putc(&b, 'd') &&
                sv_buf_printf(&b, "%d-%s", 12, "x"));
    assert_string_equal(sv_buf_cstr(&b), "abcd12-x");
    assert_true(sv_buf_append(&b, NULL, 0));
    data = sv_buf_take(&b, &len);
    assert_int_equal(len, 8);
    assert_string_equal(data, "abcd12-x");
    sv_free(data);
    assert_int_equal(b.len, 0);
    data = sv_buf_take(&b, NULL);
    assert_string_equal(data, "");
    sv_free(data);
    sv_buf_release(&b);
}

/* Exactly max bytes fit; one more is refused and stays refused. */
static void buffer_maximum(void **state)
{
    struct sv_buf b;

    (void)state;
    for (size_t max = 0; max < 200; max += 13) {
        sv_buf_init(&b, max);
        for (size_t i = 0; i < max; i++)
            assert_true(sv_buf_putc(&b, 'x'));
        assert_int_equal(strlen(sv_buf_cstr(&b)), max);
        assert_false(sv_buf_putc(&b, 'y'));
        assert_true(b.failed);
        assert_false(sv_buf_append(&b, "", 0));
        assert_int_equal(b.len, max);
        sv_buf_clear(&b);
        assert_false(sv_buf_printf(&b, "%*s", (int)max + 1, "z"));
        sv_buf_clear(&b);
        assert_true(sv_buf_printf(&b, "%s", ""));
        assert_false(sv_buf_reserve(&b, SIZE_MAX));
        sv_buf_release(&b);
    }
    sv_buf_init(&b, SIZE_MAX);
    assert_true(sv_buf_puts(&b, "x"));
    assert_false(sv_buf_reserve(&b, SIZE_MAX));
    sv_buf_release(&b);
}

static void json(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", "\"\""},
        {"a\"\\b", "\"a\\\"\\\\b\""},
        {"\n\t\r\b\f\v\x01\x7f", "\"\\n\\t\\r\\b\\f\\u000b\\u0001\\u007f\""},
        {"h\xc3\xa9\xf0\x9f\x98\x80", "\"h\xc3\xa9\xf0\x9f\x98\x80\""},
        {"\xff\xc3", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
    };
    struct sv_buf b;

    (void)state;
    sv_buf_init(&b, 1000);
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        sv_buf_clear(&b);
        assert_true(sv_buf_json_string(&b, cases[i].in, strlen(cases[i].in)));
        assert_string_equal(sv_buf_cstr(&b), cases[i].out);
    }
    sv_buf_clear(&b);
    assert_true(sv_buf_json_string(&b, "a\0b", 3));
    assert_string_equal(sv_buf_cstr(&b), "\"a\\u0000b\"");
    sv_buf_release(&b);
}

static void vector(void **state)
{
    SV_VEC(uint32_t) v = {0};

    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        assert_true(SV_VEC_PUSH(&v, 1000, i));
    assert_false(SV_VEC_PUSH(&v, 1000, 0));
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(v.data[i], i);
    assert_int_equal(v.len, 1000);
    sv_free(v.data);
}

/* Every sequence of up to three bytes, and many of four, against mbrtowc. */
static void utf8(void **state)
{
    unsigned char s[4];

    (void)state;
    if (!setlocale(LC_CTYPE, "C.UTF-8"))
        skip();
    for (uint32_t i = 0; i < 1u << 24; i += i < 1 << 16 ? 1 : 7) {
        mbstate_t mb = {0};
        wchar_t wide = 0;
        size_t n, expected;

        s[0] = (unsigned char)(i >> 16 | (i >> 16 ? 0x80 : 0));
        s[1] = (unsigned char)(i >> 8);
        s[2] = (unsigned char)i;
        s[3] = (unsigned char)(0x80 | (i & 0x3f));
        n = sv_utf8_len(s, 4);
        expected = mbrtowc(&wide, (const char *)s, 4, &mb);
        if (expected == (size_t)-1 || expected == (size_t)-2 || (wide >= 0xd800 && wide < 0xe000) ||
            wide > 0x10ffff)
            expected = 0;
        else if (expected == 0)
            expected = 1; /* the NUL */
        if (n != expected)
            fail_msg("%02x %02x %02x %02x: %zu, expected %zu", s[0], s[1], s[2], s[3], n, expected);
        if (n > 1)
            assert_int_equal(sv_utf8_len(s, n - 1), 0);
    }
    assert_true(sv_utf8_valid("", 0));
    assert_true(sv_utf8_valid("a\0b\xc3\xa9", 5));
    assert_false(sv_utf8_valid("a\xc3", 2));
}

static void map(void **state)
{
    static char keys[5000][8];
    struct sv_map m;

    (void)state;
    sv_map_init(&m);
    assert_null(sv_map_find(&m, sv_str_of("x")));
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(keys[i], sizeof keys[i], "%x", i * 7919);
        assert_true(sv_map_put(&m, sv_str_of(keys[i]), keys[i]));
    }
    for (unsigned i = 0; i < 5000; i++)
        assert_ptr_equal(sv_map_find(&m, sv_str_of(keys[i])), keys[i]);
    assert_null(sv_map_find(&m, sv_str_of("none")));
    assert_true(sv_map_put(&m, sv_str_of(keys[3]), &m));
    assert_ptr_equal(sv_map_find(&m, sv_str_of(keys[3])), &m);
    assert_int_equal(m.len, 5000);
    assert_true(sv_map_put(&m, (struct sv_str){NULL, 0}, &m));
    assert_ptr_equal(sv_map_find(&m, sv_str_of("")), &m);
    sv_map_release(&m);
    assert_int_not_equal(sv_hash("abcdefgh", 8), sv_hash("abcdefg", 7));
    assert_int_not_equal(sv_hash_seeded("a", 1, 1), sv_hash_seeded("a", 1, 2));
}

static void errors(void **state)
{
    struct sv_err err = {0};
    char buf[64], small[4];

    (void)state;
    assert_int_equal(sv_fail(&err, SV_EINVALID, 65, "unknown type %d", 9), SV_EINVALID);
    assert_string_equal(sv_err_format(&err, buf, sizeof buf), "unknown type 9 at 0x41");
    assert_string_equal(sv_err_format(&err, small, sizeof small), "unk");
    assert_int_equal(sv_fail(&err, SV_ENOMEM, SV_NO_OFFSET, "later"), SV_ENOMEM); /* first wins */
    assert_int_equal(err.code, SV_EINVALID);
    sv_err_prefix(&err, "a.wasm");
    assert_string_equal(err.text, "a.wasm: unknown type 9");
    memset(&err, 0, sizeof err);
    sv_fail_nomem(&err, "module");
    assert_string_equal(sv_err_format(&err, buf, sizeof buf), "out of memory for module");
    memset(&err, 0, sizeof err);
    sv_fail(&err, SV_EIO, SV_NO_OFFSET, "%03000d", 1);
    assert_int_equal(strlen(err.text), SV_ERR_TEXT_MAX - 1);
    sv_err_prefix(&err, "x");
    assert_int_equal(strlen(err.text), SV_ERR_TEXT_MAX - 1);
    assert_int_equal(sv_fail(NULL, SV_EIO, 0, "nobody listens"), SV_EIO);
    assert_string_equal(sv_code_text(SV_EMALFORMED), "malformed module");
    assert_string_equal(sv_code_text(12345), "unknown error");
}

static void clocks(void **state)
{
    uint64_t a = sv_clock_ns(), thread = sv_clock_thread_ns();

    (void)state;
    assert_true(sv_clock_ns() >= a);
    assert_true(sv_clock_thread_ns() >= thread);
    assert_true(sv_clock_wall_ns() > UINT64_C(1700000000000000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(buffer), cmocka_unit_test(buffer_maximum), cmocka_unit_test(json),
        cmocka_unit_test(vector), cmocka_unit_test(utf8),           cmocka_unit_test(map),
        cmocka_unit_test(errors), cmocka_unit_test(clocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
