/* One function: its LLVM function, locals, and the words that the files of the lowering share. What
 * the instructions become is in lower_*.c. */
#include "aot/lower.h"

#include <stddef.h>
#include <stdio.h>

/* ---- Types ---- */

LLVMTypeRef lower_type(const struct lower_unit *u, sv_valtype t)
{
    switch (sv_valtype_kind(t)) {
    case SV_VAL_I32:
        return u->t.i32;
    case SV_VAL_F32:
        return u->t.f32;
    case SV_VAL_F64:
        return u->t.f64;
    case SV_VAL_V128:
        return u->t.v2i64;
    default:
        return u->t.i64;
    }
}

bool lower_is_padded(const struct lower_unit *u, const struct sv_type *type)
{
    unsigned ints = type->func.nresults > 1 ? 3 : 2, others = 0, bytes = 0;
    bool vector = false;

    if (!u->am->tail_calls || strncmp(u->am->triple, "x86_64", 6) != 0)
        return false;
    for (uint32_t i = 0; i < type->func.nparams; i++) {
        enum sv_valkind kind = sv_valtype_kind(type->func.params[i]);
        bool is_vector = kind == SV_VAL_V128;

        if (is_vector || kind == SV_VAL_F32 || kind == SV_VAL_F64 ? others++ < 8 : ints++ < 6)
            continue;
        if (is_vector)
            bytes = (bytes + 15) & ~15u;
        bytes += is_vector ? 16 : 8;
        vector |= is_vector;
    }
    return vector && bytes % 16 != 0;
}

LLVMTypeRef lower_func_type(const struct lower_unit *u, const struct sv_type *type)
{
    uint32_t n = type->func.nparams, at = 0;
    LLVMTypeRef *params = sv_alloc_array(n + 5, sizeof *params), ret = u->t.voidt, f;

    if (!params)
        return NULL;
    params[at++] = u->t.ptr;
    params[at++] = u->t.ptr;
    if (type->func.nresults > 1)
        params[at++] = u->t.ptr;
    else if (type->func.nresults == 1)
        ret = lower_type(u, type->func.results[0]);
    for (uint32_t i = 0; i < n; i++)
        params[at++] = lower_type(u, type->func.params[i]);
    if (lower_is_padded(u, type))
        params[at++] = u->t.f64;
    if (u->gas)
        params[at++] = u->t.ptr;
    f = LLVMFunctionType(ret, params, at, false);
    sv_free(params);
    return f;
}

LLVMValueRef lower_func_decl(struct lower_unit *u, uint32_t index)
{
    char name[16];
    LLVMValueRef f = u->funcs[index];

    if (f)
        return f;
    snprintf(name, sizeof name, "f%u", index);
    f = LLVMAddFunction(u->mod, name, lower_func_type(u, u->m->funcs[index].type));
    LLVMSetVisibility(f, LLVMHiddenVisibility);
    LLVMSetFunctionCallConv(f, u->cc);
    if (u->self)
        LLVMAddAttributeAtIndex(f, 1, u->self);
    if (u->gas)
        LLVMAddAttributeAtIndex(f, LLVMCountParams(f), u->gas);
    u->funcs[index] = f;
    return f;
}

LLVMValueRef lower_call_native(struct lower_unit *u, const struct sv_type *type,
                               LLVMValueRef callee, LLVMValueRef *args, unsigned n)
{
    LLVMTypeRef f = lower_func_type(u, type);
    bool nest = n > LLVMCountParamTypes(f);
    LLVMValueRef call = LLVMBuildCall2(u->b, nest ? lower_nest_type(u, f) : f, callee, args, n, "");

    if (nest)
        LLVMAddCallSiteAttribute(call, lower_nest_index(u, n) + 1, u->nest);
    LLVMSetInstructionCallConv(call, u->cc);
    if (u->self)
        LLVMAddCallSiteAttribute(call, 1, u->self);
    if (u->gas)
        LLVMAddCallSiteAttribute(call, n, u->gas);
    lower_call_stays(u, call);
    return call;
}

/* ---- Small words ---- */

struct lower_value lower_pop_value(struct lower *l)
{
    if (l->st.len == 0) { /* out of memory before */
        l->nomem = true;
        return (struct lower_value){.v = LLVMGetUndef(l->t->i32)};
    }
    return l->st.data[--l->st.len];
}

LLVMBasicBlockRef lower_block_new(struct lower *l, const char *name)
{
    return LLVMAppendBasicBlockInContext(l->u->ctx, l->fn, name);
}

