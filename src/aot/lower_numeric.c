/* Scalar instructions of numeric.def, and what vectors share with them. Exactly numeric.h's results
 * but for the bits of a NaN, where IR promises no more than the specification does.
 *
 * No fast-math flags anywhere, so that nothing is fused or reordered. What LLVM may do is to take
 * one NaN for as good as another: it turns x * 1 into x, signalling or not, where the specification
 * wants a quiet one. Such operands are made quiet here when the constant is in sight. */
#include "aot/lower_row.h"

#include <math.h>

/* ---- Rows ---- */

/* Results that deterministic mode makes canonical. */
static const bool canon_of[OP_COUNT] = {
#define CANON(op, shape) [OP_##op] = true,
#include "wasm/numeric.def"
};

LLVMTypeRef lower_row_type(const struct lower *l, uint8_t type)
{
    return (&l->t->i1)[type];
}
bool lower_is_x86(const struct lower *l)
{
    const char *target = l->u->opts->target;

    if (target)
        return strcmp(target, "x86-64") == 0;
#ifdef __x86_64__
    return true;
#else
    return false;
#endif
}

LLVMValueRef lower_splat(LLVMTypeRef type, uint64_t k)
{
    LLVMValueRef lanes[16];
    unsigned n;

    if (LLVMGetTypeKind(type) != LLVMVectorTypeKind)
        return LLVMConstInt(type, k, false);
    n = LLVMGetVectorSize(type);
    type = LLVMGetElementType(type);
    for (unsigned i = 0; i < n; i++)
        lanes[i] = LLVMConstInt(type, k & (UINT64_MAX >> (64 - LLVMGetIntTypeWidth(type))), false);
    return LLVMConstVector(lanes, n);
}
LLVMTypeRef lower_int_type(const struct lower *l, LLVMTypeRef type)
{
    const struct lower_types *t = l->t;

    return type == t->f32     ? t->i32
           : type == t->f64   ? t->i64
           : type == t->v4f32 ? t->v4i32
           : type == t->v2f64 ? t->v2i64
                              : type;
}
static bool is_double(const struct lower *l, LLVMTypeRef type)
{
    return type == l->t->f64 || type == l->t->v2f64;
}

LLVMValueRef lower_intrinsic(struct lower *l, const char *name, LLVMTypeRef over, LLVMValueRef *v,
                             unsigned n)
{
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(l->u->mod, id, &over, over != NULL);

    return LLVMBuildCall2(l->b, LLVMGlobalGetValueType(fn), fn, v, n, "");
}
LLVMValueRef lower_intrinsic_to(struct lower *l, const char *name, LLVMTypeRef to, LLVMValueRef v)
{
    LLVMTypeRef over[] = {to, LLVMTypeOf(v)};
    unsigned id = LLVMLookupIntrinsicID(name, strlen(name));
    LLVMValueRef fn = LLVMGetIntrinsicDeclaration(l->u->mod, id, over, 2);

    return LLVMBuildCall2(l->b, LLVMGlobalGetValueType(fn), fn, &v, 1, "");
}

static LLVMValueRef canonical_where(struct lower *l, LLVMValueRef nan, LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(v), bits = lower_int_type(l, type);
    LLVMValueRef k = lower_splat(bits, is_double(l, type) ? 0x7ff8000000000000u : 0x7fc00000u);

    v = LLVMBuildSelect(l->b, nan, k, lower_cast(l, v, bits), "");
    return lower_cast(l, v, type);
}
/* Every NaN becomes the canonical one. In integers: LLVM takes "x != x ? NaN : x" for x. */
static LLVMValueRef canonical(struct lower *l, LLVMValueRef v)
{
    LLVMTypeRef type = LLVMTypeOf(v), bits = lower_int_type(l, type);
    bool wide = is_double(l, type);
    LLVMValueRef infinity = lower_splat(bits, wide ? 0x7ff0000000000000u : 0x7f800000u);
    LLVMValueRef magnitude = LLVMBuildAnd(l->b, lower_cast(l, v, bits),
                                          lower_splat(bits, wide ? INT64_MAX : INT32_MAX), "");

    return canonical_where(l, LLVMBuildICmp(l->b, LLVMIntSGT, magnitude, infinity, ""), v);
}

