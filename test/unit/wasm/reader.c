/* LEB128 numbers: every length and edge, against an encoder of its own; the checked and the
 * unchecked readers agree. */
#include "build.h"

#include "wasm/reader.h"

static struct sv_reader reader_of(const uint8_t *bytes, size_t n)
{
    return (struct sv_reader){.p = bytes, .end = bytes + n, .base = bytes};
}

/* `pad` more bytes than needed. */
static size_t encode_unsigned(uint64_t n, unsigned pad, uint8_t *out)
{
    size_t len = 0;

    do {
        out[len++] = (uint8_t)((n & 0x7f) | 0x80);
        n >>= 7;
    } while (n);
    for (; pad > 0; pad--)
        out[len++] = 0x80;
    out[len - 1] &= 0x7f;
    return len;
}

static size_t encode_signed(int64_t n, unsigned pad, uint8_t *out)
{
    size_t len = 0;
    bool negative = n < 0;

    for (;;) {
        uint8_t byte = n & 0x7f;

        n >>= 7;
        out[len++] = byte | 0x80;
        if ((n == 0 && !(byte & 0x40)) || (n == -1 && (byte & 0x40)))
            break;
    }
    for (; pad > 0; pad--)
        out[len++] = negative ? 0xff : 0x80;
    out[len - 1] &= 0x7f;
    return len;
}

static void unsigned_numbers(void **state)
{
    (void)state;
    for (unsigned bit = 0; bit < 64; bit++)
        for (int delta = -1; delta <= 1; delta++)
            for (unsigned pad = 0; pad < 10; pad++) {
                uint64_t n = (UINT64_C(1) << bit) + (uint64_t)(int64_t)delta, n64 = 1;
                uint32_t n32 = 1;
                uint8_t bytes[32];
                size_t len = encode_unsigned(n, pad, bytes);
                struct sv_reader r = reader_of(bytes, len);
                const uint8_t *p = bytes;

                assert_int_equal(sv_read_u64(&r, &n64), len <= 10);
                if (len <= 10) {
                    assert_true(n64 == n && r.p == bytes + len);
                    assert_true(sv_code_u64(&p) == n && p == bytes + len);
                } else
                    assert_string_equal(r.failure, "integer representation too long");
                r = reader_of(bytes, len);
                assert_int_equal(sv_read_u32(&r, &n32), len <= 5 && n <= UINT32_MAX);
                if (len <= 5 && n <= UINT32_MAX)
                    assert_true(n32 == n && r.p == bytes + len);
                for (size_t cut = 0; cut < len && len <= 10; cut++) {
                    r = reader_of(bytes, cut);
                    assert_false(sv_read_u64(&r, &n64));
                    assert_string_equal(r.failure, "unexpected end");
                }
            }
}

static bool fits(int64_t n, unsigned bits)
{
    return bits == 64 || (n >= -(INT64_C(1) << (bits - 1)) && n < INT64_C(1) << (bits - 1));
}

static void signed_numbers(void **state)
{
    static const unsigned widths[] = {32, 33, 64};

    (void)state;
    for (unsigned bit = 0; bit < 64; bit++)
        for (int delta = -1; delta <= 1; delta++)
            for (unsigned k = 0; k < 6; k++) {
                unsigned bits = widths[k / 2], max = (bits + 6) / 7;
                int64_t n = (int64_t)((UINT64_C(1) << bit) + (uint64_t)(int64_t)delta), ret = 0;

                if (k % 2)
                    n = (int64_t)(0 - (uint64_t)n);
                for (unsigned pad = 0; pad < 10; pad++) {
                    uint8_t bytes[32];
                    size_t len = encode_signed(n, pad, bytes);
                    struct sv_reader r = reader_of(bytes, len);
                    const uint8_t *p = bytes;
                    bool good = len <= max && fits(n, bits);

                    assert_int_equal(sv_read_signed(&r, bits, &ret), good);
                    if (good) {
                        assert_true(ret == n && r.p == bytes + len);
                        assert_true(sv_code_s64(&p) == n && p == bytes + len);
                    }
                }
            }
}

/* The unused bits of the last byte (spec 5.2.2). */
static void last_bytes(void **state)
{
    static const struct {
        uint8_t bytes[5];
        bool u32, s32, s33;
    } cases[] = {
        {{0xff, 0xff, 0xff, 0xff, 0x0f}, true, false, true},
        {{0xff, 0xff, 0xff, 0xff, 0x1f}, false, false, false},
        {{0xff, 0xff, 0xff, 0xff, 0x07}, true, true, true},
        {{0xff, 0xff, 0xff, 0xff, 0x7f}, false, true, true},
        {{0x80, 0x80, 0x80, 0x80, 0x78}, false, true, true},
        {{0x80, 0x80, 0x80, 0x80, 0x70}, false, false, true},
        {{0x80, 0x80, 0x80, 0x80, 0x60}, false, false, false},
        {{0x80, 0x80, 0x80, 0x80, 0x10}, false, false, false},
        {{0x80, 0x80, 0x80, 0x80, 0x08}, true, false, true},
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        struct sv_reader r;
        uint32_t u32;
        int64_t s;

        r = reader_of(cases[i].bytes, 5);
        assert_int_equal(sv_read_u32(&r, &u32), cases[i].u32);
        r = reader_of(cases[i].bytes, 5);
        assert_int_equal(sv_read_signed(&r, 32, &s), cases[i].s32);
        r = reader_of(cases[i].bytes, 5);
        assert_int_equal(sv_read_signed(&r, 33, &s), cases[i].s33);
    }
}

static void skipping(void **state)
{
    static const uint8_t bytes[4] = {1, 2, 3, 4};
    struct sv_reader r = reader_of(bytes, 4);
    uint8_t byte = 0;

    (void)state;
    assert_false(sv_read_skip(&r, 5));
    assert_false(sv_read_skip(&r, SIZE_MAX));
    assert_true(sv_read_skip(&r, 3));
    assert_true(sv_read_u8(&r, &byte));
    assert_int_equal(byte, 4);
    assert_false(sv_read_u8(&r, &byte));
    assert_true(sv_read_skip(&r, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsigned_numbers),
        cmocka_unit_test(signed_numbers),
        cmocka_unit_test(last_bytes),
        cmocka_unit_test(skipping),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
