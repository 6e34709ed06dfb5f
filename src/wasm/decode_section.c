/* Decoding of the sections that fill the index spaces: imports, functions, tables, memories, tags,
 * globals, exports and the start function (spec 5.5.5 to 5.5.11, 5.5.17). Segments and code are in
 * decode_segment.c. */
#include "wasm/decode.h"

static int no_memory(struct sv_decoder *d, const char *what)
{
    sv_fail_nomem(d->err, what);
    return SV_ENOMEM;
}

/* ---- imports ---- */

static const uint32_t limit_of[SV_EXTERN_COUNT] = {
    [SV_EXTERN_FUNC] = SV_LIMIT_FUNCTIONS,  [SV_EXTERN_TABLE] = SV_LIMIT_TABLES,
    [SV_EXTERN_MEMORY] = SV_LIMIT_MEMORIES, [SV_EXTERN_GLOBAL] = SV_LIMIT_GLOBALS,
    [SV_EXTERN_TAG] = SV_LIMIT_TAGS,
};
static const char *const name_of[SV_EXTERN_COUNT] = {
    [SV_EXTERN_FUNC] = "functions", [SV_EXTERN_TABLE] = "tables", [SV_EXTERN_MEMORY] = "memories",
    [SV_EXTERN_GLOBAL] = "globals", [SV_EXTERN_TAG] = "tags",
};

/* The index spaces while imports are read; they go to the arena when the number of definitions is
 * known too. */
struct spaces {
    SV_VEC(struct sv_func_decl) funcs;
    SV_VEC(struct sv_table_decl) tables;
    SV_VEC(struct sv_memory_type) memories;
    SV_VEC(struct sv_global_decl) globals;
    SV_VEC(struct sv_tag_decl) tags;
};

static int import_func(struct sv_decoder *d, struct spaces *s)
{
    struct sv_func_decl f = {0};
    int r = sv_decode_type_index(d, SV_FORM_FUNC, &f.type_index);

    if (r != 0)
        return r;
    f.type = d->m->types[f.type_index];
    return SV_VEC_PUSH(&s->funcs, SV_LIMIT_IMPORTS, f) ? 0 : no_memory(d, "imports");
}

static int import_global(struct sv_decoder *d, struct spaces *s)
{
    struct sv_global_decl g = {0};
    int r = sv_decode_global_type(d, &g.type);

    if (r == 0 && g.type.mut)
        r = sv_decode_feature(d, SV_FEATURE_MUTABLE_GLOBALS);
    if (r != 0)
        return r;
    return SV_VEC_PUSH(&s->globals, SV_LIMIT_IMPORTS, g) ? 0 : no_memory(d, "imports");
}

static int import_one(struct sv_decoder *d, struct spaces *s, uint8_t kind)
{
    struct sv_table_decl t = {0};
    struct sv_memory_type memory;
    struct sv_tag_decl tag;
    bool ok = true;
    int r;

    switch (kind) {
    case SV_EXTERN_FUNC:
        return import_func(d, s);
    case SV_EXTERN_TABLE:
        r = sv_decode_table_type(d, &t.type);
        if (r == 0)
            ok = SV_VEC_PUSH(&s->tables, SV_LIMIT_IMPORTS, t);
        break;
    case SV_EXTERN_MEMORY:
        r = sv_decode_memory_type(d, &memory);
        if (r == 0)
            ok = SV_VEC_PUSH(&s->memories, SV_LIMIT_IMPORTS, memory);
        break;
    case SV_EXTERN_GLOBAL:
        return import_global(d, s);
    default:
        r = sv_decode_tag_type(d, &tag.type);
        if (r == 0)
            ok = SV_VEC_PUSH(&s->tags, SV_LIMIT_IMPORTS, tag);
        break;
    }
    return ok ? r : no_memory(d, "imports");
}

static int decode_import(struct sv_decoder *d, struct spaces *s, struct sv_import *import)
{
    struct sv_module *m = d->m;
    uint8_t kind;
    int r = sv_decode_name(d, &import->module);

    if (r == 0)
        r = sv_decode_name(d, &import->name);
    if (r == 0)
        r = sv_decode_byte(d, &kind);
    if (r != 0)
        return r;
    if (kind >= SV_EXTERN_COUNT) {
        d->r.p--;
        return sv_decode_fail(d, SV_EMALFORMED, "malformed import kind 0x%02x", kind);
    }
    if (m->nimports_of[kind] >= limit_of[kind])
        return sv_decode_fail(d, SV_ELIMIT, "more than %u %s", limit_of[kind], name_of[kind]);
    import->kind = (enum sv_extern_kind)kind;
    import->index = m->nimports_of[kind]++;
    return import_one(d, s, kind);
}

/* A copy in the arena, with the imports' number as length; NULL stays NULL. */
static bool keep(struct sv_module *m, const void *data, size_t n, size_t size, void *ret)
{
    void *copy;

    if (n == 0)
        return true;
    copy = sv_arena_array_zero(&m->arena, n, size);
    if (!copy)
        return false;
    memcpy(copy, data, n * size);
    *(void **)ret = copy;
    return true;
}

