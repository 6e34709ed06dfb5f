/* Parts of the control process in a fuzzer. See control.h. */
#include "control.h"

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <malloc.h>
#include <pthread.h>
#include <sanitizer/allocator_interface.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buf.h"
#include "control/blob.h"
#include "control/part.h"
#include "control/prepare.h"
#include "control/workers.h"

#define WORK_MAX 65536
#define REGULAR_MAX 32
#define SETTLED 2000   /* inputs, until caches have what they keep */
#define LOOK_EVERY 500 /* inputs */
#define FDS_MORE 40    /* readers of databases, and what is open only now */
#define BYTES_MORE (96U << 20)
#define PREPARED_MAX 65536 /* bytes of what a version is said to have */

/* ---- Threads: none ---- */

struct work {
    void (*fn)(struct ctl_server *, void *);
    void *data;
};

static struct {
    pthread_mutex_t lock;
    struct work work[WORK_MAX], regular[REGULAR_MAX];
    unsigned first, n, nregular;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

int ctl_pool_start(struct ctl_server *server, struct sv_err *err)
{
    (void)server, (void)err;
    return 0;
}

void ctl_pool_stop(struct ctl_server *server)
{
    (void)server;
}

void ctl_pool_quiet(struct ctl_server *server)
{
    fuzz_control_run(server);
}

int ctl_pool_run(struct ctl_server *server, void (*fn)(struct ctl_server *, void *), void *data)
{
    bool room;

    (void)server;
    pthread_mutex_lock(&pool.lock);
    room = pool.n < WORK_MAX;
    if (room)
        pool.work[(pool.first + pool.n++) % WORK_MAX] = (struct work){fn, data};
    pthread_mutex_unlock(&pool.lock);
    return room ? 0 : SV_ELIMIT;
}

int ctl_pool_every(struct ctl_server *server, unsigned every_ms,
                   void (*fn)(struct ctl_server *, void *), void *data)
{
    if (every_ms == 0)
        return ctl_pool_run(server, fn, data);
    fuzz_check(pool.nregular < REGULAR_MAX, "too many pieces of regular work");
    pool.regular[pool.nregular++] = (struct work){fn, data};
    return 0;
}

bool fuzz_control_run_one(struct ctl_server *server)
{
    struct work work = {0};

    pthread_mutex_lock(&pool.lock);
    if (pool.n > 0) {
        work = pool.work[pool.first];
        pool.first = (pool.first + 1) % WORK_MAX;
        pool.n--;
    }
    pthread_mutex_unlock(&pool.lock);
    if (work.fn)
        work.fn(server, work.data);
    return work.fn != NULL;
}

void fuzz_control_run(struct ctl_server *server)
{
    while (fuzz_control_run_one(server))
        ;
}

void fuzz_control_tick(struct ctl_server *server, unsigned n)
{
    const struct work *work = &pool.regular[n % pool.nregular];

    work->fn(server, work->data);
    fuzz_control_run(server);
}

unsigned fuzz_control_ticks(void)
{
    return pool.nregular;
}

void fuzz_control_forget(unsigned n)
{
    pool.nregular = n;
}

/* ---- Preparing: what the child would have found is in the module ---- */

void ctl_prepared_release(struct ctl_prepared *p)
{
    sv_free(p->exports);
    sv_free(p->note);
    *p = (struct ctl_prepared){0};
}

/* Behind the module's head: a name, and the rest of it. */
static bool read_prepared(const char *bytes, size_t len, struct ctl_prepared *ret)
{
    struct sv_buf exports, note;
    size_t half = len / 2;

    sv_buf_init(&exports, SIZE_MAX);
    sv_buf_init(&note, SIZE_MAX);
    if (len > 0) {
        sv_buf_puts(&exports, "[{\"name\": ");
        sv_buf_json_string(&exports, bytes, half);
        sv_buf_puts(&exports, ", \"signature\": ");
        sv_buf_json_string(&exports, bytes + half, len - half);
        sv_buf_puts(&exports, "}]");
        sv_buf_append(&note, bytes, len);
    } else {
        sv_buf_puts(&exports, "[]");
    }
    ret->exports = sv_strdup(sv_buf_cstr(&exports));
    ret->note = sv_strdup(sv_buf_cstr(&note));
    sv_buf_release(&exports);
    sv_buf_release(&note);
    return ret->exports && ret->note;
}

int ctl_prepare(struct ctl_server *server, struct sv_err *err,
                const uint8_t digest[PLAT_DIGEST_BYTES], struct sv_str text, struct sv_str costs,
                const char *cache, struct ctl_prepared *ret)
{
    char bytes[PREPARED_MAX];
    int fd = ctl_blob_open(server, digest);
    ssize_t n = fd < 0 ? -1 : read(fd, bytes, sizeof bytes);

    (void)text, (void)costs, (void)cache;
    if (fd >= 0)
        close(fd);
    if (n < 8 || memcmp(bytes, "\0asm\1\0\0\0", 8) != 0)
        return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET, "not a module");
    memcpy(ret->ready, digest, PLAT_DIGEST_BYTES);
    return read_prepared(bytes + 8, (size_t)n - 8, ret) ? 0 : sv_fail_nomem(err, "what was found");
}

