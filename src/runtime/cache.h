/* The folder where native images are kept between starts: this installation's key, the images by
 * what they were made from, and an index that knows the digests of files without reading them.
 * What is trusted and why is in doc/internals/cache.md. Knows nothing of what an image contains. */
#ifndef SV_RUNTIME_CACHE_H
#define SV_RUNTIME_CACHE_H

#include <sys/stat.h>
#include <sys/uio.h>

#include "runtime/image.h"

#define SV_CACHE_DEFAULT_BYTES ((uint64_t)1 << 30)

struct sv_cache;

/* Use the folder at `path`, with at most `max_bytes` of images (0: the default). A folder that is
 * not there is made by the first sv_cache_store or sv_cache_key. Fails when the folder is a
 * symbolic link, another user's, or writable by others: nothing in it may then be used. The user is
 * the effective one of this call, also later. Thread-safe from here on. */
int sv_cache_open(struct sv_err *err, const char *path, uint64_t max_bytes,
                  own struct sv_cache **ret);
void sv_cache_close(own struct sv_cache *); /* NULL is allowed */

/* The key of this installation, with which images outside the cache are sealed; made when there is
 * none yet. */
int sv_cache_key(struct sv_err *err, struct sv_cache *, uint8_t ret[SV_IMAGE_KEY_LEN]);

/* That nobody but `user` and root can write the file: its pages may be checked and used where they
 * lie, and what was once known of it holds until its times change. */
bool sv_cache_file_private(const struct stat *, uid_t user);

/* A file, as it was before anything was read from it. */
struct sv_cache_file {
    int fd;
    struct stat stat;
    uint64_t seen_ns; /* when: since 1970 */
};
bool sv_cache_file_look(int fd, struct sv_cache_file *ret); /* false: errno */

/* SHA-256 of the `len` bytes at `bytes`, which were read from the beginning of `file` after it was
 * looked at: from the index when it knows the file, else computed and, if the file allows it,
 * remembered. `file` NULL: no file; the cache NULL: none. True: from the index. */
bool sv_cache_digest(struct sv_cache *, const struct sv_cache_file *file, const void *bytes,
                     size_t len, uint8_t ret[SV_SHA256_LEN]);

/* ---- What else is known of a file in the state it was looked at in ----
 * As sv_cache_digest: from the index, for private files. The bytes that it is said of must have
 * been read after the look. `file` NULL and the cache NULL are allowed: nothing is known. */

/* The module in the file, all of its `len` bytes, was validated by this build of the engine
 * (`engine`); *ret is what it uses. */
bool sv_cache_find_valid(struct sv_cache *, const struct sv_cache_file *, size_t len,
                         const uint8_t engine[SV_SHA256_LEN], uint64_t *ret_used);
void sv_cache_put_valid(struct sv_cache *, const struct sv_cache_file *, size_t len,
                        const uint8_t engine[SV_SHA256_LEN], uint64_t used);
/* The image with this MAC at `at` in the file was verified, all of it, with `key`. */
bool sv_cache_find_sealed(struct sv_cache *, const struct sv_cache_file *, uint64_t at,
                          const uint8_t mac[SV_SHA256_LEN], const uint8_t key[SV_IMAGE_KEY_LEN]);
void sv_cache_put_sealed(struct sv_cache *, const struct sv_cache_file *, uint64_t at,
                         const uint8_t mac[SV_SHA256_LEN], const uint8_t key[SV_IMAGE_KEY_LEN]);
/* Would it be remembered, that is, does it pay to find out? */
bool sv_cache_remembers(struct sv_cache *, const struct sv_cache_file *);

/* ---- Entries ---- */

struct sv_cache_name {
    uint8_t digest[SV_SHA256_LEN];
};
/* The name of the image for `id` and the compiler's other options. */
struct sv_cache_name sv_cache_name_of(const struct sv_image_id *, const void *options, size_t len);

struct sv_cache_entry {
    struct sv_cache_file file; /* read only; fd -1: there is none */
    uint64_t len;
    bool verified; /* sv_cache_mark was called for it, and it has not changed since */
};
/* Find the entry: ret->file.fd is then the caller's to close. An entry that is not there is no
 * failure; one that may not be trusted is (SV_EIO). */
int sv_cache_find(struct sv_err *err, struct sv_cache *, const struct sv_cache_name *,
                  struct sv_cache_entry *ret);
/* Remember that the bytes of `entry` were compared with their digests (sv_image_verify). */
void sv_cache_mark(struct sv_cache *, const struct sv_cache_name *, const struct sv_cache_entry *);
/* Put an image in place, whole or not at all, and remove the least recently used ones while there
 * are too many bytes. Failure is no reason to stop: full disks and read-only folders are met here.
 */
int sv_cache_store(struct sv_err *err, struct sv_cache *, const struct sv_cache_name *,
                   const struct iovec *, int count);
/* Take an entry away, one found damaged. */
void sv_cache_remove(struct sv_cache *, const struct sv_cache_name *);

/* Lock a name, so that one of several compilers does the work; `wait` until it is free. *ret_lock
 * is a descriptor that keeps the lock until it is closed (its end of process included), -1: another
 * holds it. After a wait, look with sv_cache_find first. */
int sv_cache_lock(struct sv_err *err, struct sv_cache *, const struct sv_cache_name *, bool wait,
                  int *ret_lock);

#endif
