/* diff-forms: every pure instruction through the interpreter, in every form that its operands and
 * its result can take there (local, constant, just computed; returned, set, stored, branched on),
 * over the edge values. The checksums are another engine's (numeric_v8.def, as in
 * test/unit/wasm/numeric.c). */
#include <stdio.h>
#include <stdlib.h>

#include "interp/interp.h"
#include "runtime/instance.h"
#include "runtime/store.h"
#include "shapes.h"

static const uint32_t edge32[] = {
#define EDGE32(x) x,
#define EDGE64(x)
#include "edges.def"
#undef EDGE32
#undef EDGE64
};
static const uint64_t edge64[] = {
#define EDGE32(x)
#define EDGE64(x) UINT64_C(x),
#include "edges.def"
#undef EDGE32
#undef EDGE64
};
static const uint64_t expected[OP_COUNT] = {
#define V8(op, sum) [OP_##op] = sum,
#include "numeric_v8.def"
#undef V8
};
static const char *const canon_of[OP_COUNT] = {
#define CANON(op, shape) [OP_##op] = #shape,
#include "wasm/numeric.def"
};

/* Where an operand comes from, and what becomes of the result. */
enum source { FROM_LOCAL, FROM_LOAD, FROM_CONST, FROM_COUNT };
enum sink { TO_RETURN, TO_LOCAL, TO_MEMORY, TO_BR_IF, TO_IF, TO_EQZ_IF, TO_SELECT, TO_COUNT };
#define ARGS_MAX 3

struct form {
    enum sv_op op;
    const char *sig; /* "ii:i" */
    unsigned nargs;
    char result;
    enum source from[ARGS_MAX];
    enum sink to;
    unsigned lane;
};
struct operand {
    uint64_t low, high;
};

static struct {
    struct sv_engine *engine;
    unsigned passed, failed;
} run;

static bool is32(char kind)
{
    return kind == 'i' || kind == 'f';
}
static size_t count_of(char kind)
{
    return is32(kind) ? SV_COUNT(edge32) : SV_COUNT(edge64);
}
static struct operand operand_of(char kind, size_t k)
{
    if (is32(kind))
        return (struct operand){edge32[k], 0};
    if (kind == 'v')
        return (struct operand){edge64[k], edge64[(k * 7 + 3) % SV_COUNT(edge64)]};
    return (struct operand){edge64[k], 0};
}

/* ---- Writing modules
 * -----------------------------------------------------------------------------------------------
 */

static void put(struct sv_buf *b, unsigned byte)
{
    sv_buf_putc(b, (char)byte);
}
static void put_u32(struct sv_buf *b, uint32_t v)
{
    for (; v > 127; v >>= 7)
        put(b, v | 128);
    put(b, v);
}
static void put_s64(struct sv_buf *b, int64_t v)
{
    while (v < -64 || v > 63) {
        put(b, (unsigned)(v & 127) | 128);
        v >>= 7;
    }
    put(b, (unsigned)v & 127);
}
static void put_section(struct sv_buf *b, unsigned id, struct sv_buf *body)
{
    put(b, id);
    put_u32(b, (uint32_t)body->len);
    sv_buf_append(b, body->data, body->len);
    sv_buf_clear(body);
}
static unsigned type_code(char kind)
{
    return kind == 'i' ? 0x7f : kind == 'I' ? 0x7e : kind == 'f' ? 0x7d : kind == 'F' ? 0x7c : 0x7b;
}
static void put_const(struct sv_buf *b, char kind, struct operand v)
{
    switch (kind) {
    case 'i':
        put(b, 0x41);
        put_s64(b, (int32_t)v.low);
        break;
    case 'I':
        put(b, 0x42);
        put_s64(b, (int64_t)v.low);
        break;
    case 'f':
        put(b, 0x43);
        sv_buf_append(b, &v.low, 4);
        break;
    case 'F':
        put(b, 0x44);
        sv_buf_append(b, &v.low, 8);
        break;
    default:
        put(b, 0xfd);
        put(b, 12);
        sv_buf_append(b, &v, 16);
    }
}
/* Load from or store to address `at`; the address lies below a stored value. */
static void put_access(struct sv_buf *b, char kind, bool store, unsigned at)
{
    static const char kinds[] = "iIfF";
    if (kind == 'v') {
        put(b, 0xfd);
        put(b, store ? 11 : 0);
    } else {
        put(b, (store ? 0x36 : 0x28) + (unsigned)(strchr(kinds, kind) - kinds));
    }
    put(b, 0);
    put_u32(b, at);
}
static void put_op(struct sv_buf *b, const struct form *f)
{
    uint32_t code = sv_op_info[f->op].code;
    if (code >> 16) {
        put(b, code >> 16);
        put_u32(b, code & 0xffff);
    } else {
        put(b, code);
    }
    if (shapes[f->op] == SHAPE_LANE)
        put(b, f->lane);
}

