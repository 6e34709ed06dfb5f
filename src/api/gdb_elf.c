/* Makes the file that a debugger reads of an image: where its text lies, symbols, line tables and
 * functions (DWARF 4), and how to unwind (x86-64). Lines and names are the guest's; variables are
 * not told. */
#include <elf.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "api/gdb.h"
#include "runtime/native_image.h"
#include "wasm/dwarf.h"

#define ENTRY_NAME "ssvm_entry" /* what calls guests from C */
#define FILE_MAX ((size_t)1 << 30)

/* SECTION(NAME, text, type, flags, link, info, entry size) */
#define SECTIONS(SECTION)                                                                          \
    SECTION(NONE, "", SHT_NULL, 0, 0, 0, 0)                                                        \
    SECTION(TEXT, ".text", SHT_NOBITS, SHF_ALLOC | SHF_EXECINSTR, 0, 0, 0)                         \
    SECTION(SHSTRTAB, ".shstrtab", SHT_STRTAB, 0, 0, 0, 0)                                         \
    SECTION(STRTAB, ".strtab", SHT_STRTAB, 0, 0, 0, 0)                                             \
    SECTION(SYMTAB, ".symtab", SHT_SYMTAB, 0, STRTAB, 1, sizeof(Elf64_Sym))                        \
    SECTION(ABBREV, ".debug_abbrev", SHT_PROGBITS, 0, 0, 0, 0)                                     \
    SECTION(INFO, ".debug_info", SHT_PROGBITS, 0, 0, 0, 0)                                         \
    SECTION(LINE, ".debug_line", SHT_PROGBITS, 0, 0, 0, 0)                                         \
    SECTION(FRAME, ".debug_frame", SHT_PROGBITS, 0, 0, 0, 0)
enum section {
#define SECTION(name, text, type, flags, link, info, size) name,
    SECTIONS(SECTION)
#undef SECTION
        SECTION_COUNT
};
static const struct {
    const char *name;
    uint32_t type, flags, link, info, entry_size;
} sections[SECTION_COUNT] = {
#define SECTION(name, text, type, flags, link, info, size)                                         \
    [name] = {text, type, flags, link, info, size},
    SECTIONS(SECTION)
#undef SECTION
};

struct maker {
    const struct sv_module *m;
    const struct sv_native *n;
    const struct sv_dwarf *dwarf;
    const struct sv_native_begin *begins;
    size_t nbegins;
    struct sv_buf out[SECTION_COUNT];
    uint32_t *files; /* by the guest's files: its number here; 0: not used yet */
    uint32_t nfiles;
    struct sv_buf file_names;
};

static void put_n(struct sv_buf *b, uint64_t v, unsigned bytes)
{
    sv_buf_append(b, &v, bytes); /* all machines are little-endian here */
}

static void put_unsigned(struct sv_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        put_n(b, (v & 0x7f) | 0x80, 1);
    put_n(b, v, 1);
}

static void put_signed(struct sv_buf *b, int64_t v)
{
    for (; v < -64 || v >= 64; v >>= 7)
        put_n(b, ((uint64_t)v & 0x7f) | 0x80, 1);
    put_n(b, (uint64_t)v & 0x7f, 1);
}

static void put_text(struct sv_buf *b, const char *s)
{
    sv_buf_append(b, s, strlen(s) + 1);
}

/* Whole names end with NUL, which is no part of them. */
static void put_name(struct sv_buf *b, struct sv_str s)
{
    const void *nul = s.len ? memchr(s.ptr, 0, s.len) : NULL;

    sv_buf_append(b, s.ptr, nul ? (size_t)((const char *)nul - s.ptr) : s.len);
    put_n(b, 0, 1);
}

/* Room for a length, filled in when the end is known. */
static size_t begin_length(struct sv_buf *b)
{
    put_n(b, 0, 4);
    return b->len;
}

static void end_length(struct sv_buf *b, size_t at)
{
    uint32_t len = (uint32_t)(b->len - at);

    if (!b->failed)
        memcpy(b->data + at - 4, &len, 4);
}

static uint64_t address(const struct maker *k, uint32_t at)
{
    return (uint64_t)(uintptr_t)k->n->text + at;
}

/* The number of a file, from 1; 0: none. */
static uint32_t file_number(struct maker *k, uint32_t file)
{
    if (file >= k->dwarf->nfiles)
        return 0;
    if (k->files[file] == 0) {
        sv_dwarf_print_file(&k->file_names, &k->dwarf->files[file], true);
        put_n(&k->file_names, 0, 4); /* the name's end, folder, time, length */
        k->files[file] = ++k->nfiles;
    }
    return k->files[file];
}

