/* Lowering of calls. Within the instance a call is direct, or through the function's own native
 * entry; everything else (imports, other instances, the host) leaves through a helper with its
 * arguments in slots: here, or, where the call replaces this frame, in a function for all such
 * calls of a type (dispatch.c). */
#include <stddef.h>

#include "aot/lower.h"
#include "wasm/forward.h"

/* Operands of a call, popped: LLVM arguments with the hidden ones in front. */
struct args {
    LLVMValueRef *v;
    unsigned n, hidden;   /* v has room for one more */
    LLVMValueRef results; /* the slots for several results; NULL */
};

static bool pop_args(struct lower *l, const struct sv_type *type, bool tail, struct args *ret)
{
    uint32_t n = type->func.nparams;
    LLVMValueRef *v = sv_alloc_array(n + 6, sizeof *v);

    if (!v) {
        l->nomem = true;
        return false;
    }
    *ret = (struct args){.v = v};
    v[ret->hidden++] = l->inst;
    v[ret->hidden++] = l->mem0;
    if (type->func.nresults > 1) {
        ret->results = tail ? l->ret : lower_slots(l, type->func.result_slots);
        v[ret->hidden++] = ret->results;
    }
    ret->n = ret->hidden + n;
    for (uint32_t i = n; i-- > 0;)
        v[ret->hidden + i] = lower_pop(l);
    if (lower_is_padded(l->u, type))
        v[ret->n++] = LLVMGetUndef(l->t->f64);
    if (l->u->gas)
        v[ret->n++] = l->gas_ref;
    return true;
}

/* Function f of the module. An OSR image has only itself: the others are found in the instance's.
 */
static LLVMValueRef callee_of(struct lower *l, uint32_t f)
{
    LLVMValueRef native, entry, text;

    if (!l->osr_offset)
        return lower_func_decl(l->u, f);
    native = lower_load_host(l, l->t->ptr,
                             lower_field(l, l->inst, offsetof(struct sv_instance, native)), true);
    text = lower_load_host(l, l->t->ptr, lower_field(l, native, offsetof(struct sv_native, text)),
                           true);
    entry = lower_load_host(l, l->t->ptr, lower_field(l, native, offsetof(struct sv_native, entry)),
                            true);
    entry = lower_load_host(l, l->t->i32, lower_field(l, entry, (uint64_t)f * 4), true);
    entry = LLVMBuildZExt(l->b, entry, l->t->i64, "");
    return LLVMBuildGEP2(l->b, l->t->i8, text, &entry, 1, "");
}

/* Arguments into slots for a call outside. */
static LLVMValueRef spill_args(struct lower *l, const struct sv_type *type, const struct args *a)
{
    uint32_t params = type->func.param_slots, results = type->func.result_slots, at = 0;
    LLVMValueRef slots = lower_slots(l, params > results ? params : results);

    for (uint32_t i = 0; i < type->func.nparams; i++) {
        lower_slot_write(l, slots, at, type->func.params[i], a->v[a->hidden + i]);
        at += sv_valtype_slots(type->func.params[i]);
    }
    return slots;
}

/* Results in slots onto the stack. */
static void push_slots(struct lower *l, const struct sv_type *type, LLVMValueRef slots)
{
    for (uint32_t i = 0, at = 0; i < type->func.nresults; i++) {
        lower_push(l, lower_slot_read(l, slots, at, type->func.results[i]));
        at += sv_valtype_slots(type->func.results[i]);
    }
}

static void push_results(struct lower *l, const struct sv_type *type, LLVMValueRef call,
                         const struct args *a)
{
    if (type->func.nresults == 1)
        lower_push(l, call);
    else if (type->func.nresults > 1)
        push_slots(l, type, a->results);
}

/* Return what a call in a tail position gave. */
static void return_results(struct lower *l)
{
    lower_branch(l, (uint32_t)l->ctls.len - 1);
    lower_set_unreachable(l);
}

