/* Decoding of damaged modules: every section, count, length and index space. Well-formed ones of
 * size are in limits.c, typing of bodies is in validate.c. */
#include "build.h"

#include "wasm/rec.h"

/* One of everything: types (a group with struct and array, a subtype), imports of all kinds,
 * tables, memories, tags, globals, exports, start, elements of all modes, data count, code, data.
 */
/* clang-format off */
static const uint8_t whole[] = {
    0, 'a', 's', 'm', 1, 0, 0, 0,
    1, 31, /* types */
        4,
        0x60, 0, 0,
        0x4e, 2, 0x50, 0, 0x5f, 1, 0x63, 2, 1,
        0x50, 0, 0x5e, 0x78, 1,
        0x50, 1, 1, 0x5f, 2, 0x63, 2, 1, 0x7f, 0,
        0x60, 0, 0,
    2, 37, /* imports: function, table, memory, global, tag */
        5,
        1, 'm', 1, 'f', 0, 0,
        1, 'm', 1, 't', 1, 0x70, 0, 1,
        1, 'm', 1, 'm', 2, 1, 1, 2,
        1, 'm', 1, 'g', 3, 0x7f, 0,
        1, 'm', 1, 'x', 4, 0, 0,
    3, 3, /* functions 1, 2 */
        2, 0, 0,
    4, 4, /* table 1 */
        1, 0x70, 0, 4,
    5, 3, /* memory 1 */
        1, 0, 1,
    13, 3, /* tag 1 */
        1, 0, 0,
    6, 11, /* globals 1, 2 */
        2,
        0x7f, 1, 0x23, 0, 0x0b,
        0x70, 0, 0xd2, 1, 0x0b,
    7, 9, /* exports */
        2,
        1, 'f', 0, 1,
        1, 'm', 2, 1,
    8, 1, /* start */
        2,
    9, 28, /* elements */
        4,
        0, 0x41, 0, 0x0b, 1, 1,
        1, 0, 1, 2,
        2, 1, 0x41, 0, 0x0b, 0, 1, 0,
        7, 0x70, 2, 0xd0, 0x70, 0x0b, 0xd2, 2, 0x0b,
    12, 1, /* data count */
        2,
    10, 15, /* code */
        2,
        4, 0, 0x10, 0, 0x0b,
        8, 1, 1, 0x7f, 0x20, 0, 0x1a, 0x01, 0x0b,
    11, 12, /* data */
        2,
        1, 2, 'h', 'i',
        2, 1, 0x41, 0, 0x0b, 1, 'x',
    0, 6, /* custom */
        1, 'c', 1, 2, 3, 4,
};
/* clang-format on */

static void whole_module(void **state)
{
    struct sv_err err = {0};

    (void)state;
    if (decode_bytes(whole, sizeof whole, &err, NULL) != 0)
        fail_msg("%s at 0x%llx", err.text, (unsigned long long)err.offset);
}

/* Offsets at which a section begins. */
static bool at_section(size_t offset)
{
    size_t at = 8;

    while (at < offset)
        at += 2 + whole[at + 1];
    return at == offset;
}

/* Cut anywhere: refused unless between sections (where code may be missing or not). Reads behind
 * the end show in ASan. */
static void cut(void **state)
{
    (void)state;
    for (size_t n = 0; n < sizeof whole; n++) {
        struct sv_err err = {0};
        int r = decode_bytes(whole, n, &err, NULL);

        if (n < 8 || !at_section(n)) {
            assert_int_equal(r, SV_EMALFORMED);
            assert_true(err.text[0] != '\0');
        }
    }
}

