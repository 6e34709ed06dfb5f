/* A frozen GraphDef: which operations it has, what they ask for. Field numbers are those of
 * tensorflow/core/framework/{graph,node_def,attr_value,tensor,tensor_shape,function}.proto. */
#include "host/nn/check_wire.h"

/* numbers of types.proto */
#define DT_FLOAT 1
#define DT_INT32 3
#define DT_STRING 7
#define DT_INT64 9
#define DT_COUNT 24

SV_WIRE_MESSAGE(graph_def, "GraphDef", {1, SV_WIRE_BYTES, false}, {2, SV_WIRE_BYTES, true});
SV_WIRE_MESSAGE(library_def, "FunctionDefLibrary", {1, SV_WIRE_BYTES, false},
                {2, SV_WIRE_BYTES, false}, {3, SV_WIRE_BYTES, false});
SV_WIRE_MESSAGE(function_def, "FunctionDef", {1, SV_WIRE_BYTES, true}, {3, SV_WIRE_BYTES, false},
                {5, SV_WIRE_BYTES, false});
SV_WIRE_MESSAGE(op_def, "OpDef", {1, SV_WIRE_BYTES, true});
SV_WIRE_MESSAGE(node_def, "NodeDef", {1, SV_WIRE_BYTES, true}, {2, SV_WIRE_BYTES, true},
                {3, SV_WIRE_BYTES, false}, {4, SV_WIRE_BYTES, true}, {5, SV_WIRE_BYTES, false});
SV_WIRE_MESSAGE(attr_entry, "NodeDef.attr", {1, SV_WIRE_BYTES, true}, {2, SV_WIRE_BYTES, true});
SV_WIRE_MESSAGE(attr_value, "AttrValue", {1, SV_WIRE_BYTES, true}, {2, SV_WIRE_BYTES, true},
                {3, SV_WIRE_VARINT, true}, {4, SV_WIRE_FIXED32, true}, {5, SV_WIRE_VARINT, true},
                {6, SV_WIRE_VARINT, true}, {7, SV_WIRE_BYTES, true}, {8, SV_WIRE_BYTES, true},
                {9, SV_WIRE_BYTES, true}, {10, SV_WIRE_BYTES, true});
SV_WIRE_MESSAGE(list_value, "AttrValue.ListValue", {2, SV_WIRE_BYTES, false},
                {3, SV_WIRE_VARINTS, false}, {4, SV_WIRE_FIXED32S, false},
                {5, SV_WIRE_VARINTS, false}, {6, SV_WIRE_VARINTS, false}, {7, SV_WIRE_BYTES, false},
                {8, SV_WIRE_BYTES, false}, {9, SV_WIRE_BYTES, false});
SV_WIRE_MESSAGE(name_attr_list, "NameAttrList", {1, SV_WIRE_BYTES, true},
                {2, SV_WIRE_BYTES, false});
SV_WIRE_MESSAGE(shape_proto, "TensorShapeProto", {2, SV_WIRE_BYTES, false},
                {3, SV_WIRE_VARINT, true});
SV_WIRE_MESSAGE(dim_proto, "TensorShapeProto.Dim", {1, SV_WIRE_VARINT, true},
                {2, SV_WIRE_BYTES, true});
SV_WIRE_MESSAGE(tensor_proto, "TensorProto", {1, SV_WIRE_VARINT, true}, {2, SV_WIRE_BYTES, true},
                {4, SV_WIRE_BYTES, true}, {5, SV_WIRE_FIXED32S, false},
                {6, SV_WIRE_FIXED64S, false}, {7, SV_WIRE_VARINTS, false},
                {8, SV_WIRE_BYTES, false}, {9, SV_WIRE_FIXED32S, false},
                {10, SV_WIRE_VARINTS, false}, {11, SV_WIRE_VARINTS, false},
                {12, SV_WIRE_FIXED64S, false}, {13, SV_WIRE_VARINTS, false},
                {14, SV_WIRE_BYTES, false}, {15, SV_WIRE_BYTES, false},
                {16, SV_WIRE_VARINTS, false}, {17, SV_WIRE_VARINTS, false},
                {18, SV_WIRE_BYTES, true});

