/* The side of ssvm-keeper (keeper.h) that asks: starts it, feeds it, reads what comes. */
#include "command/run.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/library.h"
#include "command/keeper.h"

#define PATH_SIZE 4096
#define READ_BYTES 65536
#define END_NS 10000000000 /* for the keeper to end all; beyond, it is killed itself */
#define AGAIN_NS 100000000 /* between two calls to go on, meanwhile */
#define FD_LEAST 16        /* ends for the keeper: above its KEEPER_FD */

/* Descriptors that we hold: of the command's input, output, errors, and of the keeper. */
enum end { IN, OUT, ERR, KEEPER, ENDS };

struct run {
    const struct cmd_request *r;
    int ours[ENDS], theirs[ENDS]; /* -1: closed */
    pid_t keeper;
    size_t fed; /* of the input */
    bool ending, over;
    uint64_t end_ns; /* of ending */
    int why;         /* it ends before its time; 0: by itself */
    int status;
    char buffer[READ_BYTES];
};

static void close_end(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* ---- The start ---- */

/* Ends of a pipe or of a socket, theirs out of the way of what they become. */
static bool place(int ours, int theirs, int *ret_ours, int *ret_theirs)
{
    *ret_ours = ours;
    *ret_theirs = fcntl(theirs, F_DUPFD_CLOEXEC, FD_LEAST);
    close(theirs);
    return *ret_theirs >= 0;
}

static int open_ends(struct sv_err *err, struct run *run)
{
    for (int i = 0; i < ENDS; i++) {
        int fds[2], r;

        if (i == KEEPER)
            r = socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds);
        else
            r = pipe2(fds, O_CLOEXEC);
        if (r == 0 && i == IN)
            r = place(fds[1], fds[0], &run->ours[i], &run->theirs[i]) ? 0 : -1;
        else if (r == 0)
            r = place(fds[0], fds[1], &run->ours[i], &run->theirs[i]) ? 0 : -1;
        if (r < 0 || fcntl(run->ours[i], F_SETFL, O_NONBLOCK) < 0)
            return sv_fail(err, SV_EIO, SV_NO_OFFSET, "no streams for a command: %s",
                           strerror(errno));
    }
    return 0;
}

/* Signals as they are at the start of a program. */
static int set_attributes(posix_spawnattr_t *attributes)
{
    sigset_t set;
    int r;

    sigemptyset(&set);
    r = posix_spawnattr_setsigmask(attributes, &set);
    sigfillset(&set);
    if (r == 0)
        r = posix_spawnattr_setsigdefault(attributes, &set);
    return r ? r
             : posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
}

static int spawn(struct run *run, const char *program, char **argv)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int r = posix_spawn_file_actions_init(&actions);

    if (r)
        return r;
    r = posix_spawnattr_init(&attributes);
    if (r == 0) {
        r = set_attributes(&attributes);
        for (int i = 0; i < ENDS && r == 0; i++)
            r = posix_spawn_file_actions_adddup2(&actions, run->theirs[i], i);
        if (r == 0)
            r = posix_spawn(&run->keeper, program, &actions, &attributes, argv,
                            (char **)run->r->env);
        posix_spawnattr_destroy(&attributes);
    }
    posix_spawn_file_actions_destroy(&actions);
    return r;
}

static int start(struct sv_err *err, struct run *run)
{
    const struct cmd_request *r = run->r;
    char found[PATH_SIZE];
    const char *program = r->keeper;
    size_t nargs = 0;
    const char **argv;
    int e;

    if (!program && !sv_library_find(KEEPER_PROGRAM, found, sizeof found))
        return sv_fail(err, SV_EIO, SV_NO_OFFSET,
                       "%s, which runs native commands, is not beside this program or in "
                       "../libexec/ssvm",
                       KEEPER_PROGRAM);
    while (r->args[nargs])
        nargs++;
    argv = sv_alloc_array_zero(nargs + KEEPER_ARG_COMMAND + 1, sizeof *argv);
    if (!argv)
        return sv_fail_nomem(err, "a command");
    argv[KEEPER_ARG_SELF] = KEEPER_PROGRAM;
    argv[KEEPER_ARG_FOLDER] = r->folder ? r->folder : "";
    argv[KEEPER_ARG_PATH] = r->path;
    memcpy(argv + KEEPER_ARG_COMMAND, r->args, nargs * sizeof *argv);
    e = spawn(run, program ? program : found, (char **)argv);
    sv_free(argv);
    if (e)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "'%.200s' cannot be started: %s", r->path,
                       strerror(e));
    for (int i = 0; i < ENDS; i++)
        close_end(&run->theirs[i]);
    return 0;
}

/* ---- The streams ---- */

static void feed(struct run *run)
{
    const char *input = run->r->input;

    while (run->fed < run->r->input_len) {
        ssize_t n = write(run->ours[IN], input + run->fed, run->r->input_len - run->fed);

        if (n < 0 && errno == EAGAIN)
            return;
        if (n < 0 && errno != EINTR)
            break; /* it does not want more */
        run->fed += n > 0 ? (size_t)n : 0;
    }
    close_end(&run->ours[IN]);
}

/* To the keeper's two processes: the first leads a group from its first steps on. */
static void signal_keeper(const struct run *run, int sig)
{
    (void)kill(run->keeper, sig);
    (void)kill(-run->keeper, sig);
}

