/* A decoded and validated module: immutable after sv_module_new, shared between threads and stores.
 * Knows no instances. */
#ifndef SV_WASM_MODULE_H
#define SV_WASM_MODULE_H

#include <stdatomic.h>

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "wasm/types.h"

enum sv_extern_kind {
    SV_EXTERN_FUNC,
    SV_EXTERN_TABLE,
    SV_EXTERN_MEMORY,
    SV_EXTERN_GLOBAL,
    SV_EXTERN_TAG,
    SV_EXTERN_COUNT
};

struct sv_limits {
    uint64_t min, max; /* max = UINT64_MAX: none given (has_max false) */
    bool has_max;
    bool is64;   /* addresses are i64 */
    bool shared; /* memories */
};
struct sv_table_type {
    sv_valtype type; /* reference */
    struct sv_limits limits;
};
struct sv_memory_type {
    struct sv_limits limits; /* in pages */
    uint8_t page_shift;      /* 16; others only with custom page sizes */
};
struct sv_global_type {
    sv_valtype type;
    bool mut;
};

/* A constant expression: its bytes in the module, `end` included. Evaluated by runtime/const.c. */
struct sv_const_expr {
    uint32_t offset, len;
};

struct sv_import {
    struct sv_str module, name;
    enum sv_extern_kind kind;
    uint32_t index; /* in the index space of its kind */
};
struct sv_export {
    struct sv_str name;
    enum sv_extern_kind kind;
    uint32_t index;
};
struct sv_func_decl {
    const struct sv_type *type;
    uint32_t type_index;  /* in the module */
    uint32_t body_offset; /* of the locals vector; 0 for imports */
    uint32_t body_len;    /* bytes, `end` included */
    bool declared; /* may be the operand of ref.func (exported, in an element, in a global) */
};
struct sv_table_decl {
    struct sv_table_type type;
    bool has_init;
    struct sv_const_expr init;
};
struct sv_global_decl {
    struct sv_global_type type;
    struct sv_const_expr init; /* len 0 for imports */
};
struct sv_tag_decl {
    const struct sv_type *type;
};
enum sv_segment_mode { SV_SEGMENT_ACTIVE, SV_SEGMENT_PASSIVE, SV_SEGMENT_DECLARATIVE };
struct sv_elem_decl {
    enum sv_segment_mode mode;
    sv_valtype type;
    uint32_t table;
    struct sv_const_expr offset;
    uint32_t len;          /* elements */
    const uint32_t *funcs; /* function indexes, or NULL when `exprs` */
    const struct sv_const_expr *exprs;
};
struct sv_data_decl {
    enum sv_segment_mode mode;
    uint32_t memory;
    struct sv_const_expr offset;
    uint32_t bytes_offset, len; /* in the module's bytes */
};
struct sv_custom {
    struct sv_str name;
    uint32_t offset, len; /* of the contents after the name */
};
/* One branch hint: the instruction at `offset` bytes after the function body's start (its locals
 * vector). */
struct sv_branch_hint {
    uint32_t offset;
    bool likely;
};
struct sv_type_group;
struct sv_native;

/* Forms of native code: checked or not, metered or not, deterministic or not. */
#define SV_NATIVE_FORMS 8

/* Features that a module uses, a bit each; the list with names is feature.def. */
enum sv_feature {
#define FEATURE(name, text) SV_FEATURE_##name,
#include "wasm/feature.def"
#undef FEATURE
    SV_FEATURE_COUNT
};

struct sv_module {
    _Atomic uint32_t refs;
    struct sv_types *types_registry; /* borrowed: the engine outlives its modules */
    struct sv_arena arena;           /* everything below except `bytes` */

    const uint8_t *bytes; /* the binary */
    size_t len;
    void (*release_bytes)(void *bytes,
                          size_t len); /* sv_free, munmap, or NULL when borrowed for ever */

    uint32_t ntypes;
    const struct sv_type **types; /* by module type index */
    struct sv_type_group *
        *type_groups; /* references that the registry counts, for sv_types_unref */
    size_t ntype_groups;

