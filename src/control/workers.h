/* The workers that there are: their channels and their rings. See control.h for pushing and asking.
 */
#ifndef CONTROL_WORKERS_H
#define CONTROL_WORKERS_H

#include "control/control.h"
#include "platform/manifest.h"
#include "platform/pass.h"
#include "platform/record.h"

#define CTL_TENANT_SIZE (PLAT_NAME_MAX + 1)

/* What the supervisor says of a worker (PLAT_WORKER); takes the descriptors. */
void ctl_workers_set(struct ctl_server *, struct plat_message *);
/* Call `fn` for the ring of every slot that ever had a worker, whether it has one now or not. Rings
 * stay where they are as long as the process lives; fn may keep them. */
void ctl_workers_rings(struct ctl_server *, void (*fn)(void *data, struct plat_ring *), void *data);
/* The tenant whose guests alone write into the ring, "": it is of all. */
void ctl_workers_ring_tenant(struct ctl_server *, const struct plat_ring *,
                             char ret[CTL_TENANT_SIZE]);
/* A tenant whose worker has no table, or an old one. */
bool ctl_workers_wanting(struct ctl_server *, char ret[CTL_TENANT_SIZE]);
/* What that tenant's worker knows a pass by (platform/pass.h). */
void ctl_workers_secret(struct ctl_server *, struct sv_str tenant, uint8_t ret[SV_SHA256_LEN]);
void ctl_workers_push_isolated(struct ctl_server *, const char *tenant, struct plat_message *table);
/* How many workers there are. */
unsigned ctl_workers_count(struct ctl_server *);
/* Ask every worker, one after the other; `fn` gets the answers that come, and the tenant
 * whose worker it is, "": of all. */
void ctl_workers_ask_all(struct ctl_server *, struct plat_message *, uint64_t deadline_ns,
                         void (*fn)(void *data, unsigned number, const char *tenant,
                                    const struct plat_message *),
                         void *data);

#endif
