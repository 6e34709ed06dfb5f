/* Joins ELF relocatable objects, as the compiler makes them in memory, to one position-independent
 * blob in which no relocation is left. Not a general linker: no writable data, no imports, no
 * archives, no discarding of what is not used. */
#ifndef SV_AOT_OBJECT_H
#define SV_AOT_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"

/* An ELF64 relocatable file for x86-64 or aarch64, at any address. */
struct sv_object_input {
    const uint8_t *bytes;
    size_t len;
};

/* A name that an object defines for the others. `offset` counts from the start of the text, for
 * constants too. */
struct sv_object_symbol {
    const char *name;
    uint32_t offset, size;
};

/* From code_offset on, up to the next entry, the code belongs to the instruction at byte
 * wasm_offset of the module; 0 = unknown. */
struct sv_object_line {
    uint32_t code_offset;
    uint32_t wasm_offset;
};

/* The frame of a function, by DWARF's numbers of registers. The CFA is where the caller's part of
 * the stack begins. */
struct sv_object_frame {
    uint32_t cfa_register, cfa_offset;
    uint32_t ret_below; /* the return address lies so far below the CFA; 0: in x30 (aarch64) */
    uint32_t fp_below;  /* likewise the caller's rbp or x29; 0: the register holds it */
};

/* From code_offset on, up to the next entry, functions have this frame; UINT32_MAX = not known. */
struct sv_object_unwind {
    uint32_t code_offset;
    uint32_t frame;
};

/* The text lies at a multiple of the page size, the constants `rodata_at` bytes behind its start;
 * what is between them does not matter. */
struct sv_linked {
    uint8_t *text; /* NULL when empty */
    size_t text_len;
    uint8_t *rodata; /* NULL when empty */
    size_t rodata_len;
    size_t rodata_at;             /* text_len rounded up to the page size */
    struct sv_object_line *lines; /* ascending code_offset, neighbours differ in wasm_offset */
    uint32_t nlines;
    struct sv_object_unwind *unwind; /* ascending code_offset, neighbours differ in frame */
    uint32_t nunwind;
    struct sv_object_frame *frames; /* in the order of their first use */
    uint32_t nframes;
    struct sv_object_symbol *symbols; /* in the order of the objects and of their tables */
    uint32_t nsymbols;
    struct sv_map by_name; /* values are elements of `symbols` */
    struct sv_arena names;
};

/* The blob is as large as a 32-bit displacement reaches. */
#define SV_LINKED_MAX ((size_t)INT32_MAX)

/* Link `n` objects for one machine; `page_size` is a power of two, at least 4096. The inputs are
 * borrowed for the call and are not trusted: a damaged one is an error. The same inputs in the same
 * order give the same bytes. On success *ret is the caller's, to give to sv_linked_delete. Safe
 * from any thread. */
int sv_objects_link(struct sv_err *err, const struct sv_object_input *in, uint32_t n,
                    uint32_t page_size, own struct sv_linked **ret);
void sv_linked_delete(own struct sv_linked *); /* NULL is allowed */

/* false (and nothing written) when no object defines the name. */
bool sv_linked_symbol(const struct sv_linked *, const char *name, uint32_t *ret_offset,
                      uint32_t *ret_size);

#endif
