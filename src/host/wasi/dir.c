/* Listing an open directory with cookies that stay right while entries come and go, in bounded
 * memory. Cookies are small numbers (the count of entries before), as wasi-libc's telldir keeps 32
 * bits; the host's own positions are kept here. */
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "host/wasi/vfs.h"

#define HOST_BUF 8192 /* bytes of one getdents64 */

struct recent {
    uint64_t cookie;
    int64_t pos;
};
struct sv_vfs_dir {
    /* The last ones exactly: a program that removes what it lists goes on from there. */
    struct recent recent[SV_WASI_DIR_RECENT];
    /* Older ones every 1 << shift entries: marks[i] is the position of cookie i << shift. */
    uint32_t nmarks, cap_marks, shift;
    int64_t *marks;
};

void sv_vfs_dir_delete(own struct sv_vfs_dir *d)
{
    if (!d)
        return;
    sv_free(d->marks);
    sv_free(d);
}

/* Keep every other mark. */
static void thin_marks(struct sv_vfs_dir *d)
{
    uint32_t i;

    for (i = 0; i * 2 < d->nmarks; i++)
        d->marks[i] = d->marks[i * 2];
    d->nmarks = i;
    d->shift++;
}

static void note(struct sv_vfs_dir *d, uint64_t cookie, int64_t pos)
{
    d->recent[cookie % SV_WASI_DIR_RECENT] = (struct recent){cookie, pos};
    if (d->nmarks == SV_WASI_DIR_MARKS)
        thin_marks(d);
    if (cookie != (uint64_t)d->nmarks << d->shift)
        return;
    if (d->nmarks == d->cap_marks) {
        uint32_t cap = d->cap_marks ? d->cap_marks * 2 : 64;
        int64_t *marks = sv_realloc(d->marks, cap * sizeof *marks);
        if (!marks)
            return; /* slower to find, that is all */
        d->marks = marks;
        d->cap_marks = cap;
    }
    d->marks[d->nmarks++] = pos;
}

/* The nearest known position at or before `cookie`. */
static int64_t nearest(const struct sv_vfs_dir *d, uint64_t cookie, uint64_t *ret_cookie)
{
    const struct recent *r = &d->recent[cookie % SV_WASI_DIR_RECENT];
    uint64_t i = cookie >> d->shift;

    *ret_cookie = 0;
    if (cookie == 0)
        return 0;
    if (r->cookie == cookie) {
        *ret_cookie = cookie;
        return r->pos;
    }
    if (d->nmarks == 0)
        return 0;
    if (i >= d->nmarks)
        i = d->nmarks - 1;
    *ret_cookie = i << d->shift;
    return d->marks[i];
}

static uint8_t entry_type(int fd, const struct dirent64 *e)
{
    static const uint8_t types[] = {
        [DT_REG] = SV_WASI_TYPE_REGULAR, [DT_DIR] = SV_WASI_TYPE_DIRECTORY,
        [DT_LNK] = SV_WASI_TYPE_SYMLINK, [DT_CHR] = SV_WASI_TYPE_CHARACTER,
        [DT_BLK] = SV_WASI_TYPE_BLOCK,   [DT_SOCK] = SV_WASI_TYPE_SOCKET,
    };
    struct stat st;

    /* Some file systems leave it to stat. */
    if (e->d_type == DT_UNKNOWN && fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
        return sv_vfs_filetype(st.st_mode);
    return e->d_type < sizeof types ? types[e->d_type] : SV_WASI_TYPE_UNKNOWN;
}

/* What of the guest's buffer is filled. */
struct out {
    uint8_t *buf;
    uint32_t len, used;
};

static void put(struct out *o, const void *bytes, size_t len)
{
    size_t room = o->len - o->used;

    if (len > room)
        len = room;
    memcpy(o->buf + o->used, bytes, len);
    o->used += (uint32_t)len;
}

/* Entries of one getdents64; those before cookie `from` are passed over. Returns the cookie
 * reached. */
static uint64_t put_entries(struct sv_vfs_file *f, struct out *o, const char *buf, size_t n,
                            uint64_t at, uint64_t from)
{
    size_t i;

    for (i = 0; i < n && o->used < o->len;) {
        const struct dirent64 *e = (const struct dirent64 *)(const void *)(buf + i);
        struct sv_wasi_abi_dirent d = {.next = at + 1, .ino = e->d_ino};

        i += e->d_reclen;
        if (at >= from) {
            d.name_len = (uint32_t)strlen(e->d_name);
            d.filetype = entry_type(f->fd, e);
            put(o, &d, sizeof d);
            put(o, e->d_name, d.name_len);
        }
        at++;
        note(f->dir, at, e->d_off);
    }
    return at;
}

int sv_vfs_readdir(struct sv_call *c, struct sv_vfs_file *f, uint8_t *buf, uint32_t len,
                   uint64_t cookie, uint32_t *ret_used)
{
    char host[HOST_BUF] __attribute__((aligned(8)));
    struct out o = {buf, len, 0};
    uint64_t at;
    int64_t pos;

    if (!f->dir) {
        f->dir = sv_alloc_zero(sizeof *f->dir);
        if (!f->dir)
            return SV_WASI_ENOMEM;
    }
    if (cookie == 0) {
        /* From the start: the directory may be another one by now. */
        memset(f->dir->recent, 0, sizeof f->dir->recent);
        f->dir->nmarks = f->dir->shift = 0;
        note(f->dir, 0, 0);
    }
    pos = nearest(f->dir, cookie, &at);
    if (lseek(f->fd, pos, SEEK_SET) < 0)
        return sv_wasi_errno(errno);
    while (o.used < o.len) {
        ssize_t n = getdents64(f->fd, host, sizeof host);

        if (!sv_thread_ok(c->th))
            return sv_thread_interrupted(c->th);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sv_wasi_errno(errno);
        if (n == 0)
            break;
        at = put_entries(f, &o, host, (size_t)n, at, cookie);
    }
    *ret_used = o.used;
    return 0;
}
