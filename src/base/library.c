/* Where the project's own shared objects are: build trees and installations. */
#include "base/library.h"

#include "base/alloc.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATH_SIZE 4096

/* Beside the file `self`, and in ../lib/ssvm of it. */
static bool find_beside(const char *self, const char *name, char *ret, size_t size)
{
    static const char *const places[] = {"",
                                         "../",
                                         "ssvm/",
                                         "../lib/ssvm/",
                                         "../libexec/ssvm/",
                                         "../../libexec/ssvm/",
                                         "../../lib/ssvm/",
                                         "../lib/x86_64-linux-gnu/ssvm/",
                                         "../lib/aarch64-linux-gnu/ssvm/"};
    const char *slash = strrchr(self, '/');

    for (size_t i = 0; slash && i < SV_COUNT(places); i++) {
        int n = snprintf(ret, size, "%.*s%s%s", (int)(slash + 1 - self), self, places[i], name);

        if (n > 0 && (size_t)n < size && access(ret, R_OK) == 0)
            return true;
    }
    return false;
}

bool sv_library_find(const char *name, char *ret, size_t size)
{
    char self[PATH_SIZE];
    Dl_info info;
    ssize_t n;

    if (dladdr((const void *)find_beside, &info) && info.dli_fname &&
        find_beside(info.dli_fname, name, ret, size))
        return true;
    n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return false;
    self[n] = 0;
    return find_beside(self, name, ret, size);
}

int sv_library_open(struct sv_err *err, const char *name, const char *path, void **ret)
{
    char found[PATH_SIZE];
    void *library;

    if (!path && !sv_library_find(name, found, sizeof found))
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET,
                       "%s cannot be opened: it is not beside this program or in ../lib/ssvm",
                       name);
    library = dlopen(path ? path : found, RTLD_NOW | RTLD_LOCAL);
    if (!library)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "%s cannot be opened: %s", name, dlerror());
    *ret = library;
    return 0;
}
