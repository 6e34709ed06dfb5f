/* Processes. When which one is started is supervise.c's. */
#include "serve/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/alloc.h"
#include "platform/jail.h"

/* ---- Users ---- */

bool srv_user_find(struct srv_user *user, const char *name)
{
    const struct passwd *entry;

    *user = (struct srv_user){.given = false};
    if (strcmp(name, "none") == 0)
        return true;
    if (geteuid() != 0) {
        fprintf(stderr, "ssvm-serve: option '--user': only root can become somebody else\n");
        return false;
    }
    entry = getpwnam(name);
    if (!entry || strlen(name) >= sizeof user->name) {
        fprintf(stderr, "ssvm-serve: option '--user': there is no user '%s'\n", name);
        return false;
    }
    user->given = true;
    user->uid = entry->pw_uid;
    user->gid = entry->pw_gid;
    snprintf(user->name, sizeof user->name, "%s", name);
    return true;
}

bool srv_user_become(const struct srv_user *user)
{
    return !user->given || (initgroups(user->name, user->gid) == 0 && setgid(user->gid) == 0 &&
                            setuid(user->uid) == 0);
}

/* ---- Programs ---- */

void srv_process_init(struct srv_process *p, const char *program, int program_fd)
{
    *p = (struct srv_process){.program = program, .program_fd = program_fd};
    srv_process_arg(p, "%s", program);
}

void srv_process_release(struct srv_process *p)
{
    for (unsigned i = 0; i < p->nargs; i++)
        free(p->args[i]);
}

void srv_process_arg(struct srv_process *p, const char *fmt, ...)
{
    va_list ap;

    if (p->nargs == SRV_PROCESS_ARGS) {
        p->failed = true;
        return;
    }
    va_start(ap, fmt);
    if (vasprintf(&p->args[p->nargs], fmt, ap) < 0)
        p->failed = true;
    else
        p->nargs++;
    va_end(ap);
}

void srv_process_fd(struct srv_process *p, int fd)
{
    if (fd >= 0 && p->nfds < SRV_PROCESS_FDS)
        p->fds[p->nfds++] = fd;
}

