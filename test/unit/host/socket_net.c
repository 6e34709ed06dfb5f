/* Where sockets may lead (must-pass 41): the lists against addresses and names. The resolver and
 * the calls to the kernel are fakes of this program's, which come before the C library's. */
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
#include <unistd.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "outbound/net.h"

/* ---- Fakes ---- */

static const char *answer = "93.184.216.34"; /* of every name */
static _Atomic int asked, holding;
static int gate = -1; /* what the resolver waits for */
static struct sockaddr_storage went;
static int calls;

static bool numeric(const char *node)
{
    struct in6_addr six;
    struct in_addr four;

    return inet_pton(AF_INET, node, &four) == 1 || inet_pton(AF_INET6, node, &six) == 1;
}

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **ret)
{
    const char *text = node && numeric(node) ? node : answer;
    struct sockaddr_in *in = calloc(1, sizeof *in);
    struct addrinfo *a = calloc(1, sizeof *a);

    (void)service;
    if (hints->ai_flags & AI_NUMERICHOST && (!node || !numeric(node))) {
        free(in);
        free(a);
        return EAI_NONAME;
    }
    if (node && !numeric(node))
        asked++;
    if (gate >= 0) {
        struct pollfd p = {.fd = gate, .events = POLLIN};

        holding++;
        poll(&p, 1, -1);
        holding--;
    }
    in->sin_family = AF_INET;
    inet_pton(AF_INET, text, &in->sin_addr);
    a->ai_family = AF_INET;
    a->ai_addr = (struct sockaddr *)in;
    a->ai_addrlen = sizeof *in;
    *ret = a;
    return 0;
}

void freeaddrinfo(struct addrinfo *a)
{
    free(a->ai_addr);
    free(a);
}

static int note_call(const struct sockaddr *sa, socklen_t len)
{
    memset(&went, 0, sizeof went);
    memcpy(&went, sa, len);
    calls++;
    return 0;
}

int connect(int fd, const struct sockaddr *sa, socklen_t len)
{
    (void)fd;
    return note_call(sa, len);
}

int bind(int fd, const struct sockaddr *sa, socklen_t len)
{
    (void)fd;
    return note_call(sa, len);
}

ssize_t sendto(int fd, const void *bytes, size_t n, int flags, const struct sockaddr *sa,
               socklen_t len)
{
    (void)fd;
    (void)bytes;
    (void)flags;
    note_call(sa, len);
    return (ssize_t)n;
}

/* ---- Lists ---- */

static struct out_net net;
static struct out_net_rule rules[8];
static struct out_names *names;
static const struct out_wait patient = {.deadline_ns = UINT64_MAX};

static void grant(const char *text, bool listen)
{
    struct sv_err err = {0};

    if (out_net_rule_parse(&err, sv_str_of(text), listen, &rules[0]) < 0)
        fail_msg("%s: %s", text, err.text);
    out_names_delete(names);
    names = out_names_new();
    net = listen ? (struct out_net){.listen = rules, .nlisten = 1}
                 : (struct out_net){.connect = rules, .nconnect = 1};
}

