/* Native code does what the interpreter does, to the last unit of gas: where it has a form of its
 * own (short copies, atomics, casts, objects in place), and where the collector must see what it
 * holds. Plain loads and stores are address.c's, bulk operations of any length bulk.c's. */
#include "must.h"

#ifdef SV_TEST_NATIVE

enum { PAGE = 65536 };
static const enum must_engine natives[] = {MUST_NATIVE, MUST_NATIVE_CHECKED};

/* The same module in the interpreter and in native code. */
struct pair {
    struct must_world interp, native;
    const char *name;
    unsigned calls, traps;
};

static void open_pair(struct pair *p, struct sv_engine *const *engines, const char *name,
                      const struct sv_buf *bytes, uint64_t gas)
{
    *p = (struct pair){.name = name};
    must_open_metered(&p->interp, engines[0], bytes, gas);
    must_open_metered(&p->native, engines[1], bytes, gas);
    for (uint32_t i = 0; i < p->interp.inst->module->nmemories; i++) {
        for (unsigned k = 0; k < PAGE; k++) {
            uint8_t byte = (uint8_t)((k * 0x9e3779b97f4a7c15u) >> 56);

            p->interp.inst->memories[i]->base[k] = byte;
            p->native.inst->memories[i]->base[k] = byte;
        }
    }
}

static void close_pair(struct pair *p)
{
    must_close(&p->interp);
    must_close(&p->native);
}

/* Call both with the arguments; what they return (`bytes` of it), do to memory, and use, must be
 * the same. The trap, or 0. */
static int call_pair(struct pair *p, uint32_t func, const uint64_t *args, unsigned n,
                     unsigned bytes)
{
    union sv_slot a[4] = {0}, b[4] = {0};
    int trap, other;

    for (unsigned i = 0; i < n; i++)
        a[i].i64 = b[i].i64 = args[i];
    trap = must_call(&p->interp, func, a);
    other = must_call(&p->native, func, b);
    p->calls++;
    p->traps += trap != 0;
    if (trap != other || (!trap && memcmp(a, b, bytes) != 0) ||
        sv_store_gas_used(p->interp.store) != sv_store_gas_used(p->native.store))
        fail_msg(
            "%s: function %u (%#llx %#llx): trap %d, native %d; %#llx, native %#llx; gas %llu, "
            "native %llu",
            p->name, func, (unsigned long long)args[0], n > 1 ? (unsigned long long)args[1] : 0,
            trap, other, (unsigned long long)a[0].i64, (unsigned long long)b[0].i64,
            (unsigned long long)sv_store_gas_used(p->interp.store),
            (unsigned long long)sv_store_gas_used(p->native.store));
    for (uint32_t i = 0; i < p->interp.inst->module->nmemories; i++)
        if (memcmp(p->interp.inst->memories[i]->base, p->native.inst->memories[i]->base, PAGE))
            fail_msg("%s: function %u (%#llx %#llx) left other bytes", p->name, func,
                     (unsigned long long)args[0], n > 1 ? (unsigned long long)args[1] : 0);
    return trap;
}

/* Run fn with each form of native code against the interpreter. */
static void each_native(void (*fn)(struct sv_engine *const *engines, const char *name), bool stress)
{
    for (unsigned i = 0; i < SV_COUNT(natives); i++) {
        struct sv_engine *engines[] = {must_engine(MUST_FAST), must_engine(natives[i])};

        engines[0]->gc_stress = engines[1]->gc_stress = stress;
        fn(engines, must_engine_names[natives[i]]);
        sv_engine_unref(engines[0]);
        sv_engine_unref(engines[1]);
    }
}

/* ---- Copies and fills of a constant length ---- */

enum { LENGTHS = 67 };

/* An operand from a parameter, for memory 0 (32-bit) or 1 (64-bit). */
static void emit_address(struct must *m, uint32_t local, unsigned memory)
{
    emit_get(m, local);
    if (memory == 0)
        EMIT(m, 0xa7);
}

static void emit_length(struct must *m, uint32_t len, bool wide)
{
    if (wide)
        emit_i64(m, len);
    else
        emit_i32(m, len);
}

/* Functions (to, from or byte): six for each length. */
static void make_copies(struct sv_buf *ret)
{
    struct must m;
    uint32_t type;

    must_init(&m);
    type = must_type(&m, "II:");
    must_limits(must_entry(&m, MUST_MEMORY), 1, 1, 1);
    must_limits(must_entry(&m, MUST_MEMORY), 5, 1, 1);
    for (uint32_t len = 0; len < LENGTHS; len++) {
        for (unsigned k = 0; k < 4; k++) {
            must_func(&m, type, NULL);
            emit_address(&m, 0, k & 1);
            emit_address(&m, 1, k >> 1);
            emit_length(&m, len, k == 3);
            EMIT(&m, 0xfc, 10, k & 1, (uint8_t)(k >> 1));
            must_end(&m);
        }
        for (unsigned k = 0; k < 2; k++) {
            must_func(&m, type, NULL);
            emit_address(&m, 0, k);
            emit_address(&m, 1, 0);
            emit_length(&m, len, k);
            EMIT(&m, 0xfc, 11, (uint8_t)k);
            must_end(&m);
        }
    }
    must_bytes(&m, ret);
}

