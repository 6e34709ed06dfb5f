/* What workers count together: limits hold between processes, and what a killed one had is free. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "serve/tally.h"

#define WORKERS 4
#define ID 77
#define ROUNDS 20000
#define KILLS 100

/* Between the processes of a test. */
struct shared {
    _Atomic uint64_t running, most, done, refused, bad, holder;
};

static struct shared *shared;
static struct srv_tally *made;
static int fd;

static int setup(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    made = srv_tally_new(WORKERS, &fd);
    return shared != MAP_FAILED && made ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    srv_tally_close(made);
    close(fd);
    munmap(shared, sizeof *shared);
    return 0;
}

static struct srv_tally *worker(uint32_t slot)
{
    struct srv_tally *t;

    srv_tally_begin(made, slot);
    t = srv_tally_open(fd, slot);
    assert_non_null(t);
    return t;
}

/* In a process of its own, which ends with it. */
static pid_t start(uint32_t slot, void (*run)(struct srv_tally *, struct srv_place *))
{
    pid_t pid;

    srv_tally_begin(made, slot);
    pid = fork();
    if (pid == 0) {
        struct srv_tally *t = srv_tally_open(fd, slot);

        run(t, srv_tally_find(t, ID));
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static void wait_for(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* ---- One process ---- */

static void counts(void **state)
{
    struct srv_tally *a = worker(0), *b = worker(1);
    struct srv_place *at_a = srv_tally_find(a, ID), *at_b = srv_tally_find(b, ID);

    (void)state;
    assert_true(srv_place_take(a, at_a, 2));
    assert_true(srv_place_take(b, at_b, 2));
    assert_false(srv_place_take(a, at_a, 2));
    assert_false(srv_place_take(b, at_b, 2));
    assert_true(srv_place_take(b, at_b, 3)); /* each call has its own version's limit */
    srv_place_give(b, at_b);
    /* Two run and one may wait. */
    assert_true(srv_place_wait(a, at_a, 3));
    assert_false(srv_place_wait(b, at_b, 3));
    assert_false(srv_place_take_waiting(a, at_a, 2));
    srv_place_give(b, at_b);
    assert_false(srv_place_take(b, at_b, 2)); /* who waits goes first */
    assert_true(srv_place_take_waiting(a, at_a, 2));
    assert_false(srv_place_take(b, at_b, 2));
    srv_place_give(a, at_a);
    assert_true(srv_place_take(b, at_b, 2));
    /* In the middle of something. */
    srv_place_go_on(a, at_a);
    assert_false(srv_place_take(b, at_b, 3));
    srv_place_give(a, at_a);
    assert_true(srv_place_wait(a, at_a, 3));
    srv_place_leave(a, at_a);
    assert_true(srv_place_take(b, at_b, 3));
    srv_tally_clear(made, 1);
    srv_place_give(a, at_a);
    for (int i = 0; i < 3; i++)
        assert_true(srv_place_take(a, at_a, 3));
    assert_false(srv_place_take(a, at_a, 3));
    /* Another function's are its own. */
    assert_true(srv_place_take(a, srv_tally_find(a, ID + SRV_TALLY_PLACES), 1));
    srv_tally_close(a);
    srv_tally_close(b);
}

/* Both have calls that wait: they take turns, and hear of them. */
static void turns(void **state)
{
    struct srv_tally *t[2] = {worker(0), worker(1)};
    struct srv_place *place[2];
    uint32_t heard[2] = {0, 0};

    (void)state;
    for (int i = 0; i < 2; i++) {
        place[i] = srv_tally_find(t[i], ID);
        for (int n = 0; n < 5; n++)
            assert_true(srv_place_wait(t[i], place[i], 10));
    }
    assert_true(srv_place_take_waiting(t[0], place[0], 1));
    assert_false(srv_tally_listen(t[0], &heard[0], 1000));
    for (int n = 0; n < 8; n++) {
        int runs = n % 2, other = !runs;

        assert_false(srv_tally_listen(t[other], &heard[other], 1000));
        srv_place_give(t[runs], place[runs]);
        assert_true(srv_tally_listen(t[other], &heard[other], 1000));
        assert_true(srv_place_take_waiting(t[other], place[other], 1));
        assert_false(srv_place_take_waiting(t[runs], place[runs], 1));
    }
    srv_tally_close(t[0]);
    srv_tally_close(t[1]);
}

/* A turn that is not taken is not waited for: by a dead worker, by one that sleeps. */
static void a_turn_is_lost(void **state)
{
    struct srv_tally *a = worker(0), *b = worker(1);
    struct srv_place *at_a = srv_tally_find(a, ID), *at_b = srv_tally_find(b, ID);

    (void)state;
    assert_true(srv_place_wait(a, at_a, 10) && srv_place_wait(b, at_b, 10));
    assert_true(srv_place_take_waiting(a, at_a, 1));
    assert_true(srv_place_wait(a, at_a, 10));
    srv_place_give(a, at_a); /* b's turn, who does not come */
    while (!srv_place_take_waiting(a, at_a, 1))
        usleep(1000);
    assert_true(srv_place_wait(a, at_a, 10));
    srv_place_give(a, at_a);
    srv_tally_clear(made, 1);
    assert_true(srv_place_take_waiting(a, at_a, 1));
    srv_tally_close(a);
    srv_tally_close(b);
}

static void *give_later(void *data)
{
    struct srv_tally *t = data;

    usleep(20000);
    srv_place_give(t, srv_tally_find(t, ID));
    return NULL;
}

static void wakes(void **state)
{
    struct srv_tally *a = worker(0), *b = worker(1);
    struct srv_place *at_b = srv_tally_find(b, ID);
    uint32_t heard = 0;
    pthread_t thread;

    (void)state;
    assert_true(srv_place_take(a, srv_tally_find(a, ID), 1));
    assert_true(srv_place_wait(b, at_b, 2));
    assert_int_equal(pthread_create(&thread, NULL, give_later, a), 0);
    /* For ever, if nobody wakes it. */
    while (!srv_tally_listen(b, &heard, UINT64_C(3600000000000))) {
    }
    assert_true(srv_place_take_waiting(b, at_b, 1));
    pthread_join(thread, NULL);
    srv_tally_close(a);
    srv_tally_close(b);
}

static void foreign_memory(void **state)
{
    int other = memfd_create("other", MFD_CLOEXEC);

    (void)state;
    assert_null(srv_tally_open(-1, 0));
    assert_null(srv_tally_open(other, 0));
    assert_int_equal(ftruncate(other, 1 << 20), 0);
    assert_null(srv_tally_open(other, 0));
    assert_null(srv_tally_open(fd, 100000));
    assert_null(srv_tally_find(NULL, ID));
    assert_int_not_equal(ftruncate(fd, 0), 0); /* nobody takes it away */
    close(other);
}

static void full(void **state)
{
    struct srv_tally *a = worker(0);
    unsigned found = 0;

    (void)state;
    for (uint64_t id = 1; id <= 2 * SRV_TALLY_PLACES; id++)
        found += srv_tally_find(a, id) != NULL;
    assert_int_equal(found, SRV_TALLY_PLACES);
    assert_ptr_equal(srv_tally_find(a, 5), srv_tally_find(a, 5));
    assert_null(srv_tally_find(a, 3 * SRV_TALLY_PLACES));
    srv_tally_close(a);
}

/* ---- Several ---- */

#define LIMIT 3

static void ran(void)
{
    uint64_t n = atomic_fetch_add(&shared->running, 1) + 1, most = atomic_load(&shared->most);

    while (most < n && !atomic_compare_exchange_weak(&shared->most, &most, n)) {
    }
    if (n > LIMIT)
        atomic_fetch_add(&shared->bad, 1);
    sched_yield();
    atomic_fetch_sub(&shared->running, 1);
    atomic_fetch_add(&shared->done, 1);
}

/* Calls that come, run, or wait first. */
static void work(struct srv_tally *t, struct srv_place *place)
{
    for (int i = 0; i < ROUNDS; i++) {
        if (!srv_place_take(t, place, LIMIT)) {
            if (!srv_place_wait(t, place, LIMIT + 2)) {
                atomic_fetch_add(&shared->refused, 1);
                sched_yield();
                continue;
            }
            while (!srv_place_take_waiting(t, place, LIMIT))
                sched_yield();
        }
        ran();
        srv_place_give(t, place);
    }
}

static void limits_hold(void **state)
{
    struct srv_tally *a = worker(WORKERS);
    struct srv_place *place = srv_tally_find(a, ID);
    pid_t pids[WORKERS];

    (void)state;
    for (uint32_t i = 0; i < WORKERS; i++)
        pids[i] = start(i, work);
    for (uint32_t i = 0; i < WORKERS; i++)
        wait_for(pids[i]);
    assert_int_equal(shared->bad, 0);
    assert_int_equal(shared->most, LIMIT);
    assert_int_equal(shared->done + shared->refused, WORKERS * ROUNDS);
    assert_true(shared->done > 0);
    for (int i = 0; i < LIMIT; i++)
        assert_true(srv_place_take(a, place, LIMIT));
    assert_false(srv_place_take(a, place, LIMIT));
    srv_tally_close(a);
}

/* One place, whose holder says so. */
static void hold(struct srv_tally *t, struct srv_place *place)
{
    const uint64_t me = (uint64_t)getpid();

    for (;;) {
        uint64_t nobody = 0;

        if (!srv_place_take(t, place, 1)) {
            if (!srv_place_wait(t, place, WORKERS))
                continue;
            while (!srv_place_take_waiting(t, place, 1))
                sched_yield();
        }
        if (!atomic_compare_exchange_strong(&shared->holder, &nobody, me))
            atomic_fetch_add(&shared->bad, 1);
        sched_yield();
        atomic_store(&shared->holder, 0);
        srv_place_give(t, place);
        atomic_fetch_add(&shared->done, 1);
    }
}

static void end(pid_t pid, uint32_t slot)
{
    uint64_t dead = (uint64_t)pid;

    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, NULL, 0), pid);
    atomic_compare_exchange_strong(&shared->holder, &dead, 0);
    srv_tally_clear(made, slot);
}

static void killed(void **state)
{
    struct srv_tally *a = worker(WORKERS);
    pid_t pids[WORKERS];

    (void)state;
    for (uint32_t i = 0; i < WORKERS; i++)
        pids[i] = start(i, hold);
    for (uint32_t n = 0; n < KILLS; n++) {
        uint64_t before = atomic_load(&shared->done);

        end(pids[n % WORKERS], n % WORKERS);
        pids[n % WORKERS] = start(n % WORKERS, hold);
        while (atomic_load(&shared->done) < before + 1 + n % 7) /* for ever, if it was lost */
            usleep(100);
    }
    for (uint32_t i = 0; i < WORKERS; i++)
        end(pids[i], i);
    assert_int_equal(shared->bad, 0);
    assert_true(srv_place_take(a, srv_tally_find(a, ID), 1));
    srv_tally_close(a);
}

/* A worker that was taken over writes what it wants: the others' counts are wrong then, and that is
 * all. */
static void overwritten(void **state)
{
    off_t bytes = lseek(fd, 0, SEEK_END);
    char *all = mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct srv_tally *a = worker(0);
    struct srv_place *place = srv_tally_find(a, ID);
    uint32_t heard = 0;

    (void)state;
    assert_ptr_not_equal(all, MAP_FAILED);
    memset(all, 0xff, (size_t)bytes);
    srv_tally_clear(made, 1);
    srv_tally_begin(made, WORKERS);
    assert_null(srv_tally_find(a, ID));
    assert_false(srv_place_take(a, place, 1));
    assert_false(srv_place_wait(a, place, 1));
    assert_false(srv_place_take_waiting(a, place, 1));
    srv_place_give(a, place);
    srv_tally_listen(a, &heard, 1000000);
    assert_null(srv_tally_open(fd, 1));
    munmap(all, (size_t)bytes);
    srv_tally_close(a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counts, setup, teardown),
        cmocka_unit_test_setup_teardown(turns, setup, teardown),
        cmocka_unit_test_setup_teardown(a_turn_is_lost, setup, teardown),
        cmocka_unit_test_setup_teardown(wakes, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_memory, setup, teardown),
        cmocka_unit_test_setup_teardown(overwritten, setup, teardown),
        cmocka_unit_test_setup_teardown(full, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(killed, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
