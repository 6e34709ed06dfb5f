/* The functions of DIR/functions. A file is read into memory and never mapped: it may be written to
 * while we have it. */
#include "serve/function.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "serve/grant.h"
#include "serve/log.h"
#include "serve/snapshot.h"

#define NS_PER_MS 1000000
#define FILE_PATH_MAX (SRV_FUNCTION_NAME_MAX + 32)
#define BROKEN_MAX 400 /* bytes of the reason that a version is broken */
/* Files of a few bytes may become snapshots of --max-module each: so many of those in all. */
#define SNAPSHOTS_MAX 4

/* ---- Files ---- */

static void file_path(const char *name, char path[FILE_PATH_MAX])
{
    snprintf(path, FILE_PATH_MAX, "functions/%s.wasm", name);
}

static void read_id(const struct stat *st, struct srv_file_id *id)
{
    memset(id, 0, sizeof *id);
    id->device = st->st_dev;
    id->inode = st->st_ino;
    id->size = (uint64_t)st->st_size;
    id->mtime_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    id->ctime_ns = (int64_t)st->st_ctim.tv_sec * 1000000000 + st->st_ctim.tv_nsec;
}

/* False: there is no such file. */
static bool look(const struct srv_functions *fs, const char *name, struct srv_file_id *id)
{
    char path[FILE_PATH_MAX];
    struct stat st;

    file_path(name, path);
    if (fstatat(fs->root, path, &st, 0) < 0 || !S_ISREG(st.st_mode))
        return false;
    read_id(&st, id);
    return true;
}

/* The whole file, as it is now. NULL with version->broken set. */
static own char *read_file(const struct srv_functions *fs, int fd, struct srv_version *version)
{
    size_t size, n = 0;
    char *bytes;

    if (version->id.size > fs->max) {
        srv_version_set_broken(version, "the file is larger than --max-module", "");
        return NULL;
    }
    size = (size_t)version->id.size;
    bytes = malloc(size + 1);
    if (!bytes) {
        srv_version_set_starved(version);
        return NULL;
    }
    while (n < size) {
        /* NOLINTNEXTLINE(clang-analyzer-unix.BlockInCriticalSection): those that wait want it */
        ssize_t got = read(fd, bytes + n, size - n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            srv_version_set_broken(version, "the file cannot be read",
                                   got < 0 ? strerror(errno) : "it became shorter");
            free(bytes);
            return NULL;
        }
        n += (size_t)got;
    }
    return bytes;
}

/* With the costs that the server says, and no others. */
static ssvm_error *make_module(const struct srv_functions *fs, const char *bytes, size_t len,
                               own ssvm_module **ret)
{
    ssvm_error *error;
    char *joined = NULL;

    if (fs->costs && fs->costs->len > 0) {
        error = ssvm_costs_append(bytes, len, (const char *)fs->costs->data, fs->costs->len,
                                  &joined, &len);
        if (!error)
            error = ssvm_module_new(fs->engine, joined, len, ret);
        ssvm_string_delete(joined);
        return error;
    }
    error = ssvm_module_new(fs->engine, bytes, len, ret);
    if (error || !ssvm_module_has_costs(*ret))
        return error;
    ssvm_module_delete(*ret);
    *ret = NULL;
    return ssvm_error_new(
        "it has a section 'ssvm.costs': what instructions cost is the server's to say");
}

/* Let instances begin where `_initialize` ended, where that is the same to everybody. */
static void use_snapshot(struct srv_functions *fs, struct srv_version *version, const char *name,
                         const char *bytes)
{
    char why[BROKEN_MAX] = "";
    ssvm_module *module = NULL;
    ssvm_error *error = NULL;
    char *snapshot;
    size_t len;

    if (!srv_snapshot_wanted(version->module))
        return;
    pthread_mutex_lock(&fs->initialising);
    srv_grant_name(name);
    snapshot = srv_snapshot_make(bytes, (size_t)version->id.size, (size_t)fs->max, &fs->limits,
                                 fs->grant, &len, why, sizeof why);
    srv_grant_name(NULL);
    if (snapshot && atomic_load(&fs->snapshot_bytes) + len > SNAPSHOTS_MAX * fs->max)
        snprintf(why, sizeof why, "the snapshots of all functions are too large");
    else if (snapshot)
        error = make_module(fs, snapshot, len, &module);
    if (module) {
        atomic_fetch_add(&fs->snapshot_bytes, len);
        version->snapshot_bytes = len;
        version->snapshots_of = &fs->snapshot_bytes;
    }
    pthread_mutex_unlock(&fs->initialising);
    ssvm_string_delete(snapshot);
    if (error)
        snprintf(why, sizeof why, "%s", ssvm_error_message(error));
    ssvm_error_delete(error);
    if (!module) {
        srv_log_event(fs->log, "function_no_snapshot", name, why);
        return;
    }
    ssvm_module_delete(version->module);
    version->module = module;
    srv_log_event(fs->log, "function_initialised", name, "its instances begin with a snapshot");
}

