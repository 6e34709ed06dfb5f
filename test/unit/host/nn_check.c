/* Models before a foreign library sees them: the project's own ones pass; hostile ones, made here,
 * are refused by the name of what is wrong; damaged ones end with an answer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "host/nn/check_model.h"

#define BOMB ((uint64_t)1 << 40)
#define MODEL_MAX ((size_t)8 << 20)

/* ---- protocol buffers ---- */

static void varint(struct sv_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        sv_buf_putc(b, (char)(v | 0x80));
    sv_buf_putc(b, (char)v);
}

static void number(struct sv_buf *b, unsigned field, uint64_t v)
{
    varint(b, field << 3);
    varint(b, v);
}

static void bytes(struct sv_buf *b, unsigned field, const void *p, size_t len)
{
    varint(b, field << 3 | 2);
    varint(b, len);
    sv_buf_append(b, p, len);
}

static void text(struct sv_buf *b, unsigned field, const char *s)
{
    bytes(b, field, s, strlen(s));
}

/* Put `part` into `b` as a field and empty it. */
static void message(struct sv_buf *b, unsigned field, struct sv_buf *part)
{
    bytes(b, field, part->data, part->len);
    sv_buf_release(part);
    sv_buf_init(part, MODEL_MAX);
}

static struct sv_buf new_buf(void)
{
    struct sv_buf b;

    sv_buf_init(&b, MODEL_MAX);
    return b;
}

/* What a check said: the text, "" when it passed. */
static const char *verdict(enum ssvm_nn_format format, struct sv_buf *b)
{
    static struct sv_err err;
    int r;

    memset(&err, 0, sizeof err);
    assert_false(b->failed);
    r = sv_nn_check(&err, format, b->data, b->len);
    assert_int_equal(r, err.code);
    sv_buf_release(b);
    return err.code == 0 ? "" : err.text;
}

static void refused(enum ssvm_nn_format format, struct sv_buf *b, const char *part)
{
    const char *said = verdict(format, b);

    if (!strstr(said, part))
        fail_msg("'%s' is not in '%s'", part, said);
}

static void passes(enum ssvm_nn_format format, struct sv_buf *b)
{
    assert_string_equal(verdict(format, b), "");
}

/* ---- GraphDef ---- */

static void tf_attr(struct sv_buf *node, const char *key, struct sv_buf *value)
{
    struct sv_buf entry = new_buf();

    text(&entry, 1, key);
    message(&entry, 2, value);
    message(node, 5, &entry);
}

/* A node with inputs up to NULL; attributes may follow until end_node. */
static struct sv_buf tf_node(const char *name, const char *op, const char *input)
{
    struct sv_buf node = new_buf();

    text(&node, 1, name);
    text(&node, 2, op);
    if (input)
        text(&node, 3, input);
    return node;
}

static struct sv_buf tf_shape(const uint64_t *dims, unsigned n)
{
    struct sv_buf shape = new_buf(), dim = new_buf();

    for (unsigned i = 0; i < n; i++) {
        number(&dim, 1, dims[i]);
        message(&shape, 2, &dim);
    }
    return shape;
}

/* Const of `type` with `dims` and `len` bytes of content. */
static void tf_const(struct sv_buf *graph, const char *name, unsigned type, const uint64_t *dims,
                     unsigned n, const void *content, size_t len)
{
    struct sv_buf node = tf_node(name, "Const", NULL), shape = tf_shape(dims, n),
                  tensor = new_buf(), value = new_buf();

    number(&tensor, 1, type);
    message(&tensor, 2, &shape);
    if (content)
        bytes(&tensor, 4, content, len);
    message(&value, 8, &tensor);
    tf_attr(&node, "value", &value);
    message(graph, 1, &node);
}

static struct sv_buf tf_one(const char *op)
{
    struct sv_buf graph = new_buf(), node = tf_node("the/node", op, NULL);

    message(&graph, 1, &node);
    return graph;
}

