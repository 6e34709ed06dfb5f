/* What the parts of the DWARF reader share: sections, a budget, what was found so far. Only for
 * dwarf*.c. */
#ifndef SV_WASM_DWARF_READ_H
#define SV_WASM_DWARF_READ_H

#include "wasm/dwarf.h"
#include "wasm/reader.h"

/* For one module: a tenth of a second or so, and some dozens of megabytes. What is beyond is not
 * known to backtraces. */
#define SV_DWARF_STEPS_MAX (1u << 25)
#define SV_DWARF_ROWS_MAX ((size_t)1 << 21)
#define SV_DWARF_FUNCS_MAX ((size_t)1 << 20)
#define SV_DWARF_FILES_MAX ((size_t)1 << 18)

#define SV_DWARF_SECTIONS(SECTION)                                                                 \
    SECTION(INFO, ".debug_info")                                                                   \
    SECTION(ABBREV, ".debug_abbrev")                                                               \
    SECTION(LINE, ".debug_line")                                                                   \
    SECTION(STR, ".debug_str")                                                                     \
    SECTION(LINE_STR, ".debug_line_str")                                                           \
    SECTION(STR_OFFSETS, ".debug_str_offsets")                                                     \
    SECTION(ADDR, ".debug_addr")                                                                   \
    SECTION(RANGES, ".debug_ranges")                                                               \
    SECTION(RNGLISTS, ".debug_rnglists")

enum sv_dwarf_section {
#define SECTION(name, text) SV_DWARF_##name,
    SV_DWARF_SECTIONS(SECTION)
#undef SECTION
        SV_DWARF_SECTION_COUNT
};

/* The line table at `offset` of its section: its files, in sv_dwarf.files. */
struct sv_dwarf_table {
    uint32_t offset, file, nfiles;
    uint16_t version;
};
/* A function as declared, by its offset in .debug_info; `origin`: where else to look, 0: nowhere.
 */
struct sv_dwarf_decl {
    uint32_t offset, origin;
    uint32_t file, line;
    struct sv_str name;
};

struct sv_dwarf_reader {
    const struct sv_module *m;
    struct sv_reader sections[SV_DWARF_SECTION_COUNT];
    uint32_t steps; /* left */
    SV_VEC(struct sv_dwarf_file) files;
    SV_VEC(struct sv_dwarf_row) rows;
    SV_VEC(struct sv_dwarf_table) tables; /* ascending offsets */
    SV_VEC(struct sv_dwarf_decl) decls;   /* ascending offsets */
    /* The names' lengths are offsets of declarations until all are known. */
    SV_VEC(struct sv_dwarf_func) funcs;
    SV_VEC(struct sv_dwarf_inlined) inlined;
};

/* Everything may cost something: false when nothing is left. */
static inline bool sv_dwarf_pay(struct sv_dwarf_reader *r, uint32_t steps)
{
    if (r->steps < steps) {
        r->steps = 0;
        return false;
    }
    r->steps -= steps;
    return true;
}

/* The offset in the module of an address of DWARF; false: of no code, such as of functions that the
 * linker left out. */
static inline bool sv_dwarf_offset(const struct sv_dwarf_reader *r, uint64_t address, uint32_t *ret)
{
    *ret = r->m->code_offset + (uint32_t)address;
    return address > 0 && address <= r->m->code_len;
}

/* dwarf.c: a string that a section has at an offset; empty when it has none. */
struct sv_str sv_dwarf_string(struct sv_dwarf_reader *, enum sv_dwarf_section, uint64_t offset);
/* A number of `n` bytes, 1 to 8. */
bool sv_dwarf_number(struct sv_reader *, unsigned n, uint64_t *ret);

/* A value as a form has it: a number, a string in place, or neither. */
struct sv_dwarf_value {
    uint64_t form, number;
    struct sv_str text;
};
/* dwarf_form.c: step over a value. False: damage, or a form that is not known. */
bool sv_dwarf_value(struct sv_dwarf_reader *, struct sv_reader *in, uint64_t form,
                    unsigned address_size, struct sv_dwarf_value *ret);
/* Strings that need no base; else empty. */
struct sv_str sv_dwarf_text(struct sv_dwarf_reader *, const struct sv_dwarf_value *);

/* The parts: each reads what it can. */
void sv_dwarf_read_lines(struct sv_dwarf_reader *);
void sv_dwarf_read_units(struct sv_dwarf_reader *);

/* The forms (DWARF 5, 7.5.6). */
enum sv_dwarf_form {
    DW_FORM_ADDR = 0x01,
    DW_FORM_BLOCK2 = 0x03,
    DW_FORM_BLOCK4 = 0x04,
    DW_FORM_DATA2 = 0x05,
    DW_FORM_DATA4 = 0x06,
    DW_FORM_DATA8 = 0x07,
    DW_FORM_STRING = 0x08,
    DW_FORM_BLOCK = 0x09,
    DW_FORM_BLOCK1 = 0x0a,
    DW_FORM_DATA1 = 0x0b,
    DW_FORM_FLAG = 0x0c,
    DW_FORM_SDATA = 0x0d,
    DW_FORM_STRP = 0x0e,
    DW_FORM_UDATA = 0x0f,
    DW_FORM_REF_ADDR = 0x10,
    DW_FORM_REF1 = 0x11,
    DW_FORM_REF2 = 0x12,
    DW_FORM_REF4 = 0x13,
    DW_FORM_REF8 = 0x14,
    DW_FORM_REF_UDATA = 0x15,
    DW_FORM_SEC_OFFSET = 0x17,
    DW_FORM_EXPRLOC = 0x18,
    DW_FORM_FLAG_PRESENT = 0x19,
    DW_FORM_STRX = 0x1a,
    DW_FORM_ADDRX = 0x1b,
    DW_FORM_DATA16 = 0x1e,
    DW_FORM_LINE_STRP = 0x1f,
    DW_FORM_REF_SIG8 = 0x20,
    DW_FORM_IMPLICIT_CONST = 0x21,
    DW_FORM_LOCLISTX = 0x22,
    DW_FORM_RNGLISTX = 0x23,
    DW_FORM_STRX1 = 0x25,
    DW_FORM_STRX2 = 0x26,
    DW_FORM_STRX3 = 0x27,
    DW_FORM_STRX4 = 0x28,
    DW_FORM_ADDRX1 = 0x29,
    DW_FORM_ADDRX2 = 0x2a,
    DW_FORM_ADDRX3 = 0x2b,
    DW_FORM_ADDRX4 = 0x2c
};

#endif
