/* Native images against hostile bytes: cut anywhere, every bit of the header turned, tables that
 * lie, foreign versions, wrong keys; and the section of a module that carries one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <elf.h>

#include "base/alloc.h"
#include "runtime/image.h"

static const uint8_t key[SV_IMAGE_KEY_LEN] = "a key of thirty-two bytes, less";

static uint64_t random_state = 88172645463325252u;
static uint64_t next_random(void)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    return random_state ^= random_state << 17;
}

static struct sv_image_expect expected(void)
{
    struct sv_image_expect e = {
        .id = {.arch = EM_X86_64, .flags = SV_IMAGE_GUARD | SV_IMAGE_METERED, .cpu = "x86-64-v3"},
        .flags_mask = SV_IMAGE_ALL_FLAGS};

    memset(e.id.build_id, 0xb1, sizeof e.id.build_id);
    memset(e.id.wasm_digest, 0xd1, sizeof e.id.wasm_digest);
    memset(e.id.features_digest, 0xf1, sizeof e.id.features_digest);
    return e;
}

/* With parts of odd lengths, one of whole pages, and without names. */
static const uint64_t part_len[SV_IMAGE_PART_COUNT] = {
    [SV_IMAGE_TEXT] = 9001,  [SV_IMAGE_RODATA] = 4096, [SV_IMAGE_FUNCTIONS] = 1,
    [SV_IMAGE_THUNKS] = 100, [SV_IMAGE_TRAPS] = 4097,  [SV_IMAGE_LINES] = 4095,
    [SV_IMAGE_UNWIND] = 80,  [SV_IMAGE_FRAMES] = 16,   [SV_IMAGE_DATA] = 20000,
    [SV_IMAGE_DWARF] = 3,
};

static uint8_t *make(struct sv_image_header *ret)
{
    struct sv_image_expect e = expected();
    uint8_t *bytes;

    assert_int_equal(sv_image_layout(NULL, &e.id, part_len, ret), 0);
    bytes = calloc(1, ret->image_len);
    memcpy(bytes, ret, sizeof *ret);
    for (size_t i = 0; i < SV_IMAGE_PART_COUNT; i++) {
        for (uint64_t k = 0; k < part_len[i]; k++)
            bytes[ret->parts[i].offset + k] = (uint8_t)next_random();
    }
    sv_image_seal(bytes, key);
    memcpy(ret, bytes, sizeof *ret);
    return bytes;
}

/* Everything that is done before an image is used. */
static int judge(struct sv_err *err, const uint8_t *bytes, size_t len, enum sv_image_depth depth)
{
    struct sv_image_expect e = expected();
    struct sv_image_header h;
    int r = sv_image_check(err, bytes, len, &e, &h);

    return r < 0 ? r : sv_image_verify(err, bytes, &h, key, depth);
}

static void whole(void **state)
{
    struct sv_image_header h, checked;
    uint8_t *bytes = make(&h);
    struct sv_err err = {0};

    (void)state;
    assert_int_equal(judge(&err, bytes, h.image_len, SV_IMAGE_ENTIRE), 0);
    assert_int_equal(judge(&err, bytes, h.image_len, SV_IMAGE_BEFORE_USE), 0);
    assert_int_equal(sv_image_check(&err, bytes, h.image_len, NULL, &checked), 0);
    assert_memory_equal(&checked, &h, sizeof h);
    assert_int_equal(sv_image_verify(&err, bytes, &h, NULL, SV_IMAGE_ENTIRE), 0);
    assert_int_equal(h.image_len % SV_IMAGE_PAGE, 0);
    for (size_t i = 0; i < SV_IMAGE_PART_COUNT; i++) {
        assert_int_equal(h.parts[i].len, part_len[i]);
        assert_int_equal(h.parts[i].offset % SV_IMAGE_PAGE, 0);
        assert_true(strlen(sv_image_part_text((enum sv_image_part_kind)i)) > 0);
    }
    assert_string_equal(sv_image_flag_text(0), "guard");
    assert_null(sv_image_flag_text(32));
    free(bytes);
}

