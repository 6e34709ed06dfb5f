/* Tables that nothing can change: not imported, not exported, written by no instruction, filled by
 * constant segments. C compilers make the table of function pointers so. What a call through one
 * finds is known when the code is made: such tables lie beside the code, an entry for each element,
 * and the sv_table of the instance is not looked at (lower_call.c). */
#include <stdio.h>
#include <string.h>

#include "aot/unit.h"

/* Tables with more elements are read as any other: the entries are a part of the image. */
#define ELEMENTS_MAX 65536u

static void never(struct sv_aot_module *am, uint32_t table)
{
    sv_free(am->tables[table].funcs);
    am->tables[table].funcs = NULL;
}

/* ---- Which tables ---- */

/* Tables that an instruction writes. */
static void read_body(struct sv_aot_module *am, const struct sv_func_decl *f)
{
    const uint8_t *p = am->m->bytes + f->body_offset, *end = p + f->body_len, *q;

    sv_code_skip_locals(am->m, &p);
    while (p < end) {
        enum sv_op op = sv_code_op(&p);

        q = p;
        switch (op) {
        case OP_TABLE_INIT:
            (void)sv_code_u32(&q); /* the segment */
            never(am, sv_code_u32(&q));
            break;
        case OP_TABLE_SET:
        case OP_TABLE_GROW:
        case OP_TABLE_FILL:
        case OP_TABLE_COPY: /* the destination is first */
            never(am, sv_code_u32(&q));
            break;
        default:
            break;
        }
        sv_code_skip(&p, op);
    }
}

/* The one constant of a segment's offset; false: another expression. */
static bool offset_of(const struct sv_module *m, const struct sv_const_expr *e, uint32_t *ret)
{
    const uint8_t *p = m->bytes + e->offset, *end = p + e->len;

    if (sv_code_op(&p) != OP_I32_CONST)
        return false;
    *ret = (uint32_t)sv_code_s32(&p);
    return p + 1 == end;
}

static void read_segment(struct sv_aot_module *am, const struct sv_elem_decl *e)
{
    struct sv_aot_table *t = &am->tables[e->table];
    uint32_t at;

    if (e->mode != SV_SEGMENT_ACTIVE || !t->funcs)
        return;
    if (!e->funcs || !offset_of(am->m, &e->offset, &at) || at > t->n || e->len > t->n - at) {
        never(am, e->table);
        return;
    }
    for (uint32_t i = 0; i < e->len; i++)
        t->funcs[at + i] = e->funcs[i] + 1;
}

bool sv_aot_tables_init(struct sv_aot_module *am)
{
    const struct sv_module *m = am->m;

    am->tables = sv_alloc_array_zero((size_t)m->ntables + 1, sizeof *am->tables);
    if (!am->tables)
        return false;
    for (uint32_t i = m->nimports_of[SV_EXTERN_TABLE]; i < m->ntables; i++) {
        const struct sv_limits *limits = &m->tables[i].type.limits;

        if (m->tables[i].has_init || limits->is64 || limits->min > ELEMENTS_MAX)
            continue;
        am->tables[i].n = (uint32_t)limits->min;
        am->tables[i].funcs = sv_alloc_array_zero(limits->min + 1, sizeof *am->tables[i].funcs);
        if (!am->tables[i].funcs)
            return false;
    }
    for (uint32_t i = 0; i < m->nexports; i++) {
        if (m->exports[i].kind == SV_EXTERN_TABLE)
            never(am, m->exports[i].index);
    }
    for (uint32_t i = m->nimports_of[SV_EXTERN_FUNC]; i < m->nfuncs; i++)
        read_body(am, &m->funcs[i]);
    for (uint32_t i = 0; i < m->nelems; i++)
        read_segment(am, &m->elems[i]);
    return true;
}

void sv_aot_tables_release(struct sv_aot_module *am)
{
    for (uint32_t i = 0; am->tables && i < am->m->ntables; i++)
        never(am, i);
    sv_free(am->tables);
}

/* ---- What they become ---- */

LLVMValueRef lower_unit_table(struct lower_unit *u, uint32_t table)
{
    LLVMTypeRef fields[2] = {u->t.i32, u->t.i32}, entry;
    LLVMValueRef v;
    char name[16];

    snprintf(name, sizeof name, "t%u", table);
    v = LLVMGetNamedGlobal(u->mod, name);
    if (v)
        return v;
    entry = LLVMStructTypeInContext(u->ctx, fields, 2, false);
    v = LLVMAddGlobal(u->mod, LLVMArrayType2(entry, u->am->tables[table].n + 1), name);
    LLVMSetVisibility(v, LLVMHiddenVisibility);
    LLVMSetGlobalConstant(v, true);
    LLVMSetAlignment(v, 8);
    return v;
}

bool lower_unit_is_fixed(const struct lower_unit *u, uint32_t table)
{
    /* The one function of an OSR image calls what the instance has. */
    return u->am->tables[table].funcs && !u->opts->osr_offset;
}

uint32_t lower_type_class(const struct sv_type *type)
{
    return type->id + 1;
}

/* Of the function number `f` of the module plus 1; 0 and imports: nothing that code may call. */
static LLVMValueRef table_entry(struct lower_unit *u, LLVMValueRef table, uint32_t f)
{
    LLVMValueRef fields[2] = {LLVMConstInt(u->t.i32, 0, false), LLVMConstInt(u->t.i32, 0, false)},
                 code;

    if (f > u->m->nimports_of[SV_EXTERN_FUNC]) {
        code = LLVMConstPtrToInt(lower_func_decl(u, f - 1), u->t.i64);
        code = LLVMConstSub(code, LLVMConstPtrToInt(table, u->t.i64));
        fields[0] = LLVMConstInt(u->t.i32, lower_type_class(u->m->funcs[f - 1].type), false);
        fields[1] = LLVMConstTrunc(code, u->t.i32);
    }
    return LLVMConstStructInContext(u->ctx, fields, 2, false);
}

bool lower_unit_tables(struct lower_unit *u)
{
    for (uint32_t i = 0; i < u->m->ntables; i++) {
        const struct sv_aot_table *t = &u->am->tables[i];
        LLVMValueRef v, *entries;

        if (!lower_unit_is_fixed(u, i))
            continue;
        entries = sv_alloc_array((size_t)t->n + 1, sizeof *entries);
        if (!entries)
            return false;
        v = lower_unit_table(u, i);
        /* One more, which is nobody's: there calls with a higher index look. */
        for (uint32_t k = 0; k <= t->n; k++)
            entries[k] = table_entry(u, v, t->funcs[k]);
        LLVMSetInitializer(
            v, LLVMConstArray2(LLVMGetElementType(LLVMGlobalGetValueType(v)), entries, t->n + 1));
        sv_free(entries);
    }
    return true;
}