/* ---- .debug_line ---- */

struct line_state {
    uint32_t at, file, line;
};

/* A row, unless the line is that of the row before. */
static void put_row(struct maker *k, struct line_state *s, uint32_t at, uint32_t file,
                    uint32_t line)
{
    struct sv_buf *b = &k->out[LINE];

    if (file == s->file && line == s->line)
        return;
    put_n(b, 2, 1); /* DW_LNS_advance_pc */
    put_unsigned(b, at - s->at);
    put_n(b, 4, 1); /* DW_LNS_set_file */
    put_unsigned(b, file);
    put_n(b, 3, 1); /* DW_LNS_advance_line */
    put_signed(b, (int64_t)line - (int64_t)s->line);
    put_n(b, 1, 1); /* DW_LNS_copy */
    *s = (struct line_state){at, file, line};
}

static const struct sv_native_line *first_line(const struct sv_native *n, uint32_t at)
{
    uint32_t from = 0, to = n->nlines;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;

        if (n->lines[middle].code_offset < at)
            from = middle + 1;
        else
            to = middle;
    }
    return n->lines + from;
}

/* Code without a line of its own goes with what is before it. */
static void put_lines(struct maker *k, uint32_t from, uint32_t to, uint32_t file, uint32_t line)
{
    const struct sv_native_line *l = first_line(k->n, from), *end = k->n->lines + k->n->nlines;
    struct line_state s = {.at = from, .file = 1, .line = 1};
    struct sv_buf *b = &k->out[LINE];

    put_n(b, 0, 1);
    put_unsigned(b, 9);
    put_n(b, 2, 1); /* DW_LNE_set_address */
    put_n(b, address(k, from), 8);
    if (file)
        put_row(k, &s, from, file, line);
    for (; l < end && l->code_offset < to; l++) {
        struct sv_dwarf_place places[SV_DWARF_PLACES];
        uint32_t n = l->wasm_offset ? sv_dwarf_places(k->dwarf, l->wasm_offset, places) : 0;
        uint32_t number = 0;

        if (n > 0 && places[0].file)
            number = file_number(k, (uint32_t)(places[0].file - k->dwarf->files));
        if (number)
            put_row(k, &s, l->code_offset, number, places[0].line);
    }
    put_n(b, 2, 1);
    put_unsigned(b, to - s.at);
    put_n(b, 0, 1);
    put_unsigned(b, 1);
    put_n(b, 1, 1); /* DW_LNE_end_sequence */
}

/* ---- .debug_info ---- */

enum { ABBREV_UNIT = 1, ABBREV_FUNC, ABBREV_PLAIN };

static void put_abbrevs(struct maker *k)
{
    static const uint8_t table[] = {
        /* compile unit: producer, language, name, low_pc, high_pc, stmt_list */
        ABBREV_UNIT, 0x11, 1, 0x25, 0x08, 0x13, 0x05, 0x03, 0x08, 0x11, 0x01, 0x12, 0x07, 0x10,
        0x17, 0, 0,
        /* subprogram: name, low_pc, high_pc, external, decl_file, decl_line */
        ABBREV_FUNC, 0x2e, 0, 0x03, 0x08, 0x11, 0x01, 0x12, 0x06, 0x3f, 0x19, 0x3a, 0x0f, 0x3b,
        0x0f, 0, 0,
        /* the same without a place */
        ABBREV_PLAIN, 0x2e, 0, 0x03, 0x08, 0x11, 0x01, 0x12, 0x06, 0x3f, 0x19, 0, 0, 0};

    sv_buf_append(&k->out[ABBREV], table, sizeof table);
}

static const struct sv_dwarf_func *guest_func(const struct maker *k, uint32_t func)
{
    const struct sv_func_decl *f = &k->m->funcs[func];
    uint32_t from = 0, to = k->dwarf->nfuncs;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;

        if (k->dwarf->funcs[middle].from < f->body_offset)
            from = middle + 1;
        else
            to = middle;
    }
    return from < k->dwarf->nfuncs && k->dwarf->funcs[from].from < f->body_offset + f->body_len
               ? &k->dwarf->funcs[from]
               : NULL;
}

static void put_symbol(struct maker *k, const char *name, size_t len, uint32_t at, uint32_t size)
{
    Elf64_Sym s = {.st_name = (uint32_t)k->out[STRTAB].len,
                   .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                   .st_shndx = TEXT,
                   .st_value = at,
                   .st_size = size};

    put_name(&k->out[STRTAB], (struct sv_str){name, len});
    sv_buf_append(&k->out[SYMTAB], &s, sizeof s);
}

