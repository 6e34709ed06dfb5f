/* Making native code from images: what api/ calls. */
#ifndef SV_RUNTIME_NATIVE_IMAGE_H
#define SV_RUNTIME_NATIVE_IMAGE_H

#include "runtime/native.h"

#if defined(__aarch64__)
#define SV_NATIVE_ARCH 183u /* EM_AARCH64 */
#else
#define SV_NATIVE_ARCH 62u /* EM_X86_64 */
#endif

/* Of a whole module, or of one loop to be entered from the interpreter (SV_IMAGE_OSR). */
enum sv_native_kind { SV_NATIVE_WHOLE, SV_NATIVE_LOOP };

/* How much of an image is compared with its digests and MAC. */
enum sv_native_depth {
    SV_NATIVE_SEEN, /* nothing: it was, entirely, and the file has not changed since */
    SV_NATIVE_CODE, /* what safety hangs on; the data in it stay unused */
    SV_NATIVE_ENTIRE
};

/* The image of `len` bytes at `at` in the file, for module m whose wasm has this digest: header,
 * build, CPU, tables, digests and MAC. The file must be one that nobody else can write
 * (sv_cache_file_private), `at` a multiple of the page. The images of the module's memories in it
 * are the module's from then on. SV_EMALFORMED, SV_EUNSUPPORTED, SV_EIO. */
int sv_native_open(struct sv_err *err, int fd, uint64_t at, size_t len, struct sv_module *m,
                   const uint8_t digest[SV_SHA256_LEN], const uint8_t *key,
                   enum sv_native_depth depth, enum sv_native_kind kind,
                   own struct sv_native **ret);
/* The same of bytes in memory, copied. key NULL: the caller trusts them. */
int sv_native_new(struct sv_err *err, const void *bytes, size_t len, const struct sv_module *m,
                  const uint8_t digest[SV_SHA256_LEN], const uint8_t *key, enum sv_native_kind kind,
                  own struct sv_native **ret);

#endif
