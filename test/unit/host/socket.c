/* host-socket.so called directly: every function at the edges of memory, descriptors that are none,
 * are closed or of other kinds, a full table, waits that are ended. must-pass 29, 37, 39. */
#include "guest.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "../../proc.h"
#include "host/part.h"
#include "host/socket/socket.h"

static const char *const home[] = {"127.0.0.1:*"};
static const struct sv_host_module *module;

enum { INET4 = 1, DATAGRAM = 1, STREAM = 2 };

/* A guest with WASI and sockets; calls go to the sockets' functions. */
static void open_sockets(struct guest *g, const struct sv_socket_grant *grant, uint32_t max_fds)
{
    const struct sv_wasi_grant wasi = {.max_fds = max_fds};
    struct sv_err err = {0};
    void *state;

    guest_open(g, &sv_host_wasi, &wasi);
    g->module->close(g->state);
    assert_int_equal(sv_host_open(&err, &g->store, &sv_host_wasi, &wasi, &state), 0);
    g->module = module;
    if (module->open(&err, &g->store, grant, &g->state) < 0)
        fail_msg("%s", err.text);
}

static void close_sockets(struct guest *g)
{
    module->close(g->state);
    g->store.host_states_release(g->store.host_states);
    munmap(g->memory.base, 2 * GUEST_SIZE);
}

static int wasi_call(struct guest *g, const char *name, uint64_t a, uint64_t b)
{
    struct guest w = *g;

    w.module = &sv_host_wasi;
    w.state = sv_host_state(&g->store, &sv_host_wasi);
    return b == UINT64_MAX ? CALL(&w, name, a) : CALL(&w, name, a, b);
}

static const struct sv_socket_grant here = {
    .connect = home, .nconnect = 1, .listen = home, .nlisten = 1, .af_unix = true};

/* {pointer, length} at AT_PATH and bytes behind it. */
static void put_address(struct guest *g, const void *bytes, uint32_t len)
{
    uint32_t words[2] = {AT_PATH2, len};

    guest_put(g, AT_PATH, words, sizeof words);
    guest_put(g, AT_PATH2, bytes, len);
}

static uint32_t open_one(struct guest *g, int type)
{
    assert_int_equal(CALL(g, "sock_open", INET4, (uint64_t)type, AT_RET), 0);
    return guest_u32(g, AT_RET);
}

/* A listener at 127.0.0.1: its port. */
static uint32_t serve(struct guest *g, uint32_t fd)
{
    put_address(g, (const uint8_t[]){127, 0, 0, 1}, 4);
    assert_int_equal(CALL(g, "sock_bind", fd, AT_PATH, 0), 0);
    assert_int_equal(CALL(g, "sock_listen", fd, 4), 0);
    assert_int_equal(CALL(g, "sock_getlocaladdr", fd, AT_PATH, AT_RET, AT_STAT), 0);
    assert_int_equal(guest_u32(g, AT_RET), 4);
    return guest_u32(g, AT_STAT);
}

static void table(void **state)
{
    (void)state;
    for (unsigned i = 1; i < module->nfuncs; i++) {
        const struct sv_host_func *a = &module->funcs[i - 1], *b = &module->funcs[i];
        int order = strcmp(a->name, b->name);

        assert_true(order < 0 || (order == 0 && strcmp(a->sig, b->sig) != 0));
    }
}

/* Of what is at the machine's ports nothing is to be had: only there is connected to. */
static const char *const nowhere[] = {"127.0.0.1:1"};
static const struct sv_socket_grant quiet = {
    .connect = nowhere, .nconnect = 1, .listen = home, .nlisten = 1, .af_unix = true};

static uint64_t edge(unsigned long r)
{
    static const uint64_t edges[] = {
        0,
        1,
        2,
        3,
        4,
        5,
        8,
        12,
        14,
        16,
        28,
        64,
        128,
        255,
        1024,
        1025,
        65535,
        65536,
        AT_PATH,
        AT_PATH2,
        GUEST_SIZE - 28,
        GUEST_SIZE - 8,
        GUEST_SIZE - 4,
        GUEST_SIZE - 2,
        GUEST_SIZE - 1,
        GUEST_SIZE,
        0x7fffffff,
        0x80000000,
        0xfffffff8,
        0xffffffff,
    };

    return edges[r % SV_COUNT(edges)];
}

