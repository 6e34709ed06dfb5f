/* Vector helpers of numeric.h in plain C, lane by lane: for machines without SSE4.1, and the
 * yardstick of the others in tests. Included by numeric.h only. */
#ifndef SV_WASM_NUMERIC_PORTABLE_H
#define SV_WASM_NUMERIC_PORTABLE_H

#include "wasm/numeric.h"

SV_INLINE f32 sv_f32_floor(f32 a)
{
    return __builtin_floorf(a);
}
SV_INLINE f32 sv_f32_ceil(f32 a)
{
    return __builtin_ceilf(a);
}
SV_INLINE f32 sv_f32_trunc(f32 a)
{
    return __builtin_truncf(a);
}
SV_INLINE f32 sv_f32_nearest(f32 a)
{
    return __builtin_rintf(a);
}
SV_INLINE f64 sv_f64_floor(f64 a)
{
    return __builtin_floor(a);
}
SV_INLINE f64 sv_f64_ceil(f64 a)
{
    return __builtin_ceil(a);
}
SV_INLINE f64 sv_f64_trunc(f64 a)
{
    return __builtin_trunc(a);
}
SV_INLINE f64 sv_f64_nearest(f64 a)
{
    return __builtin_rint(a);
}

/* A function over the lanes of one or two vectors: shape of the result R, of the operands A, `n`
 * lanes, `expr` over x (and y). */
#define SV_LANES1(name, R, A, n, expr)                                                             \
    SV_INLINE v128 name(v128 a)                                                                    \
    {                                                                                              \
        R r = {0};                                                                                 \
        for (unsigned i = 0; i < (n); i++) {                                                       \
            __typeof__(((A)a)[0]) x = ((A)a)[i];                                                   \
            r[i] = (__typeof__(r[0]))(expr);                                                       \
        }                                                                                          \
        return (v128)r;                                                                            \
    }
#define SV_LANES2(name, R, A, n, expr)                                                             \
    SV_INLINE v128 name(v128 a, v128 b)                                                            \
    {                                                                                              \
        R r = {0};                                                                                 \
        for (unsigned i = 0; i < (n); i++) {                                                       \
            __typeof__(((A)a)[0]) x = ((A)a)[i], y = ((A)b)[i];                                    \
            r[i] = (__typeof__(r[0]))(expr);                                                       \
        }                                                                                          \
        return (v128)r;                                                                            \
    }
#define SV_SHIFT(name, A, n, expr)                                                                 \
    SV_INLINE v128 name(v128 a, u32 b)                                                             \
    {                                                                                              \
        A r = (A)a;                                                                                \
        for (unsigned i = 0; i < (n); i++)                                                         \
            r[i] = (__typeof__(r[0]))(expr);                                                       \
        return (v128)r;                                                                            \
    }
#define SV_CLAMP(x, min, max) ((x) < (min) ? (min) : (x) > (max) ? (max) : (x))
#define SV_MIN(x, y) ((x) < (y) ? (x) : (y))
#define SV_MAX(x, y) ((x) > (y) ? (x) : (y))

SV_INLINE bool sv_v128_any(v128 a)
{
    return (a[0] | a[1]) != 0;
}
SV_INLINE v128 sv_i8x16_swizzle(v128 a, v128 b)
{
    u8x16 r, from = (u8x16)a, at = (u8x16)b;
    for (unsigned i = 0; i < 16; i++)
        r[i] = at[i] < 16 ? from[at[i] & 15] : 0;
    return (v128)r;
}
#define SV_BITMASK(name, A, n)                                                                     \
    SV_INLINE u32 name(v128 a)                                                                     \
    {                                                                                              \
        u32 r = 0;                                                                                 \
        for (unsigned i = 0; i < (n); i++)                                                         \
            r |= (u32)(((A)a)[i] < 0) << i;                                                        \
        return r;                                                                                  \
    }
SV_BITMASK(sv_i8x16_bitmask, s8x16, 16)
SV_BITMASK(sv_i16x8_bitmask, s16x8, 8)
SV_BITMASK(sv_i32x4_bitmask, s32x4, 4)
SV_BITMASK(sv_i64x2_bitmask, s64x2, 2)
#undef SV_BITMASK

