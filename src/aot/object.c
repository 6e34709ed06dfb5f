/* The linker of native code: place sections, define names, copy, relocate, join the line
 * and unwind tables. Does not know encodings (object_patch.c) nor file formats (object_elf.c,
 * object_line.c, object_unwind.c). */
#include "aot/object.h"

#include <stdio.h>

#include "aot/object_elf.h"

#define UNDEFINED_NAMED 5

struct link {
    struct sv_object *objects; /* the first n are read */
    uint32_t n;
    size_t page_size;
    struct sv_linked *out;
    const char *undefined[UNDEFINED_NAMED];
    uint32_t nundefined; /* UNDEFINED_NAMED + 1: there are more */
};

static bool begins(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* For unwinders (and read as such), debuggers and linkers, though some are loaded by programs. */
static bool ignored(const char *name)
{
    static const char *const prefixes[] = {".eh_frame", ".note", ".comment",
                                           ".debug_",   ".llvm", ".group"};

    for (size_t i = 0; i < SV_COUNT(prefixes); i++)
        if (begins(name, prefixes[i]))
            return true;
    return false;
}

static int read_objects(struct sv_err *err, struct link *l, const struct sv_object_input *in,
                        uint32_t n)
{
    int r;

    l->objects = sv_alloc_array_zero(n ? n : 1, sizeof *l->objects);
    if (!l->objects)
        return sv_fail_nomem(err, "objects");
    for (; l->n < n; l->n++) {
        r = sv_object_init(err, &in[l->n], l->n, &l->objects[l->n]);
        if (r < 0)
            return r;
        if (l->objects[l->n].machine != l->objects[0].machine) {
            l->n++;
            return sv_fail(err, SV_ELINK, SV_NO_OFFSET, "object %u: for another machine", l->n - 1);
        }
    }
    return 0;
}

/* ---- Places ---- */

static int choose_place(struct sv_err *err, const struct sv_object *o, struct sv_object_section *s)
{
    if (!(s->flags & SHF_ALLOC) || ignored(s->name))
        return 0;
    if (s->flags & SHF_WRITE) {
        if (s->len == 0)
            return 0;
        /* constant once relocated; the relocations tell whether it already is */
        if (strcmp(s->name, ".data.rel.ro") != 0 && !begins(s->name, ".data.rel.ro."))
            return sv_fail(err, SV_ELINK, SV_NO_OFFSET, "object %u: writable section '%.100s'",
                           o->index, s->name);
    }
    if (s->type != SHT_PROGBITS || (s->flags & (SHF_COMPRESSED | SHF_TLS)))
        return sv_fail(err, SV_ELINK, SV_NO_OFFSET,
                       "object %u: section '%.100s' is of a kind that is not supported", o->index,
                       s->name);
    s->place = s->flags & SHF_EXECINSTR ? SV_PLACE_TEXT : SV_PLACE_RODATA;
    return 0;
}

static int place(struct sv_err *err, const struct link *l, const struct sv_object *o,
                 struct sv_object_section *s, size_t *end)
{
    size_t align = s->align ? s->align : 1, at;

    if ((align & (align - 1)) != 0 || align > l->page_size)
        return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET,
                       "object %u: section '%.100s' has a bad alignment", o->index, s->name);
    at = (*end + align - 1) & ~(align - 1);
    if (at > SV_LINKED_MAX || s->len > SV_LINKED_MAX - at)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "native code beyond %zu bytes", SV_LINKED_MAX);
    s->at = (uint32_t)at;
    *end = at + s->len;
    return 0;
}

/* Place all sections of one kind behind `start`, in the order of the inputs. */
static int place_kind(struct sv_err *err, struct link *l, enum sv_object_place kind, size_t start,
                      size_t *ret_end)
{
    size_t end = start;

    for (uint32_t i = 0; i < l->n; i++) {
        struct sv_object *o = &l->objects[i];

        for (uint32_t k = 1; k < o->nsections; k++) {
            int r = o->sections[k].place == kind ? place(err, l, o, &o->sections[k], &end) : 0;

            if (r < 0)
                return r;
        }
    }
    *ret_end = end;
    return 0;
}

