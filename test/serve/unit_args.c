/* Arguments of typed calls: cutting JSON arrays, bodies and query strings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/args.h"
#include "serve/function.h"

/* The elements of an array's inside, each followed by '|', or NULL. */
static const char *cut(const char *inside, char out[256])
{
    const char *s = inside, *end = inside + strlen(inside), *value;
    size_t len, n = 0;
    int r;

    while ((r = srv_args_next_json(&s, end, &value, &len)) > 0) {
        memcpy(out + n, value, len);
        n += len;
        out[n++] = '|';
    }
    out[n] = '\0';
    return r < 0 ? NULL : out;
}

static void json(void **state)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"", ""},
        {"  ", ""},
        {"1", "1|"},
        {" 1 , 2 ", "1|2|"},
        {"\"a,b\",[1,2],{\"c\":[3,4]}", "\"a,b\"|[1,2]|{\"c\":[3,4]}|"},
        {"\"\\\"],\",1", "\"\\\"],\"|1|"},
        {"1,", NULL},
        {",1", NULL},
        {"1,,2", NULL},
        {"\"a", NULL},
        {"\"a\\", NULL},
        {"[1", NULL},
        {"1]", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char out[256];
        const char *got = cut(cases[i].in, out);

        if (!cases[i].out ? got != NULL : !got || strcmp(got, cases[i].out) != 0)
            fail_msg("'%s': '%s'", cases[i].in, got ? got : "(refused)");
    }
}

static void bodies_and_queries(void **state)
{
    struct srv_export ex = {
        .known = true, .nparams = 2, .params = {SRV_PARAM_BYTES, SRV_PARAM_STRING}};
    char query[] = "text=a%20b&n=7";
    struct srv_request *request = calloc(1, sizeof *request);
    ssvm_arg args[SRV_PARAMS_MAX];
    const char *why = NULL;

    (void)state;
    request->export = &ex;
    request->query = query;
    request->query_len = strlen(query);
    request->body = "\x89PNG";
    request->body_len = 4;
    assert_int_equal(srv_args_read(request, "image/png", 9, true, args, &why), 3);
    assert_int_equal(args[0].kind, SSVM_ARG_BYTES);
    assert_int_equal(args[1].kind, SSVM_ARG_STRING);
    assert_memory_equal(args[1].bytes, "a b", 3);
    assert_int_equal(args[1].len, 3);
    assert_int_equal(args[2].kind, SSVM_ARG_TEXT);
    request->query_len = 0;
    request->body = " [\"x\", [1,2]]\n";
    request->body_len = strlen(request->body);
    assert_int_equal(
        srv_args_read(request, "application/json; charset=utf-8", 31, true, args, &why), 2);
    assert_int_equal(args[1].kind, SSVM_ARG_JSON);
    assert_memory_equal(args[1].bytes, "[1,2]", 5);
    request->body = "{\"a\":1}";
    request->body_len = 7;
    assert_int_equal(srv_args_read(request, "application/json", 16, true, args, &why), 1);
    request->body = "[1, 2";
    request->body_len = 5;
    assert_int_equal(srv_args_read(request, "application/json", 16, true, args, &why), -1);
    assert_non_null(why);
    request->body = "[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]";
    request->body_len = strlen(request->body);
    assert_int_equal(srv_args_read(request, "application/json", 16, true, args, &why), -1);
    free(request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(json),
                                       cmocka_unit_test(bodies_and_queries)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
