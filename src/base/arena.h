/* An arena: many small allocations, freed whole. One for a module, one for an instance, one for a
 * request. */
#ifndef SV_BASE_ARENA_H
#define SV_BASE_ARENA_H

#include "base/alloc.h"

struct sv_arena_block;

struct sv_arena {
    struct sv_arena_block *head; /* newest block */
    unsigned char *next, *end;   /* free part of it */
    size_t used, max;            /* bytes taken from the system; limit, 0 = none */
};

void sv_arena_init(struct sv_arena *, size_t max);
void sv_arena_release(struct sv_arena *);
/* Release everything but the newest block, unless that is large; it is used again. */
void sv_arena_clear(struct sv_arena *);
/* 16-byte aligned; NULL when there is no memory or `max` would be exceeded. Not zeroed / zeroed. */
void *sv_arena_alloc(struct sv_arena *, size_t size);
void *sv_arena_zero(struct sv_arena *, size_t size);
void *sv_arena_array_zero(struct sv_arena *, size_t count, size_t size);
char *sv_arena_strndup(struct sv_arena *, const char *s, size_t len); /* adds the NUL */

#endif
