/* The shelves of clean memories and of emptied stores. How memory is made clean is region.c's. */
#include "runtime/pool.h"

#include <pthread.h>
#include <string.h>

#include "base/pages.h"
#include "runtime/data_image.h"
#include "runtime/signal.h"

#ifdef SSVM_SANITIZED
/* Nobody would see the use of a deleted store. */
#define STORES_MAX 0
#else
#define STORES_MAX SV_POOL_STORES_MAX
#endif

struct sv_pool {
    pthread_mutex_t lock;
    /* Oldest first. */
    struct sv_region *memories[SV_POOL_MEMORIES_MAX];
    struct sv_store *stores[SV_POOL_STORES_MAX];
    unsigned nmemories, nstores;
    uint64_t kept; /* resident bytes of `memories` */
};

own struct sv_pool *sv_pool_new(void)
{
    struct sv_pool *p = sv_alloc_zero(sizeof *p);

    if (p)
        pthread_mutex_init(&p->lock, NULL);
    return p;
}

/* ---- Memories, under the lock ---- */

static uint64_t kept(const struct sv_region *r)
{
    return (uint64_t)r->nhot * sv_page_size();
}

static own struct sv_region *remove_memory(struct sv_pool *p, unsigned i)
{
    struct sv_region *r = p->memories[i];

    p->nmemories--;
    p->kept -= kept(r);
    memmove(&p->memories[i], &p->memories[i + 1], (p->nmemories - i) * sizeof r);
    return r;
}

/* The owner's last one, if possible of this thread; NULL. */
static own struct sv_region *take_owned(struct sv_pool *p, const void *owner,
                                        const struct sv_data_image *image, uint64_t reserved)
{
    unsigned found = p->nmemories;
    int tid = sv_os_tid();

    for (unsigned i = p->nmemories; i-- > 0;) {
        const struct sv_region *r = p->memories[i];

        if (r->owner != owner || r->image != image || r->reserved != reserved)
            continue;
        if (r->tid == tid)
            return remove_memory(p, i);
        if (found == p->nmemories)
            found = i;
    }
    return found < p->nmemories ? remove_memory(p, found) : NULL;
}

/* The oldest one whose module is gone; else, of a full shelf or when there is `need`, the oldest of
 * all. NULL: none. */
static own struct sv_region *take_old(struct sv_pool *p, bool need)
{
    for (unsigned i = 0; i < p->nmemories; i++)
        if (p->memories[i]->image && sv_data_image_is_dead(p->memories[i]->image))
            return remove_memory(p, i);
    need = need || p->nmemories == SV_POOL_MEMORIES_MAX;
    return need && p->nmemories ? remove_memory(p, 0) : NULL;
}

/* ---- */

static own struct sv_region *take_any(struct sv_pool *p, bool need)
{
    struct sv_region *r;

    pthread_mutex_lock(&p->lock);
    r = take_old(p, need);
    pthread_mutex_unlock(&p->lock);
    return r;
}

/* Another owner's of this size. NULL: none. */
static own struct sv_region *take_same(struct sv_pool *p, uint64_t reserved)
{
    struct sv_region *r = NULL;

    pthread_mutex_lock(&p->lock);
    for (unsigned i = 0; i < p->nmemories && !r; i++)
        if (p->memories[i]->reserved == reserved)
            r = remove_memory(p, i);
    pthread_mutex_unlock(&p->lock);
    return r;
}

/* A new reservation, or an old one for another owner. */
static own struct sv_region *make_memory(struct sv_pool *p, uint64_t reserved, bool need)
{
    struct sv_region *r = take_any(p, false);

    if (r && r->reserved == reserved)
        return r;
    sv_region_delete(r);
    r = sv_region_new(reserved);
    if (!r)
        r = take_same(p, reserved);
    while (!r && need) {
        struct sv_region *old = take_any(p, true);

        if (!old)
            break;
        sv_region_delete(old);
        r = sv_region_new(reserved);
    }
    return r;
}

