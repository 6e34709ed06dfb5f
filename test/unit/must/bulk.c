/* Bulk and table operations at every edge, with 32-bit and 64-bit indexes in all mixtures, against
 * a model that uses memmove; dropped segments; limits; growth. Single accesses are address.c's. */
#include "must.h"

enum { PAGE = 65536, N0 = 10, N1 = 7, TABLE_MAX = 20, NELEMS = 6, NDATA = 20, EDGE = 64 };
#define I31REF 0x6c

/* ---- The operations: all are functions (i64 i64 i64) -> i64, arguments cut to the index type ----
 */

enum op {
    TABLE_GET,
    TABLE_SET,
    TABLE_FILL,
    TABLE_COPY_00,
    TABLE_COPY_01, /* to 0 from 1 */
    TABLE_COPY_10,
    TABLE_INIT,
    MEMORY_FILL,
    MEMORY_COPY_00,
    MEMORY_COPY_01,
    MEMORY_COPY_10,
    MEMORY_INIT,
    TABLE_GROW,
    MEMORY_GROW,
    ELEM_DROP,
    DATA_DROP,
    ARRAY_NEW_DATA,
    ARRAY_NEW_ELEM,
    ACTIVE_INIT, /* memory.init and table.init from segments that instantiation used up */
    ACTIVE_TABLE_INIT,
    OPS
};
static const char *const op_names[OPS] = {
    "table.get",       "table.set",       "table.fill",          "table.copy 0 0",
    "table.copy 0 1",  "table.copy 1 0",  "table.init",          "memory.fill",
    "memory.copy 0 0", "memory.copy 0 1", "memory.copy 1 0",     "memory.init",
    "table.grow",      "memory.grow",     "elem.drop",           "data.drop",
    "array.new_data",  "array.new_elem",  "memory.init, active", "table.init, active"};

struct shape {
    bool wide0, wide1; /* are table and memory 0, 1 of 64 bits? */
};
struct widths {
    bool arg[3];
    bool used[3];
};

static struct widths widths_of(enum op op, struct shape s)
{
    bool both = s.wide0 && s.wide1;

    switch (op) {
    case TABLE_GET:
    case TABLE_SET:
        return (struct widths){{s.wide0}, {true}};
    case TABLE_FILL:
    case MEMORY_FILL:
        return (struct widths){{s.wide0, false, s.wide0}, {true, false, true}};
    case TABLE_COPY_00:
    case MEMORY_COPY_00:
        return (struct widths){{s.wide0, s.wide0, s.wide0}, {true, true, true}};
    case TABLE_COPY_01:
    case MEMORY_COPY_01:
        return (struct widths){{s.wide0, s.wide1, both}, {true, true, true}};
    case TABLE_COPY_10:
    case MEMORY_COPY_10:
        return (struct widths){{s.wide1, s.wide0, both}, {true, true, true}};
    case TABLE_GROW:
    case MEMORY_GROW:
        return (struct widths){{s.wide0}, {true}};
    default: /* init: segments have 32 bits */
        return (struct widths){{s.wide0, false, false}, {true, true, true}};
    }
}

static void emit_arg(struct must *m, unsigned i, const struct widths *w)
{
    emit_get(m, i);
    if (!w->arg[i])
        EMIT(m, 0xa7);
}
static void emit_args(struct must *m, const struct widths *w)
{
    for (unsigned i = 0; i < 3; i++)
        emit_arg(m, i, w);
}
static void emit_i31(struct must *m, uint32_t v)
{
    emit_i32(m, v);
    EMIT(m, 0xfb, 0x1c);
}

#define FILL_REF 78
#define SET_REF 77
#define FILL_BYTE 0x5a
enum { TYPE_OP, TYPE_BYTES, TYPE_REFS };

