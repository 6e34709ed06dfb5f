/* Command modules as CGI programs (RFC 3875): the request as environment and standard input, the
 * reply from standard output. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "serve/call.h"
#include "serve/loop.h"
#include "serve/record.h"
#include "serve/stream.h"

#define NS_PER_MS 1000000U
#define ENV_MAX (SRV_HTTP_FIELDS_MAX + 24 + SRV_ENV_MAX) /* variables */
#define ENV_BYTES                                                                                  \
    (2 * SRV_HTTP_HEAD_MAX + 2 * SRV_PATH_MAX +                                                    \
     4096)                  /* of all of them; a joined field costs a copy more */
#define HEAD_MAX 16384      /* of a reply's own fields */
#define STREAM_AFTER_MS 100 /* who writes longer than this wants to be heard meanwhile */

struct env {
    const char *vars[ENV_MAX];
    size_t n, used;
    bool full;
    char bytes[ENV_BYTES];
};

/* ---- The request ---- */

static void set(struct env *env, const char *name, const char *value, size_t len)
{
    size_t nname = strlen(name);

    if (env->n == ENV_MAX || nname + len + 2 > ENV_BYTES - env->used) {
        env->full = true;
        return;
    }
    env->vars[env->n++] = env->bytes + env->used;
    memcpy(env->bytes + env->used, name, nname);
    env->bytes[env->used + nname] = '=';
    memcpy(env->bytes + env->used + nname + 1, value, len);
    env->used += nname + len + 2;
    env->bytes[env->used - 1] = '\0';
}

static void set_str(struct env *env, const char *name, const char *value)
{
    set(env, name, value, strlen(value));
}

static void set_number(struct env *env, const char *name, uint64_t n)
{
    char text[24];

    set(env, name, text, srv_format_u64(text, n));
}

/* HTTP_NAME for a field, or false for those that a program must not see. */
static bool field_name(const char *name, size_t len, char ret[256])
{
    static const char *const hidden[] = {
        "proxy",    "content-length", "content-type", "connection", "transfer-encoding",
        "expect",   "keep-alive",     "te",           "upgrade",    "traceparent",
        "ssvm-pass"};

    if (len > 240 || srv_http_is_of(name, len, hidden, sizeof hidden / sizeof hidden[0]))
        return false;
    memcpy(ret, "HTTP_", 5);
    for (size_t i = 0; i < len; i++) {
        char c = name[i];

        /* Only letters, digits and '-' map to a variable that no other field maps to. */
        if (c >= 'a' && c <= 'z')
            c = (char)(c - 'a' + 'A');
        else if (c == '-')
            c = '_';
        else if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
            return false;
        ret[5 + i] = c;
    }
    ret[5 + len] = '\0';
    return true;
}

/* A repeated field's values are joined (RFC 3875, 4.1.18): a new variable takes the place of the
 * old one. */
static void set_field(struct env *env, const char *name, const char *value, size_t len)
{
    size_t nname = strlen(name), old;

    for (size_t i = 0; i < env->n; i++) {
        const char *var = env->vars[i];

        if (strncmp(var, name, nname) != 0 || var[nname] != '=')
            continue;
        old = strlen(var);
        if (old + len + 3 > ENV_BYTES - env->used) {
            env->full = true;
            return;
        }
        env->vars[i] = memcpy(env->bytes + env->used, var, old);
        memcpy(env->bytes + env->used + old, strcmp(name, "HTTP_COOKIE") == 0 ? "; " : ", ", 2);
        memcpy(env->bytes + env->used + old + 2, value, len);
        env->used += old + len + 3;
        env->bytes[env->used - 1] = '\0';
        return;
    }
    set(env, name, value, len);
}

static void set_fields(struct env *env, const struct srv_work *work)
{
    char name[256];

    for (unsigned i = 0; i < work->http.nfields; i++) {
        const struct srv_field *f = &work->http.fields[i];

        if (field_name(work->in + f->name.at, f->name.len, name))
            set_field(env, name, work->in + f->value.at, f->value.len);
    }
}

/* The Host field without its port. */
static void set_server_name(struct env *env, const struct srv_conn *conn)
{
    const struct srv_work *work = conn->work;
    size_t len = 0, n;
    const char *host = srv_http_known(&work->http, work->in, SRV_KNOWN_HOST, &len);

    if (!host || len == 0) {
        set_str(env, "SERVER_NAME", "localhost");
        return;
    }
    for (n = len; n > 0 && host[n - 1] >= '0' && host[n - 1] <= '9'; n--)
        ;
    set(env, "SERVER_NAME", host, n > 1 && host[n - 1] == ':' ? n - 1 : len);
}

