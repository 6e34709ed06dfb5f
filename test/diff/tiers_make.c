/* Random modules of what other generators rarely make: addresses around what the compiler concludes
 * from earlier accesses (p, then p +- c, near 0, 64 KiB and 4 GiB), values that go through labels
 * of every kind, tail calls, exceptions of both proposals, traps below many frames. */
#include "tiers.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bytes.h"

enum { I32 = 0x7f, I64 = 0x7e, F32 = 0x7d, F64 = 0x7c, V128 = 0x7b };

/* Types of the module, by index. */
enum type {
    T_ONE,   /* (i32 i64 f32 f64) -> i32 */
    T_MANY,  /* the same parameters -> i32 i64 f64 */
    T_NONE,  /* -> nothing */
    T_KEEP,  /* (i32) -> i32: of blocks */
    T_SWAP,  /* (i32 i64) -> i64 i32 */
    T_THREE, /* () -> i32 i64 f64 */
    T_TAG0,  /* (i32) */
    T_TAG1,  /* (i64 f64) */
    T_STRUCT,
    T_ARRAY,
    T_SUB, /* T_ONE once more, open, in a group of its own */
};
/* Locals: the parameters, then these. */
enum local {
    L_I32 = 4,
    L_I64 = 8,
    L_F32 = 10,
    L_F64,
    L_ADDRESS,
    L_COUNTER = L_ADDRESS + 2,
    L_STRUCT = L_COUNTER + 4,
    L_ARRAY,
    L_VECTOR,
    L_TEMP_I32,
    L_TEMP_I64,
};
#define COUNTERS 4
#define DEPTH_MAX 5
#define LABELS_MAX 64
enum { GLOBAL_FUEL, GLOBAL_I32, GLOBAL_I64, GLOBAL_F32, GLOBAL_F64, GLOBAL_STRUCT };

/* What a branch to a label takes. A loop is nobody's target but its own. */
enum label { LABEL_VOID, LABEL_I32, LABEL_THREE, LABEL_LOOP, LABEL_CATCH };

struct gen {
    struct sv_buf *b;
    uint64_t seed;
    enum label labels[LABELS_MAX]; /* outermost first; 0 is the function */
    unsigned nlabels, counters, size, limit;
    unsigned funcs;
    enum type type; /* of the function */
    uint8_t memory; /* its flags */
    bool exceptions, legacy, gc, calls, tails, wild, quiet;
};

uint64_t make_random(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}
static uint32_t rnd(struct gen *g, uint32_t n)
{
    return (uint32_t)(make_random(&g->seed) >> 20) % n;
}
#define PICK(g, array) ((array)[rnd(g, sizeof(array) / sizeof *(array))])

/* ---- Bytes ---- */

static void prefixed(struct gen *g, unsigned prefix, uint32_t code)
{
    put_op(g->b, prefix, code);
}

/* ---- Expressions ---- */

static void expr(struct gen *g, unsigned type, unsigned depth);
static void statement(struct gen *g, unsigned depth);
static void call(struct gen *g, unsigned depth, enum type type);

static unsigned local_of(struct gen *g, unsigned type)
{
    switch (type) {
    case I32:
        return rnd(g, 5) ? L_I32 + rnd(g, 4) : 0;
    case I64:
        return rnd(g, 3) ? L_I64 + rnd(g, 2) : 1;
    case F32:
        return rnd(g, 2) ? L_F32 : 2;
    case F64:
        return rnd(g, 2) ? L_F64 : 3;
    default:
        return L_VECTOR;
    }
}

static void constant(struct gen *g, unsigned type)
{
    static const int64_t ints[] = {0,  1,   2,     3,         4,         8,       -1,
                                   31, 255, 65536, INT32_MAX, INT32_MIN, 12345678};
    static const double floats[] = {0.0, -0.0, 1.0, -1.5, 3.25, 1e10, -1e-10, 4294967296.0, 1e300};
    double d = PICK(g, floats);
    float f = d > 1e30 ? 3e38f : (float)d;

    switch (type) {
    case I32:
        put_i32_const(g->b, PICK(g, ints));
        break;
    case I64:
        put_byte(g->b, 0x42);
        put_sleb(g->b, rnd(g, 4) ? PICK(g, ints) : INT64_MIN + rnd(g, 100000));
        break;
    case F32:
        put_byte(g->b, 0x43);
        sv_buf_append(g->b, &f, sizeof f);
        break;
    case F64:
        put_byte(g->b, 0x44);
        sv_buf_append(g->b, &d, sizeof d);
        break;
    default:
        prefixed(g, 0xfd, 12);
        for (unsigned i = 0; i < 16; i++)
            put_byte(g->b, rnd(g, 256));
        break;
    }
}

/* Distances and places where what follows from an earlier access ends. */
static int64_t distance(struct gen *g)
{
    static const int64_t few[] = {1,  4,   8, 12, 16,  24,   -1,   -4,
                                  -8, -16, 7, 32, 100, -100, 1024, -1024};
    static const int64_t edges[] = {65519,  65520,  65521,  65535,  65536,     65537,
                                    -65535, -65536, -65537, 131072, INT32_MAX, INT32_MIN};

    return g->wild && rnd(g, 8) == 0 ? PICK(g, edges) : PICK(g, few);
}
static int64_t place(struct gen *g)
{
    static const int64_t edges[] = {
        0,  3,  8,  65527, 65528,  65532,  65535,  65536,  131064, 131068, 131071, 131072,
        -1, -4, -8, -16,   -65519, -65520, -65521, -65536, 196608, 262136, 262144, INT32_MIN};

    return g->wild && rnd(g, 5) == 0 ? PICK(g, edges) : 4096 + 8 * (int64_t)rnd(g, 4000);
}

static void memarg(struct gen *g)
{
    static const uint32_t offsets[] = {0, 0, 0, 4, 8, 16, 100};
    static const uint32_t edges[] = {65519, 65520,  65535,      65536,
                                     70000, 131071, 0x7fffffff, 0xffffffff};

    put_leb(g->b, 0);
    put_leb(g->b, g->wild && rnd(g, 60) == 0 ? PICK(g, edges) : PICK(g, offsets));
}

/* An address: mostly one of the two locals for it, plus a distance. */
static void address(struct gen *g, unsigned depth)
{
    if (rnd(g, 5) == 0) {
        expr(g, I32, depth);
        if (rnd(g, 30)) {
            put_i32_const(g->b, 0xfff8);
            put_byte(g->b, 0x71);
        }
        return;
    }
    put_op(g->b, 0x20, L_ADDRESS + rnd(g, 2));
    for (unsigned n = rnd(g, 3); n > 0; n--) {
        int64_t c = distance(g);

        put_i32_const(g->b, rnd(g, 2) ? c : -c);
        put_byte(g->b, rnd(g, 3) ? 0x6a : 0x6b);
    }
}

