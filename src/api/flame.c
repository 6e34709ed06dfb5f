/* Flame graphs: a profile's tree as an SVG that needs nothing else. Callers below, callees on them,
 * as wide as their share. */
#include <inttypes.h>

#include "api/profile.h"

#define WIDTH 1200.0
#define MARGIN 10.0
#define ROW 17
#define HEAD 40
#define WIDTH_MIN 0.25 /* narrower boxes are not seen */
#define CHAR_WIDTH 7.2
#define PAD 3.0

struct box {
    double x;       /* in samples, from the left */
    double next;    /* where the next callee begins */
    uint64_t total; /* samples, callees included */
    uint32_t depth; /* the root's is 0 */
};

struct flame {
    const struct sv_profile *profile;
    struct box *boxes; /* by node */
    double scale;      /* of a sample */
    uint32_t depth;    /* of what is drawn */
};

/* Callers come before callees in the tree: from the end, sums; from the beginning, places. */
static void lay_out(struct flame *f)
{
    const struct sv_profile_node *nodes = f->profile->nodes;
    uint32_t n = f->profile->nnodes;

    for (uint32_t i = n; i-- > 0;) {
        f->boxes[i].total += nodes[i].samples;
        if (i > 0)
            f->boxes[nodes[i].parent].total += f->boxes[i].total;
    }
    f->scale = f->boxes[0].total ? (WIDTH - 2 * MARGIN) / (double)f->boxes[0].total : 0;
    for (uint32_t i = 1; i < n; i++) {
        struct box *up = &f->boxes[nodes[i].parent], *box = &f->boxes[i];

        box->x = box->next = up->next;
        box->depth = up->depth + 1;
        up->next += (double)box->total;
        if ((double)box->total * f->scale >= WIDTH_MIN && box->depth > f->depth)
            f->depth = box->depth;
    }
}

/* At most `max` characters. */
static void print_text(struct sv_buf *b, const struct sv_buf *text, size_t max)
{
    size_t chars = 0, step;

    for (size_t i = 0; i < text->len; i += step, chars++) {
        const unsigned char *c = text->data + i;

        step = sv_utf8_len(c, text->len - i);
        step = step ? step : 1;
        if (chars + 2 >= max && max < text->len) {
            sv_buf_puts(b, "..");
            return;
        }
        if (*c == '&')
            sv_buf_puts(b, "&amp;");
        else if (*c == '<')
            sv_buf_puts(b, "&lt;");
        else if (*c == '>')
            sv_buf_puts(b, "&gt;");
        else
            sv_buf_append(b, c, step);
    }
}

/* Warm colours, the same for a name each time. */
static void print_colour(struct sv_buf *b, const struct sv_buf *name)
{
    uint64_t h = sv_hash(name->data, name->len);

    sv_buf_printf(b, "rgb(%u,%u,%u)", 205 + (unsigned)(h % 50), 80 + (unsigned)(h >> 8) % 150,
                  (unsigned)(h >> 24) % 55);
}

static void print_box(struct sv_buf *b, const struct flame *f, uint32_t node, struct sv_buf *name)
{
    const struct box *box = &f->boxes[node];
    double x = MARGIN + box->x * f->scale, width = (double)box->total * f->scale;
    uint32_t y = HEAD + (f->depth - box->depth) * ROW;

    sv_buf_clear(name);
    sv_api_print_node(name, f->profile, node);
    sv_buf_puts(b, "<g><title>");
    print_text(b, name, SIZE_MAX);
    sv_buf_printf(b, " (%" PRIu64 " samples, %.2f %%)</title>", box->total,
                  100.0 * (double)box->total / (double)f->boxes[0].total);
    sv_buf_printf(b, "<rect x=\"%.2f\" y=\"%u\" width=\"%.2f\" height=\"%d\" rx=\"1\" fill=\"", x,
                  y, width, ROW - 1);
    print_colour(b, name);
    sv_buf_puts(b, "\"/>");
    if (width >= 3 * CHAR_WIDTH + 2 * PAD) {
        sv_buf_printf(b, "<text x=\"%.2f\" y=\"%u\">", x + PAD, y + ROW - 5);
        print_text(b, name, (size_t)((width - 2 * PAD) / CHAR_WIDTH));
        sv_buf_puts(b, "</text>");
    }
    sv_buf_puts(b, "</g>\n");
}

void sv_api_print_flame(struct sv_buf *b, const struct sv_profile *p)
{
    struct flame f = {.profile = p, .boxes = sv_alloc_array_zero(p->nnodes, sizeof *f.boxes)};
    uint32_t height;
    struct sv_buf name;

    if (!f.boxes) {
        b->failed = true;
        return;
    }
    lay_out(&f);
    height = HEAD + (f.depth + 1) * ROW + (uint32_t)MARGIN;
    sv_buf_printf(b,
                  "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%.0f\" height=\"%u\" "
                  "viewBox=\"0 0 %.0f %u\" font-family=\"monospace\" font-size=\"12\">\n"
                  "<style>rect:hover{stroke:#000}text{pointer-events:none}</style>\n"
                  "<rect width=\"100%%\" height=\"100%%\" fill=\"#fffdf5\"/>\n"
                  "<text x=\"%.0f\" y=\"24\" font-size=\"16\">%s, %" PRIu64 " ms</text>\n",
                  WIDTH, height, WIDTH, height, MARGIN, "CPU time of the guest", f.boxes[0].total);
    sv_buf_init(&name, b->max);
    for (uint32_t i = 0; i < p->nnodes && !b->failed; i++) {
        if (f.boxes[i].total && (double)f.boxes[i].total * f.scale >= WIDTH_MIN)
            print_box(b, &f, i, &name);
    }
    sv_buf_puts(b, "</svg>\n");
    b->failed |= name.failed;
    sv_buf_release(&name);
    sv_free(f.boxes);
}
