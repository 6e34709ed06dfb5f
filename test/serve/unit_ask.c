/* What a worker asks control for functions: sockets and native commands. Control is the test. Each
 * allocation fails once: what is asked is whole or not asked. How long control's answer about a
 * datagram's address holds, by a clock of our own. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "serve/command.h"
#include "serve/link.h"
#include "serve/loop.h"
#include "serve/registry.h"
#include "serve/session.h"
#include "serve/socket.h"
#include "ssvm_process.h"
#include "ssvm_socket.h"

#define NS_PER_MS 1000000U
#define ALLOCATIONS_MAX 100

static struct srv_conn conn;
static struct srv_loop loop;
static const ssvm_socket_backend *sockets;
static const ssvm_process_backend *process;
static uint64_t now_ns = 1000000000;

/* ---- What they use of the worker ---- */

uint64_t srv_clock_ns(void)
{
    return now_ns;
}

uint64_t srv_pool_guest_deadline(const struct srv_conn *c)
{
    (void)c;
    return UINT64_MAX;
}

bool srv_pool_part(struct srv_pool *pool, struct srv_loop *l, uint64_t ticket)
{
    (void)pool, (void)l, (void)ticket;
    return true;
}

void srv_registry_grants(const struct srv_request *request, const char *word,
                         void (*each)(void *data, const char *rest), void *data)
{
    (void)request;
    each(data, word);
    each(data, "second");
}

own ssvm_error *ssvm_linker_define_sockets(ssvm_linker *linker, const ssvm_sockets *s)
{
    (void)linker;
    sockets = s->backend;
    return NULL;
}

own ssvm_error *ssvm_process_new(const ssvm_process_config *config, ssvm_process **ret)
{
    process = config->backend;
    *ret = NULL;
    return NULL;
}

void ssvm_process_delete(own ssvm_process *p)
{
    (void)p;
}

/* ---- Control ---- */

static unsigned asked;
static uint64_t allowed_ms = 1000;
static struct sockaddr_in settled; /* where a datagram really went */

static void assert_list(const struct plat_message *m, enum plat_tag tag, const char *first)
{
    size_t at = 0;
    struct sv_str one = plat_get_next(m, tag, &at), two = plat_get_next(m, tag, &at);

    assert_true(sv_str_eq(one, sv_str_of(first)));
    assert_true(sv_str_eq(two, sv_str_of("second")));
    assert_null(plat_get_next(m, tag, &at).ptr);
}

static void answer_socket(struct plat_message *m, struct plat_message *ret)
{
    struct sv_str op = plat_get(m, PLAT_TAG_OP);
    int64_t number = 0;

    assert_list(m, PLAT_TAG_ALLOW, "allow-connect");
    assert_list(m, PLAT_TAG_LISTEN, "allow-listen");
    if (sv_str_eq(op, sv_str_of("socket"))) {
        assert_true(plat_put_fd(ret, open("/dev/null", O_RDONLY | O_CLOEXEC)));
    } else if (sv_str_eq(op, sv_str_of("resolve"))) {
        struct sockaddr_storage found = {.ss_family = AF_INET};

        assert_true(sv_str_eq(plat_get(m, PLAT_TAG_NAME), sv_str_of("host")));
        assert_true(sv_str_eq(plat_get(m, PLAT_TAG_TEXT), sv_str_of("80")));
        plat_put(ret, PLAT_TAG_VALUE, &found, sizeof found);
        number = 1;
    } else {
        assert_int_equal(m->nfds, 1);
        if (!sv_str_eq(op, sv_str_of("listen")))
            assert_true(plat_get(m, PLAT_TAG_VALUE).len > 0);
    }
    if (sv_str_eq(op, sv_str_of("send"))) {
        assert_true(sv_str_eq(plat_get(m, PLAT_TAG_BODY), sv_str_of("text")));
        plat_put(ret, PLAT_TAG_VALUE, &settled, sizeof settled);
        plat_put_u64(ret, PLAT_TAG_TIMEOUT_MS, allowed_ms);
        number = 4;
    }
    plat_put_u64(ret, PLAT_TAG_NUMBER, (uint64_t)number);
}

