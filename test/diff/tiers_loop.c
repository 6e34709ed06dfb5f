/* Loops for diff-tiers. Counted ones: a counter that goes up or down to a bound, pointers that
 * move, and in some of them blocks and loops whose way is known. Most end as they should; in others
 * a pointer leaves memory on the way, or the counter wraps. What compilers of metered code conclude
 * from the first and the last turn, or from playing all of them, must hold. And loops without an
 * end, which a deadline ends, or a limit of gas: compilers may compute neither ahead. */
#include "tiers.h"

#include "bytes.h"

#define PICK(l, a) ((a)[rnd(l, sizeof(a) / sizeof *(a))])

struct loop {
    struct sv_buf *b;
    uint64_t *seed;
    const struct make_loop *o;
    int64_t step, stride;
    uint32_t turns;
    bool exact;     /* the counter meets its bound */
    bool variable;  /* the stride is in a local */
    bool in_local;  /* the bound is */
    uint32_t bound; /* i32 */
};

static uint32_t rnd(struct loop *l, size_t n)
{
    return (uint32_t)(make_random(l->seed) % n);
}

/* ---- The body ---- */

/* The pointer, with a distance, or indexed by the counter. */
static void address(struct loop *l)
{
    static const int64_t distances[] = {4, 8, -8, 16, 100, 1};
    static const int64_t edges[] = {65520, -65536, 131072, INT32_MIN};

    put_op(l->b, 0x20, l->o->pointer);
    switch (rnd(l, 5)) {
    case 0:
        put_i32_const(l->b, rnd(l, 30) ? PICK(l, distances) : PICK(l, edges));
        put_byte(l->b, rnd(l, 2) ? 0x6a : 0x6b);
        break;
    case 1:
        put_op(l->b, 0x20, l->o->counter);
        put_i32_const(l->b, rnd(l, 4));
        put_byte(l->b, 0x74);
        put_byte(l->b, rnd(l, 3) ? 0x6a : 0x6b);
        break;
    default:
        break;
    }
    if (l->o->memory64)
        put_byte(l->b, 0xad);
}

static void memarg(struct loop *l)
{
    static const uint32_t offsets[] = {0, 0, 0, 4, 8, 24, 1000},
                          edges[] = {65535, 131064, UINT32_MAX};

    put_leb(l->b, 0);
    put_leb(l->b, rnd(l, 60) ? PICK(l, offsets) : PICK(l, edges));
}

/* local = local (+) what is at an address */
static void add_load(struct loop *l, unsigned local, unsigned load, unsigned add)
{
    put_op(l->b, 0x20, local);
    address(l);
    put_byte(l->b, load);
    memarg(l);
    put_byte(l->b, add);
    put_op(l->b, 0x21, local);
}

static void store(struct loop *l, unsigned local, unsigned code)
{
    address(l);
    put_op(l->b, 0x20, local);
    put_byte(l->b, code);
    memarg(l);
}

static void copy_vector(struct loop *l)
{
    address(l);
    address(l);
    put_op(l->b, 0xfd, 0);
    memarg(l);
    put_op(l->b, 0xfd, 11);
    memarg(l);
}

/* No access. */
static void compute(struct loop *l)
{
    put_op(l->b, 0x20, l->o->i32);
    put_op(l->b, 0x20, l->o->counter);
    put_byte(l->b, 0x6c);
    put_i32_const(l->b, 77);
    put_byte(l->b, 0x6a);
    put_op(l->b, 0x21, l->o->i32);
}

static void work(struct loop *l)
{
    switch (rnd(l, 8)) {
    case 0:
        add_load(l, l->o->i32, 0x28, 0x6a);
        break;
    case 1:
        add_load(l, l->o->i64, rnd(l, 2) ? 0x29 : 0x31, 0x7c);
        break;
    case 2:
        add_load(l, l->o->i32, 0x2d, 0x73);
        break;
    case 3:
    case 4:
        store(l, l->o->i32, rnd(l, 2) ? 0x36 : 0x3a);
        break;
    case 5:
        store(l, l->o->i64, rnd(l, 2) ? 0x37 : 0x3d);
        break;
    case 6:
        copy_vector(l);
        break;
    default:
        compute(l);
        break;
    }
}

