/* Metrics, series and failures: what is counted is told, bounded, to whom it may be. With an
 * argument: writes the metrics of 300 functions to standard output, for a parser. */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "control/hostcalls.h"
#include "control/live.h"
#include "control/log.h"
#include "control/metrics.h"
#include "control/part.h"
#include "control/why.h"
#include "control/workers.h"

static char folder[] = "/tmp/ssvm-seen-XXXXXX";
static struct ctl_server server;

/* ---- What they are connected with ---- */

int ctl_pool_every(struct ctl_server *s, unsigned every_ms, void (*fn)(struct ctl_server *, void *),
                   void *data)
{
    (void)s, (void)every_ms, (void)fn, (void)data;
    return 0;
}

unsigned ctl_workers_count(struct ctl_server *s)
{
    (void)s;
    return 1;
}

void ctl_workers_ask_all(struct ctl_server *s, struct plat_message *m, uint64_t deadline_ns,
                         void (*fn)(void *, unsigned, const char *, const struct plat_message *),
                         void *data)
{
    static const char body[] =
        "{\"pid\":1,\"connections\":3,\"requests\":[{\"id\":\"1\",\"tenant\":\"a\"},"
        "{\"id\":\"2\",\"tenant\":\"b\"}]}";
    struct plat_message answer;

    (void)s, (void)m, (void)deadline_ns;
    plat_message_init(&answer, PLAT_ASK_STATUS);
    plat_put_str(&answer, PLAT_TAG_BODY, body);
    fn(data, 0, "", &answer);
    plat_message_release(&answer);
}

void ctl_log_event(struct ctl_server *s, enum ctl_log_level level, const char *event,
                   const char *tenant, const char *function, const char *id, const char *message)
{
    (void)s, (void)level, (void)event, (void)tenant, (void)function, (void)id, (void)message;
}

uint64_t ctl_log_lost(struct ctl_server *s)
{
    (void)s;
    return 0;
}

/* ---- Helpers ---- */

static struct plat_record record_of(const char *tenant, const char *function)
{
    struct plat_record r = {.time_ns = sv_clock_wall_ns(),
                            .wall_ns = 2000000,
                            .run_ns = 1000000,
                            .gas = 10,
                            .status = 200};

    snprintf(r.tenant, sizeof r.tenant, "%s", tenant);
    snprintf(r.function, sizeof r.function, "%s", function);
    return r;
}

static char *metrics_of(const char *tenant)
{
    struct sv_err err = {0};
    struct sv_buf out;

    sv_buf_init(&out, 16 << 20);
    assert_int_equal(ctl_metrics_write(&server, &err, tenant, &out), 0);
    return sv_buf_take(&out, NULL);
}

static unsigned lines_with(const char *text, const char *what)
{
    unsigned n = 0;

    for (; (text = strstr(text, what)) != NULL; text++)
        n++;
    return n;
}

static void count_many(void)
{
    for (unsigned i = 0; i < 300; i++) {
        char name[40];
        struct plat_record r;

        snprintf(name, sizeof name, "f%u\"\\", i);
        r = record_of("many", name);
        r.hosts[0] = 5; /* of others */
        r.hosts[1] = 2;
        ctl_metrics_count(&server, &r);
        ctl_metrics_count(&server, &r);
    }
}

/* ---- Tests ---- */

