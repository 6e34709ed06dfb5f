/* A module file out of a live instance: the same code, with the state of now as the initial one. */
#ifndef SV_RUNTIME_SNAPSHOT_H
#define SV_RUNTIME_SNAPSHOT_H

#include "runtime/instance.h"

/* Append the module to ret (an empty buffer). Exports named in `leave_out` (n of them) are not in
 * it. SV_EUSAGE with a sentence: the state has something that a module file cannot hold. While no
 * guest runs in the store. */
int sv_instance_snapshot(struct sv_err *err, struct sv_instance *, const struct sv_str *leave_out,
                         size_t n, struct sv_buf *ret);

#endif
