/* Walking the guest's frames: exceptions and backtraces. Costs nothing while nothing is thrown. A
 * place may come from a signal handler, so what is read from a frame is believed only if it makes
 * sense. */
#include <ucontext.h>

#include "interp/dispatch.h"
#include "interp/entry.h"
#include "runtime/gc.h"

#define HINT_NONE UINT32_MAX

static const struct sv_icode *code_at(const struct sv_flavour *fl, uint32_t index,
                                      const uint32_t *ip)
{
    const struct sv_icode *c = atomic_load_explicit(&fl->codes[index], memory_order_acquire);

    return c && (uintptr_t)ip - (uintptr_t)c->code < c->size ? c : NULL;
}

static bool find_code(struct sv_walk *w, uint32_t hint)
{
    const struct sv_flavour *fl;

    w->code = NULL;
    if (!w->inst || !w->ip || !w->fp)
        return false;
    fl = w->inst->tier;
    if (hint < fl->module->nfuncs)
        w->code = code_at(fl, hint, w->ip);
    for (uint32_t i = 0; !w->code && i < fl->module->nfuncs; i++)
        w->code = code_at(fl, i, w->ip);
    return w->code != NULL;
}

bool sv_walk_find(struct sv_walk *w)
{
    return find_code(w, HINT_NONE);
}

static bool on_stack(const struct sv_thread *th, const union sv_slot *p, size_t slots)
{
    uintptr_t a = (uintptr_t)p - (uintptr_t)th->stack;

    return a % sizeof *p == 0 && a < th->stack_size && (th->stack_size - a) / sizeof *p >= slots;
}

/* The caller waits behind `ret`, with its frame or a record at `back`. Sets the place to the call
 * instruction. */
static bool return_to(const struct sv_thread *th, struct sv_walk *w, const uint32_t *ret,
                      union sv_slot *back)
{
    while (ret == SV_CODE_XRET) {
        if (!on_stack(th, back, SV_XREC_SIZE))
            return false;
        ret = back[SV_XREC_IP].ptr;
        w->inst = back[SV_XREC_INST].ptr;
        back = back[SV_XREC_FP].ptr;
    }
    if (ret == SV_CODE_EXIT)
        return false; /* C called */
    /* As a number: in a frame that was not finished it may be anything. */
    w->ip = (const uint32_t *)((uintptr_t)ret - sizeof *ret);
    w->fp = back;
    return on_stack(th, back, 1) && w->inst;
}

bool sv_walk_out(const struct sv_thread *th, struct sv_walk *w)
{
    union sv_slot *saved = w->fp + w->code->locals;
    union sv_slot *back;

    if (!on_stack(th, w->fp, 1) || !on_stack(th, saved, SV_FRAME_SAVED))
        return false;
    back = saved[1].ptr;
    /* Frames lie above their callers': a walk ends. */
    if (back >= w->fp)
        return false;
    return return_to(th, w, saved[0].ptr, back);
}

/* ---- Exceptions ---- */

static void deliver(struct sv_thread *th, const struct sv_clause *c, union sv_slot *fp)
{
    const struct sv_exn *exn = (const struct sv_exn *)(uintptr_t)th->exn;
    union sv_slot *to = fp + c->slot;

    if (c->ref_first)
        (to++)->ref = th->exn;
    if (c->kind == SV_CLAUSE_TAG) {
        memcpy(to, exn->args, exn->nslots * sizeof *to);
        to += exn->nslots;
    }
    if (c->ref_last)
        to->ref = th->exn;
}

static const struct sv_clause *find_clause(const struct sv_thread *th, const struct sv_walk *w)
{
    const struct sv_exn *exn = (const struct sv_exn *)(uintptr_t)th->exn;
    uint32_t at = (uint32_t)((uintptr_t)w->ip - (uintptr_t)w->code->code);
    uint32_t deepest = UINT32_MAX;

    for (uint32_t i = 0; i < w->code->nclauses; i++) {
        const struct sv_clause *c = &w->code->clauses[i];

        if (at < c->from || at >= c->to || c->depth > deepest)
            continue;
        if (c->kind == SV_CLAUSE_DELEGATE)
            deepest = c->tag;
        else if (c->kind == SV_CLAUSE_ALL || w->inst->tags[c->tag] == exn->tag)
            return c;
    }
    return NULL;
}

bool sv_interp_unwind(struct sv_thread *th, const uint32_t **ip, union sv_slot **fp,
                      struct sv_instance **inst)
{
    struct sv_walk w = {.ip = *ip, .fp = *fp, .inst = *inst};

    /* A host function called by C's entry directly: nothing of ours to unwind. */
    if (w.ip + 1 == SV_CODE_EXIT || w.ip + 1 == SV_CODE_XRET) {
        if (!return_to(th, &w, w.ip + 1, w.fp))
            return false;
    }
    do {
        const struct sv_clause *c;

        /* Call and throw instructions end with the function's index; ip is at that word. */
        if (!find_code(&w, *w.ip))
            return false;
        c = find_clause(th, &w);
        if (c) {
            deliver(th, c, w.fp);
            *ip = (const uint32_t *)(const void *)((const uint8_t *)w.code->code + c->target);
            *fp = w.fp;
            *inst = w.inst;
            th->exn = SV_REF_NULL;
            return true;
        }
    } while (sv_walk_out(th, &w));
    return false;
}

