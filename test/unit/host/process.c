/* The module `ssvm_process`: pointers and lengths, limits, interruption, what a back end gets. What
 * commands do: test/crates. */
#include "guest.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>

#include "host/part.h"
#include "host/process/process.h"

static const struct sv_process_module *module;

static int open_part(void **state)
{
    const struct sv_host_module *m = NULL;
    struct sv_err err = {0};

    (void)state;
    if (sv_host_part_module(&err, "host-process.so", "process", &m) < 0) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    module = (const struct sv_process_module *)m;
    return 0;
}

/* ---- A back end that writes down what it gets ---- */

static struct {
    char said[4096];
    size_t input_len;
    uint64_t left_ms;
    int code, runs;
    size_t write; /* bytes of output that it makes */
    bool refused;
} fake;

static void fake_run(void *data, void *store_data, struct ssvm_process_run *r)
{
    struct timespec now;

    assert_ptr_equal(data, &fake);
    assert_null(store_data);
    fake.runs++;
    fake.said[0] = 0;
    for (size_t i = 0; r->args[i]; i++)
        snprintf(fake.said + strlen(fake.said), sizeof fake.said - strlen(fake.said), "[%s]",
                 r->args[i]);
    for (size_t i = 0; r->env[i]; i++)
        snprintf(fake.said + strlen(fake.said), sizeof fake.said - strlen(fake.said), "{%s}",
                 r->env[i]);
    fake.input_len = r->input_len;
    clock_gettime(CLOCK_MONOTONIC, &now);
    fake.left_ms =
        r->deadline_ns / 1000000 - ((uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000);
    for (size_t i = 0; i < fake.write && !fake.refused; i += 4096) {
        char block[4096];

        memset(block, 'x', sizeof block);
        fake.refused = !r->put(r, i % 8192 != 0, block, sizeof block);
    }
    r->code = fake.code;
}

static const struct ssvm_process_backend fake_backend = {SSVM_PROCESS_ABI, fake_run};

static struct sv_process *make(const struct sv_process_config *config)
{
    struct sv_process *p = NULL;
    struct sv_err err = {0};

    if (module->make(&err, config, &p) < 0)
        fail_msg("%s", err.text);
    return p;
}

static void open_guest(struct guest *g, const struct sv_process_config *config)
{
    struct sv_process *p = make(config);

    guest_open(g, &module->host, p);
    sv_process_unref(p); /* the state keeps it */
    memset(&fake, 0, sizeof fake);
}

static void open_fake(struct guest *g)
{
    open_guest(g, &(struct sv_process_config){
                      .backend = &fake_backend, .data = &fake, .max_bytes = 1 << 20});
}

static int call(struct guest *g, const char *name, const uint64_t *args, size_t n, uint32_t *ret)
{
    uint64_t wide = 0;
    int r = guest_call_wide(g, name, args, n, &wide);

    if (ret)
        *ret = (uint32_t)wide;
    return r;
}
#define SAY(g, name, ...)                                                                          \
    call(g, name, (const uint64_t[]){0, ##__VA_ARGS__} + 1,                                        \
         sizeof((const uint64_t[]){0, ##__VA_ARGS__}) / sizeof(uint64_t) - 1, NULL)

static uint32_t answer(struct guest *g, const char *name)
{
    uint32_t ret = 0;

    assert_int_equal(call(g, name, NULL, 0, &ret), 0);
    return ret;
}

/* Text into the guest's memory, at a place of its own. */
static uint32_t at;
static uint32_t text(struct guest *g, const char *s, size_t len)
{
    uint32_t place = at = (at + 64) % 60000;

    memcpy(g->memory.base + place, s, len);
    return place;
}
#define TEXT(g, s) text(g, s, sizeof(s) - 1), sizeof(s) - 1

/* ---- What a run is made of ---- */

static void a_run_is_made_of_what_was_said(void **state)
{
    struct guest g;

    (void)state;
    for (unsigned era = 1; era <= 2; era++) {
        open_fake(&g);
        g.era = era;
        assert_int_equal((int32_t)answer(&g, "get_exit_code"), -1);
        assert_int_equal(SAY(&g, "set_prog_name", TEXT(&g, "other")), 0);
        assert_int_equal(SAY(&g, "set_prog_name", TEXT(&g, "tool")), 0);
        assert_int_equal(SAY(&g, "add_arg", TEXT(&g, "a")), 0);
        assert_int_equal(SAY(&g, "add_arg", TEXT(&g, "")), 0);
        assert_int_equal(SAY(&g, "add_env", TEXT(&g, "K"), TEXT(&g, "first")), 0);
        assert_int_equal(SAY(&g, "add_env", TEXT(&g, "K"), TEXT(&g, "second")), 0);
        assert_int_equal(SAY(&g, "add_env", TEXT(&g, "KK"), TEXT(&g, "=x=")), 0);
        assert_int_equal(SAY(&g, "add_stdin", TEXT(&g, "in")), 0);
        assert_int_equal(SAY(&g, "add_stdin", TEXT(&g, "put")), 0);
        assert_int_equal(SAY(&g, "set_timeout", 3000000), 0);
        fake.code = -3;
        fake.write = 12288;
        assert_int_equal((int32_t)answer(&g, "run"), -3);
        assert_string_equal(fake.said, "[tool][a][]{K=first}{KK==x=}");
        assert_int_equal(fake.input_len, 5);
        assert_in_range(fake.left_ms, 2900000, 3000000);
        assert_int_equal((int32_t)answer(&g, "get_exit_code"), -3);
        assert_int_equal(answer(&g, "get_stdout_len"), 8192);
        assert_int_equal(answer(&g, "get_stderr_len"), 4096);
        /* All of it is forgotten, the time too. */
        fake.write = 0;
        assert_int_equal(SAY(&g, "set_prog_name", TEXT(&g, "again")), 0);
        assert_int_equal((int32_t)answer(&g, "run"), -3);
        assert_string_equal(fake.said, "[again]");
        assert_int_equal(fake.input_len, 0);
        assert_in_range(fake.left_ms, 1, 10000);
        assert_int_equal(answer(&g, "get_stdout_len"), 0);
        guest_close(&g);
    }
}

static void no_command_no_run(void **state)
{
    static const struct {
        const char *name, *arg, *key;
        size_t name_len, arg_len, key_len;
    } bad[] = {
        {"", "x", "K", 0, 1, 1},       {"a\0b", "x", "K", 3, 1, 1}, {"a", "x\0y", "K", 1, 3, 1},
        {"a", "x", "", 1, 1, 0},       {"a", "x", "K=", 1, 1, 2},   {"a", "x", "K\0", 1, 1, 2},
        {"tool\0", "x", "K", 5, 1, 1},
    };
    struct guest g;

    (void)state;
    open_fake(&g);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        SAY(&g, "set_prog_name", text(&g, bad[i].name, bad[i].name_len), bad[i].name_len);
        SAY(&g, "add_arg", text(&g, bad[i].arg, bad[i].arg_len), bad[i].arg_len);
        SAY(&g, "add_env", text(&g, bad[i].key, bad[i].key_len), bad[i].key_len, TEXT(&g, "v"));
        assert_int_equal((int32_t)answer(&g, "run"), -1);
        assert_int_equal(fake.runs, 0);
        assert_int_not_equal(answer(&g, "get_stderr_len"), 0);
    }
    /* The next one is not spoilt. */
    SAY(&g, "set_prog_name", TEXT(&g, "tool"));
    assert_int_equal((int32_t)answer(&g, "run"), 0);
    assert_int_equal(fake.runs, 1);
    guest_close(&g);
}

/* ---- Hostile ---- */

static void pointers(void **state)
{
    static const uint64_t edges[][2] = {
        {GUEST_SIZE, 1},        {GUEST_SIZE - 1, 2},      {0xffffffff, 1},
        {0, GUEST_SIZE + 1},    {0xffffffff, 0xffffffff}, {1, 0xffffffff},
        {GUEST_SIZE + 4096, 0}, {0x80000000, 0x80000000},
    };
    struct guest g;

    (void)state;
    open_fake(&g);
    for (size_t i = 0; i < sizeof edges / sizeof edges[0]; i++) {
        uint64_t p = edges[i][0], len = edges[i][1];

        assert_int_equal(SAY(&g, "set_prog_name", p, len), SV_ETRAP);
        assert_int_equal(SAY(&g, "add_arg", p, len), SV_ETRAP);
        assert_int_equal(SAY(&g, "add_stdin", p, len), SV_ETRAP);
        assert_int_equal(SAY(&g, "add_env", p, len, 0, 1), SV_ETRAP);
        assert_int_equal(SAY(&g, "add_env", 0, 1, p, len), SV_ETRAP);
        assert_int_equal(g.store.thread.trap.code, SV_TRAP_HOST);
    }
    /* Ends of the memory are inside. */
    assert_int_equal(SAY(&g, "add_stdin", GUEST_SIZE, 0), 0);
    assert_int_equal(SAY(&g, "add_stdin", GUEST_SIZE - 1, 1), 0);
    answer(&g, "run"); /* which forgets the half that was said above */
    SAY(&g, "set_prog_name", TEXT(&g, "tool"));
    fake.write = 8192;
    answer(&g, "run");
    assert_int_equal(SAY(&g, "get_stdout", GUEST_SIZE - 4095), SV_ETRAP);
    assert_int_equal(SAY(&g, "get_stderr", 0xfffffff0), SV_ETRAP);
    assert_int_equal(SAY(&g, "get_stdout", GUEST_SIZE - 4096), 0);
    assert_int_equal(g.memory.base[GUEST_SIZE - 1], 'x');
    guest_close(&g);
}

static void limits(void **state)
{
    struct guest g;
    int r = 0;

    (void)state;
    open_fake(&g); /* 1 MiB */
    for (int i = 0; i < 100000 && r == 0; i++)
        r = SAY(&g, "add_stdin", 0, 65536);
    assert_int_equal(r, SV_ETRAP);
    guest_close(&g);
    open_fake(&g);
    r = 0;
    for (int i = 0; i < 1 << 20 && r == 0; i++)
        r = SAY(&g, "add_arg", 0, 0);
    assert_int_equal(r, SV_ETRAP);
    guest_close(&g);
    open_fake(&g);
    SAY(&g, "set_prog_name", TEXT(&g, "tool"));
    fake.write = 4 << 20;
    assert_int_equal((int32_t)answer(&g, "run"), -1);
    assert_true(fake.refused);
    assert_in_range(answer(&g, "get_stdout_len") + answer(&g, "get_stderr_len"), 1 << 19,
                    (1 << 20) + 64);
    guest_close(&g);
    /* And as the guest's memory. */
    open_fake(&g);
    g.store.limits.memory_bytes = 65536;
    r = 0;
    for (int i = 0; i < 16 && r == 0; i++)
        r = SAY(&g, "add_stdin", 0, 8192);
    assert_int_equal(r, SV_ETRAP);
    assert_in_range(g.store.memory_used, 0, 65536);
    guest_close(&g);
}

/* ---- Commands of this machine ---- */

static void run_sh(struct guest *g, const char *script, size_t len, int want)
{
    SAY(g, "set_prog_name", TEXT(g, "sh"));
    SAY(g, "add_arg", TEXT(g, "-c"));
    SAY(g, "add_arg", text(g, script, len), len);
    assert_int_equal((int32_t)answer(g, "run"), want);
}
#define RUN_SH(g, script, want) run_sh(g, script, sizeof(script) - 1, want)

static void *cancel_later(void *data)
{
    struct guest *g = data;
    const struct timespec t = {.tv_nsec = 200000000};

    nanosleep(&t, NULL);
    atomic_fetch_or(&g->store.thread.interrupt, SV_INTERRUPT_CANCEL);
    eventfd_write(g->store.thread.wake_fd, 1);
    return NULL;
}

static void a_cancel_ends_it(void **state)
{
    static const char *const sh[] = {"sh"};
    struct guest g;
    pthread_t thread;

    (void)state;
    open_guest(&g, &(struct sv_process_config){.commands = sh, .ncommands = 1});
    g.store.thread.wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    assert_int_equal(pthread_create(&thread, NULL, cancel_later, &g), 0);
    SAY(&g, "set_timeout", 3600000);
    RUN_SH(&g, "exec sleep 3600", -1);
    pthread_join(thread, NULL);
    guest_close(&g);
}

static unsigned descriptors(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void nothing_is_left(void **state)
{
    static const char *const sh[] = {"sh"};
    unsigned before = descriptors();
    struct guest g;

    (void)state;
    open_guest(&g, &(struct sv_process_config){.commands = sh, .ncommands = 1});
    for (int i = 0; i < 20; i++)
        RUN_SH(&g, "exit 7", 7);
    SAY(&g, "set_timeout", 100);
    RUN_SH(&g, "sleep 3600", 110);
    SAY(&g, "set_timeout", 0);
    RUN_SH(&g, "sleep 3600", 110);
    assert_int_equal(descriptors(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    /* Somebody else's way with children: the code comes all the same. */
    signal(SIGCHLD, SIG_IGN);
    RUN_SH(&g, "exit 9", 9);
    signal(SIGCHLD, SIG_DFL);
    /* And with signals: a closed pipe is none of ours. */
    SAY(&g, "add_stdin", 0, 65536);
    SAY(&g, "add_stdin", 0, 65536);
    RUN_SH(&g, "exit 0", 0);
    guest_close(&g);
}

static void what_cannot_be_executed(void **state)
{
    char path[] = "/tmp/ssvm-process-XXXXXX";
    const char *commands[] = {path};
    struct guest g;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fchmod(fd, 0755), 0);
    assert_int_equal(write(fd, "no program", 10), 10);
    close(fd);
    open_guest(&g, &(struct sv_process_config){.commands = commands, .ncommands = 1});
    SAY(&g, "set_prog_name", text(&g, path, strlen(path)), strlen(path));
    assert_int_equal((int32_t)answer(&g, "run"), -1); /* no shell tries it */
    assert_int_not_equal(answer(&g, "get_stderr_len"), 0);
    unlink(path);
    SAY(&g, "set_prog_name", text(&g, path, strlen(path)), strlen(path));
    assert_int_equal((int32_t)answer(&g, "run"), -1);
    guest_close(&g);
}

static void functions_are_in_order(void **state)
{
    (void)state;
    for (unsigned i = 1; i < module->host.nfuncs; i++)
        assert_true(strcmp(module->host.funcs[i - 1].name, module->host.funcs[i].name) < 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_made_of_what_was_said),
        cmocka_unit_test(no_command_no_run),
        cmocka_unit_test(pointers),
        cmocka_unit_test(limits),
        cmocka_unit_test(a_cancel_ends_it),
        cmocka_unit_test(nothing_is_left),
        cmocka_unit_test(what_cannot_be_executed),
        cmocka_unit_test(functions_are_in_order),
    };

    return cmocka_run_group_tests(tests, open_part, NULL);
}
