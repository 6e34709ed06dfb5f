/* Functions that only call another one: with their own parameters and constants, in any order, and
 * return what it returns (allocators are reached so in wasi-libc and in Rust). Native code without
 * gas calls the other one at once; a backtrace puts the frames back (native_walk.c). */
#ifndef SV_WASM_FORWARD_H
#define SV_WASM_FORWARD_H

#include "wasm/module.h"

#define SV_FORWARD_PARAMS 16 /* at most, of both functions */
#define SV_FORWARD_CHAIN 4   /* a call skips so many, one behind the other, at most */

struct sv_forward {
    uint32_t to;         /* the function called, of the module itself */
    uint32_t offset;     /* of the call, in the module */
    const uint8_t *args; /* local.get, *.const: its operands, up to the call */
};

/* False: function f is none of these. Any thread, signal handlers too. */
bool sv_forward_of(const struct sv_module *m, uint32_t f, struct sv_forward *ret);

#endif