static void load(struct gen *g, unsigned type, unsigned depth)
{
    static const uint8_t i32[] = {0x28, 0x28, 0x2c, 0x2d, 0x2e, 0x2f},
                         i64[] = {0x29, 0x29, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35};

    address(g, depth);
    if (type == V128)
        prefixed(g, 0xfd, rnd(g, 11));
    else
        put_byte(g->b, type == I32   ? PICK(g, i32)
                       : type == I64 ? PICK(g, i64)
                       : type == F32 ? 0x2a
                                     : 0x2b);
    memarg(g);
}

static void store(struct gen *g, unsigned depth)
{
    static const uint8_t i32[] = {0x36, 0x36, 0x3a, 0x3b}, i64[] = {0x37, 0x37, 0x3c, 0x3d, 0x3e};
    static const uint8_t types[] = {I32, I32, I64, F32, F64, V128};
    unsigned type = PICK(g, types);

    address(g, depth);
    expr(g, type, depth);
    if (type == V128)
        prefixed(g, 0xfd, 11);
    else
        put_byte(g->b, type == I32   ? PICK(g, i32)
                       : type == I64 ? PICK(g, i64)
                       : type == F32 ? 0x38
                                     : 0x39);
    memarg(g);
}

/* One that may trap, seldom unless the operands are made for it. */
static void divide(struct gen *g, unsigned type, unsigned depth)
{
    expr(g, type, depth);
    expr(g, type, depth);
    put_byte(g->b, (type == I32 ? 0x6d : 0x7f) + rnd(g, 4));
}

static void i32_op(struct gen *g, unsigned depth)
{
    static const uint8_t types[] = {I32, I32, I64, F32, F64};
    unsigned t = PICK(g, types);

    switch (rnd(g, 9)) {
    case 0:
    case 1:
        expr(g, t, depth);
        expr(g, t, depth);
        put_byte(g->b, t == I32   ? 0x46 + rnd(g, 10)
                       : t == I64 ? 0x51 + rnd(g, 10)
                       : t == F32 ? 0x5b + rnd(g, 6)
                                  : 0x61 + rnd(g, 6));
        break;
    case 2:
        expr(g, I32, depth);
        put_byte(g->b, rnd(g, 2) ? 0x45 : 0x67 + rnd(g, 3));
        break;
    case 3:
        expr(g, I64, depth);
        put_byte(g->b, rnd(g, 2) ? 0xa7 : 0x50);
        break;
    case 4: /* float to int: saturating, seldom trapping */
        expr(g, rnd(g, 2) ? F32 : F64, depth);
        put_byte(g->b, 0x1a);
        expr(g, F64, depth);
        if (rnd(g, 40))
            prefixed(g, 0xfc, 2 + rnd(g, 2));
        else
            put_byte(g->b, 0xaa + rnd(g, 2));
        break;
    case 5:
        if (rnd(g, 20) == 0) {
            divide(g, I32, depth);
            break;
        }
        expr(g, V128, depth);
        prefixed(g, 0xfd, 0x1b); /* i32x4.extract_lane */
        put_byte(g->b, rnd(g, 4));
        break;
    default:
        expr(g, I32, depth);
        expr(g, I32, depth);
        put_byte(g->b, 0x6a + (rnd(g, 2) ? rnd(g, 3) : 7 + rnd(g, 8)));
    }
}

static void operate(struct gen *g, unsigned type, unsigned depth)
{
    static const uint8_t vector[] = {0x4e, 0x50, 0x51, 0x6e, 0x71, 0x8e, 0xae, 0xb1, 0xce};

    switch (type) {
    case I32:
        i32_op(g, depth);
        break;
    case I64:
        if (rnd(g, 4) == 0) {
            expr(g, I32, depth);
            put_byte(g->b, 0xac + rnd(g, 2));
        } else if (rnd(g, 40) == 0) {
            divide(g, I64, depth);
        } else {
            expr(g, I64, depth);
            expr(g, I64, depth);
            put_byte(g->b, 0x7c + (rnd(g, 2) ? rnd(g, 3) : 7 + rnd(g, 8)));
        }
        break;
    case V128:
        if (rnd(g, 2)) {
            expr(g, I32, depth);
            prefixed(g, 0xfd, 0x11); /* i32x4.splat */
            break;
        }
        expr(g, V128, depth);
        expr(g, V128, depth);
        prefixed(g, 0xfd, PICK(g, vector));
        break;
    default:
        if (rnd(g, 5) == 0) {
            expr(g, I32, depth);
            put_byte(g->b, type == F32 ? 0xb2 : 0xb7);
        } else if (g->quiet) { /* abs, neg: no NaN is made */
            expr(g, type, depth);
            put_byte(g->b, (type == F32 ? 0x8b : 0x99) + rnd(g, 2));
        } else if (rnd(g, 4) == 0) {
            expr(g, type, depth);
            put_byte(g->b, (type == F32 ? 0x8d : 0x9b) + rnd(g, 5));
        } else {
            expr(g, type, depth);
            expr(g, type, depth);
            put_byte(g->b, (type == F32 ? 0x92 : 0xa0) + rnd(g, 7));
        }
    }
}

static void push_label(struct gen *g, enum label label)
{
    if (g->nlabels == LABELS_MAX)
        abort();
    g->labels[g->nlabels++] = label;
}
static void end(struct gen *g)
{
    put_byte(g->b, 0x0b);
    g->nlabels--;
}

/* counter += 1; again while it is below a small number. */
static void loop_end(struct gen *g, unsigned counter)
{
    put_op(g->b, 0x20, counter);
    put_i32_const(g->b, 1);
    put_byte(g->b, 0x6a);
    put_op(g->b, 0x22, counter);
    put_i32_const(g->b, 2 + rnd(g, 4));
    put_byte(g->b, 0x48);
    put_op(g->b, 0x0d, 0);
    end(g);
}
static unsigned loop_begin(struct gen *g, unsigned blocktype)
{
    unsigned counter = L_COUNTER + g->counters++;

    put_i32_const(g->b, 0);
    put_op(g->b, 0x21, counter);
    put_byte(g->b, 0x03);
    put_byte(g->b, blocktype);
    push_label(g, LABEL_LOOP);
    return counter;
}

/* (loop (param i32) (result i32) ...): the parameter changes with each turn. */
static void loop_param(struct gen *g, unsigned depth)
{
    unsigned counter;

    expr(g, I32, depth);
    counter = loop_begin(g, T_KEEP);
    expr(g, I32, depth);
    put_byte(g->b, 0x6a + rnd(g, 3));
    if (rnd(g, 2))
        statement(g, depth);
    loop_end(g, counter);
    g->counters--;
}

/* Three values out of a block, of which one is wanted. */
static void three_block(struct gen *g, unsigned depth)
{
    put_byte(g->b, 0x02);
    put_byte(g->b, T_THREE);
    push_label(g, LABEL_THREE);
    statement(g, depth);
    expr(g, I32, depth);
    expr(g, I64, depth);
    expr(g, F64, depth);
    if (rnd(g, 2)) {
        expr(g, I32, depth);
        put_op(g->b, 0x0d, 0);
    }
    end(g);
    put_byte(g->b, 0x1a);
    put_op(g->b, 0x21, L_TEMP_I64);
}

