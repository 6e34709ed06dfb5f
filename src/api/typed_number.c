/* Numbers of typed calls: text to a number of a kind with its range, and back. No locale is asked
 * for its opinion. */
#include <errno.h>
#include <langinfo.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "api/typed.h"

#define NUMBER_TEXT_MAX 400          /* longer texts are no numbers */
#define EXACT_END 9007199254740992.0 /* 2^53: whole floats below are exact integers */

/* min and max as text, for messages; signed minimum and unsigned maximum. */
static const struct {
    const char *name, *range;
    uint8_t size, wasm;
    int64_t min;
    uint64_t max;
} kinds[SV_BINDGEN_COUNT] = {
    /* clang-format off */
    [SV_BINDGEN_I8] = {"i8", "is out of range for i8 (-128 to 127)", 1, SV_VAL_I32, INT8_MIN, INT8_MAX},
    [SV_BINDGEN_U8] = {"u8", "is out of range for u8 (0 to 255)", 1, SV_VAL_I32, 0, UINT8_MAX},
    [SV_BINDGEN_I16] = {"i16", "is out of range for i16 (-32768 to 32767)", 2, SV_VAL_I32, INT16_MIN, INT16_MAX},
    [SV_BINDGEN_U16] = {"u16", "is out of range for u16 (0 to 65535)", 2, SV_VAL_I32, 0, UINT16_MAX},
    [SV_BINDGEN_I32] = {"i32", "is out of range for i32 (-2147483648 to 2147483647)", 4, SV_VAL_I32, INT32_MIN, INT32_MAX},
    [SV_BINDGEN_U32] = {"u32", "is out of range for u32 (0 to 4294967295)", 4, SV_VAL_I32, 0, UINT32_MAX},
    [SV_BINDGEN_I64] = {"i64", "is out of range for i64 (-9223372036854775808 to 9223372036854775807)", 8, SV_VAL_I64, INT64_MIN, INT64_MAX},
    [SV_BINDGEN_U64] = {"u64", "is out of range for u64 (0 to 18446744073709551615)", 8, SV_VAL_I64, 0, UINT64_MAX},
    [SV_BINDGEN_F32] = {"f32", "is out of range for f32", 4, SV_VAL_F32, 0, 0},
    [SV_BINDGEN_F64] = {"f64", "is out of range for f64", 8, SV_VAL_F64, 0, 0},
    [SV_BINDGEN_BOOLEAN] = {"bool", "is not true or false", 1, SV_VAL_I32, 0, 1},
    [SV_BINDGEN_CHAR] = {"char", "is not a character", 4, SV_VAL_I32, 0, 0x10ffff},
    /* clang-format on */
};

unsigned sv_typed_kind_size(unsigned kind)
{
    return kinds[kind].size;
}

const char *sv_typed_kind_name(unsigned kind)
{
    return kinds[kind].name ? kinds[kind].name : "value";
}

enum sv_valkind sv_typed_kind_wasm(unsigned kind)
{
    return (enum sv_valkind)kinds[kind].wasm;
}

void sv_typed_narrow(unsigned kind, union sv_slot *v)
{
    unsigned bits = 8u * kinds[kind].size;

    if (kind > SV_BINDGEN_U16)
        return;
    v->i64 = v->i32 & ((1u << bits) - 1);
    /* Carry the sign bit up. */
    if (kinds[kind].min < 0 && (v->i32 >> (bits - 1)) != 0)
        v->i32 |= UINT32_MAX << bits;
}

static bool is_float(unsigned kind)
{
    return kind == SV_BINDGEN_F32 || kind == SV_BINDGEN_F64;
}

