/* The registry of types: equal groups are one, types die with their modules, matching, layout,
 * threads. */
#include "build.h"

#include <pthread.h>

#include "wasm/rec.h"

static struct sv_module *module_of(struct sv_types *types, const uint8_t *section, size_t len)
{
    struct sv_module *m = NULL;
    struct sv_err err = {0};
    struct sv_buf b;
    uint8_t *copy;

    put_header(&b);
    put_byte(&b, 1);
    put_u64(&b, len);
    put(&b, section, len);
    copy = sv_alloc(b.len);
    memcpy(copy, b.data, b.len);
    if (sv_module_new(&err, types, copy, b.len, NULL, NULL, &m) != 0)
        fail_msg("%s", err.text);
    sv_free(copy); /* types do not look back into the bytes */
    sv_buf_release(&b);
    return m;
}

/* (rec (type (struct (field (ref null SELF + 1)))) (type (array i8))), at different indexes */
static const uint8_t pair_first[] = {1, 0x4e, 2,    0x50, 0,    0x5f, 1, 0x63,
                                     1, 0,    0x50, 0,    0x5e, 0x78, 1};
static const uint8_t pair_second[] = {2, 0x60, 0, 0, 0x4e, 2, 0x50, 0,    0x5f,
                                      1, 0x63, 2, 0, 0x50, 0, 0x5e, 0x78, 1};
/* the same two types, each a group of its own: others */
static const uint8_t apart[] = {2, 0x50, 0, 0x5e, 0x78, 1, 0x50, 0, 0x5f, 1, 0x63, 0, 0};

static void canonical(void **state)
{
    struct sv_types *types = sv_types_new();
    struct sv_module *a = module_of(types, pair_first, sizeof pair_first);
    struct sv_module *b = module_of(types, pair_second, sizeof pair_second);
    struct sv_module *c = module_of(types, apart, sizeof apart);

    (void)state;
    assert_ptr_equal(a->types[0], b->types[1]);
    assert_ptr_equal(a->types[1], b->types[2]);
    assert_ptr_not_equal(a->types[0], c->types[1]);
    assert_ptr_not_equal(a->types[1], c->types[0]);
    assert_ptr_equal(sv_types_get(types, a->types[1]->id), a->types[1]);
    assert_int_equal(sv_types_count(types), 2 + 1 + 2);
    sv_module_unref(a);
    assert_int_equal(sv_types_count(types), 5);
    sv_module_unref(b);
    assert_int_equal(sv_types_count(types), 2);
    sv_module_unref(c);
    assert_int_equal(sv_types_count(types), 0);
    /* ids are used again */
    a = module_of(types, pair_first, sizeof pair_first);
    assert_true(a->types[0]->id < 5 && a->types[1]->id < 5);
    sv_module_unref(a);
    sv_types_delete(types);
}

/* A type that another type mentions stays with the mention, though its own module is gone. */
static void references(void **state)
{
    static const uint8_t array_only[] = {1, 0x50, 0, 0x5e, 0x78, 1};
    struct sv_types *types = sv_types_new();
    struct sv_module *a = module_of(types, array_only, sizeof array_only);
    struct sv_module *b = module_of(types, apart, sizeof apart);
    const struct sv_type *array = a->types[0];

    (void)state;
    assert_ptr_equal(array, b->types[0]);
    sv_module_unref(a);
    assert_int_equal(sv_types_count(types), 2);
    assert_ptr_equal(sv_types_get(types, sv_valtype_id(b->types[1]->strct.fields[0].type)), array);
    sv_module_unref(b);
    assert_int_equal(sv_types_count(types), 0);
    sv_types_delete(types);
}

/* A chain of groups, each mentioning the one before, is freed without recursion. */
static void long_chain(void **state)
{
    struct sv_types *types = sv_types_new();
    struct sv_module *m;
    struct sv_buf s;

    (void)state;
    sv_buf_init(&s, SIZE_MAX / 2);
    put_u64(&s, 300001);
    put(&s, BYTES(0x5f, 0));
    for (unsigned i = 0; i < 300000; i++) {
        put(&s, BYTES(0x5f, 1, 0x63));
        put_s64(&s, i);
        put_byte(&s, 0);
    }
    m = module_of(types, s.data, s.len);
    assert_int_equal(sv_types_count(types), 300001);
    sv_module_unref(m);
    assert_int_equal(sv_types_count(types), 0);
    sv_buf_release(&s);
    sv_types_delete(types);
}

