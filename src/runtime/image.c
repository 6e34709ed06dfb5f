/* Layout, seal and checks of native images. Neither maps them nor looks into their parts. */
#include "runtime/image.h"

#include <stddef.h>
#include <string.h>

#include "base/alloc.h"
#include "wasm/binary.h"
#include "wasm/reader.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "images are read as they lie");
_Static_assert(sizeof(struct sv_image_id) == 168 && sizeof(struct sv_image_part) == 56 &&
                   offsetof(struct sv_image_header, parts) == 192 &&
                   sizeof(struct sv_image_header) == 192 + 56 * SV_IMAGE_PART_COUNT + SV_SHA256_LEN,
               "the layout of doc/format/image.md, without holes");
_Static_assert(sizeof(struct sv_image_header) <= SV_IMAGE_PAGE, "the header is in one page");

#define IMAGE_LEN_MAX ((uint64_t)1 << 40)
/* id, length in five bytes, length of the name, name */
#define SECTION_HEAD (1 + 5 + 1 + sizeof SV_IMAGE_SECTION - 1)

enum when { ALWAYS, INSTALL };
static const struct {
    const char *text;
    enum when when;
} part_rows[SV_IMAGE_PART_COUNT] = {
#define PART(name, text, when) {text, when},
    SV_IMAGE_PARTS(PART)
#undef PART
};

const char *sv_image_flag_text(unsigned bit)
{
    static const char *const texts[] = {
#define FLAG(name, bit, text) [bit] = (text),
        SV_IMAGE_FLAGS(FLAG)
#undef FLAG
    };

    return bit < SV_COUNT(texts) ? texts[bit] : NULL;
}

const char *sv_image_part_text(enum sv_image_part_kind kind)
{
    return part_rows[kind].text;
}

/* `len` is at most IMAGE_LEN_MAX: the sum does not wrap. */
static uint64_t whole_pages(uint64_t len)
{
    return (len + SV_IMAGE_PAGE - 1) & ~(uint64_t)(SV_IMAGE_PAGE - 1);
}

int sv_image_layout(struct sv_err *err, const struct sv_image_id *id,
                    const uint64_t part_len[SV_IMAGE_PART_COUNT], struct sv_image_header *ret)
{
    struct sv_image_header h = {.magic = SV_IMAGE_MAGIC,
                                .format_version = SV_IMAGE_VERSION,
                                .header_len = sizeof h,
                                .id = *id,
                                .image_len = SV_IMAGE_PAGE};

    for (uint32_t i = 0; i < SV_IMAGE_PART_COUNT; i++) {
        h.parts[i].kind = i;
        if (part_len[i] == 0)
            continue;
        if (part_len[i] > IMAGE_LEN_MAX - h.image_len)
            return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "image too large");
        h.parts[i].offset = h.image_len;
        h.parts[i].len = part_len[i];
        h.image_len += whole_pages(part_len[i]);
    }
    *ret = h;
    return 0;
}

/* With the length, so that damage to it is found without a key as well. */
static void part_digest(const uint8_t *bytes, const struct sv_image_part *part,
                        uint8_t ret[SV_SHA256_LEN])
{
    struct sv_sha256 s;

    sv_sha256_init(&s);
    sv_sha256_add(&s, bytes + part->offset, whole_pages(part->len));
    sv_sha256_add(&s, &part->len, sizeof part->len);
    sv_sha256_end(&s, ret);
}

static void header_mac(const struct sv_image_header *header, const uint8_t *key,
                       uint8_t ret[SV_SHA256_LEN])
{
    struct sv_image_header h = *header;
    struct sv_hmac m;

    memset(h.mac, 0, sizeof h.mac);
    sv_hmac_init(&m, key, SV_IMAGE_KEY_LEN);
    sv_hmac_add(&m, &h, sizeof h);
    sv_hmac_end(&m, ret);
}

void sv_image_seal(uint8_t *bytes, const uint8_t key[SV_IMAGE_KEY_LEN])
{
    struct sv_image_header h;

    memcpy(&h, bytes, sizeof h);
    for (size_t i = 0; i < SV_IMAGE_PART_COUNT; i++) {
        if (h.parts[i].len)
            part_digest(bytes, &h.parts[i], h.parts[i].digest);
    }
    header_mac(&h, key, h.mac);
    memcpy(bytes, &h, sizeof h);
}

