/* Passes: when it ends, and the HMAC of that and the function. See pass.h. */
#include "platform/pass.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void plat_pass_secret(const uint8_t secret[SV_SHA256_LEN], struct sv_str name, uint64_t number,
                      uint8_t ret[SV_SHA256_LEN])
{
    struct sv_hmac hmac;

    sv_hmac_init(&hmac, secret, SV_SHA256_LEN);
    sv_hmac_add(&hmac, &number, sizeof number);
    sv_hmac_add(&hmac, name.ptr, name.len);
    sv_hmac_end(&hmac, ret);
}

void plat_pass_write(const uint8_t secret[SV_SHA256_LEN], struct sv_str function, uint64_t until_ns,
                     char ret[PLAT_PASS_LEN + 1])
{
    uint8_t digest[SV_SHA256_LEN];

    plat_pass_secret(secret, function, until_ns, digest);
    snprintf(ret, 17, "%016" PRIx64, until_ns);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(ret + 16 + 2 * i, 3, "%02x", digest[i]);
}

bool plat_pass_is(const uint8_t secret[SV_SHA256_LEN], struct sv_str function, uint64_t now_ns,
                  const char *text, size_t len)
{
    char until[17] = "", right[PLAT_PASS_LEN + 1];
    uint64_t until_ns;

    if (len != PLAT_PASS_LEN)
        return false;
    memcpy(until, text, 16);
    until_ns = strtoull(until, NULL, 16);
    plat_pass_write(secret, function, until_ns, right);
    return until_ns > now_ns && sv_secret_eq(right, text, PLAT_PASS_LEN);
}
