/* Records of finished requests, failures, and what functions say, on their way to control. */
#include "serve/record.h"

#include <inttypes.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/sha256.h"
#include "platform/record.h"
#include "platform/table.h"
#include "serve/link.h"
#include "serve/loop.h"

/* How long a full ring is waited for: control is started anew in the meantime. Longer, and its
 * database does not work: serving goes on, and the records that are lost are counted. */
#define RING_WAIT_MS 3000
#define RING_RETRY_NS 1000000000U
#define FAILURES_MAX 100 /* told in a second; further ones have their record alone */
#define LIMITS_MAX 4096
#define TEXT_MAX 32768 /* bytes of a backtrace, and of standard error */

static void put_text(char *to, size_t size, const char *text)
{
    for (size_t i = 0; i + 1 < size && text[i]; i++)
        to[i] = text[i];
}

static void put_digits(char *to, const uint8_t *bytes, size_t n)
{
    static const char hex[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        to[2 * i] = hex[bytes[i] >> 4];
        to[2 * i + 1] = hex[bytes[i] & 15];
    }
}

static void fill(struct plat_record *r, const struct srv_conn *conn)
{
    const struct srv_work *work = conn->work;
    const struct srv_request *request = &work->request;

    r->wall_ns = srv_clock_ns() - request->start_ns;
    r->time_ns = sv_clock_wall_ns() - r->wall_ns;
    r->wait_ns = request->wait_ns;
    r->run_ns = request->run_ns;
    r->cpu_ns = request->cpu_ns;
    r->gas = request->gas;
    r->memory_peak = request->memory;
    r->status = (uint32_t)work->reply.status;
    r->trap = request->trap;
    r->trigger = conn->trigger;
    put_text(r->id, sizeof r->id, request->id);
    put_text(r->trace, sizeof r->trace, request->trace);
    r->function_id = request->function->id;
    put_text(r->tenant, sizeof r->tenant, request->function->tenant);
    put_text(r->function, sizeof r->function, request->function->name);
    if (request->chosen)
        put_digits(r->digest, request->chosen->digest, (sizeof r->digest - 1) / 2);
    put_text(r->code, sizeof r->code, request->code ? request->code : "");
    put_text(r->method, sizeof r->method, srv_method_name(work->http.method));
    memcpy(r->hosts, request->hosts, request->nhosts * sizeof r->hosts[0]);
}

/* ---- Calls of host functions ---- */

#define NO_NUMBER UINT16_MAX /* in srv_version.hosts: the ring has no room for it */
_Static_assert(PLAT_RING_HOSTS < NO_NUMBER, "numbers fit");

/* Which functions a module of wasm-bindgen calls is its own to invent: they are one. */
static const char *known_name(const char *name)
{
    static const char *const known[] = {"wasi", "ssvm_", "wasmedge_"};

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strncmp(name, known[i], strlen(known[i])) == 0)
            return name;
    }
    return "wasm-bindgen";
}

/* The number of host function i of the version's instances; 0: one of the others. */
static unsigned host_number(struct plat_ring *ring, struct srv_version *version, size_t i,
                            const ssvm_host_calls *f)
{
    uint16_t number =
        i < version->nhosts ? atomic_load_explicit(&version->hosts[i], memory_order_relaxed) : 0;

    if (number == 0) {
        number = (uint16_t)plat_ring_host(ring, known_name(f->name), (uint32_t)(f->gas / f->calls));
        if (number == 0)
            number = NO_NUMBER;
        if (i < version->nhosts)
            atomic_store_explicit(&version->hosts[i], number, memory_order_relaxed);
    }
    return number == NO_NUMBER ? 0 : number;
}

static void add_host(struct srv_request *request, unsigned number, uint64_t calls)
{
    uint64_t *last = &request->hosts[PLAT_RECORD_HOSTS - 1];

    if (calls > PLAT_HOST_CALLS_MAX)
        calls = PLAT_HOST_CALLS_MAX;
    if (request->nhosts < PLAT_RECORD_HOSTS - 1) {
        request->hosts[request->nhosts++] = (uint64_t)number << PLAT_HOST_SHIFT | calls;
        return;
    }
    if (request->nhosts < PLAT_RECORD_HOSTS) {
        request->nhosts = PLAT_RECORD_HOSTS;
        *last = 0;
    }
    *last = calls < PLAT_HOST_CALLS_MAX - *last ? *last + calls : PLAT_HOST_CALLS_MAX;
}

struct hosts {
    struct srv_conn *conn;
    uint64_t told;
};

static void note_host(void *data, size_t i, const ssvm_host_calls *f)
{
    struct hosts *hosts = data;
    struct srv_request *request = &hosts->conn->work->request;

    add_host(request, host_number(hosts->conn->loop->server->records, request->version, i, f),
             f->calls);
    hosts->told += f->calls;
}

void srv_record_hosts(struct srv_conn *conn, const ssvm_store *store, uint64_t all)
{
    struct hosts hosts = {.conn = conn};

    if (!conn->loop->server->records)
        return;
    ssvm_store_each_host_calls(store, note_host, &hosts);
    if (all > hosts.told) /* of threads that it had started */
        add_host(&conn->work->request, 0, all - hosts.told);
}

static void put_hosts(struct plat_message *m, const struct plat_ring *ring,
                      const struct srv_request *request)
{
    struct sv_buf lines;

    sv_buf_init(&lines, LIMITS_MAX);
    for (unsigned i = 0; i < request->nhosts; i++) {
        uint64_t calls = request->hosts[i] & PLAT_HOST_CALLS_MAX;
        char name[PLAT_HOST_NAME_MAX + 1] = "other";
        uint32_t cost = 0;

        plat_ring_host_read(ring, (unsigned)(request->hosts[i] >> PLAT_HOST_SHIFT), name, &cost);
        sv_buf_printf(&lines, "%s %" PRIu64 " %" PRIu64 "\n", name, calls, calls * cost);
    }
    plat_put(m, PLAT_TAG_HOSTS, lines.data, lines.len);
    sv_buf_release(&lines);
}

