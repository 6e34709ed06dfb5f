/* Instances, tables and linking by name: order, type checks, what is left behind by a failure,
 * dropped segments. */
#include "fake.h"
#include "modules.h"

struct world {
    struct sv_engine *e;
    struct sv_store *s;
    struct sv_linker *l;
    const struct sv_type *t_i_l, *t_none, *t_i; /* (i32) -> (i64), () -> (), (i32) -> () */
    struct sv_table *table;
    struct sv_memory *memory;
    struct sv_global *g, *gm;
    struct sv_tag *tag;
    struct sv_func *f;
};

static int host_nothing(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    (void)c;
    (void)arg;
    (void)ret;
    return 0;
}

static void define(struct world *w, const char *name, struct sv_extern x)
{
    struct sv_err err = {0};

    assert_int_equal(sv_linker_define(&err, w->l, sv_str_of("env"), sv_str_of(name), x), 0);
}

static void define_func(struct world *w, const char *name, struct sv_func *f)
{
    define(w, name, (struct sv_extern){.kind = SV_EXTERN_FUNC, .func = f});
}

static struct world open_world(void)
{
    struct world w = {.e = fake_engine()};
    struct sv_table_type tt = {.type = SV_FUNCREF,
                               .limits = {.min = 5, .max = 10, .has_max = true}};
    sv_valtype i32 = SV_VALTYPE(SV_VAL_I32), i64 = SV_VALTYPE(SV_VAL_I64);
    union sv_val two = {.i32 = 2};
    struct sv_err err = {0};

    w.s = fake_store(w.e, NULL);
    w.l = sv_linker_new(w.s);
    w.t_i_l = sv_types_func(w.e->types, &i32, 1, &i64, 1);
    w.t_i = sv_types_func(w.e->types, &i32, 1, NULL, 0);
    w.t_none = sv_types_func(w.e->types, NULL, 0, NULL, 0);
    assert_int_equal(sv_table_new(&err, w.s, &tt, SV_REF_NULL, &w.table), 0);
    w.memory = fake_memory(w.s, 2, 3, false, false);
    w.g = sv_global_new(w.s, (struct sv_global_type){.type = i32}, &two);
    w.gm = sv_global_new(w.s, (struct sv_global_type){.type = i64, .mut = true}, NULL);
    w.tag = sv_tag_new(w.s, w.t_i);
    w.f = sv_func_new_host(w.s, w.t_i_l, host_nothing, NULL, "env.f", 0);
    define_func(&w, "f", w.f);
    define(&w, "t", (struct sv_extern){.kind = SV_EXTERN_TABLE, .table = w.table});
    define(&w, "mem", (struct sv_extern){.kind = SV_EXTERN_MEMORY, .memory = w.memory});
    define(&w, "g", (struct sv_extern){.kind = SV_EXTERN_GLOBAL, .global = w.g});
    define(&w, "gm", (struct sv_extern){.kind = SV_EXTERN_GLOBAL, .global = w.gm});
    define(&w, "tag", (struct sv_extern){.kind = SV_EXTERN_TAG, .tag = w.tag});
    return w;
}

static void close_world(struct world *w)
{
    sv_linker_delete(w->l);
    sv_store_delete(w->s);
    sv_engine_unref(w->e);
}

static struct sv_instance *instantiate(struct world *w, const uint8_t *bytes, size_t len,
                                       struct sv_err *err, int want)
{
    struct sv_module *m = fake_module(w->e, bytes, len);
    struct sv_instance *inst = NULL;
    int r = sv_linker_instantiate(err, w->l, m, &inst);

    if (r != want)
        print_error("%d: %s\n", r, err->text);
    assert_int_equal(r, want);
    sv_module_unref(m);
    return inst;
}

static struct sv_extern export(struct sv_instance *inst, const char *name)
{
    struct sv_extern x = {0};

    assert_true(sv_instance_export(inst, sv_str_of(name), &x));
    return x;
}

static sv_ref ref(const void *p)
{
    return (sv_ref)(uintptr_t)p;
}

