/* A TensorFlow Lite model: that every offset of the FlatBuffer leads inside of the file, which
 * operations it has, what they ask for, and that no tensor is read before it is written (its memory
 * would be that of somebody else). Field numbers are those of tensorflow/lite/schema/schema.fbs. */
#include "host/nn/check_model.h"

#define TF(name, shape)
#define ONNX(name, shape)
#define ONNX_ML(name, shape)
#define TFLITE(code, name, shape)
#define TFLITE_REFUSED(code, name)
#define TFLITE_OPTIONS(number, name, fields) [number] = fields,
static const char *const options[] = {
#include "host/nn/ops.def"
};

#define OPTIONS_2_DILATE 18 /* the one of BuiltinOptions2 without StableHLO; it has no fields */
#define CODE_IF 118
#define OPTIONS_IF 92
#define TYPE_INT32 2
#define TYPE_INT64 4

/* Bits of an element by TensorType; 0: strings, resources, variants. */
static const uint8_t bits[] = {32,  16, 32, 8, 64, 0,  8, 16, 64, 8, 64,
                               128, 64, 0,  0, 32, 16, 4, 16, 2,  4};

/* A table that was opened: where it and its vtable are, their sizes. */
struct table {
    size_t at, vtable;
    uint16_t size, slots;
};
struct vector {
    size_t at; /* of the first element */
    uint32_t len;
};
struct tensor {
    struct sv_str name;
    uint64_t elements;
    uint32_t type;
    struct vector data;
    bool written; /* somebody writes it: an input of the graph or an operation */
};
struct reader {
    struct sv_nn_check *c;
    struct sv_str file;
    struct vector codes, graphs, buffers;
    struct tensor *tensors; /* of the subgraph that is being read */
    uint32_t ntensors;
};

static uint64_t number(const struct reader *in, size_t at, unsigned size)
{
    uint64_t v = 0;

    memcpy(&v, in->file.ptr + at, size);
    return v;
}

static int bad(const struct reader *in, const char *what)
{
    return sv_nn_malformed(in->c, what);
}

static int refused(const struct reader *in, struct sv_str name, const char *what)
{
    char shown[SV_NN_SHOWN];

    return sv_fail(in->c->err, SV_EUNSUPPORTED, SV_NO_OFFSET, "model refused: '%s' %s",
                   sv_nn_shown(name, shown), what);
}

/* Is [at, at + size) inside, at a multiple of `align`? */
static bool inside(const struct reader *in, size_t at, uint64_t size, size_t align)
{
    return at % align == 0 && at <= in->file.len && size <= in->file.len - at;
}

static int open_table(const struct reader *in, size_t at, struct table *ret)
{
    int64_t vtable;

    *ret = (struct table){0};
    if (++in->c->tables > SV_NN_MODEL_TABLES_MAX)
        return sv_nn_beyond(in->c, (struct sv_str){0}, "many tables");
    if (!inside(in, at, 4, 4))
        return bad(in, "a table outside of the file");
    vtable = (int64_t)at - (int32_t)number(in, at, 4);
    if (vtable < 0 || !inside(in, (size_t)vtable, 4, 2))
        return bad(in, "a vtable outside of the file");
    ret->at = at;
    ret->vtable = (size_t)vtable;
    ret->slots = (uint16_t)number(in, ret->vtable, 2);
    ret->size = (uint16_t)number(in, ret->vtable + 2, 2);
    if (ret->slots < 4 || ret->slots % 2 != 0 || ret->size < 4 ||
        !inside(in, ret->vtable, ret->slots, 2) || !inside(in, at, ret->size, 4))
        return bad(in, "a table outside of the file");
    return 0;
}

/* Where a field is: *ret, 0 when the table has it not. */
static int find_field(const struct reader *in, const struct table *t, unsigned field, unsigned size,
                      size_t *ret)
{
    size_t slot = 4 + 2 * (size_t)field, offset;

    *ret = 0;
    if (slot + 2 > t->slots)
        return 0;
    offset = (size_t)number(in, t->vtable + slot, 2);
    if (offset == 0)
        return 0;
    if (offset < 4 || offset + size > t->size || (t->at + offset) % size != 0)
        return bad(in, "a field outside of its table");
    *ret = t->at + offset;
    return 0;
}

