/* Tenants with isolation 'process': what the workers may ask of control. A worker may have been
 * taken over by its guest, so nothing is taken from its word: the worker of one tenant speaks for
 * that tenant alone, and no other worker for that one. */
#ifndef CONTROL_ISOLATED_H
#define CONTROL_ISOLATED_H

#include "control/control.h"

/* May the worker of `tenant` ("": one of all tenants) send this? */
bool ctl_isolated_may(struct ctl_server *, const char *tenant, const struct plat_message *);

#endif