#define SWITCH_AND_GO                                                                              \
    do {                                                                                           \
        const uint32_t *at_ = ip + SELF_WORD;                                                      \
        if (!sv_interp_unwind(th, &at_, &fp, &inst))                                               \
            return SV_EEXCEPTION;                                                                  \
        if (!sv_thread_ok(th))                                                                     \
            return sv_thread_interrupted(th);                                                      \
        ip = at_;                                                                                  \
        tab = ((const struct sv_flavour *)inst->tier)->entry;                                      \
        mem = inst->mem0;                                                                          \
        SLOW_GO;                                                                                   \
    } while (0)
/* Throw instructions end, as calls do, with the function's index: word 3. */
#define SELF_WORD 3

/* Arguments from the base slot (4), tag at 8. */
SLOW(THROW)
{
    SLOW_BEGIN;
    struct sv_exn *exn;

    SLOW_SAVE;
    exn = sv_gc_new_exn(th, inst->tags[A32(8)]);
    if (!exn)
        return sv_trap_raise(th, SV_TRAP_GC_HEAP);
    memcpy(exn->args, fp + A16(4), exn->nslots * sizeof *fp);
    th->exn = (uintptr_t)exn;
    SWITCH_AND_GO;
}
SLOW(THROW_REF)
{
    SLOW_BEGIN;
    SLOW_SAVE;
    if (fp[A16(4)].ref == SV_REF_NULL)
        return sv_trap_raise(th, SV_TRAP_NULL_EXCEPTION);
    th->exn = fp[A16(4)].ref;
    SWITCH_AND_GO;
}

/* ---- Backtraces ---- */

/* The module offset of the instruction at w->ip: the function is lowered once more, which tells. 0:
 * not known. */
static uint32_t offset_of(const struct sv_walk *w)
{
    uint32_t at = (uint32_t)((uintptr_t)w->ip - (uintptr_t)w->code->code), offset = 0;

    sv_free(sv_lower_function(w->inst->tier, w->code->func, at, &offset));
    return offset;
}

/* Functions found last: deep stacks repeat them. Return addresses are not read for hints here,
 * since a place noted in a signal handler may lead to frames that are not finished. */
struct cache {
    const struct sv_icode *codes[8];
    const struct sv_instance *insts[8];
    unsigned next;
};

static bool find_cached(struct sv_walk *w, struct cache *c)
{
    for (unsigned i = 0; i < SV_COUNT(c->codes); i++) {
        const struct sv_icode *code = c->codes[i];

        if (code && c->insts[i] == w->inst &&
            (uintptr_t)w->ip - (uintptr_t)code->code < code->size) {
            w->code = code;
            return true;
        }
    }
    if (!sv_walk_find(w))
        return false;
    c->codes[c->next] = w->code;
    c->insts[c->next] = w->inst;
    c->next = (c->next + 1) % SV_COUNT(c->codes);
    return true;
}

static bool is_instance(const struct sv_thread *th, const struct sv_instance *inst)
{
    for (const struct sv_instance *i = th->store->instances; i; i = i->next) {
        if (i == inst)
            return true;
    }
    return false;
}

void sv_interp_frames(struct sv_thread *th, const void *ip, union sv_slot *fp,
                      struct sv_instance *inst, struct sv_backtrace *ret)
{
    struct cache cache = {.next = 0};
    struct sv_walk w = {.ip = ip, .fp = fp, .inst = inst};

    if (!ip || !fp)
        return; /* left before a frame was made, or where registers are not known */
    /* In a call before the callee had a frame. */
    if ((w.ip + 1 == SV_CODE_EXIT || w.ip + 1 == SV_CODE_XRET) &&
        !return_to(th, &w, w.ip + 1, w.fp))
        return;
    while (!sv_backtrace_full(ret) && is_instance(th, w.inst) && find_cached(&w, &cache)) {
        sv_backtrace_add(ret, w.inst->module, w.code->func,
                         sv_backtrace_keeps(ret) ? offset_of(&w) : 0);
        if (!sv_walk_out(th, &w))
            break;
    }
}

/* The page fault's error code: a write. */
#define FAULT_WRITE 2

void sv_interp_note(struct sv_thread *th, const void *ucontext)
{
#if SV_INTERP_TAIL && defined(__x86_64__) && !defined(SSVM_SANITIZED)
    const greg_t *r = ((const ucontext_t *)ucontext)->uc_mcontext.gregs;
    const uint32_t *ip = (const uint32_t *)r[REG_RDI];

    struct sv_walk w = {
        .ip = ip, .fp = (union sv_slot *)r[REG_RSI], .inst = (struct sv_instance *)r[REG_R13]};

    /* At a fault the registers are as between instructions; at an interruption they may hold
     * anything. */
    th->ip = NULL;
    th->fp = NULL;
    if (!is_instance(th, w.inst) || !sv_walk_find(&w))
        return;
    th->inst = w.inst;
    th->ip = ip;
    th->fp = w.fp;
    /* Of a load and a store in one: the store's place is behind the load's. */
    if ((*ip == sv_iop_offsets[I_COPY8] || *ip == sv_iop_offsets[I_COPY32] ||
         *ip == sv_iop_offsets[I_COPY64]) &&
        r[REG_ERR] & FAULT_WRITE)
        th->ip = ip + 1;
    /* In a callee's entry its frame is not there yet: we are still at the call. */
    if (ip == w.code->code) {
        th->ip = (const uint32_t *)r[REG_RDX] - 1;
        th->fp = (union sv_slot *)r[REG_RCX];
    }
#else
    (void)ucontext;
    th->fp = NULL;
#endif
}
