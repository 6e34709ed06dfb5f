/* Modules by their digest, in files. Judges none. */
#include "control/blob.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/sha256.h"
#include "base/write.h"
#include "control/site.h"

#define FOLDER "blobs"
#define NAME_SIZE (sizeof FOLDER + CTL_HEX_LEN + 8)

void ctl_hex(const uint8_t digest[PLAT_DIGEST_BYTES], char ret[CTL_HEX_LEN + 1])
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < PLAT_DIGEST_BYTES; i++) {
        ret[2 * i] = digits[digest[i] >> 4];
        ret[2 * i + 1] = digits[digest[i] & 15];
    }
    ret[CTL_HEX_LEN] = '\0';
}

bool ctl_unhex(struct sv_str hex, uint8_t ret[PLAT_DIGEST_BYTES])
{
    if (hex.len != CTL_HEX_LEN)
        return false;
    memset(ret, 0, PLAT_DIGEST_BYTES);
    for (size_t i = 0; i < CTL_HEX_LEN; i++) {
        char c = hex.ptr[i];
        int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;

        if (digit < 0)
            return false;
        ret[i / 2] = (uint8_t)(ret[i / 2] << 4 | digit);
    }
    return true;
}

static void blob_name(const uint8_t digest[PLAT_DIGEST_BYTES], char ret[NAME_SIZE])
{
    char hex[CTL_HEX_LEN + 1];

    ctl_hex(digest, hex);
    snprintf(ret, NAME_SIZE, FOLDER "/%s.wasm", hex);
}

int ctl_blob_init(struct ctl_server *server, struct sv_err *err)
{
    static const char *const folders[] = {FOLDER, FOLDER "/empty", "cache"};

    for (size_t i = 0; i < SV_COUNT(folders); i++) {
        if (mkdirat(server->data_fd, folders[i], 0700) < 0 && errno != EEXIST)
            return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot make the folder '%s/%s': %s",
                           server->data, folders[i], strerror(errno));
    }
    return 0;
}

/* Is it there, with these bytes? Names are not enough: the disk may have lost some. */
static bool is_whole(struct ctl_server *server, const char *name, const void *bytes, size_t len)
{
    int fd = openat(server->data_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    void *map = MAP_FAILED;
    struct stat st;
    bool same;

    if (fd < 0)
        return false;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (uint64_t)st.st_size == len && len > 0)
        map = mmap(NULL, len, PROT_READ, MAP_PRIVATE, fd, 0);
    same = map != MAP_FAILED && memcmp(map, bytes, len) == 0;
    if (map != MAP_FAILED)
        munmap(map, len);
    if (same) /* it is of use: the collector must not take it now */
        futimens(fd, NULL);
    close(fd);
    return same;
}