static void call_import(struct lower *l, uint32_t f, bool tail)
{
    const struct sv_type *type = l->m->funcs[f].type;
    LLVMValueRef slots;
    struct args a;

    if (!pop_args(l, type, false, &a))
        return;
    slots = spill_args(l, type, &a);
    lower_call_out(l, lower_inst_ptr(l, offsetof(struct sv_instance, funcs), f), slots);
    sv_free(a.v);
    lower_exn_check(l, tail);
    push_slots(l, type, slots);
    if (tail)
        return_results(l);
}

/* Does a call in a tail position replace this frame? Not that of an OSR entry, which has another
 * convention. */
static bool replaces(const struct lower *l, bool tail)
{
    return tail && !l->osr_offset;
}

/* A call that replaces this frame. */
static void tail_call(struct lower *l, const struct sv_type *type, LLVMValueRef callee,
                      const struct args *a)
{
    LLVMValueRef call;

    lower_gas_pass(l);
    call = lower_call_native(l->u, type, callee, a->v, a->n);
    LLVMSetTailCallKind(call, LLVMTailCallKindMustTail);
    if (type->func.nresults == 1)
        LLVMBuildRet(l->b, call);
    else
        LLVMBuildRetVoid(l->b);
}

/* The last argument of a call through dispatch.c's functions. */
static void add_nest(struct lower *l, struct args *a, LLVMValueRef pointer)
{
    unsigned nest = lower_nest_index(l->u, ++a->n);

    a->v[a->n - 1] = a->v[nest]; /* the counter is the last */
    a->v[nest] = pointer;
}

/* A call of `func` that replaces this frame; `callee`: its code, or what calls outside. */
static void tail_call_func(struct lower *l, const struct sv_type *type, LLVMValueRef callee,
                           LLVMValueRef func)
{
    struct args a;

    if (!pop_args(l, type, true, &a))
        return;
    add_nest(l, &a, func);
    tail_call(l, type, callee, &a);
    lower_set_unreachable(l);
    sv_free(a.v);
}

static LLVMValueRef outside_of(struct lower *l, uint32_t type)
{
    struct lower_pair pair = {.type = type, .table = LOWER_NO_TABLE, .tail = true};

    return lower_outside(l->u, pair);
}

static void call_native(struct lower *l, const struct sv_type *type, LLVMValueRef callee,
                        const struct args *a, bool tail)
{
    LLVMValueRef v;

    if (replaces(l, tail)) {
        tail_call(l, type, callee, a);
        lower_set_unreachable(l);
        return;
    }
    lower_gas_pass(l);
    v = lower_call_native(l->u, type, callee, a->v, a->n);
    lower_gas_take(l);
    lower_exn_check(l, tail);
    push_results(l, type, v, a);
    if (tail)
        return_results(l);
}

/* The operands of a call of function f, which passes them on, become those of the call in it. */
static void pass_on(struct lower *l, uint32_t f, const struct sv_forward *to)
{
    struct lower_value params[SV_FORWARD_PARAMS];
    const uint8_t *back = l->p;
    enum sv_op op;

    for (uint32_t i = l->m->funcs[f].type->func.nparams; i-- > 0;)
        params[i] = lower_pop_value(l);
    l->p = to->args;
    while ((op = sv_code_op(&l->p)) != OP_CALL) {
        if (op == OP_LOCAL_GET)
            lower_push_value(l, params[sv_code_u32(&l->p)]);
        else
            lower_variable_op(l, op);
    }
    l->p = back;
}

/* The function that a call of f is made to (wasm/forward.h). What a call on the way would cost is
 * counted there: with gas it is made. */
static uint32_t behind(struct lower *l, uint32_t f)
{
    struct sv_forward to;

    for (unsigned i = 0; i < SV_FORWARD_CHAIN && !l->metered && sv_forward_of(l->m, f, &to); i++) {
        pass_on(l, f, &to);
        f = to.to;
    }
    return f;
}

