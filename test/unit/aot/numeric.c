/* The lowering of every row of numeric.def against its C expression: each row becomes a function
 * that is compiled and run over pairs of edge values and random ones. The fakes below stand for
 * lower.c: a trap is the function's return value. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>
#include <llvm-c/Analysis.h>
#include <llvm-c/ExecutionEngine.h>
#include <llvm-c/Target.h>
#include <llvm-c/Transforms/PassBuilder.h>

#include "aot/lower.h"
#include "wasm/numeric.h"

/* ---- Operands and results ---- */

union value {
    u32 w[4];
    u64 d[2];
    v128 v;
};
static const u32 edge32[] = {
#define EDGE32(x) x,
#define EDGE64(x)
#include "../../diff/edges.def"
#undef EDGE32
#undef EDGE64
};
static const u64 edge64[] = {
#define EDGE32(x)
#define EDGE64(x) UINT64_C(x),
#include "../../diff/edges.def"
#undef EDGE32
#undef EDGE64
};
/* Constants for one operand, the other being unknown: what an optimiser has ideas about. Floats
 * 0, -0, 1, -1, infinity, -infinity, NaNs; integers 0, 1, -1, the smallest, shift counts. */
static const u32 constant32[] = {0,          0x80000000, 0x3f800000, 0xbf800000,
                                 0x7f800000, 0xff800000, 0x7f800001, 0xffc00000,
                                 1,          0x20,       0xffffffff};
static const u64 constant64[] = {0,
                                 0x8000000000000000,
                                 0x3ff0000000000000,
                                 0xbff0000000000000,
                                 0x7ff0000000000000,
                                 0xfff0000000000000,
                                 0x7ff0000000000001,
                                 0xfff8000000000000,
                                 1,
                                 0x40,
                                 0xffffffffffffffff};
#define NCONSTANTS SV_COUNT(constant64)
static const u8 patterns[][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
    {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23},
    {31, 0, 30, 1, 29, 2, 28, 3, 27, 4, 26, 5, 25, 6, 24, 7},
    {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7},
    {5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20},
};

static u64 seed = 0x9e3779b97f4a7c15;
static u64 random_word(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}
/* Operand k of the type (a letter of signatures); past the edge values they are random. */
static size_t nedges(char type)
{
    return type == 'i' || type == 'f' ? SV_COUNT(edge32) : SV_COUNT(edge64);
}
static union value operand(char type, size_t k)
{
    union value r = {.d = {random_word(), random_word()}};
    size_t n = nedges(type);

    if (k >= n)
        return r;
    if (type == 'i' || type == 'f')
        r.w[0] = edge32[k];
    else
        r.v = sv_v128_make(edge64[k], edge64[(k * 7 + 3) % n]);
    return r;
}
/* Vectors: the first half of the 64-bit constants, then the 32-bit ones. */
static size_t nconstants(char type)
{
    return type == 'v' ? 2 * NCONSTANTS : NCONSTANTS;
}
static union value constant(char type, size_t k)
{
    union value r = {0};
    bool words = type == 'i' || type == 'f' || k >= NCONSTANTS;

    k %= NCONSTANTS;
    if (words)
        r.v = sv_i32x4_splat(constant32[k]);
    else
        r.v = sv_i64x2_splat(constant64[k]);
    return r;
}

/* ---- The meaning of each row ---- */

typedef int eval_fn(const union value *v, unsigned lane, union value *ret);
#define GET(T, name, i)                                                                            \
    T name;                                                                                        \
    memcpy(&name, &v[i], sizeof name)
#define PUT(T, expr)                                                                               \
    T r = (expr);                                                                                  \
    (void)lane;                                                                                    \
    memcpy(ret, &r, sizeof r);                                                                     \
    return 0
#define EVAL(op) static int eval_##op(const union value *v, unsigned lane, union value *ret)
#define NUM1(op, R, A, expr)                                                                       \
    EVAL(op)                                                                                       \
    {                                                                                              \
        GET(A, a, 0);                                                                              \
        PUT(R, expr);                                                                              \
    }
#define NUM2(op, R, A, B, expr)                                                                    \
    EVAL(op)                                                                                       \
    {                                                                                              \
        GET(A, a, 0);                                                                              \
        GET(B, b, 1);                                                                              \
        PUT(R, expr);                                                                              \
    }
