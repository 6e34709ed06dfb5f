/* The functions on open descriptors. Bytes are moved by io.c, directories listed by dir.c. */
#include <fcntl.h>
#include <unistd.h>

#include "host/wasi/vfs.h"

int sv_wasi_fd_advise(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    static const int advices[] = {POSIX_FADV_NORMAL,   POSIX_FADV_SEQUENTIAL, POSIX_FADV_RANDOM,
                                  POSIX_FADV_WILLNEED, POSIX_FADV_DONTNEED,   POSIX_FADV_NOREUSE};
    struct sv_vfs_file *f;
    int r = sv_vfs_find(w, arg[0].i32, 0, &f);

    (void)c;
    if (r != 0)
        return r;
    if (arg[3].i32 >= SV_COUNT(advices) || arg[1].s64 < 0 || arg[2].s64 < 0)
        return SV_WASI_EINVAL;
    if (f->kind == SV_VFS_DIR)
        return SV_WASI_EBADF;
    if (!(f->rights & SV_WASI_RIGHT_ADVISE))
        return sv_vfs_lacking(f, SV_WASI_RIGHT_ADVISE);
    return sv_wasi_errno(posix_fadvise(f->fd, arg[1].s64, arg[2].s64, advices[arg[3].i32]));
}

/* fallocate and ftruncate may exceed the limit on the size of files (ulimit -f). */
static bool extend(const struct sv_vfs_file *f, bool allocate, int64_t offset, int64_t len)
{
    struct sv_vfs_hold hold;
    int r;

    sv_vfs_hold_signal(&hold, SIGXFSZ);
    r = allocate ? fallocate(f->fd, 0, offset, len) : ftruncate(f->fd, len);
    sv_vfs_drop_signal(&hold, r != 0 && errno == EFBIG);
    return r == 0;
}

int sv_wasi_fd_allocate(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_vfs_file *f;
    int r = sv_vfs_find(w, arg[0].i32, SV_WASI_RIGHT_ALLOCATE, &f);

    if (r != 0)
        return r;
    if (f->readonly)
        return SV_WASI_EROFS;
    /* Not posix_fallocate: it writes zeros where the file system cannot reserve, for as long as
     * that takes. */
    if (arg[1].s64 < 0 || arg[2].s64 <= 0)
        return SV_WASI_EINVAL;
    while (!extend(f, true, arg[1].s64, arg[2].s64)) {
        r = sv_vfs_again(c, f, errno, POLLOUT);
        if (r != 0)
            return r;
    }
    return 0;
}

int sv_wasi_fd_close(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    (void)c;
    if (!sv_vfs_is_open(w, arg[0].i32))
        return SV_WASI_EBADF;
    return sv_vfs_close(w, arg[0].i32);
}

static int sync_file(struct sv_wasi *w, uint32_t fd, uint32_t right, int (*fn)(int))
{
    struct sv_vfs_file *f;
    int r = sv_vfs_find(w, fd, right, &f);

    if (r != 0)
        return r;
    if (f->kind == SV_VFS_CALLBACK && f->output) {
        const struct sv_wasi_stream *s = &w->streams[f->stream];

        return s->write(s->arg, "", 0) < 0 ? SV_WASI_EIO : 0;
    }
    if (f->fd < 0)
        return SV_WASI_EINVAL;
    return fn(f->fd) == 0 ? 0 : sv_wasi_errno(errno);
}

int sv_wasi_fd_datasync(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    (void)c;
    return sync_file(w, arg[0].i32, SV_WASI_RIGHT_DATASYNC, fdatasync);
}

int sv_wasi_fd_sync(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    (void)c;
    return sync_file(w, arg[0].i32, SV_WASI_RIGHT_SYNC, fsync);
}

int sv_wasi_fd_fdstat_get(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_wasi_abi_fdstat s = {0};
    struct sv_vfs_file *f;
    void *to;
    int r = sv_vfs_find(w, arg[0].i32, 0, &f);

    if (r != 0)
        return r;
    if (!sv_call_slice(c, arg[1].i32, sizeof s, &to))
        return SV_WASI_EFAULT;
    s.filetype = f->filetype;
    s.flags = f->flags;
    s.rights = f->rights;
    s.inheriting = f->inheriting;
    memcpy(to, &s, sizeof s);
    return 0;
}

int sv_wasi_fd_fdstat_set_flags(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    const uint32_t settable = SV_WASI_FD_APPEND | SV_WASI_FD_NONBLOCK;
    struct sv_vfs_file *f;
    uint32_t flags = arg[1].i32;
    int r = sv_vfs_find(w, arg[0].i32, SV_WASI_RIGHT_SET_FLAGS, &f);

    (void)c;
    if (r != 0)
        return r;
    if (flags & ~(uint32_t)SV_WASI_FD_ALL)
        return SV_WASI_EINVAL;
    /* Linux cannot change the synchronous ones of an open file. */
    if ((flags ^ f->flags) & ~settable)
        return SV_WASI_ENOTSUP;
    /* A stream is shared with other programs: its flags are ours alone and stay here. Our own files
     * never block. */
    if (f->owned && f->kind != SV_VFS_DIR &&
        fcntl(f->fd, F_SETFL, O_NONBLOCK | (flags & SV_WASI_FD_APPEND ? O_APPEND : 0)) != 0)
        return sv_wasi_errno(errno);
    f->flags = (uint8_t)flags;
    return 0;
}