/* Every bit turned, every byte set to the extremes: any verdict, but one of the module's. */
static void turned_bits(void **state)
{
    static const uint8_t extremes[] = {0, 1, 0x7f, 0x80, 0xff};
    uint8_t copy[sizeof whole];

    (void)state;
    memcpy(copy, whole, sizeof whole);
    for (size_t i = 0; i < sizeof whole; i++) {
        for (unsigned k = 0; k < 8 + sizeof extremes; k++) {
            int r;

            copy[i] = k < 8 ? (uint8_t)(whole[i] ^ 1u << k) : extremes[k - 8];
            r = decode_bytes(copy, sizeof copy, NULL, NULL);
            assert_true(r == 0 || r == SV_EMALFORMED || r == SV_EINVALID || r == SV_ELIMIT ||
                        r == SV_EUNSUPPORTED);
        }
        copy[i] = whole[i];
    }
}

/* Each byte that is a count or length, as a five-byte number: the section grows with it. */
static void huge_counts(void **state)
{
    static const uint64_t numbers[] = {0x7ffffffe, 0x7fffffff, 0x80000000, 0xfffffffe, 0xffffffff};

    (void)state;
    for (size_t at = 8; at + 2 < sizeof whole; at += 2 + whole[at + 1])
        for (size_t i = at + 2; i < at + 2 + whole[at + 1]; i++)
            for (size_t k = 0; k < SV_COUNT(numbers); k++) {
                struct sv_err err = {0};
                struct sv_buf b, s;
                int r;

                sv_buf_init(&b, 4096);
                put(&b, whole, at);
                sv_buf_init(&s, 4096);
                put(&s, whole + at + 2, i - at - 2);
                put_u64(&s, numbers[k]);
                put(&s, whole + i + 1, at + 2 + whole[at + 1] - i - 1);
                put_section(&b, whole[at], &s);
                put(&b, whole + at + 2 + whole[at + 1], sizeof whole - at - 2 - whole[at + 1]);
                r = decode_buf(&b, &err);
                /* a custom section takes any bytes, an i32.const too; nothing runs out of memory */
                assert_true(r == 0 || r == SV_EMALFORMED || r == SV_EINVALID || r == SV_ELIMIT);
            }
}

struct bad_case {
    const char *text;
    const uint8_t *bytes;
    size_t len;
};

