/* Values and patterns of the official scripts: reading arguments, judging results. */
#include <inttypes.h>

#include "runtime/gc.h"
#include "spec.h"

struct shape {
    const char *name;
    unsigned bytes;
    bool is_float;
};
static const struct shape shapes[] = {{"i8", 1, false},  {"i16", 2, false}, {"i32", 4, false},
                                      {"i64", 8, false}, {"f32", 4, true},  {"f64", 8, true}};

static const struct shape *shape_find(const char *name)
{
    for (size_t i = 0; name && i < SV_COUNT(shapes); i++) {
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    }
    return NULL;
}

static const char *text_of(const json_t *value, const char *key)
{
    const char *s = json_string_value(json_object_get(value, key));
    return s ? s : "";
}

/* Decimal, signed or unsigned, as bits. */
static bool read_bits(const char *s, uint64_t *ret)
{
    char *end;
    if (!s || !*s)
        return false;
    *ret = *s == '-' ? (uint64_t)strtoll(s, &end, 10) : strtoull(s, &end, 10);
    return *end == 0;
}

static uint64_t mask_of(unsigned bytes)
{
    return bytes == 8 ? UINT64_MAX : (UINT64_C(1) << bytes * 8) - 1;
}

static bool is_ref_type(const char *type)
{
    size_t n = strlen(type);
    return (n > 3 && strcmp(type + n - 3, "ref") == 0) || strcmp(type, "refnull") == 0;
}

unsigned value_read(const json_t *value, union sv_slot *ret)
{
    const char *type = text_of(value, "type");
    const json_t *body = json_object_get(value, "value");
    const struct shape *shape;
    uint64_t bits = 0;

    if (is_ref_type(type)) {
        const char *s = json_string_value(body);
        ret->i64 = 0;
        if (!s || strcmp(s, "null") == 0)
            return 1;
        if (!read_bits(s, &bits))
            return 0;
        ret->ref = sv_ref_host(bits);
        return 1;
    }
    if (strcmp(type, "v128") == 0) {
        unsigned char bytes[16] = {0};
        shape = shape_find(text_of(value, "lane_type"));
        if (!shape || json_array_size(body) != 16 / shape->bytes)
            return 0;
        for (size_t i = 0; i < json_array_size(body); i++) {
            if (!read_bits(json_string_value(json_array_get(body, i)), &bits))
                return 0;
            memcpy(bytes + i * shape->bytes, &bits, shape->bytes);
        }
        memcpy(ret, bytes, sizeof bytes);
        return 2;
    }
    shape = shape_find(type);
    if (!shape || !read_bits(json_string_value(body), &bits))
        return 0;
    /* Junk above 32 bits on purpose: callees must read through the right member. */
    ret->i64 = shape->bytes == 4 ? (bits & 0xffffffffu) | UINT64_C(0xdeadbeef) << 32 : bits;
    return 1;
}

static bool nan_matches(const char *pattern, unsigned bytes, uint64_t bits)
{
    uint64_t quiet = bytes == 4 ? UINT64_C(0x7fc00000) : UINT64_C(0x7ff8000000000000);
    uint64_t sign = UINT64_C(1) << (bytes * 8 - 1);

    if (strcmp(pattern, "nan:canonical") == 0)
        return (bits & ~sign) == quiet;
    return strcmp(pattern, "nan:arithmetic") == 0 && (bits & quiet) == quiet;
}

static bool number_matches(const char *pattern, const struct shape *shape, uint64_t bits)
{
    uint64_t want, mask = mask_of(shape->bytes);

    if (!pattern)
        return false;
    if (shape->is_float && strncmp(pattern, "nan:", 4) == 0)
        return nan_matches(pattern, shape->bytes, bits & mask);
    return read_bits(pattern, &want) && (want & mask) == (bits & mask);
}

static bool vector_matches(const json_t *expected, const union sv_slot *got)
{
    const struct shape *shape = shape_find(text_of(expected, "lane_type"));
    const json_t *lanes = json_object_get(expected, "value");
    unsigned char bytes[16];

    if (!shape || json_array_size(lanes) != 16 / shape->bytes)
        return false;
    memcpy(bytes, got, sizeof bytes);
    for (size_t i = 0; i < json_array_size(lanes); i++) {
        uint64_t bits = 0;
        memcpy(&bits, bytes + i * shape->bytes, shape->bytes);
        if (!number_matches(json_string_value(json_array_get(lanes, i)), shape, bits))
            return false;
    }
    return true;
}

