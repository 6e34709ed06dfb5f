/* The functions on paths. Every path is resolved beneath its directory by resolve.c; nothing here
 * opens or changes anything by a name that could lead elsewhere: a change is made to one last
 * component (never `..`, never followed) of a parent that was resolved. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "base/str.h"
#include "host/wasi/vfs.h"

/* A guest's path, copied: what is checked is what is used. */
struct path {
    char s[SV_WASI_PATH_MAX];
    size_t len;
};

static int take_path(struct sv_call *c, uint32_t ptr, uint32_t len, struct path *ret)
{
    const void *from;

    if (!sv_call_slice(c, ptr, len, &from))
        return SV_WASI_EFAULT;
    if (len >= sizeof ret->s)
        return SV_WASI_ENAMETOOLONG;
    sv_wasi_take(ret->s, from, len);
    ret->s[len] = '\0';
    ret->len = len;
    if (len == 0)
        return SV_WASI_ENOENT;
    if (memchr(ret->s, '\0', len))
        return SV_WASI_EINVAL;
    if (!sv_utf8_valid(ret->s, len))
        return SV_WASI_EILSEQ;
    if (ret->s[0] == '/')
        return SV_WASI_ENOTCAPABLE;
    return 0;
}

/* The directory of a call and a path below it. */
static int take_at(struct sv_wasi *w, struct sv_call *c, uint32_t fd, uint32_t need, uint32_t ptr,
                   uint32_t len, struct sv_vfs_file **ret_dir, struct path *ret_path)
{
    int r = sv_vfs_find(w, fd, need, ret_dir);

    return r != 0 ? r : take_path(c, ptr, len, ret_path);
}

/* Where a change is to be made: name is one component, perhaps with slashes behind it. */
struct place {
    int dir;
    bool owned; /* dir is ours to close */
    const char *name;
};

static void leave(struct place *p)
{
    if (p->owned)
        close(p->dir);
    p->owned = false;
}

/* Resolve all but the last component of `path` (which is used up). A last `..` is resolved too, and
 * "." of it is the name: the kernel then answers as it does for `..`, and nothing outside can be
 * meant. */
static int find_place(struct sv_wasi *w, const struct sv_vfs_file *f, struct path *path,
                      struct place *ret)
{
    size_t end = path->len, start;

    while (end > 0 && path->s[end - 1] == '/')
        end--;
    for (start = end; start > 0 && path->s[start - 1] != '/';)
        start--;
    ret->dir = f->fd;
    ret->owned = false;
    ret->name = path->s + start;
    if (end - start == 2 && memcmp(ret->name, "..", 2) == 0) {
        ret->name = ".";
    } else if (start == 0) {
        return 0;
    } else {
        path->s[start - 1] = '\0';
    }
    ret->dir = sv_vfs_open_beneath(w, f->fd, path->s, O_PATH | O_DIRECTORY, 0);
    if (ret->dir < 0)
        return sv_wasi_path_errno(-ret->dir);
    ret->owned = true;
    return 0;
}

/* The same from the arguments of a call that changes something. */
static int take_place(struct sv_wasi *w, struct sv_call *c, uint32_t fd, uint32_t need,
                      uint32_t ptr, uint32_t len, struct path *path, struct place *ret)
{
    struct sv_vfs_file *f;
    int r = take_at(w, c, fd, need, ptr, len, &f, path);

    ret->owned = false;
    if (r != 0)
        return r;
    if (f->readonly)
        return SV_WASI_EROFS;
    return find_place(w, f, path, ret);
}

static int leave_with(struct place *p, int host_result)
{
    int r = host_result == 0 ? 0 : sv_wasi_errno(errno);

    leave(p);
    return r;
}

int sv_wasi_path_create_directory(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct path path;
    struct place p;
    int r = take_place(w, c, arg[0].i32, SV_WASI_RIGHT_PATH_CREATE_DIRECTORY, arg[1].i32,
                       arg[2].i32, &path, &p);

    return r != 0 ? r : leave_with(&p, mkdirat(p.dir, p.name, 0777));
}

int sv_wasi_path_remove_directory(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct path path;
    struct place p;
    int r = take_place(w, c, arg[0].i32, SV_WASI_RIGHT_PATH_REMOVE_DIRECTORY, arg[1].i32,
                       arg[2].i32, &path, &p);

    return r != 0 ? r : leave_with(&p, unlinkat(p.dir, p.name, AT_REMOVEDIR));
}

int sv_wasi_path_unlink_file(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct path path;
    struct place p;
    int r = take_place(w, c, arg[0].i32, SV_WASI_RIGHT_PATH_UNLINK_FILE, arg[1].i32, arg[2].i32,
                       &path, &p);

    return r != 0 ? r : leave_with(&p, unlinkat(p.dir, p.name, 0));
}

