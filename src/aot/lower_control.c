/* Lowering of blocks and branches, and the basic blocks of gas (doc/internals/interp.md has the
 * rules, which are the same in every tier). Exceptions are lower_exn.c's. */
#include <stddef.h>

#include "aot/lower.h"
#include "aot/lower_row.h"

/* ---- Gas: one charge a basic block, at its entry. The counter is in a register; memory has it
 * wherever somebody may look: at calls, at traps, before accesses that may fault ---- */

/* left - charge, and whether that is below 0: one instruction whose flags are branched on. */
static LLVMValueRef subtract(struct lower *l, LLVMValueRef left, uint64_t charge)
{
    LLVMValueRef args[2] = {left, lower_i64(l, charge)};

    return lower_intrinsic(l, "llvm.usub.with.overflow", l->t->i64, args, 2);
}

/* The trap when too little is left. What is noted is below 0; the trap helper adds the charge. */
static void exhausted(struct lower *l)
{
    LLVMBasicBlockRef trap = lower_block_new(l, "trap"), next = lower_block_new(l, "");

    LLVMSetMetadata(LLVMBuildCondBr(l->b, l->gas_check, trap, next), l->u->md_prof,
                    l->u->md_unlikely);
    LLVMPositionBuilderAtEnd(l->b, trap);
    l->gas_trap = lower_trap(l, SV_TRAP_GAS);
    LLVMPositionBuilderAtEnd(l->b, next);
}

void lower_gas_begin(struct lower *l)
{
    if (!l->metered || l->unreachable)
        return;
    l->gas = 0;
    l->gas_noted = false;
    /* The charge is known at the block's end. */
    l->gas_charge = subtract(l, LLVMBuildLoad2(l->b, l->t->i64, l->gas_slot, ""), 1);
    LLVMBuildStore(l->b, LLVMBuildExtractValue(l->b, l->gas_charge, 0, ""), l->gas_slot);
    l->gas_check = LLVMBuildExtractValue(l->b, l->gas_charge, 1, "");
    exhausted(l);
}

/* A turn of a loop takes time, which deadlines end. Without this LLVM computes when the counter of
 * a loop that nothing else ends is below 0, and traps at once. It is no instruction, and passes see
 * through it; loops without charges have none. */
static void keep_turns(struct lower *l)
{
    if (l->metered)
        lower_intrinsic(l, "llvm.sideeffect", NULL, NULL, 0);
}

void lower_gas_end(struct lower *l)
{
    if (!l->metered || !l->gas_charge)
        return;
    LLVMSetOperand(l->gas_charge, 1, lower_i64(l, l->gas));
    LLVMSetOperand(l->gas_trap, 1, lower_i64(l, l->gas << 32 | SV_TRAP_GAS));
    l->gas_charge = NULL;
}

static LLVMValueRef thread_gas(struct lower *l)
{
    return lower_thread_field(l, offsetof(struct sv_thread, gas));
}

static LLVMValueRef counter(struct lower *l)
{
    return LLVMBuildLoad2(l->b, l->t->i64, l->gas_slot, "");
}

void lower_gas_note(struct lower *l)
{
    LLVMValueRef v;

    if (!l->metered)
        return;
    v = lower_field(l, l->inst, offsetof(struct sv_instance, gas));
    LLVMSetVolatile(LLVMBuildStore(l->b, counter(l), v), true);
}

void lower_gas_flush(struct lower *l)
{
    if (l->metered)
        LLVMSetVolatile(LLVMBuildStore(l->b, counter(l), thread_gas(l)), true);
}

void lower_gas_reload(struct lower *l)
{
    if (!l->metered)
        return;
    LLVMBuildStore(l->b, lower_load_host(l, l->t->i64, thread_gas(l), false), l->gas_slot);
    /* Helpers know nothing of inst->gas; and they may be on one of several ways through a block. */
    l->gas_noted = false;
}

void lower_gas_pass(struct lower *l)
{
    if (!l->gas_ref) {
        lower_gas_flush(l);
        return;
    }
    LLVMBuildStore(l->b, LLVMBuildIntToPtr(l->b, counter(l), l->t->ptr, ""), l->gas_ref);
}

