/* The long forms of LEB128 numbers, and unchecked readers of types. The short forms are inline in
 * reader.h. */
#include "wasm/reader.h"

#include "wasm/binary.h"

void sv_read_failed_end(struct sv_reader *r)
{
    r->failure = "unexpected end";
}

static bool fail(struct sv_reader *r, const char *text)
{
    r->failure = text;
    return false;
}

/* Spec 5.2.2: at most ceil(bits / 7) bytes, unused bits of the last one are zero. */
static bool read_unsigned(struct sv_reader *r, unsigned bits, uint64_t *ret)
{
    uint64_t value = 0;
    unsigned shift = 0;

    for (;;) {
        uint8_t byte;

        if (r->p == r->end)
            return fail(r, "unexpected end");
        byte = *r->p;
        if (shift + 7 > bits) {
            if (byte & 0x80)
                return fail(r, "integer representation too long");
            if (byte >> (bits - shift))
                return fail(r, "integer too large");
        }
        r->p++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            break;
        shift += 7;
    }
    *ret = value;
    return true;
}

bool sv_read_u32_long(struct sv_reader *r, uint32_t *ret)
{
    uint64_t value;

    if (!read_unsigned(r, 32, &value))
        return false;
    *ret = (uint32_t)value;
    return true;
}

bool sv_read_u64_long(struct sv_reader *r, uint64_t *ret)
{
    return read_unsigned(r, 64, ret);
}

/* Its highest bit is the sign. */
static int64_t extend_sign(uint64_t value, unsigned bits)
{
    return bits < 64 ? (int64_t)(value << (64 - bits)) >> (64 - bits) : (int64_t)value;
}

/* Spec 5.2.2: unused bits of the last byte repeat the sign. */
bool sv_read_signed_long(struct sv_reader *r, unsigned bits, int64_t *ret)
{
    uint64_t value = 0;
    unsigned shift = 0;

    for (;;) {
        uint8_t byte;

        if (r->p == r->end)
            return fail(r, "unexpected end");
        byte = *r->p;
        if (shift + 7 > bits) {
            /* from the sign bit up, within the seven */
            uint8_t mask = (uint8_t)(0x7f & ~((1u << (bits - shift - 1)) - 1));

            if (byte & 0x80)
                return fail(r, "integer representation too long");
            if ((byte & mask) != 0 && (byte & mask) != mask)
                return fail(r, "integer too large");
        }
        r->p++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
        if (!(byte & 0x80))
            break;
    }
    *ret = extend_sign(value, shift);
    return true;
}

