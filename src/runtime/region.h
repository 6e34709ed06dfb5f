/* Address space of one memory or wasm stack that goes from tenant to tenant, and how it is made
 * clean between them. Where regions wait is the pool's business. */
#ifndef SV_RUNTIME_REGION_H
#define SV_RUNTIME_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/alloc.h"

struct sv_data_image;

/* System pages of a region that stay resident between tenants and are wiped by memcpy. */
#define SV_REGION_HOT_MAX 64

/* Bytes without access below every region: how far native code may miss memories and its stack. */
#define SV_GUARD_BELOW ((size_t)64 << 10)

/* A reservation without access except for [base, base + committed). Clean: every page below
 * `reserved`, accessible or not, reads as the image says, else zero, and none but the hot ones is
 * this process's own copy. */
struct sv_region {
    uint8_t *base;
    uint64_t committed;    /* accessible bytes, whole pages */
    uint64_t reach;        /* highest `committed` since nothing was resident */
    uint64_t reserved;     /* from base */
    uint64_t faults;       /* of the taking thread, at some moment before it was taken */
    int tid;               /* the taking thread */
    uint32_t uses, misses; /* tenants of this owner; those that wrote too much to be learned */
    bool tracked;          /* no huge pages: what is written faults, or is hot */
    bool huge;             /* this owner asked for huge pages: not worth tracking */
    bool moved;            /* the last tenant made faults */
    bool broken;           /* mapped nobody knows how: not for the next tenant */
    uint8_t nhot;          /* in hot */
    const void *owner;     /* whose tenants are learned; compared, never followed */
    struct sv_data_image *image;     /* a reference; mapped at its place */
    uint32_t hot[SV_REGION_HOT_MAX]; /* page numbers from base, ascending */
};

/* NULL: no address space. */
own struct sv_region *sv_region_new(uint64_t reserved);
/* The same for a stack of so many bytes (rounded up to pages), accessible, with a page without
 * access behind it. */
own struct sv_region *sv_region_new_stack(uint64_t bytes);
void sv_region_delete(own struct sv_region *);

/* Read this thread's fault counter: before regions are cleaned, after the guest's last write. */
void sv_region_note_faults(void);
/* A tenant comes, on this thread. */
void sv_region_start(struct sv_region *);
/* `exclusive`: only the thread that started it, and has noted its faults since, may have written.
 */
void sv_region_clean(struct sv_region *, bool exclusive);
/* Access to exactly the first `size` bytes (whole pages) of a clean region. False: the system
 * refuses; delete it. */
bool sv_region_resize(struct sv_region *, uint64_t size);
/* Another owner, with these contents (NULL: zeros), which must fit in `size` bytes, and that size.
 * False as above. */
bool sv_region_adopt(struct sv_region *, const void *owner, struct sv_data_image *, uint64_t size);
/* The image for a region without one that is clean and was adopted with a size in which it fits.
 * False as above. */
bool sv_region_set_image(struct sv_region *, struct sv_data_image *);
/* Access to `size` bytes, more than now, for the tenant that is in it. False: the system refuses.
 */
bool sv_region_grow(struct sv_region *, uint64_t size);
/* The tenant asked the system for huge pages. */
void sv_region_use_huge(struct sv_region *);

#endif
