/* Typing of blocks, branches, calls and exceptions (spec 3.4.2 to 3.4.4). Knows no operators. */
#include "wasm/validate.h"

#include <string.h>

int sv_validate_unreachable_op(struct sv_validator *v, enum sv_op op)
{
    (void)op;
    sv_validate_unreachable(v);
    return 0;
}

/* ---- blocks ---- */

static int enter(struct sv_validator *v, enum sv_op op, const struct sv_blocktype *type)
{
    int r = sv_validate_pop_list(v, sv_blocktype_params(type), sv_blocktype_nparams(type));

    return r != 0 ? r : sv_validate_push_ctrl(v, op, *type);
}

int sv_validate_block(struct sv_validator *v, enum sv_op op)
{
    struct sv_blocktype type;
    int r = sv_validate_blocktype(v, &type);

    return r != 0 ? r : enter(v, op, &type);
}

int sv_validate_if(struct sv_validator *v, enum sv_op op)
{
    struct sv_blocktype type;
    int r = sv_validate_blocktype(v, &type);

    if (r == 0)
        r = sv_validate_pop(v, SV_VAL_I32);
    return r != 0 ? r : enter(v, op, &type);
}

int sv_validate_try(struct sv_validator *v, enum sv_op op)
{
    return sv_validate_block(v, op);
}

/* The innermost block is closed: its results are there and nothing else; locals that it set are
 * unset again. */
static int leave(struct sv_validator *v, struct sv_ctrl *ret)
{
    struct sv_ctrl *c = sv_validate_ctrl(v);
    int r =
        sv_validate_pop_list(v, sv_blocktype_results(&c->type), sv_blocktype_nresults(&c->type));

    if (r != 0)
        return r;
    if (v->top != v->base)
        return sv_validate_fail(
            v, SV_EINVALID, "type mismatch: %zu values remain on the stack at the end of a block",
            (size_t)(v->top - v->base));
    while (v->set_locals.len > c->init_height) {
        uint32_t local = v->set_locals.data[--v->set_locals.len];

        v->is_set[local / 8] &= (uint8_t)~(1u << local % 8);
    }
    *ret = *c;
    v->ctrls.len--;
    if (v->ctrls.len > 0)
        v->base = v->stack + sv_validate_ctrl(v)->height;
    return 0;
}

int sv_validate_else(struct sv_validator *v, enum sv_op op)
{
    struct sv_ctrl c;
    int r;

    if (sv_validate_ctrl(v)->op != OP_IF)
        return sv_validate_fail(v, SV_EMALFORMED, "unexpected 'else'");
    r = leave(v, &c);
    return r != 0 ? r : sv_validate_push_ctrl(v, op, c.type);
}

/* An `if` without `else` hands its parameters on as results. */
static int check_no_else(struct sv_validator *v, const struct sv_blocktype *type)
{
    uint32_t n = sv_blocktype_nparams(type);
    const sv_valtype *params = sv_blocktype_params(type), *results = sv_blocktype_results(type);
    int r = sv_validate_spend(v, n);

    if (r != 0)
        return r;
    if (n != sv_blocktype_nresults(type))
        return sv_validate_fail(
            v, SV_EINVALID, "type mismatch: 'if' without 'else' has other results than parameters");
    for (uint32_t i = 0; i < n; i++)
        if (!sv_valtype_matches(v->m->types_registry, params[i], results[i]))
            return sv_validate_mismatch(v, results[i], params[i]);
    return 0;
}

int sv_validate_end(struct sv_validator *v, enum sv_op op)
{
    struct sv_ctrl c;
    int r;

    (void)op;
    if (sv_validate_ctrl(v)->op == OP_IF) {
        r = check_no_else(v, &sv_validate_ctrl(v)->type);
        if (r != 0)
            return r;
    }
    r = leave(v, &c);
    if (r != 0)
        return r;
    return sv_validate_push_list(v, sv_blocktype_results(&c.type), sv_blocktype_nresults(&c.type));
}

