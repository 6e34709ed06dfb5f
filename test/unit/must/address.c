/* Addresses at the edges: every access x static offset x way to make the index must trap or touch
 * exactly the bytes that a model says; values come from and go to the last bytes before the guard.
 * Growth, limits and bulk operations are bulk.c's. */
#include "must.h"

#include "../../diff/shapes.h"

enum { PAGE = 65536, ZONE = 48 };

/* ---- The model ---- */

/* What an access does: bytes, and how the loaded bytes become the result. */
enum how { ZERO_EXTEND, SIGN_EXTEND, SPLAT, WIDEN_S, WIDEN_U, LANE_READ, LANE_WRITE, STORE };
struct access {
    uint32_t code; /* prefix << 16 | sub */
    unsigned bytes;
    char type; /* of the value */
    enum how how;
    unsigned lane_bits; /* of WIDEN: the narrow lanes; of LANE: its bytes */
    bool aligned;       /* atomic: traps when it is not */
};
/* clang-format off */
static const struct access accesses[] = {
    {0x28, 4, 'i', ZERO_EXTEND, 0, false}, {0x29, 8, 'I', ZERO_EXTEND, 0, false},
    {0x2a, 4, 'f', ZERO_EXTEND, 0, false}, {0x2b, 8, 'F', ZERO_EXTEND, 0, false},
    {0x2c, 1, 'i', SIGN_EXTEND, 0, false}, {0x2d, 1, 'i', ZERO_EXTEND, 0, false},
    {0x2e, 2, 'i', SIGN_EXTEND, 0, false}, {0x2f, 2, 'i', ZERO_EXTEND, 0, false},
    {0x30, 1, 'I', SIGN_EXTEND, 0, false}, {0x31, 1, 'I', ZERO_EXTEND, 0, false},
    {0x32, 2, 'I', SIGN_EXTEND, 0, false}, {0x33, 2, 'I', ZERO_EXTEND, 0, false},
    {0x34, 4, 'I', SIGN_EXTEND, 0, false}, {0x35, 4, 'I', ZERO_EXTEND, 0, false},
    {0x36, 4, 'i', STORE, 0, false}, {0x37, 8, 'I', STORE, 0, false},
    {0x38, 4, 'f', STORE, 0, false}, {0x39, 8, 'F', STORE, 0, false},
    {0x3a, 1, 'i', STORE, 0, false}, {0x3b, 2, 'i', STORE, 0, false},
    {0x3c, 1, 'I', STORE, 0, false}, {0x3d, 2, 'I', STORE, 0, false}, {0x3e, 4, 'I', STORE, 0, false},
    {0xfd0000, 16, 'v', ZERO_EXTEND, 0, false}, {0xfd000b, 16, 'v', STORE, 0, false},
    {0xfd0001, 8, 'v', WIDEN_S, 1, false}, {0xfd0002, 8, 'v', WIDEN_U, 1, false},
    {0xfd0003, 8, 'v', WIDEN_S, 2, false}, {0xfd0004, 8, 'v', WIDEN_U, 2, false},
    {0xfd0005, 8, 'v', WIDEN_S, 4, false}, {0xfd0006, 8, 'v', WIDEN_U, 4, false},
    {0xfd0007, 1, 'v', SPLAT, 0, false}, {0xfd0008, 2, 'v', SPLAT, 0, false},
    {0xfd0009, 4, 'v', SPLAT, 0, false}, {0xfd000a, 8, 'v', SPLAT, 0, false},
    {0xfd005c, 4, 'v', ZERO_EXTEND, 0, false}, {0xfd005d, 8, 'v', ZERO_EXTEND, 0, false},
    {0xfd0054, 1, 'v', LANE_READ, 0, false}, {0xfd0055, 2, 'v', LANE_READ, 0, false},
    {0xfd0056, 4, 'v', LANE_READ, 0, false}, {0xfd0057, 8, 'v', LANE_READ, 0, false},
    {0xfd0058, 1, 'v', LANE_WRITE, 0, false}, {0xfd0059, 2, 'v', LANE_WRITE, 0, false},
    {0xfd005a, 4, 'v', LANE_WRITE, 0, false}, {0xfd005b, 8, 'v', LANE_WRITE, 0, false},
    {0xfe0010, 4, 'i', ZERO_EXTEND, 0, true}, {0xfe0011, 8, 'I', ZERO_EXTEND, 0, true},
    {0xfe0012, 1, 'i', ZERO_EXTEND, 0, true}, {0xfe0013, 2, 'i', ZERO_EXTEND, 0, true},
    {0xfe0014, 1, 'I', ZERO_EXTEND, 0, true}, {0xfe0015, 2, 'I', ZERO_EXTEND, 0, true},
    {0xfe0016, 4, 'I', ZERO_EXTEND, 0, true},
    {0xfe0017, 4, 'i', STORE, 0, true}, {0xfe0018, 8, 'I', STORE, 0, true},
    {0xfe0019, 1, 'i', STORE, 0, true}, {0xfe001a, 2, 'i', STORE, 0, true},
    {0xfe001b, 1, 'I', STORE, 0, true}, {0xfe001c, 2, 'I', STORE, 0, true},
    {0xfe001d, 4, 'I', STORE, 0, true},
};
/* clang-format on */
#define LANE 0 /* the lane of lane accesses */
static const uint8_t stored[16] = {0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x87, 0x98,
                                   0x19, 0x2a, 0x3b, 0x4c, 0x5d, 0x6e, 0x7f, 0x80};

