/* Calls of functions: the stage, and typed calls. Command modules are cgi.c's. */
#include "serve/call.h"

#include <stdlib.h>
#include <string.h>

#include "serve/args.h"
#include "serve/cpu.h"
#include "serve/faas.h"
#include "serve/isolated.h"
#include "serve/loop.h"
#include "serve/record.h"
#include "serve/registry.h"

#define NS_PER_MS 1000000U
#define OPEN_FILES_MAX 16 /* of a call; nothing is granted that could be opened */
#define MEAN_WEIGHT 8     /* a call's share of the mean of recent calls: one in so many */

long srv_gather_write(void *data, const void *bytes, size_t len)
{
    struct srv_gather *gather = data;
    size_t room = gather->max - gather->len;

    if (len > room) {
        gather->over = true;
        len = room;
    }
    if (len > gather->cap - gather->len) {
        size_t cap = gather->cap ? gather->cap : 1024;
        char *grown;

        while (cap < gather->len + len)
            cap *= 2;
        grown = realloc(gather->bytes, cap);
        if (!grown)
            return -1;
        gather->bytes = grown;
        gather->cap = cap;
    }
    if (len > 0)
        memcpy(gather->bytes + gather->len, bytes, len);
    gather->len += len;
    return gather->over ? -1 : (long)len;
}

/* ---- Failures ---- */

static void note(struct srv_request *request, const char *text)
{
    size_t len = strnlen(text, SRV_NOTE_MAX - 1);

    memcpy(request->note, text, len);
    request->note[len] = '\0';
}

static void fail_trap(struct srv_conn *conn, int code)
{
    switch (code) {
    case SSVM_TRAP_DEADLINE:
    case SSVM_TRAP_CPU_LIMIT:
    case SSVM_TRAP_CANCELLED:
        srv_conn_fail(conn, 504, "deadline", "the function did not answer in time");
        return;
    case SSVM_TRAP_GAS:
        srv_conn_fail(conn, 500, "gas_exhausted",
                      "the function used all the gas that a call may use");
        return;
    default:
        srv_conn_fail(conn, 500, "trap", "the function failed");
    }
}

/* For the log. */
static void note_error(struct srv_request *request, const ssvm_error *error)
{
    note(request, ssvm_error_message(error));
    if (*ssvm_error_backtrace(error) && !request->backtrace)
        request->backtrace = strdup(ssvm_error_backtrace(error));
}

void srv_call_broke(struct srv_conn *conn, own ssvm_error *error, bool expired)
{
    struct srv_request *request = &conn->work->request;

    note_error(request, error);
    request->trap = expired ? SSVM_TRAP_DEADLINE : (int)ssvm_error_trap_code(error);
    request->code = expired                                   ? "deadline"
                    : ssvm_error_kind_of(error) == SSVM_EEXIT ? "exit"
                    : ssvm_error_kind_of(error) == SSVM_ETRAP ? "trap"
                                                              : "function_failed";
    ssvm_error_delete(error);
}

void srv_call_starve(struct srv_conn *conn)
{
    ssvm_engine_trim(conn->loop->server->engine);
    srv_conn_fail(conn, 503, "overloaded", "the server is out of memory; try again shortly");
    srv_reply_field_str(&conn->work->reply, "Retry-After", "1");
}

