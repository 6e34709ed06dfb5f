/* Models of guests: what they are, and what the readers of the formats share. No format itself. */
#include "host/nn/check.h"

#include "host/nn/check_wire.h"

#define NONE SV_NN_NO_SHAPE
#define TFLITE_OPTIONS(number, name, fields)
#define TFLITE_REFUSED(code, name)
#define TF(name, shape) {#name, shape},
#define ONNX(name, shape)
#define ONNX_ML(name, shape)
#define TFLITE(code, name, shape)
static const struct sv_nn_op tensorflow_ops[] = {
#include "host/nn/ops.def"
};
#undef TF
#undef ONNX
#define TF(name, shape)
#define ONNX(name, shape) {#name, shape},
static const struct sv_nn_op onnx_ops[] = {
#include "host/nn/ops.def"
};
#undef ONNX
#undef ONNX_ML
#define ONNX(name, shape)
#define ONNX_ML(name, shape) {#name, shape},
static const struct sv_nn_op onnx_ml_ops[] = {
#include "host/nn/ops.def"
};
#undef ONNX_ML
#undef TFLITE
#define ONNX_ML(name, shape)
#define TFLITE(code, name, shape) [code] = {#name, shape},
static const struct sv_nn_op tflite_ops[] = {
#include "host/nn/ops.def"
};
#undef TFLITE
#undef TFLITE_REFUSED
#define TFLITE(code, name, shape)
#define TFLITE_REFUSED(code, name) [code] = #name,
static const char *const tflite_refused[] = {
#include "host/nn/ops.def"
};

static const struct sv_nn_op *named(const struct sv_nn_op *ops, size_t n, struct sv_str name)
{
    size_t low = 0;

    while (name.len > 0 && low < n) {
        size_t middle = low + (n - low) / 2, len = strlen(ops[middle].name);
        int r = memcmp(ops[middle].name, name.ptr, len < name.len ? len : name.len);

        r = r != 0 ? r : len < name.len ? -1 : len > name.len;
        if (r == 0)
            return &ops[middle];
        if (r < 0)
            low = middle + 1;
        else
            n = middle;
    }
    return NULL;
}

const struct sv_nn_op *sv_nn_op_tensorflow(struct sv_str name)
{
    return named(tensorflow_ops, SV_COUNT(tensorflow_ops), name);
}

const struct sv_nn_op *sv_nn_op_onnx(struct sv_str domain, struct sv_str name)
{
    if (domain.len == 0 || sv_str_eq(domain, sv_str_of("ai.onnx")))
        return named(onnx_ops, SV_COUNT(onnx_ops), name);
    if (sv_str_eq(domain, sv_str_of("ai.onnx.ml")))
        return named(onnx_ml_ops, SV_COUNT(onnx_ml_ops), name);
    return NULL;
}

const struct sv_nn_op *sv_nn_op_tflite(uint32_t code)
{
    return code < SV_COUNT(tflite_ops) && tflite_ops[code].name ? &tflite_ops[code] : NULL;
}

const char *sv_nn_refused_tflite(uint32_t code)
{
    return code < SV_COUNT(tflite_refused) && tflite_refused[code] ? tflite_refused[code] : "";
}

const char *sv_nn_shown(struct sv_str s, char ret[static SV_NN_SHOWN])
{
    size_t n = s.len < SV_NN_SHOWN - 1 ? s.len : SV_NN_SHOWN - 1;

    for (size_t i = 0; i < n; i++)
        ret[i] = s.ptr[i] > ' ' && s.ptr[i] < 0x7f && s.ptr[i] != '\'' ? s.ptr[i] : '?';
    ret[n] = 0;
    return ret;
}

int sv_nn_malformed(struct sv_nn_check *c, const char *what)
{
    return sv_fail(c->err, SV_EMALFORMED, SV_NO_OFFSET, "malformed model: %s", what);
}