#define KEEP(m, vec, field, count)                                                                 \
    ((m)->count = (uint32_t)(vec).len,                                                             \
     keep(m, (vec).data, (vec).len, sizeof *(vec).data, (void *)&(m)->field))

int sv_decode_import_section(struct sv_decoder *d)
{
    struct sv_module *m = d->m;
    struct spaces s = {0};
    uint32_t n;
    int r = sv_decode_count(d, "imports", 0, SV_LIMIT_IMPORTS, 3, &n);

    if (r == 0 && n > 0) {
        m->imports = sv_arena_array_zero(&m->arena, n, sizeof(struct sv_import));
        if (!m->imports)
            r = no_memory(d, "imports");
    }
    for (uint32_t i = 0; r == 0 && i < n; i++) {
        r = decode_import(d, &s, &m->imports[i]);
        if (r == 0)
            m->nimports++;
    }
    if (r == 0 && m->nimports_of[SV_EXTERN_MEMORY] > 1)
        r = sv_decode_feature(d, SV_FEATURE_MULTI_MEMORY);
    if (r == 0 && m->nimports_of[SV_EXTERN_TABLE] > 1)
        r = sv_decode_feature(d, SV_FEATURE_REF);
    if (r == 0 && (!KEEP(m, s.funcs, funcs, nfuncs) || !KEEP(m, s.tables, tables, ntables) ||
                   !KEEP(m, s.memories, memories, nmemories) ||
                   !KEEP(m, s.globals, globals, nglobals) || !KEEP(m, s.tags, tags, ntags)))
        r = no_memory(d, "imports");
    sv_free(s.funcs.data);
    sv_free(s.tables.data);
    sv_free(s.memories.data);
    sv_free(s.globals.data);
    sv_free(s.tags.data);
    return r;
}

/* ---- definitions ---- */

/* The section of an index space begins: how many entries it has, and room for them in the arena
 * behind the `have` that are imported. `list` points to the pointer to the first, of any type. */
static int begin_list(struct sv_decoder *d, const char *what, uint32_t have, uint32_t most,
                      uint32_t least_bytes, void *list, size_t size, uint32_t *ret_n)
{
    unsigned char *array;
    void *old;
    int r = sv_decode_count(d, what, have, most, least_bytes, ret_n);

    if (r != 0)
        return r;
    array = sv_arena_array_zero(&d->m->arena, (size_t)have + *ret_n, size);
    if (!array)
        return no_memory(d, what);
    memcpy(&old, list, sizeof old);
    if (have)
        memcpy(array, old, have * size);
    memcpy(list, &array, sizeof array);
    return 0;
}

int sv_decode_function_section(struct sv_decoder *d)
{
    struct sv_module *m = d->m;
    uint32_t n;
    int r = begin_list(d, "functions", m->nfuncs, SV_LIMIT_FUNCTIONS, 1, &m->funcs,
                       sizeof *m->funcs, &n);

    for (uint32_t i = 0; r == 0 && i < n; i++) {
        struct sv_func_decl *f = &m->funcs[m->nfuncs];

        r = sv_decode_type_index(d, SV_FORM_FUNC, &f->type_index);
        if (r == 0) {
            f->type = m->types[f->type_index];
            m->nfuncs++;
        }
    }
    return r;
}

static int decode_table(struct sv_decoder *d, struct sv_table_decl *t)
{
    uint8_t zero;
    int r;

    if (d->r.p != d->r.end && *d->r.p == 0x40) {
        d->r.p++;
        r = sv_decode_byte(d, &zero);
        if (r != 0)
            return r;
        if (zero != 0)
            return sv_decode_fail(d, SV_EMALFORMED, "zero byte expected");
        t->has_init = true;
    }
    r = sv_decode_table_type(d, &t->type);
    if (r != 0)
        return r;
    if (t->has_init) {
        r = sv_decode_feature(d, SV_FEATURE_FUNCREF);
        return r != 0 ? r : sv_decode_const(d, t->type.type, &t->init);
    }
    if (!sv_valtype_defaultable(t->type.type))
        return sv_decode_fail(
            d, SV_EINVALID, "type mismatch: a table of non-null references wants an initial value");
    return 0;
}

int sv_decode_table_section(struct sv_decoder *d)
{
    struct sv_module *m = d->m;
    uint32_t n;
    int r =
        begin_list(d, "tables", m->ntables, SV_LIMIT_TABLES, 2, &m->tables, sizeof *m->tables, &n);

    for (uint32_t i = 0; r == 0 && i < n; i++) {
        r = decode_table(d, &m->tables[m->ntables]);
        if (r == 0)
            m->ntables++;
    }
    if (r == 0 && m->ntables > 1)
        r = sv_decode_feature(d, SV_FEATURE_REF);
    return r;
}

