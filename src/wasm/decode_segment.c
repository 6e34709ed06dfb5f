/* Decoding of constant expressions, element and data segments, and the code section's layout
 * (spec 5.5.12 to 5.5.16). Bodies are checked by the validator, later. */
#include "wasm/decode.h"

int sv_decode_const(struct sv_decoder *d, sv_valtype type, struct sv_const_expr *ret)
{
    uint64_t start = sv_reader_offset(&d->r);
    int r = sv_validate_const(&d->v, &d->r, type);

    if (r != 0)
        return r;
    *ret = (struct sv_const_expr){(uint32_t)start, (uint32_t)(sv_reader_offset(&d->r) - start)};
    return 0;
}

/* ---- elements ---- */

enum elem_flags { ELEM_PASSIVE = 1 << 0, ELEM_INDEX = 1 << 1, ELEM_EXPRS = 1 << 2 };

static int decode_elem_funcs(struct sv_decoder *d, struct sv_elem_decl *e)
{
    struct sv_module *m = d->m;
    uint32_t *funcs;
    uint32_t n;
    int r = sv_decode_count(d, "elements of a segment", 0, SV_LIMIT_ELEM_ENTRIES, 1, &n);

    if (r != 0)
        return r;
    funcs = sv_arena_array_zero(&m->arena, n, sizeof *funcs);
    if (!funcs)
        return sv_fail_nomem(d->err, "elements");
    for (uint32_t i = 0; i < n; i++) {
        r = sv_decode_u32(d, &funcs[i]);
        if (r != 0)
            return r;
        if (funcs[i] >= m->nfuncs)
            return sv_decode_fail(d, SV_EINVALID, "unknown function %u", funcs[i]);
        m->funcs[funcs[i]].declared = true;
    }
    e->funcs = funcs;
    e->len = n;
    return 0;
}

static int decode_elem_exprs(struct sv_decoder *d, struct sv_elem_decl *e)
{
    struct sv_const_expr *exprs;
    uint32_t n;
    int r = sv_decode_count(d, "elements of a segment", 0, SV_LIMIT_ELEM_ENTRIES, 2, &n);

    if (r != 0)
        return r;
    exprs = sv_arena_array_zero(&d->m->arena, n, sizeof *exprs);
    if (!exprs)
        return sv_fail_nomem(d->err, "elements");
    for (uint32_t i = 0; r == 0 && i < n; i++)
        r = sv_decode_const(d, e->type, &exprs[i]);
    e->exprs = exprs;
    e->len = n;
    return r;
}

/* The table and the place in it of an active segment. */
static int decode_elem_place(struct sv_decoder *d, struct sv_elem_decl *e, bool index)
{
    const struct sv_table_type *table;
    int r = 0;

    if (index)
        r = sv_decode_u32(d, &e->table);
    if (r != 0)
        return r;
    if (e->table >= d->m->ntables)
        return sv_decode_fail(d, SV_EINVALID, "unknown table %u", e->table);
    table = &d->m->tables[e->table].type;
    return sv_decode_const(d, table->limits.is64 ? SV_VAL_I64 : SV_VAL_I32, &e->offset);
}

/* Spec 5.5.12: flags 1 and 2 say where to, flag 4 what. */
static int decode_elem(struct sv_decoder *d, struct sv_elem_decl *e)
{
    bool has_type;
    uint32_t flags;
    uint8_t kind;
    int r = sv_decode_u32(d, &flags);

    if (r != 0)
        return r;
    if (flags > 7)
        return sv_decode_fail(d, SV_EMALFORMED, "malformed elements segment kind %u", flags);
    has_type = flags & (ELEM_PASSIVE | ELEM_INDEX);
    if (flags & ELEM_PASSIVE)
        e->mode = flags & ELEM_INDEX ? SV_SEGMENT_DECLARATIVE : SV_SEGMENT_PASSIVE;
    if (flags != 0)
        r = sv_decode_feature(d, flags == 1 ? SV_FEATURE_BULK : SV_FEATURE_REF);
    if (r == 0 && e->mode == SV_SEGMENT_ACTIVE)
        r = decode_elem_place(d, e, flags & ELEM_INDEX);
    if (r != 0)
        return r;
    if (flags & ELEM_EXPRS) {
        e->type = SV_FUNCREF;
        if (has_type)
            r = sv_decode_reftype(d, &e->type);
    } else {
        e->type = SV_REFTYPE(SV_HEAP_FUNC, false);
        if (has_type) {
            r = sv_decode_byte(d, &kind);
            if (r == 0 && kind != 0)
                r = sv_decode_fail(d, SV_EMALFORMED, "malformed element kind 0x%02x", kind);
        }
    }
    if (r == 0 && e->mode == SV_SEGMENT_ACTIVE &&
        !sv_valtype_matches(d->m->types_registry, e->type, d->m->tables[e->table].type.type))
        r = sv_decode_fail(d, SV_EINVALID, "type mismatch: elements do not fit table %u", e->table);
    if (r != 0)
        return r;
    return flags & ELEM_EXPRS ? decode_elem_exprs(d, e) : decode_elem_funcs(d, e);
}

