/* Vector helpers of numeric.h with SSE4.1: the same names and results as numeric_portable.h.
 * Included by numeric.h only. */
#ifndef SV_WASM_NUMERIC_X86_H
#define SV_WASM_NUMERIC_X86_H

#include <smmintrin.h>

#include "wasm/numeric.h"

#define SV_I(a) ((__m128i)(a))
#define SV_S(a) ((__m128)(a))
#define SV_D(a) ((__m128d)(a))

#define SV_ROUND(suffix, mode)                                                                     \
    SV_INLINE f32 sv_f32_##suffix(f32 a)                                                           \
    {                                                                                              \
        __m128 v = _mm_set_ss(a);                                                                  \
        return _mm_cvtss_f32(_mm_round_ss(v, v, (mode) | _MM_FROUND_NO_EXC));                      \
    }                                                                                              \
    SV_INLINE f64 sv_f64_##suffix(f64 a)                                                           \
    {                                                                                              \
        __m128d v = _mm_set_sd(a);                                                                 \
        return _mm_cvtsd_f64(_mm_round_sd(v, v, (mode) | _MM_FROUND_NO_EXC));                      \
    }                                                                                              \
    SV_INLINE v128 sv_f32x4_##suffix(v128 a)                                                       \
    {                                                                                              \
        return (v128)_mm_round_ps(SV_S(a), (mode) | _MM_FROUND_NO_EXC);                            \
    }                                                                                              \
    SV_INLINE v128 sv_f64x2_##suffix(v128 a)                                                       \
    {                                                                                              \
        return (v128)_mm_round_pd(SV_D(a), (mode) | _MM_FROUND_NO_EXC);                            \
    }
SV_ROUND(floor, _MM_FROUND_TO_NEG_INF)
SV_ROUND(ceil, _MM_FROUND_TO_POS_INF)
SV_ROUND(trunc, _MM_FROUND_TO_ZERO)
SV_ROUND(nearest, _MM_FROUND_TO_NEAREST_INT)
#undef SV_ROUND

/* One machine instruction. */
#define SV_DIRECT1(name, expr)                                                                     \
    SV_INLINE v128 name(v128 a)                                                                    \
    {                                                                                              \
        return (v128)(expr);                                                                       \
    }
#define SV_DIRECT2(name, expr)                                                                     \
    SV_INLINE v128 name(v128 a, v128 b)                                                            \
    {                                                                                              \
        return (v128)(expr);                                                                       \
    }
#define SV_SHIFT(name, expr)                                                                       \
    SV_INLINE v128 name(v128 a, u32 b)                                                             \
    {                                                                                              \
        return (v128)(expr);                                                                       \
    }
#define SV_COUNT_OF(mask) _mm_cvtsi32_si128((int)(b & (mask)))

SV_INLINE bool sv_v128_any(v128 a)
{
    return !_mm_testz_si128(SV_I(a), SV_I(a));
}
/* Adding 0x70 with saturation sets bit 7 of every index above 15, which pshufb turns to 0. */
SV_DIRECT2(sv_i8x16_swizzle, _mm_shuffle_epi8(SV_I(a), _mm_adds_epu8(SV_I(b), _mm_set1_epi8(0x70))))

SV_INLINE u32 sv_i8x16_bitmask(v128 a)
{
    return (u32)_mm_movemask_epi8(SV_I(a));
}
SV_INLINE u32 sv_i16x8_bitmask(v128 a)
{
    return (u32)_mm_movemask_epi8(_mm_packs_epi16(SV_I(a), _mm_setzero_si128()));
}
SV_INLINE u32 sv_i32x4_bitmask(v128 a)
{
    return (u32)_mm_movemask_ps(SV_S(a));
}
SV_INLINE u32 sv_i64x2_bitmask(v128 a)
{
    return (u32)_mm_movemask_pd(SV_D(a));
}

