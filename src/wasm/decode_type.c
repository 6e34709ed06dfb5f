/* Decoding of types (spec 5.3) and the type section (5.5.4), with the checks of subtyping (3.2.10).
 */
#include "wasm/binary.h"
#include "wasm/decode.h"
#include "wasm/rec.h"

#define OUT_OF_MEMORY(d) sv_fail_nomem((d)->err, "types")
#define MAX_WORDS (SIZE_MAX / 8)

static int push_word(struct sv_decoder *d, uint32_t word)
{
    return SV_VEC_PUSH(&d->words, MAX_WORDS, word) ? 0 : OUT_OF_MEMORY(d);
}

/* ---- value types ---- */

/* Types of the group being read become SV_REC_LOCAL words: outside of the type section there are
 * none. */
int sv_decode_heap(struct sv_decoder *d, bool nullable, sv_valtype *ret)
{
    const uint8_t *start = d->r.p;
    int64_t code;
    int abstract;

    if (!sv_read_signed(&d->r, 33, &code))
        return sv_decode_fail_read(d);
    if (code < 0) {
        abstract = d->r.p - start == 1 ? sv_binary_heap(*start) : -1;
        if (abstract < 0) {
            d->r.p = start;
            return sv_decode_fail(d, SV_EMALFORMED, "malformed heap type %lld", (long long)code);
        }
        *ret = SV_REFTYPE(abstract, nullable);
        return sv_decode_feature(d, sv_heap_feature((uint32_t)abstract));
    }
    if (code >= d->rec_end)
        return sv_decode_fail(d, SV_EINVALID, "unknown type %lld", (long long)code);
    if (code >= d->rec_start)
        *ret = SV_REC_LOCAL(code - d->rec_start, nullable);
    else
        *ret = SV_REFTYPE(SV_HEAP_CONCRETE + d->types.data[code]->id, nullable);
    return sv_decode_feature(d, SV_FEATURE_FUNCREF);
}

static int decode_type_of(struct sv_decoder *d, uint8_t byte, sv_valtype *ret)
{
    sv_valtype type = sv_binary_valtype(byte);

    if (byte == SV_BINARY_REF || byte == SV_BINARY_REF_NULL)
        return sv_decode_heap(d, byte == SV_BINARY_REF_NULL, ret);
    if (type == SV_VAL_BOT) {
        d->r.p--;
        return sv_decode_fail(d, SV_EMALFORMED, "malformed value type 0x%02x", byte);
    }
    *ret = type;
    if (type == SV_VAL_V128)
        return sv_decode_feature(d, SV_FEATURE_SIMD);
    return sv_valtype_is_ref(type) ? sv_decode_feature(d, sv_heap_feature(sv_valtype_heap(type)))
                                   : 0;
}

int sv_decode_valtype(struct sv_decoder *d, sv_valtype *ret)
{
    uint8_t byte;
    int r = sv_decode_byte(d, &byte);

    return r != 0 ? r : decode_type_of(d, byte, ret);
}

int sv_decode_reftype(struct sv_decoder *d, sv_valtype *ret)
{
    uint8_t byte;
    int r = sv_decode_byte(d, &byte);

    if (r != 0)
        return r;
    if (byte != SV_BINARY_REF && byte != SV_BINARY_REF_NULL && sv_binary_heap(byte) < 0) {
        d->r.p--;
        return sv_decode_fail(d, SV_EMALFORMED, "malformed reference type 0x%02x", byte);
    }
    return decode_type_of(d, byte, ret);
}

/* ---- composite types ---- */

static int decode_values(struct sv_decoder *d, const char *what, uint32_t limit, uint32_t *ret_n)
{
    uint32_t n;
    int r = sv_decode_count(d, what, 0, limit, 1, &n);

    *ret_n = n;
    while (r == 0 && n-- > 0) {
        sv_valtype type;

        r = sv_decode_valtype(d, &type);
        if (r == 0)
            r = push_word(d, type);
    }
    return r;
}

static int decode_func(struct sv_decoder *d)
{
    size_t at = d->words.len;
    uint32_t nparams = 0, nresults = 0;
    int r = push_word(d, 0);

    if (r == 0)
        r = push_word(d, 0);
    if (r == 0)
        r = decode_values(d, "parameters", SV_LIMIT_PARAMS, &nparams);
    if (r == 0)
        r = decode_values(d, "results", SV_LIMIT_RESULTS, &nresults);
    if (r != 0)
        return r;
    d->words.data[at] = nparams;
    d->words.data[at + 1] = nresults;
    return nresults > 1 ? sv_decode_feature(d, SV_FEATURE_MULTI_VALUE) : 0;
}

