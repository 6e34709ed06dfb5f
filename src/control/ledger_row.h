/* A row of the ledger on its way to the database. */
#ifndef CONTROL_LEDGER_ROW_H
#define CONTROL_LEDGER_ROW_H

#include "control/control.h"
#include "platform/record.h"

#define CTL_LEDGER_MINUTES_DAYS 40 /* then a row is of an hour */

struct ctl_ledger_row {
    const struct plat_record *of; /* whose tenant, function and version; borrowed */
    uint64_t minute;
    uint64_t calls, errors, rejected, gas, cpu_ns, wall_ns, byte_ms, bytes_in, bytes_out;
};

/* Add it to what the database has. */
int ctl_ledger_row_add(struct ctl_sql *, struct sv_err *, const struct ctl_ledger_row *);
/* Make hours of the minutes before that minute, an hour in a transaction; at most so many. */
int ctl_ledger_fold(struct ctl_server *, struct sv_err *, uint64_t before, unsigned hours);

#endif
