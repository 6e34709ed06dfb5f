/* Watches the files of a project. Builds nothing. */
#include "client/watch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sha256.h"

#define DEPTH_MAX 16
#define FILES_MAX 20000
#define CONTENT_MAX ((size_t)4 << 20) /* of larger files size and time are looked at */
#define SETTLE_MS 60                  /* without another event */
#define SETTLE_ROUNDS 30              /* but no longer than so many of them */
#define POLL_MS 1000                  /* where there are no events */
#define EVENTS                                                                                     \
    (IN_CLOSE_WRITE | IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF |       \
     IN_MOVE_SELF)

struct cln_watch {
    int fd; /* inotify; -1: files are looked at every POLL_MS */
    uint8_t source[SV_SHA256_LEN], site[SV_SHA256_LEN];
};

/* One walk over the files. */
struct walk {
    struct cln_watch *watch;
    const struct plat_manifest *manifest;
    struct sv_sha256 source, site;
    unsigned files;
    bool in_site;
};

own struct cln_watch *cln_watch_new(void)
{
    struct cln_watch *watch = sv_alloc_zero(sizeof *watch);

    if (!watch) {
        cln_message("out of memory");
        return NULL;
    }
    watch->fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    if (watch->fd < 0)
        cln_message("no inotify (%s): files are looked at every second", strerror(errno));
    return watch;
}

void cln_watch_delete(own struct cln_watch *watch)
{
    if (!watch)
        return;
    if (watch->fd >= 0)
        close(watch->fd);
    sv_free(watch);
}

static void add_content(struct sv_sha256 *hash, const char *path, const struct stat *st)
{
    uint64_t facts[2] = {(uint64_t)st->st_size, 0};
    char buf[65536];
    ssize_t n = 0;
    int fd = -1;

    sv_sha256_add(hash, path, strlen(path) + 1);
    if ((size_t)st->st_size <= CONTENT_MAX)
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    while (fd >= 0 && (n = read(fd, buf, sizeof buf)) > 0)
        sv_sha256_add(hash, buf, (size_t)n);
    if (fd < 0 || n < 0)
        facts[1] = (uint64_t)st->st_mtim.tv_sec * 1000000000U + (uint64_t)st->st_mtim.tv_nsec;
    if (fd >= 0)
        close(fd);
    sv_sha256_add(hash, facts, sizeof facts);
}

/* What is made, not written: the module and the folder that it lies in; what tools leave behind. */
static bool is_ignored(const struct walk *walk, const char *path)
{
    static const char *const names[] = {"target",     "node_modules", "build",
                                        "Cargo.lock", "go.sum",       "package-lock.json"};
    const char *module = walk->manifest->module, *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    size_t len = strlen(path);

    if (walk->in_site)
        return name[0] == '.' && strcmp(name, ".well-known") != 0;
    for (size_t i = 0; i < SV_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0)
            return true;
    }
    slash = strrchr(module, '/');
    return name[0] == '.' || name[strlen(name) - 1] == '~' || strcmp(module, path) == 0 ||
           (slash && (size_t)(slash - module) == len && memcmp(module, path, len) == 0) ||
           (walk->manifest->site.given && strcmp(walk->manifest->site.dir, path) == 0);
}

static void walk_folder(struct walk *, const char *path, unsigned depth);

static void walk_entry(struct walk *walk, const char *path, unsigned depth)
{
    struct stat st;

    if (is_ignored(walk, path) || lstat(path, &st) < 0 || walk->files >= FILES_MAX)
        return;
    if (S_ISDIR(st.st_mode)) {
        walk_folder(walk, path, depth);
    } else if (S_ISREG(st.st_mode)) {
        walk->files++;
        add_content(walk->in_site ? &walk->site : &walk->source, path, &st);
    }
}

static void walk_folder(struct walk *walk, const char *path, unsigned depth)
{
    struct dirent **names = NULL;
    int n;

    /* Before it is read: what comes later is an event. Adding it twice changes nothing. */
    if (walk->watch->fd >= 0 && inotify_add_watch(walk->watch->fd, path, EVENTS) < 0 &&
        errno == ENOSPC) {
        cln_message("too many folders for inotify (fs.inotify.max_user_watches): files are looked "
                    "at every second");
        close(walk->watch->fd);
        walk->watch->fd = -1;
    }
    n = depth < DEPTH_MAX ? scandir(path, &names, NULL, alphasort) : 0;
    for (int i = 0; i < n; i++) {
        const char *name = names[i]->d_name;
        char child[PATH_MAX];
        bool here = strcmp(path, ".") == 0;

        if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0 &&
            (size_t)snprintf(child, sizeof child, "%s%s%s", here ? "" : path, here ? "" : "/",
                             name) < sizeof child)
            walk_entry(walk, child, depth + 1);
        free(names[i]);
    }
    free(names);
}

static void look(struct cln_watch *watch, const struct plat_manifest *m, uint8_t *source,
                 uint8_t *site)
{
    struct walk walk = {.watch = watch, .manifest = m};

    sv_sha256_init(&walk.source);
    sv_sha256_init(&walk.site);
    if (m->watch.n == 0) {
        walk_folder(&walk, ".", 0);
    } else {
        walk_entry(&walk, PLAT_MANIFEST_FILE, 0);
        for (uint32_t i = 0; i < m->watch.n; i++)
            walk_entry(&walk, m->watch.at[i], 0);
        if (watch->fd >= 0) /* for the manifest, which editors replace */
            inotify_add_watch(watch->fd, ".", EVENTS);
    }
    walk.in_site = true;
    if (m->site.given)
        walk_folder(&walk, m->site.dir, 0);
    sv_sha256_end(&walk.source, source);
    sv_sha256_end(&walk.site, site);
}

void cln_watch_look(struct cln_watch *watch, const struct plat_manifest *m)
{
    look(watch, m, watch->source, watch->site);
}

/* Wait for events, at most ms (-1: for ever), and throw them away. False: there was none. */
static bool take_events(struct cln_watch *watch, int ms)
{
    struct pollfd poll_fd = {.fd = watch->fd, .events = POLLIN};
    char buf[4096] __attribute__((aligned(8)));

    if (poll(&poll_fd, watch->fd >= 0, watch->fd >= 0 ? ms : POLL_MS) <= 0)
        return watch->fd < 0 && ms < 0;
    while (read(watch->fd, buf, sizeof buf) > 0)
        ;
    return true;
}

unsigned cln_watch_wait(struct cln_watch *watch, const struct plat_manifest *m)
{
    uint8_t source[SV_SHA256_LEN], site[SV_SHA256_LEN];
    unsigned change = 0;

    while (!change) {
        while (!take_events(watch, -1))
            ;
        for (unsigned i = 0; watch->fd >= 0 && i < SETTLE_ROUNDS && take_events(watch, SETTLE_MS);
             i++)
            ;
        look(watch, m, source, site);
        if (memcmp(source, watch->source, sizeof source) != 0)
            change |= CLN_CHANGE_SOURCE;
        if (memcmp(site, watch->site, sizeof site) != 0)
            change |= CLN_CHANGE_SITE;
    }
    memcpy(watch->source, source, sizeof source);
    memcpy(watch->site, site, sizeof site);
    return change;
}
