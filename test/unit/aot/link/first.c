/* Calls into second.c, a jump table, constants of its own and of second.c. */
#include "parts.h"

const double part_weights[4] = {0.5, 1.0625, 3.1415926535897931, -1e-9};

static uint64_t bits_of(double x)
{
    union {
        double f;
        uint64_t u;
    } both = {x};

    return both.u;
}

uint32_t part_step(uint32_t kind, uint32_t x)
{
    switch (kind) {
    case 0:
        return x * 31 + part_table[x % 8];
    case 1:
        return x ^ (uint32_t)part_letter(x % 7, x % 3);
    case 2:
        return (uint32_t)bits_of(part_scale(x, x % 9));
    case 3:
        return x / 3 + part_table[7];
    case 4:
        return x - 12345;
    case 5:
        return x << 7 | x >> 25;
    case 6:
        return part_step(x % 6, x / 7) + 1;
    case 7:
        return (uint32_t)(part_single(x % 11) * 1024.0f);
    case 8:
        return x + 0x9e3779b9;
    default:
        return ~x;
    }
}

uint64_t part_checksum(uint64_t seed)
{
    uint64_t sum = 0x243f6a8885a308d3u;

    for (uint32_t i = 0; i < 500; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        sum = (sum << 5 | sum >> 59) ^ part_step((uint32_t)(seed >> 40) % 11, (uint32_t)seed);
        sum += bits_of(part_scale((double)(seed >> 20), i % 9));
    }
    return sum;
}
