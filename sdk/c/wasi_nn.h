/* WASI-NN for C guests: the module wasi_ephemeral_nn, with the names of its own definition. The
 * host runs the model; `ssvm run --nn auto` grants it. Header only: compile with clang
 * --target=wasm32-wasi.
 *
 * Order of calls: load, init_execution_context, set_input for each input, compute, get_output. The
 * host frees everything when the instance ends. Not thread-safe. */
#ifndef WASI_NN_H
#define WASI_NN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __wasm__
#define WASI_NN_IMPORT(name)                                                                       \
    __attribute__((import_module("wasi_ephemeral_nn"), import_name(name), warn_unused_result))
#else
#define WASI_NN_IMPORT(name)
#endif

/* What the functions return. */
typedef enum wasi_nn_error {
    WASI_NN_SUCCESS = 0,
    WASI_NN_INVALID_ARGUMENT = 1,
    WASI_NN_INVALID_ENCODING = 2,
    WASI_NN_MISSING_MEMORY = 3,
    WASI_NN_BUSY = 4,
    WASI_NN_RUNTIME_ERROR = 5,
    WASI_NN_UNSUPPORTED_OPERATION = 6,
    WASI_NN_TOO_LARGE = 7,
    WASI_NN_NOT_FOUND = 8
} wasi_nn_error;

/* What the model's bytes are. */
typedef enum wasi_nn_encoding {
    WASI_NN_OPENVINO = 0, /* two parts: the description (.xml), the weights (.bin) */
    WASI_NN_ONNX = 1,
    WASI_NN_TENSORFLOW = 2, /* a frozen graph (.pb) */
    WASI_NN_PYTORCH = 3,
    WASI_NN_TENSORFLOWLITE = 4,
    WASI_NN_AUTODETECT = 5
} wasi_nn_encoding;

typedef enum wasi_nn_target { WASI_NN_CPU = 0, WASI_NN_GPU = 1, WASI_NN_TPU = 2 } wasi_nn_target;

/* Of a tensor's elements. */
typedef enum wasi_nn_type {
    WASI_NN_F16 = 0,
    WASI_NN_F32 = 1,
    WASI_NN_F64 = 2,
    WASI_NN_U8 = 3,
    WASI_NN_I32 = 4,
    WASI_NN_I64 = 5
} wasi_nn_type;

/* One part of a model: most formats have one. */
typedef struct wasi_nn_part {
    const uint8_t *bytes;
    uint32_t len;
} wasi_nn_part;

/* Row by row, little-endian. */
typedef struct wasi_nn_tensor {
    const uint32_t *dims;
    uint32_t rank;
    uint8_t type; /* wasi_nn_type */
    const void *data;
    uint32_t len; /* bytes */
} wasi_nn_tensor;

typedef uint32_t wasi_nn_graph, wasi_nn_context;

#ifdef __wasm__
_Static_assert(sizeof(wasi_nn_tensor) == 20 && offsetof(wasi_nn_tensor, data) == 12,
               "the host reads it as it lies in memory");
#endif

/* Give a model to the host: *ret is its number. */
WASI_NN_IMPORT("load")
int wasi_nn_load(const wasi_nn_part *parts, uint32_t count, int encoding, int target,
                 wasi_nn_graph *ret);
/* A model that the host knows by name. */
WASI_NN_IMPORT("load_by_name")
int wasi_nn_load_by_name(const char *name, uint32_t len, wasi_nn_graph *ret);
/* Something to run it in. */
WASI_NN_IMPORT("init_execution_context")
int wasi_nn_init_execution_context(wasi_nn_graph, wasi_nn_context *ret);
/* The index-th input of the model; the tensor is copied. */
WASI_NN_IMPORT("set_input")
int wasi_nn_set_input(wasi_nn_context, uint32_t index, const wasi_nn_tensor *);
WASI_NN_IMPORT("compute") int wasi_nn_compute(wasi_nn_context);
/* Copy the index-th output to buf: *ret is its length in bytes. WASI_NN_TOO_LARGE when `size` bytes
 * are too few. */
WASI_NN_IMPORT("get_output")
int wasi_nn_get_output(wasi_nn_context, uint32_t index, void *buf, uint32_t size, uint32_t *ret);

/* "runtime error" */
static inline const char *wasi_nn_error_text(int error)
{
    static const char *const texts[] = {
        "success",  "invalid argument", "invalid encoding",      "no memory is exported",
        "busy",     "runtime error",    "unsupported operation", "too large",
        "not found"};

    return error >= 0 && error < (int)(sizeof texts / sizeof texts[0]) ? texts[error]
                                                                       : "unknown error";
}

#ifdef __cplusplus
}
#endif

#endif
