/* From an image's header to native code: checks, then maps. What the checks are is image.c's, what
 * is mapped native.c's. */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "runtime/data_image.h"
#include "runtime/image.h"
#include "runtime/native.h"
#include "runtime/native_image.h"

static uint32_t form_of(uint32_t flags)
{
    return (flags & SV_IMAGE_GUARD ? 0 : (uint32_t)SV_NATIVE_CHECKED) |
           (flags & SV_IMAGE_METERED ? (uint32_t)SV_NATIVE_METERED : 0) |
           (flags & SV_IMAGE_DETERMINISTIC ? (uint32_t)SV_NATIVE_DETERMINISTIC : 0) |
           (flags & SV_IMAGE_EXCEPTIONS ? (uint32_t)SV_NATIVE_EXCEPTIONS : 0);
}

/* Where the parts are; false: they do not fit the module. */
static bool layout_of(const struct sv_image_header *h, const struct sv_module *m,
                      struct sv_native_layout *ret)
{
    const struct sv_image_part *p = h->parts;
    uint64_t table = (uint64_t)m->nfuncs * sizeof(uint32_t);

    if (p[SV_IMAGE_FUNCTIONS].len != table || p[SV_IMAGE_THUNKS].len != table ||
        p[SV_IMAGE_LINES].len % sizeof(struct sv_native_line) ||
        p[SV_IMAGE_UNWIND].len % sizeof(struct sv_native_unwind) ||
        p[SV_IMAGE_FRAMES].len % sizeof(struct sv_native_frame) || p[SV_IMAGE_TEXT].len == 0)
        return false;
    *ret = (struct sv_native_layout){
        .text = p[SV_IMAGE_TEXT].offset,
        .text_len = p[SV_IMAGE_TEXT].len,
        .entries = p[SV_IMAGE_FUNCTIONS].offset,
        .thunks = p[SV_IMAGE_THUNKS].offset,
        .lines = p[SV_IMAGE_LINES].offset,
        .nlines = p[SV_IMAGE_LINES].len / sizeof(struct sv_native_line),
        .unwind = p[SV_IMAGE_UNWIND].offset,
        .nunwind = p[SV_IMAGE_UNWIND].len / sizeof(struct sv_native_unwind),
        .frames = p[SV_IMAGE_FRAMES].offset,
        .nframes = p[SV_IMAGE_FRAMES].len / sizeof(struct sv_native_frame),
        .nfuncs = m->nfuncs,
        .flags = form_of(h->id.flags),
    };
    return true;
}

static int check(struct sv_err *err, const void *bytes, size_t len, const struct sv_module *m,
                 const uint8_t digest[SV_SHA256_LEN], const uint8_t *key,
                 enum sv_native_depth depth, enum sv_native_kind kind, struct sv_native_layout *ret,
                 struct sv_image_part *ret_data)
{
    struct sv_image_expect expect = {.flags_mask = SV_IMAGE_OSR | SV_IMAGE_COSTS,
                                     .id.flags = (kind == SV_NATIVE_LOOP ? SV_IMAGE_OSR : 0u) |
                                                 (m->costs ? (uint32_t)SV_IMAGE_COSTS : 0)};
    struct sv_image_header h;
    int r;

    sv_native_build_id(expect.id.build_id);
    memcpy(expect.id.wasm_digest, digest, SV_SHA256_LEN);
    expect.id.arch = SV_NATIVE_ARCH;
    r = sv_image_check(err, bytes, len, &expect, &h);
    if (r < 0)
        return r;
    if (!sv_native_cpu_fits(&h.id))
        return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET, "the image is for another CPU: '%.*s'",
                       (int)sizeof h.id.cpu, h.id.cpu);
    if (depth != SV_NATIVE_SEEN) {
        r = sv_image_verify(err, bytes, &h, key,
                            depth == SV_NATIVE_ENTIRE ? SV_IMAGE_ENTIRE : SV_IMAGE_BEFORE_USE);
        if (r < 0)
            return r;
    }
    if (!layout_of(&h, m, ret))
        return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET,
                       "the image's tables are not this module's");
    *ret_data = h.parts[SV_IMAGE_DATA];
    return 0;
}

int sv_native_open(struct sv_err *err, int fd, uint64_t at, size_t len, struct sv_module *m,
                   const uint8_t digest[SV_SHA256_LEN], const uint8_t *key,
                   enum sv_native_depth depth, enum sv_native_kind kind, own struct sv_native **ret)
{
    struct sv_native_layout layout;
    struct sv_image_part data;
    void *bytes = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, (off_t)at);
    int r;

    if (bytes == MAP_FAILED)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "the image cannot be mapped");
    r = check(err, bytes, len, m, digest, key, depth, kind, &layout, &data);
    munmap(bytes, len);
    if (r == 0)
        r = sv_native_map(err, fd, at, len, &layout, ret);
    if (r == 0 && data.len && depth != SV_NATIVE_CODE && data.len == sv_data_images_size(m))
        sv_data_images_use_file(m, fd, at + data.offset);
    return r;
}

int sv_native_new(struct sv_err *err, const void *bytes, size_t len, const struct sv_module *m,
                  const uint8_t digest[SV_SHA256_LEN], const uint8_t *key, enum sv_native_kind kind,
                  own struct sv_native **ret)
{
    struct sv_native_layout layout;
    struct sv_image_part data;
    int r = check(err, bytes, len, m, digest, key, SV_NATIVE_CODE, kind, &layout, &data);

    return r < 0 ? r : sv_native_from_memory(err, bytes, len, &layout, ret);
}
