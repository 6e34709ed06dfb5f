/* The back end of `ssvm_state` in a worker: every call is a message to control and its answer; the
 * guest's thread waits for it. */
#include "serve/state.h"

#include <stdio.h>

#include "serve/invoke.h"
#include "serve/loop.h"
#include "serve/nested.h"
#include "serve/registry.h"
#include "serve/session.h"
#include "ssvm_state.h"

static const struct srv_session_kind codes = {.denied = SSVM_STATE_EDENIED,
                                              .nomem = SSVM_STATE_ENOMEM,
                                              .late = SSVM_STATE_ETIME,
                                              .other = SSVM_STATE_EIO,
                                              .said = {{SV_EUSAGE, SSVM_STATE_EINVAL},
                                                       {SV_EGUEST, SSVM_STATE_EINVAL},
                                                       {SV_EINVALID, SSVM_STATE_EDENIED},
                                                       {SV_ELIMIT, SSVM_STATE_ELIMIT},
                                                       {SV_EEXIT, SSVM_STATE_ETIME},
                                                       {SV_ENOTFOUND, SSVM_STATE_ENOENT}}};

static int open_session(void *data, void *store_data, void **ret)
{
    (void)data;
    return srv_session_open(&codes, store_data, ret);
}

/* ---- Asking control ---- */

static void begin(const struct srv_session *s, struct plat_message *m, enum plat_kind kind)
{
    plat_message_init(m, kind);
    plat_put_str(m, PLAT_TAG_TENANT, srv_session_request(s)->function->tenant);
}

static void put(struct plat_message *m, enum plat_tag tag, ssvm_state_bytes b)
{
    plat_put(m, tag, b.ptr, b.len);
}

/* Send and wait. Releases the message; the answer is the caller's when OK is returned. */
static int ask(const struct srv_session *s, ssvm_state_op *op, struct plat_message *m,
               struct plat_message *ret)
{
    enum plat_kind asked = m->kind;
    struct sv_err err = {0};
    uint64_t status = 200;
    int r = srv_session_ask(s, &err, m, op->deadline_ns, ret);

    if (r != SSVM_STATE_OK) {
        snprintf(op->error, sizeof op->error, "%.*s", SSVM_STATE_ERROR_MAX - 1, err.text);
        /* The database's words. */
        return r == SSVM_STATE_EINVAL && err.code == SV_EGUEST && strstr(err.text, "constraint")
                   ? SSVM_STATE_ECONFLICT
                   : r;
    }
    if (asked != PLAT_FETCH)
        (void)plat_get_u64(ret, PLAT_TAG_STATUS, &status);
    if (status == 200)
        return SSVM_STATE_OK;
    plat_message_release(ret);
    return status == 404   ? SSVM_STATE_ENOENT
           : status == 409 ? SSVM_STATE_ECONFLICT
                           : SSVM_STATE_EIO;
}

static int give(ssvm_state_op *op, enum ssvm_state_part part, struct plat_message *answer,
                enum plat_tag tag)
{
    struct sv_str value = plat_get(answer, tag);

    return ssvm_state_put(op, part, value.ptr, value.len) ? SSVM_STATE_OK : SSVM_STATE_ELIMIT;
}

/* ---- Keys and values ---- */

static void begin_kv(const struct srv_session *s, struct plat_message *m, const char *verb,
                     ssvm_state_bytes key)
{
    begin(s, m, PLAT_KV);
    plat_put_str(m, PLAT_TAG_OP, verb);
    put(m, PLAT_TAG_KEY, key);
}

static void put_ttl(const struct srv_session *s, struct plat_message *m, uint64_t ttl_ms)
{
    uint64_t storage = srv_session_request(s)->limits.storage;

    if (ttl_ms > 0)
        plat_put_u64(m, PLAT_TAG_TTL_MS, ttl_ms);
    if (storage > 0)
        plat_put_u64(m, PLAT_TAG_LIMIT, storage);
}

static int kv_get(void *session, ssvm_state_op *op, ssvm_state_bytes key)
{
    struct plat_message m, answer;
    int r;

    begin_kv(session, &m, "get", key);
    r = ask(session, op, &m, &answer);
    if (r != SSVM_STATE_OK)
        return r;
    r = give(op, SSVM_STATE_BODY, &answer, PLAT_TAG_VALUE);
    plat_message_release(&answer);
    return r;
}