#define NUM3(op, R, A, B, C, expr)                                                                 \
    EVAL(op)                                                                                       \
    {                                                                                              \
        GET(A, a, 0);                                                                              \
        GET(B, b, 1);                                                                              \
        GET(C, c, 2);                                                                              \
        PUT(R, expr);                                                                              \
    }
#define TRAP1(op, R, A, trap, expr)                                                                \
    EVAL(op)                                                                                       \
    {                                                                                              \
        GET(A, a, 0);                                                                              \
        int code = trap;                                                                           \
        if (code != 0)                                                                             \
            return code;                                                                           \
        PUT(R, expr);                                                                              \
    }
#define TRAP2(op, R, A, B, trap, expr)                                                             \
    EVAL(op)                                                                                       \
    {                                                                                              \
        GET(A, a, 0);                                                                              \
        GET(B, b, 1);                                                                              \
        int code = trap;                                                                           \
        if (code != 0)                                                                             \
            return code;                                                                           \
        PUT(R, expr);                                                                              \
    }
#define EXTRACT(op, R, expr)                                                                       \
    EVAL(op)                                                                                       \
    {                                                                                              \
        GET(v128, a, 0);                                                                           \
        PUT(R, expr);                                                                              \
    }
#define REPLACE(op, B, expr)                                                                       \
    EVAL(op)                                                                                       \
    {                                                                                              \
        GET(v128, a, 0);                                                                           \
        GET(B, b, 1);                                                                              \
        PUT(v128, expr);                                                                           \
    }
#include "wasm/numeric.def"
EVAL(I8X16_SHUFFLE)
{
    GET(v128, a, 0);
    GET(v128, b, 1);
    PUT(v128, sv_i8x16_shuffle(a, b, patterns[lane]));
}
EVAL(V128_CONST)
{
    (void)v;
    PUT(v128, sv_v128_load(patterns[lane]));
}

static const struct row {
    enum sv_op op;
    eval_fn *eval;
} rows[] = {
#define ROW(op) {OP_##op, eval_##op},
#define NUM1(op, R, A, expr) ROW(op)
#define NUM2(op, R, A, B, expr) ROW(op)
#define NUM3(op, R, A, B, C, expr) ROW(op)
#define TRAP1(op, R, A, trap, expr) ROW(op)
#define TRAP2(op, R, A, B, trap, expr) ROW(op)
#define EXTRACT(op, R, expr) ROW(op)
#define REPLACE(op, B, expr) ROW(op)
#include "wasm/numeric.def"
    ROW(I8X16_SHUFFLE) ROW(V128_CONST)};
static const char canon_of[OP_COUNT][8] = {
#define CANON(op, shape) [OP_##op] = #shape,
#include "wasm/numeric.def"
};
/* Variants of a row by immediate. */
static unsigned nlanes(enum sv_op op)
{
    if (op == OP_I8X16_SHUFFLE || op == OP_V128_CONST)
        return SV_COUNT(patterns);
    if (sv_op_info[op].imm != IMM_LANE)
        return 1;
    return (unsigned)strtoul(strchr(sv_op_info[op].text, 'x') + 1, NULL, 10);
}

/* ---- Compilation ---- */

static const struct config {
    const char *target, *cpu, *passes; /* NULL: this machine's; none */
    bool canon;
} configs[] = {
    {NULL, "", NULL, false},
    {NULL, "", NULL, true},
    {NULL, "", "default<O2>", false},
    {NULL, "", "default<O2>", true},
    {NULL, NULL, "default<O2>", false},
};

struct bench {
    const struct config *config;
    struct sv_aot_options opts;
    struct lower_unit u;
    struct lower_value stack[8];
    LLVMTargetMachineRef tm;
    char *cpu, *features;
};