static int decode_mutability(struct sv_decoder *d, uint8_t *ret)
{
    int r = sv_decode_byte(d, ret);

    if (r != 0 || *ret <= 1)
        return r;
    d->r.p--;
    return sv_decode_fail(d, SV_EMALFORMED, "malformed mutability 0x%02x", *ret);
}

static int decode_field(struct sv_decoder *d)
{
    sv_valtype type;
    uint8_t byte, mut;
    int r = sv_decode_byte(d, &byte);

    if (r != 0)
        return r;
    if (byte == 0x78)
        type = SV_VAL_I8;
    else if (byte == 0x77)
        type = SV_VAL_I16;
    else
        r = decode_type_of(d, byte, &type);
    if (r == 0)
        r = decode_mutability(d, &mut);
    if (r == 0)
        r = push_word(d, type);
    return r != 0 ? r : push_word(d, mut);
}

static int decode_struct(struct sv_decoder *d)
{
    uint32_t n;
    int r = sv_decode_count(d, "fields", 0, SV_LIMIT_FIELDS, 2, &n);

    if (r == 0)
        r = push_word(d, n);
    while (r == 0 && n-- > 0)
        r = decode_field(d);
    return r;
}

/* ---- subtypes and groups ---- */

/* `index` is the type's own: its supertype comes before it (spec 3.2.12). */
static int decode_super(struct sv_decoder *d, uint32_t index, sv_valtype *ret)
{
    uint32_t n, super;
    int r = sv_decode_feature(d, SV_FEATURE_GC);

    *ret = 0;
    if (r == 0)
        r = sv_decode_u32(d, &n);
    if (r != 0 || n == 0)
        return r;
    if (n > 1)
        return sv_decode_fail(d, SV_EINVALID, "sub type with %u supertypes", n);
    r = sv_decode_u32(d, &super);
    if (r != 0)
        return r;
    if (super >= index)
        return sv_decode_fail(d, SV_EINVALID, "unknown type %u", super);
    if (super >= d->rec_start)
        *ret = SV_REC_LOCAL(super - d->rec_start, true);
    else
        *ret = SV_REFTYPE(SV_HEAP_CONCRETE + d->types.data[super]->id, true);
    return 0;
}

static int decode_subtype(struct sv_decoder *d, uint8_t byte, uint32_t index)
{
    bool final = true;
    sv_valtype super = 0;
    int r = 0;

    if (byte == SV_BINARY_SUB || byte == SV_BINARY_SUB_FINAL) {
        final = byte == SV_BINARY_SUB_FINAL;
        r = decode_super(d, index, &super);
        if (r == 0)
            r = sv_decode_byte(d, &byte);
    }
    if (r == 0 && (byte == SV_BINARY_STRUCT || byte == SV_BINARY_ARRAY))
        r = sv_decode_feature(d, SV_FEATURE_GC);
    if (r != 0)
        return r;
    if (byte < SV_BINARY_ARRAY || byte > SV_BINARY_FUNC) {
        d->r.p--;
        return sv_decode_fail(d, SV_EMALFORMED, "malformed definition type 0x%02x", byte);
    }
    r = push_word(d, SV_REC_HEAD(SV_BINARY_FUNC - byte, final)); /* the order of enum sv_form */
    if (r == 0)
        r = push_word(d, super);
    if (r != 0)
        return r;
    if (byte == SV_BINARY_FUNC)
        return decode_func(d);
    return byte == SV_BINARY_STRUCT ? decode_struct(d) : decode_field(d);
}

static bool field_matches(const struct sv_types *reg, const struct sv_field *sub,
                          const struct sv_field *super)
{
    if (sub->mut != super->mut)
        return false;
    if (sub->type == super->type)
        return true;
    return !sub->mut && sv_valtype_matches(reg, sub->type, super->type);
}

static bool list_matches(const struct sv_types *reg, const sv_valtype *sub, const sv_valtype *super,
                         uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!sv_valtype_matches(reg, sub[i], super[i]))
            return false;
    return true;
}