static void emit_op(struct must *m, enum op op, struct shape s)
{
    struct widths w = widths_of(op, s);

    switch (op) {
    case TABLE_GET:
        emit_arg(m, 0, &w);
        EMIT(m, 0x25, 0, 0x1a);
        break;
    case TABLE_SET:
        emit_arg(m, 0, &w);
        emit_i31(m, SET_REF);
        EMIT(m, 0x26, 0);
        break;
    case TABLE_FILL:
        emit_arg(m, 0, &w);
        emit_i31(m, FILL_REF);
        emit_arg(m, 2, &w);
        EMIT(m, 0xfc, 17, 0);
        break;
    case MEMORY_FILL:
        emit_arg(m, 0, &w);
        emit_i32(m, FILL_BYTE | 0xabcdef00);
        emit_arg(m, 2, &w);
        EMIT(m, 0xfc, 11, 0);
        break;
    case TABLE_COPY_00:
    case TABLE_COPY_01:
    case TABLE_COPY_10:
        emit_args(m, &w);
        EMIT(m, 0xfc, 14, op == TABLE_COPY_10, op == TABLE_COPY_01);
        break;
    case MEMORY_COPY_00:
    case MEMORY_COPY_01:
    case MEMORY_COPY_10:
        emit_args(m, &w);
        EMIT(m, 0xfc, 10, op == MEMORY_COPY_10, op == MEMORY_COPY_01);
        break;
    case TABLE_INIT:
    case ACTIVE_TABLE_INIT:
        emit_args(m, &w);
        EMIT(m, 0xfc, 12, op == ACTIVE_TABLE_INIT, 0);
        break;
    case MEMORY_INIT:
    case ACTIVE_INIT:
        emit_args(m, &w);
        EMIT(m, 0xfc, 8, op == ACTIVE_INIT, 0);
        break;
    case TABLE_GROW:
        emit_i31(m, FILL_REF);
        emit_arg(m, 0, &w);
        EMIT(m, 0xfc, 15, 0);
        break;
    case MEMORY_GROW:
        emit_arg(m, 0, &w);
        EMIT(m, 0x40, 0);
        break;
    case ELEM_DROP:
        EMIT(m, 0xfc, 13, 0);
        break;
    case DATA_DROP:
        EMIT(m, 0xfc, 9, 0);
        break;
    default: /* array.new_data, array.new_elem (offset, length) */
        emit_arg(m, 1, &w);
        emit_arg(m, 2, &w);
        EMIT(m, 0xfb, op == ARRAY_NEW_DATA ? 9 : 10, op == ARRAY_NEW_DATA ? TYPE_BYTES : TYPE_REFS,
             0, 0x1a);
        break;
    }
    if (op != TABLE_GROW && op != MEMORY_GROW)
        emit_i64(m, 0);
    else if (!s.wide0)
        EMIT(m, 0xac);
}

static void put_elems(struct must *m, unsigned flags)
{
    struct sv_buf *b = must_entry(m, MUST_ELEM);

    put_byte(b, flags);
    put_byte(b, I31REF);
    put_u64(b, NELEMS);
    for (unsigned i = 0; i < NELEMS; i++)
        put(b, BYTES(0x41, (uint8_t)(i + 1), 0xfb, 0x1c, 0x0b));
}

static void make_module(struct sv_buf *ret, struct shape s)
{
    uint8_t zero[] = {s.wide0 ? 0x42 : 0x41, 0, 0x0b}, bytes[NDATA];
    struct must m;
    struct sv_buf *b;

    must_init(&m);
    must_type(&m, "III:I");
    put(must_entry(&m, MUST_TYPE), BYTES(0x5e, 0x78, 1));   /* array (mut i8) */
    put(must_entry(&m, MUST_TYPE), BYTES(0x5e, I31REF, 1)); /* array (mut i31ref) */
    for (unsigned i = 0; i < 2; i++) {
        bool wide = i ? s.wide1 : s.wide0;

        b = must_entry(&m, MUST_TABLE);
        put_byte(b, I31REF);
        must_limits(b, wide ? 5 : 1, i ? N1 : N0, TABLE_MAX);
        must_limits(must_entry(&m, MUST_MEMORY), wide ? 5 : 1, 1, 3);
    }
    for (enum op op = 0; op < OPS; op++) {
        must_func(&m, TYPE_OP, NULL);
        emit_op(&m, op, s);
        must_end(&m);
    }
    put_elems(&m, 5); /* passive */
    b = must_entry(&m, MUST_ELEM);
    put(b, BYTES(6, 0)); /* active, table 0 */
    put(b, zero, 3);
    put(b, BYTES(I31REF, 1, 0x41, 9, 0xfb, 0x1c, 0x0b));
    for (unsigned i = 0; i < NDATA; i++)
        bytes[i] = (uint8_t)(0xe0 + i);
    b = must_entry(&m, MUST_DATA);
    put_byte(b, 1);
    put_byte(b, NDATA);
    put(b, bytes, NDATA);
    b = must_entry(&m, MUST_DATA);
    put_byte(b, 0);
    put(b, zero, 3);
    put(b, BYTES(1, 0x33));
    must_bytes(&m, ret);
}

