/* Typing of bodies: a table of small functions in one context, good ones and bad ones with the
 * specification's phrase. The specification's own modules are in spec_modules.c. */
#include "build.h"

#include "wasm/opcode.h"
#include "wasm/reader.h"

/* Types: 0 () -> (), 1 (i32) -> (i32), 2 () -> (i32 i32), 3 (i32) -> (), 4 struct { mut i8, i64 },
 * 5 array mut i32, 6 () -> ((ref null exn)), 7 (i32 (ref null 4)) -> () function 0: type 0,
 * declared; function 1: type 1, not declared; function 2: the one under test table 0 funcref, table
 * 1 externref 64-bit; memory 0, memory 1 64-bit; tag 0: type 3; global 0: i32, global 1: mut i64;
 * element segment 0; data segment 0 */
static const uint8_t context[] = {
    1,    37,   8,    0x60, 0, 0,    0x60, 1,    0x7f, 1,    0x7f, 0x60, 0,
    2,    0x7f, 0x7f, 0x60, 1, 0x7f, 0,    0x5f, 2,    0x78, 1,    0x7e, 0,
    0x5e, 0x7f, 1,    0x60, 0, 1,    0x69, 0x60, 2,    0x7f, 0x63, 4,    0,
};
static const uint8_t context2[] = {
    4,  7, 2,    0x70, 0,    1, 0x6f, 4,    1, 5,    5, 2,    0, 1, 4, 1, 13, 3, 1, 0,  3, 6,
    11, 2, 0x7f, 0,    0x41, 0, 0x0b, 0x7e, 1, 0x42, 0, 0x0b, 9, 5, 1, 1, 0,  1, 0, 12, 1, 1,
};
static const uint8_t context3[] = {11, 4, 1, 1, 1, 'x'};

static int validate_body(unsigned type, const uint8_t *body, size_t len, struct sv_err *err)
{
    struct sv_buf b, s;

    put_header(&b);
    put(&b, context, sizeof context);
    sv_buf_init(&s, 64);
    put(&s, BYTES(3, 0, 1));
    put_byte(&s, type);
    put_section(&b, 3, &s);
    put(&b, context2, sizeof context2);
    sv_buf_init(&s, SIZE_MAX / 2);
    put(&s, BYTES(3, 2, 0, 0x0b, 4, 0, 0x20, 0, 0x0b));
    put_u64(&s, len);
    put(&s, body, len);
    put_section(&b, 10, &s);
    put(&b, context3, sizeof context3);
    return decode_buf(&b, err);
}

struct body_case {
    const char *text; /* NULL: valid */
    unsigned type;
    const uint8_t *body; /* without locals, and its `end` */
    size_t len;
};

#define U 0x00 /* unreachable */
#define DROP 0x1a

