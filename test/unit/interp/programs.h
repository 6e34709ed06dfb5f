/* A generator of random modules, and what comes of running one: for tests that compare. */
#ifndef TEST_INTERP_PROGRAMS_H
#define TEST_INTERP_PROGRAMS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "interp/interp.h"
#include "wasm/numeric.h"

/* ---- A generator of valid function bodies ---- */

enum { I32 = 0x7f, I64 = 0x7e, F32 = 0x7d, F64 = 0x7c };
#define NLOCALS 12  /* four types in turn; the first four are parameters */
#define NCOUNTERS 4 /* i32 locals of loops, never set otherwise */
#define DEPTH_MAX 5
#define BODY_MAX 6000

struct gen {
    uint64_t seed;
    uint8_t *p;
    unsigned blocks;   /* labels without values in reach */
    unsigned counters; /* loops around us */
    unsigned size;
    bool nan_free;  /* no instruction may show which NaN it got */
    unsigned funcs; /* earlier functions that can be called: all (i32 i64 f32 f64) -> i32 */
};

static uint32_t rnd(struct gen *g, uint32_t n)
{
    g->seed = g->seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(g->seed >> 33) % n;
}
static void byte(struct gen *g, unsigned b)
{
    *g->p++ = (uint8_t)b;
}
static void leb(struct gen *g, uint64_t v)
{
    for (; v >= 0x80; v >>= 7)
        byte(g, (v & 0x7f) | 0x80);
    byte(g, (unsigned)v);
}
static void sleb(struct gen *g, int64_t v)
{
    while (v < -64 || v > 63) {
        byte(g, (v & 0x7f) | 0x80);
        v >>= 7;
    }
    byte(g, v & 0x7f);
}
static void raw(struct gen *g, const void *bytes, size_t n)
{
    memcpy(g->p, bytes, n);
    g->p += n;
}

static unsigned type_of_local(unsigned i)
{
    static const uint8_t types[4] = {I32, I64, F32, F64};

    return types[i % 4];
}
static unsigned local_of(struct gen *g, unsigned type)
{
    return rnd(g, NLOCALS / 4) * 4 + (I32 - type);
}

static void expr(struct gen *g, unsigned type, unsigned depth);
static void statement(struct gen *g, unsigned depth);

static void constant(struct gen *g, unsigned type)
{
    static const int64_t ints[] = {0,  1,   2,     3,         4,         8,       -1,
                                   31, 255, 65536, INT32_MAX, INT32_MIN, 12345678};
    static const double floats[] = {0.0, -0.0, 1.0, -1.5, 3.25, 1e10, -1e-10, 4294967296.0};
    double d = floats[rnd(g, 8)];
    float f = (float)d;

    switch (type) {
    case I32:
        byte(g, 0x41);
        sleb(g, ints[rnd(g, 13)]);
        break;
    case I64:
        byte(g, 0x42);
        sleb(g, rnd(g, 4) ? ints[rnd(g, 13)] : INT64_MIN + rnd(g, 100000));
        break;
    case F32:
        byte(g, 0x43);
        raw(g, &f, 4);
        break;
    default:
        byte(g, 0x44);
        raw(g, &d, 8);
        break;
    }
}

static void address(struct gen *g, unsigned depth)
{
    expr(g, I32, depth);
    if (rnd(g, 400)) {
        /* mostly in bounds */
        byte(g, 0x41);
        sleb(g, 0x7ff8);
        byte(g, 0x71);
        if (rnd(g, 2)) {
            expr(g, I32, depth > 3 ? depth : 3);
            byte(g, 0x41);
            sleb(g, 0xff);
            byte(g, 0x71);
            if (rnd(g, 2)) {
                byte(g, 0x41);
                sleb(g, 1 + rnd(g, 3));
                byte(g, 0x74);
            }
            byte(g, 0x6a);
        }
    }
}
static void memarg(struct gen *g)
{
    static const uint32_t offsets[] = {0, 0, 8, 100, 70000};

    leb(g, 0);
    leb(g, offsets[rnd(g, 2000) ? rnd(g, 4) : 4]);
}

static void constant_address(struct gen *g)
{
    byte(g, 0x41);
    sleb(g, rnd(g, 200) ? (int)rnd(g, 300) * 8 : -8);
}

static void load(struct gen *g, unsigned type, unsigned depth)
{
    static const uint8_t i32[] = {0x28, 0x2c, 0x2d, 0x2e, 0x2f},
                         i64[] = {0x29, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35};

    if (rnd(g, 6) == 0)
        constant_address(g);
    else
        address(g, depth);
    byte(g, type == I32   ? i32[rnd(g, 5)]
            : type == I64 ? i64[rnd(g, 7)]
            : type == F32 ? 0x2a
                          : 0x2b);
    memarg(g);
}