static void cut(void **state)
{
    struct sv_image_header h;
    uint8_t *bytes = make(&h);

    (void)state;
    for (size_t len = 0; len < h.image_len; len += 64) {
        uint8_t *part = malloc(len + 1); /* of its own, so that reading beyond it is seen */

        memcpy(part, bytes, len);
        part = realloc(part, len ? len : 1);
        assert_int_equal(judge(NULL, part, len, SV_IMAGE_ENTIRE), SV_EMALFORMED);
        free(part);
    }
    free(bytes);
}

/* Also longer ones: nothing may hide behind the parts. */
static void longer(void **state)
{
    struct sv_image_header h;
    uint8_t *bytes = make(&h);

    (void)state;
    bytes = realloc(bytes, h.image_len + 2 * SV_IMAGE_PAGE);
    memset(bytes + h.image_len, 0, 2 * SV_IMAGE_PAGE);
    assert_int_equal(judge(NULL, bytes, h.image_len + 1, SV_IMAGE_ENTIRE), SV_EMALFORMED);
    assert_int_equal(judge(NULL, bytes, h.image_len + SV_IMAGE_PAGE, SV_IMAGE_ENTIRE),
                     SV_EMALFORMED);
    h.image_len += SV_IMAGE_PAGE;
    memcpy(bytes, &h, sizeof h);
    sv_image_seal(bytes, key);
    assert_int_equal(judge(NULL, bytes, h.image_len, SV_IMAGE_ENTIRE), SV_EMALFORMED);
    free(bytes);
}

static void turned_header_bits(void **state)
{
    struct sv_image_header h;
    uint8_t *bytes = make(&h);
    struct sv_image_expect e = expected();

    (void)state;
    for (size_t bit = 0; bit < (size_t)8 * SV_IMAGE_PAGE; bit++) {
        size_t mac = offsetof(struct sv_image_header, mac);
        struct sv_image_header checked;

        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(judge(NULL, bytes, h.image_len, SV_IMAGE_BEFORE_USE) < 0);
        /* damage is found without the key as well, but where the MAC itself is damaged */
        if ((bit / 8 < mac || bit / 8 >= mac + sizeof h.mac) &&
            sv_image_check(NULL, bytes, h.image_len, &e, &checked) == 0)
            assert_true(sv_image_verify(NULL, bytes, &checked, NULL, SV_IMAGE_ENTIRE) < 0);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    free(bytes);
}

static void turned_part_bits(void **state)
{
    struct sv_image_header h;
    uint8_t *bytes = make(&h);

    (void)state;
    for (size_t i = SV_IMAGE_PAGE; i < h.image_len; i += 61) {
        uint64_t data = h.parts[SV_IMAGE_DATA].offset;
        int r;

        bytes[i] ^= (uint8_t)(1 << i % 8);
        assert_int_equal(judge(NULL, bytes, h.image_len, SV_IMAGE_ENTIRE), SV_EMALFORMED);
        /* data and what follows are looked at only when an image is installed */
        r = judge(NULL, bytes, h.image_len, SV_IMAGE_BEFORE_USE);
        assert_int_equal(r, i < data ? SV_EMALFORMED : 0);
        bytes[i] ^= (uint8_t)(1 << i % 8);
    }
    assert_int_equal(judge(NULL, bytes, h.image_len, SV_IMAGE_ENTIRE), 0);
    free(bytes);
}

static void foreign(void **state)
{
    static const struct {
        size_t offset;
        const char *text;
    } cases[] = {
        {offsetof(struct sv_image_header, format_version), "of another format version"},
        {offsetof(struct sv_image_header, id.build_id), "made by another build of the engine"},
        {offsetof(struct sv_image_header, id.wasm_digest) + 31, "of another module"},
        {offsetof(struct sv_image_header, id.arch), "for another architecture"},
        {offsetof(struct sv_image_header, id.flags), "made with other options"},
        {offsetof(struct sv_image_header, id.cpu) + 8, "for another CPU"},
        {offsetof(struct sv_image_header, id.features_digest) + 7, "for another CPU"},
    };
    struct sv_image_expect e = expected();
    struct sv_image_header h, checked;
    uint8_t *bytes = make(&h);

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        struct sv_err err = {0};

        /* sealed with our key: the MAC must not be what finds it */
        bytes[cases[i].offset] ^= 1;
        sv_image_seal(bytes, key);
        assert_int_equal(judge(&err, bytes, h.image_len, SV_IMAGE_BEFORE_USE), SV_EUNSUPPORTED);
        assert_non_null(strstr(err.text, cases[i].text));
        bytes[cases[i].offset] ^= 1;
    }
    /* options that the caller has no opinion on, and a CPU that he judges himself */
    sv_image_seal(bytes, key);
    e.id.flags ^= SV_IMAGE_METERED;
    e.flags_mask = SV_IMAGE_GUARD;
    e.id.cpu[0] = '\0';
    e.id.features_digest[0] ^= 1;
    assert_int_equal(sv_image_check(NULL, bytes, h.image_len, &e, &checked), 0);
    free(bytes);
}