void srv_call_fail(struct srv_conn *conn, own ssvm_error *error, bool expired)
{
    const char *message = ssvm_error_message(error);

    note_error(&conn->work->request, error);
    if (expired) {
        conn->work->request.trap = SSVM_TRAP_DEADLINE;
        fail_trap(conn, SSVM_TRAP_DEADLINE);
        ssvm_error_delete(error);
        return;
    }
    switch (ssvm_error_kind_of(error)) {
    case SSVM_ETRAP:
        conn->work->request.trap = (int)ssvm_error_trap_code(error);
        fail_trap(conn, conn->work->request.trap);
        break;
    case SSVM_EEXIT:
        srv_conn_fail(conn, 500, "exit", "the function gave up");
        break;
    case SSVM_EGUEST: /* its own words, for its caller */
        srv_conn_fail(conn, 422, "function_error", message);
        break;
    case SSVM_EEXCEPTION:
    case SSVM_ETYPE:
        srv_conn_fail(conn, 500, "function_failed", "the function failed");
        break;
    case SSVM_EUSAGE:
        srv_conn_fail(conn, 400, "bad_arguments", message);
        break;
    case SSVM_ENOTFOUND:
        srv_conn_fail(conn, 404, "no_function", "there is no such function");
        break;
    case SSVM_ENOMEM:
        srv_call_starve(conn);
        break;
    case SSVM_ELIMIT:
        srv_conn_fail(conn, 500, "limit", "the function went over a limit of this server");
        break;
    case SSVM_ELINK:
    case SSVM_EUNSUPPORTED:
        srv_conn_fail(conn, 502, "function_broken", "the function cannot run on this server");
        break;
    default:
        srv_conn_fail(conn, 500, "internal", "the function could not be called");
    }
    ssvm_error_delete(error);
}

static void fail_broken(struct srv_conn *conn, const struct srv_version *version)
{
    note(&conn->work->request, version->broken);
    if (version->starved) {
        srv_call_starve(conn);
    } else if (version->writing) {
        srv_conn_fail(conn, 503, "function_incomplete",
                      "the function is being written; try again shortly");
        srv_reply_field_str(&conn->work->reply, "Retry-After", "1");
    } else {
        srv_conn_fail(conn, 502, "function_broken", "the function's file cannot be loaded");
    }
}

bool srv_call_resolve(struct srv_conn *conn)
{
    struct srv_request *request = &conn->work->request;
    const struct srv_version *version = request->version;

    if (!version) {
        srv_conn_fail(conn, 404, "no_function", "there is no such function");
        return false;
    }
    if (version->broken) {
        fail_broken(conn, version);
        return false;
    }
    if (version->command) {
        request->export = &version->exports[0];
    } else if (request->handler) {
        request->export = srv_version_export(version, request->handler, strlen(request->handler));
    } else if (request->name_len > 1 &&
               memchr(request->name + 1, '/', request->name_len - 1) == NULL) {
        request->export = srv_version_export(version, request->name + 1, request->name_len - 1);
    }
    if (!request->export) {
        srv_conn_fail(conn, 404, "no_function",
                      "there is no such function; functions are called as /f/NAME/FUNCTION");
        return false;
    }
    if (!version->command && conn->work->http.method != SRV_METHOD_GET &&
        conn->work->http.method != SRV_METHOD_HEAD && conn->work->http.method != SRV_METHOD_POST) {
        srv_conn_fail(conn, 405, "method_not_allowed", "functions are called with GET or POST");
        srv_reply_field_str(&conn->work->reply, "Allow", "GET, HEAD, POST, OPTIONS");
        return false;
    }
    return true;
}

/* ---- Typed calls ---- */

own ssvm_store *srv_call_store(struct srv_conn *conn)
{
    const struct plat_limits *own_limits = &conn->work->request.limits;
    ssvm_limits limits = SSVM_LIMITS_INIT;
    ssvm_store *store = NULL;
    ssvm_error *error;

    limits.memory_bytes = own_limits->memory;
    limits.gas = own_limits->gas ? own_limits->gas : SSVM_GAS_COUNT;
    limits.gc_heap_bytes = own_limits->memory;
    limits.open_files = OPEN_FILES_MAX;
    /* The watch looks at the clock of the call's own thread. */
    if (conn->work->request.version->threads || conn->work->request.version->infers)
        limits.cpu_ms = own_limits->cpu_ms;
    /* A library cannot be left in the middle: the run of a guest whose time is limited has a thread
     * of its own, which goes on alone when the time is over. */
    if (conn->work->request.version->infers)
        limits.wall_ms = own_limits->wall_ms;
    error = ssvm_store_new(conn->loop->server->engine, &limits, &store);
    if (error) {
        srv_call_fail(conn, error, false);
        return NULL;
    }
    ssvm_store_set_data(store, conn); /* whose state it asks for: state.c */
    return store;
}

