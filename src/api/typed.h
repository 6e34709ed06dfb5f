/* Typed calls, the parts shared by the ABIs: numbers, arguments, guest memory, results. Nothing
 * here knows an ABI. */
#ifndef SV_API_TYPED_H
#define SV_API_TYPED_H

#include "api/api.h"
#include "host/bindgen/bindgen.h"

#define SV_TYPED_ARGS_MAX 64
#define SV_TYPED_FLAT_MAX (SV_TYPED_ARGS_MAX * 4) /* wasm parameters */
#define SV_TYPED_FEW 4                            /* arguments of most calls, at most */
#define SV_TYPED_RESULT_MAX ((size_t)1 << 30)     /* bytes of one result */
#define SV_TYPED_AREA 32                          /* bytes of a return area */

/* One call. Errors are made by the failing step and handed up; release frees the rest. */
struct sv_typed {
    ssvm_store *store;
    struct sv_instance *inst;
    struct sv_bindgen *bindgen;
    struct sv_func *func;
    const char *name;             /* as the caller gave it */
    const ssvm_arg *args, *given; /* JSON read as far as it can be; as the caller gave them */
    size_t nargs;
    ssvm_result_kind want;
    struct sv_func *malloc_func, *free_func; /* the guest's allocator, NULL = none */

    struct sv_buf out; /* the result's bytes or JSON text */
    ssvm_result_kind kind;
    int64_t i;
    double f;

    /* What the wasm function gets: values, and bytes that become a pointer. */
    struct sv_typed_flat *flats;
    struct sv_typed_buffer *buffers;
    size_t nflats, nbuffers;
    ssvm_arg *copy; /* args, which point here then */
    char **owned;   /* text that JSON was turned into, NULL = none */
    /* Nearly all calls have room in here, and a block that the C library hands out quickly. The
     * arrays above are elsewhere when they are larger. */
    struct sv_typed_few {
        struct sv_typed_flat {
            enum sv_valkind kind;
            union sv_slot value;
            int buffer; /* >= 0: the pointer to this buffer, filled in later */
        } flats[3 * SV_TYPED_FEW];
        struct sv_typed_buffer {
            unsigned char *bytes; /* owned */
            size_t len;
            unsigned elem_size, elem_kind; /* enum sv_bindgen_kind */
            bool mutable;
            uint32_t handle; /* of the array value of a mutable one, 0 = none */
            uint32_t ptr;    /* in the guest */
        } buffers[SV_TYPED_FEW];
        ssvm_arg copy[SV_TYPED_FEW];
        char *owned[SV_TYPED_FEW];
    } few;
};

/* ---- typed_number.c: kinds are the numeric ones of sv_bindgen_kind, BOOLEAN and CHAR ---- */

struct sv_typed_slice {
    const unsigned char *ptr;
    size_t len;
};
/* Bytes of an element in memory; 0 = not a number. */
unsigned sv_typed_kind_size(unsigned kind);
const char *sv_typed_kind_name(unsigned kind);
enum sv_valkind sv_typed_kind_wasm(unsigned kind);
/* Clean the bits above a kind that is narrower than i32. */
void sv_typed_narrow(unsigned kind, union sv_slot *v);
/* Text of a number to a value of the kind. False: *ret_why says what is wrong ("is not a number",
 * "is out of range for u8"). */
bool sv_typed_parse(unsigned kind, const char *text, size_t len, union sv_slot *ret,
                    const char **ret_why);
/* An integer or a float to a value of the kind. */
bool sv_typed_from_int(unsigned kind, int64_t v, union sv_slot *ret, const char **ret_why);
bool sv_typed_from_float(unsigned kind, double v, union sv_slot *ret, const char **ret_why);
/* The shortest text that reads back as the same number; `json`: null for what JSON cannot say. */
void sv_typed_print(struct sv_buf *, unsigned kind, const union sv_slot *v, bool json);
/* One code point as UTF-8; 0 = not a character. */
unsigned sv_typed_utf8(uint32_t c, char *ret);

/* ---- typed_json.c: as much JSON as arguments need ---- */

enum sv_json_kind {
    SV_JSON_BAD,
    SV_JSON_NULL,
    SV_JSON_TRUE,
    SV_JSON_FALSE,
    SV_JSON_NUMBER,
    SV_JSON_STRING,
    SV_JSON_ARRAY,
    SV_JSON_OBJECT
};
struct sv_json {
    const char *at, *end; /* unread text */
};
/* Skip blanks and read one value: *ret is its text (of a string, with quotes). Nesting is bounded.
 */
enum sv_json_kind sv_json_next(struct sv_json *, struct sv_str *ret);
bool sv_json_end(struct sv_json *); /* only blanks are left */
/* A string's contents, appended; false: bad escape or no memory. */
bool sv_json_unquote(struct sv_str text, struct sv_buf *ret);
/* Step through an array: init with its text, then next until *ret_done. False: malformed. */
bool sv_json_array_next(struct sv_json *, bool *first, bool *ret_done);

/* ---- typed_args.c ---- */

/* "argument 2 of 'add': ..." */
own ssvm_error *sv_typed_arg_error(const struct sv_typed *, size_t arg, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));
/* Append argument `arg` as a scalar, as UTF-8 text, as the elements of an array. */
own ssvm_error *sv_typed_scalar(struct sv_typed *, size_t arg, unsigned kind, union sv_slot *ret);
own ssvm_error *sv_typed_text(struct sv_typed *, size_t arg,
                              size_t skip); /* without its first `skip` bytes */
