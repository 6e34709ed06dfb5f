/* The data folder and the cache of native code, before there are other processes. */
#include "serve/data.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/folder.h"

#define LOCK_TRIES 50 /* the processes of a server that was killed may need a moment to end */

static bool fail(const char *what, const char *path)
{
    fprintf(stderr,
            "ssvm-serve: %s '%s': %s (--data DIR names another folder, --data none does "
            "without)\n",
            what, path, strerror(errno));
    return false;
}

/* A folder for the server's user alone; it may be there. */
static bool make_folder(const char *path, const struct srv_user *user)
{
    struct stat st;

    if (mkdir(path, 0700) == 0)
        return !user->given || chown(path, user->uid, user->gid) == 0;
    if (errno != EEXIST || stat(path, &st) < 0)
        return false;
    if (!S_ISDIR(st.st_mode))
        errno = ENOTDIR;
    else if (st.st_mode & S_IWOTH)
        errno = EPERM; /* anybody could put code there that we run */
    return S_ISDIR(st.st_mode) && !(st.st_mode & S_IWOTH);
}

/* For as long as this process lives, whatever program it becomes. */
static bool lock_folder(struct srv_server *server, const struct srv_user *user, const char *path)
{
    static const struct timespec pause = {.tv_nsec = 10000000};
    char name[PATH_MAX + 8], pid[24] = "";
    int fd, tries = 0;

    snprintf(name, sizeof name, "%s/lock", path);
    fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return fail("cannot write into the data folder", path);
    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK || tries++ == LOCK_TRIES) {
            (void)!read(fd, pid, sizeof pid - 1);
            fprintf(stderr, "ssvm-serve: another server (process %s) uses the data folder '%s'\n",
                    pid[0] ? pid : "?", path);
            close(fd);
            return false;
        }
        nanosleep(&pause, NULL);
    }
    snprintf(pid, sizeof pid, "%d", (int)getpid());
    if ((user->given && fchown(fd, user->uid, user->gid) < 0) || ftruncate(fd, 0) < 0 ||
        pwrite(fd, pid, strlen(pid), 0) < 0) {
        close(fd);
        return fail("cannot write into the data folder", path);
    }
    server->data_lock = fd;
    return true;
}

static bool open_data(struct srv_server *server, const struct srv_user *user)
{
    static const char *const parts[] = {"blobs", "sites", "cache", "log", "rings"};
    const char *setting = server->config.data;
    char path[PATH_MAX];
    bool ok;
    int n;

    if (strcmp(setting, "default") == 0)
        n = snprintf(path, sizeof path, "%s/.ssvm", server->config.dir);
    else
        n = snprintf(path, sizeof path, "%s", setting);
    if (n < 0 || (size_t)n >= sizeof path - 16) {
        errno = ENAMETOOLONG;
        return fail("cannot make the data folder", setting);
    }
    if (!make_folder(path, user) || !realpath(path, server->data))
        return fail("cannot make the data folder", path);
    server->config.data = server->data;
    if (server->data_lock < 0 && !lock_folder(server, user, server->data))
        return false;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        snprintf(path, sizeof path, "%.*s/%s", PATH_MAX - 16, server->data, parts[i]);
        ok = make_folder(path, user);
        if (!ok)
            return fail("cannot make the folder", path);
    }
    return true;
}

/* The folder of native code as the setting says; false: none. */
static bool find_cache(const struct srv_server *server, char *ret, size_t size)
{
    const char *setting = server->config.cache_dir;
    int n = -1;

    if (strcmp(setting, "none") == 0)
        return false;
    if (strcmp(setting, "default") != 0)
        n = snprintf(ret, size, "%s", setting);
    else if (server->data[0])
        n = snprintf(ret, size, "%s/cache", server->data);
    else
        return sv_folder_of_user(SV_FOLDER_CACHE, "ssvm", ret, size);
    return n > 0 && (size_t)n < size;
}

/* Workers cannot make it. Without it all goes on, uncached. */
static void open_cache(struct srv_server *server, const struct srv_user *user)
{
    char *path = server->cache;

    if (!find_cache(server, path, sizeof server->cache)) {
        server->config.cache_dir = "none";
        return;
    }
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)mkdir(path, 0700);
        *slash = '/';
    }
    (void)make_folder(path, user);
    server->config.cache_dir = path;
}

bool srv_data_open(struct srv_server *server, const struct srv_user *user, bool has_control)
{
    struct srv_config *config = &server->config;
    bool wanted = strcmp(config->data, "none") != 0;

    if (wanted && !has_control) {
        fprintf(stderr, "ssvm-serve: the program ssvm-control is not there: %s\n",
                strcmp(config->data, "default") == 0 ? "the server runs without a data folder"
                                                     : "--data needs it");
        if (strcmp(config->data, "default") != 0)
            return false;
        wanted = false;
    }
    if (wanted && !open_data(server, user))
        return false;
    if (!wanted)
        config->data = "none";
    open_cache(server, user);
    return true;
}
