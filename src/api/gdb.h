/* Native code for debuggers: an ELF file in memory that tells of an image what the guest's debug
 * information says of its code. */
#ifndef SV_API_GDB_H
#define SV_API_GDB_H

#include "base/buf.h"
#include "runtime/native.h"

/* Where something begins in the text; `func` UINT32_MAX: a thunk or a stub. */
struct sv_native_begin {
    uint32_t at, func;
};
/* perf_map.c: sorted, the text's end last. At most 2 * nfuncs + 1. */
size_t sv_native_begins(const struct sv_native *, struct sv_native_begin *ret);

/* gdb_elf.c. false: out of memory. */
bool sv_gdb_elf(const struct sv_module *, const struct sv_native *, struct sv_buf *ret);

/* gdb_jit.c: debuggers know of the image until it is removed. Returns the list with it in front, or
 * without it when memory is short. Any thread. */
struct sv_gdb_image;
own struct sv_gdb_image *sv_gdb_add(const struct sv_module *, struct sv_native *,
                                    own struct sv_gdb_image *next);
void sv_gdb_remove_all(own struct sv_gdb_image *); /* NULL is allowed */

#endif