/* Is it so in this turn of the inner loop? */
static void ask_inner(struct loop *l)
{
    put_op(l->b, 0x20, l->o->inner);
    put_i32_const(l->b, rnd(l, 5));
    put_byte(l->b, 0x46u + rnd(l, 10));
}

/* Some work of which parts are left out in some turns. */
static void branches(struct loop *l)
{
    switch (rnd(l, 4)) {
    case 0:
        put_op(l->b, 0x02, 0x40);
        ask_inner(l);
        put_op(l->b, 0x0d, 0);
        work(l);
        put_byte(l->b, 0x0b);
        break;
    case 1:
        ask_inner(l);
        put_op(l->b, 0x04, 0x40);
        work(l);
        put_byte(l->b, 0x05);
        work(l);
        put_byte(l->b, 0x0b);
        break;
    case 2: /* a result, and code that is never reached */
        put_op(l->b, 0x02, 0x7f);
        put_op(l->b, 0x20, l->o->i32);
        put_op(l->b, 0x20, l->o->i32);
        ask_inner(l);
        put_op(l->b, 0x0d, 0);
        put_byte(l->b, 0x6a);
        put_op(l->b, 0x0c, 0);
        put_byte(l->b, 0x0b);
        put_op(l->b, 0x21, l->o->i32);
        break;
    default:
        work(l);
        break;
    }
}

static void inner_begin(struct loop *l)
{
    put_i32_const(l->b, 1 + rnd(l, 5));
    put_op(l->b, 0x21, l->o->inner);
    put_op(l->b, 0x03, 0x40);
}

static void inner_end(struct loop *l)
{
    put_op(l->b, 0x20, l->o->inner);
    put_i32_const(l->b, -1);
    put_byte(l->b, 0x6a);
    put_op(l->b, 0x22, l->o->inner);
    put_op(l->b, 0x0d, 0);
    put_byte(l->b, 0x0b);
}

static void inner_loop(struct loop *l, bool again)
{
    inner_begin(l);
    branches(l);
    if (again) {
        put_op(l->b, 0x02, 0x40);
        ask_inner(l);
        put_op(l->b, 0x0d, 0);
        branches(l);
        put_byte(l->b, 0x0b);
    }
    inner_end(l);
}

static void move_pointer(struct loop *l)
{
    put_op(l->b, 0x20, l->o->pointer);
    if (l->variable)
        put_op(l->b, 0x20, l->o->stride);
    else
        put_i32_const(l->b, l->stride);
    put_byte(l->b, 0x6a);
    put_op(l->b, 0x21, l->o->pointer);
}

static void move_counter(struct loop *l)
{
    put_op(l->b, 0x20, l->o->counter);
    if (rnd(l, 2)) {
        put_i32_const(l->b, l->step);
        put_byte(l->b, 0x6a);
    } else {
        put_i32_const(l->b, -l->step);
        put_byte(l->b, 0x6b);
    }
    put_op(l->b, 0x21, l->o->counter);
}

/* ---- The condition ---- */

static void bound(struct loop *l)
{
    if (l->in_local)
        put_op(l->b, 0x20, l->o->bound);
    else
        put_i32_const(l->b, l->bound);
}

/* counter op bound, or the other way round; `negated`: for an eqz behind it. */
static void relation(struct loop *l, bool negated)
{
    /* By the sign of the step: counter < bound, <= ; signed, unsigned. */
    bool is_signed = rnd(l, 2), equal = !l->exact && rnd(l, 2), up = l->step > 0,
         swapped = rnd(l, 2), less = up != negated;

    if (swapped)
        bound(l);
    put_op(l->b, 0x20, l->o->counter);
    if (!swapped)
        bound(l);
    equal ^= negated;
    less ^= swapped;
    /* lt_s lt_u gt_s gt_u le_s le_u ge_s ge_u */
    put_byte(l->b, 0x48u + (equal ? 4 : 0) + (less ? 0 : 2) + (is_signed ? 0 : 1));
    if (negated)
        put_byte(l->b, 0x45);
}