static const struct body_case cases[] = {
    /* operands */
    {NULL, 0, BYTES(0x01)},
    {NULL, 1, BYTES(0x20, 0)},
    {"type mismatch: expected i32, the stack is empty", 1, BYTES(0x01)},
    {"type mismatch: expected i32, found i64", 1, BYTES(0x42, 0)},
    {"type mismatch", 0, BYTES(0x41, 0)},
    {"type mismatch", 0, BYTES(DROP)},
    {NULL, 0, BYTES(0x41, 0, 0x41, 0, 0x6a, DROP)},
    {"type mismatch", 0, BYTES(0x41, 0, 0x42, 0, 0x6a, DROP)},
    {"type mismatch", 0, BYTES(0x41, 0, 0x6a, DROP)},
    {"unknown local 1", 1, BYTES(0x20, 1)},
    {"type mismatch", 1, BYTES(0x42, 0, 0x22, 0)},
    {"unknown global 2", 0, BYTES(0x23, 2, DROP)},
    {"immutable global 0", 0, BYTES(0x41, 0, 0x24, 0)},
    {NULL, 0, BYTES(0x42, 0, 0x24, 1)},
    {"unknown function 3", 0, BYTES(0x10, 3)},
    {"illegal opcode 27", 0, BYTES(0x27)},
    {"illegal opcode ff", 0, BYTES(0xff)},
    {"illegal opcode fd 9a", 0, BYTES(0xfd, 0x9a, 0x01)},
    {"illegal opcode fc", 0, BYTES(0xfc, 0xff, 0xff, 0xff, 0xff, 0x0f)},
    {"illegal opcode", 0, BYTES(0xfb, 0x1f)},
    /* a prefixed opcode in more bytes than needed is the same (spec 5.4) */
    {NULL, 0, BYTES(0x43, 0, 0, 0, 0, 0xfc, 0x80, 0x00, DROP)},
    /* unreachable code: operands of any type, but not any number of results */
    {NULL, 1, BYTES(U)},
    {NULL, 1, BYTES(U, 0x6a)},
    {NULL, 0, BYTES(U, DROP, DROP)},
    {"type mismatch", 0, BYTES(U, 0x6a)},
    {"type mismatch: expected i32, found i64", 1, BYTES(U, 0x42, 0, 0x6a)},
    {"type mismatch", 1, BYTES(U, 0x42, 0)},
    {NULL, 1, BYTES(U, 0x1b)},
    {NULL, 0, BYTES(U, 0x1b, DROP)},
    {NULL, 1, BYTES(U, 0x41, 0, 0x41, 0, 0x1b)},
    {"type mismatch", 1, BYTES(U, 0x42, 0, 0x41, 0, 0x1b)},
    {"type mismatch: expected f32, found i32", 0,
     BYTES(U, 0x43, 0, 0, 0, 0, 0x41, 0, 0x41, 0, 0x1b, DROP)},
    {NULL, 0, BYTES(U, 0xd1, DROP)},
    {NULL, 0, BYTES(U, 0xd4, 0xd1, DROP)},
    {NULL, 0, BYTES(U, 0xd5, 0, DROP)},
    {"type mismatch", 0, BYTES(U, 0xd6, 0)},
    {NULL, 0, BYTES(0x0c, 0, 0x41, 0, DROP)},
    {NULL, 0, BYTES(U, 0xfb, 0, 4, DROP)},
    {"type mismatch", 0, BYTES(U, 0x41, 0, 0xfb, 0, 4, DROP)},
    {NULL, 0, BYTES(U, 0xfb, 8, 5, 0x80, 0x40, DROP)},
    /* blocks */
    {NULL, 1, BYTES(0x02, 0x7f, 0x41, 0, 0x0b)},
    {"type mismatch", 0, BYTES(0x02, 0x7f, 0x0b, DROP)},
    {"type mismatch", 0, BYTES(0x02, 0x40, 0x41, 0, 0x0b, DROP)},
    {NULL, 1, BYTES(0x41, 0, 0x02, 1, 0x0b)},
    {"type mismatch", 0, BYTES(0x41, 0, 0x02, 0x40, DROP, 0x0b)},
    {NULL, 0, BYTES(0x41, 0, 0x03, 3, 0x0c, 0, 0x0b)}, /* a loop's label takes its parameters */
    {"type mismatch", 0, BYTES(0x41, 0, 0x03, 3, DROP, 0x0c, 0, 0x0b)},
    {"unknown type 8", 0, BYTES(0x02, 8, 0x0b)},
    {"unknown type 4", 0, BYTES(0x02, 4, 0x0b)},
    {"malformed value type", 0, BYTES(0x02, 0x41, 0x0b)},
    {"malformed block type", 0, BYTES(0x02, 0xff, 0x7f, 0x0b)}, /* i32 in two bytes */
    {"unexpected end", 0, BYTES(0x02, 0x40)},
    {"unexpected 'else'", 0, BYTES(0x05)},
    {"unexpected 'else'", 0, BYTES(0x41, 0, 0x04, 0x40, 0x05, 0x05, 0x0b)},
    {"type mismatch", 0, BYTES(0x41, 0, 0x04, 0x7f, 0x41, 0, 0x0b, DROP)}, /* no else */
    {NULL, 1, BYTES(0x41, 0, 0x41, 0, 0x04, 1, 0x0b)},
    {NULL, 1, BYTES(0x41, 0, 0x04, 0x7f, 0x41, 0, 0x05, 0x41, 1, 0x0b)},
    {"type mismatch", 1, BYTES(0x41, 0, 0x04, 0x7f, 0x41, 0, 0x05, 0x0b)},
    /* branches */
    {"unknown label 1", 0, BYTES(0x0c, 1)},
    {"type mismatch", 1, BYTES(0x0c, 0)},
    {NULL, 1, BYTES(0x41, 0, 0x41, 0, 0x0d, 0)},
    {"type mismatch", 1, BYTES(0x41, 0, 0x0d, 0)},
    {NULL, 0, BYTES(0x41, 0, 0x0e, 2, 0, 0, 0)},
    {"unknown label 1", 0, BYTES(0x41, 0, 0x0e, 1, 1, 0)},
    {"type mismatch: labels", 1, BYTES(0x02, 0x40, 0x41, 0, 0x41, 0, 0x0e, 1, 0, 1, 0x0b, U)},
    {NULL, 1, BYTES(0x02, 0x7c, U, 0x0e, 1, 0, 1, 0x0b, U)}, /* i32 and f64, below nothing */
    {"type mismatch", 1, BYTES(0x02, 0x7c, U, 0x41, 0, 0x41, 0, 0x0e, 1, 0, 1, 0x0b, U)},
    {"unexpected end", 0, BYTES(0x41, 0, 0x0e, 0xff, 0xff, 0xff, 0xff, 0x0f)},
    {"type mismatch", 1, BYTES(0x0f)},
    /* calls */
    {NULL, 1, BYTES(0x41, 0, 0x10, 1)},
    {"type mismatch", 0, BYTES(0x10, 1, DROP)},
    {NULL, 1, BYTES(0x41, 0, 0x12, 1)},
    {"type mismatch", 0, BYTES(0x41, 0, 0x12, 1)},
    {NULL, 0, BYTES(0x41, 0, 0x11, 0, 0)},
    {"unknown table 2", 0, BYTES(0x41, 0, 0x11, 0, 2)},
    {"unknown type 9", 0, BYTES(0x41, 0, 0x11, 9, 0)},
    {"type mismatch", 0, BYTES(0x41, 0, 0x11, 0, 1)}, /* a table of externref */
    {"type mismatch", 0, BYTES(0x41, 0, 0x11, 4, 0)},
    {NULL, 0, BYTES(0xd2, 0, 0x14, 0)},
    {"type mismatch", 0, BYTES(0xd2, 0, 0x14, 2, DROP, DROP)},
    {"undeclared function reference", 0, BYTES(0xd2, 1, DROP)},
    /* memory */
    {NULL, 0, BYTES(0x41, 0, 0x28, 2, 0, DROP)},
    {NULL, 0, BYTES(0x42, 0, 0x28, 0x42, 1, 0, DROP)},
    {"type mismatch", 0, BYTES(0x41, 0, 0x28, 0x42, 1, 0, DROP)},
    {"unknown memory 2", 0, BYTES(0x41, 0, 0x28, 0x42, 2, 0, DROP)},
    {"alignment must not be larger than natural", 0, BYTES(0x41, 0, 0x28, 3, 0, DROP)},
    {"malformed memop flags", 0, BYTES(0x41, 0, 0x28, 0x80, 1, 0, DROP)},
    {"offset out of range", 0, BYTES(0x41, 0, 0x28, 2, 0x80, 0x80, 0x80, 0x80, 0x10, DROP)},
    {NULL, 0, BYTES(0x42, 0, 0x28, 0x42, 1, 0x80, 0x80, 0x80, 0x80, 0x10, DROP)},
    {"atomic alignment must be natural", 0, BYTES(0x41, 0, 0xfe, 0x10, 1, 0, DROP)},
    {NULL, 0, BYTES(0x41, 0, 0xfe, 0x10, 2, 0, DROP)},
    {"zero byte expected", 0, BYTES(0xfe, 3, 1)},
    {NULL, 0, BYTES(0x3f, 0, DROP)},
    {"type mismatch", 0, BYTES(0x41, 0, 0x40, 1, DROP)},
    {NULL, 0, BYTES(0x42, 0, 0x41, 0, 0x41, 0, 0xfc, 0x0a, 1, 0)}, /* 64 <- 32: length is i32 */
    {"type mismatch", 0, BYTES(0x42, 0, 0x41, 0, 0x42, 0, 0xfc, 0x0a, 1, 0)},
    {NULL, 0, BYTES(0xfc, 0x09, 0)},
    {"unknown data segment 1", 0, BYTES(0xfc, 0x09, 1)},
    {"unknown elem segment 1", 0, BYTES(0xfc, 0x0d, 1)},
    {"invalid lane index 16", 0, BYTES(U, 0xfd, 0x15, 16, DROP)},
    {"invalid lane index 2", 0, BYTES(U, 0xfd, 0x1d, 2, DROP)},
    {"invalid lane index 4", 0, BYTES(U, 0xfd, 0x56, 2, 0, 4, DROP)},
    {"invalid lane index 32", 0,
     BYTES(U, 0xfd, 0x0d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, DROP)},
    /* select with a type */
    {NULL, 1, BYTES(0x41, 0, 0x41, 0, 0x41, 0, 0x1c, 1, 0x7f)},
    {"invalid result arity", 0, BYTES(U, 0x1c, 0, DROP)},
    {"invalid result arity", 0, BYTES(U, 0x1c, 2, 0x7f, 0x7f, DROP)},
    {"type mismatch", 0, BYTES(0xd0, 0x70, 0xd0, 0x70, 0x41, 0, 0x1b, DROP)},
    /* references, structs, arrays */
    {NULL, 0, BYTES(0x41, 0, 0x42, 0, 0xfb, 0, 4, DROP)},
    {NULL, 0, BYTES(0xfb, 1, 4, 0xfb, 3, 4, 0, DROP)},
    {"type mismatch: field is packed", 0, BYTES(0xfb, 1, 4, 0xfb, 2, 4, 0, DROP)},
    {"type mismatch: field is not packed", 0, BYTES(0xfb, 1, 4, 0xfb, 4, 4, 1, DROP)},
    {"unknown field 2", 0, BYTES(0xfb, 1, 4, 0xfb, 2, 4, 2, DROP)},
    {"immutable field", 0, BYTES(0xfb, 1, 4, 0x42, 0, 0xfb, 5, 4, 1)},
    {"type mismatch: type 0 is not a struct type", 0, BYTES(0xfb, 1, 0, DROP)},
    {NULL, 0, BYTES(0x41, 0, 0xfb, 7, 5, 0xfb, 0x0f, DROP)},
    {NULL, 0, BYTES(0x41, 0, 0x41, 0, 0xfb, 9, 5, 0, DROP)},
    {"unknown data segment 3", 0, BYTES(0x41, 0, 0x41, 0, 0xfb, 9, 5, 3, DROP)},
    {"type mismatch", 0, BYTES(0x41, 0, 0x41, 0, 0xfb, 10, 5, 0, DROP)},
    {NULL, 0, BYTES(0x41, 0, 0xfb, 0x1c, 0xfb, 0x1d, DROP)},
    {NULL, 0, BYTES(0xd0, 0x6e, 0xfb, 0x14, 4, DROP)},
    {"type mismatch", 0, BYTES(0xd0, 0x70, 0xfb, 0x14, 4, DROP)},
    {"malformed cast flags", 0, BYTES(U, 0xfb, 0x18, 4, 0, 0x6e, 0x6e)},
    {"type mismatch", 0,
     BYTES(0x02, 0x6e, 0xd0, 0x6b, 0xfb, 0x18, 3, 0, 0x6b, 0x6e, U, 0x0b, DROP)}, /* up */
    {NULL, 0, BYTES(0x02, 0x6b, 0xd0, 0x6e, 0xfb, 0x18, 3, 0, 0x6e, 0x6b, DROP, U, 0x0b, DROP)},
    {"malformed heap type", 0, BYTES(0xd0, 0x41, DROP)},
    {"unknown type 99", 0, BYTES(0xd0, 0xe3, 0x00, DROP)},
    /* exceptions */
    {NULL, 0, BYTES(0x41, 0, 0x08, 0)},
    {"type mismatch", 0, BYTES(0x08, 0)},
    {"unknown tag 1", 0, BYTES(0x08, 1)},
    {NULL, 0, BYTES(0x02, 0x7f, 0x1f, 0x40, 1, 0, 0, 0, 0x0b, 0x41, 0, 0x0b, DROP)},
    {"type mismatch", 0, BYTES(0x02, 0x7e, 0x1f, 0x40, 1, 0, 0, 0, 0x0b, 0x42, 0, 0x0b, DROP)},
    {NULL, 0, BYTES(0x02, 0x69, 0x1f, 0x40, 1, 3, 0, 0x0b, 0xd0, 0x69, 0x0b, 0x0a)},
    {"malformed catch clause", 0, BYTES(0x1f, 0x40, 1, 4, 0, 0x0b)},
    {"type mismatch", 0, BYTES(0x1f, 0x40, 1, 1, 0, 0, 0x0b)},
    {"unknown label 1", 0, BYTES(0x1f, 0x40, 1, 2, 1, 0x0b)}, /* from outside of the block */
    {NULL, 0, BYTES(0x06, 0x40, 0x07, 0, DROP, 0x19, 0x09, 0, 0x0b)},
    {"unexpected 'catch'", 0, BYTES(0x06, 0x40, 0x19, 0x07, 0, DROP, 0x0b)},
    {"unexpected 'catch_all'", 0, BYTES(0x19)},
    {"invalid rethrow label", 0, BYTES(0x06, 0x40, 0x09, 0, 0x0b)},
    {NULL, 0, BYTES(0x06, 0x40, 0x18, 0)},
    {"unknown label 1", 0, BYTES(0x06, 0x40, 0x18, 1)},
    {"unexpected 'delegate'", 0, BYTES(0x02, 0x40, 0x18, 0)},
};

