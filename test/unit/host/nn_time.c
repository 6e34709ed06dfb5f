/* Deadlines, limits of CPU time and cancellation while a library works, models that several threads
 * want at once, and runs that were left. Under the thread sanitizer too. */
#include <pthread.h>

#include "../runtime/fake.h"
#include "nn.h"

#define MS UINT64_C(1000000)
#define LATE_MS 60000 /* "never" for a test */

static struct log logged;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

static void add_line(void *arg, const char *line)
{
    pthread_mutex_lock(&log_lock);
    log_add(arg, line);
    pthread_mutex_unlock(&log_lock);
}

static struct sv_nn *grant_of(const char *library)
{
    const struct sv_nn_choice fake[] = {{"fake", library}};
    struct sv_nn_config config = {
        .backends = fake, .nbackends = 1, .log = add_line, .arg = &logged};
    struct sv_err err = {0};
    struct sv_nn *nn;

    if (sv_nn_new(&err, &config, &nn) != 0)
        fail_msg("%s", err.text);
    return nn;
}

static struct sv_nn *grant(void)
{
    return grant_of(NULL);
}

/* A guest in a real store, whose calls come through sv_func_call: signals find it. */
struct timed {
    struct guest g;
    struct sv_engine *engine;
    struct sv_store *store;
    struct sv_func *func;
    const char *name; /* of the function that `func` calls, and its arguments */
    uint64_t args[2];
    size_t nargs;
    uint64_t ret;
};

static int call_it(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret)
{
    struct timed *t = c->data;

    (void)arg;
    (void)ret;
    return guest_call_wide(&t->g, t->name, t->args, t->nargs, &t->ret);
}

static void timed_open(struct timed *t, struct sv_nn *nn)
{
    struct sv_err err = {0};

    memset(t, 0, sizeof *t);
    t->engine = fake_engine();
    t->store = fake_store(t->engine, NULL);
    t->func = sv_func_new_host(t->store, sv_types_func(t->engine->types, NULL, 0, NULL, 0), call_it,
                               t, "test.call", 0);
    guest_open(&t->g, &sv_host_tensorflow, nn);
    sv_nn_state_delete(t->g.state);
    assert_int_equal(sv_host_tensorflow.open(&err, t->store, nn, &t->g.state), 0);
    t->g.th = &t->store->thread;
}

static void timed_close(struct timed *t)
{
    guest_close(&t->g);
    assert_int_equal(t->store->memory_used, 0);
    sv_store_delete(t->store);
    sv_engine_unref(t->engine);
}

static int timed_run(struct timed *t, uint64_t session)
{
    union sv_slot none[1];

    t->name = "run_session";
    t->args[0] = session;
    t->nargs = 1;
    return sv_func_call(&t->store->thread, t->func, none);
}

static uint64_t session_of(struct timed *t, const char *words)
{
    uint64_t s = open_session(&t->g, words);

    assert_true(s > 0);
    give_input(&t->g, s, "input", 8);
    want(&t->g, s, "output");
    return s;
}

static void expect_late(uint64_t start, uint64_t at_least_ms)
{
    uint64_t ms = (sv_clock_ns() - start) / MS;

    assert_true(ms + 1 >= at_least_ms);
    assert_true(ms < at_least_ms + LATE_MS);
}

/* A worker may be about to let go of the last of it. */
static void expect_none(void)
{
    for (int i = 0; i < LATE_MS; i++) {
        if (fake_count("fake_models") == 0 && fake_count("fake_sessions") == 0)
            return;
        usleep(1000);
    }
    fail_msg("something is left");
}

