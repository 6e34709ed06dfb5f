/* Passes: control's word to a tenant's process that it asks for a call itself, so that no key is
 * needed. It comes by a worker that the process does not believe. The secret is known to control
 * and to that process alone; a pass is for one function and ends. */
#ifndef PLATFORM_PASS_H
#define PLATFORM_PASS_H

#include <stdbool.h>

#include "base/sha256.h"
#include "base/str.h"

#define PLAT_PASS_FIELD "SSVM-Pass"
#define PLAT_PASS_LEN (16 + 2 * SV_SHA256_LEN)

/* What is made of a secret for something of this name. */
void plat_pass_secret(const uint8_t secret[SV_SHA256_LEN], struct sv_str name, uint64_t number,
                      uint8_t ret[SV_SHA256_LEN]);
/* For a function, until then (CLOCK_MONOTONIC). */
void plat_pass_write(const uint8_t secret[SV_SHA256_LEN], struct sv_str function, uint64_t until_ns,
                     char ret[PLAT_PASS_LEN + 1]);
bool plat_pass_is(const uint8_t secret[SV_SHA256_LEN], struct sv_str function, uint64_t now_ns,
                  const char *text, size_t len);

#endif