static uint32_t offset_of(const struct lower *l)
{
    return (uint32_t)(l->op_start - l->m->bytes);
}

void lower_location(struct lower *l)
{
    if (l->scope)
        LLVMSetCurrentDebugLocation2(
            l->b, LLVMDIBuilderCreateDebugLocation(l->u->ctx, offset_of(l), 0, l->scope, NULL));
}

LLVMValueRef lower_trap_value(struct lower *l, LLVMValueRef code)
{
    LLVMValueRef args[3] = {l->inst, LLVMBuildZExt(l->b, code, l->t->i64, ""),
                            lower_i64(l, offset_of(l))},
                 call;

    lower_gas_note(l);
    call = LLVMBuildCall2(l->b, LLVMGlobalGetValueType(l->u->trap), l->u->trap, args, 3, "");
    LLVMBuildUnreachable(l->b);
    return call;
}

LLVMValueRef lower_trap(struct lower *l, int code)
{
    return lower_trap_value(l, lower_i32(l, (uint32_t)code));
}

void lower_trap_if(struct lower *l, LLVMValueRef cond, int code)
{
    LLVMBasicBlockRef trap = lower_block_new(l, "trap"), next = lower_block_new(l, "");

    LLVMSetMetadata(LLVMBuildCondBr(l->b, cond, trap, next), l->u->md_prof, l->u->md_unlikely);
    LLVMPositionBuilderAtEnd(l->b, trap);
    lower_trap(l, code);
    LLVMPositionBuilderAtEnd(l->b, next);
}

LLVMValueRef lower_alloca(struct lower *l, LLVMTypeRef type)
{
    LLVMBasicBlockRef here = LLVMGetInsertBlock(l->b);
    LLVMMetadataRef loc = LLVMGetCurrentDebugLocation2(l->b);
    LLVMValueRef first = LLVMGetFirstInstruction(l->entry), v;

    if (first)
        LLVMPositionBuilderBefore(l->b, first);
    else
        LLVMPositionBuilderAtEnd(l->b, l->entry);
    v = LLVMBuildAlloca(l->b, type, "");
    LLVMPositionBuilderAtEnd(l->b, here);
    LLVMSetCurrentDebugLocation2(l->b, loc);
    return v;
}

/* ---- The host's structs ---- */

LLVMValueRef lower_field(struct lower *l, LLVMValueRef base, uint64_t offset)
{
    LLVMValueRef index = lower_i64(l, offset);

    return LLVMBuildInBoundsGEP2(l->b, l->t->i8, base, &index, 1, "");
}

LLVMValueRef lower_load_host(struct lower *l, LLVMTypeRef type, LLVMValueRef ptr, bool invariant)
{
    LLVMValueRef v = LLVMBuildLoad2(l->b, type, ptr, "");

    if (type == l->t->v2i64)
        LLVMSetAlignment(v, 8);
    LLVMSetMetadata(v, l->u->md_scope, l->u->scope_host);
    LLVMSetMetadata(v, l->u->md_noalias, l->u->scope_guest);
    if (invariant)
        LLVMSetMetadata(v, l->u->md_invariant, l->u->md_empty);
    return v;
}

void lower_store_host(struct lower *l, LLVMValueRef value, LLVMValueRef ptr)
{
    LLVMValueRef v = LLVMBuildStore(l->b, value, ptr);

    if (LLVMTypeOf(value) == l->t->v2i64)
        LLVMSetAlignment(v, 8);
    LLVMSetMetadata(v, l->u->md_scope, l->u->scope_host);
    LLVMSetMetadata(v, l->u->md_noalias, l->u->scope_guest);
    if (l->exact)
        LLVMSetVolatile(v, true);
}

/* Where the instance itself has that array; 0: it has it elsewhere. */
static uint64_t array_place(const struct sv_instance_layout *layout, uint64_t array_offset)
{
    switch (array_offset) {
    case offsetof(struct sv_instance, globals):
        return layout->globals;
    case offsetof(struct sv_instance, tables):
        return layout->tables;
    case offsetof(struct sv_instance, memories):
        return layout->memories;
    case offsetof(struct sv_instance, tags):
        return layout->tags;
    default:
        return 0;
    }
}

LLVMValueRef lower_inst_ptr(struct lower *l, uint64_t array_offset, uint32_t i)
{
    uint64_t at = array_place(&l->u->layout, array_offset);
    LLVMValueRef array = l->inst;

    if (!at)
        array = lower_load_host(l, l->t->ptr, lower_field(l, l->inst, array_offset), true);
    return lower_load_host(l, l->t->ptr, lower_field(l, array, at + (uint64_t)i * 8), true);
}

