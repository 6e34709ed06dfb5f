/* must-pass 29: every function of the inference modules with every argument at the edges of
 * memory and of its type, in random order, on sessions that are there, were deleted, or never were:
 * never a fault (behind the memory lie pages without access), and all memory comes back. The seed
 * is constant; SSVM_TEST_SEED and SSVM_TEST_ROUNDS make a longer search. */
#include "nn.h"

#define ROUNDS 60000
#define KNOWN 24
#define RECENT 4 /* of them */

static uint64_t state_of_random;

static uint32_t pick(uint32_t n)
{
    state_of_random ^= state_of_random << 13;
    state_of_random ^= state_of_random >> 7;
    state_of_random ^= state_of_random << 17;
    return (uint32_t)(state_of_random >> 33) % n;
}

static uint64_t edge(void)
{
    static const uint64_t edges[] = {
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        8,
        9,
        10,
        16,
        19,
        20,
        23,
        32,
        33,
        255,
        256,
        257,
        AT_NAME,
        AT_DIMS,
        AT_IN,
        AT_OUT,
        AT_MODEL,
        GUEST_SIZE - 64,
        GUEST_SIZE - 20,
        GUEST_SIZE - 8,
        GUEST_SIZE - 4,
        GUEST_SIZE - 1,
        GUEST_SIZE,
        GUEST_SIZE + 1,
        0x20000000,
        0x7fffffff,
        0x80000000,
        0xfffffff8,
        0xffffffff,
        UINT64_C(0x100000001),
        INT64_MAX,
        UINT64_MAX,
    };

    return edges[pick(SV_COUNT(edges))];
}

/* Handles that were given out, whether they are still good or not. */
struct known {
    uint64_t list[KNOWN];
};

static void fill(struct guest *g, const struct sv_host_func *f)
{
    static const char *const words[] = {
        "",          "scalar",          "in=2",       "run-fail",      "odd-shape", "odd-data",
        "load-fail", "cost=1000000000", "huge=70000", "huge=900000000"};
    static const char *const names[] = {
        "input", "output", "sum", "runs", "input1", "output:1", "output:4294967296",
        ":",     ":0",     "a:b"};
    uint32_t v[5] = {AT_MODEL, put_model(g, words[pick(SV_COUNT(words))]), 0, 0, 0};
    int64_t dims[3] = {1 + pick(3), 4, (int64_t)edge()};

    snprintf((char *)g->memory.base + AT_NAME, 16, "%s",
             pick(4) == 0                           ? names[pick(SV_COUNT(names))]
             : strcmp(f->name, "append_input") == 0 ? "input"
                                                    : names[1 + pick(3)]);
    if (pick(4) == 0)
        dims[pick(2)] = (int64_t)edge();
    guest_put(g, AT_DIMS, dims, sizeof dims);
    guest_put(g, 256, v, sizeof v);
    /* a tensor of wasi-nn */
    v[0] = AT_DIMS + 100;
    v[1] = 2;
    v[2] = 1;
    v[3] = AT_IN;
    v[4] = 16 * (uint32_t)dims[0];
    if (pick(3) == 0)
        v[pick(5)] = (uint32_t)edge();
    guest_put(g, 32, v, sizeof v);
    v[0] = (uint32_t)dims[0];
    v[1] = 4;
    guest_put(g, AT_DIMS + 100, v, 8);
}

/* Arguments that make sense in the place of some of the edges. */
static uint64_t sensible(const struct guest *g, const struct sv_host_func *f, size_t i,
                         const struct known *known)
{
    /* by function: M model, L its length, N name, n its length, I index, D dims, C their count, T
     * type, B bytes, b their length, O where to, S a handle, G a graph, w the tensor, Z zero */
    static const struct {
        const char *name, *sig, *letters;
    } shapes[] = {
        {"create_session", "ii:I", "ML"},
        {"create_session", "iii:i", "MLO"},
        {"append_input", "Iiiiiiiii:", "SNnZDCTBb"},
        {"append_input", "iiiiiiii:i", "SNnDCTBb"},
        {"append_input", "Iiiii:", "SNnBb"},
        {"append_input", "iiiii:i", "SNnBb"},
        {"append_output", "Iiii:", "SNnZ"},
        {"append_output", "iii:i", "SNn"},
        {"get_output_tensor", "Iiii:I", "SNnZ"},
        {"get_output_tensor", "Iii:I", "SNn"},
        {"get_output_tensor", "iiii:i", "SNnO"},
        {"get_tensor_data", "Ii:", "SO"},
        {"get_tensor_data", "iiiii:i", "SSOLO"},
        {"get_tensor_len", "iii:i", "SSO"},
        {"load", "iiiii:i", "x1ZZO"},
        {"init_execution_context", "ii:i", "GO"},
        {"unload", "i:i", "G"},
        {"set_input", "iii:i", "SZw"},
        {"get_output", "iiiii:i", "SZOLO"},
        {"load_by_name", "iii:i", "NnO"},
    };
    char letter = 'S';

    for (size_t k = 0; k < SV_COUNT(shapes); k++)
        if (strcmp(shapes[k].name, f->name) == 0 && strcmp(shapes[k].sig, f->sig) == 0)
            letter = shapes[k].letters[i];
    switch (letter) {
    case 'M':
        return AT_MODEL;
    case 'L':
        return guest_u32(g, 260);
    case 'N':
        return AT_NAME;
    case 'n':
        return strnlen((char *)g->memory.base + AT_NAME, 16);
    case 'D':
        return AT_DIMS;
    case 'C':
        return 2;
    case 'T':
    case '1':
        return 1;
    case 'B':
        return AT_IN;
    case 'b':
        return 16 * guest_u64(g, AT_DIMS);
    case 'O':
        return AT_OUT;
    case 'x':
        return 256;
    case 'w':
        return 32;
    case 'Z':
        return 0;
    case 'G':
        return known->list[RECENT + pick(RECENT)];
    default:
        return known->list[pick(pick(3) ? RECENT : KNOWN)];
    }
}

