/* A backup of a server's data: one file with all rows of the database, on whichever back end, and
 * the files of the data folder; checked as a whole before anything of it is believed. */
#ifndef CONTROL_BACKUP_H
#define CONTROL_BACKUP_H

#include "control/control.h"

/* Of server->data and server->db, as of one moment, while the server runs. With `key` the node's
 * key is in it: without it the secrets in the backup cannot be read, with it by whoever has the
 * file. `without_sql`: tenants' SQL databases are left out. What of one has no place in a backup is
 * told on standard error. */
int ctl_backup_write(struct ctl_server *, struct sv_err *, const char *path, bool key,
                     bool without_sql);
/* Is it whole? */
int ctl_backup_verify(struct sv_err *, const char *path);
/* Into a data folder and a database that have nothing yet; the database may be of the other kind,
 * but tenants' SQL databases go into the same kind only. `without_sql`: they are left out. */
int ctl_backup_restore(struct ctl_server *, struct sv_err *, const char *path, bool without_sql);

/* Where sections go. */
struct ctl_backup_to {
    int (*put)(void *data, struct sv_err *, char type, const char *name, const void *, size_t len);
    void *data;
};
/* Tenants' schemas in PostgreSQL, as the transaction sees them; the last that it does. */
int ctl_backup_write_schemas(struct ctl_sql *, struct sv_err *, const struct ctl_backup_to *);

#endif
