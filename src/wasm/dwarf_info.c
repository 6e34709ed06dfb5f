/* The functions of a module's debug information, and what was inlined in them: .debug_info (DWARF 4
 * and 5, chapter 7.5) for as much of it. */
#include "wasm/dwarf_read.h"

enum { TAG_COMPILE_UNIT = 0x11, TAG_INLINED = 0x1d, TAG_SUBPROGRAM = 0x2e };
#define UT_TYPE 2
#define UT_PARTIAL 3
#define ABBREVS_MAX ((size_t)1 << 16)
#define ATTRS_MAX ((size_t)1 << 18)
#define DEPTH_MAX 512

/* ATTR(name, number): what is looked at; the rest is stepped over. */
#define ATTRS(ATTR)                                                                                \
    ATTR(NAME, 0x03)                                                                               \
    ATTR(STMT_LIST, 0x10)                                                                          \
    ATTR(LOW_PC, 0x11)                                                                             \
    ATTR(HIGH_PC, 0x12)                                                                            \
    ATTR(COMP_DIR, 0x1b)                                                                           \
    ATTR(ABSTRACT_ORIGIN, 0x31)                                                                    \
    ATTR(DECL_FILE, 0x3a)                                                                          \
    ATTR(DECL_LINE, 0x3b)                                                                          \
    ATTR(SPECIFICATION, 0x47)                                                                      \
    ATTR(RANGES, 0x55)                                                                             \
    ATTR(CALL_FILE, 0x58)                                                                          \
    ATTR(CALL_LINE, 0x59)                                                                          \
    ATTR(STR_OFFSETS_BASE, 0x72)                                                                   \
    ATTR(ADDR_BASE, 0x73)                                                                          \
    ATTR(RNGLISTS_BASE, 0x74)
enum attr {
#define ATTR(name, number) AT_##name,
    ATTRS(ATTR)
#undef ATTR
        ATTR_COUNT
};

struct attr_spec {
    uint64_t form;
    int64_t constant; /* of DW_FORM_implicit_const */
    uint8_t attr;     /* enum attr; ATTR_COUNT: another */
};
struct abbrev {
    uint64_t code, tag;
    uint32_t attrs, nattrs;
    bool children;
};
struct unit {
    struct sv_dwarf_reader *r;
    const uint8_t *start; /* what references of the unit count from */
    struct sv_reader in;
    uint16_t version;
    uint8_t address_size;
    uint64_t abbrev_offset;
    SV_VEC(struct abbrev) abbrevs;
    SV_VEC(struct attr_spec) attrs;
    /* of its first entry */
    uint64_t low_pc, str_offsets, addresses, ranges;
    const struct sv_dwarf_table *table;
};
struct entry {
    const struct abbrev *abbrev;
    uint32_t offset;
    struct sv_dwarf_value values[ATTR_COUNT];
    uint32_t has; /* bits: 1 << enum attr */
};

static enum attr attr_of(uint64_t number)
{
    switch (number) {
#define ATTR(name, n)                                                                              \
    case n:                                                                                        \
        return AT_##name;
        ATTRS(ATTR)
#undef ATTR
    default:
        return ATTR_COUNT;
    }
}

static bool has(const struct entry *e, enum attr a)
{
    return (e->has >> a & 1) != 0;
}

static bool read_abbrev(struct unit *u, struct sv_reader *in, struct abbrev *a)
{
    uint64_t children;

    if (!sv_read_u64(in, &a->tag) || !sv_dwarf_number(in, 1, &children))
        return false;
    a->children = children != 0;
    a->attrs = (uint32_t)u->attrs.len;
    for (;;) {
        struct attr_spec s = {0};
        uint64_t number;

        if (!sv_dwarf_pay(u->r, 1) || !sv_read_u64(in, &number) || !sv_read_u64(in, &s.form))
            return false;
        if (s.form == DW_FORM_IMPLICIT_CONST && !sv_read_signed(in, 64, &s.constant))
            return false;
        if (number == 0 && s.form == 0)
            break;
        s.attr = (uint8_t)attr_of(number);
        if (!SV_VEC_PUSH(&u->attrs, ATTRS_MAX, s))
            return false;
    }
    a->nattrs = (uint32_t)u->attrs.len - a->attrs;
    return true;
}