/* There are no shifts of bytes: shift words, then clear what came from the neighbour. */
SV_INLINE v128 sv_i8x16_shl(v128 a, u32 b)
{
    u8 keep = (u8)(0xffu << (b & 7));
    return (v128)_mm_and_si128(_mm_sll_epi16(SV_I(a), SV_COUNT_OF(7)), _mm_set1_epi8((char)keep));
}
SV_INLINE v128 sv_i8x16_shr_u(v128 a, u32 b)
{
    u8 keep = (u8)(0xffu >> (b & 7));
    return (v128)_mm_and_si128(_mm_srl_epi16(SV_I(a), SV_COUNT_OF(7)), _mm_set1_epi8((char)keep));
}
SV_INLINE v128 sv_i8x16_shr_s(v128 a, u32 b)
{
    __m128i n = _mm_cvtsi32_si128((int)((b & 7) + 8));
    __m128i low = _mm_sra_epi16(_mm_unpacklo_epi8(SV_I(a), SV_I(a)), n);
    return (v128)_mm_packs_epi16(low, _mm_sra_epi16(_mm_unpackhi_epi8(SV_I(a), SV_I(a)), n));
}
SV_SHIFT(sv_i16x8_shl, _mm_sll_epi16(SV_I(a), SV_COUNT_OF(15)))
SV_SHIFT(sv_i16x8_shr_s, _mm_sra_epi16(SV_I(a), SV_COUNT_OF(15)))
SV_SHIFT(sv_i16x8_shr_u, _mm_srl_epi16(SV_I(a), SV_COUNT_OF(15)))
SV_SHIFT(sv_i32x4_shl, _mm_sll_epi32(SV_I(a), SV_COUNT_OF(31)))
SV_SHIFT(sv_i32x4_shr_s, _mm_sra_epi32(SV_I(a), SV_COUNT_OF(31)))
SV_SHIFT(sv_i32x4_shr_u, _mm_srl_epi32(SV_I(a), SV_COUNT_OF(31)))
SV_SHIFT(sv_i64x2_shl, _mm_sll_epi64(SV_I(a), SV_COUNT_OF(63)))
SV_SHIFT(sv_i64x2_shr_u, _mm_srl_epi64(SV_I(a), SV_COUNT_OF(63)))
SV_INLINE v128 sv_i64x2_shr_s(v128 a, u32 b)
{
    s64x2 x = (s64x2)a;
    return (v128)(s64x2){x[0] >> (b & 63), x[1] >> (b & 63)};
}