static void answer_command(struct plat_message *m, struct plat_message *ret)
{
    assert_list(m, PLAT_TAG_ALLOW, "allow-command");
    assert_true(sv_str_eq(plat_get(m, PLAT_TAG_VALUE), sv_str_of("cat")));
    assert_true(sv_str_eq(plat_get(m, PLAT_TAG_KEY), sv_str_of("K=V")));
    assert_true(sv_str_eq(plat_get(m, PLAT_TAG_BODY), sv_str_of("in")));
    plat_put_u64(ret, PLAT_TAG_NUMBER, 7);
    plat_put_str(ret, PLAT_TAG_BODY, "out");
}

int srv_link_call_of(struct srv_server *server, struct sv_err *err, struct plat_message *m,
                     uint64_t deadline_ns, struct srv_guest *guest, struct plat_message *ret)
{
    (void)server, (void)err, (void)deadline_ns, (void)guest;
    sv_alloc_fail_at(0);
    asked++;
    assert_false(m->values.failed);
    assert_true(sv_str_eq(plat_get(m, PLAT_TAG_TENANT), sv_str_of("tenant")));
    plat_message_init(ret, m->kind);
    if (m->kind == PLAT_SOCKET)
        answer_socket(m, ret);
    else
        answer_command(m, ret);
    return 0;
}

/* ---- Each call, each allocation ---- */

static const struct ssvm_socket_op op = {.deadline_ns = UINT64_MAX};
static struct sockaddr_in to = {.sin_family = AF_INET};
static const struct sockaddr *const sa = (struct sockaddr *)&to;
static int fd; /* a datagram socket */

static int64_t call_socket(void *s)
{
    int made = sockets->socket(s, &op, AF_INET, SOCK_STREAM);

    if (made >= 0)
        close(made);
    return made >= 0 ? 0 : made;
}

static int64_t call_connect(void *s)
{
    return sockets->connect(s, &op, fd, sa, sizeof to);
}

static int64_t call_bind(void *s)
{
    return sockets->bind(s, &op, fd, sa, sizeof to);
}

static int64_t call_listen(void *s)
{
    return sockets->listen(s, &op, fd, 5);
}

static int64_t call_send(void *s)
{
    return sockets->send_to(s, &op, fd, "text", 4, sa, sizeof to);
}

static int64_t call_resolve(void *s)
{
    const struct ssvm_socket_query q = {.node = "host", .service = "80"};
    struct sockaddr_storage found[2];
    int n = sockets->resolve(s, &op, &q, found, 2);

    if (n > 0)
        assert_int_equal(found[0].ss_family, AF_INET);
    return n;
}

static char said[256];

static bool put(ssvm_process_run *r, bool error, const void *bytes, size_t len)
{
    (void)r, (void)error;
    assert_true(strlen(said) + len < sizeof said);
    strncat(said, bytes, len);
    return true;
}

/* 7: it ran; -ENOMEM: it says that there was no memory. */
static int64_t call_command(void *s)
{
    static const char *const args[] = {"cat", NULL}, *const env[] = {"K=V", NULL};
    ssvm_process_run r = {.args = args,
                          .env = env,
                          .input = "in",
                          .input_len = 2,
                          .deadline_ns = UINT64_MAX,
                          .put = put};

    (void)s;
    said[0] = '\0';
    process->run(NULL, &conn, &r);
    if (r.code != SSVM_PROCESS_FAILED) {
        assert_string_equal(said, "out");
        return r.code;
    }
    assert_non_null(strstr(said, "out of memory"));
    return -ENOMEM;
}

static unsigned descriptors(void)
{
    unsigned n = 0;

    for (int i = 0; i < 1024; i++)
        n += fcntl(i, F_GETFD) >= 0;
    return n;
}

