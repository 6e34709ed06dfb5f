/* Lowering of instructions on references and objects, and of all that work on consecutive slots. */
#include "interp/lower.h"

uint8_t *lower_base_op(struct lower *l, uint32_t iop, uint32_t size, uint32_t nargs,
                       uint32_t *ret_base)
{
    uint32_t base = l->next_slot;
    uint8_t *p;

    if (!l->nomem) {
        lower_settle_top(l, nargs);
        lower_spill(l);
        if (nargs)
            base = l->st.data[l->st.len - nargs].slot;
    }
    /* The result may need two slots. */
    lower_reserve(l, base + 2);
    p = lower_emit(l, iop, size);
    lower_put16(p, 4, base);
    lower_put16(p, 6, l->next_slot > base + 2 ? l->next_slot : base + 2);
    if (ret_base)
        *ret_base = base;
    return p;
}

void lower_base_result(struct lower *l, uint32_t nargs, unsigned cls, bool in_acc)
{
    lower_drop(l, nargs);
    l->acc[CLASS_R] = (struct acc){.ent = NONE, .pos = NONE, .mirror = {NONE, NONE}};
    if (l->nomem)
        return;
    lower_kill_slot(l, l->next_slot, cls == CLASS_V ? 2 : 1);
    lower_push(l, ENT_SLOT, cls, 0);
    if (in_acc && cls == CLASS_R && !l->nomem)
        lower_mirror(l, CLASS_R, l->st.data[l->st.len - 1].slot);
}

/* ---- Objects ---- */

static unsigned field_log2(const struct sv_field *f)
{
    return (unsigned)__builtin_ctz(f->size);
}

static void struct_access(struct lower *l, uint32_t op)
{
    const struct sv_type *type = l->m->types[sv_code_u32(&l->p)];
    const struct sv_field *f = &type->strct.fields[sv_code_u32(&l->p)];
    bool set = op == OP_STRUCT_SET;
    uint8_t *p = lower_base_op(l, set ? I_STRUCT_SET : I_STRUCT_GET, 12, set ? 2 : 1, NULL);

    lower_put16(p, 6, field_log2(f) | (op == OP_STRUCT_GET_S ? 0x10 : 0));
    lower_put32(p, 8, f->offset);
    if (set)
        lower_drop(l, 2);
    else
        lower_base_result(l, 1, lower_class(f->type), true);
}

static void array_access(struct lower *l, uint32_t op)
{
    const struct sv_field *f = &l->m->types[sv_code_u32(&l->p)]->array.field;
    bool set = op == OP_ARRAY_SET;
    uint8_t *p = lower_base_op(l, set ? I_ARRAY_SET : I_ARRAY_GET, 8, set ? 3 : 2, NULL);

    lower_put16(p, 6, field_log2(f) | (op == OP_ARRAY_GET_S ? 0x10 : 0));
    if (set)
        lower_drop(l, 3);
    else
        lower_base_result(l, 2, lower_class(f->type), true);
}

/* Type at 8, something at 16. */
static void typed(struct lower *l, uint32_t iop, const struct sv_type *type, uint32_t x,
                  uint32_t nargs, bool result)
{
    uint8_t *p = lower_base_op(l, iop, 20, nargs, NULL);

    lower_put64(p, 8, (uintptr_t)type);
    lower_put32(p, 16, x);
    if (result)
        lower_base_result(l, nargs, CLASS_R, true);
    else
        lower_drop(l, nargs);
}

