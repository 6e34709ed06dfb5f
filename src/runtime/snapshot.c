/* Writes an instance as a module: sections that hold state are made anew from the instance, the
 * others are copied. Indexes keep their meaning, so code is copied as it is. Running the
 * initialiser, and what the host holds for the guest, are the caller's business. */
#include "runtime/snapshot.h"

#include <string.h>

#include "runtime/image.h"
#include "wasm/binary.h"
#include "wasm/limits.h"

/* Instantiation costs something for each segment: gaps of zeros are written out, longer and longer
 * ones, until the segments of a memory are no more than this. */
#define SEGMENTS_WANTED 256
#define GAP_FIRST 64
#define GAP_MAX 65536

struct writer {
    struct sv_err *err;
    struct sv_instance *inst;
    const struct sv_module *m;
    const struct sv_str *leave_out;
    size_t nleave_out;
    const uint8_t **table_types; /* of each defined table, where its reference type is written */
    bool tables_grew;
    struct sv_buf *out;
    struct sv_buf body;         /* of the section being written */
    struct sv_buf elems, datas; /* segments to add */
    uint32_t nelems, ndatas;
    struct sv_buf declared; /* function indexes that must stay declared */
    uint32_t ndeclared;
};

static void put_u(struct sv_buf *b, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        sv_buf_putc(b, (char)(v | 0x80));
    sv_buf_putc(b, (char)v);
}

static void put_s(struct sv_buf *b, int64_t v)
{
    for (; v < -64 || v > 63; v >>= 7)
        sv_buf_putc(b, (char)((v & 0x7f) | 0x80));
    sv_buf_putc(b, (char)(v & 0x7f));
}

static void put_const(struct sv_buf *b, bool is64, uint64_t v)
{
    sv_buf_putc(b, is64 ? 0x42 : 0x41);
    put_s(b, is64 ? (int64_t)v : (int32_t)v);
    sv_buf_putc(b, 0x0b);
}

static void put_section(struct writer *w, uint8_t id)
{
    sv_buf_putc(w->out, (char)id);
    put_u(w->out, w->body.len);
    sv_buf_append(w->out, w->body.data, w->body.len);
    w->out->failed = w->out->failed || w->body.failed;
    sv_buf_clear(&w->body);
}

/* Validated bytes: no bounds to check. */
static uint64_t read_u(const uint8_t **p)
{
    unsigned shift = 0;
    uint64_t v = 0;
    uint8_t b;

    do {
        b = *(*p)++;
        v |= (uint64_t)(b & 0x7f) << shift;
        shift += 7;
    } while ((b & 0x80) && shift < 64);
    return v;
}

static const uint8_t *skip_reftype(const uint8_t *p)
{
    bool longer = *p == SV_BINARY_REF_NULL || *p == SV_BINARY_REF;

    p++;
    if (longer)
        read_u(&p);
    return p;
}

static const uint8_t *after(const struct writer *w, struct sv_const_expr e)
{
    return w->m->bytes + e.offset + e.len;
}

static int refuse(struct writer *w, const char *what, uint32_t index)
{
    return sv_fail(w->err, SV_EUSAGE, SV_NO_OFFSET, "cannot snapshot: %s %u", what, index);
}

/* ---- What cannot be captured ---- */

static int check_imports(struct writer *w)
{
    const struct sv_module *m = w->m;

    for (uint32_t i = 0; i < m->nimports; i++) {
        const struct sv_import *import = &m->imports[i];
        const char *what = NULL;
        struct sv_buf name;

        if (import->kind == SV_EXTERN_FUNC && w->inst->funcs[import->index]->inst)
            what = "is a function of another module";
        else if (import->kind == SV_EXTERN_MEMORY)
            what = "is a memory";
        else if (import->kind == SV_EXTERN_TABLE)
            what = "is a table";
        else if (import->kind == SV_EXTERN_GLOBAL && m->globals[import->index].type.mut)
            what = "is a mutable global";
        if (!what)
            continue;
        sv_buf_init(&name, SV_ERR_TEXT_MAX);
        sv_import_name_print(&name, import);
        sv_fail(w->err, SV_EUSAGE, SV_NO_OFFSET,
                "cannot snapshot: import %s %s, whose state lies outside of the module",
                sv_buf_cstr(&name), what);
        sv_buf_release(&name);
        return SV_EUSAGE;
    }
    return 0;
}

