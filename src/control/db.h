/* The database: one interface, two back ends (SQLite: db_sqlite.c, PostgreSQL: db_postgres.c), the
 * same SQL for both: what SQLite 3.40 and PostgreSQL 15 both understand (`on conflict`,
 * `returning`, parameters $1, $2, ...). In the schema, {int} {text} {blob} {serial} stand for the
 * back end's types. */
#ifndef CONTROL_DB_H
#define CONTROL_DB_H

#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

struct ctl_db;
struct ctl_sql; /* a transaction */

/* "sqlite:PATH" or "postgresql://...". Brings the schema up to date (schema.c), or refuses a newer
 * one than this version and the next know. */
int ctl_db_open(struct sv_err *, const char *url, own struct ctl_db **ret);
void ctl_db_close(own struct ctl_db *);
bool ctl_db_is_shared(const struct ctl_db *); /* with other nodes */

/* What a transaction does. May run more than once (a conflict with another node): it changes
 * nothing but the database and *data, which it sets anew each time. A negative result undoes it. It
 * begins no other transaction. */
typedef int (*ctl_db_fn)(struct ctl_sql *, struct sv_err *, void *data);
/* Durable (fsync) when it returns 0. Many callers' writes share a commit. Any thread. */
int ctl_db_write(struct ctl_db *, struct sv_err *, ctl_db_fn, void *data);
/* The same for what all nodes write again and again, a tenant's account: those of one `turn` come
 * one after another, and several of a node share a commit. Whoever writes there takes that turn;
 * what others write elsewhere may be seen between two statements. */
int ctl_db_write_in_turn(struct ctl_db *, struct sv_err *, const char *turn, ctl_db_fn, void *data);
/* Reads a committed state. Any thread. */
int ctl_db_read(struct ctl_db *, struct sv_err *, ctl_db_fn, void *data);

struct ctl_param {
    enum { CTL_P_END, CTL_P_NULL, CTL_P_INT, CTL_P_TEXT, CTL_P_BLOB } type;
    int64_t number;
    const void *ptr;
    size_t len;
};
#define CTL_INT(n) ((struct ctl_param){.type = CTL_P_INT, .number = (int64_t)(n)})
#define CTL_TEXT(s) ctl_param_text(s) /* NULL: null */
#define CTL_STR(str) ((struct ctl_param){.type = CTL_P_TEXT, .ptr = (str).ptr, .len = (str).len})
#define CTL_BLOB(p, n) ((struct ctl_param){.type = CTL_P_BLOB, .ptr = (p), .len = (n)})
#define CTL_NULL ((struct ctl_param){.type = CTL_P_NULL})
static inline struct ctl_param ctl_param_text(const char *s)
{
    return s ? (struct ctl_param){.type = CTL_P_TEXT, .ptr = s, .len = strlen(s)} : CTL_NULL;
}

/* Run one statement. Its rows, if any, are read with ctl_sql_next; the next statement ends them.
 * Use as ctl_sql_run(sql, err, "...", CTL_PARAMS(CTL_INT(1), CTL_TEXT("x"))). */
#define CTL_PARAMS(...) ((const struct ctl_param[]){__VA_ARGS__, {.type = CTL_P_END}})
#define CTL_NO_PARAMS ((const struct ctl_param[]){{.type = CTL_P_END}})
int ctl_sql_run(struct ctl_sql *, struct sv_err *, const char *text,
                const struct ctl_param *params);
/* 1: there is a row; 0: no more; negative: failed. */
int ctl_sql_next(struct ctl_sql *, struct sv_err *);
/* Of the row; valid until the next call of ctl_sql_next or ctl_sql_run. NULL gives 0, {NULL, 0}. */
int64_t ctl_sql_int(struct ctl_sql *, unsigned column);
struct sv_str ctl_sql_str(struct ctl_sql *, unsigned column);
own char *ctl_sql_text(struct ctl_sql *,
                       unsigned column); /* a copy, "" for NULL; NULL = no memory */
bool ctl_sql_null(struct ctl_sql *, unsigned column);
/* Of the last statement: its columns, their names, and the row's type there (CTL_P_INT, ...; TEXT
 * where the back end's type is none of these). */
unsigned ctl_sql_columns(struct ctl_sql *);
const char *ctl_sql_name(struct ctl_sql *, unsigned column);
int ctl_sql_type(struct ctl_sql *, unsigned column);
/* Rows were put into a table of {serial} with their numbers: the next one's is above them. */
int ctl_sql_renumber(struct ctl_sql *, struct sv_err *, const char *table);
uint64_t ctl_sql_changes(struct ctl_sql *); /* rows of the last statement */
/* Tell all nodes, when the transaction is committed, that `what` has changed: ctl_db_watch's
 * callback. */
void ctl_sql_notify(struct ctl_sql *, const char *what);
/* Called by a thread of the database's after a commit, here or on another node, that notified; with
 * what = NULL after a lost connection is back: look at everything. */
typedef void (*ctl_db_watch_fn)(void *data, const char *what);
void ctl_db_watch(struct ctl_db *, ctl_db_watch_fn, void *data);
/* No more of it: a call that runs has returned. Not from a watcher. */
void ctl_db_unwatch(struct ctl_db *, ctl_db_watch_fn, const void *data);

#endif
