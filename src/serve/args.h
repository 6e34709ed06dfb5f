/* Arguments of a typed call, from a request's body and query string. */
#ifndef SERVE_ARGS_H
#define SERVE_ARGS_H

#include "serve/conn.h"

/* At most SRV_PARAMS_MAX arguments into `args`, all borrowed from the request. Their number, or -1:
 * *ret_why says what is wrong. */
int srv_args_read(struct srv_request *, const char *content_type, size_t type_len, bool has_body,
                  ssvm_arg *args, const char **ret_why);
/* Cut the next element from the inside of a JSON array. 1: there is one; 0: the end; -1: not JSON.
 */
int srv_args_next_json(const char **s, const char *end, const char **ret, size_t *ret_len);

#endif
