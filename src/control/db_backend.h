/* What a back end of the database is to db.c; nobody else includes this. */
#ifndef CONTROL_DB_BACKEND_H
#define CONTROL_DB_BACKEND_H

#include <pthread.h>

#include "base/buf.h"
#include "control/db.h"

#define CTL_NOTES_MAX 16 /* different ones of a transaction; more are "look at everything" */

struct ctl_db_notes {
    unsigned count;
    bool all;
    char text[CTL_NOTES_MAX][64];
};

struct ctl_watch; /* db.c's */

struct ctl_backend {
    const char *scheme;            /* what its addresses begin with */
    const char *const (*words)[2]; /* of SQL, in braces, and what stands for them; ends with NULL */
    int (*open)(struct sv_err *, const char *url, struct ctl_watch *, own struct ctl_db **ret);
    void (*close)(own struct ctl_db *);
    int (*write)(struct ctl_db *, struct sv_err *, ctl_db_fn, void *data);
    /* NULL: writes come one after another in any case. */
    int (*write_in_turn)(struct ctl_db *, struct sv_err *, const char *turn, ctl_db_fn, void *data);
    int (*read)(struct ctl_db *, struct sv_err *, ctl_db_fn, void *data);
    int (*run)(struct ctl_sql *, struct sv_err *, const char *text, const struct ctl_param *);
    int (*next)(struct ctl_sql *, struct sv_err *);
    int64_t (*integer)(struct ctl_sql *, unsigned column);
    struct sv_str (*str)(struct ctl_sql *, unsigned column);
    bool (*null)(struct ctl_sql *, unsigned column);
    unsigned (*columns)(struct ctl_sql *);
    const char *(*name)(struct ctl_sql *, unsigned column);
    int (*type)(struct ctl_sql *, unsigned column);
    uint64_t (*changes)(struct ctl_sql *);
    /* A transaction's first call: no other node changes the schema meanwhile. The table meta is
     * there. */
    int (*lock)(struct ctl_sql *, struct sv_err *);
    /* Rows were put into a table with {serial} by their numbers: the next is above them. */
    int (*renumber)(struct ctl_sql *, struct sv_err *, const char *table);
    bool shared;
};

/* A back end's database and transaction begin with these. */
struct ctl_db {
    const struct ctl_backend *backend;
    struct ctl_watch *watch;
};
struct ctl_sql {
    struct ctl_db *db;
    struct ctl_db_notes notes;
    struct sv_buf expanded;
};

extern const struct ctl_backend ctl_backend_sqlite, ctl_backend_postgres;

/* Run what a transaction does. It must not begin another: a writer would wait for itself. */
int ctl_db_call(struct ctl_sql *, struct sv_err *, ctl_db_fn, void *data);
/* A commit told these; or (all) there may be anything. Any thread. */
void ctl_db_told(struct ctl_db *, const struct ctl_db_notes *);
void ctl_db_note(struct ctl_db_notes *, const char *what); /* add one */

#endif