bool ctl_prepare_native(struct ctl_server *server, struct sv_err *err,
                        const uint8_t ready[PLAT_DIGEST_BYTES], const char *cache)
{
    (void)server, (void)ready, (void)cache;
    sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "no compiler");
    return false;
}

/* ---- The parts ---- */

own char *ctl_setting(const struct ctl_server *server, const char *option)
{
    (void)server;
    return strcmp(option, "nn") == 0 || strcmp(option, "image") == 0 ? sv_strdup("none") : NULL;
}

static char folder[40];
static pid_t owner;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st, (void)type, (void)at;
    (void)remove(path);
    return 0;
}

static void remove_folder(void)
{
    if (getpid() == owner)
        (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

struct ctl_server *fuzz_control_start(void)
{
    static int (*const starts[])(struct ctl_server *, struct sv_err *) = {
        ctl_workers_start,   ctl_store_start,   ctl_registry_start, ctl_log_start,
        ctl_hostcalls_start, ctl_metrics_start, ctl_live_start,     ctl_why_start,
        ctl_ledger_start,    ctl_fetch_start,   ctl_command_start,  ctl_api_start,
    };
    static struct ctl_server server;
    struct sv_err err = {0};

    snprintf(folder, sizeof folder, "%s/ssvm-fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    fuzz_check(mkdtemp(folder) != NULL, "no folder");
    owner = getpid();
    atexit(remove_folder);
    server.data = folder;
    server.data_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    server.public_url = "http://127.0.0.1:1";
    server.epoch = 1;
    for (size_t i = 0; i < SV_COUNT(starts); i++)
        fuzz_check(starts[i](&server, &err) == 0, err.text);
    return &server;
}

int fuzz_memory(const void *bytes, size_t len)
{
    int fd = memfd_create("fuzz", MFD_CLOEXEC);

    fuzz_check(fd >= 0 && (len == 0 || write(fd, bytes, len) == (ssize_t)len), "no memory file");
    return fd;
}

struct plat_ring *fuzz_control_ring(struct ctl_server *server, unsigned slot)
{
    int fd = fuzz_memory(NULL, 0);
    struct plat_message m;
    void *memory;

    fuzz_check(ftruncate(fd, (off_t)plat_ring_bytes()) == 0, "no ring");
    memory = mmap(NULL, plat_ring_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    fuzz_check(memory != MAP_FAILED && plat_ring_init(memory, slot + 1), "no ring");
    plat_message_init(&m, PLAT_WORKER);
    plat_put_u64(&m, PLAT_TAG_NUMBER, slot);
    plat_put_fd(&m, fd);
    ctl_workers_set(server, &m);
    plat_message_release(&m);
    return memory;
}

bool fuzz_no_network(void)
{
    return unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0;
}

/* ---- What is kept ---- */

static unsigned count_fds(void)
{
    DIR *dir = opendir("/proc/self/fd");
    unsigned n = 0;

    while (dir && readdir(dir))
        n++;
    if (dir)
        closedir(dir);
    return n;
}

static size_t count_bytes(void)
{
#ifdef SSVM_SANITIZED
    return __sanitizer_get_current_allocated_bytes();
#else
    struct mallinfo2 all = mallinfo2();

    return all.uordblks + all.hblkhd;
#endif
}

void fuzz_control_count(void)
{
    static size_t inputs, bytes;
    static unsigned fds;

    inputs++;
    if (inputs < SETTLED || inputs % LOOK_EVERY != 0)
        return;
    if (fds == 0) {
        fds = count_fds();
        bytes = count_bytes();
    }
    fuzz_check(count_fds() <= fds + FDS_MORE, "descriptors are kept");
    fuzz_check(count_bytes() <= bytes + BYTES_MORE, "memory is kept");
}