static void try_copies(struct sv_engine *const *engines, const char *name, uint64_t gas)
{
    struct sv_buf bytes;
    struct pair p;

    make_copies(&bytes);
    open_pair(&p, engines, name, &bytes, gas);
    for (uint32_t func = 0; func < 6 * LENGTHS; func++) {
        uint64_t len = func / 6;
        const uint64_t at[] = {
            0,         3, 100, 107, PAGE - len, PAGE - len + 1, PAGE + 1, ~0u, (uint64_t)1 << 32,
            UINT64_MAX};

        for (unsigned i = 0; i < SV_COUNT(at); i++) {
            for (unsigned j = 0; j < SV_COUNT(at); j++)
                call_pair(&p, func, (const uint64_t[]){at[i], at[j]}, 2, 0);
        }
    }
    assert_true(p.traps > p.calls / 8 && p.traps < p.calls);
    close_pair(&p);
    sv_buf_release(&bytes);
}

static void plain_copies(struct sv_engine *const *engines, const char *name)
{
    try_copies(engines, name, 0);
}
static void metered_copies(struct sv_engine *const *engines, const char *name)
{
    try_copies(engines, name, INT64_MAX);
}

/* The last units: a block is charged first, then the copy. */
static void limited_copies(struct sv_engine *const *engines, const char *name)
{
    static const uint64_t inside[] = {3, 5}, outside[] = {3, PAGE};
    unsigned exhausted = 0;
    struct sv_buf bytes;
    struct pair p;

    make_copies(&bytes);
    open_pair(&p, engines, name, &bytes, INT64_MAX);
    for (int64_t gas = 0; gas < 8; gas++) {
        for (uint32_t func = 0; func < 6 * LENGTHS; func++) {
            p.interp.store->thread.gas = p.native.store->thread.gas = gas;
            exhausted += call_pair(&p, func, outside, 2, 0) == SV_TRAP_GAS;
            p.interp.store->thread.gas = p.native.store->thread.gas = gas;
            exhausted += call_pair(&p, func, inside, 2, 0) == SV_TRAP_GAS;
        }
    }
    assert_true(exhausted > p.calls / 4 && exhausted < p.calls);
    close_pair(&p);
    sv_buf_release(&bytes);
}

static void constant_lengths(void **state)
{
    (void)state;
    each_native(plain_copies, false);
    each_native(metered_copies, false);
    each_native(limited_copies, false);
}

/* ---- Atomics ---- */

enum { ATOMIC_FIRST = 0x10, ATOMIC_END = 0x4f, ATOMIC_GROUP = 7, CMPXCHG = 8 };
static const char atomic_types[] = "iIiiIII";
static const uint8_t atomic_log2[] = {2, 3, 0, 1, 0, 1, 2};
static const uint64_t atomic_offsets[] = {0, 8, UINT32_MAX};

static void emit_operand(struct must *m, uint32_t local, char type)
{
    emit_get(m, local);
    if (type == 'i')
        EMIT(m, 0xa7);
}

/* Functions (address, operand, operand), results extended to i64. */
static void make_atomics(struct sv_buf *ret, bool wide)
{
    struct must m;
    uint32_t type;

    must_init(&m);
    type = must_type(&m, "III:I");
    must_limits(must_entry(&m, MUST_MEMORY), wide ? 5 : 1, 1, 1);
    for (unsigned code = ATOMIC_FIRST; code < ATOMIC_END; code++) {
        unsigned n = code - ATOMIC_FIRST, group = n / ATOMIC_GROUP;
        char operand = atomic_types[n % ATOMIC_GROUP];

        for (unsigned o = 0; o < SV_COUNT(atomic_offsets); o++) {
            must_func(&m, type, NULL);
            emit_operand(&m, 0, wide ? 'I' : 'i');
            for (uint32_t k = 1; k <= (group == 0 ? 0u : group == CMPXCHG ? 2u : 1u); k++)
                emit_operand(&m, k, operand);
            EMIT(&m, 0xfe, (uint8_t)code, atomic_log2[n % ATOMIC_GROUP]);
            put_u64(&m.body, atomic_offsets[o]);
            if (group == 1)
                emit_get(&m, 1);
            else if (operand == 'i')
                EMIT(&m, 0xad);
            must_end(&m);
        }
    }
    for (unsigned code = 0; code < 3; code++) { /* notify, wait32, wait64 */
        for (unsigned o = 0; o < SV_COUNT(atomic_offsets); o++) {
            must_func(&m, type, NULL);
            emit_operand(&m, 0, wide ? 'I' : 'i');
            emit_operand(&m, 1, code == 2 ? 'I' : 'i');
            if (code)
                emit_get(&m, 2);
            EMIT(&m, 0xfe, (uint8_t)code, code == 2 ? 3 : 2);
            put_u64(&m.body, atomic_offsets[o]);
            EMIT(&m, 0xad);
            must_end(&m);
        }
    }
    must_bytes(&m, ret);
}

