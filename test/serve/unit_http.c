/* The HTTP parser: what it takes and what it refuses, whole and byte by byte. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "serve/http.h"

#define HOST "Host: a\r\n"

struct seen {
    int status;  /* 0 = taken */
    size_t used; /* bytes of head and body */
    char body[4096];
    size_t body_len;
    bool more;
};

/* Parse `len` bytes that arrive `step` at a time. */
static void parse(const char *bytes, size_t len, size_t step, struct srv_http *h, struct seen *seen)
{
    enum srv_http_result r = SRV_HTTP_MORE;
    size_t have = 0, at;

    memset(seen, 0, sizeof *seen);
    srv_http_init(h);
    while (r == SRV_HTTP_MORE && have < len) {
        have += step < len - have ? step : len - have;
        r = srv_http_read_head(h, bytes, have);
    }
    if (r != SRV_HTTP_DONE) {
        seen->status = r == SRV_HTTP_BAD ? h->status : 0;
        seen->more = r == SRV_HTTP_MORE;
        return;
    }
    at = h->head_len;
    r = h->phase == SRV_HTTP_COMPLETE ? SRV_HTTP_DONE : SRV_HTTP_MORE;
    while (r == SRV_HTTP_MORE && at < len) {
        const char *data;
        size_t used, n, give = step < len - at ? step : len - at;

        r = srv_http_read_body(h, bytes + at, give, &used, &data, &n);
        assert_true(used <= give);
        assert_true(n == 0 || (data >= bytes + at && data + n <= bytes + at + give));
        memcpy(seen->body + seen->body_len, data, n);
        seen->body_len += n;
        at += used;
    }
    seen->used = at;
    seen->status = r == SRV_HTTP_BAD ? h->status : 0;
    seen->more = r == SRV_HTTP_MORE;
}

struct row {
    const char *what, *bytes;
    int status; /* 0 = taken */
};

