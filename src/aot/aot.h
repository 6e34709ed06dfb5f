/* The compiler of native images: bytes of a module in, an image out. A library of its own
 * (libssvm-aot.so), because it needs LLVM; nothing of it is needed to run an image. */
#ifndef SV_AOT_AOT_H
#define SV_AOT_AOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/alloc.h"
#include "base/err.h"

struct sv_aot_options {
    const char *cpu;    /* "native", or LLVM's name of one; "x86-64-v2", "x86-64-v3", "generic" */
    const char *target; /* "x86-64" or "aarch64"; NULL: this machine's */
    unsigned opt_level; /* 0..3 */
    unsigned jobs;      /* at a time; 0: as many as there are CPUs */
    /* In processes rather than threads: a part that exhausts its process stays interpreted, and
     * only that. Forks, so for programs of one thread. */
    bool processes;
    bool checked; /* explicit bounds checks instead of guard pages */
    bool metered;
    bool deterministic; /* canonical NaNs */
    bool debug;         /* for debuggers: keeps frame pointers, whatever other code does */
    bool verify;        /* let LLVM check what it is given (tests) */
    /* One loop to be entered from the interpreter: an image with that one function. */
    uint32_t osr_func, osr_offset;
    /* Called from any of the threads now and then; false: stop (SV_EINTERNAL "cancelled"). */
    bool (*progress)(void *arg, uint32_t done, uint32_t total);
    void *progress_arg;
    uint64_t features; /* of the language; as for sv_module_new */
};

#endif