static void tensorflow_ops(void **state)
{
    static const char *const not_allowed[] = {"ReadFile",
                                              "WriteFile",
                                              "PyFunc",
                                              "EagerPyFunc",
                                              "Assert",
                                              "Print",
                                              "PrintV2",
                                              "VarHandleOp",
                                              "Variable",
                                              "RestoreV2",
                                              "SaveV2",
                                              "MatchingFiles",
                                              "ImmutableConst",
                                              "RandomUniform",
                                              "FIFOQueueV2",
                                              "HashTableV2",
                                              "Send",
                                              "RemoteCall",
                                              "While",
                                              "StatelessWhile",
                                              "Enter",
                                              "NextIteration",
                                              "DecodeJpeg",
                                              "FileSystemSetConfiguration",
                                              "WriteSummary",
                                              "Abort",
                                              "ExperimentalSleepDataset",
                                              "",
                                              "Con",
                                              "Consts",
                                              "SymbolicGradient"};
    static const char *const allowed[] = {
        "Abs",       "Conv2D",           "Placeholder",        "Softmax",
        "ZerosLike", "FusedBatchNormV3", "NonMaxSuppressionV3"};
    char want[128];

    (void)state;
    for (size_t i = 0; i < SV_COUNT(not_allowed); i++) {
        struct sv_buf graph = tf_one(not_allowed[i]);

        snprintf(want, sizeof want, "operation '%s' of node 'the/node' is not allowed",
                 not_allowed[i]);
        refused(SSVM_NN_TENSORFLOW, &graph, want);
    }
    for (size_t i = 0; i < SV_COUNT(allowed); i++) {
        struct sv_buf graph = tf_one(allowed[i]);

        passes(SSVM_NN_TENSORFLOW, &graph);
    }
}

/* A log gets what a model calls itself. */
static void shown_names(void **state)
{
    struct sv_buf graph = tf_one("Evil\n\x1b[2Jline'");

    (void)state;
    refused(SSVM_NN_TENSORFLOW, &graph, "operation 'Evil??[2Jline?' of node");
}

static void tensorflow_bombs(void **state)
{
    const uint64_t big[] = {BOMB}, two[] = {1 << 20, 1 << 20}, wraps[] = {1u << 31, 1u << 31, 4},
                   million[] = {1 << 20}, hundred_million[] = {100000000}, one[] = {1},
                   pair[] = {2}, below[] = {(uint64_t)-1}, zero[] = {0, BOMB},
                   many[17] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const int32_t sizes[] = {1 << 20, 1 << 20}, fine[] = {100, 100};
    struct sv_buf graph = new_buf(), node;

    (void)state;
    tf_const(&graph, "c", 1, big, 1, NULL, 0);
    refused(SSVM_NN_TENSORFLOW, &graph, "'c': too many elements in a shape");
    graph = new_buf();
    tf_const(&graph, "c", 1, two, 2, NULL, 0);
    refused(SSVM_NN_TENSORFLOW, &graph, "too many elements in a shape");
    graph = new_buf();
    tf_const(&graph, "c", 1, wraps, 3, "", 0);
    refused(SSVM_NN_TENSORFLOW, &graph, "too many elements in a shape");
    graph = new_buf();
    tf_const(&graph, "c", 1, zero, 2, NULL, 0);
    refused(SSVM_NN_TENSORFLOW, &graph, "too many elements in a shape");
    graph = new_buf();
    tf_const(&graph, "c", 1, hundred_million, 1, NULL, 0);
    refused(SSVM_NN_TENSORFLOW, &graph, "'c': too many elements that the file does not have");
    graph = new_buf();
    for (int i = 0; i < 100; i++) {
        char name[8];

        snprintf(name, sizeof name, "c%d", i);
        tf_const(&graph, name, 1, million, 1, NULL, 0);
    }
    refused(SSVM_NN_TENSORFLOW, &graph, "too many elements that the file does not have");
    graph = new_buf();
    tf_const(&graph, "c", 1, below, 1, NULL, 0);
    refused(SSVM_NN_TENSORFLOW, &graph, "a dimension below zero");
    graph = new_buf();
    tf_const(&graph, "c", 1, many, 17, NULL, 0);
    refused(SSVM_NN_TENSORFLOW, &graph, "'c': too many dimensions");
    graph = new_buf();
    tf_const(&graph, "c", 1, one, 1, "abc", 3);
    refused(SSVM_NN_TENSORFLOW, &graph, "values do not fit");
    graph = new_buf();
    tf_const(&graph, "c", 20, one, 1, NULL, 0);
    refused(SSVM_NN_TENSORFLOW, &graph, "'c' has values of type 20");
    /* Fill makes what its input says, also when an output number or the order hides it. */
    graph = new_buf();
    node = tf_node("fill", "Fill", "sizes:0");
    message(&graph, 1, &node);
    tf_const(&graph, "sizes", 3, pair, 1, sizes, sizeof sizes);
    refused(SSVM_NN_TENSORFLOW, &graph, "'fill': too many elements in its result");
    graph = new_buf();
    tf_const(&graph, "sizes", 3, pair, 1, fine, sizeof fine);
    node = tf_node("fill", "Fill", "sizes");
    message(&graph, 1, &node);
    passes(SSVM_NN_TENSORFLOW, &graph);
}