struct lower_value lower_pop_value(struct lower *l)
{
    assert_true(l->st.len > 0);
    return l->st.data[--l->st.len];
}
LLVMBasicBlockRef lower_block_new(struct lower *l, const char *name)
{
    return LLVMAppendBasicBlockInContext(l->u->ctx, l->fn, name);
}
LLVMValueRef lower_trap_value(struct lower *l, LLVMValueRef code)
{
    return LLVMBuildRet(l->b, code);
}
void lower_trap_if(struct lower *l, LLVMValueRef cond, int code)
{
    LLVMBasicBlockRef bad = lower_block_new(l, "trap"), good = lower_block_new(l, "next");

    LLVMBuildCondBr(l->b, cond, bad, good);
    LLVMPositionBuilderAtEnd(l->b, bad);
    lower_trap_value(l, lower_i32(l, (uint32_t)code));
    LLVMPositionBuilderAtEnd(l->b, good);
}
uint32_t lower_root_new(struct lower *l)
{
    return ++l->next_root;
}

static void init_types(struct lower_types *t, LLVMContextRef ctx)
{
    *t = (struct lower_types){
        .i1 = LLVMInt1TypeInContext(ctx),
        .i8 = LLVMInt8TypeInContext(ctx),
        .i16 = LLVMInt16TypeInContext(ctx),
        .i32 = LLVMInt32TypeInContext(ctx),
        .i64 = LLVMInt64TypeInContext(ctx),
        .f32 = LLVMFloatTypeInContext(ctx),
        .f64 = LLVMDoubleTypeInContext(ctx),
        .ptr = LLVMPointerTypeInContext(ctx, 0),
        .voidt = LLVMVoidTypeInContext(ctx),
    };
    t->v16i8 = LLVMVectorType(t->i8, 16);
    t->v8i16 = LLVMVectorType(t->i16, 8);
    t->v4i32 = LLVMVectorType(t->i32, 4);
    t->v2i64 = LLVMVectorType(t->i64, 2);
    t->v4f32 = LLVMVectorType(t->f32, 4);
    t->v2f64 = LLVMVectorType(t->f64, 2);
}
static void bench_release(struct bench *b)
{
    if (b->tm)
        LLVMDisposeTargetMachine(b->tm);
    LLVMDisposeMessage(b->cpu);
    LLVMDisposeMessage(b->features);
    LLVMDisposeBuilder(b->u.b);
    LLVMContextDispose(b->u.ctx);
}
/* False: this LLVM has no such target. */
static bool bench_init(struct bench *b, const struct config *c)
{
    char *host = LLVMGetDefaultTargetTriple(), *error = NULL;
    bool cross = c->target != NULL;
    const char *triple = !cross                              ? host
                         : strcmp(c->target, "aarch64") == 0 ? "aarch64-unknown-linux-gnu"
                                                             : "x86_64-unknown-linux-gnu";
    LLVMTargetRef target;

    *b = (struct bench){.config = c, .opts = {.target = c->target}};
    b->u.ctx = LLVMContextCreate();
    b->u.mod = LLVMModuleCreateWithNameInContext("numeric", b->u.ctx);
    b->u.b = LLVMCreateBuilderInContext(b->u.ctx);
    b->u.opts = &b->opts;
    init_types(&b->u.t, b->u.ctx);
    if (!c->cpu) {
        b->cpu = LLVMGetHostCPUName();
        b->features = LLVMGetHostCPUFeatures();
    } else {
        b->cpu = LLVMCreateMessage(strncmp(triple, "x86", 3) == 0 ? "x86-64-v2" : "generic");
        b->features = LLVMCreateMessage("");
    }
    if (LLVMGetTargetFromTriple(triple, &target, &error) == 0) {
        LLVMTargetDataRef layout;

        b->tm = LLVMCreateTargetMachine(target, triple, b->cpu, b->features,
                                        c->passes ? LLVMCodeGenLevelDefault : LLVMCodeGenLevelNone,
                                        LLVMRelocDefault, LLVMCodeModelJITDefault);
        layout = LLVMCreateTargetDataLayout(b->tm);
        LLVMSetTarget(b->u.mod, triple);
        LLVMSetModuleDataLayout(b->u.mod, layout);
        LLVMDisposeTargetData(layout);
    }
    LLVMDisposeMessage(error);
    LLVMDisposeMessage(host);
    return b->tm != NULL;
}
static LLVMTypeRef type_of(const struct bench *b, char letter)
{
    const struct lower_types *t = &b->u.t;

    return letter == 'i'   ? t->i32
           : letter == 'I' ? t->i64
           : letter == 'f' ? t->f32
           : letter == 'F' ? t->f64
                           : t->v2i64;
}
static LLVMValueRef constant_of(const struct bench *b, char letter, const union value *k)
{
    LLVMValueRef words[] = {LLVMConstInt(b->u.t.i64, k->d[0], false),
                            LLVMConstInt(b->u.t.i64, k->d[1], false)};

    if (letter == 'v')
        return LLVMConstVector(words, 2);
    if (letter == 'i' || letter == 'f')
        words[0] = LLVMConstInt(b->u.t.i32, k->w[0], false);
    return LLVMConstBitCast(words[0], type_of(b, letter));
}
static void attribute(const struct bench *b, LLVMValueRef fn, const char *key, const char *value)
{
    LLVMAddAttributeAtIndex(fn, LLVMAttributeFunctionIndex,
                            LLVMCreateStringAttribute(b->u.ctx, key, (unsigned)strlen(key), value,
                                                      (unsigned)strlen(value)));
}

