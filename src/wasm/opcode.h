/* The list of instructions as C: enum, table, decoding of opcodes. Everything is expanded from
 * opcode.def. */
#ifndef SV_WASM_OPCODE_H
#define SV_WASM_OPCODE_H

#include <stdint.h>

#include "wasm/module.h"

enum sv_op {
#define OP(name, code, text, imm, sig, feature, cost) OP_##name,
#include "wasm/opcode.def"
#undef OP
    OP_COUNT
};

/* Shapes of immediates. */
enum sv_imm {
#define IMM(name) IMM_##name,
#include "wasm/imm.def"
#undef IMM
    IMM_COUNT
};

struct sv_op_info {
    const char *text; /* text format */
    const char *sig;  /* see opcode.def */
    uint32_t code;    /* prefix << 16 | sub */
    uint8_t imm, feature, cost;
};
extern const struct sv_op_info sv_op_info[OP_COUNT];

/* The op of a binary opcode (`code` = byte, or prefix << 16 | sub); OP_COUNT when there is none. */
enum sv_op sv_op_find(uint32_t code);

/* The same as a table, for loops over code: sv_op_slot[SV_OP_SLOT(code)] - 1, 0 when there is none.
 * One-byte opcodes lie at their own value, a prefix has SV_OP_SUBS slots. */
#define SV_OP_SUBS 0x120u
#define SV_OP_SLOTS (256 + 4 * SV_OP_SUBS)
#define SV_OP_SLOT(code)                                                                           \
    ((code) < 256 ? (code) : 256 + (((code) >> 16) - 0xfb) * SV_OP_SUBS + ((code) & 0xffff))
extern const uint16_t sv_op_slot[SV_OP_SLOTS];

/* log2 of the bytes that a memory instruction accesses (its natural alignment); 0 for others. */
extern const uint8_t sv_op_access_log2_of[OP_COUNT];
static inline unsigned sv_op_access_log2(enum sv_op op)
{
    return sv_op_access_log2_of[op];
}

#endif
