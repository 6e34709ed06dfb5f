/* Values at run time: slots of 8 bytes, references. */
#ifndef SV_RUNTIME_VALUE_H
#define SV_RUNTIME_VALUE_H

#include <stdbool.h>
#include <stdint.h>

/* A reference in 64 bits, the same in slots, globals, tables and objects; 0 is null in every
 * hierarchy. func hierarchy: struct sv_func *. any and extern hierarchies (so that
 * any.convert_extern and back are the identity): bit 0 set:      i31, value in bits 1-31 (bits
 * 32-63 zero) bits 1-0 = 10:  a host value, payload in bits 2-63 bits 2-0 = 000: an object of the
 * store's GC heap (its address) exn hierarchy: an exception object of the GC heap. */
typedef uint64_t sv_ref;

#define SV_REF_NULL ((sv_ref)0)
static inline sv_ref sv_ref_i31(uint32_t v)
{
    return (sv_ref)(v & 0x7fffffffu) << 1 | 1;
}
static inline bool sv_ref_is_i31(sv_ref r)
{
    return (r & 1) != 0;
}
static inline bool sv_ref_is_host(sv_ref r)
{
    return (r & 3) == 2;
}
static inline bool sv_ref_is_object(sv_ref r)
{
    return r != 0 && (r & 7) == 0;
}
static inline sv_ref sv_ref_host(uint64_t payload)
{
    return payload << 2 | 2;
}
static inline uint64_t sv_ref_host_payload(sv_ref r)
{
    return r >> 2;
}

/* One slot of a frame or an argument array. A v128 takes two consecutive slots, low half first. i32
 * values may have junk above bit 31 inside the interpreter; at calls to host functions and to C the
 * upper half is unspecified too: read through the right member. */
union sv_slot {
    uint32_t i32;
    int32_t s32;
    uint64_t i64;
    int64_t s64;
    float f32;
    double f64;
    sv_ref ref;
    void *ptr;
};
_Static_assert(sizeof(union sv_slot) == 8, "a slot is 8 bytes");

/* Storage of a global: any value. */
union sv_val {
    uint32_t i32;
    uint64_t i64;
    float f32;
    double f64;
    sv_ref ref;
    uint64_t v128[2];
    union sv_slot slot[2];
} __attribute__((aligned(16)));

#endif