/* Begin `int name(const union value *v, union value *ret)` that returns 0 or a trap code. */
static void begin(struct bench *b, struct lower *l, const char *name)
{
    LLVMTypeRef params[] = {b->u.t.ptr, b->u.t.ptr};

    *l = (struct lower){.u = &b->u, .b = b->u.b, .t = &b->u.t, .canon = b->config->canon};
    l->st.data = b->stack;
    l->st.cap = SV_COUNT(b->stack);
    l->facts_on = true;
    l->fn = LLVMAddFunction(b->u.mod, name, LLVMFunctionType(b->u.t.i32, params, 2, false));
    attribute(b, l->fn, "target-cpu", b->cpu);
    attribute(b, l->fn, "target-features", b->features);
    LLVMPositionBuilderAtEnd(l->b, lower_block_new(l, "entry"));
}
static LLVMValueRef argument(struct lower *l, LLVMTypeRef type, unsigned i)
{
    LLVMValueRef at = lower_i64(l, 16 * i);

    at = LLVMBuildGEP2(l->b, l->t->i8, LLVMGetParam(l->fn, 0), &at, 1, "");
    return LLVMBuildLoad2(l->b, type, at, "");
}
static void end(struct lower *l)
{
    LLVMValueRef store = LLVMBuildStore(l->b, lower_pop(l), LLVMGetParam(l->fn, 1));

    LLVMSetAlignment(store, 1);
    assert_int_equal(l->st.len, 0);
    LLVMBuildRet(l->b, lower_i32(l, 0));
}
/* A row as a function; operand `which` is the constant k, if that is not NULL. */
static void build(struct bench *b, enum sv_op op, unsigned lane, unsigned which,
                  const union value *k, const char *name)
{
    struct lower l;
    const char *sig = sv_op_info[op].sig;
    u8 imm = (u8)lane;

    begin(b, &l, name);
    l.p = sv_op_info[op].imm == IMM_LANE ? &imm : patterns[lane];
    for (unsigned i = 0; sig[i] != ':'; i++)
        lower_push(&l, k && i == which ? constant_of(b, sig[i], k)
                                       : argument(&l, type_of(b, sig[i]), i));
    if (!lower_numeric_op(&l, op) && !lower_simd_op(&l, op))
        fail_msg("%s has no lowering", sv_op_info[op].text);
    end(&l);
}
static bool has_constants(enum sv_op op)
{
    return sv_op_info[op].sig[1] != ':' && sv_op_info[op].sig[2] == ':' && nlanes(op) == 1;
}
static void build_all(struct bench *b, bool constants)
{
    char name[64];

    for (size_t i = 0; i < SV_COUNT(rows); i++) {
        enum sv_op op = rows[i].op;

        for (unsigned lane = 0; lane < nlanes(op); lane++) {
            snprintf(name, sizeof name, "row%d_%u", op, lane);
            build(b, op, lane, 0, NULL, name);
        }
        for (size_t k = 0; constants && has_constants(op) && k < 2 * nconstants('v'); k++) {
            unsigned which = k & 1;
            char type = sv_op_info[op].sig[which];
            union value c = constant(type, k / 2);

            snprintf(name, sizeof name, "row%d_%u_%zu", op, which, k / 2);
            if (k / 2 < nconstants(type))
                build(b, op, 0, which, &c, name);
        }
    }
}
static void optimise(struct bench *b)
{
    LLVMPassBuilderOptionsRef options = LLVMCreatePassBuilderOptions();
    char *text = NULL;

    if (LLVMVerifyModule(b->u.mod, LLVMReturnStatusAction, &text) != 0)
        fail_msg("%s", text);
    LLVMDisposeMessage(text);
    if (b->config->passes)
        assert_null(LLVMRunPasses(b->u.mod, b->config->passes, b->tm, options));
    LLVMDisposePassBuilderOptions(options);
}
/* The engine owns the module. */
static LLVMExecutionEngineRef compile(struct bench *b)
{
    struct LLVMMCJITCompilerOptions options;
    LLVMExecutionEngineRef engine;
    char *text = NULL;

    optimise(b);
    LLVMInitializeMCJITCompilerOptions(&options, sizeof options);
    options.OptLevel = b->config->passes ? 2 : 0;
    if (LLVMCreateMCJITCompilerForModule(&engine, b->u.mod, &options, sizeof options, &text) != 0)
        fail_msg("%s", text);
    return engine;
}

