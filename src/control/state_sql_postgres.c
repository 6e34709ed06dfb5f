/* Functions' SQL in PostgreSQL: each tenant has a schema and a role that owns it and nothing else.
 * A session is logged in as that role, so that nothing a statement says leads out of it; who its
 * turn is late for ends it. */
#include <ctype.h>
#include <endian.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "control/db_postgres.h"
#include "control/key.h"
#include "control/state_sql.h"

#define IDLE_MAX 16
#define LOOK_MS 60000 /* at the clock, while a statement runs */
#define CONFLICT 1    /* of run: others came between, it can be done again */

struct ctl_sql_session {
    const struct ctl_pq *pq;
    PGconn *handle;
    char role[CTL_SQL_ROLE_TEXT];
    bool broken;     /* not to be used again */
    bool committing; /* whether it was done is not known if the connection is lost */
    struct ctl_sql_session *next;
};

static struct {
    pthread_mutex_t mutex;
    struct ctl_sql_session *first; /* used last */
} idle = {.mutex = PTHREAD_MUTEX_INITIALIZER};

/* ---- The role ---- */

struct role {
    char name[CTL_SQL_ROLE_TEXT], password[2 * CTL_KEY_LEN + 1];
};

static void write_hex(char *to, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        snprintf(to + 2 * i, 3, "%02x", bytes[i]);
}

/* Its password is made of the node's key, which all nodes share. */
static void name_role(struct ctl_server *server, const char *tenant, struct role *role)
{
    uint8_t bytes[CTL_KEY_LEN];
    char purpose[128];

    ctl_sql_name_role(tenant, role->name);
    snprintf(purpose, sizeof purpose, "role %s", role->name);
    ctl_key_derive(server->key, purpose, bytes);
    write_hex(role->password, bytes, sizeof bytes);
}