/* (block (param i32 i64) (result i64 i32)) */
static void swap_block(struct gen *g, unsigned depth)
{
    bool other = rnd(g, 2);

    expr(g, I32, depth);
    expr(g, I64, depth);
    if (other)
        expr(g, I32, depth);
    put_byte(g->b, other ? 0x04 : 0x02);
    put_byte(g->b, T_SWAP);
    put_op(g->b, 0x21, L_TEMP_I64);
    put_op(g->b, 0x21, L_TEMP_I32);
    put_op(g->b, 0x20, L_TEMP_I64);
    put_op(g->b, 0x20, L_TEMP_I32);
    if (other) { /* the else part begins with the same parameters */
        put_byte(g->b, 0x05);
        put_op(g->b, 0x21, L_TEMP_I64);
        put_byte(g->b, 0xac);
        put_op(g->b, 0x20, L_TEMP_I64);
        put_byte(g->b, 0xa7);
    }
    put_byte(g->b, 0x0b);
    put_op(g->b, 0x21, L_TEMP_I32);
    put_byte(g->b, 0x1a);
    put_op(g->b, 0x20, L_TEMP_I32);
}

static void if_value(struct gen *g, unsigned type, unsigned depth)
{
    expr(g, I32, depth);
    put_byte(g->b, 0x04);
    put_byte(g->b, type);
    push_label(g, type == I32 ? LABEL_I32 : LABEL_LOOP);
    if (rnd(g, 2))
        statement(g, depth);
    expr(g, type, depth);
    put_byte(g->b, 0x05);
    if (rnd(g, 3) == 0)
        statement(g, depth);
    expr(g, type, depth);
    end(g);
}

static void block_value(struct gen *g, unsigned type, unsigned depth)
{
    put_byte(g->b, 0x02);
    put_byte(g->b, type);
    push_label(g, type == I32 ? LABEL_I32 : LABEL_LOOP);
    if (rnd(g, 2))
        statement(g, depth);
    expr(g, type, depth);
    expr(g, I32, depth);
    put_op(g->b, 0x0d, 0);
    if (rnd(g, 2)) {
        put_byte(g->b, 0x1a);
        expr(g, type, depth);
    }
    end(g);
}

static void gc_value(struct gen *g, unsigned depth)
{
    switch (rnd(g, 5)) {
    case 0: /* struct.get */
        put_op(g->b, 0x20, L_STRUCT);
        prefixed(g, 0xfb, 2);
        put_leb(g->b, T_STRUCT);
        put_leb(g->b, 0);
        break;
    case 1: /* array.len */
        put_op(g->b, 0x20, L_ARRAY);
        prefixed(g, 0xfb, 15);
        break;
    case 2: /* ref.is_null, ref.test */
        put_op(g->b, 0x20, L_STRUCT);
        if (rnd(g, 2)) {
            put_byte(g->b, 0xd1);
        } else {
            prefixed(g, 0xfb, 20 + rnd(g, 2));
            put_sleb(g->b, T_STRUCT);
        }
        break;
    default: /* array.get */
        put_op(g->b, 0x20, L_ARRAY);
        expr(g, I32, depth);
        if (rnd(g, 20)) {
            put_i32_const(g->b, 7);
            put_byte(g->b, 0x71);
        }
        prefixed(g, 0xfb, 11);
        put_leb(g->b, T_ARRAY);
    }
}

static void i32_value(struct gen *g, unsigned depth)
{
    switch (rnd(g, 7)) {
    case 0:
        if (g->counters < COUNTERS && g->nlabels + 20 < LABELS_MAX) {
            loop_param(g, depth);
            break;
        }
        /* fallthrough */
    case 1:
        three_block(g, depth);
        break;
    case 2:
        swap_block(g, depth);
        break;
    case 3:
        put_op(g->b, 0x3f, 0); /* memory.size */
        break;
    case 4:
        if (g->calls) {
            call(g, depth, T_ONE);
            break;
        }
        /* fallthrough */
    default:
        if (g->gc)
            gc_value(g, depth);
        else
            put_op(g->b, 0x20, L_ADDRESS + rnd(g, 2));
    }
}

static void leaf(struct gen *g, unsigned type)
{
    if (rnd(g, 3) == 0)
        constant(g, type);
    else
        put_op(g->b, 0x20, local_of(g, type));
}

static void expr(struct gen *g, unsigned type, unsigned depth)
{
    if (depth >= DEPTH_MAX || g->size++ > g->limit) {
        leaf(g, type);
        return;
    }
    depth++;
    switch (rnd(g, 14)) {
    case 0:
    case 1:
    case 2:
    case 3:
        leaf(g, type);
        break;
    case 4: /* local.tee */
        expr(g, type, depth);
        put_op(g->b, 0x22, local_of(g, type));
        break;
    case 5:
    case 6:
        load(g, type, depth);
        break;
    case 7: /* a statement while the value waits on the stack */
        expr(g, type, depth);
        statement(g, depth);
        break;
    case 8: /* select */
        expr(g, type, depth);
        expr(g, type, depth);
        expr(g, I32, depth);
        put_byte(g->b, 0x1b);
        break;
    case 9:
        if_value(g, type, depth);
        break;
    case 10:
        block_value(g, type, depth);
        break;
    case 11:
        if (type == I32)
            i32_value(g, depth);
        else if (type == V128)
            leaf(g, type);
        else
            put_op(g->b, 0x23, GLOBAL_I32 + (I32 - type));
        break;
    default:
        operate(g, type, depth);
        break;
    }
}

/* ---- Statements ---- */

static void arguments(struct gen *g, unsigned depth)
{
    for (unsigned type = I32; type >= F64; type--)
        expr(g, type, depth);
}
static void values_of(struct gen *g, enum label label, unsigned depth)
{
    if (label == LABEL_VOID)
        return;
    expr(g, I32, depth);
    if (label == LABEL_THREE) {
        expr(g, I64, depth);
        expr(g, F64, depth);
    }
}
static void drop_values(struct gen *g, enum label label)
{
    for (unsigned n = label == LABEL_VOID ? 0 : label == LABEL_I32 ? 1 : 3; n > 0; n--)
        put_byte(g->b, 0x1a);
}
static enum label label_of(enum type t)
{
    return t == T_ONE ? LABEL_I32 : t == T_MANY ? LABEL_THREE : LABEL_VOID;
}

/* Function i of the module. */
static enum type type_of_func(unsigned i)
{
    return i < MAKE_IMPORTS || i % 4 < 2 ? T_ONE : i % 4 == 2 ? T_MANY : T_NONE;
}
static unsigned func_of(struct gen *g, enum type type)
{
    unsigned i;

    do
        i = rnd(g, MAKE_IMPORTS + g->funcs);
    while (type_of_func(i) != type);
    return i;
}

