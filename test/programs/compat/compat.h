/* What Debian's wasi-libc lacks and the test programs call: users, modes and locks that a sandbox does not have. Force-included (-include). Not a
 * POSIX layer: each call gives the answer that makes the program go on. */
#ifndef COMPAT_H
#define COMPAT_H

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

#define F_RDLCK 0
#define F_WRLCK 1
#define F_UNLCK 2
#define F_GETLK 5
#define F_SETLK 6
#define F_SETLKW 7
struct passwd {
    char *pw_name, *pw_dir;
};
static inline int compat_fcntl(int fd, int cmd, long arg)
{
    if (cmd == F_SETLK || cmd == F_SETLKW)
        return 0;
    if (cmd == F_GETLK) {
        ((struct flock *)arg)->l_type = F_UNLCK;
        return 0;
    }
    return fcntl(fd, cmd, arg);
}
#define COMPAT_FCNTL(fd, cmd, arg, ...) compat_fcntl(fd, cmd, (long)(arg))
#define fcntl(fd, ...) COMPAT_FCNTL(fd, __VA_ARGS__, 0)
static inline int fchmod(int fd, mode_t mode)
{
    (void)fd, (void)mode;
    return 0;
}
static inline int chmod(const char *path, mode_t mode)
{
    (void)path, (void)mode;
    return 0;
}
static inline int fchown(int fd, uid_t owner, gid_t group)
{
    (void)fd, (void)owner, (void)group;
    return 0;
}
static inline uid_t getuid(void)
{
    return 0;
}
static inline uid_t geteuid(void)
{
    return 0;
}
static inline struct passwd *getpwuid(uid_t uid)
{
    (void)uid;
    return 0;
}
static inline mode_t umask(mode_t mode)
{
    (void)mode;
    return 0;
}
static inline int compat_system(const char *command)
{
    (void)command;
    return -1;
}
#define system compat_system
static inline void *compat_tmpfile(void)
{
    return 0;
}
#define tmpfile compat_tmpfile
#define tmpnam compat_tmpnam
static inline char *compat_tmpnam(char *s)
{
    (void)s;
    return 0;
}
#endif