static void try_atomics(struct sv_engine *const *engines, const char *name)
{
    static const uint64_t at[] = {0, 1, 2, 3, 4, 8, PAGE - 9, PAGE - 8, PAGE - 7, PAGE - 4,
                                  PAGE - 2, PAGE - 1, PAGE, PAGE + 1, 0xfffffff8, 0xffffffff,
                                  /* with the largest offset, inside and not */
                                  (uint64_t)0 - UINT32_MAX, (uint64_t)8 - UINT32_MAX,
                                  (uint64_t)9 - UINT32_MAX, (uint64_t)1 << 63, UINT64_MAX};
    static const uint64_t operands[] = {0, 1, 0x80, 0xff, 0x123456789abcdef0, UINT64_MAX};
    const uint32_t nfuncs = (ATOMIC_END - ATOMIC_FIRST + 3) * SV_COUNT(atomic_offsets);

    for (unsigned wide = 0; wide < 2; wide++) {
        struct sv_buf bytes;
        struct pair p;

        make_atomics(&bytes, wide);
        open_pair(&p, engines, name, &bytes, 0);
        for (uint32_t func = 0; func < nfuncs; func++) {
            for (unsigned i = 0; i < SV_COUNT(at); i++) {
                /* What is expected is there now and then. */
                uint64_t x = operands[(func + i) % SV_COUNT(operands)];
                uint64_t y = operands[(func + 2 * i + 1) % SV_COUNT(operands)];

                if (i % 2)
                    memcpy(&x, p.interp.inst->memories[0]->base + at[i] % PAGE / 8 * 8, sizeof x);
                call_pair(&p, func, (const uint64_t[]){at[i], x, y}, 3, 8);
            }
        }
        assert_true(p.traps > p.calls / 8 && p.traps < p.calls);
        close_pair(&p);
        sv_buf_release(&bytes);
    }
}

static void atomics(void **state)
{
    (void)state;
    each_native(try_atomics, false);
}

/* ---- Tests and casts: every kind of value against every kind of type ---- */

#define MUT_I32 0x7f, 1
#define MUT_I64 0x7e, 1
/* Types 1 to 9; 0 is that of the functions. */
static void make_types(struct must *m)
{
    static const struct {
        uint8_t len, bytes[12];
    } types[] = {
        {6, {0x50, 0, 0x5f, 1, MUT_I32}},             /* 1: open */
        {9, {0x50, 1, 1, 0x5f, 2, MUT_I32, MUT_I64}}, /* 2: of 1 */
        {9, {0x4f, 1, 2, 0x5f, 2, MUT_I32, MUT_I64}}, /* 3: of 2, final */
        {4, {0x5f, 1, 0x7d, 1}},                      /* 4 */
        {5, {0x50, 0, 0x5e, 0x78, 1}},                /* 5: open array of i8 */
        {6, {0x4f, 1, 5, 0x5e, 0x78, 1}},             /* 6: of 5, final */
        {3, {0x60, 0, 0}},                            /* 7 */
        {5, {0x50, 0, 0x60, 0, 0}},                   /* 8: open */
        {6, {0x50, 1, 8, 0x60, 0, 0}},                /* 9: of 8 */
    };

    for (unsigned i = 0; i < SV_COUNT(types); i++)
        put(must_entry(m, MUST_TYPE), types[i].bytes, types[i].len);
}

struct value {
    uint8_t len, code[8];
};
static const struct value any_values[] = {
    {2, {0xd0, 0x6e}},             /* null */
    {4, {0x20, 0, 0xfb, 0x1a}},    /* the host's, or null */
    {6, {0x41, 0x7b, 0xfb, 0x1c}}, /* i31 */
    {3, {0xfb, 1, 1}},             /* structures of types 1 to 4 */
    {3, {0xfb, 1, 2}},
    {3, {0xfb, 1, 3}},
    {3, {0xfb, 1, 4}},
    {5, {0x41, 3, 0xfb, 7, 5}}, /* arrays */
    {5, {0x41, 0, 0xfb, 7, 6}},
};
static const uint8_t any_types[] = {0x6e, 0x6d, 0x6c, 0x6b, 0x6a, 0x71, 1, 2, 3, 4, 5, 6};
static const struct value func_values[] = {
    {2, {0xd0, 0x70}}, {2, {0xd2, 0}}, {2, {0xd2, 1}}, {2, {0xd2, 2}}};
static const uint8_t func_types[] = {0x70, 0x73, 7, 8, 9};
static const struct value extern_values[] = {{2, {0xd0, 0x6f}}, {2, {0x20, 0}}};
static const uint8_t extern_types[] = {0x6f, 0x72};

/* Functions externref -> i32: ref.test, ref.cast (nullable and not), br_on_cast and br_on_cast_fail
 * of the value. */
static void emit_casts(struct must *m, const struct value *v, uint8_t from, uint8_t to)
{
    for (uint8_t op = 0x14; op <= 0x17; op++) {
        must_func(m, 0, NULL);
        put(&m->body, v->code, v->len);
        EMIT(m, 0xfb, op, to);
        if (op >= 0x16)
            EMIT(m, 0xd1);
        must_end(m);
    }
    for (uint8_t flags = 1; flags <= 3; flags += 2) {
        for (uint8_t op = 0x18; op <= 0x19; op++) {
            must_func(m, 0, NULL);
            EMIT(m, 0x02, 0x63, from); /* block (result (ref null from)) */
            put(&m->body, v->code, v->len);
            EMIT(m, 0xfb, op, flags, 0, from, to);
            EMIT(m, 0x1a, 0x41, 5, 0x0f, 0x0b); /* drop, return 5, end */
            EMIT(m, 0xd1);
            must_end(m);
        }
    }
}

