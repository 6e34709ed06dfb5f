/* Compiling in a child, `ssvm compile --fill-cache`: the module goes to its standard input, the
 * image comes by the cache, or by its standard output where no cache takes it. When and what is
 * tier.c's and tier_job.c's. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/tier.h"
#include "base/write.h"

extern char **environ;

#define MESSAGE_MAX 400

/* Its standard streams, files in memory. */
struct child {
    int fds[3];
    int status; /* of waitpid */
};

/* Files in memory are files to this limit, and the signal would kill. */
static bool may_write_files(void)
{
    struct rlimit limit;

    return getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur == RLIM_INFINITY;
}

/* Beyond the numbers that it will have there. */
static int open_stream(void)
{
    int fd = memfd_create("ssvm-compile", MFD_CLOEXEC), high;

    if (fd < 0 || fd > 2)
        return fd;
    high = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    close(fd);
    return high;
}

static bool write_module(int fd, const struct sv_module *m)
{
    return sv_write_all(fd, m->bytes, m->wasm_len) == m->wasm_len && lseek(fd, 0, SEEK_SET) == 0;
}

static bool open_child(struct child *c, const struct sv_module *m)
{
    bool ok = true;

    for (int i = 0; i < 3; i++) {
        c->fds[i] = open_stream();
        ok = ok && c->fds[i] >= 0;
    }
    return ok && write_module(c->fds[0], m);
}

static void close_child(struct child *c)
{
    for (int i = 0; i < 3; i++)
        if (c->fds[i] >= 0)
            close(c->fds[i]);
}

/* 0 or an errno. */
static int spawn(const struct sv_tier *t, const struct child *child, const struct sv_tier_code *c,
                 unsigned form_number, bool cached, pid_t *ret)
{
    char form[16], loop[32], self[16];
    char *argv[] = {t->program,
                    (char *)"compile",
                    (char *)"--fill-cache",
                    cached ? t->cache_dir : (char *)"none",
                    (char *)"--form",
                    form,
                    (char *)"--loop",
                    loop,
                    (char *)"--starter",
                    self,
                    (char *)"-",
                    t->debug ? (char *)"--debug" : NULL,
                    NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    sigset_t none;
    int r;

    snprintf(self, sizeof self, "%d", (int)getpid());
    snprintf(form, sizeof form, "%u", form_number);
    snprintf(loop, sizeof loop, "%u:%u", c->func, c->offset);
    sigemptyset(&none);
    posix_spawn_file_actions_init(&actions);
    for (int i = 0; i < 3; i++)
        posix_spawn_file_actions_adddup2(&actions, child->fds[i], i);
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 34)
    /* It may outlive the program, whose pipes and locks must not live as long. */
    posix_spawn_file_actions_addclosefrom_np(&actions, 3);
#endif
    posix_spawnattr_init(&attr);
    /* A session of its own: the terminal's signals are for the program, and it may outlive us. */
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK);
    posix_spawnattr_setsigmask(&attr, &none);
    r = posix_spawn(ret, t->program, &actions, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    posix_spawn_file_actions_destroy(&actions);
    return r;
}

/* Until the child has ended, or the tier stops: then the child ends when asked, having left the
 * work to a process that goes on without us if there is a cache to fill. Its status. */
static int wait_child(const struct sv_tier *t, pid_t pid)
{
    struct pollfd fds[2] = {{.fd = (int)syscall(SYS_pidfd_open, pid, 0), .events = POLLIN},
                            {.fd = t->stop_fd, .events = POLLIN}};
    int status = -1;

    if (fds[0].fd >= 0 && fds[1].fd >= 0) {
        while (poll(fds, 2, -1) < 0 && errno == EINTR)
            continue;
        if (!(fds[0].revents & POLLIN))
            kill(pid, SIGTERM);
    }
    if (fds[0].fd >= 0)
        close(fds[0].fd);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    return status;
}

/* The failure of a child, in its own words if it found some: "ssvm: '-': WORDS". */
static int fail(struct sv_err *err, const struct child *c)
{
    char text[MESSAGE_MAX + 1];
    ssize_t n = pread(c->fds[2], text, MESSAGE_MAX, 0);
    const char *words;

    text[n > 0 ? n : 0] = '\0';
    text[strcspn(text, "\n")] = '\0';
    words = strstr(text, "'-': ");
    if (WIFEXITED(c->status) && words)
        return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "%s", words + strlen("'-': "));
    if (WIFSIGNALED(c->status))
        return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "the compiler was ended by signal %d",
                       WTERMSIG(c->status));
    return sv_fail(err, SV_EINTERNAL, SV_NO_OFFSET, "the compiler cannot run: out of memory?");
}

/* What it has written, or what the cache has. 0 with *ret NULL: not even that, any more. */
static int take(struct sv_err *err, struct sv_tier *t, struct sv_module *m,
                const struct sv_tier_code *code, const struct child *c, own struct sv_native **ret)
{
    void *bytes = MAP_FAILED;
    struct stat st;
    int r;

    if (fstat(c->fds[1], &st) < 0 || st.st_size == 0) {
        *ret = sv_tier_take_cached(t, m, code);
        return 0;
    }
    bytes = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, c->fds[1], 0);
    if (bytes == MAP_FAILED)
        return sv_fail_nomem(err, "a native image");
    r = sv_tier_use(err, m, code, bytes, (size_t)st.st_size, ret);
    munmap(bytes, (size_t)st.st_size);
    return r;
}

static int run(struct sv_err *err, struct sv_tier *t, struct sv_module *m,
               const struct sv_tier_code *code, bool cached, own struct sv_native **ret)
{
    unsigned form = code->form | (m->features & SV_FEATURES_COSTS ? SSVM_FORM_COSTS : 0);
    struct child c;
    pid_t pid;
    int r = 0;

    if (!open_child(&c, m)) {
        r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "no files for a compiler: %s", strerror(errno));
    } else if (t->run) {
        c.status = t->run(t->run_data, form, code->func, code->offset, cached, c.fds);
    } else if ((r = spawn(t, &c, code, form, cached, &pid)) != 0) {
        r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot start the compiler '%s': %s", t->program,
                    strerror(r));
    } else {
        c.status = wait_child(t, pid);
    }
    if (r == 0)
        r = WIFEXITED(c.status) && WEXITSTATUS(c.status) == 0 ? take(err, t, m, code, &c, ret)
                                                              : fail(err, &c);
    close_child(&c);
    return r;
}

int sv_tier_run_program(struct sv_err *err, struct sv_tier *t, struct sv_module *m,
                        const struct sv_tier_code *code, own struct sv_native **ret)
{
    uint8_t key[SV_IMAGE_KEY_LEN];
    struct sv_err no_key;
    int r;

    if (!may_write_files())
        return sv_tier_make(err, t, m, code, sv_features_default, ret);
    *ret = NULL;
    /* Makes the folder: what the child puts there is looked for in the one that we have open. */
    if (t->cache)
        sv_cache_key(&no_key, t->cache, key);
    r = run(err, t, m, code, t->cache != NULL, ret);
    /* Into a folder that is not ours any more. */
    if (r == 0 && !*ret)
        r = run(err, t, m, code, false, ret);
    return r;
}
