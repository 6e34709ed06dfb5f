/* Static files of a version: packed, and unpacked. See site.h.
 *
 * A pack is, for each file in the order of paths: u32 length of its path, the path, u64 length, the
 * bytes; little-endian, as all our machines are. */
#include "control/site.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/folder.h"
#include "base/write.h"
#include "control/blob.h"

#define NAME_MAX_BYTES 255 /* of one segment of a path, as file systems have it */

/* ---- Packing ---- */

/* NULL, or what is wrong with a path. */
static const char *check_path(struct sv_str path)
{
    const char *p = path.ptr, *end = p + path.len;

    if (path.len == 0 || path.len > CTL_SITE_PATH_MAX)
        return "is empty or too long";
    if (!sv_utf8_valid(path.ptr, path.len))
        return "is not UTF-8";
    for (size_t i = 0; i < path.len; i++) {
        unsigned char c = (unsigned char)path.ptr[i];

        if (c < ' ' || c == 0x7f || c == '\\')
            return "has a control character or a backslash";
    }
    while (p <= end) {
        const char *slash = memchr(p, '/', (size_t)(end - p));
        size_t len = (size_t)((slash ? slash : end) - p);

        if (len == 0 || len > NAME_MAX_BYTES || (len == 1 && p[0] == '.') ||
            (len == 2 && p[0] == '.' && p[1] == '.'))
            return "has a segment that is empty, '.', '..' or too long";
        p = slash ? slash + 1 : end + 1;
    }
    return NULL;
}

/* By bytes, but with '/' before all others: what is below a folder follows it. */
static int compare(const void *a, const void *b)
{
    struct sv_str x = ((const struct ctl_file *)a)->path, y = ((const struct ctl_file *)b)->path;

    for (size_t i = 0; i < x.len && i < y.len; i++) {
        unsigned char c = (unsigned char)x.ptr[i], d = (unsigned char)y.ptr[i];

        if (c != d)
            return c == '/' ? -1 : d == '/' ? 1 : c < d ? -1 : 1;
    }
    return x.len < y.len ? -1 : x.len > y.len;
}

/* Whether `a` is `b`, or a folder that it lies in. */
static bool is_in(struct sv_str a, struct sv_str b)
{
    return a.len <= b.len && memcmp(a.ptr, b.ptr, a.len) == 0 &&
           (a.len == b.len || b.ptr[a.len] == '/');
}

int ctl_site_pack(struct sv_err *err, struct ctl_file *files, unsigned n, struct sv_buf *ret)
{
    if (n > CTL_SITE_FILES_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "there are more than %d static files",
                       CTL_SITE_FILES_MAX);
    for (unsigned i = 0; i < n; i++) {
        const char *why = check_path(files[i].path);

        if (why)
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET, "the path '%.*s' %s",
                           (int)(files[i].path.len < 100 ? files[i].path.len : 100),
                           files[i].path.ptr, why);
    }
    qsort(files, n, sizeof *files, compare);
    for (unsigned i = 0; i < n; i++) {
        uint32_t path = (uint32_t)files[i].path.len;
        uint64_t bytes = files[i].bytes.len;

        if (i > 0 && is_in(files[i - 1].path, files[i].path))
            return sv_fail(err, SV_EUSAGE, SV_NO_OFFSET,
                           "the path '%.*s' is there twice, or is of a file and of a folder",
                           (int)(path < 100 ? path : 100), files[i - 1].path.ptr);
        sv_buf_append(ret, &path, sizeof path);
        sv_buf_append(ret, files[i].path.ptr, path);
        sv_buf_append(ret, &bytes, sizeof bytes);
        sv_buf_append(ret, files[i].bytes.ptr, bytes);
    }
    return ret->failed ? sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "the static files are too large")
                       : 0;
}

/* ---- Unpacking ---- */

