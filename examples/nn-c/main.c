/* What is on the picture? wasi-nn from C: the host runs the model. The picture is 224 by 224 by 3
 * bytes, red first (`convert PICTURE -resize '224x224!' -depth 8 rgb:picture.rgb`).
 *
 *     clang --target=wasm32-wasi -O2 -I sdk/c -o nn-c.wasm examples/nn-c/main.c
 *     ssvm run --nn auto --dir . nn-c.wasm MODEL LABELS picture.rgb */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasi_nn.h"

#define SIDE 224
#define LABEL_MAX 128

struct file {
    uint8_t *bytes;
    uint32_t len;
};

_Noreturn static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static struct file read_file(const char *name)
{
    struct file ret = {NULL, 0};
    FILE *f = fopen(name, "rb");
    long len;

    if (!f || fseek(f, 0, SEEK_END) != 0 || (len = ftell(f)) < 0)
        die(name, "cannot be read");
    rewind(f);
    ret.bytes = malloc((size_t)len + 1);
    if (!ret.bytes || fread(ret.bytes, 1, (size_t)len, f) != (size_t)len)
        die(name, "cannot be read");
    ret.bytes[len] = 0;
    ret.len = (uint32_t)len;
    fclose(f);
    return ret;
}

static void check(const char *what, int error)
{
    if (error)
        die(what, wasi_nn_error_text(error));
}

/* Line `n` of a text. */
static void print_line(const char *text, unsigned n)
{
    for (; n > 0 && text; n--) {
        text = strchr(text, '\n');
        if (text)
            text++;
    }
    printf("%.*s", text ? (int)strcspn(text, "\r\n") : 0, text ? text : "");
}

int main(int argc, char **argv)
{
    static const uint32_t sides[] = {1, SIDE, SIDE, 3};
    static float pixels[SIDE * SIDE * 3], scores[4096];
    wasi_nn_tensor input = {sides, 4, WASI_NN_F32, pixels, sizeof pixels};
    struct file model, labels, picture;
    wasi_nn_context context;
    wasi_nn_graph graph;
    wasi_nn_part part;
    unsigned best = 0;
    uint32_t len;

    if (argc != 4)
        die("usage", "nn-c MODEL LABELS PICTURE.rgb");
    model = read_file(argv[1]);
    labels = read_file(argv[2]);
    picture = read_file(argv[3]);
    if (picture.len != sizeof pixels / sizeof *pixels)
        die(argv[3], "is not 224 by 224 pixels of three bytes");
    for (unsigned i = 0; i < picture.len; i++)
        pixels[i] = (float)picture.bytes[i] / 255.0f;

    part = (wasi_nn_part){model.bytes, model.len};
    check("the model", wasi_nn_load(&part, 1, WASI_NN_AUTODETECT, WASI_NN_CPU, &graph));
    check("the model", wasi_nn_init_execution_context(graph, &context));
    check("the picture", wasi_nn_set_input(context, 0, &input));
    check("the model's run", wasi_nn_compute(context));
    check("the answer", wasi_nn_get_output(context, 0, scores, sizeof scores, &len));

    for (unsigned i = 1; i < len / sizeof *scores; i++)
        best = scores[i] > scores[best] ? i : best;
    print_line((const char *)labels.bytes, best);
    printf(" %.0f %%\n", (double)scores[best] * 100);
    return 0;
}
