/* Native commands for functions (ssvm_process): the back end of a worker, which asks the control
 * process to run them. */
#ifndef SERVE_COMMAND_H
#define SERVE_COMMAND_H

#include "ssvm.h"

/* To be defined in linkers. The store of each instance has its connection as data. */
own ssvm_error *srv_command_new(own ssvm_process **ret);

#endif
