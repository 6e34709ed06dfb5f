/* The settings: defaults, units, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "serve/config.h"

static enum srv_config_result read_one(struct srv_config *config, const char *option)
{
    char name[] = "ssvm-serve", copy[128];
    char *argv[] = {name, copy, NULL};

    snprintf(copy, sizeof copy, "%s", option);
    return srv_config_read(config, 2, argv);
}

static void units(void **state)
{
    struct srv_config config;

    (void)state;
    assert_int_equal(read_one(&config, "--max-body=2M"), SRV_CONFIG_RUN);
    assert_int_equal(config.body, 2 << 20);
    assert_string_equal(config.dir, ".");
    assert_int_equal(config.call_ms, 10000);
    assert_int_equal(read_one(&config, "--call-time=3s"), SRV_CONFIG_RUN);
    assert_int_equal(config.call_ms, 3000);
    assert_int_equal(read_one(&config, "--call-time=250"), SRV_CONFIG_RUN);
    assert_int_equal(config.call_ms, 250);
    assert_int_equal(read_one(&config, "--nn-device=GPU.0"), SRV_CONFIG_RUN);
    assert_string_equal(config.nn_device, "gpu.0");
    srv_config_release(&config);
    assert_int_equal(read_one(&config, "some/folder"), SRV_CONFIG_RUN);
}

static void refusals(void **state)
{
    static const char *const bad[] = {
        "--call-time=0", "--call-time=-1",   "--call-time=1h",
        "--call-time=",  "--max-body=1T",    "--max-body=99999999999999999999",
        "--unknown=1",   "--listen=",        "-x",
        "--connections", "--max-connections"};
    struct srv_config config;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (read_one(&config, bad[i]) != SRV_CONFIG_USAGE)
            fail_msg("'%s' is taken", bad[i]);
    }
}

/* Write `text` to a file, read it with further arguments. */
static enum srv_config_result read_file(struct srv_config *config, const char *text,
                                        const char *before, const char *after)
{
    static char path[] = "/tmp/unit-config.XXXXXX";
    static char name[] = "ssvm-serve", option[] = "--config", first[64], second[64];
    char *argv[] = {name, first, option, path, second, NULL};
    enum srv_config_result result;
    int fd;

    memcpy(path + strlen(path) - 6, "XXXXXX", 6);
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
    snprintf(first, sizeof first, "%s", before);
    snprintf(second, sizeof second, "%s", after);
    result = srv_config_read(config, 5, argv);
    unlink(path);
    return result;
}

static void file(void **state)
{
    static const char text[] = "# ours\ncalls: 8\ncall-time: 2s\nimage: yes\nlog: none\n"
                               "dir: /srv/www\nmax-body:\n";
    struct srv_config config;

    (void)state;
    /* The command line goes before the file, wherever --config stands. */
    assert_int_equal(read_file(&config, text, "--calls=9", "--image=off"), SRV_CONFIG_RUN);
    assert_int_equal(config.calls, 9);
    assert_int_equal(config.call_ms, 2000);
    assert_false(config.image);
    assert_string_equal(config.log, "none");
    assert_string_equal(config.dir, "/srv/www");
    assert_int_equal(config.body, 16 << 20); /* a key without a value says nothing */
    assert_int_equal(config.origins[SRV_ROW_calls], UINT32_MAX);
    assert_int_equal(config.origins[SRV_ROW_call_ms], 3);
    assert_int_equal(config.origins[SRV_ROW_body], 0);
    srv_config_release(&config);
    assert_int_equal(read_file(&config, text, "elsewhere", "--image"), SRV_CONFIG_RUN);
    assert_string_equal(config.dir, "elsewhere");
    srv_config_release(&config);
    /* What the command line separates by commas may be a list. */
    assert_int_equal(read_file(&config,
                               "listen: [127.0.0.1:1, '[::1]:2']\nallow-command:\n- date\n"
                               "- /bin/cat\nadmin: [same]\nnn: auto\nnn-device: CPU\n",
                               ".", "--calls=9"),
                     SRV_CONFIG_RUN);
    assert_string_equal(config.listen, "127.0.0.1:1,[::1]:2");
    assert_string_equal(config.allow_command, "date,/bin/cat");
    assert_string_equal(config.admin, "same");
    assert_string_equal(config.nn, "auto");
    assert_string_equal(config.nn_device, "cpu");
    assert_int_equal(config.origins[SRV_ROW_allow_command], 2);
    srv_config_release(&config);
}

