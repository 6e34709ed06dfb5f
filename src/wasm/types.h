/* Types of WebAssembly 3.0: value types, canonical (engine-wide) defined types, and the registry
 * that makes them canonical. Spec: 3.0 sections 2.3 (types), 3.1 and 3.3 (validity, matching). */
#ifndef SV_WASM_TYPES_H
#define SV_WASM_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/buf.h"
#include "base/err.h"

/* Kind of a value (low byte of an sv_valtype). I8 and I16 are storage types of fields only. */
enum sv_valkind {
    SV_VAL_BOT, /* any type: operands of unreachable code */
    SV_VAL_I32,
    SV_VAL_I64,
    SV_VAL_F32,
    SV_VAL_F64,
    SV_VAL_V128,
    SV_VAL_REF,
    SV_VAL_I8,
    SV_VAL_I16,
    SV_VAL_COUNT
};

/* Heap types: the abstract ones, then (from SV_HEAP_CONCRETE) canonical type ids. */
enum sv_heap {
    SV_HEAP_FUNC,
    SV_HEAP_NOFUNC,
    SV_HEAP_EXTERN,
    SV_HEAP_NOEXTERN,
    SV_HEAP_ANY,
    SV_HEAP_EQ,
    SV_HEAP_I31,
    SV_HEAP_STRUCT,
    SV_HEAP_ARRAY,
    SV_HEAP_NONE,
    SV_HEAP_EXN,
    SV_HEAP_NOEXN,
    SV_HEAP_BOT, /* heap type of an unknown reference (validation only) */
    SV_HEAP_CONCRETE = 16
};

/* A value or storage type in 32 bits: kind in bits 0-7, nullable in bit 8, heap type in bits 9-31.
 * Concrete heap types are canonical ids, so equal types are equal numbers, in every module of an
 * engine. */
typedef uint32_t sv_valtype;

#define SV_VALTYPE(kind) ((sv_valtype)(kind))
#define SV_REFTYPE(heap, nullable)                                                                 \
    ((sv_valtype)(SV_VAL_REF | ((nullable) ? 1u << 8 : 0u) | (uint32_t)(heap) << 9))
static inline enum sv_valkind sv_valtype_kind(sv_valtype t)
{
    return (enum sv_valkind)(t & 0xff);
}
static inline bool sv_valtype_is_ref(sv_valtype t)
{
    return (t & 0xff) == SV_VAL_REF;
}
static inline bool sv_valtype_nullable(sv_valtype t)
{
    return (t >> 8 & 1) != 0;
}
static inline uint32_t sv_valtype_heap(sv_valtype t)
{
    return t >> 9;
}
/* Canonical id of a concrete reference type; call only when heap >= SV_HEAP_CONCRETE. */
static inline uint32_t sv_valtype_id(sv_valtype t)
{
    return (t >> 9) - SV_HEAP_CONCRETE;
}
/* Slots of 8 bytes in frames and argument arrays: 2 for v128, else 1. */
static inline unsigned sv_valtype_slots(sv_valtype t)
{
    return (t & 0xff) == SV_VAL_V128 ? 2 : 1;
}

#define SV_FUNCREF SV_REFTYPE(SV_HEAP_FUNC, true)
#define SV_EXTERNREF SV_REFTYPE(SV_HEAP_EXTERN, true)
#define SV_ANYREF SV_REFTYPE(SV_HEAP_ANY, true)
#define SV_EXNREF SV_REFTYPE(SV_HEAP_EXN, true)

enum sv_form { SV_FORM_FUNC, SV_FORM_STRUCT, SV_FORM_ARRAY };

struct sv_field {
    sv_valtype type; /* I8 and I16 allowed */
    bool mut;
    uint8_t size; /* bytes in an object: 1, 2, 4, 8, 16 */
    uint32_t
        offset; /* from the start of the object, header included; for arrays the first element's */
};

/* A canonical defined type. Immutable, address stable while any module that uses it lives. Two
 * types are equal if and only if their pointers are (iso-recursive equality, spec 3.1.?: rec
 * groups). */
struct sv_type {
    uint32_t id; /* canonical */
    uint8_t form;
    bool final;
    uint16_t depth; /* number of proper supertypes */
    const struct sv_type *const
        *supers; /* depth + 1 entries: supers[depth] == this, supers[0] = the root */
    union {
        struct {
            uint32_t nparams, nresults;
            const sv_valtype *params, *results;
            uint32_t param_slots, result_slots; /* 8-byte slots, v128 counts two */
        } func;
        struct {
            uint32_t nfields;
            const struct sv_field *fields;
            uint32_t size;    /* bytes of an object, header included, multiple of 8 */
            bool defaultable; /* every field is */
        } strct;
        struct {
            struct sv_field field;
        } array;
    };
    const void *group; /* registry's */
};

/* Object layout in the GC heap (runtime/gc.h): structs: 8-byte header, fields at natural alignment
 * from 8; arrays: 8-byte header, u32 length at 8, elements from 16. */
#define SV_GC_STRUCT_BASE 8
#define SV_GC_ARRAY_BASE 16

static inline bool sv_type_matches(const struct sv_type *sub, const struct sv_type *super)
{
    return sub == super || (sub->depth >= super->depth && sub->supers[super->depth] == super);
}

/* The registry of canonical types: one per engine. Adding takes a lock; lookups do not. */
struct sv_types;
own struct sv_types *sv_types_new(void);
void sv_types_delete(own struct sv_types *);
/* The type with canonical id `id`; borrowed, valid while its module lives. */
const struct sv_type *sv_types_get(const struct sv_types *, uint32_t id);
/* The canonical type of a plain function type (final, no supertype, a group of its own), for host
 * functions and embedders. Lives as long as the registry. NULL = out of memory or too many types.
 */
const struct sv_type *sv_types_func(struct sv_types *, const sv_valtype *params, uint32_t nparams,
                                    const sv_valtype *results, uint32_t nresults);

/* Matching (spec 3.3): sub <= super. */
bool sv_heap_matches(const struct sv_types *, uint32_t sub, uint32_t super);
bool sv_valtype_matches(const struct sv_types *, sv_valtype sub, sv_valtype super);
/* The abstract top of a heap type's hierarchy: SV_HEAP_FUNC, EXTERN, ANY or EXN. */
uint32_t sv_heap_top(const struct sv_types *, uint32_t heap);
/* False only for non-nullable references. */
static inline bool sv_valtype_defaultable(sv_valtype t)
{
    return !sv_valtype_is_ref(t) || sv_valtype_nullable(t);
}
/* True when a value of this type may point into the GC heap (any, extern and exn hierarchies). */
bool sv_valtype_is_traced(const struct sv_types *, sv_valtype t);

/* "i32", "(ref null 3)", "funcref": the text format's spelling; concrete types as canonical ids
 * unless `module` gives indexes. */
struct sv_module;
void sv_valtype_print(struct sv_buf *, const struct sv_module *, sv_valtype t);
void sv_functype_print(struct sv_buf *, const struct sv_module *,
                       const struct sv_type *t); /* (i32, i64) -> (f32) */

#endif