static bool read_abbrevs(struct unit *u)
{
    struct sv_reader in = u->r->sections[SV_DWARF_ABBREV];

    if (u->abbrev_offset > sv_reader_left(&in))
        return false;
    in.p += u->abbrev_offset;
    u->abbrevs.len = u->attrs.len = 0;
    for (;;) {
        struct abbrev a = {0};

        if (!sv_dwarf_pay(u->r, 1) || !sv_read_u64(&in, &a.code))
            return false;
        if (a.code == 0)
            return true;
        if (!read_abbrev(u, &in, &a) || !SV_VEC_PUSH(&u->abbrevs, ABBREVS_MAX, a))
            return false;
    }
}

/* Compilers number them from 1. */
static const struct abbrev *find_abbrev(struct unit *u, uint64_t code)
{
    if (code <= u->abbrevs.len && u->abbrevs.data[code - 1].code == code)
        return &u->abbrevs.data[code - 1];
    for (size_t i = 0; i < u->abbrevs.len && sv_dwarf_pay(u->r, 1); i++)
        if (u->abbrevs.data[i].code == code)
            return &u->abbrevs.data[i];
    return NULL;
}

/* The end of a list of siblings has no abbreviation. */
static bool read_entry(struct unit *u, struct entry *e)
{
    uint64_t code;

    e->offset = (uint32_t)(u->in.p - u->r->sections[SV_DWARF_INFO].p);
    e->has = 0;
    e->abbrev = NULL;
    if (!sv_dwarf_pay(u->r, 1) || !sv_read_u64(&u->in, &code))
        return false;
    if (code == 0)
        return true;
    e->abbrev = find_abbrev(u, code);
    if (!e->abbrev)
        return false;
    for (uint32_t i = 0; i < e->abbrev->nattrs; i++) {
        const struct attr_spec *s = &u->attrs.data[e->abbrev->attrs + i];
        struct sv_dwarf_value v = {.form = DW_FORM_SDATA, .number = (uint64_t)s->constant};

        if (s->form != DW_FORM_IMPLICIT_CONST &&
            !sv_dwarf_value(u->r, &u->in, s->form, u->address_size, &v))
            return false;
        if (s->attr < ATTR_COUNT) {
            e->values[s->attr] = v;
            e->has |= 1u << s->attr;
        }
    }
    return true;
}

/* ---- What values mean in a unit ---- */

/* Number `index` of `size` bytes each, from `base` on. */
static bool indexed(const struct unit *u, enum sv_dwarf_section section, uint64_t base,
                    uint64_t index, unsigned size, uint64_t *ret)
{
    struct sv_reader in = u->r->sections[section];
    size_t left = sv_reader_left(&in);

    if (base > left || index > (left - base) / size)
        return false;
    in.p += base + index * size;
    return sv_dwarf_number(&in, size, ret);
}

static struct sv_str string_of(struct unit *u, const struct entry *e, enum attr a)
{
    const struct sv_dwarf_value *v = &e->values[a];
    uint64_t at;

    if (!has(e, a))
        return (struct sv_str){"", 0};
    if (v->form != DW_FORM_STRX && (v->form < DW_FORM_STRX1 || v->form > DW_FORM_STRX4))
        return sv_dwarf_text(u->r, v);
    if (!indexed(u, SV_DWARF_STR_OFFSETS, u->str_offsets, v->number, 4, &at))
        return (struct sv_str){"", 0};
    return sv_dwarf_string(u->r, SV_DWARF_STR, at);
}

static bool is_address(uint64_t form)
{
    return form == DW_FORM_ADDR || form == DW_FORM_ADDRX ||
           (form >= DW_FORM_ADDRX1 && form <= DW_FORM_ADDRX4);
}

static bool address_of(const struct unit *u, const struct sv_dwarf_value *v, uint64_t *ret)
{
    *ret = v->number;
    return v->form == DW_FORM_ADDR ||
           indexed(u, SV_DWARF_ADDR, u->addresses, v->number, u->address_size, ret);
}

