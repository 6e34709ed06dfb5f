/* The cache of native images: its folder, its key, its entries. The index is in cache_index.c.
 * Nothing here believes a name: every file is opened without following links and judged by
 * fstat. */
#include "runtime/cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/str.h"
#include "base/write.h"
#include "runtime/cache_index.h"

#define OPEN_FLAGS (O_CLOEXEC | O_NOFOLLOW | O_NOCTTY | O_NONBLOCK)
#define NAME_LEN (2 * SV_SHA256_LEN)
#define TEMP_PREFIX "tmp."
#define TEMP_OLD_S 3600 /* a temporary file of a writer that was killed */
#define TOUCH_S 3600    /* the use of an entry is noted once in this time */
#define ENTRIES_MAX 1000000

struct sv_cache {
    char *path;
    uint64_t max_bytes;
    uid_t user;
    pthread_mutex_t lock; /* of what follows */
    int dir;              /* -1: not there yet */
    int index;            /* -1: not opened */
    bool has_key;
    uint8_t key[SV_IMAGE_KEY_LEN];
};

static int io_fail(struct sv_err *err, const char *what, int error)
{
    char text[128];

    return sv_fail(err, error == ENOMEM ? SV_ENOMEM : SV_EIO, SV_NO_OFFSET, "native cache: %s: %s",
                   what, strerror_r(error, text, sizeof text));
}

static int refuse(struct sv_err *err, const char *what)
{
    return sv_fail(err, SV_EIO, SV_NO_OFFSET, "native cache: %s", what);
}

/* ---- The folder ---- */

bool sv_cache_file_private(const struct stat *st, uid_t user)
{
    /* An access list that lets others write shows here too: as a mask in the place of the group. */
    return (st->st_uid == user || st->st_uid == 0) && (st->st_mode & (S_IWGRP | S_IWOTH)) == 0;
}

bool sv_cache_file_look(int fd, struct sv_cache_file *ret)
{
    struct sv_cache_file file = {.fd = fd, .seen_ns = sv_clock_wall_ns()};

    if (fstat(fd, &file.stat) < 0)
        return false;
    *ret = file;
    return true;
}

static int judge_folder(struct sv_err *err, int dir, uid_t user)
{
    struct stat st;

    if (fstat(dir, &st) < 0)
        return io_fail(err, "cannot look at the folder", errno);
    if (st.st_uid != user)
        return refuse(err, "the folder belongs to another user");
    if (!sv_cache_file_private(&st, user))
        return refuse(err, "others may write to the folder");
    /* Who may rename the folder could put another of this user's in its place. */
    if (fstatat(dir, "..", &st, 0) < 0)
        return io_fail(err, "cannot look above the folder", errno);
    if ((st.st_uid != user && st.st_uid != 0) ||
        ((st.st_mode & S_IWOTH) && !(st.st_mode & S_ISVTX)))
        return refuse(err, "others may rename the folder");
    return 0;
}

/* *ret_dir -1: there is none. */
static int open_folder(struct sv_err *err, const char *path, uid_t user, int *ret_dir)
{
    int dir = open(path, O_RDONLY | O_DIRECTORY | OPEN_FLAGS);
    int r;

    if (dir < 0) {
        if (errno != ENOENT)
            return errno == ELOOP || errno == ENOTDIR
                       ? refuse(err, "not a folder, or a link to one")
                       : io_fail(err, "cannot open the folder", errno);
        *ret_dir = -1;
        return 0;
    }
    r = judge_folder(err, dir, user);
    if (r < 0) {
        close(dir);
        return r;
    }
    *ret_dir = dir;
    return 0;
}

