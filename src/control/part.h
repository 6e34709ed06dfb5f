/* The parts of the control process (part.def): how they start and stop. */
#ifndef CONTROL_PART_H
#define CONTROL_PART_H

#include "control/control.h"

#define PART(name)                                                                                 \
    int ctl_##name##_start(struct ctl_server *, struct sv_err *);                                  \
    void ctl_##name##_stop(struct ctl_server *);
#include "control/part.def"
#undef PART

#endif