/* ---- Comparison ---- */

static bool is_nan(u64 bits, bool wide)
{
    return wide ? (bits << 1) > 0xffe0000000000000u : (bits << 33) > 0xff00000000000000u;
}
static bool is_quiet(u64 bits, bool wide)
{
    return bits >> (wide ? 51 : 22) & 1;
}
/* Of either sign. */
static bool is_canonical(u64 bits, bool wide)
{
    return wide ? (bits << 1) == 0xfff0000000000000u : (bits << 33) == 0xff80000000000000u;
}
static u64 lane_of(const union value *v, unsigned lane, bool wide)
{
    return wide ? v->d[lane] : v->w[lane];
}
/* Spec 4.3.3, "NaN propagation": quiet, and canonical when the operands' NaNs are. Operands that
 * are not of the result's shape may be anything here. */
static bool is_allowed_nan(const char *sig, const union value *v, unsigned lane, bool wide,
                           u64 bits)
{
    size_t n = strcspn(sig, ":");
    bool canonical = true;

    for (size_t i = 0; i < n; i++) {
        u64 a = lane_of(&v[i], lane, wide);

        if (sig[i] != sig[n + 1] || (is_nan(a, wide) && !is_canonical(a, wide)))
            canonical = false;
    }
    return is_nan(bits, wide) && is_quiet(bits, wide) && (!canonical || is_canonical(bits, wide));
}
static bool is_converting(enum sv_op op)
{
    return op == OP_F32X4_DEMOTE_F64X2_ZERO || op == OP_F64X2_PROMOTE_LOW_F32X4;
}
static bool is_same(enum sv_op op, bool canon, const union value *v, const union value *want,
                    const union value *got)
{
    static const size_t size_of[] = {['i'] = 4, ['I'] = 8, ['f'] = 4, ['F'] = 8, ['v'] = 16};
    const char *sig = sv_op_info[op].sig;
    size_t size = size_of[(u8)strchr(sig, ':')[1]];
    bool wide = strncmp(canon_of[op], "f64", 3) == 0;

    if (!canon_of[op][0])
        return memcmp(want, got, size) == 0;
    for (unsigned i = 0; i < size / (wide ? 8 : 4); i++) {
        u64 x = lane_of(want, i, wide), y = lane_of(got, i, wide);

        if (!is_nan(x, wide) ? x != y
            : canon          ? y != (wide ? 0x7ff8000000000000u : 0x7fc00000u)
                             : !is_allowed_nan(is_converting(op) ? "F:v" : sig, v, i, wide, y))
            return false;
    }
    return true;
}