/* ---- branches ---- */

int sv_validate_br(struct sv_validator *v, enum sv_op op)
{
    struct sv_ctrl *target;
    const sv_valtype *types;
    uint32_t n;
    int r = sv_validate_label_index(v, &target);

    (void)op;
    if (r != 0)
        return r;
    types = sv_validate_label(target, &n);
    r = sv_validate_pop_list(v, types, n);
    if (r == 0)
        sv_validate_unreachable(v);
    return r;
}

int sv_validate_br_if(struct sv_validator *v, enum sv_op op)
{
    struct sv_ctrl *target;
    const sv_valtype *types;
    uint32_t n;
    int r = sv_validate_label_index(v, &target);

    (void)op;
    if (r == 0)
        r = sv_validate_pop(v, SV_VAL_I32);
    if (r != 0)
        return r;
    types = sv_validate_label(target, &n);
    r = sv_validate_pop_list(v, types, n);
    return r != 0 ? r : sv_validate_push_list(v, types, n);
}

/* The operands match a label of br_table, and stay as they are. */
static int match_label(struct sv_validator *v, const struct sv_ctrl *target, uint32_t arity)
{
    const struct sv_types *reg = v->m->types_registry;
    uint32_t n, have = (uint32_t)(v->top - v->base);
    const sv_valtype *types = sv_validate_label(target, &n);
    int r;

    if (n != arity)
        return sv_validate_fail(
            v, SV_EINVALID, "type mismatch: labels of 'br_table' have %u and %u values", n, arity);
    if (have < n && !sv_validate_ctrl(v)->unreachable)
        return sv_validate_underflow(v, types[n - have - 1]);
    if (n == 0 || (n <= have && memcmp(v->top - n, types, n * sizeof(*types)) == 0))
        return 0;
    r = sv_validate_spend(v, n);
    if (r != 0)
        return r;
    for (uint32_t i = 1; i <= n && i <= have; i++) {
        sv_valtype found = *(v->top - i);

        if (found != types[n - i] && !sv_valtype_matches(reg, found, types[n - i]))
            return sv_validate_mismatch(v, types[n - i], found);
    }
    return 0;
}

static struct sv_ctrl *label_at(struct sv_validator *v, uint32_t label)
{
    return &v->ctrls.data[v->ctrls.len - 1 - label];
}

/* Each target is looked at once, however often the table names it. */
int sv_validate_br_table(struct sv_validator *v, enum sv_op op)
{
    const uint8_t *labels;
    uint32_t count, label = 0, arity;
    int r = sv_validate_u32(v, &count);

    (void)op;
    if (r == 0 && count > sv_reader_left(&v->r))
        return sv_validate_fail(v, SV_EMALFORMED, "unexpected end of section or function");
    if (r == 0 && count > SV_LIMIT_BR_TABLE)
        return sv_validate_fail(v, SV_ELIMIT, "'br_table' with %u labels, at most %u", count,
                                SV_LIMIT_BR_TABLE);
    if (r == 0)
        r = sv_validate_pop(v, SV_VAL_I32);
    if (r != 0)
        return r;
    /* the default label, the last, says how many values there are */
    labels = v->r.p;
    for (uint32_t i = 0; i <= count; i++) {
        r = sv_validate_index(v, "label", (uint32_t)v->ctrls.len, &label);
        if (r != 0)
            return r;
    }
    (void)sv_validate_label(label_at(v, label), &arity);
    v->visits++;
    for (uint32_t i = 0; i <= count; i++) {
        struct sv_ctrl *target = label_at(v, sv_code_u32(&labels));

        if (target->visit == v->visits)
            continue;
        target->visit = v->visits;
        r = match_label(v, target, arity);
        if (r != 0)
            return r;
    }
    sv_validate_unreachable(v);
    return 0;
}