static bool writes(const struct access *a)
{
    return a->how == STORE || a->how == LANE_WRITE;
}

/* The byte at `i` when nothing was stored: high bits often set, no two neighbours equal. */
static uint8_t pattern(uint64_t i)
{
    return (uint8_t)((i * 0x9e3779b97f4a7c15u) >> 56);
}

/* The result of a load of these bytes. */
static void loaded(const struct access *a, const uint8_t *in, uint8_t *out)
{
    unsigned wide = a->type == 'i' || a->type == 'f' ? 4 : a->type == 'v' ? 16 : 8;
    unsigned narrow = a->lane_bits;

    memset(out, 0, 16);
    switch (a->how) {
    case SIGN_EXTEND:
        memset(out, in[a->bytes - 1] & 0x80 ? 0xff : 0, wide);
        memcpy(out, in, a->bytes);
        break;
    case SPLAT:
        for (unsigned i = 0; i < 16; i += a->bytes)
            memcpy(out + i, in, a->bytes);
        break;
    case WIDEN_S:
    case WIDEN_U:
        for (unsigned i = 0; i < 8; i += narrow) {
            bool minus = a->how == WIDEN_S && in[i + narrow - 1] & 0x80;

            memset(out + 2 * i, minus ? 0xff : 0, (size_t)2 * narrow);
            memcpy(out + 2 * i, in + i, narrow);
        }
        break;
    case LANE_READ:
        memcpy(out, stored, 16);
        memcpy(out + (size_t)LANE * a->bytes, in, a->bytes);
        break;
    default:
        memcpy(out, in, a->bytes);
        break;
    }
}

/* ---- Ways to make the index ---- */

enum way { PARAM, CONST, ADD_PARAMS, ADD_CONST, SHL1, SHL2, SHL3, WRAP, LOCAL, WAYS };
static const char *const way_names[] = {"param", "const", "a + b",    "a + const", "a + (b << 1)",
                                        "<< 2",  "<< 3",  "extended", "local"};
#define PARAMS 3 /* a, b of the address type, and an i64 */
static const uint64_t addends[] = {16, (uint64_t)-16, 0x7fffffff};
static const uint64_t shifted[] = {3, 0x60000003, UINT64_MAX};
#define INDEXES_MAX 24

