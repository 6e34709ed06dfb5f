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

/* Made once, before the threads start; server->ledger is it from then on. */
int ctl_ledger_open(struct ctl_server *, struct sv_err *);
void ctl_ledger_close(struct ctl_server *); /* counts what is in the rings first */
/* A ring to read, at any time: a descriptor of its memory, which stays the caller's. One that is
 * known already (by its id) is passed over. */
int ctl_ledger_add_ring(struct ctl_server *, struct sv_err *, int fd);
/* Its worker is gone for good: forget it once it is empty. */
void ctl_ledger_drop_ring(struct ctl_server *, uint64_t ring_id);
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