/* An O_PATH descriptor of what a path means: its last link followed or not. */
static int open_what(struct sv_wasi *w, const struct sv_vfs_file *f, const struct path *path,
                     uint32_t lookup, int *ret_fd)
{
    int fd;

    *ret_fd = -1;
    if (lookup & ~(uint32_t)SV_WASI_LOOKUP_FOLLOW)
        return SV_WASI_EINVAL;
    fd = sv_vfs_open_beneath(w, f->fd, path->s,
                             O_PATH | (lookup & SV_WASI_LOOKUP_FOLLOW ? 0 : O_NOFOLLOW), 0);
    if (fd < 0)
        return sv_wasi_path_errno(-fd);
    *ret_fd = fd;
    return 0;
}

/* (fd, lookup, path, len) */
static int filestat(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg,
                    struct sv_wasi_abi_filestat *ret)
{
    struct sv_vfs_file *f;
    struct path path;
    struct stat st;
    int fd, e;
    int r = take_at(w, c, arg[0].i32, SV_WASI_RIGHT_PATH_FILESTAT_GET, arg[2].i32, arg[3].i32, &f,
                    &path);

    if (r == 0)
        r = open_what(w, f, &path, arg[1].i32, &fd);
    if (r != 0)
        return r;
    e = fstat(fd, &st) == 0 ? 0 : errno;
    close(fd);
    if (e != 0)
        return sv_wasi_errno(e);
    sv_vfs_filestat(w, &st, ret);
    return 0;
}

int sv_wasi_path_filestat_get(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_wasi_abi_filestat s;
    int r = filestat(w, c, arg, &s);

    return r != 0 ? r : sv_vfs_put_filestat(c, arg[4].i32, &s);
}

int sv_wasi_path_filestat_get_p0(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_wasi_abi_filestat s;
    int r = filestat(w, c, arg, &s);

    return r != 0 ? r : sv_vfs_put_filestat_p0(c, arg[4].i32, &s);
}

/* utimensat on an O_PATH descriptor; kernels before 5.8 need the way through /proc. */
static int set_times(int fd, const struct timespec *times)
{
    char name[32];

    if (utimensat(fd, "", times, AT_EMPTY_PATH) == 0)
        return 0;
    if (errno != EINVAL)
        return -1;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    return utimensat(AT_FDCWD, name, times, 0);
}

int sv_wasi_path_filestat_set_times(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct timespec times[2];
    struct sv_vfs_file *f;
    struct path path;
    int fd;
    int r = take_at(w, c, arg[0].i32, SV_WASI_RIGHT_PATH_FILESTAT_SET_TIMES, arg[2].i32, arg[3].i32,
                    &f, &path);

    if (r == 0)
        r = sv_vfs_times(arg[4].i64, arg[5].i64, arg[6].i32, times);
    if (r != 0)
        return r;
    if (f->readonly)
        return SV_WASI_EROFS;
    r = open_what(w, f, &path, arg[1].i32, &fd);
    if (r != 0)
        return r;
    r = set_times(fd, times) == 0 ? 0 : sv_wasi_errno(errno);
    close(fd);
    return r;
}

/* The directories and paths of a link or rename: both ends must be writable, the old one too: a
 * hard link of a read-only file in a writable directory could be written. */
struct two {
    struct path old_path, new_path;
    struct place from, to;
};

static int open_two(struct sv_wasi *w, struct sv_call *c, struct two *t, const uint32_t *fds,
                    const uint32_t *needs, const uint32_t *ptrs, const uint32_t *lens)
{
    int r;

    t->to.owned = false;
    r = take_place(w, c, fds[0], needs[0], ptrs[0], lens[0], &t->old_path, &t->from);
    if (r == 0)
        r = take_place(w, c, fds[1], needs[1], ptrs[1], lens[1], &t->new_path, &t->to);
    if (r != 0) {
        leave(&t->from);
        leave(&t->to);
    }
    return r;
}

static int leave_two(struct two *t, int host_result)
{
    int r = host_result == 0 ? 0 : sv_wasi_errno(errno);

    leave(&t->from);
    leave(&t->to);
    return r;
}

int sv_wasi_path_rename(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    const uint32_t fds[] = {arg[0].i32, arg[3].i32}, ptrs[] = {arg[1].i32, arg[4].i32};
    const uint32_t lens[] = {arg[2].i32, arg[5].i32};
    static const uint32_t needs[] = {SV_WASI_RIGHT_PATH_RENAME_SOURCE,
                                     SV_WASI_RIGHT_PATH_RENAME_TARGET};
    struct two t;
    int r = open_two(w, c, &t, fds, needs, ptrs, lens);

    return r != 0 ? r : leave_two(&t, renameat(t.from.dir, t.from.name, t.to.dir, t.to.name));
}

