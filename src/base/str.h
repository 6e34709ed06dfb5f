/* Borrowed strings with a length, UTF-8 checking, and a string map. */
#ifndef SV_BASE_STR_H
#define SV_BASE_STR_H

#include <stdint.h>
#include <string.h>

#include "base/alloc.h"

struct sv_str {
    const char *ptr; /* not NUL-terminated in general */
    size_t len;
};

static inline bool sv_str_eq(struct sv_str a, struct sv_str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}
static inline struct sv_str sv_str_of(const char *s)
{
    return (struct sv_str){s, strlen(s)};
}

bool sv_utf8_valid(const void *bytes, size_t len);
/* Bytes of the first character, 1 to 4; 0 when it is not valid (or len is 0). */
size_t sv_utf8_len(const void *bytes, size_t len);
uint64_t
sv_hash(const void *bytes,
        size_t len); /* not for secrets, nor for tables that others fill: those want a seed */
uint64_t sv_hash_seeded(const void *bytes, size_t len, uint64_t seed);
uint64_t sv_hash_seed(void); /* random */

/* ASCII letters into small ones, in place. */
static inline void sv_to_lower(char *s)
{
    for (; *s; s++)
        if (*s >= 'A' && *s <= 'Z')
            *s |= 0x20;
}

/* Open-addressing map from strings to pointers. Keys are borrowed and must outlive the map. */
struct sv_map_entry {
    struct sv_str key;
    uint64_t hash;
    void *value;
};
struct sv_map {
    struct sv_map_entry *entries;
    size_t len, cap; /* cap is a power of two or 0 */
    uint64_t seed;   /* random, against chosen collisions */
};
void sv_map_init(struct sv_map *);
void sv_map_release(struct sv_map *);
void *sv_map_find(const struct sv_map *, struct sv_str key); /* NULL when absent */
/* Replaces; value is not NULL; false = no memory. */
bool sv_map_put(struct sv_map *, struct sv_str key, void *value);

#endif