/* ---- The model ---- */

struct model {
    struct must_world w;
    struct sv_buf module; /* borrowed by the world */
    struct shape shape;
    const char *engine;
    sv_ref refs[2][N0]; /* what the tables hold before each operation */
    sv_ref elems[NELEMS], fill, set;
    uint8_t *bytes[2]; /* likewise the memories */
    unsigned done, trapped;
};

static uint64_t in(const uint64_t *args, unsigned i, bool wide)
{
    return wide ? args[i] : (uint32_t)args[i];
}
static bool fits(uint64_t at, uint64_t n, uint64_t size)
{
    return (unsigned __int128)at + n <= size;
}
static uint32_t call(struct model *m, enum op op, const uint64_t *args, uint64_t *ret)
{
    union sv_slot slots[3];
    int trap;

    for (unsigned i = 0; i < 3; i++)
        slots[i].i64 = args[i];
    trap = must_call(&m->w, op, slots);
    if (ret)
        *ret = slots[0].i64;
    return (uint32_t)trap;
}

static void expect_table(struct model *m, const uint64_t *args, enum op op, unsigned i,
                         const sv_ref *wanted)
{
    const struct sv_table *t = m->w.inst->tables[i];

    if (t->size != (i ? N1 : N0) || memcmp(t->elems, wanted, t->size * sizeof *wanted) != 0)
        fail_msg("%s: %s (%llx %llx %llx): table %u", m->engine, op_names[op],
                 (unsigned long long)args[0], (unsigned long long)args[1],
                 (unsigned long long)args[2], i);
}

static void expect_trap(struct model *m, const uint64_t *args, enum op op, uint32_t trap, bool good)
{
    m->done += good;
    m->trapped += !good;
    if (good ? trap == 0 : trap == SV_TRAP_TABLE_BOUNDS || trap == SV_TRAP_MEMORY_BOUNDS)
        return;
    fail_msg("%s, %d %d: %s (%llx %llx %llx): trap %u", m->engine, m->shape.wide0, m->shape.wide1,
             op_names[op], (unsigned long long)args[0], (unsigned long long)args[1],
             (unsigned long long)args[2], trap);
}

static void try_table(struct model *m, enum op op, const uint64_t *args)
{
    struct widths w = widths_of(op, m->shape);
    uint64_t a = in(args, 0, w.arg[0]), b = in(args, 1, w.arg[1]), n = in(args, 2, w.arg[2]);
    unsigned to = op == TABLE_COPY_10, from = op == TABLE_COPY_01;
    sv_ref wanted[2][N0];
    bool good;

    memcpy(wanted, m->refs, sizeof wanted);
    if (op == TABLE_GET || op == TABLE_SET)
        n = 1;
    good = fits(a, n, to ? N1 : N0);
    if (op == TABLE_INIT)
        good = good && fits(b, n, NELEMS);
    else if (op >= TABLE_COPY_00)
        good = good && fits(b, n, from ? N1 : N0);
    if (good && op == TABLE_INIT)
        memcpy(wanted[0] + a, m->elems + b, n * sizeof(sv_ref));
    else if (good && op >= TABLE_COPY_00)
        memmove(wanted[to] + a, wanted[from] + b, n * sizeof(sv_ref));
    for (uint64_t i = 0; good && op != TABLE_GET && op < TABLE_COPY_00 && i < n; i++)
        wanted[0][a + i] = op == TABLE_SET ? m->set : m->fill;
    expect_trap(m, args, op, call(m, op, args, NULL), good);
    for (unsigned i = 0; i < 2; i++) {
        expect_table(m, args, op, i, wanted[i]);
        memcpy(m->w.inst->tables[i]->elems, m->refs[i], (i ? N1 : N0) * sizeof(sv_ref));
    }
}