static int get_number(const struct reader *in, const struct table *t, unsigned field, unsigned size,
                      uint64_t otherwise, uint64_t *ret)
{
    size_t at;
    int r = find_field(in, t, field, size, &at);

    *ret = at ? number(in, at, size) : otherwise;
    return r;
}

/* Where the offset at a field leads; 0: the table has no such field. */
static int follow(const struct reader *in, const struct table *t, unsigned field, size_t *ret)
{
    size_t at;
    int r = find_field(in, t, field, 4, &at);

    *ret = 0;
    if (r < 0 || at == 0)
        return r;
    *ret = at + (size_t)number(in, at, 4);
    return *ret > at && inside(in, *ret, 4, 4) ? 0 : bad(in, "an offset outside of the file");
}

/* A vector of scalars or offsets; without the field it is empty. */
static int get_vector(const struct reader *in, const struct table *t, unsigned field, unsigned size,
                      struct vector *ret)
{
    size_t at;
    int r = follow(in, t, field, &at);

    *ret = (struct vector){0};
    if (r < 0 || at == 0)
        return r;
    ret->len = (uint32_t)number(in, at, 4);
    ret->at = at + 4;
    if (!inside(in, ret->at, (uint64_t)ret->len * size, size))
        return bad(in, "a vector outside of the file");
    return 0;
}

static int get_string(const struct reader *in, const struct table *t, unsigned field,
                      struct sv_str *ret)
{
    struct vector v;
    int r = get_vector(in, t, field, 1, &v);

    *ret = (struct sv_str){in->file.ptr + v.at, v.len};
    if (r < 0 || v.at == 0)
        return r;
    if (!inside(in, v.at, (uint64_t)v.len + 1, 1) || in->file.ptr[v.at + v.len] != 0)
        return bad(in, "a string without end");
    return 0;
}

static int element(const struct reader *in, const struct vector *v, uint32_t i, struct table *ret)
{
    size_t at = v->at + 4 * (size_t)i;
    size_t to = at + (size_t)number(in, at, 4);

    *ret = (struct table){0};
    return to > at ? open_table(in, to, ret) : bad(in, "an offset outside of the file");
}

static int integer(const struct reader *in, const struct vector *v, uint32_t i)
{
    return (int)(int32_t)number(in, v->at + 4 * (size_t)i, 4);
}

/* Fields of newer versions change what the others mean (data in other files): none may be there. */
static int known_fields(const struct reader *in, const struct table *t, unsigned n)
{
    for (size_t slot = 4 + 2 * (size_t)n; slot + 2 <= t->slots; slot += 2)
        if (number(in, t->vtable + slot, 2) != 0)
            return bad(in, "data outside of the file, or a newer format");
    return 0;
}

/* Product of the sizes of a shape; -1 is open where `open` is. */
static int check_shape(const struct reader *in, struct sv_str name, const struct vector *shape,
                       bool open, uint64_t *ret)
{
    bool empty = false;

    *ret = 1;
    if (shape->len > SV_NN_MODEL_RANK_MAX)
        return sv_nn_beyond(in->c, name, "many dimensions");
    for (uint32_t i = 0; i < shape->len; i++) {
        int size = integer(in, shape, i);

        if (size < (open ? -1 : 0))
            return bad(in, "a dimension below zero");
        empty |= size == 0;
        *ret = sv_nn_times(*ret, size);
        if (*ret == UINT64_MAX)
            return sv_nn_beyond(in->c, name, "many elements in a shape");
    }
    if (empty)
        *ret = 0;
    return 0;
}

