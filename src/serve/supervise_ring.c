/* The rings of records, as files in the data folder: when all processes of a server are killed at
 * once, the next one counts what they have left. What is in them is not read here. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "platform/record.h"
#include "serve/supervisor.h"

#define FOLDER "rings"
#define LOCK_TRIES 50 /* of 10 ms: processes of a server that was killed are ending */
#define BOOT_LEN 36
#define NAME_SIZE (BOOT_LEN + 1 + 16 + 1 + SRV_TENANT_SIZE)
#define ZFS_MAGIC 0x2fc12fc1
#define BCACHEFS_MAGIC 0xca451a4e

/* A name begins with the boot's id: what memory had when the machine went down is half on the disk,
 * and not to be counted. False: the system does not tell. */
static bool read_boot(char ret[BOOT_LEN + 1])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, ret, BOOT_LEN) : -1;

    if (fd >= 0)
        close(fd);
    ret[BOOT_LEN] = '\0';
    return n == BOOT_LEN;
}

static bool make_name(char ret[NAME_SIZE], uint64_t id, const char *tenant)
{
    char boot[BOOT_LEN + 1];

    if (!read_boot(boot))
        return false;
    snprintf(ret, NAME_SIZE, "%s-%016" PRIx64 "%s%s", boot, id, *tenant ? "-" : "", tenant);
    return true;
}

static int open_folder(const struct srv_supervisor *s)
{
    char path[PATH_MAX + 8];

    snprintf(path, sizeof path, "%s/" FOLDER, s->server->data);
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
}

