/* No memory for what functions ask control: of sockets and of native commands. Each allocation
 * fails once: the answer says so, or is what it is with memory; it never grants more, and nothing
 * is left open. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "control/command.h"
#include "control/dispatch.h"
#include "control/fetch.h"
#include "control/part.h"
#include "control/socket.h"
#include "ssvm_process.h"

#define ALLOCATIONS_MAX 200

static struct ctl_server server;
static struct out_names *names;
static struct sockaddr_in here = {.sin_family = AF_INET}; /* a datagram socket of ours */
static int peer;

/* ---- What they use of control ---- */

bool ctl_fetch_covers(const struct ctl_server *s, const struct out_rule *rule)
{
    (void)s, (void)rule;
    return true;
}

struct out_names *ctl_fetch_names(const struct ctl_server *s)
{
    (void)s;
    return names;
}

uint64_t ctl_fetch_asker(struct sv_str tenant)
{
    (void)tenant;
    return 1;
}

int ctl_dispatch_cancel_fd(const struct plat_message *m)
{
    (void)m;
    return -1;
}

own char *ctl_setting(const struct ctl_server *s, const char *option)
{
    (void)s;
    return sv_strdup(strcmp(option, "allow-command") == 0 ? "cat" : "on");
}

/* ---- Questions ---- */

static void begin(struct plat_message *m, enum plat_kind kind, const char *op)
{
    plat_message_init(m, kind);
    plat_put_str(m, PLAT_TAG_TENANT, "default");
    if (op)
        plat_put_str(m, PLAT_TAG_OP, op);
}

static void ask_resolve(struct plat_message *m)
{
    begin(m, PLAT_SOCKET, "resolve");
    plat_put_str(m, PLAT_TAG_ALLOW, "127.0.0.1:*");
    plat_put_str(m, PLAT_TAG_NAME, "192.0.2.7");
    plat_put_str(m, PLAT_TAG_TEXT, "80");
}

static void resolved(const struct plat_message *answer)
{
    struct sv_str one = plat_get(answer, PLAT_TAG_VALUE);
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(80)};

    inet_pton(AF_INET, "192.0.2.7", &in.sin_addr);
    assert_true(one.len >= sizeof in);
    assert_memory_equal(one.ptr, &in, sizeof in);
}

static void ask_send_to(struct plat_message *m, const struct sockaddr_in *to)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    begin(m, PLAT_SOCKET, "send");
    plat_put_str(m, PLAT_TAG_ALLOW, "127.0.0.1:*");
    plat_put(m, PLAT_TAG_VALUE, to, sizeof *to);
    plat_put_str(m, PLAT_TAG_BODY, "x");
    assert_true(fd >= 0 && plat_put_fd(m, fd));
}

static void ask_send(struct plat_message *m)
{
    ask_send_to(m, &here);
}

static void sent(const struct plat_message *answer)
{
    struct sv_str to = plat_get(answer, PLAT_TAG_VALUE);
    uint64_t ms = 0;

    assert_int_equal(to.len, sizeof here);
    assert_memory_equal(to.ptr, &here, sizeof here);
    assert_true(plat_get_u64(answer, PLAT_TAG_TIMEOUT_MS, &ms) && ms > 0);
}

static void ask_socket(struct plat_message *m)
{
    begin(m, PLAT_SOCKET, "socket");
    plat_put_u64(m, PLAT_TAG_NUMBER, AF_INET);
    plat_put_u64(m, PLAT_TAG_COUNT, SOCK_STREAM);
}

static void made(const struct plat_message *answer)
{
    assert_int_equal(answer->nfds, 1);
}

static void ask_command(struct plat_message *m)
{
    begin(m, PLAT_COMMAND, NULL);
    plat_put_str(m, PLAT_TAG_VALUE, "cat");
    plat_put_str(m, PLAT_TAG_KEY, "K=V");
    plat_put_str(m, PLAT_TAG_ALLOW, "cat");
    plat_put_str(m, PLAT_TAG_BODY, "in");
    plat_put_u64(m, PLAT_TAG_TIMEOUT_MS, 600000);
}

