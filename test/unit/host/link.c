/* Linking a host module through the real linker: functions made on demand, both names, types that
 * differ, sentences about what is missing. */
#include "guest.h"

/* Types of the imports below: fd_write's, fd_seek's, and one that nothing has. */
static const uint8_t types[] = {
    /* clang-format off */
    3,
    0x60, 4, 0x7f, 0x7f, 0x7f, 0x7f, 1, 0x7f,
    0x60, 4, 0x7f, 0x7e, 0x7f, 0x7f, 1, 0x7f,
    0x60, 2, 0x7f, 0x7d, 0,
    /* clang-format on */
};

struct import {
    const char *module, *name;
    uint8_t type;
};

static struct sv_module *make(struct sv_engine *e, const struct import *imports, unsigned n)
{
    static uint8_t bytes[1024] = {0, 'a', 's', 'm', 1, 0, 0, 0}; /* the module keeps them */
    size_t len = 8, start;
    struct sv_err err = {0};
    struct sv_module *m;
    unsigned i;

    bytes[len++] = 1;
    bytes[len++] = sizeof types;
    memcpy(bytes + len, types, sizeof types);
    len += sizeof types;
    bytes[len++] = 2;
    start = len++;
    bytes[len++] = (uint8_t)n;
    for (i = 0; i < n; i++) {
        bytes[len++] = (uint8_t)strlen(imports[i].module);
        memcpy(bytes + len, imports[i].module, strlen(imports[i].module));
        len += strlen(imports[i].module);
        bytes[len++] = (uint8_t)strlen(imports[i].name);
        memcpy(bytes + len, imports[i].name, strlen(imports[i].name));
        len += strlen(imports[i].name);
        bytes[len++] = 0;
        bytes[len++] = imports[i].type;
    }
    assert_true(len - start - 1 < 128);
    bytes[start] = (uint8_t)(len - start - 1);
    if (sv_module_new(&err, e->types, bytes, len, NULL, NULL, &m) < 0)
        fail_msg("module: %s", err.text);
    return m;
}

static struct sv_engine *engine;
static struct sv_store *store;
static struct sv_linker *linker;

static int set_up(void **state)
{
    static const struct sv_wasi_grant grant;
    struct sv_err err = {0};

    (void)state;
    assert_int_equal(sv_engine_new(&err, &engine), 0);
    assert_int_equal(sv_store_new(&err, engine, NULL, &store), 0);
    linker = sv_linker_new(store);
    assert_non_null(linker);
    sv_linker_set_explain(linker, sv_host_explain, NULL);
    assert_int_equal(sv_host_link(&err, linker, store, &sv_host_wasi, &grant, NULL), 0);
    return 0;
}
static int tear_down(void **state)
{
    (void)state;
    sv_linker_delete(linker);
    sv_store_delete(store);
    sv_engine_unref(engine);
    return 0;
}

static void found(void **state)
{
    static const struct import imports[] = {
        {"wasi_snapshot_preview1", "fd_write", 0},
        {"wasi_snapshot_preview1", "fd_seek", 1},
        {"wasi_unstable", "fd_seek", 1},
    };
    struct sv_module *m = make(engine, imports, 3);
    struct sv_extern externs[3];
    struct sv_err err = {0};

    (void)state;
    assert_int_equal(sv_linker_resolve(&err, linker, m, externs), 0);
    assert_string_equal(externs[0].func->host.name, "wasi_snapshot_preview1.fd_write");
    assert_int_equal(externs[0].func->cost, 100);
    assert_ptr_equal(externs[0].func->type, m->funcs[0].type);
    assert_ptr_equal(externs[1].func->type, externs[2].func->type);
    assert_ptr_not_equal(externs[1].func->host.fn, externs[2].func->host.fn);
    assert_ptr_equal(externs[1].func->host.data, externs[2].func->host.data);
    sv_module_unref(m);
}

static void another_type(void **state)
{
    static const struct import import = {"wasi_snapshot_preview1", "fd_write", 2};
    struct sv_module *m = make(engine, &import, 1);
    struct sv_extern found_one;
    struct sv_err err = {0};

    (void)state;
    assert_int_equal(sv_linker_resolve(&err, linker, m, &found_one), 0);
    assert_int_equal(sv_extern_check(&err, m, &m->imports[0], &found_one), SV_ELINK);
    assert_non_null(strstr(err.text, "fd_write"));
    sv_module_unref(m);
}

static void missing(void **state)
{
    static const struct import imports[] = {
        {"ssvm_process", "ssvm_process_run", 2},
        {"wasi_snapshot_preview1", "sock_open", 2},
    };
    struct sv_module *m = make(engine, imports, 2);
    struct sv_extern externs[2];
    struct sv_err err = {0};

    (void)state;
    assert_int_equal(sv_linker_resolve(&err, linker, m, externs), SV_ELINK);
    assert_non_null(strstr(err.text, "--allow-command"));
    assert_non_null(strstr(err.text, "--allow-listen ADDR:PORT"));
    sv_module_unref(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(another_type, set_up, tear_down),
        cmocka_unit_test_setup_teardown(missing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
