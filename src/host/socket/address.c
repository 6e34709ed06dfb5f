/* Addresses as guests write them: 4 or 16 bytes, or 128 with the family in front; and paths of
 * AF_UNIX, which mean places in the guest's folders. Opens no socket. */
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "host/socket/guest.h"

#define PATH_BYTES 108 /* of AF_UNIX in a guest's address */

/* {u32 pointer, u32 length} and the bytes behind it. */
int address_room(struct sv_call *c, uint32_t ptr, struct address_room *ret)
{
    uint32_t words[2];
    const uint8_t *from;
    void *bytes;

    if (!sv_call_slice(c, ptr, sizeof words, &from))
        return SV_WASI_EFAULT;
    sv_wasi_take(words, from, sizeof words);
    if (words[1] != 4 && words[1] != 16 && words[1] != ADDRESS_TAGGED)
        return SV_WASI_EINVAL;
    if (!sv_call_slice(c, words[0], words[1], &bytes))
        return SV_WASI_EFAULT;
    *ret = (struct address_room){bytes, words[1]};
    return 0;
}

/* The guest's folder with the longest name that `path` begins with, and the rest of it. */
static const struct sv_vfs_file *folder_of(const struct sv_wasi *w, const char *path,
                                           const char **ret_rest)
{
    const struct sv_vfs_file *best = NULL;
    size_t best_len = 0;

    for (uint32_t i = 3; i < w->nfiles; i++) {
        const struct sv_vfs_file *f = &w->files[i];
        size_t len = f->kind == SV_VFS_DIR && f->preopen ? strlen(f->preopen) : 0;

        while (len > 1 && f->preopen[len - 1] == '/')
            len--;
        if (len == 1 && f->preopen[0] == '.' && path[0] != '/' && !best) {
            best = f; /* the current folder, and what is not below another */
            continue;
        }
        if (len > 0 && len >= best_len && strncmp(path, f->preopen, len) == 0 &&
            (path[len] == '/' || f->preopen[len - 1] == '/')) {
            best = f;
            best_len = len;
        }
    }
    if (best)
        for (*ret_rest = path + best_len; **ret_rest == '/';)
            (*ret_rest)++;
    return best;
}

/* What a socket's path means: a place that is reached through /proc, so that nothing on the way
 * can lead out of the folder between the look and the use. */