static void deadline(void **state)
{
    struct sv_nn *nn = grant();
    struct timed t;
    uint64_t start, s;

    (void)state;
    timed_open(&t, nn);
    /* In time: a worker does it. */
    s = session_of(&t, "");
    sv_store_set_deadline(t.store, sv_clock_ns() + LATE_MS * MS);
    assert_int_equal(timed_run(&t, s), 0);
    assert_int_equal(t.ret, 0);
    assert_int_equal(nn->workers.nthreads, 1);
    assert_int_equal(timed_run(&t, s), 0);
    assert_int_equal(nn->workers.nthreads, 1);

    /* Not in time, and the library does not end either. */
    sv_store_set_deadline(t.store, 0);
    s = session_of(&t, "gated");
    start = sv_clock_ns();
    sv_store_set_deadline(t.store, start + 30 * MS);
    assert_int_equal(timed_run(&t, s), SV_ETRAP);
    assert_int_equal(t.store->thread.trap.code, SV_TRAP_DEADLINE);
    expect_late(start, 30);
    assert_int_equal(atomic_load(fake_int("fake_gate")), 0); /* it still runs */
    /* The session is gone, the store is not. */
    sv_store_set_deadline(t.store, 0);
    assert_int_equal(timed_run(&t, s), 0);
    assert_int_equal(t.ret, 1);
    assert_int_equal(output_of(&t.g, s, "output"), 0);
    HANDLE(&t.g, "clear_input", s);
    HANDLE(&t.g, "delete_session", s);
    s = session_of(&t, "");
    assert_int_equal(timed_run(&t, s), 0);
    assert_int_equal(t.ret, 0);
    timed_close(&t);
    atomic_store(fake_int("fake_gate"), 1);
    wait_idle(nn);
    atomic_store(fake_int("fake_gate"), 0);
    sv_nn_unref(nn);
    expect_none();
}

static void *cancel_soon(void *store)
{
    usleep(20000);
    sv_store_cancel(store);
    return NULL;
}

/* With a deadline far away a cancel ends the wait at once, and the library is asked to end. */
static void cancelled(void **state)
{
    struct sv_nn *nn = grant();
    struct timed t;
    uint64_t start, s;
    pthread_t thread;

    (void)state;
    timed_open(&t, nn);
    for (int i = 0; i < 3; i++) {
        s = session_of(&t, "sleep=60000");
        start = sv_clock_ns();
        sv_store_set_deadline(t.store, start + 100000 * MS);
        assert_int_equal(pthread_create(&thread, NULL, cancel_soon, t.store), 0);
        assert_int_equal(timed_run(&t, s), SV_ETRAP);
        assert_int_equal(t.store->thread.trap.code, SV_TRAP_CANCELLED);
        expect_late(start, 20);
        pthread_join(thread, NULL);
        sv_store_clear_interrupt(t.store);
        sv_store_set_deadline(t.store, 0);
    }
    timed_close(&t);
    wait_idle(nn);
    sv_nn_unref(nn); /* does not wait a minute */
    expect_none();
}

/* A cancel that comes late, when the run has just ended, ends no run of somebody else. */
static void late_cancel(void **state)
{
    static const char words[] = "sleep=30 stubborn slow-cancel=150";
    struct sv_nn *nn = grant();
    struct timed t;
    uint64_t s;

    (void)state;
    timed_open(&t, nn);
    s = session_of(&t, words);
    sv_store_set_deadline(t.store, sv_clock_ns() + 10 * MS);
    assert_int_equal(timed_run(&t, s), SV_ETRAP);
    sv_store_clear_interrupt(t.store);
    sv_store_set_deadline(t.store, 0);
    s = session_of(&t, words);
    assert_int_equal(timed_run(&t, s), 0);
    if (t.ret != 0)
        fail_msg("the next run: %s", logged.text);
    timed_close(&t);
    wait_idle(nn);
    sv_nn_unref(nn);
    expect_none();
}

/* One that comes while the backend still makes the session: the run is not begun. */
static void early_cancel(void **state)
{
    struct sv_nn *nn = grant();
    int runs = fake_count("fake_runs");
    struct timed t;
    uint64_t s;

    (void)state;
    timed_open(&t, nn);
    s = session_of(&t, "session-sleep=100");
    sv_store_set_deadline(t.store, sv_clock_ns() + 10 * MS);
    assert_int_equal(timed_run(&t, s), SV_ETRAP);
    timed_close(&t);
    wait_idle(nn);
    sv_nn_unref(nn);
    expect_none();
    assert_int_equal(fake_count("fake_runs"), runs);
}