int sv_validate_return(struct sv_validator *v, enum sv_op op)
{
    const struct sv_type *type = v->type;
    int r = sv_validate_pop_list(v, type->func.results, type->func.nresults);

    (void)op;
    if (r == 0)
        sv_validate_unreachable(v);
    return r;
}

int sv_validate_br_on_null(struct sv_validator *v, enum sv_op op)
{
    struct sv_ctrl *target;
    const sv_valtype *types;
    sv_valtype ref, non_null;
    uint32_t n;
    int r = sv_validate_label_index(v, &target);

    if (r == 0)
        r = sv_validate_pop_ref(v, &ref);
    if (r != 0)
        return r;
    non_null = SV_REFTYPE(sv_valtype_heap(ref), false);
    types = sv_validate_label(target, &n);
    if (op == OP_BR_ON_NULL) {
        r = sv_validate_pop_list(v, types, n);
        if (r == 0)
            r = sv_validate_push_list(v, types, n);
        if (r == 0)
            r = sv_validate_push_list(v, &non_null, 1);
        return r;
    }
    if (n == 0 || !sv_valtype_is_ref(types[n - 1]))
        return sv_validate_fail(v, SV_EINVALID, "type mismatch: the label takes no reference");
    if (!sv_valtype_matches(v->m->types_registry, non_null, types[n - 1]))
        return sv_validate_mismatch(v, types[n - 1], non_null);
    r = sv_validate_pop_list(v, types, n - 1);
    return r != 0 ? r : sv_validate_push_list(v, types, n - 1);
}

/* br_on_cast and br_on_cast_fail: what goes to the label and what stays change places. */
int sv_validate_br_on_cast(struct sv_validator *v, enum sv_op op)
{
    const struct sv_types *reg = v->m->types_registry;
    struct sv_ctrl *target;
    const sv_valtype *types;
    sv_valtype from, to, rest, jumps, stays;
    uint32_t n;
    uint8_t flags;
    int r;

    if (!sv_read_u8(&v->r, &flags))
        return sv_validate_fail_read(v);
    if (flags > 3)
        return sv_validate_fail(v, SV_EMALFORMED, "malformed cast flags 0x%02x", flags);
    r = sv_validate_label_index(v, &target);
    if (r == 0)
        r = sv_validate_heap(v, flags & 1, &from);
    if (r == 0)
        r = sv_validate_heap(v, flags & 2, &to);
    if (r != 0)
        return r;
    if (!sv_valtype_matches(reg, to, from))
        return sv_validate_mismatch(v, from, to);
    /* spec 3.3: the difference; null is gone when the target takes it */
    rest = sv_valtype_nullable(to) ? SV_REFTYPE(sv_valtype_heap(from), false) : from;
    jumps = op == OP_BR_ON_CAST ? to : rest;
    stays = op == OP_BR_ON_CAST ? rest : to;
    types = sv_validate_label(target, &n);
    if (n == 0)
        return sv_validate_fail(v, SV_EINVALID, "type mismatch: the label takes no reference");
    if (!sv_valtype_matches(reg, jumps, types[n - 1]))
        return sv_validate_mismatch(v, types[n - 1], jumps);
    r = sv_validate_pop(v, from);
    if (r == 0)
        r = sv_validate_pop_list(v, types, n - 1);
    if (r == 0)
        r = sv_validate_push_list(v, types, n - 1);
    return r != 0 ? r : sv_validate_push_list(v, &stays, 1);
}

/* ---- calls ---- */