/* The folder and those above it that are missing. */
static int make_folder(struct sv_err *err, const char *path)
{
    char *part = sv_strdup(path);
    int r = 0;

    if (!part)
        return sv_fail_nomem(err, "the path of the native cache");
    for (char *slash = strchr(part + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        (void)!mkdir(part, 0700); /* the last one tells */
        *slash = '/';
    }
    if (mkdir(part, 0700) < 0 && errno != EEXIST)
        r = io_fail(err, "cannot make the folder", errno);
    sv_free(part);
    return r;
}

/* Under the lock. What was known of the old folder is forgotten. */
static int remake_folder(struct sv_err *err, struct sv_cache *c)
{
    int dir = -1;
    int r = make_folder(err, c->path);

    if (r == 0)
        r = open_folder(err, c->path, c->user, &dir);
    if (r < 0)
        return r;
    if (dir < 0)
        return refuse(err, "the folder is removed again and again");
    c->has_key = false;
    if (c->index >= 0)
        close(c->index);
    c->index = -1;
    if (c->dir < 0) {
        c->dir = dir;
        return 0;
    }
    /* The number stays: other threads use it without the lock. */
    r = dup3(dir, c->dir, O_CLOEXEC) < 0 ? io_fail(err, "cannot open the folder", errno) : 0;
    close(dir);
    return r;
}

/* The folder to write to; it may have been removed while we run. */
static int need_folder(struct sv_err *err, struct sv_cache *c)
{
    struct stat st;
    int r = 0;

    pthread_mutex_lock(&c->lock);
    if (c->dir < 0 || fstat(c->dir, &st) < 0 || st.st_nlink == 0)
        r = remake_folder(err, c);
    pthread_mutex_unlock(&c->lock);
    return r;
}

/* The folder to read from, -1: none. */
static int folder(struct sv_cache *c)
{
    int dir;

    pthread_mutex_lock(&c->lock);
    dir = c->dir;
    pthread_mutex_unlock(&c->lock);
    return dir;
}

int sv_cache_open(struct sv_err *err, const char *path, uint64_t max_bytes,
                  own struct sv_cache **ret)
{
    size_t len = strlen(path);
    struct sv_cache *c;
    int r;

    while (len > 1 && path[len - 1] == '/') /* a link would be followed */
        len--;
    if (len == 0)
        return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "native cache: no folder named");
    c = sv_alloc_zero(sizeof *c);
    if (!c)
        return sv_fail_nomem(err, "the native cache");
    c->dir = c->index = -1;
    c->max_bytes = max_bytes ? max_bytes : SV_CACHE_DEFAULT_BYTES;
    pthread_mutex_init(&c->lock, NULL);
    c->user = geteuid();
    c->path = sv_strndup(path, len);
    r = c->path ? open_folder(err, c->path, c->user, &c->dir)
                : sv_fail_nomem(err, "the native cache");
    if (r < 0)
        goto fail;
    *ret = c;
    return 0;
fail:
    sv_cache_close(c);
    return r;
}

void sv_cache_close(struct sv_cache *c)
{
    if (!c)
        return;
    if (c->dir >= 0)
        close(c->dir);
    if (c->index >= 0)
        close(c->index);
    explicit_bzero(c->key, sizeof c->key);
    pthread_mutex_destroy(&c->lock);
    sv_free(c->path);
    sv_free(c);
}

/* ---- Writing a file, whole or not at all ---- */

struct temp {
    int fd;
    char name[sizeof TEMP_PREFIX + 16];
};

static int open_temp(struct sv_err *err, int dir, struct temp *ret)
{
    uint64_t random;

    ret->fd = -1;
    for (int tries = 0; tries < 8; tries++) {
        if (getrandom(&random, sizeof random, 0) != sizeof random)
            return io_fail(err, "no random bytes", errno);
        snprintf(ret->name, sizeof ret->name, TEMP_PREFIX "%016" PRIx64, random);
        ret->fd = openat(dir, ret->name, O_WRONLY | O_CREAT | O_EXCL | OPEN_FLAGS, 0600);
        if (ret->fd >= 0)
            return 0;
        if (errno != EEXIST)
            break;
    }
    return io_fail(err, "cannot make a file", errno);
}

static int write_all(struct sv_err *err, int fd, const struct iovec *iov, int count)
{
    for (int i = 0; i < count; i++) {
        if (sv_write_all(fd, iov[i].iov_base, iov[i].iov_len) < iov[i].iov_len)
            return io_fail(err, "cannot write", errno);
    }
    return 0;
}