static void file_refusals(void **state)
{
    static const char *const bad[] = {"call: 8\n",
                                      "calls: 0\n",
                                      "calls: [8]\n",
                                      "call-time: {a: 1}\n",
                                      "image: maybe\n",
                                      "log: ''\n",
                                      "calls: 8\ncalls: 9\n",
                                      "- calls\n",
                                      "calls: &a 8\n",
                                      "listen: []\n",
                                      "listen: 127.0.0.1:65536\n",
                                      "listen: '::1:80'\n",
                                      "listen: [a:1, b]\n",
                                      "admin: here\n",
                                      "listen: [a:1, '']\n",
                                      "listen: [[a:1]]\n",
                                      "listen: ['a:1,b:2']\n"};
    struct srv_config config;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (read_file(&config, bad[i], "--calls=9", ".") != SRV_CONFIG_USAGE)
            fail_msg("'%s' is taken", bad[i]);
        srv_config_release(&config);
    }
    assert_int_equal(read_one(&config, "--config=/nonexistent"), SRV_CONFIG_USAGE);
    srv_config_release(&config);
    assert_int_equal(read_one(&config, "--config"), SRV_CONFIG_USAGE);
    srv_config_release(&config);
}

/* As many values as a file may have take the memory of a few copies of them. */
static void long_list(void **state)
{
    enum { VALUES = 9000, VALUE_LEN = 40 };
    size_t line = VALUE_LEN + 3, head = sizeof "allow-command:\n" - 1;
    char *text = calloc(1, head + VALUES * line + 1), *at = text + head;
    struct srv_config config;

    (void)state;
    assert_non_null(text);
    memcpy(text, "allow-command:\n", head);
    for (int i = 0; i < VALUES; i++)
        at += sprintf(at, "- %0*d\n", VALUE_LEN, i);
    assert_int_equal(read_file(&config, text, ".", "--calls=9"), SRV_CONFIG_RUN);
    assert_int_equal(strlen(config.allow_command), VALUES * (VALUE_LEN + 1) - 1);
    assert_memory_equal(config.allow_command + VALUES * (VALUE_LEN + 1) - 5, "8999", 5);
    srv_config_release(&config);
    free(text);
}

/* What is printed is a settings file that gives the same again. */
static void printed(void **state)
{
    struct srv_config config, again;
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);

    (void)state;
    assert_int_equal(read_file(&config, "call-time: 1234\nlog: \"a \\\"b\\\"\"\nnn-isolate: on\n",
                               "--calls=9", "--cors-origin=*"),
                     SRV_CONFIG_RUN);
    srv_config_print(&config, to);
    fclose(to);
    assert_non_null(strstr(text, "\ncall-time: 1234ms  # /tmp/unit-config."));
    assert_non_null(strstr(text, "\ncalls: 9  # command line\n"));
    assert_non_null(strstr(text, "\nmax-body: 16M  # default\n"));
    assert_int_equal(read_file(&again, text, "--calls=9", "."), SRV_CONFIG_RUN);
    assert_int_equal(again.call_ms, 1234);
    assert_string_equal(again.log, "a \"b\"");
    assert_true(again.nn_isolate);
    assert_string_equal(again.cors_origin, "*");
    for (size_t i = 0; i < SRV_ROW_COUNT; i++)
        assert_int_not_equal(again.origins[i], 0);
    srv_config_release(&again);
    srv_config_release(&config);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(units),     cmocka_unit_test(refusals),
                                       cmocka_unit_test(file),      cmocka_unit_test(file_refusals),
                                       cmocka_unit_test(long_list), cmocka_unit_test(printed)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
