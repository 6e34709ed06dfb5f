/* Random modules of tail calls: functions of random signatures, mostly with more parameters than
 * registers hold, that replace each other directly, through a table and by reference; host
 * functions and another instance's among them. Every parameter goes into a sum that is compared. */
#include "tiers.h"

#include <stdio.h>
#include <string.h>

#include "bytes.h"

enum { I32 = 0x7f, I64 = 0x7e, F32 = 0x7d, F64 = 0x7c, V128 = 0x7b };
enum { TYPES = 9, PARAMS_MAX = 26, RESULTS = 3, TYPE_NONE = TYPES, TYPE_TAG0, TYPE_TAG1 };
enum { GLOBAL_FUEL, GLOBAL_SUM };

/* What functions return: a tail call is to one that returns the same. */
static const char results[RESULTS][4] = {"\x7f", "\x7f\x7e\x7c", ""};

struct type {
    uint8_t n, params[PARAMS_MAX];
    unsigned result;
};

struct gen {
    struct sv_buf *b;
    uint64_t seed;
    struct type types[TYPES];
    unsigned funcs;
    bool exceptions, fixed;
};

static uint32_t rnd(struct gen *g, uint32_t n)
{
    return (uint32_t)(make_random(&g->seed) >> 20) % n;
}
#define PICK(g, array) ((array)[rnd(g, sizeof(array) / sizeof *(array))])

/* ---- Bytes ---- */

static void constant(struct gen *g, unsigned code, int64_t v)
{
    put_byte(g->b, code);
    put_sleb(g->b, v);
}
static void put_string(struct gen *g, const char *s)
{
    put_leb(g->b, strlen(s));
    sv_buf_puts(g->b, s);
}

/* A section, or a body (id 0): its length, and what `put` writes. */
static void put_sized(struct gen *g, unsigned id, void (*put)(struct gen *, unsigned), unsigned arg)
{
    struct sv_buf bytes, *outer = g->b;

    sv_buf_init(&bytes, 1 << 24);
    g->b = &bytes;
    put(g, arg);
    g->b = outer;
    if (id)
        put_byte(g->b, id);
    put_leb(g->b, bytes.len);
    sv_buf_append(g->b, bytes.data, bytes.len);
    sv_buf_release(&bytes);
}

/* ---- Types ---- */

/* The host looks at the first four slots of its arguments. */
static void make_types(struct gen *g)
{
    static const uint8_t counts[] = {0, 1, 3, 4, 5, 6, 7, 8, 10, 13, PARAMS_MAX - 1};
    static const uint8_t kinds[] = {I32, I32, I64, I64, I64, F32, F64, F64, V128};

    for (unsigned t = 0; t < TYPES; t++) {
        struct type *type = &g->types[t];

        type->result = t % RESULTS;
        type->n = 1 + PICK(g, counts);
        if (t < MAKE_IMPORTS && type->n < 4)
            type->n = (uint8_t)(4 + rnd(g, PARAMS_MAX - 4));
        for (unsigned i = 0; i < type->n; i++)
            type->params[i] = i == 0 ? I32 : i == 1 && t < MAKE_IMPORTS ? I64 : PICK(g, kinds);
    }
}

/* Of function i, imports first. A second instance imports f1, f6 and f9 of the first one. */
static unsigned type_of(unsigned i)
{
    static const uint8_t imported[MAKE_IMPORTS] = {1, 6, 9};

    for (unsigned k = 0; k < MAKE_IMPORTS; k++)
        if (i == k || i == MAKE_IMPORTS + (unsigned)imported[k])
            return k;
    return (i * 7 + i / TYPES) % TYPES;
}

static unsigned func_of(struct gen *g, unsigned result)
{
    unsigned f;

    do
        f = rnd(g, MAKE_IMPORTS + g->funcs);
    while (g->types[type_of(f)].result != result);
    return f;
}

/* ---- Bodies ---- */

