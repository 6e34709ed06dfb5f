/* Calls that leave the fast path: traps, the first call of a function, imports, other instances,
 * host functions, tail calls of those. Not exceptions (except.c). */
#include "interp/dispatch.h"
#include "interp/entry.h"
#include "interp/switch.h"
#include "runtime/exec.h"
#include "runtime/native.h"

SLOW(trap)
{
    SLOW_BEGIN;
    SLOW_TRAP((int)R);
}

/* In a callee's entry before its frame is made: the caller is where we are. */
static void save_caller(struct sv_thread *th, struct sv_instance *inst, u64 ret, u64 back)
{
    th->ip = (const uint32_t *)(uintptr_t)ret - 1;
    th->fp = (union sv_slot *)(uintptr_t)back;
    th->inst = inst;
}

SLOW(stack)
{
    SLOW_BEGIN;
    save_caller(th, inst, R, T);
    return sv_trap_raise(th, SV_TRAP_STACK);
}

SLOW(TOO_BIG)
{
    SLOW_BEGIN;
    save_caller(th, inst, R, T);
    return sv_trap_raise(th, SV_TRAP_STACK);
}

/* A call of any function: fp is the callee's frame, ret and back where it returns to. What comes of
 * it: 1 = go on at ip with this state, 2 = a host or native function was called and the guest goes
 * on at ret, below 0 = leave with this code. */
struct target {
    struct sv_instance *inst;
    const uint32_t *ip;
    union sv_slot *fp;
    const uint32_t *ret;
    union sv_slot *back;
};

/* The result of a call that the guest waits for at t->ret, not 0; `entry`: th->entry before it. */
static __attribute__((noinline)) int left_outside(struct sv_thread *th, int r,
                                                  struct sv_entry *entry, struct target *t)
{
    struct sv_instance *inst = t->inst;
    const uint32_t *at = t->ret - 1;
    union sv_slot *fp = t->back;

    /* Left at the place of a trap or a throw, which may be another tier's. */
    if (r != SV_EEXCEPTION || !sv_interp_unwind(th, &at, &fp, &inst))
        return r;
    th->entry = entry;
    *t = (struct target){.inst = inst, .ip = at, .fp = fp};
    return 1;
}

/* `loop`: not f itself but the image of a loop of it, on `nslots` values. */
static int call_outside(struct sv_thread *th, struct sv_func *f, const struct sv_native *loop,
                        uint32_t nslots, struct target *t)
{
    uint32_t results = f->type->func.result_slots;
    struct sv_entry *entry = th->entry;
    int r;

    save_caller(th, t->inst, (uintptr_t)t->ret, (uintptr_t)t->back);
    th->sp = t->fp + (nslots > results ? nslots : results);
    if (th->sp > th->stack_end)
        return sv_trap_raise(th, SV_TRAP_STACK);
    r = loop ? sv_native_enter_loop(th, f->inst, loop, f->index, t->fp) : f->entry(th, f, t->fp);
    return r == 0 ? 2 : left_outside(th, r, entry, t);
}

static int call_any(struct sv_thread *th, struct sv_func *f, struct target *t)
{
    union sv_slot *rec = t->fp;
    uint32_t params = f->type->func.param_slots;

    if (!f->code)
        return call_outside(th, f, NULL, params, t);
    if (f->inst != t->inst) {
        if (t->ret != SV_CODE_XRET) {
            if (rec + params + SV_XREC_SIZE > th->stack_end) {
                save_caller(th, t->inst, (uintptr_t)t->ret, (uintptr_t)t->back);
                return sv_trap_raise(th, SV_TRAP_STACK);
            }
            memmove(rec + SV_XREC_SIZE, rec, params * sizeof *rec);
            rec[SV_XREC_IP].ptr = (void *)(uintptr_t)t->ret;
            rec[SV_XREC_FP].ptr = t->back;
            rec[SV_XREC_INST].ptr = t->inst;
            rec[SV_XREC_RESULTS].i64 = f->type->func.result_slots;
            t->fp = rec + SV_XREC_SIZE;
            t->ret = SV_CODE_XRET;
            t->back = rec;
        }
        t->inst = f->inst;
    }
    t->ip = f->code;
    return 1;
}

/* Behind every call through call_any: take over the target, or leave. */
#define SWITCH(newinst)                                                                            \
    do {                                                                                           \
        inst = (newinst);                                                                          \
        tab = ((const struct sv_flavour *)inst->tier)->entry;                                      \
        mem = inst->mem0;                                                                          \
    } while (0)
