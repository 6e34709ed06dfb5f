/* Typing of references, structs and arrays (spec 3.4.9 to 3.4.12). */
#include "wasm/validate.h"

static sv_valtype concrete(const struct sv_validator *v, uint32_t type, bool nullable)
{
    return SV_REFTYPE(SV_HEAP_CONCRETE + v->m->types[type]->id, nullable);
}

/* What a field's value is on the stack. */
static sv_valtype unpacked(sv_valtype storage)
{
    return storage == SV_VAL_I8 || storage == SV_VAL_I16 ? SV_VAL_I32 : storage;
}

static bool is_packed(sv_valtype storage)
{
    return unpacked(storage) != storage;
}

/* ---- references ---- */

int sv_validate_ref_null(struct sv_validator *v, enum sv_op op)
{
    sv_valtype type;
    int r = sv_validate_heap(v, true, &type);

    (void)op;
    if (r == 0)
        sv_validate_push(v, type);
    return r;
}

int sv_validate_ref_is_null(struct sv_validator *v, enum sv_op op)
{
    sv_valtype type;
    int r = sv_validate_pop_ref(v, &type);

    (void)op;
    if (r == 0)
        sv_validate_push(v, SV_VAL_I32);
    return r;
}

int sv_validate_ref_func(struct sv_validator *v, enum sv_op op)
{
    uint32_t index;
    int r = sv_validate_index(v, "function", v->m->nfuncs, &index);

    (void)op;
    if (r != 0)
        return r;
    /* outside of bodies an occurrence is the declaration (spec 3.5.15) */
    if (v->is_const)
        v->m->funcs[index].declared = true;
    else if (!v->m->funcs[index].declared)
        return sv_validate_fail(v, SV_EINVALID, "undeclared function reference to function %u",
                                index);
    sv_validate_push(v, SV_REFTYPE(SV_HEAP_CONCRETE + v->m->funcs[index].type->id, false));
    return 0;
}

int sv_validate_ref_eq(struct sv_validator *v, enum sv_op op)
{
    int r = sv_validate_pop(v, SV_REFTYPE(SV_HEAP_EQ, true));

    (void)op;
    if (r == 0)
        r = sv_validate_pop(v, SV_REFTYPE(SV_HEAP_EQ, true));
    if (r == 0)
        sv_validate_push(v, SV_VAL_I32);
    return r;
}

int sv_validate_ref_as_non_null(struct sv_validator *v, enum sv_op op)
{
    sv_valtype type;
    int r = sv_validate_pop_ref(v, &type);

    (void)op;
    if (r == 0)
        sv_validate_push(v, SV_REFTYPE(sv_valtype_heap(type), false));
    return r;
}

/* The operand may be anything of the target's hierarchy. */
static int pop_castable(struct sv_validator *v, sv_valtype target)
{
    uint32_t top = sv_heap_top(v->m->types_registry, sv_valtype_heap(target));

    return sv_validate_pop(v, SV_REFTYPE(top, true));
}

int sv_validate_ref_test(struct sv_validator *v, enum sv_op op)
{
    sv_valtype target;
    int r = sv_validate_heap(v, op == OP_REF_TEST_NULL, &target);

    if (r == 0)
        r = pop_castable(v, target);
    if (r == 0)
        sv_validate_push(v, SV_VAL_I32);
    return r;
}

int sv_validate_ref_cast(struct sv_validator *v, enum sv_op op)
{
    sv_valtype target;
    int r = sv_validate_heap(v, op == OP_REF_CAST_NULL, &target);

    if (r == 0)
        r = pop_castable(v, target);
    if (r == 0)
        sv_validate_push(v, target);
    return r;
}

int sv_validate_convert(struct sv_validator *v, enum sv_op op)
{
    uint32_t from = op == OP_ANY_CONVERT_EXTERN ? SV_HEAP_EXTERN : SV_HEAP_ANY;
    uint32_t to = op == OP_ANY_CONVERT_EXTERN ? SV_HEAP_ANY : SV_HEAP_EXTERN;
    bool nullable;
    sv_valtype type;
    int r = sv_validate_pop_ref(v, &type);

    if (r != 0)
        return r;
    nullable = sv_valtype_nullable(type);
    if (!sv_valtype_matches(v->m->types_registry, type, SV_REFTYPE(from, true)))
        return sv_validate_mismatch(v, SV_REFTYPE(from, true), type);
    sv_validate_push(v, SV_REFTYPE(to, nullable));
    return 0;
}

int sv_validate_i31(struct sv_validator *v, enum sv_op op)
{
    bool make = op == OP_REF_I31;
    int r = sv_validate_pop(v, make ? SV_VAL_I32 : SV_REFTYPE(SV_HEAP_I31, true));

    if (r == 0)
        sv_validate_push(v, make ? SV_REFTYPE(SV_HEAP_I31, false) : SV_VAL_I32);
    return r;
}

