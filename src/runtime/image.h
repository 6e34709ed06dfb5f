/* A native image: the bytes that carry the compiled code of one module, and the checks that come
 * before anything in them is believed. The layout is in doc/format/image.md, which files may be
 * trusted in doc/internals/cache.md. Knows neither the code inside nor where the bytes lie. */
#ifndef SV_RUNTIME_IMAGE_H
#define SV_RUNTIME_IMAGE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/sha256.h"

#define SV_IMAGE_MAGIC "ssvmimg" /* with its NUL: 8 bytes */
#define SV_IMAGE_VERSION 2u
#define SV_IMAGE_PAGE 4096u
#define SV_IMAGE_CPU_MAX 64u
#define SV_IMAGE_KEY_LEN 32u
#define SV_IMAGE_SECTION "ssvm.native"

/* FLAG(name, bit, text): what the code was made for. */
#define SV_IMAGE_FLAGS(FLAG)                                                                       \
    FLAG(GUARD, 0, "guard")     /* memory accesses without checks; else `checked` */               \
    FLAG(METERED, 1, "metered") /* counts gas */                                                   \
    FLAG(DETERMINISTIC, 2, "deterministic")                                                        \
    FLAG(EXCEPTIONS, 3, "exceptions") /* throws or catches */                                      \
    FLAG(DEBUG, 4, "debug")           /* frame pointers, as debuggers want */                      \
    FLAG(THREADS, 5, "threads")       /* has a shared memory */                                    \
    FLAG(GC, 6, "gc")                 /* has references to the collected heap on its stack */      \
    FLAG(OSR, 7, "osr")               /* one loop, to be entered from the interpreter */           \
    FLAG(COSTS, 8, "costs")           /* instructions cost what the module's own table says */

enum sv_image_flags {
#define FLAG(name, bit, text) SV_IMAGE_##name = 1 << (bit),
    SV_IMAGE_FLAGS(FLAG)
#undef FLAG
        SV_IMAGE_ALL_FLAGS = 0
#define FLAG(name, bit, text) | SV_IMAGE_##name
    SV_IMAGE_FLAGS(FLAG)
#undef FLAG
};

/* PART(name, text, when): the parts in their order in the file. ALWAYS: its digest is compared
 * before use. INSTALL: only when the image is made or installed; nothing that the safety of the
 * host hangs on may lie there. */
#define SV_IMAGE_PARTS(PART)                                                                       \
    PART(TEXT, "text", ALWAYS)                                                                     \
    PART(RODATA, "rodata", ALWAYS)                                                                 \
    PART(FUNCTIONS, "functions", ALWAYS)                                                           \
    PART(THUNKS, "thunks", ALWAYS)                                                                 \
    PART(TRAPS, "traps", ALWAYS)                                                                   \
    PART(LINES, "lines", ALWAYS)                                                                   \
    PART(UNWIND, "unwind", ALWAYS)                                                                 \
    PART(FRAMES, "frames", ALWAYS)                                                                 \
    PART(NAMES, "names", ALWAYS)                                                                   \
    PART(DATA_DIGESTS, "data digests", ALWAYS)                                                     \
    PART(DATA, "data", INSTALL)                                                                    \
    PART(DWARF, "dwarf", INSTALL)

enum sv_image_part_kind {
#define PART(name, text, when) SV_IMAGE_##name,
    SV_IMAGE_PARTS(PART)
#undef PART
        SV_IMAGE_PART_COUNT
};

/* What the code is for: has to fit the module, the engine and the machine. */
struct sv_image_id {
    uint8_t build_id[SV_SHA256_LEN];    /* of the engine and its binary interface to the code */
    uint8_t wasm_digest[SV_SHA256_LEN]; /* of the module without its ssvm.native section */
    uint32_t arch;                      /* EM_* of <elf.h> */
    uint32_t flags;                     /* enum sv_image_flags */
    char cpu[SV_IMAGE_CPU_MAX];         /* LLVM's name, zeros behind */
    uint8_t features_digest[SV_SHA256_LEN];
};

struct sv_image_part {
    uint32_t kind; /* its place in the table */
    uint32_t reserved;
    uint64_t offset, len;          /* of a part that is not there: 0, 0 */
    uint8_t digest[SV_SHA256_LEN]; /* of its whole pages and `len` */
};

/* At the beginning of the first page, little-endian, without holes. */
struct sv_image_header {
    char magic[8];
    uint32_t format_version;
    uint32_t header_len; /* sizeof(struct sv_image_header) */
    struct sv_image_id id;
    uint64_t image_len; /* whole pages */
    struct sv_image_part parts[SV_IMAGE_PART_COUNT];
    uint8_t mac[SV_SHA256_LEN]; /* of the header with zeros here */
};

struct sv_image_expect {
    struct sv_image_id id; /* `cpu` empty: any CPU; the caller looks at it himself */
    uint32_t flags_mask;   /* the flags that have to be as in `id` */
};

const char *sv_image_flag_text(unsigned bit); /* NULL beyond the last */
const char *sv_image_part_text(enum sv_image_part_kind);

/* ---- Making ---- */

/* Fill *ret but for digests and MAC: the parts one behind the other in their order. SV_ELIMIT when
 * the sum is over what a file can have. */
int sv_image_layout(struct sv_err *err, const struct sv_image_id *,
                    const uint64_t part_len[SV_IMAGE_PART_COUNT], struct sv_image_header *ret);
/* Fill the digests and the MAC of the image at `bytes`, whose header is from sv_image_layout and
 * whose parts are in their places, zeros between them. */
void sv_image_seal(uint8_t *bytes, const uint8_t key[SV_IMAGE_KEY_LEN]);

/* ---- Checking: no byte is believed ---- */

/* That the header is whole and of this version, names this engine, module and machine (`expect`,
 * NULL: whatever it names), and that the parts lie in their order, without gap or overlap, inside
 * `len`. Reads the first page only, once; use *ret and never the header in `bytes`, which another
 * process may change. SV_EMALFORMED: damaged; SV_EUNSUPPORTED: of another version, engine, machine
 * or module. */
int sv_image_check(struct sv_err *err, const void *bytes, size_t len,
                   const struct sv_image_expect *expect, struct sv_image_header *ret);

enum sv_image_depth {
    SV_IMAGE_BEFORE_USE, /* parts marked ALWAYS */
    SV_IMAGE_ENTIRE,     /* all parts */
};
/* That header and parts are what was sealed. `header` is from sv_image_check; `key` NULL: no MAC is
 * looked at, which finds damage, not malice. `bytes` must be such that nobody who is not trusted
 * can change them afterwards: a private copy, or the pages of a file that sv_cache_file_private
 * accepts. */
int sv_image_verify(struct sv_err *err, const void *bytes, const struct sv_image_header *header,
                    const uint8_t *key, enum sv_image_depth depth);

/* ---- The custom section of a module ---- */

struct sv_image_place {
    size_t wasm_len;    /* the module without the section */
    size_t offset, len; /* of the image in the file; len 0: the section has none */
};
/* The section SV_IMAGE_SECTION at the end of a module; false when the last section is another. */
bool sv_image_find(const uint8_t *file, size_t len, struct sv_image_place *ret);
/* Append what stands between a module of `wasm_len` bytes and its image: the head of the section
 * and zeros, so that the image lies at a page of the file. */
int sv_image_wrap(struct sv_err *err, size_t wasm_len, size_t image_len, struct sv_buf *ret);

#endif
