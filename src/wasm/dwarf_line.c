/* The line tables of a module's debug information (DWARF 4 and 5, section 6.2). */
#include "wasm/dwarf_line.h"

#include "wasm/dwarf_read.h"

enum { LNCT_PATH = 1, LNCT_DIRECTORY_INDEX };
#define FORMATS_MAX 16
#define DIRS_MAX 65536

/* Folders and files of version 5 say what they consist of. */
struct format {
    uint64_t content, form;
};
struct program {
    struct sv_dwarf_reader *r;
    struct sv_reader in;
    struct sv_dwarf_table table;
    SV_VEC(struct sv_str) dirs;
    uint8_t min_length, line_range, opcode_base, address_size;
    int8_t line_base;
    bool default_is_stmt;
    uint8_t operands[256]; /* number of, for standard opcodes */
    /* registers */
    uint64_t address;
    uint64_t file;
    uint32_t line;
    bool is_stmt;
    /* the last row of the sequence, whose end is not known yet */
    bool pending;
    struct sv_dwarf_row row;
};

static bool add_file(struct program *p, struct sv_str name, uint64_t dir)
{
    /* Folder 0 is that of the compilation, which version 4 does not tell here. */
    struct sv_dwarf_file f = {.name = name};

    if (p->table.version >= 5 && p->dirs.len > 0)
        f.base = p->dirs.data[0];
    if (dir > 0 && dir < p->dirs.len)
        f.dir = p->dirs.data[dir];
    p->table.nfiles++;
    return SV_VEC_PUSH(&p->r->files, SV_DWARF_FILES_MAX, f);
}

static bool read_names_4(struct program *p)
{
    struct sv_dwarf_value name;
    uint64_t dir, time, size;

    /* Numbers begin with 1. */
    if (!SV_VEC_PUSH(&p->dirs, DIRS_MAX, (struct sv_str){"", 0}) ||
        !add_file(p, (struct sv_str){"", 0}, 0))
        return false;
    for (;;) {
        if (!sv_dwarf_value(p->r, &p->in, DW_FORM_STRING, 0, &name))
            return false;
        if (name.text.len == 0)
            break;
        if (!SV_VEC_PUSH(&p->dirs, DIRS_MAX, name.text))
            return false;
    }
    for (;;) {
        if (!sv_dwarf_value(p->r, &p->in, DW_FORM_STRING, 0, &name))
            return false;
        if (name.text.len == 0)
            return true;
        if (!sv_read_u64(&p->in, &dir) || !sv_read_u64(&p->in, &time) ||
            !sv_read_u64(&p->in, &size) || !add_file(p, name.text, dir))
            return false;
    }
}

static bool read_entries_5(struct program *p, bool files)
{
    struct format formats[FORMATS_MAX];
    uint64_t nformats, n;

    if (!sv_dwarf_number(&p->in, 1, &nformats) || nformats > FORMATS_MAX)
        return false;
    for (uint64_t i = 0; i < nformats; i++)
        if (!sv_read_u64(&p->in, &formats[i].content) || !sv_read_u64(&p->in, &formats[i].form))
            return false;
    if (!sv_read_u64(&p->in, &n) || (nformats == 0 && n > 0))
        return false;
    for (; n > 0; n--) {
        struct sv_str name = {"", 0};
        uint64_t dir = 0;

        for (uint64_t i = 0; i < nformats; i++) {
            struct sv_dwarf_value v;

            if (!sv_dwarf_value(p->r, &p->in, formats[i].form, p->address_size, &v))
                return false;
            if (formats[i].content == LNCT_PATH)
                name = sv_dwarf_text(p->r, &v);
            else if (formats[i].content == LNCT_DIRECTORY_INDEX)
                dir = v.number;
        }
        if (!(files ? add_file(p, name, dir) : SV_VEC_PUSH(&p->dirs, DIRS_MAX, name)))
            return false;
    }
    return true;
}

/* The fields after unit_length; on return `in` is the program. */
static bool read_head(struct program *p)
{
    struct sv_reader *in = &p->in;
    uint64_t version, length, field[6];
    const uint8_t *code;

    if (!sv_dwarf_number(in, 2, &version) || version < 2 || version > 5)
        return false;
    p->table.version = (uint16_t)version;
    p->address_size = 4;
    if (version == 5) {
        uint64_t size, segment;

        if (!sv_dwarf_number(in, 1, &size) || !sv_dwarf_number(in, 1, &segment) || segment != 0)
            return false;
        p->address_size = (uint8_t)size;
    }
    if (!sv_dwarf_number(in, 4, &length) || length > sv_reader_left(in))
        return false;
    code = in->p + length;
    field[1] = 1; /* maximum_operations_per_instruction came with version 4 */
    for (unsigned i = 0; i < 6; i++)
        if ((i != 1 || version >= 4) && !sv_dwarf_number(in, 1, &field[i]))
            return false;
    p->min_length = (uint8_t)field[0];
    p->default_is_stmt = field[2] != 0;
    p->line_base = (int8_t)field[3];
    p->line_range = (uint8_t)field[4];
    p->opcode_base = (uint8_t)field[5];
    if (field[1] != 1 || p->line_range == 0 || p->opcode_base <= LNS_FIXED_ADVANCE_PC)
        return false;
    for (unsigned i = 1; i < p->opcode_base; i++) {
        uint64_t n;

        if (!sv_dwarf_number(in, 1, &n))
            return false;
        p->operands[i] = (uint8_t)n;
    }
    if (!(version == 5 ? read_entries_5(p, false) && read_entries_5(p, true) : read_names_4(p)))
        return false;
    in->p = code;
    return true;
}

