/* Reading bytes and LEB128 numbers: checked (decoder, validator) and unchecked (code that passed
 * validation). Knows the encoding (spec 5.2), not what the numbers mean; the unchecked half also
 * reads types, as canonical ones. */
#ifndef SV_WASM_READER_H
#define SV_WASM_READER_H

#include <string.h>

#include "wasm/module.h"
#include "wasm/opcode.h"

/* A window on a module's bytes. A failed read returns false, leaves p where the damage is and sets
 * `failure`. */
struct sv_reader {
    const uint8_t *p, *end;
    const uint8_t *base; /* of the file: offsets in messages */
    const char *failure; /* text for the message */
};

static inline uint64_t sv_reader_offset(const struct sv_reader *r)
{
    return (uint64_t)(r->p - r->base);
}
static inline size_t sv_reader_left(const struct sv_reader *r)
{
    return (size_t)(r->end - r->p);
}

/* The long forms, out of line. */
bool sv_read_u32_long(struct sv_reader *, uint32_t *ret);
bool sv_read_u64_long(struct sv_reader *, uint64_t *ret);
/* A signed number of at most `bits` bits (32, 33 or 64). */
bool sv_read_signed_long(struct sv_reader *, unsigned bits, int64_t *ret);
void sv_read_failed_end(struct sv_reader *) __attribute__((cold)); /* "unexpected end" */

static inline bool sv_read_u8(struct sv_reader *r, uint8_t *ret)
{
    if (r->p == r->end) {
        sv_read_failed_end(r);
        return false;
    }
    *ret = *r->p++;
    return true;
}
static inline bool sv_read_u32(struct sv_reader *r, uint32_t *ret)
{
    if (r->p != r->end && *r->p < 0x80) {
        *ret = *r->p++;
        return true;
    }
    return sv_read_u32_long(r, ret);
}
static inline bool sv_read_u64(struct sv_reader *r, uint64_t *ret)
{
    if (r->p != r->end && *r->p < 0x80) {
        *ret = *r->p++;
        return true;
    }
    return sv_read_u64_long(r, ret);
}
static inline bool sv_read_signed(struct sv_reader *r, unsigned bits, int64_t *ret)
{
    if (r->p != r->end && *r->p < 0x80) {
        *ret = (int64_t)((uint64_t)*r->p++ << 57) >> 57;
        return true;
    }
    return sv_read_signed_long(r, bits, ret);
}
/* Step over `n` bytes. */
static inline bool sv_read_skip(struct sv_reader *r, size_t n)
{
    if (sv_reader_left(r) < n) {
        sv_read_failed_end(r);
        return false;
    }
    r->p += n;
    return true;
}

/* ---- Unchecked: only for code and constant expressions of a struct sv_module. Each advances *p.
 * ---- */

uint64_t sv_code_u64_long(const uint8_t **p);
int64_t sv_code_s64_long(const uint8_t **p);

static inline uint32_t sv_code_u32(const uint8_t **p)
{
    if (**p < 0x80)
        return *(*p)++;
    return (uint32_t)sv_code_u64_long(p);
}
static inline uint64_t sv_code_u64(const uint8_t **p)
{
    if (**p < 0x80)
        return *(*p)++;
    return sv_code_u64_long(p);
}
/* s32, s33 and s64 alike. */
static inline int64_t sv_code_s64(const uint8_t **p)
{
    if (**p < 0x80)
        return (int64_t)((uint64_t)*(*p)++ << 57) >> 57;
    return sv_code_s64_long(p);
}
static inline int32_t sv_code_s32(const uint8_t **p)
{
    return (int32_t)sv_code_s64(p);
}
static inline uint32_t sv_code_f32_bits(const uint8_t **p)
{
    uint32_t bits;

    memcpy(&bits, *p, 4);
    *p += 4;
    return bits;
}
static inline uint64_t sv_code_f64_bits(const uint8_t **p)
{
    uint64_t bits;

    memcpy(&bits, *p, 8);
    *p += 8;
    return bits;
}
static inline enum sv_op sv_code_op(const uint8_t **p)
{
    uint32_t code = *(*p)++;

    if (code >= 0xfb)
        code = code << 16 | sv_code_u32(p);
    return (enum sv_op)(sv_op_slot[SV_OP_SLOT(code)] - 1);
}

struct sv_memarg {
    uint32_t align_log2;
    uint32_t memory;
    uint64_t offset;
};
static inline struct sv_memarg sv_code_memarg(const uint8_t **p)
{
    struct sv_memarg arg = {0};
    uint32_t flags = sv_code_u32(p);

    arg.align_log2 = flags & 0x3f;
    if (flags & 0x40)
        arg.memory = sv_code_u32(p);
    arg.offset = sv_code_u64(p);
    return arg;
}

/* Type of a block: by function type, or at most one result. */
struct sv_blocktype {
    const struct sv_type *type; /* NULL: no parameters, and `result` */
    sv_valtype result;          /* SV_VAL_BOT: no result */
};
struct sv_blocktype sv_code_blocktype(const struct sv_module *, const uint8_t **p);
sv_valtype sv_code_valtype(const struct sv_module *, const uint8_t **p);
uint32_t sv_code_heap(const struct sv_module *, const uint8_t **p); /* enum sv_heap or above */

static inline uint32_t sv_blocktype_nparams(const struct sv_blocktype *b)
{
    return b->type ? b->type->func.nparams : 0;
}
static inline const sv_valtype *sv_blocktype_params(const struct sv_blocktype *b)
{
    return b->type ? b->type->func.params : NULL;
}
static inline uint32_t sv_blocktype_nresults(const struct sv_blocktype *b)
{
    return b->type ? b->type->func.nresults : b->result != SV_VAL_BOT;
}
static inline const sv_valtype *sv_blocktype_results(const struct sv_blocktype *b)
{
    return b->type ? b->type->func.results : &b->result;
}

/* One catch clause of try_table. */
enum sv_catch_kind { SV_CATCH, SV_CATCH_REF, SV_CATCH_ALL, SV_CATCH_ALL_REF };
struct sv_catch {
    enum sv_catch_kind kind;
    uint32_t tag; /* not for the `all` kinds */
    uint32_t label;
};
static inline struct sv_catch sv_code_catch(const uint8_t **p)
{
    struct sv_catch c = {0};

    c.kind = (enum sv_catch_kind) * (*p)++;
    if (c.kind <= SV_CATCH_REF)
        c.tag = sv_code_u32(p);
    c.label = sv_code_u32(p);
    return c;
}

/* Step over the declarations of locals at a body's beginning: how many they declare. */
uint32_t sv_code_skip_locals(const struct sv_module *, const uint8_t **p);
/* Step over the immediates of `op`. */
void sv_code_skip(const uint8_t **p, enum sv_op op);
/* Dead code, for the lowerings: does `op` end it? Else its immediates are stepped over. *depth
 * counts the blocks opened in it; 0 at its beginning. */
bool sv_code_ends_dead(const uint8_t **p, enum sv_op op, uint32_t *depth);

#endif