static bool array_op(struct lower *l, uint32_t op)
{
    const struct sv_type *type;
    uint32_t x;

    switch (op) {
    case OP_ARRAY_NEW:
    case OP_ARRAY_NEW_DEFAULT:
        typed(l, I_ARRAY_NEW, l->m->types[sv_code_u32(&l->p)], op == OP_ARRAY_NEW_DEFAULT,
              op == OP_ARRAY_NEW ? 2 : 1, true);
        return true;
    case OP_ARRAY_NEW_FIXED:
        type = l->m->types[sv_code_u32(&l->p)];
        x = sv_code_u32(&l->p);
        typed(l, I_ARRAY_NEW_FIXED, type, x, x, true);
        return true;
    case OP_ARRAY_NEW_DATA:
    case OP_ARRAY_NEW_ELEM:
        type = l->m->types[sv_code_u32(&l->p)];
        x = sv_code_u32(&l->p);
        typed(l, op == OP_ARRAY_NEW_DATA ? I_ARRAY_NEW_DATA : I_ARRAY_NEW_ELEM, type, x, 2, true);
        return true;
    case OP_ARRAY_INIT_DATA:
    case OP_ARRAY_INIT_ELEM:
        type = l->m->types[sv_code_u32(&l->p)];
        x = sv_code_u32(&l->p);
        typed(l, op == OP_ARRAY_INIT_DATA ? I_ARRAY_INIT_DATA : I_ARRAY_INIT_ELEM, type, x, 4,
              false);
        return true;
    case OP_ARRAY_FILL:
        typed(l, I_ARRAY_FILL, l->m->types[sv_code_u32(&l->p)], 0, 4, false);
        return true;
    case OP_ARRAY_COPY:
        type = l->m->types[sv_code_u32(&l->p)];
        (void)sv_code_u32(&l->p);
        typed(l, I_ARRAY_COPY, type, 0, 5, false);
        return true;
    case OP_ARRAY_GET:
    case OP_ARRAY_GET_S:
    case OP_ARRAY_GET_U:
    case OP_ARRAY_SET:
        array_access(l, op);
        return true;
    case OP_ARRAY_LEN:
        lower_base_op(l, I_ARRAY_LEN, 8, 1, NULL);
        lower_base_result(l, 1, CLASS_R, true);
        return true;
    default:
        return false;
    }
}

/* ---- References ---- */

static void test_or_cast(struct lower *l, uint32_t op)
{
    bool null = op == OP_REF_TEST_NULL || op == OP_REF_CAST_NULL,
         test = op == OP_REF_TEST || op == OP_REF_TEST_NULL;
    uint32_t heap = sv_code_heap(l->m, &l->p);
    uint8_t *p = lower_base_op(l, test ? I_REF_TEST : I_REF_CAST, 12, 1, NULL);

    lower_put32(p, 8, SV_REFTYPE(heap, null));
    lower_base_result(l, 1, CLASS_R, true);
}

static void small(struct lower *l, uint32_t iop, uint32_t x)
{
    uint8_t *p = lower_base_op(l, iop, 8, 1, NULL);

    lower_put16(p, 6, x);
    lower_base_result(l, 1, CLASS_R, true);
}

bool lower_ref_op(struct lower *l, uint32_t op)
{
    const struct sv_type *type;
    uint32_t x;
    uint8_t *p;

    switch (op) {
    case OP_REF_NULL:
        (void)sv_code_heap(l->m, &l->p);
        lower_push_const(l, CLASS_R, 0);
        return true;
    case OP_REF_IS_NULL:
        lower_unary(l, OP_I64_EQZ);
        return true;
    case OP_REF_EQ:
        lower_binary(l, OP_I64_EQ);
        return true;
    case OP_REF_FUNC:
        x = sv_code_u32(&l->p);
        p = lower_base_op(l, I_REF_FUNC, 12, 0, NULL);
        lower_put32(p, 8, x);
        lower_base_result(l, 0, CLASS_R, true);
        return true;
    case OP_REF_AS_NON_NULL:
        small(l, I_REF_AS_NON_NULL, SV_TRAP_NULL_REFERENCE);
        return true;
    case OP_REF_TEST:
    case OP_REF_TEST_NULL:
    case OP_REF_CAST:
    case OP_REF_CAST_NULL:
        test_or_cast(l, op);
        return true;
    case OP_REF_I31:
        small(l, I_REF_I31, 0);
        return true;
    case OP_I31_GET_S:
    case OP_I31_GET_U:
        small(l, op == OP_I31_GET_S ? I_I31_GET_S : I_I31_GET_U, 0);
        return true;
    case OP_ANY_CONVERT_EXTERN:
    case OP_EXTERN_CONVERT_ANY:
        return true;
    case OP_STRUCT_NEW:
    case OP_STRUCT_NEW_DEFAULT:
        type = l->m->types[sv_code_u32(&l->p)];
        typed(l, I_STRUCT_NEW, type, op == OP_STRUCT_NEW_DEFAULT,
              op == OP_STRUCT_NEW ? type->strct.nfields : 0, true);
        return true;
    case OP_STRUCT_GET:
    case OP_STRUCT_GET_S:
    case OP_STRUCT_GET_U:
    case OP_STRUCT_SET:
        struct_access(l, op);
        return true;
    default:
        return array_op(l, op);
    }
}
