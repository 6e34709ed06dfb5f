/* Tables of costs (doc/format/costs.md) as files of the server: which is whose. */
#ifndef PLATFORM_COSTS_H
#define PLATFORM_COSTS_H

#include "base/buf.h"
#include "base/err.h"

#define PLAT_COSTS_MAX ((size_t)1 << 20)
#define PLAT_COSTS_SUFFIX ".gas"
#define PLAT_COSTS_FILES 4096 /* in a folder of them: each is read at each start */

/* The table of a tenant's function: DIR/TENANT.FUNCTION.gas, else DIR/TENANT.gas, else FILE, else
 * nothing. `file` and `dir` may be NULL or "none". Into `ret`, which is initialised and empty. */
int plat_costs_read(struct sv_err *err, const char *file, const char *dir, const char *tenant,
                    const char *function, struct sv_buf *ret);
/* One file. SV_ENOTFOUND: it is not there. */
int plat_costs_read_file(struct sv_err *err, const char *path, struct sv_buf *ret);

#endif