int sv_decode_memory_section(struct sv_decoder *d)
{
    struct sv_module *m = d->m;
    uint32_t n;
    int r = begin_list(d, "memories", m->nmemories, SV_LIMIT_MEMORIES, 1, &m->memories,
                       sizeof *m->memories, &n);

    for (uint32_t i = 0; r == 0 && i < n; i++) {
        r = sv_decode_memory_type(d, &m->memories[m->nmemories]);
        if (r == 0)
            m->nmemories++;
    }
    if (r == 0 && m->nmemories > 1)
        r = sv_decode_feature(d, SV_FEATURE_MULTI_MEMORY);
    return r;
}

int sv_decode_tag_section(struct sv_decoder *d)
{
    struct sv_module *m = d->m;
    uint32_t n;
    int r = begin_list(d, "tags", m->ntags, SV_LIMIT_TAGS, 2, &m->tags, sizeof *m->tags, &n);

    for (uint32_t i = 0; r == 0 && i < n; i++) {
        r = sv_decode_tag_type(d, &m->tags[m->ntags].type);
        if (r == 0)
            m->ntags++;
    }
    return r;
}

/* A global's initial value sees the globals before it: nglobals grows one by one. */
int sv_decode_global_section(struct sv_decoder *d)
{
    struct sv_module *m = d->m;
    uint32_t n;
    int r = begin_list(d, "globals", m->nglobals, SV_LIMIT_GLOBALS, 2, &m->globals,
                       sizeof *m->globals, &n);

    for (uint32_t i = 0; r == 0 && i < n; i++) {
        struct sv_global_decl *g = &m->globals[m->nglobals];

        r = sv_decode_global_type(d, &g->type);
        if (r == 0)
            r = sv_decode_const(d, g->type.type, &g->init);
        if (r == 0)
            m->nglobals++;
    }
    return r;
}

/* ---- exports and start ---- */

static int check_export(struct sv_decoder *d, const struct sv_export *e)
{
    struct sv_module *m = d->m;
    const uint32_t counts[SV_EXTERN_COUNT] = {m->nfuncs, m->ntables, m->nmemories, m->nglobals,
                                              m->ntags};
    static const char *const names[SV_EXTERN_COUNT] = {"function", "table", "memory", "global",
                                                       "tag"};

    if (e->index >= counts[e->kind])
        return sv_decode_fail(d, SV_EINVALID, "unknown %s %u", names[e->kind], e->index);
    if (e->kind == SV_EXTERN_FUNC)
        m->funcs[e->index].declared = true;
    if (e->kind == SV_EXTERN_GLOBAL && m->globals[e->index].type.mut)
        return sv_decode_feature(d, SV_FEATURE_MUTABLE_GLOBALS);
    return 0;
}

static int decode_export(struct sv_decoder *d, struct sv_export *e)
{
    struct sv_module *m = d->m;
    uint8_t kind;
    int r = sv_decode_name(d, &e->name);

    if (r == 0)
        r = sv_decode_byte(d, &kind);
    if (r != 0)
        return r;
    if (kind >= SV_EXTERN_COUNT) {
        d->r.p--;
        return sv_decode_fail(d, SV_EMALFORMED, "malformed export kind 0x%02x", kind);
    }
    e->kind = (enum sv_extern_kind)kind;
    r = sv_decode_u32(d, &e->index);
    if (r == 0)
        r = check_export(d, e);
    if (r != 0)
        return r;
    if (sv_map_find(&m->export_map, e->name))
        return sv_decode_fail(d, SV_EINVALID, "duplicate export name '%.*s'",
                              (int)(e->name.len < 200 ? e->name.len : 200), e->name.ptr);
    return sv_map_put(&m->export_map, e->name, e) ? 0 : no_memory(d, "exports");
}

int sv_decode_export_section(struct sv_decoder *d)
{
    struct sv_module *m = d->m;
    uint32_t n;
    int r = sv_decode_count(d, "exports", 0, SV_LIMIT_EXPORTS, 3, &n);

    if (r != 0 || n == 0)
        return r;
    m->exports = sv_arena_array_zero(&m->arena, n, sizeof(struct sv_export));
    if (!m->exports)
        return no_memory(d, "exports");
    for (uint32_t i = 0; r == 0 && i < n; i++) {
        r = decode_export(d, &m->exports[i]);
        if (r == 0)
            m->nexports++;
    }
    return r;
}

int sv_decode_start_section(struct sv_decoder *d)
{
    struct sv_module *m = d->m;
    const struct sv_type *type;
    int r = sv_decode_u32(d, &m->start);

    if (r != 0)
        return r;
    if (m->start >= m->nfuncs)
        return sv_decode_fail(d, SV_EINVALID, "unknown function %u", m->start);
    type = m->funcs[m->start].type;
    if (type->func.nparams || type->func.nresults)
        return sv_decode_fail(d, SV_EINVALID, "start function must have type () -> ()");
    m->has_start = true;
    return 0;
}
