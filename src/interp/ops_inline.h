/* The meanings of instructions as inline functions: what the handlers' bodies call. Not handlers.
 */
#ifndef SV_INTERP_OPS_INLINE_H
#define SV_INTERP_OPS_INLINE_H

#include "interp/dispatch.h"

/* The meanings as functions, rows of numeric.def, so that a row has one text for all its forms. */
#define NUM1(op, R_, A_, e)                                                                        \
    SV_INLINE R_ num_##op(A_ a)                                                                    \
    {                                                                                              \
        return (R_)(e);                                                                            \
    }
#define NUM2(op, R_, A_, B_, e)                                                                    \
    SV_INLINE R_ num_##op(A_ a, B_ b)                                                              \
    {                                                                                              \
        return (R_)(e);                                                                            \
    }
#define NUM3(op, R_, A_, B_, C_, e)                                                                \
    SV_INLINE R_ num_##op(A_ a, B_ b, C_ c)                                                        \
    {                                                                                              \
        return (R_)(e);                                                                            \
    }
#define TRAP1(op, R_, A_, t, e)                                                                    \
    SV_INLINE int trap_##op(A_ a)                                                                  \
    {                                                                                              \
        return t;                                                                                  \
    }                                                                                              \
    NUM1(op, R_, A_, e)
#define TRAP2(op, R_, A_, B_, t, e)                                                                \
    SV_INLINE int trap_##op(A_ a, B_ b)                                                            \
    {                                                                                              \
        (void)a;                                                                                   \
        return t;                                                                                  \
    }                                                                                              \
    NUM2(op, R_, A_, B_, e)
#define EXTRACT(op, R_, e)                                                                         \
    SV_INLINE R_ num_##op(v128 a, unsigned lane)                                                   \
    {                                                                                              \
        return (R_)(e);                                                                            \
    }
#define REPLACE(op, B_, e)                                                                         \
    SV_INLINE v128 num_##op(v128 a, unsigned lane, B_ b)                                           \
    {                                                                                              \
        return (e);                                                                                \
    }
#include "wasm/numeric.def"

/* Read and write fields: log2 of the size and bit 4 for "signed" in `how`. */
SV_INLINE void object_read(const u8 *p, unsigned how, union sv_slot *d)
{
    u64 x = 0;

    switch (how) {
    case 0:
        x = *p;
        break;
    case 0x10:
        x = (u32)(s32)(s8)*p;
        break;
    case 1:
        x = *(const a16 *)(const void *)p;
        break;
    case 0x11:
        x = (u32)(s32)(s16) * (const a16 *)(const void *)p;
        break;
    case 2:
        x = *(const a32 *)(const void *)p;
        break;
    case 3:
        x = *(const a64 *)(const void *)p;
        break;
    default:
        d[1].i64 = *(const a64 *)(const void *)(p + 8);
        x = *(const a64 *)(const void *)p;
        break;
    }
    d->i64 = x;
}
SV_INLINE void object_write(u8 *p, unsigned how, const union sv_slot *s)
{
    switch (how & 0xf) {
    case 0:
        *p = (u8)s->i32;
        break;
    case 1:
        *(a16 *)(void *)p = (u16)s->i32;
        break;
    case 2:
        *(a32 *)(void *)p = s->i32;
        break;
    case 4:
        *(a64 *)(void *)(p + 8) = s[1].i64;
        *(a64 *)(void *)p = s->i64;
        break;
    default:
        *(a64 *)(void *)p = s->i64;
        break;
    }
}

/* Shifts take their count in the register of T: saying that T now is the count saves moving it away
 * and back. */
SV_INLINE bool counts_in_t(const char *op)
{
    return __builtin_strstr(op, "_SH") || __builtin_strstr(op, "_ROT");
}

/* ---- Vector loads: type in memory, and the vector made of it ---- */
#define LOADV(n, mt, expr)                                                                         \
    typedef mt mt_##n;                                                                             \
    SV_INLINE v128 loadv_##n(mt m)                                                                 \
    {                                                                                              \
        return expr;                                                                               \
    }
LOADV(V128_LOAD, v128, m)
LOADV(V128_LOAD8X8_S, u64, sv_i16x8_extend_low_s((v128){m, 0}))
LOADV(V128_LOAD8X8_U, u64, sv_i16x8_extend_low_u((v128){m, 0}))
LOADV(V128_LOAD16X4_S, u64, sv_i32x4_extend_low_s((v128){m, 0}))
LOADV(V128_LOAD16X4_U, u64, sv_i32x4_extend_low_u((v128){m, 0}))
LOADV(V128_LOAD32X2_S, u64, sv_i64x2_extend_low_s((v128){m, 0}))
LOADV(V128_LOAD32X2_U, u64, sv_i64x2_extend_low_u((v128){m, 0}))
LOADV(V128_LOAD8_SPLAT, u8, sv_i8x16_splat(m))
LOADV(V128_LOAD16_SPLAT, u16, sv_i16x8_splat(m))
LOADV(V128_LOAD32_SPLAT, u32, sv_i32x4_splat(m))
LOADV(V128_LOAD64_SPLAT, u64, sv_i64x2_splat(m))
LOADV(V128_LOAD32_ZERO, u32, ((v128){m, 0}))
LOADV(V128_LOAD64_ZERO, u64, ((v128){m, 0}))

#endif