void lower_gas_take(struct lower *l)
{
    LLVMValueRef v;

    if (!l->gas_ref) {
        lower_gas_reload(l);
        return;
    }
    v = LLVMBuildLoad2(l->b, l->t->ptr, l->gas_ref, "");
    LLVMBuildStore(l->b, LLVMBuildPtrToInt(l->b, v, l->t->i64, ""), l->gas_slot);
    l->gas_noted = false;
}

void lower_gas_leave(struct lower *l)
{
    if (l->osr_offset)
        lower_gas_flush(l);
    else
        lower_gas_pass(l);
}

void lower_gas_open(struct lower *l, bool outer)
{
    if (!l->metered)
        return;
    l->gas_slot = LLVMBuildAlloca(l->b, l->t->i64, "gas");
    l->gas_ref = l->u->gas ? LLVMGetLastParam(l->fn) : NULL;
    if (outer)
        lower_gas_reload(l);
    else
        lower_gas_take(l);
}

static void step(struct lower *l);

/* ---- Labels ---- */

static struct lower_ctl *ctl_at(struct lower *l, uint32_t depth)
{
    return &l->ctls.data[l->ctls.len - 1 - depth];
}

static uint32_t label_types(const struct lower_ctl *c, const sv_valtype **ret)
{
    if (c->kind == CTL_LOOP) {
        *ret = sv_blocktype_params(&c->type);
        return sv_blocktype_nparams(&c->type);
    }
    *ret = sv_blocktype_results(&c->type);
    return sv_blocktype_nresults(&c->type);
}

/* Phis for n values at the block; the builder stays where it is. */
static void make_phis(struct lower *l, struct lower_ctl *c, LLVMBasicBlockRef at, uint32_t n,
                      const sv_valtype *types)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(l->b);

    c->nphis = n;
    if (n == 0)
        return;
    c->phis = sv_alloc_array(n, sizeof *c->phis);
    if (!c->phis) {
        l->nomem = true;
        c->nphis = 0;
        return;
    }
    LLVMPositionBuilderAtEnd(l->b, at);
    for (uint32_t i = 0; i < n; i++)
        c->phis[i] = LLVMBuildPhi(l->b, lower_type(l->u, types[i]), "");
    LLVMPositionBuilderAtEnd(l->b, here);
}

/* Where branches to the label go, with its phis. */
static LLVMBasicBlockRef label_block(struct lower *l, struct lower_ctl *c)
{
    const sv_valtype *types;
    uint32_t n;

    if (c->kind == CTL_LOOP)
        return c->head;
    if (!c->end) {
        c->end = lower_block_new(l, "end");
        n = label_types(c, &types);
        make_phis(l, c, c->end, n, types);
    }
    return c->end;
}

/* The top operands go to the label's phis, on the edge from the current block. */
static void add_incoming(struct lower *l, struct lower_ctl *c)
{
    LLVMBasicBlockRef from = LLVMGetInsertBlock(l->b);

    for (uint32_t i = 0; i < c->nphis; i++)
        LLVMAddIncoming(c->phis[i], &l->st.data[l->st.len - c->nphis + i].v, &from, 1);
}

void lower_branch(struct lower *l, uint32_t depth)
{
    struct lower_ctl *c = ctl_at(l, depth);
    LLVMBasicBlockRef to = label_block(l, c);

    add_incoming(l, c);
    LLVMBuildBr(l->b, to);
}

void lower_branch_if(struct lower *l, LLVMValueRef cond, uint32_t depth)
{
    struct lower_ctl *c = ctl_at(l, depth);
    LLVMBasicBlockRef to = label_block(l, c), next = lower_block_new(l, "");

    add_incoming(l, c);
    LLVMBuildCondBr(l->b, cond, to, next);
    LLVMPositionBuilderAtEnd(l->b, next);
}

