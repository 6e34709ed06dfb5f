/* A growing byte buffer with a stated maximum. */
#ifndef SV_BASE_BUF_H
#define SV_BASE_BUF_H

#include <stdarg.h>
#include <stdint.h>

#include "base/alloc.h"

struct sv_buf {
    unsigned char *data;
    size_t len, cap, max;
    bool failed; /* an append did not fit (max or memory); sticky, appends are ignored from then on
                  */
};

void sv_buf_init(struct sv_buf *, size_t max);
void sv_buf_release(struct sv_buf *);
void sv_buf_clear(struct sv_buf *); /* len = 0, memory kept, failed reset */
bool sv_buf_reserve(struct sv_buf *, size_t extra);
bool sv_buf_append(struct sv_buf *, const void *bytes, size_t len);
bool sv_buf_puts(struct sv_buf *, const char *s);
bool sv_buf_putc(struct sv_buf *, char c);
bool sv_buf_printf(struct sv_buf *, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
bool sv_buf_vprintf(struct sv_buf *, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
/* Append `s` as a JSON string with quotes; bytes that are not UTF-8 become U+FFFD. */
bool sv_buf_json_string(struct sv_buf *, const char *s, size_t len);
/* Terminated with NUL (not counted in len); "" when empty. Borrowed until the next append. */
const char *sv_buf_cstr(struct sv_buf *);
own char *sv_buf_take(struct sv_buf *,
                      size_t *ret_len); /* the data, NUL-terminated; the buf is empty then */

/* Vectors: struct { T *data; size_t len, cap; }. SV_VEC_PUSH evaluates to false when out of memory
 * or over max. */
#define SV_VEC(T)                                                                                  \
    struct {                                                                                       \
        T *data;                                                                                   \
        size_t len, cap;                                                                           \
    }
bool sv_vec_grow(void **data, size_t *cap, size_t len, size_t elem, size_t max);
#define SV_VEC_PUSH(v, max, ...)                                                                   \
    (((v)->len < (v)->cap ||                                                                       \
      sv_vec_grow((void **)&(v)->data, &(v)->cap, (v)->len, sizeof *(v)->data, (max))) &&          \
     ((v)->data[(v)->len] = (__VA_ARGS__), (v)->len += 1, true))

#endif