int sv_nn_beyond(struct sv_nn_check *c, struct sv_str where, const char *what)
{
    char name[SV_NN_SHOWN];

    if (where.len == 0)
        return sv_fail(c->err, SV_ELIMIT, SV_NO_OFFSET, "model refused: too %s", what);
    return sv_fail(c->err, SV_ELIMIT, SV_NO_OFFSET, "model refused: '%s': too %s",
                   sv_nn_shown(where, name), what);
}

int sv_nn_count_node(struct sv_nn_check *c, uint32_t at)
{
    if (++c->nodes > SV_NN_MODEL_NODES_MAX)
        return sv_nn_beyond(c, (struct sv_str){0}, "many operations");
    c->sizes.data[at]++;
    return 0;
}

int sv_nn_add_call(struct sv_nn_check *c, uint32_t from, uint32_t to)
{
    if (c->calls.len == SV_NN_MODEL_CALLS_MAX)
        return sv_nn_beyond(c, (struct sv_str){0}, "many calls of functions");
    if (!SV_VEC_PUSH(&c->calls, SV_NN_MODEL_CALLS_MAX, (struct sv_nn_call){from, to}))
        return sv_fail_nomem(c->err, "model check");
    return 0;
}

/* A function while calls are written out: its first call, and the size once it is known. */
struct written {
    uint32_t first;
    uint64_t size; /* 0: not yet; UINT64_MAX: being written out */
};

static int write_out(struct sv_nn_check *c, struct written *w, uint32_t at, unsigned depth)
{
    uint64_t size = (uint64_t)c->sizes.data[at] + 1;

    if (w[at].size == UINT64_MAX)
        return sv_fail(c->err, SV_EUNSUPPORTED, SV_NO_OFFSET,
                       "model refused: a function calls itself");
    if (w[at].size > 0)
        return 0;
    if (depth > SV_NN_MODEL_CALL_DEPTH)
        return sv_nn_beyond(c, (struct sv_str){0}, "deep calls of functions");
    w[at].size = UINT64_MAX;
    for (size_t i = w[at].first; i < c->calls.len && c->calls.data[i].from == at; i++) {
        uint32_t to = c->calls.data[i].to;
        int r = write_out(c, w, to, depth + 1);

        if (r < 0)
            return r;
        size += w[to].size;
        if (size > SV_NN_MODEL_EXPANDED_MAX)
            return sv_nn_beyond(c, (struct sv_str){0},
                                "many operations with all calls written out");
    }
    w[at].size = size;
    return 0;
}

int sv_nn_check_calls(struct sv_nn_check *c)
{
    struct written *w = sv_alloc_array_zero(c->sizes.len, sizeof *w);
    int r = 0;

    if (!w)
        return sv_fail_nomem(c->err, "model check");
    for (size_t i = c->calls.len; i-- > 0;)
        w[c->calls.data[i].from].first = (uint32_t)i;
    for (uint32_t i = 0; i < c->sizes.len && r == 0; i++)
        r = write_out(c, w, i, 0);
    sv_free(w);
    return r;
}

uint64_t sv_nn_times(uint64_t product, int64_t size)
{
    uint64_t factor = size < 1 ? 1 : (uint64_t)size;

    if (product > SV_NN_MODEL_ELEMENTS_MAX || factor > SV_NN_MODEL_ELEMENTS_MAX ||
        product * factor > SV_NN_MODEL_ELEMENTS_MAX)
        return UINT64_MAX;
    return product * factor;
}

int sv_nn_add_constant(struct sv_nn_check *c, struct sv_str name, uint64_t product)
{
    /* Only what is too much needs to be known. */
    if (product <= SV_NN_MODEL_ELEMENTS_MAX)
        return 0;
    if (!sv_map_put(&c->constants, name, c))
        return sv_fail_nomem(c->err, "model check");
    return 0;
}

