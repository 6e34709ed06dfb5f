/* What goes on now. Series are kept in memory: a node that starts begins with none. */
#include "control/live.h"

#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/part.h"
#include "control/workers.h"
#include "ssvm.h"

#define STEP_S 10
#define STEPS 360         /* an hour */
#define FUNCTIONS_MAX 128 /* with a series; the one that was idle the longest makes room */
#define BUCKETS 40        /* of latency: each sqrt(2) times the one before */
#define BUCKET_FIRST_NS 32000.0
#define ASK_MS 1000

struct step {
    uint32_t calls, errors;
    uint64_t gas;
    uint32_t buckets[BUCKETS];
};

struct series {
    char tenant[65], function[65];
    uint64_t last; /* the step of the last call, counted from 1970 */
    struct step steps[STEPS];
};

struct ctl_live {
    pthread_mutex_t lock;
    uint64_t started_ns;
    unsigned count;
    struct series *series[FUNCTIONS_MAX];
    struct series *recent; /* that the last record was for */
};

/* ---- Counting ---- */

static unsigned bucket_of(uint64_t ns)
{
    double n = ns > 0 ? ceil(2 * log2((double)ns / BUCKET_FIRST_NS)) : 0;

    return n <= 0 ? 0 : n >= BUCKETS - 1 ? BUCKETS - 1 : (unsigned)n;
}

static bool is_of(const struct series *s, const char *tenant, const char *function)
{
    return strcmp(s->function, function) == 0 && strcmp(s->tenant, tenant) == 0;
}

/* NULL: no memory. Holds the lock. */
static struct series *find_series(struct ctl_live *live, const struct plat_record *r)
{
    struct series *s, *idle = NULL;

    if (live->recent && is_of(live->recent, r->tenant, r->function))
        return live->recent;
    for (unsigned i = 0; i < live->count; i++) {
        s = live->series[i];
        if (is_of(s, r->tenant, r->function))
            return live->recent = s;
        if (!idle || s->last < idle->last)
            idle = s;
    }
    if (live->count < FUNCTIONS_MAX) {
        s = sv_alloc(sizeof *s);
        if (!s)
            return NULL;
        live->series[live->count++] = s;
    } else {
        s = idle;
    }
    memset(s, 0, sizeof *s);
    memcpy(s->tenant, r->tenant, sizeof s->tenant);
    memcpy(s->function, r->function, sizeof s->function);
    return live->recent = s;
}

/* Empty the steps between the last call and now. */
static void move_on(struct series *s, uint64_t now)
{
    uint64_t from = s->last + 1;

    if (now <= s->last)
        return;
    if (now - s->last > STEPS)
        from = now - STEPS + 1;
    for (; from <= now; from++)
        memset(&s->steps[from % STEPS], 0, sizeof *s->steps);
    s->last = now;
}

void ctl_live_count(struct ctl_server *server, const struct plat_record *r)
{
    struct ctl_live *live = server->live;
    uint64_t now = r->time_ns / 1000000000 / STEP_S;
    struct series *s;

    pthread_mutex_lock(&live->lock);
    s = find_series(live, r);
    if (s) {
        struct step *step;

        move_on(s, now);
        if (now + STEPS > s->last) {
            step = &s->steps[now % STEPS];
            step->calls++;
            step->errors += r->status >= 500;
            step->gas += r->gas;
            step->buckets[bucket_of(r->wall_ns)]++;
        }
    }
    pthread_mutex_unlock(&live->lock);
}

/* ---- Series ---- */

/* The upper edge of the bucket that the share of calls is below. */
static json_t *quantile(const struct step *step, double share)
{
    double wanted = share * step->calls, seen = 0;
    unsigned i = 0;

    if (step->calls == 0)
        return json_null();
    for (; i < BUCKETS - 1; i++) {
        seen += step->buckets[i];
        if (seen >= wanted)
            break;
    }
    return json_real(round(BUCKET_FIRST_NS * exp2(i / 2.0) / 1000) / 1000);
}

static void add_step(struct step *sum, const struct step *step)
{
    sum->calls += step->calls;
    sum->errors += step->errors;
    sum->gas += step->gas;
    for (unsigned i = 0; i < BUCKETS; i++)
        sum->buckets[i] += step->buckets[i];
}

/* One step of all series that are asked for. */
static struct step sum_step(const struct ctl_live *live, const char *tenant, const char *function,
                            uint64_t at)
{
    struct step sum = {0};

    for (unsigned i = 0; i < live->count; i++) {
        const struct series *s = live->series[i];

        if ((tenant && strcmp(s->tenant, tenant) != 0) ||
            (function && strcmp(s->function, function) != 0))
            continue;
        if (at <= s->last && at + STEPS > s->last)
            add_step(&sum, &s->steps[at % STEPS]);
    }
    return sum;
}

