/* Typing of drop, select, locals, globals, tables, and bulk copies (spec 3.4.1, 3.4.5 to 3.4.8). */
#include "wasm/validate.h"

int sv_validate_drop(struct sv_validator *v, enum sv_op op)
{
    sv_valtype type;

    (void)op;
    return sv_validate_pop_any(v, &type);
}

/* Without a type: two operands of one number or vector type. */
int sv_validate_select(struct sv_validator *v, enum sv_op op)
{
    sv_valtype a, b;
    int r = sv_validate_pop(v, SV_VAL_I32);

    (void)op;
    if (r == 0)
        r = sv_validate_pop_any(v, &b);
    if (r == 0)
        r = sv_validate_pop_any(v, &a);
    if (r != 0)
        return r;
    if (sv_valtype_is_ref(a) || sv_valtype_is_ref(b))
        return sv_validate_fail(v, SV_EINVALID,
                                "type mismatch: 'select' of references wants a type");
    if (a != b && a != SV_VAL_BOT && b != SV_VAL_BOT)
        return sv_validate_mismatch(v, a, b);
    sv_validate_push(v, a != SV_VAL_BOT ? a : b);
    return 0;
}

int sv_validate_select_t(struct sv_validator *v, enum sv_op op)
{
    sv_valtype type;
    uint32_t n;
    int r = sv_validate_u32(v, &n);

    (void)op;
    if (r != 0)
        return r;
    if (n != 1)
        return sv_validate_fail(v, SV_EINVALID, "invalid result arity %u of 'select'", n);
    r = sv_validate_valtype(v, &type);
    if (r == 0)
        r = sv_validate_pop(v, SV_VAL_I32);
    if (r == 0)
        r = sv_validate_pop(v, type);
    if (r == 0)
        r = sv_validate_pop(v, type);
    if (r == 0)
        sv_validate_push(v, type);
    return r;
}

/* ---- locals ---- */

static bool needs_value(const struct sv_validator *v, uint32_t index, sv_valtype type)
{
    return v->any_nondefaultable && index >= v->type->func.nparams && !sv_valtype_defaultable(type);
}

static int set_local(struct sv_validator *v, uint32_t index)
{
    if (v->is_set[index / 8] >> index % 8 & 1)
        return 0;
    if (!SV_VEC_PUSH(&v->set_locals, SV_LIMIT_PARAMS + SV_LIMIT_LOCALS, index))
        return sv_fail_nomem(v->err, "locals");
    v->is_set[index / 8] |= (uint8_t)(1u << index % 8);
    return 0;
}

int sv_validate_local(struct sv_validator *v, enum sv_op op)
{
    sv_valtype type;
    uint32_t index;
    int r = 0;

    if (!sv_read_u32(&v->r, &index))
        return sv_validate_fail_read(v);
    if (index >= v->nlocals)
        return sv_validate_fail(v, SV_EINVALID, "unknown local %u", index);
    type = index < v->neager ? v->eager[index] : sv_validate_local_type(v, index);
    if (op == OP_LOCAL_GET) {
        if (needs_value(v, index, type) && !(v->is_set[index / 8] >> index % 8 & 1))
            return sv_validate_fail(v, SV_EINVALID, "uninitialized local %u", index);
        sv_validate_push(v, type);
        return 0;
    }
    if (v->top != v->base && v->top[-1] == type)
        v->top--;
    else
        r = sv_validate_pop(v, type);
    if (r == 0 && needs_value(v, index, type))
        r = set_local(v, index);
    if (r == 0 && op == OP_LOCAL_TEE)
        sv_validate_push(v, type);
    return r;
}

/* ---- globals ---- */

int sv_validate_global(struct sv_validator *v, enum sv_op op)
{
    const struct sv_global_type *type;
    uint32_t index;
    int r = sv_validate_index(v, "global", v->m->nglobals, &index);

    if (r != 0)
        return r;
    type = &v->m->globals[index].type;
    if (op == OP_GLOBAL_GET) {
        if (v->is_const && type->mut)
            return sv_validate_fail(v, SV_EINVALID,
                                    "constant expression required, global %u is mutable", index);
        sv_validate_push(v, type->type);
        return 0;
    }
    if (!type->mut)
        return sv_validate_fail(v, SV_EINVALID, "immutable global %u", index);
    return sv_validate_pop(v, type->type);
}

