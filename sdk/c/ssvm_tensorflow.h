/* TensorFlow, TensorFlow Lite and pictures for C guests: the modules ssvm_tensorflow,
 * ssvm_tensorflowlite and ssvm_image. The host runs the model and decodes; `ssvm run --nn auto
 * --image` grants it. Header only: compile with clang --target=wasm32-wasi.
 *
 * Order of calls: create_session, append_input for each input, append_output for each output,
 * run_session, get_output_tensor, get_tensor_len, get_tensor_data, delete_session. A handle is a
 * number of the host's, 0 is none. Names are `len` bytes without a NUL. What fails says why in the
 * host's log. Not thread-safe. */
#ifndef SSVM_TENSORFLOW_H
#define SSVM_TENSORFLOW_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#ifdef __wasm__
#define SSVM_IMPORT(module, name) __attribute__((import_module(module), import_name(name)))
#else
#define SSVM_IMPORT(module, name)
#endif
#define SSVM_TENSORFLOW(name) SSVM_IMPORT("ssvm_tensorflow", "ssvm_tensorflow_" name)
#define SSVM_TENSORFLOWLITE(name) SSVM_IMPORT("ssvm_tensorflowlite", "ssvm_tensorflowlite_" name)
#define SSVM_IMAGE(name) SSVM_IMPORT("ssvm_image", "ssvm_image_load_" name)

/* Of a tensor's elements: the numbers of TensorFlow. */
enum ssvm_tensor_type {
    SSVM_TENSOR_F32 = 1,
    SSVM_TENSOR_F64 = 2,
    SSVM_TENSOR_I32 = 3,
    SSVM_TENSOR_U8 = 4,
    SSVM_TENSOR_I16 = 5,
    SSVM_TENSOR_I8 = 6,
    SSVM_TENSOR_I64 = 9,
    SSVM_TENSOR_BOOL = 10,
    SSVM_TENSOR_U16 = 17,
    SSVM_TENSOR_U32 = 22,
    SSVM_TENSOR_U64 = 23
};

typedef uint64_t ssvm_session, ssvm_tensor;

/* ---- TensorFlow: frozen graphs (.pb). A name is that of an operation, with the index of its
 * output. */

/* 0: the model was refused. */
SSVM_TENSORFLOW("create_session")
ssvm_session ssvm_tensorflow_create_session(const void *model, uint32_t len);
SSVM_TENSORFLOW("delete_session") void ssvm_tensorflow_delete_session(ssvm_session);
/* The tensor is copied. `dims` are the lengths of its sides; rank 0 is a scalar. */
SSVM_TENSORFLOW("append_input")
void ssvm_tensorflow_append_input(ssvm_session, const char *name, uint32_t name_len, uint32_t index,
                                  const int64_t *dims, uint32_t rank, uint32_t type,
                                  const void *data, uint32_t len);
SSVM_TENSORFLOW("append_output")
void ssvm_tensorflow_append_output(ssvm_session, const char *name, uint32_t name_len,
                                   uint32_t index);
SSVM_TENSORFLOW("clear_input") void ssvm_tensorflow_clear_input(ssvm_session);
SSVM_TENSORFLOW("clear_output") void ssvm_tensorflow_clear_output(ssvm_session);
/* 0 when it went well. */
SSVM_TENSORFLOW("run_session") uint32_t ssvm_tensorflow_run_session(ssvm_session);
/* Of an output that was appended and computed; until the next run. 0: there is none. */
SSVM_TENSORFLOW("get_output_tensor")
ssvm_tensor ssvm_tensorflow_get_output_tensor(ssvm_session, const char *name, uint32_t name_len,
                                              uint32_t index);
/* In bytes. */
SSVM_TENSORFLOW("get_tensor_len") uint32_t ssvm_tensorflow_get_tensor_len(ssvm_tensor);
/* All of them. */
SSVM_TENSORFLOW("get_tensor_data") void ssvm_tensorflow_get_tensor_data(ssvm_tensor, void *ret);

/* ---- TensorFlow Lite: .tflite files. Types, shapes and outputs are the model's. */

SSVM_TENSORFLOWLITE("create_session")
ssvm_session ssvm_tensorflowlite_create_session(const void *model, uint32_t len);
SSVM_TENSORFLOWLITE("delete_session") void ssvm_tensorflowlite_delete_session(ssvm_session);
/* `len` must be the length of the model's input. */
SSVM_TENSORFLOWLITE("append_input")
void ssvm_tensorflowlite_append_input(ssvm_session, const char *name, uint32_t name_len,
                                      const void *data, uint32_t len);
SSVM_TENSORFLOWLITE("run_session") uint32_t ssvm_tensorflowlite_run_session(ssvm_session);
SSVM_TENSORFLOWLITE("get_output_tensor")
ssvm_tensor ssvm_tensorflowlite_get_output_tensor(ssvm_session, const char *name,
                                                  uint32_t name_len);
SSVM_TENSORFLOWLITE("get_tensor_len") uint32_t ssvm_tensorflowlite_get_tensor_len(ssvm_tensor);
SSVM_TENSORFLOWLITE("get_tensor_data")
void ssvm_tensorflowlite_get_tensor_data(ssvm_tensor, void *ret);

/* ---- Pictures: decoded and stretched to exactly width by height pixels of three channels, bytes
 * or floats from 0 to 1, row by row. 0 when it went well. */

#define SSVM_IMAGE_FUNC(format, pixels)                                                            \
    SSVM_IMAGE(#format "_to_" #pixels)                                                             \
    uint32_t ssvm_image_load_##format##_to_##pixels(const void *file, uint32_t len,                \
                                                    uint32_t width, uint32_t height, void *ret)
SSVM_IMAGE_FUNC(jpg, rgb8);
SSVM_IMAGE_FUNC(jpg, bgr8);
SSVM_IMAGE_FUNC(jpg, rgb32f);
SSVM_IMAGE_FUNC(jpg, bgr32f);
SSVM_IMAGE_FUNC(png, rgb8);
SSVM_IMAGE_FUNC(png, bgr8);
SSVM_IMAGE_FUNC(png, rgb32f);
SSVM_IMAGE_FUNC(png, bgr32f);

#ifdef __cplusplus
}
#endif

#endif