static void put_func(struct maker *k, uint32_t func, uint32_t from, uint32_t to)
{
    const struct sv_dwarf_func *f = guest_func(k, func);
    uint32_t file = f ? file_number(k, f->file) : 0;
    struct sv_buf *b = &k->out[INFO], name;

    sv_buf_init(&name, FILE_MAX);
    sv_api_print_func(&name, k->m, func);
    put_symbol(k, (const char *)name.data, name.len, from, to - from);
    put_unsigned(b, file ? ABBREV_FUNC : ABBREV_PLAIN);
    put_name(b, f && f->name.len ? f->name : (struct sv_str){(const char *)name.data, name.len});
    put_n(b, address(k, from), 8);
    put_n(b, to - from, 4);
    if (file) {
        put_unsigned(b, file);
        put_unsigned(b, f->line);
    }
    put_lines(k, from, to, file, f ? f->line : 0);
    sv_buf_release(&name);
}

/* ---- .debug_frame ---- */

static size_t begin_fde(struct maker *k, uint32_t from, uint32_t to)
{
    struct sv_buf *b = &k->out[FRAME];
    size_t at = begin_length(b);

    put_n(b, 0, 4); /* the one description of all */
    put_n(b, address(k, from), 8);
    put_n(b, to - from, 8);
    return at;
}

static void end_fde(struct maker *k, size_t at)
{
    struct sv_buf *b = &k->out[FRAME];

    while (!b->failed && (b->len - at + 4) % 8 != 0)
        put_n(b, 0, 1); /* DW_CFA_nop */
    end_length(b, at);
}

/* Code for debuggers keeps frame pointers: what matters is when they are set up. */
static void put_frame(struct maker *k, uint32_t func, uint32_t from, uint32_t to)
{
    static const uint8_t prologue[] = {0x55, 0x48, 0x89, 0xe5};
    static const uint8_t unwind[] = {0x41, 0x0e, 16, 0x86, 2, 0x43, 0x0d, 6};
    size_t at;

    if (func == UINT32_MAX) {
        /* The guest's frames end here. */
        at = begin_fde(k, from, to);
        sv_buf_append(&k->out[FRAME], (const uint8_t[]){0x07, 16}, 2); /* DW_CFA_undefined */
        end_fde(k, at);
    } else if (to - from > sizeof prologue &&
               memcmp(k->n->text + from, prologue, sizeof prologue) == 0) {
        /* after 1: def_cfa_offset 16, rbp at cfa - 16; after 3 more: def_cfa_register rbp */
        at = begin_fde(k, from, to);
        sv_buf_append(&k->out[FRAME], unwind, sizeof unwind);
        end_fde(k, at);
    }
}

static void put_cie(struct maker *k)
{
    /* version 3, no augmentation, factors 1 and -8, return address in 16; cfa is rsp + 8, the
     * return address at cfa - 8 */
    static const uint8_t cie[] = {3, 0, 1, 0x78, 16, 0x0c, 7, 8, 0x90, 1};
    size_t at = begin_length(&k->out[FRAME]);

    put_n(&k->out[FRAME], UINT32_MAX, 4);
    sv_buf_append(&k->out[FRAME], cie, sizeof cie);
    end_fde(k, at);
}

/* ---- All of it ---- */

static void put_everything(struct maker *k)
{
    struct sv_buf *info = &k->out[INFO];
    size_t at = begin_length(info);

    put_n(info, 4, 2); /* version */
    put_n(info, 0, 4); /* abbreviations */
    put_n(info, 8, 1);
    put_unsigned(info, ABBREV_UNIT);
    put_text(info, "ssvm");
    put_n(info, 0x0c, 2); /* DW_LANG_C99 */
    put_text(info, "guest");
    put_n(info, address(k, 0), 8);
    put_n(info, k->n->text_len, 8);
    put_n(info, 0, 4); /* line table */
    put_abbrevs(k);
    put_n(&k->out[STRTAB], 0, 1);
    sv_buf_append(&k->out[SYMTAB], &(Elf64_Sym){0}, sizeof(Elf64_Sym));
    if (SV_NATIVE_ARCH == EM_X86_64)
        put_cie(k);
    for (size_t i = 0; i + 1 < k->nbegins; i++) {
        uint32_t from = k->begins[i].at, to = k->begins[i + 1].at;

        if (to <= from || to > k->n->text_len)
            continue;
        if (SV_NATIVE_ARCH == EM_X86_64)
            put_frame(k, k->begins[i].func, from, to);
        if (k->begins[i].func != UINT32_MAX)
            put_func(k, k->begins[i].func, from, to);
        else
            put_symbol(k, ENTRY_NAME, strlen(ENTRY_NAME), from, to - from);
    }
    put_n(info, 0, 1);
    end_length(info, at);
}

