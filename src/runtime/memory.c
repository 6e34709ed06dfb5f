/* Linear memories: reservation, growth, bulk operations. Loads, stores and bounds checks are the
 * tiers'; waiting is wait.c's. */
#include "runtime/memory.h"

#include <string.h>
#include <sys/mman.h>

#include "base/pages.h"
#include "runtime/instance.h"
#include "runtime/wait.h"

/* Bulk operations look for interruptions after this many bytes: 10 us when resident, 1.5 ms at
 * worst where every page is new even to the machine. */
#define BULK_CHUNK ((uint64_t)256 << 10)
/* Gas (design section 3). */
#define BULK_GAS_SHIFT 6 /* a unit per 64 bytes */
#define GROW_GAS_PAGE 64

/* Huge pages: a first touch costs a third of what its 512 small ones do (16 MiB: 3-8 ms instead of
 * 10-17), but all of it at once. So only where the guest is sure to use the memory: under large
 * data segments, and for what a memory grows to that has grown by more than HUGE_FROM. Not beyond
 * HUGE_TO: a system that runs out of huge pages moves memory about to make some, up to 10 ms each,
 * and that cannot be interrupted. */
#define HUGE_DATA ((uint64_t)2 << 20)
#define HUGE_FROM ((uint64_t)8 << 20)
#define HUGE_TO ((uint64_t)128 << 20)

static void use_huge(struct sv_memory *m, uint64_t from, uint64_t to)
{
    sv_region_use_huge(m->region, from, to < HUGE_TO ? to : HUGE_TO);
}

/* The largest memory that an index can name, in pages. */
static uint64_t address_pages(const struct sv_memory_type *t)
{
    unsigned bits = t->limits.is64
                        ? 48
                        : 32; /* 48: what reservations can be at most on our CPUs, guard included */

    return (uint64_t)1 << (bits - (t->page_shift < bits ? t->page_shift : bits));
}

static uint64_t round_page(uint64_t n)
{
    uint64_t page = sv_page_size();

    return (n + page - 1) & ~(page - 1);
}

static bool guard_possible(const struct sv_store *s, const struct sv_memory *m)
{
    return !s->engine->no_guard && !m->type.limits.is64 && sizeof(size_t) == 8 &&
           ((uint64_t)1 << m->type.page_shift) >= sv_page_size();
}

static bool take_region(struct sv_store *s, struct sv_memory *m, const void *owner,
                        struct sv_data_image *image, uint64_t size, uint64_t reserved, bool need)
{
    m->region =
        sv_pool_take_memory(s->engine->pool, owner, image, round_page(size), reserved, need);
    if (!m->region)
        return false;
    m->pool = s->engine->pool;
    m->base = m->region->base;
    return true;
}

static bool reserve_guarded(struct sv_store *s, struct sv_memory *m, const void *owner,
                            struct sv_data_image *image, uint64_t size)
{
    uint64_t full = address_pages(&m->type), room = SV_ADDRESS_ROOM >> m->type.page_shift;

    if (!guard_possible(s, m) || !take_region(s, m, owner, image, size, SV_GUARD_RESERVE, false))
        return false;
    m->reserved = SV_GUARD_RESERVE;
    m->guarded = true;
    /* Native code relies on it that the last bytes of the address space stay without access, and
     * runs otherwise with checks. */
    if (m->limit_pages > full - room && m->type.limits.min <= full - room)
        m->limit_pages = full - room;
    return true;
}

/* The checked form: as much of the maximum as the address space has room for, with a page without
 * access on either side. No image: each is a mapping or two more, and their number is limited. */
static bool reserve_checked(struct sv_store *s, struct sv_memory *m, const void *owner,
                            uint64_t size)
{
    uint64_t page = sv_page_size();
    uint64_t want = m->limit_pages << m->type.page_shift;

    for (;;) {
        if (want < size)
            want = size;
        if (want <= SIZE_MAX - 4 * page &&
            take_region(s, m, owner, NULL, size, round_page(want) + page, true))
            break;
        if (want == size)
            return false;
        want = want / 2 > size ? want / 2 : size;
    }
    m->reserved = round_page(want);
    if (want >> m->type.page_shift < m->limit_pages)
        m->limit_pages = want >> m->type.page_shift;
    return true;
}

bool sv_memory_is_exclusive(const struct sv_memory *m)
{
    return !m->shared && !m->exposed && m->store && !m->store->foreign;
}

static void release_memory(struct sv_memory *m)
{
    if (m->region)
        sv_pool_give_memory(m->pool, m->region, sv_memory_is_exclusive(m));
    sv_memory_lock_delete(m->lock);
    if (m->engine)
        sv_engine_unref(m->engine);
    sv_free(m);
}