static bool iov_sum(const struct iovec *iov, int count, size_t *ret)
{
    size_t sum = 0;

    for (int i = 0; i < count; i++) {
        if (!sv_add_size(sum, iov[i].iov_len, &sum))
            return false;
    }
    *ret = sum;
    return true;
}

/* Make and fill a temporary file whose bytes are on the disk before it gets its name. On failure
 * nothing is left. */
static int write_temp(struct sv_err *err, int dir, const struct iovec *iov, int count,
                      struct temp *ret)
{
    size_t len;
    int r;

    if (!iov_sum(iov, count, &len) || !sv_index_may_write(len))
        return io_fail(err, "cannot write", EFBIG);
    r = open_temp(err, dir, ret);
    if (ret->fd < 0)
        return r;
    r = write_all(err, ret->fd, iov, count);
    if (r == 0 && fdatasync(ret->fd) < 0)
        r = io_fail(err, "cannot write", errno);
    if (close(ret->fd) < 0 && r == 0) /* some file systems say only here that they are full */
        r = io_fail(err, "cannot write", errno);
    if (r < 0)
        unlinkat(dir, ret->name, 0);
    return r;
}

/* ---- The key ---- */

static int read_key(struct sv_err *err, int fd, uid_t user, uint8_t ret[SV_IMAGE_KEY_LEN])
{
    struct stat st;
    uint8_t key[SV_IMAGE_KEY_LEN];

    if (fstat(fd, &st) < 0)
        return io_fail(err, "cannot look at the key", errno);
    if (!S_ISREG(st.st_mode) || st.st_uid != user || (st.st_mode & 077) != 0)
        return refuse(err, "others may read or write the file 'key': remove it");
    if (st.st_size != sizeof key || pread(fd, key, sizeof key, 0) != sizeof key)
        return refuse(err, "the file 'key' is damaged: remove it");
    memcpy(ret, key, sizeof key);
    explicit_bzero(key, sizeof key);
    return 0;
}

/* linkat fails when another process was first: all agree on the first key. */
static int make_key(struct sv_err *err, int dir)
{
    uint8_t key[SV_IMAGE_KEY_LEN];
    struct iovec iov = {key, sizeof key};
    struct temp temp;
    int r;

    if (getrandom(key, sizeof key, 0) != sizeof key)
        return io_fail(err, "no random bytes", errno);
    r = write_temp(err, dir, &iov, 1, &temp);
    explicit_bzero(key, sizeof key);
    if (r < 0)
        return r;
    if (linkat(dir, temp.name, dir, "key", 0) < 0 && errno != EEXIST)
        r = io_fail(err, "cannot make the file 'key'", errno);
    unlinkat(dir, temp.name, 0);
    return r;
}

static int load_key(struct sv_err *err, int dir, uid_t user, uint8_t ret[SV_IMAGE_KEY_LEN])
{
    int fd = openat(dir, "key", O_RDONLY | OPEN_FLAGS);
    int r;

    if (fd < 0 && errno == ENOENT) {
        r = make_key(err, dir);
        if (r < 0)
            return r;
        fd = openat(dir, "key", O_RDONLY | OPEN_FLAGS);
    }
    if (fd < 0)
        return io_fail(err, "cannot open the file 'key'", errno);
    r = read_key(err, fd, user, ret);
    close(fd);
    return r;
}

int sv_cache_key(struct sv_err *err, struct sv_cache *c, uint8_t ret[SV_IMAGE_KEY_LEN])
{
    int r = need_folder(err, c);

    if (r < 0)
        return r;
    pthread_mutex_lock(&c->lock);
    if (!c->has_key) {
        r = load_key(err, c->dir, c->user, c->key);
        c->has_key = r == 0;
    }
    if (c->has_key)
        memcpy(ret, c->key, sizeof c->key);
    pthread_mutex_unlock(&c->lock);
    return r;
}

/* ---- The index ---- */

/* Under the lock. */
static bool need_index(struct sv_cache *c, bool make)
{
    if (c->index < 0 && c->dir >= 0)
        c->index = sv_index_open(c->dir, c->user, make);
    return c->index >= 0;
}

