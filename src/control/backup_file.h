/* The form of a backup's file, which backup.c writes (and describes) and restore.c reads. */
#ifndef CONTROL_BACKUP_FILE_H
#define CONTROL_BACKUP_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/sha256.h"

#define CTL_BACKUP_MAGIC "ssvm backup 1\n"
#define CTL_BACKUP_MAGIC_SQL "ssvm backup 2\n" /* it may have sections of SQL; as long */
#define CTL_SECTION_HEAD 13                    /* type, length of the name, length */

/* Of a tenant's schema in PostgreSQL (backup.c). */
enum {
    CTL_SECTION_SQL = 'S',
    CTL_SECTION_SQL_BEFORE = 'B',
    CTL_SECTION_SQL_TABLE = 'T',
    CTL_SECTION_SQL_ROW = 'P',
    CTL_SECTION_SQL_BEHIND = 'A',
};

#define CTL_SECTION_NAME_MAX 1024
#define CTL_SECTION_ROW_MAX (1ULL << 30)

struct ctl_server;

/* Of the data folder, what a backup does not have as a file: it is made anew, is this node's alone,
 * or is saved in another way, as `key` and `sql` are. */
bool ctl_backup_leaves_out(const char *path);

struct ctl_reader {
    FILE *file;
    uint64_t end; /* of the file */
    char type;
    char name[CTL_SECTION_NAME_MAX + 1];
    uint64_t len; /* of the section, whose bytes come next */
};

/* The next section's head; its bytes, with room for a NUL; or go past them. */
int ctl_backup_read_head(struct ctl_reader *, struct sv_err *);
int ctl_backup_read_bytes(struct ctl_reader *, struct sv_err *, struct sv_buf *to);
int ctl_backup_skip(struct ctl_reader *, struct sv_err *);
int ctl_backup_not_whole(struct sv_err *);
/* From the first section on: make tenants' schemas in PostgreSQL, each in one transaction. */
int ctl_backup_restore_schemas(struct ctl_server *, struct sv_err *, struct ctl_reader *);

static inline void ctl_backup_put(unsigned char *to, uint64_t n, unsigned bytes)
{
    for (unsigned i = 0; i < bytes; i++)
        to[i] = (unsigned char)(n >> (8 * i));
}

static inline uint64_t ctl_backup_get(const unsigned char *from, unsigned bytes)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < bytes; i++)
        n |= (uint64_t)from[i] << (8 * i);
    return n;
}

#endif
