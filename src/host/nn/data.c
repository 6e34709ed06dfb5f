/* Memory of tensors: aligned, with room behind it, and for inputs that of earlier ones. */
#include <sys/mman.h>

#include "base/pages.h"
#include "host/nn/grant.h"

#define ALIGN 64
/* Bytes of an input whose memory is kept for others. */
#define SPARE_MIN ((size_t)64 << 10)
#define SPARE_MAX ((size_t)4 << 20)
/* Bytes of an input that may have a huge page, most of which then holds nothing. */
#define HUGE_MIN ((size_t)256 << 10)
#define HUGE_PAGE ((size_t)2 << 20)
#define HUGE_LEN (HUGE_PAGE - ALIGN - SSVM_NN_SLACK)

/* In front of a tensor's bytes. */
struct data_head {
    void *raw; /* what was allocated */
    size_t len;
    bool huge;
};
static struct data_head *head_of(const void *data)
{
    return (struct data_head *)(uintptr_t)data - 1;
}

static void *data_at(uintptr_t at, struct data_head head)
{
    *head_of((void *)at) = head;
    return (void *)at;
}

own void *sv_nn_data_new(size_t len)
{
    struct data_head head = {NULL, len, false};
    size_t size;

    if (!sv_add_size(len, ALIGN + sizeof head + SSVM_NN_SLACK, &size))
        return NULL;
    head.raw = sv_alloc(size);
    if (!head.raw)
        return NULL;
    return data_at(((uintptr_t)head.raw + sizeof head + ALIGN - 1) & ~(uintptr_t)(ALIGN - 1), head);
}

void sv_nn_data_delete(own void *data)
{
    if (!data)
        return;
    if (head_of(data)->huge)
        sv_pages_release(head_of(data)->raw, 2 * HUGE_PAGE);
    else
        sv_free(head_of(data)->raw);
}

/* Where the system has no huge page, small ones are used as far as the input goes. */
static own void *huge_new(void)
{
    struct data_head head = {sv_pages_reserve(2 * HUGE_PAGE), HUGE_LEN, true};
    uintptr_t at = ((uintptr_t)head.raw + HUGE_PAGE - 1) & ~(HUGE_PAGE - 1);

    if (!head.raw)
        return NULL;
    if (!sv_pages_commit((void *)at, HUGE_PAGE)) {
        sv_pages_release(head.raw, 2 * HUGE_PAGE);
        return NULL;
    }
    (void)madvise((void *)at, HUGE_PAGE, MADV_HUGEPAGE);
    return data_at(at + ALIGN, head);
}

static bool fits(const struct data_head *head, size_t len)
{
    return head->len >= len && (head->huge ? len >= SPARE_MIN : head->len - len <= len / 4);
}

/* Pages that are new to the process cost several times what copying an input into them does, so
 * those of earlier inputs are used again. Half of what the copy costs then is finding small pages
 * whose tables the processor's caches have forgotten: hence the huge ones. */
own void *sv_nn_data_take(struct sv_nn *nn, size_t len)
{
    void *data = NULL;
    bool huge;

    pthread_mutex_lock(&nn->lock);
    for (unsigned i = 0; i < SV_NN_SPARES_MAX && !data; i++)
        if (nn->spares[i] && fits(head_of(nn->spares[i]), len)) {
            data = nn->spares[i];
            nn->spares[i] = NULL;
        }
    huge = !data && nn->nhuge < SV_NN_HUGE_MAX && len - HUGE_MIN <= HUGE_LEN - HUGE_MIN;
    nn->nhuge += huge;
    pthread_mutex_unlock(&nn->lock);
    if (huge)
        data = huge_new();
    return data ? data : sv_nn_data_new(len);
}

/* With the lock held: for a spare one. That of a huge page stays; there are fewer than places. */
static unsigned free_place(struct sv_nn *nn)
{
    for (unsigned i = 0; i < SV_NN_SPARES_MAX; i++)
        if (!nn->spares[i])
            return i;
    do
        nn->next_spare = (nn->next_spare + 1) % SV_NN_SPARES_MAX;
    while (head_of(nn->spares[nn->next_spare])->huge);
    return nn->next_spare;
}

void sv_nn_data_give(struct sv_nn *nn, own void *data)
{
    void *old = data;

    if (data && head_of(data)->len - SPARE_MIN <= SPARE_MAX - SPARE_MIN) {
        unsigned at;

        pthread_mutex_lock(&nn->lock);
        at = free_place(nn);
        old = nn->spares[at];
        nn->spares[at] = data;
        pthread_mutex_unlock(&nn->lock);
    }
    sv_nn_data_delete(old);
}

void sv_nn_data_release(struct sv_nn *nn)
{
    for (unsigned i = 0; i < SV_NN_SPARES_MAX; i++)
        sv_nn_data_delete(nn->spares[i]);
}