static void operate(struct gen *g, unsigned type, unsigned depth)
{
    unsigned op;

    switch (type) {
    case I32:
        op = rnd(g, 10);
        if (op < 2) { /* compare */
            unsigned t = type_of_local(rnd(g, 4));

            expr(g, t, depth);
            expr(g, t, depth);
            byte(g, t == I32   ? 0x46 + rnd(g, 10)
                    : t == I64 ? 0x51 + rnd(g, 10)
                    : t == F32 ? 0x5b + rnd(g, 6)
                               : 0x61 + rnd(g, 6));
        } else if (op == 2) {
            expr(g, I32, depth);
            byte(g, rnd(g, 2) ? 0x45 : 0x67 + rnd(g, 3));
        } else if (op == 3) {
            expr(g, I64, depth);
            byte(g, rnd(g, 2) ? 0xa7 : 0x50);
        } else if (op == 4) {
            expr(g, rnd(g, 2) ? F32 : F64, depth);
            byte(g, 0x1a);
            expr(g, I32, depth);
            byte(g, 0xc0 + rnd(g, 2));
        } else {
            expr(g, I32, depth);
            expr(g, I32, depth);
            byte(g,
                 rnd(g, 400) ? 0x6a + (rnd(g, 2) ? rnd(g, 3) : 7 + rnd(g, 8)) : 0x6d + rnd(g, 4));
        }
        break;
    case I64:
        if (rnd(g, 4) == 0) {
            expr(g, I32, depth);
            byte(g, 0xac + rnd(g, 2));
        } else {
            expr(g, I64, depth);
            expr(g, I64, depth);
            byte(g,
                 rnd(g, 400) ? 0x7c + (rnd(g, 2) ? rnd(g, 3) : 7 + rnd(g, 8)) : 0x7f + rnd(g, 4));
        }
        break;
    case F32:
    case F64:
        op = rnd(g, 6);
        if (op == 0) {
            expr(g, rnd(g, 2) ? I32 : I64, depth);
            /* which of the two it was does not matter: drop it and convert a local */
            byte(g, 0x1a);
            expr(g, I32, depth);
            byte(g, type == F32 ? 0xb2 : 0xb7);
        } else if (op == 1) {
            expr(g, type, depth);
            byte(g, (type == F32 ? 0x8d : 0x9b) + rnd(g, 5)); /* ceil .. sqrt */
        } else {
            expr(g, type, depth);
            if (rnd(g, 3) == 0)
                statement(g, depth);
            expr(g, type, depth);
            byte(g, (type == F32 ? 0x92 : 0xa0) + rnd(g, rnd(g, 4) ? 3 : 6));
        }
        break;
    }
}

static void expr(struct gen *g, unsigned type, unsigned depth)
{
    if (depth >= DEPTH_MAX || g->size++ > 400) {
        if (rnd(g, 2)) {
            constant(g, type);
        } else {
            byte(g, 0x20);
            leb(g, local_of(g, type));
        }
        return;
    }
    depth++;
    switch (rnd(g, 14)) {
    case 0:
        constant(g, type);
        break;
    case 1:
    case 2:
    case 3:
        byte(g, 0x20);
        leb(g, local_of(g, type));
        break;
    case 4: /* local.tee */
        expr(g, type, depth);
        byte(g, 0x22);
        leb(g, local_of(g, type));
        break;
    case 5:
        load(g, type, depth);
        break;
    case 6: /* a statement while the value waits on the stack */
        expr(g, type, depth);
        statement(g, depth);
        break;
    case 7: /* select */
        expr(g, type, depth);
        expr(g, type, depth);
        expr(g, I32, depth);
        byte(g, 0x1b);
        break;
    case 8: /* if with a result */
        expr(g, I32, depth);
        byte(g, 0x04);
        byte(g, type);
        g->blocks++;
        if (rnd(g, 2))
            statement(g, depth);
        expr(g, type, depth);
        byte(g, 0x05);
        expr(g, type, depth);
        byte(g, 0x0b);
        g->blocks--;
        break;
    case 9: /* block left early with a value */
        byte(g, 0x02);
        byte(g, type);
        expr(g, type, depth);
        expr(g, I32, depth);
        byte(g, 0x0d);
        leb(g, 0);
        if (rnd(g, 2)) {
            byte(g, 0x1a);
            expr(g, type, depth);
        }
        byte(g, 0x0b);
        break;
    case 10:
        if (g->funcs && type == I32) {
            for (unsigned i = 0; i < 4; i++)
                expr(g, type_of_local(i), depth);
            byte(g, 0x10);
            leb(g, rnd(g, g->funcs));
        } else {
            byte(g, 0x23); /* global.get */
            leb(g, I32 - type);
        }
        break;
    default:
        operate(g, type, depth);
        break;
    }
}

