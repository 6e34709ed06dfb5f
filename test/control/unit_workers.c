/* What a worker that was taken over may ask of control: floods, descriptors that nobody asked for,
 * kinds that are none. The worker is the test, on the other end of its channel. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "../proc.h"
#include "control/dispatch.h"
#include "control/isolated.h"
#include "control/log.h"
#include "control/part.h"
#include "control/publish.h"
#include "control/workers.h"

#define ASKED_MAX 32768 /* of workers.c */
#define ANSWER 1U       /* a flag of a packet, as ASIDE is (channel.c) */
#define ASIDE 2U

/* ---- Handlers: they wait at the gate, and count ---- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool open_gate;
static unsigned waiting, done, descriptors;
static size_t heard; /* bytes of the last message's values */

static int wait_at_gate(struct ctl_server *server, struct sv_err *err, struct plat_message *request,
                        struct plat_message *ret)
{
    (void)server, (void)err, (void)ret;
    pthread_mutex_lock(&lock);
    waiting++;
    descriptors += request->nfds;
    heard = request->values.len;
    pthread_cond_broadcast(&changed);
    while (!open_gate)
        pthread_cond_wait(&changed, &lock);
    waiting--;
    done++;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
    return 0;
}

bool ctl_isolated_may(struct ctl_server *server, const char *tenant, const struct plat_message *m)
{
    (void)server, (void)tenant, (void)m;
    return true;
}

void ctl_publish_end(struct ctl_server *server)
{
    (void)server;
}

void ctl_publish_note_isolated(struct ctl_server *server)
{
    (void)server;
}

bool ctl_publish_is_isolated(struct ctl_server *server, struct sv_str tenant)
{
    (void)server, (void)tenant;
    return false;
}

void ctl_log_event(struct ctl_server *server, enum ctl_log_level level, const char *event,
                   const char *tenant, const char *function, const char *request_id,
                   const char *text)
{
    (void)server, (void)level, (void)event, (void)tenant, (void)function, (void)request_id;
    (void)text;
}

static const char *module_setting = "100M";

own char *ctl_setting(const struct ctl_server *s, const char *option)
{
    (void)s;
    return sv_strdup(strcmp(option, "max-module") == 0 ? module_setting : "16M");
}

int ctl_state_kv(struct ctl_server *server, struct sv_err *err, struct plat_message *request,
                 struct plat_message *ret)
{
    return wait_at_gate(server, err, request, ret);
}

int ctl_socket(struct ctl_server *server, struct sv_err *err, struct plat_message *request,
               struct plat_message *ret)
{
    return wait_at_gate(server, err, request, ret);
}

static void set_gate(bool open)
{
    pthread_mutex_lock(&lock);
    open_gate = open;
    pthread_cond_broadcast(&changed);
    pthread_mutex_unlock(&lock);
}

static void wait_until(const unsigned *count, unsigned n)
{
    pthread_mutex_lock(&lock);
    while (*count < n)
        pthread_cond_wait(&changed, &lock);
    pthread_mutex_unlock(&lock);
}

/* ---- The worker ---- */

static struct ctl_server server;
static int worker;

static void say_with(unsigned kind, unsigned flags, uint64_t id, const void *values, size_t len,
                     unsigned nfds, int fd)
{
    unsigned char head[12];
    union {
        struct cmsghdr align;
        unsigned char bytes[CMSG_SPACE(sizeof(int) * 8)];
    } control = {0};
    struct iovec parts[2] = {{head, sizeof head}, {(void *)values, len}};
    struct msghdr packet = {.msg_iov = parts, .msg_iovlen = 2};
    struct cmsghdr *c = &control.align;

    memcpy(head, &(uint16_t){(uint16_t)kind}, 2);
    memcpy(head + 2, &(uint16_t){(uint16_t)flags}, 2);
    memcpy(head + 4, &id, 8);
    if (nfds > 0) {
        packet.msg_control = &control;
        packet.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int) * nfds);
        for (unsigned i = 0; i < nfds; i++)
            memcpy(CMSG_DATA(c) + i * sizeof(int), &fd, sizeof(int));
    }
    assert_true(sendmsg(worker, &packet, MSG_NOSIGNAL) >= 0);
}

static void say(unsigned kind, unsigned flags, uint64_t id, const void *values, size_t len,
                unsigned nfds)
{
    say_with(kind, flags, id, values, len, nfds, worker);
}

/* The next answer: its kind, its id, and whether it is an error. */
static bool hear(uint64_t *ret_id)
{
    unsigned char in[4096];
    ssize_t n = recv(worker, in, sizeof in, 0);
    uint16_t tag = 0;

    assert_true(n >= 12);
    memcpy(ret_id, in + 4, 8);
    if (n >= 14)
        memcpy(&tag, in + 12, 2);
    return tag == PLAT_TAG_ERROR;
}

/* A worker comes, of that tenant alone, or (NULL) of all: our end of its channel. */
static int make_worker(unsigned slot, const char *tenant)
{
    struct plat_message m;
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    plat_message_init(&m, PLAT_WORKER);
    plat_put_u64(&m, PLAT_TAG_NUMBER, slot);
    if (tenant)
        plat_put_str(&m, PLAT_TAG_TENANT, tenant);
    assert_true(plat_put_fd(&m, open("/dev/null", O_RDONLY | O_CLOEXEC))); /* no ring */
    assert_true(plat_put_fd(&m, fds[1]));
    ctl_workers_set(&server, &m);
    plat_message_release(&m);
    return fds[0];
}