void sv_pool_trim(struct sv_pool *p)
{
    struct sv_region *r;

    while ((r = take_any(p, true)))
        sv_region_delete(r);
}

void sv_pool_delete(own struct sv_pool *p)
{
    if (!p)
        return;
    sv_pool_trim(p);
    pthread_mutex_destroy(&p->lock);
    sv_free(p);
}

own struct sv_region *sv_pool_take_memory(struct sv_pool *p, const void *owner,
                                          struct sv_data_image *image, uint64_t size,
                                          uint64_t reserved, bool need)
{
    struct sv_region *r;
    bool ok;

    pthread_mutex_lock(&p->lock);
    r = take_owned(p, owner, image, reserved);
    pthread_mutex_unlock(&p->lock);
    if (r) {
        ok = r->committed == size || sv_region_resize(r, size);
    } else {
        r = make_memory(p, reserved, need);
        ok = r && sv_region_adopt(r, owner, image, size);
    }
    if (!ok) {
        sv_region_delete(r);
        return NULL;
    }
    sv_region_start(r);
    return r;
}

/* Put it on the shelf; or, when that is full, the oldest comes back. */
static own struct sv_region *put_memory(struct sv_pool *p, struct sv_region *r)
{
    struct sv_region *old = NULL;

    pthread_mutex_lock(&p->lock);
    if (p->nmemories == SV_POOL_MEMORIES_MAX ||
        (p->nmemories && p->kept + kept(r) > SV_POOL_KEPT_MAX)) {
        old = take_old(p, true);
    } else {
        p->memories[p->nmemories++] = r;
        p->kept += kept(r);
    }
    pthread_mutex_unlock(&p->lock);
    return old;
}

void sv_pool_give_memory(struct sv_pool *p, own struct sv_region *r, bool exclusive)
{
    struct sv_region *old;

    if (r->broken) {
        sv_region_delete(r);
        return;
    }
    sv_region_clean(r, exclusive, (uint32_t)(SV_POOL_KEPT_MAX / sv_page_size()));
    while ((old = put_memory(p, r)))
        sv_region_delete(old);
}

static own struct sv_store *remove_store(struct sv_pool *p, unsigned i)
{
    struct sv_store *s = p->stores[i];

    p->nstores--;
    memmove(&p->stores[i], &p->stores[i + 1], (p->nstores - i) * sizeof s);
    return s;
}

own struct sv_store *sv_pool_take_store(struct sv_pool *p, uint64_t stack_bytes)
{
    uint64_t page = sv_page_size(), size = (stack_bytes + page - 1) & ~(page - 1);
    struct sv_store *s = NULL;
    int tid = sv_os_tid();
    unsigned found;

    pthread_mutex_lock(&p->lock);
    found = p->nstores;
    for (unsigned i = p->nstores; i-- > 0;) {
        if (p->stores[i]->stack_region->committed != size)
            continue;
        if (found == p->nstores || p->stores[i]->stack_region->tid == tid)
            found = i;
        if (p->stores[i]->stack_region->tid == tid)
            break;
    }
    if (found < p->nstores)
        s = remove_store(p, found);
    pthread_mutex_unlock(&p->lock);
    return s;
}

own struct sv_store *sv_pool_take_any_store(struct sv_pool *p)
{
    struct sv_store *s;

    pthread_mutex_lock(&p->lock);
    s = p->nstores ? remove_store(p, 0) : NULL;
    pthread_mutex_unlock(&p->lock);
    return s;
}

own struct sv_store *sv_pool_give_store(struct sv_pool *p, own struct sv_store *s)
{
    struct sv_store *old = NULL;

    if (STORES_MAX == 0)
        return s;
    pthread_mutex_lock(&p->lock);
    if (p->nstores == SV_POOL_STORES_MAX)
        old = remove_store(p, 0);
    p->stores[p->nstores++] = s;
    pthread_mutex_unlock(&p->lock);
    return old;
}
