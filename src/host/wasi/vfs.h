/* The descriptors of one WASI guest and what they stand for on the host: shared by the wasi/
 * sources, included by nobody else but tests. */
#ifndef SV_HOST_WASI_VFS_H
#define SV_HOST_WASI_VFS_H

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>

#include "host/wasi/abi.h"
#include "host/wasi/wasi.h"

/* Limits on what a guest can make large. */
#define SV_WASI_FDS_DEFAULT 1024        /* open descriptors */
#define SV_WASI_FDS_INLINE 8            /* those that need no memory of their own */
#define SV_WASI_FDS_SHARED 65536        /* at most, once a guest has threads */
#define SV_WASI_IOVS_MAX 1024           /* buffers of one call */
#define SV_WASI_CHUNK ((size_t)1 << 20) /* bytes between two looks at the interruption */
#define SV_WASI_RANDOM_CHUNK ((size_t)1 << 16)
#define SV_WASI_SUBSCRIPTIONS_MAX 4096
#define SV_WASI_PATH_MAX 4096 /* bytes of a path, with the NUL */
#define SV_WASI_LINKS_MAX 40  /* symbolic links followed on one path, as the kernel's */
#define SV_WASI_DEPTH_MAX 128 /* directories held open by one walk */
#define SV_WASI_ARGS_BYTES_MAX ((size_t)64 << 20) /* arguments or variables together */
#define SV_WASI_DIR_RECENT 64                     /* positions kept exactly in an open directory */
#define SV_WASI_DIR_MARKS 4096                    /* positions kept to find older ones again */

enum sv_vfs_kind {
    SV_VFS_FREE,
    SV_VFS_CLOSED, /* while threads of the guest wait for it: not free yet */
    SV_VFS_LAZY,   /* a standard stream on a host descriptor, not looked at yet */
    SV_VFS_FILE,   /* regular: never blocks for long */
    SV_VFS_DIR,
    SV_VFS_PIPE, /* pipes, terminals, devices: may block */
    SV_VFS_SOCKET,
    SV_VFS_NULL,
    SV_VFS_BYTES,
    SV_VFS_CALLBACK,
};

/* State of the terminal filter: the beginning of a UTF-8 sequence that the last write cut off. */
struct sv_vfs_tty {
    uint8_t pending[4];
    uint8_t npending;
};

struct sv_vfs_file {
    uint8_t kind;     /* enum sv_vfs_kind */
    uint8_t filetype; /* enum sv_wasi_filetype */
    uint8_t stream;   /* BYTES, CALLBACK: index in sv_wasi.streams */
    uint8_t flags;    /* enum sv_wasi_fdflags */
    bool owned;       /* fd is ours to close */
    bool readonly;    /* of a read-only grant */
    bool output;      /* counted against max_output */
    bool is_tty;      /* output is filtered */
    bool no_nowait;   /* the kernel does not know RWF_NOWAIT here */
    bool no_nosignal; /* nor RWF_NOSIGNAL */
    bool asked_limit; /* whether `limited` is known */
    bool limited;     /* the size of files has a limit */
    uint16_t waiting; /* threads of the guest that wait for it */
    bool is_stream;   /* a socket without messages: nothing is cut off */
    bool timed;       /* a socket with a time limit on its transfers (SO_RCVTIMEO, SO_SNDTIMEO) */
    bool answers;     /* a datagram socket at a granted address: may answer who writes to it */
    int fd;           /* -1 without one */
    uint32_t rights, inheriting;
    const char *preopen;    /* guest path of a granted directory */
    struct sv_vfs_dir *dir; /* positions of fd_readdir, made on first use */
    struct sv_vfs_tty tty;
};

enum sv_vfs_resolver { SV_VFS_OPENAT2_UNTRIED, SV_VFS_OPENAT2, SV_VFS_WALK };

struct sv_wasi {
    struct sv_vfs_file *files; /* inline_files or allocated */
    uint32_t nfiles, cap, max;
    uint32_t free_from; /* no free descriptor below */
    uint32_t installs;  /* descriptors put in since the start */
    uint8_t resolver;   /* enum sv_vfs_resolver */
    bool shared;        /* by threads: the table does not move any more */
    bool coarse_clock;
    struct sv_wasi_stream streams[3];
    size_t in_pos;        /* of a BYTES stream */
    uint64_t output_left; /* UINT64_MAX = no limit */
    /* Packed as the guest wants them: strings with their NULs, one after another. */
    uint32_t nargs, nenv, args_len, env_len;
    char *args, *env;
    struct sv_vfs_file inline_files[SV_WASI_FDS_INLINE];
};

