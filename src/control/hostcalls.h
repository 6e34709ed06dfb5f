/* Calls of host functions, counted from the records of finished requests: by function and host
 * function, since this process has started. For GET /metrics, and for
 * GET /v1/tenants/T/functions/F/host-calls. */
#ifndef CONTROL_HOSTCALLS_H
#define CONTROL_HOSTCALLS_H

#include <jansson.h>

#include "base/buf.h"
#include "control/control.h"
#include "platform/record.h"

#define CTL_HOSTCALLS_NAMES 4096      /* host functions that have a number; the others share 0 */
#define CTL_HOSTCALLS_FUNCTIONS 16384 /* that are counted by themselves */

struct ctl_hostcalls;

/* Write our numbers in place of the ring's into a record of it. `known` (PLAT_RING_HOSTS, 0 at
 * first) keeps ours of that ring. */
void ctl_hostcalls_translate(struct ctl_server *, const struct plat_ring *, uint16_t *known,
                             struct plat_record *);
/* A record with our numbers. */
void ctl_hostcalls_count(struct ctl_server *, const struct plat_record *);
/* {"node": ID, "since": TIME, "calls": N, "functions": [{"name": ..., "calls": N, "gas": N}]}, what
 * was called most first. */
int ctl_hostcalls_get(struct ctl_server *, struct sv_err *, const char *tenant,
                      const char *function, own json_t **ret);
/* Lines for Prometheus, one a host function, of the functions of all tenants together, or of this
 * one's (NULL: all). */
void ctl_hostcalls_write(struct ctl_server *, const char *tenant, struct sv_buf *ret);

#endif