/* Operands and results of a call; a tail call's results must be the function's. */
static int apply_call(struct sv_validator *v, const struct sv_type *type, bool tail)
{
    const struct sv_type *self = v->type;
    int r = sv_validate_pop_list(v, type->func.params, type->func.nparams);

    if (r != 0)
        return r;
    if (!tail)
        return sv_validate_push_list(v, type->func.results, type->func.nresults);
    if (type->func.nresults != self->func.nresults)
        r = sv_validate_fail(v, SV_EINVALID, "type mismatch: tail call with %u results, not %u",
                             type->func.nresults, self->func.nresults);
    else
        r = sv_validate_spend(v, type->func.nresults);
    if (r != 0)
        return r;
    for (uint32_t i = 0; i < type->func.nresults; i++)
        if (!sv_valtype_matches(v->m->types_registry, type->func.results[i], self->func.results[i]))
            return sv_validate_mismatch(v, self->func.results[i], type->func.results[i]);
    sv_validate_unreachable(v);
    return 0;
}

int sv_validate_call(struct sv_validator *v, enum sv_op op)
{
    uint32_t index;
    int r = sv_validate_index(v, "function", v->m->nfuncs, &index);

    return r != 0 ? r : apply_call(v, v->m->funcs[index].type, op == OP_RETURN_CALL);
}

int sv_validate_call_indirect(struct sv_validator *v, enum sv_op op)
{
    const struct sv_table_type *table;
    uint32_t type, index;
    int r = sv_validate_u32(v, &type);

    if (r == 0)
        r = sv_validate_u32(v, &index);
    if (r != 0)
        return r;
    if (index >= v->m->ntables)
        return sv_validate_fail(v, SV_EINVALID, "unknown table %u", index);
    if (type >= v->m->ntypes)
        return sv_validate_fail(v, SV_EINVALID, "unknown type %u", type);
    if (v->m->types[type]->form != SV_FORM_FUNC)
        return sv_validate_fail(v, SV_EINVALID, "type mismatch: type %u is not a function type",
                                type);
    table = &v->m->tables[index].type;
    if (!sv_valtype_matches(v->m->types_registry, table->type, SV_FUNCREF))
        return sv_validate_mismatch(v, SV_FUNCREF, table->type);
    r = sv_validate_pop(v, table->limits.is64 ? SV_VAL_I64 : SV_VAL_I32);
    return r != 0 ? r : apply_call(v, v->m->types[type], op == OP_RETURN_CALL_INDIRECT);
}

int sv_validate_call_ref(struct sv_validator *v, enum sv_op op)
{
    uint32_t type;
    int r = sv_validate_type_index(v, SV_FORM_FUNC, &type);

    if (r == 0)
        r = sv_validate_pop(v, SV_REFTYPE(SV_HEAP_CONCRETE + v->m->types[type]->id, true));
    return r != 0 ? r : apply_call(v, v->m->types[type], op == OP_RETURN_CALL_REF);
}

/* ---- exceptions ---- */

int sv_validate_throw(struct sv_validator *v, enum sv_op op)
{
    const struct sv_type *type;
    uint32_t tag;
    int r = sv_validate_index(v, "tag", v->m->ntags, &tag);

    (void)op;
    if (r != 0)
        return r;
    type = v->m->tags[tag].type;
    r = sv_validate_pop_list(v, type->func.params, type->func.nparams);
    if (r == 0)
        sv_validate_unreachable(v);
    return r;
}

int sv_validate_throw_ref(struct sv_validator *v, enum sv_op op)
{
    int r = sv_validate_pop(v, SV_EXNREF);

    (void)op;
    if (r == 0)
        sv_validate_unreachable(v);
    return r;
}

/* What a clause delivers is what its label takes (spec 3.4.4). */
static int match_catch(struct sv_validator *v, const struct sv_type *tag, bool with_ref,
                       const struct sv_ctrl *target)
{
    const struct sv_types *reg = v->m->types_registry;
    uint32_t n, nparams = tag ? tag->func.nparams : 0;
    const sv_valtype *types = sv_validate_label(target, &n);
    int r = sv_validate_spend(v, n);

    if (r != 0)
        return r;
    if (n != nparams + with_ref)
        return sv_validate_fail(
            v, SV_EINVALID, "type mismatch: catch clause delivers %u values, its label takes %u",
            nparams + with_ref, n);
    for (uint32_t i = 0; i < n; i++) {
        sv_valtype type = i < nparams ? tag->func.params[i] : SV_REFTYPE(SV_HEAP_EXN, false);

        if (!sv_valtype_matches(reg, type, types[i]))
            return sv_validate_mismatch(v, types[i], type);
    }
    return 0;
}

