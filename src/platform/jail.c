/* The jail of the server's processes. Threads and programs that it starts inherit it. */
#include "platform/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/filter.h"
#include "base/landlock.h"

/* ---- Files ---- */

static bool confine_files(const struct plat_jail *jail)
{
    static const char *const system[] = {"/usr",           "/lib",
                                         "/lib64",         "/etc/ld.so.cache",
                                         "/etc/localtime", "/proc/self",
                                         "/proc/cpuinfo",  "/proc/meminfo",
                                         "/proc/stat",     "/sys/devices/system/cpu",
                                         "/dev/urandom",   "/dev/random"};
    int rules = sv_landlock_new();
    bool ok = true;

    if (rules < 0)
        return errno == ENOSYS || errno == EOPNOTSUPP; /* an old system, or switched off */
    for (size_t i = 0; ok && i < SV_COUNT(system); i++)
        ok = sv_landlock_allow(rules, system[i], SV_LANDLOCK_READ);
    ok = ok &&
         sv_landlock_allow(rules, "/dev/null", SV_LANDLOCK_READ | LANDLOCK_ACCESS_FS_WRITE_FILE);
    if (jail->devices)
        ok = ok &&
             sv_landlock_allow(rules, "/dev", SV_LANDLOCK_READ | LANDLOCK_ACCESS_FS_WRITE_FILE);
    for (size_t i = 0; ok && jail->read && jail->read[i]; i++)
        ok = sv_landlock_allow(rules, jail->read[i], SV_LANDLOCK_READ);
    for (size_t i = 0; ok && jail->write && jail->write[i]; i++)
        ok = sv_landlock_allow(rules, jail->write[i],
                               SV_LANDLOCK_READ | SV_LANDLOCK_WRITE |
                                   (jail->links ? LANDLOCK_ACCESS_FS_MAKE_SYM : 0));
    ok = ok && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    close(rules);
    return ok;
}

bool plat_jail_has_files(void)
{
    return syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0;
}

/* ---- System calls ---- */

static bool confine_calls(const struct plat_jail *jail)
{
    struct sv_filter f;

    sv_filter_begin(&f);
    sv_filter_refuse(&f);
    if (jail->processes) {
        SV_FILTER_ADD(&f, SV_FILTER_RETURN(SECCOMP_RET_ALLOW));
    } else {
        sv_filter_alone(&f);
        sv_filter_own_only(&f);
        sv_filter_end(&f, SECCOMP_RET_ALLOW);
    }
    return sv_filter_enter(&f);
}

/* grace: how much more it may have before the kernel kills without a word. */
static void limit(__rlimit_resource_t what, uint64_t most, uint64_t grace)
{
    struct rlimit l;

    if (getrlimit(what, &l) != 0)
        return;
    l.rlim_cur = l.rlim_cur < most ? l.rlim_cur : most;
    l.rlim_max = l.rlim_cur + grace < l.rlim_max ? l.rlim_cur + grace : l.rlim_max;
    setrlimit(what, &l);
}

int plat_jail_enter(struct sv_err *err, const struct plat_jail *jail)
{
    limit(RLIMIT_CORE, 0, 0);
#ifndef SSVM_SANITIZED /* whose shadow is far more */
    if (jail->data_bytes)
        limit(RLIMIT_DATA, jail->data_bytes, 0);
#endif
    if (jail->cpu_seconds)
        limit(RLIMIT_CPU, jail->cpu_seconds, 1); /* SIGXCPU tells it from what others kill */
    if (jail->file_bytes)
        limit(RLIMIT_FSIZE, jail->file_bytes, 0);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || !confine_files(jail) || !confine_calls(jail))
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "the process cannot be confined: %s",
                       strerror(errno));
    return 0;
}
