/* Running native commands while their keeper is stopped or killed, at each step of what it does:
 * the run ends, nothing of the command is left, no descriptor and no process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "command/run.h"

#define INPUT_BYTES 300000 /* more than a pipe holds */
#define OUTPUT_BYTES 200000
#define PATIENCE_NS 120000000000
#define STEPS_MAX 1000

/* What leaves its group and what does not, input, output, an end; 9 is a fifo of ours, which all of
 * it has open. */
static const char ends[] = "exec 9>\"$FIFO\"; sleep 1000 & (setsid sleep 1000 &); "
                           "wc -c; head -c 200000 /dev/zero; exit 7";
static const char stays[] = "exec 9>\"$FIFO\"; (setsid sleep 1000 &); sleep 1000";

static char folder[] = "/tmp/ssvm-command-XXXXXX", fifo[64], reached[64];
static char input[INPUT_BYTES];
static int fifo_fd;

static struct run {
    size_t got[2];
    char first[16]; /* of the output */
    bool give_up_when_stopped;
    int result, status;
    struct sv_err err;
} run;

static bool put(void *data, bool error, const void *bytes, size_t len)
{
    (void)data;
    if (!error && run.got[0] < sizeof run.first - 1)
        memcpy(run.first + run.got[0], bytes,
               len < sizeof run.first - 1 - run.got[0] ? len : sizeof run.first - 1 - run.got[0]);
    run.got[error] += len;
    return true;
}

/* The process that has come to the step: 0, none yet. */
static int who_reached(void)
{
    FILE *f = fopen(reached, "re");
    int pid = 0;

    if (!f)
        return 0;
    if (fscanf(f, "%d", &pid) != 1 || fgetc(f) != ' ')
        pid = 0;
    fclose(f);
    return pid;
}

static bool is_stopped(int pid)
{
    char path[64], state = 0;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    f = fopen(path, "re");
    if (!f)
        return false;
    if (fscanf(f, "%*d (%*[^)]) %c", &state) != 1)
        state = 0;
    fclose(f);
    return state == 'T';
}

static int wait_for(void *data, struct pollfd *fds, unsigned n, int64_t timeout_ns)
{
    struct timespec piece = {.tv_nsec = 5000000};
    int pid = run.give_up_when_stopped ? who_reached() : 0;

    (void)data;
    if (pid && is_stopped(pid))
        return SV_EEXIT;
    if (timeout_ns >= 0 && timeout_ns < piece.tv_nsec)
        piece.tv_nsec = timeout_ns;
    return ppoll(fds, n, &piece, NULL) < 0 && errno != EINTR ? SV_EIO : 0;
}

