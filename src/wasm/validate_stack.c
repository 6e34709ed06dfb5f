/* The validator's machinery: operand and control stacks, indexes and types in code, messages. Types
 * no instruction. */
#include <stdarg.h>
#include <string.h>

#include "wasm/binary.h"
#include "wasm/validate.h"

void sv_validator_init(struct sv_validator *v, struct sv_err *err, struct sv_module *m,
                       uint64_t allowed)
{
    memset(v, 0, offsetof(struct sv_validator, eager));
    memset(&v->runs, 0, sizeof *v - offsetof(struct sv_validator, runs));
    v->err = err;
    v->m = m;
    v->allowed = allowed;
    v->max_matches = SV_LIMIT_MATCHES_BASE + (uint64_t)SV_LIMIT_MATCHES_PER_BYTE * m->len;
}

void sv_validator_release(struct sv_validator *v)
{
    sv_free(v->stack);
    sv_free(v->ctrls.data);
    sv_free(v->runs.data);
    sv_free(v->is_set);
    sv_free(v->set_locals.data);
}

/* ---- messages ---- */

void sv_validate_note(struct sv_validator *v, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    sv_vfail(v->err, code, (uint64_t)(v->at - v->r.base), fmt, ap);
    va_end(ap);
}

void sv_validate_note_read(struct sv_validator *v)
{
    bool end = v->r.p == v->r.end;

    sv_fail(v->err, SV_EMALFORMED, sv_reader_offset(&v->r), "%s%s", v->r.failure,
            end ? " of section or function" : "");
}

/* With the module's type indexes; memory for it may be short, then the words say less. */
int sv_validate_mismatch(struct sv_validator *v, sv_valtype expected, sv_valtype found)
{
    struct sv_buf a, b;
    int r;

    sv_buf_init(&a, 64);
    sv_buf_init(&b, 64);
    sv_valtype_print(&a, v->m, expected);
    sv_valtype_print(&b, v->m, found);
    r = sv_validate_fail(v, SV_EINVALID, "type mismatch: expected %s, found %s", sv_buf_cstr(&a),
                         sv_buf_cstr(&b));
    sv_buf_release(&a);
    sv_buf_release(&b);
    return r;
}

int sv_validate_underflow(struct sv_validator *v, sv_valtype expected)
{
    struct sv_buf a;
    int r;

    if (expected == SV_VAL_BOT)
        return sv_validate_fail(v, SV_EINVALID,
                                "type mismatch: expected an operand, the stack is empty");
    sv_buf_init(&a, 64);
    sv_valtype_print(&a, v->m, expected);
    r = sv_validate_fail(v, SV_EINVALID, "type mismatch: expected %s, the stack is empty",
                         sv_buf_cstr(&a));
    sv_buf_release(&a);
    return r;
}

int sv_validate_feature(struct sv_validator *v, enum sv_feature feature)
{
    v->m->features |= UINT64_C(1) << feature;
    if (v->allowed >> feature & 1)
        return 0;
    /* throw and tags belong to both kinds of exceptions */
    if (feature == SV_FEATURE_EXN && (v->allowed >> SV_FEATURE_LEGACY_EXN & 1))
        return 0;
    return sv_validate_fail(v, SV_EUNSUPPORTED, "feature '%s' is switched off",
                            sv_feature_name(feature));
}

/* ---- immediates ---- */

int sv_validate_u32(struct sv_validator *v, uint32_t *ret)
{
    return sv_read_u32(&v->r, ret) ? 0 : sv_validate_fail_read(v);
}

int sv_validate_index(struct sv_validator *v, const char *what, uint32_t n, uint32_t *ret)
{
    if (!sv_read_u32(&v->r, ret))
        return sv_validate_fail_read(v);
    if (*ret >= n)
        return sv_validate_fail(v, SV_EINVALID, "unknown %s %u", what, *ret);
    return 0;
}

int sv_validate_type_index(struct sv_validator *v, enum sv_form form, uint32_t *ret)
{
    static const char *const names[] = {
        [SV_FORM_FUNC] = "function", [SV_FORM_STRUCT] = "struct", [SV_FORM_ARRAY] = "array"};
    int r = sv_validate_index(v, "type", v->m->ntypes, ret);

    if (r == 0 && v->m->types[*ret]->form != form)
        return sv_validate_fail(v, SV_EINVALID, "type mismatch: type %u is not a %s type", *ret,
                                names[form]);
    return r;
}