static void try_memory(struct model *m, enum op op, const uint64_t *args)
{
    static uint8_t wanted[PAGE];
    struct widths w = widths_of(op, m->shape);
    uint64_t a = in(args, 0, w.arg[0]), b = in(args, 1, w.arg[1]), n = in(args, 2, w.arg[2]);
    unsigned to = op == MEMORY_COPY_10, from = op == MEMORY_COPY_01;
    uint8_t *base = m->w.inst->memories[to]->base;
    bool good = fits(a, n, PAGE);

    if (op == MEMORY_INIT)
        good = good && fits(b, n, NDATA);
    else if (op != MEMORY_FILL)
        good = good && fits(b, n, PAGE);
    expect_trap(m, args, op, call(m, op, args, NULL), good);
    if (!good) {
        assert_memory_equal(base, m->bytes[to], EDGE);
        assert_memory_equal(base + PAGE - EDGE, m->bytes[to] + PAGE - EDGE, EDGE);
        return;
    }
    memcpy(wanted, m->bytes[to], PAGE);
    for (uint64_t i = 0; i < n; i++)
        wanted[a + i] = op == MEMORY_FILL   ? FILL_BYTE
                        : op == MEMORY_INIT ? (uint8_t)(0xe0 + b + i)
                                            : m->bytes[from][b + i];
    if (memcmp(base, wanted, PAGE) != 0)
        fail_msg("%s: %s (%llx %llx %llx): memory", m->engine, op_names[op],
                 (unsigned long long)args[0], (unsigned long long)args[1],
                 (unsigned long long)args[2]);
    memcpy(base, m->bytes[to], PAGE);
}

/* ---- The matrix ---- */

static void open_model(struct model *m, struct sv_engine *e, enum must_engine kind, struct shape s)
{
    uint64_t args[3] = {0, 0, NELEMS};

    *m = (struct model){.shape = s, .engine = must_engine_names[kind]};
    make_module(&m->module, s);
    must_open(&m->w, e, &m->module);
    assert_int_equal(call(m, TABLE_INIT, args, NULL), 0);
    memcpy(m->elems, m->w.inst->tables[0]->elems, sizeof m->elems);
    args[0] = N0 - 1;
    args[2] = 1;
    assert_int_equal(call(m, TABLE_FILL, args, NULL), 0);
    m->fill = m->w.inst->tables[0]->elems[N0 - 1];
    assert_int_equal(call(m, TABLE_SET, args, NULL), 0);
    m->set = m->w.inst->tables[0]->elems[N0 - 1];
    assert_true(m->set != m->fill && m->elems[0] != m->elems[NELEMS - 1]);
    memcpy(m->refs[0], m->w.inst->tables[0]->elems, sizeof m->refs[0]);
    memcpy(m->refs[1], m->elems, sizeof m->elems);
    m->refs[1][N1 - 1] = m->set;
    memcpy(m->w.inst->tables[1]->elems, m->refs[1], N1 * sizeof(sv_ref));
    for (unsigned i = 0; i < 2; i++) {
        m->bytes[i] = malloc(PAGE);
        assert_non_null(m->bytes[i]);
        for (unsigned k = 0; k < PAGE; k++)
            m->bytes[i][k] = (uint8_t)((k * 0x9e3779b97f4a7c15u + i) >> 56);
        memcpy(m->w.inst->memories[i]->base, m->bytes[i], PAGE);
    }
}
static void close_model(struct model *m)
{
    must_close(&m->w);
    sv_buf_release(&m->module);
    free(m->bytes[0]);
    free(m->bytes[1]);
}

