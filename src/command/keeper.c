/* ssvm-keeper: runs one native command and leaves nothing of it behind. Knows nothing of guests;
 * what may run was decided before (allow.h). libc alone.
 *
 * There are two of it, so that one is left to end it all when the other is killed: the first was
 * started by whoever asks and answers him; the second is its child, and the command's parent. What
 * loses its parent becomes the second's, and the first's when that is gone. */
#include "command/keeper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/filter.h"
#include "base/landlock.h"

#define CHILDREN_BYTES 4096
#define PAUSE_NS 1000000

/* ---- Confined ---- */

/* Files: the system's programs and what they read, the program's folder, and its own to write. */
static bool confine(const char *folder, const char *program)
{
    static const char *const system[] = {"/usr",
                                         "/bin",
                                         "/sbin",
                                         "/lib",
                                         "/lib64",
                                         "/opt",
                                         "/dev/urandom",
                                         "/dev/random",
                                         "/dev/zero",
                                         "/etc/ld.so.cache",
                                         "/etc/passwd",
                                         "/etc/group",
                                         "/etc/fonts",
                                         "/etc/hosts",
                                         "/etc/alternatives",
                                         "/etc/localtime",
                                         "/etc/ssl/certs",
                                         "/proc/cpuinfo",
                                         "/proc/meminfo",
                                         "/proc/stat",
                                         "/etc/nsswitch.conf"};
    const char *slash = strrchr(program, '/');
    char beside[4096];
    int rules = sv_landlock_new();
    bool ok = true;

    if (rules < 0)
        return errno == ENOSYS || errno == EOPNOTSUPP; /* an old system, or switched off */
    for (size_t i = 0; ok && i < sizeof system / sizeof system[0]; i++)
        ok = sv_landlock_allow(rules, system[i], SV_LANDLOCK_READ);
    ok = ok && sv_landlock_allow(rules, "/dev/null", SV_LANDLOCK_READ | SV_LANDLOCK_WRITE) &&
         sv_landlock_allow(rules, folder, SV_LANDLOCK_READ | SV_LANDLOCK_WRITE);
    if (slash && slash > program) {
        snprintf(beside, sizeof beside, "%.*s", (int)(slash - program), program);
        ok = ok && sv_landlock_allow(rules, beside, SV_LANDLOCK_READ);
    }
    ok = ok && syscall(SYS_landlock_restrict_self, rules, 0) == 0;
    close(rules);
    return ok;
}

/* Who watches it is out of its reach: without its keepers, what the command has started would live.
 * -1 is everybody, a negative number the group, which the first keeper leads. Programs of a 32-bit
 * architecture end. */
static bool guard(pid_t first, pid_t second)
{
    static const struct {
        int call;
        unsigned arg; /* the process */
    } reach[] = {{SYS_kill, 0},
                 {SYS_tkill, 0},
                 {SYS_tgkill, 0},
                 {SYS_rt_sigqueueinfo, 0},
                 {SYS_rt_tgsigqueueinfo, 0},
                 {SYS_prlimit64, 0},
                 {SYS_process_vm_writev, 0},
                 {SYS_ptrace, 1}};
    static const int by_descriptor[] = {
#ifdef SYS_pidfd_send_signal
        SYS_pidfd_send_signal,
#endif
#ifdef SYS_pidfd_getfd
        SYS_pidfd_getfd,
#endif
        -1};
    const uint32_t all = UINT32_MAX, group = (uint32_t)-first;
    struct sv_filter f;

    sv_filter_begin(&f);
    for (size_t i = 0; i < sizeof reach / sizeof reach[0]; i++)
        SV_FILTER_ADD(&f, SV_FILTER_SKIP_UNLESS((uint32_t)reach[i].call, 7),
                      SV_FILTER_LOAD(args[reach[i].arg]), SV_FILTER_SKIP_IF((uint32_t)first, 4),
                      SV_FILTER_SKIP_IF((uint32_t)second, 3), SV_FILTER_SKIP_IF(group, 2),
                      SV_FILTER_SKIP_IF(all, 1), SV_FILTER_RETURN(SECCOMP_RET_ALLOW),
                      SV_FILTER_RETURN(SV_FILTER_ERRNO(EPERM)));
    sv_filter_list(&f, by_descriptor, sizeof by_descriptor / sizeof by_descriptor[0],
                   SV_FILTER_ERRNO(ENOSYS));
    /* The signal of a descriptor goes to whom its owner names. */
    SV_FILTER_ADD(&f, SV_FILTER_SKIP_UNLESS(SYS_fcntl, 3), SV_FILTER_LOAD(args[1]),
                  SV_FILTER_SKIP_UNLESS(F_SETSIG, 1), SV_FILTER_RETURN(SV_FILTER_ERRNO(EPERM)),
                  SV_FILTER_RETURN(SECCOMP_RET_ALLOW));
    return sv_filter_enter(&f);
}

/* ---- The command ---- */

static void close_from(int first)
{
#ifdef SYS_close_range
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0U) == 0)
        return;
#endif
    struct rlimit limit = {0};

    (void)getrlimit(RLIMIT_NOFILE, &limit);
    for (int fd = first; (rlim_t)fd < limit.rlim_cur && fd < 1 << 20; fd++)
        close(fd);
}