void srv_call_note(struct srv_conn *conn, const ssvm_store *store)
{
    ssvm_stats stats = SSVM_STATS_INIT;

    ssvm_store_stats(store, &stats);
    conn->work->request.gas = stats.gas_used;
    conn->work->request.cpu_began_ns -= stats.threads_cpu_ns; /* as if it had been ours */
    conn->work->request.memory = stats.memory_peak_bytes + stats.gc_heap_bytes;
    srv_record_hosts(conn, store, stats.host_calls);
}

static const char *sniff(const char *bytes, size_t len)
{
    static const struct {
        const char *magic, *type;
        uint8_t at, len;
    } magics[] = {
        {"\x89PNG\r\n\x1a\n", "image/png", 0, 8},
        {"\xff\xd8\xff", "image/jpeg", 0, 3},
        {"GIF8", "image/gif", 0, 4},
        {"WEBP", "image/webp", 8, 4},
    };

    for (size_t i = 0; i < sizeof magics / sizeof magics[0]; i++) {
        if (len >= 12 && memcmp(bytes + magics[i].at, magics[i].magic, magics[i].len) == 0)
            return magics[i].type;
    }
    return "application/octet-stream";
}

static void answer(struct srv_conn *conn, ssvm_result *result)
{
    const struct srv_request *request = &conn->work->request;
    struct srv_reply *reply = &conn->work->reply;
    const char *type = "application/json";

    if (result->kind == SSVM_RESULT_NONE) {
        ssvm_string_delete(result->bytes);
        reply->status = request->faas ? 200 : 204;
        return;
    }
    if (result->len > request->limits.output) {
        ssvm_string_delete(result->bytes);
        srv_conn_fail(conn, 500, "output_limit",
                      "the function's answer is larger than this server allows");
        return;
    }
    if (request->faas) {
        srv_faas_answer(conn, result);
        return;
    }
    if (result->kind == SSVM_RESULT_STRING)
        type = "text/plain; charset=utf-8";
    else if (result->kind == SSVM_RESULT_BYTES)
        type = sniff(result->bytes, result->len);
    srv_reply_hold(reply, type, result->bytes, result->len, ssvm_string_delete);
}

static void add_env(void *data, const char *line)
{
    struct srv_surroundings *around = data;

    if (around->nenv < SRV_ENV_MAX)
        around->env[around->nenv++] = line;
}

void srv_call_surround(const struct srv_request *request, struct srv_surroundings *ret)
{
    ret->args[0] = request->function->name;
    ret->nargs = 1;
    ret->nenv = ret->ndirs = 0;
    ret->coarse_clock = false;
    if (request->registered && request->registered->state.len > 0)
        ret->args[ret->nargs++] = plat_table_text(request->table, request->registered->state).ptr;
    srv_registry_grants(request, "env", add_env, ret);
}

/* A fresh instance, ready for calls. Functions that import WASI have no input, and their output
 * goes into the log. `around` and `errors` must live as long as the store. */
static ssvm_error *instantiate(const struct srv_version *version, ssvm_store *store,
                               const struct srv_surroundings *around, struct srv_gather *errors,
                               ssvm_instance **ret)
{
    ssvm_wasi wasi = SSVM_WASI_INIT;
    ssvm_error *error;

    wasi.coarse_clock = around->coarse_clock;
    wasi.args = around->args;
    wasi.nargs = around->nargs;
    wasi.env = around->env;
    wasi.nenv = around->nenv;
    wasi.dirs = around->dirs;
    wasi.ndirs = around->ndirs;
    wasi.out.kind = wasi.err.kind = SSVM_STREAM_CALLBACK;
    wasi.out.write = wasi.err.write = srv_gather_write;
    wasi.out.data = wasi.err.data = errors;
    error = ssvm_template_instantiate(version->template, store, &wasi, ret);
    return error ? error : ssvm_instance_initialize(*ret);
}

