/* Functions whose `_initialize` is run once for a version and not for each request. */
#ifndef SERVE_SNAPSHOT_H
#define SERVE_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>

#include "ssvm.h"

/* Is it a reactor with something to initialise? */
bool srv_snapshot_wanted(const ssvm_module *);
/* The module that begins where the `_initialize` of the module in `bytes` ended, at most `max`
 * bytes, for ssvm_string_delete. NULL: its instances have to be initialised one by one; `why` (of
 * `size` bytes) says the reason. Interprets at most what `limits` allow. */
struct srv_grant;
own char *srv_snapshot_make(const char *bytes, size_t len, size_t max, const ssvm_limits *limits,
                            const struct srv_grant *grant, size_t *ret_len, char *why, size_t size);

#endif
