/* What a module contains, needs and offers, and what this library can give: as text for people, as
 * JSON for programs. Runs nothing but the descriptors of typed functions. */
#include "api/typed.h"
#include "host/bindgen/bindgen.h"
#include "host/part.h"
#include "wasm/reader.h"

#define TEXT_MAX ((size_t)256 << 20) /* of one description */
#define PRODUCERS_MAX 64             /* entries read of a producers section */

static const char *const section_names[] = {"custom", "type",   "import",    "function", "table",
                                            "memory", "global", "export",    "start",    "element",
                                            "code",   "data",   "datacount", "tag"};
static const char *const kind_names[SV_EXTERN_COUNT] = {"func", "table", "memory", "global", "tag"};

struct view {
    const struct sv_module *m;
    struct sv_buf *b;
    bool json;
    char **signatures; /* of exports; NULL = none is told */
};

/* ---- Small parts ---- */

/* A name from the module: quoted in JSON; in text without what a terminal would obey. */
static void put_name(const struct view *v, struct sv_str s)
{
    if (v->json) {
        sv_buf_json_string(v->b, s.ptr, s.len);
        return;
    }
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.ptr[i];
        bool control = c < 0x20 || c == 0x7f ||
                       (c == 0xc2 && i + 1 < s.len && (unsigned char)s.ptr[i + 1] < 0xa0);
        sv_buf_putc(v->b, control ? '?' : (char)c);
    }
}

static void put_text(const struct view *v, const char *s)
{
    put_name(v, sv_str_of(s));
}

/* "key": in JSON, a comma before it unless it is the first. */
static void key(const struct view *v, const char *name, bool first)
{
    sv_buf_printf(v->b, "%s\"%s\":", first ? "" : ",", name);
}

static void put_limits(const struct view *v, const struct sv_limits *l, const char *unit)
{
    if (v->json) {
        sv_buf_printf(v->b, "\"min\":%llu,\"max\":", (unsigned long long)l->min);
        if (l->has_max)
            sv_buf_printf(v->b, "%llu", (unsigned long long)l->max);
        else
            sv_buf_puts(v->b, "null");
        sv_buf_printf(v->b, ",\"shared\":%s,\"index\":\"%s\"", l->shared ? "true" : "false",
                      l->is64 ? "i64" : "i32");
        return;
    }
    sv_buf_printf(v->b, "%llu", (unsigned long long)l->min);
    if (l->has_max)
        sv_buf_printf(v->b, " to %llu", (unsigned long long)l->max);
    sv_buf_printf(v->b, " %s%s%s%s", unit, l->has_max ? "" : " or more",
                  l->shared ? ", shared" : "", l->is64 ? ", 64-bit" : "");
}

/* The type of an import or export as text. */
static void put_type(const struct view *v, enum sv_extern_kind kind, uint32_t index)
{
    const struct sv_module *m = v->m;
    struct sv_buf text;
    struct view plain = {m, &text, false, NULL};

    sv_buf_init(&text, TEXT_MAX);
    switch (kind) {
    case SV_EXTERN_FUNC:
        sv_functype_print(&text, m, m->funcs[index].type);
        break;
    case SV_EXTERN_TABLE:
        sv_valtype_print(&text, m, m->tables[index].type.type);
        sv_buf_putc(&text, ' ');
        put_limits(&plain, &m->tables[index].type.limits, "elements");
        break;
    case SV_EXTERN_MEMORY:
        put_limits(&plain, &m->memories[index].limits, "pages");
        break;
    case SV_EXTERN_GLOBAL:
        sv_buf_puts(&text, m->globals[index].type.mut ? "mut " : "");
        sv_valtype_print(&text, m, m->globals[index].type.type);
        break;
    default:
        sv_functype_print(&text, m, m->tags[index].type);
    }
    put_text(v, sv_buf_cstr(&text));
    sv_buf_release(&text);
}

/* ---- Sections ---- */

struct section {
    unsigned id;
    uint32_t offset, len;
    struct sv_str name; /* custom */
    uint32_t count;     /* entries */
};

