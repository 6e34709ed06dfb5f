/* The store of logs: files of JSON lines in DATA/log, which grow to a size and are then put aside
 * until they are too many or too old. One file for all tenants; who reads sees his own. Writing
 * never waits for the disk: what cannot be written is counted, and told in the log when it can. */
#ifndef CONTROL_LOG_H
#define CONTROL_LOG_H

#include "base/buf.h"
#include "control/control.h"
#include "platform/record.h"

struct ctl_log;

enum ctl_log_level {
    CTL_LOG_DEBUG,
    CTL_LOG_INFO,
    CTL_LOG_WARN,
    CTL_LOG_ERROR,
    CTL_LOG_LEVEL_COUNT
};

/* A line of control's own: {"time","level","event","tenant","function","id","message"}. Those that
 * are NULL are left out. Any thread; never waits. */
void ctl_log_event(struct ctl_server *, enum ctl_log_level, const char *event, const char *tenant,
                   const char *function, const char *request_id, const char *message);
/* Lines that were lost, and are not yet told in the log. */
uint64_t ctl_log_lost(struct ctl_server *);
/* The line of a finished request. */
void ctl_log_record(struct ctl_server *, const struct plat_record *);
/* KIND LOG: TENANT, FUNCTION, REQUEST_ID, NAME (event: "stderr"), TEXT. One way. */
int ctl_log_note(struct ctl_server *, struct sv_err *, struct plat_message *,
                 struct plat_message *ret);

struct ctl_log_query {
    const char *tenant;       /* NULL: all (an admin's) */
    const char *function;     /* NULL: all */
    const char *request_id;   /* NULL: all */
    enum ctl_log_level level; /* and above */
    const char *cursor;       /* NULL or "": the last `max` lines; else what came after it */
    unsigned max;             /* lines; 0: 200; at most 2000 */
    unsigned wait_ms;         /* with a cursor: wait so long for a line; at most 30000 */
};

/* {"lines":[{...},...],"cursor":"..."}: a follower asks again with the cursor. For
 * GET /v1/logs?function=&request=&level=&cursor=&limit=&wait=SECONDS. SV_EUSAGE: a bad cursor. */
int ctl_log_read(struct ctl_server *, struct sv_err *, const struct ctl_log_query *,
                 struct sv_buf *ret);

#endif