static void *map(int fd)
{
    void *memory = mmap(NULL, plat_ring_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

/* Is what was reserved there still to be had when the disk is full? Where each writing takes a new
 * place, it is not, and a worker would die of it. */
static bool keeps_places(int fd)
{
    struct statfs fs;

    return fstatfs(fd, &fs) == 0 && (uint32_t)fs.f_type != (uint32_t)BTRFS_SUPER_MAGIC &&
           (uint32_t)fs.f_type != ZFS_MAGIC && (uint32_t)fs.f_type != BCACHEFS_MAGIC;
}

/* Zeroed places on the disk. The lock is the open file's, which all who map it share: it is free
 * when the last of them is gone. */
static int make_file(int folder, const char *name)
{
    int fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0)
        return -1;
    if (keeps_places(fd) && flock(fd, LOCK_EX | LOCK_NB) == 0 &&
        fallocate(fd, 0, 0, (off_t)plat_ring_bytes()) == 0)
        return fd;
    close(fd);
    unlinkat(folder, name, 0);
    return -1;
}

static int make_memory(void)
{
    int fd = memfd_create("ssvm-records", MFD_CLOEXEC);

    if (fd >= 0 && ftruncate(fd, (off_t)plat_ring_bytes()) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int srv_ring_new(const struct srv_supervisor *s, const char *tenant)
{
    char name[NAME_SIZE];
    int folder = open_folder(s), fd = -1;
    void *memory;
    uint64_t id;

    if (getrandom(&id, sizeof id, 0) == sizeof id) {
        if (folder >= 0 && make_name(name, id, tenant))
            fd = make_file(folder, name);
        if (fd < 0)
            fd = make_memory();
    }
    if (folder >= 0)
        close(folder);
    memory = fd >= 0 ? map(fd) : NULL;
    if (!memory) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    plat_ring_init(memory, id);
    munmap(memory, plat_ring_bytes());
    return fd;
}

/* What a worker must find in its ring's head, which the one before it could write, or it does not
 * start: the same for all rings. Who reads there meanwhile finds it so already. */
void srv_ring_renew(const struct srv_slot *slot)
{
    struct plat_ring *ring = slot->ring >= 0 ? map(slot->ring) : NULL;

    if (!ring)
        return;
    plat_ring_init(ring, plat_ring_id(ring));
    munmap(ring, plat_ring_bytes());
}

/* ---- What another server left ---- */

/* Whoever has it is of a server that ends: its control process counts what is in there. */
static bool lock_soon(int fd, int *tries)
{
    static const struct timespec pause = {.tv_nsec = 10000000};

    while (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK || (*tries)-- <= 0)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

/* Its records that nobody has counted are to be counted. Nobody writes any more. */
static bool has_records(int fd)
{
    struct plat_ring *ring;
    struct stat st;
    void *memory;
    bool ret;

    if (fstat(fd, &st) < 0 || (size_t)st.st_size != plat_ring_bytes())
        return false;
    memory = map(fd);
    if (!memory)
        return false;
    ring = plat_ring_open(memory, plat_ring_bytes());
    if (ring)
        plat_ring_settle(ring);
    ret = ring && !plat_ring_is_empty(ring);
    munmap(memory, plat_ring_bytes());
    return ret;
}

static struct srv_slot *find_slot(struct srv_supervisor *s)
{
    for (unsigned i = 0; i < SRV_SLOTS_MAX; i++) {
        if (s->slots[i].ring < 0 && s->slots[i].state == SRV_SLOT_FREE)
            return &s->slots[i];
    }
    return NULL;
}

static void take_file(struct srv_supervisor *s, int folder, const char *name, int *tries)
{
    int fd = openat(folder, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct srv_slot *slot = find_slot(s);

    if (fd < 0)
        return;
    if (slot && lock_soon(fd, tries)) {
        if (has_records(fd)) {
            slot->ring = fd;
            if (strlen(name) > BOOT_LEN + 1 + 16 + 1 && name[BOOT_LEN + 1 + 16] == '-')
                snprintf(slot->tenant, sizeof slot->tenant, "%s", name + BOOT_LEN + 1 + 16 + 1);
            return;
        }
        unlinkat(folder, name, 0);
    }
    close(fd);
}

void srv_rings_take(struct srv_supervisor *s)
{
    int folder = open_folder(s), tries = s->started ? 0 : LOCK_TRIES;
    DIR *list = folder >= 0 ? fdopendir(folder) : NULL;
    char boot[BOOT_LEN + 1];
    const struct dirent *entry;

    if (!list) {
        if (folder >= 0)
            close(folder);
        return;
    }
    while (read_boot(boot) && (entry = readdir(list))) {
        if (entry->d_name[0] == '.')
            continue;
        if (strncmp(entry->d_name, boot, BOOT_LEN) == 0)
            take_file(s, folder, entry->d_name, &tries);
        else
            unlinkat(folder, entry->d_name, 0);
    }
    closedir(list);
}

/* The name comes from what a worker could write. */
static bool is_file(int folder, const char *name, int fd)
{
    struct stat named, ours;

    return fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &ours) == 0 &&
           named.st_ino == ours.st_ino && named.st_dev == ours.st_dev;
}

void srv_rings_remove(const struct srv_supervisor *s)
{
    int folder = open_folder(s);

    for (unsigned i = 0; folder >= 0 && i < SRV_SLOTS_MAX; i++) {
        struct plat_ring *ring = s->slots[i].ring >= 0 ? map(s->slots[i].ring) : NULL;
        char name[NAME_SIZE];

        if (!ring)
            continue;
        if (plat_ring_is_empty(ring) && make_name(name, plat_ring_id(ring), s->slots[i].tenant) &&
            is_file(folder, name, s->slots[i].ring))
            unlinkat(folder, name, 0);
        munmap(ring, plat_ring_bytes());
    }
    if (folder >= 0)
        close(folder);
}

static bool has_name(int fd)
{
    struct stat st;

    return fstat(fd, &st) < 0 || st.st_nlink > 0;
}

bool srv_ring_rename(const struct srv_supervisor *s, const struct srv_slot *slot,
                     const char *tenant)
{
    struct plat_ring *ring = slot->ring >= 0 ? map(slot->ring) : NULL;
    char from[NAME_SIZE], to[NAME_SIZE];
    int folder = ring ? open_folder(s) : -1;
    bool done = false;

    if (folder >= 0 && plat_ring_is_empty(ring) &&
        make_name(from, plat_ring_id(ring), slot->tenant) &&
        make_name(to, plat_ring_id(ring), tenant)) {
        /* One in memory has no name. The id is what a worker could write: one that has a name, but
         * not that, stays whose it is. */
        done = is_file(folder, from, slot->ring) ? renameat(folder, from, folder, to) == 0
                                                 : !has_name(slot->ring);
    }
    if (folder >= 0)
        close(folder);
    if (ring)
        munmap(ring, plat_ring_bytes());
    return done;
}
