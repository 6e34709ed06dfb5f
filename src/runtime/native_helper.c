/* What native code calls (native.def): the same functions of the runtime, the same gas and the same
 * traps as the interpreter's slow paths. Each is entered through a stub (native_entry.c). */
#include <string.h>

#include "runtime/gc.h"
#include "runtime/native.h"

#define LOW(x) ((uint32_t)(x))
#define HIGH(x) ((uint32_t)((x) >> 32))
/* Unused arguments have no names in the macro's caller. */
#define HELPER_FN(name)                                                                            \
    int name(struct sv_instance *inst, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e)
#define UNUSED(x) ((void)(x))

static inline struct sv_thread *thread(struct sv_instance *inst)
{
    return &inst->store->thread;
}

/* 0-or-trap results of the runtime's functions. */
static inline int done(struct sv_thread *th, int code)
{
    return code ? sv_trap_raise(th, code) : 0;
}

static inline int value(struct sv_thread *th, int code, uint64_t v)
{
    th->native_ret = v;
    return done(th, code);
}

static inline void *pointer(uint64_t v)
{
    return (void *)(uintptr_t)v;
}

HELPER_FN(sv_native_trap)
{
    UNUSED(c), UNUSED(d), UNUSED(e);
    /* What is noted may have been charged already for a block that is not to run. */
    if (inst->native->flags & SV_NATIVE_METERED)
        thread(inst)->gas = inst->gas + HIGH(a);
    thread(inst)->native_offset = LOW(b);
    return sv_trap_raise(thread(inst), (int)LOW(a));
}

/* An exception that an inner activation threw goes on in the frames of this one. */
static int pass_exception(struct sv_instance *inst, struct sv_entry *entry, unsigned pushed_ip)
{
    struct sv_thread *th = thread(inst);

    if (!(inst->native->flags & SV_NATIVE_EXCEPTIONS))
        return SV_EEXCEPTION;
    th->thrown = (struct sv_entry){th->ip, th->fp, th->inst, th->entry, NULL};
    sv_native_note_again(th, pushed_ip);
    th->inst = inst;
    th->entry = entry;
    inst->exn = th->exn;
    th->exn = SV_REF_NULL;
    return 0;
}

static inline int call(struct sv_instance *inst, struct sv_func *f, union sv_slot *slots)
{
    struct sv_thread *th = thread(inst);
    struct sv_entry *entry = th->entry;
    union sv_slot *sp = th->sp;
    int r = f->entry(th, f, slots);

    if (__builtin_expect(r != SV_EEXCEPTION, 1))
        return r;
    th->sp = sp;
    return pass_exception(inst, entry, 0);
}

HELPER_FN(sv_native_call)
{
    UNUSED(c), UNUSED(d), UNUSED(e);
    return call(inst, pointer(a), pointer(b));
}

int sv_native_host_end(struct sv_call *c, void *ret, unsigned pushed_ip)
{
    const struct sv_host_direct *direct = c->data;
    int r = (int)(intptr_t)ret;

    if (c->func->out == sv_native_helpers[SV_NATIVE_CALL_DIRECT])
        r = ret ? direct->end(c, ret) : 0;
    r = sv_host_end(c->th, r);
    return r == SV_EEXCEPTION ? pass_exception(c->inst, c->th->entry, pushed_ip) : r;
}

/* The way of sv_func.out: metered code has its gas in a register, which the stub has pushed. */
HELPER_FN(sv_native_call_out)
{
    struct sv_thread *th = thread(inst);
    int64_t *gas = sv_native_pushed_gas(th);
    int r;

    UNUSED(c), UNUSED(d), UNUSED(e);
    if (th->store->metered)
        th->gas = *gas;
    r = call(inst, pointer(a), pointer(b));
    if (th->store->metered)
        *gas = th->gas;
    return r;
}

HELPER_FN(sv_native_call_import)
{
    struct sv_func *f = inst->funcs[LOW(a)];

    UNUSED(c), UNUSED(d), UNUSED(e);
    /* An interpreted function of the module, called for the first time. */
    if (__builtin_expect(!f, 0))
        f = sv_instance_func(inst, LOW(a));
    return f ? call(inst, f, pointer(b)) : SV_ENOMEM;
}