static int take_path(struct state *s, const char *path, bool make, struct address *ret)
{
    const char *rest, *slash, *name;
    const struct sv_vfs_file *folder = folder_of(s->wasi, path, &rest);
    char parent[PATH_BYTES + 1] = ".";

    if (!folder)
        return SV_WASI_EACCES;
    slash = strrchr(rest, '/');
    name = slash ? slash + 1 : rest;
    if (!*name || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return SV_WASI_EINVAL;
    if (make && folder->readonly)
        return SV_WASI_EROFS;
    if (slash)
        snprintf(parent, sizeof parent, "%.*s", (int)(slash - rest), rest);
    ret->folder = make ? VFS->open_beneath(s->wasi, folder->fd, parent, O_PATH | O_DIRECTORY, 0)
                       : VFS->open_beneath(s->wasi, folder->fd, rest, O_PATH, 0);
    if (ret->folder < 0)
        return ret->folder == -EXDEV ? SV_WASI_EACCES : VFS->error(-ret->folder);
    ret->un.sun_family = AF_UNIX;
    if (make)
        snprintf(ret->un.sun_path, sizeof ret->un.sun_path, "/proc/self/fd/%d/%.60s", ret->folder,
                 name);
    else
        snprintf(ret->un.sun_path, sizeof ret->un.sun_path, "/proc/self/fd/%d", ret->folder);
    ret->len = sizeof ret->un;
    return 0;
}

static int take_inet(const uint8_t *bytes, bool six, uint32_t port, struct address *ret)
{
    if (port > UINT16_MAX)
        return SV_WASI_EINVAL;
    if (six) {
        ret->in6.sin6_family = AF_INET6;
        ret->in6.sin6_port = htons((uint16_t)port);
        memcpy(&ret->in6.sin6_addr, bytes, 16);
        ret->len = sizeof ret->in6;
    } else {
        ret->in.sin_family = AF_INET;
        ret->in.sin_port = htons((uint16_t)port);
        memcpy(&ret->in.sin_addr, bytes, 4);
        ret->len = sizeof ret->in;
    }
    return 0;
}

int address_take(struct state *s, struct sv_call *c, uint32_t ptr, uint32_t port, bool make,
                 struct address *ret)
{
    uint8_t bytes[ADDRESS_TAGGED + 1] = {0}; /* a copy: another thread may write the guest's */
    struct address_room room;
    char *path = (char *)bytes + 2;
    int r = address_room(c, ptr, &room);

    memset(ret, 0, sizeof *ret);
    ret->folder = -1;
    if (r != 0)
        return r;
    sv_wasi_take(bytes, room.bytes, room.len);
    if (room.len != ADDRESS_TAGGED)
        return take_inet(bytes, room.len == 16, port, ret);
    switch (bytes[0] | bytes[1] << 8) {
    case FAMILY_INET4:
        return take_inet(bytes + 2, false, port, ret);
    case FAMILY_INET6:
        return take_inet(bytes + 2, true, port, ret);
    case FAMILY_UNIX:
        path[PATH_BYTES] = '\0';
        if (!s->grant.af_unix || !path[0]) /* a name without a place is the whole machine's */
            return SV_WASI_EACCES;
        if (strlen(path) - (strrchr(path, '/') ? (size_t)(strrchr(path, '/') - path) : 0) > 60)
            return SV_WASI_ENAMETOOLONG;
        return take_path(s, path, make, ret);
    default:
        return SV_WASI_EAFNOSUPPORT;
    }
}

void address_release(struct address *a)
{
    if (a->folder >= 0)
        close(a->folder);
    a->folder = -1;
}

/* A path as the guest knows it is not kept: its last part is what it gets back. */
static void put_path(const struct address *a, uint8_t *to)
{
    size_t room = a->len > offsetof(struct sockaddr_un, sun_path)
                      ? a->len - offsetof(struct sockaddr_un, sun_path)
                      : 0;
    const char *path = a->un.sun_path, *slash;
    size_t len = strnlen(path, room < sizeof a->un.sun_path ? room : sizeof a->un.sun_path);

    slash = memrchr(path, '/', len);
    if (slash) {
        len -= (size_t)(slash + 1 - path);
        path = slash + 1;
    }
    memcpy(to, path, len < PATH_BYTES ? len : PATH_BYTES - 1);
}

int address_put(const struct address_room *room, const struct address *a, uint16_t *ret_port)
{
    uint8_t bytes[ADDRESS_TAGGED] = {0};
    uint16_t family = FAMILY_ANY;
    uint32_t len = 0;

    *ret_port = 0;
    if (a->len >= sizeof a->in && a->any.sa_family == AF_INET) {
        family = FAMILY_INET4;
        len = 4;
        memcpy(bytes + 2, &a->in.sin_addr, 4);
        *ret_port = ntohs(a->in.sin_port);
    } else if (a->len >= sizeof a->in6 && a->any.sa_family == AF_INET6) {
        family = FAMILY_INET6;
        len = 16;
        memcpy(bytes + 2, &a->in6.sin6_addr, 16);
        *ret_port = ntohs(a->in6.sin6_port);
    } else if (a->len >= sizeof a->any.sa_family && a->any.sa_family == AF_UNIX) {
        family = FAMILY_UNIX;
        len = ADDRESS_TAGGED;
        put_path(a, bytes + 2);
    }
    if (room->len < len)
        return SV_WASI_ENOMEM;
    memcpy(bytes, &family, sizeof family);
    if (room->len == ADDRESS_TAGGED)
        memcpy(room->bytes, bytes, sizeof bytes);
    else
        memcpy(room->bytes, bytes + 2, len);
    return 0;
}
