/* Starts the processes that prepare versions, and reads what they say. What they do is
 * prepare_child.c. */
#include "control/prepare.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/sha256.h"
#include "control/blob.h"

#define PREPARE_MS 120000 /* of the process; its guests have less */
#define COMPILE_MS 300000
#define LOOK_MS 100 /* between two looks whether the server ends */
#define NS_PER_MS 1000000
#define REPORT_MAX (4U << 20)
#define READY_MAX (1U << 30)
#define WORDS_MAX 400
#define KNOWN_MAX 1024 /* results that are remembered; a power of two */

extern char **environ;

/* ---- What is known already ---- */

/* The same module under many names is prepared once. */
static struct {
    pthread_mutex_t lock;
    struct known {
        bool used;
        uint8_t key[SV_SHA256_LEN];
        struct ctl_prepared result;
    } at[KNOWN_MAX];
} known = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Module, costs, the cache, and the manifest but for what only says where the function is. */
static bool make_key(const uint8_t digest[PLAT_DIGEST_BYTES], struct sv_str text,
                     struct sv_str costs, const char *cache, uint8_t ret[SV_SHA256_LEN])
{
    struct plat_manifest m;
    struct sv_err err = {0};
    struct sv_sha256 hash;
    struct sv_buf buf;
    bool ok;

    sv_buf_init(&buf, REPORT_MAX);
    ok = plat_manifest_read(&err, PLAT_MANIFEST_FILE, text.ptr, text.len, &m) == 0;
    if (ok) {
        m.name = "";
        m.nroutes = 0;
        plat_manifest_print(&m, &buf);
        ok = !buf.failed;
    }
    plat_manifest_release(&m);
    sv_sha256_init(&hash);
    sv_sha256_add(&hash, digest, PLAT_DIGEST_BYTES);
    sv_sha256_add(&hash, cache, strlen(cache) + 1);
    sv_sha256_add(&hash, &costs.len, sizeof costs.len);
    if (costs.len > 0)
        sv_sha256_add(&hash, costs.ptr, costs.len);
    if (ok && buf.len > 0)
        sv_sha256_add(&hash, buf.data, buf.len);
    sv_sha256_end(&hash, ret);
    sv_buf_release(&buf);
    return ok;
}

static struct known *place_of(const uint8_t key[SV_SHA256_LEN])
{
    return &known.at[(key[0] | key[1] << 8) & (KNOWN_MAX - 1)];
}

static bool copy_result(const struct ctl_prepared *from, struct ctl_prepared *to)
{
    *to = *from;
    to->exports = sv_strdup(from->exports);
    to->note = sv_strdup(from->note);
    if (to->exports && to->note)
        return true;
    ctl_prepared_release(to);
    return false;
}

static bool find_known(struct ctl_server *server, const uint8_t key[SV_SHA256_LEN],
                       struct ctl_prepared *ret)
{
    const struct known *k = place_of(key);
    bool found;
    int fd;

    pthread_mutex_lock(&known.lock);
    found = k->used && memcmp(k->key, key, sizeof k->key) == 0 && copy_result(&k->result, ret);
    pthread_mutex_unlock(&known.lock);
    if (!found)
        return false;
    fd = ctl_blob_open(server, ret->ready);
    if (fd < 0) {
        ctl_prepared_release(ret);
        return false;
    }
    futimens(fd, NULL); /* it is of use: the collector must not take it now */
    close(fd);
    return true;
}

static void remember(const uint8_t key[SV_SHA256_LEN], const struct ctl_prepared *result)
{
    struct known *k = place_of(key);
    struct ctl_prepared copy;

    if (!copy_result(result, &copy))
        return;
    pthread_mutex_lock(&known.lock);
    if (k->used)
        ctl_prepared_release(&k->result);
    *k = (struct known){.used = true, .result = copy};
    memcpy(k->key, key, sizeof k->key);
    pthread_mutex_unlock(&known.lock);
}