static void ran(const struct plat_message *answer)
{
    struct sv_str out = plat_get(answer, PLAT_TAG_BODY), errors = plat_get(answer, PLAT_TAG_ERRORS);
    uint64_t code = 0;

    assert_true(plat_get_u64(answer, PLAT_TAG_NUMBER, &code));
    if ((int64_t)code == SSVM_PROCESS_FAILED) { /* it says what was not there */
        if (!memmem(errors.ptr, errors.len, "out of memory", 13))
            fail_msg("%.*s", (int)errors.len, errors.ptr);
        return;
    }
    assert_int_equal(code, 0);
    assert_int_equal(out.len, 2);
    assert_memory_equal(out.ptr, "in", 2);
}

/* What nobody has granted: with memory or without, it is not done. */
static void ask_refused(struct plat_message *m)
{
    struct sockaddr_in other = here;

    other.sin_addr.s_addr = htonl(0x7f000002);
    ask_send_to(m, &other);
}

static const struct question {
    const char *name;
    int (*handler)(struct ctl_server *, struct sv_err *, struct plat_message *,
                   struct plat_message *);
    void (*ask)(struct plat_message *);
    int64_t wanted; /* NUMBER, with memory */
    void (*check)(const struct plat_message *);
} questions[] = {
    {"resolve", ctl_socket, ask_resolve, 1, resolved},
    {"send", ctl_socket, ask_send, 1, sent},
    {"socket", ctl_socket, ask_socket, 0, made},
    {"refused", ctl_socket, ask_refused, -EACCES, NULL},
    {"command", ctl_command, ask_command, 0, ran},
};

static unsigned descriptors(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 1024; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

/* True: nothing failed any more. */
static bool run_once(const struct question *q, unsigned long n)
{
    unsigned before = descriptors();
    struct plat_message m, answer;
    struct sv_err err = {0};
    unsigned long made_before;
    uint64_t number = 0;
    bool whole;
    int r;

    q->ask(&m);
    plat_message_init(&answer, m.kind);
    made_before = sv_alloc_count();
    sv_alloc_fail_at(n);
    r = q->handler(&server, &err, &m, &answer);
    sv_alloc_fail_at(0);
    whole = sv_alloc_count() - made_before < n;
    if (r < 0) {
        assert_int_equal(r, SV_ENOMEM);
    } else if (!answer.values.failed) { /* else dispatch.c says it */
        assert_true(plat_get_u64(&answer, PLAT_TAG_NUMBER, &number));
        if (whole || (int64_t)number != -ENOMEM) {
            if (q->handler == ctl_socket)
                assert_int_equal((int64_t)number, q->wanted);
            if (q->check)
                q->check(&answer);
        }
    }
    if (whole)
        assert_true(r == 0 && !answer.values.failed);
    plat_message_release(&m);
    plat_message_release(&answer);
    assert_int_equal(descriptors(), before);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
    return whole;
}

static void each_allocation_fails_once(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        unsigned long n = 1;

        while (!run_once(&questions[i], n) && n < ALLOCATIONS_MAX)
            n++;
        print_message("%s: %lu allocations\n", questions[i].name, n - 1);
        assert_in_range(n, 2, ALLOCATIONS_MAX - 1);
    }
}

static int set_up(void **state)
{
    socklen_t len = sizeof here;
    struct sv_err err = {0};

    (void)state;
    here.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    peer = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (peer < 0 || bind(peer, (struct sockaddr *)&here, sizeof here) != 0 ||
        getsockname(peer, (struct sockaddr *)&here, &len) != 0)
        return -1;
    names = out_names_new();
    return names && ctl_command_start(&server, &err) == 0 ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    ctl_command_stop(&server);
    out_names_delete(names);
    close(peer);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_allocation_fails_once)};

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