/* From the end of the innermost block's body to behind it: for a loop, that is not its label. */
static void lower_branch_end(struct lower *l)
{
    struct lower_ctl *c = ctl_at(l, 0);

    if (c->kind == CTL_LOOP)
        return;
    lower_branch(l, 0);
}

static void truncate_stack(struct lower *l, uint32_t height)
{
    if (l->st.len > height)
        l->st.len = height;
}

void lower_set_unreachable(struct lower *l)
{
    lower_gas_end(l);
    truncate_stack(l, ctl_at(l, 0)->height);
    l->unreachable = true;
    l->skip_depth = 0;
}

/* ---- Blocks ---- */

/* OSR: what was computed before a loop dominates nothing behind its head, once it (or a loop in it)
 * is entered from outside. So operands below a block go through memory: they are stored before it,
 * or on the way in, and loaded again wherever paths join. */
static void settle_operands(struct lower *l)
{
    for (size_t i = 0; l->osr_offset && i < l->st.len; i++) {
        struct lower_value *v = &l->st.data[i];

        if (!v->home) {
            v->home = lower_alloca(l, LLVMTypeOf(v->v));
            LLVMBuildStore(l->b, v->v, v->home);
        }
    }
}

void lower_reload_operands(struct lower *l)
{
    for (size_t i = 0; l->osr_offset && i < l->st.len; i++) {
        struct lower_value *v = &l->st.data[i];

        v->v = LLVMBuildLoad2(l->b, LLVMTypeOf(v->v), v->home, "");
    }
}

static struct lower_ctl *push_ctl(struct lower *l, unsigned kind, struct sv_blocktype type)
{
    struct lower_ctl c = {.kind = (uint8_t)kind, .type = type};

    settle_operands(l);
    c.height = (uint32_t)l->st.len - (kind == CTL_FUNC ? 0 : sv_blocktype_nparams(&type));
    lower_facts_mark(l, &c);
    if (!SV_VEC_PUSH(&l->ctls, UINT32_MAX, c)) {
        l->nomem = true;
        return NULL;
    }
    return ctl_at(l, 0);
}

/* An i32 as a condition; comparisons made it from one. */
static LLVMValueRef condition(struct lower *l, LLVMValueRef v)
{
    if (LLVMIsAZExtInst(v) && LLVMTypeOf(LLVMGetOperand(v, 0)) == l->t->i1)
        return LLVMGetOperand(v, 0);
    return LLVMBuildICmp(l->b, LLVMIntNE, v, LLVMConstNull(LLVMTypeOf(v)), "");
}

static void if_block(struct lower *l, struct sv_blocktype type)
{
    LLVMValueRef cond = condition(l, lower_pop(l));
    LLVMBasicBlockRef then = lower_block_new(l, "then"), other = lower_block_new(l, "else");
    uint32_t n = sv_blocktype_nparams(&type);
    struct lower_ctl *c = push_ctl(l, CTL_IF, type);

    if (!c)
        return;
    LLVMBuildCondBr(l->b, cond, then, other);
    LLVMPositionBuilderAtEnd(l->b, then);
    c->other = other;
    if (n) {
        c->params = sv_alloc_array(n, sizeof *c->params);
        if (!c->params) {
            l->nomem = true;
            return;
        }
        memcpy(c->params, &l->st.data[l->st.len - n], n * sizeof *c->params);
    }
    lower_gas_end(l);
    lower_gas_begin(l);
}

static sv_valtype osr_type(const struct lower *l, LLVMValueRef v)
{
    LLVMTypeRef t = LLVMTypeOf(v);

    return SV_VALTYPE(t == l->t->i32   ? SV_VAL_I32
                      : t == l->t->f32 ? SV_VAL_F32
                      : t == l->t->f64 ? SV_VAL_F64
                      : t == l->t->i64 ? SV_VAL_I64
                                       : SV_VAL_V128);
}

/* The way in from the interpreter: operands below the loop to their homes, parameters to the phis.
 */
