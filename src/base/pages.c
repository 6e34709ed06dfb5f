/* Address space by mmap. Knows no Wasm and keeps no list of what it gave. */
#include "base/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#ifndef __x86_64__
size_t sv_page_size(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}
#endif

/* Whole pages; 0 when there are none or too many. */
static size_t round_up(size_t size)
{
    size_t page = sv_page_size();

    return size <= PTRDIFF_MAX - page ? (size + page - 1) & ~(page - 1) : 0;
}

void *sv_pages_reserve(size_t size)
{
    void *p;

    size = round_up(size);
    if (size == 0)
        return NULL;
    p = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? NULL : p;
}

bool sv_pages_commit(void *p, size_t size)
{
    if (size == 0)
        return true;
    size = round_up(size);
    return size != 0 && mprotect(p, size, PROT_READ | PROT_WRITE) == 0;
}

bool sv_pages_decommit(void *p, size_t size)
{
    if (size == 0)
        return true;
    size = round_up(size);
    /* a fresh mapping over the old one: its contents cannot come back */
    return size != 0 && mmap(p, size, PROT_NONE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == p;
}

void sv_pages_clear(void *p, size_t size)
{
    size = round_up(size);
    if (size)
        madvise(p, size, MADV_DONTNEED);
}

void sv_pages_release(void *p, size_t size)
{
    size = round_up(size);
    if (p && size)
        munmap(p, size);
}
