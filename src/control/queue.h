/* The durable queue: calls of functions that are made later, at least once each. A job that was
 * acknowledged is in the database; it is leased to a node for as long as a call may take, and is
 * gone when the function answered below 400. Else it is tried again, later and later, and is dead
 * after its last attempt: it stays until somebody looks (retry, delete). */
#ifndef CONTROL_QUEUE_H
#define CONTROL_QUEUE_H

#include "control/control.h"

#define CTL_QUEUE_CHANGED "queue" /* what is notified (db.h) */
#define CTL_JOB_BODY_MAX (1U << 20)
#define CTL_JOB_ATTEMPTS 8 /* unless the job says */
#define CTL_JOB_DELAY_MAX_MS (366LL * 24 * 3600 * 1000)

enum ctl_job_state {
    CTL_JOB_WAITING, /* for its time, its turn, or its next attempt */
    CTL_JOB_RUNNING, /* leased */
    CTL_JOB_DEAD,
    CTL_JOB_STATE_COUNT
};
const char *ctl_job_state_name(enum ctl_job_state); /* "waiting", ... */

/* What a job calls, and what is known of it. Strings are borrowed; NULL is "". */
struct ctl_job {
    int64_t id; /* 0 when it is pushed */
    const char *tenant, *function;
    const char *path; /* behind the function's own: "", "/FUNCTION" */
    const char *type; /* of the body: "application/octet-stream" unless said */
    struct sv_str body;
    const char *trace;     /* traceparent of who pushed it */
    unsigned trigger;      /* enum plat_trigger: QUEUE or CRON */
    unsigned attempts_max; /* 0: CTL_JOB_ATTEMPTS */
    /* Of a job that is listed. */
    enum ctl_job_state state;
    unsigned attempts;
    int64_t created_ms, due_ms; /* wall clock */
    const char *error;          /* of the last attempt: "503: ..." */
};

/* Handler of PLAT_QUEUE_PUSH. TENANT, FUNCTION (that is called), PATH, VALUE (the body), TEXT (its
 * type), TTL_MS (how long from now), TRACE. Answer: NUMBER, the job's id: it is in the database. */
int ctl_queue_push(struct ctl_server *, struct sv_err *, struct plat_message *request,
                   struct plat_message *ret);
/* The same for control's own parts. SV_ELIMIT: too many jobs of the tenant wait. */
int ctl_queue_add(struct ctl_server *, struct sv_err *, const struct ctl_job *, int64_t delay_ms,
                  int64_t *ret_id);
/* In a transaction of the caller's, which then notifies by itself. */
int ctl_queue_insert(struct ctl_sql *, struct sv_err *, const struct ctl_job *, int64_t due_ms,
                     int64_t *ret_id);

/* Jobs of the tenant with an id above `after`, at most n, in order; function NULL: all; state
 * CTL_JOB_STATE_COUNT: all. The job is `each`'s for the call. */
int ctl_queue_list(struct ctl_server *, struct sv_err *, const char *tenant, const char *function,
                   enum ctl_job_state, int64_t after, unsigned n,
                   void (*each)(void *data, const struct ctl_job *), void *data);
/* How many there are in each state. */
int ctl_queue_count(struct ctl_server *, struct sv_err *, const char *tenant, const char *function,
                    uint64_t ret[CTL_JOB_STATE_COUNT]);
/* A dead job waits again, with all its attempts. SV_ENOTFOUND. */
int ctl_queue_retry(struct ctl_server *, struct sv_err *, const char *tenant, int64_t id);
/* Not one that runs: SV_EUSAGE. */
int ctl_queue_delete(struct ctl_server *, struct sv_err *, const char *tenant, int64_t id);

/* The part (part.h): takes jobs and runs them; after stop, none is taken, and those that run are
 * waited for. */

#endif