/* The next section; the module is valid, so its frame is. */
static bool next_section(struct sv_reader *r, struct section *ret)
{
    struct sv_reader in;
    uint8_t id;
    uint32_t len;

    if (r->p == r->end || !sv_read_u8(r, &id) || !sv_read_u32(r, &len) || len > sv_reader_left(r))
        return false;
    *ret = (struct section){
        .id = id, .offset = (uint32_t)sv_reader_offset(r), .len = len, .name = {"", 0}};
    in = *r;
    in.end = r->p + len;
    r->p += len;
    /* Custom sections begin with the length of their name, the start section is an index, the
     * others count their entries. */
    if (sv_read_u32(&in, &ret->count) && id == 0 && ret->count <= sv_reader_left(&in))
        ret->name = (struct sv_str){(const char *)in.p, ret->count};
    return true;
}

static void put_sections(const struct view *v)
{
    struct sv_reader r = {v->m->bytes + 8, v->m->bytes + v->m->len, v->m->bytes, NULL};
    bool first = true;
    struct section s;

    if (v->json)
        key(v, "sections", false);
    sv_buf_puts(v->b, v->json ? "[" : "sections:\n");
    while (next_section(&r, &s)) {
        const char *name = s.id < SV_COUNT(section_names) ? section_names[s.id] : "unknown";
        bool counted = s.id != 0 && s.id != 8;

        if (v->json) {
            sv_buf_printf(v->b, "%s{\"name\":\"%s\",\"offset\":%u,\"bytes\":%u", first ? "" : ",",
                          name, s.offset, s.len);
            if (counted)
                sv_buf_printf(v->b, ",\"entries\":%u", s.count);
            if (s.id == 0) {
                key(v, "custom", false);
                put_name(v, s.name);
            }
            sv_buf_putc(v->b, '}');
        } else {
            sv_buf_printf(v->b, "  %-10s %10u bytes at 0x%-8x ", name, s.len, s.offset);
            if (counted)
                sv_buf_printf(v->b, "%u", s.count);
            else if (s.id == 0)
                put_name(v, s.name);
            sv_buf_putc(v->b, '\n');
        }
        first = false;
    }
    if (v->json)
        sv_buf_putc(v->b, ']');
}

/* ---- Producers, features, limits ---- */

static bool read_name(struct sv_reader *r, struct sv_str *ret)
{
    uint32_t len;

    if (!sv_read_u32(r, &len) || len > sv_reader_left(r))
        return false;
    *ret = (struct sv_str){(const char *)r->p, len};
    r->p += len;
    return true;
}

static void put_producer(const struct view *v, struct sv_str field, struct sv_str name,
                         struct sv_str version, bool first)
{
    if (!v->json) {
        sv_buf_puts(v->b, first ? "made by:    " : ", ");
        put_name(v, name);
        if (version.len > 0)
            sv_buf_putc(v->b, ' ');
        put_name(v, version);
        return;
    }
    sv_buf_puts(v->b, first ? "{\"field\":" : ",{\"field\":");
    put_name(v, field);
    key(v, "name", false);
    put_name(v, name);
    key(v, "version", false);
    put_name(v, version);
    sv_buf_putc(v->b, '}');
}

static void put_producers(const struct view *v)
{
    const struct sv_custom *c = sv_module_custom(v->m, sv_str_of("producers"));
    struct sv_reader r = {0};
    uint32_t nfields = 0, nvalues;
    struct sv_str field, name, version;
    unsigned n = 0;

    if (v->json) {
        key(v, "producers", false);
        sv_buf_putc(v->b, '[');
    }
    if (c)
        r = (struct sv_reader){v->m->bytes + c->offset, v->m->bytes + c->offset + c->len,
                               v->m->bytes, NULL};
    if (c && sv_read_u32(&r, &nfields)) {
        /* Damage ends the list; it is no error. */
        for (;
             nfields > 0 && n < PRODUCERS_MAX && read_name(&r, &field) && sv_read_u32(&r, &nvalues);
             nfields--) {
            for (; nvalues > 0 && n < PRODUCERS_MAX && read_name(&r, &name) &&
                   read_name(&r, &version);
                 nvalues--)
                put_producer(v, field, name, version, n++ == 0);
            if (nvalues > 0)
                break;
        }
    }
    if (v->json)
        sv_buf_putc(v->b, ']');
    else if (n > 0)
        sv_buf_putc(v->b, '\n');
}

