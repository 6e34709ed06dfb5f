/* Trace context (W3C, `traceparent`): a request that belongs to a trace becomes a span of it, named
 * by the request's id. The function sees the new value, its outbound calls carry it, and the reply
 * tells it. Requests without a trace, or with a malformed one, have none. */
#ifndef SERVE_TRACE_H
#define SERVE_TRACE_H

#include <stdbool.h>
#include <stddef.h>

#define SRV_TRACE_LEN 55 /* "00-" 32 digits "-" 16 digits "-" 2 digits */

struct srv_conn;

/* The value of a field: ret is what to go on with, with `span` (16 digits) as the parent. False: it
 * is malformed. */
bool srv_trace_read(const char *value, size_t len, const char *span, char ret[SRV_TRACE_LEN + 1]);
/* Fill in request.trace, from the request's fields. */
void srv_trace_begin(struct srv_conn *);

#endif
