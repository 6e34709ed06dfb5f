/* Paths and query strings: canonical forms, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/path.h"

static void normalises(void **state)
{
    static const struct {
        const char *in, *out; /* NULL = refused */
    } cases[] = {
        {"/", "/"},
        {"/a", "/a"},
        {"/a/", "/a/"},
        {"//", "/"},
        {"///a//b///", "/a/b/"},
        {"/./a/./b/.", "/a/b/"},
        {"/a/../b", "/b"},
        {"/a/b/../../c", "/c"},
        {"/a/..", "/"},
        {"/a/b/..", "/a/"},
        {"/..", NULL},
        {"/../a", NULL},
        {"/a/../../b", NULL},
        {"/%2e%2e/a", NULL},
        {"/a/%2E%2e/b", "/b"},
        {"/a/.%2e/b", "/b"},
        {"/a/..b", "/a/..b"},
        {"/a/...", "/a/..."},
        {"/%41%62", "/Ab"},
        {"/a%20b", "/a b"},
        {"/a+b", "/a+b"},
        {"/%C3%A4", "/\xc3\xa4"},
        {"/a%2fb", NULL},
        {"/a%2Fb", NULL},
        {"/a%5cb", NULL},
        {"/a\\b", NULL},
        {"/a%00b", NULL},
        {"/a%0ab", NULL},
        {"/a%7f", NULL},
        {"/a%", NULL},
        {"/a%4", NULL},
        {"/a%4g", NULL},
        {"/%252e%252e/a", "/%2e%2e/a"},
        {"a", NULL},
        {"", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[SRV_PATH_MAX + 1];
        size_t len = 0;
        const char *why = srv_path_normalise(cases[i].in, strlen(cases[i].in), out, &len);

        if (!cases[i].out) {
            if (!why)
                fail_msg("'%s' is taken", cases[i].in);
            continue;
        }
        if (why)
            fail_msg("'%s': %s", cases[i].in, why);
        assert_string_equal(out, cases[i].out);
        assert_int_equal(len, strlen(out));
    }
}

static void long_paths(void **state)
{
    char in[SRV_PATH_MAX + 100], out[SRV_PATH_MAX + 1];
    size_t len;

    (void)state;
    memset(in, 'a', sizeof in);
    in[0] = '/';
    for (size_t n = SRV_PATH_MAX - 5; n < SRV_PATH_MAX + 50; n++) {
        const char *why = srv_path_normalise(in, n, out, &len);

        assert_int_equal(why == NULL, n <= SRV_PATH_MAX - 1);
        in[n - 1] = '/';
        why = srv_path_normalise(in, n, out, &len);
        assert_int_equal(why == NULL, n <= SRV_PATH_MAX);
        in[n - 1] = 'a';
    }
}

static void queries(void **state)
{
    static const char query[] = "a=1&b&&c=%41+b&d=%zz&=e";
    static const char *const values[] = {"1", "b", "%41+b", "%zz", "e"};
    const char *s = query, *end = query + strlen(query), *value;
    char text[] = "%41+b%2B", bad[] = "a%zz";
    size_t len, n = 0;

    (void)state;
    while (srv_query_next(&s, end, &value, &len)) {
        assert_int_equal(len, strlen(values[n]));
        assert_memory_equal(value, values[n], len);
        n++;
    }
    assert_int_equal(n, 5);
    assert_int_equal(srv_query_decode(text, strlen(text)), 4);
    assert_memory_equal(text, "A b+", 4);
    assert_int_equal(srv_query_decode(bad, strlen(bad)), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(normalises), cmocka_unit_test(long_paths),
                                       cmocka_unit_test(queries)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