/* All triples of edges for an operation on `size` elements; unused arguments stay 0. */
static void triples(struct model *m, enum op op, uint64_t size, uint64_t other,
                    void (*try)(struct model *, enum op, const uint64_t *))
{
    const uint64_t edges[] = {0,
                              1,
                              3,
                              other,
                              other + 1,
                              size - 1,
                              size,
                              size + 1,
                              0x7fffffff,
                              0x80000000,
                              ((uint64_t)1 << 32) - size,
                              0xffffffff,
                              (uint64_t)1 << 32,
                              ((uint64_t)1 << 32) + 1,
                              (uint64_t)1 << 63,
                              0 - size,
                              UINT64_MAX};
    unsigned n = SV_COUNT(edges);
    struct widths w = widths_of(op, m->shape);
    uint64_t args[3];

    for (unsigned i = 0; i < n; i++) {
        for (unsigned j = 0; j < (w.used[1] ? n : 1); j++) {
            for (unsigned k = 0; k < (w.used[2] ? n : 1); k++) {
                args[0] = edges[i];
                args[1] = edges[j];
                args[2] = edges[k];
                try(m, op, args);
            }
        }
    }
}

static void matrix(enum op first, enum op last, uint64_t size, uint64_t other,
                   void (*try)(struct model *, enum op, const uint64_t *))
{
    static const enum must_engine kinds[] = {MUST_FAST, MUST_CHECKED_PLAIN,
#ifdef SV_TEST_NATIVE
                                             MUST_NATIVE, MUST_NATIVE_CHECKED
#endif
    };

    for (unsigned k = 0; k < SV_COUNT(kinds); k++) {
        struct sv_engine *e = must_engine(kinds[k]);

        for (unsigned s = 0; s < 4; s++) {
            struct model m;

            open_model(&m, e, kinds[k], (struct shape){s & 1, s >> 1});
            for (enum op op = first; op <= last; op++)
                triples(&m, op, size, other, try);
            assert_true(m.done > 100 && m.trapped > m.done);
            close_model(&m);
        }
        sv_engine_unref(e);
    }
}

static void tables(void **state)
{
    (void)state;
    matrix(TABLE_GET, TABLE_INIT, N0, N1, try_table);
}
static void memories(void **state)
{
    (void)state;
    matrix(MEMORY_FILL, MEMORY_INIT, PAGE, NDATA, try_memory);
}

/* ---- Growth ---- */

static void growth(void **state)
{
    static const uint64_t deltas[] = {0,
                                      1,
                                      2,
                                      3,
                                      9,
                                      10,
                                      11,
                                      0x7fffffff,
                                      0x80000000,
                                      0xfffffff6,
                                      0xffffffff,
                                      (uint64_t)1 << 32,
                                      (uint64_t)1 << 48,
                                      (uint64_t)1 << 63,
                                      UINT64_MAX - 9,
                                      UINT64_MAX};
    struct sv_engine *e = must_engine(MUST_FAST);

    (void)state;
    for (unsigned i = 0; i < 2 * SV_COUNT(deltas); i++) {
        struct shape s = {i % 2, !(i % 2)};
        uint64_t args[3] = {deltas[i / 2], 0, 0}, delta = in(args, 0, s.wide0), ret;
        struct model m;

        open_model(&m, e, MUST_FAST, s);
        assert_int_equal(call(&m, TABLE_GROW, args, &ret), 0);
        assert_int_equal(ret, delta <= TABLE_MAX - N0 ? N0 : UINT64_MAX);
        assert_int_equal(m.w.inst->tables[0]->size, delta <= TABLE_MAX - N0 ? N0 + delta : N0);
        for (uint64_t k = N0; k < m.w.inst->tables[0]->size; k++)
            assert_true(m.w.inst->tables[0]->elems[k] == m.fill);
        assert_int_equal(call(&m, MEMORY_GROW, args, &ret), 0);
        assert_int_equal(ret, delta <= 2 ? 1 : UINT64_MAX);
        close_model(&m);
    }
    sv_engine_unref(e);
}

