/* What the runtime asks of a tier (interpreter, native code). The runtime never names one: api/
 * puts the table into the engine. */
#ifndef SV_RUNTIME_EXEC_H
#define SV_RUNTIME_EXEC_H

#include "runtime/instance.h"
#include "runtime/threads.h"

struct sv_exec_ops {
    const char *name; /* "interp" */
    /* ---- Going over to native code, any thread; all may be NULL ---- */
    /* The module has native code of this form now: calls of its functions are to reach it, and
     * frames that run on are to ask for their loops (sv_engine.ask_loop). */
    void (*native_ready)(struct sv_module *, uint32_t form);
    /* Which loop of the function to compile for the frames that asked: its offset in the module; 0:
     * none any more. */
    uint32_t (*pick_loop)(struct sv_module *, uint32_t form, uint32_t func);
    /* Its image (a reference is taken); NULL: there will be none. */
    void (*loop_ready)(struct sv_module *, uint32_t form, uint32_t func, uint32_t offset,
                       struct sv_native *);
    /* Make inst->tier (from module->tier_data, shared by all instances of the module) ready. Cheap:
     * nothing is lowered here. The imports and
     * memories of the instance are set by then, its functions, globals and tables not all. */
    int (*attach)(struct sv_err *err, struct sv_instance *inst);
    /* Fill f->entry and f->code of a function of inst (f->inst, type, index are set). */
    int (*bind)(struct sv_func *f);
    /* Is this program counter inside guest code, which may be left at any instruction without harm
     * to the host? Called in signal handlers. */
    bool (*in_guest)(const void *pc);
    /* In a signal handler, before the guest is left from `ucontext` (in_guest was true): note where
     * it was, so that `frames` works. */
    void (*note)(struct sv_thread *th, const void *ucontext);
    /* The wasm frames of one activation, left at ip in the frame fp, with sv_backtrace_add,
     * innermost first, down to its entry from C. */
    void (*frames)(struct sv_thread *th, const void *ip, union sv_slot *fp,
                   struct sv_instance *inst, struct sv_backtrace *ret);
};

/* Call a host function from inst, whose guest has been left as C code wants it. Results as those of
 * sv_func.entry. */
static inline int sv_host_call(struct sv_thread *th, struct sv_instance *inst, struct sv_func *f,
                               union sv_slot *args)
{
    struct sv_call c = {.th = th, .inst = inst, .func = f, .data = f->host.data};
    int r;

    if (f->cost && !sv_gas_charge(th, f->cost))
        return sv_trap_raise(th, SV_TRAP_GAS);
    f->host.calls++;
    sv_threads_take(th);
    r = f->host.fn(&c, args, args);
    sv_threads_let(th);
    if (__builtin_expect(r == 0 && !th->trap.code && sv_thread_ok(th), 1))
        return 0;
    return sv_host_end(th, r);
}

#endif
