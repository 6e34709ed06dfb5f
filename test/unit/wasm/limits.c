/* Every limit of limits.h: accepted at the limit, refused with SV_ELIMIT and a number one above. */
#include "build.h"

#include "wasm/limits.h"

static const uint8_t empty_func[] = {0x60, 0, 0};

typedef void build_fn(struct sv_buf *b, uint64_t n);

static void types(struct sv_buf *b, uint64_t n)
{
    put_repeated(b, 1, n, empty_func, 3);
}

static void rec_group(struct sv_buf *b, uint64_t n)
{
    struct sv_buf s;

    sv_buf_init(&s, SIZE_MAX / 2);
    put(&s, BYTES(1, 0x4e));
    put_u64(&s, n);
    for (uint64_t i = 0; i < n; i++)
        put(&s, empty_func, 3);
    put_section(b, 1, &s);
}

/* A chain: type 0 has no supertype, type i has type i - 1. */
static void subtype_depth(struct sv_buf *b, uint64_t n)
{
    struct sv_buf s;

    sv_buf_init(&s, SIZE_MAX / 2);
    put_u64(&s, n + 1);
    for (uint64_t i = 0; i <= n; i++) {
        put_byte(&s, 0x50);
        put_byte(&s, i > 0);
        if (i > 0)
            put_u64(&s, i - 1);
        put(&s, BYTES(0x5f, 0));
    }
    put_section(b, 1, &s);
}

static void functions(struct sv_buf *b, uint64_t n)
{
    put_repeated(b, 1, 1, empty_func, 3);
    put_repeated(b, 3, n, "\0", 1);
    put_repeated(b, 10, n, BYTES(2, 0, 0x0b));
}

static void imports(struct sv_buf *b, uint64_t n)
{
    put_repeated(b, 2, n, BYTES(0, 0, 3, 0x7f, 0));
}

static void exports(struct sv_buf *b, uint64_t n)
{
    struct sv_buf s;

    put_repeated(b, 6, 1, BYTES(0x7f, 0, 0x41, 0, 0x0b));
    sv_buf_init(&s, SIZE_MAX / 2);
    put_u64(&s, n);
    for (uint64_t i = 0; i < n; i++) {
        char name[16];

        put_byte(&s, (unsigned)snprintf(name, sizeof name, "%llx", (unsigned long long)i));
        put(&s, name, strlen(name));
        put(&s, BYTES(3, 0));
    }
    put_section(b, 7, &s);
}

static void globals(struct sv_buf *b, uint64_t n)
{
    put_repeated(b, 6, n, BYTES(0x7f, 0, 0x41, 0, 0x0b));
}

static void imported_and_defined_globals(struct sv_buf *b, uint64_t n)
{
    put_repeated(b, 2, n / 2, BYTES(0, 0, 3, 0x7f, 0));
    put_repeated(b, 6, n - n / 2, BYTES(0x7f, 0, 0x41, 0, 0x0b));
}

static void tags(struct sv_buf *b, uint64_t n)
{
    put_repeated(b, 1, 1, empty_func, 3);
    put_repeated(b, 13, n, BYTES(0, 0));
}

static void tables(struct sv_buf *b, uint64_t n)
{
    put_repeated(b, 4, n, BYTES(0x70, 0, 0));
}

static void imported_tables(struct sv_buf *b, uint64_t n)
{
    put_repeated(b, 2, n, BYTES(0, 0, 1, 0x70, 0, 0));
}

static void memories(struct sv_buf *b, uint64_t n)
{
    put_repeated(b, 5, n, BYTES(0, 0));
}

static void data_segments(struct sv_buf *b, uint64_t n)
{
    put_repeated(b, 11, n, BYTES(1, 0));
}

static void elem_entries(struct sv_buf *b, uint64_t n)
{
    struct sv_buf s;

    put_repeated(b, 1, 1, empty_func, 3);
    put_repeated(b, 3, 1, "\0", 1);
    sv_buf_init(&s, SIZE_MAX / 2);
    put(&s, BYTES(1, 1, 0));
    put_u64(&s, n);
    for (uint64_t i = 0; i < n; i++)
        put_byte(&s, 0);
    put_section(b, 9, &s);
    put_repeated(b, 10, 1, BYTES(2, 0, 0x0b));
}

