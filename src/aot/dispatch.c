/* Indirect calls. A site is a direct call of its dispatcher, one function for each type and table,
 * with the index as one argument more (`nest`: a register of its own, so that all others stay where
 * they are): it finds the function in the table and jumps to it. Inline, the checks, both ways and
 * their joining were a fifth of all the code that LLVM was given for SQLite. What is not a function
 * of exactly that type and of this instance goes on in a second function, which calls outside. Such
 * a one is also where tail calls of imports and through references leave the instance: the frame
 * that they replace is gone by then. */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include "aot/unit.h"

#define PAIRS_MAX ((size_t)1 << 28)

static int compare(const void *a, const void *b)
{
    const struct lower_pair *x = a, *y = b;

    if (x->table != y->table)
        return x->table < y->table ? -1 : 1;
    return (x->type > y->type) - (x->type < y->type);
}

/* Of the call `op` with its immediates at p; false: it needs no code of ours. */
static bool pair_of(const struct sv_module *m, enum sv_op op, const uint8_t *p,
                    struct lower_pair *ret)
{
    uint32_t first;

    if (op != OP_CALL_INDIRECT && op != OP_RETURN_CALL_INDIRECT && op != OP_RETURN_CALL &&
        op != OP_RETURN_CALL_REF)
        return false;
    first = sv_code_u32(&p);
    *ret =
        (struct lower_pair){.type = first, .table = LOWER_NO_TABLE, .tail = op != OP_CALL_INDIRECT};
    if (op == OP_RETURN_CALL) {
        ret->type = m->funcs[first].type_index;
        return first < m->nimports_of[SV_EXTERN_FUNC];
    }
    if (op != OP_RETURN_CALL_REF)
        ret->table = sv_code_u32(&p);
    return true;
}

static bool find_in_body(const struct sv_module *m, const struct sv_func_decl *f,
                         struct lower_pairs *ret)
{
    const uint8_t *p = m->bytes + f->body_offset, *end = p + f->body_len;

    sv_code_skip_locals(m, &p);
    while (p < end) {
        enum sv_op op = sv_code_op(&p);
        struct lower_pair pair;

        if (pair_of(m, op, p, &pair) && !SV_VEC_PUSH(ret, PAIRS_MAX, pair))
            return false;
        sv_code_skip(&p, op);
    }
    return true;
}

bool sv_aot_find_pairs(const struct sv_module *m, uint32_t from, uint32_t to,
                       struct lower_pairs *ret)
{
    size_t n = 0;

    for (uint32_t i = from; i < to; i++) {
        if (!find_in_body(m, &m->funcs[i], ret))
            return false;
    }
    if (ret->len > 0)
        qsort(ret->data, ret->len, sizeof *ret->data, compare);
    for (size_t i = 0; i < ret->len; i++) {
        if (n > 0 && compare(&ret->data[n - 1], &ret->data[i]) == 0)
            ret->data[n - 1].tail |= ret->data[i].tail;
        else
            ret->data[n++] = ret->data[i];
    }
    ret->len = n;
    return true;
}

unsigned lower_nest_index(const struct lower_unit *u, unsigned n)
{
    return n - 1 - (u->gas != NULL);
}

LLVMTypeRef lower_nest_type(const struct lower_unit *u, LLVMTypeRef type)
{
    uint32_t n = LLVMCountParamTypes(type);
    LLVMTypeRef *params = sv_alloc_array((size_t)n + 1, sizeof *params), f;

    if (!params)
        return type;
    LLVMGetParamTypes(type, params);
    params[n] = u->t.ptr; /* the counter's, when that is last, is a pointer too */
    f = LLVMFunctionType(LLVMGetReturnType(type), params, n + 1, false);
    sv_free(params);
    return f;
}

/* c: the dispatcher, o: the way outside. */
static LLVMValueRef declare(struct lower_unit *u, char kind, struct lower_pair pair)
{
    char name[32];
    LLVMTypeRef type;
    LLVMValueRef f;

    snprintf(name, sizeof name, "%c%u_%u", kind, pair.type, pair.table);
    f = LLVMGetNamedFunction(u->mod, name);
    if (f)
        return f;
    type = lower_nest_type(u, lower_func_type(u, u->m->types[pair.type]));
    f = LLVMAddFunction(u->mod, name, type);
    LLVMSetVisibility(f, LLVMHiddenVisibility);
    LLVMSetFunctionCallConv(f, u->cc);
    if (u->self)
        LLVMAddAttributeAtIndex(f, 1, u->self);
    LLVMAddAttributeAtIndex(f, lower_nest_index(u, LLVMCountParams(f)) + 1, u->nest);
    if (u->gas)
        LLVMAddAttributeAtIndex(f, LLVMCountParams(f), u->gas);
    return f;
}

LLVMValueRef lower_outside(struct lower_unit *u, struct lower_pair pair)
{
    return declare(u, 'o', pair);
}

static LLVMValueRef index_of(const struct lower *l)
{
    unsigned nest = lower_nest_index(l->u, LLVMCountParams(l->fn));

    return LLVMBuildPtrToInt(l->b, LLVMGetParam(l->fn, nest), l->t->i64, "");
}

/* In metered code, where a call that passes the counter on cannot be a jump, and before calls that
 * replace their frame: returns what is to be called. */
