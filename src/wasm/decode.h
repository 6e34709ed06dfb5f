/* Shared by the files of the decoder: its state and its readers. Not for anyone else. */
#ifndef SV_WASM_DECODE_H
#define SV_WASM_DECODE_H

#include "wasm/limits.h"
#include "wasm/module.h"
#include "wasm/reader.h"
#include "wasm/validate.h"

struct sv_decoder {
    struct sv_err *err;
    struct sv_module *m;
    struct sv_reader r; /* the section's bytes */
    struct sv_validator v;
    /* Type indexes in [rec_start, rec_end) are the recursion group being read; above is unknown. */
    uint32_t rec_start, rec_end;
    uint64_t supertype_entries; /* so far, against SV_LIMIT_SUPERTYPE_ENTRIES */
    uint32_t ncodes;
    bool has_code, has_data_count;
    uint32_t data_count;
    SV_VEC(uint32_t) words;
    SV_VEC(const struct sv_type *) types;
    SV_VEC(struct sv_type_group *) groups;
    SV_VEC(struct sv_custom) customs;
};

/* Fail at the reader's place; with the reader's own failure. The code is seen by the compiler,
 * which then knows that nothing was written. */
#define sv_decode_fail(d, code, ...) (sv_decode_note((d), (code), __VA_ARGS__), (code))
void sv_decode_note(struct sv_decoder *, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));
void sv_decode_note_read(struct sv_decoder *) __attribute__((cold));
static inline int sv_decode_fail_read(struct sv_decoder *d)
{
    sv_decode_note_read(d);
    return SV_EMALFORMED;
}
/* The module uses this feature: note it, or fail when it is switched off. */
int sv_decode_feature(struct sv_decoder *, enum sv_feature);

/* A u32; a count of things of at least `min_bytes` bytes each, at most `limit` with those before
 * it. */
int sv_decode_u32(struct sv_decoder *, uint32_t *ret);
int sv_decode_count(struct sv_decoder *, const char *what, uint32_t before, uint32_t limit,
                    unsigned min_bytes, uint32_t *ret);
int sv_decode_byte(struct sv_decoder *, uint8_t *ret);
int sv_decode_name(struct sv_decoder *, struct sv_str *ret);

/* decode_type.c */
int sv_decode_type_section(struct sv_decoder *);
int sv_decode_type_index(struct sv_decoder *, enum sv_form form, uint32_t *ret);
int sv_decode_heap(struct sv_decoder *, bool nullable, sv_valtype *ret);
int sv_decode_valtype(struct sv_decoder *, sv_valtype *ret);
int sv_decode_reftype(struct sv_decoder *, sv_valtype *ret);
int sv_decode_table_type(struct sv_decoder *, struct sv_table_type *ret);
int sv_decode_memory_type(struct sv_decoder *, struct sv_memory_type *ret);
int sv_decode_global_type(struct sv_decoder *, struct sv_global_type *ret);
int sv_decode_tag_type(struct sv_decoder *, const struct sv_type **ret);

/* decode_section.c, decode_segment.c */
int sv_decode_import_section(struct sv_decoder *);
int sv_decode_function_section(struct sv_decoder *);
int sv_decode_table_section(struct sv_decoder *);
int sv_decode_memory_section(struct sv_decoder *);
int sv_decode_tag_section(struct sv_decoder *);
int sv_decode_global_section(struct sv_decoder *);
int sv_decode_export_section(struct sv_decoder *);
int sv_decode_start_section(struct sv_decoder *);
int sv_decode_element_section(struct sv_decoder *);
int sv_decode_data_count_section(struct sv_decoder *);
int sv_decode_code_section(struct sv_decoder *);
int sv_decode_data_section(struct sv_decoder *);
/* A constant expression of this type; the reader is behind it afterwards. */
int sv_decode_const(struct sv_decoder *, sv_valtype type, struct sv_const_expr *ret);

#endif