static void test_instance(void **state)
{
    struct world w = open_world();
    struct sv_err err = {0};
    struct sv_instance *inst = instantiate(&w, module_inst, sizeof module_inst, &err, 0);
    struct sv_extern x;

    (void)state;
    assert_ptr_equal(export(inst, "f").func, w.f);
    assert_ptr_equal(export(inst, "a").func, sv_instance_func(inst, 1));
    assert_ptr_equal(export(inst, "a").func->store, w.s);
    assert_ptr_equal(inst->mem0, w.memory->base);
    assert_false(sv_instance_export(inst, sv_str_of("zzz"), &x));
    assert_false(sv_instance_export_at(inst, 1000, &x));
    /* Segments: the imported global says where. */
    assert_int_equal(w.table->elems[1], 0);
    assert_int_equal(w.table->elems[2], ref(w.f));
    assert_int_equal(w.table->elems[3], ref(sv_instance_func(inst, 1)));
    assert_int_equal(export(inst, "t2").table->elems[3], ref(sv_instance_func(inst, 1)));
    assert_int_equal(export(inst, "t2").table->elems[4], 0);
    assert_memory_equal(w.memory->base, "\0\0abc\0", 6);
    assert_memory_equal(export(inst, "m2").memory->base + 65533, "xyz", 3);
    close_world(&w);
}

static void test_segments(void **state)
{
    struct world w = open_world();
    struct sv_err err = {0};
    struct sv_instance *inst = instantiate(&w, module_inst, sizeof module_inst, &err, 0);
    struct sv_thread *th = &w.s->thread;
    struct sv_table *t = w.table;
    static const uint32_t far[] = {6, 0x7fffffff, 0x80000000, UINT32_MAX};
    sv_ref before[5];

    (void)state;
    memcpy(before, t->elems, sizeof before);
    for (unsigned i = 0; i < SV_COUNT(far); i++) {
        assert_int_equal(sv_table_init(th, inst, 0, 2, far[i], 0, 1), SV_TRAP_TABLE_BOUNDS);
        assert_int_equal(sv_table_init(th, inst, 0, 2, 0, far[i], 1), SV_TRAP_TABLE_BOUNDS);
        assert_int_equal(sv_table_init(th, inst, 0, 2, 0, 1, far[i]), SV_TRAP_TABLE_BOUNDS);
        assert_int_equal(sv_table_fill(th, t, far[i], 0, far[i]), SV_TRAP_TABLE_BOUNDS);
        assert_int_equal(sv_table_fill(th, t, UINT64_MAX, 0, far[i]), SV_TRAP_TABLE_BOUNDS);
        assert_int_equal(sv_table_copy(th, t, far[i], t, 0, 1), SV_TRAP_TABLE_BOUNDS);
        assert_int_equal(sv_table_copy(th, t, 0, t, far[i], UINT64_MAX), SV_TRAP_TABLE_BOUNDS);
        assert_int_equal(sv_memory_init(th, inst, 0, 2, far[i] * (uint64_t)65536, 0, 1),
                         SV_TRAP_MEMORY_BOUNDS);
        assert_int_equal(sv_memory_init(th, inst, 0, 2, 0, 8, far[i]), SV_TRAP_MEMORY_BOUNDS);
        assert_int_equal(sv_memory_init(th, inst, 0, 2, UINT64_MAX, 0, far[i] % 8),
                         SV_TRAP_MEMORY_BOUNDS);
    }
    assert_memory_equal(t->elems, before, sizeof before);
    assert_int_equal(sv_table_init(th, inst, 0, 2, 2, 0, 3), 0);
    assert_int_equal(t->elems[2], ref(sv_instance_func(inst, 1)));
    assert_int_equal(t->elems[3], ref(w.f));
    assert_int_equal(sv_memory_init(th, inst, 0, 2, 100, 2, 5), 0);
    assert_memory_equal(w.memory->base + 99, "\0ssive\0", 7);
    sv_elem_drop(inst, 2);
    sv_data_drop(inst, 2);
    assert_int_equal(sv_table_init(th, inst, 0, 2, 0, 0, 1), SV_TRAP_TABLE_BOUNDS);
    assert_int_equal(sv_table_init(th, inst, 0, 2, 5, 0, 0), 0);
    assert_int_equal(sv_memory_init(th, inst, 0, 2, 0, 0, 1), SV_TRAP_MEMORY_BOUNDS);
    assert_int_equal(sv_memory_init(th, inst, 0, 2, 0, 0, 0), 0);
    /* Active ones are dropped by having run. */
    assert_int_equal(sv_table_init(th, inst, 0, 0, 0, 0, 1), SV_TRAP_TABLE_BOUNDS);
    /* Overlap both ways. */
    for (int i = 0; i < 5; i++)
        t->elems[i] = (sv_ref)i;
    assert_int_equal(sv_table_copy(th, t, 1, t, 0, 4), 0);
    assert_int_equal(t->elems[4], 3);
    assert_int_equal(sv_table_copy(th, t, 0, t, 1, 4), 0);
    assert_int_equal(t->elems[0], 0);
    assert_int_equal(t->elems[3], 3);
    memset(t->elems, 0, 5 * sizeof *t->elems);
    close_world(&w);
}

