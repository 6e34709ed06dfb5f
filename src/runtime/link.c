/* Linking by name. Type checks are instance.c's; who could provide a missing import is the explain
 * function's. */
#include "runtime/link.h"

#include <string.h>

/* Missing imports named in one error. */
#define MISSING_NAMED_MAX 10
/* Keys up to this size are made on the C stack. */
#define KEY_STACK 192

struct definition {
    struct sv_extern value;
    struct definition *next; /* another type under the same name: functions */
};
struct lazy {
    sv_link_lazy_fn *fn;
    void *arg;
    struct lazy *next;
};
struct sv_linker {
    struct sv_store *store;
    struct sv_arena arena; /* keys, definitions */
    struct sv_map map;
    struct lazy *lazies, **lazies_end;
    sv_link_explain_fn *explain;
    void *explain_arg;
};

own struct sv_linker *sv_linker_new(struct sv_store *s)
{
    struct sv_linker *l = sv_alloc_zero(sizeof *l);

    if (!l)
        return NULL;
    l->store = s;
    l->lazies_end = &l->lazies;
    sv_arena_init(&l->arena, 0);
    sv_map_init(&l->map);
    return l;
}

void sv_linker_delete(own struct sv_linker *l)
{
    if (!l)
        return;
    sv_map_release(&l->map);
    sv_arena_release(&l->arena);
    sv_free(l);
}

/* Length of the module name, both names: names may hold any character, so no separator would do. */
static size_t key_size(struct sv_str module, struct sv_str name)
{
    return sizeof(uint64_t) + module.len + name.len;
}

static struct sv_str write_key(char *p, struct sv_str module, struct sv_str name)
{
    uint64_t len = module.len;

    memcpy(p, &len, sizeof len);
    if (module.len)
        memcpy(p + sizeof len, module.ptr, module.len);
    if (name.len)
        memcpy(p + sizeof len + module.len, name.ptr, name.len);
    return (struct sv_str){p, key_size(module, name)};
}

static struct definition *find(struct sv_linker *l, struct sv_str module, struct sv_str name)
{
    char small[KEY_STACK], *p = small;
    size_t size = key_size(module, name);
    struct definition *d;

    if (size > sizeof small) {
        p = sv_alloc(size);
        if (!p)
            return NULL;
    }
    d = sv_map_find(&l->map, write_key(p, module, name));
    if (p != small)
        sv_free(p);
    return d;
}

int sv_linker_define(struct sv_err *err, struct sv_linker *l, struct sv_str module,
                     struct sv_str name, struct sv_extern value)
{
    struct definition *d = find(l, module, name), *new_one;
    char *key;

    /* The same name and type (or not functions at all): the later one replaces. */
    for (struct definition *i = d; i; i = i->next) {
        bool variant = i->value.kind == SV_EXTERN_FUNC && value.kind == SV_EXTERN_FUNC;

        if (!variant || i->value.func->type == value.func->type) {
            i->value = value;
            return 0;
        }
    }
    new_one = sv_arena_zero(&l->arena, sizeof *new_one);
    if (!new_one)
        return sv_fail_nomem(err, "a definition");
    new_one->value = value;
    if (d) {
        new_one->next = d->next;
        d->next = new_one;
        return 0;
    }
    key = sv_arena_alloc(&l->arena, key_size(module, name));
    if (!key || !sv_map_put(&l->map, write_key(key, module, name), new_one))
        return sv_fail_nomem(err, "a definition");
    return 0;
}

int sv_linker_define_instance(struct sv_err *err, struct sv_linker *l, struct sv_str module,
                              struct sv_instance *inst)
{
    for (uint32_t i = 0; i < inst->module->nexports; i++) {
        struct sv_extern value;
        int r;

        if (!sv_instance_export_at(inst, i, &value))
            return sv_fail_nomem(err, "an export");
        r = sv_linker_define(err, l, module, inst->module->exports[i].name, value);
        if (r < 0)
            return r;
    }
    return 0;
}

