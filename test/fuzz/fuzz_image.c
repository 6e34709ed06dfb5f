/* libFuzzer: any bytes as a picture, in any size. Twice the same result; a stop is obeyed. */
#include <stdlib.h>
#include <string.h>

#include "ssvm_image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int later(void *left)
{
    return (*(int *)left)-- <= 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct ssvm_image_limits limits = {2048, 1 << 20, 16 << 20};
    const struct ssvm_image *image = ssvm_image();
    char error[SSVM_IMAGE_ERROR_MAX], again[SSVM_IMAGE_ERROR_MAX];
    uint32_t w = size > 0 ? 1 + data[size - 1] % 64 : 1, h = size > 1 ? 1 + data[size - 2] % 64 : 1;
    size_t len = (size_t)w * h * 3;
    uint8_t *a = malloc(len), *b = malloc(len);
    int left = 100, never = 1 << 30, r;

    r = image->decode(data, size, SSVM_IMAGE_ANY, &limits, later, &left, w, h, a, error);
    if (r == 0) {
        if (image->decode(data, size, SSVM_IMAGE_ANY, &limits, later, &never, w, h, b, again) !=
                0 ||
            memcmp(a, b, len) != 0)
            abort();
    } else if (r != -1 || error[0] == 0) {
        abort();
    }
    free(a);
    free(b);
    return 0;
}