static int read_catch(struct sv_validator *v)
{
    const struct sv_type *type = NULL;
    struct sv_ctrl *target;
    uint32_t tag;
    uint8_t kind;
    int r = 0;

    if (!sv_read_u8(&v->r, &kind))
        return sv_validate_fail_read(v);
    if (kind > SV_CATCH_ALL_REF)
        return sv_validate_fail(v, SV_EMALFORMED, "malformed catch clause 0x%02x", kind);
    if (kind <= SV_CATCH_REF) {
        r = sv_validate_index(v, "tag", v->m->ntags, &tag);
        if (r == 0)
            type = v->m->tags[tag].type;
    }
    if (r == 0)
        r = sv_validate_label_index(v, &target);
    if (r != 0)
        return r;
    return match_catch(v, type, kind == SV_CATCH_REF || kind == SV_CATCH_ALL_REF, target);
}

int sv_validate_try_table(struct sv_validator *v, enum sv_op op)
{
    struct sv_blocktype type;
    uint32_t n;
    int r = sv_validate_blocktype(v, &type);

    if (r == 0)
        r = sv_validate_u32(v, &n);
    /* labels of the clauses count from outside of the block */
    for (; r == 0 && n > 0; n--)
        r = read_catch(v);
    return r != 0 ? r : enter(v, op, &type);
}

/* ---- legacy exceptions: the old proposal's try ... catch ... end, try ... delegate ---- */

int sv_validate_catch(struct sv_validator *v, enum sv_op op)
{
    const struct sv_type *type = NULL;
    struct sv_ctrl c;
    uint32_t tag;
    int r = 0;

    if (op == OP_CATCH) {
        r = sv_validate_index(v, "tag", v->m->ntags, &tag);
        if (r == 0)
            type = v->m->tags[tag].type;
    }
    if (r != 0)
        return r;
    if (sv_validate_ctrl(v)->op != OP_TRY && sv_validate_ctrl(v)->op != OP_CATCH)
        return sv_validate_fail(v, SV_EMALFORMED, "unexpected '%s'", sv_op_info[op].text);
    r = leave(v, &c);
    if (r == 0)
        r = sv_validate_push_ctrl(v, op, c.type);
    if (r != 0)
        return r;
    /* the exception's values, not the block's parameters */
    v->top = v->base;
    return type ? sv_validate_push_list(v, type->func.params, type->func.nparams) : 0;
}

int sv_validate_delegate(struct sv_validator *v, enum sv_op op)
{
    struct sv_ctrl c;
    uint32_t label;
    int r = sv_validate_u32(v, &label);

    if (r != 0)
        return r;
    if (sv_validate_ctrl(v)->op != OP_TRY)
        return sv_validate_fail(v, SV_EMALFORMED, "unexpected '%s'", sv_op_info[op].text);
    r = leave(v, &c);
    if (r != 0)
        return r;
    /* counts from outside of the block that it closes */
    if (label >= v->ctrls.len)
        return sv_validate_fail(v, SV_EINVALID, "unknown label %u", label);
    return sv_validate_push_list(v, sv_blocktype_results(&c.type), sv_blocktype_nresults(&c.type));
}

int sv_validate_rethrow(struct sv_validator *v, enum sv_op op)
{
    struct sv_ctrl *target;
    int r = sv_validate_label_index(v, &target);

    (void)op;
    if (r != 0)
        return r;
    if (target->op != OP_CATCH && target->op != OP_CATCH_ALL)
        return sv_validate_fail(v, SV_EINVALID, "invalid rethrow label");
    sv_validate_unreachable(v);
    return 0;
}
