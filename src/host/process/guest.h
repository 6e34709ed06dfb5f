/* Inside of host-process.so. */
#ifndef SV_HOST_PROCESS_GUEST_H
#define SV_HOST_PROCESS_GUEST_H

#include "command/allow.h"
#include "host/process/process.h"

struct process {
    struct sv_process base;
    struct sv_process_config config; /* of its strings, none */
    struct cmd_allow allow;          /* of the back end that is built in */
};

/* The back end that is built in; `data` is a struct process. */
void process_run_here(void *data, void *store_data, struct ssvm_process_run *);

#endif
