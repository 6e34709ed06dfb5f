/* Lowering a function: the loop over its instructions, variables, and the finished code. The parts
 * are in lower_*.c. */
#include "interp/lower.h"

/* Code is two to three times as long as the body. */
#define CODE_INITIAL(body_len) (256 + 3 * (body_len))

static void lower_release(struct lower *l)
{
    sv_free(l->code);
    sv_free(l->st.data);
    sv_free(l->ctls.data);
    sv_free(l->fixes.data);
    sv_free(l->clauses.data);
    sv_free(l->stubs.data);
    sv_free(l->origins.data);
    sv_free(l->loops.data);
    sv_free(l->loop_values.data);
    sv_free(l->local_slot);
    sv_free(l->local_cls);
    sv_free(l->naliases);
}

/* ---- Locals ---- */

static uint32_t count_locals(const struct lower *l)
{
    const uint8_t *p = l->p;

    return l->func->type->func.nparams + sv_code_skip_locals(l->m, &p);
}

static void add_local(struct lower *l, uint32_t i, sv_valtype t)
{
    l->local_slot[i] = l->locals;
    l->local_cls[i] = (uint8_t)lower_class(t);
    l->locals += sv_valtype_slots(t);
}

/* Parameters and locals get slots; false: no memory. */
static bool place_locals(struct lower *l)
{
    const struct sv_type *type = l->func->type;
    uint32_t i = 0;

    l->nlocals = count_locals(l);
    l->local_slot = sv_alloc_array(l->nlocals + 1, sizeof *l->local_slot);
    l->local_cls = sv_alloc_array(l->nlocals + 1, 1);
    if (!l->local_slot || !l->local_cls)
        return false;
    for (; i < type->func.nparams; i++)
        add_local(l, i, type->func.params[i]);
    for (uint32_t runs = sv_code_u32(&l->p); runs > 0; runs--) {
        uint32_t n = sv_code_u32(&l->p);
        sv_valtype t = sv_code_valtype(l->m, &l->p);

        while (n-- > 0)
            add_local(l, i++, t);
    }
    l->naliases = sv_alloc_array_zero(l->locals + 1, sizeof *l->naliases);
    return l->naliases != NULL;
}

/* The entry instruction; its frame size is written when it is known. */
static void emit_entry(struct lower *l)
{
    uint32_t first = l->func->type->func.param_slots, n = (l->locals - first + 1) & ~1u;
    uint32_t iop = n == 0   ? I_ENTER0
                   : n == 2 ? I_ENTER2
                   : n == 4 ? I_ENTER4
                   : n == 6 ? I_ENTER6
                            : I_ENTER;
    uint8_t *p;

    /* Results go to the first slots while the saved ones are still to be read. */
    if (l->locals < l->func->type->func.result_slots)
        l->locals = l->func->type->func.result_slots;
    p = lower_emit(l, iop, 12);
    lower_put16(p, 4, l->locals);
    lower_put16(p, 8, n);
    lower_put16(p, 10, first);
    l->next_slot = l->locals + SV_FRAME_SAVED;
    lower_reserve(l, l->next_slot);
}

/* ---- Variables and constants ---- */

static void local_get(struct lower *l, uint32_t local)
{
    lower_push(l, ENT_LOCAL, l->local_cls[local], l->local_slot[local]);
    if (!l->optimise && !l->nomem)
        lower_settle_top(l, 1);
}

static void global_get(struct lower *l)
{
    uint32_t i = sv_code_u32(&l->p);
    unsigned cls = lower_class(l->m->globals[i].type.type);
    uint8_t *p = lower_begin(l, cls, I_GLOBAL_GET_R + cls * 2, 12, OP_GLOBAL_GET);

    l->last->offset = i;
    lower_put32(p, 8, i);
    lower_push_acc(l, cls);
}

/* The stack pointer of C programs: global += K with the sum kept, or global = slot + K. */
static bool global_set_sum(struct lower *l, uint32_t i, const struct opnd *o)
{
    struct rec r = *l->last;
    uint8_t *p;

    if (!l->accs || r.pos == NONE || o->kind == KIND_K || o->cls != CLASS_R)
        return false;
    if (r.op == REC_GLOBAL_ADD && r.offset == i &&
        (lower_is_last(l, o) || (!o->acc && o->slot == r.d))) {
        lower_undo(l);
        p = lower_begin(l, CLASS_R, I_GLOBAL_ADD_SET, 16, REC_OTHER);
        lower_put32(p, 8, i);
        lower_put32(p, 12, (uint32_t)r.b.k);
        if (r.d != NONE)
            lower_patch(l, CLASS_R, r.d);
        return true;
    }
    if (r.op == OP_I32_ADD && lower_is_last(l, o) && r.b.kind == KIND_K && r.a.kind != KIND_K &&
        !r.a.acc) {
        lower_undo(l);
        p = lower_emit(l, I_GLOBAL_SET_ADD, 16);
        lower_put16(p, 6, r.a.slot);
        lower_put32(p, 8, i);
        lower_put32(p, 12, (uint32_t)r.b.k);
        return true;
    }
    return false;
}