static void store(struct gen *g, unsigned depth)
{
    static const uint8_t i32[] = {0x36, 0x3a, 0x3b}, i64[] = {0x37, 0x3c, 0x3d, 0x3e};
    unsigned type = type_of_local(rnd(g, g->nan_free ? 2 : 4));

    if (rnd(g, 5) == 0)
        constant_address(g);
    else
        address(g, depth);
    expr(g, type, depth);
    byte(g, type == I32   ? i32[rnd(g, 3)]
            : type == I64 ? i64[rnd(g, 4)]
            : type == F32 ? 0x38
                          : 0x39);
    memarg(g);
}

static void loop(struct gen *g, unsigned depth)
{
    unsigned counter = NLOCALS + g->counters++;

    byte(g, 0x41);
    sleb(g, 0);
    byte(g, 0x21);
    leb(g, counter);
    byte(g, 0x03);
    byte(g, 0x40);
    g->blocks++;
    for (unsigned n = 1 + rnd(g, 3); n > 0; n--)
        statement(g, depth);
    byte(g, 0x20);
    leb(g, counter);
    byte(g, 0x41);
    sleb(g, 1);
    byte(g, 0x6a);
    byte(g, 0x22);
    leb(g, counter);
    byte(g, 0x41);
    sleb(g, 2 + rnd(g, 3));
    byte(g, rnd(g, 2) ? 0x47 : 0x48);
    byte(g, 0x0d);
    leb(g, 0);
    byte(g, 0x0b);
    g->blocks--;
    g->counters--;
}

/* Labels 0 .. blocks-1 may be loops: a jump there from inside could run for ever, so only blocks
 * made here are targets. */
static void block(struct gen *g, unsigned depth)
{
    unsigned kind = rnd(g, 4);

    byte(g, 0x02);
    byte(g, 0x40);
    g->blocks++;
    for (unsigned n = rnd(g, 3); n > 0; n--)
        statement(g, depth);
    expr(g, I32, depth);
    if (kind == 0) {
        byte(g, 0x0e); /* br_table in two blocks */
        leb(g, 2);
        leb(g, 0);
        leb(g, 0);
        leb(g, 0);
    } else if (kind == 1) {
        byte(g, 0x45);
        byte(g, 0x0d);
        leb(g, 0);
        statement(g, depth);
    } else {
        byte(g, 0x0d);
        leb(g, 0);
        statement(g, depth);
    }
    byte(g, 0x0b);
    g->blocks--;
}

static void statement(struct gen *g, unsigned depth)
{
    unsigned type = type_of_local(rnd(g, 4)), local = local_of(g, type);

    if (depth >= DEPTH_MAX || g->size++ > 400)
        return;
    depth++;
    switch (rnd(g, 9)) {
    case 0:
    case 1:
        store(g, depth);
        break;
    case 2:
        if (g->counters < NCOUNTERS) {
            loop(g, depth);
            break;
        }
        /* fallthrough */
    case 3:
        block(g, depth);
        break;
    case 4:
        expr(g, I32, depth);
        byte(g, 0x04);
        byte(g, 0x40);
        g->blocks++;
        statement(g, depth);
        if (rnd(g, 2)) {
            byte(g, 0x05);
            statement(g, depth);
        }
        byte(g, 0x0b);
        g->blocks--;
        break;
    case 5:
        expr(g, type, depth);
        byte(g, 0x24); /* global.set */
        leb(g, I32 - type);
        break;
    case 6: /* increments */
        byte(g, 0x20);
        leb(g, 0);
        byte(g, 0x41);
        sleb(g, (int)rnd(g, 40) - 8);
        byte(g, 0x6a);
        byte(g, 0x21);
        leb(g, 0);
        local = local_of(g, I32);
        byte(g, 0x20);
        leb(g, local);
        byte(g, 0x41);
        sleb(g, rnd(g, 40));
        byte(g, rnd(g, 2) ? 0x6a : 0x6b);
        byte(g, 0x21);
        leb(g, local);
        break;
    default:
        expr(g, type, depth);
        byte(g, 0x21);
        leb(g, local);
        break;
    }
}