static void wrong_key(void **state)
{
    struct sv_image_header h;
    uint8_t *bytes = make(&h), other[SV_IMAGE_KEY_LEN];
    struct sv_err err = {0};

    (void)state;
    for (size_t bit = 0; bit < 8 * sizeof other; bit++) {
        memcpy(other, key, sizeof other);
        other[bit / 8] ^= (uint8_t)(1 << bit % 8);
        sv_image_seal(bytes, other);
        assert_int_equal(judge(&err, bytes, h.image_len, SV_IMAGE_ENTIRE), SV_EUNSUPPORTED);
    }
    assert_non_null(strstr(err.text, "not made by this installation"));
    free(bytes);
}

/* Tables that lie, with a right MAC: what remains is the check of the structure. */
static void lying_tables(void **state)
{
#define AT(kind, field)                                                                            \
    (offsetof(struct sv_image_header, parts) + sizeof(struct sv_image_part) * (kind) +             \
     offsetof(struct sv_image_part, field))
    static const struct {
        size_t offset;
        unsigned size;
        uint64_t value;
    } cases[] = {
        {AT(SV_IMAGE_TEXT, len), 8, UINT64_MAX},
        {AT(SV_IMAGE_TEXT, len), 8, UINT64_MAX - SV_IMAGE_PAGE},
        {AT(SV_IMAGE_TEXT, len), 8, (uint64_t)1 << 63},
        {AT(SV_IMAGE_TEXT, len), 8, 0},
        {AT(SV_IMAGE_TEXT, len), 8, 9001 + SV_IMAGE_PAGE}, /* over the next one */
        {AT(SV_IMAGE_TEXT, len), 8, 1},                    /* a gap */
        {AT(SV_IMAGE_TEXT, offset), 8, 0},                 /* over the header */
        {AT(SV_IMAGE_TEXT, offset), 8, SV_IMAGE_PAGE + 1},
        {AT(SV_IMAGE_TEXT, offset), 8, UINT64_MAX - SV_IMAGE_PAGE + 1},
        {AT(SV_IMAGE_RODATA, offset), 8, SV_IMAGE_PAGE}, /* the text's place */
        {AT(SV_IMAGE_NAMES, offset), 8, SV_IMAGE_PAGE},  /* empty, and has a place */
        {AT(SV_IMAGE_NAMES, len), 8, 5},
        {AT(SV_IMAGE_NAMES, digest), 8, 1},
        {AT(SV_IMAGE_DWARF, len), 8, UINT64_MAX},
        {AT(SV_IMAGE_DWARF, len), 8, SV_IMAGE_PAGE + 1},
        {AT(SV_IMAGE_TEXT, kind), 4, SV_IMAGE_RODATA},
        {AT(SV_IMAGE_TEXT, kind), 4, UINT32_MAX},
        {AT(SV_IMAGE_TEXT, reserved), 4, 1},
        {offsetof(struct sv_image_header, header_len), 4, 0},
        {offsetof(struct sv_image_header, header_len), 4, UINT32_MAX},
        {offsetof(struct sv_image_header, image_len), 8, 0},
        {offsetof(struct sv_image_header, image_len), 8, UINT64_MAX},
        {offsetof(struct sv_image_header, id.flags), 4, UINT32_MAX},
        {offsetof(struct sv_image_header, id.cpu), 1, 0},    /* no name, yet a rest */
        {offsetof(struct sv_image_header, id.cpu), 1, 0x1b}, /* would reach a terminal */
        {offsetof(struct sv_image_header, id.cpu) + 63, 1, 'x'},
        {sizeof(struct sv_image_header), 1, 1},
        {SV_IMAGE_PAGE - 1, 1, 1},
    };
    struct sv_image_header h, checked;
    uint8_t *bytes = make(&h), page[SV_IMAGE_PAGE], mac[SV_SHA256_LEN];
    struct sv_hmac m;

    (void)state;
    memcpy(page, bytes, sizeof page);
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        memcpy(bytes, page, sizeof page);
        memcpy(bytes + cases[i].offset, &cases[i].value, cases[i].size);
        memset(bytes + offsetof(struct sv_image_header, mac), 0, sizeof mac);
        sv_hmac_init(&m, key, sizeof key);
        sv_hmac_add(&m, bytes, sizeof h);
        sv_hmac_end(&m, mac);
        memcpy(bytes + offsetof(struct sv_image_header, mac), mac, sizeof mac);
        assert_int_equal(judge(NULL, bytes, h.image_len, SV_IMAGE_ENTIRE), SV_EMALFORMED);
        assert_int_equal(sv_image_check(NULL, bytes, h.image_len, NULL, &checked), SV_EMALFORMED);
    }
    free(bytes);
}

