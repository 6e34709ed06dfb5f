/* Lowering of references and of objects of the GC heap. Fields and elements are accessed in place;
 * allocation, bulk operations and casts that depend on supertypes are the runtime's. */
#include <stddef.h>

#include "aot/lower.h"
#include "runtime/gc.h"

/* Bits of a reference in the any hierarchy (runtime/value.h). */
enum { TAG_MASK = 3, TAG_HOST = 2 };

/* ---- Types: images know them by index in the module ---- */

static uint32_t type_slot(const struct lower_unit *u, uint32_t id)
{
    uint32_t i = id * UINT32_C(0x9e3779b1) & u->type_mask;

    while (u->type_map[i] && u->m->types[u->type_map[i] - 1]->id != id)
        i = (i + 1) & u->type_mask;
    return i;
}

static bool make_type_map(struct lower_unit *u)
{
    uint32_t size = 16;

    while (size / 2 < u->m->ntypes)
        size *= 2;
    u->type_map = sv_alloc_array_zero(size, sizeof *u->type_map);
    if (!u->type_map)
        return false;
    u->type_mask = size - 1;
    for (uint32_t i = 0; i < u->m->ntypes; i++) {
        uint32_t *slot = &u->type_map[type_slot(u, u->m->types[i]->id)];

        if (!*slot)
            *slot = i + 1;
    }
    return true;
}

uint32_t lower_type_index(struct lower *l, uint32_t id)
{
    if (!l->u->type_map && !make_type_map(l->u)) {
        l->nomem = true;
        return 0;
    }
    return l->u->type_map[type_slot(l->u, id)] - 1;
}

static LLVMValueRef flag(struct lower *l, LLVMValueRef cond)
{
    return LLVMBuildZExt(l->b, cond, l->t->i32, "");
}

static LLVMValueRef is_null(struct lower *l, LLVMValueRef r)
{
    return LLVMBuildICmp(l->b, LLVMIntEQ, r, lower_i64(l, SV_REF_NULL), "");
}

/* ---- Access to objects ---- */

static LLVMValueRef address(struct lower *l, LLVMValueRef r, uint64_t offset)
{
    return lower_field(l, LLVMBuildIntToPtr(l->b, r, l->t->ptr, ""), offset);
}

/* Something of the object's header; `invariant`: the same for the object's life. */
static LLVMValueRef head_read(struct lower *l, LLVMValueRef r, LLVMTypeRef type, uint64_t offset,
                              bool invariant)
{
    return lower_load_host(l, type, address(l, r, offset), invariant);
}

static bool packed(const struct sv_field *f)
{
    return f->type == SV_VALTYPE(SV_VAL_I8) || f->type == SV_VALTYPE(SV_VAL_I16);
}

/* As an operand, and in slots. */
static sv_valtype unpacked(const struct sv_field *f)
{
    return packed(f) ? SV_VALTYPE(SV_VAL_I32) : f->type;
}

static LLVMTypeRef field_type(const struct lower *l, const struct sv_field *f)
{
    if (packed(f))
        return f->size == 1 ? l->t->i8 : l->t->i16;
    return lower_type(l->u, f->type);
}

/* Push the field at the address. */
static void field_read(struct lower *l, const struct sv_field *f, LLVMValueRef at, bool sign)
{
    LLVMValueRef v = lower_load_host(l, field_type(l, f), at, false);

    if (packed(f))
        v = sign ? LLVMBuildSExt(l->b, v, l->t->i32, "") : LLVMBuildZExt(l->b, v, l->t->i32, "");
    lower_push(l, v);
}

static void field_write(struct lower *l, const struct sv_field *f, LLVMValueRef at, LLVMValueRef v)
{
    if (packed(f))
        v = LLVMBuildTrunc(l->b, v, field_type(l, f), "");
    lower_store_host(l, v, at);
}

/* ---- Run-time types ---- */

/* Does the object (or function) that r points to match the concrete type? An i1, from several
 * blocks: those that say yes or no go to `done`, with their answers in the phi. */
