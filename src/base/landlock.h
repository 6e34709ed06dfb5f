/* What the processes that confine themselves with Landlock share: groups of rights, and one rule.
 * Inline, for programs of libc alone. */
#ifndef SV_BASE_LANDLOCK_H
#define SV_BASE_LANDLOCK_H

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SV_LANDLOCK_READ                                                                           \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR | LANDLOCK_ACCESS_FS_EXECUTE)
#define SV_LANDLOCK_FILE_ONLY                                                                      \
    (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_WRITE_FILE)
#define SV_LANDLOCK_WRITE                                                                          \
    (LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_DIR |   \
     LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR)
/* All of the first version: what a rule does not allow is refused. */
#define SV_LANDLOCK_ALL ((uint64_t)LANDLOCK_ACCESS_FS_MAKE_SYM * 2 - 1)

/* Rules that handle all of the first version; -1 with errno: there is no Landlock here. */
static inline int sv_landlock_new(void)
{
    struct landlock_ruleset_attr attr = {.handled_access_fs = SV_LANDLOCK_ALL};

    return (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
}
/* Allow this at a path, and below. What is not there is passed over. */
static inline bool sv_landlock_allow(int rules, const char *path, uint64_t access)
{
    struct landlock_path_beneath_attr rule = {.allowed_access = access};
    int fd = open(path, O_PATH | O_CLOEXEC);
    struct stat st;
    bool ok;

    if (fd < 0)
        return errno == ENOENT || errno == EACCES || errno == ENOTDIR;
    if (fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode))
        rule.allowed_access &= SV_LANDLOCK_FILE_ONLY;
    rule.parent_fd = fd;
    ok = syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
    close(fd);
    return ok;
}

#endif
