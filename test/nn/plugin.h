/* What the programs here share: a plugin opened by its path, models and tensors from files. */
#ifndef TEST_NN_PLUGIN_H
#define TEST_NN_PLUGIN_H

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ssvm_nn.h"

static inline const struct ssvm_nn_backend *plugin_open(const char *path)
{
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ssvm_nn_backend_fn *get;
    void *p = handle ? dlsym(handle, SSVM_NN_SYMBOL) : NULL;

    if (!p) {
        fprintf(stderr, "%s\n", dlerror());
        exit(2);
    }
    memcpy(&get, &p, sizeof p);
    return get();
}

/* Memory for a tensor of `len` bytes. */
static inline void *tensor_memory(size_t len)
{
    void *p = aligned_alloc(64, (len + SSVM_NN_SLACK + 63) / 64 * 64);

    if (!p)
        exit(2);
    return p;
}

/* All of a file, aligned as tensors are. */
static inline void *read_file(const char *path, size_t *ret_len)
{
    FILE *f = fopen(path, "rb");
    long len;
    void *p;

    if (!f || fseek(f, 0, SEEK_END) != 0 || (len = ftell(f)) < 0) {
        perror(path);
        exit(2);
    }
    rewind(f);
    p = tensor_memory((size_t)len);
    if (fread(p, 1, (size_t)len, f) != (size_t)len) {
        perror(path);
        exit(2);
    }
    fclose(f);
    *ret_len = (size_t)len;
    return p;
}

static inline enum ssvm_nn_format format_of(const char *path)
{
    const char *dot = strrchr(path, '.');

    return dot && strcmp(dot, ".tflite") == 0 ? SSVM_NN_TFLITE
           : dot && strcmp(dot, ".onnx") == 0 ? SSVM_NN_ONNX
                                              : SSVM_NN_TENSORFLOW;
}

/* The input of the reference figures: a fixed sequence in 0..1. */
static inline void fill(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = (float)((((uint32_t)(i * 2654435761u) >> 8) & 65535) / 65535.0);
}

#endif