/* The entry that is meant, by its offset in the section; 0: none. */
static uint32_t reference_of(const struct unit *u, const struct entry *e)
{
    uint64_t at = (uint64_t)(u->start - u->r->sections[SV_DWARF_INFO].p);
    const struct sv_dwarf_value *v = has(e, AT_ABSTRACT_ORIGIN) ? &e->values[AT_ABSTRACT_ORIGIN]
                                     : has(e, AT_SPECIFICATION) ? &e->values[AT_SPECIFICATION]
                                                                : NULL;

    if (!v || v->number > UINT32_MAX || v->form == DW_FORM_REF_SIG8)
        return 0;
    at = v->form == DW_FORM_REF_ADDR ? v->number : at + v->number;
    return at <= UINT32_MAX ? (uint32_t)at : 0;
}

static uint32_t file_of(const struct unit *u, const struct entry *e, enum attr a)
{
    if (!has(e, a) || !u->table || e->values[a].number >= u->table->nfiles)
        return SV_DWARF_NONE;
    return u->table->file + (uint32_t)e->values[a].number;
}

static uint32_t line_of(const struct entry *e, enum attr a)
{
    return has(e, a) && e->values[a].number <= UINT32_MAX ? (uint32_t)e->values[a].number : 0;
}

/* ---- Ranges of code ---- */

typedef bool range_fn(struct unit *u, const struct entry *e, uint32_t from, uint32_t to, void *arg);

/* Ranges that are of no code are none. */
static bool give(struct unit *u, const struct entry *e, uint64_t from, uint64_t to, range_fn *fn,
                 void *arg)
{
    uint32_t a, b;

    if (from >= to || !sv_dwarf_offset(u->r, from, &a) || !sv_dwarf_offset(u->r, to, &b))
        return true;
    return fn(u, e, a, b, arg);
}

/* .debug_ranges of version 4. */
static bool ranges_4(struct unit *u, const struct entry *e, uint64_t at, range_fn *fn, void *arg)
{
    struct sv_reader in = u->r->sections[SV_DWARF_RANGES];
    uint64_t base = u->low_pc, from, to,
             select = u->address_size == 8 ? UINT64_MAX : (uint64_t)UINT32_MAX;

    if (at > sv_reader_left(&in))
        return true;
    in.p += at;
    while (sv_dwarf_pay(u->r, 1) && sv_dwarf_number(&in, u->address_size, &from) &&
           sv_dwarf_number(&in, u->address_size, &to) && (from || to)) {
        if (from == select)
            base = to;
        else if (from < select - 1 && !give(u, e, base + from, base + to, fn, arg))
            return false;
    }
    return true;
}

/* One entry of .debug_rnglists; false: the end. */
static bool range_5(struct unit *u, struct sv_reader *in, uint64_t *base, uint64_t *from,
                    uint64_t *to)
{
    enum { END, BASEX, STARTX_END, STARTX_LENGTH, OFFSETS, BASE, START_END, START_LENGTH };
    struct sv_dwarf_value x = {.form = DW_FORM_ADDRX}, y = {.form = DW_FORM_ADDRX};
    unsigned size = u->address_size;
    uint64_t kind;

    *from = *to = 0;
    if (!sv_dwarf_pay(u->r, 1) || !sv_dwarf_number(in, 1, &kind))
        return false;
    switch (kind) {
    case BASEX:
        return sv_read_u64(in, &x.number) && address_of(u, &x, base);
    case BASE:
        return sv_dwarf_number(in, size, base);
    case STARTX_END:
        return sv_read_u64(in, &x.number) && sv_read_u64(in, &y.number) &&
               address_of(u, &x, from) && address_of(u, &y, to);
    case STARTX_LENGTH:
        if (!sv_read_u64(in, &x.number) || !sv_read_u64(in, to) || !address_of(u, &x, from))
            return false;
        *to += *from;
        return true;
    case OFFSETS:
        if (!sv_read_u64(in, from) || !sv_read_u64(in, to))
            return false;
        *from += *base;
        *to += *base;
        return true;
    case START_END:
        return sv_dwarf_number(in, size, from) && sv_dwarf_number(in, size, to);
    case START_LENGTH:
        if (!sv_dwarf_number(in, size, from) || !sv_read_u64(in, to))
            return false;
        *to += *from;
        return true;
    default:
        return false;
    }
}