static int check_limits(struct sv_err *err, const struct sv_store *s,
                        const struct sv_memory_type *t, uint64_t *ret_size)
{
    uint64_t min = t->limits.min, used = sv_store_memory_used(s);

    if (t->page_shift > 16 || min > address_pages(t))
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET,
                       "memory of %llu pages is larger than the address space",
                       (unsigned long long)min);
    if (used > s->limits.memory_bytes || min > (s->limits.memory_bytes - used) >> t->page_shift)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET,
                       "memory of %llu pages exceeds the store's limit of %llu bytes",
                       (unsigned long long)min, (unsigned long long)s->limits.memory_bytes);
    *ret_size = min << t->page_shift;
    return 0;
}

static int list_memory(struct sv_err *err, struct sv_store *s, struct sv_memory *m)
{
    if (s->nmemories >= s->limits.memories)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "more than %u memories in a store",
                       s->limits.memories);
    if (s->nmemories == s->cap_memories) {
        uint32_t cap = s->cap_memories ? s->cap_memories * 2 : 4;
        struct sv_memory **p = sv_realloc(s->memories, cap * sizeof *p);

        if (!p)
            return sv_fail_nomem(err, "the list of memories");
        s->memories = p;
        s->cap_memories = cap;
    }
    s->memories[s->nmemories++] = m;
    return 0;
}

int sv_memory_new(struct sv_err *err, struct sv_store *s, const struct sv_memory_type *type,
                  const void *owner, struct sv_data_image *image, struct sv_memory **ret)
{
    struct sv_memory *m;
    uint64_t size = 0;
    int r = check_limits(err, s, type, &size);

    if (r < 0)
        return r;
    m = sv_alloc_zero(sizeof *m);
    if (!m)
        return sv_fail_nomem(err, "a memory");
    m->type = *type;
    m->shared = type->limits.shared;
    m->store = m->shared ? NULL : s;
    atomic_init(&m->refs, 1);
    m->max_pages = address_pages(type);
    if (type->limits.has_max && type->limits.max < m->max_pages)
        m->max_pages = type->limits.max;
    m->limit_pages = s->limits.memory_bytes >> type->page_shift;
    /* A shared memory may outlive the store: what it may have at most is settled now. */
    if (m->shared)
        m->limit_pages = (s->limits.memory_bytes - sv_store_memory_used(s)) >> type->page_shift;
    if (m->limit_pages > m->max_pages)
        m->limit_pages = m->max_pages;
    r = SV_ENOMEM;
    if (m->shared) {
        m->engine = sv_engine_ref(s->engine);
        m->lock = sv_memory_lock_new();
        if (!m->lock) {
            sv_fail_nomem(err, "a shared memory");
            goto fail;
        }
    }
    if (!reserve_guarded(s, m, owner, image, size) && !reserve_checked(s, m, owner, size)) {
        sv_fail(err, r, SV_NO_OFFSET, "no address space for a memory of %llu bytes",
                (unsigned long long)size);
        goto fail;
    }
    atomic_store_explicit(&m->size, size, memory_order_relaxed);
    r = SV_ELIMIT;
    if (!sv_store_take_memory(s, size)) {
        sv_fail(err, r, SV_NO_OFFSET, "other threads have used up the store's memory");
        goto fail;
    }
    r = list_memory(err, s, m);
    if (r < 0) {
        sv_store_give_memory(s, size);
        goto fail;
    }
    *ret = m;
    return 0;
fail:
    release_memory(m);
    return r;
}

int sv_memory_use_image(struct sv_err *err, struct sv_memory *m, struct sv_data_image *image)
{
    /* With checks: none, as when it is made. */
    if (!image || !m->guarded || sv_region_set_image(m->region, image))
        return 0;
    return sv_fail(err, SV_ENOMEM, SV_NO_OFFSET, "an image of a memory cannot be mapped");
}

int sv_memory_adopt(struct sv_err *err, struct sv_store *s, struct sv_memory *m)
{
    int r;

    for (uint32_t i = 0; i < s->nmemories; i++)
        if (s->memories[i] == m)
            return 0;
    r = list_memory(err, s, m);
    if (r == 0)
        sv_memory_ref(m);
    return r;
}

