/* A module from its bytes: the frame of sections, custom sections, and the module's life. What is
 * inside of a section is read by decode_*.c, bodies are checked by validate*.c. */
#include "wasm/decode.h"

#include <stdarg.h>

#include "wasm/binary.h"
#include "wasm/costs.h"
#include "wasm/dwarf.h"
#include "wasm/rec.h"

#define HEADER_BYTES 8

/* ---- readers ---- */

void sv_decode_note(struct sv_decoder *d, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    sv_vfail(d->err, code, sv_reader_offset(&d->r), fmt, ap);
    va_end(ap);
}

void sv_decode_note_read(struct sv_decoder *d)
{
    bool end = d->r.p == d->r.end;

    sv_decode_note(d, SV_EMALFORMED, "%s%s", d->r.failure, end ? " of section or function" : "");
}

int sv_decode_feature(struct sv_decoder *d, enum sv_feature feature)
{
    d->v.r.base = d->r.base;
    d->v.at = d->r.p;
    return sv_validate_feature(&d->v, feature);
}

int sv_decode_u32(struct sv_decoder *d, uint32_t *ret)
{
    return sv_read_u32(&d->r, ret) ? 0 : sv_decode_fail_read(d);
}

int sv_decode_byte(struct sv_decoder *d, uint8_t *ret)
{
    return sv_read_u8(&d->r, ret) ? 0 : sv_decode_fail_read(d);
}

int sv_decode_count(struct sv_decoder *d, const char *what, uint32_t before, uint32_t limit,
                    unsigned min_bytes, uint32_t *ret)
{
    uint32_t n;

    *ret = 0;
    if (!sv_read_u32(&d->r, &n))
        return sv_decode_fail_read(d);
    /* what the section cannot hold is damage, not size; nothing is allocated for it */
    if (n > sv_reader_left(&d->r) / min_bytes)
        return sv_decode_fail(d, SV_EMALFORMED, "unexpected end of section or function: %u %s", n,
                              what);
    if (n > limit - before)
        return sv_decode_fail(d, SV_ELIMIT, "%llu %s, at most %u", (unsigned long long)before + n,
                              what, limit);
    *ret = n;
    return 0;
}

int sv_decode_name(struct sv_decoder *d, struct sv_str *ret)
{
    uint32_t len;
    int r = sv_decode_u32(d, &len);

    if (r != 0)
        return r;
    if (len > sv_reader_left(&d->r))
        return sv_decode_fail(d, SV_EMALFORMED, "length out of bounds: name of %u bytes", len);
    if (len > SV_LIMIT_NAME_BYTES)
        return sv_decode_fail(d, SV_ELIMIT, "name of %u bytes, at most %u", len,
                              SV_LIMIT_NAME_BYTES);
    if (!sv_utf8_valid(d->r.p, len))
        return sv_decode_fail(d, SV_EMALFORMED, "malformed UTF-8 encoding");
    *ret = (struct sv_str){(const char *)d->r.p, len};
    d->r.p += len;
    return 0;
}

/* ---- sections ---- */

/* Place of each section in the file; the ids are older than tags and data count. */
static const struct {
    uint8_t rank;
    int (*decode)(struct sv_decoder *);
} sections[SV_SECTION_COUNT] = {
    [SV_SECTION_TYPE] = {1, sv_decode_type_section},
    [SV_SECTION_IMPORT] = {2, sv_decode_import_section},
    [SV_SECTION_FUNCTION] = {3, sv_decode_function_section},
    [SV_SECTION_TABLE] = {4, sv_decode_table_section},
    [SV_SECTION_MEMORY] = {5, sv_decode_memory_section},
    [SV_SECTION_TAG] = {6, sv_decode_tag_section},
    [SV_SECTION_GLOBAL] = {7, sv_decode_global_section},
    [SV_SECTION_EXPORT] = {8, sv_decode_export_section},
    [SV_SECTION_START] = {9, sv_decode_start_section},
    [SV_SECTION_ELEMENT] = {10, sv_decode_element_section},
    [SV_SECTION_DATA_COUNT] = {11, sv_decode_data_count_section},
    [SV_SECTION_CODE] = {12, sv_decode_code_section},
    [SV_SECTION_DATA] = {13, sv_decode_data_section},
};