HELPER_FN(sv_native_call_indirect)
{
    struct sv_func *f = NULL;
    int code = sv_table_func(inst->tables[HIGH(a)], b, inst->types[LOW(a)], &f);

    UNUSED(d), UNUSED(e);
    return code ? sv_trap_raise(thread(inst), code) : call(inst, f, pointer(c));
}

HELPER_FN(sv_native_check_indirect)
{
    struct sv_func *f = NULL;
    int code = sv_table_func(inst->tables[HIGH(a)], b, inst->types[LOW(a)], &f);

    UNUSED(c), UNUSED(d), UNUSED(e);
    return code ? sv_trap_raise(thread(inst), code) : 0;
}

HELPER_FN(sv_native_func)
{
    struct sv_func *f = sv_instance_func(inst, LOW(a));

    UNUSED(b), UNUSED(c), UNUSED(d), UNUSED(e);
    if (!f)
        return SV_ENOMEM;
    return value(thread(inst), 0, (uintptr_t)f);
}

HELPER_FN(sv_native_throw)
{
    const union sv_slot *slots = pointer(b);
    struct sv_exn *exn = sv_gc_new_exn(thread(inst), inst->tags[LOW(a)]);

    UNUSED(c), UNUSED(d), UNUSED(e);
    if (!exn)
        return sv_trap_raise(thread(inst), SV_TRAP_GC_HEAP);
    memcpy(exn->args, slots, exn->nslots * sizeof *slots);
    thread(inst)->thrown.outer = NULL;
    inst->exn = (uintptr_t)exn;
    return 0;
}

HELPER_FN(sv_native_throw_ref)
{
    UNUSED(b), UNUSED(c), UNUSED(d), UNUSED(e);
    if (a == SV_REF_NULL)
        return sv_trap_raise(thread(inst), SV_TRAP_NULL_EXCEPTION);
    thread(inst)->thrown.outer = NULL;
    inst->exn = a;
    return 0;
}

HELPER_FN(sv_native_gas)
{
    UNUSED(a), UNUSED(b), UNUSED(c), UNUSED(d), UNUSED(e);
    return sv_trap_raise(thread(inst), SV_TRAP_GAS);
}

/* ---- Memories and tables ---- */

HELPER_FN(sv_native_memory_grow)
{
    struct sv_thread *th = thread(inst);
    int64_t old = -1;
    int code = sv_memory_grow_op(th, inst->memories[LOW(a)], b, &old);

    UNUSED(c), UNUSED(d), UNUSED(e);
    return value(th, code, (uint64_t)old);
}

HELPER_FN(sv_native_memory_fill)
{
    struct sv_thread *th = thread(inst);

    UNUSED(e);
    return done(th, sv_memory_fill(th, inst->memories[LOW(a)], b, (uint8_t)c, d));
}

HELPER_FN(sv_native_memory_copy)
{
    struct sv_thread *th = thread(inst);

    UNUSED(e);
    return done(th, sv_memory_copy(th, inst->memories[LOW(a)], b, inst->memories[HIGH(a)], c, d));
}

HELPER_FN(sv_native_memory_init)
{
    struct sv_thread *th = thread(inst);

    UNUSED(e);
    return done(th, sv_memory_init(th, inst, LOW(a), HIGH(a), b, LOW(c), LOW(d)));
}

HELPER_FN(sv_native_data_drop)
{
    UNUSED(b), UNUSED(c), UNUSED(d), UNUSED(e);
    sv_data_drop(inst, LOW(a));
    return 0;
}

HELPER_FN(sv_native_table_grow)
{
    struct sv_thread *th = thread(inst);
    int64_t old = -1;
    int code = sv_table_grow_op(th, inst->tables[LOW(a)], b, c, &old);

    UNUSED(d), UNUSED(e);
    return value(th, code, (uint64_t)old);
}

HELPER_FN(sv_native_table_fill)
{
    struct sv_thread *th = thread(inst);

    UNUSED(e);
    return done(th, sv_table_fill(th, inst->tables[LOW(a)], b, c, d));
}

HELPER_FN(sv_native_table_copy)
{
    struct sv_thread *th = thread(inst);

    UNUSED(e);
    return done(th, sv_table_copy(th, inst->tables[LOW(a)], b, inst->tables[HIGH(a)], c, d));
}

