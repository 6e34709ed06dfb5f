/* The opcodes of line tables that we know (DWARF 4 and 5, section 6.2.5). */
#ifndef SV_WASM_DWARF_LINE_H
#define SV_WASM_DWARF_LINE_H

enum { /* standard and extended opcodes */
       LNS_COPY = 1,
       LNS_ADVANCE_PC,
       LNS_ADVANCE_LINE,
       LNS_SET_FILE,
       LNS_SET_COLUMN,
       LNS_NEGATE_STMT,
       LNS_SET_BASIC_BLOCK,
       LNS_CONST_ADD_PC,
       LNS_FIXED_ADVANCE_PC,
       LNE_END_SEQUENCE = 1,
       LNE_SET_ADDRESS = 2
};

#endif