static void put_features(const struct view *v)
{
    bool first = true;

    if (v->json)
        key(v, "features", false);
    sv_buf_puts(v->b, v->json ? "[" : "features:   ");
    for (unsigned f = 0; f < SV_FEATURE_COUNT; f++) {
        if (!(v->m->features >> f & 1))
            continue;
        sv_buf_puts(v->b, first ? "" : v->json ? "," : ", ");
        put_text(v, sv_feature_name((enum sv_feature)f));
        first = false;
    }
    sv_buf_puts(v->b, v->json ? "]" : first ? "none beyond the first version\n" : "\n");
}

static void put_spaces(const struct view *v)
{
    const struct sv_module *m = v->m;

    for (uint32_t i = 0; i < m->nmemories && !v->json; i++) {
        sv_buf_printf(v->b, "memory %u:   ", i);
        put_limits(v, &m->memories[i].limits, "pages");
        sv_buf_putc(v->b, '\n');
    }
    for (uint32_t i = 0; i < m->ntables && !v->json; i++) {
        sv_buf_printf(v->b, "table %u:    ", i);
        put_type(v, SV_EXTERN_TABLE, i);
        sv_buf_putc(v->b, '\n');
    }
    if (!v->json)
        return;
    key(v, "memories", false);
    sv_buf_putc(v->b, '[');
    for (uint32_t i = 0; i < m->nmemories; i++) {
        sv_buf_puts(v->b, i ? ",{" : "{");
        put_limits(v, &m->memories[i].limits, "pages");
        sv_buf_printf(v->b, ",\"page_bytes\":%u}", 1u << m->memories[i].page_shift);
    }
    sv_buf_putc(v->b, ']');
    key(v, "tables", false);
    sv_buf_putc(v->b, '[');
    for (uint32_t i = 0; i < m->ntables; i++) {
        sv_buf_puts(v->b, i ? ",{" : "{");
        put_limits(v, &m->tables[i].type.limits, "elements");
        key(v, "type", false);
        put_type(v, SV_EXTERN_TABLE, i);
        sv_buf_putc(v->b, '}');
    }
    sv_buf_putc(v->b, ']');
}

/* ---- Imports and exports ---- */

/* Who provides an import, and how it is switched on. */
static void put_provider(const struct view *v, const struct sv_import *x)
{
    const struct sv_host_module *host = NULL;
    struct sv_buf text;
    bool found;

    sv_buf_init(&text, SV_ERR_TEXT_MAX);
    if (x->kind == SV_EXTERN_FUNC && sv_bindgen_is_module(x->module))
        sv_buf_puts(&text, "typed calls");
    else if (x->kind == SV_EXTERN_FUNC && sv_host_find_all(x->module, x->name, &host))
        sv_buf_puts(&text, host->id);
    found = text.len > 0;
    if (!found)
        sv_host_explain(NULL, x->module, x->name, &text);
    if (v->json) {
        key(v, "provider", false);
        if (found)
            put_text(v, sv_buf_cstr(&text));
        else
            sv_buf_puts(v->b, "null");
        if (!found) {
            key(v, "missing", false);
            put_text(v, sv_buf_cstr(&text));
        }
    } else {
        sv_buf_puts(v->b, found ? "    from: " : "    missing: ");
        put_text(v, sv_buf_cstr(&text));
    }
    sv_buf_release(&text);
}

static void put_imports(const struct view *v)
{
    const struct sv_module *m = v->m;

    if (v->json)
        key(v, "imports", false);
    sv_buf_puts(v->b, v->json ? "[" : m->nimports ? "imports:\n" : "");
    for (uint32_t i = 0; i < m->nimports; i++) {
        const struct sv_import *x = &m->imports[i];

        if (v->json) {
            sv_buf_printf(v->b, "%s{\"kind\":\"%s\",\"module\":", i ? "," : "",
                          kind_names[x->kind]);
            put_name(v, x->module);
            key(v, "name", false);
            put_name(v, x->name);
            key(v, "type", false);
        } else {
            sv_buf_printf(v->b, "  %-6s ", kind_names[x->kind]);
            put_name(v, x->module);
            sv_buf_putc(v->b, '.');
            put_name(v, x->name);
            sv_buf_puts(v->b, "  ");
        }
        put_type(v, x->kind, x->index);
        put_provider(v, x);
        sv_buf_puts(v->b, v->json ? "}" : "\n");
    }
    if (v->json)
        sv_buf_putc(v->b, ']');
}

