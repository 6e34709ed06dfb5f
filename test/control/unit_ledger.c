/* The ledger: records of rings become rows, each once, whatever fails between. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "cluster.h"
#include "control/hostcalls.h"
#include "control/ledger.h"
#include "control/ledger_row.h"
#include "control/live.h"
#include "control/log.h"
#include "control/metrics.h"
#include "control/part.h"
#include "control/schema.h"
#include "control/workers.h"

static char folder[] = "/tmp/ssvm-ledger-XXXXXX";
static char url[512];
static struct ctl_server server;
static struct plat_ring *rings[2];
static const char *tenant_of_second = ""; /* who alone writes in the second ring; "": all */
static uint64_t counted;                  /* records told to the metrics */

/* ---- What the ledger is connected with ---- */

int ctl_pool_every(struct ctl_server *s, unsigned every_ms, void (*fn)(struct ctl_server *, void *),
                   void *data)
{
    (void)s, (void)every_ms, (void)fn, (void)data;
    return 0;
}

void ctl_workers_rings(struct ctl_server *s, void (*fn)(void *, struct plat_ring *), void *data)
{
    (void)s;
    for (size_t i = 0; i < SV_COUNT(rings); i++)
        fn(data, rings[i]);
}

void ctl_workers_ring_tenant(struct ctl_server *s, const struct plat_ring *ring,
                             char ret[CTL_TENANT_SIZE])
{
    (void)s;
    snprintf(ret, CTL_TENANT_SIZE, "%s", ring == rings[1] ? tenant_of_second : "");
}

void ctl_metrics_count(struct ctl_server *s, const struct plat_record *r)
{
    (void)s, (void)r;
    counted++;
}

void ctl_live_count(struct ctl_server *s, const struct plat_record *r)
{
    (void)s, (void)r;
}

void ctl_log_record(struct ctl_server *s, const struct plat_record *r)
{
    (void)s, (void)r;
}

void ctl_log_event(struct ctl_server *s, enum ctl_log_level level, const char *event,
                   const char *tenant, const char *function, const char *id, const char *message)
{
    (void)s, (void)level, (void)event, (void)tenant, (void)function, (void)id, (void)message;
}

/* ---- Helpers ---- */

static struct plat_record record_of(const char *tenant, const char *function, uint64_t minute)
{
    struct plat_record r = {.time_ns = minute * 60000000000,
                            .wall_ns = 3000,
                            .run_ns = 2000000,
                            .cpu_ns = 1500,
                            .gas = 7,
                            .memory_peak = 65536,
                            .bytes_in = 1,
                            .bytes_out = 2,
                            .status = 200};

    snprintf(r.tenant, sizeof r.tenant, "%s", tenant);
    snprintf(r.function, sizeof r.function, "%s", function);
    snprintf(r.digest, sizeof r.digest, "0123456789abcdef");
    return r;
}

static void write_record(unsigned ring, const struct plat_record *r)
{
    assert_true(plat_ring_write(rings[ring], r, 0));
}

/* Parts live as long as their process: those of before are kept for whoever looks for leaks. */
static void open_server(void)
{
    static struct ctl_ledger *before[100] __attribute__((used));
    static struct ctl_hostcalls *hosts_before[100] __attribute__((used));
    static unsigned n;
    struct sv_err err = {0};

    hosts_before[n] = server.hostcalls;
    before[n++] = server.ledger;
    memset(&server, 0, sizeof server);
    assert_int_equal(ctl_db_open(&err, url, &server.db), 0);
    assert_int_equal(ctl_hostcalls_start(&server, &err), 0);
    assert_int_equal(ctl_ledger_start(&server, &err), 0);
}

static char *export(struct ctl_usage usage)
{
    struct sv_err err = {0};
    struct sv_buf out;

    sv_buf_init(&out, 1 << 20);
    assert_int_equal(ctl_ledger_export(&server, &err, &usage, &out), 0);
    return sv_buf_take(&out, NULL);
}

static void expect(struct ctl_usage usage, const char *wanted)
{
    char *text = export(usage);

    assert_string_equal(text, wanted);
    sv_free(text);
}