int sv_validate_heap(struct sv_validator *v, bool nullable, sv_valtype *ret)
{
    const uint8_t *start = v->r.p;
    uint32_t heap;
    int64_t code;
    int r;

    if (!sv_read_signed(&v->r, 33, &code))
        return sv_validate_fail_read(v);
    if (code >= 0) {
        if (code >= v->m->ntypes)
            return sv_validate_fail(v, SV_EINVALID, "unknown type %lld", (long long)code);
        heap = SV_HEAP_CONCRETE + v->m->types[code]->id;
    } else {
        int abstract = v->r.p - start == 1 ? sv_binary_heap(*start) : -1;

        if (abstract < 0)
            return sv_validate_fail(v, SV_EMALFORMED, "malformed heap type %lld", (long long)code);
        heap = (uint32_t)abstract;
    }
    r = sv_validate_feature(v, sv_heap_feature(heap));
    *ret = SV_REFTYPE(heap, nullable);
    return r;
}

int sv_validate_valtype(struct sv_validator *v, sv_valtype *ret)
{
    sv_valtype type;
    uint8_t byte;

    if (!sv_read_u8(&v->r, &byte))
        return sv_validate_fail_read(v);
    type = sv_binary_valtype(byte);
    if (byte == SV_BINARY_REF || byte == SV_BINARY_REF_NULL)
        return sv_validate_heap(v, byte == SV_BINARY_REF_NULL, ret);
    if (type == SV_VAL_BOT)
        return sv_validate_fail(v, SV_EMALFORMED, "malformed value type 0x%02x", byte);
    *ret = type;
    if (type == SV_VAL_V128)
        return sv_validate_feature(v, SV_FEATURE_SIMD);
    return sv_valtype_is_ref(type) ? sv_validate_feature(v, sv_heap_feature(sv_valtype_heap(type)))
                                   : 0;
}

int sv_validate_blocktype(struct sv_validator *v, struct sv_blocktype *ret)
{
    int64_t code;

    *ret = (struct sv_blocktype){NULL, SV_VAL_BOT};
    if (v->r.p != v->r.end && *v->r.p == SV_BINARY_EMPTY) {
        v->r.p++;
        return 0;
    }
    if (v->r.p != v->r.end && (*v->r.p & 0xc0) == 0x40)
        return sv_validate_valtype(v, &ret->result);
    if (!sv_read_signed(&v->r, 33, &code))
        return sv_validate_fail_read(v);
    if (code < 0)
        return sv_validate_fail(v, SV_EMALFORMED, "malformed block type");
    if (code >= v->m->ntypes || v->m->types[code]->form != SV_FORM_FUNC)
        return sv_validate_fail(v, SV_EINVALID, "unknown type %lld of a block", (long long)code);
    ret->type = v->m->types[code];
    return sv_validate_feature(v, SV_FEATURE_MULTI_VALUE);
}

sv_valtype sv_validate_local_type(const struct sv_validator *v, uint32_t index)
{
    size_t low = 0, high = v->runs.len;

    if (index < v->neager)
        return v->eager[index];
    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (v->runs.data[middle].end <= index)
            low = middle + 1;
        else
            high = middle;
    }
    return v->runs.data[low].type;
}

/* ---- operands ---- */

int sv_validate_reserve(struct sv_validator *v, uint32_t n)
{
    size_t height = (size_t)(v->top - v->stack), base = (size_t)(v->base - v->stack);
    size_t cap = (size_t)(v->end - v->stack);
    sv_valtype *stack;

    if (height + n <= cap)
        return 0;
    if (height + n > SV_LIMIT_OPERANDS + SV_RESERVED_OPERANDS)
        return sv_validate_fail(v, SV_ELIMIT, "more than %u operands on the stack",
                                SV_LIMIT_OPERANDS);
    cap = cap ? cap * 2 : 256;
    if (cap < height + n)
        cap = height + n;
    if (cap > SV_LIMIT_OPERANDS + SV_RESERVED_OPERANDS)
        cap = SV_LIMIT_OPERANDS + SV_RESERVED_OPERANDS;
    stack = sv_realloc(v->stack, cap * sizeof(*stack));
    if (!stack)
        return sv_fail_nomem(v->err, "the operand stack");
    v->stack = stack;
    v->top = stack + height;
    v->base = stack + base;
    v->end = stack + cap;
    return 0;
}