int sv_wasi_fd_fdstat_set_rights(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_vfs_file *f;
    int r = sv_vfs_find(w, arg[0].i32, 0, &f);

    (void)c;
    if (r != 0)
        return r;
    if ((arg[1].i64 & ~(uint64_t)f->rights) || (arg[2].i64 & ~(uint64_t)f->inheriting))
        return SV_WASI_ENOTCAPABLE;
    f->rights = (uint32_t)arg[1].i64;
    f->inheriting = (uint32_t)arg[2].i64;
    return 0;
}

/* The attributes in either layout. */
static int filestat(struct sv_wasi *w, uint32_t fd, struct sv_wasi_abi_filestat *ret)
{
    struct sv_vfs_file *f;
    struct stat st;
    int r = sv_vfs_find(w, fd, SV_WASI_RIGHT_FILESTAT_GET, &f);

    if (r != 0)
        return r;
    if (f->fd < 0) {
        memset(ret, 0, sizeof *ret);
        return 0;
    }
    if (fstat(f->fd, &st) != 0)
        return sv_wasi_errno(errno);
    sv_vfs_filestat(w, &st, ret);
    return 0;
}

int sv_wasi_fd_filestat_get(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_wasi_abi_filestat s;
    int r = filestat(w, arg[0].i32, &s);

    return r != 0 ? r : sv_vfs_put_filestat(c, arg[1].i32, &s);
}

int sv_wasi_fd_filestat_get_p0(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_wasi_abi_filestat s;
    int r = filestat(w, arg[0].i32, &s);

    return r != 0 ? r : sv_vfs_put_filestat_p0(c, arg[1].i32, &s);
}

int sv_wasi_fd_filestat_set_size(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_vfs_file *f;
    int r = sv_vfs_find(w, arg[0].i32, SV_WASI_RIGHT_FILESTAT_SET_SIZE, &f);

    if (r != 0)
        return r;
    if (f->readonly)
        return SV_WASI_EROFS;
    while (!extend(f, false, 0, arg[1].s64)) {
        r = sv_vfs_again(c, f, errno, POLLOUT);
        if (r != 0)
            return r;
    }
    return 0;
}

int sv_wasi_fd_filestat_set_times(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct timespec times[2];
    struct sv_vfs_file *f;
    int r = sv_vfs_find(w, arg[0].i32, SV_WASI_RIGHT_FILESTAT_SET_TIMES, &f);

    (void)c;
    if (r != 0)
        return r;
    r = sv_vfs_times(arg[1].i64, arg[2].i64, arg[3].i32, times);
    if (r != 0)
        return r;
    if (f->readonly)
        return SV_WASI_EROFS;
    if (!f->owned) /* a stream: not the guest's to change */
        return SV_WASI_EPERM;
    return futimens(f->fd, times) == 0 ? 0 : sv_wasi_errno(errno);
}

/* sv_vfs_read or sv_vfs_write */
typedef int transfer_fn(struct sv_wasi *, struct sv_call *, struct sv_vfs_file *, struct iovec *,
                        int, size_t, int64_t, uint32_t *);

/* fd_read and fd_pread, fd_write and fd_pwrite: offset < 0 is the file's own position. */
static int transfer(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg, int64_t offset,
                    uint32_t ret_ptr, uint64_t right, transfer_fn *fn)
{
    struct iovec v[SV_WASI_IOVS_MAX];
    struct sv_vfs_file *f;
    size_t total;
    uint32_t len;
    void *to;
    int r = sv_vfs_find(w, arg[0].i32, right, &f);

    if (r != 0)
        return r;
    r = sv_vfs_take_iovs(c, arg[1].i32, arg[2].i32, v, &total);
    if (r != 0)
        return r;
    if (!sv_call_slice(c, ret_ptr, 4, &to))
        return SV_WASI_EFAULT;
    r = fn(w, c, f, v, (int)arg[2].i32, total, offset, &len);
    if (r != 0)
        return r;
    memcpy(to, &len, 4);
    return 0;
}

static int read_fd(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg, int64_t offset,
                   uint32_t ret_ptr)
{
    return transfer(w, c, arg, offset, ret_ptr, SV_WASI_RIGHT_READ, sv_vfs_read);
}

static int write_fd(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg, int64_t offset,
                    uint32_t ret_ptr)
{
    return transfer(w, c, arg, offset, ret_ptr, SV_WASI_RIGHT_WRITE, sv_vfs_write);
}

int sv_wasi_fd_read(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    return read_fd(w, c, arg, -1, arg[3].i32);
}

int sv_wasi_fd_write(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    return write_fd(w, c, arg, -1, arg[3].i32);
}