static void emit_matrix(struct must *m, const struct value *values, unsigned n,
                        const uint8_t *types, unsigned ntypes)
{
    for (unsigned i = 0; i < n; i++) {
        for (unsigned k = 0; k < ntypes; k++)
            emit_casts(m, &values[i], types[0], types[k]);
    }
}

static uint32_t make_casts(struct sv_buf *ret)
{
    struct must m;
    uint32_t n;

    must_init(&m);
    must_type(&m, "N:i");
    make_types(&m);
    for (uint32_t i = 0; i < 3; i++) {
        static const char *const names[] = {"a", "b", "c"};

        must_func(&m, 7 + i, names[i]);
        must_end(&m);
    }
    emit_matrix(&m, any_values, SV_COUNT(any_values), any_types, SV_COUNT(any_types));
    emit_matrix(&m, func_values, SV_COUNT(func_values), func_types, SV_COUNT(func_types));
    emit_matrix(&m, extern_values, SV_COUNT(extern_values), extern_types, SV_COUNT(extern_types));
    n = m.count[MUST_FUNC];
    must_bytes(&m, ret);
    return n;
}

static void try_casts(struct sv_engine *const *engines, const char *name)
{
    struct sv_buf bytes;
    uint32_t n = make_casts(&bytes);
    struct pair p;

    open_pair(&p, engines, name, &bytes, 0);
    for (uint32_t func = 3; func < n; func++) {
        for (unsigned null = 0; null < 2; null++)
            call_pair(&p, func, (const uint64_t[]){null ? 0 : sv_ref_host(77)}, 1, 4);
    }
    assert_true(p.traps > p.calls / 8 && p.traps < p.calls / 2);
    close_pair(&p);
    sv_buf_release(&bytes);
}

static void casts(void **state)
{
    (void)state;
    each_native(try_casts, false);
}

/* ---- Objects that only native code holds ---- */

static void end_with(struct must *m, const uint8_t *locals, size_t n)
{
    struct sv_buf *b = must_entry(m, MUST_CODE);

    put_u64(b, n + m->body.len + 1);
    put(b, locals, n);
    put(b, m->body.data, m->body.len);
    put_byte(b, 0x0b);
}

/* n -> sum over an array that is filled, and read, with others of its size made and dropped in
 * between: its address must stay known though only its elements are used. */
static void array_loop(struct must *m)
{
    must_func(m, 0, NULL);
    EMIT(m, 0x20, 0, 0xfb, 7, 1, 0x21, 1);    /* a = array.new_default n */
    EMIT(m, 0x20, 0, 0x21, 2);                /* i = n */
    EMIT(m, 0x03, 0x40);                      /* loop */
    EMIT(m, 0x20, 2, 0x41, 1, 0x6b, 0x21, 2); /* i-- */
    EMIT(m, 0x20, 1, 0x20, 2, 0x20, 2);       /* a[i] = */
    EMIT(m, 0x20, 1, 0x20, 2, 0xfb, 0x0b, 1); /* a[i] + i */
    EMIT(m, 0x6a, 0xfb, 0x0e, 1);
    EMIT(m, 0x41, 0x7f, 0x20, 0, 0xfb, 6, 1, 0x1a);                   /* drop array.new -1, n */
    EMIT(m, 0x20, 3, 0x20, 1, 0x20, 2, 0xfb, 0x0b, 1, 0x6a, 0x21, 3); /* sum += a[i] */
    EMIT(m, 0x20, 2, 0x0d, 0, 0x0b, 0x20, 3);
    end_with(m, BYTES(2, 1, 0x63, 1, 2, 0x7f));
}

/* if i + ahead < len: sum += the first lane of a[i + ahead] */
static void ahead(struct must *m, uint8_t n)
{
    EMIT(m, 0x20, 2, 0x41, n, 0x6a, 0x20, 4, 0x49, 0x04, 0x40);
    EMIT(m, 0x20, 3, 0x20, 1, 0x20, 2, 0x41, n, 0x6a, 0xfb, 0x0b, 3);
    EMIT(m, 0xfd, 27, 0, 0x6a, 0x21, 3, 0x0b);
}

/* Two elements a round, the one far ahead only if it is there: the code has one address that moves,
 * which is that element's, and so outside the array at last. Others of its size are made meanwhile
 * and kept, so that its place would be theirs. */