static void body(struct gen *g)
{
    uint8_t *start = g->p, *size;
    size_t n;

    size = g->p;
    g->p += 5;
    start = g->p;
    leb(g, NLOCALS - 4 + 1);
    for (unsigned i = 4; i < NLOCALS; i++) {
        leb(g, 1);
        byte(g, type_of_local(i));
    }
    leb(g, NCOUNTERS);
    byte(g, I32);
    g->size = 0;
    for (unsigned i = 4 + rnd(g, 8); i > 0; i--)
        statement(g, 0);
    expr(g, I32, 0);
    byte(g, 0x0b);
    n = (size_t)(g->p - start);
    for (unsigned i = 0; i < 5; i++)
        size[i] = (uint8_t)((n >> (7 * i) & 0x7f) | (i < 4 ? 0x80 : 0));
}

#define NFUNCS 3

/* (module (memory 1) 4 globals, 3 functions (i32 i64 f32 f64) -> i32, all exported) */
static size_t make_module(struct gen *g, uint8_t *out)
{
    static const uint8_t head[] = {
        0,    'a',  's',  'm',  1, 0,          0,    0,   1,    9, 1,    0x60, 4, 0x7f, 0x7e, 0x7d,
        0x7c, 1,    0x7f, 3,    4, 3,          0,    0,   0,    5, 3,    1,    0, 1,    6,    31,
        4,    0x7f, 1,    0x41, 0, 0x0b,       0x7e, 1,   0x42, 7, 0x0b, 0x7d, 1, 0x43, 0,    0,
        0x80, 0x3f, 0x0b, 0x7c, 1, 0x44,       0,    0,   0,    0, 0,    0,    0, 0x40, 0x0b, 7,
        9,    2,    1,    'f',  0, NFUNCS - 1, 1,    'm', 2,    0};
    uint8_t *size;
    size_t n;

    g->p = out;
    raw(g, head, sizeof head);
    byte(g, 10);
    size = g->p;
    g->p += 5;
    byte(g, NFUNCS);
    for (g->funcs = 0; g->funcs < NFUNCS; g->funcs++)
        body(g);
    n = (size_t)(g->p - size) - 5;
    for (unsigned i = 0; i < 5; i++)
        size[i] = (uint8_t)((n >> (7 * i) & 0x7f) | (i < 4 ? 0x80 : 0));
    return (size_t)(g->p - out);
}

/* ---- Running ---- */

struct outcome {
    int code, trap;
    uint32_t result;
    uint64_t gas, memory;
};

static uint64_t hash(const uint8_t *p, size_t n)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001b3u;
    return h;
}

/* `begin`: of the instance, before the call; NULL: nothing. */
static struct outcome run_with(struct sv_engine *e, const uint8_t *bytes, size_t n, bool metered,
                               void (*begin)(struct sv_instance *))
{
    struct sv_decode_options options = {.features = e->features};
    struct sv_err err = {0};
    struct sv_module *m = NULL;
    struct sv_store *s = NULL;
    struct sv_instance *inst = NULL;
    struct sv_extern f, mem;
    union sv_slot args[4];
    struct outcome o = {0};

    if (sv_module_new(&err, e->types, bytes, n, NULL, &options, &m) < 0)
        fail_msg("%s at %llu", err.text, (unsigned long long)err.offset);
    assert_int_equal(sv_store_new(&err, e, NULL, &s), 0);
    if (metered)
        sv_store_set_gas(s, 5000000);
    assert_int_equal(sv_instance_new(&err, s, m, NULL, &inst), 0);
    assert_true(sv_instance_export(inst, sv_str_of("f"), &f));
    assert_true(sv_instance_export(inst, sv_str_of("m"), &mem));
    if (begin)
        begin(inst);
    args[0].i64 = 0xdeadbeef00000007u; /* the upper half is unspecified */
    args[1].i64 = 0x123456789abcdefu;
    args[2].f32 = 1.5f;
    args[3].f64 = -2.25;
    o.code = sv_func_call(&s->thread, f.func, args);
    o.trap = s->thread.trap.code;
    o.result = o.code == 0 ? args[0].i32 : 0;
    o.gas = metered ? sv_store_gas_used(s) : 0;
    o.memory = hash(mem.memory->base, sv_memory_size(mem.memory));
    sv_store_delete(s);
    sv_module_unref(m);
    return o;
}

static void expect_equal(const struct outcome *a, const struct outcome *b, uint64_t seed,
                         const char *what, bool gas)
{
    if (a->code != b->code || a->trap != b->trap || a->result != b->result ||
        a->memory != b->memory || (gas && a->gas != b->gas))
        fail_msg("seed %llu, %s: code %d %d, trap %d %d, result %u %u, gas %llu %llu, memory %s",
                 (unsigned long long)seed, what, a->code, b->code, a->trap, b->trap, a->result,
                 b->result, (unsigned long long)a->gas, (unsigned long long)b->gas,
                 a->memory == b->memory ? "equal" : "differs");
}

#endif
