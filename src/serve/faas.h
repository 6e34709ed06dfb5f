/* Calls over /api/run and /api/multipart/run, as in 2020: where the arguments come from, what the
 * guest sees, and where the answer goes. The rest of /api is control's (forward.h). */
#ifndef SERVE_FAAS_H
#define SERVE_FAAS_H

#include "serve/call.h"
#include "serve/registry.h"

#define SRV_FAAS_PREFIX "/api/"

struct srv_faas; /* of a request: what it fetched, where its answer goes */

/* The request's path is below SRV_FAAS_PREFIX: find the function that it names. The request has a
 * srv_faas then, and its errors look like those of 2020. */
enum srv_find srv_faas_find(struct srv_conn *);
void srv_faas_delete(own struct srv_faas *); /* NULL is allowed */
/* The arguments, which live as long as the request; fetches some of them. Their number; -1: the
 * reply is ready. */
int srv_faas_args(struct srv_conn *, ssvm_arg *args);
/* Add what a guest of 2020 finds around itself. */
void srv_faas_surround(const struct srv_conn *, struct srv_surroundings *);
/* What the export is asked for. */
ssvm_result_kind srv_faas_wanted(const struct srv_request *);
/* Make the reply of a result, which is taken; through the callback, where there is one. */
void srv_faas_answer(struct srv_conn *, ssvm_result *);

#endif
