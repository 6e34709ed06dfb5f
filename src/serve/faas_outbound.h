/* SSVM_Fetch and SSVM_Callback: requests that a call of /api makes elsewhere, before and after it
 * runs. Control makes them (control/fetch.h), where the function's manifest allows it. */
#ifndef SERVE_FAAS_OUTBOUND_H
#define SERVE_FAAS_OUTBOUND_H

#include <jansson.h>

#include "platform/message.h"
#include "serve/conn.h"

#define SRV_FAAS_HOPS_MAX 8 /* calls that send on to calls that send on */

/* Make the request that `what` says: a URL as a string (GET), or an object with hostname, path,
 * method, port, headers, protocol (POST unless said; https unless said). Its body is `body` or,
 * where that is NULL, the object's `body`; `type` is the body's, unless headers have one. The
 * answer must be there at until_ns. False: the reply says what is wrong. *ret is to be released:
 * STATUS, FIELDS, BODY. */
bool srv_faas_send(struct srv_conn *, const json_t *what, const struct sv_str *body,
                   const char *type, uint64_t until_ns, struct plat_message *ret);
/* The Content-Type of an answer, or {NULL, 0}. */
struct sv_str srv_faas_type(const struct plat_message *answer);

#endif