/* The line table's head has the files, which are known when all rows are. */
static void put_line_head(struct maker *k, struct sv_buf *b)
{
    static const uint8_t fields[] = {1, 1, 1, 0, 1, 10, 0, 1, 1, 1, 1, 0, 0, 0, 1};
    size_t at = begin_length(b), head;

    put_n(b, 4, 2); /* version */
    head = begin_length(b);
    sv_buf_append(b, fields, sizeof fields);
    put_n(b, 0, 1); /* no folders: names are whole */
    sv_buf_append(b, k->file_names.data, k->file_names.len);
    put_n(b, 0, 1);
    end_length(b, head);
    sv_buf_append(b, k->out[LINE].data, k->out[LINE].len);
    end_length(b, at);
}

static void put_section(struct maker *k, enum section s, struct sv_buf *b, Elf64_Shdr *h)
{
    size_t at;

    while (!b->failed && b->len % 8 != 0)
        put_n(b, 0, 1);
    at = b->len;
    *h = (Elf64_Shdr){.sh_name = (uint32_t)k->out[SHSTRTAB].len,
                      .sh_type = sections[s].type,
                      .sh_flags = sections[s].flags,
                      .sh_link = sections[s].link,
                      .sh_info = sections[s].info,
                      .sh_entsize = sections[s].entry_size,
                      .sh_addralign = 8,
                      .sh_offset = at};
    put_text(&k->out[SHSTRTAB], sections[s].name);
    if (s == TEXT) {
        h->sh_addr = address(k, 0);
        h->sh_addralign = 4096;
        h->sh_size = k->n->text_len;
        return;
    }
    if (s == LINE)
        put_line_head(k, b);
    else if (s != SHSTRTAB) /* whose turn is last */
        sv_buf_append(b, k->out[s].data, k->out[s].len);
    h->sh_size = b->len - at;
}

static void put_file(struct maker *k, struct sv_buf *b)
{
    Elf64_Ehdr e = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
        .e_type = ET_REL,
        .e_machine = SV_NATIVE_ARCH,
        .e_version = EV_CURRENT,
        .e_ehsize = sizeof e,
        .e_shentsize = sizeof(Elf64_Shdr),
        .e_shnum = SECTION_COUNT,
        .e_shstrndx = SHSTRTAB};
    Elf64_Shdr headers[SECTION_COUNT];

    sv_buf_append(b, &e, sizeof e);
    for (unsigned s = 0; s < SECTION_COUNT; s++)
        put_section(k, s, b, &headers[s]);
    headers[NONE] = (Elf64_Shdr){0};
    headers[SHSTRTAB].sh_offset = b->len;
    headers[SHSTRTAB].sh_size = k->out[SHSTRTAB].len;
    sv_buf_append(b, k->out[SHSTRTAB].data, k->out[SHSTRTAB].len);
    while (!b->failed && b->len % 8 != 0)
        put_n(b, 0, 1);
    e.e_shoff = b->len;
    sv_buf_append(b, headers, sizeof headers);
    if (!b->failed)
        memcpy(b->data, &e, sizeof e);
}

bool sv_gdb_elf(const struct sv_module *m, const struct sv_native *n, struct sv_buf *ret)
{
    struct maker k = {.m = m, .n = n, .dwarf = sv_module_dwarf(m)};
    struct sv_native_begin *begins = sv_alloc_array((size_t)n->nfuncs * 2 + 1, sizeof *begins);
    bool failed = !k.dwarf || !begins;

    sv_buf_init(ret, FILE_MAX);
    sv_buf_init(&k.file_names, FILE_MAX);
    for (unsigned s = 0; s < SECTION_COUNT; s++)
        sv_buf_init(&k.out[s], FILE_MAX);
    k.files = failed ? NULL : sv_alloc_array_zero((size_t)k.dwarf->nfiles + 1, sizeof *k.files);
    failed = failed || !k.files;
    if (!failed) {
        k.nbegins = sv_native_begins(n, begins);
        k.begins = begins;
        put_everything(&k);
        put_file(&k, ret);
    }
    failed = failed || k.file_names.failed;
    for (unsigned s = 0; s < SECTION_COUNT; s++) {
        failed = failed || k.out[s].failed;
        sv_buf_release(&k.out[s]);
    }
    sv_buf_release(&k.file_names);
    sv_free(k.files);
    sv_free(begins);
    return !failed && !ret->failed;
}
