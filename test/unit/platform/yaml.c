/* YAML as a tree with places, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "platform/yaml.h"

static struct sv_arena arena;

static int setup(void **state)
{
    (void)state;
    sv_arena_init(&arena, 16U << 20);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sv_arena_release(&arena);
    return 0;
}

static struct plat_yaml *parse(const char *text)
{
    struct sv_err err = {0};
    struct plat_yaml *root = NULL;

    if (plat_yaml_read(&err, "t.yaml", text, strlen(text), &arena, &root) < 0)
        fail_msg("'%s': %s", text, err.text);
    return root;
}

static void tree(void **state)
{
    const struct plat_yaml *root =
        parse("name: hello\n\nroutes:\n  - path: /a\n    methods: [GET, POST]\n  - \"\"\nempty:\n");
    const struct plat_yaml *routes, *route, *methods;

    (void)state;
    assert_int_equal(root->kind, PLAT_YAML_MAP);
    assert_int_equal(root->n, 3);
    assert_string_equal(plat_yaml_find(root, "name")->text, "hello");
    assert_int_equal(plat_yaml_find(root, "name")->column, 7);
    routes = plat_yaml_find(root, "routes");
    assert_int_equal(routes->kind, PLAT_YAML_LIST);
    assert_int_equal(routes->key_line, 3);
    assert_int_equal(routes->n, 2);
    route = routes->first;
    assert_int_equal(route->line, 4);
    assert_int_equal(plat_yaml_find(route, "methods")->line, 5);
    methods = plat_yaml_find(route, "methods");
    assert_string_equal(methods->first->next->text, "POST");
    assert_null(methods->first->next->next);
    assert_false(plat_yaml_is_null(route->next)); /* quoted: an empty text */
    assert_true(plat_yaml_is_null(plat_yaml_find(root, "empty")));
    assert_null(plat_yaml_find(root, "routes2"));
}

static void empty_documents(void **state)
{
    static const char *const texts[] = {"", "# only a comment\n", "---\n", "~\n"};

    (void)state;
    for (size_t i = 0; i < SV_COUNT(texts); i++) {
        const struct plat_yaml *root = parse(texts[i]);

        assert_int_equal(root->kind, PLAT_YAML_MAP);
        assert_int_equal(root->n, 0);
    }
}

static void refusals(void **state)
{
    static const struct {
        const char *text, *why;
    } cases[] = {
        {"a: 1\nb: 2\na: 3\n", "t.yaml:3: 'a' is there already, in line 1"},
        {"a: &x 1\n", "t.yaml:1: anchors"},
        {"a: &x [1]\n", "t.yaml:1: anchors"},
        {"a: 1\nb: *a\n", "t.yaml:2"},
        {"a: !!binary aGk=\n", "t.yaml:1: tags"},
        {"a: !x {}\n", "t.yaml:1: tags"},
        {"a: 1\n---\nb: 2\n", "t.yaml:2: more than one document"},
        {"[a]: 1\n", "t.yaml:1: a key is a text"},
        {"{a: 1}: 1\n", "t.yaml:1: a key is a text"},
        {"a: [1\n", "t.yaml:2:1: not YAML"},
        {"\tb: 1\n", "t.yaml:1:"},
        {"a: \"\\0\"\n", "t.yaml:1: a text with a NUL"},
        {"a: \xff\n", "t.yaml: not a text"},
        {"[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]\n", "t.yaml:1: nested too deeply"},
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        struct sv_err err = {0};
        struct plat_yaml *root = NULL;

        assert_int_equal(
            plat_yaml_read(&err, "t.yaml", cases[i].text, strlen(cases[i].text), &arena, &root),
            SV_EUSAGE);
        if (strncmp(err.text, cases[i].why, strlen(cases[i].why)) != 0)
            fail_msg("'%s': '%s' where '%s' is expected", cases[i].text, err.text, cases[i].why);
    }
}

/* What is too large is refused soon, whatever it is. */
static void sizes(void **state)
{
    struct sv_err err = {0};
    struct plat_yaml *root;
    struct sv_buf buf;

    (void)state;
    sv_buf_init(&buf, 4U << 20);
    for (int i = 0; i < PLAT_YAML_NODES_MAX + 1; i++)
        sv_buf_puts(&buf, "- 1\n");
    assert_int_equal(plat_yaml_read(&err, "f", (const char *)buf.data, buf.len, &arena, &root),
                     SV_EUSAGE);
    assert_non_null(strstr(err.text, "too many keys and values"));

    sv_buf_clear(&buf);
    for (int i = 0; i < PLAT_YAML_KEYS_MAX + 1; i++)
        sv_buf_printf(&buf, "k%d: 1\n", i);
    err.code = 0;
    assert_int_equal(plat_yaml_read(&err, "f", (const char *)buf.data, buf.len, &arena, &root),
                     SV_EUSAGE);
    assert_non_null(strstr(err.text, "too many keys"));

    sv_buf_clear(&buf);
    while (buf.len <= PLAT_YAML_BYTES_MAX)
        sv_buf_puts(&buf, "                                                               \n");
    err.code = 0;
    assert_int_equal(plat_yaml_read(&err, "f", (const char *)buf.data, buf.len, &arena, &root),
                     SV_EUSAGE);
    assert_non_null(strstr(err.text, "larger than"));
    sv_buf_release(&buf);
}

static void files(void **state)
{
    char name[] = "/tmp/unit-yaml-XXXXXX";
    struct sv_err err = {0};
    const char *text;
    size_t len;
    int fd = mkstemp(name);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "a: 1\n", 5), 5);
    close(fd);
    assert_int_equal(plat_yaml_load(&err, name, &arena, &text, &len), 0);
    assert_int_equal(len, 5);
    assert_string_equal(text, "a: 1\n");
    unlink(name);
    assert_int_equal(plat_yaml_load(&err, name, &arena, &text, &len), SV_ENOTFOUND);
    err.code = 0;
    assert_int_equal(plat_yaml_load(&err, "/tmp", &arena, &text, &len), SV_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(tree, setup, teardown),
        cmocka_unit_test_setup_teardown(empty_documents, setup, teardown),
        cmocka_unit_test_setup_teardown(refusals, setup, teardown),
        cmocka_unit_test_setup_teardown(sizes, setup, teardown),
        cmocka_unit_test_setup_teardown(files, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
