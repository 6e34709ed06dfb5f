/* The jail: Landlock and limits as for all processes that meet hostile bytes (platform/jail.c), and
 * of the system calls only those that serving needs. */
#include "serve/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/filter.h"
#include "platform/jail.h"

#define READ_MAX 16

/* ---- System calls ---- */

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define FOREIGN_ABI 0x40000000u /* x32 numbers */
#else
#define ARCH AUDIT_ARCH_AARCH64
#define FOREIGN_ABI UINT32_MAX
#endif

/* What is allowed. Some are not there on all machines: their numbers are left out. */
static const int allowed[] = {
    /* connections and channels that are there; no new ones but by accept */
    SYS_read,
    SYS_write,
    SYS_readv,
    SYS_writev,
    SYS_pread64,
    SYS_pwrite64,
    SYS_preadv,
    SYS_pwritev,
    SYS_recvfrom,
    SYS_recvmsg,
    SYS_sendto,
    SYS_sendmsg,
    SYS_sendfile,
    SYS_accept4,
    SYS_shutdown,
    SYS_getsockopt,
    SYS_getsockname,
    SYS_getpeername,
    SYS_close,
    SYS_ioctl,
    SYS_fcntl,
    SYS_dup,
    SYS_dup3,
    SYS_lseek,
    SYS_epoll_create1,
    SYS_epoll_ctl,
    SYS_epoll_pwait,
    SYS_ppoll,
    SYS_pselect6,
    SYS_eventfd2,
    SYS_pipe2,
    /* files, as Landlock allows */
    SYS_openat,
    SYS_openat2,
    SYS_fstat,
    SYS_newfstatat,
    SYS_statx,
    SYS_faccessat,
    SYS_faccessat2,
    SYS_readlinkat,
    SYS_getdents64,
    SYS_statfs,
    SYS_fstatfs,
    SYS_getcwd,
    SYS_memfd_create,
    SYS_ftruncate,
    SYS_fallocate,
    SYS_fadvise64,
    SYS_flock,
    SYS_fsync,
    SYS_fdatasync,
    SYS_mkdirat,
    SYS_unlinkat,
    SYS_renameat2,
    SYS_linkat,
    SYS_utimensat, /* the cache tries */
    /* memory */
    SYS_mmap,
    SYS_munmap,
    SYS_mprotect,
    SYS_madvise,
    SYS_mremap,
    SYS_brk,
    SYS_msync,
    SYS_mincore,
    SYS_mlock,
    SYS_munlock,
    SYS_membarrier,
    SYS_set_mempolicy,
    SYS_get_mempolicy,
    /* threads, time, signals to ourselves */
    SYS_futex,
    SYS_set_robust_list,
    SYS_get_robust_list,
    SYS_set_tid_address,
    SYS_sched_yield,
    SYS_sched_getaffinity,
    SYS_sched_getparam,
    SYS_sched_getscheduler,
    SYS_getpriority,
    SYS_setpriority, /* pool.c; RLIMIT_NICE is the limit */
    SYS_gettid,
    SYS_getpid,
    SYS_getppid,
    SYS_getuid,
    SYS_geteuid,
    SYS_getgid,
    SYS_getegid,
    SYS_nanosleep,
    SYS_clock_nanosleep,
    SYS_clock_gettime,
    SYS_clock_getres,
    SYS_gettimeofday,
    SYS_times,
    SYS_timer_create,
    SYS_timer_settime,
    SYS_timer_delete,
    SYS_timer_gettime,
    SYS_rt_sigaction,
    SYS_rt_sigprocmask,
    SYS_rt_sigreturn,
    SYS_rt_sigtimedwait,
    SYS_rt_sigpending,
    SYS_sigaltstack,
    SYS_restart_syscall,
    SYS_exit,
    SYS_exit_group,
    SYS_prctl,
    SYS_getrlimit,
    SYS_getrusage,
    SYS_sysinfo,
    SYS_uname,
    SYS_getrandom,
    SYS_getcpu,
#ifdef SYS_rseq
    SYS_rseq,
#endif
#ifdef SYS_close_range
    SYS_close_range,
#endif
#ifdef SYS_epoll_pwait2
    SYS_epoll_pwait2,
#endif
#ifdef SYS_process_madvise
    SYS_process_madvise,
#endif
#ifdef __x86_64__ /* forms of the above that newer machines have not */
    SYS_open,
    SYS_stat,
    SYS_lstat,
    SYS_access,
    SYS_readlink,
    SYS_poll,
    SYS_select,
    SYS_epoll_wait,
    SYS_epoll_create,
    SYS_eventfd,
    SYS_dup2,
    SYS_pipe,
    SYS_accept,
    SYS_time,
    SYS_arch_prctl,
    SYS_unlink,
    SYS_rename,
    SYS_mkdir,
    SYS_link,
#else
    SYS_accept,
#endif
};