static _Noreturn void become(char **argv, pid_t first, pid_t second)
{
    sigset_t none;

    /* Killed with its keeper, by whoever. */
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != second)
        _exit(KEEPER_FAILED);
    if (*argv[KEEPER_ARG_FOLDER] && !confine(argv[KEEPER_ARG_FOLDER], argv[KEEPER_ARG_PATH])) {
        dprintf(2, "'%s' cannot be confined: %s\n", argv[KEEPER_ARG_PATH], strerror(errno));
        _exit(KEEPER_FAILED);
    }
    (void)setsid();
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    close_from(KEEPER_FD);
    if (!guard(first, second)) {
        dprintf(2, "'%s' cannot be confined: %s\n", argv[KEEPER_ARG_PATH], strerror(errno));
        _exit(KEEPER_FAILED);
    }
    execv(argv[KEEPER_ARG_PATH], argv + KEEPER_ARG_COMMAND);
    dprintf(2, "'%s' cannot be executed: %s\n", argv[KEEPER_ARG_PATH], strerror(errno));
    _exit(KEEPER_FAILED);
}

/* ---- The end ---- */

/* Kill every child, and every group that one leads. */
static void kill_children(pid_t self)
{
    char path[64], text[CHILDREN_BYTES];
    ssize_t n;
    int fd;

    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)self);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    for (char *p = text, *end; *p; p = end) {
        long pid = strtol(p, &end, 10);

        if (end == p)
            break;
        /* A number that was cut off at the end of the buffer is not one. */
        if (pid > 1 && *end == ' ') {
            (void)kill((pid_t)-pid, SIGKILL);
            (void)kill((pid_t)pid, SIGKILL);
        }
    }
}

/* Until no descendant is left: those whose parent dies become children of this process. */
static void end_all(pid_t child, int *status)
{
    const struct timespec pause = {.tv_nsec = PAUSE_NS};
    pid_t self = getpid(), pid;
    int s;

    for (;;) {
        kill_children(self);
        while ((pid = waitpid(-1, &s, WNOHANG)) > 0) {
            if (pid == child)
                *status = s;
        }
        if (pid < 0 && errno != EINTR)
            return;
        (void)nanosleep(&pause, NULL);
    }
}

/* True: the child has ended. */
static bool reap(pid_t child, int *status)
{
    bool ended = false;
    pid_t pid;
    int s;

    while ((pid = waitpid(-1, &s, WNOHANG)) > 0) {
        if (pid == child) {
            *status = s;
            ended = true;
        }
    }
    return ended;
}

/* Until the child ends, whoever asked is gone or wants the end, or the parent is another one. */
static void watch(pid_t child, pid_t parent, int signals, int *status)
{
    struct pollfd fds[] = {{.fd = KEEPER_FD, .events = POLLIN}, {.fd = signals, .events = POLLIN}};
    struct signalfd_siginfo info;

    for (;;) {
        if (poll(fds, 2, -1) < 0)
            continue;
        if (fds[1].revents && read(signals, &info, sizeof info) > 0 &&
            (reap(child, status) || getppid() != parent))
            return;
        if (fds[0].revents)
            return;
    }
}

/* ---- The keepers ---- */

/* All signals come here; -1: not so. */
static int take_signals(void)
{
    sigset_t set;

    sigfillset(&set);
    (void)sigprocmask(SIG_SETMASK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* They are the command's alone. */
static void close_streams(void)
{
    for (int fd = 0; fd < KEEPER_FD; fd++)
        close(fd);
}

/* *ret_status: how the command ended, of waitpid. Exit status 0: it is there. */
static _Noreturn void keep_second(char **argv, pid_t first, int *ret_status)
{
    int status = KEEPER_FAILED << 8, signals;
    pid_t self = getpid(), command;

    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || prctl(PR_SET_PDEATHSIG, SIGHUP) < 0 ||
        getppid() != first)
        _exit(1);
    signals = take_signals();
    if (signals < 0)
        _exit(1);
    command = fork();
    if (command == 0)
        become(argv, first, self);
    close_streams();
    if (command > 0) {
        watch(command, first, signals, &status);
        end_all(command, &status);
    }
    *ret_status = status;
    _exit(0);
}

int main(int argc, char **argv)
{
    pid_t self = getpid(), parent = getppid(), second;
    int signals, ended = 0, *status;

    if (argc <= KEEPER_ARG_COMMAND || fcntl(KEEPER_FD, F_SETFD, FD_CLOEXEC) < 0) {
        fprintf(stderr, "%s is started by ssvm, to run a native command for a guest\n",
                KEEPER_PROGRAM);
        return 2;
    }
    close_from(KEEPER_FD + 1);
    (void)setsid(); /* no signal of a terminal */
    /* Not dumpable: nobody of the same user reaches its memory. */
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_DUMPABLE, 0) < 0)
        return 1;
    signals = take_signals();
    status = mmap(NULL, sizeof *status, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (signals < 0 || status == MAP_FAILED)
        return 1;
    if (*argv[KEEPER_ARG_FOLDER] && chdir(argv[KEEPER_ARG_FOLDER]) < 0) {
        dprintf(2, "'%s': %s\n", argv[KEEPER_ARG_FOLDER], strerror(errno));
        return 1;
    }
    *status = KEEPER_FAILED << 8;
    second = fork();
    if (second == 0)
        keep_second(argv, self, status);
    close_streams();
    if (second > 0) {
        watch(second, parent, signals, &ended);
        end_all(second, &ended);
    }
    /* Of a second that was killed it is not known how the command ended. */
    if (ended != 0)
        return 1;
    (void)!write(KEEPER_FD, status, sizeof *status);
    return 0;
}
