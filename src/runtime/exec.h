/* What the runtime asks of a tier (interpreter, native code). The runtime never names one: api/
 * puts the table into the engine. */
#ifndef SV_RUNTIME_EXEC_H
#define SV_RUNTIME_EXEC_H

#include "runtime/instance.h"

struct sv_exec_ops {
    const char *name; /* "interp" */
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
    /* Append the wasm frames of the thread with sv_trap_add_frame, innermost first, down to the
     * outermost entry. */
    void (*frames)(struct sv_thread *th, struct sv_trap *ret);
};

#endif
