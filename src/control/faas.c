/* /api: the interface of 2020. See faas.h. */
#include "control/faas.h"

bool ctl_faas_is(struct sv_str path)
{
    return path.len >= 5 && memcmp(path.ptr, "/api/", 5) == 0;
}