/* A message whose answer says no more than that it was done. */
static int ask_plain(const struct srv_session *s, ssvm_state_op *op, struct plat_message *m)
{
    struct plat_message answer;
    int r = ask(s, op, m, &answer);
    uint64_t number;

    if (r != SSVM_STATE_OK)
        return r;
    if (plat_get_u64(&answer, PLAT_TAG_NUMBER, &number))
        op->number = (int64_t)number;
    plat_message_release(&answer);
    return SSVM_STATE_OK;
}

static int kv_set(void *session, ssvm_state_op *op, ssvm_state_bytes key, ssvm_state_bytes value,
                  uint64_t ttl_ms)
{
    struct plat_message m;

    begin_kv(session, &m, "set", key);
    put(&m, PLAT_TAG_VALUE, value);
    put_ttl(session, &m, ttl_ms);
    return ask_plain(session, op, &m);
}

static int kv_cas(void *session, ssvm_state_op *op, ssvm_state_bytes key,
                  const ssvm_state_bytes *old, ssvm_state_bytes value, uint64_t ttl_ms)
{
    struct plat_message m;

    begin_kv(session, &m, "cas", key);
    put(&m, PLAT_TAG_VALUE, value);
    if (old)
        put(&m, PLAT_TAG_OLD, *old);
    else
        plat_put_u64(&m, PLAT_TAG_NUMBER, 0);
    put_ttl(session, &m, ttl_ms);
    return ask_plain(session, op, &m);
}

static int kv_delete(void *session, ssvm_state_op *op, ssvm_state_bytes key)
{
    struct plat_message m;

    begin_kv(session, &m, "delete", key);
    return ask_plain(session, op, &m);
}

static int kv_increment(void *session, ssvm_state_op *op, ssvm_state_bytes key, int64_t by,
                        uint64_t ttl_ms)
{
    struct plat_message m;

    begin_kv(session, &m, "increment", key);
    plat_put_u64(&m, PLAT_TAG_NUMBER, (uint64_t)by);
    put_ttl(session, &m, ttl_ms);
    return ask_plain(session, op, &m);
}

static int kv_list(void *session, ssvm_state_op *op, ssvm_state_bytes prefix,
                   ssvm_state_bytes after, uint32_t limit)
{
    struct plat_message m, answer;
    struct sv_str key;
    size_t at = 0;
    int r;

    begin_kv(session, &m, "list", prefix);
    if (after.len > 0)
        put(&m, PLAT_TAG_OLD, after);
    plat_put_u64(&m, PLAT_TAG_COUNT, limit);
    r = ask(session, op, &m, &answer);
    if (r != SSVM_STATE_OK)
        return r;
    if (!op->room(op, SSVM_STATE_BODY, 0))
        r = SSVM_STATE_ENOMEM;
    while (r == SSVM_STATE_OK && (key = plat_get_next(&answer, PLAT_TAG_KEY, &at)).ptr)
        r = ssvm_state_put_text(op, key.ptr, key.len) ? SSVM_STATE_OK : SSVM_STATE_ELIMIT;
    plat_message_release(&answer);
    return r;
}

/* ---- SQL: control's cells (control/state.h) and the guests' values are two spellings ---- */

static void put_cell(struct plat_message *m, const ssvm_state_value *v)
{
    static const char letters[] = "niftb";
    struct sv_buf cell;

    sv_buf_init(&cell, v->bytes.len + 16);
    sv_buf_putc(&cell, letters[v->type]);
    if (v->type == SSVM_STATE_INT)
        sv_buf_append(&cell, &v->i, sizeof v->i);
    else if (v->type == SSVM_STATE_FLOAT)
        sv_buf_append(&cell, &v->f, sizeof v->f);
    else if (v->type != SSVM_STATE_NULL)
        sv_buf_append(&cell, v->bytes.ptr, v->bytes.len);
    plat_put(m, PLAT_TAG_VALUE, cell.data, cell.len);
    m->values.failed = m->values.failed || cell.failed;
    sv_buf_release(&cell);
}

/* What control answers, read step by step. */
struct reading {
    const uint8_t *p, *end;
    bool bad;
};

static uint64_t read_number(struct reading *in, unsigned bytes)
{
    uint64_t n = 0;

    if (in->bad || in->end - in->p < (ptrdiff_t)bytes) {
        in->bad = true;
        return 0;
    }
    n = ssvm_state_read_u(in->p, bytes);
    in->p += bytes;
    return n;
}

static ssvm_state_bytes read_text(struct reading *in)
{
    size_t len = (size_t)read_number(in, 4);
    ssvm_state_bytes ret = {in->p, len};

    if (in->bad || (size_t)(in->end - in->p) < len) {
        in->bad = true;
        return (ssvm_state_bytes){"", 0};
    }
    in->p += len;
    return ret;
}

