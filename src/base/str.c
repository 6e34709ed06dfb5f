/* UTF-8, hashing, and the string map. Knows no encodings but UTF-8. */
#include "base/str.h"

#include <sys/random.h>

#include "base/clock.h"

size_t sv_utf8_len(const void *bytes, size_t len)
{
    const unsigned char *s = bytes;
    unsigned char low = 0x80, high = 0xbf;
    size_t n;

    if (len == 0)
        return 0;
    if (s[0] < 0x80)
        return 1;
    if (s[0] < 0xc2 || s[0] > 0xf4)
        return 0;
    n = s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (len < n)
        return 0;
    /* second byte: no overlong forms, no surrogates, nothing above U+10FFFF */
    if (s[0] == 0xe0)
        low = 0xa0;
    else if (s[0] == 0xed)
        high = 0x9f;
    else if (s[0] == 0xf0)
        low = 0x90;
    else if (s[0] == 0xf4)
        high = 0x8f;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    return n;
}

bool sv_utf8_valid(const void *bytes, size_t len)
{
    const unsigned char *s = bytes;
    size_t i = 0;

    while (i < len) {
        size_t n = s[i] < 0x80 ? 1 : sv_utf8_len(s + i, len - i);

        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

static uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t product = (__uint128_t)(a ^ 0x9e3779b97f4a7c15u) * (b ^ 0xd6e8feb86659fd93u);

    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t sv_hash_seeded(const void *bytes, size_t len, uint64_t seed)
{
    const unsigned char *s = bytes;
    uint64_t h = mix(seed, len);
    uint64_t word;

    for (; len >= 8; s += 8, len -= 8) {
        memcpy(&word, s, 8);
        h = mix(h ^ word, seed + 0x8ebc6af09c88c6e3u);
    }
    word = 0;
    if (len)
        memcpy(&word, s, len);
    return mix(h ^ word, ~seed);
}

uint64_t sv_hash(const void *bytes, size_t len)
{
    return sv_hash_seeded(bytes, len, 0);
}

uint64_t sv_hash_seed(void)
{
    uint64_t seed;

    if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != (ssize_t)sizeof seed)
        seed = sv_clock_ns() ^ (uintptr_t)&seed; /* early boot: better than none */
    return seed;
}

void sv_map_init(struct sv_map *map)
{
    *map = (struct sv_map){0};
    if (getrandom(&map->seed, sizeof map->seed, GRND_NONBLOCK) != (ssize_t)sizeof map->seed)
        map->seed =
            sv_clock_ns() ^ (uintptr_t)map; /* early boot, or no such call: better than none */
}

void sv_map_release(struct sv_map *map)
{
    sv_free(map->entries);
    map->entries = NULL;
    map->len = map->cap = 0;
}

/* The entry with this key, or the free one where it belongs. The table is never full. */
static struct sv_map_entry *find_slot(const struct sv_map *map, struct sv_str key, uint64_t hash)
{
    size_t i = hash & (map->cap - 1);

    for (;;) {
        struct sv_map_entry *e = &map->entries[i];

        if (!e->value || (e->hash == hash && sv_str_eq(e->key, key)))
            return e;
        i = (i + 1) & (map->cap - 1);
    }
}

void *sv_map_find(const struct sv_map *map, struct sv_str key)
{
    if (map->len == 0)
        return NULL;
    return find_slot(map, key, sv_hash_seeded(key.ptr, key.len, map->seed))->value;
}

static bool grow(struct sv_map *map)
{
    struct sv_map larger = {.cap = map->cap ? map->cap * 2 : 8, .len = map->len, .seed = map->seed};

    larger.entries = sv_alloc_array_zero(larger.cap, sizeof *larger.entries);
    if (!larger.entries)
        return false;
    for (size_t i = 0; i < map->cap; i++)
        if (map->entries[i].value)
            *find_slot(&larger, map->entries[i].key, map->entries[i].hash) = map->entries[i];
    sv_free(map->entries);
    *map = larger;
    return true;
}

bool sv_map_put(struct sv_map *map, struct sv_str key, void *value)
{
    uint64_t hash = sv_hash_seeded(key.ptr, key.len, map->seed);
    struct sv_map_entry *e;

    if (map->len >= map->cap / 4 * 3 && !grow(map))
        return false;
    e = find_slot(map, key, hash);
    if (!e->value)
        map->len++;
    *e = (struct sv_map_entry){key, hash, value};
    return true;
}