/* elem_kind STRING: of strings, which the guest knows by handles. */
own ssvm_error *sv_typed_array(struct sv_typed *, size_t arg, unsigned elem_kind, bool mutable);
/* Argument `arg` was a number in JSON: text of one that is nothing else. */
static inline bool sv_typed_is_json_number(const struct sv_typed *t, size_t arg)
{
    return arg < t->nargs && t->given[arg].kind == SSVM_ARG_JSON &&
           t->args[arg].kind == SSVM_ARG_TEXT;
}
/* Argument `arg` as JSON: text is taken to be some. */
own ssvm_error *sv_typed_json(struct sv_typed *, size_t arg);
/* Argument `arg`, whatever it is, as a JavaScript value. */
own ssvm_error *sv_typed_value(struct sv_typed *, size_t arg, uint32_t *ret);
/* Where nobody tells the types, text may: TYPE:VALUE with one of Rust's numbers, bool, char or
 * string. The kind that is named (STRING: plain text), and the length of `TYPE:`. */
unsigned sv_typed_prefix(const ssvm_arg *, size_t *ret_len);
/* Is it None: absent, null, or the text `null` where the parameter is no text? */
bool sv_typed_is_none(const struct sv_typed *, size_t arg, bool text_parameter);
own ssvm_error *sv_typed_push(struct sv_typed *, enum sv_valkind, union sv_slot value);
/* A buffer of its own bytes (taken, also on failure), pushed as (pointer, number of elements). */
own ssvm_error *sv_typed_push_buffer(struct sv_typed *, own unsigned char *bytes, size_t len,
                                     unsigned elem_kind, bool mutable);
/* The element size of handles (strings and JavaScript values in vectors). */
#define SV_TYPED_HANDLE_SIZE 4

/* ---- typed_guest.c: the guest's memory and allocator ---- */

/* Find malloc and free by name, or by type where the names were stripped: indexes of exports,
 * UINT32_MAX when there are none. */
void sv_typed_find_allocator(const struct sv_module *, uint32_t *ret_malloc, uint32_t *ret_free);
/* Export of this name that is a function; NULL when there is none. */
struct sv_func *sv_typed_export(const struct sv_instance *, const char *name);
/* Memory of the guest; NULL when not inside. Dies at the next call. */
void *sv_typed_slice(const struct sv_typed *, uint32_t ptr, uint64_t len);
own ssvm_error *sv_typed_malloc(struct sv_typed *, size_t len, unsigned align, uint32_t *ret);
own ssvm_error *sv_typed_free(struct sv_typed *, uint32_t ptr, size_t len, unsigned align);
/* Copy every buffer into the guest and fill in the pointers. */
own ssvm_error *sv_typed_send(struct sv_typed *);
/* Call `func` with slots, keeping what a panic hook wrote: it becomes the message of the trap. */
own ssvm_error *sv_typed_call(struct sv_typed *, struct sv_func *, union sv_slot *slots);
/* Does the function take these types? */
bool sv_typed_takes(const struct sv_func *, const enum sv_valkind *params, size_t nparams);

/* ---- typed_result.c ---- */

own ssvm_error *sv_typed_result_scalar(struct sv_typed *, unsigned kind, const union sv_slot *v);
/* `count` elements at ptr: TEXT (kind STRING), bytes (U8), or a JSON array. */
own ssvm_error *sv_typed_result_array(struct sv_typed *, unsigned kind, uint32_t ptr,
                                      uint32_t count);
own ssvm_error *sv_typed_result_value(struct sv_typed *, uint32_t handle);
void sv_typed_result_null(struct sv_typed *);
/* A Rust Err: the error that carries its text. */
own ssvm_error *sv_typed_err(struct sv_typed *, uint32_t handle) __attribute__((cold));
/* Elements in host memory as JSON. */
own ssvm_error *sv_typed_print_array(struct sv_typed *, unsigned kind, const unsigned char *bytes,
                                     size_t count);

/* ---- the ABIs: typed_bindgen.c, typed_plain.c, typed_wasmedge.c ---- */

own ssvm_error *sv_typed_call_bindgen(struct sv_typed *, const struct sv_bindgen_sig *);
own ssvm_error *sv_typed_call_plain(struct sv_typed *);
bool sv_typed_is_wasmedge(const struct sv_typed *);
own ssvm_error *sv_typed_call_wasmedge(struct sv_typed *);

/* ---- typed_signature.c ---- */

/* The export that `name` means: itself, or with a `_HASH` suffix. *ret_index: of the export. 0,
 * SV_ENOTFOUND (nearest is named), SV_ETYPE. */
int sv_typed_find(struct sv_err *, const struct sv_module *, const char *name, uint32_t *ret_index);
/* The descriptor function of export `index`; NULL when the module has none. */
const struct sv_export *sv_typed_descriptor(const struct sv_module *, uint32_t index);
/* Run the descriptor function and read what it tells. */
own ssvm_error *sv_typed_describe(ssvm_store *, struct sv_bindgen *, struct sv_instance *,
                                  const struct sv_export *, struct sv_bindgen_sig *ret);
/* The typed signature of every function export, for `inspect`: calls `each` with the export's index
 * and the text. */
own ssvm_error *sv_typed_signatures(const ssvm_module *,
                                    void (*each)(void *arg, uint32_t index, const char *text),
                                    void *arg);

/* ---- typed_known.c: what is found out once for all instances of a module ---- */

/* Set malloc_func and free_func; NULL where the guest has none. */
own ssvm_error *sv_typed_know_allocator(struct sv_typed *);
/* The types of export `index`, which the guest tells at the first call of any instance; that costs
 * no gas. *ret NULL: it tells nothing. */
own ssvm_error *sv_typed_know_signature(struct sv_typed *, uint32_t index,
                                        const struct sv_bindgen_sig **ret);

#endif
