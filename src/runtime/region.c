/* Cleaning of recycled address space. Which region is taken for whom is pool.c's.
 *
 * Giving pages back to the system costs a fault for each of them in the next tenant, microseconds a
 * page; copying over a resident page costs 64-90 ns (decision 019 has 16 MiB in all ways). So the
 * pages that tenants write are learned, kept, and wiped. Any other page is not resident, or a clean
 * one of the image, and cannot be written without a fault: where the thread's fault counter has not
 * moved nothing else is dirty. Where it has, the page tables tell what is. */
#include "runtime/region.h"

#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/pages.h"
#include "runtime/data_image.h"
#include "runtime/signal.h"

/* The first tenant is not looked at: it may be the only one. */
#define USES_BEFORE_LOOK 2
/* So often everything is forgotten: pages that nobody uses any more must not be wiped for ever. */
#define USES_BEFORE_FORGET 1024
/* So many tenants that wrote too much to be learned: no more looks until everything is forgotten.
 */
#define MISSES_MAX 8
/* Where many pages are hot: so many tenants in a row that wrote to less than one in IDLE_PART of
 * them, and all are given back. */
#define IDLE_MAX 4
#define IDLE_PART 4
#define HUGE_PAGE ((uint64_t)2 << 20)
/* Without PAGEMAP_SCAN: entries read at a time, and the largest region that is looked at so. */
#define ENTRIES 512
#define ENTRIES_BYTES_MAX ((uint64_t)64 << 20)

/* linux/fs.h of Linux 6.7, which our build machines' headers may lack. */
struct page_region {
    uint64_t start, end, categories;
};
struct pm_scan_arg {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
    uint64_t category_inverted, category_mask, category_anyof_mask, return_mask;
};
#define SCAN _IOWR('f', 16, struct pm_scan_arg)
#define IS_FILE ((uint64_t)1 << 2)
#define IS_PRESENT ((uint64_t)1 << 3)
#define IS_SWAPPED ((uint64_t)1 << 4)
#define IS_PFNZERO ((uint64_t)1 << 5)
/* Bits of /proc/self/pagemap. */
#define ENTRY_PRESENT ((uint64_t)1 << 63)
#define ENTRY_SWAPPED ((uint64_t)1 << 62)
#define ENTRY_FILE ((uint64_t)1 << 61)

static uint64_t thread_faults(void)
{
    struct rusage use;

    /* Without the counter every look says "moved". */
    if (getrusage(RUSAGE_THREAD, &use))
        return 0;
    return 1 + (uint64_t)use.ru_minflt + (uint64_t)use.ru_majflt;
}

/* A large one begins at a huge page, for a 64th more of address space at most: else what a tenant
 * grows by has small pages at both ends. */
own struct sv_region *sv_region_new(uint64_t reserved)
{
    struct sv_region *r = sv_alloc_zero(sizeof *r);
    uint64_t slack = reserved / 64 >= HUGE_PAGE ? HUGE_PAGE : 0;

    if (!r)
        return NULL;
    r->map_len = SV_GUARD_BELOW + reserved + slack;
    r->map = sv_pages_reserve(r->map_len);
    if (!r->map) {
        sv_free(r);
        return NULL;
    }
    r->base = r->map + SV_GUARD_BELOW;
    if (slack)
        r->base += -(uintptr_t)r->base & (HUGE_PAGE - 1);
    r->reserved = reserved;
    return r;
}

own struct sv_region *sv_region_new_stack(uint64_t bytes)
{
    uint64_t page = sv_page_size(), size = (bytes + page - 1) & ~(page - 1);
    struct sv_region *r;

    if (bytes == 0 || bytes > SIZE_MAX / 2)
        return NULL;
    r = sv_region_new(size + page);
    if (r && sv_region_resize(r, size))
        return r;
    sv_region_delete(r);
    return NULL;
}

void sv_region_delete(own struct sv_region *r)
{
    if (!r)
        return;
    sv_pages_release(r->map, r->map_len);
    sv_data_image_unref(r->image);
    sv_free(r);
}

void sv_region_note_faults(void)
{
    sv_os_self.faults = thread_faults();
}

void sv_region_start(struct sv_region *r)
{
    r->tid = sv_os_tid();
    r->seen.faults = 0;
    /* An older number is as good as long as nothing of the host's own faults in between. */
    if (r->moved)
        sv_region_note_faults();
    r->faults = sv_os_self.faults;
}

/* Nothing is resident any more. */
static void clear_all(struct sv_region *r)
{
    if (r->reach)
        sv_pages_clear(r->base, r->reach);
    r->nhot = r->nruns = r->idle = 0;
    r->reach = r->committed;
}