/* Types of numbers (and strings, as constants): bytes of an element, the field of TensorProto that
 * has its values, values per element. Absent: resource, variant and what else is no number. */
static const struct type {
    uint8_t size, field, values;
} types[DT_COUNT] = {
    [DT_FLOAT] = {4, 5, 1},  [2] = {8, 6, 1},    [DT_INT32] = {4, 7, 1},   [4] = {1, 7, 1},
    [5] = {2, 7, 1},         [6] = {1, 7, 1},    [DT_STRING] = {24, 8, 1}, [8] = {8, 9, 2},
    [DT_INT64] = {8, 10, 1}, [10] = {1, 11, 1},  [11] = {1, 7, 1},         [12] = {1, 7, 1},
    [13] = {4, 7, 1},        [14] = {2, 13, 1},  [15] = {2, 7, 1},         [16] = {2, 7, 1},
    [17] = {2, 7, 1},        [18] = {16, 12, 2}, [19] = {2, 13, 1},        [22] = {4, 16, 1},
    [23] = {8, 17, 1},
};

/* The node that is being read. */
struct node {
    struct sv_str name, op;
    uint32_t at;       /* function; 0: the graph */
    uint64_t constant; /* product of the values of its attribute "value" */
};

static int check_type(struct sv_nn_check *c, const struct node *n, uint64_t type)
{
    char name[SV_NN_SHOWN];

    if (type < DT_COUNT && types[type].size > 0)
        return 0;
    return sv_fail(c->err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                   "model refused: '%s' has values of type %d, which are no numbers",
                   sv_nn_shown(n->name, name), type < INT32_MAX ? (int)type : -1);
}

/* Product of the dimensions to *ret; -1, open, is allowed where `open` is and counts as 1. */
static int check_shape(struct sv_nn_check *c, const struct node *n, struct sv_str bytes, bool open,
                       uint64_t *ret)
{
    struct sv_wire w, dim;
    struct sv_wire_field f, part;
    uint64_t product = 1;
    unsigned rank = 0;
    bool empty = false;
    int r;

    sv_wire_init(&w, &shape_proto, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        int64_t size = 0;

        if (f.number == 3 && f.value != 0 && !open)
            return sv_nn_malformed(c, "a tensor without rank");
        if (f.number != 2)
            continue;
        sv_wire_init(&dim, &dim_proto, f.bytes);
        while ((r = sv_wire_next(c, &dim, &part)) > 0)
            if (part.number == 1)
                size = (int64_t)part.value;
        if (r < 0)
            return r;
        if (++rank > SV_NN_MODEL_RANK_MAX)
            return sv_nn_beyond(c, n->name, "many dimensions");
        if (size < (open ? -1 : 0))
            return sv_nn_malformed(c, "a dimension below zero");
        empty |= size == 0;
        product = sv_nn_times(product, size);
        if (product == UINT64_MAX)
            return sv_nn_beyond(c, n->name, "many elements in a shape");
    }
    if (r == 0)
        *ret = empty ? 0 : product;
    return r;
}

/* Product of integers: shapes, sizes and counts are such constants. Lists that are shorter than the
 * tensor go on with their last value. */
static uint64_t integers(struct sv_nn_check *c, struct sv_str bytes, uint64_t type,
                         uint64_t elements)
{
    struct sv_wire w;
    struct sv_wire_field f;
    uint64_t product = 1, value = 0, n = 0;

    if ((type != DT_INT32 && type != DT_INT64) || elements > SV_NN_SHAPE_VALUES_MAX)
        return 0;
    sv_wire_init(&w, &tensor_proto, bytes);
    while (sv_wire_next(c, &w, &f) > 0) {
        const uint8_t *p = (const uint8_t *)f.bytes.ptr, *end = p + f.bytes.len;

        if (f.number == 4)
            for (; p < end; p += types[type].size) {
                int64_t wide = 0;
                int32_t narrow;

                memcpy(type == DT_INT32 ? (void *)&narrow : (void *)&wide, p, types[type].size);
                product = sv_nn_times(product, type == DT_INT32 ? narrow : wide);
            }
        if (f.number != types[type].field)
            continue;
        value = f.value;
        if (!p) {
            product = sv_nn_times(product, (int64_t)value);
            n++;
        }
        for (; p < end && sv_wire_number(&p, end, &value); n++)
            product = sv_nn_times(product, (int64_t)value);
    }
    for (; n > 0 && n < elements; n++)
        product = sv_nn_times(product, (int64_t)value);
    return product;
}