/* ---- References ---- */

static bool is_func_type(const struct writer *w, sv_valtype t)
{
    return sv_heap_top(w->m->types_registry, sv_valtype_heap(t)) == SV_HEAP_FUNC;
}

/* Index of the function in the module; false: it is of another one. */
static bool find_func(const struct writer *w, sv_ref r, uint32_t *ret)
{
    struct sv_func *f = (struct sv_func *)(uintptr_t)r;

    if (f->inst) {
        *ret = f->index;
        return f->inst == w->inst;
    }
    for (uint32_t i = 0; i < w->m->nimports_of[SV_EXTERN_FUNC]; i++) {
        *ret = i;
        if (w->inst->funcs[i] == f)
            return true;
    }
    return false;
}

/* The constant expression of a reference of the type written at `type`. False: there is none. */
static bool put_ref(struct writer *w, struct sv_buf *b, sv_valtype t, const uint8_t *type, sv_ref r)
{
    uint32_t index;

    if (r == SV_REF_NULL) {
        bool longer = *type == SV_BINARY_REF_NULL;
        const uint8_t *heap = type + longer;

        sv_buf_putc(b, (char)0xd0);
        sv_buf_append(b, heap, (size_t)(skip_reftype(type) - heap));
    } else if (is_func_type(w, t) && find_func(w, r, &index)) {
        sv_buf_putc(b, (char)0xd2);
        put_u(b, index);
    } else {
        return false;
    }
    sv_buf_putc(b, 0x0b);
    return true;
}

/* ---- Tables ---- */

/* Where each defined table's type is written; whether any has grown. */
static void find_table_types(struct writer *w, const uint8_t *p)
{
    uint32_t first = w->m->nimports_of[SV_EXTERN_TABLE];

    read_u(&p);
    for (uint32_t i = first; i < w->m->ntables; i++) {
        const struct sv_table_decl *d = &w->m->tables[i];
        uint64_t flags;

        p += d->has_init ? 2 : 0;
        w->table_types[i - first] = p;
        p = skip_reftype(p);
        flags = read_u(&p);
        read_u(&p);
        if (flags & 1)
            read_u(&p);
        if (d->has_init)
            p = after(w, d->init);
        w->tables_grew = w->tables_grew || w->inst->tables[i]->size != d->type.limits.min;
    }
}

static void put_tables(struct writer *w)
{
    uint32_t first = w->m->nimports_of[SV_EXTERN_TABLE];
    struct sv_buf *b = &w->body;

    put_u(b, w->m->ntables - first);
    for (uint32_t i = first; i < w->m->ntables; i++) {
        const struct sv_table_decl *d = &w->m->tables[i];
        const uint8_t *type = w->table_types[i - first];

        if (d->has_init)
            sv_buf_append(b, "\x40", 2);
        sv_buf_append(b, type, (size_t)(skip_reftype(type) - type));
        put_u(b, (d->type.limits.has_max ? 1u : 0) | (d->type.limits.is64 ? 4u : 0));
        put_u(b, w->inst->tables[i]->size);
        if (d->type.limits.has_max)
            put_u(b, d->type.limits.max);
        if (d->has_init)
            sv_buf_append(b, w->m->bytes + d->init.offset, d->init.len);
    }
}

static int eval(struct writer *w, struct sv_const_expr e, uint64_t *ret)
{
    union sv_slot v[2];

    if (sv_const_eval(&w->inst->store->thread, w->inst, e, v))
        return sv_fail_nomem(w->err, "a constant expression");
    *ret = v[0].i64;
    return 0;
}

static int elem_value(struct writer *w, const struct sv_elem_decl *d, uint32_t i, sv_ref *ret)
{
    struct sv_func *f;

    if (!d->funcs)
        return eval(w, d->exprs[i], ret);
    f = sv_instance_func(w->inst, d->funcs[i]);
    *ret = (sv_ref)(uintptr_t)f;
    return f ? 0 : sv_fail_nomem(w->err, "a function instance");
}

