/* WASI preview1 as a host module: the table of functions, and a store's state made from the grant.
 * Not the functions themselves. */
#include <fcntl.h>
#include <unistd.h>

#include "host/wasi/vfs.h"

/* Bits of sv_host_func.names: positions in the module's list of names. */
enum { P1 = 1 << 0, P0 = 1 << 1 };

/* One C signature for the linker around each function. */
#define FUNC(name, impl, eras, sig, cost, doc)                                                     \
    static int call_##impl(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)        \
    {                                                                                              \
        int e = sv_wasi_##impl(c->data, c, arg);                                                   \
        if (e < 0)                                                                                 \
            return e;                                                                              \
        ret->i32 = (uint32_t)e;                                                                    \
        return 0;                                                                                  \
    }
#include "host/wasi/wasi.def"
#undef FUNC

static const struct sv_host_func wasi_funcs[] = {
#define FUNC(name, impl, eras, sig, cost, doc) {#name, call_##impl, sig, cost, doc, eras},
#include "host/wasi/wasi.def"
#undef FUNC
};

int sv_wasi_errno(int host_errno)
{
    switch (host_errno) {
    case 0:
        return 0;
#define ERRNO(name, number)                                                                        \
    case E##name:                                                                                  \
        return SV_WASI_E##name;
#include "host/wasi/errno.def"
#undef ERRNO
    default:
        return SV_WASI_EIO;
    }
}

/* Bytes that n strings take with their NULs; false when that is more than a guest may get. */
static bool packed_len(const char *const *list, size_t n, size_t *ret)
{
    size_t sum = 0, i;

    if (n > SV_WASI_ARGS_BYTES_MAX)
        return false;
    for (i = 0; i < n; i++) {
        sum += strlen(list[i]) + 1;
        if (sum > SV_WASI_ARGS_BYTES_MAX)
            return false;
    }
    *ret = sum;
    return true;
}

static char *pack(const char *const *list, size_t n, char *to)
{
    size_t i, len;

    for (i = 0; i < n; i++) {
        len = strlen(list[i]) + 1;
        memcpy(to, list[i], len);
        to += len;
    }
    return to;
}

static void open_stream(struct sv_wasi *w, unsigned i, const struct sv_wasi_stream *s)
{
    struct sv_vfs_file *f = &w->files[i];

    w->streams[i] = *s;
    f->fd = -1;
    f->stream = (uint8_t)i;
    f->output = i > 0;
    f->rights = SV_WASI_RIGHTS_ANY | (i > 0 ? SV_WASI_RIGHT_WRITE : SV_WASI_RIGHT_READ);
    f->kind = SV_VFS_NULL;
    switch (s->kind) {
    case SV_WASI_STREAM_INHERIT:
    case SV_WASI_STREAM_FD:
        f->kind = SV_VFS_LAZY;
        f->fd = s->kind == SV_WASI_STREAM_FD ? s->fd : (int)i;
        /* Asked of the terminal itself when it is first used. */
        f->is_tty = s->kind == SV_WASI_STREAM_INHERIT;
        break;
    case SV_WASI_STREAM_BYTES:
        f->kind = i == 0 ? SV_VFS_BYTES : SV_VFS_NULL;
        break;
    case SV_WASI_STREAM_CALLBACK:
        f->kind = SV_VFS_CALLBACK;
        break;
    default:
        break;
    }
}

/* The guest's name of the directory is kept behind the arguments, in the same allocation. */
static int open_dir(struct sv_err *err, struct sv_wasi *w, const struct sv_wasi_dir *d,
                    const char *guest)
{
    static const int flags = O_DIRECTORY | O_CLOEXEC | O_NOCTTY;
    struct sv_vfs_file *f;
    uint32_t slot;
    int fd;

    if (sv_vfs_reserve(w, &slot) != 0)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "too many directories for %u descriptors",
                       w->max);
    fd = open(d->host, O_RDONLY | flags);
    /* A directory that may be searched but not listed. */
    if (fd < 0 && errno == EACCES)
        fd = open(d->host, O_PATH | flags);
    if (fd < 0)
        return sv_fail(err, errno == ENOENT ? SV_ENOTFOUND : SV_EIO, SV_NO_OFFSET,
                       "cannot open directory '%s': %s", d->host, strerrordesc_np(errno));
    f = &w->files[slot];
    memset(f, 0, sizeof *f);
    f->kind = SV_VFS_DIR;
    f->filetype = SV_WASI_TYPE_DIRECTORY;
    f->owned = true;
    f->readonly = d->readonly;
    f->fd = fd;
    f->preopen = guest;
    f->rights = SV_WASI_RIGHTS_DIR;
    f->inheriting = SV_WASI_RIGHTS_DIR | SV_WASI_RIGHTS_FILE;
    return 0;
}