/* End it all, for this reason; the keeper says when it is done. */
static void stop(struct run *run, int why)
{
    if (run->ending)
        return;
    run->ending = true;
    run->why = why;
    run->end_ns = sv_clock_ns() + END_NS;
    close_end(&run->ours[IN]);
    (void)shutdown(run->ours[KEEPER], SHUT_WR);
}

static void drain(struct run *run, enum end end)
{
    ssize_t n = read(run->ours[end], run->buffer, sizeof run->buffer);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0)
        close_end(&run->ours[end]);
    else if (!run->why && !run->r->put(run->r->data, end == ERR, run->buffer, (size_t)n))
        stop(run, SV_ELIMIT);
}

static void hear(struct run *run)
{
    int status;
    ssize_t n = read(run->ours[KEEPER], &status, sizeof status);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    run->over = true;
    if (n == (ssize_t)sizeof status)
        run->status = status;
    else
        run->why = run->why ? run->why : SV_EINVALID;
}

/* ---- The run ---- */

/* ns that one wait may take; -1: no end; 0: time is up. */
static int64_t time_left(const struct run *run)
{
    uint64_t until = run->ending ? run->end_ns : run->r->deadline_ns, now = sv_clock_ns();

    if (until == UINT64_MAX)
        return -1;
    return until > now ? (int64_t)(until - now) : 0;
}

static int plain_wait(struct pollfd *fds, unsigned n, int64_t timeout_ns)
{
    struct timespec t = {.tv_sec = timeout_ns / 1000000000, .tv_nsec = timeout_ns % 1000000000};
    int r = ppoll(fds, n, timeout_ns < 0 ? NULL : &t, NULL);

    return r < 0 && errno != EINTR ? SV_EIO : 0;
}

/* One wait and what it brings. */
static void turn(struct run *run)
{
    struct pollfd fds[ENDS + 1]; /* and one for whoever waits */
    int64_t left = time_left(run);
    unsigned n = 0;
    int at[ENDS], r;

    if (left == 0 && run->ending) {
        signal_keeper(run, SIGKILL); /* with which the command dies, too */
        run->over = true;
        return;
    }
    if (left == 0)
        return stop(run, SV_EEXIT);
    if (run->ending) { /* somebody may have stopped it */
        signal_keeper(run, SIGCONT);
        left = left < AGAIN_NS ? left : AGAIN_NS;
    }
    for (int i = 0; i < ENDS; i++) {
        at[i] = -1;
        if (run->ours[i] < 0)
            continue;
        at[i] = (int)n;
        fds[n++] = (struct pollfd){.fd = run->ours[i], .events = i == IN ? POLLOUT : POLLIN};
    }
    /* Who waits for the end of all is not to be given up. */
    r = run->r->wait && !run->ending ? run->r->wait(run->r->data, fds, n, left)
                                     : plain_wait(fds, n, left);
    if (r < 0)
        return stop(run, r);
    if (at[IN] >= 0 && fds[at[IN]].revents)
        feed(run);
    for (int i = OUT; i <= ERR; i++)
        if (at[i] >= 0 && fds[at[i]].revents)
            drain(run, i);
    if (fds[at[KEEPER]].revents)
        hear(run);
}

/* What is in the pipes still when nobody is left who writes. */
static void drain_rest(struct run *run)
{
    for (int i = OUT; i <= ERR; i++) {
        ssize_t n = 1;

        while (run->ours[i] >= 0 && !run->why && n > 0) {
            n = read(run->ours[i], run->buffer, sizeof run->buffer);
            if (n > 0 && !run->r->put(run->r->data, i == ERR, run->buffer, (size_t)n))
                run->why = SV_ELIMIT;
            if (n < 0 && errno == EINTR)
                n = 1;
        }
    }
}

/* A command that has closed its input is no reason for a signal of ours. */
static void run_quietly(struct run *run)
{
    const struct timespec now = {0};
    sigset_t pipe, old, pending;

    sigemptyset(&pipe);
    sigaddset(&pipe, SIGPIPE);
    sigpending(&pending);
    pthread_sigmask(SIG_BLOCK, &pipe, &old);
    while (!run->over)
        turn(run);
    drain_rest(run);
    if (!sigismember(&pending, SIGPIPE))
        while (sigtimedwait(&pipe, NULL, &now) < 0 && errno == EINTR)
            ;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

int cmd_run(struct sv_err *err, const struct cmd_request *r, int *ret)
{
    struct run *run = sv_alloc_zero(sizeof *run);
    int result;

    if (!run)
        return sv_fail_nomem(err, "a command");
    run->r = r;
    run->keeper = -1;
    for (int i = 0; i < ENDS; i++)
        run->ours[i] = run->theirs[i] = -1;
    result = open_ends(err, run);
    if (result == 0)
        result = start(err, run);
    if (result == 0) {
        run_quietly(run);
        result = run->why;
        *ret = run->status;
    }
    for (int i = 0; i < ENDS; i++) {
        close_end(&run->ours[i]);
        close_end(&run->theirs[i]);
    }
    if (run->keeper > 0) {
        /* It has nothing to do any more, but may be stopped. */
        (void)kill(run->keeper, SIGKILL);
        while (waitpid(run->keeper, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    if (result == SV_EINVALID)
        (void)sv_fail(err, result, SV_NO_OFFSET, "what ran '%.200s' died", r->path);
    sv_free(run);
    return result;
}

int cmd_exit_code(int s)
{
    return (int8_t)(WIFEXITED(s) ? WEXITSTATUS(s) : 128 + WTERMSIG(s));
}