/* Random words anywhere in the header: whatever is accepted lies inside. */
static void mutated(void **state)
{
    static const uint64_t words[] = {0, 1, 0xff, 4095, 4096, 4097, UINT32_MAX, UINT64_MAX - 4095};
    struct sv_image_header h, checked;
    uint8_t *bytes = make(&h), page[SV_IMAGE_PAGE];
    unsigned accepted = 0;

    (void)state;
    memcpy(page, bytes, sizeof page);
    for (int round = 0; round < 100000; round++) {
        uint64_t r = next_random();
        size_t at = r % (sizeof h - 8);

        memcpy(bytes, page, sizeof page);
        memcpy(bytes + (r >> 60 ? at & ~(size_t)7 : at), &words[r >> 40 & 7], 8);
        if (sv_image_check(NULL, bytes, h.image_len, NULL, &checked) < 0)
            continue;
        accepted++;
        for (size_t i = 0; i < SV_IMAGE_PART_COUNT; i++) {
            assert_true(checked.parts[i].offset <= h.image_len);
            assert_true(checked.parts[i].len <= h.image_len - checked.parts[i].offset);
        }
    }
    assert_true(accepted > 0);
    free(bytes);
}

static void layout_limits(void **state)
{
    struct sv_image_expect e = expected();
    uint64_t len[SV_IMAGE_PART_COUNT] = {0};
    struct sv_image_header h;

    (void)state;
    assert_int_equal(sv_image_layout(NULL, &e.id, len, &h), 0);
    assert_int_equal(h.image_len, SV_IMAGE_PAGE);
    len[SV_IMAGE_DATA] = UINT64_MAX;
    assert_int_equal(sv_image_layout(NULL, &e.id, len, &h), SV_ELIMIT);
    for (size_t i = 0; i < SV_IMAGE_PART_COUNT; i++)
        len[i] = (uint64_t)1 << 62;
    assert_int_equal(sv_image_layout(NULL, &e.id, len, &h), SV_ELIMIT);
}

static const uint8_t module[] = {0, 'a', 's', 'm', 1, 0, 0, 0, /* and a custom section: */
                                 0, 3,   1,   'x', 9};

/* A module, filled up to `wasm_len`, with an image behind it. */
static uint8_t *universal(size_t wasm_len, const uint8_t *image, size_t image_len, size_t *ret_len)
{
    struct sv_buf b;
    size_t fill = wasm_len - 8;

    sv_buf_init(&b, SIZE_MAX - 1);
    sv_buf_append(&b, module, 8);
    if (fill) {
        assert_true(fill >= 8);
        sv_buf_putc(&b, 0);
        for (int i = 0; i < 5; i++)
            sv_buf_putc(&b, (char)((fill - 6) >> 7 * i & 0x7f) | (i < 4 ? '\x80' : '\0'));
        sv_buf_puts(&b, "\1x");
        while (b.len < wasm_len)
            sv_buf_putc(&b, 'f');
    }
    assert_int_equal(sv_image_wrap(NULL, wasm_len, image_len, &b), 0);
    assert_int_equal(b.len % SV_IMAGE_PAGE, 0);
    sv_buf_append(&b, image, image_len);
    return (uint8_t *)sv_buf_take(&b, ret_len);
}

