/* Which routes of a manifest others have: the server has one address space of hosts and paths for
 * all its functions. Of two with the same route the one that was deployed first has it
 * (publish.c). */
#ifndef CONTROL_CLAIM_H
#define CONTROL_CLAIM_H

#include "control/registry.h"

/* SV_EINVALID: `name` of `tenant` wants, by this manifest, a route that a function of another
 * tenant has, and did not have it so far. */
int ctl_claim_check(struct ctl_server *, struct sv_err *, const char *tenant, const char *name,
                    const struct plat_manifest *);
/* A line for each route of the function that another of its tenant has too, behind what is there.
 */
void ctl_claim_notes(struct ctl_server *, const struct ctl_function *, struct sv_buf *to);

#endif