/* A call of each kind; `base` 0x10, or 0x12 for those in a tail position. The values stay. */
static void call_kind(struct gen *g, unsigned depth, enum type type, bool tail)
{
    unsigned kind = rnd(g, 4), f = func_of(g, type);

    arguments(g, depth);
    if (kind == 0) {
        /* Through the table: of another type, null or outside now and then. */
        put_i32_const(g->b, rnd(g, 30) ? f : rnd(g, MAKE_IMPORTS + g->funcs + 6));
        put_byte(g->b, tail ? 0x13 : 0x11);
        put_leb(g->b, type);
        put_leb(g->b, 0);
    } else if (kind == 1) {
        put_op(g->b, 0xd2, f); /* ref.func */
        put_op(g->b, tail ? 0x15 : 0x14, type);
    } else {
        put_op(g->b, tail ? 0x12 : 0x10, f);
    }
}
static void call(struct gen *g, unsigned depth, enum type type)
{
    call_kind(g, depth, type, false);
}

/* To a label around, by each kind of branch. */
static void branch(struct gen *g, unsigned depth)
{
    unsigned to = rnd(g, g->nlabels), n;
    enum label label = g->labels[to];

    if (label >= LABEL_LOOP)
        return;
    values_of(g, label, depth);
    expr(g, I32, depth);
    if (rnd(g, 2)) {
        put_op(g->b, 0x0d, g->nlabels - 1 - to);
        drop_values(g, label);
        return;
    }
    /* br_table, only when asked: in an if, so that what follows runs too. */
    n = rnd(g, 4) ? rnd(g, 6) : 60;
    if (rnd(g, 2)) {
        put_i32_const(g->b, 15);
        put_byte(g->b, 0x71);
    }
    put_op(g->b, 0x0e, n);
    for (unsigned i = 0; i <= n; i++) {
        unsigned at = rnd(g, g->nlabels);

        put_leb(g->b, g->nlabels - 1 - (g->labels[at] == label ? at : to));
    }
}

static void void_block(struct gen *g, unsigned depth)
{
    unsigned kind = rnd(g, 3);

    if (kind == 0)
        expr(g, I32, depth);
    put_byte(g->b, kind == 0 ? 0x04 : 0x02);
    put_byte(g->b, 0x40);
    push_label(g, LABEL_VOID);
    for (unsigned n = 1 + rnd(g, 3); n > 0; n--)
        statement(g, depth);
    if (rnd(g, 2))
        branch(g, depth);
    if (kind == 0 && rnd(g, 2)) {
        put_byte(g->b, 0x05);
        for (unsigned n = 1 + rnd(g, 2); n > 0; n--)
            statement(g, depth);
    }
    end(g);
}

static void loop(struct gen *g, unsigned depth)
{
    unsigned counter = loop_begin(g, 0x40);

    for (unsigned n = 1 + rnd(g, 3); n > 0; n--)
        statement(g, depth);
    if (rnd(g, 2)) { /* a pointer that moves */
        unsigned a = L_ADDRESS + rnd(g, 2);

        put_op(g->b, 0x20, a);
        put_i32_const(g->b, distance(g));
        put_byte(g->b, 0x6a);
        put_op(g->b, 0x21, a);
    }
    loop_end(g, counter);
    g->counters--;
}

/* Accesses around one address, and what may change it in between. */
static void set_address(struct gen *g, unsigned depth)
{
    unsigned a = L_ADDRESS + rnd(g, 2);

    switch (rnd(g, 5)) {
    case 0:
        put_i32_const(g->b, place(g));
        break;
    case 1:
        put_op(g->b, 0x20, 0);
        break;
    case 2:
        expr(g, I32, depth);
        put_i32_const(g->b, 0xfff8);
        put_byte(g->b, 0x71);
        break;
    default:
        put_op(g->b, 0x20, L_ADDRESS + rnd(g, 2));
        put_i32_const(g->b, distance(g));
        put_byte(g->b, 0x6a + rnd(g, 2));
    }
    put_op(g->b, 0x21, a);
}

/* ---- Exceptions ---- */

static void throw_one(struct gen *g, unsigned depth)
{
    bool second = rnd(g, 2);

    expr(g, I32, depth);
    put_byte(g->b, 0x04);
    put_byte(g->b, 0x40);
    push_label(g, LABEL_VOID);
    if (second) {
        expr(g, I64, depth);
        expr(g, F64, depth);
    } else {
        expr(g, I32, depth);
    }
    put_op(g->b, 0x08, second);
    end(g);
}

/* (block (result ...) (try_table (catch... 0) body) values) set */
static void try_table(struct gen *g, unsigned depth)
{
    /* catch, catch_ref, catch_all, catch_all_ref */
    static const uint8_t types[] = {I32, T_SUB + 1, 0x40, 0x69};
    unsigned kind = rnd(g, 4);

    put_byte(g->b, 0x02);
    put_byte(g->b, types[kind]);
    push_label(g, LABEL_CATCH);
    put_byte(g->b, 0x1f);
    put_byte(g->b, 0x40);
    put_leb(g->b, 1);
    put_byte(g->b, kind);
    if (kind < 2)
        put_leb(g->b, 0);
    put_leb(g->b, 0);
    push_label(g, LABEL_VOID);
    for (unsigned n = 1 + rnd(g, 2); n > 0; n--)
        statement(g, depth);
    throw_one(g, depth);
    if (rnd(g, 2))
        statement(g, depth);
    end(g);
    if (kind < 2)
        expr(g, I32, depth);
    if (kind % 2)
        put_op(g->b, 0xd0, 0x69);
    end(g);
    if (kind % 2)
        put_byte(g->b, rnd(g, 4) ? 0x1a : 0x0a); /* drop, or throw_ref */
    if (kind < 2)
        put_op(g->b, 0x21, L_I32 + kind);
}

static void legacy_try(struct gen *g, unsigned depth)
{
    put_byte(g->b, 0x06);
    put_byte(g->b, 0x40);
    push_label(g, LABEL_VOID);
    for (unsigned n = 1 + rnd(g, 2); n > 0; n--)
        statement(g, depth);
    throw_one(g, depth);
    if (rnd(g, 4) == 0) { /* delegate to any label */
        g->nlabels--;
        put_op(g->b, 0x18, rnd(g, g->nlabels));
        return;
    }
    if (rnd(g, 2)) {
        put_op(g->b, 0x07, 0);
        put_op(g->b, 0x21, L_I32 + 2);
        statement(g, depth);
    }
    if (rnd(g, 3) == 0) {
        put_op(g->b, 0x07, 1);
        put_op(g->b, 0x21, L_F64);
        put_op(g->b, 0x21, L_I64);
        if (rnd(g, 3) == 0)
            put_op(g->b, 0x09, 0); /* rethrow */
    }
    if (rnd(g, 2)) {
        put_byte(g->b, 0x19);
        statement(g, depth);
        if (rnd(g, 3) == 0)
            put_op(g->b, 0x09, 0);
    }
    end(g);
}

/* ---- Objects, tables, bulk ---- */