static void test_concrete(struct lower *l, LLVMValueRef r, uint32_t index, LLVMValueRef phi,
                          LLVMBasicBlockRef done)
{
    const struct sv_type *type = l->m->types[index];
    LLVMValueRef target = lower_inst_ptr(l, offsetof(struct sv_instance, types), index), have, same;
    LLVMValueRef args[] = {
        r, lower_i64(l, SV_NATIVE_REFTYPE((uint64_t)index + SV_HEAP_CONCRETE, false))};
    LLVMValueRef yes = LLVMConstInt(l->t->i1, 1, false);
    LLVMBasicBlockRef here = LLVMGetInsertBlock(l->b), slow;

    if (type->form == SV_FORM_FUNC) {
        have = lower_load_host(l, l->t->ptr, address(l, r, offsetof(struct sv_func, type)), true);
    } else {
        have = head_read(l, r, l->t->i32, offsetof(struct sv_object, type_id), true);
        target = lower_field(l, target, offsetof(struct sv_type, id));
        target = lower_load_host(l, l->t->i32, target, true);
    }
    same = LLVMBuildICmp(l->b, LLVMIntEQ, have, target, "");
    if (type->final) {
        LLVMAddIncoming(phi, &same, &here, 1);
        LLVMBuildBr(l->b, done);
        return;
    }
    slow = lower_block_new(l, "supertype");
    LLVMAddIncoming(phi, &yes, &here, 1);
    LLVMBuildCondBr(l->b, same, done, slow);
    LLVMPositionBuilderAtEnd(l->b, slow);
    same = lower_helper(l, SV_NATIVE_REF_MATCHES, args, SV_COUNT(args));
    same = LLVMBuildICmp(l->b, LLVMIntNE, same, lower_i64(l, 0), "");
    here = LLVMGetInsertBlock(l->b);
    LLVMAddIncoming(phi, &same, &here, 1);
    LLVMBuildBr(l->b, done);
}

static void test_form(struct lower *l, LLVMValueRef r, bool array, LLVMValueRef phi,
                      LLVMBasicBlockRef done)
{
    LLVMValueRef flags = head_read(l, r, l->t->i32, offsetof(struct sv_object, flags), false), ok;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(l->b);

    flags = LLVMBuildAnd(l->b, flags, lower_i32(l, SV_OBJECT_ARRAY), "");
    ok = LLVMBuildICmp(l->b, array ? LLVMIntNE : LLVMIntEQ, flags, lower_i32(l, 0), "");
    LLVMAddIncoming(phi, &ok, &here, 1);
    LLVMBuildBr(l->b, done);
}

/* What only the object can tell: its type, or its form. */
static LLVMValueRef test_object(struct lower *l, LLVMValueRef r, uint32_t heap,
                                LLVMValueRef if_not_object)
{
    LLVMBasicBlockRef here, look = lower_block_new(l, "object"), done;
    LLVMValueRef object = LLVMBuildNot(l->b, is_null(l, r), ""), phi, tag;

    if (sv_heap_top(l->m->types_registry, heap) == SV_HEAP_ANY) {
        tag = LLVMBuildAnd(l->b, r, lower_i64(l, TAG_MASK), "");
        object = LLVMBuildAnd(l->b, object,
                              LLVMBuildICmp(l->b, LLVMIntEQ, tag, lower_i64(l, 0), ""), "");
    }
    done = lower_block_new(l, "tested");
    here = LLVMGetInsertBlock(l->b);
    LLVMBuildCondBr(l->b, object, look, done);
    LLVMPositionBuilderAtEnd(l->b, done);
    phi = LLVMBuildPhi(l->b, l->t->i1, "");
    LLVMAddIncoming(phi, &if_not_object, &here, 1);
    LLVMPositionBuilderAtEnd(l->b, look);
    if (heap >= SV_HEAP_CONCRETE)
        test_concrete(l, r, lower_type_index(l, heap - SV_HEAP_CONCRETE), phi, done);
    else
        test_form(l, r, heap == SV_HEAP_ARRAY, phi, done);
    LLVMPositionBuilderAtEnd(l->b, done);
    return phi;
}

LLVMValueRef lower_ref_test(struct lower *l, LLVMValueRef r, uint32_t heap, bool nullable)
{
    LLVMValueRef null = is_null(l, r), never = LLVMConstInt(l->t->i1, 0, false), tag;

    switch (heap) {
    case SV_HEAP_FUNC:
    case SV_HEAP_EXTERN:
    case SV_HEAP_ANY:
    case SV_HEAP_EXN:
        return nullable ? LLVMConstInt(l->t->i1, 1, false) : LLVMBuildNot(l->b, null, "");
    case SV_HEAP_NOFUNC:
    case SV_HEAP_NOEXTERN:
    case SV_HEAP_NONE:
    case SV_HEAP_NOEXN:
        return nullable ? null : never;
    case SV_HEAP_I31:
        tag = LLVMBuildTrunc(l->b, r, l->t->i1, "");
        return nullable ? LLVMBuildOr(l->b, tag, null, "") : tag;
    case SV_HEAP_EQ: /* all but host values */
        tag = LLVMBuildAnd(l->b, r, lower_i64(l, TAG_MASK), "");
        tag = LLVMBuildICmp(l->b, LLVMIntNE, tag, lower_i64(l, TAG_HOST), "");
        return nullable ? tag : LLVMBuildAnd(l->b, tag, LLVMBuildNot(l->b, null, ""), "");
    default:
        return test_object(l, r, heap, nullable ? null : never);
    }
}