static void fill_env(struct env *env, const struct srv_conn *conn)
{
    const struct srv_work *work = conn->work;
    const struct srv_request *request = &work->request;
    char peer[INET6_ADDRSTRLEN];
    const char *type;
    size_t len = 0;

    env->n = env->used = 0;
    env->full = false;
    srv_conn_peer(conn, peer);
    set_str(env, "GATEWAY_INTERFACE", "CGI/1.1");
    set_str(env, "SERVER_SOFTWARE", "ssvm/" SSVM_VERSION);
    set_str(env, "SERVER_PROTOCOL",
            conn->transport->protocol ? conn->transport->protocol
            : work->http.minor        ? "HTTP/1.1"
                                      : "HTTP/1.0");
    set_server_name(env, conn);
    set_number(env, "SERVER_PORT", conn->listener ? conn->listener->port : 0);
    set_str(env, "REQUEST_SCHEME", srv_conn_scheme(conn));
    set_str(env, "REQUEST_METHOD", srv_method_name(work->http.method));
    set(env, "REQUEST_URI", work->in + work->http.path.at,
        work->http.path.len + (work->http.query.len > 0 ? work->http.query.len + 1 : 0));
    set(env, "QUERY_STRING", request->query, request->query_len);
    set(env, "SCRIPT_NAME", request->path, request->path_len - request->name_len);
    if (request->name_len > 0)
        set(env, "PATH_INFO", request->name, request->name_len);
    set_str(env, "REMOTE_ADDR", peer);
    set_number(env, "REMOTE_PORT", ntohs(conn->peer.sin6_port));
    set_str(env, "REQUEST_ID", request->id);
    if (request->trace[0])
        set(env, "HTTP_TRACEPARENT", request->trace, SRV_TRACE_LEN);
    if (!request->stream && (work->http.has_length || work->http.chunked || request->body_len > 0))
        set_number(env, "CONTENT_LENGTH", request->body_len);
    else if (work->http.has_length)
        set_number(env, "CONTENT_LENGTH", work->http.length);
    type = srv_http_known(&work->http, work->in, SRV_KNOWN_CONTENT_TYPE, &len);
    if (type)
        set(env, "CONTENT_TYPE", type, len);
    set_fields(env, work);
}

/* ---- The reply ---- */

/* Fields that are ours alone. */
static bool is_ours(const char *name, size_t len)
{
    static const char *const ours[] = {"connection", "content-length", "transfer-encoding",
                                       "date",       "server",         "keep-alive",
                                       "upgrade",    "trailer",        "te"};

    return srv_http_is_of(name, len, ours, sizeof ours / sizeof ours[0]);
}

/* One field of the program's. NULL, or what is wrong with it. */
static const char *read_field(struct srv_conn *conn, const char *line, size_t len, bool *told)
{
    struct srv_reply *reply = &conn->work->reply;
    const char *colon = memchr(line, ':', len), *value, *end = line + len;
    size_t nname, nvalue;
    char name[256];

    if (!colon || !srv_http_is_token(line, (size_t)(colon - line)) ||
        colon - line >= (ptrdiff_t)sizeof name)
        return "a field has no valid name";
    nname = (size_t)(colon - line);
    for (value = colon + 1; value < end && (*value == ' ' || *value == '\t'); value++)
        ;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
        end--;
    nvalue = (size_t)(end - value);
    if (!srv_http_is_value(value, nvalue))
        return "a field has a control character in its value";
    memcpy(name, line, nname);
    name[nname] = '\0';
    if (srv_http_is(name, nname, "status")) {
        if (nvalue < 3 || value[0] < '2' || value[0] > '5' || value[1] < '0' || value[1] > '9' ||
            value[2] < '0' || value[2] > '9' || (nvalue > 3 && value[3] != ' '))
            return "the Status field is no status from 200 to 599";
        reply->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0');
        *told = true;
        return NULL;
    }
    if (is_ours(name, nname))
        return NULL;
    if (srv_http_is(name, nname, "location") && reply->status == 200)
        reply->status = 302;
    if (srv_http_is(name, nname, "access-control-allow-origin"))
        conn->work->request.own_cors = true;
    *told |= srv_http_is(name, nname, "location") || srv_http_is(name, nname, "content-type");
    srv_reply_field(reply, name, value, nvalue);
    return reply->failed ? "its fields are too long" : NULL;
}

/* The head of the program's output into the reply. NULL, or what is wrong; *ret_body is where the
 * body begins. */