/* The composite types match (spec 3.3.9). */
static bool composite_matches(const struct sv_types *reg, const struct sv_type *sub,
                              const struct sv_type *super)
{
    if (sub->form != super->form)
        return false;
    if (sub->form == SV_FORM_ARRAY)
        return field_matches(reg, &sub->array.field, &super->array.field);
    if (sub->form == SV_FORM_FUNC)
        return sub->func.nparams == super->func.nparams &&
               sub->func.nresults == super->func.nresults &&
               list_matches(reg, super->func.params, sub->func.params, sub->func.nparams) &&
               list_matches(reg, sub->func.results, super->func.results, sub->func.nresults);
    if (sub->strct.nfields < super->strct.nfields)
        return false;
    for (uint32_t i = 0; i < super->strct.nfields; i++)
        if (!field_matches(reg, &sub->strct.fields[i], &super->strct.fields[i]))
            return false;
    return true;
}

static int check_subtype(struct sv_decoder *d, uint32_t index)
{
    const struct sv_type *type = d->types.data[index];
    const struct sv_type *super = type->depth ? type->supers[type->depth - 1] : NULL;

    d->supertype_entries += type->depth + 1u;
    if (d->supertype_entries > SV_LIMIT_SUPERTYPE_ENTRIES)
        return sv_decode_fail(d, SV_ELIMIT, "supertypes of the module's types exceed %u",
                              SV_LIMIT_SUPERTYPE_ENTRIES);
    if (super && (super->final || !composite_matches(d->m->types_registry, type, super)))
        return sv_decode_fail(d, SV_EINVALID, "sub type %u does not match its supertype", index);
    return 0;
}

/* Make the group canonical; d->words holds n types. */
static int intern(struct sv_decoder *d, uint32_t n)
{
    uint64_t offset = sv_reader_offset(&d->r);
    struct sv_type_group *group;
    int r;

    for (uint32_t i = 0; i < n; i++)
        if (!SV_VEC_PUSH(&d->types, SV_LIMIT_TYPES, NULL))
            return OUT_OF_MEMORY(d);
    /* room first: a group that cannot be written down could not be given back */
    if (!SV_VEC_PUSH(&d->groups, SV_LIMIT_TYPES, NULL))
        return OUT_OF_MEMORY(d);
    d->groups.len--;
    r = sv_types_intern(d->err, d->m->types_registry, d->words.data, d->words.len, n,
                        d->types.data + d->rec_start, &group);
    if (r != 0) {
        d->types.len -= n;
        if (d->err && !d->err->has_offset) {
            d->err->has_offset = true;
            d->err->offset = offset;
        }
        return r;
    }
    d->groups.data[d->groups.len++] = group;
    for (uint32_t i = 0; r == 0 && i < n; i++)
        r = check_subtype(d, d->rec_start + i);
    return r;
}

static int decode_group(struct sv_decoder *d)
{
    uint32_t n = 1, before = (uint32_t)d->types.len;
    uint8_t byte;
    int r = sv_decode_byte(d, &byte);

    if (r != 0)
        return r;
    if (byte == SV_BINARY_REC) {
        r = sv_decode_feature(d, SV_FEATURE_GC);
        if (r == 0)
            r = sv_decode_count(d, "types in a recursion group", 0, SV_LIMIT_REC_GROUP, 2, &n);
        if (r != 0)
            return r;
    }
    if (n > SV_LIMIT_TYPES - before)
        return sv_decode_fail(d, SV_ELIMIT, "more than %u types", SV_LIMIT_TYPES);
    if (n == 0)
        return 0;
    d->rec_start = before;
    d->rec_end = before + n;
    d->words.len = 0;
    for (uint32_t i = 0; r == 0 && i < n; i++) {
        if (byte == SV_BINARY_REC) {
            uint8_t head;

            r = sv_decode_byte(d, &head);
            if (r == 0)
                r = decode_subtype(d, head, before + i);
        } else
            r = decode_subtype(d, byte, before);
    }
    return r != 0 ? r : intern(d, n);
}

int sv_decode_type_section(struct sv_decoder *d)
{
    uint32_t n;
    int r = sv_decode_count(d, "types", 0, SV_LIMIT_TYPES, 2, &n);

    while (r == 0 && n-- > 0)
        r = decode_group(d);
    d->rec_start = d->rec_end = (uint32_t)d->types.len;
    d->m->types = d->types.data;
    d->m->ntypes = (uint32_t)d->types.len;
    return r;
}