static void bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < SV_COUNT(cases); i++) {
        const struct body_case *c = &cases[i];
        struct sv_err err = {0};
        struct sv_buf body;
        bool closed = c->text && strncmp(c->text, "unexpected end", 14) == 0;
        int r;

        sv_buf_init(&body, 4096);
        put_byte(&body, 0);
        put(&body, c->body, c->len);
        if (!closed)
            put_byte(&body, 0x0b);
        r = validate_body(c->type, body.data, body.len, &err);
        sv_buf_release(&body);
        if (!c->text ? r != 0
                     : (r != SV_EINVALID && r != SV_EMALFORMED) ||
                           strncmp(err.text, c->text, strlen(c->text)) != 0)
            fail_msg("case %zu: code %d '%s' at 0x%llx, expected '%s'", i, r, err.text,
                     (unsigned long long)err.offset, c->text ? c->text : "valid");
    }
}

static const struct body_case with_locals[] = {
    /* one local (ref func), then 1000 i32, then another */
    {"uninitialized local 0", 0, BYTES(1, 1, 0x64, 0x70, 0x20, 0, DROP, 0x0b)},
    {NULL, 0, BYTES(1, 1, 0x64, 0x70, 0xd2, 0, 0x21, 0, 0x20, 0, DROP, 0x0b)},
    {NULL, 0, BYTES(1, 1, 0x64, 0x70, 0xd2, 0, 0x22, 0, DROP, 0x20, 0, DROP, 0x0b)},
    {"uninitialized local 0", 0,
     BYTES(1, 1, 0x64, 0x70, 0x02, 0x40, 0xd2, 0, 0x21, 0, 0x0b, 0x20, 0, DROP, 0x0b)},
    {NULL, 0,
     BYTES(1, 1, 0x64, 0x70, 0xd2, 0, 0x21, 0, 0x02, 0x40, 0x20, 0, DROP, 0x0b, 0x20, 0, DROP,
           0x0b)},
    {"uninitialized local 0", 0,
     BYTES(1, 1, 0x64, 0x70, 0x41, 0, 0x04, 0x40, 0xd2, 0, 0x21, 0, 0x05, 0x20, 0, DROP, 0x0b,
           0x0b)},
    {"uninitialized local 1001", 0,
     BYTES(3, 1, 0x64, 0x70, 0xe8, 0x07, 0x7f, 1, 0x64, 0x70, 0x20, 0xe8, 0x07, DROP, 0x20, 0xe9,
           0x07, DROP, 0x0b)},
    {NULL, 0,
     BYTES(3, 1, 0x64, 0x70, 0xe8, 0x07, 0x7f, 1, 0x64, 0x70, 0xd2, 0, 0x21, 0xe9, 0x07, 0x20, 0xe9,
           0x07, DROP, 0x0b)},
    {"type mismatch", 0, BYTES(2, 0xe8, 0x07, 0x7f, 1, 0x7e, 0x20, 0xe8, 0x07, 0x45, DROP, 0x0b)},
    {"unknown local 1002", 0, BYTES(2, 0xe8, 0x07, 0x7f, 2, 0x7e, 0x20, 0xea, 0x07, DROP, 0x0b)},
    {NULL, 0, BYTES(3, 0xe8, 0x07, 0x7f, 0, 0x7c, 2, 0x7e, 0x20, 0xe9, 0x07, 0x50, DROP, 0x0b)},
    {"too many locals", 0, BYTES(2, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x7f, 1, 0x7f, 0x0b)},
    {"unexpected end", 0, BYTES(0xff, 0xff, 0xff, 0xff, 0x0f, 0x0b)},
    {"section size mismatch", 0, BYTES(0, 0x0b, 0x0b)},
    {"unexpected end", 0, (const uint8_t *)"", 0},
};

