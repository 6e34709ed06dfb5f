#include "wasm/forward.h"

#include "wasm/reader.h"

/* Step over an operand; false: the instruction is none. */
static bool skip_operand(enum sv_op op, const uint8_t **p, uint32_t nparams)
{
    if (op == OP_LOCAL_GET)
        return sv_code_u32(p) < nparams;
    sv_code_skip(p, op);
    return op == OP_I32_CONST || op == OP_I64_CONST || op == OP_F32_CONST || op == OP_F64_CONST;
}

bool sv_forward_of(const struct sv_module *m, uint32_t f, struct sv_forward *ret)
{
    const struct sv_func_decl *from = &m->funcs[f], *to;
    uint32_t nparams = from->type->func.nparams, n = 0;
    const uint8_t *p = m->bytes + from->body_offset, *end = p + from->body_len, *at;
    enum sv_op op;

    /* No locals. */
    if (f < m->nimports_of[SV_EXTERN_FUNC] || nparams > SV_FORWARD_PARAMS || *p++ != 0)
        return false;
    ret->args = p;
    for (at = p; (op = sv_code_op(&p)) != OP_CALL; at = p)
        if (++n > SV_FORWARD_PARAMS || !skip_operand(op, &p, nparams))
            return false;
    ret->offset = (uint32_t)(at - m->bytes);
    ret->to = sv_code_u32(&p);
    to = &m->funcs[ret->to];
    /* Every operand is one of the call, and nothing but `end` is behind it. */
    return ret->to >= m->nimports_of[SV_EXTERN_FUNC] && to->type->func.nparams == n && p == end - 1;
}
