/* What the plugins of inference backends share: opening a foreign library, names, shapes, messages.
 * Knows no library. Compiled into each of them. */
#ifndef SSVM_PLUGIN_NN_H
#define SSVM_PLUGIN_NN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ssvm_nn.h"

#ifndef own
#define own
#endif
#define NN_COUNT(array) (sizeof(array) / sizeof((array)[0]))
/* Room for a device list, and for a name that a library gave. */
#define NN_TEXT_MAX 1024

/* A function of the foreign library and where its pointer goes: rows of F(ret, name, args). */
struct nn_symbol {
    const char *name;
    size_t offset;
};
#define NN_POINTER(ret, name, args) ret(*name) args;
#define NN_SYMBOL(ret, name, args) {#name, offsetof(struct api, name)},

/* An input or output of a model. */
struct nn_io {
    struct ssvm_nn_port port;
    struct ssvm_nn_port alias; /* another name for it; "": none */
    struct ssvm_nn_tensor tensor;
};
struct nn_ios {
    struct nn_io *at; /* owned */
    uint32_t n;
};

/* What every backend's library and model begin with, for the functions below that fill their
 * places in struct ssvm_nn_backend. */
struct nn_lib {
    char version[128], devices[NN_TEXT_MAX];
};
struct nn_model {
    struct nn_ios in, out;
};
const char *nn_lib_version(void *lib);
int nn_lib_devices(void *lib, char *error, char *ret, size_t size);
int nn_model_describe(void *model, int output, uint32_t position, struct ssvm_nn_port *ret_port,
                      struct ssvm_nn_tensor *ret_tensor);

/* Fill `error` (SSVM_NN_ERROR_MAX bytes) with one line; returns -1. */
int nn_fail(char *error, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Open the first of `names` ("libfoo.so.2", or a pattern "libfoo.so*") that is at `library` (a
 * file, or a folder: there or in one of `folders` below it; NULL: on the loader's search path,
 * where a pattern's trailing `*` is left out). NULL: reported. `ret_folder`: where it was, "" when
 * the loader found it. It is never closed: these libraries do not survive that. */
void *nn_open(const char *id, const char *library, const char *const *names,
              const char *const *folders, int flags, char *error, char *ret_folder, size_t size);
/* Find all `symbols` of an open library and put them into `api`. */
int nn_bind(void *handle, const char *title, const char *oldest, const struct nn_symbol *symbols,
            size_t nsymbols, void *api, char *error);

/* Between these two, standard error goes to memory; then all of it is written but the lines that
 * begin with one of `known` (to NULL). For what a library says about itself once in a process and
 * cannot be told not to. Other threads that write through stdio wait. */
struct nn_hush {
    int real, memory;
};
void nn_hush_begin(struct nn_hush *);
void nn_hush_end(struct nn_hush *, const char *const *known);

/* A row of a library's element types: ours, and its number. 0 for what has no row. */
struct nn_type {
    int32_t type;
    int foreign;
};
int nn_type_to(const struct nn_type *, size_t n, int32_t type);
int32_t nn_type_from(const struct nn_type *, size_t n, int foreign);
/* Bytes of an element; 0: not a type that tensors can have. */
size_t nn_type_size(int32_t type);
/* Bytes of a dense tensor of this type and shape; false: an open dimension, or it does not fit. */
bool nn_bytes(const struct ssvm_nn_tensor *, size_t *ret);

/* "op:1" is output 1 of op; without a number it is 0. */
void nn_port_parse(const char *text, struct ssvm_nn_port *ret);
int nn_ios_new(struct nn_ios *, uint32_t n, char *error);
void nn_ios_release(struct nn_ios *);
/* The position of `port`, -1 with a message that names those there are. `what`: "input". */
int nn_ios_find(const struct nn_ios *, const struct ssvm_nn_port *port, const char *what,
                char *error);
/* Is this tensor what the input wants? */
int nn_io_check(const struct nn_io *, const struct ssvm_nn_tensor *, char *error);
/* Where each of the model's inputs is in `ports`, all of them given once and checked: to
 * ret[ios->n]. */
int nn_ios_match(const struct nn_ios *, const struct ssvm_nn_port *ports,
                 const struct ssvm_nn_tensor *inputs, uint32_t ninputs, uint32_t *ret, char *error);

/* Append ",name" in lower case to a device list of `size` bytes, once. */
void nn_device_add(char *list, size_t size, const char *name);
/* Is `device` in the list? Else a message with the list. */
int nn_device_check(const char *device, const char *list, char *error);

/* The first number of a version ("2026.4.1-..." = 2026), 0 without one. */
unsigned nn_version_major(const char *);

#endif