static void global_set(struct lower *l)
{
    uint32_t i = sv_code_u32(&l->p);
    struct opnd o = lower_pop(l);
    uint8_t *p;

    if (global_set_sum(l, i, &o))
        return;
    if (o.kind == KIND_K)
        lower_to_slot(l, &o);
    p = lower_emit(l, I_GLOBAL_SET_S + o.cls * 2u + (o.kind == KIND_R), 12);
    lower_put16(p, 6, o.slot);
    lower_put32(p, 8, i);
}

static void v128_const(struct lower *l)
{
    uint8_t *p = lower_begin(l, CLASS_V, I_V128_CONST, 24, REC_OTHER);

    memcpy(p + 8, l->p, 16);
    l->p += 16;
    lower_push_acc(l, CLASS_V);
}

static bool variable_op(struct lower *l, uint32_t op)
{
    switch (op) {
    case OP_NOP:
        return true;
    case OP_LOCAL_SET:
    case OP_LOCAL_TEE:
        lower_local_set(l, sv_code_u32(&l->p), op == OP_LOCAL_TEE);
        return true;
    case OP_GLOBAL_GET:
        global_get(l);
        return true;
    case OP_GLOBAL_SET:
        global_set(l);
        return true;
    case OP_I32_CONST:
        lower_push_const(l, CLASS_R, (uint64_t)(int64_t)sv_code_s32(&l->p));
        return true;
    case OP_I64_CONST:
        lower_push_const(l, CLASS_R, (uint64_t)sv_code_s64(&l->p));
        return true;
    case OP_F32_CONST:
        lower_push_const(l, CLASS_G, sv_code_f32_bits(&l->p));
        return true;
    case OP_F64_CONST:
        lower_push_const(l, CLASS_F, sv_code_f64_bits(&l->p));
        return true;
    case OP_V128_CONST:
        v128_const(l);
        return true;
    case OP_DROP:
        lower_drop(l, 1);
        return true;
    case OP_SELECT_T:
        for (uint32_t n = sv_code_u32(&l->p); n > 0; n--)
            (void)sv_code_valtype(l->m, &l->p);
        lower_select(l);
        return true;
    case OP_SELECT:
        lower_select(l);
        return true;
    case OP_I8X16_SHUFFLE:
        lower_shuffle(l);
        return true;
    default:
        return false;
    }
}

/* ---- The loop ---- */

static bool control_op(struct lower *l, uint32_t op)
{
    switch (op) {
    case OP_UNREACHABLE:
        lower_gas_end(l);
        lower_emit(l, I_UNREACHABLE, 4);
        lower_set_unreachable(l);
        return true;
    case OP_BLOCK:
    case OP_LOOP:
    case OP_IF:
    case OP_TRY:
    case OP_TRY_TABLE:
        lower_block(l, op);
        return true;
    case OP_ELSE:
        lower_else(l);
        return true;
    case OP_END:
        lower_end(l);
        return true;
    default:
        return lower_branch_op(l, op) || lower_call_op(l, op) || lower_exception_op(l, op);
    }
}

static void lower_op(struct lower *l, uint32_t op)
{
    switch (sv_lower_info[op].family) {
    case FAM_UNARY:
        lower_unary(l, op);
        break;
    case FAM_BINARY:
        lower_binary(l, op);
        break;
    case FAM_TERNARY:
        lower_ternary(l, op);
        break;
    case FAM_EXTRACT:
    case FAM_REPLACE:
        lower_lane(l, op);
        break;
    case FAM_LOAD:
        lower_load(l, op);
        break;
    case FAM_STORE:
        lower_store(l, op);
        break;
    default:
        if (!variable_op(l, op) && !control_op(l, op) && !lower_memory_op(l, op) &&
            !lower_ref_op(l, op))
            lower_emit(l, I_BAD, 4);
        break;
    }
    if (l->canon)
        lower_canon(l, op);
}

static void lower_body(struct lower *l)
{
    struct sv_blocktype none = {.type = NULL, .result = SV_VAL_BOT};
    struct ctl top = {.kind = CTL_FUNC, .type = none, .fixes = NONE, .else_fix = NONE};

    top.type.type = l->func->type;
    top.base = l->next_slot;
    if (!SV_VEC_PUSH(&l->ctls, UINT32_MAX, top)) {
        l->nomem = true;
        return;
    }
    lower_gas_begin(l);
    while (l->ctls.len > 0 && !l->nomem) {
        uint32_t op;

        l->op_start = l->p;
        l->origin = 0;
        op = sv_code_op(&l->p);
        if (l->unreachable && !sv_code_ends_dead(&l->p, (enum sv_op)op, &l->skip_depth))
            continue;
        if (l->metered)
            l->gas += sv_op_cost(l->m, (enum sv_op)op);
        if (op == OP_LOCAL_GET) /* every third */
            local_get(l, sv_code_u32(&l->p));
        else
            lower_op(l, op);
    }
    lower_return_stubs(l);
}