/* sign and magnitude to an integer kind */
static bool put_int(unsigned kind, bool negative, uint64_t v, union sv_slot *ret,
                    const char **ret_why)
{
    *ret_why = kinds[kind].range;
    if (negative && v > 0 && (kinds[kind].min == 0 || v > (uint64_t)0 - (uint64_t)kinds[kind].min))
        return false;
    if (!negative && v > kinds[kind].max)
        return false;
    if (kind == SV_BINDGEN_CHAR && v >= 0xd800 && v < 0xe000)
        return false;
    ret->i64 = negative ? 0 - v : v;
    if (kinds[kind].wasm == SV_VAL_I32)
        ret->i64 = ret->i32;
    return true;
}

static bool put_float(unsigned kind, double v, union sv_slot *ret, const char **ret_why)
{
    ret->i64 = 0;
    if (kind == SV_BINDGEN_F64) {
        ret->f64 = v;
        return true;
    }
    ret->f32 = (float)v;
    *ret_why = kinds[kind].range;
    return !isinf(ret->f32) || isinf(v);
}

bool sv_typed_from_int(unsigned kind, int64_t v, union sv_slot *ret, const char **ret_why)
{
    if (is_float(kind))
        return put_float(kind, (double)v, ret, ret_why);
    return put_int(kind, v < 0, v < 0 ? 0 - (uint64_t)v : (uint64_t)v, ret, ret_why);
}

bool sv_typed_from_float(unsigned kind, double v, union sv_slot *ret, const char **ret_why)
{
    if (is_float(kind))
        return put_float(kind, v, ret, ret_why);
    *ret_why = "is not a whole number";
    if (!isfinite(v) || v != floor(v))
        return false;
    *ret_why = "is too large to be exact: write all its digits";
    if (fabs(v) >= EXACT_END)
        return false;
    return put_int(kind, v < 0, (uint64_t)fabs(v), ret, ret_why);
}

/* [+-]digits or [+-]0xhex. False: not of that form; *ret_fits: it fits 64 bits. */
static bool scan_int(const char *s, size_t len, bool *ret_negative, uint64_t *ret, bool *ret_fits)
{
    size_t i = 0;
    unsigned base = 10;
    uint64_t v = 0;
    bool fits = true;

    *ret_negative = len > 0 && s[0] == '-';
    if (len > 0 && (s[0] == '-' || s[0] == '+'))
        i++;
    if (len - i > 2 && s[i] == '0' && (s[i + 1] | 0x20) == 'x') {
        base = 16;
        i += 2;
    }
    if (i == len)
        return false;
    for (; i < len; i++) {
        unsigned c = (unsigned char)s[i], lower = c | 0x20u, d;
        if (c >= '0' && c <= '9')
            d = c - '0';
        else if (lower >= 'a' && lower <= 'f')
            d = lower - 'a' + 10;
        else
            return false;
        if (d >= base)
            return false;
        if (v > (UINT64_MAX - d) / base)
            fits = false;
        v = v * base + d;
    }
    *ret = v;
    *ret_fits = fits;
    return true;
}

/* *ret_over: it is one, larger than any. */
static bool scan_float(const char *s, size_t len, double *ret, bool *ret_over)
{
    char copy[NUMBER_TEXT_MAX + 1];
    char *end;

    /* Only characters of a number: strtod would take blanks, nan(...) and hexadecimal floats too.
     */
    if (len == 0 || len > NUMBER_TEXT_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = s[i];
        if (!((c >= '0' && c <= '9') || (c != '\0' && strchr("+-.eEnaifNIty", c))))
            return false;
        copy[i] = c == '.' ? nl_langinfo(RADIXCHAR)[0] : c;
    }
    copy[len] = '\0';
    errno = 0;
    *ret = strtod(copy, &end);
    *ret_over = errno == ERANGE && isinf(*ret);
    return *end == '\0' && end != copy;
}

/* One character. */
static bool parse_char(const char *s, size_t len, union sv_slot *ret)
{
    const unsigned char *p = (const unsigned char *)s;
    uint32_t c;
    unsigned n;

    if (len == 0 || !sv_utf8_valid(s, len))
        return false;
    c = p[0];
    n = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if (n != len)
        return false;
    if (n > 1)
        c &= 0x7fu >> n;
    for (unsigned i = 1; i < n; i++)
        c = c << 6 | (p[i] & 0x3fu);
    ret->i64 = c;
    return true;
}