/* ---- Dropped segments ---- */

static void dropped_segments(void **state)
{
    static const struct {
        uint64_t args[3];
        bool good;
    } after[] = {{{0, 0, 0}, true},  {{7, 0, 0}, true},  {{0, 1, 0}, false},
                 {{0, 0, 1}, false}, {{0, 6, 0}, false}, {{0, 0xffffffff, 1}, false}};
    static const enum op ops[] = {TABLE_INIT, MEMORY_INIT, ACTIVE_INIT, ACTIVE_TABLE_INIT};
    static const enum op news[] = {ARRAY_NEW_DATA, ARRAY_NEW_ELEM};
    const uint64_t one[3] = {0, 0, 1}, behind[3] = {PAGE + 1, 0, 0};

    (void)state;
    for (enum must_engine kind = 0; kind < MUST_ENGINES; kind++) {
        struct sv_engine *e = must_engine(kind);
        struct model m;

        open_model(&m, e, kind, (struct shape){kind % 2, false});
        for (unsigned i = 0; i < 2; i++)
            assert_int_equal(call(&m, news[i], one, NULL), 0);
        for (unsigned twice = 0; twice < 2; twice++) {
            assert_int_equal(call(&m, ELEM_DROP, one, NULL), 0);
            assert_int_equal(call(&m, DATA_DROP, one, NULL), 0);
        }
        for (unsigned k = 0; k < SV_COUNT(after); k++) {
            for (unsigned i = 0; i < SV_COUNT(ops); i++)
                expect_trap(&m, after[k].args, ops[i], call(&m, ops[i], after[k].args, NULL),
                            after[k].good);
            for (unsigned i = 0; i < SV_COUNT(news); i++)
                expect_trap(&m, after[k].args, news[i], call(&m, news[i], after[k].args, NULL),
                            after[k].good);
        }
        for (unsigned i = 0; i < SV_COUNT(ops); i++) /* an empty range behind the end */
            expect_trap(&m, behind, ops[i], call(&m, ops[i], behind, NULL), false);
        close_model(&m);
        sv_engine_unref(e);
    }
}

/* ---- Limits ---- */

/* Function k loads 1 << k bytes at its argument; the last one grows. */
enum { WIDTHS = 5 };

static void make_limits(struct sv_buf *ret, unsigned flags, uint64_t min, uint64_t max)
{
    static const uint8_t loads[WIDTHS][4] = {
        {0x2d, 0, 0, 0x1a}, {0x2f, 0, 0, 0x1a}, {0x28, 0, 0, 0x1a}, {0x2b, 0, 0, 0x1a}};
    bool wide = flags & 4;
    struct must m;

    must_init(&m);
    must_type(&m, wide ? "I:" : "i:");
    must_type(&m, wide ? "I:I" : "i:i");
    must_limits(must_entry(&m, MUST_MEMORY), flags, min, max);
    for (unsigned k = 0; k < WIDTHS; k++) {
        must_func(&m, 0, NULL);
        emit_get(&m, 0);
        if (k == WIDTHS - 1)
            EMIT(&m, 0xfd, 0, 0, 0, 0x1a);
        else
            put(&m.body, loads[k], 4);
        must_end(&m);
    }
    must_func(&m, 1, NULL);
    emit_get(&m, 0);
    EMIT(&m, 0x40, 0);
    must_end(&m);
    must_bytes(&m, ret);
}

