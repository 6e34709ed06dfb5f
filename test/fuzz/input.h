/* What a fuzzer gives, taken number by number. */
#ifndef SV_TEST_FUZZ_INPUT_H
#define SV_TEST_FUZZ_INPUT_H

#include <stddef.h>
#include <stdint.h>

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

#endif