static void edges(void **state)
{
    (void)state;
    srandom(1);
    for (unsigned f = 0; f < module->nfuncs; f++) {
        const struct sv_host_func *h = &module->funcs[f];
        size_t n = strcspn(h->sig, ":");
        struct guest g;

        open_sockets(&g, &quiet, 32);
        for (int k = 0; k < 4; k++)
            open_one(&g, k % 2 ? DATAGRAM : STREAM);
        serve(&g, 3);
        for (unsigned i = 0; i < 2000; i++) {
            struct sv_call c = {.th = g.th, .inst = &g.inst, .data = g.state};
            union sv_slot slots[16];
            int r;

            if (i % 64 == 0) { /* words that look like pointers and lengths, too */
                uint32_t *words = (uint32_t *)(void *)g.memory.base;

                for (unsigned j = 0; j < GUEST_SIZE / 4; j++)
                    words[j] = (uint32_t)edge((unsigned long)random());
            }
            g.store.thread.deadline_ns = 1; /* something that waits is cut off */
            atomic_store(&g.store.thread.interrupt, 0);
            for (size_t j = 0; j < n; j++)
                slots[j].i64 = GUEST_JUNK | (uint32_t)edge((unsigned long)random());
            r = h->fn(&c, slots, slots);
            assert_true(r == 0 ? slots[0].i32 <= 87 : r < 0);
        }
        close_sockets(&g);
    }
}

static void wrong_descriptors(void **state)
{
    struct guest g;
    uint32_t fd;

    (void)state;
    open_sockets(&g, &here, 0);
    fd = open_one(&g, STREAM);
    assert_int_equal(CALL(&g, "sock_listen", 1, 1), SV_WASI_ENOTSOCK);
    assert_int_equal(CALL(&g, "sock_listen", 99, 1), SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "sock_listen", 0xffffffff, 1), SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "sock_listen", fd, 1), SV_WASI_EACCES); /* at no address */
    assert_int_equal(wasi_call(&g, "fd_close", fd, UINT64_MAX), 0);
    assert_int_equal(CALL(&g, "sock_listen", fd, 1), SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "sock_accept", fd, AT_RET), SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "sock_open", 0, STREAM, AT_RET), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "sock_open", 9, STREAM, AT_RET), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "sock_open", INET4, 9, AT_RET), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "sock_open", INET4, STREAM, GUEST_SIZE - 3), SV_WASI_EFAULT);
    close_sockets(&g);
}

static void full_table(void **state)
{
    unsigned before = open_descriptors();
    struct guest g;
    uint32_t listener, client, port;

    (void)state;
    open_sockets(&g, &here, 8);
    listener = open_one(&g, STREAM);
    port = serve(&g, listener);
    client = open_one(&g, STREAM);
    put_address(&g, (const uint8_t[]){127, 0, 0, 1}, 4);
    assert_int_equal(CALL(&g, "sock_connect", client, AT_PATH, port), 0);
    for (int i = 0; i < 3; i++)
        open_one(&g, DATAGRAM);
    assert_int_equal(CALL(&g, "sock_open", INET4, STREAM, AT_RET), SV_WASI_EMFILE);
    /* The connection is not taken and lost: there is a place for it first. */
    assert_int_equal(CALL(&g, "sock_accept", listener, AT_RET), SV_WASI_EMFILE);
    assert_int_equal(wasi_call(&g, "fd_close", 7, UINT64_MAX), 0);
    assert_int_equal(CALL(&g, "sock_accept", listener, AT_RET), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 7);
    close_sockets(&g);
    assert_int_equal(open_descriptors(), before);
}

