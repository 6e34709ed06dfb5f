/* Messages: values by tag, and bytes that are no values. */
#include "platform/message.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include <cmocka.h>

static void test_values(void **state)
{
    struct plat_message m;
    size_t at = 0;
    uint64_t n = 0;
    char *text;

    (void)state;
    plat_message_init(&m, PLAT_KV);
    plat_put_str(&m, PLAT_TAG_KEY, "k");
    plat_put_u64(&m, PLAT_TAG_NUMBER, UINT64_MAX - 1);
    plat_put(&m, PLAT_TAG_VALUE, "a\0b", 3);
    plat_put(&m, PLAT_TAG_OLD, "", 0);
    plat_put_str(&m, PLAT_TAG_ALLOW, "one");
    plat_put_str(&m, PLAT_TAG_ALLOW, "two");
    assert_true(plat_message_well_formed(&m));
    assert_true(sv_str_eq(plat_get(&m, PLAT_TAG_KEY), sv_str_of("k")));
    assert_true(plat_get_u64(&m, PLAT_TAG_NUMBER, &n));
    assert_true(n == UINT64_MAX - 1);
    assert_false(plat_get_u64(&m, PLAT_TAG_KEY, &n));
    assert_int_equal(plat_get(&m, PLAT_TAG_VALUE).len, 3);
    assert_null(plat_get_text(&m, PLAT_TAG_VALUE)); /* has a NUL */
    assert_true(plat_has(&m, PLAT_TAG_OLD));
    assert_false(plat_has(&m, PLAT_TAG_HOST));
    assert_null(plat_get(&m, PLAT_TAG_HOST).ptr);
    assert_true(sv_str_eq(plat_get_next(&m, PLAT_TAG_ALLOW, &at), sv_str_of("one")));
    assert_true(sv_str_eq(plat_get_next(&m, PLAT_TAG_ALLOW, &at), sv_str_of("two")));
    assert_null(plat_get_next(&m, PLAT_TAG_ALLOW, &at).ptr);
    assert_null(plat_get_next(&m, PLAT_TAG_ALLOW, &at).ptr);
    text = plat_get_text(&m, PLAT_TAG_KEY);
    assert_string_equal(text, "k");
    sv_free(text);
    plat_message_release(&m);
}

static void test_error(void **state)
{
    struct sv_err err = {0}, got = {0};
    struct plat_message m;

    (void)state;
    plat_message_init(&m, PLAT_SQL);
    plat_put_str(&m, PLAT_TAG_VALUE, "half an answer");
    assert_int_equal(plat_take_error(&m, &got), 0);
    sv_fail(&err, SV_ENOTFOUND, SV_NO_OFFSET, "no table '%s'", "x");
    plat_put_error(&m, &err);
    assert_false(plat_has(&m, PLAT_TAG_VALUE));
    assert_int_equal(plat_take_error(&m, &got), SV_ENOTFOUND);
    assert_int_equal(got.code, SV_ENOTFOUND);
    assert_string_equal(got.text, "no table 'x'");
    plat_message_release(&m);
}

/* Every prefix of a message, and every byte of it changed: nothing outside it is read (ASan), and
 * what is no sequence of values says so. */
static void test_malformed(void **state)
{
    struct plat_message whole, m;

    (void)state;
    plat_message_init(&whole, PLAT_KV);
    plat_put_str(&whole, PLAT_TAG_KEY, "key");
    plat_put_str(&whole, PLAT_TAG_VALUE, "value");
    for (size_t len = 0; len < whole.values.len; len++) {
        plat_message_init(&m, PLAT_KV);
        sv_buf_append(&m.values, whole.values.data, len);
        assert_true(plat_message_well_formed(&m) == (len == 0 || len == 6 + 3));
        (void)plat_get(&m, PLAT_TAG_VALUE);
        plat_message_release(&m);
    }
    for (size_t at = 0; at < whole.values.len; at++) {
        for (unsigned change = 1; change < 256; change++) {
            plat_message_init(&m, PLAT_KV);
            sv_buf_append(&m.values, whole.values.data, whole.values.len);
            m.values.data[at] ^= (unsigned char)change;
            if (at >= 2 && at < 6) /* the first length */
                assert_true(!plat_message_well_formed(&m) || !plat_has(&m, PLAT_TAG_VALUE) ||
                            plat_get(&m, PLAT_TAG_VALUE).len != 5);
            (void)plat_get_next(&m, PLAT_TAG_VALUE, &(size_t){0});
            plat_message_release(&m);
        }
    }
    plat_message_release(&whole);
}

static void test_descriptors(void **state)
{
    struct plat_message m;
    int fd;

    (void)state;
    plat_message_init(&m, PLAT_TABLE);
    for (int i = 0; i < PLAT_FDS_MAX; i++)
        assert_true(plat_put_fd(&m, dup(STDERR_FILENO)));
    assert_false(m.values.failed);
    fd = dup(STDERR_FILENO);
    assert_false(plat_put_fd(&m, fd)); /* closed: it was given away */
    assert_int_equal(fcntl(fd, F_GETFD), -1);
    assert_true(m.values.failed);
    fd = m.fds[0];
    plat_message_release(&m);
    assert_int_equal(fcntl(fd, F_GETFD), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_error),
        cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_descriptors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