int ctl_live_series(struct ctl_server *server, struct sv_err *err, const char *tenant,
                    const char *function, own json_t **ret)
{
    static const char *const names[] = {"calls", "errors", "gas", "p50_ms", "p90_ms", "p99_ms"};
    struct ctl_live *live = server->live;
    uint64_t now = sv_clock_wall_ns() / 1000000000 / STEP_S;
    json_t *lists[SV_COUNT(names)], *object = json_object();

    if (!object)
        return sv_fail_nomem(err, "the series");
    json_object_set_new(object, "step_s", json_integer(STEP_S));
    json_object_set_new(object, "from", json_integer((json_int_t)((now - STEPS + 1) * STEP_S)));
    for (size_t i = 0; i < SV_COUNT(names); i++) {
        lists[i] = json_array();
        json_object_set_new(object, names[i], lists[i]);
    }
    pthread_mutex_lock(&live->lock);
    for (uint64_t at = now - STEPS + 1; at <= now; at++) {
        struct step sum = sum_step(live, tenant, function, at);

        json_array_append_new(lists[0], json_integer(sum.calls));
        json_array_append_new(lists[1], json_integer(sum.errors));
        json_array_append_new(lists[2], json_integer((json_int_t)sum.gas));
        json_array_append_new(lists[3], quantile(&sum, 0.5));
        json_array_append_new(lists[4], quantile(&sum, 0.9));
        json_array_append_new(lists[5], quantile(&sum, 0.99));
    }
    pthread_mutex_unlock(&live->lock);
    *ret = object;
    return 0;
}

/* ---- Processes and requests ---- */

/* What the system says of a process: workers are jailed and cannot look themselves. */
static void add_system(json_t *process, int pid)
{
    unsigned long pages = 0, all;
    json_int_t fds = 0;
    char path[40];
    DIR *dir;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/statm", pid);
    f = fopen(path, "re");
    if (f && fscanf(f, "%lu %lu", &all, &pages) == 2)
        json_object_set_new(process, "rss_bytes",
                            json_integer((json_int_t)pages * sysconf(_SC_PAGESIZE)));
    if (f)
        fclose(f);
    snprintf(path, sizeof path, "/proc/%d/fd", pid);
    dir = opendir(path);
    if (!dir)
        return;
    while (readdir(dir))
        fds++;
    closedir(dir);
    fds -= pid == getpid() ? 3 : 2; /* ".", "..", and what we look with */
    json_object_set_new(process, "fds", json_integer(fds));
}

static json_t *own_process(void)
{
    struct rusage usage;
    json_t *process;

    getrusage(RUSAGE_SELF, &usage);
    process = json_pack("{s:s, s:i, s:I}", "process", "control", "pid", (int)getpid(), "cpu_ms",
                        (json_int_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000 +
                            (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1000);
    if (process)
        add_system(process, (int)getpid());
    return process;
}

/* What the worker of one tenant says is about that tenant, whatever it says. */
static void set_tenant(json_t *worker, const char *tenant)
{
    json_t *request;
    size_t i;

    json_object_set_new(worker, "tenant", json_string(tenant));
    json_array_foreach(json_object_get(worker, "requests"), i, request)
        json_object_set_new(request, "tenant", json_string(tenant));
}

static void add_worker(void *data, unsigned number, const char *tenant,
                       const struct plat_message *answer)
{
    struct sv_str body = plat_get(answer, PLAT_TAG_BODY);
    json_t *worker = body.ptr ? json_loadb(body.ptr, body.len, 0, NULL) : NULL;
    char name[24];

    snprintf(name, sizeof name, "worker-%u", number);
    if (json_is_object(worker)) {
        json_object_set_new(worker, "process", json_string(name));
        if (*tenant)
            set_tenant(worker, tenant);
        add_system(worker, (int)json_integer_value(json_object_get(worker, "pid")));
        json_array_append(data, worker);
    }
    json_decref(worker);
}

own json_t *ctl_live_processes(struct ctl_server *server)
{
    json_t *ret = json_array();
    struct plat_message ask;

    json_array_append_new(ret, own_process());
    plat_message_init(&ask, PLAT_ASK_STATUS);
    ctl_workers_ask_all(server, &ask, sv_clock_ns() + ASK_MS * 1000000ULL, add_worker, ret);
    plat_message_release(&ask);
    return ret;
}

static bool may_see(const char *tenant, const json_t *request)
{
    const char *of = json_string_value(json_object_get(request, "tenant"));

    return !tenant || (of && strcmp(of, tenant) == 0);
}

int ctl_live_get(struct ctl_server *server, struct sv_err *err, const char *tenant,
                 own json_t **ret)
{
    json_t *processes = ctl_live_processes(server), *requests = json_array(), *process, *request;
    size_t i, j;

    json_array_foreach(processes, i, process)
    {
        json_array_foreach(json_object_get(process, "requests"), j, request)
        {
            if (may_see(tenant, request))
                json_array_append(requests, request);
        }
        json_object_del(process, "requests");
    }
    *ret = json_pack("{s:{s:s, s:I}, s:o}", "node", "version", SSVM_VERSION, "uptime_s",
                     (json_int_t)((sv_clock_ns() - server->live->started_ns) / 1000000000),
                     "requests", requests);
    if (*ret && !tenant) /* the operator's alone */
        json_object_set(*ret, "processes", processes);
    json_decref(processes);
    return *ret ? 0 : sv_fail_nomem(err, "what is going on");
}

/* ---- The part ---- */

int ctl_live_start(struct ctl_server *server, struct sv_err *err)
{
    server->live = sv_alloc_zero(sizeof *server->live);
    if (!server->live)
        return sv_fail_nomem(err, "the last hour");
    pthread_mutex_init(&server->live->lock, NULL);
    server->live->started_ns = sv_clock_ns();
    return 0;
}

void ctl_live_stop(struct ctl_server *server)
{
    (void)server; /* threads of the pool may still come by */
}