/* ---- Tests ---- */

static void counts(void **state)
{
    struct plat_record r;

    (void)state;
    r = record_of("default", "hello", 100);
    for (int i = 0; i < 3; i++)
        write_record((unsigned)i % 2, &r);
    r.status = 504;
    write_record(1, &r);
    r.status = 429; /* refused: it did not run */
    r.run_ns = r.gas = r.cpu_ns = r.memory_peak = 0;
    write_record(1, &r);
    r = record_of("other", "hello", 101);
    write_record(0, &r);
    /* 65536 bytes for 2 ms are 131.072 byte-seconds */
    expect(
        (struct ctl_usage){.step = CTL_LEDGER_ALL, .csv = true},
        "time,tenant,calls,errors,rejected,gas,cpu_ns,wall_ns,byte_seconds,bytes_in,bytes_out\r\n"
        "\"1970-01-01T01:40:00Z\",\"default\",4,1,1,28,6000,8000000,524.288,5,10\r\n"
        "\"1970-01-01T01:41:00Z\",\"other\",1,0,0,7,1500,2000000,131.072,1,2\r\n");
    assert_int_equal(counted, 6);
    expect((struct ctl_usage){.tenant = "other", .by_function = true},
           "{\"usage\":[{\"time\":\"1970-01-01T01:41:00Z\",\"tenant\":\"other\",\"function\":"
           "\"hello\","
           "\"digest\":\"0123456789abcdef\",\"calls\":1,\"errors\":0,\"rejected\":0,\"gas\":7,"
           "\"cpu_ns\":1500,\"wall_ns\":2000000,\"byte_seconds\":131.072,\"bytes_in\":1,"
           "\"bytes_out\":2}]}");
    expect(
        (struct ctl_usage){.step = CTL_LEDGER_HOUR, .from_s = 6000, .until_s = 6060, .csv = true},
        "time,tenant,calls,errors,rejected,gas,cpu_ns,wall_ns,byte_seconds,bytes_in,bytes_out\r\n"
        "\"1970-01-01T01:00:00Z\",\"default\",4,1,1,28,6000,8000000,524.288,5,10\r\n");
    expect((struct ctl_usage){.tenant = "nobody"}, "{\"usage\":[]}");
}

static uint64_t hosts_of(unsigned ring, const char *name, uint32_t cost, uint64_t calls)
{
    return (uint64_t)plat_ring_host(rings[ring], name, cost) << PLAT_HOST_SHIFT | calls;
}

/* What is told of a host function of tenant t's function; false: nothing. */
static bool told_of(const char *function, const char *name, json_int_t *ret_calls,
                    json_int_t *ret_gas)
{
    struct sv_err err = {0};
    json_t *json = NULL, *list, *host;
    json_int_t sum = 0, last = INT64_MAX;
    bool found = false;
    size_t i;

    assert_int_equal(ctl_ledger_drain(&server, &err), 0);
    assert_int_equal(ctl_hostcalls_get(&server, &err, "t", function, &json), 0);
    list = json_object_get(json, "functions");
    json_array_foreach(list, i, host)
    {
        json_int_t calls = json_integer_value(json_object_get(host, "calls"));

        assert_true(calls <= last);
        last = calls;
        sum += calls;
        if (strcmp(json_string_value(json_object_get(host, "name")), name) != 0)
            continue;
        assert_false(found);
        found = true;
        *ret_calls = calls;
        *ret_gas = json_integer_value(json_object_get(host, "gas"));
    }
    assert_int_equal(json_integer_value(json_object_get(json, "calls")), sum);
    json_decref(json);
    return found;
}