/* A value of the kind: one of the function's own parameters, changed a little, or a constant. */
static void value(struct gen *g, const struct type *self, unsigned kind)
{
    unsigned i = rnd(g, self->n), k = rnd(g, 100);

    while (i < self->n && self->params[i] != kind)
        i++;
    if (kind == V128) {
        if (i < self->n) {
            put_op(g->b, 0x20, i);
            put_op(g->b, 0xfd, 0x4d); /* v128.not */
        } else {
            put_i32_const(g->b, k);
            put_op(g->b, 0xfd, 0x0f); /* i8x16.splat */
        }
    } else if (i < self->n) {
        put_op(g->b, 0x20, i);
        if (kind == I32 || kind == I64) {
            constant(g, kind == I32 ? 0x41 : 0x42, k);
            put_byte(g->b, kind == I32 ? 0x6a : 0x7c);
        } else {
            put_byte(g->b, kind == F32 ? 0x8c : 0x9a); /* neg */
        }
    } else if (kind == I32 || kind == I64) {
        constant(g, kind == I32 ? 0x41 : 0x42, k);
    } else {
        put_i32_const(g->b, k);
        put_byte(g->b, kind == F32 ? 0xb2 : 0xb7);
    }
}

/* sum = sum * 31 + each parameter */
static void sum_params(struct gen *g, const struct type *self)
{
    for (unsigned i = 0; i < self->n; i++) {
        put_op(g->b, 0x23, GLOBAL_SUM);
        constant(g, 0x42, 31);
        put_byte(g->b, 0x7e);
        put_op(g->b, 0x20, i);
        if (self->params[i] == V128) {
            put_op(g->b, 0xfd, 0x1d); /* i64x2.extract_lane */
            put_byte(g->b, i % 2);
        }
        if (self->params[i] == F32)
            put_byte(g->b, 0xbc);
        if (self->params[i] == F64)
            put_byte(g->b, 0xbd);
        if (self->params[i] == I32 || self->params[i] == F32)
            put_byte(g->b, 0xac);
        put_byte(g->b, 0x7c);
        put_op(g->b, 0x24, GLOBAL_SUM);
    }
}

static void call(struct gen *g, const struct type *self, unsigned result, bool tail)
{
    unsigned f = func_of(g, result), way = rnd(g, 3);
    const struct type *type = &g->types[type_of(f)];

    for (unsigned i = 0; i < type->n; i++)
        value(g, self, type->params[i]);
    if (way == 0) {
        put_op(g->b, tail ? 0x12 : 0x10, f);
    } else if (way == 1) { /* of another type, or none at all, now and then */
        put_i32_const(g->b, rnd(g, 60) ? f : rnd(g, MAKE_IMPORTS + g->funcs + 2));
        put_op(g->b, tail ? 0x13 : 0x11, type_of(f));
        put_leb(g->b, 0);
    } else {
        put_op(g->b, 0xd2, f);
        put_op(g->b, tail ? 0x15 : 0x14, type_of(f));
    }
}

/* If the first parameter is so, do what is written before the `end`. */
static void begin_if(struct gen *g)
{
    put_op(g->b, 0x20, 0);
    put_i32_const(g->b, 13);
    put_byte(g->b, 0x70);
    put_i32_const(g->b, rnd(g, 13));
    put_byte(g->b, 0x46);
    put_op(g->b, 0x04, 0x40);
}

static void return_values(struct gen *g, const struct type *self)
{
    for (const char *r = results[self->result]; *r; r++)
        value(g, self, (uint8_t)*r);
    put_byte(g->b, 0x0f);
}

/* if (!fuel) return; fuel--; */
static void put_fuel(struct gen *g, const struct type *self)
{
    put_op(g->b, 0x23, GLOBAL_FUEL);
    put_byte(g->b, 0x45);
    put_op(g->b, 0x04, 0x40);
    return_values(g, self);
    put_byte(g->b, 0x0b);
    put_op(g->b, 0x23, GLOBAL_FUEL);
    put_i32_const(g->b, 1);
    put_byte(g->b, 0x6b);
    put_op(g->b, 0x24, GLOBAL_FUEL);
}

/* A call that comes back, or one that traps or throws. */
static void step(struct gen *g, const struct type *self)
{
    unsigned result = rnd(g, RESULTS);

    begin_if(g);
    switch (rnd(g, 8)) {
    case 0:
        put_byte(g->b, 0x00);
        break;
    case 1:
        if (g->exceptions) {
            value(g, self, I32);
            put_op(g->b, 0x08, 0);
            break;
        }
        /* fallthrough */
    case 2:
        call(g, self, self->result, true);
        break;
    default:
        call(g, self, result, false);
        for (const char *r = results[result]; *r; r++)
            put_byte(g->b, 0x1a);
        break;
    }
    put_byte(g->b, 0x0b);
}