/* Locals that must be set before they are read; blocks forget at their end (spec 3.4.1, 3.5.2). */
static void initialisation(void **state)
{
    (void)state;
    for (size_t i = 0; i < SV_COUNT(with_locals); i++) {
        const struct body_case *c = &with_locals[i];
        struct sv_err err = {0};
        int r = validate_body(0, c->body, c->len, &err);

        if (!c->text ? r != 0 : r == 0 || strncmp(err.text, c->text, strlen(c->text)) != 0)
            fail_msg("case %zu: code %d '%s'", i, r, err.text);
    }
}

static void put_kind(struct sv_buf *b, char kind)
{
    static const uint8_t zeros[16] = {0};

    switch (kind) {
    case 'i':
        put(b, BYTES(0x41, 0));
        break;
    case 'I':
        put(b, BYTES(0x42, 0));
        break;
    case 'f':
        put_byte(b, 0x43);
        put(b, zeros, 4);
        break;
    case 'F':
        put_byte(b, 0x44);
        put(b, zeros, 8);
        break;
    case 'v':
        put(b, BYTES(0xfd, 0x0c));
        put(b, zeros, 16);
        break;
    default:
        fail_msg("kind '%c'", kind);
    }
}

/* The immediates of a simple instruction, all zero, for memory 0 or the 64-bit memory 1. */
static void put_immediates(struct sv_buf *b, enum sv_op op, bool m64)
{
    unsigned imm = sv_op_info[op].imm, n = 0;

    if (imm == IMM_MEMARG || imm == IMM_MEMARG_LANE) {
        put_byte(b, sv_op_access_log2(op) | (m64 ? 0x40u : 0));
        if (m64)
            put_byte(b, 1);
        n = imm == IMM_MEMARG ? 1 : 2;
    } else if (imm == IMM_MEMORY_INIT)
        put(b, BYTES(0, m64));
    else if (imm == IMM_MEMORY)
        put_byte(b, m64);
    else
        n = imm == IMM_NONE                         ? 0
            : imm == IMM_V128 || imm == IMM_SHUFFLE ? 16
            : imm == IMM_F64                        ? 8
            : imm == IMM_F32                        ? 4
                                                    : 1;
    while (n-- > 0)
        put_byte(b, 0);
}