/* Each ring has numbers of its own. */
static void host_calls(void **state)
{
    struct plat_record r = record_of("t", "f", 300);
    json_int_t calls = 0, gas = 0;
    struct sv_buf lines;

    (void)state;
    plat_ring_host(rings[1], "only here", 1);
    for (uint64_t i = 0; i < 10; i++) {
        r.hosts[0] = hosts_of(0, "w.read", 50, 3);
        r.hosts[1] = hosts_of(0, "w.write", 60, i);
        r.hosts[2] = hosts_of(0, "w.write", 60, 1); /* twice: no harm */
        r.hosts[3] = 2;                             /* of others */
        write_record(0, &r);
        r.hosts[0] = hosts_of(1, "w.write", 70, 5);         /* at another price */
        r.hosts[1] = (uint64_t)1023 << PLAT_HOST_SHIFT | 1; /* a number of nothing */
        r.hosts[2] = (uint64_t)UINT16_MAX << PLAT_HOST_SHIFT | 1;
        r.hosts[3] = hosts_of(1, "w.\"\n\xff", 1, 1);
        write_record(1, &r);
    }
    assert_true(told_of("f", "w.read", &calls, &gas));
    assert_int_equal(calls, 30);
    assert_int_equal(gas, 1500);
    assert_true(told_of("f", "w.write", &calls, &gas));
    assert_int_equal(calls, 45 + 10 + 50);
    assert_int_equal(gas, 55 * 60 + 50 * 70);
    assert_true(told_of("f", "other", &calls, &gas));
    assert_int_equal(calls, 40);
    assert_int_equal(gas, 0);
    assert_true(told_of("f", "w.???", &calls, &gas));
    assert_false(told_of("f", "only here", &calls, &gas));
    assert_false(told_of("g", "w.read", &calls, &gas));
    memset(r.hosts, 0, sizeof r.hosts);
    snprintf(r.function, sizeof r.function, "g");
    r.hosts[0] = hosts_of(0, "w.read", 50, 4);
    write_record(0, &r);
    snprintf(r.tenant, sizeof r.tenant, "u");
    write_record(0, &r);
    assert_true(told_of("g", "w.read", &calls, &gas));
    assert_int_equal(calls, 4);
    sv_buf_init(&lines, 1 << 20);
    ctl_hostcalls_write(&server, "t", &lines);
    assert_non_null(strstr(sv_buf_cstr(&lines), "{name=\"w.read\"} 34\n"));
    sv_buf_clear(&lines);
    ctl_hostcalls_write(&server, NULL, &lines);
    assert_non_null(strstr(sv_buf_cstr(&lines), "{name=\"w.read\"} 38\n"));
    sv_buf_clear(&lines);
    ctl_hostcalls_write(&server, "nobody", &lines);
    assert_string_equal(sv_buf_cstr(&lines), "");
    sv_buf_release(&lines);
}

/* There are more functions, and more host functions, than are told apart. */
static void host_calls_are_bounded(void **state)
{
    struct plat_record r = record_of("t", "f", 300);
    json_int_t calls = 0, gas = 0;
    struct sv_buf lines;
    char name[30];

    (void)state;
    r.hosts[0] = hosts_of(0, "w.read", 50, 1);
    for (unsigned i = 0; i < CTL_HOSTCALLS_FUNCTIONS + 10; i++) {
        snprintf(r.function, sizeof r.function, "many%u", i);
        write_record(0, &r);
        if (i % PLAT_RING_RECORDS == PLAT_RING_RECORDS - 1)
            told_of("f", "", &calls, &gas);
    }
    assert_true(told_of("many5", "w.read", &calls, &gas));
    assert_false(told_of("many16390", "w.read", &calls, &gas));
    for (unsigned i = 0; i < 2 * PLAT_RING_HOSTS; i++) {
        snprintf(name, sizeof name, "x.f%u", i);
        r.hosts[0] = hosts_of(0, name, 50, 1);
        snprintf(r.function, sizeof r.function, "many7");
        write_record(0, &r);
    }
    assert_true(told_of("many7", "other", &calls, &gas));
    assert_in_range(calls, PLAT_RING_HOSTS, PLAT_RING_HOSTS + 10);
    sv_buf_init(&lines, 1 << 20);
    ctl_hostcalls_write(&server, NULL, &lines); /* all are in the sums */
    assert_non_null(strstr(sv_buf_cstr(&lines), "{name=\"w.read\"} 16432\n"));
    sv_buf_release(&lines);
}

