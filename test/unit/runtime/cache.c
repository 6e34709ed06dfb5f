/* The cache of native images: who may own what, full disks, races between processes, folders that
 * go away, eviction. The index has a file of its own. */
#include "cache_folder.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "base/alloc.h"

static void refused_folder(const char *path, const char *why)
{
    struct sv_cache *c = NULL;
    struct sv_err err = {0};

    assert_int_equal(sv_cache_open(&err, path, 0, &c), SV_EIO);
    assert_non_null(strstr(err.text, why));
    assert_null(c);
}

/* Length of the entry, -1: there is none. */
static int64_t entry_len(struct sv_cache *c, unsigned n)
{
    struct sv_cache_name name = name_of(n);
    struct sv_cache_entry entry;

    assert_int_equal(sv_cache_find(NULL, c, &name, &entry), 0);
    if (entry.file.fd < 0)
        return -1;
    close(entry.file.fd);
    return (int64_t)entry.len;
}

/* Files in the cache whose names begin with `prefix`. */
static unsigned count_files(const char *prefix)
{
    DIR *d = opendir(place);
    unsigned n = 0;

    if (!d)
        return 0;
    for (struct dirent *e = readdir(d); e; e = readdir(d))
        n += e->d_name[0] != '.' && strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    closedir(d);
    return n;
}

