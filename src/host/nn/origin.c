/* Models in a module's data. Guests pass the same bytes at each call; while they are pages of the
 * image that all instances map, nobody has to look at them. */
#include "host/nn/grant.h"
#include "runtime/region.h"

struct sv_data_image *sv_nn_origin_of(const struct sv_nn_bytes *b)
{
    struct sv_region *region = b->memory ? b->memory->region : NULL;

    if (!region || !region->image || region->broken ||
        !sv_data_image_covers(region->image, b->at, b->len) ||
        !sv_region_is_clean(region, b->at, b->at + b->len, sv_memory_is_exclusive(b->memory)))
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
