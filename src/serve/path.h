/* Paths and query strings of request targets, decoded and made canonical before anybody routes by
 * them. Opens nothing. */
#ifndef SERVE_PATH_H
#define SERVE_PATH_H

#include <stdbool.h>
#include <stddef.h>

#define SRV_PATH_MAX 2048     /* bytes of a canonical path */
#define SRV_QUERY_ARGS_MAX 16 /* values taken from a query string */

/* Decode percent signs, then remove '.', '..' and empty segments: *ret_len bytes at `ret` (room for
 * SRV_PATH_MAX + 1), NUL-terminated, with a leading '/'. A trailing slash is kept. NULL, or why the
 * path is refused: bad encoding, control characters, an encoded slash, a backslash, '..' above the
 * root, too long. */
const char *srv_path_normalise(const char *path, size_t len, char *ret, size_t *ret_len);

/* Decode one value of a query string ('+' is a space) in place. The new length, or -1 when the
 * encoding is bad. */
long srv_query_decode(char *s, size_t len);
/* Cut the next 'name=value' from the query at *s. False at the end. Borrowed from the query, still
 * encoded. */
bool srv_query_next(const char **s, const char *end, const char **ret_value, size_t *ret_len);

#endif