/* A parser merges messages that come twice: the sum is another shape. */
static void tensorflow_twice(void **state)
{
    const uint64_t part[] = {1 << 20};
    struct sv_buf graph = new_buf(), node = tf_node("p", "Placeholder", NULL),
                  shape = tf_shape(part, 1), value = new_buf();

    (void)state;
    message(&value, 7, &shape);
    shape = tf_shape(part, 1);
    message(&value, 7, &shape);
    sv_buf_release(&shape);
    tf_attr(&node, "shape", &value);
    message(&graph, 1, &node);
    refused(SSVM_NN_TENSORFLOW, &graph, "malformed model: AttrValue");
    graph = new_buf();
    node = tf_node("p", "Placeholder", NULL);
    text(&node, 2, "ReadFile");
    message(&graph, 1, &node);
    refused(SSVM_NN_TENSORFLOW, &graph, "malformed model: NodeDef");
    graph = new_buf();
    node = tf_node("p", "Placeholder", NULL);
    number(&value, 6, 1);
    number(&value, 3, 1);
    tf_attr(&node, "dtype", &value);
    message(&graph, 1, &node);
    sv_buf_release(&value);
    refused(SSVM_NN_TENSORFLOW, &graph, "malformed model: AttrValue");
}

static void tf_attr_func(struct sv_buf *node, const char *called)
{
    struct sv_buf value = new_buf(), list = new_buf();

    text(&list, 1, called);
    message(&value, 10, &list);
    tf_attr(node, "f", &value);
}

/* A function of one node of `op`, or of `calls` calls of another. */
static void tf_function(struct sv_buf *library, const char *name, const char *op,
                        const char *called, unsigned calls)
{
    struct sv_buf function = new_buf(), signature = new_buf(), node;

    text(&signature, 1, name);
    message(&function, 1, &signature);
    for (unsigned i = 0; i < (calls ? calls : 1); i++) {
        node = tf_node("n", calls ? "PartitionedCall" : op, NULL);
        if (calls)
            tf_attr_func(&node, called);
        message(&function, 3, &node);
    }
    message(library, 1, &function);
}

static void tensorflow_functions(void **state)
{
    struct sv_buf graph = tf_one("f0"), library = new_buf(), node;
    char name[8], called[8];

    (void)state;
    tf_function(&library, "f0", "Relu", NULL, 0);
    message(&graph, 2, &library);
    passes(SSVM_NN_TENSORFLOW, &graph);

    graph = tf_one("f0");
    tf_function(&library, "f0", "ReadFile", NULL, 0);
    message(&graph, 2, &library);
    refused(SSVM_NN_TENSORFLOW, &graph, "operation 'ReadFile' of node 'n'");

    graph = tf_one("Relu");
    tf_function(&library, "a", NULL, "b", 1);
    tf_function(&library, "b", NULL, "a", 1);
    message(&graph, 2, &library);
    refused(SSVM_NN_TENSORFLOW, &graph, "a function calls itself");

    /* Each calls the next one ten times: 10^7 operations in 80 nodes. */
    graph = tf_one("f0");
    for (int i = 0; i < 8; i++) {
        snprintf(name, sizeof name, "f%d", i);
        snprintf(called, sizeof called, "f%d", i + 1);
        tf_function(&library, name, "Relu", called, i < 7 ? 10 : 0);
    }
    message(&graph, 2, &library);
    refused(SSVM_NN_TENSORFLOW, &graph, "too many operations with all calls written out");

    graph = new_buf();
    node = tf_node("call", "PartitionedCall", NULL);
    tf_attr_func(&node, "elsewhere");
    message(&graph, 1, &node);
    refused(SSVM_NN_TENSORFLOW, &graph, "calls the function 'elsewhere', which the model has not");
    sv_buf_release(&library);
}

