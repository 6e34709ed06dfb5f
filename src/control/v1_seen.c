/* /v1: what has happened, and what is going on. */
#include <stdatomic.h>
#include <stdlib.h>

#include "control/api.h"
#include "control/ledger.h"
#include "control/live.h"
#include "control/log.h"
#include "control/metrics.h"
#include "control/why.h"

#define WAITING_MAX 16 /* requests that wait for lines of the log */

int ctl_v1_metrics(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    reply->type = CTL_METRICS_TYPE;
    return ctl_metrics_write(request->server, err, request->tenant, &reply->body);
}

static enum ctl_log_level read_level(const char *word)
{
    static const char *const words[CTL_LOG_LEVEL_COUNT] = {"debug", "info", "warn", "error"};
    unsigned level = 0;

    while (word && level < CTL_LOG_LEVEL_COUNT - 1 && strcmp(words[level], word) != 0)
        level++;
    return level;
}

/* Each holds a thread, here and in a worker. */
static _Atomic unsigned waiting;

int ctl_v1_logs(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct ctl_log_query query = {.tenant = request->tenant,
                                  .function = ctl_request_query(request, "function"),
                                  .request_id = ctl_request_query(request, "request"),
                                  .level = read_level(ctl_request_query(request, "level")),
                                  .cursor = ctl_request_query(request, "cursor")};

    int r;

    query.max = (unsigned)ctl_request_number(request, "limit", 0);
    query.wait_ms = (unsigned)ctl_request_number(request, "wait", 0) * 1000;
    if (query.wait_ms > 0 && atomic_fetch_add(&waiting, 1) >= WAITING_MAX) {
        atomic_fetch_sub(&waiting, 1);
        ctl_reply_field(reply, "Retry-After", "5");
        return ctl_reply_error(reply, request, 429, "too_many",
                               "too many wait for lines of the log already");
    }
    r = ctl_log_read(request->server, err, &query, &reply->body);
    if (query.wait_ms > 0)
        atomic_fetch_sub(&waiting, 1);
    return r;
}

int ctl_v1_failures_list(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    json_t *json = NULL;
    int r =
        ctl_why_list(request->server, err, request->tenant, ctl_request_query(request, "function"),
                     ctl_request_query(request, "before"),
                     (unsigned)ctl_request_number(request, "limit", 50), &json);

    return r < 0 ? r : ctl_reply_json(reply, 200, json);
}

int ctl_v1_failures_get(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    json_t *json = NULL;
    int r = ctl_why_get(request->server, err, request->params[0].ptr, request->tenant, &json);

    return r < 0 ? r : ctl_reply_json(reply, 200, json);
}

int ctl_v1_usage(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    const char *from = ctl_request_query(request, "from"),
               *until = ctl_request_query(request, "until"),
               *step = ctl_request_query(request, "step"), *by = ctl_request_query(request, "by"),
               *format = ctl_request_query(request, "format");
    struct ctl_usage usage = {.tenant = request->tenant,
                              .function = ctl_request_query(request, "function"),
                              .step = CTL_LEDGER_ALL,
                              .by_function = by && strcmp(by, "function") == 0,
                              .csv = format && strcmp(format, "csv") == 0};

    if ((from && !ctl_ledger_time_read(from, &usage.from_s)) ||
        (until && !ctl_ledger_time_read(until, &usage.until_s)))
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                       "'from' and 'until' are times of RFC 3339, or seconds since 1970");
    if (step)
        ctl_ledger_step_read(step, &usage.step); /* a word of the list: checked with the route */
    if (usage.csv)
        reply->type = "text/csv; charset=utf-8";
    return ctl_ledger_export(request->server, err, &usage, &reply->body);
}

int ctl_v1_live(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    json_t *json = NULL;
    int r = ctl_live_get(request->server, err, request->tenant, &json);

    return r < 0 ? r : ctl_reply_json(reply, 200, json);
}

int ctl_v1_series(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    json_t *json = NULL;
    int r = ctl_live_series(request->server, err, request->tenant,
                            ctl_request_query(request, "function"), &json);

    return r < 0 ? r : ctl_reply_json(reply, 200, json);
}