static void test_tables(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store_limits l = sv_store_limits_default;
    struct sv_table_type tt = {.type = SV_EXTERNREF, .limits = {.min = 3, .max = UINT64_MAX}};
    struct sv_err err = {0};
    struct sv_store *s;
    struct sv_table *t, *u;
    int64_t old;

    (void)state;
    l.table_elems = 1000;
    s = fake_store(e, &l);
    assert_int_equal(sv_table_new(&err, s, &tt, sv_ref_host(1), &t), 0);
    assert_int_equal(sv_table_grow(t, 0, 0), 3);
    assert_int_equal(sv_table_grow(t, 997, sv_ref_host(2)), 3);
    assert_int_equal(t->elems[2], sv_ref_host(1));
    assert_int_equal(t->elems[999], sv_ref_host(2));
    assert_int_equal(sv_table_grow(t, 1, 0), -1);
    assert_int_equal(sv_table_grow(t, UINT64_MAX, 0), -1);
    /* The limit holds for all tables together. */
    assert_int_equal(sv_table_new(&err, s, &tt, 0, &u), SV_ELIMIT);
    assert_non_null(strstr(err.text, "table of 3 elements exceeds the store's limit of 1000"));
    sv_store_delete(s);
    /* Beyond any address space: refused, not tried. */
    s = fake_store(e, NULL);
    tt.limits = (struct sv_limits){.min = UINT64_MAX, .max = UINT64_MAX, .is64 = true};
    err.code = 0;
    assert_int_equal(sv_table_new(&err, s, &tt, 0, &t), SV_ELIMIT);
    tt.limits.min = 0;
    err.code = 0;
    assert_int_equal(sv_table_new(&err, s, &tt, 0, &t), 0);
    assert_int_equal(sv_table_grow(t, UINT64_C(1) << 61, 0), -1);
    sv_store_set_gas(s, 100);
    assert_int_equal(sv_table_grow_op(&s->thread, t, 60, 0, &old), 0);
    assert_int_equal(old, 0);
    assert_int_equal(sv_table_grow_op(&s->thread, t, 60, 0, &old), SV_TRAP_GAS);
    assert_int_equal(sv_table_grow_op(&s->thread, t, UINT64_MAX, 0, &old), 0);
    assert_int_equal(old, -1);
    assert_int_equal(sv_store_gas_used(s), 60);
    assert_int_equal(sv_table_fill(&s->thread, t, 0, 0, 50), SV_TRAP_GAS);
    assert_int_equal(t->size, 60);
    sv_store_delete(s);
    sv_engine_unref(e);
}

/* A failure half way leaves what was written before it, and the functions that a table got stay
 * callable. */
static int start_ran;
static int start_body(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    (void)th;
    (void)f;
    (void)args;
    start_ran++;
    return 0;
}