/* After the header. */
static const struct bad_case malformed[] = {
    {"malformed section id", BYTES(14, 0)},
    {"malformed section id", BYTES(0x7f, 0)},
    {"unexpected end", BYTES(1)},
    {"length out of bounds", BYTES(1, 1)},
    {"length out of bounds", BYTES(1, 0xff, 0xff, 0xff, 0xff, 0x0f, 0)},
    {"integer too large", BYTES(1, 0xff, 0xff, 0xff, 0xff, 0x1f, 0)},
    {"integer representation too long", BYTES(1, 0x80, 0x80, 0x80, 0x80, 0x80, 0)},
    {"section size mismatch", BYTES(1, 2, 0, 0)},
    {"section size mismatch", BYTES(1, 5, 1, 0x60, 0, 0, 0)},
    {"unexpected end", BYTES(1, 3, 1, 0x60, 0)},
    {"unexpected end", BYTES(1, 0)},
    {"unexpected content after last section", BYTES(1, 1, 0, 1, 1, 0)},
    {"unexpected content after last section", BYTES(3, 1, 0, 1, 1, 0)},
    {"unexpected content after last section", BYTES(6, 1, 0, 13, 1, 0)},
    {"unexpected content after last section", BYTES(10, 1, 0, 12, 1, 0)},
    {"malformed definition type", BYTES(1, 3, 1, 0x61, 0)},
    {"malformed value type", BYTES(1, 4, 1, 0x60, 1, 0x00)},
    {"malformed value type", BYTES(1, 5, 1, 0x60, 1, 0x78, 0)}, /* i8 is of fields only */
    {"malformed heap type", BYTES(1, 6, 1, 0x60, 1, 0x63, 0x40, 0)},
    {"malformed heap type", BYTES(1, 7, 1, 0x60, 1, 0x63, 0xf0, 0x7f, 0)}, /* func in two bytes */
    {"malformed mutability", BYTES(1, 5, 1, 0x5f, 1, 0x7f, 2)},
    {"malformed import kind", BYTES(2, 5, 1, 0, 0, 5, 0)},
    {"malformed UTF-8 encoding", BYTES(2, 6, 1, 1, 0xff, 0, 3, 0x7f)},
    {"malformed mutability", BYTES(2, 6, 1, 0, 0, 3, 0x7f, 2)},
    {"malformed limits flags", BYTES(5, 3, 1, 8, 0)},
    {"malformed limits flags", BYTES(4, 4, 1, 0x70, 2, 0)},
    {"malformed reference type", BYTES(4, 4, 1, 0x7f, 0, 0)},
    {"malformed tag attribute", BYTES(1, 4, 1, 0x60, 0, 0, 13, 3, 1, 1, 0)},
    {"malformed export kind", BYTES(7, 4, 1, 0, 5, 0)},
    {"malformed elements segment kind", BYTES(9, 4, 1, 8, 0, 0)},
    {"malformed element kind", BYTES(9, 4, 1, 1, 1, 0)},
    {"malformed data segment kind", BYTES(11, 3, 1, 3, 0)},
    {"unexpected end", BYTES(11, 4, 1, 1, 5, 0)},
    {"function and code section have inconsistent lengths", BYTES(1, 4, 1, 0x60, 0, 0, 3, 2, 1, 0)},
    {"function and code section have inconsistent lengths", BYTES(10, 4, 1, 2, 0, 0x0b)},
    {"data count and data section have inconsistent lengths", BYTES(12, 1, 1)},
    {"data count and data section have inconsistent lengths", BYTES(12, 1, 1, 11, 1, 0)},
    {"length out of bounds", BYTES(0, 1, 1)}, /* a custom section's name */
    {"unexpected end", BYTES(0, 0)},
    {"zero byte expected", BYTES(4, 7, 1, 0x40, 1, 0x70, 0, 0, 0x0b)},
    {"unexpected end", BYTES(6, 5, 1, 0x7f, 0, 0x41, 0)}, /* no `end` */
    {"illegal opcode", BYTES(6, 5, 1, 0x7f, 0, 0xff, 0x0b)},
};