static bool begin(struct lower *l, const struct sv_flavour *fl, uint32_t index)
{
    const struct sv_module *m = fl->module;

    l->fl = fl;
    l->m = m;
    l->func = &m->funcs[index];
    l->index = index;
    l->offsets = sv_iop_offsets;
    l->optimise = !(fl->bits & SV_FLAVOUR_PLAIN);
    l->accs = l->optimise && SV_INTERP_TAIL;
    l->checked = fl->bits & SV_FLAVOUR_CHECKED;
    l->metered = fl->bits & SV_FLAVOUR_METERED;
    l->canon = fl->bits & SV_FLAVOUR_CANON;
    l->gas_pos = NONE;
    l->p = l->op_start = m->bytes + l->func->body_offset;
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        l->acc[c] = (struct acc){.ent = NONE, .pos = NONE, .mirror = {NONE, NONE}};
    l->last = &l->recs[0];
    l->prev = &l->recs[1];
    lower_forget_last(l);
    l->cap = CODE_INITIAL(l->func->body_len);
    l->code = sv_alloc(l->cap);
    if (!l->code)
        return false;
    return place_locals(l);
}

/* The finished code in one allocation: head, instructions, clauses. */
static own struct sv_icode *finish(struct lower *l)
{
    size_t clauses = l->clauses.len * sizeof(struct sv_clause);
    size_t code = (l->len + 7) & ~(size_t)7;
    struct sv_icode *c = sv_alloc(sizeof *c + code + clauses);

    if (!c)
        return NULL;
    *c = (struct sv_icode){.func = l->index,
                           .size = l->len,
                           .locals = l->locals,
                           .nclauses = (uint32_t)l->clauses.len};
    memcpy(c->code, l->code, l->len);
    c->enter = c->code[0];
    c->clauses = (struct sv_clause *)(void *)((uint8_t *)c->code + code);
    if (clauses)
        memcpy(c->clauses, l->clauses.data, clauses);
    return c;
}

static uint32_t origin_of(const struct lower *l, uint32_t at)
{
    uint32_t offset = 0;

    for (size_t i = 0; i < l->origins.len && l->origins.data[i] >> 32 <= at; i++)
        offset = (uint32_t)l->origins.data[i];
    return offset;
}

/* The whole pass; false: out of memory. */
static bool lower(struct lower *l, const struct sv_flavour *fl, uint32_t index)
{
    uint32_t end;

    if (!begin(l, fl, index))
        return false;
    emit_entry(l);
    lower_body(l);
    end = l->max_slot + SV_FRAME_SPARE;
    if (l->nomem)
        return false;
    if (end > SV_FRAME_MAX) {
        lower_put32(l->code, 0, sv_iop_offsets[I_TOO_BIG]);
        l->clauses.len = 0;
    }
    lower_put16(l->code, 6, end);
    return true;
}

own struct sv_icode *sv_lower_function(const struct sv_flavour *fl, uint32_t index, uint32_t at,
                                       uint32_t *ret_offset)
{
    struct lower l = {.map = ret_offset != NULL};
    struct sv_icode *code = lower(&l, fl, index) ? finish(&l) : NULL;

    if (code && ret_offset)
        *ret_offset = origin_of(&l, at);
    lower_release(&l);
    return code;
}

static uint32_t slots_of_locals(const struct lower *l)
{
    uint32_t n = l->nlocals;

    return n ? l->local_slot[n - 1] + (l->local_cls[n - 1] == CLASS_V ? 2u : 1u) : 0;
}

own struct sv_loops *sv_lower_loops(const struct sv_flavour *fl, uint32_t index)
{
    struct lower l = {.map_loops = true};
    struct sv_loops *loops = NULL;

    if (lower(&l, fl, index))
        loops = sv_alloc_zero(sizeof *loops);
    if (loops) {
        *loops = (struct sv_loops){.n = (uint32_t)l.loops.len,
                                   .locals = slots_of_locals(&l),
                                   .loops = l.loops.data,
                                   .values = l.loop_values.data};
        l.loops.data = NULL;
        l.loop_values.data = NULL;
        for (uint32_t i = 0; i < loops->n; i++)
            memcpy(&loops->loops[i].word, l.code + loops->loops[i].at, sizeof(uint32_t));
    }
    lower_release(&l);
    return loops;
}