SV_SHIFT(sv_i8x16_shl, u8x16, 16, (u32)r[i] << (b & 7))
SV_SHIFT(sv_i8x16_shr_s, s8x16, 16, r[i] >> (b & 7))
SV_SHIFT(sv_i8x16_shr_u, u8x16, 16, r[i] >> (b & 7))
SV_SHIFT(sv_i16x8_shl, u16x8, 8, (u32)r[i] << (b & 15))
SV_SHIFT(sv_i16x8_shr_s, s16x8, 8, r[i] >> (b & 15))
SV_SHIFT(sv_i16x8_shr_u, u16x8, 8, r[i] >> (b & 15))
SV_SHIFT(sv_i32x4_shl, u32x4, 4, r[i] << (b & 31))
SV_SHIFT(sv_i32x4_shr_s, s32x4, 4, r[i] >> (b & 31))
SV_SHIFT(sv_i32x4_shr_u, u32x4, 4, r[i] >> (b & 31))
SV_SHIFT(sv_i64x2_shl, u64x2, 2, r[i] << (b & 63))
SV_SHIFT(sv_i64x2_shr_s, s64x2, 2, r[i] >> (b & 63))
SV_SHIFT(sv_i64x2_shr_u, u64x2, 2, r[i] >> (b & 63))

SV_LANES1(sv_i8x16_abs, u8x16, s8x16, 16, x < 0 ? -x : x)
SV_LANES1(sv_i16x8_abs, u16x8, s16x8, 8, x < 0 ? -x : x)
SV_LANES1(sv_i32x4_abs, u32x4, s32x4, 4, x < 0 ? -(u32)x : (u32)x)
SV_LANES1(sv_i8x16_popcnt, u8x16, u8x16, 16, __builtin_popcount(x))
SV_LANES2(sv_i8x16_add_sat_s, s8x16, s8x16, 16, SV_CLAMP(x + y, -128, 127))
SV_LANES2(sv_i8x16_add_sat_u, u8x16, u8x16, 16, SV_CLAMP(x + y, 0, 255))
SV_LANES2(sv_i8x16_sub_sat_s, s8x16, s8x16, 16, SV_CLAMP(x - y, -128, 127))
SV_LANES2(sv_i8x16_sub_sat_u, u8x16, u8x16, 16, SV_CLAMP(x - y, 0, 255))
SV_LANES2(sv_i16x8_add_sat_s, s16x8, s16x8, 8, SV_CLAMP(x + y, -32768, 32767))
SV_LANES2(sv_i16x8_add_sat_u, u16x8, u16x8, 8, SV_CLAMP(x + y, 0, 65535))
SV_LANES2(sv_i16x8_sub_sat_s, s16x8, s16x8, 8, SV_CLAMP(x - y, -32768, 32767))
SV_LANES2(sv_i16x8_sub_sat_u, u16x8, u16x8, 8, SV_CLAMP(x - y, 0, 65535))
SV_LANES2(sv_i8x16_min_s, s8x16, s8x16, 16, SV_MIN(x, y))
SV_LANES2(sv_i8x16_min_u, u8x16, u8x16, 16, SV_MIN(x, y))
SV_LANES2(sv_i8x16_max_s, s8x16, s8x16, 16, SV_MAX(x, y))
SV_LANES2(sv_i8x16_max_u, u8x16, u8x16, 16, SV_MAX(x, y))
SV_LANES2(sv_i16x8_min_s, s16x8, s16x8, 8, SV_MIN(x, y))
SV_LANES2(sv_i16x8_min_u, u16x8, u16x8, 8, SV_MIN(x, y))
SV_LANES2(sv_i16x8_max_s, s16x8, s16x8, 8, SV_MAX(x, y))
SV_LANES2(sv_i16x8_max_u, u16x8, u16x8, 8, SV_MAX(x, y))
SV_LANES2(sv_i32x4_min_s, s32x4, s32x4, 4, SV_MIN(x, y))
SV_LANES2(sv_i32x4_min_u, u32x4, u32x4, 4, SV_MIN(x, y))
SV_LANES2(sv_i32x4_max_s, s32x4, s32x4, 4, SV_MAX(x, y))
SV_LANES2(sv_i32x4_max_u, u32x4, u32x4, 4, SV_MAX(x, y))
SV_LANES2(sv_i8x16_avgr_u, u8x16, u8x16, 16, (x + y + 1) >> 1)
SV_LANES2(sv_i16x8_avgr_u, u16x8, u16x8, 8, (x + y + 1) >> 1)
SV_LANES2(sv_i16x8_q15mulr_sat_s, s16x8, s16x8, 8, SV_CLAMP((x * y + 0x4000) >> 15, -32768, 32767))