static bool is_zero(const uint8_t *p, size_t n)
{
    uint64_t first;

    memcpy(&first, p, sizeof first);
    return first == 0 && memcmp(p, p + sizeof first, n - sizeof first) == 0;
}

/* False: there was nothing to do. */
static bool wipe_page(struct sv_region *r, uint64_t at)
{
    size_t page = sv_page_size();

    if (r->image && sv_data_image_copy(r->image, at, r->base + at, page))
        return true;
    if (is_zero(r->base + at, page))
        return false;
    memset(r->base + at, 0, page);
    return true;
}

static void wipe(struct sv_region *r)
{
    size_t page = sv_page_size();
    uint32_t end = (uint32_t)(r->committed / page), used = 0;

    /* What is beyond has no access, and is clean since that was taken away. */
    for (unsigned i = 0; i < r->nruns; i++)
        for (uint32_t p = r->hot[i].first; p < r->hot[i].end && p < end; p++)
            used += wipe_page(r, (uint64_t)p * page);
    if (r->nhot <= SV_REGION_HOT_MAX || used >= r->nhot / IDLE_PART)
        r->idle = 0;
    else if (++r->idle == IDLE_MAX)
        clear_all(r);
}

/* What a look at the page tables finds: up to `max` pages that are our own copies. */
struct look {
    struct sv_page_run runs[SV_REGION_RUNS_MAX];
    unsigned n;
    uint32_t pages, max;
};

static bool add_run(struct look *l, uint64_t first, uint64_t end)
{
    if (end - first > l->max - l->pages)
        return false;
    l->pages += (uint32_t)(end - first);
    if (l->n && l->runs[l->n - 1].end == first) {
        l->runs[l->n - 1].end = (uint32_t)end;
        return true;
    }
    if (l->n == SV_REGION_RUNS_MAX)
        return false;
    l->runs[l->n++] = (struct sv_page_run){(uint32_t)first, (uint32_t)end};
    return true;
}

/* Of the bytes from `from` on. 1: found them all; 0: there are more; -1: the system cannot tell. */
static int look_by_scan(int fd, const uint8_t *from, uint64_t len, struct look *ret)
{
    struct page_region runs[SV_REGION_RUNS_MAX + 1];
    uint64_t page = sv_page_size(), start = (uintptr_t)from;
    struct pm_scan_arg arg = {
        .size = sizeof arg,
        .start = start,
        .end = start + len,
        .vec = (uintptr_t)runs,
        .vec_len = SV_REGION_RUNS_MAX + 1,
        .max_pages = ret->max + 1,
        .category_inverted = IS_FILE | IS_PFNZERO,
        .category_mask = IS_FILE | IS_PFNZERO,
        .category_anyof_mask = IS_PRESENT | IS_SWAPPED,
        .return_mask = IS_PRESENT | IS_SWAPPED,
    };
    int n = ioctl(fd, SCAN, &arg);

    if (n < 0)
        return -1;
    for (int i = 0; i < n; i++)
        if (!add_run(ret, (runs[i].start - start) / page, (runs[i].end - start) / page))
            return 0;
    return arg.walk_end == arg.end;
}

static int look_by_entries(int fd, const uint8_t *from, uint64_t len, struct look *ret)
{
    uint64_t entries[ENTRIES], page = sv_page_size();
    uint64_t first = (uintptr_t)from / page, n = len / page;

    if (len > ENTRIES_BYTES_MAX)
        return -1;
    for (uint64_t at = 0; at < n; at += ENTRIES) {
        uint64_t some = n - at < ENTRIES ? n - at : ENTRIES;

        if (pread(fd, entries, some * sizeof *entries, (off_t)((first + at) * sizeof *entries)) !=
            (ssize_t)(some * sizeof *entries))
            return -1;
        for (uint64_t i = 0; i < some; i++)
            if ((entries[i] & (ENTRY_PRESENT | ENTRY_SWAPPED)) && !(entries[i] & ENTRY_FILE) &&
                !add_run(ret, at + i, at + i + 1))
                return 0;
    }
    return 1;
}

/* False: there are more, or it is not to be known. */
static bool look(const uint8_t *from, uint64_t len, struct look *ret)
{
    /* Opened each time: one kept from before a fork would tell of another process. */
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), found;

    if (fd < 0)
        return false;
    found = look_by_scan(fd, from, len, ret);
    if (found < 0) {
        ret->n = ret->pages = 0;
        found = look_by_entries(fd, from, len, ret);
    }
    close(fd);
    return found > 0;
}

/* Make the pages that are our own copies the hot ones, those of larger tenants too. False: too
 * many, or not to be known. */
