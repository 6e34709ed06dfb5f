/* WASI: the table of descriptors, streams of every kind, limits of reading and writing, FIFOs,
 * terminals, broken pipes. */
#include "../../proc.h"
#include "guest.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>

static char scratch[256];

static int make_scratch(void **state)
{
    (void)state;
    scratch_make(scratch, sizeof scratch);
    return 0;
}
static int remove_scratch(void **state)
{
    (void)state;
    scratch_remove(scratch);
    return 0;
}

static const struct sv_wasi_dir here = {"/", scratch, false};

static const uint64_t rw = SV_WASI_RIGHT_READ | SV_WASI_RIGHT_WRITE;

/* must-pass 39: descriptors. */
static void bounded_table(void **state)
{
    struct sv_wasi_grant grant = {.dirs = &here, .ndirs = 1, .max_fds = 20};
    int before = open_descriptors(), i;
    struct guest g;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    for (i = 4; i < 20; i++)
        assert_int_equal(guest_open_at(&g, 3, "f", SV_WASI_O_CREAT, rw, 0), i);
    assert_int_equal(guest_open_at(&g, 3, "g", SV_WASI_O_CREAT, rw, 0), -SV_WASI_EMFILE);
    /* and nothing was made */
    assert_int_equal(guest_open_at(&g, 3, "g", 0, rw, 0), -SV_WASI_EMFILE);
    assert_int_equal(CALL(&g, "fd_close", 7), 0);
    assert_int_equal(CALL(&g, "fd_close", 7), SV_WASI_EBADF);
    assert_int_equal(guest_open_at(&g, 3, "g", 0, rw, 0), -SV_WASI_ENOENT);
    assert_int_equal(guest_open_at(&g, 3, "f", 0, rw, 0), 7);
    guest_close(&g);
    assert_int_equal(open_descriptors(), before);
}

static void close_on_exec(void **state)
{
    struct sv_wasi_grant grant = {.dirs = &here, .ndirs = 1};
    struct guest g;
    uint32_t i;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(guest_open_at(&g, 3, "f", SV_WASI_O_CREAT, rw, 0), 4);
    assert_int_equal(guest_open_at(&g, 3, ".", 0, SV_WASI_RIGHT_READDIR, 0), 5);
    ((struct sv_wasi *)g.state)->resolver = SV_VFS_WALK;
    assert_int_equal(guest_open_at(&g, 3, "f", 0, rw, 0), 6);
    for (i = 3; i < 7; i++)
        assert_int_equal(fcntl(((struct sv_wasi *)g.state)->files[i].fd, F_GETFD), FD_CLOEXEC);
    guest_close(&g);
}

/* A limit on the size of files is an errno, not the end of the process. */
static void size_of_files_limited(void **state)
{
    struct sv_wasi_grant grant = {.dirs = &here, .ndirs = 1};
    struct rlimit before, limit;
    sigset_t pending;
    struct guest g;
    char bytes[1000] = {0};

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    limit = (struct rlimit){1500, before.rlim_max};
    signal(SIGXFSZ, SIG_DFL);
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(guest_open_at(&g, 3, "f", SV_WASI_O_CREAT, rw, 0), 4);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(guest_write(&g, 4, bytes, sizeof bytes), 0);
    assert_int_equal(guest_write(&g, 4, bytes, sizeof bytes), 0);
    assert_int_equal(CALL(&g, "fd_tell", 4, AT_RET), 0);
    assert_int_equal(guest_u64(&g, AT_RET), 1500); /* as far as it may */
    assert_int_equal(guest_write(&g, 4, bytes, sizeof bytes), SV_WASI_EFBIG);
    assert_int_equal(CALL(&g, "fd_filestat_set_size", 4, 1501), SV_WASI_EFBIG);
    assert_int_equal(CALL(&g, "fd_allocate", 4, 1000, 1000), SV_WASI_EFBIG);
    assert_int_equal(CALL(&g, "fd_filestat_set_size", 4, 1500), 0);
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGXFSZ));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    guest_close(&g);
}

