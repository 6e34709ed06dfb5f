/* Address space: reserve, commit, decommit. Knows no Wasm. */
#ifndef SV_BASE_PAGES_H
#define SV_BASE_PAGES_H

#include <stdint.h>

#include "base/alloc.h"

/* Of the system, bytes. */
#ifdef __x86_64__
static inline size_t sv_page_size(void)
{
    return 4096;
}
#else
size_t sv_page_size(void);
#endif
/* Reserve `size` bytes without access (rounded up to pages). NULL when the system refuses (`ulimit
 * -v`). */
own void *sv_pages_reserve(size_t size);
/* Make [p, p+size) readable and writable (zero when fresh). False when the system refuses. */
bool sv_pages_commit(void *p, size_t size);
/* Take access and contents away again; the reservation stays. */
bool sv_pages_decommit(void *p, size_t size);
/* Contents to zero, access stays (MADV_DONTNEED). */
void sv_pages_clear(void *p, size_t size);
void sv_pages_release(own void *p, size_t size);

#endif