static bool give_cell(struct reading *in, ssvm_state_op *op)
{
    ssvm_state_value v = {.type = SSVM_STATE_NULL};
    uint64_t bits;

    switch (read_number(in, 1)) {
    case 'n':
        break;
    case 'i':
        v.type = SSVM_STATE_INT;
        v.i = (int64_t)read_number(in, 8);
        break;
    case 'f':
        v.type = SSVM_STATE_FLOAT;
        bits = read_number(in, 8);
        memcpy(&v.f, &bits, sizeof v.f);
        break;
    case 't':
        v.type = SSVM_STATE_TEXT;
        v.bytes = read_text(in);
        break;
    case 'b':
        v.type = SSVM_STATE_BLOB;
        v.bytes = read_text(in);
        break;
    default:
        in->bad = true;
    }
    return !in->bad && ssvm_state_put_value(op, &v);
}

static int give_rows(struct sv_str body, ssvm_state_op *op)
{
    struct reading in = {(const uint8_t *)body.ptr, (const uint8_t *)body.ptr + body.len, false};
    uint32_t columns = (uint32_t)read_number(&in, 4), rows;
    uint8_t head[4] = {(uint8_t)columns, (uint8_t)(columns >> 8), (uint8_t)(columns >> 16),
                       (uint8_t)(columns >> 24)};
    bool ok = ssvm_state_put(op, SSVM_STATE_BODY, head, sizeof head);

    for (uint32_t i = 0; i < columns && ok && !in.bad; i++) {
        ssvm_state_bytes name = read_text(&in);

        ok = ssvm_state_put_text(op, name.ptr, name.len);
    }
    rows = (uint32_t)read_number(&in, 4);
    for (uint64_t i = 0; i < (uint64_t)rows * columns && ok && !in.bad; i++)
        ok = give_cell(&in, op);
    op->number = (int64_t)read_number(&in, 8);
    return in.bad ? SSVM_STATE_EIO : ok ? SSVM_STATE_OK : SSVM_STATE_ELIMIT;
}

static int sql(void *session, ssvm_state_op *op, ssvm_state_bytes text, ssvm_state_bytes params)
{
    const struct srv_session *s = session;
    struct plat_message m, answer;
    ssvm_state_value v;
    size_t at = 0;
    int r;

    begin(s, &m, PLAT_SQL);
    put(&m, PLAT_TAG_TEXT, text);
    while (ssvm_state_value_read(params, &at, &v))
        put_cell(&m, &v);
    put_ttl(s, &m, 0);
    r = ask(s, op, &m, &answer);
    if (r != SSVM_STATE_OK)
        return r;
    r = give_rows(plat_get(&answer, PLAT_TAG_BODY), op);
    plat_message_release(&answer);
    return r;
}

/* ---- Secrets, the queue, other servers, other functions ---- */

/* Does the function have the grant "WORD NAME", or "WORD *"? */
struct granted {
    ssvm_state_bytes name;
    bool found;
};

static void match(void *data, const char *rest)
{
    struct granted *g = data;

    g->found = g->found || strcmp(rest, "*") == 0 ||
               (strlen(rest) == g->name.len && memcmp(rest, g->name.ptr, g->name.len) == 0);
}

static int check_granted(const struct srv_session *s, ssvm_state_op *op, const char *word,
                         ssvm_state_bytes name)
{
    struct granted g = {name, false};

    srv_registry_grants(srv_session_request(s), word, match, &g);
    if (g.found)
        return SSVM_STATE_OK;
    snprintf(op->error, sizeof op->error, "the function is not granted '%s %.*s'", word,
             name.len < 64 ? (int)name.len : 64, (const char *)name.ptr);
    return SSVM_STATE_EDENIED;
}

/* A grant to call names functions, without the version that is called. */
static int check_callee(const struct srv_session *s, ssvm_state_op *op, ssvm_state_bytes name)
{
    const char *at = memchr(name.ptr, '@', name.len);

    if (at)
        name.len = (size_t)(at - (const char *)name.ptr);
    return check_granted(s, op, "call", name);
}

static int secret(void *session, ssvm_state_op *op, ssvm_state_bytes name)
{
    struct plat_message m, answer;
    int r = check_granted(session, op, "secret", name);

    if (r != SSVM_STATE_OK)
        return r;
    begin(session, &m, PLAT_SECRET);
    put(&m, PLAT_TAG_NAME, name);
    r = ask(session, op, &m, &answer);
    if (r != SSVM_STATE_OK)
        return r;
    r = give(op, SSVM_STATE_BODY, &answer, PLAT_TAG_VALUE);
    plat_message_release(&answer);
    return r;
}

