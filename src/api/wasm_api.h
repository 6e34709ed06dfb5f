/* What the opaque types of wasm.h are inside. Not for any other layer, nor for ssvm.h's half of
 * api/. */
#ifndef SV_API_WASM_API_H
#define SV_API_WASM_API_H

#include "wasm.h"

#include "api/api.h"

/* ---- Types ---- */

struct wasm_valtype_t {
    wasm_valkind_t kind;
};
/* v128 has no kind in the standard API: functions with it can be seen, not called. */
#define WASM_V128_KIND ((wasm_valkind_t)4)

/* The start of every type of something that is imported or exported. */
struct wasm_externtype_t {
    wasm_externkind_t kind;
};
struct wasm_functype_t {
    struct wasm_externtype_t head;
    wasm_valtype_vec_t params, results;
};
struct wasm_globaltype_t {
    struct wasm_externtype_t head;
    wasm_valtype_t *content;
    wasm_mutability_t mutability;
};
struct wasm_tabletype_t {
    struct wasm_externtype_t head;
    wasm_valtype_t *element;
    wasm_limits_t limits;
};
struct wasm_memorytype_t {
    struct wasm_externtype_t head;
    wasm_limits_t limits;
};
struct wasm_tagtype_t {
    struct wasm_externtype_t head;
    wasm_functype_t *functype;
};

/* wasm_type.c: from the runtime's types; NULL: out of memory. */
own wasm_valtype_t *sv_wasm_valtype(const struct sv_types *, sv_valtype);
own wasm_functype_t *sv_wasm_functype(const struct sv_types *, const struct sv_type *);
own wasm_globaltype_t *sv_wasm_globaltype(const struct sv_types *, const struct sv_global_type *);
own wasm_tabletype_t *sv_wasm_tabletype(const struct sv_types *, const struct sv_table_type *);
own wasm_memorytype_t *sv_wasm_memorytype(const struct sv_memory_type *);
own wasm_tagtype_t *sv_wasm_tagtype(const struct sv_types *, const struct sv_type *);
/* To the runtime's. False: a kind that does not exist. */
bool sv_wasm_valtype_in(wasm_valkind_t, sv_valtype *ret);
/* Limits within `top`; false when they contradict each other. */
bool sv_wasm_limits_in(const wasm_limits_t *, uint64_t top, struct sv_limits *ret);

/* ---- Objects ---- */

enum sv_wasm_kind {
    SV_WASM_FUNC, /* the first five in the order of wasm_externkind_enum */
    SV_WASM_GLOBAL,
    SV_WASM_TABLE,
    SV_WASM_MEMORY,
    SV_WASM_TAG,
    SV_WASM_INSTANCE,
    SV_WASM_MODULE,
    SV_WASM_TRAP,
    SV_WASM_FOREIGN,
    SV_WASM_VALUE, /* a GC object, held by a handle */
};

struct wasm_frame_t {
    struct wasm_instance_t *instance; /* borrowed from the store */
    uint32_t func;
    size_t func_offset, module_offset;
};

struct sv_wasm_trap {
    char *message; /* NUL-terminated */
    size_t len;    /* NUL included */
    struct wasm_frame_t *frames;
    size_t nframes;
};

/* Every reference of wasm.h is a pointer to its object, counted. One object in the runtime has one
 * wasm_ref_t, so that host info is the same however it was reached. */
struct wasm_ref_t {
    enum sv_wasm_kind kind;
    bool pinned;   /* lives as long as its store: the runtime can come back to it */
    uint32_t refs; /* owners; while > 0 the object holds its store's shell */
    wasm_store_t *store;
    union {
        void *ptr;
        struct sv_func *func;
        struct sv_global *global;
        struct sv_table *table;
        struct sv_memory *memory;
        struct sv_tag *tag;
        struct sv_instance *instance;
        ssvm_module *module;
        struct sv_wasm_trap *trap;
        uint32_t handle;
    };
    void *host_info;
    void (*finalizer)(void *);
    struct wasm_ref_t *next, **prev; /* in the store */
};

struct wasm_engine_t {
    ssvm_engine *engine;
};

/* Deleting a store ends its guests at once; the shell stays until the last reference is deleted, so
 * that the order of deletes does not matter. */
struct wasm_store_t {
    ssvm_store *store; /* NULL once deleted */
    size_t refs;       /* the owner's, and one for each object with owners */
    bool ending;       /* finalizers are running: nothing is freed */
    struct wasm_ref_t *objects;
    struct sv_map map;    /* the bytes of an object's `ptr` -> the object, pinned kinds only */
    wasm_trap_t *pending; /* what a callback returned, on its way through the guest */
    wasm_trap_t *nomem;   /* made at the start: out of memory must not look like success */
};

/* wasm_ref.c */

/* The object for something of the runtime, with one more owner; NULL: out of memory. `kind` is one
 * of the first six. */
own wasm_ref_t *sv_wasm_ref_of(wasm_store_t *, enum sv_wasm_kind, void *ptr);
/* The same with no owner: borrowed from the store. */
wasm_ref_t *sv_wasm_ref_borrow(wasm_store_t *, enum sv_wasm_kind, void *ptr);
/* A new object that is not found again by its pointer (module, trap, foreign, value). */
own wasm_ref_t *sv_wasm_ref_new(wasm_store_t *, enum sv_wasm_kind, void *ptr);
/* In a store that is not deleted? NULL is not. */
static inline bool sv_wasm_alive(const struct wasm_ref_t *r)
{
    return r && r->store->store;
}
static inline struct sv_store *sv_wasm_store(const wasm_store_t *s)
{
    return s->store->store;
}
/* Casts of the reference types, all of which are wasm_ref_t. */
#define SV_WASM_REF(p) ((struct wasm_ref_t *)(uintptr_t)(p))

/* A value into slots of type `t`; false: it does not fit. */
bool sv_wasm_to_slot(wasm_store_t *, sv_valtype t, const wasm_val_t *, union sv_slot *ret);
/* References become the caller's; false: out of memory. */
bool sv_wasm_from_slot(wasm_store_t *, sv_valtype t, const union sv_slot *, own wasm_val_t *ret);
/* A reference (NULL = null) as the runtime has it, for a place of type `t`. */
bool sv_wasm_ref_in(wasm_store_t *, sv_valtype t, const wasm_ref_t *, sv_ref *ret);
bool sv_wasm_ref_out(wasm_store_t *, sv_valtype t, sv_ref, own wasm_ref_t **ret);

/* wasm_trap.c */

/* A trap with these words; without memory the store's `nomem` (NULL only while that is made). */
own wasm_trap_t *sv_wasm_trap_new(wasm_store_t *, const char *message, size_t len);
own wasm_trap_t *sv_wasm_trap_of(wasm_store_t *, const char *message);
/* From the result (not 0) of a call or an instantiation. */
own wasm_trap_t *sv_wasm_trap_call(wasm_store_t *, const struct sv_err *, int r);
void sv_wasm_trap_release(own struct sv_wasm_trap *);

#endif