static bool ranges_5(struct unit *u, const struct entry *e, const struct sv_dwarf_value *v,
                     range_fn *fn, void *arg)
{
    struct sv_reader in = u->r->sections[SV_DWARF_RNGLISTS];
    uint64_t at = v->number, base = u->low_pc, from, to;

    if (v->form == DW_FORM_RNGLISTX) {
        if (!indexed(u, SV_DWARF_RNGLISTS, u->ranges, v->number, 4, &at))
            return true;
        at += u->ranges;
    }
    if (at > sv_reader_left(&in))
        return true;
    in.p += at;
    while (range_5(u, &in, &base, &from, &to))
        if (!give(u, e, from, to, fn, arg))
            return false;
    return true;
}

/* Call fn for each range of the entry's code, until it says false. */
static bool each_range(struct unit *u, const struct entry *e, range_fn *fn, void *arg)
{
    const struct sv_dwarf_value *high = &e->values[AT_HIGH_PC];
    uint64_t from, to;

    if (has(e, AT_RANGES))
        return u->version >= 5 ? ranges_5(u, e, &e->values[AT_RANGES], fn, arg)
                               : ranges_4(u, e, e->values[AT_RANGES].number, fn, arg);
    if (!has(e, AT_LOW_PC) || !has(e, AT_HIGH_PC) || !address_of(u, &e->values[AT_LOW_PC], &from))
        return true;
    if (!is_address(high->form))
        to = from + high->number;
    else if (!address_of(u, high, &to))
        return true;
    return give(u, e, from, to, fn, arg);
}

/* ---- Entries ---- */

static bool add_func(struct unit *u, const struct entry *e, uint32_t from, uint32_t to, void *arg)
{
    struct sv_dwarf_func f = {
        .from = from, .to = to, .name = {NULL, e->offset}, .inlined = (uint32_t)u->r->inlined.len};

    (void)arg;
    return SV_VEC_PUSH(&u->r->funcs, SV_DWARF_FUNCS_MAX, f);
}

static bool add_inlined(struct unit *u, const struct entry *e, uint32_t from, uint32_t to,
                        void *arg)
{
    struct sv_dwarf_inlined f = {.from = from,
                                 .to = to,
                                 .file = file_of(u, e, AT_CALL_FILE),
                                 .line = line_of(e, AT_CALL_LINE),
                                 .name = {NULL, *(const uint32_t *)arg}};

    return SV_VEC_PUSH(&u->r->inlined, SV_DWARF_FUNCS_MAX, f);
}

static bool read_subprogram(struct unit *u, const struct entry *e)
{
    struct sv_dwarf_decl d = {.offset = e->offset,
                              .origin = reference_of(u, e),
                              .file = file_of(u, e, AT_DECL_FILE),
                              .line = line_of(e, AT_DECL_LINE),
                              .name = string_of(u, e, AT_NAME)};

    return SV_VEC_PUSH(&u->r->decls, SV_DWARF_FUNCS_MAX, d) && each_range(u, e, add_func, NULL);
}

static void read_root(struct unit *u, const struct entry *e)
{
    struct sv_dwarf_reader *r = u->r;
    struct sv_str dir;

    u->str_offsets = has(e, AT_STR_OFFSETS_BASE) ? e->values[AT_STR_OFFSETS_BASE].number : 8;
    u->addresses = has(e, AT_ADDR_BASE) ? e->values[AT_ADDR_BASE].number : 8;
    u->ranges = has(e, AT_RNGLISTS_BASE) ? e->values[AT_RNGLISTS_BASE].number : 12;
    u->low_pc = 0;
    if (has(e, AT_LOW_PC))
        (void)address_of(u, &e->values[AT_LOW_PC], &u->low_pc);
    u->table = NULL;
    if (!has(e, AT_STMT_LIST))
        return;
    for (size_t from = 0, to = r->tables.len; from < to;) {
        size_t middle = from + (to - from) / 2;

        if (r->tables.data[middle].offset == e->values[AT_STMT_LIST].number) {
            u->table = &r->tables.data[middle];
            break;
        }
        if (r->tables.data[middle].offset < e->values[AT_STMT_LIST].number)
            from = middle + 1;
        else
            to = middle;
    }
    if (!u->table || u->table->version >= 5)
        return;
    dir = string_of(u, e, AT_COMP_DIR);
    for (uint32_t i = 0; i < u->table->nfiles && sv_dwarf_pay(r, 1); i++)
        r->files.data[u->table->file + i].base = dir;
}