static void load_module(struct srv_functions *fs, struct srv_version *version, const char *name,
                        int fd)
{
    char *bytes = read_file(fs, fd, version);
    ssvm_error *error;

    if (!bytes)
        return;
    error = make_module(fs, bytes, (size_t)version->id.size, &version->module);
    if (!error)
        use_snapshot(fs, version, name, bytes);
    free(bytes);
    if (error)
        srv_version_set_refused(version, error);
    else
        srv_version_link(version, fs->engine, fs->grant, SRV_GRANT_ALL);
    ssvm_error_delete(error);
}

/* The file as it is now; perhaps a broken version. NULL: no file, or no memory. */
static own struct srv_version *read_version(struct srv_functions *fs, const char *name)
{
    char path[FILE_PATH_MAX];
    struct srv_version *version = calloc(1, sizeof *version);
    struct timespec now;
    struct stat st;
    int fd;

    if (!version)
        return NULL;
    atomic_init(&version->refs, 1);
    file_path(name, path);
    fd = openat(fs->root, path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno != EACCES) {
        free(version);
        return NULL;
    }
    if (fd < 0) {
        if (look(fs, name, &version->id))
            srv_version_set_broken(version, "the file cannot be opened", strerror(EACCES));
        return version;
    }
    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        close(fd);
        free(version);
        return NULL;
    }
    read_id(&st, &version->id);
    load_module(fs, version, name, fd);
    close(fd);
    clock_gettime(CLOCK_REALTIME, &now);
    if (version->starved)
        version->id = (struct srv_file_id){0}; /* the file is as good as new when next looked at */
    version->writing =
        version->broken && !version->starved &&
        ((int64_t)now.tv_sec * 1000000000 + now.tv_nsec - version->id.mtime_ns) / NS_PER_MS <
            SRV_FUNCTION_WRITING_MS;
    return version;
}

own struct srv_version *srv_function_load(struct srv_functions *fs, struct srv_function *f)
{
    struct srv_version *version, *old;
    struct srv_file_id id;

    pthread_mutex_lock(&f->loading);
    pthread_mutex_lock(&f->lock);
    old = f->current ? srv_version_ref(f->current) : NULL;
    pthread_mutex_unlock(&f->lock);
    if (old && look(fs, f->name, &id) && memcmp(&id, &old->id, sizeof id) == 0) {
        pthread_mutex_unlock(&f->loading);
        return old; /* another thread has just loaded it */
    }
    version = read_version(fs, f->name);
    if (version && version->broken)
        srv_log_event(fs->log,
                      version->writing || version->starved ? "function_incomplete"
                                                           : "function_broken",
                      f->name, version->broken);
    else if (version && old)
        srv_log_event(fs->log, "function_changed", f->name, "the new version is in use");
    if (version && version->module && ssvm_module_refusal(version->module))
        srv_log_event(fs->log, "function_not_native", f->name,
                      ssvm_module_refusal(version->module));
    if (version && (version->writing || version->starved) && old && !old->broken) {
        srv_version_unref(version); /* go on with the old one, and look again */
        pthread_mutex_unlock(&f->loading);
        return old;
    }
    srv_version_unref(old);
    pthread_mutex_lock(&f->lock);
    old = f->current;
    f->current = version ? srv_version_ref(version) : NULL;
    pthread_mutex_unlock(&f->lock);
    srv_version_unref(old);
    pthread_mutex_unlock(&f->loading);
    return version;
}

/* ---- The table ---- */

static uint32_t hash(const char *name, size_t len)
{
    uint32_t h = 2166136261U;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)name[i]) * 16777619U;
    return h;
}

static bool valid_name(const char *name, size_t len)
{
    if (len == 0 || len > SRV_FUNCTION_NAME_MAX || name[0] == '.')
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];

        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '-' || c == '_' || c == '.'))
            return false;
    }
    return true;
}

struct srv_function *srv_functions_at(const struct srv_functions *fs, uint32_t place)
{
    return place < SRV_FUNCTION_PLACES
               ? atomic_load_explicit(&fs->places[place], memory_order_acquire)
               : NULL;
}

/* The place of the name, or the free one where it belongs. */
static uint32_t find_place(const struct srv_functions *fs, const char *name, size_t len)
{
    uint32_t i = hash(name, len) & (SRV_FUNCTION_PLACES - 1);
    const struct srv_function *f;

    while ((f = srv_functions_at(fs, i)) &&
           (strncmp(f->name, name, len) != 0 || f->name[len] != '\0'))
        i = (i + 1) & (SRV_FUNCTION_PLACES - 1);
    return i;
}

