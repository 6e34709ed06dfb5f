/* What debuggers are told of native code: a list that GDB's interface reads, of files that other
 * tools find whole. Whether gdb can use them is test/cli/debug.sh's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ssvm.h"

/* As in GDB's manual. */
struct jit_code_entry {
    struct jit_code_entry *next_entry, *prev_entry;
    const char *symfile_addr;
    uint64_t symfile_size;
};
struct jit_descriptor {
    uint32_t version, action_flag;
    struct jit_code_entry *relevant_entry, *first_entry;
};
extern struct jit_descriptor __jit_debug_descriptor;

/* (module (func $one (export "one") (result i32) i32.const 1)), and one more export of it. */
static const uint8_t module_one[] = {0,   'a', 's',  'm', 1,  0, 0, 0, 1, 5,    1, 0x60,
                                     0,   1,   0x7f, 3,   2,  1, 0, 7, 7, 1,    3, 'o',
                                     'n', 'e', 0,    0,   10, 6, 1, 4, 0, 0x41, 1, 0x0b};

static ssvm_engine *new_engine(bool debug)
{
    ssvm_config config = SSVM_CONFIG_INIT;
    ssvm_engine *engine = NULL;

    config.debug = debug;
    config.tier = debug ? NULL : "aot";
    assert_null(ssvm_engine_new(&config, &engine));
    return engine;
}

/* Run `one` natively; skips where there is no compiler. */
static void run_one(ssvm_engine *engine)
{
    ssvm_module *module = NULL;
    ssvm_store *store = NULL;
    ssvm_linker *linker = NULL;
    ssvm_instance *instance = NULL;
    ssvm_error *e;

    assert_null(ssvm_module_new(engine, module_one, sizeof module_one, &module));
    assert_null(ssvm_store_new(engine, NULL, &store));
    assert_null(ssvm_linker_new(store, &linker));
    e = ssvm_linker_instantiate(linker, module, &instance);
    if (e && ssvm_error_kind_of(e) == SSVM_ENOTFOUND) {
        ssvm_error_delete(e);
        skip();
    }
    assert_null(e);
    ssvm_linker_delete(linker);
    ssvm_store_delete(store);
    ssvm_module_delete(module);
}

static void check_file(const struct jit_code_entry *e)
{
    char path[] = "/tmp/ssvm-gdb-XXXXXX", command[512];
    int fd = mkstemp(path);
    FILE *f;

    assert_true(fd >= 0);
    f = fdopen(fd, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(e->symfile_addr, 1, e->symfile_size, f), e->symfile_size);
    fclose(f);
    if (system("command -v llvm-dwarfdump-22 llvm-readelf-22 >/dev/null") == 0) {
        snprintf(command, sizeof command, "llvm-dwarfdump-22 --verify --quiet %s", path);
        assert_int_equal(system(command), 0);
        snprintf(command, sizeof command, "llvm-readelf-22 -sW %s | grep -q 'FUNC.* one$'", path);
        assert_int_equal(system(command), 0);
    }
    remove(path);
}

static void test_list(void **state)
{
    ssvm_engine *a = new_engine(true), *b = new_engine(true);
    struct jit_code_entry *first;

    (void)state;
    assert_int_equal(__jit_debug_descriptor.version, 1);
    assert_null(__jit_debug_descriptor.first_entry);
    run_one(a);
    first = __jit_debug_descriptor.first_entry;
    assert_non_null(first);
    assert_null(first->next_entry);
    check_file(first);
    run_one(a);
    run_one(b);
    assert_ptr_equal(__jit_debug_descriptor.first_entry->next_entry->next_entry, first);
    assert_ptr_equal(first->prev_entry->prev_entry, __jit_debug_descriptor.first_entry);
    ssvm_engine_delete(a);
    assert_null(__jit_debug_descriptor.first_entry->next_entry);
    assert_null(__jit_debug_descriptor.first_entry->prev_entry);
    ssvm_engine_delete(b);
    assert_null(__jit_debug_descriptor.first_entry);
    assert_int_equal(__jit_debug_descriptor.action_flag, 0);
}

static void test_nothing_unasked(void **state)
{
    ssvm_engine *engine = new_engine(false);

    (void)state;
    run_one(engine);
    assert_null(__jit_debug_descriptor.first_entry);
    ssvm_engine_delete(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list),
        cmocka_unit_test(test_nothing_unasked),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