static const struct bad_case invalid[] = {
    {"unknown type 0", BYTES(3, 2, 1, 0)},
    {"unknown type 1", BYTES(1, 5, 1, 0x60, 1, 0x63, 1)},
    {"unknown type", BYTES(1, 6, 1, 0x50, 1, 0, 0x5f, 0)},         /* its own supertype */
    {"unknown type 0", BYTES(1, 3, 1, 0x5f, 0, 3, 2, 1, 0)},       /* a struct as function type */
    {"sub type", BYTES(1, 9, 2, 0x60, 0, 0, 0x50, 1, 0, 0x5f, 0)}, /* final */
    {"sub type", BYTES(1, 11, 2, 0x50, 0, 0x60, 0, 0, 0x50, 1, 0, 0x5f, 0)}, /* another form */
    {"sub type",
     BYTES(1, 12, 2, 0x50, 0, 0x5f, 1, 0x7f, 0, 0x50, 1, 0, 0x5f, 0)}, /* fewer fields */
    {"size minimum must not be greater than maximum", BYTES(5, 4, 1, 1, 2, 1)},
    {"size minimum must not be greater than maximum", BYTES(4, 5, 1, 0x70, 1, 2, 1)},
    {"memory size must be at most 65536 pages", BYTES(5, 5, 1, 0, 0x81, 0x80, 4)},
    {"table size", BYTES(4, 8, 1, 0x70, 0, 0x80, 0x80, 0x80, 0x80, 0x10)},
    {"shared memory must have maximum", BYTES(5, 3, 1, 2, 1)},
    {"type mismatch", BYTES(4, 5, 1, 0x64, 0x70, 0, 1)}, /* non-null without initial value */
    {"non-empty tag result type", BYTES(1, 5, 1, 0x60, 0, 1, 0x7f, 13, 3, 1, 0, 0)},
    {"unknown function 0", BYTES(7, 4, 1, 0, 0, 0)},
    {"unknown table 0", BYTES(7, 4, 1, 0, 1, 0)},
    {"unknown memory 0", BYTES(7, 4, 1, 0, 2, 0)},
    {"unknown global 0", BYTES(7, 4, 1, 0, 3, 0)},
    {"unknown tag 0", BYTES(7, 4, 1, 0, 4, 0)},
    {"duplicate export name ''", BYTES(5, 3, 1, 0, 0, 7, 7, 2, 0, 2, 0, 0, 2, 0)},
    {"unknown function 0", BYTES(8, 1, 0)},
    {"start function", BYTES(1, 5, 1, 0x60, 1, 0x7f, 0, 2, 5, 1, 0, 0, 0, 0, 8, 1, 0)},
    {"unknown table 0", BYTES(9, 6, 1, 0, 0x41, 0, 0x0b, 0)},
    {"unknown function 0", BYTES(9, 5, 1, 1, 0, 1, 0)},
    {"unknown memory 0", BYTES(11, 6, 1, 0, 0x41, 0, 0x0b, 0)},
    {"type mismatch", BYTES(6, 6, 1, 0x7f, 0, 0x42, 0, 0x0b)}, /* i64 for i32 */
    {"constant expression required", BYTES(6, 6, 1, 0x7f, 0, 0x41, 0, 0x67)},
    {"unknown global 0", BYTES(6, 6, 1, 0x7f, 0, 0x23, 0, 0x0b)},
    {"constant expression required",
     BYTES(2, 6, 1, 0, 0, 3, 0x7f, 1, 6, 6, 1, 0x7f, 0, 0x23, 0, 0x0b)},
    {"unknown function 7", BYTES(6, 6, 1, 0x70, 0, 0xd2, 7, 0x0b)},
};

static void refused(const struct bad_case *cases, size_t n, int code)
{
    for (size_t i = 0; i < n; i++) {
        struct sv_err err = {0};
        struct sv_buf b;
        int r;

        put_header(&b);
        put(&b, cases[i].bytes, cases[i].len);
        r = decode_buf(&b, &err);
        if (r != code || strncmp(err.text, cases[i].text, strlen(cases[i].text)) != 0)
            fail_msg("case %zu: code %d '%s', expected %d '%s'", i, r, err.text, code,
                     cases[i].text);
        assert_true(err.has_offset);
    }
}

static void malformed_cases(void **state)
{
    (void)state;
    refused(malformed, SV_COUNT(malformed), SV_EMALFORMED);
}

static void invalid_cases(void **state)
{
    (void)state;
    refused(invalid, SV_COUNT(invalid), SV_EINVALID);
}

static void headers(void **state)
{
    static const struct {
        const char *text, *bytes;
        size_t len;
        int code;
    } cases[] = {
        {"unexpected end", "", 0, SV_EMALFORMED},
        {"unexpected end", "\0as", 3, SV_EMALFORMED},
        {"unexpected end", "\0asm\1\0\0", 7, SV_EMALFORMED},
        {"magic header not detected", "\0asM\1\0\0\0", 8, SV_EMALFORMED},
        {"magic header not detected", "#!/bin/sh\n", 10, SV_EMALFORMED},
        {"unknown binary version", "\0asm\2\0\0\0", 8, SV_EMALFORMED},
        {"unknown binary version", "\0asm\0\0\0\1", 8, SV_EMALFORMED},
        {"unknown binary version: this is a component", "\0asm\x0d\0\1\0", 8, SV_EUNSUPPORTED},
        {"unknown binary version: this is a component", "\0asm\x0e\0\1\0junk", 12, SV_EUNSUPPORTED},
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        struct sv_err err = {0};

        assert_int_equal(decode_bytes(cases[i].bytes, cases[i].len, &err, NULL), cases[i].code);
        assert_int_equal(strncmp(err.text, cases[i].text, strlen(cases[i].text)), 0);
    }
}