static void metrics_are_bounded(void **state)
{
    char *text;

    (void)state;
    count_many();
    text = metrics_of("many");
    assert_int_equal(lines_with(text, "ssvm_gas_total{tenant=\"many\",function=\"f"),
                     CTL_METRICS_FUNCTIONS);
    assert_int_equal(lines_with(text, "ssvm_build_info"), 0);
    sv_free(text);
    text = metrics_of(NULL);
    assert_non_null(strstr(text, "ssvm_gas_total{tenant=\"other\",function=\"other\"} 2000\n"));
    assert_non_null(strstr(text, "ssvm_requests_total{tenant=\"many\",function=\"f7\\\"\\\\\","
                                 "status=\"2xx\"} 2\n"));
    assert_non_null(
        strstr(text, "ssvm_host_calls_total{tenant=\"other\",function=\"other\"} 1400\n"));
    assert_non_null(strstr(text, "ssvm_connections{process=\"worker-0\"} 3\n"));
    assert_non_null(
        strstr(text, "_bucket{tenant=\"other\",function=\"other\",le=\"0.0025\"} 200\n"));
    sv_free(text);
    text = metrics_of("nobody");
    assert_int_equal(lines_with(text, "{"), 0);
    sv_free(text);
}

static json_int_t sum_of(const json_t *object, const char *name)
{
    json_int_t sum = 0;
    json_t *n;
    size_t i;

    json_array_foreach(json_object_get(object, name), i, n)
    {
        sum += json_integer_value(n);
    }
    return sum;
}

static void series_count(void **state)
{
    struct plat_record r = record_of("s", "f");
    struct sv_err err = {0};
    json_t *series = NULL;

    (void)state;
    for (unsigned i = 0; i < 100; i++) {
        r.wall_ns = i < 98 ? 1000000 : 50000000;
        r.time_ns = sv_clock_wall_ns() - (uint64_t)i * 30 * 1000000000;
        ctl_live_count(&server, &r);
    }
    r.time_ns -= 7200000000000; /* too old to be shown */
    ctl_live_count(&server, &r);
    for (unsigned i = 0; i < 500; i++) { /* others do not push it out: it was active last */
        struct plat_record other;
        char name[20];

        snprintf(name, sizeof name, "other%u", i % 100);
        other = record_of("s2", name);
        ctl_live_count(&server, &other);
    }
    assert_int_equal(ctl_live_series(&server, &err, "s", "f", &series), 0);
    assert_int_equal(sum_of(series, "calls"), 100);
    assert_int_equal(sum_of(series, "gas"), 1000);
    assert_int_equal(json_array_size(json_object_get(series, "p99_ms")), 360);
    json_decref(series);
    assert_int_equal(ctl_live_series(&server, &err, "s2", NULL, &series), 0);
    assert_int_equal(sum_of(series, "calls"), 500);
    json_decref(series);
    assert_int_equal(ctl_live_series(&server, &err, "s2", "f", &series), 0);
    assert_int_equal(sum_of(series, "calls"), 0);
    json_decref(series);
}

static void live_is_ones_own(void **state)
{
    struct sv_err err = {0};
    json_t *live = NULL;

    (void)state;
    assert_int_equal(ctl_live_get(&server, &err, "b", &live), 0);
    assert_int_equal(json_array_size(json_object_get(live, "requests")), 1);
    assert_null(json_object_get(live, "processes"));
    json_decref(live);
    assert_int_equal(ctl_live_get(&server, &err, NULL, &live), 0);
    assert_int_equal(json_array_size(json_object_get(live, "requests")), 2);
    assert_int_equal(json_array_size(json_object_get(live, "processes")), 2);
    json_decref(live);
}

static void fail_request(const char *id, const char *tenant, const char *function)
{
    struct plat_record r = record_of(tenant, function);
    struct plat_message m, answer;
    struct sv_err err = {0};

    snprintf(r.id, sizeof r.id, "%s", id);
    snprintf(r.code, sizeof r.code, "trap");
    r.status = 500;
    r.trap = 8;
    plat_message_init(&m, PLAT_FAILURE);
    plat_message_init(&answer, PLAT_FAILURE);
    plat_put(&m, PLAT_TAG_RECORD, &r, sizeof r);
    plat_put_str(&m, PLAT_TAG_TEXT, "integer divide by zero");
    plat_put_str(&m, PLAT_TAG_BACKTRACE,
                 "0: middle at 0x2f3 (./deep.h:3 in divide, inlined at g.c:9)\n1: main at 0x251\n");
    plat_put(&m, PLAT_TAG_ERRORS, "bad \xff byte", 10);
    plat_put_str(&m, PLAT_TAG_LIMITS, "deadline_ms 10000\ngas 5\n");
    plat_put_str(&m, PLAT_TAG_HOSTS, "w.read 3 150\nother 2 0\n no line\nw.cut 1");
    assert_int_equal(ctl_why_note(&server, &err, &m, &answer), 0);
    plat_message_release(&m);
    plat_message_release(&answer);
}