static void ahead_loop(struct must *m)
{
    must_func(m, 0, NULL);
    EMIT(m, 0x41, 40, 0xfb, 7, 4, 0x21, 5);                   /* r = array.new_default 40 */
    EMIT(m, 0x20, 0, 0xfd, 15, 0x20, 0, 0xfb, 6, 3, 0x22, 1); /* a = array.new (splat n) n */
    EMIT(m, 0xfb, 0x0f, 0x21, 4);                             /* its length */
    EMIT(m, 0x03, 0x40);                                      /* loop */
    EMIT(m, 0x20, 5, 0x20, 2, 0x41, 0x7f, 0xfd, 15, 0x20, 0, 0xfb, 6, 3, 0xfb, 0x0e,
         4); /* r[i] = */
    ahead(m, 8);
    ahead(m, 0);
    EMIT(m, 0x20, 2, 0x41, 1, 0x6a, 0x22, 2, 0x41, 40, 0x49, 0x0d, 0, 0x0b, 0x20, 3);
    end_with(m, BYTES(3, 1, 0x63, 3, 3, 0x7f, 1, 0x63, 4));
}

/* n -> sum over a list of n structures, made and walked with others made and dropped in between. */
static void list_loop(struct must *m)
{
    must_func(m, 0, NULL);
    EMIT(m, 0x20, 0, 0x21, 2);                               /* i = n */
    EMIT(m, 0x03, 0x40);                                     /* loop */
    EMIT(m, 0x20, 2, 0x20, 1, 0xfb, 0, 2, 0x21, 1);          /* l = struct.new i, l */
    EMIT(m, 0x41, 0x7f, 0xd0, 2, 0xfb, 0, 2, 0x1a);          /* drop struct.new -1, null */
    EMIT(m, 0x20, 2, 0x41, 1, 0x6b, 0x22, 2, 0x0d, 0, 0x0b); /* i--; end */
    EMIT(m, 0x03, 0x40);                                     /* loop */
    EMIT(m, 0x20, 3, 0x20, 1, 0xfb, 2, 2, 0, 0x6a, 0x21, 3); /* sum += l.value */
    EMIT(m, 0x41, 0x7f, 0xd0, 2, 0xfb, 0, 2, 0x1a);
    EMIT(m, 0x20, 1, 0xfb, 2, 2, 1, 0x22, 1, 0xd1, 0x45, 0x0d, 0, 0x0b); /* l = l.next */
    EMIT(m, 0x20, 3);
    end_with(m, BYTES(2, 1, 0x63, 2, 2, 0x7f));
}

static void try_loops(struct sv_engine *const *engines, const char *name)
{
    struct sv_buf bytes;
    struct must m;

    must_init(&m);
    must_type(&m, "i:i");
    put(must_entry(&m, MUST_TYPE), BYTES(0x5e, 0x7f, 1));                /* 1: array of i32 */
    put(must_entry(&m, MUST_TYPE), BYTES(0x5f, 2, 0x7f, 1, 0x63, 2, 1)); /* 2: value, next */
    put(must_entry(&m, MUST_TYPE), BYTES(0x5e, 0x7b, 1));                /* 3: array of v128 */
    put(must_entry(&m, MUST_TYPE), BYTES(0x5e, 0x6e, 1));                /* 4: array of anyref */
    array_loop(&m);
    list_loop(&m);
    ahead_loop(&m);
    must_bytes(&m, &bytes);
    for (unsigned level = 0; level <= 3; level++) {
        struct pair p;

        engines[1]->tier->opt_level = level;
        open_pair(&p, engines, name, &bytes, 0);
        for (uint64_t n = 1; n < 40; n++) {
            for (uint32_t func = 0; func < 3; func++)
                assert_int_equal(call_pair(&p, func, &n, 1, 4), 0);
        }
        close_pair(&p);
    }
    sv_buf_release(&bytes);
}

static void collected_in_loops(void **state)
{
    (void)state;
    each_native(try_loops, true);
}

/* ---- Tail calls between functions with different numbers of arguments on the stack ---- */

static const uint8_t tail_params[] = {0, 1, 3, 4, 5, 8, 13};
enum { TAIL_TYPES = SV_COUNT(tail_params), TAIL_PAIRS = TAIL_TYPES * TAIL_TYPES, TAIL_WAYS = 3 };

/* Function `way`, a, b: while its first parameter, a count, lasts, in a tail position the one of
 * `way`, b, a; then what it was called with, in one number. Type n has tail_params[n] more. */
static void emit_swing(struct must *m, unsigned way, unsigned a, unsigned b)
{
    uint32_t callee = way * TAIL_PAIRS + b * TAIL_TYPES + a;

    must_func(m, a, NULL);
    emit_get(m, 0);
    EMIT(m, 0x50, 0x04, 0x40); /* i64.eqz, if */
    emit_i64(m, a);
    for (uint32_t i = 1; i <= tail_params[a]; i++) {
        emit_i64(m, 31);
        EMIT(m, 0x7e);
        emit_get(m, i);
        EMIT(m, 0x7c);
    }
    EMIT(m, 0x0f, 0x0b);
    emit_get(m, 0);
    emit_i64(m, 1);
    EMIT(m, 0x7d);
    for (uint32_t i = 1; i <= tail_params[b]; i++) { /* others in other places */
        emit_get(m, (i * 3 + 1) % (tail_params[a] + 1u));
        emit_i64(m, i);
        EMIT(m, 0x7c);
    }
    if (way == 0)
        put_byte(&m->body, 0x12);
    else if (way == 1)
        emit_i32(m, callee);
    else
        put_byte(&m->body, 0xd2);
    if (way != 1)
        put_u64(&m->body, callee);
    if (way != 0) {
        EMIT(m, way == 1 ? 0x13 : 0x15, (uint8_t)b);
        if (way == 1)
            put_byte(&m->body, 0);
    }
    must_end(m);
}

