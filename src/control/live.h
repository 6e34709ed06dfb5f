/* What is going on now, for the dashboard: the requests that run (asked of the workers), and the
 * last hour of each function in steps of ten seconds (from the records, in memory). */
#ifndef CONTROL_LIVE_H
#define CONTROL_LIVE_H

#include <jansson.h>

#include "control/control.h"
#include "platform/record.h"

struct ctl_live;

void ctl_live_count(struct ctl_server *, const struct plat_record *);
/* The processes of the server: this one and the workers, as members "process" ("control",
 * "worker-0"), "pid", "rss_bytes", "cpu_ms", "fds"; of workers also "connections", "running",
 * "queued", "records_lost", "requests". Workers that do not answer are left out. */
own json_t *ctl_live_processes(struct ctl_server *);
/* {"node":{"version","uptime_s"},"requests":[{"id","tenant","function","method","path","ms"}]}; for
 * an operator (tenant NULL) "processes" too. For GET /v1/live. */
int ctl_live_get(struct ctl_server *, struct sv_err *, const char *tenant, own json_t **ret);
/* {"step_s":10,"from":SECONDS,"calls":[...],"errors":[...],"gas":[...],"p50_ms":[...],"p90_ms":[...],
 * "p99_ms":[...]}, one number a step, null where nothing was; function NULL: all of the tenant's,
 * tenant NULL: all. For GET /v1/series?function=. */
int ctl_live_series(struct ctl_server *, struct sv_err *, const char *tenant, const char *function,
                    own json_t **ret);

#endif