/* Behind a call that has been made, with its results at fp. */
#define CALLED(ret_, back_)                                                                        \
    do {                                                                                           \
        const union sv_slot *results_ = fp;                                                        \
                                                                                                   \
        ip = (const uint32_t *)(uintptr_t)(ret_);                                                  \
        fp = (union sv_slot *)(uintptr_t)(back_);                                                  \
        R = results_[0].i64;                                                                       \
        F = results_[0].f64;                                                                       \
        G = results_[0].f32;                                                                       \
        SLOW_GO;                                                                                   \
    } while (0)
#define TAKE_TARGET(r_, t_)                                                                        \
    do {                                                                                           \
        if (r_ <= 0)                                                                               \
            return r_;                                                                             \
        if (r_ == 2)                                                                               \
            CALLED(t_.ret, t_.back);                                                               \
        SWITCH(t_.inst);                                                                           \
        R = (uintptr_t)t_.ret;                                                                     \
        T = (uintptr_t)t_.back;                                                                    \
        ip = t_.ip;                                                                                \
        fp = t_.fp;                                                                                \
        SLOW_GO;                                                                                   \
    } while (0)
#define CALL_ANY(func, ret_, back_)                                                                \
    do {                                                                                           \
        struct target t_ = {.inst = inst,                                                          \
                            .fp = fp,                                                              \
                            .ret = (const uint32_t *)(uintptr_t)(ret_),                            \
                            .back = (void *)(uintptr_t)(back_)};                                   \
        int r_ = call_any(th, func, &t_);                                                          \
                                                                                                   \
        TAKE_TARGET(r_, t_);                                                                       \
    } while (0)

/* The function, if there is native code of it by now that fits; else NULL. */
static struct sv_func *native_func(struct sv_instance *inst, uint32_t index)
{
    return sv_native_attach_late(inst) && sv_native_has(inst->native, index)
               ? sv_instance_func(inst, index)
               : NULL;
}

SLOW(LOWER)
{
    SLOW_BEGIN;
    const struct sv_icode *code;
    struct sv_func *f = NULL;

    if (atomic_load(&((const struct sv_flavour *)inst->tier)->ready))
        f = native_func(inst, ip[1]);
    if (f)
        CALL_ANY(f, R, T);
    save_caller(th, inst, R, T);
    code = sv_lower((struct sv_flavour *)inst->tier, ip[1]);
    if (!code)
        return SV_ENOMEM;
    if (!sv_thread_ok(th))
        return sv_thread_interrupted(th);
    /* Reached through a reference: it leads to the code from now on. */
    if (inst->funcs[ip[1]] && inst->funcs[ip[1]]->code)
        inst->funcs[ip[1]]->code = code->code;
    ip = code->code;
    SLOW_GO;
}

static inline uint32_t slots_of(const struct sv_type *t)
{
    uint32_t params = t->func.param_slots, results = t->func.result_slots;

    return params > results ? params : results;
}

/* Entry of an imported function, or a native one: as every entry, R the return ip, T the caller's
 * fp. */
SLOW(IMPORT)
{
    SLOW_BEGIN;
    struct sv_func *f = inst->funcs[ip[1]];
    struct sv_entry *entry;
    struct target t;
    int r;

    if (!f || f->inst) {
        f = sv_instance_func(inst, ip[1]);
        if (!f)
            return SV_ENOMEM;
        CALL_ANY(f, R, T);
    }
    entry = th->entry;
    save_caller(th, inst, R, T);
    th->sp = fp + slots_of(f->type);
    if (__builtin_expect(th->sp > th->stack_end, 0))
        return sv_trap_raise(th, SV_TRAP_STACK);
    r = sv_host_call(th, inst, f, fp);
    if (__builtin_expect(r == 0, 1))
        CALLED(R, T);
    t = (struct target){.inst = inst,
                        .fp = fp,
                        .ret = (const uint32_t *)(uintptr_t)R,
                        .back = (union sv_slot *)(uintptr_t)T};
    r = left_outside(th, r, entry, &t);
    TAKE_TARGET(r, t);
}

/* The entry of a lowered function that has native code, for instances that it fits. */
SLOW(SWITCH)
{
    SLOW_BEGIN;
    const struct sv_icode *code =
        (const void *)((const uint8_t *)ip - offsetof(struct sv_icode, code));
    struct sv_func *f = native_func(inst, code->func);

    if (!f)
        SLOW_GO_AS(code->enter);
    CALL_ANY(f, R, T);
}

SLOW(LOOP_ASK)
{
    SLOW_BEGIN;
    uint32_t word = sv_switch_ask(inst, ip);

    if (!sv_thread_ok(th)) {
        th->ip = ip;
        th->fp = fp;
        th->inst = inst;
        return sv_thread_interrupted(th);
    }
    SLOW_GO_AS(word);
}