static void wasi_close(void *state)
{
    struct sv_wasi *w = state;
    uint32_t i;

    if (!w)
        return;
    for (i = 0; i < w->nfiles; i++)
        sv_vfs_close(w, i);
    if (w->files != w->inline_files)
        sv_free(w->files);
    sv_free(w);
}

static int wasi_open(struct sv_err *err, struct sv_store *store, const void *grant,
                     void **ret_state)
{
    const struct sv_wasi_grant *g = grant;
    size_t args_len, env_len, names_len = 0, i;
    struct sv_wasi *w;
    char *at;
    int r;

    if (!packed_len(g->args, g->nargs, &args_len))
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "too many arguments for the guest");
    if (!packed_len(g->env, g->nenv, &env_len))
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "too many variables for the guest");
    for (i = 0; i < g->ndirs; i++) {
        size_t len = strlen(g->dirs[i].guest);
        if (len >= SV_WASI_PATH_MAX)
            return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "guest path of directory '%s' is too long",
                           g->dirs[i].host);
        names_len += len + 1;
    }
    w = sv_alloc(sizeof *w + args_len + env_len + names_len);
    if (!w)
        return sv_fail_nomem(err, "wasi state");
    memset(w, 0, sizeof *w);
    w->files = w->inline_files;
    w->cap = SV_WASI_FDS_INLINE;
    w->max = g->max_fds ? g->max_fds : SV_WASI_FDS_DEFAULT;
    if (w->max < 3)
        w->max = 3;
    w->coarse_clock = g->coarse_clock;
    store->fine_clock = !g->coarse_clock;
    w->output_left = g->max_output ? g->max_output : UINT64_MAX;
    w->nfiles = w->free_from = 3;
    open_stream(w, 0, &g->in);
    open_stream(w, 1, &g->out);
    open_stream(w, 2, &g->err);
    w->nargs = (uint32_t)g->nargs;
    w->nenv = (uint32_t)g->nenv;
    w->args_len = (uint32_t)args_len;
    w->env_len = (uint32_t)env_len;
    w->args = (char *)(w + 1);
    w->env = pack(g->args, g->nargs, w->args);
    at = pack(g->env, g->nenv, w->env);
    for (i = 0; i < g->ndirs; i++) {
        const char *name = at;
        at = pack(&g->dirs[i].guest, 1, at);
        r = open_dir(err, w, &g->dirs[i], name);
        if (r < 0)
            goto fail;
    }
    *ret_state = w;
    return 0;
fail:
    wasi_close(w);
    return r;
}

static const char *wasi_holds(const void *state)
{
    const struct sv_wasi *w = state;

    for (uint32_t i = 3; i < w->nfiles; i++)
        if (sv_vfs_is_open(w, i) && !w->files[i].preopen)
            return "an open file";
    return NULL;
}

static int wasi_share(struct sv_err *err, void *state)
{
    return sv_vfs_share(err, state);
}

const struct sv_host_module sv_host_wasi = {
    .id = "wasi",
    .grant = "--dir GUEST:HOST[:ro], --env K=V",
    .names = {{"wasi_snapshot_preview1", ""}, {"wasi_unstable", ""}},
    .funcs = wasi_funcs,
    .nfuncs = SV_COUNT(wasi_funcs),
    .open = wasi_open,
    .close = wasi_close,
    .holds = wasi_holds,
    .share = wasi_share,
};