int sv_validate_push_list(struct sv_validator *v, const sv_valtype *types, uint32_t n)
{
    int r;

    if (n == 0)
        return 0;
    r = sv_validate_reserve(v, n);
    if (r != 0)
        return r;
    memcpy(v->top, types, n * sizeof(*types));
    v->top += n;
    return 0;
}

int sv_validate_pop(struct sv_validator *v, sv_valtype type)
{
    sv_valtype found;

    if (v->top == v->base) {
        if (sv_validate_ctrl(v)->unreachable)
            return 0;
        return sv_validate_underflow(v, type);
    }
    found = *--v->top;
    if (found == type || sv_valtype_matches(v->m->types_registry, found, type))
        return 0;
    return sv_validate_mismatch(v, type, found);
}

int sv_validate_pop_any(struct sv_validator *v, sv_valtype *ret)
{
    if (v->top != v->base) {
        *ret = *--v->top;
        return 0;
    }
    *ret = SV_VAL_BOT;
    return sv_validate_ctrl(v)->unreachable ? 0 : sv_validate_underflow(v, SV_VAL_BOT);
}

int sv_validate_pop_ref(struct sv_validator *v, sv_valtype *ret)
{
    int r = sv_validate_pop_any(v, ret);

    if (r != 0 || sv_valtype_is_ref(*ret))
        return r;
    if (*ret != SV_VAL_BOT)
        return sv_validate_fail(v, SV_EINVALID, "type mismatch: expected a reference");
    *ret = SV_REFTYPE(SV_HEAP_BOT, false);
    return 0;
}

int sv_validate_spend(struct sv_validator *v, uint32_t n)
{
    v->matches += n;
    if (v->matches > v->max_matches)
        return sv_validate_fail(v, SV_ELIMIT, "more than %llu operands to compare",
                                (unsigned long long)v->max_matches);
    return 0;
}

int sv_validate_pop_list(struct sv_validator *v, const sv_valtype *types, uint32_t n)
{
    int r;

    if (n == 0)
        return 0;
    if ((size_t)(v->top - v->base) >= n && memcmp(v->top - n, types, n * sizeof(*types)) == 0) {
        v->top -= n;
        return 0;
    }
    r = sv_validate_spend(v, n);
    while (r == 0 && n-- > 0 && !sv_validate_is_bottom(v))
        r = sv_validate_pop(v, types[n]);
    return r;
}

/* ---- blocks ---- */

int sv_validate_push_ctrl(struct sv_validator *v, enum sv_op op, struct sv_blocktype type)
{
    struct sv_ctrl c = {
        .op = (uint8_t)op,
        .height = (uint32_t)(v->top - v->stack),
        .init_height = (uint32_t)v->set_locals.len,
        .type = type,
    };

    if (v->ctrls.len >= SV_LIMIT_NESTING)
        return sv_validate_fail(v, SV_ELIMIT, "more than %u nested blocks", SV_LIMIT_NESTING);
    if (!SV_VEC_PUSH(&v->ctrls, SV_LIMIT_NESTING, c))
        return sv_fail_nomem(v->err, "nested blocks");
    v->base = v->top;
    return sv_validate_push_list(v, sv_blocktype_params(&type), sv_blocktype_nparams(&type));
}

void sv_validate_unreachable(struct sv_validator *v)
{
    v->top = v->base;
    sv_validate_ctrl(v)->unreachable = true;
}

const sv_valtype *sv_validate_label(const struct sv_ctrl *c, uint32_t *ret_n)
{
    if (c->op == OP_LOOP) {
        *ret_n = sv_blocktype_nparams(&c->type);
        return sv_blocktype_params(&c->type);
    }
    *ret_n = sv_blocktype_nresults(&c->type);
    return sv_blocktype_results(&c->type);
}

int sv_validate_label_index(struct sv_validator *v, struct sv_ctrl **ret)
{
    uint32_t label;

    if (!sv_read_u32(&v->r, &label))
        return sv_validate_fail_read(v);
    if (label >= v->ctrls.len)
        return sv_validate_fail(v, SV_EINVALID, "unknown label %u", label);
    *ret = &v->ctrls.data[v->ctrls.len - 1 - label];
    return 0;
}
