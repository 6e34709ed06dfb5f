/* Tables: arrays of references. */
#ifndef SV_RUNTIME_TABLE_H
#define SV_RUNTIME_TABLE_H

#include "base/err.h"
#include "runtime/value.h"
#include "wasm/module.h"

struct sv_func;
struct sv_store;
struct sv_thread;

struct sv_table {
    sv_ref *elems; /* moves when the table grows: reload after every call */
    uint64_t size; /* elements */
    uint64_t cap;
    uint64_t max; /* the type's maximum or the address space's, bounded by the store's limit */
    struct sv_table_type type;
    struct sv_store *store;
    struct sv_table *next; /* in the store */
};

int sv_table_new(struct sv_err *err, struct sv_store *, const struct sv_table_type *, sv_ref init,
                 struct sv_table **ret);
int64_t sv_table_grow(struct sv_table *, uint64_t delta, sv_ref init); /* old size or -1 */
/* table.grow: charges a unit an element when it succeeds. *ret as sv_table_grow; 0 or an SV_TRAP_*
 * code. */
int sv_table_grow_op(struct sv_thread *, struct sv_table *, uint64_t delta, sv_ref init,
                     int64_t *ret);
/* The function of this type that is called through element i; 0 or an SV_TRAP_* code. */
int sv_table_func(const struct sv_table *, uint64_t i, const struct sv_type *type,
                  struct sv_func **ret);

#endif
