/* Models in a module's data. Guests pass the same bytes at each call; while they are pages of the
 * image that all instances map, nobody has to look at them. The system tells which pages are. */
#include <fcntl.h>
#include <stdatomic.h>
#include <unistd.h>

#include "base/pages.h"
#include "host/nn/grant.h"
#include "runtime/region.h"

/* Of an entry of /proc/self/pagemap. */
#define PRESENT (UINT64_C(1) << 63)
#define SWAPPED (UINT64_C(1) << 62)
#define OF_FILE (UINT64_C(1) << 61)
#define ENTRIES 512 /* that are read at once */

/* A file's, or not yet there; not a copy of the process's own. */
static bool is_clean(uint64_t entry)
{
    return entry & PRESENT ? (entry & OF_FILE) != 0 : (entry & SWAPPED) == 0;
}

/* With the lock held. Another process's would tell of its pages: one that came by fork opens its
 * own. */
static int pagemap(struct sv_nn *nn)
{
    pid_t self = getpid();

    if (nn->pagemap_pid != self) {
        if (nn->pagemap >= 0)
            close(nn->pagemap);
        nn->pagemap = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
        nn->pagemap_pid = self;
    }
    return nn->pagemap;
}

static bool all_clean(struct sv_nn *nn, const uint8_t *ptr, size_t len)
{
    uint64_t entries[ENTRIES], page = (uintptr_t)ptr / sv_page_size(),
                               end = ((uintptr_t)ptr + len - 1) / sv_page_size() + 1;
    int fd;

    pthread_mutex_lock(&nn->lock);
    fd = pagemap(nn);
    pthread_mutex_unlock(&nn->lock);
    while (fd >= 0 && page < end) {
        size_t n = end - page < ENTRIES ? end - page : ENTRIES;

        if (pread(fd, entries, n * sizeof *entries, (off_t)(page * sizeof *entries)) !=
            (ssize_t)(n * sizeof *entries))
            return false;
        for (size_t i = 0; i < n; i++)
            if (!is_clean(entries[i]))
                return false;
        page += n;
    }
    return fd >= 0;
}

struct sv_data_image *sv_nn_origin_of(struct sv_nn *nn, const struct sv_nn_bytes *b)
{
    const struct sv_region *region = b->memory ? b->memory->region : NULL;

    if (!region || !region->image || region->broken ||
        !sv_data_image_covers(region->image, b->at, b->len) || !all_clean(nn, b->ptr, b->len))
        return NULL;
    return region->image;
}

static void forget(struct sv_nn_origin *o)
{
    sv_data_image_unref(o->image);
    *o = (struct sv_nn_origin){0};
}

struct sv_nn_model *sv_nn_origin_find(struct sv_nn *nn, const struct sv_data_image *image,
                                      const struct sv_nn_bytes *b)
{
    for (unsigned i = 0; i < SV_NN_ORIGINS_MAX; i++) {
        const struct sv_nn_origin *o = &nn->origins[i];

        if (o->image == image && o->at == b->at && o->len == b->len)
            return o->model;
    }
    return NULL;
}

void sv_nn_origin_add(struct sv_nn *nn, struct sv_data_image *image, const struct sv_nn_bytes *b,
                      struct sv_nn_model *m)
{
    struct sv_nn_origin *o;

    if (sv_nn_origin_find(nn, image, b))
        return;
    /* Images of modules that are gone only hold memory. */
    for (unsigned i = 0; i < SV_NN_ORIGINS_MAX; i++)
        if (nn->origins[i].image && sv_data_image_is_dead(nn->origins[i].image))
            forget(&nn->origins[i]);
    o = &nn->origins[nn->next_origin++ % SV_NN_ORIGINS_MAX];
    forget(o);
    *o = (struct sv_nn_origin){sv_data_image_ref(image), b->at, b->len, m};
}

void sv_nn_origin_drop(struct sv_nn *nn, const struct sv_nn_model *m)
{
    for (unsigned i = 0; i < SV_NN_ORIGINS_MAX; i++)
        if (nn->origins[i].image && (!m || nn->origins[i].model == m))
            forget(&nn->origins[i]);
}
