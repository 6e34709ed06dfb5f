/* Channels: calls and answers, values too large for a packet, packets that are no messages, peers
 * that are replaced and that go. */
#include "platform/channel.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

#define NS_PER_MS 1000000U

/* One end is a channel with a thread that reads it; `raw` is the other end's descriptor. */
struct end {
    struct plat_channel *channel;
    pthread_t reader;
    int result;
    _Atomic unsigned got; /* messages */
    enum plat_kind last;
    size_t last_values;
    unsigned last_fds;
};

static void take(void *data, struct plat_channel *channel, struct plat_message *m)
{
    struct end *end = data;
    struct plat_message answer;

    end->last = m->kind;
    end->last_values = m->values.len;
    end->last_fds = m->nfds;
    atomic_fetch_add(&end->got, 1);
    if (m->id == 0 || m->kind == PLAT_QUEUE_PUSH) /* the latter is never answered here */
        return;
    plat_message_init(&answer, m->kind);
    if (m->kind == PLAT_SQL) {
        struct sv_err err = {0};

        sv_fail(&err, SV_ETYPE, SV_NO_OFFSET, "no SQL");
        plat_put_error(&answer, &err);
    } else {
        struct sv_str value = plat_get(m, PLAT_TAG_VALUE);

        plat_put(&answer, PLAT_TAG_VALUE, value.ptr, value.len);
    }
    assert_int_equal(plat_channel_answer(channel, NULL, m->id, &answer), 0);
    plat_message_release(&answer);
}

static void *read_end(void *data)
{
    struct end *end = data;

    end->result = plat_channel_run(end->channel, NULL);
    return NULL;
}

static void start(struct end *end, int fd)
{
    memset(end, 0, sizeof *end);
    end->channel = plat_channel_new(fd, take, end);
    assert_non_null(end->channel);
    assert_int_equal(pthread_create(&end->reader, NULL, read_end, end), 0);
}

static void stop(struct end *end)
{
    plat_channel_stop(end->channel);
    pthread_join(end->reader, NULL);
    plat_channel_delete(end->channel);
}

static void make_pair(int fds[2])
{
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
}

static void wait_for(const _Atomic unsigned *count, unsigned n)
{
    for (int i = 0; i < 60000 && atomic_load(count) < n; i++)
        usleep(1000);
    assert_true(atomic_load(count) >= n);
}

/* From an empty value to one of megabytes, around the size of a packet above all. */
static void test_call(void **state)
{
    static const size_t sizes[] = {0,     1,     65000, 65511, 65517,  65518,
                                   65519, 65530, 65536, 65537, 8 << 20};
    struct end a, b;
    char *bytes = malloc(8 << 20);
    int fds[2];

    (void)state;
    for (size_t i = 0; i < 8 << 20; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    make_pair(fds);
    start(&a, fds[0]);
    start(&b, fds[1]);
    for (size_t i = 0; i < SV_COUNT(sizes); i++) {
        struct plat_message m, answer;
        struct sv_str value;

        plat_message_init(&m, PLAT_KV);
        plat_put(&m, PLAT_TAG_VALUE, bytes, sizes[i]);
        assert_int_equal(plat_channel_call(a.channel, NULL, &m, UINT64_MAX, &answer), 0);
        value = plat_get(&answer, PLAT_TAG_VALUE);
        assert_int_equal(value.len, sizes[i]);
        assert_memory_equal(value.ptr, bytes, sizes[i]);
        plat_message_release(&m);
        plat_message_release(&answer);
    }
    stop(&a);
    stop(&b);
    free(bytes);
}

static void *call_often(void *data)
{
    struct end *end = data;

    for (uint64_t i = 0; i < 500; i++) {
        struct plat_message m, answer;
        uint64_t mine = (uint64_t)(uintptr_t)&m ^ i, n = 0;

        plat_message_init(&m, PLAT_KV);
        plat_put(&m, PLAT_TAG_VALUE, &mine, sizeof mine);
        if (plat_channel_call(end->channel, NULL, &m, UINT64_MAX, &answer) < 0)
            return end;
        memcpy(&n, plat_get(&answer, PLAT_TAG_VALUE).ptr, sizeof n);
        plat_message_release(&m);
        plat_message_release(&answer);
        if (n != mine)
            return end;
    }
    return NULL;
}

/* Both sides ask at once, from several threads: everybody gets his own answer. */
static void test_threads(void **state)
{
    struct end a, b;
    pthread_t threads[8];
    void *wrong;
    int fds[2];

    (void)state;
    make_pair(fds);
    start(&a, fds[0]);
    start(&b, fds[1]);
    for (size_t i = 0; i < SV_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, i % 2 ? &a : &b), 0);
    for (size_t i = 0; i < SV_COUNT(threads); i++) {
        pthread_join(threads[i], &wrong);
        assert_null(wrong);
    }
    stop(&a);
    stop(&b);
}

