/* Lowering of blocks, branches and returns, and the basic blocks of gas. Calls and exceptions are
 * in lower_call.c. */
#include "interp/lower.h"

/* ---- Gas: one charge a basic block, at its entry (doc/internals/interp.md) ---- */

void lower_gas_begin(struct lower *l)
{
    if (!l->metered)
        return;
    l->gas = 0;
    l->origin = 0; /* where an operand came from that the branch before took in is not its place */
    l->gas_pos = l->len;
    lower_emit(l, I_GAS, 8);
}

void lower_gas_end(struct lower *l)
{
    if (!l->metered || l->gas_pos == NONE || l->nomem)
        return;
    /* Bodies are bounded (limits.h), so the sum fits. */
    lower_put32(l->code + l->gas_pos, 4, (uint32_t)l->gas);
    l->gas_pos = NONE;
}

/* ---- Labels ---- */

static struct ctl *ctl_at(struct lower *l, uint32_t depth)
{
    return &l->ctls.data[l->ctls.len - 1 - depth];
}

static uint32_t label_arity(const struct ctl *c)
{
    return c->kind == CTL_LOOP ? sv_blocktype_nparams(&c->type) : sv_blocktype_nresults(&c->type);
}
static void save_mirrors(const struct lower *l, uint32_t to[CLASS_COUNT][2])
{
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        memcpy(to[c], l->acc[c].mirror, sizeof to[c]);
}

static void meet(const uint32_t a[2], uint32_t io[2])
{
    for (unsigned i = 0; i < 2; i++) {
        if (io[i] != NONE && io[i] != a[0] && io[i] != a[1])
            io[i] = NONE;
    }
}

static void meet_mirrors(const struct lower *l, uint32_t io[CLASS_COUNT][2])
{
    for (unsigned c = 0; c < CLASS_COUNT; c++)
        meet(l->acc[c].mirror, io[c]);
}

static void load_mirrors(struct lower *l, uint32_t from[CLASS_COUNT][2])
{
    for (unsigned c = 0; c < CLASS_COUNT; c++) {
        memcpy(l->acc[c].mirror, from[c], sizeof from[c]);
        l->acc[c].pos = NONE;
        l->acc[c].ent = NONE;
    }
}

/* A jump from here joins the label. */
static void join(struct lower *l, struct ctl *c)
{
    if (c->jumped)
        meet_mirrors(l, c->mirror);
    else
        save_mirrors(l, c->mirror);
    c->jumped = true;
}

static void add_fix(struct lower *l, uint32_t *head, uint32_t field, uint32_t from)
{
    if (!SV_VEC_PUSH(&l->fixes, UINT32_MAX,
                     (struct fix){.field = field, .from = from, .next = *head})) {
        l->nomem = true;
        return;
    }
    *head = (uint32_t)l->fixes.len - 1;
}

static void bind_fixes(struct lower *l, uint32_t *head)
{
    for (uint32_t i = *head; i != NONE && !l->nomem; i = l->fixes.data[i].next) {
        const struct fix *f = &l->fixes.data[i];

        if (f->field & LOWER_CLAUSE_FIELD)
            l->clauses.data[f->field & ~LOWER_CLAUSE_FIELD].target = l->len;
        else
            lower_put32(l->code + f->field, 0, l->len - f->from);
    }
    *head = NONE;
}

/* The branch at `pos` (field at `field`) goes to the label. */
static void link_branch(struct lower *l, struct ctl *c, uint32_t field, uint32_t pos)
{
    if (l->nomem)
        return;
    if (c->kind == CTL_LOOP) {
        lower_put32(l->code + field, 0, c->loop_pos - pos);
    } else {
        join(l, c);
        add_fix(l, &c->fixes, field, pos);
    }
}

/* Put the top n entries into consecutive slots from `base`, without changing the symbolic stack:
 * sources lie at or above their destinations, in order. */
static void move_values(struct lower *l, uint32_t n, uint32_t base)
{
    uint32_t to = base;

    for (size_t i = l->st.len - n; i < l->st.len && !l->nomem; i++) {
        const struct ent *e = &l->st.data[i];

        if (e->kind == ENT_CONST) {
            lower_set_const(l, to, e->cls, e->k);
        } else if (e->kind == ENT_ACC) {
            if (to != e->slot) {
                uint8_t *p = lower_emit(l, I_ST_R + e->cls, 8);

                lower_put16(p, 4, to);
                lower_kill_slot(l, to, e->cls == CLASS_V ? 2 : 1);
            } else {
                lower_settle(l, (uint32_t)i);
            }
        } else {
            lower_move(l, to, e->kind == ENT_LOCAL ? e->local : e->slot, e->cls);
        }
        to += e->cls == CLASS_V ? 2 : 1;
    }
}

