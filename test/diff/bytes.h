/* What the generators of modules write with: wasm's bytes, appended. */
#ifndef TEST_DIFF_BYTES_H
#define TEST_DIFF_BYTES_H

#include "base/buf.h"

static inline void put_byte(struct sv_buf *b, unsigned byte)
{
    sv_buf_putc(b, (char)byte);
}

static inline void put_leb(struct sv_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        put_byte(b, (v & 0x7f) | 0x80);
    put_byte(b, (unsigned)v);
}

static inline void put_sleb(struct sv_buf *b, int64_t v)
{
    for (; v < -64 || v > 63; v >>= 7)
        put_byte(b, (v & 0x7f) | 0x80);
    put_byte(b, v & 0x7f);
}

/* An instruction with one immediate. */
static inline void put_op(struct sv_buf *b, unsigned code, uint32_t immediate)
{
    put_byte(b, code);
    put_leb(b, immediate);
}

/* Of the low half of v. */
static inline void put_i32_const(struct sv_buf *b, int64_t v)
{
    put_byte(b, 0x41);
    put_sleb(b, (int32_t)(uint32_t)v);
}

#endif
