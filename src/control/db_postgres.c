/* The database on PostgreSQL, shared with other nodes: a pool of connections, transactions that are
 * run again when another node's came between, and a connection that listens for what others
 * changed. */
#include <dlfcn.h>
#include <endian.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "control/db_backend.h"
#include "control/db_postgres.h"

#define CONNECTIONS_MAX 12
#define STATEMENTS_MAX 256 /* kept prepared by a connection */
#define PARAMS_MAX 64
#define TRY_FOR_MS 15000   /* a transaction that others keep coming between */
#define BACKOFF_MS 100     /* after the server was not there: doubled each time, */
#define BACKOFF_MAX_MS 250 /* up to this: who is back is noticed soon */
#define LISTEN_CHECK_MS 10000
#define SAID_MAX 400    /* bytes of what the server says is wrong */
#define ANSWER_MS 60000 /* longer than any statement takes but those of a new schema */
#define BATCH_MAX 32    /* writes of one turn that share a commit */

struct statement {
    own char *key; /* types of the parameters, and text */
    char name[16];
};

/* Why a transaction may be run again. */
enum again { AGAIN_NO, AGAIN_CONFLICT, AGAIN_DUPLICATE, AGAIN_LOST };

struct connection {
    struct ctl_sql sql; /* first: what callers hold */
    struct postgres_db *db;
    PGconn *handle;
    PGresult *result;
    int row, rows;
    uint64_t decoded; /* columns of the row whose bytes are decoded already */
    enum again again; /* what the last failure says of it */
    bool lost;
    bool hangs;   /* its server does not answer, or not as one does */
    bool patient; /* the schema is changed: a statement may take as long as it wants */
    struct sv_map statements;
    unsigned nstatements; /* that there ever were */
    struct connection *next;
};

/* A write that waits for its turn, on the stack of who asks for it. */
struct job {
    ctl_db_fn fn;
    void *data;
    struct sv_err why;
    int result;
    bool leads, done; /* leads: it does what waits, for all */
    pthread_cond_t changed;
    struct job *next;
};

struct turn {
    own char *name;
    struct job *first, *last; /* that nobody has begun */
    struct turn *next;
};

struct postgres_db {
    struct ctl_db base;
    struct ctl_pq pq;
    own char *url;
    pthread_mutex_t mutex; /* of what follows */
    pthread_cond_t freed;
    struct connection *idle;
    unsigned count;
    bool opening;           /* a connection: whoever else needs one waits for any */
    struct turn *turns;     /* in which somebody writes now */
    uint64_t down_until_ns; /* the server was not there: until then nobody tries */
    unsigned backoff_ms;
    char why_down[256];
    pthread_t listener;
    bool listening;
    int stop_fd;
};

static const char *const words[][2] = {
    {"int", "bigint"},  {"text", "text collate \"C\""},
    {"blob", "bytea"},  {"serial", "bigserial primary key"},
    {"strict", ""},     {"skip_locked", "for update skip locked"},
    {"least", "least"}, {"greatest", "greatest"},
    {NULL, NULL},
};

static int library_open(struct sv_err *err, struct ctl_pq *pq)
{
    const char *missing = NULL;

    pq->handle = dlopen("libpq.so.5", RTLD_NOW | RTLD_LOCAL);
    if (!pq->handle)
        return sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET,
                       "a database of PostgreSQL needs libpq (Debian: libpq5): %s", dlerror());
#define PQ(result, name, params)                                                                   \
    *(void **)&pq->name = dlsym(pq->handle, #name);                                                \
    if (!pq->name)                                                                                 \
        missing = #name;
#include "control/db_pq.def"
#undef PQ
    return missing ? sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET, "libpq has no '%s'", missing) : 0;
}

/* ---- One connection ---- */

