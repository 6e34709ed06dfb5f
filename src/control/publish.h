/* Telling the workers of this node what the registry has: one table for all changes that come
 * together. */
#ifndef CONTROL_PUBLISH_H
#define CONTROL_PUBLISH_H

#include "control/control.h"

/* Something has changed: a new table will be pushed soon. */
void ctl_publish_note(struct ctl_server *);
/* The same, and wait until it is pushed. */
void ctl_publish_wait(struct ctl_server *);
/* The process ends: who waits does so for one more table at most. */
void ctl_publish_end(struct ctl_server *);
/* A worker of one tenant wants its table. */
void ctl_publish_note_isolated(struct ctl_server *);
/* Does the tenant have isolation 'process', as far as workers have been told? */
bool ctl_publish_is_isolated(struct ctl_server *, struct sv_str tenant);

#endif