static void test_or_cast(struct lower *l, enum sv_op op)
{
    bool nullable = op == OP_REF_TEST_NULL || op == OP_REF_CAST_NULL,
         test = op == OP_REF_TEST || op == OP_REF_TEST_NULL;
    uint32_t heap = sv_code_heap(l->m, &l->p);
    LLVMValueRef r = lower_pop(l), ok = lower_ref_test(l, r, heap, nullable);

    if (test) {
        lower_push(l, flag(l, ok));
        return;
    }
    lower_trap_if(l, LLVMBuildNot(l->b, ok, ""), SV_TRAP_CAST);
    lower_push(l, r);
}

/* ---- Structures ---- */

/* Field accessed, and the object, which is popped. */
static const struct sv_field *struct_field(struct lower *l)
{
    const struct sv_type *type = l->m->types[sv_code_u32(&l->p)];

    return &type->strct.fields[sv_code_u32(&l->p)];
}

static LLVMValueRef pop_object(struct lower *l, int null_code)
{
    LLVMValueRef r = lower_pop(l);

    lower_trap_if(l, is_null(l, r), null_code);
    return r;
}

static void struct_get(struct lower *l, bool sign)
{
    const struct sv_field *f = struct_field(l);
    LLVMValueRef r = pop_object(l, SV_TRAP_NULL_STRUCTURE);

    field_read(l, f, address(l, r, f->offset), sign);
}

static void struct_set(struct lower *l)
{
    const struct sv_field *f = struct_field(l);
    LLVMValueRef v = lower_pop(l), r = pop_object(l, SV_TRAP_NULL_STRUCTURE);

    field_write(l, f, address(l, r, f->offset), v);
}

static void struct_new(struct lower *l, bool plain)
{
    uint32_t index = sv_code_u32(&l->p);
    const struct sv_type *type = l->m->types[index];
    LLVMValueRef arg = lower_i64(l, index), r = lower_helper(l, SV_NATIVE_STRUCT_NEW, &arg, 1);

    for (uint32_t i = plain ? 0 : type->strct.nfields; i > 0 && !l->nomem; i--) {
        const struct sv_field *f = &type->strct.fields[i - 1];

        field_write(l, f, address(l, r, f->offset), lower_pop(l));
    }
    lower_push(l, r);
}

static bool struct_op(struct lower *l, enum sv_op op)
{
    switch (op) {
    case OP_STRUCT_NEW:
    case OP_STRUCT_NEW_DEFAULT:
        struct_new(l, op == OP_STRUCT_NEW_DEFAULT);
        return true;
    case OP_STRUCT_GET:
    case OP_STRUCT_GET_S:
    case OP_STRUCT_GET_U:
        struct_get(l, op == OP_STRUCT_GET_S);
        return true;
    case OP_STRUCT_SET:
        struct_set(l);
        return true;
    default:
        return false;
    }
}

/* ---- Arrays ---- */

static LLVMValueRef element_address(struct lower *l, const struct sv_field *f, LLVMValueRef r,
                                    LLVMValueRef index)
{
    LLVMValueRef at = lower_wide(l, index);

    return LLVMBuildInBoundsGEP2(l->b, field_type(l, f), address(l, r, SV_GC_ARRAY_BASE), &at, 1,
                                 "");
}

static LLVMValueRef array_len(struct lower *l, LLVMValueRef r)
{
    return head_read(l, r, l->t->i32, offsetof(struct sv_array, len), true);
}

/* Pop index and array: the element's address. */
static LLVMValueRef pop_element(struct lower *l, const struct sv_field *f)
{
    LLVMValueRef index = lower_pop(l), r = pop_object(l, SV_TRAP_NULL_ARRAY);

    lower_trap_if(l, LLVMBuildICmp(l->b, LLVMIntUGE, index, array_len(l, r), ""),
                  SV_TRAP_ARRAY_BOUNDS);
    return element_address(l, f, r, index);
}

static void array_get(struct lower *l, bool sign)
{
    const struct sv_field *f = &l->m->types[sv_code_u32(&l->p)]->array.field;
    LLVMValueRef at = pop_element(l, f);

    field_read(l, f, at, sign);
}