static int try_row(enum sv_op op, bool m64, int wrong, bool drop)
{
    const struct sv_op_info *info = &sv_op_info[op];
    const char *colon = strchr(info->sig, ':');
    struct sv_buf body;
    int r;

    sv_buf_init(&body, 4096);
    put_byte(&body, 0);
    for (const char *c = info->sig; c < colon; c++) {
        char kind = *c == 'a' ? (m64 ? 'I' : 'i') : *c;

        put_kind(&body, c - info->sig != wrong ? kind : kind == 'f' ? 'v' : 'f');
    }
    if (info->code >> 16) {
        put_byte(&body, info->code >> 16);
        put_u64(&body, info->code & 0xffff);
    } else
        put_byte(&body, info->code);
    put_immediates(&body, op, m64);
    if (drop && colon[1]) { /* the result has the type that the row says: a local of it takes it */
        char kind = colon[1] == 'a' ? (m64 ? 'I' : 'i') : colon[1];

        put_kind(&body, kind);
        put(&body, BYTES(0x41, 0, 0x1b, DROP));
    }
    put_byte(&body, 0x0b);
    r = validate_body(0, body.data, body.len, NULL);
    sv_buf_release(&body);
    return r;
}

/* Every row with a signature: taken with its operands and result, refused with any other operand or
 * without the drop. */
