/* Snapshots of what the text format's tools cannot write: typed tables, objects, several memories,
 * 64-bit ones; and what is refused. The plain ones are in test/cli/snapshot.sh. */
#include "../must/guest.h"

enum { TYPE_VOID, TYPE_INT, TYPE_BOX, NTYPES };

static void make_types(struct must *m)
{
    must_type(m, ":");
    must_type(m, ":i");
    put(must_entry(m, MUST_TYPE), BYTES(0x5f, 1, 0x7f, 0));
}

static void close_store(struct guest *g)
{
    ssvm_linker_delete(g->linker);
    ssvm_store_delete(g->store);
    ssvm_module_delete(g->module);
}

/* The instance in g goes; in its place comes one of its snapshot. */
static void through_file(struct guest *g)
{
    static const char *const done[] = {"init"};
    char *bytes;
    size_t len;

    ok(guest_call(g, "init", NULL, 0, NULL));
    ok(ssvm_instance_snapshot(g->instance, done, 1, &bytes, &len));
    close_store(g);
    ok(ssvm_module_new(g->engine, bytes, len, &g->module));
    ssvm_string_delete(bytes);
    ok(ssvm_store_new(g->engine, NULL, &g->store));
    ok(ssvm_linker_new(g->store, &g->linker));
    guest_start(g);
    assert_null(ssvm_instance_func(g->instance, "init"));
}

static int32_t call(struct guest *g, const char *name)
{
    ssvm_val out;

    ok(guest_call(g, name, NULL, 0, &out));
    return out.of.i32;
}

/* Table 0 of (ref null $int), table 1 of (ref $int) with an initial value: elements set to another
 * function, to null, and grown. */
static void typed_tables(void **state)
{
    static const uint8_t expect[] = {22, 11, 22};
    static const char *const names[] = {"a", "b", "c"};
    struct sv_buf bytes, *b;
    struct guest g;
    struct must m;

    (void)state;
    must_init(&m);
    make_types(&m);
    b = must_entry(&m, MUST_TABLE);
    put(b, BYTES(0x63, TYPE_INT));
    must_limits(b, 0, 2, 0);
    b = must_entry(&m, MUST_TABLE);
    put(b, BYTES(0x40, 0, 0x64, TYPE_INT));
    must_limits(b, 1, 2, 9);
    put(b, BYTES(0xd2, 0, 0x0b));
    must_func(&m, TYPE_INT, "f");
    emit_i32(&m, 11);
    must_end(&m);
    must_func(&m, TYPE_INT, "g");
    emit_i32(&m, 22);
    must_end(&m);
    must_func(&m, TYPE_VOID, "init");
    EMIT(&m, 0x41, 1, 0xd2, 1, 0x26, 0);           /* table 0 [1] = g */
    EMIT(&m, 0xd2, 1, 0x41, 1, 0xfc, 15, 1, 0x1a); /* table 1 grows by g */
    must_end(&m);
    must_func(&m, TYPE_INT, "a");
    EMIT(&m, 0x41, 1, 0x11, TYPE_INT, 0);
    must_end(&m);
    must_func(&m, TYPE_INT, "b");
    EMIT(&m, 0x41, 1, 0x11, TYPE_INT, 1);
    must_end(&m);
    must_func(&m, TYPE_INT, "c");
    EMIT(&m, 0x41, 2, 0x11, TYPE_INT, 1);
    must_end(&m);
    must_func(&m, TYPE_INT, "null");
    EMIT(&m, 0x41, 0, 0x25, 0, 0xd1, 0xfc, 16, 1, 0x6a);
    must_end(&m);
    must_bytes(&m, &bytes);
    guest_open(&g, &bytes, NULL, NULL);
    guest_start(&g);
    through_file(&g);
    for (unsigned i = 0; i < SV_COUNT(names); i++)
        assert_int_equal(call(&g, names[i]), expect[i]);
    assert_int_equal(call(&g, "null"), 1 + 3);
    guest_close(&g);
}