/* ---- structs ---- */

int sv_validate_struct_new(struct sv_validator *v, enum sv_op op)
{
    const struct sv_type *type;
    uint32_t index;
    int r = sv_validate_type_index(v, SV_FORM_STRUCT, &index);

    if (r != 0)
        return r;
    type = v->m->types[index];
    if (op == OP_STRUCT_NEW_DEFAULT && !type->strct.defaultable)
        return sv_validate_fail(v, SV_EINVALID, "field type is not defaultable in type %u", index);
    if (op == OP_STRUCT_NEW)
        for (uint32_t i = type->strct.nfields; r == 0 && i-- > 0 && !sv_validate_is_bottom(v);)
            r = sv_validate_pop(v, unpacked(type->strct.fields[i].type));
    if (r == 0)
        sv_validate_push(v, concrete(v, index, false));
    return r;
}

static int read_field(struct sv_validator *v, uint32_t *ret_type, const struct sv_field **ret)
{
    const struct sv_type *type;
    uint32_t field;
    int r = sv_validate_type_index(v, SV_FORM_STRUCT, ret_type);

    if (r != 0)
        return r;
    type = v->m->types[*ret_type];
    r = sv_validate_index(v, "field", type->strct.nfields, &field);
    if (r == 0)
        *ret = &type->strct.fields[field];
    return r;
}

/* get for plain fields, get_s and get_u for packed ones. */
static int check_packing(struct sv_validator *v, const struct sv_field *field, bool plain)
{
    if (is_packed(field->type) == plain)
        return sv_validate_fail(v, SV_EINVALID,
                                plain ? "type mismatch: field is packed"
                                      : "type mismatch: field is not packed");
    return 0;
}

int sv_validate_struct_get(struct sv_validator *v, enum sv_op op)
{
    const struct sv_field *field = NULL;
    uint32_t type;
    int r = read_field(v, &type, &field);

    if (r == 0)
        r = check_packing(v, field, op == OP_STRUCT_GET);
    if (r == 0)
        r = sv_validate_pop(v, concrete(v, type, true));
    if (r == 0)
        sv_validate_push(v, unpacked(field->type));
    return r;
}

int sv_validate_struct_set(struct sv_validator *v, enum sv_op op)
{
    const struct sv_field *field = NULL;
    uint32_t type;
    int r = read_field(v, &type, &field);

    (void)op;
    if (r != 0)
        return r;
    if (!field->mut)
        return sv_validate_fail(v, SV_EINVALID, "immutable field");
    r = sv_validate_pop(v, unpacked(field->type));
    return r != 0 ? r : sv_validate_pop(v, concrete(v, type, true));
}

/* ---- arrays ---- */

static int read_array(struct sv_validator *v, uint32_t *ret_type, const struct sv_field **ret)
{
    int r = sv_validate_type_index(v, SV_FORM_ARRAY, ret_type);

    if (r == 0)
        *ret = &v->m->types[*ret_type]->array.field;
    return r;
}

/* The i32 operands on top, from the last one down. */
static int pop_i32s(struct sv_validator *v, unsigned n)
{
    int r = 0;

    while (r == 0 && n-- > 0)
        r = sv_validate_pop(v, SV_VAL_I32);
    return r;
}

int sv_validate_array_new(struct sv_validator *v, enum sv_op op)
{
    const struct sv_field *field = NULL;
    uint32_t type;
    int r = read_array(v, &type, &field);

    if (r == 0 && op == OP_ARRAY_NEW_DEFAULT && !sv_valtype_defaultable(field->type))
        return sv_validate_fail(v, SV_EINVALID, "array type is not defaultable: type %u", type);
    if (r == 0)
        r = pop_i32s(v, 1);
    if (r == 0 && op == OP_ARRAY_NEW)
        r = sv_validate_pop(v, unpacked(field->type));
    if (r == 0)
        sv_validate_push(v, concrete(v, type, false));
    return r;
}

int sv_validate_array_new_fixed(struct sv_validator *v, enum sv_op op)
{
    const struct sv_field *field = NULL;
    uint32_t type, n;
    int r = read_array(v, &type, &field);

    (void)op;
    if (r == 0)
        r = sv_validate_u32(v, &n);
    if (r != 0)
        return r;
    if (n > SV_LIMIT_NEW_FIXED)
        return sv_validate_fail(v, SV_ELIMIT, "'array.new_fixed' of %u elements, at most %u", n,
                                SV_LIMIT_NEW_FIXED);
    while (r == 0 && n-- > 0 && !sv_validate_is_bottom(v))
        r = sv_validate_pop(v, unpacked(field->type));
    if (r == 0)
        sv_validate_push(v, concrete(v, type, false));
    return r;
}

static bool is_numeric(sv_valtype storage)
{
    return !sv_valtype_is_ref(storage);
}

