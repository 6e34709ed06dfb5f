/* /v1: the queue and the time table. */
#include <stdlib.h>

#include "control/api.h"
#include "control/cron.h"
#include "control/queue.h"
#include "control/registry.h"
#include "control/shape.h"
#include "platform/record.h"

/* ---- The queue ---- */

struct jobs {
    own json_t *array;
    int64_t last;
};

static void add_job(void *data, const struct ctl_job *job)
{
    struct jobs *jobs = data;

    jobs->last = job->id;
    json_array_append_new(
        jobs->array,
        json_pack("{s:I,s:o,s:o,s:s,s:s,s:i,s:i,s:o,s:o,s:o,s:I}", "id", (json_int_t)job->id,
                  "function", ctl_json_str(sv_str_of(job->function ? job->function : "")), "path",
                  ctl_json_str(sv_str_of(job->path ? job->path : "")), "trigger",
                  job->trigger == PLAT_TRIGGER_CRON ? "cron" : "queue", "state",
                  ctl_job_state_name(job->state), "attempts", (int)job->attempts, "attempts_max",
                  (int)job->attempts_max, "created", ctl_json_time(job->created_ms), "due",
                  ctl_json_time(job->due_ms), "error",
                  job->error && *job->error ? ctl_json_text(job->error) : json_null(), "bytes",
                  (json_int_t)job->body.len));
}

static enum ctl_job_state read_state(const char *word)
{
    unsigned state = 0;

    while (word && state < CTL_JOB_STATE_COUNT && strcmp(ctl_job_state_name(state), word) != 0)
        state++;
    return word ? state : CTL_JOB_STATE_COUNT;
}

int ctl_v1_jobs_list(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct jobs jobs = {NULL, 0};
    uint64_t after = ctl_request_number(request, "after", 0),
             limit = ctl_request_number(request, "limit", 100);
    bool full;
    int r;

    limit = limit ? limit : 1;
    jobs.array = json_array();
    r = ctl_queue_list(request->server, err, request->tenant,
                       ctl_request_query(request, "function"),
                       read_state(ctl_request_query(request, "state")), (int64_t)after,
                       (unsigned)limit, add_job, &jobs);
    if (r < 0) {
        json_decref(jobs.array);
        return r;
    }
    full = json_array_size(jobs.array) == limit;
    return ctl_reply_json(reply, 200,
                          json_pack("{s:o,s:o}", "jobs", jobs.array, "next",
                                    full ? json_integer(jobs.last) : json_null()));
}

int ctl_v1_jobs_push(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct sv_str type = ctl_request_field(request, "Content-Type"),
                  trace = ctl_request_field(request, "traceparent");
    struct ctl_job job = {.tenant = request->tenant,
                          .function = request->params[1].ptr,
                          .path = ctl_request_query(request, "path"),
                          .body = request->body,
                          .trigger = PLAT_TRIGGER_QUEUE};
    struct ctl_function *function =
        ctl_registry_find(request->server, request->tenant, request->params[1].ptr);
    int64_t id;
    int r;

    ctl_function_unref(function);
    if (!function)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no such function");
    job.attempts_max = (unsigned)ctl_request_number(request, "attempts", 0);
    job.type = type.ptr ? sv_arena_strndup(&request->arena, type.ptr, type.len) : NULL;
    job.trace = trace.ptr ? sv_arena_strndup(&request->arena, trace.ptr, trace.len) : NULL;
    r = ctl_queue_add(request->server, err, &job,
                      (int64_t)ctl_request_number(request, "delay_ms", 0), &id);
    return r < 0 ? r : ctl_reply_json(reply, 202, json_pack("{s:I}", "id", (json_int_t)id));
}

/* A job in another state is a conflict. */
static int answer_change(struct ctl_request *request, struct ctl_reply *reply,
                         const struct sv_err *err, int r)
{
    return r == SV_EUSAGE ? ctl_reply_error(reply, request, 409, "conflict", "%s", err->text) : r;
}

int ctl_v1_jobs_retry(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    int r = ctl_queue_retry(request->server, err, request->tenant,
                            strtoll(request->params[1].ptr, NULL, 10));

    return answer_change(request, reply, err, r);
}

int ctl_v1_jobs_delete(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    int r = ctl_queue_delete(request->server, err, request->tenant,
                             strtoll(request->params[1].ptr, NULL, 10));

    return answer_change(request, reply, err, r);
}

/* ---- The time table ---- */

static void add_entry(void *data, const struct ctl_cron_entry *entry)
{
    json_array_append_new(
        data, json_pack("{s:I,s:o,s:o,s:o,s:o,s:o}", "id", (json_int_t)entry->id, "function",
                        ctl_json_str(sv_str_of(entry->function)), "schedule",
                        ctl_json_str(sv_str_of(entry->schedule)), "path",
                        ctl_json_str(sv_str_of(entry->path ? entry->path : "")), "next",
                        ctl_json_time(entry->next_ms), "last", ctl_json_time(entry->last_ms)));
}

int ctl_v1_cron_list(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    json_t *entries = json_array();
    int r = ctl_cron_list(request->server, err, request->tenant,
                          ctl_request_query(request, "function"), add_entry, entries);

    if (r < 0) {
        json_decref(entries);
        return r;
    }
    return ctl_reply_json(reply, 200, json_pack("{s:o}", "entries", entries));
}

struct wanted {
    struct ctl_request *request;
    int64_t id;
    bool found, failed;
    struct ctl_job job;
};

/* The entry as a job; its texts live as long as the request. */
static void take_entry(void *data, const struct ctl_cron_entry *entry)
{
    struct wanted *wanted = data;
    struct sv_arena *arena = &wanted->request->arena;
    const char *path = entry->path ? entry->path : "";

    if (entry->id != wanted->id)
        return;
    wanted->found = true;
    wanted->job = (struct ctl_job){
        .tenant = wanted->request->tenant,
        .function = sv_arena_strndup(arena, entry->function, strlen(entry->function)),
        .path = sv_arena_strndup(arena, path, strlen(path)),
        .trigger = PLAT_TRIGGER_CRON};
    if (entry->body.len > 0)
        wanted->job.body = (struct sv_str){
            sv_arena_strndup(arena, entry->body.ptr, entry->body.len), entry->body.len};
    wanted->failed = !wanted->job.function || !wanted->job.path ||
                     (entry->body.len > 0 && !wanted->job.body.ptr);
}

int ctl_v1_cron_run(struct ctl_request *request, struct ctl_reply *reply, struct sv_err *err)
{
    struct wanted wanted = {.request = request, .id = strtoll(request->params[1].ptr, NULL, 10)};
    int64_t id;
    int r = ctl_cron_list(request->server, err, request->tenant, NULL, take_entry, &wanted);

    if (r < 0)
        return r;
    if (!wanted.found)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "there is no such entry");
    if (wanted.failed)
        return sv_fail_nomem(err, "a job");
    r = ctl_queue_add(request->server, err, &wanted.job, 0, &id);
    return r < 0 ? r : ctl_reply_json(reply, 202, json_pack("{s:I}", "id", (json_int_t)id));
}
