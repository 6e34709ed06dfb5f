/* Backends in processes of their own: the same results, and crashes, hangs and lies that end one
 * run. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "../../proc.h"
#include "nn.h"

/* How a child that read address 8 has ended: sanitizers end it themselves. */
#ifdef SSVM_SANITIZED
#define CRASHED "its process ended with status"
#else
#define CRASHED "its process ended by signal 11"
#endif

static struct log logged;

static struct sv_nn *isolated(void)
{
    struct sv_nn_config config = {.isolate = true};

    log_clear(&logged);
    return fake_grant(&config, &logged);
}

static void same_results(void **state)
{
    struct sv_nn *nn = isolated();
    struct guest g;
    uint64_t s, t;

    (void)state;
    for (int i = 0; i < 2; i++) {
        guest_open(&g, &sv_host_tensorflow, nn);
        assert_int_equal(run_words(&g, "cost=77", &s), 0);
        want(&g, s, "runs");
        want(&g, s, "sum");
        assert_int_equal(CALL(&g, "run_session", s), 0);
        t = output_of(&g, s, "output");
        assert_int_equal(CALL(&g, "get_tensor_len", t), 32);
        HANDLE(&g, "get_tensor_data", t, AT_OUT);
        for (uint32_t k = 0; k < 8; k++)
            assert_float_equal(out_f32(&g, k), 2 * (float)k + 1, 0);
        HANDLE(&g, "get_tensor_data", output_of(&g, s, "sum"), AT_OUT);
        assert_float_equal(out_f32(&g, 0), 28, 0);
        /* The second guest has the child of the first. */
        HANDLE(&g, "get_tensor_data", output_of(&g, s, "runs"), AT_OUT);
        assert_int_equal(guest_u64(&g, AT_OUT), 2 + 2 * i);
        guest_close(&g);
    }
    /* Larger inputs than before, outputs that stay where they are. */
    guest_open(&g, &sv_host_tensorflow, nn);
    s = open_session(&g, "huge=300000");
    give_input(&g, s, "input", 1024);
    want(&g, s, "output");
    want(&g, s, "sum");
    assert_int_equal(CALL(&g, "run_session", s), 0);
    assert_int_equal(CALL(&g, "get_tensor_len", output_of(&g, s, "output")), 300000);
    HANDLE(&g, "get_tensor_data", output_of(&g, s, "sum"), AT_OUT);
    assert_float_equal(out_f32(&g, 0), 1023 * 512, 0);
    guest_close(&g);
    sv_nn_unref(nn);
    assert_int_equal(fake_count("fake_runs"), 0); /* none of it was here */
}

/* A crash is an error of that run; the next one has a new process. */
static void crashes(void **state)
{
    struct sv_nn *nn = isolated();
    struct guest g;
    uint64_t s;

    (void)state;
    guest_open(&g, &sv_host_tensorflow, nn);
    assert_int_equal(run_words(&g, "run-crash", &s), 1);
    log_has(&logged, CRASHED);
    assert_int_equal(CALL(&g, "run_session", s), 1);
    assert_int_equal(run_words(&g, "", NULL), 0);
    log_clear(&logged);
    assert_int_equal(open_session(&g, "load-crash"), 0);
    log_has(&logged, "Fake refuses the TensorFlow graph: " CRASHED);
    assert_int_equal(run_words(&g, "run-exit", NULL), 1);
    log_has(&logged, "its process ended with status 42");
    assert_int_equal(run_words(&g, "odd-shape", NULL), 1);
    assert_int_equal(run_words(&g, "run-fail", NULL), 1);
    log_has(&logged, "told to fail");
    guest_close(&g);
    sv_nn_unref(nn);
}

/* Descriptors of the process are the library's business no more than its files, its environment
 * and its other processes are. The fake tries, and says what it could. */
static void confined(void **state)
{
    struct sv_nn *nn = isolated();
    struct guest g;
    int fd = open("/dev/zero", O_RDONLY); /* inherited by whoever does not take care */

    (void)state;
    assert_true(fd >= 0);
    setenv("SSVM_TEST_SECRET", "1", 1);
    guest_open(&g, &sv_host_tensorflow, nn);
    assert_int_equal(run_words(&g, "escape", NULL), 1);
    /* Files as far as the system can tell them apart. */
    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0)
        log_has(&logged, "could: nothing");
    else
        log_has(&logged, "could: files write\n");
    guest_close(&g);
    sv_nn_unref(nn);
    unsetenv("SSVM_TEST_SECRET");
    close(fd);
}