static unsigned descriptors(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* Every orphan becomes ours (PR_SET_CHILD_SUBREAPER). What still ends does it at once; a sleep of
 * the command's would not. */
static void assert_alone(const char *what)
{
    uint64_t end = sv_clock_ns() + PATIENCE_NS;
    const struct timespec pause = {.tv_nsec = 1000000};
    pid_t pid;

    while ((pid = waitpid(-1, NULL, WNOHANG)) >= 0) {
        if (sv_clock_ns() > end)
            fail_msg("%s: processes are left", what);
        if (pid == 0)
            nanosleep(&pause, NULL);
    }
    assert_int_equal(errno, ECHILD);
}

/* sig 0: undisturbed. */
static void go(const char *script, int role, int call, int sig, uint64_t deadline_ns)
{
    char step[128], fifo_is[80], byte;
    const char *const args[] = {"sh", "-c", script, NULL};
    const char *const env[] = {"PATH=/usr/bin:/bin", "LD_PRELOAD=" SV_TEST_KEEPER_STEP, step,
                               fifo_is, NULL};
    struct cmd_request r = {.path = "/bin/sh",
                            .args = args,
                            .env = env,
                            .input = input,
                            .input_len = sizeof input,
                            .deadline_ns = deadline_ns,
                            .keeper = SV_TEST_KEEPER,
                            .wait = wait_for,
                            .put = put};
    unsigned before = descriptors();

    snprintf(step, sizeof step, "KEEPER_STEP=%d %d %d %s", sig ? role : -1, call, sig, reached);
    snprintf(fifo_is, sizeof fifo_is, "FIFO=%s", fifo);
    unlink(reached);
    memset(&run, 0, sizeof run);
    run.give_up_when_stopped = sig == SIGSTOP && deadline_ns == UINT64_MAX;
    run.result = cmd_run(&run.err, &r, &run.status);
    assert_int_equal(descriptors(), before);
    /* Nobody has the other end: 0 is the end of it, not "nothing yet". */
    if (read(fifo_fd, &byte, 1) != 0)
        fail_msg("role %d, call %d, signal %d: the command lives", role, call, sig);
    assert_alone(step);
}

static void undisturbed(void **state)
{
    (void)state;
    go(ends, 0, 0, 0, UINT64_MAX);
    assert_int_equal(run.result, 0);
    assert_true(WIFEXITED(run.status));
    assert_int_equal(WEXITSTATUS(run.status), 7);
    assert_int_equal(run.got[0], OUTPUT_BYTES + strlen("300000\n"));
    assert_int_equal(run.got[1], 0);
    assert_memory_equal(run.first, "300000\n", 7);
}

static void killed(void **state)
{
    unsigned n = 0;

    (void)state;
    for (int role = 0; role <= 2; role++) {
        for (int call = 1; call < STEPS_MAX; call++, n++) {
            go(ends, role, call, SIGKILL, UINT64_MAX);
            if (!who_reached())
                break;
            if (role == 2) { /* the command itself, before it is one */
                assert_int_equal(run.result, 0);
                assert_true(WIFSIGNALED(run.status) && WTERMSIG(run.status) == SIGKILL);
                continue;
            }
            assert_int_equal(run.result, SV_EINVALID);
            assert_string_equal(run.err.text, "what ran '/bin/sh' died");
        }
        assert_int_equal(run.result, 0);
        assert_int_equal(WEXITSTATUS(run.status), 7);
    }
    print_message("killed at %u steps\n", n);
    assert_true(n > 30);
}

static void stopped(void **state)
{
    unsigned n = 0;

    (void)state;
    for (int role = 0; role <= 2; role++) {
        for (int call = 1; call < STEPS_MAX; call++, n++) {
            go(ends, role, call, SIGSTOP, UINT64_MAX);
            if (!who_reached())
                break;
            assert_int_equal(run.result, SV_EEXIT);
        }
        assert_int_equal(run.result, 0);
        assert_int_equal(WEXITSTATUS(run.status), 7);
    }
    print_message("stopped at %u steps\n", n);
    assert_true(n > 30);
}

/* The time is over while one of them stands still, or before any of it has begun. */
static void late(void **state)
{
    (void)state;
    for (int role = 0; role <= 2; role++) {
        for (int call = 1; call <= 4; call++) {
            go(stays, role, call, SIGSTOP, sv_clock_ns() + 100000000);
            assert_int_equal(run.result, SV_EEXIT);
        }
    }
    go(stays, 0, 0, 0, sv_clock_ns() + 100000000);
    assert_int_equal(run.result, SV_EEXIT);
    go(stays, 0, 0, 0, 1);
    assert_int_equal(run.result, SV_EEXIT);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder) || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0)
        return -1;
    snprintf(fifo, sizeof fifo, "%s/fifo", folder);
    snprintf(reached, sizeof reached, "%s/reached", folder);
    memset(input, 'x', sizeof input);
    if (mkfifo(fifo, 0600) != 0)
        return -1;
    fifo_fd = open(fifo, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    return fifo_fd < 0 ? -1 : 0;
}

static int remove_folder(void **state)
{
    (void)state;
    close(fifo_fd);
    unlink(fifo);
    unlink(reached);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(undisturbed),
        cmocka_unit_test(killed),
        cmocka_unit_test(stopped),
        cmocka_unit_test(late),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
