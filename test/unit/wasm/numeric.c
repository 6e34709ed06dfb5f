/* numeric.def against another engine: every pure instruction over all pairs of edge values must
 * give the checksum in test/diff/numeric_v8.def. Relaxed instructions are compared with their
 * documented meaning. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "runtime/trap.h"
#include "wasm/numeric.h"
#include "wasm/opcode.h"

static const u32 edge32[] = {
#define EDGE32(x) x,
#define EDGE64(x)
#include "../../diff/edges.def"
#undef EDGE32
#undef EDGE64
};
static const u64 edge64[] = {
#define EDGE32(x)
#define EDGE64(x) UINT64_C(x),
#include "../../diff/edges.def"
#undef EDGE32
#undef EDGE64
};

/* Operand k of each type, as numeric.mjs makes them. */
#define COUNT_u32 SV_COUNT(edge32)
#define COUNT_s32 SV_COUNT(edge32)
#define COUNT_f32 SV_COUNT(edge32)
#define COUNT_u64 SV_COUNT(edge64)
#define COUNT_s64 SV_COUNT(edge64)
#define COUNT_f64 SV_COUNT(edge64)
#define COUNT_v128 SV_COUNT(edge64)
#define OPERAND(T, from)                                                                           \
    static T operand_##T(size_t k)                                                                 \
    {                                                                                              \
        T r;                                                                                       \
        memcpy(&r, &from[k], sizeof r);                                                            \
        return r;                                                                                  \
    }
OPERAND(u32, edge32)
OPERAND(s32, edge32)
OPERAND(f32, edge32)
OPERAND(u64, edge64)
OPERAND(s64, edge64)
OPERAND(f64, edge64)
static v128 operand_v128(size_t k)
{
    return sv_v128_make(edge64[k], edge64[(k * 7 + 3) % SV_COUNT(edge64)]);
}

/* Results that deterministic mode would make canonical. */
static const char canon_of[OP_COUNT][8] = {
#define CANON(op, shape) [OP_##op] = #shape,
#include "wasm/numeric.def"
};

struct sum {
    u32 a, b;
};
static void sum_word(struct sum *s, u32 w)
{
    s->a = (s->a ^ w) * 0x9e3779b1u + 0x7f4a7c15u;
    s->a ^= s->a >> 15;
    s->b = (s->b ^ w) * 0x85ebca77u + 1;
    s->b ^= s->b >> 13;
}
static void sum_add(struct sum *s, v128 r)
{
    for (int i = 0; i < 4; i++)
        sum_word(s, ((u32x4)r)[i]);
}
static void add_v128(struct sum *s, enum sv_op op, v128 r)
{
    if (strcmp(canon_of[op], "f32x4") == 0)
        r = sv_f32x4_canon(r);
    else if (strcmp(canon_of[op], "f64x2") == 0)
        r = sv_f64x2_canon(r);
    sum_add(s, r);
}
static void add_u64(struct sum *s, enum sv_op op, u64 r)
{
    (void)op;
    sum_add(s, sv_v128_make(r, 0));
}
static void add_u32(struct sum *s, enum sv_op op, u32 r)
{
    add_u64(s, op, r);
}
static void add_s64(struct sum *s, enum sv_op op, s64 r)
{
    add_u64(s, op, (u64)r);
}
static void add_s32(struct sum *s, enum sv_op op, s32 r)
{
    add_u64(s, op, (u32)r);
}
static void add_f32(struct sum *s, enum sv_op op, f32 r)
{
    add_u64(s, op, sv_f32_bits(canon_of[op][0] ? sv_f32_canon(r) : r));
}
static void add_f64(struct sum *s, enum sv_op op, f64 r)
{
    add_u64(s, op, sv_f64_bits(canon_of[op][0] ? sv_f64_canon(r) : r));
}
#define TRAPPED UINT64_C(0xdeadbeefdeadbeef)