/* Wrong lengths of addresses and values, counts that are too large. */
static void wrong_values(void **state)
{
    static const uint8_t bytes[128] = {9};
    struct guest g;
    uint32_t fd, size = 3;

    (void)state;
    open_sockets(&g, &here, 0);
    fd = open_one(&g, STREAM);
    put_address(&g, bytes, 5);
    assert_int_equal(CALL(&g, "sock_connect", fd, AT_PATH, 80), SV_WASI_EINVAL);
    put_address(&g, bytes, 128);
    assert_int_equal(CALL(&g, "sock_connect", fd, AT_PATH, 80), SV_WASI_EAFNOSUPPORT);
    put_address(&g, bytes, 4);
    assert_int_equal(CALL(&g, "sock_connect", fd, AT_PATH, 65536), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "sock_send_v2", fd, AT_IOVS, 1025, 0, AT_RET), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "sock_send_v2", fd, AT_IOVS, 0, 1, AT_RET), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "sock_setsockopt", fd, 0, 15, AT_RET, 4), SV_WASI_ENOPROTOOPT);
    assert_int_equal(CALL(&g, "sock_setsockopt", fd, 1, 0, AT_RET, 4), SV_WASI_ENOPROTOOPT);
    assert_int_equal(CALL(&g, "sock_setsockopt", fd, 0, 1, AT_RET, 4), SV_WASI_ENOPROTOOPT);
    assert_int_equal(CALL(&g, "sock_setsockopt", fd, 0, 11, AT_RET, 8), SV_WASI_EINVAL);
    guest_put(&g, AT_RET, &size, 4);
    assert_int_equal(CALL(&g, "sock_getsockopt", fd, 0, 5, AT_STAT, AT_RET), SV_WASI_EINVAL);
    close_sockets(&g);
}

/* A close that waits would wait in the host's thread: a time is left out, an abort is not. */
static void closes_do_not_wait(void **state)
{
    static const struct {
        int32_t set[2], told[2];
    } cases[] = {{{1, 0}, {1, 0}},         {{1, 3600}, {0, 0}}, {{1, -1}, {0, 0}},
                 {{1, INT32_MIN}, {0, 0}}, {{7, 0}, {1, 0}},    {{0, 5}, {0, 0}}};
    struct guest g;
    uint32_t fd;

    (void)state;
    open_sockets(&g, &here, 0);
    fd = open_one(&g, STREAM);
    for (unsigned i = 0; i < SV_COUNT(cases); i++) {
        uint32_t size = 8;

        guest_put(&g, AT_DATA, cases[i].set, 8);
        assert_int_equal(CALL(&g, "sock_setsockopt", fd, 0, 9, AT_DATA, 8), 0);
        guest_put(&g, AT_RET, &size, 4);
        assert_int_equal(CALL(&g, "sock_getsockopt", fd, 0, 9, AT_STAT, AT_RET), 0);
        assert_memory_equal(g.memory.base + AT_STAT, cases[i].told, 8);
    }
    close_sockets(&g);
}

/* What a socket may not do is told by one rule, whoever is asked: preview1's function or ours. */
static void without_rights(void **state)
{
    static const uint32_t v[2] = {AT_DATA, 1};
    struct guest g, w;
    uint32_t fd;

    (void)state;
    open_sockets(&g, &here, 0);
    w = g;
    w.module = &sv_host_wasi;
    w.state = sv_host_state(&g.store, &sv_host_wasi);
    fd = open_one(&g, STREAM);
    guest_put(&g, AT_IOVS, v, sizeof v);
    assert_int_equal(CALL(&g, "sock_send_v2", fd, AT_IOVS, 1, 0, AT_RET), SV_WASI_EPIPE);
    assert_int_equal(CALL(&w, "sock_send", fd, AT_IOVS, 1, 0, AT_RET), SV_WASI_EPIPE);
    assert_int_equal(CALL(&w, "fd_fdstat_set_rights", fd, 0, 0), 0);
    assert_int_equal(CALL(&g, "sock_send_v2", fd, AT_IOVS, 1, 0, AT_RET), SV_WASI_EBADF);
    assert_int_equal(CALL(&w, "sock_send", fd, AT_IOVS, 1, 0, AT_RET), SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "sock_recv_v2", fd, AT_IOVS, 1, 0, AT_RET, AT_STAT), SV_WASI_EBADF);
    assert_int_equal(CALL(&w, "sock_recv", fd, AT_IOVS, 1, 0, AT_RET, AT_STAT), SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "sock_listen", fd, 1), SV_WASI_ENOTCAPABLE);
    assert_int_equal(CALL(&w, "sock_accept", fd, 0, AT_RET), SV_WASI_ENOTCAPABLE);
    close_sockets(&g);
}