static int queue(void *session, ssvm_state_op *op, const ssvm_state_request *r, uint64_t delay_ms)
{
    const struct srv_session *s = session;
    char target[SRV_INVOKE_TARGET_MAX];
    struct plat_message m;
    int code = check_callee(s, op, r->function);

    if (code != SSVM_STATE_OK)
        return code;
    if (!srv_invoke_target(target, sv_str_of(srv_session_request(s)->function->tenant),
                           (struct sv_str){r->function.ptr, r->function.len},
                           (struct sv_str){r->target.ptr, r->target.len}))
        return SSVM_STATE_EINVAL;
    begin(s, &m, PLAT_QUEUE_PUSH);
    put(&m, PLAT_TAG_FUNCTION, r->function);
    put(&m, PLAT_TAG_PATH, r->target);
    put(&m, PLAT_TAG_VALUE, r->body);
    plat_put_u64(&m, PLAT_TAG_TTL_MS, delay_ms);
    if (srv_session_request(s)->trace[0])
        plat_put_str(&m, PLAT_TAG_TRACE, srv_session_request(s)->trace);
    return ask_plain(s, op, &m);
}

static int http(void *session, ssvm_state_op *op, const ssvm_state_request *r)
{
    const struct srv_session *s = session;
    uint64_t until = srv_session_deadline(s, op->deadline_ns), now = srv_clock_ns(), status = 0;
    struct plat_message m, answer;
    int code;

    srv_session_part(s);
    begin(s, &m, PLAT_FETCH);
    put(&m, PLAT_TAG_METHOD, r->method);
    put(&m, PLAT_TAG_URL, r->target);
    put(&m, PLAT_TAG_FIELDS, r->fields);
    put(&m, PLAT_TAG_BODY, r->body);
    plat_put_u64(&m, PLAT_TAG_TIMEOUT_MS, until > now ? (until - now) / 1000000 + 1 : 1);
    srv_session_put_grants(s, &m, "allow-http", PLAT_TAG_ALLOW);
    code = ask(s, op, &m, &answer);
    if (code != SSVM_STATE_OK)
        return code;
    (void)plat_get_u64(&answer, PLAT_TAG_STATUS, &status);
    op->number = (int64_t)status;
    code = give(op, SSVM_STATE_FIELDS, &answer, PLAT_TAG_FIELDS);
    if (code == SSVM_STATE_OK)
        code = give(op, SSVM_STATE_BODY, &answer, PLAT_TAG_BODY);
    plat_message_release(&answer);
    return code;
}

static int call(void *session, ssvm_state_op *op, const ssvm_state_request *r)
{
    const struct srv_session *s = session;
    int code = check_callee(s, op, r->function);

    if (code != SSVM_STATE_OK)
        return code;
    return srv_nested_call(s->conn, op, r, srv_session_deadline(s, op->deadline_ns));
}

/* ---- Granting ---- */

static const ssvm_state_backend backend = {
    .abi = SSVM_STATE_ABI,
    .open = open_session,
    .close = srv_session_close,
    .kv_get = kv_get,
    .kv_set = kv_set,
    .kv_cas = kv_cas,
    .kv_delete = kv_delete,
    .kv_increment = kv_increment,
    .kv_list = kv_list,
    .sql = sql,
    .secret = secret,
    .queue = queue,
    .http = http,
    .call = call,
};

unsigned srv_state_part(struct sv_str word)
{
    static const struct {
        const char *word;
        unsigned parts;
    } words[] = {
        {"kv", SSVM_STATE_KV},
        {"sql", SSVM_STATE_SQL},
        {"secret", SSVM_STATE_SECRET},
        {"allow-http", SSVM_STATE_HTTP},
        {"call", SSVM_STATE_CALL | SSVM_STATE_QUEUE},
    };

    for (size_t i = 0; i < SV_COUNT(words); i++)
        if (sv_str_eq(word, sv_str_of(words[i].word)))
            return words[i].parts;
    return 0;
}

own ssvm_error *srv_state_define(unsigned parts, ssvm_linker *linker)
{
    ssvm_state_grant grant = SSVM_STATE_GRANT_INIT;
    ssvm_error *error;

    grant.parts = parts;
    grant.backend = &backend;
    error = parts ? ssvm_linker_define_state(linker, &grant) : NULL;
    if (!error && parts & SSVM_STATE_KV) /* the same keys and values, as older guests know them */
        error = ssvm_linker_define_storage(linker, &grant);
    return error;
}
