/* What the files of the object linker share: an object's tables with their bounds checked, one
 * relocation, the line tables, the unwind tables. */
#ifndef SV_AOT_OBJECT_ELF_H
#define SV_AOT_OBJECT_ELF_H

#include <elf.h>

#include "aot/object.h"
#include "base/buf.h"

enum sv_object_place { SV_PLACE_NONE, SV_PLACE_TEXT, SV_PLACE_RODATA };

struct sv_object_section {
    const char *name;
    const uint8_t *bytes; /* of the file; NULL for SHT_NOBITS */
    size_t len;
    uint32_t type, link, info;
    uint64_t flags, align;
    /* Where it lies in the blob, filled in by the linker. `at` counts from the start of the text.
     */
    enum sv_object_place place;
    uint32_t at;
};

/* Everything in here points into the input. */
struct sv_object {
    uint32_t index; /* among the inputs, for messages */
    uint16_t machine;
    struct sv_object_section *sections;
    uint32_t nsections;
    const uint8_t *symbols; /* nsymbols times Elf64_Sym, not aligned */
    uint32_t nsymbols;
    uint32_t symtab; /* index of that section, 0 = none */
    const char *names;
    size_t names_len;
};

struct sv_object_elf_symbol {
    const char *name;                        /* that of the section for a section's symbol */
    const struct sv_object_section *section; /* NULL: undefined, common or absolute */
    uint32_t value, size;                    /* within the section */
    uint8_t bind, type;
    bool undefined;
};

/* Read the tables of an object; the result is then the caller's, to release. */
int sv_object_init(struct sv_err *err, const struct sv_object_input *in, uint32_t index,
                   struct sv_object *ret);
void sv_object_release(struct sv_object *);
/* Fails for a number that is not in the table, and for a symbol outside its section. */
int sv_object_symbol_read(struct sv_err *err, const struct sv_object *, uint32_t index,
                          struct sv_object_elf_symbol *ret);
/* Whether the section holds the relocations of section `target`, and then how many. Fails when it
 * is damaged. */
int sv_object_relocations(struct sv_err *err, const struct sv_object *,
                          const struct sv_object_section *, uint32_t *ret_n);
/* A table of debug or unwind information, `what` in messages: its relocations, NULL and 0 without.
 * Fails when it has no plain bytes. */
int sv_object_table_relocations(struct sv_err *err, const struct sv_object *, uint32_t index,
                                const char *what, const struct sv_object_section **ret,
                                uint32_t *ret_n);
static inline Elf64_Rela sv_object_relocation(const struct sv_object_section *s, uint32_t i)
{
    Elf64_Rela rela;

    memcpy(&rela, s->bytes + (size_t)i * sizeof rela, sizeof rela);
    return rela;
}

/* One relocation of the kinds that the compiler emits for position-independent code. */
struct sv_object_patch {
    uint16_t machine;
    uint32_t type;
    uint8_t *bytes; /* of the section that is patched */
    size_t len;
    uint64_t offset; /* in it */
    int64_t at;      /* address of bytes[offset], counted from the start of the text */
    int64_t symbol;  /* likewise */
    int64_t addend;
};
/* NULL, or what is wrong, in words (nothing is written then). */
const char *sv_object_patch(const struct sv_object_patch *);

/* The code in [start, end) comes from wasm_offset. */
struct sv_object_range {
    uint32_t start, end;
    uint32_t wasm_offset;
};
struct sv_object_ranges {
    struct sv_object_range *data;
    size_t len, cap;
};
/* Append what the object's .debug_line says; its sections are placed. */
int sv_object_lines_read(struct sv_err *err, const struct sv_object *, struct sv_object_ranges *);
/* Sort and join to rows (in place in `ranges`, which is the caller's still). */
int sv_object_lines_join(struct sv_err *err, struct sv_object_ranges *ranges,
                         own struct sv_object_line **ret, uint32_t *ret_n);

/* From code_offset on, in its function. */
struct sv_object_row {
    uint32_t code_offset;
    struct sv_object_frame frame; /* cfa_register UINT32_MAX: not known */
};
/* The code in [start, end) is a function's, with these rows. */
struct sv_object_span {
    uint32_t start, end;
    uint32_t first, nrows;
};
struct sv_object_unwinds {
    SV_VEC(struct sv_object_row) rows;
    SV_VEC(struct sv_object_span) spans;
};
/* Append what the object's .eh_frame says; its sections are placed. */
int sv_object_unwinds_read(struct sv_err *err, const struct sv_object *,
                           struct sv_object_unwinds *);
/* Sort and join to the table of *out (in place in `unwinds`, which is the caller's still). */
int sv_object_unwinds_join(struct sv_err *err, struct sv_object_unwinds *unwinds,
                           struct sv_linked *out);

#endif