/* What follows the instruction. Locals: the operands, then one of the result's type. Loads and
 * stores use addresses 16 n. */
static void put_sink(struct sv_buf *b, const struct form *f)
{
    unsigned local = f->nargs;

    switch (f->to) {
    case TO_LOCAL:
        put(b, 0x21);
        put(b, local);
        put(b, 0x20);
        put(b, local);
        break;
    case TO_MEMORY:
        put_access(b, f->result, true, 64);
        put(b, 0x41);
        put(b, 0);
        put_access(b, f->result, false, 64);
        break;
    case TO_BR_IF: /* (block (block OP br_if 0 0 return) 1 return) */
        sv_buf_append(b, "\x0d\x00\x41\x00\x0f\x0b\x41\x01", 8);
        break;
    case TO_IF:
        sv_buf_append(b, "\x04\x7f\x41\x01\x05\x41\x00\x0b", 8);
        break;
    case TO_EQZ_IF:
        sv_buf_append(b, "\x45\x04\x7f\x41\x00\x05\x41\x01\x0b", 9);
        break;
    case TO_SELECT: /* 1 and 0 lie below */
        put(b, 0x1b);
        break;
    default:
        break;
    }
}

static void put_body(struct sv_buf *b, const struct form *f, const struct operand *constant)
{
    put(b, 1);
    put(b, 1);
    put(b, type_code(f->result));
    for (unsigned i = 0; i < f->nargs; i++) {
        if (f->from[i] != FROM_LOAD)
            continue;
        sv_buf_append(b, "\x41\x00\x20", 3);
        put(b, i);
        put_access(b, f->sig[i], true, 16 * i);
    }
    if (f->to == TO_MEMORY)
        sv_buf_append(b, "\x41\x00", 2);
    else if (f->to == TO_BR_IF)
        sv_buf_append(b, "\x02\x40", 2);
    else if (f->to == TO_SELECT)
        sv_buf_append(b, "\x41\x01\x41\x00", 4);
    for (unsigned i = 0; i < f->nargs; i++) {
        if (f->from[i] == FROM_CONST) {
            put_const(b, f->sig[i], *constant);
        } else if (f->from[i] == FROM_LOAD) {
            put(b, 0x41);
            put(b, 0);
            put_access(b, f->sig[i], false, 16 * i);
        } else {
            put(b, 0x20);
            put(b, i);
        }
    }
    put_op(b, f);
    put_sink(b, f);
    put(b, 0x0b);
}

/* A module with `n` functions, of which number k has constant k. */
static void put_module(struct sv_buf *b, const struct form *f, char constant_kind, uint32_t n)
{
    struct sv_buf s, body;

    sv_buf_init(&s, 1 << 22);
    sv_buf_init(&body, 1 << 16);
    sv_buf_append(b, "\0asm\x01\0\0\0", 8);
    sv_buf_append(&s, "\x01\x60", 2);
    put_u32(&s, f->nargs);
    for (unsigned i = 0; i < f->nargs; i++)
        put(&s, type_code(f->sig[i]));
    put(&s, 1);
    put(&s, type_code(f->result));
    put_section(b, 1, &s);
    put_u32(&s, n);
    for (uint32_t k = 0; k < n; k++)
        put(&s, 0);
    put_section(b, 3, &s);
    sv_buf_append(&s, "\x01\x00\x01", 3);
    put_section(b, 5, &s);
    put_u32(&s, n);
    for (uint32_t k = 0; k < n; k++) {
        struct operand c = operand_of(constant_kind, k);
        put_body(&body, f, &c);
        put_u32(&s, (uint32_t)body.len);
        sv_buf_append(&s, body.data, body.len);
        sv_buf_clear(&body);
    }
    put_section(b, 10, &s);
    sv_buf_release(&body);
    sv_buf_release(&s);
}