static void osr_enter(struct lower *l, struct lower_ctl *c, uint32_t n)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(l->b);
    uint32_t at = 0;

    LLVMPositionBuilderAtEnd(l->b, l->osr_entry);
    for (uint32_t i = 0; i < l->nlocals; i++)
        at += l->locals[i].type == l->t->v2i64 ? 2 : 1;
    for (size_t i = 0; i < l->st.len; i++) {
        sv_valtype type = osr_type(l, l->st.data[i].v);
        LLVMValueRef v = lower_slot_read(l, l->osr_slots, at, type);

        at += sv_valtype_slots(type);
        if (i < l->st.len - n)
            LLVMBuildStore(l->b, v, l->st.data[i].home);
        else
            LLVMAddIncoming(c->phis[i - (l->st.len - n)], &v, &l->osr_entry, 1);
    }
    LLVMBuildBr(l->b, c->head);
    LLVMPositionBuilderAtEnd(l->b, here);
    l->osr_entry = NULL;
}

static void open_loop(struct lower *l, struct sv_blocktype type)
{
    uint32_t n = sv_blocktype_nparams(&type);
    LLVMBasicBlockRef head = lower_block_new(l, "loop");
    struct lower_ctl *c = push_ctl(l, CTL_LOOP, type);

    if (!c)
        return;
    lower_gas_end(l);
    c->head = head;
    make_phis(l, c, head, n, sv_blocktype_params(&type));
    if (l->nomem)
        return;
    /* Nothing is known of what comes in from outside. */
    for (size_t i = 0; l->osr_offset && i < l->st.len; i++)
        l->st.data[i].root = 0;
    if (l->osr_entry && l->osr_offset == (uint32_t)(l->op_start - l->m->bytes))
        osr_enter(l, c, n);
    add_incoming(l, c);
    LLVMBuildBr(l->b, head);
    LLVMPositionBuilderAtEnd(l->b, head);
    truncate_stack(l, c->height);
    lower_reload_operands(l);
    for (uint32_t i = 0; i < c->nphis; i++)
        lower_push(l, c->phis[i]);
    lower_facts_forget(l);
    keep_turns(l);
    lower_gas_begin(l);
}

void lower_loop_body(struct lower *l, struct sv_blocktype type, const uint8_t *end,
                     LLVMBasicBlockRef after)
{
    open_loop(l, type);
    while (l->p < end && !l->nomem && !l->failed)
        step(l);
    if (l->nomem || l->failed)
        return;
    lower_gas_end(l);
    lower_facts_restore(l, ctl_at(l, 0));
    LLVMBuildBr(l->b, after);
    lower_pop_ctl(l);
}

static void block(struct lower *l, enum sv_op op)
{
    struct sv_blocktype type = sv_code_blocktype(l->m, &l->p);
    struct lower_ctl *c;

    switch (op) {
    case OP_IF:
        if_block(l, type);
        return;
    case OP_LOOP:
        if (!lower_counted_loop(l, type))
            open_loop(l, type);
        return;
    case OP_BLOCK:
        push_ctl(l, CTL_BLOCK, type);
        return;
    default:
        c = push_ctl(l, op == OP_TRY ? CTL_TRY : CTL_TRY_TABLE, type);
        if (c)
            lower_try_begin(l, c, op);
        return;
    }
}

void lower_leave_body(struct lower *l)
{
    if (l->unreachable)
        return;
    lower_gas_end(l);
    lower_branch_end(l);
}

/* To the else part, as it was at the `if`. */
static void begin_else(struct lower *l)
{
    struct lower_ctl *c = ctl_at(l, 0);

    truncate_stack(l, c->height);
    lower_facts_restore(l, c);
    LLVMPositionBuilderAtEnd(l->b, c->other);
    lower_reload_operands(l);
    for (uint32_t i = 0; c->params && i < sv_blocktype_nparams(&c->type); i++)
        lower_push_value(l, c->params[i]);
    c->kind = CTL_ELSE;
    l->unreachable = false;
}

static void else_block(struct lower *l)
{
    lower_leave_body(l);
    begin_else(l);
    lower_gas_begin(l);
}

