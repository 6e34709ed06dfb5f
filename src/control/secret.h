/* Secrets of tenants, kept encrypted: AES-256-GCM with a key of the node's (key.h), the tenant and
 * the name as associated data, so that a row put in another's place does not open. */
#ifndef CONTROL_SECRET_H
#define CONTROL_SECRET_H

#include "control/control.h"

#define CTL_SECRET_NAME_MAX 128
#define CTL_SECRET_VALUE_MAX 65536

/* At the start, when database and key are there: is the key that of the database's secrets? Ends a
 * rotation that was cut off. Fails, with what to do, when it is another. */
int ctl_secret_check(struct ctl_server *, struct sv_err *);
int ctl_secret_set(struct ctl_server *, struct sv_err *, const char *tenant, struct sv_str name,
                   struct sv_str value);
/* Appends the value. SV_ENOTFOUND. */
int ctl_secret_get(struct ctl_server *, struct sv_err *, const char *tenant, struct sv_str name,
                   struct sv_buf *ret);
int ctl_secret_delete(struct ctl_server *, struct sv_err *, const char *tenant, struct sv_str name);
/* The names, in order. A negative result of `fn` ends it. */
int ctl_secret_list(struct ctl_server *, struct sv_err *, const char *tenant,
                    int (*fn)(void *data, struct sv_str name, int64_t created_ms), void *data);
/* A new key for the node, with which all secrets are encrypted anew: `ssvm-control --rotate-key`.
 * Cut off at any place, the next start ends it. */
int ctl_secret_rotate(struct ctl_server *, struct sv_err *);

#endif
