/* What a function would cost to compile, from one pass over its body: LLVM's work and memory are
 * not linear in it. Those that are too much stay interpreted. */
#include <string.h>

#include "aot/compile.h"
#include "base/buf.h"
#include "wasm/opcode.h"
#include "wasm/reader.h"

/* Per function; doc/internals/aot.md has how they were found. */
static const struct sv_aot_limits {
    uint32_t bytes, locals;
    uint64_t carried; /* values on branches: entries of phis */
    uint64_t merges;  /* locals that change x branches: what SSA may need */
} limits[] = {
    [SV_AOT_ALL] = {400000, 20000, 1000000, 10000000},
    [SV_AOT_CAREFUL] = {4000, 200, 5000, 50000},
};

struct label {
    uint32_t arity; /* of a branch to it */
    uint32_t results;
};

struct weigher {
    const struct sv_module *m;
    const uint8_t *p;
    uint64_t edges, carried;
    uint32_t nlocals, nset;
    uint8_t *set; /* by local: is ever changed */
    SV_VEC(struct label) labels;
    bool nomem;
};

static void open_label(struct weigher *w, enum sv_op op)
{
    const uint8_t *p = w->p;
    struct sv_blocktype type = sv_code_blocktype(w->m, &p);
    uint32_t results = sv_blocktype_nresults(&type);
    struct label label = {op == OP_LOOP ? sv_blocktype_nparams(&type) : results, results};

    if (op == OP_LOOP)
        w->carried += label.arity;
    if (!SV_VEC_PUSH(&w->labels, UINT32_MAX, label))
        w->nomem = true;
}

static void add_branch(struct weigher *w, uint32_t depth)
{
    w->edges++;
    w->carried += w->labels.data[w->labels.len - 1 - depth].arity;
}

static void add_targets(struct weigher *w, enum sv_op op)
{
    const uint8_t *p = w->p;

    if (op == OP_BR_TABLE) {
        for (uint64_t n = (uint64_t)sv_code_u32(&p) + 1; n > 0; n--)
            add_branch(w, sv_code_u32(&p));
    } else if (op == OP_TRY_TABLE) {
        (void)sv_code_blocktype(w->m, &p);
        for (uint32_t n = sv_code_u32(&p); n > 0; n--)
            /* The labels are those outside of it. */
            add_branch(w, sv_code_catch(&p).label);
    } else {
        p += op == OP_BR_ON_CAST || op == OP_BR_ON_CAST_FAIL; /* flags */
        add_branch(w, sv_code_u32(&p));
    }
}

static void end_label(struct weigher *w)
{
    if (w->labels.len == 0)
        return;
    w->edges++;
    w->carried += w->labels.data[--w->labels.len].results;
}

static void weigh_op(struct weigher *w, enum sv_op op)
{
    const uint8_t *p = w->p;

    switch (op) {
    case OP_TRY_TABLE:
        add_targets(w, op);
        open_label(w, op);
        break;
    case OP_BLOCK:
    case OP_LOOP:
    case OP_IF:
    case OP_TRY:
        open_label(w, op);
        break;
    case OP_END:
    case OP_DELEGATE:
        end_label(w);
        break;
    case OP_ELSE:
    case OP_CATCH:
    case OP_CATCH_ALL:
        w->edges++;
        break;
    case OP_BR:
    case OP_BR_IF:
    case OP_BR_TABLE:
    case OP_BR_ON_NULL:
    case OP_BR_ON_NON_NULL:
    case OP_BR_ON_CAST:
    case OP_BR_ON_CAST_FAIL:
        add_targets(w, op);
        break;
    case OP_LOCAL_SET:
    case OP_LOCAL_TEE: {
        uint8_t *set = &w->set[sv_code_u32(&p)];

        w->nset += !*set;
        *set = 1;
        break;
    }
    default:
        break;
    }
}

static bool weigh(struct weigher *w, const struct sv_func_decl *f, const struct sv_aot_limits *max)
{
    const uint8_t *end = w->p + f->body_len;
    struct label own_results = {f->type->func.nresults, f->type->func.nresults};
    uint64_t locals = f->type->func.nparams;

    if (f->body_len > max->bytes)
        return false;
    locals += sv_code_skip_locals(w->m, &w->p);
    if (locals > max->locals)
        return false;
    w->set = sv_alloc_zero(locals + 1);
    if (!w->set || !SV_VEC_PUSH(&w->labels, UINT32_MAX, own_results))
        return false;
    while (w->p < end && !w->nomem) {
        enum sv_op op = sv_code_op(&w->p);

        weigh_op(w, op);
        sv_code_skip(&w->p, op);
    }
    return !w->nomem && w->carried <= max->carried && w->nset * w->edges <= max->merges;
}

bool sv_aot_too_big(const struct sv_module *m, uint32_t index, enum sv_aot_effort effort)
{
    const struct sv_func_decl *f = &m->funcs[index];
    struct weigher w = {.m = m, .p = m->bytes + f->body_offset};
    bool ok = effort != SV_AOT_NOTHING && weigh(&w, f, &limits[effort]);

    sv_free(w.set);
    sv_free(w.labels.data);
    return !ok;
}