static void put_body(struct gen *g, unsigned index)
{
    const struct type *self = &g->types[type_of(index)];
    bool caught = g->exceptions && rnd(g, 2);

    put_leb(g->b, 0);
    sum_params(g, self);
    put_fuel(g, self);
    if (caught) { /* (block (try_table (catch_all 0) ... */
        put_op(g->b, 0x02, 0x40);
        put_op(g->b, 0x1f, 0x40);
        sv_buf_append(g->b, "\x01\x02\x00", 3);
    }
    for (unsigned n = rnd(g, 4); n > 0; n--)
        step(g, self);
    if (caught) {
        call(g, self, self->result, true);
        sv_buf_append(g->b, "\x0b\x0b", 2);
    }
    if (rnd(g, 5))
        call(g, self, self->result, true);
    else
        return_values(g, self);
    put_byte(g->b, 0x0b);
}

/* ---- Sections ---- */

static void put_types(struct gen *g, unsigned n)
{
    put_leb(g->b, n);
    for (unsigned t = 0; t < TYPES; t++) {
        const struct type *type = &g->types[t];

        put_op(g->b, 0x60, type->n);
        sv_buf_append(g->b, type->params, type->n);
        put_string(g, results[type->result]);
    }
    sv_buf_append(g->b, "\x60\x00\x00\x60\x01\x7f\x00\x60\x02\x7e\x7c\x00", 12);
}

static void put_imports(struct gen *g, unsigned n)
{
    put_leb(g->b, n);
    for (unsigned i = 0; i < n; i++) {
        bool func = i < MAKE_IMPORTS;
        char name[2] = {(char)('0' + (func ? i : i - MAKE_IMPORTS)), 0};

        put_string(g, func ? "h" : "t");
        put_string(g, name);
        put_byte(g->b, func ? 0 : 4);
        if (!func)
            put_byte(g->b, 0);
        put_leb(g->b, func ? type_of(i) : TYPE_TAG0 + i - MAKE_IMPORTS);
    }
}

static void put_functions(struct gen *g, unsigned n)
{
    put_leb(g->b, n);
    for (unsigned i = 0; i < n; i++)
        put_leb(g->b, type_of(MAKE_IMPORTS + i));
}

static void put_tables(struct gen *g, unsigned n)
{
    sv_buf_append(g->b, "\x01\x70\x00", 3);
    put_leb(g->b, n + 1);
}

static void put_globals(struct gen *g, unsigned n)
{
    put_leb(g->b, n);
    sv_buf_append(g->b, "\x7f\x01\x41\x00\x0b\x7e\x01\x42\x00\x0b", 10);
}

static void put_exports(struct gen *g, unsigned n)
{
    char name[16];

    put_leb(g->b, n + 1 + !g->fixed);
    put_string(g, MAKE_FUEL_NAME);
    put_op(g->b, 3, GLOBAL_FUEL);
    if (!g->fixed) {
        put_string(g, "table");
        put_op(g->b, 1, 0);
    }
    for (unsigned i = 0; i < n; i++) {
        snprintf(name, sizeof name, "f%u", i);
        put_string(g, name);
        put_op(g->b, 0, MAKE_IMPORTS + i);
    }
}

static void put_elements(struct gen *g, unsigned n)
{
    sv_buf_append(g->b, "\x01\x00\x41\x00\x0b", 5);
    put_leb(g->b, n);
    for (unsigned i = 0; i < n; i++)
        put_leb(g->b, i);
}

static void put_code(struct gen *g, unsigned n)
{
    put_leb(g->b, n);
    for (unsigned i = 0; i < n; i++)
        put_sized(g, 0, put_body, MAKE_IMPORTS + i);
}

void make_tails(struct sv_buf *b, uint64_t seed, const struct make_options *o)
{
    /* As many as a second instance imports of the first one. */
    struct gen g = {.b = b, .seed = seed, .funcs = o->funcs < 10 ? 10 : o->funcs};
    unsigned all = MAKE_IMPORTS + g.funcs;

    g.exceptions = rnd(&g, 2);
    g.fixed = rnd(&g, 2);
    make_types(&g);
    sv_buf_append(b, "\0asm\x01\0\0\0", 8);
    put_sized(&g, 1, put_types, TYPE_TAG1 + 1);
    put_sized(&g, 2, put_imports, MAKE_IMPORTS + 2);
    put_sized(&g, 3, put_functions, g.funcs);
    put_sized(&g, 4, put_tables, all);
    put_sized(&g, 6, put_globals, GLOBAL_SUM + 1);
    put_sized(&g, 7, put_exports, g.funcs);
    put_sized(&g, 9, put_elements, all);
    put_sized(&g, 10, put_code, g.funcs);
}