/* The arguments of the request. Their number, or -1: the reply is ready. */
static int read_args(struct srv_conn *conn, ssvm_arg *args)
{
    struct srv_work *work = conn->work;
    struct srv_request *request = &work->request;
    const struct srv_export *ex = request->export;
    bool has_body =
        work->http.method == SRV_METHOD_POST &&
        (request->body_len > 0 || (ex->known && ex->nparams > 0 && request->query_len == 0));
    const char *type, *why = NULL;
    size_t type_len = 0;
    int nargs;

    if (request->faas)
        return srv_faas_args(conn, args);
    type = srv_http_known(&work->http, work->in, SRV_KNOWN_CONTENT_TYPE, &type_len);
    nargs = srv_args_read(request, type, type_len, has_body, args, &why);
    if (nargs < 0)
        srv_conn_fail(conn, 400, "bad_arguments", why);
    return nargs;
}

static void run_typed(struct srv_conn *conn)
{
    struct srv_request *request = &conn->work->request;
    const struct srv_export *ex = request->export;
    struct srv_gather errors = {.max = request->limits.log};
    struct srv_surroundings around;
    ssvm_result result = SSVM_RESULT_INIT;
    ssvm_arg args[SRV_PARAMS_MAX];
    ssvm_instance *instance = NULL;
    ssvm_error *error;
    ssvm_store *store;
    bool expired;
    int nargs = read_args(conn, args);

    if (nargs < 0)
        return;
    store = srv_call_store(conn);
    if (!store)
        return;
    srv_call_surround(request, &around);
    around.coarse_clock = conn->loop->server->config.coarse_clock;
    if (request->faas)
        srv_faas_surround(conn, &around);
    srv_pool_guest_enter(store, conn);
    error = instantiate(request->version, store, &around, &errors, &instance);
    if (!error)
        error = ssvm_instance_call(instance, ex->name, args, (size_t)nargs,
                                   request->faas ? srv_faas_wanted(request) : SSVM_RESULT_AUTO,
                                   &result);
    expired = srv_pool_guest_leave();
    srv_call_note(conn, store);
    if (error)
        srv_call_fail(conn, error, expired);
    else
        answer(conn, &result);
    ssvm_store_delete(store);
    request->errors = errors.bytes;
    request->errors_len = errors.len;
}

/* ---- The stage ---- */

/* How long it took, and how to ask us about it. */
void srv_call_fields(struct srv_conn *conn, bool whole)
{
    struct srv_request *request = &conn->work->request;
    struct srv_reply *reply = &conn->work->reply;
    char timing[48] = "call;dur=";
    uint64_t us = request->run_ns / 1000;
    size_t n = 9;

    srv_reply_field(reply, "X-Request-Id", request->id, SRV_ID_LEN);
    SRV_REPLY_LINE(reply, "X-Content-Type-Options: nosniff");
    if (request->trace[0])
        srv_reply_field(reply, "Traceparent", request->trace, SRV_TRACE_LEN);
    if (!whole)
        return;
    n += srv_format_u64(timing + n, us / 1000);
    timing[n++] = '.';
    timing[n++] = (char)('0' + us / 100 % 10);
    timing[n++] = (char)('0' + us / 10 % 10);
    timing[n++] = (char)('0' + us % 10);
    srv_reply_field(reply, "Server-Timing", timing, n);
}

static void update_mean(struct srv_export *ex, uint64_t ns)
{
    uint32_t mean = atomic_load_explicit(&ex->mean_us, memory_order_relaxed);
    uint64_t us = ns / 1000;

    if (us > UINT32_MAX / MEAN_WEIGHT)
        us = UINT32_MAX / MEAN_WEIGHT;
    /* The first call says little: what it runs is lowered then. */
    mean = mean == 0 ? 1 : (uint32_t)((mean * (uint64_t)(MEAN_WEIGHT - 1) + us) / MEAN_WEIGHT);
    atomic_store_explicit(&ex->mean_us, mean, memory_order_relaxed);
}