/* Errors of the server by their SQLSTATE, for people. */
static int failed(struct connection *c, struct sv_err *err, const PGresult *result,
                  const char *what)
{
    const struct ctl_pq *pq = &c->db->pq;
    const char *state = result ? pq->PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *said = result ? pq->PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    char text[SAID_MAX];

    if (!state)
        state = "";
    if (!said)
        said = pq->PQerrorMessage(c->handle);
    snprintf(text, sizeof text, "%.*s", (int)strcspn(said, "\n"), said);
    c->again = AGAIN_NO;
    if (c->hangs) {
        c->lost = true;
        return sv_fail(err, SV_EIO, SV_NO_OFFSET,
                       "database: its server does not answer as one does, or not within %d s",
                       ANSWER_MS / 1000);
    }
    if (!state[0] || strncmp(state, "57P0", 4) == 0) { /* said by libpq; the server's last words */
        c->again = AGAIN_LOST;
        c->lost = true;
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "database: the connection is lost: %s", text);
    }
    /* What this connection has prepared is not there any more, or not what it was: a table was made
     * anew, or something between us and the server has changed sessions. Another knows nothing yet.
     */
    if (strcmp(state, "0A000") == 0 || strcmp(state, "26000") == 0) {
        c->again = AGAIN_LOST;
        c->lost = true;
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "database: a prepared statement is lost: %s",
                       text);
    }
    if (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0 || strcmp(state, "55P03") == 0) {
        c->again = AGAIN_CONFLICT;
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "database: others keep changing the same: %s",
                       text);
    }
    /* A row; a table, or its type, that another node has made meanwhile. */
    if (strcmp(state, "23505") == 0 || strcmp(state, "42P07") == 0 || strcmp(state, "42710") == 0)
        c->again = AGAIN_DUPLICATE;
    if (strcmp(state, "53100") == 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET,
                       "database: the disk of its server is full, nothing was written");
    if (strcmp(state, "42501") == 0)
        return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                       "database: its user may not do this (a role that makes roles is needed for "
                       "functions' SQL: alter role ... createrole): %s",
                       text);
    if (strcmp(state, "25006") == 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "database: it is read-only, nothing was written");
    if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "database: %s", text);
    if (strncmp(state, "53", 2) == 0 || strncmp(state, "57", 2) == 0 ||
        strncmp(state, "58", 2) == 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "database: %s", text);
    return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "database: %s (%s): %s", text, state, what);
}

static bool succeeded(const struct ctl_pq *pq, const PGresult *result)
{
    ExecStatusType status = result ? pq->PQresultStatus(result) : PGRES_FATAL_ERROR;

    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

static void end_result(struct connection *c)
{
    c->db->pq.PQclear(c->result);
    c->result = NULL;
    c->row = c->rows = 0;
    c->decoded = 0;
}

/* The server's, which may hang: then the connection is closed. */
static bool wait_for_input(struct connection *c, uint64_t until_ns)
{
    const struct ctl_pq *pq = &c->db->pq;
    struct pollfd fd = {.fd = pq->PQsocket(c->handle), .events = POLLIN};

    while (pq->PQisBusy(c->handle)) {
        uint64_t now = sv_clock_ns();

        if (!c->patient && now >= until_ns) {
            shutdown(fd.fd, SHUT_RDWR);
            return false;
        }
        if (poll(&fd, 1, LISTEN_CHECK_MS) > 0 && !pq->PQconsumeInput(c->handle))
            return true; /* it is not busy any more: what was wrong is a result */
    }
    return true;
}

/* The last result of what was sent; NULL: there is none, the connection says why. */
static PGresult *take_result(struct connection *c, int sent)
{
    uint64_t until_ns = sv_clock_ns() + ANSWER_MS * 1000000ULL;
    const struct ctl_pq *pq = &c->db->pq;
    PGresult *last = NULL, *result;
    ExecStatusType status;

    while (sent) {
        if (!wait_for_input(c, until_ns)) {
            pq->PQclear(last);
            c->hangs = true;
            return NULL;
        }
        result = pq->PQgetResult(c->handle);
        if (!result)
            break;
        pq->PQclear(last);
        last = result;
        status = pq->PQresultStatus(last);
        /* None of our statements copies: nobody would end it. */
        if (status == PGRES_COPY_IN || status == PGRES_COPY_OUT || status == PGRES_COPY_BOTH) {
            shutdown(pq->PQsocket(c->handle), SHUT_RDWR);
            c->hangs = true;
            break;
        }
    }
    return last;
}

/* A statement without parameters or rows. */
static int execute(struct connection *c, struct sv_err *err, const char *text)
{
    const struct ctl_pq *pq = &c->db->pq;
    PGresult *result;
    int r = 0;

    end_result(c);
    result = take_result(c, pq->PQsendQuery(c->handle, text));
    if (!succeeded(pq, result))
        r = failed(c, err, result, text);
    pq->PQclear(result);
    return r;
}

static void forget_statements(struct connection *c)
{
    for (size_t i = 0; i < c->statements.cap; i++) {
        struct statement *s = c->statements.entries[i].value;

        if (s)
            sv_free(s->key);
        sv_free(s);
    }
    sv_map_release(&c->statements);
    sv_map_init(&c->statements);
}

static void connection_close(struct connection *c)
{
    if (!c)
        return;
    end_result(c);
    forget_statements(c);
    sv_map_release(&c->statements);
    sv_buf_release(&c->sql.expanded);
    c->db->pq.PQfinish(c->handle);
    sv_free(c);
}

static void ignore_notice(void *data, const char *text)
{
    (void)data;
    (void)text;
}

static int connection_open(struct postgres_db *db, struct sv_err *err, struct connection **ret)
{
    /* What the address itself says comes last, and wins. */
    const char *const names[] = {"connect_timeout",
                                 "tcp_user_timeout",
                                 "keepalives_idle",
                                 "application_name",
                                 "client_encoding",
                                 "dbname",
                                 NULL};
    const char *const values[] = {"5", "10000", "10", "ssvm", "UTF8", db->url, NULL};
    struct connection *c = sv_alloc_zero(sizeof *c);
    int r;

    if (!c)
        return sv_fail_nomem(err, "a connection to the database");
    c->db = db;
    c->sql.db = &db->base;
    sv_map_init(&c->statements);
    c->handle = db->pq.PQconnectdbParams(names, values, 1);
    if (db->pq.PQstatus(c->handle) != CONNECTION_OK) {
        const char *text = db->pq.PQerrorMessage(c->handle);

        r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "database: its server cannot be reached: %.*s",
                    (int)strcspn(text, "\n"), text);
        goto fail;
    }
    db->pq.PQsetNoticeProcessor(c->handle, ignore_notice, NULL);
    /* Sequential scans of small tables would make every two transactions a conflict. Where there is
     * no index one is done all the same, and counts as so dear that it would be compiled first: for
     * longer than it runs, in each session. */
    r = execute(c, err,
                "set bytea_output = hex; set enable_seqscan = off; set jit = off; set lock_timeout "
                "= 10000; set idle_in_transaction_session_timeout = 60000");
    if (r < 0)
        goto fail;
    *ret = c;
    return 0;
fail:
    connection_close(c);
    return r;
}