/* Follow the link that the last component of `path` is, if it is one: the path of what it means, to
 * be resolved beneath again. */
static int follow_last(struct sv_wasi *w, const struct sv_vfs_file *f, struct path *path)
{
    struct path copy;
    struct place p;
    size_t at;
    ssize_t n;
    int i, r;

    for (i = 0; i <= SV_WASI_LINKS_MAX; i++) {
        copy = *path;
        r = find_place(w, f, &copy, &p);
        if (r != 0)
            return r;
        /* Position of the last component; a `..` is no link. */
        at = (size_t)(p.name - copy.s);
        if (at >= path->len)
            n = -1;
        else
            n = readlinkat(p.dir, p.name, path->s + at, sizeof path->s - at);
        leave(&p);
        if (n < 0)
            return 0;
        if (at + (size_t)n >= sizeof path->s)
            return SV_WASI_ENAMETOOLONG;
        path->len = at + (size_t)n;
        path->s[path->len] = '\0';
        if (path->s[at] == '/')
            return SV_WASI_ENOTCAPABLE;
    }
    return SV_WASI_ELOOP;
}

/* linkat follows a link with a slash behind it, so such a name never gets there: what it means must
 * be a directory, and those have no hard links. */
static int link_slash(struct sv_wasi *w, const struct sv_vfs_file *f, const struct path *path)
{
    int fd = sv_vfs_open_beneath(w, f->fd, path->s, O_PATH | O_DIRECTORY, 0);

    if (fd < 0)
        return sv_wasi_path_errno(-fd);
    close(fd);
    return SV_WASI_EPERM;
}

int sv_wasi_path_link(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_vfs_file *f;
    struct two t;
    int r = take_at(w, c, arg[0].i32, SV_WASI_RIGHT_PATH_LINK_SOURCE, arg[2].i32, arg[3].i32, &f,
                    &t.old_path);

    if (r != 0)
        return r;
    if (f->readonly)
        return SV_WASI_EROFS;
    if (arg[1].i32 & ~(uint32_t)SV_WASI_LOOKUP_FOLLOW)
        return SV_WASI_EINVAL;
    if (t.old_path.s[t.old_path.len - 1] == '/')
        return link_slash(w, f, &t.old_path);
    if (arg[1].i32 & SV_WASI_LOOKUP_FOLLOW) {
        r = follow_last(w, f, &t.old_path);
        if (r != 0)
            return r;
        if (t.old_path.s[t.old_path.len - 1] == '/')
            return link_slash(w, f, &t.old_path);
    }
    r = find_place(w, f, &t.old_path, &t.from);
    if (r != 0)
        return r;
    r = take_place(w, c, arg[4].i32, SV_WASI_RIGHT_PATH_LINK_TARGET, arg[5].i32, arg[6].i32,
                   &t.new_path, &t.to);
    if (r != 0) {
        leave(&t.from);
        return r;
    }
    return leave_two(&t, linkat(t.from.dir, t.from.name, t.to.dir, t.to.name, 0));
}

int sv_wasi_path_symlink(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct path target, path;
    struct place p;
    /* An absolute target is refused: it would mean a file of the host to whoever looks from there.
     */
    int r = take_path(c, arg[0].i32, arg[1].i32, &target);

    if (r == 0)
        r = take_place(w, c, arg[2].i32, SV_WASI_RIGHT_PATH_SYMLINK, arg[3].i32, arg[4].i32, &path,
                       &p);
    return r != 0 ? r : leave_with(&p, symlinkat(target.s, p.dir, p.name));
}

int sv_wasi_path_readlink(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_vfs_file *f;
    struct path path;
    uint8_t *buf;
    void *to;
    ssize_t n;
    int fd, e;
    int r =
        take_at(w, c, arg[0].i32, SV_WASI_RIGHT_PATH_READLINK, arg[1].i32, arg[2].i32, &f, &path);

    if (r != 0)
        return r;
    if (!sv_call_slice(c, arg[3].i32, arg[4].i32, &buf) || !sv_call_slice(c, arg[5].i32, 4, &to))
        return SV_WASI_EFAULT;
    r = open_what(w, f, &path, 0, &fd);
    if (r != 0)
        return r;
    n = readlinkat(fd, "", (char *)buf, arg[4].i32);
    e = n < 0 ? errno : 0;
    close(fd);
    if (e != 0) /* the kernel's word for "no link" when there is no path */
        return e == ENOENT ? SV_WASI_EINVAL : sv_wasi_errno(e);
    memcpy(to, &(uint32_t){(uint32_t)n}, 4);
    return 0;
}