#define LOOP(n, i) for (size_t i = 0; i < (n); i++)
#define NUM1(op, R, A, expr)                                                                       \
    static void test_##op(struct sum *s)                                                           \
    {                                                                                              \
        LOOP(COUNT_##A, i)                                                                         \
        {                                                                                          \
            A a = operand_##A(i);                                                                  \
            add_##R(s, OP_##op, expr);                                                             \
        }                                                                                          \
    }
#define NUM2(op, R, A, B, expr)                                                                    \
    static void test_##op(struct sum *s)                                                           \
    {                                                                                              \
        LOOP(COUNT_##A, i) LOOP(COUNT_##B, j)                                                      \
        {                                                                                          \
            A a = operand_##A(i);                                                                  \
            B b = operand_##B(j);                                                                  \
            add_##R(s, OP_##op, expr);                                                             \
        }                                                                                          \
    }
#define NUM3(op, R, A, B, C, expr)                                                                 \
    static void test_##op(struct sum *s)                                                           \
    {                                                                                              \
        LOOP(COUNT_##A, i) LOOP(COUNT_##B, j)                                                      \
        {                                                                                          \
            A a = operand_##A(i);                                                                  \
            B b = operand_##B(j);                                                                  \
            C c = operand_##C((i + 2 * j) % COUNT_##C);                                            \
            add_##R(s, OP_##op, expr);                                                             \
        }                                                                                          \
    }
#define TRAP1(op, R, A, trap, expr)                                                                \
    static void test_##op(struct sum *s)                                                           \
    {                                                                                              \
        LOOP(COUNT_##A, i)                                                                         \
        {                                                                                          \
            A a = operand_##A(i);                                                                  \
            if ((trap) != 0)                                                                       \
                add_u64(s, OP_##op, TRAPPED);                                                      \
            else                                                                                   \
                add_##R(s, OP_##op, expr);                                                         \
        }                                                                                          \
    }
#define TRAP2(op, R, A, B, trap, expr)                                                             \
    static void test_##op(struct sum *s)                                                           \
    {                                                                                              \
        LOOP(COUNT_##A, i) LOOP(COUNT_##B, j)                                                      \
        {                                                                                          \
            A a = operand_##A(i);                                                                  \
            B b = operand_##B(j);                                                                  \
            if ((trap) != 0)                                                                       \
                add_u64(s, OP_##op, TRAPPED);                                                      \
            else                                                                                   \
                add_##R(s, OP_##op, expr);                                                         \
        }                                                                                          \
    }
/* Number of lanes, from the name: "I8X16_..." has 16. */
#define LANES(op) ((size_t)(#op[2] == 'X' ? (#op[3] == '8' ? 8 : 16) : (size_t)(#op[4] - '0')))
#define EXTRACT(op, R, expr)                                                                       \
    static void test_##op(struct sum *s)                                                           \
    {                                                                                              \
        LOOP(LANES(op), lane) LOOP(COUNT_v128, i)                                                  \
        {                                                                                          \
            v128 a = operand_v128(i);                                                              \
            add_##R(s, OP_##op, expr);                                                             \
        }                                                                                          \
    }
#define REPLACE(op, B, expr)                                                                       \
    static void test_##op(struct sum *s)                                                           \
    {                                                                                              \
        for (unsigned lane = 0; lane < LANES(op); lane++)                                          \
            LOOP(COUNT_v128, i) LOOP(COUNT_##B, j)                                                 \
            {                                                                                      \
                v128 a = operand_v128(i);                                                          \
                B b = operand_##B(j);                                                              \
                add_v128(s, OP_##op, expr);                                                        \
            }                                                                                      \
    }
#include "wasm/numeric.def"

static void (*const tests[OP_COUNT])(struct sum *) = {
#define NUM1(op, ...) [OP_##op] = test_##op,
#define NUM2 NUM1
#define NUM3 NUM1
#define TRAP1 NUM1
#define TRAP2 NUM1
#define EXTRACT NUM1
#define REPLACE NUM1
#include "wasm/numeric.def"
};
static const u64 expected[OP_COUNT] = {
#define V8(op, sum) [OP_##op] = sum,
#include "../../diff/numeric_v8.def"
#undef V8
};
static const char *const names[OP_COUNT] = {
#define OP(name, ...) [OP_##name] = #name,
#include "wasm/opcode.def"
#undef OP
};

static u64 sum_of(enum sv_op op)
{
    struct sum s = {1, 2};
    tests[op](&s);
    return (u64)s.a << 32 | s.b;
}

static void matches_other_engine(void **state)
{
    unsigned wrong = 0, done = 0;
    (void)state;
    for (enum sv_op op = 0; op < OP_COUNT; op++) {
        if (!tests[op] || strstr(names[op], "RELAXED"))
            continue;
        done++;
        if (sum_of(op) != expected[op]) {
            print_error("%s differs (node test/diff/numeric.mjs %s)\n", names[op], names[op]);
            wrong++;
        }
    }
    assert_true(done > 300);
    assert_int_equal(wrong, 0);
}

/* Relaxed instructions that are documented to be the same as a plain one. */
static void relaxed_are_their_twins(void **state)
{
    static const enum sv_op twins[][2] = {
        {OP_I8X16_RELAXED_SWIZZLE, OP_I8X16_SWIZZLE},
        {OP_I32X4_RELAXED_TRUNC_F32X4_S, OP_I32X4_TRUNC_SAT_F32X4_S},
        {OP_I32X4_RELAXED_TRUNC_F32X4_U, OP_I32X4_TRUNC_SAT_F32X4_U},
        {OP_I32X4_RELAXED_TRUNC_F64X2_S_ZERO, OP_I32X4_TRUNC_SAT_F64X2_S_ZERO},
        {OP_I32X4_RELAXED_TRUNC_F64X2_U_ZERO, OP_I32X4_TRUNC_SAT_F64X2_U_ZERO},
        {OP_I8X16_RELAXED_LANESELECT, OP_V128_BITSELECT},
        {OP_I16X8_RELAXED_LANESELECT, OP_V128_BITSELECT},
        {OP_I32X4_RELAXED_LANESELECT, OP_V128_BITSELECT},
        {OP_I64X2_RELAXED_LANESELECT, OP_V128_BITSELECT},
        {OP_F32X4_RELAXED_MIN, OP_F32X4_MIN},
        {OP_F32X4_RELAXED_MAX, OP_F32X4_MAX},
        {OP_F64X2_RELAXED_MIN, OP_F64X2_MIN},
        {OP_F64X2_RELAXED_MAX, OP_F64X2_MAX},
        {OP_I16X8_RELAXED_Q15MULR_S, OP_I16X8_Q15MULR_SAT_S},
    };
    (void)state;
    for (size_t i = 0; i < SV_COUNT(twins); i++)
        assert_true(sum_of(twins[i][0]) == sum_of(twins[i][1]));
}

#define NUM3(op, R, A, B, C, expr)                                                                 \
    static __attribute__((unused)) R eval_##op(A a, B b, C c)                                      \
    {                                                                                              \
        return expr;                                                                               \
    }
#define NUM2(op, R, A, B, expr)                                                                    \
    static __attribute__((unused)) R eval_##op(A a, B b)                                           \
    {                                                                                              \
        return expr;                                                                               \
    }
#include "wasm/numeric.def"

/* madd rounds twice, nmadd negates the product; in scalars that the compiler may not fuse. */
static void relaxed_madd_rounds_twice(void **state)
{
    v128 a = sv_f32x4_splat(1.0f + 0x1p-12f), b = a, c = sv_f32x4_splat(-1.0f - 0x1p-11f);
    v128 r = eval_F32X4_RELAXED_MADD(a, b, c);
    volatile f32 product = (1.0f + 0x1p-12f) * (1.0f + 0x1p-12f);
    (void)state;
    assert_true(((f32x4)r)[3] == product + (-1.0f - 0x1p-11f));
    r = eval_F32X4_RELAXED_NMADD(a, b, c);
    assert_true(((f32x4)r)[0] == -product + (-1.0f - 0x1p-11f));
    r = eval_F64X2_RELAXED_MADD(sv_f64x2_splat(3), sv_f64x2_splat(5), sv_f64x2_splat(7));
    assert_true(((f64x2)r)[1] == 22);
    r = eval_F64X2_RELAXED_NMADD(sv_f64x2_splat(3), sv_f64x2_splat(5), sv_f64x2_splat(7));
    assert_true(((f64x2)r)[0] == -8);
}

static void relaxed_dot_is_signed_and_wraps(void **state)
{
    v128 low = sv_i8x16_splat(0x80), seven = sv_i8x16_splat(0x7f);
    v128 r = eval_I16X8_RELAXED_DOT_I8X16_I7X16_S(low, seven);
    (void)state;
    assert_int_equal(((s16x8)r)[5], -128 * 127 * 2);
    r = eval_I16X8_RELAXED_DOT_I8X16_I7X16_S(low, low);
    assert_int_equal(((s16x8)r)[0], -32768);
    r = eval_I32X4_RELAXED_DOT_I8X16_I7X16_ADD_S(low, seven, sv_i32x4_splat(1000));
    assert_int_equal(((s32x4)r)[2], -128 * 127 * 4 + 1000);
}

static void shuffle_takes_bytes_of_both(void **state)
{
    u8 lanes[16], a[16], b[16], r[16];
    (void)state;
    for (unsigned round = 0; round < 64; round++) {
        for (unsigned i = 0; i < 16; i++) {
            lanes[i] = (u8)((i * 5 + round * 7 + (i ^ round)) % 32);
            a[i] = (u8)(100 + i);
            b[i] = (u8)(200 + i);
        }
        sv_v128_store(r, sv_i8x16_shuffle(sv_v128_load(a), sv_v128_load(b), lanes));
        for (unsigned i = 0; i < 16; i++)
            assert_int_equal(r[i], lanes[i] < 16 ? a[lanes[i]] : b[lanes[i] - 16]);
    }
}

/* The codes of the traps: what the other engine does not tell apart. */
static void traps_have_codes(void **state)
{
    static const struct {
        f64 a;
        int s32, u32, s64, u64;
    } rows[] = {
        {__builtin_nan(""), 10, 10, 10, 10},
        {__builtin_inf(), 9, 9, 9, 9},
        {-__builtin_inf(), 9, 9, 9, 9},
        {-0.99999, 0, 0, 0, 0},
        {-1, 0, 9, 0, 9},
        {2147483647.9, 0, 0, 0, 0},
        {2147483648.0, 9, 0, 0, 0},
        {-2147483648.9, 0, 9, 0, 9},
        {-2147483649.0, 9, 9, 0, 9},
        {4294967295.9, 9, 0, 0, 0},
        {4294967296.0, 9, 9, 0, 0},
        {0x1p63, 9, 9, 9, 0},
        {-0x1p63, 9, 9, 0, 9},
        {-0x1.0000000000001p63, 9, 9, 9, 9},
        {0x1p64, 9, 9, 9, 9},
    };
    (void)state;
    for (size_t i = 0; i < SV_COUNT(rows); i++) {
        f64 a = rows[i].a;
        assert_int_equal(SV_TRUNC_TRAP(SV_F64_IN_S32(a), a), rows[i].s32);
        assert_int_equal(SV_TRUNC_TRAP(SV_F64_IN_U32(a), a), rows[i].u32);
        assert_int_equal(SV_TRUNC_TRAP(SV_F64_IN_S64(a), a), rows[i].s64);
        assert_int_equal(SV_TRUNC_TRAP(SV_F64_IN_U64(a), a), rows[i].u64);
    }
}

int main(void)
{
    const struct CMUnitTest all[] = {
        cmocka_unit_test(matches_other_engine),
        cmocka_unit_test(relaxed_are_their_twins),
        cmocka_unit_test(relaxed_madd_rounds_twice),
        cmocka_unit_test(relaxed_dot_is_signed_and_wraps),
        cmocka_unit_test(shuffle_takes_bytes_of_both),
        cmocka_unit_test(traps_have_codes),
    };
    return cmocka_run_group_tests(all, NULL, NULL);
}