static int check_quantization(const struct reader *in, const struct table *tensor,
                              const struct vector *shape)
{
    struct vector min, max, scale, zero;
    struct table q;
    uint64_t details, dimension;
    size_t at;
    int r = follow(in, tensor, 4, &at);

    if (r < 0 || at == 0)
        return r;
    if ((r = open_table(in, at, &q)) < 0 || (r = get_vector(in, &q, 0, 4, &min)) < 0 ||
        (r = get_vector(in, &q, 1, 4, &max)) < 0 || (r = get_vector(in, &q, 2, 4, &scale)) < 0 ||
        (r = get_vector(in, &q, 3, 8, &zero)) < 0 ||
        (r = get_number(in, &q, 4, 1, 0, &details)) < 0 ||
        (r = get_number(in, &q, 6, 4, 0, &dimension)) < 0)
        return r;
    if (details != 0)
        return bad(in, "a quantization of its own");
    if (scale.len > 1 &&
        (dimension >= shape->len || (uint32_t)integer(in, shape, (uint32_t)dimension) != scale.len))
        return bad(in, "a quantization that does not fit its tensor");
    if (zero.len > 1 && zero.len != scale.len)
        return bad(in, "a quantization that does not fit its tensor");
    return 0;
}

static int buffer_data(const struct reader *in, uint64_t index, struct vector *ret)
{
    struct table buffer;
    uint64_t offset, size;
    int r;

    if (index >= in->buffers.len)
        return bad(in, "a buffer that is not there");
    if ((r = element(in, &in->buffers, (uint32_t)index, &buffer)) < 0 ||
        (r = known_fields(in, &buffer, 3)) < 0 || (r = get_vector(in, &buffer, 0, 1, ret)) < 0 ||
        (r = get_number(in, &buffer, 1, 8, 0, &offset)) < 0 ||
        (r = get_number(in, &buffer, 2, 8, 0, &size)) < 0)
        return r;
    return offset == 0 && size == 0 ? 0 : bad(in, "data behind the model");
}

static int check_tensor(const struct reader *in, const struct table *t, struct tensor *ret)
{
    struct vector shape, signature, variants;
    uint64_t type, buffer, variable, open;
    size_t sparsity;
    int r;

    if ((r = known_fields(in, t, 10)) < 0 || (r = get_string(in, t, 3, &ret->name)) < 0 ||
        (r = get_vector(in, t, 0, 4, &shape)) < 0 || (r = get_number(in, t, 1, 1, 0, &type)) < 0 ||
        (r = get_number(in, t, 2, 4, 0, &buffer)) < 0 ||
        (r = get_number(in, t, 5, 1, 0, &variable)) < 0 || (r = follow(in, t, 6, &sparsity)) < 0 ||
        (r = get_vector(in, t, 7, 4, &signature)) < 0 ||
        (r = get_vector(in, t, 9, 4, &variants)) < 0 ||
        (r = check_shape(in, ret->name, &shape, false, &ret->elements)) < 0 ||
        (r = check_shape(in, ret->name, &signature, true, &open)) < 0 ||
        (r = check_quantization(in, t, &shape)) < 0 ||
        (r = buffer_data(in, buffer, &ret->data)) < 0)
        return r;
    ret->type = (uint32_t)type;
    if (type >= SV_COUNT(bits) || bits[type] == 0 || variants.len > 0)
        return refused(in, ret->name, "has values that are no numbers");
    if (variable)
        return refused(in, ret->name, "keeps its values from run to run");
    if (sparsity != 0)
        return refused(in, ret->name, "is sparse");
    if (ret->data.len > 0 && ret->data.len != (ret->elements * bits[type] + 7) / 8)
        return bad(in, "a tensor's values do not fit its shape and type");
    return 0;
}

/* Product of the integers of a constant; 0: it is none, or not small. */
static uint64_t integers(const struct reader *in, const struct tensor *t)
{
    uint64_t product = 1;
    unsigned size = t->type == TYPE_INT32 ? 4 : 8;

    if (t->data.len == 0 || t->elements > SV_NN_SHAPE_VALUES_MAX ||
        (t->type != TYPE_INT32 && t->type != TYPE_INT64))
        return 0;
    for (size_t i = 0; i < t->elements; i++) {
        uint64_t v = number(in, t->data.at + i * size, size);

        product = sv_nn_times(product, size == 4 ? (int32_t)v : (int64_t)v);
    }
    return product;
}

