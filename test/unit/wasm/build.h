/* Writing module bytes in tests: LEB numbers, sections, function bodies. Knows nothing of the
 * decoder it tests. */
#ifndef SV_TEST_BUILD_H
#define SV_TEST_BUILD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "wasm/module.h"

#define BYTES(...) (const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__})

static inline void put(struct sv_buf *b, const void *bytes, size_t n)
{
    assert_true(sv_buf_append(b, bytes, n));
}

static inline void put_byte(struct sv_buf *b, unsigned byte)
{
    uint8_t one = (uint8_t)byte;

    put(b, &one, 1);
}

static inline void put_u64(struct sv_buf *b, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        put_byte(b, (n & 0x7f) | 0x80);
    put_byte(b, (unsigned)n);
}

/* A non-negative signed number. */
static inline void put_s64(struct sv_buf *b, uint64_t n)
{
    for (; n >= 0x40; n >>= 7)
        put_byte(b, (n & 0x7f) | 0x80);
    put_byte(b, (unsigned)n);
}

static inline void put_header(struct sv_buf *b)
{
    sv_buf_init(b, SIZE_MAX / 2);
    put(b, "\0asm\1\0\0\0", 8);
}

/* The contents in `section`, which is released. */
static inline void put_section(struct sv_buf *b, unsigned id, struct sv_buf *section)
{
    put_byte(b, id);
    put_u64(b, section->len);
    put(b, section->data ? section->data : (const void *)"", section->len);
    sv_buf_release(section);
}

/* A section of `n` equal entries. */
static inline void put_repeated(struct sv_buf *b, unsigned id, uint64_t n, const void *entry,
                                size_t len)
{
    struct sv_buf section;

    sv_buf_init(&section, SIZE_MAX / 2);
    put_u64(&section, n);
    for (uint64_t i = 0; i < n; i++)
        put(&section, entry, len);
    put_section(b, id, &section);
}

/* A type section with one function type, a function of it, and a code section with this body
 * (locals included). */
static inline void put_function(struct sv_buf *b, const void *type, size_t type_len,
                                const void *body, size_t body_len)
{
    struct sv_buf code;

    put_repeated(b, 1, 1, type, type_len);
    put_repeated(b, 3, 1, "\0", 1);
    sv_buf_init(&code, SIZE_MAX / 2);
    put_byte(&code, 1);
    put_u64(&code, body_len);
    put(&code, body, body_len);
    put_section(b, 10, &code);
}

/* Decode; the code of the failure, or 0. `err` may be NULL. The bytes are copied so that reads
 * behind the end show. */
static inline int decode_bytes(const void *bytes, size_t len, struct sv_err *err,
                               const struct sv_decode_options *opts)
{
    struct sv_types *types = sv_types_new();
    struct sv_module *m = NULL;
    struct sv_err mine = {0};
    uint8_t *copy = malloc(len ? len : 1);
    int r;

    assert_non_null(types);
    assert_non_null(copy);
    memcpy(copy, bytes, len);
    r = sv_module_new(err ? err : &mine, types, copy, len, NULL, opts, &m);
    if (r == 0)
        sv_module_unref(m);
    sv_types_delete(types);
    free(copy);
    return r;
}

static inline int decode_buf(struct sv_buf *b, struct sv_err *err)
{
    int r = decode_bytes(b->data, b->len, err, NULL);

    sv_buf_release(b);
    return r;
}

#endif