/* must-pass 36. */
static void renumber(void **state)
{
    struct sv_wasi_grant grant = {.dirs = &here, .ndirs = 1, .max_fds = 10};
    int before = open_descriptors(), opened;
    struct guest g;
    uint32_t i;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(guest_open_at(&g, 3, "a", SV_WASI_O_CREAT, rw, 0), 4);
    assert_int_equal(guest_open_at(&g, 3, "b", SV_WASI_O_CREAT, rw, 0), 5);
    assert_int_equal(guest_write(&g, 4, "a", 1), 0);
    assert_int_equal(guest_write(&g, 5, "bb", 2), 0);
    opened = open_descriptors();
    /* onto itself */
    assert_int_equal(CALL(&g, "fd_renumber", 4, 4), 0);
    assert_int_equal(CALL(&g, "fd_tell", 4, AT_RET), 0);
    assert_int_equal(guest_u64(&g, AT_RET), 1);
    /* closed, huge */
    assert_int_equal(CALL(&g, "fd_renumber", 6, 4), SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "fd_renumber", 4, 6), SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "fd_renumber", 4, UINT32_MAX), SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "fd_renumber", UINT32_MAX, 4), SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "fd_renumber", 9, 9), SV_WASI_EBADF);
    assert_int_equal(open_descriptors(), opened);
    /* onto another: that one is closed */
    assert_int_equal(CALL(&g, "fd_renumber", 4, 5), 0);
    assert_int_equal(open_descriptors(), opened - 1);
    assert_int_equal(CALL(&g, "fd_tell", 5, AT_RET), 0);
    assert_int_equal(guest_u64(&g, AT_RET), 1);
    assert_int_equal(CALL(&g, "fd_tell", 4, AT_RET), SV_WASI_EBADF);
    /* a file onto a granted directory, and the directory is gone */
    assert_int_equal(CALL(&g, "fd_renumber", 5, 3), 0);
    assert_int_equal(CALL(&g, "fd_prestat_get", 3, AT_RET), SV_WASI_EBADF);
    assert_int_equal(guest_open_at(&g, 3, "a", 0, rw, 0), -SV_WASI_ENOTDIR);
    assert_int_equal(guest_write(&g, 3, "c", 1), 0);
    /* onto a stream, and streams onto streams */
    assert_int_equal(CALL(&g, "fd_renumber", 3, 1), 0);
    assert_int_equal(guest_write(&g, 1, "d", 1), 0);
    assert_int_equal(CALL(&g, "fd_renumber", 2, 0), 0);
    assert_int_equal(guest_read(&g, 0, 1), -SV_WASI_EBADF);
    for (i = 0; i < 10; i++)
        CALL(&g, "fd_close", i);
    guest_close(&g);
    assert_int_equal(open_descriptors(), before);
}

static void renumber_directory(void **state)
{
    struct sv_wasi_grant grant = {.dirs = &here, .ndirs = 1};
    struct guest g;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(guest_open_at(&g, 3, ".", 0, SV_WASI_RIGHT_READDIR, 0), 4);
    assert_int_equal(CALL(&g, "fd_readdir", 4, AT_DATA, 4096, 0, AT_RET), 0);
    assert_int_equal(CALL(&g, "fd_readdir", 3, AT_DATA, 4096, 0, AT_RET), 0);
    assert_int_equal(CALL(&g, "fd_renumber", 4, 3), 0);
    assert_int_equal(CALL(&g, "fd_readdir", 3, AT_DATA, 4096, 1, AT_RET), 0);
    assert_int_equal(CALL(&g, "fd_readdir", 4, AT_DATA, 4096, 0, AT_RET), SV_WASI_EBADF);
    guest_close(&g);
}

static char taken[64];
static size_t ntaken;
static long take(void *arg, const void *bytes, size_t len)
{
    long max = *(long *)arg;

    if (max < 0)
        return -1;
    len = len < (size_t)max ? len : (size_t)max;
    assert_true(ntaken + len <= sizeof taken);
    memcpy(taken + ntaken, bytes, len);
    ntaken += len;
    return (long)len;
}