void ctl_prepared_release(struct ctl_prepared *p)
{
    sv_free(p->exports);
    sv_free(p->note);
    *p = (struct ctl_prepared){0};
}

/* ---- Processes ---- */

/* Files of a process, by their numbers there. */
struct files {
    int fds[6];
    unsigned n;
};

static void files_close(struct files *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        if (f->fds[i] >= 0)
            close(f->fds[i]);
    }
}

/* One in memory. */
static int open_memory(void)
{
    return memfd_create("ssvm-prepare", MFD_CLOEXEC);
}

/* Beyond the numbers that files will have there. */
static bool move_up(struct files *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        int high = f->fds[i] >= 0 ? fcntl(f->fds[i], F_DUPFD_CLOEXEC, SV_COUNT(f->fds)) : -1;

        if (high < 0)
            return false;
        close(f->fds[i]);
        f->fds[i] = high;
    }
    return true;
}

static int start(const struct files *f, char *const argv[], pid_t *ret)
{
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    int r;

    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    for (unsigned i = 0; i < f->n; i++)
        posix_spawn_file_actions_adddup2(&actions, f->fds[i], (int)i);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    posix_spawn_file_actions_addclosefrom_np(&actions, (int)f->n);
#endif
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attr, &none);
    r = posix_spawn(ret, "/proc/self/exe", &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return r;
}

static bool is_over(struct ctl_server *server)
{
    uint64_t until = atomic_load(&server->prepare_until_ns);

    return until != 0 && until <= sv_clock_ns();
}

/* Run it to its end, at most so long. Its status of waitpid; -1: it took too long. */
static int finish(struct ctl_server *server, pid_t pid, unsigned timeout_ms)
{
    struct pollfd fd = {.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN};
    uint64_t deadline = sv_clock_ns() + (uint64_t)timeout_ms * NS_PER_MS;
    int status = 0, r;

    do
        r = fd.fd >= 0 ? poll(&fd, 1, LOOK_MS) : 1;
    while (r <= 0 && sv_clock_ns() < deadline && !is_over(server));
    if (r <= 0)
        kill(-pid, SIGKILL); /* and what it has started */
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    if (fd.fd >= 0)
        close(fd.fd);
    return r <= 0 ? -1 : status;
}

static int fail_over(struct sv_err *err)
{
    return sv_fail(err, SV_EIO, SV_NO_OFFSET,
                   "the server ends, and the version is not prepared: deploy it again when the "
                   "server is back");
}

static int run(struct ctl_server *server, struct sv_err *err, struct files *f, char *const argv[],
               unsigned timeout_ms)
{
    int status, r;
    pid_t pid;

    if (!move_up(f))
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "no files to prepare a module with: %s",
                       strerror(errno));
    r = start(f, argv, &pid);
    if (r != 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot start a process: %s", strerror(r));
    status = finish(server, pid, timeout_ms);
    if (status == -1 && is_over(server))
        return fail_over(err);
    if (status == -1)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "it took longer than %u seconds",
                       timeout_ms / 1000);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) /* by somebody else: not the module's */
        return sv_fail(err, SV_EIO, SV_NO_OFFSET,
                       "the process that prepared it was killed: try again");
    if (WIFSIGNALED(status))
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "the process was ended by signal %d (%s)",
                       WTERMSIG(status), strsignal(WTERMSIG(status)));
    if (WEXITSTATUS(status) != 0)
        return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "the process failed");
    return 0;
}

/* ---- Native code ---- */

