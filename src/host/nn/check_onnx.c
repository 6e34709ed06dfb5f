/* An ONNX ModelProto: which operations it has, what they ask for, and that all of it is in the
 * file. Field numbers are those of onnx/onnx.proto. */
#include "host/nn/check_wire.h"

#define ONNX_STRING 8
#define ONNX_INT32 6
#define ONNX_INT64 7
#define ONNX_TYPES 24

SV_WIRE_MESSAGE(model_proto, "ModelProto", {1, SV_WIRE_VARINT, true}, {7, SV_WIRE_BYTES, true},
                {20, SV_WIRE_BYTES, false}, {25, SV_WIRE_BYTES, false});
SV_WIRE_MESSAGE(graph_proto, "GraphProto", {1, SV_WIRE_BYTES, false}, {2, SV_WIRE_BYTES, true},
                {5, SV_WIRE_BYTES, false}, {11, SV_WIRE_BYTES, false}, {12, SV_WIRE_BYTES, false},
                {13, SV_WIRE_BYTES, false}, {15, SV_WIRE_BYTES, false});
SV_WIRE_MESSAGE(function_proto, "FunctionProto", {1, SV_WIRE_BYTES, true},
                {7, SV_WIRE_BYTES, false}, {10, SV_WIRE_BYTES, true}, {11, SV_WIRE_BYTES, false},
                {12, SV_WIRE_BYTES, false}, {13, SV_WIRE_BYTES, true});
SV_WIRE_MESSAGE(node_proto, "NodeProto", {1, SV_WIRE_BYTES, false}, {2, SV_WIRE_BYTES, false},
                {3, SV_WIRE_BYTES, true}, {4, SV_WIRE_BYTES, true}, {5, SV_WIRE_BYTES, false},
                {7, SV_WIRE_BYTES, true}, {8, SV_WIRE_BYTES, true});
SV_WIRE_MESSAGE(attribute_proto, "AttributeProto", {5, SV_WIRE_BYTES, true},
                {6, SV_WIRE_BYTES, true}, {10, SV_WIRE_BYTES, false}, {11, SV_WIRE_BYTES, false},
                {14, SV_WIRE_BYTES, true}, {15, SV_WIRE_BYTES, false}, {22, SV_WIRE_BYTES, true},
                {23, SV_WIRE_BYTES, false});
SV_WIRE_MESSAGE(tensor_proto, "TensorProto", {1, SV_WIRE_VARINTS, false}, {2, SV_WIRE_VARINT, true},
                {3, SV_WIRE_BYTES, true}, {4, SV_WIRE_FIXED32S, false}, {5, SV_WIRE_VARINTS, false},
                {6, SV_WIRE_BYTES, false}, {7, SV_WIRE_VARINTS, false}, {8, SV_WIRE_BYTES, true},
                {9, SV_WIRE_BYTES, true}, {10, SV_WIRE_FIXED64S, false},
                {11, SV_WIRE_VARINTS, false}, {13, SV_WIRE_BYTES, false},
                {14, SV_WIRE_VARINT, true});
SV_WIRE_MESSAGE(value_info, "ValueInfoProto", {1, SV_WIRE_BYTES, true}, {2, SV_WIRE_BYTES, true});
SV_WIRE_MESSAGE(type_proto, "TypeProto", {1, SV_WIRE_BYTES, true}, {4, SV_WIRE_BYTES, true},
                {5, SV_WIRE_BYTES, true}, {7, SV_WIRE_BYTES, true}, {8, SV_WIRE_BYTES, true},
                {9, SV_WIRE_BYTES, true});
SV_WIRE_MESSAGE(tensor_type, "TypeProto.Tensor", {1, SV_WIRE_VARINT, true},
                {2, SV_WIRE_BYTES, true});
SV_WIRE_MESSAGE(shape_proto, "TensorShapeProto", {1, SV_WIRE_BYTES, false});
SV_WIRE_MESSAGE(dim_proto, "TensorShapeProto.Dimension", {1, SV_WIRE_VARINT, true},
                {2, SV_WIRE_BYTES, true});

