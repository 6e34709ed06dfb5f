/* The GC heap of a store: precise objects, conservative roots from the wasm stack, non-moving mark
 * and sweep. */
#ifndef SV_RUNTIME_GC_H
#define SV_RUNTIME_GC_H

#include <string.h>

#include "base/err.h"
#include "runtime/value.h"
#include "wasm/types.h"

struct sv_store;
struct sv_thread;
struct sv_instance;
struct sv_tag;

/* Header of every object: the canonical type id and the collector's bits. Fields from
 * SV_GC_STRUCT_BASE, arrays: length at 8, elements from SV_GC_ARRAY_BASE. Exceptions are objects
 * too (kind in flags). */
struct sv_object {
    uint32_t type_id; /* canonical; for exceptions the tag's function type */
    uint32_t flags;   /* enum sv_object_flags */
};
enum sv_object_flags {
    SV_OBJECT_EXN = 1 << 0,
    SV_OBJECT_ARRAY = 1 << 1,
    SV_OBJECT_MARK = 1 << 8,
    SV_OBJECT_LIVE = 1 << 9
};
struct sv_array {
    struct sv_object head;
    uint32_t len;
    uint32_t pad;
    unsigned char data[];
};
struct sv_exn {
    struct sv_object head;
    struct sv_tag *tag;
    uint32_t nslots;
    uint32_t pad;
    union sv_slot args[]; /* by the tag's parameters */
};

/* Allocation may collect: every live reference must be in the wasm stack [stack base, th->sp), a
 * global, a table, an object or a handle. Zeroed. NULL: over the limit (the caller traps with
 * SV_TRAP_GC_HEAP). */
struct sv_object *sv_gc_new_struct(struct sv_thread *, const struct sv_type *);
struct sv_array *sv_gc_new_array(struct sv_thread *, const struct sv_type *,
                                 uint32_t len); /* size overflow: NULL too */
struct sv_exn *sv_gc_new_exn(struct sv_thread *, struct sv_tag *);
void sv_gc_collect(struct sv_store *);
void sv_gc_release(struct sv_store *);        /* the whole heap, at the store's end */
uint64_t sv_gc_used(const struct sv_store *); /* bytes of live and not yet collected objects */

/* Write a value as it lies in slots (v128 in two) into a field or an element at p, or read it back,
 * unsigned. */
static inline void sv_field_write(void *p, const struct sv_field *f, const union sv_slot *v)
{
    memcpy(p, v, f->size); /* little-endian: the low bytes come first */
}
static inline void sv_field_read(const void *p, const struct sv_field *f, union sv_slot *ret)
{
    ret->i64 = 0;
    memcpy(ret, p, f->size);
}

/* Does reference r (any, extern, exn or func hierarchy, by the heap type) match? Spec 4.2.?
 * ref.test. */
bool sv_ref_matches(struct sv_store *, sv_ref r, sv_valtype target);

#endif