static void array_set(struct lower *l)
{
    const struct sv_field *f = &l->m->types[sv_code_u32(&l->p)]->array.field;
    LLVMValueRef v = lower_pop(l), at = pop_element(l, f);

    field_write(l, f, at, v);
}

/* Pop an element's value into slots. */
static LLVMValueRef pop_slots(struct lower *l, const struct sv_field *f)
{
    sv_valtype type = unpacked(f);
    LLVMValueRef v = lower_pop(l), slots = lower_slots(l, sv_valtype_slots(type));

    lower_slot_write(l, slots, 0, type, v);
    return slots;
}

static void array_new(struct lower *l, bool plain)
{
    uint32_t index = sv_code_u32(&l->p);
    LLVMValueRef args[3] = {lower_i64(l, index), lower_wide(l, lower_pop(l))};

    args[2] = plain ? lower_i64(l, 0) : pop_slots(l, &l->m->types[index]->array.field);
    lower_push(l, lower_helper(l, SV_NATIVE_ARRAY_NEW, args, SV_COUNT(args)));
}

static void array_new_fixed(struct lower *l)
{
    uint32_t index = sv_code_u32(&l->p), n = sv_code_u32(&l->p);
    const struct sv_field *f = &l->m->types[index]->array.field;
    LLVMValueRef args[] = {lower_i64(l, index), lower_i64(l, n), lower_i64(l, 0)};
    LLVMValueRef r = lower_helper(l, SV_NATIVE_ARRAY_NEW, args, SV_COUNT(args));

    for (uint32_t i = n; i > 0 && !l->nomem; i--)
        field_write(l, f, element_address(l, f, r, lower_i32(l, i - 1)), lower_pop(l));
    lower_push(l, r);
}

/* A helper's operands from the stack, args[at] to args[at + n - 1]. */
static void pop_args(struct lower *l, LLVMValueRef *args, unsigned at, unsigned n)
{
    while (n > 0)
        args[at + --n] = lower_wide(l, lower_pop(l));
}

static void array_new_segment(struct lower *l, enum sv_native_helper h)
{
    uint32_t index = sv_code_u32(&l->p), segment = sv_code_u32(&l->p);
    LLVMValueRef args[4] = {lower_i64(l, index), lower_i64(l, segment)};

    pop_args(l, args, 2, 2);
    lower_push(l, lower_helper(l, h, args, SV_COUNT(args)));
}

static void array_init(struct lower *l, enum sv_native_helper h)
{
    uint32_t index = sv_code_u32(&l->p);
    uint64_t segment = sv_code_u32(&l->p);
    LLVMValueRef args[5] = {lower_i64(l, index | segment << 32)};

    pop_args(l, args, 1, 4);
    (void)lower_helper(l, h, args, SV_COUNT(args));
}

static void array_fill(struct lower *l)
{
    uint32_t index = sv_code_u32(&l->p);
    LLVMValueRef args[5] = {lower_i64(l, index)};

    pop_args(l, args, 4, 1);
    args[3] = pop_slots(l, &l->m->types[index]->array.field);
    pop_args(l, args, 1, 2);
    (void)lower_helper(l, SV_NATIVE_ARRAY_FILL, args, SV_COUNT(args));
}

/* The length shares a register with the type. */
static void array_copy(struct lower *l)
{
    uint32_t index = sv_code_u32(&l->p);
    LLVMValueRef args[5], len = lower_wide(l, lower_pop(l));

    (void)sv_code_u32(&l->p);
    len = LLVMBuildShl(l->b, len, lower_i64(l, 32), "");
    args[0] = LLVMBuildOr(l->b, len, lower_i64(l, index), "");
    pop_args(l, args, 1, 4);
    (void)lower_helper(l, SV_NATIVE_ARRAY_COPY, args, SV_COUNT(args));
}

