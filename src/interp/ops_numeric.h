/* Handlers of the pure instructions: every row of numeric.def in its forms, and the fusions of pure
 * instructions. No memory, no control (but compare and branch, which are comparisons first). */

/* A producer without and with the store to slot d. C: CASE or CASE_A, whether the D form is in
 * every build. */
#define PRODUCER(C, name, type, size, ...)                                                         \
    CASE_A(name)                                                                                   \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
        NEXT(size);                                                                                \
    }                                                                                              \
    C(name##_D)                                                                                    \
    {                                                                                              \
        __VA_ARGS__;                                                                               \
        D_##type;                                                                                  \
        NEXT(size);                                                                                \
    }

#define DO1(op, R_, A_, ga)                                                                        \
    A_ a_ = ga;                                                                                    \
    W_##R_(num_##op(a_))
#define DO1T(op, R_, A_, ga)                                                                       \
    A_ a_ = ga;                                                                                    \
    int t_ = trap_##op(a_);                                                                        \
    if (__builtin_expect(t_ != 0, 0))                                                              \
        TRAP_OUT(t_);                                                                              \
    W_##R_(num_##op(a_))
#define DO2(op, R_, A_, B_, ga, gb)                                                                \
    A_ a_ = ga;                                                                                    \
    B_ b_ = gb;                                                                                    \
    W_##R_(num_##op(a_, b_));                                                                      \
    if (counts_in_t(#op))                                                                          \
    T = COUNT_##B_(b_)
#define COUNT_u32(b) (u64)(b)
#define COUNT_u64(b) (u64)(b)
#define COUNT_s32(b) (u64)(u32)(b)
#define COUNT_s64(b) (u64)(b)
#define COUNT_f32(b) 0
#define COUNT_f64(b) 0
#define COUNT_v128(b) 0
#define DO2T(op, R_, A_, B_, ga, gb)                                                               \
    A_ a_ = ga;                                                                                    \
    B_ b_ = gb;                                                                                    \
    int t_ = trap_##op(a_, b_);                                                                    \
    if (__builtin_expect(t_ != 0, 0))                                                              \
        TRAP_OUT(t_);                                                                              \
    W_##R_(num_##op(a_, b_))

#define NUM1(op, R_, A_, e)                                                                        \
    PRODUCER(CASE, op##_S, R_, 8, DO1(op, R_, A_, S_##A_(6)))                                      \
    PRODUCER(CASE_A, op##_R, R_, 8, DO1(op, R_, A_, ACC_##A_))
#define TRAP1(op, R_, A_, t, e)                                                                    \
    PRODUCER(CASE, op##_S, R_, 8, DO1T(op, R_, A_, S_##A_(6)))                                     \
    PRODUCER(CASE_A, op##_R, R_, 8, DO1T(op, R_, A_, ACC_##A_))

#define FORMS_SCALAR(DO, op, R_, A_, B_)                                                           \
    PRODUCER(CASE, op##_SS, R_, 12, DO(op, R_, A_, B_, S_##A_(6), S_##B_(8)))                      \
    PRODUCER(CASE_A, op##_SR, R_, 8, DO(op, R_, A_, B_, S_##A_(6), ACC_##B_))                      \
    PRODUCER(CASE, op##_SK, R_, 8 + KSIZE_##B_, DO(op, R_, A_, B_, S_##A_(6), K_##B_(8)))          \
    PRODUCER(CASE_A, op##_RS, R_, 8, DO(op, R_, A_, B_, ACC_##A_, S_##B_(6)))                      \
    PRODUCER(CASE_A, op##_RK, R_, 8 + KSIZE_##B_, DO(op, R_, A_, B_, ACC_##A_, K_##B_(8)))         \
    PRODUCER(CASE, op##_KS, R_, 8 + KSIZE_##A_, DO(op, R_, A_, B_, K_##A_(8), S_##B_(6)))          \
    PRODUCER(CASE_A, op##_KR, R_, 8 + KSIZE_##A_, DO(op, R_, A_, B_, K_##A_(8), ACC_##B_))
#define FORMS_VECTOR(DO, op, R_, A_, B_)                                                           \
    PRODUCER(CASE, op##_SS, R_, 12, DO(op, R_, A_, B_, S_##A_(6), S_##B_(8)))                      \
    PRODUCER(CASE_A, op##_SR, R_, 8, DO(op, R_, A_, B_, S_##A_(6), ACC_##B_))                      \
    PRODUCER(CASE_A, op##_RS, R_, 8, DO(op, R_, A_, B_, ACC_##A_, S_##B_(6)))
#define FORMS_SHIFT(DO, op, R_, A_, B_)                                                            \
    FORMS_VECTOR(DO, op, R_, A_, B_)                                                               \
    PRODUCER(CASE, op##_SK, R_, 12, DO(op, R_, A_, B_, S_##A_(6), K_##B_(8)))                      \
    PRODUCER(CASE_A, op##_RR, R_, 8, DO(op, R_, A_, B_, ACC_##A_, ACC_##B_))                       \
    PRODUCER(CASE_A, op##_RK, R_, 12, DO(op, R_, A_, B_, ACC_##A_, K_##B_(8)))
#define FORMS_u32_u32 FORMS_SCALAR
#define FORMS_s32_s32 FORMS_SCALAR
#define FORMS_s32_u32 FORMS_SCALAR
#define FORMS_u64_u64 FORMS_SCALAR
#define FORMS_s64_s64 FORMS_SCALAR
#define FORMS_s64_u64 FORMS_SCALAR
#define FORMS_f32_f32 FORMS_SCALAR
#define FORMS_f64_f64 FORMS_SCALAR
#define FORMS_v128_v128 FORMS_VECTOR
#define FORMS_v128_u32 FORMS_SHIFT
#define NUM2(op, R_, A_, B_, e) FORMS_##A_##_##B_(DO2, op, R_, A_, B_)
#define TRAP2(op, R_, A_, B_, t, e) FORMS_##A_##_##B_(DO2T, op, R_, A_, B_)

#define DO3(op, R_, ga, gb, gc) W_##R_(num_##op(ga, gb, gc))
#define NUM3(op, R_, A_, B_, C_, e)                                                                \
    PRODUCER(CASE, op##_SSS, R_, 12, DO3(op, R_, S_##A_(6), S_##B_(8), S_##C_(10)))                \
    PRODUCER(CASE_A, op##_RSS, R_, 12, DO3(op, R_, ACC_##A_, S_##B_(8), S_##C_(10)))               \
    PRODUCER(CASE_A, op##_SRS, R_, 12, DO3(op, R_, S_##A_(6), ACC_##B_, S_##C_(10)))               \
    PRODUCER(CASE_A, op##_SSR, R_, 12, DO3(op, R_, S_##A_(6), S_##B_(8), ACC_##C_))

/* The lane is a constant of the instruction: the vector goes through memory, which any lane number
 * can address. */
#define EXTRACT(op, R_, e)                                                                         \
    PRODUCER(CASE, op##_S, R_, 12, W_##R_(num_##op(S_v128(6), A16(8) & 15)))                       \
    PRODUCER(CASE_A, op##_R, R_, 12, W_##R_(num_##op(V, A16(8) & 15)))
#define REPLACE(op, B_, e)                                                                         \
    PRODUCER(CASE, op##_SS, v128, 12, V = num_##op(S_v128(6), A16(10) & 15, S_##B_(8)))            \
    PRODUCER(CASE_A, op##_SR, v128, 12, V = num_##op(S_v128(6), A16(10) & 15, ACC_##B_))           \
    PRODUCER(CASE_A, op##_RS, v128, 12, V = num_##op(V, A16(10) & 15, S_##B_(8)))                  \
    PRODUCER(CASE_A, op##_RR, v128, 12, V = num_##op(V, A16(10) & 15, ACC_##B_))
#include "wasm/numeric.def"

/* The vector in its accumulator, the lane in the instruction's number: no way through memory. */
PRODUCER(CASE_A, F64X2_LANE0, f64, 8, F = ((f64x2)V)[0])
PRODUCER(CASE_A, F64X2_LANE1, f64, 8, F = ((f64x2)V)[1])
#define LOAD_CONST128(n) sv_v128_load(IPB + (n))
PRODUCER(CASE, V128_CONST, v128, 24, V = LOAD_CONST128(8))
PRODUCER(CASE, I8X16_SHUFFLE_SS, v128, 28, V = sv_i8x16_shuffle(S_v128(6), S_v128(8), IPB + 12))
PRODUCER(CASE_A, I8X16_SHUFFLE_SR, v128, 28, V = sv_i8x16_shuffle(S_v128(6), V, IPB + 12))
PRODUCER(CASE_A, I8X16_SHUFFLE_RS, v128, 28, V = sv_i8x16_shuffle(V, S_v128(8), IPB + 12))

/* ---- Compare and branch ---- */
#define BRANCH(name, C, size, cond)                                                                \
    C(name)                                                                                        \
    {                                                                                              \
        if (cond) {                                                                                \
            SKIP(A32S(4));                                                                         \
            GOTO_IP;                                                                               \
        }                                                                                          \
        NEXT(size);                                                                                \
    }
#define BRANCH_FORMS(name, op, t, NOT)                                                             \
    BRANCH(name##_SS, CASE, 12, NOT num_##op(S_##t(8), S_##t(10)))                                 \
    BRANCH(name##_SR, CASE_A, 12, NOT num_##op(S_##t(8), ACC_##t))                                 \
    BRANCH(name##_SK, CASE, 12 + KSIZE_##t, NOT num_##op(S_##t(8), K_##t(12)))                     \
    BRANCH(name##_RS, CASE_A, 12, NOT num_##op(ACC_##t, S_##t(8)))                                 \
    BRANCH(name##_RK, CASE_A, 8 + KSIZE_##t, NOT num_##op(ACC_##t, K_##t(8)))
#define X2(op, t) BRANCH_FORMS(BR_##op, op, t, 0 !=)
CMPS_INT(X2)
CMPS_FLT(X2)
TESTS(X2)
#undef X2
#define X2(op, t) BRANCH_FORMS(BRN_##op, op, t, 0 ==)
CMPS_FLT(X2)
TESTS(X2)
#undef X2
BRANCH(BRNZ32_S, CASE, 12, S_u32(8) != 0)
BRANCH(BRNZ32_R, CASE_A, 8, ACC_u32 != 0)
BRANCH(BRZ32_S, CASE, 12, S_u32(8) == 0)
BRANCH(BRZ32_R, CASE_A, 8, ACC_u32 == 0)
BRANCH(BRNZ64_S, CASE, 12, S_u64(8) != 0)
BRANCH(BRNZ64_R, CASE_A, 8, ACC_u64 != 0)
BRANCH(BRZ64_S, CASE, 12, S_u64(8) == 0)
BRANCH(BRZ64_R, CASE_A, 8, ACC_u64 == 0)

#define INC_X()                                                                                    \
    R = (u32)(fp[A16(8)].i32 + (u32)(s32)(s16)A16(10));                                            \
    fp[A16(8)].i64 = R
#define X1(op)                                                                                     \
    CASE_A(INCBR_##op##_S)                                                                         \
    {                                                                                              \
        INC_X();                                                                                   \
        if (num_##op((u32)R, fp[A16(12)].i32)) {                                                   \
            SKIP(A32S(4));                                                                         \
            GOTO_IP;                                                                               \
        }                                                                                          \
        NEXT(16);                                                                                  \
    }                                                                                              \
    CASE_A(INCBR_##op##_K)                                                                         \
    {                                                                                              \
        INC_X();                                                                                   \
        if (num_##op((u32)R, A32(12))) {                                                           \
            SKIP(A32S(4));                                                                         \
            GOTO_IP;                                                                               \
        }                                                                                          \
        NEXT(16);                                                                                  \
    }
INCCMPS(X1)
#undef X1
CASE_A(INC2)
{
    fp[A16(4)].i64 = fp[A16(4)].i32 + (u32)(s32)(s16)A16(8);
    R = (u32)(fp[A16(6)].i32 + (u32)(s32)(s16)A16(10));
    fp[A16(6)].i64 = R;
    NEXT(12);
}

CASE_A(INC_JMP)
{
    INC_X();
    SKIP(A32S(4));
    GOTO_IP;
}

/* ---- Moves ---- */
CASE(MOV)
{
    fp[A16(4)].i64 = fp[A16(6)].i64;
    NEXT(8);
}
CASE(MOV2)
{
    fp[A16(4)].i64 = fp[A16(6)].i64;
    fp[A16(8)].i64 = fp[A16(10)].i64;
    NEXT(12);
}
CASE(MOV_SET)
{
    fp[A16(4)].i64 = fp[A16(6)].i64;
    fp[A16(8)].i64 = K_u64(12);
    NEXT(16);
}
CASE(MOV32)
{
    fp[A16(4)].i32 = fp[A16(6)].i32;
    NEXT(8);
}
CASE(MOV128)
{
    sv_v128_store(&fp[A16(4)], S_v128(6));
    NEXT(8);
}
CASE(SET32)
{
    fp[A16(4)].i64 = K_u64(8);
    NEXT(12);
}
CASE(SET64)
{
    fp[A16(4)].i64 = A64(8);
    NEXT(16);
}
CASE(SET128)
{
    sv_v128_store(&fp[A16(4)], LOAD_CONST128(8));
    NEXT(24);
}
CASE_A(ST_R)
{
    fp[A16(4)].i64 = R;
    NEXT(8);
}
CASE_A(ST_F)
{
    fp[A16(4)].f64 = F;
    NEXT(8);
}
CASE_A(ST_G)
{
    fp[A16(4)].f32 = G;
    NEXT(8);
}
CASE_A(ST_V)
{
    sv_v128_store(&fp[A16(4)], V);
    NEXT(8);
}
PRODUCER(CASE, LD_R, u64, 8, R = S_u64(6))
PRODUCER(CASE, LD_F, f64, 8, F = S_f64(6))
PRODUCER(CASE, LD_G, f32, 8, G = S_f32(6))
PRODUCER(CASE, LD_V, v128, 8, V = S_v128(6))
PRODUCER(CASE, CONST32, u64, 12, R = K_u64(8))
PRODUCER(CASE, CONST64, u64, 16, R = A64(8))
PRODUCER(CASE, CONSTF, f64, 16, F = K_f64(8))
PRODUCER(CASE, CONSTG, f32, 12, G = K_f32(8))

/* ---- Fused arithmetic ---- */
#define X1(k)                                                                                      \
    PRODUCER(CASE, LEA##k##_SS, u32, 12, R = (u32)(S_u32(6) + (S_u32(8) << k)))                    \
    PRODUCER(CASE_A, LEA##k##_RS, u32, 8, R = (u32)((u32)R + (S_u32(6) << k)))                     \
    PRODUCER(CASE_A, LEA##k##_SR, u32, 8, R = (u32)(S_u32(6) + ((u32)R << k)))
X1(1)
X1(2)
X1(3)
X1(4)
#undef X1
PRODUCER(CASE, I32_MULADD_SS, u32, 16, R = (u32)(S_u32(6) * A32(12) + S_u32(8)))
PRODUCER(CASE_A, I32_MULADD_RS, u32, 16, R = (u32)((u32)R * A32(12) + S_u32(8)))
PRODUCER(CASE_A, I32_BITS_ADD_S, u32, 16,
         R = (u32)(((S_u32(6) >> (A16(8) & 31)) & A32(12)) + S_u32(10)))
PRODUCER(CASE_A, I32_BITS_ADD_R, u32, 16,
         R = (u32)((((u32)R >> (A16(8) & 31)) & A32(12)) + S_u32(10)))
PRODUCER(CASE, I32_BITS_S, u32, 16, R = (S_u32(6) >> (A16(8) & 31)) & A32(12))
PRODUCER(CASE_A, I32_BITS_R, u32, 16, R = ((u32)R >> (A16(8) & 31)) & A32(12))
#define DO_MULADD(t, ga, gb, gc, e)                                                                \
    t m = ga * gb;                                                                                 \
    t c = gc;                                                                                      \
    W_##t(e)
#define X3(n, t, e)                                                                                \
    PRODUCER(CASE_A, n##_SS, t, 12, DO_MULADD(t, S_##t(6), S_##t(8), S_##t(10), e))                \
    PRODUCER(CASE_A, n##_SR, t, 12, DO_MULADD(t, S_##t(6), ACC_##t, S_##t(8), e))                  \
    PRODUCER(CASE_A, n##_RS, t, 12, DO_MULADD(t, ACC_##t, S_##t(6), S_##t(8), e))
MULADDS(X3)
#undef X3
#define DO_MULADD_V(ga, gb, gc, e)                                                                 \
    f64x2 m = (f64x2)(ga) * (f64x2)(gb);                                                           \
    f64x2 c = (f64x2)(gc);                                                                         \
    V = (v128)(e)
#define X2(n, e)                                                                                   \
    PRODUCER(CASE_A, n##_SS, v128, 12, DO_MULADD_V(S_v128(6), S_v128(8), S_v128(10), e))           \
    PRODUCER(CASE_A, n##_SR, v128, 12, DO_MULADD_V(S_v128(6), V, S_v128(8), e))                    \
    PRODUCER(CASE_A, n##_RS, v128, 12, DO_MULADD_V(V, S_v128(6), S_v128(8), e))
MULADDS_V(X2)
#undef X2

/* ---- select ---- */
#define SEL(c, x, y) R = (c) ? (x) : (y)
#define SELECT_FORMS(form, C, cond)                                                                \
    PRODUCER(C, SELECT_SS_##form, u64, 12, SEL(cond, S_u64(8), S_u64(10)))                         \
    PRODUCER(C, SELECT_SK_##form, u64, 16, SEL(cond, S_u64(8), K_u64(12)))                         \
    PRODUCER(C, SELECT_KS_##form, u64, 16, SEL(cond, K_u64(12), S_u64(10)))                        \
    PRODUCER(C, SELECT_KK_##form, u64, 20, SEL(cond, K_u64(12), K_u64(16)))
SELECT_FORMS(S, CASE, S_u32(6) != 0)
SELECT_FORMS(R, CASE_A, (u32)R != 0)
#define SELECT_X(L, t)                                                                             \
    PRODUCER(CASE, SELECT##L##_SS_S, t, 12, W_##t(S_u32(6) != 0 ? S_##t(8) : S_##t(10)))           \
    PRODUCER(CASE_A, SELECT##L##_RS_S, t, 12, W_##t(S_u32(6) != 0 ? ACC_##t : S_##t(10)))          \
    PRODUCER(CASE_A, SELECT##L##_SR_S, t, 12, W_##t(S_u32(6) != 0 ? S_##t(8) : ACC_##t))           \
    PRODUCER(CASE_A, SELECT##L##_SS_R, t, 12, W_##t((u32)R != 0 ? S_##t(8) : S_##t(10)))           \
    PRODUCER(CASE_A, SELECT##L##_RS_R, t, 12, W_##t((u32)R != 0 ? ACC_##t : S_##t(10)))            \
    PRODUCER(CASE_A, SELECT##L##_SR_R, t, 12, W_##t((u32)R != 0 ? S_##t(8) : ACC_##t))
SELECT_X(F, f64)
SELECT_X(G, f32)
SELECT_X(V, v128)
#define X2(op, t)                                                                                  \
    PRODUCER(CASE, CSEL_##op##_SS, u64, 16,                                                        \
             SEL(num_##op(S_##t(6), S_##t(12)), S_u64(8), S_u64(10)))                              \
    PRODUCER(CASE, CSEL_##op##_SK, u64, 16,                                                        \
             SEL(num_##op(S_##t(6), K_##t(12)), S_u64(8), S_u64(10)))                              \
    PRODUCER(CASE_A, CSEL_##op##_RS, u64, 16,                                                      \
             SEL(num_##op(ACC_##t, S_##t(12)), S_u64(8), S_u64(10)))                               \
    PRODUCER(CASE_A, CSEL_##op##_RK, u64, 16,                                                      \
             SEL(num_##op(ACC_##t, K_##t(12)), S_u64(8), S_u64(10)))
CMPS_INT(X2)
#undef X2

/* ---- Deterministic mode: d in place ---- */
CASE(CANON_F32)
{
    G = sv_f32_canon(S_f32(4));
    D_f32;
    NEXT(8);
}
CASE(CANON_F64)
{
    F = sv_f64_canon(S_f64(4));
    D_f64;
    NEXT(8);
}
CASE(CANON_F32X4)
{
    V = sv_f32x4_canon(S_v128(4));
    D_v128;
    NEXT(8);
}
CASE(CANON_F64X2)
{
    V = sv_f64x2_canon(S_v128(4));
    D_v128;
    NEXT(8);
}