/* What instantiation makes of table t, at the size that it has now. */
static int expect_table(struct writer *w, uint32_t t, sv_ref *expected)
{
    const struct sv_table *table = w->inst->tables[t];
    const struct sv_module *m = w->m;
    uint64_t at = 0;
    int r = 0;

    if (m->tables[t].has_init)
        r = eval(w, m->tables[t].init, &at);
    for (uint64_t i = 0; i < table->size; i++)
        expected[i] = at;
    for (uint32_t e = 0; e < m->nelems && r == 0; e++) {
        const struct sv_elem_decl *d = &m->elems[e];

        if (d->mode != SV_SEGMENT_ACTIVE || d->table != t)
            continue;
        r = eval(w, d->offset, &at);
        if (!table->type.limits.is64)
            at = (uint32_t)at;
        for (uint32_t i = 0; i < d->len && r == 0; i++)
            r = elem_value(w, d, i, &expected[at + i]);
    }
    return r;
}

/* A segment that sets elements [from, to) of table t, all null or none. */
static int add_elem(struct writer *w, uint32_t t, uint64_t from, uint64_t to)
{
    const struct sv_table *table = w->inst->tables[t];
    const uint8_t *type = w->table_types[t - w->m->nimports_of[SV_EXTERN_TABLE]];
    bool old = t == 0 && *type == 0x70 && table->elems[from] != SV_REF_NULL;
    struct sv_buf *b = &w->elems;

    put_u(b, old ? 0 : 6); /* 6: with the table, the type, and expressions */
    if (!old)
        put_u(b, t);
    put_const(b, table->type.limits.is64, from);
    if (!old)
        sv_buf_append(b, type, (size_t)(skip_reftype(type) - type));
    put_u(b, to - from);
    for (; from < to; from++) {
        uint32_t index;

        if (old && find_func(w, table->elems[from], &index))
            put_u(b, index);
        else if (old || !put_ref(w, b, table->type.type, type, table->elems[from]))
            return refuse(w, "a reference to something outside of the module lies in table", t);
    }
    w->nelems++;
    return 0;
}

static int add_changes(struct writer *w, uint32_t t, const sv_ref *expected)
{
    const struct sv_table *table = w->inst->tables[t];
    int r = 0;

    for (uint64_t i = 0, end; i < table->size && r == 0; i = end) {
        end = i + 1;
        if (table->elems[i] == expected[i])
            continue;
        while (end < table->size && table->elems[end] != expected[end] &&
               !table->elems[end] == !table->elems[i])
            end++;
        r = add_elem(w, t, i, end);
    }
    return r;
}

static int take_tables(struct writer *w)
{
    int r = 0;

    for (uint32_t t = w->m->nimports_of[SV_EXTERN_TABLE]; t < w->m->ntables && r == 0; t++) {
        uint64_t n = w->inst->tables[t]->size;
        sv_ref *expected = sv_alloc_array(n ? n : 1, sizeof *expected);

        if (!expected)
            return sv_fail_nomem(w->err, "a table");
        r = expect_table(w, t, expected);
        if (r == 0)
            r = add_changes(w, t, expected);
        sv_free(expected);
    }
    return r;
}

/* ---- Element segments ---- */

/* The end of the segment at p; *ret_count is where its number of elements is written. */
static const uint8_t *elem_end(const struct writer *w, const struct sv_elem_decl *d,
                               const uint8_t *p, const uint8_t **ret_count)
{
    uint64_t flags = read_u(&p);

    if (!(flags & 1))
        p = after(w, d->offset);
    if (flags & 3)
        p = flags & 4 ? skip_reftype(p) : p + 1;
    *ret_count = p;
    read_u(&p);
    for (uint32_t i = 0; i < d->len; i++) {
        if (d->funcs)
            read_u(&p);
        else
            p = after(w, d->exprs[i]);
    }
    return p;
}

