/* Copy-on-write images: what the active data segments of a module make of its memories, as pages of
 * a file that each instance maps privately. Knows nothing of instances. */
#ifndef SV_RUNTIME_DATA_IMAGE_H
#define SV_RUNTIME_DATA_IMAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"

struct sv_module;

/* Of one memory. */
struct sv_data_image;
struct sv_data_image *sv_data_image_ref(struct sv_data_image *); /* NULL is allowed */
void sv_data_image_unref(own struct sv_data_image *);            /* NULL is allowed */
/* Its module is gone: nobody will want it again. */
bool sv_data_image_is_dead(const struct sv_data_image *);
/* Map it into the memory that begins at base, over what is there. False: the system refuses. */
bool sv_data_image_map(const struct sv_data_image *, uint8_t *base);
/* The contents of the whole pages [at, at + len) of the memory; false: they are not of the image.
 */
bool sv_data_image_copy(const struct sv_data_image *, uint64_t at, void *to, uint64_t len);
/* Does the range of the memory lie within it? */
bool sv_data_image_covers(const struct sv_data_image *, uint64_t at, uint64_t len);

/* Of a module. */
struct sv_data_images {
    uint32_t ndatas;            /* the segments before it need no copying where `of` has an image */
    struct sv_data_image *of[]; /* by memory; NULL: none */
};
/* To be called once for an instance: the module's images, made at its second instance. NULL: there
 * are none. Any thread. */
const struct sv_data_images *sv_module_data_images(struct sv_module *);
/* Bytes of a file that holds the module's images; 0: the module has none. */
uint64_t sv_data_images_size(const struct sv_module *);
/* Write them to `to`, which has so many zeros. False: out of memory. */
bool sv_data_images_write(const struct sv_module *, uint8_t *to);
/* Use those in the file from `offset` (whole pages) on, which never change again, from the module's
 * first instance on. The descriptor is duplicated. False: not done. */
bool sv_data_images_use_file(struct sv_module *, int fd, uint64_t offset);

#endif