int sv_nn_add_use(struct sv_nn_check *c, struct sv_str constant, struct sv_str node)
{
    if (!SV_VEC_PUSH(&c->uses, SV_NN_MODEL_NODES_MAX, (struct sv_nn_use){constant, node}))
        return sv_fail_nomem(c->err, "model check");
    return 0;
}

int sv_nn_end_scope(struct sv_nn_check *c)
{
    for (size_t i = 0; i < c->uses.len; i++)
        if (sv_map_find(&c->constants, c->uses.data[i].constant))
            return sv_nn_beyond(c, c->uses.data[i].node, "many elements in its result");
    c->uses.len = 0;
    sv_map_release(&c->constants);
    sv_map_init(&c->constants);
    return 0;
}

void sv_nn_check_release(struct sv_nn_check *c)
{
    sv_map_release(&c->functions);
    sv_map_release(&c->constants);
    sv_free(c->sizes.data);
    sv_free(c->calls.data);
    sv_free(c->uses.data);
}

/* Fields that tell a GraphDef from a ModelProto: 1 is a node there and a number here. */
SV_WIRE_MESSAGE(any_model, "no model", {0});

bool sv_nn_sniff(const void *bytes, size_t len, enum ssvm_nn_format *ret)
{
    struct sv_nn_check c = {0};
    struct sv_wire w;
    struct sv_wire_field f;
    bool number = false, graph = false, node = false;
    int r;

    if (len >= 8 && memcmp((const char *)bytes + 4, "TFL3", 4) == 0) {
        *ret = SSVM_NN_TFLITE;
        return true;
    }
    /* ONNX Runtime's own format, which it takes by these bytes whatever it was told. */
    if (len >= 8 && memcmp((const char *)bytes + 4, "ORTM", 4) == 0)
        return false;
    sv_wire_init(&w, &any_model, (struct sv_str){bytes, len});
    for (;;) {
        const uint8_t *tag = w.p;

        r = sv_wire_next(&c, &w, &f);
        if (r <= 0)
            break;
        number |= *tag == (1 << 3 | SV_WIRE_VARINT);
        graph |= *tag == (7 << 3 | SV_WIRE_BYTES);
        node |= *tag == (1 << 3 | SV_WIRE_BYTES);
    }
    if (r < 0 || !(graph ^ node) || number == node)
        return false;
    *ret = graph ? SSVM_NN_ONNX : SSVM_NN_TENSORFLOW;
    return true;
}

int sv_nn_check(struct sv_err *err, enum ssvm_nn_format format, const void *bytes, size_t len)
{
    static int (*const readers[])(struct sv_nn_check *,
                                  struct sv_str) = {[SSVM_NN_TENSORFLOW] = sv_nn_check_tensorflow,
                                                    [SSVM_NN_TFLITE] = sv_nn_check_tflite,
                                                    [SSVM_NN_ONNX] = sv_nn_check_onnx};
    struct sv_nn_check c = {.err = err};
    enum ssvm_nn_format found;
    int r;

    if ((unsigned)format >= SSVM_NN_FORMATS)
        return sv_fail(err, SV_EUNSUPPORTED, SV_NO_OFFSET, "unknown model format %d", (int)format);
    if (len > SV_NN_MODEL_LEN_MAX)
        return sv_nn_beyond(&c, (struct sv_str){0}, "large");
    /* Libraries guess formats: what two of them would read in two ways is refused. */
    if (!sv_nn_sniff(bytes, len, &found) || found != format)
        return sv_nn_malformed(&c, "its bytes are not of the format that it was said to have");
    sv_map_init(&c.functions);
    sv_map_init(&c.constants);
    r = readers[format](&c, (struct sv_str){bytes, len});
    if (r == 0)
        r = sv_nn_check_calls(&c);
    sv_nn_check_release(&c);
    return r;
}

extern const struct sv_nn_checker sv_nn_checker;
__attribute__((visibility("default"))) const struct sv_nn_checker sv_nn_checker = {
    SV_NN_CHECKER_VERSION, sizeof(struct sv_err), sv_nn_sniff, sv_nn_check};