/* errno of the host to the guest's. */
int sv_wasi_errno(int host_errno);
/* The same for the opening of a path, where EXDEV means that it leads outside. */
static inline int sv_wasi_path_errno(int host_errno)
{
    int e = host_errno == EXDEV ? SV_WASI_ENOTCAPABLE : sv_wasi_errno(host_errno);

    return e != 0 ? e : SV_WASI_EIO;
}

/* vfs.c: the table. A struct sv_vfs_file * is valid until the next sv_vfs_reserve; in a guest with
 * threads also until one that waits lets others go on (sv_vfs_wait), unless it is held. */
void sv_vfs_look(struct sv_vfs_file *); /* fill in a LAZY one */
int sv_vfs_lacking(const struct sv_vfs_file *,
                   uint32_t need);                      /* why `need` is not there: an errno */
int sv_vfs_reserve(struct sv_wasi *, uint32_t *ret_fd); /* a free descriptor; nothing to undo */
int sv_vfs_close(struct sv_wasi *,
                 uint32_t fd); /* closed in any case; the host's complaint as an errno */
/* Put an opened host descriptor (owned from now on) into reserved slot `fd`. */
int sv_vfs_install(struct sv_wasi *, uint32_t fd, int host_fd, const struct sv_vfs_file *like);
uint8_t sv_vfs_filetype(unsigned mode);
/* Threads of the guest are going to use the table. */
int sv_vfs_share(struct sv_err *err, struct sv_wasi *);
/* Hold a file while this thread waits for it: the host's descriptor stays open. drop: false when
 * the guest has closed it meanwhile. */
void sv_vfs_hold(struct sv_vfs_file *);
bool sv_vfs_drop(struct sv_vfs_file *);
/* Is there a file behind the guest's descriptor? */
static inline bool sv_vfs_is_open(const struct sv_wasi *w, uint32_t fd)
{
    return fd < w->nfiles && w->files[fd].kind > SV_VFS_CLOSED;
}

/* The file of a descriptor, with all rights of `need`: an errno. */
static inline int sv_vfs_find(struct sv_wasi *w, uint32_t fd, uint32_t need,
                              struct sv_vfs_file **ret)
{
    struct sv_vfs_file *f;

    *ret = NULL;
    if (!sv_vfs_is_open(w, fd))
        return SV_WASI_EBADF;
    f = &w->files[fd];
    if (f->kind == SV_VFS_LAZY)
        sv_vfs_look(f);
    if ((f->rights & need) != need) {
        int e = sv_vfs_lacking(f, need);
        return e != 0 ? e : SV_WASI_ENOTCAPABLE;
    }
    *ret = f;
    return 0;
}

/* sock.c: the same of a socket, with rights of its own to lack. */
int sv_vfs_find_socket(struct sv_wasi *, uint32_t fd, uint32_t need, struct sv_vfs_file **ret);

/* resolve.c: open `path` below dirfd, never outside: O_CLOEXEC always. The descriptor, or -errno
 * (EXDEV: outside). */
int sv_vfs_open_beneath(struct sv_wasi *, int dirfd, const char *path, int flags, unsigned mode);

/* io.c. Results of these: an errno, or negative when the guest ends. */
int sv_vfs_take_iovs(struct sv_call *, uint32_t ptr, uint32_t count, struct iovec *v,
                     size_t *ret_total);
/* offset < 0: at the file's own position. v is used up. */
int sv_vfs_read(struct sv_wasi *, struct sv_call *, struct sv_vfs_file *, struct iovec *v, int n,
                size_t total, int64_t offset, uint32_t *ret_len);
int sv_vfs_write(struct sv_wasi *, struct sv_call *, struct sv_vfs_file *, struct iovec *v, int n,
                 size_t total, int64_t offset, uint32_t *ret_len);
/* Around a system call that may raise `sig` in this thread; `raised`: it has. The embedder's
 * handler is not touched: the signal is blocked and taken back, unless one was pending already.
 * errno stays. */
struct sv_vfs_hold {
    sigset_t sig, old;
    bool was_pending;
};
void sv_vfs_hold_signal(struct sv_vfs_hold *, int sig);
void sv_vfs_drop_signal(struct sv_vfs_hold *, bool raised);
/* What to do after a failed system call: 0 = try again (after waiting), else an errno or negative.
 */
int sv_vfs_again(struct sv_call *, struct sv_vfs_file *, int host_errno, short events);

/* wait.c: wait for fds[0..n) (room for one more at [n]) or for timeout_ns (negative: for ever).
 * *ret_ready: how many are ready. 0, or negative when the guest was interrupted. Other threads of
 * the guest go on meanwhile: hold the files. */
