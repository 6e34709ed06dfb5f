/* Reads .debug_line (DWARF 4 and 5, section 6.2) for one thing only: which line, that is which byte
 * of the wasm module, each piece of code comes from. Files, columns and the rest are stepped over.
 */
#include "aot/object_elf.h"

#include <stdlib.h>

#include "wasm/dwarf_line.h"
#include "wasm/reader.h"

#define RANGES_MAX ((size_t)1 << 28)

/* The state machine, of which a row needs only address and line. */
struct program {
    const struct sv_object *object;
    struct sv_object_ranges *ranges;
    struct sv_reader in;
    const char *failure; /* of ours; a failed read has its own */
    /* relocations of .debug_line, in ascending order: the next one to be met */
    const struct sv_object_section *rela;
    uint32_t nrela, next_rela;
    /* header */
    uint8_t min_length, line_range, opcode_base;
    int8_t line_base;
    uint8_t operands[256]; /* number of, for standard opcodes */
    /* registers */
    const struct sv_object_section *section; /* of the sequence; NULL before its address is set */
    uint64_t address, end;                   /* in the blob; `end` of the section */
    int64_t line;
    /* the last row of the sequence, not yet appended since its end is unknown */
    bool pending, failed_memory;
    uint32_t row_address, row_line;
};

static bool fail(struct program *p, const char *what)
{
    p->failure = what;
    return false;
}

static void reset(struct program *p)
{
    p->section = NULL;
    p->address = p->end = 0;
    p->line = 1;
    p->pending = false;
}

/* The last row reaches up to the address of this one; of rows at one address the last counts. */
static bool close_row(struct program *p)
{
    struct sv_object_range range = {p->row_address, (uint32_t)p->address, p->row_line};

    if (!p->section)
        return fail(p, "a row without an address");
    if (!p->pending || range.start == range.end)
        return true;
    if (p->address < range.start)
        return fail(p, "addresses do not ascend");
    if (!SV_VEC_PUSH(p->ranges, RANGES_MAX, range)) {
        p->failed_memory = true;
        return false;
    }
    return true;
}

static bool add_row(struct program *p)
{
    if (!close_row(p))
        return false;
    if (p->line < 0 || p->line > UINT32_MAX)
        return fail(p, "a line beyond 32 bits");
    p->pending = true;
    p->row_address = (uint32_t)p->address;
    p->row_line = (uint32_t)p->line;
    return true;
}

static bool advance(struct program *p, uint64_t bytes)
{
    if (bytes > p->end - p->address)
        return fail(p, "an address outside its section");
    p->address += bytes;
    return true;
}

static bool advance_instructions(struct program *p, uint64_t n)
{
    return n > SV_LINKED_MAX ? fail(p, "an address outside its section")
                             : advance(p, n * p->min_length);
}

static bool advance_line(struct program *p, int64_t n)
{
    return !__builtin_add_overflow(p->line, n, &p->line) || fail(p, "a line beyond 32 bits");
}

/* The operand is zero in the file: it is what the relocation says. */
static bool set_address(struct program *p, uint64_t offset)
{
    struct sv_object_elf_symbol symbol;
    Elf64_Rela rela = {0};
    int64_t value;

    while (p->next_rela < p->nrela) {
        rela = sv_object_relocation(p->rela, p->next_rela++);
        if (rela.r_offset >= offset)
            break;
    }
    if (rela.r_offset != offset ||
        ELF64_R_TYPE(rela.r_info) !=
            (p->object->machine == EM_X86_64 ? (unsigned)R_X86_64_64 : R_AARCH64_ABS64))
        return fail(p, "an address without its relocation");
    if (sv_object_symbol_read(NULL, p->object, (uint32_t)ELF64_R_SYM(rela.r_info), &symbol) < 0 ||
        !symbol.section || symbol.section->place != SV_PLACE_TEXT)
        return fail(p, "an address that is not of code");
    value = symbol.value;
    if (p->section && p->section != symbol.section)
        return fail(p, "a sequence across sections");
    if (__builtin_add_overflow(value, rela.r_addend, &value) || value < 0 ||
        (uint64_t)value > symbol.section->len)
        return fail(p, "an address outside its section");
    p->section = symbol.section;
    p->address = p->section->at + (uint64_t)value;
    p->end = p->section->at + p->section->len;
    return true;
}

