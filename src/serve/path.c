/* Paths and query strings of request targets. Knows no files and no routes. */
#include "serve/path.h"

#include <string.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that '%XX' at `s` stands for, or -1. */
static int decode_percent(const char *s, size_t left)
{
    int high, low;

    if (left < 3)
        return -1;
    high = hex_digit(s[1]);
    low = hex_digit(s[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* Drop the segment that begins at `from` when it is '.', '..' or empty. False: '..' leaves the
 * root. */
static bool end_segment(char *out, size_t from, size_t *n)
{
    size_t len = *n - from;

    if (len == 1 && out[from] == '.') {
        *n = from;
    } else if (len == 2 && out[from] == '.' && out[from + 1] == '.') {
        if (from <= 1)
            return false;
        for (from--; out[from - 1] != '/'; from--)
            ;
        *n = from;
    }
    return true;
}

const char *srv_path_normalise(const char *path, size_t len, char *ret, size_t *ret_len)
{
    size_t n = 1, from = 1;

    if (len == 0 || path[0] != '/')
        return "the path does not begin with a slash";
    ret[0] = '/';
    for (size_t i = 1; i < len; i++) {
        int c = (unsigned char)path[i];

        if (c == '/') {
            if (!end_segment(ret, from, &n))
                return "the path leads above the root";
            if (ret[n - 1] != '/')
                ret[n++] = '/';
            from = n;
            continue;
        }
        if (c == '%') {
            c = decode_percent(path + i, len - i);
            i += 2;
            if (c < 0)
                return "the path has a bad percent encoding";
            if (c == '/')
                return "the path has an encoded slash";
        }
        if (c < 0x20 || c == 0x7f || c == '\\')
            return "the path has a forbidden character";
        if (n >= SRV_PATH_MAX - 1)
            return "the path is too long";
        ret[n++] = (char)c;
    }
    if (!end_segment(ret, from, &n))
        return "the path leads above the root";
    ret[n] = '\0';
    *ret_len = n;
    return NULL;
}

long srv_query_decode(char *s, size_t len)
{
    size_t n = 0;

    for (size_t i = 0; i < len; i++) {
        int c = (unsigned char)s[i];

        if (c == '%') {
            c = decode_percent(s + i, len - i);
            if (c < 0)
                return -1;
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        s[n++] = (char)c;
    }
    return (long)n;
}

bool srv_query_next(const char **s, const char *end, const char **ret_value, size_t *ret_len)
{
    const char *from = *s, *stop, *equals;

    while (from < end && *from == '&')
        from++;
    if (from >= end)
        return false;
    stop = memchr(from, '&', (size_t)(end - from));
    if (!stop)
        stop = end;
    equals = memchr(from, '=', (size_t)(stop - from));
    *ret_value = equals ? equals + 1 : from;
    *ret_len = (size_t)(stop - *ret_value);
    *s = stop;
    return true;
}
