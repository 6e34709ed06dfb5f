/* Heads of replies, dates, and text inside JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/reply.h"

static void heads(void **state)
{
    struct srv_reply reply;
    struct srv_date date = {.second = -1};
    char out[SRV_REPLY_HEAD_MAX + 1];
    size_t n;

    (void)state;
    srv_reply_init(&reply);
    srv_reply_borrow(&reply, "text/plain", "abc", 3);
    srv_reply_field_str(&reply, "X", "y");
    SRV_REPLY_LINE(&reply, "Z: two words");
    n = srv_reply_head(&reply, &date, 784111777, false, out);
    out[n] = '\0';
    assert_string_equal(out, "HTTP/1.1 200 OK\r\nServer: ssvm\r\nDate: Sun, 06 Nov 1994 08:49:37 "
                             "GMT\r\nContent-Type: text/plain\r\n"
                             "Content-Length: 3\r\nX: y\r\nZ: two words\r\n\r\n");
    srv_reply_error(&reply, 404, "none", "no \"such\" thing\n", "0123");
    reply.close = true;
    n = srv_reply_head(&reply, &date, 784111778, true, out);
    out[n] = '\0';
    assert_non_null(strstr(out, "HTTP/1.1 404 Not Found\r\n"));
    assert_non_null(strstr(out, "08:49:38 GMT"));
    assert_non_null(strstr(out, "Connection: close\r\n\r\n"));
    assert_int_equal(reply.len, strlen("{\"error\":{\"code\":\"none\",\"message\":\"no "
                                       "\\\"such\\\" thing\\u000a\",\"request_id\":\"0123\"}}\n"));
    srv_reply_clear(&reply);
}

/* Fields that do not fit are noted, and nothing is written beyond the room. */
static void too_many_fields(void **state)
{
    struct srv_reply reply;
    struct srv_date date = {.second = -1};
    char out[SRV_REPLY_HEAD_MAX], value[1000];

    (void)state;
    srv_reply_init(&reply);
    memset(value, 'v', sizeof value);
    for (int i = 0; i < 10; i++)
        srv_reply_field(&reply, "Name", value, sizeof value);
    assert_true(reply.failed);
    assert_true(reply.nfields <= SRV_REPLY_FIELDS_MAX);
    reply.failed = false;
    for (int i = 0; i < 1000; i++)
        SRV_REPLY_LINE(&reply, "Name: value");
    assert_true(reply.failed);
    assert_true(reply.nfields <= SRV_REPLY_FIELDS_MAX);
    reply.status = 505;
    assert_true(srv_reply_head(&reply, &date, 0, true, out) <= SRV_REPLY_HEAD_MAX);
    srv_reply_clear(&reply);
}

static void dates(void **state)
{
    static const char *const bad[] = {"",
                                      "Sun, 06 Nov 1994 08:49:37 UTC",
                                      "Mon, 06 Nov 1994 08:49:37 GMT",
                                      "Sun, 06 Nov 1994 25:49:37 GMT",
                                      "Sunday, 06-Nov-94 08:49:37 GMT",
                                      "Sun, 6 Nov 1994 08:49:37 GMT "};
    char text[32];

    (void)state;
    for (time_t t = 0; t < 4000000000; t += 86399 * 37 + 11) {
        srv_date_format(t, text);
        assert_int_equal(strlen(text), 29);
        assert_int_equal(srv_date_read(text, 29), t);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(srv_date_read(bad[i], strlen(bad[i])), -1);
}

static void numbers(void **state)
{
    char text[32];

    (void)state;
    assert_int_equal(srv_format_u64(text, 0), 1);
    assert_int_equal(srv_format_u64(text, UINT64_MAX), 20);
    assert_memory_equal(text, "18446744073709551615", 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(heads), cmocka_unit_test(too_many_fields),
                                       cmocka_unit_test(dates), cmocka_unit_test(numbers)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
