/* Instantiation (spec 3.0, 4.7.2): checks imports, makes what the module defines, runs segments and
 * the start function. Finding the imports by name is link.c's. */
#include "runtime/instance.h"

#include <string.h>

#include "runtime/data_image.h"
#include "runtime/exec.h"
#include "runtime/native.h"
#include "wasm/costs.h"

/* ---- Type checks of imports
 * -------------------------------------------------------------------------------- */

static void print_limits(struct sv_buf *b, const struct sv_limits *l, uint64_t min)
{
    sv_buf_printf(b, "%llu", (unsigned long long)min);
    if (l->has_max)
        sv_buf_printf(b, "..%llu", (unsigned long long)l->max);
    sv_buf_puts(b, l->is64 ? " i64" : "");
    sv_buf_puts(b, l->shared ? " shared" : "");
}

static void print_global(struct sv_buf *b, const struct sv_module *m,
                         const struct sv_global_type *t)
{
    sv_buf_puts(b, t->mut ? "global mut " : "global ");
    sv_valtype_print(b, m, t->type);
}

static void print_table(struct sv_buf *b, const struct sv_module *m, const struct sv_table_type *t,
                        uint64_t size)
{
    sv_buf_puts(b, "table ");
    print_limits(b, &t->limits, size);
    sv_buf_putc(b, ' ');
    sv_valtype_print(b, m, t->type);
}

static void print_memory(struct sv_buf *b, const struct sv_memory_type *t, uint64_t pages)
{
    sv_buf_puts(b, "memory ");
    print_limits(b, &t->limits, pages);
    if (t->page_shift != SV_PAGE_SHIFT)
        sv_buf_printf(b, " pages of %u", 1u << t->page_shift);
}

void sv_import_print(struct sv_buf *b, const struct sv_module *m, const struct sv_import *i)
{
    switch (i->kind) {
    case SV_EXTERN_FUNC:
        sv_buf_puts(b, "function ");
        sv_functype_print(b, m, m->funcs[i->index].type);
        break;
    case SV_EXTERN_TABLE:
        print_table(b, m, &m->tables[i->index].type, m->tables[i->index].type.limits.min);
        break;
    case SV_EXTERN_MEMORY:
        print_memory(b, &m->memories[i->index], m->memories[i->index].limits.min);
        break;
    case SV_EXTERN_GLOBAL:
        print_global(b, m, &m->globals[i->index].type);
        break;
    default:
        sv_buf_puts(b, "tag ");
        sv_functype_print(b, m, m->tags[i->index].type);
        break;
    }
}

static void print_extern(struct sv_buf *b, const struct sv_module *m, const struct sv_extern *e)
{
    switch (e->kind) {
    case SV_EXTERN_FUNC:
        sv_buf_puts(b, "function ");
        sv_functype_print(b, m, e->func->type);
        break;
    case SV_EXTERN_TABLE:
        print_table(b, m, &e->table->type, e->table->size);
        break;
    case SV_EXTERN_MEMORY:
        print_memory(b, &e->memory->type, sv_memory_pages(e->memory));
        break;
    case SV_EXTERN_GLOBAL:
        print_global(b, m, &e->global->type);
        break;
    default:
        sv_buf_puts(b, "tag ");
        sv_functype_print(b, m, e->tag->type);
        break;
    }
}

/* `min` is the size that the extern has now. */
static bool limits_match(const struct sv_limits *have, uint64_t min, const struct sv_limits *want)
{
    if (have->is64 != want->is64 || have->shared != want->shared || min < want->min)
        return false;
    return !want->has_max || (have->has_max && have->max <= want->max);
}

static bool extern_matches(const struct sv_module *m, const struct sv_import *i,
                           const struct sv_extern *e)
{
    const struct sv_global_type *want;

    switch (i->kind) {
    case SV_EXTERN_FUNC:
        return sv_type_matches(e->func->type, m->funcs[i->index].type);
    case SV_EXTERN_TABLE:
        return e->table->type.type == m->tables[i->index].type.type &&
               limits_match(&e->table->type.limits, e->table->size,
                            &m->tables[i->index].type.limits);
    case SV_EXTERN_MEMORY:
        return e->memory->type.page_shift == m->memories[i->index].page_shift &&
               limits_match(&e->memory->type.limits, sv_memory_pages(e->memory),
                            &m->memories[i->index].limits);
    case SV_EXTERN_GLOBAL:
        want = &m->globals[i->index].type;
        if (want->mut != e->global->type.mut)
            return false;
        return want->mut ? want->type == e->global->type.type
                         : sv_valtype_matches(m->types_registry, e->global->type.type, want->type);
    default:
        return e->tag->type == m->tags[i->index].type;
    }
}