SV_DIRECT1(sv_i8x16_abs, _mm_abs_epi8(SV_I(a)))
SV_DIRECT1(sv_i16x8_abs, _mm_abs_epi16(SV_I(a)))
SV_DIRECT1(sv_i32x4_abs, _mm_abs_epi32(SV_I(a)))
SV_INLINE v128 sv_i8x16_popcnt(v128 a)
{
    const __m128i table = _mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m128i nibble = _mm_set1_epi8(15);
    __m128i low = _mm_shuffle_epi8(table, _mm_and_si128(SV_I(a), nibble));
    __m128i high = _mm_shuffle_epi8(table, _mm_and_si128(_mm_srli_epi16(SV_I(a), 4), nibble));
    return (v128)_mm_add_epi8(low, high);
}
SV_DIRECT2(sv_i8x16_add_sat_s, _mm_adds_epi8(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i8x16_add_sat_u, _mm_adds_epu8(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i8x16_sub_sat_s, _mm_subs_epi8(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i8x16_sub_sat_u, _mm_subs_epu8(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i16x8_add_sat_s, _mm_adds_epi16(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i16x8_add_sat_u, _mm_adds_epu16(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i16x8_sub_sat_s, _mm_subs_epi16(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i16x8_sub_sat_u, _mm_subs_epu16(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i8x16_min_s, _mm_min_epi8(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i8x16_min_u, _mm_min_epu8(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i8x16_max_s, _mm_max_epi8(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i8x16_max_u, _mm_max_epu8(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i16x8_min_s, _mm_min_epi16(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i16x8_min_u, _mm_min_epu16(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i16x8_max_s, _mm_max_epi16(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i16x8_max_u, _mm_max_epu16(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i32x4_min_s, _mm_min_epi32(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i32x4_min_u, _mm_min_epu32(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i32x4_max_s, _mm_max_epi32(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i32x4_max_u, _mm_max_epu32(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i8x16_avgr_u, _mm_avg_epu8(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i16x8_avgr_u, _mm_avg_epu16(SV_I(a), SV_I(b)))
/* pmulhrsw wraps its one overflow, -1 * -1, to 0x8000. */
SV_INLINE v128 sv_i16x8_q15mulr_sat_s(v128 a, v128 b)
{
    __m128i r = _mm_mulhrs_epi16(SV_I(a), SV_I(b));
    return (v128)_mm_xor_si128(r, _mm_cmpeq_epi16(r, _mm_set1_epi16(INT16_MIN)));
}
SV_DIRECT2(sv_i8x16_narrow_s, _mm_packs_epi16(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i8x16_narrow_u, _mm_packus_epi16(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i16x8_narrow_s, _mm_packs_epi32(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i16x8_narrow_u, _mm_packus_epi32(SV_I(a), SV_I(b)))

#define SV_HIGH(a) _mm_unpackhi_epi64(SV_I(a), SV_I(a))
SV_DIRECT1(sv_i16x8_extend_low_s, _mm_cvtepi8_epi16(SV_I(a)))
SV_DIRECT1(sv_i16x8_extend_high_s, _mm_cvtepi8_epi16(SV_HIGH(a)))
SV_DIRECT1(sv_i16x8_extend_low_u, _mm_cvtepu8_epi16(SV_I(a)))
SV_DIRECT1(sv_i16x8_extend_high_u, _mm_unpackhi_epi8(SV_I(a), _mm_setzero_si128()))
SV_DIRECT1(sv_i32x4_extend_low_s, _mm_cvtepi16_epi32(SV_I(a)))
SV_DIRECT1(sv_i32x4_extend_high_s, _mm_cvtepi16_epi32(SV_HIGH(a)))
SV_DIRECT1(sv_i32x4_extend_low_u, _mm_cvtepu16_epi32(SV_I(a)))
SV_DIRECT1(sv_i32x4_extend_high_u, _mm_unpackhi_epi16(SV_I(a), _mm_setzero_si128()))
SV_DIRECT1(sv_i64x2_extend_low_s, _mm_cvtepi32_epi64(SV_I(a)))
SV_DIRECT1(sv_i64x2_extend_high_s, _mm_cvtepi32_epi64(SV_HIGH(a)))
SV_DIRECT1(sv_i64x2_extend_low_u, _mm_cvtepu32_epi64(SV_I(a)))
SV_DIRECT1(sv_i64x2_extend_high_u, _mm_unpackhi_epi32(SV_I(a), _mm_setzero_si128()))
#undef SV_HIGH
/* Product of the low 32 bits of every 64, signed or not. */
SV_DIRECT2(sv_i64x2_mul_low_s, _mm_mul_epi32(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i64x2_mul_low_u, _mm_mul_epu32(SV_I(a), SV_I(b)))
SV_DIRECT2(sv_i32x4_dot, _mm_madd_epi16(SV_I(a), SV_I(b)))

SV_DIRECT1(sv_f32x4_sqrt, _mm_sqrt_ps(SV_S(a)))
SV_DIRECT1(sv_f64x2_sqrt, _mm_sqrt_pd(SV_D(a)))
/* minps gives its second operand for equal or unordered lanes, so both orders together hold both
 * zeros; lanes with a NaN are replaced by the sum, which is the right NaN. */
SV_INLINE v128 sv_f32x4_min(v128 a, v128 b)
{
    __m128 r = _mm_or_ps(_mm_min_ps(SV_S(a), SV_S(b)), _mm_min_ps(SV_S(b), SV_S(a)));
    return (v128)_mm_blendv_ps(r, _mm_add_ps(SV_S(a), SV_S(b)), _mm_cmpunord_ps(SV_S(a), SV_S(b)));
}
SV_INLINE v128 sv_f32x4_max(v128 a, v128 b)
{
    __m128 r = _mm_and_ps(_mm_max_ps(SV_S(a), SV_S(b)), _mm_max_ps(SV_S(b), SV_S(a)));
    return (v128)_mm_blendv_ps(r, _mm_add_ps(SV_S(a), SV_S(b)), _mm_cmpunord_ps(SV_S(a), SV_S(b)));
}
SV_INLINE v128 sv_f64x2_min(v128 a, v128 b)
{
    __m128d r = _mm_or_pd(_mm_min_pd(SV_D(a), SV_D(b)), _mm_min_pd(SV_D(b), SV_D(a)));
    return (v128)_mm_blendv_pd(r, _mm_add_pd(SV_D(a), SV_D(b)), _mm_cmpunord_pd(SV_D(a), SV_D(b)));
}
SV_INLINE v128 sv_f64x2_max(v128 a, v128 b)
{
    __m128d r = _mm_and_pd(_mm_max_pd(SV_D(a), SV_D(b)), _mm_max_pd(SV_D(b), SV_D(a)));
    return (v128)_mm_blendv_pd(r, _mm_add_pd(SV_D(a), SV_D(b)), _mm_cmpunord_pd(SV_D(a), SV_D(b)));
}
/* pmin is b < a ? b : a, which is minps with its operands turned. */
SV_DIRECT2(sv_f32x4_pmin, _mm_min_ps(SV_S(b), SV_S(a)))
SV_DIRECT2(sv_f32x4_pmax, _mm_max_ps(SV_S(b), SV_S(a)))
SV_DIRECT2(sv_f64x2_pmin, _mm_min_pd(SV_D(b), SV_D(a)))
SV_DIRECT2(sv_f64x2_pmax, _mm_max_pd(SV_D(b), SV_D(a)))

SV_DIRECT1(sv_f64x2_promote_low, _mm_cvtps_pd(SV_S(a)))
SV_DIRECT1(sv_f32x4_demote_zero, _mm_cvtpd_ps(SV_D(a)))
SV_DIRECT1(sv_f64x2_convert_low_s, _mm_cvtepi32_pd(SV_I(a)))
/* 0x43300000 above an integer makes the double 2^52 + the integer. */
SV_INLINE v128 sv_f64x2_convert_low_u(v128 a)
{
    __m128i biased = _mm_unpacklo_epi32(SV_I(a), _mm_set1_epi32(0x43300000));
    return (v128)_mm_sub_pd(_mm_castsi128_pd(biased), _mm_set1_pd(0x1p52));
}
SV_DIRECT1(sv_f32x4_convert_s, _mm_cvtepi32_ps(SV_I(a)))
/* High and low 16 bits are exact each; the addition rounds once. */
SV_INLINE v128 sv_f32x4_convert_u(v128 a)
{
    __m128 high = _mm_cvtepi32_ps(_mm_srli_epi32(SV_I(a), 16));
    __m128 low = _mm_cvtepi32_ps(_mm_and_si128(SV_I(a), _mm_set1_epi32(0xffff)));
    return (v128)_mm_add_ps(_mm_mul_ps(high, _mm_set1_ps(0x1p16f)), low);
}

/* cvttps2dq gives 0x80000000 for whatever does not fit: NaN is made 0 before, and what is too large
 * is inverted after. */
SV_INLINE v128 sv_i32x4_trunc_sat_f32x4_s(v128 a)
{
    __m128 x = _mm_and_ps(SV_S(a), _mm_cmpeq_ps(SV_S(a), SV_S(a)));
    __m128i large = _mm_castps_si128(_mm_cmpge_ps(x, _mm_set1_ps(0x1p31f)));
    return (v128)_mm_xor_si128(_mm_cvttps_epi32(x), large);
}
/* Above 2^31 the conversion gives 0x80000000, to which the rest (saturated likewise) is added.
 * maxps turns NaN to 0. */
SV_INLINE v128 sv_i32x4_trunc_sat_f32x4_u(v128 a)
{
    const __m128 half = _mm_set1_ps(0x1p31f);
    __m128 x = _mm_max_ps(SV_S(a), _mm_setzero_ps());
    __m128 rest = _mm_sub_ps(x, half);
    __m128i more = _mm_castps_si128(_mm_cmpge_ps(rest, half));
    __m128i high = _mm_xor_si128(_mm_cvttps_epi32(rest), more);
    high = _mm_and_si128(high, _mm_castps_si128(_mm_cmpge_ps(x, half)));
    return (v128)_mm_add_epi32(_mm_cvttps_epi32(x), high);
}
SV_INLINE v128 sv_i32x4_trunc_sat_f64x2_s(v128 a)
{
    __m128d x = _mm_and_pd(SV_D(a), _mm_cmpeq_pd(SV_D(a), SV_D(a)));
    return (v128)_mm_cvttpd_epi32(_mm_min_pd(x, _mm_set1_pd(2147483647.0)));
}
/* In range and whole, 2^52 + x holds x in its low half. */
SV_INLINE v128 sv_i32x4_trunc_sat_f64x2_u(v128 a)
{
    __m128d x = _mm_min_pd(_mm_max_pd(SV_D(a), _mm_setzero_pd()), _mm_set1_pd(4294967295.0));
    x = _mm_add_pd(_mm_round_pd(x, _MM_FROUND_TO_ZERO | _MM_FROUND_NO_EXC), _mm_set1_pd(0x1p52));
    return (v128)_mm_shuffle_ps(_mm_castpd_ps(x), _mm_setzero_ps(), 0x88);
}

#undef SV_DIRECT1
#undef SV_DIRECT2
#undef SV_SHIFT
#undef SV_COUNT_OF
#undef SV_I
#undef SV_S
#undef SV_D

#endif