static int call_kind(struct end *end, struct sv_err *err, enum plat_kind kind, unsigned ms)
{
    struct plat_message m, answer;
    int r;

    plat_message_init(&m, kind);
    r = plat_channel_call(end->channel, err, &m,
                          ms ? sv_clock_ns() + (uint64_t)ms * NS_PER_MS : UINT64_MAX, &answer);
    plat_message_release(&m);
    if (r == 0)
        plat_message_release(&answer);
    return r;
}

static void test_failures(void **state)
{
    struct sv_err err = {0}, late = {0};
    struct end a, b;
    uint64_t before;
    int fds[2];

    (void)state;
    make_pair(fds);
    start(&a, fds[0]);
    start(&b, fds[1]);
    assert_int_equal(call_kind(&a, &err, PLAT_SQL, 0), SV_ETYPE);
    assert_string_equal(err.text, "no SQL");
    before = sv_clock_ns();
    assert_int_equal(call_kind(&a, &late, PLAT_QUEUE_PUSH, 50), SV_ELIMIT);
    assert_true(sv_clock_ns() - before >= 50 * NS_PER_MS);
    assert_int_equal(call_kind(&a, NULL, PLAT_KV, 0), 0);
    stop(&a);
    stop(&b);
}

static void *call_unanswered(void *data)
{
    return (void *)(intptr_t)call_kind(data, NULL, PLAT_QUEUE_PUSH, 0);
}

/* A peer that says HELLO is a new one, which knows of no call; one that goes says nothing. */
static void test_replaced_and_gone(void **state)
{
    struct end a, b;
    struct plat_message hello;
    pthread_t caller;
    void *result;
    int fds[2];

    (void)state;
    make_pair(fds);
    start(&a, fds[0]);
    start(&b, fds[1]);
    assert_int_equal(pthread_create(&caller, NULL, call_unanswered, &a), 0);
    wait_for(&b.got, 1);
    plat_message_init(&hello, PLAT_HELLO);
    assert_int_equal(plat_channel_send(b.channel, NULL, &hello, false), 0);
    plat_message_release(&hello);
    pthread_join(caller, &result);
    assert_int_equal((intptr_t)result, SV_EIO);
    assert_int_equal(call_kind(&a, NULL, PLAT_KV, 0), 0);

    assert_int_equal(pthread_create(&caller, NULL, call_unanswered, &a), 0);
    wait_for(&b.got, 3);
    stop(&b);
    pthread_join(caller, &result);
    assert_int_equal((intptr_t)result, SV_EIO);
    assert_int_equal(call_kind(&a, NULL, PLAT_KV, 0), SV_EIO);
    pthread_join(a.reader, NULL);
    assert_int_equal(a.result, SV_EIO);
    plat_channel_delete(a.channel);
}

static unsigned open_descriptors(void)
{
    unsigned n = 0;

    for (int fd = 0; fd < 256; fd++)
        n += fcntl(fd, F_GETFD) >= 0;
    return n;
}

static void send_raw(int fd, const void *bytes, size_t len, unsigned nfds)
{
    union {
        struct cmsghdr align;
        unsigned char bytes[CMSG_SPACE(sizeof(int) * 16)];
    } control = {.bytes = {0}};
    struct iovec part = {(void *)(uintptr_t)bytes, len};
    struct msghdr packet = {.msg_iov = &part, .msg_iovlen = 1};

    if (nfds > 0) {
        packet.msg_control = &control;
        packet.msg_controllen = CMSG_SPACE(sizeof(int) * nfds);
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(sizeof(int) * nfds);
        for (unsigned i = 0; i < nfds; i++)
            memcpy(CMSG_DATA(&control.align) + i * sizeof(int), &(int){STDERR_FILENO}, sizeof(int));
    }
    assert_int_equal(sendmsg(fd, &packet, 0), (ssize_t)len);
}