void lower_row_emit(struct lower *l, enum sv_op op, const struct lower_row *row)
{
    const char *sig = sv_op_info[op].sig;
    unsigned n = (unsigned)strcspn(sig, ":");
    LLVMValueRef v[3], r;

    for (unsigned i = n; i-- > 0;) {
        v[i] = lower_pop(l);
        if (sig[i] == 'v')
            v[i] = lower_cast(l, v[i], lower_row_type(l, row->shape));
    }
    r = row->build(l, row, v);
    if (l->canon && canon_of[op] && row->build != lower_build_minmax)
        r = canonical(l, r);
    lower_push(l, sig[n + 1] == 'v' ? lower_v128(l, r) : r);
}

/* ---- Builders ---- */

/* A comparison's result: 0 or 1, or lanes of 0 or -1. */
static LLVMValueRef truth(struct lower *l, LLVMValueRef cond, LLVMTypeRef operand)
{
    if (LLVMGetTypeKind(operand) == LLVMVectorTypeKind)
        return LLVMBuildSExt(l->b, cond, lower_int_type(l, operand), "");
    return LLVMBuildZExt(l->b, cond, l->t->i32, "");
}
LOWER_BUILD(lower_build_icmp)
{
    return truth(l, LLVMBuildICmp(l->b, (LLVMIntPredicate)row->arg, v[0], v[1], ""),
                 LLVMTypeOf(v[0]));
}
LOWER_BUILD(lower_build_fcmp)
{
    return truth(l, LLVMBuildFCmp(l->b, (LLVMRealPredicate)row->arg, v[0], v[1], ""),
                 LLVMTypeOf(v[0]));
}
LOWER_BUILD(lower_build_binary)
{
    return LLVMBuildBinOp(l->b, (LLVMOpcode)row->arg, v[0], v[1], "");
}
LOWER_BUILD(lower_build_negate)
{
    (void)row;
    return LLVMBuildNeg(l->b, v[0], "");
}
LOWER_BUILD(lower_build_float_neg)
{
    (void)row;
    return LLVMBuildFNeg(l->b, v[0], "");
}
LOWER_BUILD(lower_build_unary)
{
    return lower_intrinsic(l, row->name, LLVMTypeOf(v[0]), v, 1);
}
LOWER_BUILD(lower_build_unary_flag)
{
    LLVMValueRef args[] = {v[0], LLVMConstInt(l->t->i1, 0, false)};

    return lower_intrinsic(l, row->name, LLVMTypeOf(v[0]), args, 2);
}
LOWER_BUILD(lower_build_pair)
{
    return lower_intrinsic(l, row->name, LLVMTypeOf(v[0]), v, 2);
}
LOWER_BUILD(lower_build_convert)
{
    return LLVMBuildCast(l->b, (LLVMOpcode)row->arg, v[0], lower_row_type(l, row->to), "");
}

LOWER_BUILD(lower_build_shift)
{
    LLVMTypeRef type = LLVMTypeOf(v[0]), lane = type;
    LLVMValueRef by = v[1];

    if (LLVMGetTypeKind(type) == LLVMVectorTypeKind)
        lane = LLVMGetElementType(type);
    by = LLVMBuildIntCast2(l->b, by, lane, false, "");
    by = LLVMBuildAnd(l->b, by, LLVMConstInt(lane, LLVMGetIntTypeWidth(lane) - 1, false), "");
    if (lane != type) {
        LLVMValueRef first = LLVMConstInt(l->t->i32, 0, false), none = LLVMGetPoison(type);

        by = LLVMBuildInsertElement(l->b, none, by, first, "");
        by = LLVMBuildShuffleVector(
            l->b, by, none, LLVMConstNull(LLVMVectorType(l->t->i32, LLVMGetVectorSize(type))), "");
    }
    return LLVMBuildBinOp(l->b, (LLVMOpcode)row->arg, v[0], by, "");
}

/* Is k a constant with an element of this magnitude (0 or 1)? Vectors on the stack are <2 x i64>,
 * and constants are often those, cast. */
