/* Many threads with one machine, and calls with arguments by chance. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "test.h"

#define THREADS 4
#define ROUNDS 50

static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* ---- Threads ---- */

static void *run_rounds(void *arg)
{
    struct script *s = calloc(1, sizeof *s);
    struct host *h = calloc(1, sizeof *h);

    probe_init(h, arg);
    step_number(s, DEEP, 20000, 8);
    step_call(s, FN_get_gas_left);
    for (int i = 0; i < ROUNDS; i++) {
        struct code c = {test_token.bytes, test_token.size};
        struct evmc_message m = {.kind = EVMC_CALL, .gas = 10};
        struct run r = probe_run(h, s, 30000, 0);
        struct evmc_result other;

        CHECK_EQ(r.result.status_code, EVMC_SUCCESS);
        CHECK_EQ(run_number(&r, 0), 0);
        run_release(&r);
        other = h->vm->execute(h->vm, &host_interface, (struct evmc_host_context *)h, EVMC_CANCUN,
                               &m, c.bytes, c.size);
        CHECK_EQ(other.status_code, EVMC_REVERT); /* no data */
        host_release_result(&other);
    }
    host_release(h);
    free(h);
    free(s);
    return NULL;
}

void test_threads(struct evmc_vm *vm)
{
    pthread_t threads[THREADS];

    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i], NULL, run_rounds, vm);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

/* ---- Chance ---- */

/* Numbers that functions stumble over, more often than others. */
static int64_t argument(uint64_t *state)
{
    static const int64_t edges[] = {0,
                                    1,
                                    2,
                                    3,
                                    4,
                                    5,
                                    32,
                                    MEMORY_SIZE - 32,
                                    MEMORY_SIZE - 20,
                                    MEMORY_SIZE - 1,
                                    MEMORY_SIZE,
                                    INT32_MAX,
                                    UINT32_MAX,
                                    UINT32_MAX - 31,
                                    INT64_MAX,
                                    INT64_MIN,
                                    -1};
    uint64_t r = next(state);

    switch (r % 4) {
    case 0:
        return edges[(r >> 8) % (sizeof edges / sizeof edges[0])];
    case 1:
        return SCRATCH + (int64_t)((r >> 8) % 0x8000);
    case 2:
        return (int64_t)((r >> 8) % 300);
    default:
        return (int64_t)next(state);
    }
}

static void random_step(struct script *s, uint64_t *state, enum function f)
{
    uint8_t bytes[64];

    if (next(state) % 4 == 0) { /* something for the functions to find */
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = next(state) % 3 ? 0 : (uint8_t)next(state);
        if (next(state) % 2) {
            evmc_address a = host_address((uint8_t)(next(state) % 5));

            memcpy(bytes, &a, sizeof a);
        }
        step_set(s, (uint32_t)(SCRATCH + next(state) % 0x7000), bytes, sizeof bytes);
    }
    step_call(s, f, argument(state), argument(state), argument(state), argument(state),
              argument(state), argument(state), argument(state));
}

void test_fuzz(struct evmc_vm *vm, unsigned long calls, uint64_t seed)
{
    struct script *s = calloc(1, sizeof *s);
    struct host *h = calloc(1, sizeof *h);
    unsigned long counts[FN_COUNT] = {0}, done = 0, least = calls;
    evmc_address other = host_address(3);
    uint64_t state = seed;

    printf("seed %llu\n", (unsigned long long)seed);
    while (done < calls) {
        unsigned more = (unsigned)(next(&state) % 6);
        enum function f = (enum function)(next(&state) % FN_COUNT);
        struct run r;

        if (h->vm)
            host_release(h);
        probe_init(h, vm);
        host_put_code(h, &other, test_token.bytes, test_token.size);
        h->nonsense =
            next(&state) % 8 ? NO_NONSENSE : (enum nonsense)(next(&state) % NONSENSE_COUNT);
        s->n = 0;
        random_step(s, &state, f);
        counts[f]++;
        done++;
        while (more--) /* not counted: the first one ends most contracts */
            random_step(s, &state, (enum function)(next(&state) % FN_COUNT));
        r = probe_run(h, s, next(&state) % 3 ? 1000000 : (int64_t)(next(&state) % 100000),
                      next(&state) % 4 ? 0 : EVMC_STATIC);
        CHECK(r.result.gas_left >= 0 &&
              (r.result.status_code == EVMC_SUCCESS || r.result.status_code == EVMC_REVERT ||
               (r.result.gas_left == 0 && !r.result.output_data)));
        run_release(&r);
    }
    host_release(h);
    free(h);
    free(s);
    for (int f = 0; f < FN_COUNT; f++)
        least = counts[f] < least ? counts[f] : least;
    printf("%lu calls, each function at least %lu times\n", done, least);
}