/* The segment of array.new_data, .new_elem, .init_data, .init_elem fits the array. */
static int read_source(struct sv_validator *v, bool data, const struct sv_field *field)
{
    uint32_t index;
    int r = sv_validate_u32(v, &index);

    if (r != 0)
        return r;
    if (data) {
        if (!v->has_data_count)
            return sv_validate_fail(v, SV_EMALFORMED, "data count section required");
        if (index >= v->m->ndatas)
            return sv_validate_fail(v, SV_EINVALID, "unknown data segment %u", index);
        if (!is_numeric(field->type))
            return sv_validate_fail(v, SV_EINVALID, "array type is not numeric or vector");
        return 0;
    }
    if (index >= v->m->nelems)
        return sv_validate_fail(v, SV_EINVALID, "unknown elem segment %u", index);
    if (!sv_valtype_matches(v->m->types_registry, v->m->elems[index].type, field->type))
        return sv_validate_mismatch(v, field->type, v->m->elems[index].type);
    return 0;
}

int sv_validate_array_new_segment(struct sv_validator *v, enum sv_op op)
{
    const struct sv_field *field = NULL;
    uint32_t type;
    int r = read_array(v, &type, &field);

    if (r == 0)
        r = read_source(v, op == OP_ARRAY_NEW_DATA, field);
    if (r == 0)
        r = pop_i32s(v, 2);
    if (r == 0)
        sv_validate_push(v, concrete(v, type, false));
    return r;
}

int sv_validate_array_get(struct sv_validator *v, enum sv_op op)
{
    const struct sv_field *field = NULL;
    uint32_t type;
    int r = read_array(v, &type, &field);

    if (r == 0)
        r = check_packing(v, field, op == OP_ARRAY_GET);
    if (r == 0)
        r = pop_i32s(v, 1);
    if (r == 0)
        r = sv_validate_pop(v, concrete(v, type, true));
    if (r == 0)
        sv_validate_push(v, unpacked(field->type));
    return r;
}

static int read_mutable_array(struct sv_validator *v, uint32_t *ret_type,
                              const struct sv_field **ret)
{
    int r = read_array(v, ret_type, ret);

    if (r == 0 && !(*ret)->mut)
        return sv_validate_fail(v, SV_EINVALID, "immutable array");
    return r;
}

int sv_validate_array_set(struct sv_validator *v, enum sv_op op)
{
    const struct sv_field *field = NULL;
    uint32_t type;
    int r = read_mutable_array(v, &type, &field);

    (void)op;
    if (r == 0)
        r = sv_validate_pop(v, unpacked(field->type));
    if (r == 0)
        r = pop_i32s(v, 1);
    return r != 0 ? r : sv_validate_pop(v, concrete(v, type, true));
}

int sv_validate_array_len(struct sv_validator *v, enum sv_op op)
{
    int r = sv_validate_pop(v, SV_REFTYPE(SV_HEAP_ARRAY, true));

    (void)op;
    if (r == 0)
        sv_validate_push(v, SV_VAL_I32);
    return r;
}

int sv_validate_array_fill(struct sv_validator *v, enum sv_op op)
{
    const struct sv_field *field = NULL;
    uint32_t type;
    int r = read_mutable_array(v, &type, &field);

    (void)op;
    if (r == 0)
        r = pop_i32s(v, 1);
    if (r == 0)
        r = sv_validate_pop(v, unpacked(field->type));
    if (r == 0)
        r = pop_i32s(v, 1);
    return r != 0 ? r : sv_validate_pop(v, concrete(v, type, true));
}

int sv_validate_array_copy(struct sv_validator *v, enum sv_op op)
{
    const struct sv_field *to = NULL, *from = NULL;
    uint32_t to_type, from_type;
    int r = read_mutable_array(v, &to_type, &to);

    (void)op;
    if (r == 0)
        r = read_array(v, &from_type, &from);
    if (r != 0)
        return r;
    if (is_packed(to->type) || is_packed(from->type)
            ? to->type != from->type
            : !sv_valtype_matches(v->m->types_registry, from->type, to->type))
        return sv_validate_fail(v, SV_EINVALID, "array types do not match");
    r = pop_i32s(v, 2);
    if (r == 0)
        r = sv_validate_pop(v, concrete(v, from_type, true));
    if (r == 0)
        r = pop_i32s(v, 1);
    return r != 0 ? r : sv_validate_pop(v, concrete(v, to_type, true));
}

int sv_validate_array_init_segment(struct sv_validator *v, enum sv_op op)
{
    const struct sv_field *field = NULL;
    uint32_t type;
    int r = read_mutable_array(v, &type, &field);

    if (r == 0)
        r = read_source(v, op == OP_ARRAY_INIT_DATA, field);
    if (r == 0)
        r = pop_i32s(v, 3);
    return r != 0 ? r : sv_validate_pop(v, concrete(v, type, true));
}