/* Attributes in lists in functions in attributes... */
static void tensorflow_nesting(void **state)
{
    struct sv_buf graph = new_buf(), node = tf_node("n", "Relu", NULL), value = new_buf(),
                  list = new_buf(), library = new_buf();

    (void)state;
    tf_function(&library, "f", "Relu", NULL, 0);
    number(&value, 3, 1);
    for (int i = 0; i < 200; i++) {
        struct sv_buf entry = new_buf();

        text(&entry, 1, "k");
        message(&entry, 2, &value);
        text(&list, 1, "f");
        message(&list, 2, &entry);
        message(&value, 10, &list);
        sv_buf_release(&entry);
    }
    tf_attr(&node, "f", &value);
    message(&graph, 1, &node);
    message(&graph, 2, &library);
    sv_buf_release(&library);
    sv_buf_release(&list);
    refused(SSVM_NN_TENSORFLOW, &graph, "too deeply nested attributes");
}

/* Libraries guess formats by a few bytes: a file must not be two things. */
static void two_formats(void **state)
{
    static const char *const marks[] = {"TFL3", "ORTM"};
    const uint8_t name[] = {0x0a, 2, 'n', 0};
    struct sv_buf b, graph;

    (void)state;
    for (size_t i = 0; i < SV_COUNT(marks); i++) {
        /* version (field 3): 1; doc string or unknown: the mark; then a good node */
        b = new_buf();
        sv_buf_append(&b, "\x18\x01\x7a\x04", 4);
        sv_buf_append(&b, marks[i], 4);
        graph = tf_one("Relu");
        sv_buf_append(&b, graph.data, graph.len);
        sv_buf_release(&graph);
        refused(SSVM_NN_TENSORFLOW, &b, "its bytes are not of the format");
    }
    /* a GraphDef whose field 7 is the graph of a ModelProto */
    b = tf_one("Relu");
    bytes(&b, 7, name, sizeof name);
    refused(SSVM_NN_TENSORFLOW, &b, "its bytes are not of the format");
}