/* Exports that only the tools of a binding need: left out of the text. */
static bool is_plumbing(struct sv_str name)
{
    return name.len > 2 && memcmp(name.ptr, "__", 2) == 0;
}

static void put_exports(const struct view *v)
{
    const struct sv_module *m = v->m;
    uint32_t hidden = 0;

    if (v->json)
        key(v, "exports", false);
    sv_buf_puts(v->b, v->json ? "[" : m->nexports ? "exports:\n" : "");
    for (uint32_t i = 0; i < m->nexports; i++) {
        const struct sv_export *x = &m->exports[i];
        const char *typed = v->signatures ? v->signatures[i] : NULL;

        if (!v->json && is_plumbing(x->name)) {
            hidden++;
            continue;
        }
        if (v->json) {
            sv_buf_printf(v->b, "%s{\"kind\":\"%s\",\"name\":", i ? "," : "", kind_names[x->kind]);
            put_name(v, x->name);
            key(v, "type", false);
        } else {
            sv_buf_printf(v->b, "  %-6s ", kind_names[x->kind]);
            put_name(v, x->name);
            sv_buf_puts(v->b, "  ");
        }
        put_type(v, x->kind, x->index);
        if (v->json && typed)
            key(v, "signature", false);
        else if (typed)
            sv_buf_puts(v->b, "    typed: ");
        if (typed)
            put_text(v, typed);
        sv_buf_puts(v->b, v->json ? "}" : "\n");
    }
    if (v->json)
        sv_buf_putc(v->b, ']');
    else if (hidden > 0)
        sv_buf_printf(v->b, "  and %u whose names begin with '__'\n", hidden);
}

/* ---- The whole ---- */

static void put_head(const struct view *v)
{
    const struct sv_module *m = v->m;
    struct sv_str name = sv_module_name(m);
    bool has_names = sv_module_custom(m, sv_str_of("name")) != NULL;

    if (v->json) {
        sv_buf_printf(v->b, "{\"bytes\":%zu,\"version\":1,\"name\":", m->len);
        if (name.len > 0)
            put_name(v, name);
        else
            sv_buf_puts(v->b, "null");
        sv_buf_printf(v->b, ",\"function_names\":%s,\"functions\":%u,\"start\":",
                      has_names ? "true" : "false", m->nfuncs);
        if (m->has_start)
            sv_buf_printf(v->b, "%u", m->start);
        else
            sv_buf_puts(v->b, "null");
        return;
    }
    sv_buf_printf(v->b, "module:     %zu bytes, %u functions", m->len, m->nfuncs);
    if (name.len > 0) {
        sv_buf_puts(v->b, ", named '");
        put_name(v, name);
        sv_buf_putc(v->b, '\'');
    }
    sv_buf_puts(v->b, has_names ? ", with function names\n" : ", without function names\n");
    if (m->has_start)
        sv_buf_printf(v->b, "start:      function %u\n", m->start);
}

static void keep_signature(void *arg, uint32_t index, const char *text)
{
    char **signatures = arg;

    signatures[index] = sv_strdup(text);
}

static own ssvm_error *take(struct sv_buf *b, own char **ret)
{
    char *text = b->failed ? NULL : sv_buf_take(b, NULL);

    sv_buf_release(b);
    if (!text)
        return sv_api_nomem();
    *ret = text;
    return NULL;
}

own ssvm_error *ssvm_module_inspect(const ssvm_module *module, bool json, own char **ret)
{
    struct sv_buf b;
    struct view v = {NULL, &b, json, NULL};
    ssvm_error *told;

    if (!module || !ret)
        return sv_api_error(SSVM_EUSAGE,
                            "ssvm_module_inspect needs a module and a place for the text");
    v.m = module->module;
    v.signatures = sv_alloc_array_zero((size_t)v.m->nexports + 1, sizeof *v.signatures);
    if (!v.signatures)
        return sv_api_nomem();
    /* A module that cannot tell its types is shown without them. */
    told = sv_typed_signatures(module, keep_signature, v.signatures);
    sv_buf_init(&b, TEXT_MAX);
    put_head(&v);
    put_producers(&v);
    put_features(&v);
    put_spaces(&v);
    put_sections(&v);
    put_imports(&v);
    put_exports(&v);
    if (told && !json)
        sv_buf_printf(&b, "types:      not told: %s\n", ssvm_error_message(told));
    if (json)
        sv_buf_puts(&b, "}\n");
    ssvm_error_delete(told);
    for (uint32_t i = 0; i < v.m->nexports; i++)
        sv_free(v.signatures[i]);
    sv_free(v.signatures);
    return take(&b, ret);
}

