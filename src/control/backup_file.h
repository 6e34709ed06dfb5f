/* The form of a backup's file, which backup.c writes (and describes) and restore.c reads. */
#ifndef CONTROL_BACKUP_FILE_H
#define CONTROL_BACKUP_FILE_H

#include <stdint.h>

#include "base/sha256.h"

#define CTL_BACKUP_MAGIC "ssvm backup 1\n"
#define CTL_SECTION_HEAD 13 /* type, length of the name, length */

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