static void wire(void **state)
{
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {
        {"", 0},                                                  /* nothing */
        {"\x0a", 1},                                              /* no length */
        {"\x0a\x05", 2},                                          /* too short */
        {"\x0b\x0c", 2},                                          /* groups */
        {"\x02\x00", 2},                                          /* field 0 */
        {"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11},     /* length of 2^64 - 1 */
        {"\x08\x01", 2},                                          /* a number for a node */
        {"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12}, /* 11 bytes of a number */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10},         /* such a tag */
        {"\x19\x00\x00\x00\x00\x00\x00\x00", 8},                  /* 7 of 8 bytes */
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(bad); i++) {
        struct sv_buf b = new_buf();

        sv_buf_append(&b, bad[i].bytes, bad[i].len);
        refused(SSVM_NN_TENSORFLOW, &b, "malformed model");
    }
}

/* ---- ONNX ---- */

struct onnx {
    struct sv_buf model, graph;
};

static struct onnx onnx_new(void)
{
    struct onnx o = {new_buf(), new_buf()};

    number(&o.model, 1, 8);
    return o;
}

static struct sv_buf *onnx_end(struct onnx *o)
{
    message(&o->model, 7, &o->graph);
    sv_buf_release(&o->graph);
    return &o->model;
}

static struct sv_buf onnx_node(const char *op, const char *domain, const char *input)
{
    struct sv_buf node = new_buf();

    if (input)
        text(&node, 1, input);
    text(&node, 2, "out");
    text(&node, 3, "the/node");
    text(&node, 4, op);
    if (domain)
        text(&node, 7, domain);
    return node;
}

static void onnx_tensor(struct onnx *o, unsigned type, const uint64_t *dims, unsigned n,
                        const void *raw, size_t len)
{
    struct sv_buf tensor = new_buf();

    for (unsigned i = 0; i < n; i++)
        number(&tensor, 1, dims[i]);
    number(&tensor, 2, type);
    text(&tensor, 8, "w");
    bytes(&tensor, 9, raw, len);
    message(&o->graph, 5, &tensor);
}

static struct onnx onnx_one(const char *op, const char *domain)
{
    struct onnx o = onnx_new();
    struct sv_buf node = onnx_node(op, domain, NULL);

    message(&o.graph, 1, &node);
    return o;
}

static void onnx_ops(void **state)
{
    static const struct {
        const char *op, *domain, *said;
    } cases[] = {
        {"Conv", NULL, ""},
        {"Conv", "ai.onnx", ""},
        {"TreeEnsembleRegressor", "ai.onnx.ml", ""},
        {"Loop", NULL, "operation 'Loop' of node 'the/node' is not allowed"},
        {"Scan", NULL, "operation 'Scan'"},
        {"RandomNormal", NULL, "operation 'RandomNormal'"},
        {"ImageDecoder", NULL, "operation 'ImageDecoder'"},
        {"Conv", "com.evil", "operation 'com.evil.Conv'"},
        {"Conv", "ai.onnx.ml", "operation 'ai.onnx.ml.Conv'"},
        {"Gradient", "ai.onnx.preview.training", "operation 'ai.onnx.preview.training.Gradient'"},
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        struct onnx o = onnx_one(cases[i].op, cases[i].domain);

        if (*cases[i].said)
            refused(SSVM_NN_ONNX, onnx_end(&o), cases[i].said);
        else
            passes(SSVM_NN_ONNX, onnx_end(&o));
    }
}

static void onnx_external(void **state)
{
    struct onnx o = onnx_one("Relu", NULL);
    struct sv_buf tensor = new_buf(), entry = new_buf();

    (void)state;
    number(&tensor, 2, 1);
    text(&tensor, 8, "w");
    text(&entry, 1, "location");
    text(&entry, 2, "/etc/passwd");
    message(&tensor, 13, &entry);
    message(&o.graph, 5, &tensor);
    refused(SSVM_NN_ONNX, onnx_end(&o), "'w' has its values in another file");
    o = onnx_one("Relu", NULL);
    number(&tensor, 2, 1);
    text(&tensor, 8, "w");
    number(&tensor, 14, 1);
    message(&o.graph, 5, &tensor);
    refused(SSVM_NN_ONNX, onnx_end(&o), "'w' has its values in another file");
}

static void onnx_bombs(void **state)
{
    const uint64_t big[] = {BOMB}, two[] = {2}, below[] = {(uint64_t)-1};
    const int64_t sizes[] = {1 << 20, 1 << 20};
    struct onnx o = onnx_one("Relu", NULL);
    struct sv_buf node, graph, attribute = new_buf(), part;

    (void)state;
    onnx_tensor(&o, 1, big, 1, "", 0);
    refused(SSVM_NN_ONNX, onnx_end(&o), "too many elements in a shape");
    o = onnx_one("Relu", NULL);
    onnx_tensor(&o, 1, below, 1, "", 0);
    refused(SSVM_NN_ONNX, onnx_end(&o), "a dimension below zero");
    o = onnx_one("Relu", NULL);
    onnx_tensor(&o, 1, two, 1, "1234", 4);
    refused(SSVM_NN_ONNX, onnx_end(&o), "values do not fit");
    o = onnx_new();
    node = onnx_node("ConstantOfShape", NULL, "w");
    message(&o.graph, 1, &node);
    onnx_tensor(&o, 7, two, 1, sizes, sizeof sizes);
    refused(SSVM_NN_ONNX, onnx_end(&o), "'the/node': too many elements in its result");
    /* if in if in if ... */
    graph = new_buf();
    for (int i = 0; i < 100; i++) {
        message(&attribute, 6, &graph);
        node = onnx_node("If", NULL, NULL);
        message(&node, 5, &attribute);
        message(&graph, 1, &node);
    }
    o = onnx_new();
    sv_buf_release(&o.graph);
    o.graph = graph;
    refused(SSVM_NN_ONNX, onnx_end(&o), "too deeply nested graphs");
    /* a function that calls itself */
    o = onnx_one("f", "mine");
    part = new_buf();
    text(&part, 1, "f");
    text(&part, 10, "mine");
    node = onnx_node("f", "mine", NULL);
    message(&part, 7, &node);
    message(&o.model, 25, &part);
    refused(SSVM_NN_ONNX, onnx_end(&o), "a function calls itself");
}

/* ---- TensorFlow Lite ---- */

/* A FlatBuffer that is written forwards, vtables before their tables. */
struct flat {
    uint8_t bytes[4096];
    size_t len;
};

static void align(struct flat *f, size_t to)
{
    while (f->len % to != 0)
        f->bytes[f->len++] = 0;
}

static void set(struct flat *f, size_t at, uint64_t v, size_t size)
{
    memcpy(f->bytes + at, &v, size);
}

/* `sizes`: one digit for each field, 0 = absent. Places of the fields to ret_at. */
static size_t table(struct flat *f, const char *sizes, size_t *ret_at)
{
    size_t n = strlen(sizes), vtable, at;

    align(f, 8);
    vtable = f->len;
    f->len += 4 + 2 * n;
    align(f, 8);
    at = f->len;
    set(f, at, at - vtable, 4);
    f->len += 4;
    for (size_t i = 0; i < n; i++) {
        size_t size = (size_t)(sizes[i] - '0');

        ret_at[i] = 0;
        if (size == 0)
            continue;
        align(f, size);
        ret_at[i] = f->len;
        set(f, vtable + 4 + 2 * i, f->len - at, 2);
        f->len += size;
    }
    set(f, vtable, 4 + 2 * n, 2);
    set(f, vtable + 2, f->len - at, 2);
    return at;
}

static void point(struct flat *f, size_t field, size_t to)
{
    set(f, field, to - field, 4);
}

/* Vector of n elements of `size`; returns where it is, *ret where its first element is. */
static size_t vector(struct flat *f, uint32_t n, size_t size, size_t *ret)
{
    size_t at;

    align(f, 4);
    if (size == 8 && f->len % 8 == 0)
        f->len += 4;
    at = f->len;
    set(f, at, n, 4);
    *ret = at + 4;
    f->len = at + 4 + n * size;
    return at;
}

static void ints(struct flat *f, size_t field, const int *values, uint32_t n)
{
    size_t at;

    point(f, field, vector(f, n, 4, &at));
    memcpy(f->bytes + at, values, n * 4);
}

/* y = op(x, k), where k is a constant; what a case changes. */
struct lite {
    uint32_t old_code, code, options, buffer_len, variable, type, offset, external, branch;
    int dims[2], constant[2], input, constant_index, output, graph_output;
    const char *custom;
};
static const struct lite good = {.options = 11,
                                 .buffer_len = 8,
                                 .dims = {1, 2},
                                 .constant_index = 1,
                                 .output = 2,
                                 .graph_output = 2};

static void lite_tensor(struct flat *f, size_t slot, const struct lite *m, unsigned at)
{
    size_t field[11], name, place;

    point(f, slot, table(f, m->external && at == 1 ? "41440100004" : "4144010000", field));
    set(f, field[1], at == 1 ? 2 : m->type, 1);
    set(f, field[2], at == 1, 4);
    set(f, field[5], at == 0 ? m->variable : 0, 1);
    ints(f, field[0], at == 1 ? (const int[]){1, 2} : m->dims, 2);
    align(f, 4);
    name = vector(f, 1, 1, &place);
    f->bytes[place] = (uint8_t)('x' + at);
    f->bytes[f->len++] = 0;
    point(f, field[3], name);
}

static void lite_operator(struct flat *f, size_t slot, const struct lite *m)
{
    size_t field[5], where[2];

    point(f, slot, table(f, m->options ? "44414" : "444", field));
    set(f, field[0], 0, 4);
    ints(f, field[1], (const int[]){m->input, m->constant_index}, 2);
    ints(f, field[2], &m->output, 1);
    if (!m->options)
        return;
    set(f, field[3], m->options, 1);
    point(f, field[4], table(f, m->options == 92 ? "44" : "11", where));
    if (m->options == 92)
        set(f, where[1], m->branch, 4);
}

static struct sv_buf lite(const struct lite *m)
{
    struct flat f = {.len = 8};
    struct sv_buf b = new_buf();
    size_t model[5], field[8], slot, at;

    memcpy(f.bytes + 4, "TFL3", 4);
    point(&f, 0, table(&f, "44404", model));
    set(&f, model[0], 3, 4);
    point(&f, model[1], vector(&f, 1, 4, &slot));
    point(&f, slot, table(&f, m->custom ? "1444" : "1044", field));
    set(&f, field[0], m->old_code, 1);
    set(&f, field[3], m->code, 4);
    if (m->custom) {
        size_t len = strlen(m->custom);

        point(&f, field[1], vector(&f, (uint32_t)len, 1, &at));
        memcpy(f.bytes + at, m->custom, len + 1);
        f.len++;
    }
    point(&f, model[4], vector(&f, 2, 4, &slot));
    point(&f, slot, table(&f, "000", field));
    point(&f, slot + 4, table(&f, m->offset ? "488" : "4", field));
    point(&f, field[0], vector(&f, m->buffer_len, 1, &at));
    if (m->buffer_len == 8)
        memcpy(f.bytes + at, m->constant, 8);
    if (m->offset)
        set(&f, field[1], m->offset, 8);
    point(&f, model[2], vector(&f, 1, 4, &slot));
    point(&f, slot, table(&f, "4444", field));
    ints(&f, field[1], (const int[]){0}, 1);
    ints(&f, field[2], &m->graph_output, 1);
    point(&f, field[3], vector(&f, 1, 4, &slot));
    lite_operator(&f, slot, m);
    point(&f, field[0], vector(&f, 3, 4, &slot));
    for (unsigned i = 0; i < 3; i++)
        lite_tensor(&f, slot + 4 * (size_t)i, m, i);
    align(&f, 8);
    sv_buf_append(&b, f.bytes, f.len);
    return b;
}

static void lite_says(struct lite m, const char *said)
{
    struct sv_buf b = lite(&m);

    if (*said)
        refused(SSVM_NN_TFLITE, &b, said);
    else
        passes(SSVM_NN_TFLITE, &b);
}

static void tflite_ops(void **state)
{
    struct lite m = good;

    (void)state;
    lite_says(m, "");
    m.code = 32;
    m.custom = "Evil";
    lite_says(m, "custom operation 'Evil' is not allowed");
    m = good;
    m.code = 129;
    lite_says(m, "operation 'CALL_ONCE' (129) is not allowed");
    m = good;
    m.old_code = 119; /* WHILE; the greater of the two numbers counts */
    lite_says(m, "operation 'WHILE' (119) is not allowed");
    m = good;
    m.code = 118;
    lite_says(m, "options of another operation");
    m.options = 92;
    lite_says(m, "a function calls itself");
    m.branch = 7;
    lite_says(m, "a subgraph that is not there");
    m = good;
    m.options = 16;
    lite_says(m, "options of an unknown type");
}

static void tflite_tensors(void **state)
{
    struct lite m = good;

    (void)state;
    m.dims[0] = m.dims[1] = 1 << 20;
    lite_says(m, "'x': too many elements in a shape");
    m = good;
    m.dims[0] = -1;
    lite_says(m, "a dimension below zero");
    m = good;
    m.variable = 1;
    lite_says(m, "'x' keeps its values from run to run");
    m = good;
    m.type = 5;
    lite_says(m, "'x' has values that are no numbers");
    m.type = 99;
    lite_says(m, "'x' has values that are no numbers");
    m = good;
    m.buffer_len = 7;
    lite_says(m, "values do not fit");
    m = good;
    m.offset = 1 << 20;
    lite_says(m, "data behind the model");
    m = good;
    m.external = 1;
    lite_says(m, "data outside of the file");
}

/* Memory that nobody wrote is memory of somebody else; constants are the shared bytes of the model.
 */
static void tflite_flow(void **state)
{
    struct lite m = good;

    (void)state;
    m.input = 2;
    lite_says(m, "'z' is read before it is written");
    m = good;
    m.output = 1;
    lite_says(m, "'y' is written twice, or is a constant that is written");
    m = good;
    m.output = 0;
    lite_says(m, "'x' is written twice");
    m = good;
    m.input = 3;
    lite_says(m, "a tensor that is not there");
    m.input = -1;
    lite_says(m, "");
    m = good;
    m.output = -1;
    lite_says(m, "a tensor that is not there");
    m = good;
    m.code = 94; /* FILL */
    m.options = 0;
    m.input = 1;
    m.constant[0] = m.constant[1] = 1 << 20;
    lite_says(m, "'y': too many elements in a result");
    m.constant[0] = m.constant[1] = 4;
    lite_says(m, "");
    m = good;
    m.buffer_len = 0;
    lite_says(m, "'y' is read before it is written");
}

/* ---- what is there in the project, and damage ---- */

#ifndef SV_TEST_MODELS
#error "the folder of the models"
#endif

static struct sv_buf model_file(const char *name)
{
    char path[512], part[4096];
    struct sv_buf b = new_buf();
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", SV_TEST_MODELS, name);
    f = fopen(path, "rb");
    if (!f)
        fail_msg("%s is not there", path);
    while ((n = fread(part, 1, sizeof part, f)) > 0)
        sv_buf_append(&b, part, n);
    fclose(f);
    assert_false(b.failed);
    return b;
}

static const struct {
    const char *name;
    enum ssvm_nn_format format;
} models[] = {{"food_mobilenet_v2_224_frozen.pb", SSVM_NN_TENSORFLOW},
              {"food_mobilenet_v2_224.tflite", SSVM_NN_TFLITE},
              {"food_mobilenet_v2_224.onnx", SSVM_NN_ONNX}};

static void real_models(void **state)
{
    (void)state;
    for (size_t i = 0; i < SV_COUNT(models); i++) {
        struct sv_buf b = model_file(models[i].name);
        enum ssvm_nn_format found;
        struct sv_err err = {0};

        assert_true(sv_nn_sniff(b.data, b.len, &found));
        assert_int_equal(found, models[i].format);
        for (int as = 0; as < SSVM_NN_FORMATS; as++)
            if (as != (int)found)
                assert_int_not_equal(sv_nn_check(&err, as, b.data, b.len), 0);
        passes(found, &b);
    }
}

static void no_models(void **state)
{
    static const char *const none[] = {"",        "\x89PNG\r\n\x1a\n1234", "TFL3",
                                       "\x00asm", "<?xml ?><net>",         "PK\x03\x04...........",
                                       "\x0a"};
    enum ssvm_nn_format found;

    (void)state;
    for (size_t i = 0; i < SV_COUNT(none); i++)
        assert_false(sv_nn_sniff(none[i], strlen(none[i]), &found));
}

/* Any answer, in time; under the sanitizers no access beyond the bytes. */
static void damaged(void **state)
{
    uint64_t seed = 20201226;
    unsigned turned = 0;

    (void)state;
    for (size_t i = 0; i < SV_COUNT(models); i++) {
        struct sv_buf b = model_file(models[i].name);

        for (int n = 0; n < 4000; n++) {
            struct sv_err err = {0};
            size_t at, len = b.len;
            uint8_t *copy, bit;

            seed = seed * 6364136223846793005u + 1442695040888963407u;
            /* half of the hits where structure is dense: at the ends */
            at = (size_t)(seed >> 20) % (n % 2 ? b.len : 4096);
            at = n % 4 == 2 ? b.len - 1 - at : at;
            bit = (uint8_t)(1u << (seed >> 61));
            if (n % 8 == 7)
                len = at;
            b.data[at] ^= bit;
            copy = malloc(len ? len : 1);
            memcpy(copy, b.data, len);
            turned += sv_nn_check(&err, models[i].format, copy, len) != 0;
            free(copy);
            b.data[at] ^= bit;
        }
        passes(models[i].format, &b);
    }
    assert_true(turned > 500);
}

/* Found by bisection: the lists must be in order. */
static void lists(void **state)
{
    static const char *const tf[] = {
#define NONE SV_NN_NO_SHAPE
#define TF(name, shape) #name,
#define ONNX(name, shape)
#define ONNX_ML(name, shape)
#define TFLITE(code, name, shape)
#define TFLITE_OPTIONS(number, name, fields)
#define TFLITE_REFUSED(code, name)
#include "host/nn/ops.def"
#undef TF
#undef ONNX
    };
    static const char *const onnx[] = {
#define TF(name, shape)
#define ONNX(name, shape) #name,
#include "host/nn/ops.def"
    };

    (void)state;
    for (size_t i = 0; i < SV_COUNT(tf); i++)
        assert_string_equal(sv_nn_op_tensorflow(sv_str_of(tf[i]))->name, tf[i]);
    for (size_t i = 0; i < SV_COUNT(onnx); i++)
        assert_string_equal(sv_nn_op_onnx((struct sv_str){0}, sv_str_of(onnx[i]))->name, onnx[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_formats),
        cmocka_unit_test(tensorflow_ops),
        cmocka_unit_test(shown_names),
        cmocka_unit_test(tensorflow_bombs),
        cmocka_unit_test(tensorflow_twice),
        cmocka_unit_test(tensorflow_functions),
        cmocka_unit_test(tensorflow_nesting),
        cmocka_unit_test(wire),
        cmocka_unit_test(onnx_ops),
        cmocka_unit_test(onnx_external),
        cmocka_unit_test(onnx_bombs),
        cmocka_unit_test(tflite_ops),
        cmocka_unit_test(tflite_tensors),
        cmocka_unit_test(tflite_flow),
        cmocka_unit_test(real_models),
        cmocka_unit_test(no_models),
        cmocka_unit_test(damaged),
        cmocka_unit_test(lists),
    };

    return cmocka_run_group_tests_name("nn_check", tests, NULL, NULL);
}