/* The program `ssvm`, which compiles. */
static bool find_program(char *path, size_t size)
{
    /* From the folder of our own: in a build tree, then installed. */
    static const char *const places[] = {"ssvm", "../../bin/ssvm"};
    char self[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    self[n > 0 ? n : 0] = '\0';
    slash = strrchr(self, '/');
    for (size_t i = 0; slash && i < SV_COUNT(places); i++) {
        snprintf(path, size, "%.*s%s", (int)(slash + 1 - self), self, places[i]);
        if (access(path, X_OK) == 0)
            return true;
    }
    return false;
}

/* The compiler's own words, if it found some: "ssvm: '-': WORDS". */
static void take_words(struct sv_err *err, int fd)
{
    char text[WORDS_MAX + 1];
    ssize_t n = pread(fd, text, WORDS_MAX, 0);
    const char *words;

    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    words = strstr(text, "'-': ");
    if (*text) {
        err->code = 0;
        sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "%s", words ? words + 5 : text);
    }
}

bool ctl_prepare_native(struct ctl_server *server, struct sv_err *err,
                        const uint8_t ready[PLAT_DIGEST_BYTES], const char *cache)
{
    char program[PATH_MAX + 64], self[16];
    char *const argv[] = {
        (char *)"ssvm-control", (char *)CTL_COMPILE_ROLE, (char *)cache, program, self, NULL};
    struct files f = {.n = 3};
    int r;

    if (!find_program(program, sizeof program)) {
        sv_fail(err, SV_ENOTFOUND, SV_NO_OFFSET, "the program 'ssvm' was not found");
        return false;
    }
    (void)mkdir(cache, 0700); /* of a tenant's first deployment */
    snprintf(self, sizeof self, "%d", (int)getpid());
    f.fds[0] = ctl_blob_open(server, ready);
    f.fds[1] = open_memory();
    f.fds[2] = open_memory();
    r = run(server, err, &f, argv, COMPILE_MS);
    if (r < 0)
        take_words(err, f.fds[2]);
    files_close(&f);
    return r == 0;
}

/* ---- The report ---- */

static int read_report(struct sv_err *err, int fd, struct plat_message *ret)
{
    struct stat st;

    plat_message_init(ret, PLAT_NONE);
    if (fstat(fd, &st) < 0 || st.st_size > REPORT_MAX ||
        !sv_buf_reserve(&ret->values, (size_t)st.st_size) ||
        pread(fd, ret->values.data, (size_t)st.st_size, 0) != (ssize_t)st.st_size)
        return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "what was found cannot be read");
    ret->values.len = (size_t)st.st_size;
    return plat_take_error(ret, err);
}

static bool write_exports(const struct plat_message *report, struct sv_buf *buf)
{
    size_t name_at = 0, signature_at = 0;
    struct sv_str name, signature;

    sv_buf_putc(buf, '[');
    for (bool more = false;; more = true) {
        name = plat_get_next(report, PLAT_TAG_NAME, &name_at);
        signature = plat_get_next(report, PLAT_TAG_TEXT, &signature_at);
        if (!name.ptr || !signature.ptr)
            break;
        sv_buf_puts(buf, more ? ", {\"name\": " : "{\"name\": ");
        sv_buf_json_string(buf, name.ptr, name.len);
        sv_buf_puts(buf, ", \"signature\": ");
        sv_buf_json_string(buf, signature.ptr, signature.len);
        sv_buf_putc(buf, '}');
    }
    return sv_buf_putc(buf, ']');
}

static bool write_notes(const struct plat_message *report, struct sv_buf *buf)
{
    struct sv_str line;
    size_t at = 0;

    while ((line = plat_get_next(report, PLAT_TAG_KEY, &at)).ptr) {
        sv_buf_append(buf, line.ptr, line.len);
        sv_buf_putc(buf, '\n');
    }
    return !buf->failed;
}

/* The module that begins behind the initialiser, if there is one. */
static int keep_ready(struct ctl_server *server, struct sv_err *err, int fd,
                      uint8_t ready[PLAT_DIGEST_BYTES])
{
    struct stat st;
    void *bytes;
    int r;

    if (fstat(fd, &st) < 0 || st.st_size == 0)
        return 0;
    if (st.st_size > READY_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "its snapshot is too large");
    bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (bytes == MAP_FAILED)
        return sv_fail_nomem(err, "a snapshot");
    r = ctl_blob_write(server, err, bytes, (size_t)st.st_size, ready);
    munmap(bytes, (size_t)st.st_size);
    return r;
}

