/* What a module's debug information (DWARF 4 and 5 in custom sections) says about places in its
 * code: file, line, functions, what was inlined. Not types, variables, or anything that a hostile
 * file could make expensive: reading is bounded, and damage is never an error. */
#ifndef SV_WASM_DWARF_H
#define SV_WASM_DWARF_H

#include "wasm/module.h"

#define SV_DWARF_NONE UINT32_MAX

/* Places are offsets in the module's bytes; strings lie in the module. */
struct sv_dwarf_file {
    struct sv_str base, dir, name; /* base: the folder of the compilation; either may be empty */
};
/* The code of a line, sorted by `from`. */
struct sv_dwarf_row {
    uint32_t from, to, line;
    uint32_t file : 31; /* in sv_dwarf.files */
    uint32_t is_stmt : 1;
};
struct sv_dwarf_func {
    uint32_t from, to; /* a function may have several entries */
    uint32_t file, line;
    struct sv_str name;
    uint32_t inlined, ninlined; /* in sv_dwarf.inlined */
};
/* Outer ones first. */
struct sv_dwarf_inlined {
    uint32_t from, to;
    uint32_t file, line; /* of the call */
    struct sv_str name;  /* of what was called */
};
struct sv_dwarf {
    struct sv_dwarf_file *files;
    struct sv_dwarf_row *rows;
    struct sv_dwarf_func *funcs; /* sorted by `from` */
    struct sv_dwarf_inlined *inlined;
    uint32_t nfiles, nrows, nfuncs, ninlined;
};

/* Read at the first call, any thread; lives as long as the module. NULL: out of memory. */
const struct sv_dwarf *sv_module_dwarf(const struct sv_module *);
void sv_dwarf_delete(own struct sv_dwarf *); /* NULL is allowed */

/* The innermost first. A place without a function's name is where the function's own code is. */
struct sv_dwarf_place {
    const struct sv_dwarf_file *file;
    uint32_t line;
    struct sv_str func; /* inlined here; empty: none */
};
#define SV_DWARF_PLACES 16
/* Returns how many were written, 0 when nothing is known: the line of the instruction, then the
 * line of each call that was inlined. */
uint32_t sv_dwarf_places(const struct sv_dwarf *, uint32_t offset,
                         struct sv_dwarf_place ret[SV_DWARF_PLACES]);
/* Append the path as far as it is known; `full`: beginning at the folder of the compilation. */
void sv_dwarf_print_file(struct sv_buf *, const struct sv_dwarf_file *, bool full);

#endif