static void call(struct lower *l, uint32_t f, bool tail)
{
    const struct sv_type *type;
    struct args a;

    if (tail)
        lower_gas_end(l);
    else
        f = behind(l, f);
    type = l->m->funcs[f].type;
    if (f < l->m->nimports_of[SV_EXTERN_FUNC]) {
        if (replaces(l, tail))
            tail_call_func(l, type, outside_of(l, l->m->funcs[f].type_index),
                           lower_inst_ptr(l, offsetof(struct sv_instance, funcs), f));
        else
            call_import(l, f, tail);
        return;
    }
    if (!pop_args(l, type, replaces(l, tail), &a))
        return;
    call_native(l, type, callee_of(l, f), &a, tail);
    sv_free(a.v);
}

static LLVMValueRef is_near(struct lower *l, LLVMValueRef func)
{
    LLVMValueRef inst =
        lower_load_host(l, l->t->ptr, lower_field(l, func, offsetof(struct sv_func, inst)), true);

    return LLVMBuildICmp(l->b, LLVMIntEQ, inst, l->inst, "");
}

static LLVMValueRef native_of(struct lower *l, LLVMValueRef func)
{
    return lower_load_host(l, l->t->ptr, lower_field(l, func, offsetof(struct sv_func, native)),
                           false);
}

/* Both ways of a call through a reference: native within the instance, else outside. */
static void call_func(struct lower *l, const struct sv_type *type, LLVMValueRef func, bool tail)
{
    LLVMBasicBlockRef near = lower_block_new(l, "near"), far = lower_block_new(l, "far"),
                      join = lower_block_new(l, "join"), ends[2];
    LLVMValueRef args[2], values[2] = {NULL}, phi = NULL;
    struct args a;

    if (!pop_args(l, type, false, &a))
        return;
    LLVMBuildCondBr(l->b, is_near(l, func), near, far);
    LLVMPositionBuilderAtEnd(l->b, near);
    lower_gas_pass(l);
    values[0] = lower_call_native(l->u, type, native_of(l, func), a.v, a.n);
    lower_gas_take(l);
    ends[0] = LLVMGetInsertBlock(l->b);
    LLVMBuildBr(l->b, join);
    LLVMPositionBuilderAtEnd(l->b, far);
    args[0] = func;
    args[1] = spill_args(l, type, &a);
    lower_helper(l, SV_NATIVE_CALL, args, 2);
    if (type->func.nresults == 1)
        values[1] = lower_slot_read(l, args[1], 0, type->func.results[0]);
    ends[1] = LLVMGetInsertBlock(l->b);
    LLVMBuildBr(l->b, join);
    LLVMPositionBuilderAtEnd(l->b, join);
    if (type->func.nresults == 1) {
        phi = LLVMBuildPhi(l->b, lower_type(l->u, type->func.results[0]), "");
        LLVMAddIncoming(phi, values, ends, 2);
    }
    lower_exn_check(l, tail);
    if (type->func.nresults == 1)
        lower_push(l, phi);
    else
        push_slots(l, type, args[1]);
    if (tail)
        return_results(l);
    sv_free(a.v);
}

/* The entry at the index of a table that lies beside the code, one load for both of its fields.
 * What is known of the index then holds for all of it, out of loops too. */
static LLVMValueRef table_entry(struct lower *l, uint32_t table, LLVMValueRef t, LLVMValueRef index)
{
    LLVMValueRef n = lower_i64(l, l->u->am->tables[table].n), in, at;

    /* The entry behind the last is nobody's. */
    in = LLVMBuildICmp(l->b, LLVMIntULT, index, n, "");
    at = LLVMBuildSelect(l->b, in, index, n, "");
    return lower_load_host(l, l->t->i64, LLVMBuildInBoundsGEP2(l->b, l->t->i64, t, &at, 1, ""),
                           true);
}

/* Through a table that nothing changes: a function of this type is at a known place. For all else,
 * and what traps, another function is called. */