/* A validated number, without its sign; *ret_bits is how many it has. */
static uint64_t code_long(const uint8_t **p, unsigned *ret_bits)
{
    uint64_t value = 0;
    unsigned shift = 0;
    uint8_t byte;

    do {
        byte = *(*p)++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    *ret_bits = shift;
    return value;
}

uint64_t sv_code_u64_long(const uint8_t **p)
{
    unsigned bits;

    return code_long(p, &bits);
}

int64_t sv_code_s64_long(const uint8_t **p)
{
    unsigned bits;
    uint64_t value = code_long(p, &bits);

    return extend_sign(value, bits);
}

uint32_t sv_code_heap(const struct sv_module *m, const uint8_t **p)
{
    int64_t code = sv_code_s64(p);

    if (code >= 0)
        return SV_HEAP_CONCRETE + m->types[code]->id;
    return (uint32_t)sv_binary_heap((uint8_t)(code & 0x7f));
}

sv_valtype sv_code_valtype(const struct sv_module *m, const uint8_t **p)
{
    uint8_t byte = *(*p)++;
    sv_valtype type = sv_binary_valtype(byte);

    if (type != SV_VAL_BOT)
        return type;
    return SV_REFTYPE(sv_code_heap(m, p), byte == SV_BINARY_REF_NULL);
}

uint32_t sv_code_skip_locals(const struct sv_module *m, const uint8_t **p)
{
    uint32_t n = 0;

    for (uint32_t groups = sv_code_u32(p); groups > 0; groups--) {
        n += sv_code_u32(p);
        (void)sv_code_valtype(m, p);
    }
    return n;
}

struct sv_blocktype sv_code_blocktype(const struct sv_module *m, const uint8_t **p)
{
    struct sv_blocktype ret = {NULL, SV_VAL_BOT};

    if (**p == SV_BINARY_EMPTY)
        (*p)++;
    else if ((**p & 0xc0) == 0x40) /* a negative one-byte number */
        ret.result = sv_code_valtype(m, p);
    else
        ret.type = m->types[sv_code_s64(p)];
    return ret;
}

static void skip_numbers(const uint8_t **p, unsigned n)
{
    while (n-- > 0)
        while (*(*p)++ & 0x80) {
        }
}

static void skip_valtype(const uint8_t **p)
{
    uint8_t byte = *(*p)++;

    if (sv_binary_valtype(byte) == SV_VAL_BOT)
        skip_numbers(p, 1);
}

static void skip_blocktype(const uint8_t **p)
{
    if (**p == SV_BINARY_REF || **p == SV_BINARY_REF_NULL)
        skip_valtype(p);
    else
        skip_numbers(p, 1);
}

void sv_code_skip(const uint8_t **p, enum sv_op op)
{
    /* plain sequences of LEB numbers */
    static const uint8_t numbers[IMM_COUNT] = {
        [IMM_LABEL] = 1,      [IMM_FUNC] = 1,        [IMM_TYPE] = 1,        [IMM_CALL_INDIRECT] = 2,
        [IMM_TAG] = 1,        [IMM_LOCAL] = 1,       [IMM_GLOBAL] = 1,      [IMM_TABLE] = 1,
        [IMM_TABLE_COPY] = 2, [IMM_TABLE_INIT] = 2,  [IMM_ELEM] = 1,        [IMM_DATA] = 1,
        [IMM_MEMORY] = 1,     [IMM_MEMORY_COPY] = 2, [IMM_MEMORY_INIT] = 2, [IMM_I32] = 1,
        [IMM_I64] = 1,        [IMM_HEAP] = 1,        [IMM_FIELD] = 2,       [IMM_TYPE_COUNT] = 2,
        [IMM_TYPE_DATA] = 2,  [IMM_TYPE_ELEM] = 2,   [IMM_TYPE_TYPE] = 2,
    };
    static const uint8_t bytes[IMM_COUNT] = {
        [IMM_LANE] = 1, [IMM_SHUFFLE] = 16, [IMM_F32] = 4,
        [IMM_F64] = 8,  [IMM_V128] = 16,    [IMM_FENCE] = 1,
    };
    unsigned imm = sv_op_info[op].imm;
    uint32_t n;

    switch (imm) {
    case IMM_BLOCK:
        skip_blocktype(p);
        break;
    case IMM_TRY_TABLE:
        skip_blocktype(p);
        for (n = sv_code_u32(p); n > 0; n--)
            (void)sv_code_catch(p);
        break;
    case IMM_BR_TABLE:
        for (n = sv_code_u32(p) + 1; n > 0; n--)
            skip_numbers(p, 1);
        break;
    case IMM_MEMARG:
    case IMM_MEMARG_LANE:
        (void)sv_code_memarg(p);
        *p += imm == IMM_MEMARG_LANE;
        break;
    case IMM_SELECT:
        for (n = sv_code_u32(p); n > 0; n--)
            skip_valtype(p);
        break;
    case IMM_BR_ON_CAST:
        *p += 1;
        skip_numbers(p, 3);
        break;
    default:
        skip_numbers(p, numbers[imm]);
        *p += bytes[imm];
        break;
    }
}

bool sv_code_ends_dead(const uint8_t **p, enum sv_op op, uint32_t *depth)
{
    switch (op) {
    case OP_BLOCK:
    case OP_LOOP:
    case OP_IF:
    case OP_TRY:
    case OP_TRY_TABLE:
        ++*depth;
        break;
    case OP_END:
    case OP_DELEGATE:
        if (*depth == 0)
            return true;
        --*depth;
        break;
    case OP_ELSE:
    case OP_CATCH:
    case OP_CATCH_ALL:
        if (*depth == 0)
            return true;
        break;
    default:
        break;
    }
    sv_code_skip(p, op);
    return false;
}