void ctl_site_remove(struct ctl_server *server, const char *folder)
{
    char path[4096];
    int n = snprintf(path, sizeof path, "%s/%s", server->data, folder);

    if (n > 0 && (size_t)n < sizeof path)
        sv_folder_remove(path);
}

/* Make the folders of a path, below `root`. */
static bool make_folders(int root, char *path)
{
    for (char *p = strchr(path, '/'); p; p = strchr(p + 1, '/')) {
        *p = '\0';
        if (mkdirat(root, path, 0700) < 0 && errno != EEXIST)
            return false;
        *p = '/';
    }
    return true;
}

static bool write_file(int root, struct sv_str path, struct sv_str bytes)
{
    char name[CTL_SITE_PATH_MAX + 1];
    bool good;
    int fd;

    memcpy(name, path.ptr, path.len);
    name[path.len] = '\0';
    if (!make_folders(root, name))
        return false;
    fd = openat(root, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    good = fd >= 0 && sv_write_all(fd, bytes.ptr, bytes.len) == bytes.len;
    if (fd >= 0)
        close(fd);
    return good;
}

/* Cut `n` bytes from the pack. */
static bool cut(struct sv_str *pack, uint64_t n, struct sv_str *ret)
{
    if (n > pack->len)
        return false;
    *ret = (struct sv_str){pack->ptr, (size_t)n};
    pack->ptr += n;
    pack->len -= (size_t)n;
    return true;
}

static bool write_files(int root, struct sv_str pack)
{
    while (pack.len > 0) {
        struct sv_str path, bytes, number;
        uint32_t path_len;
        uint64_t len;

        if (!cut(&pack, sizeof path_len, &number))
            return false;
        memcpy(&path_len, number.ptr, sizeof path_len);
        if (!cut(&pack, path_len, &path) || check_path(path) || !cut(&pack, sizeof len, &number))
            return false;
        memcpy(&len, number.ptr, sizeof len);
        if (!cut(&pack, len, &bytes) || !write_file(root, path, bytes))
            return false;
    }
    return true;
}

static bool unpack(struct ctl_server *server, const char *folder, int blob)
{
    struct stat st;
    void *map = MAP_FAILED;
    bool good = false;
    int root;

    if (mkdirat(server->data_fd, folder, 0700) < 0)
        return false;
    root = openat(server->data_fd, folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root >= 0 && fstat(blob, &st) == 0 && st.st_size > 0)
        map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, blob, 0);
    if (map != MAP_FAILED) {
        good = write_files(root, (struct sv_str){map, (size_t)st.st_size}) && syncfs(root) == 0;
        munmap(map, (size_t)st.st_size);
    }
    if (root >= 0)
        close(root);
    return good;
}

int ctl_site_unpack(struct ctl_server *server, struct sv_err *err,
                    const uint8_t digest[PLAT_DIGEST_BYTES], char ret[CTL_SITE_FOLDER_SIZE])
{
    static _Atomic unsigned counter;
    char hex[CTL_HEX_LEN + 1], temporary[64];
    int blob;
    bool good;

    ctl_hex(digest, hex);
    snprintf(ret, CTL_SITE_FOLDER_SIZE, "blobs/%s.site", hex);
    if (faccessat(server->data_fd, ret, R_OK, 0) == 0)
        return 0;
    blob = ctl_blob_open(server, digest);
    if (blob < 0)
        return sv_fail(err, SV_EIO, SV_NO_OFFSET, "the static files are not there");
    snprintf(temporary, sizeof temporary, "blobs/tmp.%ld.%u.site", (long)getpid(), counter++);
    good = unpack(server, temporary, blob);
    close(blob);
    /* Somebody else may have made it meanwhile: the same. */
    if (good && renameat(server->data_fd, temporary, server->data_fd, ret) == 0)
        return 0;
    good = good && (errno == EEXIST || errno == ENOTEMPTY);
    ctl_site_remove(server, temporary);
    return good ? 0 : sv_fail(err, SV_EIO, SV_NO_OFFSET, "cannot write the static files");
}
