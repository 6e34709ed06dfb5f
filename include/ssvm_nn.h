/* Inference backends of ssvm: what a plugin (`nn-NAME.so`) gives to the host module `tensorflow`.
 * Plain C, libc only: a plugin is opened when a guest first needs it, opens its own library
 * (TensorFlow, OpenVINO, ...) by dlopen, and knows nothing of WebAssembly. The caller has checked
 * every guest pointer, copied what must be copied, and refused models with operations that could
 * reach the host (doc/internals/nn.md). */
#ifndef SSVM_NN_H
#define SSVM_NN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Of this header. A plugin with another number is refused with a message. */
#define SSVM_NN_ABI 1

/* Element types: the numbers of TensorFlow's TF_DataType (tensorflow/c/tf_datatype.h), which the
 * guest ABI uses too. */
enum ssvm_nn_type {
    SSVM_NN_F32 = 1,
    SSVM_NN_F64 = 2,
    SSVM_NN_I32 = 3,
    SSVM_NN_U8 = 4,
    SSVM_NN_I16 = 5,
    SSVM_NN_I8 = 6,
    SSVM_NN_I64 = 9,
    SSVM_NN_BOOL = 10,
    SSVM_NN_U16 = 17,
    SSVM_NN_F16 = 19,
    SSVM_NN_U32 = 22,
    SSVM_NN_U64 = 23
};
/* What a model's bytes are. */
enum ssvm_nn_format {
    SSVM_NN_TENSORFLOW = 0, /* frozen GraphDef (.pb) */
    SSVM_NN_TFLITE = 1,     /* FlatBuffer (.tflite) */
    SSVM_NN_ONNX = 2,       /* ModelProto (.onnx) */
    SSVM_NN_FORMATS = 3
};

#define SSVM_NN_RANK_MAX 8
#define SSVM_NN_ERROR_MAX 512 /* bytes of a message, with its NUL */
#define SSVM_NN_NAME_MAX 256

/* A dense tensor, row-major, little-endian. `data` is aligned to 64 bytes, and so many bytes behind
 * its end can be read: vector code of libraries does. */
#define SSVM_NN_SLACK 128
struct ssvm_nn_tensor {
    int32_t type;                   /* enum ssvm_nn_type */
    uint32_t rank;                  /* 0: a scalar */
    int64_t dims[SSVM_NN_RANK_MAX]; /* of an input or output that is described: -1 = any */
    void *data;                     /* `len` bytes, borrowed */
    size_t len;
};

/* An input or output: TensorFlow's operation name without ":index" and the index, or, with an empty
 * name, the index-th input or output of the model. */
struct ssvm_nn_port {
    char name[SSVM_NN_NAME_MAX];
    uint32_t index;
};

struct ssvm_nn_options {
    size_t size;         /* sizeof(struct ssvm_nn_options), so that it can grow */
    const char *library; /* path of the foreign library or of the folder that holds its parts; NULL:
                            the loader's search path */
    const char *device;  /* as `devices` lists it, lower case; "cpu" unless asked for */
    uint32_t threads;    /* that one run may use; at least 1 */
};

/* One backend. Functions return 0, or -1 with a message in `error` (SSVM_NN_ERROR_MAX bytes: what
 * failed, by its name, and what to do; no newline). Nothing prints to the standard streams if it
 * can be helped. All functions but `run` on one session may be called by any thread at any time; a
 * session is used by one thread at a time. */
struct ssvm_nn_backend {
    uint32_t abi;       /* SSVM_NN_ABI */
    const char *id;     /* "openvino" */
    const char *title;  /* "OpenVINO" */
    uint32_t formats;   /* bits 1 << enum ssvm_nn_format that it reads */
    const char *soname; /* the foreign library's usual file name, for messages and the search */
    /* Open the foreign library (once a process and set of options) and check its device. */
    int (*open)(const struct ssvm_nn_options *, char *error, void **ret_lib);
    void (*close)(void *lib); /* may keep what cannot be unloaded */
    /* "OpenVINO 2026.4.1"; lives as long as lib. */
    const char *(*version)(void *lib);
    /* Comma-separated device names, lower case, first the default: "cpu", "cpu,gpu". */
    int (*devices)(void *lib, char *error, char *ret, size_t size);
    /* Read and prepare a model. `bytes` stay valid and unchanged until unload. *ret_cost: bytes of
     * memory that it holds beyond them (an estimate; counted towards limits). */
    int (*load)(void *lib, enum ssvm_nn_format, const void *bytes, size_t len, char *error,
                void **ret_model, size_t *ret_cost);
    void (*unload)(void *model);
    /* The model's input (output = 0) or output (1) at `position`: name, type, shape with -1 for
     * what is open. 1: there is no such one. */
    int (*describe)(void *model, int output, uint32_t position, struct ssvm_nn_port *ret_port,
                    struct ssvm_nn_tensor *ret_tensor);
    int (*session_new)(void *model, char *error, void **ret_session);
    void (*session_delete)(void *session);
    /* Run with inputs as given and fetch `nwanted` outputs. Each input's `len` is what its type and
     * shape take; that it is one of the model's, fits it and that none is missing is for the
     * backend to check, and nothing of an earlier run is used. Data is borrowed for the call.
     * Tensors of `ret` belong to the session until its next run or deletion, or are the inputs'
     * data or parts of it. */
    int (*run)(void *session, const struct ssvm_nn_port *ports, const struct ssvm_nn_tensor *inputs,
               uint32_t ninputs, const struct ssvm_nn_port *wanted, struct ssvm_nn_tensor *ret,
               uint32_t nwanted, char *error);
    /* Ask a run that is under way in another thread to end early; NULL: the library cannot. */
    void (*cancel)(void *session);
};

/* The one symbol of a plugin. */
#define SSVM_NN_SYMBOL "ssvm_nn_backend"
typedef const struct ssvm_nn_backend *ssvm_nn_backend_fn(void);
#if defined(__GNUC__)
__attribute__((visibility("default")))
#endif
const struct ssvm_nn_backend *ssvm_nn_backend(void);

#ifdef __cplusplus
}
#endif
#endif