static LLVMValueRef fixed_callee(struct lower *l, struct lower_pair pair, LLVMValueRef index)
{
    LLVMValueRef t = lower_unit_table(l->u, pair.table), found, code;
    LLVMValueRef entry = table_entry(l, pair.table, t, index);

    found = LLVMBuildICmp(l->b, LLVMIntEQ, LLVMBuildTrunc(l->b, entry, l->t->i32, ""),
                          lower_i32(l, lower_type_class(l->m->types[pair.type])), "");
    code = LLVMBuildAShr(l->b, entry, lower_i64(l, 32), "");
    code = LLVMBuildAdd(l->b, code, LLVMBuildPtrToInt(l->b, t, l->t->i64, ""), "");
    code = LLVMBuildIntToPtr(l->b, code, l->t->ptr, "");
    return LLVMBuildSelect(l->b, found, code, lower_outside(l->u, pair), "");
}

/* Before this frame is replaced: what would trap outside is to trap here, where the frame still is.
 */
static void check_outside(struct lower *l, struct lower_pair pair, LLVMValueRef index,
                          LLVMValueRef callee)
{
    LLVMValueRef args[2] = {lower_i64(l, pair.type | (uint64_t)pair.table << 32), index}, is;
    LLVMBasicBlockRef check = lower_block_new(l, ""), next = lower_block_new(l, "");

    is = LLVMBuildICmp(l->b, LLVMIntEQ, callee, lower_outside(l->u, pair), "");
    LLVMSetMetadata(LLVMBuildCondBr(l->b, is, check, next), l->u->md_prof, l->u->md_unlikely);
    LLVMPositionBuilderAtEnd(l->b, check);
    lower_helper(l, SV_NATIVE_CHECK_INDIRECT, args, 2);
    LLVMBuildBr(l->b, next);
    LLVMPositionBuilderAtEnd(l->b, next);
}

static void call_indirect(struct lower *l, bool tail)
{
    struct lower_pair pair = {.type = sv_code_u32(&l->p)};
    const struct sv_type *type = l->m->types[pair.type];
    LLVMValueRef index, callee;
    struct args a;

    pair.table = sv_code_u32(&l->p);
    pair.tail = replaces(l, tail);
    if (tail)
        lower_gas_end(l);
    index = lower_wide(l, lower_pop(l));
    if (!pop_args(l, type, pair.tail, &a))
        return;
    callee = lower_unit_is_fixed(l->u, pair.table) ? fixed_callee(l, pair, index)
                                                   : lower_dispatcher(l, pair, index);
    if (pair.tail)
        check_outside(l, pair, index, callee);
    add_nest(l, &a, LLVMBuildIntToPtr(l->b, index, l->t->ptr, ""));
    call_native(l, type, callee, &a, tail);
    sv_free(a.v);
}

static void call_ref(struct lower *l, bool tail)
{
    uint32_t index = sv_code_u32(&l->p);
    const struct sv_type *type = l->m->types[index];
    LLVMValueRef func = LLVMBuildIntToPtr(l->b, lower_pop(l), l->t->ptr, ""), callee;

    if (tail)
        lower_gas_end(l);
    lower_trap_if(l, LLVMBuildIsNull(l->b, func, ""), SV_TRAP_NULL_FUNCTION);
    if (!replaces(l, tail)) {
        call_func(l, type, func, tail);
        return;
    }
    callee = LLVMBuildSelect(l->b, is_near(l, func), native_of(l, func), outside_of(l, index), "");
    tail_call_func(l, type, callee, func);
}

bool lower_call_op(struct lower *l, enum sv_op op)
{
    switch (op) {
    case OP_CALL:
    case OP_RETURN_CALL:
        call(l, sv_code_u32(&l->p), op == OP_RETURN_CALL);
        return true;
    case OP_CALL_INDIRECT:
    case OP_RETURN_CALL_INDIRECT:
        call_indirect(l, op == OP_RETURN_CALL_INDIRECT);
        return true;
    case OP_CALL_REF:
    case OP_RETURN_CALL_REF:
        call_ref(l, op == OP_RETURN_CALL_REF);
        return true;
    default:
        return false;
    }
}