/* Functions (count): of each swing. The table can be changed, so calls through it are not direct.
 */
static uint32_t make_swings(struct sv_buf *ret)
{
    const uint32_t n = TAIL_WAYS * TAIL_PAIRS;
    char sig[32] = "I";
    struct sv_buf *b;
    struct must m;

    must_init(&m);
    for (unsigned i = 0; i < TAIL_TYPES; i++) {
        memset(sig + 1, 'I', tail_params[i]);
        memcpy(sig + 1 + tail_params[i], ":I", 3);
        must_type(&m, sig);
    }
    for (unsigned i = 0; i < n; i++)
        emit_swing(&m, i / TAIL_PAIRS, i / TAIL_TYPES % TAIL_TYPES, i % TAIL_TYPES);
    for (unsigned i = 0; i < n; i++) {
        must_func(&m, 0, NULL);
        emit_get(&m, 0);
        for (unsigned k = 0; k < tail_params[i / TAIL_TYPES % TAIL_TYPES]; k++)
            emit_i64(&m, 100 + k);
        put_byte(&m.body, 0x10);
        put_u64(&m.body, i);
        must_end(&m);
    }
    b = must_entry(&m, MUST_TABLE);
    put_byte(b, 0x70);
    must_limits(b, 0, n, 0);
    must_export(&m, "table", 1, 0);
    b = must_entry(&m, MUST_ELEM);
    put(b, BYTES(0, 0x41, 0, 0x0b));
    put_u64(b, n);
    for (uint32_t i = 0; i < n; i++)
        put_u64(b, i);
    must_bytes(&m, ret);
    return n;
}

static void try_swings(struct sv_engine *const *engines, const char *name)
{
    struct sv_buf bytes;
    uint32_t n = make_swings(&bytes);

    for (unsigned level = 0; level <= 3; level++) {
        struct pair p;

        engines[1]->tier->opt_level = level;
        open_pair(&p, engines, name, &bytes, level % 2 ? INT64_MAX : 0);
        for (uint32_t func = n; func < 2 * n; func++) {
            static const uint64_t counts[] = {0, 1, 2, 3, 1001};

            for (unsigned i = 0; i < SV_COUNT(counts); i++)
                assert_int_equal(call_pair(&p, func, &counts[i], 1, 8), 0);
        }
        close_pair(&p);
    }
    sv_buf_release(&bytes);
}

static void tail_calls_of_other_types(void **state)
{
    (void)state;
    each_native(try_swings, false);
}

/* ---- Tail calls that leave the instance ---- */

/* What the host does, by its first argument. */
enum act { ACT_RETURN, ACT_TRAP, ACT_CALL_TRAP, ACT_CALL_THROW, ACTS };
/* The types: (i32) -> i32, with more arguments than registers, () -> (). Two each of the first two
 * types, OUT_TAIL and OUT_CALLER for each way. */
enum { OUT_PLAIN = 10, OUT_PARAMS = 2, OUT_HOST_COST = 3 };
enum out_func {
    OUT_HOST, /* imported: of the host, or another instance's OUT_IN */
    OUT_TRAPS = OUT_HOST + OUT_PARAMS,
    OUT_THROWS,
    OUT_IN,
    OUT_TAIL = OUT_IN + OUT_PARAMS,
    OUT_CALLER = OUT_TAIL + TAIL_WAYS * OUT_PARAMS,
    OUT_FUNCS = OUT_CALLER + TAIL_WAYS * OUT_PARAMS
};

static int act(struct sv_call *c, const union sv_slot *args, union sv_slot *ret)
{
    struct sv_instance *const *inst = c->data;
    uint32_t what = args[0].i32, sum = what + 1;
    union sv_slot none[1] = {0};

    if (what == ACT_TRAP)
        return sv_trap_set(c->th, SV_TRAP_HOST, "the host does not want to");
    if (what == ACT_CALL_TRAP || what == ACT_CALL_THROW)
        return sv_func_call(
            c->th, sv_instance_func(*inst, what == ACT_CALL_TRAP ? OUT_TRAPS : OUT_THROWS), none);
    for (uint32_t i = 1; i < c->func->type->func.nparams; i++)
        sum += (uint32_t)args[i].i64;
    ret->i32 = sum;
    return 0;
}

/* The function's own first argument, and the others of type `many`. */
static void emit_out_args(struct must *m, bool many)
{
    emit_get(m, 0);
    for (uint32_t i = 1; many && i <= OUT_PLAIN; i++)
        emit_i64(m, i);
}

/* (block (try_table (catch_all 0) ... )) i32.const `caught` */
static void emit_catch_all(struct must *m)
{
    EMIT(m, 0x02, 0x40, 0x1f, 0x40, 1, 2, 0);
}
static void end_catch_all(struct must *m, uint32_t caught)
{
    EMIT(m, 0x0b, 0x0b);
    emit_i32(m, caught);
    must_end(m);
}

