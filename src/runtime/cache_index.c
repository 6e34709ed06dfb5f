/* The index of the cache. A file of pages, each a set of records: a look-up reads one page. What is
 * damaged is as if it were not there. The argument for what is stored is in
 * doc/internals/cache.md. */
#include "runtime/cache_index.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "runtime/cache.h"

#define PAGE 4096
#define PAGES 64 /* 2,496 records, 256 KiB */
#define MAGIC "ssvmidx"
#define CHECK_LEN 16
#define SECOND UINT64_C(1000000000)
#define RACY_NS (2 * SECOND)

struct record {
    uint64_t dev, ino, size, mtime_ns, ctime_ns; /* the identity */
    uint64_t len;
    uint32_t kind;
    uint32_t stored_s; /* since 1970: the oldest of a full page goes */
    uint8_t digest[SV_SHA256_LEN];
    uint8_t check[CHECK_LEN]; /* of the bytes before, with the page's key */
};
struct page {
    char magic[8];
    uint8_t key[32]; /* random, new when the page is made */
    struct record records[(PAGE - 40) / sizeof(struct record)];
};
_Static_assert(sizeof(struct record) == 104 && sizeof(struct page) == PAGE, "a page is a page");

static uint64_t time_ns(const struct timespec *t)
{
    return (uint64_t)t->tv_sec * SECOND + (uint64_t)t->tv_nsec;
}

static struct record record_of(enum sv_index_kind kind, const struct stat *st, uint64_t len)
{
    return (struct record){.dev = st->st_dev,
                           .ino = st->st_ino,
                           .size = (uint64_t)st->st_size,
                           .mtime_ns = time_ns(&st->st_mtim),
                           .ctime_ns = time_ns(&st->st_ctim),
                           .len = len,
                           .kind = (uint32_t)kind};
}

bool sv_index_same(const struct sv_cache_file *file)
{
    struct record x = record_of(SV_INDEX_WASM, &file->stat, 0), y;
    struct stat now;

    if (fstat(file->fd, &now) < 0)
        return false;
    y = record_of(SV_INDEX_WASM, &now, 0);
    return memcmp(&x, &y, sizeof x) == 0;
}

static void check_of(const struct page *page, const struct record *r, uint8_t ret[CHECK_LEN])
{
    uint8_t mac[SV_SHA256_LEN];
    struct sv_hmac m;

    sv_hmac_init(&m, page->key, sizeof page->key);
    sv_hmac_add(&m, r, offsetof(struct record, check));
    sv_hmac_end(&m, mac);
    memcpy(ret, mac, CHECK_LEN);
}

static bool record_ok(const struct page *page, const struct record *r)
{
    uint8_t check[CHECK_LEN];

    check_of(page, r, check);
    return sv_secret_eq(check, r->check, CHECK_LEN);
}

/* A file is always on one page, in whatever state: an old record is replaced. */
static off_t page_offset(const struct stat *st)
{
    uint64_t x = (st->st_ino ^ (uint64_t)st->st_dev << 40) * UINT64_C(0x9e3779b97f4a7c15);

    return (off_t)((x >> 32) % PAGES * PAGE);
}

static bool same_file(const struct record *a, const struct record *b)
{
    return a->ino == b->ino && a->dev == b->dev && a->kind == b->kind && a->len == b->len;
}

static bool read_page(int index, off_t offset, struct page *ret)
{
    return pread(index, ret, sizeof *ret, offset) == sizeof *ret &&
           memcmp(ret->magic, MAGIC, sizeof ret->magic) == 0;
}

int sv_index_open(int dir, uid_t user, bool make)
{
    int flags = O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
    int fd = openat(dir, "index", flags | O_RDWR | (make ? O_CREAT : 0), 0600);
    struct stat st;

    if (fd < 0 && (errno == EROFS || errno == EACCES || errno == EPERM))
        fd = openat(dir, "index", flags | O_RDONLY);
    if (fd < 0)
        return -1;
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_uid != user ||
        !sv_cache_file_private(&st, user)) {
        close(fd);
        return -1;
    }
    return fd;
}