/* A reference without a value: any that is not null and of that kind. */
static bool ref_is(const char *type, sv_ref r)
{
    bool object = sv_ref_is_object(r);
    const struct sv_object *o = object ? (const struct sv_object *)(uintptr_t)r : NULL;

    if (r == SV_REF_NULL)
        return false;
    if (strcmp(type, "i31ref") == 0)
        return sv_ref_is_i31(r);
    if (strcmp(type, "structref") == 0)
        return object && !(o->flags & (SV_OBJECT_ARRAY | SV_OBJECT_EXN));
    if (strcmp(type, "arrayref") == 0)
        return object && (o->flags & SV_OBJECT_ARRAY);
    if (strcmp(type, "eqref") == 0)
        return object || sv_ref_is_i31(r);
    if (strcmp(type, "exnref") == 0)
        return object && (o->flags & SV_OBJECT_EXN);
    return true;
}

static bool ref_matches(const json_t *expected, const char *type, sv_ref got)
{
    static const char *const nulls[] = {"refnull", "nullref", "nullfuncref", "nullexternref",
                                        "nullexnref"};
    const char *value = json_string_value(json_object_get(expected, "value"));
    uint64_t bits;

    for (size_t i = 0; i < SV_COUNT(nulls); i++) {
        if (strcmp(type, nulls[i]) == 0)
            return got == SV_REF_NULL;
    }
    if (!value)
        return ref_is(type, got);
    if (strcmp(value, "null") == 0)
        return got == SV_REF_NULL;
    return read_bits(value, &bits) && sv_ref_is_host(got) && sv_ref_host_payload(got) == bits;
}

/* Is the result's type one that an expectation of this name may have? */
static bool type_agrees(const char *name, sv_valtype type)
{
    static const char *const kinds[SV_VAL_COUNT] = {[SV_VAL_I32] = "i32",
                                                    [SV_VAL_I64] = "i64",
                                                    [SV_VAL_F32] = "f32",
                                                    [SV_VAL_F64] = "f64",
                                                    [SV_VAL_V128] = "v128"};
    const char *kind = kinds[sv_valtype_kind(type)];
    return kind ? strcmp(kind, name) == 0 : sv_valtype_is_ref(type) && is_ref_type(name);
}

bool value_matches(const json_t *expected, sv_valtype type, const union sv_slot *got)
{
    const char *name = text_of(expected, "type");

    if (strcmp(name, "either") == 0) {
        const json_t *values = json_object_get(expected, "values");
        for (size_t i = 0; i < json_array_size(values); i++) {
            if (value_matches(json_array_get(values, i), type, got))
                return true;
        }
        return false;
    }
    if (!type_agrees(name, type))
        return false;
    if (is_ref_type(name))
        return ref_matches(expected, name, got->ref);
    if (strcmp(name, "v128") == 0)
        return vector_matches(expected, got);
    return number_matches(json_string_value(json_object_get(expected, "value")), shape_find(name),
                          got->i64);
}

void value_print(struct sv_buf *buf, const json_t *expected)
{
    char *s = json_dumps(expected, JSON_COMPACT | JSON_ENCODE_ANY);
    sv_buf_puts(buf, s ? s : "?");
    free(s);
}

void value_print_slots(struct sv_buf *buf, sv_valtype type, const union sv_slot *got)
{
    switch (sv_valtype_kind(type)) {
    case SV_VAL_I32:
        sv_buf_printf(buf, "i32 %" PRId32, got->s32);
        break;
    case SV_VAL_I64:
        sv_buf_printf(buf, "i64 %" PRId64, got->s64);
        break;
    case SV_VAL_F32:
        sv_buf_printf(buf, "f32 %" PRIu32 " (%.9g)", got->i32, (double)got->f32);
        break;
    case SV_VAL_F64:
        sv_buf_printf(buf, "f64 %" PRIu64 " (%.17g)", got->i64, got->f64);
        break;
    case SV_VAL_V128:
        sv_buf_printf(buf, "v128 0x%016" PRIx64 "%016" PRIx64, got[1].i64, got[0].i64);
        break;
    default:
        sv_buf_printf(buf, "reference 0x%" PRIx64, got->ref);
    }
}