static const char *text_at(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void check_failure(const char *id, const char *tenant)
{
    struct sv_err err = {0};
    json_t *why = NULL, *frame, *hosts;

    assert_int_equal(ctl_why_get(&server, &err, id, tenant, &why), 0);
    assert_string_equal(text_at(why, "message"), "integer divide by zero");
    assert_string_equal(text_at(why, "stderr"), "bad \xef\xbf\xbd byte");
    frame = json_array_get(json_object_get(why, "backtrace"), 0);
    assert_string_equal(text_at(frame, "function"), "middle");
    assert_string_equal(text_at(frame, "file"), "./deep.h");
    assert_int_equal(json_integer_value(json_object_get(frame, "line")), 3);
    assert_null(json_object_get(json_array_get(json_object_get(why, "backtrace"), 1), "file"));
    assert_int_equal(
        json_integer_value(json_object_get(json_object_get(why, "limits"), "deadline_ms")), 10000);
    assert_int_equal(json_integer_value(json_object_get(why, "trap")), 8);
    hosts = json_object_get(why, "host_calls");
    assert_int_equal(json_array_size(hosts), 2);
    assert_string_equal(text_at(json_array_get(hosts, 0), "name"), "w.read");
    assert_int_equal(json_integer_value(json_object_get(json_array_get(hosts, 0), "gas")), 150);
    json_decref(why);
}

static void tells_why(void **state)
{
    struct sv_err err = {0};
    json_t *list = NULL, *why = NULL;

    (void)state;
    fail_request("01", "a", "f");
    check_failure("01", "a"); /* not written yet */
    assert_int_equal(ctl_why_list(&server, &err, "a", NULL, NULL, 0, &list), 0);
    assert_int_equal(json_array_size(json_object_get(list, "failures")), 1);
    json_decref(list);
    check_failure("01", "a"); /* written */
    check_failure("01", NULL);
    assert_int_equal(ctl_why_get(&server, &err, "01", "b", &why), SV_ENOTFOUND);
    assert_int_equal(ctl_why_list(&server, &err, "b", NULL, NULL, 0, &list), 0);
    assert_int_equal(json_array_size(json_object_get(list, "failures")), 0);
    json_decref(list);
}

static void keeps_the_last(void **state)
{
    struct sv_err err = {0};
    const char *before = NULL;
    char next[40];
    json_t *list = NULL;
    unsigned n = 0;

    (void)state;
    fail_request("kept", "a", "other");
    for (unsigned i = 0; i < 3 * CTL_WHY_KEPT; i++) {
        char id[20];

        snprintf(id, sizeof id, "n%u", i);
        fail_request(id, "a", "often");
        if (i % 50 == 49) {
            usleep(2000); /* times are of milliseconds */
            assert_int_equal(ctl_why_list(&server, &err, "a", NULL, NULL, 1, &list), 0);
            json_decref(list);
        }
    }
    do {
        assert_int_equal(ctl_why_list(&server, &err, "a", "often", before, 500, &list), 0);
        n += (unsigned)json_array_size(json_object_get(list, "failures"));
        before = text_at(list, "next");
        if (before)
            snprintf(next, sizeof next, "%s", before);
        json_decref(list);
        before = before ? next : NULL;
    } while (before);
    assert_in_range(n, CTL_WHY_KEPT, CTL_WHY_KEPT + 50);
    check_failure("kept", "a");
    check_failure("n599", "a");
    assert_int_equal(ctl_why_list(&server, &err, "a", NULL, "x", 0, &list), SV_EUSAGE);
}

/* Of a worker that was taken over: the work is that of the part that is kept, and what is written
 * is text that every database takes. */
static void says_too_much(void **state)
{
    struct plat_record r = record_of("a", "much");
    size_t len = 16 << 20, at = 0;
    char *lines = malloc(len);
    struct plat_message m, answer;
    struct sv_err err = {0};
    json_t *why = NULL;

    (void)state;
    assert_non_null(lines);
    snprintf(r.id, sizeof r.id, "much");
    memset(r.method, 0xff, sizeof r.method);
    memset(r.code, 0xff, sizeof r.code);
    r.gas = UINT64_MAX;
    plat_message_init(&m, PLAT_FAILURE);
    plat_message_init(&answer, PLAT_FAILURE);
    plat_put(&m, PLAT_TAG_RECORD, &r, sizeof r);
    for (unsigned i = 0; at + 16 < len; i++)
        at += (size_t)sprintf(lines + at, "%x 1\n", i);
    plat_put(&m, PLAT_TAG_LIMITS, lines, at);
    memset(lines, '\n', len);
    plat_put(&m, PLAT_TAG_BACKTRACE, lines, len);
    plat_put(&m, PLAT_TAG_TEXT, lines, len);
    assert_int_equal(ctl_why_note(&server, &err, &m, &answer), 0);
    plat_message_release(&m);
    /* Nothing but ends of lines: looking for a blank behind each would take the square. */
    snprintf(r.id, sizeof r.id, "lines");
    plat_message_init(&m, PLAT_FAILURE);
    plat_put(&m, PLAT_TAG_RECORD, &r, sizeof r);
    plat_put(&m, PLAT_TAG_LIMITS, lines, len);
    assert_int_equal(ctl_why_note(&server, &err, &m, &answer), 0);
    plat_message_release(&m);
    plat_message_release(&answer);
    free(lines);
    assert_int_equal(ctl_why_get(&server, &err, "much", "a", &why), 0); /* not written yet */
    json_decref(why);
    assert_int_equal(ctl_why_list(&server, &err, "a", "much", NULL, 0, &why), 0); /* written */
    assert_int_equal(json_array_size(json_object_get(why, "failures")), 2);
    json_decref(why);
    assert_int_equal(ctl_why_get(&server, &err, "much", "a", &why), 0);
    assert_string_equal(text_at(why, "method"), "???????");
    assert_string_equal(text_at(why, "code"), "???????????????????????????????");
    assert_int_equal(json_integer_value(json_object_get(why, "gas")), PLAT_RECORD_NUMBER_MAX);
    assert_in_range(json_object_size(json_object_get(why, "limits")), 1, CTL_WHY_TEXT_MAX / 4);
    assert_int_equal(strlen(text_at(why, "message")), CTL_WHY_TEXT_MAX);
    json_decref(why);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_are_bounded), cmocka_unit_test(series_count),
        cmocka_unit_test(live_is_ones_own),    cmocka_unit_test(tells_why),
        cmocka_unit_test(keeps_the_last),      cmocka_unit_test(says_too_much),
    };
    struct sv_err err = {0};
    char url[80], command[80];
    int r;

    (void)argv;
    if (!mkdtemp(folder))
        return 1;
    snprintf(url, sizeof url, "sqlite:%s/ssvm.db", folder);
    if (ctl_db_open(&err, url, &server.db) < 0 || ctl_metrics_start(&server, &err) < 0 ||
        ctl_hostcalls_start(&server, &err) < 0 || ctl_live_start(&server, &err) < 0 ||
        ctl_why_start(&server, &err) < 0)
        return 1;
    if (argc > 1) {
        count_many();
        fputs(metrics_of(NULL), stdout);
        r = 0;
    } else {
        r = cmocka_run_group_tests(tests, NULL, NULL);
    }
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) == 0 ? r : 1;
}