LLVMValueRef lower_thread_field(struct lower *l, uint64_t offset)
{
    LLVMValueRef store = lower_load_host(
        l, l->t->ptr, lower_field(l, l->inst, offsetof(struct sv_instance, store)), true);

    return lower_field(l, store, offsetof(struct sv_store, thread) + offset);
}

/* Leave through the stub at `to`. */
static LLVMValueRef leave(struct lower *l, LLVMValueRef to, LLVMValueRef *args, unsigned n)
{
    LLVMValueRef all[6] = {l->inst}, r;
    LLVMTypeRef types[6] = {l->t->ptr};

    for (unsigned i = 0; i < n; i++) {
        all[i + 1] = args[i];
        types[i + 1] = LLVMTypeOf(args[i]);
    }
    lower_gas_flush(l);
    r = LLVMBuildCall2(l->b, LLVMFunctionType(l->t->i64, types, n + 1, false), to, all, n + 1, "");
    lower_call_stays(l->u, r);
    lower_gas_reload(l);
    return r;
}

LLVMValueRef lower_helper(struct lower *l, enum sv_native_helper h, LLVMValueRef *args, unsigned n)
{
    return leave(l, lower_inst_ptr(l, offsetof(struct sv_instance, helpers), h), args, n);
}

void lower_call_out(struct lower *l, LLVMValueRef func, LLVMValueRef slots)
{
    LLVMValueRef args[] = {l->inst, func, slots, l->gas_ref}, out;
    LLVMTypeRef types[] = {l->t->ptr, l->t->ptr, l->t->ptr, l->t->ptr};
    unsigned n = l->gas_ref ? 4 : 3;

    if (l->metered && !l->gas_ref) {
        lower_helper(l, SV_NATIVE_CALL, args + 1, 2);
        return;
    }
    out = lower_load_host(l, l->t->ptr, lower_field(l, func, offsetof(struct sv_func, out)), true);
    if (l->metered)
        lower_gas_pass(l);
    out = LLVMBuildCall2(l->b, LLVMFunctionType(l->t->i64, types, n, false), out, args, n, "");
    if (l->metered) {
        LLVMAddCallSiteAttribute(out, n, l->u->gas);
        lower_gas_take(l);
    }
    lower_call_stays(l->u, out);
}

LLVMValueRef lower_slots(struct lower *l, uint32_t n)
{
    if (!l->slots)
        l->slots = lower_alloca(l, LLVMArrayType2(l->t->i64, 1));
    if (n > l->nslots)
        l->nslots = n;
    return l->slots;
}

static LLVMValueRef slot_at(struct lower *l, LLVMValueRef slots, uint32_t at)
{
    LLVMValueRef index = lower_i64(l, at);

    return LLVMBuildGEP2(l->b, l->t->i64, slots, &index, 1, "");
}

void lower_slot_write(struct lower *l, LLVMValueRef slots, uint32_t at, sv_valtype t,
                      LLVMValueRef v)
{
    (void)t;
    lower_store_host(l, v, slot_at(l, slots, at));
}

LLVMValueRef lower_slot_read(struct lower *l, LLVMValueRef slots, uint32_t at, sv_valtype t)
{
    return lower_load_host(l, lower_type(l->u, t), slot_at(l, slots, at), false);
}

/* ---- The function ---- */

static LLVMMetadataRef subprogram(struct lower *l)
{
    struct lower_unit *u = l->u;
    char name[16];
    int n = snprintf(name, sizeof name, "f%u", l->index);
    LLVMMetadataRef sp;

    sp = LLVMDIBuilderCreateFunction(u->di, u->di_file, name, (size_t)n, "", 0, u->di_file,
                                     l->func->body_offset, u->di_type, true, true,
                                     l->func->body_offset, LLVMDIFlagZero, true);
    LLVMSetSubprogram(l->fn, sp);
    return sp;
}

/* Runs of declared locals, into types[]. */
static void local_types(struct lower *l)
{
    uint32_t groups = sv_code_u32(&l->p), at = l->func->type->func.nparams;

    for (uint32_t g = 0; g < groups; g++) {
        uint32_t n = sv_code_u32(&l->p);
        LLVMTypeRef type = lower_type(l->u, sv_code_valtype(l->m, &l->p));

        for (uint32_t i = 0; i < n; i++)
            l->locals[at++].type = type;
    }
}

static uint32_t count_locals(const struct lower *l)
{
    const uint8_t *p = l->p;

    return l->func->type->func.nparams + sv_code_skip_locals(l->m, &p);
}