static int make_role(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    static const char *const steps[] = {
        "grant %s to current_user",
        "create schema if not exists %s authorization %s",
        "alter role %s set search_path = %s",
    };
    const struct role *role = data;
    char text[512];
    int r = ctl_sql_run(sql, err, "select 1 from pg_roles where rolname = $1",
                        CTL_PARAMS(CTL_TEXT(role->name)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r < 0)
        return r;
    snprintf(text, sizeof text,
             "%s role %s login nosuperuser nocreatedb nocreaterole noreplication password '%s'",
             r ? "alter" : "create", role->name, role->password);
    r = ctl_sql_run(sql, err, text, CTL_NO_PARAMS);
    for (size_t i = 0; r == 0 && i < SV_COUNT(steps); i++) {
        snprintf(text, sizeof text, steps[i], role->name, role->name);
        r = ctl_sql_run(sql, err, text, CTL_NO_PARAMS);
    }
    return r;
}

/* ---- Sessions ---- */

static void session_close(struct ctl_sql_session *s)
{
    if (!s)
        return;
    s->pq->PQfinish(s->handle);
    sv_free(s);
}

static void ignore_notice(void *data, const char *text)
{
    (void)data;
    (void)text;
}

static int log_in(struct ctl_server *server, struct sv_err *err, const struct role *role,
                  struct ctl_sql_session **ret)
{
    const char *const names[] = {"connect_timeout", "tcp_user_timeout", "dbname",           "user",
                                 "password",        "client_encoding",  "application_name", NULL};
    const char *const values[] = {
        "5",        "10000", ctl_postgres_url(server->db), role->name, role->password, "UTF8",
        "ssvm-sql", NULL};
    struct ctl_sql_session *s = sv_alloc_zero(sizeof *s);
    const char *text;

    if (!s)
        return sv_fail_nomem(err, "a session of SQL");
    s->pq = ctl_postgres_pq(server->db);
    memcpy(s->role, role->name, sizeof s->role);
    s->handle = s->pq->PQconnectdbParams(names, values, 1);
    if (s->pq->PQstatus(s->handle) == CONNECTION_OK) {
        s->pq->PQsetNoticeProcessor(s->handle, ignore_notice, NULL);
        *ret = s;
        return 0;
    }
    text = s->pq->PQerrorMessage(s->handle);
    sv_fail(err, SV_EIO, SV_NO_OFFSET,
            "sql: the server of the database does not let the tenant's role in (pg_hba.conf must "
            "allow it by password): %.*s",
            (int)strcspn(text, "\n"), text);
    session_close(s);
    return SV_EIO;
}

/* A role that cannot log in is made, or given its password again. */
static int take(struct ctl_server *server, struct sv_err *err, const char *tenant,
                struct ctl_sql_session **ret)
{
    struct ctl_sql_session **at, *s;
    struct role role;
    int r;

    name_role(server, tenant, &role);
    pthread_mutex_lock(&idle.mutex);
    for (at = &idle.first;
         *at && ((*at)->pq != ctl_postgres_pq(server->db) || strcmp((*at)->role, role.name) != 0);
         at = &(*at)->next) {
    }
    s = *at;
    if (s)
        *at = s->next;
    pthread_mutex_unlock(&idle.mutex);
    *ret = s;
    if (s || log_in(server, NULL, &role, ret) == 0)
        return 0;
    r = ctl_db_write(server->db, err, make_role, &role);
    return r < 0 ? r : log_in(server, err, &role, ret);
}

static void give(struct ctl_sql_session *s)
{
    struct ctl_sql_session **at, *last = NULL;
    unsigned count = 0;

    if (s->broken) {
        session_close(s);
        return;
    }
    pthread_mutex_lock(&idle.mutex);
    s->next = idle.first;
    idle.first = s;
    for (at = &idle.first; *at; at = &(*at)->next) {
        if (++count > IDLE_MAX) {
            last = *at;
            *at = NULL;
            break;
        }
    }
    pthread_mutex_unlock(&idle.mutex);
    session_close(last);
}

/* ---- Statements ---- */

/* The next result of what was sent: 1; 0: there are no more. Who is late is cancelled. */
static int next_result(struct ctl_sql_session *s, struct sv_err *err,
                       const struct ctl_tenant_sql *q, PGresult **ret)
{
    while (s->pq->PQisBusy(s->handle)) {
        uint64_t now_ns = sv_clock_ns(), left_ms;
        struct pollfd fd = {.fd = s->pq->PQsocket(s->handle), .events = POLLIN};

        if (now_ns >= q->deadline_ns) {
            PGcancel *cancel = s->pq->PQgetCancel(s->handle);
            char why[256];

            if (cancel)
                (void)s->pq->PQcancel(cancel, why, sizeof why);
            s->pq->PQfreeCancel(cancel);
            s->broken = true;
            return ctl_sql_too_slow(q, err);
        }
        left_ms = (q->deadline_ns - now_ns) / 1000000 + 1;
        (void)poll(&fd, 1, left_ms < LOOK_MS ? (int)left_ms : LOOK_MS);
        if (!s->pq->PQconsumeInput(s->handle)) {
            s->broken = true;
            return sv_fail(err, SV_EIO, SV_NO_OFFSET,
                           "sql: the connection to the database is lost");
        }
    }
    *ret = s->pq->PQgetResult(s->handle);
    return *ret != NULL;
}

/* What is wrong, by its SQLSTATE. */
static int failed(struct ctl_sql_session *s, struct sv_err *err, const struct ctl_tenant_sql *q,
                  const PGresult *result)
{
    const char *state = s->pq->PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *text = s->pq->PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);

    if (!state || strncmp(state, "57P", 3) == 0) {
        s->broken = true;
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "sql: the connection to the database is lost");
    }
    if (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0)
        return CONFLICT;
    if (strcmp(state, "57014") == 0 || strcmp(state, "55P03") == 0)
        return ctl_sql_too_slow(q, err);
    if (strncmp(state, "53", 2) == 0 || strncmp(state, "58", 2) == 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "sql: %s", text ? text : state);
    return ctl_sql_refused(err, text ? text : state);
}