/* In the child: nothing of the parent's but what a program expects. */
static bool become_child(const struct srv_user *user, pid_t parent, const sigset_t *blocked)
{
    signal(SIGINT, SIG_IGN); /* a terminal's go to all of us: they are for the supervisor */
    signal(SIGHUP, SIG_IGN);
    /* Another user's process forgets whose death it is to die of: after the change. */
    if (sigprocmask(SIG_SETMASK, blocked, NULL) < 0 || !srv_user_become(user) ||
        prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
        return false;
    return getppid() == parent;
}

/* fork, for a child of that user in which no signal is blocked; what cannot be that ends here. */
static pid_t fork_as(const struct srv_user *user, pid_t *ret_parent)
{
    pid_t pid;
    sigset_t none;

    *ret_parent = getpid();
    pid = fork();
    if (pid != 0)
        return pid;
    sigemptyset(&none);
    if (!become_child(user, *ret_parent, &none))
        _exit(EXIT_FAILURE);
    return 0;
}

#define ENV_KEPT 16
#define LIBRARY_FD 3 /* where ssvm-nn has its socket: host/nn/wire.h */

/* No standard stream that others use, and of the environment what a program needs to run. */
static bool give_nothing(char *env[ENV_KEPT + 1])
{
    static const char *const kept[] = {
        "PATH=",         "HOME=",          "TZ=",  "LANG=", "LD_LIBRARY_PATH=", "ASAN_OPTIONS=",
        "TSAN_OPTIONS=", "UBSAN_OPTIONS=", "SSVM_"};
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    unsigned n = 0;

    for (char **e = environ; *e; e++) {
        for (size_t i = 0; i < SV_COUNT(kept) && n < ENV_KEPT; i++) {
            if (strncmp(*e, kept[i], strlen(kept[i])) == 0)
                env[n++] = *e;
        }
    }
    env[n] = NULL;
#ifdef SSVM_SANITIZED /* they have something to say */
    return fd >= 0;
#endif
    return fd >= 0 && dup2(fd, STDIN_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0 &&
           dup2(fd, STDERR_FILENO) >= 0;
}

static void exec_program(const struct srv_process *p, const struct srv_user *user, pid_t parent,
                         const sigset_t *blocked)
{
    bool ok = become_child(user, parent, blocked);
    char *env[ENV_KEPT + 1];

    for (unsigned i = 0; ok && i < p->nfds; i++)
        ok = fcntl(p->fds[i], F_SETFD, 0) == 0;
    if (p->silent)
        ok = ok && dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO) >= 0;
    if (p->bare)
        ok = ok && give_nothing(env);
    if (ok && p->program_fd >= 0)
        execveat(p->program_fd, "", p->args, p->bare ? env : environ, AT_EMPTY_PATH);
    else if (ok)
        execv(p->program, p->args);
    fprintf(stderr, "ssvm-serve: cannot start '%s': %s\n", p->program, strerror(errno));
    _exit(EXIT_FAILURE);
}

pid_t srv_process_start(const struct srv_process *p, const struct srv_user *user)
{
    pid_t parent = getpid(), pid;
    sigset_t blocked, before;

    if (p->failed) {
        errno = ENOMEM;
        return -1;
    }
    sigemptyset(&blocked);
    if (p->patient) {
        sigaddset(&blocked, SIGTERM);
        sigaddset(&blocked, SIGUSR1);
    }
    sigprocmask(SIG_BLOCK, &blocked, &before); /* the child has it from its first instant on */
    pid = fork();
    if (pid == 0)
        exec_program(p, user, parent, &blocked);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return pid;
}

/* ---- Compilers ---- */

static void exec_compiler(const char *program, const char *cache, const char *form,
                          const char *loop, pid_t parent, const int fds[3])
{
    char here[PATH_MAX], lib[PATH_MAX + 32], starter[16];
    const char *slash = strrchr(program, '/');
    const char *const read[] = {here, lib, NULL}, *const write[] = {cache, NULL};
    const struct plat_jail jail = {.read = read, .write = write, .processes = true};

    snprintf(here, sizeof here, "%.*s", (int)(slash - program), program);
    snprintf(lib, sizeof lib, "%s/../lib/ssvm", here);
    snprintf(starter, sizeof starter, "%d", (int)parent);
    for (int i = 0; i < 3; i++) {
        if (dup2(fds[i], i) < 0)
            _exit(EXIT_FAILURE);
    }
    setsid();
    if (plat_jail_enter(NULL, &jail) == 0)
        execl(program, program, "compile", "--fill-cache", cache ? cache : "none", "--form", form,
              "--loop", loop, "--starter", starter, "-", (char *)NULL);
    _exit(EXIT_FAILURE);
}

pid_t srv_process_compile(const char *program, const struct srv_user *user, const char *cache,
                          const char *form, const char *loop, const int fds[3])
{
    pid_t parent, pid = fork_as(user, &parent);

    if (pid == 0)
        exec_compiler(program, cache, form, loop, parent, fds);
    return pid;
}

/* ---- Libraries ---- */

static void exec_library(char *const argv[], const char *folder, int end)
{
    const char *path = getenv("LD_LIBRARY_PATH");
    char temporary[PATH_MAX], libraries[PATH_MAX];
    char *env[] = {temporary, NULL, NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    snprintf(temporary, sizeof temporary, "TMPDIR=%s", folder);
    if (path && snprintf(libraries, sizeof libraries, "LD_LIBRARY_PATH=%s", path) < PATH_MAX)
        env[1] = libraries;
    for (int i = 0; i < LIBRARY_FD; i++) {
        if (dup2(null, i) < 0)
            _exit(EXIT_FAILURE);
    }
    if (end == LIBRARY_FD ? fcntl(end, F_SETFD, 0) == 0 : dup2(end, LIBRARY_FD) >= 0)
        execve(argv[0], argv, env);
    _exit(EXIT_FAILURE);
}

pid_t srv_process_library(const char *program, const struct srv_user *user, const char *plugin,
                          const char *library, const char *device, const char *folder, int end)
{
    char *const argv[] = {(char *)program, (char *)plugin, (char *)library, (char *)device, NULL};
    pid_t parent, pid = fork_as(user, &parent);

    if (pid == 0)
        exec_library(argv, folder, end);
    return pid;
}

bool srv_process_find(const char *name, char *path, size_t size)
{
    /* From the folder of our own executable: in a build tree, then installed. */
    static const char *const places[] = {"", "../../bin/"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    self[n > 0 ? n : 0] = '\0';
    slash = strrchr(self, '/');
    for (size_t i = 0; slash && i < sizeof places / sizeof places[0]; i++) {
        snprintf(path, size, "%.*s%s%s", (int)(slash + 1 - self), self, places[i], name);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}
