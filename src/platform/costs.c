/* Tables of costs are read where they are needed: a new one holds from the next deployment on. */
#include "platform/costs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define READ_STEP 65536

int plat_costs_read_file(struct sv_err *err, const char *path, struct sv_buf *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), why = errno;
    ssize_t n = 1;

    if (fd < 0)
        return sv_fail(err, why == ENOENT ? SV_ENOTFOUND : SV_EIO, SV_NO_OFFSET,
                       "cannot read the table of costs '%s': %s", path, strerror(why));
    while (n > 0 && ret->len <= PLAT_COSTS_MAX && sv_buf_reserve(ret, READ_STEP)) {
        n = read(fd, ret->data + ret->len, READ_STEP);
        why = errno;
        ret->len += n > 0 ? (size_t)n : 0;
    }
    close(fd);
    if (n < 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot read the table of costs '%s': %s", path,
                       strerror(why));
    return n == 0
               ? 0
               : sv_fail(err, SV_ELIMIT, SV_NO_OFFSET,
                         "the table of costs '%s' is larger than %zu bytes", path, PLAT_COSTS_MAX);
}

static bool is_given(const char *setting)
{
    return setting && *setting && strcmp(setting, "none") != 0;
}

int plat_costs_read(struct sv_err *err, const char *file, const char *dir, const char *tenant,
                    const char *function, struct sv_buf *ret)
{
    char path[PATH_MAX];
    int r = SV_ENOTFOUND;

    for (int i = 0; i < 2 && r == SV_ENOTFOUND && is_given(dir); i++) {
        int n = i == 0 ? snprintf(path, sizeof path, "%s/%s.%s" PLAT_COSTS_SUFFIX, dir, tenant,
                                  function)
                       : snprintf(path, sizeof path, "%s/%s" PLAT_COSTS_SUFFIX, dir, tenant);

        if (n < 0 || (size_t)n >= sizeof path)
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                           "the path of the tables of costs is too "
                           "long");
        err->code = 0;
        r = plat_costs_read_file(err, path, ret);
    }
    if (r == SV_ENOTFOUND) {
        err->code = 0;
        r = is_given(file) ? plat_costs_read_file(err, file, ret) : 0;
    }
    return r;
}