/* The elements of an array in a loop that allocates; nobody else has the array. */
static void array_loop(struct gen *g, unsigned depth)
{
    unsigned counter;

    expr(g, I32, depth);
    put_i32_const(g->b, 16);
    prefixed(g, 0xfb, 6);
    put_leb(g->b, T_ARRAY);
    put_op(g->b, 0x21, L_ARRAY);
    counter = loop_begin(g, 0x40);
    put_op(g->b, 0x20, L_ARRAY);
    put_op(g->b, 0x20, counter);
    put_op(g->b, 0x20, L_ARRAY);
    put_op(g->b, 0x20, counter);
    prefixed(g, 0xfb, 11);
    put_leb(g->b, T_ARRAY);
    put_op(g->b, 0x20, L_I32);
    put_byte(g->b, 0x6a);
    put_op(g->b, 0x22, L_I32);
    prefixed(g, 0xfb, 14);
    put_leb(g->b, T_ARRAY);
    put_op(g->b, 0x20, L_I32);
    put_op(g->b, 0x20, L_I64);
    put_op(g->b, 0x23, GLOBAL_STRUCT);
    prefixed(g, 0xfb, 0);
    put_leb(g->b, T_STRUCT);
    put_op(g->b, 0x21, L_STRUCT);
    loop_end(g, counter);
    g->counters--;
    put_i32_const(g->b, 8);
    prefixed(g, 0xfb, 7);
    put_leb(g->b, T_ARRAY);
    put_op(g->b, 0x21, L_ARRAY);
}

static void gc_statement(struct gen *g, unsigned depth)
{
    if (g->counters < COUNTERS && g->nlabels + 20 < LABELS_MAX && rnd(g, 5) == 0) {
        array_loop(g, depth);
        return;
    }
    switch (rnd(g, 6)) {
    case 0: /* struct.new */
        expr(g, I32, depth);
        expr(g, I64, depth);
        put_op(g->b, 0x20, L_STRUCT);
        prefixed(g, 0xfb, 0);
        put_leb(g->b, T_STRUCT);
        put_op(g->b, 0x21, L_STRUCT);
        break;
    case 1: /* array.new */
        expr(g, I32, depth);
        expr(g, I32, depth);
        put_i32_const(g->b, rnd(g, 30) ? 31 : -1);
        put_byte(g->b, 0x71);
        if (rnd(g, 20)) {
            put_i32_const(g->b, 8);
            put_byte(g->b, 0x72);
        }
        prefixed(g, 0xfb, 6);
        put_leb(g->b, T_ARRAY);
        put_op(g->b, 0x21, L_ARRAY);
        break;
    case 2: /* struct.set */
        put_op(g->b, 0x20, L_STRUCT);
        expr(g, I64, depth);
        prefixed(g, 0xfb, 5);
        put_leb(g->b, T_STRUCT);
        put_leb(g->b, 1);
        break;
    case 3: /* array.set */
        put_op(g->b, 0x20, L_ARRAY);
        expr(g, I32, depth);
        put_i32_const(g->b, 7);
        put_byte(g->b, 0x71);
        expr(g, I32, depth);
        prefixed(g, 0xfb, 14);
        put_leb(g->b, T_ARRAY);
        break;
    case 4: /* the next one of the list */
        put_op(g->b, 0x20, L_STRUCT);
        put_byte(g->b, 0xd1);
        put_byte(g->b, 0x45);
        put_byte(g->b, 0x04);
        put_byte(g->b, 0x40);
        put_op(g->b, 0x20, L_STRUCT);
        prefixed(g, 0xfb, 2);
        put_leb(g->b, T_STRUCT);
        put_leb(g->b, 2);
        put_op(g->b, 0x21, L_STRUCT);
        put_byte(g->b, 0x0b);
        break;
    default:
        if (rnd(g, 2)) {
            put_op(g->b, 0x20, L_STRUCT);
            put_op(g->b, 0x24, GLOBAL_STRUCT);
        } else {
            put_op(g->b, 0x23, GLOBAL_STRUCT);
            put_op(g->b, 0x21, L_STRUCT);
        }
    }
}

/* Operands of a bulk operation: mostly inside. */
static void small(struct gen *g, unsigned depth, int64_t mask)
{
    expr(g, I32, depth);
    if (rnd(g, 25)) {
        put_i32_const(g->b, mask);
        put_byte(g->b, 0x71);
    }
}

static void bulk(struct gen *g, unsigned depth)
{
    switch (rnd(g, 6)) {
    case 0: /* memory.fill */
        small(g, depth, 0xffff);
        expr(g, I32, depth);
        small(g, depth, 0xff);
        prefixed(g, 0xfc, 11);
        put_leb(g->b, 0);
        break;
    case 1: /* memory.copy */
        small(g, depth, 0xffff);
        small(g, depth, 0xffff);
        small(g, depth, 0xff);
        prefixed(g, 0xfc, 10);
        put_leb(g->b, 0);
        put_leb(g->b, 0);
        break;
    case 2: /* memory.init */
        small(g, depth, 0xffff);
        small(g, depth, 7);
        small(g, depth, 7);
        prefixed(g, 0xfc, 8);
        put_leb(g->b, 0);
        put_leb(g->b, 0);
        break;
    case 3: /* memory.grow */
        put_i32_const(g->b, rnd(g, 3));
        put_op(g->b, 0x40, 0);
        put_op(g->b, 0x21, L_I32);
        break;
    case 4: /* table.fill, of the second table */
        small(g, depth, 3);
        put_op(g->b, 0xd2, rnd(g, MAKE_IMPORTS + g->funcs));
        small(g, depth, 3);
        prefixed(g, 0xfc, 17);
        put_leb(g->b, 1);
        break;
    default: /* table.set */
        small(g, depth, 3);
        put_op(g->b, 0xd2, rnd(g, MAKE_IMPORTS + g->funcs));
        put_op(g->b, 0x26, 1);
    }
}

/* ---- */

static void call_statement(struct gen *g, unsigned depth)
{
    static const uint8_t types[] = {T_ONE, T_MANY, T_NONE};
    enum type type = PICK(g, types);

    if (!g->tails || rnd(g, 3)) {
        call(g, depth, type);
        drop_values(g, label_of(type));
        return;
    }
    expr(g, I32, depth);
    put_byte(g->b, 0x04);
    put_byte(g->b, 0x40);
    push_label(g, LABEL_VOID);
    call_kind(g, depth, g->type, true);
    end(g);
}

static void set(struct gen *g, unsigned depth)
{
    static const uint8_t types[] = {I32, I32, I64, F32, F64, V128};
    unsigned type = PICK(g, types);

    expr(g, type, depth);
    if (type != V128 && rnd(g, 4) == 0)
        put_op(g->b, 0x24, GLOBAL_I32 + (I32 - type));
    else
        put_op(g->b, 0x21, local_of(g, type));
}

