/* SHA-256 (FIPS 180-4) and HMAC-SHA-256 (FIPS 198-1), with the CPU's instructions where it has
 * them. No other use of cryptography: no encryption, no signatures. */
#ifndef SV_BASE_SHA256_H
#define SV_BASE_SHA256_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SV_SHA256_LEN 32
#define SV_SHA256_BLOCK 64

/* Adds `count` whole blocks to the state. */
typedef void sv_sha256_blocks_fn(uint32_t state[8], const uint8_t *bytes, size_t count);

struct sv_sha256 {
    sv_sha256_blocks_fn *blocks;
    uint64_t len; /* bytes so far */
    uint32_t state[8];
    uint8_t rest[SV_SHA256_BLOCK]; /* the last len % 64 bytes */
};
void sv_sha256_init(struct sv_sha256 *);
void sv_sha256_init_portable(struct sv_sha256 *); /* without the CPU's instructions: for tests */
void sv_sha256_add(struct sv_sha256 *, const void *bytes, size_t len);
/* The digest of all that was added. Afterwards only init may follow. */
void sv_sha256_end(struct sv_sha256 *, uint8_t ret[SV_SHA256_LEN]);

void sv_sha256(const void *bytes, size_t len, uint8_t ret[SV_SHA256_LEN]);

struct sv_hmac {
    struct sv_sha256 inner, outer;
};
void sv_hmac_init(struct sv_hmac *, const void *key, size_t key_len);
void sv_hmac_add(struct sv_hmac *, const void *bytes, size_t len);
void sv_hmac_end(struct sv_hmac *, uint8_t ret[SV_SHA256_LEN]);

/* Compares in a time that does not depend on the contents: for MACs and keys. */
bool sv_secret_eq(const void *a, const void *b, size_t len);

#endif