/* Only the name is looked at; what the contents mean is for those who ask. */
static int decode_custom(struct sv_decoder *d)
{
    struct sv_custom custom;
    int r = sv_decode_name(d, &custom.name);

    if (r != 0)
        return r;
    custom.offset = (uint32_t)sv_reader_offset(&d->r);
    custom.len = (uint32_t)sv_reader_left(&d->r);
    d->r.p = d->r.end;
    if (!SV_VEC_PUSH(&d->customs, SIZE_MAX / sizeof custom, custom))
        return sv_fail_nomem(d->err, "custom sections");
    return 0;
}

static int decode_section(struct sv_decoder *d, const uint8_t *end, unsigned *rank)
{
    uint8_t id = *d->r.p++;
    uint32_t len;
    int r;

    d->r.end = end;
    if (id >= SV_SECTION_COUNT) {
        d->r.p--;
        return sv_decode_fail(d, SV_EMALFORMED, "malformed section id %u", id);
    }
    r = sv_decode_u32(d, &len);
    if (r != 0)
        return r;
    if (len > sv_reader_left(&d->r))
        return sv_decode_fail(d, SV_EMALFORMED, "length out of bounds: section of %u bytes", len);
    d->r.end = d->r.p + len;
    if (id == SV_SECTION_CUSTOM)
        return decode_custom(d);
    if (sections[id].rank <= *rank)
        return sv_decode_fail(d, SV_EMALFORMED, "unexpected content after last section: section %u",
                              id);
    *rank = sections[id].rank;
    r = sections[id].decode(d);
    if (r == 0 && d->r.p != d->r.end)
        r = sv_decode_fail(d, SV_EMALFORMED, "section size mismatch");
    return r;
}

static int decode_sections(struct sv_decoder *d)
{
    const uint8_t *end = d->m->bytes + d->m->len;
    struct sv_module *m = d->m;
    unsigned rank = 0;
    int r = 0;

    while (r == 0 && d->r.p != end)
        r = decode_section(d, end, &rank);
    if (r != 0)
        return r;
    if (!d->has_code && m->nfuncs > m->nimports_of[SV_EXTERN_FUNC])
        return sv_decode_fail(d, SV_EMALFORMED,
                              "function and code section have inconsistent lengths");
    if (d->data_count != m->ndatas && d->has_data_count)
        return sv_decode_fail(d, SV_EMALFORMED,
                              "data count and data section have inconsistent lengths");
    if (d->customs.len) {
        m->customs = sv_arena_array_zero(&m->arena, d->customs.len, sizeof *m->customs);
        if (!m->customs)
            return sv_fail_nomem(d->err, "custom sections");
        memcpy(m->customs, d->customs.data, d->customs.len * sizeof *m->customs);
        m->ncustoms = (uint32_t)d->customs.len;
    }
    return 0;
}

static int decode_header(struct sv_decoder *d)
{
    const uint8_t *p = d->m->bytes;
    size_t len = d->m->len;

    if (len < 4 && memcmp(p, "\0asm", len) == 0)
        return sv_decode_fail(d, SV_EMALFORMED, "unexpected end: no wasm header");
    if (len < 4 || memcmp(p, "\0asm", 4) != 0)
        return sv_decode_fail(d, SV_EMALFORMED, "magic header not detected: not a wasm file");
    if (len < HEADER_BYTES)
        return sv_decode_fail(d, SV_EMALFORMED, "unexpected end of the header");
    /* a version and a layer, two bytes each (component model) */
    if (p[6] == 1 && p[7] == 0)
        return sv_decode_fail(
            d, SV_EUNSUPPORTED,
            "unknown binary version: this is a component, not a core module: build for the target "
            "'wasm32-wasip1', or take the core module out with "
            "'wasm-tools component unbundle'");
    if (memcmp(p + 4, "\1\0\0\0", 4) != 0)
        return sv_decode_fail(d, SV_EMALFORMED, "unknown binary version");
    if (len > SV_LIMIT_MODULE_BYTES)
        return sv_decode_fail(d, SV_ELIMIT, "module of %zu bytes, at most %u", len,
                              SV_LIMIT_MODULE_BYTES);
    d->r.p += HEADER_BYTES;
    return 0;
}

static int validate_bodies(struct sv_decoder *d)
{
    struct sv_module *m = d->m;
    int r = 0;

    for (uint32_t i = m->nimports_of[SV_EXTERN_FUNC]; r == 0 && i < m->nfuncs; i++)
        r = sv_validate_body(&d->v, &m->funcs[i]);
    return r;
}

/* ---- the module ---- */