/* Bits of an element, the field of TensorProto that has its values, values per element (4-bit ones:
 * two in a value). */
static const struct type {
    uint8_t bits, field, values;
} types[ONNX_TYPES] = {
    [1] = {32, 4, 1},   [2] = {8, 5, 1},   [3] = {8, 5, 1},     [4] = {16, 5, 1},
    [5] = {16, 5, 1},   [6] = {32, 5, 1},  [7] = {64, 7, 1},    [8] = {64, 6, 1},
    [9] = {8, 5, 1},    [10] = {16, 5, 1}, [11] = {64, 10, 1},  [12] = {32, 11, 1},
    [13] = {64, 11, 1}, [14] = {64, 4, 2}, [15] = {128, 10, 2}, [16] = {16, 5, 1},
    [17] = {8, 5, 1},   [18] = {8, 5, 1},  [19] = {8, 5, 1},    [20] = {8, 5, 1},
    [21] = {4, 5, 1},   [22] = {4, 5, 1},  [23] = {4, 5, 1},
};

/* Where the reader is. */
struct place {
    struct sv_str name; /* of the node or tensor */
    uint32_t at;        /* function; 0: the graph */
    unsigned depth;
};

static int unsupported(struct sv_nn_check *c, struct sv_str name, const char *what)
{
    char shown[SV_NN_SHOWN];

    return sv_fail(c->err, SV_EUNSUPPORTED, SV_NO_OFFSET, "model refused: '%s' %s",
                   sv_nn_shown(name, shown), what);
}

struct tensor {
    struct sv_str name, raw;
    uint64_t type, count, fields, elements;
    unsigned rank;
    bool has_raw, external;
};

static int add_dims(struct sv_nn_check *c, struct tensor *t, const struct sv_wire_field *f)
{
    const uint8_t *p = (const uint8_t *)f->bytes.ptr, *end = p + f->bytes.len;
    uint64_t size = f->value;

    for (uint64_t i = 0; i < f->count; i++) {
        if (p && !sv_wire_number(&p, end, &size))
            return sv_nn_malformed(c, "TensorProto.dims");
        if (++t->rank > SV_NN_MODEL_RANK_MAX)
            return sv_nn_beyond(c, t->name, "many dimensions");
        if ((int64_t)size < 0)
            return sv_nn_malformed(c, "a dimension below zero");
        /* A zero stays: there are no elements. The others are bounded all the same. */
        if (sv_nn_times(t->elements, (int64_t)size) == UINT64_MAX)
            return sv_nn_beyond(c, t->name, "many elements in a shape");
        t->elements *= size;
    }
    return 0;
}

static int read_tensor(struct sv_nn_check *c, struct sv_str bytes, struct tensor *t)
{
    struct sv_wire w;
    struct sv_wire_field f;
    int r;

    *t = (struct tensor){.elements = 1};
    sv_wire_init(&w, &tensor_proto, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        switch (f.number) {
        case 1:
            r = add_dims(c, t, &f);
            break;
        case 2:
            t->type = f.value;
            break;
        case 8:
            t->name = f.bytes;
            break;
        case 9:
            t->raw = f.bytes;
            t->has_raw = true;
            break;
        case 13:
            t->external = true;
            break;
        case 14:
            t->external |= f.value != 0;
            break;
        case 3:
            return sv_nn_malformed(c, "a tensor in segments");
        case 0:
            break;
        default:
            t->fields |= (uint64_t)1 << f.number;
            t->count += f.number == 6 ? 1 : f.count;
        }
        if (r < 0)
            return r;
    }
    return r;
}

