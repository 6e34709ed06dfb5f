/* Where native code is kept, in the folder that the setting `cache` names: what writes it there at
 * a deployment and what reads it when it runs are different programs. */
#ifndef PLATFORM_CACHE_H
#define PLATFORM_CACHE_H

#include <limits.h>
#include <stdbool.h>

#define PLAT_CACHE_PATH (PATH_MAX + 80)

/* The folder of the code that runs in the workers of all tenants (`tenant` NULL), or in the process
 * of one. False: code is not kept, or the name is too long. */
bool plat_cache_folder(const char *setting, const char *tenant, char ret[PLAT_CACHE_PATH]);

#endif
