/* What a process of the server that meets hostile bytes may still do: Landlock for files, seccomp
 * for what else the kernel does for a process, limits. */
#ifndef PLATFORM_JAIL_H
#define PLATFORM_JAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct plat_jail {
    /* Files and folders to read, and to write too, beside the system's libraries; NULL at the end.
     * What is not there is passed over. */
    const char *const *read;
    const char *const *write;
    bool links;           /* may make symbolic links where it writes */
    bool devices;         /* may use what is in /dev */
    bool processes;       /* may start programs: of a compiler */
    uint64_t data_bytes;  /* RLIMIT_DATA; 0 = as it is */
    uint64_t cpu_seconds; /* RLIMIT_CPU; 0 = as it is */
    uint64_t file_bytes;  /* RLIMIT_FSIZE; 0 = as it is */
};

/* For good, for this process and all that it starts: no sockets but those that it has, no signals
 * to others, no tracing, no new privileges, no core dumps. As far as the system can: an old one
 * has no Landlock. Before the first thread. */
int plat_jail_enter(struct sv_err *, const struct plat_jail *);

/* Does this system confine files (Landlock)? */
bool plat_jail_has_files(void);

#endif