/* The indexes worth trying for an access of this size and static offset in one page. */
static unsigned indexes(uint64_t *ret, const struct access *a, uint64_t offset, bool wide)
{
    const uint64_t at[] = {0,
                           7,
                           PAGE - a->bytes - offset,
                           PAGE - a->bytes - offset + 1,
                           PAGE - 1 - offset,
                           PAGE - offset,
                           PAGE,
                           0 - offset,
                           8 - offset,
                           0x7fffffff,
                           0x80000000,
                           0xfffffff0,
                           0xffffffff,
                           (uint64_t)1 << 32,
                           ((uint64_t)1 << 32) + 8,
                           (uint64_t)1 << 48,
                           (uint64_t)1 << 63,
                           UINT64_MAX - 7,
                           UINT64_MAX};
    unsigned n = sizeof at / sizeof *at;

    _Static_assert(sizeof at / sizeof *at <= INDEXES_MAX, "room");
    if (!wide)
        n -= 6; /* those of 64 bits */
    for (unsigned i = 0; i < n; i++)
        ret[i] = wide ? at[i] : (uint32_t)at[i];
    return n;
}

static unsigned ways_of(enum way way, unsigned nindexes)
{
    return way == CONST ? nindexes : way == ADD_CONST ? SV_COUNT(addends) : 1;
}

/* Code for the index; `k` is the number of the constant. */
static void emit_index(struct must *m, enum way way, uint64_t constant, bool wide)
{
    void (*number)(struct must *, uint64_t) = emit_i64;

    switch (way) {
    case CONST:
    case ADD_CONST:
        if (way == ADD_CONST)
            emit_get(m, 0);
        if (wide)
            number(m, constant);
        else
            emit_i32(m, (uint32_t)constant);
        if (way == ADD_CONST)
            EMIT(m, wide ? 0x7c : 0x6a);
        break;
    case ADD_PARAMS:
    case SHL1:
    case SHL2:
    case SHL3:
        emit_get(m, 0);
        emit_get(m, 1);
        if (way != ADD_PARAMS) {
            EMIT(m, wide ? 0x42 : 0x41, (uint8_t)(way - SHL1 + 1), wide ? 0x86 : 0x74);
        }
        EMIT(m, wide ? 0x7c : 0x6a);
        break;
    case WRAP: /* wide: sign extension of the lower half */
        emit_get(m, 2);
        EMIT(m, 0xa7);
        if (wide)
            EMIT(m, 0xac);
        break;
    case LOCAL: /* through a local that is set from a wrapped number */
        emit_get(m, 2);
        if (!wide)
            EMIT(m, 0xa7);
        EMIT(m, 0x21, 1);
        emit_get(m, 1);
        break;
    default:
        emit_get(m, 0);
        break;
    }
}

/* The arguments that make `index`; false: this way cannot. `k` chooses among those that can. */
static bool arguments(union sv_slot *args, enum way way, uint64_t index, unsigned k, bool wide)
{
    uint64_t poison = wide ? 0 : UINT64_C(0xdeadbeef) << 32; /* the upper half is unspecified */
    unsigned shift = way >= SHL1 && way <= SHL3 ? (unsigned)(way - SHL1) + 1 : 0;
    uint64_t a = index, b = 0;

    if (way == ADD_CONST) {
        a = index - addends[k];
    } else if (way == ADD_PARAMS || shift) {
        b = wide ? shifted[k] : (uint32_t)shifted[k];
        a = index - (b << shift);
    }
    args[0].i64 = wide ? a : poison | (uint32_t)a;
    args[1].i64 = wide ? b : poison | (uint32_t)b;
    args[2].i64 = wide && way == LOCAL ? index : UINT64_C(0xfeedface) << 32 | (uint32_t)index;
    return !(wide && way == WRAP) || index == (uint64_t)(int64_t)(int32_t)index;
}

/* ---- The module of one access ---- */

static void emit_access(struct must *m, const struct access *a, uint64_t offset)
{
    if (a->code >> 16)
        put_byte(&m->body, a->code >> 16);
    put_u64(&m->body, a->code & 0xffff);
    put_byte(&m->body, a->aligned ? (unsigned)__builtin_ctz(a->bytes) : 0);
    put_u64(&m->body, offset);
    if (a->how == LANE_READ || a->how == LANE_WRITE)
        put_byte(&m->body, LANE);
}

