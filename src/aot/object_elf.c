/* Reads the tables of an ELF64 relocatable file and checks that everything lies inside it. Does not
 * know what the contents mean. */
#include "aot/object_elf.h"

#define SHT_CREL 0x40000014 /* compact relocations, newer than libc's header */

static int fail(struct sv_err *err, uint32_t index, const char *what)
{
    return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET, "object %u: %s", index, what);
}

static int read_head(struct sv_err *err, const struct sv_object_input *in, uint32_t index,
                     Elf64_Ehdr *ret)
{
    size_t table;

    if (in->len < sizeof *ret)
        return fail(err, index, "shorter than an ELF header");
    memcpy(ret, in->bytes, sizeof *ret);
    if (memcmp(ret->e_ident, ELFMAG, SELFMAG) != 0)
        return fail(err, index, "not an ELF file");
    if (ret->e_ident[EI_CLASS] != ELFCLASS64 || ret->e_ident[EI_DATA] != ELFDATA2LSB ||
        ret->e_type != ET_REL)
        return fail(err, index, "not a relocatable little-endian ELF64 file");
    if (ret->e_machine != EM_X86_64 && ret->e_machine != EM_AARCH64)
        return fail(err, index, "neither for x86-64 nor for aarch64");
    /* e_shnum 0 would mean a count beyond 65,279 */
    if (ret->e_shentsize != sizeof(Elf64_Shdr) || ret->e_shnum == 0 ||
        ret->e_shstrndx >= ret->e_shnum)
        return fail(err, index, "bad section header table");
    table = (size_t)ret->e_shnum * sizeof(Elf64_Shdr);
    if (table > in->len || ret->e_shoff > in->len - table)
        return fail(err, index, "section header table outside the file");
    return 0;
}

static int read_sections(struct sv_err *err, struct sv_object *o, const struct sv_object_input *in,
                         const Elf64_Ehdr *head)
{
    for (uint32_t i = 0; i < head->e_shnum; i++) {
        struct sv_object_section *s = &o->sections[i];
        Elf64_Shdr raw;

        memcpy(&raw, in->bytes + head->e_shoff + i * sizeof raw, sizeof raw);
        s->type = raw.sh_type;
        s->flags = raw.sh_flags;
        s->link = raw.sh_link;
        s->info = raw.sh_info;
        s->align = raw.sh_addralign;
        if (raw.sh_type == SHT_NULL)
            continue;
        s->len = raw.sh_size;
        if (raw.sh_type == SHT_NOBITS)
            continue;
        if (raw.sh_offset > in->len || raw.sh_size > in->len - raw.sh_offset)
            return fail(err, o->index, "section outside the file");
        s->bytes = in->bytes + raw.sh_offset;
    }
    return 0;
}

/* A string table in which every offset below its length begins a terminated string. */
static bool strings_of(const struct sv_object *o, uint32_t index, const char **ret, size_t *ret_len)
{
    const struct sv_object_section *s;

    if (index >= o->nsections)
        return false;
    s = &o->sections[index];
    if (s->type != SHT_STRTAB || s->len == 0 || s->bytes[s->len - 1] != '\0')
        return false;
    *ret = (const char *)s->bytes;
    *ret_len = s->len;
    return true;
}

static int name_sections(struct sv_err *err, struct sv_object *o, const struct sv_object_input *in,
                         const Elf64_Ehdr *head)
{
    const char *names;
    size_t len;

    if (!strings_of(o, head->e_shstrndx, &names, &len))
        return fail(err, o->index, "bad table of section names");
    for (uint32_t i = 0; i < o->nsections; i++) {
        Elf64_Shdr raw;

        memcpy(&raw, in->bytes + head->e_shoff + i * sizeof raw, sizeof raw);
        if (raw.sh_name >= len)
            return fail(err, o->index, "section name outside its table");
        o->sections[i].name = names + raw.sh_name;
    }
    return 0;
}

static int find_symbols(struct sv_err *err, struct sv_object *o)
{
    for (uint32_t i = 0; i < o->nsections; i++) {
        const struct sv_object_section *s = &o->sections[i];

        if (s->type != SHT_SYMTAB)
            continue;
        if (o->symtab)
            return fail(err, o->index, "two symbol tables");
        if (s->len % sizeof(Elf64_Sym) != 0 || s->len / sizeof(Elf64_Sym) > UINT32_MAX ||
            !strings_of(o, s->link, &o->names, &o->names_len))
            return fail(err, o->index, "bad symbol table");
        o->symtab = i;
        o->symbols = s->bytes;
        o->nsymbols = (uint32_t)(s->len / sizeof(Elf64_Sym));
    }
    return 0;
}