static void reset(struct program *p)
{
    p->address = 0;
    p->file = 1;
    p->line = 1;
    p->is_stmt = p->default_is_stmt;
    p->pending = false;
}

/* The last row reaches up to the address of this one. Rows of one line become one. */
static bool close_row(struct program *p)
{
    struct sv_dwarf_row *last =
        p->r->rows.len ? &p->r->rows.data[p->r->rows.len - 1] : &(struct sv_dwarf_row){0};
    uint32_t to;

    if (!p->pending || !sv_dwarf_offset(p->r, p->address, &to) || to <= p->row.from)
        return true;
    p->row.to = to;
    if (last->to == p->row.from && last->file == p->row.file && last->line == p->row.line &&
        !p->row.is_stmt) {
        last->to = to;
        return true;
    }
    return SV_VEC_PUSH(&p->r->rows, SV_DWARF_ROWS_MAX, p->row);
}

static bool add_row(struct program *p)
{
    struct sv_dwarf_row row = {.line = p->line, .is_stmt = p->is_stmt};

    if (!close_row(p))
        return false;
    p->pending = p->file < p->table.nfiles && sv_dwarf_offset(p->r, p->address, &row.from);
    if (p->pending)
        row.file = (uint32_t)(p->table.file + p->file) & INT32_MAX;
    p->row = row;
    return true;
}

static bool run_extended(struct program *p)
{
    const uint8_t *next;
    uint64_t len, opcode;

    if (!sv_read_u64(&p->in, &len) || len == 0 || len > sv_reader_left(&p->in))
        return false;
    next = p->in.p + len;
    sv_dwarf_number(&p->in, 1, &opcode);
    if (opcode == LNE_END_SEQUENCE) {
        if (!close_row(p))
            return false;
        reset(p);
    } else if (opcode == LNE_SET_ADDRESS) {
        if (len - 1 > 8)
            return false;
        sv_dwarf_number(&p->in, (unsigned)len - 1, &p->address);
    }
    p->in.p = next;
    return true;
}

static bool run_standard(struct program *p, uint8_t opcode)
{
    uint64_t n = 0;
    int64_t delta = 0;

    switch (opcode) {
    case LNS_COPY:
        return add_row(p);
    case LNS_ADVANCE_PC:
        if (!sv_read_u64(&p->in, &n))
            return false;
        p->address += n * p->min_length;
        return true;
    case LNS_ADVANCE_LINE:
        if (!sv_read_signed(&p->in, 64, &delta))
            return false;
        p->line += (uint32_t)delta;
        return true;
    case LNS_SET_FILE:
        return sv_read_u64(&p->in, &p->file);
    case LNS_NEGATE_STMT:
        p->is_stmt = !p->is_stmt;
        return true;
    case LNS_CONST_ADD_PC:
        p->address += (255u - p->opcode_base) / p->line_range * p->min_length;
        return true;
    case LNS_FIXED_ADVANCE_PC:
        if (!sv_dwarf_number(&p->in, 2, &n))
            return false;
        p->address += n;
        return true;
    default:
        for (unsigned i = 0; i < p->operands[opcode]; i++)
            if (!sv_read_u64(&p->in, &n))
                return false;
        return true;
    }
}

static void run(struct program *p)
{
    uint8_t opcode;

    reset(p);
    while (sv_dwarf_pay(p->r, 1) && sv_reader_left(&p->in) > 0) {
        bool good;

        opcode = *p->in.p++;
        if (opcode >= p->opcode_base) {
            unsigned special = opcode - p->opcode_base;

            p->address += special / p->line_range * p->min_length;
            p->line += (uint32_t)(p->line_base + (int)(special % p->line_range));
            good = add_row(p);
        } else {
            good = opcode == 0 ? run_extended(p) : run_standard(p, opcode);
        }
        if (!good)
            return;
    }
}

void sv_dwarf_read_lines(struct sv_dwarf_reader *r)
{
    struct sv_reader all = r->sections[SV_DWARF_LINE];

    for (uint64_t length; sv_dwarf_pay(r, 1);) {
        struct program p = {.r = r,
                            .table.offset = (uint32_t)(all.p - r->sections[SV_DWARF_LINE].p)};

        /* 64-bit DWARF, 0xffffffff, is beyond any section too. */
        if (!sv_dwarf_number(&all, 4, &length) || length > sv_reader_left(&all))
            return;
        p.table.file = (uint32_t)r->files.len;
        p.in = (struct sv_reader){.p = all.p, .end = all.p + length, .base = all.p};
        if (read_head(&p)) {
            if (SV_VEC_PUSH(&r->tables, SV_DWARF_FILES_MAX, p.table))
                run(&p);
        }
        sv_free(p.dirs.data);
        all.p += length;
    }
}