/* Packets that no channel sends: none ends the reader, none leaves a descriptor behind. */
static void test_malformed(void **state)
{
    static const unsigned char unknown[12] = {0xff, 0xff}, answer[12] = {1, 0, 1, 0, 9},
                               aside[12] = {1, 0, 2, 0}, /* without a descriptor */
        value[18] = {1, 0, [12] = 1, 0, 0xff, 0xff, 0xff, 0xff};
    static unsigned char large[70000] = {1};
    struct end a;
    unsigned before, got = 0;
    int fds[2];

    (void)state;
    make_pair(fds);
    start(&a, fds[0]);
    before = open_descriptors();
    send_raw(fds[1], "", 0, 0);
    send_raw(fds[1], "short", 5, 1);
    send_raw(fds[1], answer, sizeof answer, 1); /* to no call */
    send_raw(fds[1], large, sizeof large, 1);
    send_raw(fds[1], unknown, sizeof unknown, 5); /* one more than a message has */
    wait_for(&a.got, ++got);
    assert_int_equal(a.last, PLAT_NONE);
    assert_int_equal(a.last_values, 0);
    send_raw(fds[1], aside, sizeof aside, 0);
    wait_for(&a.got, ++got);
    assert_int_equal(a.last_values, 0);
    send_raw(fds[1], aside, sizeof aside, 3); /* what is no memfd */
    wait_for(&a.got, ++got);
    assert_int_equal(a.last_fds, 0);
    send_raw(fds[1], value, sizeof value, 2);
    wait_for(&a.got, ++got);
    assert_int_equal(a.last_values, 0);
    assert_int_equal(a.last_fds, 0);
    send_raw(fds[1], unknown, sizeof unknown, 16); /* more than there is room for */
    send_raw(fds[1], unknown, sizeof unknown, 0);
    wait_for(&a.got, ++got);
    assert_int_equal(a.got, got);
    assert_int_equal(open_descriptors(), before);
    close(fds[1]);
    pthread_join(a.reader, NULL);
    plat_channel_delete(a.channel);
}

/* A peer that does not read: `try` says so, and a deadline is kept. */
static void test_full(void **state)
{
    struct plat_message m;
    struct end a;
    int fds[2], r;

    (void)state;
    make_pair(fds);
    start(&a, fds[0]);
    plat_message_init(&m, PLAT_LOG);
    plat_put(&m, PLAT_TAG_TEXT, (char[4096]){0}, 4096);
    do {
        r = plat_channel_send(a.channel, NULL, &m, true);
    } while (r == 0);
    assert_int_equal(r, SV_ELIMIT);
    plat_message_release(&m);
    assert_int_equal(call_kind(&a, NULL, PLAT_KV, 30), SV_ELIMIT);
    stop(&a);
    close(fds[1]);
}

static void test_descriptors(void **state)
{
    struct plat_message m;
    struct end a, b;
    int fds[2];

    (void)state;
    make_pair(fds);
    start(&a, fds[0]);
    start(&b, fds[1]);
    plat_message_init(&m, PLAT_TABLE);
    for (int i = 0; i < PLAT_FDS_MAX; i++)
        plat_put_fd(&m, dup(STDERR_FILENO));
    plat_put(&m, PLAT_TAG_VALUE, (char[100000]){0}, 100000); /* with the memfd: one more */
    assert_int_equal(plat_channel_send(a.channel, NULL, &m, false), 0);
    wait_for(&b.got, 1);
    assert_int_equal(b.last_fds, PLAT_FDS_MAX);
    assert_int_equal(b.last_values, 100006);
    plat_message_release(&m);
    stop(&a);
    stop(&b);
}

/* ---- Whoever asks is ended ---- */

struct asker {
    struct plat_channel *channel;
    _Atomic bool ended;
    int result;
};

static bool asker_ended(void *data)
{
    return atomic_load(&((struct asker *)data)->ended);
}

static void *ask_for_ever(void *data)
{
    struct asker *a = data;
    struct plat_message m, answer;

    plat_message_init(&m, PLAT_QUEUE_PUSH);
    a->result = plat_channel_call_of(a->channel, NULL, &m, UINT64_MAX, a, asker_ended, &answer);
    plat_message_release(&m);
    return NULL;
}

/* Before it asks and while it waits; the peer hears of it, and others wait on. */
static void test_ended(void **state)
{
    struct end a, b;
    struct asker asker = {0}, other = {0};
    pthread_t thread, second;
    int fds[2];

    (void)state;
    make_pair(fds);
    start(&a, fds[0]);
    start(&b, fds[1]);
    asker.channel = other.channel = a.channel;
    pthread_create(&second, NULL, ask_for_ever, &other);
    wait_for(&b.got, 1);
    pthread_create(&thread, NULL, ask_for_ever, &asker);
    wait_for(&b.got, 2);
    atomic_store(&asker.ended, true);
    plat_channel_end_calls(a.channel, &asker);
    pthread_join(thread, NULL);
    assert_int_equal(asker.result, SV_EEXIT);
    wait_for(&b.got, 3);
    assert_int_equal(b.last, PLAT_CANCEL);
    ask_for_ever(&asker);
    assert_int_equal(asker.result, SV_EEXIT);
    wait_for(&b.got, 5);
    assert_int_equal(b.last, PLAT_CANCEL);
    stop(&b);
    plat_channel_reset(a.channel);
    pthread_join(second, NULL);
    assert_int_equal(other.result, SV_EIO);
    stop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_call),        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_failures),    cmocka_unit_test(test_replaced_and_gone),
        cmocka_unit_test(test_malformed),   cmocka_unit_test(test_full),
        cmocka_unit_test(test_descriptors), cmocka_unit_test(test_ended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