/* Do the top n entries' own slots begin at `base`? */
static bool in_place(const struct lower *l, uint32_t n, uint32_t base)
{
    return n == 0 || l->nomem || l->st.data[l->st.len - n].slot == base;
}

static uint32_t emit_jump(struct lower *l);
static void truncate_stack(struct lower *l, uint32_t height)
{
    if (l->st.len > height)
        lower_drop(l, (uint32_t)l->st.len - height);
}

static void push_slots(struct lower *l, const sv_valtype *types, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        lower_push(l, ENT_SLOT, lower_class(types[i]), 0);
}

void lower_set_unreachable(struct lower *l)
{
    struct ctl *c = ctl_at(l, 0);

    lower_gas_end(l);
    truncate_stack(l, c->height);
    l->unreachable = true;
    l->skip_depth = 0;
    lower_forget_last(l);
}

/* ---- Blocks ---- */

static struct ctl *push_ctl(struct lower *l, unsigned kind, struct sv_blocktype type)
{
    struct ctl c = {.kind = (uint8_t)kind, .type = type, .fixes = NONE, .else_fix = NONE};
    uint32_t nparams = sv_blocktype_nparams(&type);

    if (l->nomem)
        return NULL;
    c.height = (uint32_t)l->st.len - nparams;
    c.base = nparams ? l->st.data[c.height].slot : l->next_slot;
    if (!SV_VEC_PUSH(&l->ctls, UINT32_MAX, c)) {
        l->nomem = true;
        return NULL;
    }
    return &l->ctls.data[l->ctls.len - 1];
}

/* A legacy catch block holds an exception that native code entered inside of it would not know. */
static bool can_enter(const struct lower *l, uint32_t *ret_depth)
{
    *ret_depth = 0;
    for (size_t i = 0; i < l->ctls.len; i++) {
        if (l->ctls.data[i].kind == CTL_CATCH)
            return false;
        *ret_depth += l->ctls.data[i].kind == CTL_LOOP;
    }
    return true;
}

/* At a loop's head every operand is a constant or in its own slot. */
static void note_loop(struct lower *l)
{
    struct sv_loop loop = {.at = l->len,
                           .offset = (uint32_t)(l->op_start - l->m->bytes),
                           .values = (uint32_t)l->loop_values.len,
                           .nvalues = (uint32_t)l->st.len};

    if (!can_enter(l, &loop.depth))
        return;
    for (size_t i = 0; i < l->st.len && !l->nomem; i++) {
        const struct ent *e = &l->st.data[i];
        struct sv_loop_value v = {
            .slot = e->slot, .cls = e->cls, .constant = e->kind == ENT_CONST, .k = e->k};

        if (!SV_VEC_PUSH(&l->loop_values, UINT32_MAX, v))
            l->nomem = true;
    }
    if (!SV_VEC_PUSH(&l->loops, UINT32_MAX, loop))
        l->nomem = true;
}

void lower_block(struct lower *l, uint32_t op)
{
    struct sv_blocktype type = sv_code_blocktype(l->m, &l->p);
    uint32_t nparams = sv_blocktype_nparams(&type), pos;
    struct cond cond;
    struct ctl *c;

    if (op == OP_IF) {
        cond = lower_pop_cond(l);
        lower_settle_top(l, nparams);
        lower_settle_all(l, (uint32_t)l->st.len);
        c = push_ctl(l, CTL_IF, type);
        pos = lower_cond_branch(l, &cond, false);
        if (!c)
            return;
        save_mirrors(l, c->else_mirror);
        add_fix(l, &c->else_fix, pos + 4, pos);
        lower_gas_end(l);
        lower_gas_begin(l);
        return;
    }
    lower_settle_top(l, nparams);
    lower_settle_all(l, (uint32_t)l->st.len);
    c = push_ctl(l,
                 op == OP_LOOP        ? CTL_LOOP
                 : op == OP_TRY       ? CTL_TRY
                 : op == OP_TRY_TABLE ? CTL_TRY_TABLE
                                      : CTL_BLOCK,
                 type);
    if (!c)
        return;
    if (op == OP_LOOP) {
        lower_gas_end(l);
        lower_forget_last(l);
        lower_forget_mirrors(l);
        if (l->map_loops)
            note_loop(l);
        c->loop_pos = l->len;
        lower_gas_begin(l);
    } else if (op == OP_TRY || op == OP_TRY_TABLE) {
        lower_forget_last(l);
        c->try_from = l->len;
        if (op == OP_TRY_TABLE) {
            uint32_t n = sv_code_u32(&l->p);

            c->catches = l->p;
            c->try_to = n;
            while (n-- > 0)
                (void)sv_code_catch(&l->p);
        }
    }
}

