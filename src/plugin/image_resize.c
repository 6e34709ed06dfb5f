/* Resizing of rows as they come: two of them are kept, not the picture. */
#include <stdlib.h>

#include "plugin/image.h"

/* Weights have 12 bits: 255 * 4096 * 4096 and its rounding fit 32 bits. */
#define BITS 12
#define ONE (1u << BITS)

struct sample {
    uint32_t at, next; /* pixels (of a row: times 3) */
    uint32_t weight;   /* of next, of ONE */
};
struct resizer {
    uint32_t src_w, src_h, w, h;
    uint8_t *ret;
    struct sample *columns;
    uint32_t *rows[2];    /* source rows y and y + 1 at their last bit, of width w */
    uint32_t source, out; /* the next source row, the next row of the result */
};

/* Where the centre of pixel `i` of `size` lies among `src` pixels: (i + 1/2) * src / size - 1/2. */
static struct sample sample(uint32_t i, uint32_t size, uint32_t src)
{
    int64_t n = ((2 * (int64_t)i + 1) * src - size) * (int64_t)ONE;
    uint64_t at = n <= 0 ? 0 : ((uint64_t)n + size) / (2 * (uint64_t)size);
    struct sample s = {(uint32_t)(at >> BITS), 0, (uint32_t)(at & (ONE - 1))};

    if (s.at >= src - 1) {
        s.at = src - 1;
        s.weight = 0;
    }
    s.next = s.weight ? s.at + 1 : s.at;
    return s;
}

void resizer_delete(struct resizer *r)
{
    if (!r)
        return;
    free(r->columns);
    free(r->rows[0]);
    free(r->rows[1]);
    free(r);
}

struct resizer *resizer_new(uint32_t src_w, uint32_t src_h, uint32_t w, uint32_t h, uint8_t *ret)
{
    struct resizer *r = calloc(1, sizeof *r);

    if (!r)
        return NULL;
    *r = (struct resizer){.src_w = src_w, .src_h = src_h, .w = w, .h = h, .ret = ret};
    r->columns = calloc(w, sizeof *r->columns);
    r->rows[0] = calloc(w, 3 * sizeof *r->rows[0]);
    r->rows[1] = calloc(w, 3 * sizeof *r->rows[1]);
    if (!r->columns || !r->rows[0] || !r->rows[1]) {
        resizer_delete(r);
        return NULL;
    }
    for (uint32_t x = 0; x < w; x++) {
        r->columns[x] = sample(x, w, src_w);
        r->columns[x].at *= 3;
        r->columns[x].next *= 3;
    }
    return r;
}

static void widen(const struct resizer *r, const uint8_t *row, uint32_t *ret)
{
    for (uint32_t x = 0; x < r->w; x++, ret += 3) {
        const struct sample *s = &r->columns[x];

        for (unsigned i = 0; i < 3; i++)
            ret[i] = row[s->at + i] * (ONE - s->weight) + row[s->next + i] * s->weight;
    }
}

/* Does the next row of the result begin in a later one than `y`? */
static bool is_later(const struct resizer *r, uint32_t y)
{
    return r->out == r->h || y < sample(r->out, r->h, r->src_h).at;
}

void resizer_row(struct resizer *r, const uint8_t *row)
{
    uint32_t y = r->source++;

    if (!is_later(r, y))
        widen(r, row, r->rows[y & 1]);
}

bool resizer_next(struct resizer *r)
{
    const uint32_t *above, *below;
    struct sample s;
    uint8_t *to;

    if (r->out == r->h)
        return false;
    s = sample(r->out, r->h, r->src_h);
    if (s.next >= r->source)
        return false;
    to = r->ret + (size_t)r->out++ * r->w * 3;
    above = r->rows[s.at & 1];
    below = r->rows[s.next & 1];
    for (size_t i = 0; i < (size_t)r->w * 3; i++)
        to[i] = (uint8_t)((above[i] * (ONE - s.weight) + below[i] * s.weight +
                           (1u << (2 * BITS - 1))) >>
                          2 * BITS);
    return true;
}
