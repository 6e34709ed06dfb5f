/* Requests of guests to peers that never come to an end, and names that nobody answers for: each is
 * over at its deadline, or at a limit before, and leaves no descriptor and no thread behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../proc.h"
#include "base/buf.h"
#include "base/clock.h"
#include "outbound/client.h"

#define DEADLINE_MS 300
#define PATIENCE_MS 60000
#define ROUNDS 5

/* ---- A resolver, which comes before the C library's, in libcurl too ---- */

static _Atomic int asked, holding;
static int gate = -1; /* what it waits for */

static bool numeric(const char *node)
{
    uint8_t bytes[16];

    return inet_pton(AF_INET, node, bytes) == 1 || inet_pton(AF_INET6, node, bytes) == 1;
}

/* Every name is 127.0.0.1. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    struct sockaddr_in *in;
    struct addrinfo *a;

    (void)service;
    if (hints && hints->ai_flags & AI_NUMERICHOST && !numeric(node))
        return EAI_NONAME;
    if (!numeric(node))
        asked++;
    if (gate >= 0) {
        struct pollfd p = {.fd = gate, .events = POLLIN};

        holding++;
        poll(&p, 1, PATIENCE_MS);
        holding--;
    }
    a = calloc(1, sizeof *a + sizeof *in);
    if (!a)
        return EAI_MEMORY;
    in = (struct sockaddr_in *)(a + 1);
    in->sin_family = AF_INET;
    inet_pton(AF_INET, numeric(node) ? node : "127.0.0.1", &in->sin_addr);
    a->ai_family = AF_INET;
    a->ai_socktype = SOCK_STREAM;
    a->ai_addr = (struct sockaddr *)in;
    a->ai_addrlen = sizeof *in;
    *ret = a;
    return 0;
}

void freeaddrinfo(struct addrinfo *a)
{
    free(a);
}

/* ---- A peer ---- */

static int door;
static uint16_t port;
static char redirect[100]; /* where /redirect leads */

/* Again and again, until the client goes. */
static void repeat(int fd, const char *text, unsigned pause_us)
{
    size_t len = strlen(text);

    while (send(fd, text, len, MSG_NOSIGNAL) > 0) {
        if (pause_us)
            usleep(pause_us);
    }
}

static void *answer(void *data)
{
    int fd = (int)(intptr_t)data;
    char head[4096] = "", out[300];
    ssize_t n = recv(fd, head, sizeof head - 1, 0);
    const char *path = n > 4 ? head + 4 : "";

    if (strncmp(path, "/endless ", 9) == 0) {
        (void)send(fd, "HTTP/1.1 200 OK\r\n\r\n", 19, MSG_NOSIGNAL);
        repeat(fd, "0123456789012345678901234567890123456789", 0);
    } else if (strncmp(path, "/drip ", 6) == 0) {
        (void)send(fd, "HTTP/1.1 200 OK\r\nX: ", 20, MSG_NOSIGNAL);
        repeat(fd, "x", 1000);
    } else if (strncmp(path, "/chunks ", 8) == 0) {
        (void)send(fd, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 47, MSG_NOSIGNAL);
        repeat(fd, "1;x=y\r\nz\r\n", 1000);
    } else if (strncmp(path, "/fields ", 8) == 0) {
        (void)send(fd, "HTTP/1.1 200 OK\r\n", 17, MSG_NOSIGNAL);
        repeat(fd, "X-Field: and one more\r\n", 0);
    } else if (strncmp(path, "/continue ", 10) == 0) {
        repeat(fd, "HTTP/1.1 100 Continue\r\n\r\n", 0);
    } else if (strncmp(path, "/redirect ", 10) == 0) {
        n = snprintf(out, sizeof out,
                     "HTTP/1.1 302 Found\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n", redirect);
        (void)send(fd, out, (size_t)n, MSG_NOSIGNAL);
    } else if (strncmp(path, "/good ", 6) == 0) {
        (void)send(fd, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood", 42, MSG_NOSIGNAL);
    }
    /* /silent, and who begins with TLS: nothing, until the client goes. */
    while (recv(fd, head, sizeof head, 0) > 0) {
    }
    close(fd);
    return NULL;
}

static void *listen_on(void *data)
{
    int fd;

    while ((fd = accept(door, NULL, NULL)) >= 0) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, answer, (void *)(intptr_t)fd) == 0)
            pthread_detach(thread);
    }
    return data;
}

/* ---- Requests ---- */

static struct sv_err err;
static struct sv_buf body;

static bool take_field(void *data, struct sv_str line)
{
    (void)data, (void)line;
    return true;
}

static bool take_body(void *data, const void *bytes, size_t len)
{
    return sv_buf_append(data, bytes, len);
}