/* Whoever closes a socket that lingers waits for its peer, for as long as it says: a thread of ours
 * beyond its deadline, or the supervisor and control, to which any message brings descriptors. */
static void refuse_linger(struct sv_filter *f)
{
    SV_FILTER_ADD(f, SV_FILTER_SKIP_UNLESS(SYS_setsockopt, 6), SV_FILTER_LOAD(args[1]),
                  SV_FILTER_SKIP_UNLESS(SOL_SOCKET, 3), SV_FILTER_LOAD(args[2]),
                  SV_FILTER_SKIP_UNLESS(SO_LINGER, 1),
                  SV_FILTER_RETURN(SV_FILTER_ERRNO(ENOPROTOOPT)),
                  SV_FILTER_RETURN(SECCOMP_RET_ALLOW));
}

/* The kernel remembers which numbers are allowed whatever the arguments (a bitmap), so the length
 * of the list costs nothing. */
static bool confine_calls(void)
{
    struct sv_filter f;

    sv_filter_begin(&f);
    refuse_linger(&f);
    sv_filter_list(&f, allowed, SV_COUNT(allowed), SECCOMP_RET_ALLOW);
    sv_filter_own_only(&f);
    sv_filter_end(&f, SV_FILTER_ERRNO(EPERM));
    return sv_filter_enter(&f);
}

/* ---- Files ---- */

struct paths {
    const char *list[READ_MAX + 1];
    own char *owned[READ_MAX];
    unsigned n;
};

/* The place itself, wherever links lead to it. */
static void add_path(struct paths *p, const char *folder, const char *name)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof path, "%s%s", folder, name);

    if (p->n < READ_MAX && n > 0 && (size_t)n < sizeof path &&
        (p->owned[p->n] = realpath(path, NULL))) {
        p->list[p->n] = p->owned[p->n];
        p->n++;
    }
}

/* Of a file that may be replaced, links on the way included. */
static void add_folder(struct paths *p, const char *file)
{
    const char *slash = strrchr(file, '/');
    char path[PATH_MAX];

    snprintf(path, sizeof path, "%.*s", slash ? (int)(slash - file) : 1, slash ? file : ".");
    add_path(p, path[0] ? path : "/", "");
    snprintf(path, sizeof path, "%s", file);
    if (p->n < READ_MAX && (p->owned[p->n] = realpath(path, NULL))) {
        slash = strrchr(p->owned[p->n], '/');
        p->owned[p->n][slash == p->owned[p->n] ? 1 : slash - p->owned[p->n]] = '\0';
        p->list[p->n] = p->owned[p->n];
        p->n++;
    }
}

static bool lies_in(const char *path, const char *folder)
{
    char real[PATH_MAX];
    size_t n;

    if (!path[0] || !realpath(folder, real))
        return false;
    n = strlen(real);
    return strncmp(path, real, n) == 0 && (path[n] == '/' || path[n] == '\0' || real[n - 1] == '/');
}

/* Where our own libraries lie: beside the program, or in the installation that it is part of. */
static void add_own(struct paths *p)
{
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    self[n > 0 ? n : 0] = '\0';
    slash = strrchr(self, '/');
    if (!slash)
        return;
    *slash = '\0';
    add_path(p, self, "");
    add_path(p, self, "/../../lib/ssvm");
}

/* Where backends of inference may put what they show their library by a name; no other folder can
 * be written to. NULL: there is none, and such a backend says so when it is used. */
static const char *scratch_folder(const struct srv_server *server, char path[PATH_MAX])
{
    const char *base = getenv("TMPDIR");
    struct stat st;

    if (server->data[0])
        snprintf(path, PATH_MAX, "%.*s/tmp", PATH_MAX - 8, server->data);
    else
        snprintf(path, PATH_MAX, "%.*s/ssvm-serve-%u", PATH_MAX - 32, base && *base ? base : "/tmp",
                 (unsigned)geteuid());
    if ((mkdir(path, 0700) < 0 && errno != EEXIST) || lstat(path, &st) < 0 ||
        !S_ISDIR(st.st_mode) || st.st_uid != geteuid() || (st.st_mode & 077))
        return NULL;
    return setenv("TMPDIR", path, 1) == 0 ? path : NULL;
}

/* DIR. Links lead anywhere; and where the data folder lies in DIR, with its keys, DIR is closed:
 * the supervisor then sees to it when one of these is replaced. */
static void add_served(struct paths *p, const struct srv_server *server)
{
    const char *dir = server->config.dir;

    if (!lies_in(server->data, dir))
        add_path(p, dir, "");
    add_path(p, dir, "/site");
    add_path(p, dir, "/functions");
}