static bool run_extended(struct program *p)
{
    uint64_t len;
    uint8_t opcode;
    const uint8_t *next;

    if (!sv_read_u64(&p->in, &len))
        return false;
    if (len == 0 || len > sv_reader_left(&p->in))
        return fail(p, "an opcode beyond the end");
    next = p->in.p + len;
    opcode = *p->in.p++;
    if (opcode == LNE_END_SEQUENCE) {
        if (!close_row(p))
            return false;
        reset(p);
    } else if (opcode == LNE_SET_ADDRESS) {
        if (len != 9)
            return fail(p, "an address that is not of 64 bits");
        if (!set_address(p, sv_reader_offset(&p->in)))
            return false;
    }
    p->in.p = next;
    return true;
}

static bool run_standard(struct program *p, uint8_t opcode)
{
    uint64_t n = 0;
    int64_t delta = 0;
    uint16_t fixed;

    switch (opcode) {
    case LNS_COPY:
        return add_row(p);
    case LNS_ADVANCE_PC:
        return sv_read_u64(&p->in, &n) && advance_instructions(p, n);
    case LNS_ADVANCE_LINE:
        return sv_read_signed(&p->in, 64, &delta) && advance_line(p, delta);
    case LNS_CONST_ADD_PC:
        return advance_instructions(p, (255u - p->opcode_base) / p->line_range);
    case LNS_FIXED_ADVANCE_PC:
        if (sv_reader_left(&p->in) < sizeof fixed)
            return fail(p, "an opcode beyond the end");
        memcpy(&fixed, p->in.p, sizeof fixed);
        p->in.p += sizeof fixed;
        return advance(p, fixed);
    default:
        for (unsigned i = 0; i < p->operands[opcode]; i++)
            if (!sv_read_u64(&p->in, &n))
                return false;
        return true;
    }
}

static bool run(struct program *p)
{
    uint8_t opcode, special;

    reset(p);
    while (sv_read_u8(&p->in, &opcode)) {
        if (opcode >= p->opcode_base) {
            special = opcode - p->opcode_base;
            if (!advance_instructions(p, special / p->line_range) ||
                !advance_line(p, p->line_base + special % p->line_range) || !add_row(p))
                return false;
        } else if (!(opcode == 0 ? run_extended(p) : run_standard(p, opcode))) {
            return false;
        }
        if (sv_reader_left(&p->in) == 0)
            return !p->section || fail(p, "a sequence without an end");
    }
    return false;
}

/* The fields after unit_length; on return `in` is the program. */
static bool read_head(struct program *p)
{
    struct sv_reader *in = &p->in;
    uint16_t version;
    uint32_t header_length;
    const uint8_t *code;
    uint8_t fields[6];
    size_t nfields;

    if (sv_reader_left(in) < sizeof version)
        return fail(p, "a unit without a header");
    memcpy(&version, in->p, sizeof version);
    in->p += sizeof version;
    if (version != 4 && version != 5)
        return fail(p, "neither DWARF 4 nor 5");
    if (version == 5) {
        if (sv_reader_left(in) < 2 || in->p[0] != 8 || in->p[1] != 0)
            return fail(p, "addresses that are not of 64 bits");
        in->p += 2;
    }
    nfields = sizeof fields;
    if (sv_reader_left(in) < sizeof header_length)
        return fail(p, "a unit without a header");
    memcpy(&header_length, in->p, sizeof header_length);
    in->p += sizeof header_length;
    if (header_length < nfields || header_length > sv_reader_left(in))
        return fail(p, "a header beyond its unit");
    code = in->p + header_length;
    memcpy(fields, in->p, nfields);
    in->p += nfields;
    p->min_length = fields[0];
    p->line_base = (int8_t)fields[3];
    p->line_range = fields[4];
    p->opcode_base = fields[5];
    if (fields[1] != 1) /* maximum_operations_per_instruction; fields[2] is default_is_stmt */
        return fail(p, "several operations an instruction");
    if (p->line_range == 0 || p->opcode_base <= LNS_FIXED_ADVANCE_PC ||
        p->opcode_base - 1 > code - in->p)
        return fail(p, "a bad header");
    memcpy(p->operands + 1, in->p, p->opcode_base - 1u);
    in->p = code;
    return true;
}