static bool all_zero(const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    return len == 0 || (p[0] == 0 && memcmp(p, p + 1, len - 1) == 0);
}

static int damaged(struct sv_err *err, uint64_t offset, const char *what)
{
    return sv_fail(err, SV_EMALFORMED, offset, "damaged native image: %s", what);
}

static int foreign(struct sv_err *err, const char *what)
{
    return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET, "native image %s", what);
}

/* A name that may be printed, and zeros behind it to the end. */
static bool cpu_ok(const char cpu[SV_IMAGE_CPU_MAX])
{
    size_t len = strnlen(cpu, SV_IMAGE_CPU_MAX);

    for (size_t i = 0; i < len; i++) {
        if (cpu[i] < '!' || cpu[i] > '~')
            return false;
    }
    return len > 0 && len < SV_IMAGE_CPU_MAX && all_zero(cpu + len, SV_IMAGE_CPU_MAX - len);
}

/* Each part where sv_image_layout puts it: a table has one valid reading. */
static int check_parts(struct sv_err *err, const struct sv_image_header *h)
{
    uint64_t next = SV_IMAGE_PAGE;

    for (uint32_t i = 0; i < SV_IMAGE_PART_COUNT; i++) {
        const struct sv_image_part *part = &h->parts[i];
        uint64_t at = offsetof(struct sv_image_header, parts) + i * sizeof *part;

        if (part->kind != i || part->reserved != 0)
            return damaged(err, at, "bad kind of part");
        if (part->len == 0) {
            if (part->offset != 0 || !all_zero(part->digest, sizeof part->digest))
                return damaged(err, at, "empty part with a place");
            continue;
        }
        if (part->offset != next)
            return damaged(err, at, "part out of its place");
        if (part->len > h->image_len - next)
            return damaged(err, at, "part beyond the end");
        next += whole_pages(part->len);
    }
    if (next != h->image_len)
        return damaged(err, offsetof(struct sv_image_header, image_len), "bytes behind the parts");
    return 0;
}

static int check_expected(struct sv_err *err, const struct sv_image_id *id,
                          const struct sv_image_expect *expect)
{
    const struct sv_image_id *want = &expect->id;

    if (memcmp(id->build_id, want->build_id, sizeof id->build_id) != 0)
        return foreign(err, "made by another build of the engine");
    if (id->arch != want->arch)
        return foreign(err, "for another architecture");
    if (memcmp(id->wasm_digest, want->wasm_digest, sizeof id->wasm_digest) != 0)
        return foreign(err, "of another module");
    if ((id->flags ^ want->flags) & expect->flags_mask)
        return foreign(err, "made with other options");
    if (want->cpu[0] &&
        (memcmp(id->cpu, want->cpu, sizeof id->cpu) != 0 ||
         memcmp(id->features_digest, want->features_digest, sizeof id->features_digest) != 0))
        return foreign(err, "for another CPU");
    return 0;
}

int sv_image_check(struct sv_err *err, const void *bytes, size_t len,
                   const struct sv_image_expect *expect, struct sv_image_header *ret)
{
    uint8_t page[SV_IMAGE_PAGE];
    struct sv_image_header h;
    int r;

    if (len < sizeof page)
        return damaged(err, len, "unexpected end");
    memcpy(page, bytes, sizeof page);
    memcpy(&h, page, sizeof h);
    if (memcmp(h.magic, SV_IMAGE_MAGIC, sizeof h.magic) != 0)
        return damaged(err, 0, "bad magic");
    if (h.format_version != SV_IMAGE_VERSION)
        return foreign(err, "of another format version");
    if (h.header_len != sizeof h)
        return damaged(err, offsetof(struct sv_image_header, header_len), "bad length of header");
    if (h.image_len != len || len % SV_IMAGE_PAGE != 0 || h.image_len > IMAGE_LEN_MAX)
        return damaged(err, offsetof(struct sv_image_header, image_len), "bad length");
    if (!cpu_ok(h.id.cpu))
        return damaged(err, offsetof(struct sv_image_header, id.cpu), "bad name of the CPU");
    if (h.id.flags & ~(uint32_t)SV_IMAGE_ALL_FLAGS)
        return damaged(err, offsetof(struct sv_image_header, id.flags), "unknown flags");
    if (!all_zero(page + sizeof h, sizeof page - sizeof h))
        return damaged(err, sizeof h, "bytes behind the header");
    r = check_parts(err, &h);
    if (r < 0)
        return r;
    if (expect) {
        r = check_expected(err, &h.id, expect);
        if (r < 0)
            return r;
    }
    *ret = h;
    return 0;
}