static void body_bytes(struct sv_buf *b, uint64_t n)
{
    struct sv_buf body;

    sv_buf_init(&body, SIZE_MAX / 2);
    put_byte(&body, 0);
    for (uint64_t i = 0; i + 2 < n; i++)
        put_byte(&body, 0x01);
    put_byte(&body, 0x0b);
    put_function(b, empty_func, 3, body.data, body.len);
    sv_buf_release(&body);
}

static void locals(struct sv_buf *b, uint64_t n)
{
    struct sv_buf body;

    sv_buf_init(&body, 64);
    put_byte(&body, 2);
    put_u64(&body, n - 7);
    put_byte(&body, 0x7b);
    put(&body, BYTES(7, 0x7e, 0x0b));
    put_function(b, empty_func, 3, body.data, body.len);
    sv_buf_release(&body);
}

static void values(struct sv_buf *b, uint64_t nparams, uint64_t nresults)
{
    struct sv_buf s;

    sv_buf_init(&s, SIZE_MAX / 2);
    put(&s, BYTES(1, 0x60));
    put_u64(&s, nparams);
    for (uint64_t i = 0; i < nparams; i++)
        put_byte(&s, 0x7f);
    put_u64(&s, nresults);
    for (uint64_t i = 0; i < nresults; i++)
        put_byte(&s, 0x7c);
    put_section(b, 1, &s);
}

static void params(struct sv_buf *b, uint64_t n)
{
    values(b, n, 0);
}

static void results(struct sv_buf *b, uint64_t n)
{
    values(b, 0, n);
}

static void fields(struct sv_buf *b, uint64_t n)
{
    struct sv_buf s;

    sv_buf_init(&s, SIZE_MAX / 2);
    put(&s, BYTES(1, 0x5f));
    put_u64(&s, n);
    for (uint64_t i = 0; i < n; i++)
        put(&s, BYTES(0x78, 1));
    put_section(b, 1, &s);
}

static void new_fixed(struct sv_buf *b, uint64_t n)
{
    struct sv_buf body, s;

    sv_buf_init(&s, 64);
    put(&s, BYTES(2, 0x60, 0, 0, 0x5e, 0x7f, 0));
    put_section(b, 1, &s);
    put_repeated(b, 3, 1, "\0", 1);
    sv_buf_init(&body, SIZE_MAX / 2);
    put_byte(&body, 0);
    for (uint64_t i = 0; i < n; i++)
        put(&body, BYTES(0x41, 0));
    put(&body, BYTES(0xfb, 0x08, 1));
    put_u64(&body, n);
    put(&body, BYTES(0x1a, 0x0b));
    sv_buf_init(&s, SIZE_MAX / 2);
    put_byte(&s, 1);
    put_u64(&s, body.len);
    put(&s, body.data, body.len);
    put_section(b, 10, &s);
    sv_buf_release(&body);
}

static void br_table(struct sv_buf *b, uint64_t n)
{
    struct sv_buf body;

    sv_buf_init(&body, SIZE_MAX / 2);
    put(&body, BYTES(0, 0x41, 0, 0x0e));
    put_u64(&body, n);
    for (uint64_t i = 0; i <= n; i++)
        put_byte(&body, 0);
    put_byte(&body, 0x0b);
    put_function(b, empty_func, 3, body.data, body.len);
    sv_buf_release(&body);
}

static void name_bytes(struct sv_buf *b, uint64_t n)
{
    struct sv_buf s;

    sv_buf_init(&s, SIZE_MAX / 2);
    put_byte(&s, 1);
    put_u64(&s, n);
    for (uint64_t i = 0; i < n; i++)
        put_byte(&s, 'x');
    put(&s, BYTES(0, 3, 0x7f, 0));
    put_section(b, 2, &s);
}

/* n constants, then unreachable code so that the end is valid. */
static void operands(struct sv_buf *b, uint64_t n)
{
    struct sv_buf body;

    sv_buf_init(&body, SIZE_MAX / 2);
    put_byte(&body, 0);
    for (uint64_t i = 0; i < n; i++)
        put(&body, BYTES(0x41, 0));
    put(&body, BYTES(0x00, 0x0b));
    put_function(b, empty_func, 3, body.data, body.len);
    sv_buf_release(&body);
}