/* The types of parameters, as letters and as PostgreSQL's numbers. */
static int count_params(struct sv_err *err, const struct ctl_param *params, char *letters,
                        Oid *types)
{
    static const char letter[] = {
        [CTL_P_NULL] = 'n', [CTL_P_INT] = 'i', [CTL_P_TEXT] = 't', [CTL_P_BLOB] = 'b'};
    static const Oid oids[] = {[CTL_P_NULL] = 0,
                               [CTL_P_INT] = CTL_OID_INT8,
                               [CTL_P_TEXT] = CTL_OID_TEXT,
                               [CTL_P_BLOB] = CTL_OID_BYTEA};
    int n = 0;

    for (; params[n].type != CTL_P_END; n++) {
        if (n == PARAMS_MAX)
            return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "database: too many parameters");
        letters[n] = letter[params[n].type];
        types[n] = oids[params[n].type];
    }
    letters[n] = '\0';
    return n;
}

static int prepare(struct connection *c, struct sv_err *err, const char *text, int count,
                   const Oid *types, struct statement *s)
{
    PGresult *result;
    int r = 0;

    snprintf(s->name, sizeof s->name, "s%u", c->nstatements++);
    result = take_result(c, c->db->pq.PQsendPrepare(c->handle, s->name, text, count, types));
    if (!succeeded(&c->db->pq, result))
        r = failed(c, err, result, text);
    c->db->pq.PQclear(result);
    return r;
}

static int find_statement(struct connection *c, struct sv_err *err, const char *text,
                          const struct ctl_param *params, struct statement **ret, int *ret_count)
{
    char letters[PARAMS_MAX + 1];
    Oid types[PARAMS_MAX + 1];
    struct statement *s = NULL;
    struct sv_buf key;
    int r = count_params(err, params, letters, types);

    if (r < 0)
        return r;
    *ret_count = r;
    sv_buf_init(&key, 1U << 20);
    sv_buf_printf(&key, "%s:%s", letters, text);
    if (key.failed)
        goto nomem;
    *ret = sv_map_find(&c->statements, sv_str_of(sv_buf_cstr(&key)));
    if (*ret) {
        sv_buf_release(&key);
        return 0;
    }
    if (c->statements.len >= STATEMENTS_MAX) {
        r = execute(c, err, "deallocate all");
        if (r < 0)
            goto fail;
        forget_statements(c);
    }
    s = sv_alloc_zero(sizeof *s);
    if (!s)
        goto nomem;
    r = prepare(c, err, text, *ret_count, types, s);
    if (r < 0)
        goto fail;
    s->key = sv_buf_take(&key, NULL);
    if (!s->key || !sv_map_put(&c->statements, sv_str_of(s->key), s)) {
        sv_free(s->key);
        goto nomem;
    }
    *ret = s;
    return 0;
nomem:
    r = sv_fail_nomem(err, "a statement");
fail:
    sv_buf_release(&key);
    sv_free(s);
    return r;
}

