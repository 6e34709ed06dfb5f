/* A function that calls another of its tenant, in this process: a request in memory, for which the
 * caller's thread waits. */
#ifndef SERVE_NESTED_H
#define SERVE_NESTED_H

#include "serve/conn.h"
#include "ssvm_state.h"

/* The answer's status in op->number, its fields and body in op's parts; or a code of ssvm_state.h.
 */
int srv_nested_call(struct srv_conn *caller, ssvm_state_op *op, const ssvm_state_request *,
                    uint64_t deadline_ns);

#endif