static void *open_gate(void *arg)
{
    (void)arg;
    for (int i = 0; i < 5000 && !atomic_load(fake_int("fake_gate")); i++)
        usleep(1000);
    atomic_store(fake_int("fake_gate"), 1);
    return NULL;
}

/* A library that takes its time to open holds up nobody's deadline: neither that of the guest whose
 * model opens it, nor those of guests that come meanwhile. */
static void slow_library(void **state)
{
    struct sv_nn *nn = grant_of("gated");
    union sv_slot none[1];
    pthread_t thread;
    struct timed t;

    (void)state;
    timed_open(&t, nn);
    assert_int_equal(pthread_create(&thread, NULL, open_gate, NULL), 0); /* else this hangs */
    for (int i = 0; i < 3; i++) {
        t.name = "create_session";
        t.args[0] = AT_MODEL;
        t.args[1] = put_model(&t.g, i == 0 ? "cost=1" : i == 1 ? "cost=22" : "cost=1");
        t.nargs = 2;
        sv_store_set_deadline(t.store, sv_clock_ns() + 20 * MS);
        assert_int_equal(sv_func_call(&t.store->thread, t.func, none), SV_ETRAP);
        assert_int_equal(t.store->thread.trap.code, SV_TRAP_DEADLINE);
        assert_int_equal(atomic_load(fake_int("fake_gate")), 0);
        sv_store_set_deadline(t.store, 0);
    }
    atomic_store(fake_int("fake_gate"), 1);
    assert_int_equal(sv_func_call(&t.store->thread, t.func, none), 0);
    assert_true(t.ret > 0);
    pthread_join(thread, NULL);
    timed_close(&t);
    wait_idle(nn);
    atomic_store(fake_int("fake_gate"), 0);
    sv_nn_unref(nn);
    expect_none();
}

/* The grant may go while a run that was left still has it. */
static void grant_goes(void **state)
{
    struct sv_nn *nn = grant();
    struct timed t;
    uint64_t s;

    (void)state;
    timed_open(&t, nn);
    s = session_of(&t, "sleep=100 stubborn");
    sv_store_set_deadline(t.store, sv_clock_ns() + 10 * MS);
    assert_int_equal(timed_run(&t, s), SV_ETRAP);
    timed_close(&t);
    sv_nn_unref(nn);
    expect_none();
}

/* CPU time of the worker is the guest's. */
static void cpu_time(void **state)
{
    struct sv_nn *nn = grant();
    struct timed t;
    uint64_t s;

    (void)state;
    timed_open(&t, nn);
    s = session_of(&t, "spin=30");
    sv_store_set_cpu_limit(t.store, 10000 * MS);
    assert_int_equal(timed_run(&t, s), 0);
    assert_true(t.store->thread.cpu_left_ns <= (10000 - 29) * MS);
    assert_true(t.store->thread.cpu_left_ns > 5000 * MS);
    HANDLE(&t.g, "delete_session", s);
    s = session_of(&t, "spin=60000");
    sv_store_set_cpu_limit(t.store, 20 * MS);
    assert_int_equal(timed_run(&t, s), SV_ETRAP);
    assert_int_equal(t.store->thread.trap.code, SV_TRAP_CPU_LIMIT);
    timed_close(&t);
    wait_idle(nn);
    sv_nn_unref(nn);
}

/* Does the log have it by now? */
static bool told(const char *part)
{
    bool is;

    pthread_mutex_lock(&log_lock);
    is = strstr(logged.text, part) != NULL;
    pthread_mutex_unlock(&log_lock);
    return is;
}

/* A run that does not end by itself, of the model m<i>; its guest's time is soon over. */
static void leave_one(struct sv_nn *nn, int i)
{
    char words[64];
    struct timed t;
    uint64_t s;

    timed_open(&t, nn);
    snprintf(words, sizeof words, "gated m%d", i);
    s = open_session(&t.g, words);
    if (s) {
        give_input(&t.g, s, "input", 8);
        want(&t.g, s, "output");
        sv_store_set_deadline(t.store, sv_clock_ns() + 2 * MS);
        if (timed_run(&t, s) == 0)
            assert_int_equal(t.ret, 1);
    }
    timed_close(&t);
}

