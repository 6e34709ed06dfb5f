/* Address space that stores give back and later stores take: guarded memories and wasm stacks. Not
 * an allocator: fixed shapes, a bounded number, and everything in it is zero. */
#ifndef SV_RUNTIME_POOL_H
#define SV_RUNTIME_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"

/* Kept at most, each; further ones are unmapped. */
#define SV_POOL_REGIONS_MAX 64
/* System pages of a region that stay resident between tenants and are cleared by memset. */
#define SV_POOL_HOT_MAX 16

/* A reservation without access except for [base, base + committed). Which pages stay resident is
 * learned (pool.c). */
struct sv_region {
    uint8_t *base;
    uint64_t committed;
    uint64_t faults; /* of the taking thread, when it was taken */
    int tid;         /* the taking thread */
    uint16_t uses, misses;
    uint8_t nhot;
    bool learned;
    uint32_t hot[SV_POOL_HOT_MAX]; /* page numbers from base */
};

struct sv_pool;
own struct sv_pool *sv_pool_new(void);
void sv_pool_delete(own struct sv_pool *);

/* A guarded memory: no access in the system page below base, and none in [base + committed, base +
 * SV_GUARD_RESERVE). The first `size` bytes are committed and zero. False: no address space. Any
 * thread. */
bool sv_pool_take_memory(struct sv_pool *, uint64_t size, struct sv_region *ret);
/* `clean` = false: another thread may have written into it. */
void sv_pool_give_memory(struct sv_pool *, struct sv_region *, bool clean);
/* A wasm stack of `size` bytes, zero, with a page without access behind it. */
bool sv_pool_take_stack(struct sv_pool *, uint64_t size, struct sv_region *ret);
void sv_pool_give_stack(struct sv_pool *, struct sv_region *, bool clean);

#endif