/* All widths around the end of a memory of this many bytes. */
static void around_end(struct must_world *w, uint64_t size, bool wide)
{
    for (unsigned k = 0; k < WIDTHS; k++) {
        for (uint64_t back = 0; back <= (uint64_t)2 << k; back++) {
            uint64_t at = size - back;
            bool inside = back >= (uint64_t)1 << k && back <= size;
            union sv_slot slot = {.i64 = wide ? at : (uint32_t)at};

            if (!wide && size == (uint64_t)PAGE * PAGE && back == 0)
                continue; /* 2^32 cannot be said */
            assert_int_equal(must_call(w, k, &slot), inside ? 0 : SV_TRAP_MEMORY_BOUNDS);
        }
    }
}

static void limits(void **state)
{
    static const uint64_t ranges[][2] = {{0, 0}, {0, 1},     {1, 1},     {2, 3},
                                         {0, 3}, {0, 65536}, {1, 65536}, {65536, 65536}};

    (void)state;
    for (unsigned i = 0; i < 2 * MUST_ENGINES * SV_COUNT(ranges); i++) {
        enum must_engine kind = i / 2 % MUST_ENGINES;
        uint64_t min = ranges[i / 2 / MUST_ENGINES][0], max = ranges[i / 2 / MUST_ENGINES][1];
        bool wide = i % 2;
        struct sv_engine *e = must_engine(kind);
        struct must_world w;
        struct sv_buf bytes;
        union sv_slot slot;

        make_limits(&bytes, wide ? 5 : 1, min, max);
        must_open(&w, e, &bytes);
        for (uint64_t pages = min; pages <= max && pages < min + 4; pages++) {
            around_end(&w, pages * PAGE, wide);
            slot.i64 = 1;
            assert_int_equal(must_call(&w, WIDTHS, &slot), 0);
            assert_int_equal(slot.i32, pages < max ? pages : UINT32_MAX);
        }
        slot.i64 = max + 1;
        assert_int_equal(must_call(&w, WIDTHS, &slot), 0);
        assert_int_equal(slot.i32, UINT32_MAX);
        must_close(&w);
        sv_engine_unref(e);
        sv_buf_release(&bytes);
    }
}

/* Sizes that no machine has are an error of instantiation, and growth to them is -1. */
static void impossible_sizes(void **state)
{
    static const struct {
        bool table;
        unsigned flags;
        uint64_t min;
    } sizes[] = {{true, 0, 0xffffffff},
                 {true, 4, (uint64_t)1 << 32},
                 {true, 4, (uint64_t)1 << 61},
                 {true, 4, UINT64_MAX},
                 {false, 4, 65537},
                 {false, 4, (uint64_t)1 << 32},
                 {false, 4, (uint64_t)1 << 48}};
    struct sv_engine *e = must_engine(MUST_FAST);

    (void)state;
    for (unsigned i = 0; i < SV_COUNT(sizes); i++) {
        struct sv_decode_options options = {.features = e->features};
        struct sv_module *module = NULL;
        struct sv_store *store = NULL;
        struct sv_instance *inst = NULL;
        struct sv_err err = {0};
        struct sv_buf bytes, *b;
        struct must m;
        int r;

        must_init(&m);
        b = must_entry(&m, sizes[i].table ? MUST_TABLE : MUST_MEMORY);
        if (sizes[i].table)
            put_byte(b, 0x70);
        must_limits(b, sizes[i].flags, sizes[i].min, 0);
        must_bytes(&m, &bytes);
        r = sv_module_new(&err, e->types, bytes.data, bytes.len, NULL, &options, &module);
        assert_int_equal(r, 0);
        assert_int_equal(sv_store_new(&err, e, NULL, &store), 0);
        r = sv_instance_new(&err, store, module, NULL, &inst);
        assert_true(r == SV_ELIMIT || r == SV_ENOMEM);
        sv_store_delete(store);
        sv_module_unref(module);
        sv_buf_release(&bytes);
    }
    sv_engine_unref(e);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables), cmocka_unit_test(memories),
        cmocka_unit_test(growth), cmocka_unit_test(dropped_segments),
        cmocka_unit_test(limits), cmocka_unit_test(impossible_sizes),
    };

    return cmocka_run_group_tests_name("must/bulk", tests, NULL, NULL);
}
