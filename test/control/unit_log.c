/* The store of logs: what is written is read back, by whom it may be, to the last line; a full disk
 * costs lines, which are counted. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "control/log.h"
#include "control/part.h"

static char folder[] = "/tmp/ssvm-log-XXXXXX";
static struct ctl_server server;
static void (*write_waiting)(struct ctl_server *, void *);

int ctl_pool_every(struct ctl_server *s, unsigned every_ms, void (*fn)(struct ctl_server *, void *),
                   void *data)
{
    (void)s, (void)every_ms, (void)data;
    write_waiting = fn;
    return 0;
}

static char *read_log(struct ctl_log_query q)
{
    struct sv_err err = {0};
    struct sv_buf out;

    sv_buf_init(&out, 64 << 20);
    assert_int_equal(ctl_log_read(&server, &err, &q, &out), 0);
    return sv_buf_take(&out, NULL);
}

static unsigned lines_of(const char *text)
{
    unsigned n = 0;

    for (; (text = strstr(text, "{\"time\":")) != NULL; text++)
        n++;
    return n;
}

static char *cursor_of(const char *text)
{
    const char *at = strstr(text, "],\"cursor\":\"");

    assert_non_null(at);
    at += strlen("],\"cursor\":\"");
    return sv_strndup(at, strcspn(at, "\""));
}

static void event(const char *tenant, const char *function, const char *message)
{
    ctl_log_event(&server, CTL_LOG_INFO, "test", tenant, function, "id", message);
}

static void filters(void **state)
{
    struct plat_record r = {.status = 500, .time_ns = 1764190800123456789, .gas = 12345};
    char *text;

    (void)state;
    event("a", "f", "one");
    event("b", "f", "two");
    event("a", "g", "\",\"tenant\":\"b\"\nthree");
    snprintf(r.tenant, sizeof r.tenant, "a");
    snprintf(r.function, sizeof r.function, "f");
    snprintf(r.id, sizeof r.id, "00ff");
    ctl_log_record(&server, &r);
    text = read_log((struct ctl_log_query){0});
    assert_int_equal(lines_of(text), 4);
    sv_free(text);
    text = read_log((struct ctl_log_query){.tenant = "b"});
    assert_int_equal(lines_of(text), 1);
    assert_non_null(strstr(text, "two"));
    sv_free(text);
    text = read_log((struct ctl_log_query){.tenant = "a", .function = "g"});
    assert_non_null(strstr(text, "\"message\":\"\\\",\\\"tenant\\\":\\\"b\\\"\\nthree\""));
    sv_free(text);
    text = read_log((struct ctl_log_query){.level = CTL_LOG_ERROR});
    assert_int_equal(lines_of(text), 1);
    assert_non_null(strstr(text, "\"time\":\"2025-11-26T21:00:00.123Z\",\"level\":\"error\","
                                 "\"event\":\"request\",\"tenant\":\"a\",\"function\":\"f\","
                                 "\"id\":\"00ff\",\"status\":500,"));
    assert_non_null(strstr(text, "\"gas\":12345,"));
    sv_free(text);
    text = read_log((struct ctl_log_query){.request_id = "00ff", .max = 1});
    assert_int_equal(lines_of(text), 1);
    sv_free(text);
}

static void follows(void **state)
{
    char *text = read_log((struct ctl_log_query){.max = 2}), *cursor = cursor_of(text);
    struct sv_err err = {0};
    struct sv_buf out;
    uint64_t start;

    (void)state;
    assert_int_equal(lines_of(text), 2);
    sv_free(text);
    text = read_log((struct ctl_log_query){.cursor = cursor});
    assert_int_equal(lines_of(text), 0);
    sv_free(text);
    start = sv_clock_ns();
    text = read_log((struct ctl_log_query){.cursor = cursor, .wait_ms = 150});
    assert_int_equal(lines_of(text), 0);
    assert_true(sv_clock_ns() - start >= 140000000);
    sv_free(text);
    event("c", "f", "four");
    text = read_log((struct ctl_log_query){.cursor = cursor, .wait_ms = 5000});
    assert_int_equal(lines_of(text), 1);
    sv_free(text);
    sv_free(cursor);
    sv_buf_init(&out, 1000);
    assert_int_equal(ctl_log_read(&server, &err, &(struct ctl_log_query){.cursor = "1-x"}, &out),
                     SV_EUSAGE);
    sv_buf_release(&out);
}

/* Enough for several files; the reader goes over their edges, forward and back. */
static void rotates(void **state)
{
    static char big[60000];
    char *text = read_log((struct ctl_log_query){.max = 1}), *cursor = cursor_of(text), *next;
    unsigned got = 0, n;

    (void)state;
    sv_free(text);
    memset(big, 'x', sizeof big - 1);
    for (unsigned i = 0; i < 1300; i++) { /* 78 MB */
        event("rotate", i % 10 ? "f" : "tenth", big);
        if (i % 20 == 19)
            write_waiting(&server, NULL);
    }
    do {
        text = read_log((struct ctl_log_query){.cursor = cursor, .max = 500});
        n = lines_of(text);
        got += n;
        next = cursor_of(text);
        sv_free(cursor);
        sv_free(text);
        cursor = next;
    } while (n > 0);
    sv_free(cursor);
    assert_int_equal(got, 1300);
    text = read_log((struct ctl_log_query){.tenant = "rotate", .function = "tenth", .max = 100});
    assert_int_equal(lines_of(text), 100);
    sv_free(text);
    /* Whose lines are few finds the last ones behind more of others' than are looked through. */
    for (unsigned i = 0; i < 20; i++) {
        event("rotate", "f", big);
        event("few", "f", "the last");
        text = read_log((struct ctl_log_query){.tenant = "few"});
        assert_int_equal(lines_of(text), i + 1);
        sv_free(text);
    }
}