struct sv_memory *sv_memory_ref(struct sv_memory *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void sv_memory_unref(own struct sv_memory *m)
{
    if (m && atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1)
        release_memory(m);
}

/* Are `delta` more pages within the type, the limits and the reservation? */
static bool may_grow(const struct sv_memory *m, uint64_t delta)
{
    uint64_t pages = sv_memory_pages(m);
    const struct sv_store *s = m->store;

    if (pages > m->limit_pages || delta > m->limit_pages - pages)
        return false;
    return !s || delta <= (s->limits.memory_bytes - sv_store_memory_used(s)) >> m->type.page_shift;
}

static int64_t grow(struct sv_memory *m, uint64_t delta)
{
    uint64_t size = sv_memory_size(m), bytes = delta << m->type.page_shift;
    uint64_t have = round_page(size);
    struct sv_store *s = m->store;

    if (!may_grow(m, delta) || (s && !sv_store_take_memory(s, bytes)))
        return -1;
    if (size + bytes > have && !sv_region_grow(m->region, round_page(size + bytes))) {
        if (s)
            sv_store_give_memory(s, bytes);
        return -1;
    }
    if (!m->huge && size + bytes - (m->type.limits.min << m->type.page_shift) > HUGE_FROM &&
        size + bytes > sv_region_hot_end(m->region)) {
        m->huge = true;
        use_huge(m, size, m->reserved);
    }
    /* Released after the pages are there: who sees the size may use them. */
    atomic_store_explicit(&m->size, size + bytes, memory_order_release);
    return (int64_t)(size >> m->type.page_shift);
}

int64_t sv_memory_grow(struct sv_memory *m, uint64_t delta)
{
    int64_t old;

    if (!m->shared)
        return grow(m, delta);
    pthread_mutex_lock(&m->lock->mutex);
    old = grow(m, delta);
    pthread_mutex_unlock(&m->lock->mutex);
    return old;
}

int sv_memory_grow_op(struct sv_thread *th, struct sv_memory *m, uint64_t delta, int64_t *ret)
{
    uint64_t gas;

    *ret = -1;
    if (!may_grow(m, delta))
        return 0;
    gas = delta > UINT64_MAX / GROW_GAS_PAGE ? UINT64_MAX : delta * GROW_GAS_PAGE;
    if (!sv_gas_charge(th, gas))
        return SV_TRAP_GAS;
    *ret = sv_memory_grow(m, delta);
    if (*ret < 0 && th->store->metered)
        th->gas += (int64_t)gas; /* the system refused, or another thread was faster */
    return 0;
}

int sv_memory_charge(struct sv_thread *th, uint64_t len)
{
    uint64_t gas = (len >> BULK_GAS_SHIFT) + ((len & ((1u << BULK_GAS_SHIFT) - 1)) != 0);

    return sv_gas_charge(th, gas) ? 0 : SV_TRAP_GAS;
}

int sv_memory_fill(struct sv_thread *th, struct sv_memory *m, uint64_t dst, uint8_t value,
                   uint64_t len)
{
    int code;

    if (!sv_memory_in_bounds(m, dst, len))
        return SV_TRAP_MEMORY_BOUNDS;
    code = sv_memory_charge(th, len);
    while (len && !code) {
        uint64_t n = len < BULK_CHUNK ? len : BULK_CHUNK;

        memset(m->base + dst, value, n);
        dst += n;
        len -= n;
        if (len)
            code = sv_thread_interrupt_code(th);
    }
    return code;
}

int sv_memory_move(struct sv_thread *th, void *dst, const void *src, uint64_t len, uint64_t chunk)
{
    bool down = dst > src; /* from the end, so that overlapping chunks are read first */
    int code = 0;

    while (len && !code) {
        uint64_t n = len < chunk ? len : chunk, at = down ? len - n : 0;

        memmove((char *)dst + at, (const char *)src + at, n);
        len -= n;
        if (!down) {
            dst = (char *)dst + n;
            src = (const char *)src + n;
        }
        if (len)
            code = sv_thread_interrupt_code(th);
    }
    return code;
}

int sv_memory_copy(struct sv_thread *th, struct sv_memory *dst_mem, uint64_t dst,
                   struct sv_memory *src_mem, uint64_t src, uint64_t len)
{
    int code;

    if (!sv_memory_in_bounds(dst_mem, dst, len) || !sv_memory_in_bounds(src_mem, src, len))
        return SV_TRAP_MEMORY_BOUNDS;
    code = sv_memory_charge(th, len);
    return code ? code
                : sv_memory_move(th, dst_mem->base + dst, src_mem->base + src, len, BULK_CHUNK);
}

int sv_memory_init(struct sv_thread *th, struct sv_instance *inst, uint32_t memory, uint32_t data,
                   uint64_t dst, uint32_t src, uint32_t len)
{
    const struct sv_data_decl *d = &inst->module->datas[data];
    struct sv_memory *m = inst->memories[memory];
    uint32_t have = inst->data_dropped[data] ? 0 : d->len;
    int code;

    if (src > have || len > have - src || !sv_memory_in_bounds(m, dst, len))
        return SV_TRAP_MEMORY_BOUNDS;
    code = sv_memory_charge(th, len);
    if (len >= HUGE_DATA && !code)
        use_huge(m, dst, dst + len);
    while (len && !code) {
        uint32_t n = len < BULK_CHUNK ? len : (uint32_t)BULK_CHUNK;

        memcpy(m->base + dst, inst->module->bytes + d->bytes_offset + src, n);
        dst += n;
        src += n;
        len -= n;
        if (len)
            code = sv_thread_interrupt_code(th);
    }
    return code;
}

void sv_data_drop(struct sv_instance *inst, uint32_t data)
{
    inst->data_dropped[data] = 1;
}