/* `p`: the contents of the old section, NULL when there is none. */
static void put_elems(struct writer *w, const uint8_t *p)
{
    struct sv_buf *b = &w->body;
    const uint8_t *count;

    if (p)
        read_u(&p);
    put_u(b, (uint64_t)w->m->nelems + w->nelems + (w->ndeclared ? 1 : 0));
    for (uint32_t e = 0; e < w->m->nelems; e++) {
        const struct sv_elem_decl *d = &w->m->elems[e];
        const uint8_t *end = elem_end(w, d, p, &count);

        if (d->mode == SV_SEGMENT_PASSIVE && w->inst->elem_dropped[e]) {
            sv_buf_append(b, p, (size_t)(count - p));
            put_u(b, 0);
        } else {
            sv_buf_append(b, p, (size_t)(end - p));
        }
        p = end;
    }
    sv_buf_append(b, w->elems.data, w->elems.len);
    if (w->ndeclared) {
        sv_buf_append(b, "\x03", 2); /* declarative, of functions */
        put_u(b, w->ndeclared);
        sv_buf_append(b, w->declared.data, w->declared.len);
    }
}

static bool need_elems(const struct writer *w)
{
    return w->nelems || w->ndeclared;
}

static void declare(struct writer *w, uint32_t func)
{
    if (!(w->m->features & UINT64_C(1) << SV_FEATURE_REF))
        return;
    put_u(&w->declared, func);
    w->ndeclared++;
}

/* ---- Memories ---- */

static void put_memories(struct writer *w)
{
    uint32_t first = w->m->nimports_of[SV_EXTERN_MEMORY];

    put_u(&w->body, w->m->nmemories - first);
    for (uint32_t i = first; i < w->m->nmemories; i++) {
        const struct sv_memory_type *t = &w->m->memories[i];
        bool page = t->page_shift != SV_PAGE_SHIFT;

        put_u(&w->body, (t->limits.has_max ? 1u : 0) | (t->limits.is64 ? 4u : 0) | (page ? 8u : 0));
        put_u(&w->body, sv_memory_pages(w->inst->memories[i]));
        if (t->limits.has_max)
            put_u(&w->body, t->limits.max);
        if (page)
            put_u(&w->body, t->page_shift);
    }
}

static uint64_t skip_zeros(const uint8_t *p, uint64_t size, uint64_t i)
{
    static const uint8_t zeros[4096];

    while (size - i >= sizeof zeros && memcmp(p + i, zeros, sizeof zeros) == 0)
        i += sizeof zeros;
    while (i < size && p[i] == 0)
        i++;
    return i;
}

/* The next run of bytes from `at` on that ends before `gap` zeros; false: only zeros follow. */
static bool next_run(const uint8_t *p, uint64_t size, uint64_t gap, uint64_t *at, uint64_t *ret_end)
{
    uint64_t i = skip_zeros(p, size, *at), end = i + 1;

    if (i >= size)
        return false;
    *at = i;
    for (; i < size && i - end + 1 <= gap; i++)
        if (p[i])
            end = i + 1;
    *ret_end = end;
    return true;
}

static uint32_t count_runs(const uint8_t *p, uint64_t size, uint64_t gap)
{
    uint64_t at = 0, end;
    uint32_t n = 0;

    for (; next_run(p, size, gap, &at, &end); at = end)
        n++;
    return n;
}

static void put_place(struct sv_buf *b, uint32_t memory, bool is64, uint64_t at)
{
    put_u(b, memory ? 2 : 0);
    if (memory)
        put_u(b, memory);
    put_const(b, is64, at);
}

static void take_memory(struct writer *w, uint32_t memory)
{
    const struct sv_memory *m = w->inst->memories[memory];
    uint64_t size = sv_memory_size(m), gap = GAP_FIRST, at = 0, end;

    while (gap < GAP_MAX && count_runs(m->base, size, gap) > SEGMENTS_WANTED)
        gap *= 4;
    for (; next_run(m->base, size, gap, &at, &end); at = end) {
        put_place(&w->datas, memory, m->type.limits.is64, at);
        put_u(&w->datas, end - at);
        sv_buf_append(&w->datas, m->base + at, end - at);
        w->ndatas++;
    }
}

static int take_memories(struct writer *w)
{
    for (uint32_t i = 0; i < w->m->nmemories; i++) {
        if (w->inst->memories[i]->shared)
            return refuse(w, "threads may be writing to shared memory", i);
        take_memory(w, i);
    }
    return 0;
}

/* Old segments keep their numbers. Active ones are dropped after instantiation: nothing of them is
 * needed but the number, and an empty one at 0 is in every version of the language. */
