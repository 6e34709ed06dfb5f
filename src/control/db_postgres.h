/* What state_sql_postgres.c shares with the database on PostgreSQL: libpq, and where the server is.
 */
#ifndef CONTROL_DB_POSTGRES_H
#define CONTROL_DB_POSTGRES_H

#include <libpq-fe.h>

#include "control/db.h"

/* Of pg_type, which is the same everywhere. */
enum ctl_oid {
    CTL_OID_BOOL = 16,
    CTL_OID_BYTEA = 17,
    CTL_OID_INT8 = 20,
    CTL_OID_INT2 = 21,
    CTL_OID_INT4 = 23,
    CTL_OID_TEXT = 25,
    CTL_OID_FLOAT4 = 700,
    CTL_OID_FLOAT8 = 701,
};

struct ctl_pq {
    void *handle;
#define PQ(result, name, params) result(*name) params;
#include "control/db_pq.def"
#undef PQ
};

const struct ctl_pq *ctl_postgres_pq(const struct ctl_db *);
const char *ctl_postgres_url(const struct ctl_db *);
/* Bytes as PostgreSQL writes them, `\x` and digits, decoded where they lie. */
struct sv_str ctl_postgres_bytes(char *text, size_t len);

#endif