static bool index_find(struct sv_cache *c, enum sv_index_kind kind,
                       const struct sv_cache_file *file, uint64_t len, uint8_t ret[SV_SHA256_LEN])
{
    bool found;

    pthread_mutex_lock(&c->lock);
    found = need_index(c, false) && sv_index_find(c->index, kind, file, len, ret);
    pthread_mutex_unlock(&c->lock);
    return found;
}

static void index_put(struct sv_cache *c, enum sv_index_kind kind, const struct sv_cache_file *file,
                      uint64_t len, const uint8_t digest[SV_SHA256_LEN])
{
    pthread_mutex_lock(&c->lock);
    if (need_index(c, true))
        sv_index_put(c->index, kind, file, len, digest);
    pthread_mutex_unlock(&c->lock);
}

static bool is_indexed(const struct sv_cache *c, const struct sv_cache_file *file)
{
    return c && file && S_ISREG(file->stat.st_mode) && sv_cache_file_private(&file->stat, c->user);
}

bool sv_cache_digest(struct sv_cache *c, const struct sv_cache_file *file, const void *bytes,
                     size_t len, uint8_t ret[SV_SHA256_LEN])
{
    bool indexed = is_indexed(c, file);

    /* The bytes have to be of the state that was looked at: hence the second look. */
    if (indexed && index_find(c, SV_INDEX_WASM, file, len, ret) && sv_index_same(file))
        return true;
    sv_sha256(bytes, len, ret);
    if (indexed) /* if they are of a later state, the one that they are put down to is gone */
        index_put(c, SV_INDEX_WASM, file, len, ret);
    return false;
}

/* A record's 32 bytes: what is used, and a part of the engine's build id. */
#define VALID_ID_LEN (SV_SHA256_LEN - sizeof(uint64_t))

bool sv_cache_find_valid(struct sv_cache *c, const struct sv_cache_file *file, size_t len,
                         const uint8_t engine[SV_SHA256_LEN], uint64_t *ret_used)
{
    uint8_t found[SV_SHA256_LEN];

    if (!is_indexed(c, file) || !index_find(c, SV_INDEX_VALID, file, len, found) ||
        !sv_index_same(file) || memcmp(found + sizeof *ret_used, engine, VALID_ID_LEN) != 0)
        return false;
    memcpy(ret_used, found, sizeof *ret_used);
    return true;
}

void sv_cache_put_valid(struct sv_cache *c, const struct sv_cache_file *file, size_t len,
                        const uint8_t engine[SV_SHA256_LEN], uint64_t used)
{
    uint8_t record[SV_SHA256_LEN];

    memcpy(record, &used, sizeof used);
    memcpy(record + sizeof used, engine, VALID_ID_LEN);
    if (is_indexed(c, file))
        index_put(c, SV_INDEX_VALID, file, len, record);
}

/* With the key, so that a new key makes all forgotten. */
static void seal_of(const uint8_t mac[SV_SHA256_LEN], const uint8_t key[SV_IMAGE_KEY_LEN],
                    uint8_t ret[SV_SHA256_LEN])
{
    struct sv_hmac m;

    sv_hmac_init(&m, key, SV_IMAGE_KEY_LEN);
    sv_hmac_add(&m, mac, SV_SHA256_LEN);
    sv_hmac_end(&m, ret);
}

bool sv_cache_find_sealed(struct sv_cache *c, const struct sv_cache_file *file, uint64_t at,
                          const uint8_t mac[SV_SHA256_LEN], const uint8_t key[SV_IMAGE_KEY_LEN])
{
    uint8_t want[SV_SHA256_LEN], found[SV_SHA256_LEN];

    if (!is_indexed(c, file) || !index_find(c, SV_INDEX_SECTION, file, at, found) ||
        !sv_index_same(file))
        return false;
    seal_of(mac, key, want);
    return sv_secret_eq(found, want, sizeof want);
}

void sv_cache_put_sealed(struct sv_cache *c, const struct sv_cache_file *file, uint64_t at,
                         const uint8_t mac[SV_SHA256_LEN], const uint8_t key[SV_IMAGE_KEY_LEN])
{
    uint8_t record[SV_SHA256_LEN];

    seal_of(mac, key, record);
    if (is_indexed(c, file))
        index_put(c, SV_INDEX_SECTION, file, at, record);
}

