/* The ledger: what every tenant's functions have used, minute by minute. Made from the records of
 * the workers' rings (platform/record.h): each record is counted once, whichever process is killed
 * when, since the transaction that counts it moves the ring's position too. What the columns mean
 * is in doc/internals/ledger.md. */
#ifndef CONTROL_LEDGER_H
#define CONTROL_LEDGER_H

#include <jansson.h>

#include "base/buf.h"
#include "control/control.h"

#define CTL_LEDGER_DRAIN_MS 100

/* Count what there is in the rings now. Any thread. Runs by itself every CTL_LEDGER_DRAIN_MS. */
int ctl_ledger_drain(struct ctl_server *, struct sv_err *);

enum ctl_ledger_step { /* rows of the answer are sums over ... of UTC */
                       CTL_LEDGER_MINUTE,
                       CTL_LEDGER_HOUR,
                       CTL_LEDGER_DAY,
                       CTL_LEDGER_ALL, /* the whole range */
                       CTL_LEDGER_STEP_COUNT
};

struct ctl_usage {
    const char *tenant;      /* NULL: all */
    const char *function;    /* NULL: all */
    int64_t from_s, until_s; /* [from, until), seconds since 1970, of whole minutes; 0, 0 = ever */
    enum ctl_ledger_step step;
    bool by_function; /* rows for each function and version; else sums over a tenant's functions */
    bool csv;         /* else JSON: {"usage":[{"time":"...Z","tenant":...,"calls":...}]} */
    unsigned max;     /* rows; 0: 100000 */
};

/* "minute", "hour", "day", "all"; false: it is none. */
bool ctl_ledger_step_read(const char *name, enum ctl_ledger_step *ret);
/* RFC 3339, or seconds since 1970. */
bool ctl_ledger_time_read(const char *text, int64_t *ret_s);
/* Append the rows, as `usage` asks. Drains first, so that every answered request is in it. For
 * GET /v1/usage?tenant=&function=&from=&until=&step=&by=function&format=csv|json. */
int ctl_ledger_export(struct ctl_server *, struct sv_err *, const struct ctl_usage *,
                      struct sv_buf *ret);
/* The sums of one function since ever; for /api: gas and calls. */
int ctl_ledger_function(struct ctl_server *, struct sv_err *, const char *tenant,
                        const char *function, uint64_t *ret_calls, uint64_t *ret_gas,
                        uint64_t *ret_wall_ns);

#endif