int sv_decode_element_section(struct sv_decoder *d)
{
    struct sv_module *m = d->m;
    uint32_t n;
    int r = sv_decode_count(d, "elem segments", 0, SV_LIMIT_ELEM_SEGMENTS, 3, &n);

    if (r != 0)
        return r;
    m->elems = sv_arena_array_zero(&m->arena, n, sizeof *m->elems);
    if (!m->elems)
        return sv_fail_nomem(d->err, "elem segments");
    for (uint32_t i = 0; r == 0 && i < n; i++) {
        r = decode_elem(d, &m->elems[i]);
        if (r == 0)
            m->nelems++;
    }
    return r;
}

/* ---- data ---- */

int sv_decode_data_count_section(struct sv_decoder *d)
{
    int r = sv_decode_feature(d, SV_FEATURE_BULK);

    d->has_data_count = d->v.has_data_count = true;
    return r != 0 ? r : sv_decode_u32(d, &d->data_count);
}

static int decode_data(struct sv_decoder *d, struct sv_data_decl *s)
{
    uint32_t flags;
    int r = sv_decode_u32(d, &flags);

    if (r != 0)
        return r;
    if (flags > 2)
        return sv_decode_fail(d, SV_EMALFORMED, "malformed data segment kind %u", flags);
    if (flags == 1) {
        s->mode = SV_SEGMENT_PASSIVE;
        r = sv_decode_feature(d, SV_FEATURE_BULK);
    } else {
        if (flags == 2)
            r = sv_decode_u32(d, &s->memory);
        if (r == 0 && s->memory >= d->m->nmemories)
            r = sv_decode_fail(d, SV_EINVALID, "unknown memory %u", s->memory);
        if (r == 0)
            r = sv_decode_const(d, d->m->memories[s->memory].limits.is64 ? SV_VAL_I64 : SV_VAL_I32,
                                &s->offset);
    }
    if (r == 0)
        r = sv_decode_u32(d, &s->len);
    if (r != 0)
        return r;
    s->bytes_offset = (uint32_t)sv_reader_offset(&d->r);
    return sv_read_skip(&d->r, s->len) ? 0 : sv_decode_fail_read(d);
}

int sv_decode_data_section(struct sv_decoder *d)
{
    struct sv_module *m = d->m;
    uint32_t n;
    int r = sv_decode_count(d, "data segments", 0, SV_LIMIT_DATA_SEGMENTS, 2, &n);

    if (r != 0)
        return r;
    if (d->has_data_count && n != d->data_count)
        return sv_decode_fail(d, SV_EMALFORMED,
                              "data count and data section have inconsistent lengths");
    m->datas = sv_arena_array_zero(&m->arena, n, sizeof *m->datas);
    if (!m->datas)
        return sv_fail_nomem(d->err, "data segments");
    for (uint32_t i = 0; r == 0 && i < n; i++) {
        r = decode_data(d, &m->datas[i]);
        if (r == 0)
            m->ndatas++;
    }
    return r;
}

/* ---- code ---- */

int sv_decode_code_section(struct sv_decoder *d)
{
    struct sv_module *m = d->m;
    uint32_t defined = m->nfuncs - m->nimports_of[SV_EXTERN_FUNC];
    uint32_t n, len;
    int r;

    m->code_offset = (uint32_t)sv_reader_offset(&d->r);
    m->code_len = (uint32_t)sv_reader_left(&d->r);
    d->has_code = true;
    r = sv_decode_count(d, "functions", 0, SV_LIMIT_FUNCTIONS, 3, &n);
    if (r != 0)
        return r;
    if (n != defined)
        return sv_decode_fail(d, SV_EMALFORMED,
                              "function and code section have inconsistent lengths");
    for (uint32_t i = 0; i < n; i++) {
        struct sv_func_decl *f = &m->funcs[m->nimports_of[SV_EXTERN_FUNC] + i];

        r = sv_decode_u32(d, &len);
        if (r != 0)
            return r;
        if (len > SV_LIMIT_BODY_BYTES && len <= sv_reader_left(&d->r))
            return sv_decode_fail(d, SV_ELIMIT, "function body of %u bytes, at most %u", len,
                                  SV_LIMIT_BODY_BYTES);
        f->body_offset = (uint32_t)sv_reader_offset(&d->r);
        f->body_len = len;
        if (!sv_read_skip(&d->r, len))
            return sv_decode_fail_read(d);
    }
    return 0;
}