/* ---- The host ---- */

/* "i:I" as "(i32) -> (i64)" */
static void put_sig(const struct view *v, const char *sig)
{
    struct sv_buf text;
    bool first = true;

    sv_buf_init(&text, SV_ERR_TEXT_MAX);
    sv_buf_putc(&text, '(');
    for (; *sig; sig++) {
        if (*sig == ':') {
            sv_buf_puts(&text, ") -> (");
            first = true;
            continue;
        }
        sv_buf_puts(&text, first ? "" : ", ");
        sv_buf_puts(&text, *sig == 'i' ? "i32" : *sig == 'I' ? "i64" : *sig == 'f' ? "f32" : "f64");
        first = false;
    }
    sv_buf_putc(&text, ')');
    put_text(v, sv_buf_cstr(&text));
    sv_buf_release(&text);
}

static void put_host_func(const struct view *v, const struct sv_host_func *f, bool first)
{
    if (!v->json) {
        sv_buf_printf(v->b, "  %-26s ", f->name);
        put_sig(v, f->sig);
        sv_buf_printf(v->b, "  gas %u\n      %s\n", f->cost, f->doc);
        return;
    }
    sv_buf_puts(v->b, first ? "{\"name\":" : ",{\"name\":");
    put_text(v, f->name);
    key(v, "type", false);
    put_sig(v, f->sig);
    sv_buf_printf(v->b, ",\"gas\":%u,\"doc\":", f->cost);
    put_text(v, f->doc);
    sv_buf_putc(v->b, '}');
}

static void put_host_module(const struct view *v, const struct sv_host_module *h, bool first)
{
    if (v->json) {
        sv_buf_puts(v->b, first ? "{\"id\":" : ",{\"id\":");
        put_text(v, h->id);
        key(v, "grant", false);
        put_text(v, h->grant);
        key(v, "modules", false);
        sv_buf_putc(v->b, '[');
    } else {
        sv_buf_printf(v->b, "%s%s: %s\n  import modules: ", first ? "" : "\n", h->id, h->grant);
    }
    for (unsigned i = 0; i < SV_HOST_NAMES_MAX && h->names[i].module; i++) {
        sv_buf_puts(v->b, i == 0 ? "" : v->json ? "," : ", ");
        put_text(v, h->names[i].module);
        if (!v->json && h->names[i].prefix[0])
            sv_buf_printf(v->b, " (%s...)", h->names[i].prefix);
    }
    if (v->json) {
        sv_buf_putc(v->b, ']');
        key(v, "prefixes", false);
        for (unsigned i = 0; i < SV_HOST_NAMES_MAX && h->names[i].module; i++) {
            sv_buf_putc(v->b, i ? ',' : '[');
            put_text(v, h->names[i].prefix);
        }
        sv_buf_putc(v->b, ']');
        key(v, "functions", false);
    }
    sv_buf_puts(v->b, v->json ? "[" : "\n");
    for (unsigned i = 0; i < h->nfuncs; i++)
        put_host_func(v, &h->funcs[i], i == 0);
    if (v->json)
        sv_buf_puts(v->b, "]}");
}

struct listing {
    const struct view *v;
    unsigned n;
};

static void list_module(void *arg, const struct sv_host_module *h)
{
    struct listing *l = arg;

    put_host_module(l->v, h, l->n++ == 0);
}

own ssvm_error *ssvm_host_inspect(bool json, own char **ret)
{
    struct sv_buf b;
    struct view v = {NULL, &b, json, NULL};
    struct listing l = {&v, 0};

    if (!ret)
        return sv_api_error(SSVM_EUSAGE, "ssvm_host_inspect needs a place for the text");
    sv_buf_init(&b, TEXT_MAX);
    if (json)
        sv_buf_puts(&b, "{\"modules\":[");
    sv_host_each(list_module, &l);
    if (json)
        sv_buf_puts(&b, "]}\n");
    return take(&b, ret);
}
