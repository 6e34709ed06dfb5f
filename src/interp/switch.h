/* Going over from the interpreter to native code that comes while a module runs: functions at their
 * next call, loops at their head. */
#ifndef SV_INTERP_SWITCH_H
#define SV_INTERP_SWITCH_H

#include "interp/code.h"

/* In sv_exec_ops: native_ready, pick_loop, loop_ready. */
void sv_switch_ready(struct sv_module *, uint32_t form);
uint32_t sv_switch_pick_loop(struct sv_module *, uint32_t form, uint32_t func);
void sv_switch_loop_ready(struct sv_module *, uint32_t form, uint32_t func, uint32_t offset,
                          struct sv_native *);

/* Lead calls of the function to SWITCH. Any thread. */
void sv_switch_code(struct sv_icode *);
/* At LOOP_ASK: ask for the loop once. Returns the first word of the instruction that stands there
 * otherwise. */
uint32_t sv_switch_ask(struct sv_instance *, const uint32_t *ip);

/* At LOOP_ENTER: the frame's function, its image, and where its values are. */
struct sv_loop_entry {
    uint32_t word; /* of the instruction that stands there otherwise */
    const struct sv_icode *code;
    const struct sv_loops *loops;
    const struct sv_loop *loop;
};
/* False: the instance cannot enter, and goes on with `word`. */
bool sv_switch_enter(struct sv_instance *, const uint32_t *ip, struct sv_loop_entry *ret);
/* Bring the values into the order of sv_native_enter_loop, at the frame's beginning: the frame is
 * no frame any more. Returns the number of slots. */
uint32_t sv_switch_gather(const struct sv_loop_entry *, union sv_slot *fp);

#endif