static int place_sections(struct sv_err *err, struct link *l)
{
    struct sv_linked *out = l->out;
    size_t end;
    int r;

    for (uint32_t i = 0; i < l->n; i++)
        for (uint32_t k = 1; k < l->objects[i].nsections; k++) {
            r = choose_place(err, &l->objects[i], &l->objects[i].sections[k]);
            if (r < 0)
                return r;
        }
    r = place_kind(err, l, SV_PLACE_TEXT, 0, &out->text_len);
    if (r < 0)
        return r;
    out->rodata_at = (out->text_len + l->page_size - 1) & ~(l->page_size - 1);
    r = place_kind(err, l, SV_PLACE_RODATA, out->rodata_at, &end);
    if (r < 0)
        return r;
    out->rodata_len = end - out->rodata_at;
    return 0;
}

static uint8_t *bytes_of(const struct link *l, const struct sv_object_section *s)
{
    return s->place == SV_PLACE_TEXT ? l->out->text + s->at
                                     : l->out->rodata + (s->at - l->out->rodata_at);
}

static int copy_sections(struct sv_err *err, struct link *l)
{
    struct sv_linked *out = l->out;

    if (out->text_len) {
        out->text = sv_alloc(out->text_len);
        if (!out->text)
            return sv_fail_nomem(err, "native code");
        /* what lies between functions stops whoever gets there: int3, or udf */
        memset(out->text, l->objects[0].machine == EM_X86_64 ? 0xcc : 0, out->text_len);
    }
    if (out->rodata_len) {
        out->rodata = sv_alloc_zero(out->rodata_len);
        if (!out->rodata)
            return sv_fail_nomem(err, "constants of native code");
    }
    for (uint32_t i = 0; i < l->n; i++)
        for (uint32_t k = 1; k < l->objects[i].nsections; k++) {
            const struct sv_object_section *s = &l->objects[i].sections[k];

            if (s->place != SV_PLACE_NONE && s->len > 0)
                memcpy(bytes_of(l, s), s->bytes, s->len);
        }
    return 0;
}

/* ---- Names ---- */

static bool exported(const struct sv_object_elf_symbol *s)
{
    return s->bind != STB_LOCAL && s->section && s->section->place != SV_PLACE_NONE;
}

static int define(struct sv_err *err, struct link *l, const struct sv_object *o,
                  const struct sv_object_elf_symbol *s)
{
    struct sv_linked *out = l->out;
    struct sv_object_symbol *symbol = &out->symbols[out->nsymbols];
    struct sv_str key = sv_str_of(s->name);

    if (sv_map_find(&out->by_name, key))
        return sv_fail(err, SV_ELINK, SV_NO_OFFSET, "object %u: symbol '%.100s' is defined twice",
                       o->index, s->name);
    key.ptr = sv_arena_strndup(&out->names, key.ptr, key.len);
    if (!key.ptr || !sv_map_put(&out->by_name, key, symbol))
        return sv_fail_nomem(err, "symbols");
    symbol->name = key.ptr;
    symbol->offset = s->section->at + s->value;
    symbol->size = s->size;
    out->nsymbols++;
    return 0;
}

static int define_symbols(struct sv_err *err, struct link *l)
{
    struct sv_object_elf_symbol s;
    size_t most = 0;
    int r;

    for (uint32_t i = 0; i < l->n; i++)
        most += l->objects[i].nsymbols;
    if (most > UINT32_MAX)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "too many symbols");
    /* not grown while it is filled: the map points into it */
    l->out->symbols = sv_alloc_array(most ? most : 1, sizeof *l->out->symbols);
    if (!l->out->symbols)
        return sv_fail_nomem(err, "symbols");
    for (uint32_t i = 0; i < l->n; i++)
        for (uint32_t k = 1; k < l->objects[i].nsymbols; k++) {
            r = sv_object_symbol_read(err, &l->objects[i], k, &s);
            if (r == 0 && exported(&s))
                r = define(err, l, &l->objects[i], &s);
            if (r < 0)
                return r;
        }
    return 0;
}

