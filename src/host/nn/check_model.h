/* What the readers of the three formats share. For check*.c alone. */
#ifndef SV_HOST_NN_CHECK_MODEL_H
#define SV_HOST_NN_CHECK_MODEL_H

#include "base/buf.h"
#include "base/str.h"
#include "host/nn/check.h"

#define SV_NN_NO_SHAPE (-1)
#define SV_NN_SHAPE_VALUES_MAX 64 /* numbers in a constant that is a shape */

struct sv_nn_op {
    const char *name;
    int shape; /* input that holds sizes of the result, SV_NN_NO_SHAPE: none */
};
/* Allowed operation of that name; NULL: it is not allowed. */
const struct sv_nn_op *sv_nn_op_tensorflow(struct sv_str name);
const struct sv_nn_op *sv_nn_op_onnx(struct sv_str domain, struct sv_str name);
const struct sv_nn_op *sv_nn_op_tflite(uint32_t code);
/* Name of one that is not allowed; "": it is unknown. */
const char *sv_nn_refused_tflite(uint32_t code);

struct sv_nn_call {
    uint32_t from, to;
};
struct sv_nn_use {
    struct sv_str constant, node;
};
/* One check of one model. Zero-initialised but for err. */
struct sv_nn_check {
    struct sv_err *err;
    uint64_t filled; /* bytes that the model asks for and does not bring */
    uint32_t nodes, tables;
    /* Functions: their own nodes; calls, in order of the caller. */
    struct sv_map functions; /* index + 1 */
    SV_VEC(uint32_t) sizes;
    SV_VEC(struct sv_nn_call) calls;
    /* Of one scope: products of small integer constants, and where constants are shapes. */
    struct sv_map constants;
    SV_VEC(struct sv_nn_use) uses;
};
void sv_nn_check_release(struct sv_nn_check *);

/* What a reader says of a text of the model: cut, and without characters that a log would mind. */
#define SV_NN_SHOWN 80
const char *sv_nn_shown(struct sv_str, char ret[static SV_NN_SHOWN]);

int sv_nn_malformed(struct sv_nn_check *, const char *what);
int sv_nn_beyond(struct sv_nn_check *, struct sv_str where, const char *what);

/* Count a node of the function `at` of sizes. */
int sv_nn_count_node(struct sv_nn_check *, uint32_t at);
int sv_nn_add_call(struct sv_nn_check *, uint32_t from, uint32_t to);
/* After all nodes: no function calls itself, and writing out all calls stays below the limits. */
int sv_nn_check_calls(struct sv_nn_check *);

/* A constant's product of sizes (sizes below 1 count as 1), and that it is used as a shape;
 * end_scope judges them and starts a new scope. */
int sv_nn_add_constant(struct sv_nn_check *, struct sv_str name, uint64_t product);
int sv_nn_add_use(struct sv_nn_check *, struct sv_str constant, struct sv_str node);
int sv_nn_end_scope(struct sv_nn_check *);

/* a * b where a size below 1 counts as 1; UINT64_MAX when it is beyond the limit of elements. */
uint64_t sv_nn_times(uint64_t product, int64_t size);

int sv_nn_check_tensorflow(struct sv_nn_check *, struct sv_str);
int sv_nn_check_onnx(struct sv_nn_check *, struct sv_str);
int sv_nn_check_tflite(struct sv_nn_check *, struct sv_str);

#endif
