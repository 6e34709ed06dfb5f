/* Writing all of something. See write.h. */
#include "base/write.h"

#include <errno.h>
#include <unistd.h>

size_t sv_write_all(int fd, const void *bytes, size_t len)
{
    size_t at = 0;

    while (at < len) {
        ssize_t n = write(fd, (const char *)bytes + at, len - at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            errno = ENOSPC;
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    return at;
}