static void memory_streams(void **state)
{
    long max = 100;
    struct sv_wasi_grant grant = {
        .in = {.kind = SV_WASI_STREAM_BYTES, .bytes = "hello world", .len = 11},
        .out = {.kind = SV_WASI_STREAM_CALLBACK, .write = take, .arg = &max},
        .err = {.kind = SV_WASI_STREAM_CALLBACK, .write = take, .arg = &max},
        .max_output = 10,
    };
    struct guest g;

    (void)state;
    ntaken = 0;
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(guest_read(&g, 0, 6), 6);
    assert_memory_equal(g.memory.base + AT_DATA, "hello ", 6);
    assert_int_equal(guest_read(&g, 0, 60), 5);
    assert_int_equal(guest_read(&g, 0, 60), 0);
    assert_int_equal(guest_write(&g, 0, "x", 1), SV_WASI_EBADF);
    assert_int_equal(guest_read(&g, 1, 1), -SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "fd_seek", 0, 0, 0, AT_RET), SV_WASI_ESPIPE);
    assert_int_equal(CALL(&g, "fd_pread", 0, AT_IOVS, 1, 0, AT_RET), SV_WASI_ESPIPE);
    assert_int_equal(guest_write(&g, 1, "12345", 5), 0);
    max = 2; /* takes less than it is given */
    assert_int_equal(guest_write(&g, 2, "678", 3), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 2);
    max = -1;
    assert_int_equal(guest_write(&g, 2, "8", 1), SV_WASI_EIO);
    max = 100;
    /* the limit counts both streams */
    assert_int_equal(guest_write(&g, 1, "89abcdef", 8), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 3);
    assert_int_equal(guest_write(&g, 1, "x", 1), SV_WASI_EDQUOT);
    assert_int_equal(guest_write(&g, 2, "x", 1), SV_WASI_EDQUOT);
    assert_int_equal(guest_write(&g, 2, "", 0), 0);
    assert_int_equal(ntaken, 10);
    assert_memory_equal(taken, "123456789a", 10);
    guest_close(&g);
}

/* must-pass 39: buffers of one call. */
static void buffers(void **state)
{
    struct sv_wasi_grant grant = {.dirs = &here, .ndirs = 1};
    struct guest g;
    uint32_t v[2 * 1025], i;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(guest_open_at(&g, 3, "v", SV_WASI_O_CREAT | SV_WASI_O_TRUNC, rw, 0), 4);
    for (i = 0; i < 1025; i++) {
        v[2 * i] = i;
        v[2 * i + 1] = 1;
    }
    guest_put(&g, AT_DATA, v, sizeof v);
    assert_int_equal(CALL(&g, "fd_write", 4, AT_DATA, 1024, AT_RET), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 1024);
    assert_int_equal(CALL(&g, "fd_write", 4, AT_DATA, 1025, AT_RET), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "fd_write", 4, AT_DATA, UINT32_MAX, AT_RET), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "fd_write", 4, GUEST_SIZE - 8, 2, AT_RET), SV_WASI_EFAULT);
    assert_int_equal(CALL(&g, "fd_write", 4, AT_DATA, 1, GUEST_SIZE - 3), SV_WASI_EFAULT);
    /* overlapping buffers that add up to more than memory */
    for (i = 0; i < 1024; i++) {
        v[2 * i] = 0;
        v[2 * i + 1] = GUEST_SIZE;
    }
    guest_put(&g, AT_DATA, v, sizeof v);
    assert_int_equal(CALL(&g, "fd_pwrite", 4, AT_DATA, 1024, 0, AT_RET), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 1024 * GUEST_SIZE);
    assert_int_equal(CALL(&g, "fd_filestat_get", 4, AT_STAT), 0);
    assert_int_equal(guest_u64(&g, AT_STAT + 32), 1024 * GUEST_SIZE);
    /* 256 MiB went in pieces: an interruption ends it */
    atomic_store(&g.store.thread.interrupt, SV_INTERRUPT_CANCEL);
    assert_int_equal(CALL(&g, "fd_pwrite", 4, AT_DATA, 1024, 0, AT_RET), SV_ETRAP);
    atomic_store(&g.store.thread.interrupt, 0);
    assert_int_equal(CALL(&g, "fd_filestat_set_size", 4, 0), 0);
    guest_close(&g);
}