/* ---- Checksums, as numeric.mjs makes them
 * --------------------------------------------------------------------------- */

struct sum {
    uint32_t a, b;
};
static void sum_word(struct sum *s, uint32_t w)
{
    s->a = (s->a ^ w) * 0x9e3779b1u + 0x7f4a7c15u;
    s->a ^= s->a >> 15;
    s->b = (s->b ^ w) * 0x85ebca77u + 1;
    s->b ^= s->b >> 13;
}
static void sum_add(struct sum *s, struct operand r)
{
    sum_word(s, (uint32_t)r.low);
    sum_word(s, (uint32_t)(r.low >> 32));
    sum_word(s, (uint32_t)r.high);
    sum_word(s, (uint32_t)(r.high >> 32));
}
static uint64_t canon32(uint64_t x)
{
    return (x & 0x7fffffff) > 0x7f800000 ? 0x7fc00000 : x;
}
static uint64_t canon64(uint64_t x)
{
    return (x & INT64_MAX) > UINT64_C(0x7ff0000000000000) ? UINT64_C(0x7ff8000000000000) : x;
}
static uint64_t canon32x2(uint64_t x)
{
    return canon32(x & UINT32_MAX) | canon32(x >> 32) << 32;
}
static struct operand canon(enum sv_op op, struct operand r)
{
    const char *shape = canon_of[op];
    if (!shape)
        return r;
    if (strcmp(shape, "f32") == 0)
        return (struct operand){canon32(r.low), r.high};
    if (strcmp(shape, "f64") == 0)
        return (struct operand){canon64(r.low), r.high};
    if (strcmp(shape, "f32x4") == 0)
        return (struct operand){canon32x2(r.low), canon32x2(r.high)};
    return (struct operand){canon64(r.low), canon64(r.high)};
}

/* ---- Running
 * -------------------------------------------------------------------------------------------------------
 */

static struct operand result_of(const struct form *f, int r, const union sv_slot *slots)
{
    if (r == SV_ETRAP)
        return (struct operand){UINT64_C(0xdeadbeefdeadbeef), 0};
    if (is32(f->result))
        return canon(f->op, (struct operand){slots[0].i32, 0});
    return canon(f->op, (struct operand){slots[0].i64, f->result == 'v' ? slots[1].i64 : 0});
}

static struct operand call(struct sv_instance *inst, const struct form *f, const size_t *k)
{
    union sv_slot slots[2 * ARGS_MAX + 2], *slot = slots;
    uint32_t index = 0;
    struct sv_func *func;

    for (unsigned i = 0; i < f->nargs; i++) {
        struct operand o = operand_of(f->sig[i], k[i]);
        if (f->from[i] == FROM_CONST) {
            index = (uint32_t)k[i];
            o.low = ~o.low; /* not to be used */
        }
        (slot++)->i64 = is32(f->sig[i]) ? o.low | UINT64_C(0xabcd) << 48 : o.low;
        if (f->sig[i] == 'v')
            (slot++)->i64 = o.high;
    }
    func = sv_instance_func(inst, index);
    if (!func)
        exit(2);
    sv_trap_clear(&inst->store->thread.trap);
    return result_of(f, sv_func_call(&inst->store->thread, func, slots), slots);
}

static void add_all(struct sv_instance *inst, const struct form *f, struct sum *sum)
{
    size_t k[ARGS_MAX];
    size_t nb = f->nargs > 1 ? count_of(f->sig[1]) : 1;

    for (k[0] = 0; k[0] < count_of(f->sig[0]); k[0]++) {
        for (k[1] = 0; k[1] < nb; k[1]++) {
            k[2] = f->nargs > 2 ? (k[0] + 2 * k[1]) % count_of(f->sig[2]) : 0;
            sum_add(sum, call(inst, f, k));
        }
    }
}

static void fatal(const struct form *f, const struct sv_err *err)
{
    fprintf(stderr, "diff-forms: %s: %s\n", sv_op_info[f->op].text, err->text);
    exit(2);
}

