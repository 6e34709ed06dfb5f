/* The arithmetic of WebAssembly as C: number types, vectors, and the helpers that the expressions
 * of numeric.def call. Knows no instructions, no traps and no memory. Spec: 3.0 section 4.3
 * (numerics).
 *
 * Nothing here is undefined behaviour for any input: integers wrap because they are unsigned,
 * shifts are masked, a float becomes an integer only in range. NaN results are what the
 * specification allows (quiet; canonical when every NaN operand is); sv_*_canon makes them
 * canonical. Nothing here calls libm.
 *
 * Relaxed vector instructions give one result everywhere: that of their plain twin. madd and nmadd
 * round twice (multiply, then add), swizzle is i8x16.swizzle, trunc is trunc_sat, min and max are
 * the exact ones, laneselect is v128.bitselect, q15mulr saturates, dot multiplies signed by signed
 * and wraps. */
#ifndef SV_WASM_NUMERIC_H
#define SV_WASM_NUMERIC_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

typedef uint8_t u8;
typedef int8_t s8;
typedef uint16_t u16;
typedef int16_t s16;
typedef uint32_t u32;
typedef int32_t s32;
typedef uint64_t u64;
typedef int64_t s64;
typedef float f32;
typedef double f64;

typedef u8 u8x16 __attribute__((vector_size(16)));
typedef s8 s8x16 __attribute__((vector_size(16)));
typedef u16 u16x8 __attribute__((vector_size(16)));
typedef s16 s16x8 __attribute__((vector_size(16)));
typedef u32 u32x4 __attribute__((vector_size(16)));
typedef s32 s32x4 __attribute__((vector_size(16)));
typedef u64 u64x2 __attribute__((vector_size(16)));
typedef s64 s64x2 __attribute__((vector_size(16)));
typedef f32 f32x4 __attribute__((vector_size(16)));
typedef f64 f64x2 __attribute__((vector_size(16)));
/* A v128 value: lives in a vector register, lane 0 in the low bits. Cast to one of the shapes above
 * to compute. */
typedef u64x2 v128;

#define SV_INLINE static inline __attribute__((always_inline, unused))

/* ---- Bits
 * ----------------------------------------------------------------------------------------------------------
 */

SV_INLINE u32 sv_f32_bits(f32 a)
{
    u32 r;
    memcpy(&r, &a, sizeof r);
    return r;
}
SV_INLINE u64 sv_f64_bits(f64 a)
{
    u64 r;
    memcpy(&r, &a, sizeof r);
    return r;
}
SV_INLINE f32 sv_f32_of(u32 a)
{
    f32 r;
    memcpy(&r, &a, sizeof r);
    return r;
}
SV_INLINE f64 sv_f64_of(u64 a)
{
    f64 r;
    memcpy(&r, &a, sizeof r);
    return r;
}

/* Memory and vectors; any alignment. */
SV_INLINE v128 sv_v128_load(const void *p)
{
    v128 r;
    memcpy(&r, p, sizeof r);
    return r;
}
SV_INLINE void sv_v128_store(void *p, v128 a)
{
    memcpy(p, &a, sizeof a);
}
SV_INLINE v128 sv_v128_make(u64 low, u64 high)
{
    return (v128){low, high};
}

/* A NaN made canonical (positive, quiet bit only); other values as they are. For deterministic
 * mode. In integers: compilers take "a != a ? NaN : a" for a, since to them one NaN is as good as
 * another. */
SV_INLINE f32 sv_f32_canon(f32 a)
{
    u32 bits = sv_f32_bits(a);
    return sv_f32_of((bits & 0x7fffffffu) > 0x7f800000u ? 0x7fc00000u : bits);
}
SV_INLINE f64 sv_f64_canon(f64 a)
{
    u64 bits = sv_f64_bits(a);
    return sv_f64_of((bits & 0x7fffffffffffffffu) > 0x7ff0000000000000u ? 0x7ff8000000000000u
                                                                        : bits);
}
SV_INLINE v128 sv_f32x4_canon(v128 a)
{
    u32x4 nan = (u32x4)((f32x4)a != (f32x4)a);
    return (v128)(((u32x4)a & ~nan) |
                  ((u32x4){0x7fc00000, 0x7fc00000, 0x7fc00000, 0x7fc00000} & nan));
}
SV_INLINE v128 sv_f64x2_canon(v128 a)
{
    u64x2 nan = (u64x2)((f64x2)a != (f64x2)a);
    return (a & ~nan) | ((u64x2){0x7ff8000000000000u, 0x7ff8000000000000u} & nan);
}

/* ---- Integers
 * ------------------------------------------------------------------------------------------------------
 */