HELPER_FN(sv_native_table_init)
{
    struct sv_thread *th = thread(inst);

    UNUSED(e);
    return done(th, sv_table_init(th, inst, LOW(a), HIGH(a), b, LOW(c), LOW(d)));
}

HELPER_FN(sv_native_elem_drop)
{
    UNUSED(b), UNUSED(c), UNUSED(d), UNUSED(e);
    sv_elem_drop(inst, LOW(a));
    return 0;
}

/* ---- References and objects ---- */

HELPER_FN(sv_native_ref_matches)
{
    uint32_t heap = LOW(b >> 1);
    bool matches;

    UNUSED(c), UNUSED(d), UNUSED(e);
    if (heap >= SV_HEAP_CONCRETE)
        heap = inst->types[heap - SV_HEAP_CONCRETE]->id + SV_HEAP_CONCRETE;
    matches = sv_ref_matches(inst->store, a, SV_REFTYPE(heap, b & 1));
    return value(thread(inst), 0, matches);
}

HELPER_FN(sv_native_struct_new)
{
    struct sv_object *o = sv_gc_new_struct(thread(inst), inst->types[LOW(a)]);

    UNUSED(b), UNUSED(c), UNUSED(d), UNUSED(e);
    return value(thread(inst), o ? 0 : SV_TRAP_GC_HEAP, (uintptr_t)o);
}

HELPER_FN(sv_native_array_new)
{
    sv_ref r = SV_REF_NULL;
    int code = sv_array_new(thread(inst), inst->types[LOW(a)], LOW(b), pointer(c), &r);

    UNUSED(d), UNUSED(e);
    return value(thread(inst), code, r);
}

HELPER_FN(sv_native_array_new_data)
{
    sv_ref r = SV_REF_NULL;
    int code =
        sv_array_new_data(thread(inst), inst, inst->types[LOW(a)], LOW(b), LOW(c), LOW(d), &r);

    UNUSED(e);
    return value(thread(inst), code, r);
}

HELPER_FN(sv_native_array_new_elem)
{
    sv_ref r = SV_REF_NULL;
    int code =
        sv_array_new_elem(thread(inst), inst, inst->types[LOW(a)], LOW(b), LOW(c), LOW(d), &r);

    UNUSED(e);
    return value(thread(inst), code, r);
}

HELPER_FN(sv_native_array_init_data)
{
    struct sv_thread *th = thread(inst);

    return done(
        th, sv_array_init_data(th, inst, inst->types[LOW(a)], b, LOW(c), HIGH(a), LOW(d), LOW(e)));
}

HELPER_FN(sv_native_array_init_elem)
{
    struct sv_thread *th = thread(inst);

    return done(
        th, sv_array_init_elem(th, inst, inst->types[LOW(a)], b, LOW(c), HIGH(a), LOW(d), LOW(e)));
}

HELPER_FN(sv_native_array_copy)
{
    struct sv_thread *th = thread(inst);

    return done(th, sv_array_copy(th, inst->types[LOW(a)], b, LOW(c), d, LOW(e), HIGH(a)));
}

HELPER_FN(sv_native_array_fill)
{
    struct sv_thread *th = thread(inst);

    return done(th, sv_array_fill(th, inst->types[LOW(a)], b, LOW(c), pointer(d), LOW(e)));
}

/* ---- Threads ---- */

HELPER_FN(sv_native_wait32)
{
    struct sv_thread *th = thread(inst);
    uint32_t r = 0;
    int code = sv_memory_wait32(th, inst->memories[LOW(a)], b, LOW(c), (int64_t)d, &r);

    UNUSED(e);
    return value(th, code, r);
}

HELPER_FN(sv_native_wait64)
{
    struct sv_thread *th = thread(inst);
    uint32_t r = 0;
    int code = sv_memory_wait64(th, inst->memories[LOW(a)], b, c, (int64_t)d, &r);

    UNUSED(e);
    return value(th, code, r);
}

HELPER_FN(sv_native_notify)
{
    struct sv_thread *th = thread(inst);
    uint32_t r = 0;
    int code = sv_memory_notify(th, inst->memories[LOW(a)], b, LOW(c), &r);

    UNUSED(d), UNUSED(e);
    return value(th, code, r);
}
