/* Telling the workers of this node what the registry has: one table for all changes that come
 * together. */
#ifndef CONTROL_PUBLISH_H
#define CONTROL_PUBLISH_H

#include "control/control.h"

/* Something has changed: a new table will be pushed soon. */
void ctl_publish_note(struct ctl_server *);
/* The same, and wait until it is pushed. */
void ctl_publish_wait(struct ctl_server *);

#endif