int sv_object_init(struct sv_err *err, const struct sv_object_input *in, uint32_t index,
                   struct sv_object *ret)
{
    struct sv_object o = {.index = index};
    Elf64_Ehdr head = {0};
    int r;

    r = read_head(err, in, index, &head);
    if (r < 0)
        return r;
    o.machine = head.e_machine;
    o.nsections = head.e_shnum;
    o.sections = sv_alloc_array_zero(o.nsections, sizeof *o.sections);
    if (!o.sections)
        return sv_fail_nomem(err, "sections");
    r = read_sections(err, &o, in, &head);
    if (r == 0)
        r = name_sections(err, &o, in, &head);
    if (r == 0)
        r = find_symbols(err, &o);
    if (r < 0)
        goto fail;
    *ret = o;
    return 0;
fail:
    sv_object_release(&o);
    return r;
}

void sv_object_release(struct sv_object *o)
{
    sv_free(o->sections);
    *o = (struct sv_object){0};
}

int sv_object_symbol_read(struct sv_err *err, const struct sv_object *o, uint32_t index,
                          struct sv_object_elf_symbol *ret)
{
    struct sv_object_elf_symbol symbol = {0};
    Elf64_Sym raw;

    if (index >= o->nsymbols)
        return fail(err, o->index, "symbol number outside the table");
    memcpy(&raw, o->symbols + (size_t)index * sizeof raw, sizeof raw);
    if (raw.st_name >= o->names_len)
        return fail(err, o->index, "symbol name outside its table");
    symbol.name = o->names + raw.st_name;
    symbol.bind = ELF64_ST_BIND(raw.st_info);
    symbol.type = ELF64_ST_TYPE(raw.st_info);
    symbol.undefined = raw.st_shndx == SHN_UNDEF;
    if (!symbol.undefined && raw.st_shndx < SHN_LORESERVE) {
        if (raw.st_shndx >= o->nsections)
            return fail(err, o->index, "symbol in a section that is not there");
        symbol.section = &o->sections[raw.st_shndx];
        if (symbol.type == STT_SECTION)
            symbol.name = symbol.section->name;
        if (raw.st_value > symbol.section->len ||
            raw.st_size > symbol.section->len - raw.st_value || raw.st_value > UINT32_MAX ||
            raw.st_size > UINT32_MAX)
            return fail(err, o->index, "symbol outside its section");
        symbol.value = (uint32_t)raw.st_value;
        symbol.size = (uint32_t)raw.st_size;
    }
    *ret = symbol;
    return 0;
}

int sv_object_relocations(struct sv_err *err, const struct sv_object *o,
                          const struct sv_object_section *s, uint32_t *ret_n)
{
    if (s->type != SHT_RELA && s->type != SHT_REL && s->type != SHT_RELR && s->type != SHT_CREL) {
        *ret_n = 0;
        return 0;
    }
    if (s->type != SHT_RELA || s->len % sizeof(Elf64_Rela) != 0 ||
        s->len / sizeof(Elf64_Rela) > UINT32_MAX || s->link != o->symtab || s->info == 0 ||
        s->info >= o->nsections)
        return fail(err, o->index, "bad relocation table");
    *ret_n = (uint32_t)(s->len / sizeof(Elf64_Rela));
    return 0;
}

int sv_object_table_relocations(struct sv_err *err, const struct sv_object *o, uint32_t index,
                                const char *what, const struct sv_object_section **ret,
                                uint32_t *ret_n)
{
    const struct sv_object_section *s = &o->sections[index];

    *ret = NULL;
    *ret_n = 0;
    if (s->type == SHT_NOBITS || (s->flags & SHF_COMPRESSED))
        return sv_fail(err, SV_EMALFORMED, SV_NO_OFFSET, "object %u: %s is compressed", o->index,
                       what);
    for (uint32_t i = 0; i < o->nsections; i++) {
        uint32_t n = 0;
        int r = sv_object_relocations(err, o, &o->sections[i], &n);

        if (r < 0)
            return r;
        if (n > 0 && o->sections[i].info == index) {
            *ret = &o->sections[i];
            *ret_n = n;
        }
    }
    return 0;
}