static socklen_t address_of(const char *text, uint16_t port, struct sockaddr_storage *ret)
{
    struct sockaddr_in *in = (struct sockaddr_in *)ret;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ret;

    memset(ret, 0, sizeof *ret);
    if (inet_pton(AF_INET, text, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        return sizeof *in;
    }
    assert_int_equal(inet_pton(AF_INET6, text, &in6->sin6_addr), 1);
    in6->sin6_family = AF_INET6;
    in6->sin6_port = htons(port);
    return sizeof *in6;
}

/* 0 or an errno, the same for connections and datagrams; a refusal reaches nothing. */
static int reach(const char *text, uint16_t port)
{
    struct sockaddr_storage to, used;
    socklen_t len = address_of(text, port, &to);
    int before = calls;
    int r = out_net_connect(&net, names, &patient, -1, (struct sockaddr *)&to, len);
    int64_t sent =
        out_net_send_to(&net, names, &patient, -1, "x", 1, (struct sockaddr *)&to, len, &used);

    assert_int_equal(calls - before, r == 0 ? 2 : 0);
    assert_int_equal(sent, r == 0 ? 1 : r);
    if (r == 0)
        assert_memory_equal(&used, &went, len);
    return -r;
}

static void numbers(void **state)
{
    static const struct {
        const char *rule, *address;
        uint16_t port;
        int wanted;
    } cases[] = {
        {"93.184.216.34:80", "93.184.216.34", 80, 0},
        {"93.184.216.34:80", "93.184.216.34", 81, EACCES},
        {"93.184.216.34:80", "93.184.216.35", 80, EACCES},
        {"93.184.216.34:80", "::ffff:93.184.216.34", 80, 0},
        {"93.184.216.0/24:80", "93.184.216.35", 80, 0},
        {"10.0.0.0/8:*", "10.1.2.3", 65535, 0},
        {"10.0.0.0/8:*", "11.1.2.3", 1, EACCES},
        {"*:80", "93.184.216.34", 80, 0},
        {"*:80", "93.184.216.34", 443, EACCES},
        {"*:80", "127.0.0.1", 80, EACCES},
        {"*:*", "0.0.0.0", 80, EACCES},
        {"*:*", "10.0.0.1", 80, EACCES},
        {"*:*", "100.64.0.1", 80, EACCES},
        {"*:*", "169.254.169.254", 80, EACCES},
        {"*:*", "172.16.0.1", 80, EACCES},
        {"*:*", "192.168.0.1", 80, EACCES},
        {"*:*", "224.0.0.1", 80, EACCES},
        {"*:*", "255.255.255.255", 80, EACCES},
        {"*:*", "::", 80, EACCES},
        {"*:*", "::1", 80, EACCES},
        {"*:*", "::ffff:0.0.0.0", 80, EACCES},
        {"*:*", "::ffff:10.0.0.1", 80, EACCES},
        {"*:*", "::ffff:127.0.0.1", 80, EACCES},
        {"*:*", "::ffff:169.254.169.254", 80, EACCES},
        {"*:*", "::127.0.0.1", 80, EACCES},
        {"*:*", "64:ff9b::7f00:1", 80, EACCES},
        {"*:*", "2002:7f00:1::", 80, EACCES},
        {"*:*", "fe80::1", 80, EACCES},
        {"*:*", "fc00::1", 80, EACCES},
        {"*:*", "ff02::1", 80, EACCES},
        {"*:*", "2606:2800:220:1:248:1893:25c8:1946", 80, 0},
        {"localhost:80", "127.0.0.1", 80, 0},
        {"localhost:80", "127.8.8.8", 80, 0},
        {"localhost:80", "::1", 80, 0},
        {"localhost:80", "10.0.0.1", 80, EACCES},
        {"169.254.169.254:80", "169.254.169.254", 80, 0},
        {"[::1]:80", "::1", 80, 0},
        {"[::1]:80", "::", 80, 0},
        {"[::1]:80", "127.0.0.1", 80, EACCES},
        {"127.0.0.1:80", "0.0.0.0", 80, 0},
        {"127.0.0.1:80", "::ffff:127.0.0.1", 80, 0},
        {"127.0.0.1:80", "::1", 80, EACCES},
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        grant(cases[i].rule, false);
        if (reach(cases[i].address, cases[i].port) != cases[i].wanted)
            fail_msg("%s and %s", cases[i].rule, cases[i].address);
    }
}

/* "Any address" is this machine, and what was looked at is where it goes. */
static void any_address(void **state)
{
    const struct sockaddr_in *in = (struct sockaddr_in *)&went;

    (void)state;
    grant("127.0.0.1:80", false);
    assert_int_equal(reach("0.0.0.0", 80), 0);
    assert_int_equal(in->sin_addr.s_addr, htonl(INADDR_LOOPBACK));
}

static int ask(const char *name)
{
    struct sockaddr_storage found[4];
    const struct out_query q = {.node = name, .family = AF_UNSPEC};

    return out_net_resolve(&net, names, &patient, &q, found, 4);
}

/* A name allows its addresses, whoever has asked; and only those of the internet. */
static void names_allow(void **state)
{
    (void)state;
    answer = "93.184.216.34";
    grant("Good.Test:443", false);
    assert_int_equal(ask("other.test"), -EACCES);
    assert_int_equal(ask("good.test.other.test"), -EACCES);
    assert_int_equal(ask("GOOD.test."), 1);
    assert_int_equal(reach("93.184.216.34", 443), 0);
    assert_int_equal(reach("93.184.216.34", 80), EACCES);
    assert_int_equal(reach("93.184.216.35", 443), EACCES);
    /* A guest that knows the address from elsewhere: the name is asked for. */
    grant("good.test:443", false);
    assert_int_equal(reach("93.184.216.34", 443), 0);
    /* Those below a name must have been asked for: nobody can list them. */
    grant("*.good.test:443", false);
    assert_int_equal(reach("93.184.216.34", 443), EACCES);
    assert_int_equal(ask("good.test"), -EACCES);
    assert_int_equal(ask("a.good.test"), 1);
    assert_int_equal(reach("93.184.216.34", 443), 0);
}

/* The name's owner changes what it means, between the look and the use, or from the start. */
static void rebinding(void **state)
{
    static const char *const inner[] = {"127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0"};

    (void)state;
    for (size_t i = 0; i < SV_COUNT(inner); i++) {
        answer = "93.184.216.34";
        grant("bad.test:80", false);
        assert_int_equal(ask("bad.test"), 1);
        answer = inner[i];
        assert_int_equal(reach(inner[i], 80), EACCES);
        assert_int_equal(ask("bad.test"), 1);
        assert_int_equal(reach(inner[i], 80), EACCES);
    }
    /* The operator names the private network as well: then it may. */
    answer = "10.0.0.1";
    grant("10.0.0.0/8:80", false);
    assert_int_equal(reach("10.0.0.1", 80), 0);
    answer = "93.184.216.34";
}

/* Of a server's tenants: what the operator has not named of private networks does not count. */
static void private_is_the_operator_s(void **state)
{
    (void)state;
    grant("0.0.0.0/0:*", false);
    assert_int_equal(reach("10.0.0.1", 80), 0);
    rules[0].public_only = true;
    assert_int_equal(reach("10.0.0.1", 80), EACCES);
    assert_int_equal(reach("127.0.0.1", 80), EACCES);
    assert_int_equal(reach("93.184.216.34", 80), 0);
    grant("localhost:80", false);
    rules[0].public_only = true;
    assert_int_equal(reach("127.0.0.1", 80), EACCES);
}

static int listen_at(const char *text, uint16_t port)
{
    struct sockaddr_storage at;
    socklen_t len = address_of(text, port, &at);

    return -out_net_bind(&net, -1, (struct sockaddr *)&at, len);
}

static void listening(void **state)
{
    (void)state;
    grant("127.0.0.1:8080", true);
    assert_int_equal(listen_at("127.0.0.1", 8080), 0);
    assert_int_equal(listen_at("127.0.0.1", 8081), EACCES);
    assert_int_equal(listen_at("0.0.0.0", 8080), EACCES);
    assert_int_equal(listen_at("::", 8080), EACCES);
    assert_int_equal(listen_at("::1", 8080), EACCES);
    assert_int_equal(reach("127.0.0.1", 8080), EACCES); /* another list */
    grant("0.0.0.0:80", true);
    assert_int_equal(listen_at("0.0.0.0", 80), 0);
    assert_int_equal(listen_at("127.0.0.1", 80), EACCES);
    grant("127.0.0.1:0", true);
    assert_int_equal(listen_at("127.0.0.1", 0), 0);
    assert_int_equal(listen_at("127.0.0.1", 1), EACCES);
    grant("*:*", true);
    assert_int_equal(listen_at("0.0.0.0", 80), 0);
    assert_int_equal(listen_at("::", 80), 0);
    net.nlisten = 0;
    assert_int_equal(listen_at("127.0.0.1", 0), EACCES);
}

static void paths(void **state)
{
    const struct sockaddr sa = {.sa_family = AF_UNIX};
    int before = calls;

    (void)state;
    grant("*:*", false);
    assert_int_equal(out_net_connect(&net, names, &patient, -1, &sa, sizeof sa), -EACCES);
    assert_int_equal(out_net_bind(&net, -1, &sa, sizeof sa), -EACCES);
    assert_int_equal(out_net_socket(&net, AF_UNIX, SOCK_STREAM), -EACCES);
    assert_int_equal(out_net_socket(&net, AF_NETLINK, SOCK_DGRAM), -EACCES);
    assert_int_equal(out_net_socket(&net, AF_INET, SOCK_RAW), -EPROTONOSUPPORT);
    assert_int_equal(calls, before);
    net.af_unix = true;
    assert_int_equal(out_net_connect(&net, names, &patient, -1, &sa, sizeof sa), 0);
}

static void rules_are_read(void **state)
{
    static const char *const wrong[] = {
        "",
        ":",
        "host",
        "host:",
        ":80",
        "host:x",
        "host:80x",
        "host:-1",
        "host:0",
        "host:65536",
        "host:999999999999",
        "::1",
        "::1:80",
        "[::1:80",
        "a:b:80",
        "a b:80",
        "host:80:",
        "*.*.a:80",
        ".a:80",
        "10.0.0.0/33:80",
        "[::1]",
        "[]:80",
    };
    static const char *const no_listen[] = {"host:80", "*.host:80", "127.0.0.1"};
    struct out_net_rule r;
    struct sv_err err = {0};

    (void)state;
    for (size_t i = 0; i < SV_COUNT(wrong); i++)
        if (out_net_rule_parse(&err, sv_str_of(wrong[i]), false, &r) != SV_EUSAGE)
            fail_msg("'%s'", wrong[i]);
    for (size_t i = 0; i < SV_COUNT(no_listen); i++)
        assert_int_equal(out_net_rule_parse(&err, sv_str_of(no_listen[i]), true, &r), SV_EUSAGE);
}

/* ---- A resolver that does not answer ---- */

static int give_up(void *arg, int fd)
{
    (void)arg;
    (void)fd;
    return EINTR;
}

static void left_behind(void **state)
{
    const struct out_wait impatient = {.fn = give_up}, late = {.deadline_ns = sv_clock_ns()};
    const struct out_query q = {.node = "slow.test"};
    struct sockaddr_storage found[4];
    uint64_t one = 1;

    (void)state;
    gate = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(out_resolve(&impatient, &q, found, 4), -EINTR);
    assert_int_equal(out_resolve(&late, &q, found, 4), -ETIMEDOUT);
    while (holding < 2)
        usleep(1000);
    assert_int_equal(write(gate, &one, sizeof one), sizeof one);
    while (holding > 0)
        usleep(1000);
    usleep(100000); /* they let go of their questions: seen by who looks for leaks */
    close(gate);
    gate = -1;
}

/* Not more threads than so many, however many guests ask and end. */
static void bounded(void **state)
{
    const struct out_wait impatient = {.fn = give_up};
    const struct out_query q = {.node = "slow.test"};
    struct sockaddr_storage found[4];
    uint64_t one = 1;
    int started = 0, r;

    (void)state;
    gate = eventfd(0, EFD_CLOEXEC);
    do {
        r = out_resolve(&impatient, &q, found, 4);
        started += r == -EINTR;
    } while (r == -EINTR && started < 1000);
    assert_int_equal(r, -EAGAIN);
    assert_in_range(started, 200, 256);
    while (holding < started)
        usleep(1000);
    assert_int_equal(write(gate, &one, sizeof one), sizeof one);
    while (holding > 0)
        usleep(1000);
    usleep(200000);
    close(gate);
    gate = -1;
}

/* One who asks and gives up, again and again, leaves others theirs. */
static void each_its_part(void **state)
{
    const struct out_wait one_s = {.fn = give_up, .asker = 1},
                          other_s = {.fn = give_up, .asker = 2};
    const struct out_query q = {.node = "slow.test"};
    struct sockaddr_storage found[4];
    uint64_t one = 1;
    int started = 0;

    (void)state;
    gate = eventfd(0, EFD_CLOEXEC);
    while (started < 1000 && out_resolve(&one_s, &q, found, 4) == -EINTR)
        started++;
    assert_int_equal(started, OUT_QUESTIONS_OF_ASKER_MAX);
    assert_int_equal(out_resolve(&one_s, &q, found, 4), -EAGAIN);
    assert_int_equal(out_resolve(&other_s, &q, found, 4), -EINTR);
    while (holding < started + 1)
        usleep(1000);
    assert_int_equal(write(gate, &one, sizeof one), sizeof one);
    while (holding > 0)
        usleep(1000);
    close(gate);
    gate = -1;
    /* What was given up counts until it has ended, and no longer. */
    while (out_resolve(&one_s, &q, found, 4) == -EAGAIN)
        usleep(1000);
    usleep(200000);
}

static int end(void **state)
{
    (void)state;
    out_names_delete(names);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_are_read), cmocka_unit_test(numbers),
        cmocka_unit_test(any_address),    cmocka_unit_test(names_allow),
        cmocka_unit_test(rebinding),      cmocka_unit_test(private_is_the_operator_s),
        cmocka_unit_test(listening),      cmocka_unit_test(paths),
        cmocka_unit_test(left_behind),    cmocka_unit_test(bounded),
        cmocka_unit_test(each_its_part),
    };

    return cmocka_run_group_tests(tests, NULL, end);
}