bool sv_cache_remembers(struct sv_cache *c, const struct sv_cache_file *file)
{
    return is_indexed(c, file) && sv_index_takes(file);
}

/* ---- Entries ---- */

struct sv_cache_name sv_cache_name_of(const struct sv_image_id *id, const void *options, size_t len)
{
    struct sv_cache_name name;
    struct sv_sha256 s;

    sv_sha256_init(&s);
    sv_sha256_add(&s, id, sizeof *id);
    sv_sha256_add(&s, options, len);
    sv_sha256_end(&s, name.digest);
    return name;
}

static void file_name(const struct sv_cache_name *name, char ret[NAME_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < SV_SHA256_LEN; i++) {
        ret[2 * i] = digits[name->digest[i] >> 4];
        ret[2 * i + 1] = digits[name->digest[i] & 15];
    }
    ret[NAME_LEN] = '\0';
}

static int judge_entry(struct sv_err *err, const struct stat *st, uid_t user)
{
    if (!S_ISREG(st->st_mode))
        return refuse(err, "an entry is not a file");
    if (st->st_uid != user)
        return refuse(err, "an entry belongs to another user");
    if (!sv_cache_file_private(st, user))
        return refuse(err, "others may write to an entry");
    if (st->st_nlink > 1)
        return refuse(err, "an entry has more than one name");
    return 0;
}

/* The last use is kept in the modification time: that of access is switched off on many systems. */
static void touch(const struct sv_cache_file *file)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {.tv_nsec = UTIME_NOW}};
    uint64_t used_s = (uint64_t)file->stat.st_mtim.tv_sec;
    uint64_t now_s = file->seen_ns / 1000000000;

    if (used_s + TOUCH_S <= now_s || used_s > now_s + TOUCH_S)
        (void)!futimens(file->fd, times);
}

int sv_cache_find(struct sv_err *err, struct sv_cache *c, const struct sv_cache_name *name,
                  struct sv_cache_entry *ret)
{
    struct sv_cache_entry entry = {.file.fd = -1};
    uint8_t marked[SV_SHA256_LEN];
    char text[NAME_LEN + 1];
    int dir = folder(c);
    int r, fd;

    *ret = entry;
    if (dir < 0)
        return 0;
    file_name(name, text);
    fd = openat(dir, text, O_RDONLY | OPEN_FLAGS);
    if (fd < 0) {
        if (errno == ENOENT)
            return 0;
        return errno == ELOOP ? refuse(err, "an entry is a link")
                              : io_fail(err, "cannot open an entry", errno);
    }
    if (!sv_cache_file_look(fd, &entry.file)) {
        r = io_fail(err, "cannot look at an entry", errno);
        goto fail;
    }
    r = judge_entry(err, &entry.file.stat, c->user);
    if (r < 0)
        goto fail;
    entry.len = (uint64_t)entry.file.stat.st_size;
    entry.verified = index_find(c, SV_INDEX_IMAGE, &entry.file, entry.len, marked) &&
                     memcmp(marked, name->digest, sizeof marked) == 0;
    touch(&entry.file);
    *ret = entry;
    return 0;
fail:
    close(fd);
    return r;
}

void sv_cache_mark(struct sv_cache *c, const struct sv_cache_name *name,
                   const struct sv_cache_entry *entry)
{
    index_put(c, SV_INDEX_IMAGE, &entry->file, entry->len, name->digest);
}

void sv_cache_remove(struct sv_cache *c, const struct sv_cache_name *name)
{
    char text[NAME_LEN + 1];
    int dir = folder(c);

    file_name(name, text);
    if (dir >= 0)
        unlinkat(dir, text, 0);
}

/* ---- Room ---- */

struct used {
    char name[NAME_LEN + 1];
    int64_t mtime_s;
    long mtime_ns;
    uint64_t bytes;
};
struct used_list {
    SV_VEC(struct used) all;
    uint64_t bytes;
};

