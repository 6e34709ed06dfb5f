/* Linear memories. The base never moves; the size only grows. */
#ifndef SV_RUNTIME_MEMORY_H
#define SV_RUNTIME_MEMORY_H

#include <stdatomic.h>
#include <stddef.h>

#include "base/err.h"
#include "runtime/pool.h"
#include "wasm/module.h"

struct sv_engine;
struct sv_memory_lock;
struct sv_store;
struct sv_thread;

/* Bytes of a wasm page. */
#define SV_PAGE_SHIFT 16
#define SV_PAGE_SIZE ((uint64_t)1 << SV_PAGE_SHIFT)
/* A guarded memory32 reserves 4 GiB for the index plus 4 GiB for the static offset plus one guard
 * for the access. */
#define SV_GUARD_RESERVE (((uint64_t)8 << 30) + (64u << 10))

/* Bytes at the end of the 4 GiB that a guarded memory does not grow into: native code computes
 * addresses modulo 2^32 with a negative part. */
#define SV_ADDRESS_ROOM ((uint64_t)64 << 10)

struct sv_memory {
    uint8_t *base;              /* never moves; never NULL (an address without access when empty) */
    _Atomic uint64_t size;      /* accessible bytes; grows under the store (shared: under `lock`) */
    uint64_t max_pages;         /* the type's maximum or the address space's, in pages */
    uint64_t limit_pages;       /* the store's limit; grow beyond it returns -1 */
    uint64_t reserved;          /* bytes of address space from base */
    struct sv_memory_type type; /* limits.min is the initial size */
    bool guarded; /* memory32 with SV_GUARD_RESERVE reserved: no bounds checks needed for loads and
                     stores */
    bool shared;
    _Atomic uint32_t refs;  /* a shared memory may live in several stores */
    struct sv_store *store; /* owner; NULL for shared ones */
    bool huge;              /* asked for huge pages for what it grows by */
    bool exposed;           /* the embedder has had a raw pointer: other threads may have written */
    struct sv_memory_lock *lock; /* shared memories only: growth, and the list of atomic.wait */
    struct sv_region *region;    /* what it lies in */
    struct sv_pool *pool;        /* where the region goes back */
    struct sv_engine *engine;    /* referenced by shared memories, which may outlive their store */
};

/* The guard form is tried first (memory32 and `guard` allowed by the engine); when the address
 * space does not suffice (`ulimit -v`), the checked form with the declared maximum (bounded by the
 * store's limit) is used. `owner`: what it is made for (a module's declaration), so that it lies
 * where the last one of the same lay; compared, never followed. `image`: its contents; taken where
 * possible (m->region->image). Both may be NULL. The store keeps the reference: *ret is borrowed
 * from it. */
int sv_memory_new(struct sv_err *err, struct sv_store *store, const struct sv_memory_type *type,
                  const void *owner, struct sv_data_image *image, struct sv_memory **ret);
/* The same contents for one that was just made without them. Fails when the system refuses: the
 * memory is then not to be used. */
int sv_memory_use_image(struct sv_err *err, struct sv_memory *, struct sv_data_image *);
/* A shared memory made in another store: list it in this one (once) and take a reference. */
int sv_memory_adopt(struct sv_err *err, struct sv_store *store, struct sv_memory *);
struct sv_memory *sv_memory_ref(struct sv_memory *);
void sv_memory_unref(own struct sv_memory *);
/* Old size in pages, or -1. Gas for the pages is the caller's business. Any thread for shared
 * memories. */
int64_t sv_memory_grow(struct sv_memory *, uint64_t delta_pages);
/* memory.grow: charges 64 units a page when it succeeds. *ret as sv_memory_grow; 0 or an SV_TRAP_*
 * code. */
int sv_memory_grow_op(struct sv_thread *, struct sv_memory *, uint64_t delta_pages, int64_t *ret);
static inline uint64_t sv_memory_size(const struct sv_memory *m)
{
    return atomic_load_explicit(&m->size, memory_order_relaxed);
}
static inline uint64_t sv_memory_pages(const struct sv_memory *m)
{
    return sv_memory_size(m) >> m->type.page_shift;
}
/* Only the thread that made it can have written to it. */
bool sv_memory_is_exclusive(const struct sv_memory *);
/* The base for an embedder who may write through it later, from any thread: the memory is cleared
 * more carefully when it is recycled. */
static inline uint8_t *sv_memory_expose(struct sv_memory *m)
{
    m->exposed = true;
    return m->base;
}
/* [addr, addr+len) lies inside (no wrap). */
static inline bool sv_memory_in_bounds(const struct sv_memory *m, uint64_t addr, uint64_t len)
{
    uint64_t size = sv_memory_size(m);
    return addr <= size && len <= size - addr;
}

/* Bulk operations, chunked so that an interruption is honoured within 10 ms. 0, or an SV_TRAP_*
 * code. Nothing is written when out of bounds. */
/* Only their gas. */
int sv_memory_charge(struct sv_thread *, uint64_t len);
/* memmove in pieces of `chunk` bytes, for memories, tables and arrays. Charges nothing. */
int sv_memory_move(struct sv_thread *, void *dst, const void *src, uint64_t len, uint64_t chunk);
int sv_memory_fill(struct sv_thread *, struct sv_memory *, uint64_t dst, uint8_t value,
                   uint64_t len);
int sv_memory_copy(struct sv_thread *, struct sv_memory *dst_mem, uint64_t dst,
                   struct sv_memory *src_mem, uint64_t src, uint64_t len);

/* Atomics (threads proposal). timeout_ns < 0: for ever. Interruptible. *ret: 0 woken, 1 not equal,
 * 2 timed out. Return 0 or an SV_TRAP_* code. The address is checked by these functions (bounds,
 * alignment, shared for wait). */
int sv_memory_wait32(struct sv_thread *, struct sv_memory *, uint64_t addr, uint32_t expected,
                     int64_t timeout_ns, uint32_t *ret);
int sv_memory_wait64(struct sv_thread *, struct sv_memory *, uint64_t addr, uint64_t expected,
                     int64_t timeout_ns, uint32_t *ret);
int sv_memory_notify(struct sv_thread *, struct sv_memory *, uint64_t addr, uint32_t count,
                     uint32_t *ret);

#endif