/* File systems that give every change a new time, made by this kernel's clock. Not tmpfs: a change
 * through a mapping leaves its times alone. Not those of networks and FUSE: another machine's, or
 * anybody's, clock and numbers. */
static bool times_tell(int fd)
{
    static const uint32_t known[] = {EXT4_SUPER_MAGIC, 0x58465342 /* XFS */, BTRFS_SUPER_MAGIC,
                                     F2FS_SUPER_MAGIC, OVERLAYFS_SUPER_MAGIC};
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return false;
    for (size_t i = 0; i < SV_COUNT(known); i++) {
        if ((uint32_t)fs.f_type == known[i])
            return true;
    }
    return false;
}

bool sv_index_find(int index, enum sv_index_kind kind, const struct sv_cache_file *file,
                   uint64_t len, uint8_t ret[SV_SHA256_LEN])
{
    const struct stat *st = &file->stat;
    struct record want = record_of(kind, st, len);
    struct page page;

    if (!read_page(index, page_offset(st), &page))
        return false;
    for (size_t i = 0; i < SV_COUNT(page.records); i++) {
        const struct record *r = &page.records[i];

        if (!same_file(r, &want) || r->size != want.size || r->mtime_ns != want.mtime_ns ||
            r->ctime_ns != want.ctime_ns || !record_ok(&page, r))
            continue;
        /* numbers of devices that are none (FUSE, networks) are used again by others */
        if (gnu_dev_major(st->st_dev) == 0 && !times_tell(file->fd))
            return false;
        memcpy(ret, r->digest, sizeof r->digest);
        return true;
    }
    return false;
}

/* A change soon after the last one may not be seen in the times (their grain), so a file that was
 * looked at within two seconds of its times is not known. Times of whole seconds are of a coarse
 * clock, or made up by an image of a file system. */
static bool settled(const struct stat *st, uint64_t now)
{
    uint64_t mtime = time_ns(&st->st_mtim), ctime = time_ns(&st->st_ctim);

    return st->st_ctim.tv_nsec != 0 && ctime < now - RACY_NS &&
           (mtime < now - RACY_NS || mtime > now + RACY_NS);
}

/* The record of the same file, or one that is free or damaged, or the oldest. */
static size_t choose_slot(const struct page *page, const struct record *new)
{
    size_t slot = 0;
    uint32_t oldest = UINT32_MAX;

    for (size_t i = 0; i < SV_COUNT(page->records); i++) {
        const struct record *r = &page->records[i];
        uint32_t age = record_ok(page, r) ? r->stored_s : 0;

        if (same_file(r, new))
            return i;
        if (age < oldest) {
            oldest = age;
            slot = i;
        }
    }
    return slot;
}

bool sv_index_may_write(uint64_t end)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && end <= limit.rlim_cur;
}

bool sv_index_takes(const struct sv_cache_file *file)
{
    return settled(&file->stat, file->seen_ns) && times_tell(file->fd);
}

void sv_index_put(int index, enum sv_index_kind kind, const struct sv_cache_file *file,
                  uint64_t len, const uint8_t digest[SV_SHA256_LEN])
{
    const struct stat *st = &file->stat;
    struct record new = record_of(kind, st, len);
    off_t offset = page_offset(st);
    struct page page;
    size_t slot = 0;
    bool fresh;

    if (!sv_index_takes(file) || !sv_index_may_write((uint64_t)offset + PAGE))
        return;
    fresh = !read_page(index, offset, &page);
    if (fresh) {
        memset(&page, 0, sizeof page);
        memcpy(page.magic, MAGIC, sizeof page.magic);
        if (getrandom(page.key, sizeof page.key, 0) != sizeof page.key)
            return;
    } else {
        slot = choose_slot(&page, &new);
    }
    new.stored_s = (uint32_t)(sv_clock_wall_ns() / SECOND);
    memcpy(new.digest, digest, sizeof new.digest);
    check_of(&page, &new, new.check);
    page.records[slot] = new;
    /* Torn or lost writes are records that do not pass their check: nobody needs to be told. */
    if (fresh)
        (void)!pwrite(index, &page, sizeof page, offset);
    else
        (void)!pwrite(index, &new, sizeof new,
                      offset + (off_t)(offsetof(struct page, records) + slot * sizeof new));
}