static int begin(void **state)
{
    uint64_t id;

    (void)state;
    assert_int_equal(ctl_pool_start(&server, NULL), 0);
    assert_int_equal(ctl_workers_start(&server, NULL), 0);
    worker = make_worker(0, NULL);
    assert_false(hear(&id)); /* HELLO */
    return 0;
}

static int end(void **state)
{
    (void)state;
    close(worker);
    ctl_readers_stop(&server);
    ctl_workers_stop(&server);
    ctl_pool_stop(&server);
    sv_free(server.workers); /* for who looks for leaks: it lives as long as the process */
    return 0;
}

/* ---- */

/* Descriptors are closed as they come, but the one of a socket. */
static void descriptors_not_asked_for(void **state)
{
    unsigned before = open_descriptors();
    uint64_t id;

    (void)state;
    set_gate(false);
    descriptors = 0;
    for (unsigned i = 1; i <= 20; i++)
        say(PLAT_KV, 0, i, "", 0, 4);
    say(PLAT_SOCKET, 0, 21, "", 0, 4);
    wait_until(&waiting, 21);
    assert_int_equal(descriptors, 1);
    assert_in_range(open_descriptors(), before, before + 1);
    set_gate(true);
    for (unsigned i = 1; i <= 21; i++)
        assert_false(hear(&id));
}

/* Beyond its part a worker is told so, at once; and later it is heard again. */
static void floods(void **state)
{
    unsigned refused = 0;
    uint64_t id;

    (void)state;
    set_gate(false);
    done = 0;
    for (unsigned i = 0; i < ASKED_MAX; i++)
        say(PLAT_KV, 0, 0, "", 0, 0); /* nobody waits for an answer */
    for (unsigned i = 1; i <= 50; i++) {
        say(PLAT_KV, 0, i, "", 0, 0);
        refused += hear(&id);
        assert_int_equal(id, i);
    }
    assert_int_equal(refused, 50);
    set_gate(true);
    wait_until(&done, ASKED_MAX);
    do { /* the last of them may not be forgotten yet */
        say(PLAT_KV, 0, 1, "", 0, 0);
    } while (hear(&id));
}

/* What is no message leaves nothing behind and ends nothing. */
static void nonsense(void **state)
{
    static const unsigned char half[] = {9, 0, 255, 255, 255, 255, 'x'};
    unsigned before = open_descriptors();
    uint64_t id;

    (void)state;
    set_gate(true);
    for (unsigned kind = 0; kind < PLAT_KIND_COUNT + 3; kind++) {
        say(kind, 0, 0, half, sizeof half, 4);
        say(kind, ASIDE, 0, "", 0, 1); /* its values are in a socket */
        say(kind, ASIDE, 0, "", 0, 0);
        say(kind, ANSWER, kind, half, 7, 4); /* to what nobody has asked */
        say(kind, 0xffff, 1, half, 3, 8);    /* more descriptors than travel */
    }
    assert_int_equal(send(worker, "half", 4, 0), 4);
    assert_int_equal(send(worker, "", 0, 0), 0);
    say(PLAT_HELLO, 0, 7, "", 0, 0); /* of whom only control says it */
    assert_true(hear(&id));
    assert_int_equal(id, 7);
    say(PLAT_KV, 0, 8, "", 0, 0);
    assert_false(hear(&id));
    assert_int_equal(id, 8);
    assert_int_equal(open_descriptors(), before);
}

/* How much control reads of one value that lies beside its packet, of `len` bytes with its head. */
static size_t heard_of(size_t len)
{
    unsigned char head[6] = {PLAT_TAG_BODY};
    int fd = memfd_create("large", MFD_CLOEXEC);
    uint64_t id;

    assert_true(fd >= 0 && ftruncate(fd, (off_t)len) == 0);
    memcpy(head + 2, &(uint32_t){(uint32_t)(len - sizeof head)}, 4);
    assert_int_equal(pwrite(fd, head, sizeof head, 0), sizeof head);
    heard = 1;
    say_with(PLAT_KV, ASIDE, 3, "", 0, 1, fd);
    close(fd);
    assert_false(hear(&id));
    assert_int_equal(id, 3);
    return heard;
}

#define MIB ((size_t)1 << 20)

/* What is larger than any worker has to say is not read into memory. */
static void large(void **state)
{
    int of_all = worker;
    uint64_t id;

    (void)state;
    set_gate(true);
    assert_int_equal(heard_of(100 * MIB + 65536), 100 * MIB + 65536); /* a module, as deployed */
    assert_int_equal(heard_of(101 * MIB + 1), 0);
    assert_int_equal(heard_of(PLAT_MESSAGE_MAX), 0);
    worker = make_worker(1, "alone"); /* who deploys nothing */
    assert_false(hear(&id));
    assert_int_equal(heard_of(80 * MIB), 80 * MIB);
    assert_int_equal(heard_of(81 * MIB + 1), 0);
    assert_int_equal(heard_of(100 * MIB), 0);
    close(worker);
    module_setting = "1G"; /* the most that a message has */
    worker = make_worker(2, NULL);
    assert_false(hear(&id));
    assert_int_equal(heard_of(101 * MIB + 1), 101 * MIB + 1);
    assert_int_equal(heard_of((size_t)PLAT_MESSAGE_MAX + 1), 0);
    close(worker);
    worker = of_all;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(descriptors_not_asked_for),
        cmocka_unit_test(floods),
        cmocka_unit_test(nonsense),
        cmocka_unit_test(large),
    };

    return cmocka_run_group_tests(tests, begin, end);
}