static void write_ring(struct srv_server *server, const struct plat_record *r)
{
    uint64_t now, gave_up;

    if (plat_ring_write(server->records, r, 0))
        return;
    now = srv_clock_ns();
    gave_up = atomic_load_explicit(&server->records_gave_up_ns, memory_order_relaxed);
    if ((gave_up == 0 || now - gave_up > RING_RETRY_NS) &&
        plat_ring_write(server->records, r, RING_WAIT_MS)) {
        atomic_store_explicit(&server->records_gave_up_ns, 0, memory_order_relaxed);
        return;
    }
    if (gave_up == 0 || now - gave_up > RING_RETRY_NS)
        atomic_store_explicit(&server->records_gave_up_ns, srv_clock_ns(), memory_order_relaxed);
    atomic_fetch_add_explicit(&server->records_lost, 1, memory_order_relaxed);
}

/* ---- Failures and words ---- */

#define UNIT_MS "_ms"
#define UNIT_BYTES "_bytes"
#define UNIT_COUNT ""

static void put_limits(struct plat_message *m, const struct plat_limits *limits)
{
    struct sv_buf lines;

    sv_buf_init(&lines, LIMITS_MAX);
#define LIMIT(field, name, unit, doc)                                                              \
    if (limits->field)                                                                             \
        sv_buf_printf(&lines, name UNIT_##unit " %" PRIu64 "\n", limits->field);
#include "platform/limit.def"
#undef LIMIT
    plat_put(m, PLAT_TAG_LIMITS, lines.data, lines.len);
    sv_buf_release(&lines);
}

static void put_hash(struct plat_message *m, const struct srv_request *request)
{
    uint8_t digest[SV_SHA256_LEN];
    char text[2 * SV_SHA256_LEN];

    sv_sha256(request->body ? request->body : "", request->body_len, digest);
    put_digits(text, digest, sizeof digest);
    plat_put(m, PLAT_TAG_HASH, text, sizeof text);
}

static size_t cut(size_t len)
{
    return len < TEXT_MAX ? len : TEXT_MAX;
}

static void tell_failure(struct srv_conn *conn, const struct plat_record *r)
{
    const struct srv_work *work = conn->work;
    const struct srv_request *request = &work->request;
    struct plat_message m;

    plat_message_init(&m, PLAT_FAILURE);
    plat_put(&m, PLAT_TAG_RECORD, r, sizeof *r);
    plat_put_str(&m, PLAT_TAG_TEXT, request->note);
    if (request->backtrace)
        plat_put(&m, PLAT_TAG_BACKTRACE, request->backtrace, cut(strlen(request->backtrace)));
    if (request->errors_len > 0)
        plat_put(&m, PLAT_TAG_ERRORS, request->errors, cut(request->errors_len));
    plat_put(&m, PLAT_TAG_PATH, request->path, request->path_len);
    put_limits(&m, &request->limits);
    put_hosts(&m, conn->loop->server->records, request);
    put_hash(&m, request);
    (void)srv_link_tell(conn->loop->server, NULL, &m);
    plat_message_release(&m);
}

static void tell_words(struct srv_conn *conn, const struct plat_record *r)
{
    const struct srv_request *request = &conn->work->request;
    struct plat_message m;

    plat_message_init(&m, PLAT_LOG);
    plat_put_str(&m, PLAT_TAG_NAME, "stderr");
    plat_put_str(&m, PLAT_TAG_TENANT, r->tenant);
    plat_put_str(&m, PLAT_TAG_FUNCTION, r->function);
    plat_put_str(&m, PLAT_TAG_REQUEST_ID, r->id);
    plat_put(&m, PLAT_TAG_TEXT, request->errors, cut(request->errors_len));
    (void)srv_link_tell(conn->loop->server, NULL, &m);
    plat_message_release(&m);
}

/* Is it the function that failed, rather than who asked? */
static bool is_failure(const struct srv_conn *conn)
{
    const struct srv_request *request = &conn->work->request;
    const struct srv_reply *reply = &conn->work->reply;

    /* A reply that goes while its function runs has its status before that. */
    return request->code && request->run_ns > 0 &&
           (reply->status >= 500 || reply->status == 422 || reply->unknown_len);
}

/* So many in a second, of all loops. */
static bool may_tell(struct srv_server *server, uint64_t now_ns)
{
    uint64_t second = now_ns / 1000000000, was;

    was = atomic_load_explicit(&server->failures_second, memory_order_relaxed);
    if (was != second && atomic_compare_exchange_strong(&server->failures_second, &was, second))
        atomic_store_explicit(&server->failures, 0, memory_order_relaxed);
    return atomic_fetch_add_explicit(&server->failures, 1, memory_order_relaxed) < FAILURES_MAX;
}

void srv_record_write(struct srv_conn *conn, uint64_t bytes_in, uint64_t bytes_out)
{
    struct srv_server *server = conn->loop->server;
    struct srv_request *request = &conn->work->request;
    struct plat_record record = {0};

    if (!server->records || request->recorded || !request->function)
        return;
    request->recorded = true;
    fill(&record, conn);
    record.bytes_in = bytes_in;
    record.bytes_out = bytes_out;
    if (is_failure(conn) && may_tell(server, record.time_ns)) {
        record.has_failure = true;
        tell_failure(conn, &record);
    }
    if (request->errors_len > 0)
        tell_words(conn, &record);
    write_ring(server, &record);
}