/* Product of integers, of a tensor that is as it should be. */
static uint64_t integers(struct sv_nn_check *c, struct sv_str bytes, const struct tensor *t)
{
    struct sv_wire w;
    struct sv_wire_field f;
    uint64_t product = 1, value;

    if ((t->type != ONNX_INT32 && t->type != ONNX_INT64) || t->elements > SV_NN_SHAPE_VALUES_MAX)
        return 0;
    sv_wire_init(&w, &tensor_proto, bytes);
    while (sv_wire_next(c, &w, &f) > 0) {
        const uint8_t *p = (const uint8_t *)f.bytes.ptr, *end = p + f.bytes.len;

        if (f.number == 9)
            for (size_t size = types[t->type].bits / 8; p < end; p += size) {
                int64_t wide = 0;
                int32_t narrow;

                memcpy(size == 4 ? (void *)&narrow : (void *)&wide, p, size);
                product = sv_nn_times(product, size == 4 ? narrow : wide);
            }
        if (f.number != types[t->type].field)
            continue;
        if (!p)
            product = sv_nn_times(product, (int64_t)f.value);
        while (p < end && sv_wire_number(&p, end, &value))
            product = sv_nn_times(product, (int64_t)value);
    }
    return product;
}

/* A tensor brings all of its values. `as`: the name that nodes know it by; without: its own. */
static int check_tensor(struct sv_nn_check *c, struct sv_str bytes, struct sv_str as)
{
    const struct type *type;
    struct tensor t;
    uint64_t want, want_raw;
    int r = read_tensor(c, bytes, &t);

    if (r < 0)
        return r;
    if (as.len > 0)
        t.name = as;
    if (t.external)
        return unsupported(c, t.name, "has its values in another file");
    if (t.type >= ONNX_TYPES || types[t.type].bits == 0)
        return unsupported(c, t.name, "has values of an unknown type");
    type = &types[t.type];
    want = type->bits == 4 ? (t.elements + 1) / 2 : t.elements * type->values;
    want_raw = (t.elements * type->bits + 7) / 8;
    if (t.has_raw ? t.fields != 0 || t.type == ONNX_STRING || t.raw.len != want_raw
                  : t.count != want || (t.fields & ~((uint64_t)1 << type->field)) != 0)
        return sv_nn_malformed(c, "a tensor's values do not fit its shape and type");
    return sv_nn_add_constant(c, t.name, integers(c, bytes, &t));
}

static int check_shape(struct sv_nn_check *c, struct sv_str name, struct sv_str bytes)
{
    struct sv_wire w, dim;
    struct sv_wire_field f, part;
    uint64_t product = 1;
    unsigned rank = 0;
    int r;

    sv_wire_init(&w, &shape_proto, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number != 1)
            continue;
        if (++rank > SV_NN_MODEL_RANK_MAX)
            return sv_nn_beyond(c, name, "many dimensions");
        sv_wire_init(&dim, &dim_proto, f.bytes);
        while ((r = sv_wire_next(c, &dim, &part)) > 0)
            if (part.number == 1)
                product = sv_nn_times(product, (int64_t)part.value);
        if (r < 0)
            return r;
        if (product == UINT64_MAX)
            return sv_nn_beyond(c, name, "many elements in a shape");
    }
    return r;
}

/* Inputs, outputs and values between: tensors with a shape that a machine can hold. */
static int check_value(struct sv_nn_check *c, struct sv_str bytes)
{
    struct sv_str name = {0}, type = {0}, tensor = {0}, shape = {0};
    struct sv_wire w;
    struct sv_wire_field f;
    int r;

    sv_wire_init(&w, &value_info, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0)
        *(f.number == 1 ? &name : f.number == 2 ? &type : &shape) = f.bytes;
    if (r < 0)
        return r;
    sv_wire_init(&w, &type_proto, type);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number > 1)
            return unsupported(c, name, "is no tensor");
        if (f.number == 1)
            tensor = f.bytes;
    }
    if (r < 0)
        return r;
    shape = (struct sv_str){0};
    sv_wire_init(&w, &tensor_type, tensor);
    while ((r = sv_wire_next(c, &w, &f)) > 0)
        if (f.number == 2)
            shape = f.bytes;
    return r < 0 ? r : check_shape(c, name, shape);
}

static int check_graph(struct sv_nn_check *, const struct place *, struct sv_str);

static int check_attribute(struct sv_nn_check *c, const struct place *here, struct sv_str output,
                           struct sv_str bytes)
{
    struct place inner = {here->name, here->at, here->depth + 1};
    struct sv_wire w;
    struct sv_wire_field f;
    int r;