static void made_when_needed(void **state)
{
    struct sv_cache *c;
    struct stat st;

    (void)state;
    snprintf(place, sizeof place, "%s/a/b/cache/", base); /* a slash at the end, too */
    c = open_cache(0);
    assert_int_equal(entry_len(c, 1), -1);
    assert_int_equal(access(in_base("a"), F_OK), -1);
    assert_int_equal(store(NULL, c, 1, "image", 5), 0);
    assert_int_equal(stat(place, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    assert_int_equal(entry_len(c, 1), 5);
    assert_int_equal(entry_len(c, 2), -1);
    sv_cache_close(c);
    c = open_cache(0);
    assert_int_equal(entry_len(c, 1), 5);
    assert_int_equal(sv_cache_open(NULL, "", 0, &c), SV_EUSAGE);
    sv_cache_close(c);
    sv_cache_close(NULL);
}

static void contents(void **state)
{
    struct sv_cache *c = open_cache(0);
    struct sv_cache_name name = name_of(1);
    struct sv_cache_entry entry;
    char bytes[1000], found[1000];
    struct stat st;

    (void)state;
    for (size_t round = 0; round < 3; round++) { /* again, over the old one */
        memset(bytes, 'a' + (int)round, sizeof bytes);
        assert_int_equal(store(NULL, c, 1, bytes, sizeof bytes), 0);
        assert_int_equal(sv_cache_find(NULL, c, &name, &entry), 0);
        assert_int_equal(entry.len, sizeof bytes);
        assert_false(entry.verified);
        assert_int_equal(read(entry.file.fd, found, sizeof found), sizeof found);
        assert_memory_equal(bytes, found, sizeof found);
        assert_int_equal(fcntl(entry.file.fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(fcntl(entry.file.fd, F_GETFL) & O_ACCMODE, O_RDONLY);
        close(entry.file.fd);
    }
    assert_int_equal(stat(path_of(&name), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(count_files(""), 1);
    sv_cache_remove(c, &name);
    assert_int_equal(count_files(""), 0);
    assert_int_equal(entry_len(c, 1), -1);
    sv_cache_close(c);
}

/* Every part of the name counts. */
static void names(void **state)
{
    struct sv_image_id id = {.cpu = "generic"};
    struct sv_cache_name first = sv_cache_name_of(&id, "O3", 2), other;

    (void)state;
    for (size_t i = 0; i < sizeof id; i++) {
        ((uint8_t *)&id)[i] ^= 1;
        other = sv_cache_name_of(&id, "O3", 2);
        assert_memory_not_equal(&first, &other, sizeof first);
        ((uint8_t *)&id)[i] ^= 1;
    }
    other = sv_cache_name_of(&id, "O2", 2);
    assert_memory_not_equal(&first, &other, sizeof first);
    other = sv_cache_name_of(&id, "O3", 2);
    assert_memory_equal(&first, &other, sizeof first);
}

static void bad_folders(void **state)
{
    (void)state;
    assert_int_equal(mkdir(place, 0700), 0);
    assert_int_equal(symlink(place, in_base("link")), 0);
    refused_folder(in_base("link"), "link");
    refused_folder(in_base("link/"), "link");
    refused_folder(in_base("link//"), "link");
    assert_int_equal(symlink("nowhere", in_base("dangling")), 0);
    refused_folder(in_base("dangling"), "link");
    write_file(in_base("file"), "x", 1, 0600);
    refused_folder(in_base("file"), "not a folder");
    assert_int_equal(chmod(place, 0702), 0);
    refused_folder(place, "others may write");
    assert_int_equal(chmod(place, 0720), 0);
    refused_folder(place, "others may write");
    assert_int_equal(chmod(place, 0755), 0); /* others may look: the key and images are 0600 */
    sv_cache_close(open_cache(0));
    assert_int_equal(chmod(base, 0777), 0);
    refused_folder(place, "others may rename");
    assert_int_equal(chmod(base, 01777), 0);
    sv_cache_close(open_cache(0));
    if (geteuid() != 0)
        return;
    assert_int_equal(chown(place, NOBODY, NOBODY), 0);
    refused_folder(place, "another user");
    assert_int_equal(chown(place, 0, 0), 0);
    assert_int_equal(chown(base, NOBODY, NOBODY), 0);
    refused_folder(place, "others may rename");
}

/* A link that appears where the folder is to be made. */
static void folder_swapped(void **state)
{
    struct sv_cache *c = open_cache(0);
    struct sv_err err = {0};

    (void)state;
    assert_int_equal(mkdir(in_base("other"), 0700), 0);
    assert_int_equal(symlink("other", place), 0);
    assert_int_equal(store(&err, c, 1, "image", 5), SV_EIO);
    assert_non_null(strstr(err.text, "link"));
    snprintf(place, sizeof place, "%s/other", base);
    assert_int_equal(count_files(""), 0);
    sv_cache_close(c);
}

static void refused_entry(struct sv_cache *c, const char *why)
{
    struct sv_cache_name name = name_of(1);
    struct sv_cache_entry entry;
    struct sv_err err = {0};

    assert_int_equal(sv_cache_find(&err, c, &name, &entry), SV_EIO);
    assert_non_null(strstr(err.text, why));
    assert_int_equal(entry.file.fd, -1);
    sv_cache_remove(c, &name);
}

static void bad_entries(void **state)
{
    static const mode_t modes[] = {0602, 0620, 0666, 0777};
    struct sv_cache *c = open_cache(0);
    struct sv_cache_name name = name_of(1);
    char path[400];

    (void)state;
    assert_int_equal(store(NULL, c, 1, "image", 5), 0);
    snprintf(path, sizeof path, "%s", path_of(&name));
    assert_int_equal(rename(path, in_base("image")), 0);
    assert_int_equal(symlink("../image", path), 0);
    refused_entry(c, "link");
    assert_int_equal(link(in_base("image"), path), 0);
    refused_entry(c, "more than one name");
    for (size_t i = 0; i < SV_COUNT(modes); i++) {
        assert_int_equal(store(NULL, c, 1, "image", 5), 0);
        assert_int_equal(chmod(path, modes[i]), 0);
        refused_entry(c, "others may write");
    }
    assert_int_equal(mkfifo(path, 0600), 0); /* nobody writes to it: would block */
    refused_entry(c, "not a file");
    assert_int_equal(mkdir(path, 0700), 0);
    refused_entry(c, "not a file");
    assert_int_equal(rmdir(path), 0);
    if (geteuid() == 0) {
        assert_int_equal(store(NULL, c, 1, "image", 5), 0);
        assert_int_equal(chown(path, NOBODY, NOBODY), 0);
        refused_entry(c, "another user");
    }
    assert_int_equal(store(NULL, c, 1, "image", 5), 0);
    assert_int_equal(entry_len(c, 1), 5);
    sv_cache_close(c);
}

static void refused_key(const char *why)
{
    struct sv_cache *c = open_cache(0);
    uint8_t key[SV_IMAGE_KEY_LEN];
    struct sv_err err = {0};

    assert_int_equal(sv_cache_key(&err, c, key), SV_EIO);
    assert_non_null(strstr(err.text, why));
    sv_cache_close(c);
    assert_int_equal(unlink(in_cache("key")), 0);
}

static void keys(void **state)
{
    struct sv_cache *a = open_cache(0), *b = open_cache(0);
    uint8_t first[SV_IMAGE_KEY_LEN], other[SV_IMAGE_KEY_LEN], none[SV_IMAGE_KEY_LEN] = {0};
    struct stat st;

    (void)state;
    assert_int_equal(sv_cache_key(NULL, a, first), 0);
    assert_int_equal(sv_cache_key(NULL, b, other), 0);
    assert_memory_equal(first, other, sizeof first);
    assert_memory_not_equal(first, none, sizeof first);
    assert_int_equal(stat(in_cache("key"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_nlink, 1);
    assert_int_equal(count_files(""), 1);
    sv_cache_close(a);
    sv_cache_close(b);
    assert_int_equal(chmod(in_cache("key"), 0640), 0);
    refused_key("others may read");
    write_file(in_cache("key"), "short", 5, 0600);
    refused_key("damaged");
    write_file(in_cache("key"), "a key that is longer than thirty-two bytes", 42, 0600);
    refused_key("damaged");
    assert_int_equal(symlink("/dev/zero", in_cache("key")), 0);
    refused_key("key");
    assert_int_equal(mkfifo(in_cache("key"), 0600), 0);
    refused_key("others may");
    if (geteuid() != 0)
        return;
    write_file(in_cache("key"), first, sizeof first, 0600);
    assert_int_equal(chown(in_cache("key"), NOBODY, NOBODY), 0);
    refused_key("others may");
}

/* Processes that all find no key: all have the same one in the end. */
static void key_race(void **state)
{
    (void)state;
    for (int round = 0; round < 20; round++) {
        uint8_t keys[6][SV_IMAGE_KEY_LEN], own_key[SV_IMAGE_KEY_LEN];
        int pipes[6][2];
        pid_t children[6];

        for (int i = 0; i < 6; i++) {
            assert_int_equal(pipe(pipes[i]), 0);
            children[i] = fork();
            if (children[i] == 0) {
                struct sv_cache *c = open_cache(0);

                if (sv_cache_key(NULL, c, own_key) < 0)
                    _exit(1);
                _exit(write(pipes[i][1], own_key, sizeof own_key) != sizeof own_key);
            }
        }
        for (int i = 0; i < 6; i++) {
            assert_int_equal(status_of(children[i]), 0);
            assert_int_equal(read(pipes[i][0], keys[i], sizeof keys[i]), sizeof keys[i]);
            assert_memory_equal(keys[i], keys[0], sizeof keys[0]);
            close(pipes[i][0]);
            close(pipes[i][1]);
        }
        assert_int_equal(count_files(""), 1);
        remove_tree(place);
    }
}

static int store_of(unsigned n, size_t len)
{
    struct sv_cache *c = open_cache(0);
    char *bytes = calloc(1, len);
    struct sv_err err = {0};
    int r = store(&err, c, n, bytes, len);

    sv_cache_close(c);
    free(bytes);
    if (r < 0 && !strstr(err.text, "cannot"))
        return 100; /* no reason given */
    return -r;
}

/* The limit on file sizes, whose signal would kill. */
static void file_limit(void **state)
{
    static const rlim_t limits[] = {0, 16, 100000};
    pid_t child;

    (void)state;
    assert_int_equal(store_of(1, 5), 0);
    for (size_t i = 0; i < SV_COUNT(limits); i++) {
        child = fork();
        if (child == 0) {
            const struct rlimit limit = {limits[i], limits[i]};
            uint8_t key[SV_IMAGE_KEY_LEN];
            int r;

            setrlimit(RLIMIT_FSIZE, &limit);
            r = store_of(2, 100001);
            if (r == -SV_EIO && limits[i] < sizeof key)
                r = -sv_cache_key(NULL, open_cache(0), key);
            _exit(r);
        }
        assert_int_equal(status_of(child), -SV_EIO);
        assert_int_equal(count_files(""), 1);
    }
}

/* A small file system of its own, seen by the child alone. */
static void fill_disk(void)
{
    char parent[100];

    snprintf(parent, sizeof parent, "%s/disk", base);
    snprintf(place, sizeof place, "%s/disk/cache", base);
    if (mkdir(parent, 0700) < 0 || unshare(CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tmpfs", parent, "tmpfs", 0, "size=256k") < 0)
        _exit(77);
    if (store_of(1, 100000) != 0)
        _exit(1);
    if (store_of(2, 300000) != -SV_EIO || store_of(1, 200000) != -SV_EIO)
        _exit(2);
    if (count_files("") != 1)
        _exit(3);
    _exit(entry_len(open_cache(0), 1) == 100000 ? 0 : 4); /* the old one is whole */
}

static void full_disk(void **state)
{
    pid_t child;
    int status;

    (void)state;
    child = fork();
    if (child == 0)
        fill_disk();
    status = status_of(child);
    if (status == 77)
        skip(); /* no right to mount */
    assert_int_equal(status, 0);
}

/* By a child without the rights of root, to whom everything is writable. */
static void use_read_only(void)
{
    struct sv_err err = {0};
    struct sv_cache *c;

    if (geteuid() == 0 && (chown(base, NOBODY, NOBODY) < 0 || setuid(NOBODY) < 0))
        _exit(1);
    if (store_of(1, 5) != 0 || chmod(place, 0500) < 0)
        _exit(2);
    c = open_cache(0);
    if (store(&err, c, 2, "image", 5) != SV_EIO || !strstr(err.text, "cannot make a file"))
        _exit(3);
    _exit(entry_len(c, 1) == 5 ? 0 : 4);
}

static void read_only_folder(void **state)
{
    pid_t child;

    (void)state;
    child = fork();
    if (child == 0)
        use_read_only();
    assert_int_equal(status_of(child), 0);
    assert_int_equal(chmod(place, 0700), 0);
}

/* Writers of one name: who reads finds a whole one of theirs. */
static void entry_race(void **state)
{
    enum { LEN = 50000, WRITERS = 3 };
    pid_t children[WRITERS];
    struct sv_cache_name name = name_of(1);
    struct sv_cache *c = open_cache(0);
    char *bytes = malloc(LEN);

    (void)state;
    memset(bytes, 'a', LEN);
    assert_int_equal(store(NULL, c, 1, bytes, LEN), 0);
    for (int i = 0; i < WRITERS; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            memset(bytes, 'a' + i, LEN);
            for (int k = 0; k < 40; k++) {
                if (store(NULL, c, 1, bytes, LEN) < 0)
                    _exit(1);
            }
            _exit(0);
        }
    }
    for (int k = 0; k < 400; k++) {
        struct sv_cache_entry entry;
        struct sv_err err = {0};
        int r = sv_cache_find(&err, c, &name, &entry);

        if (r < 0) { /* replaced between open and look: then it has no name at all */
            fail_msg("%s", err.text);
        }
        assert_true(entry.file.fd >= 0);
        assert_int_equal(entry.len, LEN);
        assert_int_equal(read(entry.file.fd, bytes, LEN), LEN);
        for (int i = 1; i < LEN; i++)
            assert_int_equal(bytes[i], bytes[0]);
        close(entry.file.fd);
    }
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(status_of(children[i]), 0);
    assert_int_equal(count_files(""), 1);
    sv_cache_close(c);
    free(bytes);
}

static void locks(void **state)
{
    struct sv_cache *c = open_cache(0);
    struct sv_cache_name one = name_of(1), two = name_of(2);
    int a, b, pipes[2];
    pid_t child;
    char byte;

    (void)state;
    assert_int_equal(sv_cache_lock(NULL, c, &one, false, &a), 0);
    assert_true(a >= 0);
    assert_int_equal(sv_cache_lock(NULL, c, &one, false, &b), 0); /* of this process, too */
    assert_int_equal(b, -1);
    assert_int_equal(sv_cache_lock(NULL, c, &two, true, &b), 0); /* another name */
    assert_true(b >= 0);
    close(b);
    close(a);
    assert_int_equal(sv_cache_lock(NULL, c, &one, false, &a), 0);
    assert_true(a >= 0);
    close(a);
    /* a compiler that is killed holds nothing */
    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        if (sv_cache_lock(NULL, open_cache(0), &one, true, &a) < 0 || write(pipes[1], "x", 1) != 1)
            _exit(1);
        for (;;)
            pause();
    }
    assert_int_equal(read(pipes[0], &byte, 1), 1);
    assert_int_equal(sv_cache_lock(NULL, c, &one, false, &a), 0);
    assert_int_equal(a, -1);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(sv_cache_lock(NULL, c, &one, true, &a), 0);
    assert_true(a >= 0);
    assert_int_equal(status_of(child), 128 + SIGKILL);
    close(a);
    close(pipes[0]);
    close(pipes[1]);
    sv_cache_close(c);
}

/* Two compilers of one name: the work is done once. */
static void compile_race(void **state)
{
    pid_t children[4];
    unsigned compiled = 0;

    (void)state;
    for (int i = 0; i < 4; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            struct sv_cache *c = open_cache(0);
            struct sv_cache_name name = name_of(1);
            int lock;

            if (sv_cache_lock(NULL, c, &name, true, &lock) < 0)
                _exit(2);
            if (entry_len(c, 1) >= 0)
                _exit(0);
            usleep(20000);
            _exit(store(NULL, c, 1, "image", 5) < 0 ? 2 : 1);
        }
    }
    for (int i = 0; i < 4; i++) {
        int status = status_of(children[i]);

        assert_true(status <= 1);
        compiled += (unsigned)status;
    }
    assert_int_equal(compiled, 1);
}

static void folder_removed(void **state)
{
    struct sv_cache *c = open_cache(0);
    uint8_t key[SV_IMAGE_KEY_LEN], other[SV_IMAGE_KEY_LEN];
    int lock;
    struct sv_cache_name name = name_of(1);

    (void)state;
    assert_int_equal(store(NULL, c, 1, "image", 5), 0);
    assert_int_equal(sv_cache_key(NULL, c, key), 0);
    remove_tree(place);
    assert_int_equal(entry_len(c, 1), -1);
    sv_cache_remove(c, &name);
    assert_int_equal(sv_cache_key(NULL, c, other), 0); /* a new folder, a new key */
    assert_memory_not_equal(key, other, sizeof key);
    remove_tree(place);
    assert_int_equal(store(NULL, c, 1, "image", 5), 0);
    assert_int_equal(entry_len(c, 1), 5);
    remove_tree(place);
    assert_int_equal(sv_cache_lock(NULL, c, &name, false, &lock), 0);
    close(lock);
    sv_cache_close(c);
}

/* Several threads use one cache while the folder is removed under them. */
static void *use(void *argument)
{
    struct sv_cache *c = argument;

    for (unsigned n = 0; n < 100; n++) {
        uint8_t key[SV_IMAGE_KEY_LEN], digest[SV_SHA256_LEN], right[SV_SHA256_LEN];
        struct sv_cache_name name = name_of(n % 5);
        struct sv_cache_entry entry;
        char byte;

        (void)store(NULL, c, n % 5, "image", 5);
        (void)sv_cache_key(NULL, c, key);
        if (sv_cache_find(NULL, c, &name, &entry) < 0 || entry.file.fd < 0)
            continue;
        sv_cache_mark(c, &name, &entry);
        if (read(entry.file.fd, &byte, 1) != 1 || byte != 'i')
            abort();
        sv_cache_digest(c, &entry.file, "image", 5, digest);
        sv_sha256("image", 5, right);
        if (memcmp(digest, right, sizeof right) != 0)
            abort();
        close(entry.file.fd);
    }
    return NULL;
}

static void threads(void **state)
{
    struct sv_cache *c = open_cache(0);
    pthread_t all[3];

    (void)state;
    for (size_t i = 0; i < SV_COUNT(all); i++)
        assert_int_equal(pthread_create(&all[i], NULL, use, c), 0);
    for (int i = 0; i < 50; i++) {
        remove_tree(place);
        usleep(500);
    }
    for (size_t i = 0; i < SV_COUNT(all); i++)
        pthread_join(all[i], NULL);
    sv_cache_close(c);
}

static void set_age(const char *path, int seconds)
{
    struct timespec times[2];

    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= seconds;
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, path, times, AT_SYMLINK_NOFOLLOW), 0);
}

static void eviction(void **state)
{
    enum { LEN = 20000 };
    struct sv_cache *c = open_cache(5 * LEN);
    char *bytes = calloc(1, 6 * LEN);
    struct sv_cache_name name;
    struct sv_err err = {0};

    (void)state;
    assert_int_equal(sv_cache_key(NULL, c, (uint8_t *)bytes), 0);
    write_file(in_cache("notes"), bytes, 6 * LEN, 0644); /* not ours: neither counted nor removed */
    write_file(in_cache("tmp.0000000000000001"), "old", 3, 0600);
    set_age(in_cache("tmp.0000000000000001"), 4000);
    write_file(in_cache("tmp.0000000000000002"), "new", 3, 0600);
    for (unsigned n = 0; n < 5; n++) {
        assert_int_equal(store(NULL, c, n, bytes, LEN), 0);
        name = name_of(n);
        set_age(path_of(&name), 10000 - (int)n * 100);
    }
    assert_int_equal(entry_len(c, 0), LEN); /* used: now the youngest */
    assert_int_equal(store(NULL, c, 5, bytes, LEN), 0);
    assert_int_equal(entry_len(c, 0), LEN);
    assert_int_equal(entry_len(c, 1), -1);
    assert_int_equal(entry_len(c, 2), LEN);
    name = name_of(4);
    set_age(path_of(&name), 100000);
    assert_int_equal(store(NULL, c, 6, bytes, 2 * LEN), 0); /* two go */
    assert_int_equal(entry_len(c, 4), -1);
    assert_int_equal(entry_len(c, 3), -1);
    assert_int_equal(entry_len(c, 6), 2 * LEN);
    assert_int_equal(store(&err, c, 7, bytes, 5 * LEN + 1), SV_EIO);
    assert_non_null(strstr(err.text, "larger than the cache"));
    assert_int_equal(entry_len(c, 6), 2 * LEN); /* nothing went for what could not come */
    assert_int_equal(store(NULL, c, 7, bytes, 5 * LEN), 0);
    assert_int_equal(entry_len(c, 6), -1);
    assert_int_equal(access(in_cache("notes"), F_OK), 0);
    assert_int_equal(access(in_cache("tmp.0000000000000001"), F_OK), -1);
    assert_int_equal(access(in_cache("tmp.0000000000000002"), F_OK), 0);
    assert_int_equal(access(in_cache("key"), F_OK), 0);
    sv_cache_close(c);
    free(bytes);
}

/* Processes that all write more than there is room for. */
static void eviction_race(void **state)
{
    enum { LEN = 10000 };
    pid_t children[4];
    char bytes[LEN] = {0};
    uint64_t sum = 0;
    struct sv_cache *c;

    (void)state;
    for (unsigned i = 0; i < SV_COUNT(children); i++) {
        children[i] = fork();
        if (children[i] == 0) {
            c = open_cache(5 * LEN);
            for (unsigned n = 0; n < 30; n++) {
                if (store(NULL, c, 100 * i + n, bytes, LEN) < 0)
                    _exit(1);
            }
            _exit(0);
        }
    }
    for (size_t i = 0; i < SV_COUNT(children); i++)
        assert_int_equal(status_of(children[i]), 0);
    c = open_cache(5 * LEN);
    assert_int_equal(store(NULL, c, 1000, bytes, LEN), 0);
    for (unsigned n = 0; n <= 1000; n++) {
        int64_t len = entry_len(c, n);

        sum += len > 0 ? (uint64_t)len : 0;
    }
    assert_int_equal(sum, 5 * LEN);
    assert_int_equal(entry_len(c, 1000), LEN);
    sv_cache_close(c);
}

/* The use of an entry is noted, but not at each start. */
static void touched(void **state)
{
    struct sv_cache *c = open_cache(0);
    struct sv_cache_name name = name_of(1);
    struct stat before, after;

    (void)state;
    assert_int_equal(store(NULL, c, 1, "image", 5), 0);
    set_age(path_of(&name), 1000);
    assert_int_equal(stat(path_of(&name), &before), 0);
    assert_int_equal(entry_len(c, 1), 5);
    assert_int_equal(stat(path_of(&name), &after), 0);
    assert_memory_equal(&before.st_mtim, &after.st_mtim, sizeof after.st_mtim);
    set_age(path_of(&name), 3700);
    assert_int_equal(entry_len(c, 1), 5);
    assert_int_equal(stat(path_of(&name), &after), 0);
    assert_true(after.st_mtim.tv_sec - before.st_mtim.tv_sec >= 990);
    set_age(path_of(&name), -100000); /* a clock that was wrong */
    assert_int_equal(entry_len(c, 1), 5);
    assert_int_equal(stat(path_of(&name), &after), 0);
    assert_true(after.st_mtim.tv_sec - before.st_mtim.tv_sec < 2000);
    sv_cache_close(c);
}

/* No allocation that fails does harm (it fails in the torture build only). */
static void out_of_memory(void **state)
{
    (void)state;
    for (unsigned long n = 1; n < 12; n++) {
        struct sv_cache *c = NULL;

        sv_alloc_fail_at(n);
        if (sv_cache_open(NULL, place, 0, &c) == 0)
            (void)store(NULL, c, 1, "image", 5);
        sv_alloc_fail_at(0);
        sv_cache_close(c);
    }
    assert_int_equal(count_files("tmp"), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(made_when_needed),
        TEST(contents),
        TEST(names),
        TEST(bad_folders),
        TEST(folder_swapped),
        TEST(bad_entries),
        TEST(keys),
        TEST(key_race),
        TEST(file_limit),
        TEST(full_disk),
        TEST(read_only_folder),
        TEST(entry_race),
        TEST(locks),
        TEST(compile_race),
        TEST(folder_removed),
        TEST(threads),
        TEST(eviction),
        TEST(eviction_race),
        TEST(touched),
        TEST(out_of_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