/* ---- tables ---- */

static sv_valtype address_of(const struct sv_table_type *table)
{
    return table->limits.is64 ? SV_VAL_I64 : SV_VAL_I32;
}

static int read_table(struct sv_validator *v, const struct sv_table_type **ret)
{
    uint32_t index;
    int r = sv_validate_index(v, "table", v->m->ntables, &index);

    if (r == 0)
        *ret = &v->m->tables[index].type;
    return r;
}

int sv_validate_table_access(struct sv_validator *v, enum sv_op op)
{
    const struct sv_table_type *table = NULL;
    int r = read_table(v, &table);

    if (r == 0 && op == OP_TABLE_SET)
        r = sv_validate_pop(v, table->type);
    if (r == 0)
        r = sv_validate_pop(v, address_of(table));
    if (r == 0 && op == OP_TABLE_GET)
        sv_validate_push(v, table->type);
    return r;
}

/* table.size: -> a; table.grow: t a -> a; table.fill: a t a -> */
int sv_validate_table_size(struct sv_validator *v, enum sv_op op)
{
    const struct sv_table_type *table = NULL;
    int r = read_table(v, &table);

    if (r == 0 && op != OP_TABLE_SIZE)
        r = sv_validate_pop(v, address_of(table));
    if (r == 0 && op != OP_TABLE_SIZE)
        r = sv_validate_pop(v, table->type);
    if (r == 0 && op == OP_TABLE_FILL)
        return sv_validate_pop(v, address_of(table));
    if (r == 0)
        sv_validate_push(v, address_of(table));
    return r;
}

int sv_validate_table_init(struct sv_validator *v, enum sv_op op)
{
    const struct sv_table_type *table = NULL;
    uint32_t elem, index;
    int r = sv_validate_u32(v, &elem);

    (void)op;
    if (r == 0)
        r = sv_validate_index(v, "table", v->m->ntables, &index);
    if (r != 0)
        return r;
    if (elem >= v->m->nelems)
        return sv_validate_fail(v, SV_EINVALID, "unknown elem segment %u", elem);
    table = &v->m->tables[index].type;
    if (!sv_valtype_matches(v->m->types_registry, v->m->elems[elem].type, table->type))
        return sv_validate_mismatch(v, table->type, v->m->elems[elem].type);
    r = sv_validate_pop(v, SV_VAL_I32);
    if (r == 0)
        r = sv_validate_pop(v, SV_VAL_I32);
    return r != 0 ? r : sv_validate_pop(v, address_of(table));
}

/* destination, source, length: the length has the smaller address type (spec 3.4.7). */
static int pop_copy(struct sv_validator *v, sv_valtype to, sv_valtype from)
{
    bool both64 = to == SV_VAL_I64 && from == SV_VAL_I64;
    int r = sv_validate_pop(v, both64 ? SV_VAL_I64 : SV_VAL_I32);

    if (r == 0)
        r = sv_validate_pop(v, from);
    return r != 0 ? r : sv_validate_pop(v, to);
}

int sv_validate_table_copy(struct sv_validator *v, enum sv_op op)
{
    const struct sv_table_type *to = NULL, *from = NULL;
    int r = read_table(v, &to);

    (void)op;
    if (r == 0)
        r = read_table(v, &from);
    if (r != 0)
        return r;
    if (!sv_valtype_matches(v->m->types_registry, from->type, to->type))
        return sv_validate_mismatch(v, to->type, from->type);
    return pop_copy(v, address_of(to), address_of(from));
}

int sv_validate_memory_copy(struct sv_validator *v, enum sv_op op)
{
    uint32_t to, from;
    int r = sv_validate_index(v, "memory", v->m->nmemories, &to);

    (void)op;
    if (r == 0)
        r = sv_validate_index(v, "memory", v->m->nmemories, &from);
    if (r != 0)
        return r;
    return pop_copy(v, v->m->memories[to].limits.is64 ? SV_VAL_I64 : SV_VAL_I32,
                    v->m->memories[from].limits.is64 ? SV_VAL_I64 : SV_VAL_I32);
}
