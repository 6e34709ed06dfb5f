/* Picture decoding for guests (`ssvm_image`, `wasmedge_image`): the grant. */
#ifndef SV_HOST_IMAGE_IMAGE_H
#define SV_HOST_IMAGE_IMAGE_H

#include "host/host.h"

/* Grant of sv_host_image; the plugin host-image.so is opened at the first call. NULL stands for
 * zeros. Copied. */
struct sv_image_grant {
    uint32_t max_side;   /* pixels; 0: 16384 */
    uint64_t max_pixels; /* 0: 64 Mi */
    const char *plugin;  /* path of host-image.so; NULL: searched. Must live as long as the store */
    /* One line for the host's log (a picture refused, the plugin missing); NULL: dropped. */
    void (*log)(void *arg, const char *line);
    void *arg;
};
extern const struct sv_host_module sv_host_image;

#endif
