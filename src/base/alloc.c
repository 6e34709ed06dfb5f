/* The one door to malloc, with the hook that lets tests fail an allocation. Not an allocator of its
 * own. */
#include "base/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define SMALL 1024

#ifdef SV_TORTURE
#include <stdatomic.h>

static _Atomic unsigned long made, fail_at;

static bool refused(void)
{
    unsigned long n = atomic_fetch_add(&made, 1) + 1;

    return n == atomic_load(&fail_at);
}

void sv_alloc_fail_at(unsigned long n)
{
    atomic_store(&fail_at, n ? atomic_load(&made) + n : 0);
}

unsigned long sv_alloc_count(void)
{
    return atomic_load(&made);
}
#else
static inline bool refused(void)
{
    return false;
}

void sv_alloc_fail_at(unsigned long n)
{
    (void)n;
}

unsigned long sv_alloc_count(void)
{
    return 0;
}
#endif

/* Nothing above PTRDIFF_MAX is an object; zero bytes are one byte, so that NULL always means
 * failure. */
static bool fits(size_t *size)
{
    if (*size == 0)
        *size = 1;
    return *size <= PTRDIFF_MAX && !refused();
}

void *sv_alloc(size_t size)
{
    return fits(&size) ? malloc(size) : NULL;
}

void *sv_alloc_zero(size_t size)
{
    void *p;

    if (!fits(&size))
        return NULL;
    /* glibc before 2.41 has its per-thread cache for malloc alone. */
    if (size > SMALL)
        return calloc(1, size);
    p = malloc(size);
    __asm__("" : "+r"(p)); /* or compilers make calloc of it */
    if (p)
        memset(p, 0, size);
    return p;
}

void *sv_realloc(void *p, size_t size)
{
    return fits(&size) ? realloc(p, size) : NULL;
}

void sv_free(void *p)
{
    free(p);
}

char *sv_strndup(const char *s, size_t len)
{
    char *copy = len < PTRDIFF_MAX ? sv_alloc(len + 1) : NULL;

    if (!copy)
        return NULL;
    if (len)
        memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *sv_strdup(const char *s)
{
    return sv_strndup(s, strlen(s));
}

bool sv_mul_size(size_t a, size_t b, size_t *ret)
{
    size_t product;

    if (__builtin_mul_overflow(a, b, &product))
        return false;
    *ret = product;
    return true;
}

bool sv_add_size(size_t a, size_t b, size_t *ret)
{
    size_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return false;
    *ret = sum;
    return true;
}

void *sv_alloc_array(size_t n, size_t size)
{
    size_t bytes;

    return sv_mul_size(n, size, &bytes) ? sv_alloc(bytes) : NULL;
}

void *sv_alloc_array_zero(size_t n, size_t size)
{
    size_t bytes;

    return sv_mul_size(n, size, &bytes) ? sv_alloc_zero(bytes) : NULL;
}