/* Damage in custom sections of known names is nobody's failure; any place and number of them is
 * allowed. */
static void custom_sections(void **state)
{
    static const char *const names[] = {"name",     "producers",   "metadata.code.branch_hint",
                                        "dylink.0", ".debug_info", "target_features",
                                        ""};

    (void)state;
    for (size_t i = 0; i < SV_COUNT(names); i++) {
        struct sv_types *types = sv_types_new();
        struct sv_module *m = NULL;
        struct sv_err err = {0};
        struct sv_buf b, s;

        put_header(&b);
        for (int place = 0; place < 3; place++) {
            sv_buf_init(&s, 4096);
            put_u64(&s, strlen(names[i]));
            put(&s, names[i], strlen(names[i]));
            put(&s, "\xff\xff\xff\xff\xff\xff\xff", (size_t)place * 3);
            put_section(&b, 0, &s);
            if (place == 0)
                put(&b, whole + 8, sizeof whole - 8);
        }
        if (sv_module_new(&err, types, b.data, b.len, NULL, NULL, &m) != 0)
            fail_msg("'%s': %s", names[i], err.text);
        assert_int_equal(m->ncustoms, 4);
        assert_non_null(sv_module_custom(m, sv_str_of(names[i])));
        assert_int_equal(sv_module_func_name(m, 1).len, 1); /* the export */
        assert_int_equal(sv_module_branch_hint(m, 1, 1), -1);
        sv_module_unref(m);
        sv_types_delete(types);
        sv_buf_release(&b);
    }
}

/* The index spaces hold imports first, whatever the mixture. */
static void index_spaces(void **state)
{
    struct sv_types *types = sv_types_new();
    struct sv_module *m = NULL;

    (void)state;
    assert_int_equal(sv_module_new(NULL, types, whole, sizeof whole, NULL, NULL, &m), 0);
    assert_int_equal(m->nfuncs, 3);
    assert_int_equal(m->funcs[0].body_offset, 0);
    assert_int_equal(m->bytes[m->funcs[1].body_offset + 1], 0x10);
    assert_int_equal(m->funcs[2].body_len, 8);
    assert_true(m->funcs[0].declared && m->funcs[1].declared && m->funcs[2].declared);
    assert_int_equal(m->ntables, 2);
    assert_int_equal(m->tables[0].type.limits.min, 1);
    assert_int_equal(m->tables[1].type.limits.min, 4);
    assert_int_equal(m->nmemories, 2);
    assert_int_equal(m->memories[0].limits.max, 2);
    assert_false(m->memories[1].limits.has_max);
    assert_int_equal(m->nglobals, 3);
    assert_true(m->globals[1].type.mut);
    assert_int_equal(m->globals[1].init.len, 3);
    assert_int_equal(m->ntags, 2);
    assert_int_equal(m->nelems, 4);
    assert_int_equal(m->elems[0].mode, SV_SEGMENT_ACTIVE);
    assert_int_equal(m->elems[1].mode, SV_SEGMENT_PASSIVE);
    assert_int_equal(m->elems[2].table, 1);
    assert_int_equal(m->elems[3].mode, SV_SEGMENT_DECLARATIVE);
    assert_int_equal(m->elems[3].len, 2);
    assert_int_equal(m->ndatas, 2);
    assert_int_equal(m->datas[1].memory, 1);
    assert_memory_equal(m->bytes + m->datas[0].bytes_offset, "hi", 2);
    assert_true(m->has_start);
    assert_int_equal(m->start, 2);
    assert_ptr_equal(sv_module_export(m, sv_str_of("m")), &m->exports[1]);
    assert_null(sv_module_export(m, sv_str_of("x")));
    assert_int_equal(sv_module_func_at(m, m->funcs[2].body_offset + 3), 2);
    assert_int_equal(sv_module_func_at(m, 8), UINT32_MAX);
    assert_true(m->features >> SV_FEATURE_GC & 1);
    assert_true(m->features >> SV_FEATURE_MULTI_MEMORY & 1);
    assert_false(m->features >> SV_FEATURE_SIMD & 1);
    sv_module_unref(m);
    assert_int_equal(sv_types_count(types), 0);
    sv_types_delete(types);
}

