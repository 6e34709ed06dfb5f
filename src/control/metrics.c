/* Counters of finished requests, and how they are written for Prometheus. A function's counters
 * stay as long as the process lives; when there are too many functions, the others share one. */
#include "control/metrics.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>

#include "base/clock.h"
#include "control/hostcalls.h"
#include "control/live.h"
#include "control/log.h"
#include "control/part.h"
#include "control/workers.h"
#include "ssvm.h"

#define PLACES (4 * CTL_METRICS_FUNCTIONS) /* of the hash table */
#define CLASSES 6                          /* of statuses: 0xx (none) to 5xx */

/* Upper edges of latency, in microseconds. */
/* clang-format off */
static const uint32_t edges_us[] = {100,    250,    500,     1000,    2500,    5000,     10000,
                                    25000,  50000,  100000,  250000,  500000,  1000000,  2500000,
                                    5000000, 10000000, 30000000};
/* clang-format on */
#define EDGES SV_COUNT(edges_us)

struct counters {
    char tenant[65], function[65];
    uint64_t requests[CLASSES];
    uint64_t rejected, gas, cpu_ns, run_ns, bytes_in, bytes_out, host_calls;
    uint64_t buckets[EDGES + 1], wall_ns;
};

struct ctl_metrics {
    pthread_mutex_t lock;
    unsigned count;
    struct counters functions[CTL_METRICS_FUNCTIONS + 1]; /* the last: all others */
    uint16_t places[PLACES];                              /* index + 1 */
};

/* ---- Counting ---- */

/* Holds the lock. */
static struct counters *find_counters(struct ctl_metrics *m, const struct plat_record *r)
{
    uint64_t h = sv_hash(r->function, strlen(r->function)) ^ sv_hash(r->tenant, strlen(r->tenant));
    unsigned at = (unsigned)(h % PLACES);

    for (; m->places[at]; at = (at + 1) % PLACES) {
        struct counters *c = &m->functions[m->places[at] - 1];

        if (strcmp(c->function, r->function) == 0 && strcmp(c->tenant, r->tenant) == 0)
            return c;
    }
    if (m->count == CTL_METRICS_FUNCTIONS)
        return &m->functions[CTL_METRICS_FUNCTIONS];
    memcpy(m->functions[m->count].tenant, r->tenant, sizeof r->tenant);
    memcpy(m->functions[m->count].function, r->function, sizeof r->function);
    m->places[at] = (uint16_t)(m->count + 1);
    return &m->functions[m->count++];
}

void ctl_metrics_count(struct ctl_server *server, const struct plat_record *r)
{
    struct ctl_metrics *m = server->metrics;
    struct counters *c;
    size_t bucket = 0;

    while (bucket < EDGES && r->wall_ns > edges_us[bucket] * 1000ULL)
        bucket++;
    pthread_mutex_lock(&m->lock);
    c = find_counters(m, r);
    c->requests[r->status / 100 < CLASSES ? r->status / 100 : 0]++;
    c->rejected += r->run_ns == 0;
    c->gas += r->gas;
    c->cpu_ns += r->cpu_ns;
    c->run_ns += r->run_ns;
    c->bytes_in += r->bytes_in;
    c->bytes_out += r->bytes_out;
    c->host_calls += plat_record_host_calls(r);
    c->buckets[bucket]++;
    c->wall_ns += r->wall_ns;
    pthread_mutex_unlock(&m->lock);
}

/* ---- Writing ---- */

