/* Native commands for functions: workers start no processes. Which there are at all is the
 * operator's to say (`allow-command`), which of them a function may use its grant's. */
#ifndef CONTROL_COMMAND_H
#define CONTROL_COMMAND_H

#include "control/control.h"

#define CTL_COMMANDS_MAX 16 /* at a time: the pool has more threads */
#define CTL_COMMANDS_OF_TENANT_MAX 8
#define CTL_COMMAND_OUTPUT_MAX (16U << 20)

/* Handler of PLAT_COMMAND. TENANT, VALUE (the command's argv) for each, KEY ("K=V") for each, BODY
 * (its input), TIMEOUT_MS, LIMIT (of output), ALLOW (a command of the grant) for each. Answer:
 * NUMBER: the exit code (ssvm_process.h), BODY, ERRORS: what it wrote. SV_ELIMIT: too many at a
 * time. */
int ctl_command(struct ctl_server *, struct sv_err *, struct plat_message *request,
                struct plat_message *ret);

/* Does the server allow the command that a manifest names? */
bool ctl_command_allowed(struct ctl_server *, const char *name);

#endif