static int run(struct ctl_sql *sql, struct sv_err *err, const char *text,
               const struct ctl_param *params)
{
    struct connection *c = (struct connection *)sql;
    const char *values[PARAMS_MAX + 1];
    int lengths[PARAMS_MAX + 1], formats[PARAMS_MAX + 1], count = 0, r;
    uint64_t numbers[PARAMS_MAX + 1];
    struct statement *s = NULL;

    end_result(c);
    r = find_statement(c, err, text, params, &s, &count);
    if (r < 0)
        return r;
    for (int i = 0; i < count; i++) {
        formats[i] = 1; /* binary: bytes as they are, numbers big-endian */
        if (params[i].len > INT32_MAX)
            return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "database: a value is too long");
        lengths[i] = (int)params[i].len;
        values[i] = params[i].type == CTL_P_NULL ? NULL : params[i].len ? params[i].ptr : "";
        if (params[i].type == CTL_P_INT) {
            numbers[i] = htobe64((uint64_t)params[i].number);
            values[i] = (const char *)&numbers[i];
            lengths[i] = sizeof numbers[i];
        }
    }
    c->result = take_result(
        c, c->db->pq.PQsendQueryPrepared(c->handle, s->name, count, values, lengths, formats, 0));
    if (!succeeded(&c->db->pq, c->result)) {
        r = failed(c, err, c->result, text);
        end_result(c);
        return r;
    }
    c->rows = c->db->pq.PQntuples(c->result);
    c->row = -1;
    return 0;
}

static int next(struct ctl_sql *sql, struct sv_err *err)
{
    struct connection *c = (struct connection *)sql;

    (void)err;
    c->decoded = 0;
    if (c->row < c->rows)
        c->row++;
    return c->row < c->rows;
}

static bool null(struct ctl_sql *sql, unsigned column)
{
    struct connection *c = (struct connection *)sql;

    return !c->result || c->row < 0 || c->row >= c->rows ||
           column >= (unsigned)c->db->pq.PQnfields(c->result) ||
           c->db->pq.PQgetisnull(c->result, c->row, (int)column);
}

static int64_t integer(struct ctl_sql *sql, unsigned column)
{
    struct connection *c = (struct connection *)sql;
    const char *text;

    if (null(sql, column))
        return 0;
    text = c->db->pq.PQgetvalue(c->result, c->row, (int)column);
    if (c->db->pq.PQftype(c->result, (int)column) == CTL_OID_BOOL)
        return text[0] == 't';
    return strtoll(text, NULL, 10);
}

