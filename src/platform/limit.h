/* The limits of a function, by limit.def. */
#ifndef PLATFORM_LIMIT_H
#define PLATFORM_LIMIT_H

#include <stdint.h>

/* By name in ssvm.yaml; 0 = the server's default. */
struct plat_limits {
#define LIMIT(field, name, unit, doc) uint64_t field;
#include "platform/limit.def"
#undef LIMIT
};

#endif
