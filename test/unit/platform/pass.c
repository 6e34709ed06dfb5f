/* Passes: good for one secret, one function, until their end; nothing else is one. */
#include "platform/pass.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define UNTIL 1000

static const uint8_t secret[SV_SHA256_LEN] = "a secret of thirty-two byte",
                     other[SV_SHA256_LEN] = "b";

static bool is(const char *pass, size_t len)
{
    return plat_pass_is(secret, sv_str_of("hello"), UNTIL - 1, pass, len);
}

static void good(void **state)
{
    char pass[PLAT_PASS_LEN + 1];

    (void)state;
    plat_pass_write(secret, sv_str_of("hello"), UNTIL, pass);
    assert_int_equal(strlen(pass), PLAT_PASS_LEN);
    assert_true(is(pass, PLAT_PASS_LEN));
    assert_false(plat_pass_is(secret, sv_str_of("hello"), UNTIL, pass, PLAT_PASS_LEN));
    assert_false(plat_pass_is(secret, sv_str_of("hello2"), 0, pass, PLAT_PASS_LEN));
    assert_false(plat_pass_is(secret, sv_str_of(""), 0, pass, PLAT_PASS_LEN));
    assert_false(plat_pass_is(other, sv_str_of("hello"), 0, pass, PLAT_PASS_LEN));
}

/* Each digit counts, that of the end too; so do capitals and blanks, which say the same number. */
static void altered(void **state)
{
    char pass[PLAT_PASS_LEN + 1], wrong[PLAT_PASS_LEN + 1];

    (void)state;
    plat_pass_write(secret, sv_str_of("hello"), UNTIL, pass);
    for (size_t i = 0; i < PLAT_PASS_LEN; i++) {
        for (const char *digit = "0123456789abcdefABCDEF +-x"; *digit; digit++) {
            memcpy(wrong, pass, sizeof wrong);
            wrong[i] = *digit;
            assert_int_equal(is(wrong, PLAT_PASS_LEN), *digit == pass[i]);
        }
        assert_false(is(pass, i));
    }
    assert_false(is(NULL, 0));
}

/* What is made for one name or number says nothing of another. */
static void secrets(void **state)
{
    uint8_t a[SV_SHA256_LEN], b[SV_SHA256_LEN];

    (void)state;
    plat_pass_secret(secret, sv_str_of("a"), 0, a);
    plat_pass_secret(secret, sv_str_of("a"), 0, b);
    assert_memory_equal(a, b, sizeof a);
    plat_pass_secret(secret, sv_str_of("b"), 0, b);
    assert_memory_not_equal(a, b, sizeof a);
    plat_pass_secret(secret, sv_str_of("a"), 1, b);
    assert_memory_not_equal(a, b, sizeof a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good),
        cmocka_unit_test(altered),
        cmocka_unit_test(secrets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
