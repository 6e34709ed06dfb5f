/* Descriptors through a socket: what comes is what was sent, or nothing at all. */
#include "base/fds.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static int pair[2];

/* The lowest that is free: the same before and after when nothing was left open. */
static int next_free(void)
{
    int fd = dup(0);

    close(fd);
    return fd;
}

static void send_some(size_t len, unsigned nfds)
{
    char text[64] = "0123456789";
    struct iovec parts[2] = {{text, len < 3 ? len : 3}, {text + 3, len < 3 ? 0 : len - 3}};
    int fds[SV_FDS_MAX + 1], zero = open("/dev/zero", O_RDONLY), null = open("/dev/null", O_RDONLY);

    assert_true(zero >= 0 && null >= 0);
    for (unsigned i = 0; i < SV_FDS_MAX; i++)
        fds[i] = i % 2 ? null : zero;
    assert_int_equal(sv_fds_send(pair[1], parts, 2, fds, nfds, MSG_NOSIGNAL), len);
    close(zero);
    close(null);
}

static dev_t device_of(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return st.st_rdev;
}

static void whole(void **state)
{
    char text[64];
    struct iovec part = {text, sizeof text};
    int fds[SV_FDS_MAX], zero = open("/dev/zero", O_RDONLY), before = next_free();
    unsigned n;

    (void)state;
    for (unsigned sent = 0; sent <= SV_FDS_MAX; sent++) {
        send_some(10, sent);
        assert_int_equal(sv_fds_receive(pair[0], &part, fds, SV_FDS_MAX, &n, 0), 10);
        assert_memory_equal(text, "0123456789", 10);
        assert_int_equal(n, sent);
        for (unsigned i = 0; i < n; i++) {
            assert_int_equal(device_of(fds[i]) == device_of(zero), i % 2 == 0);
            assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
            close(fds[i]);
        }
        assert_int_equal(next_free(), before);
    }
    assert_int_equal(sv_fds_receive(pair[0], &part, fds, SV_FDS_MAX, &n, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    assert_int_equal(n, 0);
    close(zero);
}

static void refused(size_t room, unsigned sent, unsigned max)
{
    char text[64];
    struct iovec part = {text, room};
    int fds[SV_FDS_MAX] = {-1, -1, -1, -1, -1}, before = next_free();
    unsigned n;

    send_some(10, sent);
    errno = 0;
    assert_int_equal(sv_fds_receive(pair[0], &part, fds, max, &n, 0), -1);
    assert_int_equal(errno, EBADMSG);
    assert_int_equal(n, 0);
    assert_int_equal(fds[0], -1);
    assert_int_equal(next_free(), before);
}

/* Longer than the room, more descriptors than are wanted: nothing is left of it, and the next one
 * comes as if it had not been. */
static void not_whole(void **state)
{
    (void)state;
    refused(9, 0, 1);
    refused(9, 2, 2);
    refused(10, 1, 0);
    refused(10, 2, 1);
    refused(10, SV_FDS_MAX, SV_FDS_MAX - 1);
    whole(state);
}

/* There is no number left for what comes. */
static void no_room(void **state)
{
    char text[64];
    struct iovec part = {text, sizeof text};
    struct rlimit limit, few;
    int fds[SV_FDS_MAX], before = next_free();
    unsigned n;

    (void)state;
    send_some(10, 2);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    few.rlim_cur = (rlim_t)before + 1;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    assert_int_equal(sv_fds_receive(pair[0], &part, fds, 2, &n, 0), -1);
    assert_int_equal(errno, EBADMSG);
    assert_int_equal(n, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(next_free(), before);
    whole(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole),
        cmocka_unit_test(not_whole),
        cmocka_unit_test(no_room),
    };

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
