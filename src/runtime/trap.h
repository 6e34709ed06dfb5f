/* Traps, backtraces, the fault and interrupt signals, and the way out of guest code. */
#ifndef SV_RUNTIME_TRAP_H
#define SV_RUNTIME_TRAP_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

enum sv_trap_code {
#define TRAP(name, number, text) SV_TRAP_##name = number,
#include "runtime/trap.def"
#undef TRAP
    SV_TRAP_COUNT
};
const char *sv_trap_text(int code); /* never NULL */

struct sv_module;
struct sv_thread;

/* Frames kept of a deep stack. */
#define SV_FRAMES_OUTER 16
#define SV_FRAMES_INNER 48
#define SV_FRAMES_MAX (SV_FRAMES_INNER + SV_FRAMES_OUTER)

struct sv_frame {
    const struct sv_module
        *module;     /* referenced: the trap outlives the store; NULL for host functions */
    uint32_t func;   /* index in the module */
    uint32_t offset; /* of the instruction, in the module's bytes; 0 = not known */
};
struct sv_trap {
    int code;       /* enum sv_trap_code, 0 = none */
    char text[256]; /* sv_trap_text, or the host function's own words */
    uint32_t nframes;
    uint32_t nskipped;   /* frames left out in the middle */
    uint32_t skipped_at; /* position in frames[] before which they were left out */
    struct sv_frame frames[SV_FRAMES_MAX]; /* innermost first */
};
void sv_trap_clear(struct sv_trap *);
/* The one text form of a trap, for every tier: the message line, then a line a frame:
 *   trap: out of bounds memory access
 *     0: fib at 0x1c4
 *     1: module!main at 0x2f0 (main.c:12)
 * with file and line where the module has debug information. */
void sv_trap_print(struct sv_buf *, const struct sv_trap *);

/* Set th->trap (code, text) unless one is set; the backtrace is taken by sv_exec when the guest is
 * left. Returns SV_ETRAP. */
int sv_trap_set(struct sv_thread *th, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4), cold));
/* The same with the code's own text: for the 0-or-code results of bulk operations. Safe in signal
 * handlers. Returns SV_ETRAP. */
int sv_trap_raise(struct sv_thread *th, int code) __attribute__((cold));
/* Append a frame (the next outer one) to a backtrace. Takes a reference on the module; keeps the
 * innermost and the outermost ones of a deep stack. */
void sv_trap_add_frame(struct sv_trap *, const struct sv_module *, uint32_t func, uint32_t offset);

/* A backtrace in the making. The frames are walked twice: to count them, then to describe the ones
 * that are kept, since finding out where a frame is may be dear. */
struct sv_backtrace {
    struct sv_trap *trap; /* NULL: counting */
    uint32_t n, total;    /* frames met; of the first walk */
    /* Of a profile, in a signal handler: which functions they are, walked once. Else NULL. */
    struct sv_sample *sample;
};
/* Is the next frame's description wanted? If not, any will do. */
static inline bool sv_backtrace_keeps(const struct sv_backtrace *b)
{
    return b->trap && (b->n < SV_FRAMES_INNER || b->n + SV_FRAMES_OUTER >= b->total);
}
/* The same of its function alone. */
static inline bool sv_backtrace_names(const struct sv_backtrace *b)
{
    return b->sample || sv_backtrace_keeps(b);
}
/* No more frames are wanted. */
bool sv_backtrace_full(const struct sv_backtrace *b);
void sv_backtrace_add(struct sv_backtrace *, const struct sv_module *, uint32_t func,
                      uint32_t offset);

/* Install the process-wide SIGSEGV/SIGBUS/SIGURG handlers (once, any thread). Faults that are not
 * ours go to the previous handler. */
int sv_trap_init_process(struct sv_err *err);
/* Per OS thread, before guest code runs on it: alternate signal stack. Cheap when done already. */
int sv_trap_init_thread(struct sv_err *err);

/* Run fn(arg) with a landing pad: a fault or an interruption inside guest code (as told by the exec
 * ops' `in_guest`) makes this return SV_ETRAP with th->trap.code set. Otherwise fn's result. Nests.
 * Guest frames hold nothing of the host. */
int sv_trap_guard(struct sv_thread *th, int (*fn)(void *arg), void *arg);

#endif