static bool parse_bool(const char *s, size_t len, union sv_slot *ret)
{
    static const char *const words[] = {"false", "true", "0", "1"};

    for (unsigned i = 0; i < 4; i++) {
        if (len == strlen(words[i]) && memcmp(s, words[i], len) == 0) {
            ret->i64 = i & 1;
            return true;
        }
    }
    return false;
}

bool sv_typed_parse(unsigned kind, const char *text, size_t len, union sv_slot *ret,
                    const char **ret_why)
{
    bool negative, fits, over = false;
    uint64_t v;
    double d;

    *ret_why = kinds[kind].range;
    if (kind == SV_BINDGEN_CHAR)
        return parse_char(text, len, ret);
    if (kind == SV_BINDGEN_BOOLEAN)
        return parse_bool(text, len, ret);
    if (!is_float(kind) && scan_int(text, len, &negative, &v, &fits))
        return fits && put_int(kind, negative, v, ret, ret_why);
    *ret_why = "is not a number";
    if (!scan_float(text, len, &d, &over)) {
        if (!scan_int(text, len, &negative, &v, &fits) || !fits)
            return false;
        d = negative ? -(double)v : (double)v;
    }
    *ret_why = kinds[kind].range;
    if (over)
        return false;
    return sv_typed_from_float(kind, d, ret, ret_why);
}

static void print_float(struct sv_buf *b, double v, bool single, bool json)
{
    char text[64];
    char *radix;

    if (!isfinite(v)) {
        sv_buf_puts(b, json ? "null" : isnan(v) ? "NaN" : v < 0 ? "-Infinity" : "Infinity");
        return;
    }
    for (int digits = single ? 6 : 15; digits <= 17; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (single ? strtof(text, NULL) == (float)v : strtod(text, NULL) == v)
            break;
    }
    radix = strchr(text, nl_langinfo(RADIXCHAR)[0]);
    if (radix)
        *radix = '.';
    sv_buf_puts(b, text);
}

void sv_typed_print(struct sv_buf *b, unsigned kind, const union sv_slot *v, bool json)
{
    switch (kind) {
    case SV_BINDGEN_BOOLEAN:
        sv_buf_puts(b, v->i32 ? "true" : "false");
        break;
    case SV_BINDGEN_I64:
        sv_buf_printf(b, "%lld", (long long)v->s64);
        break;
    case SV_BINDGEN_U64:
        sv_buf_printf(b, "%llu", (unsigned long long)v->i64);
        break;
    case SV_BINDGEN_F32:
        print_float(b, (double)v->f32, true, json);
        break;
    case SV_BINDGEN_F64:
        print_float(b, v->f64, false, json);
        break;
    case SV_BINDGEN_U8:
    case SV_BINDGEN_U16:
    case SV_BINDGEN_U32:
        sv_buf_printf(b, "%u", v->i32);
        break;
    default:
        sv_buf_printf(b, "%d", v->s32);
    }
}

unsigned sv_typed_utf8(uint32_t c, char *ret)
{
    if (c < 0x80) {
        ret[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        ret[0] = (char)(0xc0 | c >> 6);
        ret[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c >= 0xd800 && c < 0xe000)
        return 0;
    if (c < 0x10000) {
        ret[0] = (char)(0xe0 | c >> 12);
        ret[1] = (char)(0x80 | (c >> 6 & 0x3f));
        ret[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    if (c > 0x10ffff)
        return 0;
    ret[0] = (char)(0xf0 | c >> 18);
    ret[1] = (char)(0x80 | (c >> 12 & 0x3f));
    ret[2] = (char)(0x80 | (c >> 6 & 0x3f));
    ret[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}