/* Many that do not end: one model's runs are refused after two, all others' after some more. On a
 * busy machine some are over before they were begun, and so not left. */
static void left_behind(void **state)
{
    struct sv_nn *nn = grant();
    uint64_t s;
    int i;

    (void)state;
    for (i = 0; i < 200 && !told("runs of this model whose time was over have not ended yet"); i++)
        leave_one(nn, 0);
    assert_true(i < 200);
    for (i = 1; i < 200 && !told("the host is busy"); i++) {
        pthread_mutex_lock(&log_lock);
        log_clear(&logged);
        pthread_mutex_unlock(&log_lock);
        leave_one(nn, i);
    }
    assert_true(i < 200);
    atomic_store(fake_int("fake_gate"), 1);
    wait_idle(nn);
    atomic_store(fake_int("fake_gate"), 0);
    /* All is well again. */
    {
        struct timed t;

        timed_open(&t, nn);
        s = session_of(&t, "");
        assert_int_equal(timed_run(&t, s), 0);
        assert_int_equal(t.ret, 0);
        timed_close(&t);
    }
    sv_nn_unref(nn);
    expect_none();
}

/* A load that the deadline ends goes on and serves the next guest. */
static void load_goes_on(void **state)
{
    struct sv_nn *nn = grant();
    int loads = fake_count("fake_loads");
    union sv_slot none[1];
    struct timed t;
    uint64_t start;

    (void)state;
    timed_open(&t, nn);
    t.name = "create_session";
    t.args[0] = AT_MODEL;
    t.args[1] = put_model(&t.g, "load-sleep=200");
    t.nargs = 2;
    start = sv_clock_ns();
    sv_store_set_deadline(t.store, start + 20 * MS);
    assert_int_equal(sv_func_call(&t.store->thread, t.func, none), SV_ETRAP);
    expect_late(start, 20);
    sv_store_set_deadline(t.store, 0);
    /* Waits for that very load. */
    assert_int_equal(sv_func_call(&t.store->thread, t.func, none), 0);
    assert_true(t.ret > 0);
    expect_late(start, 200);
    assert_int_equal(fake_count("fake_loads"), loads + 1);
    timed_close(&t);
    sv_nn_unref(nn);
}

#define THREADS 6

static void *many(void *nn)
{
    struct timed t;

    timed_open(&t, nn);
    for (int i = 0; i < 30; i++) {
        char words[32];
        uint64_t s;

        snprintf(words, sizeof words, "load-sleep=1 cost=%d", i % 3);
        sv_store_set_deadline(t.store, i % 2 ? sv_clock_ns() + 60000 * MS : 0);
        s = session_of(&t, words);
        assert_int_equal(timed_run(&t, s), 0);
        assert_int_equal(t.ret, 0);
        HANDLE(&t.g, "get_tensor_data", output_of(&t.g, s, "output"), AT_OUT);
        for (uint32_t k = 0; k < 8; k++)
            assert_float_equal(out_f32(&t.g, k), 2 * (float)k + 1, 0);
        HANDLE(&t.g, "delete_session", s);
    }
    timed_close(&t);
    return NULL;
}

static void threads(void **state)
{
    struct sv_nn *nn = grant();
    int loads = fake_count("fake_loads");
    pthread_t ids[THREADS];

    (void)state;
    fake_signals();
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&ids[i], NULL, many, nn), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(ids[i], NULL);
    assert_int_equal(fake_count("fake_loads"), loads + 3); /* each model once */
    sv_nn_unref(nn);
    expect_none();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deadline),     cmocka_unit_test(cancelled),
        cmocka_unit_test(late_cancel),  cmocka_unit_test(early_cancel),
        cmocka_unit_test(slow_library), cmocka_unit_test(grant_goes),
        cmocka_unit_test(cpu_time),     cmocka_unit_test(left_behind),
        cmocka_unit_test(load_goes_on), cmocka_unit_test(threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
