/* Functions' SQL in PostgreSQL. */
#include "control/state_sql.h"

int ctl_sql_in_schema(struct ctl_server *server, struct sv_err *err, struct ctl_tenant_sql *q)
{
    (void)server;
    (void)q;
    return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                   "sql: functions' SQL is not supported with a shared database");
}
