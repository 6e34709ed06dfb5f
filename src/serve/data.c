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

/* Could what is there be such a folder? */
static bool is_fit(const char *path)
{
    struct stat st;

    if (stat(path, &st) < 0)
        return false;
    if (!S_ISDIR(st.st_mode))
        errno = ENOTDIR;
    else if (st.st_mode & S_IWOTH)
        errno = EPERM; /* anybody could put code there that we run */
    return S_ISDIR(st.st_mode) && !(st.st_mode & S_IWOTH);
}

/* A folder for the server's user alone; it may be there. */
static bool make_folder(const char *path, const struct srv_user *user)
{
    if (mkdir(path, 0700) == 0)
        return !user->given || chown(path, user->uid, user->gid) == 0;
    return errno == EEXIST && is_fit(path);
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

/* As the setting says. */
static bool find_data(const struct srv_config *config, char ret[PATH_MAX])
{
    const char *setting = config->data;
    int n;

    if (strcmp(setting, "default") == 0)
        n = snprintf(ret, PATH_MAX, "%s/.ssvm", config->dir);
    else
        n = snprintf(ret, PATH_MAX, "%s", setting);
    if (n >= 0 && n < PATH_MAX - 16)
        return true;
    errno = ENAMETOOLONG;
    return fail("cannot make the data folder", setting);
}

static bool open_data(struct srv_server *server, const struct srv_user *user)
{
    static const char *const parts[] = {"blobs", "sites", "cache", "log", "rings"};
    char path[PATH_MAX];
    bool ok;

    if (!find_data(&server->config, path))
        return false;
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

/* Is a data folder to be? False in *ret_ok, with a message: it is, and cannot. */
static bool is_wanted(const struct srv_config *config, bool has_control, bool *ret_ok)
{
    bool said = strcmp(config->data, "default") != 0;

    *ret_ok = true;
    if (strcmp(config->data, "none") == 0)
        return false;
    if (has_control)
        return true;
    fprintf(stderr, "ssvm-serve: the program ssvm-control is not there: %s\n",
            said ? "--data needs it" : "the server runs without a data folder");
    *ret_ok = !said;
    return false;
}

bool srv_data_open(struct srv_server *server, const struct srv_user *user, bool has_control)
{
    bool ok, wanted = is_wanted(&server->config, has_control, &ok);

    if (!ok || (wanted && !open_data(server, user)))
        return false;
    if (!wanted)
        server->config.data = "none";
    open_cache(server, user);
    return true;
}

/* ---- Looking only ---- */

/* The folder that `path` is to be made in. */
static void find_parent(const char *path, char ret[PATH_MAX])
{
    size_t n = strlen(path);

    while (n > 1 && path[n - 1] == '/')
        n--;
    while (n > 0 && path[n - 1] != '/')
        n--;
    snprintf(ret, PATH_MAX, "%.*s", n > 0 ? (int)n : 1, n > 0 ? path : ".");
}

bool srv_data_try(const struct srv_config *config, bool has_control)
{
    char path[PATH_MAX], parent[PATH_MAX];
    bool ok, wanted = is_wanted(config, has_control, &ok);

    if (!wanted)
        return ok;
    if (!find_data(config, path))
        return false;
    if (is_fit(path))
        return true;
    find_parent(path, parent);
    if (errno == ENOENT && access(parent, W_OK | X_OK) == 0)
        return true;
    return fail("cannot make the data folder", path);
}

bool srv_data_try_user(const struct srv_config *config)
{
    char path[PATH_MAX];

    if (strcmp(config->data, "none") == 0 || !find_data(config, path) ||
        access(path, R_OK | W_OK | X_OK) == 0 || errno == ENOENT)
        return true;
    return fail("cannot write into the data folder", path);
}