/* Three memories: 32 bits, 64 bits, and one that was empty. */
static void memories(void **state)
{
    struct sv_buf bytes;
    struct guest g;
    struct must m;

    (void)state;
    must_init(&m);
    make_types(&m);
    must_limits(must_entry(&m, MUST_MEMORY), 0, 1, 0);
    must_limits(must_entry(&m, MUST_MEMORY), 5, 1, 3);
    must_limits(must_entry(&m, MUST_MEMORY), 1, 0, 2);
    put(must_entry(&m, MUST_DATA), BYTES(2, 1, 0x42, 9, 0x0b, 1, 77));
    must_func(&m, TYPE_VOID, "init");
    EMIT(&m, 0x41, 4, 0x41, 50, 0x36, 2, 0);                   /* memory 0 [4] = 50 */
    EMIT(&m, 0x42, 1, 0x40, 1, 0x1a);                          /* memory 1 grows */
    EMIT(&m, 0x42, 0x80, 0x80, 4, 0x41, 60, 0x36, 0x42, 1, 0); /* memory 1 [65536] = 60 */
    EMIT(&m, 0x41, 1, 0x40, 2, 0x1a, 0x41, 4, 0x41, 7, 0x3a, 0x40, 2, 0); /* memory 2 [4] = 7 */
    must_end(&m);
    must_func(&m, TYPE_INT, "sum");
    EMIT(&m, 0x41, 4, 0x28, 2, 0);
    EMIT(&m, 0x42, 0x80, 0x80, 4, 0x28, 0x42, 1, 0, 0x6a);
    EMIT(&m, 0x42, 9, 0x2d, 0x40, 1, 0, 0x6a);
    EMIT(&m, 0x41, 4, 0x2d, 0x40, 2, 0, 0x6a);
    EMIT(&m, 0x3f, 2, 0x6a);
    must_end(&m);
    must_bytes(&m, &bytes);
    guest_open(&g, &bytes, NULL, NULL);
    guest_start(&g);
    through_file(&g);
    assert_int_equal(call(&g, "sum"), 50 + 60 + 77 + 7 + 1);
    guest_close(&g);
}

/* Writes in many places: few segments, all bytes. */
static void scattered(void **state)
{
    struct sv_buf bytes;
    struct guest g;
    struct must m;
    uint8_t *copy = malloc(1 << 20);
    ssvm_memory *memory;

    (void)state;
    must_init(&m);
    make_types(&m);
    must_limits(must_entry(&m, MUST_MEMORY), 0, 16, 0);
    must_export(&m, "memory", 2, 0);
    must_func(&m, TYPE_VOID, "init");
    must_end(&m);
    must_bytes(&m, &bytes);
    guest_open(&g, &bytes, NULL, NULL);
    guest_start(&g);
    memory = ssvm_instance_memory(g.instance, "memory");
    for (unsigned i = 0; i < 1 << 20; i += 1 + i % 997)
        ssvm_memory_data(memory)[i] = (uint8_t)(i | 1);
    ssvm_memory_data(memory)[(1 << 20) - 1] = 9;
    memcpy(copy, ssvm_memory_data(memory), 1 << 20);
    through_file(&g);
    memory = ssvm_instance_memory(g.instance, "memory");
    assert_int_equal(ssvm_memory_size(memory), 1 << 20);
    assert_memory_equal(ssvm_memory_data(memory), copy, 1 << 20);
    free(copy);
    guest_close(&g);
}

static ssvm_error *host(void *data, ssvm_caller *c, const ssvm_val *args, ssvm_val *rets)
{
    const char *const *names = NULL;
    char *bytes;
    size_t len;

    (void)c;
    (void)args;
    (void)rets;
    return ssvm_instance_snapshot(*(ssvm_instance **)data, names, 0, &bytes, &len);
}

/* What a module cannot hold is refused with words. */
static void refused(void **state)
{
    static const struct {
        uint8_t init[8]; /* instructions */
        size_t len;
        const char *words;
    } cases[] = {
        {{0x41, 5, 0xfb, 0, TYPE_BOX, 0x24, 0},
         7,
         "a reference to something outside of the module lies in global 0"},
        {{0x10, 0}, 2, "a guest runs in the store"},
    };

    (void)state;
    for (unsigned i = 0; i < SV_COUNT(cases); i++) {
        struct sv_buf bytes;
        ssvm_error *e;
        struct guest g;
        struct must m;
        char *out;
        size_t len;

        must_init(&m);
        make_types(&m);
        must_import(&m, "f", TYPE_VOID);
        put(must_entry(&m, MUST_GLOBAL), BYTES(0x6e, 1, 0xd0, 0x6e, 0x0b)); /* anyref */
        must_func(&m, TYPE_VOID, "init");
        put(&m.body, cases[i].init, cases[i].len);
        must_end(&m);
        must_bytes(&m, &bytes);
        guest_open(&g, &bytes, NULL, NULL);
        guest_import(&g, "f", host, &g.instance, NULL);
        guest_start(&g);
        e = guest_call(&g, "init", NULL, 0, NULL);
        if (!e)
            e = ssvm_instance_snapshot(g.instance, NULL, 0, &out, &len);
        assert_non_null(e);
        if (!strstr(ssvm_error_message(e), cases[i].words))
            fail_msg("%s", ssvm_error_message(e));
        ssvm_error_delete(e);
        guest_close(&g);
    }
}