static void put_cell(const struct ctl_sql_session *s, struct ctl_tenant_sql *q,
                     const PGresult *result, int column)
{
    char *text = s->pq->PQgetvalue(result, 0, column);
    size_t len = (size_t)s->pq->PQgetlength(result, 0, column);
    struct sv_str bytes;
    double real;
    int64_t bits;

    if (s->pq->PQgetisnull(result, 0, column)) {
        sv_buf_putc(&q->body, 'n');
        return;
    }
    switch (s->pq->PQftype(result, column)) {
    case CTL_OID_INT2:
    case CTL_OID_INT4:
    case CTL_OID_INT8:
        sv_buf_putc(&q->body, 'i');
        ctl_sql_put_i64(q, strtoll(text, NULL, 10));
        break;
    case CTL_OID_BOOL:
        sv_buf_putc(&q->body, 'i');
        ctl_sql_put_i64(q, text[0] == 't');
        break;
    case CTL_OID_FLOAT4:
    case CTL_OID_FLOAT8:
        real = strtod(text, NULL);
        memcpy(&bits, &real, sizeof bits);
        sv_buf_putc(&q->body, 'f');
        ctl_sql_put_i64(q, bits);
        break;
    case CTL_OID_BYTEA:
        bytes = ctl_postgres_bytes(text, len);
        sv_buf_putc(&q->body, 'b');
        ctl_sql_put_bytes(q, bytes.ptr, bytes.len);
        break;
    default:
        sv_buf_putc(&q->body, 't');
        ctl_sql_put_bytes(q, text, len);
    }
}

struct answer { /* of one statement */
    bool begun;
    size_t place;
    int64_t changed;
    bool shrinks; /* it only takes away */
};

static void put_columns(const struct ctl_sql_session *s, struct ctl_tenant_sql *q,
                        const PGresult *result, struct answer *a)
{
    int columns = s->pq->PQnfields(result);

    if (a->begun)
        return;
    a->begun = true;
    ctl_sql_put_u32(q, (uint32_t)columns);
    for (int i = 0; i < columns; i++) {
        const char *name = s->pq->PQfname(result, i);

        ctl_sql_put_bytes(q, name, strlen(name));
    }
    a->place = ctl_sql_begin_rows(q);
}

static int put_result(struct ctl_sql_session *s, struct sv_err *err, struct ctl_tenant_sql *q,
                      PGresult *result, struct answer *a)
{
    const char *tag;
    int r = 0;

    switch (s->pq->PQresultStatus(result)) {
    case PGRES_SINGLE_TUPLE:
        put_columns(s, q, result, a);
        r = ctl_sql_add_row(q, err, a->place);
        for (int i = 0; r == 0 && i < s->pq->PQnfields(result); i++)
            put_cell(s, q, result, i);
        return r;
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        put_columns(s, q, result, a);
        tag = s->pq->PQcmdStatus(result);
        a->shrinks = strncmp(tag, "DELETE", 6) == 0 || strncmp(tag, "DROP", 4) == 0 ||
                     strncmp(tag, "TRUNCATE", 8) == 0;
        if (strncmp(tag, "SELECT", 6) != 0)
            a->changed = strtoll(s->pq->PQcmdTuples(result), NULL, 10);
        return 0;
    case PGRES_FATAL_ERROR:
        return failed(s, err, q, result);
    default: /* COPY, and what else there may be */
        s->broken = true;
        return ctl_sql_refused(err, "this statement is not supported");
    }
}

/* Numbers and bytes have their types; text has that of its place, as a literal has. */
static void bind(const struct ctl_cell *cell, char *text, Oid *type, const char **value, int *len,
                 int *format, uint64_t *number)
{
    *type = 0;
    *format = 1;
    *value = cell->bytes.len ? cell->bytes.ptr : "";
    *len = (int)cell->bytes.len;
    switch (cell->type) {
    case 'i':
    case 'f':
        *type = cell->type == 'i' ? CTL_OID_INT8 : CTL_OID_FLOAT8;
        *number = htobe64((uint64_t)cell->number); /* the bits of either */
        *value = (const char *)number;
        *len = sizeof *number;
        break;
    case 'b':
        *type = CTL_OID_BYTEA;
        break;
    case 't':
        *format = 0;
        memcpy(text, cell->bytes.ptr, cell->bytes.len);
        text[cell->bytes.len] = '\0';
        *value = text;
        break;
    default:
        *value = NULL;
    }
}

struct bound {
    Oid types[CTL_SQL_PARAMS_MAX];
    const char *values[CTL_SQL_PARAMS_MAX];
    int lengths[CTL_SQL_PARAMS_MAX], formats[CTL_SQL_PARAMS_MAX];
    uint64_t numbers[CTL_SQL_PARAMS_MAX];
    char text[];
};