/* The end of a block's body is reached: its results go where the label has them, and a jump is
 * emitted if asked for. */
static void leave_body(struct lower *l, struct ctl *c, bool jump)
{
    uint32_t n = sv_blocktype_nresults(&c->type), pos;

    if (l->unreachable)
        return;
    if (!in_place(l, n, c->base))
        move_values(l, n, c->base);
    else
        lower_settle_top(l, n);
    lower_gas_end(l);
    if (jump) {
        pos = emit_jump(l);
        link_branch(l, c, pos + 4, pos);
    }
}

void lower_else(struct lower *l)
{
    struct ctl *c = ctl_at(l, 0);

    leave_body(l, c, true);
    truncate_stack(l, c->height);
    l->next_slot = c->base;
    bind_fixes(l, &c->else_fix);
    lower_forget_last(l);
    load_mirrors(l, c->else_mirror);
    c->kind = CTL_ELSE;
    l->unreachable = false;
    push_slots(l, sv_blocktype_params(&c->type), sv_blocktype_nparams(&c->type));
    l->floor = (uint32_t)l->st.len;
    lower_gas_begin(l);
}

/* The position behind the block: who comes here, and with what in the accumulators. */
static void bind_label(struct lower *l, struct ctl *c)
{
    bool falls = !l->unreachable;

    if (!c->jumped)
        return;
    if (falls)
        meet_mirrors(l, c->mirror);
    bind_fixes(l, &c->fixes);
    lower_forget_last(l);
    load_mirrors(l, c->mirror);
}

void lower_end(struct lower *l)
{
    struct ctl *c = ctl_at(l, 0);
    struct sv_blocktype type = c->type;
    bool keeps;

    if (c->kind == CTL_FUNC) {
        if (!l->unreachable) {
            lower_gas_end(l);
            lower_return_values(l);
        }
        l->ctls.len = 0;
        return;
    }
    if (c->kind == CTL_IF) {
        /* No else: its parameters are the results. */
        if (l->unreachable) {
            load_mirrors(l, c->else_mirror);
            l->unreachable = false;
            truncate_stack(l, c->height);
            l->next_slot = c->base;
            push_slots(l, sv_blocktype_params(&type), sv_blocktype_nparams(&type));
        } else {
            leave_body(l, c, false);
            for (unsigned i = 0; i < CLASS_COUNT; i++)
                meet(c->else_mirror[i], l->acc[i].mirror);
        }
        bind_fixes(l, &c->else_fix);
        lower_forget_last(l);
        for (unsigned i = 0; i < CLASS_COUNT; i++)
            l->acc[i].pos = NONE;
    } else if (c->kind == CTL_TRY_TABLE || c->kind == CTL_TRY) {
        lower_forget_last(l);
        lower_try_end(l, c);
    }
    /* A label that nobody jumps to is no label: values stay where they are. */
    keeps = !c->jumped && !l->unreachable && l->st.len == c->height + sv_blocktype_nresults(&type);
    if (!keeps)
        leave_body(l, c, false);
    else
        lower_gas_end(l);
    bind_label(l, c);
    if (l->unreachable && !c->jumped) {
        /* Nothing reaches the end: the code behind is dead too. */
        l->ctls.len--;
        lower_set_unreachable(l);
        return;
    }
    if (!keeps) {
        uint32_t base = c->base;

        truncate_stack(l, c->height);
        l->next_slot = base;
        push_slots(l, sv_blocktype_results(&type), sv_blocktype_nresults(&type));
        l->floor = (uint32_t)l->st.len;
    }
    l->unreachable = false;
    l->ctls.len--;
    lower_gas_begin(l);
}

/* ---- Branches ---- */

/* x += K and a jump: one instruction. */
static uint32_t emit_jump(struct lower *l)
{
    struct rec r = *l->last;
    uint8_t *p;

    if (!l->accs || r.pos == NONE || r.op != OP_I32_ADD || r.d == NONE || r.b.kind != KIND_K ||
        r.a.kind == KIND_K || r.a.acc || r.a.slot != r.d || (int64_t)r.b.k != (int16_t)r.b.k) {
        lower_emit(l, I_JMP, 8);
        return l->len - 8;
    }
    lower_undo(l);
    p = lower_emit(l, I_INC_JMP, 12);
    lower_put16(p, 8, r.d);
    lower_put16(p, 10, (uint32_t)r.b.k);
    lower_kill_slot(l, r.d, 1);
    l->acc[CLASS_R] = (struct acc){.ent = NONE, .pos = NONE, .mirror = {NONE, NONE}};
    lower_mirror(l, CLASS_R, r.d);
    return l->len - 12;
}