static unsigned hex(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

struct sv_str ctl_postgres_bytes(char *text, size_t len)
{
    struct sv_str s = {text, len < 2 ? 0 : len / 2 - 1};

    for (size_t i = 0; i < s.len; i++)
        text[i] = (char)(hex(text[2 + 2 * i]) << 4 | hex(text[3 + 2 * i]));
    return s;
}

/* Bytes are decoded once, at the first look at them. */
static struct sv_str str(struct ctl_sql *sql, unsigned column)
{
    struct connection *c = (struct connection *)sql;
    struct sv_str s = {NULL, 0};
    bool decoded;
    char *at;

    if (null(sql, column) || column >= 64)
        return s;
    at = c->db->pq.PQgetvalue(c->result, c->row, (int)column);
    s = (struct sv_str){at, (size_t)c->db->pq.PQgetlength(c->result, c->row, (int)column)};
    if (c->db->pq.PQftype(c->result, (int)column) != CTL_OID_BYTEA || s.len < 2)
        return s;
    decoded = c->decoded >> column & 1;
    c->decoded |= UINT64_C(1) << column;
    return decoded ? (struct sv_str){at, s.len / 2 - 1} : ctl_postgres_bytes(at, s.len);
}

static unsigned columns(struct ctl_sql *sql)
{
    struct connection *c = (struct connection *)sql;

    return c->result ? (unsigned)c->db->pq.PQnfields(c->result) : 0;
}

static const char *name(struct ctl_sql *sql, unsigned column)
{
    struct connection *c = (struct connection *)sql;
    const char *text = c->db->pq.PQfname(c->result, (int)column);

    return text ? text : "";
}

static int type(struct ctl_sql *sql, unsigned column)
{
    struct connection *c = (struct connection *)sql;

    if (null(sql, column))
        return CTL_P_NULL;
    switch (c->db->pq.PQftype(c->result, (int)column)) {
    case CTL_OID_INT8:
    case CTL_OID_INT4:
        return CTL_P_INT;
    case CTL_OID_BYTEA:
        return CTL_P_BLOB;
    default:
        return CTL_P_TEXT;
    }
}

static uint64_t changes(struct ctl_sql *sql)
{
    struct connection *c = (struct connection *)sql;

    return c->result ? strtoull(c->db->pq.PQcmdTuples(c->result), NULL, 10) : 0;
}

/* Taken before the transaction has a view of the data: it sees what the one before it left. The
 * name that nodes are told by is in the database, where only they can read it: tenants have
 * sessions too. */
static int lock(struct ctl_sql *sql, struct sv_err *err)
{
    int r;

    ((struct connection *)sql)->patient = true;
    r = execute((struct connection *)sql, err, "lock table meta in access exclusive mode");

    return r < 0 ? r
                 : run(sql, err,
                       "insert into meta (key, value) values ('channel', 'ssvm_' || "
                       "replace(gen_random_uuid()::text, '-', '')) on conflict (key) do nothing",
                       CTL_NO_PARAMS);
}

static int renumber(struct ctl_sql *sql, struct sv_err *err, const char *table)
{
    char text[256];

    snprintf(text, sizeof text,
             "select setval(pg_get_serial_sequence('%s', 'id'), (select coalesce(max(id), 0) + 1 "
             "from %s), false)",
             table, table);
    return run(sql, err, text, CTL_NO_PARAMS);
}

/* The time after the next failure, from that after the last one. 0: there was none. */
static unsigned back_off(unsigned last_ms)
{
    unsigned ms = last_ms ? 2 * last_ms : BACKOFF_MS;

    return ms < BACKOFF_MAX_MS ? ms : BACKOFF_MAX_MS;
}

/* ---- The pool ---- */

static int take(struct postgres_db *db, struct sv_err *err, struct connection **ret)
{
    struct sv_err why = {0};
    int r = 0;

    pthread_mutex_lock(&db->mutex);
    while (!db->idle && (db->count == CONNECTIONS_MAX || db->opening))
        pthread_cond_wait(&db->freed, &db->mutex);
    *ret = db->idle;
    if (*ret)
        db->idle = (*ret)->next;
    else if (sv_clock_ns() < db->down_until_ns)
        r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "%s", db->why_down);
    else
        db->count++;
    db->opening |= r == 0 && !*ret;
    pthread_mutex_unlock(&db->mutex);
    if (r < 0 || *ret)
        return r;
    r = connection_open(db, &why, ret);
    pthread_mutex_lock(&db->mutex);
    db->opening = false;
    pthread_cond_broadcast(&db->freed);
    if (r < 0) {
        db->count--;
        db->backoff_ms = back_off(db->backoff_ms);
        db->down_until_ns = sv_clock_ns() + (uint64_t)db->backoff_ms * 1000000;
        snprintf(db->why_down, sizeof db->why_down, "%.*s", (int)sizeof db->why_down - 1, why.text);
    } else {
        db->backoff_ms = 0;
        db->down_until_ns = 0;
    }
    pthread_mutex_unlock(&db->mutex);
    if (r < 0 && err)
        *err = why;
    return r;
}

/* Back into the pool; a lost one is closed, and so are those that wait beside it: what ended it has
 * ended them. */
static void give(struct postgres_db *db, struct connection *c, bool lost)
{
    struct connection *closing = NULL;

    end_result(c);
    pthread_mutex_lock(&db->mutex);
    if (lost) {
        closing = db->idle;
        db->idle = NULL;
        c->next = closing;
        closing = c;
        for (struct connection *i = closing; i; i = i->next)
            db->count--;
    } else {
        c->next = db->idle;
        db->idle = c;
    }
    pthread_cond_broadcast(&db->freed);
    pthread_mutex_unlock(&db->mutex);
    while (closing) {
        c = closing;
        closing = c->next;
        connection_close(c);
    }
}

/* ---- Transactions ---- */

#define NOTIFY "select pg_notify((select value from meta where key = 'channel'), $1)"

static int tell_others(struct connection *c, struct sv_err *err)
{
    const struct ctl_db_notes *notes = &c->sql.notes;
    int r = 0;

    for (unsigned i = 0; r == 0 && !notes->all && i < notes->count; i++)
        r = run(&c->sql, err, NOTIFY, CTL_PARAMS(CTL_TEXT(notes->text[i])));
    if (notes->all)
        r = run(&c->sql, err, NOTIFY, CTL_PARAMS(CTL_TEXT("")));
    return r;
}

