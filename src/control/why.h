/* Why requests failed: trap, source lines, limits and what the function said, for its owner. Kept
 * in the database for some days, a bounded number for each function. */
#ifndef CONTROL_WHY_H
#define CONTROL_WHY_H

#include <jansson.h>

#include "control/control.h"

#define CTL_WHY_KEPT 200            /* failures of one function */
#define CTL_WHY_DAYS 14             /* and how long */
#define CTL_WHY_TEXT_MAX (64 << 10) /* bytes of a backtrace, of standard error */

/* KIND FAILURE: one way. RECORD; TEXT, what happened; BACKTRACE; ERRORS; LIMITS; PATH; HASH, the
 * body's SHA-256. */
int ctl_why_note(struct ctl_server *, struct sv_err *, struct plat_message *,
                 struct plat_message *ret);
/* {"id","time","tenant","function","digest","status","code","message","trap","backtrace":[{"function",
 * "file","line","text"}],"stderr","limits":{},"gas","memory_peak","wall_ms","run_ms","wait_ms","cpu_ms",
 * "bytes_in","bytes_out","input_sha256","method","path","trace"}. tenant NULL: any (an admin's).
 * SV_ENOTFOUND. For GET /v1/failures/{id}. */
int ctl_why_get(struct ctl_server *, struct sv_err *, const char *request_id, const char *tenant,
                own json_t **ret);
/* {"failures":[{"id","time","tenant","function","status","code","message"}],"next":"..."}, the last
 * first. For GET /v1/failures?function=&before=&limit=. */
int ctl_why_list(struct ctl_server *, struct sv_err *, const char *tenant, const char *function,
                 const char *before, unsigned max, own json_t **ret);

#endif
