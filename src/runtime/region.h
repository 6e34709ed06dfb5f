/* Address space of one memory or wasm stack that goes from tenant to tenant, and how it is made
 * clean between them. Where regions wait is the pool's business. */
#ifndef SV_RUNTIME_REGION_H
#define SV_RUNTIME_REGION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/pages.h"

struct sv_data_image;

/* The hot pages of a region stay resident between tenants and are wiped. So many runs of them, and
 * so many pages of a stack; how many a memory may have is the pool's. */
#define SV_REGION_RUNS_MAX 64
#define SV_REGION_HOT_MAX 64

/* Bytes without access below every region: how far native code may miss memories and its stack. */
#define SV_GUARD_BELOW ((size_t)64 << 10)

/* Pages, counted from base: [first, end). */
struct sv_page_run {
    uint32_t first, end;
};

/* Bytes [at, end) that were the image's when the taking thread had made so many faults; 0: none. */
struct sv_region_seen {
    uint64_t at, end, faults;
};

/* A reservation without access except for [base, base + committed). Clean: every page below
 * `reserved`, accessible or not, reads as the image says, else zero, and none but the hot ones is
 * this process's own copy. */
struct sv_region {
    uint8_t *map; /* what is reserved, with the guard below the base */
    size_t map_len;
    uint8_t *base;
    uint64_t committed;    /* accessible bytes, whole pages */
    uint64_t reach;        /* highest `committed` since nothing was resident */
    uint64_t reserved;     /* from base */
    uint64_t faults;       /* of the taking thread, at some moment before it was taken */
    int tid;               /* the taking thread */
    uint32_t uses, misses; /* tenants of this owner; those that wrote too much to be learned */
    uint32_t nhot;         /* pages that are hot */
    uint8_t nruns;         /* in hot */
    uint8_t idle;          /* the last tenants in a row that left most of many hot pages alone */
    bool tracked;          /* no page becomes huge any more: what is written faults, or is hot */
    bool moved;            /* the last tenant made faults */
    bool broken;           /* mapped nobody knows how: not for the next tenant */
    const void *owner;     /* whose tenants are learned; compared, never followed */
    struct sv_data_image *image;                /* a reference; mapped at its place */
    struct sv_region_seen seen;                 /* of this tenant */
    struct sv_page_run hot[SV_REGION_RUNS_MAX]; /* ascending */
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
 * At most `hot_max` pages stay. */
void sv_region_clean(struct sv_region *, bool exclusive, uint32_t hot_max);
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
/* Huge pages for what the tenant touches anew in [from, to): a hint. */
void sv_region_use_huge(struct sv_region *, uint64_t from, uint64_t to);
/* Is every page of [at, end), which is the image's, still the image's page, and not a copy that the
 * tenant has written to? False where the system does not tell. `exclusive`: only this thread may
 * have written. */
bool sv_region_is_clean(struct sv_region *, uint64_t at, uint64_t end, bool exclusive);
/* Behind the last hot page. */
static inline uint64_t sv_region_hot_end(const struct sv_region *r)
{
    return r->nruns ? (uint64_t)r->hot[r->nruns - 1].end * sv_page_size() : 0;
}

#endif