static void put_datas(struct writer *w)
{
    struct sv_buf *b = &w->body;

    put_u(b, (uint64_t)w->m->ndatas + w->ndatas);
    for (uint32_t i = 0; i < w->m->ndatas; i++) {
        const struct sv_data_decl *d = &w->m->datas[i];
        uint32_t len = d->mode == SV_SEGMENT_ACTIVE || w->inst->data_dropped[i] ? 0 : d->len;

        if (d->mode == SV_SEGMENT_ACTIVE)
            put_place(b, d->memory, w->m->memories[d->memory].limits.is64, 0);
        else
            put_u(b, 1);
        put_u(b, len);
        sv_buf_append(b, w->m->bytes + d->bytes_offset, len);
    }
    sv_buf_append(b, w->datas.data, w->datas.len);
}

/* ---- Globals and exports ---- */

static int put_value(struct writer *w, const struct sv_global *g, const uint8_t *type)
{
    struct sv_buf *b = &w->body;

    switch (sv_valtype_kind(g->type.type)) {
    case SV_VAL_I32:
        put_const(b, false, g->value.i32);
        return 0;
    case SV_VAL_I64:
        put_const(b, true, g->value.i64);
        return 0;
    case SV_VAL_F32:
        sv_buf_putc(b, 0x43);
        sv_buf_append(b, &g->value, 4);
        break;
    case SV_VAL_F64:
        sv_buf_putc(b, 0x44);
        sv_buf_append(b, &g->value, 8);
        break;
    case SV_VAL_V128:
        sv_buf_append(b, "\xfd\x0c", 2);
        sv_buf_append(b, &g->value, 16);
        break;
    default:
        return put_ref(w, b, g->type.type, type, g->value.ref) ? 0 : SV_EUSAGE;
    }
    sv_buf_putc(b, 0x0b);
    return 0;
}

/* Immutable ones are made as before. `p`: contents of the old section. */
static int put_globals(struct writer *w, const uint8_t *p)
{
    const struct sv_module *m = w->m;

    put_u(&w->body, read_u(&p));
    for (uint32_t i = m->nimports_of[SV_EXTERN_GLOBAL]; i < m->nglobals; i++) {
        const struct sv_global_decl *d = &m->globals[i];
        const uint8_t *init = m->bytes + d->init.offset, *operand = init + 1;

        sv_buf_append(&w->body, p, (size_t)(init - p));
        if (!d->type.mut)
            sv_buf_append(&w->body, init, d->init.len);
        else if (put_value(w, w->inst->globals[i], p))
            return refuse(w, "a reference to something outside of the module lies in global", i);
        if (d->type.mut && *init == 0xd2)
            declare(w, (uint32_t)read_u(&operand));
        p = after(w, d->init);
    }
    return 0;
}

static bool left_out(const struct writer *w, const struct sv_export *x)
{
    for (size_t i = 0; i < w->nleave_out; i++)
        if (sv_str_eq(w->leave_out[i], x->name))
            return true;
    return false;
}

static void put_exports(struct writer *w)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < w->m->nexports; i++)
        n += !left_out(w, &w->m->exports[i]);
    put_u(&w->body, n);
    for (uint32_t i = 0; i < w->m->nexports; i++) {
        const struct sv_export *x = &w->m->exports[i];

        if (left_out(w, x)) {
            if (x->kind == SV_EXTERN_FUNC)
                declare(w, x->index);
            continue;
        }
        put_u(&w->body, x->name.len);
        sv_buf_append(&w->body, x->name.ptr, x->name.len);
        put_u(&w->body, (uint64_t)x->kind);
        put_u(&w->body, x->index);
    }
}

/* ---- The file ---- */

static bool is_native(const uint8_t *p)
{
    static const char name[] = SV_IMAGE_SECTION;
    uint64_t len = read_u(&p);

    return len == sizeof name - 1 && memcmp(p, name, len) == 0;
}

