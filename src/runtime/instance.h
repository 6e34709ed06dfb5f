/* Functions, globals, tags and instances: what a module becomes in a store. */
#ifndef SV_RUNTIME_INSTANCE_H
#define SV_RUNTIME_INSTANCE_H

#include <stdalign.h>

#include "runtime/memory.h"
#include "runtime/store.h"
#include "runtime/table.h"
#include "runtime/value.h"
#include "wasm/module.h"

struct sv_call;
struct sv_func;

/* How C calls any function: arguments from args[0] (type->func.param_slots slots), results back
 * from args[0] (result_slots); the array has room for the larger of both and lies on the wasm stack
 * (args >= th->stack) or anywhere. 0, SV_ETRAP (th->trap), SV_EEXIT (th->exit_code), SV_EEXCEPTION
 * (th->exn), SV_ENOMEM. */
typedef int sv_entry_fn(struct sv_thread *th, struct sv_func *f, union sv_slot *args);

/* A host function: `arg` and `ret` are the same slots of the caller's frame, so read the arguments
 * before writing results. */
typedef int sv_host_fn(struct sv_call *c, const union sv_slot *arg, union sv_slot *ret);

struct sv_call {
    struct sv_thread *th;
    struct sv_instance *inst; /* the caller; NULL when called from C without one */
    struct sv_func *func;     /* the function called */
    void *data;               /* func->host.data */
};

/* What host.data of a host function without parameters and results may begin with: native code then
 * calls `fn` in place of host.fn, which does the same. */
struct sv_host_direct {
    const void *fn; /* void *fn(void *data, struct sv_call *, and two pointers to nothing) */
    void *data;
    /* What the function gave, not NULL: the result of host.fn. NULL: it is not one of these. */
    int (*end)(struct sv_call *c, void *error);
};

/* Behind a host function's call that did not just return 0: what the guest is left with, or 0. */
int sv_host_end(struct sv_thread *th, int r);

/* A function instance: address stable in its store. A funcref is a pointer to it. */
struct sv_func {
    sv_entry_fn *entry;       /* callable from C and from every tier */
    const void *code;         /* the interpreter's code; NULL for functions that run otherwise */
    struct sv_instance *inst; /* NULL for host functions */
    const struct sv_type *type;
    const void *native; /* native code (native.h); NULL: none */
    const void *out;    /* how native code of other instances calls it: (inst, func, slots) */
    uint32_t index;     /* in the module */
    uint32_t cost;      /* gas of a call, host functions */
    struct sv_store *store;
    /* From here on host functions only: guests' functions are allocated without it. */
    struct {
        sv_host_fn *fn;
        void *data;
        uint64_t calls;              /* so far */
        const char *name;            /* "module.name", for messages */
        void (*release)(void *data); /* called when the store is deleted; may be NULL */
    } host;
    struct sv_func *next_host; /* list in the store, for release */
};

struct sv_global {
    union sv_val value;
    struct sv_global_type type;
    struct sv_global *next; /* in the store */
    struct sv_store *store;
};
struct sv_tag {
    const struct sv_type *type;
    struct sv_store *store;
};

/* Anything that can be imported or exported. */
struct sv_extern {
    enum sv_extern_kind kind;
    union {
        struct sv_func *func;
        struct sv_table *table;
        struct sv_memory *memory;
        struct sv_global *global;
        struct sv_tag *tag;
        void *ptr;
    };
};

struct sv_instance {
    /* Hot, read by the tiers by address. */
    uint8_t *mem0;             /* base of memory 0, or an address without access */
    struct sv_memory *memory0; /* NULL when there is none */
    struct sv_global **globals;
    struct sv_table **tables;
    struct sv_memory **memories;
    struct sv_func **funcs; /* by index; NULL until asked for by sv_instance_func */
    struct sv_tag **tags;
    const void *tier; /* the tier's shared data of the module (module->tier_data) */
    /* For native code (native.h). */
    const struct sv_type *const *types; /* by module type index: module->types */
    const void *const *helpers;         /* sv_native_helpers */
    sv_ref exn;                         /* thrown, on its way out of native frames; 0: none */
    const struct sv_native *native;     /* the image attached; NULL: interpreted */
    int64_t gas; /* left, as metered native code noted it last: th->gas at its traps */

    struct sv_module *module;
    struct sv_store *store;
    uint8_t *elem_dropped, *data_dropped; /* a byte per segment */
    sv_ref **elem_refs; /* of segments given as expressions, evaluated at instantiation; NULL: by
                           sv_elem_ref, or dropped */
    struct sv_instance *next; /* in the store */
};

/* Where what lies behind an instance is, in bytes from its beginning: native code goes by it. */
struct sv_instance_layout {
    size_t globals, tables, memories, funcs, tags, elem_refs; /* the arrays of pointers */
    size_t own_globals;                                       /* struct sv_global, not imported */
    size_t elem_dropped, data_dropped, size;
};
static inline struct sv_instance_layout sv_instance_layout(const struct sv_module *m)
{
    struct sv_instance_layout l = {.globals = sizeof(struct sv_instance)};

    l.tables = l.globals + m->nglobals * sizeof(struct sv_global *);
    l.memories = l.tables + m->ntables * sizeof(struct sv_table *);
    l.funcs = l.memories + m->nmemories * sizeof(struct sv_memory *);
    l.tags = l.funcs + m->nfuncs * sizeof(struct sv_func *);
    l.elem_refs = l.tags + m->ntags * sizeof(struct sv_tag *);
    l.own_globals = (l.elem_refs + m->nelems * sizeof(sv_ref *) + alignof(struct sv_global) - 1) &
                    ~(alignof(struct sv_global) - 1);
    l.elem_dropped =
        l.own_globals + (m->nglobals - m->nimports_of[SV_EXTERN_GLOBAL]) * sizeof(struct sv_global);
    l.data_dropped = l.elem_dropped + m->nelems;
    l.size = l.data_dropped + m->ndatas;
    return l;
}

