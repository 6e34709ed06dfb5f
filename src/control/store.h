/* What the others stand on, opened: for the control process (part.def) and for tools. */
#ifndef CONTROL_STORE_H
#define CONTROL_STORE_H

#include "control/control.h"

/* Only one process uses the data folder; waits so long for another to end. Held to this one's end.
 */
int ctl_store_lock(struct ctl_server *, struct sv_err *, unsigned wait_ms);
/* Open the database: `url`, or, with NULL, "" or "default", the data folder's own. */
int ctl_store_database(struct ctl_server *, struct sv_err *, const char *url);

#endif