static void emit_stored(struct must *m, char type)
{
    static const char kinds[] = "iIfF";
    uint64_t v;

    memcpy(&v, stored, 8);
    switch (type) {
    case 'i':
        emit_i32(m, (uint32_t)v);
        break;
    case 'I':
        emit_i64(m, v);
        break;
    case 'v':
        EMIT(m, 0xfd, 12);
        put(&m->body, stored, 16);
        break;
    default:
        put_byte(&m->body, 0x41 + (unsigned)(strchr(kinds, type) - kinds));
        put(&m->body, stored, type == 'f' ? 4 : 8);
        break;
    }
}

static const uint64_t offsets[] = {0,
                                   1,
                                   (uint64_t)1 << 31,
                                   UINT32_MAX,
                                   (uint64_t)1 << 32,
                                   (uint64_t)1 << 63,
                                   UINT64_MAX - 7,
                                   UINT64_MAX};
#define NARROW_OFFSETS 4 /* those of 32-bit memories */

static void make_module(struct sv_buf *ret, const struct access *a, bool wide)
{
    uint64_t index[INDEXES_MAX];
    char sig[] = {wide ? 'I' : 'i', wide ? 'I' : 'i', 'I', ':', writes(a) ? 0 : a->type, 0};
    struct must m;
    uint32_t type;

    must_init(&m);
    type = must_type(&m, sig);
    must_limits(must_entry(&m, MUST_MEMORY), wide ? 5 : 1, 1, 1);
    for (unsigned o = 0; o < (wide ? SV_COUNT(offsets) : NARROW_OFFSETS); o++) {
        unsigned n = indexes(index, a, offsets[o], wide);

        for (enum way way = 0; way < WAYS; way++) {
            for (unsigned k = 0; k < ways_of(way, n); k++) {
                must_func(&m, type, NULL);
                emit_index(&m, way, way == CONST ? index[k] : addends[k % SV_COUNT(addends)], wide);
                if (a->how == LANE_READ || writes(a))
                    emit_stored(&m, a->type);
                emit_access(&m, a, offsets[o]);
                must_end(&m);
            }
        }
    }
    must_bytes(&m, ret);
}

/* ---- Running ---- */

struct probe {
    const struct access *a;
    struct must_world *w;
    const char *engine;
    uint64_t offset;
    bool wide;
    uint8_t *memory;
    unsigned calls, traps;
};

static void expect_untouched(struct probe *p, uint64_t from, uint64_t to)
{
    for (uint64_t i = from; i < to; i++) {
        if (p->memory[i] != pattern(i))
            fail_msg("%#x: byte %#llx is %#x", p->a->code, (unsigned long long)i, p->memory[i]);
    }
}

static void probe(struct probe *p, uint32_t func, enum way way, uint64_t index, unsigned k)
{
    const struct access *a = p->a;
    unsigned __int128 wanted = (unsigned __int128)index + p->offset;
    bool inside = wanted + a->bytes <= PAGE && !(a->aligned && wanted % a->bytes);
    uint64_t at = (uint64_t)wanted;
    uint8_t expected[16];
    union sv_slot slots[8];
    int trap;

    if (!arguments(slots, way, index, k, p->wide))
        return;
    trap = must_call(p->w, func, slots);
    p->calls++;
    p->traps += trap != 0;
    if (inside != (trap == 0) || (trap && trap != SV_TRAP_MEMORY_BOUNDS &&
                                  !(a->aligned && trap == SV_TRAP_UNALIGNED_ATOMIC)))
        fail_msg("%s, %s: %#x at %#llx + offset %#llx by '%s': trap %d", p->engine,
                 p->wide ? "memory64" : "memory", a->code, (unsigned long long)index,
                 (unsigned long long)p->offset, way_names[way], trap);
    if (!inside) {
        expect_untouched(p, 0, ZONE);
        expect_untouched(p, PAGE - ZONE, PAGE);
    } else if (writes(a)) {
        assert_memory_equal(p->memory + at, stored, a->bytes);
        expect_untouched(p, at < ZONE ? 0 : at - ZONE, at);
        expect_untouched(p, at + a->bytes,
                         at + a->bytes + ZONE > PAGE ? PAGE : at + a->bytes + ZONE);
        for (uint64_t i = at; i < at + a->bytes; i++)
            p->memory[i] = pattern(i);
    } else {
        loaded(a, p->memory + at, expected);
        if (memcmp(slots, expected, a->type == 'v' ? 16 : a->type == 'i' || a->type == 'f' ? 4 : 8))
            fail_msg("%s: %#x at %#llx + offset %#llx by '%s': wrong value", p->engine, a->code,
                     (unsigned long long)index, (unsigned long long)p->offset, way_names[way]);
    }
}