/* Function instance `index` of the instance (made on first request). NULL = out of memory. */
struct sv_func *sv_instance_func(struct sv_instance *, uint32_t index);
/* By name; false when there is no such export. */
bool sv_instance_export(struct sv_instance *, struct sv_str name, struct sv_extern *ret);
/* Export i in module order. */
bool sv_instance_export_at(struct sv_instance *, uint32_t i, struct sv_extern *ret);

/* imports: one per module import, in order, types checked here (SV_ELINK with a sentence that names
 * the import, what was expected and found). Runs active segments and the start function: SV_ETRAP
 * etc. as for calls. On failure the instance stays in the store (the specification lets tables keep
 * its functions). */
int sv_instance_new(struct sv_err *err, struct sv_store *, struct sv_module *,
                    const struct sv_extern *imports, struct sv_instance **ret);

/* Type of an extern against an import's. */
int sv_extern_check(struct sv_err *err, const struct sv_module *, const struct sv_import *,
                    const struct sv_extern *);

/* For messages: "function (i32) -> ()"; "'module.name'", control characters escaped. */
void sv_import_print(struct sv_buf *, const struct sv_module *, const struct sv_import *);
void sv_import_name_print(struct sv_buf *, const struct sv_import *);

/* Value of a constant expression of the instance's module into ret[0..1]: 0 or an SV_TRAP_* code.
 */
int sv_const_eval(struct sv_thread *, struct sv_instance *, struct sv_const_expr,
                  union sv_slot *ret);

/* Makers, for host modules and embedders; all live in the store's arena. */
/* `name` is copied. To have `data` released with the store, set func->host.release. */
struct sv_func *sv_func_new_host(struct sv_store *, const struct sv_type *, sv_host_fn *,
                                 void *data, const char *name, uint32_t cost);
struct sv_global *sv_global_new(struct sv_store *, struct sv_global_type, const union sv_val *init);
struct sv_tag *sv_tag_new(struct sv_store *, const struct sv_type *);

/* Nested calls from C into guests: host functions that re-enter. One more is the trap `call stack
 * exhausted`. */
#define SV_CALL_DEPTH_MAX 128
/* Call from outside (API, host functions that re-enter): checks the depth, clears th->trap at the
 * outermost level, arms the deadline, guards, and takes the backtrace. th->sp, ip, fp, inst and
 * entry are saved before and restored after, whatever way the call ended: a tier that traps leaves
 * them as they are, so that `frames` can walk them. Results as sv_entry_fn. `args` has
 * max(param_slots, result_slots) slots. */
int sv_func_call(struct sv_thread *th, struct sv_func *f, union sv_slot *args);

/* Bulk table operations and segments, used by the tiers. 0 or an SV_TRAP_* code. */
int sv_table_fill(struct sv_thread *, struct sv_table *, uint64_t dst, sv_ref value, uint64_t len);
int sv_table_copy(struct sv_thread *, struct sv_table *dst_table, uint64_t dst,
                  struct sv_table *src_table, uint64_t src, uint64_t len);
int sv_table_init(struct sv_thread *, struct sv_instance *, uint32_t table, uint32_t elem,
                  uint64_t dst, uint32_t src, uint32_t len);
void sv_elem_drop(struct sv_instance *, uint32_t elem);
/* Element i of a segment that is not dropped; bounds are the caller's. 0 or a trap code (no memory
 * for a function instance). */
int sv_elem_ref(struct sv_instance *, uint32_t elem, uint32_t i, sv_ref *ret);
int sv_memory_init(struct sv_thread *, struct sv_instance *, uint32_t memory, uint32_t data,
                   uint64_t dst, uint32_t src, uint32_t len);
void sv_data_drop(struct sv_instance *, uint32_t data);
/* array.new and array.new_default (init NULL), charged as a bulk operation: 0 or a trap code. */
int sv_array_new(struct sv_thread *, const struct sv_type *, uint32_t len,
                 const union sv_slot *init, sv_ref *ret);
/* array.new_data, array.new_elem, array.init_*, array.copy, array.fill: 0 or a trap code. */
int sv_array_new_data(struct sv_thread *, struct sv_instance *, const struct sv_type *,
                      uint32_t data, uint32_t src, uint32_t len, sv_ref *ret);
int sv_array_new_elem(struct sv_thread *, struct sv_instance *, const struct sv_type *,
                      uint32_t elem, uint32_t src, uint32_t len, sv_ref *ret);
int sv_array_init_data(struct sv_thread *, struct sv_instance *, const struct sv_type *,
                       sv_ref array, uint32_t dst, uint32_t data, uint32_t src, uint32_t len);
int sv_array_init_elem(struct sv_thread *, struct sv_instance *, const struct sv_type *,
                       sv_ref array, uint32_t dst, uint32_t elem, uint32_t src, uint32_t len);
int sv_array_copy(struct sv_thread *, const struct sv_type *, sv_ref dst_array, uint32_t dst,
                  sv_ref src_array, uint32_t src, uint32_t len);
/* value: as in slots (v128 in two). */
int sv_array_fill(struct sv_thread *, const struct sv_type *, sv_ref array, uint32_t dst,
                  const union sv_slot *value, uint32_t len);

#endif
