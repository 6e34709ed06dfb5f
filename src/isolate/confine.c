/* Landlock for files, seccomp for what else the kernel does for a process, limits. Threads inherit
 * it; there are none yet. */
#include "isolate/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/filter.h"
#include "base/landlock.h"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PATH_SIZE 4096
#define DATA_MAX ((rlim_t)8 << 30)
#define FILES_MAX 256

/* ---- Files ---- */

/* In its own folder. */
#define WRITE (SV_LANDLOCK_WRITE | LANDLOCK_ACCESS_FS_MAKE_SYM)

/* The folder of a library, as named and as it really is: its parts lie beside it. */
static bool allow_library(int rules, const char *path)
{
    char real[PATH_SIZE], *slash;
    struct stat st;

    if (stat(path, &st) != 0 || !realpath(path, real))
        return true; /* opening it will tell */
    if (S_ISDIR(st.st_mode))
        return sv_landlock_allow(rules, path, SV_LANDLOCK_READ);
    slash = strrchr(real, '/');
    *slash = '\0';
    if (!sv_landlock_allow(rules, *real ? real : "/", SV_LANDLOCK_READ))
        return false;
    snprintf(real, sizeof real, "%s", path);
    slash = strrchr(real, '/');
    if (!slash)
        return true;
    *slash = '\0';
    return sv_landlock_allow(rules, *real ? real : "/", SV_LANDLOCK_READ);
}

static bool allow_search_path(int rules)
{
    const char *at = getenv("LD_LIBRARY_PATH"), *end;
    char folder[PATH_SIZE];
    bool ok = true;

    for (; ok && at && *at; at = *end ? end + 1 : NULL) {
        end = strchrnul(at, ':');
        if (end > at && (size_t)(end - at) < sizeof folder) {
            snprintf(folder, sizeof folder, "%.*s", (int)(end - at), at);
            ok = sv_landlock_allow(rules, folder, SV_LANDLOCK_READ);
        }
    }
    return ok;
}

static bool confine_files(const char *library, const char *plugin, bool devices)
{
    static const char *const system[] = {"/usr",       "/lib",          "/lib64",
                                         "/opt",       "/sys",          "/etc/ld.so.cache",
                                         "/proc/self", "/proc/cpuinfo", "/proc/meminfo",
                                         "/proc/stat", "/proc/sys",     "/dev/urandom",
                                         "/dev/random"};
    /* Where drivers tell what there is. */
    static const char *const drivers[] = {"/proc/devices", "/proc/driver", "/proc/modules"};
    const char *folder = getenv("TMPDIR");
    int rules = sv_landlock_new();
    bool ok = true;

    if (rules < 0)
        return errno == ENOSYS || errno == EOPNOTSUPP; /* an old system, or switched off */
    for (size_t i = 0; ok && i < COUNT(system); i++)
        ok = sv_landlock_allow(rules, system[i], SV_LANDLOCK_READ);
    ok = ok &&
         sv_landlock_allow(rules, "/dev/null", SV_LANDLOCK_READ | LANDLOCK_ACCESS_FS_WRITE_FILE);
    if (folder && *folder)
        ok = ok && sv_landlock_allow(rules, folder, SV_LANDLOCK_READ | WRITE);
    for (size_t i = 0; ok && devices && i < COUNT(drivers); i++)
        ok = sv_landlock_allow(rules, drivers[i], SV_LANDLOCK_READ);
    if (devices)
        ok = ok &&
             sv_landlock_allow(rules, "/dev", SV_LANDLOCK_READ | LANDLOCK_ACCESS_FS_WRITE_FILE);
    ok = ok && allow_library(rules, plugin) && (!library || allow_library(rules, library)) &&
         allow_search_path(rules) && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    close(rules);
    return ok;
}

/* ---- System calls ---- */

/* Refused as well: sockets that others open or hand over. */
static const int refused[] = {SYS_socketpair, SYS_accept, SYS_accept4, SYS_setpriority};

static bool confine_calls(void)
{
    struct sv_filter f;

    sv_filter_begin(&f);
    sv_filter_refuse(&f);
    sv_filter_alone(&f);
    sv_filter_list(&f, refused, COUNT(refused), SV_FILTER_ERRNO(EPERM));
    sv_filter_own_only(&f);
    sv_filter_end(&f, SECCOMP_RET_ALLOW);
    return sv_filter_enter(&f);
}

static void limit(__rlimit_resource_t what, rlim_t most)
{
    struct rlimit l;

    if (getrlimit(what, &l) != 0)
        return;
    l.rlim_cur = l.rlim_cur < most ? l.rlim_cur : most;
    l.rlim_max = l.rlim_cur;
    setrlimit(what, &l);
}

bool confine(const char *library, const char *plugin, bool devices)
{
    limit(RLIMIT_CORE, 0);
    limit(RLIMIT_NOFILE, FILES_MAX);
#ifndef SSVM_SANITIZED /* whose shadow is far more */
    limit(RLIMIT_DATA, DATA_MAX);
#endif
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && confine_files(library, plugin, devices) &&
           confine_calls();
}