void srv_call_measure(struct srv_conn *conn)
{
    struct srv_request *request = &conn->work->request;
    uint64_t now = srv_clock_ns();

    request->run_ns = now - request->run_began_ns;
    request->cpu_ns = srv_cpu_ns(now) - request->cpu_began_ns;
}

static void run(struct srv_conn *conn)
{
    struct srv_request *request = &conn->work->request;

    if (!srv_isolated_start(conn)) {
        srv_conn_fail(conn, 503, "client_gone", "nobody waits for the answer");
        return;
    }
    request->run_began_ns = srv_clock_ns();
    request->cpu_began_ns = srv_cpu_ns(request->run_began_ns);
    if (request->version->command)
        srv_cgi_run(conn);
    else
        run_typed(conn);
    srv_call_measure(conn);
    update_mean((struct srv_export *)request->export, request->run_ns);
    if (!conn->work->reply.unknown_len) /* else they are sent */
        srv_call_fields(conn, true);
}

void srv_call_queued(struct srv_conn *conn)
{
    struct srv_server *server = conn->loop->server;
    struct srv_request *request = &conn->work->request;

    request->wait_ns = srv_clock_ns() - request->start_ns;
    if (request->wait_ns > server->config.queue_ms * NS_PER_MS) {
        srv_conn_fail(conn, 503, "overloaded",
                      "the call waited too long for its turn; try again shortly");
        srv_reply_field_str(&conn->work->reply, "Retry-After", "1");
    } else if (conn->lost) {
        srv_conn_fail(conn, 503, "client_gone", "nobody waits for the answer");
    } else {
        if (request->load) {
            srv_version_unref(request->version);
            request->version = request->table
                                   ? srv_registry_load(conn)
                                   : srv_function_load(&server->functions, request->function);
        }
        if (request->export || srv_call_resolve(conn))
            run(conn);
    }
    conn->stage = SRV_STAGE_SEND;
}

static void answer_site(struct srv_conn *conn)
{
    struct srv_loop *loop = conn->loop;
    const struct srv_config *config = &loop->server->config;
    const struct srv_request *request = &conn->work->request;
    struct srv_site_options options = {
        .fallback = strcmp(config->site_fallback, "none") == 0 ? NULL : config->site_fallback,
        .caching = config->site_caching,
        .immutable = config->site_immutable,
        .max_bytes = config->cache,
    };
    struct srv_site *site;

    if (request->table)
        options.fallback = request->spa ? "/index.html" : NULL;
    site = srv_site_find(&loop->sites, request->site_base, request->site, &options);
    if (site)
        srv_site_answer(site, conn, request->mount);
    else
        srv_call_starve(conn);
}

/* On the loop's own thread, as long as the watch lets us have it. */
enum srv_step srv_call_stage(struct srv_conn *conn)
{
    struct srv_loop *loop = conn->loop;
    struct srv_pool *pool = &loop->server->pool;
    uint64_t ticket;

    if (conn->work->request.route == SRV_ROUTE_SITE) {
        answer_site(conn);
        return SRV_STEP_NEXT;
    }
    if (!srv_pool_begin(pool, conn)) {
        srv_call_starve(conn);
        return SRV_STEP_REPLY;
    }
    srv_loop_set_timer(loop, conn, SRV_TIMER_NONE);
    conn->away = true;
    loop->calling = conn;
    ticket = atomic_fetch_add_explicit(&pool->tickets, 1, memory_order_relaxed) + 1;
    conn->work->request.ticket = ticket;
    atomic_store(&loop->guest, ticket);
    srv_pool_note(pool);
    run(conn);
    if (!atomic_compare_exchange_strong(&loop->guest, &ticket, 0)) {
        conn->stage = SRV_STAGE_SEND;
        srv_pool_return(pool, conn);
        return SRV_STEP_GONE;
    }
    conn->away = false;
    srv_pool_end(pool, conn);
    return SRV_STEP_NEXT;
}
