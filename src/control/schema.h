/* The tables of the database, and how older ones become today's. Their rows are schema.def. */
#ifndef CONTROL_SCHEMA_H
#define CONTROL_SCHEMA_H

#include "control/db.h"

/* A step makes version `version` out of the one before; a version may have several, in order. */
struct ctl_schema_step {
    unsigned version;
    const char *sql;
};

unsigned ctl_schema_version(void); /* that this program writes */
/* Bring the database up to date. Refuses one that is more than a version newer than `steps` make,
 * and refuses to leave running nodes more than a version behind: nodes one version apart work
 * together, since a step only adds what the version before need not know. */
int ctl_schema_update(struct ctl_db *, struct sv_err *, const struct ctl_schema_step *steps,
                      size_t count);
/* The n-th table of schema.def, from 0, to `ret`; false: there are no more. *ret_serial: its rows
 * are numbered ({serial}). */
bool ctl_schema_table(unsigned n, char ret[64], bool *ret_serial);
/* With schema.def's. */
int ctl_schema_update_own(struct ctl_db *, struct sv_err *);

#endif
