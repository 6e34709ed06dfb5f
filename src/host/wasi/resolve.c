/* Opening a path that may not lead outside its directory: by openat2, or by a walk of our own where
 * the kernel (before 5.6) or a seccomp filter does not have it. Knows nothing of guests. */
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "host/wasi/vfs.h"

/* A rename beside us makes openat2 give up with EAGAIN; so often we try again. */
#define RETRIES 64
/* Of a walk's steps: the component was a link, its target is now in front of the path. No errno. */
#define FOLLOWED INT_MIN

static int openat2_beneath(int dirfd, const char *path, int flags, unsigned mode)
{
    struct open_how how = {
        .flags = (unsigned)flags | O_CLOEXEC,
        .mode = flags & O_CREAT ? mode : 0,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd;
    int i;

    for (i = 0; i < RETRIES; i++) {
        fd = syscall(SYS_openat2, dirfd, path, &how, sizeof how);
        if (fd >= 0)
            return (int)fd;
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return -errno;
}

/* One walk: the directories from the root down to where we are, and the path still to go.
 * Directories are kept open so that `..` goes back to the one we came from, whatever is renamed
 * meanwhile. */
struct walk {
    int dirs[SV_WASI_DEPTH_MAX]; /* [0] is the caller's */
    int ndirs;
    int nlinks;
    char rest[2 * SV_WASI_PATH_MAX];
};

/* Put the target of a link before what is left of the path. */
static int expand(struct walk *k, const char *target, size_t len, const char *after)
{
    size_t after_len = strlen(after);

    if (++k->nlinks > SV_WASI_LINKS_MAX)
        return -ELOOP;
    if (target[0] == '/')
        return -EXDEV;
    if (len + after_len + 1 > sizeof k->rest)
        return -ENAMETOOLONG;
    memmove(k->rest + len, after, after_len + 1);
    memcpy(k->rest, target, len);
    return 0;
}

/* If `name` is a link, put its target in front. 1 = was a link, 0 = is none (or is not there), else
 * -errno. */
static int follow(struct walk *k, const char *name, const char *after)
{
    char target[SV_WASI_PATH_MAX];
    ssize_t n = readlinkat(k->dirs[k->ndirs - 1], name, target, sizeof target);
    int r;

    if (n < 0)
        return 0;
    if (n == 0 || (size_t)n == sizeof target)
        return -ENAMETOOLONG;
    r = expand(k, target, (size_t)n, after);
    return r < 0 ? r : 1;
}

/* The last component: a descriptor, -errno or FOLLOWED. */
static int open_last(struct walk *k, const char *name, const char *after, int flags, unsigned mode)
{
    bool slash = *after != '\0';
    bool excl = (flags & O_CREAT) && (flags & O_EXCL);
    int fd, r;

    if (slash && (flags & O_CREAT))
        return -EISDIR;
    if (slash)
        flags |= O_DIRECTORY;
    if ((slash || !(flags & O_NOFOLLOW)) && !excl) {
        r = follow(k, name, after);
        if (r != 0)
            return r < 0 ? r : FOLLOWED;
        /* One that becomes a link now is not followed. */
    }
    fd = openat(k->dirs[k->ndirs - 1], name, flags | O_NOFOLLOW | O_CLOEXEC, mode);
    return fd < 0 ? -errno : fd;
}

/* Enter directory `name`. 0, -errno or FOLLOWED. */
static int enter(struct walk *k, const char *name, const char *after)
{
    int fd, r;

    fd = openat(k->dirs[k->ndirs - 1], name, O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        int e = errno;
        if (e != ENOTDIR && e != ELOOP)
            return -e;
        r = follow(k, name, after);
        return r == 0 ? -ENOTDIR : r < 0 ? r : FOLLOWED;
    }
    if (k->ndirs == SV_WASI_DEPTH_MAX) {
        close(fd);
        return -ENAMETOOLONG;
    }
    k->dirs[k->ndirs++] = fd;
    return 0;
}

/* Take one component off the path: 1 = opened (*ret), 0 = go on, else -errno. */
static int step(struct walk *k, int flags, unsigned mode, int *ret)
{
    char name[SV_WASI_PATH_MAX], *after = k->rest;
    size_t len = strcspn(k->rest, "/");
    bool last;
    int r;

    if (len >= sizeof name)
        return -ENAMETOOLONG;
    memcpy(name, k->rest, len);
    name[len] = '\0';
    after += len;
    last = after[strspn(after, "/")] == '\0';
    if (strcmp(name, "..") == 0) {
        if (k->ndirs == 1)
            return -EXDEV;
        close(k->dirs[--k->ndirs]);
        name[1] = '\0'; /* "." of the one before */
    }
    if (last) {
        r = open_last(k, name, after, flags, mode);
        if (r >= 0)
            *ret = r;
        return r == FOLLOWED ? 0 : r < 0 ? r : 1;
    }
    if (strcmp(name, ".") != 0) {
        r = enter(k, name, after);
        if (r < 0)
            return r == FOLLOWED ? 0 : r;
    }
    after += strspn(after, "/");
    memmove(k->rest, after, strlen(after) + 1);
    return 0;
}

static int walk_beneath(int dirfd, const char *path, int flags, unsigned mode)
{
    struct walk k;
    size_t len = strlen(path);
    int r, fd = -1;

    if (path[0] == '/')
        return -EXDEV;
    if (len == 0)
        return -ENOENT;
    if (len >= SV_WASI_PATH_MAX)
        return -ENAMETOOLONG;
    k.dirs[0] = dirfd;
    k.ndirs = 1;
    k.nlinks = 0;
    memcpy(k.rest, path, len + 1);
    do
        r = step(&k, flags, mode, &fd);
    while (r == 0);
    while (k.ndirs > 1)
        close(k.dirs[--k.ndirs]);
    return r < 0 ? r : fd;
}

int sv_vfs_open_beneath(struct sv_wasi *w, int dirfd, const char *path, int flags, unsigned mode)
{
    int r;

    if (w->resolver != SV_VFS_WALK) {
        r = openat2_beneath(dirfd, path, flags, mode);
        if (r >= 0)
            w->resolver = SV_VFS_OPENAT2;
        if (w->resolver == SV_VFS_OPENAT2_UNTRIED && (r == -ENOSYS || r == -EPERM)) {
            /* Opening "." like this fails for want of the call only. */
            int fd = openat2_beneath(dirfd, ".", O_PATH | O_DIRECTORY, 0);
            w->resolver = fd >= 0 ? SV_VFS_OPENAT2 : SV_VFS_WALK;
            if (fd >= 0)
                close(fd);
        }
        if (w->resolver != SV_VFS_WALK && r != -EAGAIN)
            return r;
    }
    return walk_beneath(dirfd, path, flags, mode);
}
