/* PNG by libspng: every type and depth becomes eight bits of RGB. Alpha is dropped, gamma and
 * profiles are not looked at. */
#include <stdlib.h>

#include <spng.h>

#include "plugin/image.h"

/* Chunks that are not pixels (profiles, texts), unpacked: one, and all together. */
#define CHUNK_MAX ((size_t)4 << 20)
#define CHUNKS_MAX ((size_t)8 << 20)

struct decoder {
    spng_ctx *png;
    struct picture *picture;
    uint32_t w, h;
    bool interlaced;
    uint8_t *pixels; /* the picture when it is interlaced, else a row */
};

static int failed(struct decoder *d, int code)
{
    return picture_fail(d->picture, "not a PNG picture that can be read: %s", spng_strerror(code));
}

static int begin(struct decoder *d)
{
    struct spng_ihdr header;
    uint64_t hold;
    int r = spng_set_chunk_limits(d->png, CHUNK_MAX, CHUNKS_MAX);

    if (r == 0)
        r = spng_set_png_buffer(d->png, d->picture->bytes, d->picture->len);
    if (r == 0)
        r = spng_get_ihdr(d->png, &header);
    if (r != 0)
        return failed(d, r);
    d->w = header.width;
    d->h = header.height;
    d->interlaced = header.interlace_method != 0;
    if (picture_begin(d->picture, d->w, d->h) < 0)
        return -1;
    hold = (uint64_t)d->w * 3 * (d->interlaced ? d->h : 1);
    if (picture_hold(d->picture, hold + (uint64_t)d->w * 32 + CHUNKS_MAX) < 0)
        return -1;
    d->pixels = malloc((size_t)hold);
    if (!d->pixels)
        return picture_fail(d->picture, "out of memory for a picture");
    r = spng_decode_image(d->png, NULL, 0, SPNG_FMT_RGB8, SPNG_DECODE_PROGRESSIVE);
    return r == 0 ? 0 : failed(d, r);
}

static int decode(struct decoder *d)
{
    size_t row = (size_t)d->w * 3;
    int r = 0;

    while (r != SPNG_EOI) {
        struct spng_row_info info;
        uint8_t *to;

        if (picture_stopped(d->picture))
            return -1;
        r = spng_get_row_info(d->png, &info);
        if (r != 0)
            return failed(d, r);
        to = d->interlaced ? d->pixels + info.row_num * row : d->pixels;
        r = spng_decode_row(d->png, to, row);
        if (r != 0 && r != SPNG_EOI)
            return failed(d, r);
        if (!d->interlaced && !picture_row(d->picture, to))
            return -1;
    }
    for (uint32_t y = 0; d->interlaced && y < d->h; y++) {
        if (picture_stopped(d->picture) || !picture_row(d->picture, d->pixels + y * row))
            return -1;
    }
    return 0;
}

int picture_decode_png(struct picture *p)
{
    struct decoder d = {.png = spng_ctx_new(0), .picture = p};
    int r = d.png ? begin(&d) : picture_fail(p, "out of memory for a picture");

    if (r == 0)
        r = decode(&d);
    spng_ctx_free(d.png);
    free(d.pixels);
    return r;
}