typedef int row_fn(const union value *v, union value *ret);
/* Compiled rows carry no type that a sanitizer could look at. */
#ifdef __clang__
__attribute__((no_sanitize("function")))
#endif
static int call(row_fn *fn, const union value *v, union value *ret)
{
    return fn(v, ret);
}
static void check(const struct config *c, const struct row *row, row_fn *fn, unsigned lane,
                  const union value *v)
{
    union value want = {0}, got = {0};
    int expected = row->eval(v, lane, &want), code = call(fn, v, &got);

    if (code == expected && (code != 0 || is_same(row->op, c->canon, v, &want, &got)))
        return;
    fail_msg("%s lane %u (cpu %s, passes %s, canon %d)\n"
             "  a %016llx %016llx, b %016llx %016llx, c %016llx %016llx\n"
             "  want %016llx %016llx trap %d\n  got  %016llx %016llx trap %d",
             sv_op_info[row->op].text, lane, c->cpu ? "baseline" : "host",
             c->passes ? c->passes : "none", c->canon, (unsigned long long)v[0].d[0],
             (unsigned long long)v[0].d[1], (unsigned long long)v[1].d[0],
             (unsigned long long)v[1].d[1], (unsigned long long)v[2].d[0],
             (unsigned long long)v[2].d[1], (unsigned long long)want.d[0],
             (unsigned long long)want.d[1], expected, (unsigned long long)got.d[0],
             (unsigned long long)got.d[1], code);
}
static row_fn *find(LLVMExecutionEngineRef engine, const char *name)
{
    uint64_t address = LLVMGetFunctionAddress(engine, name);
    row_fn *fn;

    assert_true(address != 0);
    memcpy(&fn, &address, sizeof fn);
    return fn;
}

#define RANDOM 40 /* more values of each operand */
/* All pairs of two operands; a third follows from them. */
static void run_row(const struct config *c, LLVMExecutionEngineRef engine, const struct row *row,
                    unsigned lane)
{
    const char *sig = sv_op_info[row->op].sig;
    size_t n = strcspn(sig, ":"), na = n > 0 ? nedges(sig[0]) + RANDOM : 1;
    size_t nb = n > 1 ? nedges(sig[1]) + RANDOM : 1;
    char name[64];
    row_fn *fn;

    snprintf(name, sizeof name, "row%d_%u", row->op, lane);
    fn = find(engine, name);
    for (size_t i = 0; i < na; i++) {
        union value v[3] = {operand(n > 0 ? sig[0] : 'v', i)};

        for (size_t j = 0; j < nb; j++) {
            if (n > 1)
                v[1] = operand(sig[1], j);
            if (n > 2)
                v[2] = operand(sig[2], (i + 2 * j) % na);
            check(c, row, fn, lane, v);
        }
    }
}
static void run_constants(const struct config *c, LLVMExecutionEngineRef engine,
                          const struct row *row, unsigned which)
{
    const char *sig = sv_op_info[row->op].sig;
    char name[64], other = sig[1 - which];

    for (size_t k = 0; k < nconstants(sig[which]); k++) {
        row_fn *fn;
        union value v[3] = {0};

        snprintf(name, sizeof name, "row%d_%u_%zu", row->op, which, k);
        fn = find(engine, name);
        v[which] = constant(sig[which], k);
        for (size_t i = 0; i < nedges(other) + RANDOM; i++) {
            v[1 - which] = operand(other, i);
            check(c, row, fn, 0, v);
        }
    }
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t k = 0; k < SV_COUNT(configs); k++) {
        const struct config *c = &configs[k];
        bool constants = c->passes && c->cpu && !c->canon;
        struct bench b;
        LLVMExecutionEngineRef engine;

        assert_true(bench_init(&b, c));
        build_all(&b, constants);
        engine = compile(&b);
        for (size_t i = 0; i < SV_COUNT(rows); i++) {
            for (unsigned lane = 0; lane < nlanes(rows[i].op); lane++)
                run_row(c, engine, &rows[i], lane);
            for (unsigned which = 0; constants && has_constants(rows[i].op) && which < 2; which++)
                run_constants(c, engine, &rows[i], which);
        }
        LLVMDisposeExecutionEngine(engine);
        bench_release(&b);
    }
}