/* The function of that name, made when it is new. NULL: the table is full, or no memory. */
static struct srv_function *add(struct srv_functions *fs, const char *name, size_t len)
{
    struct srv_function *f;
    uint32_t place;

    pthread_mutex_lock(&fs->lock);
    place = find_place(fs, name, len);
    f = srv_functions_at(fs, place);
    if (!f && place < SRV_FUNCTION_PLACES && fs->count < SRV_FUNCTIONS_MAX &&
        (f = calloc(1, sizeof *f))) {
        memcpy(f->name, name, len);
        memcpy(f->tenant, SRV_TENANT_DEFAULT, sizeof SRV_TENANT_DEFAULT);
        pthread_mutex_init(&f->lock, NULL);
        pthread_mutex_init(&f->loading, NULL);
        fs->count++;
        atomic_store_explicit(&fs->places[place], f, memory_order_release);
    }
    pthread_mutex_unlock(&fs->lock);
    return f;
}

enum srv_find srv_functions_find(struct srv_functions *fs, const char *name, size_t len,
                                 uint64_t now_ns, struct srv_function **ret,
                                 own struct srv_version **ret_version)
{
    struct srv_function *f;
    struct srv_version *version, *gone = NULL;
    struct srv_file_id id;
    bool due;

    if (!valid_name(name, len))
        return SRV_FIND_NONE;
    f = srv_functions_at(fs, find_place(fs, name, len));
    if (!f) {
        char text[SRV_FUNCTION_NAME_MAX + 1] = "";

        memcpy(text, name, len);
        if (!look(fs, text, &id) || !(f = add(fs, name, len)))
            return SRV_FIND_NONE;
    }
    *ret = f;
    pthread_mutex_lock(&f->lock);
    version = f->current ? srv_version_ref(f->current) : NULL;
    due = !version || now_ns - f->checked_ns >= (uint64_t)SRV_FUNCTION_CHECK_MS * NS_PER_MS;
    if (due)
        f->checked_ns = now_ns;
    pthread_mutex_unlock(&f->lock);
    *ret_version = version;
    if (!due)
        return SRV_FIND_OK;
    if (look(fs, f->name, &id))
        return version && memcmp(&id, &version->id, sizeof id) == 0 ? SRV_FIND_OK : SRV_FIND_LOAD;
    pthread_mutex_lock(&f->lock);
    if (f->current == version) {
        gone = version;
        f->current = NULL;
    }
    pthread_mutex_unlock(&f->lock);
    srv_version_unref(gone);
    srv_version_unref(version);
    *ret_version = NULL;
    return SRV_FIND_NONE;
}

uint32_t srv_functions_load_all(struct srv_functions *fs, uint32_t *ret_broken)
{
    int fd = openat(fs->root, "functions", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    const struct dirent *entry;
    uint32_t n = 0;

    *ret_broken = 0;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return 0;
    }
    while ((entry = readdir(dir))) {
        size_t len = strlen(entry->d_name);
        struct srv_function *f;
        struct srv_version *version;

        if (len <= 5 || strcmp(entry->d_name + len - 5, ".wasm") != 0 ||
            !valid_name(entry->d_name, len - 5))
            continue;
        f = add(fs, entry->d_name, len - 5);
        version = f ? srv_function_load(fs, f) : NULL;
        if (version) {
            n++;
            *ret_broken += version->broken != NULL;
        }
        srv_version_unref(version);
    }
    closedir(dir);
    return n;
}

bool srv_functions_init(struct srv_functions *fs, ssvm_engine *engine, int root,
                        uint64_t max_module, const ssvm_limits *limits,
                        const struct srv_grant *grant, struct srv_log *log)
{
    memset(fs, 0, sizeof *fs);
    fs->engine = engine;
    fs->root = root;
    fs->max = max_module;
    fs->limits = *limits;
    fs->grant = grant;
    fs->log = log;
    return pthread_mutex_init(&fs->lock, NULL) == 0 &&
           pthread_mutex_init(&fs->initialising, NULL) == 0;
}

void srv_functions_release(struct srv_functions *fs)
{
    for (uint32_t i = 0; i < SRV_FUNCTION_PLACES; i++) {
        struct srv_function *f = srv_functions_at(fs, i);

        if (!f)
            continue;
        srv_version_unref(f->current);
        pthread_mutex_destroy(&f->lock);
        pthread_mutex_destroy(&f->loading);
        free(f);
    }
    pthread_mutex_destroy(&fs->initialising);
    pthread_mutex_destroy(&fs->lock);
}