/* What of a tensor is in the file, and what it makes of it: a tensor of a terabyte may be ten bytes
 * long, for one value stands for all that follow. */
static int check_tensor(struct sv_nn_check *c, struct node *n, struct sv_str bytes)
{
    struct sv_str shape = {0}, content = {0};
    struct sv_wire w;
    struct sv_wire_field f;
    uint64_t type = 0, elements = 0, count = 0, fields = 0, product;
    int r;

    sv_wire_init(&w, &tensor_proto, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 1)
            type = f.value;
        if (f.number == 2)
            shape = f.bytes;
        if (f.number == 4)
            content = f.bytes;
        if (f.number < 5)
            continue;
        fields |= (uint64_t)1 << f.number;
        count += f.number == 8 ? 1 : f.count;
    }
    if (r == 0)
        r = check_type(c, n, type);
    if (r == 0)
        r = check_shape(c, n, shape, false, &elements);
    if (r < 0)
        return r;
    if ((fields & ~((uint64_t)1 << types[type].field)) != 0 || (content.len > 0 && fields != 0) ||
        count > elements * types[type].values || count % types[type].values != 0 ||
        (content.len > 0 && (type == DT_STRING || content.len != elements * types[type].size)))
        return sv_nn_malformed(c, "a tensor's values do not fit its shape and type");
    if (content.len == 0 && count < elements * types[type].values) {
        c->filled += elements * types[type].size;
        if (c->filled > SV_NN_MODEL_FILLED_MAX)
            return sv_nn_beyond(c, n->name, "many elements that the file does not have");
    }
    product = integers(c, bytes, type, elements);
    if (product > n->constant)
        n->constant = product;
    return 0;
}

static int check_attr_entry(struct sv_nn_check *, struct node *, struct sv_str, unsigned depth);

static int check_function_name(struct sv_nn_check *c, struct node *n, struct sv_str bytes,
                               unsigned depth)
{
    char name[SV_NN_SHOWN], function[SV_NN_SHOWN];
    struct sv_str called = {0};
    struct sv_wire w;
    struct sv_wire_field f;
    uintptr_t to;
    int r;

    if (depth > SV_NN_MODEL_NESTING)
        return sv_nn_beyond(c, n->name, "deeply nested attributes");
    sv_wire_init(&w, &name_attr_list, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 1)
            called = f.bytes;
        if (f.number == 2)
            r = check_attr_entry(c, n, f.bytes, depth + 1);
        if (r < 0)
            return r;
    }
    if (r < 0)
        return r;
    to = (uintptr_t)sv_map_find(&c->functions, called);
    if (to == 0)
        return sv_fail(c->err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                       "model refused: '%s' calls the function '%s', which the model has not",
                       sv_nn_shown(n->name, name), sv_nn_shown(called, function));
    return sv_nn_add_call(c, n->at, (uint32_t)to - 1);
}

static int check_types(struct sv_nn_check *c, const struct node *n, const struct sv_wire_field *f)
{
    const uint8_t *p = (const uint8_t *)f->bytes.ptr, *end = p + f->bytes.len;
    uint64_t type = f->value;
    int r = p ? 0 : check_type(c, n, type);

    while (r == 0 && p && p < end)
        r = sv_wire_number(&p, end, &type) ? check_type(c, n, type)
                                           : sv_nn_malformed(c, "AttrValue.ListValue");
    return r;
}