static bool holds_magnitude(const struct lower *l, LLVMValueRef k, unsigned magnitude)
{
    bool wide = is_double(l, LLVMTypeOf(k)),
         vector = LLVMGetTypeKind(LLVMTypeOf(k)) == LLVMVectorTypeKind;
    uint64_t one = wide ? 0x3ff0000000000000u : 0x3f800000u, mask = wide ? INT64_MAX : INT32_MAX;
    unsigned n;

    if (!LLVMIsConstant(k))
        return false;
    if (LLVMIsAConstantExpr(k))
        k = LLVMGetOperand(k, 0);
    n = vector ? LLVMGetVectorSize(LLVMTypeOf(k)) : 1;
    for (unsigned i = 0; i < n; i++) {
        LLVMValueRef e = vector ? LLVMGetAggregateElement(k, i) : k;
        LLVMBool inexact;

        if (LLVMIsAConstantFP(e) && fabs(LLVMConstRealGetDouble(e, &inexact)) == magnitude)
            return true;
        if (LLVMIsAConstantInt(e)) {
            uint64_t bits = LLVMConstIntGetZExtValue(e);

            if ((bits & mask) == one * magnitude ||
                (!wide && (bits >> 32 & mask) == one * magnitude))
                return true;
        }
    }
    return false;
}
static LLVMValueRef quiet(struct lower *l, LLVMValueRef v)
{
    return lower_intrinsic(l, "llvm.canonicalize", LLVMTypeOf(v), &v, 1);
}
LOWER_BUILD(lower_build_float)
{
    LLVMOpcode op = (LLVMOpcode)row->arg;
    unsigned identity = op == LLVMFAdd || op == LLVMFSub ? 0 : 1;

    if (!l->canon && holds_magnitude(l, v[1], identity))
        v[0] = quiet(l, v[0]);
    else if (!l->canon && op != LLVMFDiv && holds_magnitude(l, v[0], identity))
        v[1] = quiet(l, v[1]);
    return LLVMBuildBinOp(l->b, op, v[0], v[1], "");
}

/* A demotion undoes a promotion before it, and with it what makes a NaN quiet. */
LLVMValueRef lower_demote(struct lower *l, LLVMValueRef v, LLVMTypeRef type)
{
    LLVMValueRef from = v;

    while (LLVMIsABitCastInst(from))
        from = LLVMGetOperand(from, 0);
    if (!l->canon && LLVMIsAFPExtInst(from))
        v = quiet(l, v);
    return LLVMBuildFPTrunc(l->b, v, type, "");
}

/* The smaller (or greater) of both orders differ only for zeros of two signs and for NaNs: the bits
 * of the one are joined, the others give the canonical NaN. Two machine instructions are a choice
 * each. aarch64 has one that does it all, which LLVM removes too easily from constants. */
LOWER_BUILD(lower_build_minmax)
{
    bool min = row->arg == LLVMRealOLT;
    LLVMTypeRef type = LLVMTypeOf(v[0]), bits = lower_int_type(l, type);
    LLVMValueRef ab, ba, nan;

    if (!lower_is_x86(l) && !l->canon && !LLVMIsConstant(v[0]) && !LLVMIsConstant(v[1]))
        return lower_intrinsic(l, min ? "llvm.minimum" : "llvm.maximum", type, v, 2);
    ab = LLVMBuildFCmp(l->b, (LLVMRealPredicate)row->arg, v[0], v[1], "");
    ab = LLVMBuildSelect(l->b, ab, v[0], v[1], "");
    ba = LLVMBuildFCmp(l->b, (LLVMRealPredicate)row->arg, v[1], v[0], "");
    ba = LLVMBuildSelect(l->b, ba, v[1], v[0], "");
    nan = LLVMBuildFCmp(l->b, LLVMRealUNO, v[0], v[1], "");
    ab = LLVMBuildBinOp(l->b, min ? LLVMOr : LLVMAnd, lower_cast(l, ab, bits),
                        lower_cast(l, ba, bits), "");
    return canonical_where(l, nan, lower_cast(l, ab, type));
}

/* ---- Scalars only ---- */