/* A transaction in which a statement has failed is undone by its commit, silently. */
static int commit(struct connection *c, struct sv_err *err)
{
    const struct ctl_pq *pq = &c->db->pq;
    PGresult *result;
    int r = 0;

    end_result(c);
    result = take_result(c, pq->PQsendQuery(c->handle, "commit"));
    if (!succeeded(pq, result)) {
        r = failed(c, err, result, "commit");
        if (c->again == AGAIN_LOST) { /* nobody knows whether it was done: it is not run again */
            c->again = AGAIN_NO;
            if (err)
                snprintf(err->text, sizeof err->text,
                         "database: the connection was lost at the commit: whether it was done is "
                         "not known");
        }
    } else if (strcmp(pq->PQcmdStatus(result), "COMMIT") != 0) {
        r = sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET,
                    "database: a statement had failed: nothing was written");
    }
    pq->PQclear(result);
    return r;
}

static int run_once(struct connection *c, struct sv_err *err, const char *begin, bool writes,
                    ctl_db_fn fn, void *data)
{
    int r, done;

    c->again = AGAIN_NO;
    c->patient = false;
    c->sql.notes = (struct ctl_db_notes){0};
    r = execute(c, err, begin);
    if (r == 0)
        r = ctl_db_call(&c->sql, err, fn, data);
    if (r >= 0 && writes) {
        done = tell_others(c, err);
        if (done == 0)
            done = commit(c, err);
        r = done < 0 ? done : r;
    }
    if (!c->hangs && c->db->pq.PQtransactionStatus(c->handle) != PQTRANS_IDLE) {
        enum again again = c->again;

        (void)execute(c, NULL, "rollback");
        c->again = again;
    }
    return r;
}

static void wait_a_little(unsigned attempt)
{
    unsigned most_ms = attempt < 6 ? 2U << attempt : 128;
    struct timespec t = {.tv_nsec = 0};

    t.tv_nsec = (long)(sv_hash_seed() % (most_ms * 1000000ULL));
    nanosleep(&t, NULL);
}

/* Until it is done, fails for good, or others came between for too long. */
static int transact(struct ctl_db *base, struct sv_err *err, const char *begin, bool writes,
                    ctl_db_fn fn, void *data)
{
    struct postgres_db *db = (struct postgres_db *)base;
    uint64_t until_ns = sv_clock_ns() + TRY_FOR_MS * 1000000ULL;
    unsigned duplicates = 0, losses = 0;

    for (unsigned attempt = 0;; attempt++) {
        struct sv_err why = {0};
        struct connection *c = NULL;
        enum again again;
        int r = take(db, err, &c);

        if (r < 0)
            return r;
        r = run_once(c, &why, begin, writes, fn, data);
        again = r < 0 ? c->again : AGAIN_NO;
        give(db, c, c->lost);
        if (again == AGAIN_NO || (again == AGAIN_DUPLICATE && ++duplicates > 2) ||
            (again == AGAIN_LOST && ++losses > 1) || sv_clock_ns() > until_ns) {
            if (r < 0 && err)
                *err = why;
            return r;
        }
        wait_a_little(attempt);
    }
}

static int write_postgres(struct ctl_db *base, struct sv_err *err, ctl_db_fn fn, void *data)
{
    return transact(base, err, "begin isolation level serializable", true, fn, data);
}

static int read_postgres(struct ctl_db *base, struct sv_err *err, ctl_db_fn fn, void *data)
{
    return transact(base, err, "begin isolation level repeatable read read only", false, fn, data);
}

/* ---- Turns ---- */

/* Two writers that begin at the same time would be a conflict, and one of them for nothing. Who has
 * the row of his turn has what the one before him has committed, as each statement looks anew. It
 * is no advisory lock: those are tenants' too. */
#define BEGIN_TURN "begin isolation level read committed"

struct batch {
    const char *turn;
    struct job *jobs, *failed;
};

static int take_turn(struct ctl_sql *sql, struct sv_err *err, const char *turn)
{
    int r = 0;

    for (unsigned i = 0; i < 3 && r == 0; i++) {
        r = run(sql, err, "select 1 from meta where key = 'turn ' || $1 for update",
                CTL_PARAMS(CTL_TEXT(turn)));
        if (r == 0)
            r = next(sql, err);
        if (r == 0) /* the first ever */
            r = run(sql, err,
                    "insert into meta (key, value) values ('turn ' || $1, '') on conflict (key) do "
                    "nothing",
                    CTL_PARAMS(CTL_TEXT(turn)));
    }
    return r == 0 ? sv_fail(err, SV_EIO, SV_NO_OFFSET, "database: the turn '%s' keeps going", turn)
                  : r;
}