static int send(struct ctl_sql_session *s, struct sv_err *err,
                const struct ctl_statement *statement)
{
    size_t bytes = statement->text.len + 1, at;
    struct bound *b;
    int good;

    for (unsigned i = 0; i < statement->count; i++)
        bytes += statement->params[i].bytes.len + 1;
    b = sv_alloc(sizeof *b + bytes);
    if (!b)
        return sv_fail_nomem(err, "a statement of SQL");
    memcpy(b->text, statement->text.ptr, statement->text.len);
    b->text[statement->text.len] = '\0';
    at = statement->text.len + 1;
    for (unsigned i = 0; i < statement->count; i++) {
        bind(&statement->params[i], b->text + at, &b->types[i], &b->values[i], &b->lengths[i],
             &b->formats[i], &b->numbers[i]);
        at += statement->params[i].bytes.len + 1;
    }
    good = s->pq->PQsendQueryParams(s->handle, b->text, (int)statement->count, b->types, b->values,
                                    b->lengths, b->formats, 0) &&
           s->pq->PQsetSingleRowMode(s->handle);
    sv_free(b);
    if (good)
        return 0;
    s->broken = true;
    return sv_fail(err, SV_EIO, SV_NO_OFFSET, "sql: the connection to the database is lost");
}

/* What is left of a statement that failed has to be read before the next. */
static int run_statement(struct ctl_sql_session *s, struct sv_err *err, struct ctl_tenant_sql *q,
                         const struct ctl_statement *statement, struct answer *a)
{
    PGresult *result = NULL;
    int r = send(s, err, statement), more = 1;

    while (r == 0 && (more = next_result(s, err, q, &result)) > 0) {
        r = put_result(s, err, q, result, a);
        s->pq->PQclear(result);
    }
    while (r != 0 && !s->broken && next_result(s, NULL, q, &result) > 0)
        s->pq->PQclear(result);
    if (r == 0 && more < 0)
        r = more;
    return r ? r : ctl_sql_end_rows(q, err, a->changed, 0);
}

/* Its rows, if any, are not of an answer. *ret_number is the first row's first
 * column. */
static int run_quietly(struct ctl_sql_session *s, struct sv_err *err,
                       const struct ctl_tenant_sql *q, const struct ctl_statement *statement,
                       int64_t *ret_number)
{
    PGresult *result = NULL;
    int r = send(s, err, statement), more = 0;

    while (r == 0 && (more = next_result(s, err, q, &result)) > 0) {
        ExecStatusType status = s->pq->PQresultStatus(result);

        if (status == PGRES_SINGLE_TUPLE && ret_number)
            *ret_number = strtoll(s->pq->PQgetvalue(result, 0, 0), NULL, 10);
        if (status == PGRES_FATAL_ERROR)
            r = failed(s, err, q, result);
        else if (strcmp(s->pq->PQcmdStatus(result), "ROLLBACK") == 0 &&
                 sv_str_eq(statement->text, sv_str_of("commit")))
            r = ctl_sql_refused(err, "a statement has ended the transaction");
        s->pq->PQclear(result);
    }
    while (r != 0 && !s->broken && next_result(s, NULL, q, &result) > 0)
        s->pq->PQclear(result);
    return r ? r : more;
}

static int run_own(struct ctl_sql_session *s, struct sv_err *err, const struct ctl_tenant_sql *q,
                   const char *text, int64_t *ret_number)
{
    const struct ctl_statement statement = {.text = sv_str_of(text)};

    return run_quietly(s, err, q, &statement, ret_number);
}

/* ---- The request ---- */

/* Past white space and comments, which may be nested. */
static const char *skip_space(const char *p, const char *end)
{
    unsigned depth = 0;

    while (p < end) {
        bool two = end - p > 1;

        if (two && p[0] == '/' && p[1] == '*') {
            depth++;
            p += 2;
        } else if (depth && two && p[0] == '*' && p[1] == '/') {
            depth--;
            p += 2;
        } else if (!depth && two && p[0] == '-' && p[1] == '-') {
            while (p < end && *p != '\n')
                p++;
        } else if (depth || isspace((unsigned char)*p) || *p == ';') {
            p++;
        } else {
            break;
        }
    }
    return p;
}