static void note_undefined(struct link *l, const char *name)
{
    if (l->nundefined > UNDEFINED_NAMED)
        return;
    for (uint32_t i = 0; i < l->nundefined; i++)
        if (strcmp(l->undefined[i], name) == 0)
            return;
    if (l->nundefined < UNDEFINED_NAMED)
        l->undefined[l->nundefined] = name;
    l->nundefined++;
}

static int fail_undefined(struct sv_err *err, const struct link *l)
{
    char names[UNDEFINED_NAMED * 112] = "";
    size_t len = 0;

    for (uint32_t i = 0; i < l->nundefined && i < UNDEFINED_NAMED; i++)
        len += (size_t)snprintf(names + len, sizeof names - len, "%s'%.100s'", i ? ", " : "",
                                l->undefined[i]);
    return sv_fail(err, SV_ELINK, SV_NO_OFFSET, "undefined symbol%s %s%s",
                   l->nundefined > 1 ? "s" : "", names,
                   l->nundefined > UNDEFINED_NAMED ? " and more" : "");
}

/* ---- Relocations ---- */

/* The address of a symbol; *ret_found is false when no object defines it (which is noted). */
static int resolve(struct sv_err *err, struct link *l, const struct sv_object *o,
                   const struct sv_object_elf_symbol *s, int64_t *ret, bool *ret_found)
{
    const struct sv_object_symbol *other;

    *ret_found = true;
    if (s->type == STT_TLS || s->type == STT_GNU_IFUNC)
        return sv_fail(err, SV_ELINK, SV_NO_OFFSET,
                       "object %u: symbol '%.100s' is of a kind that is not supported", o->index,
                       s->name);
    if (s->undefined) {
        other = sv_map_find(&l->out->by_name, sv_str_of(s->name));
        if (other) {
            *ret = other->offset;
        } else {
            *ret_found = false;
            note_undefined(l, s->name);
        }
        return 0;
    }
    if (!s->section || s->section->place == SV_PLACE_NONE)
        return sv_fail(err, SV_ELINK, SV_NO_OFFSET,
                       "object %u: symbol '%.100s' is in no section that is linked", o->index,
                       s->name);
    *ret = (int64_t)s->section->at + s->value;
    return 0;
}

static int relocate_one(struct sv_err *err, struct link *l, const struct sv_object *o,
                        const struct sv_object_section *s, const Elf64_Rela *rela)
{
    struct sv_object_patch patch = {.machine = o->machine,
                                    .type = (uint32_t)ELF64_R_TYPE(rela->r_info),
                                    .len = s->len,
                                    .offset = rela->r_offset,
                                    .addend = rela->r_addend};
    struct sv_object_elf_symbol symbol;
    const char *wrong;
    bool found = false;
    int r;

    if (patch.offset >= s->len)
        return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET,
                       "object %u: relocation outside of '%.100s'", o->index, s->name);
    r = sv_object_symbol_read(err, o, (uint32_t)ELF64_R_SYM(rela->r_info), &symbol);
    if (r == 0)
        r = resolve(err, l, o, &symbol, &patch.symbol, &found);
    if (r < 0 || !found)
        return r;
    patch.bytes = bytes_of(l, s);
    patch.at = (int64_t)s->at + (int64_t)patch.offset;
    wrong = sv_object_patch(&patch);
    if (!wrong)
        return 0;
    return sv_fail(err, SV_ELINK, SV_NO_OFFSET,
                   "object %u: '%.100s'+0x%x: relocation %u to '%.100s': %s", o->index, s->name,
                   (unsigned)patch.offset, patch.type, symbol.name, wrong);
}