static void probe_module(struct probe *p)
{
    uint64_t index[INDEXES_MAX];
    uint32_t func = 0;

    for (unsigned o = 0; o < (p->wide ? SV_COUNT(offsets) : NARROW_OFFSETS); o++) {
        unsigned n;

        p->offset = offsets[o];
        n = indexes(index, p->a, p->offset, p->wide);
        for (enum way way = 0; way < WAYS; way++) {
            bool sums = way == ADD_PARAMS || (way >= SHL1 && way <= SHL3);

            for (unsigned k = 0; k < ways_of(way, n); k++, func++) {
                for (unsigned i = way == CONST ? k : 0; i < (way == CONST ? k + 1 : n); i++) {
                    for (unsigned j = 0; j < (sums ? SV_COUNT(shifted) : 1); j++)
                        probe(p, func, way, index[i], sums ? j : k);
                }
            }
        }
    }
    expect_untouched(p, 0, PAGE);
}

static void run_all(enum must_engine kind, bool wide)
{
    struct sv_engine *e = must_engine(kind);
    unsigned calls = 0, traps = 0, first = 0, step = 1;

    /* A compiler takes its time, and makes addresses the same way for all: others in each form. */
    if (must_is_native(kind)) {
        first = kind % 2 + (wide ? 2 : 0);
        step = 7;
    }
    for (unsigned i = first; i < SV_COUNT(accesses); i += step) {
        struct probe p = {.a = &accesses[i], .engine = must_engine_names[kind], .wide = wide};
        struct must_world w;
        struct sv_buf bytes;

        make_module(&bytes, p.a, wide);
        must_open(&w, e, &bytes);
        p.w = &w;
        p.memory = w.inst->memories[0]->base;
        for (uint64_t k = 0; k < PAGE; k++)
            p.memory[k] = pattern(k);
        probe_module(&p);
        calls += p.calls;
        traps += p.traps;
        must_close(&w);
        sv_buf_release(&bytes);
    }
    sv_engine_unref(e);
    assert_true(traps > calls / 10 && traps < calls);
}

static void loads_and_stores(void **state)
{
    (void)state;
    for (enum must_engine kind = 0; kind < MUST_ENGINES; kind++)
        run_all(kind, false);
}
static void loads_and_stores_of_memory64(void **state)
{
    (void)state;
    for (enum must_engine kind = 0; kind < MUST_ENGINES; kind++)
        run_all(kind, true);
}

/* ---- Operands from the last bytes: an operation must not read more than its load ---- */

static unsigned bytes_of(char type)
{
    return type == 'v' ? 16 : type == 'i' || type == 'f' ? 4 : 8;
}

static void emit_load(struct must *m, char type)
{
    static const char kinds[] = "iIfF";

    if (type == 'v')
        EMIT(m, 0xfd, 0, 0, 0);
    else
        EMIT(m, (uint8_t)(0x28 + (strchr(kinds, type) - kinds)), 0, 0);
}

/* The operation on operands that are parameters, or (bit i of `from_memory`) loaded at a constant
 * or at the address in the last parameter. */