static void branch_always(struct lower *l, uint32_t depth)
{
    struct ctl *c = ctl_at(l, depth);
    uint32_t pos;

    if (l->nomem)
        return;
    if (c->kind == CTL_FUNC) {
        lower_return_values(l);
        return;
    }
    move_values(l, label_arity(c), c->base);
    pos = emit_jump(l);
    link_branch(l, c, pos + 4, pos);
}

void lower_br(struct lower *l, uint32_t depth)
{
    branch_always(l, depth);
    lower_set_unreachable(l);
}

/* Branch when the condition holds; the label's values are on the stack and stay there. */
static void branch_if(struct lower *l, struct cond *cond, bool when, uint32_t depth)
{
    struct ctl *c = ctl_at(l, depth);
    uint32_t n = label_arity(c), pos, head = NONE;

    if (l->nomem)
        return;
    lower_settle_top(l, n);
    lower_gas_end(l);
    if (c->kind != CTL_FUNC && in_place(l, n, c->base)) {
        pos = lower_cond_branch(l, cond, when);
        link_branch(l, c, pos + 4, pos);
    } else {
        uint32_t before[CLASS_COUNT][2];

        pos = lower_cond_branch(l, cond, !when);
        add_fix(l, &head, pos + 4, pos);
        save_mirrors(l, before);
        branch_always(l, depth);
        bind_fixes(l, &head);
        lower_forget_last(l);
        meet_mirrors(l, before);
        for (unsigned i = 0; i < CLASS_COUNT; i++)
            memcpy(l->acc[i].mirror, before[i], sizeof before[i]);
    }
    lower_gas_begin(l);
}

void lower_br_if(struct lower *l, uint32_t depth)
{
    struct cond cond = lower_pop_cond(l);

    branch_if(l, &cond, true, depth);
}

/* One target of a table: the label itself, or code that moves the values there. */
static void table_target(struct lower *l, uint32_t field, uint32_t pos, uint32_t depth)
{
    struct ctl *c = ctl_at(l, depth);

    if (l->nomem)
        return;
    if (c->kind != CTL_FUNC && in_place(l, label_arity(c), c->base)) {
        link_branch(l, c, field, pos);
    } else {
        lower_put32(l->code + field, 0, l->len - pos);
        branch_always(l, depth);
    }
}

void lower_br_table(struct lower *l)
{
    uint32_t n = sv_code_u32(&l->p), pos, at = 12, add = 0, arity;
    const uint8_t *labels = l->p, *q = labels;
    struct opnd o = lower_pop(l);
    uint32_t mirror[CLASS_COUNT][2];
    bool adds = false;
    uint8_t *p;

    for (uint32_t i = 0; i <= n; i++)
        arity = sv_code_u32(&q); /* the default's depth, last */
    arity = l->nomem ? 0 : label_arity(ctl_at(l, arity));
    if (l->optimise && lower_is_last(l, &o) && l->last->op == OP_I32_ADD &&
        l->last->b.kind == KIND_K && l->last->a.kind != KIND_K) {
        adds = true;
        add = (uint32_t)l->last->b.k;
        o = l->last->a;
        lower_undo(l);
    }
    if (o.kind == KIND_K)
        lower_to_slot(l, &o);
    lower_settle_top(l, arity);
    lower_gas_end(l);
    at += adds ? 4 : 0;
    if (!lower_room(l, at + 4 * (n + 1)))
        return;
    p = lower_emit(l, (adds ? I_BR_TABLE_ADD_S : I_BR_TABLE_S) + (o.kind == KIND_R),
                   at + 4 * (n + 1));
    pos = l->len - (at + 4 * (n + 1));
    lower_put16(p, 6, o.slot);
    lower_put32(p, 8, n);
    if (adds)
        lower_put32(p, 12, add);
    save_mirrors(l, mirror);
    for (uint32_t i = 0; i <= n && !l->nomem; i++) {
        table_target(l, pos + at + 4 * i, pos, sv_code_u32(&l->p));
        load_mirrors(l, mirror); /* each target is reached from the table */
    }
    l->p = q;
    lower_set_unreachable(l);
}

/* ---- Returns ---- */

