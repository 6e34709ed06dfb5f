/* Folders of the user, as the XDG base directory specification has them, and temporary ones. */
#include "base/folder.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static void set(const char *name, const char *value)
{
    if (value)
        setenv(name, value, 1);
    else
        unsetenv(name);
}

/* The specification: the variable, if it is an absolute path; else a folder below the home. */
static void of_user(void **state)
{
    static const struct {
        enum sv_folder_kind kind;
        const char *variable, *value, *home, *wanted; /* NULL: there is none */
    } cases[] = {
        {SV_FOLDER_DATA, "XDG_DATA_HOME", "/d", "/h", "/d/ssvm/nn"},
        {SV_FOLDER_DATA, "XDG_DATA_HOME", "/d", NULL, "/d/ssvm/nn"},
        {SV_FOLDER_DATA, "XDG_DATA_HOME", NULL, "/h", "/h/.local/share/ssvm/nn"},
        {SV_FOLDER_DATA, "XDG_DATA_HOME", "", "/h", "/h/.local/share/ssvm/nn"},
        {SV_FOLDER_DATA, "XDG_DATA_HOME", "d", "/h", "/h/.local/share/ssvm/nn"},
        {SV_FOLDER_DATA, "XDG_DATA_HOME", "d", "h", NULL},
        {SV_FOLDER_DATA, "XDG_DATA_HOME", NULL, "", NULL},
        {SV_FOLDER_DATA, "XDG_DATA_HOME", NULL, NULL, NULL},
        {SV_FOLDER_CACHE, "XDG_CACHE_HOME", "/c", "/h", "/c/ssvm/nn"},
        {SV_FOLDER_CACHE, "XDG_CACHE_HOME", NULL, "/h", "/h/.cache/ssvm/nn"},
        {SV_FOLDER_CONFIG, "XDG_CONFIG_HOME", "/c", "/h", "/c/ssvm/nn"},
        {SV_FOLDER_CONFIG, "XDG_CONFIG_HOME", NULL, "/h", "/h/.config/ssvm/nn"},
    };
    char path[PATH_MAX];

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        set("XDG_DATA_HOME", NULL);
        set("XDG_CACHE_HOME", NULL);
        set("XDG_CONFIG_HOME", NULL);
        set(cases[i].variable, cases[i].value);
        set("HOME", cases[i].home);
        assert_int_equal(sv_folder_of_user(cases[i].kind, "ssvm/nn", path, sizeof path),
                         cases[i].wanted != NULL);
        if (cases[i].wanted)
            assert_string_equal(path, cases[i].wanted);
    }
    set("XDG_DATA_HOME", "/d");
    assert_true(sv_folder_of_user(SV_FOLDER_DATA, "x", path, sizeof "/d/x"));
    assert_false(sv_folder_of_user(SV_FOLDER_DATA, "x", path, sizeof "/d/x" - 1));
}

static void write_file(const char *folder, const char *name)
{
    char path[PATH_MAX + 16];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    f = fopen(path, "w");
    assert_non_null(f);
    fclose(f);
}

static void temporary(void **state)
{
    char one[64], two[64], path[PATH_MAX], outside[PATH_MAX];
    struct stat st;

    (void)state;
    sv_folder_new("ssvm-test", one, sizeof one);
    sv_folder_new("ssvm-test", two, sizeof two);
    assert_string_not_equal(one, two);
    assert_non_null(strstr(one, "/ssvm-test-"));
    assert_int_equal(stat(one, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    sv_folder_new("ssvm-test", path, 8); /* no room for its name */
    assert_string_equal(path, "");

    /* All that is in it goes, nothing that it only points to. */
    write_file(two, "outside");
    write_file(one, "file");
    snprintf(path, sizeof path, "%s/below", one);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(path, "file");
    snprintf(path, sizeof path, "%s/below/link", one);
    assert_int_equal(symlink(two, path), 0);
    sv_folder_remove(one);
    assert_int_equal(lstat(one, &st), -1);
    snprintf(outside, sizeof outside, "%s/outside", two);
    assert_int_equal(stat(outside, &st), 0);
    sv_folder_remove(two);
    assert_int_equal(lstat(two, &st), -1);
    sv_folder_remove(two); /* is not there any more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(of_user), cmocka_unit_test(temporary)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