static void add_form(const struct form *f, struct sum *sum)
{
    struct sv_decode_options options = {.features = run.engine->features};
    struct sv_module *m = NULL;
    struct sv_store *store = NULL;
    struct sv_instance *inst = NULL;
    struct sv_err err = {0};
    struct sv_buf bytes;
    char constant = 'i';
    uint32_t n = 1;

    for (unsigned i = 0; i < f->nargs; i++) {
        if (f->from[i] == FROM_CONST) {
            constant = f->sig[i];
            n = (uint32_t)count_of(constant);
        }
    }
    sv_buf_init(&bytes, 1 << 23);
    put_module(&bytes, f, constant, n);
    if (sv_module_new(&err, run.engine->types, bytes.data, bytes.len, NULL, &options, &m) < 0 ||
        sv_store_new(&err, run.engine, &sv_store_limits_default, &store) < 0 ||
        sv_instance_new(&err, store, m, NULL, &inst) < 0)
        fatal(f, &err);
    add_all(inst, f, sum);
    sv_store_delete(store);
    sv_module_unref(m);
    sv_buf_release(&bytes);
}

static unsigned lanes_of(enum sv_op op)
{
    const char *x = strchr(sv_op_info[op].text, 'x');
    return shapes[op] == SHAPE_LANE && x ? (unsigned)strtoul(x + 1, NULL, 10) : 1;
}

static void check(struct form *f)
{
    static const char *const sources[] = {"local", "load", "const"};
    static const char *const sinks[] = {"return", "local",  "memory", "br_if",
                                        "if",     "eqz if", "select"};
    struct sum sum = {1, 2};

    for (f->lane = 0; f->lane < lanes_of(f->op); f->lane++)
        add_form(f, &sum);
    if (((uint64_t)sum.a << 32 | sum.b) == expected[f->op]) {
        run.passed++;
        return;
    }
    run.failed++;
    printf("%s differs:", sv_op_info[f->op].text);
    for (unsigned i = 0; i < f->nargs; i++)
        printf(" %s", sources[f->from[i]]);
    printf(" -> %s\n", sinks[f->to]);
}

/* At most one operand is a constant: the functions are one per constant. */
static bool next_sources(struct form *f)
{
    unsigned constants;
    do {
        unsigned i = 0;
        while (i < f->nargs && ++f->from[i] == FROM_COUNT)
            f->from[i++] = FROM_LOCAL;
        if (i == f->nargs)
            return false;
        constants = 0;
        for (i = 0; i < f->nargs; i++)
            constants += f->from[i] == FROM_CONST;
    } while (constants > 1);
    return true;
}

static bool yields_bool(enum sv_op op)
{
    static const char *const ends[] = {".eq", ".ne", ".lt", ".gt", ".le", ".ge", ".eqz", "_true"};
    const char *text = sv_op_info[op].text;
    if (sv_op_info[op].sig[strlen(sv_op_info[op].sig) - 1] != 'i')
        return false;
    for (size_t i = 0; i < SV_COUNT(ends); i++) {
        if (strstr(text, ends[i]))
            return true;
    }
    return false;
}

static void check_op(enum sv_op op)
{
    const char *sig = sv_op_info[op].sig, *colon = strchr(sig, ':');
    struct form f = {.op = op, .sig = sig, .nargs = (unsigned)(colon - sig), .result = colon[1]};

    do {
        for (f.to = TO_RETURN; f.to < (yields_bool(op) ? TO_COUNT : TO_BR_IF); f.to++)
            check(&f);
    } while (next_sources(&f));
}

int main(int argc, char **argv)
{
    struct sv_err err = {0};
    const char *only = NULL;

    if (sv_trap_init_process(&err) < 0 || sv_trap_init_thread(&err) < 0 ||
        sv_engine_new(&err, &run.engine) < 0) {
        fprintf(stderr, "diff-forms: %s\n", err.text);
        return 2;
    }
    run.engine->exec = &sv_interp_ops;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--no-optimise") == 0)
            run.engine->no_optimise = true;
        else if (strcmp(argv[i], "--no-guard") == 0)
            run.engine->no_guard = true;
        else if (strcmp(argv[i], "--deterministic") == 0)
            run.engine->deterministic = true;
        else
            only = argv[i];
    }
    for (enum sv_op op = 0; op < OP_COUNT; op++) {
        if (shapes[op] && expected[op] && (!only || strcmp(only, sv_op_info[op].text) == 0))
            check_op(op);
    }
    sv_engine_unref(run.engine);
    printf("%u passed, %u failed, 0 skipped\n", run.passed, run.failed);
    return run.failed != 0 || run.passed == 0;
}
