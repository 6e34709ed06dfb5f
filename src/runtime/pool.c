/* The pool of memory reservations and wasm stacks. What comes back is made zero before anybody can
 * take it again. Not an allocator, and it knows nothing of what lies in the memory.
 *
 * Clearing: giving pages back to the system costs a fault for each of them in the next tenant,
 * microseconds a page; a memset of a resident page costs 64 ns. So the pages that tenants of a
 * region touch are learned, kept, and wiped. The rest is given back only when the thread's fault
 * counter has moved, since a page that is not resident cannot be written without a fault. */
#include "runtime/pool.h"

#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "base/pages.h"
#include "runtime/memory.h"
#include "runtime/signal.h"

/* Regions whose resident pages are looked for. */
#define LEARN_BYTES_MAX (16u << 20)
/* Tenants with other pages than the learned ones: so often these are added, so often until all is
 * forgotten. */
#define RELEARN_MAX 8
#define MISSES_MAX 256

struct shelf {
    struct sv_region regions[SV_POOL_REGIONS_MAX];
    unsigned n;
};
struct sv_pool {
    pthread_mutex_t lock;
    struct shelf memories, stacks;
};

own struct sv_pool *sv_pool_new(void)
{
    struct sv_pool *p = sv_alloc_zero(sizeof *p);

    if (p)
        pthread_mutex_init(&p->lock, NULL);
    return p;
}

static void unmap_memory(const struct sv_region *r)
{
    size_t page = sv_page_size();

    sv_pages_release(r->base - page, SV_GUARD_RESERVE + page);
}

static void unmap_stack(const struct sv_region *r)
{
    sv_pages_release(r->base, r->committed + sv_page_size());
}

void sv_pool_delete(own struct sv_pool *p)
{
    if (!p)
        return;
    for (unsigned i = 0; i < p->memories.n; i++)
        unmap_memory(&p->memories.regions[i]);
    for (unsigned i = 0; i < p->stacks.n; i++)
        unmap_stack(&p->stacks.regions[i]);
    pthread_mutex_destroy(&p->lock);
    sv_free(p);
}

/* The last region of this size, else the last one (`any`). */
static bool take(struct sv_pool *p, struct shelf *shelf, uint64_t size, bool any,
                 struct sv_region *ret)
{
    bool found = false;
    unsigned i;

    pthread_mutex_lock(&p->lock);
    for (i = shelf->n; i-- > 0;)
        if (shelf->regions[i].committed == size)
            break;
    if (i >= shelf->n && any && shelf->n)
        i = shelf->n - 1;
    if (i < shelf->n) {
        *ret = shelf->regions[i];
        shelf->n--;
        memmove(&shelf->regions[i], &shelf->regions[i + 1], (shelf->n - i) * sizeof *ret);
        found = true;
    }
    pthread_mutex_unlock(&p->lock);
    return found;
}

static bool give(struct sv_pool *p, struct shelf *shelf, const struct sv_region *r)
{
    bool room;

    pthread_mutex_lock(&p->lock);
    room = shelf->n < SV_POOL_REGIONS_MAX;
    if (room)
        shelf->regions[shelf->n++] = *r;
    pthread_mutex_unlock(&p->lock);
    return room;
}

static uint64_t thread_faults(void)
{
    struct rusage use;

    /* Without the counter every look says "moved". */
    if (getrusage(RUSAGE_THREAD, &use))
        return UINT64_MAX;
    return (uint64_t)use.ru_minflt + (uint64_t)use.ru_majflt;
}

static void start(struct sv_region *r)
{
    r->tid = sv_os_tid();
    if (r->learned)
        r->faults = thread_faults();
}

/* Give back every page that is not hot. One by one: were the hot ones to go too, the next tenant
 * would fault on them. */
static void clear_cold(struct sv_region *r)
{
    size_t page = sv_page_size();
    uint64_t at = 0;

    for (unsigned i = 0; i < r->nhot; i++) {
        uint64_t hot = (uint64_t)r->hot[i] * page;

        if (hot > at)
            sv_pages_clear(r->base + at, hot - at);
        at = hot + page;
    }
    if (at < r->committed)
        sv_pages_clear(r->base + at, r->committed - at);
}

static void wipe_hot(struct sv_region *r)
{
    size_t page = sv_page_size();

    for (unsigned i = 0; i < r->nhot; i++)
        memset(r->base + (uint64_t)r->hot[i] * page, 0, page);
}

