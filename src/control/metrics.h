/* What Prometheus reads: GET /metrics, text format 0.0.4. Counted from the records of finished
 * requests and from the control process itself; labels have a bounded number of values. The metrics
 * are listed in doc/format/metrics.md. */
#ifndef CONTROL_METRICS_H
#define CONTROL_METRICS_H

#include "base/buf.h"
#include "control/control.h"
#include "platform/record.h"

#define CTL_METRICS_FUNCTIONS 200 /* that have lines of their own; the rest is function="other" */
#define CTL_METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct ctl_metrics;

void ctl_metrics_count(struct ctl_server *, const struct plat_record *);
/* tenant NULL: all, else that tenant's functions alone. */
int ctl_metrics_write(struct ctl_server *, struct sv_err *, const char *tenant, struct sv_buf *ret);

#endif
