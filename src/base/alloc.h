/* All allocation of ssvm goes through here, so that tests can fail the n-th one. Not an allocator
 * of its own. */
#ifndef SV_BASE_ALLOC_H
#define SV_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

/* Marks a pointer that changes hands; everything else is borrowed for the call. */
#ifndef own
#define own
#endif

#define SV_COUNT(array) (sizeof(array) / sizeof((array)[0]))

own void *sv_alloc(size_t size) __attribute__((malloc, alloc_size(1)));
own void *sv_alloc_zero(size_t size) __attribute__((malloc, alloc_size(1)));
own void *sv_realloc(own void *p, size_t size);
void sv_free(own void *p); /* NULL is allowed */
own char *sv_strdup(const char *s);
own char *sv_strndup(const char *s, size_t len);

/* *ret = a * b; false (and *ret untouched) when it does not fit. Use for every size that came from
 * outside. */
bool sv_mul_size(size_t a, size_t b, size_t *ret);
bool sv_add_size(size_t a, size_t b, size_t *ret);
/* count * size, zeroed or not; NULL when the product does not fit or there is no memory. */
own void *sv_alloc_array(size_t count, size_t size);
own void *sv_alloc_array_zero(size_t count, size_t size);

/* Test hook (compiled in with SV_TORTURE only): the n-th allocation from now (1 = next) fails once;
 * 0 = off. */
void sv_alloc_fail_at(unsigned long n);
unsigned long sv_alloc_count(void);

#endif