static void statement(struct gen *g, unsigned depth)
{
    if (depth >= DEPTH_MAX || g->size++ > g->limit || g->nlabels + 20 > LABELS_MAX)
        return;
    depth++;
    switch (rnd(g, 14)) {
    case 0:
    case 1:
    case 2:
        store(g, depth);
        break;
    case 3:
        if (g->counters < COUNTERS) {
            loop(g, depth);
            break;
        }
        /* fallthrough */
    case 4:
        void_block(g, depth);
        break;
    case 5:
    case 6:
        set_address(g, depth);
        break;
    case 7:
        if (g->calls)
            call_statement(g, depth);
        break;
    case 8:
        if (g->exceptions && rnd(g, 2))
            try_table(g, depth);
        else if (g->legacy)
            legacy_try(g, depth);
        else
            branch(g, depth);
        break;
    case 9:
        if (g->gc)
            gc_statement(g, depth);
        else
            bulk(g, depth);
        break;
    case 10: /* a load that nobody needs */
        load(g, rnd(g, 2) ? I32 : F64, depth);
        put_byte(g->b, 0x1a);
        break;
    case 11:
        if (rnd(g, 2))
            branch(g, depth);
        else if (rnd(g, 6) == 0)
            bulk(g, depth);
        break;
    default:
        set(g, depth);
        break;
    }
}

/* ---- One trap of each kind, for sure ---- */

static void bad_memory(struct gen *g, unsigned kind)
{
    static const int64_t places[] = {-1, -4, 65536 * 4, 65536 * 2 - 3, -65536, INT32_MIN};

    put_i32_const(g->b, PICK(g, places));
    if (kind == 0) {
        put_op(g->b, 0x28, 0);
        put_leb(g->b, 0);
        put_byte(g->b, 0x1a);
    } else {
        put_i32_const(g->b, 7);
        put_op(g->b, 0x36, 0);
        put_leb(g->b, 8);
    }
}

static void bad_number(struct gen *g, unsigned kind)
{
    static const double huge = 1e30;

    switch (kind) {
    case 0:
        put_i32_const(g->b, 5);
        put_op(g->b, 0x20, L_COUNTER);
        put_byte(g->b, 0x6d + rnd(g, 4));
        break;
    case 1:
        put_i32_const(g->b, INT32_MIN);
        put_i32_const(g->b, -1);
        put_byte(g->b, 0x6d);
        break;
    default:
        put_byte(g->b, 0x44);
        sv_buf_append(g->b, &huge, sizeof huge);
        if (kind == 3) {
            put_byte(g->b, 0x44);
            sv_buf_append(g->b, &huge, sizeof huge);
            put_byte(g->b, 0xa1);
            put_op(g->b, 0x20, L_COUNTER);
            put_byte(g->b, 0xb7);
            put_byte(g->b, 0xa3); /* 0 / 0 */
        }
        put_byte(g->b, 0xaa + rnd(g, 2));
    }
    put_byte(g->b, 0x1a);
}

static void bad_table(struct gen *g, unsigned kind)
{
    unsigned n = MAKE_IMPORTS + g->funcs;

    if (kind == 3) { /* table.get */
        put_i32_const(g->b, 100);
        put_op(g->b, 0x25, 1);
        put_byte(g->b, 0x1a);
        return;
    }
    arguments(g, DEPTH_MAX);
    if (kind == 4) {
        put_op(g->b, 0xd0, T_ONE);
        put_op(g->b, 0x14, T_ONE);
    } else {
        put_i32_const(g->b, kind == 0 ? 5000 : kind == 1 ? n : func_of(g, T_MANY));
        put_op(g->b, 0x11, T_ONE);
        put_leb(g->b, 0);
    }
    put_byte(g->b, 0x1a);
}

/* Calls that would replace the frame of this function, if they went on. */
static void bad_tail(struct gen *g, unsigned kind)
{
    unsigned n = MAKE_IMPORTS + g->funcs;

    arguments(g, DEPTH_MAX);
    if (kind == 3) {
        put_op(g->b, 0xd0, g->type);
        put_op(g->b, 0x15, g->type);
        return;
    }
    put_i32_const(g->b, kind == 0   ? 5000
                        : kind == 1 ? n
                                    : func_of(g, g->type == T_MANY ? T_ONE : T_MANY));
    put_op(g->b, 0x13, g->type);
    put_leb(g->b, 0);
}

static void bad_object(struct gen *g, unsigned kind)
{
    switch (kind) {
    case 0:
        put_byte(g->b, 0xd0);
        put_sleb(g->b, T_STRUCT);
        prefixed(g, 0xfb, 2);
        put_leb(g->b, T_STRUCT);
        put_leb(g->b, 0);
        break;
    case 1:
        put_byte(g->b, 0xd0);
        put_sleb(g->b, T_ARRAY);
        prefixed(g, 0xfb, 15);
        break;
    case 2:
        put_i32_const(g->b, 3);
        put_i32_const(g->b, 3);
        prefixed(g, 0xfb, 6);
        put_leb(g->b, T_ARRAY);
        put_i32_const(g->b, 3 + rnd(g, 100));
        prefixed(g, 0xfb, 11);
        put_leb(g->b, T_ARRAY);
        break;
    case 3: /* ref.cast of an i31 to the struct */
        put_i32_const(g->b, 3);
        prefixed(g, 0xfb, 28);
        prefixed(g, 0xfb, 22);
        put_sleb(g->b, T_STRUCT);
        break;
    case 4:
        put_byte(g->b, 0xd0);
        put_byte(g->b, 0x6c);
        prefixed(g, 0xfb, 29); /* i31.get_s */
        break;
    default:
        put_op(g->b, 0x20, L_STRUCT);
        put_byte(g->b, 0xd4); /* ref.as_non_null */
    }
    put_byte(g->b, 0x1a);
}

static void bad_bulk(struct gen *g, unsigned kind)
{
    put_i32_const(g->b, kind == 0 ? -5 : 65536 * 4);
    put_i32_const(g->b, 1);
    put_i32_const(g->b, 1000);
    if (kind == 0) {
        prefixed(g, 0xfc, 11);
    } else if (kind == 1) {
        prefixed(g, 0xfc, 10);
        put_leb(g->b, 0);
    } else {
        prefixed(g, 0xfc, 8);
        put_leb(g->b, 0);
    }
    put_leb(g->b, 0);
}

#define TRAP_KINDS 28
static void trap_statement(struct gen *g, unsigned kind)
{
    if (kind < 2) {
        bad_memory(g, kind);
    } else if (kind < 6) {
        bad_number(g, kind - 2);
    } else if (kind < 11) {
        bad_table(g, kind - 6);
    } else if (kind < 17) {
        bad_object(g, kind - 11);
    } else if (kind < 20) {
        bad_bulk(g, kind - 17);
    } else if (kind == 20) {
        put_i32_const(g->b, 1);
        put_op(g->b, 0x08, 0);
    } else if (kind == 21) {
        put_byte(g->b, 0xd0);
        put_byte(g->b, 0x69);
        put_byte(g->b, 0x0a);
    } else if (kind == 22) { /* in the host */
        put_i32_const(g->b, 77);
        for (unsigned type = I64; type >= F64; type--)
            constant(g, type);
        put_op(g->b, 0x10, 0);
        put_byte(g->b, 0x1a);
    } else if (kind < 27) {
        bad_tail(g, kind - 23);
    } else {
        put_byte(g->b, 0x00);
    }
}

