/* A request of SQL (state.h) between what reads it (state_sql.c) and what does it
 * (state_sql_sqlite.c, state_sql_postgres.c). */
#ifndef CONTROL_STATE_SQL_H
#define CONTROL_STATE_SQL_H

#include "control/control.h"
#include "control/state.h"

#define CTL_SQL_ROLE_TEXT 40

struct ctl_cell {
    char type; /* 'n' 'i' 'f' 't' 'b' */
    int64_t number;
    double real;
    struct sv_str bytes;
};

struct ctl_statement {
    struct sv_str text;
    const struct ctl_cell *params;
    unsigned count;
};

struct ctl_tenant_sql {
    const char *tenant;
    struct ctl_statement statements[CTL_SQL_STATEMENTS_MAX];
    unsigned count;
    struct ctl_cell params[CTL_SQL_PARAMS_MAX];
    uint64_t deadline_ns, timeout_ms, quota, rows_left;
    struct sv_buf body; /* the answer */
};

/* Append to the answer. */
void ctl_sql_put_u32(struct ctl_tenant_sql *, uint32_t);
void ctl_sql_put_i64(struct ctl_tenant_sql *, int64_t);
void ctl_sql_put_bytes(struct ctl_tenant_sql *, const void *,
                       size_t len); /* and its length before */
/* The rows of a statement: where their count will be; each row's beginning; their end, with what
 * follows them. SV_ELIMIT: too many, too long. */
size_t ctl_sql_begin_rows(struct ctl_tenant_sql *);
int ctl_sql_add_row(struct ctl_tenant_sql *, struct sv_err *, size_t place);
int ctl_sql_end_rows(struct ctl_tenant_sql *, struct sv_err *, int64_t changed, int64_t rowid);
/* A statement that the database refused. */
int ctl_sql_refused(struct sv_err *, const char *text);
int ctl_sql_too_slow(const struct ctl_tenant_sql *, struct sv_err *);
int ctl_sql_too_full(const struct ctl_tenant_sql *, struct sv_err *);

/* Where the database is SQLite: a file for each tenant. */
int ctl_sql_in_file(struct ctl_server *, struct sv_err *, struct ctl_tenant_sql *);
int ctl_sql_drop_file(struct ctl_server *, struct sv_err *, const char *tenant);
/* Where it is PostgreSQL: a schema for each, of a role of its own; both have this name. */
void ctl_sql_name_role(const char *tenant, char ret[CTL_SQL_ROLE_TEXT]);
int ctl_sql_in_schema(struct ctl_server *, struct sv_err *, struct ctl_tenant_sql *);
int ctl_sql_drop_schema(struct ctl_server *, struct sv_err *, const char *tenant);
/* A session that fills a tenant's schema, which it makes anew, in one transaction. Its statements
 * are the tenant's: it is logged in as his role. */
struct ctl_sql_session;
int ctl_sql_fill_begin(struct ctl_server *, struct sv_err *, const char *tenant,
                       own struct ctl_sql_session **ret);
/* SV_EGUEST: the database refuses it, and what it did is undone; the others stay. */
int ctl_sql_fill(struct ctl_sql_session *, struct sv_err *, const struct ctl_statement *);
/* Commit, or leave nothing. */
int ctl_sql_fill_end(own struct ctl_sql_session *, struct sv_err *, bool good);

#endif