static bool learn(struct sv_region *r, uint32_t hot_max)
{
    struct look l = {.n = 0, .max = hot_max};

    if (!look(r->base, r->reach, &l))
        return false;
    memcpy(r->hot, l.runs, l.n * sizeof *l.runs);
    r->nruns = (uint8_t)l.n;
    r->nhot = l.pages;
    return true;
}

/* Nothing has been written since the region was cleaned, but to hot pages: none of these? */
static bool is_cold(const struct sv_region *r, uint64_t at, uint64_t end)
{
    uint64_t page = sv_page_size();

    for (unsigned i = 0; i < r->nruns; i++)
        if (at < r->hot[i].end * page && end > r->hot[i].first * page)
            return false;
    return true;
}

bool sv_region_is_clean(struct sv_region *r, uint64_t at, uint64_t end, bool exclusive)
{
    struct sv_region_seen now = {at, end, thread_faults()}, *seen = &r->seen;
    uint64_t mask = sv_page_size() - 1, from = at & ~mask;
    struct look l = {.max = 0};

    exclusive = exclusive && now.faults && r->tid == sv_os_tid();
    if (exclusive && seen->faults == now.faults && seen->at == at && seen->end == end)
        return true;
    if (exclusive && r->tracked && r->faults == now.faults && is_cold(r, at, end))
        return true;
    if (!look(r->base + from, ((end + mask) & ~mask) - from, &l))
        return false;
    if (exclusive)
        *seen = now;
    return true;
}

void sv_region_clean(struct sv_region *r, bool exclusive, uint32_t hot_max)
{
    r->uses++;
    r->moved = true;
    if (r->uses % USES_BEFORE_FORGET == 0)
        r->misses = 0;
    if (!exclusive || r->tid != sv_os_tid() || r->misses >= MISSES_MAX ||
        r->uses < USES_BEFORE_LOOK || r->uses % USES_BEFORE_FORGET == 0) {
        clear_all(r);
        return;
    }
    if (!r->tracked) {
        /* One that becomes huge would make cold pages resident behind the counter's back. Those
         * that are huge already are seen by the look. */
        if (madvise(r->base, r->reserved, MADV_NOHUGEPAGE)) {
            clear_all(r);
            return;
        }
        r->tracked = true;
    } else {
        r->moved = r->faults != sv_os_self.faults || r->faults == 0;
    }
    if (r->moved && !learn(r, hot_max)) {
        clear_all(r);
        r->misses++;
    }
    wipe(r);
}

bool sv_region_grow(struct sv_region *r, uint64_t size)
{
    if (!sv_pages_commit(r->base + r->committed, size - r->committed))
        return false;
    r->committed = size;
    if (size > r->reach)
        r->reach = size;
    return true;
}

bool sv_region_resize(struct sv_region *r, uint64_t size)
{
    if (size > r->committed)
        return sv_region_grow(r, size);
    /* The pages stay, clean, for a tenant that grows again. */
    if (size < r->committed && mprotect(r->base + size, r->committed - size, PROT_NONE))
        return false;
    r->committed = size;
    return true;
}

bool sv_region_adopt(struct sv_region *r, const void *owner, struct sv_data_image *image,
                     uint64_t size)
{
    if (r->image != image && r->reach) {
        if (!sv_pages_decommit(r->base, r->reach))
            return false;
        r->nhot = r->nruns = 0;
        r->committed = r->reach = 0;
        r->tracked = false; /* the mapping is a new one */
    } else {
        clear_all(r);
    }
    r->owner = owner;
    r->uses = r->misses = r->idle = 0;
    r->moved = false;
    if (!sv_region_resize(r, size))
        return false;
    if (r->image == image)
        return true;
    sv_data_image_unref(r->image);
    r->image = NULL;
    return !image || sv_region_set_image(r, image);
}

bool sv_region_set_image(struct sv_region *r, struct sv_data_image *image)
{
    r->broken = !sv_data_image_map(image, r->base);
    if (r->broken)
        return false;
    r->image = sv_data_image_ref(image);
    r->tracked = false; /* the mapping is a new one */
    return true;
}

void sv_region_use_huge(struct sv_region *r, uint64_t from, uint64_t to)
{
    uint64_t hot = sv_region_hot_end(r);
    uintptr_t low = (uintptr_t)r->base + (from > hot ? from : hot) + HUGE_PAGE - 1;
    uintptr_t high = ((uintptr_t)r->base + to) & ~(uintptr_t)(HUGE_PAGE - 1);

    low &= ~(uintptr_t)(HUGE_PAGE - 1);
    if (low >= high)
        return;
    /* A hint: where the system does not offer it, nothing changes. */
    madvise((void *)low, high - low, MADV_HUGEPAGE);
    r->tracked = false;
}