/* clang-format off */
static const struct row rows[] = {
    {"plain", "GET / HTTP/1.1\r\n" HOST "\r\n", 0},
    {"old version", "GET / HTTP/1.0\r\n\r\n", 0},
    {"empty line before", "\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 0},
    {"three empty lines before", "\r\n\r\n\r\nGET / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"absolute form", "GET http://a:80/x?y HTTP/1.1\r\n" HOST "\r\n", 0},
    {"absolute form without path", "GET http://a HTTP/1.1\r\n" HOST "\r\n", 400},
    {"absolute form without host", "GET http:///x HTTP/1.1\r\n" HOST "\r\n", 400},
    {"absolute form with user", "GET http://u@a/x HTTP/1.1\r\n" HOST "\r\n", 400},
    {"another scheme", "GET https://a/x HTTP/1.1\r\n" HOST "\r\n", 400},
    {"asterisk", "OPTIONS * HTTP/1.1\r\n" HOST "\r\n", 0},
    {"asterisk for GET", "GET * HTTP/1.1\r\n" HOST "\r\n", 400},
    {"no host", "GET / HTTP/1.1\r\n\r\n", 400},
    {"two hosts", "GET / HTTP/1.1\r\n" HOST HOST "\r\n", 400},
    {"host with a slash", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400},
    {"host with a user", "GET / HTTP/1.1\r\nHost: u@b\r\n\r\n", 400},
    {"host with a space", "GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400},
    {"IPv6 host", "GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n", 0},
    {"bare line feed in the request line", "GET / HTTP/1.1\n" HOST "\r\n", 400},
    {"bare line feed after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
    {"bare line feed at the end", "GET / HTTP/1.1\r\n" HOST "\n", 400},
    {"carriage return in a field", "GET / HTTP/1.1\r\n" HOST "X: a\rb\r\n\r\n", 400},
    {"folded field", "GET / HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", 400},
    {"space first", "GET / HTTP/1.1\r\n " HOST "\r\n", 400},
    {"space before the colon", "GET / HTTP/1.1\r\n" HOST "X : a\r\n\r\n", 400},
    {"field without colon", "GET / HTTP/1.1\r\n" HOST "X\r\n\r\n", 400},
    {"field without name", "GET / HTTP/1.1\r\n" HOST ": x\r\n\r\n", 400},
    {"control character in a value", "GET / HTTP/1.1\r\n" HOST "X: a\x01\r\n\r\n", 400},
    {"delete in a value", "GET / HTTP/1.1\r\n" HOST "X: a\x7f\r\n\r\n", 400},
    {"tab and Latin-1 in a value", "GET / HTTP/1.1\r\n" HOST "X: a\tb\xe4\r\n\r\n", 0},
    {"two spaces", "GET  / HTTP/1.1\r\n" HOST "\r\n", 400},
    {"trailing space", "GET / HTTP/1.1 \r\n" HOST "\r\n", 400},
    {"tab instead of space", "GET\t/ HTTP/1.1\r\n" HOST "\r\n", 400},
    {"no version", "GET /\r\n\r\n", 400},
    {"lower case version", "GET / http/1.1\r\n" HOST "\r\n", 400},
    {"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505},
    {"HTTP/1.2", "GET / HTTP/1.2\r\n" HOST "\r\n", 505},
    {"HTTP/0.9", "GET / HTTP/0.9\r\n" HOST "\r\n", 505},
    {"HTTP/1.10", "GET / HTTP/1.10\r\n" HOST "\r\n", 400},
    {"unknown method", "BREW / HTTP/1.1\r\n" HOST "\r\n", 501},
    {"lower case method", "get / HTTP/1.1\r\n" HOST "\r\n", 501},
    {"CONNECT", "CONNECT a:1 HTTP/1.1\r\n" HOST "\r\n", 501},
    {"raw bytes in the target", "GET /\xc3\xa4 HTTP/1.1\r\n" HOST "\r\n", 400},
    {"fragment in the target", "GET /a#b HTTP/1.1\r\n" HOST "\r\n", 400},
    {"TLS", "\x16\x03\x01\x02\r\n\r\n", 400},
    {"body", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\n\r\nabc", 0},
    {"empty body", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 0},
    {"two lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400},
    {"list of lengths", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3, 3\r\n\r\nabc", 400},
    {"signed length", "POST / HTTP/1.1\r\n" HOST "Content-Length: +3\r\n\r\nabc", 400},
    {"negative length", "POST / HTTP/1.1\r\n" HOST "Content-Length: -3\r\n\r\nabc", 400},
    {"hexadecimal length", "POST / HTTP/1.1\r\n" HOST "Content-Length: 0x3\r\n\r\nabc", 400},
    {"no length", "POST / HTTP/1.1\r\n" HOST "Content-Length:\r\n\r\n", 400},
    {"length of 2^64", "POST / HTTP/1.1\r\n" HOST "Content-Length: 18446744073709551616\r\n\r\n", 413},
    {"length and chunks", "POST / HTTP/1.1\r\n" HOST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"chunks and length", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400},
    {"two codings", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"list of codings", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
    {"identity", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: identity\r\n\r\n", 501},
    {"vertical tab in the coding", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: \x0b" "chunked\r\n\r\n0\r\n\r\n", 400},
    {"chunks in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
    {"chunks", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1;x=\"y\"\r\nc\r\n0\r\nT: v\r\n\r\n", 0},
    {"upper case", "POST / HTTP/1.1\r\n" HOST "TRANSFER-ENCODING: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n", 0},
    {"chunk without size", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n\r\n", 400},
    {"chunk with a sign", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n+1\r\na\r\n0\r\n\r\n", 400},
    {"chunk in hexadecimal C", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n0\r\n\r\n", 400},
    {"space after a chunk's size", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1 \r\na\r\n0\r\n\r\n", 400},
    {"huge chunk", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\na", 413},
    {"chunk longer than its size", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n", 400},
    {"chunk ends in a line feed", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\r\na\n0\r\n\r\n", 400},
    {"chunk size ends in a line feed", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1\na\r\n0\r\n\r\n", 400},
    {"chunk extension with a line feed", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n1;a\nb\r\na\r\n0\r\n\r\n", 400},
    {"trailer folded", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nT: v\r\n w\r\n\r\n", 400},
    {"trailer without name", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\n: v\r\n\r\n", 400},
    {"trailer ends in a line feed", "POST / HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n0\r\nT: v\n\r\n", 400},
    {"expectation", "POST / HTTP/1.1\r\n" HOST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\na", 0},
    {"other expectation", "POST / HTTP/1.1\r\n" HOST "Expect: 200-ok\r\nContent-Length: 1\r\n\r\na", 417},
};
/* clang-format on */

static void takes_and_refuses(void **state)
{
    static const size_t steps[] = {1, 2, 3, 7, 100000};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (size_t k = 0; k < sizeof steps / sizeof steps[0]; k++) {
            struct srv_http h;
            struct seen seen;

            parse(rows[i].bytes, strlen(rows[i].bytes), steps[k], &h, &seen);
            if (seen.status != rows[i].status || seen.more)
                fail_msg("'%s', %zu at a time: status %d, expected %d%s", rows[i].what, steps[k],
                         seen.status, rows[i].status, seen.more ? " (wants more)" : "");
            if (seen.status == 0)
                assert_int_equal(seen.used, strlen(rows[i].bytes));
        }
    }
}

static void nul_bytes(void **state)
{
    static const char head[] = "GET /a HTTP/1.1\r\nHost: a\r\nX: b\r\n\r\n";

    (void)state;
    for (size_t i = 0; i < sizeof head - 1; i++) {
        char bytes[sizeof head];
        struct srv_http h;
        struct seen seen;

        memcpy(bytes, head, sizeof head);
        bytes[i] = '\0';
        parse(bytes, sizeof head - 1, 100000, &h, &seen);
        /* In place of a line feed it makes two lines one: the request may then be incomplete, but
         * never taken. */
        assert_true(seen.status != 0 || seen.more);
    }
}

static void parts(void **state)
{
    static const char bytes[] =
        "POST /a/b?c=d&e HTTP/1.1\r\nhOsT:\t a:1 \t\r\nContent-Type: text/plain\r\nX-Y:\r\n"
        "Transfer-Encoding: chunked\r\nConnection: foo , Close\r\n\r\n5;x\r\nhello\r\n6\r\n "
        "world\r\n0\r\n\r\n";
    struct srv_http h;
    struct seen seen;
    const char *value;
    size_t len = 0;

    (void)state;
    parse(bytes, sizeof bytes - 1, 5, &h, &seen);
    assert_int_equal(seen.status, 0);
    assert_int_equal(h.method, SRV_METHOD_POST);
    assert_memory_equal(bytes + h.path.at, "/a/b", 4);
    assert_int_equal(h.path.len, 4);
    assert_memory_equal(bytes + h.query.at, "c=d&e", 5);
    assert_int_equal(h.query.len, 5);
    assert_false(h.keep_alive);
    value = srv_http_known(&h, bytes, SRV_KNOWN_HOST, &len);
    assert_int_equal(len, 3);
    assert_memory_equal(value, "a:1", 3);
    assert_null(srv_http_known(&h, bytes, SRV_KNOWN_RANGE, &len));
    assert_int_equal(h.nfields, 5);
    assert_int_equal(h.fields[2].value.len, 0);
    assert_int_equal(seen.body_len, 11);
    assert_memory_equal(seen.body, "hello world", 11);
}

static void keep_alive(void **state)
{
    static const struct {
        const char *bytes;
        bool keep;
    } cases[] = {
        {"GET / HTTP/1.1\r\nHost: a\r\n\r\n", true},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", false},
        {"GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive\r\nConnection: CLOSE\r\n\r\n", false},
        {"GET / HTTP/1.0\r\n\r\n", false},
        {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct srv_http h;
        struct seen seen;

        parse(cases[i].bytes, strlen(cases[i].bytes), 1, &h, &seen);
        assert_int_equal(seen.status, 0);
        assert_int_equal(h.keep_alive, cases[i].keep);
    }
}

/* A request of the given sizes: path, one field's value, number of fields. */
static int status_of(size_t path, size_t value, unsigned fields)
{
    char *bytes = malloc(path + value + fields * 8 + 200), *p = bytes;
    struct srv_http h;
    struct seen seen;

    p += snprintf(p, 32, "GET /");
    memset(p, 'a', path);
    p += path;
    p += snprintf(p, 64, " HTTP/1.1\r\nHost: a\r\nX: ");
    memset(p, 'b', value);
    p += value;
    p += snprintf(p, 8, "\r\n");
    for (unsigned i = 0; i < fields; i++)
        p += snprintf(p, 8, "Y: c\r\n");
    p += snprintf(p, 8, "\r\n");
    parse(bytes, (size_t)(p - bytes), 1000, &h, &seen);
    free(bytes);
    return seen.more ? -1 : seen.status;
}

static void limits(void **state)
{
    (void)state;
    assert_int_equal(status_of(8000, 0, 0), 0);
    assert_int_equal(status_of(9000, 0, 0), 414);
    assert_int_equal(status_of(100000, 0, 0), 414);
    assert_int_equal(status_of(10, 8000, 0), 0);
    assert_int_equal(status_of(10, 9000, 0), 431);
    assert_int_equal(status_of(8000, 8100, 80), 431);
    assert_int_equal(status_of(10, 10, 98), 0);
    assert_int_equal(status_of(10, 10, 99), 431);
}

/* Two requests in one go: the first ends where the second begins. */
static void pipelined(void **state)
{
    static const char bytes[] = "POST /1 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nGET GET "
                                "/2 HTTP/1.1\r\nHost: a\r\n\r\n";
    struct srv_http h;
    struct seen seen;
    size_t first;

    (void)state;
    parse(bytes, sizeof bytes - 1, 100000, &h, &seen);
    first = seen.used;
    assert_memory_equal(seen.body, "GET ", 4);
    parse(bytes + first, sizeof bytes - 1 - first, 100000, &h, &seen);
    assert_int_equal(seen.status, 0);
    assert_memory_equal(bytes + first + h.path.at, "/2", 2);
}

/* Fields by name, in any case of letters, with `_` and `-` alike. */
static void fields_by_name(void **state)
{
    static const char head[] = "GET / HTTP/1.1\r\n" HOST
                               "SSVM_Usage_Key: a\r\nssvm-usage-key: b\r\nX: c\r\nSSVM: d\r\n\r\n";
    static const struct {
        const char *name, *value;
    } known[] = {
        {"SSVM-Usage-Key", "a"}, {"ssvm_usage-KEY", "a"},   {"x", "c"}, {"SSVM", "d"},
        {"SSVM-Usage", NULL},    {"SSVM-Usage-Key-", NULL}, {"", NULL}, {"SSVM Usage Key", NULL}};
    struct srv_http h;

    (void)state;
    srv_http_init(&h);
    assert_int_equal(srv_http_read_head(&h, head, sizeof head - 1), SRV_HTTP_DONE);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        size_t len = 0;
        const char *value = srv_http_field(&h, head, known[i].name, &len);

        assert_int_equal(value != NULL, known[i].value != NULL);
        if (value) {
            assert_int_equal(len, strlen(known[i].value));
            assert_memory_equal(value, known[i].value, len);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_by_name), cmocka_unit_test(takes_and_refuses),
        cmocka_unit_test(nul_bytes),      cmocka_unit_test(parts),
        cmocka_unit_test(keep_alive),     cmocka_unit_test(limits),
        cmocka_unit_test(pipelined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
