/* The ring of records: order, laps, a full ring, many writers, and writers that are killed in the
 * middle. */
#include "platform/record.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"

#define BATCH 100

static struct plat_ring *make_ring(void)
{
    void *memory =
        mmap(NULL, plat_ring_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    assert_true(memory != MAP_FAILED);
    assert_null(plat_ring_open(memory, plat_ring_bytes()));
    plat_ring_init(memory, 77);
    assert_null(plat_ring_open(memory, plat_ring_bytes() - 1));
    assert_int_equal(plat_ring_id(plat_ring_open(memory, plat_ring_bytes())), 77);
    return memory;
}

static void end_ring(struct plat_ring *ring)
{
    munmap(ring, plat_ring_bytes());
}

/* Another number, by which a record is known to be whole. */
static uint64_t other_of(uint64_t n)
{
    return n ^ (PLAT_RECORD_NUMBER_MAX - 1);
}

static bool write_number(struct plat_ring *ring, uint64_t n, unsigned wait_ms)
{
    struct plat_record record = {.gas = n, .bytes_in = n * 3, .bytes_out = other_of(n)};

    return plat_ring_write(ring, &record, wait_ms);
}

static void test_laps(void **state)
{
    struct plat_ring *ring = make_ring();
    struct plat_record records[BATCH];
    uint64_t position = 0, written = 0, read = 0;

    (void)state;
    assert_int_equal(plat_ring_read(ring, &position, records, BATCH), 0);
    while (read < 3 * PLAT_RING_RECORDS + 5) {
        for (unsigned i = 0; i < 70; i++)
            assert_true(write_number(ring, written++, 0));
        for (size_t n; (n = plat_ring_read(ring, &position, records, BATCH)) > 0;) {
            for (size_t i = 0; i < n; i++)
                assert_true(records[i].gas == read++);
        }
        assert_true(position == written);
        plat_ring_free(ring, position);
    }
    end_ring(ring);
}

/* Nothing is overwritten before it is freed; a reader that starts again reads the same. */
static void test_full(void **state)
{
    struct plat_ring *ring = make_ring();
    struct plat_record record;
    uint64_t position = 0;

    (void)state;
    for (uint64_t i = 0; i < PLAT_RING_RECORDS; i++)
        assert_true(write_number(ring, i, 0));
    assert_false(write_number(ring, 9, 2));
    assert_int_equal(plat_ring_read(ring, &position, &record, 1), 1);
    assert_false(write_number(ring, 9, 0)); /* read, but not freed */
    position = 0;
    assert_int_equal(plat_ring_read(ring, &position, &record, 1), 1);
    assert_true(record.gas == 0);
    plat_ring_free(ring, position);
    assert_true(write_number(ring, PLAT_RING_RECORDS, 0));
    assert_false(write_number(ring, 9, 0));
    position = 0; /* an old position: what is gone is passed */
    assert_int_equal(plat_ring_read(ring, &position, &record, 1), 1);
    assert_true(record.gas == 1);
    end_ring(ring);
}

static void test_strings(void **state)
{
    struct plat_ring *ring = make_ring();
    struct plat_record record;
    uint64_t position = 0;

    (void)state;
    memset(&record, 'x', sizeof record);
    assert_true(plat_ring_write(ring, &record, 0));
    assert_int_equal(plat_ring_read(ring, &position, &record, 1), 1);
    assert_int_equal(strlen(record.id), sizeof record.id - 1);
    assert_int_equal(strlen(record.tenant), sizeof record.tenant - 1);
    assert_int_equal(strlen(record.method), sizeof record.method - 1);
    end_ring(ring);
}

#define WRITERS 4
#define EACH 20000

static void *write_many(void *data)
{
    static _Atomic uint64_t next;
    uint64_t first = atomic_fetch_add(&next, EACH);

    for (uint64_t i = 0; i < EACH; i++) {
        if (!write_number(data, first + i, 10000))
            return data;
    }
    return NULL;
}

/* Several threads write while one reads: each record once, none torn. */
static void test_writers(void **state)
{
    struct plat_ring *ring = make_ring();
    struct plat_record records[BATCH];
    static unsigned char seen[WRITERS * EACH];
    pthread_t threads[WRITERS];
    uint64_t position = 0;
    void *failed;

    (void)state;
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, write_many, ring), 0);
    while (position < WRITERS * EACH) {
        size_t n = plat_ring_read(ring, &position, records, BATCH);

        for (size_t i = 0; i < n; i++) {
            assert_true(records[i].gas < WRITERS * EACH);
            assert_true(records[i].bytes_in == records[i].gas * 3);
            assert_true(records[i].bytes_out == other_of(records[i].gas));
            assert_int_equal(seen[records[i].gas]++, 0);
        }
        plat_ring_free(ring, position);
    }
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    end_ring(ring);
}

