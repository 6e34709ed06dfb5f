/* Shared rates: a hash table in a memfd, open addressing. Nothing is ever taken out: ids are never
 * used twice, and functions without a rate have no place. */
#include "platform/rate.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLACES 16384 /* a power of two */
#define PROBES 32

struct plat_rates {
    struct plat_rate places[PLACES];
};

int plat_rates_new(struct sv_err *err, own int *ret_fd)
{
    int fd = memfd_create("ssvm-rates", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    /* A worker must not be able to take memory away that others have mapped. */
    if (fd < 0 || ftruncate(fd, sizeof(struct plat_rates)) < 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0) {
        int r = sv_fail(err, SV_EIO, SV_NO_OFFSET, "no shared memory: %s", strerror(errno));

        if (fd >= 0)
            close(fd);
        return r;
    }
    *ret_fd = fd;
    return 0;
}

struct plat_rates *plat_rates_open(int fd)
{
    struct stat st;
    void *memory;

    if (fstat(fd, &st) < 0 || st.st_size != (off_t)sizeof(struct plat_rates))
        return NULL;
    memory = mmap(NULL, sizeof(struct plat_rates), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

struct plat_rate *plat_rates_find(struct plat_rates *rates, uint64_t id)
{
    for (uint64_t i = 0; i < PROBES; i++) {
        struct plat_rate *r = &rates->places[(id + i) & (PLACES - 1)];
        uint64_t was = 0;

        if (atomic_load(&r->id) == id || atomic_compare_exchange_strong(&r->id, &was, id) ||
            was == id)
            return r;
    }
    return NULL;
}
