/* Opening the compiler's library, and images from it. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "api/tier.h"

#define LIBRARY "libssvm-aot.so"

/* Beside the file that we are in, and in ../lib/ssvm of it: build trees and installations. */
static void *open_beside(const char *self)
{
    static const char *const places[] = {"",
                                         "../",
                                         "ssvm/",
                                         "../lib/ssvm/",
                                         "../lib/x86_64-linux-gnu/ssvm/",
                                         "../lib/aarch64-linux-gnu/ssvm/"};
    const char *slash = strrchr(self, '/');
    char path[4096 + 64];
    void *library = NULL;

    for (size_t i = 0; slash && !library && i < SV_COUNT(places); i++) {
        snprintf(path, sizeof path, "%.*s%s%s", (int)(slash + 1 - self), self, places[i], LIBRARY);
        if (access(path, R_OK) == 0)
            library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return library;
}

static void *open_library(const struct sv_tier *t)
{
    char self[4096];
    Dl_info info;
    void *library = NULL;
    ssize_t n;

    if (t->library)
        return dlopen(t->library, RTLD_NOW | RTLD_LOCAL);
    if (dladdr((const void *)open_beside, &info) && info.dli_fname &&
        strchr(info.dli_fname, '/') != NULL)
        library = open_beside(info.dli_fname);
    n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (!library && n > 0) {
        self[n] = 0;
        library = open_beside(self);
    }
    return library;
}

static int open_compiler(struct sv_err *err, struct sv_tier *t, struct sv_compiler *ret)
{
    int r = 0;

    pthread_mutex_lock(&t->lock);
    if (!t->compiler.library) {
        struct sv_compiler c = {.library = open_library(t)};

        if (c.library) {
            c.compile = (__typeof__(c.compile))dlsym(c.library, "sv_aot_compile");
            c.free = (__typeof__(c.free))dlsym(c.library, "sv_aot_free");
        }
        if (c.library && c.compile && c.free) {
            t->compiler = c;
        } else {
            const char *why = dlerror();

            r = sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET,
                        "the compiler " LIBRARY " cannot be opened: %s",
                        why ? why : "it is not beside this program or in ../lib/ssvm");
        }
    }
    *ret = t->compiler;
    pthread_mutex_unlock(&t->lock);
    return r;
}

int sv_tier_compile(struct sv_err *err, struct sv_tier *t, const struct sv_module *m,
                    size_t wasm_len, const struct sv_aot_options *opts, const uint8_t *key,
                    own uint8_t **ret, size_t *ret_len, struct sv_aot_report *ret_report)
{
    uint8_t nobodys[SV_IMAGE_KEY_LEN];
    struct sv_compiler c;
    int r = open_compiler(err, t, &c);

    if (r == 0 && !key && getrandom(nobodys, sizeof nobodys, 0) != sizeof nobodys)
        r = sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "no random bytes for a key");
    if (r == 0)
        r = c.compile(err, m->bytes, wasm_len, opts, ret, ret_len, ret_report);
    if (r == 0)
        sv_image_seal(*ret, key ? key : nobodys);
    return r;
}

void sv_tier_free(struct sv_tier *t, own uint8_t *image)
{
    if (image)
        t->compiler.free(image);
}