static int take_report(struct ctl_server *server, struct sv_err *err, const struct files *f,
                       const uint8_t digest[PLAT_DIGEST_BYTES], const char *cache,
                       struct ctl_prepared *ret)
{
    struct plat_message report;
    struct sv_err native = {0};
    struct sv_buf exports, notes;
    int r = read_report(err, f->fds[1], &report);

    sv_buf_init(&exports, REPORT_MAX);
    sv_buf_init(&notes, REPORT_MAX);
    memcpy(ret->ready, digest, PLAT_DIGEST_BYTES);
    if (r == 0)
        r = keep_ready(server, err, f->fds[3], ret->ready);
    if (r == 0 && cache && !ctl_prepare_native(server, &native, ret->ready, cache)) {
        if (is_over(server)) /* one that is interpreted for good is not what was asked for */
            r = fail_over(err);
        sv_buf_printf(&notes, "it is interpreted: %s\n", native.text);
    }
    if (r == 0 && (!write_exports(&report, &exports) || !write_notes(&report, &notes)))
        r = sv_fail_nomem(err, "what was found");
    if (r == 0) {
        ret->exports = sv_strdup(sv_buf_cstr(&exports));
        ret->note = sv_strdup(sv_buf_cstr(&notes));
        if (!ret->exports || !ret->note)
            r = sv_fail_nomem(err, "what was found");
    }
    sv_buf_release(&exports);
    sv_buf_release(&notes);
    plat_message_release(&report);
    if (r < 0)
        ctl_prepared_release(ret);
    return r;
}

static bool write_text(int fd, struct sv_str text)
{
    return fd >= 0 && (text.len == 0 || write(fd, text.ptr, text.len) == (ssize_t)text.len);
}

static int prepare(struct ctl_server *server, struct sv_err *err,
                   const uint8_t digest[PLAT_DIGEST_BYTES], struct sv_str text, struct sv_str costs,
                   const char *cache, struct ctl_prepared *ret)
{
    char *const argv[] = {(char *)"ssvm-control", (char *)CTL_PREPARE_ROLE, NULL};
    struct files f = {.n = 6};
    int r;

    f.fds[0] = ctl_blob_open(server, digest);
    f.fds[1] = open_memory();
    f.fds[2] = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    f.fds[3] = open_memory();
    f.fds[4] = open_memory();
    f.fds[5] = open_memory();
    if (f.fds[0] < 0 || !write_text(f.fds[4], text) || !write_text(f.fds[5], costs))
        r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "no files to prepare a module with: %s",
                    strerror(errno));
    else
        r = run(server, err, &f, argv, PREPARE_MS);
    if (r == 0)
        r = take_report(server, err, &f, digest, cache, ret);
    files_close(&f);
    return r;
}

int ctl_prepare(struct ctl_server *server, struct sv_err *err,
                const uint8_t digest[PLAT_DIGEST_BYTES], struct sv_str text, struct sv_str costs,
                const char *cache, struct ctl_prepared *ret)
{
    uint8_t key[SV_SHA256_LEN];
    bool keyed = make_key(digest, text, costs, cache ? cache : "", key);
    int r;

    *ret = (struct ctl_prepared){0};
    if (keyed && find_known(server, key, ret))
        return 0;
    r = prepare(server, err, digest, text, costs, cache, ret);
    if (r == 0 && keyed && cache)
        remember(key, ret);
    return r;
}

void ctl_prepare_end(struct ctl_server *server, unsigned grace_ms)
{
    uint64_t until = sv_clock_ns() + (uint64_t)grace_ms * NS_PER_MS, none = 0;

    atomic_compare_exchange_strong(&server->prepare_until_ns, &none, until);
}
