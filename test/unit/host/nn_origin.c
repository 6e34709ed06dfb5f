/* A model in a module's data: found without a look at its bytes while they are the module's, and
 * never when they are not. */
#include "../must/must.h"

#include "../runtime/fake.h"
#include "nn.h"

enum { PAGES = 8, MODEL_AT = 100000, MODEL_LEN = 200000 };

static struct log logged;
static uint8_t model[MODEL_LEN];

/* A frozen graph, most of whose bytes are the value of a constant. */
static void put_varint(uint8_t **at, uint64_t v)
{
    for (; v >= 128; v >>= 7)
        *(*at)++ = (uint8_t)(v | 128);
    *(*at)++ = (uint8_t)v;
}

static void make_model(void)
{
    uint8_t *at = model + fake_model("", model, 256);
    size_t rest;

    /* versions, and a field that nobody knows, up to the end */
    put_varint(&at, 99 << 3 | 2);
    rest = (size_t)(model + MODEL_LEN - at) - 3;
    put_varint(&at, rest);
    assert_int_equal(model + MODEL_LEN - at, rest);
    for (size_t i = 0; i < rest; i++)
        at[i] = (uint8_t)(i * 7);
}

static void release_copy(void *bytes, size_t len)
{
    (void)len;
    sv_free(bytes);
}

static struct sv_module *make_module(struct sv_engine *e)
{
    struct sv_decode_options opts = {.features = e->features};
    struct sv_module *module;
    struct sv_err err = {0};
    struct sv_buf bytes, *b;
    struct must m;
    uint8_t *copy;

    must_init(&m);
    must_limits(must_entry(&m, MUST_MEMORY), 1, PAGES, PAGES);
    b = must_entry(&m, MUST_DATA);
    put_byte(b, 0);
    put_byte(b, 0x41);
    put_sleb(b, MODEL_AT);
    put_byte(b, 0x0b);
    put_u64(b, MODEL_LEN);
    for (size_t i = 0; i < MODEL_LEN; i++)
        put_byte(b, model[i]);
    must_bytes(&m, &bytes);
    copy = sv_alloc(bytes.len);
    memcpy(copy, bytes.data, bytes.len);
    if (sv_module_new(&err, e->types, copy, bytes.len, release_copy, &opts, &module) < 0)
        fail_msg("%s", err.text);
    sv_buf_release(&bytes);
    return module;
}

/* An instance in a store of its own. */
struct one {
    struct sv_store *store;
    struct sv_instance *inst;
    void *state;
};

static void one_open(struct one *o, struct sv_engine *e, struct sv_module *m, struct sv_nn *nn)
{
    struct sv_err err = {0};

    o->store = fake_store(e, NULL);
    if (sv_instance_new(&err, o->store, m, NULL, &o->inst) < 0)
        fail_msg("%s", err.text);
    assert_int_equal(sv_host_tensorflow.open(&err, o->store, nn, &o->state), 0);
}

static void one_close(struct one *o)
{
    sv_nn_state_delete(o->state);
    sv_store_delete(o->store);
}

/* Was it known by its place? `found` is what is to be had. */
static bool get(struct one *o, struct sv_nn *nn, bool *ret_by_place)
{
    struct sv_call c = {.th = &o->store->thread, .inst = o->inst, .data = o->state};
    struct sv_nn_bytes b = {.ptr = o->inst->memory0->base + MODEL_AT,
                            .len = MODEL_LEN,
                            .memory = o->inst->memory0,
                            .at = MODEL_AT};
    struct sv_data_image *image = sv_nn_origin_of(&b);
    struct sv_nn_model *m;

    pthread_mutex_lock(&nn->lock);
    *ret_by_place = image && sv_nn_origin_find(nn, image, &b);
    pthread_mutex_unlock(&nn->lock);
    if (sv_nn_model_read(o->state, &c, MODEL_AT, MODEL_LEN, -1, &m) != 0)
        return false;
    assert_memory_equal(m->bytes, b.ptr, MODEL_LEN);
    sv_nn_model_unref(m);
    return true;
}

static void by_place(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_nn *nn = fake_grant(NULL, &logged);
    struct sv_module *m;
    int loads = fake_count("fake_loads");
    bool known, pagemap = access("/proc/self/pagemap", R_OK) == 0;
    struct one o;

    (void)state;
    make_model();
    m = make_module(e);
    for (int i = 0; i < 4; i++) {
        one_open(&o, e, m, nn);
        assert_true(get(&o, nn, &known));
        /* The first instance has a copy; the second the image, of which nothing is known yet. */
        assert_int_equal(known, pagemap && i >= 2);
        assert_true(get(&o, nn, &known));
        assert_int_equal(known, pagemap && i >= 1);
        one_close(&o);
    }
    assert_int_equal(fake_count("fake_loads"), loads + 1);

    /* One byte that the guest changed: another model. The same byte again: found by its bytes. */
    one_open(&o, e, m, nn);
    o.inst->memory0->base[MODEL_AT + MODEL_LEN - 1] ^= 1;
    assert_true(get(&o, nn, &known));
    assert_false(known);
    assert_int_equal(fake_count("fake_loads"), loads + 2);
    o.inst->memory0->base[MODEL_AT + MODEL_LEN - 1] ^= 1;
    assert_true(get(&o, nn, &known));
    assert_false(known);
    assert_int_equal(fake_count("fake_loads"), loads + 2);
    one_close(&o);

    /* The next tenant of that memory has the module's bytes. */
    one_open(&o, e, m, nn);
    assert_true(get(&o, nn, &known));
    assert_int_equal(fake_count("fake_loads"), loads + 2);
    assert_memory_equal(o.inst->memory0->base + MODEL_AT, model, MODEL_LEN);
    one_close(&o);
    sv_nn_unref(nn);
    sv_module_unref(m);
    sv_engine_unref(e);
    assert_int_equal(fake_count("fake_models"), 0);
}

/* Tenants of one memory, of which some write to the model's pages before or after it was known by
 * its place: no page that was written is ever taken for the image's. */
static void written(void **state)
{
    struct sv_engine *e = fake_engine();
    struct sv_nn *nn = fake_grant(NULL, &logged);
    struct sv_module *m;
    struct one o;
    bool known;

    (void)state;
    make_model();
    m = make_module(e);
    for (unsigned i = 0; i < 64; i++) {
        one_open(&o, e, m, nn);
        for (unsigned k = 0; k < 4; k++) {
            if (i % 8 > 3 && k == i % 4) {
                o.inst->memory0->base[MODEL_AT + MODEL_LEN - 1 - i / 8 * 20000] ^= 1;
                assert_true(get(&o, nn, &known));
                assert_false(known);
            }
            assert_true(get(&o, nn, &known));
        }
        one_close(&o);
    }
    sv_nn_unref(nn);
    sv_module_unref(m);
    sv_engine_unref(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(by_place), cmocka_unit_test(written)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
