/* Keccak-256 as Ethereum uses it: the sponge of FIPS 202 with a rate of 136 bytes, and the padding
 * of the submission (0x01) rather than that of SHA-3 (0x06). */
#include <string.h>

#include "evmc/eth.h"

#define RATE 136
#define LANES 25

static const uint64_t round_constants[24] = {
    0x0000000000000001, 0x0000000000008082, 0x800000000000808a, 0x8000000080008000,
    0x000000000000808b, 0x0000000080000001, 0x8000000080008081, 0x8000000000008009,
    0x000000000000008a, 0x0000000000000088, 0x0000000080008009, 0x000000008000000a,
    0x000000008000808b, 0x800000000000008b, 0x8000000000008089, 0x8000000000008003,
    0x8000000000008002, 0x8000000000000080, 0x000000000000800a, 0x800000008000000a,
    0x8000000080008081, 0x8000000000008080, 0x0000000080000001, 0x8000000080008008};
/* The walk of rho and pi: where the next lane goes, and how far it is turned. */
static const uint8_t turns[24] = {1,  3,  6,  10, 15, 21, 28, 36, 45, 55, 2,  14,
                                  27, 41, 56, 8,  25, 43, 62, 18, 39, 61, 20, 44};
static const uint8_t places[24] = {10, 7,  11, 17, 18, 3, 5,  16, 8,  21, 24, 4,
                                   15, 23, 19, 13, 12, 2, 20, 14, 22, 9,  6,  1};

static uint64_t turn(uint64_t x, unsigned n)
{
    return x << n | x >> (64 - n);
}

static void permute(uint64_t s[LANES])
{
    uint64_t column[5], lane, next;

    for (int round = 0; round < 24; round++) {
        for (int x = 0; x < 5; x++)
            column[x] = s[x] ^ s[x + 5] ^ s[x + 10] ^ s[x + 15] ^ s[x + 20];
        for (int i = 0; i < LANES; i++)
            s[i] ^= column[(i + 4) % 5] ^ turn(column[(i + 1) % 5], 1);
        lane = s[1];
        for (int i = 0; i < 24; i++) {
            next = s[places[i]];
            s[places[i]] = turn(lane, turns[i]);
            lane = next;
        }
        for (int y = 0; y < LANES; y += 5) {
            memcpy(column, s + y, sizeof column);
            for (int x = 0; x < 5; x++)
                s[y + x] = column[x] ^ (~column[(x + 1) % 5] & column[(x + 2) % 5]);
        }
        s[0] ^= round_constants[round];
    }
}

static void absorb(uint64_t s[LANES], const uint8_t block[RATE])
{
    for (int i = 0; i < RATE / 8; i++) {
        uint64_t lane = 0;

        for (int b = 7; b >= 0; b--)
            lane = lane << 8 | block[8 * i + b];
        s[i] ^= lane;
    }
    permute(s);
}

void eth_keccak256(const void *bytes, size_t len, uint8_t ret[32])
{
    uint64_t s[LANES] = {0};
    uint8_t last[RATE] = {0};
    const uint8_t *p = bytes;

    for (; len >= RATE; len -= RATE, p += RATE)
        absorb(s, p);
    if (len)
        memcpy(last, p, len);
    last[len] = 0x01;
    last[RATE - 1] |= 0x80;
    absorb(s, last);
    for (int i = 0; i < 32; i++)
        ret[i] = (uint8_t)(s[i / 8] >> 8 * (i % 8));
}