/* What the decoder collected belongs to the module from here on, on failure too. */
static void hand_over(struct sv_decoder *d)
{
    d->m->types = d->types.data;
    d->m->ntypes = (uint32_t)d->types.len;
    d->m->type_groups = d->groups.data;
    d->m->ntype_groups = d->groups.len;
    sv_free(d->words.data);
    sv_free(d->customs.data);
    sv_validator_release(&d->v);
}

int sv_module_new(struct sv_err *err, struct sv_types *types, const uint8_t *bytes, size_t len,
                  void (*release_bytes)(void *, size_t), const struct sv_decode_options *opts,
                  struct sv_module **ret)
{
    struct sv_module *m = sv_alloc_zero(sizeof *m);
    struct sv_decoder *d = sv_alloc(sizeof *d);
    int r;

    if (!m || !d) {
        sv_free(m);
        sv_free(d);
        if (release_bytes)
            release_bytes((void *)(uintptr_t)bytes, len);
        return sv_fail_nomem(err, "module");
    }
    atomic_init(&m->refs, 1);
    m->types_registry = types;
    m->bytes = bytes;
    m->len = m->wasm_len = len;
    m->release_bytes = release_bytes;
    sv_arena_init(&m->arena, 0);
    sv_map_init(&m->export_map);

    memset(d, 0, offsetof(struct sv_decoder, v));
    memset(&d->rec_start, 0, sizeof *d - offsetof(struct sv_decoder, rec_start));
    d->err = err;
    d->m = m;
    d->r = (struct sv_reader){.p = bytes, .end = bytes + len, .base = bytes};
    sv_validator_init(&d->v, err, m, opts ? opts->features : sv_features_default);
    m->features = UINT64_C(1) << SV_FEATURE_MVP;
    r = decode_header(d);
    if (r == 0)
        r = decode_sections(d);
    if (r == 0 && opts && opts->features & SV_FEATURES_COSTS)
        r = sv_costs_read(err, m);
    if (m->costs)
        m->features |= SV_FEATURES_COSTS;
    if (r == 0 && opts && opts->valid)
        m->features |= opts->used;
    else if (r == 0)
        r = validate_bodies(d);
    hand_over(d);
    sv_free(d);
    if (r != 0) {
        sv_module_unref(m);
        return r;
    }
    *ret = m;
    return 0;
}

struct sv_module *sv_module_ref(struct sv_module *m)
{
    atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
    return m;
}

void sv_module_unref(struct sv_module *m)
{
    void *tier_data;

    if (!m || atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) > 1)
        return;
    tier_data = atomic_load(&m->tier_data);
    if (tier_data && m->tier_release)
        m->tier_release(tier_data);
    if (atomic_load(&m->data_images) && m->data_images_release)
        m->data_images_release(m);
    if (atomic_load(&m->typed) && m->typed_release)
        m->typed_release(atomic_load(&m->typed));
    for (unsigned i = 0; m->native_release && i < SV_NATIVE_FORMS; i++)
        m->native_release(atomic_load(&m->natives[i]));
    sv_free(atomic_load(&m->names));
    sv_dwarf_delete(atomic_load(&m->dwarf));
    sv_types_unref(m->types_registry, m->type_groups, m->ntype_groups);
    sv_free(m->type_groups);
    sv_free(m->types);
    sv_map_release(&m->export_map);
    sv_arena_release(&m->arena);
    if (m->release_bytes)
        m->release_bytes((void *)(uintptr_t)m->bytes, m->len);
    sv_free(m);
}

const struct sv_export *sv_module_export(const struct sv_module *m, struct sv_str name)
{
    return sv_map_find(&m->export_map, name);
}

const struct sv_custom *sv_module_custom(const struct sv_module *m, struct sv_str name)
{
    for (uint32_t i = 0; i < m->ncustoms; i++)
        if (sv_str_eq(m->customs[i].name, name))
            return &m->customs[i];
    return NULL;
}

/* Bodies lie in the file in the order of their functions. */
uint32_t sv_module_func_at(const struct sv_module *m, uint32_t offset)
{
    uint32_t low = m->nimports_of[SV_EXTERN_FUNC], high = m->nfuncs;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        const struct sv_func_decl *f = &m->funcs[middle];

        if (offset < f->body_offset)
            high = middle;
        else if (offset - f->body_offset >= f->body_len)
            low = middle + 1;
        else
            return middle;
    }
    return UINT32_MAX;
}
