/* A backup of a server's data: one file with all rows of the database, on whichever back end, and
 * the files of the data folder; checked as a whole before anything of it is believed. */
#ifndef CONTROL_BACKUP_H
#define CONTROL_BACKUP_H

#include "control/control.h"

/* Of server->data and server->db, as of one moment, while the server runs. With `key` the node's
 * key is in it: without it the secrets in the backup cannot be read, with it by whoever has the
 * file. */
int ctl_backup_write(struct ctl_server *, struct sv_err *, const char *path, bool key);
/* Is it whole? */
int ctl_backup_verify(struct sv_err *, const char *path);
/* Into a data folder and a database that have nothing yet; the database may be of the other kind.
 */
int ctl_backup_restore(struct ctl_server *, struct sv_err *, const char *path);

#endif