/* must-pass 38. */
static void fifo_does_not_block(void **state)
{
    struct sv_wasi_grant grant = {.dirs = &here, .ndirs = 1};
    char path[300];
    struct guest g;
    int fd, w;

    (void)state;
    snprintf(path, sizeof path, "%s/fifo", scratch);
    assert_int_equal(mkfifo(path, 0600), 0);
    guest_open(&g, &sv_host_wasi, &grant);
    /* nobody at the other end */
    assert_int_equal(guest_open_at(&g, 3, "fifo", 0, SV_WASI_RIGHT_WRITE, 0), -SV_WASI_ENXIO);
    fd = guest_open_at(&g, 3, "fifo", 0, SV_WASI_RIGHT_READ, 0);
    assert_int_equal(fd, 4);
    assert_int_equal(guest_read(&g, 4, 1), 0);
    /* with a writer: there is nothing yet */
    w = open(path, O_WRONLY | O_NONBLOCK);
    assert_true(w >= 0);
    assert_int_equal(CALL(&g, "fd_fdstat_set_flags", 4, SV_WASI_FD_NONBLOCK), 0);
    assert_int_equal(guest_read(&g, 4, 1), -SV_WASI_EAGAIN);
    assert_int_equal(write(w, "abc", 3), 3);
    assert_int_equal(guest_read(&g, 4, 10), 3);
    /* without the flag a read waits, and the deadline ends it */
    assert_int_equal(CALL(&g, "fd_fdstat_set_flags", 4, 0), 0);
    g.store.thread.deadline_ns = 1;
    assert_int_equal(guest_read(&g, 4, 1), -SV_ETRAP);
    close(w);
    guest_close(&g);
    unlink(path);
}

/* SIGPIPE stays as the embedder has it: here it would kill the test. All the ways that kernels
 * offer. */
static void broken_pipe(void **state)
{
    int way, ends[2], pair[2];

    (void)state;
    for (way = 0; way < 3; way++) {
        struct sv_wasi_grant grant = {.out = {.kind = SV_WASI_STREAM_FD},
                                      .err = {.kind = SV_WASI_STREAM_FD}};
        struct sigaction sa;
        struct guest g;
        sigset_t pending;

        assert_int_equal(pipe(ends), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        grant.out.fd = ends[1];
        grant.err.fd = pair[1];
        guest_open(&g, &sv_host_wasi, &grant);
        ((struct sv_wasi *)g.state)->files[1].no_nowait = way > 0;
        ((struct sv_wasi *)g.state)->files[1].no_nosignal = way > 1;
        assert_int_equal(guest_write(&g, 1, "x", 1), 0);
        assert_int_equal(guest_write(&g, 2, "x", 1), 0);
        close(ends[0]);
        close(pair[0]);
        assert_int_equal(guest_write(&g, 1, "x", 1), SV_WASI_EPIPE);
        assert_int_equal(guest_write(&g, 2, "x", 1), SV_WASI_EPIPE);
        sigemptyset(&pending);
        sigpending(&pending);
        assert_false(sigismember(&pending, SIGPIPE));
        sigaction(SIGPIPE, NULL, &sa);
        assert_ptr_equal(sa.sa_handler, SIG_DFL);
        guest_close(&g);
        close(ends[1]);
        close(pair[1]);
    }
}

/* A pipe that is full: what fits is written, then the write waits. */
static void full_pipe(void **state)
{
    struct sv_wasi_grant grant = {.out = {.kind = SV_WASI_STREAM_FD}};
    uint32_t v[2] = {0, GUEST_SIZE};
    struct guest g;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    grant.out.fd = ends[1];
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(CALL(&g, "fd_fdstat_set_flags", 1, SV_WASI_FD_NONBLOCK), 0);
    /* the stream's own flags are not touched */
    assert_int_equal(fcntl(ends[1], F_GETFL) & O_NONBLOCK, 0);
    guest_put(&g, AT_IOVS, v, sizeof v);
    if (CALL(&g, "fd_write", 1, AT_IOVS, 1, AT_RET) == 0 && guest_u32(&g, AT_RET) < GUEST_SIZE) {
        assert_int_equal(guest_u32(&g, AT_RET), 65536);
        assert_int_equal(CALL(&g, "fd_write", 1, AT_IOVS, 1, AT_RET), SV_WASI_EAGAIN);
        assert_int_equal(CALL(&g, "fd_fdstat_set_flags", 1, 0), 0);
        g.store.thread.deadline_ns = 1;
        assert_int_equal(CALL(&g, "fd_write", 1, AT_IOVS, 1, AT_RET), SV_ETRAP);
    }
    guest_close(&g);
    close(ends[0]);
    close(ends[1]);
}

/* must-pass 40: what the filter makes of bytes. */
static void filter(void **state)
{
#define X "\xef\xbf\xbd"
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"plain\ttext\r\n", "plain\ttext\r\n"},
        {"\x1b[31mred", X "[31mred"},
        {"\x1b]0;title\x07", X "]0;title" X},
        {"bell\x07 del\x7f back\b", "bell" X " del" X " back" X},
        {"\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x98\x80", "\xc3\xa9 \xe6\x97\xa5 \xf0\x9f\x98\x80"},
        {"c1 \xc2\x9b"
         "1m \xc2\x85 \xc2\xa0",
         "c1 " X "1m " X " \xc2\xa0"},
        {"raw \x9b"
         "1m",
         "raw " X "1m"},
        {"bad \xff\xfe \xc0\x9b \xed\xa0\x80 \xc3(", "bad " X X " " X X " " X X X " " X "("},
        {"long \xe0\x80\x9b \xf8\x80", "long " X X X " " X X},
        {"cut \xe6\x1b[0m", "cut " X X "[0m"},
    };