    uint32_t nimports, nimports_of[SV_EXTERN_COUNT];
    struct sv_import *imports;
    /* Index spaces, imports first. */
    uint32_t nfuncs, ntables, nmemories, nglobals, ntags;
    struct sv_func_decl *funcs;
    struct sv_table_decl *tables;
    struct sv_memory_type *memories;
    struct sv_global_decl *globals;
    struct sv_tag_decl *tags;

    uint32_t nexports;
    struct sv_export *exports;
    struct sv_map export_map; /* name -> struct sv_export * */
    bool has_start;
    uint32_t start;
    uint32_t nelems, ndatas;
    struct sv_elem_decl *elems;
    struct sv_data_decl *datas;
    uint32_t ncustoms;
    struct sv_custom *customs;

    uint64_t features; /* bits of enum sv_feature that the module uses */
    /* What instructions and the calls of imported functions cost; NULL: as usual (costs.h). */
    uint8_t *costs;
    uint32_t *import_costs;
    uint32_t code_offset, code_len; /* of the code section's contents */

    _Atomic(void *) names; /* parsed name and branch hint sections, made on first use (names.c) */
    _Atomic(void *) dwarf; /* debug information, made on first use (dwarf.c) */

    /* For native code: the part of the bytes that is the module itself, its digest when somebody
     * knows it, and the forms that were asked for (bits). */
    size_t wasm_len;
    uint8_t digest[32];
    bool has_digest;
    _Atomic uint32_t native_asked;

    /* The tier's shared per-module data (lowered code), made on first use; freed with the module.
     */
    _Atomic(void *) tier_data;
    void (*tier_release)(void *tier_data);
    /* Native code by form (runtime/native.h), each set once; freed with the module. */
    _Atomic(struct sv_native *) natives[SV_NATIVE_FORMS];
    void (*native_release)(struct sv_native *);
    /* Images of its memories (runtime/data_image.c), and how many instances it has had until then.
     */
    _Atomic(void *) data_images;
    void (*data_images_release)(void *module);
    _Atomic uint32_t instances;
    /* What typed calls know of it (api/typed_known.c), made on first use; freed with the module. */
    _Atomic(void *) typed;
    void (*typed_release)(void *typed);
};

struct sv_decode_options {
    uint64_t features; /* allowed ones; bits of enum sv_feature; SV_FEATURES_DEFAULT */
    /* These very bytes were validated before and use the features `used`: bodies are believed. */
    bool valid;
    uint64_t used;
};
extern const uint64_t sv_features_default;
/* Another bit of features, none of the language: what the module's section `ssvm.costs` says of
 * costs holds. Only where the host has written it. */
#define SV_FEATURES_COSTS (UINT64_C(1) << 63)
const char *sv_feature_name(enum sv_feature);

/* Decode and validate `len` bytes. The module keeps `bytes` and calls release_bytes at its end (on
 * failure too). Errors: SV_EMALFORMED, SV_EINVALID, SV_EUNSUPPORTED (components, features switched
 * off), SV_ELIMIT, SV_ENOMEM, with the byte offset. Linear in len. Any thread. refs is 1. */
int sv_module_new(struct sv_err *err, struct sv_types *types, const uint8_t *bytes, size_t len,
                  void (*release_bytes)(void *, size_t), const struct sv_decode_options *opts,
                  own struct sv_module **ret);
struct sv_module *sv_module_ref(struct sv_module *);
void sv_module_unref(own struct sv_module *); /* NULL is allowed */

const struct sv_export *sv_module_export(const struct sv_module *, struct sv_str name);
/* First custom section with this name; NULL when absent. */
const struct sv_custom *sv_module_custom(const struct sv_module *, struct sv_str name);
/* Function name for messages: from the name section, else the export, else import "module.name";
 * empty when none. The name section is parsed at the first call (any thread) and damaged parts are
 * ignored. Control characters are replaced by the caller who prints. */
struct sv_str sv_module_func_name(const struct sv_module *, uint32_t index);
struct sv_str sv_module_name(const struct sv_module *);
/* Branch hint of the instruction, if any: 1 likely, 0 unlikely, -1 none. */
int sv_module_branch_hint(const struct sv_module *, uint32_t func, uint32_t offset);
/* Index of the function whose body holds this file offset, or UINT32_MAX. */
uint32_t sv_module_func_at(const struct sv_module *, uint32_t offset);

#endif
