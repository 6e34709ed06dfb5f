/* State for functions (ssvm_state): the back end of a worker, which asks the control process for
 * all of it but calls between functions, which are made here. What a function may use is in its
 * grants; all names are its tenant's. */
#ifndef SERVE_STATE_H
#define SERVE_STATE_H

#include "base/str.h"
#include "ssvm.h"

#define SRV_CALL_DEPTH_MAX 8 /* functions that call functions */

/* The part (enum ssvm_state_parts) that a grant's word stands for, or 0: `kv`, `sql`, `secret`,
 * `allow-http`, `call` (which is the queue, too). */
unsigned srv_state_part(struct sv_str word);
/* Define these parts. The store of each instance has its connection as data (ssvm_store_set_data).
 */
own ssvm_error *srv_state_define(unsigned parts, ssvm_linker *);

#endif