static void test_failed_instance(void **state)
{
    struct world w = open_world();
    struct sv_err err = {0};
    struct sv_memory *one = fake_memory(w.s, 1, 1, false, false);
    union sv_slot none[1];
    struct sv_func *f;

    (void)state;
    fake_bodies[0] = start_body;
    start_ran = 0;
    define(&w, "mem", (struct sv_extern){.kind = SV_EXTERN_MEMORY, .memory = one});
    instantiate(&w, module_start, sizeof module_start, &err, SV_ETRAP);
    assert_string_equal(err.text, "out of bounds memory access");
    assert_int_equal(w.s->thread.trap.code, SV_TRAP_MEMORY_BOUNDS);
    assert_memory_equal(one->base + 8, "in", 2);
    assert_int_equal(one->base[65535], 0);
    assert_int_equal(start_ran, 0);
    f = (struct sv_func *)(uintptr_t)w.table->elems[0];
    assert_int_equal(sv_func_call(&w.s->thread, f, none), 0);
    assert_int_equal(start_ran, 1);
    /* With room for the data, start runs. */
    define(&w, "mem", (struct sv_extern){.kind = SV_EXTERN_MEMORY, .memory = w.memory});
    err = (struct sv_err){0};
    instantiate(&w, module_start, sizeof module_start, &err, 0);
    assert_int_equal(start_ran, 2);
    close_world(&w);
}

/* ---- Import checks ---- */

static void expect_refused(struct world *w, const char *text)
{
    struct sv_err err = {0};

    instantiate(w, module_inst, sizeof module_inst, &err, SV_ELINK);
    if (!strstr(err.text, text))
        fail_msg("'%s' is not in: %s", text, err.text);
}

static void test_import_types(void **state)
{
    struct world w = open_world();
    struct sv_table_type tt = {.type = SV_FUNCREF,
                               .limits = {.min = 5, .max = 11, .has_max = true}};
    struct sv_err err = {0};
    struct sv_table *t;
    sv_valtype i64 = SV_VALTYPE(SV_VAL_I64);

    (void)state;
    define(&w, "f", (struct sv_extern){.kind = SV_EXTERN_GLOBAL, .global = w.g});
    expect_refused(
        &w,
        "incompatible import type for 'env.f': expected function (i32) -> (i64), found global i32");
    define_func(&w, "f", sv_func_new_host(w.s, w.t_none, host_nothing, NULL, "x", 0));
    expect_refused(&w, "incompatible import type for 'env.f': expected function (i32) -> (i64), "
                       "found function () -> ()");
    define_func(&w, "f", w.f); /* beside the other: chosen by type */
    assert_int_equal(sv_table_new(&err, w.s, &tt, 0, &t), 0);
    define(&w, "t", (struct sv_extern){.kind = SV_EXTERN_TABLE, .table = t});
    expect_refused(&w, "incompatible import type for 'env.t': expected table 2..10 funcref, found "
                       "table 5..11 funcref");
    define(&w, "t", (struct sv_extern){.kind = SV_EXTERN_TABLE, .table = w.table});
    define(&w, "mem",
           (struct sv_extern){.kind = SV_EXTERN_MEMORY,
                              .memory = fake_memory(w.s, 0, 4, false, false)});
    expect_refused(&w, "expected memory 1..4, found memory 0..4");
    define(&w, "mem",
           (struct sv_extern){.kind = SV_EXTERN_MEMORY,
                              .memory = fake_memory(w.s, 1, 4, true, false)});
    expect_refused(&w, "found memory 1..4 i64");
    define(&w, "mem",
           (struct sv_extern){.kind = SV_EXTERN_MEMORY,
                              .memory = fake_memory(w.s, 1, 4, false, true)});
    expect_refused(&w, "found memory 1..4 shared");
    /* A memory that has grown counts with what it has. */
    struct sv_memory *grown = fake_memory(w.s, 0, 4, false, false);
    assert_int_equal(sv_memory_grow(grown, 1), 0);
    define(&w, "mem", (struct sv_extern){.kind = SV_EXTERN_MEMORY, .memory = grown});
    define(&w, "g",
           (struct sv_extern){.kind = SV_EXTERN_GLOBAL,
                              .global =
                                  sv_global_new(w.s, (struct sv_global_type){.type = i64}, NULL)});
    expect_refused(&w, "expected global i32, found global i64");
    define(&w, "g", (struct sv_extern){.kind = SV_EXTERN_GLOBAL, .global = w.g});
    define(&w, "gm",
           (struct sv_extern){.kind = SV_EXTERN_GLOBAL,
                              .global =
                                  sv_global_new(w.s, (struct sv_global_type){.type = i64}, NULL)});
    expect_refused(&w, "expected global mut i64, found global i64");
    define(&w, "gm", (struct sv_extern){.kind = SV_EXTERN_GLOBAL, .global = w.gm});
    define(&w, "tag", (struct sv_extern){.kind = SV_EXTERN_TAG, .tag = sv_tag_new(w.s, w.t_none)});
    expect_refused(&w, "expected tag (i32) -> (), found tag () -> ()");
    define(&w, "tag", (struct sv_extern){.kind = SV_EXTERN_TAG, .tag = w.tag});
    instantiate(&w, module_inst, sizeof module_inst, &err, 0);
    close_world(&w);
}