static void emit_out_tail(struct must *m, unsigned way, bool many)
{
    must_func(m, 0, NULL);
    emit_catch_all(m);
    emit_out_args(m, many);
    if (way == 0)
        emit_u(m, 0x12, OUT_HOST + many);
    else if (way == 1)
        emit_i32(m, many);
    else
        emit_u(m, 0xd2, OUT_HOST + many);
    if (way != 0)
        emit_u(m, way == 1 ? 0x13 : 0x15, many);
    if (way == 1)
        put_byte(&m->body, 0);
    end_catch_all(m, 99);
}

static void emit_out_funcs(struct must *m)
{
    must_func(m, 2, NULL); /* OUT_TRAPS */
    EMIT(m, 0x00);
    must_end(m);
    must_func(m, 2, NULL); /* OUT_THROWS */
    emit_u(m, 0x08, 0);
    must_end(m);
    for (unsigned many = 0; many < OUT_PARAMS; many++) { /* OUT_IN */
        must_func(m, many, NULL);
        for (uint32_t i = 0; i <= (many ? OUT_PLAIN : 0); i++)
            emit_get(m, i);
        emit_u(m, 0x10, OUT_HOST + many);
        must_end(m);
    }
    for (unsigned i = 0; i < TAIL_WAYS * OUT_PARAMS; i++)
        emit_out_tail(m, i / OUT_PARAMS, i % OUT_PARAMS);
    for (unsigned i = 0; i < TAIL_WAYS * OUT_PARAMS; i++) { /* OUT_CALLER */
        must_func(m, 0, NULL);
        emit_catch_all(m);
        emit_get(m, 0);
        emit_u(m, 0x10, OUT_TAIL + i);
        emit_i32(m, 5);
        EMIT(m, 0x6a, 0x0f);
        end_catch_all(m, 77);
    }
}

/* fixed: nothing can change the table, and native code does not look into it. */
static void make_out(struct sv_buf *ret, bool fixed)
{
    struct sv_buf *b;
    struct must m;

    must_init(&m);
    must_type(&m, "i:i");
    must_type(&m, "iIIIIIIIIII:i");
    must_type(&m, ":");
    for (unsigned many = 0; many < OUT_PARAMS; many++)
        must_import(&m, many ? "many" : "one", many);
    put(must_entry(&m, MUST_TAG), BYTES(0, 2));
    put(must_entry(&m, MUST_TABLE), BYTES(0x70, 0, OUT_PARAMS));
    if (!fixed)
        must_export(&m, "table", 1, 0);
    b = must_entry(&m, MUST_ELEM);
    put(b, BYTES(0, 0x41, 0, 0x0b, OUT_PARAMS, OUT_HOST, OUT_HOST + 1));
    emit_out_funcs(&m);
    must_bytes(&m, ret);
}

/* The world's instance imports from another one, which imports from the host; `first`: that one. */
static void open_out(struct must_world *w, struct sv_engine *e, const struct sv_buf *bytes,
                     bool metered, bool host, struct sv_instance **first)
{
    struct sv_extern imports[OUT_PARAMS];

    must_load(w, e, bytes, metered ? INT64_MAX : 0);
    for (uint32_t i = 0; i < OUT_PARAMS; i++) {
        imports[i] = (struct sv_extern){.kind = SV_EXTERN_FUNC};
        imports[i].func = sv_func_new_host(w->store, w->module->funcs[OUT_HOST + i].type, act,
                                           first, "h", OUT_HOST_COST);
        assert_non_null(imports[i].func);
    }
    must_instantiate(w, imports);
    *first = w->inst;
    if (host)
        return;
    for (uint32_t i = 0; i < OUT_PARAMS; i++)
        imports[i].func = sv_instance_func(*first, OUT_IN + i);
    must_instantiate(w, imports);
}

/* Call the function in the tier: what comes of it, in words, behind *log. */
static int call_out(struct must_world *w, uint32_t func, enum act what, struct sv_buf *log)
{
    union sv_slot slots[1 + OUT_PLAIN] = {{.i32 = what}};
    int trap = must_call(w, func, slots);

    if (trap)
        sv_trap_print(log, &w->store->thread.trap);
    else
        sv_buf_printf(log, "%u", slots[0].i32);
    sv_buf_printf(log, "; gas %llu", (unsigned long long)sv_store_gas_used(w->store));
    return trap;
}

/* Who called is in the backtrace, and who was replaced is not. */
static void check_replaced(const struct sv_trap *trap, uint32_t caller)
{
    unsigned callers = 0;

    for (uint32_t i = 0; i < trap->nframes; i++) {
        uint32_t f = trap->frames[i].func;

        if (trap->frames[i].module && f >= OUT_TAIL && f < OUT_CALLER)
            fail_msg("function %u, that a tail call of %u has replaced", f, caller);
        callers += trap->frames[i].module && f == caller;
    }
    assert_int_equal(callers, 1);
}