#undef X
    uint8_t out[256];
    size_t i, j, n, len;

    (void)state;
    for (i = 0; i < SV_COUNT(cases); i++) {
        struct sv_vfs_tty whole = {0}, pieces = {0};
        const uint8_t *in = (const uint8_t *)cases[i].in;

        len = strlen(cases[i].in);
        n = sv_vfs_tty_filter(&whole, in, len, out);
        assert_int_equal(n, strlen(cases[i].out));
        assert_memory_equal(out, cases[i].out, n);
        for (n = j = 0; j < len; j++)
            n += sv_vfs_tty_filter(&pieces, in + j, 1, out + n);
        assert_int_equal(n, strlen(cases[i].out));
        assert_memory_equal(out, cases[i].out, n);
    }
}

/* must-pass 40: what an inherited stream on a terminal lets through, and that a terminal is told to
 * the guest. */
static void terminal(void **state)
{
    struct sv_wasi_grant grant = {.out = {.kind = SV_WASI_STREAM_INHERIT},
                                  .err = {.kind = SV_WASI_STREAM_FD}};
    int master, slave, saved, n, ends[2];
    char seen[64] = {0};
    struct guest g;

    (void)state;
    master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0)
        skip();
    assert_int_equal(grantpt(master), 0);
    assert_int_equal(unlockpt(master), 0);
    slave = open(ptsname(master), O_RDWR | O_NOCTTY);
    assert_true(slave >= 0);
    assert_int_equal(pipe(ends), 0);
    grant.err.fd = slave;
    saved = dup(1);
    fflush(stdout);
    dup2(slave, 1);
    guest_open(&g, &sv_host_wasi, &grant);
    n = guest_write(&g, 1, "a\x1b[2Jb\xc3", 7);
    n = n ? n : guest_write(&g, 1, "\xa9", 1);
    CALL(&g, "fd_fdstat_get", 1, AT_STAT);
    dup2(saved, 1);
    close(saved);
    assert_int_equal(n, 0);
    assert_int_equal(guest_u32(&g, AT_RET), 1);
    assert_int_equal(g.memory.base[AT_STAT], SV_WASI_TYPE_CHARACTER);
    assert_int_equal(guest_u64(&g, AT_STAT + 8) & (SV_WASI_RIGHT_SEEK | SV_WASI_RIGHT_TELL), 0);
    for (n = 0; n < 10;) {
        ssize_t got = read(master, seen + n, sizeof seen - 1 - (size_t)n);
        assert_true(got > 0);
        n += (int)got;
    }
    assert_string_equal(seen, "a\xef\xbf\xbd[2Jb\xc3\xa9");
    /* a descriptor that the embedder chose gets what the guest wrote */
    assert_int_equal(guest_write(&g, 2, "\x1b[0m", 4), 0);
    memset(seen, 0, sizeof seen);
    assert_int_equal(read(master, seen, sizeof seen - 1), 4);
    assert_string_equal(seen, "\x1b[0m");
    guest_close(&g);
    close(ends[0]);
    close(ends[1]);
    close(slave);
    close(master);
}