SV_INLINE u32 sv_i32_clz(u32 a)
{
    return a ? (u32)__builtin_clz(a) : 32;
}
SV_INLINE u32 sv_i32_ctz(u32 a)
{
    return a ? (u32)__builtin_ctz(a) : 32;
}
SV_INLINE u64 sv_i64_clz(u64 a)
{
    return a ? (u64)__builtin_clzll(a) : 64;
}
SV_INLINE u64 sv_i64_ctz(u64 a)
{
    return a ? (u64)__builtin_ctzll(a) : 64;
}
SV_INLINE u32 sv_i32_rotl(u32 a, u32 b)
{
    return a << (b & 31) | a >> (-b & 31);
}
SV_INLINE u32 sv_i32_rotr(u32 a, u32 b)
{
    return a >> (b & 31) | a << (-b & 31);
}
SV_INLINE u64 sv_i64_rotl(u64 a, u64 b)
{
    return a << (b & 63) | a >> (-b & 63);
}
SV_INLINE u64 sv_i64_rotr(u64 a, u64 b)
{
    return a >> (b & 63) | a << (-b & 63);
}

/* ---- Floats
 * --------------------------------------------------------------------------------------------------------
 */

/* Spec 4.3.3 fmin, fmax: -0 is below +0, a NaN operand wins. The common case (different numbers) is
 * one comparison. */
SV_INLINE f32 sv_f32_min(f32 a, f32 b)
{
    if (__builtin_expect(__builtin_islessgreater(a, b), 1))
        return a < b ? a : b;
    return a == b ? sv_f32_of(sv_f32_bits(a) | sv_f32_bits(b)) : a + b;
}
SV_INLINE f32 sv_f32_max(f32 a, f32 b)
{
    if (__builtin_expect(__builtin_islessgreater(a, b), 1))
        return a > b ? a : b;
    return a == b ? sv_f32_of(sv_f32_bits(a) & sv_f32_bits(b)) : a + b;
}
SV_INLINE f64 sv_f64_min(f64 a, f64 b)
{
    if (__builtin_expect(__builtin_islessgreater(a, b), 1))
        return a < b ? a : b;
    return a == b ? sv_f64_of(sv_f64_bits(a) | sv_f64_bits(b)) : a + b;
}
SV_INLINE f64 sv_f64_max(f64 a, f64 b)
{
    if (__builtin_expect(__builtin_islessgreater(a, b), 1))
        return a > b ? a : b;
    return a == b ? sv_f64_of(sv_f64_bits(a) & sv_f64_bits(b)) : a + b;
}

/* Truncation to an integer type T. In range means lo < a and a < hi with both bounds exact in the
 * float type, except where lo itself is in range and exact (`>=`). The same bounds serve the
 * trapping and the saturating instructions. */
#define SV_F32_IN_S32(a) ((a) >= -0x1p31f && (a) < 0x1p31f)
#define SV_F32_IN_U32(a) ((a) > -1.0f && (a) < 0x1p32f)
#define SV_F32_IN_S64(a) ((a) >= -0x1p63f && (a) < 0x1p63f)
#define SV_F32_IN_U64(a) ((a) > -1.0f && (a) < 0x1p64f)
#define SV_F64_IN_S32(a) ((a) > -0x1.00000002p31 && (a) < 0x1p31)
#define SV_F64_IN_U32(a) ((a) > -1.0 && (a) < 0x1p32)
#define SV_F64_IN_S64(a) ((a) >= -0x1p63 && (a) < 0x1p63)
#define SV_F64_IN_U64(a) ((a) > -1.0 && (a) < 0x1p64)
/* The trap code of a truncation; the user of numeric.def has runtime/trap.h. */
#define SV_TRUNC_TRAP(in_range, a)                                                                 \
    (__builtin_expect((in_range), 1) ? 0                                                           \
     : (a) != (a)                    ? SV_TRAP_INVALID_CONVERSION                                  \
                                     : SV_TRAP_INTEGER_OVERFLOW)
#define SV_TRUNC_SAT(T, in_range, a, min, max)                                                     \
    (__builtin_expect((in_range), 1) ? (T)(a) : (a) != (a) ? (T)0 : (a) < 0 ? (T)(min) : (T)(max))

/* ---- Vectors
 * -------------------------------------------------------------------------------------------------------
 */

#define SV_SPLAT8(x) {x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}
#define SV_SPLAT4(x) {x, x, x, x}

