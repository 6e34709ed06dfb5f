/* What stores give back and later stores take: memories, and emptied stores with their wasm stacks.
 * Not an allocator: a bounded number, and everything in it is clean. */
#ifndef SV_RUNTIME_POOL_H
#define SV_RUNTIME_POOL_H

#include "runtime/region.h"

/* Kept at most, each; further ones push out the oldest. */
#define SV_POOL_MEMORIES_MAX 64
#define SV_POOL_STORES_MAX 64
/* Bytes that are resident in memories that wait, all together; the oldest go first here too. Two
 * tenants at once that fill the memory of a picture and a network. */
#define SV_POOL_KEPT_MAX ((uint64_t)32 << 20)

struct sv_pool;
struct sv_store;
own struct sv_pool *sv_pool_new(void);
/* Its stores must have been taken out. */
void sv_pool_delete(own struct sv_pool *);

/* Its memories go back to the system. Any thread. */
void sv_pool_trim(struct sv_pool *);

/* A clean, started region of `reserved` bytes, `size` of them accessible (whole pages), with the
 * image mapped when there is one. One that the owner had before, if there is one. `need`: where
 * address space is short, what waits here goes first. NULL: there is none. Any thread. */
own struct sv_region *sv_pool_take_memory(struct sv_pool *, const void *owner,
                                          struct sv_data_image *, uint64_t size, uint64_t reserved,
                                          bool need);
/* Cleaned here; see sv_region_clean. */
void sv_pool_give_memory(struct sv_pool *, own struct sv_region *, bool exclusive);

/* An emptied store with a stack of so many bytes (rounded up to pages), if possible one of this
 * thread. NULL: there is none. */
own struct sv_store *sv_pool_take_store(struct sv_pool *, uint64_t stack_bytes);
/* Any store; NULL: there is none. */
own struct sv_store *sv_pool_take_any_store(struct sv_pool *);
/* One that there is no room for any more comes back, else NULL. */
own struct sv_store *sv_pool_give_store(struct sv_pool *, own struct sv_store *);

#endif
