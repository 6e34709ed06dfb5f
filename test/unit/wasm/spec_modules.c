/* The specification's binary modules: good ones validate, bad ones are refused with the expected
 * words. Wants the list that spec_list.py prints, in the file named by SSVM_SPEC_LIST; skipped
 * without it. Runs nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "wasm/module.h"

static uint8_t *read_file(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    uint8_t *bytes;
    long len;

    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    len = ftell(f);
    rewind(f);
    bytes =
        malloc(len ? (size_t)len : 1); /* exact, so that a sanitizer sees reads behind the end */
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)len, f), len);
    fclose(f);
    *ret_len = (size_t)len;
    return bytes;
}

static void release(void *bytes, size_t len)
{
    (void)len;
    free(bytes);
}

/* One line of the list; true when the verdict is as expected. */
static bool check(struct sv_types *types, const char *verdict, const char *path, const char *text)
{
    struct sv_err err = {0};
    struct sv_module *m = NULL;
    bool good = strcmp(verdict, "good") == 0;
    size_t len;
    uint8_t *bytes = read_file(path, &len);
    int r = sv_module_new(&err, types, bytes, len, release, NULL, &m);

    if (r == 0)
        sv_module_unref(m);
    if ((r == 0) != good) {
        printf("%s: %s\n", path, r == 0 ? "accepted" : err.text);
        return false;
    }
    if (!good && getenv("SSVM_SPEC_TEXTS") && strncmp(err.text, text, strlen(text)) != 0)
        printf("%s: '%s', expected '%s'\n", path, err.text, text);
    return true;
}

static void spec_modules(void **state)
{
    const char *list = getenv("SSVM_SPEC_LIST");
    struct sv_types *types;
    char line[4096];
    unsigned n = 0, failed = 0;
    FILE *f;

    (void)state;
    if (!list)
        skip();
    f = fopen(list, "r");
    assert_non_null(f);
    types = sv_types_new();
    while (fgets(line, sizeof line, f)) {
        char *path = strchr(line, '\t'), *text = path ? strchr(path + 1, '\t') : NULL;

        assert_non_null(text);
        *path++ = *text++ = '\0';
        text[strcspn(text, "\n")] = '\0';
        n++;
        failed += !check(types, line, path, text);
    }
    fclose(f);
    sv_types_delete(types);
    printf("%u modules, %u failed\n", n, failed);
    assert_int_equal(failed, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(spec_modules)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
