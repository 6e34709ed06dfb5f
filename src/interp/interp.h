/* The interpreter's face: one table of operations for the runtime. */
#ifndef SV_INTERP_INTERP_H
#define SV_INTERP_INTERP_H

#include "runtime/exec.h"

extern const struct sv_exec_ops sv_interp_ops;

/* Lower every function now (benchmarks, tests); returns the bytes of lowered code, or a negative
 * sv_code. */
int64_t sv_interp_lower_all(struct sv_err *err, struct sv_instance *inst);

#endif