/* Names come from the module: printable in messages. */
void sv_import_name_print(struct sv_buf *b, const struct sv_import *i)
{
    const struct sv_str parts[2] = {i->module, i->name};

    sv_buf_putc(b, '\'');
    for (int p = 0; p < 2; p++) {
        for (size_t c = 0; c < parts[p].len; c++) {
            unsigned char byte = (unsigned char)parts[p].ptr[c];

            if (byte < 0x20 || byte == 0x7f)
                sv_buf_printf(b, "\\x%02x", byte);
            else
                sv_buf_putc(b, (char)byte);
        }
        sv_buf_puts(b, p == 0 ? "." : "'");
    }
}

int sv_extern_check(struct sv_err *err, const struct sv_module *m, const struct sv_import *i,
                    const struct sv_extern *e)
{
    struct sv_buf b;

    if (e->kind == i->kind && e->ptr && extern_matches(m, i, e))
        return 0;
    sv_buf_init(&b, SV_ERR_TEXT_MAX);
    sv_buf_puts(&b, "incompatible import type for ");
    sv_import_name_print(&b, i);
    sv_buf_puts(&b, ": expected ");
    sv_import_print(&b, m, i);
    sv_buf_puts(&b, ", found ");
    if (!e->ptr || (unsigned)e->kind >= SV_EXTERN_COUNT)
        sv_buf_puts(&b, "nothing");
    else
        print_extern(&b, m, e);
    sv_fail(err, SV_ELINK, SV_NO_OFFSET, "%s", sv_buf_cstr(&b));
    sv_buf_release(&b);
    return SV_ELINK;
}

static bool same_store(const struct sv_store *s, const struct sv_extern *e)
{
    switch (e->kind) {
    case SV_EXTERN_FUNC:
        return e->func->store == s;
    case SV_EXTERN_TABLE:
        return e->table->store == s;
    case SV_EXTERN_MEMORY:
        return e->memory->store == s || e->memory->shared;
    case SV_EXTERN_GLOBAL:
        return e->global->store == s;
    default:
        return e->tag->store == s;
    }
}

