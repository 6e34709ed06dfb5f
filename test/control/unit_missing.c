/* The grants that a manifest lacks, against the engine's own list of what it provides and by which
 * option: what the command line can open and a manifest can, too, is known to both. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "control/missing.h"

/* The engine's. */
static const struct {
    const char *module, *prefix;
} parts[] = {
#define HOST_MODULE(descriptor)
#define HOST_FILE(name)
#define HOST_KNOWN(module, what, how)
#define HOST_PART(module, prefix, what, how) {module, prefix},
#include "host/modules.def"
#undef HOST_MODULE
#undef HOST_FILE
#undef HOST_KNOWN
#undef HOST_PART
};
static const struct {
    const char *module, *prefix;
} nobody[] = {
    /* that no manifest opens */
    {"env", "emscripten_"}, /* another target is to be built for */
    {"env", "_emscripten_"},
    {"ssvm_state", ""}, /* all of it together: each of its functions has a prefix of its own */
};

static void put_name(struct sv_buf *out, const char *name)
{
    sv_buf_putc(out, (char)strlen(name));
    sv_buf_puts(out, name);
}

/* (module (import MODULE NAME (func))), or (memory 1 1 shared) */
static ssvm_module *module_of(ssvm_engine *engine, const char *module, const char *name)
{
    static const char head[] = "\0asm\1\0\0\0\1\4\1\x60\0\0";
    bool memory = strcmp(name, "memory") == 0;
    ssvm_module *m = NULL;
    struct sv_buf import, all;

    sv_buf_init(&import, 256);
    sv_buf_putc(&import, 1);
    put_name(&import, module);
    put_name(&import, name);
    if (memory)
        sv_buf_append(&import, "\2\3\1\1", 4);
    else
        sv_buf_append(&import, "\0\0", 2);
    sv_buf_init(&all, 256);
    sv_buf_append(&all, head, sizeof head - 1);
    sv_buf_putc(&all, 2);
    sv_buf_putc(&all, (char)import.len);
    sv_buf_append(&all, import.data, import.len);
    assert_null(ssvm_module_new(engine, all.data, all.len, &m));
    sv_buf_release(&import);
    sv_buf_release(&all);
    return m;
}

static void expect(ssvm_engine *engine, const char *module, const char *name,
                   const struct plat_manifest_grant *grants, const char *wanted)
{
    ssvm_module *m = module_of(engine, module, name);
    struct sv_buf said;

    sv_buf_init(&said, 1024);
    ctl_missing_grants(m, grants, &said);
    if (wanted)
        assert_non_null(strstr(sv_buf_cstr(&said), wanted));
    else
        assert_int_equal(said.len, 0);
    sv_buf_release(&said);
    ssvm_module_delete(m);
}

static void engine_and_manifest_agree(void **state)
{
    const struct plat_manifest_grant none = {0};
    ssvm_engine *engine = NULL;
    unsigned told = 0;

    (void)state;
    assert_null(ssvm_engine_new(NULL, &engine));
    for (size_t i = 0; i < SV_COUNT(parts); i++) {
        char name[64], wanted[128];
        bool is_nobodys = false;

        for (size_t k = 0; k < SV_COUNT(nobody); k++)
            is_nobodys |= strcmp(parts[i].module, nobody[k].module) == 0 &&
                          strcmp(parts[i].prefix, nobody[k].prefix) == 0;
        snprintf(name, sizeof name, "%s%s", parts[i].prefix,
                 strcmp(parts[i].prefix, "memory") == 0 ? "" : "xyz");
        snprintf(wanted, sizeof wanted, "(for %s.%s)", parts[i].module, name);
        expect(engine, parts[i].module, name, &none, is_nobodys ? NULL : wanted);
        told += !is_nobodys;
    }
    assert_true(told > 8);
    ssvm_engine_delete(engine);
}

static void says_what_to_write(void **state)
{
    const struct plat_manifest_grant none = {0}, kv = {.kv = true};
    ssvm_engine *engine = NULL;

    (void)state;
    assert_null(ssvm_engine_new(NULL, &engine));
    expect(engine, "ssvm_state", "kv_get", &none,
           "it imports what its manifest does not grant: kv: on (for ssvm_state.kv_get)");
    expect(engine, "ssvm_state", "kv_get", &kv, NULL);
    expect(engine, "ssvm_state", "sql_open", &kv, "sql: on");
    expect(engine, "wasi_snapshot_preview1", "sock_open", &none, "allow-connect");
    expect(engine, "wasi_snapshot_preview1", "sock_send", &none, NULL); /* WASI's own */
    expect(engine, "wasi_snapshot_preview1", "fd_write", &none, NULL);
    ssvm_engine_delete(engine);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engine_and_manifest_agree),
        cmocka_unit_test(says_what_to_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