/* More than a signed 64-bit number holds. */
static void sums_are_exact(void **state)
{
    struct plat_record r = record_of("big", "f", 200);
    char *text;

    (void)state;
    r.gas = INT64_MAX / 2;
    for (unsigned minute = 200; minute < 440; minute += 60) {
        r.time_ns = minute * 60000000000;
        write_record(0, &r);
    }
    text = export((struct ctl_usage){.tenant = "big", .step = CTL_LEDGER_ALL});
    assert_non_null(strstr(text, "\"gas\":18446744073709551612,"));
    sv_free(text);
}

/* Of a worker that is not ours any more: the others' records are counted all the same. */
static void hostile_records(void **state)
{
    struct plat_record r = record_of("big", "f", 250), bad = r;
    char *text;

    (void)state;
    bad.gas = bad.cpu_ns = bad.run_ns = bad.memory_peak = bad.bytes_in = bad.bytes_out = UINT64_MAX;
    memcpy(bad.tenant, "\xff\xfe", 3);
    for (int i = 0; i < 5; i++) {
        write_record(0, &bad);
        write_record(1, &r);
        text = export((struct ctl_usage){.tenant = "??", .step = CTL_LEDGER_ALL});
        assert_non_null(strstr(text, "\"gas\":4611686018427387904,"));
        sv_free(text);
    }
    text = export((struct ctl_usage){
        .tenant = "big", .from_s = 250 * 60, .until_s = 251 * 60, .step = CTL_LEDGER_ALL});
    assert_non_null(strstr(text, "\"gas\":35,"));
    sv_free(text);
}

/* The worker of one tenant, in its guest's hands, writes what others are said to have used. */
static void foreign_records(void **state)
{
    static const char *const names[] = {"foreign", "", "min", "mine ", "mine\0x", "default"};
    uint64_t before;
    struct plat_record r;

    (void)state;
    tenant_of_second = "mine";
    expect((struct ctl_usage){.tenant = "foreign"}, "{\"usage\":[]}");
    before = counted;
    for (size_t i = 0; i < SV_COUNT(names); i++) {
        char *text;

        r = record_of(names[i], "f", 300);
        write_record(1, &r);
        r = record_of("mine", "f", 300);
        write_record(1, &r);
        r = record_of("others", "f", 300); /* that ring may have all */
        write_record(0, &r);
        text = export((struct ctl_usage){.tenant = "others", .step = CTL_LEDGER_ALL});
        sv_free(text);
    }
    /* "mine", NUL, "x" is its own name with something behind it. */
    assert_int_equal(counted - before, 2 * SV_COUNT(names) + 1);
    tenant_of_second = "";
    for (size_t i = 0; i < SV_COUNT(names); i++) {
        if (i != 4)
            expect((struct ctl_usage){.tenant = names[i], .from_s = 300 * 60, .until_s = 301 * 60},
                   "{\"usage\":[]}");
    }
}

