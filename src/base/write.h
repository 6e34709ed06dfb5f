/* Writing all of something. */
#ifndef SV_BASE_WRITE_H
#define SV_BASE_WRITE_H

#include <stddef.h>

/* How many bytes were written: `len`, or fewer, and errno says why. Signals do not end it. */
size_t sv_write_all(int fd, const void *bytes, size_t len);

#endif