static int run_batch(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct batch *b = data;
    int r = take_turn(sql, err, b->turn);

    b->failed = NULL;
    for (struct job *j = b->jobs; j && r >= 0; j = j->next) {
        j->why = (struct sv_err){0};
        r = j->result = j->fn(sql, &j->why, j->data);
        if (r < 0) {
            b->failed = j;
            *err = j->why;
        }
    }
    return r < 0 ? r : 0;
}

/* One that fails by itself undoes the others': each is tried alone then. */
static void run_jobs(struct postgres_db *db, const char *turn, struct job *jobs)
{
    struct batch b = {.turn = turn, .jobs = jobs};
    struct sv_err why = {0};
    int r = transact(&db->base, &why, BEGIN_TURN, true, run_batch, &b);
    bool alone = b.failed && jobs->next && r != SV_EIO;

    for (struct job *j = jobs, *next; r < 0 && j; j = next) {
        next = j->next;
        if (alone) {
            j->next = NULL;
            run_jobs(db, turn, j);
            j->next = next;
        } else {
            j->result = r;
            j->why = why;
        }
    }
}

/* NULL: no memory. *ret_fresh: nobody else is in it. Holds the lock. */
static struct turn *find_turn(struct postgres_db *db, const char *name, bool *ret_fresh)
{
    struct turn *t = db->turns;

    while (t && strcmp(t->name, name) != 0)
        t = t->next;
    *ret_fresh = !t;
    if (t)
        return t;
    t = sv_alloc_zero(sizeof *t);
    if (!t)
        return NULL;
    t->name = sv_strdup(name);
    if (!t->name) {
        sv_free(t);
        return NULL;
    }
    t->next = db->turns;
    db->turns = t;
    return t;
}

static void delete_turn(struct postgres_db *db, struct turn *t)
{
    struct turn **p = &db->turns;

    while (*p != t)
        p = &(*p)->next;
    *p = t->next;
    sv_free(t->name);
    sv_free(t);
}

/* What waits for the turn, up to a batch; then whoever waits next leads. Holds the lock, but not
 * while it works. */
static void lead(struct postgres_db *db, struct turn *t)
{
    struct job *jobs = t->first, *last = jobs;

    for (unsigned n = 1; n < BATCH_MAX && last->next; n++)
        last = last->next;
    t->first = last->next;
    last->next = NULL;
    pthread_mutex_unlock(&db->mutex);
    run_jobs(db, t->name, jobs);
    pthread_mutex_lock(&db->mutex);
    for (; jobs; jobs = jobs->next) {
        jobs->done = true;
        pthread_cond_signal(&jobs->changed);
    }
    if (t->first) {
        t->first->leads = true;
        pthread_cond_signal(&t->first->changed);
    } else {
        delete_turn(db, t);
    }
}

static int write_in_turn(struct ctl_db *base, struct sv_err *err, const char *turn, ctl_db_fn fn,
                         void *data)
{
    struct postgres_db *db = (struct postgres_db *)base;
    struct job job = {.fn = fn, .data = data};
    struct turn *t;

    pthread_mutex_lock(&db->mutex);
    t = find_turn(db, turn, &job.leads);
    if (!t) {
        pthread_mutex_unlock(&db->mutex);
        return sv_fail_nomem(err, "a write");
    }
    pthread_cond_init(&job.changed, NULL);
    *(t->first ? &t->last->next : &t->first) = &job;
    t->last = &job;
    while (!job.done && !job.leads)
        pthread_cond_wait(&job.changed, &db->mutex);
    if (!job.done)
        lead(db, t);
    pthread_mutex_unlock(&db->mutex);
    pthread_cond_destroy(&job.changed);
    if (job.result < 0 && err)
        *err = job.why;
    return job.result;
}

/* ---- What other nodes tell ---- */