bool srv_jail_enter(const struct srv_server *server, const char *cache_dir)
{
    const struct srv_config *config = &server->config;
    bool inference = !server->tenant && strcmp(config->nn, "none") != 0; /* in this process */
    struct paths read = {.n = 0};
    char scratch[PATH_MAX];
    const char *write[] = {NULL, NULL};
    struct plat_jail jail = {.read = read.list,
                             .write = write,
                             .links = inference,
                             .devices = inference && strcmp(config->nn_device, "cpu") != 0,
                             .processes = inference && config->nn_isolate};
    struct sv_err err = {0};
    bool ok;

#ifdef SSVM_SANITIZED
    return true; /* sanitizers ask for what no worker does */
#endif
    if (config->no_jail)
        return true;
    if (!server->tenant)
        add_served(&read, server);
    if (server->data[0]) {
        add_path(&read, server->data, "/blobs");
        add_path(&read, server->data, "/sites");
    }
    if (cache_dir)
        add_path(&read, cache_dir, "");
    if (server->tls) { /* new ones are taken while we run */
        add_folder(&read, config->tls_cert);
        add_folder(&read, config->tls_key);
    }
    add_own(&read);
    if (inference) { /* its libraries, models and devices are anywhere */
        add_path(&read, "/", "");
        write[0] = scratch_folder(server, scratch);
    }
    ok = plat_jail_enter(&err, &jail) == 0;
    for (unsigned i = 0; i < read.n; i++)
        free(read.owned[i]);
    if (ok && !inference && !confine_calls())
        ok = sv_fail(&err, SV_EIO, SV_NO_OFFSET, "the process cannot be confined: %s",
                     strerror(errno)) == 0;
    if (!ok)
        fprintf(stderr, "ssvm-serve: %s (--no-jail leaves it out)\n", err.text);
    return ok;
}

/* ---- Trying to get out ---- */

static bool can_open(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static bool can_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    return pid > 0 && waitpid(pid, NULL, 0) == pid;
}

static bool may_linger(void)
{
    struct linger linger = {1, 1};

    return setsockopt(0, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0 ||
           errno != ENOPROTOOPT;
}

int srv_jail_try(const struct srv_server *server)
{
    char *const program[] = {(char *)"/bin/true", NULL}, *const none[] = {NULL};
    char key[PATH_MAX + 16];
    struct {
        const char *what;
        bool possible, wanted;
    } tries[] = {
        {"read /etc/passwd", can_open("/etc/passwd", O_RDONLY), false},
        {"list /", can_open("/", O_RDONLY | O_DIRECTORY), false},
        {"write into /tmp", can_open("/tmp/ssvm-jail-test", O_WRONLY | O_CREAT), false},
        {"a TCP socket", socket(AF_INET, SOCK_STREAM, 0) >= 0, false},
        {"a Unix socket", socket(AF_UNIX, SOCK_STREAM, 0) >= 0, false},
        {"a packet socket", socket(AF_PACKET, SOCK_RAW, 0) >= 0, false},
        {"fork", can_fork(), false},
        {"ptrace", ptrace(PTRACE_CONT, getppid(), NULL, NULL) == 0 || errno != EPERM, false},
        {"signal the parent", kill(getppid(), 0) == 0, false},
        {"signal a thread of the parent", syscall(SYS_tkill, getppid(), 0) == 0, false},
        {"signal everybody", kill(-1, 0) == 0, false},
        {"change another's limits",
         syscall(SYS_prlimit64, getppid(), RLIMIT_NOFILE, NULL, &(struct rlimit){0}) == 0, false},
        {"make a close wait", may_linger(), false},
        {"signal ourselves", kill(getpid(), 0) == 0, true},
        {"io_uring", syscall(SYS_io_uring_setup, 1, (char[256]){0}) >= 0, false},
        {"bpf", syscall(SYS_bpf, 0, NULL, 0) >= 0, false},
        {"new privileges", prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 0, false},
        {"/dev/null", can_open("/dev/null", O_WRONLY), true},
    };
    bool ok = true;

    snprintf(key, sizeof key, "%s/lock", server->data);
    if (server->data[0] && can_open(key, O_RDONLY)) {
        printf("can open the data folder\n");
        ok = false;
    }
    for (size_t i = 0; i < SV_COUNT(tries); i++) {
        printf("%s %s\n", tries[i].possible ? "can" : "cannot", tries[i].what);
        ok = ok && tries[i].possible == tries[i].wanted;
    }
    fflush(stdout);
    execve(program[0], program, none);
    printf("cannot exec\n");
    fflush(stdout);
    return ok ? 0 : EXIT_FAILURE;
}