static void emit_operation(struct must *m, enum sv_op op, unsigned from_memory, bool constant)
{
    const char *sig = sv_op_info[op].sig;
    uint32_t code = sv_op_info[op].code, n = (uint32_t)(strchr(sig, ':') - sig);

    for (uint32_t i = 0; i < n; i++) {
        if (from_memory >> i & 1) {
            if (constant)
                emit_i32(m, PAGE - bytes_of(sig[i]));
            else
                emit_get(m, n);
            emit_load(m, sig[i]);
        } else {
            emit_get(m, i);
        }
    }
    if (code >> 16)
        put_byte(&m->body, code >> 16);
    put_u64(&m->body, code & 0xffff);
    if (shapes[op] == SHAPE_LANE)
        put_byte(&m->body, 1);
}

static void last_operand(struct sv_engine *e, enum sv_op op)
{
    const char *sig = sv_op_info[op].sig;
    unsigned n = (unsigned)(strchr(sig, ':') - sig), nslots = 0;
    union sv_slot args[10] = {{0}}, plain[10], slots[10];
    uint8_t *memory;
    struct must_world w;
    struct sv_buf bytes;
    struct must m;
    char text[16];
    int trap;

    must_init(&m);
    snprintf(text, sizeof text, "%.*si:%s", (int)n, sig, sig + n + 1);
    must_type(&m, text);
    must_limits(must_entry(&m, MUST_MEMORY), 1, 1, 1);
    must_func(&m, 0, NULL);
    emit_operation(&m, op, 0, false);
    must_end(&m);
    for (unsigned k = 0; k < 2 * n; k++) {
        must_func(&m, 0, NULL);
        emit_operation(&m, op, 1u << k / 2, k % 2);
        must_end(&m);
    }
    must_bytes(&m, &bytes);
    must_open(&w, e, &bytes);
    memory = w.inst->memories[0]->base;
    memcpy(memory + PAGE - 16, stored, 16);
    for (unsigned i = 0; i < n; i++) { /* what a load of the last bytes gives */
        memcpy(&args[nslots], memory + PAGE - bytes_of(sig[i]), bytes_of(sig[i]));
        nslots += sig[i] == 'v' ? 2 : 1;
    }
    memcpy(plain, args, sizeof plain);
    trap = must_call(&w, 0, plain);
    for (unsigned k = 0; k < 2 * n; k++) {
        memcpy(slots, args, sizeof slots);
        slots[nslots].i32 = PAGE - bytes_of(sig[k / 2]);
        if (must_call(&w, k + 1, slots) != trap ||
            (!trap && memcmp(slots, plain, bytes_of(sig[n + 1])) != 0))
            fail_msg("%s: operand %u from the last bytes", sv_op_info[op].text, k / 2);
    }
    for (unsigned k = 0; k < n; k++) { /* and one byte further there is nothing */
        memcpy(slots, args, sizeof slots);
        slots[nslots].i32 = PAGE - bytes_of(sig[k]) + 1;
        assert_int_equal(must_call(&w, 2 * k + 1, slots), SV_TRAP_MEMORY_BOUNDS);
    }
    must_close(&w);
    sv_buf_release(&bytes);
}

/* The interpreters: they have instructions for loads and operations together. */
static void operands_at_the_end(void **state)
{
    (void)state;
    for (enum must_engine kind = 0; kind <= MUST_CHECKED_PLAIN; kind++) {
        struct sv_engine *e = must_engine(kind);
        unsigned ops = 0;

        for (enum sv_op op = 0; op < OP_COUNT; op++) {
            if (shapes[op]) {
                last_operand(e, op);
                ops++;
            }
        }
        assert_true(ops > 300);
        sv_engine_unref(e);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loads_and_stores),
        cmocka_unit_test(loads_and_stores_of_memory64),
        cmocka_unit_test(operands_at_the_end),
    };

    return cmocka_run_group_tests_name("must/address", tests, NULL, NULL);
}
