/* Picture decoding for the host module `image`: what the plugin `host-image.so` (libjpeg-turbo,
 * libspng) gives. Plain C. */
#ifndef SSVM_IMAGE_H
#define SSVM_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#define SSVM_IMAGE_ABI 1
#define SSVM_IMAGE_ERROR_MAX 256

enum ssvm_image_format { SSVM_IMAGE_ANY = 0, SSVM_IMAGE_JPEG = 1, SSVM_IMAGE_PNG = 2 };

/* Limits against bombs: a picture beyond one of them is refused before its pixels are decoded. */
struct ssvm_image_limits {
    uint32_t max_side;   /* pixels, of what is wanted too */
    uint64_t max_pixels; /* width times height */
    uint64_t max_bytes;  /* that decoding may hold at once */
};

struct ssvm_image {
    uint32_t abi; /* SSVM_IMAGE_ABI */
    /* Decode `len` bytes, drop alpha, resize to w x h (bilinear in the sense of
     * doc/internals/image.md) and write w*h*3 bytes RGB to `ret`. `stop` (may be NULL) is asked now
     * and then; true ends the work. 0; -1: not such a picture, refused or stopped, with a message
     * in `error`; `ret` is then unspecified. Any thread. */
    int (*decode)(const void *bytes, size_t len, enum ssvm_image_format,
                  const struct ssvm_image_limits *, int (*stop)(void *), void *arg, uint32_t w,
                  uint32_t h, uint8_t *ret, char *error);
    const char *(*version)(void); /* of the libraries */
};

#define SSVM_IMAGE_SYMBOL "ssvm_image"
typedef const struct ssvm_image *ssvm_image_fn(void);
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const struct ssvm_image *ssvm_image(void);

#endif