/* What a writer has told of: it is written behind the record. */
struct told {
    _Atomic uint64_t count;
};

static void write_until_killed(struct plat_ring *ring, struct told *told, uint64_t from)
{
    for (uint64_t n = from;; n++) {
        if (!write_number(ring, n, 10000))
            _exit(1);
        atomic_store(&told->count, n + 1);
    }
}

/* Writers that are killed anywhere, one after the other: whatever a writer had been told is written
 * is read, in order and once, and what one left half does not stop the next. */
static void test_killed(void **state)
{
    struct plat_ring *ring = make_ring();
    struct told *told =
        mmap(NULL, sizeof *told, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct plat_record records[BATCH];
    uint64_t position = 0, next = 0;

    (void)state;
    for (unsigned round = 0; round < 200; round++) {
        uint64_t from = next;
        pid_t pid = fork();
        size_t n;

        if (pid == 0)
            write_until_killed(ring, told, from);
        while (next < from + round % 50) {
            n = plat_ring_read(ring, &position, records, BATCH);
            for (size_t i = 0; i < n; i++)
                assert_true(records[i].gas == next++);
            plat_ring_free(ring, position);
        }
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        while ((n = plat_ring_read(ring, &position, records, BATCH)) > 0) {
            for (size_t i = 0; i < n; i++) {
                assert_true(records[i].gas == next++);
                assert_true(records[i].bytes_out == other_of(records[i].gas));
            }
            plat_ring_free(ring, position);
        }
        assert_true(next >= atomic_load(&told->count));
    }
    munmap(told, sizeof *told);
    end_ring(ring);
}

/* The very middle: a place that its writer had claimed and not filled. The layout is the ring's
 * own, so this finds the word of the first place by what it holds after a write. */
static void test_half(void **state)
{
    struct plat_ring *ring = make_ring();
    _Atomic uint64_t *word = NULL;
    uint64_t position = 0, expected = (uint64_t)getpid() << 2 | 2;
    struct plat_record record;
    pid_t dead = fork();

    (void)state;
    if (dead == 0)
        _exit(0);
    waitpid(dead, NULL, 0);
    assert_true(write_number(ring, 1, 0));
    assert_true(write_number(ring, 2, 0));
    for (size_t i = 0; i < 4096 && !word; i += 8) {
        if (*(uint64_t *)((char *)ring + i) == expected)
            word = (_Atomic uint64_t *)((char *)ring + i);
    }
    assert_non_null(word);
    atomic_store(word, (uint64_t)getpid() << 2 | 1); /* we are writing it: wait for us */
    assert_int_equal(plat_ring_read(ring, &position, &record, 1), 0);
    assert_true(position == 0);
    atomic_store(word, (uint64_t)dead << 2 | 1);
    assert_int_equal(plat_ring_read(ring, &position, &record, 1), 1);
    assert_true(record.gas == 2);
    assert_true(position == 2);
    end_ring(ring);
}

/* All are killed at once: what is whole is read, the rest is not waited for, whoever has the
 * writers' ids by then. */
static void test_settle(void **state)
{
    struct plat_ring *ring = make_ring();
    uint64_t position = 0, writing = (uint64_t)getpid() << 2 | 1;
    struct plat_record record;

    (void)state;
    assert_true(plat_ring_is_empty(ring));
    assert_true(write_number(ring, 1, 0));
    assert_true(write_number(ring, 2, 0));
    assert_false(plat_ring_is_empty(ring));
    for (size_t i = 0; i < 4096; i += 8) {
        if (*(uint64_t *)((char *)ring + i) == writing + 1)
            *(uint64_t *)((char *)ring + i) = writing;
    }
    assert_int_equal(plat_ring_read(ring, &position, &record, 1), 0);
    plat_ring_settle(ring);
    assert_int_equal(plat_ring_read(ring, &position, &record, 1), 1);
    assert_true(record.gas == 2 && position == 2);
    plat_ring_free(ring, position);
    assert_true(plat_ring_is_empty(ring));
    for (unsigned i = 0; i < PLAT_RING_RECORDS; i++) /* a lap later */
        assert_true(write_number(ring, i, 0));
    assert_false(write_number(ring, 0, 0));
    assert_false(plat_ring_is_empty(ring));
    plat_ring_free(ring, position + PLAT_RING_RECORDS);
    assert_true(plat_ring_is_empty(ring));
    end_ring(ring);
}

#define NAMES 100

/* The number of `name` is that of this name and cost, and nobody else's. */
static void check_host(struct plat_ring *ring, unsigned number, const char *name, uint32_t cost)
{
    char text[PLAT_HOST_NAME_MAX + 1];
    uint32_t got;

    assert_true(plat_ring_host_read(ring, number, text, &got));
    assert_string_equal(text, name);
    assert_int_equal(got, cost);
}

static void test_hosts(void **state)
{
    struct plat_ring *ring = make_ring();
    char text[PLAT_HOST_NAME_MAX + 1], longer[2 * PLAT_HOST_NAME_MAX], name[40];
    unsigned number = plat_ring_host(ring, "wasi_snapshot_preview1.fd_write", 50), n = 0, more;
    uint32_t cost;

    (void)state;
    check_host(ring, number, "wasi_snapshot_preview1.fd_write", 50);
    assert_int_equal(plat_ring_host(ring, "wasi_snapshot_preview1.fd_write", 50), number);
    more = plat_ring_host(ring, "wasi_snapshot_preview1.fd_write", 51);
    assert_int_not_equal(more, number);
    check_host(ring, more, "wasi_snapshot_preview1.fd_write", 51);
    assert_int_not_equal(plat_ring_host(ring, "wasi_snapshot_preview1.fd_writ", 50), number);
    memset(longer, 'l', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    number = plat_ring_host(ring, longer, 1);
    assert_int_equal(plat_ring_host(ring, longer, 1), number);
    longer[PLAT_HOST_NAME_MAX] = '\0';
    check_host(ring, number, longer, 1);
    assert_false(plat_ring_host_read(ring, 0, text, &cost));
    assert_false(plat_ring_host_read(ring, PLAT_RING_HOSTS, text, &cost));
    assert_false(plat_ring_host_read(ring, UINT32_MAX, text, &cost));
    do {
        snprintf(name, sizeof name, "m.f%u", n++);
        number = plat_ring_host(ring, name, n);
        if (number)
            check_host(ring, number, name, n);
    } while (number);
    assert_int_equal(n - 1, PLAT_RING_HOSTS - 1 - 4);
    end_ring(ring);
}

static void *number_many(void *data)
{
    for (unsigned round = 0; round < 50; round++) {
        for (unsigned i = 0; i < NAMES; i++) {
            char name[20], text[PLAT_HOST_NAME_MAX + 1];
            uint32_t cost;

            snprintf(name, sizeof name, "m.f%u", i);
            if (!plat_ring_host_read(data, plat_ring_host(data, name, i), text, &cost) ||
                strcmp(text, name) != 0 || cost != i)
                return data;
        }
    }
    return NULL;
}

static void test_hosts_of_threads(void **state)
{
    struct plat_ring *ring = make_ring();
    pthread_t threads[WRITERS];
    void *failed;

    (void)state;
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, number_many, ring), 0);
    for (int i = 0; i < WRITERS; i++) {
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    end_ring(ring);
}

/* What cannot be added up, or be kept in a database, is not read. */
static void test_untrusted(void **state)
{
    struct plat_ring *ring = make_ring();
    struct plat_record record = {.gas = UINT64_MAX, .cpu_ns = 5, .bytes_out = INT64_MAX};
    uint64_t position = 0;

    (void)state;
    memcpy(record.tenant, "a\xff\xc3z", 5);
    memset(record.function, 'x', sizeof record.function);
    memcpy(record.function + sizeof record.function - 3, "\xe2\x82\xac", 3); /* cut by the end */
    memcpy(record.id, "\xe2\x82\xac", 4);
    assert_true(plat_ring_write(ring, &record, 0));
    assert_int_equal(plat_ring_read(ring, &position, &record, 1), 1);
    assert_true(record.gas == PLAT_RECORD_NUMBER_MAX && record.cpu_ns == 5 &&
                record.bytes_out == PLAT_RECORD_NUMBER_MAX);
    assert_string_equal(record.tenant, "a??z");
    assert_string_equal(record.id, "\xe2\x82\xac");
    assert_true(sv_utf8_valid(record.function, strlen(record.function)));
    assert_int_equal(strlen(record.function), sizeof record.function - 1);
    end_ring(ring);
}

/* Everything in the ring may be anything: reading ends, and gives records. */
static void test_damaged(void **state)
{
    struct plat_ring *ring = make_ring();
    unsigned char *bytes = (unsigned char *)ring;
    struct plat_record *records = calloc(PLAT_RING_RECORDS + 1, sizeof *records);
    uint64_t position = 0;

    (void)state;
    srand(7);
    for (unsigned round = 0; round < 3000; round++) {
        size_t n, at;

        for (unsigned i = 0; i < 40; i++) /* the head, the first words, anywhere */
            bytes[(size_t)rand() % (i < 10   ? 200
                                    : i < 30 ? 4096
                                             : plat_ring_bytes())] = (unsigned char)rand();
        if (round % 3 == 0) { /* places that say they are passed over, as far as one sees */
            for (at = 192; at + 8 < plat_ring_bytes() / 64; at += 520)
                *(uint64_t *)(void *)(bytes + at) = ((at - 192) / 520 + position) << 24 | 3;
        }
        plat_ring_open(ring, plat_ring_bytes());
        n = plat_ring_read(ring, &position, records, PLAT_RING_RECORDS + 1);
        assert_true(n <= PLAT_RING_RECORDS);
        for (size_t i = 0; i < n; i++)
            assert_true(records[i].gas <= PLAT_RECORD_NUMBER_MAX &&
                        sv_utf8_valid(records[i].tenant, strlen(records[i].tenant)));
        plat_ring_free(ring, position);
        plat_ring_is_empty(ring);
        write_number(ring, round, 0);
        plat_ring_host(ring, "m.f", round);
        for (unsigned i = 0; i < 20; i++) {
            char text[PLAT_HOST_NAME_MAX + 1];
            uint32_t cost;

            if (plat_ring_host_read(ring, (unsigned)rand() % PLAT_RING_HOSTS, text, &cost))
                assert_true(sv_utf8_valid(text, strlen(text)));
        }
        if (round % 100 == 99) {
            plat_ring_settle(ring);
            position = (uint64_t)rand();
        }
    }
    free(records);
    end_ring(ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_laps),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_writers),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_half),
        cmocka_unit_test(test_settle),
        cmocka_unit_test(test_untrusted),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_hosts_of_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
