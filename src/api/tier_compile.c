/* Opening the compiler's library, and images from it. */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "api/tier.h"
#include "base/library.h"

#define LIBRARY "libssvm-aot.so"

static int open_compiler(struct sv_err *err, struct sv_tier *t, struct sv_compiler *ret)
{
    int r = 0;

    pthread_mutex_lock(&t->lock);
    if (!t->compiler.library) {
        struct sv_compiler c = {.library = NULL};

        r = sv_library_open(err, LIBRARY, t->library, &c.library);
        if (r == 0) {
            c.compile = (__typeof__(c.compile))dlsym(c.library, "sv_aot_compile");
            c.free = (__typeof__(c.free))dlsym(c.library, "sv_aot_free");
        }
        if (c.library && c.compile && c.free) {
            t->compiler = c;
        } else if (r == 0) {
            r = sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, LIBRARY " is not the compiler of ssvm");
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
