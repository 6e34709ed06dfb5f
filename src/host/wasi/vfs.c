/* The table of a guest's descriptors. Not the operations on them. */
#include "host/wasi/vfs.h"

#include <fcntl.h>
#include <unistd.h>

uint8_t sv_vfs_filetype(unsigned mode)
{
    switch (mode & S_IFMT) {
    case S_IFREG:
        return SV_WASI_TYPE_REGULAR;
    case S_IFDIR:
        return SV_WASI_TYPE_DIRECTORY;
    case S_IFLNK:
        return SV_WASI_TYPE_SYMLINK;
    case S_IFCHR:
        return SV_WASI_TYPE_CHARACTER;
    case S_IFBLK:
        return SV_WASI_TYPE_BLOCK;
    case S_IFSOCK:
        return SV_WASI_TYPE_SOCKET;
    default:
        return SV_WASI_TYPE_UNKNOWN; /* preview1 has no word for a pipe */
    }
}

/* Kind, type and rights by what the host descriptor is. rights holds READ and WRITE as granted. */
static void classify(struct sv_vfs_file *f, unsigned mode)
{
    bool tty = S_ISCHR(mode) && isatty(f->fd);

    f->filetype = sv_vfs_filetype(mode);
    if (S_ISREG(mode)) {
        f->kind = SV_VFS_FILE;
        f->rights |= SV_WASI_RIGHTS_MOVE;
        if (f->rights & SV_WASI_RIGHT_WRITE)
            f->rights |= SV_WASI_RIGHTS_WRITE;
    } else if (S_ISSOCK(mode)) {
        f->kind = SV_VFS_SOCKET;
        f->rights |= SV_WASI_RIGHT_SHUTDOWN | SV_WASI_RIGHT_ACCEPT;
    } else {
        f->kind = SV_VFS_PIPE;
        /* wasi-libc takes a character device that cannot seek for a terminal. */
        if (!tty && (S_ISCHR(mode) || S_ISBLK(mode)))
            f->rights |= SV_WASI_RIGHTS_MOVE;
    }
    f->is_tty = f->is_tty && tty;
}

void sv_vfs_look(struct sv_vfs_file *f)
{
    struct stat st;

    if (fstat(f->fd, &st) == 0) {
        classify(f, st.st_mode);
    } else {
        /* Closed on the host: each use will say so. */
        f->kind = SV_VFS_PIPE;
        f->is_tty = false;
    }
}

int sv_vfs_lacking(const struct sv_vfs_file *f, uint32_t need)
{
    uint32_t missing = need & ~f->rights;

    if ((missing & SV_WASI_RIGHTS_PATH) && f->kind != SV_VFS_DIR)
        return SV_WASI_ENOTDIR;
    if (missing & (SV_WASI_RIGHT_ACCEPT | SV_WASI_RIGHT_SHUTDOWN))
        return f->kind == SV_VFS_SOCKET ? SV_WASI_ENOTCAPABLE : SV_WASI_ENOTSOCK;
    if (f->kind == SV_VFS_DIR &&
        (missing & (SV_WASI_RIGHT_READ | SV_WASI_RIGHT_WRITE | SV_WASI_RIGHT_FILESTAT_SET_SIZE)))
        return SV_WASI_EISDIR;
    if (missing & (SV_WASI_RIGHT_READ | SV_WASI_RIGHTS_WRITE))
        return SV_WASI_EBADF;
    if ((missing & SV_WASI_RIGHTS_MOVE) && f->kind != SV_VFS_FILE)
        return f->kind == SV_VFS_DIR ? SV_WASI_EISDIR : SV_WASI_ESPIPE;
    return SV_WASI_ENOTCAPABLE;
}

static bool resize(struct sv_wasi *w, uint32_t cap)
{
    struct sv_vfs_file *files = sv_alloc_array(cap, sizeof *files);

    if (!files)
        return false;
    memcpy(files, w->files, w->nfiles * sizeof *files);
    if (w->files != w->inline_files)
        sv_free(w->files);
    w->files = files;
    w->cap = cap;
    return true;
}