static void put_head(struct sv_buf *b, const char *name, const char *type, const char *help)
{
    sv_buf_printf(b, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_value(struct sv_buf *b, const char *text)
{
    for (; *text; text++) {
        if (*text == '\n') {
            sv_buf_puts(b, "\\n");
            continue;
        }
        if (*text == '\\' || *text == '"')
            sv_buf_putc(b, '\\');
        sv_buf_putc(b, *text);
    }
}

static void put_labels(struct sv_buf *b, const struct counters *c)
{
    sv_buf_puts(b, "{tenant=\"");
    put_value(b, c->tenant);
    sv_buf_puts(b, "\",function=\"");
    put_value(b, c->function);
    sv_buf_putc(b, '"');
}

/* Seconds, exactly. */
static void put_seconds(struct sv_buf *b, uint64_t ns)
{
    sv_buf_printf(b, "%" PRIu64 ".%09" PRIu64 "\n", ns / 1000000000, ns % 1000000000);
}

struct writer {
    struct sv_buf *out;
    const struct counters *functions; /* a copy */
    unsigned count;
    const char *tenant;
};

static bool is_asked(const struct writer *w, unsigned i)
{
    return !w->tenant || strcmp(w->functions[i].tenant, w->tenant) == 0;
}

static void write_requests(struct writer *w)
{
    put_head(w->out, "ssvm_requests_total", "counter", "Finished requests of functions.");
    for (unsigned i = 0; i < w->count; i++) {
        for (unsigned class = 0; is_asked(w, i) && class < CLASSES; class++) {
            if (w->functions[i].requests[class] == 0)
                continue;
            sv_buf_puts(w->out, "ssvm_requests_total");
            put_labels(w->out, &w->functions[i]);
            sv_buf_printf(w->out, ",status=\"%uxx\"} %" PRIu64 "\n", class,
                          w->functions[i].requests[class]);
        }
    }
}

/* One number of each function, found by its offset. */
static void write_counter(struct writer *w, const char *name, const char *help, size_t offset,
                          bool seconds)
{
    put_head(w->out, name, "counter", help);
    for (unsigned i = 0; i < w->count; i++) {
        uint64_t n;

        if (!is_asked(w, i))
            continue;
        memcpy(&n, (const char *)&w->functions[i] + offset, sizeof n);
        sv_buf_puts(w->out, name);
        put_labels(w->out, &w->functions[i]);
        sv_buf_puts(w->out, "} ");
        if (seconds)
            put_seconds(w->out, n);
        else
            sv_buf_printf(w->out, "%" PRIu64 "\n", n);
    }
}

static void write_histogram(struct writer *w, const struct counters *c)
{
    static const char name[] = "ssvm_request_duration_seconds";
    uint64_t sum = 0;

    for (size_t i = 0; i <= EDGES; i++) {
        sum += c->buckets[i];
        sv_buf_printf(w->out, "%s_bucket", name);
        put_labels(w->out, c);
        if (i < EDGES)
            sv_buf_printf(w->out, ",le=\"%g\"} %" PRIu64 "\n", edges_us[i] / 1e6, sum);
        else
            sv_buf_printf(w->out, ",le=\"+Inf\"} %" PRIu64 "\n", sum);
    }
    sv_buf_printf(w->out, "%s_sum", name);
    put_labels(w->out, c);
    sv_buf_puts(w->out, "} ");
    put_seconds(w->out, c->wall_ns);
    sv_buf_printf(w->out, "%s_count", name);
    put_labels(w->out, c);
    sv_buf_printf(w->out, "} %" PRIu64 "\n", sum);
}

static void write_functions(struct writer *w)
{
#define AT(field) offsetof(struct counters, field)
    write_requests(w);
    write_counter(w, "ssvm_rejected_total", "Requests that were refused before the function ran.",
                  AT(rejected), false);
    write_counter(w, "ssvm_gas_total", "Gas used.", AT(gas), false);
    write_counter(w, "ssvm_cpu_seconds_total", "CPU time of calls.", AT(cpu_ns), true);
    write_counter(w, "ssvm_run_seconds_total", "Wall time of calls in the sandbox.", AT(run_ns),
                  true);
    write_counter(w, "ssvm_received_bytes_total", "Bytes of requests' bodies.", AT(bytes_in),
                  false);
    write_counter(w, "ssvm_sent_bytes_total", "Bytes of answers' bodies.", AT(bytes_out), false);
    write_counter(w, "ssvm_host_calls_total", "Calls of host functions.", AT(host_calls), false);
#undef AT
    put_head(w->out, "ssvm_request_duration_seconds", "histogram",
             "Time from a request's first byte to its answer.");
    for (unsigned i = 0; i < w->count; i++) {
        if (is_asked(w, i))
            write_histogram(w, &w->functions[i]);
    }
}

/* ---- Processes ---- */

static void put_process(struct sv_buf *b, const char *name, const char *type, const char *help,
                        const json_t *processes, const char *member, double scale)
{
    json_t *process;
    size_t i;

    put_head(b, name, type, help);
    json_array_foreach(processes, i, process)
    {
        if (json_object_get(process, member))
            sv_buf_printf(b, "%s{process=\"%s\"} %.17g\n", name,
                          json_string_value(json_object_get(process, "process")),
                          (double)json_integer_value(json_object_get(process, member)) * scale);
    }
}

/* Those are the operator's alone. */
static void write_processes(struct ctl_server *server, struct sv_buf *b)
{
    json_t *processes = ctl_live_processes(server);

    put_head(b, "ssvm_build_info", "gauge", "Always 1; the version is the label.");
    sv_buf_puts(b, "ssvm_build_info{version=\"" SSVM_VERSION "\"} 1\n");
    put_head(b, "ssvm_workers", "gauge", "Worker processes that are there.");
    sv_buf_printf(b, "ssvm_workers %u\n", ctl_workers_count(server));
    put_head(b, "ssvm_log_lost_lines", "gauge", "Lines of the log that could not be written yet.");
    sv_buf_printf(b, "ssvm_log_lost_lines %" PRIu64 "\n", ctl_log_lost(server));
    put_process(b, "ssvm_process_cpu_seconds_total", "counter", "CPU time of the process.",
                processes, "cpu_ms", 1e-3);
    put_process(b, "ssvm_process_resident_memory_bytes", "gauge", "Resident memory.", processes,
                "rss_bytes", 1);
    put_process(b, "ssvm_process_open_fds", "gauge", "Open descriptors.", processes, "fds", 1);
    put_process(b, "ssvm_connections", "gauge", "Open connections of clients.", processes,
                "connections", 1);
    put_process(b, "ssvm_calls_running", "gauge", "Calls of functions that run now.", processes,
                "running", 1);
    put_process(b, "ssvm_calls_queued", "gauge", "Calls that wait for a thread.", processes,
                "queued", 1);
    put_process(b, "ssvm_records_lost_total", "counter",
                "Records that did not reach the ledger: its database did not work for long.",
                processes, "records_lost", 1);
    json_decref(processes);
}

int ctl_metrics_write(struct ctl_server *server, struct sv_err *err, const char *tenant,
                      struct sv_buf *ret)
{
    struct ctl_metrics *m = server->metrics;
    struct counters *copy = sv_alloc_array(CTL_METRICS_FUNCTIONS + 1, sizeof *copy);
    struct writer w = {.out = ret, .functions = copy, .tenant = tenant};

    if (!copy)
        return sv_fail_nomem(err, "the metrics");
    pthread_mutex_lock(&m->lock);
    w.count = m->count;
    memcpy(copy, m->functions, w.count * sizeof *copy);
    if (m->count == CTL_METRICS_FUNCTIONS)
        copy[w.count++] = m->functions[CTL_METRICS_FUNCTIONS];
    pthread_mutex_unlock(&m->lock);
    write_functions(&w);
    put_head(ret, "ssvm_host_function_calls_total", "counter", "Calls of each host function.");
    ctl_hostcalls_write(server, tenant, ret);
    if (!tenant)
        write_processes(server, ret);
    sv_free(copy);
    return ret->failed ? sv_fail_nomem(err, "the metrics") : 0;
}

/* ---- The part ---- */

int ctl_metrics_start(struct ctl_server *server, struct sv_err *err)
{
    struct ctl_metrics *m = sv_alloc_zero(sizeof *m);

    if (!m)
        return sv_fail_nomem(err, "the metrics");
    pthread_mutex_init(&m->lock, NULL);
    snprintf(m->functions[CTL_METRICS_FUNCTIONS].tenant, 65, "other");
    snprintf(m->functions[CTL_METRICS_FUNCTIONS].function, 65, "other");
    server->metrics = m;
    return 0;
}

void ctl_metrics_stop(struct ctl_server *server)
{
    (void)server; /* threads of the pool may still come by */
}