static LOWER_BUILD(eqz)
{
    LLVMTypeRef type = LLVMTypeOf(v[0]);

    (void)row;
    return truth(l, LLVMBuildICmp(l->b, LLVMIntEQ, v[0], LLVMConstNull(type), ""), type);
}
static LOWER_BUILD(rotate)
{
    LLVMValueRef args[] = {v[0], v[0], v[1]};

    return lower_intrinsic(l, row->name, LLVMTypeOf(v[0]), args, 3);
}
/* The low bits (`to`), with their sign. */
static LOWER_BUILD(extend_low)
{
    LLVMValueRef low = LLVMBuildTrunc(l->b, v[0], lower_row_type(l, row->to), "");

    return LLVMBuildSExt(l->b, low, LLVMTypeOf(v[0]), "");
}
static LOWER_BUILD(demote)
{
    return lower_demote(l, v[0], lower_row_type(l, row->to));
}

static void trap_if(struct lower *l, LLVMValueRef cond, int code)
{
    if (!LLVMIsAConstantInt(cond) || LLVMConstIntGetZExtValue(cond) != 0)
        lower_trap_if(l, cond, code);
}
static LOWER_BUILD(divide)
{
    LLVMOpcode op = (LLVMOpcode)row->arg;
    LLVMTypeRef type = LLVMTypeOf(v[0]);
    LLVMValueRef minus_one = LLVMConstAllOnes(type), special;

    trap_if(l, LLVMBuildICmp(l->b, LLVMIntEQ, v[1], LLVMConstNull(type), ""),
            SV_TRAP_DIVIDE_BY_ZERO);
    special = LLVMBuildICmp(l->b, LLVMIntEQ, v[1], minus_one, "");
    if (op == LLVMSDiv) {
        LLVMValueRef min =
            LLVMConstInt(type, UINT64_C(1) << (LLVMGetIntTypeWidth(type) - 1), false);
        LLVMValueRef overflow = LLVMBuildICmp(l->b, LLVMIntEQ, v[0], min, "");

        trap_if(l, LLVMBuildAnd(l->b, special, overflow, ""), SV_TRAP_INTEGER_OVERFLOW);
    } else if (op == LLVMSRem) {
        /* x % -1 is 0, as x % 1 is; but the machine overflows. */
        v[1] = LLVMBuildSelect(l->b, special, LLVMConstInt(type, 1, false), v[1], "");
    }
    return LLVMBuildBinOp(l->b, op, v[0], v[1], "");
}

static LOWER_BUILD(trunc_sat)
{
    return lower_intrinsic_to(l, row->name, lower_row_type(l, row->to), v[0]);
}
/* To an integer, or a trap. The bounds are those of numeric.h: exact in the float type. */
static LOWER_BUILD(trunc_trap)
{
    bool is_signed = row->arg == LLVMFPToSI;
    LLVMTypeRef from = LLVMTypeOf(v[0]), to = lower_row_type(l, row->to);
    double limit = ldexp(1, (int)LLVMGetIntTypeWidth(to) - is_signed);
    bool exact = is_signed && (from == l->t->f32 || to == l->t->i64);
    LLVMValueRef low = LLVMConstReal(from, exact ? -limit : is_signed ? -limit - 1 : -1);
    LLVMValueRef high = LLVMConstReal(from, limit);
    LLVMBasicBlockRef bad = lower_block_new(l, "invalid"), good = lower_block_new(l, "valid");

    low = LLVMBuildFCmp(l->b, exact ? LLVMRealULT : LLVMRealULE, v[0], low, "");
    high = LLVMBuildFCmp(l->b, LLVMRealUGE, v[0], high, "");
    LLVMBuildCondBr(l->b, LLVMBuildOr(l->b, low, high, ""), bad, good);
    LLVMPositionBuilderAtEnd(l->b, bad);
    lower_trap_value(l, LLVMBuildSelect(l->b, LLVMBuildFCmp(l->b, LLVMRealUNO, v[0], v[0], ""),
                                        lower_i32(l, SV_TRAP_INVALID_CONVERSION),
                                        lower_i32(l, SV_TRAP_INTEGER_OVERFLOW), ""));
    LLVMPositionBuilderAtEnd(l->b, good);
    return LLVMBuildCast(l->b, (LLVMOpcode)row->arg, v[0], to, "");
}

