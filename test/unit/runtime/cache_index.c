/* What the cache's index knows of files: a file that was changed in whatever way is never taken for
 * what it was, and a damaged index is no index. Every digest is compared with the file's own. */
#include "cache_folder.h"

#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "base/alloc.h"
#include "runtime/cache_index.h"

/* Times have to be two seconds old before they say anything. */
#define SETTLE_MS 2100

static void settle(void)
{
    usleep(SETTLE_MS * 1000);
}

/* Files that are old enough, and a cache with old entries: made once for all tests. */
#define POOL_FILES 4000
#define POOL_ENTRIES 4
enum {
    POOL_CHANGED,
    POOL_NAMED = 20,
    POOL_BETWEEN,
    POOL_DAMAGED,
    POOL_FOREIGN,
    POOL_LIMIT,
    POOL_CALLS,
    POOL_NOTES
};
static char pool[64];
static char memory_path[] = "/dev/shm/ssvm-index-XXXXXX";
static char old_path[128];

static const char *old_file(unsigned n)
{
    snprintf(old_path, sizeof old_path, "%s/%u", pool, n);
    return old_path;
}

static void use_pool_cache(void)
{
    snprintf(place, sizeof place, "%s/cache", pool);
}

static int make_pool(void **state)
{
    char text[32], other[128];
    struct sv_cache *c;
    int fd;

    (void)state;
    strcpy(pool, "/var/tmp/ssvm-pool-XXXXXX"); /* NOLINT: it fits */
    if (!mkdtemp(pool))
        return -1;
    for (unsigned i = 0; i < POOL_FILES; i++) {
        snprintf(text, sizeof text, "%-24u", i);
        write_file(old_file(i), text, 24, 0600);
    }
    snprintf(other, sizeof other, "%s/other-name", pool);
    if (link(old_file(POOL_NAMED), other) < 0)
        return -1;
    use_pool_cache();
    c = open_cache(0);
    for (unsigned i = 1; i <= POOL_ENTRIES; i++) {
        if (store(NULL, c, i, "an image of some length.", 24) < 0)
            return -1;
    }
    sv_cache_close(c);
    fd = mkstemp(memory_path);
    if (fd >= 0) {
        (void)!write(fd, "0123456789abcdef", 16);
        close(fd);
    }
    settle();
    return 0;
}

static int remove_pool(void **state)
{
    (void)state;
    unlink(memory_path);
    remove_tree(pool);
    return 0;
}

/* Whether the index knew the digest. It has to be right in any case. */
static bool known_part(struct sv_cache *c, const char *path, size_t part)
{
    uint8_t right[SV_SHA256_LEN], found[SV_SHA256_LEN];
    struct sv_cache_file file;
    int fd = open(path, O_RDONLY);
    uint8_t *bytes;
    bool known;

    assert_true(fd >= 0);
    assert_true(sv_cache_file_look(fd, &file));
    if (part > (size_t)file.stat.st_size)
        part = (size_t)file.stat.st_size;
    bytes = malloc(part + 1);
    assert_int_equal(read(fd, bytes, part), part);
    known = sv_cache_digest(c, &file, bytes, part, found);
    sv_sha256(bytes, part, right);
    assert_memory_equal(right, found, sizeof right);
    close(fd);
    free(bytes);
    return known;
}

static bool known(struct sv_cache *c, const char *path)
{
    return known_part(c, path, SIZE_MAX);
}

/* A cache with a folder. */
static struct sv_cache *ready_cache(void)
{
    assert_int_equal(mkdir(place, 0700), 0);
    return open_cache(0);
}

/* ---- Ways to change a file that was known, its size and modification time kept where the way
 * allows it ---- */