/* Down to the next function, or the trap. */
static void trap_body(struct gen *g, unsigned index)
{
    unsigned next = index + 1;

    if (index % 5 == 4 || next >= MAKE_IMPORTS + g->funcs) {
        trap_statement(g, index / 5 % TRAP_KINDS);
        return;
    }
    put_op(g->b, 0x20, 0);
    for (unsigned i = 1; i < 4; i++)
        put_op(g->b, 0x20, i);
    if (index % 3 == 0) {
        put_i32_const(g->b, next);
        put_op(g->b, 0x11, type_of_func(next));
        put_leb(g->b, 0);
    } else {
        put_op(g->b, 0x10, next);
    }
    drop_values(g, label_of(type_of_func(next)));
}

/* ---- The module ---- */

static void put_string(struct gen *g, const char *s)
{
    put_leb(g->b, strlen(s));
    sv_buf_puts(g->b, s);
}

static void put_locals(struct gen *g)
{
    static const struct {
        uint8_t n, type, index;
    } groups[] = {{4, I32, 0},         {2, I64, 0},        {1, F32, 0},  {1, F64, 0}, {6, I32, 0},
                  {1, 0x63, T_STRUCT}, {1, 0x63, T_ARRAY}, {1, V128, 0}, {1, I32, 0}, {1, I64, 0}};

    put_leb(g->b, sizeof groups / sizeof *groups);
    for (size_t i = 0; i < sizeof groups / sizeof *groups; i++) {
        put_byte(g->b, groups[i].n);
        put_byte(g->b, groups[i].type);
        if (groups[i].type == 0x63)
            put_sleb(g->b, groups[i].index);
    }
}

static void zeros(struct gen *g, enum label label)
{
    if (label == LABEL_VOID)
        return;
    put_i32_const(g->b, 0);
    if (label == LABEL_THREE) {
        put_byte(g->b, 0x42);
        put_byte(g->b, 0);
        put_byte(g->b, 0x44);
        sv_buf_append(g->b, "\0\0\0\0\0\0\0\0", 8);
    }
}

/* if (!fuel) return 0; fuel--; */
static void put_fuel(struct gen *g)
{
    put_op(g->b, 0x23, GLOBAL_FUEL);
    put_byte(g->b, 0x45);
    put_byte(g->b, 0x04);
    put_byte(g->b, 0x40);
    zeros(g, label_of(g->type));
    put_byte(g->b, 0x0f);
    put_byte(g->b, 0x0b);
    put_op(g->b, 0x23, GLOBAL_FUEL);
    put_i32_const(g->b, 1);
    put_byte(g->b, 0x6b);
    put_op(g->b, 0x24, GLOBAL_FUEL);
}

/* Something in the locals for objects. */
static void put_objects(struct gen *g)
{
    put_op(g->b, 0x20, 0);
    put_op(g->b, 0x20, 1);
    put_op(g->b, 0x23, GLOBAL_STRUCT);
    prefixed(g, 0xfb, 0);
    put_leb(g->b, T_STRUCT);
    put_op(g->b, 0x21, L_STRUCT);
    put_i32_const(g->b, 8);
    prefixed(g, 0xfb, 7);
    put_leb(g->b, T_ARRAY);
    put_op(g->b, 0x21, L_ARRAY);
}

static void counted(struct gen *g, bool endless)
{
    struct make_loop o = {.counter = L_COUNTER,
                          .pointer = L_ADDRESS + rnd(g, 2),
                          .bound = L_I32,
                          .stride = L_I32 + 1,
                          .inner = L_I32 + 3,
                          .i32 = L_I32 + 2,
                          .i64 = L_I64,
                          .memory64 = g->memory & 4,
                          .ends = g->quiet};

    (endless ? make_endless_loop : make_loop)(g->b, &g->seed, &o);
    put_op(g->b, 0x20, o.i32);
    put_op(g->b, 0x24, GLOBAL_I32);
    put_op(g->b, 0x20, o.i64);
    put_op(g->b, 0x24, GLOBAL_I64);
}

/* An operand for a parameter of this type: one of the function's own, or a constant. */
static void put_passed(struct gen *g, unsigned type)
{
    if (rnd(g, 3)) {
        put_op(g->b, 0x20, I32 - type);
        return;
    }
    put_byte(g->b, 0x41 + I32 - type);
    if (type == I32 || type == I64)
        put_sleb(g->b, rnd(g, 2) ? 8 : -1);
    else
        sv_buf_append(g->b, "\0\0\x80\x3f\0\0\xf0\x3f", type == F32 ? 4 : 8);
}

/* Which function such a one calls; UINT_MAX: none. Never round in a circle. */
static unsigned passes_to(struct gen *g, unsigned index, bool traps)
{
    unsigned f = index + 1;

    if (!traps)
        f = func_of(g, type_of_func(index));
    else if (index % 5 == 4 || f >= MAKE_IMPORTS + g->funcs || rnd(g, 2))
        return UINT_MAX;
    return (traps || f < index) && type_of_func(f) == type_of_func(index) ? f : UINT_MAX;
}

/* A function that only passes on, which native code without gas skips; false: not this time. */
static bool passing_body(struct gen *g, unsigned index, bool traps)
{
    unsigned f = g->calls || traps ? passes_to(g, index, traps) : UINT_MAX;
    struct sv_buf code, *module = g->b;

    if (f == UINT_MAX || (!traps && rnd(g, 3)))
        return false;
    sv_buf_init(&code, 1 << 20);
    g->b = &code;
    put_byte(g->b, 0);
    for (unsigned type = I32; type >= F64; type--)
        put_passed(g, type);
    put_op(g->b, 0x10, f);
    put_byte(g->b, 0x0b);
    g->b = module;
    put_leb(g->b, code.len);
    sv_buf_append(module, code.data, code.len);
    sv_buf_release(&code);
    return true;
}

static void body(struct gen *g, unsigned index, const struct make_options *o)
{
    struct sv_buf code, *module = g->b;
    enum label label;

    if (passing_body(g, index, o->traps))
        return;
    sv_buf_init(&code, 1 << 20);
    g->b = &code;
    g->type = type_of_func(index);
    label = label_of(g->type);
    g->nlabels = 0;
    g->size = 0;
    g->limit = o->statements * 8;
    push_label(g, label);
    put_locals(g);
    put_fuel(g);
    put_op(g->b, 0x20, 0);
    put_op(g->b, 0x21, L_ADDRESS);
    put_i32_const(g->b, place(g));
    put_op(g->b, 0x21, L_ADDRESS + 1);
    if (g->gc && rnd(g, 8))
        put_objects(g);
    if (o->traps)
        trap_body(g, index);
    for (unsigned n = o->traps ? 0 : o->statements; n > 0; n--) {
        if (o->loops)
            counted(g, o->endless);
        else
            statement(g, 0);
    }
    if (o->loops)
        zeros(g, label);
    else
        values_of(g, label, 0);
    end(g);
    g->b = module;
    put_leb(g->b, code.len);
    sv_buf_append(module, code.data, code.len);
    sv_buf_release(&code);
}