/* clang-format off */
#define BINARY(opcode) {lower_build_binary, .arg = LLVM##opcode}
#define SHIFT(opcode) {lower_build_shift, .arg = LLVM##opcode}
#define DIVIDE(opcode) {divide, .arg = LLVM##opcode}
#define FLOAT(opcode) {lower_build_float, .arg = LLVM##opcode}
#define ICMP(pred) {lower_build_icmp, .arg = LLVMInt##pred}
#define FCMP(pred) {lower_build_fcmp, .arg = LLVMReal##pred}
#define UNARY(intrinsic) {lower_build_unary, .name = "llvm." intrinsic}
#define UNARY_FLAG(intrinsic) {lower_build_unary_flag, .name = "llvm." intrinsic}
#define PAIR(intrinsic) {lower_build_pair, .name = "llvm." intrinsic}
#define ROTATE(intrinsic) {rotate, .name = "llvm." intrinsic}
#define MINMAX(pred) {lower_build_minmax, .arg = LLVMReal##pred}
#define CONVERT(opcode, type) {lower_build_convert, .arg = LLVM##opcode, .to = LOWER_TYPE(type)}
#define EXTEND_LOW(type) {extend_low, .to = LOWER_TYPE(type)}

#define INTEGERS(X) \
    [OP_##X##_EQZ] = {.build = eqz}, \
    [OP_##X##_EQ] = ICMP(EQ), [OP_##X##_NE] = ICMP(NE), \
    [OP_##X##_LT_S] = ICMP(SLT), [OP_##X##_LT_U] = ICMP(ULT), \
    [OP_##X##_GT_S] = ICMP(SGT), [OP_##X##_GT_U] = ICMP(UGT), \
    [OP_##X##_LE_S] = ICMP(SLE), [OP_##X##_LE_U] = ICMP(ULE), \
    [OP_##X##_GE_S] = ICMP(SGE), [OP_##X##_GE_U] = ICMP(UGE), \
    [OP_##X##_CLZ] = UNARY_FLAG("ctlz"), [OP_##X##_CTZ] = UNARY_FLAG("cttz"), \
    [OP_##X##_POPCNT] = UNARY("ctpop"), \
    [OP_##X##_ADD] = BINARY(Add), [OP_##X##_SUB] = BINARY(Sub), [OP_##X##_MUL] = BINARY(Mul), \
    [OP_##X##_DIV_S] = DIVIDE(SDiv), [OP_##X##_DIV_U] = DIVIDE(UDiv), \
    [OP_##X##_REM_S] = DIVIDE(SRem), [OP_##X##_REM_U] = DIVIDE(URem), \
    [OP_##X##_AND] = BINARY(And), [OP_##X##_OR] = BINARY(Or), [OP_##X##_XOR] = BINARY(Xor), \
    [OP_##X##_SHL] = SHIFT(Shl), [OP_##X##_SHR_S] = SHIFT(AShr), [OP_##X##_SHR_U] = SHIFT(LShr), \
    [OP_##X##_ROTL] = ROTATE("fshl"), [OP_##X##_ROTR] = ROTATE("fshr"), \
    [OP_##X##_EXTEND8_S] = EXTEND_LOW(i8), [OP_##X##_EXTEND16_S] = EXTEND_LOW(i16)

#define FLOATS(X) \
    [OP_##X##_EQ] = FCMP(OEQ), [OP_##X##_NE] = FCMP(UNE), [OP_##X##_LT] = FCMP(OLT), \
    [OP_##X##_GT] = FCMP(OGT), [OP_##X##_LE] = FCMP(OLE), [OP_##X##_GE] = FCMP(OGE), \
    [OP_##X##_ABS] = UNARY("fabs"), [OP_##X##_NEG] = {.build = lower_build_float_neg}, \
    [OP_##X##_CEIL] = UNARY("ceil"), [OP_##X##_FLOOR] = UNARY("floor"), \
    [OP_##X##_TRUNC] = UNARY("trunc"), [OP_##X##_NEAREST] = UNARY("roundeven"), \
    [OP_##X##_SQRT] = UNARY("sqrt"), \
    [OP_##X##_ADD] = FLOAT(FAdd), [OP_##X##_SUB] = FLOAT(FSub), \
    [OP_##X##_MUL] = FLOAT(FMul), [OP_##X##_DIV] = FLOAT(FDiv), \
    [OP_##X##_MIN] = MINMAX(OLT), [OP_##X##_MAX] = MINMAX(OGT), \
    [OP_##X##_COPYSIGN] = PAIR("copysign")

/* From both floats to an integer type, and from both integers to a float type. */
#define TRUNC(X, F, type) \
    [OP_##X##_TRUNC_##F##_S] = {trunc_trap, .arg = LLVMFPToSI, .to = LOWER_TYPE(type)}, \
    [OP_##X##_TRUNC_##F##_U] = {trunc_trap, .arg = LLVMFPToUI, .to = LOWER_TYPE(type)}, \
    [OP_##X##_TRUNC_SAT_##F##_S] = {trunc_sat, .name = "llvm.fptosi.sat", .to = LOWER_TYPE(type)}, \
    [OP_##X##_TRUNC_SAT_##F##_U] = {trunc_sat, .name = "llvm.fptoui.sat", .to = LOWER_TYPE(type)}
#define FROM_INTEGERS(F, type) \
    [OP_##F##_CONVERT_I32_S] = CONVERT(SIToFP, type), [OP_##F##_CONVERT_I32_U] = CONVERT(UIToFP, type), \
    [OP_##F##_CONVERT_I64_S] = CONVERT(SIToFP, type), [OP_##F##_CONVERT_I64_U] = CONVERT(UIToFP, type)

static const struct lower_row rows[OP_COUNT] = {
    INTEGERS(I32),
    INTEGERS(I64), [OP_I64_EXTEND32_S] = EXTEND_LOW(i32),
    FLOATS(F32),
    FLOATS(F64),
    TRUNC(I32, F32, i32), TRUNC(I32, F64, i32),
    TRUNC(I64, F32, i64), TRUNC(I64, F64, i64),
    FROM_INTEGERS(F32, f32),
    FROM_INTEGERS(F64, f64),
    [OP_I32_WRAP_I64] = CONVERT(Trunc, i32),
    [OP_I64_EXTEND_I32_S] = CONVERT(SExt, i64),
    [OP_I64_EXTEND_I32_U] = CONVERT(ZExt, i64),
    [OP_F32_DEMOTE_F64] = {demote, .arg = LLVMFPTrunc, .to = LOWER_TYPE(f32)},
    [OP_F64_PROMOTE_F32] = CONVERT(FPExt, f64),
    [OP_I32_REINTERPRET_F32] = CONVERT(BitCast, i32),
    [OP_I64_REINTERPRET_F64] = CONVERT(BitCast, i64),
    [OP_F32_REINTERPRET_I32] = CONVERT(BitCast, f32),
    [OP_F64_REINTERPRET_I64] = CONVERT(BitCast, f64),
};
/* clang-format on */

/* i32.add and i32.sub of a constant keep the value number: lower_facts.c tells addresses of one
 * base by it. */
static void add_constant(struct lower *l, struct lower_value a, LLVMValueRef k, LLVMValueRef sum,
                         bool negative)
{
    uint32_t by = (uint32_t)LLVMConstIntGetZExtValue(k);

    if (!a.root)
        a.root = lower_root_new(l);
    a.v = sum;
    a.delta += negative ? -by : by;
    lower_push_value(l, a);
}
static void add_or_sub(struct lower *l, bool sub)
{
    struct lower_value b = lower_pop_value(l), a = lower_pop_value(l);
    LLVMValueRef sum = LLVMBuildBinOp(l->b, sub ? LLVMSub : LLVMAdd, a.v, b.v, "");
    bool a_const = LLVMIsAConstantInt(a.v), b_const = LLVMIsAConstantInt(b.v);

    if (l->facts_on && b_const && !a_const)
        add_constant(l, a, b.v, sum, sub);
    else if (l->facts_on && a_const && !b_const && !sub)
        add_constant(l, b, a.v, sum, false);
    else
        lower_push(l, sum);
}

bool lower_numeric_op(struct lower *l, enum sv_op op)
{
    if (op == OP_I32_ADD || op == OP_I32_SUB)
        add_or_sub(l, op == OP_I32_SUB);
    else if (rows[op].build)
        lower_row_emit(l, op, &rows[op]);
    else
        return false;
    return true;
}