static void keep_times(const char *path, const struct stat *st)
{
    const struct timespec times[2] = {st->st_atim, st->st_mtim};

    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void edited(const char *path)
{
    int fd = open(path, O_WRONLY);

    assert_int_equal(pwrite(fd, "EDIT", 4, 8), 4);
    close(fd);
}
static void mapped(const char *path)
{
    int fd = open(path, O_RDWR);
    char *p = mmap(NULL, 16, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    assert_true(p != MAP_FAILED);
    p[3] ^= 1;
    munmap(p, 16);
    close(fd);
}
static void replaced(const char *path)
{
    char other[500];

    snprintf(other, sizeof other, "%s.new", path);
    write_file(other, "other bytes, same size: ", 24, 0600);
    assert_int_equal(rename(other, path), 0);
}
static void truncated(const char *path)
{
    assert_int_equal(truncate(path, 5), 0);
}
static void refilled(const char *path)
{
    assert_int_equal(truncate(path, 0), 0);
    assert_int_equal(truncate(path, 24), 0);
}
static void longer(const char *path)
{
    int fd = open(path, O_WRONLY | O_APPEND);

    assert_int_equal(write(fd, "more", 4), 4);
    close(fd);
}
static void touched(const char *path)
{
    assert_int_equal(utimensat(AT_FDCWD, path, NULL, 0), 0);
}
static void linked(const char *path)
{
    char other[500];

    snprintf(other, sizeof other, "%s.link", path);
    assert_int_equal(link(path, other), 0);
}
static void edited_by_link(const char *path)
{
    char other[500];

    linked(path);
    snprintf(other, sizeof other, "%s.link", path);
    edited(other);
    assert_int_equal(unlink(other), 0);
}
static void swapped(const char *path)
{
    char other[500];

    snprintf(other, sizeof other, "%s.other", path);
    write_file(other, "other bytes, same size: ", 24, 0600);
    assert_int_equal(renameat2(AT_FDCWD, path, AT_FDCWD, other, RENAME_EXCHANGE), 0);
}
static void opened_to_others(const char *path)
{
    assert_int_equal(chmod(path, 0666), 0);
}
static void given_away(const char *path)
{
    if (geteuid() == 0)
        assert_int_equal(chown(path, NOBODY, NOBODY), 0);
    else
        opened_to_others(path);
}

static const struct {
    const char *name;
    void (*change)(const char *path);
} changes[] = {
    {"edited", edited},
    {"mapped", mapped},
    {"replaced", replaced},
    {"truncated", truncated},
    {"refilled", refilled},
    {"longer", longer},
    {"touched", touched},
    {"linked", linked},
    {"edited by link", edited_by_link},
    {"swapped", swapped},
    {"to others", opened_to_others},
    {"given away", given_away},
};

static void changed_files(void **state)
{
    struct sv_cache *c = ready_cache();

    (void)state;
    for (unsigned i = 0; i < SV_COUNT(changes); i++) {
        assert_false(known(c, old_file(POOL_CHANGED + i)));
        assert_true(known(c, old_path));
        assert_false(known_part(c, old_path, 10)); /* another part of the same file */
        assert_true(known_part(c, old_path, 10));
        assert_true(known(c, old_path));
    }
    for (unsigned i = 0; i < SV_COUNT(changes); i++) {
        struct stat st;

        assert_int_equal(stat(old_file(POOL_CHANGED + i), &st), 0);
        changes[i].change(old_path);
        keep_times(old_path, &st);
        if (known(c, old_path))
            fail_msg("known though %s", changes[i].name);
        assert_false(known(c, old_path)); /* too young to be remembered */
    }
    settle();
    for (unsigned i = 0; i < SV_COUNT(changes); i++) {
        bool foreign = changes[i].change == opened_to_others || changes[i].change == given_away;

        assert_false(known(c, old_file(POOL_CHANGED + i)));
        assert_int_equal(known(c, old_path), !foreign); /* the new state is known in its turn */
    }
    sv_cache_close(c);
}

/* The name does not count: it is the file that is known. */
static void names_and_processes(void **state)
{
    struct sv_cache *c = ready_cache();
    char other[128];
    pid_t child;

    (void)state;
    snprintf(other, sizeof other, "%s/other-name", pool);
    assert_false(known(c, old_file(POOL_NAMED)));
    assert_true(known(c, other));
    child = fork();
    if (child == 0) /* and other processes know it, too */
        _exit(known(open_cache(0), old_path) ? 0 : 1);
    assert_int_equal(status_of(child), 0);
    sv_cache_close(c);
}

/* The bytes were read, and the file changed before their digest was asked for. */
static void changed_between(void **state)
{
    char text[32];
    uint8_t right[SV_SHA256_LEN], found[SV_SHA256_LEN];
    struct sv_cache *c = ready_cache();
    struct sv_cache_file file, young;

    (void)state;
    snprintf(text, sizeof text, "%-24u", POOL_BETWEEN);
    sv_sha256(text, 24, right);
    assert_true(sv_cache_file_look(open(old_file(POOL_BETWEEN), O_RDONLY), &file));
    edited(old_path);
    assert_false(sv_cache_digest(c, &file, text, 24, found)); /* not remembered ... */
    assert_memory_equal(right, found, sizeof right);
    write_file(in_base("young"), text, 24, 0600);
    assert_true(sv_cache_file_look(open(path_, O_RDONLY), &young));
    settle();
    assert_false(known(c, old_path)); /* ... neither then nor later */
    assert_true(known(c, old_path));
    assert_true(sv_cache_file_look(file.fd, &file));
    edited(old_path);
    assert_false(sv_cache_digest(c, &file, text, 24, found)); /* known, but not these bytes */
    assert_memory_equal(right, found, sizeof right);
    /* looked at long ago, when the file was young: it is the look that counts */
    assert_false(sv_cache_digest(c, &young, text, 24, found));
    assert_false(sv_cache_digest(c, &young, text, 24, found));
    close(file.fd);
    close(young.fd);
    sv_cache_close(c);
}

/* What else is remembered: only of the file, the engine, the seal and the key that it was said of.
 */
static void notes(void **state)
{
    uint8_t engine[SV_SHA256_LEN] = {1}, other[SV_SHA256_LEN] = {2}, mac[SV_SHA256_LEN] = {3};
    uint8_t key[SV_IMAGE_KEY_LEN] = {4};
    struct sv_cache *c = ready_cache();
    struct sv_cache_file file, young;
    uint64_t used = 0;

    (void)state;
    assert_true(sv_cache_file_look(open(old_file(POOL_NOTES), O_RDONLY), &file));
    assert_true(sv_cache_remembers(c, &file));
    assert_false(sv_cache_find_valid(c, &file, 24, engine, &used));
    assert_false(sv_cache_find_sealed(c, &file, 8, mac, key));
    sv_cache_put_valid(c, &file, 24, engine, UINT64_C(0x8000000000000005));
    sv_cache_put_sealed(c, &file, 8, mac, key);
    assert_true(sv_cache_find_valid(c, &file, 24, engine, &used));
    assert_true(used == UINT64_C(0x8000000000000005));
    assert_true(sv_cache_find_sealed(c, &file, 8, mac, key));
    assert_false(sv_cache_find_valid(c, &file, 23, engine, &used));
    assert_false(sv_cache_find_valid(c, &file, 24, other, &used));
    assert_false(sv_cache_find_sealed(c, &file, 4096, mac, key));
    assert_false(sv_cache_find_sealed(c, &file, 8, other, key));
    assert_false(sv_cache_find_sealed(c, &file, 8, mac, other));
    assert_false(sv_cache_find_valid(NULL, &file, 24, engine, &used));
    assert_false(sv_cache_find_sealed(c, NULL, 8, mac, key));
    edited(old_path);
    assert_false(sv_cache_find_valid(c, &file, 24, engine, &used));
    assert_false(sv_cache_find_sealed(c, &file, 8, mac, key));
    write_file(in_base("young"), "text", 4, 0600);
    assert_true(sv_cache_file_look(open(path_, O_RDONLY), &young));
    assert_false(sv_cache_remembers(c, &young));
    sv_cache_put_valid(c, &young, 4, engine, 1);
    assert_false(sv_cache_find_valid(c, &young, 4, engine, &used));
    close(young.fd);
    write_file(in_base("open"), "text", 4, 0666);
    assert_true(sv_cache_file_look(open(path_, O_RDONLY), &young));
    assert_false(sv_cache_remembers(c, &young));
    close(young.fd);
    close(file.fd);
    sv_cache_close(c);
}

static void without_a_file(void **state)
{
    uint8_t right[SV_SHA256_LEN], found[SV_SHA256_LEN];
    struct sv_cache_file file;
    struct sv_cache *c = open_cache(0);
    int pipes[2];

    (void)state;
    sv_sha256("bytes", 5, right);
    assert_false(sv_cache_digest(NULL, NULL, "bytes", 5, found));
    assert_memory_equal(right, found, sizeof right);
    assert_false(sv_cache_digest(c, NULL, "bytes", 5, found));
    assert_memory_equal(right, found, sizeof right);
    assert_int_equal(pipe(pipes), 0);
    assert_true(sv_cache_file_look(pipes[0], &file));
    assert_false(sv_cache_digest(c, &file, "bytes", 5, found));
    assert_memory_equal(right, found, sizeof right);
    assert_false(sv_cache_file_look(-1, &file));
    close(pipes[0]);
    close(pipes[1]);
    assert_int_equal(access(place, F_OK), -1); /* nothing is made for it */
    sv_cache_close(c);
}

/* File systems where a change may leave the times alone. */
static void memory_file_system(void **state)
{
    struct sv_cache *c = ready_cache();
    struct statfs fs;

    (void)state;
    if (statfs(memory_path, &fs) == 0 && fs.f_type == 0x01021994 /* tmpfs */) {
        assert_false(known(c, memory_path));
        assert_false(known(c, memory_path));
        mapped(memory_path);
        assert_false(known(c, memory_path));
    }
    sv_cache_close(c);
}

/* Whose files are believed. */
static void private_files(void **state)
{
    struct stat st = {.st_mode = S_IFREG};

    (void)state;
    st.st_uid = geteuid();
    assert_true(sv_cache_file_private(&st, geteuid()));
    for (mode_t mode = 0; mode < 01000; mode++) {
        st.st_mode = S_IFREG | mode;
        assert_int_equal(sv_cache_file_private(&st, geteuid()), (mode & 022) == 0);
    }
    st.st_mode = S_IFREG | 0644;
    st.st_uid = 0;
    assert_true(sv_cache_file_private(&st, geteuid()));
    st.st_uid = geteuid() + 1;
    assert_false(sv_cache_file_private(&st, geteuid()));
}

/* ---- The index itself ---- */

#define SECOND_NS 1000000000

static struct timespec seconds_before(uint64_t ns, double seconds)
{
    uint64_t t = (uint64_t)((int64_t)ns - (int64_t)(seconds * SECOND_NS));

    return (struct timespec){(time_t)(t / SECOND_NS), (long)(t % SECOND_NS) | 1};
}

/* Which times say enough: made up here, since nobody can set a change time. */
static void times(void **state)
{
    static const struct {
        double ctime_age_s, mtime_age_s;
        bool whole, stored;
    } cases[] = {
        {3, 3, false, true},     {3, 3, true, false},     {1.9, 3, false, false},
        {3, 1.9, false, false},  {2.1, 2.1, false, true}, {-1, 3, false, false},
        {-100, 3, false, false}, {3, -1, false, false},   {3, -100, false, true},
        {1e6, 1e9, false, true},
    };
    uint8_t digest[SV_SHA256_LEN] = {1, 2, 3}, found[SV_SHA256_LEN];
    struct sv_cache_file file;
    int dir, index;

    (void)state;
    sv_cache_close(ready_cache());
    dir = open(place, O_RDONLY | O_DIRECTORY);
    index = sv_index_open(dir, geteuid(), true);
    assert_true(index >= 0);
    assert_true(sv_cache_file_look(open(old_file(POOL_LIMIT), O_RDONLY), &file));
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        file.stat.st_ctim = seconds_before(file.seen_ns, cases[i].ctime_age_s);
        file.stat.st_mtim = seconds_before(file.seen_ns, cases[i].mtime_age_s);
        if (cases[i].whole)
            file.stat.st_ctim.tv_nsec = 0;
        sv_index_put(index, SV_INDEX_WASM, &file, 24, digest);
        assert_int_equal(sv_index_find(index, SV_INDEX_WASM, &file, 24, found), cases[i].stored);
        if (cases[i].stored)
            assert_memory_equal(digest, found, sizeof found);
        assert_false(sv_index_find(index, SV_INDEX_IMAGE, &file, 24, found));
    }
    close(file.fd);
    close(index);
    close(dir);
}

/* Who may only read knows, too. */
static void read_only_index(void **state)
{
    pid_t child;

    (void)state;
    assert_int_equal(sv_index_open(AT_FDCWD, geteuid(), false), -1);
    child = fork();
    if (child == 0) {
        int dir, index;

        if (geteuid() == 0 && (chown(base, NOBODY, NOBODY) < 0 || setuid(NOBODY) < 0))
            _exit(1);
        dir = open(base, O_RDONLY | O_DIRECTORY);
        index = sv_index_open(dir, geteuid(), true);
        if (index < 0 || fchmod(index, 0400) < 0)
            _exit(2);
        index = sv_index_open(dir, geteuid(), false);
        _exit(index >= 0 && (fcntl(index, F_GETFL) & O_ACCMODE) == O_RDONLY ? 0 : 3);
    }
    assert_int_equal(status_of(child), 0);
}

static void damage_is_found(const char *path, const uint8_t *index, size_t len, size_t at)
{
    struct sv_cache *c;
    uint8_t *copy = malloc(len);

    memcpy(copy, index, len);
    copy[at] ^= (uint8_t)(1 << at % 8);
    write_file(in_cache("index"), copy, len, 0600);
    c = open_cache(0);
    if (known(c, path))
        fail_msg("known though byte %zu is changed", at);
    sv_cache_close(c);
    free(copy);
}

static void damaged_index(void **state)
{
    enum { MAX = 64 * 4096, KEY = 40, RECORD = 104 };
    struct sv_cache *c = ready_cache();
    uint8_t *index = calloc(1, MAX);
    const char *path = old_file(POOL_DAMAGED);
    size_t len, used = 0;
    int fd;

    (void)state;
    assert_false(known(c, path));
    assert_true(known(c, path));
    sv_cache_close(c);
    fd = open(in_cache("index"), O_RDONLY);
    len = (size_t)read(fd, index, MAX);
    close(fd);
    assert_true(len >= 4096 && len % 4096 == 0);
    while (used < len && index[used] == 0)
        used++;
    assert_int_equal(used % 4096, 0);
    /* every byte of the page's head and of the record, but the time that it was stored is a byte
     * of the record, too */
    for (size_t at = used; at < used + KEY + RECORD; at++)
        damage_is_found(path, index, len, at);
    for (size_t cut = 0; cut < 4096; cut += 64) {
        write_file(in_cache("index"), index, len - 4096 + cut, 0600);
        c = open_cache(0);
        assert_false(known(c, path));
        assert_true(known(c, path)); /* repaired */
        sv_cache_close(c);
    }
    write_file(in_cache("index"), index, len, 0600); /* the tests above could tell */
    c = open_cache(0);
    assert_true(known(c, path));
    sv_cache_close(c);
    for (size_t i = 0; i < len; i++)
        index[i] = (uint8_t)(i * 2654435761u >> 11);
    write_file(in_cache("index"), index, len, 0600);
    c = open_cache(0);
    assert_false(known(c, path));
    sv_cache_close(c);
    free(index);
}

/* An index that others could have written. */
static void foreign_index(void **state)
{
    struct sv_cache *c = ready_cache();
    const char *path = old_file(POOL_FOREIGN);
    char index[128];

    (void)state;
    snprintf(index, sizeof index, "%s/index", place);
    assert_false(known(c, path));
    assert_true(known(c, path));
    sv_cache_close(c);
    for (int way = 0; way < 5; way++) {
        switch (way) {
        case 0:
            assert_int_equal(chmod(index, 0606), 0);
            break;
        case 1:
            if (geteuid() != 0)
                continue;
            assert_int_equal(chmod(index, 0600), 0);
            assert_int_equal(chown(index, NOBODY, NOBODY), 0);
            break;
        case 2:
            assert_int_equal(chmod(index, 0600), 0);
            assert_int_equal(chown(index, geteuid(), getegid()), 0);
            assert_int_equal(rename(index, in_base("index")), 0);
            assert_int_equal(symlink("../index", index), 0);
            break;
        case 3:
            assert_int_equal(unlink(index), 0);
            assert_int_equal(mkfifo(index, 0600), 0);
            break;
        default:
            assert_int_equal(unlink(index), 0);
            assert_int_equal(mkdir(index, 0700), 0);
        }
        c = open_cache(0);
        assert_false(known(c, path));
        assert_false(known(c, path));
        sv_cache_close(c);
    }
}

/* More files than there is room for: some are forgotten, none is wrong. */
static void full_index(void **state)
{
    struct sv_cache *c = ready_cache();
    unsigned remembered = 0;
    struct stat st;

    (void)state;
    for (int round = 0; round < 2; round++) {
        remembered = 0;
        for (unsigned i = 100; i < POOL_FILES; i++)
            remembered += known(c, old_file(i));
    }
    assert_in_range(remembered, 0, POOL_FILES - 101);
    assert_int_equal(stat(in_cache("index"), &st), 0);
    assert_in_range(st.st_size, 4096, 64 * 4096);
    assert_true(known(c, old_path)); /* the last one */
    sv_cache_close(c);
}

/* No record is worth a signal. */
static void file_limit(void **state)
{
    pid_t child;

    (void)state;
    sv_cache_close(ready_cache());
    child = fork();
    if (child == 0) {
        const struct rlimit limit = {100, 100};
        struct sv_cache *c = open_cache(0);

        setrlimit(RLIMIT_FSIZE, &limit);
        _exit(known(c, old_file(POOL_LIMIT)) || known(c, old_path));
    }
    assert_int_equal(status_of(child), 0);
}

/* ---- Images that were verified ---- */

static bool verified(struct sv_cache *c, unsigned n, bool mark)
{
    struct sv_cache_name name = name_of(n);
    struct sv_cache_entry entry;

    assert_int_equal(sv_cache_find(NULL, c, &name, &entry), 0);
    assert_true(entry.file.fd >= 0);
    if (mark)
        sv_cache_mark(c, &name, &entry);
    close(entry.file.fd);
    return entry.verified;
}

static void mark_as(unsigned n, const struct sv_cache_name *other)
{
    struct sv_cache_name name = name_of(n);
    struct sv_cache_file file;
    int dir = open(place, O_RDONLY | O_DIRECTORY);
    int index = sv_index_open(dir, geteuid(), false);

    assert_true(sv_cache_file_look(open(path_of(&name), O_RDONLY), &file));
    sv_index_put(index, SV_INDEX_IMAGE, &file, (uint64_t)file.stat.st_size, other->digest);
    close(file.fd);
    close(index);
    close(dir);
}

static void marks(void **state)
{
    struct sv_cache_name one = name_of(1), two = name_of(2);
    char path[400];
    struct sv_cache *c;
    struct stat st;

    (void)state;
    use_pool_cache();
    c = open_cache(0);
    assert_false(verified(c, 1, true));
    assert_true(verified(c, 1, false));
    assert_false(verified(c, 2, true)); /* each for itself */
    assert_true(verified(c, 2, true));
    mark_as(3, &one); /* the same file, marked under another name */
    assert_false(verified(c, 3, true));
    assert_true(verified(c, 3, true));
    snprintf(path, sizeof path, "%s", path_of(&one));
    assert_int_equal(stat(path, &st), 0);
    edited(path);
    keep_times(path, &st);
    assert_false(verified(c, 1, true));
    assert_false(verified(c, 1, true));               /* too young */
    assert_int_equal(rename(path, path_of(&two)), 0); /* under the name of another */
    assert_false(verified(c, 2, false));
    sv_cache_close(c);
}

/* ---- The price ---- */

#ifndef SSVM_SANITIZED
/* What a start does: look at the module's file, its digest, the image. */
static void start(const char *path)
{
    char bytes[24] = {0}; /* the index knows better */
    uint8_t digest[SV_SHA256_LEN];
    struct sv_cache_name name = name_of(POOL_ENTRIES);
    struct sv_cache_entry entry;
    struct sv_cache_file file;
    struct sv_cache *c;
    int fd = open(path, O_RDONLY);
    bool ok;

    raise(SIGSTOP);
    getppid(); /* counted from here ... */
    ok = sv_cache_open(NULL, place, 0, &c) == 0 && sv_cache_file_look(fd, &file) &&
         sv_cache_digest(c, &file, bytes, sizeof bytes, digest) &&
         sv_cache_find(NULL, c, &name, &entry) == 0 && entry.verified;
    getppid(); /* ... to here */
    _exit(ok ? 0 : 1);
}

/* System calls of a traced child between two of getppid. */
static unsigned count_calls(pid_t child, int *ret_status)
{
    struct __ptrace_syscall_info info;
    unsigned calls = 0, markers = 0;

    while (waitpid(child, ret_status, 0) == child && WIFSTOPPED(*ret_status)) {
        ptrace(PTRACE_SETOPTIONS, child, NULL, PTRACE_O_TRACESYSGOOD); /* the info needs it */
        if (ptrace(PTRACE_GET_SYSCALL_INFO, child, sizeof info, &info) > 0 &&
            info.op == PTRACE_SYSCALL_INFO_ENTRY) {
            markers += info.entry.nr == SYS_getppid;
            calls += markers == 1 && info.entry.nr != SYS_getppid;
        }
        ptrace(PTRACE_SYSCALL, child, NULL, NULL);
    }
    return markers == 2 ? calls : 0;
}

static void system_calls(void **state)
{
    struct sv_cache *c;
    unsigned calls;
    pid_t child;
    int status;

    (void)state;
    use_pool_cache();
    c = open_cache(0);
    assert_false(known(c, old_file(POOL_CALLS)));
    assert_false(verified(c, POOL_ENTRIES, true));
    sv_cache_close(c);
    child = fork();
    if (child == 0) {
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) < 0)
            _exit(77);
        start(old_path);
    }
    calls = count_calls(child, &status);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == 77)
        skip(); /* traced already */
    assert_int_equal(WEXITSTATUS(status), 0);
    assert_in_range(calls, 8, 14);
}
#endif

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(changed_files),   TEST(names_and_processes),
        TEST(changed_between), TEST(notes),
        TEST(without_a_file),  TEST(memory_file_system),
        TEST(private_files),   TEST(times),
        TEST(read_only_index), TEST(damaged_index),
        TEST(foreign_index),   TEST(full_index),
        TEST(file_limit),      TEST(marks),
#ifndef SSVM_SANITIZED
        TEST(system_calls),
#endif
    };

    return cmocka_run_group_tests(tests, make_pool, remove_pool);
}