int sv_vfs_wait(struct sv_thread *, struct pollfd *fds, unsigned n, int64_t timeout_ns,
                int *ret_ready);

/* poll.c: the two poll_oneoff. `wait` in place of sv_vfs_wait, of which it has the rules; NULL:
 * that.
 */
typedef int sv_vfs_wait_fn(void *arg, struct sv_thread *, struct pollfd *fds, unsigned n,
                           int64_t timeout_ns, int *ret_ready);
int sv_vfs_poll(struct sv_wasi *, struct sv_call *, const union sv_slot *arg, bool p0,
                sv_vfs_wait_fn *wait, void *wait_arg);

/* vfs.c: what a part (host/part.h) that adds kinds of descriptors gets of all this. */
struct sv_vfs_services {
    struct sv_wasi *(*of_store)(const struct sv_store *); /* NULL: the store has no WASI */
    int (*find_socket)(struct sv_wasi *, uint32_t fd, uint32_t need, struct sv_vfs_file **ret);
    int (*reserve)(struct sv_wasi *, uint32_t *ret_fd);
    int (*install)(struct sv_wasi *, uint32_t fd, int host_fd, const struct sv_vfs_file *like);
    int (*open_beneath)(struct sv_wasi *, int dirfd, const char *path, int flags, unsigned mode);
    int (*take_iovs)(struct sv_call *, uint32_t ptr, uint32_t count, struct iovec *v,
                     size_t *ret_total);
    int (*send)(struct sv_wasi *, struct sv_call *, const union sv_slot *arg); /* sock_send */
    int (*again)(struct sv_call *, struct sv_vfs_file *, int host_errno, short events);
    int (*wait)(struct sv_thread *, struct pollfd *fds, unsigned n, int64_t timeout_ns,
                int *ret_ready);
    int (*poll)(struct sv_wasi *, struct sv_call *, const union sv_slot *arg, bool p0,
                sv_vfs_wait_fn *wait, void *wait_arg);
    void (*hold)(struct sv_vfs_file *);
    bool (*drop)(struct sv_vfs_file *);
    int (*error)(int host_errno); /* sv_wasi_errno */
};
extern const struct sv_vfs_services sv_vfs_services;

/* tty.c: make `len` bytes harmless for a terminal; out has room for SV_VFS_TTY_GROWTH * (len + 4).
 * Returns the bytes made. */
#define SV_VFS_TTY_GROWTH 3
size_t sv_vfs_tty_filter(struct sv_vfs_tty *, const uint8_t *in, size_t len, uint8_t *out);

/* dir.c */
int sv_vfs_readdir(struct sv_call *, struct sv_vfs_file *, uint8_t *buf, uint32_t len,
                   uint64_t cookie, uint32_t *ret_used);
void sv_vfs_dir_delete(own struct sv_vfs_dir *);

/* attr.c */
void sv_vfs_filestat(const struct sv_wasi *, const struct stat *, struct sv_wasi_abi_filestat *ret);
/* To the guest, in the form of preview1 or of the snapshot before it: an errno. */
int sv_vfs_put_filestat(struct sv_call *, uint32_t ptr, const struct sv_wasi_abi_filestat *);
int sv_vfs_put_filestat_p0(struct sv_call *, uint32_t ptr, const struct sv_wasi_abi_filestat *);
/* times[2] for utimensat from the arguments of *_filestat_set_times: an errno. */
int sv_vfs_times(uint64_t atim, uint64_t mtim, uint32_t flags, struct timespec *ret_times);

/* The functions, one prototype each (wasi.def): an errno, or negative when the guest ends. */
#define FUNC(name, impl, eras, sig, cost, doc)                                                     \
    int sv_wasi_##impl(struct sv_wasi *, struct sv_call *, const union sv_slot *arg);
#include "host/wasi/wasi.def"
#undef FUNC

/* Copy out of guest memory, once: another thread of the guest may be writing there, and what is
 * checked must be what is used. */
static inline void sv_wasi_take(void *to, const void *from, size_t len)
{
    memcpy(to, from, len);
    __asm__ volatile("" : : "r"(to) : "memory");
}
static inline int sv_wasi_put_u32(struct sv_call *c, uint32_t ptr, uint32_t v)
{
    void *p;

    if (!sv_call_slice(c, ptr, sizeof v, &p))
        return SV_WASI_EFAULT;
    memcpy(p, &v, sizeof v);
    return 0;
}
static inline int sv_wasi_put_u64(struct sv_call *c, uint32_t ptr, uint64_t v)
{
    void *p;

    if (!sv_call_slice(c, ptr, sizeof v, &p))
        return SV_WASI_EFAULT;
    memcpy(p, &v, sizeof v);
    return 0;
}

#endif
