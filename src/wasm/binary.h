/* The binary format's numbers (spec 5.3, 5.5): type codes and sections. Not the instructions
 * (opcode.def). */
#ifndef SV_WASM_BINARY_H
#define SV_WASM_BINARY_H

#include "wasm/types.h"

#define SV_BINARY_EMPTY 0x40
#define SV_BINARY_REF_NULL 0x63
#define SV_BINARY_REF 0x64
#define SV_BINARY_FUNC 0x60
#define SV_BINARY_STRUCT 0x5f
#define SV_BINARY_ARRAY 0x5e
#define SV_BINARY_SUB 0x50
#define SV_BINARY_SUB_FINAL 0x4f
#define SV_BINARY_REC 0x4e

enum sv_section {
    SV_SECTION_CUSTOM,
    SV_SECTION_TYPE,
    SV_SECTION_IMPORT,
    SV_SECTION_FUNCTION,
    SV_SECTION_TABLE,
    SV_SECTION_MEMORY,
    SV_SECTION_GLOBAL,
    SV_SECTION_EXPORT,
    SV_SECTION_START,
    SV_SECTION_ELEMENT,
    SV_SECTION_CODE,
    SV_SECTION_DATA,
    SV_SECTION_DATA_COUNT,
    SV_SECTION_TAG,
    SV_SECTION_COUNT
};

/* Abstract heap type of a one-byte code; -1 when it is none. */
static inline int sv_binary_heap(uint8_t code)
{
    switch (code) {
    case 0x74:
        return SV_HEAP_NOEXN;
    case 0x73:
        return SV_HEAP_NOFUNC;
    case 0x72:
        return SV_HEAP_NOEXTERN;
    case 0x71:
        return SV_HEAP_NONE;
    case 0x70:
        return SV_HEAP_FUNC;
    case 0x6f:
        return SV_HEAP_EXTERN;
    case 0x6e:
        return SV_HEAP_ANY;
    case 0x6d:
        return SV_HEAP_EQ;
    case 0x6c:
        return SV_HEAP_I31;
    case 0x6b:
        return SV_HEAP_STRUCT;
    case 0x6a:
        return SV_HEAP_ARRAY;
    case 0x69:
        return SV_HEAP_EXN;
    default:
        return -1;
    }
}

/* Value type of a one-byte code; SV_VAL_BOT when it is none, or longer than a byte. */
static inline sv_valtype sv_binary_valtype(uint8_t code)
{
    int heap;

    switch (code) {
    case 0x7f:
        return SV_VAL_I32;
    case 0x7e:
        return SV_VAL_I64;
    case 0x7d:
        return SV_VAL_F32;
    case 0x7c:
        return SV_VAL_F64;
    case 0x7b:
        return SV_VAL_V128;
    default:
        heap = sv_binary_heap(code);
        return heap < 0 ? SV_VAL_BOT : SV_REFTYPE(heap, true);
    }
}

#endif