static unsigned long number(const char *name, unsigned long otherwise)
{
    const char *s = getenv(name);

    return s ? strtoul(s, NULL, 0) : otherwise;
}

/* How often a function ended well: a search that only meets refusals finds nothing. */
static unsigned went_well;

static void step(struct guest *g, struct known *known)
{
    const struct sv_host_func *f = &g->module->funcs[pick(g->module->nfuncs)];
    size_t n = strcspn(f->sig, ":");
    unsigned wild = pick(4) ? 0 : 1 + pick(3); /* one in so many arguments is an edge */
    uint64_t args[16], ret = 0;
    uint32_t slot;
    int r;

    g->era = f->names ? f->names & (unsigned)-(int)f->names : 1;
    fill(g, f);
    for (size_t i = 0; i < n; i++)
        args[i] = wild && pick(wild) == 0 ? edge() : sensible(g, f, i, known);
    if (f->sig[n + 1] == 'i' && strncmp(f->name, "get_", 4) == 0 && pick(2))
        args[n - 1] = AT_RET;
    r = guest_call_wide(g, f->name, args, n, &ret);
    assert_true(r == 0 || r == SV_ETRAP);
    sv_trap_clear(&g->store.thread.trap);
    atomic_store(&g->store.thread.interrupt, 0);
    assert_true(g->store.memory_used <= g->store.limits.memory_bytes);
    if (r != 0)
        return;
    /* Few sessions, so that one gets all that it needs. */
    slot = f->name[0] == 'c' || f->name[0] == 'i' ? pick(RECENT)
           : f->name[0] == 'l'                    ? RECENT + pick(RECENT)
                                                  : 2 * RECENT + pick(KNOWN - 2 * RECENT);
    if (f->sig[n + 1] == 'I' && ret)
        known->list[slot] = ret;
    else if (f->sig[n + 1] == 'i' && ret == 0 && n > 1)
        known->list[slot] = guest_u32(g, AT_OUT);
    went_well += strncmp(f->name, "run", 3) == 0 || strcmp(f->name, "compute") == 0
                     ? f->sig[n + 1] == 'i' && ret == 0
                     : 0;
}

static void everything(const struct sv_host_module *m, struct sv_nn *nn, unsigned long rounds)
{
    struct known known = {{0}};
    struct guest g;

    went_well = 0;
    guest_open(&g, m, nn);
    for (unsigned long i = 0; i < rounds; i++) {
        if (pick(1000) == 0) { /* the next store, with other limits */
            guest_close(&g);
            assert_int_equal(g.store.memory_used, 0);
            memset(&known, 0, sizeof known);
            guest_open(&g, m, nn);
            g.store.limits.memory_bytes = pick(2) ? UINT64_C(1) << 30 : 2000;
            g.store.thread.deadline_ns = pick(8) ? 0 : sv_clock_ns() + 50000000;
        }
        if (pick(500) == 0)
            g.inst.memory0 = g.inst.memory0 ? NULL : &g.memory;
        if (!g.inst.memory0 && pick(10) == 0)
            g.inst.memory0 = &g.memory;
        step(&g, &known);
    }
    guest_close(&g);
    assert_int_equal(g.store.memory_used, 0);
    if (went_well < rounds / 1000)
        fail_msg("%s: only %u runs of %lu calls", m->names[0].module, went_well, rounds);
}

static void edges(void **state)
{
    static const struct sv_host_module *const modules[] = {
        &sv_host_tensorflow, &sv_host_tensorflowlite, &sv_host_wasi_nn};
    struct sv_nn_config config = {.cache_bytes = 100000, .tensor_bytes_max = 1000000};
    unsigned long rounds = number("SSVM_TEST_ROUNDS", ROUNDS);
    static struct log logged;
    struct sv_nn *nn;

    (void)state;
    state_of_random = number("SSVM_TEST_SEED", 88172645463325252);
    for (size_t i = 0; i < SV_COUNT(modules); i++) {
        nn = fake_grant(&config, &logged);
        everything(modules[i], nn, rounds);
        sv_nn_unref(nn);
        for (int k = 0; fake_count("fake_models") && k < 5000; k++)
            usleep(1000);
        assert_int_equal(fake_count("fake_models"), 0);
        assert_int_equal(fake_count("fake_sessions"), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(edges)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
