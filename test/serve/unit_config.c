/* The settings: defaults, units, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(units), cmocka_unit_test(refusals)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
