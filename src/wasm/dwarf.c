/* The debug information of a module, brought together and asked. Reading it is dwarf_line.c's and
 * dwarf_info.c's. */
#include "wasm/dwarf.h"

#include <stdlib.h>

#include "wasm/dwarf_read.h"

/* Entries of a function that one question looks at. */
#define INLINED_LOOKED_AT 20000u
#define ORIGINS_MAX 8

static int by_place(const void *a, const void *b)
{
    const struct sv_dwarf_row *x = a, *y = b;

    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return (x->to > y->to) - (x->to < y->to);
}

static int by_begin(const void *a, const void *b)
{
    const struct sv_dwarf_func *x = a, *y = b;

    if (x->from != y->from)
        return x->from < y->from ? -1 : 1;
    return (x->to < y->to) - (x->to > y->to);
}

static const struct sv_dwarf_decl *find_decl(const struct sv_dwarf_reader *r, uint32_t offset)
{
    size_t from = 0, to = r->decls.len;

    while (from < to) {
        size_t middle = from + (to - from) / 2;

        if (r->decls.data[middle].offset == offset)
            return &r->decls.data[middle];
        if (r->decls.data[middle].offset < offset)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

/* What is said of the declaration at `offset`, by itself or by those that it refers to. */
static struct sv_dwarf_decl resolve(const struct sv_dwarf_reader *r, size_t offset)
{
    struct sv_dwarf_decl all = {.file = SV_DWARF_NONE, .name = {"", 0}};
    const struct sv_dwarf_decl *d = find_decl(r, (uint32_t)offset);

    for (unsigned i = 0; d && i < ORIGINS_MAX; i++) {
        if (!all.name.len)
            all.name = d->name;
        if (all.file == SV_DWARF_NONE) {
            all.file = d->file;
            all.line = d->line;
        }
        d = d->origin ? find_decl(r, d->origin) : NULL;
    }
    return all;
}

static void resolve_all(struct sv_dwarf_reader *r)
{
    for (size_t i = 0; i < r->funcs.len; i++) {
        struct sv_dwarf_func *f = &r->funcs.data[i];
        struct sv_dwarf_decl d = resolve(r, f->name.len);

        f->name = d.name;
        f->file = d.file;
        f->line = d.line;
    }
    for (size_t i = 0; i < r->inlined.len; i++)
        r->inlined.data[i].name = resolve(r, r->inlined.data[i].name.len).name;
}

static own struct sv_dwarf *read_all(const struct sv_module *m)
{
    static const char *const names[] = {
#define SECTION(name, text) text,
        SV_DWARF_SECTIONS(SECTION)
#undef SECTION
    };
    struct sv_dwarf_reader r = {.m = m, .steps = SV_DWARF_STEPS_MAX};
    struct sv_dwarf *d = sv_alloc_zero(sizeof *d);

    if (!d)
        return NULL;
    for (unsigned i = 0; i < SV_DWARF_SECTION_COUNT; i++) {
        const struct sv_custom *c = sv_module_custom(m, sv_str_of(names[i]));
        const uint8_t *at = c ? m->bytes + c->offset : m->bytes;

        r.sections[i] = (struct sv_reader){.p = at, .end = at + (c ? c->len : 0), .base = at};
    }
    sv_dwarf_read_lines(&r);
    sv_dwarf_read_units(&r);
    resolve_all(&r);
    if (r.rows.len)
        qsort(r.rows.data, r.rows.len, sizeof *r.rows.data, by_place);
    if (r.funcs.len)
        qsort(r.funcs.data, r.funcs.len, sizeof *r.funcs.data, by_begin);
    *d = (struct sv_dwarf){.files = r.files.data,
                           .rows = r.rows.data,
                           .funcs = r.funcs.data,
                           .inlined = r.inlined.data,
                           .nfiles = (uint32_t)r.files.len,
                           .nrows = (uint32_t)r.rows.len,
                           .nfuncs = (uint32_t)r.funcs.len,
                           .ninlined = (uint32_t)r.inlined.len};
    sv_free(r.tables.data);
    sv_free(r.decls.data);
    return d;
}

void sv_dwarf_delete(own struct sv_dwarf *d)
{
    if (!d)
        return;
    sv_free(d->files);
    sv_free(d->rows);
    sv_free(d->funcs);
    sv_free(d->inlined);
    sv_free(d);
}

const struct sv_dwarf *sv_module_dwarf(const struct sv_module *m)
{
    /* a cache: the module stays what it is */
    _Atomic(void *) *cache = &((struct sv_module *)(uintptr_t)m)->dwarf;
    void *d = atomic_load_explicit(cache, memory_order_acquire), *expected = NULL;

    if (d)
        return d;
    d = read_all(m);
    if (d && !atomic_compare_exchange_strong(cache, &expected, d)) {
        sv_dwarf_delete(d); /* another thread was first */
        d = expected;
    }
    return d;
}

static const struct sv_dwarf_row *find_row(const struct sv_dwarf *d, uint32_t offset)
{
    uint32_t from = 0, to = d->nrows;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;

        if (d->rows[middle].from <= offset)
            from = middle + 1;
        else
            to = middle;
    }
    return from > 0 && offset < d->rows[from - 1].to ? &d->rows[from - 1] : NULL;
}

static const struct sv_dwarf_func *find_func(const struct sv_dwarf *d, uint32_t offset)
{
    uint32_t from = 0, to = d->nfuncs;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;

        if (d->funcs[middle].from <= offset)
            from = middle + 1;
        else
            to = middle;
    }
    return from > 0 && offset < d->funcs[from - 1].to ? &d->funcs[from - 1] : NULL;
}