static bool sync_folder(struct ctl_server *server)
{
    int fd = openat(server->data_fd, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool ok = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return ok;
}

int ctl_blob_write(struct ctl_server *server, struct sv_err *err, const void *bytes, size_t len,
                   uint8_t ret[PLAT_DIGEST_BYTES])
{
    static _Atomic unsigned counter;
    char name[NAME_SIZE], temporary[64];
    bool ok;
    int fd;

    sv_sha256(bytes, len, ret);
    blob_name(ret, name);
    if (is_whole(server, name, bytes, len))
        return 0;
    snprintf(temporary, sizeof temporary, FOLDER "/tmp.%ld.%u", (long)getpid(), counter++);
    fd = openat(server->data_fd, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                0600);
    if (fd < 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot write a module: %s", strerror(errno));
    ok = sv_write_all(fd, bytes, len) == len && fsync(fd) == 0;
    close(fd);
    ok = ok && renameat(server->data_fd, temporary, server->data_fd, name) == 0 &&
         sync_folder(server);
    if (ok)
        return 0;
    sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot write a module: %s", strerror(errno));
    unlinkat(server->data_fd, temporary, 0);
    return SV_EIO;
}

/* ---- The database's copy ---- */

struct copy {
    const char *hex;
    struct sv_buf bytes;
};

static int read_copy(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct copy *copy = data;
    struct sv_str bytes;
    int r = ctl_sql_run(sql, err, "select bytes from blobs where digest = $1",
                        CTL_PARAMS(CTL_TEXT(copy->hex)));

    sv_buf_clear(&copy->bytes);
    if (r < 0 || (r = ctl_sql_next(sql, err)) <= 0)
        return r;
    bytes = ctl_sql_str(sql, 0);
    return sv_buf_append(&copy->bytes, bytes.ptr, bytes.len) ? 0 : sv_fail_nomem(err, "a module");
}

static void fetch(struct ctl_server *server, const uint8_t digest[PLAT_DIGEST_BYTES])
{
    char hex[CTL_HEX_LEN + 1];
    struct copy copy = {.hex = hex};
    uint8_t found[PLAT_DIGEST_BYTES];
    struct sv_err err = {0};

    ctl_hex(digest, hex);
    sv_buf_init(&copy.bytes, SIZE_MAX / 2);
    if (ctl_db_read(server->db, &err, read_copy, &copy) == 0 && copy.bytes.len > 0) {
        sv_sha256(copy.bytes.data, copy.bytes.len, found);
        if (memcmp(found, digest, sizeof found) == 0)
            ctl_blob_write(server, &err, copy.bytes.data, copy.bytes.len, found);
    }
    sv_buf_release(&copy.bytes);
}

own int ctl_blob_open(struct ctl_server *server, const uint8_t digest[PLAT_DIGEST_BYTES])
{
    char name[NAME_SIZE];
    int fd;

    blob_name(digest, name);
    fd = openat(server->data_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd >= 0 || errno != ENOENT || !ctl_db_is_shared(server->db))
        return fd;
    fetch(server, digest);
    return openat(server->data_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
}

/* ---- Collecting ---- */

struct question {
    const char *hex;
    bool named;
};

static int is_named(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    struct question *q = data;
    int r = ctl_sql_run(
        sql, err, "select 1 from versions where digest = $1 or ready = $1 or site = $1 limit 1",
        CTL_PARAMS(CTL_TEXT(q->hex)));

    if (r < 0 || (r = ctl_sql_next(sql, err)) < 0)
        return r;
    q->named = r > 0;
    return 0;
}

static int forget(struct ctl_sql *sql, struct sv_err *err, void *data)
{
    return ctl_sql_run(
        sql, err,
        "delete from blobs where digest = $1 and not exists "
        "(select 1 from versions where versions.digest = $1 or ready = $1 or site = $1)",
        CTL_PARAMS(CTL_TEXT((const char *)data)));
}

static void remove_temporary(struct ctl_server *server, const char *name)
{
    char path[NAME_SIZE];

    snprintf(path, sizeof path, FOLDER "/%s", name);
    ctl_site_remove(server, path);
}

static void collect_one(struct ctl_server *server, int folder, const char *name, time_t before)
{
    char hex[CTL_HEX_LEN + 1];
    struct question q = {.hex = hex, .named = true};
    uint8_t digest[PLAT_DIGEST_BYTES];
    struct sv_err err = {0};
    struct stat st;

    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_mtime >= before)
        return;
    if (strncmp(name, "tmp.", 4) == 0) { /* of a writer that was killed */
        if (S_ISDIR(st.st_mode))
            remove_temporary(server, name);
        else
            unlinkat(folder, name, 0);
        return;
    }
    snprintf(hex, sizeof hex, "%s", name);
    if (strlen(name) != CTL_HEX_LEN + 5 || !ctl_unhex(sv_str_of(hex), digest))
        return;
    if (ctl_db_read(server->db, &err, is_named, &q) < 0 || q.named)
        return;
    if (S_ISDIR(st.st_mode)) {
        char path[NAME_SIZE];

        snprintf(path, sizeof path, FOLDER "/%s.site", hex);
        ctl_site_remove(server, path);
        return;
    }
    unlinkat(folder, name, 0);
    if (ctl_db_is_shared(server->db))
        (void)ctl_db_write(server->db, &err, forget, hex);
}

void ctl_blob_collect(struct ctl_server *server, unsigned grace_s)
{
    int folder = openat(server->data_fd, FOLDER, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = folder >= 0 ? fdopendir(folder) : NULL;
    const struct dirent *entry;

    if (!dir) {
        if (folder >= 0)
            close(folder);
        return;
    }
    while ((entry = readdir(dir)))
        collect_one(server, folder, entry->d_name, time(NULL) - (time_t)grace_s);
    closedir(dir);
}
