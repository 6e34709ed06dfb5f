/* The table of WASI functions, who provides an import, and the generated manual page. */
#include "guest.h"
#include "manual.h"

#include "host/image/image.h"

/* Names of WASI preview1 as the specification lists them: not taken from our table. */
static const char *const preview1[] = {
    "args_get",
    "args_sizes_get",
    "environ_get",
    "environ_sizes_get",
    "clock_res_get",
    "clock_time_get",
    "fd_advise",
    "fd_allocate",
    "fd_close",
    "fd_datasync",
    "fd_fdstat_get",
    "fd_fdstat_set_flags",
    "fd_fdstat_set_rights",
    "fd_filestat_get",
    "fd_filestat_set_size",
    "fd_filestat_set_times",
    "fd_pread",
    "fd_prestat_get",
    "fd_prestat_dir_name",
    "fd_pwrite",
    "fd_read",
    "fd_readdir",
    "fd_renumber",
    "fd_seek",
    "fd_sync",
    "fd_tell",
    "fd_write",
    "path_create_directory",
    "path_filestat_get",
    "path_filestat_set_times",
    "path_link",
    "path_open",
    "path_readlink",
    "path_remove_directory",
    "path_rename",
    "path_symlink",
    "path_unlink_file",
    "poll_oneoff",
    "proc_exit",
    "proc_raise",
    "sched_yield",
    "random_get",
    "sock_accept",
    "sock_recv",
    "sock_send",
    "sock_shutdown",
};

static void all_functions(void **state)
{
    struct sv_str p1 = sv_str_of("wasi_snapshot_preview1"), p0 = sv_str_of("wasi_unstable");
    const struct sv_host_module *m;
    unsigned i, n1 = 0, n0 = 0;

    (void)state;
    assert_int_equal(SV_COUNT(preview1), 46);
    for (i = 0; i < SV_COUNT(preview1); i++) {
        const struct sv_host_func *f = sv_host_find(p1, sv_str_of(preview1[i]), &m);
        assert_non_null(f);
        assert_ptr_equal(m, &sv_host_wasi);
        assert_string_equal(f->name, preview1[i]);
        f = sv_host_find(p0, sv_str_of(preview1[i]), NULL);
        if (strcmp(preview1[i], "sock_accept") == 0)
            assert_null(f);
        else
            assert_non_null(f);
    }
    for (i = 0; i < sv_host_wasi.nfuncs; i++) {
        const struct sv_host_func *f = &sv_host_wasi.funcs[i];
        n1 += f->names == 0 || (f->names & 1);
        n0 += f->names == 0 || (f->names & 2);
        assert_true(i == 0 || strcmp(sv_host_wasi.funcs[i - 1].name, f->name) <= 0);
        assert_int_equal(strspn(f->sig, "iIfF:"), strlen(f->sig));
        assert_ptr_equal(strchr(f->sig, ':'), strrchr(f->sig, ':'));
        assert_true(f->cost > 0 && f->doc[0] >= 'a' && f->doc[0] <= 'z');
    }
    assert_int_equal(n1, 46);
    assert_int_equal(n0, 45);
}

static void absent(void **state)
{
    static const struct {
        struct sv_str module, name;
    } none[] = {
        {{"wasi_snapshot_preview1", 22}, {"fd_writ", 7}},
        {{"wasi_snapshot_preview1", 22}, {"fd_write2", 9}},
        {{"wasi_snapshot_preview1", 22}, {"", 0}},
        {{"wasi_snapshot_preview1", 22}, {"fd_write\0", 9}},
        {{"wasi_snapshot_preview", 21}, {"fd_write", 8}},
        {{"", 0}, {"fd_write", 8}},
    };
    size_t i;

    (void)state;
    for (i = 0; i < SV_COUNT(none); i++)
        assert_null(sv_host_find(none[i].module, none[i].name, NULL));
}

static void explains(void **state)
{
    static const struct {
        const char *module, *name, *contains;
    } cases[] = {
        {"wasi_snapshot_preview1", "fd_write", "--dir"},
        {"wasi_snapshot_preview1", "sock_open", "--allow-connect HOST:PORT"},
        {"wasi_snapshot_preview1", "sock_none", "sockets"},
        {"wasi_snapshot_preview1", "fd_none", "no function 'fd_none' in this version"},
        {"ssvm_process", "ssvm_process_run", "--allow-command NAME"},
        {"wasmedge_native", "wasmedge_storage_loadI32", "--storage FILE"},
        {"wasmedge_image", "load_jpg", "--image"},
        {"wbg", "__wbindgen_throw", "typed calls"},
        {"env", "abort", "missing library"},
        {"gojs", "runtime.wasmExit", "GOOS=wasip1"},
        {"wasi:cli/stdout", "get", "component"},
        {"nobody", "f", "'nobody'"},
        {"wasi_snapshot_preview1", "fd_writ", "did you mean 'fd_write'?"},
        {"ssvm_image", "ssvm_image_load_jpg_to_rgb9", "mean 'ssvm_image_load_jpg_to_rgb8'?"},
        {"wasi_snapshot_preview2", "fd_write", "mean 'wasi_snapshot_preview1'?"},
        {"env", "emscripten_notify_memory_growth", "-sSTANDALONE_WASM"},
        {"ssvm_meter", "gas_used", "always there"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < SV_COUNT(cases); i++) {
        struct sv_buf b;

        sv_buf_init(&b, 4096);
        sv_host_explain(NULL, sv_str_of(cases[i].module), sv_str_of(cases[i].name), &b);
        if (!strstr(sv_buf_cstr(&b), cases[i].contains))
            fail_msg("'%s' lacks '%s'", sv_buf_cstr(&b), cases[i].contains);
        sv_buf_release(&b);
    }
}

#define MANUAL_MAX 65536

/* A module whose table in doc/host is made from ours; `eras`: what the bits of `names` are called,
 * the last for all of them. */
struct manual {
    const struct sv_host_module *module;
    const char *file;
    const char *eras[8];
};

static void put_table(struct sv_buf *b, const struct manual *m)
{
    sv_buf_puts(b, "| Function | Parameters | Modules | Gas | Does |\n|---|---|---|---|---|\n");
    for (unsigned i = 0; i < m->module->nfuncs; i++) {
        const struct sv_host_func *h = &m->module->funcs[i];

        sv_buf_printf(b, "| `%s` | ", h->name);
        manual_types(b, h->sig);
        sv_buf_printf(b, " | %s | %u | %s |\n", m->eras[h->names & 7], h->cost, h->doc);
    }
}

static void manual(void **state)
{
    static const struct manual manuals[] = {
        {&sv_host_wasi, "wasi.md", {[0] = "P1 P0", [1] = "P1", [2] = "P0", [3] = "P1 P0"}},
        {&sv_host_image, "image.md", {[3] = "prefixed", [4] = "plain"}}};

    (void)state;
    for (size_t i = 0; i < SV_COUNT(manuals); i++) {
        struct sv_buf b;

        sv_buf_init(&b, MANUAL_MAX);
        put_table(&b, &manuals[i]);
        manual_check(manuals[i].file, "| Function |", &b, __FILE__, "test/unit/host/registry.c");
        sv_buf_release(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_functions),
        cmocka_unit_test(absent),
        cmocka_unit_test(explains),
        cmocka_unit_test(manual),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
