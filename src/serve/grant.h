/* What functions may use beside WASI: inference and pictures, as the settings say. */
#ifndef SERVE_GRANT_H
#define SERVE_GRANT_H

#include "ssvm.h"

#include "serve/config.h"
#include "serve/log.h"

struct srv_grant {
    ssvm_nn *nn; /* NULL: no inference */
    bool image;
    struct srv_log *log;
};

/* By the settings; opens the first backend that works, so that no request waits for it. A backend
 * that is missing is told on standard error and in what functions log, and is no error. NULL: fine,
 * else why not. */
own ssvm_error *srv_grant_init(struct srv_grant *, const struct srv_config *, struct srv_log *);
void srv_grant_release(struct srv_grant *);
/* Define it all in a linker. NULL is an empty grant. */
own ssvm_error *srv_grant_define(const struct srv_grant *, ssvm_linker *);

#endif
