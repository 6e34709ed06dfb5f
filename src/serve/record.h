/* What a finished request leaves for the control process: its record, which is never lost while the
 * ledger can be written, and best effort why it failed and what it said. */
#ifndef SERVE_RECORD_H
#define SERVE_RECORD_H

#include "serve/conn.h"
#include "serve/server.h"

/* The request is done, with so many bytes of its own body and of its reply's: write its record,
 * once. Comes before the last byte of the reply is sent: what a client has an answer to is counted.
 */
void srv_record_write(struct srv_conn *, uint64_t bytes_in, uint64_t bytes_out);
/* The request's function has run in the store: note the host functions that it has called, `all`
 * calls together. */
void srv_record_hosts(struct srv_conn *, const ssvm_store *, uint64_t all);

#endif
