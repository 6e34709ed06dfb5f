/* Whose turn it is: queues of calls by tenant and function, the rate of a function, and the limits
 * of a request. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/config.h"
#include "serve/conn.h"
#include "serve/fair.h"
#include "serve/function.h"

#define TENANTS 4
#define FUNCTIONS 3 /* of each */
#define CALLS 400
#define SECOND 1000000000U

static struct srv_function functions[TENANTS][FUNCTIONS];
static struct srv_conn conns[CALLS];
static struct srv_work *works;
static struct srv_fair fair;

static int setup(void **state)
{
    static const char names[TENANTS][4] = {"a", "b", "c", "d"};

    (void)state;
    memset(&fair, 0, sizeof fair);
    memset(functions, 0, sizeof functions);
    memset(conns, 0, sizeof conns);
    works = calloc(CALLS, sizeof *works);
    for (int t = 0; t < TENANTS; t++) {
        for (int f = 0; f < FUNCTIONS; f++)
            functions[t][f].quota.share = srv_fair_share(&fair, names[t]);
    }
    for (int i = 0; i < CALLS; i++)
        conns[i].work = &works[i];
    return works ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    srv_fair_release(&fair);
    free(works);
    return 0;
}

static void put(int call, int tenant, int function, uint64_t concurrency)
{
    works[call].request.function = &functions[tenant][function];
    works[call].request.limits.concurrency = concurrency;
    srv_fair_put(&fair, &conns[call]);
}

static void one_tenant_is_one_share(void **state)
{
    (void)state;
    assert_ptr_equal(functions[0][0].quota.share, functions[0][2].quota.share);
    assert_ptr_not_equal(functions[0][0].quota.share, functions[1][0].quota.share);
}

static long number_of(const struct srv_conn *conn)
{
    return conn->work->request.function - functions[0];
}

/* Who asks for much waits for himself: the only call of b, and of c, are not behind all of a's. */
static void turns(void **state)
{
    static const int wanted[] = {0, 8, 9, 4, 1, 5, 2, 6, 3, 7};

    (void)state;
    for (int i = 0; i < 4; i++)
        put(i, 0, 0, 100);
    for (int i = 4; i < 8; i++)
        put(i, 0, 1, 100);
    put(8, 1, 0, 100);
    put(9, 2, 0, 100);
    assert_int_equal(fair.queued, 10);
    for (int i = 0; i < 10; i++)
        assert_int_equal(srv_fair_take(&fair, 100) - conns, wanted[i]);
    assert_null(srv_fair_take(&fair, 100));
    assert_int_equal(fair.queued, 0);
}

static void limits_hold(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        put(i, 0, 0, 2);
    put(4, 0, 1, 1);
    put(5, 1, 0, 1);
    for (int i = 0; i < 4; i++)
        assert_non_null(srv_fair_take(&fair, 3));
    assert_null(srv_fair_take(&fair, 3)); /* a has 3, b its one */
    assert_int_equal(functions[0][0].quota.running, 2);
    assert_int_equal(functions[0][0].quota.share->running, 3);
    srv_fair_end(&conns[4]);
    assert_null(srv_fair_take(&fair, 3)); /* its function has 2 */
    srv_fair_end(&conns[0]);
    assert_ptr_equal(srv_fair_take(&fair, 3), &conns[2]);
    assert_null(srv_fair_take(&fair, 3));
    /* The last that was put goes again. */
    srv_fair_remove(&fair, &conns[3]);
    assert_int_equal(fair.queued, 0);
    assert_null(fair.ring);
}

/* Random work: nothing is lost, nothing runs above its limits, each function's calls keep their
 * order. */