/* Tensors, shapes, types and functions have the same meaning alone and in a list. */
static int check_list(struct sv_nn_check *c, struct node *n, struct sv_str bytes, unsigned depth)
{
    struct sv_wire w;
    struct sv_wire_field f;
    uint64_t product;
    int r;

    sv_wire_init(&w, &list_value, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 6)
            r = check_types(c, n, &f);
        else if (f.number == 7)
            r = check_shape(c, n, f.bytes, true, &product);
        else if (f.number == 8)
            r = check_tensor(c, n, f.bytes);
        else if (f.number == 9)
            r = check_function_name(c, n, f.bytes, depth + 1);
        if (r < 0)
            return r;
    }
    return r;
}

static int check_attr(struct sv_nn_check *c, struct node *n, struct sv_str key, struct sv_str bytes,
                      unsigned depth)
{
    char name[SV_NN_SHOWN];
    struct sv_wire w;
    struct sv_wire_field f;
    unsigned values = 0;
    uint64_t product;
    int r;

    sv_wire_init(&w, &attr_value, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        /* One of them is the value; which of several it is depends on the reader. */
        if (f.number > 0 && ++values > 1)
            return sv_nn_malformed(c, "AttrValue");
        if (f.number == 1)
            r = check_list(c, n, f.bytes, depth);
        else if (f.number == 6)
            r = check_types(c, n, &f);
        else if (f.number == 7)
            r = check_shape(c, n, f.bytes, true, &product);
        else if (f.number == 8)
            r = check_tensor(c, n, f.bytes);
        else if (f.number == 10)
            r = check_function_name(c, n, f.bytes, depth + 1);
        else if (f.number == 5 && f.value != 0 && key.len > 4 && memcmp(key.ptr, "_Xla", 4) == 0)
            return sv_fail(c->err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                           "model refused: '%s' asks to be compiled (XLA)",
                           sv_nn_shown(n->name, name));
        if (r < 0)
            return r;
    }
    return r;
}

static int check_attr_entry(struct sv_nn_check *c, struct node *n, struct sv_str bytes,
                            unsigned depth)
{
    struct sv_str key = {0}, value = {0};
    struct sv_wire w;
    struct sv_wire_field f;
    int r;

    sv_wire_init(&w, &attr_entry, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 1)
            key = f.bytes;
        if (f.number == 2)
            value = f.bytes;
    }
    return r < 0 ? r : check_attr(c, n, key, value, depth);
}

/* "^name" waits for a node, "name:1" and, in functions, "name:output:1" are outputs of one. */
static struct sv_str input_node(struct sv_str input)
{
    const char *colon;

    if (input.len > 0 && *input.ptr == '^') {
        input.ptr++;
        input.len--;
    }
    colon = input.len > 0 ? memchr(input.ptr, ':', input.len) : NULL;
    if (colon)
        input.len = (size_t)(colon - input.ptr);
    return input;
}

static int check_op(struct sv_nn_check *c, const struct node *n, const struct sv_nn_op **ret)
{
    char name[SV_NN_SHOWN], op[SV_NN_SHOWN];
    uintptr_t to = (uintptr_t)sv_map_find(&c->functions, n->op);

    *ret = sv_nn_op_tensorflow(n->op);
    if (to != 0) /* a function's name is an operation */
        return sv_nn_add_call(c, n->at, (uint32_t)to - 1);
    if (*ret)
        return 0;
    return sv_fail(c->err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                   "model refused: operation '%s' of node '%s' is not allowed",
                   sv_nn_shown(n->op, op), sv_nn_shown(n->name, name));
}

static int check_node(struct sv_nn_check *c, struct sv_str bytes, uint32_t at)
{
    struct node n = {.at = at};
    const struct sv_nn_op *op;
    struct sv_str shape = {0};
    struct sv_wire w;
    struct sv_wire_field f;
    int r = sv_nn_count_node(c, at), input = 0;

    if (r < 0)
        return r;
    sv_wire_init(&w, &node_def, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 1)
            n.name = f.bytes;
        if (f.number == 2)
            n.op = f.bytes;
    }
    if (r == 0)
        r = check_op(c, &n, &op);
    if (r < 0)
        return r;
    sv_wire_init(&w, &node_def, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 3 && op && input++ == op->shape)
            shape = input_node(f.bytes);
        if (f.number == 5)
            r = check_attr_entry(c, &n, f.bytes, 0);
        if (r < 0)
            return r;
    }
    if (r == 0 && shape.len > 0)
        r = sv_nn_add_use(c, shape, n.name);
    return r == 0 ? sv_nn_add_constant(c, n.name, n.constant) : r;
}