/* True: time has passed, or there is something to read; false: it is over. */
static bool wait_for(struct postgres_db *db, int fd, int timeout_ms)
{
    struct pollfd fds[] = {{.fd = db->stop_fd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

    (void)poll(fds, fd < 0 ? 1 : 2, timeout_ms);
    return fds[0].revents == 0;
}

static void take_notes(struct connection *c)
{
    const struct ctl_pq *pq = &c->db->pq;
    struct ctl_db_notes notes = {0};
    PGnotify *n;

    while ((n = pq->PQnotifies(c->handle))) {
        if (n->extra[0])
            ctl_db_note(&notes, n->extra);
        else
            notes.all = true;
        pq->PQfreemem(n);
    }
    ctl_db_told(&c->db->base, &notes);
}

static bool start_to_listen(struct connection *c)
{
    struct sv_str channel;
    char text[96];

    if (run(&c->sql, NULL, "select value from meta where key = 'channel'", CTL_NO_PARAMS) < 0 ||
        next(&c->sql, NULL) <= 0)
        return false; /* this is the first start: soon */
    channel = str(&c->sql, 0);
    snprintf(text, sizeof text, "listen \"%.*s\"", (int)channel.len, channel.ptr);
    return execute(c, NULL, text) == 0;
}

/* As long as the connection lives. */
static void listen_on(struct connection *c)
{
    const struct ctl_db_notes everything = {.all = true};
    const struct ctl_pq *pq = &c->db->pq;

    if (!start_to_listen(c))
        return;
    ctl_db_told(&c->db->base, &everything); /* what was told before now is not known */
    while (wait_for(c->db, pq->PQsocket(c->handle), LISTEN_CHECK_MS)) {
        if (!pq->PQconsumeInput(c->handle) || execute(c, NULL, "select 1") < 0)
            return;
        take_notes(c);
    }
}

static void *listen_for_others(void *data)
{
    struct postgres_db *db = data;
    unsigned backoff_ms = 0;

    while (wait_for(db, -1, (int)backoff_ms)) {
        struct connection *c = NULL;

        if (connection_open(db, NULL, &c) == 0) {
            backoff_ms = 0;
            listen_on(c);
            connection_close(c);
        }
        backoff_ms = back_off(backoff_ms);
    }
    return NULL;
}

/* ---- The whole ---- */

static void close_postgres(own struct ctl_db *base)
{
    struct postgres_db *db = (struct postgres_db *)base;
    uint64_t one = 1;

    if (db->listening && write(db->stop_fd, &one, sizeof one) == sizeof one)
        pthread_join(db->listener, NULL);
    while (db->idle) {
        struct connection *c = db->idle;

        db->idle = c->next;
        connection_close(c);
    }
    if (db->stop_fd >= 0)
        close(db->stop_fd);
    pthread_cond_destroy(&db->freed);
    pthread_mutex_destroy(&db->mutex);
    sv_free(db->url); /* libpq stays open: it has threads' data */
    sv_free(db);
}

static int check_encoding(struct postgres_db *db, struct sv_err *err)
{
    struct connection *c = NULL;
    const char *encoding;
    int r = take(db, err, &c);

    if (r < 0)
        return r;
    encoding = db->pq.PQparameterStatus(c->handle, "server_encoding");
    if (!encoding || strcmp(encoding, "UTF8") != 0)
        r = sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                    "the database has the encoding '%s': make one with UTF8",
                    encoding ? encoding : "?");
    give(db, c, false);
    return r;
}

static int open_postgres(struct sv_err *err, const char *url, struct ctl_watch *watch,
                         own struct ctl_db **ret)
{
    struct postgres_db *db = sv_alloc_zero(sizeof *db);
    int r;

    if (!db)
        return sv_fail_nomem(err, "the database");
    db->base.backend = &ctl_backend_postgres;
    db->base.watch = watch;
    pthread_mutex_init(&db->mutex, NULL);
    pthread_cond_init(&db->freed, NULL);
    db->stop_fd = eventfd(0, EFD_CLOEXEC);
    db->url = sv_strdup(url);
    r = db->url && db->stop_fd >= 0 ? 0 : sv_fail_nomem(err, "the database");
    if (r == 0)
        r = library_open(err, &db->pq);
    if (r == 0)
        r = check_encoding(db, err);
    if (r == 0) {
        db->listening = pthread_create(&db->listener, NULL, listen_for_others, db) == 0;
        r = db->listening ? 0 : sv_fail_nomem(err, "the database's thread");
    }
    if (r < 0) {
        close_postgres(&db->base);
        return r;
    }
    *ret = &db->base;
    return 0;
}

const struct ctl_pq *ctl_postgres_pq(const struct ctl_db *base)
{
    return &((const struct postgres_db *)base)->pq;
}

const char *ctl_postgres_url(const struct ctl_db *base)
{
    return ((const struct postgres_db *)base)->url;
}

const struct ctl_backend ctl_backend_postgres = {
    .scheme = "postgres",
    .words = words,
    .open = open_postgres,
    .close = close_postgres,
    .write = write_postgres,
    .write_in_turn = write_in_turn,
    .read = read_postgres,
    .run = run,
    .next = next,
    .integer = integer,
    .str = str,
    .null = null,
    .columns = columns,
    .name = name,
    .type = type,
    .changes = changes,
    .renumber = renumber,
    .lock = lock,
    .shared = true,
};