int sv_decode_type_index(struct sv_decoder *d, enum sv_form form, uint32_t *ret)
{
    int r = sv_decode_u32(d, ret);

    if (r != 0)
        return r;
    if (*ret >= d->m->ntypes || d->m->types[*ret]->form != form)
        return sv_decode_fail(d, SV_EINVALID, "unknown type %u", *ret);
    return 0;
}

/* ---- types of externals ---- */

enum limits_flags { HAS_MAX = 1 << 0, SHARED = 1 << 1, IS64 = 1 << 2 };

static int decode_limits(struct sv_decoder *d, unsigned allowed, struct sv_limits *ret)
{
    struct sv_limits l = {.max = UINT64_MAX};
    uint8_t flags;
    int r = sv_decode_byte(d, &flags);

    if (r != 0)
        return r;
    if (flags & ~allowed) {
        d->r.p--;
        return sv_decode_fail(d, SV_EMALFORMED, "malformed limits flags 0x%02x", flags);
    }
    l.has_max = flags & HAS_MAX;
    l.shared = flags & SHARED;
    l.is64 = flags & IS64;
    if (!sv_read_u64(&d->r, &l.min) || (l.has_max && !sv_read_u64(&d->r, &l.max)))
        return sv_decode_fail_read(d);
    if (l.is64)
        r = sv_decode_feature(d, SV_FEATURE_MEMORY64);
    if (r == 0 && l.shared)
        r = sv_decode_feature(d, SV_FEATURE_THREADS);
    *ret = l;
    return r;
}

static int check_min_max(struct sv_decoder *d, const struct sv_limits *l)
{
    if (l->has_max && l->min > l->max)
        return sv_decode_fail(d, SV_EINVALID, "size minimum must not be greater than maximum");
    return 0;
}

int sv_decode_table_type(struct sv_decoder *d, struct sv_table_type *ret)
{
    int r = sv_decode_reftype(d, &ret->type);

    if (r == 0)
        r = decode_limits(d, HAS_MAX | IS64, &ret->limits);
    if (r != 0)
        return r;
    if (!ret->limits.is64 && (ret->limits.min > SV_TABLE32_ENTRIES ||
                              (ret->limits.has_max && ret->limits.max > SV_TABLE32_ENTRIES)))
        return sv_decode_fail(d, SV_EINVALID, "table size must be at most 2^32-1");
    return check_min_max(d, &ret->limits);
}

int sv_decode_memory_type(struct sv_decoder *d, struct sv_memory_type *ret)
{
    uint64_t most;
    int r = decode_limits(d, HAS_MAX | SHARED | IS64, &ret->limits);

    ret->page_shift = 16;
    if (r != 0)
        return r;
    if (ret->limits.shared && !ret->limits.has_max)
        return sv_decode_fail(d, SV_EINVALID, "shared memory must have maximum");
    most = ret->limits.is64 ? SV_MEMORY64_PAGES : SV_MEMORY32_PAGES;
    if (ret->limits.min > most || (ret->limits.has_max && ret->limits.max > most))
        return sv_decode_fail(d, SV_EINVALID,
                              ret->limits.is64 ? "memory size must be at most 2^48 pages"
                                               : "memory size must be at most 65536 pages (4GiB)");
    return check_min_max(d, &ret->limits);
}

int sv_decode_global_type(struct sv_decoder *d, struct sv_global_type *ret)
{
    uint8_t mut;
    int r = sv_decode_valtype(d, &ret->type);

    if (r == 0)
        r = decode_mutability(d, &mut);
    if (r == 0)
        ret->mut = mut;
    return r;
}

int sv_decode_tag_type(struct sv_decoder *d, const struct sv_type **ret)
{
    uint32_t type;
    uint8_t attribute;
    int r = sv_decode_feature(d, SV_FEATURE_EXN);

    if (r == 0)
        r = sv_decode_byte(d, &attribute);
    if (r != 0)
        return r;
    if (attribute != 0) {
        d->r.p--;
        return sv_decode_fail(d, SV_EMALFORMED, "malformed tag attribute 0x%02x", attribute);
    }
    r = sv_decode_type_index(d, SV_FORM_FUNC, &type);
    if (r != 0)
        return r;
    *ret = d->m->types[type];
    if ((*ret)->func.nresults > 0)
        return sv_decode_fail(d, SV_EINVALID, "non-empty tag result type");
    return 0;
}