int sv_image_verify(struct sv_err *err, const void *bytes, const struct sv_image_header *header,
                    const uint8_t *key, enum sv_image_depth depth)
{
    uint8_t found[SV_SHA256_LEN];

    if (key) {
        header_mac(header, key, found);
        if (!sv_secret_eq(found, header->mac, sizeof found))
            return foreign(err, "not made by this installation");
    }
    for (size_t i = 0; i < SV_IMAGE_PART_COUNT; i++) {
        const struct sv_image_part *part = &header->parts[i];

        if (part->len == 0 || (part_rows[i].when == INSTALL && depth != SV_IMAGE_ENTIRE))
            continue;
        part_digest(bytes, part, found);
        if (!sv_secret_eq(found, part->digest, sizeof found))
            return sv_fail(err, SV_EMALFORMED, part->offset, "damaged native image: changed '%s'",
                           part_rows[i].text);
    }
    return 0;
}

/* Step over a section whose body is in the file; *ret_name is the name of a custom one. */
static bool read_section(struct sv_reader *r, const uint8_t **ret_end, struct sv_str *ret_name)
{
    struct sv_reader body;
    uint32_t size, name_len;
    uint8_t id;

    *ret_name = (struct sv_str){0};
    if (!sv_read_u8(r, &id) || !sv_read_u32(r, &size))
        return false;
    body = *r;
    if (!sv_read_skip(r, size))
        return false;
    *ret_end = r->p;
    body.end = r->p;
    if (id != SV_SECTION_CUSTOM)
        return true;
    if (!sv_read_u32(&body, &name_len) || !sv_read_skip(&body, name_len))
        return false;
    *ret_name = (struct sv_str){(const char *)body.p - name_len, name_len};
    return true;
}

bool sv_image_find(const uint8_t *file, size_t len, struct sv_image_place *ret)
{
    struct sv_reader r = {.p = file, .end = file + len, .base = file};
    struct sv_str name = {0};
    const uint8_t *section = NULL, *end;
    uint64_t offset;

    if (len < 8 || memcmp(file, "\0asm\1\0\0\0", 8) != 0)
        return false;
    r.p += 8;
    while (sv_reader_left(&r)) {
        section = r.p;
        if (!read_section(&r, &end, &name))
            return false;
    }
    if (!sv_str_eq(name, sv_str_of(SV_IMAGE_SECTION)))
        return false;
    offset = whole_pages((uint64_t)(name.ptr + name.len - (const char *)file));
    if (offset > len)
        offset = len;
    *ret = (struct sv_image_place){.wasm_len = (size_t)(section - file), .offset = offset};
    if (all_zero(name.ptr + name.len, (size_t)((const char *)file + offset - name.ptr) - name.len))
        ret->len = len - offset;
    return true;
}

int sv_image_wrap(struct sv_err *err, size_t wasm_len, size_t image_len, struct sv_buf *ret)
{
    uint64_t start = (uint64_t)wasm_len + SECTION_HEAD;
    uint64_t body, padding;
    uint8_t head[SECTION_HEAD] = {SV_SECTION_CUSTOM};

    if (wasm_len > UINT32_MAX || image_len > UINT32_MAX - 2 * SV_IMAGE_PAGE)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "image too large for a section");
    padding = whole_pages(start) - start;
    body = SECTION_HEAD - 6 + padding + image_len;
    for (int i = 0; i < 5; i++)
        head[1 + i] = (uint8_t)(body >> 7 * i & 0x7f) | (i < 4 ? 0x80 : 0);
    head[6] = sizeof SV_IMAGE_SECTION - 1;
    memcpy(head + 7, SV_IMAGE_SECTION, sizeof SV_IMAGE_SECTION - 1);
    if (!sv_buf_append(ret, head, sizeof head) || !sv_buf_reserve(ret, padding))
        return sv_fail_nomem(err, "the section of an image");
    for (; padding; padding--)
        sv_buf_putc(ret, '\0');
    return 0;
}
