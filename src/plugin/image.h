/* The parts of host-image.so: two decoders that hand over rows, and the resizer that takes them. */
#ifndef PLUGIN_IMAGE_H
#define PLUGIN_IMAGE_H

#include <stdbool.h>

#include "ssvm_image.h"

/* One picture on its way. */
struct picture {
    const uint8_t *bytes;
    size_t len;
    const struct ssvm_image_limits *limits;
    int (*stop)(void *);
    void *arg;
    char *error;
    struct resizer *resizer;
    uint32_t w, h; /* wanted */
    uint8_t *ret;
};

/* Both: 0, or -1 with a message. */
int picture_decode_jpeg(struct picture *);
int picture_decode_png(struct picture *);

/* The message; -1. */
int picture_fail(struct picture *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The decoder knows the picture's size: refuses it, or makes the resizer. */
int picture_begin(struct picture *, uint32_t w, uint32_t h);
/* May decoding hold that much? */
int picture_hold(struct picture *, uint64_t bytes);
/* The next row, RGB. False: time to end. */
bool picture_row(struct picture *, const uint8_t *row);
/* Time to end? Asked for every row. */
bool picture_stopped(struct picture *);

/* Bilinear, pixel centres at halves, edges repeated, no filter for what is left out. */
struct resizer *resizer_new(uint32_t src_w, uint32_t src_h, uint32_t w, uint32_t h, uint8_t *ret);
void resizer_delete(struct resizer *);
void resizer_row(struct resizer *, const uint8_t *row);
/* One row of the result; false: the next one needs more rows of the picture. */
bool resizer_next(struct resizer *);

#endif