static void rows(void **state)
{
    unsigned n = 0;

    (void)state;
    for (unsigned op = 0; op < OP_COUNT; op++) {
        const char *sig = sv_op_info[op].sig, *colon = strchr(sig, ':');

        if (!colon)
            continue;
        for (int m64 = 0; m64 < 2; m64++) {
            if (try_row((enum sv_op)op, m64, -1, true) != 0)
                fail_msg("'%s' refused", sv_op_info[op].text);
            if (colon[1])
                assert_int_equal(try_row((enum sv_op)op, m64, -1, false), SV_EINVALID);
            for (int wrong = 0; wrong < colon - sig; wrong++)
                if (try_row((enum sv_op)op, m64, wrong, true) != SV_EINVALID)
                    fail_msg("'%s' with wrong operand %d accepted", sv_op_info[op].text, wrong);
        }
        n++;
    }
    assert_true(n > 480);
}

/* Every instruction typed by hand has its function: none ends in an internal error. */
static void hand_typed(void **state)
{
    (void)state;
    for (unsigned op = 0; op < OP_COUNT; op++) {
        struct sv_err err = {0};
        struct sv_buf body;

        sv_buf_init(&body, 4096);
        put(&body, BYTES(0, U));
        if (sv_op_info[op].code >> 16) {
            put_byte(&body, sv_op_info[op].code >> 16);
            put_u64(&body, sv_op_info[op].code & 0xffff);
        } else
            put_byte(&body, sv_op_info[op].code);
        put(&body, BYTES(0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b));
        (void)validate_body(0, body.data, body.len, &err);
        assert_int_not_equal(err.code, SV_EINTERNAL);
        sv_buf_release(&body);
    }
}