static bool make_locals(struct lower *l)
{
    const struct sv_type *type = l->func->type;
    uint32_t hidden = type->func.nresults > 1 ? 3 : 2, slot = 0;

    l->nlocals = count_locals(l);
    l->locals = sv_alloc_array_zero(l->nlocals + 1, sizeof *l->locals);
    if (!l->locals)
        return false;
    for (uint32_t i = 0; i < type->func.nparams; i++)
        l->locals[i].type = lower_type(l->u, type->func.params[i]);
    local_types(l);
    for (uint32_t i = 0; i < l->nlocals; i++) {
        struct lower_local *local = &l->locals[i];
        LLVMValueRef v;

        local->slot = LLVMBuildAlloca(l->b, local->type, "");
        if (l->osr_offset) {
            v = lower_load_host(l, local->type, slot_at(l, l->osr_slots, slot), false);
            slot += local->type == l->t->v2i64 ? 2 : 1;
        } else {
            v = i < type->func.nparams ? LLVMGetParam(l->fn, hidden + i)
                                       : LLVMConstNull(local->type);
        }
        LLVMBuildStore(l->b, v, local->slot);
    }
    return true;
}

static void begin(struct lower *l)
{
    if (l->osr_offset) {
        l->fn = l->u->osr;
        l->osr_slots = l->ret = LLVMGetParam(l->fn, 3);
    } else {
        l->fn = lower_func_decl(l->u, l->index);
        l->ret = l->func->type->func.nresults > 1 ? LLVMGetParam(l->fn, 2) : NULL;
    }
    l->inst = LLVMGetParam(l->fn, 0);
    l->mem0 = LLVMGetParam(l->fn, 1);
    lower_unit_attributes(l->u, l->fn);
    l->scope = subprogram(l);
    l->entry = lower_block_new(l, "");
    LLVMPositionBuilderAtEnd(l->b, l->entry);
    l->op_start = l->p;
    lower_location(l);
    lower_gas_open(l, l->osr_offset != 0);
}

/* The array of slots gets its size; OSR: the true entry leads to the loop. */
static void finish(struct lower *l)
{
    LLVMValueRef slots = l->slots;

    if (slots) {
        LLVMPositionBuilderBefore(l->b, slots);
        LLVMSetCurrentDebugLocation2(l->b, NULL);
        LLVMValueRef sized = LLVMBuildAlloca(l->b, LLVMArrayType2(l->t->i64, l->nslots + 1), "");

        LLVMSetAlignment(sized, 16);
        LLVMReplaceAllUsesWith(slots, sized);
        LLVMInstructionEraseFromParent(slots);
    }
}

static int lower_one(struct lower *l)
{
    begin(l);
    if (!make_locals(l)) {
        l->nomem = true;
        return SV_ENOMEM;
    }
    if (l->osr_offset) {
        LLVMBasicBlockRef start = lower_block_new(l, "start");

        l->osr_entry = l->entry;
        LLVMPositionBuilderAtEnd(l->b, start);
    }
    lower_body(l);
    finish(l);
    return l->nomem ? SV_ENOMEM : l->failed || l->osr_entry ? SV_EUNSUPPORTED : 0;
}

int lower_function(struct sv_err *err, struct lower_unit *u, uint32_t index)
{
    struct lower l = {.u = u,
                      .m = u->m,
                      .func = &u->m->funcs[index],
                      .index = index,
                      .b = u->b,
                      .t = &u->t,
                      .epoch = 1,
                      .checked = u->opts->checked,
                      .metered = u->opts->metered,
                      .canon = u->opts->deterministic,
                      .facts_on = !u->opts->checked && u->opts->opt_level > 0,
                      .exceptions = u->exceptions};
    int r;

    l.p = u->m->bytes + l.func->body_offset;
    l.exact = !l.checked && (l.canon || l.metered);
    if (u->osr)
        l.osr_offset = u->opts->osr_offset;
    r = lower_one(&l);
    sv_free(l.locals);
    sv_free(l.facts);
    sv_free(l.st.data);
    sv_free(l.ctls.data);
    sv_free(l.fact_trail.data);
    sv_free(l.fact_saved.data);
    sv_free(l.set_trail.data);
    if (r == SV_ENOMEM)
        return sv_fail_nomem(err, "the compiler");
    if (r < 0)
        return sv_fail(err, r, (uint64_t)(l.op_start - u->m->bytes),
                       "an instruction has no native form");
    return 0;
}