static void section(void **state)
{
    struct sv_image_header h;
    uint8_t *image = make(&h);
    struct sv_image_place place;

    (void)state;
    for (size_t wasm_len = 8; wasm_len < 9000; wasm_len += wasm_len < 16 ? 8 : 23) {
        size_t len;
        uint8_t *file = universal(wasm_len, image, h.image_len, &len);

        assert_true(sv_image_find(file, len, &place));
        assert_int_equal(place.wasm_len, wasm_len);
        assert_int_equal(place.len, h.image_len);
        assert_int_equal(place.offset % SV_IMAGE_PAGE, 0);
        assert_int_equal(judge(NULL, file + place.offset, place.len, SV_IMAGE_ENTIRE), 0);
        file[place.offset - 1] = 1; /* what lies between has to be zeros */
        assert_true(sv_image_find(file, len, &place));
        assert_int_equal(place.len, 0);
        sv_free(file);
    }
    free(image);
}

static void other_sections(void **state)
{
    struct sv_image_place place;
    uint8_t image[64] = {0}, *file, *longer_file;
    size_t len;

    (void)state;
    assert_false(sv_image_find(module, sizeof module, &place));
    assert_false(sv_image_find(module, 8, &place));
    for (size_t n = 0; n < sizeof module; n++)
        assert_false(sv_image_find(module, n, &place));
    file = universal(8, image, sizeof image, &len);
    for (size_t n = 0; n < len; n++) { /* a file that was cut is no module any more */
        uint8_t *part = malloc(n ? n : 1);

        memcpy(part, file, n);
        assert_false(sv_image_find(part, n, &place));
        free(part);
    }
    /* not the last one: what follows is of the module, so the section cannot be ours */
    longer_file = malloc(len + 5);
    memcpy(longer_file, file, len);
    memcpy(longer_file + len, module + 8, 5);
    assert_false(sv_image_find(longer_file, len + 5, &place));
    free(longer_file);
    for (size_t bit = 0; bit < 8 * 40; bit++) { /* the magic number, the head of the section */
        file[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (sv_image_find(file, len, &place))
            assert_true(place.wasm_len <= len && place.offset <= len &&
                        place.len <= len - place.offset);
        file[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    sv_free(file);
}

/* A section so short that the image would begin behind its end. */
static void short_section(void **state)
{
    static const uint8_t file[] = {0,   'a', 's', 'm', 1,   0,   0,   0,   0,   13,  11, 's',
                                   's', 'v', 'm', '.', 'n', 'a', 't', 'i', 'v', 'e', 0};
    struct sv_image_place place = {0};
    struct sv_buf b;

    (void)state;
    assert_true(sv_image_find(file, sizeof file, &place));
    assert_int_equal(place.wasm_len, 8);
    assert_int_equal(place.len, 0);
    assert_true(place.offset <= sizeof file);
    sv_buf_init(&b, SIZE_MAX - 1);
    assert_int_equal(sv_image_wrap(NULL, 8, UINT32_MAX, &b), SV_ELIMIT);
    assert_int_equal(sv_image_wrap(NULL, (size_t)UINT32_MAX + 1, 64, &b), SV_ELIMIT);
    sv_buf_init(&b, 100);
    assert_int_equal(sv_image_wrap(NULL, 8, 64, &b), SV_ENOMEM);
    sv_buf_release(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(cut),
        cmocka_unit_test(longer),
        cmocka_unit_test(turned_header_bits),
        cmocka_unit_test(turned_part_bits),
        cmocka_unit_test(foreign),
        cmocka_unit_test(wrong_key),
        cmocka_unit_test(lying_tables),
        cmocka_unit_test(mutated),
        cmocka_unit_test(layout_limits),
        cmocka_unit_test(section),
        cmocka_unit_test(other_sections),
        cmocka_unit_test(short_section),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
