/* Native commands for functions (ssvm_process): the back end of a worker, which asks the control
 * process to run them. */
#ifndef SERVE_COMMAND_H
#define SERVE_COMMAND_H

#include "ssvm.h"

struct srv_commands;

own struct srv_commands *srv_commands_new(void);
void srv_commands_delete(own struct srv_commands *);
/* What is to be defined in linkers, made when it is first asked for: it opens host-process.so. The
 * store of each instance has its connection as data. ret may be NULL. Any thread. */
own ssvm_error *srv_commands_open(struct srv_commands *, ssvm_process **ret);

#endif