int sv_vfs_reserve(struct sv_wasi *w, uint32_t *ret_fd)
{
    uint32_t i, from = UINT32_MAX;

    for (i = w->free_from; i < w->nfiles; i++) {
        const struct sv_vfs_file *f = &w->files[i];

        if (f->kind == SV_VFS_FREE || (f->kind == SV_VFS_CLOSED && !f->waiting))
            break;
        if (f->kind == SV_VFS_CLOSED && from == UINT32_MAX)
            from = i;
    }
    if (i >= w->max)
        return SV_WASI_EMFILE;
    if (i == w->cap && !resize(w, w->cap > w->max / 2 ? w->max : w->cap * 2))
        return SV_WASI_ENOMEM;
    if (i == w->nfiles)
        w->nfiles++;
    w->files[i] = (struct sv_vfs_file){.kind = SV_VFS_FREE};
    w->free_from = from < i ? from : i;
    *ret_fd = i;
    return 0;
}

int sv_vfs_share(struct sv_err *err, struct sv_wasi *w)
{
    if (w->shared)
        return 0;
    if (w->max > SV_WASI_FDS_SHARED)
        w->max = SV_WASI_FDS_SHARED > w->nfiles ? SV_WASI_FDS_SHARED : w->nfiles;
    if (w->cap < w->max && !resize(w, w->max))
        return sv_fail_nomem(err, "the descriptors of threads");
    w->shared = true;
    return 0;
}

/* Give back what the host has of it: an errno. */
static int release(struct sv_vfs_file *f)
{
    int r = 0;

    /* A delayed write may fail here; EINTR does not mean that it is still open. */
    if (f->owned && close(f->fd) != 0 && errno != EINTR)
        r = sv_wasi_errno(errno);
    sv_vfs_dir_delete(f->dir);
    f->dir = NULL;
    f->owned = false;
    return r;
}

void sv_vfs_hold(struct sv_vfs_file *f)
{
    f->waiting++;
}

bool sv_vfs_drop(struct sv_vfs_file *f)
{
    f->waiting--;
    if (f->kind != SV_VFS_CLOSED)
        return true;
    if (!f->waiting)
        release(f);
    return false;
}

int sv_vfs_close(struct sv_wasi *w, uint32_t fd)
{
    struct sv_vfs_file *f = &w->files[fd];
    int r = 0;

    if (f->kind <= SV_VFS_CLOSED)
        return 0;
    f->kind = f->waiting ? SV_VFS_CLOSED : SV_VFS_FREE;
    if (!f->waiting)
        r = release(f);
    if (fd < w->free_from)
        w->free_from = fd;
    return r;
}

int sv_vfs_install(struct sv_wasi *w, uint32_t fd, int host_fd, const struct sv_vfs_file *like)
{
    struct sv_vfs_file *f = &w->files[fd];
    struct stat st;

    if (fstat(host_fd, &st) != 0) {
        int e = errno;
        close(host_fd);
        return sv_wasi_errno(e);
    }
    w->installs++;
    *f = *like;
    f->fd = host_fd;
    f->owned = true;
    f->dir = NULL;
    f->preopen = NULL;
    if (S_ISDIR(st.st_mode)) {
        f->kind = SV_VFS_DIR;
        f->filetype = SV_WASI_TYPE_DIRECTORY;
        f->rights = SV_WASI_RIGHTS_DIR & like->inheriting;
        return 0;
    }
    f->is_tty = true; /* if it is one, its output is filtered as well */
    classify(f, st.st_mode);
    f->rights &= like->inheriting;
    f->inheriting = 0;
    return 0;
}

static struct sv_wasi *of_store(const struct sv_store *s)
{
    return sv_host_state(s, &sv_host_wasi);
}

const struct sv_vfs_services sv_vfs_services = {
    .of_store = of_store,
    .find_socket = sv_vfs_find_socket,
    .reserve = sv_vfs_reserve,
    .install = sv_vfs_install,
    .open_beneath = sv_vfs_open_beneath,
    .take_iovs = sv_vfs_take_iovs,
    .send = sv_wasi_sock_send,
    .again = sv_vfs_again,
    .wait = sv_vfs_wait,
    .poll = sv_vfs_poll,
    .hold = sv_vfs_hold,
    .drop = sv_vfs_drop,
    .error = sv_wasi_errno,
};