static const char *read_head(struct srv_conn *conn, const char *bytes, size_t len, size_t *ret_body)
{
    const char *line = bytes, *end = bytes + len, *why;
    bool told = false;

    for (;;) {
        const char *lf = memchr(line, '\n', (size_t)(end - line));
        size_t n;

        if (!lf || lf - bytes > HEAD_MAX)
            return "its fields do not end in an empty line";
        n = (size_t)(lf - line);
        if (n > 0 && line[n - 1] == '\r')
            n--;
        if (n == 0) {
            *ret_body = (size_t)(lf + 1 - bytes);
            return told ? NULL : "it gives neither Content-Type nor Status nor Location";
        }
        why = read_field(conn, line, n, &told);
        if (why)
            return why;
        line = lf + 1;
    }
}

static void free_bytes(own char *bytes)
{
    free(bytes);
}

static void answer(struct srv_conn *conn, struct srv_gather *out)
{
    struct srv_reply *reply = &conn->work->reply;
    const char *why;
    size_t body = 0;

    if (out->over) {
        free(out->bytes);
        srv_conn_fail(conn, 502, "output_limit",
                      "the function's answer is larger than this server allows");
        return;
    }
    why = out->bytes ? read_head(conn, out->bytes, out->len, &body) : "it is empty";
    if (why) {
        free(out->bytes);
        srv_conn_fail(conn, 502, "bad_reply", "the function's answer is malformed");
        snprintf(conn->work->request.note, SRV_NOTE_MAX, "%s", why);
        return;
    }
    srv_reply_hold(reply, NULL, out->bytes, out->len, free_bytes);
    reply->body = out->bytes + body;
    reply->len = srv_reply_bodiless(reply->status) ? 0 : out->len - body;
}

/* ---- Replies that go while the program runs ---- */

/* What a program writes: gathered, since most replies are small and then have a length, until there
 * is a reason to send what there is. */
struct output {
    struct srv_conn *conn;
    struct srv_gather gather;
    uint64_t first_ns; /* of the first write; 0: there was none */
    uint64_t total;
    size_t head_len; /* of the head, once it is there */
    bool live;       /* its type is that of a stream of events */
    bool whole;      /* it has to be gathered to the end */
    bool started;
};

/* Look for the end of the head. */
static void find_head(struct output *out)
{
    static const char type[] = "text/event-stream";
    const char *bytes = out->gather.bytes, *end = bytes + out->gather.len, *lf = bytes;
    size_t n = sizeof type - 1;

    while (lf < end && (lf = memchr(lf, '\n', (size_t)(end - lf)))) {
        lf++;
        if (lf < end && *lf == '\n')
            out->head_len = (size_t)(lf + 1 - bytes);
        else if (end - lf >= 2 && lf[0] == '\r' && lf[1] == '\n')
            out->head_len = (size_t)(lf + 2 - bytes);
        if (out->head_len > 0)
            break;
    }
    for (size_t i = 0; i + n <= out->head_len && !out->live; i++)
        out->live = strncasecmp(bytes + i, type, n) == 0;
    out->whole |= out->head_len == 0 && out->gather.len > HEAD_MAX;
}

static bool wants_start(struct output *out, bool flushed)
{
    if (out->whole || out->gather.len == 0)
        return false;
    if (out->head_len == 0)
        find_head(out);
    return out->head_len > 0 && (flushed || out->live || out->gather.len >= SRV_STREAM_BYTES ||
                                 srv_clock_ns() - out->first_ns > STREAM_AFTER_MS * NS_PER_MS);
}

/* Begin the reply with what is gathered. From now on it is the loop's thread that sends it, which
 * must not be this one. Else all is gathered. */
static bool start(struct output *out)
{
    struct srv_conn *conn = out->conn;
    struct srv_request *request = &conn->work->request;
    struct srv_reply *reply = &conn->work->reply;
    struct srv_gather *gather = &out->gather;
    bool made = request->stream != NULL, written;
    size_t body = 0;

    out->whole = true;
    if (read_head(conn, gather->bytes, gather->len, &body) || srv_reply_bodiless(reply->status))
        goto fail;
    if (!made)
        request->stream = srv_stream_new(conn, 0);
    if (!request->stream)
        goto fail;
    if (request->ticket && !srv_pool_part(&conn->loop->server->pool, conn->loop, request->ticket))
        goto fail;
    out->started = true;
    reply->unknown_len = true;
    reply->live = out->live;
    srv_call_fields(conn, false);
    srv_stream_start(request->stream);
    written = srv_stream_write(request->stream, gather->bytes + body, gather->len - body) >= 0;
    free(gather->bytes);
    gather->bytes = NULL;
    return written;
fail:
    if (!made) {
        srv_stream_delete(request->stream, conn->loop);
        request->stream = NULL;
    }
    srv_reply_clear(reply);
    request->own_cors = false;
    return true;
}