    sv_wire_init(&w, &attribute_proto, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        switch (f.number) {
        case 5:
        case 10:
            r = check_tensor(c, f.bytes, output);
            break;
        case 6:
        case 11:
            r = check_graph(c, &inner, f.bytes);
            break;
        case 0:
            break;
        default:
            return unsupported(c, here->name, "has a type or a sparse tensor as attribute");
        }
        if (r < 0)
            return r;
    }
    return r;
}

/* "domain:name": the key of a function of the model. Overloads count as one. */
static int function_key(struct sv_nn_check *c, struct sv_str domain, struct sv_str name, char *ret,
                        size_t size, size_t *ret_len)
{
    if (domain.len + name.len + 1 > size)
        return sv_nn_beyond(c, name, "long a name");
    memcpy(ret, domain.ptr ? domain.ptr : "", domain.len);
    ret[domain.len] = ':';
    memcpy(ret + domain.len + 1, name.ptr ? name.ptr : "", name.len);
    *ret_len = domain.len + name.len + 1;
    return 0;
}

#define KEY_MAX 1024

static int check_op(struct sv_nn_check *c, const struct place *here, struct sv_str domain,
                    struct sv_str op, const struct sv_nn_op **ret)
{
    char name[SV_NN_SHOWN], shown[SV_NN_SHOWN], shown_domain[SV_NN_SHOWN], key[KEY_MAX];
    size_t len = 0;
    uintptr_t to;
    int r = function_key(c, domain, op, key, sizeof key, &len);

    if (r < 0)
        return r;
    to = (uintptr_t)sv_map_find(&c->functions, (struct sv_str){key, len});
    *ret = sv_nn_op_onnx(domain, op);
    if (to != 0)
        return sv_nn_add_call(c, here->at, (uint32_t)to - 1);
    if (*ret)
        return 0;
    return sv_fail(c->err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                   "model refused: operation '%s%s%s' of node '%s' is not allowed",
                   sv_nn_shown(domain, shown_domain), domain.len > 0 ? "." : "",
                   sv_nn_shown(op, shown), sv_nn_shown(here->name, name));
}

static int check_node(struct sv_nn_check *c, const struct place *outer, struct sv_str bytes)
{
    struct place here = {{0}, outer->at, outer->depth};
    struct sv_str op_type = {0}, domain = {0}, output = {0}, shape = {0};
    const struct sv_nn_op *op;
    struct sv_wire w;
    struct sv_wire_field f;
    int r = sv_nn_count_node(c, here.at), input = 0;

    if (r < 0)
        return r;
    sv_wire_init(&w, &node_proto, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 2 && !output.ptr)
            output = f.bytes;
        if (f.number == 3)
            here.name = f.bytes;
        if (f.number == 4)
            op_type = f.bytes;
        if (f.number == 7)
            domain = f.bytes;
    }
    if (here.name.len == 0)
        here.name = output;
    if (r == 0)
        r = check_op(c, &here, domain, op_type, &op);
    if (r < 0)
        return r;
    sv_wire_init(&w, &node_proto, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 1 && op && input++ == op->shape)
            shape = f.bytes;
        if (f.number == 5)
            r = check_attribute(c, &here, output, f.bytes);
        if (r < 0)
            return r;
    }
    return r == 0 && shape.len > 0 ? sv_nn_add_use(c, shape, here.name) : r;
}

static int check_graph(struct sv_nn_check *c, const struct place *here, struct sv_str bytes)
{
    struct sv_wire w;
    struct sv_wire_field f;
    int r;

    if (here->depth > SV_NN_MODEL_NESTING)
        return sv_nn_beyond(c, here->name, "deeply nested graphs");
    sv_wire_init(&w, &graph_proto, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        switch (f.number) {
        case 1:
            r = check_node(c, here, f.bytes);
            break;
        case 5:
            r = check_tensor(c, f.bytes, (struct sv_str){0});
            break;
        case 11:
        case 12:
        case 13:
            r = check_value(c, f.bytes);
            break;
        case 15:
            return unsupported(c, here->name, "has a sparse tensor");
        default:
            break;
        }
        if (r < 0)
            return r;
    }
    return r;
}

