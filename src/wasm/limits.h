/* Every limit of the decoder and validator, named. Those of the JavaScript API's implementation
 * limits, or tighter; the limits of a running instance are the store's, not here. */
#ifndef SV_WASM_LIMITS_H
#define SV_WASM_LIMITS_H

#define SV_LIMIT_MODULE_BYTES (1u << 30)
#define SV_LIMIT_TYPES 1000000u
#define SV_LIMIT_REC_GROUP 1000000u
#define SV_LIMIT_SUBTYPE_DEPTH 63u
#define SV_LIMIT_SUPERTYPE_ENTRIES 8000000u /* sum of depth + 1 over a module's types: 64 MB */
#define SV_LIMIT_REGISTRY_TYPES 8000000u    /* of all modules of an engine: ids have 23 bits */
#define SV_LIMIT_FUNCTIONS 1000000u
#define SV_LIMIT_IMPORTS 1000000u
#define SV_LIMIT_EXPORTS 1000000u
#define SV_LIMIT_GLOBALS 1000000u
#define SV_LIMIT_TAGS 1000000u
#define SV_LIMIT_TABLES 100u
#define SV_LIMIT_MEMORIES 100u
#define SV_LIMIT_DATA_SEGMENTS 100000u
#define SV_LIMIT_ELEM_SEGMENTS 1000000u
#define SV_LIMIT_ELEM_ENTRIES 10000000u /* of one segment */
#define SV_LIMIT_BODY_BYTES 7654321u
#define SV_LIMIT_LOCALS 50000u
#define SV_LIMIT_PARAMS 1000u
#define SV_LIMIT_RESULTS 1000u
#define SV_LIMIT_FIELDS 10000u
#define SV_LIMIT_NEW_FIXED 10000u
#define SV_LIMIT_BR_TABLE 65520u
#define SV_LIMIT_NAME_BYTES 100000u
#define SV_LIMIT_OPERANDS 1000000u /* height of the operand stack */
#define SV_LIMIT_NESTING 1000000u  /* open blocks of a function */
/* Operands compared one by one, where two bytes of code can ask for a thousand: a base, and so many
 * for each byte of the module. It keeps validation linear with a small factor; real modules stay
 * far below one a byte. */
#define SV_LIMIT_MATCHES_BASE 10000000u
#define SV_LIMIT_MATCHES_PER_BYTE 20u

/* Of the specification: larger ones are invalid, not too large (spec 3.2.15, 3.2.16). */
#define SV_MEMORY32_PAGES (UINT64_C(1) << 16)
#define SV_MEMORY64_PAGES (UINT64_C(1) << 48)
#define SV_TABLE32_ENTRIES UINT64_C(0xffffffff)

#endif