static void each_allocation_fails_once(void **state)
{
    static const struct {
        int64_t (*call)(void *);
        int64_t wanted;
    } calls[] = {{call_socket, 0}, {call_connect, 0}, {call_bind, 0},   {call_listen, 0},
                 {call_send, 4},   {call_resolve, 1}, {call_command, 7}};

    (void)state;
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        unsigned before = descriptors();
        unsigned long n = 1, failed = 0;

        for (; n < ALLOCATIONS_MAX; n++) {
            unsigned long made = sv_alloc_count();
            int64_t r = -ENOMEM;
            void *s = NULL;

            asked = 0;
            sv_alloc_fail_at(n);
            if (sockets->open(NULL, &conn, &s) == 0)
                r = calls[i].call(s);
            sv_alloc_fail_at(0);
            made = sv_alloc_count() - made;
            if (s)
                sockets->close(s);
            assert_true(r == calls[i].wanted || (r == -ENOMEM && asked == 0));
            failed += r < 0;
            assert_int_equal(descriptors(), before);
            if (asked && made < n)
                break;
        }
        assert_in_range(n, 3, ALLOCATIONS_MAX - 1);
        assert_true(failed > 0);
    }
}

/* ---- Datagrams ---- */

/* Was control asked? */
static bool asks(void *s, const void *address, socklen_t len)
{
    unsigned before = asked;

    assert_int_equal(sockets->send_to(s, &op, fd, "text", 4, address, len), 4);
    return asked > before;
}

static void an_answer_holds_for_its_time(void **state)
{
    struct sockaddr_in other = to;
    struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = to.sin_port};
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    void *s = NULL, *second = NULL;
    char got[8];

    (void)state;
    assert_int_equal(sockets->open(NULL, &conn, &s), 0);
    assert_true(asks(s, &to, sizeof to));
    assert_false(asks(s, &to, sizeof to));
    assert_int_equal(recv(fd, got, sizeof got, MSG_DONTWAIT), 4); /* to itself: it went there */
    /* Another address, port, family, length. */
    other.sin_addr.s_addr = htonl(0x7f000002);
    assert_true(asks(s, &other, sizeof other));
    other = to;
    other.sin_port ^= 1;
    assert_true(asks(s, &other, sizeof other));
    assert_true(asks(s, &six, sizeof six));
    assert_true(asks(s, &path, sizeof path));
    assert_true(asks(s, &path, 12));
    assert_true(asks(s, &path, 12));
    /* Another call's. */
    assert_int_equal(sockets->open(NULL, &conn, &second), 0);
    assert_true(asks(second, &to, sizeof to));
    sockets->close(second);
    /* The time that control gave, and no longer. */
    (void)asks(s, &to, sizeof to); /* another's may have taken its place */
    now_ns += allowed_ms * NS_PER_MS;
    assert_true(asks(s, &to, sizeof to));
    now_ns += allowed_ms * NS_PER_MS - 1;
    assert_false(asks(s, &to, sizeof to));
    now_ns++;
    allowed_ms = 0;
    assert_true(asks(s, &to, sizeof to));
    assert_true(asks(s, &to, sizeof to));
    allowed_ms = 1000;
    sockets->close(s);
}

/* "Any address" is the one that control has made of it. */
static void what_was_settled_is_used(void **state)
{
    struct sockaddr_in any = to;
    void *s = NULL;
    char got[8];

    (void)state;
    while (recv(fd, got, sizeof got, MSG_DONTWAIT) > 0)
        ;
    any.sin_addr.s_addr = htonl(0x7f000003); /* there is nobody */
    assert_int_equal(sockets->open(NULL, &conn, &s), 0);
    assert_true(asks(s, &any, sizeof any));
    assert_false(asks(s, &any, sizeof any));
    assert_int_equal(recv(fd, got, sizeof got, MSG_DONTWAIT), 4);
    sockets->close(s);
}

static int set_up(void **state)
{
    static struct srv_function function;
    struct srv_commands *commands;
    socklen_t len = sizeof to;

    (void)state;
    conn.loop = &loop;
    conn.work = calloc(1, sizeof *conn.work);
    if (!conn.work)
        return -1;
    conn.work->request.function = &function;
    memcpy(function.tenant, "tenant", sizeof "tenant");
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || bind(fd, sa, sizeof to) != 0 ||
        getsockname(fd, (struct sockaddr *)&to, &len) != 0)
        return -1;
    settled = to;
    commands = srv_commands_new();
    if (!commands || srv_commands_open(commands, NULL) || srv_socket_define(NULL))
        return -1;
    srv_commands_delete(commands);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    close(fd);
    free(conn.work);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_allocation_fails_once),
        cmocka_unit_test(an_answer_holds_for_its_time),
        cmocka_unit_test(what_was_settled_is_used),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