static void host_functions(void **state)
{
    static const uint8_t section[] = {1, 0x60, 2, 0x7f, 0x7b, 1, 0x7c};
    const sv_valtype params[] = {SV_VAL_I32, SV_VAL_V128}, results[] = {SV_VAL_F64};
    struct sv_types *types = sv_types_new();
    const struct sv_type *host = sv_types_func(types, params, 2, results, 1);
    struct sv_module *m = module_of(types, section, sizeof section);

    (void)state;
    assert_ptr_equal(host, m->types[0]);
    assert_ptr_equal(host, sv_types_func(types, params, 2, results, 1));
    assert_int_equal(host->func.param_slots, 3);
    assert_int_equal(host->func.result_slots, 1);
    assert_true(host->final);
    sv_module_unref(m);
    assert_int_equal(sv_types_count(types), 1);
    assert_ptr_not_equal(host, sv_types_func(types, params, 1, results, 1));
    assert_ptr_not_equal(host, sv_types_func(types, NULL, 0, NULL, 0));
    assert_null(sv_types_func(types, params, 1001, results, 1));
    sv_types_delete(types);
}

static void layout(void **state)
{
    /* struct { i8, i64, i16, f32, v128, (ref null any), i8 } */
    static const uint8_t section[] = {2, 0x5f, 7, 0x78, 0, 0x7e, 1, 0x77, 0,    0x7d,
                                      0, 0x7b, 0, 0x6e, 0, 0x78, 0, 0x5e, 0x77, 1};
    static const struct {
        uint8_t size;
        uint32_t offset;
    } expected[] = {{1, 8}, {8, 16}, {2, 24}, {4, 28}, {16, 32}, {8, 48}, {1, 56}};
    struct sv_types *types = sv_types_new();
    struct sv_module *m = module_of(types, section, sizeof section);
    const struct sv_type *t = m->types[0];

    (void)state;
    for (unsigned i = 0; i < 7; i++) {
        assert_int_equal(t->strct.fields[i].size, expected[i].size);
        assert_int_equal(t->strct.fields[i].offset, expected[i].offset);
    }
    assert_true(t->strct.fields[1].mut);
    assert_int_equal(t->strct.size, 64);
    assert_true(t->strct.defaultable);
    assert_int_equal(m->types[1]->array.field.size, 2);
    assert_int_equal(m->types[1]->array.field.offset, SV_GC_ARRAY_BASE);
    sv_module_unref(m);
    sv_types_delete(types);
}

/* The subtype lattice of abstract heap types (spec 3.3.3), as its picture. */
static void matching(void **state)
{
    static const struct {
        uint8_t sub, super;
    } edges[] = {
        {SV_HEAP_NOFUNC, SV_HEAP_FUNC}, {SV_HEAP_NOEXTERN, SV_HEAP_EXTERN},
        {SV_HEAP_NOEXN, SV_HEAP_EXN},   {SV_HEAP_EQ, SV_HEAP_ANY},
        {SV_HEAP_I31, SV_HEAP_EQ},      {SV_HEAP_STRUCT, SV_HEAP_EQ},
        {SV_HEAP_ARRAY, SV_HEAP_EQ},    {SV_HEAP_NONE, SV_HEAP_I31},
        {SV_HEAP_NONE, SV_HEAP_STRUCT}, {SV_HEAP_NONE, SV_HEAP_ARRAY},
    };
    bool reach[SV_HEAP_BOT][SV_HEAP_BOT] = {{false}};
    struct sv_types *types = sv_types_new();

    (void)state;
    for (unsigned i = 0; i < SV_HEAP_BOT; i++)
        reach[i][i] = true;
    for (unsigned i = 0; i < SV_COUNT(edges); i++)
        reach[edges[i].sub][edges[i].super] = true;
    for (unsigned k = 0; k < SV_HEAP_BOT; k++)
        for (unsigned i = 0; i < SV_HEAP_BOT; i++)
            for (unsigned j = 0; j < SV_HEAP_BOT; j++)
                if (reach[i][k] && reach[k][j])
                    reach[i][j] = true;
    for (unsigned i = 0; i < SV_HEAP_BOT; i++)
        for (unsigned j = 0; j < SV_HEAP_BOT; j++)
            for (unsigned nulls = 0; nulls < 4; nulls++)
                assert_int_equal(
                    sv_valtype_matches(types, SV_REFTYPE(i, nulls & 1), SV_REFTYPE(j, nulls & 2)),
                    reach[i][j] && nulls != 1);
    assert_false(sv_valtype_matches(types, SV_VAL_I32, SV_VAL_I64));
    assert_true(sv_valtype_matches(types, SV_VAL_BOT, SV_VAL_I64));
    assert_false(sv_valtype_matches(types, SV_VAL_I32, SV_FUNCREF));
    assert_true(sv_valtype_is_traced(types, SV_EXNREF));
    assert_false(sv_valtype_is_traced(types, SV_FUNCREF));
    sv_types_delete(types);
}