int sv_linker_define_lazy(struct sv_err *err, struct sv_linker *l, sv_link_lazy_fn *fn, void *arg)
{
    struct lazy *z = sv_arena_zero(&l->arena, sizeof *z);

    if (!z)
        return sv_fail_nomem(err, "a definition");
    z->fn = fn;
    z->arg = arg;
    *l->lazies_end = z;
    l->lazies_end = &z->next;
    return 0;
}

void sv_linker_set_explain(struct sv_linker *l, sv_link_explain_fn *fn, void *arg)
{
    l->explain = fn;
    l->explain_arg = arg;
}

static bool resolve(struct sv_linker *l, const struct sv_module *m, const struct sv_import *i,
                    struct sv_extern *ret)
{
    struct definition *first = find(l, i->module, i->name);

    for (struct definition *d = first; d; d = d->next) {
        if (sv_extern_check(NULL, m, i, &d->value) == 0) {
            *ret = d->value;
            return true;
        }
    }
    if (first) {
        *ret = first->value; /* of another type: sv_instance_new says so */
        return true;
    }
    for (struct lazy *z = l->lazies; z; z = z->next)
        if (z->fn(z->arg, l->store, m, i, ret))
            return true;
    return false;
}

/* A line for the import: 'module.name' (type): who would provide it. */
static void explain(struct sv_linker *l, const struct sv_module *m, const struct sv_import *i,
                    struct sv_buf *b)
{
    size_t len;

    sv_import_name_print(b, i);
    sv_buf_puts(b, " (");
    sv_import_print(b, m, i);
    sv_buf_puts(b, ")");
    if (!l->explain)
        return;
    len = b->len;
    sv_buf_puts(b, ": ");
    l->explain(l->explain_arg, i->module, i->name, b);
    if (b->len == len + 2)
        b->len = len; /* nothing to say */
}

static void fail_missing(struct sv_err *err, struct sv_linker *l, const struct sv_module *m,
                         const struct sv_extern *have)
{
    uint32_t missing = 0, named = 0;
    struct sv_buf b;

    for (uint32_t i = 0; i < m->nimports; i++)
        missing += !have[i].ptr;
    sv_buf_init(&b, 4 * SV_ERR_TEXT_MAX);
    sv_buf_puts(&b, missing == 1 ? "unknown import " : "unknown imports:");
    for (uint32_t i = 0; i < m->nimports && named < MISSING_NAMED_MAX; i++) {
        if (have[i].ptr)
            continue;
        if (missing > 1)
            sv_buf_puts(&b, "\n  ");
        explain(l, m, &m->imports[i], &b);
        named++;
    }
    if (missing > named)
        sv_buf_printf(&b, "\n  and %u more", missing - named);
    sv_fail(err, SV_ELINK, SV_NO_OFFSET, "%s", sv_buf_cstr(&b));
    sv_buf_release(&b);
}

int sv_linker_resolve(struct sv_err *err, struct sv_linker *l, const struct sv_module *m,
                      struct sv_extern *ret)
{
    bool all = true;

    for (uint32_t i = 0; i < m->nimports; i++) {
        ret[i] = (struct sv_extern){.kind = m->imports[i].kind};
        if (!resolve(l, m, &m->imports[i], &ret[i])) {
            ret[i].ptr = NULL;
            all = false;
        }
    }
    if (all)
        return 0;
    fail_missing(err, l, m, ret);
    return SV_ELINK;
}

int sv_linker_instantiate(struct sv_err *err, struct sv_linker *l, struct sv_module *m,
                          struct sv_instance **ret)
{
    struct sv_extern small[32], *imports = small;
    int r;

    if (m->nimports > SV_COUNT(small)) {
        imports = sv_alloc_array(m->nimports, sizeof *imports);
        if (!imports)
            return sv_fail_nomem(err, "the list of imports");
    }
    r = sv_linker_resolve(err, l, m, imports);
    if (r == 0)
        r = sv_instance_new(err, l->store, m, imports, ret);
    if (imports != small)
        sv_free(imports);
    return r;
}