static void random_work(void **state)
{
    unsigned seed = 7, done = 0, running[TENANTS] = {0};
    int next = 0, last[TENANTS][FUNCTIONS], on[CALLS], non = 0;

    (void)state;
    memset(last, -1, sizeof last);
    while (done < CALLS) {
        seed = seed * 1103515245 + 12345;
        if (seed >> 30 == 0 && next < CALLS) {
            put(next, (int)(seed >> 8 & 0xff) % TENANTS, (int)(seed >> 16 & 0xff) % FUNCTIONS, 2);
            if (seed >> 28 & 1) {
                srv_fair_remove(&fair, &conns[next]);
                srv_fair_put(&fair, &conns[next]);
            }
            next++;
        } else if (seed >> 30 == 1 && non > 0) {
            int at = (int)(seed >> 4) % non;
            struct srv_conn *conn = &conns[on[at]];

            running[number_of(conn) / FUNCTIONS]--;
            srv_fair_end(conn);
            on[at] = on[--non];
            done++;
        } else {
            struct srv_conn *conn = srv_fair_take(&fair, 3);
            long at;

            if (!conn)
                continue;
            at = number_of(conn);
            assert_true(conn - conns > last[at / FUNCTIONS][at % FUNCTIONS]);
            last[at / FUNCTIONS][at % FUNCTIONS] = (int)(conn - conns);
            assert_true(++running[at / FUNCTIONS] <= 3);
            assert_true(functions[at / FUNCTIONS][at % FUNCTIONS].quota.running <= 2);
            on[non++] = (int)(conn - conns);
        }
    }
    assert_int_equal(fair.queued, 0);
    assert_null(fair.ring);
}

static void rate(void **state)
{
    struct srv_quota q = {0};
    uint64_t now = 100 * (uint64_t)SECOND;
    unsigned n = 0;

    (void)state;
    for (int i = 0; i < 100; i++)
        assert_int_equal(srv_quota_pass(&q, 0, now), 0); /* none is no limit */
    for (int i = 0; i < 100; i++)
        n += srv_quota_pass(&q, 10, now) == 0;
    assert_int_equal(n, 10); /* a burst of a second's calls */
    assert_int_equal(srv_quota_pass(&q, 10, now), 1);
    /* In ten seconds, asked all the time: a hundred more. */
    n = 0;
    for (int i = 0; i < 10000; i++)
        n += srv_quota_pass(&q, 10, now += SECOND / 1000) == 0;
    assert_in_range(n, 99, 101);
    /* Rest does not add up. */
    now += 1000 * (uint64_t)SECOND;
    n = 0;
    for (int i = 0; i < 100; i++)
        n += srv_quota_pass(&q, 10, now) == 0;
    assert_int_equal(n, 10);
}

/* A function's own limits, at most the server's. */
static void of_a_request(void **state)
{
    struct srv_config config = {.calls = 16,
                                .queue = 2048,
                                .call_ms = 10000,
                                .memory = 1 << 20,
                                .body = 1000,
                                .output = 1000,
                                .errors = 100};
    struct plat_limits asked = {.wall_ms = 200,
                                .memory = 1 << 30,
                                .gas = 5,
                                .concurrency = 100,
                                .rate = 7},
                       ret;

    (void)state;
    srv_limits_find(&config, NULL, &ret);
    assert_int_equal(ret.wall_ms, 10000);
    assert_int_equal(ret.concurrency, 12); /* of 16, so that others have some */
    assert_int_equal(ret.gas, 0);
    assert_int_equal(ret.rate, 0);
    srv_limits_find(&config, &asked, &ret);
    assert_int_equal(ret.wall_ms, 200);
    assert_int_equal(ret.memory, 1 << 20);
    assert_int_equal(ret.gas, 5);
    assert_int_equal(ret.concurrency, 16);
    assert_int_equal(ret.rate, 7);
    assert_int_equal(ret.body, 1000);
    config.gas = 3;
    srv_limits_find(&config, &asked, &ret);
    assert_int_equal(ret.gas, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_tenant_is_one_share, setup, teardown),
        cmocka_unit_test_setup_teardown(turns, setup, teardown),
        cmocka_unit_test_setup_teardown(limits_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(random_work, setup, teardown),
        cmocka_unit_test(rate),
        cmocka_unit_test(of_a_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
