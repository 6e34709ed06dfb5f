/* Numbers with units, as settings, manifests and options write them: `10s`, `250ms`, `16M`. One
 * reader, one printer. */
#ifndef PLATFORM_UNIT_H
#define PLATFORM_UNIT_H

#include "base/buf.h"

/* Bytes take K, M, G (powers of 1024; also KiB, MiB, GiB), times ms (or nothing), s, m. */
enum plat_unit { PLAT_UNIT_COUNT, PLAT_UNIT_BYTES, PLAT_UNIT_MS };

/* False: it is no such number, or does not fit 64 bits. */
bool plat_unit_read(const char *text, enum plat_unit, uint64_t *ret);
/* In the largest unit that divides it. */
void plat_unit_print(struct sv_buf *, enum plat_unit, uint64_t);
/* A regular expression (ECMA-262) for the texts that plat_unit_read takes. */
const char *plat_unit_pattern(enum plat_unit);

#endif