static void closed_on_the_host(void **state)
{
    struct sv_wasi_grant grant = {.out = {.kind = SV_WASI_STREAM_FD, .fd = 987}};
    struct guest g;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(guest_write(&g, 1, "x", 1), SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "fd_fdstat_get", 1, AT_STAT), 0);
    assert_int_equal(CALL(&g, "fd_filestat_get", 1, AT_STAT), SV_WASI_EBADF);
    guest_close(&g);
}

static void rights(void **state)
{
    struct sv_wasi_grant grant = {.dirs = &here, .ndirs = 1};
    uint64_t all, some;
    struct guest g;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(guest_open_at(&g, 3, "r", SV_WASI_O_CREAT, rw, 0), 4);
    assert_int_equal(CALL(&g, "fd_fdstat_get", 4, AT_STAT), 0);
    all = guest_u64(&g, AT_STAT + 8);
    assert_int_equal(all, SV_WASI_RIGHTS_FILE);
    assert_int_equal(CALL(&g, "fd_fdstat_set_rights", 4, all | SV_WASI_RIGHT_PATH_OPEN, 0),
                     SV_WASI_ENOTCAPABLE);
    assert_int_equal(CALL(&g, "fd_fdstat_set_rights", 4, all | 1ull << 40, 0), SV_WASI_ENOTCAPABLE);
    some = all & ~(uint64_t)(SV_WASI_RIGHT_WRITE | SV_WASI_RIGHT_SEEK | SV_WASI_RIGHT_FILESTAT_GET);
    assert_int_equal(CALL(&g, "fd_fdstat_set_rights", 4, some, 0), 0);
    assert_int_equal(guest_write(&g, 4, "x", 1), SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "fd_seek", 4, 0, 0, AT_RET), SV_WASI_ENOTCAPABLE);
    assert_int_equal(CALL(&g, "fd_filestat_get", 4, AT_STAT), SV_WASI_ENOTCAPABLE);
    assert_int_equal(CALL(&g, "fd_fdstat_set_rights", 4, all, 0), SV_WASI_ENOTCAPABLE);
    /* a directory that may not pass on writing */
    assert_int_equal(CALL(&g, "fd_fdstat_set_rights", 3, SV_WASI_RIGHTS_DIR,
                          SV_WASI_RIGHTS_DIR | SV_WASI_RIGHT_READ),
                     0);
    assert_int_equal(guest_open_at(&g, 3, "r", 0, rw, 0), -SV_WASI_ENOTCAPABLE);
    assert_int_equal(guest_open_at(&g, 3, "r", 0, SV_WASI_RIGHT_READ, 0), 5);
    assert_int_equal(guest_write(&g, 5, "x", 1), SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "fd_fdstat_set_rights", 3, 0, 0), 0);
    assert_int_equal(guest_open_at(&g, 3, "r", 0, SV_WASI_RIGHT_READ, 0), -SV_WASI_ENOTCAPABLE);
    guest_close(&g);
}