/* One section, copied or made anew. `head`: where its number is written. */
static int put_one(struct writer *w, const uint8_t *head, const uint8_t *contents,
                   const uint8_t *end)
{
    uint8_t id = *head;
    int r = 0;

    if (id == SV_SECTION_TABLE && w->tables_grew)
        put_tables(w);
    else if (id == SV_SECTION_MEMORY)
        put_memories(w);
    else if (id == SV_SECTION_GLOBAL)
        r = put_globals(w, contents);
    else if (id == SV_SECTION_EXPORT)
        put_exports(w);
    else if (id == SV_SECTION_ELEMENT)
        put_elems(w, contents);
    else if (id == SV_SECTION_DATA_COUNT)
        put_u(&w->body, (uint64_t)w->m->ndatas + w->ndatas);
    else if (id == SV_SECTION_DATA)
        put_datas(w);
    else if (id != SV_SECTION_START && !(id == SV_SECTION_CUSTOM && is_native(contents)))
        sv_buf_append(w->out, head, (size_t)(end - head));
    if (r == 0 && w->body.len)
        put_section(w, id);
    return r;
}

/* Does a section come behind the element segments? */
static bool after_elems(uint8_t id)
{
    return id == SV_SECTION_DATA_COUNT || id == SV_SECTION_CODE || id == SV_SECTION_DATA;
}

static int put_sections(struct writer *w)
{
    const uint8_t *p = w->m->bytes + 8, *end = w->m->bytes + w->m->wasm_len;
    bool elems = false, datas = false;
    int r = 0;

    sv_buf_append(w->out, w->m->bytes, 8);
    while (p < end && r == 0) {
        const uint8_t *head = p++;
        uint64_t len = read_u(&p);

        if (after_elems(*head) && !elems && need_elems(w)) {
            put_elems(w, NULL);
            put_section(w, SV_SECTION_ELEMENT);
            elems = true;
        }
        elems = elems || *head == SV_SECTION_ELEMENT;
        datas = datas || *head == SV_SECTION_DATA;
        r = put_one(w, head, p, p + len);
        p += len;
    }
    if (r == 0 && !elems && need_elems(w)) {
        put_elems(w, NULL);
        put_section(w, SV_SECTION_ELEMENT);
    }
    if (r == 0 && !datas && w->ndatas) {
        put_datas(w);
        put_section(w, SV_SECTION_DATA);
    }
    return r;
}

static const uint8_t *find_section(const struct sv_module *m, uint8_t id)
{
    const uint8_t *p = m->bytes + 8, *end = m->bytes + m->wasm_len;

    while (p < end) {
        uint8_t this = *p++;
        uint64_t len = read_u(&p);

        if (this == id)
            return p;
        p += len;
    }
    return NULL;
}

int sv_instance_snapshot(struct sv_err *err, struct sv_instance *inst,
                         const struct sv_str *leave_out, size_t n, struct sv_buf *ret)
{
    const struct sv_module *m = inst->module;
    uint32_t ntables = m->ntables - m->nimports_of[SV_EXTERN_TABLE];
    struct writer w = {
        .err = err, .inst = inst, .m = m, .leave_out = leave_out, .nleave_out = n, .out = ret};
    int r = check_imports(&w);

    if (r < 0)
        return r;
    sv_buf_init(&w.body, SV_LIMIT_MODULE_BYTES);
    sv_buf_init(&w.elems, SV_LIMIT_MODULE_BYTES);
    sv_buf_init(&w.datas, SV_LIMIT_MODULE_BYTES);
    sv_buf_init(&w.declared, SV_LIMIT_MODULE_BYTES);
    w.table_types = sv_alloc_array(ntables ? ntables : 1, sizeof *w.table_types);
    if (!w.table_types) {
        r = sv_fail_nomem(err, "a snapshot");
        goto out;
    }
    if (ntables)
        find_table_types(&w, find_section(m, SV_SECTION_TABLE));
    r = take_memories(&w);
    if (r == 0)
        r = take_tables(&w);
    if (r == 0)
        r = put_sections(&w);
    if (r == 0 &&
        (ret->failed || w.body.failed || w.elems.failed || w.datas.failed || w.declared.failed))
        r = sv_fail(err, SV_ELIMIT, SV_NO_OFFSET,
                    "cannot snapshot: the module would be larger than %u bytes, or memory is short",
                    SV_LIMIT_MODULE_BYTES);
out:
    sv_free(w.table_types);
    sv_buf_release(&w.declared);
    sv_buf_release(&w.datas);
    sv_buf_release(&w.elems);
    sv_buf_release(&w.body);
    return r;
}
