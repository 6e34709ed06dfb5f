/* The index of the cache: what is known of a file, by its identity. Internal to the cache. */
#ifndef SV_RUNTIME_CACHE_INDEX_H
#define SV_RUNTIME_CACHE_INDEX_H

#include "runtime/cache.h"

enum sv_index_kind {
    SV_INDEX_WASM = 1, /* digest of the first `len` bytes of the file */
    SV_INDEX_IMAGE,    /* name of the entry whose bytes were found right */
    SV_INDEX_VALID,    /* a module that this engine has validated, and what it uses */
    SV_INDEX_SECTION,  /* seal of an image at `len`, whose bytes were found right */
};

/* The index in the folder `dir`; -1 when it is not there (and not to be made), or not private. */
int sv_index_open(int dir, uid_t user, bool make);
/* What was remembered of the file, when it is in the same state. Only of private files, as for
 * sv_index_put. */
bool sv_index_find(int index, enum sv_index_kind, const struct sv_cache_file *, uint64_t len,
                   uint8_t ret[SV_SHA256_LEN]);
/* Remember, unless the file could change without its identity changing. Best effort. */
void sv_index_put(int index, enum sv_index_kind, const struct sv_cache_file *, uint64_t len,
                  const uint8_t digest[SV_SHA256_LEN]);
/* Would sv_index_put remember it? */
bool sv_index_takes(const struct sv_cache_file *);
/* Whether the file still is in the state that it was looked at in. */
bool sv_index_same(const struct sv_cache_file *);
/* That a file may reach to `end`: a write over the process's limit would be a signal, whose default
 * is death. */
bool sv_index_may_write(uint64_t end);

#endif