static void old_layouts(void **state)
{
    struct sv_wasi_grant grant = {.dirs = &here, .ndirs = 1};
    struct guest g;
    uint64_t len;

    (void)state;
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(guest_open_at(&g, 3, "old", SV_WASI_O_CREAT | SV_WASI_O_TRUNC, rw, 0), 4);
    assert_int_equal(guest_write(&g, 4, "12345", 5), 0);
    g.era = 2;
    memset(g.memory.base + AT_STAT, 0xaa, 64);
    assert_int_equal(CALL(&g, "fd_filestat_get", 4, AT_STAT), 0);
    assert_int_equal(g.memory.base[AT_STAT + 16], SV_WASI_TYPE_REGULAR);
    assert_int_equal(guest_u32(&g, AT_STAT + 20), 1); /* links */
    assert_int_equal(guest_u64(&g, AT_STAT + 24), 5); /* size */
    assert_int_equal(g.memory.base[AT_STAT + 56], 0xaa);
    len = guest_path(&g, "old");
    memset(g.memory.base + AT_STAT, 0, 64);
    assert_int_equal(CALL(&g, "path_filestat_get", 3, 0, AT_PATH, len, AT_STAT), 0);
    assert_int_equal(guest_u64(&g, AT_STAT + 24), 5);
    /* whence: 0 = current, 1 = end, 2 = start */
    assert_int_equal(CALL(&g, "fd_seek", 4, -2, 1, AT_RET), 0);
    assert_int_equal(guest_u64(&g, AT_RET), 3);
    assert_int_equal(CALL(&g, "fd_seek", 4, 1, 0, AT_RET), 0);
    assert_int_equal(guest_u64(&g, AT_RET), 4);
    assert_int_equal(CALL(&g, "fd_seek", 4, 2, 2, AT_RET), 0);
    assert_int_equal(guest_u64(&g, AT_RET), 2);
    assert_int_equal(CALL(&g, "fd_seek", 4, 2, 3, AT_RET), SV_WASI_EINVAL);
    guest_close(&g);
}

static void sockets(void **state)
{
    struct sv_wasi_grant grant = {.in = {.kind = SV_WASI_STREAM_FD}, .dirs = &here, .ndirs = 1};
    uint32_t v[2] = {AT_DATA, 16};
    struct guest g;
    int pair[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    grant.in.fd = pair[0];
    guest_open(&g, &sv_host_wasi, &grant);
    guest_put(&g, AT_IOVS, v, sizeof v);
    assert_int_equal(CALL(&g, "sock_recv", 1, AT_IOVS, 1, 0, AT_RET, AT_RET + 8), SV_WASI_ENOTSOCK);
    assert_int_equal(CALL(&g, "sock_recv", 3, AT_IOVS, 1, 0, AT_RET, AT_RET + 8), SV_WASI_ENOTSOCK);
    assert_int_equal(CALL(&g, "sock_send", 9, AT_IOVS, 1, 0, AT_RET), SV_WASI_EBADF);
    assert_int_equal(CALL(&g, "sock_shutdown", 3, 1), SV_WASI_ENOTSOCK);
    assert_int_equal(CALL(&g, "sock_accept", 3, 0, AT_RET), SV_WASI_ENOTSOCK);
    assert_int_equal(write(pair[1], "hello", 5), 5);
    assert_int_equal(CALL(&g, "sock_recv", 0, AT_IOVS, 1, 1, AT_RET, AT_RET + 8), 0); /* peek */
    assert_int_equal(guest_u32(&g, AT_RET), 5);
    assert_int_equal(CALL(&g, "sock_recv", 0, AT_IOVS, 1, 0, AT_RET, AT_RET + 8), 0);
    assert_memory_equal(g.memory.base + AT_DATA, "hello", 5);
    assert_int_equal(CALL(&g, "sock_recv", 0, AT_IOVS, 1, 4, AT_RET, AT_RET + 8), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "fd_fdstat_set_flags", 0, SV_WASI_FD_NONBLOCK), 0);
    assert_int_equal(CALL(&g, "sock_recv", 0, AT_IOVS, 1, 0, AT_RET, AT_RET + 8), SV_WASI_EAGAIN);
    assert_int_equal(CALL(&g, "sock_shutdown", 0, 0), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "sock_shutdown", 0, 3), 0);
    /* granted for reading only */
    assert_int_equal(CALL(&g, "sock_send", 0, AT_IOVS, 1, 0, AT_RET), SV_WASI_EBADF);
    guest_close(&g);
    close(pair[0]);
    close(pair[1]);
}

/* A write that does not fit goes on when somebody reads. */
static void *drain(void *arg)
{
    static char buf[65536];
    long total = 0;
    ssize_t n;

    usleep(5000);
    while ((n = read(*(int *)arg, buf, sizeof buf)) > 0)
        total += n;
    return (void *)total;
}