static void nesting(struct sv_buf *b, uint64_t n)
{
    struct sv_buf body;

    sv_buf_init(&body, SIZE_MAX / 2);
    put_byte(&body, 0);
    for (uint64_t i = 1; i < n; i++) /* the function is a block too */
        put(&body, BYTES(0x02, 0x40));
    for (uint64_t i = 0; i < n; i++)
        put_byte(&body, 0x0b);
    put_function(b, empty_func, 3, body.data, body.len);
    sv_buf_release(&body);
}

static const struct limit_case {
    const char *name;
    build_fn *build;
    uint64_t limit;
} cases[] = {
    {"types", types, SV_LIMIT_TYPES},
    {"recursion group", rec_group, SV_LIMIT_REC_GROUP},
    {"subtyping depth", subtype_depth, SV_LIMIT_SUBTYPE_DEPTH},
    {"functions", functions, SV_LIMIT_FUNCTIONS},
    {"imports", imports, SV_LIMIT_IMPORTS},
    {"exports", exports, SV_LIMIT_EXPORTS},
    {"globals", globals, SV_LIMIT_GLOBALS},
    {"globals of both kinds", imported_and_defined_globals, SV_LIMIT_GLOBALS},
    {"tags", tags, SV_LIMIT_TAGS},
    {"tables", tables, SV_LIMIT_TABLES},
    {"imported tables", imported_tables, SV_LIMIT_TABLES},
    {"memories", memories, SV_LIMIT_MEMORIES},
    {"data segments", data_segments, SV_LIMIT_DATA_SEGMENTS},
    {"elements", elem_entries, SV_LIMIT_ELEM_ENTRIES},
    {"body bytes", body_bytes, SV_LIMIT_BODY_BYTES},
    {"locals", locals, SV_LIMIT_LOCALS},
    {"parameters", params, SV_LIMIT_PARAMS},
    {"results", results, SV_LIMIT_RESULTS},
    {"fields", fields, SV_LIMIT_FIELDS},
    {"array.new_fixed", new_fixed, SV_LIMIT_NEW_FIXED},
    {"br_table", br_table, SV_LIMIT_BR_TABLE},
    {"name bytes", name_bytes, SV_LIMIT_NAME_BYTES},
    {"operands", operands, SV_LIMIT_OPERANDS},
    {"nesting", nesting, SV_LIMIT_NESTING},
};

static void at_and_above(void **state)
{
    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        struct sv_err err = {0};
        struct sv_buf b;
        int r;

        put_header(&b);
        cases[i].build(&b, cases[i].limit);
        r = decode_buf(&b, &err);
        if (r != 0)
            fail_msg("%s at the limit: %s", cases[i].name, err.text);
        put_header(&b);
        cases[i].build(&b, cases[i].limit + 1);
        r = decode_buf(&b, &err);
        if (r != SV_ELIMIT)
            fail_msg("%s above the limit: code %d, '%s'", cases[i].name, r, err.text);
        assert_true(err.has_offset);
    }
}

/* A million types that share a supertype of depth 62 would want 512 MB: the sum is bounded. */
static void supertype_sum(void **state)
{
    struct sv_err err = {0};
    struct sv_buf b, s;

    (void)state;
    put_header(&b);
    sv_buf_init(&s, SIZE_MAX / 2);
    put_u64(&s, 200000);
    for (uint32_t i = 0; i < 200000; i++) {
        put_byte(&s, 0x50);
        put_byte(&s, i > 0);
        if (i > 0)
            put_u64(&s, i < 62 ? i - 1 : 61);
        put(&s, BYTES(0x5f, 0));
    }
    put_section(&b, 1, &s);
    assert_int_equal(decode_buf(&b, &err), SV_ELIMIT);
}

static void module_bytes(void **state)
{
    struct sv_types *types = sv_types_new();
    struct sv_err err = {0};
    struct sv_module *m = NULL;

    (void)state;
    /* refused by its length alone: nothing behind the header is read */
    assert_int_equal(sv_module_new(&err, types, (const uint8_t *)"\0asm\1\0\0\0",
                                   (size_t)SV_LIMIT_MODULE_BYTES + 1, NULL, NULL, &m),
                     SV_ELIMIT);
    sv_types_delete(types);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(at_and_above),
        cmocka_unit_test(supertype_sum),
        cmocka_unit_test(module_bytes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