static int ask_with_body(const char *method, const char *url, const char *text)
{
    struct out_rule any, mine;
    struct out_rules rules = {.hosts = &any, .nhosts = 1, .private = &mine, .nprivate = 1};
    struct out_request request = {.method = sv_str_of(method),
                                  .url = sv_str_of(url),
                                  .body = sv_str_of(text),
                                  .deadline_ns = sv_clock_ns() + DEADLINE_MS * 1000000ULL,
                                  .asker = 1};
    const struct out_sink sink = {take_field, take_body, &body};
    char rule[40];
    int status = 0, r;

    err = (struct sv_err){0};
    sv_buf_clear(&body);
    snprintf(rule, sizeof rule, "*:%u", port);
    assert_int_equal(out_rule_parse(&err, sv_str_of(rule), &any), 0);
    snprintf(rule, sizeof rule, "127.0.0.1:%u", port);
    assert_int_equal(out_rule_parse(&err, sv_str_of(rule), &mine), 0);
    r = out_fetch(&err, &rules, &request, &sink, &status);
    return r < 0 ? r : status;
}

static int ask(const char *scheme, const char *host, const char *path)
{
    char url[200];

    snprintf(url, sizeof url, "%s://%s:%u%s", scheme, host, port, path);
    return ask_with_body("GET", url, "");
}

/* What a request has opened and started is gone again; of the peer's, soon. */
static void await_nothing_left(unsigned fds, unsigned threads)
{
    for (unsigned ms = 0; ms < PATIENCE_MS; ms += 10) {
        if (count_entries("/proc/self/fd") <= fds && count_entries("/proc/self/task") <= threads)
            return;
        usleep(10000);
    }
    fail_msg("%u descriptors and %u threads, before %u and %u", count_entries("/proc/self/fd"),
             count_entries("/proc/self/task"), fds, threads);
}

static void peers_without_an_end(void **state)
{
    static const struct {
        const char *scheme, *path;
        int code; /* the limit of a size may come before that of the time */
    } rows[] = {
        {"http", "/silent", SV_EEXIT},  {"http", "/drip", SV_EEXIT},
        {"http", "/chunks", SV_EEXIT},  {"http", "/endless", SV_ELIMIT},
        {"http", "/fields", SV_ELIMIT}, {"http", "/continue", SV_ELIMIT},
        {"https", "/", SV_EEXIT},
    };
    unsigned fds = 0, threads = 0;

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < SV_COUNT(rows); i++) {
            int r = ask(rows[i].scheme, "127.0.0.1", rows[i].path);

            if (r != rows[i].code && r != SV_EEXIT)
                fail_msg("%s: %d, %s", rows[i].path, r, err.text);
        }
        if (round == 0) { /* libraries have opened what they keep */
            usleep(100000);
            fds = count_entries("/proc/self/fd");
            threads = count_entries("/proc/self/task");
        }
    }
    await_nothing_left(fds, threads);
}

static void redirections(void **state)
{
    static const char *const private[] = {
        "http://10.0.0.1:%u/", "http://169.254.169.254:%u/",
        "http://[::1]:%u/",    "http://[::ffff:10.0.0.1]:%u/",
        "http://0:%u/",        "//192.168.0.1:%u/",
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(private); i++) {
        snprintf(redirect, sizeof redirect, private[i], port);
        if (ask("http", "127.0.0.1", "/redirect") != SV_EINVALID)
            fail_msg("%s: %s", redirect, err.text);
    }
    snprintf(redirect, sizeof redirect, "/redirect"); /* without an end */
    assert_int_equal(ask("http", "127.0.0.1", "/redirect"), SV_EIO);
}

static void names(void **state)
{
    int before = asked;

    (void)state;
    assert_int_equal(ask("http", "Example.test.", "/good"), 200);
    assert_string_equal(sv_buf_cstr(&body), "good");
    assert_int_equal(asked, before + 1); /* once: what was looked at is what is connected to */
}

/* A question that is answered after the deadline, or never, keeps no request. */
static void names_without_an_answer(void **state)
{
    unsigned fds = count_entries("/proc/self/fd"), threads = count_entries("/proc/self/task");
    uint64_t one = 1;

    (void)state;
    gate = eventfd(0, EFD_CLOEXEC);
    assert_true(gate >= 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(ask("http", "slow.test", "/good"), SV_EEXIT);
        assert_non_null(strstr(err.text, "took too long"));
        assert_int_equal(holding, i + 1); /* the resolver's, still */
    }
    assert_int_equal(write(gate, &one, sizeof one), sizeof one);
    for (unsigned ms = 0; holding > 0 && ms < PATIENCE_MS; ms += 10)
        usleep(10000);
    assert_int_equal(holding, 0);
    close(gate);
    gate = -1;
    await_nothing_left(fds, threads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(peers_without_an_end),
        cmocka_unit_test(redirections),
        cmocka_unit_test(names),
        cmocka_unit_test(names_without_an_answer),
    };
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof in;
    pthread_t thread;
    int r;

    door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (door < 0 || bind(door, (struct sockaddr *)&in, len) < 0 || listen(door, 64) < 0 ||
        getsockname(door, (struct sockaddr *)&in, &len) < 0 || out_init(&err) < 0 ||
        pthread_create(&thread, NULL, listen_on, NULL) != 0)
        return 1;
    port = ntohs(in.sin_port);
    sv_buf_init(&body, 1 << 20);
    r = cmocka_run_group_tests(tests, NULL, NULL);
    sv_buf_release(&body);
    shutdown(door, SHUT_RDWR);
    pthread_join(thread, NULL);
    close(door);
    return r;
}
