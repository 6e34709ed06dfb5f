/* What a fuzzer gives, taken number by number. */
#ifndef SV_TEST_FUZZ_INPUT_H
#define SV_TEST_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct input {
    const uint8_t *p;
    size_t len;
};
/* The next `n` bytes as a number, big-endian; fewer at the end, and then 0. */
static inline uint64_t take(struct input *in, size_t n)
{
    uint64_t v = 0;

    while (n-- > 0 && in->len > 0) {
        v = v << 8 | *in->p++;
        in->len--;
    }
    return v;
}

/* One of those words, or bytes as they come (not terminated, and gone with the input). */
static inline struct sv_str take_word(struct input *in, const char *const *words, size_t n)
{
    unsigned c = (unsigned)take(in, 1);
    struct sv_str s;

    if (c < 200)
        return sv_str_of(words[c % n]);
    s.len = (size_t)take(in, 1 + (c > 250));
    s.len = s.len < in->len ? s.len : in->len;
    s.ptr = (const char *)in->p;
    in->p += s.len;
    in->len -= s.len;
    return s;
}

#endif