static void test_stores_do_not_mix(void **state)
{
    struct world w = open_world();
    struct sv_store *other = fake_store(w.e, NULL);
    struct sv_engine *e2 = fake_engine();
    struct sv_store *s2 = fake_store(e2, NULL);
    struct sv_module *m = fake_module(w.e, module_inst, sizeof module_inst);
    struct sv_instance *inst;
    struct sv_err err = {0};

    (void)state;
    define_func(&w, "f", sv_func_new_host(other, w.t_i_l, host_nothing, NULL, "x", 0));
    expect_refused(&w, "import 'env.f' belongs to another store");
    define_func(&w, "f", w.f);
    define(&w, "mem",
           (struct sv_extern){.kind = SV_EXTERN_MEMORY,
                              .memory = fake_memory(other, 1, 4, false, false)});
    expect_refused(&w, "import 'env.mem' belongs to another store");
    assert_int_equal(sv_instance_new(&err, s2, m, NULL, &inst), SV_ELINK);
    assert_string_equal(err.text, "the module belongs to another engine");
    sv_module_unref(m);
    sv_store_delete(s2);
    sv_engine_unref(e2);
    sv_store_delete(other);
    close_world(&w);
}

/* ---- Linking ---- */

static void explain_env(void *arg, struct sv_str module, struct sv_str name, struct sv_buf *ret)
{
    (void)arg;
    if (sv_str_eq(module, sv_str_of("env")) && name.len == 1)
        sv_buf_puts(ret, "nobody gives that away");
}

static bool lazy_f(void *arg, struct sv_store *s, const struct sv_module *m,
                   const struct sv_import *i, struct sv_extern *ret)
{
    int *asked = arg;

    if (!sv_str_eq(i->name, sv_str_of("f")))
        return false;
    (*asked)++;
    *ret = (struct sv_extern){
        .kind = SV_EXTERN_FUNC,
        .func = sv_func_new_host(s, m->funcs[i->index].type, host_nothing, NULL, "lazy.f", 0)};
    return true;
}