#define SV_NARROW(name, R, A, n, min, max)                                                         \
    SV_INLINE v128 name(v128 a, v128 b)                                                            \
    {                                                                                              \
        R r = {0};                                                                                 \
        for (unsigned i = 0; i < (n); i++) {                                                       \
            r[i] = (__typeof__(r[0]))SV_CLAMP(((A)a)[i], min, max);                                \
            r[i + (n)] = (__typeof__(r[0]))SV_CLAMP(((A)b)[i], min, max);                          \
        }                                                                                          \
        return (v128)r;                                                                            \
    }
SV_NARROW(sv_i8x16_narrow_s, s8x16, s16x8, 8, -128, 127)
SV_NARROW(sv_i8x16_narrow_u, u8x16, s16x8, 8, 0, 255)
SV_NARROW(sv_i16x8_narrow_s, s16x8, s32x4, 4, -32768, 32767)
SV_NARROW(sv_i16x8_narrow_u, u16x8, s32x4, 4, 0, 65535)
#undef SV_NARROW

#define SV_EXTEND(name, R, A, n, first)                                                            \
    SV_INLINE v128 name(v128 a)                                                                    \
    {                                                                                              \
        R r;                                                                                       \
        for (unsigned i = 0; i < (n); i++)                                                         \
            r[i] = ((A)a)[i + (first)];                                                            \
        return (v128)r;                                                                            \
    }
SV_EXTEND(sv_i16x8_extend_low_s, s16x8, s8x16, 8, 0)
SV_EXTEND(sv_i16x8_extend_high_s, s16x8, s8x16, 8, 8)
SV_EXTEND(sv_i16x8_extend_low_u, u16x8, u8x16, 8, 0)
SV_EXTEND(sv_i16x8_extend_high_u, u16x8, u8x16, 8, 8)
SV_EXTEND(sv_i32x4_extend_low_s, s32x4, s16x8, 4, 0)
SV_EXTEND(sv_i32x4_extend_high_s, s32x4, s16x8, 4, 4)
SV_EXTEND(sv_i32x4_extend_low_u, u32x4, u16x8, 4, 0)
SV_EXTEND(sv_i32x4_extend_high_u, u32x4, u16x8, 4, 4)
SV_EXTEND(sv_i64x2_extend_low_s, s64x2, s32x4, 2, 0)
SV_EXTEND(sv_i64x2_extend_high_s, s64x2, s32x4, 2, 2)
SV_EXTEND(sv_i64x2_extend_low_u, u64x2, u32x4, 2, 0)
SV_EXTEND(sv_i64x2_extend_high_u, u64x2, u32x4, 2, 2)
/* Floats from the low lanes. */
SV_EXTEND(sv_f64x2_promote_low, f64x2, f32x4, 2, 0)
SV_EXTEND(sv_f64x2_convert_low_s, f64x2, s32x4, 2, 0)
SV_EXTEND(sv_f64x2_convert_low_u, f64x2, u32x4, 2, 0)
#undef SV_EXTEND