/* The section's bytes are what is written between begin and end. */
struct section {
    struct sv_buf bytes, *outer;
};
static void section_begin(struct gen *g, struct section *s)
{
    sv_buf_init(&s->bytes, 1 << 24);
    s->outer = g->b;
    g->b = &s->bytes;
}
static void section_end(struct gen *g, struct section *s, unsigned id)
{
    g->b = s->outer;
    put_op(g->b, id, (uint32_t)s->bytes.len);
    sv_buf_append(g->b, s->bytes.data, s->bytes.len);
    sv_buf_release(&s->bytes);
}

static void put_types(struct gen *g)
{
    static const char types[] = "\x60\x04\x7f\x7e\x7d\x7c\x01\x7f"
                                "\x60\x04\x7f\x7e\x7d\x7c\x03\x7f\x7e\x7c"
                                "\x60\x04\x7f\x7e\x7d\x7c\x00"
                                "\x60\x01\x7f\x01\x7f"
                                "\x60\x02\x7f\x7e\x02\x7e\x7f"
                                "\x60\x00\x03\x7f\x7e\x7c"
                                "\x60\x01\x7f\x00"
                                "\x60\x02\x7e\x7c\x00"
                                /* struct (mut i32) (mut i64) (mut (ref null 8)); array (mut i32) */
                                "\x5f\x03\x7f\x01\x7e\x01\x63\x08\x01"
                                "\x5e\x7f\x01"
                                "\x50\x00\x60\x00\x00"
                                /* () -> i32 exnref, of catch_ref's label */
                                "\x60\x00\x02\x7f\x69";

    put_leb(g->b, T_SUB + 2);
    sv_buf_append(g->b, types, sizeof types - 1);
}

static void put_imports(struct gen *g)
{
    char name[2] = "0";

    put_leb(g->b, MAKE_IMPORTS + 2);
    for (unsigned i = 0; i < MAKE_IMPORTS; i++) {
        name[0] = (char)('0' + i);
        put_string(g, "h");
        put_string(g, name);
        put_byte(g->b, 0);
        put_leb(g->b, T_ONE);
    }
    for (unsigned i = 0; i < 2; i++) {
        name[0] = (char)('0' + i);
        put_string(g, "t");
        put_string(g, name);
        put_byte(g->b, 4);
        put_op(g->b, 0, T_TAG0 + i);
    }
}

static void put_globals(struct gen *g)
{
    static const char zero[] = "\0\0\0\0\0\0\0\0";

    put_leb(g->b, GLOBAL_STRUCT + 1);
    sv_buf_append(g->b, "\x7f\x01\x41\x00\x0b\x7f\x01\x41\x05\x0b\x7e\x01\x42\x07\x0b", 15);
    sv_buf_append(g->b, "\x7d\x01\x43", 3);
    sv_buf_append(g->b, zero, 4);
    sv_buf_append(g->b, "\x0b\x7c\x01\x44", 4);
    sv_buf_append(g->b, zero, 8);
    sv_buf_append(g->b, "\x0b\x63\x08\x01\xd0\x08\x0b", 7);
}

static void put_exports(struct gen *g)
{
    char name[16];

    put_leb(g->b, g->funcs + 2);
    put_string(g, MAKE_FUEL_NAME);
    put_byte(g->b, 3);
    put_leb(g->b, GLOBAL_FUEL);
    put_string(g, "memory");
    put_byte(g->b, 2);
    put_leb(g->b, 0);
    for (unsigned i = 0; i < g->funcs; i++) {
        snprintf(name, sizeof name, "f%u", i);
        put_string(g, name);
        put_byte(g->b, 0);
        put_leb(g->b, MAKE_IMPORTS + i);
    }
}

static void put_elements(struct gen *g)
{
    put_leb(g->b, 1);
    put_leb(g->b, 0);
    put_i32_const(g->b, 0);
    put_byte(g->b, 0x0b);
    put_leb(g->b, MAKE_IMPORTS + g->funcs);
    for (unsigned i = 0; i < MAKE_IMPORTS + g->funcs; i++)
        put_leb(g->b, i);
}

/* Some functions have names. */
static void put_names(struct gen *g)
{
    struct section functions;
    char name[16];

    put_string(g, "name");
    section_begin(g, &functions);
    put_leb(g->b, g->funcs / 2);
    for (unsigned i = 0; i < g->funcs / 2; i++) {
        put_leb(g->b, MAKE_IMPORTS + 2 * i);
        snprintf(name, sizeof name, "name%u", i);
        put_string(g, name);
    }
    section_end(g, &functions, 1);
}

static void put_data(struct gen *g)
{
    put_leb(g->b, 1);
    put_byte(g->b, 1); /* passive */
    put_string(g, "0123456789abcdef");
}

static void put_section(struct gen *g, unsigned id, void (*put)(struct gen *))
{
    struct section s;

    section_begin(g, &s);
    put(g);
    section_end(g, &s, id);
}
static void put_tables(struct gen *g)
{
    put_leb(g->b, 2);
    sv_buf_append(g->b, "\x70\x00", 2);
    put_leb(g->b, MAKE_IMPORTS + g->funcs + 4);
    sv_buf_append(g->b, "\x70\x01\x04\x08", 4);
}
static void put_functions(struct gen *g)
{
    put_leb(g->b, g->funcs);
    for (unsigned i = 0; i < g->funcs; i++)
        put_leb(g->b, type_of_func(MAKE_IMPORTS + i));
}
static void put_memory(struct gen *g)
{
    put_byte(g->b, 1);
    put_byte(g->b, g->memory);
    sv_buf_append(g->b, "\x02\x04", 2);
}
void make_module(struct sv_buf *b, uint64_t seed, const struct make_options *o)
{
    struct gen g = {.b = b, .seed = seed, .funcs = o->funcs};
    uint32_t how = rnd(&g, 64);
    struct section s;

    g.exceptions = how & 1;
    g.legacy = (how & 6) == 2;
    g.gc = how & 8;
    g.calls = (how & 48) != 48;
    g.tails = how & 16;
    g.wild = rnd(&g, 3) == 0;
    g.quiet = o->quiet;
    g.memory = 1;
    if (o->loops) { /* shared, of 64-bit addresses */
        static const uint8_t flags[] = {1, 1, 3, 5};

        g.memory = PICK(&g, flags);
        g.gc = false;
    }
    sv_buf_append(b, "\0asm\x01\0\0\0", 8);
    put_section(&g, 1, put_types);
    put_section(&g, 2, put_imports);
    put_section(&g, 3, put_functions);
    put_section(&g, 4, put_tables);
    put_section(&g, 5, put_memory);
    put_section(&g, 6, put_globals);
    put_section(&g, 7, put_exports);
    put_section(&g, 9, put_elements);
    section_begin(&g, &s);
    put_leb(g.b, 1);
    section_end(&g, &s, 12); /* data count */
    section_begin(&g, &s);
    put_leb(g.b, g.funcs);
    for (unsigned i = 0; i < g.funcs; i++)
        body(&g, MAKE_IMPORTS + i, o);
    section_end(&g, &s, 10);
    put_section(&g, 11, put_data);
    put_section(&g, 0, put_names);
}