void lower_pop_ctl(struct lower *l)
{
    struct lower_ctl *c = &l->ctls.data[--l->ctls.len];

    sv_free(c->phis);
    sv_free(c->params);
}

/* Behind a block: its results are what came to the phis. */
static void open_end(struct lower *l)
{
    struct lower_ctl *c = ctl_at(l, 0);

    truncate_stack(l, c->height);
    LLVMPositionBuilderAtEnd(l->b, c->end);
    lower_reload_operands(l);
    for (uint32_t i = 0; i < c->nphis; i++)
        lower_push(l, c->phis[i]);
    l->unreachable = false;
}

void lower_return(struct lower *l)
{
    const struct sv_type *type = l->func->type;
    uint32_t n = type->func.nresults, at = 0;

    lower_gas_leave(l);
    if (n == 1 && l->ret == NULL) {
        LLVMBuildRet(l->b, l->st.data[l->st.len - 1].v);
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        lower_slot_write(l, l->ret, at, type->func.results[i], l->st.data[l->st.len - n + i].v);
        at += sv_valtype_slots(type->func.results[i]);
    }
    LLVMBuildRetVoid(l->b);
}

/* All returns come to the function's end. */
static void end_function(struct lower *l)
{
    lower_leave_body(l);
    if (ctl_at(l, 0)->end) {
        open_end(l);
        lower_return(l);
    }
    lower_pop_ctl(l);
}

void lower_end_block(struct lower *l)
{
    struct lower_ctl *c = ctl_at(l, 0);

    if (c->kind == CTL_FUNC) {
        end_function(l);
        return;
    }
    if (c->kind == CTL_IF) {
        /* No else: its parameters are the results. */
        lower_leave_body(l);
        begin_else(l);
        lower_branch_end(l);
        l->unreachable = true;
    } else if (c->kind == CTL_TRY || c->kind == CTL_TRY_TABLE || c->kind == CTL_CATCH) {
        lower_leave_body(l);
        lower_try_end(l, c);
        l->unreachable = true;
    }
    c = ctl_at(l, 0);
    /* A label that nobody jumps to is no label: values stay where they are. A loop's end is none.
     */
    if (c->kind == CTL_LOOP || !c->end) {
        lower_gas_end(l);
        lower_facts_restore(l, c);
        if (l->unreachable) {
            lower_pop_ctl(l);
            lower_set_unreachable(l);
            return;
        }
        lower_pop_ctl(l);
        lower_gas_begin(l);
        return;
    }
    lower_leave_body(l);
    lower_facts_restore(l, c);
    open_end(l);
    lower_pop_ctl(l);
    lower_gas_begin(l);
}

/* ---- Branches ---- */

static void br_if(struct lower *l, LLVMValueRef cond, uint32_t depth)
{
    lower_gas_end(l);
    lower_branch_if(l, cond, depth);
    lower_gas_begin(l);
}

static void br_table(struct lower *l)
{
    uint32_t n = sv_code_u32(&l->p);
    LLVMValueRef index = lower_pop(l), sw = NULL;
    LLVMBasicBlockRef here = LLVMGetInsertBlock(l->b);
    const uint8_t *labels = l->p, *q = labels;
    uint32_t last = 0;

    for (uint32_t i = 0; i <= n; i++)
        last = sv_code_u32(&q);
    lower_gas_end(l);
    l->p = q;
    sw = LLVMBuildSwitch(l->b, index, label_block(l, ctl_at(l, last)), n);
    add_incoming(l, ctl_at(l, last));
    for (uint32_t i = 0; i < n && !l->nomem; i++) {
        uint32_t depth = sv_code_u32(&labels);

        if (depth == last)
            continue;
        LLVMAddCase(sw, lower_i32(l, i), label_block(l, ctl_at(l, depth)));
        /* A phi has an entry for each edge. */
        LLVMPositionBuilderAtEnd(l->b, here);
        add_incoming(l, ctl_at(l, depth));
    }
    lower_set_unreachable(l);
}