/* Product of the low 32 bits of every 64, signed or not. */
SV_INLINE v128 sv_i64x2_mul_low_s(v128 a, v128 b)
{
    s32x4 x = (s32x4)a, y = (s32x4)b;
    return (v128)(s64x2){(s64)x[0] * y[0], (s64)x[2] * y[2]};
}
SV_INLINE v128 sv_i64x2_mul_low_u(v128 a, v128 b)
{
    return (a & 0xffffffffu) * (b & 0xffffffffu);
}
SV_INLINE v128 sv_i32x4_dot(v128 a, v128 b)
{
    u32x4 r;
    for (unsigned i = 0; i < 4; i++) {
        s16x8 x = (s16x8)a, y = (s16x8)b;
        r[i] = (u32)(x[2 * i] * y[2 * i]) + (u32)(x[2 * i + 1] * y[2 * i + 1]);
    }
    return (v128)r;
}

SV_LANES1(sv_f32x4_sqrt, f32x4, f32x4, 4, __builtin_sqrtf(x))
SV_LANES1(sv_f64x2_sqrt, f64x2, f64x2, 2, __builtin_sqrt(x))
SV_LANES1(sv_f32x4_floor, f32x4, f32x4, 4, sv_f32_floor(x))
SV_LANES1(sv_f32x4_ceil, f32x4, f32x4, 4, sv_f32_ceil(x))
SV_LANES1(sv_f32x4_trunc, f32x4, f32x4, 4, sv_f32_trunc(x))
SV_LANES1(sv_f32x4_nearest, f32x4, f32x4, 4, sv_f32_nearest(x))
SV_LANES1(sv_f64x2_floor, f64x2, f64x2, 2, sv_f64_floor(x))
SV_LANES1(sv_f64x2_ceil, f64x2, f64x2, 2, sv_f64_ceil(x))
SV_LANES1(sv_f64x2_trunc, f64x2, f64x2, 2, sv_f64_trunc(x))
SV_LANES1(sv_f64x2_nearest, f64x2, f64x2, 2, sv_f64_nearest(x))
SV_LANES2(sv_f32x4_min, f32x4, f32x4, 4, sv_f32_min(x, y))
SV_LANES2(sv_f32x4_max, f32x4, f32x4, 4, sv_f32_max(x, y))
SV_LANES2(sv_f64x2_min, f64x2, f64x2, 2, sv_f64_min(x, y))
SV_LANES2(sv_f64x2_max, f64x2, f64x2, 2, sv_f64_max(x, y))
SV_LANES2(sv_f32x4_pmin, f32x4, f32x4, 4, y < x ? y : x)
SV_LANES2(sv_f32x4_pmax, f32x4, f32x4, 4, x < y ? y : x)
SV_LANES2(sv_f64x2_pmin, f64x2, f64x2, 2, y < x ? y : x)
SV_LANES2(sv_f64x2_pmax, f64x2, f64x2, 2, x < y ? y : x)
SV_LANES1(sv_f32x4_convert_s, f32x4, s32x4, 4, x)
SV_LANES1(sv_f32x4_convert_u, f32x4, u32x4, 4, x)
SV_LANES1(sv_f32x4_demote_zero, f32x4, f64x2, 2, x)
SV_LANES1(sv_i32x4_trunc_sat_f32x4_s, s32x4, f32x4, 4,
          SV_TRUNC_SAT(s32, SV_F32_IN_S32(x), x, INT32_MIN, INT32_MAX))
SV_LANES1(sv_i32x4_trunc_sat_f32x4_u, u32x4, f32x4, 4,
          SV_TRUNC_SAT(u32, SV_F32_IN_U32(x), x, 0, UINT32_MAX))
SV_LANES1(sv_i32x4_trunc_sat_f64x2_s, s32x4, f64x2, 2,
          SV_TRUNC_SAT(s32, SV_F64_IN_S32(x), x, INT32_MIN, INT32_MAX))
SV_LANES1(sv_i32x4_trunc_sat_f64x2_u, u32x4, f64x2, 2,
          SV_TRUNC_SAT(u32, SV_F64_IN_U32(x), x, 0, UINT32_MAX))

#undef SV_LANES1
#undef SV_LANES2
#undef SV_SHIFT
#undef SV_CLAMP
#undef SV_MIN
#undef SV_MAX

#endif
