/* The name section and branch hints, parsed when first asked for. Damage in them is never an error:
 * what was read before it counts. */
#include <stdlib.h>

#include "wasm/reader.h"

struct name_entry {
    uint32_t func;
    struct sv_str name;
};
struct hint_entry {
    uint32_t func, offset;
    bool likely;
};

/* Freed with the module by one sv_free: the arrays lie behind the struct. */
struct names {
    struct sv_str module;
    struct name_entry *funcs;
    struct hint_entry *hints;
    struct sv_str *imports; /* "module.name", by function index */
    size_t nfuncs, nhints;
};

struct collected {
    struct sv_str module;
    SV_VEC(struct name_entry) funcs;
    SV_VEC(struct hint_entry) hints;
};

static struct sv_reader custom_reader(const struct sv_module *m, const char *name)
{
    const struct sv_custom *c = sv_module_custom(m, sv_str_of(name));
    struct sv_reader r = {0};

    if (c)
        r = (struct sv_reader){m->bytes + c->offset, m->bytes + c->offset + c->len, m->bytes, NULL};
    return r;
}

static bool read_name(struct sv_reader *r, struct sv_str *ret)
{
    uint32_t len;

    if (!sv_read_u32(r, &len) || len > sv_reader_left(r) || !sv_utf8_valid(r->p, len))
        return false;
    *ret = (struct sv_str){(const char *)r->p, len};
    r->p += len;
    return true;
}

static void read_function_names(struct sv_reader r, const struct sv_module *m, struct collected *c)
{
    struct name_entry e;
    uint32_t n;

    if (!sv_read_u32(&r, &n))
        return;
    for (; n > 0; n--)
        if (!sv_read_u32(&r, &e.func) || e.func >= m->nfuncs || !read_name(&r, &e.name) ||
            !SV_VEC_PUSH(&c->funcs, SIZE_MAX / sizeof e, e))
            return;
}

/* Subsections: id, length, contents. */
static void read_names(const struct sv_module *m, struct collected *c)
{
    struct sv_reader r = custom_reader(m, "name");

    while (sv_reader_left(&r) > 0) {
        struct sv_reader sub = r;
        uint8_t id;
        uint32_t len;

        if (!sv_read_u8(&r, &id) || !sv_read_u32(&r, &len) || len > sv_reader_left(&r))
            return;
        sub.p = r.p;
        sub.end = r.p + len;
        if (id == 0)
            (void)read_name(&sub, &c->module);
        else if (id == 1)
            read_function_names(sub, m, c);
        r.p += len;
    }
}

static void read_hints(const struct sv_module *m, struct collected *c)
{
    struct sv_reader r = custom_reader(m, "metadata.code.branch_hint");
    uint32_t nfuncs, n, size;
    struct hint_entry e;
    uint8_t value;

    if (sv_reader_left(&r) == 0 || !sv_read_u32(&r, &nfuncs))
        return;
    for (; nfuncs > 0; nfuncs--) {
        if (!sv_read_u32(&r, &e.func) || e.func >= m->nfuncs || !sv_read_u32(&r, &n))
            return;
        for (; n > 0; n--) {
            if (!sv_read_u32(&r, &e.offset) || !sv_read_u32(&r, &size) || size != 1 ||
                !sv_read_u8(&r, &value) || value > 1)
                return;
            e.likely = value;
            if (!SV_VEC_PUSH(&c->hints, SIZE_MAX / sizeof e, e))
                return;
        }
    }
}

static int compare_names(const void *a, const void *b)
{
    const struct name_entry *x = a, *y = b;

    return (x->func > y->func) - (x->func < y->func);
}

