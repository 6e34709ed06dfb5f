/* Where the parts of an installation are, from our own executable: in a build tree, or installed.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

bool cli_find_beside(const char *const *places, size_t n, char *ret, size_t size)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    if (len <= 0) {
        cli_message("cannot find our own executable: %s", strerror(errno));
        return false;
    }
    self[len] = '\0';
    slash = strrchr(self, '/');
    if (slash)
        slash[1] = '\0';
    for (size_t i = 0; i < n; i++) {
        snprintf(ret, size, "%s%s", self, places[i]);
        if (access(ret, F_OK) == 0)
            return true;
    }
    cli_message("'%s%s' is not there: this installation lacks it", self, places[n - 1]);
    return false;
}