static int older_first(const void *a, const void *b)
{
    const struct used *x = a, *y = b;

    if (x->mtime_s != y->mtime_s)
        return x->mtime_s < y->mtime_s ? -1 : 1;
    return (x->mtime_ns > y->mtime_ns) - (x->mtime_ns < y->mtime_ns);
}

static bool is_entry_name(const char *name)
{
    return strlen(name) == NAME_LEN && strspn(name, "0123456789abcdef") == NAME_LEN;
}

/* Foreign names are left alone. */
static void look_at_file(int dir, const char *name, int64_t now_s, struct used_list *list)
{
    bool temporary = strncmp(name, TEMP_PREFIX, sizeof TEMP_PREFIX - 1) == 0;
    struct used used;
    struct stat st;

    if ((!temporary && !is_entry_name(name)) || fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (temporary) {
        if (st.st_mtim.tv_sec + TEMP_OLD_S < now_s)
            unlinkat(dir, name, 0);
        return;
    }
    used.mtime_s = st.st_mtim.tv_sec;
    used.mtime_ns = st.st_mtim.tv_nsec;
    used.bytes = (uint64_t)st.st_size;
    memcpy(used.name, name, sizeof used.name);
    list->bytes += used.bytes;
    (void)SV_VEC_PUSH(&list->all, ENTRIES_MAX, used);
}

/* Remove what was used least recently while there are more than max_bytes; never `keep`. Others may
 * do the same at the same time: a file that is gone is no surprise. */
static void evict(struct sv_cache *c, int dir, const char *keep)
{
    struct used_list list = {0};
    int64_t now_s = (int64_t)(sv_clock_wall_ns() / 1000000000);
    int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | OPEN_FLAGS);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;

    if (!d) {
        if (fd >= 0)
            close(fd);
        return;
    }
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        look_at_file(dir, e->d_name, now_s, &list);
    closedir(d);
    if (list.all.len)
        qsort(list.all.data, list.all.len, sizeof *list.all.data, older_first);
    for (size_t i = 0; i < list.all.len && list.bytes > c->max_bytes; i++) {
        const struct used *used = &list.all.data[i];

        if (strcmp(used->name, keep) == 0)
            continue;
        unlinkat(dir, used->name, 0);
        list.bytes -= used->bytes;
    }
    sv_free(list.all.data);
}

int sv_cache_store(struct sv_err *err, struct sv_cache *c, const struct sv_cache_name *name,
                   const struct iovec *iov, int count)
{
    char text[NAME_LEN + 1];
    struct temp temp;
    size_t len;
    int dir, r;

    if (!iov_sum(iov, count, &len) || len > c->max_bytes)
        return refuse(err, "the image is larger than the cache may be");
    r = need_folder(err, c);
    if (r < 0)
        return r;
    dir = folder(c);
    r = write_temp(err, dir, iov, count, &temp);
    if (r < 0)
        return r;
    file_name(name, text);
    if (renameat(dir, temp.name, dir, text) < 0) {
        r = io_fail(err, "cannot put an image in its place", errno);
        unlinkat(dir, temp.name, 0);
        return r;
    }
    evict(c, dir, text);
    return 0;
}

int sv_cache_lock(struct sv_err *err, struct sv_cache *c, const struct sv_cache_name *name,
                  bool wait, int *ret_lock)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = 1};
    int command = wait ? F_OFD_SETLKW : F_OFD_SETLK;
    uint64_t at;
    int r = need_folder(err, c);
    int fd;

    if (r < 0)
        return r;
    /* One file for all names, which nobody has to remove: a byte each, far beyond its end. */
    fd = openat(folder(c), "lock", O_RDWR | O_CREAT | OPEN_FLAGS, 0600);
    if (fd < 0)
        return io_fail(err, "cannot open the file 'lock'", errno);
    memcpy(&at, name->digest, sizeof at);
    lock.l_start = (off_t)(at >> 2);
    do
        r = fcntl(fd, command, &lock);
    while (r < 0 && errno == EINTR);
    if (r == 0) {
        *ret_lock = fd;
        return 0;
    }
    r = errno == EAGAIN || errno == EACCES ? 0 : io_fail(err, "cannot lock", errno);
    close(fd);
    if (r == 0)
        *ret_lock = -1;
    return r;
}