static void concrete_matching(void **state)
{
    /* 0: (sub (struct)), 1: (sub 0 (struct i32)), 2: (func), 3: (sub (array i8)) */
    static const uint8_t section[] = {4,    0x50, 0,    0x5f, 0, 0x50, 1, 0,    0x5f, 1,
                                      0x7f, 0,    0x60, 0,    0, 0x50, 0, 0x5e, 0x78, 1};
    struct sv_types *types = sv_types_new();
    struct sv_module *m = module_of(types, section, sizeof section);
    uint32_t h[4];
    struct sv_buf text;

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        h[i] = SV_HEAP_CONCRETE + m->types[i]->id;
    assert_true(sv_heap_matches(types, h[1], h[0]));
    assert_false(sv_heap_matches(types, h[0], h[1]));
    assert_true(sv_heap_matches(types, h[1], SV_HEAP_STRUCT));
    assert_true(sv_heap_matches(types, h[1], SV_HEAP_ANY));
    assert_false(sv_heap_matches(types, h[1], SV_HEAP_ARRAY));
    assert_true(sv_heap_matches(types, h[3], SV_HEAP_ARRAY));
    assert_true(sv_heap_matches(types, h[2], SV_HEAP_FUNC));
    assert_false(sv_heap_matches(types, h[2], SV_HEAP_EQ));
    assert_true(sv_heap_matches(types, SV_HEAP_NONE, h[0]));
    assert_true(sv_heap_matches(types, SV_HEAP_NOFUNC, h[2]));
    assert_false(sv_heap_matches(types, SV_HEAP_NONE, h[2]));
    assert_false(sv_heap_matches(types, SV_HEAP_STRUCT, h[0]));
    assert_int_equal(sv_heap_top(types, h[2]), SV_HEAP_FUNC);
    assert_int_equal(sv_heap_top(types, h[3]), SV_HEAP_ANY);
    sv_buf_init(&text, 1000);
    sv_valtype_print(&text, m, SV_REFTYPE(h[1], true));
    sv_valtype_print(&text, m, SV_FUNCREF);
    sv_valtype_print(&text, m, SV_REFTYPE(SV_HEAP_NONE, true));
    sv_valtype_print(&text, m, SV_REFTYPE(SV_HEAP_I31, false));
    sv_functype_print(&text, m, m->types[2]);
    assert_string_equal(sv_buf_cstr(&text), "(ref null 1)funcrefnullref(ref i31)() -> ()");
    sv_buf_release(&text);
    sv_module_unref(m);
    sv_types_delete(types);
}

static void *add_and_drop(void *arg)
{
    struct sv_types *types = arg;

    for (unsigned i = 0; i < 300; i++) {
        struct sv_module *a = module_of(types, pair_first, sizeof pair_first);
        struct sv_module *b = module_of(types, i % 2 ? pair_second : apart,
                                        i % 2 ? sizeof pair_second : sizeof apart);
        const sv_valtype param = i % 7;

        assert_int_equal(a->types[0]->form, SV_FORM_STRUCT);
        assert_ptr_equal(sv_types_get(types, a->types[0]->id), a->types[0]);
        assert_int_equal(a->types[0] == b->types[1], i % 2);
        assert_non_null(sv_types_func(types, &param, 1, NULL, 0));
        sv_module_unref(a);
        sv_module_unref(b);
    }
    return NULL;
}

/* Under TSan: the same types from several threads. */
static void threads(void **state)
{
    struct sv_types *types = sv_types_new();
    pthread_t thread[4];

    (void)state;
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, add_and_drop, types), 0);
    for (unsigned i = 0; i < 4; i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(sv_types_count(types), 7);
    sv_types_delete(types);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(canonical),      cmocka_unit_test(long_chain),
        cmocka_unit_test(host_functions), cmocka_unit_test(layout),
        cmocka_unit_test(matching),       cmocka_unit_test(concrete_matching),
        cmocka_unit_test(references),     cmocka_unit_test(threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