/* A signalling NaN is quiet after a demotion of its promotion. */
static void demote_promoted(enum sv_op promote, enum sv_op demote)
{
    static const struct config c = {NULL, "", "default<O2>", false};
    union value v = {.w = {0x7fa00000}}, r = {0};
    LLVMExecutionEngineRef engine;
    struct lower l;
    struct bench b;

    assert_true(bench_init(&b, &c));
    begin(&b, &l, "both");
    lower_push(&l, argument(&l, type_of(&b, sv_op_info[promote].sig[0]), 0));
    assert_true(lower_numeric_op(&l, promote) || lower_simd_op(&l, promote));
    assert_true(lower_numeric_op(&l, demote) || lower_simd_op(&l, demote));
    end(&l);
    engine = compile(&b);
    assert_int_equal(call(find(engine, "both"), &v, &r), 0);
    assert_int_equal(r.w[0], 0x7fe00000);
    LLVMDisposeExecutionEngine(engine);
    bench_release(&b);
}
static void test_demote_promote(void **state)
{
    (void)state;
    demote_promoted(OP_F64_PROMOTE_F32, OP_F32_DEMOTE_F64);
    demote_promoted(OP_F64X2_PROMOTE_LOW_F32X4, OP_F32X4_DEMOTE_F64X2_ZERO);
}

/* Nothing becomes a call: images have no library behind them. Both targets, whatever this machine.
 */
static void test_no_calls(void **state)
{
    static const struct config targets[] = {{"x86-64", "", "default<O2>", false},
                                            {"aarch64", "", "default<O2>", false},
                                            {"aarch64", "", NULL, true}};

    (void)state;
    for (size_t k = 0; k < SV_COUNT(targets); k++) {
        LLVMMemoryBufferRef code;
        char *text = NULL;
        struct bench b;

        if (bench_init(&b, &targets[k])) {
            build_all(&b, false);
            optimise(&b);
            if (LLVMTargetMachineEmitToMemoryBuffer(b.tm, b.u.mod, LLVMAssemblyFile, &text,
                                                    &code) != 0)
                fail_msg("%s", text);
            assert_null(strstr(LLVMGetBufferStart(code), "\tcall"));
            assert_null(strstr(LLVMGetBufferStart(code), "\tbl\t"));
            LLVMDisposeMemoryBuffer(code);
        }
        LLVMDisposeModule(b.u.mod);
        bench_release(&b);
    }
}

/* i32.add and i32.sub of a constant: the value number stays, the difference moves. */
static struct lower_value add_of(struct lower *l, enum sv_op op, struct lower_value a,
                                 struct lower_value b)
{
    lower_push_value(l, a);
    lower_push_value(l, b);
    assert_true(lower_numeric_op(l, op));
    return lower_pop_value(l);
}
static void test_facts(void **state)
{
    static const struct config c = {NULL, "", NULL, false};
    struct lower_value x = {0}, k = {0}, r, s;
    struct lower l;
    struct bench b;

    (void)state;
    assert_true(bench_init(&b, &c));
    begin(&b, &l, "facts");
    x.v = argument(&l, l.t->i32, 0);
    k.v = lower_i32(&l, 8);
    r = add_of(&l, OP_I32_ADD, x, k); /* gets a number of its own */
    assert_int_equal(r.root, 1);
    assert_int_equal(r.delta, 8);
    s = add_of(&l, OP_I32_SUB, r, (struct lower_value){.v = lower_i32(&l, 12)});
    assert_int_equal(s.root, 1);
    assert_int_equal(s.delta, (uint32_t)-4);
    s = add_of(&l, OP_I32_ADD, k, r); /* either order */
    assert_int_equal(s.root, 1);
    assert_int_equal(s.delta, 16);
    assert_int_equal(add_of(&l, OP_I32_SUB, k, r).root, 0);
    assert_int_equal(add_of(&l, OP_I32_ADD, r, x).root, 0);
    assert_int_equal(add_of(&l, OP_I32_ADD, k, k).root, 0);
    assert_int_equal(add_of(&l, OP_I32_MUL, r, k).root, 0);
    l.facts_on = false;
    assert_int_equal(add_of(&l, OP_I32_ADD, x, k).root, 0);
    assert_int_equal(l.next_root, 1);
    LLVMDisposeModule(b.u.mod);
    bench_release(&b);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_demote_promote),
        cmocka_unit_test(test_no_calls),
        cmocka_unit_test(test_facts),
    };

    LLVMLinkInMCJIT();
    LLVMInitializeAllTargetInfos();
    LLVMInitializeAllTargets();
    LLVMInitializeAllTargetMCs();
    LLVMInitializeAllAsmPrinters();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
