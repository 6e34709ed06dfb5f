/* Lowering of exceptions, both proposals. A thrown exception is pending in inst->exn: whoever
 * called looks at it and goes to the innermost try block around the call, or returns. Only code of
 * modules with exceptions looks (doc/internals/aot.md has the price). */
#include <stddef.h>

#include "aot/lower.h"
#include "runtime/gc.h"

static LLVMValueRef pending(struct lower *l)
{
    return lower_field(l, l->inst, offsetof(struct sv_instance, exn));
}

static bool handles(const struct lower_ctl *c)
{
    return c->kind == CTL_TRY || c->kind == CTL_TRY_TABLE;
}

/* Where an exception thrown at `ctls[from]` and outwards goes. */
static LLVMBasicBlockRef handler(struct lower *l, size_t from)
{
    LLVMBasicBlockRef here;

    for (size_t i = from; i-- > 0;) {
        if (handles(&l->ctls.data[i]))
            return l->ctls.data[i].other;
    }
    if (l->exn_return)
        return l->exn_return;
    here = LLVMGetInsertBlock(l->b);
    l->exn_return = lower_block_new(l, "exn.return");
    LLVMPositionBuilderAtEnd(l->b, l->exn_return);
    lower_gas_leave(l);
    if (l->func->type->func.nresults == 1 && !l->ret)
        LLVMBuildRet(l->b, LLVMConstNull(lower_type(l->u, l->func->type->func.results[0])));
    else
        LLVMBuildRetVoid(l->b);
    LLVMPositionBuilderAtEnd(l->b, here);
    return l->exn_return;
}

void lower_exn_check(struct lower *l, bool tail)
{
    LLVMBasicBlockRef next;
    LLVMValueRef e, weights, br;

    if (!l->exceptions)
        return;
    next = lower_block_new(l, "");
    e = lower_load_host(l, l->t->i64, pending(l), false);
    br = LLVMBuildCondBr(l->b, LLVMBuildICmp(l->b, LLVMIntNE, e, lower_i64(l, 0), ""),
                         handler(l, tail ? 0 : l->ctls.len), next);
    weights = l->u->md_unlikely;
    LLVMSetMetadata(br, l->u->md_prof, weights);
    LLVMPositionBuilderAtEnd(l->b, next);
}

void lower_try_begin(struct lower *l, struct lower_ctl *c, enum sv_op op)
{
    c->other = lower_block_new(l, "dispatch");
    if (op != OP_TRY_TABLE)
        return;
    c->ncatches = sv_code_u32(&l->p);
    c->catches = l->p;
    for (uint32_t n = c->ncatches; n > 0; n--)
        (void)sv_code_catch(&l->p);
}

/* The i1: is the exception of this tag? */
static LLVMValueRef has_tag(struct lower *l, LLVMValueRef e, uint32_t tag)
{
    LLVMValueRef found, expected = lower_inst_ptr(l, offsetof(struct sv_instance, tags), tag);

    e = LLVMBuildIntToPtr(l->b, e, l->t->ptr, "");
    found = lower_load_host(l, l->t->ptr, lower_field(l, e, offsetof(struct sv_exn, tag)), false);
    return LLVMBuildICmp(l->b, LLVMIntEQ, found, expected, "");
}

static void push_payload(struct lower *l, LLVMValueRef e, uint32_t tag)
{
    const struct sv_type *type = l->m->tags[tag].type;
    LLVMValueRef args = LLVMBuildIntToPtr(l->b, e, l->t->ptr, "");

    args = lower_field(l, args, offsetof(struct sv_exn, args));
    for (uint32_t i = 0, at = 0; i < type->func.nparams; i++) {
        lower_push(l, lower_slot_read(l, args, at, type->func.params[i]));
        at += sv_valtype_slots(type->func.params[i]);
    }
}

static void caught(struct lower *l)
{
    lower_store_host(l, lower_i64(l, 0), pending(l));
}

/* The clauses of a try_table, in order; the builder is in its dispatch block. */
static void dispatch(struct lower *l, const struct lower_ctl *c, uint32_t depth_out)
{
    const uint8_t *p = c->catches;
    LLVMValueRef e = lower_load_host(l, l->t->i64, pending(l), false);

    for (uint32_t n = c->ncatches; n > 0 && !l->nomem; n--) {
        struct sv_catch k = sv_code_catch(&p);
        bool all = k.kind == SV_CATCH_ALL || k.kind == SV_CATCH_ALL_REF;
        LLVMBasicBlockRef hit = lower_block_new(l, "catch"), next = lower_block_new(l, "");
        size_t height = l->st.len;

        LLVMBuildCondBr(l->b, all ? LLVMConstInt(l->t->i1, 1, false) : has_tag(l, e, k.tag), hit,
                        next);
        LLVMPositionBuilderAtEnd(l->b, hit);
        caught(l);
        if (!all)
            push_payload(l, e, k.tag);
        if (k.kind == SV_CATCH_REF || k.kind == SV_CATCH_ALL_REF)
            lower_push(l, e);
        lower_branch(l, depth_out + k.label);
        l->st.len = height;
        LLVMPositionBuilderAtEnd(l->b, next);
    }
}