/* Bombs: small bodies that ask for much work end soon, one way or the other. */
static void bombs(void **state)
{
    struct sv_buf b, s, body;
    struct sv_err err = {0};

    (void)state;
    /* a million calls of a function with 1000 results: the operands are bounded */
    put_header(&b);
    sv_buf_init(&s, SIZE_MAX / 2);
    put(&s, BYTES(2, 0x60, 0, 0, 0x60, 0, 0xe8, 0x07));
    for (unsigned i = 0; i < 1000; i++)
        put_byte(&s, 0x7f);
    put_section(&b, 1, &s);
    put(&b, BYTES(3, 3, 2, 0, 1));
    sv_buf_init(&body, SIZE_MAX / 2);
    put_byte(&body, 0);
    for (unsigned i = 0; i < 1000000; i++)
        put(&body, BYTES(0x10, 1));
    put_byte(&body, 0x0b);
    sv_buf_init(&s, SIZE_MAX / 2);
    put_byte(&s, 2);
    put_u64(&s, body.len);
    put(&s, body.data, body.len);
    put(&s, BYTES(3, 0, 0, 0x0b));
    put_section(&b, 10, &s);
    sv_buf_release(&body);
    assert_int_equal(decode_buf(&b, &err), SV_ELIMIT);
    assert_int_equal(strncmp(err.text, "more than 1000000 operands", 26), 0);
}