/* A worker writes another's id into its ring, and control begins anew: all others are counted. */
static void foreign_id(void **state)
{
    struct plat_ring *second = rings[1];
    void *memory =
        mmap(NULL, plat_ring_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    struct plat_record r = record_of("foreign-id", "f", 301);
    struct sv_err err = {0};
    uint64_t before;

    (void)state;
    assert_ptr_not_equal(memory, MAP_FAILED);
    rings[1] = plat_ring_init(memory, plat_ring_id(rings[0]));
    ctl_db_close(server.db);
    open_server();
    before = counted;
    for (unsigned i = 0; i < 3; i++) {
        write_record(0, &r);
        write_record(1, &r);
        assert_int_equal(ctl_ledger_drain(&server, &err), 0);
    }
    assert_int_equal(counted - before, 3);
    rings[1] = second;
    ctl_db_close(server.db);
    open_server();
    munmap(memory, plat_ring_bytes());
}

struct hostile_row {
    int64_t minute, number;
};

static int put_hostile(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    const struct hostile_row *row = data;

    return ctl_sql_run(
        sql, err,
        "insert into ledger (tenant, function_id, function, digest, minute, calls, errors, "
        "rejected, gas, cpu_ns, wall_ns, byte_ms, bytes_in, bytes_out) values ('hostile', 1, 'f', "
        "'', $1, $2, $2, $2, $2, $2, $2, $2, $2, $2)",
        CTL_PARAMS(CTL_INT(row->minute), CTL_INT(row->number)));
}

/* Of a backup that somebody else has written. */
static void hostile_rows(void **state)
{
    struct hostile_row rows[] = {{901, INT64_MAX},  {902, INT64_MAX}, {903, INT64_MAX},
                                 {1021, INT64_MIN}, {1022, -1},       {INT64_MAX / 61, 1}};
    struct plat_record r = record_of("hostile", "f", 901);
    struct sv_err err = {0};
    uint64_t calls, gas, wall;
    char *text;

    (void)state;
    for (size_t i = 0; i < SV_COUNT(rows); i++)
        assert_int_equal(ctl_db_write(server.db, &err, put_hostile, &rows[i]), 0);
    write_record(0, &r);
    assert_int_equal(ctl_ledger_function(&server, &err, "hostile", "f", &calls, &gas, &wall), 0);
    assert_int_equal(calls, INT64_MAX);
    for (unsigned step = 0; step < CTL_LEDGER_STEP_COUNT; step++) {
        text = export((struct ctl_usage){.tenant = "hostile", .step = step, .by_function = true});
        assert_non_null(strstr(text, "\"tenant\":\"hostile\""));
        sv_free(text);
    }
    assert_int_equal(ctl_ledger_fold(&server, &err, 1200, 100), 0);
    text = export((struct ctl_usage){.tenant = "hostile", .until_s = 72000, .by_function = true});
    assert_non_null(strstr(text, "\"gas\":4611686018427387904,"));
    sv_free(text);
}

/* A process that is killed between its commit and the freeing of the places, or before: the next
 * one counts what is not counted. Here the child counts, and is gone without a word to the ring. */
static void survives_death(void **state)
{
    struct plat_record r = record_of("killed", "f", 300);
    char *text;

    (void)state;
    for (int i = 0; i < 100; i++)
        write_record(0, &r);
    ctl_ledger_stop(&server);
    ctl_db_close(server.db);
    for (int round = 0; round < 5; round++) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
            struct sv_err err = {0};

            open_server();
            ctl_ledger_drain(&server, &err);
            _exit(err.code != 0);
        }
        waitpid(pid, NULL, 0);
        write_record(1, &r);
    }
    open_server();
    text = export((struct ctl_usage){.tenant = "killed", .step = CTL_LEDGER_ALL});
    assert_non_null(strstr(text, "\"calls\":105,"));
    sv_free(text);
}

/* Two at work on the same rings: one of them counts. */
static void two_at_once(void **state)
{
    struct ctl_server first = server;
    struct plat_record r = record_of("twice", "f", 400);
    struct sv_err err = {0};
    char *text;

    (void)state;
    ctl_ledger_drain(&first, &err);
    open_server();
    ctl_ledger_drain(&server, &err);
    for (int i = 0; i < 50; i++) {
        write_record(0, &r);
        err = (struct sv_err){0};
        ctl_ledger_drain(i % 2 ? &first : &server, &err);
    }
    text = export((struct ctl_usage){.tenant = "twice", .step = CTL_LEDGER_ALL});
    assert_non_null(strstr(text, "\"calls\":50,"));
    sv_free(text);
    ctl_db_close(first.db);
}