static void condition(struct loop *l)
{
    switch (rnd(l, 6)) {
    case 0: /* != */
    case 1:
        put_op(l->b, 0x20, l->o->counter);
        bound(l);
        put_byte(l->b, rnd(l, 2) ? 0x47 : 0x6b);
        break;
    case 2: /* not == */
        bound(l);
        put_op(l->b, 0x20, l->o->counter);
        put_byte(l->b, 0x46);
        put_byte(l->b, 0x45);
        break;
    case 3:
        relation(l, true);
        break;
    default:
        relation(l, false);
        break;
    }
}

/* ---- The whole ---- */

/* A number that compilers do not know: the memory has fewer than 65,536 pages. */
static void begin_at(struct loop *l, uint32_t v, bool known, unsigned local)
{
    put_i32_const(l->b, v);
    if (!known) {
        put_op(l->b, 0x3f, 0);
        if (l->o->memory64)
            put_byte(l->b, 0xa7);
        put_i32_const(l->b, 16);
        put_byte(l->b, 0x76);
        put_byte(l->b, 0x6a);
    }
    put_op(l->b, 0x21, local);
}

static void plan(struct loop *l, uint32_t *ret_start, uint32_t *ret_pointer)
{
    static const int64_t steps[] = {1, 1, -1, 4, -4, 3, -8, 16, 7, -100};
    static const int64_t strides[] = {4, 8, 16, -4, -8, 12, 5, 100, -24, 4, 8, 16, 8};
    static const uint32_t starts[] = {
        0, 0, 1, 5, 100, UINT32_MAX, UINT32_MAX - 2, INT32_MAX - 3, (uint32_t)INT32_MAX + 3};
    static const uint32_t turns[] = {1, 2, 3, 4, 5, 8, 16, 17, 100, 1000};

    l->step = PICK(l, steps);
    l->stride = PICK(l, strides);
    l->turns = rnd(l, 3) ? rnd(l, 40) : PICK(l, turns);
    if (rnd(l, 30) == 0)
        l->stride = rnd(l, 2) ? 65536 : INT32_MIN;
    /* Of a loop that cannot end compilers may drop what it would have computed, and its traps. */
    l->exact = rnd(l, 16) != 0 || l->o->ends;
    l->variable = rnd(l, 4) == 0;
    l->in_local = rnd(l, 2);
    *ret_start = PICK(l, starts);
    l->bound = *ret_start + (uint32_t)l->step * l->turns + (l->exact ? 0 : rnd(l, 5) - 2);
    if (rnd(l, 12)) /* room for all */
        *ret_pointer = 32768 + 8 * rnd(l, 4096);
    else /* about the end of memory, or 0 */
        *ret_pointer = (l->stride > 0 ? 131072 : 0) - (uint32_t)l->stride * rnd(l, l->turns + 2) +
                       rnd(l, 3) * 4;
}

void make_loop(struct sv_buf *b, uint64_t *seed, const struct make_loop *o)
{
    struct loop l = {.b = b, .seed = seed, .o = o};
    uint32_t start, pointer;
    unsigned works, pointer_at, counter_at;

    plan(&l, &start, &pointer);
    begin_at(&l, start, rnd(&l, 2), o->counter);
    begin_at(&l, pointer, rnd(&l, 2), o->pointer);
    put_i32_const(l.b, l.stride);
    put_op(l.b, 0x21, o->stride);
    put_i32_const(l.b, l.bound);
    put_op(l.b, 0x21, o->bound);
    works = 1 + rnd(&l, 3);
    pointer_at = rnd(&l, works + 1);
    counter_at = rnd(&l, works + 1);
    put_op(l.b, 0x03, 0x40);
    for (unsigned i = 0; i <= works; i++) {
        if (i == pointer_at)
            move_pointer(&l);
        if (i == counter_at)
            move_counter(&l);
        if (i < works && rnd(&l, 5))
            work(&l);
        else if (i < works)
            inner_loop(&l, rnd(&l, 2));
    }
    /* Whatever the counter does, the pointer leaves memory in the end. */
    put_op(l.b, 0x20, o->pointer);
    if (o->memory64)
        put_byte(l.b, 0xad);
    put_byte(l.b, 0x2d);
    put_leb(l.b, 0);
    put_leb(l.b, 0);
    put_byte(l.b, 0x1a);
    condition(&l);
    put_op(l.b, 0x0d, 0);
    put_byte(l.b, 0x0b);
}

