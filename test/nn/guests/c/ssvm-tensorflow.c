/* The C header of ssvm_tensorflow, every function of it. Usage: guest MODEL.pb MODEL.tflite PICTURE
 * JPEG PNG */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ssvm_tensorflow.h"

#define SIDE 224
#define CLASSES 61
#define INPUT "input"
#define OUTPUT "MobilenetV2/Predictions/Softmax"
#define NAME(text) text, sizeof(text) - 1

static float pixels[SIDE * SIDE * 3];

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

static void print_top(const char *what, const float *out, uint32_t len)
{
    unsigned best = 0;

    for (unsigned i = 1; i < len / sizeof *out; i++)
        best = out[i] > out[best] ? i : best;
    printf("%s: %u bytes %u %.6f\n", what, (unsigned)len, best, len ? (double)out[best] : 0.0);
}

static void graph(const char *file)
{
    static const int64_t sides[] = {1, SIDE, SIDE, 3};
    float out[CLASSES] = {0};
    uint32_t len;
    uint8_t *model = read_file(file, &len);
    ssvm_session s = ssvm_tensorflow_create_session(model, len);
    ssvm_tensor t;

    ssvm_tensorflow_append_input(s, NAME("no_such_input"), 0, sides, 4, SSVM_TENSOR_F32, pixels,
                                 sizeof pixels);
    ssvm_tensorflow_clear_input(s);
    ssvm_tensorflow_append_output(s, NAME("no_such_output"), 0);
    ssvm_tensorflow_clear_output(s);
    ssvm_tensorflow_append_input(s, NAME(INPUT), 0, sides, 4, SSVM_TENSOR_F32, pixels,
                                 sizeof pixels);
    ssvm_tensorflow_append_output(s, NAME(OUTPUT), 0);
    printf("run %u\n", (unsigned)ssvm_tensorflow_run_session(s));
    t = ssvm_tensorflow_get_output_tensor(s, NAME(OUTPUT), 0);
    len = ssvm_tensorflow_get_tensor_len(t);
    if (len == sizeof out)
        ssvm_tensorflow_get_tensor_data(t, out);
    print_top("tensorflow", out, len);
    ssvm_tensorflow_delete_session(s);
    free(model);
}

static void lite(const char *file)
{
    float out[CLASSES] = {0};
    uint32_t len;
    uint8_t *model = read_file(file, &len);
    ssvm_session s = ssvm_tensorflowlite_create_session(model, len);
    ssvm_tensor t;

    ssvm_tensorflowlite_append_input(s, NAME(INPUT), pixels, sizeof pixels);
    printf("run %u\n", (unsigned)ssvm_tensorflowlite_run_session(s));
    t = ssvm_tensorflowlite_get_output_tensor(s, NAME(OUTPUT));
    len = ssvm_tensorflowlite_get_tensor_len(t);
    if (len == sizeof out)
        ssvm_tensorflowlite_get_tensor_data(t, out);
    print_top("tensorflowlite", out, len);
    ssvm_tensorflowlite_delete_session(s);
    free(model);
}

static void pictures(const char *jpeg, const char *png)
{
    static uint8_t rgb[8 * 8 * 3], bgr[8 * 8 * 3];
    static float rgbf[8 * 8 * 3], bgrf[8 * 8 * 3];
    unsigned wrong = 0;
    uint32_t len, failed = 0;
    uint8_t *file = read_file(jpeg, &len);

    failed |= ssvm_image_load_jpg_to_rgb8(file, len, 8, 8, rgb);
    failed |= ssvm_image_load_jpg_to_bgr8(file, len, 8, 8, bgr);
    failed |= ssvm_image_load_jpg_to_rgb32f(file, len, 8, 8, rgbf);
    failed |= ssvm_image_load_jpg_to_bgr32f(file, len, 8, 8, bgrf);
    for (unsigned i = 0; i < sizeof rgb; i++)
        wrong += rgb[i] != bgr[i / 3 * 3 + 2 - i % 3] || rgbf[i] != (float)rgb[i] / 255.0f ||
                 rgbf[i] != bgrf[i / 3 * 3 + 2 - i % 3];
    printf("jpeg: failed %u wrong %u\n", (unsigned)failed, wrong);
    free(file);
    file = read_file(png, &len);
    failed = wrong = 0;
    failed |= ssvm_image_load_png_to_rgb8(file, len, 8, 8, rgb);
    failed |= ssvm_image_load_png_to_bgr8(file, len, 8, 8, bgr);
    failed |= ssvm_image_load_png_to_rgb32f(file, len, 8, 8, rgbf);
    failed |= ssvm_image_load_png_to_bgr32f(file, len, 8, 8, bgrf);
    for (unsigned i = 0; i < sizeof rgb; i++)
        wrong += rgb[i] != bgr[i / 3 * 3 + 2 - i % 3] || rgbf[i] != (float)rgb[i] / 255.0f ||
                 rgbf[i] != bgrf[i / 3 * 3 + 2 - i % 3];
    printf("png: failed %u wrong %u\n", (unsigned)failed, wrong);
    free(file);
}

int main(int argc, char **argv)
{
    uint32_t len;
    uint8_t *bytes;

    if (argc != 6)
        return 2;
    bytes = read_file(argv[3], &len);
    for (uint32_t i = 0; i < len && i < sizeof pixels / sizeof *pixels; i++)
        pixels[i] = (float)bytes[i] / 255.0f;
    graph(argv[1]);
    lite(argv[2]);
    pictures(argv[4], argv[5]);
    return 0;
}
