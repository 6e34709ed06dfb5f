/* A growing byte buffer with a maximum, and the growth of vectors. Not a string library. */
#include "base/buf.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"

#define FIRST_CAP 64

void sv_buf_init(struct sv_buf *b, size_t max)
{
    *b = (struct sv_buf){.max = max};
}

void sv_buf_release(struct sv_buf *b)
{
    sv_free(b->data);
    *b = (struct sv_buf){.max = b->max};
}

void sv_buf_clear(struct sv_buf *b)
{
    b->len = 0;
    b->failed = false;
}

bool sv_buf_reserve(struct sv_buf *b, size_t extra)
{
    unsigned char *data;
    size_t need, cap;

    if (b->failed)
        return false;
    /* one more for the NUL of sv_buf_cstr, which does not count towards max */
    if (extra > b->max || b->len > b->max - extra || !sv_add_size(b->len + extra, 1, &need)) {
        b->failed = true;
        return false;
    }
    if (need <= b->cap)
        return true;
    cap = b->cap ? b->cap : FIRST_CAP;
    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    if (cap > b->max && b->max < SIZE_MAX)
        cap = b->max + 1;
    data = sv_realloc(b->data, cap);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

bool sv_buf_append(struct sv_buf *b, const void *bytes, size_t len)
{
    if (!sv_buf_reserve(b, len))
        return false;
    if (len)
        memcpy(b->data + b->len, bytes, len);
    b->len += len;
    return true;
}

bool sv_buf_puts(struct sv_buf *b, const char *s)
{
    return sv_buf_append(b, s, strlen(s));
}

bool sv_buf_putc(struct sv_buf *b, char c)
{
    return sv_buf_append(b, &c, 1);
}

bool sv_buf_vprintf(struct sv_buf *b, const char *fmt, va_list ap)
{
    va_list again;
    int n;

    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    if (n < 0)
        b->failed = true;
    else if (sv_buf_reserve(b, (size_t)n)) {
        vsnprintf((char *)b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
    return !b->failed;
}

bool sv_buf_printf(struct sv_buf *b, const char *fmt, ...)
{
    va_list ap;
    bool ok;

    va_start(ap, fmt);
    ok = sv_buf_vprintf(b, fmt, ap);
    va_end(ap);
    return ok;
}

static void json_char(struct sv_buf *b, unsigned char c)
{
    static const char shorts[] = "btn\0fr"; /* 8 .. 13; 11 has none */

    if (c == '"' || c == '\\')
        sv_buf_printf(b, "\\%c", c);
    else if (c >= 8 && c <= 13 && shorts[c - 8])
        sv_buf_printf(b, "\\%c", shorts[c - 8]);
    else if (c < 0x20 || c == 0x7f)
        sv_buf_printf(b, "\\u%04x", c);
    else
        sv_buf_putc(b, (char)c);
}

bool sv_buf_json_string(struct sv_buf *b, const char *s, size_t len)
{
    size_t i = 0;

    sv_buf_putc(b, '"');
    while (i < len) {
        size_t n = sv_utf8_len(s + i, len - i);

        if (n == 1)
            json_char(b, (unsigned char)s[i]);
        else if (n > 1)
            sv_buf_append(b, s + i, n);
        else
            sv_buf_puts(b, "\xef\xbf\xbd");
        i += n ? n : 1;
    }
    sv_buf_putc(b, '"');
    return !b->failed;
}

const char *sv_buf_cstr(struct sv_buf *b)
{
    if (!b->data)
        return "";
    b->data[b->len] = '\0';
    return (const char *)b->data;
}

char *sv_buf_take(struct sv_buf *b, size_t *ret_len)
{
    char *data;

    if (!b->data && !b->failed)
        sv_buf_reserve(b, 0);
    data = (char *)b->data;
    if (!data)
        return NULL;
    data[b->len] = '\0';
    if (ret_len)
        *ret_len = b->len;
    *b = (struct sv_buf){.max = b->max};
    return data;
}

bool sv_vec_grow(void **data, size_t *cap, size_t len, size_t elem, size_t max)
{
    size_t grown = *cap < 8 ? 8 : *cap;
    size_t bytes;
    void *p;

    if (len >= max)
        return false;
    if (*cap >= 8)
        grown = *cap > SIZE_MAX / 2 ? max : *cap * 2;
    if (grown > max)
        grown = max;
    if (!sv_mul_size(grown, elem, &bytes))
        return false;
    p = sv_realloc(*data, bytes);
    if (!p)
        return false;
    *data = p;
    *cap = grown;
    return true;
}
