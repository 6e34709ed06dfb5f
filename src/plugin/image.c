/* host-image.so: pictures become RGB of a wanted size. What is too large is refused by its header.
 */
#include "plugin/image.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <jpeglib.h>
#include <spng.h>

#define TEXT(x) TEXT_OF(x)
#define TEXT_OF(x) #x

int picture_fail(struct picture *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(p->error, SSVM_IMAGE_ERROR_MAX, fmt, ap);
    va_end(ap);
    return -1;
}

int picture_begin(struct picture *p, uint32_t w, uint32_t h)
{
    const struct ssvm_image_limits *l = p->limits;

    if (w == 0 || h == 0)
        return picture_fail(p, "a picture without pixels");
    if (w > l->max_side || h > l->max_side || (uint64_t)w * h > l->max_pixels)
        return picture_fail(p, "a picture of %u x %u pixels, which is too large", w, h);
    if (picture_hold(p, 0) < 0)
        return -1;
    p->resizer = resizer_new(w, h, p->w, p->h, p->ret);
    return p->resizer ? 0 : picture_fail(p, "out of memory for a picture");
}

int picture_hold(struct picture *p, uint64_t bytes)
{
    bytes += (uint64_t)p->w * 36; /* the resizer's */
    if (bytes <= p->limits->max_bytes)
        return 0;
    return picture_fail(p, "a picture that takes %llu bytes to decode, which is too much",
                        (unsigned long long)bytes);
}

bool picture_row(struct picture *p, const uint8_t *row)
{
    resizer_row(p->resizer, row);
    /* One row of a small picture may be very many of a large one. */
    while (resizer_next(p->resizer)) {
        if (picture_stopped(p))
            return false;
    }
    return true;
}

bool picture_stopped(struct picture *p)
{
    if (!p->stop || !p->stop(p->arg))
        return false;
    picture_fail(p, "stopped");
    return true;
}

static enum ssvm_image_format sniff(const uint8_t *bytes, size_t len)
{
    if (len >= 3 && memcmp(bytes, "\xff\xd8\xff", 3) == 0)
        return SSVM_IMAGE_JPEG;
    if (len >= 8 && memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) == 0)
        return SSVM_IMAGE_PNG;
    return SSVM_IMAGE_ANY;
}

static int decode(const void *bytes, size_t len, enum ssvm_image_format format,
                  const struct ssvm_image_limits *limits, int (*stop)(void *), void *arg,
                  uint32_t w, uint32_t h, uint8_t *ret, char *error)
{
    struct picture p = {bytes, len, limits, stop, arg, error, NULL, w, h, ret};
    enum ssvm_image_format found = sniff(bytes, len);
    int r;

    if (w == 0 || h == 0)
        return picture_fail(&p, "no pixels were asked for");
    if (w > limits->max_side || h > limits->max_side)
        return picture_fail(&p, "%u x %u pixels were asked for, which is too large", w, h);
    if (found == SSVM_IMAGE_ANY)
        return picture_fail(&p, "neither a JPEG nor a PNG picture");
    if (format != SSVM_IMAGE_ANY && format != found)
        return picture_fail(&p, "not a %s picture", format == SSVM_IMAGE_JPEG ? "JPEG" : "PNG");
    r = found == SSVM_IMAGE_JPEG ? picture_decode_jpeg(&p) : picture_decode_png(&p);
    resizer_delete(p.resizer);
    return r;
}

static const char *version(void)
{
    return "libjpeg-turbo " TEXT(LIBJPEG_TURBO_VERSION) ", libspng " TEXT(
        SPNG_VERSION_MAJOR) "." TEXT(SPNG_VERSION_MINOR) "." TEXT(SPNG_VERSION_PATCH);
}

const struct ssvm_image *ssvm_image(void)
{
    static const struct ssvm_image image = {SSVM_IMAGE_ABI, decode, version};

    return &image;
}