static void test_missing_imports(void **state)
{
    struct world w = open_world();
    struct sv_linker *full = w.l;
    int asked = 0;

    (void)state;
    w.l = sv_linker_new(w.s);
    sv_linker_set_explain(w.l, explain_env, NULL);
    expect_refused(&w,
                   "unknown imports:\n  'env.f' (function (i32) -> (i64)): nobody gives that away\n"
                   "  'env.t' (table 2..10 funcref): nobody gives that away\n  'env.mem' (memory "
                   "1..4)\n  'env.g' (global i32)");
    assert_int_equal(sv_linker_define_lazy(NULL, w.l, lazy_f, &asked), 0);
    define(&w, "t", (struct sv_extern){.kind = SV_EXTERN_TABLE, .table = w.table});
    define(&w, "mem", (struct sv_extern){.kind = SV_EXTERN_MEMORY, .memory = w.memory});
    define(&w, "g", (struct sv_extern){.kind = SV_EXTERN_GLOBAL, .global = w.g});
    define(&w, "gm", (struct sv_extern){.kind = SV_EXTERN_GLOBAL, .global = w.gm});
    expect_refused(&w, "unknown import 'env.tag' (tag (i32) -> ())");
    assert_int_equal(asked, 1);
    sv_linker_delete(w.l);
    w.l = full;
    close_world(&w);
}

static void test_define_instance(void **state)
{
    struct world w = open_world();
    struct sv_err err = {0};
    struct sv_instance *inst = instantiate(&w, module_inst, sizeof module_inst, &err, 0);
    struct sv_linker *l = sv_linker_new(w.s);
    struct sv_linker *first = w.l;

    (void)state;
    assert_int_equal(sv_linker_define_instance(&err, l, sv_str_of("env"), inst), 0);
    w.l = l;
    expect_refused(&w, "'env.t'"); /* it exports t2, not t */
    define(&w, "t", (struct sv_extern){.kind = SV_EXTERN_TABLE, .table = w.table});
    define(&w, "mem", (struct sv_extern){.kind = SV_EXTERN_MEMORY, .memory = w.memory});
    define(&w, "g", (struct sv_extern){.kind = SV_EXTERN_GLOBAL, .global = w.g});
    define(&w, "gm", (struct sv_extern){.kind = SV_EXTERN_GLOBAL, .global = w.gm});
    define(&w, "tag", (struct sv_extern){.kind = SV_EXTERN_TAG, .tag = w.tag});
    instantiate(&w, module_inst, sizeof module_inst, &err, 0);
    sv_linker_delete(l);
    w.l = first;
    close_world(&w);
}

/* Names that would run together if they were joined. */
static void test_names_do_not_run_together(void **state)
{
    struct world w = open_world();
    struct sv_err err = {0};
    struct sv_str a = {"a\0b", 3}, b = {"c", 1}, c = {"a", 1}, d = {"b\0c", 3};
    struct sv_extern f = {.kind = SV_EXTERN_FUNC, .func = w.f},
                     g = {.kind = SV_EXTERN_GLOBAL, .global = w.g};

    (void)state;
    assert_int_equal(sv_linker_define(&err, w.l, a, b, f), 0);
    assert_int_equal(sv_linker_define(&err, w.l, c, d, g), 0);
    struct sv_module m = {.nimports = 1};
    struct sv_global_decl decl = {.type = w.g->type};
    struct sv_import i = {.module = c, .name = d, .kind = SV_EXTERN_GLOBAL};
    struct sv_extern ret;
    m.imports = &i;
    m.globals = &decl;
    m.types_registry = w.e->types;
    assert_int_equal(sv_linker_resolve(&err, w.l, &m, &ret), 0);
    assert_ptr_equal(ret.global, w.g);
    close_world(&w);
}

static void test_limits(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_store_limits l = sv_store_limits_default;
    struct sv_module *m = fake_module(e, (const uint8_t *)"\0asm\1\0\0\0", 8);
    struct sv_memory_type mt = {.limits = {.min = 1, .max = UINT64_MAX}, .page_shift = 16};
    struct sv_instance *inst;
    struct sv_memory *memory;
    struct sv_err err = {0};
    struct sv_store *s;

    (void)state;
    l.instances = 3;
    l.memories = 2;
    s = fake_store(e, &l);
    for (int i = 0; i < 3; i++)
        fake_instance(s, m, NULL);
    assert_int_equal(sv_instance_new(&err, s, m, NULL, &inst), SV_ELIMIT);
    fake_memory(s, 1, 1, false, false);
    fake_memory(s, 1, 1, false, false);
    err.code = 0;
    assert_int_equal(sv_memory_new(&err, s, &mt, NULL, NULL, &memory), SV_ELIMIT);
    assert_non_null(strstr(err.text, "more than 2 memories"));
    sv_module_unref(m);
    sv_store_delete(s);
    sv_engine_unref(e);
}