static int relocate_section(struct sv_err *err, struct link *l, const struct sv_object *o,
                            const struct sv_object_section *table)
{
    const struct sv_object_section *s;
    uint32_t n;
    int r = sv_object_relocations(err, o, table, &n);

    if (r < 0 || n == 0)
        return r;
    s = &o->sections[table->info];
    if (s->place == SV_PLACE_NONE)
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        Elf64_Rela rela = sv_object_relocation(table, i);

        r = relocate_one(err, l, o, s, &rela);
        if (r < 0)
            return r;
    }
    return 0;
}

static int relocate(struct sv_err *err, struct link *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        for (uint32_t k = 1; k < l->objects[i].nsections; k++) {
            int r = relocate_section(err, l, &l->objects[i], &l->objects[i].sections[k]);

            if (r < 0)
                return r;
        }
    return l->nundefined ? fail_undefined(err, l) : 0;
}

static int link_lines(struct sv_err *err, struct link *l)
{
    struct sv_object_ranges ranges = {0};
    int r = 0;

    for (uint32_t i = 0; i < l->n && r == 0; i++)
        r = sv_object_lines_read(err, &l->objects[i], &ranges);
    if (r == 0)
        r = sv_object_lines_join(err, &ranges, &l->out->lines, &l->out->nlines);
    sv_free(ranges.data);
    return r;
}

static int link_unwinds(struct sv_err *err, struct link *l)
{
    struct sv_object_unwinds unwinds = {0};
    int r = 0;

    for (uint32_t i = 0; i < l->n && r == 0; i++)
        r = sv_object_unwinds_read(err, &l->objects[i], &unwinds);
    if (r == 0)
        r = sv_object_unwinds_join(err, &unwinds, l->out);
    sv_free(unwinds.rows.data);
    sv_free(unwinds.spans.data);
    return r;
}

int sv_objects_link(struct sv_err *err, const struct sv_object_input *in, uint32_t n,
                    uint32_t page_size, own struct sv_linked **ret)
{
    struct link l = {.page_size = page_size};
    int r;

    l.out = sv_alloc_zero(sizeof *l.out);
    if (!l.out)
        return sv_fail_nomem(err, "linked code");
    sv_map_init(&l.out->by_name);
    sv_arena_init(&l.out->names, 0);
    r = read_objects(err, &l, in, n);
    if (r == 0)
        r = place_sections(err, &l);
    if (r == 0)
        r = copy_sections(err, &l);
    if (r == 0)
        r = define_symbols(err, &l);
    if (r == 0)
        r = relocate(err, &l);
    if (r == 0)
        r = link_lines(err, &l);
    if (r == 0)
        r = link_unwinds(err, &l);
    for (uint32_t i = 0; i < l.n; i++)
        sv_object_release(&l.objects[i]);
    sv_free(l.objects);
    if (r < 0)
        goto fail;
    *ret = l.out;
    return 0;
fail:
    sv_linked_delete(l.out);
    return r;
}

void sv_linked_delete(own struct sv_linked *linked)
{
    if (!linked)
        return;
    sv_free(linked->text);
    sv_free(linked->rodata);
    sv_free(linked->lines);
    sv_free(linked->unwind);
    sv_free(linked->frames);
    sv_free(linked->symbols);
    sv_map_release(&linked->by_name);
    sv_arena_release(&linked->names);
    sv_free(linked);
}

bool sv_linked_symbol(const struct sv_linked *linked, const char *name, uint32_t *ret_offset,
                      uint32_t *ret_size)
{
    const struct sv_object_symbol *symbol = sv_map_find(&linked->by_name, sv_str_of(name));

    if (!symbol)
        return false;
    *ret_offset = symbol->offset;
    *ret_size = symbol->size;
    return true;
}
