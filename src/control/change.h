/* Transactions that change functions: the part that deploy.c and change.c share. */
#ifndef CONTROL_CHANGE_H
#define CONTROL_CHANGE_H

#include "control/registry.h"

/* A change of function `id`, in a transaction; may run more than once. */
typedef int (*ctl_change_fn)(struct ctl_sql *, struct sv_err *, uint64_t id, void *data);

/* Make it, and tell the workers. SV_ENOTFOUND: there is no such function. ret_id may be NULL. */
int ctl_change(struct ctl_server *, struct sv_err *, const char *tenant, const char *name,
               ctl_change_fn, void *data, uint64_t *ret_id);
/* The function's id, 0: there is none. */
int ctl_change_find(struct ctl_sql *, struct sv_err *, const char *tenant, const char *name,
                    uint64_t *ret);
/* All requests to this version. */
int ctl_change_activate(struct ctl_sql *, struct sv_err *, uint64_t id, uint32_t number);
/* `weight` of all requests to this version; the others keep their proportions. */
int ctl_change_share(struct ctl_sql *, struct sv_err *, uint64_t id, uint32_t number,
                     uint32_t weight);
int ctl_change_alias(struct ctl_sql *, struct sv_err *, uint64_t id, const char *alias,
                     uint32_t number);
/* The number of the only row of a statement, or `otherwise`. */
int ctl_change_ask(struct ctl_sql *, struct sv_err *, const char *text,
                   const struct ctl_param *params, int64_t otherwise, int64_t *ret);

#endif
