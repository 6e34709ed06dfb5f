/* SHA-256 and HMAC in portable C; the block function of the CPU is in sha256_x86.h, sha256_arm.h.
 * Not a cryptographic library: the two things that the native cache needs. */
#include "base/sha256.h"

#include <string.h>

#include "base/alloc.h"

/* The first 32 bits of the fractional parts of the cube roots of the first 64 primes. */
static const uint32_t round_constants[64] __attribute__((aligned(16))) = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

#if defined(__x86_64__)
#include "base/sha256_x86.h"
#elif defined(__aarch64__)
#include "base/sha256_arm.h"
#else
#error "sha256: no block function named for this CPU"
#endif

static uint32_t load_be(const uint8_t *p)
{
    uint32_t x;

    memcpy(&x, p, 4);
    return __builtin_bswap32(x);
}

static void store_be(uint8_t *p, uint32_t x)
{
    x = __builtin_bswap32(x);
    memcpy(p, &x, 4);
}

static uint32_t turn(uint32_t x, unsigned n)
{
    return x >> n | x << (32 - n);
}

/* FIPS 180-4, 6.2.2: the names are the standard's. */
static void block_portable(uint32_t state[8], const uint8_t *bytes)
{
    uint32_t w[64];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
    uint32_t e = state[4], f = state[5], g = state[6], h = state[7];

    for (int t = 0; t < 16; t++)
        w[t] = load_be(bytes + 4 * t);
    for (int t = 16; t < 64; t++) {
        uint32_t s0 = turn(w[t - 15], 7) ^ turn(w[t - 15], 18) ^ w[t - 15] >> 3;
        uint32_t s1 = turn(w[t - 2], 17) ^ turn(w[t - 2], 19) ^ w[t - 2] >> 10;

        w[t] = s1 + w[t - 7] + s0 + w[t - 16];
    }
    for (int t = 0; t < 64; t++) {
        uint32_t s1 = turn(e, 6) ^ turn(e, 11) ^ turn(e, 25);
        uint32_t s0 = turn(a, 2) ^ turn(a, 13) ^ turn(a, 22);
        uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + round_constants[t] + w[t];
        uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));

        h = g;
        g = f;
        f = e;
        e = d + t1;
        d = c;
        c = b;
        b = a;
        a = t1 + t2;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
    state[5] += f;
    state[6] += g;
    state[7] += h;
}

static void blocks_portable(uint32_t state[8], const uint8_t *bytes, size_t count)
{
    for (; count; count--, bytes += SV_SHA256_BLOCK)
        block_portable(state, bytes);
}

void sv_sha256_init_portable(struct sv_sha256 *s)
{
    static const uint32_t start[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

    s->blocks = blocks_portable;
    s->len = 0;
    memcpy(s->state, start, sizeof start);
}

void sv_sha256_init(struct sv_sha256 *s)
{
    sv_sha256_init_portable(s);
    if (cpu_has_sha256())
        s->blocks = blocks_cpu;
}

void sv_sha256_add(struct sv_sha256 *s, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    size_t used = s->len % SV_SHA256_BLOCK;
    size_t count;

    if (len == 0)
        return;
    s->len += len;
    if (used) {
        size_t n = SV_SHA256_BLOCK - used;

        if (len < n) {
            memcpy(s->rest + used, p, len);
            return;
        }
        memcpy(s->rest + used, p, n);
        s->blocks(s->state, s->rest, 1);
        p += n;
        len -= n;
    }
    count = len / SV_SHA256_BLOCK;
    s->blocks(s->state, p, count);
    if (len % SV_SHA256_BLOCK)
        memcpy(s->rest, p + count * SV_SHA256_BLOCK, len % SV_SHA256_BLOCK);
}

void sv_sha256_end(struct sv_sha256 *s, uint8_t ret[SV_SHA256_LEN])
{
    static const uint8_t pad[SV_SHA256_BLOCK] = {0x80};
    uint64_t bits = s->len * 8;
    size_t used = s->len % SV_SHA256_BLOCK;
    uint8_t length[8];

    sv_sha256_add(s, pad, (used < 56 ? 56 : 120) - used);
    store_be(length, (uint32_t)(bits >> 32));
    store_be(length + 4, (uint32_t)bits);
    sv_sha256_add(s, length, sizeof length);
    for (size_t i = 0; i < SV_COUNT(s->state); i++)
        store_be(ret + 4 * i, s->state[i]);
}

void sv_sha256(const void *bytes, size_t len, uint8_t ret[SV_SHA256_LEN])
{
    struct sv_sha256 s;

    sv_sha256_init(&s);
    sv_sha256_add(&s, bytes, len);
    sv_sha256_end(&s, ret);
}

void sv_hmac_init(struct sv_hmac *m, const void *key, size_t key_len)
{
    uint8_t block[SV_SHA256_BLOCK] = {0};

    if (key_len > sizeof block)
        sv_sha256(key, key_len, block);
    else if (key_len)
        memcpy(block, key, key_len);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] ^= 0x36;
    sv_sha256_init(&m->inner);
    sv_sha256_add(&m->inner, block, sizeof block);
    for (size_t i = 0; i < sizeof block; i++)
        block[i] ^= 0x36 ^ 0x5c;
    sv_sha256_init(&m->outer);
    sv_sha256_add(&m->outer, block, sizeof block);
    explicit_bzero(block, sizeof block);
}

void sv_hmac_add(struct sv_hmac *m, const void *bytes, size_t len)
{
    sv_sha256_add(&m->inner, bytes, len);
}

void sv_hmac_end(struct sv_hmac *m, uint8_t ret[SV_SHA256_LEN])
{
    sv_sha256_end(&m->inner, ret);
    sv_sha256_add(&m->outer, ret, SV_SHA256_LEN);
    sv_sha256_end(&m->outer, ret);
    explicit_bzero(m, sizeof *m);
}

bool sv_secret_eq(const void *a, const void *b, size_t len)
{
    const volatile uint8_t *x = a, *y = b;
    uint8_t difference = 0;

    for (size_t i = 0; i < len; i++)
        difference |= x[i] ^ y[i];
    return difference == 0;
}