void lower_try_end(struct lower *l, struct lower_ctl *c)
{
    size_t outer = l->ctls.len - 1;
    struct lower_ctl copy = *c;

    /* The body's end went on already; handlers know nothing of what the body did. */
    l->st.len = copy.height;
    lower_facts_restore(l, &copy);
    LLVMPositionBuilderAtEnd(l->b, copy.other);
    lower_reload_operands(l);
    if (copy.kind == CTL_TRY_TABLE)
        dispatch(l, &copy, 1);
    LLVMBuildBr(l->b, handler(l, outer));
    /* The block's own end is where others jump to; here nothing falls through. */
}

/* The legacy catch and catch_all. */
static void legacy_catch(struct lower *l, bool all)
{
    uint32_t tag = all ? 0 : sv_code_u32(&l->p);
    struct lower_ctl *c = &l->ctls.data[l->ctls.len - 1];
    LLVMBasicBlockRef body = lower_block_new(l, "catch"), next = lower_block_new(l, "");
    LLVMValueRef e;

    lower_leave_body(l);
    c = &l->ctls.data[l->ctls.len - 1];
    lower_facts_restore(l, c);
    l->st.len = c->height;
    LLVMPositionBuilderAtEnd(l->b, c->other);
    lower_reload_operands(l);
    e = lower_load_host(l, l->t->i64, pending(l), false);
    LLVMBuildCondBr(l->b, all ? LLVMConstInt(l->t->i1, 1, false) : has_tag(l, e, tag), body, next);
    LLVMPositionBuilderAtEnd(l->b, body);
    caught(l);
    c->other = next;
    c->exn = e;
    c->kind = CTL_CATCH;
    l->unreachable = false;
    if (!all)
        push_payload(l, e, tag);
    lower_gas_begin(l);
}

/* try .. delegate: what is thrown in it counts as thrown inside block `label`. Ends the block. */
static void legacy_delegate(struct lower *l)
{
    uint32_t label = sv_code_u32(&l->p);
    struct lower_ctl *c;

    lower_leave_body(l);
    c = &l->ctls.data[l->ctls.len - 1];
    LLVMPositionBuilderAtEnd(l->b, c->other);
    LLVMBuildBr(l->b, handler(l, l->ctls.len - 1 - label));
    c->kind = CTL_BLOCK;
    l->unreachable = true;
    lower_end_block(l);
}

static void throw_tag(struct lower *l)
{
    uint32_t tag = sv_code_u32(&l->p), at;
    const struct sv_type *type = l->m->tags[tag].type;
    LLVMValueRef args[2] = {lower_i64(l, tag), NULL};

    lower_gas_end(l);
    at = type->func.param_slots;
    args[1] = lower_slots(l, at);
    for (uint32_t i = type->func.nparams; i-- > 0;) {
        at -= sv_valtype_slots(type->func.params[i]);
        lower_slot_write(l, args[1], at, type->func.params[i], lower_pop(l));
    }
    lower_helper(l, SV_NATIVE_THROW, args, 2);
    LLVMBuildBr(l->b, handler(l, l->ctls.len));
    lower_set_unreachable(l);
}

static void throw_ref(struct lower *l)
{
    LLVMValueRef e = lower_pop(l);

    lower_gas_end(l);
    lower_helper(l, SV_NATIVE_THROW_REF, &e, 1);
    LLVMBuildBr(l->b, handler(l, l->ctls.len));
    lower_set_unreachable(l);
}

static void rethrow(struct lower *l)
{
    uint32_t depth = sv_code_u32(&l->p);
    LLVMValueRef e = l->ctls.data[l->ctls.len - 1 - depth].exn;

    lower_gas_end(l);
    lower_helper(l, SV_NATIVE_THROW_REF, &e, 1);
    LLVMBuildBr(l->b, handler(l, l->ctls.len));
    lower_set_unreachable(l);
}

bool lower_exception_op(struct lower *l, enum sv_op op)
{
    switch (op) {
    case OP_THROW:
        throw_tag(l);
        return true;
    case OP_THROW_REF:
        throw_ref(l);
        return true;
    case OP_RETHROW:
        rethrow(l);
        return true;
    case OP_CATCH:
    case OP_CATCH_ALL:
        legacy_catch(l, op == OP_CATCH_ALL);
        return true;
    case OP_DELEGATE:
        legacy_delegate(l);
        return true;
    default:
        return false;
    }
}