static void check_out(struct must_world *worlds, const char *name, uint32_t caller, enum act what)
{
    bool many = (caller - OUT_CALLER) % OUT_PARAMS;
    struct sv_buf logs[2];
    char result[16];
    int traps[2];

    for (unsigned i = 0; i < 2; i++) {
        sv_buf_init(&logs[i], 1 << 20);
        traps[i] = call_out(&worlds[i], caller, what, &logs[i]);
    }
    if (strcmp(sv_buf_cstr(&logs[0]), sv_buf_cstr(&logs[1])) != 0)
        fail_msg("%s: function %u, act %u: %s\nnative: %s", name, caller, what,
                 sv_buf_cstr(&logs[0]), sv_buf_cstr(&logs[1]));
    snprintf(result, sizeof result, "%u;", what == ACT_CALL_THROW ? 77 : many ? 61 : 6);
    if (!traps[0])
        assert_memory_equal(sv_buf_cstr(&logs[0]), result, strlen(result));
    else if (traps[0] != SV_TRAP_GAS)
        check_replaced(&worlds[0].store->thread.trap, caller);
    for (unsigned i = 0; i < 2; i++)
        sv_buf_release(&logs[i]);
}

/* Every function and act, under a limit of gas or none (0). The most that one has used. */
static uint64_t each_act(struct must_world *worlds, const char *name, uint64_t gas)
{
    uint64_t most = 0;

    for (uint32_t caller = OUT_CALLER; caller < OUT_FUNCS; caller++) {
        for (enum act what = 0; what < ACTS; what++) {
            uint64_t used;

            for (unsigned i = 0; gas && i < 2; i++)
                sv_store_set_gas(worlds[i].store, gas);
            check_out(worlds, name, caller, what);
            used = sv_store_gas_used(worlds[0].store);
            most = most > used ? most : used;
        }
    }
    return most;
}

static void try_worlds(struct sv_engine *const *engines, const char *name,
                       const struct sv_buf *bytes, bool metered, bool host)
{
    struct sv_instance *first[2];
    struct must_world worlds[2];
    uint64_t most;

    for (unsigned i = 0; i < 2; i++)
        open_out(&worlds[i], engines[i], bytes, metered, host, &first[i]);
    most = each_act(worlds, name, metered ? INT64_MAX : 0);
    for (uint64_t gas = 0; metered && gas < most; gas++)
        each_act(worlds, name, gas + 1);
    for (unsigned i = 0; i < 2; i++)
        must_close(&worlds[i]);
}

static void try_out(struct sv_engine *const *engines, const char *name)
{
    for (unsigned i = 0; i < 16; i++) {
        struct sv_buf bytes;

        make_out(&bytes, i % 2);
        engines[1]->tier->opt_level = i / 4;
        for (unsigned host = 0; host < 2; host++)
            try_worlds(engines, name, &bytes, i / 2 % 2, host);
        sv_buf_release(&bytes);
    }
}

/* The frame is gone before the callee begins: it is in no backtrace, and catches nothing. */
static void tail_calls_outside(void **state)
{
    (void)state;
    each_native(try_out, false);
}

/* ---- More types than a partition of the compiler has thunks for ---- */

enum { MANY_TYPES = 600, MANY_PARAMS = 10 };

/* Function n for n of the types: a call of that type through the table, which is empty. */
static void make_many(struct sv_buf *ret)
{
    char sig[MANY_PARAMS + 2];
    struct must m;

    must_init(&m);
    for (unsigned n = 0; n < MANY_TYPES; n++) {
        for (unsigned k = 0; k < MANY_PARAMS; k++)
            sig[k] = n >> k & 1 ? 'i' : 'I';
        memcpy(sig + MANY_PARAMS, ":", 2);
        must_type(&m, sig);
    }
    put(must_entry(&m, MUST_TABLE), BYTES(0x70, 0, 1));
    must_export(&m, "table", 1, 0);
    for (unsigned n = 0; n < MANY_TYPES; n++) {
        must_func(&m, n, NULL);
        for (unsigned k = 0; k < MANY_PARAMS; k++)
            emit_get(&m, k);
        emit_i32(&m, 0);
        emit_u(&m, 0x11, n);
        put_byte(&m.body, 0);
        must_end(&m);
    }
    must_bytes(&m, ret);
}

static void try_many(struct sv_engine *const *engines, const char *name)
{
    struct sv_buf bytes;
    struct must_world w;

    make_many(&bytes);
    must_open(&w, engines[1], &bytes);
    for (uint32_t n = 0; n < MANY_TYPES; n++) {
        const struct sv_trap *trap = &w.store->thread.trap;
        union sv_slot slots[MANY_PARAMS] = {0};

        assert_int_equal(must_call(&w, n, slots), SV_TRAP_UNINITIALIZED_ELEMENT);
        if (trap->nframes != 1 || trap->frames[0].func != n)
            fail_msg("%s: function %u: %u frames, the first of function %u", name, n, trap->nframes,
                     trap->frames[0].func);
    }
    must_close(&w);
    sv_buf_release(&bytes);
}

static void calls_of_many_types(void **state)
{
    (void)state;
    each_native(try_many, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_lengths),
        cmocka_unit_test(atomics),
        cmocka_unit_test(casts),
        cmocka_unit_test(collected_in_loops),
        cmocka_unit_test(tail_calls_of_other_types),
        cmocka_unit_test(tail_calls_outside),
        cmocka_unit_test(calls_of_many_types),
    };

    return cmocka_run_group_tests_name("must/tier", tests, NULL, NULL);
}

#else
int main(void)
{
    return 0; /* no compiler: one tier */
}
#endif