static int released;
static void release(void *data)
{
    released += *(int *)data;
}

static void test_release(void **state)
{
    struct world w = open_world();
    int n = 5;
    struct sv_func *f = sv_func_new_host(w.s, w.t_none, host_nothing, &n, "x", 0);

    (void)state;
    released = 0;
    f->host.release = release;
    close_world(&w);
    assert_int_equal(released, 5);
}

/* Every allocation on the way to an instance fails once: an error with words, and nothing lost
 * (ASan) or half made. */
#ifdef SV_TORTURE
static int everything(struct sv_engine *e, struct sv_module *m, struct sv_err *err)
{
    struct sv_table_type tt = {.type = SV_FUNCREF,
                               .limits = {.min = 5, .max = 10, .has_max = true}};
    sv_valtype i32 = SV_VALTYPE(SV_VAL_I32);
    struct sv_linker *l = NULL;
    struct sv_store *s = NULL;
    struct sv_instance *inst;
    struct sv_extern x;
    union sv_slot none[1];
    int r = sv_store_new(err, e, NULL, &s);

    if (r < 0)
        return r;
    l = sv_linker_new(s);
    if (!l) {
        r = SV_ENOMEM;
        goto out;
    }
    x = (struct sv_extern){.kind = SV_EXTERN_TABLE};
    r = sv_table_new(err, s, &tt, 0, &x.table);
    if (r == 0)
        r = sv_linker_define(err, l, sv_str_of("env"), sv_str_of("t"), x);
    x = (struct sv_extern){.kind = SV_EXTERN_MEMORY};
    if (r == 0)
        r = sv_memory_new(err, s,
                          &(struct sv_memory_type){.limits = {.min = 2, .max = 2, .has_max = true},
                                                   .page_shift = 16},
                          NULL, NULL, &x.memory);
    if (r == 0)
        r = sv_linker_define(err, l, sv_str_of("env"), sv_str_of("mem"), x);
    if (r == 0)
        r = sv_linker_instantiate(err, l, m, &inst);
    if (r == 0) {
        struct sv_global *g = sv_global_new(s, (struct sv_global_type){.type = i32}, NULL);

        r = g && sv_store_handle_new(s, sv_ref_i31(1)) && sv_instance_func(inst, 0) ? 0 : SV_ENOMEM;
    }
    if (r == 0)
        r = sv_func_call(&s->thread, sv_instance_func(inst, 0), none);
out:
    sv_linker_delete(l);
    sv_store_delete(s);
    return r;
}

static void test_torture(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_module *m = fake_module(e, module_start, sizeof module_start);
    unsigned failed = 0;

    (void)state;
    fake_bodies[0] = start_body;
    for (unsigned long n = 1; n < 40; n++) {
        struct sv_err err = {0};
        int r;

        sv_alloc_fail_at(n);
        r = everything(e, m, &err);
        sv_alloc_fail_at(0);
        if (r == 0)
            continue; /* some can do without, and there are fewer than 40 */
        assert_int_equal(r, SV_ENOMEM);
        failed++;
        err = (struct sv_err){0};
        assert_int_equal(everything(e, m, &err), 0);
    }
    assert_true(failed >= 4);
    sv_module_unref(m);
    sv_engine_unref(e);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_instance),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_failed_instance),
        cmocka_unit_test(test_import_types),
        cmocka_unit_test(test_stores_do_not_mix),
        cmocka_unit_test(test_missing_imports),
        cmocka_unit_test(test_define_instance),
        cmocka_unit_test(test_names_do_not_run_together),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_release),
#ifdef SV_TORTURE
        cmocka_unit_test(test_torture),
#endif

    };

    return cmocka_run_group_tests_name("runtime/instance", tests, NULL, NULL);
}