/* The transaction is the request's; a session's settings and others' ears are not the tenant's. */
static int check_word(struct sv_err *err, const struct ctl_statement *statement)
{
    static const char *const refused[] = {
        "abort",      "begin",   "checkpoint", "cluster", "commit",   "copy",
        "deallocate", "discard", "end",        "load",    "listen",   "notify",
        "prepare",    "reindex", "release",    "reset",   "rollback", "savepoint",
        "set",        "start",   "unlisten",   "vacuum"};
    const char *end = statement->text.ptr + statement->text.len;
    const char *word = skip_space(statement->text.ptr, end);
    size_t len = 0;

    while (word + len < end && isalpha((unsigned char)word[len]))
        len++;
    if (word == end)
        return ctl_sql_refused(err, "an empty statement");
    for (size_t i = 0; i < SV_COUNT(refused); i++)
        if (strlen(refused[i]) == len && strncasecmp(refused[i], word, len) == 0)
            return ctl_sql_refused(err, "not authorized");
    return 0;
}

/* What the role has, once something was written; large objects would have a size that it does not
 * show. */
static int check_quota(struct ctl_sql_session *s, struct sv_err *err,
                       const struct ctl_tenant_sql *q)
{
    static const char text[] =
        "select case when pg_current_xact_id_if_assigned() is null then 0 when exists (select 1 "
        "from pg_largeobject_metadata m join pg_roles r on r.oid = m.lomowner where r.rolname = "
        "current_user) then -1 else (select coalesce(sum(pg_total_relation_size(c.oid)), 0) from "
        "pg_class c join pg_roles r on r.oid = c.relowner where r.rolname = current_user and "
        "c.relkind in ('r', 'm', 'S')) end";
    int64_t bytes = 0;
    int r = run_own(s, err, q, text, &bytes);

    if (r == 0 && bytes < 0)
        r = ctl_sql_refused(err, "large objects are not supported");
    if (r == 0 && (uint64_t)bytes > q->quota)
        r = ctl_sql_too_full(q, err);
    return r;
}

static int run(struct ctl_sql_session *s, struct sv_err *err, struct ctl_tenant_sql *q)
{
    bool shrinks = true;
    int r;

    s->committing = false;
    r = run_own(s, err, q, "begin isolation level serializable", NULL);

    for (unsigned i = 0; r == 0 && i < q->count; i++) {
        struct answer a = {0};

        r = check_word(err, &q->statements[i]);
        if (r == 0)
            r = run_statement(s, err, q, &q->statements[i], &a);
        shrinks &= a.shrinks;
    }
    if (r == 0 && !shrinks)
        r = check_quota(s, err, q);
    s->committing = r == 0;
    if (r == 0)
        r = run_own(s, err, q, "commit", NULL);
    return r;
}

/* Leave nothing in the session: no transaction, no table or setting of this request. */
static void clean(struct ctl_sql_session *s, struct ctl_tenant_sql *q)
{
    q->deadline_ns = sv_clock_ns() + 1000000000;
    if (!s->broken && s->pq->PQtransactionStatus(s->handle) != PQTRANS_IDLE &&
        run_own(s, NULL, q, "rollback", NULL) != 0)
        s->broken = true;
    if (!s->broken && run_own(s, NULL, q, "discard all", NULL) != 0)
        s->broken = true;
}

int ctl_sql_in_schema(struct ctl_server *server, struct sv_err *err, struct ctl_tenant_sql *q)
{
    const uint64_t deadline_ns = q->deadline_ns, rows = q->rows_left;
    bool fresh = false;
    int r;

    do {
        struct ctl_sql_session *s = NULL;
        struct sv_err why = {0};

        q->deadline_ns = deadline_ns;
        q->rows_left = rows;
        sv_buf_clear(&q->body);
        r = take(server, err, q->tenant, &s);
        if (r < 0)
            return r;
        r = run(s, &why, q);
        if (r == SV_EIO && s->broken && !s->committing && !fresh) {
            fresh = true; /* it waited in the pool while the server was restarted, maybe */
            r = CONFLICT;
        }
        clean(s, q);
        give(s);
        if (r < 0 && err)
            *err = why;
    } while (r == CONFLICT && sv_clock_ns() < deadline_ns);
    return r == CONFLICT ? ctl_sql_too_slow(q, err) : r;
}