static LLVMValueRef declare_finder(struct lower_unit *u, struct lower_pair pair)
{
    LLVMTypeRef params[2] = {u->t.ptr, u->t.i64};
    char name[32];
    LLVMValueRef f;

    snprintf(name, sizeof name, "d%u_%u", pair.type, pair.table);
    f = LLVMGetNamedFunction(u->mod, name);
    if (f)
        return f;
    f = LLVMAddFunction(u->mod, name, LLVMFunctionType(u->t.ptr, params, 2, false));
    LLVMSetVisibility(f, LLVMHiddenVisibility);
    if (u->self)
        LLVMAddAttributeAtIndex(f, 1, u->self);
    return f;
}

LLVMValueRef lower_dispatcher(struct lower *l, struct lower_pair pair, LLVMValueRef index)
{
    LLVMValueRef args[2] = {l->inst, index}, f, call;

    if (!l->u->gas && !pair.tail)
        return declare(l->u, 'c', pair);
    f = declare_finder(l->u, pair);
    call = LLVMBuildCall2(l->b, LLVMGlobalGetValueType(f), f, args, 2, "");
    if (l->u->self)
        LLVMAddCallSiteAttribute(call, 1, l->u->self);
    return call;
}

/* The end of a way: goes on in `callee` with this function's arguments, or returns it. */
static void go_on(struct lower *l, const struct sv_type *type, LLVMValueRef callee, bool finder)
{
    unsigned n = LLVMCountParams(l->fn);
    LLVMValueRef *args, call;

    if (finder) {
        LLVMBuildRet(l->b, callee);
        return;
    }
    args = sv_alloc_array(n, sizeof *args);
    if (!args)
        return;
    LLVMGetParams(l->fn, args);
    call = lower_call_native(l->u, type, callee, args, n);
    LLVMSetTailCallKind(call, LLVMTailCallKindMustTail);
    if (type->func.nresults == 1)
        LLVMBuildRet(l->b, call);
    else
        LLVMBuildRetVoid(l->b);
    sv_free(args);
}

static void outside_if(struct lower *l, LLVMValueRef cond, LLVMBasicBlockRef outside)
{
    LLVMBasicBlockRef next = lower_block_new(l, "");

    LLVMSetMetadata(LLVMBuildCondBr(l->b, cond, outside, next), l->u->md_prof, l->u->md_unlikely);
    LLVMPositionBuilderAtEnd(l->b, next);
}

static LLVMValueRef load_field(struct lower *l, LLVMTypeRef type, LLVMValueRef base, size_t offset)
{
    return lower_load_host(l, type, lower_field(l, base, offset), false);
}

static void dispatch(struct lower_unit *u, struct lower_pair pair, bool finder)
{
    const struct sv_type *type = u->m->types[pair.type];
    LLVMValueRef fn = finder ? declare_finder(u, pair) : declare(u, 'c', pair);
    LLVMValueRef index, table, func, at, expected;
    struct lower l = lower_unit_plain(u, fn);
    LLVMBasicBlockRef outside = lower_block_new(&l, "");
    LLVMTypeRef ptr = u->t.ptr;

    index = finder ? LLVMGetParam(fn, 1) : index_of(&l);
    table = lower_inst_ptr(&l, offsetof(struct sv_instance, tables), pair.table);
    at = load_field(&l, u->t.i64, table, offsetof(struct sv_table, size));
    outside_if(&l, LLVMBuildICmp(u->b, LLVMIntUGE, index, at, ""), outside);
    at = load_field(&l, ptr, table, offsetof(struct sv_table, elems));
    at = LLVMBuildGEP2(u->b, ptr, at, &index, 1, "");
    func = lower_load_host(&l, ptr, at, false);
    outside_if(&l, LLVMBuildIsNull(u->b, func, ""), outside);
    expected = lower_inst_ptr(&l, offsetof(struct sv_instance, types), pair.type);
    at = load_field(&l, ptr, func, offsetof(struct sv_func, type));
    outside_if(&l, LLVMBuildICmp(u->b, LLVMIntNE, at, expected, ""), outside);
    at = load_field(&l, ptr, func, offsetof(struct sv_func, inst));
    outside_if(&l, LLVMBuildICmp(u->b, LLVMIntNE, at, l.inst, ""), outside);
    go_on(&l, type, load_field(&l, ptr, func, offsetof(struct sv_func, native)), finder);
    LLVMPositionBuilderAtEnd(u->b, outside);
    go_on(&l, type, lower_outside(u, pair), finder);
}

static void call_outside(struct lower_unit *u, struct lower_pair pair)
{
    const struct sv_type *type = u->m->types[pair.type];
    LLVMValueRef fn = lower_outside(u, pair), args[3];
    struct lower l = lower_unit_plain(u, fn);

    if (pair.table == LOWER_NO_TABLE) {
        args[0] = LLVMGetParam(fn, lower_nest_index(u, LLVMCountParams(fn)));
        lower_unit_leave(&l, type, SV_NATIVE_CALL, args, 1);
        return;
    }
    args[0] = lower_i64(&l, pair.type | (uint64_t)pair.table << 32);
    args[1] = index_of(&l);
    lower_unit_leave(&l, type, SV_NATIVE_CALL_INDIRECT, args, 2);
}

void lower_unit_dispatch(struct lower_unit *u, struct lower_pair pair)
{
    bool fixed = pair.table == LOWER_NO_TABLE || lower_unit_is_fixed(u, pair.table);

    if (!fixed && !u->gas)
        dispatch(u, pair, false);
    if (!fixed && (u->gas || pair.tail))
        dispatch(u, pair, true);
    call_outside(u, pair);
}