/* State that lies in imports, and shared memory. */
static void refused_imports(void **state)
{
    struct sv_buf bytes;
    struct guest g;
    struct must m;
    ssvm_error *e;
    char *out;
    size_t len;

    (void)state;
    must_init(&m);
    must_limits(must_entry(&m, MUST_MEMORY), 3, 1, 1);
    must_bytes(&m, &bytes);
    guest_open(&g, &bytes, NULL, NULL);
    guest_start(&g);
    e = ssvm_instance_snapshot(g.instance, NULL, 0, &out, &len);
    assert_non_null(strstr(ssvm_error_message(e), "shared memory"));
    ssvm_error_delete(e);
    guest_close(&g);

    must_init(&m);
    must_limits(must_entry(&m, MUST_MEMORY), 0, 1, 0);
    must_export(&m, "m", 2, 0);
    must_bytes(&m, &bytes);
    guest_open(&g, &bytes, NULL, NULL);
    guest_start(&g);
    ok(ssvm_linker_define_instance(g.linker, "h", g.instance));
    must_init(&m);
    put(must_entry(&m, MUST_IMPORT), BYTES(1, 'h', 1, 'm', 2, 0, 1));
    must_bytes(&m, &bytes);
    ssvm_module_delete(g.module);
    ok(ssvm_module_new(g.engine, bytes.data, bytes.len, &g.module));
    sv_buf_release(&bytes);
    guest_start(&g);
    e = ssvm_instance_snapshot(g.instance, NULL, 0, &out, &len);
    assert_string_equal(ssvm_error_message(e), "cannot snapshot: import 'h.m' is a memory, whose "
                                               "state lies outside of the module");
    ssvm_error_delete(e);
    guest_close(&g);
}

/* init opens "." of a granted folder and drops the number, or closes what it opened. */
static void open_files(void **state)
{
    static const char name[] = "\x16wasi_snapshot_preview1\x09path_open",
                      close_name[] = "\x16wasi_snapshot_preview1"
                                     "\x08"
                                     "fd_close";
    ssvm_dir dir = {.guest = "/", .host = "/tmp", .readonly = true};

    (void)state;
    for (unsigned closes = 0; closes < 2; closes++) {
        ssvm_wasi wasi = SSVM_WASI_INIT;
        struct sv_buf bytes, *b;
        ssvm_error *e;
        struct guest g;
        struct must m;
        char *out;
        size_t len;

        must_init(&m);
        must_type(&m, "iiiiiIIii:i");
        must_type(&m, "i:i");
        must_type(&m, ":i");
        b = must_entry(&m, MUST_IMPORT);
        put(b, name, sizeof name - 1);
        put(b, BYTES(0, 0));
        b = must_entry(&m, MUST_IMPORT);
        put(b, close_name, sizeof close_name - 1);
        put(b, BYTES(0, 1));
        m.imports = 2;
        must_limits(must_entry(&m, MUST_MEMORY), 0, 1, 0);
        must_export(&m, "memory", 2, 0);
        put(must_entry(&m, MUST_DATA), BYTES(0, 0x41, 0, 0x0b, 1, '.'));
        must_func(&m, 2, "init");
        EMIT(&m, 0x41, 3, 0x41, 0, 0x41, 0, 0x41, 1, 0x41, 2, 0x42, 0, 0x42, 0, 0x41, 0, 0x41, 16,
             0x10, 0);
        if (closes)
            EMIT(&m, 0x41, 16, 0x28, 2, 0, 0x10, 1, 0x6a);
        must_end(&m);
        must_bytes(&m, &bytes);
        guest_open(&g, &bytes, NULL, NULL);
        wasi.dirs = &dir;
        wasi.ndirs = 1;
        ok(ssvm_linker_define_wasi(g.linker, &wasi));
        guest_start(&g);
        assert_int_equal(call(&g, "init"), 0);
        e = ssvm_instance_snapshot(g.instance, NULL, 0, &out, &len);
        if (closes) {
            ok(e);
            ssvm_string_delete(out);
        } else {
            assert_string_equal(ssvm_error_message(e),
                                "cannot snapshot: the guest has an open file");
            ssvm_error_delete(e);
        }
        guest_close(&g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(typed_tables),    cmocka_unit_test(memories),
        cmocka_unit_test(scattered),       cmocka_unit_test(refused),
        cmocka_unit_test(refused_imports), cmocka_unit_test(open_files),
    };

    return cmocka_run_group_tests_name("api/snapshot", tests, NULL, NULL);
}