static int check_options(const struct reader *in, const struct table *op, uint32_t code)
{
    struct vector custom, mutating, numbers;
    struct table t;
    uint64_t type, type2, offset, size;
    size_t at, at2;
    int r;

    if ((r = get_number(in, op, 3, 1, 0, &type)) < 0 || (r = follow(in, op, 4, &at)) < 0 ||
        (r = get_vector(in, op, 5, 1, &custom)) < 0 ||
        (r = get_vector(in, op, 7, 1, &mutating)) < 0 ||
        (r = get_number(in, op, 9, 8, 0, &offset)) < 0 ||
        (r = get_number(in, op, 10, 8, 0, &size)) < 0 ||
        (r = get_number(in, op, 11, 1, 0, &type2)) < 0 || (r = follow(in, op, 12, &at2)) < 0)
        return r;
    if (offset != 0 || size != 0 || custom.len > 0 || (type2 != 0 && type2 != OPTIONS_2_DILATE))
        return bad(in, "options that are not built in");
    if (at2 != 0 && (r = open_table(in, at2, &t)) < 0)
        return r;
    if (code == CODE_IF && type != OPTIONS_IF)
        return bad(in, "options of another operation");
    if (type == 0)
        return at == 0 ? 0 : bad(in, "options without a type");
    if (type >= SV_COUNT(options) || !options[type] || at == 0)
        return bad(in, "options of an unknown type");
    if ((r = open_table(in, at, &t)) < 0)
        return r;
    for (unsigned i = 0; options[type][i]; i++) {
        size_t where;
        char letter = options[type][i];

        r = letter == 'I' ? get_vector(in, &t, i, 4, &numbers)
                          : find_field(in, &t, i, letter == 'b' ? 1 : 4, &where);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Indexes of tensors; -1, none, is allowed for inputs. */
static int check_indexes(const struct reader *in, const struct vector *v, int least)
{
    for (uint32_t i = 0; i < v->len; i++) {
        int at = integer(in, v, i);

        if (at < least || (at >= 0 && (uint32_t)at >= in->ntensors))
            return bad(in, "a tensor that is not there");
    }
    return 0;
}

static int check_reads(const struct reader *in, const struct vector *v)
{
    for (uint32_t i = 0; i < v->len; i++) {
        int at = integer(in, v, i);

        if (at >= 0 && !in->tensors[at].written && in->tensors[at].data.len == 0 &&
            in->tensors[at].elements > 0)
            return refused(in, in->tensors[at].name, "is read before it is written");
    }
    return 0;
}

static int check_writes(const struct reader *in, const struct vector *v)
{
    for (uint32_t i = 0; i < v->len; i++) {
        struct tensor *t = &in->tensors[integer(in, v, i)];

        if (t->written || t->data.len > 0)
            return refused(in, t->name, "is written twice, or is a constant that is written");
        t->written = true;
    }
    return 0;
}

/* The code's name is in the file as a number only; *ret: the effective one, as TensorFlow Lite
 * reads it. */
static int operator_code(const struct reader *in, uint64_t index, uint32_t *ret)
{
    struct table t;
    struct sv_str custom;
    uint64_t old, code;
    int r;

    *ret = 0;
    if (index >= in->codes.len)
        return bad(in, "an operation that is not there");
    if ((r = element(in, &in->codes, (uint32_t)index, &t)) < 0 ||
        (r = get_number(in, &t, 0, 1, 0, &old)) < 0 || (r = get_string(in, &t, 1, &custom)) < 0 ||
        (r = get_number(in, &t, 3, 4, 0, &code)) < 0)
        return r;
    *ret = (uint32_t)((int32_t)code > (int8_t)old ? (int32_t)code : (int8_t)old);
    if (sv_nn_op_tflite(*ret))
        return 0;
    if (custom.len > 0) {
        char shown[SV_NN_SHOWN];

        return sv_fail(in->c->err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                       "model refused: custom operation '%s' is not allowed",
                       sv_nn_shown(custom, shown));
    }
    return sv_fail(in->c->err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                   "model refused: operation '%s' (%d) is not allowed", sv_nn_refused_tflite(*ret),
                   (int)*ret);
}

/* IF calls two subgraphs. */
static int check_branches(const struct reader *in, const struct table *op, uint32_t at)
{
    struct table t;
    size_t where;
    int r = follow(in, op, 4, &where);

    if (r < 0 || (r = open_table(in, where, &t)) < 0)
        return r;
    for (unsigned i = 0; i < 2; i++) {
        uint64_t to;

        r = get_number(in, &t, i, 4, 0, &to);
        if (r < 0)
            return r;
        if (to >= in->graphs.len)
            return bad(in, "a subgraph that is not there");
        r = sv_nn_add_call(in->c, at, (uint32_t)to);
        if (r < 0)
            return r;
    }
    return 0;
}

static int check_operator(const struct reader *in, const struct table *t, uint32_t at)
{
    struct vector inputs, outputs, between;
    const struct sv_nn_op *op;
    uint64_t index;
    uint32_t code;
    int r;

    if ((r = sv_nn_count_node(in->c, at)) < 0 || (r = get_number(in, t, 0, 4, 0, &index)) < 0 ||
        (r = operator_code(in, index, &code)) < 0 || (r = get_vector(in, t, 1, 4, &inputs)) < 0 ||
        (r = get_vector(in, t, 2, 4, &outputs)) < 0 ||
        (r = get_vector(in, t, 8, 4, &between)) < 0 || (r = check_options(in, t, code)) < 0 ||
        (r = check_indexes(in, &inputs, -1)) < 0 || (r = check_indexes(in, &outputs, 0)) < 0 ||
        (r = check_indexes(in, &between, 0)) < 0 || (r = check_reads(in, &inputs)) < 0 ||
        (r = check_writes(in, &outputs)) < 0)
        return r;
    for (uint32_t i = 0; i < between.len; i++)
        if (in->tensors[integer(in, &between, i)].data.len > 0)
            return bad(in, "a constant that is written");
    op = sv_nn_op_tflite(code);
    if (op->shape >= 0 && (uint32_t)op->shape < inputs.len &&
        integer(in, &inputs, (uint32_t)op->shape) >= 0) {
        const struct tensor *shape = &in->tensors[integer(in, &inputs, (uint32_t)op->shape)];

        if (integers(in, shape) > SV_NN_MODEL_ELEMENTS_MAX)
            return sv_nn_beyond(in->c, shape->name, "many elements in a result");
    }
    return code == CODE_IF ? check_branches(in, t, at) : 0;
}

static int check_operators(const struct reader *in, const struct table *graph, uint32_t at)
{
    struct vector inputs, outputs, operators;
    struct table t;
    int r;

    if ((r = get_vector(in, graph, 1, 4, &inputs)) < 0 ||
        (r = get_vector(in, graph, 2, 4, &outputs)) < 0 ||
        (r = get_vector(in, graph, 3, 4, &operators)) < 0 ||
        (r = check_indexes(in, &inputs, 0)) < 0 || (r = check_indexes(in, &outputs, 0)) < 0 ||
        (r = check_writes(in, &inputs)) < 0)
        return r;
    for (uint32_t i = 0; i < operators.len; i++)
        if ((r = element(in, &operators, i, &t)) < 0 || (r = check_operator(in, &t, at)) < 0)
            return r;
    return check_reads(in, &outputs);
}

static int check_graph(struct reader *in, uint32_t at)
{
    struct vector tensors;
    struct table graph, t;
    struct sv_str name;
    int r;

    if ((r = element(in, &in->graphs, at, &graph)) < 0 || (r = known_fields(in, &graph, 6)) < 0 ||
        (r = get_string(in, &graph, 4, &name)) < 0 ||
        (r = get_vector(in, &graph, 0, 4, &tensors)) < 0)
        return r;
    if (tensors.len > SV_NN_MODEL_TABLES_MAX)
        return sv_nn_beyond(in->c, name, "many tensors");
    in->ntensors = tensors.len;
    in->tensors = sv_alloc_array_zero((size_t)tensors.len + 1, sizeof *in->tensors);
    if (!in->tensors)
        return sv_fail_nomem(in->c->err, "model check");
    for (uint32_t i = 0; i < tensors.len && r == 0; i++)
        if ((r = element(in, &tensors, i, &t)) == 0)
            r = check_tensor(in, &t, &in->tensors[i]);
    if (r == 0)
        r = check_operators(in, &graph, at);
    sv_free(in->tensors);
    in->tensors = NULL;
    return r;
}

static int check_ports(const struct reader *in, const struct table *signature, unsigned field,
                       uint32_t ntensors)
{
    struct vector ports;
    struct table t;
    struct sv_str name;
    uint64_t tensor;
    int r = get_vector(in, signature, field, 4, &ports);

    for (uint32_t i = 0; i < ports.len && r == 0; i++) {
        if ((r = element(in, &ports, i, &t)) < 0 || (r = get_string(in, &t, 0, &name)) < 0 ||
            (r = get_number(in, &t, 1, 4, 0, &tensor)) < 0)
            return r;
        if (tensor >= ntensors)
            return bad(in, "a tensor that is not there");
    }
    return r;
}

/* Names for inputs and outputs, and notes of the converter. */
static int check_names(const struct reader *in, const struct table *model)
{
    struct vector signatures, notes, note_buffers, tensors, data;
    struct table t, graph;
    struct sv_str name;
    uint64_t index;
    int r;

    if ((r = get_vector(in, model, 5, 4, &note_buffers)) < 0 ||
        (r = get_vector(in, model, 6, 4, &notes)) < 0 ||
        (r = get_vector(in, model, 7, 4, &signatures)) < 0)
        return r;
    for (uint32_t i = 0; i < note_buffers.len; i++)
        if ((r = buffer_data(in, (uint32_t)integer(in, &note_buffers, i), &data)) < 0)
            return r;
    for (uint32_t i = 0; i < notes.len; i++)
        if ((r = element(in, &notes, i, &t)) < 0 || (r = get_string(in, &t, 0, &name)) < 0 ||
            (r = get_number(in, &t, 1, 4, 0, &index)) < 0 ||
            (r = buffer_data(in, index, &data)) < 0)
            return r;
    for (uint32_t i = 0; i < signatures.len; i++) {
        if ((r = element(in, &signatures, i, &t)) < 0 || (r = get_string(in, &t, 2, &name)) < 0 ||
            (r = get_number(in, &t, 4, 4, 0, &index)) < 0)
            return r;
        if (index >= in->graphs.len)
            return bad(in, "a subgraph that is not there");
        if ((r = element(in, &in->graphs, (uint32_t)index, &graph)) < 0 ||
            (r = get_vector(in, &graph, 0, 4, &tensors)) < 0 ||
            (r = check_ports(in, &t, 0, tensors.len)) < 0 ||
            (r = check_ports(in, &t, 1, tensors.len)) < 0)
            return r;
    }
    return 0;
}

int sv_nn_check_tflite(struct sv_nn_check *c, struct sv_str file)
{
    struct reader in = {.c = c, .file = file};
    struct vector data;
    struct table model;
    struct sv_str description;
    size_t root;
    int r;

    if (file.len < 8 || memcmp(file.ptr + 4, "TFL3", 4) != 0)
        return sv_nn_malformed(c, "not a TensorFlow Lite file");
    root = (size_t)number(&in, 0, 4);
    if ((r = open_table(&in, root, &model)) < 0 || (r = known_fields(&in, &model, 8)) < 0 ||
        (r = get_vector(&in, &model, 1, 4, &in.codes)) < 0 ||
        (r = get_vector(&in, &model, 2, 4, &in.graphs)) < 0 ||
        (r = get_string(&in, &model, 3, &description)) < 0 ||
        (r = get_vector(&in, &model, 4, 4, &in.buffers)) < 0)
        return r;
    if (in.graphs.len == 0)
        return sv_nn_malformed(c, "a model without a graph");
    if (in.graphs.len > SV_NN_MODEL_FUNCTIONS_MAX)
        return sv_nn_beyond(c, (struct sv_str){0}, "many subgraphs");
    for (uint32_t i = 0; i < in.graphs.len; i++)
        if (!SV_VEC_PUSH(&c->sizes, SV_NN_MODEL_FUNCTIONS_MAX, 0))
            return sv_fail_nomem(c->err, "model check");
    for (uint32_t i = 0; i < in.buffers.len; i++)
        if ((r = buffer_data(&in, i, &data)) < 0)
            return r;
    for (uint32_t i = 0; i < in.codes.len; i++) {
        uint32_t code;

        r = operator_code(&in, i, &code);
        if (r < 0)
            return r;
    }
    for (uint32_t i = 0; i < in.graphs.len; i++)
        if ((r = check_graph(&in, i)) < 0)
            return r;
    return check_names(&in, &model);
}