static int function_name(struct sv_nn_check *c, struct sv_str bytes, struct sv_str *ret)
{
    struct sv_str signature = {0};
    struct sv_wire w;
    struct sv_wire_field f;
    int r;

    *ret = (struct sv_str){0};
    sv_wire_init(&w, &function_def, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0)
        if (f.number == 1)
            signature = f.bytes;
    if (r < 0)
        return r;
    sv_wire_init(&w, &op_def, signature);
    while ((r = sv_wire_next(c, &w, &f)) > 0)
        if (f.number == 1)
            *ret = f.bytes;
    return r;
}

/* Names first: a function may call a later one. Function i of the library is i + 1 of sizes. */
static int name_functions(struct sv_nn_check *c, struct sv_str library)
{
    struct sv_str name;
    struct sv_wire w;
    struct sv_wire_field f;
    int r;

    sv_wire_init(&w, &library_def, library);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number > 1)
            return sv_fail(c->err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                           "model refused: it has gradients, it is not frozen");
        if (f.number != 1)
            continue;
        r = function_name(c, f.bytes, &name);
        if (r < 0)
            return r;
        if (sv_map_find(&c->functions, name))
            return sv_nn_malformed(c, "two functions of one name");
        if (c->sizes.len > SV_NN_MODEL_FUNCTIONS_MAX)
            return sv_nn_beyond(c, name, "many functions");
        if (!SV_VEC_PUSH(&c->sizes, SV_NN_MODEL_FUNCTIONS_MAX + 1, 0) ||
            !sv_map_put(&c->functions, name, (void *)(uintptr_t)c->sizes.len))
            return sv_fail_nomem(c->err, "model check");
    }
    return r;
}

static int check_function(struct sv_nn_check *c, struct sv_str bytes, uint32_t at)
{
    struct node n = {.at = at};
    struct sv_wire w;
    struct sv_wire_field f;
    int r = function_name(c, bytes, &n.name);

    if (r < 0)
        return r;
    sv_wire_init(&w, &function_def, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 3)
            r = check_node(c, f.bytes, at);
        if (f.number == 5)
            r = check_attr_entry(c, &n, f.bytes, 0);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sv_nn_end_scope(c);
}

static int check_library(struct sv_nn_check *c, struct sv_str library)
{
    struct sv_wire w;
    struct sv_wire_field f;
    uint32_t at = 0;
    int r;

    sv_wire_init(&w, &library_def, library);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 1)
            r = check_function(c, f.bytes, ++at);
        if (r < 0)
            return r;
    }
    return r;
}

int sv_nn_check_tensorflow(struct sv_nn_check *c, struct sv_str bytes)
{
    struct sv_str library = {0};
    struct sv_wire w;
    struct sv_wire_field f;
    int r;

    if (!SV_VEC_PUSH(&c->sizes, SV_NN_MODEL_FUNCTIONS_MAX + 1, 0))
        return sv_fail_nomem(c->err, "model check");
    sv_wire_init(&w, &graph_def, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0)
        if (f.number == 2)
            library = f.bytes;
    if (r == 0)
        r = name_functions(c, library);
    if (r < 0)
        return r;
    sv_wire_init(&w, &graph_def, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 1)
            r = check_node(c, f.bytes, 0);
        if (r < 0)
            return r;
    }
    if (r == 0 && c->nodes == 0)
        return sv_nn_malformed(c, "a graph without operations");
    if (r == 0)
        r = sv_nn_end_scope(c);
    return r == 0 ? check_library(c, library) : r;
}