/* Keys of the functions, one allocation; what the map borrows. */
struct names {
    SV_VEC(char *) keys;
};

static int name_function(struct sv_nn_check *c, struct names *names, struct sv_str bytes)
{
    struct sv_str name = {0}, domain = {0};
    struct sv_wire w;
    struct sv_wire_field f;
    char key[KEY_MAX], *copy;
    size_t len = 0;
    int r;

    sv_wire_init(&w, &function_proto, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 1)
            name = f.bytes;
        if (f.number == 10)
            domain = f.bytes;
    }
    if (r == 0)
        r = function_key(c, domain, name, key, sizeof key, &len);
    if (r < 0)
        return r;
    if (sv_map_find(&c->functions, (struct sv_str){key, len}))
        return sv_nn_malformed(c, "two functions of one name");
    if (names->keys.len == SV_NN_MODEL_FUNCTIONS_MAX)
        return sv_nn_beyond(c, name, "many functions");
    copy = sv_strndup(key, len);
    if (!copy || !SV_VEC_PUSH(&names->keys, SV_NN_MODEL_FUNCTIONS_MAX, copy)) {
        sv_free(copy);
        return sv_fail_nomem(c->err, "model check");
    }
    if (!SV_VEC_PUSH(&c->sizes, SV_NN_MODEL_FUNCTIONS_MAX + 1, 0) ||
        !sv_map_put(&c->functions, (struct sv_str){copy, len}, (void *)(uintptr_t)c->sizes.len))
        return sv_fail_nomem(c->err, "model check");
    return 0;
}

static int check_function(struct sv_nn_check *c, struct sv_str bytes, uint32_t at)
{
    struct place here = {.at = at};
    struct sv_wire w;
    struct sv_wire_field f;
    int r;

    sv_wire_init(&w, &function_proto, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 7)
            r = check_node(c, &here, f.bytes);
        if (f.number == 11)
            r = check_attribute(c, &here, (struct sv_str){0}, f.bytes);
        if (f.number == 12)
            r = check_value(c, f.bytes);
        if (r < 0)
            return r;
    }
    return r < 0 ? r : sv_nn_end_scope(c);
}

static int check_model(struct sv_nn_check *c, struct sv_str bytes, struct names *names)
{
    struct sv_str graph = {0};
    struct place top = {0};
    struct sv_wire w;
    struct sv_wire_field f;
    uint32_t at = 0;
    int r;

    if (!SV_VEC_PUSH(&c->sizes, SV_NN_MODEL_FUNCTIONS_MAX + 1, 0))
        return sv_fail_nomem(c->err, "model check");
    sv_wire_init(&w, &model_proto, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 7)
            graph = f.bytes;
        if (f.number == 20)
            return unsupported(c, sv_str_of("ModelProto"), "is for training");
        if (f.number == 25)
            r = name_function(c, names, f.bytes);
        if (r < 0)
            return r;
    }
    if (r == 0)
        r = check_graph(c, &top, graph);
    if (r == 0 && c->nodes == 0)
        return sv_nn_malformed(c, "a graph without operations");
    if (r == 0)
        r = sv_nn_end_scope(c);
    if (r < 0)
        return r;
    sv_wire_init(&w, &model_proto, bytes);
    while ((r = sv_wire_next(c, &w, &f)) > 0) {
        if (f.number == 25)
            r = check_function(c, f.bytes, ++at);
        if (r < 0)
            return r;
    }
    return r;
}

int sv_nn_check_onnx(struct sv_nn_check *c, struct sv_str bytes)
{
    struct names names = {0};
    int r = check_model(c, bytes, &names);

    for (size_t i = 0; i < names.keys.len; i++)
        sv_free(names.keys.data[i]);
    sv_free(names.keys.data);
    /* The keys that the map borrows are gone. */
    sv_map_release(&c->functions);
    sv_map_init(&c->functions);
    return r;
}