static void disk_is_full(void **state)
{
    struct rlimit old, limit;
    char *text;

    (void)state;
    getrlimit(RLIMIT_FSIZE, &old);
    limit = old;
    limit.rlim_cur = 100; /* of any file */
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    for (int i = 0; i < 5; i++)
        event("full", "f", "lost");
    write_waiting(&server, NULL);
    assert_true(ctl_log_lost(&server) >= 5);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    event("full", "f", "kept");
    write_waiting(&server, NULL);
    assert_int_equal(ctl_log_lost(&server), 0);
    text = read_log((struct ctl_log_query){.tenant = "full"});
    assert_int_equal(lines_of(text), 1);
    sv_free(text);
    text = read_log((struct ctl_log_query){.max = 1});
    assert_non_null(strstr(text, "\"event\":\"log_lost\",\"lines\":5}"));
    sv_free(text);
}

/* Of a worker that was taken over: names are cut, and the line is one that readers find. */
static void long_names(void **state)
{
    size_t len = 16 << 20;
    char *name = malloc(len), *text;
    struct plat_message m;
    struct sv_err err = {0};

    (void)state;
    assert_non_null(name);
    memset(name, '"', len); /* at its longest when escaped */
    plat_message_init(&m, PLAT_LOG);
    plat_put_str(&m, PLAT_TAG_NAME, "long");
    plat_put_str(&m, PLAT_TAG_TENANT, "names");
    plat_put(&m, PLAT_TAG_FUNCTION, name, len);
    plat_put(&m, PLAT_TAG_REQUEST_ID, name, len);
    plat_put(&m, PLAT_TAG_TEXT, name, len);
    assert_int_equal(ctl_log_note(&server, &err, &m, NULL), 0);
    plat_message_release(&m);
    event("names", "f", "behind it");
    text = read_log((struct ctl_log_query){.tenant = "names"});
    assert_int_equal(lines_of(text), 2);
    sv_free(text);
    assert_int_equal(ctl_log_lost(&server), 0);
    free(name);
}

/* The next process goes on where this one was, in the middle of a line or not. */
static void starts_again(void **state)
{
    static struct ctl_log *before; /* parts live as long as their process */
    struct sv_err err = {0};
    char *text;

    (void)state;
    event("again", "f", "before");
    ctl_log_stop(&server);
    before = server.log;
    assert_non_null(before);
    assert_int_equal(ctl_log_start(&server, &err), 0);
    event("again", "f", "after");
    text = read_log((struct ctl_log_query){.tenant = "again"});
    assert_int_equal(lines_of(text), 2);
    sv_free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters),    cmocka_unit_test(follows),
        cmocka_unit_test(rotates),    cmocka_unit_test(disk_is_full),
        cmocka_unit_test(long_names), cmocka_unit_test(starts_again),
    };
    struct sv_err err = {0};
    char command[80];
    int r;

    if (!mkdtemp(folder))
        return 1;
    server.data = folder;
    server.data_fd = open(folder, O_RDONLY | O_DIRECTORY);
    if (ctl_log_start(&server, &err) < 0)
        return 1;
    r = cmocka_run_group_tests(tests, NULL, NULL);
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command) == 0 ? r : 1;
}
