/* Is a guest's model one that a foreign library may see? Its structure, its operations (ops.def),
 * its sizes. Nothing of what the numbers mean. doc/internals/nn-models.md. A shared object of its
 * own, nn-check.so: who runs no models has no need of it. */
#ifndef SV_HOST_NN_CHECK_H
#define SV_HOST_NN_CHECK_H

#include "base/err.h"
#include "ssvm_nn.h"

/* What a model may ask for; a reader that meets more refuses the model. */
#define SV_NN_MODEL_NODES_MAX 200000u     /* operations, functions' and subgraphs' included */
#define SV_NN_MODEL_EXPANDED_MAX 1000000u /* operations when every call is written out */
#define SV_NN_MODEL_FUNCTIONS_MAX 4096u   /* functions or subgraphs */
#define SV_NN_MODEL_CALLS_MAX 65536u      /* calls of them */
#define SV_NN_MODEL_CALL_DEPTH 32u        /* calls inside of calls */
#define SV_NN_MODEL_NESTING 24u           /* messages inside of messages, graphs inside of graphs */
#define SV_NN_MODEL_TABLES_MAX 4000000u   /* tables of a FlatBuffer, each visit counted */
#define SV_NN_MODEL_RANK_MAX 16u          /* dimensions of any shape */
#define SV_NN_MODEL_ELEMENTS_MAX ((uint64_t)1 << 28) /* of any shape that is written down */
/* Bytes of constants that are not in the file (one value for all elements). */
#define SV_NN_MODEL_FILLED_MAX ((uint64_t)256 << 20)
#define SV_NN_MODEL_LEN_MAX ((size_t)0x7fffffff)

/* What the bytes are by their looks; false: nothing known. Cheap. */
bool sv_nn_sniff(const void *bytes, size_t len, enum ssvm_nn_format *ret);
/* 0, or SV_EMALFORMED (not such a file), SV_ELIMIT, SV_EUNSUPPORTED (an operation that is not
 * allowed: the text names it and its node), SV_ENOMEM. Any thread. */
int sv_nn_check(struct sv_err *err, enum ssvm_nn_format, const void *bytes, size_t len);

/* What nn-check.so has: its one symbol. */
struct sv_nn_checker {
    uint32_t version; /* of this struct and what it uses */
    uint32_t err_size;
    bool (*sniff)(const void *bytes, size_t len, enum ssvm_nn_format *ret);
    int (*check)(struct sv_err *err, enum ssvm_nn_format, const void *bytes, size_t len);
};
#define SV_NN_CHECKER_VERSION 1
#define SV_NN_CHECKER_SYMBOL "sv_nn_checker"

#endif
