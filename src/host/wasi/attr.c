/* Attributes of files: the guest's form of them, and times to set. */
#include "host/wasi/vfs.h"

static uint64_t file_ns(const struct sv_wasi *w, const struct timespec *ts)
{
    uint64_t ns;

    if (ts->tv_sec < 0)
        return 0;
    if (__builtin_mul_overflow((uint64_t)ts->tv_sec, 1000000000u, &ns) ||
        __builtin_add_overflow(ns, (uint64_t)ts->tv_nsec, &ns))
        return UINT64_MAX;
    /* A file that is touched and looked at is a clock, too. */
    return w->coarse_clock ? ns - ns % 1000000u : ns;
}

void sv_vfs_filestat(const struct sv_wasi *w, const struct stat *st,
                     struct sv_wasi_abi_filestat *ret)
{
    memset(ret, 0, sizeof *ret);
    ret->dev = st->st_dev;
    ret->ino = st->st_ino;
    ret->filetype = sv_vfs_filetype(st->st_mode);
    ret->nlink = st->st_nlink;
    ret->size = (uint64_t)st->st_size;
    ret->atim = file_ns(w, &st->st_atim);
    ret->mtim = file_ns(w, &st->st_mtim);
    ret->ctim = file_ns(w, &st->st_ctim);
}

int sv_vfs_put_filestat(struct sv_call *c, uint32_t ptr, const struct sv_wasi_abi_filestat *s)
{
    void *to;

    if (!sv_call_slice(c, ptr, sizeof *s, &to))
        return SV_WASI_EFAULT;
    memcpy(to, s, sizeof *s);
    return 0;
}

int sv_vfs_put_filestat_p0(struct sv_call *c, uint32_t ptr, const struct sv_wasi_abi_filestat *s)
{
    struct sv_wasi_abi_filestat_p0 old;
    void *to;

    if (!sv_call_slice(c, ptr, sizeof old, &to))
        return SV_WASI_EFAULT;
    memset(&old, 0, sizeof old);
    old.dev = s->dev;
    old.ino = s->ino;
    old.filetype = s->filetype;
    old.nlink = s->nlink > UINT32_MAX ? UINT32_MAX : (uint32_t)s->nlink;
    old.size = s->size;
    old.atim = s->atim;
    old.mtim = s->mtim;
    old.ctim = s->ctim;
    memcpy(to, &old, sizeof old);
    return 0;
}

static struct timespec time_to_set(uint64_t ns, bool set, bool now)
{
    if (now)
        return (struct timespec){.tv_nsec = UTIME_NOW};
    if (!set)
        return (struct timespec){.tv_nsec = UTIME_OMIT};
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u),
                             .tv_nsec = (long)(ns % 1000000000u)};
}

int sv_vfs_times(uint64_t atim, uint64_t mtim, uint32_t flags, struct timespec *ret_times)
{
    const uint32_t both_a = SV_WASI_FST_ATIM | SV_WASI_FST_ATIM_NOW;
    const uint32_t both_m = SV_WASI_FST_MTIM | SV_WASI_FST_MTIM_NOW;

    if ((flags & ~(uint32_t)SV_WASI_FST_ALL) || (flags & both_a) == both_a ||
        (flags & both_m) == both_m)
        return SV_WASI_EINVAL;
    ret_times[0] = time_to_set(atim, flags & SV_WASI_FST_ATIM, flags & SV_WASI_FST_ATIM_NOW);
    ret_times[1] = time_to_set(mtim, flags & SV_WASI_FST_MTIM, flags & SV_WASI_FST_MTIM_NOW);
    return 0;
}