/* The entries that have begun and not ended, as a bit each: is it a function? */
struct nesting {
    uint32_t depth;
    uint32_t func_depth;       /* where the function began whose children are read; 0: none */
    size_t func_from, func_to; /* its elements of sv_dwarf_reader.funcs */
};

static void end_func(struct unit *u, struct nesting *n)
{
    for (size_t i = n->func_from; i < n->func_to; i++)
        u->r->funcs.data[i].ninlined = (uint32_t)u->r->inlined.len - u->r->funcs.data[i].inlined;
    n->func_depth = 0;
}

static void read_entries(struct unit *u)
{
    struct nesting n = {0};
    struct entry e;
    size_t before;

    while (sv_reader_left(&u->in) > 0 && read_entry(u, &e)) {
        uint32_t origin = reference_of(u, &e);

        if (!e.abbrev) {
            n.depth -= n.depth > 0;
            if (n.func_depth && n.depth < n.func_depth)
                end_func(u, &n);
            continue;
        }
        before = u->r->funcs.len;
        if (n.depth == 0)
            read_root(u, &e);
        else if (e.abbrev->tag == TAG_SUBPROGRAM && !read_subprogram(u, &e))
            break;
        else if (e.abbrev->tag == TAG_INLINED && n.func_depth &&
                 !each_range(u, &e, add_inlined, &origin))
            break;
        n.depth += e.abbrev->children;
        if (n.depth > DEPTH_MAX)
            break;
        /* A function in a function, which no compiler makes, has the outer one's inlined calls. */
        if (u->r->funcs.len > before && e.abbrev->children && !n.func_depth) {
            n.func_depth = n.depth;
            n.func_from = before;
            n.func_to = u->r->funcs.len;
        }
    }
    if (n.func_depth)
        end_func(u, &n);
}

/* What stands before the entries; false: not a unit of code. */
static bool read_head(struct unit *u)
{
    struct sv_reader *in = &u->in;
    uint64_t version, kind = 1, size;

    if (!sv_dwarf_number(in, 2, &version) || version < 2 || version > 5)
        return false;
    u->version = (uint16_t)version;
    if (version == 5 && !(sv_dwarf_number(in, 1, &kind) && sv_dwarf_number(in, 1, &size)))
        return false;
    if (!sv_dwarf_number(in, 4, &u->abbrev_offset) ||
        (version < 5 && !sv_dwarf_number(in, 1, &size)))
        return false;
    u->address_size = (uint8_t)size;
    return (size == 4 || size == 8) && (kind == 1 || kind == UT_PARTIAL);
}

void sv_dwarf_read_units(struct sv_dwarf_reader *r)
{
    struct sv_reader all = r->sections[SV_DWARF_INFO];
    struct unit u = {.r = r};
    uint64_t abbrevs = UINT64_MAX, length;

    while (sv_dwarf_pay(r, 1)) {
        u.start = all.p;
        if (!sv_dwarf_number(&all, 4, &length) || length > sv_reader_left(&all))
            break;
        u.in = (struct sv_reader){.p = all.p, .end = all.p + length, .base = all.p};
        all.p += length;
        if (!read_head(&u))
            continue;
        if (u.abbrev_offset != abbrevs && !read_abbrevs(&u)) {
            abbrevs = UINT64_MAX;
            continue;
        }
        abbrevs = u.abbrev_offset;
        read_entries(&u);
    }
    sv_free(u.abbrevs.data);
    sv_free(u.attrs.data);
}
