/* What the handlers of functions' state (state.h) share. */
#ifndef CONTROL_STATE_TENANT_H
#define CONTROL_STATE_TENANT_H

#include "control/control.h"

#define CTL_TENANT_MAX 64

/* The tenant that a request is for; NULL, and err says why. */
own char *ctl_state_tenant(struct sv_err *, const struct plat_message *request);
/* Bytes that a tenant may keep: of `limits`, the row's JSON (NULL: none), and of the request. */
uint64_t ctl_state_quota(struct sv_str limits, const struct plat_message *request);
/* Forget the keys that have expired. */
int ctl_state_kv_sweep(struct ctl_server *, struct sv_err *);

#endif
