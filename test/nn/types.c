/* Types and open shapes: types PLUGIN LIBRARY MODEL... Each model gives back its input [?,3], once
 * or twice; the input is given in several lengths, one after the other, in one session. */
#include "plugin.h"

static const struct ssvm_nn_backend *backend;
static char error[SSVM_NN_ERROR_MAX];
static int passed, failed;

static size_t size_of(int32_t type)
{
    switch (type) {
    case SSVM_NN_F64:
    case SSVM_NN_I64:
    case SSVM_NN_U64:
        return 8;
    case SSVM_NN_F32:
    case SSVM_NN_I32:
    case SSVM_NN_U32:
        return 4;
    case SSVM_NN_F16:
    case SSVM_NN_I16:
    case SSVM_NN_U16:
        return 2;
    default:
        return 1;
    }
}

/* Bytes of all kinds, but what the type can hold everywhere: OpenVINO computes with the lower half
 * of an i64. */
static void fill_bytes(struct ssvm_nn_tensor *t)
{
    unsigned char *p = t->data;

    for (size_t i = 0; i < t->len; i++)
        p[i] = (unsigned char)(t->type == SSVM_NN_BOOL ? i & 1 : i * 7);
    for (size_t i = 0; t->type == SSVM_NN_I64 && i < t->len / 8; i++)
        ((int64_t *)t->data)[i] = (int64_t)i * 1000003 - 500000;
    for (size_t i = 0; t->type == SSVM_NN_F32 && i < t->len / 4; i++)
        ((float *)t->data)[i] = (float)i / 3 - 10;
    for (size_t i = 0; t->type == SSVM_NN_F16 && i < t->len / 2; i++)
        ((uint16_t *)t->data)[i] = (uint16_t)(0x3c00 + i);
}

static int same(const struct ssvm_nn_tensor *in, const struct ssvm_nn_tensor *out)
{
    return out->type == in->type && out->rank == 2 && out->dims[1] == 3 && out->len > 0 &&
           out->len % in->len == 0 && out->dims[0] == in->dims[0] * (int64_t)(out->len / in->len) &&
           memcmp(out->data, in->data, in->len) == 0 &&
           memcmp((char *)out->data + out->len - in->len, in->data, in->len) == 0;
}

static int try(void *session, const struct ssvm_nn_port *in, struct ssvm_nn_tensor t, int64_t rows,
               const struct ssvm_nn_port *wanted)
{
    struct ssvm_nn_tensor out = {0};
    int good;

    t.dims[0] = rows;
    t.len = (size_t)rows * 3 * size_of(t.type);
    t.data = tensor_memory(t.len);
    fill_bytes(&t);
    good = backend->run(session, in, &t, 1, wanted, &out, 1, error) == 0 && same(&t, &out);
    free(t.data);
    return good;
}

static void test(void *lib, const char *path)
{
    static const int64_t rows[] = {1, 4, 200, 2, 1};
    struct ssvm_nn_port in, out;
    struct ssvm_nn_tensor t, shape;
    void *model = NULL, *session = NULL, *bytes;
    size_t len, cost;
    int good = 1;

    bytes = read_file(path, &len);
    error[0] = 0;
    if (backend->load(lib, format_of(path), bytes, len, error, &model, &cost) != 0 ||
        backend->session_new(model, error, &session) != 0 ||
        backend->describe(model, 0, 0, &in, &t) != 0 ||
        backend->describe(model, 1, 0, &out, &shape) != 0 || t.rank != 2 || t.dims[0] != -1 ||
        t.dims[1] != 3)
        good = 0;
    for (size_t i = 0; good && i < sizeof rows / sizeof rows[0]; i++)
        good = try(session, &in, t, rows[i], &out);
    printf("%s %s: %s, type %d %s\n", good ? "ok" : "FAILED", backend->id, path, t.type, error);
    good ? passed++ : failed++;
    if (session)
        backend->session_delete(session);
    if (model)
        backend->unload(model);
    free(bytes);
}

int main(int argc, char **argv)
{
    struct ssvm_nn_options options = {sizeof options, argc > 2 ? argv[2] : NULL, "cpu", 2};
    void *lib;

    if (argc < 4)
        return 2;
    backend = plugin_open(argv[1]);
    if (backend->open(&options, error, &lib) != 0) {
        printf("FAILED %s\n", error);
        return 1;
    }
    for (int i = 3; i < argc; i++)
        test(lib, argv[i]);
    backend->close(lib);
    printf("%d passed, %d failed, 0 skipped\n", passed, failed);
    return failed != 0;
}