static bool read_units(struct program *p, const struct sv_object_section *s)
{
    const uint8_t *at = s->bytes, *end = s->bytes + s->len;

    while (at < end) {
        uint32_t length;

        if ((size_t)(end - at) < sizeof length)
            return fail(p, "a unit without a header");
        memcpy(&length, at, sizeof length);
        at += sizeof length;
        if (length > (size_t)(end - at)) /* 64-bit DWARF, 0xffffffff, too */
            return fail(p, "a unit beyond the section");
        p->in = (struct sv_reader){.p = at, .end = at + length, .base = s->bytes};
        if (!read_head(p) || (sv_reader_left(&p->in) > 0 && !run(p)))
            return false;
        at += length;
    }
    return true;
}

static int read_section(struct sv_err *err, const struct sv_object *o, uint32_t index,
                        struct sv_object_ranges *ranges)
{
    const struct sv_object_section *s = &o->sections[index];
    struct program p = {.object = o, .ranges = ranges};
    int r;

    r = sv_object_table_relocations(err, o, index, "line table", &p.rela, &p.nrela);
    if (r < 0)
        return r;
    if (read_units(&p, s))
        return 0;
    if (p.failed_memory)
        return sv_fail_nomem(err, "line table");
    return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET, "object %u: line table: %s", o->index,
                   p.failure ? p.failure : p.in.failure);
}

int sv_object_lines_read(struct sv_err *err, const struct sv_object *o,
                         struct sv_object_ranges *ranges)
{
    int r = 0;

    for (uint32_t i = 1; i < o->nsections && r == 0; i++)
        if (strcmp(o->sections[i].name, ".debug_line") == 0)
            r = read_section(err, o, i, ranges);
    return r;
}

static int by_start(const void *a, const void *b)
{
    const struct sv_object_range *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

/* Add a row; the same wasm offset as in the row before is no news. */
static uint32_t put(struct sv_object_line *lines, uint32_t n, uint32_t code, uint32_t wasm)
{
    if (wasm == (n ? lines[n - 1].wasm_offset : 0))
        return n;
    lines[n] = (struct sv_object_line){code, wasm};
    return n + 1;
}

int sv_object_lines_join(struct sv_err *err, struct sv_object_ranges *ranges,
                         own struct sv_object_line **ret, uint32_t *ret_n)
{
    struct sv_object_line *lines, *fitting;
    uint32_t n = 0, end = 0;

    if (ranges->len == 0) {
        *ret = NULL;
        *ret_n = 0;
        return 0;
    }
    qsort(ranges->data, ranges->len, sizeof *ranges->data, by_start);
    lines = sv_alloc_array(2 * ranges->len, sizeof *lines); /* a row and a gap for each at most */
    if (!lines)
        return sv_fail_nomem(err, "line table");
    for (size_t i = 0; i < ranges->len; i++) {
        const struct sv_object_range *range = &ranges->data[i];

        if (range->start < end) {
            sv_free(lines);
            return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET,
                           "line tables: two sequences for the code at 0x%x", range->start);
        }
        if (range->start > end)
            n = put(lines, n, end, 0);
        n = put(lines, n, range->start, range->wasm_offset);
        end = range->end;
    }
    n = put(lines, n, end, 0);
    fitting = sv_realloc(lines, (n ? n : 1) * sizeof *lines);
    *ret = fitting ? fitting : lines;
    *ret_n = n;
    return 0;
}