static void return_one(struct lower *l)
{
    static const uint16_t slots[CLASS_COUNT] = {I_RET_S, I_RET_F_S, I_RET_G_S, I_RET_V_S};
    static const uint16_t accs[CLASS_COUNT] = {I_RET_R, I_RET_F_R, I_RET_G_R, I_RET_V_R};
    struct ent *e = &l->st.data[l->st.len - 1];
    uint32_t from;
    uint8_t *p;

    if (e->kind == ENT_CONST && e->cls == CLASS_R) {
        p = lower_emit(l, I_RET_K, 16);
        lower_put16(p, 4, l->locals);
        lower_put64(p, 8, e->k);
        return;
    }
    if (e->kind == ENT_CONST) {
        lower_set_const(l, e->slot, e->cls, e->k);
        p = lower_emit(l, slots[e->cls], 8);
        lower_put16(p, 6, e->slot);
    } else {
        from = e->kind == ENT_LOCAL ? e->local : e->slot;
        if (e->kind == ENT_ACC || lower_mirrors(l, e->cls, from))
            p = lower_emit(l, accs[e->cls], 8);
        else
            p = lower_emit(l, slots[e->cls], 8);
        lower_put16(p, 6, from);
    }
    lower_put16(p, 4, l->locals);
}

void lower_return_values(struct lower *l)
{
    uint32_t n = l->func->type->func.nresults;
    uint8_t *p;

    if (l->nomem)
        return;
    if (n == 1) {
        return_one(l);
        return;
    }
    if (n > 1) {
        /* Locals may be sources and lie where results go: all through their own slots. */
        lower_settle_top(l, n);
        move_values(l, n, 0);
    }
    p = lower_emit(l, I_RET, 8);
    lower_put16(p, 4, l->locals);
}

void lower_return(struct lower *l)
{
    lower_gas_end(l);
    lower_return_values(l);
    lower_set_unreachable(l);
}

/* ---- Branches on references ---- */

static void branch_on_null(struct lower *l, bool null, uint32_t depth)
{
    struct cond cond = {.op = OP_I64_EQZ};

    if (null) {
        /* The reference stays when the branch is not taken. */
        struct opnd o;

        lower_settle_top(l, 1);
        o = lower_pop(l);
        cond.b = o;
        branch_if(l, &cond, true, depth);
        lower_push(l, ENT_SLOT, CLASS_R, 0);
    } else {
        lower_settle_top(l, 1);
        if (l->nomem)
            return;
        cond.b =
            (struct opnd){.kind = KIND_S, .slot = l->st.data[l->st.len - 1].slot, .cls = CLASS_R};
        branch_if(l, &cond, false, depth);
        lower_drop(l, 1);
    }
}

static void branch_on_cast(struct lower *l, bool on_success)
{
    uint8_t flags = *l->p++;
    uint32_t depth = sv_code_u32(&l->p), target;
    struct cond cond = {.op = OP_COUNT};
    uint8_t *p;

    (void)sv_code_heap(l->m, &l->p);
    target = SV_REFTYPE(sv_code_heap(l->m, &l->p), (flags & 2) != 0);
    lower_settle_top(l, 1);
    if (l->nomem)
        return;
    /* Test a copy. */
    lower_spill(l);
    lower_move(l, l->next_slot, l->st.data[l->st.len - 1].slot, CLASS_R);
    lower_reserve(l, l->next_slot + 1);
    p = lower_emit(l, I_REF_TEST, 12);
    lower_put16(p, 4, l->next_slot);
    lower_put16(p, 6, l->next_slot + 1);
    lower_put32(p, 8, target);
    lower_forget_mirrors(l);
    cond.b = (struct opnd){.kind = l->accs ? KIND_R : KIND_S, .slot = l->next_slot, .cls = CLASS_R};
    branch_if(l, &cond, on_success, depth);
}

bool lower_branch_op(struct lower *l, uint32_t op)
{
    switch (op) {
    case OP_BR:
        lower_gas_end(l);
        lower_br(l, sv_code_u32(&l->p));
        return true;
    case OP_BR_IF:
        lower_br_if(l, sv_code_u32(&l->p));
        return true;
    case OP_BR_TABLE:
        lower_br_table(l);
        return true;
    case OP_RETURN:
        lower_return(l);
        return true;
    case OP_BR_ON_NULL:
    case OP_BR_ON_NON_NULL:
        branch_on_null(l, op == OP_BR_ON_NULL, sv_code_u32(&l->p));
        return true;
    case OP_BR_ON_CAST:
    case OP_BR_ON_CAST_FAIL:
        branch_on_cast(l, op == OP_BR_ON_CAST);
        return true;
    default:
        return false;
    }
}