/* ---- A back end whose answers take for ever ---- */

static int waits;

static int wait_for_ever(const struct ssvm_socket_op *op)
{
    int fd = eventfd(0, EFD_CLOEXEC), r;

    waits++;
    r = op->wait(op, fd, POLLIN);
    close(fd);
    return -r;
}

static int slow_socket(void *data, const struct ssvm_socket_op *op, int family, int type)
{
    (void)data;
    (void)op;
    return socket(family, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static int slow_address(void *data, const struct ssvm_socket_op *op, int fd,
                        const struct sockaddr *sa, socklen_t len)
{
    (void)data;
    (void)fd;
    (void)sa;
    (void)len;
    return wait_for_ever(op);
}

static int slow_listen(void *data, const struct ssvm_socket_op *op, int fd, int backlog)
{
    (void)data;
    (void)fd;
    (void)backlog;
    return wait_for_ever(op);
}

static int64_t slow_send(void *data, const struct ssvm_socket_op *op, int fd, const void *bytes,
                         size_t len, const struct sockaddr *sa, socklen_t sa_len)
{
    (void)data;
    (void)fd;
    (void)bytes;
    (void)len;
    (void)sa;
    (void)sa_len;
    return wait_for_ever(op);
}

static int slow_resolve(void *data, const struct ssvm_socket_op *op,
                        const struct ssvm_socket_query *query, struct sockaddr_storage *ret,
                        unsigned max)
{
    (void)data;
    (void)ret;
    (void)max;
    assert_string_equal(query->node, "name.test");
    return wait_for_ever(op);
}

static const struct ssvm_socket_backend slow = {.abi = SSVM_SOCKET_ABI,
                                                .socket = slow_socket,
                                                .connect = slow_address,
                                                .bind = slow_address,
                                                .listen = slow_listen,
                                                .send_to = slow_send,
                                                .resolve = slow_resolve};

/* What the guest's time ends, whatever the back end then says. */
static void waits_end(void **state)
{
    const struct sv_socket_grant grant = {.backend = &slow};
    struct guest g;
    uint32_t fd;

    (void)state;
    open_sockets(&g, &grant, 0);
    fd = open_one(&g, DATAGRAM);
    put_address(&g, (const uint8_t[]){127, 0, 0, 1}, 4);
    guest_put(&g, AT_DATA, "name.test", 9);
    memset(g.memory.base + AT_STAT, 0, 64);
    g.store.thread.deadline_ns = 1;
    assert_int_equal(CALL(&g, "sock_connect", fd, AT_PATH, 80), SV_ETRAP);
    atomic_store(&g.store.thread.interrupt, 0);
    assert_int_equal(CALL(&g, "sock_bind", fd, AT_PATH, 80), SV_ETRAP);
    atomic_store(&g.store.thread.interrupt, 0);
    assert_int_equal(CALL(&g, "sock_send_to", fd, AT_IOVS, 0, AT_PATH, 80, 0, AT_RET), SV_ETRAP);
    atomic_store(&g.store.thread.interrupt, 0);
    assert_int_equal(CALL(&g, "sock_getaddrinfo", AT_DATA, 9, 0, 0, AT_STAT, AT_RET, 4, AT_RET + 4),
                     SV_ETRAP);
    assert_int_equal(waits, 4);
    close_sockets(&g);
}

static int find(void **state)
{
    struct sv_err err = {0};

    (void)state;
    if (sv_host_part_module(&err, "host-socket.so", "sockets", &module) < 0)
        fail_msg("%s", err.text);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(table),          cmocka_unit_test(edges),
        cmocka_unit_test(full_table),     cmocka_unit_test(wrong_descriptors),
        cmocka_unit_test(wrong_values),   cmocka_unit_test(closes_do_not_wait),
        cmocka_unit_test(without_rights), cmocka_unit_test(waits_end),
    };

    return cmocka_run_group_tests(tests, find, NULL);
}
