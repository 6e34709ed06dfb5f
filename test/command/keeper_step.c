/* Loaded into ssvm-keeper by test/unit/command/run.c: sends it a signal before one of its calls of
 * the C library. KEEPER_STEP is "ROLE CALL SIGNAL FILE": 0 is the process that was started, 1 its
 * child, 2 the child of that; CALL counts from 1; FILE gets the number of the process. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static int role, calls, at_role = -1, at_call, sig;
static char file[256];

__attribute__((constructor)) static void begin(void)
{
    const char *step = getenv("KEEPER_STEP");

    if (!step || strcmp(program_invocation_short_name, "ssvm-keeper") != 0 ||
        sscanf(step, "%d %d %d %255s", &at_role, &at_call, &sig, file) != 4)
        at_role = -1;
}

static void step(void)
{
    char text[16];
    int fd, n, e = errno;

    if (role != at_role || ++calls != at_call)
        return;
    fd = (int)syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    n = snprintf(text, sizeof text, "%d ", (int)syscall(SYS_getpid));
    syscall(SYS_write, fd, text, n);
    syscall(SYS_close, fd);
    syscall(SYS_kill, syscall(SYS_getpid), sig);
    errno = e;
}

#pragma GCC visibility push(default)
/* A call of the library's, with a step before it. */
#define STEP(type, name, params, args)                                                             \
    type name params;                                                                              \
    type name params                                                                               \
    {                                                                                              \
        static type(*next) params;                                                                 \
                                                                                                   \
        if (!next)                                                                                 \
            *(void **)&next = dlsym(RTLD_NEXT, #name);                                             \
        step();                                                                                    \
        return next args;                                                                          \
    }

STEP(pid_t, setsid, (void), ())
STEP(pid_t, getppid, (void), ())
STEP(int, sigprocmask, (int how, const sigset_t *set, sigset_t *old), (how, set, old))
STEP(int, signalfd, (int fd, const sigset_t *set, int flags), (fd, set, flags))
STEP(int, chdir, (const char *path), (path))
STEP(int, close, (int fd), (fd))
STEP(int, poll, (struct pollfd * fds, nfds_t n, int ms), (fds, n, ms))
STEP(ssize_t, read, (int fd, void *to, size_t n), (fd, to, n))
STEP(ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n))
STEP(pid_t, waitpid, (pid_t pid, int *status, int flags), (pid, status, flags))
STEP(int, kill, (pid_t pid, int number), (pid, number))
STEP(int, nanosleep, (const struct timespec *t, struct timespec *left), (t, left))
STEP(int, execv, (const char *path, char *const argv[]), (path, argv))

int prctl(int option, ...);
int prctl(int option, ...)
{
    static int (*next)(int, ...);
    unsigned long arg[4];
    va_list list;

    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "prctl");
    va_start(list, option);
    for (int i = 0; i < 4; i++)
        arg[i] = va_arg(list, unsigned long);
    va_end(list);
    step();
    return next(option, arg[0], arg[1], arg[2], arg[3]);
}

pid_t fork(void);
pid_t fork(void)
{
    static pid_t (*next)(void);
    pid_t pid;

    if (!next)
        *(void **)&next = dlsym(RTLD_NEXT, "fork");
    step();
    pid = next();
    if (pid == 0) {
        role++;
        calls = 0;
        step();
    }
    return pid;
}
#pragma GCC visibility pop
