/* Lowering of locals, globals, constants, select, single table elements and sizes. Not what moves
 * many elements or bytes: that is lower_bulk.c. */
#include <stddef.h>

#include "aot/lower.h"

/* ---- Locals ---- */

static void local_get(struct lower *l, uint32_t i)
{
    const struct lower_local *local = &l->locals[i];
    struct lower_value v = {.v = LLVMBuildLoad2(l->b, local->type, local->slot, "")};

    if (local->type == l->t->i32) {
        v.root = lower_local_root(l, i);
        v.delta = local->delta;
    }
    lower_push_value(l, v);
}

/* The value, with the number that the local has from now on. */
static struct lower_value local_set(struct lower *l, uint32_t i)
{
    struct lower_value v = lower_pop_value(l);

    if (v.root == 0 && l->locals[i].type == l->t->i32) {
        v.root = lower_root_new(l);
        v.delta = 0;
    }
    lower_local_set(l, i, v);
    return v;
}

/* ---- Globals ---- */

/* The module's own lie in the instance. */
static LLVMValueRef global_address(struct lower *l, uint32_t i)
{
    uint32_t first = l->m->nimports_of[SV_EXTERN_GLOBAL];
    LLVMValueRef global;

    if (i < first)
        global = lower_inst_ptr(l, offsetof(struct sv_instance, globals), i);
    else
        global = lower_field(l, l->inst,
                             l->u->layout.own_globals + (i - first) * sizeof(struct sv_global));
    return lower_field(l, global, offsetof(struct sv_global, value));
}

static void global_get(struct lower *l, uint32_t i)
{
    const struct sv_global_type *type = &l->m->globals[i].type;

    lower_push(l,
               lower_load_host(l, lower_type(l->u, type->type), global_address(l, i), !type->mut));
}

static void global_set(struct lower *l, uint32_t i)
{
    LLVMValueRef v = lower_pop(l);

    lower_store_host(l, v, global_address(l, i));
}

/* ---- Constants ---- */

/* From the bits: a signalling NaN stays one. */
static void float_const(struct lower *l, LLVMTypeRef type, LLVMValueRef bits)
{
    lower_push(l, LLVMConstBitCast(bits, type));
}

static bool constant(struct lower *l, enum sv_op op)
{
    switch (op) {
    case OP_I32_CONST:
        lower_push(l, lower_i32(l, (uint32_t)sv_code_s32(&l->p)));
        return true;
    case OP_I64_CONST:
        lower_push(l, lower_i64(l, (uint64_t)sv_code_s64(&l->p)));
        return true;
    case OP_F32_CONST:
        float_const(l, l->t->f32, lower_i32(l, sv_code_f32_bits(&l->p)));
        return true;
    case OP_F64_CONST:
        float_const(l, l->t->f64, lower_i64(l, sv_code_f64_bits(&l->p)));
        return true;
    default:
        return false;
    }
}

static void select_op(struct lower *l)
{
    LLVMValueRef cond = lower_pop(l), no = lower_pop(l), yes = lower_pop(l);

    cond = LLVMBuildICmp(l->b, LLVMIntNE, cond, lower_i32(l, 0), "");
    lower_push(l, LLVMBuildSelect(l->b, cond, yes, no, ""));
}

/* ---- Tables ---- */

static LLVMValueRef table_size(struct lower *l, LLVMValueRef table)
{
    return lower_load_host(l, l->t->i64, lower_field(l, table, offsetof(struct sv_table, size)),
                           false);
}

/* The address of the element, or the trap. */
static LLVMValueRef table_element(struct lower *l, uint32_t x, LLVMValueRef index)
{
    LLVMValueRef table = lower_inst_ptr(l, offsetof(struct sv_instance, tables), x), elems;

    index = lower_wide(l, index);
    lower_trap_if(l, LLVMBuildICmp(l->b, LLVMIntUGE, index, table_size(l, table), ""),
                  SV_TRAP_TABLE_BOUNDS);
    elems = lower_load_host(l, l->t->ptr, lower_field(l, table, offsetof(struct sv_table, elems)),
                            false);
    return LLVMBuildInBoundsGEP2(l->b, l->t->i64, elems, &index, 1, "");
}

static void table_get(struct lower *l, uint32_t x)
{
    LLVMValueRef at = table_element(l, x, lower_pop(l));

    lower_push(l, lower_load_host(l, l->t->i64, at, false));
}

static void table_set(struct lower *l, uint32_t x)
{
    LLVMValueRef v = lower_pop(l);

    lower_store_host(l, v, table_element(l, x, lower_pop(l)));
}

static void push_table_size(struct lower *l, uint32_t x)
{
    LLVMValueRef table = lower_inst_ptr(l, offsetof(struct sv_instance, tables), x);

    lower_push_address(l, table_size(l, table), l->m->tables[x].type.limits.is64);
}

/* ---- Memories ---- */

LLVMValueRef lower_memory_size(struct lower *l, uint32_t memory)
{
    LLVMValueRef m = lower_inst_ptr(l, offsetof(struct sv_instance, memories), memory);
    LLVMValueRef size =
        lower_load_host(l, l->t->i64, lower_field(l, m, offsetof(struct sv_memory, size)), false);

    /* Other threads grow it. */
    if (l->m->memories[memory].limits.shared)
        LLVMSetVolatile(size, true);
    return size;
}

LLVMValueRef lower_memory_base(struct lower *l, uint32_t memory)
{
    LLVMValueRef m;

    if (memory == 0)
        return l->mem0;
    m = lower_inst_ptr(l, offsetof(struct sv_instance, memories), memory);
    return lower_load_host(l, l->t->ptr, lower_field(l, m, offsetof(struct sv_memory, base)), true);
}

static void push_memory_size(struct lower *l, uint32_t x)
{
    const struct sv_memory_type *type = &l->m->memories[x];
    LLVMValueRef size = lower_memory_size(l, x);

    size = LLVMBuildLShr(l->b, size, lower_i64(l, type->page_shift), "");
    lower_push_address(l, size, type->limits.is64);
}

static bool variable(struct lower *l, enum sv_op op)
{
    uint32_t i;

    switch (op) {
    case OP_LOCAL_GET:
        local_get(l, sv_code_u32(&l->p));
        return true;
    case OP_LOCAL_SET:
        (void)local_set(l, sv_code_u32(&l->p));
        return true;
    case OP_LOCAL_TEE:
        i = sv_code_u32(&l->p);
        lower_push_value(l, local_set(l, i));
        return true;
    case OP_GLOBAL_GET:
        global_get(l, sv_code_u32(&l->p));
        return true;
    case OP_GLOBAL_SET:
        global_set(l, sv_code_u32(&l->p));
        return true;
    case OP_TABLE_GET:
        table_get(l, sv_code_u32(&l->p));
        return true;
    case OP_TABLE_SET:
        table_set(l, sv_code_u32(&l->p));
        return true;
    case OP_TABLE_SIZE:
        push_table_size(l, sv_code_u32(&l->p));
        return true;
    case OP_MEMORY_SIZE:
        push_memory_size(l, sv_code_u32(&l->p));
        return true;
    default:
        return false;
    }
}

bool lower_variable_op(struct lower *l, enum sv_op op)
{
    switch (op) {
    case OP_NOP:
        return true;
    case OP_DROP:
        (void)lower_pop(l);
        return true;
    case OP_SELECT_T:
        sv_code_skip(&l->p, op);
        select_op(l);
        return true;
    case OP_SELECT:
        select_op(l);
        return true;
    default:
        return constant(l, op) || variable(l, op);
    }
}
