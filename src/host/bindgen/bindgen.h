/* The host's side of the wasm-bindgen ABI: type descriptors, the imports that its modules need,
 * JavaScript values as far as strings and numbers go. How a call is lowered is api/typed_*.c; a
 * JavaScript engine this is not. */
#ifndef SV_HOST_BINDGEN_BINDGEN_H
#define SV_HOST_BINDGEN_BINDGEN_H

#include "base/buf.h"
#include "host/host.h"

/* ---- Descriptors ---- */

enum sv_bindgen_kind {
#define BINDGEN_TYPE(name, since, text) SV_BINDGEN_##name,
#include "host/bindgen/type.def"
#undef BINDGEN_TYPE
    SV_BINDGEN_COUNT
};

#define SV_BINDGEN_WORDS_MAX 4096 /* of one descriptor */
#define SV_BINDGEN_TYPES_MAX 256
#define SV_BINDGEN_PARAMS_MAX 64
#define SV_BINDGEN_NAMES_MAX 2048 /* bytes of class names in one signature */
#define SV_BINDGEN_VERSION_NEWEST 130

/* One type; wrappers (REF, VECTOR, OPTIONAL...) point at what they wrap. */
struct sv_bindgen_type {
    uint8_t kind;   /* enum sv_bindgen_kind */
    uint16_t inner; /* index in the signature */
    uint16_t name;  /* offset in names */
    uint16_t name_len;
    uint32_t hole; /* ENUM: the number that means None */
};
struct sv_bindgen_sig {
    unsigned version; /* N of 0.2.N */
    uint16_t nparams, ntypes, nnames;
    uint16_t params[SV_BINDGEN_PARAMS_MAX]; /* indexes in types */
    uint16_t ret;
    struct sv_bindgen_type types[SV_BINDGEN_TYPES_MAX];
    char names[SV_BINDGEN_NAMES_MAX];
};

/* N of the wasm-bindgen 0.2.N that made the module, or -1 when none did. *ret_raw: not processed by
 * the command line tool. */
int sv_bindgen_version(const struct sv_module *, bool *ret_raw);
/* Words of a descriptor to a signature. Hostile input. SV_EMALFORMED, SV_EUNSUPPORTED. */
int sv_bindgen_sig_decode(struct sv_err *err, const uint32_t *words, size_t n, unsigned version,
                          struct sv_bindgen_sig *ret);
/* Rust's spelling: "&[u8]", "Option<String>". */
void sv_bindgen_type_print(struct sv_buf *, const struct sv_bindgen_sig *, unsigned type);
void sv_bindgen_sig_print(struct sv_buf *, const struct sv_bindgen_sig *, struct sv_str name);

/* ---- Values that guests know by number (or as externref) ---- */

/* The fixed handles are OFFSET + 0..3 with three offsets in history; ours lie above all of them. */
enum sv_bindgen_value_kind {
    SV_BINDGEN_VALUE_FREE,
    SV_BINDGEN_VALUE_UNDEFINED,
    SV_BINDGEN_VALUE_NULL,
    SV_BINDGEN_VALUE_TRUE,
    SV_BINDGEN_VALUE_FALSE,
    SV_BINDGEN_VALUE_STRING,
    SV_BINDGEN_VALUE_NUMBER,
    SV_BINDGEN_VALUE_ARRAY, /* the host's copy of a `&mut [T]` argument */
    SV_BINDGEN_VALUE_OBJECT /* something without contents, such as `new Error()` */
};
struct sv_bindgen_value {
    uint8_t kind;
    uint32_t refs;
    uint32_t next_free;
    double number;
    unsigned char *bytes; /* STRING: owned; ARRAY: borrowed from the call */
    size_t len;
};

#define SV_BINDGEN_HANDLE_FIRST 4096u /* above every fixed handle */
#define SV_BINDGEN_VALUES_MAX (1u << 20)
#define SV_BINDGEN_BYTES_MAX ((size_t)64 << 20) /* of all strings of a store */
#define SV_BINDGEN_TEXT_MAX 8192                /* of a panic message */

/* State of a store. */
struct sv_bindgen {
    SV_VEC(struct sv_bindgen_value) values;
    uint32_t free; /* head of the free list, an index + 1 */
    size_t bytes;
    SV_VEC(uint32_t) words; /* of the descriptor that is being told */
    struct sv_buf panic;    /* what the guest last wrote by console.error */
};
own struct sv_bindgen *sv_bindgen_new(void);
void sv_bindgen_delete(own struct sv_bindgen *); /* NULL is allowed */
/* Let the linker find what modules of this ABI import; what only a JavaScript host could give traps
 * when it is called. */
int sv_bindgen_link(struct sv_err *err, struct sv_linker *, struct sv_bindgen *);
/* Processed modules: four more elements in the table of externrefs, for the constants. False: no
 * room. */
bool sv_bindgen_init_table(struct sv_instance *);
/* Is this import module one of wasm-bindgen's? */
bool sv_bindgen_is_module(struct sv_str module);

/* A new value; 0 = too many or out of memory. Bytes of a STRING are copied. */
uint32_t sv_bindgen_value_new(struct sv_bindgen *, enum sv_bindgen_value_kind, const void *bytes,
                              size_t len, double number);
void sv_bindgen_value_unref(struct sv_bindgen *,
                            uint32_t handle); /* nothing for fixed and unknown ones */
/* The end of a call: an ARRAY points nowhere from now on, even if the guest has kept it; and unref.
 */
void sv_bindgen_array_end(struct sv_bindgen *, uint32_t handle);
/* What a handle means. Unknown ones are UNDEFINED. The bytes are borrowed until the next call. */
struct sv_bindgen_value sv_bindgen_value_get(const struct sv_bindgen *, uint32_t handle);
uint32_t sv_bindgen_handle_of(sv_ref); /* the handle that an externref carries; null is null */

#endif