static unsigned released;

static void count_release(void *bytes, size_t len)
{
    (void)bytes;
    (void)len;
    released++;
}

/* The bytes are given back once, on failure too. */
static void ownership(void **state)
{
    struct sv_types *types = sv_types_new();
    struct sv_module *m = NULL;

    (void)state;
    released = 0;
    assert_int_equal(sv_module_new(NULL, types, whole, sizeof whole, count_release, NULL, &m), 0);
    sv_module_ref(m);
    sv_module_unref(m);
    assert_int_equal(released, 0);
    sv_module_unref(m);
    assert_int_equal(released, 1);
    assert_int_not_equal(
        sv_module_new(NULL, types, whole, sizeof whole - 1, count_release, NULL, &m), 0);
    assert_int_equal(released, 2);
    sv_module_unref(NULL);
    sv_types_delete(types);
}

/* A feature that is switched off is refused by name. */
static void features(void **state)
{
    struct sv_types *types = sv_types_new();
    struct sv_module *m = NULL;
    uint64_t used;

    (void)state;
    assert_int_equal(sv_module_new(NULL, types, whole, sizeof whole, NULL, NULL, &m), 0);
    used = m->features;
    sv_module_unref(m);
    sv_types_delete(types);
    for (unsigned f = SV_FEATURE_MVP + 1; f < SV_FEATURE_COUNT; f++) {
        struct sv_decode_options opts = {.features = sv_features_default & ~(UINT64_C(1) << f)};
        struct sv_err err = {0};
        int r;

        if (f == SV_FEATURE_EXN) /* tags belong to the legacy form too */
            opts.features &= ~(UINT64_C(1) << SV_FEATURE_LEGACY_EXN);
        r = decode_bytes(whole, sizeof whole, &err, &opts);
        assert_int_equal(r, used >> f & 1 ? SV_EUNSUPPORTED : 0);
        if (r)
            assert_non_null(strstr(err.text, sv_feature_name((enum sv_feature)f)));
    }
}

/* Every allocation fails once: a clean refusal and, under ASan, nothing left behind. Wants
 * SV_TORTURE. */
static void out_of_memory(void **state)
{
    unsigned long before = sv_alloc_count();

    (void)state;
    sv_free(sv_alloc(1));
    if (sv_alloc_count() == before)
        skip();
    for (unsigned long n = 1;; n++) {
        struct sv_types *types = sv_types_new();
        struct sv_module *m = NULL;
        struct sv_err err = {0};
        int r;

        assert_non_null(types);
        sv_alloc_fail_at(n);
        r = sv_module_new(&err, types, whole, sizeof whole, NULL, NULL, &m);
        if (r == 0) {
            (void)sv_module_func_name(m, 0);
            sv_alloc_fail_at(0);
            sv_module_unref(m);
        }
        sv_alloc_fail_at(0);
        assert_int_equal(sv_types_count(types), 0);
        sv_types_delete(types);
        if (r == 0 && n > 30)
            break;
        assert_true(r == 0 || r == SV_ENOMEM);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_module),    cmocka_unit_test(cut),
        cmocka_unit_test(turned_bits),     cmocka_unit_test(huge_counts),
        cmocka_unit_test(malformed_cases), cmocka_unit_test(invalid_cases),
        cmocka_unit_test(headers),         cmocka_unit_test(custom_sections),
        cmocka_unit_test(index_spaces),    cmocka_unit_test(ownership),
        cmocka_unit_test(features),        cmocka_unit_test(out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