static bool array_op(struct lower *l, enum sv_op op)
{
    switch (op) {
    case OP_ARRAY_NEW:
    case OP_ARRAY_NEW_DEFAULT:
        array_new(l, op == OP_ARRAY_NEW_DEFAULT);
        return true;
    case OP_ARRAY_NEW_FIXED:
        array_new_fixed(l);
        return true;
    case OP_ARRAY_NEW_DATA:
        array_new_segment(l, SV_NATIVE_ARRAY_NEW_DATA);
        return true;
    case OP_ARRAY_NEW_ELEM:
        array_new_segment(l, SV_NATIVE_ARRAY_NEW_ELEM);
        return true;
    case OP_ARRAY_INIT_DATA:
        array_init(l, SV_NATIVE_ARRAY_INIT_DATA);
        return true;
    case OP_ARRAY_INIT_ELEM:
        array_init(l, SV_NATIVE_ARRAY_INIT_ELEM);
        return true;
    case OP_ARRAY_GET:
    case OP_ARRAY_GET_S:
    case OP_ARRAY_GET_U:
        array_get(l, op == OP_ARRAY_GET_S);
        return true;
    case OP_ARRAY_SET:
        array_set(l);
        return true;
    case OP_ARRAY_LEN:
        lower_push(l, array_len(l, pop_object(l, SV_TRAP_NULL_ARRAY)));
        return true;
    case OP_ARRAY_FILL:
        array_fill(l);
        return true;
    case OP_ARRAY_COPY:
        array_copy(l);
        return true;
    default:
        return false;
    }
}

/* ---- References ---- */

/* Function instances are made when asked for. */
static void ref_func(struct lower *l, uint32_t index)
{
    LLVMValueRef funcs = lower_load_host(
        l, l->t->ptr, lower_field(l, l->inst, offsetof(struct sv_instance, funcs)), true);
    LLVMValueRef have = lower_load_host(
        l, l->t->i64, lower_field(l, funcs, (uint64_t)index * sizeof(struct sv_func *)), false);
    LLVMBasicBlockRef make = lower_block_new(l, "make"), done = lower_block_new(l, "made");
    LLVMBasicBlockRef from[2] = {LLVMGetInsertBlock(l->b)};
    LLVMValueRef values[2] = {have}, arg = lower_i64(l, index), phi;

    LLVMBuildCondBr(l->b, is_null(l, have), make, done);
    LLVMPositionBuilderAtEnd(l->b, make);
    values[1] = lower_helper(l, SV_NATIVE_FUNC, &arg, 1);
    from[1] = LLVMGetInsertBlock(l->b);
    LLVMBuildBr(l->b, done);
    LLVMPositionBuilderAtEnd(l->b, done);
    phi = LLVMBuildPhi(l->b, l->t->i64, "");
    LLVMAddIncoming(phi, values, from, 2);
    lower_push(l, phi);
}

/* The value is in bits 1 to 31, bit 0 says what it is. */
static void ref_i31(struct lower *l)
{
    LLVMValueRef v = LLVMBuildShl(l->b, lower_pop(l), lower_i32(l, 1), "");

    lower_push(l, lower_wide(l, LLVMBuildOr(l->b, v, lower_i32(l, 1), "")));
}

static void i31_get(struct lower *l, bool sign)
{
    LLVMValueRef r = pop_object(l, SV_TRAP_NULL_I31), one = lower_i32(l, 1);

    r = LLVMBuildTrunc(l->b, r, l->t->i32, "");
    lower_push(l, sign ? LLVMBuildAShr(l->b, r, one, "") : LLVMBuildLShr(l->b, r, one, ""));
}

static bool i31_or_cast(struct lower *l, enum sv_op op)
{
    switch (op) {
    case OP_REF_TEST:
    case OP_REF_TEST_NULL:
    case OP_REF_CAST:
    case OP_REF_CAST_NULL:
        test_or_cast(l, op);
        return true;
    case OP_REF_I31:
        ref_i31(l);
        return true;
    case OP_I31_GET_S:
    case OP_I31_GET_U:
        i31_get(l, op == OP_I31_GET_S);
        return true;
    case OP_ANY_CONVERT_EXTERN:
    case OP_EXTERN_CONVERT_ANY:
        return true; /* the same bits */
    default:
        return false;
    }
}

bool lower_ref_op(struct lower *l, enum sv_op op)
{
    LLVMValueRef r;

    switch (op) {
    case OP_REF_NULL:
        (void)sv_code_heap(l->m, &l->p);
        lower_push(l, lower_i64(l, SV_REF_NULL));
        return true;
    case OP_REF_IS_NULL:
        lower_push(l, flag(l, is_null(l, lower_pop(l))));
        return true;
    case OP_REF_EQ:
        r = lower_pop(l);
        lower_push(l, flag(l, LLVMBuildICmp(l->b, LLVMIntEQ, lower_pop(l), r, "")));
        return true;
    case OP_REF_FUNC:
        ref_func(l, sv_code_u32(&l->p));
        return true;
    case OP_REF_AS_NON_NULL:
        lower_push(l, pop_object(l, SV_TRAP_NULL_REFERENCE));
        return true;
    default:
        return i31_or_cast(l, op) || struct_op(l, op) || array_op(l, op);
    }
}