/* br_on_null and br_on_non_null: the reference goes along where it is not null. */
static void br_on_null(struct lower *l, bool null, uint32_t depth)
{
    LLVMValueRef r = lower_pop(l);
    LLVMValueRef is_null = LLVMBuildICmp(l->b, LLVMIntEQ, r, lower_i64(l, 0), "");

    if (null) {
        br_if(l, is_null, depth);
        lower_push(l, r);
        return;
    }
    lower_push(l, r);
    br_if(l, LLVMBuildNot(l->b, is_null, ""), depth);
    lower_pop(l);
}

static void br_on_cast(struct lower *l, bool on_success)
{
    uint8_t flags = *l->p++;
    uint32_t depth = sv_code_u32(&l->p), heap;
    LLVMValueRef ok;

    (void)sv_code_heap(l->m, &l->p);
    heap = sv_code_heap(l->m, &l->p);
    ok = lower_ref_test(l, l->st.data[l->st.len - 1].v, heap, (flags & 2) != 0);
    br_if(l, on_success ? ok : LLVMBuildNot(l->b, ok, ""), depth);
}

static bool branch_op(struct lower *l, enum sv_op op)
{
    LLVMValueRef v;

    switch (op) {
    case OP_BR:
        lower_gas_end(l);
        lower_branch(l, sv_code_u32(&l->p));
        lower_set_unreachable(l);
        return true;
    case OP_BR_IF:
        v = condition(l, lower_pop(l));
        br_if(l, v, sv_code_u32(&l->p));
        return true;
    case OP_BR_TABLE:
        br_table(l);
        return true;
    case OP_RETURN:
        lower_gas_end(l);
        lower_branch(l, (uint32_t)l->ctls.len - 1);
        lower_set_unreachable(l);
        return true;
    case OP_BR_ON_NULL:
    case OP_BR_ON_NON_NULL:
        br_on_null(l, op == OP_BR_ON_NULL, sv_code_u32(&l->p));
        return true;
    case OP_BR_ON_CAST:
    case OP_BR_ON_CAST_FAIL:
        br_on_cast(l, op == OP_BR_ON_CAST);
        return true;
    default:
        return false;
    }
}

bool lower_control_op(struct lower *l, enum sv_op op)
{
    switch (op) {
    case OP_UNREACHABLE:
        lower_gas_end(l);
        lower_trap(l, SV_TRAP_UNREACHABLE);
        lower_set_unreachable(l);
        return true;
    case OP_BLOCK:
    case OP_LOOP:
    case OP_IF:
    case OP_TRY:
    case OP_TRY_TABLE:
        block(l, op);
        return true;
    case OP_ELSE:
        else_block(l);
        return true;
    case OP_END:
        lower_end_block(l);
        return true;
    default:
        return branch_op(l, op);
    }
}

/* ---- The body ---- */

static void lower_op(struct lower *l, enum sv_op op)
{
    if (!lower_variable_op(l, op) && !lower_numeric_op(l, op) && !lower_memory_op(l, op) &&
        !lower_control_op(l, op) && !lower_call_op(l, op) && !lower_simd_op(l, op) &&
        !lower_bulk_op(l, op) && !lower_ref_op(l, op) && !lower_exception_op(l, op) &&
        !lower_atomic_op(l, op))
        l->failed = true;
}

/* One instruction, whatever it is. */
static void step(struct lower *l)
{
    enum sv_op op;

    l->op_start = l->p;
    op = sv_code_op(&l->p);
    if (l->unreachable && !sv_code_ends_dead(&l->p, op, &l->skip_depth))
        return;
    if (l->metered && !l->unreachable)
        l->gas += sv_op_cost(l->m, op);
    lower_location(l);
    lower_op(l, op);
}

void lower_body(struct lower *l)
{
    struct sv_blocktype top = {.type = l->func->type, .result = SV_VAL_BOT};

    if (!push_ctl(l, CTL_FUNC, top))
        return;
    lower_gas_begin(l);
    while (l->ctls.len > 0 && !l->nomem && !l->failed)
        step(l);
    while (l->ctls.len > 0)
        lower_pop_ctl(l);
}