static long write_output(void *data, const void *bytes, size_t len)
{
    struct output *out = data;

    if (out->first_ns == 0)
        out->first_ns = srv_clock_ns();
    out->total += len;
    if (out->started) {
        out->gather.over |= out->total > out->gather.max;
        if (out->gather.over)
            return -1;
        return srv_stream_write(out->conn->work->request.stream, bytes, len);
    }
    if (len > 0 && srv_gather_write(&out->gather, bytes, len) < 0)
        return -1;
    if (wants_start(out, len == 0) && !start(out))
        return -1;
    return (long)len;
}

static long read_input(void *data, void *bytes, size_t len)
{
    return srv_stream_read(data, bytes, len);
}

/* ---- The call ---- */

/* Make the reply of a call that is over (takes the error), or end the one that has begun. */
static void end_call(struct output *out, own ssvm_error *error, bool expired)
{
    struct srv_conn *conn = out->conn;
    struct srv_request *request = &conn->work->request;
    struct srv_stream *stream = request->stream;

    if (out->started) {
        bool aborted = error || out->gather.over;

        if (error)
            srv_call_broke(conn, error, expired);
        if (out->gather.over)
            request->code = "output_limit";
        srv_call_measure(conn);
        srv_record_write(conn, request->body_len + atomic_load(&stream->in_total),
                         out->total - out->head_len);
        srv_stream_finish(stream, aborted);
    } else if (stream && stream->status && !expired) {
        ssvm_error_delete(error);
        free(out->gather.bytes);
        srv_conn_fail(conn, stream->status,
                      stream->status == 413 ? "body_too_large" : "bad_request", stream->why);
    } else if (error) {
        srv_call_fail(conn, error, expired);
        free(out->gather.bytes);
    } else {
        answer(conn, &out->gather);
    }
}

static void set_streams(ssvm_wasi *wasi, struct srv_request *request, struct output *out,
                        struct srv_gather *errors)
{
    wasi->in = (ssvm_stream){.kind = SSVM_STREAM_BYTES,
                             .bytes = request->body ? request->body : "",
                             .len = request->body_len};
    if (request->stream)
        wasi->in = (ssvm_stream){
            .kind = SSVM_STREAM_CALLBACK, .read = read_input, .data = request->stream};
    wasi->out = (ssvm_stream){.kind = SSVM_STREAM_CALLBACK, .write = write_output, .data = out};
    wasi->err =
        (ssvm_stream){.kind = SSVM_STREAM_CALLBACK, .write = srv_gather_write, .data = errors};
}

void srv_cgi_run(struct srv_conn *conn)
{
    struct srv_request *request = &conn->work->request;
    struct srv_gather errors = {.max = request->limits.log};
    struct output out = {.conn = conn,
                         .gather.max = request->limits.output,
                         .whole =
                             conn->transport->whole || conn->work->http.method == SRV_METHOD_HEAD};
    struct srv_surroundings around;
    struct env *env = malloc(sizeof *env);
    ssvm_wasi wasi = SSVM_WASI_INIT;
    ssvm_store *store = env ? srv_call_store(conn) : NULL;
    ssvm_instance *instance = NULL;
    ssvm_error *error;
    bool expired;

    if (!store) {
        free(env);
        if (!request->code)
            srv_call_starve(conn);
        return;
    }
    fill_env(env, conn);
    if (env->full) {
        srv_conn_fail(conn, 431, "bad_request",
                      "the fields are too long for the function's environment");
        ssvm_store_delete(store);
        free(env);
        return;
    }
    srv_call_surround(request, &around);
    for (size_t i = 0; i < around.nenv && env->n < ENV_MAX; i++)
        env->vars[env->n++] = around.env[i];
    wasi.coarse_clock = conn->loop->server->config.coarse_clock;
    wasi.args = around.args;
    wasi.nargs = around.nargs;
    wasi.env = env->vars;
    wasi.nenv = env->n;
    set_streams(&wasi, request, &out, &errors);
    srv_pool_guest_enter(store, conn);
    error = ssvm_template_instantiate(request->version->template, store, &wasi, &instance);
    if (!error)
        error = ssvm_instance_start(instance);
    expired = srv_pool_guest_leave();
    srv_call_note(conn, store);
    ssvm_store_delete(store);
    request->errors = errors.bytes;
    request->errors_len = errors.len;
    end_call(&out, error, expired);
    free(env);
}