/* The rest of the frame runs natively, as a call in a tail position. */
SLOW(LOOP_ENTER)
{
    SLOW_BEGIN;
    struct sv_loop_entry e;
    struct sv_func *f = NULL;
    struct target t;
    int r;

    if (sv_switch_enter(inst, ip, &e))
        f = sv_instance_func(inst, e.code->func);
    if (!f)
        SLOW_GO_AS(e.word);
    t = (struct target){
        .inst = inst, .fp = fp, .ret = fp[e.code->locals].ptr, .back = fp[e.code->locals + 1].ptr};
    r = call_outside(th, f, e.loop->native, sv_switch_gather(&e, fp), &t);
    TAKE_TARGET(r, t);
}

SLOW(XRET)
{
    SLOW_BEGIN;
    union sv_slot *rec = fp;
    u64 n = rec[SV_XREC_RESULTS].i64;
    struct sv_instance *to = rec[SV_XREC_INST].ptr;

    ip = rec[SV_XREC_IP].ptr;
    fp = rec[SV_XREC_FP].ptr;
    memmove(rec, rec + SV_XREC_SIZE, n * sizeof *rec);
    SWITCH(to);
    SLOW_GO;
}

SLOW(call_indirect)
{
    SLOW_BEGIN;
    struct sv_func *f = (struct sv_func *)(uintptr_t)R;
    const struct sv_type *type = (const struct sv_type *)(uintptr_t)A64(16);

    if (!f)
        SLOW_TRAP(SV_TRAP_UNINITIALIZED_ELEMENT);
    if (!sv_type_matches(f->type, type))
        SLOW_TRAP(SV_TRAP_INDIRECT_TYPE);
    R = (uintptr_t)(IPB + 28);
    T = (uintptr_t)fp;
    fp += A16(4);
    CALL_ANY(f, R, T);
}

SLOW(call_ref)
{
    SLOW_BEGIN;
    struct sv_func *f = (struct sv_func *)(uintptr_t)R;

    if (!f)
        SLOW_TRAP(SV_TRAP_NULL_FUNCTION);
    R = (uintptr_t)(IPB + 12);
    T = (uintptr_t)fp;
    fp += A16(4);
    CALL_ANY(f, R, T);
}

/* Arguments of a tail call: from slot at 4, number of slots at 6; saved slots of this frame at 8.
 */
#define MOVE_ARGS                                                                                  \
    do {                                                                                           \
        R = fp[A16(8)].i64;                                                                        \
        T = fp[A16(8) + 1].i64;                                                                    \
        memmove(fp, fp + A16(4), A16(6) * sizeof *fp);                                             \
    } while (0)

/* Index slot at 10, table at 12, upper half of the index's mask at 16, type at 20. */
SLOW(RETURN_CALL_INDIRECT)
{
    SLOW_BEGIN;
    struct sv_func *f = NULL;
    u64 i = fp[A16(10)].i64 & ((u64)A32(16) << 32 | 0xffffffffu);

    int r = sv_table_func(inst->tables[A32(12)], i, (const struct sv_type *)(uintptr_t)A64(20), &f);

    if (r)
        SLOW_TRAP(r);
    MOVE_ARGS;
    CALL_ANY(f, R, T);
}

/* Function reference in slot at 10. */
SLOW(RETURN_CALL_REF)
{
    SLOW_BEGIN;
    struct sv_func *f = (struct sv_func *)(uintptr_t)fp[A16(10)].ref;

    if (!f)
        SLOW_TRAP(SV_TRAP_NULL_FUNCTION);
    MOVE_ARGS;
    CALL_ANY(f, R, T);
}

int sv_interp_entry(struct sv_thread *th, struct sv_func *f, union sv_slot *args)
{
    union sv_slot *sp = th->sp, *fp = sp + SV_EREC_SIZE;
    struct sv_entry *rec = (struct sv_entry *)(void *)sp;
    uint32_t params = f->type->func.param_slots, results = f->type->func.result_slots;
    int r;

    if (fp + (params > results ? params : results) + SV_FRAME_SPARE > th->stack_end)
        return sv_trap_raise(th, SV_TRAP_STACK);
    memmove(fp, args, params * sizeof *fp);
    sv_entry_push(th, rec, NULL);
    r = sv_interp_run(th, f->inst, f->code, fp, SV_CODE_EXIT, sp);
    if (r == 0)
        memmove(args, fp, results * sizeof *fp);
    if (r == 0 || r == SV_EEXIT) {
        /* On a trap or an exception they stay: the backtrace is taken from them. */
        sv_entry_pop(th, rec);
        th->sp = sp;
    }
    return r;
}