/* 1000 operands that match their label only as subtypes, again and again: the comparisons are
 * bounded. */
static void match_bomb(void **state)
{
    struct sv_buf b, s, body;
    struct sv_err err = {0};

    (void)state;
    put_header(&b);
    sv_buf_init(&s, SIZE_MAX / 2);
    put(&s, BYTES(3, 0x60, 0, 0, 0x60, 0, 0xe8, 0x07));
    for (unsigned i = 0; i < 1000; i++)
        put_byte(&s, 0x71);
    put(&s, BYTES(0x60, 0, 0xe8, 0x07));
    for (unsigned i = 0; i < 1000; i++)
        put_byte(&s, 0x6e);
    put_section(&b, 1, &s);
    put(&b, BYTES(3, 3, 2, 2, 1));
    sv_buf_init(&body, SIZE_MAX / 2);
    put_byte(&body, 0);
    for (unsigned i = 0; i < 1000000; i++) /* call 1, return the thousand (dead code stays dead) */
        put(&body, BYTES(0x10, 1, 0x0f));
    put_byte(&body, 0x0b);
    sv_buf_init(&s, SIZE_MAX / 2);
    put_byte(&s, 2);
    put_u64(&s, body.len);
    put(&s, body.data, body.len);
    put(&s, BYTES(3, 0, 0, 0x0b));
    put_section(&b, 10, &s);
    sv_buf_release(&body);
    assert_int_equal(decode_buf(&b, &err), SV_ELIMIT);
    assert_non_null(strstr(err.text, "operands to compare"));
}

/* 50,000 locals in each of very many functions: no work for each local. */
static void locals_bomb(void **state)
{
    struct sv_buf b;

    (void)state;
    put_header(&b);
    put(&b, BYTES(1, 4, 1, 0x60, 0, 0));
    put_repeated(&b, 3, 200000, "\0", 1);
    put_repeated(&b, 10, 200000, BYTES(6, 1, 0xd0, 0x86, 3, 0x7b, 0x0b));
    assert_int_equal(decode_buf(&b, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bodies),      cmocka_unit_test(initialisation),
        cmocka_unit_test(rows),        cmocka_unit_test(hand_typed),
        cmocka_unit_test(bombs),       cmocka_unit_test(match_bomb),
        cmocka_unit_test(locals_bomb),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