static int drop_role(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    static const char *const steps[] = {"drop schema if exists %s cascade",
                                        "drop owned by %s cascade", "drop role %s"};
    const struct role *role = data;
    char text[128];
    int r = ctl_sql_run(sql, err, "select 1 from pg_roles where rolname = $1",
                        CTL_PARAMS(CTL_TEXT(role->name)));

    if (r == 0)
        r = ctl_sql_next(sql, err);
    if (r <= 0)
        return r;
    r = 0;
    for (size_t i = 0; r == 0 && i < SV_COUNT(steps); i++) {
        snprintf(text, sizeof text, steps[i], role->name);
        r = ctl_sql_run(sql, err, text, CTL_NO_PARAMS);
    }
    return r;
}

/* ---- Filling a schema ---- */

/* A password that nobody is told: who serves the tenant gives the role another. */
static int make_schema(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct role *role = data;
    char text[128];
    int r;

    snprintf(text, sizeof text, "drop schema if exists %s cascade", role->name);
    r = ctl_sql_run(sql, err, text, CTL_NO_PARAMS); /* of a restore that was cut off */
    return r < 0 ? r : make_role(sql, err, data);
}

/* As long as it takes: a session of a server that hangs is ended with the program. */
static const struct ctl_tenant_sql patient = {.deadline_ns = UINT64_MAX, .timeout_ms = UINT64_MAX};

int ctl_sql_fill_begin(struct ctl_server *server, struct sv_err *err, const char *tenant,
                       own struct ctl_sql_session **ret)
{
    static const char *const settings[] = {
        "begin",
        "set local check_function_bodies = off",
        "set local datestyle = 'ISO, YMD'",
        "set local intervalstyle = postgres",
        "set local statement_timeout = 0",
        "set local client_min_messages = warning",
    };
    struct ctl_sql_session *s = NULL;
    uint8_t bytes[CTL_KEY_LEN];
    struct role role;
    int r;

    ctl_sql_name_role(tenant, role.name);
    r = ctl_random(err, bytes, sizeof bytes);
    write_hex(role.password, bytes, sizeof bytes);
    if (r == 0)
        r = ctl_db_write(server->db, err, make_schema, &role);
    if (r == 0)
        r = log_in(server, err, &role, &s);
    for (size_t i = 0; r == 0 && i < SV_COUNT(settings); i++)
        r = run_own(s, err, &patient, settings[i], NULL);
    if (r == 0)
        *ret = s;
    else
        session_close(s);
    return r > 0 ? SV_EIO : r;
}

int ctl_sql_fill(struct ctl_sql_session *s, struct sv_err *err,
                 const struct ctl_statement *statement)
{
    int r = run_own(s, err, &patient, "savepoint fill", NULL);

    if (r == 0)
        r = run_quietly(s, err, &patient, statement, NULL);
    if (r == 0)
        return run_own(s, err, &patient, "release fill", NULL);
    if (r == CONFLICT)
        r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "sql: others came between");
    if (!s->broken && run_own(s, NULL, &patient, "rollback to fill", NULL) != 0)
        s->broken = true;
    return r;
}

int ctl_sql_fill_end(own struct ctl_sql_session *s, struct sv_err *err, bool good)
{
    int r = good ? run_own(s, err, &patient, "commit", NULL) : 0;

    session_close(s);
    return r > 0 ? SV_EIO : r;
}

/* ---- The end of a tenant ---- */

int ctl_sql_drop_schema(struct ctl_server *server, struct sv_err *err, const char *tenant)
{
    struct ctl_sql_session *mine = NULL, **at, *s;
    struct role role;

    name_role(server, tenant, &role);
    pthread_mutex_lock(&idle.mutex);
    for (at = &idle.first; (s = *at);) {
        if (strcmp(s->role, role.name) == 0) {
            *at = s->next;
            s->next = mine;
            mine = s;
        } else {
            at = &s->next;
        }
    }
    pthread_mutex_unlock(&idle.mutex);
    while ((s = mine)) {
        mine = s->next;
        session_close(s);
    }
    return ctl_db_write(server->db, err, drop_role, &role);
}
