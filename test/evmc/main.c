/* evmc-test LIBRARY FOLDER [--tier TIER] [--fuzz CALLS [SEED]]: tests of an EVMC module with the
 * contracts in FOLDER (test/evmc/run.sh makes them). */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "test.h"

unsigned test_failed, test_passed;
struct code test_probe, test_token, test_deploy;

void test_check(bool ok, const char *file, int line, const char *fmt, ...)
{
    va_list ap;

    if (ok) {
        __atomic_add_fetch(&test_passed, 1, __ATOMIC_RELAXED);
        return;
    }
    __atomic_add_fetch(&test_failed, 1, __ATOMIC_RELAXED);
    va_start(ap, fmt);
    printf("FAILED %s:%d: ", file, line);
    vprintf(fmt, ap);
    printf("\n");
    va_end(ap);
}

static bool read_code(const char *folder, const char *name, struct code *ret)
{
    char path[4096];
    FILE *f;
    long size;

    snprintf(path, sizeof path, "%s/%s.wasm", folder, name);
    f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END) != 0 || (size = ftell(f)) < 0) {
        printf("cannot read %s\n", path);
        return false;
    }
    rewind(f);
    ret->bytes = malloc((size_t)size + 1);
    ret->size = fread(ret->bytes, 1, (size_t)size, f);
    fclose(f);
    return true;
}

static int run_all(struct evmc_vm *vm, const char *library)
{
    test_functions(vm);
    test_calls(vm);
    test_hostile(vm);
    test_token_contract(vm);
    test_threads(vm);
    vm->destroy(vm);
    vm = host_load(library); /* a second machine, after the first */
    CHECK(vm != NULL);
    if (vm)
        vm->destroy(vm);
    return 0;
}

int main(int argc, char **argv)
{
    const char *tier = NULL;
    unsigned long fuzz = 0;
    uint64_t seed = (uint64_t)time(NULL);
    struct evmc_vm *vm;

    if (argc < 3)
        return 2;
    for (int i = 3; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--tier") == 0)
            tier = argv[++i];
        else if (strcmp(argv[i], "--fuzz") == 0)
            fuzz = strtoul(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            seed = strtoull(argv[++i], NULL, 10);
    }
    if (!read_code(argv[2], "probe", &test_probe) || !read_code(argv[2], "erc20", &test_token) ||
        !read_code(argv[2], "deploy", &test_deploy))
        return 2;
    vm = host_load(argv[1]);
    if (!vm)
        return 1;
    test_abi(vm);
    if (tier)
        CHECK_EQ(vm->set_option(vm, "tier", tier), EVMC_SET_OPTION_SUCCESS);
    if (fuzz) {
        test_fuzz(vm, fuzz, seed);
        vm->destroy(vm);
    } else {
        run_all(vm, argv[1]);
    }
    free(test_probe.bytes);
    free(test_token.bytes);
    free(test_deploy.bytes);
    printf("%u passed, %u failed, 0 skipped\n", test_passed, test_failed);
    return test_failed != 0;
}
