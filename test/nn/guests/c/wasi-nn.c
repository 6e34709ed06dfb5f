/* The C header of wasi-nn, every function of it. Usage: guest CALL MODEL PICTURE */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wasi_nn.h"

#define SIDE 224
#define CLASSES 61

static uint8_t *read_file(const char *name, uint32_t *ret_len)
{
    FILE *f = fopen(name, "rb");
    uint8_t *bytes = NULL;
    size_t len = 0, n;

    if (!f) {
        perror(name);
        exit(1);
    }
    do {
        bytes = realloc(bytes, len + 65536);
        if (!bytes)
            exit(1);
        n = fread(bytes + len, 1, 65536, f);
        len += n;
    } while (n > 0);
    fclose(f);
    *ret_len = (uint32_t)len;
    return bytes;
}

static void check(const char *what, int error)
{
    if (error == WASI_NN_SUCCESS)
        return;
    printf("%s: %s\n", what, wasi_nn_error_text(error));
    exit(0);
}

int main(int argc, char **argv)
{
    static const uint32_t sides[] = {1, SIDE, SIDE, 3};
    static float pixels[SIDE * SIDE * 3], out[CLASSES];
    uint32_t len, room = sizeof out;
    wasi_nn_part part;
    wasi_nn_graph graph;
    wasi_nn_context context;
    wasi_nn_tensor input = {sides, 4, WASI_NN_F32, pixels, sizeof pixels};
    unsigned best = 0;
    uint8_t *bytes;

    if (argc != 4)
        return 2;
    if (strcmp(argv[1], "by-name") == 0) {
        check("load_by_name", wasi_nn_load_by_name(argv[2], (uint32_t)strlen(argv[2]), &graph));
        return 0;
    }
    part.bytes = read_file(argv[2], &part.len);
    bytes = read_file(argv[3], &len);
    for (uint32_t i = 0; i < len && i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = (float)bytes[i] / 255.0f;
    if (strcmp(argv[1], "no-room") == 0)
        room = 8;
    else if (strcmp(argv[1], "wrong-length") == 0)
        input.len -= 4;
    check("load", wasi_nn_load(&part, 1, WASI_NN_AUTODETECT, WASI_NN_CPU, &graph));
    check("init_execution_context", wasi_nn_init_execution_context(graph, &context));
    check("set_input", wasi_nn_set_input(context, 0, &input));
    check("compute", wasi_nn_compute(context));
    check("get_output", wasi_nn_get_output(context, 0, out, room, &len));
    for (unsigned i = 1; i < CLASSES; i++)
        best = out[i] > out[best] ? i : best;
    printf("%u bytes\n%u %.6f\n", (unsigned)len, best, (double)out[best]);
    return 0;
}