/* Flags for the host from those of path_open; negative: a combination that is refused, minus the
 * errno. */
static int open_flags(uint32_t lookup, uint32_t oflags, uint64_t rights, uint32_t fdflags)
{
    bool directory = oflags & SV_WASI_O_DIRECTORY;
    bool writes = !directory && (rights & SV_WASI_RIGHT_WRITE);
    bool reads = rights & (SV_WASI_RIGHT_READ | SV_WASI_RIGHT_READDIR);
    int flags = !writes ? O_RDONLY : reads ? O_RDWR : O_WRONLY;

    if ((lookup & ~(uint32_t)SV_WASI_LOOKUP_FOLLOW) || (oflags & ~(uint32_t)SV_WASI_O_ALL) ||
        (fdflags & ~(uint32_t)SV_WASI_FD_ALL) ||
        (directory && (oflags & (SV_WASI_O_CREAT | SV_WASI_O_TRUNC))))
        return -SV_WASI_EINVAL;
    /* A FIFO or a device must not keep us waiting, and no terminal become ours. */
    flags |= O_NONBLOCK | O_NOCTTY;
    flags |= lookup & SV_WASI_LOOKUP_FOLLOW ? 0 : O_NOFOLLOW;
    flags |= directory ? O_DIRECTORY : 0;
    flags |= oflags & SV_WASI_O_CREAT ? O_CREAT : 0;
    flags |= oflags & SV_WASI_O_EXCL ? O_EXCL : 0;
    flags |= oflags & SV_WASI_O_TRUNC ? O_TRUNC : 0;
    flags |= fdflags & SV_WASI_FD_APPEND ? O_APPEND : 0;
    flags |= fdflags & SV_WASI_FD_DSYNC ? O_DSYNC : 0;
    flags |= fdflags & (SV_WASI_FD_SYNC | SV_WASI_FD_RSYNC) ? O_SYNC : 0;
    return flags;
}

/* Rights are given generously, as today's hosts do: programs ask for less than they use. Reading
 * and writing are what was asked for. */
static void set_rights(struct sv_vfs_file *like, const struct sv_vfs_file *dir, uint64_t rights,
                       int flags)
{
    bool writes = (flags & O_ACCMODE) != O_RDONLY;

    like->rights = SV_WASI_RIGHTS_ANY;
    if (rights & SV_WASI_RIGHT_READ)
        like->rights |= SV_WASI_RIGHT_READ;
    if (writes)
        like->rights |= SV_WASI_RIGHT_WRITE;
    like->inheriting = dir->inheriting;
}

int sv_wasi_path_open(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    uint32_t oflags = arg[4].i32, fdflags = arg[7].i32, need = SV_WASI_RIGHT_PATH_OPEN, slot;
    struct sv_vfs_file *dir, like = {0};
    struct path path;
    int flags, fd, r;
    void *to;

    if (oflags & SV_WASI_O_CREAT)
        need |= SV_WASI_RIGHT_PATH_CREATE_FILE;
    if (oflags & SV_WASI_O_TRUNC)
        need |= SV_WASI_RIGHT_PATH_FILESTAT_SET_SIZE;
    flags = open_flags(arg[1].i32, oflags, arg[5].i64, fdflags);
    r = sv_vfs_find(w, arg[0].i32, need, &dir);
    if (r == 0)
        r = sv_vfs_reserve(w, &slot); /* before anything is created; moves the table */
    if (r == 0)
        r = take_at(w, c, arg[0].i32, need, arg[2].i32, arg[3].i32, &dir, &path);
    if (r != 0)
        return r;
    if (flags < 0)
        return -flags;
    if (!sv_call_slice(c, arg[8].i32, 4, &to))
        return SV_WASI_EFAULT;
    if (dir->readonly && ((flags & O_ACCMODE) != O_RDONLY || (flags & (O_CREAT | O_TRUNC))))
        return SV_WASI_EROFS;
    if ((flags & O_ACCMODE) != O_RDONLY && !(dir->inheriting & SV_WASI_RIGHT_WRITE))
        return SV_WASI_ENOTCAPABLE;
    fd = sv_vfs_open_beneath(w, dir->fd, path.s, flags, 0666);
    if (fd < 0)
        return sv_wasi_path_errno(-fd);
    like.readonly = dir->readonly;
    like.flags = (uint8_t)fdflags;
    set_rights(&like, dir, arg[5].i64, flags);
    r = sv_vfs_install(w, slot, fd, &like);
    if (r != 0)
        return r;
    memcpy(to, &slot, 4);
    return 0;
}
