/* /api: the interface of 2020. Its errors are {"error": "MESSAGE"}, its ids the numbers of
 * functions of the default tenant. See doc/format/api.md for what differs from then, and why. */
#ifndef CONTROL_FAAS_H
#define CONTROL_FAAS_H

#include "control/api.h"

/* Whether a path is one of /api. */
static inline bool ctl_faas_is(struct sv_str path)
{
    return path.len >= 5 && memcmp(path.ptr, "/api/", 5) == 0;
}

#endif
