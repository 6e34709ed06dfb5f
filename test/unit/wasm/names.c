/* Names for messages and branch hints: from the section, the export, the import; what damage
 * leaves. */
#include "build.h"

#include <pthread.h>

/* import "env"."log", functions 1 to 3; 2 is exported as "run" */
static void put_module(struct sv_buf *b)
{
    put_header(b);
    put(b, BYTES(1, 4, 1, 0x60, 0, 0));
    put(b, BYTES(2, 11, 1, 3, 'e', 'n', 'v', 3, 'l', 'o', 'g', 0, 0));
    put(b, BYTES(3, 4, 3, 0, 0, 0));
    put(b, BYTES(7, 7, 1, 3, 'r', 'u', 'n', 0, 2));
    put(b, BYTES(10, 10, 3, 2, 0, 0x0b, 2, 0, 0x0b, 2, 0, 0x0b));
}

static void put_custom(struct sv_buf *b, const char *name, const void *bytes, size_t len)
{
    struct sv_buf s;

    sv_buf_init(&s, 4096);
    put_u64(&s, strlen(name));
    put(&s, name, strlen(name));
    put(&s, bytes, len);
    put_section(b, 0, &s);
}

static struct sv_module *module_of(struct sv_types *types, struct sv_buf *b)
{
    struct sv_module *m = NULL;
    struct sv_err err = {0};

    if (sv_module_new(&err, types, b->data, b->len, NULL, NULL, &m) != 0)
        fail_msg("%s", err.text);
    return m;
}

static void assert_name(const struct sv_module *m, uint32_t func, const char *expected)
{
    struct sv_str name = sv_module_func_name(m, func);

    assert_int_equal(name.len, strlen(expected));
    assert_memory_equal(name.ptr, expected, name.len);
}

static const struct name_case {
    const uint8_t *bytes;
    size_t len;
    const char *module, *names[4];
} cases[] = {
    {(const uint8_t *)"", 0, "", {"env.log", "", "run", ""}},
    {BYTES(0, 2, 1, 'm', 1, 5, 1, 1, 2, 'f', '1'), "m", {"env.log", "f1", "run", ""}},
    /* not in order, and twice: found all the same */
    {BYTES(1, 7, 2, 3, 1, 'c', 0, 1, 'a'), "", {"a", "", "run", "c"}},
    /* subsections that we do not know */
    {BYTES(2, 1, 0, 9, 0, 0, 2, 1, 'm'), "m", {"env.log", "", "run", ""}},
    /* a length too long, a count too large, an index of no function, no UTF-8: what was read before
       counts */
    {BYTES(0, 2, 1, 'm', 1, 99, 1, 1, 1, 'x'), "m", {"env.log", "", "run", ""}},
    {BYTES(1, 7, 0xff, 0xff, 0xff, 0xff, 0x0f, 3, 0), "", {"env.log", "", "run", ""}},
    {BYTES(1, 10, 3, 1, 1, 'x', 77, 1, 'y', 3, 1, 'z'), "", {"env.log", "x", "run", ""}},
    {BYTES(1, 7, 2, 1, 1, 'x', 2, 1, 0xff), "", {"env.log", "x", "run", ""}},
    {BYTES(1, 4, 1, 1, 9, 'x'), "", {"env.log", "", "run", ""}},
    {BYTES(0xff, 0xff, 0xff), "", {"env.log", "", "run", ""}},
};

static void function_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        struct sv_types *types = sv_types_new();
        struct sv_module *m;
        struct sv_buf b;

        put_module(&b);
        put_custom(&b, "name", cases[i].bytes, cases[i].len);
        m = module_of(types, &b);
        for (uint32_t f = 0; f < 4; f++)
            assert_name(m, f, cases[i].names[f]);
        assert_int_equal(sv_module_name(m).len, strlen(cases[i].module));
        sv_module_unref(m);
        sv_types_delete(types);
        sv_buf_release(&b);
    }
}

static void branch_hints(void **state)
{
    struct sv_types *types = sv_types_new();
    struct sv_module *m;
    struct sv_buf b;

    (void)state;
    put_module(&b);
    /* function 1: likely at 5, unlikely at 9; function 3: likely at 2, then damage */
    put_custom(&b, "metadata.code.branch_hint",
               BYTES(2, 1, 2, 5, 1, 1, 9, 1, 0, 3, 2, 2, 1, 1, 4, 7, 1));
    m = module_of(types, &b);
    assert_int_equal(sv_module_branch_hint(m, 1, 5), 1);
    assert_int_equal(sv_module_branch_hint(m, 1, 9), 0);
    assert_int_equal(sv_module_branch_hint(m, 1, 6), -1);
    assert_int_equal(sv_module_branch_hint(m, 2, 5), -1);
    assert_int_equal(sv_module_branch_hint(m, 3, 2), 1);
    assert_int_equal(sv_module_branch_hint(m, 3, 4), -1);
    sv_module_unref(m);
    sv_types_delete(types);
    sv_buf_release(&b);
}

static void *ask(void *arg)
{
    assert_name(arg, 1, "f1");
    assert_name(arg, 0, "env.log");
    return NULL;
}

/* The section is parsed at the first question, whoever asks. */
static void threads(void **state)
{
    struct sv_types *types = sv_types_new();
    pthread_t thread[4];
    struct sv_module *m;
    struct sv_buf b;

    (void)state;
    put_module(&b);
    put_custom(&b, "name", BYTES(1, 5, 1, 1, 2, 'f', '1'));
    m = module_of(types, &b);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, ask, m), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    sv_module_unref(m);
    sv_types_delete(types);
    sv_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(function_names),
        cmocka_unit_test(branch_hints),
        cmocka_unit_test(threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