/* Minutes become hours, and sums stay. */
static void folds(void **state)
{
    struct plat_record r = record_of("old", "f", 600);
    struct sv_err err = {0};

    (void)state;
    for (uint64_t minute = 600; minute < 800; minute++) { /* 10:00 to 13:20 */
        r.time_ns = minute * 60000000000;
        write_record(minute % 2, &r);
    }
    assert_int_equal(ctl_ledger_drain(&server, &err), 0);
    assert_int_equal(ctl_ledger_fold(&server, &err, 725, 100), 0); /* before 12:05: before 12:00 */
    expect(
        (struct ctl_usage){
            .tenant = "old", .until_s = 43260, .step = CTL_LEDGER_MINUTE, .csv = true},
        "time,tenant,calls,errors,rejected,gas,cpu_ns,wall_ns,byte_seconds,bytes_in,bytes_out\r\n"
        "\"1970-01-01T10:00:00Z\",\"old\",60,0,0,420,90000,120000000,7864.320,60,120\r\n"
        "\"1970-01-01T11:00:00Z\",\"old\",60,0,0,420,90000,120000000,7864.320,60,120\r\n"
        "\"1970-01-01T12:00:00Z\",\"old\",1,0,0,7,1500,2000000,131.072,1,2\r\n");
    expect(
        (struct ctl_usage){.tenant = "old", .step = CTL_LEDGER_ALL, .csv = true},
        "time,tenant,calls,errors,rejected,gas,cpu_ns,wall_ns,byte_seconds,bytes_in,bytes_out\r\n"
        "\"1970-01-01T10:00:00Z\",\"old\",200,0,0,1400,300000,400000000,26214.400,200,400\r\n");
    assert_int_equal(ctl_ledger_fold(&server, &err, 725, 100), 0);
}

static void reads_times(void **state)
{
    static const struct {
        const char *text;
        int64_t s; /* -1: refused */
    } cases[] = {
        {"0", 0},
        {"1764190800", 1764190800},
        {"2025-11-26", 1764115200},
        {"2025-11-26T21:00:00Z", 1764190800},
        {"2025-11-26T21:00:00.999Z", 1764190800},
        {"2025-11-26T22:00:00+01:00", 1764190800},
        {"2025-11-26T15:30:00-05:30", 1764190800},
        {"", -1},
        {"-5", -1},
        {"12x", -1},
        {"2025-11-26T21:00", -1},
        {"2025-11-26T21:00:00", -1},
        {"2025-11-26T21:00:00+1", -1},
        {"2025-11-26T21:00:00Zx", -1},
        {"2025-13-26", -1},
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        int64_t s = -1;

        if (!ctl_ledger_time_read(cases[i].text, &s))
            s = -1;
        if (s != cases[i].s)
            fail_msg("'%s' is %lld", cases[i].text, (long long)s);
    }
}

static int fill_rings(void)
{
    for (size_t i = 0; i < SV_COUNT(rings); i++) {
        void *memory = mmap(NULL, plat_ring_bytes(), PROT_READ | PROT_WRITE,
                            MAP_SHARED | MAP_ANONYMOUS, -1, 0);

        if (memory == MAP_FAILED)
            return -1;
        rings[i] = plat_ring_init(memory, 1000 + i);
    }
    counted = 0;
    open_server();
    return 0;
}

static int open_sqlite(void **state)
{
    (void)state;
    snprintf(url, sizeof url, "sqlite:%s/ssvm.db", folder);
    return fill_rings();
}

static int open_postgres(void **state)
{
    (void)state;
    snprintf(url, sizeof url, "%s", cluster_url(""));
    return fill_rings();
}

static int close_server(void **state)
{
    (void)state;
    ctl_db_close(server.db);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts),          cmocka_unit_test(sums_are_exact),
        cmocka_unit_test(hostile_records), cmocka_unit_test(survives_death),
        cmocka_unit_test(two_at_once),     cmocka_unit_test(folds),
        cmocka_unit_test(reads_times),     cmocka_unit_test(hostile_rows),
        cmocka_unit_test(host_calls),      cmocka_unit_test(host_calls_are_bounded),
        cmocka_unit_test(foreign_records), cmocka_unit_test(foreign_id),
    };
    char command[80];
    int r;

    if (!mkdtemp(folder))
        return 1;
    r = cmocka_run_group_tests_name("sqlite", tests, open_sqlite, close_server);
    if (cluster_start())
        r |= cmocka_run_group_tests_name("postgresql", tests, open_postgres, close_server);
    cluster_end();
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) == 0 ? r : 1;
}
