/* What the files of the running interpreter share: the loop's entry and what the table of
 * operations (tier.c) is made of. */
#ifndef SV_INTERP_ENTRY_H
#define SV_INTERP_ENTRY_H

#include "interp/code.h"

/* Run from ip with the frame fp until the frame returns to `to`. */
int sv_interp_run(struct sv_thread *th, struct sv_instance *inst, const uint32_t *ip,
                  union sv_slot *fp, const uint32_t *to, union sv_slot *back);
bool sv_interp_in_guest(const void *pc);
/* sv_func.entry of every function of this tier. */
int sv_interp_entry(struct sv_thread *th, struct sv_func *f, union sv_slot *args);
void sv_interp_note(struct sv_thread *th, const void *ucontext);
void sv_interp_frames(struct sv_thread *th, const void *ip, union sv_slot *fp,
                      struct sv_instance *inst, struct sv_backtrace *ret);

/* A place in the guest, walked outwards. */
struct sv_walk {
    const uint32_t *ip; /* the instruction (or a word of it) */
    union sv_slot *fp;
    struct sv_instance *inst;
    const struct sv_icode *code; /* found by sv_walk_find */
};
/* The function that ip lies in; false: none. */
bool sv_walk_find(struct sv_walk *);
/* To the caller; false: there is none up to the entry from C, or the frame makes no sense. */
bool sv_walk_out(const struct sv_thread *th, struct sv_walk *);

#endif