/* A run whose time is over: its process is killed, although it does not listen. */
static void killed(void **state)
{
    struct sv_nn *nn = isolated();
    struct guest g;
    uint64_t start = sv_clock_ns(), s;

    (void)state;
    guest_open(&g, &sv_host_tensorflow, nn);
    s = open_session(&g, "sleep=100000 stubborn");
    give_input(&g, s, "input", 8);
    want(&g, s, "output");
    g.store.thread.deadline_ns = sv_clock_ns() + 50000000;
    assert_int_equal(CALL(&g, "run_session", s), SV_ETRAP);
    assert_true(sv_clock_ns() - start < UINT64_C(20000000000));
    guest_close(&g);
    wait_idle(nn);
    sv_nn_unref(nn);
}

static void nothing_left(void **state)
{
    unsigned before = open_descriptors();

    same_results(state);
    crashes(state);
    killed(state);
    for (int i = 0; open_descriptors() != before && i < 60000; i++)
        usleep(1000);
    assert_int_equal(open_descriptors(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1); /* no child at all */
}

/* A process of ours: where it may write, to `ret`; false: there is none. */
static bool child_folder(char *ret, size_t size)
{
    DIR *d = opendir("/proc");
    const struct dirent *e;
    bool found = false;

    assert_non_null(d);
    while (!found && (e = readdir(d))) {
        char path[300], text[4096];
        long parent = 0;
        size_t n;
        FILE *f;

        snprintf(path, sizeof path, "/proc/%s/stat", e->d_name);
        f = fopen(path, "r");
        if (!f)
            continue;
        found = fscanf(f, "%*d (%*[^)]) %*c %ld", &parent) == 1 && parent == getpid();
        fclose(f);
        snprintf(path, sizeof path, "/proc/%s/environ", e->d_name);
        f = found ? fopen(path, "r") : NULL;
        if (!f)
            continue;
        n = fread(text, 1, sizeof text - 1, f);
        fclose(f);
        text[n] = '\0';
        found = n > 7 && strncmp(text, "TMPDIR=", 7) == 0;
        snprintf(ret, size, "%s", text + 7);
    }
    closedir(d);
    return found;
}

/* Whoever ends after a deadline ends at once, and does not leave to others what is to be done:
 * `ssvm run` exits. */
static void tidied(void **state)
{
    static const char *const words[] = {"load-sleep=100000", "sleep=100000 stubborn"};
    unsigned before = open_descriptors();

    (void)state;
    for (size_t i = 0; i < SV_COUNT(words); i++) {
        struct sv_nn *nn = isolated();
        const char *name = i == 0 ? "create_session" : "run_session";
        uint64_t args[2] = {AT_MODEL, 0}, ret;
        char folder[4096] = "/";
        struct guest g;

        guest_open(&g, &sv_host_tensorflow, nn);
        args[1] = put_model(&g, words[i]);
        if (i == 1) {
            args[0] = open_session(&g, words[i]);
            give_input(&g, args[0], "input", 8);
            want(&g, args[0], "output");
        }
        assert_true(i == 0 || child_folder(folder, sizeof folder));
        g.store.thread.deadline_ns = sv_clock_ns() + 50000000;
        assert_int_equal(guest_call_wide(&g, name, args, i == 0 ? 2 : 1, &ret), SV_ETRAP);
        for (int k = 0; i == 0 && !child_folder(folder, sizeof folder) && k < 60000; k++)
            usleep(1000); /* it goes on alone */
        guest_close(&g);
        sv_nn_unref(nn);
        assert_int_equal(access(folder, F_OK), -1);
        for (int k = 0; open_descriptors() != before && k < 60000; k++)
            usleep(1000);
        assert_int_equal(open_descriptors(), before);
    }
}

static void absent(void **state)
{
    static const struct sv_nn_choice gone[] = {{"fake", "/absent/libfake.so"}};
    struct sv_nn_config config = {.isolate = true, .backends = gone, .nbackends = 1};
    struct sv_nn *nn;
    struct guest g;

    (void)state;
    log_clear(&logged);
    nn = fake_grant(&config, &logged);
    guest_open(&g, &sv_host_tensorflow, nn);
    assert_int_equal(open_session(&g, ""), 0);
    log_has(&logged, "Fake cannot be used: the library is absent");
    guest_close(&g);
    sv_nn_unref(nn);
    config.program = "/nonexistent/ssvm-nn";
    config.nbackends = 0;
    nn = fake_grant(&config, &logged);
    guest_open(&g, &sv_host_tensorflow, nn);
    assert_int_equal(open_session(&g, ""), 0);
    log_has(&logged, "/nonexistent/ssvm-nn cannot be started: No such file");
    guest_close(&g);
    sv_nn_unref(nn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_results), cmocka_unit_test(crashes),      cmocka_unit_test(confined),
        cmocka_unit_test(killed),       cmocka_unit_test(nothing_left), cmocka_unit_test(tidied),
        cmocka_unit_test(absent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