/* Note the resident pages as the hot ones, if they are few. */
static void learn(struct sv_region *r)
{
    unsigned char resident[LEARN_BYTES_MAX >> 12];
    size_t page = sv_page_size(), n = r->committed / page;
    uint32_t hot[SV_POOL_HOT_MAX];
    unsigned nhot = 0;

    if (n > sizeof resident || mincore(r->base, r->committed, resident))
        return;
    for (size_t i = 0; i < n; i++) {
        if (!(resident[i] & 1))
            continue;
        if (nhot == SV_POOL_HOT_MAX)
            return;
        hot[nhot++] = (uint32_t)i;
    }
    memcpy(r->hot, hot, nhot * sizeof *hot);
    r->nhot = (uint8_t)nhot;
    r->learned = true;
    /* A huge page would make cold pages resident behind the counter's back. */
    madvise(r->base, r->committed, MADV_NOHUGEPAGE);
}

/* Make all of the region zero. `clean`: only the thread that took it has written into it. */
static void clean_region(struct sv_region *r, bool clean)
{
    if (r->committed == 0)
        return;
    if (!clean || r->tid != sv_os_tid()) {
        sv_pages_clear(r->base, r->committed);
        return;
    }
    if (r->learned) {
        uint64_t faults = thread_faults();
        bool moved = faults != r->faults || faults == UINT64_MAX;

        /* Tenants differ: the hot pages become those of all of them, as long as they are few. */
        if (moved && r->misses < RELEARN_MAX)
            learn(r);
        wipe_hot(r);
        if (!moved)
            return;
        clear_cold(r);
        if (++r->misses >= MISSES_MAX) {
            r->learned = false;
            r->misses = 0;
        }
        return;
    }
    /* Looking costs more than clearing: after 2, 4, 8 ... tenants. */
    r->uses += r->uses < UINT16_MAX;
    if (r->uses > 1 && (r->uses & (r->uses - 1)) == 0)
        learn(r);
    if (r->learned) {
        wipe_hot(r);
        clear_cold(r);
    } else {
        sv_pages_clear(r->base, r->committed);
    }
}

/* Access to exactly the first `size` bytes. */
static bool resize(struct sv_region *r, uint64_t size)
{
    size_t page = sv_page_size();

    if (size > r->committed && !sv_pages_commit(r->base + r->committed, size - r->committed))
        return false;
    if (size < r->committed) {
        if (!sv_pages_decommit(r->base + size, r->committed - size))
            return false;
        while (r->nhot && (uint64_t)r->hot[r->nhot - 1] * page >= size)
            r->nhot--;
    }
    r->committed = size;
    return true;
}

bool sv_pool_take_memory(struct sv_pool *p, uint64_t size, struct sv_region *ret)
{
    size_t page = sv_page_size();
    struct sv_region r = {0};
    uint8_t *map;

    if (!take(p, &p->memories, size, true, &r)) {
        map = sv_pages_reserve(SV_GUARD_RESERVE + page);
        if (!map)
            return false;
        r.base = map + page;
    }
    if (r.committed != size && !resize(&r, size)) {
        unmap_memory(&r);
        return false;
    }
    start(&r);
    *ret = r;
    return true;
}

void sv_pool_give_memory(struct sv_pool *p, struct sv_region *r, bool clean)
{
    clean_region(r, clean);
    if (!give(p, &p->memories, r))
        unmap_memory(r);
}

bool sv_pool_take_stack(struct sv_pool *p, uint64_t size, struct sv_region *ret)
{
    size_t page = sv_page_size();
    struct sv_region r = {0};

    size = (size + page - 1) & ~(uint64_t)(page - 1);
    if (size == 0 || size > SIZE_MAX / 2)
        return false;
    if (!take(p, &p->stacks, size, false, &r)) {
        r.base = sv_pages_reserve(size + page);
        if (!r.base)
            return false;
        if (!sv_pages_commit(r.base, size)) {
            sv_pages_release(r.base, size + page);
            return false;
        }
        r.committed = size;
    }
    start(&r);
    *ret = r;
    return true;
}

void sv_pool_give_stack(struct sv_pool *p, struct sv_region *r, bool clean)
{
    clean_region(r, clean);
    if (!give(p, &p->stacks, r))
        unmap_stack(r);
}