static const struct sv_dwarf_file *file_at(const struct sv_dwarf *d, uint32_t file)
{
    return file < d->nfiles ? &d->files[file] : NULL;
}

uint32_t sv_dwarf_places(const struct sv_dwarf *d, uint32_t offset,
                         struct sv_dwarf_place ret[SV_DWARF_PLACES])
{
    const struct sv_dwarf_row *row = find_row(d, offset);
    const struct sv_dwarf_func *f = find_func(d, offset);
    const struct sv_dwarf_inlined *calls[SV_DWARF_PLACES - 1];
    uint32_t n = 0, from = f ? f->inlined : 0, left = f ? f->ninlined : 0;

    /* A line that is 0 belongs to none. */
    if (!row || row->line == 0)
        return 0;
    for (uint32_t i = 0; i < left && i < INLINED_LOOKED_AT && n < SV_DWARF_PLACES - 1; i++)
        if (d->inlined[from + i].from <= offset && offset < d->inlined[from + i].to)
            calls[n++] = &d->inlined[from + i];
    ret[0] = (struct sv_dwarf_place){.file = file_at(d, row->file), .line = row->line};
    for (uint32_t i = 0; i < n; i++) {
        ret[i].func = calls[n - 1 - i]->name;
        ret[i + 1] = (struct sv_dwarf_place){.file = file_at(d, calls[n - 1 - i]->file),
                                             .line = calls[n - 1 - i]->line};
    }
    ret[n].func = (struct sv_str){"", 0};
    return n + 1;
}

static void print_str(struct sv_buf *b, struct sv_str s, bool slash)
{
    if (!s.len)
        return;
    sv_buf_append(b, s.ptr, s.len);
    if (slash && s.ptr[s.len - 1] != '/')
        sv_buf_putc(b, '/');
}

void sv_dwarf_print_file(struct sv_buf *b, const struct sv_dwarf_file *f, bool full)
{
    bool absolute = f->name.len && f->name.ptr[0] == '/',
         dir_absolute = f->dir.len && f->dir.ptr[0] == '/';

    if (!absolute && full && !dir_absolute)
        print_str(b, f->base, true);
    if (!absolute)
        print_str(b, f->dir, true);
    print_str(b, f->name, false);
}
