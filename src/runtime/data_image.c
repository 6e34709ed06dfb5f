/* Images of initial memory. The range of a memory's image follows from the module alone, so that
 * one made in a file today fits tomorrow. Which regions hold them is region.c's. */
#include "runtime/data_image.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/pages.h"
#include "runtime/memory.h"
#include "wasm/module.h"

/* Fewer data bytes in a memory are copied. A warm request with an image costs 1.1 us whatever its
 * size; copying made it 1.2 us with 8 KiB, 1.6 with 16, 2.8 with 32, 4.7 with 64. */
#define DATA_MIN ((uint64_t)16 << 10)
/* The range of an image may be larger than its data by this factor and this much: holes cost memory
 * once somebody reads them. */
#define SPARSE_FACTOR 8
#define SPARSE_ROOM ((uint64_t)1 << 20)
/* Of the file; part of the format of images in files. */
#define IMAGE_PAGE ((uint64_t)65536)

struct sv_data_image {
    _Atomic uint32_t refs;
    atomic_bool dead;
    int fd;
    uint64_t offset;      /* in the file */
    uint64_t start, len;  /* in the memory */
    const uint8_t *bytes; /* for copying */
};

/* What a memory's image covers; end 0: nothing. */
struct range {
    uint64_t start, end;
    uint64_t data; /* bytes of segments */
};

struct sv_data_image *sv_data_image_ref(struct sv_data_image *i)
{
    if (i)
        atomic_fetch_add_explicit(&i->refs, 1, memory_order_relaxed);
    return i;
}

void sv_data_image_unref(own struct sv_data_image *i)
{
    if (!i || atomic_fetch_sub_explicit(&i->refs, 1, memory_order_acq_rel) != 1)
        return;
    sv_pages_release((void *)(uintptr_t)i->bytes, i->len);
    close(i->fd);
    sv_free(i);
}

bool sv_data_image_is_dead(const struct sv_data_image *i)
{
    return atomic_load_explicit(&i->dead, memory_order_relaxed);
}

bool sv_data_image_map(const struct sv_data_image *i, uint8_t *base)
{
    void *p = mmap(base + i->start, i->len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, i->fd,
                   (off_t)i->offset);

    /* A huge page would hide writes from who counts faults (region.c). */
    return p != MAP_FAILED && (madvise(p, i->len, MADV_NOHUGEPAGE) == 0 || errno == EINVAL);
}

bool sv_data_image_copy(const struct sv_data_image *i, uint64_t at, void *to, uint64_t len)
{
    if (at < i->start || at - i->start >= i->len)
        return false;
    memcpy(to, i->bytes + (at - i->start), len);
    return true;
}

bool sv_data_image_covers(const struct sv_data_image *i, uint64_t at, uint64_t len)
{
    return at >= i->start && at - i->start <= i->len && len <= i->len - (at - i->start);
}

/* Is the expression one constant? Validated bytes. */
static bool one_const(const struct sv_module *m, struct sv_const_expr e, uint64_t *ret)
{
    const uint8_t *p = m->bytes + e.offset, *end = p + e.len;
    bool is64 = *p == 0x42; /* i64.const; 0x41: i32.const */
    unsigned shift = 0;
    uint64_t v = 0;
    uint8_t b;

    if (*p != 0x41 && !is64)
        return false;
    do {
        b = *++p;
        v |= (uint64_t)(b & 0x7f) << shift;
        shift += 7;
    } while ((b & 0x80) && shift < 64);
    if (shift < 64 && (b & 0x40))
        v |= ~UINT64_C(0) << shift;
    *ret = is64 ? v : (uint32_t)v;
    return p + 2 == end; /* `end` follows */
}

/* Where the segment goes, when that cannot trap. */
static bool fixed_place(const struct sv_module *m, const struct sv_data_decl *d, uint64_t *ret)
{
    const struct sv_memory_type *t = &m->memories[d->memory];
    uint64_t min = t->limits.min, size;

    /* Larger ones than any address are refused when they are made. */
    size = min > UINT64_MAX >> t->page_shift ? 0 : min << t->page_shift;
    return one_const(m, d->offset, ret) && *ret <= size && d->len <= size - *ret;
}