int sv_wasi_fd_pread(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_vfs_file *f;
    int r = sv_vfs_find(w, arg[0].i32, SV_WASI_RIGHT_READ, &f);

    if (r != 0)
        return r;
    return arg[3].s64 < 0 ? SV_WASI_EINVAL : read_fd(w, c, arg, arg[3].s64, arg[4].i32);
}

int sv_wasi_fd_pwrite(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_vfs_file *f;
    int r = sv_vfs_find(w, arg[0].i32, SV_WASI_RIGHT_WRITE, &f);

    if (r != 0)
        return r;
    return arg[3].s64 < 0 ? SV_WASI_EINVAL : write_fd(w, c, arg, arg[3].s64, arg[4].i32);
}

int sv_wasi_fd_prestat_get(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_wasi_abi_prestat s = {0};
    struct sv_vfs_file *f;
    void *to;
    int r = sv_vfs_find(w, arg[0].i32, 0, &f);

    if (r != 0)
        return r;
    if (!f->preopen)
        return SV_WASI_EBADF;
    if (!sv_call_slice(c, arg[1].i32, sizeof s, &to))
        return SV_WASI_EFAULT;
    s.name_len = (uint32_t)strlen(f->preopen);
    memcpy(to, &s, sizeof s);
    return 0;
}

int sv_wasi_fd_prestat_dir_name(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_vfs_file *f;
    size_t len;
    void *to;
    int r = sv_vfs_find(w, arg[0].i32, 0, &f);

    if (r != 0)
        return r;
    if (!f->preopen)
        return SV_WASI_EBADF;
    len = strlen(f->preopen);
    if (len > arg[2].i32)
        return SV_WASI_ENAMETOOLONG;
    if (!sv_call_slice(c, arg[1].i32, arg[2].i32, &to))
        return SV_WASI_EFAULT;
    memcpy(to, f->preopen, len);
    return 0;
}

int sv_wasi_fd_readdir(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    struct sv_vfs_file *f;
    uint8_t *buf;
    uint32_t used;
    void *to;
    int r = sv_vfs_find(w, arg[0].i32, SV_WASI_RIGHT_READDIR, &f);

    if (r != 0)
        return r;
    if (!sv_call_slice(c, arg[1].i32, arg[2].i32, &buf) || !sv_call_slice(c, arg[4].i32, 4, &to))
        return SV_WASI_EFAULT;
    r = sv_vfs_readdir(c, f, buf, arg[2].i32, arg[3].i64, &used);
    if (r != 0)
        return r;
    memcpy(to, &used, 4);
    return 0;
}

int sv_wasi_fd_renumber(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    uint32_t from = arg[0].i32, to = arg[1].i32;
    struct sv_vfs_file *f, *g;
    int r = sv_vfs_find(w, from, 0, &f);

    (void)c;
    if (r == 0)
        r = sv_vfs_find(w, to, 0, &g);
    if (r != 0 || from == to)
        return r;
    /* Who waits for one of them knows where it is. */
    if (f->waiting || g->waiting)
        return SV_WASI_EBUSY;
    sv_vfs_close(w, to);
    *g = *f;
    /* Moved, not copied: nothing of it is released. */
    f->kind = SV_VFS_FREE;
    f->dir = NULL;
    if (from < w->free_from)
        w->free_from = from;
    return 0;
}

static int seek(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg, int whence,
                uint32_t need)
{
    struct sv_vfs_file *f;
    off_t at;
    void *to;
    int r = sv_vfs_find(w, arg[0].i32, 0, &f);

    if (r != 0)
        return r;
    if (whence < 0)
        return SV_WASI_EINVAL;
    if ((f->rights & need) != need)
        return sv_vfs_lacking(f, need);
    if (!sv_call_slice(c, arg[3].i32, 8, &to))
        return SV_WASI_EFAULT;
    at = lseek(f->fd, arg[1].s64, whence);
    if (at < 0)
        return sv_wasi_errno(errno);
    memcpy(to, &at, 8);
    return 0;
}

int sv_wasi_fd_seek(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    static const int whences[] = {SEEK_SET, SEEK_CUR, SEEK_END};
    uint32_t i = arg[2].i32;

    return seek(w, c, arg, i < SV_COUNT(whences) ? whences[i] : -1, SV_WASI_RIGHT_SEEK);
}

int sv_wasi_fd_seek_p0(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    static const int whences[] = {SEEK_CUR, SEEK_END, SEEK_SET};
    uint32_t i = arg[2].i32;

    return seek(w, c, arg, i < SV_COUNT(whences) ? whences[i] : -1, SV_WASI_RIGHT_SEEK);
}

int sv_wasi_fd_tell(struct sv_wasi *w, struct sv_call *c, const union sv_slot *arg)
{
    const union sv_slot args[] = {arg[0], {.s64 = 0}, {.i32 = 0}, arg[1]};

    return seek(w, c, args, SEEK_CUR, SV_WASI_RIGHT_TELL);
}