/* ---- Loops without an end ---- */

/* What a turn does: nothing that can fail, wherever the counter is. */
static void turn(struct loop *l)
{
    switch (rnd(l, 6)) {
    case 0:
        inner_begin(l);
        compute(l);
        inner_end(l);
        break;
    case 1: /* i64 = i64 * 3 + 1 */
        put_op(l->b, 0x20, l->o->i64);
        put_op(l->b, 0x42, 3);
        put_byte(l->b, 0x7e);
        put_op(l->b, 0x42, 1);
        put_byte(l->b, 0x7c);
        put_op(l->b, 0x21, l->o->i64);
        break;
    case 2: /* a store to one place */
        put_i32_const(l->b, 64);
        if (l->o->memory64)
            put_byte(l->b, 0xad);
        put_op(l->b, 0x20, l->o->i32);
        put_byte(l->b, 0x36);
        put_leb(l->b, 0);
        put_leb(l->b, 0);
        break;
    case 3: /* a loop that is left for its first turn */
        put_op(l->b, 0x03, 0x40);
        put_i32_const(l->b, 0);
        put_op(l->b, 0x0d, 0);
        put_byte(l->b, 0x0b);
        break;
    default:
        compute(l);
        break;
    }
}

/* The loop's end, from which it turns again. The bound is 0, and the stride 1. */
static void turn_again(struct loop *l)
{
    switch (rnd(l, 9)) {
    case 0:
        put_i32_const(l->b, 1);
        put_op(l->b, 0x0d, 0);
        break;
    case 1: /* never met: the counter is even */
        move_counter(l);
        put_op(l->b, 0x20, l->o->counter);
        put_i32_const(l->b, 77);
        put_byte(l->b, 0x47);
        put_op(l->b, 0x0d, 0);
        break;
    case 2: /* any number is at or above 0 */
        move_counter(l);
        put_op(l->b, 0x20, l->o->counter);
        bound(l);
        put_byte(l->b, 0x4f);
        put_op(l->b, 0x0d, 0);
        break;
    case 3: /* met when 64 bits wrap */
        put_op(l->b, 0x20, l->o->i64);
        put_op(l->b, 0x42, 1);
        put_byte(l->b, 0x7c);
        put_op(l->b, 0x22, l->o->i64);
        put_op(l->b, 0x42, 0);
        put_byte(l->b, 0x52);
        put_op(l->b, 0x0d, 0);
        break;
    case 4: /* an exit that no turn takes */
        put_op(l->b, 0x20, l->o->bound);
        put_op(l->b, 0x0d, 1);
        put_op(l->b, 0x0c, 0);
        break;
    case 5: /* every way leads back */
        put_op(l->b, 0x20, l->o->stride);
        put_byte(l->b, 0x0e);
        put_leb(l->b, 1);
        put_leb(l->b, 0);
        put_leb(l->b, 0);
        break;
    case 6: /* from an inner one, which has no turns */
        put_op(l->b, 0x03, 0x40);
        put_op(l->b, 0x0c, 1);
        put_byte(l->b, 0x0b);
        break;
    case 7: /* in an inner one */
        put_op(l->b, 0x03, 0x40);
        put_op(l->b, 0x0c, 0);
        put_byte(l->b, 0x0b);
        break;
    default:
        put_op(l->b, 0x0c, 0);
        break;
    }
}

void make_endless_loop(struct sv_buf *b, uint64_t *seed, const struct make_loop *o)
{
    struct loop l = {.b = b, .seed = seed, .o = o, .step = 2};

    begin_at(&l, 2 * rnd(&l, 100), rnd(&l, 2), o->counter);
    begin_at(&l, 0, rnd(&l, 2), o->bound);
    begin_at(&l, 1, rnd(&l, 2), o->stride);
    l.in_local = rnd(&l, 2);
    put_op(l.b, 0x02, 0x40);
    put_op(l.b, 0x03, 0x40);
    for (unsigned i = rnd(&l, 3); i > 0; i--)
        turn(&l);
    turn_again(&l);
    put_byte(l.b, 0x0b);
    put_byte(l.b, 0x0b);
}
