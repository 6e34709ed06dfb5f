/* Modules for diff-tiers (tiers_make.c). */
#ifndef TEST_DIFF_TIERS_H
#define TEST_DIFF_TIERS_H

#include "base/buf.h"

/* Functions "h" "0" ... whose first arguments are an i32 and an i64 of at least four; tags "t" "0"
 * of (i32) and "t" "1" of (i64 f64). */
#define MAKE_IMPORTS 3
/* Functions that a module made here may still enter: the exported global is filled before each
 * call. */
#define MAKE_FUEL_NAME "fuel"

struct make_options {
    unsigned funcs;      /* bodies in the module */
    unsigned statements; /* in a body, about */
    bool traps;          /* one trap in each body, of every kind in turn */
    bool loops;          /* counted loops only */
    bool endless;        /* loops without an end, in their place */
    bool tails;          /* functions that replace each other (tiers_tails.c) */
    bool quiet;          /* no float arithmetic: it shows which NaN it made */
};
/* Locals of a counted loop, by index; memory 0 has 64-bit addresses. */
struct make_loop {
    unsigned counter, pointer, bound, stride, inner, i32, i64;
    bool memory64;
    bool ends; /* only by its count, or a trap */
};
/* splitmix64 */
uint64_t make_random(uint64_t *seed);
/* A valid module of the seed, appended. */
void make_module(struct sv_buf *, uint64_t seed, const struct make_options *);
/* One of functions that replace each other, appended (tiers_tails.c). */
void make_tails(struct sv_buf *, uint64_t seed, const struct make_options *);
/* A counted loop, appended to a body (tiers_loop.c). */
void make_loop(struct sv_buf *, uint64_t *seed, const struct make_loop *);
/* One that no count ends, and no trap. */
void make_endless_loop(struct sv_buf *, uint64_t *seed, const struct make_loop *);

#endif