static bool may_have_image(const struct sv_module *m, uint32_t memory)
{
    const struct sv_memory_type *t = &m->memories[memory];

    return memory >= m->nimports_of[SV_EXTERN_MEMORY] && !t->limits.shared &&
           t->page_shift == SV_PAGE_SHIFT;
}

/* ranges has one for each memory. Returns how many segments come before the first that may trap or
 * whose place is not known: those behind it must not be there if it traps. */
static uint32_t find_ranges(const struct sv_module *m, struct range *ranges)
{
    uint32_t i;
    uint64_t at;

    memset(ranges, 0, m->nmemories * sizeof *ranges);
    for (i = 0; i < m->ndatas; i++) {
        const struct sv_data_decl *d = &m->datas[i];
        struct range *r = &ranges[d->memory];

        if (d->mode != SV_SEGMENT_ACTIVE)
            continue;
        if (!fixed_place(m, d, &at))
            break;
        if (d->len == 0 || !may_have_image(m, d->memory))
            continue;
        if (r->end == 0 || at < r->start)
            r->start = at & ~(IMAGE_PAGE - 1);
        if (at + d->len > r->end)
            r->end = (at + d->len + IMAGE_PAGE - 1) & ~(IMAGE_PAGE - 1);
        r->data += d->len;
    }
    for (uint32_t k = 0; k < m->nmemories; k++)
        if (ranges[k].data < DATA_MIN ||
            (ranges[k].end - ranges[k].start) / SPARSE_FACTOR > ranges[k].data + SPARSE_ROOM)
            ranges[k] = (struct range){0};
    return i;
}

static own struct range *new_ranges(const struct sv_module *m, uint32_t *ret_ndatas)
{
    struct range *ranges = NULL;
    uint64_t len = 0;

    /* Most modules: nothing to allocate. */
    for (uint32_t i = 0; i < m->ndatas; i++)
        len += m->datas[i].mode == SV_SEGMENT_ACTIVE ? m->datas[i].len : 0;
    if (len >= DATA_MIN && m->nmemories)
        ranges = sv_alloc_array(m->nmemories, sizeof *ranges);
    if (ranges)
        *ret_ndatas = find_ranges(m, ranges);
    return ranges;
}

static uint64_t size_of(const struct sv_module *m, const struct range *ranges)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < m->nmemories; i++)
        sum += ranges[i].end - ranges[i].start;
    return sum;
}

uint64_t sv_data_images_size(const struct sv_module *m)
{
    uint32_t ndatas;
    struct range *ranges = new_ranges(m, &ndatas);
    uint64_t size = ranges ? size_of(m, ranges) : 0;

    sv_free(ranges);
    return size;
}

/* Where pages go: to memory, or to a file. */
struct sink {
    uint8_t *to; /* NULL: the file */
    int fd;
};

static bool write_at(const struct sink *s, const uint8_t *p, uint64_t len, uint64_t offset)
{
    if (s->to) {
        memcpy(s->to + offset, p, len);
        return true;
    }
    while (len) {
        ssize_t n = pwrite(s->fd, p, len, (off_t)offset);

        if (n <= 0)
            return false;
        p += n;
        len -= (uint64_t)n;
        offset += (uint64_t)n;
    }
    return true;
}

static bool write_ranges(const struct sv_module *m, const struct range *ranges, uint32_t ndatas,
                         const struct sink *s)
{
    uint64_t at = 0, offset = 0;

    for (uint32_t k = 0; k < m->nmemories; k++) {
        const struct range *r = &ranges[k];

        for (uint32_t i = 0; i < ndatas && r->end; i++) {
            const struct sv_data_decl *d = &m->datas[i];

            if (d->mode == SV_SEGMENT_ACTIVE && d->memory == k && fixed_place(m, d, &at) &&
                !write_at(s, m->bytes + d->bytes_offset, d->len, offset + (at - r->start)))
                return false;
        }
        offset += r->end - r->start;
    }
    return true;
}

