/* Keys of session tickets in memory that processes share. A reader that meets a change reads again:
 * `changes` is odd while there is one. Who changes is the supervisor: workers do not outlive it. */
#include "serve/ticket.h"

#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

struct srv_tickets {
    _Atomic uint64_t changes;
    struct srv_ticket_key keys[SRV_TICKET_KEYS];
};

static bool new_key(struct srv_ticket_key *key)
{
    return getrandom(key, sizeof *key, 0) == sizeof *key;
}

/* The same memory, for reading alone. */
static int open_again(int fd)
{
    char path[40];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return open(path, O_RDONLY | O_CLOEXEC);
}

own struct srv_tickets *srv_tickets_new(own int *ret_fd)
{
    int fd = memfd_create("ssvm-tickets", MFD_CLOEXEC);
    struct srv_tickets *t = MAP_FAILED;

    *ret_fd = -1;
    if (fd < 0)
        return NULL;
    if (ftruncate(fd, sizeof *t) == 0)
        t = mmap(NULL, sizeof *t, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (t == MAP_FAILED) {
        close(fd);
        return NULL;
    }
    *ret_fd = open_again(fd);
    close(fd);
    if (*ret_fd >= 0 && new_key(&t->keys[0]) && new_key(&t->keys[1]))
        return t;
    if (*ret_fd >= 0)
        close(*ret_fd);
    *ret_fd = -1;
    munmap(t, sizeof *t);
    return NULL;
}

void srv_tickets_rotate(struct srv_tickets *t)
{
    struct srv_ticket_key key;

    if (!new_key(&key))
        return;
    atomic_fetch_add(&t->changes, 1);
    memmove(t->keys + 1, t->keys, sizeof t->keys - sizeof t->keys[0]);
    t->keys[0] = key;
    atomic_fetch_add(&t->changes, 1);
    explicit_bzero(&key, sizeof key);
}

own const struct srv_tickets *srv_tickets_open(own int fd)
{
    void *t;

    if (fd < 0)
        return NULL;
    t = mmap(NULL, sizeof(struct srv_tickets), PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    return t == MAP_FAILED ? NULL : t;
}

void srv_tickets_close(own const struct srv_tickets *t)
{
    if (t)
        munmap((void *)t, sizeof *t);
}

void srv_tickets_read(const struct srv_tickets *t, struct srv_ticket_key ret[SRV_TICKET_KEYS])
{
    uint64_t before;

    do {
        before = atomic_load(&t->changes);
        memcpy(ret, t->keys, sizeof t->keys);
        atomic_thread_fence(memory_order_acquire);
    } while (before % 2 != 0 || atomic_load(&t->changes) != before);
}
