/* Folders of native code. See cache.h. */
#include "platform/cache.h"

#include <stdio.h>
#include <string.h>

/* A tenant with a process of its own has a folder of its own: what a compiler that reads its
 * modules writes there is nobody else's. */
bool plat_cache_folder(const char *setting, const char *tenant, char ret[PLAT_CACHE_PATH])
{
    int n;

    if (!*setting || strcmp(setting, "none") == 0)
        return false;
    n = snprintf(ret, PLAT_CACHE_PATH, "%s%s%s", setting, tenant ? "/tenant-" : "",
                 tenant ? tenant : "");
    return n > 0 && n < PLAT_CACHE_PATH;
}