static int compare_hints(const void *a, const void *b)
{
    const struct hint_entry *x = a, *y = b;

    if (x->func != y->func)
        return x->func > y->func ? 1 : -1;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

/* Bytes of all "module.name" of imported functions. */
static size_t import_text_len(const struct sv_module *m)
{
    size_t len = 0;

    for (uint32_t i = 0; i < m->nimports; i++)
        if (m->imports[i].kind == SV_EXTERN_FUNC)
            len += m->imports[i].module.len + 1 + m->imports[i].name.len;
    return len;
}

static void write_imports(const struct sv_module *m, struct sv_str *names, char *text)
{
    for (uint32_t i = 0; i < m->nimports; i++) {
        const struct sv_import *import = &m->imports[i];

        if (import->kind != SV_EXTERN_FUNC)
            continue;
        names[import->index] = (struct sv_str){text, import->module.len + 1 + import->name.len};
        memcpy(text, import->module.ptr, import->module.len);
        text += import->module.len;
        *text++ = '.';
        memcpy(text, import->name.ptr, import->name.len);
        text += import->name.len;
    }
}

/* NULL when there is no memory: the next call tries again. */
static struct names *parse(const struct sv_module *m)
{
    struct collected c = {0};
    struct names *names;
    size_t nimports = m->nimports_of[SV_EXTERN_FUNC];

    read_names(m, &c);
    read_hints(m, &c);
    names = sv_alloc_zero(sizeof *names + c.funcs.len * sizeof *c.funcs.data +
                          c.hints.len * sizeof *c.hints.data + nimports * sizeof(struct sv_str) +
                          import_text_len(m));
    if (names) {
        names->module = c.module;
        names->nfuncs = c.funcs.len;
        names->nhints = c.hints.len;
        names->funcs = (struct name_entry *)(names + 1);
        names->imports = (struct sv_str *)(names->funcs + c.funcs.len);
        names->hints = (struct hint_entry *)(names->imports + nimports);
        write_imports(m, names->imports, (char *)(names->hints + c.hints.len));
        if (c.funcs.len)
            memcpy(names->funcs, c.funcs.data, c.funcs.len * sizeof *c.funcs.data);
        if (c.hints.len)
            memcpy(names->hints, c.hints.data, c.hints.len * sizeof *c.hints.data);
        /* sorted in good files; the search needs it */
        qsort(names->funcs, names->nfuncs, sizeof *names->funcs, compare_names);
        qsort(names->hints, names->nhints, sizeof *names->hints, compare_hints);
    }
    sv_free(c.funcs.data);
    sv_free(c.hints.data);
    return names;
}

static const struct names *get_names(const struct sv_module *m)
{
    /* a cache: the module stays what it is */
    _Atomic(void *) *cache = &((struct sv_module *)(uintptr_t)m)->names;
    void *names = atomic_load_explicit(cache, memory_order_acquire), *expected = NULL;

    if (names)
        return names;
    names = parse(m);
    if (names && !atomic_compare_exchange_strong(cache, &expected, names)) {
        sv_free(names); /* another thread was first */
        names = expected;
    }
    return names;
}

struct sv_str sv_module_name(const struct sv_module *m)
{
    const struct names *names = get_names(m);

    return names ? names->module : (struct sv_str){"", 0};
}

struct sv_str sv_module_func_name(const struct sv_module *m, uint32_t index)
{
    const struct names *names = get_names(m);
    struct name_entry key = {.func = index}, *found = NULL;

    if (names && names->nfuncs)
        found = bsearch(&key, names->funcs, names->nfuncs, sizeof key, compare_names);
    if (found)
        return found->name;
    for (uint32_t i = 0; i < m->nexports; i++)
        if (m->exports[i].kind == SV_EXTERN_FUNC && m->exports[i].index == index)
            return m->exports[i].name;
    if (names && index < m->nimports_of[SV_EXTERN_FUNC])
        return names->imports[index];
    return (struct sv_str){"", 0};
}

int sv_module_branch_hint(const struct sv_module *m, uint32_t func, uint32_t offset)
{
    const struct names *names = get_names(m);
    struct hint_entry key = {.func = func, .offset = offset}, *found = NULL;

    if (names && names->nhints)
        found = bsearch(&key, names->hints, names->nhints, sizeof key, compare_hints);
    return found ? found->likely : -1;
}