bool sv_data_images_write(const struct sv_module *m, uint8_t *to)
{
    struct sink s = {.to = to};
    uint32_t ndatas;
    struct range *ranges = new_ranges(m, &ndatas);
    bool ok = ranges && write_ranges(m, ranges, ndatas, &s);

    sv_free(ranges);
    return ok;
}

/* ---- A module's ---- */

static void data_images_release(void *data)
{
    struct sv_module *m = data;
    struct sv_data_images *all = atomic_load(&m->data_images);

    for (uint32_t i = 0; i < m->nmemories; i++) {
        if (all->of[i])
            atomic_store_explicit(&all->of[i]->dead, true, memory_order_relaxed);
        sv_data_image_unref(all->of[i]);
    }
    sv_free(all);
}

static own struct sv_data_image *open_image(int fd, uint64_t offset, const struct range *r)
{
    uint64_t len = r->end - r->start;
    struct sv_data_image *i = sv_alloc_zero(sizeof *i);
    void *bytes;

    if (!i)
        return NULL;
    i->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    bytes = i->fd < 0 ? MAP_FAILED : mmap(NULL, len, PROT_READ, MAP_SHARED, i->fd, (off_t)offset);
    if (bytes == MAP_FAILED) {
        if (i->fd >= 0)
            close(i->fd);
        sv_free(i);
        return NULL;
    }
    atomic_init(&i->refs, 1);
    i->bytes = bytes;
    i->offset = offset;
    i->start = r->start;
    i->len = len;
    return i;
}

/* Those that cannot be had are left out. False: another thread was faster, or there is no memory.
 */
static bool set_images(struct sv_module *m, const struct range *ranges, uint32_t ndatas, int fd,
                       uint64_t offset)
{
    struct sv_data_images *all = sv_alloc_zero(sizeof *all + m->nmemories * sizeof all->of[0]);
    void *none = NULL;

    if (!all)
        return false;
    all->ndatas = ndatas;
    for (uint32_t i = 0; i < m->nmemories; i++) {
        if (ranges[i].end)
            all->of[i] = open_image(fd, offset, &ranges[i]);
        offset += ranges[i].end - ranges[i].start;
    }
    /* The same value from every thread. */
    __atomic_store_n(&m->data_images_release, data_images_release, __ATOMIC_RELAXED);
    if (atomic_compare_exchange_strong(&m->data_images, &none, all))
        return true;
    for (uint32_t i = 0; i < m->nmemories; i++)
        sv_data_image_unref(all->of[i]);
    sv_free(all);
    return false;
}

bool sv_data_images_use_file(struct sv_module *m, int fd, uint64_t offset)
{
    uint32_t ndatas;
    struct range *ranges = new_ranges(m, &ndatas);
    bool ok = ranges && size_of(m, ranges) && set_images(m, ranges, ndatas, fd, offset);

    sv_free(ranges);
    return ok;
}

static void make_images(struct sv_module *m)
{
    uint32_t ndatas;
    struct range *ranges = new_ranges(m, &ndatas);
    uint64_t size = ranges ? size_of(m, ranges) : 0;
    int fd = size ? memfd_create("ssvm-data", MFD_CLOEXEC | MFD_ALLOW_SEALING) : -1;
    struct sink s = {.fd = fd};

    /* Sealed: nobody who gets hold of the descriptor changes what others have mapped. */
    if (fd >= 0 && ftruncate(fd, (off_t)size) == 0 && write_ranges(m, ranges, ndatas, &s) &&
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0)
        set_images(m, ranges, ndatas, fd, 0);
    if (fd >= 0)
        close(fd);
    sv_free(ranges);
}

const struct sv_data_images *sv_module_data_images(struct sv_module *m)
{
    struct sv_data_images *all = atomic_load_explicit(&m->data_images, memory_order_acquire);

    if (all || m->ndatas == 0 || atomic_load_explicit(&m->instances, memory_order_relaxed) > 1)
        return all;
    /* The first one may be the only one, and copying is cheaper than making an image. */
    if (atomic_fetch_add_explicit(&m->instances, 1, memory_order_relaxed) != 1)
        return NULL;
    make_images(m);
    return atomic_load_explicit(&m->data_images, memory_order_acquire);
}