static int check_imports(struct sv_err *err, struct sv_store *s, const struct sv_module *m,
                         const struct sv_extern *imports)
{
    for (uint32_t i = 0; i < m->nimports; i++) {
        struct sv_buf b;
        int r;

        if (imports[i].ptr && (unsigned)imports[i].kind < SV_EXTERN_COUNT &&
            !same_store(s, &imports[i])) {
            sv_buf_init(&b, SV_ERR_TEXT_MAX);
            sv_import_name_print(&b, &m->imports[i]);
            sv_fail(err, SV_ELINK, SV_NO_OFFSET, "import %s belongs to another store",
                    sv_buf_cstr(&b));
            sv_buf_release(&b);
            return SV_ELINK;
        }
        r = sv_extern_check(err, m, &m->imports[i], &imports[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

/* ---- Making an instance
 * ------------------------------------------------------------------------------------ */

/* One allocation: the store's arena frees all together. */
static struct sv_instance *allocate(struct sv_store *s, struct sv_module *m)
{
    struct sv_instance_layout l = sv_instance_layout(m);
    struct sv_instance *inst = sv_arena_zero(&s->arena, l.size);
    uint8_t *p = (uint8_t *)inst;

    if (!inst)
        return NULL;
    inst->globals = (void *)(p + l.globals);
    inst->tables = (void *)(p + l.tables);
    inst->memories = (void *)(p + l.memories);
    inst->funcs = (void *)(p + l.funcs);
    inst->tags = (void *)(p + l.tags);
    inst->elem_refs = (void *)(p + l.elem_refs);
    inst->elem_dropped = p + l.elem_dropped;
    inst->data_dropped = p + l.data_dropped;
    inst->store = s;
    inst->types = m->types;
    inst->helpers = sv_native_helpers;
    inst->mem0 = (uint8_t *)s->thread.stack_end; /* the stack's guard page */
    return inst;
}

static int take_imports(struct sv_err *err, struct sv_instance *inst,
                        const struct sv_extern *imports)
{
    const struct sv_module *m = inst->module;
    int r = 0;

    for (uint32_t i = 0; i < m->nimports && r == 0; i++) {
        uint32_t index = m->imports[i].index;

        switch (imports[i].kind) {
        case SV_EXTERN_FUNC:
            inst->funcs[index] = imports[i].func;
            if (m->import_costs && m->import_costs[index] != SV_COSTS_NONE &&
                !imports[i].func->inst)
                imports[i].func->cost = m->import_costs[index];
            break;
        case SV_EXTERN_TABLE:
            inst->tables[index] = imports[i].table;
            break;
        case SV_EXTERN_MEMORY:
            inst->memories[index] = imports[i].memory;
            /* Faults are looked up in the store's list. */
            if (imports[i].memory->shared)
                r = sv_memory_adopt(err, inst->store, imports[i].memory);
            break;
        case SV_EXTERN_GLOBAL:
            inst->globals[index] = imports[i].global;
            break;
        default:
            inst->tags[index] = imports[i].tag;
            break;
        }
    }
    return r;
}

/* A trap before any guest code runs: as a call would report it. */
static int trapped(struct sv_err *err, struct sv_store *s, int code)
{
    if (s->thread.depth == 0)
        sv_trap_clear(&s->thread.trap);
    sv_trap_raise(&s->thread, code);
    return sv_fail(err, SV_ETRAP, SV_NO_OFFSET, "%s", s->thread.trap.text);
}

static int make_globals(struct sv_err *err, struct sv_instance *inst)
{
    const struct sv_module *m = inst->module;
    struct sv_store *s = inst->store;
    uint32_t first = m->nimports_of[SV_EXTERN_GLOBAL], n = m->nglobals - first;
    struct sv_global *g = (void *)((uint8_t *)inst + sv_instance_layout(m).own_globals);

    for (uint32_t i = 0; i < n; i++) {
        union sv_slot v[2] = {{.i64 = 0}, {.i64 = 0}};
        int code;

        /* Listed only with a value: it is a root from then on. */
        code = sv_const_eval(&s->thread, inst, m->globals[first + i].init, v);
        if (code)
            return trapped(err, s, code);
        g[i].type = m->globals[first + i].type;
        g[i].store = s;
        g[i].value.slot[0] = v[0];
        g[i].value.slot[1] = v[1];
        g[i].next = s->globals;
        s->globals = &g[i];
        inst->globals[first + i] = &g[i];
    }
    return 0;
}

static int make_tables(struct sv_err *err, struct sv_instance *inst)
{
    const struct sv_module *m = inst->module;
    struct sv_store *s = inst->store;

    for (uint32_t i = m->nimports_of[SV_EXTERN_TABLE]; i < m->ntables; i++) {
        union sv_slot init[2] = {{.i64 = 0}, {.i64 = 0}};
        int r;

        if (m->tables[i].has_init) {
            int code = sv_const_eval(&s->thread, inst, m->tables[i].init, init);

            if (code)
                return trapped(err, s, code);
        }
        r = sv_table_new(err, s, &m->tables[i].type, init[0].ref, &inst->tables[i]);
        if (r < 0)
            return r;
    }
    return 0;
}

static int make_memories(struct sv_err *err, struct sv_instance *inst,
                         const struct sv_data_images *images)
{
    const struct sv_module *m = inst->module;

    for (uint32_t i = m->nimports_of[SV_EXTERN_MEMORY]; i < m->nmemories; i++) {
        int r = sv_memory_new(err, inst->store, &m->memories[i], &m->memories[i],
                              images ? images->of[i] : NULL, &inst->memories[i]);

        if (r < 0)
            return r;
    }
    if (m->nmemories) {
        inst->memory0 = inst->memories[0];
        inst->mem0 = inst->memory0->base;
    }
    return 0;
}

static int make_tags(struct sv_err *err, struct sv_instance *inst)
{
    const struct sv_module *m = inst->module;

    for (uint32_t i = m->nimports_of[SV_EXTERN_TAG]; i < m->ntags; i++) {
        inst->tags[i] = sv_tag_new(inst->store, m->tags[i].type);
        if (!inst->tags[i])
            return sv_fail_nomem(err, "a tag");
    }
    return 0;
}

/* References of segments given as expressions. Those given as function indexes are made when they
 * are used. */
static int make_elems(struct sv_err *err, struct sv_instance *inst)
{
    const struct sv_module *m = inst->module;
    struct sv_store *s = inst->store;

    for (uint32_t e = 0; e < m->nelems; e++) {
        const struct sv_elem_decl *d = &m->elems[e];
        union sv_slot v[2];

        if (d->funcs || d->len == 0)
            continue;
        inst->elem_refs[e] = sv_arena_array_zero(&s->arena, d->len, sizeof(sv_ref));
        if (!inst->elem_refs[e])
            return sv_fail_nomem(err, "an element segment");
        for (uint32_t i = 0; i < d->len; i++) {
            int code = sv_const_eval(&s->thread, inst, d->exprs[i], v);

            if (code)
                return trapped(err, s, code);
            inst->elem_refs[e][i] = v[0].ref;
        }
    }
    return 0;
}

/* The offset of an active segment, in the width of the table's or memory's index. */
static int segment_offset(struct sv_instance *inst, struct sv_const_expr e, bool is64,
                          uint64_t *ret)
{
    union sv_slot v[2];
    int code = sv_const_eval(&inst->store->thread, inst, e, v);

    if (!code)
        *ret = is64 ? v[0].i64 : v[0].i32;
    return code;
}

static int run_elems(struct sv_instance *inst)
{
    const struct sv_module *m = inst->module;
    uint64_t at;

    for (uint32_t e = 0; e < m->nelems; e++) {
        const struct sv_elem_decl *d = &m->elems[e];
        int code = 0;

        if (d->mode == SV_SEGMENT_PASSIVE)
            continue;
        if (d->mode == SV_SEGMENT_ACTIVE) {
            code = segment_offset(inst, d->offset, inst->tables[d->table]->type.limits.is64, &at);
            if (!code)
                code = sv_table_init(&inst->store->thread, inst, d->table, e, at, 0, d->len);
        }
        if (code)
            return code;
        sv_elem_drop(inst, e);
    }
    return 0;
}

/* Segments that the memory's image holds are not copied; everything else is as if they were. */
static int run_data(struct sv_instance *inst, uint32_t i, const struct sv_data_image *image)
{
    const struct sv_data_decl *d = &inst->module->datas[i];
    struct sv_memory *memory = inst->memories[d->memory];
    struct sv_thread *th = &inst->store->thread;
    uint64_t at;
    int code;

    if (image && memory->region->image == image)
        return sv_memory_charge(th, d->len);
    code = segment_offset(inst, d->offset, memory->type.limits.is64, &at);
    return code ? code : sv_memory_init(th, inst, d->memory, i, at, 0, d->len);
}

static int run_datas(struct sv_instance *inst, const struct sv_data_images *images)
{
    const struct sv_module *m = inst->module;

    for (uint32_t i = 0; i < m->ndatas; i++) {
        const struct sv_data_decl *d = &m->datas[i];
        int code;

        if (d->mode != SV_SEGMENT_ACTIVE)
            continue;
        code = run_data(inst, i, images && i < images->ndatas ? images->of[d->memory] : NULL);
        if (code)
            return code;
        sv_data_drop(inst, i);
    }
    return 0;
}

static int run_start(struct sv_err *err, struct sv_instance *inst)
{
    struct sv_thread *th = &inst->store->thread;
    union sv_slot none[1];
    struct sv_func *f;
    int r;

    if (!inst->module->has_start)
        return 0;
    f = sv_instance_func(inst, inst->module->start);
    if (!f)
        return sv_fail_nomem(err, "the start function");
    r = sv_func_call(th, f, none);
    if (r == SV_ETRAP)
        return sv_fail(err, r, SV_NO_OFFSET, "%s", th->trap.text);
    return r < 0 ? sv_fail(err, r, SV_NO_OFFSET, "the start function failed: %s", sv_code_text(r))
                 : 0;
}

/* Native code that was just found may have brought images for memories that are there already. */
static int take_images(struct sv_err *err, struct sv_instance *inst,
                       const struct sv_data_images **images)
{
    int r = 0;

    if (*images)
        return 0;
    *images = atomic_load_explicit(&inst->module->data_images, memory_order_acquire);
    for (uint32_t i = 0; *images && i < inst->module->nmemories && r == 0; i++)
        r = sv_memory_use_image(err, inst->memories[i], (*images)->of[i]);
    return r;
}

static int define(struct sv_err *err, struct sv_instance *inst, const struct sv_extern *imports,
                  const struct sv_data_images **images)
{
    const struct sv_exec_ops *exec = inst->store->engine->exec;
    int r = take_imports(err, inst, imports);

    if (r == 0)
        r = make_memories(err, inst, *images);
    /* The form of the memories decides the form of the code; constant expressions need functions.
     */
    if (r == 0)
        r = sv_native_attach_module(err, inst);
    if (r == 0)
        r = take_images(err, inst, images);
    if (r == 0 && exec)
        r = exec->attach(err, inst);
    if (r == 0)
        r = make_tags(err, inst);
    if (r == 0)
        r = make_globals(err, inst);
    if (r == 0)
        r = make_tables(err, inst);
    if (r == 0)
        r = make_elems(err, inst);
    return r;
}

int sv_instance_new(struct sv_err *err, struct sv_store *s, struct sv_module *m,
                    const struct sv_extern *imports, struct sv_instance **ret)
{
    const struct sv_data_images *images;
    struct sv_instance *inst;
    int r, code;

    if (s->ninstances >= s->limits.instances)
        return sv_fail(err, SV_ELIMIT, SV_NO_OFFSET, "more than %u instances in a store",
                       s->limits.instances);
    if (m->types_registry != s->engine->types)
        return sv_fail(err, SV_ELINK, SV_NO_OFFSET, "the module belongs to another engine");
    r = check_imports(err, s, m, imports);
    if (r < 0)
        return r;
    inst = allocate(s, m);
    if (!inst)
        return sv_fail_nomem(err, "an instance");
    inst->module = sv_module_ref(m);
    inst->next = s->instances;
    s->instances = inst;
    s->ninstances++;
    images = sv_module_data_images(m);
    r = define(err, inst, imports, &images);
    if (r < 0)
        return r;
    code = run_elems(inst);
    if (!code)
        code = run_datas(inst, images);
    if (code)
        return trapped(err, s, code);
    r = run_start(err, inst);
    if (r < 0)
        return r;
    *ret = inst;
    return 0;
}

/* ---- What is in an instance
 * -------------------------------------------------------------------------------- */

struct sv_func *sv_instance_func(struct sv_instance *inst, uint32_t index)
{
    struct sv_func *f = inst->funcs[index];
    const struct sv_exec_ops *exec = inst->store->engine->exec;

    if (f)
        return f;
    f = sv_arena_zero(&inst->store->arena, offsetof(struct sv_func, host));
    if (!f)
        return NULL;
    f->inst = inst;
    f->store = inst->store;
    f->type = inst->module->funcs[index].type;
    f->index = index;
    f->out = sv_native_helpers[SV_NATIVE_CALL_OUT];
    if (!sv_native_bind(f) && (!exec || exec->bind(f) < 0))
        return NULL;
    inst->funcs[index] = f;
    return f;
}

static bool get_extern(struct sv_instance *inst, const struct sv_export *x, struct sv_extern *ret)
{
    ret->kind = x->kind;
    switch (x->kind) {
    case SV_EXTERN_FUNC:
        ret->func = sv_instance_func(inst, x->index);
        break;
    case SV_EXTERN_TABLE:
        ret->table = inst->tables[x->index];
        break;
    case SV_EXTERN_MEMORY:
        ret->memory = inst->memories[x->index];
        break;
    case SV_EXTERN_GLOBAL:
        ret->global = inst->globals[x->index];
        break;
    default:
        ret->tag = inst->tags[x->index];
        break;
    }
    return ret->ptr != NULL;
}

bool sv_instance_export(struct sv_instance *inst, struct sv_str name, struct sv_extern *ret)
{
    const struct sv_export *x = sv_module_export(inst->module, name);

    return x && get_extern(inst, x, ret);
}

bool sv_instance_export_at(struct sv_instance *inst, uint32_t i, struct sv_extern *ret)
{
    return i < inst->module->nexports && get_extern(inst, &inst->module->exports[i], ret);
}

struct sv_global *sv_global_new(struct sv_store *s, struct sv_global_type type,
                                const union sv_val *init)
{
    struct sv_global *g = sv_arena_zero(&s->arena, sizeof *g);

    if (!g)
        return NULL;
    g->type = type;
    g->store = s;
    if (init)
        memcpy(&g->value, init, sv_valtype_slots(type.type) * sizeof(union sv_slot));
    g->next = s->globals;
    s->globals = g;
    return g;
}

struct sv_tag *sv_tag_new(struct sv_store *s, const struct sv_type *type)
{
    struct sv_tag *t = sv_arena_zero(&s->arena, sizeof *t);

    if (t) {
        t->type = type;
        t->store = s;
    }
    return t;
}