SV_INLINE v128 sv_i8x16_splat(u32 a)
{
    return (v128)(u8x16)SV_SPLAT8((u8)a);
}
SV_INLINE v128 sv_i16x8_splat(u32 a)
{
    u16 x = (u16)a;
    return (v128)(u16x8){x, x, x, x, x, x, x, x};
}
SV_INLINE v128 sv_i32x4_splat(u32 a)
{
    return (v128)(u32x4)SV_SPLAT4(a);
}
SV_INLINE v128 sv_i64x2_splat(u64 a)
{
    return (v128){a, a};
}
SV_INLINE v128 sv_f32x4_splat(f32 a)
{
    return (v128)(f32x4)SV_SPLAT4(a);
}
SV_INLINE v128 sv_f64x2_splat(f64 a)
{
    return (v128)(f64x2){a, a};
}

/* a with lane `lane` replaced; the lane number was validated. */
SV_INLINE v128 sv_i8x16_replace(v128 a, unsigned lane, u32 b)
{
    u8x16 r = (u8x16)a;
    r[lane & 15] = (u8)b;
    return (v128)r;
}
SV_INLINE v128 sv_i16x8_replace(v128 a, unsigned lane, u32 b)
{
    u16x8 r = (u16x8)a;
    r[lane & 7] = (u16)b;
    return (v128)r;
}
SV_INLINE v128 sv_i32x4_replace(v128 a, unsigned lane, u32 b)
{
    u32x4 r = (u32x4)a;
    r[lane & 3] = b;
    return (v128)r;
}
SV_INLINE v128 sv_i64x2_replace(v128 a, unsigned lane, u64 b)
{
    a[lane & 1] = b;
    return a;
}
SV_INLINE v128 sv_f32x4_replace(v128 a, unsigned lane, f32 b)
{
    return sv_i32x4_replace(a, lane, sv_f32_bits(b));
}
SV_INLINE v128 sv_f64x2_replace(v128 a, unsigned lane, f64 b)
{
    return sv_i64x2_replace(a, lane, sv_f64_bits(b));
}

/* Bits of a where c is set, else of b. */
SV_INLINE v128 sv_v128_select(v128 a, v128 b, v128 c)
{
    return ((a ^ b) & c) ^ b;
}
/* i8x16.shuffle: byte i of the result is byte lanes[i] (0-31) of a and b together. */
SV_INLINE v128 sv_i8x16_shuffle(v128 a, v128 b, const u8 *lanes);
/* Every vector operation that is better written with machine instructions, under the same names. */
#if defined(__SSE4_1__) && !defined(SV_NUMERIC_PORTABLE)
#include "wasm/numeric_x86.h"
#else
#include "wasm/numeric_portable.h"
#endif

SV_INLINE v128 sv_i8x16_shuffle(v128 a, v128 b, const u8 *lanes)
{
    /* Indexes of the other operand become 0x80 or more, which swizzle turns to 0. */
    u8x16 at = (u8x16)sv_v128_load(lanes);
    v128 low = sv_i8x16_swizzle(a, (v128)at);
    return low | sv_i8x16_swizzle(b, (v128)(at - (u8x16)SV_SPLAT8(16)));
}

/* Lane i of the narrower halves: low byte and high byte of every 16 bits, as 16 bits; and so on. */
SV_INLINE s16x8 sv_i16x8_even_s(v128 a)
{
    return (s16x8)((u16x8)a << 8) >> 8;
}
SV_INLINE s32x4 sv_i32x4_even_s(v128 a)
{
    return (s32x4)((u32x4)a << 16) >> 16;
}
SV_INLINE v128 sv_i16x8_extadd_s(v128 a)
{
    return (v128)((u16x8)sv_i16x8_even_s(a) + (u16x8)((s16x8)a >> 8));
}
SV_INLINE v128 sv_i16x8_extadd_u(v128 a)
{
    return (v128)(((u16x8)a & (u16x8){255, 255, 255, 255, 255, 255, 255, 255}) + ((u16x8)a >> 8));
}
SV_INLINE v128 sv_i32x4_extadd_s(v128 a)
{
    return (v128)((u32x4)sv_i32x4_even_s(a) + (u32x4)((s32x4)a >> 16));
}
SV_INLINE v128 sv_i32x4_extadd_u(v128 a)
{
    return (v128)(((u32x4)a & (u32x4)SV_SPLAT4(0xffff)) + ((u32x4)a >> 16));
}
/* Signed bytes times signed bytes, neighbours added, wrapped to 16 bits. */
SV_INLINE v128 sv_i16x8_dot_i8x16(v128 a, v128 b)
{
    u16x8 even = (u16x8)sv_i16x8_even_s(a) * (u16x8)sv_i16x8_even_s(b);
    u16x8 odd = (u16x8)((s16x8)a >> 8) * (u16x8)((s16x8)b >> 8);
    return (v128)(even + odd);
}
SV_INLINE v128 sv_i64x2_abs(v128 a)
{
    u64x2 sign = (u64x2)((s64x2)a < (s64x2){0, 0});
    return (a ^ sign) - sign;
}

#endif