static void drained_pipe(void **state)
{
    struct sv_wasi_grant grant = {.out = {.kind = SV_WASI_STREAM_FD}};
    uint32_t v[2] = {0, GUEST_SIZE}, left = 5 * GUEST_SIZE;
    pthread_t thread;
    struct guest g;
    void *total;
    int ends[2];

    (void)state;
    assert_int_equal(pipe(ends), 0);
    grant.out.fd = ends[1];
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(pthread_create(&thread, NULL, drain, &ends[0]), 0);
    while (left > 0) {
        v[1] = left < GUEST_SIZE ? left : GUEST_SIZE;
        guest_put(&g, AT_IOVS, v, sizeof v);
        assert_int_equal(CALL(&g, "fd_write", 1, AT_IOVS, 1, AT_RET), 0);
        assert_in_range(guest_u32(&g, AT_RET), 1, v[1]);
        left -= guest_u32(&g, AT_RET);
    }
    guest_close(&g);
    close(ends[1]);
    pthread_join(thread, &total);
    assert_int_equal((long)total, 5 * GUEST_SIZE);
    close(ends[0]);
}

static void accepts(void **state)
{
    struct sv_wasi_grant grant = {.in = {.kind = SV_WASI_STREAM_FD}, .max_fds = 4};
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    int listener, client, before = open_descriptors();
    struct guest g;

    (void)state;
    snprintf(name.sun_path, sizeof name.sun_path, "%.90s/sock", scratch);
    listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(listen(listener, 5), 0);
    grant.in.fd = listener;
    guest_open(&g, &sv_host_wasi, &grant);
    assert_int_equal(CALL(&g, "sock_accept", 0, 1, AT_RET), SV_WASI_EINVAL);
    assert_int_equal(CALL(&g, "sock_accept", 0, 0, GUEST_SIZE), SV_WASI_EFAULT);
    /* nobody calls, and the deadline comes */
    g.store.thread.deadline_ns = 1;
    assert_int_equal(CALL(&g, "sock_accept", 0, 0, AT_RET), SV_ETRAP);
    g.store.thread.deadline_ns = 0;
    atomic_store(&g.store.thread.interrupt, 0);
    client = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&name, sizeof name), 0);
    assert_int_equal(CALL(&g, "sock_accept", 0, SV_WASI_FD_NONBLOCK, AT_RET), 0);
    assert_int_equal(guest_u32(&g, AT_RET), 3);
    assert_int_equal(guest_read(&g, 3, 4), -SV_WASI_EAGAIN);
    assert_int_equal(guest_write(&g, 3, "ping", 4), 0);
    assert_int_equal(write(client, "pong", 4), 4);
    assert_int_equal(guest_read(&g, 3, 4), 4);
    assert_int_equal(CALL(&g, "fd_fdstat_get", 3, AT_STAT), 0);
    assert_int_equal(g.memory.base[AT_STAT], SV_WASI_TYPE_SOCKET);
    assert_int_equal(CALL(&g, "sock_shutdown", 3, SV_WASI_SHUT_WR), 0);
    assert_int_equal(guest_write(&g, 3, "x", 1), SV_WASI_EPIPE);
    /* the table is full */
    assert_int_equal(CALL(&g, "sock_accept", 0, 0, AT_RET), SV_WASI_EMFILE);
    close(client);
    guest_close(&g);
    close(listener);
    assert_int_equal(open_descriptors(), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bounded_table),
        cmocka_unit_test(close_on_exec),
        cmocka_unit_test(size_of_files_limited),
        cmocka_unit_test(renumber),
        cmocka_unit_test(renumber_directory),
        cmocka_unit_test(memory_streams),
        cmocka_unit_test(buffers),
        cmocka_unit_test(fifo_does_not_block),
        cmocka_unit_test(broken_pipe),
        cmocka_unit_test(full_pipe),
        cmocka_unit_test(filter),
        cmocka_unit_test(terminal),
        cmocka_unit_test(closed_on_the_host),
        cmocka_unit_test(rights),
        cmocka_unit_test(old_layouts),
        cmocka_unit_test(sockets),
        cmocka_unit_test(drained_pipe),
        cmocka_unit_test(accepts),
    };
    return cmocka_run_group_tests(tests, make_scratch, remove_scratch);
}
